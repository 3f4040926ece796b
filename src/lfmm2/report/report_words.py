"""Sentences and numbers of the report."""

from __future__ import annotations

import math
from typing import Any

from lfmm2._words import counted, with_spaces
from lfmm2.pipeline import Evidence, meaning_of_gif, most_factors
from lfmm2.results import ScreeFacts, StoredRun, SweepFacts
from lfmm2.statistics import Inflation

#: Text in place of an absent number.
NO_NUMBER = "—"

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_METHODS = {
    "student": "The p-values are those of Student's t, calibrated by the genomic inflation factor (GIF).",
    "chi2": "The p-values are those of χ², calibrated by the genomic inflation factor (GIF).",
    "empirical-null": "The p-values are calibrated by the empirical null, a normal fitted to the bulk of scores.",
    "none": "The p-values are not calibrated.",
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
    scree = run.record.scree
    return None if scree is None or scree.is_hidden else scree.n_axes


def scree_sentence(scree: ScreeFacts, noun: str = "SNP") -> str:
    """Return a sentence on how many axes stand out, in which SNPs, and on the eigenvalues that chance makes."""
    if scree.is_hidden:
        return "Too few factors were estimated to count the axes that stand out from chance: sweep further."
    text = f"{counted_as(scree.n_axes, 'axis stands', 'axes stand')} out from chance"
    if (thinning := scree.thinning) is not None:
        others = f"{scree.n_axes_unthinned} in all {with_spaces(thinning.n_snps)}, where linked SNPs make axes too"
        text += f" in {counted(scree.n_snps, noun)} thinned by linkage ({others})"
    if math.isfinite(scree.effective_snps):
        text += f"; the genotypes count as {counted(round(scree.effective_snps), f'independent {noun}')}"
        if math.isfinite(edge := scree.bulk_edge):
            shown = with_spaces(round(edge)) if edge >= 1000 else number(edge, ".4g")
            text += f", so that chance makes eigenvalues up to {shown}"
    return f"{text}."


def gif_cells(run: StoredRun, table: str, sweep: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the GIF of a table with its standard error, and its usual meaning; `sweep` has the rows of the sweep."""
    record = run.record
    n_variables = len(record.variables) + len(record.nuisance_variables)
    own = None if record.sweep is None else record.sweep.penalty
    rows = [row for row in sweep if row["VARIABLE"] == table and row["LAMBDA"] == own]
    rows = [row for row in rows if row["K"] is not None and row["GIF"] is not None]
    evidence = Evidence(
        record.calibration.tests[table],
        run.n_factors,
        most_factors(record.tested.n_samples_used, n_variables),
        record.tested.n_samples_used,
        {row["K"]: Inflation(row["GIF"], math.nan if (se := row.get("GIF_SE")) is None else se) for row in rows},
        bool(sweep),
        _n_axes(run),
        record.structure.get(table),
        0 if record.comparison is None else record.comparison.n_in_use,
        record.n_environments,
    )
    return evidence.shown, meaning_of_gif(evidence)
