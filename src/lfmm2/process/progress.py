"""Progress on a terminal: a bar where there is one, else one plain line every half minute."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, TextIO

from lfmm2._words import duration, json_event, with_spaces

# Seconds between two lines of plain progress: few enough lines for the log of a run of days.
PLAIN_INTERVAL = 30.0
# Seconds between two events of progress: often enough for a display, and no more than a few thousand lines a day.
JSON_INTERVAL = 10.0


class Progress:
    """Receiver of the progress of a run. This one is silent; a child may show progress where it likes.

    Attributes
    ----------
    noun : str
        What a column of the genotypes is called: "SNP", or "feature" where these are no dosages. A run sets it.
    """

    noun: str = "SNP"

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        """Begin a pass over `n_snps` SNPs, which reads `n_bytes` bytes of genotypes, or 0."""

    def advance(self, n_snps: int, n_bytes: int) -> None:
        """Take note of the SNPs and bytes done since the last call."""

    def finish(self) -> None:
        """End the pass, complete or not."""


class BarProgress(Progress):
    """A tqdm bar per pass."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        """Show an empty bar."""
        from tqdm import tqdm  # Needed on a terminal alone.

        self._started, self._bytes = time.monotonic(), 0
        self._bar = tqdm(
            total=n_snps,
            desc=label,
            unit=f" {self.noun}s",
            unit_scale=True,
            file=self._stream,
            leave=False,
            dynamic_ncols=True,
        )

    def advance(self, n_snps: int, n_bytes: int) -> None:
        """Move the bar, and show the rate of reading."""
        if self._bar is not None:
            self._bytes += n_bytes
            seconds = max(time.monotonic() - self._started, 1e-9)
            if self._bytes:
                self._bar.set_postfix_str(_format_rate(self._bytes / seconds), refresh=False)
            self._bar.update(n_snps)

    def finish(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class PlainProgress(Progress):
    """A line every 30 s: pass, percent, SNPs/s, MB/s, time left. Short passes print nothing."""

    def __init__(self, stream: TextIO, interval: float = PLAIN_INTERVAL) -> None:
        self._stream = stream
        self._interval = interval

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        """Begin to count SNPs, bytes and seconds."""
        self._label, self._total, self._done, self._bytes = label, n_snps, 0, 0
        self._started = self._printed = time.monotonic()

    def advance(self, n_snps: int, n_bytes: int) -> None:
        """Count SNPs and bytes, and print a line when it is time."""
        self._done += n_snps
        self._bytes += n_bytes
        now = time.monotonic()
        if now - self._printed < self._interval or not 0 < self._done <= self._total:
            return
        self._printed = now
        seconds = max(now - self._started, 1e-9)
        left = seconds * (self._total - self._done) / self._done
        rate = with_spaces(round(self._done / seconds))
        parts = [f"{100 * self._done / self._total:.0f} %", f"{rate} {self.noun}s/s"]
        parts += [_format_rate(self._bytes / seconds)] if self._bytes else []
        self.write(f"{self._label}: {', '.join([*parts, f'{duration(left)} left'])}")

    def write(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)


def _format_rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e6:.0f} MB/s"


class JsonProgress(Progress):
    """An object of JSON on a line for the beginning and the end of each pass, and every few seconds between them."""

    def __init__(self, stream: TextIO, interval: float = JSON_INTERVAL) -> None:
        self._stream = stream
        self._interval = interval

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        """Write that a pass begins."""
        self._label, self._total, self._done = label, n_snps, 0
        self._started = self._printed = time.monotonic()
        self._write("pass begins", n_bytes=n_bytes)

    def advance(self, n_snps: int, n_bytes: int) -> None:
        """Count SNPs, and write how many are done when it is time."""
        self._done += n_snps
        now = time.monotonic()
        if now - self._printed >= self._interval:
            self._printed = now
            self._write("progress", seconds=round(now - self._started, 3))

    def finish(self) -> None:
        """Write that the pass ends."""
        self._write("pass ends", seconds=round(time.monotonic() - self._started, 3))

    def _write(self, event: str, **facts: Any) -> None:
        line = json_event(event, label=self._label, n_snps=self._total, n_done=self._done, **facts)
        print(line, file=self._stream, flush=True)


class _TolerantStream:
    """A text stream whose failed writes are ignored: a full disk of a job's log must not end the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def terminal_progress(stream: TextIO | None = None) -> Progress:
    """Return progress for a stream, stderr by default: a bar on a terminal, else lines; silent if it is closed."""
    stream = sys.stderr if stream is None else stream
    if stream is None:  # Standard error was closed before Python began.
        return Progress()
    tolerant: Any = _TolerantStream(stream)
    return BarProgress(tolerant) if tolerant.isatty() else PlainProgress(tolerant)


def json_progress(stream: TextIO | None = None) -> Progress:
    """Return progress as events of JSON on a stream, stderr by default; silent if it is closed."""
    stream = sys.stderr if stream is None else stream
    if stream is None:  # Standard error was closed before Python began.
        return Progress()
    tolerant: Any = _TolerantStream(stream)
    return JsonProgress(tolerant)
