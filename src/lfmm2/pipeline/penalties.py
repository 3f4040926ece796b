"""The ridge penalties λ that a sweep compares with that of the run, and the factors of each.

λ decides what the factors may take from the variables (docs/choices.md), so a sweep shows a second one by default. The
Gram matrix of the solver exact serves every λ; the other solvers make passes for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from lfmm2._typing import Ints
from lfmm2.genotypes import Engine, gram_speed
from lfmm2.model import (
    KnownGram,
    LatentFactors,
    Penalty,
    choose_solver,
    estimate_from_matrix,
    name_penalty,
    parse_penalties,
)
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.resumable_matrix import ResumableMatrix
from lfmm2.results import pack_factors, unpack_factors

# The penalty that a sweep shows beside that of the run where this takes no further pass.
SHOWN_BESIDE = "1x"


@dataclass(frozen=True)
class Estimation:
    """The factors of a run, and those of the other penalties that it compares, ascending."""

    factors: LatentFactors
    others: dict[Penalty, LatentFactors] = field(default_factory=dict)


def own_penalty(inputs: RunInputs) -> Penalty:
    """Return the λ of the run, which is that of the factors if these are given."""
    given, n = inputs.numbers.given, len(inputs.variables.rows)
    lambda_ = inputs.options.lambda_ if given is None else given.lambda_
    return name_penalty(lambda_, n, inputs.ridge.standardized)


def other_penalties(inputs: RunInputs, n_estimation_snps: int) -> tuple[Penalty, ...]:
    """Return the penalties that are compared with that of the run, ascending; none without a sweep."""
    numbers, options = inputs.numbers, inputs.options
    if not numbers.ks or numbers.given is not None or not options.tests:
        return ()
    n, wanted = len(inputs.variables.rows), options.sweep_lambda
    if wanted is None:
        speed = gram_speed(inputs.estimation_matrix(None, Engine(1, 0)))
        solver, _ = choose_solver(n, n_estimation_snps, numbers.n_factors, options.solver, speed)
        if solver != "exact" or not options.standardize:
            return ()
        wanted = SHOWN_BESIDE
    return tuple(of for of in parse_penalties(wanted, n, options.standardize) if of.value != inputs.ridge.lambda_)


def describe_penalties(inputs: RunInputs, others: Sequence[Penalty]) -> str:
    """Return the λ of the run and those compared with it in words; empty without a sweep."""
    if not inputs.numbers.ks:
        return ""
    own, options = own_penalty(inputs).text, inputs.options
    if others:
        return f"{own}; the sweep compares {', '.join(of.text for of in others)}"
    is_chosen = options.sweep_lambda is not None or not options.standardize or own == SHOWN_BESIDE
    if inputs.numbers.given is not None or is_chosen:
        return own
    return f"{own}; --sweep-lambda {SHOWN_BESIDE} compares another, with passes of its own"


def estimate_with_each(inputs: RunInputs, snps: Ints | None, engine: Engine, checkpoints: Checkpoints) -> Estimation:
    """Estimate the factors with the λ of the run and with each other one, and keep the latter for a resumed run."""
    matrix = ResumableMatrix(inputs.estimation_matrix(snps, engine, checkpoints), engine, checkpoints)
    n_factors, options, iids = inputs.numbers.n_factors, inputs.options.solver, inputs.variables.iids
    others = other_penalties(inputs, matrix.n_snps)
    solver, _ = choose_solver(matrix.n_samples, matrix.n_snps, n_factors, options, gram_speed(matrix))
    if solver == "exact" and others:
        # The Gram matrix does not depend on λ, so one pass serves all.
        known = KnownGram(matrix.gram(label="factors: Gram matrix"), matrix.n_snps, engine.n_threads)
        estimates = [
            estimate_from_matrix(known, inputs.ridge.with_penalty(value), n_factors, options, iids)
            for value in (inputs.ridge.lambda_, *(of.value for of in others))
        ]
    else:
        estimates = [estimate_from_matrix(matrix, inputs.ridge, n_factors, options, iids)]
        for of in others:
            matrix = matrix.continued(f" with λ = {of.text}")
            ridge = inputs.ridge.with_penalty(of.value)
            estimates.append(estimate_from_matrix(matrix, ridge, n_factors, options, iids))
    for i, factors in enumerate(estimates[1:]):
        checkpoints.keep_arrays(_name(i), **pack_factors(factors))
    return Estimation(estimates[0], dict(zip(others, estimates[1:], strict=True)))


def load_others(
    inputs: RunInputs, n_estimation_snps: int, checkpoints: Checkpoints
) -> dict[Penalty, LatentFactors] | None:
    """Return the factors of the other penalties that an unfinished run kept; None if any of them is not there."""
    others: dict[Penalty, LatentFactors] = {}
    for i, penalty in enumerate(other_penalties(inputs, n_estimation_snps)):
        if (arrays := checkpoints.load_arrays(_name(i))) is None:
            return None
        factors = read_kept(partial(unpack_factors, arrays))
        if factors is None or factors.lambda_ != penalty.value or factors.sample_ids != inputs.variables.iids:
            return None
        others[penalty] = factors
    return others


def _name(i: int) -> str:
    """Return the name under which the factors of another penalty are kept."""
    return f"other-factors-{i}"
