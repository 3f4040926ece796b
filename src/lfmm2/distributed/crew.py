"""The crew: hands tasks to an executor, and sees to it that each is done, whatever happens to the workers.

A task that is lost is submitted again. A task that takes much longer than the others, because its worker hangs or is
slow, is submitted a second time, and the first answer counts. Answers are given out in the order of the ranges.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from lfmm2._words import counted, shortened
from lfmm2.distributed.executors import ASSUMED_WORKERS, Executors
from lfmm2.distributed.tasks import Answer, Task, do_task
from lfmm2.distributed.terms import RefusedWorkerError
from lfmm2.errors import LfmmError, UsageError, WorkerError

# A task is submitted again when it has taken so many times as long as others of its size, and at least so many seconds;
# twice as long before it is submitted a third time, and so on. With smaller numbers work is done twice for nothing,
# with larger ones a worker that hangs delays the run.
SLOWNESS, LEAST_SECONDS = 10.0, 10.0
# The same at the end of a pass, when workers are idle: work that is done twice costs nothing then.
IDLE_SLOWNESS, LEAST_IDLE_SECONDS = 2.0, 2.0
# Seconds that processes of this machine may take until the first of them answers, and genotypes of a second on the
# slowest machine, for which more time is added.
FIRST_SECONDS, LEAST_RATE = 60.0, 2e7
# Seconds without any answer after which processes of this machine are killed and started again, once each task in work
# was submitted twice. One that is stopped while it waits for a task keeps all others from taking one.
SILENT_SECONDS, MOST_COPIES = 15.0, 2
# How often a task may be lost, or end in an error, before the run gives up.
MOST_LOSSES, MOST_ERRORS = 6, 3
# Tasks in a row that may be lost before one is done, and how often processes may be killed before one answers.
MOST_LOST_IN_A_ROW, MOST_SILENT = 50, 4
# Tasks that are submitted for each worker: one in work, and one that is ready when it is done.
TASKS_PER_WORKER = 2
# Seconds between two looks at the clock.
LOOK_SECONDS = 0.25


@dataclass
class _Place:
    """A task of a pass: how often it was submitted and lost, and since when it is in work."""

    task: Task
    n_copies: int = 0
    n_losses: int = 0
    n_errors: int = 0
    #: Time at which the newest submission was seen to be in work, as far as the order of submissions tells.
    began: float | None = None
    futures: list[Future[Any]] = field(default_factory=list)


class Crew:
    """The workers of a run.

    Parameters
    ----------
    executors : Executors
    n_threads, memory : int
        Threads and bytes of one task.
    """

    def __init__(self, executors: Executors, n_threads: int, memory: int) -> None:
        self._executors = executors
        self.n_threads, self.memory = n_threads, memory
        self._seen: dict[str, None] = {}
        #: How often another executor was made, and time of the last answer, or of that.
        self.n_renewals = 0
        self.heard_at = time.monotonic()
        #: Whether the executor that works now has answered.
        self.has_answered = False
        # Seconds for each genotype of the slowest pass so far, by which the first tasks of another are judged.
        self._slowest: float | None = None

    @property
    def n_workers(self) -> int:
        """Number of workers, as far as it is known."""
        return self._executors.n_workers or max(len(self._seen), 1)

    @property
    def planned_workers(self) -> int:
        """Number of workers for which a pass is cut into tasks."""
        return self._executors.n_workers or max(len(self._seen), ASSUMED_WORKERS)

    def describe(self) -> str:
        """Return the workers in words, for the plan."""
        return f"{self._executors.describe()}, {counted(self.n_threads, 'thread')} each"

    def close(self) -> None:
        """End the processes that were started."""
        self._executors.close()

    def do(self, tasks: Sequence[Task], n_samples: int, most_held: int) -> Generator[Any, None, None]:
        """Yield the answer of each task, in their order.

        Parameters
        ----------
        tasks : sequence of Task
            Of one pass.
        n_samples : int
        most_held : int
            Answers that may be held until those before them are there.

        Raises
        ------
        WorkerError
            If a worker is refused, or tasks are lost again and again.
        LfmmError
            The error of a task that fails wherever it is done.
        """
        work = _Pass(self, tasks, n_samples, max(most_held, 1))
        try:
            yield from work.answers()
        finally:
            work.cancel()

    def submit(self, task: Task) -> Future[Any]:
        """Hand a task to the executor, and make another one if it is broken."""
        for attempt in range(3):
            try:
                return self._executors.submit(do_task, task)
            except LfmmError:
                raise
            except Exception as error:
                # An executor that was shut down raises RuntimeError, and others raise what they like.
                if attempt == 2:
                    raise WorkerError(f"no worker takes a task ({_words_of(error)}); use fewer workers") from error
                self.renew(error)
        raise AssertionError("the last attempt has returned or raised")

    def renew(self, error: BaseException) -> None:
        """Make another executor in place of the broken one."""
        self.n_renewals += 1
        self.heard_at, self.has_answered = time.monotonic(), False
        try:
            self._executors.renew(_words_of(error))
        except WorkerError as refused:
            raise refused from error

    @property
    def has_begun(self) -> bool:
        """True if a worker has answered in this run."""
        return bool(self._seen)

    @property
    def is_own(self) -> bool:
        """True if the workers are processes that were started here, and can be killed."""
        return self._executors.is_local

    def note(self, answer: Answer, n_genotypes: int) -> None:
        """Take note of a worker and of the time of its task."""
        self._seen.setdefault(answer.worker)
        self.heard_at, self.has_answered = time.monotonic(), True
        self._slowest = max(self._slowest or 0.0, answer.seconds / max(n_genotypes, 1))

    def usual_seconds(self, n_genotypes: int) -> float | None:
        """Return the time of a task of this size in the slowest pass so far; None before the first."""
        return None if self._slowest is None else self._slowest * n_genotypes


class _Pass:
    """The tasks of one pass, on their way."""

    def __init__(self, crew: Crew, tasks: Sequence[Task], n_samples: int, most_held: int) -> None:
        self._crew = crew
        self._places = [_Place(task) for task in tasks]
        self._n_samples = n_samples
        self._most_held = most_held
        self._answers: dict[int, Answer] = {}
        self._n_out = 0
        self._n_begun = 0
        self._n_lost_in_a_row = self._n_silent = 0
        self._seconds: list[float] = []
        # Submissions in their order with the executor that got them, and those that have ended.
        self._submitted: dict[Future[Any], tuple[int, int]] = {}
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()

    def answers(self) -> Iterator[Any]:
        """Yield the values of the tasks in order."""
        while self._n_out < len(self._places):
            self._submit_next()
            self._wait()
            while self._n_out in self._answers:
                value = self._answers.pop(self._n_out).value
                self._n_out += 1
                # Workers have their next tasks before the value is worked on here.
                self._submit_next()
                yield value

    def cancel(self) -> None:
        """Forget what is still in work; its answers would be the same as those that are there."""
        for future in list(self._submitted):
            future.cancel()
        self._submitted.clear()

    def _n_unfinished(self) -> int:
        """Number of tasks that were begun and have no answer yet."""
        return self._n_begun - self._n_out - len(self._answers)

    def _submit_next(self) -> None:
        """Submit further tasks as long as the workers, and the answers that are held, allow it."""
        while (
            self._n_begun < len(self._places)
            and self._n_unfinished() < TASKS_PER_WORKER * self._crew.planned_workers
            and self._n_begun - self._n_out < max(self._most_held, 1)
        ):
            self._n_begun += 1
            self._submit(self._n_begun - 1)

    def _submit(self, number: int) -> None:
        """Submit a task, perhaps once more."""
        place = self._places[number]
        place.n_copies += 1
        place.began = None
        future = self._crew.submit(replace(place.task, attempt=place.n_copies))
        place.futures.append(future)
        self._submitted[future] = number, self._crew.n_renewals
        future.add_done_callback(self._ended.put)

    def _wait(self) -> None:
        """Wait for the next answers, and see to tasks that take too long."""
        try:
            ended = [self._ended.get(timeout=LOOK_SECONDS)]
            while not self._ended.empty():
                ended.append(self._ended.get_nowait())
        except Empty:
            ended = []
        broken = None
        for future in ended:
            if future not in self._submitted:
                continue  # It belongs to an executor that was given up.
            number, n_renewals = self._submitted.pop(future)
            place = self._places[number]
            place.futures.remove(future)
            error = _error_of(future)
            if error is None:
                self._take(number, future.result())
            else:
                if isinstance(error, BrokenExecutor) and n_renewals == self._crew.n_renewals:
                    broken = error
                self._lose(number, error)
        if broken is not None:
            self._begin_again(broken)
        self._resubmit_lost()
        self._take_over()

    def _take(self, number: int, answer: Answer) -> None:
        """Keep the answer of a task, or try again if it is an error that may pass."""
        place = self._places[number]
        n_genotypes = (place.task.end - place.task.first) * self._n_samples
        if answer.error is None:
            self._crew.note(answer, n_genotypes)
            self._seconds.append(answer.seconds / max(n_genotypes, 1))
            self._answers[number] = answer
            self._n_lost_in_a_row = self._n_silent = 0
            for future in place.futures:
                future.cancel()
                self._submitted.pop(future, None)
            place.futures.clear()
            return
        place.n_errors += 1
        is_lasting = isinstance(answer.error, RefusedWorkerError | UsageError)
        if is_lasting or place.n_errors >= MOST_ERRORS:
            if not isinstance(answer.error, RefusedWorkerError):
                answer.error.add_note(f"found by the worker {answer.worker}")
            raise answer.error

    def _lose(self, number: int, error: BaseException) -> None:
        """Count a task that was lost, and give up where this happens again and again."""
        place = self._places[number]
        place.n_losses += 1
        self._n_lost_in_a_row += 1
        # Processes that die before any has answered cannot begin: a script without a guard starts itself again.
        never_began = self._crew.is_own and not self._crew.has_begun and self._crew.n_renewals >= 2
        is_hopeless = never_began or self._n_lost_in_a_row > MOST_LOST_IN_A_ROW or self._n_silent > MOST_SILENT
        if place.n_losses > MOST_LOSSES or is_hopeless:
            snps = f"SNPs {place.task.first + 1} to {place.task.end}"
            fact = f"the workers have lost {snps} {place.n_losses} times ({_words_of(error)})"
            causes = "is there enough memory, and is a script that calls lfmm2 guarded by if __name__ == '__main__'?"
            raise WorkerError(f"{fact}; {causes}") from error

    def _begin_again(self, error: BaseException) -> None:
        """Make another executor, and forget all that was submitted to the broken one."""
        self._crew.renew(error)
        self._forget_submissions()

    def _forget_submissions(self) -> None:
        """Forget all submissions, so that tasks without an answer are submitted again."""
        for future in list(self._submitted):
            future.cancel()
        self._submitted.clear()
        for place in self._places[self._n_out : self._n_begun]:
            place.futures.clear()

    def _resubmit_lost(self) -> None:
        """Submit again the tasks of which nothing is in work."""
        for number in self._unanswered():
            if not self._places[number].futures:
                self._submit(number)

    def _unanswered(self) -> list[int]:
        """Return the tasks that were begun and have no answer, in order."""
        return [number for number in range(self._n_out, self._n_begun) if number not in self._answers]

    def _take_over(self) -> None:
        """Submit a second time the tasks that take much longer than the others."""
        now = time.monotonic()
        # Executors begin tasks in the order of submission, so the first ones are in work.
        for number, _ in list(self._submitted.values())[: self._crew.n_workers]:
            if self._places[number].began is None:
                self._places[number].began = now
        if not (self._crew.has_answered or self._crew.is_own):
            return  # The workers of a cluster may wait for hours until a batch system starts them.
        unanswered = self._unanswered()
        is_idle = self._n_begun == len(self._places) and len(unanswered) < self._crew.n_workers
        for number in unanswered:
            place = self._places[number]
            if place.began is None:
                continue
            waited, patience = now - place.began, self._patience(place, is_idle)
            if waited < patience * 2 ** (len(place.futures) - 1):
                continue
            if len(place.futures) < MOST_COPIES or not self._crew.is_own:
                self._submit(number)
            elif now - self._crew.heard_at >= max(SILENT_SECONDS, patience):
                self._n_silent += 1
                error = TimeoutError("no answer")
                self._lose(number, error)
                self._begin_again(error)
                self._resubmit_lost()
                return

    def _patience(self, place: _Place, is_idle: bool) -> float:
        """Return the seconds after which a task in work is submitted a second time."""
        n_genotypes = (place.task.end - place.task.first) * self._n_samples
        usual = (
            float(np.median(self._seconds)) * n_genotypes if self._seconds else self._crew.usual_seconds(n_genotypes)
        )
        if usual is None or not self._crew.has_answered:
            return max(FIRST_SECONDS + n_genotypes / LEAST_RATE, SLOWNESS * (usual or 0.0))
        if is_idle and self._seconds:
            return max(IDLE_SLOWNESS * usual, LEAST_IDLE_SECONDS)
        return max(SLOWNESS * usual, LEAST_SECONDS)


def _error_of(future: Future[Any]) -> BaseException | None:
    """Return the error with which a submission has ended, be it cancelled; None if it has an answer."""
    try:
        error = future.exception()
    except BaseException as cancelled:  # CancelledError of concurrent.futures or of asyncio.
        return cancelled
    if error is None and not isinstance(future.result(), Answer):
        return TypeError("the executor has returned something else than the function")
    return error


def _words_of(error: BaseException) -> str:
    """Return an exception of another library as one line."""
    return shortened(" ".join(f"{type(error).__name__}: {error}".split()))
