"""Histograms and order statistics: streamed ones equal to those in memory, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from statistic_cases import blocks_of, histogram_of, statistics

from lfmm2.errors import ReadError, UsageError
from lfmm2.statistics.order_statistics import MagnitudeHistogram, middle_pair

Floats = NDArray[np.float64]
Tail = Callable[[Floats], Floats]


def median_of(histogram: MagnitudeHistogram, blocks: Iterable[Floats]) -> float:
    return sum(middle_pair(histogram, blocks)) / 2


def test_bin_of_ascends_with_the_magnitude() -> None:
    magnitudes = np.concatenate([[0.0, 5e-324, 1e-300], np.logspace(-12, 12, 20_000), [1e300, np.inf]])
    bins = MagnitudeHistogram().bin_of(magnitudes)
    assert np.all(np.diff(bins) >= 0)
    assert bins.min() == 0
    assert bins.max() == len(MagnitudeHistogram().counts) - 1


def test_bin_of_is_narrower_than_a_thousandth() -> None:
    magnitudes = np.exp(np.random.default_rng(0).uniform(np.log(1e-6), np.log(1e6), 100_000))
    bins = MagnitudeHistogram().bin_of(magnitudes)
    order = np.argsort(magnitudes)
    pairs = np.diff(bins[order]) == 0
    assert np.all((np.diff(magnitudes[order]) / magnitudes[order][:-1])[pairs] < 1e-3)


def test_add_ignores_sign_and_nan() -> None:
    histogram = histogram_of(np.array([-2.0, np.nan, 2.0]))
    assert histogram.n == 2
    assert histogram.counts.max() == 2


def test_add_is_the_same_for_any_cut_into_blocks() -> None:
    t = statistics(10_000, 0)
    histogram = MagnitudeHistogram()
    for block in blocks_of(t, np.random.default_rng(1)):
        histogram.add(block)
    assert np.array_equal(histogram.counts, histogram_of(t).counts)


def test_bin_holding_finds_the_bin_of_every_rank() -> None:
    t = np.abs(np.random.default_rng(0).standard_normal(500).round(2))
    histogram = histogram_of(t)
    found = [histogram.bin_holding(rank) for rank in range(500)]
    assert found == histogram.bin_of(np.sort(t)).tolist()


@pytest.mark.parametrize("rank", [-1, 3])
def test_bin_holding_refuses_a_rank_that_does_not_exist(rank: int) -> None:
    with pytest.raises(UsageError, match="of 3 values; ranks run from 0 to 2"):
        histogram_of(np.ones(3)).bin_holding(rank)


def test_counts_above_counts_higher_bins() -> None:
    histogram = histogram_of(np.array([1.0, 2.0, 2.0, 5.0]))
    bins = histogram.bin_of(np.array([0.5, 1.0, 2.0, 5.0]))
    assert histogram.counts_above()[bins].tolist() == [4, 3, 1, 0]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10, 11, 1000, 1001])
@pytest.mark.parametrize("ties", [False, True])
def test_streamed_median_is_the_median(n: int, ties: bool) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(n) * 10.0 ** rng.integers(-12, 12)
        if ties:
            values = rng.integers(-3, 4, n).astype(np.float64)
        streamed = median_of(histogram_of(values), blocks_of(values, rng, n + 2))
        assert streamed == np.median(np.abs(values))


def test_streamed_median_ignores_nan() -> None:
    t = statistics(5001, 3)
    assert median_of(histogram_of(t), [t]) == np.nanmedian(np.abs(t))


def test_streamed_median_handles_values_beyond_the_bins() -> None:
    values = np.array([1e-200, 1e-300, 0.0, 1e200, np.inf, 1e300])
    assert median_of(histogram_of(values), [values]) == (1e-200 + 1e200) / 2


def test_streamed_median_of_nothing_is_nan() -> None:
    assert np.isnan(median_of(MagnitudeHistogram(), []))


def test_streamed_median_refuses_other_values_than_were_counted() -> None:
    t = statistics(1000, 0)
    with pytest.raises(ReadError, match="another process has changed their file"):
        median_of(histogram_of(t), [t, t])


# genomic inflation


@pytest.mark.parametrize("mantissa_bits", [7, 10])
def test_signed_counts_values_between_its_edges(mantissa_bits: int) -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.standard_normal(5000), [0.0, -(2.0**-6), 2.0**-5, -1.0, 300.0, -1e9, np.nan]])
    histogram = MagnitudeHistogram(mantissa_bits)
    histogram.add(values)
    edges, counts = histogram.signed()
    assert (edges[0], edges[-1]) == (-np.inf, np.inf)
    assert (np.diff(edges) > 0).all()
    # a bin holds its edge that is nearer to zero
    positive = np.histogram(values[values >= 0], edges[edges >= 0])[0]
    negative = np.histogram(-values[values < 0], -edges[edges <= 0][::-1])[0]
    np.testing.assert_array_equal(counts, np.concatenate([negative[::-1], positive]))
    assert counts.sum() == histogram.n == len(values) - 1


def test_lower_edges_are_in_their_bins() -> None:
    histogram = MagnitudeHistogram(7)
    edges = histogram.lower_edges()
    np.testing.assert_array_equal(histogram.bin_of(edges), np.arange(len(edges)))
    np.testing.assert_array_equal(histogram.bin_of(np.nextafter(edges[1:], 0)), np.arange(len(edges) - 1))


def test_histograms_of_parts_are_added_by_their_filled_bins() -> None:
    t = statistics(1000, 0)
    whole, joined = histogram_of(t), MagnitudeHistogram()
    for part in (t[:300], t[300:]):
        bins, counts, negative = histogram_of(part).filled_bins()
        assert (counts > 0).all()
        joined.add_bins(bins, counts, negative)
    np.testing.assert_array_equal(joined.counts, whole.counts)
    np.testing.assert_array_equal(joined.negative, whole.negative)
