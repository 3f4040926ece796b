"""The standard error of the GIF: the block jackknife of NumPy, from counts of one pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.statistics.calibration import StudentStatistic, calibrate, measure_inflation
from lfmm2.statistics.gif_error import N_BLOCKS, BlockMedians
from lfmm2.statistics.order_statistics import MagnitudeHistogram

Floats = NDArray[np.float64]


def jackknife(values: Floats, n_blocks: int) -> Floats:
    """Medians of |value| without each block, as the definition has them."""
    values = np.abs(values[~np.isnan(values)])
    edges = np.arange(n_blocks + 1) * len(values) // n_blocks
    return np.array([np.median(np.delete(values, slice(*pair))) for pair in pairwise(edges)])


def block_medians(values: Floats, n_blocks: int = N_BLOCKS, bits: int = 10, cut: int | None = None) -> BlockMedians:
    histogram = MagnitudeHistogram(bits)
    histogram.add(values)
    medians = BlockMedians(histogram, n_blocks)
    for first in range(0, len(values), cut or len(values)):
        medians.add(values[first : first + (cut or len(values))])
    return medians


def linked(n: int, seed: int = 0, scale: float = 1.0) -> Floats:
    """Statistics in runs of equal size: neighbours are alike, as with linkage."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal(n) * np.repeat(rng.uniform(0.5, 1.5, n // 50 + 1), 50)[:n] * scale
    t[rng.random(n) < 0.05] = np.nan
    return t


@pytest.mark.parametrize("n_blocks", [5, 20, 100])
@pytest.mark.parametrize(("n", "scale"), [(3001, 1.0), (20_000, 1.0), (20_000, 1e-3), (3001, 40.0)])
def test_medians_are_those_of_numpy_but_for_the_width_of_a_bin(n: int, scale: float, n_blocks: int) -> None:
    t = linked(n, scale=scale)
    expected = jackknife(t, n_blocks)
    found = block_medians(t, n_blocks)
    np.testing.assert_allclose(found.medians(), expected, rtol=1e-3)
    error = np.sqrt((n_blocks - 1) / n_blocks * np.sum((expected**2 - np.mean(expected**2)) ** 2))
    assert found.error_of_square() == pytest.approx(error, rel=0.05)


def test_error_does_not_depend_on_parts_or_bins() -> None:
    t = linked(5000)
    expected = block_medians(t).error_of_square()
    for cut in (1, 7, 260, 4999):
        assert (
            block_medians(t[: 300 * cut], cut=cut).error_of_square() == block_medians(t[: 300 * cut]).error_of_square()
        )
    assert block_medians(t, bits=7).error_of_square() == expected


def test_error_of_independent_tests_is_that_of_a_median() -> None:
    t = np.random.default_rng(5).standard_normal(40_000)
    errors = [block_medians(part).error_of_square() / 0.4549 for part in t.reshape(10, 4000)]
    # 1 / (2 f(x) x √m) with density f of χ²₁ at its median x
    assert np.mean(errors) == pytest.approx(2.33 / np.sqrt(4000), rel=0.15)


def test_linked_tests_have_a_larger_error() -> None:
    rng = np.random.default_rng(6)
    t = np.repeat(rng.standard_normal(800), 25) + 0.01 * rng.standard_normal(20_000)
    assert block_medians(t).error_of_square() > 3 * block_medians(rng.permutation(t)).error_of_square()


def test_few_values_have_no_error() -> None:
    t = np.random.default_rng(7).standard_normal(200)
    assert np.isfinite(block_medians(t).error_of_square())
    t[3] = np.nan
    assert np.isnan(block_medians(t).error_of_square())
    assert np.isnan(block_medians(np.full(300, np.nan)).error_of_square())


@pytest.mark.parametrize("value", [0.0, 1.0, 1e12])
def test_equal_values_have_a_finite_error(value: float) -> None:
    assert np.isfinite(block_medians(np.full(1000, value)).error_of_square())


@pytest.mark.parametrize("method", ["student", "chi2"])
def test_inflation_of_a_calibration_has_its_error(method: str) -> None:
    t = 1.2 * linked(4000)
    histogram = MagnitudeHistogram()
    histogram.add(t)
    statistic = StudentStatistic(30)
    found = calibrate(statistic, method, histogram, lambda: [t[:1000], t[1000:]])
    expected = statistic.for_method(method).median_square
    error = max(block_medians(t).error_of_square() / expected, found.gif * 2.33 / found.histogram.n**0.5)
    assert found.gif_se == found.summary.gif_se == error
    assert measure_inflation(statistic, method, lambda: [t]) == (found.gif, found.gif_se)


def test_error_is_at_least_that_of_independent_tests() -> None:
    t = np.tile(np.random.default_rng(8).standard_normal(200), N_BLOCKS)
    assert block_medians(t).error_of_square() == pytest.approx(0, abs=1e-12)
    gif, se = measure_inflation(StudentStatistic(30), "student", lambda: [t])
    assert se == pytest.approx(gif * 2.33 / np.sqrt(len(t)))
