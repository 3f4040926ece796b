"""The executors that do the tasks: processes of this machine that are started here, or any executor that is given."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from lfmm2._checks import can_submit, quoted
from lfmm2.distributed.dask_workers import dask_workers, slurm_workers
from lfmm2.errors import UsageError, WorkerError

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

# Workers that are counted on before an executor that does not tell their number has shown more of them.
ASSUMED_WORKERS = 8


class Executors(Protocol):
    """An executor that can perhaps be made again when it breaks.

    Attributes
    ----------
    is_local : bool
        True if the workers share the memory and the processors of this process, and rest while it computes.
    of_task : tuple of int or None
        Threads and bytes of memory that a task may take, where the workers tell it.
    """

    is_local: bool
    of_task: tuple[int, int] | None

    @property
    def n_workers(self) -> int | None:
        """Return the number of workers; None if it is not known."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call to a worker; raise what the executor raises where it takes none."""

    def renew(self, reason: str) -> None:
        """Make another executor in place of the broken one; raise WorkerError if this cannot be done."""

    def close(self) -> None:
        """End what was started here; an executor that was given is left alone."""

    def describe(self) -> str:
        """Return the workers in words, for the plan."""


class OwnProcesses:
    """Processes on this machine, started when the first task comes, and made again after one of them has died.

    They are spawned, not forked: OpenMP would hang in a fork.

    Parameters
    ----------
    n_workers : int
    """

    is_local = True
    of_task: tuple[int, int] | None = None

    def __init__(self, n_workers: int) -> None:
        self.n_workers: int = n_workers
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call to a process."""
        if self._pool is None:
            import multiprocessing  # Needed with workers alone, and so is the executor.
            from concurrent.futures import ProcessPoolExecutor

            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.n_workers, mp_context=context, initializer=begin_worker)
        return self._pool.submit(function, *arguments)

    def renew(self, reason: str) -> None:
        """Kill the processes; the next task starts others."""
        self.close()

    def close(self) -> None:
        """Kill the processes, also those that are stopped, and wait for their end."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # Python before 3.14 has no public way to end processes that do not answer.
        processes = list((getattr(pool, "_processes", None) or {}).values())
        for process in processes:
            with contextlib.suppress(OSError, ValueError):
                process.kill()
        # A process that was killed while it wrote its answer leaves a part of it in the pipe. The thread of the pool
        # that reads it waits for the rest for ever, unless nothing holds the other end of the pipe.
        writer = getattr(getattr(pool, "_result_queue", None), "_writer", None)
        if writer is not None:
            writer.close()
        pool.shutdown(wait=True, cancel_futures=True)

    def describe(self) -> str:
        """Return the number of processes."""
        return f"{self.n_workers} {'process' if self.n_workers == 1 else 'processes'} on this machine"


def begin_worker() -> None:
    """Prepare a process of `OwnProcesses`: it leaves interrupts to its parent, and ends when the parent has ended."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), name="lfmm2-parent", daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when its parent has ended, also where that was killed."""
    from multiprocessing import connection

    connection.wait([sentinel])
    os._exit(1)


class GivenExecutor:
    """An executor of the caller, or a function that makes one.

    Parameters
    ----------
    given : object
        It has ``submit(fn, *args) -> Future``, or is called without arguments and returns something that has.
    """

    is_local = False
    of_task: tuple[int, int] | None = None

    def __init__(self, given: Any) -> None:
        self._makes = None if can_submit(given) else given
        self._executor = given if self._makes is None else None

    @property
    def n_workers(self) -> int | None:
        """Return the number that the executors of Python and loky tell; None for others."""
        number = getattr(self._executor, "_max_workers", None)
        return number if isinstance(number, int) and number > 0 else None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call to the executor."""
        if self._executor is None:
            assert self._makes is not None
            self._executor = self._makes()
            if not can_submit(self._executor):
                fact = f"executor is a function that returns {quoted(self._executor)}"
                raise UsageError(f"{fact}; it must return an object that has submit(function, *arguments)")
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def renew(self, reason: str) -> None:
        """Ask the function for another executor."""
        if self._makes is None:
            raise WorkerError(
                f"the executor takes no further task ({reason}); run again with resume=True and a new executor, or "
                "give a function that makes executors, which is called again where one breaks"
            )
        self._shut_down()

    def close(self) -> None:
        """Shut down the executor if it was made here."""
        if self._makes is not None:
            self._shut_down()

    def _shut_down(self) -> None:
        """Give up the executor that the function has made."""
        executor, self._executor = self._executor, None
        if executor is not None and hasattr(executor, "shutdown"):
            with contextlib.suppress(Exception):  # It is broken, and of a kind that is not known.
                executor.shutdown(wait=False)

    def describe(self) -> str:
        """Return the type of the executor."""
        kind = "function that makes executors" if self._makes is not None else type(self._executor).__name__
        return f"those of the {kind}"


def choose_executors(
    workers: int | None, executor: Any, dask: str | None = None, dask_slurm: str | None = None
) -> Executors | None:
    """Return the executor of a run, of which one at most is given; None if it computes in its own process.

    Raises
    ------
    UsageError
        If what is said of Dask is wrong, or Dask is not installed.
    WorkerError
        If a scheduler of Dask is not reached.
    """
    if executor is not None:
        return GivenExecutor(executor)
    if dask is not None:
        return dask_workers(dask)
    if dask_slurm is not None:
        return slurm_workers(dask_slurm)
    return None if workers is None else OwnProcesses(workers)
