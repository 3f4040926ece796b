"""Runs that are made by one process and by workers, and the bytes that both must leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "exact": {"K": 2, "solver": "exact"},
    "krylov": {"K": 3, "solver": "krylov", "tol": 1e-6, "surrogates": 0},
    "power": {"K": 3, "solver": "power", "format": "tsv", "loadings": True, "count_allele": "a1"},
    "sweep": {"sweep": "1:3", "solver": "krylov", "sweep_lambda": "1e-5,1x", "impute": "factors", "marginal": True},
    "impute": {"K": 2, "solver": "exact", "impute": "factors", "spa": True},
    "thinning": {"K": 2, "maf": 0.02, "est_thin": "r2=0.2,window=50", "solver": "krylov", "mind": 0.5},
    "estimation set": {"K": 2, "est_bed": True, "solver": "krylov", "scale": "hwe", "df": "paper", "calibrate": "chi2"},
}


def contents(folder: Path) -> dict[str, bytes]:
    """The files that are the same in every run: all but log and record, which hold times."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix not in (".log", ".json")}
