"""Files in frames of zstd with an index, read by place: the seekable format of zstd, version 0.1.0.

Each frame is unpacked by itself, so that any part of a file can be read, and several threads can unpack. The index is
the last frame, one that `zstd -d` skips: for each frame its packed and unpacked bytes, and an optional checksum.
"""

from __future__ import annotations

import io
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lfmm2._typing import Ints, Packed
from lfmm2._words import mebibytes, with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.input_files import ZSTD_MAGICS, open_regular
from lfmm2.files.stored_bytes import StoredBytes

# First bytes of the frame that has the index, and its last four bytes.
_INDEX_MAGIC, _LAST_MAGIC = 0x184D2A5E, 0x8F92EAB1
# The end of the index: number of frames, a byte of flags, and the magic number.
_FOOTER = struct.Struct("<IBI")
_HEAD = struct.Struct("<II")
# Flag of an index with checksums, and flags that must be zero. Checksums of the index are not compared, since a frame
# may have its own, which the library compares.
_HAS_CHECKSUMS, _RESERVED = 0x80, 0x7C
# Most bytes of a frame when it is unpacked, which a thread does as a whole. With more, a file made elsewhere could ask
# for any amount of memory.
MOST_FRAME_BYTES = 64 << 20
# Bytes that a frame may be longer than its contents: zstd promises less.
_LONGER = 1 << 16


def open_stored(path: Path) -> StoredBytes:
    """Open a file to be read by place: in frames of zstd if its first bytes are those of zstd, else as it is.

    Raises
    ------
    ReadError
        If the file cannot be opened or read.
    MalformedInputError
        If it is compressed with zstd without an index, or the index is damaged.
    """
    file = open_regular(path)
    try:
        stored = StoredBytes(path, file)
        return ZstdFrames(path, file) if stored.read(4, 0) in ZSTD_MAGICS else stored
    except BaseException:
        file.close()
        raise


def index_text(sizes: list[tuple[int, int]]) -> bytes:
    """Return the frame of an index, of frames with these numbers of packed and unpacked bytes."""
    entries = np.array(sizes, "<u4").tobytes()
    return _HEAD.pack(_INDEX_MAGIC, len(entries) + _FOOTER.size) + entries + _FOOTER.pack(len(sizes), 0, _LAST_MAGIC)


class ZstdFrames(StoredBytes):
    """The unpacked bytes of a file in frames of zstd; parameters and attributes as of `StoredBytes`.

    Raises
    ------
    MalformedInputError
        If the index is absent or damaged, or a frame is too large. Damage of a frame is told when it is unpacked.
    """

    is_packed = True

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        super().__init__(path, file)
        packed, unpacked = self._read_index()
        # Places of the frames in the file, and of their contents, with the ends of the last.
        self._places, self._starts = (np.concatenate([[0], np.cumsum(sizes)]) for sizes in (packed, unpacked))
        self.n_bytes = int(self._starts[-1])
        self.frame_bytes = int((packed + unpacked)[unpacked > 0].max(initial=0))
        self.held_bytes = self._places.nbytes + self._starts.nbytes + int(unpacked.max(initial=0))
        self._codec = pa.Codec("zstd")
        # Number and contents of a frame of which a part was wanted: the next reading mostly begins in it.
        self._kept: tuple[int, pa.Buffer] | None = None

    def where(self, at: int) -> str:
        """Return in words the place of an unpacked byte."""
        return f"{self.path}, byte {at} when unpacked"

    def _read_index(self) -> tuple[Ints, Ints]:
        """Return the packed and the unpacked bytes of each frame."""
        n_stored = self.stamp.n_bytes
        footer = self._read_stored(_FOOTER.size, n_stored - _FOOTER.size)
        n_frames, flags, magic = _FOOTER.unpack(footer) if len(footer) == _FOOTER.size else (0, 0, 0)
        if magic != _LAST_MAGIC:
            fact = "has no index of its frames at its end: it is cut off, or was made by zstd alone"
            raise MalformedInputError(
                f"{self.path}: {fact}; copy it again, or decompress it with zstd -d and make it with lfmm2 pack"
            )
        width = 3 if flags & _HAS_CHECKSUMS else 2
        n_index = _HEAD.size + 4 * width * n_frames + _FOOTER.size
        head = self._read_stored(_HEAD.size, n_stored - n_index)
        if flags & _RESERVED or head != _HEAD.pack(_INDEX_MAGIC, n_index - _HEAD.size):
            raise self._damaged_index(f"lists {with_spaces(n_frames)} frames, but does not begin where it should")
        entries = self._read_stored(4 * width * n_frames, n_stored - n_index + _HEAD.size)
        sizes = np.frombuffer(entries, "<u4").reshape(n_frames, width)
        packed, unpacked = sizes[:, 0].astype(np.int64), sizes[:, 1].astype(np.int64)
        if (total := int(packed.sum()) + n_index) != n_stored:
            raise self._damaged_index(f"makes {with_spaces(total)} bytes, but the file has {with_spaces(n_stored)}")
        self._check_sizes(packed, unpacked)
        return packed, unpacked

    def _check_sizes(self, packed: Ints, unpacked: Ints) -> None:
        """Raise MalformedInputError if a frame is too large to be unpacked, or longer than its contents can be."""
        if (is_large := unpacked > MOST_FRAME_BYTES).any():
            frame = int(np.argmax(is_large))
            size = f"unpacks to {mebibytes(int(unpacked[frame]))}, and at most {mebibytes(MOST_FRAME_BYTES)} are"
            fact = f"frame {frame + 1} of {len(packed)} {size} unpacked as a whole"
            raise MalformedInputError(f"{self.path}: {fact}; decompress it with zstd -d and make it with lfmm2 pack")
        if (is_long := (unpacked > 0) & (packed > 2 * unpacked + _LONGER)).any():
            frame = int(np.argmax(is_long))
            fact = f"gives frame {frame + 1} {with_spaces(int(packed[frame]))} bytes for "
            raise self._damaged_index(f"{fact}{with_spaces(int(unpacked[frame]))} unpacked ones")

    def _damaged_index(self, fact: str) -> MalformedInputError:
        """Return the error about an index that is damaged."""
        return MalformedInputError(f"{self.path}: the index at its end {fact}; the file is damaged, copy it again")

    def _read_stored(self, n_bytes: int, offset: int) -> bytes:
        """Return bytes as they lie on the disk; nothing if they begin before the file."""
        if offset < 0:
            return b""
        out = bytearray(n_bytes)
        with self._descriptor() as descriptor:
            self._fill_stored(descriptor, memoryview(out), offset)
        return bytes(out)

    def read(self, n_bytes: int, offset: int) -> bytes:
        """Return unpacked bytes from an offset on, fewer at the end of the file."""
        out = bytearray(max(min(n_bytes, self.n_bytes - offset), 0))
        self.fill(memoryview(out), offset)
        return bytes(out)

    def fill(self, out: memoryview, offset: int, n_threads: int = 1) -> None:
        """Fill memory with the unpacked bytes from an offset on; frames are shared out among the threads.

        Raises
        ------
        ReadError
            If the system cannot read, or the file has shrunk.
        MalformedInputError
            If a frame is damaged, or does not have the contents that the index tells.
        """
        if not len(out):
            return
        end = offset + len(out)
        if end > self.n_bytes:
            raise ReadError(f"{self.where(offset)}: only {with_spaces(self.n_bytes)} are there; copy it again")
        first = int(np.searchsorted(self._starts, offset, side="right")) - 1
        last = int(np.searchsorted(self._starts, end, side="left"))
        n_jobs = min(n_threads, last - first)
        bounds = [first + (last - first) * k // n_jobs for k in range(n_jobs + 1)]
        into = np.frombuffer(out, np.uint8)
        with self._descriptor() as descriptor:
            from lfmm2.process import run_jobs  # Tables are read without the kernels, which need SciPy.

            def unpack(job: int, _: object) -> None:
                for frame in range(bounds[job], bounds[job + 1]):
                    self._copy_frame(descriptor, frame, into, offset)

            run_jobs([partial(unpack, k) for k in range(n_jobs)], n_jobs, _ignore, _ignore, lambda: None)

    def _copy_frame(self, descriptor: int, frame: int, into: Packed, at: int) -> None:
        """Copy what a frame has of the bytes from `at` on; a frame of which more follows is kept."""
        start, end = int(self._starts[frame]), int(self._starts[frame + 1])
        low, high = max(start, at), min(end, at + len(into))
        if low >= high:
            return
        kept = self._kept
        contents = kept[1] if kept is not None and kept[0] == frame else self._unpack(descriptor, frame)
        into[low - at : high - at] = np.frombuffer(contents, np.uint8)[low - start : high - start]
        if high < end:
            self._kept = frame, contents

    def _unpack(self, descriptor: int, frame: int) -> pa.Buffer:
        """Return the contents of a frame, checked against the size that the index gives."""
        start, end = int(self._starts[frame]), int(self._starts[frame + 1])
        place = int(self._places[frame])
        packed = bytearray(int(self._places[frame + 1]) - place)
        self._fill_stored(descriptor, memoryview(packed), place)
        try:
            return self._codec.decompress(packed, end - start)
        except (OSError, pa.ArrowException) as error:
            fact = (
                f"frame {frame + 1} (from byte {place} on) is damaged, or has not the {with_spaces(end - start)} bytes"
            )
            remedy = "copy it again, zstd -t tells more"
            raise MalformedInputError(f"{self.path}: {fact} that the index gives it ({error}); {remedy}") from error


def _ignore(_: int) -> None:
    """Take the report of a job, which has no display."""
