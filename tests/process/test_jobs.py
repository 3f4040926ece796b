"""Jobs in threads seem to run one after the other."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lfmm2.process import jobs as jobs_module
from lfmm2.process.jobs import Job, Report, run_jobs


def run_and_record(jobs: list[Job], n_threads: int) -> list[str]:
    events: list[str] = []
    run_jobs(
        jobs, n_threads, lambda i: events.append(f"begin {i}"), lambda n: events.append(str(n)),
        lambda: events.append("end"),
    )  # fmt: skip
    return events


def counting(*amounts: int) -> Job:
    def job(report: Report) -> None:
        for amount in amounts:
            report(amount)

    return job


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_callbacks_come_in_the_order_of_the_jobs(n_threads: int) -> None:
    events = run_and_record([counting(1, 2), counting(), counting(3)], n_threads)
    assert events == ["begin 0", "1", "2", "end", "begin 1", "end", "begin 2", "3", "end"]


def test_no_job_is_no_work() -> None:
    assert run_and_record([], 4) == []


def test_as_many_jobs_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(3, timeout=60)
    run_and_record([lambda _: together.wait() and None] * 3, 3)


def test_job_does_not_start_before_one_that_is_fewer_than_n_threads_places_before_it_was_begun() -> None:
    begun: list[int] = []
    seen: list[int] = []

    def job(_: Report) -> None:
        seen.append(len(begun))

    run_jobs([job] * 3, 2, begun.append, lambda _: None, lambda: None)
    assert seen[2] >= 2


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_first_error_in_the_order_of_the_jobs_is_raised(n_threads: int) -> None:
    failed = threading.Event()

    def first(_: Report) -> None:
        if n_threads > 1:
            assert failed.wait(60)
        raise ValueError("first")

    def second(_: Report) -> None:
        failed.set()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        run_and_record([first, second, counting(1)], n_threads)


def test_running_jobs_are_stopped_when_a_callback_fails() -> None:
    ended = threading.Event()

    def endless(report: Report) -> None:
        try:
            while True:
                report(1)
        finally:
            ended.set()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([endless, endless], 2, lambda _: None, interrupt, lambda: None)
    assert ended.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "lfmm2-job"]


@pytest.mark.parametrize("n_allowed", [0, 1])
def test_fewer_threads_serve_where_the_system_refuses_more(monkeypatch: pytest.MonkeyPatch, n_allowed: int) -> None:
    started: list[Any] = []
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if len(started) >= n_allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(jobs_module.Thread, "start", limited)
    events = run_and_record([counting(1), counting(2), counting(3)], 3)
    assert events == ["begin 0", "1", "end", "begin 1", "2", "end", "begin 2", "3", "end"]
