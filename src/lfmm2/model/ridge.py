"""Geometry of the ridge penalty: P and its inverse, which are rank-d changes of the identity, and the map of Eq. 4.

Eq. 2 compares λ with the squared length of the variables, so the unit of a variable would decide how it is shrunk. The
variables are therefore standardised first: Z = (X - mean) S⁻¹ with S the diagonal matrix of standard deviations over
the samples in use (ddof 0), so a variable alone has σ² = n. With Z = Q Σ Rᵀ and d_j = sqrt(λ / (λ + σ_j²)),

    P = I - Q (I - D) Qᵀ,     P⁻¹ = I + Q (D⁻¹ - I) Qᵀ

Profiling the effects of Z out of Eq. 2 leaves ‖P (Y - W)‖², so Ŵ = P⁻¹ svd_K(P Y). Effects per unit of X are those of Z
divided by S. Without standardisation S = I, which is Eq. 2 as R's LEA and lfmm take it.

References
----------
Caye, Jumentier, Lepeule, François 2019, Mol. Biol. Evol. 36:852, Eqs. 2-4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lfmm2._checks import quoted
from lfmm2._typing import Floats
from lfmm2._words import shortened
from lfmm2.errors import UsageError

# Most penalties that a sweep compares. Each has factors and tests of its own; a longer list is probably a mistake.
MOST_PENALTIES = 20


@dataclass(frozen=True)
class RidgeGeometry:
    """The matrix P of one set of variables and one λ, in terms of Z = X / scales.

    Attributes
    ----------
    X : ndarray of shape (n, d), float64
        Centred variables, in their own units.
    scales : ndarray of shape (d,), float64
        Unit in which each variable is compared with λ: its standard deviation (ddof 0), or 1.
    standardized : bool
        True if `scales` are standard deviations.
    lambda_ : float
        Ridge penalty λ on the effect sizes, > 0.
    Q : ndarray of shape (n, d), float64
        Left singular vectors of Z.
    sigma : ndarray of shape (d,), float64
        Singular values of Z, decreasing.
    R : ndarray of shape (d, d), float64
        Right singular vectors of Z, as columns.
    """

    X: Floats
    scales: Floats
    standardized: bool
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

        The effects of Z are (ZᵀZ + λI)⁻¹ Zᵀ (Y - Ŵ) with Ŵ_ℓ = Û (U'ᵀ P y_ℓ), so
        L = S⁻¹ (ZᵀZ + λI)⁻¹ (Zᵀ - ZᵀÛ (P U')ᵀ): effects per unit of X.

        Parameters
        ----------
        U : ndarray of shape (n, K)
            Û.
        loadings_map : ndarray of shape (n, K)
            P U'.
        """
        # (ZᵀZ + λI)⁻¹ Zᵀ = R diag(σ / (σ² + λ)) Qᵀ
        ridge_inverse = (self.R * (self.sigma / (self.sigma**2 + self.lambda_))) @ self.Q.T  # (d, n)
        effect: Floats = ridge_inverse - (ridge_inverse @ U) @ loadings_map.T
        return effect / self.scales[:, None]

    def with_penalty(self, lambda_: float) -> RidgeGeometry:
        """Return the geometry of the same variables with another λ, on which Q, σ and R do not depend."""
        return replace(self, lambda_=lambda_)


def geometry_bytes(n_samples: int, n_variables: int) -> int:
    """Return the bytes of the variables: as read, as used, standardised, and of their geometry."""
    return 8 * n_samples * 5 * n_variables


@dataclass(frozen=True)
class Penalty:
    """A ridge penalty λ, and the text by which tables and messages name it, such as "1e-05" or "0.3x"."""

    text: str
    value: float


def parse_penalty(lambda_: float | str, n_samples: int, standardize: bool) -> float:
    """Return λ as a number: 1e-5, "1e-5", or "0.3x" for 0.3 times the σ² = n of one standardised variable.

    With "1x" a variable alone is shrunk by d² = ½.

    Raises
    ------
    UsageError
        If it is no positive number, or a multiple without `standardize`, where variables have no common variance.
    """
    return name_penalty(lambda_, n_samples, standardize).value


def name_penalty(lambda_: Any, n_samples: int, standardize: bool, option: str = "lambda") -> Penalty:
    """Return λ with its text; parameters and errors as of `parse_penalty`, `option` names it in messages."""
    text = str(lambda_).strip()
    try:
        if isinstance(lambda_, bool) or not isinstance(lambda_, str | float | int | np.number):
            raise ValueError("this is no number")
        value = float(text.removesuffix("x"))
    except ValueError:
        value = np.nan
    factor = n_samples if text.endswith("x") else 1
    if not (np.isfinite(value * factor) and value > 0):
        fact = f"{option} is {shortened(text)}; the ridge penalty must be a positive number"
        raise UsageError(f"{fact}, such as 1e-5, or a multiple of the variance, such as 1x")
    # The short form is used where it is the same number.
    written = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if not text.endswith("x"):
        return Penalty(written, value)
    if not standardize:
        fact = f"{option} is {shortened(text)}, a multiple of the variance, but variables are not standardised"
        raise UsageError(f"{fact}; give a number, or standardise")
    return Penalty(f"{written}x", value * factor)


def parse_penalties(sweep_lambda: Any, n_samples: int, standardize: bool) -> tuple[Penalty, ...]:
    """Return the penalties of "1e-5,0.3x,1x" or of a sequence of such numbers and texts, ascending, each once.

    Raises
    ------
    UsageError
        If it is none of these, is empty or names more than `MOST_PENALTIES`, or as `parse_penalty`.
    """
    items = sweep_lambda.split(",") if isinstance(sweep_lambda, str) else sweep_lambda
    if isinstance(items, int | float | np.number) and not isinstance(items, bool):
        items = [items]
    try:
        if isinstance(items, bytes | dict) or not isinstance(items, Iterable):
            raise TypeError("this is no sequence")
        items = list(items)
    except TypeError:
        items = []
    if not 0 < len(items) <= MOST_PENALTIES:
        fact = f"it names one to {MOST_PENALTIES} ridge penalties"
        raise UsageError(f"sweep_lambda is {quoted(sweep_lambda)}; {fact}, as 1e-5,0.3x,1x")
    named = (name_penalty(item, n_samples, standardize, "sweep_lambda") for item in items)
    by_value: dict[float, Penalty] = {}
    for penalty in named:
        by_value.setdefault(penalty.value, penalty)
    return tuple(by_value[value] for value in sorted(by_value))


def ridge_geometry(X: Floats, lambda_: float | str, standardize: bool = False) -> RidgeGeometry:
    """Centre X, standardise it if asked, and compute its thin SVD.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64
        Variables; not modified.
    lambda_ : float or str
        Ridge penalty λ, as `parse_penalty` takes it.
    standardize : bool
        Compare λ with standardised variables rather than with the variables as given.

    Raises
    ------
    UsageError
        As `parse_penalty`.

    Notes
    -----
    The columns may differ by many orders of magnitude (metres beside fractions). They are scaled to length one before
    the QR and sorted by decreasing length. So the entries of the triangle decrease from top to bottom, and its SVD
    loses no digits of a short column beside a long one, without standardisation too.
    """
    penalty = parse_penalty(lambda_, len(X), standardize)
    X = X - X.mean(axis=0)
    # The mean of large numbers is rounded, so centred columns still have a small mean, which is subtracted too.
    X -= X.mean(axis=0)
    lengths = np.linalg.norm(X, axis=0)
    lengths[lengths == 0] = 1.0
    scales = lengths / np.sqrt(max(len(X), 1)) if standardize else np.ones(X.shape[1])
    order = np.argsort(-lengths, kind="stable")
    basis, triangle = np.linalg.qr((X / lengths)[:, order])
    left, sigma, right = np.linalg.svd(triangle * (lengths / scales)[order])
    R = np.empty_like(right)
    R[order] = right.T
    return RidgeGeometry(X, scales, standardize, penalty, basis @ left, sigma, R)
