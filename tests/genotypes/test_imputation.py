"""Missing calls filled from factors: against the dense regression, the same bits, and errors of held-out calls."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import reference
from conftest import Structured, WriteFileset
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.errors import InsufficientMemoryError, UsageError
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import GROUP_SNPS, Engine
from lfmm2.genotypes.imputation import ERROR_FACTORS, ERROR_MEAN, FactorFill, FillSize, HeldOutError, PackedFill
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, GenotypeMatrix
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.genotypes.segments import SnpRange
from lfmm2.kernels import _impute
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.resumable_matrix import ResumableMatrix

pytestmark = pytest.mark.usefixtures("one_blas_thread")

Floats = NDArray[np.float64]

GIB = 1 << 30
N_SAMPLES, N_SNPS, K = 131, 2 * GROUP_SNPS + 77, 5
# a regression on the called samples alone, where 60 % are missing, loses about two digits of sixteen
TOLERANCE = 1e-11


def random_dosage(n_samples: int, n_snps: int, missing_rate: float, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.1, 0.9, n_snps), (n_samples, n_snps)).astype(float)
    dosage[rng.random(dosage.shape) < missing_rate] = np.nan
    return dosage


@pytest.fixture(scope="module")
def U() -> Floats:
    return np.random.default_rng(1).standard_normal((N_SAMPLES, K))


@pytest.fixture(scope="module")
def W(U: Floats) -> Floats:
    """Centred, with U in its span, as the regression of the tests is."""
    C = np.c_[np.random.default_rng(2).standard_normal((N_SAMPLES, 2)), U]
    return np.linalg.qr(C - C.mean(axis=0))[0]


@pytest.fixture(scope="module")
def dosage() -> Floats:
    """Every rate from none to 90 %; some SNPs complete, never called, called once, constant."""
    rng = np.random.default_rng(3)
    dosage = rng.binomial(2, rng.uniform(0.1, 0.9, N_SNPS), (N_SAMPLES, N_SNPS)).astype(float)
    dosage[rng.random(dosage.shape) < np.linspace(0, 0.6, N_SNPS)] = np.nan
    dosage[:, 600:640] = random_dosage(N_SAMPLES, 40, 0.9)
    dosage[:, 10:20] = random_dosage(N_SAMPLES, 10, 0.0)
    dosage[:, 3] = np.nan
    dosage[:, 4] = np.nan
    dosage[7, 4] = 2
    dosage[:, 5] = 1
    dosage[::3, 5] = np.nan
    return dosage


@pytest.fixture(scope="module")
def bed(dosage: Floats, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(dosage)


def joined(blocks: Iterator[CrossProducts]) -> dict[str, Floats]:
    """All SNPs of a pass in one piece, decoded too."""
    parts: dict[str, list[Floats]] = {}
    for block in blocks:
        values: dict[str, Any] = {
            name: getattr(block, name) for name in ("n_called", "mean", "sum_squares", "products")
        }
        values["imputation"] = np.empty((len(block.mean), 0)) if block.imputation is None else block.imputation
        values["decoded"] = block.decode(np.arange(len(block.mean)))
        for name, value in values.items():
            parts.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in parts.items()}


def assert_same_bits(actual: dict[str, Floats], expected: dict[str, Floats]) -> None:
    assert actual.keys() == expected.keys()
    for name in actual:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def assert_filled(
    blocks: Iterator[CrossProducts], dosage: Floats, U: Floats, W: Floats, scale: bool = False, tol: float = TOLERANCE
) -> None:
    """Products, squares and values are those of the dense regression."""
    filled = reference.filled(dosage, U)
    mean = np.array([y[~np.isnan(y)].mean() if not np.isnan(y).all() else np.nan for y in dosage.T])
    Y = np.nan_to_num(filled - filled.mean(axis=0))
    constant = np.ptp(np.where(np.isnan(dosage), mean, dosage), axis=0) == 0
    Y[:, constant] = 0
    if scale:
        with np.errstate(divide="ignore", invalid="ignore"):
            Y = np.where(constant | np.isnan(mean), 0, Y / np.sqrt(mean * (1 - mean / 2)))
    actual = joined(blocks)
    np.testing.assert_array_equal(actual["n_called"], (~np.isnan(dosage)).sum(axis=0))
    np.testing.assert_allclose(actual["mean"], mean, rtol=1e-14)
    np.testing.assert_allclose(actual["decoded"], Y.T, rtol=0, atol=tol)
    np.testing.assert_allclose(actual["products"], Y.T @ W, rtol=0, atol=tol * len(U))
    np.testing.assert_allclose(actual["sum_squares"], (Y**2).sum(axis=0), rtol=tol, atol=tol * len(U))


def expected_errors(dosage: Floats, U: Floats, fill: FactorFill, first: int = 0) -> Floats:
    """Squared errors of the held-out calls by refitting without them."""
    errors = []
    for y, draw in zip(dosage.T, fill.draw_numbers(first, dosage.shape[1]).tolist(), strict=True):
        called = np.flatnonzero(~np.isnan(y))
        errors.append(reference.left_out_errors(y, U, called[draw % len(called)]))
    return np.square(errors)


# --- against the dense regression -----------------------------------------------------------------------------


@pytest.mark.parametrize("missing_rate", [0.0, 0.01, 0.05, 0.3, 0.6])
@pytest.mark.parametrize("in_memory", [False, True])
def test_filled_snps_agree_with_the_dense_regression(
    U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset, missing_rate: float, in_memory: bool
) -> None:
    dosage = random_dosage(N_SAMPLES, 300, missing_rate)
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(write_fileset(dosage), engine)
    assert_filled(matrix.cross_products(W, fill=FactorFill(U)), dosage, U, W)


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("n_columns", [1, 3, 8])
def test_factors_need_not_lie_in_the_span_of_the_columns(
    U: Floats, engine: Engine, write_fileset: WriteFileset, n_columns: int, in_memory: bool
) -> None:
    dosage = random_dosage(N_SAMPLES, 200, 0.3)
    # nor need the columns be centred
    S = np.random.default_rng(n_columns).standard_normal((N_SAMPLES, n_columns)) + 1
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(write_fileset(dosage), engine)
    assert_filled(matrix.cross_products(S, fill=FactorFill(U)), dosage, U, S)


@pytest.mark.parametrize("options", [{"scale": "hwe"}, {"count_allele": "a1"}, {"scale": "hwe", "count_allele": "a1"}])
def test_filling_knows_the_coding(
    U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset, options: dict[str, str]
) -> None:
    dosage = random_dosage(N_SAMPLES, 200, 0.3)
    coded = 2 - dosage if "count_allele" in options else dosage
    matrix = BedMatrix(write_fileset(dosage), engine, **options)
    fill = FactorFill(U)
    assert_filled(matrix.cross_products(W, fill=fill), coded, U, W, "scale" in options)
    # errors are those of dosages whatever the coding
    (block,) = matrix.cross_products(W, fill=fill)
    np.testing.assert_allclose(block.imputation, expected_errors(coded, U, fill), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_factors", [0, 1, 2, 7, 8, 20, 23])
def test_any_number_of_factors(engine: Engine, write_fileset: WriteFileset, n_factors: int) -> None:
    dosage = random_dosage(90, 150, 0.25)
    # around and above as many missing calls as equations
    dosage[:, :50] = random_dosage(90, 50, n_factors / 90)
    U = np.random.default_rng(4).standard_normal((90, n_factors))
    S = np.random.default_rng(5).standard_normal((90, 2))
    matrix = BedMatrix(write_fileset(dosage), engine)
    fill = FactorFill(U)
    for columns in (S, np.c_[S, U]):
        assert_filled(matrix.cross_products(columns, fill=fill), dosage, U, columns)
    (block,) = matrix.cross_products(S, fill=fill)
    np.testing.assert_allclose(block.imputation, expected_errors(dosage, U, fill), rtol=1e-9, atol=1e-12)
    (block,) = ArrayMatrix(dosage, engine).cross_products(S, fill=fill)
    np.testing.assert_allclose(block.imputation, expected_errors(dosage, U, fill), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_samples", range(1, 10))
@pytest.mark.parametrize("n_factors", [0, 1, 2])
def test_few_samples(write_fileset: WriteFileset, engine: Engine, n_samples: int, n_factors: int) -> None:
    rng = np.random.default_rng(n_samples)
    dosage = rng.integers(0, 3, (n_samples, 60)).astype(float)
    dosage[rng.random(dosage.shape) < 0.3] = np.nan
    U, S = rng.standard_normal((n_samples, n_factors)), rng.standard_normal((n_samples, 2))
    for matrix in (BedMatrix(write_fileset(dosage), engine), ArrayMatrix(dosage, engine)):
        # nearly singular ones lose more digits
        assert_filled(matrix.cross_products(S, fill=FactorFill(U)), dosage, U, S, tol=1e-9)


def test_odd_snps_agree_with_the_dense_regression(
    dosage: Floats, bed: BedFile, U: Floats, W: Floats, engine: Engine
) -> None:
    # with few called samples left, a regression loses some digits
    for matrix in (BedMatrix(bed, engine), ArrayMatrix(dosage, engine)):
        assert_filled(matrix.cross_products(W, fill=FactorFill(U)), dosage, U, W, tol=1e-8)


def test_chosen_samples_take_their_own_factors(
    dosage: Floats, bed: BedFile, U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    samples = np.random.default_rng(0).permutation(N_SAMPLES)[:97]
    snps = np.arange(20, 500, 3)
    fill = FactorFill(U[samples])
    chosen = BedMatrix(bed, engine, samples=samples, snps=snps).cross_products(W[samples], fill=fill)
    subset = dosage[np.ix_(samples, snps)]
    expected = joined(BedMatrix(write_fileset(subset), engine).cross_products(W[samples], fill=fill))
    assert_same_bits(joined(chosen), expected)
    array = ArrayMatrix(dosage, engine, samples=samples, snps=snps).cross_products(W[samples], fill=fill)
    np.testing.assert_allclose(joined(array)["imputation"], expected["imputation"], rtol=1e-8, atol=1e-12)
    assert_filled(ArrayMatrix(subset, engine).cross_products(W[samples], fill=fill), subset, U[samples], W[samples])


def test_without_snps_there_is_nothing_to_fill(bed: BedFile, U: Floats, W: Floats, engine: Engine) -> None:
    assert list(BedMatrix(bed, engine, snps=np.arange(0)).cross_products(W, fill=FactorFill(U))) == []


def test_pad_bits_that_look_missing_are_ignored(U: Floats) -> None:
    n = 5
    packed = encode_bed(np.nan_to_num(random_dosage(n, 30, 0.2).T, nan=-1).astype(np.int8))
    dirty = packed.copy()
    dirty[:, -1] |= 0b01010100
    fill, results = FactorFill(U[:n, :1]), []
    for block in (packed, dirty):
        block.flags.writeable = False
        counts, products = np.empty((30, 4), np.int64), np.empty((30, 4))
        S = np.random.default_rng(0).standard_normal((n, 4))
        _core.cross_products(block, n, 0, S, counts, products, 4, 8, np.empty((1, _core.workspace_size(4, 8, 4))))
        filler = PackedFill(fill, S, 1)
        filled = filler.apply(0, block, 0, counts, products)
        decoded = np.zeros((30, n))
        filler.fill_decoded(block, filled.coefficients, decoded)
        results.append({"products": products, "squares": filled.squares, "errors": filled.held_out, "decoded": decoded})
    assert_same_bits(*results)
    assert results[0]["decoded"].any()


def test_tests_of_filled_snps_are_those_of_the_dense_method(
    structured: Structured, structured_bed: BedFile, engine: Engine
) -> None:
    dosage, X = structured.dosage, structured.X
    U = reference.fit_factors(reference.centred(dosage), X, 3)[0]
    C = np.c_[X - X.mean(axis=0), U - U.mean(axis=0)]
    Q, R = np.linalg.qr(np.c_[C[:, 2:], C[:, :2]])
    Y = reference.centred(reference.filled(dosage, U))
    t = reference.least_squares(Y, C, 2, 120 - 5)[2]
    for block in BedMatrix(structured_bed, engine).cross_products(Q, fill=FactorFill(U)):
        z = block.products
        rss = block.sum_squares - (z**2).sum(axis=1)
        R_inverse = np.linalg.inv(R[3:, 3:])
        actual = (z[:, 3:] @ R_inverse.T) / np.sqrt(np.outer(rss / 115, (R_inverse**2).sum(axis=1)))
        rows = slice(block.first_snp, block.first_snp + len(z))
        np.testing.assert_allclose(actual, t[rows], rtol=1e-9, atol=1e-9)


# --- left at the mean -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undetermined(U: Floats) -> tuple[Floats, Floats]:
    """Dosages, and factors of which one tells a population that is missing in SNP 0, and but for one call in SNP 2.

    SNP 1 has as many calls as coefficients, SNP 3 one more.
    """
    population = (np.arange(N_SAMPLES) < 30).astype(float)
    factors = np.c_[population, U[:, :2]]
    dosage = random_dosage(N_SAMPLES, 4, 0.0, seed=9)
    dosage[:30, 0] = np.nan
    dosage[1:30, 2] = np.nan
    calls = np.array([2, 0, 1, 2, 0])
    for snp, n_called in ((1, 4), (3, 5)):
        called = np.r_[0:2, 60 : 60 + n_called - 2]
        dosage[:, snp] = np.nan
        dosage[called, snp] = calls[:n_called]
    return dosage, factors


def test_where_the_called_do_not_determine_the_regression_the_mean_is_left(
    undetermined: tuple[Floats, Floats], W: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    dosage, factors = undetermined
    fill = FactorFill(factors)
    for matrix in (BedMatrix(write_fileset(dosage), engine), ArrayMatrix(dosage, engine)):
        plain = joined(matrix.cross_products(W))
        filled = joined(matrix.cross_products(W, fill=fill))
        for name in ("products", "sum_squares", "decoded"):
            np.testing.assert_array_equal(filled[name][:2], plain[name][:2])
            assert (filled[name][2:] != plain[name][2:]).any()
        errors = filled["imputation"]
        assert np.isfinite(errors[:2, ERROR_MEAN]).all()
        assert np.isnan(errors[:2, ERROR_FACTORS]).all()
        total = HeldOutError()
        total.add(errors)
        assert total.n_left_at_mean == 2
        # one call more than coefficients: fitted far outside of the dosages, with few digits to spare
        assert_filled(matrix.cross_products(W, fill=fill), dosage, factors, W, tol=1e-9)


def test_a_call_that_determines_its_own_fit_is_not_held_out(
    undetermined: tuple[Floats, Floats], W: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    # SNP 2: the only call of its population
    dosage, factors = undetermined
    hits = 0
    for seed in range(300):
        fill = FactorFill(factors, seed)
        if int(fill.draw_numbers(2, 1)[0] % 102) == 0:
            hits += 1
            for matrix in (BedMatrix(write_fileset(dosage), engine), ArrayMatrix(dosage, engine)):
                (block,) = matrix.cross_products(W, fill=fill)
                assert block.imputation is not None
                assert np.isnan(block.imputation[2]).all()
    assert hits


def test_complete_snps_of_too_few_samples_are_not_left_at_the_mean(engine: Engine, write_fileset: WriteFileset) -> None:
    dosage = np.array([[0.0, 1], [1, 1], [2, 0]])
    fill = FactorFill(np.random.default_rng(0).standard_normal((3, 2)))
    for matrix in (BedMatrix(write_fileset(dosage), engine), ArrayMatrix(dosage, engine)):
        (block,) = matrix.cross_products(np.eye(3), fill=fill)
        assert block.imputation is not None
        assert np.isnan(block.imputation).all()


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
def test_snps_without_variation_are_neither_filled_nor_held_out(
    U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset, value: float
) -> None:
    dosage = np.full((N_SAMPLES, 3), value)
    dosage[::2, 1] = np.nan
    dosage[1:, 2] = np.nan
    for matrix in (BedMatrix(write_fileset(dosage), engine), ArrayMatrix(dosage, engine)):
        filled = joined(matrix.cross_products(W, fill=FactorFill(U)))
        assert not filled["decoded"].any()
        assert not filled["products"].any()
        assert not filled["sum_squares"].any()
        assert np.isnan(filled["imputation"]).all()


# --- the same bits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [False, True])
def test_complete_snps_keep_their_bits(
    U: Floats, W: Floats, engine: Engine, bed: BedFile, dosage: Floats, in_memory: bool
) -> None:
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(bed, engine)
    complete = ~np.isnan(dosage).any(axis=0)
    assert complete.sum() >= 10
    plain, filled = joined(matrix.cross_products(W)), joined(matrix.cross_products(W, fill=FactorFill(U)))
    for name in ("n_called", "mean"):
        np.testing.assert_array_equal(filled[name], plain[name])
    for name in ("sum_squares", "products", "decoded"):
        np.testing.assert_array_equal(filled[name][complete], plain[name][complete])
        assert (filled[name] != plain[name]).any()


@pytest.mark.parametrize("in_span", [True, False])
@pytest.mark.parametrize(("n_threads", "memory"), [(2, GIB), (3, GIB), (8, GIB), (1, 3 << 20), (3, 4 << 20)])
def test_threads_and_memory_do_not_change_a_bit(
    U: Floats, W: Floats, bed: BedFile, n_threads: int, memory: int, in_span: bool
) -> None:
    columns = W if in_span else W[:, :2].copy()
    fill = FactorFill(U)
    one, many = (
        joined(BedMatrix(bed, engine).cross_products(columns, fill=fill))
        for engine in (Engine(1, GIB), Engine(n_threads, memory))
    )
    assert_same_bits(many, one)


def test_width_of_registers_does_not_change_a_bit(U: Floats, W: Floats, bed: BedFile, engine: Engine) -> None:
    fill, results = FactorFill(U), []
    try:
        used = [_impute.use_registers(name) for name in _impute.REGISTERS]
        for name in _impute.REGISTERS:
            _impute.use_registers(name)
            results.append(joined(BedMatrix(bed, engine).cross_products(W, fill=fill)))
    finally:
        _impute.use_registers(_impute.REGISTERS[-1])
    assert used[0] == "baseline"
    for result in results[1:]:
        assert_same_bits(result, results[0])


@pytest.mark.parametrize("in_memory", [False, True])
def test_first_snp_does_not_change_a_bit(
    U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset, in_memory: bool
) -> None:
    # the last block as long as one of its own
    dosage = random_dosage(N_SAMPLES, 2 * RESTART_SNPS, 0.02)
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(write_fileset(dosage), engine)
    fill = FactorFill(U)
    whole = joined(matrix.cross_products(W, fill=fill))
    rest = joined(matrix.cross_products(W, snps=SnpRange(RESTART_SNPS), fill=fill))
    assert_same_bits(rest, {name: values[RESTART_SNPS:] for name, values in whole.items()})


def test_decoded_rows_do_not_depend_on_the_others(U: Floats, W: Floats, bed: BedFile, dosage: Floats) -> None:
    (block, *_) = BedMatrix(bed, Engine(3, GIB)).cross_products(W, fill=FactorFill(U))
    everything = block.decode(np.arange(700))
    rows = np.array([699, 3, 12, 600, 12])
    np.testing.assert_array_equal(block.decode(rows), everything[rows])


def test_order_of_snps_changes_only_which_calls_are_held_out(
    U: Floats, W: Floats, dosage: Floats, engine: Engine, write_fileset: WriteFileset
) -> None:
    # whole tiles of the products, so that they keep their bits too
    order = np.random.default_rng(2).permutation(GROUP_SNPS)
    fill = FactorFill(U)
    straight, permuted = (
        joined(BedMatrix(write_fileset(dosage[:, snps]), engine).cross_products(W, fill=fill))
        for snps in (np.arange(GROUP_SNPS), order)
    )
    for name in ("sum_squares", "products", "decoded"):
        np.testing.assert_array_equal(permuted[name], straight[name][order])


def test_a_remembered_matrix_fills_too(U: Floats, W: Floats, bed: BedFile, engine: Engine) -> None:
    matrix = BedMatrix(bed, engine)
    remembered = ResumableMatrix(matrix, engine, Checkpoints())
    fill = FactorFill(U)
    assert_same_bits(joined(remembered.cross_products(W, fill=fill)), joined(matrix.cross_products(W, fill=fill)))


# --- held-out calls -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing_rate", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("in_memory", [False, True])
def test_held_out_errors_are_those_of_refits_without_the_call(
    U: Floats, W: Floats, engine: Engine, write_fileset: WriteFileset, missing_rate: float, in_memory: bool
) -> None:
    dosage = random_dosage(N_SAMPLES, 250, missing_rate)
    fill = FactorFill(U, seed=5)
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(write_fileset(dosage), engine)
    (block,) = matrix.cross_products(W, fill=fill)
    np.testing.assert_allclose(block.imputation, expected_errors(dosage, U, fill), rtol=1e-9, atol=1e-12)


def test_held_out_calls_are_spread_over_the_called_samples() -> None:
    # 97 does not divide a power of two; 5 standard errors of a count of 1000
    draws = FactorFill(np.zeros((2, 0)), seed=1).draw_numbers(0, 97_000) % np.uint64(97)
    counts = np.bincount(draws.astype(int), minlength=97)
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert np.corrcoef(draws[:-1], draws[1:])[0, 1] ** 2 < 25 / 97_000


def test_draws_are_a_function_of_seed_and_position() -> None:
    one, again, other = (FactorFill(np.zeros((2, 0)), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.draw_numbers(7, 20), again.draw_numbers(0, 100)[7:27])
    assert not np.isin(one.draw_numbers(0, 1000), other.draw_numbers(0, 1000)).any()
    # as any other machine draws them
    assert FactorFill(np.zeros((2, 0))).draw_numbers(0, 2).tolist() == [16294208416658607535, 7960286522194355700]


def test_without_factors_both_predictions_are_the_mean(dosage: Floats, W: Floats, bed: BedFile, engine: Engine) -> None:
    fill = FactorFill(np.zeros((N_SAMPLES, 0)))
    total = HeldOutError()
    plain = joined(BedMatrix(bed, engine).cross_products(W))
    filled = joined(BedMatrix(bed, engine).cross_products(W, fill=fill))
    total.add(filled.pop("imputation"))
    plain.pop("imputation")
    assert_same_bits(filled, plain)
    assert total.n_held_out == N_SNPS - 3
    np.testing.assert_allclose(total.ratio, 1, rtol=1e-14)


def errors_of(structure: Structured, engine: Engine, n_factors: int) -> HeldOutError:
    U = reference.fit_factors(reference.centred(structure.dosage), structure.X, n_factors)[0]
    total = HeldOutError()
    for block in ArrayMatrix(structure.dosage, engine).cross_products(U, fill=FactorFill(U)):
        assert block.imputation is not None
        total.add(block.imputation)
    return total


def test_factors_predict_held_out_calls_where_there_is_structure(structured: Structured, engine: Engine) -> None:
    total = errors_of(structured, engine, 3)
    assert total.n_held_out > 1400
    assert total.ratio < 0.95


# --- the basis, memory and errors -----------------------------------------------------------------------------


def test_the_basis_is_orthonormal_and_spans_the_factors(U: Floats) -> None:
    fill = FactorFill(1e6 * U + 3)
    np.testing.assert_allclose(fill.basis.T @ fill.basis, np.eye(K + 1), atol=1e-14)
    A = np.c_[np.ones(N_SAMPLES), U]
    np.testing.assert_allclose(fill.basis @ (fill.basis.T @ A), A, atol=1e-12)
    assert np.ptp(fill.basis[:, 0]) == 0


def test_dependent_and_constant_factors_count_once(U: Floats, W: Floats, bed: BedFile, engine: Engine) -> None:
    dependent = np.c_[U, U @ np.arange(5.0), np.full(N_SAMPLES, 1 / 3), 1e9 * U[:, 0] + 1]
    fill = FactorFill(dependent)
    assert fill.rank == K + 1
    expected = joined(BedMatrix(bed, engine).cross_products(W, fill=FactorFill(U)))
    actual = joined(BedMatrix(bed, engine).cross_products(W, fill=fill))
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((0, 2)), np.full((5, 2), np.nan), np.full((5, 1), np.inf)])
def test_factors_must_be_a_table_of_finite_numbers(wrong: Floats) -> None:
    with pytest.raises(UsageError, match="finite numbers"):
        FactorFill(wrong)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_that_is_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="seed is"):
        FactorFill(np.zeros((2, 1)), seed)


@pytest.mark.parametrize("in_memory", [False, True])
def test_factors_of_other_samples_are_refused(
    U: Floats, W: Floats, dosage: Floats, bed: BedFile, engine: Engine, in_memory: bool
) -> None:
    matrix: GenotypeMatrix = ArrayMatrix(dosage, engine) if in_memory else BedMatrix(bed, engine)
    with pytest.raises(UsageError, match="factors of 130 samples cannot fill genotypes of 131"):
        next(iter(matrix.cross_products(W, fill=FactorFill(U[1:]))))


@pytest.mark.parametrize("in_span", [True, False])
def test_a_pass_that_fills_stays_within_the_budget_that_it_accepts(write_fileset: WriteFileset, in_span: bool) -> None:
    bed = write_fileset(random_dosage(1000, 3000, 0.1))
    U = np.random.default_rng(0).standard_normal((1000, 20))
    W = U if in_span else U[:, :3].copy()
    fill = FactorFill(U)

    def run(memory: int) -> None:
        for _ in BedMatrix(bed, Engine(2, memory)).cross_products(W, fill=fill):
            pass

    low, least = 0, GIB
    while least - low > 1024:
        middle = (low + least) // 2
        try:
            run(middle)
            least = middle
        except InsufficientMemoryError:
            low = middle
    # blocks of one group, and of several
    for memory in (least, 2 * least, 3 * least):
        tracemalloc.start()
        try:
            run(memory)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # thread, generator and file objects take some 20 KiB that no plan counts
        assert peak <= memory + (32 << 10)


@pytest.mark.parametrize(("n_factors", "n_columns"), [(0, 1), (5, 6), (7, 11), (20, 24)])
def test_memory_is_foretold_from_sizes(n_factors: int, n_columns: int) -> None:
    columns = np.linalg.qr(np.random.default_rng(0).standard_normal((100, n_columns)))[0]
    padded = np.pad(columns - columns.mean(axis=0), ((0, 0), (0, -n_columns % 4)))
    filler = PackedFill(FactorFill(columns[:, :n_factors]), padded, 3)
    assert filler.size == FillSize(n_factors + 1)
    shapes = filler.size.shapes(100, padded.shape[1], 3)
    arrays = {name: getattr(filler, f"_{name}") for name in shapes if name != "basis"}
    assert {name: array.shape for name, array in arrays.items()} == {name: shapes[name] for name in arrays}
    held = filler.size.footprint(100, padded.shape[1], 3).held
    assert held == sum(array.nbytes for array in arrays.values()) + arrays["rows"].nbytes
