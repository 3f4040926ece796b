"""Order statistics of as many values as there are SNPs: a histogram first, then the values of one narrow bin.

p may be 10⁹, so values come in blocks; what is held is one histogram (a megabyte) and the values of one narrow range
at a time. NaN, a SNP without a test, is counted nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from lfmm2._typing import Floats, Ints
from lfmm2.errors import ReadError, UsageError

# Powers of 2 between which magnitudes have narrow bins; statistics beyond them are rare enough to share one.
_LEAST_EXPONENT, _MOST_EXPONENT = -32, 32
# The coarse, signed histogram that fits take has 2⁷ bins an octave between 2⁻⁵ and 2⁸: fine enough for σ to 10⁻⁴.
_SIGNED_BITS = 7
_SIGNED_EXPONENTS = (-5, 8)

#: Message of the error where a pass meets other values than the pass before.
CHANGED = (
    "a pass over the test statistics met others than the pass before: another process has changed their file; "
    "go on with --resume, or run again"
)


class MagnitudeHistogram:
    """Counts of |value| in bins so narrow that exact order statistics need the values of one bin only.

    A bin is the exponent and the leading mantissa bits of the double: with ten of them the relative width is below
    10⁻³, and ascending bins hold ascending magnitudes. All below 2⁻³² share the first bin and all from 2³² on the last.
    Sums of integers, they are the same for any cut into blocks.

    Parameters
    ----------
    mantissa_bits : int
        Leading bits of the mantissa that tell bins apart: 65 538 bins for 10, 8 194 for 7.

    Attributes
    ----------
    counts, negative : ndarray of shape (n_bins,), int64
        All values, and those below zero, by the bin of their magnitude.
    """

    # Bytes of the two arrays of counts with the default mantissa_bits.
    N_BYTES = 2 * 8 * (((_MOST_EXPONENT - _LEAST_EXPONENT) << 10) + 2)

    def __init__(self, mantissa_bits: int = 10) -> None:
        self.mantissa_bits = mantissa_bits
        self._shift = 52 - mantissa_bits
        self._first_key = (1023 + _LEAST_EXPONENT) << mantissa_bits
        self._n_bins = ((_MOST_EXPONENT - _LEAST_EXPONENT) << mantissa_bits) + 2
        self.counts: Ints = np.zeros(self._n_bins, dtype=np.int64)
        self.negative: Ints = np.zeros(self._n_bins, dtype=np.int64)

    @property
    def n(self) -> int:
        """Number of values counted, NaN excluded."""
        return int(self.counts.sum())

    def add(self, values: ArrayLike) -> None:
        """Count `values`, an array of any shape; NaN is ignored."""
        flat = without_nan(values)
        # Both signs are counted at once, because to pick out the negative values would take longer.
        both = np.bincount(self.bin_of(flat) + (flat < 0) * self._n_bins, minlength=2 * self._n_bins)
        self.negative += both[self._n_bins :]
        self.counts += both[: self._n_bins]
        self.counts += both[self._n_bins :]

    def filled_bins(self) -> tuple[Ints, Ints, Ints]:
        """Return the bins that are not empty, with the counts of all and of negative values: small to send."""
        bins = np.flatnonzero(self.counts)
        return bins, self.counts[bins], self.negative[bins]

    def add_bins(self, bins: Ints, counts: Ints, negative: Ints) -> None:
        """Add what `filled_bins` of another histogram has returned."""
        self.counts[bins] += counts
        self.negative[bins] += negative

    def bin_of(self, values: ArrayLike) -> Ints:
        """Return the bin of each |value|; `values` must not hold NaN."""
        magnitudes = np.abs(np.asarray(values, dtype=np.float64))
        # The bit pattern of a non-negative double, read as an integer, ascends with the double.
        keys = magnitudes.view(np.int64) >> self._shift
        return np.asarray(np.clip(keys - (self._first_key - 1), 0, self._n_bins - 1), dtype=np.int64)

    def lower_edges(self) -> Floats:
        """Return the least magnitude of each bin, shape (n_bins,): 0 for the first."""
        keys = np.arange(self._n_bins, dtype=np.int64) + (self._first_key - 1)
        edges = (keys << self._shift).view(np.float64)
        edges[0] = 0.0
        return edges

    def bin_holding(self, rank: int) -> int:
        """Return the bin of the value with 0-based `rank` in ascending magnitude; UsageError if there is none."""
        if not 0 <= rank < self.n:
            raise UsageError(f"rank {rank} asked of {self.n} values; ranks run from 0 to {self.n - 1}")
        return int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))

    def counts_above(self) -> Ints:
        """Return the number of values in the bins above each: shape (n_bins,), int64."""
        return np.asarray(self.n - np.cumsum(self.counts), dtype=np.int64)

    def signed(self) -> tuple[Floats, Ints]:
        """Return edges (m + 1,), ascending from -inf to inf, and the counts (m,) of the values between them.

        128 bins an octave of magnitude between 2⁻⁵ and 2⁸, and one bin on either side of zero, where a density is flat.
        Zero itself counts as positive.
        """
        low, high = _SIGNED_EXPONENTS
        octaves = np.exp2(np.arange(low, high))
        inside = (octaves[:, None] * (1 + np.arange(1 << _SIGNED_BITS) / (1 << _SIGNED_BITS))).ravel()
        edges = np.concatenate([[0.0], inside, [2.0**high]])
        starts = self.bin_of(edges)
        above, below = (np.add.reduceat(counts, starts) for counts in (self.counts - self.negative, self.negative))
        outer = np.append(edges, np.inf)
        return np.concatenate([-outer[:0:-1], outer]), np.concatenate([below[::-1], above])


def middle_pair(histogram: MagnitudeHistogram, blocks: Iterable[ArrayLike]) -> tuple[float, float]:
    """Return the two middle order statistics of |value|, exactly; twice the same when n is odd, NaN without values.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Of all the values in `blocks`.
    blocks : iterable of array_like, float64
        The same values again, in any order and cut, read once; others raise ReadError. The values of the middle bin
        are held, which of a normal are 3·10⁻⁴ of all.
    """
    n = histogram.n
    if n == 0:
        return math.nan, math.nan
    lower, upper = (n - 1) // 2, n // 2
    first, last = histogram.bin_holding(lower), histogram.bin_holding(upper)
    held = [np.empty(0)]
    for block in blocks:
        magnitudes = magnitudes_of(block)
        bins = histogram.bin_of(magnitudes)
        held.append(magnitudes[(bins >= first) & (bins <= last)])
    values = np.sort(np.concatenate(held))
    if values.size != histogram.counts[first : last + 1].sum():
        raise ReadError(CHANGED)
    below = n - int(histogram.counts_above()[first] + histogram.counts[first])
    return float(values[lower - below]), float(values[upper - below])


def without_nan(values: ArrayLike) -> Floats:
    """Return the values as a flat array without NaN; most blocks have none."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    missing = np.isnan(flat)
    return flat[~missing] if missing.any() else flat


def magnitudes_of(values: ArrayLike) -> Floats:
    """Return |value| without NaN, as a flat array."""
    return np.abs(without_nan(values))
