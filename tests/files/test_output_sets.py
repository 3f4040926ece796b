"""Files that appear together, and what they may replace."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from lfmm2.errors import OutputExistsError, UsageError, WriteError
from lfmm2.files import output_sets, whole_files
from lfmm2.files.output_sets import OutputSet, OwnFiles, check_outputs, manifest_of
from lfmm2.files.seals import seal_json


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_output_set_flushes_files_then_renames_then_flushes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        assert events[-1] == "folder" or os.fstat(descriptor).st_size == 5
        fsync(descriptor)

    def recorded_replace(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    with OutputSet() as outputs:
        outputs.open(tmp_path / "a").write(b"12345")
        outputs.open(tmp_path / "b").write(b"12345")
    assert events == ["file", "file", "rename", "rename", "folder"]


def test_output_set_shows_all_files_at_commit(tmp_path: Path) -> None:
    with OutputSet() as outputs:
        outputs.open(tmp_path / "a").write(b"1")
        outputs.open(tmp_path / "b").write(b"22")
        assert names_in(tmp_path) == ["a.part", "b.part"]
        outputs.commit()
        assert names_in(tmp_path) == ["a", "b"]
    assert (tmp_path / "b").read_bytes() == b"22"


def test_output_set_shows_none_if_one_cannot_be_renamed(tmp_path: Path) -> None:
    outputs = OutputSet()
    outputs.open(tmp_path / "a").write(b"1")
    outputs.open(tmp_path / "b").write(b"2")
    (tmp_path / "b").mkdir()
    with pytest.raises(WriteError, match="b: cannot be written"):
        outputs.commit()
    assert names_in(tmp_path) == ["b"]


def test_output_set_keeps_committed_files_when_aborted_later(tmp_path: Path) -> None:
    outputs = OutputSet()
    outputs.open(tmp_path / "a").write(b"1")
    outputs.commit()
    outputs.abort()
    assert names_in(tmp_path) == ["a"]


def test_output_set_gives_files_that_numpy_can_write(tmp_path: Path) -> None:
    with OutputSet() as outputs:
        np.savez(outputs.open(tmp_path / "a.npz"), u=np.arange(3))
    with np.load(tmp_path / "a.npz") as stored:
        assert stored["u"].tolist() == [0, 1, 2]


def test_check_outputs_refuses_existing_files(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputExistsError, match=r"exists: .*a; choose another name, or .* --overwrite"):
        check_outputs([tmp_path / "a", tmp_path / "b"], overwrite=False)


def test_check_outputs_accepts_existing_files_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    check_outputs([tmp_path / "a", tmp_path / "b"], overwrite=True)


def test_check_outputs_refuses_an_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="there is no folder"):
        check_outputs([tmp_path / "absent" / "a"], overwrite=False)


def test_check_outputs_refuses_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(WriteError, match="no permission"):
        check_outputs([tmp_path / "a"], overwrite=False)


def test_check_outputs_refuses_a_folder_as_output(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a folder"):
        check_outputs([tmp_path], overwrite=True)


def test_check_outputs_refuses_one_name_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="written twice"):
        check_outputs([tmp_path / "a", tmp_path / "a"], overwrite=False)


@pytest.mark.parametrize("name", ["open", "fstat"])
def test_output_set_interrupted_while_it_begins_a_file_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # the file is there, but the call that made it has not returned: a signal handler raises in between
    real = getattr(os, name)

    def interrupted(*arguments: object) -> object:
        monkeypatch.undo()
        real(*arguments)
        raise KeyboardInterrupt

    def begin() -> None:
        with OutputSet() as outputs:
            monkeypatch.setattr(whole_files.os, name, interrupted)
            outputs.open(tmp_path / "a.txt")

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert names_in(tmp_path) == []


def test_output_set_leaves_the_unfinished_file_of_another_run(tmp_path: Path) -> None:
    other = OutputSet()
    other.open(tmp_path / "a.txt").write(b"theirs")
    with pytest.raises(OutputExistsError, match="another run is writing it"), OutputSet() as outputs:
        outputs.open(tmp_path / "a.txt")
    assert names_in(tmp_path) == ["a.txt.part"]
    other.commit()
    assert (tmp_path / "a.txt").read_bytes() == b"theirs"


def write_set(folder: Path, text: bytes, overwrite: bool = False) -> None:
    """Write r.a and r.b with their manifest."""
    with OutputSet(overwrite) as outputs:
        for name in ("r.a", "r.b"):
            outputs.open(folder / name, manifest_of(folder / "r", "made")).write(text)


def test_output_set_replaces_its_own_files(tmp_path: Path) -> None:
    write_set(tmp_path, b"old")
    own = OwnFiles.of_manifest(manifest_of(tmp_path / "r", "made"))
    check_outputs([tmp_path / "r.a", tmp_path / "r.b"], overwrite=True, own=own)
    write_set(tmp_path, b"new", overwrite=True)
    assert names_in(tmp_path) == ["r.a", "r.b", "r.lfmm2-made.json"]
    assert (tmp_path / "r.a").read_bytes() == (tmp_path / "r.b").read_bytes() == b"new"
    write_set(tmp_path, b"newer", overwrite=True)


def test_output_set_replaces_nothing_without_overwrite(tmp_path: Path) -> None:
    write_set(tmp_path, b"old")
    before = contents(tmp_path)
    with pytest.raises(OutputExistsError, match=r"output exists: .*r\.a, .*r\.b; choose another name, or replace with"):
        write_set(tmp_path, b"new")
    assert contents(tmp_path) == before


def change_file(folder: Path) -> None:
    (folder / "r.b").write_bytes(b"edited by hand")


def remove_manifest(folder: Path) -> None:
    manifest_of(folder / "r", "made").unlink()


def damage_manifest(folder: Path) -> None:
    manifest_of(folder / "r", "made").write_text("{}")


def exchange_names(folder: Path) -> None:
    (folder / "r.b").write_bytes(b"of another run, same size as this")
    manifest_of(folder / "r", "made").unlink()
    write_other = OutputSet()
    write_other.open(folder / "x.b", manifest_of(folder / "x", "made")).write(b"x")
    write_other.commit()
    manifest_of(folder / "x", "made").rename(manifest_of(folder / "r", "made"))


@pytest.mark.parametrize("change", [change_file, remove_manifest, damage_manifest, exchange_names])
def test_output_set_does_not_replace_what_its_manifest_does_not_vouch_for(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    write_set(tmp_path, b"old")
    change(tmp_path)
    before = contents(tmp_path)
    fact = "not a file that lfmm2 has written here, or changed since, so it is not replaced; move it away"
    with pytest.raises(OutputExistsError, match=fact):
        write_set(tmp_path, b"new", overwrite=True)
    assert contents(tmp_path) == before
    with pytest.raises(OutputExistsError, match=fact):  # noqa: PT012
        own = OwnFiles.of_manifest(manifest_of(tmp_path / "r", "made"))
        check_outputs([tmp_path / "r.a", tmp_path / "r.b"], overwrite=True, own=own)


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"files": 3, "replaced": None},
        {"files": {"a\0b": {"bytes": 1, "sha256": "0"}, "r.a": 3, "r.b": {"bytes": "x"}}},
        {"files": {"../" * 30 + "etc/passwd": {"bytes": None, "sha256": []}}},
    ],
)
def test_manifest_of_a_stranger_vouches_for_nothing(tmp_path: Path, entries: dict[str, object]) -> None:
    manifest_of(tmp_path / "r", "made").write_bytes(seal_json(entries))
    (tmp_path / "r.a").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"r\.a: not a file that lfmm2 has written here"):
        write_set(tmp_path, b"new", overwrite=True)
    (tmp_path / "r.a").unlink()
    write_set(tmp_path, b"new", overwrite=True)


def test_manifest_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(manifest_of(tmp_path / "r", "made"))
    with pytest.raises(OutputExistsError, match=r"r\.lfmm2-made\.json: not a file"):
        write_set(tmp_path, b"new", overwrite=True)


def test_output_set_writes_again_what_was_removed(tmp_path: Path) -> None:
    write_set(tmp_path, b"old")
    (tmp_path / "r.a").unlink()
    (tmp_path / "r.b").unlink()
    write_set(tmp_path, b"new")
    assert (tmp_path / "r.a").read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("at", range(1, 4))
def test_output_set_that_fails_puts_back_what_it_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, links: bool
) -> None:
    write_set(tmp_path, b"old")
    before = contents(tmp_path)
    replace, n_calls = Path.replace, 0

    def failing(path: Path, target: Path) -> Path:
        nonlocal n_calls
        if path.suffix == ".part":
            n_calls += 1
            if n_calls == at:
                raise OSError(1, "Operation not permitted")
        return replace(path, target)

    def no_link(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", failing)
    if not links:
        monkeypatch.setattr(output_sets.os, "link", no_link)
    with pytest.raises(WriteError, match="Operation not permitted"):
        write_set(tmp_path, b"new", overwrite=True)
    assert contents(tmp_path) == before
    monkeypatch.undo()
    write_set(tmp_path, b"new", overwrite=True)


def test_output_set_says_where_a_file_is_that_cannot_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, b"old")
    replace, n_calls = Path.replace, 0

    def failing(path: Path, target: Path) -> Path:
        nonlocal n_calls
        n_calls += 1
        if n_calls > 2:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(WriteError, match="Input/output error") as caught:
        write_set(tmp_path, b"new", overwrite=True)
    copies = {Path(note.rpartition(" ")[2]) for note in caught.value.__notes__}
    assert {copy.name for copy in copies} == {"r.a", "r.lfmm2-made.json"}
    assert next(copy for copy in copies if copy.name == "r.a").read_bytes() == b"old"
    assert (tmp_path / "r.b").read_bytes() == b"old"


@pytest.mark.parametrize("at", range(1, 4))
def test_output_set_that_was_killed_leaves_nothing_that_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """As after a SIGKILL between two renames: nothing is put back."""
    write_set(tmp_path, b"old")
    replace, n_calls = Path.replace, 0

    def killing(path: Path, target: Path) -> Path:
        nonlocal n_calls
        if path.suffix == ".part":
            n_calls += 1
            if n_calls == at:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killing)
    monkeypatch.setattr(OutputSet, "abort", lambda _: [])
    outputs = OutputSet(overwrite=True)
    for name in ("r.a", "r.b"):
        outputs.open(tmp_path / name, manifest_of(tmp_path / "r", "made")).write(b"new")
    with pytest.raises(KeyboardInterrupt):
        outputs.commit()
    monkeypatch.undo()
    for file in [*outputs._manifests.values(), *(file for file, _ in outputs._files)]:
        assert file._raw is not None
        file._raw.close()  # as the end of a process does
    write_set(tmp_path, b"newer", overwrite=True)
    assert (tmp_path / "r.b").read_bytes() == b"newer"


def test_two_sets_with_one_manifest_do_not_go_on_both(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path / "r", "made")
    with OutputSet() as first:
        first.open(tmp_path / "r.a", manifest).write(b"1")
        with pytest.raises(OutputExistsError, match="another run is writing it"):
            OutputSet().open(tmp_path / "r.c", manifest)
    assert names_in(tmp_path) == ["r.a", "r.lfmm2-made.json"]


def test_names_that_differ_by_case_are_refused_where_the_disk_ignores_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = [tmp_path / "r.Temp.tsv", tmp_path / "r.temp.tsv"]
    check_outputs(twins, overwrite=False)
    assert names_in(tmp_path) == []
    monkeypatch.setattr(output_sets, "ignores_case", lambda _: True)
    with pytest.raises(OutputExistsError, match="are one file on this disk; rename one"):
        check_outputs(twins, overwrite=False)


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "r.précipitations.tsv") for form in ("NFC", "NFD")]
    with pytest.raises(OutputExistsError, match="look the same"):
        check_outputs([tmp_path / name for name in names], overwrite=False)
