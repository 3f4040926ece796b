"""The rows of a sweep: streamed, and equal to what NumPy says of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import lfmm2.statistics.sweep_summary
from lfmm2._choices import CALIBRATIONS
from lfmm2.statistics.calibration import StudentStatistic, calibrate
from lfmm2.statistics.distributions import student_p
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import benjamini_hochberg
from lfmm2.statistics.sweep_summary import summarise_variable

Floats = NDArray[np.float64]


def cut(t: Floats, n_rows: int) -> Iterator[Floats]:
    for first in range(0, len(t), n_rows):
        yield t[first : first + n_rows]


def statistics(n: int, strong: float, seed: int = 0, ties: bool = False) -> Floats:
    rng = np.random.default_rng(seed)
    t = rng.standard_normal((n, 3)) * np.array([1.0, 1.2, 0.8]) + np.array([0.0, 0.1, 0.0])
    t[rng.random(n) < strong] *= 4.0
    if ties:
        t = t.round(1)
    t[rng.random(n) < 0.03] = np.nan
    return t


@pytest.mark.parametrize("method", CALIBRATIONS)
@pytest.mark.parametrize(
    ("n", "strong", "ties"), [(3000, 0.05, False), (3000, 0.0, False), (2000, 0.1, True), (7, 0, False)]
)
@pytest.mark.parametrize("fine", [False, True])
def test_rows_are_those_of_numpy(
    method: str, n: int, strong: float, ties: bool, fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fine:
        monkeypatch.setattr(lfmm2.statistics.sweep_summary, "FEW_SNPS", 0)
    t = statistics(n, strong, ties=ties)
    ks, dfs = (1, 2, 5), (40, 39, 36)
    rows = summarise_variable(lambda: cut(t, 500), ks, dfs, method, n)
    for i, row in enumerate(rows):
        column = t[:, i]
        there = np.abs(column[~np.isnan(column)])
        histogram = MagnitudeHistogram()
        histogram.add(column)
        alone = calibrate(StudentStatistic(dfs[i]), method, histogram, lambda column=column: [column])
        assert row.n_factors == ks[i]
        assert row.calibration.gif == alone.gif
        assert row.median == np.median(there)
        assert row.top == pytest.approx(np.quantile(there, 0.999), rel=1e-14)
        calibrated = alone.p(alone.scores(column))
        q = benjamini_hochberg(calibrated)
        assert row.n_discoveries == tuple(np.count_nonzero(q < level) for level in (0.05, 0.10))
        for counts, p in ((row.raw, student_p(column, dfs[i])), (row.calibrated, calibrated)):
            assert counts.sum() == len(there)
            p = p[~np.isnan(p)]
            expected = np.histogram(p, np.arange(51) / 50)[0]
            # the median has p = 0.5, a limit of bins, and may fall on either side of it
            if not ties:
                differing = np.flatnonzero(np.cumsum(counts) != np.cumsum(expected))
                assert set(differing.tolist()) <= {24}
                assert np.abs(counts - expected).sum() <= 2


def test_rows_do_not_depend_on_blocks() -> None:
    t = statistics(2500, 0.05)
    whole, parts = (
        summarise_variable(lambda size=size: cut(t, size), (1, 2, 3), (9, 8, 7), "student", 2500) for size in (2500, 17)
    )
    for a, b in zip(whole, parts, strict=True):
        assert (a.median, a.top, a.n_discoveries) == (b.median, b.top, b.n_discoveries)
        np.testing.assert_array_equal(a.raw, b.raw)
        np.testing.assert_array_equal(a.calibrated, b.calibrated)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_rows_of_nothing_say_nothing(method: str) -> None:
    t = np.full((10, 2), np.nan)
    for row in summarise_variable(lambda: cut(t, 4), (1, 2), (5, 4), method, 10):
        assert np.isnan([row.median, row.top, row.calibration.gif]).all()
        assert row.n_discoveries == (0, 0)
        assert row.raw.sum() == row.calibrated.sum() == 0


def test_all_discovered_are_counted() -> None:
    t = np.full((100, 1), 30.0)
    (row,) = summarise_variable(lambda: cut(t, 30), (1,), (50,), "none", 100)
    assert row.n_discoveries == (100, 100)
