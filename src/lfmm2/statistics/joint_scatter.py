"""The scatter of the t of several variables over the SNPs, which the joint test takes in place of one inflation factor.

Confounding inflates the t of some mixtures of variables more than those of others, so no single factor calibrates F.
The scatter S of the t vectors describes the inflation in every direction. Tyler's estimator of it weighs every SNP by
its direction alone, so that neither few SNPs with strong associations nor heavy tails move it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfmm2._lapack import solve_triangular
from lfmm2._typing import Floats

# Numbers, SNPs times variables, from which the scatter is estimated, and the most SNPs. With 200 000 SNPs and 8
# variables the error of D is some 10⁻⁴ of it; more numbers take more memory and time, fewer are less accurate.
SAMPLED_NUMBERS, MOST_SAMPLED = 2_000_000, 200_000
# SNPs for each variable below which a scatter is too uncertain, so that F with one inflation factor is the better test.
LEAST_PER_VARIABLE = 20
# Iterations of Tyler's fixed point, and the change at which it has converged. The error falls to 2/(d + 2) of itself in
# each of them. If so many are not enough, the fixed point does not exist.
_ITERATIONS, _CONVERGED = 100, 1e-8
# Condition number of the scatter, in coordinates where the second moments of t are I, beyond which it is degenerate.
# The scatter differs from the second moments by the weights of the SNPs, so a sound one is some 10 or 100.
_DEGENERATE = 1e8
# Share of the length of a column of t below which what is left by the other columns is rounding alone.
_DEPENDENT = 1e-12
# SNPs that are weighted at a time, which limits the memory beside the sample.
_PART = 4096


@dataclass(frozen=True)
class JointScatter:
    """The scatter of the t of d variables about zero.

    Attributes
    ----------
    scatter : ndarray of shape (d, d), float64
        S, symmetric and positive definite, such that D = tᵀ S⁻¹ t / d has the median of F.
    whitening : ndarray of shape (d, d), float64
        W with ‖tᵀ W‖² = D.
    n_snps : int
        SNPs that it was estimated from.
    """

    scatter: Floats
    whitening: Floats
    n_snps: int

    def root_distances(self, t: Floats) -> Floats:
        """Return √D (b,) of t (b, d); NaN where a t is."""
        z = t @ self.whitening
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", z, z)))


def n_sampled(n_snps: int, n_variables: int) -> int:
    """Return the most SNPs from which the scatter of `n_variables` is estimated, of `n_snps` that have statistics."""
    return min(n_snps, MOST_SAMPLED, SAMPLED_NUMBERS // n_variables)


def scatter_bytes(n_snps: int, n_variables: int) -> int:
    """Return the bytes that `fit_scatter` takes, with the statistics of the sampled SNPs and a copy of them."""
    return 8 * n_sampled(n_snps, n_variables) * (3 * n_variables + 2) + 4 * 8 * _PART * n_variables


def fit_scatter(t: Floats, f: Floats) -> JointScatter | None:
    """Estimate the scatter of t about zero by Tyler's fixed point.

        S ← d/m · Σᵢ tᵢ tᵢᵀ / (tᵢᵀ S⁻¹ tᵢ)

    Parameters
    ----------
    t : ndarray of shape (m, d), float64
        Statistics of SNPs that have them.
    f : ndarray of shape (m,), float64
        F of the same SNPs, whose median sets the scale.

    Returns
    -------
    JointScatter or None
        None where the scatter is not defined: there are fewer than `LEAST_PER_VARIABLE` SNPs for each variable, the
        t of one variable follow from those of others, or do so for a large share of the SNPs.

    Notes
    -----
    The estimator turns with any linear map of t. So t is first mapped to uncorrelated columns by QR, which keeps the
    digits of variables that are nearly collinear.

    References
    ----------
    Tyler 1987 (Ann. Stat. 15:234).
    """
    t, f = t[(t != 0).any(axis=1)], f[(t != 0).any(axis=1)]
    m, d = t.shape
    if m < LEAST_PER_VARIABLE * d:
        return None
    R = np.asarray(np.linalg.qr(t, mode="r"))  # (d, d)
    if (np.abs(np.diag(R)) <= _DEPENDENT * np.linalg.norm(R, axis=0)).any():
        return None
    uncorrelated = solve_triangular(R, np.eye(d)) * np.sqrt(m)  # (d, d)
    z = t @ uncorrelated  # (m, d), with second moments I
    shape = np.eye(d)
    for _ in range(_ITERATIONS):
        try:
            factor = np.linalg.cholesky(shape)
        except np.linalg.LinAlgError:
            return None
        following = _weighted_moments(z, solve_triangular(factor, np.eye(d), lower=True).T)
        following *= d / np.trace(following)
        change = np.abs(following - shape).max()
        shape = following
        if change <= _CONVERGED:
            break
    else:
        return None
    if np.linalg.cond(shape) > _DEGENERATE:
        return None
    factor = np.linalg.cholesky(shape)
    whitening = uncorrelated @ solve_triangular(factor, np.eye(d), lower=True).T
    y = t @ whitening
    scale = np.median(f) / np.median(np.einsum("ij,ij->i", y, y))
    back = factor.T @ R / np.sqrt(m * d * scale)  # whitening⁻¹ / √d, with its scale
    return JointScatter(back.T @ back, whitening * np.sqrt(scale), m)


def _weighted_moments(z: Floats, whitening: Floats) -> Floats:
    """Return the sum of z zᵀ / ‖zᵀ W‖² over the rows of z, some rows at a time."""
    total = np.zeros((z.shape[1], z.shape[1]))
    for first in range(0, len(z), _PART):
        part = z[first : first + _PART]
        y = part @ whitening
        total += (part / np.einsum("ij,ij->i", y, y)[:, None]).T @ part
    return total
