"""Geometry of the ridge penalty: P and its inverse, which are rank-d changes of the identity, and the map of Eq. 4.

With centred X = Q Σ Rᵀ and d_j = sqrt(λ / (λ + σ_j²)),

    P = I - Q (I - D) Qᵀ,     P⁻¹ = I + Q (D⁻¹ - I) Qᵀ

Profiling B out of Eq. 2 leaves ‖P (Y - W)‖², so Ŵ = P⁻¹ svd_K(P Y).

References
----------
Caye, Jumentier, Lepeule, François 2019, Mol. Biol. Evol. 36:852, Eqs. 2-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfmm2._typing import Floats
from lfmm2.errors import UsageError


@dataclass(frozen=True)
class RidgeGeometry:
    """The matrix P of one set of variables and one λ.

    Attributes
    ----------
    X : ndarray of shape (n, d), float64
        Centred variables.
    lambda_ : float
        Ridge penalty λ on the effect sizes, > 0.
    Q : ndarray of shape (n, d), float64
        Left singular vectors of X.
    sigma : ndarray of shape (d,), float64
        Singular values of X, decreasing.
    R : ndarray of shape (d, d), float64
        Right singular vectors of X, as columns.
    """

    X: Floats
    lambda_: float
    Q: Floats
    sigma: Floats
    R: Floats

    @property
    def shrinkage(self) -> Floats:
        """Return 1 - d_j, shape (d,), without cancellation where σ_j is small."""
        d_j = np.sqrt(self.lambda_ / (self.lambda_ + self.sigma**2))
        # 1 - d = (1 - d²) / (1 + d)
        shrinkage: Floats = (self.sigma**2 / (self.lambda_ + self.sigma**2)) / (1 + d_j)
        return shrinkage

    def project(self, S: Floats) -> Floats:
        """Return P S, shape (n, l), for S (n, l)."""
        QtS = self.Q.T @ S  # (d, l)
        return S - self.Q @ (self.shrinkage[:, None] * QtS)

    def effect_map(self, U: Floats, loadings_map: Floats) -> Floats:
        """Return the d×n matrix L of Eq. 4, B̂_ℓ = L y_ℓ.

        B̂ᵀ = (XᵀX + λI)⁻¹ Xᵀ (Y - Ŵ) with Ŵ_ℓ = Û (U'ᵀ P y_ℓ), so L = (XᵀX + λI)⁻¹ (Xᵀ - XᵀÛ (P U')ᵀ).

        Parameters
        ----------
        U : ndarray of shape (n, K)
            Û.
        loadings_map : ndarray of shape (n, K)
            P U'.
        """
        # (XᵀX + λI)⁻¹ Xᵀ = R diag(σ / (σ² + λ)) Qᵀ
        ridge_inverse = (self.R * (self.sigma / (self.sigma**2 + self.lambda_))) @ self.Q.T  # (d, n)
        effect: Floats = ridge_inverse - (ridge_inverse @ U) @ loadings_map.T
        return effect


def geometry_bytes(n_samples: int, n_variables: int) -> int:
    """Return the bytes of the variables: as read, as used, standardised, and of their geometry."""
    return 8 * n_samples * 5 * n_variables


def ridge_geometry(X: Floats, lambda_: float) -> RidgeGeometry:
    """Centre X and compute its thin SVD.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64
        Variables; not modified.
    lambda_ : float
        Ridge penalty λ.

    Raises
    ------
    UsageError
        If λ is not a positive number.

    Notes
    -----
    The columns may differ by many orders of magnitude (metres beside fractions). They are scaled to length one before
    the QR and sorted by decreasing length. So the entries of the triangle decrease from top to bottom, and its SVD
    loses no digits of a short column beside a long one.
    """
    if not (np.isfinite(lambda_) and lambda_ > 0):
        raise UsageError(f"lambda is {lambda_}; the ridge penalty must be a positive number, such as 1e-5")
    X = X - X.mean(axis=0)
    # The mean of large numbers is rounded, so centred columns still have a small mean, which is subtracted too.
    X -= X.mean(axis=0)
    lengths = np.linalg.norm(X, axis=0)
    lengths[lengths == 0] = 1.0
    order = np.argsort(-lengths, kind="stable")
    basis, triangle = np.linalg.qr((X / lengths)[:, order])
    left, sigma, right = np.linalg.svd(triangle * lengths[order])
    R = np.empty_like(right)
    R[order] = right.T
    return RidgeGeometry(X, float(lambda_), basis @ left, sigma, R)
