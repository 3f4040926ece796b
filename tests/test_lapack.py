"""Routines of LAPACK have the bits of the functions of scipy.linalg that call the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from lfmm2 import _lapack


def symmetric(n: int) -> np.ndarray:
    A = np.random.default_rng(n).standard_normal((n, n + 3))
    return A @ A.T


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_eigh_is_that_of_scipy(n: int) -> None:
    for got, expected in zip(_lapack.eigh(symmetric(n)), scipy.linalg.eigh(symmetric(n)), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_eigh_of_the_largest_overwrites_as_scipy_does(n: int) -> None:
    first = max(0, n - 5)
    ours, theirs = (np.array(symmetric(n), order="F") for _ in range(2))
    got = _lapack.eigh(ours, first, overwrite=True)
    expected = scipy.linalg.eigh(theirs, subset_by_index=[first, n - 1], overwrite_a=True, check_finite=False)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(ours, theirs)


def test_eigh_of_nothing_is_empty() -> None:
    assert [part.shape for part in _lapack.eigh(np.empty((0, 0)))] == [(0,), (0, 0)]


@pytest.mark.parametrize("n", [1, 2, 60])
def test_eigenvalues_of_a_tridiagonal_matrix_are_those_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    diagonal, below = rng.standard_normal(n), rng.standard_normal(n - 1)
    expected = scipy.linalg.eigvalsh_tridiagonal(diagonal, below, lapack_driver="sterf")
    np.testing.assert_array_equal(_lapack.eigvalsh_tridiagonal(diagonal, below), expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("lower", [False, True])
def test_triangular_systems_are_solved(order: str, lower: bool) -> None:
    T = np.array(np.tril(symmetric(7)) if lower else np.triu(symmetric(7)), order=order)  # type: ignore[call-overload]
    B = np.random.default_rng(1).standard_normal((7, 3))
    np.testing.assert_allclose(T @ _lapack.solve_triangular(T, B, lower), B, atol=1e-9)


def test_singular_triangle_is_an_error() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="dtrtrs"):
        _lapack.solve_triangular(np.zeros((2, 2)), np.eye(2))


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (90, 40), (3, 6), (4, 0)])
def test_qr_with_pivots_is_that_of_scipy(shape: tuple[int, int]) -> None:
    A = np.random.default_rng(2).standard_normal(shape)
    expected = scipy.linalg.qr(A, mode="economic", pivoting=True)
    for got, other in zip(_lapack.pivoted_qr(A), expected, strict=True):
        np.testing.assert_array_equal(got, other)
