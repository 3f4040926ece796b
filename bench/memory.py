"""Peak resident memory of runs that differ in the number of SNPs only.

    python bench/memory.py [--samples 10000 --snps 50000]

Each run is a process of its own; the peak is what the system says of it when it has ended, Python and libraries
included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lfmm2


def peak_of(*arguments):
    """Peak resident MB and seconds of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{arguments} ended with {status}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--snps", type=int, default=50_000)
    parser.add_argument("-K", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for n_snps in (arguments.snps, 2 * arguments.snps):
            data = lfmm2.simulate(Path(name) / "d", arguments.samples, n_snps, 1, overwrite=True)
            command = ["run", "--bed", str(data.bed), "--env", str(data.env), "-K", str(arguments.K)]
            peak, seconds = peak_of(
                sys.executable, "-m", "lfmm2", *command, "--out", str(Path(name) / "r"), "--overwrite"
            )
            print(f"{arguments.samples} samples x {n_snps} SNPs, K={arguments.K}: peak {peak:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
