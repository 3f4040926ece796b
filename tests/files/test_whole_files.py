"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from lfmm2.errors import OutputExistsError, UsageError, WriteError
from lfmm2.files import whole_files
from lfmm2.files.whole_files import OutputSet, WholeFile, check_free_space, check_outputs

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_and_fail(path: Path, error: BaseException) -> None:
    with WholeFile(path) as file:
        file.write(b"half")
        raise error


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_whole_file_appears_with_its_contents(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "a.txt") as file:
        file.write(b"complete")
    assert (tmp_path / "a.txt").read_bytes() == b"complete"
    assert names_in(tmp_path) == ["a.txt"]


def test_whole_file_is_not_there_before_it_is_complete(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "a.txt") as file:
        file.write(b"half")
        assert names_in(tmp_path) == ["a.txt.part"]


def test_whole_file_leaves_nothing_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "a.txt", KeyboardInterrupt())
    assert names_in(tmp_path) == []


def test_whole_file_keeps_the_old_file_after_an_exception(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a.txt", ZeroDivisionError())
    assert (tmp_path / "a.txt").read_bytes() == b"old"


def test_whole_file_empties_what_an_earlier_run_left(tmp_path: Path) -> None:
    (tmp_path / "a.txt.part").write_bytes(b"longer than the new file")
    with WholeFile(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_whole_file_refuses_a_file_that_another_run_writes(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "a.txt") as file:
        file.write(b"first")
        with pytest.raises(OutputExistsError, match="another run is writing it"), WholeFile(tmp_path / "a.txt"):
            pass
    assert (tmp_path / "a.txt").read_bytes() == b"first"


def test_whole_file_names_the_absent_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="No such file or directory; create the folder first"),
        WholeFile(tmp_path / "absent" / "a.txt"),
    ):
        pass


@needs_dev_full
@pytest.mark.parametrize("n_bytes", [10, 3_000_000])
def test_whole_file_on_a_full_disk_is_a_write_error(tmp_path: Path, n_bytes: int) -> None:
    (tmp_path / "a.txt.part").symlink_to("/dev/full")
    with (
        pytest.raises(WriteError, match=r"a\.txt: cannot be written, No space left on device; free space"),
        WholeFile(tmp_path / "a.txt") as file,
    ):
        file.write(bytes(n_bytes))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (Path, "replace")])
def test_whole_file_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, owner: object, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, call, no_space)
    with pytest.raises(WriteError, match="No space left"), WholeFile(tmp_path / "a.txt") as file:
        file.write(b"whole")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("a_third_has_begun", [False, True])
def test_whole_file_does_not_touch_a_file_that_took_its_name_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_third_has_begun: bool
) -> None:
    # between this run's open and its lock another run finishes the file, which frees its lock
    other, third = OutputSet(), OutputSet()
    other.open(tmp_path / "a.txt").write(b"theirs")
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        other.commit()
        if a_third_has_begun:
            third.open(tmp_path / "a.txt").write(b"a third")
        flock(descriptor, operation)

    monkeypatch.setattr(whole_files.fcntl, "flock", late)
    with pytest.raises(OutputExistsError, match="another run is writing it"), WholeFile(tmp_path / "a.txt") as file:
        file.write(b"ours")
    assert (tmp_path / "a.txt").read_bytes() == b"theirs"
    assert names_in(tmp_path) == (["a.txt", "a.txt.part"] if a_third_has_begun else ["a.txt"])
    third.commit()
    assert (tmp_path / "a.txt").read_bytes() == (b"a third" if a_third_has_begun else b"theirs")


def test_whole_file_that_is_hashed_knows_its_size_and_sum(tmp_path: Path) -> None:
    whole = WholeFile(tmp_path / "a.npz", hashed=True)
    with whole as file:
        np.savez(file, u=np.arange(300_000))
    raw = (tmp_path / "a.npz").read_bytes()
    assert whole.stamp == {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    with np.load(tmp_path / "a.npz") as stored:
        assert stored["u"].tolist() == list(range(300_000))


def test_whole_file_that_is_not_durable_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", no_space)
    with WholeFile(tmp_path / "a.txt", durable=False) as file:
        file.write(b"whole")
    assert (tmp_path / "a.txt").read_bytes() == b"whole"
    assert names_in(tmp_path) == ["a.txt"]


def test_whole_file_stays_where_only_its_folder_cannot_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "sync_folder", no_space)
    with pytest.raises(OSError, match="No space left"), WholeFile(tmp_path / "a.txt") as file:
        file.write(b"whole")
    assert (tmp_path / "a.txt").read_bytes() == b"whole"


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


def test_check_free_space_refuses_more_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="outputs need 1 000 000 000 000 000 000 bytes"):
        check_free_space(tmp_path, 10**18)


def test_check_free_space_accepts_a_little(tmp_path: Path) -> None:
    check_free_space(tmp_path, 1)


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
