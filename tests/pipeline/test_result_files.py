"""All files or none, under names that no other run holds."""

import os
import re
import socket

import numpy as np
import pytest

import lfmm2
from lfmm2.pipeline import execute_run, prepare_run
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.run_options import OutputOptions, RunOptions
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("files") / "d", n_samples=60, n_snps=500, n_causal=3, seed=4)


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    lfmm2.run(None, data.bed, data.env, 2, out=folder / "r")
    return contents(folder)


def contents(folder):
    """The files that are the same in every run: all but log and record, which hold times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".log", ".json")}


def prepared(data, out, **output):
    return prepare_run(None, data.bed, data.env, 2, RunOptions(output=OutputOptions(out, **output)))


def test_prefix_may_be_text_with_dots(data, tmp_path):
    result = lfmm2.run(None, data.bed, data.env, 2, out=f"{tmp_path}/a.b", format="tsv.gz")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.b.env1.tsv.gz", "a.b.env2.tsv.gz", "a.b.joint.tsv.gz", "a.b.factors.npz", "a.b.scree.tsv", "a.b.lfmm2.log",
        "a.b.lfmm2.json", "a.b.samples.tsv", "a.b.factors.tsv",
    }  # fmt: skip
    assert set(result.paths) == {
        "env1", "env2", "joint", "factors", "factors-table", "samples", "scree", "log", "record",
    }  # fmt: skip


@pytest.mark.parametrize("out", ["", "x/", ".", "..", "x/.."])
def test_out_without_a_file_name_is_refused(out):
    with pytest.raises(lfmm2.UsageError, match="beginning of a file name"):
        OutputOptions(out)


def test_second_run_of_the_same_name_is_refused_at_once(data, tmp_path):
    with prepared(data, tmp_path / "r") as first, first.files.begin(first.identity):
        for how in ({"overwrite": True}, {"resume": True}, {}):
            match = rf"r: another run is writing it \(process {os.getpid()} on {re.escape(socket.gethostname())}, since"
            with pytest.raises(lfmm2.OutputExistsError, match=match):
                lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", **how)
        assert [path.name for path in tmp_path.iterdir()] == ["r.state"]


def test_run_that_ended_meanwhile_is_not_overwritten(data, tmp_path):
    with prepared(data, tmp_path / "r") as late:
        lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r")
        before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        with pytest.raises(lfmm2.OutputExistsError, match="output exists"):
            execute_run(late)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("stage", ["estimate_factors", "variant_tables", "make_record"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, lfmm2.ReadError])
def test_failure_at_any_stage_can_be_resumed(data, straight, tmp_path, monkeypatch, stage, error):
    def fail(*_):
        raise error("stop")

    with prepared(data, tmp_path / "r") as run, monkeypatch.context() as patched:
        patched.setattr(f"lfmm2.pipeline.run.{stage}", fail)
        with pytest.raises(error) as raised:
            execute_run(run)
    assert "r.state keeps what is done" in raised.value.__notes__[0]
    assert [path.name for path in tmp_path.iterdir()] == ["r.state"]
    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", resume=True)
    assert contents(tmp_path) == straight


@pytest.mark.parametrize(
    ("stage", "error", "left"),
    [
        ("estimate_factors", lfmm2.DegenerateProblemError, []),
        ("variant_tables", lfmm2.DegenerateProblemError, []),
        ("estimate_factors", lfmm2.MalformedInputError, []),
        # one bad transfer from a disk must not cost what was done before
        ("variant_tables", lfmm2.MalformedInputError, ["r.state"]),
    ],
)
def test_failure_that_going_on_cannot_mend_leaves_nothing(data, tmp_path, monkeypatch, stage, error, left):
    def fail(*_):
        raise error("stop")

    with prepared(data, tmp_path / "r") as run:
        monkeypatch.setattr(f"lfmm2.pipeline.run.{stage}", fail)
        with pytest.raises(error):
            execute_run(run)
    assert [path.name for path in tmp_path.iterdir()] == left


def test_failed_overwrite_keeps_the_old_files(data, tmp_path, monkeypatch):
    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("lfmm2.pipeline.result_writer.seal_json", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lfmm2.run(None, data.bed, data.env, 3, out=tmp_path / "r", overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_all_files_are_in_the_state_folder_until_the_end(data, tmp_path, monkeypatch):
    seen = []
    with prepared(data, tmp_path / "r") as run:
        publish = run.files.publish
        monkeypatch.setattr(
            run.files, "publish", lambda outputs: seen.append([p.name for p in tmp_path.iterdir()]) or publish(outputs)
        )
        execute_run(run)
    assert seen == [["r.state"]]
    assert not (tmp_path / "r.state").exists()


def test_bim_that_changed_during_the_run_is_an_error(tmp_path):
    data = simulate(tmp_path / "d", n_samples=60, n_snps=500, n_causal=3)
    before = set(tmp_path.iterdir())
    with prepared(data, tmp_path / "r") as run:
        run.inputs.tested_source._held = None
        with data.bim.open("a") as bim:
            bim.write("99 extra 0 5 A C\n")
        with pytest.raises(lfmm2.ReadError, match="start again"):
            execute_run(run)
    assert set(tmp_path.iterdir()) - {tmp_path / "r.state"} == before
    with pytest.raises(lfmm2.InconsistentInputError, match="501 SNPs"):
        lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", resume=True)


@pytest.mark.parametrize("name", ["log", "record", "joint", "loadings", "scree", "sweep", "prune"])
def test_variable_that_would_take_the_place_of_another_file_is_refused(tmp_path, name):
    with pytest.raises(lfmm2.UsageError, match="rename the variable"):
        ResultFiles(OutputOptions(tmp_path / "r"), ("x", name), np.zeros((3, 2)), [], [])


def test_record_is_the_last_file_to_appear(data, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "lfmm2.pipeline.publication.Publication.publish", lambda outputs: shown.extend(outputs.targets.values())
    )
    monkeypatch.setattr("lfmm2.pipeline.run.read_results", lambda _: None)
    with prepared(data, tmp_path / "r") as run:
        execute_run(run)
    assert len(shown) == 9
    assert shown[-1] == tmp_path / "r.lfmm2.json"


def test_writing_reports_progress(data, tmp_path):
    calls = []

    class Recorder(lfmm2.process.progress.Progress):
        def start(self, label, n_snps, n_bytes):
            calls.append([label, n_snps, 0])

        def advance(self, n_snps, n_bytes):
            calls[-1][2] += n_snps

    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", progress=Recorder(), loadings=True)
    names = [label for label, *_ in calls]
    assert names[-4:] == ["writing env1", "writing env2", "writing joint", "writing loadings"]
    assert all(done == total for _, total, done in calls)


def test_numpy_numbers_as_parameters_are_recorded(data, tmp_path):
    result = lfmm2.run(
        None, data.bed, data.env, np.int64(2), out=tmp_path / "r", seed=np.int64(3), missing_code=float("nan"),
        n_power_iter=np.int32(1),
    )  # fmt: skip
    assert result.factors.n_factors == 2
    assert (tmp_path / "r.lfmm2.json").stat().st_size > 0
