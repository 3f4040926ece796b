"""The inputs of a run, read and checked before any pass over the genotypes: samples, variables and lists of SNPs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from lfmm2._typing import Ints
from lfmm2.distributed import Crew
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError
from lfmm2.files import InputMemory, Populations
from lfmm2.formats import ENDINGS, MatrixFile, is_store, name_kind
from lfmm2.genotypes import (
    ENDING_OF_OPTION,
    Engine,
    GenotypeMatrix,
    GenotypesLike,
    GenotypeSource,
    PackedMatrix,
    ThinOptions,
    endings_of,
    has_positions,
    is_in_memory,
    names_filesets,
    open_source,
    parse_thinning,
    refuse,
)
from lfmm2.model import LatentFactors, RidgeGeometry, degrees_of_freedom, parse_penalties, ridge_geometry
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.collinearity import describe_collinearity, warn_of_collinearity
from lfmm2.pipeline.converted_genotypes import ConvertedGenotypes, convert_genotypes, told_on_error
from lfmm2.pipeline.identity import make_identity
from lfmm2.pipeline.inputs import (
    AlignedVariables,
    align_variables,
    check_factor_number,
    check_readable,
    check_size,
    match_samples,
    refuse_transposed,
)
from lfmm2.pipeline.live_log import LiveLog, LoggedProgress
from lfmm2.pipeline.matrix_genotypes import read_matrix, warn_of_variables
from lfmm2.pipeline.options import TABLE
from lfmm2.pipeline.run_crew import Resources, check_sources, share_resources, shared_matrix
from lfmm2.pipeline.run_options import RunOptions, SnpOptions
from lfmm2.pipeline.sample_comparison import SampleComparison
from lfmm2.pipeline.snps import listed_snps, select_snps
from lfmm2.pipeline.ways_in import choose_sources
from lfmm2.process import (
    Progress,
    check_threads,
    parse_memory,
    single_threaded_blas,
    software,
    terminal_progress,
)
from lfmm2.results import SampleFilterFacts

# Checkpoints without files, in which no other process can write.
_NO_CHECKPOINTS = Checkpoints()


@dataclass(frozen=True)
class FactorNumbers:
    """The numbers of factors that a run estimates and tests with.

    Attributes
    ----------
    K : int or None
        Number of factors of the result tables; None if the scree chooses it from those of the sweep.
    ks : tuple of int
        Numbers of factors of the sweep, ascending, with K among them; empty without a sweep.
    n_factors : int
        Number of factors to estimate: the largest of all.
    given : LatentFactors or None
        Factors that were estimated before.
    """

    K: int | None
    ks: tuple[int, ...]
    n_factors: int
    given: LatentFactors | None = None

    def describe(self) -> str:
        """Return K and the sweep in words, for the plan."""
        factors = "K as the scree suggests" if self.K is None else f"K = {self.K}"
        return f"{factors}, sweep over {join_numbers(self.ks)}" if self.ks else factors


def choose_factor_numbers(
    K: int | LatentFactors | None, ks: tuple[int, ...], compares_penalties: bool = False
) -> FactorNumbers:
    """Combine K, or factors given in its place, with the numbers of a sweep.

    Where penalties are compared without a sweep over numbers of factors, the sweep is over K alone.

    Raises
    ------
    UsageError
        If K is no whole number of at least 1; if there is neither K nor a sweep above 0; if the sweep goes beyond the
        factors that are given, or compares penalties although factors of one are given.
    """
    if K is None:
        if not ks or max(ks) < 1:
            raise UsageError("K is not given; give it, or a sweep over several numbers of factors")
        return FactorNumbers(None, ks, max(ks))
    if isinstance(K, LatentFactors):
        if ks and max(ks) > K.n_factors:
            raise UsageError(f"sweep goes up to {max(ks)}, but {K.n_factors} factors are given")
        if compares_penalties:
            raise UsageError("sweep_lambda compares factors of several penalties, but factors are given; leave it out")
        given, number = K, K.n_factors
    else:
        given, number = None, check_factor_number(K)
    # The sweep compares K, the number of factors of the tables, with the others.
    ks = tuple(sorted({*ks, number})) if ks or compares_penalties else ()
    return FactorNumbers(number, ks, max(number, *ks) if ks else number, given)


@dataclass(frozen=True)
class RunInputs:
    """The inputs of one run, read and checked before any pass over the genotypes.

    Attributes
    ----------
    options : RunOptions
    numbers : FactorNumbers
        Factors that are given have their rows in the order of the samples in use.
    thin : ThinOptions or None
        Thinning of the estimation set by linkage; None without.
    k_thin : ThinOptions or None
        Thinning of the SNPs from which K is suggested; None without a sweep, or where it cannot be done.
    tested_source, estimation_source : GenotypeSource
        Genotypes to test, and genotypes to estimate the factors from; often the same.
    variables : AlignedVariables
    ridge : RidgeGeometry
    estimation_rows : ndarray of shape (n_samples,), int64
        Row of the estimation set that holds each sample in use.
    listed : ndarray of int64 or None
        Ascending positions of the SNPs that ``extract`` and ``exclude`` leave to test; None for all.
    est_listed : ndarray of int64 or None
        Ascending positions of the SNPs that ``est_extract`` names; None without it.
    tables : list of Path
        Files that were read beside the genotypes.
    memory : int
        Budget in bytes.
    n_threads : int
    input_bytes : int
        Bytes of memory that the largest table or list took while it was read.
    opened : tuple of GenotypeSource
        Sources that were opened for this run, and that `close` closes.
    sample_filter : SampleFilterFacts or None
        Samples that `mind` has left out; None before that pass, or without one.
    comparison : SampleComparison or None
        Samples that repeat others, and relatives; None before that pass, or without one.
    converted : ConvertedGenotypes or None
        The fileset that the file of --vcf or --zarr was converted to; None without it.
    matrix : MatrixFile or None
        The file of --matrix; None without it.
    crew : Crew or None
        Workers that share the passes; None if all is done in this process.
    """

    options: RunOptions
    numbers: FactorNumbers
    thin: ThinOptions | None
    k_thin: ThinOptions | None
    tested_source: GenotypeSource
    estimation_source: GenotypeSource
    variables: AlignedVariables
    ridge: RidgeGeometry
    estimation_rows: Ints
    listed: Ints | None
    est_listed: Ints | None
    tables: list[Path]
    memory: int
    n_threads: int
    input_bytes: int
    opened: tuple[GenotypeSource, ...]
    sample_filter: SampleFilterFacts | None = None
    comparison: SampleComparison | None = None
    converted: ConvertedGenotypes | None = None
    matrix: MatrixFile | None = None
    crew: Crew | None = None

    @property
    def to_count(self) -> bool:
        """True while the pass that counts missing calls, to leave out samples by `mind`, is still to come."""
        return self.options.samples.mind is not None and self.sample_filter is None

    @property
    def n_repeated(self) -> int:
        """Number of samples in use that repeat the genotype of another."""
        return 0 if self.comparison is None else self.comparison.facts.n_in_use

    @property
    def n_environments(self) -> int:
        """Number of different rows among the values of the variables."""
        return len(np.unique(self.variables.values[:, : len(self.variables.names)], axis=0))

    def make_engine(self) -> Engine:
        """Return an engine with the whole budget and an empty record of passes."""
        return Engine(self.n_threads, self.memory, self._progress())

    def _progress(self) -> Progress:
        """Return the receiver of progress, which is told what the columns are called."""
        progress = _choose_progress(self.options.progress)
        progress.noun = self.tested_source.noun
        return progress

    def tested_matrix(
        self, snps: Ints | None, engine: Engine, shared_by: Checkpoints = _NO_CHECKPOINTS
    ) -> GenotypeMatrix:
        """Return the matrix of the SNPs to test; workers, if there are some, share passes with files of checkpoints."""
        count_allele = self.options.snps.count_allele
        return shared_matrix(
            self.crew, shared_by, self.tested_source, engine, self.variables.rows, snps, count_allele=count_allele
        )

    def estimation_matrix(
        self, snps: Ints | None, engine: Engine, shared_by: Checkpoints = _NO_CHECKPOINTS
    ) -> GenotypeMatrix:
        """Return the matrix of the SNPs to estimate the factors from, as `tested_matrix`."""
        return shared_matrix(
            self.crew, shared_by, self.estimation_source, engine, self.estimation_rows, snps,
            scale=self.options.snps.scale,
        )  # fmt: skip

    @property
    def counts_a1(self) -> bool:
        """True if dosages are copies of A1 of the .bim."""
        return self.options.snps.count_allele == "a1"

    def input_paths(self) -> list[Path]:
        """Return every file that this run reads, each once."""
        return list(dict.fromkeys([*self.tested_source.paths, *self.estimation_source.paths, *self.tables]))

    def check_unchanged(self) -> None:
        """Raise ChangedInputError, or ReadError, if a file of the genotypes has changed since it was opened."""
        for source in (self.tested_source, self.estimation_source):
            for stamp in source.stamps:
                stamp.check()

    def identity(self) -> dict[str, Any]:
        """Return what an unfinished run must share with this one to be resumed by it."""
        others = {option.name for option in TABLE if not option.changes_results}
        parameters = {name: value for name, value in self.parameters().items() if name not in others}
        versions = {name: value for name, value in software().items() if name not in ("python", "openmp", "system")}
        return make_identity(
            parameters, versions, self.variables, self.tested_source, self.listed, self.estimation_source,
            self.est_listed, self.numbers.given,
        )  # fmt: skip

    def parameters(self) -> dict[str, Any]:
        """Return all options by name, in terms of JSON."""
        options, numbers = self.options, self.numbers
        compared = options.sweep_lambda
        if compared is not None:
            penalties = parse_penalties(compared, len(self.variables.rows), options.standardize)
            compared = ",".join(penalty.text for penalty in penalties)
        return {
            "K": numbers.K, "lambda": self.ridge.lambda_, "sweep_lambda": compared,
            "standardize": self.ridge.standardized, "seed": options.seed, "memory": self.memory,
            "n_threads": self.n_threads,
            **options.parameters(),
            "sweep": join_numbers(numbers.ks) if numbers.ks else None,
            "est_thin": None if self.thin is None else self.thin.text,
            "k_thin": None if self.k_thin is None else self.k_thin.text,
        }  # fmt: skip

    def with_log(self, log: LiveLog) -> RunInputs:
        """Return these inputs with progress that is written to a log too."""
        progress = LoggedProgress(self._progress(), log)
        return replace(self, options=replace(self.options, progress=progress))

    def close(self) -> None:
        """Close the sources that were opened for this run, and end the workers that were started."""
        for source in self.opened:
            source.close()
        if self.crew is not None:
            self.crew.close()


def read_inputs(
    est_bed: GenotypesLike | None,
    full_bed: GenotypesLike | None,
    X: Any,
    K: int | LatentFactors | None,
    options: RunOptions,
    covar: Any = None,
) -> RunInputs:
    """Read and check all inputs of a run but the genotypes themselves.

    Parameters
    ----------
    est_bed : path, GenotypeSource, a list of these, array-like or None
        Genotypes to estimate factors from; those of `full_bed` if None, unless `options` has a list of filesets.
    full_bed : path, GenotypeSource, a list of these, array-like or None
        Genotypes to test; None if `options` has a file to convert, or a list of filesets.
    X : table, array, path, or a list of these
        Variables, as `lfmm2.run` takes them.
    K : int, None or LatentFactors
        Number of factors to test with, or the factors themselves; with None the scree chooses from those of a sweep.
    options : RunOptions
    covar : as X, optional
        Nuisance variables.

    Returns
    -------
    RunInputs
        To be closed by the caller.

    Raises
    ------
    UsageError, DegenerateProblemError, InconsistentInputError, MalformedInputError, ReadError
        If an input cannot be used. All that was opened is closed again.
    WorkerError
        If the scheduler of the workers is not reached.
    """
    numbers = choose_factor_numbers(K, options.test.ks, options.sweep_lambda is not None)
    thin = options.snps.est_thin
    thin = thin if thin is None or isinstance(thin, ThinOptions) else parse_thinning(thin)
    given = options.snps.k_thin
    k_thin = None if isinstance(given, str) and given == "off" else parse_thinning(given, "k_thin")
    resources = share_resources(options, parse_memory(options.memory))
    try:
        return _read_inputs(est_bed, full_bed, X, options, covar, resources, numbers, thin, k_thin)
    except BaseException:
        if resources.crew is not None:
            resources.crew.close()
        raise


def _read_inputs(
    est_bed: GenotypesLike | None,
    full_bed: GenotypesLike | None,
    X: Any,
    options: RunOptions,
    covar: Any,
    resources: Resources,
    numbers: FactorNumbers,
    thin: ThinOptions | None,
    k_thin: ThinOptions | None,
) -> RunInputs:
    """Read and check all inputs of a run, whose arguments are understood, with these resources."""
    memory, n_threads = resources.memory, resources.n_threads
    check_threads(n_threads)
    tables = check_readable(X, covar, options)
    est_bed, full_bed = choose_sources(est_bed, full_bed, options.snps, tables)
    converted = None
    if options.snps.vcf is not None or options.snps.zarr is not None:
        converted = convert_genotypes(options, _choose_progress(options.progress))
        full_bed = converted.conversion.bed
        tables.append(converted.conversion.source)
    # None is refused by its type, as any other object is that holds no genotypes.
    given = cast("GenotypesLike", full_bed)
    input_memory = InputMemory(memory)
    opened: list[GenotypeSource] = []
    with input_memory.watched(), _closed_on_error(opened), told_on_error(converted):
        # Samples are checked before lists of SNPs, because a long .bim takes the longest to read.
        matrix = None
        if options.snps.matrix is not None:
            matrix = read_matrix(X, covar, options, _choose_progress(options.progress))
            given = matrix.source
            opened.append(given)
        _check_array_options(est_bed, given, options.snps)
        tested = _open_genotypes(given, opened, options)
        _check_saddlepoint(tested, options.test.spa)
        estimation = tested if est_bed is None else _open_genotypes(est_bed, opened, options)
        check_sources(resources.crew, tested, estimation)
        refuse_transposed(tested, X)
        if thin is not None and numbers.given is not None:
            raise UsageError("est_thin chooses SNPs to estimate factors from, but factors are given; leave it out")
        if thin is not None:
            refuse(estimation, "est_thin")
        variables, numbers, ridge = _align_to_samples(tested, X, covar, numbers, options)
        if matrix is not None:
            warn_of_variables(matrix, variables.names + variables.nuisance_names)
        estimation_rows = variables.rows
        if est_bed is not None:
            name = str(os.fspath(est_bed)) if isinstance(est_bed, str | os.PathLike) else "the estimation set"
            name = estimation.name if names_filesets(est_bed) else name
            estimation_rows = match_samples(variables, estimation, name)
        listed, est_listed = select_snps(tested, options.snps), None
        if options.snps.est_extract is not None:
            est_listed = listed_snps(estimation, options.snps.est_extract, "--est-extract")
        # SNPs that --est-thin has thinned are not thinned a second time, and given factors have their eigenvalues.
        is_wanted = bool(numbers.ks) and thin is None and numbers.given is None
        if not (is_wanted and _can_be_thinned(estimation, estimation_rows)):
            k_thin = None
    return RunInputs(
        options, numbers, thin, k_thin, tested, estimation, variables, ridge, estimation_rows, listed, est_listed,
        tables, memory, n_threads, input_memory.peak, tuple(opened), converted=converted, matrix=matrix,
        crew=resources.crew,
    )  # fmt: skip


def _can_be_thinned(source: GenotypeSource, rows: Ints) -> bool:
    """Return True if the source has hard calls of SNPs with positions."""
    if source.refusal("est_thin") or not has_positions(source):
        return False
    return isinstance(source.matrix(Engine(1, 0), rows, None), PackedMatrix)


def _check_array_options(est_bed: GenotypesLike | None, full_bed: GenotypesLike, options: SnpOptions) -> None:
    """Raise UsageError if options are given that describe an array, or a kind of file, but no genotypes are one."""
    endings = {end for genotypes in (est_bed, full_bed) if genotypes is not None for end in endings_of(genotypes)}
    for option, ending in ENDING_OF_OPTION.items():
        if getattr(options, option) and ending not in endings:
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{flag} tells how to read a {ending}, and none is given; leave it out, or give one")
    if any(is_in_memory(genotypes) for genotypes in (est_bed, full_bed) if genotypes is not None):
        return
    if options.matrix is not None:
        return
    if given := [name for name in ("ploidy", "missing_genotype") if getattr(options, name) is not None]:
        fact = f"{' and '.join(given)} tell how to read an array of genotypes, and none is given"
        rest = "a .bed has diploid calls and a code of its own for missing ones, and lfmm2.named_array takes both"
        raise UsageError(f"{fact}; leave out, {rest}")


def _check_saddlepoint(source: GenotypeSource, spa: bool) -> None:
    """Raise UsageError if --spa is given for genotypes that are not known to be dosages of diploids."""
    if spa and source.ploidy != 2:
        known = "not known" if source.ploidy is None else str(source.ploidy)
        fact = f"--spa needs the calls of diploids, and the ploidy of these genotypes is {known}"
        raise UsageError(f"{fact}; leave it out, or give ploidy=2 if they are")


@contextmanager
def _closed_on_error(opened: list[GenotypeSource]) -> Iterator[None]:
    """Close the sources that are opened in the block if it ends with an error."""
    try:
        yield
    except BaseException:
        for source in opened:
            source.close()
        raise


def _open_genotypes(genotypes: GenotypesLike, opened: list[GenotypeSource], options: RunOptions) -> GenotypeSource:
    """Open genotypes, and add the source to `opened` unless it was open before."""
    snps = options.snps
    try:
        source = open_source(
            genotypes, ploidy=snps.ploidy, missing_genotype=snps.missing_genotype, intersect=options.samples.intersect,
            **{option: getattr(snps, option) for option in ENDING_OF_OPTION},
        )  # fmt: skip
    except (MalformedInputError, ReadError) as error:
        given = genotypes if isinstance(genotypes, list | tuple) else [genotypes]
        for path in (Path(item) for item in given if isinstance(item, str | os.PathLike)):
            # The error of a sound fileset among several is that of another one.
            if sentence := _name_foreign(path):
                raise MalformedInputError(sentence) from error
        raise
    if source is not genotypes:
        opened.append(source)
    return source


def _name_foreign(path: Path) -> str:
    """Return a sentence on a file of a foreign format that is given as a .bed; empty if it is none.

    The file may also be named without the end of its name, as a .bed may.
    """
    named = path
    if os.path.exists(path) and is_store(path):  # noqa: PTH110
        fact = f"{path}: is a VCF Zarr; give it with --zarr {path}"
        return f"{fact}, or make a .bed with lfmm2 convert {path} --out NAME"
    if not os.path.exists(path) and not os.path.exists(f"{path}.bed"):  # noqa: PTH110, a name too long is no error here
        if os.path.exists(f"{path}.pgen"):  # noqa: PTH110
            return f"{path}: there is no {path}.bed, but {path}.pgen; give it with --pfile {path}"
        named = next((Path(f"{path}{end}") for end in ENDINGS if os.path.exists(f"{path}{end}")), path)  # noqa: PTH110
    if not (kind := name_kind(named)):
        return ""
    others = {
        "a VCF": ", or with plink2 --vcf … --make-bed",
        "a BCF": ", or with plink2 --bcf … --make-bed",
        "a .npy of NumPy": "; or give the array to lfmm2.run in Python",
        "a .ped of PLINK": "; or convert it with plink --file … --make-bed",
    }
    fact = f"{named}: is {kind}" if named == path else f"{path}: there is no {path}.bed, and {named} is {kind}"
    made = f"make a .bed with lfmm2 convert {named} --out NAME{others.get(kind, '')}"
    return f"{fact}; give it with --vcf {named}, or {made}"


def _align_to_samples(
    source: GenotypeSource, X: Any, covar: Any, numbers: FactorNumbers, options: RunOptions
) -> tuple[AlignedVariables, FactorNumbers, RidgeGeometry]:
    """Match variables, and factors that are given, to the samples in use, and check the size of the problem."""
    populations = None
    if (column := options.samples.env_by) is not None:
        populations = Populations(column.strip(), source.sample_column(column.strip()))
    variables = align_variables(source.samples, X, covar, options.samples, source.has_ids, populations)
    # The samples of given factors are known after the passes that leave some out.
    to_choose = options.samples.mind is not None or options.samples.drop_duplicates
    return variables, *fit_to_samples(variables, numbers, options, are_final=not to_choose)


def fit_to_samples(
    variables: AlignedVariables, numbers: FactorNumbers, options: RunOptions, are_final: bool = True
) -> tuple[FactorNumbers, RidgeGeometry]:
    """Check the size of the problem, put factors that are given in the order of the samples, and make the geometry.

    Unless the samples `are_final`, because `mind` may leave out some, factors keep their order, and nothing is said
    about correlated variables.
    """
    n, n_all = variables.values.shape
    check_size(n, n_all, numbers.n_factors)
    degrees_of_freedom(n, n_all, numbers.n_factors, options.test.df)
    lambda_, standardize = options.lambda_, options.standardize
    if numbers.given is not None:
        lambda_, standardize = numbers.given.lambda_, numbers.given.standardized
        if are_final:
            numbers = replace(numbers, given=_order_factors(numbers.given, variables))
    with single_threaded_blas():
        ridge = ridge_geometry(variables.values, lambda_, standardize)
        if are_final and options.tests:
            facts = describe_collinearity(variables, ridge.X)
            warn_of_collinearity(facts, variables.nuisance_names, options.test.marginal)
    return numbers, ridge


def join_numbers(ks: tuple[int, ...]) -> str:
    """Write numbers of factors as `parse_sweep` reads them: ``1:20`` or ``2,4,8``."""
    if len(ks) > 1 and ks == tuple(range(ks[0], ks[-1] + 1)):
        return f"{ks[0]}:{ks[-1]}"
    return ",".join(map(str, ks))


def _choose_progress(progress: bool | Progress) -> Progress:
    """Return the progress that was given, or that of the terminal if True, or one that shows nothing."""
    if isinstance(progress, Progress):
        return progress
    return terminal_progress() if progress else Progress()


def _order_factors(factors: LatentFactors, variables: AlignedVariables) -> LatentFactors:
    """Return factors with their rows in the order of the samples in use, which must be the same samples."""
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
