"""The passes in order: prepare and check everything, estimate the factors, test every SNP, write.

`Job` is one run: made, it has read and checked all inputs but the genotypes and knows its plan; executed, it gives
the result. `run`, `estimate_factors` and `test_associations` are the public ways to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
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
from lfmm2.errors import CalibrationWarning, InconsistentInputError
from lfmm2.factors import LatentFactors, estimate_from_matrix
from lfmm2.genotypes import BedMatrix
from lfmm2.inputs import (
    AlignedVariables,
    GenotypeSource,
    SampleOptions,
    SnpOptions,
    align_variables,
    check_size,
    check_snp_options,
    estimation_snps,
    make_matrix,
    match_samples,
    open_genotypes,
    samples_of,
    select_snps,
    variant_tables,
)
from lfmm2.plan import ProblemSize, RunPlan, make_plan, parse_memory
from lfmm2.plink import BedFile
from lfmm2.progress import terminal_progress
from lfmm2.record import make_record
from lfmm2.result_files import OutputOptions, ResultFiles
from lfmm2.results import AssociationResult, MemorySource
from lfmm2.ridge import RidgeGeometry, ridge_geometry
from lfmm2.statistics_store import StatisticsStore
from lfmm2.stream import Engine, Progress

Floats = NDArray[np.float64]


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
        check_snp_options(options.snps)
        self.options = options
        self.given = K if isinstance(K, LatentFactors) else None
        self.n_factors = K.n_factors if isinstance(K, LatentFactors) else K
        self._opened: list[BedFile] = []
        self.engine = Engine(
            resolve_threads(options.n_threads), parse_memory(options.memory), _progress(options.progress)
        )
        try:
            self._tested_source = self._open(full_bed)
            self._estimation_source = self._tested_source if est_bed is None else self._open(est_bed)
            self.variables = align_variables(samples_of(self._tested_source), X, covar, options.samples)
            self._estimation_rows = self.variables.rows
            if est_bed is not None:
                name = "the estimation set" if not isinstance(est_bed, str | Path) else str(est_bed)
                self._estimation_rows = match_samples(self.variables, self._estimation_source, name)
            self.ridge = ridge_geometry(self.variables.values, options.lambda_)
            self._choose_snps(filtered=False)
            inputs = self._fileset_paths() + [Path(p) for p in (X, covar) if isinstance(p, str | Path)]
            self.files = ResultFiles(options.output, self.variables.names, options.loadings, inputs)
            self.files.check(self.plan)
        except BaseException:
            self.close()
            raise

    def _open(self, source: GenotypeSource) -> BedFile | NDArray[Any]:
        opened = open_genotypes(source)
        if isinstance(opened, BedFile) and opened is not source:
            self._opened.append(opened)
        return opened

    def _fileset_paths(self) -> list[Path]:
        sources = (self._tested_source, self._estimation_source)
        return [p for s in sources if isinstance(s, BedFile) for p in (s.path, s.bim_path, s.fam_path)]

    def _choose_snps(self, filtered: bool) -> None:
        """Matrices and plan; without `filtered`, before the pass that `maf` and `geno` need."""
        snps = self.options.snps if filtered else replace(self.options.snps, maf=None, geno=None)
        self.tested_snps = select_snps(self._tested_source, self.engine, self.variables.rows, snps)
        same = self._estimation_source is self._tested_source
        base = self.tested_snps if same else None
        chosen = estimation_snps(self._estimation_source, base, snps, self.options.seed)
        self.tested = make_matrix(
            self._tested_source, self.engine, self.variables.rows, self.tested_snps, snps, scale=False
        )
        self.estimation = make_matrix(
            self._estimation_source, self.engine, self._estimation_rows, chosen, snps, scale=True
        )
        n_all = self.variables.values.shape[1]
        check_size(self.tested.n_samples, self.tested.n_snps, self.estimation.n_snps, n_all, self.n_factors)
        self.df = degrees_of_freedom(self.tested.n_samples, n_all, self.n_factors, self.options.df)
        self.plan = self._make_plan()
        self.plan.check()

    def _make_plan(self) -> RunPlan:
        size = ProblemSize(
            n_samples=self.tested.n_samples,
            n_snps=self.tested.n_snps,
            n_estimation_snps=self.estimation.n_snps,
            n_variables=len(self.variables.names),
            n_nuisance=len(self.variables.nuisance_names),
            n_factors=self.n_factors,
            bytes_per_snp=_stored_bytes(self._tested_source),
            estimation_bytes_per_snp=_stored_bytes(self._estimation_source),
        )
        out_format = None if self.options.output.out is None else self.options.output.format
        return make_plan(
            size,
            self.options.solver,
            self.engine.memory,
            self.engine.n_threads,
            out_format,
            self.options.loadings,
        )

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

    def filter_snps(self) -> None:
        """Apply maf and geno, in a pass that counts genotypes."""
        if self.options.snps.maf is not None or self.options.snps.geno is not None:
            self._choose_snps(filtered=True)

    def estimate(self) -> LatentFactors:
        """Factors of the estimation set, or those given, for the samples in use."""
        if self.given is not None:
            return _for_samples(self.given, self.variables)
        return estimate_from_matrix(
            self.estimation,
            self.ridge,
            self.n_factors,
            self.options.solver,
            self.variables.iids,
        )

    def execute(self) -> AssociationResult:
        """Estimate, test, calibrate, and write if asked to."""
        with single_threaded_blas():
            self.filter_snps()
            return self._test(self.estimate())

    def _test(self, factors: LatentFactors) -> AssociationResult:
        ridge = self.ridge if factors.lambda_ == self.ridge.lambda_ else _with_lambda(self.ridge, factors.lambda_)
        names = self.variables.names
        model = AssociationModel(ridge, factors, len(names), self.options.df, self.options.loadings)
        store = StatisticsStore(model, self.tested, self.files.prefix)
        try:
            gif = store.inflation()
            n_tests = int(store.status_counts[Status.OK])
            notes = [calibration_warning(float(value), name, n_tests) for name, value in zip(names, gif, strict=True)]
            for note in filter(None, notes):
                warnings.warn(note, CalibrationWarning, stacklevel=4)
            if self.files.prefix is None:
                return self._in_memory(store, factors, gif)
            record = make_record(
                self.options.command, self._parameters(), self.estimation, self.tested, self.variables, factors, gif,
                self.df, _status_names(store), self.plan, self.engine, list(filter(None, notes)),
            )  # fmt: skip
            source = self.files.write(store, self.variants, factors, gif, self.df, self._counts_a1, record, self.plan)
            return AssociationResult(names, factors, gif, self.df, self.variables.iids, source, self.files.paths, None)
        finally:
            if self.files.prefix is not None:
                store.close()

    @property
    def _counts_a1(self) -> bool:
        return isinstance(self.tested, BedMatrix) and self.tested.counts_a1

    def variants(self) -> Any:
        """Stream CHROM, POS, ID, A1, A2 of the tested SNPs."""
        return variant_tables(self._tested_source, self.tested_snps)

    def _in_memory(self, store: StatisticsStore, factors: LatentFactors, gif: Floats) -> AssociationResult:
        rows = [rows.array for rows in store.rows]
        source = MemorySource(
            store.common.array, rows, lambda: pa.concat_tables(self.variants()), self.df, gif, self._counts_a1
        )
        loadings = store.loadings.array if self.options.loadings else None
        return AssociationResult(
            self.variables.names, factors, gif, self.df, self.variables.iids, source, loadings=loadings
        )

    def _parameters(self) -> dict[str, Any]:
        options = self.options
        return {
            "lambda": options.lambda_, "df": options.df, "seed": options.seed, "memory": self.engine.memory,
            "n_threads": self.engine.n_threads,
            **asdict(options.solver),
            **{k: _plain(v) for part in (options.samples, options.snps) for k, v in asdict(part).items()},
        }  # fmt: skip


def _plain(value: Any) -> Any:
    """A parameter as JSON takes it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    return f"{len(value)} IDs" if isinstance(value, Collection) else str(value)


def _stored_bytes(source: BedFile | NDArray[Any]) -> int:
    return source.bytes_per_snp if isinstance(source, BedFile) else source.dtype.itemsize * len(source)


def _progress(progress: bool | Progress) -> Progress:
    if isinstance(progress, Progress):
        return progress
    return terminal_progress() if progress else Progress()


def _status_names(store: StatisticsStore) -> dict[str, int]:
    return {status.name: int(store.status_counts[status]) for status in Status}


def _with_lambda(ridge: RidgeGeometry, lambda_: float) -> RidgeGeometry:
    return replace(ridge, lambda_=lambda_)


def _for_samples(factors: LatentFactors, variables: AlignedVariables) -> LatentFactors:
    """Factors on the samples in use: they must be the same samples, in any order."""
    ours = variables.iids
    if not factors.sample_ids or factors.sample_ids == ours:
        if len(factors.U) != len(ours):
            raise InconsistentInputError(
                f"the factors have {len(factors.U)} samples, but {len(ours)} are in use; estimate them on these samples"
            )
        return factors
    where = {iid: row for row, iid in enumerate(factors.sample_ids)}
    if len(where) < len(factors.sample_ids) or set(where) != set(ours):
        raise InconsistentInputError(
            f"the factors are of {len(factors.sample_ids)} samples, of which {len(set(where) & set(ours))} are among "
            f"the {len(ours)} in use; factors and tests need the same samples"
        )
    order = [where[iid] for iid in ours]
    return replace(factors, U=factors.U[order], loadings_map=factors.loadings_map[order], sample_ids=ours)
