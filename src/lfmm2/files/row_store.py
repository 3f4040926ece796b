"""Rows of statistics kept between the genotype pass and the tables: in memory, or in a file.

Calibrated p-values and q-values need all SNPs, so the statistics of the pass wait here, 8 bytes a number, until the
genomic inflation factor is known.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from lfmm2._typing import Floats
from lfmm2.errors import LfmmError, ReadError, WriteError
from lfmm2.files.whole_files import open_plain, translated


class RowStore:
    """An append-only table of float64, read back in order.

    Parameters
    ----------
    n_rows, n_columns : int
        Final shape of the table.
    path : Path, optional
        File that holds the table, and that the caller removes; in memory by default.
    n_kept : int
        Rows that the file already holds; what follows them is cut off.
    """

    def __init__(self, n_rows: int, n_columns: int, path: Path | None = None, n_kept: int = 0) -> None:
        self.n_rows = n_rows
        self.n_columns = n_columns
        self.path = path
        self._filled = n_kept
        self._file: BinaryIO | None = None
        self._rows = np.empty((n_rows if path is None else 0, n_columns))
        if path is not None:
            self._file = _open_rows(path, "r+" if n_kept else "w+")
            try:
                self._file.truncate(n_kept * 8 * n_columns)
                self._file.seek(0, os.SEEK_END)
            except OSError as error:
                raise WriteError(f"{path}: {error.strerror}; choose an output folder that can be written") from error

    def append(self, rows: Floats) -> None:
        """Add rows of shape (b, n_columns) after the last; WriteError if the file cannot take them."""
        if rows.shape[1:] != (self.n_columns,):
            raise ValueError(f"rows of shape {rows.shape} do not fit a store of {self.n_columns} columns")
        if self._filled + len(rows) > self.n_rows:
            raise ValueError(f"{self._filled} + {len(rows)} rows do not fit a store of {self.n_rows}")
        if rows.size == 0:
            pass  # A store without columns only counts rows, and an empty view cannot be written.
        elif self._file is None:
            self._rows[self._filled : self._filled + len(rows)] = rows
        else:
            _write_rows(self._file, rows, f"{self.path}: ", f" after {self._filled} of {self.n_rows} SNPs")
        self._filled += len(rows)

    def take(self, end: int) -> None:
        """Take note that other processes have written the rows before `end` to the file."""
        if not self._filled <= end <= self.n_rows:
            raise ValueError(f"rows up to {end} do not follow {self._filled} of {self.n_rows}")
        self._filled = end

    def reopen(self) -> None:
        """Open the file again, so that a network file system shows what others have written and closed."""
        if self._file is not None:
            assert self.path is not None
            self._file.close()
            self._file = _open_rows(self.path, "r+")
            self._file.seek(0, os.SEEK_END)

    @property
    def file(self) -> BinaryIO | None:
        """The file that holds the table; None for a table in memory."""
        return self._file

    @property
    def array(self) -> Floats:
        """The whole table in memory; ValueError if it is in a file."""
        if self._file is not None:
            raise ValueError("this store is a file; read it by blocks")
        return self._rows

    def blocks(self, block_rows: int) -> Iterator[Floats]:
        """Yield the rows in order, `block_rows` at a time; valid until the next."""
        if self._filled != self.n_rows:
            raise ValueError(f"the store holds {self._filled} of {self.n_rows} rows")
        yield from self.part(0, self.n_rows, block_rows)

    def part(self, first_row: int, end: int, block_rows: int) -> Iterator[Floats]:
        """Yield rows from `first_row` to before `end`, as `blocks`."""
        if end > self._filled:
            raise ValueError(f"the store holds {self._filled} rows, not {end}")
        for first in range(first_row, end, block_rows):
            n = min(block_rows, end - first)
            yield self._rows[first : first + n] if self._file is None else self._read(first, n)

    def _read(self, first: int, n: int) -> Floats:
        """Read n rows from the file; ReadError if it fails or ends before."""
        rows = np.empty((n, self.n_columns))
        if rows.size == 0:
            return rows
        view = rows.data.cast("B")
        offset = first * 8 * self.n_columns
        assert self._file is not None
        while len(view):
            try:
                n_read = os.preadv(self._file.fileno(), [view], offset)
            except OSError as error:
                raise ReadError(f"{self.path}: {error.strerror} at byte {offset}; run again") from error
            if n_read == 0:
                raise ReadError(f"{self.path}: ends at byte {offset}, it was cut by another process; run again")
            view, offset = view[n_read:], offset + n_read
        return rows

    def close(self) -> None:
        """Forget the rows and close the file."""
        self._rows = np.empty((0, self.n_columns))
        if self._file is not None:
            self._file.close()
            self._file = None


def _open_rows(path: Path, mode: str) -> BinaryIO:
    """Open the file of a table; WriteError if the system cannot."""
    try:
        # The file is unbuffered, because blocks are large and the write that fails must raise the error.
        file: Any = io.FileIO(path, mode, opener=lambda name, flags: open_plain(name, flags & ~os.O_TRUNC))
    except LfmmError:
        raise
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror}; choose an output folder that can be written") from error
    return cast(BinaryIO, file)


def _write_rows(file: BinaryIO, rows: Floats, before: str, after: str) -> None:
    """Write rows where the file stands; WriteError with these texts around the reason if it cannot take them."""
    view = np.ascontiguousarray(rows, np.float64).data.cast("B")
    try:
        while len(view):
            view = view[file.write(view) :]
    except OSError as error:
        fact = f"{before}{error.strerror}{after}"
        raise WriteError(f"{fact}; free some space, or write to another disk") from error


class RowWriter:
    """Rows of one range of SNPs, written by another process than that of the `RowStore` to the same file.

    Parameters
    ----------
    path : str or None
        File of the store; None for a store without columns.

    Attributes
    ----------
    checksum : int
        CRC-32 of all rows that were written.
    """

    def __init__(self, path: str | None) -> None:
        self.checksum = 0
        self._file = None if path is None else _open_rows(Path(path), "r+")

    def write(self, first_row: int, rows: Floats) -> None:
        """Write rows at their place, where nothing else is written; they follow those that were written before."""
        if self._file is not None and rows.size:
            self._file.seek(first_row * 8 * rows.shape[1])
            _write_rows(self._file, rows, f"{self._file.name}: ", f" at SNP {first_row + 1}")
            self.checksum = checksum(rows, self.checksum)

    def finish(self) -> None:
        """Wait until the rows are on the disk."""
        if self._file is not None:
            with translated(Path(self._file.name)):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


# The polynomial of CRC-32, with the bit of the highest power last.
_POLYNOMIAL = 0xEDB88320


def join_checksums(first: int, second: int, n_bytes: int) -> int:
    """Return the CRC-32 of bytes followed by `n_bytes` others, from that of each part.

    As zlib's crc32_combine: bits of the first checksum are moved over n_bytes of zeros by a matrix over GF(2), which is
    squared for each bit of their number.
    """
    # Column i is what a single bit i becomes when one bit of zero follows.
    matrix = [_POLYNOMIAL] + [1 << i for i in range(31)]
    n_bits = 8 * n_bytes
    while n_bits:
        if n_bits & 1:
            first = _multiply(matrix, first)
        matrix = [_multiply(matrix, column) for column in matrix]
        n_bits >>= 1
    return first ^ second


def _multiply(matrix: list[int], vector: int) -> int:
    """Return a matrix of 32 columns times a vector of 32 bits, over GF(2)."""
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
    return result


def checksum(rows: Floats, before: int = 0) -> int:
    """Return the CRC-32 of all rows so far: `before` is that of the rows before these."""
    return zlib.crc32(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"", before)
