"""The log that can be read while a run goes on: in the state folder, and gone with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lfmm2
from lfmm2.pipeline.live_log import LiveLog, LoggedProgress
from lfmm2.pipeline.state_folder import LIVE_LOG
from lfmm2.process import Progress
from lfmm2.simulation import simulate


def test_log_of_an_interrupted_run_says_how_far_it_came_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = simulate("d", n_samples=40, n_snps=300, n_variables=1, n_causal=2, seed=2)
    log = Path("r.state") / LIVE_LOG

    class Stop(Progress):
        def start(self, label: str, n_snps: int, n_bytes: int) -> None:
            if label == "tests":
                assert "factors: Gram matrix: ends, 300 SNPs in " in log.read_text()
                raise KeyboardInterrupt

    given = {"out": "r", "surrogates": 0}
    with pytest.raises(KeyboardInterrupt):
        lfmm2.run(None, data.bed, data.env, 2, progress=Stop(), **given)
    first = log.read_text()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 lfmm2\.run\n", first)
    assert first.endswith("ended by KeyboardInterrupt\n")
    assert not Path("r.lfmm2.log").exists()
    lfmm2.run(None, data.bed, data.env, 2, resume=True, **given)
    assert not log.exists()
    assert Path("r.lfmm2.log").exists()


def test_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / LIVE_LOG).symlink_to(target)
    with LiveLog(tmp_path) as log:
        progress = LoggedProgress(Progress(), log)
        progress.start("tests", 10, 10)
        progress.advance(10, 10)
        progress.finish()
    assert not target.exists()


def test_lines_of_a_log_have_no_character_that_a_terminal_obeys(tmp_path: Path) -> None:
    with LiveLog(tmp_path) as log:
        log.write("\x1b[2J of a name")
    assert r"\x1b[2J of a name" in (tmp_path / LIVE_LOG).read_text()
