"""The stage that leaves out samples with too many missing calls (``mind``), in one pass that only counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError
from lfmm2.files import check_variables
from lfmm2.genotypes import THRESHOLD_MARGIN, Engine, count_missing_calls
from lfmm2.pipeline.checkpoints import Checkpoints
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

    rows, facts = load_or_compute(checkpoints, "samples", engine, SampleFilterFacts, compute)
    return _keep_samples(inputs, rows, facts)


def _keep_samples(inputs: RunInputs, rows: NDArray[np.int64], facts: SampleFilterFacts) -> RunInputs:
    """Return the inputs with some of the samples in use, given by their numbers among these."""
    whole = inputs.variables
    variables = replace(whole, values=np.ascontiguousarray(whole.values[rows]), rows=whole.rows[rows])
    if len(rows) < len(whole.rows):
        check_variables(variables.values, [*variables.names, *variables.nuisance_names])
    numbers, ridge = fit_to_samples(variables, inputs.numbers, inputs.options)
    return replace(
        inputs, variables=variables, numbers=numbers, ridge=ridge, estimation_rows=inputs.estimation_rows[rows],
        sample_filter=facts,
    )  # fmt: skip
