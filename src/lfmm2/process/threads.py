"""The number of threads to use, and the limit of one BLAS thread while OpenMP runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from threadpoolctl import OpenBLASController, ThreadpoolController

from lfmm2 import _core
from lfmm2._words import counted
from lfmm2.errors import LfmmWarning, UsageError
from lfmm2.process.control_groups import cpu_limit, thread_limit
from lfmm2.process.limits import environment_number, soft_limit

# Process that imported this module. A process of another number was forked from it.
_IMPORTED_IN = os.getpid()


# Variables in which batch systems tell a job how many processors it has on its machine: Slurm, Grid Engine, PBS, LSF.
_GRANTED_CPUS = ("SLURM_CPUS_PER_TASK", "NSLOTS", "NCPUS", "LSB_DJOB_NUMPROC")


def available_cpus() -> int:
    """Return the number of processors that this process may use."""
    return cpus_and_limit()[0]


def cpus_and_limit() -> tuple[int, str]:
    """Return the number of processors that this process may use, and what sets that limit, in words.

    It is the least of those that the process may run on, of the quotas of control groups, rounded up, and of what a
    batch system has granted.
    """
    n_own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [(n_own, "" if n_own == os.cpu_count() else f"of {os.cpu_count()} of this machine")]
    if (group := cpu_limit()) is not None:
        limits.append((max(ceil(group.left), 1), f"by the quota in {group.file}"))
    limits += [(granted, f"by {name}") for name in _GRANTED_CPUS if (granted := environment_number(name))]
    return min(limits, key=lambda limit: limit[0])


def resolve_threads(n_threads: int | None) -> int:
    """Return the number of threads to use: as asked, by default one per available processor; 1 without OpenMP.

    It is 1 after a fork too, because the OpenMP of gcc would wait for ever for threads that only the parent has.
    Raises UsageError unless `n_threads` is a whole number from 1 to 1024.
    """
    if n_threads is not None and (
        isinstance(n_threads, bool) or not isinstance(n_threads, int) or not 1 <= n_threads <= 1024
    ):
        raise UsageError(f"n_threads is {n_threads!r}; give a whole number from 1 to 1024")
    if not _core.OPENMP:
        return 1
    if os.getpid() != _IMPORTED_IN:
        if n_threads is not None and n_threads > 1:
            _warn_of_fork()
        return 1
    return available_cpus() if n_threads is None else n_threads


# Threads that a run starts beside those of the kernels: one that reads genotypes, and some of Arrow for the tables.
# With a smaller number OpenMP or Arrow may fail during a run, with a larger one limits that are enough are refused.
_OTHER_THREADS = 4


def check_threads(n_threads: int) -> None:
    """Raise UsageError unless the threads of a run can be started now.

    Without this check the OpenMP of gcc would end the process where the system refuses a thread.
    """
    end, started = Event(), []
    try:
        for _ in range(n_threads + _OTHER_THREADS):
            thread = Thread(target=end.wait, name="lfmm2-probe", daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        limits = [str(group.file)] if (group := thread_limit()) is not None else []
        limits += ["ulimit -v"] if soft_limit("RLIMIT_AS") is not None else []
        limits += ["ulimit -u"] if soft_limit("RLIMIT_NPROC") is not None else []
        fact = f"a run with {counted(n_threads, 'thread')} starts {n_threads + _OTHER_THREADS} in all, but the system "
        fact += f"allows only {len(started)} more ({'see ' + ', '.join(limits) if limits else error})"
        fewer = len(started) - _OTHER_THREADS
        remedy = f"use --threads {fewer}, or end other programs" if fewer > 0 else "raise the limit, or end programs"
        raise UsageError(f"{fact}; {remedy}") from error
    finally:
        end.set()
        for thread in started:
            thread.join()


@cache
def _warn_of_fork() -> None:
    """Warn, once in a process, that one thread is used after a fork."""
    warnings.warn(
        "this process was forked after lfmm2 was imported, and OpenMP would hang in it; one thread is used, which "
        "gives the same results; for more use the start method spawn or forkserver of multiprocessing",
        LfmmWarning,
        stacklevel=5,
    )


@cache
def _controller() -> ThreadpoolController:
    # The controller knows the libraries that are loaded when it is made; importing _core has loaded the BLAS of SciPy.
    return ThreadpoolController()


def _blas_libraries() -> list[Any]:
    """Return the controllers of the BLAS libraries in this process."""
    libraries: list[Any] = _controller().select(user_api="blas").lib_controllers
    return libraries


def _limited_by_thread(blas: Any) -> bool:
    """Return True if each thread has a limit of its own, as in OpenBLAS on OpenMP; others have one for the process."""
    return getattr(blas, "threading_layer", None) == "openmp"


def _take_control() -> None:
    """Let this thread set limits: threadpoolctl from 3.7 on silently ignores all threads but the first that did."""
    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


class _Hold:
    """A limit of one BLAS thread that several users share: the first sets it, the last removes it.

    Parameters
    ----------
    before : list of (library, number of threads), optional
        Numbers of threads to restore, if the limit is set already.
    """

    def __init__(self, before: list[tuple[Any, int]] | None = None) -> None:
        self.before = before
        self._users: dict[object, list[tuple[Any, int]]] = {}
        self._lock = Lock()

    def enter(self, user: object) -> None:
        """Add a user, and hold every BLAS to one thread."""
        with self._lock:
            first, libraries = not self._users, _blas_libraries()
            self._users[user] = [(blas, blas.num_threads) for blas in libraries if _limited_by_thread(blas)]
            if self.before is None:
                self.before = [(blas, blas.num_threads) for blas in libraries if not _limited_by_thread(blas)]
            if first:
                _take_control()
            for blas in libraries:
                blas.set_num_threads(1)

    def leave(self, user: object) -> None:
        """Remove a user; the last one restores the numbers of threads."""
        with self._lock:
            for blas, number in self._users.pop(user, []):
                blas.set_num_threads(number)
            if self._users or self.before is None:
                return
            _take_control()
            for blas, number in self.before:
                blas.set_num_threads(number)
            self.before = None
            _take_control()


# One limit per process: this one, and those forked from it.
_holds = {_IMPORTED_IN: _Hold()}


def _hold() -> _Hold:
    """Return the limit of this process; after a fork a new one, because the users of the old one are in the parent."""
    latest = next(reversed(_holds.values()))
    return _holds.setdefault(os.getpid(), _Hold(latest.before))


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold every BLAS of the process to one thread, and restore it when the last of several users leaves.

    The kernels call dgemm from several OpenMP threads, and a dense factorisation on several BLAS threads would
    round differently on another number of processors.
    """
    hold, user = _hold(), object()
    try:
        hold.enter(user)
        yield
    finally:
        hold.leave(user)


def blas_name() -> str:
    """Return name, version and kernel of the BLAS that the kernels call, such as ``openblas 0.3.30 (Haswell)``.

    SciPy's wheels have a BLAS of their own beside NumPy's; elsewhere both use the one of the system.
    """
    found = [info for info in _controller().info() if info["user_api"] == "blas"]
    bundled = [info for info in found if "scipy" in Path(info["filepath"]).parent.name]
    names = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernel')})"
        for info in bundled or found
    }
    return "; ".join(sorted(names)) or "unknown BLAS"
