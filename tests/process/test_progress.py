"""Progress: bars on a terminal, a line now and then elsewhere, nothing unless asked."""

import io

import numpy as np
import pytest

import lfmm2
from lfmm2.process.progress import PLAIN_INTERVAL, BarProgress, PlainProgress, terminal_progress
from lfmm2.simulation import simulate


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told."""
    now = [100.0]
    monkeypatch.setattr("lfmm2.process.progress.time.monotonic", lambda: now[0])
    return now


def test_plain_lines_come_every_half_minute_and_say_all(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("tests", 10_000_000, 10**9)
    for _ in range(10):
        clock[0] += 10
        progress.advance(500_000, 50_000_000)
    progress.finish()
    assert PLAIN_INTERVAL == 30
    assert stream.getvalue().splitlines() == [
        "tests: 15 %, 50 000 SNPs/s, 5 MB/s, 2 min 50 s left",
        "tests: 30 %, 50 000 SNPs/s, 5 MB/s, 2 min 20 s left",
        "tests: 45 %, 50 000 SNPs/s, 5 MB/s, 1 min 50 s left",
    ]


def test_plain_line_of_hours_and_without_bytes(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("writing env1", 1000, 0)
    clock[0] += 60
    progress.advance(10, 0)
    assert stream.getvalue() == "writing env1: 1 %, 0 SNPs/s, 1 h 39 min left\n"


def test_short_passes_print_nothing(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("tests", 100, 100)
    progress.advance(100, 100)
    progress.finish()
    assert stream.getvalue() == ""


def test_terminal_gets_a_bar_and_files_get_lines():
    assert isinstance(terminal_progress(Terminal()), BarProgress)
    assert isinstance(terminal_progress(io.StringIO()), PlainProgress)


def test_bar_shows_the_pass_and_goes_away():
    stream = Terminal()
    progress = BarProgress(stream)
    progress.start("factors: pass 1", 1000, 10**6)
    progress.advance(1000, 10**6)
    progress.finish()
    progress.finish()
    assert "factors: pass 1" in stream.getvalue()
    assert stream.getvalue().endswith("\r")


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_run_with_progress_writes_to_stderr_only(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("lfmm2.process.progress.PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(PlainProgress.__init__, "__defaults__", (0.0,))
    data = simulate(tmp_path / "d", n_samples=50, n_snps=300, n_causal=2)
    lfmm2.run(None, data.bed, data.env, 2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "tests: 100 %" in err


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


class FullTerminal(Full, Terminal):
    pass


@pytest.mark.parametrize("kind", [Full, FullTerminal])
def test_progress_that_cannot_be_printed_does_not_stop_the_run(kind, clock):
    progress = terminal_progress(kind())
    progress.start("pass", 10, 100)
    for _ in range(3):
        clock[0] += PLAIN_INTERVAL + 1
        progress.advance(3, 30)
    progress.finish()


def test_a_run_tells_progress_and_log_what_the_columns_are_called(clock, tmp_path):
    class Seen(PlainProgress):
        def start(self, label, n_snps, n_bytes):
            nouns.add(self.noun)
            super().start(label, n_snps, n_bytes)

    nouns = set()
    stream = io.StringIO()
    progress = Seen(stream)
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((30, 400))
    lfmm2.run(None, numbers, rng.standard_normal(30), 1, ploidy=None, progress=progress)
    assert nouns == {"feature"}
    progress.start("tests", 1000, 0)
    clock[0] += 40
    progress.advance(500, 0)
    assert "features/s" in stream.getvalue()
    lfmm2.run(None, np.round(np.abs(numbers)).clip(0, 2), rng.standard_normal(30), 1, progress=progress)
    assert nouns == {"feature", "SNP"}
