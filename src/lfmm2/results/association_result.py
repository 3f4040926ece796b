"""The results of a run: statistics of every SNP, and what people do with them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._html import as_text, html_facts, html_table
from lfmm2._lazy import LateModule
from lfmm2._typing import Floats
from lfmm2._words import counted, with_error, with_spaces
from lfmm2.errors import UsageError
from lfmm2.model import Column, LatentFactors, Origin, Scree
from lfmm2.results.file_names import FIXED_ENDINGS, SMALL_ENDINGS
from lfmm2.results.result_frames import as_frame, strongest
from lfmm2.results.result_sources import FileSource, ResultSource
from lfmm2.results.stored_run import StoredRun
from lfmm2.statistics import CalibrationSummary, Sweep, distributions

# What is made from results stands above them.
_PLOTS, _DOWNSTREAM, _REPORT = LateModule("lfmm2.plots"), LateModule("lfmm2.downstream"), LateModule("lfmm2.report")
# Discoveries that a notebook shows are those below this rate. They are counted where there are at most so many SNPs,
# which takes seconds.
SHOWN_RATE, MOST_COUNTED = 0.05, 20_000_000
# SNPs that a notebook shows.
SHOWN_SNPS = 5

# Writes a result of memory to files: prefix, format, and whether those of an earlier run are replaced.
Saver = Callable[[Any, str, bool], "AssociationResult"]


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
        saver: Saver | None = None,
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
        self._saver = saver

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, without what only the process of the run has: open files."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_saver", "_temporary")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._saver = None

    def __repr__(self) -> str:
        fits = list(zip(self.variables, self.gif, self.gif_se, strict=True))
        inflation = ", ".join(f"{name} {with_error(gif, se)}" for name, gif, se in fits[:SHOWN_SNPS])
        more = ", …" if len(fits) > SHOWN_SNPS else ""
        size = f"{counted(len(self.sample_ids), 'sample')} × {counted(self.n_snps, 'SNP')}"
        return f"<AssociationResult: {size}, K={self.factors.n_factors}, GIF {inflation}{more}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what this is, inflation and discoveries of each variable, strongest SNPs."""
        facts: dict[str, object] = {
            "samples": with_spaces(len(self.sample_ids)),
            "SNPs": with_spaces(self.n_snps),
            "factors": f"K = {self.factors.n_factors}, {self.factors.solver}",
            "residual df": self.df,
            "files": self.paths.get("record", "none: r.save(prefix) writes them"),
        }
        title = html_facts("LFMM2 associations", facts)
        names = ("variable", "GIF", "standard error", f"SNPs with q < {SHOWN_RATE}")
        inflation = zip(self.variables, self.gif.tolist(), self.gif_se.tolist(), self._discoveries, strict=True)
        best = self.top(SHOWN_SNPS, library="pyarrow", by=self.variables[0])
        heads = best.column_names
        heading = f"<p>Strongest for {as_text(self.variables[0])}: r.top({SHOWN_SNPS})</p>"
        rows = zip(*(best[name].to_pylist() for name in heads), strict=True)
        return title + html_table(names, inflation) + heading + html_table(heads, rows)

    @cached_property
    def _discoveries(self) -> list[str]:
        """Numbers of SNPs below `SHOWN_RATE` of each variable, as text; empty where there are too many SNPs."""
        if self.n_snps > MOST_COUNTED:
            return [""] * len(self.variables)
        return [with_spaces(int(np.count_nonzero(q < SHOWN_RATE))) for q in self.q.T]

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

    def __dir__(self) -> list[str]:
        """Return the names to complete: those of the class, and of declared columns without a property here."""
        declared = {column.attribute for column in self._source.columns}
        if len(self.variables) > 1:
            declared |= {column.joint_attribute for column in self._source.columns.of_table(joint=True)}
        return sorted({*super().__dir__(), *declared} - {""})

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

    @property
    def n_snps(self) -> int:
        """Number of tested SNPs."""
        return self._source.n_snps

    def table(self, variable: str | int | None = None) -> pa.Table:
        """Return the table of a variable, or of the joint test, as a table of pyarrow.

        Parameters
        ----------
        variable : str or int, optional
            Name of the variable or its number from 0, or "joint". It may be left out if there is one variable.

        Raises
        ------
        UsageError
            If there is no such variable, or it is left out with several.
        """
        return self._source.table(self._number_of(variable))

    def to_frame(self, variable: str | int | None = None, library: str | None = None) -> Any:
        """Return `table` as a data frame.

        Parameters
        ----------
        variable : str or int, optional
            As of `table`.
        library : {None, "pandas", "polars", "pyarrow"}
            By default pandas, or polars where that alone is installed.
        """
        return as_frame(self.table(variable), library)

    def top(self, n: int = 10, by: str | int | None = None, library: str | None = None) -> Any:
        """Return the rows of the n strongest SNPs, those with the smallest calibrated p first, as a data frame.

        Parameters
        ----------
        n : int
        by : str or int, optional
            The variable, or "joint", as of `table`; by default the joint test if there are several variables.
        library : {None, "pandas", "polars", "pyarrow"}
            As of `to_frame`.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise UsageError(f"n is {n!r}; give a number of SNPs such as 20")
        several = by is None and len(self.variables) > 1
        variable = self._number_of("joint" if several else by)
        columns = self._source.columns
        found = [column for column in columns.of_table(joint=variable is None) if column.name == "NEG_LOG10_P_CAL"]
        rows = strongest(self._source.column(found[0], variable), int(n))
        return as_frame(self._source.take(variable, rows), library)

    def save(
        self, prefix: str | os.PathLike[str], format: str = "parquet", overwrite: bool = False
    ) -> AssociationResult:
        """Write a result that is in memory to the files that ``out=prefix`` would have written; return it from them.

        Raises
        ------
        UsageError
            If the result is in files, or was pickled, which leaves what is needed behind.
        OutputExistsError, WriteError
            If files are in the way and `overwrite` is off, or cannot be written.
        """
        if "record" in self.paths:
            raise UsageError(f"this result is in files already: {self.paths['record']}; copy these")
        if self._saver is None:
            raise UsageError("a result that was pickled cannot be written to files; save it before, or give out=")
        return self._saver(prefix, format, overwrite)

    def written(self) -> dict[str, Path]:
        """Return `paths`; a result in memory is first written to a temporary folder, which goes with the result."""
        return self.paths if "record" in self.paths else self._temporary

    @cached_property
    def _temporary(self) -> dict[str, Path]:
        """Files of a result in memory, in a temporary folder."""
        folder = tempfile.mkdtemp(prefix="lfmm2-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return self.save(Path(folder) / "result").paths

    @property
    def plot(self) -> ResultPictures:
        """Pictures: ``r.plot.manhattan("temperature")``; see `lfmm2.plots` for all of them and what they take."""
        return ResultPictures(self)

    def hits(self, library: str | None = None, **options: Any) -> Any:
        """Return the SNPs below a rate of false discoveries as a data frame; see `lfmm2.find_hits` for the options."""
        return as_frame(_DOWNSTREAM.find_hits(self, **options), library)

    def report(self, out: str | os.PathLike[str] | None = None, **options: Any) -> list[Path]:
        """Write the page of pictures and return its path; see `lfmm2.write_report`. A result in memory needs `out`."""
        if out is None and "record" not in self.paths:
            raise UsageError("this result is in memory, so its report has no name; give out='report.html'")
        pages: list[Path] = _REPORT.write_report(self, out, **options)
        return pages

    def _number_of(self, variable: str | int | None) -> int | None:
        """Return the number of a variable that is given by name or number, None for the joint test."""
        if variable is None:
            if len(self.variables) > 1:
                raise UsageError(f"name one of the variables {', '.join(self.variables)}, or 'joint'")
            variable = 0
        if variable == "joint":
            return None
        if isinstance(variable, str):
            if variable not in self.variables:
                raise UsageError(f"{variable!r} is not a variable of this run: {', '.join(self.variables)}, or 'joint'")
            variable = self.variables.index(variable)
        if not 0 <= variable < len(self.variables):
            raise UsageError(f"variable {variable} of {len(self.variables)}; count from 0")
        return variable


class ResultPictures:
    """The functions of `lfmm2.plots`, drawn of one result."""

    def __init__(self, result: AssociationResult) -> None:
        self._result = result

    def __dir__(self) -> list[str]:
        return sorted(_PLOTS.__all__)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _PLOTS.__all__:
            raise AttributeError(f"there is no picture {name!r}; there are {', '.join(sorted(_PLOTS.__all__))}")
        return partial(getattr(_PLOTS, name), self._result)
