"""Files that appear under their names complete or not at all.

A file is written as ``<name>.part``, flushed to the disk, renamed, and the folder flushed too: a full disk, a kill or a
power cut leaves the old file or none, never a piece.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lfmm2._typing import AnyPath
from lfmm2.errors import LfmmError, OutputExistsError, UsageError, WriteError

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
    """Raise UsageError if a prefix of files has no name that theirs can begin with, as ``folder/`` and an empty one."""
    text = os.fspath(out)
    if os.path.basename(text) in ("", ".", ".."):  # noqa: PTH119, pathlib drops a slash at the end
        raise UsageError(f"out is {text!r}; give a folder and the beginning of a file name")


def check_outputs(paths: Iterable[AnyPath], overwrite: bool) -> None:
    """Check, before any work, that files of these final names can be written.

    Raises
    ------
    UsageError, WriteError, OutputExistsError
        If two outputs have the same name; if a folder is absent or cannot be written, or an output is a
        folder; if outputs exist and `overwrite`, which lets complete new ones replace them, is false.
    """
    outputs = [Path(path) for path in paths]
    for number, path in enumerate(outputs):
        if path in outputs[:number]:
            raise UsageError(f"{path} would be written twice; give the variables different names")
        if not path.parent.is_dir():
            raise WriteError(f"{path}: there is no folder {path.parent}; create it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: no permission to write to {path.parent}; choose another folder")
        if path.is_dir():
            raise WriteError(f"{path}: is a folder; choose another name")
    existing = [str(path) for path in outputs if path.exists() or path.is_symlink()]
    if existing and not overwrite:
        names = ", ".join(existing[:5]) + (f" and {len(existing) - 5} more" if len(existing) > 5 else "")
        raise OutputExistsError(f"output exists: {names}; choose another name, or replace with --overwrite")


def check_free_space(folder: AnyPath, n_bytes: int) -> None:
    """Raise WriteError if `folder` has less than `n_bytes` free, the predicted size of the outputs."""
    with translated(Path(folder)):
        free = shutil.disk_usage(folder).free
    if n_bytes > free:
        need, have = (f"{n:,}".replace(",", " ") for n in (n_bytes, free))
        raise WriteError(f"{folder}: outputs need {need} bytes, {have} are free; {_REMEDIES[errno.ENOSPC]}")


class OutputSet:
    """Files that appear together: all complete on the disk before the first takes its name.

    As a context manager it commits at the end of the block, and on an exception removes all it wrote.

    Raises
    ------
    OutputExistsError, WriteError
        From `open`, if another run is writing the same file; on any failure to create, write, flush or
        rename, after which nothing new is left under the final names.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, OutputSet() as outputs:
    ...     outputs.open(folder + "/a.txt").write(b"first")
    ...     outputs.open(folder + "/b.txt").write(b"second")
    5
    6
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def __enter__(self) -> OutputSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def open(self, path: AnyPath) -> BinaryIO:
        """Begin the file of this final name, as ``<path>.part``; what an earlier run left there is lost."""
        # Known before it exists: an interrupt may come at any point.
        part = _Part(Path(path))
        self._parts.append(part)
        with translated(part.target):
            return part.begin()

    def commit(self) -> None:
        """Flush all, then rename all in the order of `open`; on failure remove them all."""
        try:
            for part in self._parts:
                with translated(part.target):
                    part.flush()
            for part in self._parts:
                with translated(part.target):
                    part.rename()
            for folder in sorted({part.target.parent for part in self._parts}):
                sync_folder(folder)
        except BaseException:
            self.abort()
            raise
        self._parts = []

    def abort(self) -> None:
        """Remove all that was written since the last commit."""
        for part in self._parts:
            part.discard()
        self._parts = []


class WholeFile:
    """One file that takes its name when complete: an `OutputSet` of one, which gives a binary file object."""

    def __init__(self, path: AnyPath) -> None:
        self._set = OutputSet()
        self.file = self._set.open(path)

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(self, *error: Any) -> None:
        self._set.__exit__(*error)


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


class _Part:
    """``<target>.part``: begun, then renamed to its target or discarded; locked in between."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._descriptor: int | None = None
        self._raw: OutputFile | None = None
        self._file: BinaryIO | None = None

    def begin(self) -> BinaryIO:
        """Create the file, or empty what an earlier run left of it; refuse one that another run is writing."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not self._is_ours(self._descriptor):
            raise OutputExistsError(f"{self.target}: another run is writing it; wait, or choose another name")
        if os.fstat(self._descriptor).st_size:
            os.ftruncate(self._descriptor, 0)
        self._raw = OutputFile(self._descriptor, self.target)
        self._file = io.BufferedWriter(self._raw, 1 << 20)
        return self._file

    def flush(self) -> None:
        """Bring all to the disk."""
        if self._file is not None and self._raw is not None:
            self._file.flush()
            os.fsync(self._raw.fileno())

    def rename(self) -> None:
        """Take the final name, and only then close, because closing frees the lock."""
        self.path = self.path.replace(self.target)
        if self._raw is not None:
            self._raw.close()

    def discard(self) -> None:
        """Remove the file, however far it got, unless it is another run's."""
        with contextlib.suppress(OSError):
            if self._raw is None and self._descriptor is None:
                # Interrupted before the descriptor was known here: the file may exist all the same.
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if self._raw is not None or (self._descriptor is not None and self._is_ours(self._descriptor)):
                self.path.unlink()
        with contextlib.suppress(OSError):
            if self._raw is not None:
                # Not the buffered file, which would first write what it holds.
                self._raw.close()
            elif self._descriptor is not None:
                os.close(self._descriptor)

    def _is_ours(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have renamed the file since it was opened here: then it is a finished output.
            return os.path.samestat(self.path.stat(), os.fstat(descriptor))
        except (BlockingIOError, FileNotFoundError):
            return False
        except OSError:
            # A file system without locks: a second run goes unnoticed.
            return True


class OutputFile(io.FileIO):
    """An unbuffered file, whose write failures are WriteErrors that name `target`.

    Attributes
    ----------
    digest : hash object or None
        SHA-256 of what was written, if asked for.
    """

    def __init__(self, file: int | Path, target: Path, hashed: bool = False) -> None:
        with translated(target):
            super().__init__(file, "wb")
        self.target = target
        self.digest = hashlib.sha256() if hashed else None

    def write(self, data: Any) -> int:
        with translated(self.target):
            n_written = super().write(data)
        if self.digest is not None:
            self.digest.update(memoryview(data).cast("B")[:n_written])
        return n_written

    def seekable(self) -> bool:
        """Not if it is hashed as it is written."""
        return self.digest is None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Only where `seekable`; zip files can do without."""
        if self.digest is not None:
            raise io.UnsupportedOperation("a file that is hashed as it is written has no way back")
        return super().seek(offset, whence)
