"""The time that a plan predicts against the time that the run takes, on this machine.

    python bench/run_time.py [--sizes 1000x200000x2 --rounds 3 --threads 2 --solver auto]

Sizes are samples × SNPs × variables, K = 10, results to files, without surrogates. Each run follows its prediction in
the same process; the medians, the median of seen by predicted, and seconds per row of a table beyond the passes, times
the threads, are printed: what `ROW_SECONDS` of `lfmm2.pipeline.run_time` stands for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.pipeline import RunOptions, execute_run, predict_time, prepare_run
from lfmm2.results import open_record

K = 10


def one_run(data, folder: Path, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds predicted and seen, and those of the run that its passes do not take."""
    options = {"out": folder / "r", "n_threads": arguments.threads, "surrogates": 0, "solver": arguments.solver}
    began = time.perf_counter()
    with prepare_run(None, data.bed, data.env, K, RunOptions.from_arguments(options | {"overwrite": True}, "")) as run:
        predicting = time.perf_counter()
        predicted = predict_time(run)
        began += time.perf_counter() - predicting
        execute_run(run)
    seen = time.perf_counter() - began
    passes = sum(record.seconds for record in open_record(folder / "r.lfmm2.json").passes)
    return predicted.seconds, seen, seen - passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1000x200000x2", "5000x50000x2", "300x200000x30"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--solver", default="auto")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    print(f"{'samples x SNPs x d':>20} {'predicted':>10} {'seen':>9} {'ratio':>6} {'s per row':>10}")
    for size in arguments.sizes:
        n_samples, n_snps, d = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            data = lfmm2.simulate(Path(name) / "d", n_samples, n_snps, d)
            runs = np.array([one_run(data, Path(name), arguments) for _ in range(arguments.rounds)])
        predicted, seen, beyond = np.median(runs, axis=0)
        ratio = np.median(runs[:, 1] / runs[:, 0])
        per_row = beyond * arguments.threads / (n_snps * d)
        print(f"{size:>20} {predicted:>8.2f} s {seen:>7.2f} s {ratio:>6.2f} {per_row:>10.1e}", flush=True)


if __name__ == "__main__":
    main()
