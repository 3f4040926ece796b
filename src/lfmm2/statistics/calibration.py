"""Calibration: from the statistics of all SNPs to what their null distribution is, and from that to p-values.

The statistics of one test (t of a variable, or F of all) are summed up by a histogram; what their null distribution is
then comes from the middle of it, where few SNPs are associated:

* ``gif``: t² / GIF is χ²₁ (of F: F / GIF is F), GIF the median over that of the distribution (Devlin and Roeder 1999).
* ``empirical-null``: N(δ, σ²), fitted to the centre of z (Efron 2004), which has the tail probability of t or F. Then
  (t − δ)/σ is Student, or (z − δ)/σ of F is N(0, 1).
* ``none``: t is Student, F is F.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lfmm2._typing import Floats
from lfmm2.errors import UsageError
from lfmm2.statistics import distributions
from lfmm2.statistics.empirical_null import EmpiricalNull, fit_empirical_null, storey_pi0
from lfmm2.statistics.local_fdr import LocalFdr, fit_local_fdr
from lfmm2.statistics.order_statistics import MagnitudeHistogram, middle_pair

Blocks = Callable[[], Iterable[Floats]]

METHODS = ("gif", "empirical-null", "none")

#: Median of χ² with one degree of freedom, 2·erfinv(½)²; the rounded 0.456 in use elsewhere is 0.23 % off.
CHI2_1_MEDIAN = 0.454936423119572752
# standard error of a GIF of m independent tests, times √m
_GIF_ERROR = 2.33
# p of the thresholds from which Storey's share of nulls is read
_STOREY_THRESHOLDS = np.arange(1, 20) / 20
# every so manyth edge of the histogram is looked at for them
_EDGE_STEP = 8


class TestStatistic(Protocol):
    """A statistic whose null distribution is known up to its calibration."""

    @property
    def median_square(self) -> float:
        """Median of its square under the null."""

    def z(self, values: Floats) -> Floats:
        """The normal score with the same tail probability."""

    def p(self, values: Floats, gif: float | None) -> Floats:
        """p of `values`, whose squares are divided by `gif`."""

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats: ...

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        """z of the values, whose squares are divided by `gif`."""


@dataclass(frozen=True)
class StudentStatistic:
    """t of one variable: two-sided."""

    df: int
    median_square = CHI2_1_MEDIAN

    def z(self, values: Floats) -> Floats:
        return distributions.student_z(values, self.df)

    def p(self, values: Floats, gif: float | None) -> Floats:
        if gif is None:
            return distributions.student_p(values, self.df)
        return distributions.chi2_1_p(_deflated(np.abs(values), gif))

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats:
        if gif is None:
            return distributions.student_neg_log10_p(values, self.df)
        return distributions.chi2_1_neg_log10_p(_deflated(np.abs(values), gif))

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        return _deflated(values, gif)


@dataclass(frozen=True)
class JointStatistic:
    """sqrt(F) of d variables together, with (d, df) degrees of freedom: one-sided."""

    n_variables: int
    df: int

    @property
    def median_square(self) -> float:
        return float(special.fdtri(self.n_variables, self.df, 0.5))

    def z(self, values: Floats) -> Floats:
        return distributions.f_z(values**2, self.n_variables, self.df)

    def p(self, values: Floats, gif: float | None) -> Floats:
        return distributions.f_p(_f(values, gif), self.n_variables, self.df)

    def neg_log10_p(self, values: Floats, gif: float | None) -> Floats:
        return distributions.f_neg_log10_p(_f(values, gif), self.n_variables, self.df)

    def z_inflated(self, values: Floats, gif: float) -> Floats:
        return distributions.f_z(_f(values, gif), self.n_variables, self.df)


def _deflated(values: Floats, gif: float) -> Floats:
    """Scores whose squares are taken as χ²₁; NaN where there is no GIF."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = values / np.sqrt(gif)
    return z


def _f(root_f: Floats, gif: float | None) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        f: Floats = root_f**2 if gif is None else root_f**2 / gif
    return f


@dataclass(frozen=True)
class CalibrationSummary:
    """How one test was calibrated.

    Attributes
    ----------
    method : str
        The one used.
    gif : float
        Genomic inflation factor.
    mean, sd, null_proportion : float
        Empirical null N(δ, σ²) and the share of nulls, by maximum likelihood; NaN where it could not be fitted.
    mean_central, sd_central : float
        Empirical null by central matching.
    storey_pi0 : float
        Share of nulls by the calibrated p.
    n_tests : int
        SNPs with a statistic.
    """

    method: str
    gif: float
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
        The one used: that asked for, or "gif" where no empirical null could be fitted.
    gif : float
        Genomic inflation factor as it came out, whatever the method; NaN where no SNP has a statistic.
    null : EmpiricalNull
        By maximum likelihood, whatever the method.
    central : EmpiricalNull or None
        By central matching, where it was asked for.
    storey_pi0 : float
        Share of true nulls by the calibrated p (Storey 2002): Storey's q is this times Benjamini-Hochberg's.
    local_fdr_fit : LocalFdr, optional
    """

    statistic: TestStatistic
    method: str
    gif: float
    null: EmpiricalNull
    central: EmpiricalNull | None
    storey_pi0: float = np.nan
    local_fdr_fit: LocalFdr | None = None
    histogram: MagnitudeHistogram = field(default_factory=MagnitudeHistogram, repr=False, compare=False)

    @property
    def signed_scores(self) -> bool:
        """Whether tests are ordered otherwise than by the size of their statistic."""
        return self.method == "empirical-null" and isinstance(self.statistic, StudentStatistic)

    @property
    def _of_normal(self) -> bool:
        """Whether p is that of a normal score: of F, which no shift leaves an F."""
        return self.method == "empirical-null" and not self.signed_scores

    @property
    def _gif_used(self) -> float | None:
        return self.gif if self.method == "gif" else None

    def scores(self, values: Floats) -> Floats:
        """What orders the tests: at least 0, and p falls as it grows. `histogram` is of these."""
        return np.abs(self._shifted(values) if self.signed_scores else values)

    def _shifted(self, values: Floats) -> Floats:
        """t as Student: what inflates t multiplies it, and leaves its tails as heavy as they are."""
        return (values - self.null.mean) / self.null.sd

    def z(self, values: Floats) -> Floats:
        """Calibrated normal scores: N(0, 1) under the null."""
        if self.method == "gif":
            return self.statistic.z_inflated(values, self.gif)
        if self.method == "none":
            return self.statistic.z(values)
        if self.signed_scores:
            return self.statistic.z(self._shifted(values))
        return (self.statistic.z(values) - self.null.mean) / self.null.sd

    def p(self, scores: Floats) -> Floats:
        """Calibrated p of `scores`."""
        if self._of_normal:
            return distributions.normal_upper_p(self.z(scores))
        return self.statistic.p(scores, self._gif_used)

    def neg_log10_p(self, scores: Floats) -> Floats:
        """-log₁₀ of the calibrated p; finite wherever the score is."""
        if self._of_normal:
            return distributions.normal_upper_neg_log10_p(self.z(scores))
        return self.statistic.neg_log10_p(scores, self._gif_used)

    def score_of_p(self, p: Floats) -> Floats:
        """Scores with these calibrated p, which lie between 0 and 1; of t only."""
        assert isinstance(self.statistic, StudentStatistic)
        if self.method == "gif":
            return np.asarray(-special.ndtri(p / 2) * np.sqrt(self.gif))
        return np.asarray(special.stdtrit(self.statistic.df, 1 - p / 2))

    def local_fdr(self, values: Floats) -> Floats:
        """Probability that a SNP with this statistic is null (Efron 2004); NaN where there is none."""
        if self.local_fdr_fit is None:
            return np.full(np.shape(values), np.nan)
        return self.local_fdr_fit(self.z(values))

    @property
    def summary(self) -> CalibrationSummary:
        """The numbers of it."""
        null, central = self.null, self.central
        matched = (np.nan, np.nan) if central is None else (central.mean, central.sd)
        return CalibrationSummary(
            self.method, self.gif, null.mean, null.sd, null.null_proportion, *matched, self.storey_pi0,
            self.histogram.n,
        )  # fmt: skip


def check_method(method: str) -> None:
    """Raise UsageError unless `method` is one of METHODS."""
    if method not in METHODS:
        raise UsageError(f"calibrate is {method!r}; it is one of {', '.join(METHODS)}")


def calibrate(statistic: TestStatistic, method: str, histogram: MagnitudeHistogram, blocks: Blocks) -> Calibration:
    """Calibrate one test.

    Parameters
    ----------
    statistic : TestStatistic
    method : {"gif", "empirical-null", "none"}
    histogram : MagnitudeHistogram
        Of all values.
    blocks : callable
        Gives the values again, in any cut; read once for the exact median, and once more where an empirical null orders
        t otherwise than |t|.
    """
    calibration = fit_null(statistic, method, histogram, middle_pair(histogram, blocks()))
    if calibration.signed_scores:
        of_scores = MagnitudeHistogram()
        for block in blocks():
            of_scores.add(calibration.scores(block))
        calibration = replace(calibration, histogram=of_scores)
    edges, counts = _signed(statistic, histogram)
    z_edges = calibration.z(edges)
    pi0 = _storey(calibration)
    # of the same null as the calibration: the share that the fit of the centre gives, or that of the p-values
    share = calibration.null.null_proportion if calibration.method == "empirical-null" else pi0
    one_sided = isinstance(statistic, JointStatistic)
    lfdr = fit_local_fdr(z_edges, counts, min(share, 1.0), one_sided=one_sided)
    return replace(calibration, storey_pi0=pi0, local_fdr_fit=lfdr)


def fit_null(
    statistic: TestStatistic,
    method: str,
    histogram: MagnitudeHistogram,
    middle: tuple[float, float],
    central: bool = True,
) -> Calibration:
    """The null distribution alone, from the histogram and the two middle values; by central matching too if wanted."""
    check_method(method)
    edges, counts = _occupied(*_signed(statistic, histogram))
    z_edges = _z_edges(statistic, edges)
    null = fit_empirical_null(z_edges, counts, "mle")
    matched = fit_empirical_null(z_edges, counts, "central") if central else None
    used = "gif" if method == "empirical-null" and null.problem else method
    return Calibration(statistic, used, inflation(middle, statistic.median_square), null, matched, histogram=histogram)


def _signed(statistic: TestStatistic, histogram: MagnitudeHistogram) -> tuple[Floats, NDArray[np.int64]]:
    """Edges and counts of the values; those of F begin at 0."""
    edges, counts = histogram.signed()
    if isinstance(statistic, JointStatistic):
        n_negative = len(counts) // 2
        return edges[n_negative:], counts[n_negative:]
    return edges, counts


def _occupied(edges: Floats, counts: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """The bins that lie between the outermost values, as many on either side of zero where both sides are there."""
    occupied = np.flatnonzero(counts)
    if not len(occupied):
        return edges, counts
    first, last = int(occupied[0]), int(occupied[-1])
    if edges[0] < 0:
        first = min(first, len(counts) - 1 - last)
        last = len(counts) - 1 - first
    return edges[first : last + 2], counts[first : last + 1]


def _z_edges(statistic: TestStatistic, edges: Floats) -> Floats:
    """z of the edges; of t, half of them are those of the other half with the sign turned."""
    if isinstance(statistic, JointStatistic):
        return statistic.z(edges)
    above = statistic.z(edges[len(edges) // 2 :])
    return np.concatenate([-above[:0:-1], above])


def _storey(calibration: Calibration) -> float:
    """Storey's share from edges of the histogram whose p are near the wanted thresholds: exact counts, exact p."""
    histogram = calibration.histogram
    if histogram.n == 0:
        return np.nan
    at = np.arange(1, len(histogram.counts), _EDGE_STEP)
    p = calibration.p(histogram.lower_edges()[at])
    nearest = np.unique(np.abs(p[None, :] - _STOREY_THRESHOLDS[:, None]).argmin(axis=1))[::-1]
    below = np.cumsum(histogram.counts)[at[nearest] - 1]
    return storey_pi0(p[nearest], below, histogram.n)


def inflation(middle: tuple[float, float], expected: float) -> float:
    """Genomic inflation factor, median of squares / `expected`, from the two middle magnitudes of `middle_pair`.

    Raw: below 1 it stays below 1. NaN where there is no statistic.

    References
    ----------
    Devlin and Roeder 1999 (Biometrics 55:997).
    """
    low, high = middle
    # The mean of the squares, as R's median(t^2) has it, and not the square of the mean.
    return (low * low + high * high) / 2.0 / expected


def calibration_notes(calibration: Calibration, asked: str, name: str) -> list[str]:
    """What is odd about a calibration, in words."""
    notes = [calibration_warning(calibration.gif, name, calibration.histogram.n)]
    if asked != calibration.method:
        notes.append(f"{name}: {calibration.null.problem}; calibrated by the genomic inflation factor")
    return [note for note in notes if note]


def calibration_warning(gif: float, name: str, n_tests: int) -> str | None:
    """What a genomic inflation factor clearly below 1, or above 2, usually means; None in between.

    A calibrated run lands below 1 half of the time. The standard error of the median of m independent χ²₁, over its
    expectation, is 1 / (2 f(x̃) x̃ √m) = 2.33 / √m with density f at the median x̃; below 1 by three of them is odd.
    """
    fact = f"{name}: genomic inflation factor {gif:.3f} is"
    if gif < 1.0 - 3 * _GIF_ERROR / max(n_tests, 1) ** 0.5:
        return (
            f"{fact} below 1, so calibration makes p-values smaller; usually K is too large for the number "
            "of samples, or the factors absorb the variable: compare with a smaller K"
        )
    if gif > 2.0:
        return (
            f"{fact} above 2; usually K is too small, or the variable is confounded with population "
            "structure: compare with a larger K, and look at the histogram of p-values"
        )
    return None
