"""Outputs are written once, whole, and all that is written is in the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lfmm2
from lfmm2.files.seals import read_record
from lfmm2.pipeline import result_writer
from lfmm2.pipeline.result_files import OutputOptions, ResultFiles
from lfmm2.pipeline.result_writer import ResultWriter, Table
from lfmm2.process.progress import Progress
from lfmm2.simulation import Simulation, simulate


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("writer") / "d", n_samples=60, n_snps=500, n_causal=3, seed=4)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ResultWriter]:
    """A writer of a run that has a table "x", a scree and a list of SNPs; none of what it writes needs statistics."""
    files = ResultFiles(OutputOptions(tmp_path / "r", "tsv"), ("x",), np.ones((3, 1)), ["scree", "prune"], [])
    unused: Any = None
    store: Any = SimpleNamespace(n_snps=2)
    plan: Any = SimpleNamespace(n_writers=2)
    with files.begin({"K": 1}) as (_, publication):
        yield ResultWriter(files, publication, store, unused, unused, True, plan, Progress())


def text_of(writer: ResultWriter, name: str) -> str:
    path = writer.publication.find_finished(name)
    assert path is not None
    return path.read_text()


def test_write_ids_gives_one_id_a_line(writer: ResultWriter) -> None:
    writer.write_ids("prune", [pa.array(["rs1", "rs2"]), pa.array(["rs3"])])
    assert text_of(writer, "prune") == "rs1\nrs2\nrs3\n"


def test_write_ids_warns_of_ids_that_name_nothing(writer: ResultWriter) -> None:
    with pytest.warns(
        lfmm2.InputWarning, match=r"^2 SNPs of .*r\.prune\.in are called '\.', which names none; give IDs"
    ):
        writer.write_ids("prune", [pa.array([".", "rs2"]), pa.array(["."])])
    assert text_of(writer, "prune") == ".\nrs2\n.\n"


def test_write_small_gives_tsv(writer: ResultWriter) -> None:
    writer.write_small({"scree": pa.table({"AXIS": [1, 2], "P": [0.5, None]})})
    assert text_of(writer, "scree") == "AXIS\tP\n1\t0.5\n2\tNA\n"


def test_output_that_is_finished_is_not_written_again(writer: ResultWriter) -> None:
    def never() -> Iterator[Any]:
        yield pytest.fail("a part of an output that is finished was asked for")

    schema = pa.schema([("a", pa.int64())])
    writer.write_ids("prune", [pa.array(["rs1"])])
    writer.write_small({"scree": pa.table({"AXIS": [1]})})
    writer._write_each([Table("x", schema, lambda: [pa.table({"a": [1, 2]})])])
    before = {name: text_of(writer, name) for name in ("prune", "scree", "x")}
    writer.write_ids("prune", never())
    writer.write_small({"scree": pa.table({"AXIS": [2]})})
    writer._write_each([Table("x", schema, never)])
    assert {name: text_of(writer, name) for name in before} == before


def test_table_that_fails_ends_its_progress_and_leaves_nothing(writer: ResultWriter) -> None:
    events: list[str] = []

    class Recorder(Progress):
        def start(self, label: str, n_snps: int, n_bytes: int) -> None:
            events.append(f"{label}, {n_snps} SNPs")

        def advance(self, n_snps: int, n_bytes: int) -> None:
            events.append(str(n_snps))

        def finish(self) -> None:
            events.append("end")

    def broken() -> Iterator[pa.Table]:
        yield pa.table({"a": [1]})
        raise lfmm2.ReadError("Input/output error")

    object.__setattr__(writer, "progress", Recorder())
    with pytest.raises(lfmm2.ReadError):
        writer._write_each([Table("x", pa.schema([("a", pa.int64())]), broken)])
    assert events == ["writing x, 2 SNPs", "1", "end"]
    assert not writer.publication.is_finished("x")
    assert {path.name for path in writer.publication.scratch_folder.iterdir()} == {"lock", "run.json"}


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_record_lists_every_other_file_with_its_size_and_sum(data: Simulation, tmp_path: Path) -> None:
    result = lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", loadings=True, est_thin="r2=0.5,window=50")
    others = {path.name: path.read_bytes() for name, path in result.paths.items() if name != "record"}
    assert {"r.loadings.parquet", "r.prune.in", "r.factors.npz", "r.lfmm2.log"} < others.keys()
    assert read_record(tmp_path / "r.lfmm2.json")["files"] == {
        name: {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()} for name, raw in others.items()
    }


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize("format", ["parquet", "tsv.gz"])
def test_number_of_tables_written_at_once_changes_no_byte(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    files = []
    for n_writers in (1, 4):
        monkeypatch.setattr("lfmm2.pipeline.plan.MOST_WRITERS", n_writers)
        lfmm2.run(
            None, data.bed, data.env, 2, out=tmp_path / "r", loadings=True, format=format, overwrite=True, n_threads=4
        )
        files.append({path.name: path.read_bytes() for path in tmp_path.glob(f"r.*.{format}")})
    assert len(files[0]) == 4
    assert files[0] == files[1]


def test_second_table_that_fails_leaves_the_first(writer: ResultWriter) -> None:
    schema = pa.schema([("a", pa.int64())])
    writer.files.paths["y"] = writer.files.paths["x"].with_name("r.y.tsv")

    def broken() -> Iterator[pa.Table]:
        yield pa.table({"a": [1]})
        raise lfmm2.WriteError("No space left on device")

    publication = writer.files._publication(writer.publication._folder)
    object.__setattr__(writer, "publication", publication)
    with pytest.raises(lfmm2.WriteError):
        writer._write_each([Table("x", schema, lambda: [pa.table({"a": [1, 2]})]), Table("y", schema, broken)])
    assert text_of(writer, "x") == "a\n1\n2\n"
    assert not publication.is_finished("y")


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_rows_of_a_write_change_no_byte_of_text(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for rows in (result_writer.TEXT_ROWS, 7):
        monkeypatch.setattr(result_writer, "TEXT_ROWS", rows)
        lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", loadings=True, format="tsv", overwrite=True)
        tables.append({path.name: path.read_bytes() for path in tmp_path.glob("r.*.tsv")})
    assert tables[0] == tables[1]
    names = ("env1", "env2", "joint", "scree", "samples", "factors", "loadings")
    assert tables[0].keys() == {f"r.{name}.tsv" for name in names}


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_tables_have_the_numbers_of_the_same_run_in_memory(data: Simulation, tmp_path: Path) -> None:
    stored = lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", loadings=True)
    in_memory = lfmm2.run(None, data.bed, data.env, 2, loadings=True)
    for name in ("beta", "t", "p", "p_calibrated", "q", "q_storey", "f_p", "f_q", "status", "loadings"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(in_memory, name), err_msg=name)
