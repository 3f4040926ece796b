"""The genotype matrix: three verbs against dense NumPy, and the invariances that streaming promises."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from conftest import WriteFileset
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.errors import InconsistentInputError, InsufficientMemoryError, MalformedInputError, ReadError, UsageError
from lfmm2.genotypes import bed_matrix, segments
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import GROUP_SNPS, Engine
from lfmm2.genotypes.matrix import GenotypeMatrix
from lfmm2.genotypes.plink import BedFile
from lfmm2.process.progress import Progress

pytestmark = pytest.mark.usefixtures("one_blas_thread")

EPS = np.finfo(float).eps
GIB = 1 << 30
# three whole groups of SNPs and a rest; samples that leave three in the last byte
N_SAMPLES, N_SNPS = 131, 3 * GROUP_SNPS + 77

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def dosage() -> Floats:
    """(131, 1613) with 3 % missing; some SNPs never called, constant, or heterozygous in all."""
    rng = np.random.default_rng(5)
    dosage = rng.binomial(2, rng.uniform(0.02, 0.98, N_SNPS), (N_SAMPLES, N_SNPS)).astype(float)
    dosage[rng.random(dosage.shape) < 0.03] = np.nan
    for snp, value in ((3, np.nan), (4, 0.0), (5, 1.0), (600, 2.0)):
        dosage[:, snp] = value
    dosage[::2, 4:6] = np.nan
    return dosage


@pytest.fixture(scope="module")
def bed(dosage: Floats, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(dosage)


@pytest.fixture(scope="module")
def S() -> Floats:
    return np.random.default_rng(6).standard_normal((N_SAMPLES, 13))


def all_products(matrix: GenotypeMatrix, S: Floats) -> list[Floats]:
    """What the three verbs give, the cross-products in one piece with their moments."""
    blocks = list(matrix.cross_products(S))
    moments = [
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("n_called", "mean", "sum_squares", "products")
    ]
    return [matrix.gram_product(S).total(), matrix.gram(), *moments]


def assert_same_bits(actual: list[Floats], expected: list[Floats]) -> None:
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_close(actual: list[Floats], expected: list[Floats], n_terms: int = 2 * (N_SAMPLES + N_SNPS)) -> None:
    """Equal to `n_terms` roundings of the largest entry: the worst case of sums so long, far above the usual."""
    for one, other in zip(actual, expected, strict=True):
        scale = np.nanmax(np.abs(other), initial=0.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=n_terms * EPS * scale)


def least_memory(run: Callable[[Engine], Any], n_threads: int) -> int:
    """The smallest budget, to a KiB, that a pass accepts."""
    low, high = 0, GIB
    while high - low > 1024:
        middle = (low + high) // 2
        try:
            run(Engine(n_threads, middle))
            high = middle
        except InsufficientMemoryError:
            low = middle
    return high


class BlockCounter(Progress):
    """How many blocks a pass took."""

    n_blocks = 0

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.n_blocks += 1


VERBS: dict[str, Callable[[GenotypeMatrix, Floats], Any]] = {
    "gram_product": lambda matrix, S: matrix.gram_product(S).total(),
    "gram": lambda matrix, S: matrix.gram(),
    "cross_products": lambda matrix, S: np.vstack([block.products for block in matrix.cross_products(S)]),
}


# --- against dense NumPy --------------------------------------------------------------------------------------


def expected_products(dosage: Floats, S: Floats, scale: bool = False) -> list[Floats]:
    Y = reference.centred(dosage, scale)
    n_called = (~np.isnan(dosage)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(dosage, axis=0) / n_called
    return [Y @ (Y.T @ S), Y @ Y.T, n_called, mean, (Y**2).sum(axis=0), Y.T @ S]


@pytest.mark.parametrize("scale", [None, "hwe"])
def test_bed_matrix_agrees_with_numpy(
    dosage: Floats, bed: BedFile, S: Floats, engine: Engine, scale: str | None
) -> None:
    matrix = BedMatrix(bed, engine, scale=scale)
    assert_close(all_products(matrix, S), expected_products(dosage, S, scale == "hwe"))


@pytest.mark.parametrize("n_columns", [1, 16, 17, 40])
def test_bed_matrix_agrees_with_numpy_for_any_columns(
    dosage: Floats, bed: BedFile, engine: Engine, n_columns: int
) -> None:
    S = np.random.default_rng(n_columns).standard_normal((N_SAMPLES, n_columns))
    assert_close(all_products(BedMatrix(bed, engine), S), expected_products(dosage, S))


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 5, 63, 64, 65, 257, 1030])
def test_bed_matrix_agrees_with_numpy_for_any_number_of_samples(
    write_fileset: WriteFileset, engine: Engine, n_samples: int
) -> None:
    rng = np.random.default_rng(n_samples)
    dosage = rng.integers(0, 3, (n_samples, 40)).astype(float)
    S = rng.standard_normal((n_samples, 3))
    actual = all_products(BedMatrix(write_fileset(dosage), engine), S)
    assert_close(actual, expected_products(dosage, S), 2 * (n_samples + 40))


def test_bed_matrix_gram_is_symmetric_to_the_bit(bed: BedFile, engine: Engine) -> None:
    C = BedMatrix(bed, engine).gram()
    np.testing.assert_array_equal(C, C.T)


@pytest.mark.parametrize("scale", [None, "hwe"])
def test_bed_matrix_counting_a1_flips_only_signs_and_means(
    bed: BedFile, S: Floats, engine: Engine, scale: str | None
) -> None:
    G, C, n_called, mean, squares, products = all_products(BedMatrix(bed, engine, scale=scale), S)
    flipped = all_products(BedMatrix(bed, engine, scale=scale, count_allele="a1"), S)
    assert_same_bits(flipped, [G, C, n_called, 2 - mean, squares, -products])


def test_bed_matrix_sums_of_squares_are_exactly_zero_where_nothing_varies(bed: BedFile, engine: Engine) -> None:
    (block,) = BedMatrix(bed, engine).cross_products(np.ones((N_SAMPLES, 1)))
    assert not block.sum_squares[[3, 4, 5, 600]].any()


def test_bed_matrix_mean_of_a_snp_without_calls_is_nan(bed: BedFile, engine: Engine) -> None:
    (block,) = BedMatrix(bed, engine).cross_products(np.ones((N_SAMPLES, 1)))
    assert np.isnan(block.mean).nonzero()[0].tolist() == [3]
    assert block.n_called[3] == 0


def test_bed_matrix_decodes_rows_of_a_block(dosage: Floats, bed: BedFile) -> None:
    Y = reference.centred(dosage)
    engine = Engine(1, least_memory(lambda e: list(BedMatrix(bed, e).cross_products(np.ones((131, 1)))), 1))
    rows = np.array([7, 0, 76])
    for block in BedMatrix(bed, engine).cross_products(np.ones((N_SAMPLES, 1))):
        np.testing.assert_array_equal(block.decode(rows), Y.T[block.first_snp + rows])


def test_bed_matrix_call_rates_agree_with_cross_products(bed: BedFile, engine: Engine, S: Floats) -> None:
    matrix = BedMatrix(bed, engine)
    n_called, mean = (np.concatenate(column) for column in zip(*matrix.call_rates(), strict=True))
    assert_same_bits([n_called, mean], all_products(matrix, S)[2:4])


def test_bed_matrix_without_snps_gives_zeros(bed: BedFile, engine: Engine, S: Floats) -> None:
    matrix = BedMatrix(bed, engine, snps=np.arange(0))
    assert matrix.n_snps == 0
    assert not matrix.gram_product(S).total().any()
    assert not matrix.gram().any()
    assert list(matrix.cross_products(S)) == []


def test_bed_matrix_leaves_its_input_alone(bed: BedFile, engine: Engine, S: Floats) -> None:
    before = S.copy()
    all_products(BedMatrix(bed, engine), S)
    np.testing.assert_array_equal(S, before)


# --- the same bits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_threads_do_not_change_a_bit(bed: BedFile, S: Floats, n_threads: int, verb: str) -> None:
    one, many = (VERBS[verb](BedMatrix(bed, Engine(n, GIB)), S) for n in (1, n_threads))
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_memory_does_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, bed: BedFile, S: Floats, n_threads: int, verb: str
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 512)  # so short that a panel of the Gram matrix is a group too
    least = least_memory(lambda engine: VERBS[verb](BedMatrix(bed, engine), S), n_threads)
    expected = VERBS[verb](BedMatrix(bed, Engine(n_threads, GIB)), S)
    n_blocks = []
    for memory in (least, least + (40 << 10), least + (120 << 10), GIB):
        counter = BlockCounter()
        np.testing.assert_array_equal(VERBS[verb](BedMatrix(bed, Engine(n_threads, memory, counter)), S), expected)
        n_blocks.append(counter.n_blocks)
    # one group a block at first, all in one at last: the budgets did differ
    assert n_blocks[0] == 4
    assert n_blocks[-1] == 1
    assert n_blocks == sorted(n_blocks, reverse=True)


@pytest.mark.parametrize("verb", VERBS)
def test_snps_give_the_bits_of_a_physically_subset_file(
    dosage: Floats, bed: BedFile, S: Floats, write_fileset: WriteFileset, verb: str
) -> None:
    # stretches, single SNPs, and gaps of all sizes
    snps = np.flatnonzero(np.random.default_rng(0).random(N_SNPS) < np.linspace(0.2, 1, N_SNPS))
    for n_threads, memory in ((1, GIB), (3, 4 << 20)):
        engine = Engine(n_threads, memory)
        chosen = VERBS[verb](BedMatrix(bed, engine, snps=snps), S)
        np.testing.assert_array_equal(chosen, VERBS[verb](BedMatrix(write_fileset(dosage[:, snps]), engine), S))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("n_kept", [1, 2, 64, 97, 131])
def test_samples_give_the_bits_of_a_physically_subset_file(
    dosage: Floats, bed: BedFile, S: Floats, write_fileset: WriteFileset, n_kept: int, verb: str
) -> None:
    samples = np.random.default_rng(n_kept).permutation(N_SAMPLES)[:n_kept]
    for n_threads, memory in ((1, GIB), (3, 4 << 20)):
        engine = Engine(n_threads, memory)
        chosen = VERBS[verb](BedMatrix(bed, engine, samples=samples), S[:n_kept])
        subset = BedMatrix(write_fileset(dosage[samples]), engine)
        np.testing.assert_array_equal(chosen, VERBS[verb](subset, S[:n_kept]))


@pytest.mark.parametrize("verb", VERBS)
def test_samples_and_snps_together_give_the_bits_of_a_physically_subset_file(
    dosage: Floats, bed: BedFile, S: Floats, write_fileset: WriteFileset, engine: Engine, verb: str
) -> None:
    samples, snps = np.arange(N_SAMPLES)[::-2], np.arange(10, N_SNPS, 3)
    chosen = VERBS[verb](BedMatrix(bed, engine, samples=samples, snps=snps), S[: len(samples)])
    subset = BedMatrix(write_fileset(dosage[np.ix_(samples, snps)]), engine)
    np.testing.assert_array_equal(chosen, VERBS[verb](subset, S[: len(samples)]))


def test_duplicate_snps_give_identical_rows(
    dosage: Floats, S: Floats, write_fileset: WriteFileset, engine: Engine
) -> None:
    # the copies fall into other tiles and into other rows of a tile
    positions = np.array([0, 1, 63, 64, 200, 511, 512, 900, N_SNPS - 1])
    copied = dosage.copy()
    copied[:, positions] = dosage[:, [10]]
    products = VERBS["cross_products"](BedMatrix(write_fileset(copied), engine), S)
    whole_tiles = products[positions[:-1]]
    np.testing.assert_array_equal(whole_tiles, np.tile(products[0], (len(whole_tiles), 1)))
    # BLAS may sum the odd rows of the last, short tile in another order
    assert_close([products[-1]], [products[0]], 2 * N_SAMPLES)


# --- equal up to rounding -------------------------------------------------------------------------------------


def test_sample_order_permutes_the_products(dosage: Floats, bed: BedFile, S: Floats, engine: Engine) -> None:
    order = np.random.default_rng(1).permutation(N_SAMPLES)
    G, C, *moments = all_products(BedMatrix(bed, engine), S)
    permuted = all_products(BedMatrix(bed, engine, samples=order), S[order])
    assert_close(permuted, [G[order], C[np.ix_(order, order)], *moments])


def test_snp_order_permutes_the_rows_only(
    dosage: Floats, bed: BedFile, S: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    order = np.random.default_rng(2).permutation(N_SNPS)
    G, C, *moments = all_products(BedMatrix(bed, engine), S)
    permuted = all_products(BedMatrix(write_fileset(dosage[:, order]), engine), S)
    assert_close(permuted, [G, C, *(moment[order] for moment in moments)])


def test_swapping_alleles_in_the_file_flips_signs(
    dosage: Floats, bed: BedFile, S: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    G, C, n_called, mean, squares, products = all_products(BedMatrix(bed, engine), S)
    swapped = all_products(BedMatrix(write_fileset(2 - dosage), engine), S)
    assert_close(swapped, [G, C, n_called, 2 - mean, squares, -products])


# --- float32 --------------------------------------------------------------------------------------------------


@pytest.fixture
def float32_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed_matrix, "FLOAT32_SAMPLES", 1)


def in_float32(matrix: BedMatrix, S: Floats) -> Floats:
    return matrix.gram_product(S, precision="float32").total()


@pytest.mark.usefixtures("float32_for_all")
@pytest.mark.parametrize("options", [{}, {"scale": "hwe"}, {"count_allele": "a1"}, {"samples": np.arange(0, 99, 3)}])
def test_gram_product_in_float32_is_near_that_in_float64(
    bed: BedFile, S: Floats, engine: Engine, options: dict[str, Any]
) -> None:
    matrix = BedMatrix(bed, engine, **options)
    S = S[: matrix.n_samples]
    expected = matrix.gram_product(S).total()
    error = np.linalg.norm(in_float32(matrix, S) - expected, axis=0) / np.linalg.norm(expected, axis=0)
    assert (error < 1e-6).all()
    assert (error > 1e-9).all(), "this is not a product in float32"


@pytest.mark.usefixtures("float32_for_all")
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("block_bytes", [1, 1 << 24])
def test_gram_product_in_float32_has_the_same_bits_for_any_threads_and_blocks(
    bed: BedFile, S: Floats, monkeypatch: pytest.MonkeyPatch, n_threads: int, block_bytes: int
) -> None:
    expected = in_float32(BedMatrix(bed, Engine(2, GIB)), S)
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", block_bytes)
    np.testing.assert_array_equal(in_float32(BedMatrix(bed, Engine(n_threads, GIB)), S), expected)


@pytest.mark.usefixtures("float32_for_all")
def test_gram_product_in_float32_over_ranges_gives_the_bits_of_one_pass(
    bed: BedFile, S: Floats, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SNPS", GROUP_SNPS)
    matrix = BedMatrix(bed, engine)
    merged = segments.SegmentSums(segments.n_segments(N_SNPS))
    for first, end in ((GROUP_SNPS, 3 * GROUP_SNPS), (0, GROUP_SNPS), (3 * GROUP_SNPS, N_SNPS)):
        merged.merge(matrix.gram_product(S, snps=segments.SnpRange(first, end), precision="float32"))
    np.testing.assert_array_equal(merged.total(), in_float32(matrix, S))


def test_precision_is_ignored_where_float32_saves_nothing(bed: BedFile, S: Floats, engine: Engine) -> None:
    matrix = BedMatrix(bed, engine)
    assert not matrix.has_float32
    np.testing.assert_array_equal(in_float32(matrix, S), matrix.gram_product(S).total())


# --- threads that share out the samples -----------------------------------------------------------------------


@pytest.fixture
def shared_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed_matrix, "SHARED_SAMPLES", 1)


@pytest.mark.usefixtures("shared_samples")
@pytest.mark.parametrize("n_columns", [1, 13, 40])
def test_gram_product_of_many_samples_agrees_with_numpy(
    dosage: Floats, bed: BedFile, engine: Engine, n_columns: int
) -> None:
    S = np.random.default_rng(0).standard_normal((N_SAMPLES, n_columns))
    assert_close([BedMatrix(bed, engine).gram_product(S).total()], expected_products(dosage, S)[:1])


@pytest.mark.usefixtures("shared_samples")
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("block_bytes", [1, 1 << 24])
def test_gram_product_of_many_samples_has_the_same_bits_for_any_threads_and_blocks(
    bed: BedFile, S: Floats, monkeypatch: pytest.MonkeyPatch, n_threads: int, block_bytes: int
) -> None:
    expected = BedMatrix(bed, Engine(2, GIB)).gram_product(S).total()
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", block_bytes)
    np.testing.assert_array_equal(BedMatrix(bed, Engine(n_threads, GIB)).gram_product(S).total(), expected)


@pytest.mark.usefixtures("shared_samples", "float32_for_all")
def test_memory_of_the_gram_product_of_many_samples_does_not_grow_with_the_threads(bed: BedFile) -> None:
    one, many = (BedMatrix(bed, Engine(n, GIB)).footprint_of_gram_product(13, GIB) for n in (1, 65))
    workspaces = 64 * 8 * _core.workspace_size(256, 112, 16)
    assert many.held - one.held <= workspaces
    assert many.per_snp == one.per_snp


# --- passes, memory and errors --------------------------------------------------------------------------------


def test_bed_matrix_records_its_passes(bed: BedFile, engine: Engine, S: Floats) -> None:
    matrix = BedMatrix(bed, engine, samples=np.arange(10))
    matrix.gram_product(S[:10], label="one")
    matrix.gram(label="two")
    list(matrix.cross_products(S[:10], label="three"))
    # read from storage are all samples, whatever is used of them
    n_bytes = N_SNPS * bed.bytes_per_snp
    assert [(record.label, record.n_snps, record.n_bytes) for record in engine.passes] == [
        ("one", N_SNPS, n_bytes),
        ("two", N_SNPS, n_bytes),
        ("three", N_SNPS, n_bytes),
    ]


@pytest.mark.parametrize("chosen", [{}, {"samples": np.arange(1000)[::-1]}, {"samples": np.arange(100)}])
@pytest.mark.usefixtures("float32_for_all")
@pytest.mark.parametrize(
    "verb", ["gram_product", "gram_product of many samples", "gram_product in float32", "cross_products"]
)
def test_bed_matrix_stays_within_the_budget_that_it_accepts(
    write_fileset: WriteFileset, monkeypatch: pytest.MonkeyPatch, verb: str, chosen: dict[str, Any]
) -> None:
    bed = write_fileset(np.random.default_rng(0).integers(0, 3, (1000, 1200)).astype(float))
    monkeypatch.setattr(bed_matrix, "SHARED_SAMPLES", 1 if verb.endswith("many samples") else 10**9)
    S = np.ones((len(chosen.get("samples", range(1000))), 3), order="F")

    def run(engine: Engine) -> None:
        matrix = BedMatrix(bed, engine, **chosen)
        if verb.startswith("gram_product") and not verb.endswith("float32"):
            matrix.gram_product(S)
        elif verb == "gram_product in float32":
            in_float32(matrix, S)
        else:
            for _ in matrix.cross_products(S):
                pass

    least = least_memory(run, 2)
    tracemalloc.start()
    try:
        run(Engine(2, least))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # thread, generator and file objects take some 20 KiB that no plan counts
    assert peak <= least + (32 << 10)


def test_bed_matrix_notices_a_file_that_changes_during_a_pass(S: Floats, write_fileset: WriteFileset) -> None:
    bed = write_fileset(np.ones((N_SAMPLES, 5)))
    blocks = BedMatrix(bed, Engine(1, GIB)).cross_products(S)
    next(blocks)
    os.utime(bed.path, ns=(0, 0))
    with pytest.raises(ReadError, match="was changed since it was opened"):
        next(blocks)


@pytest.mark.parametrize("verb", VERBS)
def test_bed_matrix_notices_a_file_that_changed_before_a_pass(
    S: Floats, write_fileset: WriteFileset, verb: str
) -> None:
    bed = write_fileset(np.ones((N_SAMPLES, 5)))
    bed.path.write_bytes(b"")
    with pytest.raises(ReadError, match="was changed since it was opened"):
        VERBS[verb](BedMatrix(bed, Engine(1, GIB)), S)


@pytest.mark.parametrize("snps", [[0, 2, 1], [3, 3], [-1, 0], [N_SNPS - 1, N_SNPS]])
def test_bed_matrix_refuses_snps_that_do_not_ascend_or_exist(
    bed: BedFile, S: Floats, engine: Engine, snps: list[int]
) -> None:
    with pytest.raises(UsageError, match=r"ascend|are not among"):
        BedMatrix(bed, engine, snps=np.array(snps)).gram_product(S)


def test_bed_matrix_refuses_samples_that_do_not_exist(bed: BedFile, S: Floats, engine: Engine) -> None:
    with pytest.raises(IndexError, match=r"sample_index\[1\] is 131, outside"):
        BedMatrix(bed, engine, samples=np.array([0, N_SAMPLES])).gram_product(S[:2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"scale": "sd"}, "scale is 'sd'"), ({"count_allele": "A2"}, "count_allele is 'A2'")],
)
def test_bed_matrix_refuses_unknown_options(bed: BedFile, engine: Engine, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BedMatrix(bed, engine, **wrong)


def test_bed_matrix_of_chosen_samples_takes_two_passes_at_once(
    bed: BedFile, S: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.arange(N_SAMPLES)[::-1]
    least = least_memory(lambda engine: list(BedMatrix(bed, engine, samples=samples).cross_products(S)), 1)
    matrix = BedMatrix(bed, Engine(1, least), samples=samples)
    expected = VERBS["cross_products"](matrix, S)
    read_packed = BedFile.read_packed

    def read_slowly(bed: BedFile, first_snp: int, packed_out: NDArray[np.uint8]) -> None:
        read_packed(bed, first_snp, packed_out)
        time.sleep(0.02)

    monkeypatch.setattr(BedFile, "read_packed", read_slowly)
    # one is a block ahead of the other, so that their readers fetch different ones
    ahead, behind = matrix.cross_products(S), matrix.cross_products(S)
    products = [next(ahead).products]
    products += [block.products for pair in zip(behind, ahead, strict=False) for block in pair]
    np.testing.assert_array_equal(np.vstack([products[0], *products[2::2]]), expected)
    np.testing.assert_array_equal(np.vstack(products[1::2]), expected[: 3 * GROUP_SNPS])


# --- ArrayMatrix ----------------------------------------------------------------------------------------------


def test_array_matrix_equals_bed_matrix(dosage: Floats, bed: BedFile, S: Floats, engine: Engine) -> None:
    assert_close(all_products(ArrayMatrix(dosage, engine), S), all_products(BedMatrix(bed, engine), S))


@pytest.mark.parametrize("block_snps", [1, 100, 1613, 5000])
def test_array_matrix_gives_every_snp_for_any_block(
    dosage: Floats, S: Floats, engine: Engine, block_snps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArrayMatrix, "BLOCK_SNPS", block_snps)
    assert_close(all_products(ArrayMatrix(dosage, engine), S), expected_products(dosage, S))


def test_array_matrix_uses_chosen_samples_and_snps(dosage: Floats, S: Floats, engine: Engine) -> None:
    samples, snps = np.array([5, 3, 100]), np.array([9, 3, 700])
    matrix = ArrayMatrix(dosage, engine, samples=samples, snps=snps)
    assert (matrix.n_samples, matrix.n_snps) == (3, 3)
    assert_close(all_products(matrix, S[:3]), expected_products(dosage[np.ix_(samples, snps)], S[:3]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_array_matrix_takes_any_real_numbers(S: Floats, engine: Engine, dtype: type, order: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (N_SAMPLES, 50)).astype(dtype, order=order)
    assert_close(all_products(ArrayMatrix(values, engine), S), expected_products(values.astype(float), S))


def test_array_matrix_does_not_modify_the_values(dosage: Floats, S: Floats, engine: Engine) -> None:
    values = dosage.copy()
    values.flags.writeable = False
    all_products(ArrayMatrix(values, engine), S)
    np.testing.assert_array_equal(values, dosage)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e-300, 1 / 3, 1e17, np.nan])
@pytest.mark.parametrize("missing", [slice(0), slice(None, None, 2), slice(1, None)])
def test_array_matrix_sees_that_a_column_is_constant(
    S: Floats, engine: Engine, constant: float, missing: slice
) -> None:
    # its mean is rounded, so centring alone would leave noise
    values = np.random.default_rng(0).uniform(0, 1, (N_SAMPLES, 3))
    values[:, 1] = constant
    values[missing, 1] = np.nan
    (block,) = ArrayMatrix(values, engine).cross_products(S)
    assert block.sum_squares[1] == 0
    assert not block.products[1].any()
    assert block.sum_squares[[0, 2]].all()


def test_array_matrix_keeps_small_variation_on_a_large_mean(engine: Engine) -> None:
    noise = np.random.default_rng(0).standard_normal((N_SAMPLES, 1))
    (block,) = ArrayMatrix(1e6 + 1e-3 * noise, engine).cross_products(np.ones((N_SAMPLES, 1)))
    # 1e6 is held to 1e-10, 1e-7 of the variation
    np.testing.assert_allclose(block.sum_squares, 1e-6 * N_SAMPLES * noise.var(), rtol=1e-6)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
@pytest.mark.parametrize("verb", VERBS)
def test_array_matrix_refuses_infinite_values(S: Floats, engine: Engine, infinite: float, verb: str) -> None:
    values = np.zeros((N_SAMPLES, 5))
    values[7, 3] = infinite
    with pytest.raises(MalformedInputError, match="infinite values; use NaN for missing"):
        VERBS[verb](ArrayMatrix(values, engine), S)


@pytest.mark.parametrize(
    "values",
    [np.zeros(5), np.zeros((5, 2, 2)), np.zeros((5, 2), complex), np.zeros((5, 2), bool), np.full((5, 2), "1")],
)
def test_array_matrix_refuses_what_are_no_numbers_in_a_table(values: NDArray[Any], engine: Engine) -> None:
    with pytest.raises(InconsistentInputError, match=r"give (real numbers|an array \(n_samples, n_snps\))"):
        ArrayMatrix(values, engine)


def test_array_matrix_decodes_rows_of_a_block(dosage: Floats, S: Floats, engine: Engine) -> None:
    (block,) = ArrayMatrix(dosage, engine).cross_products(S)
    rows = np.array([7, 0, 1600])
    np.testing.assert_allclose(block.decode(rows), reference.centred(dosage).T[rows], rtol=0, atol=4 * EPS)
