"""Statistics of every SNP against dense NumPy, at their numerical limits, and what must leave them alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
import scipy.stats
from conftest import Structured, WriteFileset, balding_nichols
from numpy.typing import NDArray

import lfmm2
from lfmm2.errors import DegenerateProblemError, UsageError
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import GenotypeMatrix
from lfmm2.genotypes.plink import BedFile
from lfmm2.model.association import AssociationModel, BlockStatistics, Status, degrees_of_freedom
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import LatentFactors, estimate_from_matrix
from lfmm2.model.ridge import RidgeGeometry, ridge_geometry

pytestmark = pytest.mark.usefixtures("one_blas_thread")

SHARES = ("var_variables", "var_factors", "var_residual")
EPS = np.finfo(float).eps
GIB = 1 << 30
K = 3
EXACT = SolverOptions(solver="exact")

Floats = NDArray[np.float64]

#: SNPs of `data` that are special, and the status they must get
SPECIAL = {
    0: Status.ALL_MISSING,
    1: Status.NO_VARIATION,
    2: Status.NO_VARIATION,
    3: Status.NO_VARIATION,
    700: Status.NO_VARIATION,
    1499: Status.ALL_MISSING,
}


@pytest.fixture(scope="module")
def data(structured: Structured) -> Structured:
    """120 × 1500, three variables (the last is noise), with SNPs that nobody was called at or that do not vary."""
    dosage = structured.dosage.copy()
    for snp, value in ((0, np.nan), (1, 0.0), (2, 1.0), (3, 2.0), (700, 2.0), (1499, np.nan)):
        dosage[:, snp] = value
    dosage[1:, 3] = np.nan  # called once
    noise = np.random.default_rng(9).standard_normal((120, 1))
    return replace(structured, dosage=dosage, X=np.hstack([structured.X, noise]))


@pytest.fixture(scope="module")
def bed(data: Structured, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(data.dosage)


def fit(
    matrix: GenotypeMatrix,
    X: Floats,
    *,
    n_factors: int = K,
    lambda_: float = 1e-5,
    estimation: GenotypeMatrix | None = None,
) -> tuple[RidgeGeometry, LatentFactors]:
    ridge = ridge_geometry(X, lambda_)
    return ridge, estimate_from_matrix(estimation or matrix, ridge, n_factors, EXACT)


def statistics(
    matrix: GenotypeMatrix,
    X: Floats,
    *,
    n_nuisance: int = 0,
    df: str = "paper",
    factors: LatentFactors | None = None,
    **options: Any,
) -> BlockStatistics:
    """Statistics of all SNPs in one piece."""
    ridge, fitted = fit(matrix, X, **options)
    model = AssociationModel(ridge, factors or fitted, X.shape[1] - n_nuisance, df, loadings=True)
    return whole(list(model.statistics(matrix)))


def shares_of(statistics: BlockStatistics) -> Floats:
    """The shares of variance, shape (n_snps, 3)."""
    return np.column_stack([getattr(statistics, name) for name in SHARES])


def whole(blocks: list[BlockStatistics]) -> BlockStatistics:
    names = [name for name in BlockStatistics.__dataclass_fields__ if name != "first_snp"]
    return BlockStatistics(0, **{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


def assert_close(actual: Floats, expected: Floats, relative: float) -> None:
    """Equal to a share of the largest entry of each column."""
    scale = np.nanmax(np.abs(expected), axis=0)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=relative)


# --- against dense NumPy --------------------------------------------------------------------------------------

# the oracle inverts normal equations and divides by d_1 = 6e-4; 8e-13 is seen
ORACLE = 1e-9


@pytest.mark.parametrize("df", ["paper", "intercept"])
@pytest.mark.parametrize("n_nuisance", [0, 1, 2])
@pytest.mark.parametrize("name", ["beta", "se", "t"])
def test_least_squares_agrees_with_numpy(
    data: Structured, bed: BedFile, engine: Engine, name: str, n_nuisance: int, df: str
) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X, n_nuisance=n_nuisance, df=df)
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, K, df=df, n_nuisance=n_nuisance)
    assert_close(getattr(actual, name), getattr(expected, name), ORACLE)


@pytest.mark.parametrize("df", ["paper", "intercept"])
@pytest.mark.parametrize("n_nuisance", [0, 1, 2])
@pytest.mark.parametrize("n_factors", [0, K])
def test_f_agrees_with_numpy(
    data: Structured, bed: BedFile, engine: Engine, n_factors: int, n_nuisance: int, df: str
) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X, n_nuisance=n_nuisance, df=df, n_factors=n_factors)
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, n_factors, df=df, n_nuisance=n_nuisance)
    assert_close(actual.f_stat, expected.f, ORACLE)


@pytest.mark.parametrize("lambda_", [1e-5, 10.0, 1e3])
@pytest.mark.parametrize("n_nuisance", [0, 1])
def test_ridge_beta_agrees_with_eq_4(
    data: Structured, bed: BedFile, engine: Engine, n_nuisance: int, lambda_: float
) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X, n_nuisance=n_nuisance, lambda_=lambda_)
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, K, lambda_, n_nuisance=n_nuisance)
    varies = actual.status == Status.OK
    assert_close(actual.ridge_beta[varies], expected.B[varies], ORACLE)


@pytest.mark.parametrize("lambda_", [1e-5, 10.0, 1e3])
def test_loadings_agree_with_numpy(data: Structured, bed: BedFile, engine: Engine, lambda_: float) -> None:
    matrix = BedMatrix(bed, engine)
    _, factors = fit(matrix, data.X, lambda_=lambda_)
    actual = statistics(matrix, data.X, lambda_=lambda_)
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, K, lambda_)
    signs = np.sign((factors.U * expected.U).sum(axis=0))
    varies = actual.status == Status.OK
    assert_close(actual.loadings[varies], (expected.V * signs)[varies], ORACLE)


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_ridge_beta_and_loadings_agree_with_their_maps(
    data: Structured, bed: BedFile, engine: Engine, solver: str
) -> None:
    # they are read off z, which is exact where P Û = U'; krylov's differ by its residual
    matrix = BedMatrix(bed, engine)
    ridge = ridge_geometry(data.X, 1e-5)
    factors = estimate_from_matrix(matrix, ridge, K, SolverOptions(solver=solver))
    (actual,) = AssociationModel(ridge, factors, 3, "paper", loadings=True).statistics(matrix)
    Y = reference.centred(data.dosage)
    varies = actual.status == Status.OK
    tolerance = factors.residuals.max() if solver == "krylov" else 1e-12
    effects = (ridge.effect_map(factors.U, factors.loadings_map) @ Y).T
    assert_close(actual.ridge_beta[varies], effects[varies], tolerance)
    assert_close(actual.loadings[varies], (Y.T @ factors.loadings_map)[varies], tolerance)


def test_loadings_are_given_only_if_asked(data: Structured, bed: BedFile, engine: Engine) -> None:
    matrix = BedMatrix(bed, engine)
    ridge, factors = fit(matrix, data.X)
    (block,) = AssociationModel(ridge, factors, 3, "paper").statistics(matrix)
    assert block.loadings.shape == (1500, 0)


@pytest.mark.parametrize("name", ["beta", "se", "t", "f_stat", "ridge_beta"])
def test_snps_outside_the_estimation_set_agree_with_numpy(
    data: Structured, bed: BedFile, engine: Engine, name: str
) -> None:
    estimation = np.arange(1, 1500, 3)
    matrix = BedMatrix(bed, engine)
    actual = statistics(matrix, data.X, estimation=BedMatrix(bed, engine, snps=estimation))
    expected = reference.lfmm2(data.dosage[:, estimation], data.dosage, data.X, K)
    varies = actual.status == Status.OK
    of_oracle = getattr(expected, {"f_stat": "f", "ridge_beta": "B"}.get(name, name))
    assert_close(getattr(actual, name)[varies], of_oracle[varies], ORACLE)


@pytest.mark.parametrize("name", ["beta", "se", "t", "f_stat"])
def test_without_factors_agrees_with_plain_regression(
    data: Structured, bed: BedFile, engine: Engine, name: str
) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X, n_factors=0)
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, 0)
    assert_close(getattr(actual, name), getattr(expected, "f" if name == "f_stat" else name), ORACLE)


def test_shares_are_sums_of_squares_of_nested_regressions(data: Structured, bed: BedFile, engine: Engine) -> None:
    matrix = BedMatrix(bed, engine)
    _, factors = fit(matrix, data.X)
    actual = statistics(matrix, data.X, n_nuisance=1)
    Y = reference.centred(data.dosage)
    Xc = data.X - data.X.mean(axis=0)
    small = np.c_[Xc[:, 2:], factors.U]
    rss_small, rss = (reference.least_squares(Y, C, 0, 1)[3] for C in (small, np.c_[small, Xc[:, :2]]))
    total = (Y**2).sum(axis=0)
    with np.errstate(invalid="ignore"):
        expected = np.stack([rss_small - rss, total - rss_small, rss], axis=1) / total[:, None]
    varies = actual.status == Status.OK
    np.testing.assert_allclose(shares_of(actual)[varies], expected[varies], rtol=0, atol=1e-12)


def test_shares_sum_to_one(data: Structured, bed: BedFile, engine: Engine) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X)
    shares = shares_of(actual)[actual.status == Status.OK]
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=4 * EPS)


def test_frequency_and_calls_are_of_the_called(data: Structured, bed: BedFile, engine: Engine) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X)
    np.testing.assert_array_equal(actual.n_called, (~np.isnan(data.dosage)).sum(axis=0))
    with np.errstate(invalid="ignore"):
        expected = np.nansum(data.dosage, axis=0) / (~np.isnan(data.dosage)).sum(axis=0) / 2
    np.testing.assert_allclose(actual.frequency, expected, rtol=2 * EPS)


def test_f_of_one_variable_is_t_squared(data: Structured, bed: BedFile, engine: Engine) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X[:, :1])
    np.testing.assert_allclose(actual.f_stat, actual.t[:, 0] ** 2, rtol=1e-12)


def test_ridge_beta_approaches_beta_as_lambda_vanishes(data: Structured, bed: BedFile, engine: Engine) -> None:
    # the effect that is reported is the one that is tested; λ/σ² is left, and eps/d_1, equal at 1e-8
    actual = statistics(BedMatrix(bed, engine), data.X, lambda_=1e-8)
    assert_close(actual.ridge_beta, actual.beta, 1e-6)


def test_statistics_of_an_array_equal_those_of_a_file(data: Structured, bed: BedFile, engine: Engine) -> None:
    of_file = statistics(BedMatrix(bed, engine), data.X)
    of_array = statistics(ArrayMatrix(data.dosage, engine), data.X)
    np.testing.assert_array_equal(of_array.status, of_file.status)
    for name in ("frequency", "beta", "se", "t", "f_stat", "ridge_beta", *SHARES, "loadings"):
        assert_close(getattr(of_array, name), getattr(of_file, name), 1e-9)


# --- status ---------------------------------------------------------------------------------------------------


def test_status_tells_which_snps_have_no_statistics(data: Structured, bed: BedFile, engine: Engine) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X)
    expected = np.zeros(1500)
    expected[list(SPECIAL)] = list(SPECIAL.values())
    np.testing.assert_array_equal(actual.status, expected)


@pytest.mark.parametrize("name", ["beta", "se", "t", "f_stat", "ridge_beta", *SHARES, "loadings"])
def test_statistics_are_nan_exactly_where_status_is_not_ok(
    data: Structured, bed: BedFile, engine: Engine, name: str
) -> None:
    actual = statistics(BedMatrix(bed, engine), data.X)
    values = getattr(actual, name).reshape(1500, -1)
    np.testing.assert_array_equal(np.isnan(values), np.tile(actual.status[:, None] != 0, values.shape[1]))


def test_special_snps_do_not_touch_their_neighbours(structured: Structured, data: Structured, engine: Engine) -> None:
    # the same factors and variables: a SNP's statistics depend on no other SNP
    _, factors = fit(ArrayMatrix(data.dosage, engine), data.X)
    with_special = statistics(ArrayMatrix(data.dosage, engine), data.X, factors=factors)
    without = statistics(ArrayMatrix(structured.dosage, engine), data.X, factors=factors)
    ok = with_special.status == Status.OK
    np.testing.assert_allclose(with_special.t[ok], without.t[ok], rtol=1e-12)


# --- cancellation and perfect fits ----------------------------------------------------------------------------


def long_regression(y: Floats, C: Floats, d: int, df: int) -> tuple[float, float, Floats]:
    """rss / ‖y‖², F of the last d columns and their t, in extended precision, by Gram-Schmidt done twice."""
    columns = C.astype(np.longdouble)
    columns -= columns.mean(axis=0)
    n_columns = columns.shape[1]
    Q = np.zeros_like(columns)
    R = np.zeros((n_columns, n_columns), np.longdouble)
    for j in range(n_columns):
        v = columns[:, j]
        for _ in range(2):
            projection = Q[:, :j].T @ v
            v = v - Q[:, :j] @ projection
            R[:j, j] += projection
        R[j, j] = np.sqrt(v @ v)
        Q[:, j] = v / R[j, j]
    residual = y - y.astype(np.longdouble).mean()
    total = residual @ residual
    z = np.zeros(n_columns, np.longdouble)
    for _ in range(2):
        projection = Q.T @ residual
        residual = residual - Q @ projection
        z += projection
    rss = residual @ residual
    inverse = np.zeros_like(R)
    for j in range(n_columns):
        inverse[j, j] = 1 / R[j, j]
        for i in reversed(range(j)):
            inverse[i, j] = -(R[i, i + 1 : j + 1] @ inverse[i + 1 : j + 1, j]) / R[i, i]
    t = (inverse @ z / np.sqrt((inverse**2).sum(axis=1) * rss / df)).astype(float)
    return float(rss / total), float(z[-d:] @ z[-d:] / d / (rss / df)), t[-d:]


@pytest.mark.parametrize("size", [1e-2, 1e-3, 3e-4, 1.2e-4, 1e-4, 3e-5, 1e-5, 1e-6, 1e-8])
def test_statistics_of_a_snp_that_is_nearly_explained_are_right(data: Structured, engine: Engine, size: float) -> None:
    # a variable equals the SNP but for noise of this relative length
    y = np.nan_to_num(data.dosage[:, 10], nan=1.0)
    noise = np.random.default_rng(0).standard_normal(120)
    X = data.X.copy()
    X[:, 1] = y + size * np.linalg.norm(y - y.mean()) / np.linalg.norm(noise) * noise
    ridge, factors = fit(ArrayMatrix(data.dosage, engine), X)
    model = AssociationModel(ridge, factors, 3, "paper")
    (block,) = model.statistics(ArrayMatrix(y[:, None], engine))
    share, f, t = long_regression(y, np.c_[factors.U, X], 3, 120 - 3 - K)
    assert 0.1 * size**2 < share < size**2
    # above 1e-8 of ‖y‖², rss is a difference and keeps all but eps / 1e-8; below, residuals keep all but eps / size:
    # 2e-8 is seen just above the limit, 2e-9 at a size of 1e-8
    np.testing.assert_allclose(block.var_residual[0], share, rtol=1e-7)
    np.testing.assert_allclose(block.f_stat[0], f, rtol=1e-7)
    np.testing.assert_allclose(block.t[0, 1], t[1], rtol=1e-7)


def test_residual_squares_take_the_right_rows_of_a_file(
    data: Structured, bed: BedFile, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # all residuals formed by projection, as if every SNP were nearly explained
    expected = statistics(BedMatrix(bed, engine), data.X)
    monkeypatch.setattr("lfmm2.model.association.CANCELLATION", 2.0)
    actual = statistics(BedMatrix(bed, engine), data.X)
    np.testing.assert_allclose(actual.t, expected.t, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("snp", [10, 20])
def test_a_perfect_fit_has_a_status_and_no_statistics(
    data: Structured, bed: BedFile, engine: Engine, snp: int, scale: float
) -> None:
    X = data.X.copy()
    X[:, 0] = scale * (reference.centred(data.dosage)[:, snp] + 0.5)
    actual = statistics(BedMatrix(bed, engine), X)
    assert actual.status[snp] == Status.PERFECT_FIT
    assert np.isnan(actual.t[snp]).all()
    assert (actual.status == Status.PERFECT_FIT).sum() == 1


# --- degrees of freedom, collinearity -------------------------------------------------------------------------


@pytest.mark.parametrize(("df", "expected"), [("paper", 100 - 3 - 5), ("intercept", 99 - 3 - 5)])
def test_degrees_of_freedom_count_the_mean_only_if_asked(df: str, expected: int) -> None:
    assert degrees_of_freedom(100, 3, 5, df) == expected


@pytest.mark.parametrize(("df", "least"), [("paper", 9), ("intercept", 10)])
def test_degrees_of_freedom_refuse_to_be_none(df: str, least: int) -> None:
    assert degrees_of_freedom(least, 3, 5, df) == 1
    with pytest.raises(DegenerateProblemError, match=f"{least - 1} samples, 3 variables and 5 factors leave 0 degrees"):
        degrees_of_freedom(least - 1, 3, 5, df)


def test_degrees_of_freedom_refuse_unknown_conventions() -> None:
    with pytest.raises(UsageError, match="df is 'lm'; it is 'paper'"):
        degrees_of_freedom(100, 3, 5, "lm")


def test_degrees_of_freedom_count_nuisance_variables(data: Structured, bed: BedFile, engine: Engine) -> None:
    ridge, factors = fit(BedMatrix(bed, engine), data.X)
    assert AssociationModel(ridge, factors, 1, "intercept").df == 119 - 3 - K


@pytest.mark.parametrize("n_reported", [1, 3])
def test_a_variable_in_the_span_of_the_factors_is_refused(
    data: Structured, bed: BedFile, engine: Engine, n_reported: int
) -> None:
    _, factors = fit(BedMatrix(bed, engine), data.X)
    X = data.X.copy()
    X[:, 0] = factors.U @ [1.0, -2.0, 0.5] + 7
    with pytest.raises(DegenerateProblemError, match="linear combination of the latent factors"):
        AssociationModel(ridge_geometry(X, 1e-5), factors, n_reported, "paper")


@pytest.mark.parametrize("column", [np.zeros(120), np.full(120, 0.1), np.full(120, 1e9)], ids=["zero", "0.1", "1e9"])
def test_a_constant_variable_is_refused(data: Structured, bed: BedFile, engine: Engine, column: Floats) -> None:
    _, factors = fit(BedMatrix(bed, engine), data.X)
    with pytest.raises(DegenerateProblemError, match="linear combination"):
        AssociationModel(ridge_geometry(np.c_[data.X, column], 1e-5), factors, 4, "paper")


@pytest.mark.parametrize("n_reported", [1, 4])
def test_a_variable_in_the_span_of_the_others_is_refused(
    data: Structured, bed: BedFile, engine: Engine, n_reported: int
) -> None:
    _, factors = fit(BedMatrix(bed, engine), data.X)
    X = np.c_[data.X, data.X @ [1e6, 2.0, -1.0]]
    with pytest.raises(DegenerateProblemError, match="linear combination"):
        AssociationModel(ridge_geometry(X, 1e-5), factors, n_reported, "paper")


# --- invariances ----------------------------------------------------------------------------------------------


def test_threads_and_memory_do_not_change_a_bit_of_the_statistics(data: Structured, bed: BedFile) -> None:
    engines = [Engine(1, GIB), Engine(2, GIB), Engine(3, 4 << 20), Engine(8, 8 << 20)]
    first, *others = (statistics(BedMatrix(bed, engine), data.X) for engine in engines)
    for other in others:
        for name in BlockStatistics.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(other, name), getattr(first, name))


@pytest.mark.parametrize("n_last", [1, 2, 10, 301])
def test_cut_into_blocks_does_not_change_a_bit_of_the_statistics(
    structured: Structured, write_fileset: WriteFileset, monkeypatch: pytest.MonkeyPatch, n_last: int
) -> None:
    """A last block of few SNPs: a BLAS has other kernels for other shapes."""
    bed = write_fileset(np.tile(structured.dosage, 4)[:, : 4 * 512 + n_last])
    found = []
    for block_bytes in (1, 8 << 20):
        monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", block_bytes)
        found.append(statistics(BedMatrix(bed, Engine(1, GIB)), structured.X))
    for name in BlockStatistics.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name), err_msg=name)


@pytest.mark.parametrize("n_copies", [700, 1500])
def test_nearly_perfect_fits_do_not_depend_on_the_cut_into_blocks(
    write_fileset: WriteFileset, monkeypatch: pytest.MonkeyPatch, n_copies: int
) -> None:
    data = balding_nichols(203, 900, 3, 2, missing_rate=0.0, seed=4)
    noise = 1e-6 * np.random.default_rng(0).standard_normal(203)
    X = np.column_stack([data.dosage[:, 0] + noise, data.X[:, 1]])
    copies = np.repeat(data.dosage[:, :1], n_copies, axis=1)
    bed = write_fileset(np.hstack([data.dosage[:, 1:452], copies, data.dosage[:, 1:]]))
    found = []
    for block_bytes in (1, 8 << 20):
        monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", block_bytes)
        found.append(statistics(BedMatrix(bed, Engine(1, GIB)), X))
    assert np.abs(found[0].t[451]).max() > 1e5
    np.testing.assert_array_equal(found[0].t, found[1].t)


def test_blocks_say_where_they_begin(data: Structured, bed: BedFile) -> None:
    engine = Engine(1, 600 << 10)
    ridge, factors = fit(ArrayMatrix(data.dosage, engine), data.X)
    blocks = list(AssociationModel(ridge, factors, 3, "paper").statistics(BedMatrix(bed, engine)))
    assert len(blocks) > 1
    assert [block.first_snp for block in blocks] == np.cumsum([0, *(len(block.t) for block in blocks[:-1])]).tolist()


def test_sample_order_does_not_matter(data: Structured, bed: BedFile, engine: Engine) -> None:
    order = np.random.default_rng(0).permutation(120)
    permuted = statistics(BedMatrix(bed, engine, samples=order), data.X[order])
    expected = statistics(BedMatrix(bed, engine), data.X)
    for name in ("beta", "se", "t", "f_stat", "ridge_beta", *SHARES):
        assert_close(getattr(permuted, name), getattr(expected, name), 1e-9)


def test_snp_order_permutes_the_rows(
    data: Structured, bed: BedFile, engine: Engine, write_fileset: WriteFileset
) -> None:
    order = np.random.default_rng(0).permutation(1500)
    permuted = statistics(BedMatrix(write_fileset(data.dosage[:, order]), engine), data.X)
    expected = statistics(BedMatrix(bed, engine), data.X)
    for name in ("status", "n_called", "frequency"):
        np.testing.assert_array_equal(getattr(permuted, name), getattr(expected, name)[order])
    for name in ("beta", "se", "t", "f_stat", "ridge_beta", *SHARES):
        assert_close(getattr(permuted, name), getattr(expected, name)[order], 1e-9)


def test_counting_the_other_allele_flips_signs_to_the_bit(data: Structured, bed: BedFile, engine: Engine) -> None:
    a1, a2 = (statistics(BedMatrix(bed, engine, count_allele=allele), data.X) for allele in ("a1", "a2"))
    for name, sign in (
        ("beta", -1),
        ("t", -1),
        ("ridge_beta", -1),
        ("se", 1),
        ("f_stat", 1),
        *((name, 1) for name in SHARES),
    ):
        np.testing.assert_array_equal(getattr(a1, name), sign * getattr(a2, name))
    np.testing.assert_allclose(a1.frequency, 1 - a2.frequency, rtol=0, atol=EPS)


@pytest.mark.parametrize(("factor", "offset"), [(1e3, 0.0), (1.0, 1e3), (-0.5, 40.0), (1e-4, -3.0)])
def test_unit_of_a_variable_changes_its_effects_only(
    data: Structured, bed: BedFile, engine: Engine, factor: float, offset: float
) -> None:
    # at λ far below σ², so that the factors are the same: λ/σ² of 1e-16 at most is left of the penalty
    X = data.X.copy()
    X[:, 1] = factor * X[:, 1] + offset
    changed = statistics(BedMatrix(bed, engine), X, lambda_=1e-20)
    expected = statistics(BedMatrix(bed, engine), data.X, lambda_=1e-20)
    unit = np.array([1.0, factor, 1.0])
    assert_close(changed.t, expected.t * np.sign(unit), 1e-8)
    assert_close(changed.beta, expected.beta / unit, 1e-8)
    assert_close(changed.se, expected.se / np.abs(unit), 1e-8)
    assert_close(changed.f_stat, expected.f_stat, 1e-8)


def test_unit_of_a_variable_does_not_matter_beside_fixed_factors(
    data: Structured, bed: BedFile, engine: Engine
) -> None:
    matrix = BedMatrix(bed, engine)
    _, factors = fit(matrix, data.X)
    unit = np.array([1e8, -1e-8, 1.0])
    changed = statistics(matrix, data.X * unit, factors=factors)
    expected = statistics(matrix, data.X, factors=factors)
    assert_close(changed.t, expected.t * np.sign(unit), 1e-11)
    assert_close(changed.beta, expected.beta / unit, 1e-11)


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_order_of_variables_permutes_the_columns(
    data: Structured, bed: BedFile, engine: Engine, order: list[int]
) -> None:
    changed = statistics(BedMatrix(bed, engine), data.X[:, order])
    expected = statistics(BedMatrix(bed, engine), data.X)
    for name in ("beta", "se", "t", "ridge_beta"):
        assert_close(getattr(changed, name), getattr(expected, name)[:, order], 1e-9)
    assert_close(changed.f_stat, expected.f_stat, 1e-9)


def test_duplicate_snps_get_the_same_statistics(data: Structured, engine: Engine, write_fileset: WriteFileset) -> None:
    dosage = data.dosage.copy()
    positions = [8, 9, 63, 64, 600, 1023]
    dosage[:, positions] = dosage[:, [8]]
    actual = statistics(BedMatrix(write_fileset(dosage), engine), data.X)
    for name in ("beta", "se", "t", "f_stat", "ridge_beta", *SHARES, "frequency"):
        values = getattr(actual, name)[positions]
        np.testing.assert_array_equal(values, np.broadcast_to(values[0], values.shape))


def test_factors_may_be_turned_without_effect(data: Structured, bed: BedFile, engine: Engine) -> None:
    # only their span enters the tests
    matrix = BedMatrix(bed, engine)
    _, factors = fit(matrix, data.X)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((K, K)))[0]
    turned = replace(factors, U=factors.U @ turn, loadings_map=factors.loadings_map @ turn)
    actual, expected = (statistics(matrix, data.X, factors=which) for which in (turned, factors))
    for name in ("beta", "se", "t", "f_stat", "ridge_beta", *SHARES):
        assert_close(getattr(actual, name), getattr(expected, name), 1e-10)


def test_joint_p_counts_the_factors_and_is_uniform_under_the_null() -> None:
    """With n - d - 1 degrees of freedom, as LEA has them, a seventh of pure noise is below 0.05."""
    rng = np.random.default_rng(0)
    n, d, n_factors = 60, 2, 20
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, 12_000))
    factors = lfmm2.estimate_factors(Y[:, :2000], X, n_factors)
    result = lfmm2.test_associations(Y[:, 2000:], X, factors, calibrate="none", df="intercept")
    assert result.df == n - 1 - d - n_factors
    assert np.mean(result.f_p < 0.05) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 10_000) ** 0.5)
    uncounted = n - d - 1
    f_of_lea = result.f_stat * uncounted / result.df
    assert np.mean(scipy.stats.f.sf(f_of_lea, d, uncounted) < 0.05) > 0.13
