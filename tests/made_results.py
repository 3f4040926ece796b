"""Result files written by hand, with the columns and files of a run with all options, for tests of their readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from made_records import changed, record_entries, write_record
from numpy.typing import NDArray
from pyarrow import parquet
from scipy import stats

from lfmm2.model.factors import LatentFactors
from lfmm2.results.factors_file import write_factors

Floats = NDArray[np.float64]

# of the histograms of p
_SLOPES = {"raw": 0.8, "calibrated": 0.02}


def benjamini_hochberg(p: Floats) -> Floats:
    """q-values by sorting; NaN stays."""
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    q[order] = np.minimum.accumulate((p[order] * len(order) / np.arange(1, len(order) + 1))[::-1])[::-1].clip(max=1)
    return q


def made_table(
    chrom: list[str],
    pos: NDArray[np.int64],
    z: Floats,
    gif: float,
    rng: np.random.Generator,
    n: int,
    joint: bool,
    method: str = "student",
) -> pa.Table:
    """Rows whose calibrated p is that of the normal score z, and so is the raw one if `method` is "none"."""
    p = len(z)
    f = rng.uniform(0.05, 0.95, p)
    raw = z if method == "none" else z * np.sqrt(gif)
    columns: dict[str, Any] = {
        "CHROM": chrom,
        "POS": pos,
        "ID": [f"snp{i}" for i in range(p)],
        "A1": ["A"] * p,
        "OMITTED": ["C"] * p,
        "A1_FREQ": f,
        "OBS_CT": n - rng.binomial(max(n // 20, 1), 0.3, p),
    }
    columns |= {"F_STAT": raw**2} if joint else {"BETA": raw * 0.01, "SE": np.full(p, 0.01), "T_STAT": raw}
    p_cal = 2 * stats.norm.sf(np.abs(z))
    columns |= {
        "P": 2 * stats.norm.sf(np.abs(raw)),
        "NEG_LOG10_P": -(stats.norm.logsf(np.abs(raw)) + np.log(2)) / np.log(10),
        "P_CAL": p_cal,
        "NEG_LOG10_P_CAL": -(stats.norm.logsf(np.abs(z)) + np.log(2)) / np.log(10),
        "Q": benjamini_hochberg(p_cal),
        "Q_STOREY": benjamini_hochberg(p_cal) * 0.9,
        "LFDR": np.minimum(1.0, benjamini_hochberg(p_cal) * 2),
    }
    columns |= (
        {"VAR_VARIABLES": f * 0.01, "VAR_FACTORS": f * 0.1, "VAR_RESIDUAL": 1 - f * 0.11}
        if joint
        else {"RIDGE_BETA": raw * 0.009}
    )
    columns["STATUS"] = np.where(np.isfinite(z), "OK", "NO_VARIATION")
    arrays = {k: pa.array(v, from_pandas=isinstance(v, np.ndarray)) for k, v in columns.items()}
    return pa.table(arrays)


def write_results(
    prefix: Path,
    z: Floats,
    *,
    variables: tuple[str, ...] = (),
    chrom: list[str] | None = None,
    pos: NDArray[np.int64] | None = None,
    gif: float = 1.2,
    n_samples: int = 60,
    K: int = 3,
    sweep: tuple[int, ...] = (),
    group_rows: int = 131_072,
    method: str = "student",
    record: dict[str, Any] | None = None,
) -> Path:
    """Write the files of a run whose calibrated scores are z (p, d); return their prefix.

    `method` is that of calibration. `record` has other parts of the record, see `changed`. The files are those of a
    run with a sweep where `sweep` has values of K.
    """
    rng = np.random.default_rng(1)
    p, d = z.shape
    variables = variables or tuple(f"env{j + 1}" for j in range(d))
    chrom = [str(1 + i * 3 // p) for i in range(p)] if chrom is None else chrom
    pos = 1000 * (1 + np.arange(p)) if pos is None else pos
    files = {}
    joint = np.sqrt((z**2).mean(axis=1))
    for name, scores in [*zip(variables, z.T, strict=True), *([("joint", joint)] if d > 1 else [])]:
        path = Path(f"{prefix}.{name}.parquet")
        table = made_table(chrom, pos, scores, gif, rng, n_samples, name == "joint", method)
        parquet.write_table(table, path, row_group_size=group_rows)
        files[path.name] = path
    U = np.linalg.qr(rng.standard_normal((n_samples, max(K, 1))))[0][:, :K]
    X = rng.standard_normal((n_samples, d)) + 3 * (U[:, :1] if K else 0)
    factors = LatentFactors(
        U, np.arange(K, 0, -1.0), np.full(K, 1e-15), 0.0, "exact", "few samples", 1, True, U, 1e-5, p
    )
    path = Path(f"{prefix}.factors.npz")
    with path.open("wb") as file:
        write_factors(file, factors)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"X": X, "variables": np.array(variables)}))
    files[path.name] = path
    path = Path(f"{prefix}.lfmm2.log")
    path.write_text("lfmm2\n")
    files[path.name] = path
    if sweep:
        files |= _write_sweep(prefix, variables, sweep, gif, rng, method)
    entries = record_entries(list(variables), p, n_samples=n_samples, K=K, method=method, gif=gif, sweep=sweep)
    write_record(prefix, changed(entries, record or {}), list(files.values()))
    return prefix


def _write_sweep(
    prefix: Path, variables: tuple[str, ...], sweep: tuple[int, ...], gif: float, rng: np.random.Generator, method: str
) -> dict[str, Path]:
    values = np.concatenate([[9.0, 6.0, 3.0], np.linspace(1.25, 0.8, 17)])
    scree = ["AXIS\tEIGENVALUE\tSHARE\tBULK_EDGE\tTW_STATISTIC\tTW_P"]
    for i, value in enumerate(values):
        scree.append(f"{i + 1}\t{value}\t{value / 60}\t1.3\t{(value - 1.3) * 9}\t{1e-9 if value > 1.3 else 0.6}")
    header = (
        "K VARIABLE GIF GIF_SE MEDIAN_ABS_T Q999_ABS_T N_FDR05 N_FDR10 NULL_MEAN NULL_SD NULL_PROPORTION R2_FACTORS"
    )
    rows, bins = [header.replace(" ", "\t")], ["K\tVARIABLE\tP\tBIN_LOW\tBIN_HIGH\tCOUNT"]
    for k in sweep:
        for j, name in enumerate(variables):
            inflation = 1 + gif / (k + 1) + 0.05 * j
            found = int(40 / (1 + abs(k - 4)))
            numbers = [inflation, 0.01, 0.7, 3.5, found, found + 5, 0.01, inflation**0.5, 0.97, 1 - 1 / (k + 2)]
            rows.append("\t".join([str(k), name, *map(str, numbers)]))
            by_kind = {kind: rng.poisson(100 * np.exp(-a * np.linspace(0, 1, 50))) for kind, a in _SLOPES.items()}
            if method == "none":
                by_kind["calibrated"] = by_kind["raw"]
            for which, counts in by_kind.items():
                bins += [f"{k}\t{name}\t{which}\t{i / 50}\t{(i + 1) / 50}\t{c}" for i, c in enumerate(counts)]
    files = {}
    for ending, lines in (("scree", scree), ("sweep", rows), ("sweep-histograms", bins)):
        path = Path(f"{prefix}.{ending}.tsv")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files[path.name] = path
    return files
