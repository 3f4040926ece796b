"""Files that appear under their names complete or not at all.

A file is written as ``<name>.part``, flushed to the disk, renamed, and the folder is flushed too: a full disk, a kill
or a power cut leaves the old file or none, never a piece. `WholeFile` is the only code that does this.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath
from lfmm2._words import with_spaces
from lfmm2.errors import LfmmError, OutputExistsError, UsageError, WriteError

# A symbolic link is not followed where a file is opened to be written: it may lead to a file of the user.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_REMEDIES = {
    errno.ENOSPC: "free space on that disk, or write elsewhere",
    errno.EDQUOT: "free part of your quota, or write elsewhere",
    errno.EACCES: "choose a folder you may write to",
    errno.ENOENT: "create the folder first",
}


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn an OSError into a WriteError that names the file and what to do."""
    try:
        yield
    except LfmmError:
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the disk, or write elsewhere")
        raise WriteError(f"{path}: cannot be written, {error.strerror or error}; {remedy}") from error


def check_prefix_name(out: AnyPath) -> None:
    """Raise UsageError if a prefix ends without the beginning of a file name, as ``folder/`` and an empty one do."""
    check_path(out, "out")
    text = os.fspath(out)
    if os.path.basename(text) in ("", ".", ".."):  # noqa: PTH119, pathlib drops a slash at the end
        raise UsageError(f"out is {text!r}; give a folder and the beginning of a file name")


def check_free_space(folder: AnyPath, n_bytes: int) -> None:
    """Raise WriteError if `folder` has less than `n_bytes` free, the predicted size of the outputs."""
    with translated(Path(folder)):
        free = shutil.disk_usage(folder).free
    if n_bytes > free:
        fact = f"outputs need {with_spaces(n_bytes)} bytes, {with_spaces(free)} are free"
        raise WriteError(f"{folder}: {fact}; {_REMEDIES[errno.ENOSPC]}")


def find_link(path: AnyPath) -> str:
    """Return in words why a file may be another one than its name says; empty for a plain file of this user.

    A file of the owner of its folder is accepted: on some disks all files have one owner, and elsewhere the owner can
    exchange the files in any case.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "is no file"
    if status.st_nlink > 1:
        return "has another name too (a hard link)"
    owners = os.geteuid(), Path(path).parent.stat().st_uid
    return "" if status.st_uid in owners else "belongs to another user"


def open_plain(path: AnyPath, flags: int, mode: int = 0o666) -> int:
    """Create a file, or open the one that an interrupted run has left; return the descriptor.

    Raises
    ------
    OutputExistsError
        If the file is a link or belongs to another user: what is written would change another file.
    OSError
        If the system cannot open it; FileNotFoundError if it has just been removed.
    """
    flags |= os.O_CLOEXEC | _NO_FOLLOW | os.O_NONBLOCK
    with contextlib.suppress(FileExistsError):
        if flags & os.O_CREAT:
            return os.open(path, flags | os.O_EXCL, mode)
    if fault := find_link(path):
        raise OutputExistsError(f"{os.fspath(path)}: {fault}; remove it, or choose another --out")
    descriptor = os.open(path, flags & ~os.O_CREAT)
    try:
        if find_link(path) or not os.path.samestat(os.lstat(path), os.fstat(descriptor)):
            raise OutputExistsError(f"{os.fspath(path)}: another process has just replaced it; choose another --out")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class WholeFile:
    """One file that takes its name when it is complete.

    As a context manager it gives a binary file object that writes to ``<path>.part``. At the end of the block the part
    is flushed and renamed; an exception removes it.

    Parameters
    ----------
    path : path
        Final name.
    hashed : bool
        Compute the SHA-256 of what is written, for `stamp`; such a file cannot seek.
    durable : bool
        Wait at the end of the block until the file and its name are on the disk.

    Raises
    ------
    OutputExistsError, WriteError
        If another run is writing the same file; on any failure to create, write, flush or rename.
    """

    def __init__(self, path: AnyPath, hashed: bool = False, durable: bool = True) -> None:
        self.target = Path(path)
        self._part = self.target.with_name(self.target.name + ".part")
        self._is_hashed = hashed
        self._is_durable = durable
        self._descriptor: int | None = None
        self._raw: _RawFile | None = None
        self._buffered: BinaryIO | None = None
        self._is_renamed = False

    def __enter__(self) -> BinaryIO:
        try:
            return self.begin()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
                self.rename()
                if self._is_durable:
                    sync_folder(self.target.parent)
        finally:
            self.discard()

    @property
    def stamp(self) -> dict[str, Any]:
        """``bytes`` and ``sha256`` of what was written; for files that are `hashed`."""
        assert self._raw is not None
        assert self._raw.digest is not None
        return {"bytes": self._raw.n_bytes, "sha256": self._raw.digest.hexdigest()}

    def begin(self) -> BinaryIO:
        """Create the part, or empty that of an earlier run; refuse a link, and a part that another run is writing."""
        with translated(self.target):
            try:
                self._descriptor = open_plain(self._part, os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:  # The other run that had the part has just finished it.
                self._descriptor = open_plain(self._part, os.O_RDWR | os.O_CREAT)
            if not self._lock(self._descriptor):
                raise OutputExistsError(f"{self.target}: another run is writing it; wait, or choose another name")
            if os.fstat(self._descriptor).st_size:
                os.ftruncate(self._descriptor, 0)
            self._raw = _RawFile(self._descriptor, self.target, self._is_hashed)
            self._buffered = io.BufferedWriter(self._raw, 1 << 20)
        return self._buffered

    def flush(self) -> None:
        """Hand all that was written to the system, and to the disk if the file is durable."""
        if self._buffered is not None and self._raw is not None:
            with translated(self.target):
                self._buffered.flush()
                if self._is_durable:
                    os.fsync(self._raw.fileno())

    def rename(self) -> None:
        """Give the part its final name, and only then close it, because closing frees the lock."""
        with translated(self.target):
            if self._raw is not None and not os.path.samestat(self._part.lstat(), os.fstat(self._raw.fileno())):
                raise WriteError(f"{self._part}: was replaced by another process; write to another folder")
            self._part.replace(self.target)
            self._is_renamed = True
            if self._raw is not None:
                self._raw.close()

    def discard(self, renamed: bool = False) -> None:
        """Close the file and remove its part, unless that is another run's; with `renamed` the final name too."""
        with contextlib.suppress(OSError):
            if self._raw is None and self._descriptor is None:
                # An interrupt may have come before the descriptor was known here: the part may exist all the same.
                self._descriptor = open_plain(self._part, os.O_RDWR)
            if self._is_renamed:
                if renamed:
                    self.target.unlink()
            elif self._raw is not None or (self._descriptor is not None and self._lock(self._descriptor)):
                self._part.unlink()
        with contextlib.suppress(OSError):
            if self._raw is not None:
                # The buffered file is not closed, because that would first write what it holds.
                self._raw.close()
            elif self._descriptor is not None:
                os.close(self._descriptor)

    def _lock(self, descriptor: int) -> bool:
        """Lock the part for this run; return False where it is another run's."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have renamed its part after this run opened it: then the descriptor is a finished file.
            return os.path.samestat(self._part.lstat(), os.fstat(descriptor))
        except (BlockingIOError, FileNotFoundError):
            return False
        except OSError:
            # A file system without locks lets a second run go unnoticed.
            return True


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    with translated(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems refuse, and keep folders safe themselves.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)


class _RawFile(io.FileIO):
    """An unbuffered file, whose write failures are WriteErrors that name `target`.

    Attributes
    ----------
    n_bytes : int
        Bytes written.
    digest : hash object or None
        SHA-256 of these bytes; None unless asked for.
    """

    def __init__(self, descriptor: int, target: Path, hashed: bool) -> None:
        super().__init__(descriptor, "wb")
        self.target = target
        self.n_bytes = 0
        self.digest = hashlib.sha256() if hashed else None

    def write(self, data: Any) -> int:
        with translated(self.target):
            n_written = super().write(data)
        self.n_bytes += n_written
        if self.digest is not None:
            self.digest.update(memoryview(data).cast("B")[:n_written])
        return n_written

    def seekable(self) -> bool:
        """Return False for a file that is hashed as it is written."""
        return self.digest is None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move in a file that is not hashed; zip files can do without."""
        if self.digest is not None:
            raise io.UnsupportedOperation("a file that is hashed as it is written has no way back")
        return super().seek(offset, whence)
