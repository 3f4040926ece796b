"""The numbers of factors over which the GIF is flat."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2.statistics.flat_gif import FlatStretch, find_flat_stretch


def by_k(*gifs: float) -> dict[int, float]:
    return dict(enumerate(gifs))


@pytest.mark.parametrize(
    ("gifs", "error", "stretch"),
    [
        ((3.0, 2.0, 1.5, 1.10, 1.11, 1.08, 1.12, 0.9), None, FlatStretch(3, 6, 1.08, 1.12)),
        ((1.0, 1.01, 1.02, 1.0), None, FlatStretch(0, 3, 1.0, 1.02)),  # flat from the beginning
        ((2.0, 1.8, 1.6, 1.4, 1.2), None, None),  # falls to the end
        ((2.0, 1.8, 1.6, 1.4, 1.2), 0.31, FlatStretch(0, 3, 1.4, 2.0)),  # all of it within the error
        ((1.10, 1.11, 1.12, 1.5, 1.10, 1.11, 1.12), 0.011, FlatStretch(0, 2, 1.10, 1.12)),  # the first of two
        ((1.5, 1.0, np.nan, 1.0, 1.0, 1.0), None, FlatStretch(3, 5, 1.0, 1.0)),  # no stretch goes across a gap
        ((1.0, 1.0), None, None),  # too few
        ((2.0, 1.9, 1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2), None, None),  # 3 of 13
        ((np.nan, np.nan, np.nan), None, None),
        ((), None, None),
    ],
)
def test_longest_stretch_within_the_error_is_found(gifs, error, stretch) -> None:
    assert find_flat_stretch(by_k(*gifs), error) == stretch


def test_numbers_that_were_not_compared_do_not_break_a_stretch() -> None:
    assert find_flat_stretch({8: 1.0, 2: 1.5, 4: 1.01, 16: 0.99}) == FlatStretch(4, 16, 0.99, 1.01)


def test_every_stretch_is_as_long_as_any_found_by_trying_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        gifs = 1 + rng.integers(0, 5, 9) / 20
        width = 0.1 + 1e-9
        runs = [
            (stop - start, -start) for start in range(9) for stop in range(start + 3, 10)
            if np.ptp(gifs[start:stop]) <= width
        ]  # fmt: skip
        found = find_flat_stretch(by_k(*gifs), width / 2)
        assert (None if found is None else (found.last - found.first + 1, -found.first)) == max(runs, default=None)
