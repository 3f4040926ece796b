"""The eigenvalues of P C P as far as a solver has seen them, and what is known of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lfmm2._typing import Floats
from lfmm2.model.axes import KnownGram
from lfmm2.model.ridge import RidgeGeometry

# Smallest s² that counts as an eigenvalue, as a fraction of the largest; smaller ones are rounding errors of the Gram
# matrix.
RANK_TOLERANCE = 1e-11
# A Ritz vector is removed from the probes if its error is below `CONVERGED_ERROR` of its distance from the mean of the
# bulk; or below `CLEAR_ERROR` of it, if the distance is above `CLEAR_OF_BULK` standard deviations (the bulk ends at 2).
# Vectors of the bulk that are removed by mistake bias the estimate of the noise, and so does structure that stays.
CONVERGED_ERROR = 0.01
CLEAR_ERROR = 0.5
CLEAR_OF_BULK = 2.5
# Numbers of the random vectors from which the cubes of a Gram matrix in memory are estimated, 400 vectors of 5 000
# samples. With fewer numbers the edge of the noise varies by more than half of the scale on which its largest
# eigenvalue does.
PROBE_NUMBERS = 2_000_000


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of P C P, as far as a solver has seen them.

    Attributes
    ----------
    eigenvalues : ndarray of shape (m,), float64
        Decreasing. exact: all n_dimensions of them; krylov and power: up to K + oversampling Ritz values, of which
        those beyond K are lower bounds.
    total, total_squares : float
        Sums of all eigenvalues and of their squares; estimated by krylov and power.
    total_cubes : float
        Sum of their cubes; estimated unless all eigenvalues are known, and NaN for power, which has no estimate.
    n_dimensions : int
        n - 1 - the number of variables that P removes (λ < σ_j²).
    sample_totals : ndarray of shape (n,), float64
        Diagonal of P C P; estimated by krylov and power.
    sample_weights : ndarray of shape (n,), float64
        Diagonal of the projection on these dimensions: 1 minus the share of the sample in the mean and the variables.
    n_snps : int
        SNPs of the estimation set.
    vectors : ndarray of shape (n, k), float64
        P u of the leading eigenvectors u: the same array as `LatentFactors.loadings_map`, not a copy.
    """

    eigenvalues: Floats
    total: float
    total_squares: float
    n_dimensions: int
    sample_totals: Floats
    sample_weights: Floats
    n_snps: int
    vectors: Floats = field(default_factory=lambda: np.empty((0, 0)))
    total_cubes: float = np.nan


def compute_squared_norm(M: Floats) -> float:
    """Return ‖M‖²; unlike vdot, without two copies if M is not contiguous in C order."""
    return float(np.einsum("ij,ij->", M, M))


def count_dimensions(ridge: RidgeGeometry, n_samples: int) -> int:
    """Return the dimensions of P C P: n minus one for the mean and one for each variable with d_j² < 1/2."""
    return n_samples - 1 - int((ridge.sigma**2 > ridge.lambda_).sum())


def compute_sample_weights(ridge: RidgeGeometry, n_samples: int) -> Floats:
    """Return the diagonal of the projection on the dimensions of `count_dimensions`, shape (n,)."""
    weights: Floats = 1 - 1 / n_samples - (ridge.Q[:, ridge.sigma**2 > ridge.lambda_] ** 2).sum(axis=1)
    return np.maximum(weights, 0.0)


def estimate_spectrum(
    ridge: RidgeGeometry,
    n_snps: int,
    values: Floats,
    vectors: Floats,
    images: Floats,
    probes: Floats,
    probe_images: Floats,
    twice: Floats | None = None,
) -> Spectrum:
    """Estimate the spectrum from Ritz pairs and from random probes with their images.

    With B = P C P, orthonormal V and R = B (I - V Vᵀ): tr B = tr VᵀBV + tr R and ‖B‖² = ‖B V‖² + ‖R‖² for any V. The
    first terms are known. The others are estimated from the part G of the probes S outside of V, the mean and the
    variables, with R S = B S - (B V) Vᵀ S: tr R ≈ ⟨G, R S⟩ / g, ‖R‖² ≈ ‖R S‖² / g, where g = ‖G‖² / rank. V are the
    Ritz vectors that have converged or stand clear of the bulk. Other Ritz vectors depend on the probes: if they were
    in V, the part of the probes outside of V would no longer be random.

    The diagonal is estimated in the same way (Bekas, Kokiopoulou, Saad 2007). With few probes its values for R vary
    too much, so they are shrunk towards their mean by the share of their variance that is due to the probes.

    The cubes follow from B B S: Σ λ³ = Σ of those of V + ⟨R S, B (R S)⟩ / g, with B (R S) ≈ B B S - (B V) Λ Vᵀ S.

    Parameters
    ----------
    ridge : RidgeGeometry
    n_snps : int
        SNPs of the estimation set.
    values, vectors, images : ndarray of shape (m,), (n, m) and (n, m), float64
        Ritz values, decreasing, Ritz vectors, and B times these vectors.
    probes, probe_images : ndarray of shape (n, l), float64
        S, whose span is random, and B S.
    twice : ndarray of shape (n, l), float64, optional
        B B S.

    References
    ----------
    Meyer, Musco, Musco, Woodruff 2021, SOSA 142 (Hutch++).
    """
    n, n_probes = probes.shape
    Q = ridge.Q[:, ridge.sigma**2 > ridge.lambda_]
    S = centre(probes)
    S -= Q @ (Q.T @ S)
    errors = np.linalg.norm(images - vectors * values, axis=0)
    n_dimensions = count_dimensions(ridge, n)
    # Structure in the probes makes mean and deviation of the bulk too large; both fall as vectors are removed.
    n_out = -1
    clear = np.zeros(len(values), bool)
    while n_out < clear.sum() < n_dimensions:
        n_out = int(clear.sum())
        V, BV, of_V = vectors[:, clear], images[:, clear], values[clear]
        VtS = V.T @ S
        G, R = S - V @ VtS, probe_images - BV @ VtS
        weight = max(np.vdot(G, G) / (n_dimensions - n_out), np.finfo(float).tiny)
        rest, rest_squares = np.vdot(G, R) / weight, np.vdot(R, R) / weight
        mean = rest / (n_dimensions - n_out)
        deviation = float(np.sqrt(np.maximum(rest_squares / (n_dimensions - n_out) - mean**2, 0.0)))
        distance = values - mean
        clear |= errors < CONVERGED_ERROR * distance
        clear |= (errors < CLEAR_ERROR * distance) & (distance > CLEAR_OF_BULK * deviation)
    weights = compute_sample_weights(ridge, n)
    share = weights - (V**2).sum(axis=1)  # of a sample in the remainder
    lengths = np.maximum((G**2).sum(axis=1), np.finfo(float).tiny)
    noise = (G * R).sum(axis=1) / lengths
    # Variance of the noise that is due to the probes, which mix the other entries of its row of R into it.
    error_variance = np.maximum((R**2).sum(axis=1) / lengths - noise**2, 0.0).mean() / n_probes
    spread = max(float(noise.var()), np.finfo(float).tiny)
    noise = mean + max(1 - error_variance / spread, 0.0) * (noise - noise.mean())
    cubes = np.nan
    if twice is not None:
        cubes = float((of_V**3).sum() + np.vdot(R, twice - BV @ (of_V[:, None] * VtS)) / weight)
    return Spectrum(
        np.maximum(values, 0.0),
        float(np.vdot(V, BV) + rest),
        float(np.vdot(BV, BV) + rest_squares),
        n_dimensions,
        np.maximum((V * BV).sum(axis=1) + noise * share, 0.0),
        weights,
        n_snps,
        total_cubes=cubes,
    )


def count_probes(n_samples: int) -> int:
    """Return the number of random vectors from which the cubes are estimated."""
    return max(PROBE_NUMBERS // n_samples, 1)


def spectrum_of_gram(known: KnownGram, ridge: RidgeGeometry, values: Floats, vectors: Floats) -> Spectrum:
    """Return the spectrum of P C P from C in memory and leading eigenpairs: all is exact but the cubes.

    With E = I - D, H = C Q, A = Q E and L = H - A (Qᵀ H) E / 2: P C P = C - A Lᵀ - L Aᵀ, so trace, norm and
    diagonal follow from C and n×d arrays. The sum of the cubes would take n³ flops. It is estimated from `count_probes`
    random vectors g outside of the eigenvectors: with the mean μ of the other eigenvalues, Σ (λ - μ)³ ≈ ⟨R g, B R
    g⟩ - 3 μ ‖R g‖² + 3 μ² ⟨g, R g⟩ - μ³ ‖g‖² in the scaling of `estimate_spectrum`. The parts with μ would cancel
    in Σ λ³.

    Parameters
    ----------
    known : KnownGram
    ridge : RidgeGeometry
    values : ndarray of shape (m,), float64
        Leading eigenvalues, decreasing.
    vectors : ndarray of shape (n, k), float64
        Eigenvectors of the first k ≤ m of them.

    Notes
    -----
    4 n² l flops in two products with l = `count_probes` columns, 8 · 10⁶ n.
    """
    C, n = known.C, known.n_samples
    H = known.times(ridge.Q)
    A = ridge.Q * ridge.shrinkage
    L = H - 0.5 * A @ (ridge.Q.T @ H)
    AL = A.T @ L
    total = float(np.trace(C) - 2 * np.vdot(A, L))
    of_updates = 2 * np.vdot(A.T @ A, L.T @ L) + 2 * np.vdot(AL, AL.T)
    squares = float(compute_squared_norm(C) - 4 * np.vdot(H * ridge.shrinkage, L) + of_updates)
    n_dimensions, k = count_dimensions(ridge, n), vectors.shape[1]
    cubes = np.nan
    if n_dimensions - k >= 2:
        n_left = n_dimensions - k
        rest, rest_squares = total - values[:k].sum(), squares - (values[:k] ** 2).sum()
        G = centre(np.random.default_rng(0).standard_normal((n, count_probes(n))))
        Q = ridge.Q[:, ridge.sigma**2 > ridge.lambda_]
        for basis in (Q, vectors):
            G -= basis @ (basis.T @ G)
        image = ridge.project(known.times(ridge.project(G)))
        image -= vectors @ (vectors.T @ image)
        weight = max(float(np.vdot(G, G)) / n_left, np.finfo(float).tiny)
        thrice = np.vdot(image, ridge.project(known.times(ridge.project(image)))) / weight
        mean = rest / n_left
        central = thrice - 3 * mean * np.vdot(image, image) / weight + 3 * mean**2 * np.vdot(G, image) / weight
        central -= n_left * mean**3
        of_rest = central + 3 * mean * rest_squares - 2 * n_left * mean**3
        cubes = float((values[:k] ** 3).sum() + of_rest)
    return Spectrum(
        np.maximum(values, 0.0), total, squares, n_dimensions,
        np.maximum(np.diag(C) - 2 * (A * L).sum(axis=1), 0.0), compute_sample_weights(ridge, n),
        known.n_snps, total_cubes=cubes,
    )  # fmt: skip


def centre(block: Floats) -> Floats:
    """Return the block with the mean of each column subtracted."""
    centred: Floats = block - block.mean(axis=0)
    return centred
