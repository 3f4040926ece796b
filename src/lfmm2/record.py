"""The record of a run: what was done with what, as JSON for programs and as a log for people."""

from __future__ import annotations

import platform
from dataclasses import asdict
from datetime import UTC, datetime
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


def software() -> dict[str, str]:
    """Versions that a result may depend on."""
    return {
        "lfmm2": package_version(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "pyarrow")},
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
    gif: np.ndarray[Any, np.dtype[np.float64]],
    df: int,
    status_counts: dict[str, int],
    plan: RunPlan,
    engine: Engine,
    warnings: list[str],
    identity: dict[str, Any],
) -> dict[str, Any]:
    """All that is needed to repeat a run and to judge it."""
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
            "K": factors.n_factors,
            "solver": factors.solver,
            "reason": factors.reason,
            "n_passes": factors.n_passes,
            "converged": factors.converged,
            "singular_values": factors.singular_values.tolist(),
            "residuals": factors.residuals.tolist(),
            "angle_bound": factors.angle_bound,
        },
        "df": df,
        "gif": {name: float(value) for name, value in zip(variables.names, gif, strict=True)},
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
    lines = {
        "factors": f"{factors['solver']}, {factors['n_passes']} pass(es){residual}"
        + ("" if factors["converged"] else " (NOT CONVERGED)"),
        "singular values": " ".join(f"{value:.6g}" for value in factors["singular_values"]),
        "residual df": str(record["df"]),
        "SNPs": ", ".join(f"{with_spaces(count)} {name}" for name, count in status.items() if count or name == "OK"),
    }
    for name, gif in record["gif"].items():
        lines[f"GIF of {name}"] = format(gif, ".4f") if np.isfinite(gif) else "not defined, no SNP has a t"
    return lines


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
