"""Standard error of the genomic inflation factor, by a jackknife over blocks of SNPs.

Neighbouring SNPs are linked, so p of them tell less about the median of t² than p independent ones, by an amount that
depends on the species. Left-out blocks show it: with medians m_b of |t| of all SNPs but those of block b, b = 1 … g,

    SE² = (g - 1) / g · Σ (m_b² - mean of m²)² / median(F)²

Blocks are runs of neighbouring SNPs in the order of the file. They are to be longer than linkage reaches, so that they
are nearly independent, and as many as that allows, because the SE itself has a relative error of 1 / √(2 (g - 1)).

References
----------
Künsch 1989, Ann. Stat. 17:1217. Busing, Meijer, van der Leeden 1999, Stat. Comput. 9:3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from lfmm2._typing import Floats, Ints
from lfmm2.statistics.order_statistics import MagnitudeHistogram, magnitudes_of

# Number of blocks. More are shorter than linkage reaches, and the error comes out too small: with 100 of them by a
# quarter on linked data. With fewer the error is itself a guess.
N_BLOCKS = 20
# Fewest SNPs of a block. The jackknife of a median does not hold for blocks of few values.
_FEWEST_SNPS = 10


class BlockMedians:
    """Medians of |value| without each of `n_blocks` blocks in turn, counted in one pass over the values.

    Leaving out a block moves the median to a value whose rank among all lies at most half a block from the middle. So
    each block counts its values in the bins of these ranks alone, and all below them as one number. The medians are
    interpolated in bins of relative width 10⁻³. They are the same for any cut of the values into parts.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Histogram of all values, of any width of bins.
    n_blocks : int
        Number of blocks, which have equal numbers of SNPs with a value.
    """

    def __init__(self, histogram: MagnitudeHistogram, n_blocks: int = N_BLOCKS) -> None:
        n = histogram.n
        self._starts = np.arange(n_blocks + 1) * n // n_blocks
        self._n_seen = 0
        self._bins = MagnitudeHistogram()
        self._first, self._counts = 0, np.zeros((n_blocks, 2), np.int64)
        self.is_defined = n >= _FEWEST_SNPS * n_blocks
        if self.is_defined:
            largest = -(-n // n_blocks)
            low, high = histogram.bin_holding((n - largest - 1) // 2), histogram.bin_holding((n + largest) // 2)
            edges = np.append(histogram.lower_edges(), np.inf)
            self._first, last = self._bins.bin_of([edges[low], np.nextafter(edges[high + 1], 0.0)]).tolist()
            # One column more on either side: all values below these bins, and all above them.
            self._counts = np.zeros((n_blocks, last - self._first + 3), np.int64)

    def watch(self, parts: Iterable[ArrayLike]) -> Iterator[ArrayLike]:
        """Yield the parts of all values in the order of the SNPs, and count each; NaN is ignored."""
        for part in parts:
            self.add(part)
            yield part

    def add(self, values: ArrayLike) -> None:
        """Count the values of the next SNPs; NaN is ignored."""
        if not self.is_defined:
            return
        magnitudes = magnitudes_of(values)
        width = self._counts.shape[1]
        columns = np.clip(self._bins.bin_of(magnitudes) - (self._first - 1), 0, width - 1)
        begin, end = self._n_seen, self._n_seen + len(columns)
        for block in range(len(self._counts)):
            inside = columns[max(self._starts[block] - begin, 0) : max(self._starts[block + 1] - begin, 0)]
            self._counts[block] += np.bincount(inside, minlength=width)
        self._n_seen = end

    def medians(self) -> Floats:
        """Return the median of |value| without each block, shape (n_blocks,)."""
        return np.array([self._median(left) for left in self._counts.sum(axis=0) - self._counts])

    def _median(self, counts: Ints) -> float:
        """Return the median of values that are counted in the bins: the mean of the two in the middle."""
        up_to = np.cumsum(counts)
        ranks = np.array([(up_to[-1] - 1) // 2, up_to[-1] // 2])
        columns = np.searchsorted(up_to, ranks, side="right")
        # The values of a bin are taken to lie evenly in it.
        shares = (ranks - up_to[columns] + counts[columns] + 0.5) / counts[columns]
        edges = self._bins.lower_edges()
        low = edges[self._first - 1 + columns]
        # The last bin has no end.
        high = edges[np.minimum(self._first + columns, len(edges) - 1)]
        return float(np.mean(low + shares * (high - low)))

    def error_of_square(self) -> float:
        """Return the standard error of the squared median; NaN where there are too few values for it."""
        if not self.is_defined:
            return math.nan
        squares = self.medians() ** 2
        return math.sqrt((len(squares) - 1) * float(squares.var()))
