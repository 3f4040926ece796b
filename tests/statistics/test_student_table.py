"""Series of Student's t against the functions that compute each value in its own way."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2.errors import UsageError
from lfmm2.statistics import distributions
from lfmm2.statistics.student_table import LARGEST, N_TERMS, PER_UNIT, StudentTable, student_table

DFS = [2, 2.5, 7, 30, 294, 895, 9990, 1e6]


def values_of_t(df: float) -> np.ndarray:
    rng = np.random.default_rng(5)
    edges = (np.arange(LARGEST * PER_UNIT) + 0.5) / PER_UNIT
    around = np.concatenate([np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)])
    return np.concatenate([rng.standard_t(df, 5000), rng.uniform(-LARGEST, LARGEST, 5000), around, -around, [0.0]])


@pytest.mark.parametrize("df", DFS)
def test_tails_are_those_of_the_reference(df: float) -> None:
    t = values_of_t(df)
    p, neg_log10_p = StudentTable(df).tails(t)
    expected = distributions.student_tails(t, df)
    # SciPy's own p is off by up to 3e-13, the more the farther out.
    central = np.abs(t) <= 5
    np.testing.assert_allclose(p[central], expected[0][central], rtol=2e-14)
    np.testing.assert_allclose(p, expected[0], rtol=3e-13)
    np.testing.assert_allclose(neg_log10_p, expected[1], rtol=0, atol=2e-13)
    np.testing.assert_array_equal(StudentTable(df).p(t), p)


@pytest.mark.parametrize("df", DFS)
def test_z_is_that_of_the_reference(df: float) -> None:
    t = values_of_t(df)
    np.testing.assert_allclose(StudentTable(df).z(t), distributions.student_z(t, df), rtol=2e-14)


@pytest.mark.parametrize("df", [3, 200])
def test_t_beyond_the_series_has_the_bits_of_the_reference(df: float) -> None:
    t = np.array([LARGEST + 1.0, -40.0, 1e10, np.inf, -np.inf, np.nan, 1.0])
    table = StudentTable(df)
    p, neg_log10_p = table.tails(t)
    np.testing.assert_array_equal(p[:6], distributions.student_p(t[:6], df))
    np.testing.assert_array_equal(neg_log10_p[:6], distributions.student_neg_log10_p(t[:6], df))
    np.testing.assert_array_equal(table.z(t)[:6], distributions.student_z(t[:6], df))
    assert np.isfinite(p[6])


def test_values_do_not_depend_on_the_array() -> None:
    t = values_of_t(50)
    table = StudentTable(50)
    one_by_one = np.array([table.tails(t[i : i + 1]) for i in range(0, len(t), 97)])[:, :, 0]
    np.testing.assert_array_equal(one_by_one, np.column_stack(table.tails(t))[::97])
    np.testing.assert_array_equal(table.z(t[::2]), table.z(t)[::2])


def test_p_does_not_rise_with_t_but_for_rounding() -> None:
    t = np.sort(np.abs(values_of_t(100)))
    p = StudentTable(100).p(t)
    # Next to the end of a piece p jumps by the rounding of the values at two points.
    assert (np.diff(p) <= 2e-13 * p[1:]).all()
    assert p[0] == 1.0


def test_arrays_of_any_shape_and_none() -> None:
    table = StudentTable(9)
    assert table.p(np.empty(0)).shape == (0,)
    t = np.array([[0.5, 20.0], [np.nan, -1.0]])
    np.testing.assert_allclose(table.z(t), distributions.student_z(t, 9), rtol=1e-13)
    np.testing.assert_array_equal(table.z(t.T), table.z(t).T)


def test_table_is_made_once() -> None:
    assert student_table(17) is student_table(17)


def test_degrees_of_freedom_must_be_positive() -> None:
    with pytest.raises(UsageError, match="degrees of freedom"):
        student_table(0)


@pytest.mark.parametrize("df", [2, 895])
def test_fewer_terms_would_not_do(df: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # The number of terms follows from the distance of points; with half of them p is off by more than its rounding.
    monkeypatch.setattr("lfmm2.statistics.student_table.N_TERMS", N_TERMS // 2)
    t = values_of_t(df)
    off = np.abs(StudentTable(df).p(t) / distributions.student_p(t, df) - 1).max()
    assert (off > 3e-13) == (df == 895)


def test_density_is_that_of_scipy() -> None:
    from scipy import stats

    t = np.linspace(-30, 30, 401)
    for df in (1, 2.5, 40, 1e6):
        np.testing.assert_allclose(distributions.student_density(t, df), stats.t.pdf(t, df), rtol=2e-12)
