"""The stage that compares the samples: repeated genotypes and first-degree relatives, in a pass over part of the SNPs.

Clones and duplicates are not independent: whatever one carries by chance is counted once for each of them, so p-values
come out too small, and the factors follow the clones. The run says so, or leaves the repeats out (``drop_duplicates``).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from lfmm2._typing import Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.genotypes import (
    FEWEST_DIFFERENCES,
    MOST_COMPARED_SAMPLES,
    Engine,
    Footprint,
    GenotypeMatrix,
    GenotypeSource,
    PackedMatrix,
    can_compare,
    compare_samples,
    count_compared,
    pairs_footprint,
)
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.sample_comparison import describe_pairs, repeats_note
from lfmm2.pipeline.sample_filter import keep_samples
from lfmm2.pipeline.snp_choice import SnpChoice


@dataclass(frozen=True)
class ComparedGenotypes:
    """The genotypes over which samples are compared: the tested ones, or those of the factors if these are more.

    Attributes
    ----------
    source : GenotypeSource
    matrix : GenotypeMatrix
        Matrix of the SNPs from which those compared are taken.
    rows : ndarray of int64
        Samples in use, as rows of the source.
    snps : ndarray of int64 or None
        Ascending positions of these SNPs; None for all.
    n_snps : int
        Number of these SNPs.
    """

    source: GenotypeSource
    matrix: GenotypeMatrix
    rows: Ints
    snps: Ints | None
    n_snps: int

    @property
    def n_compared(self) -> int:
        """Return the number of SNPs compared; 0 if samples are not compared."""
        if len(self.rows) > MOST_COMPARED_SAMPLES or not can_compare(self.source, self.matrix):
            return 0
        return count_compared(self.source, len(self.rows), self.n_snps)

    @property
    def footprint(self) -> Footprint:
        """Return the memory of the stage."""
        blocks = self.matrix.footprint_of_packed_blocks() if isinstance(self.matrix, PackedMatrix) else Footprint()
        return blocks + pairs_footprint(len(self.rows), self.n_compared, self.source)


def choose_compared(inputs: RunInputs, choice: SnpChoice, engine: Engine) -> ComparedGenotypes:
    """Choose the genotypes over which the samples are compared."""
    if choice.n_estimation > choice.n_tested:
        snps, n_snps = choice.estimation, choice.n_estimation
        source, rows, matrix = inputs.estimation_source, inputs.estimation_rows, inputs.estimation_matrix(snps, engine)
    else:
        snps, n_snps = choice.tested, choice.n_tested
        source, rows, matrix = inputs.tested_source, inputs.variables.rows, inputs.tested_matrix(snps, engine)
    return ComparedGenotypes(source, matrix, rows, snps, n_snps)


def find_repeats(inputs: RunInputs, choice: SnpChoice, engine: Engine) -> RunInputs:
    """Compare the samples; warn of those that repeat another, or leave them out if drop_duplicates is on.

    Of each group of repeats the sample with the fewest missing calls is kept, the first of these if there are several.

    Raises
    ------
    UsageError
        If drop_duplicates is on, and samples cannot be compared.
    InconsistentInputError
        If drop_duplicates is on, and there are too few SNPs to tell repeats from chance.
    DegenerateProblemError
        If the variables are constant or collinear over the samples that are left, or too few are left.
    """
    drops, variables = inputs.options.samples.drop_duplicates, inputs.variables
    compared = choose_compared(inputs, choice, engine)
    if compared.n_compared == 0:
        if drops:
            raise UsageError(
                f"--drop-duplicates {_why_not_compared(compared)}; leave it out, and samples with --remove"
            )
        return inputs
    # Nothing is kept for a resumed run, which compares again: it takes seconds.
    pairs = compare_samples(compared.source, engine, compared.rows, compared.snps, compared.n_snps)
    comparison = describe_pairs(pairs, list(variables.fids), list(variables.iids), drops)
    if drops and not comparison.facts.decided:
        raise InconsistentInputError(
            f"--drop-duplicates: two samples differ at {pairs.mean_difference * pairs.n_snps:.0f} of "
            f"{with_spaces(pairs.n_snps)} {compared.source.noun}s on average, and {FEWEST_DIFFERENCES} are needed to "
            "tell repeats from chance; leave it out"
        )
    inputs = replace(inputs, comparison=comparison)
    if not comparison.is_kept.all():
        return keep_samples(inputs, np.flatnonzero(comparison.is_kept))
    if note := repeats_note(comparison):
        warnings.warn(note, InputWarning, stacklevel=5)
    return inputs


def _why_not_compared(compared: ComparedGenotypes) -> str:
    """Return why samples are not compared."""
    if len(compared.rows) > MOST_COMPARED_SAMPLES:
        return f"compares at most {with_spaces(MOST_COMPARED_SAMPLES)} samples, of {with_spaces(len(compared.rows))}"
    source = compared.source
    return f"needs calls or numbers that can be read for some {source.noun}s, which {source.name} does not give"
