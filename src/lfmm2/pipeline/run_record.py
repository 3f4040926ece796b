"""The record of a run, made from what its stages gave."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lfmm2.genotypes import Engine
from lfmm2.model import LatentFactors
from lfmm2.pipeline.inputs import AlignedVariables
from lfmm2.pipeline.plan import RunPlan
from lfmm2.process import software


def _size(path: Path) -> int | None:
    """Return the bytes of an input, None if it was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def make_record(
    command: str,
    parameters: dict[str, Any],
    inputs: list[Path],
    estimation: dict[str, Any],
    tested: dict[str, Any],
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
    estimation, tested : dict
        The genotypes to estimate from and to test.
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
        "estimation": estimation,
        "tested": tested,
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
