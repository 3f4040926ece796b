"""The tails of surrogates: degrees of freedom that match them, and their curve for a QQ plot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lfmm2.statistics.surrogate_null import joint_squares, match_tail, tail_of_surrogates


def ratio(d: int, nu: float) -> float:
    return float(stats.f.ppf(0.99, d, nu) / stats.f.ppf(0.5, d, nu))


@pytest.mark.parametrize("d", [1, 8])
@pytest.mark.parametrize("nu", [3.5, 12.0, 90.0, 5000.0])
def test_tail_is_the_f_with_the_ratio_of_quantiles(d: int, nu: float) -> None:
    assert match_tail(ratio(d, nu), d, 10_000) == pytest.approx(nu, rel=1e-5)


def test_tail_is_never_lighter_than_theory_and_has_three_degrees_of_freedom_at_least() -> None:
    assert match_tail(ratio(2, 500), 2, 50) == 50
    assert match_tail(float("nan"), 2, 50) == 50
    assert match_tail(1e6, 2, 50) == 3
    assert match_tail(1e6, 2, 2) == 2


def test_heavier_of_two_kinds_decides_and_inflation_does_not() -> None:
    rng = np.random.default_rng(0)
    light, heavy = rng.standard_t(80, (3, 40_000)) ** 2, 7 * rng.standard_t(10, (3, 40_000)) ** 2
    heavy[0, ::50] = np.nan
    tail = tail_of_surrogates([list(light), list(heavy)], 1, 80)
    assert tail.tail_df == pytest.approx(10, abs=1.0)
    np.testing.assert_allclose(tail.observed, tail.expected, atol=0.4)
    assert tail.expected[0] == pytest.approx(4.4, abs=0.2)
    assert tail_of_surrogates([list(light)], 1, 80).tail_df > 50


def test_surrogates_without_statistics_change_nothing() -> None:
    tail = tail_of_surrogates([[np.full(10, np.nan)], [np.zeros(10)]], 1, 40)
    assert (tail.tail_df, tail.expected, tail.observed) == (40, [], [])


def test_joint_statistic_of_a_surrogate_is_whitened_by_its_own_scatter() -> None:
    rng = np.random.default_rng(0)
    t = rng.standard_normal((3000, 2)) * [10.0, 1.0]
    f = (t**2).mean(axis=1)
    f[5], t[5] = np.nan, np.nan
    squares = joint_squares(t, f)
    tested = np.arange(3000) != 5
    expected = (t**2 / [100.0, 1.0]).sum(axis=1)[tested]
    expected *= np.median(f[tested]) / np.median(expected)
    np.testing.assert_allclose(squares[tested], expected, rtol=0.1)
    assert np.isnan(squares[5])
    np.testing.assert_array_equal(joint_squares(t[:20], f[:20]), f[:20])
