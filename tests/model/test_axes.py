"""Axes of the genotypes without regard to variables, and factors from a Gram matrix that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
from conftest import Structured, balding_nichols

from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.model.axes import KnownGram, leading_axes, number_of_axes, variance_on_axes
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import estimate_from_matrix
from lfmm2.model.ridge import ridge_geometry

pytestmark = pytest.mark.usefixtures("one_blas_thread")

SOLVERS = [SolverOptions(solver=name) for name in ("exact", "krylov", "power")]
LAMBDA = 1e-5


def principal_components(Y: np.ndarray, m: int) -> np.ndarray:
    return np.linalg.svd(Y, full_matrices=False)[0][:, :m]


def along_structure(structured: Structured) -> np.ndarray:
    """A variable that is the first axis of the genotypes, with a little noise, beside one that is none."""
    axis = principal_components(reference.centred(structured.dosage), 1)[:, 0]
    noise = np.random.default_rng(5).standard_normal((len(axis), 2))
    return np.column_stack([axis / axis.std() + 0.3 * noise[:, 0], noise[:, 1]])


@pytest.mark.parametrize("options", SOLVERS, ids=lambda options: options.solver)
def test_axes_see_the_structure_that_the_factors_do_not(structured: Structured, options: SolverOptions) -> None:
    Y, X = reference.centred(structured.dosage), along_structure(structured)
    ridge = ridge_geometry(X, LAMBDA)
    factors = estimate_from_matrix(ArrayMatrix(Y, Engine(1, 1 << 30)), ridge, 3, options)
    assert factors.axes.shape == (len(Y), 10)
    shares = variance_on_axes(ridge.X, factors.axes)
    exact = variance_on_axes(ridge.X, principal_components(Y, 10))
    np.testing.assert_allclose(shares[:4], exact[:4], atol=1e-6 if options.solver == "exact" else 0.02)
    assert shares[3, 0] > 0.8
    U = np.linalg.qr(factors.U)[0]
    assert variance_on_axes(ridge.X, U)[-1, 0] < 0.5


def test_leading_axes_are_principal_components() -> None:
    Y = reference.centred(balding_nichols(80, 1500, 3, 1, seed=2).dosage)
    axes = leading_axes(KnownGram(Y @ Y.T, 1500), 3)
    assert reference.canonical_distance(axes, principal_components(Y, 3)) < 1e-3


@pytest.mark.parametrize(("shape", "m"), [((4, 9), 3), ((9, 2), 2), ((2, 5), 1)])
def test_few_samples_or_snps_have_few_axes(shape: tuple[int, int], m: int) -> None:
    Y = reference.centred(np.random.default_rng(0).standard_normal(shape))
    assert number_of_axes(*shape, 1) == m
    axes = leading_axes(KnownGram(Y @ Y.T, shape[1]), m)
    np.testing.assert_allclose(axes.T @ axes, np.eye(m), atol=1e-10)
    assert reference.canonical_distance(axes, principal_components(Y, m)) < 1e-6


@pytest.mark.parametrize("options", SOLVERS, ids=lambda options: options.solver)
def test_factors_from_a_known_gram_matrix_are_those_of_the_genotypes(
    structured: Structured, options: SolverOptions
) -> None:
    Y = reference.centred(structured.dosage)
    ridge = ridge_geometry(structured.X, "1x", standardize=True)
    options = replace(options, tol=1e-10)
    expected = estimate_from_matrix(ArrayMatrix(Y, Engine(1, 1 << 30)), ridge, 3, options)
    C = Y @ Y.T
    factors = estimate_from_matrix(KnownGram(C, Y.shape[1]), ridge, 3, options)
    np.testing.assert_array_equal(C, Y @ Y.T)
    np.testing.assert_allclose(factors.U, expected.U, atol=1e-9)
    np.testing.assert_allclose(factors.loadings_map, expected.loadings_map, atol=1e-9)
