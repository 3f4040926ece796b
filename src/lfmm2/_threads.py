"""Threads: how many to use, and holding BLAS to one while OpenMP runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from threadpoolctl import ThreadpoolController

from lfmm2 import _core
from lfmm2.errors import UsageError


def available_cpus() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_threads(n_threads: int | None) -> int:
    """Threads to use: those asked for, by default one per available processor; 1 without OpenMP."""
    if n_threads is None:
        n_threads = available_cpus()
    elif isinstance(n_threads, bool) or not isinstance(n_threads, int) or not 1 <= n_threads <= 1024:
        raise UsageError(f"n_threads is {n_threads!r}; give a whole number from 1 to 1024")
    return n_threads if _core.OPENMP else 1


@cache
def _controller() -> ThreadpoolController:
    # reads the list of loaded libraries, so SciPy's BLAS must be there: _core has loaded it
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold every BLAS of the process to one thread, and restore it.

    The kernels call dgemm from several OpenMP threads, and a dense factorisation on several BLAS threads would
    round differently on another number of processors.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


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
