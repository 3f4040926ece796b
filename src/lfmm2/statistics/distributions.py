"""Tail probabilities of Student's t, F, χ²₁ and the normal, their −log10, and z-scores, that do not underflow.

P-values of strong loci leave the range of a double (4.9e-324) long before the statistic does: t = 40 at
10⁴ degrees of freedom is enough. So every probability here has a twin that returns −log₁₀ p straight from the
statistic. Where p is a normal double the twin is −log₁₀ of it; below `_DIRECT_LIMIT` it is summed in logs.

Both t and F are incomplete beta functions, with b = d₁/2, a = d₂/2, x = d₂/(d₂ + d₁F) and, for t,
d₁ = 1, F = t²:

    p = I_x(a, b) = x^a (1−x)^b / (a B(a, b)) · ₂F₁(a+b, 1; a+1; x)

so that one tail function serves the two. ``scipy.stats`` is not used: importing it costs more than a whole
short run, and its ``t.logsf`` is −inf where ``t.sf`` is 0.

All functions take and return float64 of any shape, broadcast over their arguments, keep NaN as NaN and give
no floating-point warning. Accuracies are the largest deviations from 50-digit arithmetic, with SciPy 1.17,
over a thousand and more points per distribution, as far out as the smallest normal double.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from lfmm2._typing import Floats
from lfmm2.errors import UsageError

BoolArray = NDArray[np.bool_]

_LN10 = 2.302585092994045684
_LN2 = 0.693147180559945309417
_SQRT2 = 1.41421356237309504880

# P-value below which p is computed from its logarithm, because SciPy's tails fade into 0 among the subnormal doubles
# (below 2.2e-308). A smaller limit would lose digits, a larger one time.
_DIRECT_LIMIT = 1e-290
# The same limit for F must be larger: `fdtrc` forms x^a first, which underflows before it is multiplied by a factor
# that is some 10²⁰⁰ at d1 = 100. At d1 = 30, d2 = 9990 and p = 3e-283 the p of `fdtrc` is 4 % off.
_DIRECT_LIMIT_F = 1e-100

# Ratio d1·F/d2 beyond which 1 + ratio rounds to the ratio; the ratio itself may have overflowed.
_HUGE_RATIO = 1e17


def student_p(t: ArrayLike, df: ArrayLike) -> Floats:
    """Return the two-sided p-value of Student's t.

        p = P(|T_df| ≥ |t|) = 2 · P(T_df ≤ −|t|)

    Parameters
    ----------
    t : array_like, float64
        Statistics; the sign does not matter.
    df : array_like, float64
        Degrees of freedom, positive, broadcast against `t`.

    Returns
    -------
    ndarray of the broadcast shape, float64
        0 only where p is below the smallest double; use `student_neg_log10_p` there.

    Raises
    ------
    UsageError
        If a degree of freedom is not positive.

    Notes
    -----
    Relative error below 3e-13 for 2 ≤ df ≤ 5·10⁵ and all p that are normal doubles. Up to df = 10⁸ that holds
    for p > 1e-290, and 5e-11 beyond. At df = 1 SciPy loses up to 5e-9 of p next to t = 0, where p is 1.
    Equal |t| give equal p; between two t that differ by less than 1e-13 rounding can reverse the order of p.

    Examples
    --------
    >>> float(student_p(2.0, 10.0).round(6))
    0.073388
    """
    return student_tails(t, df)[0]


def student_neg_log10_p(t: ArrayLike, df: ArrayLike) -> Floats:
    """Return −log₁₀ of the two-sided p-value of Student's t; finite wherever t is.

    Parameters and errors are those of `student_p`.

    Returns
    -------
    ndarray of the broadcast shape, float64
        +inf only for infinite `t`; never −0.

    Notes
    -----
    Where p ≥ 1e-290 the result is −log₁₀ of `student_p`: absolute error below 2e-13. Beyond, the equation of
    the module docstring in logarithms: relative error below 1e-15 for df ≤ 5·10⁵ and below 2e-13 up to 10⁸.
    Only the entries beyond pay for it. |t| up to the largest double is handled, although t² overflows.

    Examples
    --------
    >>> float(student_neg_log10_p(1e150, 100.0).round(3))
    14901.099
    """
    return student_tails(t, df)[1]


def student_tails(t: ArrayLike, df: ArrayLike) -> tuple[Floats, Floats]:
    """Return `student_p` and `student_neg_log10_p` together, in the time of one of them."""
    p, far, log_p_far = _student_tail(t, df)
    neg_log10_p = neg_log10(p)
    p[far] = np.exp(log_p_far)
    neg_log10_p[far] = log_p_far / -_LN10
    return p, neg_log10_p


def student_density(t: ArrayLike, df: ArrayLike) -> Floats:
    """Return the density of Student's t.

        f(t) = Γ((ν+1)/2) / (Γ(ν/2) √(νπ)) · (1 + t²/ν)^(−(ν+1)/2),   ν: degrees of freedom

    Parameters and errors are those of `student_p`; `t` is below 1e150.

    Notes
    -----
    Relative error below 1e-14 up to |t| = 6, and below 1e-13 where the density is above 1e-290.

    Examples
    --------
    >>> student_density([0.0, 2.0], 10.0).round(6).tolist()
    [0.389108, 0.061146]
    """
    degrees = _checked_df(df, "df")
    squares = _array(t) ** 2
    log_front = _log_gamma_ratio(0.5 * degrees, _array(0.5)) - 0.5 * np.log(np.pi * degrees)
    return _array(np.exp(log_front - 0.5 * (degrees + 1.0) * np.log1p(squares / degrees)))


def f_p(f: ArrayLike, d1: ArrayLike, d2: ArrayLike) -> Floats:
    """Return the upper-tail p-value of the F statistic, P(F_{d1,d2} ≥ f).

    Parameters
    ----------
    f : array_like, float64
        Statistics; those below 0, which only rounding can make, count as 0.
    d1, d2 : array_like, float64
        Degrees of freedom of numerator and denominator, positive, broadcast against `f`.

    Returns
    -------
    ndarray of the broadcast shape, float64

    Raises
    ------
    UsageError
        If a degree of freedom is not positive.

    Notes
    -----
    Relative error for d1 ≤ 100 below 1e-12 up to d2 = 10⁴ and below 2e-11 up to 5·10⁵, for all p that are
    normal doubles. ``f_p(t**2, 1, df)`` is ``student_p(t, df)`` to that accuracy.

    Examples
    --------
    >>> float(f_p(4.0, 1.0, 10.0).round(6))
    0.073388
    """
    p, far, log_p_far = _f_tail(f, d1, d2)
    p[far] = np.exp(log_p_far)
    return p


def f_neg_log10_p(f: ArrayLike, d1: ArrayLike, d2: ArrayLike) -> Floats:
    """Return −log₁₀ of the upper-tail p-value of F; finite wherever f is.

    Parameters and errors are those of `f_p`. Method as in `student_neg_log10_p`, but in logarithms below
    p = 1e-100: relative error below 1e-15 there, and above it the relative error of `f_p` as an absolute one.

    Examples
    --------
    >>> float(f_neg_log10_p(1e300, 3.0, 100.0).round(3))
    14922.951
    """
    p, far, log_p_far = _f_tail(f, d1, d2)
    result = neg_log10(p)
    result[far] = log_p_far / -_LN10
    return result


def chi2_1_p(z: ArrayLike) -> Floats:
    """Return the p-value of z² under χ² with one degree of freedom.

        p = P(χ²₁ ≥ z²) = erfc(|z| / √2)

    Parameters
    ----------
    z : array_like, float64
        Square root of the χ² statistic, such as t/√GIF; the sign does not matter.

    Returns
    -------
    ndarray of the shape of `z`, float64
        Relative error below 4e-13 for normal doubles; 0 only where p is below the smallest double.

    Examples
    --------
    >>> float(chi2_1_p(1.959963984540054).round(12))
    0.05
    """
    z_abs = np.abs(np.asarray(z, dtype=np.float64))
    p = _array(special.erfc(z_abs * np.sqrt(0.5)))
    far = p < _DIRECT_LIMIT
    with np.errstate(over="ignore"):
        p[far] = np.exp(_LN2 + special.log_ndtr(-z_abs[far]))
    return p


def chi2_1_neg_log10_p(z: ArrayLike) -> Floats:
    """Return −log₁₀ of the p-value of z² under χ²₁, through ln Φ(−|z|).

        −log₁₀ p = −(ln 2 + ln Φ(−|z|)) / ln 10

    Parameters
    ----------
    z : array_like, float64
        As in `chi2_1_p`.

    Returns
    -------
    ndarray of the shape of `z`, float64
        Never negative. +inf for |z| above 2.8e154, where −log₁₀ p itself exceeds the largest double.

    Notes
    -----
    Absolute error below 1e-15 up to |z| = 2 and relative error below 1e-15 beyond.

    Examples
    --------
    >>> float(chi2_1_neg_log10_p(1e6).round(3))
    217147240957.724
    """
    z_abs = np.abs(np.asarray(z, dtype=np.float64))
    with np.errstate(over="ignore"):
        log_half_p = special.log_ndtr(-z_abs)
    # At z = 0 the two logarithms may differ by a rounding; −log10 p below 0 would be a p above 1.
    return _array(np.maximum((_LN2 + log_half_p) / -_LN10, 0.0))


def normal_upper_p(z: ArrayLike) -> Floats:
    """Return the one-sided p-value of a z-score, p = P(N(0,1) ≥ z) = Φ(−z).

    Parameters
    ----------
    z : array_like, float64
        Scores, large when the evidence is strong.

    Returns
    -------
    ndarray of the shape of `z`, float64
        Relative error below 4e-13 for normal doubles; 0 only where p is below the smallest double.

    Examples
    --------
    >>> float(normal_upper_p(1.6448536269514722).round(12))
    0.05
    """
    scores = _array(z)
    p = _array(special.ndtr(-scores))
    far = p < _DIRECT_LIMIT
    with np.errstate(over="ignore"):
        p[far] = np.exp(special.log_ndtr(-scores[far]))
    return p


def normal_upper_neg_log10_p(z: ArrayLike) -> Floats:
    """Return −log₁₀ of `normal_upper_p`, from ln Φ(−z).

    Parameters
    ----------
    z : array_like, float64
        As in `normal_upper_p`.

    Returns
    -------
    ndarray of the shape of `z`, float64
        Never negative. +inf for z above 2.8e154, where −log₁₀ p itself exceeds the largest double.

    Examples
    --------
    >>> float(normal_upper_neg_log10_p(1e6).round(3))
    217147240958.025
    """
    with np.errstate(over="ignore"):
        log_p = special.log_ndtr(-_array(z))
    # 0 − x, because far below z = 0 the logarithm is −0.
    return _array(0.0 - log_p / _LN10)


def student_z(t: ArrayLike, df: ArrayLike) -> Floats:
    """Return the standard normal score with the tail probability of Student's t and its sign.

        z = sign(t) · −Φ⁻¹(P(T_df ≤ −|t|))

    Parameters and errors are those of `student_p`, but the sign of `t` is kept.

    Returns
    -------
    ndarray of the broadcast shape, float64
        |z| ≤ |t|. Infinite only for infinite `t`.

    Notes
    -----
    Up to |t| = 1 as √2 · erf⁻¹(I_y(½, df/2)) with y = t²/(df + t²), because the difference of p from 1 would
    lose the digits of a small z; beyond by Φ⁻¹ of the tail probability or, where that underflows, of its
    logarithm. Relative error for df ≤ 5·10⁵ below 1e-14 up to |z| = 37 and below 1e-12 beyond. About
    150 ns per value.

    Examples
    --------
    >>> student_z([-2.0, 50.0], 100.0).round(4).tolist()
    [-1.9755, 18.0165]
    """
    t_full, df_full = np.broadcast_arrays(_array(t), _checked_df(df, "df"))
    z = np.empty(t_full.shape)
    central = np.asarray(np.abs(t_full) <= 1.0)
    squares, df_central = t_full[central] ** 2, df_full[central]
    z[central] = _SQRT2 * special.erfinv(special.betainc(0.5, 0.5 * df_central, squares / (df_central + squares)))
    z[~central] = _upper_score(*_student_tail(t_full[~central], df_full[~central]), _LN2)
    return _array(np.copysign(z, t_full))


def f_z(f: ArrayLike, d1: ArrayLike, d2: ArrayLike) -> Floats:
    """Return the standard normal score with the upper-tail probability of F: z = −Φ⁻¹(P(F_{d1,d2} ≥ f)).

    Parameters and errors are those of `f_p`.

    Returns
    -------
    ndarray of the broadcast shape, float64
        Large where `f` is large. −inf where `f` is 0 or below, +inf only for infinite `f`.

    Notes
    -----
    Where p > 0.9 the score is that of the lower tail, P(F_{d1,d2} ≤ f) = P(F_{d2,d1} ≥ 1/f), which p next to 1
    does not resolve. Relative error below 1e-11 for |z| > 0.01, in the range of degrees of freedom of `f_p`.

    Examples
    --------
    >>> f_z([0.1, 4.0, 400.0], 3, 100).round(4).tolist()
    [-1.7487, 2.334, 15.6543]
    """
    f_full, d1_full, d2_full = np.broadcast_arrays(
        np.maximum(_array(f), 0.0), _checked_df(d1, "d1"), _checked_df(d2, "d2")
    )
    p, far, log_p_far = _f_tail(f_full, d1_full, d2_full)
    lower = np.asarray(p > 0.9)
    z = _upper_score(p, far, log_p_far, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1.0 / f_full[lower]
    z[lower] = -_upper_score(*_f_tail(inverse, d2_full[lower], d1_full[lower]), 0.0)
    return z


def p_of_neg_log10(neg_log10_p: ArrayLike) -> Floats:
    """Return p of -log₁₀ p; 0 where p is below the smallest double."""
    return np.asarray(np.power(10.0, -_array(neg_log10_p)))


def _upper_score(p: Floats, far: BoolArray, log_p_far: Floats, log_sides: float) -> Floats:
    """Return −Φ⁻¹(p/sides) for a tail as `_student_tail` and `_f_tail` return it; `log_sides` is ln(sides)."""
    z = _array(-special.ndtri(p * np.exp(-log_sides)))
    z[far] = -special.ndtri_exp(log_p_far - log_sides)
    return z


def _student_tail(t: ArrayLike, df: ArrayLike) -> tuple[Floats, BoolArray, Floats]:
    """Return the two-sided p, a mask of those below `_DIRECT_LIMIT`, and ln p of these, whose p is inexact."""
    t_full, df_full = np.broadcast_arrays(np.abs(_array(t)), _checked_df(df, "df"))
    p = _array(2.0 * special.stdtr(df_full, -t_full))
    far = np.asarray(p < _DIRECT_LIMIT)
    t_far, df_far = t_full[far], df_full[far]
    with np.errstate(over="ignore"):
        ratio = (t_far / np.sqrt(df_far)) ** 2
    log_ratio = 2.0 * np.log(t_far) - np.log(df_far)
    return p, far, _log_beta_tail(ratio, log_ratio, np.ones_like(df_far), df_far)


def _f_tail(f: ArrayLike, d1: ArrayLike, d2: ArrayLike) -> tuple[Floats, BoolArray, Floats]:
    """Return the upper-tail p of F, a mask of those below `_DIRECT_LIMIT_F`, and ln p of these, whose p is inexact."""
    f_full, d1_full, d2_full = np.broadcast_arrays(
        np.maximum(_array(f), 0.0), _checked_df(d1, "d1"), _checked_df(d2, "d2")
    )
    p = _array(special.fdtrc(d1_full, d2_full, f_full))
    far = np.asarray(p < _DIRECT_LIMIT_F)
    f_far, d1_far, d2_far = f_full[far], d1_full[far], d2_full[far]
    with np.errstate(over="ignore"):
        ratio = d1_far * f_far / d2_far
    log_ratio = np.log(d1_far) + np.log(f_far) - np.log(d2_far)
    return p, far, _log_beta_tail(ratio, log_ratio, d1_far, d2_far)


def _log_beta_tail(
    ratio: Floats,
    log_ratio: Floats,
    d1: Floats,
    d2: Floats,
) -> Floats:
    """Return ln I_x(a, b) in the far tail, for x = 1/(1 + ratio), a = d2/2, b = d1/2.

        ln p = a ln x + b ln(1−x) + ln Γ(a+b)/Γ(a) − ln Γ(b) − ln a + ln ₂F₁(a+b, 1; a+1; x)

    Parameters
    ----------
    ratio, log_ratio : ndarray of shape (m,), float64
        d1·F/d2 and its logarithm; `ratio` may have overflowed to inf, `log_ratio` not.
    d1, d2 : ndarray of shape (m,), float64
        Degrees of freedom.
    """
    a = 0.5 * d2
    b = 0.5 * d1
    # ln x comes from the ratio and not from x, whose rounding would be multiplied by a.
    log_x = -np.where(ratio > _HUGE_RATIO, log_ratio, np.log1p(ratio))
    log_1_minus_x = -np.log1p(1.0 / ratio)
    x = 1.0 / (1.0 + ratio)
    log_front = _log_gamma_ratio(a, b) - special.gammaln(b) - np.log(a)
    return _array(a * log_x + b * log_1_minus_x + log_front + np.log(_hypergeometric(a, b, x)))


def _log_gamma_ratio(a: Floats, b: Floats) -> Floats:
    """Return ln Γ(a+b) − ln Γ(a), without the cancellation of the two when a is large.

    For a ≥ 50 the difference of Stirling's series, whose first neglected term is below 1e-15:

        (a − ½) ln(1 + b/a) + b ln(a+b) − b + s(a+b) − s(a),   s(y) = 1/12y − 1/360y³ + 1/1260y⁵

    References
    ----------
    Abramowitz and Stegun 1964, eq. 6.1.41.
    """
    c = a + b
    stirling = (a - 0.5) * np.log1p(b / a) + b * (np.log(c) - 1.0) + _stirling_tail(c) - _stirling_tail(a)
    return _array(np.where(a >= 50.0, stirling, special.gammaln(c) - special.gammaln(a)))


def _stirling_tail(y: Floats) -> Floats:
    """Return s(y) of `_log_gamma_ratio`."""
    r = 1.0 / y
    r2 = r * r
    return _array(r * (1.0 / 12.0 - r2 * (1.0 / 360.0 - r2 / 1260.0)))


def _hypergeometric(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return ₂F₁(a+b, 1; a+1; x) for x well below (a+1)/(a+b+2), by its continued fraction.

    In the far tail some twenty steps suffice up to a = 10⁸. ``scipy.special.hyp2f1`` is not used because it
    returns NaN from about a = 10⁵ on, where x is close to 1.

    References
    ----------
    Didonato and Morris 1992 (ACM TOMS 18:360); DLMF 8.17.22, evaluated by Lentz's algorithm.
    """
    c = np.ones_like(x)
    d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / (1.0 + even * d)
        c = 1.0 + even / c
        value = value * (c * d)
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / (1.0 + odd * d)
        c = 1.0 + odd / c
        step = c * d
        value = value * step
        # Written so that a NaN, which can only come from an infinite statistic, ends the loop.
        if not np.any(np.abs(step - 1.0) > 1e-15):
            break
    return _array(value)


def neg_log10(p: Floats) -> Floats:
    """Return -log₁₀ of p; +inf where p is 0, and never −0."""
    with np.errstate(divide="ignore"):
        # 0 − x, because −log10(1) would be −0.
        return np.asarray(0.0 - np.log10(p), dtype=np.float64)


def _checked_df(df: ArrayLike, name: str) -> Floats:
    """Return degrees of freedom as an array; raise UsageError if any is not positive."""
    degrees = np.asarray(df, dtype=np.float64)
    if not np.all(degrees > 0.0):
        fact = f"degrees of freedom {name} = {float(np.min(degrees)):g}, but they must be positive"
        raise UsageError(f"{fact}; use fewer factors or variables")
    return degrees


def _array(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
