"""The results of a run: statistics of every SNP, in memory or read from the result files on demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2._words import with_error
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.files import read_columns
from lfmm2.model import Column, Columns, LatentFactors, Origin, Scree, Tables
from lfmm2.results.file_names import FIXED_ENDINGS, SMALL_ENDINGS
from lfmm2.results.stored_run import StoredRun
from lfmm2.results.tables import JointScores, column_types, loadings_array, statistics_table, tested_statistic
from lfmm2.statistics import Calibration, CalibrationSummary, Sweep, distributions

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

    def table(self, variable: int | None) -> pa.Table:
        """Return the whole table of a variable, or the joint table if None."""

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

    def table(self, variable: int | None) -> pa.Table:
        """Compute the table."""
        if variable is None and self._joint is None:
            raise UsageError(_NO_JOINT_TABLE)
        rows, calibration = self._of_test(variable)
        return statistics_table(
            self.columns, self._variants(), self._common, rows, calibration, self._counts_a1, scores=self._joint
        )

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

    def table(self, variable: int | None) -> pa.Table:
        """Read the whole file."""
        if variable is None and self._joint is None:
            raise UsageError(_NO_JOINT_TABLE)
        return self._read(self._joint if variable is None else self._tables[variable], None)

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


def read_results(prefix: str | os.PathLike[str]) -> AssociationResult:
    """Return the results of a finished run; each statistic is read from the files when it is asked for.

    Parameters
    ----------
    prefix : path
        The `out` of the run, or any of its files.

    Raises
    ------
    ReadError
        If the record is absent, as when the run is not complete, or a file cannot be read.
    MalformedInputError
        If the record has changed since it was written, or a file is absent, of another size or damaged.
    UsageError
        If `prefix` is an empty text.
    """
    stored = StoredRun(prefix)
    record = stored.record
    names = (*stored.tables, "loadings", *FIXED_ENDINGS, *SMALL_ENDINGS)
    paths = {name: path for name in names if (path := stored.path(name))}
    sweep = None
    if record.sweep is not None:
        tables = (stored.small_table("sweep"), stored.small_table("sweep-histograms"))
        facts = record.sweep
        sweep = Sweep(*tables, facts.suggested, facts.reason, facts.penalty, tuple(facts.penalties))
    factors = stored.factors()
    return AssociationResult(
        stored.variables, factors.leading(stored.n_factors), record.calibration.tests, record.df, factors.sample_ids,
        FileSource(stored), paths, sweep, None if record.imputation is None else asdict(record.imputation),
    )  # fmt: skip


class AssociationResult:
    """Statistics of every SNP for every variable.

    Arrays have shape (n_snps, d) or (n_snps,), float64, in the order of the .bim; NaN where `status` is not OK.

    Attributes
    ----------
    variables : tuple of str
        Names of the d variables.
    gif : ndarray of shape (d,), float64
        Genomic inflation factor of each variable, median(t²) / median(F(1, df)), also where it is below 1; with the
        calibration "chi2" over the median of χ²₁.
    gif_se : ndarray of shape (d,), float64
        Its standard error, from the differences between 20 runs of neighbouring SNPs; NaN for fewer than 200 SNPs.
    calibrations : dict of str to CalibrationSummary
        Calibration of each variable, and of "joint" if there are several variables.
    sweep : Sweep or None
        Comparison of the numbers of factors, and of the penalties, of a sweep; None without one.
    df : int
        Residual degrees of freedom of t.
    factors : LatentFactors
        The factors with which the SNPs were tested.
    sample_ids : tuple of str
        IID of each sample.
    imputation : dict or None
        Number of held-out calls and errors of their predictions by the mean and by the factors, as
        ``imputation`` in the record; None unless missing calls were filled from the factors.
    paths : dict of str to Path
        The files written, by variable name, and "joint", "factors", "factors-table", "loadings", "scree", "sweep",
        "sweep-histograms", "prune", "samples", "log", "record", if the run has written them; empty without `out`.

    Notes
    -----
    Without `out` the statistics are in memory. With `out` every property is read from the files whenever it is asked
    for; a property that is used often should be kept in a variable.
    """

    def __init__(
        self,
        variables: tuple[str, ...],
        factors: LatentFactors,
        calibrations: dict[str, CalibrationSummary],
        df: int,
        sample_ids: tuple[str, ...],
        source: ResultSource,
        paths: dict[str, Path] | None = None,
        sweep: Sweep | None = None,
        imputation: dict[str, Any] | None = None,
    ) -> None:
        self.variables = variables
        self.factors = factors
        self.calibrations = calibrations
        self.gif = np.array([calibrations[name].gif for name in variables])
        self.gif_se = np.array([calibrations[name].gif_se for name in variables])
        self.sweep = sweep
        self.imputation = imputation
        self.df = df
        self.sample_ids = sample_ids
        self.paths = paths or {}
        self._source = source

    def __repr__(self) -> str:
        fits = zip(self.variables, self.gif, self.gif_se, strict=True)
        inflation = ", ".join(f"{name} {with_error(gif, se)}" for name, gif, se in fits)
        return f"<AssociationResult: {len(self.sample_ids)} samples, K={self.factors.n_factors}, GIF {inflation}>"

    def _stack_variables(self, column: Column) -> Floats:
        """Return a column of all variables, shape (n_snps, d)."""
        return np.column_stack([self._source.column(column, j) for j in range(len(self.variables))])

    def _values(self, attribute: str) -> Floats:
        """Return a declared column of all variables (n_snps, d), or of all SNPs (n_snps,), by its name in Python."""
        found = self._source.columns.with_attribute(attribute)
        if found is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")
        column, joint = found
        if not joint:
            return self._stack_variables(column)
        if column.origin is not Origin.MODEL and len(self.variables) == 1:
            raise UsageError("one variable has no joint test beside its own; see p_calibrated and q")
        return self._source.column(column, None)

    if not TYPE_CHECKING:  # so that type checkers report misspelt attributes

        def __getattr__(self, name: str) -> Floats:
            """Return a declared column that has no property here, such as var_factors or a column of another model."""
            if name.startswith("_"):
                raise AttributeError(name)  # pickle asks for private names before `_source` is set
            return self._values(name)

    @property
    def beta(self) -> Floats:
        """Least-squares effects given the factors, in dosage per unit of the variable, shape (n_snps, d)."""
        return self._values("beta")

    @property
    def se(self) -> Floats:
        """Standard errors of `beta`, shape (n_snps, d)."""
        return self._values("se")

    @property
    def t(self) -> Floats:
        """beta / se, shape (n_snps, d)."""
        return self._values("t")

    @property
    def ridge_beta(self) -> Floats:
        """Ridge effects of Eq. 4, shape (n_snps, d)."""
        return self._values("ridge_beta")

    @property
    def p(self) -> Floats:
        """Two-sided p of t from Student's distribution with `df` degrees of freedom, shape (n_snps, d).

        With ``spa`` that of SNPs with few carriers is by the saddlepoint approximation.
        """
        return self._values("p")

    @property
    def neg_log10_p(self) -> Floats:
        """-log₁₀ p, finite even where p itself underflows, shape (n_snps, d)."""
        return self._values("neg_log10_p")

    @property
    def p_calibrated(self) -> Floats:
        """Calibrated p of t, by default Student's of t / √GIF, shape (n_snps, d)."""
        return self._values("p_calibrated")

    @property
    def neg_log10_p_calibrated(self) -> Floats:
        """-log₁₀ of the calibrated p, shape (n_snps, d)."""
        return self._values("neg_log10_p_calibrated")

    @property
    def q(self) -> Floats:
        """Benjamini-Hochberg q of the calibrated p, variable by variable, shape (n_snps, d)."""
        return self._values("q")

    @property
    def q_storey(self) -> Floats:
        """Storey's q, the estimated share of null SNPs times `q`, shape (n_snps, d)."""
        return self._values("q_storey")

    @property
    def local_fdr(self) -> Floats:
        """Probability that the SNP is null for the variable, given its statistic, shape (n_snps, d)."""
        return self._values("local_fdr")

    @property
    def f_stat(self) -> Floats:
        """Partial F of all variables given the factors, with (d, df) degrees of freedom, shape (n_snps,)."""
        return self._values("f_stat")

    @property
    def f_p(self) -> Floats:
        """p of `f_stat`, shape (n_snps,)."""
        return distributions.f_p(self.f_stat, len(self.variables), self.df)

    @property
    def f_p_calibrated(self) -> Floats:
        """Calibrated p of the joint test, by default of the t whitened by their scatter, shape (n_snps,)."""
        return self._values("f_p_calibrated")

    @property
    def f_q(self) -> Floats:
        """Benjamini-Hochberg q of `f_p_calibrated`, shape (n_snps,)."""
        return self._values("f_q")

    @property
    def min_p(self) -> Floats:
        """Smallest calibrated p over the variables, times their number and at most 1, shape (n_snps,)."""
        return self._values("min_p")

    @property
    def min_q(self) -> Floats:
        """Benjamini-Hochberg q of `min_p`, shape (n_snps,)."""
        return self._values("min_q")

    @property
    def scree(self) -> Scree | None:
        """Eigenvalues compared with those of noise, of the SNPs from which K is suggested; None if they are not known.

        Read from files, it has the axes of the table: up to 50.
        """
        return self._source.scree

    @property
    def shares(self) -> Floats:
        """Shares of each SNP's variance, shape (n_snps, 3): variables given the factors, factors, residual; sum 1."""
        names = ("var_variables", "var_factors", "var_residual")
        return np.column_stack([self._values(name) for name in names])

    @property
    def status(self) -> NDArray[np.uint8]:
        """`Status` codes, shape (n_snps,)."""
        return self._values("status").astype(np.uint8)

    @property
    def n_called(self) -> NDArray[np.int64]:
        """Samples with a call, shape (n_snps,)."""
        return self._values("n_called").astype(np.int64)

    @property
    def frequency(self) -> Floats:
        """Frequency of the counted allele, shape (n_snps,)."""
        return self._values("frequency")

    @property
    def loadings(self) -> Floats | None:
        """Loadings V, shape (n_snps, K), float64; None if they were not asked for."""
        return self._source.loadings

    def table(self, variable: str | int | None = None) -> pa.Table:
        """Return the table of a variable, or of the joint test.

        Parameters
        ----------
        variable : str or int, optional
            Name of the variable or its number from 0, or "joint". It may be left out if there is one variable.

        Raises
        ------
        UsageError
            If there is no such variable, or it is left out with several.
        """
        if variable is None:
            if len(self.variables) > 1:
                raise UsageError(f"name one of the variables {', '.join(self.variables)}, or 'joint'")
            variable = 0
        if variable == "joint":
            return self._source.table(None)
        if isinstance(variable, str):
            if variable not in self.variables:
                raise UsageError(f"{variable!r} is not a variable of this run: {', '.join(self.variables)}, or 'joint'")
            variable = self.variables.index(variable)
        if not 0 <= variable < len(self.variables):
            raise UsageError(f"variable {variable} of {len(self.variables)}; count from 0")
        return self._source.table(variable)
