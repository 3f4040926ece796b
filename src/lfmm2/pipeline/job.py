"""The passes in order: filter and thin the SNPs, estimate the factors, test every SNP, calibrate, write.

`Job` is one run: made, it has read and checked all inputs but the genotypes and knows its plan; executed, it gives
the result. The functions of `lfmm2.api` are the public ways to it.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from types import TracebackType
from typing import Any

import pyarrow as pa

from lfmm2._typing import Ints
from lfmm2.errors import CalibrationWarning, DegenerateProblemError
from lfmm2.genotypes import (
    BedFile,
    FactorFill,
    GenotypeSource,
    HeldOutError,
    PassRecord,
    ThinOptions,
    kept_ids,
    thin_snps,
    variant_tables,
)
from lfmm2.model import (
    AssociationModel,
    LatentFactors,
    Scree,
    Status,
    SweepModel,
    compute_scree,
    estimate_from_matrix,
    suggest_factors,
    variance_on_factors,
    warn_unless_converged,
)
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.preparation import Preparation, RunOptions
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.result_writer import ResultWriter
from lfmm2.pipeline.resumable_matrix import RememberedMatrix
from lfmm2.pipeline.run_record import make_record
from lfmm2.pipeline.run_state import NoState, RunState
from lfmm2.pipeline.snps import filter_snps
from lfmm2.pipeline.statistics_store import BLOCK_ROWS, StatisticsStore
from lfmm2.process import single_threaded_blas
from lfmm2.results import AssociationResult, MemorySource, read_results
from lfmm2.statistics import Calibration, Sweep, calibration_notes, histogram_table, sweep_table


@dataclass(frozen=True)
class Tested:
    """What the testing pass gave."""

    store: StatisticsStore
    calibrations: list[Calibration]
    sweep: Sweep | None
    held_out: HeldOutError | None
    notes: list[str]


class Job:
    """One run, prepared and checked; parameters as of `Preparation`.

    Attributes
    ----------
    inputs : Preparation
    files : ResultFiles
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
        self.inputs = Preparation(est_bed, full_bed, X, K, options, covar)
        self._facts: dict[str, Any] = {"filters": None, "thinning": None}
        self._found: Scree | None = None
        try:
            variables = self.inputs.variables
            design = variables.values[:, : len(variables.names)]
            self.files = ResultFiles(options.output, variables.names, design, self._extras(), self.inputs.input_paths())
            self.files.check(self.plan, self.identity)
        except BaseException:
            self.close()
            raise

    def _extras(self) -> list[str]:
        inputs, test = self.inputs, self.inputs.options.test
        has_spectrum = inputs.n_factors > 0 and (inputs.given is None or inputs.given.spectrum is not None)
        wanted = {
            "loadings": test.loadings,
            "scree": has_spectrum,
            "sweep": bool(inputs.ks),
            "sweep-histograms": bool(inputs.ks),
            "prune": inputs.thin is not None,
        }
        return [name for name, there in wanted.items() if there]

    @property
    def plan(self) -> RunPlan:
        """What is to be done, as far as it is known."""
        return self.inputs.plan

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the filesets that the job opened itself."""
        self.inputs.close()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What an unfinished run must share with this one to be resumed by it; empty where nothing is kept."""
        return {} if self.files.prefix is None else self.inputs.identity()

    def choose_snps(self, state: NoState) -> None:
        """Apply maf and geno, and thin the estimation set: each takes a pass that decodes nothing."""
        inputs, engine = self.inputs, self.inputs.engine
        if inputs.options.snps.filters:
            passed, facts = self._kept_positions(
                state,
                "filters",
                lambda: filter_snps(
                    inputs.tested_source, engine, inputs.variables.rows, inputs.selected, inputs.options.snps
                ),
            )
            self._facts["filters"] = facts
            inputs.use_snps(passed, thinned=inputs.thin is not None)
        if inputs.thin is not None:
            thin = inputs.thin
            kept, facts = self._kept_positions(
                state,
                "thinned",
                lambda: _thinned(inputs, thin),
            )
            self._facts["thinning"] = facts
            inputs.use_snps(inputs.tested_snps, kept=kept)

    def _kept_positions(
        self, state: NoState, name: str, compute: Callable[[], tuple[Ints, dict[str, Any]]]
    ) -> tuple[Ints, dict[str, Any]]:
        """SNPs that a pass chooses, with what is to be said about it: computed, or kept by an unfinished run."""
        kept = state.arrays(name)
        passes = self.inputs.engine.passes
        if kept is not None and {"positions", "facts", "record"} <= kept.keys():
            passes.append(PassRecord.from_json(str(kept["record"])))
            return kept["positions"], json.loads(str(kept["facts"]))
        positions, facts = compute()
        state.keep_arrays(name, positions=positions, facts=json.dumps(facts), record=passes[-1].to_json())
        return positions, facts

    def estimate(self, state: NoState) -> LatentFactors:
        """All factors that are asked for, or those given, for the samples in use."""
        inputs, engine = self.inputs, self.inputs.engine
        factors = inputs.given or self.files.kept_factors(state)
        if factors is None:
            engine.memory = inputs.memory - self.plan.factor_reserve
            matrix = RememberedMatrix(inputs.estimation, engine, state)
            factors = estimate_from_matrix(
                matrix, inputs.ridge, inputs.n_factors, inputs.options.solver, inputs.variables.iids
            )
            state.keep_note("passes", [record.to_json() for record in engine.passes])
        elif inputs.given is None:
            engine.passes = [PassRecord.from_json(text) for text in state.note("passes") or []]
            warn_unless_converged(factors, inputs.options.solver.tol)
        self.files.keep_factors(state, factors)
        state.forget("pass-*.npz")
        return factors

    def execute(self) -> AssociationResult:
        """Estimate, test, calibrate, and write if asked to."""
        files = self.files
        with single_threaded_blas():
            if files.prefix is None:
                self.choose_snps(NoState())
                factors = self.estimate(NoState())
                K = self._choose_factors(factors)
                return self._in_memory(factors.leading(K), self._test(factors, NoState()))
            if files.is_complete:
                files.remove_rest()
            else:
                with files.begin(self.identity) as state:
                    if not files.is_finished(state):
                        self.choose_snps(state)
                        self._write(self.estimate(state), state)
                    files.publish(state)
        return read_results(str(files.prefix))

    def _scree(self, factors: LatentFactors) -> Scree | None:
        """Of the factors of this run, which are all that it is asked for: computed once."""
        if self._found is None and factors.spectrum is not None:
            self._found = compute_scree(factors.spectrum)
        return self._found

    def _choose_factors(self, factors: LatentFactors) -> int:
        """The number to report in full."""
        inputs = self.inputs
        if inputs.K is not None:
            return inputs.K
        suggested, reason = suggest_factors(self._scree(factors), inputs.ks)
        if suggested is None:
            raise DegenerateProblemError(f"no number of factors can be suggested, {reason}; choose one with -K")
        # without an axis of structure the least that a model of factors can have
        return suggested or min(k for k in inputs.ks if k > 0)

    def _test(self, factors: LatentFactors, state: NoState) -> Tested:
        """Statistics of all SNPs, what they add up to, and what is to be said about it."""
        inputs, test = self.inputs, self.inputs.options.test
        names, K = inputs.variables.names, self._choose_factors(factors)
        model: AssociationModel | SweepModel
        if inputs.ks:
            model = SweepModel(inputs.ridge, factors, K, inputs.ks, len(names), test.df, test.loadings)
        else:
            model = AssociationModel(inputs.ridge, factors, len(names), test.df, test.loadings)
        fill = None
        if test.impute == "factors":
            fill = FactorFill(factors.U[:, :K], inputs.options.seed, keeps_means=bool(inputs.ks))
        inputs.engine.memory = inputs.memory - self.plan.test_reserve
        store = StatisticsStore(model, inputs.tested, state, fill)
        try:
            calibrations = store.calibrations(test.calibrate)
            notes = [
                note
                for name, calibration in zip([*names, "joint"], calibrations, strict=True)
                if name != "joint" or len(names) > 1
                for note in calibration_notes(calibration, test.calibrate, name)
            ]
            for note in notes:
                warnings.warn(note, CalibrationWarning, stacklevel=5)
            sweep = self._sweep(store, factors) if inputs.ks else None
            held_out = None
            if fill is not None:
                held_out = HeldOutError()
                for rows in store.held_out.blocks(BLOCK_ROWS):
                    held_out.add(rows)
        except BaseException:
            store.close()
            raise
        return Tested(store, calibrations, sweep, held_out, notes)

    def _sweep(self, store: StatisticsStore, factors: LatentFactors) -> Sweep:
        inputs = self.inputs
        names = inputs.variables.names
        rows = dict(zip(names, store.sweep(inputs.options.test.calibrate), strict=True))
        shares = variance_on_factors(inputs.ridge, factors, len(names))
        suggested, reason = suggest_factors(self._scree(factors), inputs.ks)
        return Sweep(sweep_table(rows, shares), histogram_table(rows), suggested, reason)

    def _write(self, factors: LatentFactors, state: RunState) -> None:
        """Test, and finish all files."""
        inputs, files = self.inputs, self.files
        tested = self._test(factors, state)
        K = self._choose_factors(factors)
        df = tested.store.df
        with contextlib.closing(tested.store):
            writer = ResultWriter(
                files, state, tested.store, self.variants, tested.calibrations, df, inputs.counts_a1, self.plan,
                inputs.engine.progress,
            )  # fmt: skip
            found = self._scree(factors)
            small: dict[str, pa.Table] = {} if found is None else {"scree": found.table()}
            if tested.sweep is not None:
                small |= {"sweep": tested.sweep.table, "sweep-histograms": tested.sweep.histograms}
            if "prune" in files.paths:
                assert isinstance(inputs.estimation_source, BedFile)
                assert inputs.estimation_chosen is not None
                writer.write_ids("prune", kept_ids(inputs.estimation_source, inputs.estimation_chosen))
            writer.write_tables(K)
            writer.write_small({name: table for name, table in small.items() if name in files.paths})
            writer.write_record(self._record(factors, K, df, tested, found), factors)

    def _record(self, factors: LatentFactors, K: int, df: int, tested: Tested, found: Scree | None) -> dict[str, Any]:
        inputs = self.inputs
        names, sweep = inputs.variables.names, tested.sweep
        facts = {
            **self._facts,
            "calibration": _calibration_facts(inputs.options.test.calibrate, names, tested.calibrations),
            "scree": None if found is None else _scree_facts(found),
            "sweep": None
            if sweep is None
            else {"K": list(inputs.ks), "suggested": sweep.suggested, "reason": sweep.reason},
            "imputation": None if tested.held_out is None else {"method": "factors", **tested.held_out.summary()},
        }
        return make_record(
            inputs.options.command, inputs.parameters(), inputs.input_paths(), inputs.estimation, inputs.tested,
            inputs.variables, factors, K, df, facts, _status_names(tested.store), self.plan, inputs.engine,
            tested.notes, self.identity,
        )  # fmt: skip

    def variants(self) -> Any:
        """Stream CHROM, POS, ID, A1, A2 of the tested SNPs."""
        return variant_tables(self.inputs.tested_source, self.inputs.tested_snps)

    def _in_memory(self, factors: LatentFactors, tested: Tested) -> AssociationResult:
        inputs, store = self.inputs, tested.store
        source = MemorySource(
            store.common.array,
            [rows.array for rows in store.rows],
            lambda: pa.concat_tables(self.variants()),
            store.df,
            tested.calibrations,
            inputs.counts_a1,
            store.loadings.array if inputs.options.test.loadings else None,
        )
        names = inputs.variables.names
        with_names = zip([*names, "joint"], tested.calibrations, strict=True)
        summaries = {name: c.summary for name, c in with_names if name != "joint" or len(names) > 1}
        imputation = None if tested.held_out is None else {"method": "factors", **tested.held_out.summary()}
        return AssociationResult(
            names, factors, summaries, store.df, inputs.variables.iids, source, None, tested.sweep, imputation
        )


def _thinned(inputs: Preparation, thin: ThinOptions) -> tuple[Ints, dict[str, Any]]:
    kept = thin_snps(inputs.estimation_source, inputs.engine, inputs.estimation_rows, inputs.estimation_chosen, thin)
    facts = {"n_snps": inputs.estimation.n_snps, "n_kept": len(kept)}
    return kept, {"r2": thin.r2, "window": thin.window_text, **facts}


def _status_names(store: StatisticsStore) -> dict[str, int]:
    return {status.name: int(store.status_counts[status]) for status in Status}


def _scree_facts(found: Scree) -> dict[str, Any]:
    return {"n_axes": found.n_axes, "effective_snps": found.effective_snps, "bulk_edge": found.bulk_edge}


def _calibration_facts(method: str, names: tuple[str, ...], calibrations: list[Calibration]) -> dict[str, Any]:
    """For the record."""
    of_variables = {name: asdict(c.summary) for name, c in zip(names, calibrations, strict=False)}
    joint = asdict(calibrations[-1].summary) if len(names) > 1 else None
    return {"method": method, "variables": of_variables, "joint": joint}
