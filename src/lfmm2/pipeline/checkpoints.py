"""Intermediate results that a run keeps, so that it can be resumed after an interruption: arrays, notes and rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from lfmm2.pipeline.state_folder import StateFolder
from lfmm2.results import from_json

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")


def read_kept(read: Callable[[], T]) -> T | None:
    """Return what `read` makes of kept values; None if a run keeps no such values, so that they must be made again.

    A file may be readable and sealed, and yet be of another version, or written by somebody else.
    """
    try:
        return read()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None


def read_text(kind: Any, text: Any) -> Any:
    """Return a dataclass of the record that was kept as the text of its JSON, see `lfmm2.results.from_json`."""
    return from_json(kind, json.loads(str(text)))


class Checkpoints:
    """The checkpoints of a run without result files: nothing is kept. `CheckpointFiles` keeps everything in files."""

    def is_due(self) -> bool:
        """Return True if so much was computed since the last flush to the disk that another flush is worth its time."""
        return False

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        """Keep arrays, so that `load_arrays` finds them in a resumed run."""

    def load_arrays(self, name: str) -> Arrays | None:
        """Return arrays kept by this run or the run that it resumes; None if they are absent or damaged."""
        return None

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = ()) -> None:
        """Keep a small value as JSON; the files `rows`, whose contents it describes, are flushed to the disk first."""

    def load_note(self, name: str) -> Any:
        """Return a value kept by `keep_note`; None if it is absent or damaged."""
        return None

    def rows_path(self, name: str) -> Path | None:
        """Return the file for rows, one per SNP; None if rows stay in memory."""
        return None

    @property
    def folder(self) -> Path | None:
        """Folder in which other processes may read and write too; None without files."""
        return None

    def remove(self, pattern: str) -> None:
        """Remove kept files whose names match a pattern, because they are not needed any more."""


class CheckpointFiles(Checkpoints):
    """Checkpoints in the state folder of a run.

    Before anything is kept, the genotypes are compared with what they were when the run began: what was computed from
    a file that changed meanwhile is not kept, and ends in a ChangedInputError.
    """

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder

    def is_due(self) -> bool:
        return self._folder.is_due()

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        self._folder.check_inputs()
        with self._folder.open_file(f"{name}.npz") as file:
            np.savez(file, **arrays)

    def load_arrays(self, name: str) -> Arrays | None:
        try:
            path = self._folder.path / f"{name}.npz"
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except Exception:
            # A damaged archive may raise any exception. The arrays must then be computed again.
            return None

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = ()) -> None:
        self._folder.check_inputs()
        self._folder.keep_note(name, value, rows)

    def load_note(self, name: str) -> Any:
        return self._folder.load_note(name)

    def rows_path(self, name: str) -> Path | None:
        return self._folder.path / f"{name}.rows"

    @property
    def folder(self) -> Path | None:
        return self._folder.path

    def remove(self, pattern: str) -> None:
        for path in self._folder.path.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
