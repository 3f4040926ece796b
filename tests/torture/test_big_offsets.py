"""The quick tier of `torture.big_offsets`."""

import numpy as np
import pytest

from lfmm2.genotypes.packed_bed import PackedBed
from torture import big_offsets, runs


def quick():
    try:
        return big_offsets.run(full=False)
    except runs.Unavailable as reason:
        pytest.skip(str(reason))


def test_offsets_and_indices_beyond_32_bits_are_right():
    found = quick()
    assert found["2.5 TB"]["bytes"] == 2_500_000_000_003
    assert found["more than 2^31 SNPs"]["SNPs of the pass"] > 200_000


def test_an_offset_of_32_bits_is_noticed(monkeypatch):
    quick()  # or skip
    real = PackedBed.read_packed

    def wrapped(self, first_snp, packed_out):
        real(self, first_snp % (2**32 // self.bytes_per_snp), packed_out)

    monkeypatch.setattr(PackedBed, "read_packed", wrapped)
    with pytest.raises(AssertionError, match="other bytes"):
        big_offsets.run(full=False)


def test_an_index_of_32_bits_is_noticed(monkeypatch):
    quick()
    real = big_offsets.BedMatrix.cross_products

    def wrapped(self, W, label="tests", **more):
        for block in real(self, W, label, **more):
            yield big_offsets.replace(block, first_snp=int(np.int64(block.first_snp).astype(np.int32)))

    monkeypatch.setattr(big_offsets.BedMatrix, "cross_products", wrapped)
    with pytest.raises(AssertionError, match="block of SNP"):
        big_offsets.run(full=False)
