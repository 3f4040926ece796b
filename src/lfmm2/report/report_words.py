"""Sentences and numbers of the report."""

from __future__ import annotations

import math

from lfmm2._words import counted, with_spaces
from lfmm2.results import ScreeFacts, StoredRun, SweepFacts

#: Text in place of an absent number.
NO_NUMBER = "—"

# GIF up to which calibration is enough. If the GIF is larger with every K of a sweep, none of them takes the structure
# up; with a smaller limit the report says so of runs that are sound, with a larger one it misses confounding.
_INFLATED = 1.4
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_METHODS = {
    "student": "The p-values are those of Student's t, calibrated by the genomic inflation factor (GIF).",
    "chi2": "The p-values are those of χ², calibrated by the genomic inflation factor (GIF).",
    "empirical-null": "The p-values are calibrated by the empirical null, a normal fitted to the bulk of scores.",
    "none": "The p-values are not calibrated.",
}
_REMOVED = {
    "student": "some inflation, which the calibration removes",
    "chi2": "some inflation, which the calibration removes",
    "empirical-null": "some inflation, or many effects; the calibration goes by the empirical null instead",
    "none": "some inflation, which nothing removes: --calibrate student or empirical-null would",
}


def counted_as(n: int, one: str, many: str) -> str:
    """Write a count with a noun whose plural is not that of `counted`: 1 axis, 3 axes."""
    return f"{with_spaces(n)} {one if n == 1 else many}"


def number(value: float | None, spec: str) -> str:
    """Write a number, powers of ten as 1.2·10⁻⁵, and a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NO_NUMBER
    mantissa, letter, exponent = format(value, spec).replace("-", "−").partition("e")
    mantissa = mantissa.removesuffix(".")  # A spec with # leaves a point after whole numbers.
    return f"{mantissa}·{power_of_ten(int(exponent.replace('−', '-')))}" if letter else mantissa


def power_of_ten(exponent: int) -> str:
    """Write a power of ten: 10⁻⁵."""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def small_p(neg_log10: float) -> str:
    """Write p, given as -log10 p, even if p is too small for a double."""
    if not math.isfinite(neg_log10):
        return NO_NUMBER
    if neg_log10 < 2:
        return f"{10**-neg_log10:.3f}"
    exponent = math.floor(-neg_log10)
    mantissa = f"{10 ** (-neg_log10 - exponent):.2f}"
    # A mantissa of 9.996 would be written 10.00.
    return f"1.00·{power_of_ten(exponent + 1)}" if mantissa == "10.00" else f"{mantissa}·{power_of_ten(exponent)}"


def small_q(value: float) -> str:
    """Write a q-value or local fdr; values below the smallest double are written 0."""
    if not value > 0:
        return "0" if value == 0 else NO_NUMBER
    return f"{value:.3f}" if value >= 0.01 else small_p(-math.log10(value))


def method_sentence(method: str) -> str:
    """Return a sentence on the method of calibration."""
    return _METHODS.get(method, f"Calibration: {method}.")


def meaning_of_gif(
    gif: float, method: str = "student", by_k: dict[int, float] | None = None, n_axes: int | None = None
) -> str:
    """Return the usual meaning of a genomic inflation factor, and the remedy that the sweep offers.

    Parameters
    ----------
    gif : float
    method : {"student", "chi2", "empirical-null", "none"}
        Method of calibration.
    by_k : dict of int to float, optional
        GIF of the same variable at every K of a sweep; empty for the joint test, and None without a sweep.
    n_axes : int, optional
        Number of axes that stand out in the scree.
    """
    if not math.isfinite(gif):
        return "not defined"
    if gif < 0.95:
        return "below 1: the raw tests are too cautious; K may be too large, or the factors absorb the variable"
    if gif <= 1.05:
        return "near 1: the raw p are as expected"
    if gif <= 1.5:
        return f"above 1: {_REMOVED.get(method, 'some inflation')}"
    uncalibrated = "; these p are not calibrated" if method == "none" else ""
    known = {k: value for k, value in (by_k or {}).items() if math.isfinite(value)}
    if known:
        found = _meaning_of_sweep(known, n_axes)
        return f"{'well above 1' if gif <= 2 else 'above 2'}: {found}{uncalibrated}"
    larger = "compare larger K" if by_k is None else "compare the variables by K below"
    if gif <= 2:
        return f"well above 1: structure remains, or effects are many; {larger}{uncalibrated}"
    reliance = "" if method == "none" else "do not rely on calibration alone, "
    return f"above 2: strong confounding remains; {reliance}{larger}{uncalibrated}"


def _meaning_of_sweep(by_k: dict[int, float], n_axes: int | None) -> str:
    """Return the meaning of the smallest GIF of a sweep."""
    best = min(by_k, key=lambda k: by_k[k])
    if by_k[best] <= _INFLATED:
        return f"structure remains, or effects are many; K = {best} of the sweep has {by_k[best]:.2f}"
    fact = f"no K of the sweep brings it lower than {by_k[best]:.2f}"
    if n_axes is not None and n_axes > max(by_k):
        return f"{fact}, which ends before the {counted_as(n_axes, 'axis', 'axes')} that stand out: sweep further"
    return f"{fact}: confounding that the factors do not catch, many causal SNPs, or close relatives"


def suggestion(run: StoredRun, sweep: SweepFacts) -> tuple[str, str]:
    """Return the suggested K, and the reasons of the sweep and the scree for it."""
    suggested, n_axes = sweep.suggested, _n_axes(run)
    reason = sweep.reason.rstrip(".")
    reason = f"{reason[:1].upper()}{reason[1:]}. " if reason else ""
    if suggested is None:
        return "No K is suggested.", reason
    if suggested == max(sweep.K, default=None) and n_axes is not None and n_axes > suggested:
        more = f"The range ends before the {counted_as(n_axes, 'axis', 'axes')} that stand out: sweep further. "
        return f"Suggested: K = {suggested}, the end of the range.", f"{reason}{more}"
    return f"Suggested: K = {suggested}.", reason


def penalties_sentence(sweep: SweepFacts) -> str:
    """Return a sentence on the penalties that a sweep compares; empty if there is only that of the run."""
    if not (others := [text for text in sweep.penalties if text != sweep.penalty]):
        return ""
    stands = "stands" if len(others) == 1 else "stand"
    return (
        f"The tables are of the ridge penalty λ = {sweep.penalty}; {', '.join(others)} {stands} beside it, dotted. "
        "With enough factors the GIF falls as λ grows, whether that is right or not: choose λ by what it does, never "
        "by the smallest GIF."
    )


def _n_axes(run: StoredRun) -> int | None:
    """Return the number of axes that stand out in the scree; None without a scree."""
    return None if run.record.scree is None else run.record.scree.n_axes


def scree_sentence(scree: ScreeFacts) -> str:
    """Return a sentence on how many axes stand out, and on the eigenvalues that chance makes."""
    text = f"{counted_as(scree.n_axes, 'axis stands', 'axes stand')} out from chance"
    if math.isfinite(scree.effective_snps):
        text += f"; the genotypes count as {counted(round(scree.effective_snps), 'independent SNP')}"
        if math.isfinite(edge := scree.bulk_edge):
            shown = with_spaces(round(edge)) if edge >= 1000 else number(edge, ".4g")
            text += f", so that chance makes eigenvalues up to {shown}"
    return f"{text}."


def gif_cells(run: StoredRun, table: str, by_k: dict[int, float] | None) -> tuple[str, str]:
    """Return the GIF of a table, and its usual meaning."""
    test = run.record.calibration.tests[table]
    return number(test.gif, ".3f"), meaning_of_gif(test.gif, test.method, by_k, _n_axes(run))
