"""Test statistics for the tests of order statistics, calibration and q-values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfmm2.statistics.order_statistics import MagnitudeHistogram

Floats = NDArray[np.float64]


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
