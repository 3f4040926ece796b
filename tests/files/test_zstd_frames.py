"""Files in frames of zstd: any part comes back, in any number of threads, and what is wrong has its message."""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lfmm2.errors import ChangedInputError, MalformedInputError, ReadError, UsageError
from lfmm2.files.stored_bytes import StoredBytes
from lfmm2.files.zstd_frames import ZstdFrames, index_text, open_stored
from lfmm2.files.zstd_writer import load_zstandard, write_frames

CONTENTS = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), 1000, p=[0.9, 0.1]).tobytes()
CUTS = [0, 3, 300, 300, 999, 1000]


def write(path: Path, level: int = 3, n_threads: int = 1) -> bytes:
    """Write the contents in frames of uneven sizes, one of them empty; return the bytes of the file."""
    stream = io.BytesIO()
    parts = [CONTENTS[low:high] for low, high in pairwise(CUTS)]
    assert write_frames(parts, stream, level, n_threads) == len(stream.getvalue())
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


def read_all(path: Path, n_threads: int = 1) -> bytes:
    with closing(open_stored(path)) as stored:
        out = bytearray(stored.n_bytes)
        stored.fill(memoryview(out), 0, n_threads)
        return bytes(out)


@pytest.mark.parametrize("n_threads", [1, 3, 9])
def test_any_part_is_read(tmp_path, n_threads):
    write(tmp_path / "x.zst")
    with closing(open_stored(tmp_path / "x.zst")) as stored:
        assert isinstance(stored, ZstdFrames)
        assert stored.n_bytes == 1000
        for low in (0, 2, 3, 299, 300, 301, 998, 999):
            for high in (low, low + 1, 300, 301, 999, 1000):
                out = bytearray(max(high - low, 0))
                stored.fill(memoryview(out), low, n_threads)
                assert bytes(out) == CONTENTS[low:high]
        assert stored.read(50, 990) == CONTENTS[990:]
        stored.open_when_read()
        assert stored.read(10, 295) == CONTENTS[295:305]
        with pytest.raises(ReadError, match=r"x\.zst, byte 990 when unpacked: only 1 000 are there; copy it again"):
            stored.fill(memoryview(bytearray(11)), 990)


def test_plain_files_are_read_as_they_are(tmp_path):
    (tmp_path / "x").write_bytes(CONTENTS)
    with closing(open_stored(tmp_path / "x")) as stored:
        assert type(stored) is StoredBytes
        assert stored.read(5, 998) == CONTENTS[998:]
        assert stored.read(5, 2000) == b""


def test_bytes_do_not_depend_on_threads(tmp_path):
    assert write(tmp_path / "a", n_threads=1) == write(tmp_path / "b", n_threads=4)


def test_frames_with_checksums_in_the_index_are_read(tmp_path):
    """Other programs write four bytes more for each frame."""
    frame = pa.Codec("zstd").compress(CONTENTS, asbytes=True)
    entries = struct.pack("<III", len(frame), 1000, 12345)
    index = struct.pack("<II", 0x184D2A5E, len(entries) + 9) + entries + struct.pack("<IBI", 1, 0x80, 0x8F92EAB1)
    (tmp_path / "x").write_bytes(frame + index)
    assert read_all(tmp_path / "x") == CONTENTS


Fault = Callable[[bytes], bytes]
N_INDEX = 8 + 8 * 5 + 9


def with_index(sizes: list[tuple[int, int]]) -> Fault:
    return lambda text: text[:-N_INDEX] + index_text(sizes)


def flipped(at: int) -> Fault:
    return lambda text: text[:at] + bytes([text[at] ^ 0x10]) + text[at + 1 :]


FAULTS: dict[str, tuple[Fault, str]] = {
    "cut off": (lambda text: text[:-1], "has no index of its frames at its end: it is cut off, or was made by"),
    "one byte more": (lambda text: text + b"\0", "has no index .* lfmm2 pack"),
    "only four bytes": (lambda text: text[:4], "has no index of its frames"),
    "made by zstd": (lambda _: pa.Codec("zstd").compress(CONTENTS, asbytes=True), "has no index .*; copy it again, or"),
    "bytes lost": (lambda text: text[:4] + text[9:], r"makes \d+ bytes, but the file has \d+; the file is damaged"),
    "number of frames": (flipped(-9), "lists 21 frames, but does not begin where it should; the file is damaged"),
    "reserved flag": (flipped(-5), "lists 5 frames, but does not begin where it should"),
    "large frame": (
        lambda text: text[:-N_INDEX] + index_text([(len(text) - N_INDEX, 1 << 30)]),
        "frame 1 of 1 unpacks to 1 024 MiB, and at most 64 MiB are unpacked as a whole; decompress it with zstd -d",
    ),
    "long frame": (
        lambda text: text[:4] + bytes(200_000) + index_text([(200_004, 10)]),
        "gives frame 1 200 004 bytes for 10 unpacked ones",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "match"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_index_are_told(tmp_path, fault, match):
    (tmp_path / "x").write_bytes(fault(write(tmp_path / "x")))
    with pytest.raises(MalformedInputError, match=match):
        open_stored(tmp_path / "x")


def test_bombs_unpack_to_what_the_index_says(tmp_path):
    frame = pa.Codec("zstd").compress(bytes(1 << 20), asbytes=True)
    (tmp_path / "x").write_bytes(frame + index_text([(len(frame), 1000)]))
    with pytest.raises(MalformedInputError, match=r"frame 1 \(from byte 0 on\) is damaged, or has not the 1 000 bytes"):
        read_all(tmp_path / "x")


def test_every_flipped_bit_of_a_frame_is_seen(tmp_path):
    """The checksum of each frame is compared when it is unpacked."""
    text = write(tmp_path / "x")
    for at in range(4, len(text) - N_INDEX):
        (tmp_path / "x").write_bytes(flipped(at)(text))
        try:
            found = read_all(tmp_path / "x")
        except MalformedInputError:
            continue
        assert found == CONTENTS


def test_changed_files_are_told(tmp_path):
    text = write(tmp_path / "x")
    with closing(open_stored(tmp_path / "x")) as stored:
        os.truncate(tmp_path / "x", 10)
        with pytest.raises(ReadError, match="shrank while being read; copy it again"):
            stored.read(1000, 0)
        stored.open_when_read()
        (tmp_path / "x").write_bytes(text)
        os.utime(tmp_path / "x", ns=(1, 1))
        with pytest.raises(ChangedInputError, match="was changed since it was opened"):
            stored.read(1000, 0)


def test_absent_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UsageError, match=r"written by the library zstandard.*; pip install 'lfmm2\[pack\]'"):
        load_zstandard()
