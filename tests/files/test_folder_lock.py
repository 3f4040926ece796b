"""One run at a time in a folder, also while other runs remove it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lfmm2.errors import OutputExistsError
from lfmm2.files import folder_lock
from lfmm2.files.folder_lock import LOCK, FolderLock, check_free


def remove_folder(folder: Path) -> None:
    (folder / LOCK).unlink()
    folder.rmdir()


def remove_and_make_anew(folder: Path) -> None:
    remove_folder(folder)
    folder.mkdir()
    (folder / LOCK).touch()


@pytest.mark.parametrize("change", [remove_folder, remove_and_make_anew])
def test_lock_of_a_folder_that_was_just_removed_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    # a run that ends removes the folder between this run's open and its lock
    folder = tmp_path / "s"
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):  # Runs take turns by a lock of the folder around.
            monkeypatch.undo()
            change(folder)
        flock(descriptor, operation)

    monkeypatch.setattr(folder_lock.fcntl, "flock", late)
    first = FolderLock(folder)
    first.take()
    try:
        with pytest.raises(OutputExistsError, match=rf"another run is writing it \(process {os.getpid()} on"):
            check_free(folder)
        with pytest.raises(OutputExistsError, match="another run is writing it"):
            FolderLock(folder).take()
    finally:
        first.release()
    check_free(folder)


def test_runs_with_a_name_in_common_do_not_go_on_both(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "a.state", ["a.b.x.tsv"]), FolderLock(tmp_path / "a.b.state", ["a.b.x.tsv"])
    first.take()
    with pytest.raises(OutputExistsError, match=r"a\.b\.x\.tsv: another run is writing it \(process"):
        second.take()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.state"]
    first.release()
    second.take()
    second.release()


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"outputs": 3}', '{"outputs": [null, 3, "a.x.tsv"]}'])
def test_locks_of_strangers_are_not_in_the_way(tmp_path: Path, text: str) -> None:
    for name in ("pipe.state", "text.state", "link.state"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe.state" / LOCK)
    (tmp_path / "text.state" / LOCK).write_text(text)
    (tmp_path / "link.state" / LOCK).symlink_to("lock")
    lock = FolderLock(tmp_path / "a.state", ["a.x.tsv"])
    lock.take()
    lock.release()


def test_lock_is_free_after_its_release(tmp_path: Path) -> None:
    for _ in range(2):
        lock = FolderLock(tmp_path / "s")
        lock.take()
        lock.release()
        lock.release()
    check_free(tmp_path / "s")
    assert (tmp_path / "s" / LOCK).exists()


def test_folder_without_a_lock_is_free(tmp_path: Path) -> None:
    check_free(tmp_path)
    check_free(tmp_path / "absent")
