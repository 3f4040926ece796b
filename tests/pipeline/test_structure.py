"""Ties between axes, and variables that follow structure which the factors do not see."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import lfmm2
from lfmm2.model import LatentFactors
from lfmm2.pipeline.advice import confounding_notes
from lfmm2.pipeline.structure import adjusted, tie_notes
from lfmm2.results import StructureFacts


def factors_with(values: list[float], K: int) -> LatentFactors:
    """Factors of which only the eigenvalues matter."""
    n = 20
    all_ = LatentFactors(
        np.zeros((n, len(values) - 1)), np.sqrt(values[:-1]), np.zeros(len(values) - 1), 0.0, "exact", "", 1, True,
        np.zeros((n, len(values) - 1)), 1e-5, 100, next_value=values[-1],
    )  # fmt: skip
    return replace(all_).leading(K) if all_.n_factors > K else all_


@pytest.mark.parametrize(
    ("values", "K", "ks", "said"),
    [
        ([9, 4, 4, 1], 2, (), r"^K = 2 cuts between equal axes \(gap 0.0e\+00.*; take 1 or 3$"),
        ([9, 4, 4, 1], 3, (1, 2, 3), r"^K = 2 cuts between equal axes .*; take 1 or 3$"),
        ([9, 4, 4, 4, 1], 2, (1, 2, 3), r"^K = 2 cuts .*samples; so do 3; take 1 or 4$"),
        ([9, 9, 4], 1, (), r"^K = 1 cuts .*; take 2$"),
        ([9, 4, 4 * (1 - 1e-9), 1], 2, (), r"^K = 2 cuts .*gap 1.0e-09"),
    ],
)
def test_tied_axes_are_told_with_the_numbers_to_take(values, K, ks, said) -> None:
    [note] = tie_notes(factors_with(values, len(values) - 1), K, ks)
    assert re.search(said, note), note


def test_axes_that_are_near_are_no_tie() -> None:
    assert tie_notes(factors_with([9, 4, 4 * (1 - 1e-5), 1], 3), 2, (1, 2, 3)) == []
    assert tie_notes(factors_with([9, 4, 1], 2), 2, (0, 1, 2)) == []


def test_share_of_axes_is_adjusted_for_their_number() -> None:
    assert adjusted(10 / 23, 10, 24) == pytest.approx(0)
    assert adjusted(1.0, 10, 24) == 1
    assert np.isnan(adjusted(0.5, 10, 11))


@pytest.mark.parametrize(
    ("r2_factors", "r2_pcs", "n", "warned"),
    [(0.05, 0.82, 100, True), (0.8, 0.82, 100, False), (0.05, 0.3, 100, False), (0.05, 0.6, 24, False)],
)
def test_variable_that_follows_unseen_structure_is_warned_of(r2_factors, r2_pcs, n, warned) -> None:
    notes = confounding_notes({"rain": StructureFacts(r2_factors, r2_pcs, 10)}, 3, n)
    assert bool(notes) == warned
    if notes:
        assert "rain: 10 axes of the genotypes explain 0.82 of it, the K = 3 factors only 0.05" in notes[0]
        assert "larger K" not in notes[0]


def populations(n: int = 120, p: int = 3000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Four populations, and their first axis."""
    rng = np.random.default_rng(seed)
    f = rng.uniform(0.1, 0.9, p)
    of = np.clip(f + 0.12 * rng.standard_normal((4, p)), 0.02, 0.98)
    Y = rng.binomial(2, np.repeat(of, n // 4, axis=0)).astype(float)
    return Y, np.linalg.svd(Y - Y.mean(axis=0), full_matrices=False)[0][:, 0]


@pytest.mark.parametrize("solver", ["exact", "krylov"])
def test_run_warns_of_a_variable_along_structure_and_of_no_other(solver) -> None:
    Y, axis = populations()
    noise = np.random.default_rng(2).standard_normal((len(Y), 2))
    X = np.column_stack([axis / axis.std() + 0.2 * noise[:, 0], noise[:, 1]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = lfmm2.run(None, Y, X, sweep="1:5", K=3, solver=solver)
    follows = [str(w.message) for w in caught if "follows population structure" in str(w.message)]
    assert len(follows) == 1
    assert follows[0].startswith("env1: 10 axes")
    table = result.sweep.table.to_pylist()
    row = next(r for r in table if (r["K"], r["VARIABLE"]) == (3, "env1"))
    assert row["R2_PCS"] > 0.85 > 0.6 > row["R2_FACTORS"]
    assert row["GAP"] == pytest.approx(float(result.factors.gaps[2]))
