"""Empirical null and Storey's share of nulls: closed forms, statsmodels, simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special
from statsmodels.stats.multitest import NullDistribution

from lfmm2.errors import UsageError
from lfmm2.statistics.distributions import chi2_1_p
from lfmm2.statistics.empirical_null import EmpiricalNull, fit_empirical_null, storey_pi0

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# 128 bins an octave of |z| from 2⁻¹² to 2⁶, one on either side of 0 and one at either end
OCTAVES = np.exp2(np.arange(-12, 6))
MAGNITUDES = np.append((OCTAVES[:, None] * (1 + np.arange(128) / 128)).ravel(), 64.0)
EDGES = np.concatenate([[-np.inf], -MAGNITUDES[::-1], [0.0], MAGNITUDES, [np.inf]])


def counts_of(z: Floats) -> Counts:
    return np.asarray(np.histogram(z, EDGES)[0], dtype=np.int64)


def expected_counts(n: float, mean: float, sd: float) -> Counts:
    """Of n scores of N(mean, sd²), rounded."""
    return np.asarray(np.rint(n * np.diff(special.ndtr((EDGES - mean) / sd))), dtype=np.int64)


def mixture(n: int, sd: float, effects: str, seed: int, mean: float = 0.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores of which the first 5 % have effects, and which these are."""
    rng = np.random.default_rng(seed)
    causal = np.arange(n) < n // 20
    z = mean + sd * rng.standard_normal(n)
    m = int(causal.sum())
    z[causal] += (
        3.0 * rng.standard_normal(m) if effects == "normal" else rng.choice([-1, 1], m) * rng.uniform(3.5, 5, m)
    )
    return z, causal


def log_likelihood(z: Floats, null: EmpiricalNull, mean: float, sd: float, null_proportion: float) -> float:
    """Efron's, over the window of `null`, from the scores themselves."""
    low, high = null.window
    inside = z[(z >= low) & (z <= high)]
    theta = null_proportion * (special.ndtr((high - mean) / sd) - special.ndtr((low - mean) / sd))
    density = -0.5 * ((inside - mean) / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi)) + math.log(null_proportion)
    return float(density.sum() + (z.size - inside.size) * math.log1p(-theta))


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.3, 1.3), (-0.1, 0.7), (5.0, 2.0)])
@pytest.mark.parametrize("proportion", [1.0, 0.9])
def test_maximum_likelihood_of_expected_counts_is_the_truth(mean: float, sd: float, proportion: float) -> None:
    counts = expected_counts(proportion * 1e9, mean, sd)
    counts[[0, -1]] += round((1 - proportion) * 5e8)
    null = fit_empirical_null(EDGES, counts)
    # bins of width w take the density as flat: w²/12 of 1/64 squared, at most, is 2e-5 of the variance
    assert null.problem is None
    assert null.mean == pytest.approx(mean, abs=4e-4)
    assert null.sd == pytest.approx(sd, rel=4e-4)
    assert null.null_proportion == pytest.approx(proportion, rel=4e-4)


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.3, 1.3), (5.0, 2.0)])
def test_central_matching_of_expected_counts_is_the_truth(mean: float, sd: float) -> None:
    counts = expected_counts(0.9e9, mean, sd)
    counts[[0, -1]] += 50_000_000
    null = fit_empirical_null(EDGES, counts, "central")
    # the splines are not quite quadratic, and their bins are some 0.1 wide
    assert null.problem is None
    assert null.mean == pytest.approx(mean, abs=5e-3 * sd)
    assert null.sd == pytest.approx(sd, rel=1e-2)
    assert null.null_proportion == pytest.approx(0.9, rel=1e-2)


@pytest.mark.parametrize(
    ("n", "sd", "effects", "mean"), [(100_000, 1.3**0.5, "normal", 0.0), (30_000, 1.7**0.5, "fixed", 0.15)]
)
def test_maximum_likelihood_agrees_with_statsmodels(n: int, sd: float, effects: str, mean: float) -> None:
    z, _ = mixture(n, sd, effects, 1, mean)
    null = fit_empirical_null(EDGES, counts_of(z))
    oracle = NullDistribution(z, *null.window, estimate_null_proportion=True)
    # what remains is its Nelder-Mead, and that scores are taken as spread evenly in bins
    assert null.null_proportion < 1.0
    assert null.mean == pytest.approx(oracle.mean, abs=2e-4)
    assert null.sd == pytest.approx(oracle.sd, rel=2e-4)
    assert null.null_proportion == pytest.approx(oracle.null_proportion, rel=2e-4)


def test_share_of_nulls_is_at_most_one_as_in_statsmodels() -> None:
    z = 0.1 + 1.2 * np.random.default_rng(5).standard_normal(20_000)
    null = fit_empirical_null(EDGES, counts_of(z))
    oracle = NullDistribution(z, *null.window, estimate_null_proportion=True)
    assert null.null_proportion == 1.0
    assert oracle.null_proportion > 0.9999
    assert null.mean == pytest.approx(oracle.mean, abs=2e-4)
    assert null.sd == pytest.approx(oracle.sd, rel=2e-4)


def test_share_of_one_maximises_the_likelihood_of_the_share_and_the_density_together() -> None:
    z = 1.2 * np.random.default_rng(5).standard_normal(20_000)
    null = fit_empirical_null(EDGES, counts_of(z))
    best = optimize.minimize(
        lambda x: -log_likelihood(z, null, x[0], math.exp(x[1]), 1.0) / z.size, [0.0, 0.0], method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-15},
    )  # fmt: skip
    assert null.null_proportion == 1.0
    assert [null.mean, null.sd] == pytest.approx([best.x[0], math.exp(best.x[1])], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sd", [0.8, 1.0, 1.3])
def test_no_likelihood_is_above_that_of_the_fit(seed: int, sd: float) -> None:
    # with σ = 0.8 statsmodels ends at a share of 1 and a likelihood some ten lower
    z, _ = mixture(10_000, sd, "normal", seed)
    null = fit_empirical_null(EDGES, counts_of(z))
    reached = log_likelihood(z, null, null.mean, null.sd, null.null_proportion)
    for mean, factor, share in [(0.01, 1.0, 1.0), (-0.01, 1.0, 1.0), (0, 1.01, 1.0), (0, 0.99, 1.0), (0, 1.0, 0.99)]:
        other = log_likelihood(z, null, null.mean + mean, null.sd * factor, null.null_proportion * share)
        assert other < reached
    oracle = NullDistribution(z, *null.window, estimate_null_proportion=True)
    # of the bins, not of the scores: 1e-4 of σ costs 1e-8 n of the likelihood
    assert log_likelihood(z, null, oracle.mean, oracle.sd, oracle.null_proportion) < reached + 1e-2


def test_window_lies_around_the_median_and_counts_what_is_in_it() -> None:
    z = 2.0 + 0.5 * np.random.default_rng(0).standard_normal(50_000)
    for method, half in (("mle", 1.75), ("central", 0.6745)):
        null = fit_empirical_null(EDGES, counts_of(z), method)
        # ends are edges of bins, or quartiles: of 50 000 they are off by 0.006 sd
        assert null.window == pytest.approx((2.0 - 0.5 * half, 2.0 + 0.5 * half), abs=0.02)
        low, high = null.window
        n_inside = np.count_nonzero((z >= low) & (z <= high))
        assert null.n_window == pytest.approx(n_inside, abs=0 if method == "mle" else 600)
        assert null.n == 50_000
        assert null.method == method


def test_fit_of_scaled_and_shifted_bins_is_scaled_and_shifted() -> None:
    z, _ = mixture(20_000, 1.1, "fixed", 3)
    counts, edges = np.histogram(z, np.linspace(-8, 8, 1025))
    for method in ("mle", "central"):
        null = fit_empirical_null(edges, counts, method)
        other = fit_empirical_null(4.0 * edges - 1.0, counts, method)
        assert other.mean == pytest.approx(4.0 * null.mean - 1.0, rel=1e-8)
        assert other.sd == pytest.approx(4.0 * null.sd, rel=1e-8)
        assert other.null_proportion == pytest.approx(null.null_proportion, rel=1e-8)


def test_scores_count_as_spread_evenly_in_their_bins() -> None:
    edges = np.linspace(-6, 6, 41)
    z, _ = mixture(20_000, 1.1, "normal", 4)
    counts = np.histogram(z, edges)[0]
    null = fit_empirical_null(edges, counts)
    spread = np.concatenate(
        [low + 0.3 * (np.arange(c) + 0.5) / c for low, c in zip(edges[:-1].tolist(), counts.tolist(), strict=True)]
    )
    oracle = NullDistribution(spread, *null.window, estimate_null_proportion=True)
    # their variance within a bin, 0.3²/12, is 1 % of that in the window, and σ² moves three times as much
    assert null.null_proportion < 1.0
    assert [null.mean, null.sd] == pytest.approx([oracle.mean, oracle.sd], abs=5e-4)


@pytest.mark.parametrize("method", ["mle", "central"])
def test_effects_beside_the_null_move_its_variance_by_little(method: str) -> None:
    # in bench/empirical_null.py, ± 3.5 to 5 beside σ² = 1.3: 1.011 ± 0.009 and 1.005 ± 0.028 of 100 000
    ratios = []
    for seed in range(6):
        z, _ = mixture(100_000, 1.3**0.5, "fixed", seed)
        ratios.append(fit_empirical_null(EDGES, counts_of(z), method).sd ** 2 / 1.3)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(
    ("z", "reason"),
    [
        (np.empty(0), "0 tests, but at least 100"),
        (np.linspace(-2, 2, 99), "99 tests, but at least 100"),
        (np.full(5000, 1.3), "bins"),
        (np.zeros(5000), "bins"),
        (np.tile([-1.0, 1.0], 3000), "bins"),
        (np.full(5000, np.inf), "no spread, or no finite one"),
        (np.full(5000, -np.inf), "no spread, or no finite one"),
        (1e6 * np.linspace(-1, 1, 5000), "no spread, or no finite one"),
        (1e-6 * np.linspace(-1, 1, 5000), "bins"),
    ],
)
@pytest.mark.parametrize("method", ["mle", "central"])
def test_what_cannot_be_fitted_says_why(z: Floats, reason: str, method: str) -> None:
    null = fit_empirical_null(EDGES, counts_of(z), method)
    assert null.problem is not None
    assert null.problem.startswith("no empirical null: ")
    assert reason in null.problem
    assert np.isnan([null.mean, null.sd, null.null_proportion]).all()
    assert null.n == z.size


@pytest.mark.parametrize("method", ["mle", "central"])
def test_density_without_a_peak_in_the_centre_is_a_problem(method: str) -> None:
    # ln f is convex: heaps at both ends of the window
    edges = np.linspace(-2, 2, 401)
    u = np.linspace(-1.3, 1.3, 401)
    counts = np.rint(1000 * np.exp(2 * np.minimum(np.abs(u), 1.0) ** 2)).astype(int)[:-1]
    null = fit_empirical_null(edges, counts, method)
    assert null.problem == "no empirical null: the density of the statistics has no peak in the centre"
    assert math.isnan(null.sd)


def test_peak_outside_the_central_half_is_a_problem_for_central_matching() -> None:
    # the tail of N(−3, 1) above 0: ln f is a parabola, but its top is not there
    edges = np.linspace(0, 2, 401)
    counts = np.rint(1e7 * np.diff(special.ndtr(edges + 3.0))).astype(int)
    null = fit_empirical_null(edges, counts, "central")
    assert null.problem == "no empirical null: the density of the statistics has no peak in the centre"


def test_heap_that_is_narrow_beside_the_window_is_a_problem() -> None:
    heap = np.random.default_rng(0).uniform(-0.1, 0.1, 4850)
    z = np.concatenate([heap, np.repeat([-4.0, -1.0, 1.0, 4.0], [2425, 150, 150, 2425])])
    null = fit_empirical_null(EDGES, counts_of(z))
    assert null.problem == "no empirical null: the statistics in the centre are nearly the same"


def test_any_histogram_gives_a_null_or_a_problem() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        edges = np.unique(rng.normal(0, rng.choice([0.1, 1, 10]), rng.integers(3, 300)))
        edges = np.concatenate([[-np.inf], edges, [np.inf]])
        counts = rng.integers(0, rng.choice([2, 10, 1000, 10**7]), edges.size - 1)
        counts *= rng.random(edges.size - 1) < rng.random()
        for method in ("mle", "central"):
            null = fit_empirical_null(edges, counts, method)
            if null.problem is None:
                assert np.isfinite([null.mean, null.sd]).all()
                assert null.sd > 0.0
                assert 0.0 < null.null_proportion <= 1.0


def test_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="'mle' and 'central'"):
        fit_empirical_null(EDGES, np.zeros(EDGES.size - 1, dtype=int), "median")


def benjamini_hochberg_finds(p: Floats) -> NDArray[np.bool_]:
    ascending = np.sort(p)
    met = np.flatnonzero(ascending <= 0.05 * np.arange(1, p.size + 1) / p.size)
    return np.asarray(p <= (ascending[met[-1]] if met.size else -1.0))


@pytest.mark.parametrize("variance", [1.3, 1.7])
@pytest.mark.parametrize("effects", ["normal", "fixed"])
def test_calibration_by_the_empirical_null_beats_the_gif(variance: float, effects: str) -> None:
    ratios, fdp, power = [], [], []
    for seed in range(8):
        z, causal = mixture(50_000, variance**0.5, effects, seed)
        null = fit_empirical_null(EDGES, counts_of(z))
        gif = np.median(z**2) / special.chdtri(1, 0.5)
        ratios.append([gif / variance, null.sd**2 / variance])
        found = [benjamini_hochberg_finds(chi2_1_p(s)) for s in (z / gif**0.5, (z - null.mean) / null.sd)]
        fdp.append([(f & ~causal).sum() / f.sum() for f in found])
        power.append([f[causal].mean() for f in found])
    gif_ratio, null_ratio = np.mean(ratios, axis=0)
    # bench/empirical_null.py over 50 draws of 100 000: 1.01 to 1.03, standard deviation of a draw 0.009, here 0.012
    assert abs(null_ratio - 1.0) < 0.05
    assert gif_ratio > 1.05
    # there 0.037 to 0.046, here ± 0.004
    assert np.mean(fdp, axis=0)[1] < 0.06
    assert np.all(np.array(power)[:, 1] >= np.array(power)[:, 0])


def bootstrap_choice(p: Floats, thresholds: Floats) -> float:
    """qvalue's pi0.method = "bootstrap", from the p-values."""
    m = p.size
    estimates = np.array([np.mean(p > t) / (1 - t) for t in thresholds])
    at_least = np.array([np.sum(p > t) for t in thresholds])
    mse = (
        at_least / (m**2 * (1 - thresholds) ** 2) * (1 - at_least / m) + (estimates - np.quantile(estimates, 0.1)) ** 2
    )
    return float(min(estimates[np.argmin(mse)], 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_storey_is_what_qvalue_chooses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.concatenate([rng.random(1600), rng.beta(0.3, 8, 400)])
    thresholds = np.arange(1, 20) / 20
    above = (p[:, None] > thresholds).sum(axis=0)
    assert storey_pi0(thresholds, above, p.size) == pytest.approx(bootstrap_choice(p, thresholds), rel=1e-14)


def test_storey_estimates_the_share_of_nulls() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    p = np.concatenate([rng.random(4 * n // 5), rng.beta(0.1, 20, n // 5)])
    thresholds = np.arange(1, 20) / 20
    # at λ = 0.95, the worst that can be chosen, the standard error is √(0.04 · 0.96 / n) / 0.05 = 0.009
    assert storey_pi0(thresholds, (p[:, None] > thresholds).sum(axis=0), n) == pytest.approx(0.8, abs=0.02)


def test_storey_stays_above_zero_and_at_most_one() -> None:
    assert storey_pi0([0.5, 0.8], [0, 0], 50) == 1 / 50
    assert storey_pi0([0.5, 0.8], [40, 30], 50) == 1.0


def test_storey_of_nothing_is_missing() -> None:
    assert math.isnan(storey_pi0([0.5], [0], 0))
    assert math.isnan(storey_pi0([], [], 10))
    assert math.isnan(storey_pi0([1.0, np.nan], [0, 0], 10))


def test_storey_passes_over_what_is_no_threshold() -> None:
    assert storey_pi0([0.2, 1.0, np.nan, 0.5], [700, 0, 3, 440], 1000) == storey_pi0([0.2, 0.5], [700, 440], 1000)


def test_q_of_storey_is_the_share_of_nulls_times_that_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([rng.random(150), rng.beta(0.2, 10, 50), [0.4, 0.4, 1.0]])
    m, pi0 = p.size, 0.7
    candidates = np.unique(p)
    rate = m * candidates / (p <= candidates[:, None]).sum(axis=1)

    def least_from(values: Floats) -> Floats:
        return np.array([min(1.0, values[candidates >= own].min()) for own in p])

    assert least_from(pi0 * rate) == pytest.approx(pi0 * least_from(rate), rel=1e-14)
