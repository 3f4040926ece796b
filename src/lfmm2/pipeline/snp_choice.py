"""The stage that chooses SNPs: lists first, then the passes for maf and geno and for thinning, which decode nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from lfmm2._typing import Ints
from lfmm2.errors import InconsistentInputError
from lfmm2.genotypes import Engine, PassRecord, ThinOptions, n_snps_of, thin_snps
from lfmm2.pipeline.inputs import check_size
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.run_state import NoState
from lfmm2.pipeline.snps import estimation_snps, filter_snps
from lfmm2.results import FilterFacts, ThinningFacts

Facts = TypeVar("Facts", FilterFacts, ThinningFacts)


@dataclass(frozen=True)
class SnpChoice:
    """SNPs to test and to estimate from, as far as they are known.

    Attributes
    ----------
    tested, estimation : ndarray of int64 or None
        Sorted positions; None for all.
    n_tested, n_estimation : int
    to_filter, to_thin : bool
        True while a pass is to come that leaves fewer SNPs to test, or to estimate from.
    filters : FilterFacts or None
    thinning : ThinningFacts or None
        None before the pass, or without one.
    """

    tested: Ints | None
    estimation: Ints | None
    n_tested: int
    n_estimation: int
    to_filter: bool
    to_thin: bool
    filters: FilterFacts | None = None
    thinning: ThinningFacts | None = None


def choose_listed(inputs: RunInputs) -> SnpChoice:
    """Choose the SNPs that lists and ``est_rate`` name, before any pass over the genotypes."""
    return _with_tested(inputs, inputs.listed, to_filter=inputs.options.snps.filters)


def _with_tested(inputs: RunInputs, tested: Ints | None, to_filter: bool) -> SnpChoice:
    """Return the choice in which these SNPs are tested, and estimated from where both sets are one."""
    base = tested if inputs.estimation_source is inputs.tested_source else None
    options = inputs.options
    estimation = estimation_snps(inputs.estimation_source, base, inputs.est_listed, options.snps, options.seed)
    choice = SnpChoice(
        tested,
        estimation,
        n_snps_of(inputs.tested_source) if tested is None else len(tested),
        n_snps_of(inputs.estimation_source) if estimation is None else len(estimation),
        to_filter,
        inputs.thin is not None,
    )
    _check_numbers(inputs, choice)
    return choice


def _check_numbers(inputs: RunInputs, choice: SnpChoice) -> None:
    """Refuse a choice that leaves nothing to test, or too few SNPs for the factors."""
    if choice.n_tested < 1:
        raise InconsistentInputError("there is no SNP to test; check the genotypes")
    if inputs.numbers.given is None:
        n, n_variables = inputs.variables.values.shape
        check_size(n, n_variables, inputs.numbers.n_factors, choice.n_estimation)


def apply_filters(inputs: RunInputs, choice: SnpChoice, engine: Engine, state: NoState) -> SnpChoice:
    """Drop SNPs by maf and geno among the samples in use, in one pass that only counts."""
    passed, facts = _kept_positions(
        state,
        "filters",
        engine,
        FilterFacts,
        lambda: filter_snps(inputs.tested_source, engine, inputs.variables.rows, choice.tested, inputs.options.snps),
    )
    return replace(_with_tested(inputs, passed, to_filter=False), filters=facts)


def thin_estimation_set(
    inputs: RunInputs, thin: ThinOptions, choice: SnpChoice, engine: Engine, state: NoState
) -> SnpChoice:
    """Keep estimation SNPs of which no two in a window are correlated, in one pass."""

    def compute() -> tuple[Ints, ThinningFacts]:
        kept = thin_snps(inputs.estimation_source, engine, inputs.estimation_rows, choice.estimation, thin)
        return kept, ThinningFacts(thin.r2, thin.window_text, choice.n_estimation, len(kept))

    kept, facts = _kept_positions(state, "thinned", engine, ThinningFacts, compute)
    thinned = replace(choice, estimation=kept, n_estimation=len(kept), to_thin=False, thinning=facts)
    _check_numbers(inputs, thinned)
    return thinned


def _kept_positions(
    state: NoState, name: str, engine: Engine, kind: type[Facts], compute: Callable[[], tuple[Ints, Facts]]
) -> tuple[Ints, Facts]:
    """Return the SNPs that a pass chooses and its facts: computed, or kept by an unfinished run."""
    kept = state.arrays(name)
    if kept is not None and {"positions", "facts", "record"} <= kept.keys():
        engine.passes.append(PassRecord.from_json(str(kept["record"])))
        return kept["positions"], kind(**json.loads(str(kept["facts"])))
    positions, facts = compute()
    state.keep_arrays(name, positions=positions, facts=json.dumps(asdict(facts)), record=engine.passes[-1].to_json())
    return positions, facts
