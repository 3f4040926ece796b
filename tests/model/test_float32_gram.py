"""Gram matrices of float32 numbers, multiplied in float32: their errors, and when the factors ask for float64."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2._typing import Floats
from lfmm2.genotypes import Engine
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.model import SolverOptions, estimate_from_matrix, ridge_geometry
from lfmm2.model.association import AssociationModel
from lfmm2.model.eigensolvers import float32_gram_error
from lfmm2.process import single_threaded_blas

N, P, K = 120, 9000, 4
EXACT = SolverOptions(solver="exact")


def methylation(strength: float = 0.6) -> tuple[Floats, Floats]:
    """Return betas (N, P) in float32 with K factors of different strength, and a variable that follows the first."""
    rng = np.random.default_rng(0)
    U = rng.standard_normal((N, K)) * strength / np.arange(1, K + 1)
    x = U[:, 0] / max(strength, 1) + rng.standard_normal(N)
    logits = U @ rng.standard_normal((K, P)) + rng.normal(-1, 1.5, P) + 0.5 * rng.standard_normal((N, P))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), x


def engine(n_threads: int = 1) -> Engine:
    return Engine(n_threads, 1 << 30)


def statistics(Y: Floats, x: Floats, n_factors: int = K) -> tuple[Floats, list[str]]:
    """Return t of every feature, and the passes of the factors."""
    of = engine()
    matrix, ridge = ArrayMatrix(Y, of), ridge_geometry(x[:, None], 1e-5)
    with single_threaded_blas():
        factors = estimate_from_matrix(matrix, ridge, n_factors, EXACT)
        passes = [p.label for p in of.passes]
        blocks = AssociationModel(ridge, factors, 1, "intercept").statistics(ArrayMatrix(Y.astype(np.float64), of))
        return np.concatenate([block.t for block in blocks]).ravel(), passes


@pytest.mark.parametrize("kind", ["betas", "M-values", "counts", "dosages"])
def test_error_of_the_gram_matrix_is_below_what_the_solver_relies_on(kind: str) -> None:
    Y, _ = methylation()
    if kind == "M-values":
        Y = np.log2(Y / (1 - Y)).astype(np.float32)
    elif kind == "counts":
        Y = np.round(200 * Y).astype(np.uint8)
    elif kind == "dosages":
        Y = np.round(2 * Y).astype(np.int8)
    matrix = ArrayMatrix(Y, engine())
    assert matrix.has_float32_gram
    with single_threaded_blas():
        C, C32 = matrix.gram(), matrix.gram(precision="float32")
    vectors = np.linalg.eigh(C)[1][:, ::-1]
    between = vectors[:, :K].T @ (C32 - C) @ vectors[:, K:]
    assert 0 < np.linalg.norm(between, 2) < 0.6 * float32_gram_error(C32, P)
    assert np.array_equal(C32, C32.T)


def test_t_of_float32_is_that_of_float64() -> None:
    Y, x = methylation()
    t, passes = statistics(Y, x)
    expected, of_float64 = statistics(Y.astype(np.float64), x)
    assert passes == of_float64 == ["factors: Gram matrix"]
    assert 0 < np.abs(t - expected).max() < 1e-6


def test_factors_beyond_the_structure_are_computed_in_float64() -> None:
    Y, x = methylation()
    t, passes = statistics(Y, x, K + 12)
    assert passes == ["factors: Gram matrix", "factors: Gram matrix, float64"]
    np.testing.assert_array_equal(t, statistics(Y.astype(np.float64), x, K + 12)[0])


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_numbers_whose_squares_leave_float32_are_multiplied_in_float64(scale: float) -> None:
    Y, _ = methylation()
    scaled = (Y * scale).astype(np.float32)
    with single_threaded_blas():
        C = ArrayMatrix(scaled, engine()).gram()
        np.testing.assert_array_equal(ArrayMatrix(scaled, engine()).gram(precision="float32"), C)


def test_threads_change_no_bit_of_a_gram_matrix_in_float32() -> None:
    Y, _ = methylation()
    with single_threaded_blas():
        one, three = (ArrayMatrix(Y, engine(n)).gram(precision="float32") for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_what_float32_does_not_hold_has_no_gram_matrix_in_float32() -> None:
    for dtype in (np.float64, np.int32, np.int64, np.longdouble):
        assert not ArrayMatrix(np.ones((3, 4), dtype), engine()).has_float32_gram
    for dtype in (np.float16, ">f4", np.int8, np.uint16):
        assert ArrayMatrix(np.ones((3, 4), dtype), engine()).has_float32_gram
