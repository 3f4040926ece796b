"""Order statistics and q-values: streamed ones equal to those in memory, bit for bit."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from lfmm2.calibration import (
    CHI2_1_MEDIAN,
    MagnitudeHistogram,
    StreamedQValues,
    benjamini_hochberg,
    calibration_warning,
    genomic_inflation,
    genomic_inflation_streamed,
    streamed_median,
)
from lfmm2.distributions import chi2_1_p, f_p, student_p
from lfmm2.errors import ReadError, UsageError, WriteError

Floats = NDArray[np.float64]
Tail = Callable[[Floats], Floats]


def histogram_of(values: Floats) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram()
    histogram.add(values)
    return histogram


def blocks_of(values: Floats, rng: np.random.Generator, largest: int = 3000) -> Iterator[Floats]:
    """The values in blocks of random sizes, some of them empty."""
    start = 0
    while start < len(values):
        size = int(rng.integers(0, largest))
        yield values[start : start + size]
        start += size


def statistics(n: int, seed: int, ties: bool = False) -> Floats:
    """Normal t with a few strong ones and 3 % NaN; with ties, rounded to tenths."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal(n)
    t[rng.random(n) < 0.02] *= 8.0
    if ties:
        t = t.round(1)
    t[rng.random(n) < 0.03] = np.nan
    return t


def stream(t: Floats, p_of: Tail, folder: Path, max_in_memory: int, seed: int = 0) -> tuple[Floats, int]:
    """q of StreamedQValues, with different random blocks in the two passes, and the number of buckets."""
    rng = np.random.default_rng(seed)
    with StreamedQValues(histogram_of(t), p_of, folder, max_in_memory) as q_values:
        for block in blocks_of(t, rng):
            q_values.add(block)
        q_values.finish()
        return np.concatenate([q_values.take(block) for block in blocks_of(t, rng)]), q_values.n_buckets


def plain_benjamini_hochberg(p: Floats) -> Floats:
    """The definition, O(m²)."""
    ratios = np.array([len(p) / np.count_nonzero(p <= p_j) * p_j for p_j in p])
    return np.array([min(1.0, ratios[p >= p_i].min()) for p_i in p])


# histogram and median


def test_chi2_1_median_is_the_median() -> None:
    assert special.chdtr(1, CHI2_1_MEDIAN) == pytest.approx(0.5, rel=1e-15, abs=0)


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


def test_sum_of_histograms_is_the_histogram_of_all() -> None:
    t = statistics(1000, 0)
    total = histogram_of(t[:300]) + histogram_of(t[300:])
    assert np.array_equal(total.counts, histogram_of(t).counts)


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
        streamed = streamed_median(histogram_of(values), blocks_of(values, rng, n + 2))
        assert streamed == np.median(np.abs(values))


def test_streamed_median_ignores_nan() -> None:
    t = statistics(5001, 3)
    assert streamed_median(histogram_of(t), [t]) == np.nanmedian(np.abs(t))


def test_streamed_median_handles_values_beyond_the_bins() -> None:
    values = np.array([1e-200, 1e-300, 0.0, 1e200, np.inf, 1e300])
    assert streamed_median(histogram_of(values), [values]) == (1e-200 + 1e200) / 2


def test_streamed_median_of_nothing_is_nan() -> None:
    assert np.isnan(streamed_median(MagnitudeHistogram(), []))


def test_streamed_median_refuses_other_values_than_were_counted() -> None:
    t = statistics(1000, 0)
    with pytest.raises(ReadError, match="another process has changed their file"):
        streamed_median(histogram_of(t), [t, t])


# genomic inflation


def test_genomic_inflation_is_median_of_squares_over_chi2_median() -> None:
    t = np.random.default_rng(0).standard_normal(1001)
    assert genomic_inflation(t) == np.median(t**2) / CHI2_1_MEDIAN


def test_genomic_inflation_averages_squares_for_an_even_number() -> None:
    assert genomic_inflation([1.0, 3.0]) == 5.0 / CHI2_1_MEDIAN


def test_genomic_inflation_ignores_nan() -> None:
    assert genomic_inflation([np.nan, 1.0, np.nan]) == 1.0 / CHI2_1_MEDIAN


def test_genomic_inflation_of_nothing_is_nan() -> None:
    assert np.isnan(genomic_inflation([np.nan]))


def test_genomic_inflation_is_not_clamped_below_one() -> None:
    assert genomic_inflation(np.full(5, 0.5)) == 0.25 / CHI2_1_MEDIAN


@pytest.mark.parametrize("n", [1, 2, 999, 1000, 20_000])
def test_genomic_inflation_streamed_is_genomic_inflation(n: int) -> None:
    t = np.random.default_rng(n).standard_normal(n)
    blocks = blocks_of(t, np.random.default_rng(1))
    assert genomic_inflation_streamed(histogram_of(t), blocks) == np.median(t**2) / CHI2_1_MEDIAN


@pytest.mark.parametrize("gif", [1.0, 1.3, 2.0, float("nan")])
def test_calibration_warning_is_silent_where_nothing_is_odd(gif: float) -> None:
    assert calibration_warning(gif, "bio1", 10_000) is None


def test_calibration_warning_below_one_suggests_a_smaller_k() -> None:
    text = calibration_warning(0.71, "bio1", 10_000)
    assert text is not None
    assert text.startswith("bio1: genomic inflation factor 0.710 is below 1")
    assert "compare with a smaller K" in text


@pytest.mark.parametrize(
    ("gif", "n_tests", "warns"),
    [(0.94, 10_000, False), (0.92, 10_000, True), (0.994, 10**6, False), (0.992, 10**6, True)],
)
def test_calibration_warning_allows_for_the_error_of_a_median(gif: float, n_tests: int, warns: bool) -> None:
    # three standard errors: 0.07 of ten thousand tests, 0.007 of a million
    assert (calibration_warning(gif, "bio1", n_tests) is not None) == warns


def test_calibration_warning_above_two_suggests_a_larger_k() -> None:
    text = calibration_warning(3.2, "bio1", 10_000)
    assert text is not None
    assert text.startswith("bio1: genomic inflation factor 3.200 is above 2")
    assert "compare with a larger K" in text


# q-values


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_benjamini_hochberg_is_its_definition(n: int) -> None:
    rng = np.random.default_rng(n)
    p = rng.random(n) ** 3
    assert np.array_equal(benjamini_hochberg(p), plain_benjamini_hochberg(p))


def test_benjamini_hochberg_gives_ties_one_q() -> None:
    p = np.random.default_rng(0).integers(1, 12, 300) / 100
    assert np.array_equal(benjamini_hochberg(p), plain_benjamini_hochberg(p))


def test_benjamini_hochberg_gives_the_numbers_of_r() -> None:
    # p.adjust(c(0.0001, 0.02, 0.03, 0.8, 0.04, 1), "BH")
    q = benjamini_hochberg([0.0001, 0.02, 0.03, 0.8, 0.04, 1.0])
    assert q == pytest.approx([0.0006, 0.06, 0.06, 0.96, 0.06, 1.0], rel=1e-15, abs=0)


def test_benjamini_hochberg_leaves_nan_out_of_m() -> None:
    p = np.array([0.01, np.nan, 0.02, np.nan])
    assert np.array_equal(benjamini_hochberg(p), [0.02, np.nan, 0.02, np.nan], equal_nan=True)


def test_benjamini_hochberg_never_exceeds_one_nor_falls_below_p() -> None:
    p = np.random.default_rng(0).uniform(0.5, 1.0, 1000)
    q = benjamini_hochberg(p)
    assert np.all((q >= p) & (q <= 1.0))


def test_benjamini_hochberg_keeps_the_shape() -> None:
    p = np.random.default_rng(0).random((3, 4))
    assert np.array_equal(benjamini_hochberg(p), benjamini_hochberg(p.ravel()).reshape(3, 4))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("max_in_memory", [10**6, 5000, 100, 1])
def test_streamed_q_values_are_benjamini_hochberg(tmp_path: Path, max_in_memory: int, ties: bool) -> None:
    t = statistics(20_000, 1, ties)
    p_of = partial(student_p, df=93)
    q, n_buckets = stream(t, p_of, tmp_path, max_in_memory)
    assert n_buckets == (1 if max_in_memory > 20_000 else min(200, -(-np.isfinite(t).sum() // max_in_memory)))
    assert np.array_equal(q, benjamini_hochberg(p_of(t)), equal_nan=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_streamed_q_values_of_few_tests_are_benjamini_hochberg(tmp_path: Path, n: int) -> None:
    t = np.random.default_rng(n).standard_normal(n)
    with StreamedQValues(histogram_of(t), chi2_1_p, tmp_path, 2) as q_values:
        q_values.add(t)
        q_values.finish()
        assert np.array_equal(q_values.take(t), benjamini_hochberg(chi2_1_p(t)))


def test_streamed_q_values_take_the_root_of_f(tmp_path: Path) -> None:
    root_f = np.sqrt(np.random.default_rng(0).f(3, 90, 5000))
    q, _ = stream(root_f, lambda x: f_p(x**2, 3, 90), tmp_path, 300)
    assert np.array_equal(q, benjamini_hochberg(f_p(root_f**2, 3, 90)))


def test_streamed_q_values_handle_p_that_underflow(tmp_path: Path) -> None:
    t = np.concatenate([statistics(3000, 2), [50.0, 60.0, 1e200, np.inf]])
    q, _ = stream(t, chi2_1_p, tmp_path, 100)
    assert np.array_equal(q, benjamini_hochberg(chi2_1_p(t)), equal_nan=True)
    assert q[-4:].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_streamed_q_values_never_rise_with_t_where_p_is_rounded(tmp_path: Path) -> None:
    # A tail with an error of 1e-3 stands for rounding: p rises here and there as |t| grows.
    def rough(t: Floats) -> Floats:
        return np.asarray(chi2_1_p(t) * (1 + 1e-3 * np.sin(1e6 * t)))

    t = np.abs(np.random.default_rng(0).standard_normal(5000))
    q, _ = stream(t, rough, tmp_path, 100)
    assert np.all(np.diff(q[np.argsort(t)]) <= 0)


def test_streamed_q_values_put_all_ties_into_one_bucket(tmp_path: Path) -> None:
    t = np.where(np.arange(4000) % 4 == 0, 2.0, 1.0)
    q, _ = stream(t, chi2_1_p, tmp_path, 10)
    assert np.array_equal(q, benjamini_hochberg(chi2_1_p(t)))


def test_streamed_q_values_need_no_file_for_one_bucket(tmp_path: Path) -> None:
    q, n_buckets = stream(np.arange(10.0), chi2_1_p, tmp_path / "absent", 100)
    assert n_buckets == 1
    assert len(q) == 10


def test_streamed_q_values_leave_no_file(tmp_path: Path) -> None:
    t = statistics(5000, 0)
    with StreamedQValues(histogram_of(t), chi2_1_p, tmp_path, 100) as q_values:
        q_values.add(t)
        assert not any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())


def test_streamed_q_values_in_an_absent_folder_are_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="absent: No such file or directory"):
        stream(statistics(5000, 0), chi2_1_p, tmp_path / "absent", 100)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("n", [300, 5000])
def test_streamed_q_values_on_a_full_disk_are_a_write_error(
    tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 300 values fit the buffer of the file: the error must come from their write, not from a later read,
    # and closing the file, which fails again, must not replace it.
    def full(**_: object) -> io.BufferedRandom:
        return io.BufferedRandom(io.FileIO("/dev/full", "r+"))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(WriteError, match="No space left on device at byte 0; free space there"):
        stream(np.ones(n), chi2_1_p, tmp_path, 10)


def test_streamed_q_values_from_a_failing_disk_are_a_read_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreadable(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Unreadable())
    with pytest.raises(ReadError, match="Input/output error at byte 0"):
        stream(statistics(5000, 0), chi2_1_p, tmp_path, 100)


@pytest.mark.parametrize("max_in_memory", [10_000, 100])
def test_streamed_q_values_refuse_more_values_than_were_counted(tmp_path: Path, max_in_memory: int) -> None:
    t = statistics(1000, 0)
    with StreamedQValues(histogram_of(t), chi2_1_p, tmp_path, max_in_memory) as q_values:
        q_values.add(np.append(t, 1.0))
        with pytest.raises(ReadError, match="another process has changed their file"):
            q_values.finish()


@pytest.mark.parametrize("max_in_memory", [10_000, 100])
def test_streamed_q_values_refuse_fewer_values_than_were_counted(tmp_path: Path, max_in_memory: int) -> None:
    t = np.abs(np.random.default_rng(0).standard_normal(1000))
    with StreamedQValues(histogram_of(t), chi2_1_p, tmp_path, max_in_memory) as q_values:
        q_values.add(t[1:])
        with pytest.raises(ReadError, match="another process has changed their file"):
            q_values.finish()


def test_streamed_q_values_refuse_to_give_more_than_there_are(tmp_path: Path) -> None:
    t = np.abs(np.random.default_rng(0).standard_normal(1000))
    with StreamedQValues(histogram_of(t), chi2_1_p, tmp_path, 100) as q_values:
        q_values.add(t)
        q_values.finish()
        q_values.take(t)
        with pytest.raises(ReadError, match="another process has changed their file"):
            q_values.take(t[:1])


def test_streamed_q_values_refuse_to_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 value"):
        StreamedQValues(MagnitudeHistogram(), chi2_1_p, tmp_path, 0)
