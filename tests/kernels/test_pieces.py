"""Polynomials on pieces against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2.kernels import _pieces

COEFFICIENTS = np.random.default_rng(3).standard_normal((9, 5))


def evaluate(x: np.ndarray, is_odd: bool = False, coefficients: np.ndarray = COEFFICIENTS) -> tuple[np.ndarray, int]:
    values = np.full(len(x), 7.0)
    n_beyond = _pieces.evaluate_pieces(x, coefficients, 4.0, is_odd, values)
    return values, n_beyond


@pytest.mark.parametrize("is_odd", [False, True])
def test_values_are_those_of_the_nearest_piece(is_odd: bool) -> None:
    x = np.random.default_rng(1).uniform(-2.12, 2.12, 1000)
    pieces = np.floor(np.abs(x) * 4 + 0.5).astype(int)
    expected = [np.polyval(COEFFICIENTS[i, ::-1], abs(v) - i / 4) for i, v in zip(pieces, x, strict=True)]
    values, n_beyond = evaluate(x, is_odd)
    np.testing.assert_allclose(values, np.copysign(expected, x) if is_odd else expected, rtol=1e-13, atol=1e-15)
    assert n_beyond == 0


def test_nan_and_values_beyond_the_last_piece_are_nan() -> None:
    values, n_beyond = evaluate(np.array([np.nan, 2.125, -np.inf, 2.1249, 1e300]))
    assert np.isnan(values).tolist() == [True, True, True, False, True]
    assert n_beyond == 3


def test_one_piece_of_one_term_is_a_constant_around_zero() -> None:
    values, n_beyond = evaluate(np.array([-0.1, 0.0, 0.12, 0.13]), coefficients=np.array([[2.5]]))
    np.testing.assert_array_equal(values, [2.5, 2.5, 2.5, np.nan])
    assert n_beyond == 1


def test_no_value_is_no_work() -> None:
    assert evaluate(np.empty(0))[1] == 0


def test_read_only_input_is_taken() -> None:
    x = np.zeros(3)
    x.flags.writeable = False
    assert evaluate(x)[0].tolist() == [COEFFICIENTS[0, 0]] * 3


@pytest.mark.parametrize(
    ("n_out", "coefficients", "per_unit", "match"),
    [
        (2, COEFFICIENTS, 4.0, "room for 2"),
        (3, np.empty((0, 2)), 4.0, "a piece"),
        (3, np.empty((2, 0)), 4.0, "a term"),
        (3, COEFFICIENTS, 0.0, "positive"),
        (3, COEFFICIENTS, np.nan, "positive"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    n_out: int, coefficients: np.ndarray, per_unit: float, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        _pieces.evaluate_pieces(np.zeros(3), coefficients, per_unit, False, np.empty(n_out))
