"""Workers of Dask: of a scheduler that runs, of this machine, or of jobs of Slurm; the only module that knows Dask.

Dask and dask-jobqueue are optional, and imported when one of these options is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lfmm2._checks import quoted
from lfmm2.errors import UsageError, WorkerError
from lfmm2.process import parse_memory

if TYPE_CHECKING:
    from concurrent.futures import Future

# Seconds in which a scheduler must answer, and in which a client and a cluster must have ended.
CONNECT_SECONDS, CLOSE_SECONDS = 20, 20
# Seconds between two looks at jobs that are being submitted.
POLL_SECONDS = 0.1
# Seconds for which the number of workers is taken for known: the scheduler is asked for it.
COUNT_SECONDS = 5.0
# Largest number of processes or jobs.
MOST_WORKERS = 1024
# Part of the memory of a job of Slurm that a task may take: Dask stops a worker that has more than 80 % of it.
TASK_SHARE = 0.7
# Bytes of memory below which no job is meant.
_LEAST_MEMORY = 1 << 20
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d{1,5}")
_LOCAL = re.compile(r"local:(\d{1,5})")
# Names of values of --dask-slurm, with the parameters of SLURMCluster that they are.
_JOB_VALUES = {"queue": "queue", "account": "account", "walltime": "walltime", "interface": "interface"}
_JOB_RULE = "give it as 'cores=32,memory=64GB,jobs=20', with queue=, account=, walltime=, interface= or constraint="


@dataclass(frozen=True)
class SlurmJobs:
    """The jobs of --dask-slurm.

    Attributes
    ----------
    cores, memory : int
        Processors, and bytes of memory, of each job.
    jobs : int
    more : dict of str to str
        What else was given, by its name.
    """

    cores: int
    memory: int
    jobs: int
    more: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> SlurmJobs:
        """Read values such as ``cores=32,memory=64GB,jobs=20``.

        Raises
        ------
        UsageError
            If a value is absent, unknown, given twice or no number.
        """
        values: dict[str, str] = {}
        for part in text.split(","):
            name, mark, value = (piece.strip() for piece in part.partition("="))
            if not mark or not value or name not in {"cores", "memory", "jobs", "constraint", *_JOB_VALUES}:
                raise UsageError(f"--dask-slurm has {quoted(part)}; {_JOB_RULE}")
            if name in values:
                raise UsageError(f"--dask-slurm has {name} twice; give it once")
            values[name] = value
        if absent := [name for name in ("cores", "memory", "jobs") if name not in values]:
            raise UsageError(f"--dask-slurm has no {' and no '.join(absent)}; {_JOB_RULE}")
        numbers = {name: values.pop(name) for name in ("cores", "jobs")}
        for name, value in numbers.items():
            if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= MOST_WORKERS:
                raise UsageError(f"--dask-slurm has {name}={value}; it is a whole number from 1 to {MOST_WORKERS}")
        given = values.pop("memory")
        memory = parse_memory(given)
        if memory < _LEAST_MEMORY:
            raise UsageError(f"--dask-slurm has memory={given}, which are bytes; give a unit, as 64GB")
        return cls(int(numbers["cores"]), memory, int(numbers["jobs"]), values)


class DaskWorkers:
    """Workers that a scheduler of Dask gives the tasks to.

    Parameters
    ----------
    starts : callable or None
        Starts a cluster of its own, when the first task comes; None if the scheduler runs already.
    address : str
        Address of a scheduler that runs, with which a connection is made at once.
    words : str
        The workers in words.
    n_own : int or None
        Number of the workers that are started.
    is_local : bool
        True if these are processes of this machine.
    of_task : tuple of int, optional
        Threads and bytes of memory that a task may take, where they are known.

    Raises
    ------
    WorkerError
        If the scheduler is not reached.
    """

    def __init__(
        self,
        starts: Callable[[], Any] | None,
        address: str = "",
        *,
        words: str,
        n_own: int | None = None,
        is_local: bool = False,
        of_task: tuple[int, int] | None = None,
    ) -> None:
        self._starts, self._address, self._words, self._n_own = starts, address, words, n_own
        self.is_local, self.of_task = is_local, of_task
        self._cluster: Any = None
        self._client: Any = None
        self._executor: Any = None
        self._counted = (-COUNT_SECONDS, 0)
        if starts is None:
            self._connect()

    @property
    def n_workers(self) -> int | None:
        """Return the number of workers that are started, or the threads that the scheduler has now; None for none."""
        if self._n_own is not None:
            return self._n_own
        if time.monotonic() - self._counted[0] > COUNT_SECONDS:
            number = self._counted[1]
            with contextlib.suppress(Exception):  # A scheduler that is gone is told when a task is submitted.
                number = sum(self._client.nthreads().values())
            self._counted = time.monotonic(), number
        return self._counted[1] or None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call to the scheduler."""
        if self._executor is None:
            self._connect()
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def renew(self, reason: str) -> None:
        """Close the client, and the cluster that was started; connect again, or start another one with the next task.

        Raises
        ------
        WorkerError
            If the scheduler is not reached.
        """
        self.close()
        if self._starts is None:
            self._connect()

    def close(self) -> None:
        """Close the client, and the cluster if it was started here."""
        client, cluster = self._client, self._cluster
        self._client = self._cluster = self._executor = None
        for opened in (client, cluster):
            if opened is not None:
                with contextlib.suppress(Exception):  # What is broken cannot be closed in order.
                    opened.close(timeout=CLOSE_SECONDS)

    def describe(self) -> str:
        """Return the workers in words."""
        return self._words

    def _connect(self) -> None:
        """Start the cluster if there is none, and connect with its scheduler."""
        dask = importlib.import_module("distributed")
        try:
            if self._starts is not None:
                self._cluster = self._starts()
            self._client = dask.Client(self._cluster or self._address, timeout=CONNECT_SECONDS, set_as_default=False)
            self._executor = self._client.get_executor(pure=False)
        except Exception as error:
            self.close()
            said = " ".join(str(error).split()) or type(error).__name__
            if self._starts is None:
                fact = f"the Dask scheduler {self._address} is not reached ({said})"
                raise WorkerError(f"{fact}; is it running, and reached from this machine?") from error
            raise WorkerError(f"{self._words} cannot be started ({said}); see what Dask or Slurm say") from error


def dask_workers(given: str) -> DaskWorkers:
    """Return the workers of --dask: ``tcp://scheduler:8786`` or ``local:4``.

    Raises
    ------
    UsageError
        If the text is neither, or if `distributed` is not installed.
    WorkerError
        If the scheduler is not reached.
    """
    local = _LOCAL.fullmatch(given)
    if local is None and not _ADDRESS.fullmatch(given):
        raise UsageError(f"--dask is {quoted(given)}; give the address of a scheduler as tcp://host:8786, or local:4")
    if local is None:
        _imported("--dask", "distributed")
        return DaskWorkers(None, given, words=f"those of the Dask scheduler {given}")
    number = int(local[1])
    if not 1 <= number <= MOST_WORKERS:
        raise UsageError(f"--dask is {given}; the number of processes is from 1 to {MOST_WORKERS}")
    dask = _imported("--dask", "distributed")

    def start() -> Any:
        # Memory is planned by lfmm2; a limit of Dask would kill workers that keep files in the cache of the system.
        return dask.LocalCluster(
            n_workers=number, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=None,
            silence_logs="ERROR",
        )  # fmt: skip

    processes = "process" if number == 1 else "processes"
    return DaskWorkers(start, words=f"{number} {processes} of Dask on this machine", n_own=number, is_local=True)


def slurm_workers(given: str) -> DaskWorkers:
    """Return the workers of --dask-slurm: each is a job, which does one task at a time with all of its processors.

    Raises
    ------
    UsageError
        If a value is wrong, or dask-jobqueue or sbatch is not installed.
    """
    wanted = SlurmJobs.parse(given)
    jobqueue = _imported("--dask-slurm", "dask_jobqueue")
    if shutil.which("sbatch") is None:
        raise UsageError("--dask-slurm needs sbatch of Slurm, which is not found; run on a machine that submits jobs")

    def start() -> Any:
        more = {_JOB_VALUES[name]: value for name, value in wanted.more.items() if name in _JOB_VALUES}
        directives = [f"--{name}={value}" for name, value in wanted.more.items() if name not in _JOB_VALUES]
        # Without a walltime that of the queue holds, and not that of dask-jobqueue.
        skipped = [] if "walltime" in more else ["#SBATCH -t"]
        cluster = jobqueue.SLURMCluster(
            cores=1, processes=1, job_cpu=wanted.cores, memory=f"{wanted.memory}B", job_extra_directives=directives,
            job_directives_skip=skipped, scheduler_options={"dashboard_address": ":0"}, **more,
        )  # fmt: skip
        try:
            _submit_jobs(cluster, wanted.jobs)
        except BaseException:
            with contextlib.suppress(Exception):  # It complains of the jobs that were not submitted.
                cluster.close(timeout=CLOSE_SECONDS)
            raise
        return cluster

    each = f"{wanted.cores} {'processor' if wanted.cores == 1 else 'processors'}"
    words = f"{wanted.jobs} {'job' if wanted.jobs == 1 else 'jobs'} of Slurm with {each}"
    of_task = wanted.cores, int(TASK_SHARE * wanted.memory)
    return DaskWorkers(start, words=words, n_own=wanted.jobs, of_task=of_task)


def _submit_jobs(cluster: Any, n_jobs: int) -> None:
    """Submit the jobs; others take the place of those whose time is over. Raise what sbatch says if it fails."""

    async def submitted() -> None:
        while len(cluster.workers) < n_jobs:
            await asyncio.sleep(POLL_SECONDS)
        for job in list(cluster.workers.values()):
            await job  # A job that sbatch has refused is submitted once more, and raises what sbatch says.

    # The failure of sbatch is raised here, and would be logged with a traceback besides.
    log = logging.getLogger("tornado.application")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        cluster.scale(jobs=n_jobs)
        cluster.sync(submitted)
    finally:
        log.setLevel(level)
    cluster.adapt(minimum_jobs=n_jobs, maximum_jobs=n_jobs)


def _imported(option: str, package: str) -> Any:
    """Return a package, or raise UsageError if it cannot be imported."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        fact = f"{option} needs {package.replace('_', '-')}, which is not installed ({error})"
        raise UsageError(f"{fact}; pip install 'lfmm2[dask]'") from error
