"""The options of a run: each stands once, in `TABLE`, and all that is known of it is read from there.

The command line, its help, the checks, the identity of a run, the parameters in the record and ``docs/options.md`` come
from the table. The public functions have signatures of their own, which a test holds equal to it. Importing this module
loads no library: the help of the command line needs it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from lfmm2._choices import (
    ALLELES,
    CALIBRATIONS,
    DEGREES_OF_FREEDOM,
    IMPUTATIONS,
    MISSING,
    SCALES,
    SOLVERS,
    TABLE_FORMATS,
)
from lfmm2.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lfmm2._choices import Allele, Calibration, DegreesOfFreedom, Imputation, Missing, Scale, TableFormat
    from lfmm2._typing import AnyPath, ListedSnps, MissingCode, Paths
    from lfmm2.model import SolverOptions
    from lfmm2.process import Progress

# Kinds of values beside a tuple of words. NAMES are joined by commas where the option is given several times.
PATH, TEXT, NAMES, WHOLE, NUMBER, FLAG = "path", "text", "names", "whole number", "number", "flag"

INPUT, SAMPLES, SNPS, FACTORS, TESTS, OUTPUT, RESOURCES = SECTIONS = (
    "Input", "Samples", "SNPs", "Factors", "Tests", "Output", "Resources",
)  # fmt: skip

# Python functions that have an option
ALL_FUNCTIONS = ("run", "estimate_factors", "test_associations")
OF_FACTORS = ("run", "estimate_factors")
OF_TESTS = ("run", "test_associations")
ONLY_RUN = ("run",)
NO_FUNCTION = ()


@dataclass(frozen=True)
class Range:
    """An interval of numbers; `above` and `below` say that its ends are no part of it."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, Real):
            return False
        number = float(value)
        over = number > self.low if self.above else number >= self.low
        return over and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'from'} {self.low:g}"
        if math.isinf(self.high):
            return low if self.above else f"at least {self.low:g}"
        return f"{low} to {'below ' if self.below else ''}{self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Parameter of the Python functions; in the record without an underscore at its end.
    flags : str
        Of the command line, as "-K, --factors"; empty where it has none.
    kind : str or tuple of str
        One of the kinds above, or the words that the value may be.
    help : str
        A sentence for `--help` and the page of options.
    section : str
        Heading under which it stands there.
    default : object
    range : Range, optional
        Of a number.
    rule : str
        End of the message about a value that is none of the words or outside of the range.
    metavar : str, optional
        What `--help` calls the value.
    required : bool
        Whether the command line must have it.
    repeatable : bool
        Whether it may be given several times, or as a list in Python; else giving it twice is an error.
    functions : tuple of str
        Python functions that have it.
    changes_results : bool
        Whether it is part of the identity of a run. Options that only choose samples, SNPs or variables are not: these
        are compared themselves.
    """

    name: str
    flags: str
    kind: str | tuple[str, ...]
    help: str
    section: str = "Options"
    default: Any = None
    range: Range | None = None
    rule: str = ""
    metavar: str | None = None
    required: bool = False
    repeatable: bool = False
    functions: tuple[str, ...] = ALL_FUNCTIONS
    changes_results: bool = True

    def check(self, value: Any) -> None:
        """Raise UsageError if a value is none of the words or outside of the range."""
        if value is None and self.default is None:
            return
        if isinstance(self.kind, tuple) and value not in self.kind:
            rule = self.rule or f"it is one of {', '.join(self.kind)}"
            raise UsageError(f"{self.name} is {value!r}; {rule}")
        if self.range is not None and value not in self.range:
            raise UsageError(f"{self.name} is {value}; {self.rule or f'it is a number {self.range}'}")


TABLE = (
    Option(
        name="full_bed", flags="--bed", section=INPUT, kind=PATH, required=True, functions=ONLY_RUN,
        help="Genotypes to test: .bed, or its prefix.",
    ),
    Option(
        name="X", flags="--env", section=INPUT, kind=PATH, required=True, repeatable=True,
        help="Table of variables: CSV, TSV or PLINK style; several are joined by sample ID.",
    ),
    Option(
        name="variables", flags="--variables", section=INPUT, kind=NAMES, metavar="NAMES", repeatable=True,
        changes_results=False, help="Columns of --env to use, as temperature,rain; all by default.",
    ),
    Option(
        name="covar", flags="--covar", section=INPUT, kind=PATH, repeatable=True,
        help="Table of nuisance variables: adjusted for, not reported; several are joined by sample ID.",
    ),
    Option(
        name="missing_code", flags="--missing-code", section=INPUT, kind=TEXT, repeatable=True, changes_results=False,
        help="A value of the tables that means missing, such as -9.",
    ),
    Option(
        name="count_allele", flags="--count-allele", section=INPUT, kind=ALLELES, default="a2", functions=OF_TESTS,
        rule="it is 'a2' or 'a1'", help="Allele of the .bim whose copies are counted.",
    ),
    Option(
        name="keep", flags="--keep", section=SAMPLES, kind=PATH, repeatable=True, changes_results=False,
        help="Use only the samples listed, in any of several lists.",
    ),
    Option(
        name="remove", flags="--remove", section=SAMPLES, kind=PATH, repeatable=True, changes_results=False,
        help="Do not use the samples listed, in any of several lists.",
    ),
    Option(
        name="missing", flags="--missing", section=SAMPLES, kind=MISSING, default="error", changes_results=False,
        help="Samples that lack a value: stop, leave them out, or take the variable's mean.",
    ),
    Option(
        name="intersect", flags="--intersect", section=SAMPLES, kind=FLAG, default=False, changes_results=False,
        help="Use the samples that have all variables.",
    ),
    Option(
        name="extract", flags="--extract", section=SNPS, kind=PATH, repeatable=True, functions=OF_TESTS,
        changes_results=False, help="Use only the SNPs listed, in any of several lists.",
    ),
    Option(
        name="exclude", flags="--exclude", section=SNPS, kind=PATH, repeatable=True, functions=OF_TESTS,
        changes_results=False, help="Do not use the SNPs listed, in any of several lists.",
    ),
    Option(
        name="maf", flags="--maf", section=SNPS, kind=NUMBER, range=Range(0, 0.5), functions=OF_TESTS,
        rule="a minor allele frequency lies between 0 and 0.5", help="Drop SNPs with a lower minor allele frequency.",
    ),
    Option(
        name="geno", flags="--geno", section=SNPS, kind=NUMBER, range=Range(0, 1), functions=OF_TESTS,
        rule="a missing rate lies between 0 and 1", help="Drop SNPs with a higher rate of missing calls.",
    ),
    Option(
        name="K", flags="-K, --factors", section=FACTORS, kind=WHOLE, range=Range(1), functions=OF_FACTORS,
        help="Number of latent factors.",
    ),
    Option(
        name="sweep", flags="--sweep", section=FACTORS, kind=TEXT, metavar="KS", functions=OF_TESTS,
        help="Compare numbers of factors, as 1:20 or 2,4,8; without -K the scree chooses.",
    ),
    Option(
        name="lambda_", flags="--lambda", section=FACTORS, kind=NUMBER, default=1e-5, range=Range(0, above=True),
        functions=OF_FACTORS, help="Ridge penalty.",
    ),
    Option(
        name="est_bed", flags="--est-bed", section=FACTORS, kind=PATH, functions=ONLY_RUN,
        help="Estimate the factors from this fileset.",
    ),
    Option(
        name="est_rate", flags="--est-rate", section=FACTORS, kind=NUMBER, range=Range(0, 1, above=True),
        functions=OF_FACTORS, rule="it is a share of the SNPs above 0 and at most 1",
        help="Estimate the factors from a random share of the SNPs.",
    ),
    Option(
        name="est_extract", flags="--est-extract", section=FACTORS, kind=PATH, repeatable=True, functions=OF_FACTORS,
        changes_results=False, help="Estimate the factors from the SNPs listed, in any of several lists.",
    ),
    Option(
        name="est_thin", flags="--est-thin", section=FACTORS, kind=TEXT, metavar="r2=R,window=W", functions=OF_FACTORS,
        help="Estimate the factors from SNPs thinned by linkage, as r2=0.2,window=200 (SNPs; or 500kb).",
    ),
    Option(
        name="solver", flags="--solver", section=FACTORS, kind=SOLVERS, default="auto", functions=OF_FACTORS,
        help="exact: Gram matrix; krylov: iterate to --tol; power: randomised SVD; auto: exact or krylov by cost.",
    ),
    Option(
        name="tol", flags="--tol", section=FACTORS, kind=NUMBER, default=1e-4, functions=OF_FACTORS,
        range=Range(0, 1, above=True, below=True), help="Residual that krylov must reach.",
    ),
    Option(
        name="n_power_iter", flags="--power-iter", section=FACTORS, kind=WHOLE, default=2, range=Range(0),
        functions=OF_FACTORS, help="Power iterations of power.",
    ),
    Option(
        name="oversampling", flags="--oversampling", section=FACTORS, kind=WHOLE, default=10, range=Range(0),
        functions=OF_FACTORS, help="Extra columns of the solvers.",
    ),
    Option(
        name="scale", flags="--scale", section=FACTORS, kind=SCALES, functions=OF_FACTORS, rule="it is None or 'hwe'",
        help="Scale SNPs by 1/sqrt(2f(1-f)) for the factors.",
    ),
    Option(
        name="seed", flags="--seed", section=FACTORS, kind=WHOLE, default=0, range=Range(0), functions=OF_FACTORS,
        help="Of --est-rate, of where krylov and power start, and of the calls held out.",
    ),
    Option(
        name="df", flags="--df", section=TESTS, kind=DEGREES_OF_FREEDOM, default="paper", functions=OF_TESTS,
        rule="it is 'paper' (n - d - K) or 'intercept' (n - 1 - d - K)",
        help="Degrees of freedom: n-d-K, or one less for the mean.",
    ),
    Option(
        name="calibrate", flags="--calibrate", section=TESTS, kind=CALIBRATIONS, default="gif", functions=OF_TESTS,
        help="Null of the tests: widened by the genomic inflation factor, fitted to their centre, or as in theory.",
    ),
    Option(
        name="impute", flags="--impute", section=TESTS, kind=IMPUTATIONS, default="mean", functions=OF_TESTS,
        help="Missing calls of tested SNPs: the SNP's mean, or its fit to the factors.",
    ),
    Option(
        name="out", flags="--out", section=OUTPUT, kind=TEXT, metavar="PREFIX", required=True, functions=OF_TESTS,
        changes_results=False, help="Prefix of the result files.",
    ),
    Option(
        name="format", flags="--format", section=OUTPUT, kind=TABLE_FORMATS, default="parquet", functions=OF_TESTS,
        help="Of the tables.",
    ),
    Option(
        name="loadings", flags="--loadings", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        help="Write the loadings V too.",
    ),
    Option(
        name="overwrite", flags="--overwrite", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        changes_results=False, help="Replace existing result files.",
    ),
    Option(
        name="resume", flags="--resume", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        changes_results=False, help="Go on with an unfinished run of the same command, if there is one.",
    ),
    Option(
        name="report", flags="--report", section=OUTPUT, kind=FLAG, default=False, functions=NO_FUNCTION,
        changes_results=False, help="Write a report with pictures too (needs lfmm2[plot]).",
    ),
    Option(
        name="dry_run", flags="--dry-run", section=OUTPUT, kind=FLAG, default=False, functions=NO_FUNCTION,
        changes_results=False, help="Check all inputs, print the plan, and stop.",
    ),
    Option(
        name="n_threads", flags="--threads", section=RESOURCES, kind=WHOLE, range=Range(1, 1024),
        changes_results=False, help="Threads; all processors by default.",
    ),
    Option(
        name="memory", flags="--memory", section=RESOURCES, kind=TEXT, changes_results=False,
        help="Budget in MiB, or with a unit such as 4GB; half of the free memory by default.",
    ),
    Option(
        name="progress", flags="", section=RESOURCES, kind=FLAG, default=False, changes_results=False,
        help="Show progress on stderr; the command line always does.",
    ),
)  # fmt: skip

OPTIONS: Mapping[str, Option] = {option.name: option for option in TABLE}


def _default(name: str) -> Any:
    return OPTIONS[name].default


def _check(group: Any) -> None:
    """Check the values of a group of options by the table."""
    for item in fields(group):
        OPTIONS[item.name].check(getattr(group, item.name))


@dataclass(frozen=True)
class SampleOptions:
    """Which samples to use, and how to read their variables; see `lfmm2.run`."""

    keep: Paths | None = _default("keep")
    remove: Paths | None = _default("remove")
    missing_code: MissingCode | None = _default("missing_code")
    intersect: bool = _default("intersect")
    missing: Missing = _default("missing")
    variables: str | Sequence[str] | None = _default("variables")

    def __post_init__(self) -> None:
        _check(self)
        if self.intersect and self.missing == "mean":
            fact = "--intersect leaves out samples with missing values, and --missing mean would fill these"
            raise UsageError(f"{fact}; give one of them, and --keep for samples that have rows")


@dataclass(frozen=True)
class SnpOptions:
    """Which SNPs to test and which to estimate from; see `lfmm2.run`."""

    extract: ListedSnps | None = _default("extract")
    exclude: ListedSnps | None = _default("exclude")
    maf: float | None = _default("maf")
    geno: float | None = _default("geno")
    est_rate: float | None = _default("est_rate")
    est_extract: ListedSnps | None = _default("est_extract")
    scale: Scale | None = _default("scale")
    count_allele: Allele = _default("count_allele")
    est_thin: Any = _default("est_thin")

    def __post_init__(self) -> None:
        choices = [name for name in ("est_rate", "est_extract", "est_thin") if getattr(self, name) is not None]
        if len(choices) > 1:
            raise UsageError(f"{' and '.join(choices)} both choose the estimation SNPs; give one of them")
        _check(self)

    @property
    def filters(self) -> bool:
        """Whether SNPs are dropped by what a pass over them counts."""
        return self.maf is not None or self.geno is not None


@dataclass(frozen=True)
class TestOptions:
    """How SNPs are tested and calibrated; see `lfmm2.run`."""

    __test__ = False  # pytest collects classes by this prefix; it is no test

    df: DegreesOfFreedom = _default("df")
    sweep: Any = _default("sweep")
    calibrate: Calibration = _default("calibrate")
    impute: Imputation = _default("impute")
    loadings: bool = _default("loadings")

    def __post_init__(self) -> None:
        _check(self)

    @property
    def ks(self) -> tuple[int, ...]:
        """Numbers of factors of the sweep; none without one."""
        from lfmm2.model import parse_sweep

        return () if self.sweep is None else parse_sweep(self.sweep)


@dataclass(frozen=True)
class OutputOptions:
    """Where results go; see `lfmm2.run`."""

    out: AnyPath | None = _default("out")
    format: TableFormat = _default("format")
    overwrite: bool = _default("overwrite")
    resume: bool = _default("resume")

    def __post_init__(self) -> None:
        _check(self)
        if self.out is not None:
            from lfmm2.files import check_prefix_name

            check_prefix_name(self.out)
        elif self.resume:
            raise UsageError("resume goes on from the state beside the files of out; give out")

    @property
    def prefix(self) -> str | None:
        """`out` as text; None where results stay in memory."""
        return None if self.out is None else os.fspath(self.out)


def _default_solver() -> SolverOptions:
    from lfmm2.model import SolverOptions

    return SolverOptions()


@dataclass(frozen=True)
class RunOptions:
    """Everything but the data; see `lfmm2.run` for the meaning of each."""

    lambda_: float = _default("lambda_")
    seed: int = _default("seed")
    n_threads: int | None = _default("n_threads")
    memory: int | str | None = _default("memory")
    test: TestOptions = field(default_factory=TestOptions)
    solver: SolverOptions = field(default_factory=_default_solver)
    samples: SampleOptions = field(default_factory=SampleOptions)
    snps: SnpOptions = field(default_factory=SnpOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    progress: bool | Progress = _default("progress")
    command: str = "lfmm2.run"
    tests: bool = True

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], command: str, tests: bool = True) -> RunOptions:
        """Gather the options among the arguments of a call, by name.

        Parameters
        ----------
        arguments : mapping of str to object
            Names as in `TABLE`. Options that are absent have their defaults; the data of the run (genotypes, variables,
            numbers of factors) are left to the caller.
        command : str
            What the record names as the command.
        tests : bool
            Whether SNPs are tested, or factors estimated only.
        """
        from lfmm2.model import SolverOptions

        own = {name: arguments[name] for name in ("lambda_", "seed", "n_threads", "memory", "progress")
               if name in arguments}  # fmt: skip
        return cls(
            **own,
            test=_gathered(TestOptions, arguments),
            solver=_gathered(SolverOptions, arguments),
            samples=_gathered(SampleOptions, arguments),
            snps=_gathered(SnpOptions, arguments),
            output=_gathered(OutputOptions, arguments),
            command=command,
            tests=tests,
        )


G = TypeVar("G")


def _gathered(group: type[G], arguments: Mapping[str, Any]) -> G:
    """Make a group of options from the arguments of the same names."""
    return group(**{f.name: arguments[f.name] for f in fields(group) if f.name in arguments})  # type: ignore[arg-type]
