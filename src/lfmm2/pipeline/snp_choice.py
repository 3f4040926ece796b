"""The stage that chooses SNPs: first by lists of IDs, then by passes that filter by maf and geno and that thin."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import numpy as np

from lfmm2._typing import Ints
from lfmm2.errors import InconsistentInputError
from lfmm2.genotypes import Engine, PassRecord, ThinOptions, thin_snps
from lfmm2.pipeline.checkpoints import Arrays, Checkpoints, read_kept, read_text
from lfmm2.pipeline.inputs import check_size
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.snps import estimation_snps, filter_snps, usable_snps
from lfmm2.results import FilterFacts, SampleFilterFacts, ThinningFacts

Facts = TypeVar("Facts", FilterFacts, SampleFilterFacts, ThinningFacts)


@dataclass(frozen=True)
class SnpChoice:
    """The SNPs to test and to estimate from, as far as they are chosen.

    Attributes
    ----------
    tested, estimation : ndarray of int64 or None
        Ascending positions; None for all SNPs.
    n_tested, n_estimation : int
        Numbers of these SNPs.
    to_filter, to_thin : bool
        True while the pass that filters by maf and geno, or the pass that thins, is still to come.
    filters : FilterFacts or None
        Numbers of SNPs that maf and geno dropped; None before that pass, or without one.
    thinning : ThinningFacts or None
        Settings and numbers of SNPs of thinning; None before that pass, or without one.
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
    """Choose SNPs by the lists of IDs and ``est_rate``, before any pass over the genotypes."""
    return _make_choice(inputs, inputs.listed, to_filter=inputs.options.snps.filters)


def _make_choice(inputs: RunInputs, tested: Ints | None, to_filter: bool) -> SnpChoice:
    """Return the choice of these SNPs to test; without ``est_bed``, the estimation SNPs are a subset of them."""
    options, is_same = inputs.options, inputs.estimation_source is inputs.tested_source
    base = tested if is_same else usable_snps(inputs.estimation_source, None)
    estimation = estimation_snps(inputs.estimation_source, base, inputs.est_listed, options.snps, options.seed)
    choice = SnpChoice(
        tested,
        estimation,
        inputs.tested_source.n_snps if tested is None else len(tested),
        inputs.estimation_source.n_snps if estimation is None else len(estimation),
        to_filter,
        inputs.thin is not None,
    )
    _check_numbers(inputs, choice)
    return choice


def _check_numbers(inputs: RunInputs, choice: SnpChoice) -> None:
    """Refuse a choice that leaves nothing to test, or too few SNPs for the factors."""
    if choice.n_tested < 1:
        raise InconsistentInputError(f"there is no {inputs.tested_source.noun} to test; check the genotypes")
    if inputs.numbers.given is None:
        n, n_variables = inputs.variables.values.shape
        check_size(n, n_variables, inputs.numbers.n_factors, choice.n_estimation, inputs.estimation_source.noun)


def apply_filters(inputs: RunInputs, choice: SnpChoice, engine: Engine, checkpoints: Checkpoints) -> SnpChoice:
    """Drop SNPs by maf and geno among the samples in use, in one pass that only counts."""
    passed, facts = load_or_compute(
        checkpoints,
        "filters",
        engine,
        FilterFacts,
        (choice.tested, choice.n_tested),
        lambda: filter_snps(inputs.tested_source, engine, inputs.variables.rows, choice.tested, inputs.options.snps),
    )
    return replace(_make_choice(inputs, passed, to_filter=False), filters=facts)


def thin_estimation_set(
    inputs: RunInputs, thin: ThinOptions, choice: SnpChoice, engine: Engine, checkpoints: Checkpoints
) -> SnpChoice:
    """Thin the estimation SNPs by linkage, in one pass: no two in a window keep an r² above the limit."""

    def compute() -> tuple[Ints, ThinningFacts]:
        kept = thin_snps(inputs.estimation_source, engine, inputs.estimation_rows, choice.estimation, thin)
        return kept, ThinningFacts(thin.r2, thin.window_text, choice.n_estimation, len(kept))

    before = choice.estimation, choice.n_estimation
    kept, facts = load_or_compute(checkpoints, "thinned", engine, ThinningFacts, before, compute)
    thinned = replace(choice, estimation=kept, n_estimation=len(kept), to_thin=False, thinning=facts)
    _check_numbers(inputs, thinned)
    return thinned


def load_or_compute(
    checkpoints: Checkpoints,
    name: str,
    engine: Engine,
    kind: type[Facts],
    before: tuple[Ints | None, int],
    compute: Callable[[], tuple[Ints, Facts]],
) -> tuple[Ints, Facts]:
    """Return the SNPs or samples that a pass chooses, and its facts: kept by an unfinished run, or computed now.

    `before` are those from which the pass chooses, None for all, and their number.
    """
    kept = checkpoints.load_arrays(name)
    if kept is not None and (chosen := read_kept(lambda: _read_choice(kept, kind, *before))) is not None:
        positions, facts, made = chosen
        engine.passes.append(made)
        return positions, facts
    positions, facts = compute()
    record = engine.passes[-1].to_json()
    checkpoints.keep_arrays(name, positions=positions, facts=json.dumps(asdict(facts)), record=record)
    return positions, facts


def _read_choice(kept: Arrays, kind: type[Facts], before: Ints | None, n_before: int) -> tuple[Ints, Facts, PassRecord]:
    """Return the SNPs or samples that an unfinished run chose from others, the facts and the record of its pass.

    Raises
    ------
    ValueError, KeyError
        If these are not chosen from them, or do not agree with the facts.
    """
    positions, facts = kept["positions"], read_text(kind, kept["facts"])
    n_kept = facts.n_passed if isinstance(facts, FilterFacts) else facts.n_kept
    n_all = facts.n_samples if isinstance(facts, SampleFilterFacts) else facts.n_snps
    if positions.dtype != np.int64 or positions.shape != (n_kept,) or n_all != n_before:
        raise ValueError("positions and facts do not agree")
    ascend = n_kept > 0 and positions[0] >= 0 and bool(np.all(np.diff(positions) > 0))
    within = positions[-1] < n_before if before is None else np.isin(positions, before, assume_unique=True).all()
    if not (ascend and within):
        raise ValueError("the positions are not some of those before")
    return positions, facts, read_text(PassRecord, kept["record"])
