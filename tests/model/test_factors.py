"""Latent factors: three solvers against the dense definition, their certificates, and what they refuse."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
from conftest import Structured, balding_nichols
from numpy.typing import NDArray

from lfmm2._choices import SOLVERS
from lfmm2.errors import ConvergenceWarning, DegenerateProblemError, InsufficientMemoryError, UsageError
from lfmm2.genotypes import bed_matrix
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import GenotypeMatrix, Precision, gram_speed
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.segments import SegmentSums
from lfmm2.model.association import AssociationModel
from lfmm2.model.axes import KnownGram
from lfmm2.model.eigensolvers import (
    SolverOptions,
    _compute_all_eigenvalues,
    exact_memory,
    gram_sizes,
    krylov_sizes,
    solve_exact,
)
from lfmm2.model.factors import MOST_EXACT_SAMPLES, LatentFactors, choose_solver, estimate_from_matrix
from lfmm2.model.ridge import RidgeGeometry, ridge_geometry
from lfmm2.model.spectrum import Spectrum
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.resumable_matrix import ResumableMatrix

pytestmark = pytest.mark.usefixtures("one_blas_thread")

EPS = np.finfo(float).eps
GIB = 1 << 30
LAMBDA = 1e-5
EXACT = SolverOptions(solver="exact")
KRYLOV = SolverOptions(solver="krylov")
POWER = SolverOptions(solver="power")

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def Y(structured: Structured) -> Floats:
    """Imputed, centred genotypes (n, p)."""
    centred: Floats = reference.centred(structured.dosage)
    return centred


@pytest.fixture(scope="module")
def ridge(structured: Structured) -> RidgeGeometry:
    return ridge_geometry(structured.X, LAMBDA)


@pytest.fixture
def matrix(structured_bed: BedFile, engine: Engine) -> BedMatrix:
    return BedMatrix(structured_bed, engine)


def estimate(matrix: GenotypeMatrix, ridge: RidgeGeometry, K: int, options: SolverOptions) -> LatentFactors:
    return estimate_from_matrix(matrix, ridge, K, options)


def t_statistics(matrix: GenotypeMatrix, ridge: RidgeGeometry, factors: LatentFactors) -> Floats:
    model = AssociationModel(ridge, factors, ridge.X.shape[1], "paper")
    return np.concatenate([block.t for block in model.statistics(matrix)])


def ritz_vectors(ridge: RidgeGeometry, factors: LatentFactors) -> Floats:
    """U' = P⁻¹ (P U')."""
    D = 1 - ridge.shrinkage
    map_ = factors.loadings_map
    U: Floats = map_ + ridge.Q @ ((1 / D - 1)[:, None] * (ridge.Q.T @ map_))
    return U


def angle(ridge: RidgeGeometry, one: LatentFactors, other: LatentFactors) -> float:
    """Sine of the largest angle between two spans of U'."""
    return float(reference.canonical_distance(ritz_vectors(ridge, one), ritz_vectors(ridge, other)))


# --- exact ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["LAPACK", "block Krylov"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the eigenvectors of the Gram matrix, of few and of many samples."""
    if request.param == "block Krylov":
        monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_FOR_LAPACK", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lambda_", [1e-5, 10.0, 1e3])
@pytest.mark.parametrize("K", [1, 3, 6])
def test_exact_gives_the_t_of_the_dense_definition(
    structured: Structured, matrix: BedMatrix, K: int, lambda_: float
) -> None:
    ridge = ridge_geometry(structured.X, lambda_)
    t = t_statistics(matrix, ridge, estimate(matrix, ridge, K, EXACT))
    expected = reference.lfmm2(structured.dosage, structured.dosage, structured.X, K, lambda_).t
    # the oracle divides by d_1 = 6e-4 and loses as many digits; 1e-12 is seen
    np.testing.assert_allclose(t, expected, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("K", [1, 3, 6])
def test_exact_gives_the_factors_of_the_dense_definition(
    structured: Structured, Y: Floats, matrix: BedMatrix, ridge: RidgeGeometry, K: int
) -> None:
    factors = estimate(matrix, ridge, K, EXACT)
    U, s, V = reference.fit_factors(Y, structured.X, K, LAMBDA)
    np.testing.assert_allclose(factors.singular_values, s, rtol=100 * EPS)
    # Ŵ = Û Vᵀ has no free signs; its error is that of the oracle, eps / d_1 times the gap
    W = factors.U @ (factors.loadings_map.T @ Y)
    np.testing.assert_allclose(W, U @ V.T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("lambda_", [1e-20, 1e-12, 1e-5])
def test_exact_never_divides_by_a_tiny_weight(structured: Structured, Y: Floats, lambda_: float) -> None:
    # P⁻¹ u = Y v / s, where u itself says nothing of P⁻¹ u once d_1 is below eps
    ridge = ridge_geometry(structured.X, lambda_)
    factors = estimate(ArrayMatrix(Y, Engine(1, GIB)), ridge, 3, EXACT)
    _, s, right = np.linalg.svd(reference.ridge_projection(structured.X, lambda_) @ Y, full_matrices=False)
    assert reference.canonical_distance(factors.U, Y @ right[:3].T / s[:3]) < 1e-12


@pytest.mark.usefixtures("way")
def test_exact_uses_scaled_genotypes_if_asked(
    structured: Structured, structured_bed: BedFile, engine: Engine, ridge: RidgeGeometry
) -> None:
    matrix = BedMatrix(structured_bed, engine, scale="hwe")
    factors = estimate(matrix, ridge, 3, EXACT)
    U, s, _ = reference.fit_factors(reference.centred(structured.dosage, scale=True), structured.X, 3, LAMBDA)
    np.testing.assert_allclose(factors.singular_values, s, rtol=100 * EPS)
    assert reference.canonical_distance(factors.U, U) < 1e-9


@pytest.mark.parametrize("lambda_", [1e-5, 1e-2, 10.0, 1e3])
def test_exact_reaches_a_stationary_point_of_the_loss(structured: Structured, Y: Floats, lambda_: float) -> None:
    # zero gradients of Eq. 2: a weight d_j without its root, or with σ for σ², leaves 1e-3 and more at λ = 10
    ridge = ridge_geometry(structured.X, lambda_)
    factors = estimate(ArrayMatrix(Y, Engine(1, GIB)), ridge, 3, EXACT)
    U, V = factors.U, Y.T @ factors.loadings_map
    B = (ridge.effect_map(U, factors.loadings_map) @ Y).T
    E = Y - U @ V.T - ridge.X @ B.T
    norm = np.linalg.norm
    # E is what is left of Y: rounding of U, V and X B, each of the size of Y, over d_1
    tolerance = 1e-13 / (1 - ridge.shrinkage).min()
    assert norm(E @ V) <= tolerance * norm(Y) * norm(V)
    assert norm(E.T @ U) <= tolerance * norm(Y) * norm(U)
    assert norm(E.T @ ridge.X - lambda_ * B) <= tolerance * norm(Y) * norm(ridge.X)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lambda_", [1e-5, 10.0])
@pytest.mark.parametrize("perturbed", ["U", "V", "B", "UVB"])
def test_exact_loss_is_not_above_that_of_perturbations(
    structured: Structured, Y: Floats, perturbed: str, lambda_: float
) -> None:
    rng = np.random.default_rng(0)
    ridge = ridge_geometry(structured.X, lambda_)
    Y = Y[:, :300]
    factors = estimate(ArrayMatrix(Y, Engine(1, GIB)), ridge, 3, EXACT)
    best = {
        "U": factors.U,
        "V": Y.T @ factors.loadings_map,
        "B": (ridge.effect_map(factors.U, factors.loadings_map) @ Y).T,
    }
    least = reference.loss(Y, structured.X, **best, lam=lambda_)
    for size in np.logspace(-6, 0, 100):
        other = dict(best)
        for name in perturbed:
            noise = rng.standard_normal(best[name].shape)
            other[name] = best[name] + size * np.abs(best[name]).max() * noise
        # the loss itself is rounded to eps times its number of terms, and no more
        assert reference.loss(Y, structured.X, **other, lam=lambda_) >= least * (1 - 1e-12)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("K", [1, 2, 5])
def test_exact_factors_are_nested(matrix: BedMatrix, ridge: RidgeGeometry, K: int) -> None:
    large, small = (estimate(matrix, ridge, k, EXACT) for k in (8, K))
    np.testing.assert_allclose(large.U[:, :K], small.U, rtol=0, atol=1e-10)
    np.testing.assert_allclose(large.singular_values[:K], small.singular_values, rtol=100 * EPS)


@pytest.mark.usefixtures("way")
def test_exact_takes_one_pass(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    assert estimate(matrix, ridge, 3, EXACT).n_passes == len(matrix.engine.passes) == 1


@pytest.mark.usefixtures("way")
def test_exact_refuses_a_budget_below_its_gram_matrix(structured_bed: BedFile, ridge: RidgeGeometry) -> None:
    with pytest.raises(InsufficientMemoryError, match="a pass over the genotypes needs at least"):
        estimate(BedMatrix(structured_bed, Engine(1, 8 * 120**2)), ridge, 3, EXACT)


# --- krylov ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("K", [1, 2, 3, 4, 6, 12])
def test_krylov_gives_the_t_of_exact(matrix: BedMatrix, ridge: RidgeGeometry, K: int, seed: int) -> None:
    # three axes are there; beyond, s² falls by less than 1 % from factor to factor
    t = t_statistics(matrix, ridge, estimate(matrix, ridge, K, replace(KRYLOV, seed=seed)))
    expected = t_statistics(matrix, ridge, estimate(matrix, ridge, K, EXACT))
    np.testing.assert_allclose(t, expected, rtol=0, atol=1e-3)


def test_krylov_gives_the_t_of_the_dense_definition_on_many_axes() -> None:
    data = balding_nichols(300, 3000, 6, 2, seed=3)
    ridge = ridge_geometry(data.X, LAMBDA)
    matrix = ArrayMatrix(data.dosage, Engine(1, GIB))
    expected = reference.lfmm2(data.dosage, data.dosage, data.X, data.n_axes).t
    for options, atol in ((KRYLOV, 1e-3), (replace(KRYLOV, tol=1e-10), 1e-7), (EXACT, 1e-7)):
        t = t_statistics(matrix, ridge, estimate(matrix, ridge, data.n_axes, options))
        np.testing.assert_allclose(t, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("K", [3, 4, 6])
def test_krylov_reaches_the_tolerance(matrix: BedMatrix, ridge: RidgeGeometry, K: int, tol: float) -> None:
    factors = estimate(matrix, ridge, K, replace(KRYLOV, tol=tol))
    assert factors.converged
    assert factors.residuals.max() <= tol
    assert factors.n_passes == len(matrix.engine.passes)


def test_krylov_takes_more_passes_for_a_tighter_tolerance(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    n_passes = [estimate(matrix, ridge, 3, replace(KRYLOV, tol=tol)).n_passes for tol in (1e-2, 1e-4, 1e-8)]
    assert n_passes == sorted(set(n_passes))


def test_krylov_warns_if_it_was_not_given_the_passes(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    with pytest.warns(ConvergenceWarning, match=r"residual is .* after 2 passes, above tol = 1\.0e-04"):
        factors = estimate(matrix, ridge, 3, replace(KRYLOV, max_passes=2))
    assert not factors.converged
    assert factors.n_passes == 2
    assert factors.residuals.max() > 1e-4


@pytest.mark.parametrize("K", [3, 4])
def test_krylov_reaches_the_same_answer_in_little_room(
    matrix: BedMatrix, ridge: RidgeGeometry, K: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(KRYLOV, tol=1e-9, oversampling=2)
    plenty = estimate(matrix, ridge, K, options)
    monkeypatch.setattr("lfmm2.model.eigensolvers.KRYLOV_BYTES", 0)
    little = estimate(matrix, ridge, K, options)
    # it did start again from the leading vectors, and lost some of the polynomial
    assert little.n_passes > plenty.n_passes > 6
    assert little.converged
    expected = t_statistics(matrix, ridge, estimate(matrix, ridge, K, EXACT))
    np.testing.assert_allclose(t_statistics(matrix, ridge, little), expected, rtol=0, atol=1e-7)


class PrecisionsAsked(BedMatrix):
    """A .bed that notes in which precision each gram product was asked for."""

    def gram_product(self, S: Floats, *args: Any, precision: Precision = "float64", **options: Any) -> SegmentSums:
        self.asked = [*getattr(self, "asked", []), precision]
        return super().gram_product(S, *args, precision=precision, **options)


@pytest.fixture
def in_float32(structured_bed: BedFile, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> PrecisionsAsked:
    """A matrix that offers products in float32 although it has few samples."""
    monkeypatch.setattr(bed_matrix, "FLOAT32_SAMPLES", 1)
    return PrecisionsAsked(structured_bed, engine)


@pytest.mark.parametrize("K", [1, 3, 6])
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_krylov_in_float32_ends_with_one_pass_in_float64(
    structured_bed: BedFile, engine: Engine, in_float32: PrecisionsAsked, ridge: RidgeGeometry, K: int, tol: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    factors = estimate(in_float32, ridge, K, replace(KRYLOV, tol=tol))
    assert in_float32.asked == ["float32"] * (factors.n_passes - 1) + ["float64"]
    assert factors.converged
    monkeypatch.setattr(bed_matrix, "FLOAT32_SAMPLES", 10**9)
    double = estimate(BedMatrix(structured_bed, engine), ridge, K, replace(KRYLOV, tol=tol))
    assert factors.n_passes == double.n_passes + 1


@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-10])
def test_certificate_of_krylov_in_float32_is_that_of_float64(
    structured: Structured, in_float32: PrecisionsAsked, ridge: RidgeGeometry, tol: float
) -> None:
    factors = estimate(in_float32, ridge, 3, replace(KRYLOV, tol=tol))
    assert in_float32.asked == sorted(in_float32.asked)
    Y, U = reference.centred(structured.dosage), ritz_vectors(ridge, factors)
    squares = factors.singular_values**2
    errors = ridge.project(Y @ (Y.T @ ridge.project(U))) - U * squares
    residuals = np.linalg.norm(errors, axis=0) / squares
    assert (residuals <= tol).all()
    np.testing.assert_allclose(factors.residuals, residuals, rtol=1e-3, atol=1e-12)


def test_krylov_in_float32_gives_the_t_of_exact(in_float32: PrecisionsAsked, ridge: RidgeGeometry) -> None:
    exact = t_statistics(in_float32, ridge, estimate(in_float32, ridge, 3, EXACT))
    t = t_statistics(in_float32, ridge, estimate(in_float32, ridge, 3, replace(KRYLOV, tol=1e-8)))
    np.testing.assert_allclose(t, exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_krylov_without_passes_left_takes_the_last_in_float64(
    in_float32: PrecisionsAsked, ridge: RidgeGeometry, most: int
) -> None:
    with pytest.warns(ConvergenceWarning, match="above tol"):
        factors = estimate(in_float32, ridge, 6, replace(KRYLOV, tol=1e-9, max_passes=most))
    assert factors.n_passes == most
    assert in_float32.asked == ["float32"] * (most - 1) + ["float64"]
    assert not factors.converged


def test_krylov_is_exact_once_its_basis_holds_everything(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    few = BedMatrix(matrix.bed, matrix.engine, snps=np.arange(0, 1500, 75))
    factors = estimate(few, ridge, 5, replace(KRYLOV, tol=1e-12, oversampling=15))
    # one pass over 20 SNPs for the space they span, one for its images
    assert factors.n_passes == 2
    expected = estimate(few, ridge, 5, EXACT)
    np.testing.assert_allclose(factors.U, expected.U, rtol=0, atol=1e-9)


# --- power ----------------------------------------------------------------------------------------------------


def orthonormal(S: Floats) -> Floats:
    Q: Floats = np.linalg.qr(S)[0]
    return Q


def textbook_power(Y: Floats, ridge: RidgeGeometry, K: int, options: SolverOptions) -> tuple[Floats, Floats]:
    """Randomised SVD of P Y in 2q + 2 passes (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1), transposed."""
    M = ridge.project(Y)  # (n, p)
    n, p = M.shape
    width = min(K + options.oversampling, n - 1, p)
    sketch = np.random.default_rng(options.seed).standard_normal((n, width))
    basis = orthonormal(M.T @ sketch)  # (p, l)
    for _ in range(options.n_power_iter):
        basis = orthonormal(M.T @ orthonormal(M @ basis))
    left, s, _ = np.linalg.svd(M @ basis, full_matrices=False)
    return left[:, :K], s[:K]


@pytest.mark.parametrize("oversampling", [0, 3, 10])
@pytest.mark.parametrize("q", [0, 1, 2, 5])
@pytest.mark.parametrize("K", [1, 3, 7])
def test_power_is_the_textbook_randomised_svd(
    Y: Floats, matrix: BedMatrix, ridge: RidgeGeometry, K: int, q: int, oversampling: int
) -> None:
    options = replace(POWER, n_power_iter=q, oversampling=oversampling, seed=11)
    factors = estimate(matrix, ridge, K, options)
    U, s = textbook_power(Y, ridge, K, options)
    # half the passes through the squared matrix: half of the digits may go, 1e-12 is seen
    assert reference.canonical_distance(ritz_vectors(ridge, factors), U) < 1e-8
    np.testing.assert_allclose(factors.singular_values, s, rtol=1e-8)


@pytest.mark.parametrize("q", [0, 2])
def test_power_takes_half_the_passes_of_the_textbook(matrix: BedMatrix, ridge: RidgeGeometry, q: int) -> None:
    factors = estimate(matrix, ridge, 3, replace(POWER, n_power_iter=q))
    assert factors.n_passes == len(matrix.engine.passes) == q + 1


def test_power_changes_with_the_seed(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    # which is why it is not the default
    one, other = (estimate(matrix, ridge, 6, replace(POWER, seed=seed)) for seed in (0, 1))
    assert angle(ridge, one, other) > 0.01


def test_power_approaches_exact_with_iterations(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    exact = estimate(matrix, ridge, 3, EXACT)
    angles = [angle(ridge, exact, estimate(matrix, ridge, 3, replace(POWER, n_power_iter=q))) for q in (0, 2, 6, 20)]
    assert angles == sorted(angles, reverse=True)
    # (s_4 / s_3)^(2q+2) of them is left, about 0.5^21, times what a draw begins with
    assert angles[-1] < 1e-6


# --- certificates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [EXACT, replace(KRYLOV, tol=1e-1), replace(KRYLOV, tol=1e-5)])
def test_residuals_are_those_of_the_dense_matrix(
    Y: Floats, matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions
) -> None:
    factors = estimate(matrix, ridge, 5, options)
    U = ritz_vectors(ridge, factors)
    M = ridge.project(Y)
    image = M @ (M.T @ U)
    residuals = np.linalg.norm(image - U * factors.singular_values**2, axis=0) / factors.singular_values**2
    # d_1 is 6e-4: U is known to eps / d_1 only
    np.testing.assert_allclose(factors.residuals, residuals, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("q", [0, 2])
def test_residuals_of_power_are_those_of_its_ritz_vectors(
    Y: Floats, matrix: BedMatrix, ridge: RidgeGeometry, q: int
) -> None:
    factors = estimate(matrix, ridge, 5, replace(POWER, n_power_iter=q))
    M = ridge.project(Y)
    basis = orthonormal(np.random.default_rng(0).standard_normal((len(M), 15)))
    for _ in range(q):
        basis = orthonormal(M @ (M.T @ basis))
    squares, W = np.linalg.eigh(basis.T @ (M @ (M.T @ basis)))
    squares, W = squares[:-6:-1], W[:, :-6:-1]
    errors = M @ (M.T @ (basis @ W)) - basis @ W * squares
    expected = np.linalg.norm(errors, axis=0) / factors.singular_values**2
    np.testing.assert_allclose(factors.residuals, expected, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("K", [2, 3, 4, 8])
@pytest.mark.parametrize("options", [replace(KRYLOV, tol=1e-2), KRYLOV, POWER])
def test_angle_bound_holds(matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions, K: int, seed: int) -> None:
    exact = estimate(matrix, ridge, K, EXACT)
    factors = estimate(matrix, ridge, K, replace(options, seed=seed))
    assert angle(ridge, exact, factors) <= factors.angle_bound + 1e-9


@pytest.mark.parametrize("K", [5, 8])
def test_angle_bound_is_none_where_no_next_eigenvalue_was_seen(matrix: BedMatrix, ridge: RidgeGeometry, K: int) -> None:
    # taken as 0, the next one would leave a bound of 0.2 for factors that are 60 degrees off
    exact = estimate(matrix, ridge, K, EXACT)
    factors = estimate(matrix, ridge, K, replace(POWER, oversampling=0))
    assert angle(ridge, exact, factors) > 0.5
    assert factors.angle_bound == np.inf


@pytest.mark.parametrize("K", [3, 4, 8])
@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-4])
def test_angle_bound_bounds_the_error_of_t_too(matrix: BedMatrix, ridge: RidgeGeometry, K: int, tol: float) -> None:
    # turning the factors by θ turns t by θ times the length of t's numerator and denominator, √df at most; of SNPs
    # that are explained as poorly as these a few times θ is left. 0.4 times the bound is seen, far less beyond K = 3
    exact = estimate(matrix, ridge, K, EXACT)
    factors = estimate(matrix, ridge, K, replace(KRYLOV, tol=tol))
    error = np.nanmax(np.abs(t_statistics(matrix, ridge, factors) - t_statistics(matrix, ridge, exact)))
    assert error <= 2 * factors.angle_bound


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_factors_describe_themselves(matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions) -> None:
    ids = tuple(map(str, range(120)))
    factors = estimate_from_matrix(matrix, ridge, 3, options, ids)
    assert factors.solver == options.solver
    assert factors.reason == "as asked"
    assert factors.n_factors == 3
    assert factors.n_snps == 1500
    assert factors.lambda_ == LAMBDA
    assert factors.sample_ids == ids
    assert factors.converged


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_loadings_map_and_factors_fit_together(matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions) -> None:
    # P Û = U' up to the residual, and U' is orthonormal
    factors = estimate(matrix, ridge, 3, options)
    U = ritz_vectors(ridge, factors)
    np.testing.assert_allclose(U.T @ U, np.eye(3), rtol=0, atol=1e-10)
    assert np.linalg.norm(ridge.project(factors.U) - U, 2) <= np.linalg.norm(factors.residuals) + 1e-10


@pytest.mark.parametrize("options", [EXACT, KRYLOV])
def test_signs_do_not_depend_on_the_solver(matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions) -> None:
    factors = estimate(matrix, ridge, 3, options)
    U = ritz_vectors(ridge, factors)
    assert (U[np.abs(U).argmax(axis=0), np.arange(3)] > 0).all()


# --- invariances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_threads_and_blocks_do_not_change_a_bit_of_the_factors(
    structured_bed: BedFile, ridge: RidgeGeometry, options: SolverOptions
) -> None:
    engines = [Engine(1, GIB), Engine(3, GIB), Engine(2, 3 << 20)]
    first, *others = (estimate(BedMatrix(structured_bed, engine), ridge, 4, options) for engine in engines)
    for other in others:
        np.testing.assert_array_equal(other.U, first.U)
        np.testing.assert_array_equal(other.loadings_map, first.loadings_map)
        np.testing.assert_array_equal(other.residuals, first.residuals)


def test_sample_order_permutes_the_factors(structured: Structured, matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    order = np.random.default_rng(0).permutation(120)
    permuted = estimate(
        BedMatrix(matrix.bed, matrix.engine, samples=order), ridge_geometry(structured.X[order], LAMBDA), 3, EXACT
    )
    np.testing.assert_allclose(permuted.U, estimate(matrix, ridge, 3, EXACT).U[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("count_allele", ["a1", "a2"])
def test_counted_allele_does_not_change_a_bit_of_the_factors(
    matrix: BedMatrix, ridge: RidgeGeometry, count_allele: str
) -> None:
    flipped = BedMatrix(matrix.bed, matrix.engine, count_allele=count_allele)
    np.testing.assert_array_equal(estimate(flipped, ridge, 3, KRYLOV).U, estimate(matrix, ridge, 3, KRYLOV).U)


# --- choice of solver -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_samples", "n_snps", "K", "solver", "reason"),
    [
        (500, 100_000, 5, "exact", "exact costs .* flops, krylov about"),
        (2_000, 1_000_000, 10, "exact", "exact costs"),
        (4_000, 1_000_000, 2, "krylov", "exact costs"),
        (5_000, 10_000, 1, "krylov", "exact costs"),
        (20_001, 1_000_000_000, 50, "krylov", "more than 20000 samples"),
        (500_000, 1_000_000, 50, "krylov", "more than 20000 samples"),
        # the basis of krylov would hold nearly everything anyway
        (60, 1_000, 5, "exact", "exact costs"),
    ],
)
def test_auto_weighs_flops_and_samples(n_samples: int, n_snps: int, K: int, solver: str, reason: str) -> None:
    chosen, why = choose_solver(n_samples, n_snps, K, SolverOptions())
    assert chosen == solver
    assert re.search(reason, why)


def test_auto_knows_that_bits_are_counted_faster() -> None:
    assert [choose_solver(10_000, 50_000, 10, SolverOptions(), speed)[0] for speed in (1, 6)] == ["krylov", "exact"]
    assert choose_solver(18_000, 10**6, 10, SolverOptions(), 6)[0] == "exact"


def test_gram_speed_is_that_of_the_matrix_within(matrix: BedMatrix, structured_bed: BedFile, engine: Engine) -> None:
    assert gram_speed(matrix) == gram_speed(ResumableMatrix(matrix, engine, Checkpoints())) == 6
    assert gram_speed(BedMatrix(structured_bed, engine, scale="hwe")) == 1
    assert gram_speed(ArrayMatrix(np.ones((3, 4)), engine)) == 1


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_choose_solver_does_as_asked(solver: str) -> None:
    assert choose_solver(10**6, 10**9, 5, SolverOptions(solver=solver)) == (solver, "as asked")


def test_auto_runs_what_it_chose(matrix: BedMatrix, ridge: RidgeGeometry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert estimate(matrix, ridge, 3, SolverOptions()).solver == "exact"
    monkeypatch.setattr("lfmm2.model.factors.MOST_EXACT_SAMPLES", 119)
    factors = estimate(matrix, ridge, 3, SolverOptions())
    assert factors.solver == "krylov"
    assert factors.reason == "more than 119 samples"


@pytest.mark.parametrize("n_samples", [100, 1000, 10_000, 500_000])
@pytest.mark.parametrize("K", [1, 50])
def test_krylov_keeps_forty_blocks_where_they_fit_and_six_anywhere(n_samples: int, K: int) -> None:
    sizes = krylov_sizes(n_samples, 10**6, K, 10)
    assert sizes.width == sizes.kept == K + 10
    assert 6 * sizes.width <= sizes.most <= 40 * sizes.width
    assert sizes.most in (6 * sizes.width, 40 * sizes.width) or 0.9 * GIB < 16 * n_samples * sizes.most <= GIB


@pytest.mark.parametrize(("K", "width"), [(1, 8), (8, 8), (9, 12), (50, 52)])
def test_blocks_with_the_gram_matrix_in_memory_have_k_columns(K: int, width: int) -> None:
    sizes = gram_sizes(5000, 10**6, K, 10)
    assert (sizes.width, sizes.most, sizes.kept) == (width, min(150 * width, GIB // 80_000), max(K + 10, width))
    assert gram_sizes(500_000, 10**6, K, 10).most >= sizes.kept + 6 * width
    assert gram_sizes(5000, 7, min(K, 7), 10).width == 7


def test_memory_of_solvers_counts_their_matrices() -> None:
    # P C P and what LAPACK makes of it; the basis and its images, the first block, twice what a cut copies
    assert exact_memory(1000, gram_sizes(1000, 10**6, 5, 10)) == 2 * 8 * 1000**2
    # C, the basis of 150 blocks, its images and copies, and four matrices of its coordinates
    of_basis = 2 * 8 * 5000 * (1200 + 16 + 15)
    assert exact_memory(5000, gram_sizes(5000, 10**6, 5, 10)) == 8 * 5000**2 + of_basis + 4 * 8 * 1200**2
    assert krylov_sizes(1000, 10**6, 5, 10).memory(1000) == 2 * 8 * 1000 * (600 + 15 + 30)
    assert exact_memory(MOST_EXACT_SAMPLES, gram_sizes(MOST_EXACT_SAMPLES, 10**6, 10, 10)) < 4 * GIB


# --- spectrum -------------------------------------------------------------------------------------------------


def seen(matrix: GenotypeMatrix, ridge: RidgeGeometry, K: int, options: SolverOptions) -> Spectrum:
    spectrum = estimate(matrix, ridge, K, options).spectrum
    assert spectrum is not None
    return spectrum


def dense(Y: Floats, ridge: RidgeGeometry) -> Floats:
    """P C P."""
    M = ridge.project(Y)
    PCP: Floats = M @ M.T
    return PCP


@pytest.mark.parametrize(("lambda_", "n_dimensions"), [(1e-5, 117), (1e-2, 117), (1e9, 119)])
@pytest.mark.parametrize("K", [1, 6])
def test_spectrum_of_exact_is_that_of_the_dense_matrix(
    structured: Structured, Y: Floats, matrix: BedMatrix, K: int, lambda_: float, n_dimensions: int
) -> None:
    ridge = ridge_geometry(structured.X, lambda_)
    spectrum = seen(matrix, ridge, K, EXACT)
    PCP = dense(Y, ridge)
    values = np.linalg.eigvalsh(PCP)[::-1]
    # 120 samples without their mean and, where λ is small, without the two variables
    assert spectrum.n_dimensions == len(spectrum.eigenvalues) == n_dimensions
    np.testing.assert_allclose(spectrum.eigenvalues, values[:n_dimensions], rtol=0, atol=1e-11 * values[0])
    np.testing.assert_allclose(spectrum.sample_totals, np.diag(PCP), rtol=1e-10)
    assert spectrum.total == pytest.approx(values.sum(), rel=1e-12)
    assert spectrum.total_squares == pytest.approx((values**2).sum(), rel=1e-12)


@pytest.mark.parametrize(("lambda_", "n_dimensions"), [(1e-5, 117), (1e-2, 117), (1e9, 119)])
@pytest.mark.parametrize("K", [1, 6])
def test_spectrum_of_a_gram_matrix_in_memory_is_that_of_the_dense_matrix(
    structured: Structured,
    Y: Floats,
    matrix: BedMatrix,
    K: int,
    lambda_: float,
    n_dimensions: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_FOR_LAPACK", 0)
    ridge = ridge_geometry(structured.X, lambda_)
    spectrum = seen(matrix, ridge, K, EXACT)
    PCP = dense(Y, ridge)
    values = np.linalg.eigvalsh(PCP)[::-1]
    assert spectrum.n_dimensions == n_dimensions
    m = len(spectrum.eigenvalues)
    assert K <= m <= 60
    np.testing.assert_allclose(spectrum.eigenvalues, values[:m], rtol=1e-5)
    np.testing.assert_allclose(spectrum.sample_totals, np.diag(PCP), rtol=1e-10)
    assert spectrum.total == pytest.approx(values.sum(), rel=1e-12)
    assert spectrum.total_squares == pytest.approx((values**2).sum(), rel=1e-12)
    left = values[K:n_dimensions]
    third = ((left - left.mean()) ** 3).sum()
    cubes = spectrum.total_cubes - (values[:K] ** 3).sum()
    mean = left.mean()
    own = cubes - 3 * mean * (left**2).sum() + 2 * len(left) * mean**3
    assert own == pytest.approx(third, rel=0.05)


def test_cubes_of_krylov_are_near_the_exact_ones(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    exact, krylov, power = (seen(matrix, ridge, 6, options).total_cubes for options in (EXACT, KRYLOV, POWER))
    assert krylov == pytest.approx(exact, rel=0.02)
    # Its Ritz pairs are too far from the eigenpairs for an estimate.
    assert np.isnan(power)


def test_exact_warns_if_its_iteration_is_stopped(
    matrix: BedMatrix, ridge: RidgeGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_FOR_LAPACK", 0)
    monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_PRODUCTS", 2)
    with pytest.warns(ConvergenceWarning, match=r"exact: the largest residual is .*, above 1\.0e-09; lower K$"):
        assert not estimate(matrix, ridge, 6, EXACT).converged


def test_all_vectors_of_a_multiple_eigenvalue_are_found_in_memory(
    ridge: RidgeGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_FOR_LAPACK", 0)
    n = 120
    Q = np.linalg.qr(np.hstack([np.ones((n, 1)), ridge.Q, np.random.default_rng(3).standard_normal((n, n - 3))]))[0]
    values = np.concatenate([np.full(3, 9.0), np.full(14, 5.0), np.linspace(1, 0, n - 20)])
    C = (Q[:, 3:] * values) @ Q[:, 3:].T
    pairs = solve_exact(KnownGram(C, 10**6), ridge, 12, EXACT)
    np.testing.assert_allclose(pairs.values, values[:12], rtol=1e-12)
    assert pairs.converged


def test_gram_matrix_in_memory_survives_restarts(
    matrix: BedMatrix, ridge: RidgeGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_lapack = estimate(matrix, ridge, 6, EXACT)
    monkeypatch.setattr("lfmm2.model.eigensolvers.MOST_FOR_LAPACK", 0)
    monkeypatch.setattr("lfmm2.model.eigensolvers.KRYLOV_BYTES", 0)
    restarted = estimate(matrix, ridge, 6, replace(EXACT, oversampling=3))
    assert restarted.converged
    assert restarted.residuals.max() <= 1e-9
    assert angle(ridge, by_lapack, restarted) < 1e-7


@pytest.mark.parametrize("K", [118, 117])
def test_spectrum_of_exact_has_all_eigenvalues_where_all_vectors_are_found(structured: Structured, K: int) -> None:
    rng = np.random.default_rng(0)
    ridge = ridge_geometry(structured.X, 1e9)
    matrix = ArrayMatrix(rng.standard_normal((120, 300)), Engine(1, GIB))
    spectrum = seen(matrix, ridge, K, EXACT)
    assert len(spectrum.eigenvalues) == 119
    assert spectrum.eigenvalues.sum() == pytest.approx(spectrum.total, rel=1e-12)


@pytest.mark.parametrize("left", ["zeros", "itself"])
def test_all_eigenvalues_are_found_where_lapack_leaves_something_else(left: str) -> None:
    Z = np.random.default_rng(0).standard_normal((30, 50))
    M = Z @ Z.T
    values = _compute_all_eigenvalues(M, np.zeros_like(M) if left == "zeros" else M)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(M)[::-1], rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("options", "error"), [(KRYLOV, 0.02), (replace(POWER, n_power_iter=5), 0.04)])
def test_spectrum_of_random_solvers_is_near_the_exact_one(
    matrix: BedMatrix, ridge: RidgeGeometry, options: SolverOptions, error: float, seed: int
) -> None:
    exact, spectrum = seen(matrix, ridge, 6, EXACT), seen(matrix, ridge, 6, replace(options, seed=seed))
    assert spectrum.n_dimensions == exact.n_dimensions
    np.testing.assert_allclose(spectrum.eigenvalues[:3], exact.eigenvalues[:3], rtol=1e-4)
    assert len(spectrum.eigenvalues) == 16
    # Ritz values are lower bounds
    assert (spectrum.eigenvalues <= exact.eigenvalues[:16] * (1 + 1e-12)).all()
    assert spectrum.total == pytest.approx(exact.total, rel=error)
    assert spectrum.total_squares == pytest.approx(exact.total_squares, rel=error)
    np.testing.assert_allclose(spectrum.sample_totals, exact.sample_totals, rtol=0.3)
    assert spectrum.sample_totals.sum() == pytest.approx(exact.total, rel=error)


def test_spectrum_of_krylov_knows_samples_that_vary_more(ridge: RidgeGeometry) -> None:
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(120) % 2 == 0, 1.4, 1.0)
    matrix = ArrayMatrix(scale[:, None] * rng.standard_normal((120, 4000)), Engine(1, GIB))
    exact, krylov = (seen(matrix, ridge, 6, options).sample_totals for options in (EXACT, KRYLOV))
    assert np.corrcoef(exact, krylov)[0, 1] > 0.95
    np.testing.assert_allclose(krylov, exact, rtol=0.2)


def test_spectrum_of_krylov_survives_a_restart(
    matrix: BedMatrix, ridge: RidgeGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(KRYLOV, tol=1e-9, oversampling=2)
    plenty = seen(matrix, ridge, 4, options)
    monkeypatch.setattr("lfmm2.model.eigensolvers.KRYLOV_BYTES", 0)
    little = seen(matrix, ridge, 4, options)
    # of the same probes, though other Ritz vectors have converged beside the factors
    assert little.total == pytest.approx(plenty.total, rel=0.01)
    assert little.total_squares == pytest.approx(plenty.total_squares, rel=0.01)
    np.testing.assert_allclose(little.sample_totals, plenty.sample_totals, rtol=0.1)


def test_spectrum_takes_no_vectors_of_its_own(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    factors = estimate(matrix, ridge, 3, EXACT)
    assert factors.spectrum is not None
    assert factors.spectrum.vectors is factors.loadings_map
    assert factors.leading(1).spectrum is factors.spectrum


def test_no_factors_have_no_spectrum(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    assert estimate(matrix, ridge, 0, EXACT).spectrum is None


# --- edges ----------------------------------------------------------------------------------------------------


def test_no_factors_need_no_pass(matrix: BedMatrix, ridge: RidgeGeometry) -> None:
    factors = estimate(matrix, ridge, 0, SolverOptions())
    assert factors.U.shape == factors.loadings_map.shape == (120, 0)
    assert factors.solver == "none"
    assert matrix.engine.passes == []


def low_rank(rank: int, n: int = 40, p: int = 200) -> ArrayMatrix:
    rng = np.random.default_rng(rank)
    values = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p))
    return ArrayMatrix(values, Engine(1, GIB))


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_too_few_independent_directions_are_refused(rank: int, options: SolverOptions) -> None:
    ridge = ridge_geometry(np.random.default_rng(0).standard_normal((40, 2)), LAMBDA)
    with pytest.raises(
        DegenerateProblemError, match=f"have {rank} independent direction.* but K = {rank + 1}; lower K"
    ):
        estimate(low_rank(rank), ridge, rank + 1, options)


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_as_many_factors_as_independent_directions_are_found(options: SolverOptions) -> None:
    ridge = ridge_geometry(np.random.default_rng(0).standard_normal((40, 2)), 10.0)
    matrix = low_rank(4)
    factors = estimate(matrix, ridge, 4, options)
    Y = matrix.numbers.values - matrix.numbers.values.mean(axis=0)
    np.testing.assert_allclose(factors.U @ (factors.loadings_map.T @ Y), Y, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
@pytest.mark.parametrize("K", [39, 40, 41])
def test_more_factors_than_samples_allow_are_refused(K: int, options: SolverOptions) -> None:
    # centring leaves 39 directions; with the two variables out of the way all of them are there still, but weak
    ridge = ridge_geometry(np.random.default_rng(0).standard_normal((40, 2)), 1e-20)
    with pytest.raises(DegenerateProblemError, match="lower K"):
        estimate(low_rank(60, p=60), ridge, K, options)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_leading_gives_the_first_factors(matrix: BedMatrix, ridge: RidgeGeometry, k: int) -> None:
    factors = estimate(matrix, ridge, 3, EXACT)
    leading = factors.leading(k)
    assert leading.n_factors == k
    np.testing.assert_array_equal(leading.U, factors.U[:, :k])
    np.testing.assert_array_equal(leading.loadings_map, factors.loadings_map[:, :k])
    np.testing.assert_array_equal(leading.singular_values, factors.singular_values[:k])
    np.testing.assert_array_equal(leading.residuals, factors.residuals[:k])
    assert (leading.solver, leading.n_passes, leading.n_snps) == ("exact", 1, 1500)
    assert leading.angle_bound <= (0 if k == 0 else 1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_angle_bound_of_the_leading_factors_holds(matrix: BedMatrix, ridge: RidgeGeometry, k: int) -> None:
    exact = estimate(matrix, ridge, k, EXACT)
    leading = estimate(matrix, ridge, 6, replace(KRYLOV, tol=1e-2)).leading(k)
    assert angle(ridge, exact, leading) <= leading.angle_bound + 1e-9
    assert leading.next_value == pytest.approx(exact.next_value, rel=1e-2)


def test_gaps_are_relative_differences_of_eigenvalues(
    structured: Structured, Y: Floats, matrix: BedMatrix, ridge: RidgeGeometry
) -> None:
    values = np.linalg.svd(reference.ridge_projection(structured.X, LAMBDA) @ Y, compute_uv=False) ** 2
    expected = (values[:4] - values[1:5]) / values[:4]
    for options in (EXACT, KRYLOV):
        np.testing.assert_allclose(estimate(matrix, ridge, 4, options).gaps, expected, rtol=1e-3)
    assert np.isnan(estimate(matrix, ridge, 4, replace(POWER, oversampling=0)).gaps[-1])


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_tied_axes_have_no_bound(options: SolverOptions) -> None:
    """Three populations without a common ancestor, of equal size: two equal axes, cut by K = 1."""
    rng = np.random.default_rng(3)
    blocks = np.kron(np.eye(3), np.ones((20, 1)))
    block = rng.standard_normal((1, 200))
    Y = np.hstack([blocks @ np.roll(np.eye(3), i, axis=0)[:, :1] @ block for i in range(3)])
    Y = np.hstack([Y, 1e-3 * rng.standard_normal((60, 20))]) * np.append(np.ones(600), np.zeros(20))
    ridge = ridge_geometry(np.zeros((60, 0)), LAMBDA)
    tied = estimate(ArrayMatrix(Y, Engine(1, GIB)), ridge, 1, options)
    assert abs(tied.gaps[0]) < 1e-6
    assert tied.angle_bound == np.inf


@pytest.mark.parametrize("k", [-1, 4])
def test_leading_refuses_factors_that_are_not_there(matrix: BedMatrix, ridge: RidgeGeometry, k: int) -> None:
    with pytest.raises(UsageError, match=f"k is {k}; these are 3 factors"):
        estimate(matrix, ridge, 3, EXACT).leading(k)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"solver": "lanczos"}, "solver is 'lanczos'; it is one of auto, exact, krylov, power"),
        ({"tol": 0.0}, "tol is 0.0"),
        ({"tol": 1.0}, "tol is 1.0"),
        ({"tol": np.nan}, "tol is nan"),
        ({"n_power_iter": -1}, "n_power_iter is -1; it is a whole number of at least 0"),
        ({"n_power_iter": 2.0}, "n_power_iter is 2.0"),
        ({"oversampling": -1}, "oversampling is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"max_passes": 0}, "max_passes is 0; it is a whole number of at least 1"),
    ],
)
def test_solver_options_refuse_what_makes_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SolverOptions(**wrong)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_options_take_every_solver(solver: str) -> None:
    assert SolverOptions(solver=solver, seed=np.int64(3)).solver == solver  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [EXACT, KRYLOV, POWER])
def test_factors_of_constant_genotypes_are_refused_without_warnings(options: SolverOptions) -> None:
    # a warning would be an error of another kind
    ridge = ridge_geometry(np.arange(10.0)[:, None], LAMBDA)
    with pytest.raises(DegenerateProblemError, match="have 0 independent direction"):
        estimate(ArrayMatrix(np.ones((10, 30)), Engine(1, GIB)), ridge, 2, options)
