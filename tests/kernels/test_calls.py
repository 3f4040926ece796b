"""Calls in binary files and their packing, against plain readings one call after another."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from lfmm2.formats.bcf_file import _DOSAGE_OF_BYTES
from lfmm2.kernels import _calls

GT = 3
# Bytes of the alleles of a BCF: missing, REF, ALT, the end of a haploid, and REF and ALT as phased.
BYTES = [0, 2, 4, 0x81, 3, 5]


def bcf_dosage(first: int, second: int) -> int:
    """Copies of REF of a call of a BCF, by its specification."""
    alleles = [(byte >> 1) - 1 for byte in (first, second) if byte != 0x81]
    if -1 in alleles or first == 0x81:
        return -1
    return alleles.count(0) * (2 if len(alleles) == 1 else 1)


def record(calls: list[tuple[int, int]], snp_id: str = "rs1", ref: str = "A", alt: str = "C") -> bytes:
    texts = b"".join(bytes([len(text) << 4 | 7]) + text.encode() for text in (snp_id, ref, alt))
    shared = struct.pack("<iiifHHI", 2, 99, 1, 0.0, 0, 2, len(calls) | 1 << 24) + texts + b"\x00"
    gt = bytes([0x11, GT, 0x21]) + bytes(byte for call in calls for byte in call)
    return struct.pack("<II", len(shared), len(gt)) + shared + gt


def read(data: bytes, n_samples: int, n_snps: int = 5, at: int = 0):
    dosages, facts = np.full((n_snps, n_samples), 77, np.int8), np.zeros((n_snps, 6), np.int64)
    return *_calls.read_bcf_records(data, at, GT, _DOSAGE_OF_BYTES, dosages, facts), dosages, facts


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_plain_records_are_read(n_samples):
    rng = np.random.default_rng(n_samples)
    rows = [[tuple(BYTES[k] for k in pair) for pair in rng.integers(0, 6, (n_samples, 2))] for _ in range(4)]
    records = [record(row, snp_id) for row, snp_id in zip(rows, ("", ".", "rs12", "x" * 14), strict=True)]
    data = b"..." + b"".join(records)
    n_read, end, dosages, facts = read(data, n_samples, at=3)
    assert (n_read, end) == (4, len(data))
    assert dosages[:4].tolist() == [[bcf_dosage(*call) for call in row] for row in rows]
    assert [data[f : f + n].decode() for f, n in facts[:4, 2:4].tolist()] == ["", ".", "rs12", "x" * 14]
    assert (facts[:4, [0, 1, 4, 5]] == [2, 99, ord("A"), ord("C")]).all()
    assert read(data, n_samples, n_snps=2, at=3)[:2] == (2, 3 + len(records[0]) + len(records[1]))


@pytest.mark.parametrize(
    "other",
    [record([(2, 6)] * 3), record([(2, 2)] * 2), record([(2, 2)] * 3, ref="AT"), record([(2, 2)] * 3, alt="*"),
     record([(2, 2)] * 3, snp_id="y" * 15), record([(2, 2)] * 3)[:-1], b"", b"\xff" * 60],
    ids=["allele", "samples", "longer", "star", "long ID", "cut", "end", "noise"],
)  # fmt: skip
def test_reading_stops_at_other_records(other):
    plain = record([(2, 4)] * 3)
    n_read, end, *_ = read(plain + other, 3)
    assert (n_read, end) == (1, len(plain))


def test_damaged_records_are_read_within_their_ends():
    rng = np.random.default_rng(1)
    data = np.frombuffer(record([(2, 4)] * 4) * 4, np.uint8)
    for _ in range(2000):
        changed = data.copy()
        changed[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        n_read, end, _, facts = read(changed.tobytes()[: rng.integers(0, len(data) + 1)], 4)
        assert 0 <= n_read <= 5
        assert 0 <= end <= len(data)
        assert (facts[:n_read, 2] + facts[:n_read, 3] <= end).all()


def zarr_dosage(alleles: list[int]) -> int:
    """Copies of REF of a call of a VCF Zarr, by its specification."""
    there = [allele for allele in alleles if allele != -2]
    if -1 in there or not there:
        return -1
    return there.count(0) * (2 if len(there) == 1 else 1)


@pytest.mark.parametrize("ploidy", [1, 2, 3])
def test_alleles_are_joined(ploidy):
    rng = np.random.default_rng(ploidy)
    alleles = rng.integers(-2, 2, (40, 7, ploidy)).astype(np.int8)
    alleles[:, :, 2:] = -2
    alleles.flags.writeable = False
    dosages = np.full((40, 7), 77, np.int8)
    assert _calls.read_alleles(alleles, dosages)[0] == _calls.READ
    assert dosages.tolist() == [[zarr_dosage(call) for call in row] for row in alleles.tolist()]


@pytest.mark.parametrize(
    ("call", "answer"),
    [([0, 2, -2], _calls.HIGH_ALLELE), ([0, 0, 0], _calls.POLYPLOID), ([-1, -1, -1], _calls.POLYPLOID),
     ([0, -3, -2], _calls.BAD_CALL), ([127, -2, -2], _calls.HIGH_ALLELE)],
)  # fmt: skip
def test_wrong_alleles_are_told(call, answer):
    alleles = np.full((3, 4, 3), -2, np.int8)
    alleles[:, :, :2] = 0
    alleles[1, 2] = call
    assert _calls.read_alleles(alleles, np.empty((3, 4), np.int8)) == (answer, 1, 2)


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_dosages_are_packed(n_samples):
    rng = np.random.default_rng(n_samples)
    dosages = rng.choice(np.array([0, 1, 2, 255], np.uint8), (20, n_samples))
    dosages.flags.writeable = False
    packed = np.full((20, (n_samples + 3) // 4), 77, np.uint8)
    assert _calls.pack_dosages(dosages, packed) == (-1, -1)
    bits = {0: 0b00, 1: 0b10, 2: 0b11, 255: 0b01}
    for row, out in zip(dosages.tolist(), packed, strict=True):
        assert int.from_bytes(out.tobytes(), "little") == sum(bits[d] << 2 * k for k, d in enumerate(row))
    for wrong in (3, 128, 254):
        changed = dosages.copy()
        changed[7, n_samples - 1] = wrong
        assert _calls.pack_dosages(changed, packed) == (7, n_samples - 1)
