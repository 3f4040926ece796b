"""Probabilities of a BGEN of layout 2 become dosages of the second allele; any bytes are safe."""

from __future__ import annotations

import numpy as np
import pytest
from made_bgen import data_of

from lfmm2.kernels import _bgen

# Ploidies, bits, values, phased, missing samples, dosages.
CODED = [
    ([2, 2, 2], 8, [255, 0, 0, 255, 0, 51], 0, (), [0, 1, 1.8]),
    ([2, 2, 2], 8, [255, 0, 0, 0, 0, 51], 0, (1,), [0, np.nan, 1.8]),
    ([2, 2, 2], 16, [65535, 0, 0, 65535, 13107, 13107], 0, (), [0, 1, 1.4]),
    ([2, 2, 2], 1, [1, 0, 0, 1, 0, 0], 0, (), [0, 1, 2]),
    ([2, 2, 2], 3, [7, 0, 1, 3, 0, 7], 0, (), [0, 9 / 7, 1]),
    ([2, 2, 2], 32, [2**32 - 1, 0, 0, 2**32 - 1, 0, 0], 0, (), [0, 1, 2]),
    ([2, 2, 2], 8, [255, 0, 255, 255, 51, 0], 1, (), [1, 0, 1.8]),
    ([1, 2, 1], 8, [51, 0, 255, 255], 0, (), [1.6, 1, 0]),
    ([0, 2, 1], 5, [0, 31, 31], 0, (), [np.nan, 1, 0]),
]


@pytest.mark.parametrize(("ploidies", "bits", "values", "phased", "missing", "dosages"), CODED)
def test_probabilities_become_dosages_of_the_second_allele(
    ploidies: list[int], bits: int, values: list[int], phased: int, missing: tuple[int, ...], dosages: list[float]
) -> None:
    found = np.empty(3)
    data = data_of(ploidies, bits, values, phased, missing=missing)
    assert _bgen.decode_dosages(data, found) == (_bgen.READ, 2)
    np.testing.assert_allclose(found, dosages, rtol=1e-15, atol=0)


def test_every_cut_and_every_byte_of_the_data_is_safe() -> None:
    data, found = data_of([2, 1, 2], 7, [100, 20, 3, 127, 0]), np.empty(3)
    for end in range(len(data)):
        assert _bgen.decode_dosages(data[:end], found)[0] == _bgen.SHORT
    assert _bgen.decode_dosages(data + b"\0", found)[0] == _bgen.LONG
    answers = set()
    for at in range(len(data)):
        for value in range(256):
            answer, _ = _bgen.decode_dosages(data[:at] + bytes([value]) + data[at + 1 :], found)
            answers.add(answer)
            assert answer != _bgen.READ or np.nanmax(found) <= 2
    assert answers == set(range(8))


def test_no_bytes_and_no_room_are_answered() -> None:
    assert _bgen.decode_dosages(b"", np.empty(3)) == (_bgen.SHORT, 0)
    assert _bgen.decode_dosages(data_of([2], 8, [0, 0]), np.empty(0)) == (_bgen.SHORT, 0)
