"""Packing of calls, a byte each, to the two bits of a .bed."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _pack

SHAPES = [(3, n) for n in (1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 1003)] + [(0, 5), (1, 4)]


@pytest.mark.parametrize("level", [_pack.BASELINE, _pack.FASTEST])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_calls_are_packed_as_the_writer_of_filesets_does(shape: tuple[int, int], level: int) -> None:
    copies = np.random.default_rng(shape[1]).integers(-1, 3, shape).astype(np.int8)
    given = np.where(copies < 0, -9, copies).astype(np.int8)
    given.flags.writeable = False
    packed = np.full((shape[0], -(-shape[1] // 4)), 0xFF, np.uint8)
    _pack.pack_calls(given, packed, level)
    of_a2 = np.where(copies < 0, -1, 2 - copies).astype(np.int8)
    np.testing.assert_array_equal(packed, encode_bed(of_a2))


@pytest.mark.parametrize("missing", [-9, -1, 3])
def test_marks_of_missing_calls_are_alike(missing: int) -> None:
    packed = np.empty((1, 10), np.uint8)
    _pack.pack_calls(np.full((1, 40), missing, np.int8), packed)
    assert (packed == 0x55).all()


def test_room_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="2 SNPs of 5 samples, but room for 2 of 1 bytes"):
        _pack.pack_calls(np.zeros((2, 5), np.int8), np.zeros((2, 1), np.uint8))
