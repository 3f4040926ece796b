"""The stages between the choice of SNPs and the result files: estimate the factors, choose K, test, calibrate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from lfmm2._typing import Ints
from lfmm2.errors import CalibrationWarning, DegenerateProblemError, InputWarning, MalformedInputError
from lfmm2.genotypes import Engine, FactorFill, HeldOutError, PassRecord
from lfmm2.model import (
    AssociationModel,
    AssociationTest,
    LatentFactors,
    Scree,
    SweepModel,
    compute_scree,
    estimate_from_matrix,
    suggest_factors,
    variance_on_axes,
    variance_on_factors,
    warn_unless_converged,
)
from lfmm2.pipeline.advice import Evidence, calibration_warning, confounding_notes, fallback_note
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept, read_text
from lfmm2.pipeline.inputs import most_factors
from lfmm2.pipeline.missing_calls import describe_missing_calls, empty_samples_note, missing_calls_note
from lfmm2.pipeline.preparation import FactorNumbers, RunInputs
from lfmm2.pipeline.resumable_matrix import ResumableMatrix
from lfmm2.pipeline.snp_choice import SnpChoice
from lfmm2.pipeline.statistics_store import StatisticsStore, ThinnedRows, collect_statistics
from lfmm2.pipeline.structure import describe_structure, tie_notes
from lfmm2.pipeline.surrogates import SurrogateNull, find_cause
from lfmm2.results import JointFacts, MissingCallFacts, StructureFacts, SurrogateFacts
from lfmm2.statistics import Calibration, Inflation, Sweep, SweepRow, histogram_table, sweep_table


@dataclass(frozen=True)
class Fit:
    """The factors of a run, estimated or given, and their number K.

    Attributes
    ----------
    factors : LatentFactors
        All factors; the first K are those of the tables.
    K : int
        Number of factors of the tables.
    scree : Scree or None
        None if given factors have no eigenvalues.
    """

    factors: LatentFactors
    K: int
    scree: Scree | None


@dataclass(frozen=True)
class Tested:
    """The calibrated tests of all SNPs.

    Attributes
    ----------
    store : StatisticsStore
        Statistics, to be closed by the holder.
    calibrations : list of Calibration
        Calibration of each variable, then of the joint test.
    sweep : Sweep or None
    held_out : HeldOutError or None
        Errors of filled calls; None unless missing calls were filled from the factors.
    notes : list of str
        Warnings about the fit, missing calls and the calibrations.
    missing_calls : MissingCallFacts or None
        Missing rates of the samples; None where genotypes do not count missing calls by sample.
    structure : dict of str to StructureFacts
        How far each variable follows structure.
    joint : JointFacts or None
        None with one variable.
    surrogates : SurrogateFacts or None
        None where none were drawn.
    """

    store: StatisticsStore
    calibrations: list[Calibration]
    sweep: Sweep | None
    held_out: HeldOutError | None
    notes: list[str]
    missing_calls: MissingCallFacts | None
    structure: dict[str, StructureFacts]
    joint: JointFacts | None
    surrogates: SurrogateFacts | None


def estimate_factors(
    inputs: RunInputs, snps: Ints | None, engine: Engine, checkpoints: Checkpoints, kept: LatentFactors | None = None
) -> LatentFactors:
    """Return the factors that were given, or `kept` by an unfinished run, or else estimate them."""
    given = inputs.numbers.given
    factors = given or kept
    if factors is None:
        matrix = ResumableMatrix(inputs.estimation_matrix(snps, engine), engine, checkpoints)
        options = inputs.options.solver
        factors = estimate_from_matrix(matrix, inputs.ridge, inputs.numbers.n_factors, options, inputs.variables.iids)
        checkpoints.keep_note("passes", [record.to_json() for record in engine.passes])
    elif given is None and kept is not None:
        noted = checkpoints.load_note("passes")
        engine.passes[:] = read_kept(lambda: [read_text(PassRecord, text) for text in noted]) or []
        _check_kept(kept, inputs)
        warn_unless_converged(factors, inputs.options.solver.tol)
    # Samples without calls in the genotypes to test are counted in the pass of the tests.
    is_counted = inputs.options.tests and inputs.estimation_source is inputs.tested_source
    if given is None and not is_counted and (doubt := empty_samples_note(factors.U, inputs.variables.iids)):
        warnings.warn(doubt, InputWarning, stacklevel=5)
    return factors


def _check_kept(kept: LatentFactors, inputs: RunInputs) -> None:
    """Raise MalformedInputError if the factors of an unfinished run are not those that this run estimates."""
    shape = (len(inputs.variables.rows), inputs.numbers.n_factors)
    shapes = {np.shape(kept.U), np.shape(kept.loadings_map)}
    if kept.sample_ids != inputs.variables.iids or shapes != {shape} or not np.isfinite(kept.U).all():
        raise MalformedInputError(
            "the factors that the unfinished run kept are not of this run; start from the beginning with --overwrite "
            "and without --resume"
        )


def choose_number_of_factors(numbers: FactorNumbers, factors: LatentFactors) -> Fit:
    """Choose K, the number of factors of the tables: the given one, or the one that the scree suggests."""
    scree = None if factors.spectrum is None else compute_scree(factors.spectrum)
    if numbers.K is not None:
        return Fit(factors, numbers.K, scree)
    suggested, reason = suggest_factors(scree, numbers.ks)
    if suggested is None:
        raise DegenerateProblemError(f"no number of factors can be suggested, {reason}; choose one with -K")
    # The scree suggests 0 if no axis of structure stands out. The tables need a factor, so they take the fewest then.
    return Fit(factors, suggested or min(k for k in numbers.ks if k > 0), scree)


def run_snp_tests(
    inputs: RunInputs, choice: SnpChoice, fit: Fit, engine: Engine, checkpoints: Checkpoints
) -> StatisticsStore:
    """Test all SNPs in one pass; the store is to be closed by the caller."""
    test, ks, d = inputs.options.test, inputs.numbers.ks, len(inputs.variables.names)
    ploidy = inputs.tested_source.ploidy
    model: AssociationTest
    if ks:
        model = SweepModel(inputs.ridge, fit.factors, fit.K, ks, d, test.df, test.loadings, ploidy, test.marginal)
    else:
        model = AssociationModel(inputs.ridge, fit.factors, d, test.df, test.loadings, ploidy, test.marginal)
    fill = None
    if test.impute == "factors":
        fill = FactorFill(fit.factors.U[:, : fit.K], inputs.options.seed, keeps_means=bool(ks))
    return collect_statistics(model, inputs.tested_matrix(choice.tested, engine), checkpoints, fill)


def why_surrogates(inputs: RunInputs, fit: Fit, store: StatisticsStore) -> str:
    """Return why this run needs surrogate variables, in words; empty if it does not."""
    if inputs.options.test.surrogates != "auto":
        return "as asked"
    structure = describe_structure(inputs.ridge, fit.factors, fit.K, inputs.variables.names)
    return find_cause(structure, store.gifs(), len(inputs.variables.rows))


def calibrate_tests(
    inputs: RunInputs, choice: SnpChoice, fit: Fit, store: StatisticsStore, surrogates: SurrogateNull | None
) -> Tested:
    """Calibrate the statistics of every test, with warnings, and sum up missing calls, the sweep and held-out calls."""
    test, names = inputs.options.test, inputs.variables.names
    tails = () if surrogates is None else surrogates.tails
    calibrations = store.calibrations(test.calibrate, _thinned_rows(inputs, choice), tails)
    missing_calls = describe_missing_calls(store.tally, inputs.variables.iids)
    doubt = missing_calls_note(missing_calls, len(inputs.variables.rows))
    if doubt:
        warnings.warn(doubt, InputWarning, stacklevel=6)
    n_samples, ks = len(inputs.variables.rows), inputs.numbers.ks
    structure = describe_structure(inputs.ridge, fit.factors, fit.K, names)
    rows = store.sweep(test.calibrate) if ks else []
    notes = tie_notes(fit.factors, fit.K, ks) + confounding_notes(structure, fit.K, n_samples)
    notes += _calibration_notes(inputs, fit, calibrations, rows, structure)
    for note in notes:
        warnings.warn(note, CalibrationWarning, stacklevel=6)
    sweep = _summarise_sweep(inputs, fit, rows) if rows else None
    held_out = store.held_out_error() if test.impute == "factors" else None
    notes = [doubt] * bool(doubt) + notes
    drawn = None if surrogates is None else surrogates.facts
    return Tested(store, calibrations, sweep, held_out, notes, missing_calls, structure, store.joint_facts(), drawn)


def _thinned_rows(inputs: RunInputs, choice: SnpChoice) -> ThinnedRows | None:
    """Return the tested SNPs that thinning has kept; None without thinning, or if it was of other genotypes."""
    if choice.thinning is None or choice.estimation is None or inputs.estimation_source is not inputs.tested_source:
        return None
    return ThinnedRows(choice.tested, choice.estimation)


def _calibration_notes(
    inputs: RunInputs,
    fit: Fit,
    calibrations: list[Calibration],
    rows: list[list[SweepRow]],
    structure: dict[str, StructureFacts],
) -> list[str]:
    """Return the warnings about the calibrations of all tests, judged on what the run has found."""
    names, (n_samples, n_variables) = inputs.variables.names, inputs.variables.values.shape
    common = Evidence(
        calibrations[-1].summary, fit.K, most_factors(n_samples, n_variables), n_samples,
        has_sweep=bool(rows), n_axes=None if fit.scree is None else fit.scree.n_axes,
    )  # fmt: skip
    notes = []
    tests = [*names, "joint"] if len(names) > 1 else names
    for j, (name, calibration) in enumerate(zip(tests, calibrations, strict=False)):
        evidence = replace(common, test=calibration.summary)
        if j < len(names):
            by_k = {row.n_factors: row.calibration for row in rows[j]} if rows else {}
            evidence = replace(
                evidence,
                by_k={k: Inflation(of.gif, of.gif_se) for k, of in by_k.items() if np.isfinite(of.gif)},
                structure=structure[name],
            )
        notes.append(calibration_warning(name, evidence))
        if calibration.method != inputs.options.test.calibrate:
            notes.append(fallback_note(name, calibration.null.problem))
    return [note for note in notes if note]


def _summarise_sweep(inputs: RunInputs, fit: Fit, of_variables: list[list[SweepRow]]) -> Sweep:
    """Summarise the tests with each number of factors of a sweep."""
    names = inputs.variables.names
    rows = dict(zip(names, of_variables, strict=True))
    of_factors = variance_on_factors(inputs.ridge, fit.factors, len(names))
    of_axes = variance_on_axes(inputs.ridge.X[:, : len(names)], fit.factors.axes)
    gaps = np.append(np.nan, fit.factors.gaps)  # k from 0
    suggested, reason = suggest_factors(fit.scree, inputs.numbers.ks)
    return Sweep(sweep_table(rows, of_factors, of_axes, gaps), histogram_table(rows), suggested, reason)
