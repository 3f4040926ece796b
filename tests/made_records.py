"""The record of a run as JSON, made by hand, for tests of what reads records."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from lfmm2.files.seals import read_record, seal_json


def record_entries(
    variables: list[str],
    n_snps: int,
    *,
    n_samples: int = 2,
    K: int = 1,
    method: str = "student",
    gif: float = 1.2,
    gif_se: float | None = 0.01,
    sweep: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Entries of the record of a run without optional stages, or with a sweep where there are values of K."""
    shown = None if math.isnan(gif) else gif
    fit: dict[str, Any] = {
        "method": method,
        "gif": shown,
        "gif_se": gif_se,
        "mean": 0.01,
        "sd": 1.1,
        "null_proportion": 0.97,
    }
    fit |= {"gif_thinned": None, "gif_thinned_se": None}
    fit |= {"mean_central": None, "sd_central": None, "storey_pi0": 0.96, "n_tests": n_snps}
    used = {"n_samples_used": n_samples, "n_snps_used": n_snps}
    source = {"bed": "plants.bed", "bytes": 1, "n_samples": n_samples, "n_snps": n_snps}
    return {
        "command": "lfmm2 run --bed plants.bed --env climate.csv -K 3",
        "finished": "2026-01-01T00:00:00+00:00",
        "software": {"lfmm2": "0.0", "numpy": "2.0.0"},
        "parameters": {"K": K, "maf": 0.05},
        "inputs": [{"path": "plants.bed", "bytes": 1}],
        "estimation": used | source,
        "tested": used | source,
        "variables": variables,
        "nuisance_variables": [],
        "categories": {},
        "collinearity": {},
        "factors": {
            "K": K,
            "n_estimated": K,
            "solver": "exact",
            "reason": "few samples",
            "n_passes": 1,
            "converged": True,
            "singular_values": [float(k) for k in range(K, 0, -1)],
            "residuals": [1e-15] * K,
            "gap": 0.5,
            "angle_bound": 0.0,
        },
        "structure": {name: {"r2_factors": 0.2, "r2_pcs": 0.3, "n_pcs": 10} for name in variables},
        "df": max(n_samples - len(variables) - K, 1),
        "gif": dict.fromkeys(variables, shown),
        "n_environments": n_samples,
        "comparison": None,
        "sample_filter": None,
        "missing_calls": None,
        "filters": None,
        "thinning": None,
        "calibration": {
            "method": method,
            "variables": dict.fromkeys(variables, fit),
            "joint": fit if len(variables) > 1 else None,
        },
        "carriers": {
            "fewest": 10.0,
            "n_few": dict.fromkeys([*variables, *["joint"] * (len(variables) > 1)], 0),
            "n_tests": n_snps,
            "spa": False,
            "unevenness": dict.fromkeys(variables, 0.5),
        },
        "discoveries": dict.fromkeys(variables, 4),
        "joint": {"scatter": None, "n_sampled": 0, "n_joint": 3, "n_smallest": 2} if len(variables) > 1 else None,
        "surrogates": None,
        "scree": {
            "n_axes": 3,
            "effective_snps": 500.0,
            "bulk_edge": 1.3,
            "is_hidden": False,
            "n_snps": n_snps,
            "thinning": None,
            "n_axes_unthinned": None,
        }
        if sweep
        else None,
        "sweep": {
            "K": list(sweep),
            "suggested": sweep[0],
            "reason": "GIF nearest to 1",
            "flat": dict.fromkeys(variables),
            "penalty": "1e-05",
            "penalties": {"1e-05": 1e-05},
        }
        if sweep
        else None,
        "imputation": None,
        "status": {"OK": n_snps, "NO_VARIATION": 0, "ALL_MISSING": 0, "PERFECT_FIT": 0},
        "plan": {"n_samples": n_samples},
        "passes": [{"label": "factors", "n_snps": n_snps, "n_bytes": n_snps, "seconds": 1.5}],
        "warnings": [],
        "identity": {"seed": 0},
    }


def changed(entries: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Return entries with other parts; of two objects the new one is laid over the old one."""
    both = {name: isinstance(part, dict) and isinstance(entries.get(name), dict) for name, part in parts.items()}
    return entries | {name: entries[name] | part if both[name] else part for name, part in parts.items()}


def write_record(prefix: Path, entries: dict[str, Any], files: list[Path]) -> None:
    """Write a record that lists these files as they are now."""
    stamps = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in files
    }
    Path(f"{prefix}.lfmm2.json").write_bytes(seal_json(entries | {"files": stamps}))


def seal_again(prefix: Path) -> None:
    """Make the record one of the files as they are now, whatever was done to them."""
    entries = read_record(Path(f"{prefix}.lfmm2.json"))
    write_record(prefix, entries, [prefix.with_name(name) for name in entries["files"]])
