"""The genomic inflation factor, and what calibration makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import special
from statistic_cases import blocks_of, histogram_of

from lfmm2.statistics.calibration import CHI2_1_MEDIAN, inflation
from lfmm2.statistics.order_statistics import middle_pair


def gif_of(t: ArrayLike) -> float:
    values = np.asarray(t, np.float64)
    return inflation(middle_pair(histogram_of(values), [values]), CHI2_1_MEDIAN)


def test_chi2_1_median_is_the_median() -> None:
    assert special.chdtr(1, CHI2_1_MEDIAN) == pytest.approx(0.5, rel=1e-15, abs=0)


def test_genomic_inflation_is_median_of_squares_over_chi2_median() -> None:
    t = np.random.default_rng(0).standard_normal(1001)
    assert gif_of(t) == np.median(t**2) / CHI2_1_MEDIAN


def test_genomic_inflation_averages_squares_for_an_even_number() -> None:
    assert gif_of([1.0, 3.0]) == 5.0 / CHI2_1_MEDIAN


def test_genomic_inflation_ignores_nan() -> None:
    assert gif_of([np.nan, 1.0, np.nan]) == 1.0 / CHI2_1_MEDIAN


def test_genomic_inflation_of_nothing_is_nan() -> None:
    assert np.isnan(gif_of([np.nan]))


def test_genomic_inflation_is_not_clamped_below_one() -> None:
    assert gif_of(np.full(5, 0.5)) == 0.25 / CHI2_1_MEDIAN


@pytest.mark.parametrize("n", [1, 2, 999, 1000, 20_000])
def test_genomic_inflation_is_the_same_over_blocks(n: int) -> None:
    t = np.random.default_rng(n).standard_normal(n)
    blocks = blocks_of(t, np.random.default_rng(1))
    assert inflation(middle_pair(histogram_of(t), blocks), CHI2_1_MEDIAN) == np.median(t**2) / CHI2_1_MEDIAN


# q-values
