"""BGEN files of layout 2, byte by byte."""

from __future__ import annotations

import struct


def named(text: str, length: str = "<H") -> bytes:
    return struct.pack(length, len(text)) + text.encode()


def snp(data: bytes, number: int = 1, alleles: tuple[str, ...] = ("A", "C"), chromosome: str = "1") -> bytes:
    """A variant of layout 2 with unpacked data."""
    texts = named("v") + named(f"rs{number}") + named(chromosome) + struct.pack("<I", 100 * number)
    names = struct.pack("<H", len(alleles)) + b"".join(named(allele, "<I") for allele in alleles)
    return texts + names + struct.pack("<I", len(data)) + data


def data_of(
    ploidies: list[int],
    bits: int,
    values: list[int],
    phased: int = 0,
    n_alleles: int = 2,
    missing: tuple[int, ...] = (),
) -> bytes:
    """Unpacked data of a variant of layout 2."""
    marks = bytes(ploidy | 128 * (i in missing) for i, ploidy in enumerate(ploidies))
    number = sum(value << bits * i for i, value in enumerate(values))
    head = struct.pack("<IHBB", len(ploidies), n_alleles, min(ploidies), max(ploidies))
    return head + marks + bytes([phased, bits]) + number.to_bytes((bits * len(values) + 7) // 8, "little")


def bgen_of(variants: list[bytes], ids: list[str], flags: int = 8, n_snps: int | None = None) -> bytes:
    """A BGEN of layout 2 by default, not compressed, with IDs of samples."""
    block = b"".join(map(named, ids))
    block = struct.pack("<II", 8 + len(block), len(ids)) + block
    header = struct.pack("<III4sI", 20, len(variants) if n_snps is None else n_snps, len(ids), b"bgen", flags | 1 << 31)
    return struct.pack("<I", len(header) + len(block)) + header + block + b"".join(variants)
