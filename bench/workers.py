"""Two worker processes of one thread against one process of two threads: wall and CPU seconds of whole runs.

    python bench/workers.py [--samples 1000] [--snps 200000] [--rounds 5]

Runs alternate, and each prints the median of the ratios taken within a round. All tables are compared, byte for byte.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2

WAYS = {"one process": ["--threads", "2"], "two workers": ["--threads", "1", "--workers", "2"]}


def run(folder: Path, solver: str, name: str) -> tuple[float, float]:
    """Run the command in a process of its own; return its seconds, and those of all of its processors."""
    command = [sys.executable, "-m", "lfmm2", "run", "--bed", "d", "--env", "d.env.csv", "-K", "5", "--overwrite"]
    command += ["--solver", solver, "--surrogates", "0", "--out", name.partition(" ")[0], *WAYS[name]]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--snps", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lfmm2.simulate(folder / "d", n_samples=given.samples, n_snps=given.snps, seed=1)
        print("solver  wall (s) of one, of two, ratio   CPU (s) of one, of two, ratio")
        for solver in ("krylov", "exact"):
            seconds = np.array([[run(folder, solver, way) for way in WAYS] for _ in range(given.rounds)])
            tables = [sorted(folder.glob(f"{way.partition(' ')[0]}.*.parquet")) for way in WAYS]
            assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*tables, strict=True))
            cells = []
            for kind in range(2):  # wall, CPU
                one, two = np.median(seconds[:, :, kind], axis=0)
                ratio = np.median(seconds[:, 1, kind] / seconds[:, 0, kind])
                cells.append(f"{one:8.2f} {two:8.2f} {ratio:8.2f}")
            print(f"{solver:<7} {cells[0]}        {cells[1]}", flush=True)


if __name__ == "__main__":
    main()
