"""What the fit says of structure: how far each variable follows it, and whether K cuts between equal axes."""

from __future__ import annotations

import numpy as np

from lfmm2._typing import Floats
from lfmm2.model import FEWEST_AXES, TIED_GAP, LatentFactors, RidgeGeometry, variance_on_axes, variance_on_factors
from lfmm2.results import StructureFacts

# Adjusted R² on the axes of the genotypes from which a variable is said to follow structure, if the factors explain
# less than `_SEEN` of it. With a smaller one more variables of runs without false hits are warned of, mostly of runs
# with few samples (docs/validation.md counts the warnings).
_FOLLOWS = 0.6
_SEEN = 0.5


def describe_structure(
    ridge: RidgeGeometry, factors: LatentFactors, K: int, names: tuple[str, ...]
) -> dict[str, StructureFacts]:
    """Return how much of each variable the K factors and the leading axes of the genotypes explain."""
    of_factors = variance_on_factors(ridge, factors, len(names))[K]
    # As many axes as factors, at least ten, whatever the range of a sweep.
    n_axes = min(max(K, FEWEST_AXES), factors.axes.shape[1])
    of_axes = variance_on_axes(ridge.X[:, : len(names)], factors.axes[:, :n_axes])[-1]
    return {
        name: StructureFacts(float(r2), float(pcs) if n_axes else np.nan, n_axes)
        for name, r2, pcs in zip(names, of_factors, of_axes, strict=True)
    }


def adjusted(r2: float, n_axes: int, n_samples: int) -> float:
    """Return R² less what so many axes explain of any variable: 1 − (1 − R²)(n − 1)/(n − 1 − m); NaN for m ≥ n − 1."""
    rest = n_samples - 1 - n_axes
    return 1 - (1 - r2) * (n_samples - 1) / rest if rest > 0 else np.nan


def is_unseen(of: StructureFacts, K: int, n_samples: int) -> bool:
    """Return True if a variable follows structure which the K factors do not see."""
    axes = adjusted(of.r2_pcs, of.n_pcs, n_samples)
    return axes >= _FOLLOWS and adjusted(of.r2_factors, K, n_samples) < _SEEN * axes


def tie_notes(factors: LatentFactors, K: int, ks: tuple[int, ...]) -> list[str]:
    """Return a sentence if K, or another number of factors of the sweep, cuts between equal axes."""
    tied = [k for k in sorted({K, *ks}) if 0 < k <= factors.n_factors and factors.gaps[k - 1] < TIED_GAP]
    if not tied:
        return []
    gaps = _all_gaps(factors)
    clear = np.flatnonzero(~(gaps < TIED_GAP)) + 1
    worst = K if K in tied else tied[0]
    near = [0, *clear[clear < worst][-1:].tolist(), *clear[clear > worst][:1].tolist()]
    take = " or ".join(str(k) for k in near if k > 0)
    fact = f"K = {worst} cuts between equal axes (gap {factors.gaps[worst - 1]:.1e} of the eigenvalue)"
    others = [k for k in tied if k != worst]
    more = f"; so do {', '.join(map(str, others))}" if others else ""
    remedy = f"; take {take}" if take else ""
    return [f"{fact}, so the factors are not defined and t depends on the order of the samples{more}{remedy}"]


def _all_gaps(factors: LatentFactors) -> Floats:
    """Return relative gaps after each eigenvalue that is known, also of those beyond the factors."""
    if factors.spectrum is None:
        return factors.gaps
    values = factors.spectrum.eigenvalues[factors.spectrum.eigenvalues > 0]
    gaps: Floats = (values[:-1] - values[1:]) / values[:-1]
    return gaps
