"""The record of a run: what was done with what, as JSON for programs and as a log for people."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from lfmm2 import _core
from lfmm2._threads import blas_name
from lfmm2.factors import LatentFactors
from lfmm2.genotypes import BedMatrix
from lfmm2.inputs import AlignedVariables, Matrix
from lfmm2.plan import RunPlan
from lfmm2.stream import Engine


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


def make_record(
    command: str,
    parameters: dict[str, Any],
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
) -> dict[str, Any]:
    """All that is needed to repeat a run and to judge it."""
    return {
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": software(),
        "parameters": parameters,
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
            "angle_bound": _finite(factors.angle_bound),
        },
        "df": df,
        "gif": {name: _finite(float(value)) for name, value in zip(variables.names, gif, strict=True)},
        "status": status_counts,
        "plan": asdict(plan),
        "passes": [asdict(record) for record in engine.passes],
        "warnings": warnings,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def as_json(record: dict[str, Any]) -> bytes:
    """The record as UTF-8 JSON without NaN."""
    return (json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def as_log(record: dict[str, Any], plan: RunPlan) -> bytes:
    """The record as a log to read."""
    factors, status = record["factors"], record["status"]
    lines = [
        f"lfmm2 {record['software']['lfmm2']}, finished {record['finished']}",
        record["command"],
        "",
        ", ".join(f"{name} {value}" for name, value in record["software"].items() if name != "lfmm2"),
        "",
        plan.describe(),
        "",
        f"factors: {factors['solver']}, {factors['n_passes']} pass(es), largest residual "
        f"{max(factors['residuals']):.1e}{'' if factors['converged'] else ' (NOT CONVERGED)'}",
        "singular values: " + " ".join(f"{value:.6g}" for value in factors["singular_values"]),
        f"degrees of freedom: {record['df']}",
        "SNPs: " + ", ".join(f"{count} {name}" for name, count in status.items() if count or name == "OK"),
    ]
    lines += [
        f"GIF of {name}: {'not defined' if gif is None else format(gif, '.4f')}" for name, gif in record["gif"].items()
    ]
    lines += [f"{p['label']}: {p['seconds']:.2f} s, {p['n_snps']} SNPs" for p in record["passes"]]
    lines += [f"Warning: {text}" for text in record["warnings"]]
    return ("\n".join(lines) + "\n").encode()
