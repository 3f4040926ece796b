"""Calibration: from the statistics of all SNPs to their null distribution, and from that to p-values.

The statistics of one test (t of a variable, or F of all) are counted in a histogram. Their null distribution is read
from the middle of it, where few SNPs are associated:

* ``student``: t / √GIF is Student's t, and D / GIF is F. GIF is the median of t² or D over the median of F(1, df) or
  F(d, df). Inflation widens the null, and leaves its tails as heavy as few degrees of freedom make them. D stands for
  F, with the scatter of the t in place of their theoretical covariance, see `lfmm2.statistics.joint_scatter`.
* ``chi2``: t² / GIF is χ²₁, as in R's lfmm, with the GIF of Devlin and Roeder (1999), whose median is that of χ²₁. With
  few degrees of freedom its p are too small: with 20 of them a p of 1e-5 should be 2.2e-4. In the joint test F / GIF
  is F.
* ``empirical-null``: N(δ, σ²), fitted to the centre of z (Efron 2004), the normal score with the tail probability of t
  or F. Then (t − δ)/σ is Student, or (z − δ)/σ of F is N(0, 1).
* ``none``: t is Student, F is F.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from scipy import special

from lfmm2._choices import CALIBRATIONS, CALIBRATIONS_RULE
from lfmm2._typing import Floats, Ints
from lfmm2.errors import UsageError
from lfmm2.statistics import distributions
from lfmm2.statistics.empirical_null import EmpiricalNull, fit_empirical_null, storey_pi0
from lfmm2.statistics.gif_error import BlockMedians
from lfmm2.statistics.local_fdr import LocalFdr, fit_local_fdr
from lfmm2.statistics.order_statistics import MagnitudeHistogram, middle_pair
from lfmm2.statistics.student_table import student_table

#: Function that returns the statistics of all SNPs by blocks, the same each time.
Blocks = Callable[[], Iterable[Floats]]

#: Median of χ² with one degree of freedom, 2·erfinv(½)²; the rounded 0.456 in use elsewhere is 0.23 % off.
CHI2_1_MEDIAN = 0.454936423119572752
# Standard error of the GIF of m independent null tests, times √m: 1 / (2 f(x) x) with the density f of χ²₁ at its
# median x. Linkage makes it larger only, so that a smaller error of the jackknife is chance.
_INDEPENDENT_ERROR = 2.33
# p-values above which tests are counted for Storey's share of nulls.
_STOREY_THRESHOLDS = np.arange(1, 20) / 20
# Of the edges of the histogram, one in so many may stand for such a threshold; p of all edges would take longer.
_EDGE_STEP = 8


class TestStatistic(Protocol):
    """A statistic whose null distribution is known up to its calibration.

    Calibration works on `magnitudes`, called `values` below: numbers whose size grows as p falls.
    """

    def magnitudes(self, statistic: Floats) -> Floats:
        """Return the values to calibrate: t itself, or sqrt(F)."""

    def tails(self, statistic: Floats) -> tuple[Floats, Floats]:
        """Return p and -log₁₀ p of the statistic under its theoretical null distribution."""

    @property
    def median_square(self) -> float:
        """Median of the squared value under the theoretical null."""

    def for_method(self, method: str) -> TestStatistic:
        """Return the statistic with the null distribution that a method of calibration takes for it."""

    def with_tail(self, tail_df: float) -> TestStatistic:
        """Return the statistic with tails, divided by its inflation, of so many degrees of freedom, at most its own."""

    def z(self, values: Floats) -> Floats:
        """Return the normal score with the same tail probability."""

    def p(self, values: Floats, gif: float | None) -> Floats:
        """Return p of `values`, after their squares are divided by `gif` if there is one."""

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats:
        """Return -log₁₀ of `p`, finite wherever the value is."""

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        """Return z of `values`, after their squares are divided by `gif`."""


@dataclass(frozen=True)
class StudentStatistic:
    """Student's t of one variable with `df` degrees of freedom; its test is two-sided.

    Attributes
    ----------
    df : int
    large_sample : bool
        True if t², divided by its inflation, is taken as χ²₁ whatever `df` is.
    tail_df : float, optional
        Degrees of freedom of t divided by its inflation, where surrogate variables have shown that its tails are
        heavier than those of `df`; None where they are those of `df`.
    """

    df: int
    large_sample: bool = False
    tail_df: float | None = None

    @property
    def inflated_df(self) -> float:
        """Degrees of freedom of t divided by its inflation."""
        return self.df if self.tail_df is None else self.tail_df

    @property
    def median_square(self) -> float:
        return CHI2_1_MEDIAN if self.large_sample else float(special.stdtrit(self.inflated_df, 0.75) ** 2)

    def for_method(self, method: str) -> StudentStatistic:
        return replace(self, large_sample=method == "chi2")

    def with_tail(self, tail_df: float) -> StudentStatistic:
        return replace(self, tail_df=tail_df if tail_df < self.df else None)

    def magnitudes(self, statistic: Floats) -> Floats:
        return statistic

    def tails(self, statistic: Floats) -> tuple[Floats, Floats]:
        return student_table(self.df).tails(statistic)

    def z(self, values: Floats) -> Floats:
        return student_table(self.df).z(values)

    def p(self, values: Floats, gif: float | None) -> Floats:
        deflated = values if gif is None else _deflated(np.abs(values), gif)
        if gif is None or not self.large_sample:
            return student_table(self.df if gif is None else self.inflated_df).p(deflated)
        return distributions.chi2_1_p(deflated)

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats:
        deflated = values if gif is None else _deflated(np.abs(values), gif)
        if gif is None or not self.large_sample:
            return student_table(self.df if gif is None else self.inflated_df).tails(deflated)[1]
        return distributions.chi2_1_neg_log10_p(deflated)

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        deflated = _deflated(values, gif)
        return deflated if self.large_sample else student_table(self.inflated_df).z(deflated)


@dataclass(frozen=True)
class JointStatistic:
    """F of d variables together with (d, df) degrees of freedom; its test is one-sided, and its values are sqrt(F).

    D of `JointScatter` takes the place of F where t is whitened by its scatter: D divided by its inflation is F too.

    Attributes
    ----------
    n_variables, df : int
    tail_df : float, optional
        Second degrees of freedom of the value divided by its inflation, as in `StudentStatistic`.
    """

    n_variables: int
    df: int
    tail_df: float | None = None

    @property
    def inflated_df(self) -> float:
        """Second degrees of freedom of a value divided by its inflation."""
        return self.df if self.tail_df is None else self.tail_df

    def magnitudes(self, statistic: Floats) -> Floats:
        return np.sqrt(statistic)

    def tails(self, statistic: Floats) -> tuple[Floats, Floats]:
        degrees = (self.n_variables, self.df)
        return distributions.f_p(statistic, *degrees), distributions.f_neg_log10_p(statistic, *degrees)

    @property
    def median_square(self) -> float:
        return float(special.fdtri(self.n_variables, self.inflated_df, 0.5))

    def for_method(self, method: str) -> JointStatistic:
        return self

    def with_tail(self, tail_df: float) -> JointStatistic:
        return replace(self, tail_df=tail_df if tail_df < self.df else None)

    def z(self, values: Floats) -> Floats:
        return distributions.f_z(values**2, self.n_variables, self.df)

    def p(self, values: Floats, gif: float | None) -> Floats:
        df = self.df if gif is None else self.inflated_df
        return distributions.f_p(_deflated_f(values, gif), self.n_variables, df)

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats:
        df = self.df if gif is None else self.inflated_df
        return distributions.f_neg_log10_p(_deflated_f(values, gif), self.n_variables, df)

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        return distributions.f_z(_deflated_f(values, gif), self.n_variables, self.inflated_df)


def _deflated(values: Floats, gif: float) -> Floats:
    """Return values divided by the square root of the GIF; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = values / np.sqrt(gif)
    return z


def _deflated_f(root_f: Floats, gif: float | None) -> Floats:
    """Return F of its square roots, divided by the GIF if there is one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        f: Floats = root_f**2 if gif is None else root_f**2 / gif
    return f


class Inflation(NamedTuple):
    """A genomic inflation factor, NaN where no SNP has a statistic, and its standard error, NaN with few SNPs."""

    gif: float
    se: float


@dataclass(frozen=True)
class CalibrationSummary:
    """How one test was calibrated.

    Attributes
    ----------
    method : str
        Method of calibration that was used.
    gif, gif_se : float
        Genomic inflation factor and its standard error, NaN where there are too few SNPs for one.
    gif_thinned, gif_thinned_se : float
        The same over the SNPs that thinning by linkage has kept; NaN without thinning.
    mean, sd, null_proportion : float
        Empirical null N(δ, σ²) and the share of nulls, by maximum likelihood; NaN where it could not be fitted.
    mean_central, sd_central : float
        Empirical null by central matching.
    storey_pi0 : float
        Share of nulls, by the calibrated p (Storey 2002).
    n_tests : int
        SNPs with a statistic.
    """

    method: str
    gif: float
    gif_se: float
    gif_thinned: float
    gif_thinned_se: float
    mean: float
    sd: float
    null_proportion: float
    mean_central: float
    sd_central: float
    storey_pi0: float
    n_tests: int


@dataclass(frozen=True)
class Calibration:
    """The null distribution of one test, and what follows from it for each SNP.

    Attributes
    ----------
    statistic : TestStatistic
    method : str
        Method that was used: the one asked for, or "student" where no empirical null could be fitted.
    gif : float
        Genomic inflation factor before calibration; with a method that does not use it, that of ``student``. NaN where
        no SNP has a statistic.
    gif_se : float
        Standard error of `gif` by the jackknife of `BlockMedians`; NaN where there are too few SNPs for it.
    null : EmpiricalNull
        Empirical null by maximum likelihood, whatever the method.
    central : EmpiricalNull or None
        Empirical null by central matching, where it was asked for.
    storey_pi0 : float
        Share of true nulls by the calibrated p (Storey 2002): Storey's q is this times Benjamini-Hochberg's.
    local_fdr_fit : LocalFdr, optional
    thinned : Inflation, optional
        Inflation over the SNPs that thinning by linkage has kept; None without thinning.
    histogram : MagnitudeHistogram
        Counts of `scores`.
    """

    statistic: TestStatistic
    method: str
    gif: float
    gif_se: float
    null: EmpiricalNull
    central: EmpiricalNull | None
    storey_pi0: float = np.nan
    local_fdr_fit: LocalFdr | None = None
    thinned: Inflation | None = None
    histogram: MagnitudeHistogram = field(default_factory=MagnitudeHistogram, repr=False, compare=False)

    @property
    def signed_scores(self) -> bool:
        """True if tests are ordered otherwise than by the size of their statistic."""
        return self.method == "empirical-null" and isinstance(self.statistic, StudentStatistic)

    @property
    def _uses_normal_p(self) -> bool:
        """True if p is that of a normal score, as for F with an empirical null, because a shifted F is no F."""
        return self.method == "empirical-null" and not self.signed_scores

    @property
    def _gif_used(self) -> float | None:
        """Inflation factor that p is computed with; None for another method."""
        return self.gif if self.method in ("student", "chi2") else None

    def scores(self, values: Floats) -> Floats:
        """Return the scores that order the tests: at least 0, and p falls as they grow."""
        return np.abs(self._shifted(values) if self.signed_scores else values)

    def _shifted(self, values: Floats) -> Floats:
        """Return (t − δ)/σ, taken as Student's t: inflation multiplies t, and leaves its tails as heavy as they are."""
        return (values - self.null.mean) / self.null.sd

    def values_to_stand_in(self, values: Floats) -> Floats:
        """Return values of another test, to stand among those of this calibration.

        They have no part in the GIF, which a few sound tests may bring below 1 by chance; such a GIF is not theirs.
        """
        return values if self._gif_used is None or not self.gif < 1 else values * np.sqrt(self.gif)

    def z(self, values: Floats) -> Floats:
        """Return calibrated normal scores: N(0, 1) under the null."""
        if self._gif_used is not None:
            return self.statistic.z_inflated(values, self.gif)
        if self.method == "none":
            return self.statistic.z(values)
        if self.signed_scores:
            return self.statistic.z(self._shifted(values))
        return (self.statistic.z(values) - self.null.mean) / self.null.sd

    def p(self, scores: Floats) -> Floats:
        """Return the calibrated p of `scores`."""
        if self._uses_normal_p:
            return distributions.normal_upper_p(self.z(scores))
        return self.statistic.p(scores, self._gif_used)

    def neg_log10_p(self, scores: Floats) -> Floats:
        """Return -log₁₀ of the calibrated p; finite wherever the score is."""
        if self._uses_normal_p:
            return distributions.normal_upper_neg_log10_p(self.z(scores))
        return self.statistic.neg_log10_p(scores, self._gif_used)

    def score_of_p(self, p: Floats) -> Floats:
        """Return the scores that have these calibrated p, between 0 and 1; for t only."""
        assert isinstance(self.statistic, StudentStatistic)
        if self.statistic.large_sample:
            return np.asarray(-special.ndtri(p / 2) * np.sqrt(self.gif))
        if self._gif_used is None:
            return np.asarray(special.stdtrit(self.statistic.df, 1 - p / 2))
        return np.asarray(special.stdtrit(self.statistic.inflated_df, 1 - p / 2) * np.sqrt(self.gif))

    def local_fdr(self, values: Floats) -> Floats:
        """Return the probability that a SNP with this value is null (Efron 2004); NaN without a statistic."""
        if self.local_fdr_fit is None:
            return np.full(np.shape(values), np.nan)
        return self.local_fdr_fit(self.z(values))

    @property
    def summary(self) -> CalibrationSummary:
        """Numbers of this calibration, as tables and the record show them."""
        null, central = self.null, self.central
        thinned = self.thinned or Inflation(np.nan, np.nan)
        matched = (np.nan, np.nan) if central is None else (central.mean, central.sd)
        return CalibrationSummary(
            self.method, self.gif, self.gif_se, *thinned, null.mean, null.sd, null.null_proportion, *matched,
            self.storey_pi0, self.histogram.n,
        )  # fmt: skip


def calibrate(statistic: TestStatistic, method: str, histogram: MagnitudeHistogram, blocks: Blocks) -> Calibration:
    """Calibrate one test.

    Parameters
    ----------
    statistic : TestStatistic
    method : {"student", "chi2", "empirical-null", "none"}
    histogram : MagnitudeHistogram
        Counts of all values.
    blocks : callable
        Returns the values again, by blocks cut in any way. Called once for the exact median, and once more where an
        empirical null orders tests otherwise than |t| does.

    Raises
    ------
    UsageError, ReadError
        If there is no such method; if the blocks hold other values than the histogram.
    """
    medians = BlockMedians(histogram)
    middle = middle_pair(histogram, medians.watch(blocks()))
    calibration = fit_null(statistic, method, histogram, middle, medians.error_of_square())
    if calibration.signed_scores:
        of_scores = MagnitudeHistogram()
        for block in blocks():
            of_scores.add(calibration.scores(block))
        calibration = replace(calibration, histogram=of_scores)
    edges, counts = _signed_counts(statistic, histogram)
    z_edges = calibration.z(edges)
    pi0 = _estimate_pi0(calibration)
    # The share of nulls belongs to the null of the calibration: from the fit of the centre, or from the p-values.
    share = calibration.null.null_proportion if calibration.method == "empirical-null" else pi0
    one_sided = isinstance(statistic, JointStatistic)
    lfdr = fit_local_fdr(z_edges, counts, min(share, 1.0), one_sided=one_sided)
    return replace(calibration, storey_pi0=pi0, local_fdr_fit=lfdr)


def fit_null(
    statistic: TestStatistic,
    method: str,
    histogram: MagnitudeHistogram,
    middle: tuple[float, float],
    error_of_square: float,
    central: bool = True,
) -> Calibration:
    """Fit the null distribution alone, optionally by both methods.

    Beside the histogram it takes the two middle values, and the standard error of the squared median.
    """
    if method not in CALIBRATIONS:
        raise UsageError(f"calibrate is {method!r}; {CALIBRATIONS_RULE}")
    statistic = statistic.for_method(method)
    edges, counts = _trim_empty_ends(*_signed_counts(statistic, histogram))
    z_edges = _z_of_edges(statistic, edges)
    null = fit_empirical_null(z_edges, counts, "mle")
    matched = fit_empirical_null(z_edges, counts, "central") if central else None
    used = "student" if method == "empirical-null" and null.problem else method
    found = _judge_inflation(statistic, middle, error_of_square, histogram.n)
    return Calibration(statistic, used, *found, null, matched, histogram=histogram)


def measure_inflation(statistic: TestStatistic, method: str, blocks: Blocks) -> Inflation:
    """Return the genomic inflation factor of the values alone, with its standard error; they are read twice."""
    histogram = MagnitudeHistogram()
    for block in blocks():
        histogram.add(block)
    medians = BlockMedians(histogram)
    middle = middle_pair(histogram, medians.watch(blocks()))
    return _judge_inflation(statistic.for_method(method), middle, medians.error_of_square(), histogram.n)


def _judge_inflation(
    statistic: TestStatistic, middle: tuple[float, float], error_of_square: float, n_tests: int
) -> Inflation:
    """Return the GIF with its standard error: that of the jackknife, or of independent tests if that is larger."""
    gif = inflation(middle, statistic.median_square)
    least = gif * _INDEPENDENT_ERROR / max(n_tests, 1) ** 0.5
    return Inflation(gif, float(np.maximum(error_of_square / statistic.median_square, least)))


def _signed_counts(statistic: TestStatistic, histogram: MagnitudeHistogram) -> tuple[Floats, Ints]:
    """Return edges and counts of the values; those of F begin at 0."""
    edges, counts = histogram.signed()
    if isinstance(statistic, JointStatistic):
        n_negative = len(counts) // 2
        return edges[n_negative:], counts[n_negative:]
    return edges, counts


def _trim_empty_ends(edges: Floats, counts: Ints) -> tuple[Floats, Ints]:
    """Return the bins between the outermost values; for t as many on either side of zero."""
    occupied = np.flatnonzero(counts)
    if not len(occupied):
        return edges, counts
    first, last = int(occupied[0]), int(occupied[-1])
    if edges[0] < 0:
        first = min(first, len(counts) - 1 - last)
        last = len(counts) - 1 - first
    return edges[first : last + 2], counts[first : last + 1]


def _z_of_edges(statistic: TestStatistic, edges: Floats) -> Floats:
    """Return z of the edges; for t one half is computed, and the other is its negative."""
    if isinstance(statistic, JointStatistic):
        return statistic.z(edges)
    above = statistic.z(edges[len(edges) // 2 :])
    return np.concatenate([-above[:0:-1], above])


def _estimate_pi0(calibration: Calibration) -> float:
    """Estimate Storey's share of nulls at edges of the histogram near `_STOREY_THRESHOLDS`, with exact counts and p."""
    histogram = calibration.histogram
    if histogram.n == 0:
        return np.nan
    at = np.arange(1, len(histogram.counts), _EDGE_STEP)
    p = calibration.p(histogram.lower_edges()[at])
    nearest = np.unique(np.abs(p[None, :] - _STOREY_THRESHOLDS[:, None]).argmin(axis=1))[::-1]
    below = np.cumsum(histogram.counts)[at[nearest] - 1]
    return storey_pi0(p[nearest], below, histogram.n)


def inflation(middle: tuple[float, float], expected: float) -> float:
    """Compute the genomic inflation factor, median of squares / `expected`, from the magnitudes of `middle_pair`.

    A factor below 1 is returned as it is. NaN where there is no statistic.

    References
    ----------
    Devlin and Roeder 1999 (Biometrics 55:997).
    """
    low, high = middle
    # The mean of the squares, as R's median(t^2) has it, and not the square of the mean.
    return (low * low + high * high) / 2.0 / expected
