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
    BedMatrix,
    Engine,
    Genotypes,
    GenotypeSource,
    ThinOptions,
    estimation_matrix,
    n_snps_of,
    open_genotypes,
    parse_thinning,
    samples_of,
    tested_matrix,
)
from lfmm2.model import LatentFactors, SolverOptions, degrees_of_freedom, parse_sweep, ridge_geometry
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
from lfmm2.pipeline.memory import HELD_VARIANT_BYTES, ProblemSize
from lfmm2.pipeline.plan import RunPlan, describe_model, make_plan
from lfmm2.pipeline.result_files import OutputOptions
from lfmm2.pipeline.snps import SnpOptions, check_snp_options, estimation_snps, listed_snps, select_snps
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


class Preparation:
    """Inputs of one run, checked, and its plan.

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

    Attributes
    ----------
    ks : tuple of int
        Numbers of factors of the sweep.
    K : int or None
        The number to report in full.
    n_factors : int
        How many are estimated: the largest of all.
    variables : AlignedVariables
    ridge : RidgeGeometry
    tested, estimation : BedMatrix or ArrayMatrix
    tested_snps : ndarray of int64 or None
        SNPs to test, None for all.
    thin : ThinOptions or None
    plan : RunPlan
    """

    def __init__(
        self,
        est_bed: GenotypeSource | None,
        full_bed: GenotypeSource,
        X: Any,
        K: int | LatentFactors | None,
        options: RunOptions,
        covar: Any = None,
    ) -> None:
        self.options = options
        self.given = K if isinstance(K, LatentFactors) else None
        self._choose_factor_numbers(K)
        check_snp_options(options.snps)
        thin = options.snps.est_thin
        self.thin = thin if thin is None or isinstance(thin, ThinOptions) else parse_thinning(thin)
        self.memory = parse_memory(options.memory)
        self.engine = Engine(resolve_threads(options.n_threads), self.memory, _progress(options.progress))
        self._tables = check_readable(_tables(X, covar, options))
        self._opened: list[BedFile] = []
        try:
            # what is told by samples alone comes before what needs the lists of SNPs
            self.tested_source = self._open(full_bed)
            self.estimation_source = self.tested_source if est_bed is None else self._open(est_bed)
            if self.thin is not None and self.given is not None:
                raise UsageError("est_thin chooses SNPs to estimate factors from, but factors are given; leave it out")
            if self.thin is not None and not isinstance(self.estimation_source, BedFile):
                raise UsageError("est_thin applies to a .bed; thin the array before it is given")
            self._align(X, covar, est_bed)
            self._select_snps()
        except BaseException:
            self.close()
            raise

    def _choose_factor_numbers(self, K: int | LatentFactors | None) -> None:
        self.ks = self.options.test.ks
        if K is None:
            if not self.ks or max(self.ks) < 1:
                raise UsageError("K is not given; give it, or a sweep over several numbers of factors")
            self.K = None
            self.n_factors = max(self.ks)
        elif isinstance(K, LatentFactors):
            self.K = self.n_factors = K.n_factors
            if self.ks and max(self.ks) > K.n_factors:
                raise UsageError(f"sweep goes up to {max(self.ks)}, but {K.n_factors} factors are given")
            self.ks = self._with_tables()
        else:
            self.K = check_factor_number(K)
            self.ks = self._with_tables()
            self.n_factors = max(self.K, *self.ks) if self.ks else self.K

    def _with_tables(self) -> tuple[int, ...]:
        """The sweep shows the number of the tables among the others."""
        assert self.K is not None
        return tuple(sorted({*self.ks, self.K})) if self.ks else ()

    def _open(self, source: GenotypeSource) -> Genotypes:
        opened = open_genotypes(source)
        if isinstance(opened, BedFile) and opened is not source:
            self._opened.append(opened)
        return opened

    def _align(self, X: Any, covar: Any, est_bed: GenotypeSource | None) -> None:
        """Variables, the samples in use, and their rows in the estimation set."""
        source = self.tested_source
        variables = align_variables(samples_of(source), X, covar, self.options.samples)
        self.variables = replace(variables, has_ids=isinstance(source, BedFile))
        n, n_all = self.variables.values.shape
        check_size(n, n_all, self.n_factors)
        degrees_of_freedom(n, n_all, self.n_factors, self.options.test.df)
        lambda_ = self.options.lambda_
        if self.given is not None:
            self.given = _for_samples(self.given, self.variables)
            lambda_ = self.given.lambda_
        with single_threaded_blas():
            self.ridge = ridge_geometry(self.variables.values, lambda_)
        self.estimation_rows = self.variables.rows
        if est_bed is not None:
            name = str(os.fspath(est_bed)) if isinstance(est_bed, str | os.PathLike) else "the estimation set"
            self.estimation_rows = match_samples(self.variables, self.estimation_source, name)

    def _select_snps(self) -> None:
        """Lists of SNPs, matrices and plan, before the passes that `maf`, `geno` and `est_thin` need."""
        snps = self.options.snps
        self.selected = select_snps(self.tested_source, snps)
        self._est_listed: Ints | None = None
        if snps.est_extract is not None:
            self._est_listed = listed_snps(self.estimation_source, snps.est_extract, "--est-extract")
        self.use_snps(self.selected, filtered=snps.filters, thinned=self.thin is not None)

    def use_snps(
        self, tested: Ints | None, filtered: bool = False, thinned: bool = False, kept: Ints | None = None
    ) -> None:
        """Matrices of the SNPs to test and to estimate from, and the plan, checked.

        Parameters
        ----------
        tested : ndarray of int64 or None
            SNPs to test.
        filtered, thinned : bool
            Whether a pass is to come that leaves fewer of them, or fewer to estimate from.
        kept : ndarray of int64, optional
            SNPs that thinning has kept.
        """
        snps, samples = self.options.snps, self.variables.rows
        base = tested if self.estimation_source is self.tested_source else None
        chosen = kept
        if chosen is None:
            chosen = estimation_snps(self.estimation_source, base, self._est_listed, snps, self.options.seed)
        self.tested_snps, self.estimation_chosen = tested, chosen
        self.tested = tested_matrix(self.tested_source, self.engine, samples, tested, snps.count_allele)
        self.estimation = estimation_matrix(
            self.estimation_source, self.engine, self.estimation_rows, chosen, snps.scale
        )
        if self.tested.n_snps < 1:
            raise InconsistentInputError("there is no SNP to test; check the genotypes")
        if self.given is None:
            n, n_all = self.variables.values.shape
            check_size(n, n_all, self.n_factors, self.estimation.n_snps)
        self.plan = self._make_plan(filtered, thinned)
        self.plan.check()

    def _make_plan(self, filtered: bool, thinned: bool) -> RunPlan:
        sources = (self.tested_source, self.estimation_source)
        n_bytes = [s.bytes_per_snp if isinstance(s, BedFile) else 0 for s in sources]
        n_variant_bytes = [s.stamps[1].n_bytes if isinstance(s, BedFile) else 0 for s in sources]
        if sources[0] is sources[1]:
            n_variant_bytes.pop()
        size = ProblemSize(
            n_samples=self.tested.n_samples,
            n_samples_read=len(self.variables.samples),
            n_snps=self.tested.n_snps,
            n_snps_read=n_snps_of(self.tested_source),
            n_estimation_snps=self.estimation.n_snps,
            n_variables=len(self.variables.names),
            n_nuisance=len(self.variables.nuisance_names),
            n_factors=self.n_factors,
            n_sweep=len(self.ks),
            bytes_read=n_bytes[0],
            estimation_bytes_read=n_bytes[1],
            array_bytes=max(0 if isinstance(s, BedFile) else s.dtype.itemsize for s in sources),
            # of those that filters are to choose yet, at most
            n_listed=sum(len(c) for c in (self.tested_snps, self.estimation_chosen) if c is not None)
            + filtered * (self.tested.n_snps + self.estimation.n_snps)
            + thinned * self.estimation.n_snps,
            variant_bytes=max(n_variant_bytes),
            held_variant_bytes=sum(n for n in n_variant_bytes if n <= HELD_VARIANT_BYTES),
            filled=self.options.test.impute == "factors",
        )
        output = self.options.output
        return make_plan(
            size, self.options.solver, self.memory, self.engine.n_threads,
            None if output.out is None else output.format, self.options.test.loadings,
            given=self.given is not None, filtered=filtered, thin=self.thin if thinned else None,
            tests=self.options.tests, model=self._describe_model(),
            allele=("A1" if self.counts_a1 else "A2") if isinstance(self.tested, BedMatrix) else "",
        )  # fmt: skip

    def _describe_model(self) -> str:
        factors = "K as the scree suggests" if self.K is None else f"K = {self.K}"
        if self.ks:
            factors += f", sweep over {_numbers(self.ks)}"
        names = self.variables.names
        return describe_model(len(names), len(self.variables.nuisance_names), factors, names)

    def input_paths(self) -> list[Path]:
        """Every file that this run reads, each once."""
        sources = (self.tested_source, self.estimation_source)
        filesets = [p for s in sources if isinstance(s, BedFile) for p in (s.path, s.bim_path, s.fam_path)]
        return list(dict.fromkeys(filesets + self._tables))

    def close(self) -> None:
        """Close the filesets that were opened here."""
        for bed in self._opened:
            bed.close()

    @property
    def counts_a1(self) -> bool:
        """Whether dosages are copies of A1 of the .bim."""
        return isinstance(self.tested, BedMatrix) and self.tested.counts_a1

    def identity(self) -> dict[str, Any]:
        """What an unfinished run must share with this one to be resumed by it."""
        parameters = {name: value for name, value in self.parameters().items() if name not in _NO_PART_OF_IDENTITY}
        versions = {name: value for name, value in software().items() if name not in ("python", "openmp", "system")}
        return make_identity(
            parameters, versions, self.variables, self.tested_source, self.selected, self.estimation_source,
            self._est_listed, self.given,
        )  # fmt: skip

    def parameters(self) -> dict[str, Any]:
        """Everything that was asked for, as JSON takes it."""
        options = self.options
        thin = None if self.thin is None else f"r2={self.thin.r2!r},window={self.thin.window_text}"
        return {
            "K": self.K, "lambda": self.ridge.lambda_, "seed": options.seed,
            "memory": self.memory, "n_threads": self.engine.n_threads,
            **{
                item.name: _plain(getattr(part, item.name))
                for part in (options.test, options.solver, options.samples, options.snps, options.output)
                for item in fields(part)
            },
            "sweep": _numbers(self.ks) if self.ks else None,
            "est_thin": thin,
        }  # fmt: skip


def _numbers(ks: tuple[int, ...]) -> str:
    """Numbers as `parse_sweep` takes them."""
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
