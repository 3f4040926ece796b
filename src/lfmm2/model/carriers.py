"""Effective carriers: how far the test of a SNP may rely on Student's t, for SNPs and variables of uneven values.

Under the null hypothesis the values of a SNP are in random order over the samples. The correlation of SNP and variable
has the moments of Pitman (1937): with n samples, skewness γ and excess kurtosis κ of either,

    skewness of r = γ_x γ_y / √n,      excess kurtosis of r = κ_x κ_y / n

up to terms of order 1/n of these. A Poisson count of mean m, standardised, has skewness 1/√m and excess kurtosis 1/m.
So the far tail of t is that of a count of mean

    m = n / (a_x a_y),      a = max(γ², κ, 0)

which we call effective carriers. With a few cases among the samples and a rare allele a is one over the share of the
cases, and one over twice the frequency of the allele: m is the number of rare alleles that the cases are expected to
carry. Where x or y is normal, t is Student's whatever the other is, and m has no limit.

References
----------
Pitman 1937, J. R. Stat. Soc. Suppl. 4:225.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.genotypes import CrossProducts, standard_moments

#: Effective carriers below which a test is not calibrated unless another number is given. docs/choices.md has what was
#: measured: with 5, false hits are in up to 5 of 12 null sets; with 20, in no fewer than with 10.
FEWEST_CARRIERS = 10.0


def unevenness(skewness: Floats, kurtosis: Floats) -> Floats:
    """Return max(γ², κ, 0) of SNPs or variables; NaN where there is no variation."""
    return np.maximum(np.maximum(skewness**2, kurtosis), 0.0)


def unevenness_of_block(block: CrossProducts) -> Floats:
    """Return the unevenness of the SNPs of a block, shape (b,); NaN where it is not known."""
    if block.skewness is None or block.kurtosis is None:
        return np.full(len(block.n_called), np.nan)
    return unevenness(block.skewness, block.kurtosis)


def unevenness_of_directions(directions: Floats) -> Floats:
    """Return the unevenness of the columns of an array (n_samples, d) of centred values, shape (d,)."""
    # The scale does not matter, and powers of it might overflow.
    directions = directions / np.maximum(np.abs(directions).max(axis=0), np.finfo(float).tiny)
    squares, cubes, fourths = ((directions**power).sum(axis=0) for power in (2, 3, 4))
    return unevenness(*standard_moments(squares, cubes, fourths, len(directions)))


def effective_carriers(of_snps: Floats, of_variables: Floats, n_samples: int) -> Floats:
    """Return the effective carriers of each SNP and variable, shape (b, d); at most the 2 n alleles of the samples.

    Parameters
    ----------
    of_snps, of_variables : ndarray of shape (b,) and (d,), float64
        Unevenness of the SNPs, and of the variables as far as factors and other variables leave them.
    n_samples : int
    """
    carriers: Floats = n_samples / np.maximum(of_snps[:, None] * of_variables, 0.5)
    return carriers


def has_few_carriers(
    carriers: Floats, fewest: float, n_samples: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return where effective carriers are fewer than `fewest`; never where they have their upper limit."""
    few: NDArray[np.bool_] = carriers < min(fewest, 2.0 * n_samples)
    return few
