"""The folder in which a run keeps what it has done: locks, damage, outputs that appear together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lfmm2.errors import DegenerateProblemError, InconsistentInputError, OutputExistsError, ReadError, WriteError
from lfmm2.pipeline import run_state
from lfmm2.pipeline.run_state import RunState, inspect

IDENTITY = {"K": 3, "names": ("a", "b"), "tol": 1e-4}


def begin(folder: Path, *, resume: bool = False, overwrite: bool = False, **change: object) -> RunState:
    return RunState.begin(folder, IDENTITY | change, resume, overwrite)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unfinished(folder: Path) -> None:
    """A folder as a run leaves it that was interrupted after it had kept something."""
    with pytest.raises(KeyboardInterrupt), begin(folder) as state:  # noqa: PT012
        state.keep_arrays("pass-001", product=np.arange(6.0).reshape(2, 3).T, key="k")
        with state.output("x.tsv") as file:
            file.write(b"table")
        raise KeyboardInterrupt


def test_run_that_succeeds_leaves_no_folder(tmp_path: Path) -> None:
    with begin(tmp_path / "r.state") as state:
        with state.output("x.tsv") as file:
            file.write(b"table")
        with state.output("json") as file:
            file.write(b"{}")
        assert names_in(tmp_path) == ["r.state"]
        state.publish({"x.tsv": tmp_path / "r.x.tsv", "json": tmp_path / "r.json"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.x.tsv": b"table", "r.json": b"{}"}


def test_arrays_come_back_with_their_bits_and_order_in_memory(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    with begin(tmp_path / "s", resume=True) as state:
        arrays = state.arrays("pass-001")
        assert arrays is not None
        np.testing.assert_array_equal(arrays["product"], np.arange(6.0).reshape(2, 3).T)
        assert arrays["product"].flags.f_contiguous
        assert str(arrays["key"]) == "k"
        assert state.arrays("pass-002") is None
        assert state.finished("x.tsv", tmp_path / "x") == tmp_path / "s" / "output.x.tsv"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_damaged_files_are_as_if_they_were_absent(tmp_path: Path, damage: str) -> None:
    unfinished(tmp_path / "s")
    for name in ("pass-001.npz", "output.x.tsv"):
        path = tmp_path / "s" / name
        raw = path.read_bytes()
        at = max(raw.find(np.float64(5).tobytes()), 0)
        flipped = raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
        path.write_bytes({"cut": raw[:-1], "flip": flipped, "empty": b"", "text": b"x" * len(raw)}[damage])
    with begin(tmp_path / "s", resume=True) as state:
        assert state.arrays("pass-001") is None
        assert state.finished("x.tsv", tmp_path / "x") is None


@pytest.mark.parametrize("at", range(0, 240, 7))
def test_damaged_note_is_as_if_it_were_absent(tmp_path: Path, at: int) -> None:
    unfinished(tmp_path / "s")
    path = tmp_path / "s" / "run.json"
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1
    path.write_bytes(raw)
    with begin(tmp_path / "s", resume=True) as state:
        assert state.note("run") == json.loads(json.dumps(IDENTITY))
        if at % len(raw) < len(raw) - 1:  # the last newline means nothing
            assert state.arrays("pass-001") is None


def test_resume_refuses_another_run_field_by_field(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    before = {path: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    for look in (begin, lambda folder, **change: inspect(folder, IDENTITY | change, True, False)):
        with pytest.raises(InconsistentInputError, match="K was 3, is 4; seed was absent, is 1; resume it as it was"):
            look(tmp_path / "s", **({"resume": True} if look is begin else {}), K=4, seed=1)
    assert {path: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before


def test_unfinished_run_is_neither_lost_nor_taken_for_another(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    with pytest.raises(OutputExistsError, match="go on with --resume, or start from the beginning with --overwrite"):
        begin(tmp_path / "s")
    with pytest.raises(OutputExistsError, match="an unfinished run"):
        inspect(tmp_path / "s", IDENTITY, False, False)
    assert inspect(tmp_path / "s", IDENTITY, True, False)
    with begin(tmp_path / "s", overwrite=True) as state:
        assert state.arrays("pass-001") is None


def test_state_that_holds_no_work_stands_in_nobodys_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s"):
        raise KeyboardInterrupt
    assert names_in(tmp_path / "s") == ["lock", "run.json"]
    assert not inspect(tmp_path / "s", IDENTITY, False, False)
    with begin(tmp_path / "s", K=5):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_folder_of_somebody_else_is_left_alone(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.doc").write_text("years")
    with pytest.raises(OutputExistsError, match=r"holds thesis\.doc"):
        inspect(tmp_path / "s", IDENTITY, resume, True)
    assert (tmp_path / "s" / "thesis.doc").read_text() == "years"


def test_folder_without_our_lock_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "weights.npz").write_text("of a neural network")
    with pytest.raises(OutputExistsError, match=r"holds weights\.npz"):
        inspect(tmp_path / "s", IDENTITY, True, True)


@pytest.mark.parametrize("name", [".nfs000000000012", "lfmm2-q-ab12_d"])
def test_what_network_disks_and_killed_runs_leave_stands_in_nobodys_way(tmp_path: Path, name: str) -> None:
    unfinished(tmp_path / "s")
    (tmp_path / "s" / name).touch()
    assert inspect(tmp_path / "s", IDENTITY, True, False)
    with begin(tmp_path / "s", resume=True) as state:
        assert state.arrays("pass-001") is not None


def test_output_that_cannot_be_read_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished(tmp_path / "s")

    def broken(*_: object) -> bool:
        raise ReadError("Input/output error")

    monkeypatch.setattr(run_state, "matches", broken)
    with begin(tmp_path / "s", resume=True) as state:
        assert state.finished("x.tsv", tmp_path / "x") is None


def test_output_that_vanished_is_not_taken_for_published(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(WriteError, match="was removed by another process"), begin(tmp_path / "s") as state:  # noqa: PT012
        for name in ("x", "json"):
            with state.output(name) as file:
                file.write(b"new")
        (tmp_path / "s" / "output.x").unlink()
        state.publish({name: tmp_path / name for name in ("x", "json")})
    assert (tmp_path / "x").read_bytes() == b"old"
    assert not (tmp_path / "json").exists()


def test_lock_ends_with_the_run_also_for_a_child_that_was_forked_meanwhile(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with begin(tmp_path / "s"):
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            os._exit(0)
    with begin(tmp_path / "s"):
        pass
    os.write(writing, b"x")
    os.waitpid(child, 0)
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "s").touch()
    else:
        (tmp_path / "s").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError, match="is no folder"):
        inspect(tmp_path / "s", IDENTITY, False, True)


def test_symbolic_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "there")
    with pytest.raises(WriteError, match="symbolic link"):
        begin(tmp_path / "s")


def test_lock_of_another_process_is_named_and_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from lfmm2.pipeline.run_state import RunState; "
        "state = RunState.begin(pathlib.Path(sys.argv[1]), {}, False, False); print(flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "r.state")], env=environment, stdin=-1, stdout=-1
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for look in (begin, lambda folder: inspect(folder, IDENTITY, True, True)):
            with pytest.raises(OutputExistsError, match=rf"/r: another run is writing it \(process {process.pid} on"):
                look(tmp_path / "r.state")
        process.kill()
    with begin(tmp_path / "r.state"):
        pass


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_output_that_is_given_up_leaves_nothing_of_itself(tmp_path: Path, error: type[BaseException]) -> None:
    with begin(tmp_path / "s") as state:
        with pytest.raises(error), state.output("x") as file:  # noqa: PT012
            file.write(b"half")
            raise error
        assert state.finished("x", tmp_path / "x") is None
        assert names_in(tmp_path / "s") == ["lock", "run.json"]


def test_error_that_cannot_be_mended_removes_the_state(tmp_path: Path) -> None:
    with pytest.raises(DegenerateProblemError), begin(tmp_path / "s") as state:  # noqa: PT012
        state.keep_note("a", 1)
        raise DegenerateProblemError("rank 1")
    assert list(tmp_path.iterdir()) == []


def published(tmp_path: Path, state: RunState) -> dict[str, bytes]:
    names = ["x", "y", "json"]
    for name in names:
        if not state.finished(name, tmp_path / name):
            with state.output(name) as file:
                file.write(b"new " + name.encode())
    state.publish({name: tmp_path / name for name in names})
    return {name: (tmp_path / name).read_bytes() for name in names}


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
            published(tmp_path, state)
    except WriteError:
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
        monkeypatch.undo()
        with begin(tmp_path / "s", resume=True) as state:
            published(tmp_path, state)
    else:
        assert at == 0 or at > 3 * (1 + old)
    names = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert names == {name: b"new " + name.encode() for name in ("x", "y", "json")}


@pytest.mark.parametrize("at", range(1, 4))
def test_publication_that_was_killed_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """As after a SIGKILL: nothing is taken back, and the state has part of the files only."""

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
        published(tmp_path, state)
    monkeypatch.undo()
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == at
    with begin(tmp_path / "s", resume=True) as state:
        assert all(state.finished(name, tmp_path / name) for name in ("x", "y", "json"))
        published(tmp_path, state)
    assert names_in(tmp_path) == ["json", "x", "y"]


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
        published(tmp_path, state)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == dict.fromkeys(
        ("x", "y", "json"), b"old"
    )


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
    monkeypatch.setattr(run_state, "KEEP_AFTER_SECONDS", 1e9)
    with begin(tmp_path / "s") as state:
        published(tmp_path, state)
    for name in ("x", "y", "json"):
        assert (
            events.index(f"fsync output.{name}.part") < events.index(f"output.{name}") < events.index(f"{name} shown")
        )
    assert events[-5:] == ["x shown", "y shown", "fsync folder", "json shown", "fsync folder"]
    assert "fsync progress.json.part" in events
