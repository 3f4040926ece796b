"""A task: a range of SNPs of a matrix, and the work that is done on it in another process.

Tasks are small, and may be done several times, at the same time too: what they return, and the rows that they write,
are always the same bytes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, current_thread, main_thread
from typing import Any, Protocol

from lfmm2._typing import Floats, Ints
from lfmm2.distributed.sent_files import SentFile
from lfmm2.distributed.terms import Terms, worker_name
from lfmm2.errors import LfmmError
from lfmm2.genotypes import (
    Engine,
    GenotypeMatrix,
    OpenCalls,
    Precision,
    Reopening,
    SegmentSums,
    SnpRange,
    float32_matrix,
)
from lfmm2.process import resolve_threads, single_threaded_blas


class Work(Protocol):
    """Work on ranges of SNPs, the same for all tasks of a pass; it is pickled once a pass."""

    def on_range(self, matrix: GenotypeMatrix, snps: SnpRange, check_wanted: Callable[[], None]) -> Any:
        """Return the answer for a range; `check_wanted` raises WorkerError if the pass has ended meanwhile."""


@dataclass(frozen=True)
class GramProductWork:
    """Sums of the segments of a range for G(S) = Y (Yᵀ S)."""

    S: Floats
    precision: Precision

    def on_range(self, matrix: GenotypeMatrix, snps: SnpRange, check_wanted: Callable[[], None]) -> SegmentSums:
        """Return the sums of the range, as nodes of the tree."""
        in_float32 = float32_matrix(matrix) if self.precision == "float32" else None
        if in_float32 is not None:
            return in_float32.gram_product(self.S, snps=snps, precision="float32")
        return matrix.gram_product(self.S, snps=snps)


@dataclass(frozen=True)
class MatrixRecipe:
    """All that a worker needs to make the matrix of a pass."""

    terms: Terms
    reopening: Reopening
    samples: Ints
    snps: Ints | None
    scale: str | None
    count_allele: str

    @contextmanager
    def matrix(self, key: str, engine: Engine) -> Iterator[GenotypeMatrix]:
        """Give the matrix; the genotypes stay open, under this key, for the next tasks of this process.

        Raises
        ------
        RefusedWorkerError
            If this process would compute something else than the run.
        """
        with _LOCK:
            if key not in _OPENED:
                self.terms.check()
                with _without_warnings():
                    _OPENED[key] = _Opened(self.reopening.opens(*self.reopening.arguments))
            opened = _OPENED[key]
            opened.n_users += 1
            # Those of earlier passes are closed when no other thread reads them.
            for other in [name for name, of in _OPENED.items() if not of.n_users]:
                _OPENED.pop(other).calls.close()
        try:
            yield opened.calls.matrix(engine, self.samples, self.snps, scale=self.scale, count_allele=self.count_allele)
        finally:
            with _LOCK:
                opened.n_users -= 1


@dataclass
class _Opened:
    """Genotypes that are open in this process, and how many threads read them."""

    calls: OpenCalls
    n_users: int = 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep this process from warning of what the run has warned of already.

    Other threads than the first may not change the filters of warnings, which all threads share.
    """
    if current_thread() is not main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_OPENED: dict[str, _Opened] = {}
_LOCK = Lock()


@dataclass(frozen=True)
class Task:
    """A task as it is submitted: two files to read, a range, and what the worker may take.

    `attempt` tells apart submissions of one range, because some executors take equal calls for one.
    """

    matrix: SentFile
    work: SentFile
    first: int
    end: int
    n_threads: int
    memory: int
    attempt: int = 0


@dataclass(frozen=True)
class Answer:
    """What a worker has found: a value, or an error of lfmm2.

    Attributes
    ----------
    worker : str
        Host and process.
    seconds : float
        Time that the task took there.
    value : object
    error : LfmmError or None
    """

    worker: str
    seconds: float
    value: Any = None
    error: LfmmError | None = None


def do_task(task: Task) -> Answer:
    """Do a task in this process; errors of lfmm2 are returned, so that they can be told with the name of the worker."""
    worker, started = worker_name(), time.perf_counter()
    try:
        with _without_warnings():
            n_threads = resolve_threads(task.n_threads)
        task.work.check_wanted()
        recipe: MatrixRecipe = task.matrix.load()
        work: Work = task.work.load()
        engine = Engine(n_threads, task.memory)
        with recipe.matrix(task.matrix.path, engine) as matrix, single_threaded_blas():
            value = work.on_range(matrix, SnpRange(task.first, task.end), task.work.check_wanted)
        return Answer(worker, time.perf_counter() - started, value)
    except LfmmError as error:
        return Answer(worker, time.perf_counter() - started, error=error)
