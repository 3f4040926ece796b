"""Sealed JSON, and `verify`: every way in which files of results can be other than the run wrote them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

import lfmm2
from lfmm2.files.seals import read_note, read_record, seal_json
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seals")
    data = simulate(folder / "d", n_samples=60, n_snps=500, n_causal=3, seed=4)
    (folder / "results").mkdir()
    lfmm2.run(None, data.bed, data.env, 2, out=folder / "results" / "a.b")
    return folder / "results"


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    """The results in another folder, which is as good."""
    shutil.copytree(results, tmp_path / "c")
    return tmp_path / "c"


@pytest.mark.parametrize("name", ["a.b", "a.b.lfmm2.json"])
def test_intact_results_pass(copy: Path, name: str) -> None:
    sizes = lfmm2.verify(copy / name)
    assert sizes == {path.name: path.stat().st_size for path in copy.iterdir()}


@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_one_flipped_bit_is_found_in_any_file(copy: Path, place: float) -> None:
    for path in sorted(copy.iterdir()):
        raw = path.read_bytes()
        at = int(place * len(raw)) if place >= 0 else len(raw) - 2
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(lfmm2.MalformedInputError, match=path.name.replace(".", r"\.")):
            lfmm2.verify(copy / "a.b")
        path.write_bytes(raw)
    assert len(lfmm2.verify(copy / "a.b")) == 9


def test_all_faults_are_named(copy: Path) -> None:
    (copy / "a.b.lfmm2.log").unlink()
    with (copy / "a.b.joint.parquet").open("ab") as file:
        file.write(b"more")
    size = (copy / "a.b.joint.parquet").stat().st_size
    shown = f"{size:,}".replace(",", " ")
    with pytest.raises(
        lfmm2.MalformedInputError, match=rf"joint\.parquet has {shown} bytes.*; a\.b\.lfmm2\.log is absent; copy"
    ):
        lfmm2.verify(copy / "a.b")


def test_run_without_a_record_is_not_complete(copy: Path) -> None:
    (copy / "a.b.lfmm2.json").unlink()
    with pytest.raises(lfmm2.ReadError, match=r"a\.b: no results of this name; give the --out of a run$"):
        lfmm2.verify(copy / "a.b")
    (copy / "a.b.state").mkdir()
    with pytest.raises(lfmm2.ReadError, match="or go on with --resume if it was interrupted"):
        lfmm2.verify(copy / "a.b")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{", "null", '{"files": {}}', '{"files": 1, "sha256": ""}', "[" * 10**5]
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.lfmm2.json").write_text(text)
    with pytest.raises(lfmm2.MalformedInputError, match=r"r\.lfmm2\.json: is"):
        lfmm2.verify(tmp_path / "r")


def test_record_of_any_contents_seals_itself(tmp_path: Path) -> None:
    record = {
        "files": {},
        "é": 0.1 + 0.2,
        "tiny": 5e-324,
        "path": os.fsdecode(b"x\xff"),
        "none": None,
        "list": [1, [2]],
    }
    (tmp_path / "r.lfmm2.json").write_bytes(seal_json(record))
    assert read_record(tmp_path / "r.lfmm2.json") == record
    json.loads((tmp_path / "r.lfmm2.json").read_text())


def test_sealed_record_has_the_bytes_that_it_always_had() -> None:
    # the SHA-256 is that of the text without its last entry
    text = b'{\n  "files": {},\n  "\xc3\xa9": [\n    0.1,\n    null\n  ]\n}\n'
    seal = hashlib.sha256(text).hexdigest().encode()
    expected = text.removesuffix(b"\n}\n") + b',\n  "sha256": "' + seal + b'"\n}\n'
    assert seal_json({"files": {}, "é": [0.1, None]}) == expected


def test_note_that_is_absent_or_damaged_is_none(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    assert read_note(path) is None
    raw = seal_json({"progress": {"a": 1}})
    path.write_bytes(raw)
    assert read_note(path) == {"progress": {"a": 1}}
    for damaged in (
        raw[:-1],
        raw + b" ",
        raw.replace(b"1", b"2", 1),
        b"",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 10**5,
        b"\xff",
    ):
        path.write_bytes(damaged)
        assert read_note(path) is None
