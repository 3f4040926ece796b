"""Files that users bring, opened for reading as they are or unpacked on the way: .gz, .bz2 and .zst.

What a file is compressed with is told by its first bytes, whatever its name. It is unpacked in pieces, so that it takes
no memory beside the window of the decompressor, and no room on the disk.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Any, BinaryIO

import pyarrow as pa

from lfmm2._checks import quoted
from lfmm2._typing import AnyPath
from lfmm2._words import mebibytes
from lfmm2.errors import MalformedInputError, ReadError, UsageError

#: Ends of the names of compressed files, in the order in which they are looked for where a name is not given in full.
COMPRESSED_ENDS = (".zst", ".gz", ".bz2")
# First bytes of a frame of zstd; pzstd puts another one before it.
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = b"\x50\x2a\x4d\x18"
#: First bytes of a file that is compressed with zstd.
ZSTD_MAGICS = (_ZSTD, _ZSTD_SKIPPED)
# First bytes of the compressions that are unpacked, with their names in pyarrow and in messages.
_COMPRESSIONS = {
    b"\x1f\x8b": ("gzip", "gzip"),
    _ZSTD: ("zstd", "zstd"),
    _ZSTD_SKIPPED: ("zstd", "zstd"),
    b"BZh": ("bz2", "bzip2"),
}
# Bytes of unpacked text that stand for one compressed byte at most, once the text is larger than _SMALL_TEXT. Tables
# reach 5 to 30 times. A larger ratio would let a file of a few MB fill hours and memory; a smaller one might refuse a
# table whose rows are nearly the same.
_MOST_TIMES = 250
_SMALL_TEXT = 16 << 20
# Bytes that a decompressor takes beside the text; that of zstd takes the window that the file asks for, too.
_DECOMPRESSOR = 4 << 20
# Bytes of the smallest and the largest window of zstd. The library refuses a larger one.
_SMALLEST_WINDOW, _LARGEST_WINDOW = 1 << 10, 1 << 27
_BUFFER = 1 << 18


def open_regular(path: AnyPath) -> io.BufferedReader:
    """Open a regular file for reading; a FIFO is refused, not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        mode = os.fstat(descriptor).st_mode
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    except (TypeError, ValueError):
        raise UsageError(
            f"{quoted(str(path))} is no name of a file; give it as text or pathlib.Path, without NUL"
        ) from None
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ReadError(f"{path}: is a directory, a pipe or a device; give the path of a regular file")
    return os.fdopen(descriptor, "rb")


class TextFile(io.BufferedReader):
    """The bytes of a text, unpacked if the file is compressed.

    Attributes
    ----------
    held_bytes : int
        Bytes of memory that unpacking takes.
    """

    def __init__(self, raw: Any, n_bytes: int, packed: BinaryIO | None = None, held_bytes: int = 0) -> None:
        super().__init__(raw, _BUFFER)
        self._n_bytes = n_bytes
        self._packed = packed
        self.held_bytes = held_bytes

    @property
    def share_read(self) -> float:
        """Share of the bytes of the file that were read so far, above 0."""
        done = self.tell() if self._packed is None else self._packed.tell()
        return min(max(done, 1) / max(self._n_bytes, 1), 1.0)

    @property
    def is_at_end(self) -> bool:
        """True if nothing is left to read."""
        return not self.peek(1)


def open_text(path: AnyPath) -> TextFile:
    """Open a text for reading, as it is or compressed with gzip, bzip2 or zstd; several parts in one file are joined.

    Reading it may raise MalformedInputError: if it is damaged or cut off, or unpacks to hundreds of times its size.

    Raises
    ------
    ReadError
        If the file cannot be opened or read.
    """
    file = open_regular(path)
    try:
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            head = os.pread(file.fileno(), 18, 0)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}; check the disk") from error
        for magic, (codec, name) in _COMPRESSIONS.items():
            if head.startswith(magic):
                held_bytes = _DECOMPRESSOR + (_window_bytes(head) if codec == "zstd" else 0)
                return TextFile(_Unpacked(path, file, codec, name), n_bytes, file, held_bytes)
        return TextFile(file.detach(), n_bytes)
    except BaseException:
        file.close()
        raise


def _window_bytes(head: bytes) -> int:
    """Return the bytes of the window that a zstd frame asks for, by its header (RFC 8878, 3.1.1.1)."""
    if len(head) < 6 or not head.startswith(_ZSTD):
        return 0
    descriptor = head[4]
    if not descriptor & 0x20:  # There is a byte for the window.
        base = _SMALLEST_WINDOW << (head[5] >> 3)
        return min(base + base // 8 * (head[5] & 7), _LARGEST_WINDOW)
    # The frame is one segment, as large as its content.
    n_bytes = (1, 2, 4, 8)[descriptor >> 6]
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    return min(int.from_bytes(head[start : start + n_bytes], "little"), _LARGEST_WINDOW)


class _Unpacked(io.RawIOBase):
    """The text of a compressed file, which is read and unpacked in pieces."""

    def __init__(self, path: AnyPath, file: BinaryIO, codec: str, name: str) -> None:
        super().__init__()
        self._path = path
        self._file = file
        self._name = name
        self._stream = pa.CompressedInputStream(file, codec)
        self._n_unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes of the text."""
        try:
            n_bytes: int = self._stream.readinto(buffer)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            fact = f"is compressed with {self._name}, and damaged or cut off ({error})"
            raise MalformedInputError(f"{self._path}: {fact}; copy it again") from None
        self._n_unpacked += n_bytes
        if self._n_unpacked > max(_SMALL_TEXT, _MOST_TIMES * self._file.tell()):
            fact = f"unpacks to over {mebibytes(self._n_unpacked)}, more than {_MOST_TIMES} times its size"
            remedy = "check where it comes from, and decompress it if it is what you want"
            raise MalformedInputError(f"{self._path}: {fact}, as a decompression bomb does; {remedy}")
        return n_bytes

    def close(self) -> None:
        """Close the file too."""
        if not self.closed:
            super().close()
            self._file.close()
