"""The ridge geometry against dense matrices, its limits, and variables of very different units."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from lfmm2.errors import UsageError
from lfmm2.model.ridge import RidgeGeometry, parse_penalty, ridge_geometry

EPS = np.finfo(float).eps
LAMBDAS = (1e-5, 1.0, 10.0, 1e3)

Floats = NDArray[np.float64]


def variables(n: int = 40, d: int = 3, seed: int = 0) -> Floats:
    """Correlated variables that are not centred."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ (np.eye(d) + 0.4) + np.arange(1, d + 1)


def inverse(ridge: RidgeGeometry) -> Floats:
    """P⁻¹ = I + Q (D⁻¹ - I) Qᵀ as docs/method.md has P, from the geometry's own Q and D."""
    D = 1 - ridge.shrinkage
    return np.eye(len(ridge.Q)) + ridge.Q @ np.diag(1 / D - 1) @ ridge.Q.T


def solve_long(A: NDArray[np.longdouble], B: NDArray[np.longdouble]) -> NDArray[np.longdouble]:
    """A⁻¹ B for a small, well-conditioned, symmetric A in extended precision, by Gaussian elimination."""
    A, B = A.copy(), B.copy()
    for i in range(len(A)):
        for j in range(i + 1, len(A)):
            factor = A[j, i] / A[i, i]
            A[j] -= factor * A[i]
            B[j] -= factor * B[i]
    for i in reversed(range(len(A))):
        B[i] = (B[i] - A[i, i + 1 :] @ B[i + 1 :]) / A[i, i]
    return B


def long_ridge(X: Floats, lambda_: float) -> tuple[Floats, Floats]:
    """P² = I - X (XᵀX + λI)⁻¹ Xᵀ and (XᵀX + λI)⁻¹ Xᵀ, in extended precision on columns of length one."""
    Xc = X.astype(np.longdouble)
    Xc -= Xc.mean(axis=0)
    lengths = np.sqrt((Xc**2).sum(axis=0))
    Z = Xc / lengths
    M = solve_long(Z.T @ Z + np.diag(lambda_ / lengths**2), Z.T)
    P2 = np.eye(len(X), dtype=np.longdouble) - Z @ M
    return P2.astype(float), (M / lengths[:, None]).astype(float)


# --- P and its inverse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_", LAMBDAS)
@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_project_equals_the_dense_projection(d: int, lambda_: float) -> None:
    X = variables(d=d)
    P = ridge_geometry(X, lambda_).project(np.eye(40))
    # both come from an SVD, backward stable to a few n eps
    np.testing.assert_allclose(P, reference.ridge_projection(X, lambda_), rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_project_is_undone_by_the_inverse(lambda_: float) -> None:
    ridge = ridge_geometry(variables(), lambda_)
    # P⁻¹ is as large as 1/d_1, and so are the errors of the product
    largest = 1 / (1 - ridge.shrinkage).min()
    np.testing.assert_allclose(inverse(ridge) @ ridge.project(np.eye(40)), np.eye(40), rtol=0, atol=40 * EPS * largest)


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_inverse_equals_the_dense_inverse(lambda_: float) -> None:
    X = variables()
    ridge = ridge_geometry(X, lambda_)
    expected = np.linalg.inv(reference.ridge_projection(X, lambda_))
    # inverting P loses as many digits as its condition number 1/d_1 has
    largest = 1 / (1 - ridge.shrinkage).min()
    np.testing.assert_allclose(inverse(ridge), expected, rtol=0, atol=100 * EPS * largest**2)


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_project_twice_leaves_the_residual_of_ridge_regression(lambda_: float) -> None:
    # I - P² = X (XᵀX + λI)⁻¹ Xᵀ: the root in d_j, and σ squared
    X = variables()
    ridge = ridge_geometry(X, lambda_)
    P2, _ = long_ridge(X, lambda_)
    np.testing.assert_allclose(ridge.project(ridge.project(np.eye(40))), P2, rtol=0, atol=20 * EPS)


def test_project_leaves_what_is_orthogonal_to_the_variables() -> None:
    ridge = ridge_geometry(variables(), 1e-5)
    S = np.random.default_rng(1).standard_normal((40, 4))
    S -= ridge.Q @ (ridge.Q.T @ S)
    np.testing.assert_allclose(ridge.project(S), S, rtol=0, atol=20 * EPS)


def test_project_does_not_modify_its_argument() -> None:
    S = np.random.default_rng(1).standard_normal((40, 4))
    before = S.copy()
    ridge_geometry(variables(), 1.0).project(S)
    np.testing.assert_array_equal(S, before)


def test_ridge_geometry_factors_the_centred_variables() -> None:
    X = variables()
    ridge = ridge_geometry(X, 1.0)
    np.testing.assert_allclose(ridge.X, X - X.mean(axis=0), rtol=0, atol=10 * EPS)
    np.testing.assert_allclose((ridge.Q * ridge.sigma) @ ridge.R.T, ridge.X, rtol=0, atol=40 * EPS * ridge.sigma[0])
    np.testing.assert_allclose(ridge.Q.T @ ridge.Q, np.eye(3), rtol=0, atol=40 * EPS)
    assert (np.diff(ridge.sigma) <= 0).all()


def test_ridge_geometry_does_not_modify_the_variables() -> None:
    X = variables()
    before = X.copy()
    ridge_geometry(X, 1.0)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9])
def test_ridge_geometry_centres_large_numbers(offset: float) -> None:
    X = ridge_geometry(variables() + offset, 1.0).X
    # the mean of the centred column is below the rounding of the numbers as given, times 1/n of their sum
    assert np.abs(X.mean(axis=0)).max() <= EPS * np.abs(X).max()


@pytest.mark.parametrize("lambda_", [0.0, -1.0, np.inf, np.nan])
def test_ridge_geometry_refuses_a_penalty_that_is_not_positive(lambda_: float) -> None:
    with pytest.raises(UsageError, match="the ridge penalty must be a positive number"):
        ridge_geometry(variables(), lambda_)


# --- shrinkage ------------------------------------------------------------------------------------------------


def shrinkage(sigma: float, lambda_: float) -> float:
    """1 - d of one variable with singular value σ."""
    empty = np.empty((0, 0))
    return float(RidgeGeometry(empty, np.ones(1), False, lambda_, empty, np.array([sigma]), empty).shrinkage[0])


@pytest.mark.parametrize("sigma", [1e-150, 1e-30, 1e-12, 1e-6, 1e-3])
def test_shrinkage_of_a_short_variable_does_not_cancel(sigma: float) -> None:
    # 1 - sqrt(1/(1 + x)) = x/2 - 3x²/8 + ..., with x = σ²/λ
    x = sigma**2
    np.testing.assert_allclose(shrinkage(sigma, 1.0), x / 2 - 3 * x**2 / 8 + 5 * x**3 / 16, rtol=4 * EPS)


@pytest.mark.parametrize("sigma", [1e3, 1e8, 1e100, 1e150])
def test_shrinkage_of_a_long_variable_is_one_less_its_weight(sigma: float) -> None:
    # d = sqrt(λ)/σ (1 - λ/2σ²)
    d = np.sqrt(1e-5) / sigma
    np.testing.assert_allclose(shrinkage(sigma, 1e-5), 1 - d, rtol=4 * EPS)


def test_shrinkage_of_a_variable_of_length_zero_is_zero() -> None:
    assert shrinkage(0.0, 1e-5) == 0


def test_shrinkage_at_sigma_squared_equal_to_lambda() -> None:
    np.testing.assert_allclose(shrinkage(np.sqrt(3), 3.0), 1 - np.sqrt(0.5), rtol=4 * EPS)


# --- units ----------------------------------------------------------------------------------------------------

ORDERS = list(permutations((1e8, 1.0, 1e-8)))


@pytest.mark.parametrize("scales", ORDERS)
def test_project_is_accurate_in_any_units(scales: tuple[float, ...]) -> None:
    X = variables() * scales
    ridge = ridge_geometry(X, 1e-5)
    P2, _ = long_ridge(X, 1e-5)
    np.testing.assert_allclose(ridge.project(ridge.project(np.eye(40))), P2, rtol=0, atol=40 * EPS)


def error_of_effects(scales: tuple[float, ...], lambda_: float) -> float:
    """Largest error of the map of Eq. 4 without factors, relative to the largest entry of each variable."""
    X = variables() * scales
    none = np.zeros((40, 0))
    effects = ridge_geometry(X, lambda_).effect_map(none, none)
    _, expected = long_ridge(X, lambda_)
    error: Floats = np.abs(effects - expected).max(axis=1) / np.abs(expected).max(axis=1)
    return float(error.max())


@pytest.mark.parametrize("lambda_", [1e-5, 10.0])
@pytest.mark.parametrize("scales", ORDERS)
def test_effect_map_is_accurate_in_any_units(scales: tuple[float, ...], lambda_: float) -> None:
    # 6e-13 is seen where long columns come first
    assert error_of_effects(scales, lambda_) < 1e-11


@pytest.mark.parametrize("lambda_", [1e-5, 10.0])
@pytest.mark.parametrize("scales", tuple(permutations((1e3, 1.0, 1e-3))))
def test_effect_map_is_accurate_in_usual_units(scales: tuple[float, ...], lambda_: float) -> None:
    # 1.4e-10 is seen in the worst order, eps times the ratio of the lengths
    assert error_of_effects(scales, lambda_) < 1e-9


# --- effect_map -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_", LAMBDAS)
@pytest.mark.parametrize("K", [0, 1, 4])
def test_effect_map_equals_eq_4(K: int, lambda_: float) -> None:
    rng = np.random.default_rng(3)
    X = variables()
    Y = rng.standard_normal((40, 200))
    Y -= Y.mean(axis=0)
    U, _, V = reference.fit_factors(Y, X, K, lambda_)
    expected = reference.ridge_effects(Y, X, U @ V.T, lambda_)
    ridge = ridge_geometry(X, lambda_)
    U_of_PY = ridge.project(U)
    effects = ridge.effect_map(U, ridge.project(U_of_PY)) @ Y
    # Û = P⁻¹U' of the oracle carries errors of eps / d_1
    atol = 100 * EPS / (1 - ridge.shrinkage).min() * np.abs(expected).max()
    np.testing.assert_allclose(effects.T, expected, rtol=0, atol=atol)


def test_effect_map_approaches_least_squares_as_lambda_vanishes() -> None:
    X = variables()
    none = np.zeros((40, 0))
    effects = ridge_geometry(X, 1e-300).effect_map(none, none)
    np.testing.assert_allclose(effects, np.linalg.pinv(X - X.mean(axis=0)), rtol=0, atol=100 * EPS)


# --- standardised variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_standardised_geometry_is_that_of_variables_of_variance_1(lambda_: float) -> None:
    X = variables() * [1e-6, 1.0, 1e5]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    ridge, expected = ridge_geometry(X, lambda_, standardize=True), ridge_geometry(Z, lambda_)
    np.testing.assert_allclose(ridge.project(np.eye(40)), expected.project(np.eye(40)), rtol=0, atol=40 * EPS)
    np.testing.assert_allclose(ridge.sigma, expected.sigma, rtol=1e-13)
    U = np.linalg.qr(np.random.default_rng(2).standard_normal((40, 2)))[0]
    effects = ridge.effect_map(U, ridge.project(U)) * X.std(axis=0)[:, None]
    np.testing.assert_allclose(effects, expected.effect_map(U, expected.project(U)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e-3, 1e12, 1e150])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_no_unit_or_offset_changes_the_standardised_geometry(unit: float, offset: float) -> None:
    expected = ridge_geometry(variables(), 10.0, standardize=True)
    ridge = ridge_geometry(unit * (variables() + offset), 10.0, standardize=True)
    np.testing.assert_allclose(ridge.project(np.eye(40)), expected.project(np.eye(40)), rtol=0, atol=1e-11)


def test_one_standardised_variable_has_a_square_of_n() -> None:
    ridge = ridge_geometry(variables(d=1), "1x", standardize=True)
    assert ridge.sigma[0] ** 2 == pytest.approx(40)
    assert ridge.lambda_ == 40
    assert (1 - ridge.shrinkage[0]) ** 2 == pytest.approx(0.5)


@pytest.mark.parametrize(("given", "value"), [("0.3x", 12.0), (" 1e-5 ", 1e-5), (2, 2.0), (np.float32(0.5), 0.5)])
def test_penalty_is_a_number_or_a_multiple(given: float | str, value: float) -> None:
    assert parse_penalty(given, 40, standardize=True) == pytest.approx(value)


@pytest.mark.parametrize("given", ["x", "", "-1x", "0x", "1x2", "nan", True, None, [1.0], "inf"])
def test_penalty_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="must be a positive number, such as 1e-5, or a multiple of the variance"):
        parse_penalty(given, 40, standardize=True)  # type: ignore[arg-type]


def test_multiple_of_the_variance_needs_standardised_variables() -> None:
    with pytest.raises(UsageError, match="variables are not standardised; give a number, or standardise"):
        parse_penalty("1x", 40, standardize=False)
