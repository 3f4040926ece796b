"""The record of a run: what was done with what, as JSON for programs and as a log for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfmm2._words import aligned, with_spaces
from lfmm2.files import seal_json


def _strict(value: Any) -> Any:
    """A value as strict JSON has it: no NaN, no infinity, no numbers of NumPy."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def as_json(record: dict[str, Any]) -> bytes:
    """The record as UTF-8 JSON, which ends with a SHA-256 of itself; NaN and infinity are null."""
    return seal_json(_strict(record))


def result_lines(record: dict[str, Any]) -> dict[str, str]:
    """What came out, by name: for the log and the terminal."""
    factors, status = record["factors"], record["status"]
    residual = f", largest residual {max(factors['residuals']):.1e}" if factors["residuals"] else ""
    lines = _snp_lines(record) | {
        "factors": f"{factors['solver']}, {factors['n_passes']} pass(es){residual}"
        + ("" if factors["converged"] else " (NOT CONVERGED)"),
        "singular values": " ".join(f"{value:.6g}" for value in factors["singular_values"]),
        "residual df": str(record["df"]),
        "SNPs": ", ".join(f"{with_spaces(count)} {name}" for name, count in status.items() if count or name == "OK"),
    }
    if facts := record["scree"]:
        lines["structure"] = f"{facts['n_axes']} axes by Tracy-Widom"
    if facts := record["sweep"]:
        suggested = "none" if facts["suggested"] is None else facts["suggested"]
        lines["suggested K"] = f"{suggested}: {facts['reason']}"
        lines["K of the tables"] = str(factors["K"])
    return lines | _test_lines(record)


def _snp_lines(record: dict[str, Any]) -> dict[str, str]:
    """What filters and thinning left, where there were such."""
    lines: dict[str, str] = {}
    if facts := record["filters"]:
        counts = ", ".join(
            f"{with_spaces(facts[name])} {words}"
            for name, words in (
                ("no_call", "without a call"),
                ("below_maf", "below --maf"),
                ("above_geno", "above --geno"),
            )
        )
        lines["filters"] = f"{with_spaces(facts['n_passed'])} of {with_spaces(facts['n_snps'])} SNPs pass; {counts}"
    if facts := record["thinning"]:
        kept = f"{with_spaces(facts['n_kept'])} of {with_spaces(facts['n_snps'])} SNPs kept"
        lines["LD thinning"] = f"{kept}, no pair above r² = {facts['r2']:g} within {facts['window']}"
    return lines


def _test_lines(record: dict[str, Any]) -> dict[str, str]:
    """Calibration of each test, and what imputation was worth."""
    lines: dict[str, str] = {}
    calibration = record["calibration"]
    tests = calibration["variables"] | ({"joint": calibration["joint"]} if calibration["joint"] else {})
    for name, part in tests.items():
        lines[f"GIF of {name}"] = _number(part["gif"], ".4f")
    for name, part in tests.items():
        if part["method"] == "empirical-null":
            null = f"N({_number(part['mean'], '.3f')}, {_number(part['sd'], '.3f')}²)"
            lines[f"null of {name}"] = f"{null}, share {_number(part['null_proportion'], '.3f')}"
    if facts := record["imputation"]:
        errors = {name: _number(facts[name], ".4f") for name in ("rmse_factors", "rmse_mean", "ratio")}
        lines["imputation"] = (
            f"error of {with_spaces(facts['n_held_out'])} held-out calls {errors['rmse_factors']} from factors, "
            f"{errors['rmse_mean']} from means (ratio {errors['ratio']})"
        )
        if facts["n_left_at_mean"]:
            lines["left at the mean"] = f"missing calls of {with_spaces(facts['n_left_at_mean'])} SNPs"
    return lines


def _number(value: float | None, form: str) -> str:
    """A number of a record, where NaN is null once it is written."""
    return "not defined" if value is None or not np.isfinite(value) else format(value, form)


def as_log(record: dict[str, Any], plan: str) -> bytes:
    """The record as a log to read."""
    lines = [
        f"lfmm2 {record['software']['lfmm2']}, finished {record['finished']}",
        record["command"],
        "",
        ", ".join(f"{name} {value}" for name, value in record["software"].items() if name != "lfmm2"),
        "",
        plan,
        "",
        aligned(result_lines(record)),
        "",
        aligned({p["label"]: f"{p['seconds']:.2f} s, {with_spaces(p['n_snps'])} SNPs" for p in record["passes"]}),
    ]
    lines += [f"Warning: {text}" for text in record["warnings"]]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")
