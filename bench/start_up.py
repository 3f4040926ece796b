"""What a user waits for beside the passes: the start of the program, a small run, and tables of many variables.

Each row is a process of its own. CPU s is that of the whole process, of the user and of the system, over all its
threads; the libraries as they import by themselves are the measure of the other rows.

    python bench/start_up.py --rounds 7
    python bench/start_up.py --many 1000 200000 100 --threads 1
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2

LIBRARIES = "import numpy, pyarrow.parquet, scipy.linalg.cython_blas, scipy.special, click"
PACKAGE = "import lfmm2; lfmm2.run"
PROGRAM = [sys.executable, "-m", "lfmm2"]


def measure(command: list[str], rounds: int) -> tuple[float, float]:
    """Return the medians of CPU seconds and of seconds of a command."""
    cpu, wall = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} has ended with {process.returncode}")
        cpu.append(usage.ru_utime + usage.ru_stime)
    return float(np.median(cpu)), float(np.median(wall))


def run_command(folder: Path, n_samples: int, n_snps: int, n_variables: int, threads: int | None) -> list[str]:
    """Simulate data, and return the command that runs lfmm2 with default options on them."""
    data = lfmm2.simulate(folder / f"d{n_variables}", n_samples, n_snps, n_variables, n_causal=2)
    limit = [] if threads is None else ["--threads", str(threads)]
    out = folder / "results"
    return [*PROGRAM, "run", "--bed", str(data.bed), "--env", str(data.env), "-K", "3", "--out", str(out),
            "--overwrite", *limit]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of the runs; all processors by default")
    parser.add_argument(
        "--many", type=int, nargs=3, default=[300, 20_000, 20], metavar=("SAMPLES", "SNPS", "VARIABLES"),
        help="size of the run of many variables",
    )  # fmt: skip
    arguments = parser.parse_args()
    n, p, d = arguments.many
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {
            "numpy, pyarrow.parquet, scipy, click": [sys.executable, "-c", LIBRARIES],
            "import lfmm2.run in Python": [sys.executable, "-c", PACKAGE],
            "lfmm2 --version": [*PROGRAM, "--version"],
            "lfmm2 run, 300 × 20 000, 1 variable": run_command(folder, 300, 20_000, 1, arguments.threads),
            f"lfmm2 run, {n} × {p}, {d} variables": run_command(folder, n, p, d, arguments.threads),
        }
        print("| process | CPU s | × libraries | s |\n|---|---|---|---|")
        floor = 0.0
        for label, command in rows.items():
            cpu, wall = measure(command, arguments.rounds)
            floor = floor or cpu
            print(f"| {label} | {cpu:.2f} | {cpu / floor:.2f} | {wall:.2f} |", flush=True)


if __name__ == "__main__":
    main()
