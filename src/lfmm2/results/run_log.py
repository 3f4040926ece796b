"""The record of a run as lines of text, for the log and for the terminal."""

from __future__ import annotations

import math
import shlex
from typing import Any

from lfmm2._words import aligned, counted, duration, some_of, visible, with_error, with_spaces
from lfmm2.results.record import RunRecord, ScreeFacts
from lfmm2.statistics import FlatStretch


def result_lines(record: RunRecord) -> dict[str, str]:
    """Return the results of a run in one line each, by name."""
    factors = record.factors
    residual = f", largest residual {max(factors.residuals):.1e}" if factors.residuals else ""
    status = record.status.items()
    lines = _category_lines(record) | _collinearity_lines(record) | sample_lines(record) | _snp_lines(record)
    bound = f", at most {factors.angle_bound:.1e} off the exact span"
    lines |= {
        "factors": f"{factors.solver}, {factors.n_passes} pass(es){residual}"
        + (bound if math.isfinite(factors.angle_bound) else "")
        + ("" if factors.converged else " (NOT CONVERGED)"),
        "singular values": " ".join(f"{value:.6g}" for value in factors.singular_values),
        "gap after K": f"{factors.gap:.2g} of the eigenvalue" if math.isfinite(factors.gap) else "not known",
        "residual df": str(record.df),
        f"{record.tested.noun}s": ", ".join(
            f"{with_spaces(count)} {name}" for name, count in status if count or name == "OK"
        ),
    }
    if record.scree is not None:
        lines["structure"] = (
            f"too few factors to say: beyond the {factors.n_estimated} estimated there are strong axes"
            if record.scree.is_hidden
            else describe_axes(record.scree, record.tested.noun)
        )
    if (sweep := record.sweep) is not None:
        suggested = "none" if sweep.suggested is None else sweep.suggested
        lines["suggested K"] = f"{suggested}: {sweep.reason}"
        lines |= {f"flat GIF of {name}": describe_flat(stretch) for name, stretch in sweep.flat.items()}
        if others := [text for text in sweep.penalties if text != sweep.penalty]:
            lines["compared λ"] = f"{', '.join(others)} beside {sweep.penalty}, that of the tables"
        lines["K of the tables"] = str(factors.K)
    return lines | _structure_lines(record) | _test_lines(record)


# Variables that the answer at the end of a run lists; more would push its beginning off the screen of a terminal.
_MOST_ANSWERED = 20


def answer_lines(record: RunRecord, out: str, seconds: float) -> dict[str, str]:
    """Return the answer of a run in a few lines, by name: what was found, how long it took, and what comes next.

    Parameters
    ----------
    record : RunRecord
    out : str
        Prefix of the results.
    seconds : float
        Time that the run has taken.
    """
    noun, tests, found = record.tested.noun, record.calibration.tests, _count_found(record)
    names = sorted(found, key=lambda name: (name == "joint", -found[name])) if len(found) > _MOST_ANSWERED else found
    shown = list(names)[:_MOST_ANSWERED]
    lines = {"K": str(record.factors.K)}
    for name in shown:
        gif = with_error(tests[name].gif, tests[name].gif_se)
        lines[name] = f"{counted(found[name], noun)} at an FDR of 5 %, GIF {gif}"
    if left := len(found) - len(shown):
        lines["others"] = f"{left} more, the log lists their GIF"
    lines["time"] = duration(seconds)
    command = "hits" if any(found.values()) else "report"
    lines["next"] = f"lfmm2 {command} {shlex.quote(out)}"
    return lines


def answer_facts(record: RunRecord) -> dict[str, Any]:
    """Return the answer of a run for programs: K, and GIF and discoveries of each test."""
    tests, found = record.calibration.tests, _count_found(record)
    return {
        "K": record.factors.K,
        "tests": {
            name: {"gif": _finite(of.gif), "gif_se": _finite(of.gif_se), "discoveries": found[name]}
            for name, of in tests.items()
        },
    }


def _finite(value: float) -> float | None:
    """Return a number, or None in place of one that JSON does not have."""
    return value if math.isfinite(value) else None


def _count_found(record: RunRecord) -> dict[str, int]:
    """Return the number of SNPs with Q below 0.05 of each test, the joint test last."""
    return record.discoveries | ({} if record.joint is None else {"joint": record.joint.n_joint})


def pass_lines(record: RunRecord) -> dict[str, str]:
    """Return time and SNPs of each pass, by name."""
    return {p.label: f"{p.seconds:.2f} s, {with_spaces(p.n_snps)} {record.tested.noun}s" for p in record.passes}


def software_line(record: RunRecord) -> str:
    """Return the versions of the software beside lfmm2, and the machine."""
    return visible(", ".join(f"{name} {value}" for name, value in record.software.items() if name != "lfmm2"))


def _structure_lines(record: RunRecord) -> dict[str, str]:
    """Return how much of each variable the factors and the axes of the genotypes explain."""
    lines = {}
    for name, of in record.structure.items():
        pcs = f", {of.r2_pcs:.3f} on {of.n_pcs} axes of the genotypes" if math.isfinite(of.r2_pcs) else ""
        lines[f"R² of {name}"] = f"{of.r2_factors:.3f} on the factors{pcs}"
    return lines


def describe_axes(scree: ScreeFacts, noun: str) -> str:
    """Return the number of axes of structure in words, and the SNPs, called by `noun`, in which they were counted."""
    axes = f"{scree.n_axes} axes by Tracy-Widom" if scree.n_axes != 1 else "1 axis by Tracy-Widom"
    if (thinning := scree.thinning) is None:
        return f"{axes}, in {with_spaces(scree.n_snps)} {noun}s"
    limit = f"no pair above r² = {thinning.r2:.3g} within {thinning.window}"
    return (
        f"{axes}, in {with_spaces(scree.n_snps)} SNPs thinned by linkage ({limit}); "
        f"{scree.n_axes_unthinned} in all {with_spaces(thinning.n_snps)}, linkage among them"
    )


def describe_flat(stretch: FlatStretch | None) -> str:
    """Return in words over which numbers of factors the GIF is flat."""
    if stretch is None:
        return "nowhere, it changes with every K"
    return f"from K = {stretch.first} to {stretch.last}, {stretch.lowest:.3f} to {stretch.highest:.3f}"


def _category_lines(record: RunRecord) -> dict[str, str]:
    """Return the numbers of samples of the levels of each category, of at most twenty levels."""
    lines = {}
    for name, counts in record.categories.items():
        first, *others = [f"{level} {with_spaces(count)}" for level, count in counts.items()]
        more = f", and {len(others) - 19} more levels" if len(others) > 19 else ""
        lines[f"category {name}"] = ", ".join([f"{first} (reference)", *others[:19]]) + more
    return lines


def _collinearity_lines(record: RunRecord) -> dict[str, str]:
    """Return the variance inflation of each variable, the largest first, and of at most ten with what explains it."""
    facts = sorted(record.collinearity.items(), key=lambda item: -item[1].vif)
    if not facts:
        return {}
    shown = [f"{name} ({of.describe()})" if of.others else f"{name} {of.vif:.3g}" for name, of in facts[:10]]
    more = f", and {len(facts) - 10} more of at most {facts[10][1].vif:.3g}" if len(facts) > 10 else ""
    return {"VIF": ", ".join(shown) + more}


def _percent(rate: float) -> str:
    """Return a rate as a percentage with two digits."""
    return f"{100 * rate:{'.2g' if rate < 0.1 else '.0f'}} %"


def sample_lines(record: RunRecord) -> dict[str, str]:
    """Return which samples were left out by their missing calls, and the missing rates of the others, by name."""
    lines: dict[str, str] = {}
    if (left := record.sample_filter) is not None:
        names = f": {some_of(left.left_out)}" if left.left_out else ""
        lines["samples left out"] = (
            f"{with_spaces(len(left.left_out))} of {with_spaces(left.n_samples)} with more than {left.mind:.3g} of "
            f"their calls missing (--mind){names}"
        )
    lines |= _comparison_lines(record)
    if (missing := record.missing_calls) is not None:
        rates = f"{_percent(missing.median)} of the calls of the median sample, at most {_percent(missing.highest)}"
        lines["missing rates"] = f"{rates} ({missing.sample})" if missing.highest > 0 else "no call is missing"
    return lines


def _comparison_lines(record: RunRecord) -> dict[str, str]:
    """Return how many samples repeat another or have first-degree relatives, and how many environments there are."""
    lines: dict[str, str] = {}
    n_samples = record.tested.n_samples_used
    if record.n_environments < n_samples:
        lines["environments"] = f"{with_spaces(record.n_environments)} distinct, of {with_spaces(n_samples)} samples"
    if (compared := record.comparison) is None:
        return lines
    over = f"over {with_spaces(compared.n_snps)} {record.tested.noun}s"
    if not compared.decided:
        lines["repeats"] = f"cannot be told from chance {over}"
        return lines
    left = ", left out (--drop-duplicates)" if compared.left_out else ""
    groups = f", in {with_spaces(compared.n_groups)} group(s): {some_of(compared.largest)}" if compared.n_groups else ""
    lines["repeats"] = (
        f"{with_spaces(compared.n_repeated)} of {with_spaces(compared.n_samples)} samples {over}{groups}{left}"
    )
    if compared.n_first_degree:
        lines["relatives"] = f"{with_spaces(compared.n_first_degree)} pairs of first degree (KING-robust kinship)"
    return lines


def _snp_lines(record: RunRecord) -> dict[str, str]:
    """Return how many SNPs are left by filters and by thinning, if the run had them."""
    lines: dict[str, str] = {}
    if (filters := record.filters) is not None:
        counts = (
            f"{with_spaces(filters.no_call)} without a call, {with_spaces(filters.below_maf)} below --maf, "
            f"{with_spaces(filters.above_geno)} above --geno"
        )
        lines["filters"] = f"{with_spaces(filters.n_passed)} of {with_spaces(filters.n_snps)} SNPs pass; {counts}"
    if (thinning := record.thinning) is not None:
        kept = f"{with_spaces(thinning.n_kept)} of {with_spaces(thinning.n_snps)} SNPs kept"
        lines["LD thinning"] = f"{kept}, no pair above r² = {thinning.r2:g} within {thinning.window}"
    return lines


def _test_lines(record: RunRecord) -> dict[str, str]:
    """Return the calibration of each test, and the errors of imputation if the run imputed from factors."""
    tests = record.calibration.tests
    lines: dict[str, str] = {}
    for name, test in tests.items():
        thinned = with_error(test.gif_thinned, test.gif_thinned_se)
        over_thinned = f", over thinned SNPs {thinned}" if math.isfinite(test.gif_thinned) else ""
        lines[f"GIF of {name}"] = with_error(test.gif, test.gif_se) + over_thinned
    if (joint := record.joint) is not None:
        by = "F" if joint.scatter is None else "the scatter of all t"
        lines["joint test"] = (
            f"{with_spaces(joint.n_joint)} {record.tested.noun}s with Q < 0.05 by {by}, "
            f"{with_spaces(joint.n_smallest)} with "
            "MIN_Q < 0.05 by the smallest p over the variables"
        )
    if (drawn := record.surrogates) is not None:
        dfs = ", ".join(f"{tail.tail_df:.3g} for {name}" for name, tail in drawn.tails.items())
        kinds = " and ".join(f"{drawn.n_surrogates} of {kind}" for kind in drawn.kinds)
        lines["surrogates"] = f"{kinds}, {with_spaces(drawn.n_snps)} {record.tested.noun}s ({drawn.reason})"
        lines["df of the tails"] = f"{dfs}; {record.df} without structure"
    for name, test in tests.items():
        if test.method == "empirical-null":
            null = f"N({_format_number(test.mean, '.3f')}, {_format_number(test.sd, '.3f')}²)"
            lines[f"null of {name}"] = f"{null}, share {_format_number(test.null_proportion, '.3f')}"
    lines |= carrier_lines(record)
    if (imputation := record.imputation) is not None:
        lines["imputation"] = (
            f"error of {with_spaces(imputation.n_held_out)} held-out calls "
            f"{_format_number(imputation.rmse_factors, '.4f')} from factors, "
            f"{_format_number(imputation.rmse_mean, '.4f')} from means "
            f"(ratio {_format_number(imputation.ratio, '.4f')})"
        )
        if imputation.n_left_at_mean:
            lines["left at the mean"] = (
                f"missing calls of {with_spaces(imputation.n_left_at_mean)} {record.tested.noun}s"
            )
    return lines


def carrier_lines(record: RunRecord) -> dict[str, str]:
    """Return how many SNPs of each test have few effective carriers, and what became of them, where there are any."""
    carriers, noun = record.carriers, record.tested.noun
    without, by_saddlepoint = "without calibrated p and q", "tested by saddlepoint approximation (--spa)"
    return {
        f"few carriers of {name}": f"{with_spaces(n_few)} of {with_spaces(carriers.n_tests)} {noun}s have fewer than "
        f"{carriers.fewest:g} effective ones, {by_saddlepoint if carriers.spa and name != 'joint' else without}"
        for name, n_few in carriers.n_few.items()
        if n_few
    }


def _format_number(value: float, form: str) -> str:
    """Return a number in a format, or words if it is NaN or infinite."""
    return format(value, form) if math.isfinite(value) else "not defined"


def as_log(record: RunRecord, plan: str) -> bytes:
    """Return the text of the log, in UTF-8; `plan` is the plan of the run in words."""
    lines = [
        f"lfmm2 {record.software['lfmm2']}, finished {record.finished}",
        visible(record.command),
        "",
        software_line(record),
        "",
        plan,
        "",
        aligned(result_lines(record)),
        "",
        aligned(pass_lines(record)),
    ]
    lines += [f"Warning: {visible(text)}" for text in record.warnings]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")
