"""Tail probabilities and normal scores of Student's t in 10 ns a value, for one number of degrees of freedom.

`lfmm2.statistics.distributions` computes them one by one, in 0.2 µs each; a run of many variables would spend most of
its time there. Here they are computed so at 513 points only. Between these, Taylor series around the nearest point
serve, whose coefficients follow from differential equations:

    p' = -2 f,                  (ν + t²) f' = -(ν + 1) t f         f: density of t, ν: degrees of freedom
    z' = g = f / φ(z),          g' = g (f'/f + z g)                φ: density of N(0, 1)

Values beyond the last point are those of `distributions`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.kernels import _pieces
from lfmm2.statistics import distributions

# Largest |t| of the series. Beyond it there are few t; with a larger value more terms would be needed.
LARGEST = 16
# Points in a unit of t, a power of two, and terms of each series. At |t| = 16 the first term left out is below
# (16 / 64)^14 / 14!, or 4e-20 of p. More points take more memory than a cache has, fewer need more terms.
PER_UNIT, N_TERMS = 32, 14
# Tables kept, of 115 kB each. A run needs two: of all degrees of freedom, and of those that surrogates leave.
_N_KEPT = 4


class StudentTable:
    """Student's t with `df` degrees of freedom, by series around equally spaced points.

    Parameters
    ----------
    df : float
        Degrees of freedom, at least 1.

    Notes
    -----
    p and z agree with those of `distributions` to 2e-14 up to |t| = 5, and p to 1e-13 beyond, where SciPy's own errors
    are as large; at df = 1 SciPy's p is off by 5e-9 next to 0. Values depend on t alone, not on the array it stands in.
    Between two t that differ by less than 1e-13 the order of p may be reversed. About 10 ns a value, 2 ms a table.
    """

    def __init__(self, df: float) -> None:
        self.df = df
        centres = np.arange(LARGEST * PER_UNIT + 1) / PER_UNIT
        self._p_series = _expand_p(centres, df)
        self._z_series = _expand_z(centres, df)

    def p(self, t: Floats) -> Floats:
        """Return the two-sided p, see `distributions.student_p`."""
        values, beyond = _evaluate(t, self._p_series, is_odd=False)
        if beyond is not None:
            values[beyond] = distributions.student_p(t[beyond], self.df)
        return values

    def tails(self, t: Floats) -> tuple[Floats, Floats]:
        """Return the two-sided p and its -log₁₀, see `distributions.student_tails`."""
        p, beyond = _evaluate(t, self._p_series, is_odd=False)
        neg_log10_p = distributions.neg_log10(p)
        if beyond is not None:
            p[beyond], neg_log10_p[beyond] = distributions.student_tails(t[beyond], self.df)
        return p, neg_log10_p

    def z(self, t: Floats) -> Floats:
        """Return the normal score with the same tail probability, see `distributions.student_z`."""
        values, beyond = _evaluate(t, self._z_series, is_odd=True)
        if beyond is not None:
            values[beyond] = distributions.student_z(t[beyond], self.df)
        return values


@lru_cache(maxsize=_N_KEPT)
def student_table(df: float) -> StudentTable:
    """Return the table of `df` degrees of freedom, which is made once."""
    return StudentTable(df)


def _evaluate(t: Floats, series: Floats, is_odd: bool) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Return the values of the series, and a mask of the t beyond the last point, or None if there are none."""
    values: Floats = np.empty(np.shape(t))
    flat = np.ascontiguousarray(t, np.float64).reshape(-1)
    n_beyond = _pieces.evaluate_pieces(flat, series, PER_UNIT, is_odd, values.reshape(-1))
    return values, (np.isnan(values) & ~np.isnan(t)) if n_beyond else None


def _expand_density(t: Floats, df: float) -> Floats:
    """Return the Taylor coefficients (n, N_TERMS) of the density around `t` (n,).

    (ν + t²) (k+1) a_{k+1} = -(ν + 1 + 2k) t a_k - (ν + k) a_{k-1}
    """
    a = np.zeros((len(t), N_TERMS))
    a[:, 0] = distributions.student_density(t, df)
    for k in range(N_TERMS - 1):
        before = a[:, k - 1] if k else 0.0
        a[:, k + 1] = -((df + 1 + 2 * k) * t * a[:, k] + (df + k) * before) / ((df + t * t) * (k + 1))
    return a


def _expand_p(t: Floats, df: float) -> Floats:
    """Return the Taylor coefficients (n, N_TERMS) of the two-sided p around `t` (n,)."""
    of_density = _expand_density(t, df)
    first = distributions.student_p(t, df)
    return np.column_stack([first, -2 * of_density[:, :-1] / np.arange(1, N_TERMS)])


def _expand_z(t: Floats, df: float) -> Floats:
    """Return the Taylor coefficients (n, N_TERMS) of z around `t` (n,).

    r = f'/f is a quotient of polynomials: (ν + t²) r = -(ν + 1) t. The products of series are those of Cauchy.
    """
    n = len(t)
    z, g, r, zg = (np.zeros((n, N_TERMS)) for _ in range(4))
    z[:, 0] = distributions.student_z(t, df)
    g[:, 0] = distributions.student_density(t, df) * np.exp(0.5 * z[:, 0] ** 2) * np.sqrt(2 * np.pi)
    square = df + t * t
    for k in range(N_TERMS - 1):
        right = -(df + 1) * (t if k == 0 else 1.0 if k == 1 else 0.0)
        one_before = r[:, k - 1] if k else 0.0
        two_before = r[:, k - 2] if k > 1 else 0.0
        r[:, k] = (right - 2 * t * one_before - two_before) / square
        zg[:, k] = (z[:, : k + 1] * g[:, k::-1]).sum(axis=1)
        g[:, k + 1] = (g[:, : k + 1] * (r + zg)[:, k::-1]).sum(axis=1) / (k + 1)
        z[:, k + 1] = g[:, k] / (k + 1)
    return z
