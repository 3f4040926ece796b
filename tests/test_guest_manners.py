"""lfmm2 as a guest in the caller's process: what it changes there is as before when it has ended, forked or not."""

from __future__ import annotations

import gc
import importlib.util
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import lfmm2
from lfmm2 import _core
from lfmm2.process import threads as _threads
from lfmm2.process.progress import Progress
from lfmm2.process.threads import available_cpus, resolve_threads, single_threaded_blas
from lfmm2.simulation import Simulation

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

K = 3
SECONDS = 60
SEVERAL = 3
ERRORS, ERROR_IDS = (None, ValueError("stop"), KeyboardInterrupt()), ("success", "error", "interrupt")


def blas_threads() -> list[int]:
    return [info["num_threads"] for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return lfmm2.simulate(tmp_path_factory.mktemp("guest") / "d", 60, 3000, 1, n_causal=5, seed=3)


@pytest.fixture
def several_blas_threads() -> Iterator[list[int]]:
    """As on a machine of several processors; the numbers of each BLAS."""
    with threadpoolctl.threadpool_limits(SEVERAL, "blas"):
        yield blas_threads()


class Stopping(Progress):
    """Raises amid the first pass."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.inside: list[int] = []

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.inside = blas_threads()
        raise self.error


# BLAS threads


def test_blas_has_one_thread_inside_and_as_many_as_before_outside(several_blas_threads: list[int]) -> None:
    assert set(several_blas_threads) == {SEVERAL}
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
        with single_threaded_blas():
            pass
        assert set(blas_threads()) == {1}
    assert blas_threads() == several_blas_threads


def test_last_of_overlapping_users_restores_blas_threads(several_blas_threads: list[int]) -> None:
    """A enters, B enters, A leaves: B is still held to one thread; B leaves: as before."""
    entered, left = threading.Event(), threading.Event()

    def a() -> None:
        with single_threaded_blas():
            entered.set()
            assert b_is_in.wait(SECONDS)
        left.set()

    b_is_in = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        task = executor.submit(a)
        assert entered.wait(SECONDS)
        with single_threaded_blas():
            b_is_in.set()
            assert left.wait(SECONDS)
            assert set(blas_threads()) == {1}
        task.result(SECONDS)
    assert blas_threads() == several_blas_threads


@pytest.mark.parametrize("n_users", [2, 8])
def test_many_users_at_once_restore_blas_threads(several_blas_threads: list[int], n_users: int) -> None:
    def use(_: int) -> bool:
        with single_threaded_blas():
            return set(blas_threads()) == {1}

    with ThreadPoolExecutor(n_users) as executor:
        assert all(executor.map(use, range(200)))
    assert blas_threads() == several_blas_threads


def test_interrupt_while_the_limit_is_set_restores_blas_threads(
    several_blas_threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(_threads._blas_libraries()[0])
    real = kind.set_num_threads
    interrupts = [KeyboardInterrupt]

    def interrupted(self: Any, number: int) -> None:
        real(self, number)
        if interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(kind, "set_num_threads", interrupted)
    with pytest.raises(KeyboardInterrupt), single_threaded_blas():
        pass
    assert blas_threads() == several_blas_threads


def test_limit_of_another_thread_is_overruled_and_restored(several_blas_threads: list[int]) -> None:
    """The main thread has set a limit, after which threadpoolctl ignores what other threads set."""

    def use() -> set[int]:
        with single_threaded_blas():
            return set(blas_threads())

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(use).result(SECONDS) == {1}
    assert blas_threads() == several_blas_threads
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert set(blas_threads()) == {2}
    assert blas_threads() == several_blas_threads


@pytest.mark.parametrize("error", ERRORS, ids=ERROR_IDS)
@pytest.mark.parametrize("solver", ["exact", "krylov"])
def test_run_restores_blas_threads(
    data: Simulation, several_blas_threads: list[int], error: BaseException | None, solver: str
) -> None:
    if error is None:
        lfmm2.run(None, data.bed, data.env, K, solver=solver)
    else:
        progress = Stopping(error)
        with pytest.raises(type(error)):
            lfmm2.run(None, data.bed, data.env, K, solver=solver, progress=progress)
        assert set(progress.inside) == {1}
    assert blas_threads() == several_blas_threads


# the rest of the process


def handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def logger_state() -> list[Any]:
    root = logging.getLogger()
    return [root.level, list(root.handlers), logging.root.manager.disable, logging.raiseExceptions]


def descriptors() -> list[str]:
    gc.collect()
    if not Path("/proc/self/fd").is_dir():
        return []
    # of the folder itself that is being listed none is left
    return sorted(str(Path(f"/proc/self/fd/{n}").readlink()) for n in os.listdir("/proc/self/fd") if still_open(n))  # noqa: PTH208


def still_open(number: str) -> bool:
    with suppress(OSError):
        os.fstat(int(number))
        return True
    return False


PROCESS_STATE: dict[str, Callable[[], Any]] = {
    "signal handlers": handlers,
    "logging": logger_state,
    "warning filters": lambda: [list(warnings.filters), warnings.showwarning],
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "current folder": Path.cwd,
    "umask": umask,
    "environment": lambda: dict(os.environ),
    "numpy error state": lambda: [np.geterr(), np.geterrcall()],
    "numpy print options": np.get_printoptions,
    "random state": random.getstate,
    "numpy random state": lambda: [str(part) for part in np.random.get_state()],  # noqa: NPY002
    "hooks": lambda: [sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace(), sys.getprofile()],
    "standard streams": lambda: [sys.stdin, sys.stdout, sys.stderr],
    "recursion limit": sys.getrecursionlimit,
    "garbage collector": lambda: [gc.isenabled(), gc.get_threshold()],
    "threads": lambda: sorted(thread.name for thread in threading.enumerate()),
    "open files": descriptors,
}


@pytest.mark.parametrize("error", ERRORS, ids=ERROR_IDS)
def test_run_leaves_the_process_as_it_was(data: Simulation, tmp_path: Path, error: BaseException | None) -> None:
    lfmm2.run(None, data.bed, data.env, K, out=tmp_path / "warm")  # libraries are loaded, and pools started
    before = {name: state() for name, state in PROCESS_STATE.items()}
    if error is None:
        lfmm2.run(None, data.bed, data.env, K, out=tmp_path / "r", progress=True)
    else:
        with pytest.raises(type(error)):
            lfmm2.run(None, data.bed, data.env, K, out=tmp_path / "r", progress=Stopping(error))
    changed = {name: (before[name], state()) for name, state in PROCESS_STATE.items() if state() != before[name]}
    assert changed == {}


# forks, and other ways to several processes

WORK = '''
import hashlib, multiprocessing, os, sys, warnings
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl

import lfmm2

warnings.simplefilter("ignore", lfmm2.CalibrationWarning)
BED, ENV, WAY = sys.argv[1:4] if __name__ == "__main__" else (None,) * 3


def digest(bed, env, n_threads=None):
    result = lfmm2.run(None, bed, env, 3, n_threads=n_threads, solver="krylov")
    joined = b"".join(array.tobytes() for array in (result.t, result.beta, result.factors.U))
    return hashlib.sha256(joined).hexdigest()


def with_warning(bed, env):
    """A digest, and how often a run of two threads warns."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        digests = {digest(bed, env, 2) for _ in range(2)}
    forks = [str(w.message) for w in seen if type(w.message) is lfmm2.LfmmWarning]
    assert all("spawn or forkserver" in text for text in forks), forks
    return *sorted(digests), len(forks)


def os_fork():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, repr(with_warning(BED, ENV)).encode())
        os._exit(0)
    os.wait()
    return [eval(os.read(reader, 1000))]


def pool(method):
    with multiprocessing.get_context(method).Pool(2) as workers:
        silent = workers.starmap(digest, [(BED, ENV)] * 2)
        return [(d, 0) for d in silent] + workers.starmap(with_warning, [(BED, ENV)] * 2, chunksize=2)


def loky():
    import joblib

    silent = joblib.Parallel(2)(joblib.delayed(digest)(BED, ENV) for _ in range(2))
    return [(d, 0) for d in silent] + joblib.Parallel(1)([joblib.delayed(with_warning)(BED, ENV)])


def joblib_threads():
    import joblib

    with joblib.parallel_config("threading", n_jobs=4):
        return [(d, 0) for d in joblib.Parallel()(joblib.delayed(digest)(BED, ENV, n) for n in (1, 2, None, 2))]


def twenty_threads():
    with threadpoolctl.threadpool_limits(3, "blas"), ThreadPoolExecutor(20) as workers:
        done = [(d, 0) for d in workers.map(lambda n: digest(BED, ENV, n), [1, 2] * 10)]
        assert {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"} == {3}
        return done


def beside(use):
    """Digests while another library has its threads of OpenMP in this process: before, between and after its work."""
    found = []
    for n_threads in (1, 2, None):
        use()
        found.append((digest(BED, ENV, n_threads), 0))
    with ThreadPoolExecutor(2) as workers:
        others = [workers.submit(use) for _ in range(3)]
        found += [(d, 0) for d in workers.map(lambda n: digest(BED, ENV, n), [2, 2])]
        assert all(other.result() is None for other in others)
    return found


def scikit_learn():
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor

    numbers = np.random.default_rng(0).standard_normal((300, 4))
    return beside(lambda: HistGradientBoostingRegressor(max_iter=3).fit(numbers, numbers[:, 0]).n_iter_ and None)


def torch():
    import torch

    numbers = torch.ones((300, 300))
    return beside(lambda: numbers.matmul(numbers).sum().item() and None)


def threads():
    with threadpoolctl.threadpool_limits(3, "blas"), ThreadPoolExecutor(4) as workers:
        done = [(d, 0) for d in workers.map(lambda n: digest(BED, ENV, n), [1, 2, 2, 3, None, 2])]
        assert {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"} == {3}
        return done


if __name__ == "__main__":
    # OpenMP has been used before the fork
    first = digest(BED, ENV, 2)
    ways = {"os.fork": os_fork, "loky": loky, "threads": threads, "joblib threads": joblib_threads,
            "20 threads": twenty_threads, "scikit-learn": scikit_learn, "torch": torch}
    for found, n_warnings in ways[WAY]() if WAY in ways else pool(WAY):
        assert found == first, (found, first)
        print(n_warnings)
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "work.py"
    path.write_text(WORK)
    return path


# way -> warnings of each job
WAYS = {
    "os.fork": [1],
    "fork": [0, 0, 1, 0],
    "spawn": [0, 0, 0, 0],
    "forkserver": [0, 0, 0, 0],
    "loky": [0, 0, 0],
    "threads": [0] * 6,
    "joblib threads": [0] * 4,
    "20 threads": [0] * 20,
    "scikit-learn": [0] * 5,
    "torch": [0] * 5,
}
# Ways that need a library.
LIBRARY_OF = {"loky": "joblib", "joblib threads": "joblib", "scikit-learn": "sklearn", "torch": "torch"}


@pytest.mark.parametrize("way", WAYS)
def test_run_in_another_process_or_thread_gives_the_same_bits(data: Simulation, script: Path, way: str) -> None:
    if way in ("os.fork", "fork", "forkserver") and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    if way in LIBRARY_OF and importlib.util.find_spec(LIBRARY_OF[way]) is None:
        pytest.skip(f"{LIBRARY_OF[way]} is not installed")
    command = [sys.executable, str(script), str(data.bed), str(data.env), way]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        finally:
            # with its children, one of which may hang
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    expected = WAYS[way] if _core.OPENMP else [0] * len(WAYS[way])
    assert list(map(int, output.split())) == expected


def test_threads_are_those_asked_for_where_nothing_was_forked() -> None:
    assert resolve_threads(None) == (available_cpus() if _core.OPENMP else 1)
    assert resolve_threads(5) == (5 if _core.OPENMP else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_hold_of_another_thread_ends_with_the_fork(several_blas_threads: list[int]) -> None:
    """In a child forked while another thread holds BLAS, the first user restores the parent's number of threads."""
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with single_threaded_blas():
            inside.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(SECONDS)
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            with single_threaded_blas():
                held = set(blas_threads()) == {1}
            code = 0 if held and blas_threads() == several_blas_threads else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done.set()
    thread.join(SECONDS)
    assert blas_threads() == several_blas_threads
