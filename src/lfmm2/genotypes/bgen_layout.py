"""The header of a BGEN and the list of its variants, read and checked.

offset of the first variant, counted from byte 4 on
header: its length, numbers of variants and samples, "bgen" or zeros, free data, flags
IDs of samples, if the flags say so: bytes, number of samples, and for each two bytes of length and the ID
for each variant:
    number of samples, in layout 1 alone
    ID, rsID and chromosome: two bytes of length each, and the text; position, uint32
    number of alleles, uint16, in layout 2 alone; for each four bytes of length, and the text
    probabilities: four bytes of their length, unless they are those of layout 1 and not compressed
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import LAST_POSITION

UNPACKED, ZLIB, ZSTD = range(3)
# Bytes that are read at a time while variants are listed. Probabilities between them are skipped if they are longer.
_WINDOW_BYTES = 1 << 16
# Bytes of an allele, or of the header, from which on a length is taken for a damaged one.
_LONGEST_PART = 1 << 26
_UINT16, _UINT32, _HEADER = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<III4s")
_HEADER_BYTES = 20


class Variant(NamedTuple):
    """A variant, and the byte at which its probabilities, with their length, begin."""

    chromosome: str
    position: int
    rsid: str
    alleles: list[str]
    place: int


@dataclass(frozen=True)
class BgenLayout:
    """What the header of a BGEN says.

    Attributes
    ----------
    n_snps, n_samples : int
    first : int
        Byte at which the first variant begins.
    compression : int
        `UNPACKED`, `ZLIB` or `ZSTD`.
    layout : int
        1 or 2.
    sample_ids : list of str or None
        None if the file has none.
    """

    n_snps: int
    n_samples: int
    first: int
    compression: int
    layout: int
    sample_ids: list[str] | None


class BgenBytes:
    """The bytes of a BGEN; several threads may read at the same time.

    Parameters
    ----------
    path : Path
    file : binary file
    n_bytes : int
    """

    def __init__(self, path: Path, file: BinaryIO, n_bytes: int) -> None:
        self.path, self.n_bytes = path, n_bytes
        self._file = file

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`, all of them."""
        parts = []
        while start < stop:
            try:
                part = os.pread(self._file.fileno(), stop - start, start)
            except OSError as error:
                raise ReadError(f"{self.path}, byte {start}: {error.strerror}; check the disk") from error
            if not part:
                raise ReadError(f"{self.path}, byte {start}: shrank while being read; copy it again")
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Cursor:
    """A place in the file from which values are taken one after the other."""

    def __init__(self, file: BgenBytes, at: int) -> None:
        self._file = file
        self.at = at
        self._start = 0
        self._window = b""

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes."""
        start = self.at - self._start
        if start < 0 or start + n_bytes > len(self._window):
            end = self.at + n_bytes
            if end > self._file.n_bytes or n_bytes > _LONGEST_PART:
                raise MalformedInputError(
                    f"{self._file.path}, byte {self.at}: {with_spaces(n_bytes)} more bytes are announced than there "
                    "are or can be; the file looks truncated or damaged, copy it again"
                )
            self._start = self.at
            self._window = self._file.read(self.at, min(max(end, self.at + _WINDOW_BYTES), self._file.n_bytes))
            start = 0
        self.at += n_bytes
        return self._window[start : start + n_bytes]

    def number(self, kind: struct.Struct) -> int:
        """Take a number."""
        return int(kind.unpack(self.take(kind.size))[0])

    def text(self, length: struct.Struct) -> str:
        """Take a text with its length in front of it."""
        at, data = self.at, self.take(self.number(length))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise MalformedInputError(f"{self._file.path}, byte {at}: {data[:20]!r} is not UTF-8; correct it") from None


def read_layout(file: BgenBytes) -> BgenLayout:
    """Read the header and the IDs of samples.

    Raises
    ------
    MalformedInputError
        If the file is no BGEN, damaged, truncated, or of a layout or compression that does not exist.
    """
    cursor = _Cursor(file, 0)
    first = 4 + cursor.number(_UINT32)
    n_header, n_snps, n_samples, magic = _HEADER.unpack(cursor.take(_HEADER.size))
    if magic not in (b"bgen", bytes(4)) or n_header < _HEADER_BYTES or first < 4 + n_header:
        raise MalformedInputError(f"{file.path}: is no BGEN, or its header is damaged; check the file")
    cursor.take(n_header - _HEADER_BYTES)
    flags = cursor.number(_UINT32)
    compression, layout = flags & 3, flags >> 2 & 15
    if layout not in (1, 2) or compression > (ZLIB if layout == 1 else ZSTD):
        fact = f"{file.path}: is of layout {layout} and compression {compression}"
        raise MalformedInputError(f"{fact}, which no BGEN has; it looks damaged, copy it again")
    if not n_snps or not n_samples:
        fact = f"{file.path}: {n_snps} variants of {n_samples} samples"
        raise MalformedInputError(f"{fact}; the file is empty or damaged, check it")
    ids = None
    if flags >> 31:
        cursor.take(_UINT32.size)
        if (n_ids := cursor.number(_UINT32)) != n_samples:
            fact = f"{file.path}: {with_spaces(n_samples)} samples, but {with_spaces(n_ids)} IDs"
            raise MalformedInputError(f"{fact}; the header looks damaged, copy the file again")
        ids = [cursor.text(_UINT16) for _ in range(n_ids)]
    if cursor.at > first:
        raise MalformedInputError(f"{file.path}: variants begin within the header; it looks damaged, copy it again")
    return BgenLayout(n_snps, n_samples, first, compression, layout, ids)


def iter_variants(file: BgenBytes, layout: BgenLayout) -> Iterator[Variant]:
    """Yield all variants in order; their probabilities are skipped.

    Raises
    ------
    MalformedInputError
        If the file ends before the last variant or goes on after it, or a variant is none.
    """
    cursor = _Cursor(file, layout.first)
    for number in range(1, layout.n_snps + 1):
        where = f"{file.path}, SNP {number}"
        if layout.layout == 1 and (n := cursor.number(_UINT32)) != layout.n_samples:
            raise MalformedInputError(
                f"{where}: {n} samples, but {layout.n_samples} in the header; copy the file again"
            )
        cursor.text(_UINT16)
        rsid, chromosome = cursor.text(_UINT16), cursor.text(_UINT16)
        position = cursor.number(_UINT32)
        n_alleles = 2 if layout.layout == 1 else cursor.number(_UINT16)
        alleles = [cursor.text(_UINT32) for _ in range(n_alleles)]
        names = "".join((chromosome, rsid, *alleles))
        if position > LAST_POSITION or n_alleles < 2 or not names.isprintable() or " " in names or not all(alleles):
            shown = f"{rsid!r} {chromosome!r} {position} {alleles[:4]}"
            fact = f"{where}: {shown[:80]} is no variant that can stand in a table"
            raise MalformedInputError(f"{fact}, with names without blanks and two alleles; the file may be damaged")
        place = cursor.at
        has_length = layout.layout == 2 or layout.compression != UNPACKED
        n_bytes = cursor.number(_UINT32) if has_length else 6 * layout.n_samples
        cursor.at += n_bytes
        if cursor.at > file.n_bytes:
            fact = f"{where} of {with_spaces(layout.n_snps)}: ends after the file"
            raise MalformedInputError(
                f"{fact}, which has {with_spaces(file.n_bytes)} bytes; it looks truncated, copy it again"
            )
        yield Variant(chromosome or "0", position, rsid or ".", alleles, place)
    if cursor.at != file.n_bytes:
        fact = f"{file.path}: {with_spaces(file.n_bytes - cursor.at)} bytes after its {with_spaces(layout.n_snps)} SNPs"
        raise MalformedInputError(f"{fact}; the file looks damaged, copy it again")
