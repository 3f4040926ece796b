"""Whole runs on workers: every result file has the bytes of a run in one process, whatever happens on the way."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_runs import CASES, contents
from toy_executors import ToyExecutor

import lfmm2
from lfmm2.distributed import crew, distributed_matrix
from lfmm2.distributed.executors import OwnProcesses
from lfmm2.genotypes import segments
from lfmm2.pipeline import execute_run, state_folder
from lfmm2.process.progress import Progress
from lfmm2.simulation import Simulation, simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

N_SNPS = 9_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    folder = tmp_path_factory.mktemp("distributed")
    simulate(folder / "estimation", n_samples=70, n_snps=5000, n_causal=5, seed=8)
    return simulate(folder / "d", n_samples=70, n_snps=N_SNPS, n_causal=5, seed=3, missing_rate=0.03)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 2 048 SNPs, for runs whose workers are threads of this process."""
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 2048)


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_matrix, "LEAST_GENOTYPES", 1)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(crew, "LEAST_SECONDS", 0.5)
    monkeypatch.setattr(crew, "SILENT_SECONDS", 0.5)


def run(data: Simulation, folder: Path, case: dict[str, Any], **more: Any) -> lfmm2.AssociationResult:
    folder.mkdir(exist_ok=True)
    options = {"n_threads": 1, "K": None, "memory": "300MB", **case, **more}
    source = data.bed.with_name("estimation.bed") if options.pop("est_bed", False) else None
    return lfmm2.run(source, data.bed, data.env, out=folder / "r", **options)


@pytest.fixture(scope="module")
def alone(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """The files of a case in one process, made once for each length of segments."""
    made: dict[tuple[str, int], dict[str, bytes]] = {}

    def files(name: str) -> dict[str, bytes]:
        key = name, segments.SEGMENT_SNPS
        if key not in made:
            folder = tmp_path_factory.mktemp("one")
            run(data, folder, CASES[name])
            made[key] = contents(folder)
        return made[key]

    return files


Alone = Callable[[str], dict[str, bytes]]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", CASES)
def test_files_are_those_of_one_process(data: Simulation, alone: Alone, tmp_path: Path, name: str) -> None:
    toy = ToyExecutor(lost=0.1)
    run(data, tmp_path / "many", CASES[name], executor=toy)
    assert contents(tmp_path / "many") == alone(name)
    assert toy.n_submitted > 4
    assert not list((tmp_path / "many").glob("*.state"))


@pytest.mark.usefixtures("short")
def test_given_factors_are_tested_by_workers(data: Simulation, tmp_path: Path) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 2, n_threads=1)
    ids = [line.split()[1] for line in data.bed.with_suffix(".bim").read_text().splitlines()]
    options: dict[str, Any] = {"n_threads": 1, "extract": ids[:7000:2]}
    for name, more in {"one": {}, "many": {"executor": ToyExecutor}}.items():
        (tmp_path / name).mkdir()
        lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / name / "r", **options, **more)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


class Stop(KeyboardInterrupt):
    pass


class AtAdvance(Progress):
    """Acts at the n-th range of the passes whose label begins so."""

    def __init__(self, label: str, n_ranges: int, act: Callable[[], None]) -> None:
        self.wanted, self.n_left, self.act = label, n_ranges, act
        self.label = ""
        self.first_label: list[str] = []

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.label = label
        self.first_label.append(label)

    def advance(self, n_snps: int, n_bytes: int) -> None:
        if self.label.startswith(self.wanted):
            self.n_left -= 1
            if self.n_left == 0:
                self.act()


def stop() -> None:
    raise Stop


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("label", "n_ranges"), [("factors", 7), ("tests", 2)])
def test_coordinator_that_was_stopped_goes_on(
    data: Simulation, alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, n_ranges: int
) -> None:
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    for resumed in ({"executor": ToyExecutor(1)}, {}):
        folder = tmp_path / f"stopped-{len(resumed)}"
        with pytest.raises(Stop):
            run(data, folder, CASES["krylov"], executor=ToyExecutor(), progress=AtAdvance(label, n_ranges, stop))
        assert not list(folder.glob("r.state/*.sent"))
        seen = AtAdvance("none", 1, stop)
        run(data, folder, CASES["krylov"], resume=True, progress=seen, **resumed)
        assert contents(folder) == alone("krylov")
        goes_on = [text for text in seen.first_label if text.startswith("tests")]
        assert goes_on == [f"tests from SNP {n_ranges * 2048 + 1}" if label == "tests" else "tests"]


@pytest.mark.usefixtures("short")
def test_run_of_one_process_that_was_stopped_goes_on_with_workers(
    data: Simulation, alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
    for label in ("factors", "tests"):
        folder = tmp_path / label
        with pytest.raises(Stop):
            run(data, folder, CASES["krylov"], progress=AtAdvance(label, 3, stop))
        run(data, folder, CASES["krylov"], resume=True, executor=ToyExecutor())
        assert contents(folder) == alone("krylov")


@pytest.mark.usefixtures("short")
def test_broken_executor_leaves_a_run_that_goes_on(data: Simulation, alone: Alone, tmp_path: Path) -> None:
    broken = ToyExecutor(fault=lambda number: "break" if number == 21 else "")
    with pytest.raises(lfmm2.WorkerError, match="the executor takes no further task") as raised:
        run(data, tmp_path / "many", CASES["krylov"], executor=broken)
    assert any("--resume goes on" in note for note in raised.value.__notes__)
    run(data, tmp_path / "many", CASES["krylov"], executor=ToyExecutor(), resume=True)
    assert contents(tmp_path / "many") == alone("krylov")


def signal_a_worker(number: signal.Signals) -> list[int]:
    """Send a signal to one of the processes that were started."""
    pids = sorted(process.pid for process in multiprocessing.active_children() if process.pid is not None)
    os.kill(pids[0], number)
    return pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_worker_that_is_killed_or_stopped_does_no_harm(
    data: Simulation, alone: Alone, tmp_path: Path, number: signal.Signals
) -> None:
    seen: list[int] = []
    hook = AtAdvance("tests", 1, lambda: seen.extend(signal_a_worker(number)))
    run(data, tmp_path / "many", CASES["power"], workers=2, progress=hook)
    assert contents(tmp_path / "many") == alone("power")
    assert len(seen) == 2
    assert not set(seen) & {process.pid for process in multiprocessing.active_children()}
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_answer_that_a_kill_has_cut_off_does_not_hold_up_the_end() -> None:
    processes = OwnProcesses(1)
    processes.submit(time.sleep, 600)
    # The beginning of an answer of 1 000 bytes, as a process leaves it that is killed while it writes.
    os.write(processes._pool._result_queue._writer.fileno(), struct.pack("!i", 1000) + b"a part")
    closing = threading.Thread(target=processes.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


# --- what is refused, before any pass -------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pass")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0; it is a number from 1 to 1024"),
        ({"workers": "two"}, "workers is 'two'; give a whole number"),
        ({"workers": True}, "workers is True; give a whole number"),
        ({"executor": 3}, r"executor is 3; give an object that has submit\(function, \*arguments\), or a function"),
        ({"workers": 2, "executor": ToyExecutor}, "workers and executor both say who computes; give one of them"),
        ({"workers": 2, "out": None}, "workers write their results to the folder of out; give out, or leave"),
        ({"full_bed": np.zeros((70, 50)), "workers": 1}, "those of the array can be read in this process alone"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(value),
)
def test_workers_that_cannot_be_used_are_refused(
    data: Simulation, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    arguments = {"est_bed": None, "full_bed": data.bed, "X": data.env, "K": 2, "out": tmp_path / "r"} | options
    if not isinstance(arguments["full_bed"], Path):
        arguments["X"] = np.arange(70.0)
    with pytest.raises(lfmm2.UsageError, match=message):
        lfmm2.run(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_pass")
def test_budget_that_is_too_small_for_workers_is_told_before_any_pass(data: Simulation, tmp_path: Path) -> None:
    message = r"a task of a worker may take \d+ MiB, but 70 samples with 2 factors and 1 thread\(s\) need at least"
    for solver in ("krylov", "exact"):
        options: dict[str, Any] = {"n_threads": 1, "workers": 30, "memory": "200MB", "solver": solver}
        with pytest.raises(lfmm2.InsufficientMemoryError, match=message):
            lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("short")
def test_plan_tells_what_workers_do(data: Simulation, tmp_path: Path) -> None:
    from lfmm2.pipeline import RunOptions, prepare_run

    lines: dict[str, dict[str, str]] = {}
    submitted = {}
    for name, more in {
        "own": {"workers": 2, "n_threads": 1, "solver": "krylov"},
        "given": {"executor": ToyExecutor(), "solver": "krylov"},
        "exact": {"executor": ToyExecutor(), "solver": "exact", "surrogates": 0},
    }.items():
        options = RunOptions.from_arguments({"out": tmp_path / "r", "memory": "300MB", **more}, "test")
        with prepare_run(None, data.bed, data.env, 2, options) as prepared:
            text = prepared.plan.describe().splitlines()
            lines[name] = {key.strip(): value for key, _, value in (line.partition(":") for line in text)}
            lines[name] = {key: value.strip() for key, value in lines[name].items()}
            if name == "exact":
                prepared_run = execute_run(prepared)
                submitted[name] = options.executor.n_submitted
                assert prepared_run is not None
    own, given, exact = (lines[name] for name in ("own", "given", "exact"))
    assert own["workers"] == "2 processes on this machine, 1 thread each"
    assert given["workers"] == "those of the ToyExecutor, 1 thread each; passes are cut for 8 workers"
    assert own["tasks"] == given["tasks"] == "5 of each pass for the factors, 5 of the tests"
    assert exact["tasks"] == "5 of the tests"
    assert submitted["exact"] == 5
    # half of the 18 bytes of each SNP, in the 20 passes that are expected and in that of the tests
    assert own["each worker"] == "reads about 1.7 MB, and takes up to 113 MiB for a task"
    assert given["each worker"].endswith("takes up to 300 MiB for a task")
    # S has K + 10 columns in float64, and so have the sums that come back
    assert own["sent in each pass"] == f"about {70 * 12 * 8 / 1000:.1f} kB to each worker, 33.6 kB back from all"
    # what is sent has the names of files, whose length depends on the folder
    assert re.match(r"about \d\.\d kB to each worker", exact["sent in each pass"])
