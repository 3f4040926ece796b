"""Packed ranges of a .bed of known shape: every byte comes back, and whatever is wrong has its message."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, ReadError, UsageError
from lfmm2.genotypes import packed_bed
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.packed_bed import PackedBed

MAGIC = b"\x6c\x1b\x01"
SHAPES: dict[Path, tuple[int, int]] = {}


def write_fileset(folder: Path, n_samples: int = 5, n_snps: int = 7) -> np.ndarray:
    """Write a .bed of random genotypes and return its bytes, one row per SNP."""
    packed = np.random.default_rng(n_samples).integers(0, 256, (n_snps, (n_samples + 3) // 4), dtype=np.uint8)
    packed[:, -1] &= 0xFF >> 2 * (-n_samples % 4)  # pad bits are zero
    (folder / "x.bed").write_bytes(MAGIC + packed.tobytes())
    SHAPES[folder] = (n_samples, n_snps)
    return packed


def opened(folder: Path) -> PackedBed:
    return PackedBed(folder / "x.bed", *SHAPES[folder])


def read_all(bed: PackedBed) -> np.ndarray:
    packed = np.empty((bed.n_snps, bed.bytes_per_snp), np.uint8)
    bed.read_packed(0, packed)
    return packed


def test_read_packed_reads_any_range(tmp_path: Path) -> None:
    packed = write_fileset(tmp_path)
    with opened(tmp_path) as bed:
        for first in range(8):
            for n_rows in range(8 - first):
                out = np.empty((n_rows, 2), np.uint8)
                bed.read_packed(first, out)
                np.testing.assert_array_equal(out, packed[first : first + n_rows])


def test_read_packed_goes_on_after_short_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    packed = write_fileset(tmp_path)
    monkeypatch.setattr(os, "preadv", lambda fd, out, offset: preadv(fd, [out[0][:3]], offset))
    with opened(tmp_path) as bed:
        np.testing.assert_array_equal(read_all(bed), packed)


def test_read_packed_is_thread_safe(tmp_path: Path) -> None:
    packed = write_fileset(tmp_path, 9, 500)
    with opened(tmp_path) as bed, ThreadPoolExecutor(4) as pool:

        def read_one(snp: int) -> np.ndarray:
            out = np.empty((1, 3), np.uint8)
            bed.read_packed(snp, out)
            return out

        np.testing.assert_array_equal(np.concatenate(list(pool.map(read_one, range(500)))), packed)


def test_read_packed_reports_shrunken_file(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    with opened(tmp_path) as bed:
        os.truncate(bed.path, 10)
        with pytest.raises(ReadError, match="byte 10: shrank while being read"):
            read_all(bed)


def test_read_packed_reports_system_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_fileset(tmp_path)
    with opened(tmp_path) as bed:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(ReadError, match="byte 3: Input/output error"):
            read_all(bed)


@pytest.mark.parametrize(
    "out",
    [np.empty((2, 2), np.int8), np.empty((2, 3), np.uint8), np.empty(2, np.uint8)],
    ids=["int8", "3", "1-D"],
)
@pytest.mark.parametrize("method", [PackedBed.read_packed, PackedBed.read_snps])
def test_read_methods_refuse_array(tmp_path: Path, out: np.ndarray, method: Callable[..., None]) -> None:
    write_fileset(tmp_path)
    first = 0 if method is PackedBed.read_packed else np.array([0, 2])
    with opened(tmp_path) as bed, pytest.raises(UsageError, match="packed_out must be"):
        method(bed, first, out)


@pytest.mark.parametrize("out", [np.empty((2, 4), np.uint8)[:, ::2], np.empty((2, 2), np.uint8, order="F")])
def test_read_packed_refuses_strided_array(tmp_path: Path, out: np.ndarray) -> None:
    write_fileset(tmp_path)
    with opened(tmp_path) as bed, pytest.raises(UsageError, match="packed_out must be"):
        bed.read_packed(0, out)


def test_read_packed_refuses_read_only_array(tmp_path: Path) -> None:
    out = np.empty((2, 2), np.uint8)
    out.flags.writeable = False
    write_fileset(tmp_path)
    with opened(tmp_path) as bed, pytest.raises(UsageError, match="must be a writeable"):
        bed.read_packed(0, out)


@pytest.mark.parametrize("first", [-1, 6, 2**62])
def test_read_packed_refuses_range(tmp_path: Path, first: int) -> None:
    write_fileset(tmp_path)
    with opened(tmp_path) as bed, pytest.raises(UsageError, match="are not among 7"):
        bed.read_packed(first, np.empty((2, 2), np.uint8))


@pytest.mark.parametrize(("read_through", "scratch"), [(0, 4), (1, 4), (5, 6), (5, 1 << 22), (1 << 16, 1 << 22)])
def test_read_snps_reads_any_subset(
    tmp_path: Path, read_through: int, scratch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_bed, "_READ_THROUGH_BYTES", read_through)
    monkeypatch.setattr(packed_bed, "_SCRATCH_BYTES", scratch)
    packed = write_fileset(tmp_path)
    with opened(tmp_path) as bed:
        for subset in range(1 << 7):
            snps = np.flatnonzero([(subset >> j) & 1 for j in range(7)])
            out = np.empty((len(snps), 2), np.uint8)
            bed.read_snps(snps, out)
            np.testing.assert_array_equal(out, packed[snps])


def test_read_snps_reads_close_neighbours_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_calls = 0
    preadv = os.preadv

    def count(*arguments: object) -> int:
        nonlocal n_calls
        n_calls += 1
        return preadv(*arguments)

    write_fileset(tmp_path, 4, 200_000)
    snps = np.array([0, 1, 100, 5_000, 150_000, 199_999])
    with opened(tmp_path) as bed:
        monkeypatch.setattr(os, "preadv", count)
        bed.read_snps(snps, np.empty((6, 1), np.uint8))
    assert n_calls == 2


@pytest.mark.parametrize("snps", [[2, 1], [1, 1], [1], [1, 2, 3]])
def test_read_snps_refuses_order(tmp_path: Path, snps: list[int]) -> None:
    write_fileset(tmp_path)
    with opened(tmp_path) as bed, pytest.raises(UsageError, match="snps must ascend"):
        bed.read_snps(np.array(snps), np.empty((2, 2), np.uint8))


def test_close_ends_reading(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    bed = opened(tmp_path)
    bed.close()
    with pytest.raises(ValueError, match="closed file"):
        read_all(bed)


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_packed_bed_computes_sizes(tmp_path: Path, n_samples: int) -> None:
    packed = write_fileset(tmp_path, n_samples)
    with opened(tmp_path) as bed:
        assert (bed.n_samples, bed.n_snps, bed.bytes_per_snp) == (n_samples, 7, -(-n_samples // 4))
        assert bed.n_bytes == 3 + packed.size
        assert repr(bed) == f"PackedBed('{tmp_path}/x.bed', n_samples={n_samples}, n_snps=7)"
        bed.check_unchanged()


@pytest.mark.parametrize(
    ("n_bytes", "error", "message"),
    [
        (2, MalformedInputError, r"x\.bed: begins with 6c 1b, but a \.bed with 6c 1b 01"),
        (16, MalformedInputError, r"x\.bed: 16 bytes, but 5 samples × 7 SNPs need 17; the file looks truncated"),
        (18, MalformedInputError, "18 bytes, .* need 17; the file looks too long"),
        (15, InconsistentInputError, "exactly 6 SNPs"),
    ],
)
def test_packed_bed_checks_size(tmp_path: Path, n_bytes: int, error: type[Exception], message: str) -> None:
    write_fileset(tmp_path)
    os.truncate(tmp_path / "x.bed", n_bytes)
    with pytest.raises(error, match=message):
        opened(tmp_path)


@pytest.mark.parametrize("shape", [(0, 7), (-1, 7), (5, -1)])
def test_packed_bed_refuses_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_fileset(tmp_path)
    with pytest.raises(UsageError, match="give the numbers that it has"):
        PackedBed(tmp_path / "x.bed", *shape)


def test_packed_bed_reads_beyond_two_terabytes(tmp_path: Path) -> None:
    n_snps = 10**10  # 2.5 TB, all of it a hole
    path = tmp_path / "x.bed"
    path.write_bytes(MAGIC)
    try:
        os.truncate(path, 3 + 250 * n_snps)
    except OSError:
        pytest.skip("the file system holds no files of 2.5 TB")
    row = np.arange(1, 251, dtype=np.uint8)
    with path.open("r+b") as file:
        file.seek(3 + 250 * (n_snps - 1))
        file.write(row.tobytes())
    out = np.ones((2, 250), np.uint8)
    with PackedBed(path, 1000, n_snps) as bed:
        bed.read_packed(n_snps - 2, out)
        np.testing.assert_array_equal(out, [np.zeros(250), row])
        bed.read_snps(np.array([0, n_snps - 1]), out)
        np.testing.assert_array_equal(out, [np.zeros(250), row])
    row[-1] = 0x40
    with path.open("r+b") as file:
        file.seek(3 + 250 * (n_snps - 1))
        file.write(row.tobytes())
    with pytest.raises(MalformedInputError, match=f"byte {2 + 250 * n_snps} .SNP {n_snps}.: has genotypes of samples"):
        PackedBed(path, 999, n_snps)


def set_pad_bit(folder: Path, snp: int, bit: int) -> int:
    """Set a bit of a SNP's last byte; the offset of this byte."""
    bytes_per_snp = (SHAPES[folder][0] + 3) // 4
    at = 3 + (snp + 1) * bytes_per_snp - 1
    data = bytearray((folder / "x.bed").read_bytes())
    data[at] |= 1 << bit
    (folder / "x.bed").write_bytes(data)
    return at


@pytest.mark.parametrize("n_samples", range(1, 10))
@pytest.mark.parametrize("bit", range(8))
def test_packed_bed_refuses_pad_bits(tmp_path: Path, n_samples: int, bit: int) -> None:
    write_fileset(tmp_path, n_samples)
    at = set_pad_bit(tmp_path, 4, bit)
    if n_samples % 4 == 0 or bit < 2 * (n_samples % 4):
        opened(tmp_path).close()
        return
    message = rf"x\.bed, byte {at} \(SNP 5\): has genotypes of samples that the \.fam lacks .*find its \.fam"
    with pytest.raises(MalformedInputError, match=message):
        opened(tmp_path)


def test_packed_bed_finds_samples_that_the_fam_lacks(tmp_path: Path) -> None:
    write_fileset(tmp_path, 40, 9)
    SHAPES[tmp_path] = (38, 9)
    with pytest.raises(MalformedInputError, match="for 38 samples expected"):
        opened(tmp_path)


@pytest.mark.parametrize("n_samples", [5, 4 * 5000 + 1], ids=["runs", "bytes"])
def test_packed_bed_looks_at_each_of_4096_snps_with_few_reads(
    tmp_path: Path, n_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_bed, "_SAMPLED_SNPS", 64)
    write_fileset(tmp_path, n_samples, 64)
    for snp in (0, 63):
        set_pad_bit(tmp_path, snp, 7)
        with pytest.raises(MalformedInputError, match=rf"SNP {snp + 1}\)"):
            opened(tmp_path)
        write_fileset(tmp_path, n_samples, 64)


def test_packed_bed_samples_pad_bits_of_many_snps_and_checks_all_as_they_are_read(tmp_path: Path) -> None:
    write_fileset(tmp_path, 5, 100_000)
    for snp in (0, 15, 99_984, 99_999):
        set_pad_bit(tmp_path, snp, 2)
        with pytest.raises(MalformedInputError, match=rf"SNP {snp + 1}\)"):
            opened(tmp_path)
        write_fileset(tmp_path, 5, 100_000)
    at = set_pad_bit(tmp_path, 50_300, 2)
    with opened(tmp_path) as bed:
        bed.read_packed(0, np.empty((50_300, 2), np.uint8))
        with pytest.raises(MalformedInputError, match=rf"byte {at} \(SNP 50301\)"):
            read_all(bed)
        with pytest.raises(MalformedInputError, match=rf"byte {at} \(SNP 50301\)"):
            bed.read_snps(np.array([3, 50_300]), np.empty((2, 2), np.uint8))


def test_packed_bed_opens_with_few_system_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_calls = 0
    preadv = os.preadv

    def count(*arguments: object) -> int:
        nonlocal n_calls
        n_calls += 1
        return preadv(*arguments)

    monkeypatch.setattr(os, "preadv", count)
    write_fileset(tmp_path, 5, 4096)
    opened(tmp_path).close()
    assert n_calls == 1
    write_fileset(tmp_path, 5, 100_000)
    opened(tmp_path).close()
    assert n_calls == 1 + 256


@pytest.mark.parametrize("n_samples", [37, 38, 39, 40])
@pytest.mark.parametrize("n_more", [0, 1, 2, 3])
def test_packed_bed_warns_of_samples_that_are_not_there(tmp_path: Path, n_samples: int, n_more: int) -> None:
    write_fileset(tmp_path, n_samples, 300)
    if (n_samples + 3) // 4 < (n_samples + n_more + 3) // 4:
        return  # the size tells
    SHAPES[tmp_path] = (n_samples + n_more, 300)
    if n_more == 0:
        opened(tmp_path).close()
        return
    message = rf"x\.bed: the last of {n_samples + n_more} samples has two copies of A1 in all 300 SNPs seen"
    with pytest.warns(InputWarning, match=message):
        opened(tmp_path).close()


def test_packed_bed_reads_no_samples_off_few_or_empty_snps(tmp_path: Path) -> None:
    write_fileset(tmp_path, 38, 63)
    PackedBed(tmp_path / "x.bed", 40, 63).close()
    missing = np.tile(np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0b01_10_11_10], np.uint8), 300)
    (tmp_path / "x.bed").write_bytes(MAGIC + missing.tobytes())
    PackedBed(tmp_path / "x.bed", 40, 300).close()
    (tmp_path / "x.bed").write_bytes(MAGIC + bytes(3000))
    PackedBed(tmp_path / "x.bed", 40, 300).close()
    (tmp_path / "x.bed").write_bytes(MAGIC)
    PackedBed(tmp_path / "x.bed", 40, 0).close()


def test_bed_matrix_takes_a_packed_bed(tmp_path: Path) -> None:
    packed = write_fileset(tmp_path, 9, 50)
    codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(50, -1)[:, :9]
    dosage = np.array([0, np.nan, 1, 2])[codes]
    called = ~np.isnan(dosage)
    Y = np.where(called, dosage - np.nanmean(dosage, axis=1, keepdims=True), 0)
    with opened(tmp_path) as bed:
        found = BedMatrix(bed, Engine(n_threads=1, memory=1 << 26)).gram()
    np.testing.assert_allclose(found, Y.T @ Y, atol=1e-12)
