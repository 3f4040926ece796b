"""The stage that takes the scree from thinned SNPs: a pass that thins, then the eigenvalues of the SNPs that are left.

Linked SNPs vary together, as SNPs do along an axis of structure. A block of many of them makes an axis of its own,
which is no structure of the samples, so the number of axes is counted among SNPs that are hardly linked. The factors
stay those of all SNPs of the estimation set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from scipy import special

from lfmm2._typing import Ints
from lfmm2.genotypes import Engine, PassRecord, ThinOptions, thin_snps
from lfmm2.model import LatentFactors, Scree, Spectrum, compute_scree, compute_spectrum
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept, read_text
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.resumable_matrix import ResumableMatrix
from lfmm2.pipeline.snp_choice import SnpChoice, load_or_compute
from lfmm2.results import ThinningFacts, pack_spectrum, unpack_spectrum

# Probability that r² of two SNPs that are not linked exceeds the limit. With n samples n r² is then about χ² with one
# degree of freedom, so with few samples r² is large by chance alone: above 0.2 for 3 % of the pairs of 24 samples. The
# limit is raised so far that chance drops 1 of 1 000 SNPs if each is compared with 200. With a larger probability
# thinning with few samples takes away most SNPs and all power, with a smaller one it lets linkage pass.
CHANCE = 5e-6
# Fewest SNPs whose eigenvalues are tested. With fewer the law of the largest eigenvalue is not reached.
LEAST_SNPS = 50
# Highest limit of r²: at 1 no SNP would be dropped, not even one that is the copy of another.
HIGHEST_LIMIT = 0.95
# Name under which the eigenvalues are kept for a resumed run.
_SPECTRUM = "k-spectrum"


@dataclass(frozen=True)
class ThinnedScree:
    """The scree of thinned SNPs, None if too few of them are left, and how they were thinned."""

    scree: Scree | None
    facts: ThinningFacts


def raise_limit(thin: ThinOptions, n_samples: int) -> ThinOptions:
    """Return the options with a limit of r² that two SNPs which are not linked hardly ever exceed by chance."""
    chance = float(special.chdtri(1, CHANCE)) / (n_samples - 1)
    return replace(thin, r2=min(max(thin.r2, chance), HIGHEST_LIMIT))


def compute_thinned_scree(
    inputs: RunInputs,
    thin: ThinOptions,
    choice: SnpChoice,
    factors: LatentFactors,
    engine: Engine,
    checkpoints: Checkpoints,
) -> ThinnedScree:
    """Thin the estimation SNPs in one pass, and test the axes of those that are left by the solver of the factors."""
    raised = raise_limit(thin, len(inputs.variables.rows))

    def compute() -> tuple[Ints, ThinningFacts]:
        kept = thin_snps(inputs.estimation_source, engine, inputs.estimation_rows, choice.estimation, raised)
        return kept, ThinningFacts(raised.r2, raised.window_text, choice.n_estimation, len(kept))

    before = choice.estimation, choice.n_estimation
    kept, facts = load_or_compute(checkpoints, "k-thinned", engine, ThinningFacts, before, compute)
    if len(kept) < LEAST_SNPS:
        return ThinnedScree(None, facts)
    spectrum = _load_spectrum(checkpoints, len(kept), engine)
    if spectrum is None:
        n_before = len(engine.passes)
        matrix = ResumableMatrix(inputs.estimation_matrix(kept, engine, checkpoints), engine, checkpoints, "scree")
        n_factors = min(factors.n_factors, len(kept) - 1)
        spectrum = compute_spectrum(matrix, inputs.ridge, n_factors, factors.solver, inputs.options.solver)
        records = json.dumps([record.to_json() for record in engine.passes[n_before:]])
        checkpoints.keep_arrays(_SPECTRUM, **pack_spectrum(spectrum), records=records)
    return ThinnedScree(compute_scree(spectrum), facts)


def _load_spectrum(checkpoints: Checkpoints, n_snps: int, engine: Engine) -> Spectrum | None:
    """Return the spectrum of the thinned SNPs that an unfinished run kept, and note its passes; None without one."""
    arrays = checkpoints.load_arrays(_SPECTRUM)

    def read() -> tuple[Spectrum, list[PassRecord]]:
        assert arrays is not None
        records = [read_text(PassRecord, text) for text in json.loads(str(arrays["records"]))]
        return unpack_spectrum(arrays), records

    kept = None if arrays is None else read_kept(read)
    if kept is None or kept[0].n_snps != n_snps:
        return None
    engine.passes.extend(kept[1])
    return kept[0]
