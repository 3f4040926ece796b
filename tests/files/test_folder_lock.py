"""One run at a time in a folder, also while other runs remove it."""

from __future__ import annotations

import fcntl
import os
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
