"""The crew: each task is done, whatever happens to workers; answers come in order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from toy_executors import ToyExecutor

from lfmm2.distributed import crew as crew_module
from lfmm2.distributed.crew import Crew
from lfmm2.distributed.executors import GivenExecutor, OwnProcesses
from lfmm2.distributed.sent_files import SentFile
from lfmm2.distributed.tasks import Answer, Task
from lfmm2.distributed.terms import RefusedWorkerError
from lfmm2.errors import MalformedInputError, ReadError, UsageError, WorkerError

N_TASKS = 23
NOTHING = SentFile("", "")
TASKS = [Task(NOTHING, NOTHING, 10 * i, 10 * i + 10, 1, 1 << 20) for i in range(N_TASKS)]
EXPECTED = [10 * i for i in range(N_TASKS)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little patience, and tasks that only return their first SNP."""
    monkeypatch.setattr(crew_module, "LEAST_SECONDS", 0.05)
    monkeypatch.setattr(crew_module, "LEAST_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(crew_module, "FIRST_SECONDS", 0.2)
    monkeypatch.setattr(crew_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(crew_module, "do_task", lambda task: Answer("here:1", 1e-4, task.first))


def answers(executor: Any, most_held: int = 100) -> list[Any]:
    crew = Crew(GivenExecutor(executor), 1, 1 << 20)
    try:
        return list(crew.do(TASKS, 1, most_held))
    finally:
        crew.close()


@pytest.mark.parametrize("seed", range(5))
def test_answers_come_in_order_whatever_the_order_of_the_work(seed: int) -> None:
    assert answers(ToyExecutor(seed)) == EXPECTED


@pytest.mark.parametrize("seed", range(5))
def test_tasks_that_are_lost_are_done_again(seed: int) -> None:
    toy = ToyExecutor(seed, lost=0.2)
    assert answers(toy) == EXPECTED
    assert toy.n_submitted >= N_TASKS + toy.n_lost
    assert toy.n_lost


def test_task_that_hangs_is_done_by_another_worker() -> None:
    toy = ToyExecutor(fault=lambda number: "hang" if number in (3, 11, N_TASKS) else "")
    assert answers(toy) == EXPECTED


def test_task_that_hangs_again_and_again_is_submitted_with_growing_patience() -> None:
    toy = ToyExecutor(fault=lambda number: "hang" if number == 0 or N_TASKS < number < N_TASKS + 3 else "")
    assert answers(toy) == EXPECTED
    assert sum(task.first == 0 for task in toy.tasks) >= 2


def test_workers_that_have_not_begun_are_waited_for() -> None:
    toy = ToyExecutor(n_threads=0)
    crew = Crew(GivenExecutor(toy), 1, 1 << 20)
    Timer(0.5, toy.start, (2,)).start()
    assert list(crew.do(TASKS, 1, 100)) == EXPECTED
    assert toy.n_submitted == N_TASKS


class OwnToy(GivenExecutor):
    """An executor that counts as processes of this machine."""

    is_local = True


def test_own_processes_that_do_not_answer_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "SILENT_SECONDS", 0.1)
    for n_hanging in (2, 9):
        made: list[ToyExecutor] = []

        def make(n_hanging: int = n_hanging, made: list[ToyExecutor] = made) -> ToyExecutor:
            made.append(ToyExecutor(fault=lambda number: "hang" if len(made) <= n_hanging else ""))
            return made[-1]

        crew = Crew(OwnToy(make), 1, 1 << 20)
        if n_hanging == 2:
            assert list(crew.do(TASKS, 1, 100)) == EXPECTED
        else:
            with pytest.raises(WorkerError, match=r"have lost SNPs 1 to 10 \d times \(TimeoutError: no answer\)"):
                list(crew.do(TASKS, 1, 100))


def test_own_processes_that_never_begin_end_the_run_soon() -> None:
    made = []

    def make() -> ToyExecutor:
        made.append(ToyExecutor(fault=lambda number: "break"))
        return made[-1]

    with pytest.raises(WorkerError, match=r"is a script that calls lfmm2 guarded by if __name__ == '__main__'\?"):
        list(Crew(OwnToy(make), 1, 1 << 20).do(TASKS, 1, 100))
    assert len(made) == 3


def test_executor_that_takes_no_task_is_told() -> None:
    class Full:
        def submit(self, *_: Any) -> Future[Any]:
            raise OSError("Resource temporarily unavailable")

    message = r"no worker takes a task \(OSError: Resource temporarily unavailable\); use fewer workers"
    with pytest.raises(WorkerError, match=message):
        answers(lambda: Full())


def test_slow_worker_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    first = []

    def do(task: Task) -> Answer:
        if task.first == EXPECTED[-1] and not first:
            first.append(task)
            time.sleep(5)
        return Answer(f"here:{task.first % 20}", 1e-3, task.first)

    monkeypatch.setattr(crew_module, "do_task", do)
    started = time.monotonic()
    assert answers(ToyExecutor()) == EXPECTED
    assert time.monotonic() - started < 4


def test_broken_executor_is_made_again_by_its_function() -> None:
    made = []

    def make() -> ToyExecutor:
        number = len(made)
        made.append(ToyExecutor(fault=lambda n: "break" if number < 2 and n == 5 + number else ""))
        return made[-1]

    assert answers(make) == EXPECTED
    assert len(made) == 3


def test_broken_executor_that_was_given_ends_the_run_with_advice() -> None:
    message = (
        r"takes no further task \(BrokenExecutor: a worker has died\); run again with resume=True and a new executor"
    )
    with pytest.raises(WorkerError, match=message):
        answers(ToyExecutor(fault=lambda number: "break" if number == 4 else ""))


def test_executor_that_was_shut_down_is_told() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(WorkerError, match="cannot schedule new futures after shutdown"):
        answers(executor)


def test_function_that_makes_no_executor_is_refused() -> None:
    with pytest.raises(UsageError, match="executor is a function that returns 3; it must return an object"):
        answers(lambda: 3)


def test_any_object_with_submit_will_do() -> None:
    class AtOnce:
        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(function(*arguments))
            return future

    assert answers(AtOnce()) == EXPECTED


def test_executor_that_returns_something_else_is_no_answer() -> None:
    class Strange(Executor):
        def submit(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(None)
            return future

    with pytest.raises(WorkerError, match="TypeError: the executor has returned something else"):
        answers(Strange())


def test_answers_that_wait_for_others_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "LEAST_SECONDS", 0.4)
    toy = ToyExecutor(fault=lambda number: "hang" if number == 0 else "")
    crew = Crew(GivenExecutor(toy), 1, 1 << 20)
    done = crew.do(TASKS, 1, 5)
    assert next(done) == 0
    # tasks up to the fifth, the first of them a second time, and those that may follow the answer that was taken
    assert max(task.first for task in toy.tasks) <= EXPECTED[5]
    assert list(done) == EXPECTED[1:]


@pytest.mark.parametrize("error", [ReadError("x.bed: Input/output error"), MalformedInputError("x.bed: bad")])
def test_error_that_stays_is_raised_with_the_name_of_the_worker(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    seen = []

    def do(task: Task) -> Answer:
        if task.first == 50:
            seen.append(task)
            return Answer("node7:12", 1e-3, error=error)  # type: ignore[arg-type]
        return Answer("here:1", 1e-3, task.first)

    monkeypatch.setattr(crew_module, "do_task", do)
    with pytest.raises(type(error), match=r"x\.bed") as raised:
        answers(ToyExecutor())
    assert raised.value.__notes__ == ["found by the worker node7:12"]
    assert len(seen) >= crew_module.MOST_ERRORS


def test_error_that_passes_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = []

    def do(task: Task) -> Answer:
        if task.first % 50 == 0 and task.first not in failed:
            failed.append(task.first)
            return Answer("here:1", 1e-3, error=ReadError("x.bed: Stale file handle"))
        return Answer("here:1", 1e-3, task.first)

    monkeypatch.setattr(crew_module, "do_task", do)
    assert answers(ToyExecutor()) == EXPECTED


def test_refused_worker_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Answer("node7:12", 1e-3, error=RefusedWorkerError("the worker node7:12 would give other last digits"))
    monkeypatch.setattr(crew_module, "do_task", lambda task: refused)
    toy = ToyExecutor()
    with pytest.raises(WorkerError, match="node7:12 would give other last digits"):
        answers(toy)
    assert toy.n_submitted <= N_TASKS


@dataclass(frozen=True)
class Suicide:
    """A function that ends its process, the first time that it is called."""

    path: Path

    def __call__(self, number: int) -> int:
        if not self.path.exists():
            self.path.touch()
            os._exit(9)
        return number


def test_own_processes_end_when_they_are_closed_and_are_made_again(tmp_path: Path) -> None:
    processes = OwnProcesses(1)
    future = processes.submit(Suicide(tmp_path / "done"), 5)
    with pytest.raises(Exception, match="terminated abruptly"):
        future.result(60)
    processes.renew("")
    try:
        assert processes.submit(Suicide(tmp_path / "done"), 5).result(60) == 5
        worker = processes.submit(os.getpid).result(60)
    finally:
        processes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
