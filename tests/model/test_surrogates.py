"""Surrogate variables: what they share with the variables, and their tests in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Structured

from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.model.association import AssociationModel
from lfmm2.model.axes import KnownGram
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import estimate_from_matrix
from lfmm2.model.ridge import ridge_geometry
from lfmm2.model.surrogates import (
    draw_surrogates,
    find_places,
    n_surrogate_snps,
    surrogate_statistics,
)

pytestmark = pytest.mark.usefixtures("one_blas_thread")


@pytest.fixture(scope="module")
def gram(structured: Structured) -> np.ndarray:
    Y = structured.dosage - np.nanmean(structured.dosage, axis=0)
    Y[np.isnan(Y)] = 0.0
    Y -= Y.mean(axis=0)
    return Y @ Y.T


@pytest.fixture(scope="module")
def X(structured: Structured) -> np.ndarray:
    return structured.X - structured.X.mean(axis=0)


def test_surrogates_have_the_share_of_the_variables_on_every_axis(gram: np.ndarray, X: np.ndarray) -> None:
    axes = np.linalg.eigh(gram)[1]
    drawn = draw_surrogates(gram, X, 3, seed=1)
    for surrogate in drawn:
        np.testing.assert_allclose(np.abs(axes.T @ surrogate), np.abs(axes.T @ X), atol=1e-8)
        np.testing.assert_allclose(surrogate.T @ surrogate, X.T @ X, rtol=1e-8)
        np.testing.assert_allclose(surrogate.mean(axis=0), 0, atol=1e-12)
        # All variables of a surrogate have the same signs.
        np.testing.assert_allclose((axes.T @ surrogate)[:, 0] * (axes.T @ X)[:, 1],
                                   (axes.T @ surrogate)[:, 1] * (axes.T @ X)[:, 0], atol=1e-8)  # fmt: skip
    assert not np.allclose(drawn[0], drawn[1])
    for one, again in zip(drawn, draw_surrogates(gram, X, 3, seed=1), strict=True):
        np.testing.assert_array_equal(one, again)


def test_surrogates_of_places_are_constant_within_them(gram: np.ndarray, X: np.ndarray) -> None:
    places = np.arange(len(X)) // 5
    by_place = np.array([X[places == place].mean(axis=0) for place in range(places.max() + 1)])[places]
    assert find_places(X) is None
    found = find_places(by_place)
    assert found is not None
    assert len(np.unique(found)) == len(np.unique(places)) == len(np.unique(np.column_stack([found, places]), axis=0))
    for surrogate in draw_surrogates(gram, by_place - by_place.mean(axis=0), 2, 0, found):
        for place in range(places.max() + 1):
            np.testing.assert_allclose(np.ptp(surrogate[places == place], axis=0), 0, atol=1e-10)


def test_all_surrogates_are_tested_in_one_pass_as_each_alone(
    structured: Structured, gram: np.ndarray, X: np.ndarray, engine: Engine
) -> None:
    matrix = ArrayMatrix(structured.dosage, engine)
    models = []
    for drawn in draw_surrogates(gram, X, 2, seed=0):
        ridge = ridge_geometry(drawn, 1e-5, standardize=True)
        factors = estimate_from_matrix(KnownGram(gram, matrix.n_snps), ridge, 3, SolverOptions(solver="exact"))
        models.append(AssociationModel(ridge, factors, X.shape[1], "intercept"))
    n_passes = len(engine.passes)
    t, f = (np.concatenate(parts) for parts in zip(*surrogate_statistics(matrix, models, "surrogates"), strict=True))
    assert len(engine.passes) == n_passes + 1
    for s, model in enumerate(models):
        alone = [(block.t, block.f_stat) for block in model.statistics(matrix)]
        np.testing.assert_allclose(t[:, s], np.concatenate([block for block, _ in alone]), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(f[:, s], np.concatenate([block for _, block in alone]), rtol=1e-9, atol=1e-12)


def test_number_of_tested_snps_is_limited() -> None:
    assert n_surrogate_snps(1000, 5, 1) == 1000
    assert n_surrogate_snps(10**8, 5, 1) == 200_000
    assert n_surrogate_snps(10**8, 10, 99) == 4000
