"""I/O faults at a fixed selection of system calls, and that the verdict on what they leave can fail."""

import json
import shutil

import pytest

from torture import faults, runs


def test_faults_leave_complete_results_or_none():
    try:
        counts = faults.run(full=False)
    except runs.Unavailable as error:
        pytest.skip(str(error))
    assert counts["points"] >= 0.8 * faults.N_QUICK
    assert counts["violations"] == 0
    json.dumps(counts)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Complete results, in their folder."""
    root = tmp_path_factory.mktemp("results")
    data = runs.make_data(root, 30, 300)
    (root / "out").mkdir()
    outcome = runs.fresh(runs.run_command(data, root / "out" / "r"))
    assert outcome.code == 0, outcome.errors
    return root / "out"


@pytest.fixture
def out(results, tmp_path, monkeypatch):
    """The prefix of a copy of them; `lfmm2 verify` runs in a new interpreter, as that of pytest has threads."""
    monkeypatch.setattr(runs, "run", lambda command, notes: runs.fresh(command))
    return shutil.copytree(results, tmp_path / "copy") / "r"


def test_verdict_on_complete_results(out, tmp_path):
    straight = runs.Straight.of(out)
    assert runs.complete_faults(out, straight, tmp_path) == []
    assert runs.partial_faults(out, straight, {}, tmp_path) == []


@pytest.mark.parametrize("ending", ["env1.parquet", "joint.parquet", "factors.npz", "lfmm2.log", "lfmm2.json"])
def test_verdict_on_a_cut_file(ending, out, tmp_path):
    straight = runs.Straight.of(out)
    path = out.with_name(f"r.{ending}")
    path.write_bytes(path.read_bytes()[:-20])
    assert runs.complete_faults(out, straight, tmp_path)
    assert runs.partial_faults(out, straight, {}, tmp_path)


def test_verdict_on_old_and_absent_files(out, tmp_path):
    straight = runs.Straight.of(out)
    path = out.with_name("r.env1.parquet")
    path.write_bytes(b"another run's")
    out.with_name("r.lfmm2.json").unlink()
    assert runs.partial_faults(out, straight, {}, tmp_path) == ["env1.parquet is corrupt"]
    assert runs.partial_faults(out, straight, {"env1.parquet": runs.sha256(path)}, tmp_path) == []
    path.unlink()
    assert runs.partial_faults(out, straight, {}, tmp_path) == []
    assert "env1.parquet is absent" in runs.complete_faults(out, straight, tmp_path)


@pytest.mark.parametrize(
    ("code", "errors", "right"),
    [
        (0, "", True),
        (7, "Error: r: cannot be written", True),
        (7, "", False),
        (1, "Error: internal error", False),
        (2, "Error: usage", False),
        (7, "Traceback\nError: r: cannot be written", False),
        (None, "", False),
        (-9, "", False),
    ],
)
def test_verdict_on_an_end(code, errors, right):
    assert (runs.outcome_faults(runs.Outcome(code, 1.0, errors)) == []) is right
