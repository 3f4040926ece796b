"""q-values: streamed ones equal to those in memory, bit for bit."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from statistic_cases import blocks_of, histogram_of, statistics

from lfmm2.errors import ReadError, UsageError, WriteError
from lfmm2.statistics.distributions import chi2_1_p, f_p, student_p
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import StreamedQValues, benjamini_hochberg

Floats = NDArray[np.float64]
Tail = Callable[[Floats], Floats]


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
