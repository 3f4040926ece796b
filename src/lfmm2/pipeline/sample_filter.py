"""The stage that leaves out samples with too many missing calls (``mind``), in one pass that only counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lfmm2._typing import Floats, Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError
from lfmm2.files import check_variables
from lfmm2.genotypes import THRESHOLD_MARGIN, Engine, count_missing_calls
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.inputs import AlignedVariables
from lfmm2.pipeline.preparation import RunInputs, fit_to_samples
from lfmm2.pipeline.snp_choice import SnpChoice, load_or_compute
from lfmm2.results import SampleFilterFacts


def filter_samples(
    inputs: RunInputs, mind: float, choice: SnpChoice, engine: Engine, checkpoints: Checkpoints
) -> RunInputs:
    """Leave out the samples whose share of missing calls, over the SNPs to test, is above `mind`.

    A sample at the threshold is kept, as in PLINK.

    Raises
    ------
    InconsistentInputError
        If no sample is left.
    DegenerateProblemError
        If the variables are constant or collinear over the samples that are left, or too few are left.
    """

    def compute() -> tuple[Ints, SampleFilterFacts]:
        missing = count_missing_calls(inputs.tested_matrix(choice.tested, engine), engine)
        kept = missing <= mind * choice.n_tested * THRESHOLD_MARGIN
        iids = inputs.variables.iids
        left_out = [iids[row] for row in np.flatnonzero(~kept).tolist()]
        if not kept.any():
            least = missing.min() / choice.n_tested
            raise InconsistentInputError(
                f"--mind {mind} leaves none of {with_spaces(len(kept))} samples, the lowest missing rate is "
                f"{least:.3g}; raise it, or filter SNPs before the run (plink2 --geno … --make-bed)"
            )
        return np.flatnonzero(kept), SampleFilterFacts(mind, len(kept), int(kept.sum()), left_out)

    before = None, len(inputs.variables.rows)
    rows, facts = load_or_compute(checkpoints, "samples", engine, SampleFilterFacts, before, compute)
    return replace(keep_samples(inputs, rows), sample_filter=facts)


def keep_samples(inputs: RunInputs, rows: Ints) -> RunInputs:
    """Return the inputs with some of the samples in use, given by their numbers among these."""
    whole = inputs.variables
    values = np.ascontiguousarray(whole.values[rows])
    coordinates = {name: column[rows] for name, column in whole.coordinates.items()}
    variables = replace(
        whole, values=values, rows=whole.rows[rows], categories=_count_levels(whole, values), coordinates=coordinates
    )
    if len(rows) < len(whole.rows):
        check_variables(variables.values, [*variables.names, *variables.nuisance_names])
    numbers, ridge = fit_to_samples(variables, inputs.numbers, inputs.options)
    estimation_rows = inputs.estimation_rows[rows]
    return replace(inputs, variables=variables, numbers=numbers, ridge=ridge, estimation_rows=estimation_rows)


def _count_levels(variables: AlignedVariables, values: Floats) -> dict[str, dict[str, int]]:
    """Return the number of samples of each level of each category, from the indicators in `values`.

    The first level of a category is the reference, and has no indicator.
    """
    column_of = dict(zip([*variables.names, *variables.nuisance_names], values.T, strict=True))
    counts = {}
    for category, (reference, *levels) in variables.categories.items():
        n_of = {level: int(column_of[f"{category}={level}"].sum()) for level in levels}
        counts[category] = {reference: len(values) - sum(n_of.values()), **n_of}
    return counts
