"""The test by saddlepoint of SNPs with few carriers: from the cross-products of a SNP to the t of its p.

The null hypothesis: given factors and other variables, genotypes are independent, and sample i has the allele with the
frequency f_i that the regression without the variable gives, in proportions of Hardy and Weinberg with an inbreeding
coefficient F that makes as many heterozygotes as are seen. Nothing but the cross-products and moments of the SNP is
needed, so there is no further pass.
"""

from __future__ import annotations

import numpy as np

from lfmm2._typing import Floats
from lfmm2.statistics import saddlepoint_log_p, student_of_log_p

# |t| up to which p is that of Student's t: such p are of no interest, and the rest would take twenty times as long.
# Dey et al. (2017) take the same limit.
SMALL_T = 2.0
# Least frequency of the rare allele in a sample, as a share of its mean. The regression gives zero and less where an
# ancestry lacks the allele; with a larger share power is lost, and with none a single carrier there has p = 0.
LEAST_SHARE = 0.1
# Largest inbreeding coefficient, and smallest probability of a heterozygote, so that no probability is zero.
MOST_INBREEDING, LEAST_PROBABILITY = 0.999, 1e-12


def saddlepoint_t(
    score: float, direction: Floats, dosages: Floats, mean: float, heterozygosity: float, df: int
) -> float:
    """Return the |t| of Student's distribution that has the p of a score by the saddlepoint approximation.

    Parameters
    ----------
    score : float
        Σ x_i g_i over the samples.
    direction : ndarray of shape (n,), float64
        x, the variable as far as factors and other variables leave it.
    dosages : ndarray of shape (n,), float64
        Dosages that the regression without the variable gives.
    mean : float
        Mean dosage of the SNP.
    heterozygosity : float
        Share of heterozygotes.
    df : int
    """
    probabilities = genotype_probabilities(dosages, mean, heterozygosity)
    return student_of_log_p(saddlepoint_log_p(score, direction, probabilities), df)


def genotype_probabilities(dosages: Floats, mean: float, heterozygosity: float) -> Floats:
    """Return the probabilities of 0, 1 and 2 copies for each sample, shape (3, n); parameters as `saddlepoint_t`."""
    least = LEAST_SHARE * min(mean, 2 - mean) / 2
    f = np.clip(dosages / 2, least, 1 - least)
    expected = 2 * f * (1 - f)
    F = min(max(1 - heterozygosity / expected.mean(), 0.0), MOST_INBREEDING)
    one = np.maximum((1 - F) * expected, LEAST_PROBABILITY)
    two = f - one / 2
    return np.stack([1 - one - two, one, two])
