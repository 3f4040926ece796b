"""Results of a run made by hand: any effects and q, in the files that a run writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from made_records import record_entries, write_record
from numpy.typing import NDArray

from lfmm2.files.table_files import open_table

Floats = NDArray[np.float64]
TEXT = ("CHROM", "ID", "A1", "OMITTED", "STATUS")
WHOLE = ("POS", "OBS_CT")
_VARIANT = ["CHROM", "POS", "ID", "A1", "OMITTED", "A1_FREQ", "OBS_CT"]
_TAILS = ["P", "NEG_LOG10_P", "P_CAL", "NEG_LOG10_P_CAL", "Q", "Q_STOREY", "LFDR"]
COLUMNS = [*_VARIANT, "BETA", "SE", "T_STAT", "EFF_CARRIERS", *_TAILS, "RIDGE_BETA", "STATUS"]
JOINT_COLUMNS = [
    *_VARIANT,
    "F_STAT",
    "LEAST_CARRIERS",
    *_TAILS,
    "VAR_VARIABLES",
    "VAR_FACTORS",
    "VAR_RESIDUAL",
    "STATUS",
]


def schema_of(columns: list[str]) -> pa.Schema:
    kinds = dict.fromkeys(TEXT, pa.string()) | dict.fromkeys(WHOLE, pa.int64())
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in columns])


def variants(n: int, **changed: list) -> dict[str, list]:
    """Columns of n SNPs on five chromosomes, 1 000 bases apart."""
    per_chromosome = -(-n // 5)
    columns = {
        "CHROM": [str(1 + i // per_chromosome) for i in range(n)],
        "POS": [1000 * (1 + i % per_chromosome) for i in range(n)],
        "ID": [f"rs{i}" for i in range(n)],
        "A1": ["A"] * n,
        "OMITTED": ["C"] * n,
        "OBS_CT": [10] * n,
        "STATUS": ["OK"] * n,
    }
    return columns | changed


def write_results(
    prefix: Path,
    tables: dict[str, dict],
    *,
    form: str = "parquet",
    snps: dict[str, list] | None = None,
    X: Floats | None = None,
    sample_ids: list[str] | None = None,
    lacking: tuple[str, ...] = (),
    group_rows: int = 131_072,
    small: dict[str, str] | None = None,
    fits: dict[str, tuple[str, float | None]] | None = None,
) -> Path:
    """Write tables by name of the variable, or "joint", whose columns not given are 0.5.

    `lacking` are columns that the files shall not have; `small` are texts of files by ending, such as ".sweep.tsv";
    `fits` are method and GIF of tables by name, as the record shall have them.
    """
    names = [name for name in tables if name != "joint"]
    n = len(next(iter(next(iter(tables.values())).values())))
    snps = variants(n) if snps is None else snps
    files = []
    for name, given in tables.items():
        schema = schema_of([c for c in (JOINT_COLUMNS if name == "joint" else COLUMNS) if c not in lacking])
        columns = snps | given
        arrays = [pa.array(columns.get(c, np.full(n, 0.5)), schema.field(c).type) for c in schema.names]
        path = Path(f"{prefix}.{name}.{form}")
        with path.open("wb") as file, open_table(file, schema, form, group_rows) as writer:
            writer.write(pa.table(arrays, schema=schema))
        files.append(path)
    files.append(Path(f"{prefix}.factors.npz"))
    ids = sample_ids or ["i1", "i2"]
    arrays = {
        "U": np.zeros((len(ids), 1)), "singular_values": np.ones(1), "residuals": np.zeros(1),
        "loadings_map": np.zeros((len(ids), 1)), "sample_ids": np.array(ids, np.str_), "angle_bound": 0.0,
        "solver": "exact", "reason": "", "n_passes": 1, "converged": True, "lambda_": 1e-5, "n_snps": n,
    }  # fmt: skip
    if X is not None:
        arrays |= {"X": X, "variables": np.array(names, np.str_), "nuisance": np.empty((len(X), 0))}
    np.savez(files[-1], **arrays)
    for ending, text in (small or {}).items():
        files.append(Path(f"{prefix}{ending}"))
        files[-1].write_text(text)
    entries = record_entries(names, n, n_samples=len(ids))
    for name, (method, gif) in (fits or {}).items():
        part = {"method": method, "gif": gif}
        calibration = entries["calibration"]
        old = calibration["joint"] if name == "joint" else calibration["variables"][name]
        (calibration if name == "joint" else calibration["variables"])[name] = old | part
    write_record(prefix, entries, files)
    return prefix
