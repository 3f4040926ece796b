"""The header of a .pgen, PLINK 2's file of genotypes: read and checked before the library that reads the rest sees it.

    6c 1b, mode       01: a .bed; 02, 03, 04: records of one length, without dosages, with, with phased ones;
                      10: records of any length; 20: these, with the header in a file of its own, .pgen.pgi
    SNPs, samples     uint32 each; then a byte of flags

and with records of any length, for each 65 536 SNPs: where their records begin, uint64; then for each 65 536 SNPs: the
types of the records, 4 or 8 bits each, and their lengths, 1 to 4 bytes each; counts of alleles, and flags of REF, if
the flags say so.

A record of dosages has bit 5 or 6 of its type set, one of more than two alleles bit 3.

References: the specification in the sources of PLINK 2, pgen_spec.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError
from lfmm2.files import open_regular, refuse_other_format

MAGIC = b"\x6c\x1b"
BED, FIXED, DOSAGES, PHASED_DOSAGES, VARIABLE, INDEXED = 0x01, 0x02, 0x03, 0x04, 0x10, 0x20
# First bytes of the header in a file of its own.
_INDEX_MAGIC = b"\x6c\x1b\x30"
#: SNPs whose records are described together.
BLOCK_SNPS = 1 << 16
_FIXED_BYTES = 12
_COUNTS = struct.Struct("<IIB")
# Bits of the type of a record.
_DOSAGE_BITS, _ALLELE_BIT, _KIND_BITS = 0x60, 0x08, 0x07
# Kinds of records: all two bits of each call, and differences from an earlier record.
_PLAIN, _DIFFERENCES = 0, (2, 3)
_REMEDY = "write it again with plink2 --pfile … --make-pgen"


@dataclass(frozen=True)
class PgenHeader:
    """What the header of a .pgen says.

    Attributes
    ----------
    mode : int
    n_samples, n_snps : int
    has_dosages : bool
        True if any SNP has dosages beside its hard calls.
    several_alleles : ndarray of int64
        Ascending positions of the SNPs whose records have more than two alleles.
    digest : str
        SHA-256 of the header; of records of any length it tells most files apart.
    """

    mode: int
    n_samples: int
    n_snps: int
    has_dosages: bool
    several_alleles: Ints
    digest: str


def index_path(path: Path) -> Path:
    """Return the name of the file that holds the header of a .pgen of the mode `INDEXED`."""
    return path.with_name(path.name + ".pgi")


def read_mode(path: Path, head: bytes) -> int:
    """Return the mode that the first three bytes of a .pgen tell, or raise MalformedInputError if it is none."""
    if not head.startswith(MAGIC) or len(head) < 3:
        refuse_other_format(head, path)
        raise MalformedInputError(
            f"{path}: begins with {head[:3].hex(' ') or 'nothing'}, but a .pgen with 6c 1b; give one"
        )
    mode = head[2]
    if mode == 0:
        raise MalformedInputError(f"{path}: is a sample-major .bed; convert it with plink2 --bfile … --make-pgen")
    if mode not in (BED, FIXED, DOSAGES, PHASED_DOSAGES, VARIABLE, INDEXED):
        raise MalformedInputError(f"{path}: is a .pgen of storage mode {mode:#04x}, which is not read; {_REMEDY}")
    return mode


def read_header(path: Path, file: BinaryIO, mode: int, n_bytes: int) -> PgenHeader:
    """Read the header of a .pgen of any mode but `BED`, and check the size of the file by it.

    Raises
    ------
    ReadError
        If a file is absent or cannot be read.
    MalformedInputError
        If the header contradicts itself, or the size of the file is not the one that it gives.
    """
    if mode != INDEXED:
        return _Reading(path, file, path, n_bytes).read(mode)
    index = index_path(path)
    try:
        index_file = open_regular(index)
    except ReadError as error:
        raise ReadError(f"{error}; {path.name} has its header in this file, copy it too, or {_REMEDY}") from error
    with index_file:
        if (head := index_file.read(3)) != _INDEX_MAGIC:
            raise MalformedInputError(f"{index}: begins with {head.hex(' ')}, but an index of a .pgen with 6c 1b 30")
        return _Reading(index, index_file, path, n_bytes).read(mode)


class _Reading:
    """The header of one file while it is read: `path` has the header, `records` the records in `n_bytes`."""

    def __init__(self, path: Path, file: BinaryIO, records: Path, n_bytes: int) -> None:
        self.path, self.records, self.n_bytes = path, records, n_bytes
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, mode: int) -> PgenHeader:
        self._file.seek(0)
        self._take(3)
        n_snps, n_samples, flags = _COUNTS.unpack(self._take(_COUNTS.size))
        if not 1 <= n_snps < 1 << 31 or not 1 <= n_samples < 1 << 31:
            raise self._damaged(f"{with_spaces(n_snps)} SNPs of {with_spaces(n_samples)} samples")
        if mode in (VARIABLE, INDEXED):
            has_dosages, several = self._read_blocks(mode, n_snps, n_samples, flags)
        else:
            if flags & 0x3F:
                raise self._damaged(f"byte 11 is {flags:#04x}")
            per_sample = {FIXED: 0, DOSAGES: 2, PHASED_DOSAGES: 4}[mode]
            start = _FIXED_BYTES + ((n_snps + 7) // 8 if flags >> 6 == 3 else 0)
            self._check_end(start + n_snps * ((n_samples + 3) // 4 + per_sample * n_samples), n_snps, n_samples)
            has_dosages, several = mode != FIXED, np.empty(0, np.int64)
        return PgenHeader(mode, n_samples, n_snps, has_dosages, several, self._digest.hexdigest())

    def _read_blocks(self, mode: int, n_snps: int, n_samples: int, flags: int) -> tuple[bool, Ints]:
        """Check types, lengths and places of all records; return if any has dosages, and which have several alleles."""
        if flags & 8 or flags & 0x30 > 0x10:
            raise MalformedInputError(f"{self.path}: is a .pgen whose header is coded in a rare way; {_REMEDY}")
        n_blocks = -(-n_snps // BLOCK_SNPS)
        starts = np.frombuffer(self._take(8 * n_blocks), "<u8").astype(np.int64)
        has_dosages, several, last = False, [np.empty(0, np.int64)], 3
        for block, (types, lengths) in enumerate(self._blocks(n_snps, flags)):
            first = block * BLOCK_SNPS
            if starts[block] < last:
                raise self._damaged(f"the records from SNP {first + 1} on begin at byte {starts[block]}, before {last}")
            self._check_types(first, types, lengths, n_samples)
            last = int(starts[block]) + int(lengths.sum())
            has_dosages |= bool((types & _DOSAGE_BITS).any())
            several.append(first + np.flatnonzero(types & _ALLELE_BIT))
        if mode == VARIABLE and starts[0] < self._file.tell():
            raise self._damaged(f"the records begin at byte {starts[0]}, within the header")
        self._check_end(last, n_snps, n_samples)
        return has_dosages, np.concatenate(several)

    def _blocks(self, n_snps: int, flags: int) -> Iterator[tuple[NDArray[np.uint8], Ints]]:
        """Yield types and lengths of the records of each block."""
        n_length = 1 + (flags & 3)
        for first in range(0, n_snps, BLOCK_SNPS):
            n = min(BLOCK_SNPS, n_snps - first)
            if flags & 4:
                types = np.frombuffer(self._take(n), np.uint8)
            else:
                halves = np.frombuffer(self._take((n + 1) // 2), np.uint8)
                types = np.stack([halves & 15, halves >> 4], axis=1).ravel()[:n]
            digits = np.frombuffer(self._take(n_length * n), np.uint8).reshape(n, n_length)
            self._take(n if flags & 0x30 else 0)
            self._take((n + 7) // 8 if flags >> 6 == 3 else 0)
            yield types, digits.astype(np.int64) @ (1 << 8 * np.arange(n_length, dtype=np.int64))

    def _check_types(self, first: int, types: NDArray[np.uint8], lengths: Ints, n_samples: int) -> None:
        """Raise MalformedInputError if a record cannot be what its type says."""
        kinds = types & _KIND_BITS
        if int(kinds[0]) in _DIFFERENCES:
            raise self._damaged(
                f"SNP {first + 1} is stored by its differences from one before, which is not allowed there"
            )
        short = (kinds == _PLAIN) & (lengths < (n_samples + 3) // 4)
        if short.any():
            row = int(np.argmax(short))
            raise self._damaged(f"SNP {first + row + 1} has {lengths[row]} bytes for {with_spaces(n_samples)} samples")

    def _check_end(self, end: int, n_snps: int, n_samples: int) -> None:
        """Raise MalformedInputError if the file does not end with the last record."""
        if end == self.n_bytes:
            return
        shape = f"{with_spaces(n_snps)} SNPs of {with_spaces(n_samples)} samples, as its header says,"
        fact = f"{self.records}: {with_spaces(self.n_bytes)} bytes, but {shape} need {with_spaces(end)}"
        looks = "truncated" if end > self.n_bytes else "damaged"
        raise MalformedInputError(f"{fact}; the file looks {looks}, copy it again")

    def _take(self, n_bytes: int) -> bytes:
        """Read the next bytes of the header."""
        try:
            data = self._file.read(n_bytes)
        except OSError as error:
            raise ReadError(f"{self.path}: {error.strerror}; check the disk") from error
        if len(data) < n_bytes:
            raise MalformedInputError(f"{self.path}: ends within its header; the file looks truncated, copy it again")
        self._digest.update(data)
        return data

    def _damaged(self, fact: str) -> MalformedInputError:
        """Return the error for a header that contradicts itself."""
        return MalformedInputError(f"{self.path}: {fact}; the header looks damaged, copy the file again")


def check_numbers(
    path: Path, header: PgenHeader, n_samples: int, n_snps: int, samples_from: str, snps_from: str
) -> None:
    """Raise InconsistentInputError if a .pgen has not as many samples and SNPs as the files that list them."""
    for found, listed, what, where in (
        (header.n_samples, n_samples, "samples", samples_from),
        (header.n_snps, n_snps, "SNPs", snps_from),
    ):
        if found != listed:
            fact = f"{path}: {with_spaces(found)} {what}, but {with_spaces(listed)} in {where}"
            raise InconsistentInputError(f"{fact}; the files do not belong together, find its own")
