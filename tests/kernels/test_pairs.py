"""The kernel that compares pairs of samples, against counting on the calls."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.kernels import _pairs

Codes = NDArray[np.uint8]
Counts = tuple[NDArray[np.int32], ...]


def make_planes(codes: Codes) -> NDArray[np.uint64]:
    """Planes of calls (n_samples, n_snps): 0, 1, 2, or 3 for a missing one."""
    n, m = codes.shape
    bits = np.zeros((n, 3, 64 * _pairs.plane_words(m)), np.uint8)
    for plane, is_set in enumerate([(codes == 0) | (codes == 2), codes == 0, codes != 3]):
        bits[:, plane, :m] = is_set
    return np.packbits(bits, axis=2, bitorder="little").view(np.uint64)


def compare(codes: Codes, first: int, stop: int, n_threads: int = 1) -> Counts:
    n, m = codes.shape
    outputs = tuple(np.full((stop - first, n), -7, np.int32) for _ in range(3))
    called, homozygous = (codes != 3).sum(axis=1), ((codes == 0) | (codes == 2)).sum(axis=1)
    _pairs.count_differences(make_planes(codes), called, homozygous, m, first, stop, *outputs, n_threads)
    return outputs


def compare_by_calls(codes: Codes, first: int, stop: int) -> Counts:
    x, y = codes[first:stop, None, :].astype(int), codes[None].astype(int)
    both, step = (x != 3) & (y != 3), abs(x - y)
    later = np.arange(len(codes)) > np.arange(first, stop)[:, None]
    counts = (both, both & (step == 1), both & (step == 2))
    return tuple((count.sum(axis=2) * later).astype(np.int32) for count in counts)


@pytest.mark.parametrize("n_snps", [1, 7, 8, 63, 64, 65, 511, 512, 513, 1500])
@pytest.mark.parametrize("highest", [3, 4])
def test_counts_are_those_of_the_calls(n_snps: int, highest: int) -> None:
    codes = np.random.default_rng(n_snps).integers(0, highest, (9, n_snps), np.uint8)
    for first, stop in [(0, 9), (3, 5), (8, 9), (4, 4)]:
        for found, right in zip(compare(codes, first, stop), compare_by_calls(codes, first, stop), strict=True):
            np.testing.assert_array_equal(found, right)


def test_samples_with_and_without_missing_calls_are_compared_together() -> None:
    codes = np.random.default_rng(1).integers(0, 3, (6, 200), np.uint8)
    codes[2, ::3] = 3
    codes[4] = 3
    for found, right in zip(compare(codes, 0, 6), compare_by_calls(codes, 0, 6), strict=True):
        np.testing.assert_array_equal(found, right)


def test_counts_do_not_depend_on_threads() -> None:
    codes = np.random.default_rng(2).integers(0, 4, (70, 300), np.uint8)
    for n_threads in (2, 5):
        for found, right in zip(compare(codes, 0, 64, n_threads), compare(codes, 0, 64), strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize(
    ("first", "stop", "shape", "error"),
    [(0, 4, (4, 3), IndexError), (2, 1, (1, 3), IndexError), (0, 2, (2, 4), ValueError), (0, 2, (1, 3), ValueError)],
)
def test_shapes_are_checked(first: int, stop: int, shape: tuple[int, int], error: type[Exception]) -> None:
    planes, counts = np.zeros((3, 3, 8), np.uint64), np.zeros(3, np.int64)
    outputs = [np.zeros(shape, np.int32) for _ in range(3)]
    with pytest.raises(error):
        _pairs.count_differences(planes, counts, counts, 10, first, stop, *outputs)


def test_planes_must_hold_all_snps() -> None:
    planes, counts = np.zeros((3, 3, 8), np.uint64), np.zeros(3, np.int64)
    outputs = [np.zeros((1, 3), np.int32) for _ in range(3)]
    with pytest.raises(ValueError, match="planes must have shape"):
        _pairs.count_differences(planes, counts, counts, 513, 0, 1, *outputs)
