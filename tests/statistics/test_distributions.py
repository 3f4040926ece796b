"""Tail probabilities against 50-digit arithmetic (mpmath), and where doubles underflow or overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from lfmm2.errors import UsageError
from lfmm2.statistics.distributions import (
    chi2_1_neg_log10_p,
    chi2_1_p,
    f_neg_log10_p,
    f_p,
    f_z,
    normal_upper_neg_log10_p,
    normal_upper_p,
    student_neg_log10_p,
    student_p,
    student_z,
)

# Regularised incomplete beta functions to 50 digits, rounded to 20.
STUDENT_P = [
    (0.5, 3, 0.65144796484815099444),
    (2.0, 10, 0.073388034770740365618),
    (6.0, 993, 2.7617118796769310031e-9),
    (30.0, 200, 5.7241612088278518821e-76),
    (36.0, 500_000, 1.9370270659840900536e-283),
]
STUDENT_FAR = [
    (40.0, 9990, 323.93529173076185238),
    (37.0, 500_000, 298.53433010365615806),
    (60.0, 993, 331.7894505131980583),
    (1000.0, 1_000_000, 150517.94537747414684),
    (1e150, 5, 748.72169613825384326),
    (1e150, 10_000, 1480002.098070795877),
    (1e200, 1, 200.19611987703015265),
    (1.7e308, 99.5, 30570.636032062724389),
]
F_P = [
    (0.5, 3, 20, 0.68651861283640298282),
    (4.0, 7, 993, 0.00025107722793710858075),
    (20.0, 3, 9990, 6.4113170811697650395e-13),
    (60.0, 30, 50, 6.5077849656449633773e-30),
    # SciPy's fdtrc is 1.6e-4 off here.
    (51.0, 30, 9990, 2.8578808068997101258e-281),
]
F_FAR = [
    (500.0, 3, 9990, 302.00899940302354652),
    (2000.0, 2, 993, 348.25121566840523049),
    (40.0, 100, 500_000, 766.3233335312424261),
    (1e300, 30, 50, 7484.2752502136659783),
]
CHI2_P = [
    (0.3, 0.76417715562209473386),
    (1.96, 0.049995790296440872426),
    (6.0, 1.9731752900753962814e-9),
    (37.0, 1.1451142445049153645e-299),
]
CHI2_FAR = [
    (0.3, 0.11680594929031829999),
    (6.0, 8.704834331812723014),
    (50.0, 544.6653058663326738),
    (1000.0, 217150.3390119987223),
    (1e100, 2.1714724095162591383e199),
]
# Normal scores of equal tails, by root finding in 60 digits.
STUDENT_Z = [
    (1e-8, 3, 9.213177319235613e-09),
    (0.003, 1, 0.0023936487872412314),
    (0.49, 10, 0.4751140951007427),
    (1.0, 30, 0.9836073386855457),
    (2.0, 10, 1.790409932268829),
    (5.0, 993, 4.967703489428889),
    (8.0, 99.5, 7.01282821768884),
    (30.0, 500_000, 29.98649815556867),
    (40.0, 9990, 38.523002329572286),
    (100.0, 30, 13.138367902257828),
    (1000.0, 500_000, 741.1515666996781),
    (1e20, 2, 13.362606636108751),
    (1e100, 1, 21.327078398169174),
]
F_Z = [
    (1e-6, 3, 490, -5.9447862283274215),
    (1e-6, 30, 9990, -19.524189665945215),
    (0.001, 30, 9990, -13.219807409388551),
    (0.5, 2, 20, -0.2895330489762279),
    (1.1, 7, 490, 0.3537886957981845),
    (4.0, 3, 9990, 2.436952717772111),
    (50.0, 30, 20, 7.221123967334474),
    (500.0, 1, 9990, 22.056339998608763),
    (1e5, 3, 490, 55.94249832972132),
]


@pytest.mark.parametrize(("t", "df", "expected"), STUDENT_P)
def test_student_p_agrees_with_50_digits(t: float, df: float, expected: float) -> None:
    assert float(student_p(t, df)) == pytest.approx(expected, rel=3e-13, abs=0)


@pytest.mark.parametrize(("t", "df", "expected"), STUDENT_FAR)
def test_student_neg_log10_p_agrees_with_50_digits(t: float, df: float, expected: float) -> None:
    assert float(student_neg_log10_p(t, df)) == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize(("t", "df", "expected"), STUDENT_P)
def test_student_neg_log10_p_is_the_logarithm_of_p(t: float, df: float, expected: float) -> None:
    assert float(student_neg_log10_p(t, df)) == pytest.approx(-math.log10(expected), abs=2e-13)


@pytest.mark.parametrize("df", [1.0, 2.0, 30.0, 993.0, 9990.0, 5e5])
def test_student_neg_log10_p_does_not_jump_where_the_formula_changes(df: float) -> None:
    # p falls through the limit of 1e-290 and, for df > 2, through the subnormal doubles on this grid.
    t = np.sqrt(df * np.expm1(np.linspace(1250, 1500, 4001) / df)) if df > 2 else np.logspace(140, 300, 4001)
    steps = np.diff(student_neg_log10_p(t, df))
    assert np.all(steps > 0)
    assert np.all(np.abs(np.diff(steps)) < 1e-3 * steps.mean())


def test_student_neg_log10_p_is_finite_for_the_largest_double() -> None:
    assert np.all(np.isfinite(student_neg_log10_p(np.finfo(np.float64).max, [1.0, 10.0, 1e6])))


def test_student_neg_log10_p_is_plain_zero_at_zero() -> None:
    value = student_neg_log10_p(0.0, 10.0)
    assert value == 0.0
    assert not np.signbit(value)


def test_student_p_ignores_the_sign() -> None:
    t = np.array([0.1, 3.0, 100.0])
    assert np.array_equal(student_p(-t, 50), student_p(t, 50))


def test_student_functions_keep_nan_and_infinity() -> None:
    t = [np.nan, np.inf, -np.inf]
    assert np.array_equal(student_p(t, 10), [np.nan, 0.0, 0.0], equal_nan=True)
    assert np.array_equal(student_neg_log10_p(t, 10), [np.nan, np.inf, np.inf], equal_nan=True)


def test_student_functions_broadcast_degrees_of_freedom() -> None:
    t = np.array([[1.0, 50.0, 90.0]])
    df = np.array([[990.0], [980.0]])
    for function in (student_p, student_neg_log10_p):
        rows = np.stack([function(t[0], 990.0), function(t[0], 980.0)])
        assert np.array_equal(function(t, df), rows)


def test_student_functions_take_empty_arrays() -> None:
    assert student_neg_log10_p(np.empty((0, 3)), 10).shape == (0, 3)


@pytest.mark.parametrize("df", [0.0, -2.0, np.nan])
def test_student_p_refuses_degrees_of_freedom_that_are_not_positive(df: float) -> None:
    with pytest.raises(UsageError, match=r"df = .*must be positive"):
        student_p(1.0, df)


@pytest.mark.parametrize(("f", "d1", "d2", "expected"), F_P)
def test_f_p_agrees_with_50_digits(f: float, d1: float, d2: float, expected: float) -> None:
    assert float(f_p(f, d1, d2)) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(("f", "d1", "d2", "expected"), F_FAR)
def test_f_neg_log10_p_agrees_with_50_digits_where_p_underflows(
    f: float, d1: float, d2: float, expected: float
) -> None:
    assert float(f_neg_log10_p(f, d1, d2)) == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("df", [3, 100, 9990, 500_000])
def test_f_with_one_numerator_degree_is_t_squared(df: float) -> None:
    t = np.array([0.01, 0.7, 3.0, 20.0, 36.0, 50.0, 1e4, 1e100])
    assert f_p(t**2, 1, df) == pytest.approx(student_p(t, df), rel=4e-13, abs=0)
    assert f_neg_log10_p(t**2, 1, df) == pytest.approx(student_neg_log10_p(t, df), rel=1e-13, abs=1e-13)


def test_f_functions_count_a_rounding_below_zero_as_zero() -> None:
    assert f_p(-1e-18, 3, 100) == 1.0
    assert f_neg_log10_p(-1e-18, 3, 100) == 0.0


def test_f_functions_keep_nan() -> None:
    assert np.isnan(f_p(np.nan, 3, 100))
    assert np.isnan(f_neg_log10_p(np.nan, 3, 100))


def test_f_p_refuses_degrees_of_freedom_that_are_not_positive() -> None:
    with pytest.raises(UsageError, match=r"d2 = -1, .*must be positive"):
        f_p(1.0, 3, -1)


@pytest.mark.parametrize(("z", "expected"), CHI2_P)
def test_chi2_1_p_agrees_with_50_digits(z: float, expected: float) -> None:
    assert float(chi2_1_p(-z)) == pytest.approx(expected, rel=4e-13, abs=0)


@pytest.mark.parametrize(("z", "expected"), CHI2_FAR)
def test_chi2_1_neg_log10_p_agrees_with_50_digits(z: float, expected: float) -> None:
    assert float(chi2_1_neg_log10_p(-z)) == pytest.approx(expected, rel=3e-15, abs=0)


def test_chi2_1_p_is_the_chi_square_tail_of_z_squared() -> None:
    z = np.linspace(0.0, 10.0, 101)
    assert chi2_1_p(z) == pytest.approx(special.chdtrc(1, z**2), rel=1e-13, abs=0)


def test_chi2_1_neg_log10_p_is_never_negative() -> None:
    values = chi2_1_neg_log10_p([0.0, 5e-324, 1e-16, 1e-10])
    assert np.all(values >= 0.0)
    assert not np.signbit(values).any()


def test_chi2_1_functions_keep_nan() -> None:
    assert np.isnan(chi2_1_p(np.nan))
    assert np.isnan(chi2_1_neg_log10_p(np.nan))


def test_student_p_tends_to_the_normal_tail() -> None:
    z = np.array([0.5, 2.0, 6.0])
    assert student_p(z, 1e12) == pytest.approx(chi2_1_p(z), rel=1e-9, abs=0)


def test_p_are_right_where_doubles_are_subnormal() -> None:
    # SciPy's own tails are 0, or off by 1e-3, here; a subnormal of 1e-309 still has ten digits.
    assert float(student_p(39.3, 9990)) == pytest.approx(3.062624907206037e-314, rel=1e-8, abs=0)
    assert float(f_p(512.0, 3, 9990)) == pytest.approx(1.6192900914844324e-309, rel=1e-10, abs=0)
    assert float(chi2_1_p(38.0)) == pytest.approx(5.7708567201375686e-316, rel=1e-7, abs=0)


@pytest.mark.parametrize(("t", "df", "expected"), STUDENT_Z)
def test_student_z_agrees_with_60_digits(t: float, df: float, expected: float) -> None:
    # beyond |z| = 37 SciPy's ndtri_exp gives 7e-13
    assert float(student_z(t, df)) == pytest.approx(expected, rel=1e-14 if expected < 37 else 1e-12, abs=0)
    assert float(student_z(-t, df)) == -float(student_z(t, df))


@pytest.mark.parametrize("df", [1.0, 3.0, 30.0, 9990.0, 5e5])
def test_student_z_has_the_p_of_t(df: float) -> None:
    t = np.array([0.3, 0.999999, 1.000001, 2.0, 15.0, 60.0, 1e4, 1e100])
    assert chi2_1_neg_log10_p(student_z(t, df)) == pytest.approx(student_neg_log10_p(t, df), rel=3e-12, abs=3e-13)


@pytest.mark.parametrize("df", [1.0, 10.0, 993.0, 5e5])
def test_student_z_rises_with_t_through_both_changes_of_formula(df: float) -> None:
    # |t| = 1, and for large df where p falls below 1e-290
    t = np.concatenate([np.linspace(0.9, 1.1, 2001), np.linspace(30.0, 60.0, 2001)])
    steps = np.diff(student_z(t, df))
    assert np.all(steps > 0)
    smooth = np.abs(np.diff(steps)) < 1e-3 * steps[1:]
    assert np.all(np.delete(smooth, [1999, 2000]))


def test_student_z_tends_to_t() -> None:
    t = np.array([-3.0, 0.2, 5.0])
    # t − (t³ + t)/4df
    assert student_z(t, 1e8) == pytest.approx(t - (t**3 + t) / 4e8, rel=1e-11)


def test_student_z_keeps_zero_nan_and_infinity() -> None:
    z = student_z([0.0, -0.0, np.nan, np.inf, -np.inf], 10)
    assert np.array_equal(z, [0.0, 0.0, np.nan, np.inf, -np.inf], equal_nan=True)


def test_student_z_is_finite_for_the_largest_double() -> None:
    assert np.all(np.isfinite(student_z(np.finfo(np.float64).max, [1.0, 10.0, 1e8])))


def test_student_z_broadcasts_degrees_of_freedom() -> None:
    t = np.array([[0.5, 3.0, 60.0]])
    df = np.array([[990.0], [980.0]])
    assert np.array_equal(student_z(t, df), np.stack([student_z(t[0], 990.0), student_z(t[0], 980.0)]))


def test_student_z_takes_empty_arrays() -> None:
    assert student_z(np.empty((0, 3)), 10).shape == (0, 3)


def test_scores_refuse_degrees_of_freedom_that_are_not_positive() -> None:
    with pytest.raises(UsageError, match=r"df = 0, .*must be positive"):
        student_z(1.0, 0.0)
    with pytest.raises(UsageError, match=r"d2 = 0, .*must be positive"):
        f_z(1.0, 2, 0.0)


@pytest.mark.parametrize(("f", "d1", "d2", "expected"), F_Z)
def test_f_z_agrees_with_60_digits(f: float, d1: float, d2: float, expected: float) -> None:
    assert float(f_z(f, d1, d2)) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(("d1", "d2"), [(2, 490), (7, 9990), (30, 20)])
def test_f_z_has_the_p_of_f(d1: float, d2: float) -> None:
    f = np.array([0.5, 1.0, 2.0, 30.0, 1e6])
    assert normal_upper_neg_log10_p(f_z(f, d1, d2)) == pytest.approx(f_neg_log10_p(f, d1, d2), rel=3e-12)


def test_f_z_of_exchanged_degrees_of_freedom_is_that_of_the_inverse() -> None:
    # z of 1/f is by the upper tail where z of f is by the lower one
    f = np.array([1e-30, 1e-4, 0.05, 0.3, 0.9, 1.5])
    assert f_z(f, 3, 100) == pytest.approx(-f_z(1 / f, 100, 3), rel=1e-11)


def test_f_z_is_minus_infinity_at_zero_and_below() -> None:
    assert np.array_equal(f_z([0.0, -1e-18, 5e-324], 3, 100), np.full(3, -np.inf))


def test_f_z_keeps_nan_and_infinity() -> None:
    assert np.array_equal(f_z([np.nan, np.inf], 3, 100), [np.nan, np.inf], equal_nan=True)


def test_normal_upper_p_is_half_of_the_two_sided_one() -> None:
    z = np.array([0.1, 3.0, 30.0, 36.9, 37.5])
    assert normal_upper_p(z) == pytest.approx(chi2_1_p(z) / 2, rel=4e-13, abs=0)
    assert normal_upper_p(-z) == pytest.approx(1 - chi2_1_p(z) / 2, rel=1e-15)


def test_normal_upper_p_is_right_where_doubles_are_subnormal() -> None:
    assert float(normal_upper_p(38.0)) == pytest.approx(5.7708567201375686e-316 / 2, rel=1e-7, abs=0)


def test_normal_upper_neg_log10_p_is_a_factor_two_beyond_the_two_sided_one() -> None:
    z = np.array([0.1, 3.0, 38.0, 1e6, 1e100])
    assert normal_upper_neg_log10_p(z) == pytest.approx(chi2_1_neg_log10_p(z) + math.log10(2), rel=1e-15)


def test_normal_upper_functions_at_the_ends() -> None:
    ends = [-np.inf, np.inf, np.nan]
    assert np.array_equal(normal_upper_p(ends), [1.0, 0.0, np.nan], equal_nan=True)
    assert np.array_equal(normal_upper_neg_log10_p(ends), [0.0, np.inf, np.nan], equal_nan=True)
    assert not np.signbit(normal_upper_neg_log10_p([-40.0, -np.inf])).any()
