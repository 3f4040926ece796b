"""What a run keeps on its way, so that it can go on after any interruption: products of passes, notes, rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lfmm2.pipeline.state_folder import StateFolder

Arrays = dict[str, NDArray[Any]]


class Checkpoints:
    """The checkpoints of a run in memory, which keeps nothing; `CheckpointFiles` are those of a run with files."""

    def is_due(self) -> bool:
        """Return True if enough was done since the last wait for the disk to be worth another."""
        return False

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        """Keep arrays, to be found by `load_arrays` in a resumed run."""

    def load_arrays(self, name: str) -> Arrays | None:
        """Return arrays kept by this run or the one that it goes on from; None where they are absent or damaged."""
        return None

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = ()) -> None:
        """Keep a small value of JSON; `rows` are files that it vouches for, which are flushed to the disk before."""

    def load_note(self, name: str) -> Any:
        """Return a value kept by `keep_note`; None where it is absent or damaged."""
        return None

    def rows_path(self, name: str) -> Path | None:
        """Return the file for rows whose number grows with the SNPs; None for rows in memory."""
        return None

    def remove(self, pattern: str) -> None:
        """Remove kept files of this pattern, which are needed no more."""


class CheckpointFiles(Checkpoints):
    """Checkpoints in the state folder of a run."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder

    def is_due(self) -> bool:
        return self._folder.is_due()

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        with self._folder.open_file(f"{name}.npz") as file:
            np.savez(file, **arrays)

    def load_arrays(self, name: str) -> Arrays | None:
        try:
            path = self._folder.path / f"{name}.npz"
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except Exception:
            # A damaged archive may raise anything; in any case the arrays must be made again.
            return None

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = ()) -> None:
        self._folder.keep_note(name, value, rows)

    def load_note(self, name: str) -> Any:
        return self._folder.load_note(name)

    def rows_path(self, name: str) -> Path | None:
        return self._folder.path / f"{name}.rows"

    def remove(self, pattern: str) -> None:
        for path in self._folder.path.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
