"""A lock on a folder: one run at a time. The lock is free again as soon as its process has ended, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from lfmm2.errors import OutputExistsError, WriteError
from lfmm2.files.whole_files import translated

#: Name of the locked file, which tells the process, the host and the time of the run that holds it.
LOCK = "lock"


class FolderLock:
    """The lock of one folder, which `take` makes if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: io.FileIO | None = None

    def take(self) -> None:
        """Make the folder and lock it, without waiting.

        Raises
        ------
        OutputExistsError
            If another run holds it; the message says which.
        WriteError
            If the folder cannot be made, or is a symbolic link.
        """
        with translated(self.folder):
            for attempt in range(100):
                if self.folder.is_symlink():
                    raise WriteError(f"{self.folder}: is a symbolic link; remove it, or choose another --out")
                try:
                    self.folder.mkdir(exist_ok=True)
                    # The file is an object, so that it is closed wherever an interrupt comes.
                    self._file = io.FileIO(self.folder / LOCK, "a+")
                except (FileNotFoundError, FileExistsError):
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
            if not os.path.samestat((self.folder / LOCK).stat(), os.fstat(descriptor)):
                return False
        except FileNotFoundError:
            return False
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(holder).encode())
        return True

    def release(self) -> None:
        """Unlock the folder; the file of the lock stays."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                # Closing does not unlock where a child that was forked meanwhile has the file open too.
                fcntl.flock(self._file, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def check_free(folder: Path) -> None:
    """Raise OutputExistsError, with process and host, if a run holds the lock of a folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _take_lock(descriptor):
            return
    finally:
        os.close(descriptor)
    who = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        holder = json.loads((folder / LOCK).read_bytes())
        who = f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    name = folder.with_suffix("")
    raise OutputExistsError(f"{name}: another run is writing it{who}; wait for it, or choose another --out")


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
