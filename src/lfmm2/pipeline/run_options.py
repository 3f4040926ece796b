"""The options of one run in groups, each taken by the part of the pipeline that needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from lfmm2._checks import check_missing_code, check_population_column, check_progress
from lfmm2._choices import (
    Allele,
    Calibration,
    DecimalMark,
    DegreesOfFreedom,
    DosageField,
    Imputation,
    Missing,
    Scale,
    Side,
    TableFormat,
)
from lfmm2._typing import AnyPath, ListedSnps, MissingCalls, MissingCode, Paths
from lfmm2.errors import UsageError
from lfmm2.files import check_prefix_name
from lfmm2.genotypes import check_ploidy, parse_missing_calls
from lfmm2.model import FEWEST_CARRIERS, SolverOptions, parse_penalties, parse_penalty, parse_sweep
from lfmm2.pipeline.options import OPTIONS, TABLE
from lfmm2.process import Progress

G = TypeVar("G")

# Options that take data, which are checked where they are read; progress may be a flag or a receiver.
DATA = {"full_bed", "est_bed", "X", "covar", "K", "progress"}
DEFAULTS: dict[str, Any] = {option.name: option.default for option in TABLE}


def _check(group: Any) -> None:
    """Check the values of a group of options against `TABLE`."""
    for item in fields(group):
        OPTIONS[item.name].check(getattr(group, item.name))


@dataclass(frozen=True)
class SampleOptions:
    """Options that choose samples and say how to read their variables; see `lfmm2.run`."""

    keep: Paths | None = DEFAULTS["keep"]
    remove: Paths | None = DEFAULTS["remove"]
    missing_code: MissingCode | None = DEFAULTS["missing_code"]
    decimal: DecimalMark = DEFAULTS["decimal"]
    intersect: bool = DEFAULTS["intersect"]
    missing: Missing = DEFAULTS["missing"]
    variables: str | Sequence[str] | None = DEFAULTS["variables"]
    covar_variables: str | Sequence[str] | None = DEFAULTS["covar_variables"]
    env_by: str | None = DEFAULTS["env_by"]
    coords: str | Sequence[str] | None = DEFAULTS["coords"]
    categorical: str | Sequence[str] | None = DEFAULTS["categorical"]
    mind: float | None = DEFAULTS["mind"]
    drop_duplicates: bool = DEFAULTS["drop_duplicates"]

    def __post_init__(self) -> None:
        _check(self)
        if self.env_by is not None:
            check_population_column(self.env_by)
        names = self.coordinate_names
        if names and (len(set(names)) != 2 or len(names) != 2):
            raise UsageError(f"coords are {', '.join(names)}; name two columns, longitude and latitude, as lon,lat")
        if self.intersect and self.missing == "mean":
            fact = "--intersect leaves out samples with missing values, and --missing mean would fill these"
            raise UsageError(f"{fact}; give one of them, and --keep for samples that have rows")
        if self.mind is not None and self.missing == "mean":
            fact = "--mind leaves out samples after --missing mean has taken means with them"
            raise UsageError(f"{fact}; give one of them, and --remove for samples with missing calls")
        if self.drop_duplicates and self.missing == "mean":
            fact = "--drop-duplicates leaves out samples after --missing mean has taken means with them"
            raise UsageError(f"{fact}; give one of them, and --remove for samples that repeat another")

    @property
    def coordinate_names(self) -> list[str]:
        """Return the names of the columns of coordinates; none without `coords`."""
        return split_names(self.coords) or []


def split_names(names: str | Sequence[str] | None) -> list[str] | None:
    """Return the names in a text such as "rain, temperature", or in a sequence."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",")]
    return None if names is None else list(names)


@dataclass(frozen=True)
class SnpOptions:
    """Options that say how to read genotypes, and choose the SNPs to test and to estimate from; see `lfmm2.run`."""

    extract: ListedSnps | None = DEFAULTS["extract"]
    exclude: ListedSnps | None = DEFAULTS["exclude"]
    maf: float | None = DEFAULTS["maf"]
    geno: float | None = DEFAULTS["geno"]
    est_rate: float | None = DEFAULTS["est_rate"]
    est_extract: ListedSnps | None = DEFAULTS["est_extract"]
    scale: Scale | None = DEFAULTS["scale"]
    count_allele: Allele = DEFAULTS["count_allele"]
    est_thin: Any = DEFAULTS["est_thin"]
    k_thin: Any = DEFAULTS["k_thin"]
    ploidy: int | None = DEFAULTS["ploidy"]
    missing_genotype: MissingCalls | None = DEFAULTS["missing_genotype"]
    pfile: AnyPath | None = DEFAULTS["pfile"]
    hard_calls: bool = DEFAULTS["hard_calls"]
    bgen: AnyPath | None = DEFAULTS["bgen"]
    sample: AnyPath | None = DEFAULTS["sample"]
    bed_list: AnyPath | None = DEFAULTS["bed_list"]
    est_bed_list: AnyPath | None = DEFAULTS["est_bed_list"]
    vcf: AnyPath | None = DEFAULTS["vcf"]
    zarr: AnyPath | None = DEFAULTS["zarr"]
    vcf_dosage: DosageField | None = DEFAULTS["vcf_dosage"]
    keep_bed: bool = DEFAULTS["keep_bed"]
    matrix: AnyPath | None = DEFAULTS["matrix"]
    samples_are: Side | None = DEFAULTS["samples_are"]
    features: AnyPath | None = DEFAULTS["features"]
    sample_ids: AnyPath | None = DEFAULTS["sample_ids"]
    layer: str | None = DEFAULTS["layer"]

    def __post_init__(self) -> None:
        choices = [name for name in ("est_rate", "est_extract", "est_thin") if getattr(self, name) is not None]
        if len(choices) > 1:
            raise UsageError(f"{' and '.join(choices)} both choose the estimation SNPs; give one of them")
        check_ploidy(self.ploidy)
        parse_missing_calls(self.missing_genotype)
        _check(self)

    @property
    def filters(self) -> bool:
        """True if a pass over the genotypes drops SNPs, by maf or geno."""
        return self.maf is not None or self.geno is not None


@dataclass(frozen=True)
class TestOptions:
    """Options of the tests and their calibration; see `lfmm2.run`."""

    # pytest would collect this class as tests, because its name begins with Test.
    __test__ = False

    df: DegreesOfFreedom = DEFAULTS["df"]
    sweep: Any = DEFAULTS["sweep"]
    calibrate: Calibration = DEFAULTS["calibrate"]
    min_carriers: float | None = DEFAULTS["min_carriers"]
    spa: bool = DEFAULTS["spa"]
    surrogates: int | str = DEFAULTS["surrogates"]
    impute: Imputation = DEFAULTS["impute"]
    marginal: bool = DEFAULTS["marginal"]
    loadings: bool = DEFAULTS["loadings"]

    def __post_init__(self) -> None:
        _check(self)
        if self.spa and self.fewest_carriers == 0:
            fact = "--spa tests the SNPs below --min-carriers, which is 0"
            raise UsageError(f"{fact}; give --min-carriers 10, or leave out --spa")

    @property
    def fewest_carriers(self) -> float:
        """Effective carriers below which a test is not calibrated."""
        if self.min_carriers is not None:
            return float(self.min_carriers)
        # R's lfmm, which chi2 follows, calibrates every SNP.
        return 0.0 if self.calibrate == "chi2" else FEWEST_CARRIERS

    @property
    def ks(self) -> tuple[int, ...]:
        """Numbers of factors of the sweep; empty without a sweep."""
        return () if self.sweep is None else parse_sweep(self.sweep)


@dataclass(frozen=True)
class OutputOptions:
    """Options of the result files; see `lfmm2.run`."""

    out: AnyPath | None = DEFAULTS["out"]
    format: TableFormat = DEFAULTS["format"]
    overwrite: bool = DEFAULTS["overwrite"]
    resume: bool = DEFAULTS["resume"]

    def __post_init__(self) -> None:
        _check(self)
        if self.out is not None:
            check_prefix_name(self.out)
        elif self.resume:
            raise UsageError("resume goes on from the state beside the files of out; give out")

    @property
    def prefix(self) -> str | None:
        """`out` as text; None if results stay in memory."""
        return None if self.out is None else os.fspath(self.out)


@dataclass(frozen=True)
class RunOptions:
    """All options of a run, which are its arguments without the data; see `lfmm2.run`."""

    lambda_: float | str = DEFAULTS["lambda_"]
    sweep_lambda: Any = DEFAULTS["sweep_lambda"]
    standardize: bool = DEFAULTS["standardize"]
    seed: int = DEFAULTS["seed"]
    n_threads: int | None = DEFAULTS["n_threads"]
    memory: int | str | None = DEFAULTS["memory"]
    workers: int | None = DEFAULTS["workers"]
    executor: Any = DEFAULTS["executor"]
    dask: str | None = DEFAULTS["dask"]
    dask_slurm: str | None = DEFAULTS["dask_slurm"]
    test: TestOptions = field(default_factory=TestOptions)
    solver: SolverOptions = field(default_factory=SolverOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    snps: SnpOptions = field(default_factory=SnpOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    progress: bool | Progress = DEFAULTS["progress"]
    command: str = "lfmm2.run"
    tests: bool = True

    def __post_init__(self) -> None:
        parse_penalty(self.lambda_, 1, self.standardize)
        if self.sweep_lambda is not None:
            parse_penalties(self.sweep_lambda, 1, self.standardize)
        OPTIONS["workers"].check(self.workers)
        given = [name for name in ("workers", "executor", "dask", "dask_slurm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} both say who computes; give one of them")

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], command: str, tests: bool = True) -> RunOptions:
        """Gather the options among the arguments of a call, by name.

        Parameters
        ----------
        arguments : mapping of str to object
            Names as in `TABLE`. Absent options take their defaults. Genotypes, variables and numbers of factors are no
            options, and are ignored.
        command : str
            Command as the record shows it.
        tests : bool
            True if SNPs are tested, False if only the factors are estimated.
        """
        for name in OPTIONS.keys() & arguments.keys() - DATA:
            OPTIONS[name].check_type(arguments[name])
        if "progress" in arguments:
            check_progress(arguments["progress"], or_flag=True)
        check_missing_code(arguments.get("missing_code"))
        own = (
            "lambda_",
            "sweep_lambda",
            "standardize",
            "seed",
            "n_threads",
            "memory",
            "workers",
            "executor",
            "dask",
            "dask_slurm",
            "progress",
        )
        return cls(
            **{name: arguments[name] for name in own if name in arguments},
            test=_make_group(TestOptions, arguments),
            solver=_make_group(SolverOptions, arguments),
            samples=_make_group(SampleOptions, arguments),
            snps=_make_group(SnpOptions, arguments),
            output=_make_group(OutputOptions, arguments),
            command=command,
            tests=tests,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the options of all groups by name, as the record shows them."""
        groups = (self.test, self.solver, self.samples, self.snps, self.output)
        values = {item.name: getattr(group, item.name) for group in groups for item in fields(group)}
        return {name: OPTIONS[name].plain(value) if name in OPTIONS else value for name, value in values.items()}


def _make_group(group: type[G], arguments: Mapping[str, Any]) -> G:
    """Make a group of options from the arguments of the same names."""
    return group(**{f.name: arguments[f.name] for f in fields(group) if f.name in arguments})  # type: ignore[arg-type]
