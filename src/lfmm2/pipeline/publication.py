"""Outputs of a run: each is finished in the state folder, then all are moved together to their final names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from lfmm2.errors import OutputExistsError, ReadError, WriteError
from lfmm2.files import OwnFiles, Stamp, WholeFile, matches, sync_folder, translated
from lfmm2.pipeline.checkpoints import read_kept
from lfmm2.pipeline.state_folder import OUTPUT, PREVIOUS, PROGRESS_NOTE, StateFolder
from lfmm2.results import WrittenFile, from_json


def finished_outputs(folder: StateFolder) -> dict[str, Stamp]:
    """Return size and SHA-256 of the outputs that a run has finished, by what follows the prefix in their names."""
    noted = folder.load_note(PROGRESS_NOTE)
    stamps = read_kept(lambda: from_json(dict[str, WrittenFile], noted)) or {}
    return {key: asdict(stamp) for key, stamp in stamps.items()}


class Publication:
    """The outputs of one run.

    Parameters
    ----------
    folder : StateFolder
        Folder in which outputs wait until all are finished.
    prefix : str
        Beginning of all final names, which the names in the folder lack.
    targets : dict of str to Path
        Final path of each output, the manifest last.
    former : OwnFiles
        Files of an earlier run, which outputs may replace.
    """

    def __init__(
        self, folder: StateFolder, prefix: str, targets: dict[str, Path], former: OwnFiles | None = None
    ) -> None:
        self.targets = targets
        self._former = former or OwnFiles({})
        self._folder = folder
        self._keys = {name: path.name.removeprefix(Path(prefix).name + ".") for name, path in targets.items()}
        self._stamps = finished_outputs(folder)
        self._verified: set[str] = set()
        # Several threads may finish outputs at the same time.
        self._noting = Lock()

    @property
    def scratch_folder(self) -> Path:
        """The folder for temporary files that are needed to write an output."""
        return self._folder.path

    @property
    def noted(self) -> set[str]:
        """Names of outputs that were finished by this run or the run that it resumes."""
        return {name for name, key in self._keys.items() if key in self._stamps}

    @contextlib.contextmanager
    def open_output(self, name: str) -> Iterator[BinaryIO]:
        """Write an output; at the end of the block it is on the disk, and its size and SHA-256 are noted."""
        output = WholeFile(self._waiting_path(name), hashed=True)
        with output as file:
            yield file
        with self._noting:
            self._stamps[self._keys[name]] = output.stamp
            self._verified.add(name)
            self._folder.keep_note(PROGRESS_NOTE, self._stamps)

    def find_finished(self, name: str) -> Path | None:
        """Return the file of a finished output, in the folder or already under its final name.

        The file is read and compared with its SHA-256. None means that the output has to be written.
        """
        key = self._keys[name]
        if key not in self._stamps:
            return None
        waiting, target = self._waiting_path(name), self.targets[name]
        with contextlib.suppress(ReadError):  # An output that cannot be read is written again.
            if waiting.exists() and (name in self._verified or matches(waiting, self._stamps[key])):
                self._verified.add(name)
                return waiting
        if target.exists() and matches(target, self._stamps[key]):
            return target
        del self._stamps[key]
        return None

    def is_finished(self, name: str) -> bool:
        """Return True if an output need not be written."""
        return self.find_finished(name) is not None

    def is_complete(self) -> bool:
        """Return True if all outputs are finished, and only `publish` is left to do."""
        return all(self.is_finished(name) for name in self.targets)

    def stamp(self, name: str) -> dict[str, Any]:
        """Return ``bytes`` and ``sha256`` of a finished output."""
        return self._stamps[self._keys[name]]

    def publish(self) -> None:
        """Give the outputs their final names, the manifest last, when the names of the others are on the disk.

        Files that are replaced are moved into the state folder, and moved back if publication fails.
        """
        self._folder.keep_note(PROGRESS_NOTE, self._stamps, durable=True)
        *names, manifest = self.targets
        folders = sorted({target.parent for target in self.targets.values()})
        moves: list[tuple[Path, Path]] = []
        try:
            if self._waiting_path(manifest).exists() and os.path.lexists(self.targets[manifest]):
                self._put_aside(manifest, moves)
            for name in names:
                self._move_to_final_name(name, moves)
            for folder in folders:
                sync_folder(folder)
            self._move_to_final_name(manifest, moves)
            for folder in folders:
                sync_folder(folder)
        except BaseException:
            for source, target in reversed(moves):
                with contextlib.suppress(OSError):
                    if not source.exists():
                        target.replace(source)
            raise
        self._folder.mark_complete()

    def _move_to_final_name(self, name: str, moves: list[tuple[Path, Path]]) -> None:
        """Give an output its final name, unless it got that before an interruption."""
        waiting, target = self._waiting_path(name), self.targets[name]
        if waiting.exists():
            if os.path.lexists(target):
                self._put_aside(name, moves)
            _move(waiting, target, moves)
        elif not (target.exists() and matches(target, self.stamp(name))):
            raise WriteError(f"{waiting}: was removed by another process; go on with --resume")

    def _put_aside(self, name: str, moves: list[tuple[Path, Path]]) -> None:
        """Move the file that an output replaces into the state folder; refuse one that is not of an earlier run."""
        if not self._former.holds(self.targets[name]):
            fact = f"{self.targets[name]}: was put there, or changed, while the run went on"
            raise OutputExistsError(f"{fact}; move it away, and go on with --resume")
        _move(self.targets[name], self._folder.path / f"{PREVIOUS}{self._keys[name]}", moves)

    def _waiting_path(self, name: str) -> Path:
        """Return the path of an output in the state folder."""
        return self._folder.path / f"{OUTPUT}{self._keys[name]}"


def _move(source: Path, target: Path, moves: list[tuple[Path, Path]]) -> None:
    """Rename a file; first add the move to `moves`, because an interrupt may come right after the rename."""
    moves.append((source, target))
    with translated(target):
        source.replace(target)
