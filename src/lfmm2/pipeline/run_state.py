"""What a run has done so far, kept in the folder ``<out>.state/`` so that it can go on after any interruption.

Files there appear complete, as everywhere, and carry a checksum; what cannot be read back is taken as absent and made
again. Outputs wait there until all are complete, then take their final names together, the manifest last. A lock keeps
other runs out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lfmm2.errors import (
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
    OutputFile,
    check_free,
    matches,
    read_note,
    sealed_note,
    sync_folder,
    translated,
)

Arrays = dict[str, NDArray[Any]]

# Work of so many seconds is worth waiting for the disk, if that took less than a thirtieth of them the last time: what
# is kept is then flushed. What is kept without survives the end of the process in any case, and a power cut mostly.
KEEP_AFTER_SECONDS = 3.0
KEEP_SHARE = 30
# Errors from which the same command cannot go on; a file that is malformed or does not fit may be so for once, where
# work was done with it before.
_HOPELESS = (UsageError, DegenerateProblemError)
_DOUBTFUL = (MalformedInputError, InconsistentInputError)
_IDENTITY, _PROGRESS, _OUTPUT, _PREVIOUS = "run.json", "progress.json", "output.", "previous."
_OURS = re.compile(r"(lock|\w+\.json|[\w-]+\.npz|[\w-]+\.rows|(output|previous)\..+)(\.part)?|lfmm2-q-\w+")


class NoState:
    """The state of a run that keeps nothing, because its results stay in memory."""

    def arrays(self, name: str) -> Arrays | None:
        """Nothing."""
        return None

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        """Nothing is kept."""

    def note(self, name: str) -> Any:
        """Nothing."""
        return None

    def keep_note(self, name: str, value: Any) -> None:
        """Nothing is kept."""

    def rows_path(self, name: str) -> Path | None:
        """None, which means memory."""
        return None

    def forget(self, pattern: str) -> None:
        """There is nothing."""

    def due(self) -> bool:
        """Never."""
        return False

    def flush_rows(self, files: list[BinaryIO]) -> None:
        """There are none."""


class RunState(NoState):
    """The state of one run, held by a lock from `begin` on.

    As a context manager it removes the folder when the outputs were published, or when the error that ends the run
    is one that going on cannot mend; else it leaves it, and adds a note to the error that says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FolderLock(folder)
        self._new = False
        self._published = False
        self._kept_at = time.monotonic()
        self._wait_seconds = self._rows_seconds = 0.0
        self._outputs: dict[str, dict[str, Any]] = {}
        self._verified: set[str] = set()

    @classmethod
    def begin(cls, folder: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> RunState:
        """Lock the folder; go on from what an unfinished run left there, or empty it.

        Raises
        ------
        OutputExistsError, InconsistentInputError
            As `inspect`.
        WriteError
            If the folder cannot be made.
        """
        state = cls(folder)
        try:
            state._lock.take()
            if not _goes_on(folder, identity, resume, overwrite):
                state._new = True
                state._empty()
                state._write(_IDENTITY, sealed_note(identity), durable=True)
            state._outputs = _stamps(state.note("progress"))
        except BaseException:
            state.give_up()
            raise
        return state

    def __enter__(self) -> RunState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._published or self._is_hopeless(error):
                self._discard()
            elif error is not None:
                error.add_note(f"{self.folder} keeps what is done; the same command with --resume goes on from there")
        finally:
            self._lock.release()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # NFS holds the name of an open file; fails if there is something in it

    def _is_hopeless(self, error: BaseException | None) -> bool:
        """Whether there is nothing to go on from, or going on would end as this."""
        with contextlib.suppress(WriteError):
            return isinstance(error, _HOPELESS) or (isinstance(error, _DOUBTFUL) and not _holds_work(self.folder))
        return False

    def give_up(self) -> None:
        """Leave an unfinished run as it was found, or nothing where there was none."""
        if self._new:
            self._discard()
        self._lock.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # unless there is something in it

    # the lock and the folder

    def _empty(self) -> None:
        """Remove all but the lock; last what tells a later run how far this one came."""
        last = (_PROGRESS, _IDENTITY)
        with translated(self.folder):
            names = [name for name in _names(self.folder) if name not in (LOCK, *last) and not _is_silly(name)]
            for name in (*names, *last):
                (self.folder / name).unlink(missing_ok=True)

    def _discard(self) -> None:
        """Remove the folder; a rest that cannot be removed does no harm to the results."""
        with contextlib.suppress(OSError, WriteError):
            self._empty()
            (self.folder / LOCK).unlink()
            self.folder.rmdir()

    # what is kept between passes

    def _write(self, name: str, fill: bytes | Callable[[BinaryIO], object], durable: bool) -> None:
        """Write a file that appears complete; `durable` waits until it is on the disk."""
        path = self.folder / name
        part = self.folder / f"{name}.part"
        started = time.monotonic()
        try:
            with translated(path):
                with io.BufferedWriter(OutputFile(part, path), 1 << 20) as file:
                    if callable(fill):
                        fill(file)
                    else:
                        file.write(fill)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                part.replace(path)
                if durable:
                    sync_folder(self.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        if durable:
            self._kept_at = time.monotonic()
            self._wait_seconds = self._kept_at - started + self._rows_seconds
            self._rows_seconds = 0.0

    def due(self) -> bool:
        """Whether enough was done since the last wait for the disk to be worth another."""
        enough = max(KEEP_AFTER_SECONDS, KEEP_SHARE * self._wait_seconds) if KEEP_AFTER_SECONDS else 0.0
        return time.monotonic() - self._kept_at >= enough

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        """Keep arrays, to be found by `arrays` in a later run."""
        self._write(f"{name}.npz", lambda file: np.savez(file, **arrays), self.due())

    def arrays(self, name: str) -> Arrays | None:
        """Arrays kept by this run or the one that it goes on from; None where they are absent or damaged."""
        try:
            with (self.folder / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except Exception:
            # a damaged archive may raise anything; all of it means that the arrays must be made again
            return None

    def keep_note(self, name: str, value: Any) -> None:
        """Keep a small value of JSON, as `keep_arrays`."""
        self._write(f"{name}.json", sealed_note(value), self.due())

    def note(self, name: str) -> Any:
        """A value kept by `keep_note`; None where it is absent or damaged."""
        return read_note(self.folder / f"{name}.json")

    def forget(self, pattern: str) -> None:
        """Remove kept files of this pattern, which are needed no more."""
        for path in self.folder.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()

    def rows_path(self, name: str) -> Path | None:
        """Where rows are kept that grow with the number of SNPs."""
        return self.folder / f"{name}.rows"

    def flush_rows(self, files: list[BinaryIO]) -> None:
        """Wait until rows are on the disk, before a note says so."""
        started = time.monotonic()
        for file in files:
            with translated(Path(file.name)):
                os.fsync(file.fileno())
        self._rows_seconds = time.monotonic() - started

    # outputs

    @contextlib.contextmanager
    def output(self, name: str) -> Iterator[BinaryIO]:
        """Write an output, which is finished at the end of the block: on the disk, with its size and SHA-256 noted."""
        path = self.folder / f"{_OUTPUT}{name}"
        part = path.with_name(path.name + ".part")
        raw = OutputFile(part, path, hashed=True)
        try:
            with translated(path):
                file = io.BufferedWriter(raw, 1 << 20)
            yield file
            with translated(path):
                file.flush()
                os.fsync(raw.fileno())
                n_bytes = os.fstat(raw.fileno()).st_size
                raw.close()
                part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                raw.close()
                part.unlink()
            raise
        assert raw.digest is not None
        self._outputs[name] = {"bytes": n_bytes, "sha256": raw.digest.hexdigest()}
        self._verified.add(name)
        self.keep_note("progress", self._outputs)

    def finished(self, name: str, target: Path) -> Path | None:
        """The file of a finished output, here or already under its final name; read again and compared with its hash.

        None where it has to be written.
        """
        if name not in self._outputs:
            return None
        here = self.folder / f"{_OUTPUT}{name}"
        with contextlib.suppress(ReadError):  # made again if it cannot be read
            if here.exists() and (name in self._verified or matches(here, self._outputs[name])):
                self._verified.add(name)
                return here
        if target.exists() and matches(target, self._outputs[name]):
            return target
        del self._outputs[name]
        return None

    def stamp(self, name: str) -> dict[str, Any]:
        """``bytes`` and ``sha256`` of a finished output."""
        return self._outputs[name]

    def publish(self, targets: dict[str, Path]) -> None:
        """Give finished outputs their final names, in this order, the last one when all others are safe on the disk.

        What was there before is put aside, and back if it fails.
        """
        self._write(_PROGRESS, sealed_note(self._outputs), durable=True)
        *names, manifest = targets
        moves: list[tuple[Path, Path]] = []

        def move(source: Path, target: Path) -> None:
            moves.append((source, target))  # first: an interrupt may come right after the rename
            with translated(target):
                source.replace(target)

        def show(name: str) -> None:
            source, target = self.folder / f"{_OUTPUT}{name}", targets[name]
            if source.exists():  # else it was shown before an interruption
                if target.exists() or target.is_symlink():
                    move(target, self.folder / f"{_PREVIOUS}{name}")
                move(source, target)
            elif not (target.exists() and matches(target, self._outputs[name])):
                raise WriteError(f"{source}: was removed by another process; go on with --resume")

        folders = sorted({target.parent for target in targets.values()})
        try:
            if (self.folder / f"{_OUTPUT}{manifest}").exists() and targets[manifest].exists():
                move(targets[manifest], self.folder / f"{_PREVIOUS}{manifest}")
            for name in names:
                show(name)
            for folder in folders:
                sync_folder(folder)
            show(manifest)
            for folder in folders:
                sync_folder(folder)
        except BaseException:
            for source, target in reversed(moves):
                with contextlib.suppress(OSError):
                    if not source.exists():
                        target.replace(source)
            raise
        self._published = True


def inspect(folder: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """Check, before any work, that a run may use this folder; whether there is something to go on from.

    Raises
    ------
    OutputExistsError
        If another run holds it, it is no state folder, or it holds an unfinished run and neither `resume` nor
        `overwrite` says what to do with that.
    InconsistentInputError
        If `resume`, and the unfinished run was another one.
    """
    with translated(folder):
        if not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                raise OutputExistsError(f"{folder}: is no folder; move it away, or choose another --out")
            return False
    names = [name for name in _names(folder) if not _is_silly(name)]
    check_free(folder)
    strange = [name for name in names if not _OURS.fullmatch(name) or (folder / name).is_dir()]
    if not strange and names and LOCK not in names:
        strange = names  # ours has one from first to last
    if strange:
        raise OutputExistsError(
            f"{folder}: is needed for the state of the run, but holds {strange[0]}; move it away, "
            "or choose another --out"
        )
    return _goes_on(folder, identity, resume, overwrite)


def _goes_on(folder: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """`inspect` for a folder of ours that no other run holds."""
    if not _holds_work(folder):
        return False
    before = read_note(folder / _IDENTITY)
    if resume:
        if before is None:
            return False  # damaged: everything is made again
        if fields := differences(before, identity):
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


def _names(folder: Path) -> list[str]:
    with translated(folder):
        return sorted(entry.name for entry in folder.iterdir())


def _holds_work(folder: Path) -> bool:
    """Whether there is anything that a resumed run need not do again."""
    names = [name for name in _names(folder) if name not in (LOCK, _IDENTITY)]
    return any(_OURS.fullmatch(name) and not name.endswith((".part", ".rows")) for name in names)


def _is_silly(name: str) -> bool:
    """Whether NFS keeps a removed file under this name because somebody has it open."""
    return name.startswith(".nfs")


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """In words, the fields in which the identity of a run is not that of one that was recorded."""
    missing = object()
    now = json.loads(json.dumps(now))
    names = [name for name in {**before, **now} if before.get(name, missing) != now.get(name, missing)]
    return [f"{name} was {before.get(name, 'absent')}, is {now.get(name, 'absent')}" for name in names]


def _stamps(value: Any) -> dict[str, dict[str, Any]]:
    return value if isinstance(value, dict) else {}
