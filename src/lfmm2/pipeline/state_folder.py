"""The folder ``<out>.state/``: the run that may use it, and how files are written and removed there.

While a run holds the lock of the folder, `CheckpointFiles` keeps intermediate results there, and `Publication` keeps
finished outputs. Files appear complete and carry a checksum. A file that cannot be read counts as absent, and its
contents are computed again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from lfmm2._words import visible
from lfmm2.errors import (
    ChangedInputError,
    DegenerateProblemError,
    InconsistentInputError,
    MalformedInputError,
    OutputExistsError,
    ReadError,
    UsageError,
    WriteError,
)
from lfmm2.files import (
    LOCK,
    FolderLock,
    WholeFile,
    check_free,
    check_private,
    find_link,
    read_note,
    seal_json,
    translated,
    warn_of_others,
)

# A file is flushed to the disk when at least this many seconds of work would be lost without it. With fewer seconds
# small runs wait for the disk longer than they compute, with more seconds a power cut costs more work. The end of the
# process loses nothing in either case.
KEEP_AFTER_SECONDS = 3.0
# The work between two flushes takes at least this many times as long as the last flush did: a slow disk may cost about
# three percent of the run.
KEEP_SHARE = 30
# Names of notes: the identity of the run, and the size and SHA-256 of each finished output.
IDENTITY_NOTE, PROGRESS_NOTE = "run", "progress"
# Beginnings of the names of finished outputs, and of files that these replace.
OUTPUT, PREVIOUS = "output.", "previous."
# Name of the log that is written while the run goes on. As a part of a file it is no work that a run could resume from.
LIVE_LOG = "run.log.part"
# Names that a file of a state folder may have. A folder with any other name is refused, because it may be the user's.
_NAMES = re.compile(
    rf"({LOCK}|\w+\.json|[\w-]+\.npz|[\w-]+\.rows|[0-9a-f]+\.sent|run\.log|({OUTPUT}|{PREVIOUS}).+)(\.part)?|lfmm2-q-\w+"
)
# Errors with which the same command would end again: the folder is removed after them.
_LASTING_ERRORS = (UsageError, DegenerateProblemError)
# Errors that a single bad transfer from a disk may cause in an input that was read well before: kept work stays after
# them.
_PASSING_ERRORS = (MalformedInputError, InconsistentInputError)


class StateFolder:
    """The state folder of one run, held by a lock from `begin` on.

    As a context manager it removes the folder if the run is complete, if a resumed run would end with the same error,
    or if an input has changed. Otherwise it leaves the folder, and adds a note about ``--resume`` to the error.

    Parameters
    ----------
    path : Path
    check_inputs : callable, optional
        Raises ChangedInputError if the genotypes have changed since they were opened.
    outputs : sequence of str
        Names of the files that the run will write beside the folder.

    Attributes
    ----------
    path, check_inputs
        The parameters of these names.
    """

    def __init__(self, path: Path, check_inputs: Callable[[], None] | None = None, outputs: Sequence[str] = ()) -> None:
        self.path = path
        self.check_inputs = check_inputs or (lambda: None)
        self._lock = FolderLock(path, outputs)
        self._is_new = False
        self._is_complete = False
        self._flushed_at = time.monotonic()
        self._flush_seconds = 0.0

    @classmethod
    def begin(
        cls,
        path: Path,
        identity: dict[str, Any],
        resume: bool,
        overwrite: bool,
        check_inputs: Callable[[], None] | None = None,
        outputs: Sequence[str] = (),
    ) -> StateFolder:
        """Lock the folder; leave the work of an unfinished run there if this run resumes it, else empty the folder.

        `outputs` are the names of the files that the run will write beside the folder.

        Raises
        ------
        OutputExistsError, InconsistentInputError
            As `check_state_folder`.
        WriteError
            If the folder cannot be made.
        """
        folder = cls(path, check_inputs, outputs)
        try:
            folder._lock.take()
            warn_of_others(path)
            if not _check_kept_work(path, identity, resume, overwrite):
                folder._is_new = True
                folder._empty()
                folder.keep_note(IDENTITY_NOTE, identity, durable=True)
        except BaseException:
            folder.give_up()
            raise
        return folder

    def __enter__(self) -> StateFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._is_complete or self._is_useless_after(error):
                self._remove()
            elif error is not None and self._are_inputs_changed(error):
                self._remove()
                error.add_note(f"{visible(str(self.path))} is removed, because genotypes changed meanwhile; run again")
            elif error is not None:
                note = (
                    f"{visible(str(self.path))} keeps what is done; the same command with --resume goes on from there"
                )
                error.add_note(note)
        finally:
            self._release()

    def mark_complete(self) -> None:
        """Note that the outputs have their final names, so that the folder can be removed."""
        self._is_complete = True

    def give_up(self) -> None:
        """Unlock the folder, and remove it if this run has made or emptied it."""
        if self._is_new:
            self._remove()
        self._release()

    def _is_useless_after(self, error: BaseException | None) -> bool:
        """Return True if a resumed run would find no kept work, or end with the same error."""
        with contextlib.suppress(WriteError):
            return isinstance(error, _LASTING_ERRORS) or (
                isinstance(error, _PASSING_ERRORS) and not _holds_work(self.path)
            )
        return False

    def _are_inputs_changed(self, error: BaseException) -> bool:
        """Return True if the genotypes have changed, also where the run has ended with another error before it saw."""
        try:
            self.check_inputs()
        except ChangedInputError:
            return True
        except ReadError:
            pass  # The file is gone. What was kept was computed while it was there, and a resumed run needs it again.
        return isinstance(error, ChangedInputError)

    def _empty(self) -> None:
        """Remove all files but the lock; last the notes from which a later run learns how far this one came."""
        last = (f"{PROGRESS_NOTE}.json", f"{IDENTITY_NOTE}.json")
        with translated(self.path):
            names = [name for name in _list_names(self.path) if name not in (LOCK, *last)]
            for name in (*names, *last):
                (self.path / name).unlink(missing_ok=True)

    def _remove(self) -> None:
        """Remove the folder; files that cannot be removed do no harm to the results."""
        with contextlib.suppress(OSError, WriteError):
            self._empty()
            (self.path / LOCK).unlink()
            self.path.rmdir()

    def _release(self) -> None:
        """Unlock the folder, and remove it if it is empty."""
        self._lock.release()
        with contextlib.suppress(OSError):
            # NFS holds the name of an open file, so the folder is empty only after the lock was closed.
            self.path.rmdir()

    def is_due(self) -> bool:
        """Return True if so much time has passed since the last flush that another flush is worth its time."""
        enough = max(KEEP_AFTER_SECONDS, KEEP_SHARE * self._flush_seconds) if KEEP_AFTER_SECONDS else 0.0
        return time.monotonic() - self._flushed_at >= enough

    @contextlib.contextmanager
    def open_file(self, name: str, durable: bool | None = None) -> Iterator[BinaryIO]:
        """Write a file that appears complete at the end of the block; by default it is flushed if a flush `is_due`."""
        if durable is None:
            durable = self.is_due()
        started = time.monotonic()
        with WholeFile(self.path / name, durable=durable) as file:
            yield file
        if durable:
            self._flushed_at = time.monotonic()
            self._flush_seconds = self._flushed_at - started

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = (), durable: bool | None = None) -> None:
        """Keep a small value as JSON; the files `rows`, whose contents it describes, are flushed to the disk first."""
        with self.open_file(f"{name}.json", durable) as file:
            for row_file in rows:
                with translated(Path(row_file.name)):
                    os.fsync(row_file.fileno())
            file.write(seal_json({name: value}))

    def load_note(self, name: str) -> Any:
        """Return a value kept by `keep_note`; None if it is absent or damaged."""
        note = read_note(self.path / f"{name}.json")
        return None if note is None else note.get(name)


def check_state_folder(folder: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """Check, before any work, that a run may use this folder; return True if the run resumes the one that left it.

    Raises
    ------
    OutputExistsError
        If another run holds the lock, if it is no state folder, or if it holds an unfinished run and neither `resume`
        nor `overwrite` is on.
    InconsistentInputError
        If `resume` is on, and the unfinished run has another identity.
    """
    with translated(folder):
        if not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                raise OutputExistsError(f"{folder}: is no folder; move it away, or choose another --out")
            return False
    names = _list_names(folder)
    check_free(folder)
    with translated(folder):
        check_private(folder)
        strange = [name for name in names if not _NAMES.fullmatch(name) or find_link(folder / name)]
    if not strange and names and LOCK not in names:
        strange = names  # A state folder has a lock as long as it has any other file.
    if strange:
        raise OutputExistsError(
            f"{folder}: is needed for the state of the run, but holds {strange[0]}, which no run has put there; "
            "move it away, or choose another --out"
        )
    return _check_kept_work(folder, identity, resume, overwrite)


def _check_kept_work(folder: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """Check as `check_state_folder` does that kept work may be resumed or removed; return True if it is resumed."""
    if not _holds_work(folder):
        return False
    if resume:
        before = StateFolder(folder).load_note(IDENTITY_NOTE)
        if not isinstance(before, dict):
            return False  # The identity is damaged, so all work is done again.
        if fields := find_differences(before, identity):
            raise InconsistentInputError(
                f"{folder}: the unfinished run was another one: {'; '.join(fields)}; resume it as it was, "
                "or start from the beginning with --overwrite and without --resume"
            )
        return True
    if not overwrite:
        raise OutputExistsError(
            f"{folder}: an unfinished run; go on with --resume, or start from the beginning with --overwrite"
        )
    return False


def _list_names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; names by which NFS keeps removed files that are still open are left out."""
    with translated(folder):
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".nfs"))


def _holds_work(folder: Path) -> bool:
    """Return True if the folder holds work that a resumed run need not do again."""
    names = [name for name in _list_names(folder) if name not in (LOCK, f"{IDENTITY_NOTE}.json")]
    return any(_NAMES.fullmatch(name) and not name.endswith((".part", ".rows", ".sent")) for name in names)


def find_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List in words the fields in which the identity of a run differs from a recorded one."""
    missing = object()
    now = json.loads(json.dumps(now))
    names = [name for name in {**before, **now} if before.get(name, missing) != now.get(name, missing)]
    return [f"{name} was {before.get(name, 'absent')}, is {now.get(name, 'absent')}" for name in names]
