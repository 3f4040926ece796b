"""A run from end to end: read and plan, choose SNPs, estimate, choose K, test, calibrate, publish.

`prepare_run` reads and checks all inputs and plans the run; `execute_run` makes the passes. The functions of
`lfmm2.api` and the command line are the public ways to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from lfmm2._choices import TableFormat
from lfmm2._typing import AnyPath
from lfmm2.genotypes import ALL_SNPS, Engine, Footprint, GenotypesLike, SnpRange, kept_ids, variant_tables
from lfmm2.model import LatentFactors
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.converted_genotypes import told_on_error
from lfmm2.pipeline.live_log import LiveLog
from lfmm2.pipeline.parts import GatheredParts
from lfmm2.pipeline.penalties import Estimation, describe_penalties, other_penalties
from lfmm2.pipeline.plan import RunPlan, RunSize, check_task_memory, describe_model, make_plan
from lfmm2.pipeline.preparation import RunInputs, read_inputs
from lfmm2.pipeline.publication import Publication
from lfmm2.pipeline.repeated_samples import choose_compared, find_repeats
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.result_writer import ResultWriter
from lfmm2.pipeline.run_options import OutputOptions, RunOptions
from lfmm2.pipeline.run_record import describe_calibration, describe_imputation, make_record
from lfmm2.pipeline.sample_filter import filter_samples
from lfmm2.pipeline.shared_passes import plan_shared_passes
from lfmm2.pipeline.snp_choice import SnpChoice, apply_filters, choose_listed, thin_estimation_set
from lfmm2.pipeline.stages import (
    Fit,
    Tested,
    calibrate_tests,
    choose_number_of_factors,
    estimate_factors,
    run_snp_tests,
    why_surrogates,
)
from lfmm2.pipeline.statistics_store import StatisticsStore
from lfmm2.pipeline.surrogates import draw_null
from lfmm2.pipeline.thinned_scree import compute_thinned_scree
from lfmm2.process import open_files_allowed, release_freed_memory, single_threaded_blas
from lfmm2.results import AssociationResult, JointScores, MemorySource, factors_table, read_results


def _as_it_is(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a run that has no further part in it."""
    return identity


@dataclass(frozen=True)
class Purpose:
    """What a run is prepared for; by default, to make all results in one process.

    Attributes
    ----------
    files : callable
        Makes the files to write, with the arguments of `ResultFiles`.
    identify : callable
        Takes the identity of the run, may refuse it, and returns that of its files.
    inputs : tuple of Path
        Files that are read beside those of every run.
    tests_alone : bool
        True if the process only tests SNPs, with factors and choices that another one has made: it needs no memory to
        estimate or to calibrate, and the samples are compared by others.
    """

    files: Callable[..., ResultFiles] = ResultFiles
    identify: Callable[[dict[str, Any]], dict[str, Any]] = _as_it_is
    inputs: tuple[Path, ...] = ()
    tests_alone: bool = False


WHOLE_RUN = Purpose()


@dataclass(frozen=True)
class PreparedRun:
    """A run that is read, checked and planned; as a context manager it closes what was opened for it.

    Attributes
    ----------
    inputs : RunInputs
    choice : SnpChoice
        SNPs as far as they are known before the first pass.
    plan : RunPlan
    files : ResultFiles
    identity : dict
        Identity of the run, as `RunInputs.identity` makes it; empty if results stay in memory.
    purpose : Purpose
    """

    inputs: RunInputs
    choice: SnpChoice
    plan: RunPlan
    files: ResultFiles
    identity: dict[str, Any]
    purpose: Purpose = WHOLE_RUN

    def __enter__(self) -> PreparedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inputs.close()


def prepare_run(
    est_bed: GenotypesLike | None,
    full_bed: GenotypesLike | None,
    X: Any,
    K: int | LatentFactors | None,
    options: RunOptions,
    covar: Any = None,
    purpose: Purpose = WHOLE_RUN,
) -> PreparedRun:
    """Read and check all inputs but the genotypes, plan the run, and check that its files can be written.

    Parameters and errors are those of `read_inputs`; and `purpose`, what the run is prepared for.

    Raises
    ------
    InsufficientMemoryError
        If the memory budget is too small.
    OutputExistsError, WriteError
        If result files are in the way, or cannot be written.
    """
    inputs = read_inputs(est_bed, full_bed, X, K, options, covar)
    try:
        with told_on_error(inputs.converted):
            inputs = replace(inputs, tables=[*inputs.tables, *purpose.inputs])
            choice = choose_listed(inputs)
            plan = plan_run(inputs, choice, purpose)
            names = inputs.variables.names
            files = purpose.files(
                options.output, names, inputs.variables.values, _extra_files(inputs, plan.n_compared > 0),
                inputs.input_paths(), inputs.variables.coordinates,
            )  # fmt: skip
            identity = {} if files.prefix is None else purpose.identify(inputs.identity())
            files.check(plan, identity)
            with open_files_allowed(plan.n_store_files):
                pass  # A limit that is too low is told before the passes.
    except BaseException:
        inputs.close()
        raise
    return PreparedRun(inputs, choice, plan, files, identity, purpose)


def plan_run(inputs: RunInputs, choice: SnpChoice, purpose: Purpose = WHOLE_RUN) -> RunPlan:
    """Plan a run with the SNPs chosen so far, and check that its memory is enough."""
    numbers, test, output, variables = inputs.numbers, inputs.options.test, inputs.options.output, inputs.variables
    tested_source, estimation_source = inputs.tested_source, inputs.estimation_source
    of_tested, of_estimation = tested_source.memory, estimation_source.memory
    held_variant_bytes = of_tested.held_variant_bytes
    if estimation_source is not tested_source:
        held_variant_bytes += of_estimation.held_variant_bytes
    # A pass that is still to come may choose all of its SNPs.
    n_listed = sum(len(chosen) for chosen in (choice.tested, choice.estimation) if chosen is not None)
    n_listed += choice.to_filter * (choice.n_tested + choice.n_estimation)
    n_listed += (choice.to_thin + (inputs.k_thin is not None)) * choice.n_estimation
    engine = inputs.make_engine()
    others = other_penalties(inputs, choice.n_estimation)
    compared = choose_compared(inputs, choice, engine)
    n_compared = compared.n_compared if inputs.comparison is None else 0
    size = RunSize(
        # A matrix of an array checks its values when it is made, so before any pass.
        tested=inputs.tested_matrix(choice.tested, engine),
        estimation=inputs.estimation_matrix(choice.estimation, engine),
        n_samples_read=len(variables.samples),
        n_snps_read=tested_source.n_snps,
        n_variables=len(variables.names),
        n_nuisance=len(variables.nuisance_names),
        n_factors=numbers.n_factors,
        n_sweep=len(numbers.ks),
        n_others=len(others),
        bytes_read=of_tested.snp_bytes,
        estimation_bytes_read=of_estimation.snp_bytes,
        n_listed=n_listed,
        variant_bytes=max(of_tested.variant_bytes, of_estimation.variant_bytes),
        held_variant_bytes=held_variant_bytes,
        reopened_bytes=max(of_tested.reopened_bytes, of_estimation.reopened_bytes),
        variant_row_bytes=of_tested.row_bytes,
        input_bytes=inputs.input_bytes,
        longest_id=variables.samples.longest_id,
        filled=test.impute == "factors",
        spa=test.spa,
        loadings=test.loadings,
        n_compared=n_compared,
        comparing=compared.footprint,
        compared_bytes_read=compared.source.memory.snp_bytes,
        source_disk_bytes=of_tested.disk_bytes,
        surrogates=test.surrogates,
        calibrate=test.calibrate,
        marginal=test.marginal,
    )
    plan = make_plan(
        size, inputs.options.solver, inputs.memory, inputs.n_threads, None if output.out is None else output.format,
        given=numbers.given is not None, tests_alone=purpose.tests_alone, counts_calls=inputs.to_count,
        drops_repeats=inputs.options.samples.drop_duplicates and inputs.comparison is None,
        n_environments=inputs.n_environments, filtered=choice.to_filter,
        thin=inputs.thin if choice.to_thin else None, k_thin=inputs.k_thin, tests=inputs.options.tests,
        model=describe_model(
            len(variables.names), len(variables.nuisance_names), numbers.describe(), variables.names
        ),
        allele="" if tested_source.refusal("count_allele") else tested_source.allele_name(inputs.counts_a1),
        noun=tested_source.noun,
        penalty=describe_penalties(inputs, others), matches=variables.matches,
    )  # fmt: skip
    plan.check()
    if (crew := inputs.crew) is not None:
        of_task = Engine(crew.n_threads, crew.memory)
        size = replace(
            size,
            tested=inputs.tested_matrix(choice.tested, of_task),
            estimation=inputs.estimation_matrix(choice.estimation, of_task),
        )
        check_task_memory(size, inputs.options.solver, plan.solver, crew.n_threads, crew.memory)
        shared = plan_shared_passes(crew, plan, size, inputs.options.solver.oversampling, inputs.options.tests)
        plan = replace(plan, workers=shared.lines())
    of_factors = "" if estimation_source is tested_source else estimation_source.summary()
    return replace(plan, filesets=tested_source.summary(), estimation_filesets=of_factors)


def _extra_files(inputs: RunInputs, is_compared: bool) -> list[str]:
    """Name the files that this run writes beside those of every run."""
    numbers, test = inputs.numbers, inputs.options.test
    has_spectrum = numbers.n_factors > 0 and (numbers.given is None or numbers.given.spectrum is not None)
    wanted = {
        "loadings": test.loadings,
        "factors-table": True,
        "scree": has_spectrum,
        "sweep": bool(numbers.ks),
        "sweep-histograms": bool(numbers.ks),
        "prune": inputs.thin is not None,
        "samples": is_compared,
    }
    return [name for name, there in wanted.items() if there]


@dataclass(frozen=True)
class Run:
    """A run that is executed: what was prepared, and the SNPs, the plan and the engine of the stages to come."""

    prepared: PreparedRun
    choice: SnpChoice
    plan: RunPlan
    engine: Engine


def _files_of_fewer(files: ResultFiles, inputs: RunInputs) -> ResultFiles:
    """Return the files of a run that has left out samples."""
    return files.with_design(inputs.variables.values, inputs.variables.coordinates)


def choose_snps(prepared: PreparedRun, checkpoints: Checkpoints) -> Run:
    """Make the passes that choose samples and SNPs, and plan again with those that they leave."""
    inputs, choice, plan, purpose = prepared.inputs, prepared.choice, prepared.plan, prepared.purpose
    engine = inputs.make_engine().with_beside(Footprint(plan.held_bytes))
    if (mind := inputs.options.samples.mind) is not None:
        inputs = filter_samples(inputs, mind, choice, engine, checkpoints)
        choice = choose_listed(inputs)
        plan = plan_run(inputs, choice, purpose)
        prepared = replace(prepared, inputs=inputs, files=_files_of_fewer(prepared.files, inputs))
    if inputs.options.samples.drop_duplicates or not purpose.tests_alone:
        inputs = find_repeats(inputs, choice, engine)
    if inputs is not prepared.inputs:
        choice = choose_listed(inputs)
        plan = plan_run(inputs, choice, purpose)
        prepared = replace(prepared, inputs=inputs, files=_files_of_fewer(prepared.files, inputs))
    if choice.to_filter:
        choice = apply_filters(inputs, choice, engine, checkpoints)
        plan = plan_run(inputs, choice, purpose)
    if inputs.thin is not None:
        choice = thin_estimation_set(inputs, inputs.thin, choice, engine, checkpoints)
        plan = plan_run(inputs, choice, purpose)
    release_freed_memory()
    return Run(prepared, choice, plan, engine)


def estimate(run: Run, checkpoints: Checkpoints, kept: LatentFactors | None = None) -> Estimation:
    """Estimate the factors with blocks that leave room for the other arrays of the plan."""
    engine = run.engine.with_beside(run.plan.beside_factors)
    estimation = estimate_factors(run.prepared.inputs, run.choice.estimation, engine, checkpoints, kept)
    release_freed_memory()
    return estimation


def choose_k(run: Run, estimation: Estimation, checkpoints: Checkpoints) -> Fit:
    """Choose K by the scree, of thinned SNPs if these were asked for."""
    inputs, thinned = run.prepared.inputs, None
    if inputs.k_thin is not None:
        engine = run.engine.with_beside(run.plan.beside_factors)
        thinned = compute_thinned_scree(inputs, inputs.k_thin, run.choice, estimation.factors, engine, checkpoints)
    return choose_number_of_factors(inputs.numbers, estimation, thinned)


def test_snps(run: Run, fit: Fit, checkpoints: Checkpoints, snps: SnpRange = ALL_SNPS) -> StatisticsStore:
    """Test all SNPs, or a range of them, with blocks that leave room for the other arrays of the plan."""
    engine = run.engine.with_beside(run.plan.beside_tests)
    return run_snp_tests(run.prepared.inputs, run.choice, fit, engine, checkpoints, snps)


def calibrate(run: Run, fit: Fit, store: StatisticsStore, checkpoints: Checkpoints) -> Tested:
    """Calibrate the tests of all SNPs, by surrogates where the plan has some; close the store if this fails."""
    inputs, choice, plan = run.prepared.inputs, run.choice, run.plan
    try:
        surrogates = None
        if plan.n_surrogates and (reason := why_surrogates(inputs, fit, store)):
            beside = plan.beside_surrogates
            assert beside is not None
            engines = (run.engine.with_beside(Footprint(beside.held)), run.engine.with_beside(beside))
            surrogates = draw_null(
                inputs, choice.estimation, choice.tested, fit.K, plan.n_surrogates, reason, engines, checkpoints
            )
        release_freed_memory()
        tested = calibrate_tests(inputs, choice, fit, store, surrogates)
        release_freed_memory()
        return tested
    except BaseException:
        store.close()
        raise


def execute_estimation(prepared: PreparedRun) -> LatentFactors:
    """Choose SNPs and estimate the factors in a run that tests no SNP and writes no file."""
    with single_threaded_blas():
        return estimate(choose_snps(prepared, Checkpoints()), Checkpoints()).factors


def execute_run(prepared: PreparedRun, gathered: GatheredParts | None = None) -> AssociationResult:
    """Choose SNPs, estimate the factors, test, calibrate, and write the result files if `out` is given.

    With `gathered`, other processes have chosen, estimated and tested, and what they found is taken from their files.
    """
    files = prepared.files
    with single_threaded_blas():
        if files.prefix is None:
            checkpoints = Checkpoints()
            run = choose_snps(prepared, checkpoints)
            fit = choose_k(run, estimate(run, checkpoints), checkpoints)
            return _result_in_memory(run, fit, calibrate(run, fit, test_snps(run, fit, checkpoints), checkpoints))
        if files.is_complete:
            files.remove_rest()
        else:
            allowed = open_files_allowed(prepared.plan.n_store_files)
            begun = files.begin(prepared.identity, prepared.inputs.check_unchanged)
            with allowed, begun as (checkpoints, publication), LiveLog(publication.scratch_folder) as log:
                log.write(f"{prepared.inputs.options.command}\n{prepared.plan.describe()}")
                prepared = replace(prepared, inputs=prepared.inputs.with_log(log))
                checkpoints.remove("*.sent")  # Workers of an interrupted run that still work stop when these are gone.
                if not publication.is_complete():
                    if gathered is not None:
                        checkpoints = gathered.start.checkpoints(checkpoints)
                    run = choose_snps(prepared, checkpoints)
                    kept = files.read_factors(publication) if gathered is None else gathered.start.factors
                    estimation = estimate(run, checkpoints, kept)
                    run.prepared.files.write_factors(publication, estimation.factors)
                    checkpoints.remove("pass-*.npz")
                    fit = choose_k(run, estimation, checkpoints)
                    if gathered is None:
                        store = test_snps(run, fit, checkpoints)
                    else:
                        store = gathered.fill_store(run.prepared.inputs, run.choice, fit, run.engine, checkpoints)
                    tested = calibrate(run, fit, store, checkpoints)
                    with contextlib.closing(tested.store):
                        _write(run, fit, tested, publication)
                files.publish(publication)
        if prepared.inputs.converted is not None:
            prepared.inputs.converted.finish()
    return read_results(str(files.prefix))


def _stream_variants(run: Run) -> Iterator[pa.Table]:
    """Stream CHROM, POS, ID, A1, A2 of the tested SNPs."""
    return variant_tables(run.prepared.inputs.tested_source, run.choice.tested)


def _write(run: Run, fit: Fit, tested: Tested, publication: Publication) -> None:
    """Finish all output files but the factors; `Publication.publish` then gives them their final names."""
    inputs, files = run.prepared.inputs, run.prepared.files
    writer = ResultWriter(
        files, publication, tested.store, lambda: _stream_variants(run), tested.calibrations, inputs.counts_a1,
        run.plan, run.engine.progress,
    )  # fmt: skip
    small: dict[str, pa.Table] = {} if fit.scree is None else {"scree": fit.scree.table()}
    small["factors-table"] = factors_table(fit.factors.leading(fit.K), inputs.variables.fids, inputs.variables.iids)
    if tested.sweep is not None:
        small |= {"sweep": tested.sweep.table, "sweep-histograms": tested.sweep.histograms}
    if inputs.comparison is not None:
        small["samples"] = inputs.comparison.table()
    if "prune" in files.paths:
        assert run.choice.estimation is not None
        writer.write_ids("prune", kept_ids(inputs.estimation_source, run.choice.estimation))
    writer.write_tables(fit.K)
    writer.write_small({name: table for name, table in small.items() if name in files.paths})
    record = make_record(inputs, run.choice, fit, tested, run.plan, run.engine.passes, run.prepared.identity)
    writer.write_record(record)


def _save(run: Run, fit: Fit, tested: Tested, out: AnyPath, form: TableFormat, overwrite: bool) -> AssociationResult:
    """Write the files of a run whose results are in memory, as the run itself would have written them to `out`."""
    output = OutputOptions(out=out, format=form, overwrite=overwrite)
    inputs = replace(run.prepared.inputs, options=replace(run.prepared.inputs.options, output=output))
    plan = plan_run(inputs, run.choice)
    files = ResultFiles(
        output, inputs.variables.names, inputs.variables.values, _extra_files(inputs, inputs.comparison is not None),
        inputs.input_paths(), inputs.variables.coordinates,
    )  # fmt: skip
    identity = inputs.identity()
    files.check(plan, identity)
    saved = replace(run, prepared=replace(run.prepared, inputs=inputs, files=files, identity=identity), plan=plan)
    with single_threaded_blas(), files.begin(identity, inputs.check_unchanged) as (_, publication):
        files.write_factors(publication, fit.factors)
        _write(saved, fit, tested, publication)
        files.publish(publication)
    return read_results(str(files.prefix))


def _result_in_memory(run: Run, fit: Fit, tested: Tested) -> AssociationResult:
    """Return the result of a run that writes no files."""
    inputs, store = run.prepared.inputs, tested.store
    imputation = describe_imputation(tested)
    source = MemorySource(
        store.columns,
        store.common.array,
        [rows.array for rows in store.rows],
        lambda: pa.concat_tables(_stream_variants(run)),
        tested.calibrations,
        inputs.counts_a1,
        store.loadings.array if inputs.options.test.loadings else None,
        None if store.joint is None else JointScores(store.joint.rows.array),
        fit.scree,
    )
    return AssociationResult(
        inputs.variables.names, fit.factors.leading(fit.K), describe_calibration(inputs, tested).tests, store.df,
        inputs.variables.iids, source, None, tested.sweep, None if imputation is None else asdict(imputation),
        partial(_save, run, fit, tested),
    )  # fmt: skip
