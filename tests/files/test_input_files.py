"""Compressed texts give what the texts themselves give, and no file fills memory or time."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from input_cases import IIDS, NUMBERS, write_good

import lfmm2
from lfmm2.errors import MalformedInputError
from lfmm2.files import text_tables
from lfmm2.files.input_files import open_text
from lfmm2.genotypes import plink


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_good(tmp_path)
    rows = "".join(f"{i},{v**2!r}\n" for i, v in zip(IIDS, NUMBERS, strict=True))
    Path("covar.csv").write_text(f"IID,age\n{rows}")
    Path("keep").write_text("\n".join(IIDS[:36]))
    Path("extract").write_text("\n".join(f"snp{j}" for j in range(10, 250)))
    Path("exclude").write_text("\n".join(f"snp{j}" for j in range(100, 120)))
    return tmp_path


def t_of(end: str) -> np.ndarray:
    lists = {name: [Path(f"{name}{end}")] for name in ("keep", "extract", "exclude")}
    return lfmm2.run(None, "d", f"env.csv{end}", 2, covar=f"covar.csv{end}", **lists).t  # type: ignore[arg-type]


@pytest.mark.parametrize("end", PACK)
@pytest.mark.usefixtures("folder")
def test_every_text_may_be_compressed(end: str) -> None:
    truth = t_of("")
    for name in ("env.csv", "covar.csv", "keep", "extract", "exclude", "d.bim", "d.fam"):
        path = Path(name)
        Path(f"{name}{end}").write_bytes(PACK[end](path.read_bytes()))
        path.unlink()
    assert np.array_equal(t_of(end), truth)


@pytest.mark.parametrize("end", PACK)
def test_parts_of_a_compressed_text_are_joined(folder: Path, end: str) -> None:
    truth = lfmm2.run(None, "d", "env.csv", 2).t
    data = Path("env.csv").read_bytes()
    Path("env.csv").write_bytes(PACK[end](data[:300]) + PACK[end](data[300:]))
    assert np.array_equal(lfmm2.run(None, "d", "env.csv", 2).t, truth)


@pytest.mark.parametrize("end", ["", *PACK])
def test_text_is_read_to_its_end(tmp_path: Path, end: str) -> None:
    data = b"".join(b"line %d\n" % i for i in range(100_000))
    path = tmp_path / "text"
    path.write_bytes(PACK[end](data) if end else data)
    with open_text(path) as file:
        assert file.read(10) == data[:10]
        assert not file.is_at_end
        assert 0 < file.share_read <= 1
        assert file.readline() == data[10 : data.index(b"\n", 10) + 1]
        assert data.endswith(file.read())
        assert file.is_at_end
        assert file.share_read == 1
        assert (file.held_bytes > 0) == bool(end)


@pytest.mark.parametrize("end", PACK)
def test_a_bim_that_unpacks_to_much_is_not_held(folder: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    with lfmm2.open_bed("d") as bed:
        variants, plain = bed.variants(), bed.memory
    Path(f"d.bim{end}").write_bytes(PACK[end](Path("d.bim").read_bytes()))
    Path("d.bim").unlink()
    with lfmm2.open_bed("d") as bed:
        assert bed.variants().equals(variants)
        assert bed.memory.held_variant_bytes >= variants.nbytes
        assert bed.memory.variant_bytes >= plain.variant_bytes / 2
    monkeypatch.setattr(plink, "_HELD_BIM", 3000)
    monkeypatch.setattr(plink, "CHUNK", 500)
    monkeypatch.setattr(text_tables, "CHUNK", 500)
    with lfmm2.open_bed("d") as bed:
        assert bed.variants().equals(variants)
        assert bed.memory.held_variant_bytes < 10 << 20


def test_a_window_of_zstd_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "text"
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3]) + bytes(20)  # A window of 128 MiB is asked for.
    path.write_bytes(frame)
    with open_text(path) as file:
        assert 128 << 20 < file.held_bytes < 140 << 20


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with gzip.open(path, "wb") as file:
        for _ in range(300):
            file.write(b"0123456\n" * (1 << 17))
    with open_text(path) as text:
        pieces = iter(lambda: text.read(1 << 20), b"")
        with pytest.raises(MalformedInputError, match=r"250 times its size, as a decompression"):
            assert sum(map(len, pieces)) < 17 << 20
    assert text.closed


def test_a_text_of_small_size_may_repeat_itself(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(gzip.compress(b"same\n" * (1 << 20)))
    with open_text(path) as text:
        assert len(text.read()) == 5 << 20


def test_text_file_is_a_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a\nb\n")
    with open_text(path) as text:
        assert isinstance(text, io.BufferedReader)
        assert list(text) == [b"a\n", b"b\n"]
