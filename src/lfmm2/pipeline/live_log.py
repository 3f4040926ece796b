"""What can be read of a run while it goes on: lines with the time, in the state folder, until its log is written."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

from lfmm2._words import counted, duration, visible
from lfmm2.pipeline.state_folder import LIVE_LOG
from lfmm2.process import PlainProgress, Progress


class LiveLog:
    """A file to which each line is added at once; a line that cannot be written is left out, and the run goes on.

    As a context manager it is open until the end of the block, and says there how the run has ended.

    Parameters
    ----------
    folder : Path
        The state folder, whose lock the run holds. A run that is resumed adds to the lines of the earlier one.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LIVE_LOG
        self._file: TextIO | None = None

    def __enter__(self) -> LiveLog:
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self._path, flags, 0o666)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.write(
                f"ended by {type(error).__name__}: {error}" if str(error) else f"ended by {type(error).__name__}"
            )
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, text: str) -> None:
        """Add lines, the first with the time in UTC."""
        if self._file is None:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with contextlib.suppress(OSError):
            self._file.write(f"{now} {visible(text, in_lines=True)}\n")


class _LinesOfLog(PlainProgress):
    """The line of every half minute, written to the log."""

    def __init__(self, log: LiveLog) -> None:
        super().__init__(sys.stderr)
        self._log = log

    def write(self, line: str) -> None:
        """Add a line to the log."""
        self._log.write(line)


class LoggedProgress(Progress):
    """Progress that is shown by another receiver, and written to the log of a run that goes on.

    Parameters
    ----------
    shown : Progress
    log : LiveLog
    """

    def __init__(self, shown: Progress, log: LiveLog) -> None:
        self.noun = shown.noun
        self._shown = shown
        self._log = log
        self._lines = _LinesOfLog(log)
        self._lines.noun = shown.noun
        self._label = ""
        self._n_done = 0
        self._started = 0.0

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        """Show and write that a pass begins."""
        self._label, self._n_done, self._started = label, 0, time.monotonic()
        self._log.write(f"{label}: begins, {counted(n_snps, self.noun)}")
        self._lines.start(label, n_snps, n_bytes)
        self._shown.start(label, n_snps, n_bytes)

    def advance(self, n_snps: int, n_bytes: int) -> None:
        """Show progress, and write it when it is time."""
        self._n_done += n_snps
        self._lines.advance(n_snps, n_bytes)
        self._shown.advance(n_snps, n_bytes)

    def finish(self) -> None:
        """Show and write that the pass ends."""
        seconds = duration(time.monotonic() - self._started)
        self._log.write(f"{self._label}: ends, {counted(self._n_done, self.noun)} in {seconds}")
        self._shown.finish()
