"""Samples that repeat the genotype of another, and first-degree relatives, from a part of the SNPs in one pass.

Two samples differ at a SNP if both are called and their calls are not the same. A pair is a *repeat* (a duplicate, a
clone, an inbred line that was taken twice) by its KING-robust kinship, where both have heterozygous calls enough:

    φ = 1/2 - Σ (g_i - g_j)² / (4 min(het_i, het_j))

which is 1/2 for a repeat, 1/4 for parent and child or full siblings, and 0 for two samples of one population, however
much or little that population varies. A plain relationship matrix would take samples of one island for kin, because it
compares them with all others. Without heterozygous calls (haploids, inbred lines) φ is far below 0 and tells nothing;
there a repeat is a pair that differs at few of its calls, and at few of those at which two samples differ on average.

Numbers that are no calls of haploids or diploids (methylation, dosages of polyploids) have no φ. There a repeat is a
pair whose squared distance, with every SNP scaled to variance 1, is a small share of the median one.

Notes
-----
Pairs are compared on bits and none is stored, so no n × n matrix is made. Which SNPs are compared depends on the
numbers of samples and SNPs alone.

References
----------
Manichaikul et al. 2010, Bioinformatics 26:2867, equation 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints, Packed
from lfmm2.genotypes.array_source import NumberSource
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.source import GenotypeSource, PackedMatrix
from lfmm2.kernels import _pairs

LABEL = "pairs of samples"
# Most samples that are compared: 50 000 take about half a minute, and four times as long for twice as many.
MOST_COMPARED_SAMPLES = 50_000
# Fewest and most SNPs that are compared where there are so many. With 4 096 unlinked SNPs the standard error of φ is
# about 0.02, which keeps first-degree relatives (0.25) apart from second-degree ones (0.125).
FEWEST_SNPS, MOST_SNPS = 4_096, 8_192
# Squares of the number of samples times SNPs up to which `MOST_SNPS` are compared.
_PAIR_CALLS = 200_000_000_000
# Most numbers of an array that are no calls, in single precision, and fewest SNPs.
_MOST_NUMBERS, _FEWEST_NUMBERS = 8_000_000, 512
# SNPs in a row that are read together. A file is read in few places, and yet from all chromosomes.
_RUN_SNPS = 32
# Largest share of calls at which repeats may differ, with the kinship of repeats and without one. Chips, and
# sequencing at high coverage, err in 0.1-1 % of the calls, sequencing at low coverage in 5 %.
MOST_DIFFERENT, _MOST_DIFFERENT_HOMOZYGOUS = 0.1, 0.03
# Largest share of calls at which repeats without a kinship may differ, relative to the mean over all pairs: where all
# samples are alike, as near-isogenic lines, others than repeats differ at few calls too.
_MOST_RELATIVE = 0.1
# Expected number of differences between two samples below which repeats cannot be told from chance.
FEWEST_DIFFERENCES = 100
# Kinship of repeats, and of first-degree relatives: halfway between their 1/2 and 1/4, and 1/4 and 1/8, in powers of 2.
REPEAT_KINSHIP, FIRST_DEGREE = 2**-1.5, 2**-2.5
# Kinship below which a pair that differs at few calls has so few heterozygous ones that φ says nothing. Two samples of
# an outbred population lie near 0.
_UNDEFINED_KINSHIP = -0.25
# Heterozygous calls that the kinship of a pair is computed from at least.
_FEWEST_HETEROZYGOUS = 50
# Largest squared distance of repeats among numbers, relative to the median, which stands for a correlation of 0.99.
_MOST_DISTANT = 0.01
# Samples whose pairs give the median distance.
_MEDIAN_SAMPLES = 400
# Largest share of missing numbers of a sample that is compared: means stand for the missing ones, and two samples of
# means are alike.
_MOST_MISSING = 0.5
# Samples that are compared with all others at a time.
_BAND = 64
# Pairs of first-degree relatives of which both samples are kept; beyond it, as in a cross, they are only counted.
MOST_PAIRS = 100_000
# Bytes for each SNP of a block and sample: fields, codes and planes before they are packed; or numbers, centred.
_CODE_BYTES = 32


@dataclass(frozen=True, eq=False)
class SamplePairs:
    """Repeats and first-degree relatives among n samples.

    Attributes
    ----------
    n_snps : int
        Number of SNPs compared.
    missing : ndarray of shape (n,), float64
        Share of missing calls of each sample over these SNPs.
    mean_difference, repeat_difference : float
        Share of calls at which two samples differ on average, and at which two repeats differ at most; NaN for numbers
        that are no calls.
    group : ndarray of shape (n,), int64
        Number of the group of repeats of each sample, from 1 on in the order of their first samples; 0 for none.
    relatives : ndarray of shape (r, 2), int64
        Pairs of first-degree relatives, `MOST_PAIRS` at most, and no repeats.
    n_relatives : int
        Number of all these pairs.
    """

    n_snps: int
    missing: Floats
    mean_difference: float
    repeat_difference: float
    group: Ints
    relatives: Ints
    n_relatives: int


def can_compare(source: GenotypeSource, matrix: object) -> bool:
    """Return True if the samples of a source can be compared: packed calls, or numbers that are read by blocks."""
    return isinstance(matrix, PackedMatrix) or isinstance(source, NumberSource)


def count_compared(source: GenotypeSource, n_samples: int, n_snps: int) -> int:
    """Return how many of the SNPs are compared."""
    most = min(max(_PAIR_CALLS // n_samples**2, FEWEST_SNPS), MOST_SNPS)
    if isinstance(source, NumberSource) and source.ploidy not in (1, 2):
        most = min(max(_MOST_NUMBERS // n_samples, _FEWEST_NUMBERS), FEWEST_SNPS)
    return min(n_snps, most // _RUN_SNPS * _RUN_SNPS)


def pairs_footprint(n_samples: int, n_compared: int, source: GenotypeSource) -> Footprint:
    """Return the memory of `compare_samples`: planes or numbers, and the counts of a band of samples."""
    planes = 3 * 8 * int(_pairs.plane_words(n_compared)) if _has_calls(source) else 4 * n_compared + 8 * _BAND
    return Footprint(n_samples * (planes + 80 * _BAND), _CODE_BYTES * n_samples)


def _has_calls(source: GenotypeSource) -> bool:
    """Return True if genotypes are calls of haploids or diploids."""
    return not isinstance(source, NumberSource) or source.ploidy in (1, 2)


def _spread_snps(chosen: Ints | None, n_snps: int, n_compared: int) -> Ints:
    """Return evenly spread runs of the chosen SNPs, as ascending positions."""
    numbers = np.arange(n_snps)
    if n_compared < n_snps:
        n_runs = n_compared // _RUN_SNPS
        starts = np.arange(n_runs) * n_snps // n_runs
        numbers = (starts[:, None] + np.arange(_RUN_SNPS)).ravel()
    return numbers if chosen is None else chosen[numbers]


def compare_samples(
    source: GenotypeSource, engine: Engine, samples: Ints, chosen: Ints | None, n_snps: int
) -> SamplePairs:
    """Compare all pairs of samples over `count_compared` SNPs, in one pass over these.

    Parameters
    ----------
    source : GenotypeSource
        One for which `can_compare` holds.
    engine : Engine
    samples : ndarray of int64
        Rows of the source.
    chosen : ndarray of int64 or None
        Ascending positions of the SNPs to compare, None for all.
    n_snps : int
        Number of these SNPs.

    Notes
    -----
    Memory: `pairs_footprint`. A pair takes two or three bits per SNP, read once.
    """
    snps = _spread_snps(chosen, n_snps, count_compared(source, len(samples), n_snps))
    if not _has_calls(source):
        assert isinstance(source, NumberSource)
        return _compare_numbers(source, engine, samples, snps)
    planes = _Planes(len(samples), len(snps))
    work = pairs_footprint(len(samples), len(snps), source)
    for first, codes in _stream_codes(source, engine, samples, snps, work):
        planes.add(first, codes)
    return _compare_calls(planes, engine.n_threads)


def _stream_codes(
    source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints, work: Footprint
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the first SNP and the calls of blocks, (n_snps_block, n_samples): 0, 1, 2 or 3 for a missing call."""
    matrix = source.matrix(engine, samples, snps)
    if isinstance(matrix, PackedMatrix):
        for first, packed in matrix.packed_blocks(LABEL, work):
            yield first, _unpack(packed, len(samples))
        return
    assert isinstance(source, NumberSource)
    step = 2 / (source.ploidy or 2)
    for first, numbers in _read_numbers(source, engine, samples, snps):
        # Dosages that are expectations are taken for the nearest call. NaN stays missing.
        yield first, np.nan_to_num(np.rint(step * numbers), nan=3).astype(np.uint8)


def _unpack(packed: Packed, n_samples: int) -> NDArray[np.uint8]:
    """Return the calls of packed SNPs, (n_snps_block, n_samples): copies of A2, or 3 for a missing call."""
    return _CALLS_OF_BYTE[packed].view(np.uint8)[:, :n_samples]


def _list_calls_of_bytes() -> NDArray[np.uint32]:
    """Return for each byte of a .bed its four calls, side by side in the bytes of a number."""
    fields = (np.arange(256)[:, None] >> np.array([0, 2, 4, 6])) & 3  # (256, 4)
    # The codes of a .bed: 0 is two copies of A1, 1 missing, 2 one copy of each, 3 two copies of A2.
    calls: NDArray[np.uint8] = np.array([0, 3, 1, 2], np.uint8)[fields]
    return calls.view(np.uint32).ravel()


_CALLS_OF_BYTE = _list_calls_of_bytes()


def _read_numbers(source: NumberSource, engine: Engine, samples: Ints, snps: Ints) -> Iterator[tuple[int, Floats]]:
    """Yield the first SNP and the numbers of blocks, (n_snps_block, n_samples), NaN where missing."""
    with engine.recorded(LABEL, len(snps), 0) as advance:
        for first in range(0, len(snps), 8 * _RUN_SNPS):
            block = snps[first : first + 8 * _RUN_SNPS]
            yield first, np.asarray(source.read(samples, block), np.float64)
            advance(len(block))


class _Planes:
    """Planes of one bit per SNP: homozygous calls, those with dosage 0, and all calls of each sample.

    Attributes
    ----------
    planes : ndarray of shape (n_samples, 3, n_words), uint64
    n_snps : int
    differences : float
        Mean number of SNPs at which two samples differ, by the numbers of calls of each kind.
    """

    def __init__(self, n_samples: int, n_snps: int) -> None:
        self.planes = np.zeros((n_samples, 3, _pairs.plane_words(n_snps)), np.uint64)
        self.n_snps = n_snps
        self.differences = 0.0

    def add(self, first: int, codes: NDArray[np.uint8]) -> None:
        """Add the calls of a block of SNPs, `first` of which is a multiple of 8."""
        bits = self.planes.view(np.uint8)
        places = slice(first // 8, (first + len(codes) + 7) // 8)
        of_samples = np.ascontiguousarray(codes.T)  # (n_samples, n_snps_block), so that bits of a sample are neighbours
        is_zero = of_samples == 0
        for plane, is_set in enumerate([is_zero | (of_samples == 2), is_zero, of_samples != 3]):
            bits[:, plane, places] = np.packbits(is_set, axis=1, bitorder="little")
        counts = np.stack([np.count_nonzero(codes == call, axis=1) for call in range(3)])  # (3, n_snps_block)
        n = counts.sum(axis=0)
        pairs = np.maximum(n * (n - 1.0), 1.0)
        self.differences += float(((n**2 - (counts**2).sum(axis=0)) / pairs).sum())


def _compare_calls(planes: _Planes, n_threads: int) -> SamplePairs:
    """Compare all pairs of samples by their calls."""
    n, n_snps = len(planes.planes), planes.n_snps
    homozygous, called = (np.bitwise_count(planes.planes[:, k]).sum(axis=1).astype(np.int64) for k in (0, 2))
    heterozygosity = (called - homozygous) / np.maximum(called, 1)
    mean = planes.differences / max(n_snps, 1)
    links: list[Ints] = [np.empty((0, 2), np.int64)]
    relatives: list[Ints] = [np.empty((0, 2), np.int64)]
    n_relatives, farthest = 0, 0.0
    for first in range(0, n, _BAND):
        stop = min(first + _BAND, n)
        both, one_step, opposite = (np.empty((stop - first, n), np.int32) for _ in range(3))
        _pairs.count_differences(
            planes.planes, called, homozygous, n_snps, first, stop, both, one_step, opposite, n_threads
        )
        # Samples are compared with those after them only.
        both, one_step, opposite = (counts[:, first:] for counts in (both, one_step, opposite))
        least = np.minimum(heterozygosity[first:stop, None], heterozygosity[first:]) * both
        with np.errstate(divide="ignore", invalid="ignore"):
            kinship = 0.5 - (one_step + 4.0 * opposite) / (4 * least)
            share = (one_step + opposite) / both
        has_kinship = least >= _FEWEST_HETEROZYGOUS
        is_repeat = has_kinship & (kinship >= REPEAT_KINSHIP) & (share <= MOST_DIFFERENT)
        is_alike = share <= min(_MOST_DIFFERENT_HOMOZYGOUS, _MOST_RELATIVE * mean)
        is_repeat |= is_alike & ~(has_kinship & (kinship >= _UNDEFINED_KINSHIP))
        is_repeat &= both * mean >= FEWEST_DIFFERENCES
        is_kin = has_kinship & (kinship >= FIRST_DEGREE) & ~is_repeat
        of_band = _first_of_each(is_repeat)
        links.append(of_band + first)
        if len(of_band):
            farthest = max(farthest, float(share[of_band[:, 0], of_band[:, 1]].max()))
        n_relatives += int(np.count_nonzero(is_kin))
        if sum(map(len, relatives)) < MOST_PAIRS:
            relatives.append(np.argwhere(is_kin)[:MOST_PAIRS] + first)
    return SamplePairs(
        n_snps, (n_snps - called) / max(n_snps, 1), mean, farthest, _number_groups(n, np.concatenate(links)),
        np.concatenate(relatives)[:MOST_PAIRS], n_relatives,
    )  # fmt: skip


def _compare_numbers(source: NumberSource, engine: Engine, samples: Ints, snps: Ints) -> SamplePairs:
    """Compare all pairs of samples by distances of numbers."""
    n = len(samples)
    Z = np.zeros((n, len(snps)), np.float32)
    missing = np.zeros(n, np.int64)
    for first, numbers in _read_numbers(source, engine, samples, snps):
        is_missing = np.isnan(numbers)
        missing += is_missing.sum(axis=0)
        n_called = np.maximum((~is_missing).sum(axis=1), 1)
        centred = np.where(is_missing, 0, numbers - (np.nansum(numbers, axis=1) / n_called)[:, None])
        sd = np.sqrt((centred**2).sum(axis=1) / n_called)
        # A SNP that does not vary is 0 but for rounding.
        scale = np.where(sd > 1e-9 * np.abs(np.nan_to_num(numbers)).max(axis=1, initial=0.0), sd, np.inf)
        Z[:, first : first + len(numbers)] = (centred / scale[:, None]).T
    rates = missing / max(len(snps), 1)
    squares = np.einsum("ij,ij->i", Z, Z, dtype=np.float64)
    some = np.unique(np.linspace(0, n - 1, min(n, _MEDIAN_SAMPLES)).astype(np.int64))
    among_some = squares[some, None] + squares[some] - 2.0 * (Z[some] @ Z[some].T)
    median = float(np.median(among_some[np.triu_indices(len(some), 1)]))
    is_known = rates <= _MOST_MISSING
    links: list[Ints] = [np.empty((0, 2), np.int64)]
    for first in range(0, n if len(snps) >= FEWEST_DIFFERENCES and median > 0 else 0, _BAND):
        band = slice(first, min(first + _BAND, n))
        distances = squares[band, None] + squares - 2.0 * (Z[band] @ Z.T)
        is_repeat = (distances <= _MOST_DISTANT * median) & is_known & is_known[band, None]
        links.append(_first_of_each(np.triu(is_repeat, first + 1)) + np.array([first, 0]))
    return SamplePairs(
        len(snps), rates, np.nan, np.nan, _number_groups(n, np.concatenate(links)), np.empty((0, 2), np.int64), 0
    )


def _first_of_each(is_repeat: NDArray[np.bool_]) -> Ints:
    """Return for each column the first row that it repeats, as pairs (row, column): enough to join them in groups."""
    later = np.flatnonzero(is_repeat.any(axis=0))
    return np.column_stack([is_repeat[:, later].argmax(axis=0), later]).astype(np.int64)


def _number_groups(n: int, links: Ints) -> Ints:
    """Join samples by links, and number the groups of more than one sample from 1 on; 0 for all other samples."""
    if len(links) == 0:
        return np.zeros(n, np.int64)
    from scipy import sparse  # It imports much, and most runs have no links.

    graph = sparse.coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), (n, n))
    labels = sparse.csgraph.connected_components(graph, directed=False)[1]
    sizes = np.bincount(labels, minlength=n)
    firsts = np.unique(labels, return_index=True)[1]
    shared = [labels[i] for i in np.sort(firsts) if sizes[labels[i]] > 1]
    number_of = np.zeros(n + 1, np.int64)
    number_of[shared] = np.arange(1, len(shared) + 1)
    groups: Ints = number_of[labels]
    return groups
