"""The stages between the choice of SNPs and the result files: estimate the factors, choose K, test, calibrate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from lfmm2._typing import Ints
from lfmm2.errors import CalibrationWarning, DegenerateProblemError, InputWarning, MalformedInputError
from lfmm2.genotypes import ALL_SNPS, Engine, FactorFill, HeldOutError, PassRecord, SnpRange
from lfmm2.model import (
    AssociationModel,
    AssociationTest,
    LatentFactors,
    Penalty,
    Scree,
    SweepModel,
    compute_scree,
    suggest_factors,
    variance_on_axes,
    variance_on_factors,
    warn_unless_converged,
)
from lfmm2.pipeline.advice import Evidence, calibration_warning, confounding_notes, fallback_note, undetected_notes
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept, read_text
from lfmm2.pipeline.few_carriers import describe_few_carriers, few_carriers_notes
from lfmm2.pipeline.inputs import most_factors
from lfmm2.pipeline.missing_calls import describe_missing_calls, empty_samples_note, missing_calls_note
from lfmm2.pipeline.penalties import Estimation, estimate_with_each, load_others, own_penalty
from lfmm2.pipeline.preparation import FactorNumbers, RunInputs
from lfmm2.pipeline.sample_comparison import repeats_note
from lfmm2.pipeline.snp_choice import SnpChoice
from lfmm2.pipeline.statistics_store import StatisticsStore, ThinnedRows, collect_statistics
from lfmm2.pipeline.structure import describe_structure, tie_notes
from lfmm2.pipeline.surrogates import SurrogateNull, find_cause
from lfmm2.pipeline.thinned_scree import ThinnedScree
from lfmm2.results import (
    CarrierFacts,
    JointFacts,
    MissingCallFacts,
    StructureFacts,
    SurrogateFacts,
    ThinningFacts,
)
from lfmm2.statistics import Calibration, Inflation, Sweep, SweepRow, count_discoveries, histogram_table, sweep_table


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
        The scree from which K is suggested; None if given factors have no eigenvalues.
    suggested : int or None
        Number of factors of the sweep that the scree suggests; None without a sweep, or if none can be suggested.
    reason : str
        Reason for the suggestion; empty without a sweep.
    k_thinning : ThinningFacts or None
        How the SNPs of the scree were thinned; None if they are those that the factors were estimated from.
    n_axes_unthinned : int or None
        Number of axes of all of these SNPs; None without this thinning.
    others : dict of Penalty to LatentFactors
        Factors of the other penalties that a sweep compares.
    """

    factors: LatentFactors
    K: int
    scree: Scree | None
    suggested: int | None = None
    reason: str = ""
    k_thinning: ThinningFacts | None = None
    n_axes_unthinned: int | None = None
    others: dict[Penalty, LatentFactors] = field(default_factory=dict)


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
    carriers : CarrierFacts
        Tests that are not calibrated because of few carriers.
    structure : dict of str to StructureFacts
        How far each variable follows structure.
    discoveries : dict of str to int
        Number of SNPs with q below 0.05 of each variable.
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
    carriers: CarrierFacts
    structure: dict[str, StructureFacts]
    discoveries: dict[str, int]
    joint: JointFacts | None
    surrogates: SurrogateFacts | None


def estimate_factors(
    inputs: RunInputs, snps: Ints | None, engine: Engine, checkpoints: Checkpoints, kept: LatentFactors | None = None
) -> Estimation:
    """Return the factors that were given, or `kept` by an unfinished run, or else estimate them.

    A sweep has factors of other penalties beside them; where an unfinished run has not kept these, all are estimated.
    """
    given = inputs.numbers.given
    others = None if kept is None else load_others(inputs, _count_snps(inputs, snps), checkpoints)
    if given is not None:
        estimation = Estimation(given)
    elif kept is None or others is None:
        estimation = estimate_with_each(inputs, snps, engine, checkpoints)
        checkpoints.keep_note("passes", [record.to_json() for record in engine.passes])
    else:
        noted = checkpoints.load_note("passes")
        engine.passes[:] = read_kept(lambda: [read_text(PassRecord, text) for text in noted]) or []
        _check_kept(kept, inputs)
        warn_unless_converged(kept, inputs.options.solver.tol)
        estimation = Estimation(kept, others)
    # Samples without calls in the genotypes to test are counted in the pass of the tests.
    is_counted = inputs.options.tests and inputs.estimation_source is inputs.tested_source
    U, noun = estimation.factors.U, inputs.estimation_source.noun
    if given is None and not is_counted and (doubt := empty_samples_note(U, inputs.variables.iids, noun)):
        warnings.warn(doubt, InputWarning, stacklevel=5)
    return estimation


def _count_snps(inputs: RunInputs, snps: Ints | None) -> int:
    """Return the number of SNPs of the estimation set."""
    return inputs.estimation_source.n_snps if snps is None else len(snps)


def _check_kept(kept: LatentFactors, inputs: RunInputs) -> None:
    """Raise MalformedInputError if the factors of an unfinished run are not those that this run estimates."""
    shape = (len(inputs.variables.rows), inputs.numbers.n_factors)
    shapes = {np.shape(kept.U), np.shape(kept.loadings_map)}
    if kept.sample_ids != inputs.variables.iids or shapes != {shape} or not np.isfinite(kept.U).all():
        raise MalformedInputError(
            "the factors that the unfinished run kept are not of this run; start from the beginning with --overwrite "
            "and without --resume"
        )


def choose_number_of_factors(
    numbers: FactorNumbers, estimation: Estimation, thinned: ThinnedScree | None = None
) -> Fit:
    """Choose K, the number of factors of the tables: the given one, or the one that the scree suggests.

    The scree is that of the thinned SNPs, or without them that of the factors.
    """
    factors = estimation.factors
    scree = None if factors.spectrum is None else compute_scree(factors.spectrum)
    fit = Fit(factors, numbers.K or 0, scree, others=estimation.others)
    if thinned is not None and thinned.scree is not None and scree is not None:
        fit = replace(fit, scree=thinned.scree, k_thinning=thinned.facts, n_axes_unthinned=scree.n_axes)
    if not numbers.ks:
        return fit
    suggested, reason = suggest_factors(fit.scree, numbers.ks)
    if fit.k_thinning is not None:
        reason = f"{reason} (SNPs thinned by linkage)"
    elif thinned is not None:
        reason = f"{reason} (all SNPs: thinning by linkage leaves {thinned.facts.n_kept}, too few to count axes)"
    fit = replace(fit, suggested=suggested, reason=reason)
    if numbers.K is not None:
        return fit
    if suggested is None:
        raise DegenerateProblemError(f"no number of factors can be suggested, {reason}; choose one with -K")
    # The scree suggests 0 if no axis of structure stands out. The tables need a factor, so they take the fewest then.
    return replace(fit, K=suggested or min(k for k in numbers.ks if k > 0))


def make_test_model(inputs: RunInputs, fit: Fit) -> AssociationTest:
    """Return the model of the tests, with the factors of the run."""
    test, ks, d = inputs.options.test, inputs.numbers.ks, len(inputs.variables.names)
    ploidy = inputs.tested_source.ploidy
    common = (d, test.df, test.loadings, ploidy, test.marginal, test.fewest_carriers, test.spa)
    if ks:
        return SweepModel(inputs.ridge, fit.factors, fit.K, ks, *common, tuple(fit.others.values()))
    return AssociationModel(inputs.ridge, fit.factors, *common)


def run_snp_tests(
    inputs: RunInputs,
    choice: SnpChoice,
    fit: Fit,
    engine: Engine,
    checkpoints: Checkpoints,
    snps: SnpRange = ALL_SNPS,
) -> StatisticsStore:
    """Test all SNPs, or a range of them, in one pass; the store is to be closed by the caller."""
    fill = None
    if inputs.options.test.impute == "factors":
        fill = FactorFill(fit.factors.U[:, : fit.K], inputs.options.seed, keeps_means=bool(inputs.numbers.ks))
    matrix = inputs.tested_matrix(choice.tested, engine, checkpoints)
    return collect_statistics(make_test_model(inputs, fit), matrix, checkpoints, fill, snps)


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
    doubt = missing_calls_note(missing_calls, len(inputs.variables.rows), inputs.tested_source.noun)
    if doubt:
        warnings.warn(doubt, InputWarning, stacklevel=6)
    n_samples, ks = len(inputs.variables.rows), inputs.numbers.ks
    structure = describe_structure(inputs.ridge, fit.factors, fit.K, names)
    rows = store.sweep(test.calibrate) if ks else []
    notes = tie_notes(fit.factors, fit.K, ks) + confounding_notes(structure, fit.K, n_samples)
    # The first rows of each variable are those of the penalty of the run.
    notes += _calibration_notes(inputs, fit, calibrations, [of[: len(ks)] for of in rows], structure)
    sweep = _summarise_sweep(inputs, fit, rows) if rows else None
    of_variables = dict(zip(names, calibrations, strict=False))
    notes += undetected_notes(
        fit.scree, {name: of.gif for name, of in of_variables.items()}, fit.K, n_samples,
        {} if sweep is None else sweep.gif_by_k(), {name: of.gif_se for name, of in of_variables.items()},
    )  # fmt: skip
    carriers = describe_few_carriers(store, names, test.fewest_carriers, test.spa)
    notes += few_carriers_notes(carriers, inputs.variables.values)
    for note in notes:
        warnings.warn(note, CalibrationWarning, stacklevel=6)
    held_out = store.held_out_error() if test.impute == "factors" else None
    # The warning of repeats was given when they were found.
    about_samples = [note for note in (repeats_note(inputs.comparison), doubt) if note]
    return Tested(
        store, calibrations, sweep, held_out, about_samples + notes, missing_calls, carriers, structure,
        _count_discoveries(names, calibrations, store), store.joint_facts(),
        None if surrogates is None else surrogates.facts,
    )  # fmt: skip


def _count_discoveries(names: Sequence[str], calibrations: list[Calibration], store: StatisticsStore) -> dict[str, int]:
    """Count the SNPs of each variable with a Benjamini-Hochberg q below 0.05, in a pass over its statistics."""
    counts = {}
    for j, (name, calibration) in enumerate(zip(names, calibrations, strict=False)):
        scores = map(calibration.scores, store.tested_blocks(j, calibration))
        counts[name] = count_discoveries(calibration.histogram, scores, calibration.p)[0]
    return counts


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
        has_sweep=bool(rows), n_axes=None if fit.scree is None or fit.scree.is_hidden else fit.scree.n_axes,
        n_repeated=inputs.n_repeated, n_environments=inputs.n_environments,
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


def _summarise_sweep(inputs: RunInputs, fit: Fit, by_variable: list[list[SweepRow]]) -> Sweep:
    """Summarise the tests with each number of factors and each penalty of a sweep."""
    names, ks = inputs.variables.names, inputs.numbers.ks
    # The axes of the genotypes do not depend on the penalty.
    of_axes = variance_on_axes(inputs.ridge.X[:, : len(names)], fit.factors.axes)
    own = own_penalty(inputs)
    tables: dict[Penalty, pa.Table] = {}
    for i, (penalty, factors) in enumerate([(own, fit.factors), *fit.others.items()]):
        columns = slice(i * len(ks), (i + 1) * len(ks))
        rows = {name: of_variable[columns] for name, of_variable in zip(names, by_variable, strict=True)}
        of_factors = variance_on_factors(inputs.ridge, factors, len(names))
        gaps = np.append(np.nan, factors.gaps)  # k from 0
        tables[penalty] = sweep_table(rows, penalty.text, of_factors, of_axes, gaps)
        if penalty is own:
            histograms = histogram_table(rows)
    ascending = sorted(tables, key=lambda penalty: penalty.value)
    texts = tuple(penalty.text for penalty in ascending)
    return Sweep(
        pa.concat_tables([tables[of] for of in ascending]), histograms, fit.suggested, fit.reason, own.text, texts
    )
