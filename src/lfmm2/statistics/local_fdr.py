"""Local false discovery rate of calibrated z-scores, from their histogram.

The scores are a mixture, f(z) = p₀ φ(z) + (1 − p₀) f₁(z), and the probability that a score is one of the null is

    lfdr(z) = p₀ φ(z) / f(z)

f is estimated by Lindsey's method: counts y_i in bins of centre x_i and width w_i are taken as Poisson with means
n w_i f(x_i), and ln f as a linear combination of smooth functions, so that f is a Poisson regression with offset
ln n w_i.

The smooth functions are natural cubic splines with 14 equally spaced knots. Efron's polynomial of degree 7 cannot
follow a null of variance 1 and wide tails at once: of 10⁶ scores, 5 % of them N(0, 17), its lfdr is off by up to
0.13, that of the splines by 0.02; of 10⁴ by 0.15 and 0.08 (bench/empirical_null.py).

References
----------
Efron 2004 (J. Am. Stat. Assoc. 99:96); Efron 2007 (Ann. Stat. 35:1351); Efron and Tibshirani 1996
(Ann. Stat. 24:2431), section 2, for Lindsey's method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from lfmm2._typing import Floats, Ints

#: Largest |z| of the regression. φ is 5·10⁻¹⁵ there, so that scores beyond it are not null.
Z_LIMIT = 8.0
# Bins of the regression, as many as Efron's; more bins change nothing but the time.
_N_BINS = 120
# Knots of the splines; the module docstring compares them with Efron's polynomial.
_N_KNOTS = 14
# Steps of the tabulated lfdr. Interpolation is off by 10⁻⁴ of lfdr, and Lindsey's estimate by some 10⁻².
_N_STEPS = 2048
# Least number of scores for an estimate: with fewer the splines follow the noise.
_MIN_SCORES = 200
# Least number of bins with scores for an estimate.
_MIN_BINS = 10
# Newton's method: steps before it gives up, halvings of one step, and gain of l, relative to l, that ends it.
_MAX_ITERATIONS = 100
_MAX_HALVINGS = 40
_TOLERANCE = 1e-12
# Score that is added to every bin, so that ln f stays finite where bins are empty; more would raise f in the tails.
_FLOOR = 1e-4
# Largest |ln mean| of a bin, so that a step that goes too far does not overflow.
_LARGEST_LOG = 300.0


@dataclass(frozen=True, eq=False)
class SmoothDensity:
    """ln f on [`low`, `high`], the estimate of Lindsey's method.

    Attributes
    ----------
    low, high : float
        First and last edge of the bins of the regression.
    coefficients : ndarray of shape (n_functions,), float64
        Coefficients of the functions of `_design`.
    degree : int or None
        Degree of the polynomial; None for splines.
    """

    low: float
    high: float
    coefficients: Floats
    degree: int | None

    def log(self, z: ArrayLike) -> Floats:
        """Return ln f(z), for z between `low` and `high`."""
        values = np.asarray(z, dtype=np.float64)
        return np.asarray(_design(_scaled(values, self.low, self.high), self.degree) @ self.coefficients)


@dataclass(frozen=True, eq=False)
class LocalFdr:
    """Local false discovery rate, tabulated; a function of z.

    Attributes
    ----------
    n : int
        Scores in the histogram.
    null_proportion : float
        p₀.
    low, high : float
        Range of the table; lfdr of scores beyond it is that of its ends.
    table : ndarray of shape (n_steps + 1,), float64
        lfdr at equally spaced z from `low` to `high`: in [0, 1], not rising outwards from z = 0.
    problem : str or None
        Reason why lfdr could not be estimated, and is 1 everywhere; None if it could.
    """

    n: int
    null_proportion: float
    low: float
    high: float
    table: Floats
    problem: str | None = None
    _slopes: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_slopes", np.append(np.diff(self.table), 0.0))

    def __call__(self, z: ArrayLike) -> Floats:
        """Return the local fdr of calibrated scores, in their shape; NaN stays NaN."""
        last = self.table.size - 1
        steps = (np.asarray(z, dtype=np.float64) - self.low) * (last / (self.high - self.low))
        # fmin and fmax turn NaN into a valid place; the fraction keeps it.
        places = np.fmax(np.fmin(steps, last), 0.0).astype(np.int64)
        fractions = np.clip(steps, 0.0, last) - places
        return np.asarray(self.table[places] + fractions * self._slopes[places])


def fit_local_fdr(
    edges: ArrayLike,
    counts: ArrayLike,
    null_proportion: float,
    *,
    one_sided: bool = False,
    degree: int | None = None,
) -> LocalFdr:
    """Estimate the local fdr of z-scores whose null is N(0, 1), from their histogram.

        lfdr(z) = min(1, p₀ φ(z) / f̂(z))

    Parameters
    ----------
    edges : array_like of shape (m + 1,), float64
        Ascending ends of the bins; the first and the last may be infinite.
    counts : array_like of shape (m,), int64
        Scores per bin.
    null_proportion : float
        p₀, in (0, 1]: of the empirical null or Storey's.
    one_sided : bool
        True if only large scores are evidence, as for F; then lfdr is 1 for z below 0.
    degree : int, optional
        A polynomial of this degree instead of the splines; 7 is Efron's.

    Returns
    -------
    LocalFdr
        lfdr is made not to rise outwards from 0, where the ratio of two small numbers wavers. Without an estimate
        (few scores, say) it is 1 everywhere and `problem` says why.

    Notes
    -----
    The regression has 120 bins, joined from those given, on [−8, 8], or with `degree` from the least score there to
    the largest. About 1 ms.

    Examples
    --------
    >>> scores = np.concatenate([np.random.default_rng(0).standard_normal(9500), np.full(500, 4.5)])
    >>> counts, edges = np.histogram(scores, np.linspace(-8, 8, 321))
    >>> fit_local_fdr(edges, counts, 0.95)([0.0, 3.0, 4.5]).round(2).tolist()
    [1.0, 0.79, 0.0]
    """
    bounds, numbers = np.asarray(edges, dtype=np.float64), np.asarray(counts, dtype=np.int64)
    n = int(numbers.sum())
    if not 0.0 < null_proportion <= 1.0:
        return _without_estimate(n, null_proportion, f"a proportion of the null of {null_proportion:g}")
    density = smooth_density(bounds, numbers, -Z_LIMIT, Z_LIMIT, degree)
    if isinstance(density, str):
        return _without_estimate(n, null_proportion, density)
    grid = np.linspace(density.low, density.high, _N_STEPS + 1)
    log_null = math.log(null_proportion) - 0.5 * grid**2 - 0.5 * math.log(2.0 * math.pi)
    lfdr = np.exp(np.minimum(log_null - density.log(grid), 0.0))
    centre = int(np.argmin(np.abs(grid)))
    lfdr[centre:] = np.minimum.accumulate(lfdr[centre:])
    lfdr[: centre + 1] = 1.0 if one_sided else np.minimum.accumulate(lfdr[centre::-1])[::-1]
    return LocalFdr(n, null_proportion, density.low, density.high, lfdr)


def smooth_density(
    edges: Floats, counts: Ints, low: float, high: float, degree: int | None = None
) -> SmoothDensity | str:
    """Estimate the density of all scores on [low, high]; return a string with the reason if that is not possible."""
    n = int(counts.sum())
    if n < _MIN_SCORES:
        return f"{n} tests, but at least {_MIN_SCORES} are needed"
    joined_edges, joined = _joined_bins(edges, counts, low, high, up_to_scores=degree is not None)
    if np.count_nonzero(joined) < _MIN_BINS:
        return f"the statistics are in {np.count_nonzero(joined)} bins, but at least {_MIN_BINS} are needed"
    first, last = float(joined_edges[0]), float(joined_edges[-1])
    centres = 0.5 * (joined_edges[1:] + joined_edges[:-1])
    A = _design(_scaled(centres, first, last), degree)  # (n_bins, n_functions)
    coefficients = _poisson_regression(A, joined.astype(np.float64), np.log(n * np.diff(joined_edges)))
    if coefficients is None:
        return f"the regression for their density did not converge in {_MAX_ITERATIONS} steps"
    return SmoothDensity(first, last, coefficients, degree)


def _joined_bins(edges: Floats, counts: Ints, low: float, high: float, up_to_scores: bool) -> tuple[Floats, Ints]:
    """Join bins to about `_N_BINS`, as equal as the edges allow, on [low, high] or on the part of it that has scores.

    The splines need the empty bins: if the regression ended at the outermost score, it would take the density
    there for high. Then every second sample of 10⁴ null scores would have some with an lfdr below 0.2; with the empty
    bins it is every tenth. A polynomial would oscillate where there are no scores.
    """
    inside = (edges[:-1] >= low) & (edges[1:] <= high)
    bins = np.flatnonzero(inside & (counts > 0)) if up_to_scores else np.flatnonzero(inside)
    if bins.size == 0:
        return np.zeros(1), np.zeros(0, dtype=np.int64)
    first, stop = int(bins[0]), int(bins[-1]) + 1
    own = edges[first : stop + 1]
    wanted = np.linspace(own[0], own[-1], _N_BINS + 1)
    right = np.clip(np.searchsorted(own, wanted), 1, own.size - 1)
    nearest = np.unique(right - (wanted - own[right - 1] < own[right] - wanted))
    return own[nearest], np.add.reduceat(counts[first:stop], nearest[:-1])


def _scaled(z: Floats, low: float, high: float) -> Floats:
    """Map [low, high] to [−1, 1]."""
    return np.asarray((2.0 * z - (low + high)) / (high - low))


def _design(u: Floats, degree: int | None) -> Floats:
    """Evaluate Legendre polynomials, or natural cubic splines, at `u` in [−1, 1]: shape (n, n_functions).

    The splines are 1, u and d_k − d_{K−1} with d_k = ((u − ξ_k)₊³ − (u − ξ_K)₊³) / (ξ_K − ξ_k), which are linear
    beyond the outermost of the K knots ξ (Hastie, Tibshirani and Friedman 2009, eq. 5.4 and 5.5).
    """
    if degree is not None:
        return np.asarray(np.polynomial.legendre.legvander(u, degree))
    knots = np.linspace(-1.0, 1.0, _N_KNOTS)
    cubes = np.maximum(u[:, None] - knots, 0.0) ** 3
    d = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
    return np.column_stack([np.ones_like(u), u, d[:, :-1] - d[:, -1:]])


def _poisson_regression(A: Floats, y: Floats, offset: Floats) -> Floats | None:
    """Return the b that maximise the Poisson likelihood of y with means exp(offset + A b); None if not found.

        l(b) = Σ y η − exp η,   η = offset + A b

    Iteratively reweighted least squares (McCullagh and Nelder 1989, section 2.5), which is Newton's method; a step
    that lowers l, which is concave, is halved. Every bin gets `_FLOOR` of a score: where bins are empty over a whole
    interval of knots, ln f would go to −∞.
    """
    y = y + _FLOOR
    start = np.log(y + 0.5)
    b = np.asarray(np.linalg.lstsq(A * np.sqrt(y + 0.5)[:, None], (start - offset) * np.sqrt(y + 0.5))[0], np.float64)
    likelihood, means = _poisson_likelihood(A, y, offset, b)
    for _ in range(_MAX_ITERATIONS):
        weights = np.sqrt(means)
        step = np.linalg.lstsq(A * weights[:, None], (y - means) / weights)[0]
        for _ in range(_MAX_HALVINGS):
            trial, trial_means = _poisson_likelihood(A, y, offset, b + step)
            if trial >= likelihood:
                break
            step = 0.5 * step
        else:
            # At the maximum no step gains more than rounding.
            return b
        gain, likelihood, means, b = trial - likelihood, trial, trial_means, b + step
        if gain <= _TOLERANCE * (1.0 + abs(likelihood)):
            return b
    return None


def _poisson_likelihood(A: Floats, y: Floats, offset: Floats, b: Floats) -> tuple[float, Floats]:
    """Return l(b) and the means, whose logarithms are cut at ± `_LARGEST_LOG`."""
    eta = np.clip(offset + A @ b, -_LARGEST_LOG, _LARGEST_LOG)
    means = np.exp(eta)
    return float(y @ eta - means.sum()), means


def _without_estimate(n: int, null_proportion: float, reason: str) -> LocalFdr:
    fact = f"no local false discovery rate: {reason}"
    return LocalFdr(n, null_proportion, -Z_LIMIT, Z_LIMIT, np.ones(2), fact)
