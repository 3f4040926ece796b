"""What the record of a finished run says of its tests, after a check that its parts are what a run writes.

The seal of a record tells that nothing has changed since, not that lfmm2 wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2._words import shortened
from lfmm2.errors import MalformedInputError

_LARGEST = 1e300
# a type, [of each item], {name: of this entry} or {...: of each entry}; an entry may be null, an item may not
_FIT = {"method": str, "gif": float, "mean": float, "sd": float, "null_proportion": float, "storey_pi0": float}
_NULLABLE: dict[str, Any] = {
    "calibration": {"method": str, "variables": {...: _FIT}, "joint": _FIT},
    "scree": {"n_axes": int, "effective_snps": float, "bulk_edge": float},
    "sweep": {"K": [int], "suggested": int, "reason": str, "filled_from": int},
    "imputation": {"method": str, "n_held_out": int, "rmse_mean": float, "rmse_factors": float, "ratio": float},
    "filters": {"n_snps": int, "no_call": int, "below_maf": int, "above_geno": int},
    "thinning": {"n_kept": int, "n_snps": int, "r2": float, "window": object},
    "df": float,
}
_PARTS: dict[str, Any] = {
    "factors": {"K": int, "solver": str, "n_passes": int, "converged": bool},
    "tested": {"n_samples_used": int, "n_snps_used": int},
    "software": {...: str},
    "parameters": {...: object},
    "inputs": [{"path": str, "bytes": int}],
    "nuisance_variables": [str],
    "gif": {...: float},
    "status": {...: int},
    "passes": [{"label": str, "seconds": float}],
    "warnings": [str],
    "command": str,
    "finished": str,
}
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def check_facts(record: dict[str, Any], path: Path) -> None:
    """Raise MalformedInputError if a part of the record at `path` has another shape than those that runs write."""
    faults = [_fault(record[name], shape, name) for name, shape in _PARTS.items() if name in record]
    faults += [_fault(record[name], shape, name) for name, shape in _NULLABLE.items() if record.get(name) is not None]
    if found := [fault for fault in faults if fault]:
        raise MalformedInputError(f"{path}: {found[0]}; no record as lfmm2 writes it, run again")


def _fault(value: Any, shape: Any, where: str) -> str:
    """What is wrong with a value, in words; empty where it fits."""
    kind = shape if isinstance(shape, type) else type(shape)
    if kind is object:
        return ""
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not fits:
        return f"{where} is {shortened(json.dumps(value, ensure_ascii=False))}, not {_WORDS[kind]}"
    if kind in (int, float) and not abs(value) <= _LARGEST:
        return f"{where} is {shortened(str(value))}, beyond any that a run has"
    items: list[tuple[Any, Any, str]] = []
    if isinstance(shape, list):
        items = [(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value)]
    elif isinstance(shape, dict) and ... in shape:
        items = [(item, shape[...], f"{where}.{shortened(name)}") for name, item in value.items()]
    elif isinstance(shape, dict):
        items = [(value.get(name), of, f"{where}.{name}") for name, of in shape.items()]
    return next(filter(None, (_fault(*item) for item in items if item[0] is not None or isinstance(shape, list))), "")


def _fit_of(record: dict[str, Any], table: str) -> dict[str, Any]:
    calibration = record.get("calibration") or {}
    fit = (calibration.get("variables") or {}).get(table) or (calibration.get("joint") if table == "joint" else None)
    return fit or {}


def method_of(record: dict[str, Any], table: str | None = None) -> str:
    """How the p of a variable or "joint" were calibrated, one of `CALIBRATIONS`, or how all were to be if None.

    Where the empirical null of one test could not be fitted, its method is "gif".
    """
    calibration = record.get("calibration") or {}
    asked = str(calibration.get("method") or "gif")
    return asked if table is None else str(_fit_of(record, table).get("method") or asked)


def gif_of(record: dict[str, Any], table: str) -> float | None:
    """Genomic inflation factor of a variable or "joint"; NaN where it is not defined, None where it is not stored."""
    fit = _fit_of(record, table)
    known = record.get("gif", {})
    if table not in known and "gif" not in fit:
        return None
    gif = known.get(table)
    gif = fit.get("gif") if gif is None else gif
    return np.nan if gif is None else float(gif)
