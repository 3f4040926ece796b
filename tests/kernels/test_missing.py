"""The kernel that counts missing calls of each sample, against counting the decoded codes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.kernels import _missing

Packed = NDArray[np.uint8]


def random_packed(n_samples: int, n_snps: int, seed: int = 0) -> Packed:
    """Random codes, with pad bits set."""
    return np.random.default_rng(seed).integers(0, 256, (n_snps, -(-n_samples // 4)), dtype=np.uint8)


def missing_by_sample(packed: Packed, n_samples: int) -> NDArray[np.int64]:
    codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
    return (codes.reshape(len(packed), 4 * packed.shape[1])[:, :n_samples] == 1).sum(axis=0)


def count(packed: Packed, n_samples: int, snps: NDArray[np.int64], n_threads: int = 1) -> NDArray[np.int64]:
    counts = np.full(n_samples, -1)
    work = np.full((n_threads, _missing.work_words(n_samples)), 7, np.uint64)
    _missing.count_missing(packed, n_samples, snps, counts, work, n_threads)
    return counts


@pytest.mark.parametrize("n_samples", [*range(1, 10), 31, 32, 33, 64, 65, 1003])
def test_counts_are_those_of_the_codes(n_samples: int) -> None:
    packed = random_packed(n_samples, 300, n_samples)
    packed.flags.writeable = False
    np.testing.assert_array_equal(count(packed, n_samples, np.arange(300)), missing_by_sample(packed, n_samples))


# fields of 2, 4 and 8 bits are full after 3, 15 and 255 SNPs
@pytest.mark.parametrize("n_snps", [0, 1, 2, 3, 4, 14, 15, 16, 17, 254, 255, 256, 257, 1100])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_fields_never_overflow(n_snps: int, n_threads: int) -> None:
    packed = np.full((n_snps, 9), 0x55, np.uint8)
    np.testing.assert_array_equal(count(packed, 35, np.arange(n_snps), n_threads), np.full(35, n_snps))


def test_only_chosen_snps_are_counted() -> None:
    packed, chosen = random_packed(77, 500), np.array([0, 3, 4, 250, 499])
    np.testing.assert_array_equal(count(packed, 77, chosen), missing_by_sample(packed[chosen], 77))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_counts_do_not_depend_on_threads(n_threads: int) -> None:
    packed = random_packed(203, 2000)
    snps = np.arange(2000)
    np.testing.assert_array_equal(count(packed, 203, snps, n_threads), count(packed, 203, snps))


ARGUMENTS = {
    "packed": np.zeros((3, 2), np.uint8),
    "n_samples": 7,
    "snps": np.arange(3),
    "counts_out": np.zeros(7, np.int64),
    "work": np.zeros((1, _missing.work_words(7)), np.uint64),
}


@pytest.mark.parametrize(
    ("name", "wrong", "error"),
    [
        ("packed", np.zeros((3, 3), np.uint8), ValueError),
        ("n_samples", 0, ValueError),
        ("n_samples", 9, ValueError),
        ("snps", np.array([0, 3]), IndexError),
        ("snps", np.array([-1]), IndexError),
        ("counts_out", np.zeros(8, np.int64), ValueError),
        ("work", np.zeros((0, 100), np.uint64), ValueError),
        ("work", np.zeros((1, 22), np.uint64), ValueError),
        ("n_threads", 0, ValueError),
        ("n_threads", 2, ValueError),
    ],
)
def test_wrong_arguments_are_refused(name: str, wrong: object, error: type[Exception]) -> None:
    _missing.count_missing(**ARGUMENTS)
    with pytest.raises(error):
        _missing.count_missing(**ARGUMENTS | {name: wrong})
