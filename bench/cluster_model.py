"""A model of passes on up to 1 000 workers: efficiency against workers that never wait, and what breaks it first.

    python bench/cluster_model.py [--threads 8] [--gigabits 1 10 100] [--storage 0] [--rate 0.5 1.5]

A pass is simulated task by task, cut as runs cut it: each worker reads the array of the pass (the broadcast) and the
genotypes of its tasks, computes for a time that varies (log-normal), and sends a sum, which the process of the run adds
up. One worker in a hundred is lost with its task, and replaced. Tasks that take twice the usual time are done again by
idle workers, as `lfmm2.distributed.crew` does. The rate of one thread is measured here in CPU seconds, unless it is
given; threads of a worker are taken to be as fast as one each. Links of `--gigabits` are those of each machine, of
which the process of the run has one; genotypes come by them too. Storage gives `--storage` GB/s to all workers
together; with 0, what the links take.
"""

from __future__ import annotations

import argparse
import heapq
import time
from dataclasses import dataclass, replace

import numpy as np

from lfmm2.distributed import cut_tasks
from lfmm2.genotypes import RESTART_SNPS, Engine, padded_columns, segment_snps
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.kernel_rates import PackedNumbers
from lfmm2.process import single_threaded_blas

SIZES = ((10**4, 10**9), (5 * 10**5, 10**7))
WORKERS = (10, 100, 1000)
# Columns of a pass for the factors, K = 5 and 10 more, and of the tests.
N_COLUMNS, N_TESTED = 15, 8
# Standard deviations of the logarithm of the time: of a worker for the whole pass, and of a task.
WORKER_SPREAD, TASK_SPREAD = 0.10, 0.15
LOST_SHARE = 0.01
# Seconds until a lost worker is noticed and another has taken its place.
RESTART_SECONDS = 15.0
# Seconds of a task beside its work, and bytes per second with which sums are added.
TASK_SECONDS, ADDED_BYTES = 0.02, 4e9
# A task is done again by an idle worker when it has taken so many times as long as usual.
IDLE_SLOWNESS = 2.0


@dataclass(frozen=True)
class Pass:
    """A pass: its tasks in genotypes, and what each term costs; a term of 0 is left out.

    Attributes
    ----------
    tasks : ndarray
        Genotypes of each task.
    rate : float
        Genotypes per second of a worker.
    broadcast, answer : float
        Seconds until a worker has the array of the pass, and that an answer takes at the process of the run.
    reading : float
        Genotypes per second that a worker can read; infinite where reading is not waited for.
    spread : bool
        True if times vary.
    lost : float
        Share of the workers that are lost.
    """

    tasks: np.ndarray
    rate: float
    broadcast: float
    answer: float
    reading: float
    spread: bool = True
    lost: float = LOST_SHARE

    def seconds(self, n_workers: int, seed: int) -> float:
        """Simulate the pass; return its wall time."""
        rng = np.random.default_rng(seed)
        speed = np.exp(rng.normal(0, WORKER_SPREAD, n_workers)) if self.spread else np.ones(n_workers)
        rate = min(self.rate, self.reading)
        usual = TASK_SECONDS + float(np.median(self.tasks)) / rate
        lost = self.lost * n_workers / len(self.tasks)
        free = [(self.broadcast, worker) for worker in range(n_workers)]
        heapq.heapify(free)
        waiting, ends, redone = list(range(len(self.tasks)))[::-1], [], []
        while waiting:
            at, worker = heapq.heappop(free)
            task = waiting.pop()
            took = (TASK_SECONDS + self.tasks[task] / rate) * speed[worker]
            took *= np.exp(rng.normal(0, TASK_SPREAD)) if self.spread else 1.0
            if rng.random() < lost:
                heapq.heappush(free, (at + rng.random() * took + RESTART_SECONDS, worker))
                waiting.append(task)
                continue
            ends.append(at + took)
            redone.append(at + IDLE_SLOWNESS * usual)
            heapq.heappush(free, (at + took, worker))
        for k in np.argsort(ends)[::-1][:n_workers]:
            at, worker = free[0]
            again = max(at, redone[k]) + usual * speed[worker]
            if ends[k] > redone[k] and again < ends[k]:
                heapq.heapreplace(free, (again, worker))
                ends[k] = again
        done = 0.0
        for end in sorted(ends):  # The process of the run takes answers one after the other.
            done = max(done, end) + self.answer
        return done


def passes_of(n: int, p: int, n_workers: int, rates: tuple[float, float], link: float, storage: float) -> list[Pass]:
    """Return the pass for the factors and that of the tests, for links and storage in bytes per second."""
    made = []
    for rate, columns, unit in ((rates[0], N_COLUMNS, segment_snps()), (rates[1], N_TESTED, RESTART_SNPS)):
        is_tests = unit == RESTART_SNPS
        tasks = np.array([len(part) for part in cut_tasks(range(p), unit, n, n_workers)], float) * n
        broadcast = 8.0 * n * columns / link + (8.0 * n * columns * n_workers / storage if storage else 0.0)
        sums = 8.0 * n * padded_columns(columns)
        answer = 1e5 / link if is_tests else sums / link + sums / ADDED_BYTES
        reading = 4.0 * (min(link, storage / n_workers) if storage else link)  # four genotypes in a byte
        made.append(Pass(tasks, rate, broadcast, answer, reading))
    return made


def efficiency(of: Pass, n_workers: int) -> float:
    """Return the time of workers that never wait over the simulated time, the mean of two passes."""
    ideal = of.tasks.sum() / (of.rate * n_workers)
    return float(ideal / np.mean([of.seconds(n_workers, seed) for seed in range(2)]))


def breaking_term(of: Pass, n_workers: int, found: float) -> str:
    """Return the term without which the efficiency rises most, and to what."""
    even = np.full(100 * n_workers, of.tasks.sum() / (100 * n_workers))
    without = {
        "broadcast": replace(of, broadcast=0.0),
        "sums": replace(of, answer=0.0),
        "reading": replace(of, reading=float("inf")),
        "stragglers": replace(of, spread=False),
        "deaths": replace(of, lost=0.0),
        "few tasks": replace(of, tasks=even, answer=of.answer * len(of.tasks) / len(even)),
    }
    best, term = max((efficiency(other, n_workers), name) for name, other in without.items())
    return f"{term} ({best:.2f} without)" if best > found + 0.005 else "none"


def measure_rates() -> tuple[float, float]:
    """Return genotypes per CPU second of one thread, in a pass for the factors in float32 and in one of tests."""
    n, p = 4000, 8192
    rng = np.random.default_rng(0)
    codes = np.array([0, 2, 3], np.uint8)[rng.integers(0, 3, (p, n), np.uint8)].reshape(p, -1, 4)
    packed = np.bitwise_or.reduce(codes << np.array([0, 2, 4, 6], np.uint8), axis=2)
    matrix = BedMatrix(PackedNumbers(packed, n), Engine(1, 1 << 30))
    S, W = rng.standard_normal((n, N_COLUMNS)), rng.standard_normal((n, N_TESTED))

    def seconds(run: object) -> float:
        times = []
        for _ in range(4):
            began = time.process_time()
            run()  # type: ignore[operator]
            times.append(time.process_time() - began)
        return min(times[1:])

    with single_threaded_blas():
        of_factors = seconds(lambda: matrix.gram_product(S, precision="float32"))
        of_tests = seconds(lambda: [block.first_snp for block in matrix.cross_products(W)])
    return n * p / of_factors, n * p / of_tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=8, help="threads of a worker")
    parser.add_argument("--gigabits", type=float, nargs="+", default=[1, 10, 100], help="Gb/s of a link")
    parser.add_argument("--storage", type=float, default=0, help="GB/s of storage for all workers; 0: no limit")
    parser.add_argument("--rate", type=float, nargs=2, default=[0, 0], help="10⁹ genotypes/s of a thread, both passes")
    given = parser.parse_args()
    rates = tuple(1e9 * rate for rate in given.rate) if all(given.rate) else measure_rates()
    print(f"one thread: {rates[0] / 1e9:.2f} (factors) and {rates[1] / 1e9:.2f} (tests) · 10⁹ genotypes per CPU second")
    print("| samples × SNPs | pass | workers | Gb/s | efficiency | breaks first |\n|---|---|---|---|---|---|")
    of_worker = (rates[0] * given.threads, rates[1] * given.threads)
    for n, p in SIZES:
        for kind in range(2):
            for n_workers in WORKERS:
                for gigabits in given.gigabits:
                    of = passes_of(n, p, n_workers, of_worker, gigabits * 1e9 / 8, given.storage * 1e9)[kind]
                    found = efficiency(of, n_workers)
                    term = breaking_term(of, n_workers, found)
                    name = ("factors", "tests")[kind]
                    print(f"| {n:,} × {p:,} | {name} | {n_workers} | {gigabits:g} | {found:.2f} | {term} |", flush=True)


if __name__ == "__main__":
    main()
