"""A file that is read by place with pread: any bytes, by several threads at the same time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lfmm2.errors import ReadError
from lfmm2.files.file_stamps import FileStamp
from lfmm2.files.input_files import open_regular


class StoredBytes:
    """The bytes of a file as they lie on the disk.

    Parameters
    ----------
    path : Path
    file : binary file
        The file, open; it is closed with this object.

    Attributes
    ----------
    path : Path
    stamp : FileStamp
        The file as it was when it was opened.
    n_bytes : int
        Number of the bytes that can be read.
    held_bytes : int
        Bytes of memory that are held while the file is open.
    frame_bytes : int
        Bytes of memory that a thread takes while it reads, beside those that it returns.
    is_packed : bool
        False: bytes are read as they are stored.
    """

    is_packed = False
    held_bytes = 0
    frame_bytes = 0

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path = path
        self._file: io.BufferedReader | None = file
        self.stamp = FileStamp(path, file)
        self.n_bytes = self.stamp.n_bytes

    @property
    def stays_open(self) -> bool:
        """Return whether the file stays open between two readings."""
        return self._file is not None

    def open_when_read(self) -> None:
        """Close the file, which from now on is opened and compared with its stamp for each reading."""
        self.close()
        self._file = None

    def close(self) -> None:
        """Close the file; the attributes stay."""
        if self._file is not None:
            self._file.close()

    def where(self, at: int) -> str:
        """Return in words the place of a byte, for messages."""
        return f"{self.path}, byte {at}"

    def read(self, n_bytes: int, offset: int) -> bytes:
        """Return bytes from an offset on, fewer at the end of the file."""
        try:
            with self._descriptor() as descriptor:
                return os.pread(descriptor, n_bytes, offset)
        except ReadError:
            raise
        except OSError as error:
            raise ReadError(f"{self.path}, byte {offset}: {error.strerror}; check the disk") from error

    def fill(self, out: memoryview, offset: int, n_threads: int = 1) -> None:
        """Fill memory with the bytes from an offset on.

        Parameters
        ----------
        out : memoryview of bytes
        offset : int
        n_threads : int
            Threads that unpack, where bytes are packed.

        Raises
        ------
        ReadError
            If the system cannot read, or the file has shrunk.
        """
        with self._descriptor() as descriptor:
            self._fill_stored(descriptor, out, offset)

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        """Give the number under which the file is open, in the block; a file that does not stay open is opened."""
        if self._file is not None:
            yield self._file.fileno()
            return
        with open_regular(self.path) as file:
            self.stamp.check(file)
            yield file.fileno()

    def _fill_stored(self, descriptor: int, out: memoryview, offset: int) -> None:
        """Fill memory with bytes as they lie on the disk."""
        while len(out):
            try:
                n_read = os.preadv(descriptor, [out], offset)
            except OSError as error:
                raise ReadError(f"{self.path}, byte {offset}: {error.strerror}; check the disk") from error
            if n_read == 0:
                raise ReadError(f"{self.path}, byte {offset}: shrank while being read; copy it again")
            out = out[n_read:]
            offset += n_read
