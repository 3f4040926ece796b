"""The record of a run, made from its inputs and the results of its stages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lfmm2.genotypes import PassRecord
from lfmm2.model import Status
from lfmm2.pipeline.collinearity import describe_collinearity
from lfmm2.pipeline.penalties import own_penalty
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.snp_choice import SnpChoice
from lfmm2.pipeline.stages import Fit, Tested
from lfmm2.process import software
from lfmm2.results import (
    CalibrationFacts,
    FactorFacts,
    GenotypesUsed,
    ImputationFacts,
    InputFile,
    RunRecord,
    ScreeFacts,
    SweepFacts,
)
from lfmm2.statistics import Sweep


def make_record(
    inputs: RunInputs,
    choice: SnpChoice,
    fit: Fit,
    tested: Tested,
    plan: RunPlan,
    passes: list[PassRecord],
    identity: dict[str, Any],
) -> RunRecord:
    """Make the record of a run that ends now; it lists no files yet."""
    variables, n_samples = inputs.variables, len(inputs.variables.rows)
    sweep = tested.sweep
    calibration = describe_calibration(inputs, tested)
    status = {status.name: int(tested.store.status_counts[status]) for status in Status}
    return RunRecord(
        command=inputs.options.command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software(),
        parameters=inputs.parameters(),
        inputs=[InputFile(str(path), _find_size(path)) for path in inputs.input_paths()],
        estimation=GenotypesUsed(n_samples, choice.n_estimation, inputs.estimation_source.describe()),
        tested=GenotypesUsed(n_samples, choice.n_tested, inputs.tested_source.describe()),
        variables=list(variables.names),
        nuisance_variables=list(variables.nuisance_names),
        categories=variables.categories,
        collinearity=describe_collinearity(variables, inputs.ridge.X),
        factors=_describe_factors(fit),
        structure=tested.structure,
        df=tested.store.df,
        gif={name: test.gif for name, test in calibration.variables.items()},
        n_environments=inputs.n_environments,
        comparison=None if inputs.comparison is None else inputs.comparison.facts,
        sample_filter=inputs.sample_filter,
        missing_calls=tested.missing_calls,
        filters=choice.filters,
        thinning=choice.thinning,
        calibration=calibration,
        carriers=tested.carriers,
        discoveries=tested.discoveries,
        joint=tested.joint,
        surrogates=tested.surrogates,
        scree=_describe_scree(fit),
        sweep=None if sweep is None else _describe_sweep(inputs, fit, sweep),
        imputation=describe_imputation(tested),
        status=status,
        plan=plan.for_record(),
        passes=list(passes),
        warnings=tested.notes,
        identity=identity,
    )


def _find_size(path: Path) -> int | None:
    """Return the bytes of an input; None if it was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _describe_factors(fit: Fit) -> FactorFacts:
    """Return the part of the record about the factors."""
    factors, of_tables = fit.factors, fit.factors.leading(fit.K)
    return FactorFacts(
        K=fit.K,
        n_estimated=factors.n_factors,
        solver=factors.solver,
        reason=factors.reason,
        n_passes=factors.n_passes,
        converged=factors.converged,
        singular_values=factors.singular_values.tolist(),
        residuals=factors.residuals.tolist(),
        gap=float(of_tables.gaps[-1]) if fit.K else float("nan"),
        angle_bound=of_tables.angle_bound,
    )


def _describe_scree(fit: Fit) -> ScreeFacts | None:
    """Return the part of the record about the axes of structure; None if no eigenvalues are known."""
    if (scree := fit.scree) is None:
        return None
    return ScreeFacts(
        scree.n_axes, scree.effective_snps, scree.bulk_edge, scree.is_hidden, scree.n_snps, fit.k_thinning,
        fit.n_axes_unthinned,
    )  # fmt: skip


def _describe_sweep(inputs: RunInputs, fit: Fit, sweep: Sweep) -> SweepFacts:
    """Return the part of the record about the sweep."""
    values = {penalty.text: penalty.value for penalty in (own_penalty(inputs), *fit.others)}
    return SweepFacts(
        list(inputs.numbers.ks), sweep.suggested, sweep.reason, sweep.flat(), sweep.penalty,
        {text: values[text] for text in sweep.penalties},
    )  # fmt: skip


def describe_calibration(inputs: RunInputs, tested: Tested) -> CalibrationFacts:
    """Return the calibration of every test."""
    names = inputs.variables.names
    *of_variables, joint = (calibration.summary for calibration in tested.calibrations)
    variables = dict(zip(names, of_variables, strict=True))
    return CalibrationFacts(inputs.options.test.calibrate, variables, joint if len(names) > 1 else None)


def describe_imputation(tested: Tested) -> ImputationFacts | None:
    """Return the errors of predicted calls; None unless missing calls were filled from the factors."""
    if (held_out := tested.held_out) is None:
        return None
    errors = (held_out.rmse_mean, held_out.rmse_factors, held_out.ratio)
    return ImputationFacts("factors", held_out.n_held_out, *errors, held_out.n_left_at_mean)
