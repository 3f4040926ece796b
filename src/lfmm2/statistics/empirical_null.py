"""Empirical null distribution of z-scores and share of true nulls, from a histogram.

Most tests are null, and their scores lie in the centre. Their distribution, N(δ, σ²), is fitted to the centre alone,
where few associated tests lie; the GIF is a median over all tests and takes the associated ones for inflation. Both
fits need nothing but counts per bin, so any number of tests can be counted block by block.

**Maximum likelihood** (Efron 2007, section 4). Of n scores n₀ lie in the window [a, b], and all of these are taken as
null. With H = P(a ≤ N(δ, σ²) ≤ b), θ = p₀ H and m₁, m₂ the means of z and z² over the n₀,

    l = n₀ ln θ + (n − n₀) ln(1 − θ)                              share of scores in the window
      − n₀ [ln σ + (m₂ − 2 δ m₁ + δ²) / 2σ² + ln H + ½ ln 2π]     density of those there: truncated normal

(δ, σ) maximises the second line and p₀ = n₀ / (n H), unless that is above 1: then p₀ = 1, and (δ, σ) maximises
the sum. In the natural parameters η = (δ/σ², −1/2σ²) the second line is n₀ (η·m − A(η)), concave, and its maximum
is where the truncated normal has the moments m: Newton's method.

**Central matching** (Efron 2004, section 3). Lindsey's estimate of ln f, where f is nearly p₀ times the null, is
fitted by β₀ + β₁ z + β₂ z² over the central half of the scores: σ² = −1 / 2β₂, δ = β₁ σ², and p₀ from the height.

The window is median ± 1.75 robust standard deviations. Efron's narrows as n grows, to ±1.17 at 10⁵ scores. Of 10⁵ with
5 % associated, by N(0, τ²) with τ from 2 to 5 or by ±3.5 to ±5, 1.75 overstates σ² by 1 to 3 % with a standard
deviation of 0.8 %, Efron's by 1 to 3 % with 1.8 % (bench/empirical_null.py): few of the associated scores are in either
window, and the wider one knows more of the null. The same window serves z of F, of which only large ones are evidence:
one that ends sooner above loses more by the skewness of an inflated F than it gains.

References
----------
Efron 2004 (J. Am. Stat. Assoc. 99:96); Efron 2007 (Ann. Stat. 35:1351); Efron 2008 (Stat. Sci. 23:1); R's locfdr.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from lfmm2._typing import Floats, Ints
from lfmm2.errors import UsageError
from lfmm2.statistics.local_fdr import smooth_density

# Half the window of maximum likelihood, in robust standard deviations; the module docstring says why this value.
_HALF_WINDOW = 1.75
# Upper quartile of N(0, 1); the lower one is its negative.
_NORMAL_QUARTILE = 0.674489750196081744
# Least number of tests for a fit: σ of so few is uncertain by a quarter.
_MIN_TESTS = 100
# Least number of bins in the window that hold scores: of fewer distinct values the density is not known.
_MIN_BINS = 8
# Newton's method: steps before it gives up, halvings of one step, and size of a step, relative to η, that ends it.
_MAX_ITERATIONS = 60
_MAX_HALVINGS = 40
_TOLERANCE = 1e-10
# Loss of log likelihood per score that is taken for rounding. Without it, steps at the maximum would be halved in vain.
_ROUNDING = 1e-14
# Half the range over which ln f is smoothed for central matching, in robust standard deviations: with 8 the splines are
# too stiff in the centre (σ² 5 % too small beside effects of ±3.5 to ±5), with 3 they follow the noise.
_HALF_SMOOTHED = 5.0
# Points at which central matching takes ln f.
_N_MATCHED = 51
_NO_PEAK = "the density of the statistics has no peak in the centre"
# Least σ of an estimate, in half windows. The window is [−1, 1] in these units, and below it the integrals over these
# nodes are not exact to rounding.
_LEAST_SD = 0.1
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_POWERS = np.stack([_NODES, _NODES**2])


@dataclass(frozen=True)
class EmpiricalNull:
    """Null distribution N(`mean`, `sd`²) of z-scores.

    Attributes
    ----------
    mean, sd : float
        δ and σ; NaN with a problem.
    null_proportion : float
        p₀, in (0, 1]; NaN with a problem.
    method : str
        "mle" or "central".
    n : int
        Scores in the histogram.
    window : tuple of float
        The scores between these were fitted.
    n_window : int
        Number of scores between these.
    problem : str or None
        Reason why there is no estimate; None if there is one.
    """

    mean: float
    sd: float
    null_proportion: float
    method: str
    n: int
    window: tuple[float, float] = (math.nan, math.nan)
    n_window: int = 0
    problem: str | None = None


def fit_empirical_null(edges: ArrayLike, counts: ArrayLike, method: str = "mle") -> EmpiricalNull:
    """Fit the null distribution of z-scores to the centre of their histogram.

    Parameters
    ----------
    edges : array_like of shape (m + 1,), float64
        Ascending ends of the bins; the first and the last may be infinite.
    counts : array_like of shape (m,), int64
        Scores per bin. Within a bin they count as spread evenly.
    method : {"mle", "central"}
        Maximum likelihood, or central matching.

    Returns
    -------
    EmpiricalNull
        With `problem` instead of an estimate where there are few scores, or they have no peak.

    Raises
    ------
    UsageError
        If `method` is neither.

    Notes
    -----
    Below 1 ms by maximum likelihood, 2 ms by central matching. With bins of relative width 1/128, σ is within
    10⁻⁴ of what the scores themselves give.

    Examples
    --------
    >>> scores = 0.1 + 1.2 * np.random.default_rng(0).standard_normal(100_000)
    >>> counts, edges = np.histogram(scores, np.linspace(-8, 8, 801))
    >>> null = fit_empirical_null(edges, counts)
    >>> round(null.mean, 1), round(null.sd, 1), round(null.null_proportion, 1)
    (0.1, 1.2, 1.0)
    """
    if method not in ("mle", "central"):
        raise UsageError(f"empirical null by {method!r}; the methods are 'mle' and 'central'")
    bounds, numbers = np.asarray(edges, dtype=np.float64), np.asarray(counts, dtype=np.int64)
    n = int(numbers.sum())
    if n < _MIN_TESTS:
        return _without_estimate(method, n, f"{n} tests, but at least {_MIN_TESTS} are needed")
    quartiles = _quantiles(bounds, numbers, [0.25, 0.5, 0.75])
    lower, median, upper = quartiles.tolist()
    scale = (upper - lower) / (2.0 * _NORMAL_QUARTILE)
    if not 0.0 < scale < math.inf:
        return _without_estimate(method, n, "the statistics have no spread, or no finite one")
    if method == "central":
        return _central_matching(bounds, numbers, n, quartiles, scale)
    return _maximum_likelihood(bounds, numbers, n, median - _HALF_WINDOW * scale, median + _HALF_WINDOW * scale)


def storey_pi0(tail_p: ArrayLike, n_above: ArrayLike, n: int) -> float:
    """Estimate the share of true nulls by Storey's method, from counts of large p-values.

        π₀(λ) = #{p > λ} / (n (1 − λ))

    Of the π₀(λ) that one is returned whose estimated mean squared error around the first decile π* of all is least:

        MSE(λ) = W/(n (1−λ))² · (1 − W/n) + (π₀(λ) − π*)²,   W = #{p > λ}

    which is what the bootstrap of Storey, Taylor and Siegmund converges to, and what qvalue's
    ``pi0.method = "bootstrap"`` computes.

    Parameters
    ----------
    tail_p : array_like of shape (m,), float64
        Thresholds λ; those not in [0, 1) are passed over.
    n_above : array_like of shape (m,), int64
        Numbers of p > λ.
    n : int
        Number of tests.

    Returns
    -------
    float
        In (0, 1]; NaN without tests or thresholds. At least 1/n, where qvalue would stop at an estimate of 0.

    Notes
    -----
    Storey's q are π₀ times those of Benjamini and Hochberg. Both are least values over t ≥ p_i of an estimated false
    discovery rate, π₀ n t / #{p ≤ t} and n t / #{p ≤ t}, whose ratio is π₀ at every t; and the cut at 1 changes
    neither, because at the largest p, where #{p ≤ t} = n, they are π₀ p and p, at most 1.

    References
    ----------
    Storey 2002 (J. R. Stat. Soc. B 64:479); Storey, Taylor and Siegmund 2004 (J. R. Stat. Soc. B 66:187), section 6;
    Robinson 2007 (https://genomine.org/qvalue) for the closed form.

    Examples
    --------
    >>> storey_pi0([0.2, 0.5, 0.8], [700, 440, 175], 1000)
    0.875
    """
    thresholds, above = np.asarray(tail_p, dtype=np.float64), np.asarray(n_above, dtype=np.float64)
    usable = (thresholds >= 0.0) & (thresholds < 1.0)
    if n == 0 or not usable.any():
        return math.nan
    thresholds, above = thresholds[usable], above[usable]
    estimates = above / (n * (1.0 - thresholds))
    least = np.quantile(estimates, 0.1)
    errors = above / (n * (1.0 - thresholds)) ** 2 * (1.0 - above / n) + (estimates - least) ** 2
    return float(np.clip(estimates[errors == errors.min()].min(), 1.0 / n, 1.0))


def _maximum_likelihood(edges: Floats, counts: Ints, n: int, low: float, high: float) -> EmpiricalNull:
    """Fit by maximum likelihood to the scores in the bins between `low` and `high`."""
    finite = np.flatnonzero(np.isfinite(edges))
    first, stop = (int(finite[np.argmin(np.abs(edges[finite] - end))]) for end in (low, high))
    own, inside = edges[first : stop + 1], counts[first:stop]
    n_window = int(inside.sum())
    if np.count_nonzero(inside) < _MIN_BINS or n_window < _MIN_TESTS:
        few = f"{n_window} tests in {np.count_nonzero(inside)} bins of the centre"
        return _without_estimate("mle", n, f"{few}, but at least {_MIN_TESTS} in {_MIN_BINS} are needed")
    # u runs from −1 to 1 over the window. Scores spread evenly over a bin have the variance width²/12.
    centre, half = 0.5 * (own[0] + own[-1]), 0.5 * (own[-1] - own[0])
    u = (0.5 * (own[1:] + own[:-1]) - centre) / half
    moments = np.array([inside @ u, inside @ (u**2 + (np.diff(own) / half) ** 2 / 12.0)]) / n_window
    eta = _truncated_fit(moments)
    if eta is None or not eta[1] < 0.0:
        return _without_estimate("mle", n, _NO_PEAK)
    share = n_window / n
    null_proportion = share / _window_share(eta)
    if null_proportion > 1.0:
        null_proportion = 1.0
        eta = _full_fit(moments, share, eta)
        if eta is None:
            return _without_estimate("mle", n, _NO_PEAK)
    mean, variance = _mean_and_variance(eta)
    if variance < _LEAST_SD**2:
        return _without_estimate("mle", n, "the statistics in the centre are nearly the same")
    return EmpiricalNull(
        float(centre + half * mean), float(half * math.sqrt(variance)), float(null_proportion), "mle", n,
        (float(own[0]), float(own[-1])), n_window,
    )  # fmt: skip


def _truncated_fit(m: Floats) -> Floats | None:
    """Return η of the density ∝ exp(η·(u, u²)) on [−1, 1] with E u = m₁, E u² = m₂; None if not found."""
    eta = np.zeros(2)
    log_mass, moments, covariance = _truncated(eta)
    for _ in range(_MAX_ITERATIONS):
        step = np.linalg.solve(covariance, m - moments)
        likelihood = float(m @ eta - log_mass)
        for _ in range(_MAX_HALVINGS):
            log_mass, moments, covariance = _truncated(eta + step)
            if m @ (eta + step) - log_mass >= likelihood - _ROUNDING:
                break
            step = 0.5 * step
        eta = eta + step
        if np.abs(step).max() <= _TOLERANCE * (1.0 + np.abs(eta).max()):
            return eta
    return None


def _truncated(eta: Floats) -> tuple[float, Floats, Floats]:
    """Return A(η) = ln ∫ exp(η·(u, u²)) du over [−1, 1], and the means and covariance of (u, u²)."""
    exponents = eta @ _POWERS
    largest = float(exponents.max())
    masses = _WEIGHTS * np.exp(exponents - largest)
    mass = float(masses.sum())
    moments = _POWERS @ masses / mass
    deviations = _POWERS - moments[:, None]
    return largest + math.log(mass), moments, (deviations * masses) @ deviations.T / mass


def _full_fit(m: Floats, share: float, eta: Floats) -> Floats | None:
    """Return η that maximises l at p₀ = 1, from the η of the window alone; None if not found.

    With s = n₀/n, A_R = ln ∫ exp(η·(u, u²)) over all u, μ and μ_R the means of (u, u²) in the window and over all,

        l/n = s (η·m − A_R) + (1 − s) ln(1 − H)
        ∇ = s (m − μ) + (s − H)/(1 − H) (μ − μ_R)
        Fisher information = H cov(u, u²) + H/(1 − H) (μ − μ_R)(μ − μ_R)ᵀ
    """
    likelihood = _full_likelihood(m, share, eta)
    for _ in range(_MAX_ITERATIONS):
        _, moments, covariance = _truncated(eta)
        mean, variance = _mean_and_variance(eta)
        H = _window_share(eta)
        away = moments - np.array([mean, variance + mean**2])
        gradient = share * (m - moments) + (share - H) / (1.0 - H) * away
        step = np.linalg.solve(H * covariance + H / (1.0 - H) * np.outer(away, away), gradient)
        for _ in range(_MAX_HALVINGS):
            trial = _full_likelihood(m, share, eta + step)
            if trial >= likelihood - _ROUNDING:
                break
            step = 0.5 * step
        eta, likelihood = eta + step, trial
        if np.abs(step).max() <= _TOLERANCE * (1.0 + np.abs(eta).max()):
            return eta
    return None


def _full_likelihood(m: Floats, share: float, eta: Floats) -> float:
    """Return l/n of `_full_fit`, −∞ where η is of no normal."""
    if eta[1] >= 0.0:
        return -math.inf
    mean, variance = _mean_and_variance(eta)
    log_mass = 0.5 * math.log(2.0 * math.pi * variance) + 0.5 * mean**2 / variance
    outside = 1.0 - _window_share(eta)
    return float(share * (eta @ m - log_mass)) + (1.0 - share) * math.log(outside) if outside > 0.0 else -math.inf


def _mean_and_variance(eta: Floats) -> tuple[float, float]:
    """Return mean and variance of the normal with natural parameters η, whose second is below 0."""
    variance = -0.5 / float(eta[1])
    return float(eta[0]) * variance, variance


def _window_share(eta: Floats) -> float:
    """Return H, the probability of [−1, 1] under the normal with natural parameters η."""
    mean, variance = _mean_and_variance(eta)
    lower, upper = special.ndtr((np.array([-1.0, 1.0]) - mean) / math.sqrt(variance))
    return float(upper - lower)


def _central_matching(edges: Floats, counts: Ints, n: int, quartiles: Floats, scale: float) -> EmpiricalNull:
    """Fit by central matching; `scale` is the robust standard deviation."""
    lower, median, upper = quartiles.tolist()
    density = smooth_density(edges, counts, median - _HALF_SMOOTHED * scale, median + _HALF_SMOOTHED * scale)
    if isinstance(density, str):
        return _without_estimate("central", n, density)
    u = np.linspace(-1.0, 1.0, _N_MATCHED)
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    height, slope, curvature = np.polynomial.polynomial.polyfit(u, density.log(middle + half * u), 2).tolist()
    if curvature >= 0.0:
        return _without_estimate("central", n, _NO_PEAK)
    mean, variance = _mean_and_variance(np.array([slope, curvature]))
    if abs(mean) > 1.0:
        return _without_estimate("central", n, _NO_PEAK)
    sd = half * math.sqrt(variance)
    log_proportion = height + 0.5 * mean**2 / variance + math.log(sd) + 0.5 * math.log(2.0 * math.pi)
    null_proportion = math.exp(min(0.0, log_proportion))
    n_matched = int(counts[(edges[:-1] >= lower) & (edges[1:] <= upper)].sum())
    return EmpiricalNull(middle + half * mean, sd, null_proportion, "central", n, (lower, upper), n_matched)


def _quantiles(edges: Floats, counts: Ints, shares: list[float]) -> Floats:
    """Return quantiles of scores spread evenly in their bins; not finite in a bin that is not."""
    cumulated = np.append(0, np.cumsum(counts))
    wanted = np.array(shares) * cumulated[-1]
    bins = np.searchsorted(cumulated, wanted, side="left") - 1
    with np.errstate(invalid="ignore"):
        return np.asarray(edges[bins] + (wanted - cumulated[bins]) / counts[bins] * (edges[bins + 1] - edges[bins]))


def _without_estimate(method: str, n: int, reason: str) -> EmpiricalNull:
    return EmpiricalNull(math.nan, math.nan, math.nan, method, n, problem=f"no empirical null: {reason}")
