"""Threads: how many to use, and holding BLAS to one while OpenMP runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from threadpoolctl import OpenBLASController, ThreadpoolController

from lfmm2 import _core
from lfmm2.errors import LfmmWarning, UsageError

_IMPORTED_IN = os.getpid()


def available_cpus() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_threads(n_threads: int | None) -> int:
    """Threads to use: those asked for, by default one per available processor; 1 without OpenMP and after a fork.

    gcc's OpenMP takes the threads it had before a fork for alive in the child, and waits for them for ever.
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


@cache
def _warn_of_fork() -> None:
    warnings.warn(
        "this process was forked after lfmm2 was imported, and OpenMP would hang in it; one thread is used, which "
        "gives the same results; for more use the start method spawn or forkserver of multiprocessing",
        LfmmWarning,
        stacklevel=5,
    )


@cache
def _controller() -> ThreadpoolController:
    # reads the list of loaded libraries, so SciPy's BLAS must be there: _core has loaded it
    return ThreadpoolController()


def _blas() -> list[Any]:
    libraries: list[Any] = _controller().select(user_api="blas").lib_controllers
    return libraries


def _limited_by_thread(blas: Any) -> bool:
    """Whether each thread has its own limit: true of OpenBLAS on OpenMP, while others have one for the process."""
    return getattr(blas, "threading_layer", None) == "openmp"


def _take_control() -> None:
    """Let this thread set limits: threadpoolctl 3.7 and later ignore all threads but the first that did, silently."""
    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


class _Hold:
    """A limit of one BLAS thread with any number of users at once: the first sets it, the last takes it off.

    Parameters
    ----------
    before : list of (library, number of threads), optional
        What to go back to, where the limit is set already.
    """

    def __init__(self, before: list[tuple[Any, int]] | None = None) -> None:
        self.before = before
        self._users: dict[object, list[tuple[Any, int]]] = {}
        self._lock = Lock()

    def enter(self, user: object) -> None:
        with self._lock:
            first = not self._users
            self._users[user] = [(blas, blas.num_threads) for blas in _blas() if _limited_by_thread(blas)]
            if self.before is None:
                self.before = [(blas, blas.num_threads) for blas in _blas() if not _limited_by_thread(blas)]
            if first:
                _take_control()
            for blas in _blas():
                blas.set_num_threads(1)

    def leave(self, user: object) -> None:
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


_holds = {_IMPORTED_IN: _Hold()}


def _hold() -> _Hold:
    """The hold of this process; after a fork a new one, since the users of the old one are gone with their threads."""
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
    """Name, version and kernel of the BLAS that the kernels call, as ``openblas 0.3.30 (Haswell)``.

    SciPy's wheels bring their own beside NumPy's; elsewhere both share the one of the system.
    """
    found = [info for info in _controller().info() if info["user_api"] == "blas"]
    bundled = [info for info in found if "scipy" in Path(info["filepath"]).parent.name]
    names = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernel')})"
        for info in bundled or found
    }
    return "; ".join(sorted(names)) or "unknown BLAS"
