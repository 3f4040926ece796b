"""The record of a run: what was done with what, as JSON for programs and as a log for people."""

from __future__ import annotations

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2 import _core
from lfmm2._threads import blas_name
from lfmm2.factors import LatentFactors
from lfmm2.genotypes import BedMatrix
from lfmm2.inputs import AlignedVariables, Matrix
from lfmm2.plan import RunPlan, aligned
from lfmm2.stream import Engine
from lfmm2.text_tables import with_spaces
from lfmm2.verification import sealed_json


def package_version() -> str:
    """Version of lfmm2 as installed."""
    try:
        return version("lfmm2")
    except PackageNotFoundError:
        return "0+unknown"


@cache
def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "pyarrow")}


def software() -> dict[str, str]:
    """Versions that a result may depend on."""
    return {
        "lfmm2": package_version(),
        "python": platform.python_version(),
        **_library_versions(),
        "blas": blas_name(),
        "openmp": "yes" if _core.OPENMP else "no",
        "machine": platform.machine(),
        "system": platform.system(),
    }


def _describe_matrix(matrix: Matrix) -> dict[str, Any]:
    described: dict[str, Any] = {"n_samples_used": matrix.n_samples, "n_snps_used": matrix.n_snps}
    if isinstance(matrix, BedMatrix):
        bed = matrix.bed
        described |= {
            "bed": str(bed.path),
            "bytes": bed.n_bytes,
            "n_samples": bed.n_samples,
            "n_snps": bed.n_snps,
        }
    else:
        described |= {"array": list(matrix.values.shape)}
    return described


def _size(path: Path) -> int | None:
    """Bytes of an input; None if it was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def make_record(
    command: str,
    parameters: dict[str, Any],
    inputs: list[Path],
    estimation: Matrix,
    tested: Matrix,
    variables: AlignedVariables,
    factors: LatentFactors,
    n_factors: int,
    df: int,
    facts: dict[str, Any],
    status_counts: dict[str, int],
    plan: RunPlan,
    engine: Engine,
    warnings: list[str],
    identity: dict[str, Any],
) -> dict[str, Any]:
    """All that is needed to repeat a run and to judge it.

    Parameters
    ----------
    factors : LatentFactors
        All that were estimated, of which `n_factors` are those of the tables.
    facts : dict
        "calibration", and "filters", "thinning", "scree", "sweep" and "imputation" where there was such a thing.
    """
    gif = {name: part["gif"] for name, part in facts["calibration"]["variables"].items()}
    return {
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": software(),
        "parameters": parameters,
        "inputs": [{"path": str(path), "bytes": _size(path)} for path in inputs],
        "estimation": _describe_matrix(estimation),
        "tested": _describe_matrix(tested),
        "variables": list(variables.names),
        "nuisance_variables": list(variables.nuisance_names),
        "factors": {
            "K": n_factors,
            "n_estimated": factors.n_factors,
            "solver": factors.solver,
            "reason": factors.reason,
            "n_passes": factors.n_passes,
            "converged": factors.converged,
            "singular_values": factors.singular_values.tolist(),
            "residuals": factors.residuals.tolist(),
            "angle_bound": factors.angle_bound,
        },
        "df": df,
        "gif": gif,
        **facts,
        "status": status_counts,
        "plan": asdict(plan),
        "passes": [asdict(record) for record in engine.passes],
        "warnings": warnings,
        "identity": identity,
    }


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
    return sealed_json(_strict(record))


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


def as_log(record: dict[str, Any], plan: RunPlan) -> bytes:
    """The record as a log to read."""
    lines = [
        f"lfmm2 {record['software']['lfmm2']}, finished {record['finished']}",
        record["command"],
        "",
        ", ".join(f"{name} {value}" for name, value in record["software"].items() if name != "lfmm2"),
        "",
        plan.describe(),
        "",
        aligned(result_lines(record)),
        "",
        aligned({p["label"]: f"{p['seconds']:.2f} s, {with_spaces(p['n_snps'])} SNPs" for p in record["passes"]}),
    ]
    lines += [f"Warning: {text}" for text in record["warnings"]]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")
