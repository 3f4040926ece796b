"""Outputs that are finished one by one and appear together."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lfmm2.errors import OutputExistsError, ReadError, WriteError
from lfmm2.files import OwnFiles
from lfmm2.pipeline import publication, state_folder
from lfmm2.pipeline.publication import Publication
from lfmm2.pipeline.state_folder import StateFolder


def begin(folder: Path, *, resume: bool = False, overwrite: bool = False) -> StateFolder:
    return StateFolder.begin(folder, {"K": 3}, resume, overwrite)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outputs_of(state: StateFolder, names: tuple[str, ...] = ("x", "y", "json")) -> Publication:
    """Return outputs whose final names are in the folder that holds the state folder; an earlier run wrote "old"."""
    folder = state.path.parent
    targets = {name: folder / name for name in names}
    old = {"bytes": 3, "sha256": hashlib.sha256(b"old").hexdigest()}
    return Publication(state, str(folder / "r"), targets, OwnFiles({path: [old] for path in targets.values()}))


def write(outputs: Publication, name: str, content: bytes) -> None:
    with outputs.open_output(name) as file:
        file.write(content)


def unfinished(tmp_path: Path) -> None:
    """Leave a folder as a run does that was interrupted after its first output."""
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s") as state:  # noqa: PT012
        write(outputs_of(state), "x", b"table")
        raise KeyboardInterrupt


def test_run_that_succeeds_leaves_no_folder(tmp_path: Path) -> None:
    with begin(tmp_path / "r.state") as state:
        outputs = Publication(state, str(tmp_path / "r"), {"x": tmp_path / "r.x.tsv", "record": tmp_path / "r.json"})
        assert not outputs.is_complete()
        write(outputs, "x", b"table")
        write(outputs, "record", b"{}")
        assert outputs.is_complete()
        assert names_in(tmp_path) == ["r.state"]
        assert names_in(tmp_path / "r.state") == ["lock", "output.json", "output.x.tsv", "progress.json", "run.json"]
        outputs.publish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.x.tsv": b"table", "r.json": b"{}"}


def test_output_of_an_unfinished_run_is_found_with_its_stamp(tmp_path: Path) -> None:
    unfinished(tmp_path)
    with begin(tmp_path / "s", resume=True) as state:
        outputs = outputs_of(state)
        assert outputs.noted == {"x"}
        assert outputs.find_finished("x") == tmp_path / "s" / "output.x"
        assert outputs.stamp("x") == {"bytes": 5, "sha256": hashlib.sha256(b"table").hexdigest()}
        assert outputs.find_finished("y") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_damaged_output_is_as_if_it_were_absent(tmp_path: Path, damage: str) -> None:
    unfinished(tmp_path)
    path = tmp_path / "s" / "output.x"
    raw = path.read_bytes()
    flipped = bytes([raw[0] ^ 4]) + raw[1:]
    path.write_bytes({"cut": raw[:-1], "flip": flipped, "empty": b"", "text": b"x" * len(raw)}[damage])
    with begin(tmp_path / "s", resume=True) as state:
        assert outputs_of(state).find_finished("x") is None


def test_damaged_list_of_outputs_is_as_if_there_were_none(tmp_path: Path) -> None:
    unfinished(tmp_path)
    path = tmp_path / "s" / "progress.json"
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    with begin(tmp_path / "s", resume=True) as state:
        assert outputs_of(state).noted == set()


def test_output_that_cannot_be_read_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished(tmp_path)

    def broken(*_: object) -> bool:
        raise ReadError("Input/output error")

    monkeypatch.setattr(publication, "matches", broken)
    with begin(tmp_path / "s", resume=True) as state:
        assert outputs_of(state).find_finished("x") is None


def test_output_that_vanished_is_not_taken_for_published(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(WriteError, match="was removed by another process"), begin(tmp_path / "s") as state:  # noqa: PT012
        outputs = outputs_of(state, ("x", "json"))
        for name in ("x", "json"):
            write(outputs, name, b"new")
        (tmp_path / "s" / "output.x").unlink()
        outputs.publish()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert not (tmp_path / "json").exists()


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_output_that_is_given_up_leaves_nothing_of_itself(tmp_path: Path, error: type[BaseException]) -> None:
    with begin(tmp_path / "s") as state:
        outputs = outputs_of(state)
        with pytest.raises(error), outputs.open_output("x") as file:  # noqa: PT012
            file.write(b"half")
            raise error
        assert outputs.find_finished("x") is None
        assert names_in(tmp_path / "s") == ["lock", "run.json"]


def write_and_publish(state: StateFolder) -> None:
    outputs = outputs_of(state)
    for name in outputs.targets:
        if not outputs.is_finished(name):
            write(outputs, name, b"new " + name.encode())
    outputs.publish()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("at", range(7))
def test_failed_publication_is_taken_back_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool, at: int
) -> None:
    if old:
        for name in ("x", "y", "json"):
            (tmp_path / name).write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = Path.replace
    n_calls = 0

    def failing(path: Path, target: Path) -> Path:
        nonlocal n_calls
        if target.parent == tmp_path or target.name.startswith("previous."):
            n_calls += 1
            if n_calls == at:
                raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    try:
        with begin(tmp_path / "s") as state:
            write_and_publish(state)
    except WriteError:
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
        monkeypatch.undo()
        with begin(tmp_path / "s", resume=True) as state:
            write_and_publish(state)
    else:
        assert at == 0 or at > 3 * (1 + old)
    names = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert names == {name: b"new " + name.encode() for name in ("x", "y", "json")}


def killed_in_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Leave what a SIGKILL leaves: `at` outputs have their names, nothing is taken back."""

    class Killed(BaseException):
        pass

    replace = Path.replace
    n_calls = 0

    def killing(path: Path, target: Path) -> Path:
        nonlocal n_calls
        if n_calls >= at:
            raise Killed if n_calls == at else OSError
        n_calls += target.parent == tmp_path
        if n_calls == at:
            replace(path, target)
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killing)
    with pytest.raises(Killed), begin(tmp_path / "s") as state:
        write_and_publish(state)
    monkeypatch.undo()
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == at


@pytest.mark.parametrize("at", range(1, 4))
def test_publication_that_was_killed_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    killed_in_publication(tmp_path, monkeypatch, at)
    with begin(tmp_path / "s", resume=True) as state:
        assert outputs_of(state).is_complete()
        write_and_publish(state)
    assert names_in(tmp_path) == ["json", "x", "y"]


def test_output_that_changed_under_its_name_is_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in_publication(tmp_path, monkeypatch, 2)
    (tmp_path / "x").write_bytes(b"new z")  # of the same size
    with begin(tmp_path / "s", resume=True) as state:
        outputs = outputs_of(state)
        assert not outputs.is_finished("x")
        assert outputs.is_finished("y")
        assert not outputs.is_complete()


def test_interrupt_right_after_a_rename_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x", "y", "json"):
        (tmp_path / name).write_bytes(b"old")
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        result = replace(path, target)
        if target.name == "previous.y":
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s", overwrite=True) as state:
        write_and_publish(state)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == dict.fromkeys(
        ("x", "y", "json"), b"old"
    )


@pytest.mark.parametrize("name", ["x", "json"])
def test_publication_does_not_replace_what_appeared_meanwhile(tmp_path: Path, name: str) -> None:
    with (  # noqa: PT012
        pytest.raises(OutputExistsError, match=rf"{name}: was put there, or changed, while .*; move it away"),
        begin(tmp_path / "s") as state,
    ):
        outputs = outputs_of(state)
        for each in outputs.targets:
            write(outputs, each, b"new " + each.encode())
        (tmp_path / name).write_bytes(b"of the user")
        outputs.publish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {name: b"of the user"}
    (tmp_path / name).unlink()
    with begin(tmp_path / "s", resume=True) as state:
        assert outputs_of(state).is_complete()
        write_and_publish(state)
    assert names_in(tmp_path) == ["json", "x", "y"]


def test_manifest_comes_last_and_after_the_others_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def recorded_replace(path: Path, target: Path) -> Path:
        events.append(f"{target.name}{' shown' if target.parent == tmp_path else ''}")
        return replace(path, target)

    def recorded_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(f"fsync {path.name if path != tmp_path else 'folder'}")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", recorded_replace)
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 1e9)
    with begin(tmp_path / "s") as state:
        write_and_publish(state)
    for name in ("x", "y", "json"):
        assert (
            events.index(f"fsync output.{name}.part") < events.index(f"output.{name}") < events.index(f"{name} shown")
        )
    assert events[-5:] == ["x shown", "y shown", "fsync folder", "json shown", "fsync folder"]
    assert "fsync progress.json.part" in events
