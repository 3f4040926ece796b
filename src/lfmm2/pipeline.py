"""The passes in order: prepare and check everything, estimate the factors, test every SNP, write.

`Job` is one run: made, it has read and checked all inputs but the genotypes and knows its plan; executed, it gives
the result. `run`, `estimate_factors` and `test_associations` are the public ways to it.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._threads import resolve_threads, single_threaded_blas
from lfmm2.association import AssociationModel, Status, degrees_of_freedom
from lfmm2.calibration import calibration_warning
from lfmm2.eigensolvers import SolverOptions
from lfmm2.errors import CalibrationWarning, InconsistentInputError, UsageError
from lfmm2.factors import LatentFactors, estimate_from_matrix, warn_unless_converged
from lfmm2.factors_file import read_factors
from lfmm2.genotypes import BedMatrix
from lfmm2.identity import make_identity
from lfmm2.inputs import (
    AlignedVariables,
    Genotypes,
    GenotypeSource,
    Ints,
    SampleOptions,
    align_variables,
    check_factor_number,
    check_readable,
    check_size,
    estimation_matrix,
    match_samples,
    open_genotypes,
    samples_of,
    tested_matrix,
)
from lfmm2.memory import HELD_VARIANT_BYTES, ProblemSize
from lfmm2.plan import RunPlan, make_plan, parse_memory
from lfmm2.plink import BedFile
from lfmm2.progress import terminal_progress
from lfmm2.record import make_record, software
from lfmm2.remembered import RememberedMatrix
from lfmm2.result_files import OutputOptions, ResultFiles, check_prefix
from lfmm2.results import AssociationResult, MemorySource
from lfmm2.ridge import ridge_geometry
from lfmm2.run_state import NoState, RunState
from lfmm2.snps import (
    SnpOptions,
    check_snp_options,
    estimation_snps,
    filter_snps,
    listed_snps,
    n_snps_of,
    select_snps,
    variant_tables,
)
from lfmm2.statistics_store import StatisticsStore
from lfmm2.stream import Engine, PassRecord, Progress
from lfmm2.verification import read_record

Floats = NDArray[np.float64]

# What changes no result, or does so through variables, samples and SNPs, which are compared themselves
_NO_PART_OF_IDENTITY = {
    "memory", "n_threads", "out", "overwrite", "resume", "keep", "remove", "missing", "missing_code", "intersect",
    "extract", "exclude", "est_extract",
}  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """Everything but the data; see `run` for the meaning of each."""

    lambda_: float = 1e-5
    df: str = "paper"
    seed: int = 0
    n_threads: int | None = None
    memory: int | str | None = None
    loadings: bool = False
    solver: SolverOptions = field(default_factory=SolverOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    snps: SnpOptions = field(default_factory=SnpOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    progress: bool | Progress = False
    command: str = "lfmm2.run"
    tests: bool = True


class Job:
    """One run, prepared and checked.

    Parameters
    ----------
    est_bed : path, BedFile, ndarray or None
        Genotypes to estimate factors from; those of `full_bed` by default.
    full_bed : path, BedFile or ndarray
        Genotypes to test.
    X : variables
    K : int or LatentFactors
        How many factors to estimate, or factors to test with.
    options : RunOptions
    covar : nuisance variables, optional

    Attributes
    ----------
    plan : RunPlan
    """

    def __init__(
        self,
        est_bed: GenotypeSource | None,
        full_bed: GenotypeSource,
        X: Any,
        K: int | LatentFactors,
        options: RunOptions,
        covar: Any = None,
    ) -> None:
        self.options = options
        self.given = K if isinstance(K, LatentFactors) else None
        self.n_factors = K.n_factors if isinstance(K, LatentFactors) else check_factor_number(K)
        check_snp_options(options.snps)
        self.memory = parse_memory(options.memory)
        self.engine = Engine(resolve_threads(options.n_threads), self.memory, _progress(options.progress))
        check_prefix(options.output)
        self._tables = check_readable(_tables(X, covar, options))
        self._opened: list[BedFile] = []
        try:
            # what is told by samples alone comes before what needs the lists of SNPs
            self._tested_source = self._open(full_bed)
            self._estimation_source = self._tested_source if est_bed is None else self._open(est_bed)
            self._align(X, covar, est_bed)
            self._select_snps()
            self.files = ResultFiles(options.output, self.variables.names, options.loadings, self._input_paths())
            self.files.check(self.plan, self.identity)
        except BaseException:
            self.close()
            raise

    def _open(self, source: GenotypeSource) -> Genotypes:
        opened = open_genotypes(source)
        if isinstance(opened, BedFile) and opened is not source:
            self._opened.append(opened)
        return opened

    def _align(self, X: Any, covar: Any, est_bed: GenotypeSource | None) -> None:
        """Variables, the samples in use, and their rows in the estimation set."""
        source = self._tested_source
        variables = align_variables(samples_of(source), X, covar, self.options.samples)
        self.variables = replace(variables, has_ids=isinstance(source, BedFile))
        n, n_all = self.variables.values.shape
        check_size(n, n_all, self.n_factors)
        self.df = degrees_of_freedom(n, n_all, self.n_factors, self.options.df)
        lambda_ = self.options.lambda_
        if self.given is not None:
            self.given = _for_samples(self.given, self.variables)
            lambda_ = self.given.lambda_
        with single_threaded_blas():
            self.ridge = ridge_geometry(self.variables.values, lambda_)
        self._estimation_rows = self.variables.rows
        if est_bed is not None:
            name = str(os.fspath(est_bed)) if isinstance(est_bed, str | os.PathLike) else "the estimation set"
            self._estimation_rows = match_samples(self.variables, self._estimation_source, name)

    def _select_snps(self) -> None:
        """Lists of SNPs, matrices and plan, before the pass that `maf` and `geno` need."""
        snps = self.options.snps
        self._selected = select_snps(self._tested_source, snps)
        self._est_listed: Ints | None = None
        if snps.est_extract is not None:
            self._est_listed = listed_snps(self._estimation_source, snps.est_extract, "--est-extract")
        self._use_snps(self._selected, filtered=snps.maf is not None or snps.geno is not None)

    def _use_snps(self, tested: Ints | None, filtered: bool) -> None:
        """Matrices of the SNPs to test and to estimate from, and the plan, checked."""
        snps, samples = self.options.snps, self.variables.rows
        base = tested if self._estimation_source is self._tested_source else None
        chosen = estimation_snps(self._estimation_source, base, self._est_listed, snps, self.options.seed)
        self.tested_snps, self._estimation_chosen = tested, chosen
        self.tested = tested_matrix(self._tested_source, self.engine, samples, tested, snps.count_allele)
        self.estimation = estimation_matrix(
            self._estimation_source, self.engine, self._estimation_rows, chosen, snps.scale
        )
        if self.tested.n_snps < 1:
            raise InconsistentInputError("there is no SNP to test; check the genotypes")
        if self.given is None:
            n, n_all = self.variables.values.shape
            check_size(n, n_all, self.n_factors, self.estimation.n_snps)
        self.plan = self._make_plan(filtered)
        self.plan.check()

    def _make_plan(self, filtered: bool) -> RunPlan:
        sources = (self._tested_source, self._estimation_source)
        n_bytes = [s.bytes_per_snp if isinstance(s, BedFile) else 0 for s in sources]
        n_variant_bytes = [s.stamps[1].n_bytes if isinstance(s, BedFile) else 0 for s in sources]
        if sources[0] is sources[1]:
            n_variant_bytes.pop()
        size = ProblemSize(
            n_samples=self.tested.n_samples,
            n_samples_read=len(self.variables.samples),
            n_snps=self.tested.n_snps,
            n_snps_read=n_snps_of(self._tested_source),
            n_estimation_snps=self.estimation.n_snps,
            n_variables=len(self.variables.names),
            n_nuisance=len(self.variables.nuisance_names),
            n_factors=self.n_factors,
            bytes_read=n_bytes[0],
            estimation_bytes_read=n_bytes[1],
            array_bytes=max(0 if isinstance(s, BedFile) else s.dtype.itemsize for s in sources),
            # of those that filters are to choose yet, at most
            n_listed=sum(len(c) for c in (self.tested_snps, self._estimation_chosen) if c is not None)
            + filtered * (self.tested.n_snps + self.estimation.n_snps),
            variant_bytes=max(n_variant_bytes),
            held_variant_bytes=sum(n for n in n_variant_bytes if n <= HELD_VARIANT_BYTES),
        )
        output = self.options.output
        return make_plan(
            size, self.options.solver, self.memory, self.engine.n_threads,
            None if output.out is None else output.format, self.options.loadings,
            given=self.given is not None, filtered=filtered, tests=self.options.tests,
        )  # fmt: skip

    def _input_paths(self) -> list[Path]:
        """Every file that this run reads, each once."""
        sources = (self._tested_source, self._estimation_source)
        filesets = [p for s in sources if isinstance(s, BedFile) for p in (s.path, s.bim_path, s.fam_path)]
        return list(dict.fromkeys(filesets + self._tables))

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the filesets that the job opened itself."""
        for bed in self._opened:
            bed.close()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What an unfinished run must share with this one to be resumed by it; empty where nothing is kept."""
        if self.files.prefix is None:
            return {}
        parameters = {name: value for name, value in self._parameters().items() if name not in _NO_PART_OF_IDENTITY}
        versions = {name: value for name, value in software().items() if name not in ("python", "openmp", "system")}
        return make_identity(
            parameters, versions, self.variables, self._tested_source, self._selected, self._estimation_source,
            self._est_listed, self.given,
        )  # fmt: skip

    def filter_snps(self, state: NoState) -> None:
        """Apply maf and geno, in a pass that counts genotypes."""
        if not self.plan.filtered:
            return
        kept = state.arrays("filters")
        if kept is not None and {"passed", "record"} <= kept.keys():
            passed = kept["passed"]
            self.engine.passes.append(PassRecord.from_json(str(kept["record"])))
        else:
            chosen = filter_snps(
                self._tested_source, self.engine, self.variables.rows, self._selected, self.options.snps
            )
            assert chosen is not None  # there is a filter
            passed = chosen
            state.keep_arrays("filters", passed=passed, record=self.engine.passes[-1].to_json())
        self._use_snps(passed, filtered=False)

    def estimate(self, state: NoState) -> LatentFactors:
        """Factors of the estimation set, or those given, for the samples in use."""
        factors = self.given or self.files.kept_factors(state)
        if factors is None:
            self.engine.memory = self.memory - self.plan.factor_reserve
            matrix = RememberedMatrix(self.estimation, self.engine, state)
            factors = estimate_from_matrix(matrix, self.ridge, self.n_factors, self.options.solver, self.variables.iids)
            state.keep_note("passes", [record.to_json() for record in self.engine.passes])
        elif self.given is None:
            self.engine.passes = [PassRecord.from_json(text) for text in state.note("passes") or []]
            warn_unless_converged(factors, self.options.solver.tol)
        self.files.keep_factors(state, factors)
        state.forget("pass-*.npz")
        return factors

    def execute(self) -> AssociationResult:
        """Estimate, test, calibrate, and write if asked to."""
        files = self.files
        with single_threaded_blas():
            if files.prefix is None:
                self.filter_snps(NoState())
                factors = self.estimate(NoState())
                store, gif, _ = self._test(factors, NoState())
                return self._in_memory(store, factors, gif)
            if files.is_complete:
                files.remove_rest()
            else:
                with files.begin(self.identity) as state:
                    if not files.is_finished(state):
                        self.filter_snps(state)
                        self._write(self.estimate(state), state)
                    files.publish(state)
        return self._stored()

    def _test(self, factors: LatentFactors, state: NoState) -> tuple[StatisticsStore, Floats, list[str]]:
        """Statistics of all SNPs, their inflation, and what is to be said about it."""
        names = self.variables.names
        model = AssociationModel(self.ridge, factors, len(names), self.options.df, self.options.loadings)
        self.engine.memory = self.memory - self.plan.test_reserve
        store = StatisticsStore(model, self.tested, state)
        try:
            gif = store.inflation()
            n_tests = int(store.status_counts[Status.OK])
            notes = [calibration_warning(float(value), name, n_tests) for name, value in zip(names, gif, strict=True)]
            said = [note for note in notes if note]
            for note in said:
                warnings.warn(note, CalibrationWarning, stacklevel=5)
        except BaseException:
            store.close()
            raise
        return store, gif, said

    def _write(self, factors: LatentFactors, state: RunState) -> None:
        """Test, and finish all files."""
        store, gif, notes = self._test(factors, state)
        with contextlib.closing(store):
            record = make_record(
                self.options.command, self._parameters(), self._input_paths(), self.estimation, self.tested,
                self.variables, factors, gif, self.df, _status_names(store), self.plan, self.engine, notes,
                self.identity,
            )  # fmt: skip
            self.files.write(
                state, store, self.variants, factors, gif, self.df, self._counts_a1, record, self.plan,
                self.engine.progress,
            )  # fmt: skip

    def _stored(self) -> AssociationResult:
        """The result that the files hold."""
        names, files = self.variables.names, self.files
        stored = read_record(files.paths["record"])["gif"]
        gif = np.array([np.nan if stored[name] is None else stored[name] for name in names])
        factors = read_factors(files.paths["factors"])
        return AssociationResult(names, factors, gif, self.df, self.variables.iids, files.source(), files.paths)

    @property
    def _counts_a1(self) -> bool:
        return isinstance(self.tested, BedMatrix) and self.tested.counts_a1

    def variants(self) -> Any:
        """Stream CHROM, POS, ID, A1, A2 of the tested SNPs."""
        return variant_tables(self._tested_source, self.tested_snps)

    def _in_memory(self, store: StatisticsStore, factors: LatentFactors, gif: Floats) -> AssociationResult:
        source = MemorySource(
            store.common.array,
            [rows.array for rows in store.rows],
            lambda: pa.concat_tables(self.variants()),
            self.df,
            gif,
            self._counts_a1,
            store.loadings.array if self.options.loadings else None,
        )
        return AssociationResult(self.variables.names, factors, gif, self.df, self.variables.iids, source)

    def _parameters(self) -> dict[str, Any]:
        options = self.options
        return {
            "K": self.n_factors, "lambda": self.ridge.lambda_, "df": options.df, "seed": options.seed,
            "memory": self.memory, "n_threads": self.engine.n_threads, "loadings": options.loadings,
            **{
                item.name: _plain(getattr(part, item.name))
                for part in (options.solver, options.samples, options.snps, options.output)
                for item in fields(part)
            },
        }  # fmt: skip


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


def _status_names(store: StatisticsStore) -> dict[str, int]:
    return {status.name: int(store.status_counts[status]) for status in Status}


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
    return replace(factors, U=factors.U[order], loadings_map=factors.loadings_map[order], sample_ids=ours)
