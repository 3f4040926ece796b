"""Local fdr: statsmodels, the truth of a known mixture, and its shape."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.genmod.generalized_linear_model import GLM, families
from statsmodels.stats.multitest import local_fdr

from lfmm2.statistics.local_fdr import _design, _poisson_regression, fit_local_fdr, smooth_density

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

OCTAVES = np.exp2(np.arange(-12, 6))
MAGNITUDES = np.append((OCTAVES[:, None] * (1 + np.arange(128) / 128)).ravel(), 64.0)
EDGES = np.concatenate([[-np.inf], -MAGNITUDES[::-1], [0.0], MAGNITUDES, [np.inf]])
SHARE = 0.95
WIDE = 17.0**0.5


def counts_of(z: Floats) -> Counts:
    return np.asarray(np.histogram(z, EDGES)[0], dtype=np.int64)


def mixture(n: int, seed: int) -> Floats:
    """95 % N(0, 1) and 5 % N(0, 17)."""
    z = np.random.default_rng(seed).standard_normal(n)
    z[: n // 20] *= WIDE
    return z


def true_lfdr(z: Floats) -> Floats:
    null = SHARE * np.exp(-0.5 * z**2)
    return np.asarray(null / (null + (1 - SHARE) * np.exp(-0.5 * z**2 / 17) / WIDE))


def outwards(z: Floats, lfdr: Floats) -> Floats:
    """lfdr in the order of z, made not to rise away from 0."""
    order = np.argsort(z)
    lfdr = lfdr[order]
    centre = np.searchsorted(z[order], 0.0)
    return np.concatenate([np.minimum.accumulate(lfdr[:centre][::-1])[::-1], np.minimum.accumulate(lfdr[centre:])])


@pytest.mark.parametrize("seed", [0, 1])
def test_polynomial_of_degree_7_agrees_with_statsmodels(seed: int) -> None:
    z = np.clip(mixture(20_000, seed), -6.0, 6.0)
    edges = np.linspace(z.min(), z.max(), 121)
    lfdr = fit_local_fdr(edges, np.histogram(z, edges)[0], SHARE, degree=7)
    oracle = outwards(z, local_fdr(z, SHARE, deg=7, nbins=121))
    # 1e-4 of a score is added to each bin, and the table is read by straight lines: spaced by 0.006 it is off by
    # (0.006² / 8) z² of lfdr, 2e-4 at z = 6
    assert lfdr.problem is None
    assert lfdr(np.sort(z)) == pytest.approx(oracle, rel=2e-3, abs=1e-12)


def test_polynomial_ends_with_the_scores() -> None:
    z = np.random.default_rng(0).standard_normal(20_000)
    lfdr = fit_local_fdr(EDGES, counts_of(z), SHARE, degree=7)
    assert (lfdr.low, lfdr.high) == pytest.approx((z.min(), z.max()), abs=1 / 32)


@pytest.mark.parametrize("degree", [None, 7])
def test_regression_agrees_with_that_of_statsmodels(degree: int | None) -> None:
    rng = np.random.default_rng(3)
    u = np.linspace(-1, 1, 120)
    y = rng.poisson(300 * np.exp(-8 * u**2) + 2).astype(float)
    offset = rng.normal(0, 0.3, u.size)
    A = _design(u, degree)
    b = _poisson_regression(A, y, offset)
    oracle = GLM(y + 1e-4, A, family=families.Poisson(), offset=offset).fit(tol=1e-12)
    assert b is not None
    assert A @ b == pytest.approx(oracle.predict(A, which="linear"), rel=1e-6)


def test_splines_are_natural_cubic_splines() -> None:
    # with 14 knots on [−1, 1]: 14 functions, a cubic between knots, second derivative continuous, 0 at the ends
    u = np.linspace(-1, 1, 13 * 200 + 1)
    A = _design(u, None)
    step = u[1] - u[0]
    second = np.diff(A, 2, axis=0) / step**2
    third = np.diff(second, axis=0) / step
    assert A.shape[1] == 14
    assert np.linalg.matrix_rank(A) == 14
    assert np.abs(second[[0, -1], 2:]).max() < 0.02 * np.abs(second).max()
    assert np.abs(np.diff(second, axis=0)).max() < 0.02 * np.abs(second).max()
    within = np.diff(third, axis=0).reshape(-1, 14)[np.arange(len(third) - 1) % 200 < 196]
    assert np.abs(within).max() < 1e-3 * np.abs(third).max()


@pytest.mark.parametrize(("n", "error"), [(10_000, 0.2), (100_000, 0.06), (1_000_000, 0.04)])
def test_local_fdr_of_a_mixture_is_near_the_truth(n: int, error: float) -> None:
    # bench/empirical_null.py over ten draws: 0.079 ± 0.033, 0.033 ± 0.007, 0.023 ± 0.002
    at = np.linspace(-6, 6, 601)
    lfdr = fit_local_fdr(EDGES, counts_of(mixture(n, 5)), SHARE)
    assert lfdr.problem is None
    assert np.abs(lfdr(at) - true_lfdr(at)).max() < error


def test_scores_of_low_local_fdr_are_null_as_often_as_it_says() -> None:
    n = 200_000
    z = mixture(n, 7)
    lfdr = fit_local_fdr(EDGES, counts_of(z), SHARE)(z)
    chosen = lfdr < 0.2
    null = np.arange(n) >= n // 20
    # some 4 000 scores with a rate of 0.023: standard error 0.0024
    assert null[chosen].mean() == pytest.approx(lfdr[chosen].mean(), abs=0.01)


def test_null_scores_rarely_have_a_low_local_fdr() -> None:
    # expected 0.1 a draw; where the regression ends at the outermost score, 0.5
    n_low = 0
    for seed in range(20):
        z = np.random.default_rng(seed).standard_normal(10_000)
        n_low += int((fit_local_fdr(EDGES, counts_of(z), 1.0)(z) < 0.2).sum())
    assert n_low <= 6


def test_density_integrates_to_one_and_is_normal() -> None:
    z = np.random.default_rng(1).standard_normal(1_000_000)
    density = smooth_density(EDGES, counts_of(z), -8.0, 8.0)
    assert not isinstance(density, str)
    at = np.linspace(-8, 8, 3201)
    f = np.exp(density.log(at))
    assert np.trapezoid(f, at) == pytest.approx(1.0, abs=1e-3)
    # bins are 0.13 wide: the mean of φ over one is off by w²/24
    assert f[1600] == pytest.approx(0.39894, rel=1e-2)
    assert f[2000] == pytest.approx(0.053991, rel=2e-2)


def test_bins_of_different_widths_give_the_density_of_equal_ones() -> None:
    z = mixture(100_000, 2)
    at = np.linspace(-5, 5, 101)
    equal = np.linspace(-8, 8, 1601)
    unequal = np.concatenate([equal[:800:40], equal[800:]])
    first, second = (fit_local_fdr(edges, np.histogram(z, edges)[0], SHARE)(at) for edges in (equal, unequal))
    # the left half in bins of 0.4 instead of 0.13, blurred accordingly
    assert second == pytest.approx(first, abs=0.06)
    assert second[at >= 0] == pytest.approx(first[at >= 0], abs=0.02)


def test_local_fdr_does_not_rise_outwards() -> None:
    for seed in range(5):
        lfdr = fit_local_fdr(EDGES, counts_of(mixture(5_000, seed)), SHARE)
        z = np.linspace(-12, 12, 4801)
        values = lfdr(z)
        assert np.all(np.diff(values[z >= 0]) <= 0)
        assert np.all(np.diff(values[z <= 0]) >= 0)
        assert np.all((values >= 0) & (values <= 1))


def test_one_sided_local_fdr_is_one_on_the_left() -> None:
    counts = counts_of(mixture(50_000, 0))
    both, right = fit_local_fdr(EDGES, counts, SHARE), fit_local_fdr(EDGES, counts, SHARE, one_sided=True)
    left, rest = np.linspace(-20, -0.01, 50), np.linspace(0.01, 20, 50)
    assert np.all(right(left) == 1.0)
    assert np.array_equal(right(rest), both(rest))
    assert both(left).min() < 1e-6


def test_scores_beyond_the_table_have_the_value_of_its_ends() -> None:
    lfdr = fit_local_fdr(EDGES, counts_of(mixture(50_000, 0)), SHARE)
    assert (lfdr.low, lfdr.high) == (-8.0, 8.0)
    assert np.array_equal(lfdr([-50.0, -np.inf, 50.0, np.inf]), lfdr.table[[0, 0, -1, -1]])


def test_local_fdr_is_read_from_the_table_by_straight_lines() -> None:
    lfdr = fit_local_fdr(EDGES, counts_of(mixture(50_000, 0)), SHARE)
    grid = np.linspace(lfdr.low, lfdr.high, lfdr.table.size)
    z = np.random.default_rng(0).uniform(-8, 8, 1000)
    assert lfdr(grid) == pytest.approx(lfdr.table, rel=1e-12)
    assert lfdr(z) == pytest.approx(np.interp(z, grid, lfdr.table), rel=1e-9, abs=1e-15)


def test_local_fdr_keeps_shape_and_nan() -> None:
    lfdr = fit_local_fdr(EDGES, counts_of(mixture(1_000, 0)), SHARE)
    values = lfdr([[0.0, np.nan], [9.0, -1.0]])
    assert values.shape == (2, 2)
    assert np.isnan(values).tolist() == [[False, True], [False, False]]


def test_a_lone_score_beyond_a_gap_is_not_null() -> None:
    z = np.append(np.random.default_rng(0).standard_normal(50_000), [7.9, 30.0])
    lfdr = fit_local_fdr(EDGES, counts_of(z), 1.0)
    assert lfdr.problem is None
    assert lfdr(7.9) < 1e-6
    assert lfdr([3.0, -3.0]).min() > 0.5


def test_local_fdr_is_proportional_to_the_share_of_nulls() -> None:
    counts = counts_of(mixture(50_000, 0))
    tail = np.array([-6.0, -5.0, 5.0, 6.0])
    assert fit_local_fdr(EDGES, counts, 0.5)(tail) == pytest.approx(
        0.5 * fit_local_fdr(EDGES, counts, 1.0)(tail), rel=1e-9
    )


@pytest.mark.parametrize(
    ("z", "share", "reason"),
    [
        (np.empty(0), 1.0, "0 tests"),
        (np.linspace(-2, 2, 199), 1.0, "199 tests, but at least 200"),
        (np.full(5000, 1.3), 1.0, "in 1 bins"),
        (np.full(5000, np.inf), 1.0, "in 0 bins"),
        (np.tile([-1.0, 1.0], 3000), 1.0, "in 2 bins"),
        (mixture(1000, 0), np.nan, "proportion of the null of nan"),
        (mixture(1000, 0), 0.0, "proportion of the null of 0"),
        (mixture(1000, 0), 1.5, "proportion of the null of 1.5"),
    ],
)
@pytest.mark.parametrize("degree", [None, 7])
def test_what_cannot_be_estimated_is_one_and_says_why(z: Floats, share: float, reason: str, degree: int | None) -> None:
    lfdr = fit_local_fdr(EDGES, counts_of(z), share, degree=degree)
    assert lfdr.problem is not None
    assert lfdr.problem.startswith("no local false discovery rate: ")
    assert reason in lfdr.problem
    assert np.array_equal(lfdr([-9.0, 0.0, 3.0, 9.0]), np.ones(4))
    assert np.isnan(lfdr(np.nan))


def test_edges_that_are_missing_are_a_problem() -> None:
    lfdr = fit_local_fdr(np.full(EDGES.size, np.nan), counts_of(mixture(1000, 0)), SHARE)
    assert lfdr.problem is not None
    assert lfdr(3.0) == 1.0


def test_any_histogram_gives_values_between_zero_and_one() -> None:
    at = np.linspace(-9, 9, 99)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        edges = np.unique(rng.normal(0, rng.choice([0.1, 1, 10]), rng.integers(3, 300)))
        edges = np.concatenate([[-np.inf], edges, [np.inf]])
        counts = rng.integers(0, rng.choice([2, 10, 1000, 10**7]), edges.size - 1)
        counts *= rng.random(edges.size - 1) < rng.random()
        for degree in (None, 7):
            values = fit_local_fdr(edges, counts, rng.choice([0.01, 0.9, 1.0]), degree=degree)(at)
            assert np.all((values >= 0) & (values <= 1))
