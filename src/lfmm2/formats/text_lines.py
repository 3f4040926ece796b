"""Lines of text files of genotypes, plain or compressed with gzip or bgzip, of any length and number."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from lfmm2._words import shortened
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import open_regular

#: Bytes that are read at once.
CHUNK = 1 << 22
#: Bytes of a line from which on a file is refused, so that a small compressed file cannot fill the memory.
LONGEST_LINE = 1 << 30
GZIP_MAGIC = b"\x1f\x8b"
# The empty block with which bgzip and htslib end every file: without it the end of the file is missing.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# Exceptions of a damaged or truncated stream of gzip.
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


class LineFile:
    """A text file that is read line by line, once.

    Attributes
    ----------
    number : int
        Number of the last line that was given, from 1.
    is_ended : bool
        False if the last line of the file has no line end; known after the last line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.is_ended = True
        self._file = open_regular(path)
        self._stream: IO[bytes] = self._file
        try:
            head = self._read_head()
            if head.startswith(GZIP_MAGIC):
                self._check_end(head)
                self._stream = cast("IO[bytes]", gzip.GzipFile(fileobj=self._file, mode="rb"))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._file.close()

    def __enter__(self) -> LineFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_head(self) -> bytes:
        """Return the first bytes, and go back to the beginning."""
        try:
            head = self._file.read(18)
            self._file.seek(0)
        except OSError as error:
            raise ReadError(f"{self.path}: {error.strerror or error}; check the disk") from error
        return head

    def _check_end(self, head: bytes) -> None:
        """Raise MalformedInputError if a file of bgzip lacks the empty block at its end."""
        if head[12:14] != b"BC":
            return
        size = os.fstat(self._file.fileno()).st_size
        last = os.pread(self._file.fileno(), len(_BGZF_END), max(0, size - len(_BGZF_END)))
        if last != _BGZF_END:
            raise MalformedInputError(
                f"{self.path}: lacks the end that bgzip writes, it looks truncated; copy it again"
            )

    def read(self) -> bytes:
        """Read the next bytes, up to `CHUNK`."""
        try:
            return self._stream.read(CHUNK)
        except _DAMAGED as error:
            fact = f"{self.path}, after line {self.number}: the compressed data are damaged or end too soon"
            raise MalformedInputError(f"{fact} ({shortened(str(error))}); copy it again") from error
        except OSError as error:
            raise ReadError(f"{self.path}, after line {self.number}: {error.strerror or error}; check it") from error

    def __iter__(self) -> Iterator[bytes]:
        """Give all lines without their ends; carriage returns before them are taken off."""
        rest: list[bytes] = []
        n_rest = 0
        while chunk := self.read():
            lines = chunk.split(b"\n")
            if len(lines) > 1:
                rest.append(lines[0])
                lines[0] = b"".join(rest)
                rest, n_rest = [], 0
            last = lines.pop()
            rest.append(last)
            n_rest += len(last)
            if n_rest > LONGEST_LINE:
                raise MalformedInputError(f"{self.path}, after line {self.number}: over 1 GB in a line; check the file")
            for line in lines:
                self.number += 1
                yield line[:-1] if line.endswith(b"\r") else line
        if n_rest:
            self.is_ended = False
            self.number += 1
            yield b"".join(rest).removesuffix(b"\r")

    def where(self) -> str:
        """Return the file and the number of the last line, for a message."""
        return f"{self.path}, line {self.number}"


def nonblank_lines(file: LineFile) -> Iterator[bytes]:
    """Give the lines of a file; raise MalformedInputError for a blank one, unless only blank ones follow."""
    blank = 0
    for line in file:
        if not line.strip():
            blank = blank or file.number
            continue
        if blank:
            raise MalformedInputError(f"{file.path}, line {blank}: is blank amid the genotypes; remove it")
        yield line


def as_text(line: bytes, where: str) -> str:
    """Return text, or raise MalformedInputError if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = shortened(line.decode("utf-8", "backslashreplace"))
        raise MalformedInputError(f"{where}: {shown!r} is not UTF-8; convert the file to UTF-8") from error


def read_head(path: Path, n_bytes: int) -> bytes:
    """Return the first bytes of a file, decompressed if it is compressed; fewer if it is damaged behind them."""
    with open_regular(path) as file:
        try:
            head = file.read(n_bytes)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror or error}; check the disk") from error
    if not head.startswith(GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(31).decompress(head, n_bytes)
    except zlib.error:
        return b""
