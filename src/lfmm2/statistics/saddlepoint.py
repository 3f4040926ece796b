"""Saddlepoint approximation: the p of a weighted sum of genotypes, where few carriers make a t no Student's t.

The score of a SNP is S = Σ x_i (g_i − E g_i), with weights x of the samples and independent genotypes g_i of 0, 1 or 2
copies. With the cumulant generating function of S,

    K(t) = Σ ln(p0_i + p1_i e^{t x_i} + p2_i e^{2 t x_i}) − t Σ x_i E g_i,

the saddlepoint t̂ solves K′(t̂) = s, and with w = √(2 (t̂ s − K(t̂))) and v = t̂ √K″(t̂)

    P(S ≥ s) = 1 − Φ(w + ln(v / w) / w).

References
----------
Barndorff-Nielsen 1986, Biometrika 73:307. Dey et al. 2017, Am. J. Hum. Genet. 101:37, where it tests rare variants.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from lfmm2._typing import Floats

# Smallest p that is turned into a t; below it p fades into the subnormal doubles.
_LEAST_LOG_P = math.log(1e-290)
# Share of the largest possible score from which no saddlepoint is looked for, because it tends to infinity.
_NEARLY_LARGEST = 1 - 1e-9


class _WeightedGenotypes:
    """Cumulants of Σ x_i g_i for independent genotypes with probabilities p (3, n) of 0, 1 and 2 copies."""

    def __init__(self, weights: Floats, probabilities: Floats) -> None:
        self.weights = weights
        self._p = probabilities
        self.mean = self.slope(0.0)

    def _tilted(self, t: float) -> tuple[Floats, Floats]:
        """Return the terms (3, n) of the sums in K(t), divided by e^m, and m (n,), so that none overflows."""
        exponents = t * self.weights * np.arange(3.0)[:, None]
        largest = exponents.max(axis=0)
        return self._p * np.exp(exponents - largest), largest

    def _moments(self, t: float) -> tuple[Floats, Floats]:
        """Return mean and mean square of each genotype, tilted by t."""
        terms, _ = self._tilted(t)
        total = terms.sum(axis=0)
        return (terms[1] + 2 * terms[2]) / total, (terms[1] + 4 * terms[2]) / total

    def slope(self, t: float) -> float:
        """Return the first derivative of the cumulant generating function of Σ x_i g_i."""
        return float((self.weights * self._moments(t)[0]).sum())

    def upper_log_p(self, score: float) -> float:
        """Return ln P(S ≥ score) for a score above zero."""
        largest = 2 * np.maximum(self.weights, 0.0).sum() - self.mean
        if score * _NEARLY_LARGEST > largest:
            return -math.inf
        if score >= _NEARLY_LARGEST * largest:
            # Only the genotypes of the largest sum reach it.
            return float(np.log(np.where(self.weights > 0, self._p[2], self._p[0])).sum())
        from scipy import optimize  # It imports much, and few tests need it.

        upper = 1.0 / np.abs(self.weights).max()
        while self.slope(upper) - self.mean < score:
            upper *= 2
        t = float(optimize.brentq(lambda at: self.slope(at) - self.mean - score, 0.0, upper, rtol=1e-10))
        terms, shift = self._tilted(t)
        mean, square = self._moments(t)
        exponent = t * (score + self.mean) - float((np.log(terms.sum(axis=0)) + shift).sum())
        w = np.sqrt(2 * max(exponent, np.finfo(float).tiny))
        v = t * np.sqrt((self.weights**2 * (square - mean**2)).sum())
        return float(special.log_ndtr(-(w + np.log(v / w) / w)))


def saddlepoint_log_p(score: float, weights: Floats, probabilities: Floats) -> float:
    """Return ln of the two-sided p of a score, P(|S| ≥ |score|).

    Parameters
    ----------
    score : float
        Observed S, not 0.
    weights : ndarray of shape (n,), float64
        x.
    probabilities : ndarray of shape (3, n), float64
        Probabilities of 0, 1 and 2 copies for each sample, each above 0.
    """
    sides = [_WeightedGenotypes(sign * weights, probabilities).upper_log_p(abs(score)) for sign in (1.0, -1.0)]
    return min(float(np.logaddexp(sides[0], sides[1])), 0.0)


def student_of_log_p(log_p: float, df: int) -> float:
    """Return the |t| of Student's distribution whose two-sided p is exp(log_p), down to a p of 1e-290."""
    # p is I_x(df/2, 1/2) with x = df / (df + t²). SciPy's quantile of Student's t fails where df is small.
    x = float(special.betaincinv(0.5 * df, 0.5, math.exp(max(log_p, _LEAST_LOG_P))))
    return math.sqrt(df * (1 - x) / x)
