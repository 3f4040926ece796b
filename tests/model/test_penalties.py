"""Ridge penalties as users name them, and the tests with factors of several penalties from one product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference

from lfmm2.errors import UsageError
from lfmm2.genotypes import Engine
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.model import Penalty, SolverOptions, SweepModel, estimate_from_matrix, parse_penalties, ridge_geometry


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1e-5,0.3x,1x", [("1e-05", 1e-5), ("0.3x", 12.0), ("1x", 40.0)]),
        (" 3x , 1e-5 ", [("1e-05", 1e-5), ("3x", 120.0)]),
        (["1x", 1e-5, np.float64(2)], [("1e-05", 1e-5), ("2", 2.0), ("1x", 40.0)]),
        ("1x,40,1.0x", [("1x", 40.0)]),
        (0.5, [("0.5", 0.5)]),
        ("0.12345678901", [("0.12345678901", 0.12345678901)]),
    ],
)
def test_penalties_are_read_in_order_and_each_once(given: Any, expected: list[tuple[str, float]]) -> None:
    assert parse_penalties(given, 40, standardize=True) == tuple(Penalty(*pair) for pair in expected)


@pytest.mark.parametrize(
    "given",
    ["", "1e-5,,1x", "0", "-1", "1x,nanx", "x", [], [True], [None], None, b"1x", {"1x": 1}, ["1x"] * 21, "1e308x"],
)
def test_penalties_that_are_none_are_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"sweep_lambda is .*, (as|such as) 1e-5,"):
        parse_penalties(given, 40, standardize=True)


def test_multiples_need_standardised_variables() -> None:
    assert parse_penalties("2,3", 40, standardize=False) == (Penalty("2", 2.0), Penalty("3", 3.0))
    with pytest.raises(UsageError, match="sweep_lambda is 1x, a multiple of the variance, but"):
        parse_penalties("2,1x", 40, standardize=False)


@pytest.mark.parametrize(("d", "n_reported"), [(1, 1), (3, 2)])
def test_sweep_over_penalties_gives_the_t_of_each(d: int, n_reported: int) -> None:
    rng = np.random.default_rng(d)
    n, p, K, ks = 50, 300, 5, (0, 2, 5)
    axes = rng.standard_normal((n, 3))
    Y = np.clip(np.round(1 + 0.4 * axes @ rng.standard_normal((3, p)) + 0.6 * rng.standard_normal((n, p))), 0, 2)
    Y[rng.random((n, p)) < 0.02] = np.nan
    X = rng.standard_normal((n, d)) + axes @ rng.standard_normal((3, d))
    matrix, options = ArrayMatrix(Y, Engine(1, 1 << 28)), SolverOptions("exact")
    ridge = ridge_geometry(X, 1e-5, standardize=True)
    lambdas = (1e-5, 0.3 * n, 3.0 * n)
    fits = [estimate_from_matrix(matrix, ridge.with_penalty(of), K, options) for of in lambdas]
    model = SweepModel(ridge, fits[0], 2, ks, n_reported, "paper", others=fits[1:])
    assert model.ks == ks * 3
    assert model.dfs == tuple(n - d - k for k in ks) * 3
    (block,) = model.statistics(matrix)
    t_by_k = block.t_by_k.reshape(len(block.t), 3, len(ks), n_reported)
    for i, lambda_ in enumerate(lambdas):
        for j, k in enumerate(ks):
            expected = reference.lfmm2(Y, Y, X, k, lambda_, n_nuisance=d - n_reported, standardize=True).t
            np.testing.assert_allclose(t_by_k[:, i, j], expected, rtol=1e-7, atol=1e-7)
    # The full statistics are those of the first penalty, up to the rounding of a wider product.
    (alone,) = SweepModel(ridge, fits[0], 2, ks, n_reported, "paper").statistics(matrix)
    np.testing.assert_allclose(block.t, alone.t, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(block.ridge_beta, alone.ridge_beta, rtol=1e-10, atol=1e-12)
