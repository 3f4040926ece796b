"""Tables of results, block by block: statistics and variants in, the columns of the output format out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lfmm2._typing import Floats
from lfmm2.files import JOINT_SCHEMA, RESULT_SCHEMA
from lfmm2.model import BlockStatistics, Status
from lfmm2.statistics import Calibration, distributions

# columns of the stores that hold statistics until calibration, see `common_rows` and `variable_rows`
COMMON = ("status", "n_called", "frequency", "f_stat", "var_variables", "var_factors", "var_residual")
PER_VARIABLE = ("beta", "se", "t", "ridge_beta")
_VARIANT_COLUMNS = ("CHROM", "POS", "ID", "A1", "OMITTED")
# number of the first column of V in a table of loadings
LOADINGS_FIRST = len(_VARIANT_COLUMNS)
STATUS_NAMES = pa.array([status.name for status in Status])


def common_rows(block: BlockStatistics) -> Floats:
    """What all variables share, one row per SNP, columns `COMMON`."""
    return np.column_stack([block.status, block.n_called, block.frequency, block.f_stat, block.shares]).astype(
        np.float64
    )


def variable_rows(block: BlockStatistics, j: int) -> Floats:
    """What belongs to variable j, one row per SNP, columns `PER_VARIABLE`."""
    return np.column_stack([block.beta[:, j], block.se[:, j], block.t[:, j], block.ridge_beta[:, j]])


def calibrated_columns(values: Floats, scores: Floats, q: Floats, calibration: Calibration) -> dict[str, Floats]:
    """What calibration adds to t or sqrt(F): P_CAL, NEG_LOG10_P_CAL, Q, Q_STOREY and LFDR."""
    return {
        "P_CAL": calibration.p(scores),
        "NEG_LOG10_P_CAL": calibration.neg_log10_p(scores),
        "Q": q,
        "Q_STOREY": calibration.storey_pi0 * q,
        "LFDR": calibration.local_fdr(values),
    }


def _variant_columns(variants: pa.Table, common: Floats, counts_a1: bool) -> dict[str, pa.Array]:
    """The counted allele is called A1 in results, as in plink2, whichever column of the .bim it stands in."""
    counted, other = ("A1", "A2") if counts_a1 else ("A2", "A1")
    return {
        "CHROM": variants["CHROM"],
        "POS": variants["POS"],
        "ID": variants["ID"],
        "A1": variants[counted],
        "OMITTED": variants[other],
        "A1_FREQ": common[:, 2],
        "OBS_CT": pa.array(common[:, 1].astype(np.int64)),
    }


def _status_column(common: Floats) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(common[:, 0].astype(np.int8)), STATUS_NAMES).cast(pa.string())


def result_table(
    variants: pa.Table,
    common: Floats,
    rows: Floats,
    scores: Floats,
    q: Floats,
    df: int,
    calibration: Calibration,
    counts_a1: bool,
) -> pa.Table:
    """The table of one variable for some SNPs, columns of `RESULT_SCHEMA`.

    Parameters
    ----------
    variants : pyarrow.Table
        CHROM, POS, ID, A1, A2 as in the .bim.
    common, rows : ndarray
        As from `common_rows` and `variable_rows`.
    scores, q : ndarray
        `calibration.scores` of t, and their Benjamini-Hochberg q.
    df : int
    calibration : Calibration
    """
    beta, se, t, ridge_beta = rows.T
    columns = _variant_columns(variants, common, counts_a1)
    columns |= {"BETA": beta, "SE": se, "T_STAT": t}
    columns["P"], columns["NEG_LOG10_P"] = distributions.student_tails(t, df)
    columns |= calibrated_columns(t, scores, q, calibration)
    columns |= {"RIDGE_BETA": ridge_beta, "STATUS": _status_column(common)}
    return pa.table([_as_arrow(columns[name]) for name in RESULT_SCHEMA.names], schema=RESULT_SCHEMA)


def joint_table(
    variants: pa.Table,
    common: Floats,
    q: Floats,
    n_variables: int,
    df: int,
    calibration: Calibration,
    counts_a1: bool,
) -> pa.Table:
    """The table of the joint test for some SNPs, columns of `JOINT_SCHEMA`."""
    f_stat = common[:, 3]
    root_f = np.sqrt(f_stat)
    columns = _variant_columns(variants, common, counts_a1)
    columns |= {
        "F_STAT": f_stat,
        "P": distributions.f_p(f_stat, n_variables, df),
        "NEG_LOG10_P": distributions.f_neg_log10_p(f_stat, n_variables, df),
        **calibrated_columns(root_f, calibration.scores(root_f), q, calibration),
        "VAR_VARIABLES": common[:, 4],
        "VAR_FACTORS": common[:, 5],
        "VAR_RESIDUAL": common[:, 6],
        "STATUS": _status_column(common),
    }
    return pa.table([_as_arrow(columns[name]) for name in JOINT_SCHEMA.names], schema=JOINT_SCHEMA)


def loadings_schema(n_factors: int) -> pa.Schema:
    """CHROM POS ID A1 OMITTED V1 ... VK."""
    fields = [RESULT_SCHEMA.field(name) for name in _VARIANT_COLUMNS]
    return pa.schema(fields + [pa.field(f"V{k + 1}", pa.float64()) for k in range(n_factors)])


def loadings_table(variants: pa.Table, common: Floats, loadings: Floats, counts_a1: bool) -> pa.Table:
    """Loadings V of some SNPs."""
    schema = loadings_schema(loadings.shape[1])
    columns = _variant_columns(variants, common, counts_a1)
    columns |= {f"V{k + 1}": column for k, column in enumerate(loadings.T)}
    return pa.table([_as_arrow(columns[name]) for name in schema.names], schema=schema)


def _as_arrow(column: pa.Array | Floats) -> pa.Array:
    if isinstance(column, np.ndarray):
        # NaN becomes null, which pandas, polars and R read as missing
        return pa.array(np.ascontiguousarray(column), from_pandas=True)
    return column
