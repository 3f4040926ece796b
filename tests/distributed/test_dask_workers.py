"""Workers of Dask: what is refused before work, and that client and cluster are closed, with a Dask that is made up.

One test takes Dask itself, whose workers are threads of this process; tests/torture/workers.py takes real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from shared_runs import CASES, contents
from toy_executors import ToyExecutor

import lfmm2
from lfmm2.distributed import crew, dask_workers, distributed_matrix
from lfmm2.distributed.dask_workers import SlurmJobs
from lfmm2.genotypes import segments
from lfmm2.pipeline import RunOptions, execute_run, prepare_run
from lfmm2.simulation import Simulation, simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
SLURM = "cores=32,memory=64GB,jobs=20"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("dask") / "d", n_samples=40, n_snps=3000, n_causal=5, seed=3)


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_matrix, "LEAST_GENOTYPES", 1)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 512)


class FakeDask:
    """Modules `distributed` and `dask_jobqueue`, and what was opened and closed in them."""

    def __init__(self, executor: Any = None, error: Exception | None = None, submit_error: Exception | None = None):
        self.executor = ToyExecutor() if executor is None else executor
        self.error, self.submit_error = error, submit_error
        self.opened: list[tuple[str, Any, dict[str, Any]]] = []
        self.closed: list[str] = []

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> FakeDask:
        fake = self

        class Opened:
            kind = ""

            def __init__(self, *given: Any, **values: Any) -> None:
                if fake.error is not None and self.kind == "client":
                    raise fake.error
                fake.opened.append((self.kind, given, values))

            def close(self, timeout: float) -> None:
                fake.closed.append(self.kind)

        class Client(Opened):
            kind = "client"

            def get_executor(self, pure: bool) -> Any:
                assert not pure
                return fake.executor

            def nthreads(self) -> dict[str, int]:
                return {"one": 2, "other": 1}

        class LocalCluster(Opened):
            kind = "local"

        class SLURMCluster(Opened):
            kind = "slurm"
            jobs = 0

            def scale(self, jobs: int) -> None:
                fake.opened.append(("jobs", jobs, {}))

            def sync(self, function: Any) -> None:
                if fake.submit_error is not None:
                    raise fake.submit_error

            def adapt(self, minimum_jobs: int, maximum_jobs: int) -> None:
                fake.opened.append(("kept", (minimum_jobs, maximum_jobs), {}))

        for name, classes in {"distributed": (Client, LocalCluster), "dask_jobqueue": (SLURMCluster,)}.items():
            module = ModuleType(name)
            for item in classes:
                setattr(module, item.__name__, item)
            monkeypatch.setitem(sys.modules, name, module)
        return self


def run(data: Simulation, folder: Path, case: str = "krylov", **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    given = {"n_threads": 1, "memory": "300MB", **CASES[case], **more, "out": folder / "r"}
    options = RunOptions.from_arguments(given, "test")
    with prepare_run(None, data.bed, data.env, given["K"], options) as prepared:
        execute_run(prepared)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        (
            "dask",
            "scheduler:8786",
            "--dask is 'scheduler:8786'; give the address of a scheduler as tcp://host:8786, or",
        ),
        ("dask", "tcp://scheduler", "--dask is 'tcp://scheduler'; give the address"),
        ("dask", "", "--dask is ''; give the address"),
        ("dask", "local:0", "--dask is local:0; the number of processes is from 1 to 1024"),
        ("dask", "local:2000", "--dask is local:2000; the number of processes is from 1 to 1024"),
        ("dask", "local:x", "--dask is 'local:x'; give the address"),
        ("dask_slurm", "cores=32", "--dask-slurm has no memory and no jobs; give it as 'cores=32,memory=64GB,jobs=20'"),
        ("dask_slurm", f"{SLURM},nodes=3", "--dask-slurm has 'nodes=3'; give it as"),
        ("dask_slurm", f"{SLURM},queue", "--dask-slurm has 'queue'; give it as"),
        ("dask_slurm", f"{SLURM},", "--dask-slurm has ''; give it as"),
        ("dask_slurm", f"{SLURM},jobs=3", "--dask-slurm has jobs twice; give it once"),
        ("dask_slurm", "cores=0,memory=1GB,jobs=1", "--dask-slurm has cores=0; it is a whole number from 1 to 1024"),
        ("dask_slurm", "cores=1,memory=1GB,jobs=2.5", r"--dask-slurm has jobs=2\.5; it is a whole number from 1"),
        ("dask_slurm", "cores=1,memory=64,jobs=2", "--dask-slurm has memory=64, which are bytes; give a unit, as 64GB"),
        ("dask_slurm", "cores=1,memory=much,jobs=2", "memory is 'much'; give bytes, or a number with a unit"),
    ],
)
@pytest.mark.usefixtures("no_pass")
def test_wrong_values_are_refused(data: Simulation, tmp_path: Path, option: str, text: str, message: str) -> None:
    with pytest.raises(lfmm2.UsageError, match=message):
        run(data, tmp_path / "x", **{option: text})
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.usefixtures("no_pass")
def test_two_ways_of_having_workers_are_refused(data: Simulation, tmp_path: Path) -> None:
    with pytest.raises(lfmm2.UsageError, match="workers and dask both say who computes; give one of them"):
        run(data, tmp_path / "x", workers=2, dask="local:2")


@pytest.mark.usefixtures("no_pass")
@pytest.mark.parametrize(
    ("option", "text", "package", "message"),
    [
        ("dask", "local:2", "distributed", r"--dask needs distributed, which is not installed \(.*\); pip install 'lf"),
        ("dask", "tcp://a:1", "distributed", r"--dask needs distributed, which is not installed \(.*\); pip install"),
        ("dask_slurm", SLURM, "dask_jobqueue", r"--dask-slurm needs dask-jobqueue, which is not installed \(.*\); pip"),
    ],
)
def test_packages_that_are_absent_are_named(
    data: Simulation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    text: str,
    package: str,
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(lfmm2.UsageError, match=message):
        run(data, tmp_path / "x", **{option: text})


@pytest.mark.usefixtures("no_pass")
def test_slurm_that_is_absent_is_told(data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDask().put_in_place(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lfmm2.UsageError, match="--dask-slurm needs sbatch of Slurm, which is not found; run on a mach"):
        run(data, tmp_path / "x", dask_slurm=SLURM)


@pytest.mark.usefixtures("no_pass")
def test_scheduler_that_is_not_reached_is_told_before_work(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDask(error=OSError("Timed out trying to connect")).put_in_place(monkeypatch)
    message = r"the Dask scheduler tcp://host:1 is not reached \(Timed out trying to connect\); is it running, and reac"
    with pytest.raises(lfmm2.WorkerError, match=message):
        run(data, tmp_path / "x", dask="tcp://host:1")
    assert list((tmp_path / "x").iterdir()) == []


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of this name, which is not called here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.usefixtures("sbatch")
def test_files_are_those_of_one_process_and_all_is_closed(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "one")
    for option, text, kinds in (
        ("dask", "local:2", ["client", "local"]),
        ("dask", "tcp://host:8786", ["client"]),
        ("dask_slurm", f"{SLURM},queue=long,constraint=avx2", ["client", "slurm"]),
    ):
        fake = FakeDask().put_in_place(monkeypatch)
        run(data, tmp_path / "-".join(kinds), **{option: text})
        assert contents(tmp_path / "-".join(kinds)) == contents(tmp_path / "one")
        assert fake.closed == kinds
        assert fake.executor.n_submitted > 4


@pytest.mark.usefixtures("sbatch")
def test_jobs_of_slurm_get_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDask().put_in_place(monkeypatch)
    workers = dask_workers.slurm_workers(f"{SLURM},queue=long,account=a,walltime=04:00:00,constraint=avx2")
    assert fake.opened == []  # No job is submitted before there is a task.
    assert workers.describe() == "20 jobs of Slurm with 32 processors"
    assert (workers.n_workers, workers.of_task) == (20, (32, int(0.7 * 64 * 2**30)))
    workers.submit(int)
    cluster, jobs, kept, _ = fake.opened
    assert (jobs[1], kept[1]) == (20, (20, 20))
    values = cluster[2]
    assert (values["queue"], values["account"], values["walltime"]) == ("long", "a", "04:00:00")
    assert (values["cores"], values["job_cpu"], values["processes"]) == (1, 32, 1)
    assert values["memory"] == f"{64 * 2**30}B"
    assert values["job_extra_directives"] == ["--constraint=avx2"]
    assert values["job_directives_skip"] == []
    workers.close()
    assert SlurmJobs.parse(" cores = 1 , memory=2GB,jobs=3").more == {}


@pytest.mark.usefixtures("sbatch")
def test_jobs_that_slurm_refuses_end_the_run(data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = RuntimeError("Command exited with 1:\nsbatch: error: invalid partition")
    fake = FakeDask(submit_error=refused).put_in_place(monkeypatch)
    message = (
        r"20 jobs of Slurm with 32 processors cannot be started \(Command exited with 1: sbatch: error: invalid par"
    )
    with pytest.raises(lfmm2.WorkerError, match=message):
        run(data, tmp_path / "x", dask_slurm=SLURM)
    assert fake.closed == ["slurm"]


def test_client_is_closed_after_an_error_of_the_inputs(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeDask().put_in_place(monkeypatch)
    (tmp_path / "x").mkdir()
    options = RunOptions.from_arguments({"out": tmp_path / "x" / "r", "dask": "tcp://host:1"}, "test")
    with pytest.raises(lfmm2.ReadError), prepare_run(None, tmp_path / "absent", data.env, 2, options):
        pass
    assert fake.closed == ["client"]
    options = RunOptions.from_arguments({"dask": "tcp://host:1"}, "test")
    with pytest.raises(lfmm2.UsageError, match="give out"), prepare_run(None, data.bed, data.env, 2, options):
        pass
    assert fake.closed == ["client", "client"]


def test_connection_is_made_again_when_it_breaks(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ToyExecutor(fault=lambda number: "break" if number == 9 else "")
    fake = FakeDask(broken).put_in_place(monkeypatch)

    class Next(ToyExecutor):
        def submit(self, *call: Any) -> Any:
            if broken.is_broken:
                fake.executor = good
            return broken.submit(*call)

    good = ToyExecutor(1)
    fake.executor = Next()
    run(data, tmp_path / "many", dask="tcp://host:8786")
    run(data, tmp_path / "one")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert len(fake.closed) == len(fake.opened) >= 2
    assert good.n_submitted > 0


def test_number_of_workers_is_that_of_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDask().put_in_place(monkeypatch)
    workers = dask_workers.dask_workers("tcp://host:8786")
    assert (workers.n_workers, workers.of_task, workers.is_local) == (3, None, False)
    assert workers.describe() == "those of the Dask scheduler tcp://host:8786"


@pytest.mark.filterwarnings("ignore")
def test_files_of_dask_itself_are_those_of_one_process(data: Simulation, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    run(data, tmp_path / "one")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None, silence_logs="ERROR"
    ) as cluster:
        run(data, tmp_path / "many", dask=cluster.scheduler_address)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
