"""A lock on a folder: one run at a time. The lock is free again as soon as its process has ended, however it ended.

The locked file tells who holds it, and the names of the files that its run will write beside the folder: two runs with
other folders, whose files have a name in common, do not go on both.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lfmm2.errors import OutputExistsError, WriteError
from lfmm2.files.output_sets import fold_name, ignores_case
from lfmm2.files.private_folders import check_private
from lfmm2.files.whole_files import find_link, open_plain, translated

#: Name of the locked file, which tells the process, the host and the time of the run that holds it.
LOCK = "lock"
# Seconds to wait for other runs that begin in the same folder at the same time; each needs some milliseconds.
_TURN_SECONDS = 2.0


class FolderLock:
    """The lock of one folder, which `take` makes if it is not there.

    Parameters
    ----------
    folder : Path
    outputs : sequence of str
        Names of the files that the run will write beside the folder.
    """

    def __init__(self, folder: Path, outputs: Sequence[str] = ()) -> None:
        self.folder = folder
        self._outputs = list(outputs)
        self._file: io.FileIO | None = None

    def take(self) -> None:
        """Make the folder and lock it, without waiting.

        Raises
        ------
        OutputExistsError
            If another run holds it, or is writing a file of the same name; the message says which. If the folder, or
            the file of the lock, may be of another user.
        WriteError
            If the folder cannot be made, or is a symbolic link.
        """
        with translated(self.folder), _take_turn(self.folder.parent):
            self._take()
            try:
                self._check_rivals()
            except BaseException:
                with contextlib.suppress(OSError):
                    if [path.name for path in self.folder.iterdir()] == [LOCK]:
                        (self.folder / LOCK).unlink()
                self.release()
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
                raise

    def _take(self) -> None:
        """Make the folder and lock it, again if other runs remove it meanwhile."""
        for attempt in range(100):
            if self.folder.is_symlink():
                raise WriteError(f"{self.folder}: is a symbolic link; remove it, or choose another --out")
            try:
                with contextlib.suppress(FileExistsError):
                    self.folder.mkdir(mode=0o700)
                check_private(self.folder)
                # The file is an object, so that it is closed wherever an interrupt comes.
                self._file = io.FileIO(
                    self.folder / LOCK, "a+", opener=lambda name, flags: open_plain(name, flags, 0o600)
                )
            except FileNotFoundError:
                continue  # Another run has just ended and removed the folder.
            if self._lock(self._file.fileno()):
                return
            self.release()
            if attempt >= 3:
                check_free(self.folder)
            time.sleep(0.02)  # The holder may be a run in `check_free`, which unlocks at once.
        raise WriteError(f"{self.folder}: other runs keep making and removing it; choose another --out")

    def _lock(self, descriptor: int) -> bool:
        """Lock the open file and write into it who holds it; return False where another run holds or removed it."""
        if not _take_lock(descriptor):
            return False
        try:
            # Between open and lock a run that ended may have removed the file: its lock would keep nobody out.
            if not os.path.samestat((self.folder / LOCK).lstat(), os.fstat(descriptor)):
                return False
        except FileNotFoundError:
            return False
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "outputs": self._outputs}
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(holder).encode())
        return True

    def _check_rivals(self) -> None:
        """Raise OutputExistsError if a run with another folder beside this one is writing a file of the same name."""
        ours = {fold_name(name): name for name in self._outputs}
        for lock in self.folder.parent.glob(f"*{self.folder.suffix}/{LOCK}") if ours else ():
            with contextlib.suppress(OSError):
                if lock.parent.name == self.folder.name or find_link(lock):
                    continue
            listed = _read_holder(lock).get("outputs")
            names = listed if isinstance(listed, list) else []
            theirs = {fold_name(name): name for name in names if isinstance(name, str)}
            for folded in sorted(ours.keys() & theirs.keys()):
                one, other = ours[folded], theirs[folded]
                same = fold_name(one, keep_case=True) == fold_name(other, keep_case=True)
                if same or ignores_case(self.folder.parent):
                    check_free(lock.parent, self.folder.parent / other)

    def release(self) -> None:
        """Unlock the folder; the file of the lock stays."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                # Closing does not unlock where a child that was forked meanwhile has the file open too.
                fcntl.flock(self._file, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def check_free(folder: Path, name: Path | None = None) -> None:
    """Raise OutputExistsError, with process and host, if a run holds the lock of a folder, and so writes `name`."""
    try:
        if find_link(folder / LOCK):
            return
        descriptor = open_plain(folder / LOCK, os.O_RDWR)
    except OSError:
        return
    try:
        if _take_lock(descriptor):
            return
    finally:
        os.close(descriptor)
    holder, who = _read_holder(folder / LOCK), ""
    with contextlib.suppress(KeyError):
        who = f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    name = name or folder.with_suffix("")
    raise OutputExistsError(f"{name}: another run is writing it{who}; wait for it, or choose another --out")


def _read_holder(lock: Path) -> dict[str, Any]:
    """Return what the holder of a lock has written there; empty where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        holder = json.loads(lock.read_bytes())
        return holder if isinstance(holder, dict) else {}
    return {}


@contextlib.contextmanager
def _take_turn(folder: Path) -> Iterator[None]:
    """Let runs that begin in a folder look for one another in turn, so that the first one goes on."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:  # A folder may be closed to readers, but not to writers.
        yield
        return
    try:
        until = time.monotonic() + _TURN_SECONDS
        # After this time, and on a disk that cannot lock a folder, two runs may each find the other, and both end.
        while not _take_lock(descriptor) and time.monotonic() < until:
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int) -> bool:
    """Lock a file without waiting; return False where another run holds it.

    Where the file system has no locks the answer is True, and a second run goes unnoticed.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
