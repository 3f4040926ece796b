"""Tables of results, block by block: statistics and variants in, the declared columns of the output format out."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from lfmm2._typing import Floats
from lfmm2.model import COLUMNS, Column, Columns, Origin
from lfmm2.statistics import Calibration, benjamini_hochberg

# Columns of the table of loadings before V1, V2, ...: they tell which SNP and which allele a row is about.
_VARIANT_COLUMNS = tuple(column.name for column in COLUMNS if column.origin is Origin.VARIANTS)


class TestedStatistic:
    """The statistic of one test with its calibration, and all columns that follow from them, by their names in Python.

    Each is computed when it is asked for; those that others need are kept.

    Parameters
    ----------
    statistic : ndarray of shape (n,), float64
        t or F.
    calibration : Calibration
    q : ndarray of shape (n,), float64, optional
        Benjamini-Hochberg q of the calibrated p, where these are only some of the SNPs. By default they are all, and q
        is computed.
    """

    __test__ = False  # pytest takes a class of this name for a test

    def __init__(self, statistic: Floats, calibration: Calibration, q: Floats | None = None) -> None:
        self._statistic = statistic
        self._calibration = calibration
        self._q = q

    @cached_property
    def _magnitudes(self) -> Floats:
        return self._calibration.statistic.magnitudes(self._statistic)

    @cached_property
    def _scores(self) -> Floats:
        return self._calibration.scores(self._magnitudes)

    @cached_property
    def _tails(self) -> tuple[Floats, Floats]:
        return self._calibration.statistic.tails(self._statistic)

    @property
    def p(self) -> Floats:
        """Return p under the theoretical null distribution."""
        return self._tails[0]

    @property
    def neg_log10_p(self) -> Floats:
        """Return -log₁₀ of `p`."""
        return self._tails[1]

    @cached_property
    def p_calibrated(self) -> Floats:
        """Return the calibrated p."""
        return self._calibration.p(self._scores)

    @property
    def neg_log10_p_calibrated(self) -> Floats:
        """Return -log₁₀ of the calibrated p."""
        return self._calibration.neg_log10_p(self._scores)

    @cached_property
    def q(self) -> Floats:
        """Return Benjamini-Hochberg q."""
        return benjamini_hochberg(self.p_calibrated) if self._q is None else self._q

    @property
    def q_storey(self) -> Floats:
        """Return Storey's q."""
        return self._calibration.storey_pi0 * self.q

    @property
    def local_fdr(self) -> Floats:
        """Return the probability of each SNP to be null."""
        return self._calibration.local_fdr(self._magnitudes)


def table_schema(columns: Columns, joint: bool) -> pa.Schema:
    """Return the schema of the table of a variable, or of the joint test."""
    return pa.schema([_field(column) for column in columns.of_table(joint)])


def column_types(columns: Columns) -> dict[str, pa.DataType]:
    """Return the types of all columns of all tables, by name."""
    return {column.name: pa.type_for_alias(column.dtype) for column in columns}


def statistics_table(
    columns: Columns,
    variants: pa.Table,
    common: Floats,
    rows: Floats | None,
    tested: TestedStatistic,
    counts_a1: bool,
) -> pa.Table:
    """Return the table of one variable, or of the joint test, for some SNPs.

    Parameters
    ----------
    columns : Columns
        What the model has declared.
    variants : pyarrow.Table
        CHROM, POS, ID, A1, A2 as in the .bim.
    common : ndarray
        Rows of what all variables share, in the order of ``columns.layout(per_variable=False)``.
    rows : ndarray or None
        Rows of the variable, in the order of ``columns.layout(per_variable=True)``; None for the joint test.
    tested : TestedStatistic
        Of these SNPs.
    counts_a1 : bool
        Whether A1 of the .bim is the allele that is counted, and not A2.
    """
    joint = rows is None
    variant_values = _variant_values(variants, counts_a1)
    shared, own = columns.layout(per_variable=False), columns.layout(per_variable=True)
    arrays = []
    for column in columns.of_table(joint):
        if column.origin is Origin.VARIANTS:
            arrays.append(variant_values[column.name])
        elif column.origin is not Origin.MODEL:
            arrays.append(_as_arrow(getattr(tested, column.attribute), column))
        elif rows is not None and column.attribute in own.names:
            arrays.append(_as_arrow(own.column(rows, column.attribute), column))
        else:
            arrays.append(_as_arrow(shared.column(common, column.attribute), column))
    return pa.table(arrays, schema=table_schema(columns, joint))


def loadings_schema(n_factors: int) -> pa.Schema:
    """Return the schema CHROM POS ID A1 OMITTED V1 ... VK."""
    fields = [_field(column) for column in COLUMNS if column.name in _VARIANT_COLUMNS]
    return pa.schema(fields + [pa.field(name, pa.float64()) for name in _loading_names(n_factors)])


def loadings_table(variants: pa.Table, loadings: Floats, counts_a1: bool) -> pa.Table:
    """Return the table of the loadings V (n_snps_block, K) of some SNPs."""
    arrays = {name: _with_nulls(column) for name, column in zip(_loading_names(loadings.shape[1]), loadings.T)}
    return pa.table(_variant_values(variants, counts_a1) | arrays, schema=loadings_schema(loadings.shape[1]))


def loadings_array(table: pa.Table) -> Floats:
    """Return the loadings V (n_snps, K) of a table of loadings."""
    names = [name for name in table.column_names if name not in _VARIANT_COLUMNS]
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    return np.column_stack(columns) if columns else np.empty((len(table), 0))


def _loading_names(n_factors: int) -> list[str]:
    return [f"V{k + 1}" for k in range(n_factors)]


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, pa.type_for_alias(column.dtype))


def _variant_values(variants: pa.Table, counts_a1: bool) -> dict[str, pa.ChunkedArray]:
    """Return the columns of the variants; A1 of results is the allele that is counted, as in plink2."""
    counted, other = ("A1", "A2") if counts_a1 else ("A2", "A1")
    return {name: variants[{"A1": counted, "OMITTED": other}.get(name, name)] for name in _VARIANT_COLUMNS}


def _as_arrow(values: Floats, column: Column) -> pa.Array:
    """Return stored numbers as the type of their column."""
    if column.labels:
        codes = pa.array(values.astype(np.int8))
        return pa.DictionaryArray.from_arrays(codes, pa.array(column.labels)).cast(column.dtype)
    return pa.array(values.astype(np.int64)) if column.dtype == "int64" else _with_nulls(values)


def _with_nulls(values: Floats) -> pa.Array:
    """Return numbers with null for NaN, which pandas, polars and R read as missing."""
    return pa.array(np.ascontiguousarray(values), from_pandas=True)
