"""Tables of results, block by block: the declared columns, made from statistics and variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from lfmm2._typing import Floats
from lfmm2.model import COLUMNS, Column, Columns, Origin, RowLayout
from lfmm2.statistics import Calibration, benjamini_hochberg, distributions

#: Order of the stored values of the joint test, computed when all SNPs are tested: the value that is calibrated, √D or
#: √F, and -log₁₀ of the smallest p over the variables, times their number.
JOINT_LAYOUT = RowLayout(("root", "neg_log10_min_p"))

# Columns of the table of loadings before V1, V2, ..., which name the SNP and its alleles.
_VARIANT_COLUMNS = tuple(column.name for column in COLUMNS if column.origin is Origin.VARIANTS)


class CalibratedStatistic:
    """The statistic of one test with its calibration, and all columns computed from them, by their names in Python.

    Each column is computed when it is asked for; those that other columns need are kept.

    Parameters
    ----------
    statistic : ndarray of shape (n,), float64
        t or F.
    calibration : Calibration
    q_of_scores : callable, optional
        Returns Benjamini-Hochberg q of calibrated scores; needed if `statistic` is that of some of the SNPs only.
    sound : ndarray of shape (n,), float64, optional
        The statistic with NaN where it is not to be calibrated; `statistic` itself if None.
    stand_in : ndarray of shape (n,), float64, optional
        Statistic of another test where `sound` is NaN: all p and q are those of it.
    """

    def __init__(
        self,
        statistic: Floats,
        calibration: Calibration,
        q_of_scores: Callable[[Floats], Floats] | None = None,
        sound: Floats | None = None,
        stand_in: Floats | None = None,
    ) -> None:
        self._statistic = statistic
        self._sound = statistic if sound is None else sound
        if stand_in is not None:
            self._statistic = np.where(np.isnan(stand_in), statistic, stand_in)
            self._sound = np.where(np.isnan(stand_in), self._sound, calibration.values_to_stand_in(stand_in))
        self._calibration = calibration
        self._q_of_scores = q_of_scores

    @cached_property
    def _magnitudes(self) -> Floats:
        """Return the values that are calibrated: t itself, or sqrt(F)."""
        return self._calibration.statistic.magnitudes(self._sound)

    @cached_property
    def _scores(self) -> Floats:
        return self._calibration.scores(self._magnitudes)

    @cached_property
    def _tails(self) -> tuple[Floats, Floats]:
        """Return p and -log₁₀ p under the theoretical null distribution."""
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
        return benjamini_hochberg(self.p_calibrated) if self._q_of_scores is None else self._q_of_scores(self._scores)

    @property
    def q_storey(self) -> Floats:
        """Return Storey's q."""
        return self._calibration.storey_pi0 * self.q

    @property
    def local_fdr(self) -> Floats:
        """Return the probability that each SNP is null."""
        return self._calibration.local_fdr(self._magnitudes)


@dataclass(frozen=True)
class JointScores:
    """What the joint table needs of some SNPs beside F.

    Attributes
    ----------
    rows : ndarray of shape (n, 2), float64
        In the order of `JOINT_LAYOUT`.
    q_of_smallest : callable, optional
        Returns Benjamini-Hochberg q of ``neg_log10_min_p``; needed if the rows are those of some of the SNPs only.
    """

    rows: Floats
    q_of_smallest: Callable[[Floats], Floats] | None = None

    @property
    def roots(self) -> Floats:
        """Return the values that are calibrated."""
        return JOINT_LAYOUT.column(self.rows, "root")

    @property
    def neg_log10_min_p(self) -> Floats:
        """Return -log₁₀ of the smallest p over the variables, times their number."""
        return JOINT_LAYOUT.column(self.rows, "neg_log10_min_p")

    @cached_property
    def min_p(self) -> Floats:
        """Return the smallest p over the variables, times their number."""
        return distributions.p_of_neg_log10(self.neg_log10_min_p)

    @property
    def min_q(self) -> Floats:
        """Return Benjamini-Hochberg q of `min_p`."""
        if self.q_of_smallest is None:
            return benjamini_hochberg(self.min_p)
        return self.q_of_smallest(self.neg_log10_min_p)


class JointTest(CalibratedStatistic):
    """F of all variables, whose calibrated values come from stored `scores`, with the smallest p over the variables."""

    def __init__(
        self,
        f: Floats,
        calibration: Calibration,
        scores: JointScores,
        q_of_scores: Callable[[Floats], Floats] | None = None,
    ) -> None:
        super().__init__(f, calibration, q_of_scores)
        self._joint = scores

    @property
    def _magnitudes(self) -> Floats:
        return self._joint.roots

    @property
    def min_p(self) -> Floats:
        """Return the smallest calibrated p over the variables, times their number."""
        return self._joint.min_p

    @property
    def min_q(self) -> Floats:
        """Return Benjamini-Hochberg q of `min_p`."""
        return self._joint.min_q


def table_schema(columns: Columns, joint: bool) -> pa.Schema:
    """Return the schema of the table of a variable, or of the joint test."""
    return pa.schema([_make_field(column) for column in columns.of_table(joint)])


def column_types(columns: Columns) -> dict[str, pa.DataType]:
    """Return the types of all columns of all tables, by name."""
    return {column.name: pa.type_for_alias(column.dtype) for column in columns}


def tested_statistic(
    columns: Columns,
    common: Floats,
    rows: Floats | None,
    calibration: Calibration,
    q_of_scores: Callable[[Floats], Floats] | None = None,
    scores: JointScores | None = None,
) -> CalibratedStatistic:
    """Return the tested statistic of the table of a variable, or of the joint table; see `statistics_table`."""
    joint = rows is None
    statistic, sound = (
        columns.stored(name, common, rows) for name in (columns.tested(joint), columns.calibrated(joint))
    )
    if joint:
        assert scores is not None
        return JointTest(statistic, calibration, scores, q_of_scores)
    stand_in = None if (name := columns.stand_in(joint)) is None else columns.stored(name, common, rows)
    return CalibratedStatistic(statistic, calibration, q_of_scores, sound, stand_in)


def statistics_table(
    columns: Columns,
    variants: pa.Table,
    common: Floats,
    rows: Floats | None,
    calibration: Calibration,
    counts_a1: bool,
    q_of_scores: Callable[[Floats], Floats] | None = None,
    scores: JointScores | None = None,
) -> pa.Table:
    """Return the table of one variable, or of the joint test, for some SNPs.

    Parameters
    ----------
    columns : Columns
        Columns that the model has declared.
    variants : pyarrow.Table
        CHROM, POS, ID, A1, A2 of the SNPs, as in the .bim.
    common, rows
        Stored statistics, see `Columns.stored`; `rows` is None for the joint test.
    calibration, q_of_scores
        See `CalibratedStatistic`.
    counts_a1 : bool
        True if the counted allele is A1 of the .bim, not A2.
    scores : JointScores, optional
        Stored values of the joint test, needed for its table.
    """
    joint = rows is None
    tested = tested_statistic(columns, common, rows, calibration, q_of_scores, scores)
    variant_values = _variant_values(variants, counts_a1)
    arrays = []
    for column in columns.of_table(joint):
        if column.origin is Origin.VARIANTS:
            arrays.append(variant_values[column.name])
        elif column.origin is Origin.MODEL:
            arrays.append(_as_arrow(columns.stored(column.attribute, common, rows), column))
        else:
            arrays.append(_as_arrow(getattr(tested, column.attribute), column))
    return pa.table(arrays, schema=table_schema(columns, joint))


def loadings_schema(n_factors: int) -> pa.Schema:
    """Return the schema of the table of loadings: CHROM, POS, ID, A1, OMITTED, V1, ..., VK."""
    fields = [_make_field(column) for column in COLUMNS if column.name in _VARIANT_COLUMNS]
    return pa.schema(fields + [pa.field(name, pa.float64()) for name in _name_loadings(n_factors)])


def loadings_table(variants: pa.Table, loadings: Floats, counts_a1: bool) -> pa.Table:
    """Return the table of the loadings V (n_snps_block, K) of some SNPs."""
    arrays = {
        name: _with_nulls(column) for name, column in zip(_name_loadings(loadings.shape[1]), loadings.T, strict=True)
    }
    return pa.table(_variant_values(variants, counts_a1) | arrays, schema=loadings_schema(loadings.shape[1]))


def loadings_array(table: pa.Table) -> Floats:
    """Return the loadings V (n_snps, K) of a table of loadings."""
    names = [name for name in table.column_names if name not in _VARIANT_COLUMNS]
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    return np.column_stack(columns) if columns else np.empty((len(table), 0))


def _name_loadings(n_factors: int) -> list[str]:
    return [f"V{k + 1}" for k in range(n_factors)]


def _make_field(column: Column) -> pa.Field:
    return pa.field(column.name, pa.type_for_alias(column.dtype))


def _variant_values(variants: pa.Table, counts_a1: bool) -> dict[str, pa.ChunkedArray]:
    """Return the columns of the variants; A1 of results is the counted allele, as in plink2."""
    counted, other = ("A1", "A2") if counts_a1 else ("A2", "A1")
    return {name: variants[{"A1": counted, "OMITTED": other}.get(name, name)] for name in _VARIANT_COLUMNS}


def _as_arrow(values: Floats, column: Column) -> pa.Array:
    """Return stored numbers in the type of their column, or as its labels."""
    if column.labels:
        codes = pa.array(values.astype(np.int8))
        return pa.DictionaryArray.from_arrays(codes, pa.array(column.labels)).cast(column.dtype)
    return pa.array(values.astype(np.int64)) if column.dtype == "int64" else _with_nulls(values)


def _with_nulls(values: Floats) -> pa.Array:
    """Return numbers with null in place of NaN, which pandas, polars and R read as missing."""
    return pa.array(np.ascontiguousarray(values), from_pandas=True)
