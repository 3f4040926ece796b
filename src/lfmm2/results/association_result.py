"""What a run gives back: statistics of every SNP, in memory or read from the result files on demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.errors import UsageError
from lfmm2.files import read_columns
from lfmm2.model import LatentFactors, Scree, Status, compute_scree
from lfmm2.results.stored_run import StoredRun
from lfmm2.results.tables import COMMON, LOADINGS_FIRST, PER_VARIABLE, joint_table, result_table
from lfmm2.statistics import Calibration, CalibrationSummary, Sweep, benjamini_hochberg, distributions

# what calibration adds -> column of the tables
CALIBRATED = {
    "p_calibrated": "P_CAL", "neg_log10_p_calibrated": "NEG_LOG10_P_CAL", "q": "Q", "q_storey": "Q_STOREY",
    "local_fdr": "LFDR",
}  # fmt: skip
# name in the stores -> column of the tables
_FILE_COLUMNS = {
    **CALIBRATED, "beta": "BETA", "se": "SE", "t": "T_STAT", "ridge_beta": "RIDGE_BETA", "n_called": "OBS_CT",
    "frequency": "A1_FREQ", "f_stat": "F_STAT", "var_variables": "VAR_VARIABLES", "var_factors": "VAR_FACTORS",
    "var_residual": "VAR_RESIDUAL",
}  # fmt: skip


class ResultSource(Protocol):
    """Where statistics are kept."""

    def column(self, name: str, variable: int | None) -> Floats:
        """One of `PER_VARIABLE` or `CALIBRATED` for a variable, or of `COMMON` or `CALIBRATED`."""

    def table(self, variable: int | None) -> pa.Table:
        """The whole table of a variable, or the joint one."""

    @property
    def loadings(self) -> Floats | None:
        """V (n_snps, K), if it was asked for."""


class MemorySource:
    """Statistics in memory.

    Parameters
    ----------
    common : ndarray of shape (n_snps, len(COMMON))
    rows : list of ndarray of shape (n_snps, len(PER_VARIABLE))
    variants : callable
        Gives the whole table of CHROM, POS, ID, A1, A2.
    df : int
    calibrations : list of Calibration
        Of the variables, then of the joint test.
    counts_a1 : bool
    loadings : ndarray of shape (n_snps, K), optional
    """

    def __init__(
        self,
        common: Floats,
        rows: list[Floats],
        variants: Callable[[], pa.Table],
        df: int,
        calibrations: list[Calibration],
        counts_a1: bool,
        loadings: Floats | None = None,
    ) -> None:
        self.loadings = loadings
        self._common = common
        self._rows = rows
        self._variants = variants
        self._df = df
        self._calibrations = calibrations
        self._counts_a1 = counts_a1

    def __getstate__(self) -> dict[str, Any]:
        """With the variants as a table: a file that is open cannot be pickled."""
        return self.__dict__ | {"_variants": partial(_identity, self._variants())}

    def column(self, name: str, variable: int | None) -> Floats:
        """A copy, which the caller may change."""
        if name in CALIBRATED:
            values, calibration = self._values(variable)
            if name == "local_fdr":
                return calibration.local_fdr(values)
            scores = calibration.scores(values)
            if name == "neg_log10_p_calibrated":
                return calibration.neg_log10_p(scores)
            p = calibration.p(scores)
            if name == "p_calibrated":
                return p
            q = benjamini_hochberg(p)
            return calibration.storey_pi0 * q if name == "q_storey" else q
        if variable is None:
            return self._common[:, COMMON.index(name)].copy()
        return self._rows[variable][:, PER_VARIABLE.index(name)].copy()

    def table(self, variable: int | None) -> pa.Table:
        """Made on demand."""
        variants, d = self._variants(), len(self._rows)
        values, calibration = self._values(variable)
        scores = calibration.scores(values)
        q = benjamini_hochberg(calibration.p(scores))
        if variable is None:
            return joint_table(variants, self._common, q, d, self._df, calibration, self._counts_a1)
        rows = self._rows[variable]
        return result_table(variants, self._common, rows, scores, q, self._df, calibration, self._counts_a1)

    def _values(self, variable: int | None) -> tuple[Floats, Calibration]:
        """t of a variable, or sqrt(F), with its calibration."""
        if variable is None:
            return np.sqrt(self.column("f_stat", None)), self._calibrations[-1]
        return self.column("t", variable), self._calibrations[variable]


def _identity(table: pa.Table) -> pa.Table:
    return table


class FileSource:
    """Statistics in the files of a run.

    Parameters
    ----------
    tables : list of Path
        One per variable.
    joint : Path, optional
        Where there are several variables.
    loadings : Path, optional
        Where they were asked for.
    """

    def __init__(self, tables: list[Path], joint: Path | None, loadings: Path | None = None) -> None:
        self._tables = tables
        self._joint = joint
        self._loadings = loadings

    def column(self, name: str, variable: int | None) -> Floats:
        """Read from the file."""
        if name == "status":
            names = read_columns(self._tables[0], ["STATUS"])["STATUS"].to_pylist()
            return np.array([Status[name] for name in names], np.float64)
        if variable is None and name not in ("n_called", "frequency"):
            if self._joint is None:
                if name == "f_stat":
                    return self.column("t", 0) ** 2
                raise UsageError(
                    "shares of variance are in the joint table, which a run of one variable does not write; "
                    "run without out, or compute them from T_STAT: t² / (t² + df) of what the factors leave"
                )
            path = self._joint
        else:
            path = self._tables[variable or 0]
        column = _FILE_COLUMNS[name]
        array: Floats = read_columns(path, [column])[column].to_numpy().astype(np.float64)
        return array

    def table(self, variable: int | None) -> pa.Table:
        """Read the whole file."""
        if variable is None and self._joint is None:
            raise UsageError("a run of one variable has no joint table; its F is the square of t")
        path = self._joint if variable is None else self._tables[variable]
        assert path is not None
        return read_columns(path, None)

    @property
    def loadings(self) -> Floats | None:
        """Read from the file."""
        if self._loadings is None:
            return None
        table = read_columns(self._loadings, None)
        names = table.column_names[LOADINGS_FIRST:]
        columns = [table[name].to_numpy().astype(np.float64) for name in names]
        return np.column_stack(columns) if columns else np.empty((len(table), 0))


def read_results(prefix: str | os.PathLike[str]) -> AssociationResult:
    """The results of a finished run, from its files.

    Parameters
    ----------
    prefix : path
        What the run was given as `out`.

    Raises
    ------
    ReadError, MalformedInputError
        If the record or a file is absent, or not as the run wrote it.
    """
    stored = StoredRun(prefix)
    record = stored.record
    names = (*stored.tables, "loadings", "factors", "log", "record", "scree", "sweep", "sweep-histograms", "prune")
    paths = {name: path for name in names if (path := stored.path(name))}
    sweep = None
    if record.sweep is not None:
        tables = (stored.small_table("sweep"), stored.small_table("sweep-histograms"))
        sweep = Sweep(*tables, record.sweep.suggested, record.sweep.reason)
    factors = stored.factors()
    source = FileSource([paths[name] for name in stored.variables], paths.get("joint"), paths.get("loadings"))
    return AssociationResult(
        stored.variables, factors.leading(stored.n_factors), record.calibration.tests, record.df, factors.sample_ids,
        source, paths, sweep, None if record.imputation is None else asdict(record.imputation),
    )  # fmt: skip


class AssociationResult:
    """Statistics of every SNP for every variable.

    Arrays have shape (n_snps, d) or (n_snps,), float64, in the order of the .bim; NaN where `status` is not OK.

    Attributes
    ----------
    variables : tuple of str
        Names of the d variables.
    gif : ndarray of shape (d,), float64
        Genomic inflation factor of each variable, median(t²) / median(χ²₁), as it came out.
    calibrations : dict of str to CalibrationSummary
        Of each variable, and "joint" where there are several.
    sweep : Sweep or None
        Every number of factors asked for, side by side.
    df : int
        Residual degrees of freedom of t.
    factors : LatentFactors
    sample_ids : tuple of str
    imputation : dict or None
        Errors of calls that were held out, predicted by the mean and by the factors, where missing calls were filled
        from the factors.
    paths : dict of str to Path
        The files written, by variable name, and "joint", "factors", "loadings", "scree", "sweep", "sweep-histograms",
        "prune", "log", "record", as far as there are such; empty without `out`.

    Notes
    -----
    Without `out` the statistics are in memory. With it every property is read from the files when it is asked for, and
    what takes long should be kept in a variable.
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
        self.sweep = sweep
        self.imputation = imputation
        self.df = df
        self.sample_ids = sample_ids
        self.paths = paths or {}
        self._source = source

    def __repr__(self) -> str:
        inflation = ", ".join(f"{name} {gif:.3f}" for name, gif in zip(self.variables, self.gif, strict=True))
        return f"<AssociationResult: {len(self.sample_ids)} samples, K={self.factors.n_factors}, GIF {inflation}>"

    def _stack(self, name: str) -> Floats:
        return np.column_stack([self._source.column(name, j) for j in range(len(self.variables))])

    def _joint(self, name: str) -> Floats:
        if len(self.variables) == 1:
            raise UsageError("one variable has no joint test beside its own; see p_calibrated and q")
        return self._source.column(name, None)

    @property
    def beta(self) -> Floats:
        """Least-squares effects given the factors, in dosage per unit of the variable, shape (n_snps, d)."""
        return self._stack("beta")

    @property
    def se(self) -> Floats:
        """Standard errors of `beta`, shape (n_snps, d)."""
        return self._stack("se")

    @property
    def t(self) -> Floats:
        """beta / se, shape (n_snps, d)."""
        return self._stack("t")

    @property
    def ridge_beta(self) -> Floats:
        """Ridge effects of Eq. 4, shape (n_snps, d)."""
        return self._stack("ridge_beta")

    @property
    def p(self) -> Floats:
        """Two-sided p of t, Student with `df` degrees of freedom, shape (n_snps, d)."""
        return distributions.student_p(self.t, self.df)

    @property
    def neg_log10_p(self) -> Floats:
        """-log₁₀ p; finite where p itself underflows, shape (n_snps, d)."""
        return distributions.student_neg_log10_p(self.t, self.df)

    @property
    def p_calibrated(self) -> Floats:
        """p of t as calibrated: by default that of t² / GIF as χ²₁, shape (n_snps, d)."""
        return self._stack("p_calibrated")

    @property
    def neg_log10_p_calibrated(self) -> Floats:
        """-log₁₀ of the calibrated p, shape (n_snps, d)."""
        return self._stack("neg_log10_p_calibrated")

    @property
    def q(self) -> Floats:
        """Benjamini-Hochberg q of the calibrated p, variable by variable, shape (n_snps, d)."""
        return self._stack("q")

    @property
    def q_storey(self) -> Floats:
        """Storey q: the share of nulls times `q`, shape (n_snps, d)."""
        return self._stack("q_storey")

    @property
    def local_fdr(self) -> Floats:
        """Probability that the SNP is null for the variable, given its statistic, shape (n_snps, d)."""
        return self._stack("local_fdr")

    @property
    def f_stat(self) -> Floats:
        """Partial F of all variables given the factors, with (d, df) degrees of freedom, shape (n_snps,)."""
        return self._source.column("f_stat", None)

    @property
    def f_p(self) -> Floats:
        """p of `f_stat`, shape (n_snps,)."""
        return distributions.f_p(self.f_stat, len(self.variables), self.df)

    @property
    def f_p_calibrated(self) -> Floats:
        """p of `f_stat` as calibrated, shape (n_snps,)."""
        return self._joint("p_calibrated")

    @property
    def f_q(self) -> Floats:
        """Benjamini-Hochberg q of `f_p_calibrated`, shape (n_snps,)."""
        return self._joint("q")

    @property
    def scree(self) -> Scree | None:
        """The eigenvalues beside what noise would give; None where the factors bring none."""
        return None if self.factors.spectrum is None else compute_scree(self.factors.spectrum)

    @property
    def shares(self) -> Floats:
        """Shares of each SNP's variance (n_snps, 3): added by the variables, factors, residual; they sum to 1."""
        names = ("var_variables", "var_factors", "var_residual")
        return np.column_stack([self._source.column(name, None) for name in names])

    @property
    def status(self) -> NDArray[np.uint8]:
        """`Status` codes, shape (n_snps,)."""
        return self._source.column("status", None).astype(np.uint8)

    @property
    def n_called(self) -> NDArray[np.int64]:
        """Samples with a call, shape (n_snps,)."""
        return self._source.column("n_called", None).astype(np.int64)

    @property
    def frequency(self) -> Floats:
        """Frequency of the counted allele, shape (n_snps,)."""
        return self._source.column("frequency", None)

    @property
    def loadings(self) -> Floats | None:
        """V, shape (n_snps, K), float64, if it was asked for; else None."""
        return self._source.loadings

    def table(self, variable: str | int | None = None) -> pa.Table:
        """The table of a variable, by name or number; "joint" for the joint test. One variable needs no name."""
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
