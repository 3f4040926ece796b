"""What a run is made of, read and checked before any pass: samples, variables, SNPs, matrices, and the plan."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2._typing import Ints
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.genotypes import (
    BedFile,
    Engine,
    Genotypes,
    GenotypeSource,
    Matrix,
    ThinOptions,
    estimation_matrix,
    open_genotypes,
    parse_thinning,
    samples_of,
    tested_matrix,
)
from lfmm2.model import LatentFactors, RidgeGeometry, SolverOptions, degrees_of_freedom, parse_sweep, ridge_geometry
from lfmm2.pipeline.identity import make_identity
from lfmm2.pipeline.inputs import (
    AlignedVariables,
    SampleOptions,
    align_variables,
    check_factor_number,
    check_readable,
    check_size,
    match_samples,
)
from lfmm2.pipeline.result_files import OutputOptions
from lfmm2.pipeline.snps import SnpOptions, check_snp_options, listed_snps, select_snps
from lfmm2.process import Progress, parse_memory, resolve_threads, single_threaded_blas, software, terminal_progress
from lfmm2.statistics import check_method

# What changes no result, or does so through variables, samples and SNPs, which are compared themselves
_NO_PART_OF_IDENTITY = {
    "memory", "n_threads", "out", "overwrite", "resume", "keep", "remove", "missing", "missing_code", "intersect",
    "extract", "exclude", "est_extract", "variables",
}  # fmt: skip
IMPUTATIONS = ("mean", "factors")


@dataclass(frozen=True)
class TestOptions:
    """How SNPs are tested and calibrated; see `lfmm2.run`."""

    df: str = "paper"
    sweep: Any = None
    calibrate: str = "gif"
    impute: str = "mean"
    loadings: bool = False

    def __post_init__(self) -> None:
        check_method(self.calibrate)
        if self.impute not in IMPUTATIONS:
            raise UsageError(f"impute is {self.impute!r}; it is one of {', '.join(IMPUTATIONS)}")

    @property
    def ks(self) -> tuple[int, ...]:
        """Numbers of factors of the sweep; none without one."""
        return () if self.sweep is None else parse_sweep(self.sweep)


# pytest collects classes by this prefix; it is no test
TestOptions.__test__ = False  # type: ignore[attr-defined]


@dataclass(frozen=True)
class RunOptions:
    """Everything but the data; see `lfmm2.run` for the meaning of each."""

    lambda_: float = 1e-5
    seed: int = 0
    n_threads: int | None = None
    memory: int | str | None = None
    test: TestOptions = field(default_factory=TestOptions)
    solver: SolverOptions = field(default_factory=SolverOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    snps: SnpOptions = field(default_factory=SnpOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    progress: bool | Progress = False
    command: str = "lfmm2.run"
    tests: bool = True


@dataclass(frozen=True)
class FactorNumbers:
    """How many factors a run estimates and tests with.

    Attributes
    ----------
    K : int or None
        The number that is reported in full; None leaves it to the scree, in a sweep.
    ks : tuple of int
        Numbers of factors of the sweep, with K among them; none without a sweep.
    n_factors : int
        How many are estimated: the largest of all.
    given : LatentFactors or None
        Factors that were estimated before.
    """

    K: int | None
    ks: tuple[int, ...]
    n_factors: int
    given: LatentFactors | None = None

    def describe(self) -> str:
        """Return the numbers in words, for the plan."""
        factors = "K as the scree suggests" if self.K is None else f"K = {self.K}"
        return f"{factors}, sweep over {join_numbers(self.ks)}" if self.ks else factors


def choose_factor_numbers(K: int | LatentFactors | None, ks: tuple[int, ...]) -> FactorNumbers:
    """Combine K, or factors given in its place, with the numbers of a sweep."""
    if K is None:
        if not ks or max(ks) < 1:
            raise UsageError("K is not given; give it, or a sweep over several numbers of factors")
        return FactorNumbers(None, ks, max(ks))
    if isinstance(K, LatentFactors):
        if ks and max(ks) > K.n_factors:
            raise UsageError(f"sweep goes up to {max(ks)}, but {K.n_factors} factors are given")
        given, number = K, K.n_factors
    else:
        given, number = None, check_factor_number(K)
    # the sweep shows the number of the tables among the others
    ks = tuple(sorted({*ks, number})) if ks else ()
    return FactorNumbers(number, ks, max(number, *ks) if ks else number, given)


@dataclass(frozen=True)
class RunInputs:
    """What one run is made from, read and checked before any pass over the genotypes.

    Attributes
    ----------
    options : RunOptions
    numbers : FactorNumbers
        Factors that are given are those of the samples in use, in their order.
    thin : ThinOptions or None
    tested_source, estimation_source : BedFile or ndarray
        Genotypes to test, and genotypes to estimate the factors from; often the same.
    variables : AlignedVariables
    ridge : RidgeGeometry
    estimation_rows : ndarray of int64
        Rows of the estimation set that hold the samples in use.
    listed : ndarray of int64 or None
        SNPs to test that ``extract`` and ``exclude`` leave; None for all.
    est_listed : ndarray of int64 or None
        SNPs that ``est_extract`` names.
    tables : list of Path
        Files that were read beside the genotypes.
    memory : int
        Budget in bytes.
    n_threads : int
    opened : tuple of BedFile
        Filesets that were opened for this run, to be closed with it.
    """

    options: RunOptions
    numbers: FactorNumbers
    thin: ThinOptions | None
    tested_source: Genotypes
    estimation_source: Genotypes
    variables: AlignedVariables
    ridge: RidgeGeometry
    estimation_rows: Ints
    listed: Ints | None
    est_listed: Ints | None
    tables: list[Path]
    memory: int
    n_threads: int
    opened: tuple[BedFile, ...]

    def make_engine(self) -> Engine:
        """Return an engine with the whole budget and an empty record of passes."""
        return Engine(self.n_threads, self.memory, _progress(self.options.progress))

    def tested_matrix(self, snps: Ints | None, engine: Engine) -> Matrix:
        """Return the matrix of the SNPs to test."""
        count_allele = self.options.snps.count_allele
        return tested_matrix(self.tested_source, engine, self.variables.rows, snps, count_allele)

    def estimation_matrix(self, snps: Ints | None, engine: Engine) -> Matrix:
        """Return the matrix of the SNPs to estimate the factors from."""
        return estimation_matrix(self.estimation_source, engine, self.estimation_rows, snps, self.options.snps.scale)

    @property
    def counts_a1(self) -> bool:
        """True if dosages are copies of A1 of the .bim."""
        return isinstance(self.tested_source, BedFile) and self.options.snps.count_allele == "a1"

    def input_paths(self) -> list[Path]:
        """Return every file that this run reads, each once."""
        sources = (self.tested_source, self.estimation_source)
        filesets = [p for s in sources if isinstance(s, BedFile) for p in (s.path, s.bim_path, s.fam_path)]
        return list(dict.fromkeys(filesets + self.tables))

    def identity(self) -> dict[str, Any]:
        """Return what an unfinished run must share with this one to be resumed by it."""
        parameters = {name: value for name, value in self.parameters().items() if name not in _NO_PART_OF_IDENTITY}
        versions = {name: value for name, value in software().items() if name not in ("python", "openmp", "system")}
        return make_identity(
            parameters, versions, self.variables, self.tested_source, self.listed, self.estimation_source,
            self.est_listed, self.numbers.given,
        )  # fmt: skip

    def parameters(self) -> dict[str, Any]:
        """Return everything that was asked for, as JSON takes it."""
        options, numbers = self.options, self.numbers
        thin = None if self.thin is None else f"r2={self.thin.r2!r},window={self.thin.window_text}"
        return {
            "K": numbers.K, "lambda": self.ridge.lambda_, "seed": options.seed,
            "memory": self.memory, "n_threads": self.n_threads,
            **{
                item.name: _plain(getattr(part, item.name))
                for part in (options.test, options.solver, options.samples, options.snps, options.output)
                for item in fields(part)
            },
            "sweep": join_numbers(numbers.ks) if numbers.ks else None,
            "est_thin": thin,
        }  # fmt: skip

    def close(self) -> None:
        """Close the filesets that were opened for this run."""
        for bed in self.opened:
            bed.close()


def read_inputs(
    est_bed: GenotypeSource | None,
    full_bed: GenotypeSource,
    X: Any,
    K: int | LatentFactors | None,
    options: RunOptions,
    covar: Any = None,
) -> RunInputs:
    """Read and check all inputs of a run but the genotypes themselves.

    Parameters
    ----------
    est_bed : path, BedFile, ndarray or None
        Genotypes to estimate factors from; those of `full_bed` by default.
    full_bed : path, BedFile or ndarray
        Genotypes to test.
    X : variables
    K : int, None or LatentFactors
        How many factors to test with, or factors given; None leaves it to the scree, in a sweep.
    options : RunOptions
    covar : nuisance variables, optional
    """
    numbers = choose_factor_numbers(K, options.test.ks)
    check_snp_options(options.snps)
    thin = options.snps.est_thin
    thin = thin if thin is None or isinstance(thin, ThinOptions) else parse_thinning(thin)
    memory, n_threads = parse_memory(options.memory), resolve_threads(options.n_threads)
    tables = check_readable(_tables(X, covar, options))
    opened: list[BedFile] = []
    try:
        # what is told by samples alone comes before what needs the lists of SNPs
        tested = _open(full_bed, opened)
        estimation = tested if est_bed is None else _open(est_bed, opened)
        if thin is not None and numbers.given is not None:
            raise UsageError("est_thin chooses SNPs to estimate factors from, but factors are given; leave it out")
        if thin is not None and not isinstance(estimation, BedFile):
            raise UsageError("est_thin applies to a .bed; thin the array before it is given")
        variables, numbers, ridge = _align(tested, X, covar, numbers, options)
        estimation_rows = variables.rows
        if est_bed is not None:
            name = str(os.fspath(est_bed)) if isinstance(est_bed, str | os.PathLike) else "the estimation set"
            estimation_rows = match_samples(variables, estimation, name)
        listed, est_listed = select_snps(tested, options.snps), None
        if options.snps.est_extract is not None:
            est_listed = listed_snps(estimation, options.snps.est_extract, "--est-extract")
    except BaseException:
        for bed in opened:
            bed.close()
        raise
    return RunInputs(
        options, numbers, thin, tested, estimation, variables, ridge, estimation_rows, listed, est_listed, tables,
        memory, n_threads, tuple(opened),
    )  # fmt: skip


def _open(source: GenotypeSource, opened: list[BedFile]) -> Genotypes:
    """Open genotypes; what is opened here is added to `opened`."""
    genotypes = open_genotypes(source)
    if isinstance(genotypes, BedFile) and genotypes is not source:
        opened.append(genotypes)
    return genotypes


def _align(
    source: Genotypes, X: Any, covar: Any, numbers: FactorNumbers, options: RunOptions
) -> tuple[AlignedVariables, FactorNumbers, RidgeGeometry]:
    """Match variables, and factors that are given, to the samples in use, and check the size of the problem."""
    variables = align_variables(samples_of(source), X, covar, options.samples)
    variables = replace(variables, has_ids=isinstance(source, BedFile))
    n, n_all = variables.values.shape
    check_size(n, n_all, numbers.n_factors)
    degrees_of_freedom(n, n_all, numbers.n_factors, options.test.df)
    lambda_ = options.lambda_
    if numbers.given is not None:
        given = _for_samples(numbers.given, variables)
        numbers, lambda_ = replace(numbers, given=given), given.lambda_
    with single_threaded_blas():
        return variables, numbers, ridge_geometry(variables.values, lambda_)


def join_numbers(ks: tuple[int, ...]) -> str:
    """Write numbers as `parse_sweep` reads them."""
    if len(ks) > 1 and ks == tuple(range(ks[0], ks[-1] + 1)):
        return f"{ks[0]}:{ks[-1]}"
    return ",".join(map(str, ks))


def _tables(X: Any, covar: Any, options: RunOptions) -> dict[str, Any]:
    """Inputs beside the genotypes, of which some are paths."""
    samples, snps = options.samples, options.snps
    return {
        "env": X, "covar": covar, "keep": samples.keep, "remove": samples.remove, "extract": snps.extract,
        "exclude": snps.exclude, "est_extract": snps.est_extract,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A parameter as JSON takes it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return f"{len(value)} IDs" if isinstance(value, Collection) else str(value)


def _progress(progress: bool | Progress) -> Progress:
    if isinstance(progress, Progress):
        return progress
    return terminal_progress() if progress else Progress()


def _for_samples(factors: LatentFactors, variables: AlignedVariables) -> LatentFactors:
    """Factors on the samples in use: they must be the same samples, in any order."""
    ours, theirs = variables.iids, factors.sample_ids
    shapes = {np.shape(array) for array in (factors.U, factors.loadings_map)}
    if len(shapes) > 1 or not all(np.isfinite(array).all() for array in (factors.U, factors.loadings_map)):
        raise UsageError("the factors are damaged: U and loadings_map must be finite and of one shape")
    if not theirs or theirs == ours:
        if len(factors.U) != len(ours):
            raise InconsistentInputError(
                f"the factors have {len(factors.U)} samples, but {len(ours)} are in use; estimate them on these samples"
            )
        return factors
    where = {iid: row for row, iid in enumerate(theirs)}
    if set(where) != set(ours) or len(theirs) != len(ours):
        raise InconsistentInputError(
            f"the factors are of {len(theirs)} samples, of which {len(set(where) & set(ours))} are among "
            f"the {len(ours)} in use; factors and tests need the same samples"
        )
    if len(where) < len(theirs):
        raise InconsistentInputError(
            "the factors are of the same IIDs in another order, but some IIDs stand for several samples; "
            "estimate the factors on this fileset, or rename these samples"
        )
    order = [where[iid] for iid in ours]
    spectrum = factors.spectrum
    if spectrum is not None:
        vectors = spectrum.vectors[order] if len(spectrum.vectors) else spectrum.vectors
        totals, weights = spectrum.sample_totals[order], spectrum.sample_weights[order]
        spectrum = replace(spectrum, sample_totals=totals, sample_weights=weights, vectors=vectors)
    loadings_map = factors.loadings_map[order]
    return replace(factors, U=factors.U[order], loadings_map=loadings_map, sample_ids=ours, spectrum=spectrum)
