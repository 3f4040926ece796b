"""Sums over SNPs: any cut into ranges, computed in any order, gives the bits of one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import Structured, WriteFileset, balding_nichols
from numpy.typing import NDArray

from lfmm2.errors import UsageError
from lfmm2.genotypes import segments
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.imputation import FactorFill
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, GenotypeMatrix
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.segments import ALL_SNPS, SegmentSums, SnpRange, n_held_sums, n_segments
from lfmm2.model.association import AssociationModel
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import estimate_from_matrix
from lfmm2.model.ridge import ridge_geometry

pytestmark = pytest.mark.usefixtures("one_blas_thread")

Floats = NDArray[np.float64]
GIB = 1 << 30
N_SAMPLES, N_SNPS = 61, 11 * RESTART_SNPS + 333
CUTS = (1, 2, 5)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SNPS", RESTART_SNPS)


@pytest.fixture(scope="module")
def data() -> Structured:
    """(61, 22861) with 2 % missing."""
    return balding_nichols(N_SAMPLES, N_SNPS, 3, 1, seed=3)


@pytest.fixture(scope="module")
def bed(data: Structured, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(data.dosage)


@pytest.fixture(scope="module")
def S() -> Floats:
    return np.random.default_rng(6).standard_normal((N_SAMPLES, 13))


@pytest.fixture(params=["bed", "array", "subset of the bed"])
def matrix(request: pytest.FixtureRequest, data: Structured, bed: BedFile, engine: Engine) -> BedMatrix | ArrayMatrix:
    if request.param == "array":
        return ArrayMatrix(data.dosage, engine)
    return BedMatrix(bed, engine, snps=np.arange(0, N_SNPS, 2) if request.param != "bed" else None)


def cut(n_snps: int, n_ranges: int, unit: int) -> list[SnpRange]:
    """About equal ranges of whole units, in an order that is not theirs."""
    ends = [min(-(-n_snps * k // (n_ranges * unit)) * unit, n_snps) for k in range(n_ranges + 1)]
    ranges = [SnpRange(first, end) for first, end in pairwise(ends)]
    return [ranges[k] for k in np.random.default_rng(n_ranges).permutation(n_ranges)]


def moments(blocks: Iterator[CrossProducts] | list[CrossProducts]) -> list[Floats]:
    """Everything of the cross-products, in the order of the SNPs."""
    blocks = sorted(blocks, key=lambda block: block.first_snp)
    names = ("n_called", "mean", "sum_squares", "products", "imputation")
    return [
        np.concatenate([getattr(block, name) for block in blocks])
        for name in names
        if getattr(blocks[0], name) is not None
    ]


# --- the tree -------------------------------------------------------------------------------------------------


def tree_sum(values: Floats, n: int, level: int, index: int) -> Any:
    """The sum over a node by recursion; None without a segment."""
    if index << level >= n:
        return None
    if level == 0:
        return values[index]
    left, right = (tree_sum(values, n, level - 1, 2 * index + half) for half in (0, 1))
    return left if right is None else left + right


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 8, 13, 64, 100])
def test_total_is_the_sum_of_the_tree_whatever_the_order(n: int) -> None:
    values = np.random.default_rng(n).standard_normal((n, 1, 1)) * 10.0 ** np.arange(n)[:, None, None]
    expected = tree_sum(values, n, (n - 1).bit_length(), 0)
    for seed in range(5):
        sums = SegmentSums(n)
        for segment in np.random.default_rng(seed).permutation(n).tolist():
            sums.add(segment, values[segment])
        np.testing.assert_array_equal(sums.total(), expected)


def test_sums_of_segments_are_not_simply_added_one_after_the_other() -> None:
    values = np.array([1.0, 2.0**-53, 2.0**-53, 2.0**-53]).reshape(4, 1, 1)
    sums = SegmentSums(4)
    for segment, value in enumerate(values):
        sums.add(segment, value)
    assert sums.total().item() == 1 + 2.0**-52
    assert values.sum() == 1


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 1023, 1024, 1025])
def test_pass_holds_one_sum_of_a_level(n: int) -> None:
    sums = SegmentSums(n)
    most = 0
    for segment in range(n):
        most = max(most, len(sums.nodes()))
        sums.add(segment, np.zeros((1, 1)))
    # beside the segment in work, and two halves with their sum
    assert most + 1 + (n > 1) <= n_held_sums(range(n * segments.SEGMENT_SNPS), n * segments.SEGMENT_SNPS)
    assert most <= np.log2(n) + 1
    assert len(sums.nodes()) == 1


def test_range_answers_with_a_handful_of_sums() -> None:
    sums = SegmentSums(100_000)
    for segment in range(777, 60_001):
        sums.add(segment, np.zeros((1, 1)))
    assert len(sums.nodes()) <= 2 * 16


def test_total_of_some_segments_is_refused() -> None:
    sums = SegmentSums(3)
    for segment in (0, 2):
        with pytest.raises(ValueError, match="do not cover all 3 segments"):
            sums.total()
        sums.add(segment, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="2 sums do not cover"):
        sums.total()
    sums.add(1, np.zeros((1, 1)))
    assert sums.total().item() == 0


def test_merging_leaves_the_merged_sums_as_they_are() -> None:
    parts = [SegmentSums(4) for _ in range(2)]
    for segment in range(4):
        parts[segment // 2].add(segment, np.full((1, 1), 2.0**segment))
    before = [part.nodes()[0][2].copy() for part in parts]
    whole = SegmentSums(4)
    for part in parts:
        whole.merge(part)
    assert whole.total().item() == 15
    for part, total in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part.nodes()[0][2], total)


def test_sums_survive_as_arrays() -> None:
    sums = SegmentSums(9)
    for segment in (0, 1, 2, 5):
        sums.add(segment, np.full((2, 1), segment))
    again = SegmentSums.from_arrays(9, sums.arrays())
    for one, other in zip(sums.nodes(), again.nodes(), strict=True):
        assert one[:2] == other[:2]
        np.testing.assert_array_equal(one[2], other[2])


@pytest.mark.parametrize("snps", [SnpRange(1), SnpRange(0, 5000), SnpRange(4096, 2048), SnpRange(0, N_SNPS + 1)])
def test_ranges_of_broken_units_are_refused(matrix: GenotypeMatrix, S: Floats, snps: SnpRange) -> None:
    for run in (
        lambda: matrix.gram_product(S, snps=snps),
        lambda: matrix.gram(snps=snps),
        lambda: list(matrix.cross_products(S, snps=snps)),
    ):
        with pytest.raises(UsageError, match="no range of whole units"):
            run()


# --- ranges of a matrix ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_ranges", CUTS)
def test_gram_product_of_ranges_is_that_of_one_pass(
    matrix: BedMatrix | ArrayMatrix, S: Floats, n_ranges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = matrix.gram_product(S).total()
    merged = SegmentSums(n_segments(matrix.n_snps))
    for k, snps in enumerate(cut(matrix.n_snps, n_ranges, segments.SEGMENT_SNPS)):
        # blocks that end inside of segments, and blocks that hold several
        monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1 if k % 2 else 8 << 20)
        matrix.engine = replace(matrix.engine, n_threads=1 + k % 3)
        merged.merge(matrix.gram_product(S, snps=snps))
    np.testing.assert_array_equal(merged.total(), expected)


def test_gram_product_agrees_with_numpy(matrix: GenotypeMatrix, S: Floats) -> None:
    Y = np.vstack([block.decode(np.arange(len(block.mean))).copy() for block in matrix.cross_products(S)])
    np.testing.assert_allclose(matrix.gram_product(S).total(), Y.T @ (Y @ S), rtol=1e-11, atol=1e-8)


@pytest.mark.parametrize("n_ranges", CUTS)
def test_cross_products_of_a_range_are_rows_of_the_whole(
    matrix: GenotypeMatrix, data: Structured, S: Floats, n_ranges: int
) -> None:
    for fill in (None, FactorFill(np.linalg.qr(data.X)[0])):
        expected = moments(matrix.cross_products(S, fill=fill))
        ranges = cut(matrix.n_snps, n_ranges, RESTART_SNPS)
        found = moments([block for snps in ranges for block in matrix.cross_products(S, snps=snps, fill=fill)])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_ranges", CUTS)
def test_chained_ranges_give_the_gram_matrix_of_one_pass(matrix: GenotypeMatrix, n_ranges: int) -> None:
    expected = matrix.gram()
    C = None
    for snps in sorted(cut(matrix.n_snps, n_ranges, segments.SEGMENT_SNPS), key=lambda snps: snps.first):
        C = matrix.gram(snps=snps, before=C)
    assert C is not None
    np.testing.assert_array_equal(C, expected)


class InRanges:
    """A matrix whose every product is made of five ranges, in another order each time."""

    def __init__(self, matrix: GenotypeMatrix) -> None:
        self._matrix = matrix
        self.n_samples, self.n_snps = matrix.n_samples, matrix.n_snps

    def gram_product(self, S: Floats, label: str = "", snps: SnpRange = ALL_SNPS, keeper: Any = None) -> SegmentSums:
        merged = SegmentSums(n_segments(self.n_snps))
        for part in cut(self.n_snps, 5, segments.SEGMENT_SNPS):
            merged.merge(self._matrix.gram_product(S, label, part))
        return merged

    def gram(
        self, label: str = "", snps: SnpRange = ALL_SNPS, keeper: Any = None, before: Floats | None = None
    ) -> Floats:
        raise AssertionError("krylov asks for products only")

    def cross_products(
        self, W: Floats, label: str = "", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        for part in cut(self.n_snps, 5, RESTART_SNPS):
            yield from self._matrix.cross_products(W, label, part, fill)


def test_krylov_run_over_ranges_gives_the_bits_of_one_machine(matrix: GenotypeMatrix, data: Structured) -> None:
    ridge = ridge_geometry(data.X, 1e-5)

    def run(matrix: GenotypeMatrix) -> list[Floats]:
        factors = estimate_from_matrix(matrix, ridge, 3, SolverOptions("krylov", tol=1e-6))
        assert factors.n_passes > 2
        model = AssociationModel(ridge, factors, 1, "paper", True)
        blocks = sorted(model.statistics(matrix), key=lambda block: block.first_snp)
        statistics = [
            np.concatenate([getattr(b, name) for b in blocks]) for name in ("t", "beta", "f_stat", "loadings")
        ]
        assert factors.spectrum is not None
        return [factors.U, factors.residuals, factors.spectrum.sample_totals, *statistics]

    for one, other in zip(run(InRanges(matrix)), run(matrix), strict=True):
        np.testing.assert_array_equal(one, other)


# --- segments of the true size --------------------------------------------------------------------------------


def test_segments_of_the_true_size(write_fileset: WriteFileset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert segments.SEGMENT_SNPS == 65_536
    n_snps = 3 * segments.SEGMENT_SNPS + 700
    bed = write_fileset(np.random.default_rng(1).integers(0, 3, (9, n_snps)).astype(float))
    S = np.random.default_rng(2).standard_normal((9, 2))
    expected = BedMatrix(bed, Engine(2, GIB)).gram_product(S).total()
    make: tuple[Callable[[Any], GenotypeMatrix], ...] = (
        lambda engine: BedMatrix(bed, engine),
        lambda engine: BedMatrix(bed, engine, snps=np.arange(n_snps)),
    )
    for n_ranges in CUTS[:2]:
        for memory in (1 << 18, GIB):
            for matrix in (one(Engine(n_ranges, memory)) for one in make):
                merged = SegmentSums(n_segments(n_snps))
                for snps in cut(n_snps, n_ranges, segments.SEGMENT_SNPS):
                    merged.merge(matrix.gram_product(S, snps=snps))
                np.testing.assert_array_equal(merged.total(), expected)
    # by hand: segments from zero, in a tree
    parts = [
        BedMatrix(bed, Engine(1, GIB), snps=np.arange(k * 65_536, min((k + 1) * 65_536, n_snps)))
        .gram_product(S)
        .total()
        for k in range(4)
    ]
    np.testing.assert_array_equal((parts[0] + parts[1]) + (parts[2] + parts[3]), expected)
