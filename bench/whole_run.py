"""The processor time of whole runs on one thread, from files to tables, and how far t is from the dense definition.

    python bench/whole_run.py [--sizes 1000x200000x2x10 --rounds 3 --solver auto] [--check]

Sizes are samples × SNPs × variables × K, with 1 % of the calls missing. CPU s is that of the process of `lfmm2 run`, of
the user and of the system; the seconds of its passes are beside it. --check computes t of 2 000 SNPs by the dense
definition, in n² numbers and some n³ operations, and prints the largest difference.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from pyarrow.csv import read_csv

import lfmm2
from lfmm2.genotypes import Engine, open_source
from lfmm2.results import open_record

# The default of the ridge penalty, for standardised variables.
PENALTY = 1e-5


def cpu_seconds(command: list[str]) -> float:
    """Processor time of a command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} has ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def largest_difference(data, out: Path, K: int) -> float:
    """Of t, relative to max(|t|, 1), from the dense definition at 2 000 SNPs: C by BLAS, LAPACK, least squares."""
    with open_source(data.bed) as source:
        n, p = source.n_samples, source.n_snps
        matrix, C = source.matrix(Engine(1, 1 << 33), np.arange(n), None), np.zeros((n, n))
        chosen, kept = np.linspace(0, p - 1, 2000).astype(int), []
        for block in matrix.cross_products(np.ones((n, 1))):
            values = block.decode(np.arange(len(block.mean)))
            C += values.T @ values
            rows = chosen[(chosen >= block.first_snp) & (chosen < block.first_snp + len(values))] - block.first_snp
            kept.append(values[rows])
    X = read_csv(data.env).drop(["IID"]).to_pandas().to_numpy(float)
    X = (X - X.mean(0)) / X.std(0)
    Q, s, _ = np.linalg.svd(X, full_matrices=False)
    P = np.eye(n) - Q @ np.diag(1 - np.sqrt(PENALTY / (PENALTY + s**2))) @ Q.T
    U = np.linalg.solve(P, np.linalg.eigh(P @ C @ P)[1][:, -K:])
    design, Y = np.hstack([X, U]), np.concatenate(kept).T
    inverse = np.linalg.inv(design.T @ design)
    effects = inverse @ design.T @ Y
    variance = ((Y - design @ effects) ** 2).sum(0) / (n - 1 - design.shape[1])
    t = (effects / np.sqrt(np.outer(np.diag(inverse), variance)))[: X.shape[1]].T
    found = lfmm2.read_results(out).t[chosen]
    return float(np.nanmax(np.abs(found - t) / np.maximum(np.abs(t), 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = ["1000x200000x2x10", "5000x100000x2x10", "10000x50000x2x10", "12129x87036x22x4"]
    parser.add_argument("--sizes", nargs="+", default=sizes)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--solver", default="auto")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    print(f"{'samples x SNPs x d x K':>24} {'solver':>8} {'CPU s':>7} {'passes'}", flush=True)
    for size in arguments.sizes:
        n, p, d, K = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            data, out = lfmm2.simulate(Path(name) / "d", n, p, d, missing_rate=0.01), Path(name) / "r"
            command = [
                sys.executable, "-m", "lfmm2", "run", "--bed", str(data.bed), "--env", str(data.env), "-K", str(K),
                "--threads", "1", "--solver", arguments.solver, "--surrogates", "0", "--out", str(out), "--overwrite",
            ]  # fmt: skip
            seconds = float(np.median([cpu_seconds(command) for _ in range(arguments.rounds)]))
            record = open_record(Path(f"{out}.lfmm2.json"))
            error = f"; t differs by {largest_difference(data, out, K):.1e}" if arguments.check else ""
        passes = ", ".join(f"{one.label} {one.seconds:.2f}" for one in record.passes)
        print(f"{size:>24} {record.factors.solver:>8} {seconds:>7.2f} {passes}{error}", flush=True)


if __name__ == "__main__":
    main()
