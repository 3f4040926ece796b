"""Executors for tests: threads that take tasks in any order, lose some, hang, or break altogether."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any


class WorkerKilled(Exception):
    """Stands for what schedulers raise whose workers die; lfmm2 does not know it."""


class ToyExecutor:
    """Tasks in two threads of this process, in an order that is random.

    Parameters
    ----------
    seed : int
    lost : float
        Share of the tasks that end with an error of the executor.
    fault : callable, optional
        Called with the number of each submission; what it returns is done instead: "hang" or "break".
    n_threads : int
    """

    def __init__(
        self, seed: int = 0, lost: float = 0.0, fault: Callable[[int], str] = lambda number: "", n_threads: int = 2
    ) -> None:
        self._random = random.Random(seed)
        self._lost = lost
        self._fault = fault
        self._waiting: list[tuple[int, Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self._changed = threading.Condition()
        self.is_broken = False
        self.n_submitted = 0
        self.n_lost = 0
        self.tasks: list[Any] = []
        self.start(n_threads)

    def start(self, n_threads: int) -> None:
        for _ in range(n_threads):
            threading.Thread(target=self._run, daemon=True).start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with self._changed:
            if self.is_broken:
                raise BrokenExecutor("a worker has died")
            future: Future[Any] = Future()
            self._waiting.append((self.n_submitted, future, function, arguments))
            self.n_submitted += 1
            self.tasks += arguments
            self._changed.notify()
            return future

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                item = self._waiting.pop(self._random.randrange(len(self._waiting)))
                is_lost = self._random.random() < self._lost
                self.n_lost += is_lost
            number, future, function, arguments = item
            if not future.set_running_or_notify_cancel():
                continue
            fault = self._fault(number)
            if fault == "hang":
                continue  # The future never ends.
            if fault == "break":
                self._break(future)
            elif is_lost:
                future.set_exception(WorkerKilled("worker 7 was killed"))
            else:
                try:
                    future.set_result(function(*arguments))
                except BaseException as error:
                    future.set_exception(error)

    def _break(self, running: Future[Any]) -> None:
        """End all submissions with BrokenExecutor, as a pool of processes does when one of them dies."""
        with self._changed:
            self.is_broken = True
            waiting, self._waiting = self._waiting, []
        for future in (running, *(item[1] for item in waiting)):
            if future is running or future.set_running_or_notify_cancel():
                future.set_exception(BrokenExecutor("a worker has died"))
