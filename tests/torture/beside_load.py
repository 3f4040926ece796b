"""The tests that look at the clock, many times beside busy loops: `make test` must pass on a machine that is busy.

PYTHONPATH=tests python -m torture.beside_load [--times 50] [--loops 8] [--nice 0]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Tests whose verdict hangs on when something happens: on the clock, on a signal, on which of two processes is first.
TIMED = (
    "cli/test_program.py::test_interrupted_run_ends_within_a_second_and_can_be_resumed",
    "cli/test_program.py::test_run_interrupted_while_it_writes_can_be_resumed",
    "cli/test_program.py::test_factorisation_that_python_cannot_interrupt_is_ended",
    "cli/test_program.py::test_error_after_a_signal_that_a_library_swallowed_is_an_interruption",
    "cli/test_program.py::test_reader_of_the_output_that_goes_away_is_no_internal_error",
    "files/test_folder_lock.py",
    "genotypes/test_engine.py",
    "genotypes/test_matrix.py::test_bed_matrix_of_chosen_samples_takes_two_passes_at_once",
    "pipeline/test_state_folder.py::test_file_is_flushed_only_when_that_is_due",
    "pipeline/test_state_folder.py::test_lock_ends_with_the_run_also_for_a_child_that_was_forked_meanwhile",
    "pipeline/test_state_folder.py::test_lock_of_another_process_is_named_and_ends_with_it",
    "pipeline/test_state_folder.py::test_slow_disk_is_waited_for_less_often",
    "process/test_progress.py",
    "test_guest_manners.py",
)


@contextlib.contextmanager
def load(n_loops: int, niceness: int) -> Iterator[None]:
    """Keep so many loops busy."""
    loops = [
        subprocess.Popen([sys.executable, "-c", f"import os\nos.nice({niceness})\nwhile True: pass"])
        for _ in range(n_loops)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_once() -> list[str]:
    """Run the tests; return the names of those that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(TESTS / name) for name in TIMED)],
        cwd=TESTS.parent, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed or ([] if done.returncode == 0 else [f"pytest ended with {done.returncode}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture.beside_load", description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--loops", type=int, default=8)
    parser.add_argument("--nice", type=int, default=0, help="niceness of the loops; 19 leaves the machine to others")
    arguments = parser.parse_args()
    failed: Counter[str] = Counter()
    began = time.monotonic()
    with load(arguments.loops, arguments.nice):
        for _ in range(arguments.times):
            failed.update(run_once())
    seconds = time.monotonic() - began
    print(f"{arguments.times} times {len(TIMED)} tests and modules beside {arguments.loops} loops, {seconds:.0f} s")
    print("".join(f"failed {n} times: {name}\n" for name, n in failed.most_common()) or "none failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
