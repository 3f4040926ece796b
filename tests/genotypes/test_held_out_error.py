"""Errors of held-out calls added up: exactly, in any order and any parts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.genotypes.imputation import ERROR_FACTORS, ERROR_MEAN, N_COLUMNS, HeldOutError

Floats = NDArray[np.float64]


def random_errors(n: int) -> Floats:
    """Squares of very different sizes, some not there."""
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((n, 2)) ** 2 * 10.0 ** rng.uniform(-30, 30, (n, 1))
    errors[::7] = np.nan
    errors[::5, ERROR_FACTORS] = np.nan
    return errors


def numbers(total: HeldOutError) -> tuple[float, ...]:
    return total.n_held_out, total.rmse_mean, total.rmse_factors, total.ratio, total.n_left_at_mean


@pytest.mark.parametrize("part", [1, 3, 100, 1000])
def test_sums_of_errors_do_not_depend_on_parts_or_order(part: int) -> None:
    errors = random_errors(1000)
    whole, parts = HeldOutError(), HeldOutError()
    whole.add(errors)
    shuffled = np.random.default_rng(part).permutation(errors)
    for first in range(0, len(errors), part):
        parts.add(shuffled[first : first + part])
    assert numbers(parts) == numbers(whole)
    assert whole.n_held_out == (~np.isnan(errors).any(axis=1)).sum()


def test_sums_of_errors_are_exact() -> None:
    errors = random_errors(300)
    total = HeldOutError()
    total.add(errors)
    there = errors[~np.isnan(errors).any(axis=1)]
    for j, rmse in ((ERROR_MEAN, total.rmse_mean), (ERROR_FACTORS, total.rmse_factors)):
        mean = sum(map(Fraction, there[:, j].tolist()), Fraction(0)) / len(there)
        assert rmse == np.sqrt(float(mean))


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-310, 1.0, 1.7e308])
def test_errors_of_any_size_are_added(value: float) -> None:
    total = HeldOutError()
    total.add(np.full((4, 2), value))
    assert total.rmse_mean == np.sqrt(value)


def test_without_calls_there_are_no_errors() -> None:
    nothing, total = HeldOutError(), HeldOutError()
    total.add(np.full((3, N_COLUMNS), np.nan))
    for held_out in (nothing, total):
        n_held_out, *errors, n_left_at_mean = numbers(held_out)
        assert n_held_out == n_left_at_mean == 0
        assert np.isnan(errors).all()


def test_a_ratio_compares_root_mean_squares() -> None:
    total = HeldOutError()
    total.add(np.array([[4.0, 1.0], [4.0, 1.0], [np.nan, np.nan], [9.0, np.nan]]))
    assert numbers(total) == (2, 2.0, 1.0, 0.5, 1)
