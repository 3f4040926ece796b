"""How heavy the tails of calibrated statistics are, by surrogate variables that no SNP is associated with.

Under confounding, the SNPs that differ most along the axes of structure get more than their share of the inflation, so
the tails are heavier than those of Student's t with the residual degrees of freedom. Surrogate variables have the same
share on every axis of structure, see `lfmm2.model.surrogates`. Their statistics, over their median, tell how many
degrees of freedom ν the null distribution really has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from lfmm2._typing import Floats
from lfmm2.statistics import distributions
from lfmm2.statistics.joint_scatter import fit_scatter

# Quantile, over the median, by which ν is matched. A higher one is that of fewer SNPs, and so less certain; in a lower
# one heavy tails do not show.
_TOP = 0.99
# Smallest ν. With fewer degrees of freedom the calibrated p say nothing.
_LEAST_DF = 3.0
# Points of the curve of the surrogates in a QQ plot, evenly spaced in −log₁₀ p, and the SNPs beyond its last point.
_POINTS, _BEYOND = 40, 5


@dataclass(frozen=True)
class SurrogateTail:
    """The null distribution of one test, as the surrogates of all kinds have it.

    Attributes
    ----------
    tail_df : float
        ν, at most the residual degrees of freedom: the smallest of all kinds of surrogates.
    expected, observed : list of float
        −log₁₀ p of evenly distributed p, and of the surrogates at the same ranks, with ν and their own inflation.
    """

    tail_df: float
    expected: list[float]
    observed: list[float]


def match_tail(ratio: float, n_variables: int, df: float) -> float:
    """Return ν, from 3 to df, for which the 99 % quantile of F(d, ν) is `ratio` times its median.

    df where the ratio is smaller than that of F(d, df), or is NaN.
    """

    def excess(nu: float) -> float:
        low, high = (special.fdtri(n_variables, nu, q) for q in (0.5, _TOP))
        return float(high / low) - ratio

    if not excess(df) < 0:
        return float(df)
    least = min(_LEAST_DF, df)
    if excess(least) <= 0:
        return float(least)
    from scipy import optimize  # It imports much, and most runs draw no surrogates.

    # ν is sought on the scale of 1/ν, on which the quantiles are nearly linear.
    return float(1 / optimize.brentq(lambda inverse: excess(1 / inverse), 1 / df, 1 / least, xtol=1e-12))


def tail_of_surrogates(kinds: Sequence[Sequence[Floats]], n_variables: int, df: int) -> SurrogateTail:
    """Return the null distribution of a test by the squared statistics of surrogates.

    Parameters
    ----------
    kinds : sequence of sequence of ndarray, float64
        For each kind of surrogate, for each surrogate, t² or D of the SNPs; NaN is no statistic.
    n_variables : int
        d of the test: 1 for t².
    df : int
        Residual degrees of freedom.
    """
    pooled = [np.concatenate([_over_median(squares) for squares in of_kind]) for of_kind in kinds]
    tail_dfs = [match_tail(_quantile(values), n_variables, df) for values in pooled]
    heaviest = int(np.argmin(tail_dfs))
    nu = tail_dfs[heaviest]
    expected, observed = _curve(pooled[heaviest], n_variables, nu)
    return SurrogateTail(nu, expected, observed)


def joint_squares(t: Floats, f: Floats) -> Floats:
    """Return D (b,) of t (b, d) of one surrogate by their own scatter, or F where they have none."""
    tested = ~np.isnan(f)
    scatter = fit_scatter(t[tested], f[tested])
    return f if scatter is None else scatter.root_distances(t) ** 2


def _over_median(squares: Floats) -> Floats:
    """Return the statistics over their median, without NaN; none where the median is 0."""
    known = squares[~np.isnan(squares)]
    median = float(np.median(known)) if len(known) else 0.0
    return known / median if median > 0 else known[:0]


def _quantile(values: Floats) -> float:
    return float(np.quantile(values, _TOP)) if len(values) else np.nan


def _curve(values: Floats, n_variables: int, nu: float) -> tuple[list[float], list[float]]:
    """Return −log₁₀ p expected and observed at ranks that are evenly spaced in −log₁₀ p."""
    n = len(values)
    if n <= _BEYOND:
        return [], []
    ranks = np.unique(np.round(np.geomspace(_BEYOND, n, _POINTS)).astype(np.int64))
    largest_first = -np.sort(-values)
    at = largest_first[ranks - 1] * special.fdtri(n_variables, nu, 0.5)
    observed = distributions.f_neg_log10_p(at, n_variables, nu)
    expected = -np.log10((ranks - 0.5) / n)
    return expected.tolist(), observed.tolist()
