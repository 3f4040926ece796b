"""The folder in which a run keeps what it has done: who may use it, damage, and what an error leaves of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lfmm2.errors import DegenerateProblemError, InconsistentInputError, OutputExistsError, WriteError
from lfmm2.pipeline import state_folder
from lfmm2.pipeline.state_folder import StateFolder, check_state_folder

IDENTITY = {"K": 3, "names": ("a", "b"), "tol": 1e-4}


def begin(folder: Path, *, resume: bool = False, overwrite: bool = False, **change: object) -> StateFolder:
    return StateFolder.begin(folder, IDENTITY | change, resume, overwrite)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unfinished(folder: Path) -> None:
    """Leave a folder as a run does that was interrupted after it had kept something."""
    with pytest.raises(KeyboardInterrupt), begin(folder) as state:  # noqa: PT012
        state.keep_note("passes", {"rows": 6})
        raise KeyboardInterrupt


def test_complete_run_leaves_no_folder(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as state:
        state.keep_note("a", 1)
        state.mark_complete()
    assert list(tmp_path.iterdir()) == []


def test_run_that_neither_completes_nor_fails_leaves_its_work(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as state:
        state.keep_note("a", 1)
    assert names_in(tmp_path / "s") == ["a.json", "lock", "run.json"]


@pytest.mark.parametrize("value", [{"a": [1, None]}, ["é", "x"], 0.1, "text", None])
def test_note_of_any_value_comes_back(tmp_path: Path, value: object) -> None:
    unfinished(tmp_path / "s")
    with begin(tmp_path / "s", resume=True) as state:
        state.keep_note("a", value)
        assert state.load_note("a") == value


def test_note_under_the_name_of_another_is_as_if_it_were_absent(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as state:
        state.keep_note("a", 1)
        (tmp_path / "s" / "a.json").rename(tmp_path / "s" / "b.json")
        assert state.load_note("b") is None


@pytest.mark.parametrize("at", range(0, 240, 7))
def test_damaged_note_is_as_if_it_were_absent(tmp_path: Path, at: int) -> None:
    unfinished(tmp_path / "s")
    path = tmp_path / "s" / "run.json"
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1
    path.write_bytes(raw)
    with begin(tmp_path / "s", resume=True) as state:
        assert state.load_note("run") == json.loads(json.dumps(IDENTITY))
        assert state.load_note("passes") is None


def test_resume_refuses_another_run_field_by_field(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    before = {path: path.read_bytes() for path in (tmp_path / "s").iterdir() if path.name != "lock"}
    for look in (begin, lambda folder, **change: check_state_folder(folder, IDENTITY | change, True, False)):
        with pytest.raises(InconsistentInputError, match="K was 3, is 4; seed was absent, is 1; resume it as it was"):
            look(tmp_path / "s", **({"resume": True} if look is begin else {}), K=4, seed=1)
    assert {path: path.read_bytes() for path in before} == before
    assert names_in(tmp_path / "s") == sorted(["lock", *(path.name for path in before)])


def test_unfinished_run_is_neither_lost_nor_taken_for_another(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    with pytest.raises(OutputExistsError, match="go on with --resume, or start from the beginning with --overwrite"):
        begin(tmp_path / "s")
    with pytest.raises(OutputExistsError, match="an unfinished run"):
        check_state_folder(tmp_path / "s", IDENTITY, False, False)
    assert check_state_folder(tmp_path / "s", IDENTITY, True, False)
    with begin(tmp_path / "s", overwrite=True) as state:
        assert state.load_note("passes") is None


def test_state_that_holds_no_work_stands_in_nobodys_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s"):
        raise KeyboardInterrupt
    assert names_in(tmp_path / "s") == ["lock", "run.json"]
    assert not check_state_folder(tmp_path / "s", IDENTITY, False, False)
    with begin(tmp_path / "s", K=5):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_folder_of_somebody_else_is_left_alone(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.doc").write_text("years")
    with pytest.raises(OutputExistsError, match=r"holds thesis\.doc"):
        check_state_folder(tmp_path / "s", IDENTITY, resume, True)
    assert (tmp_path / "s" / "thesis.doc").read_text() == "years"


def test_folder_without_our_lock_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "weights.npz").write_text("of a neural network")
    with pytest.raises(OutputExistsError, match=r"holds weights\.npz"):
        check_state_folder(tmp_path / "s", IDENTITY, True, True)


@pytest.mark.parametrize("name", [".nfs000000000012", "lfmm2-q-ab12_d"])
def test_what_network_disks_and_killed_runs_leave_stands_in_nobodys_way(tmp_path: Path, name: str) -> None:
    unfinished(tmp_path / "s")
    (tmp_path / "s" / name).touch()
    assert check_state_folder(tmp_path / "s", IDENTITY, True, False)
    with begin(tmp_path / "s", resume=True) as state:
        assert state.load_note("passes") is not None


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
        check_state_folder(tmp_path / "s", IDENTITY, False, True)


def test_symbolic_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "there")
    with pytest.raises(WriteError, match="symbolic link"):
        begin(tmp_path / "s")


def test_lock_of_another_process_is_named_and_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from lfmm2.pipeline.state_folder import StateFolder; "
        "state = StateFolder.begin(pathlib.Path(sys.argv[1]), {}, False, False); print(flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "r.state")], env=environment, stdin=-1, stdout=-1
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for look in (begin, lambda folder: check_state_folder(folder, IDENTITY, True, True)):
            with pytest.raises(OutputExistsError, match=rf"/r: another run is writing it \(process {process.pid} on"):
                look(tmp_path / "r.state")
        process.kill()
    with begin(tmp_path / "r.state"):
        pass


def test_error_that_cannot_be_mended_removes_the_state(tmp_path: Path) -> None:
    with pytest.raises(DegenerateProblemError), begin(tmp_path / "s") as state:  # noqa: PT012
        state.keep_note("a", 1)
        raise DegenerateProblemError("rank 1")
    assert list(tmp_path.iterdir()) == []


def test_file_is_flushed_only_when_that_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    with begin(tmp_path / "s") as state:
        monkeypatch.setattr(os, "fsync", recorded)
        state._flush_seconds = 0.0  # A disk that is slow now would be waited for less often.
        now = state._flushed_at
        monkeypatch.setattr(state_folder.time, "monotonic", lambda: now)
        state.keep_note("early", 1)
        assert flushed == []
        monkeypatch.setattr(state_folder.time, "monotonic", lambda: now + state_folder.KEEP_AFTER_SECONDS)
        state.keep_note("late", 2)
        assert flushed == ["late.json.part", "s"]
        state.keep_note("soon", 3)
        assert len(flushed) == 2


def test_slow_disk_is_waited_for_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with begin(tmp_path / "s") as state:
        state._flush_seconds = 10.0
        for share, is_due in ((0.9, False), (1.1, True)):
            now = state._flushed_at + share * 10 * state_folder.KEEP_SHARE
            monkeypatch.setattr(state_folder.time, "monotonic", lambda now=now: now)
            assert state.is_due() == is_due
