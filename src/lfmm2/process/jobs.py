"""Pieces of work in several threads, begun and ended in their order as seen from the thread that called."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event, Thread

#: Function that a job calls with the amount that it has done since the last call.
Report = Callable[[int], None]
#: A piece of work; it runs in a thread of its own, and releases the GIL where it takes time.
Job = Callable[[Report], None]


class _StoppedError(Exception):
    """End of a job because another one, or the caller, has failed."""


class _Worker:
    """A job that runs in a thread of its own, and ends at its next report once `stop` is set."""

    def __init__(self, job: Job, stop: Event) -> None:
        self._job = job
        self._stop = stop
        self._done: SimpleQueue[int | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="lfmm2-job")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._job(self._report)
        except BaseException as error:
            self._error = error
        finally:
            self._done.put(None)

    def _report(self, amount: int) -> None:
        self._done.put(amount)
        if self._stop.is_set():
            raise _StoppedError

    def follow(self, report: Report) -> None:
        """Pass on the reports until the job ends, and raise its error if it has failed."""
        for amount in iter(self._done.get, None):
            report(amount)
        self.wait()
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait until the job has ended."""
        self._thread.join()


def run_jobs(
    jobs: Sequence[Job], n_threads: int, begin: Callable[[int], None], report: Report, end: Callable[[], None]
) -> None:
    """Run jobs in up to `n_threads` threads, so that they seem to run one after the other.

    Parameters
    ----------
    jobs : sequence of callable
    n_threads : int
        Jobs that run at the same time, at most. With 1 they run in the calling thread. Fewer run where the system
        refuses a thread.
    begin : callable
        Called with the number of each job, in order and in the calling thread, before the job that is `n_threads` - 1
        places after it starts.
    report : callable
        Called in the calling thread with what the job that was begun last reports.
    end : callable
        Called in the calling thread when that job has ended or failed.

    Notes
    -----
    The first error in the order of the jobs is raised, as is one of a callback, when all threads have ended: running
    jobs end at their next report.
    """
    stop = Event()
    workers: deque[_Worker] = deque()
    n_started = 0
    try:
        for number, job in enumerate(jobs):
            begin(number)
            try:
                n_wanted = min(number + n_threads, len(jobs)) if n_threads > 1 and len(jobs) > 1 else 0
                while n_started < n_wanted:
                    try:
                        workers.append(_Worker(jobs[n_started], stop))
                    except RuntimeError:  # The system allows no further thread.
                        break
                    n_started += 1
                if workers:
                    workers[0].follow(report)
                    workers.popleft()
                else:
                    n_started = number + 1
                    job(report)
            finally:
                end()
    finally:
        stop.set()
        for worker in workers:
            worker.wait()
