"""Where the statistics of a result come from: memory, or the files of a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._typing import Floats, Ints
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.files import read_columns
from lfmm2.model import Column, Columns, Origin, Scree, Tables
from lfmm2.results.stored_run import StoredRun
from lfmm2.results.tables import (
    JointScores,
    column_types,
    loadings_array,
    statistics_table,
    table_schema,
    tested_statistic,
)
from lfmm2.statistics import Calibration

# Columns of the table of a scree. An empty table is made where it is needed: to make one pyarrow imports pandas.
SCREE_SCHEMA = pa.schema(
    [(name, pa.float64()) for name in ("EIGENVALUE", "SHARE", "BULK_EDGE", "TW_STATISTIC", "TW_P")]
)
# Message where the joint table of a run of one variable is asked for.
_NO_JOINT_TABLE = "a run of one variable has no joint table; its F is the square of t"


class ResultSource(Protocol):
    """The statistics of a run, in memory or in files, behind an `AssociationResult`."""

    @property
    def columns(self) -> Columns:
        """Return the columns that the model has declared."""

    def column(self, column: Column, variable: int | None) -> Floats:
        """Return a column (n_snps,) of the table of a variable, or of the joint table if None; labels as numbers."""

    @property
    def n_snps(self) -> int:
        """Return the number of tested SNPs."""

    def table(self, variable: int | None) -> pa.Table:
        """Return the whole table of a variable, or the joint table if None."""

    def take(self, variable: int | None, rows: Ints) -> pa.Table:
        """Return rows of that table, in the order given."""

    @property
    def loadings(self) -> Floats | None:
        """Return V (n_snps, K); None if it was not asked for."""

    @property
    def scree(self) -> Scree | None:
        """Return the scree from which K is suggested; None if no eigenvalues are known."""


class MemorySource:
    """Statistics in memory.

    Parameters
    ----------
    columns : Columns
        Columns that the model has declared.
    common : ndarray of shape (n_snps, n_names), float64
        Statistics that all variables share, in the order of ``columns.layout(per_variable=False)``.
    rows : list of ndarray
        Statistics of each variable, in the order of ``columns.layout(per_variable=True)``.
    variants : callable
        Returns the whole table of CHROM, POS, ID, A1, A2.
    calibrations : list of Calibration
        Calibrations of the variables, then of the joint test.
    counts_a1 : bool
        True if the counted allele is A1 of the variants, not A2.
    loadings : ndarray of shape (n_snps, K), optional
    joint : JointScores, optional
        Stored values of the joint test; None with one variable, which has no joint table.
    scree : Scree, optional
    """

    def __init__(
        self,
        columns: Columns,
        common: Floats,
        rows: list[Floats],
        variants: Callable[[], pa.Table],
        calibrations: list[Calibration],
        counts_a1: bool,
        loadings: Floats | None = None,
        joint: JointScores | None = None,
        scree: Scree | None = None,
    ) -> None:
        self.columns = columns
        self.loadings = loadings
        self.scree = scree
        self._joint = joint
        self._common = common
        self._rows = rows
        self._variants = variants
        self._calibrations = calibrations
        self._counts_a1 = counts_a1

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, with the table of variants in place of the open file, which has no state."""
        return self.__dict__ | {"_variants": partial(_return_table, self._variants())}

    def column(self, column: Column, variable: int | None) -> Floats:
        """Return a column as a copy, which the caller may change."""
        rows, calibration = self._of_test(variable)
        if column.origin is Origin.MODEL:
            return self.columns.stored(column.attribute, self._common, rows).copy()
        tested = tested_statistic(self.columns, self._common, rows, calibration, scores=self._joint)
        values: Floats = getattr(tested, column.attribute)
        return values

    @property
    def n_snps(self) -> int:
        """Return the number of rows in memory."""
        return len(self._common)

    def table(self, variable: int | None) -> pa.Table:
        """Compute the table."""
        if variable is None and self._joint is None:
            raise UsageError(_NO_JOINT_TABLE)
        rows, calibration = self._of_test(variable)
        return statistics_table(
            self.columns, self._variants(), self._common, rows, calibration, self._counts_a1, scores=self._joint
        )

    def take(self, variable: int | None, rows: Ints) -> pa.Table:
        """Compute the table, and take rows of it."""
        return self.table(variable).take(pa.array(rows))

    def _of_test(self, variable: int | None) -> tuple[Floats | None, Calibration]:
        """Return rows and calibration of a variable; or None and the joint calibration, as that test has no rows."""
        return (
            (None, self._calibrations[-1]) if variable is None else (self._rows[variable], self._calibrations[variable])
        )


def _return_table(table: pa.Table) -> pa.Table:
    """Return the table: a function that, unlike a lambda, can be pickled."""
    return table


class FileSource:
    """Statistics in the files of a run."""

    def __init__(self, run: StoredRun) -> None:
        self.columns = run.declared
        self._tables = [run.path(name) for name in run.variables]
        self._joint = run.path("joint") if "joint" in run.tables else None
        self._loadings = run.path("loadings")
        self._run = run

    def column(self, column: Column, variable: int | None) -> Floats:
        """Read a column from the file."""
        if variable is None and column.tables is not Tables.JOINT and column.origin is Origin.MODEL:
            variable = 0  # The table of each variable has the columns that all variables share.
        if variable is None and self._joint is None:
            if column.is_tested:
                return self.column(next(c for c in self.columns.of_table(False) if c.is_tested), 0) ** 2
            raise UsageError(
                "shares of variance are in the joint table, which a run of one variable does not write; "
                "run without out, or compute them from T_STAT: t² / (t² + df) of what the factors leave"
            )
        path = self._joint if variable is None else self._tables[variable]
        values = self._read(path, [column.name])[column.name]
        if column.labels:
            values = pc.index_in(values, value_set=pa.array(column.labels))
            if values.null_count:
                fact = f"{path}: {column.name} has other values than {', '.join(column.labels)}"
                raise MalformedInputError(f"{fact}; copy it again, or run again")
        array: Floats = values.to_numpy().astype(np.float64)
        return array

    @property
    def n_snps(self) -> int:
        """Return the number of SNPs in the record."""
        return self._run.n_snps

    def table(self, variable: int | None) -> pa.Table:
        """Read the whole file."""
        if variable is None and self._joint is None:
            raise UsageError(_NO_JOINT_TABLE)
        return self._read(self._joint if variable is None else self._tables[variable], None)

    def take(self, variable: int | None, rows: Ints) -> pa.Table:
        """Read the blocks of the file in which the rows are."""
        if variable is None and self._joint is None:
            raise UsageError(_NO_JOINT_TABLE)
        name = "joint" if variable is None else self._run.variables[variable]
        return self._run.take(name, rows).cast(table_schema(self.columns, joint=variable is None))

    def _read(self, path: Path | None, names: list[str] | None) -> pa.Table:
        """Read some columns of a file, or all."""
        assert path is not None
        return read_columns(path, names, column_types(self.columns))

    @property
    def loadings(self) -> Floats | None:
        """Return V (n_snps, K), read from the file; None if the run has not written it."""
        return None if self._loadings is None else loadings_array(self._read(self._loadings, None))

    @property
    def scree(self) -> Scree | None:
        """Return the scree of the axes in its table; None if the run has not written it."""
        facts = self._run.record.scree
        if facts is None or self._run.path("scree") is None:
            return None
        # A table without rows, of axes that could not be tested, has no columns that could be read.
        is_empty = not np.isfinite(facts.effective_snps)
        table = SCREE_SCHEMA.empty_table() if is_empty else self._run.small_table("scree")
        return Scree.from_table(
            table, facts.n_axes, facts.effective_snps, facts.bulk_edge, facts.n_snps, facts.is_hidden
        )
