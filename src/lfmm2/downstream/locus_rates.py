"""Q_LOCUS: the rate of false discoveries among clumps, from windows of the genome that are fixed before looking.

Among SNPs, a true locus counts as often as it has linked SNPs, and a false one mostly once. Gathered into clumps, each
counts once, so the rate among clumps is several times the rate among SNPs. What controls it is a test for each place:

    windows of the clump distance, from position 0 of each chromosome;   p_w = min over k of p_(k) n_w / k   (Simes)
    Q_LOCUS = Benjamini-Hochberg q of p_w of the clumps, with the number of all windows that have a tested SNP as m

p_w is that of the window of the index SNP. Index SNPs of one chromosome are at least the distance apart, so no two
clumps share a window. A false clump needs a false window, of which m·p have p_w < p, so m·p over the number of clumps
with p_w < p bounds the rate among these.

References
----------
Simes 1986 (Biometrika 73:751); Benjamini and Hochberg 1995 (J. R. Stat. Soc. B 57:289).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.process import Progress
from lfmm2.results import StoredRun
from lfmm2.statistics import benjamini_hochberg

# Names of a chromosome that mean that it is unknown; a SNP with one of them is never near another.
_NO_CHROMOSOME = ("0", ".")
# Bits of the number of a window in a chromosome: positions in files are below 2³¹, and no window is shorter than a
# base. The other bits are for 2²³ chromosomes or contigs.
_WINDOW_BITS = 40


def find_placeless(table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows have no chromosome or no position, and so no place in a genome."""
    no_chromosome = pc.is_in(table["CHROM"], value_set=pa.array(_NO_CHROMOSOME)).to_numpy()
    placeless: NDArray[np.bool_] = no_chromosome | (table["POS"].to_numpy() < 1)
    return placeless


class _Windows:
    """Numbers for the windows of a genome, the same in all blocks of a table."""

    def __init__(self, distance: int) -> None:
        self._distance = distance
        self._codes: dict[str, int] = {}

    def of(self, table: pa.Table) -> Ints:
        """Return the number of the window of each row (n,), which has a chromosome and a position."""
        chromosomes = pc.dictionary_encode(table["CHROM"].combine_chunks())
        names = chromosomes.dictionary.to_pylist()
        codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in names], np.int64)
        first = (codes << _WINDOW_BITS)[chromosomes.indices.to_numpy()] if len(table) else np.empty(0, np.int64)
        numbers: Ints = first + table["POS"].to_numpy().astype(np.int64) // self._distance
        return numbers


def locus_rates(run: StoredRun, name: str, index: pa.Table, distance: int, progress: Progress) -> Floats:
    """Return Q_LOCUS of clumps, shape (n_clumps,).

    Parameters
    ----------
    run : StoredRun
    name : str
        Table of the run from which the clumps are.
    index : pyarrow.Table
        Index SNPs, with CHROM, POS and NEG_LOG10_P_CAL. One without a place is a window of its own.
    distance : int
        Distance of clumps in bases.
    progress : Progress

    Notes
    -----
    The table is streamed. Memory: 8 bytes for each window, and 16 for each SNP in the window of an index SNP.
    """
    if not len(index):
        return np.empty(0)
    windows = _Windows(distance)
    placed = np.flatnonzero(~find_placeless(index))
    wanted, place_of = np.unique(windows.of(index.take(pa.array(placed))), return_inverse=True)
    n_placeless, seen, found = 0, [np.empty(0, np.int64)], [(np.empty(0, np.int64), np.empty(0))]
    progress.start(f"loci of {name}", run.n_snps, 0)
    try:
        for block in run.blocks(name, ["CHROM", "POS", "P_CAL"]):
            tested = block.filter(pc.is_valid(block["P_CAL"]))
            placeless = find_placeless(tested)
            n_placeless += int(placeless.sum())
            numbers = windows.of(tested.filter(pa.array(~placeless)))
            seen.append(np.unique(numbers))
            at = np.searchsorted(wanted, numbers)
            is_wanted = np.isin(numbers, wanted)
            p = tested["P_CAL"].to_numpy().astype(np.float64)[~placeless]
            found.append((at[is_wanted], p[is_wanted]))
            progress.advance(len(block), 0)
    finally:
        progress.finish()
    rows, p = (np.concatenate(parts) for parts in zip(*found, strict=True))
    of_index = 10.0 ** -index["NEG_LOG10_P_CAL"].to_numpy().astype(np.float64)  # (n_clumps,)
    of_index[placed] = simes(rows, p, len(wanted))[place_of]
    return benjamini_hochberg(of_index, n_placeless + len(np.unique(np.concatenate(seen))))


def simes(groups: Ints, p: Floats, n_groups: int) -> Floats:
    """Return the p of Simes of each group of SNPs, min over k of p_(k) n / k; NaN for a group without SNPs.

    Parameters
    ----------
    groups : ndarray of shape (n,), int64
        Group of each SNP, from 0 to `n_groups` - 1.
    p : ndarray of shape (n,), float64
    n_groups : int
    """
    order = np.lexsort((p, groups))
    sizes = np.bincount(groups, minlength=n_groups)
    firsts = np.cumsum(sizes) - sizes
    rank = np.arange(1, len(p) + 1) - np.repeat(firsts, sizes)
    scaled = p[order] * np.repeat(sizes, sizes) / rank
    result = np.full(n_groups, np.nan)
    filled = sizes > 0
    if filled.any():
        result[filled] = np.minimum.reduceat(scaled, firsts[filled])
    return result
