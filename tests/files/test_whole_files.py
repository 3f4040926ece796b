"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from lfmm2.errors import OutputExistsError, WriteError
from lfmm2.files import whole_files
from lfmm2.files.output_sets import OutputSet
from lfmm2.files.whole_files import WholeFile, check_free_space

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_and_fail(path: Path, error: BaseException) -> None:
    with WholeFile(path) as file:
        file.write(b"half")
        raise error


def fill_disk(file: BinaryIO) -> None:
    """Let an open file write to a device that is always full."""
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), file.fileno())


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
    with (  # noqa: PT012
        pytest.raises(WriteError, match=r"a\.txt: cannot be written, No space left on device; free space"),
        WholeFile(tmp_path / "a.txt") as file,
    ):
        fill_disk(file)
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
    other, third = OutputSet(), OutputSet(overwrite=True)
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


def test_check_free_space_refuses_more_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="outputs need 1 000 000 000 000 000 000 bytes"):
        check_free_space(tmp_path, 10**18)


def test_check_free_space_accepts_a_little(tmp_path: Path) -> None:
    check_free_space(tmp_path, 1)


LINKS = {
    "is a symbolic link": lambda part, victim: part.symlink_to(victim),
    r"has another name too \(a hard link\)": lambda part, victim: os.link(victim, part),
    "is no file": lambda part, _: os.mkfifo(part),
}


@pytest.mark.parametrize("fault", LINKS)
def test_whole_file_does_not_write_through_a_link(tmp_path: Path, fault: str) -> None:
    (tmp_path / "victim").write_text("precious")
    LINKS[fault](tmp_path / "a.txt.part", tmp_path / "victim")
    before = names_in(tmp_path)
    with (
        pytest.raises(OutputExistsError, match=rf"a\.txt\.part: {fault}; remove it, or"),
        WholeFile(tmp_path / "a.txt"),
    ):
        pass
    assert (tmp_path / "victim").read_text() == "precious"
    assert names_in(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_whole_file_does_not_take_the_part_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "a.txt.part").write_text("theirs")
    os.chown(tmp_path / "a.txt.part", 12345, -1)
    with pytest.raises(OutputExistsError, match="belongs to another user"), WholeFile(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt.part").read_text() == "theirs"


def test_whole_file_does_not_show_a_part_that_was_exchanged(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    with pytest.raises(WriteError, match="was replaced by another process"), WholeFile(tmp_path / "a.txt") as file:  # noqa: PT012
        file.write(b"new")
        (tmp_path / "a.txt.part").unlink()
        (tmp_path / "a.txt.part").symlink_to(tmp_path / "victim")
    assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "victim").read_text() == "precious"
