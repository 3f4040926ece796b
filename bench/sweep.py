"""A sweep over K = 1 ... 20 against a single run with K = 20: time, and agreement of t with separate runs.

    python bench/sweep.py [--sizes 300x20000 1000x100000 --rounds 5 --variables 1]

All run in this process, one after the other in each round, from the path of the .bed to finished files: the single run,
the sweep with one ridge penalty, and the sweep with 1x beside it, as by default. Medians of processor times and of
ratios to the single run within a round are printed; then, of the first size, the largest difference between t of the
sweep and of separate runs (exact) with each K, relative to max(|t|, 1).
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.model.sweep import SweepModel
from lfmm2.pipeline import execute_estimation, prepare_run
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.run_options import RunOptions, TestOptions
from lfmm2.pipeline.statistics_store import collect_statistics

K = 20


def seconds(data, folder, **options) -> float:
    started = time.process_time()
    lfmm2.run(None, data.bed, data.env, K, out=folder / "r", overwrite=True, **options)
    return time.process_time() - started


def largest_difference(data) -> float:
    """Between t of the sweep and those of separate runs."""
    worst = 0.0
    with prepare_run(None, data.bed, data.env, K, RunOptions(test=TestOptions(sweep=f"1:{K}"))) as prepared:
        factors, inputs = execute_estimation(prepared), prepared.inputs
        ks = inputs.numbers.ks
        model = SweepModel(inputs.ridge, factors, K, ks, len(inputs.variables.names), "intercept")
        store = collect_statistics(model, inputs.tested_matrix(None, inputs.make_engine()), Checkpoints())
        for i, k in enumerate(ks):
            alone = lfmm2.run(None, data.bed, data.env, k, solver="exact").t
            swept = np.column_stack([rows.array[:, i] for rows in store.sweeps])
            worst = max(worst, float(np.nanmax(np.abs(swept - alone) / np.maximum(np.abs(alone), 1))))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", default=["300x20000", "1000x100000"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variables", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    difference = None
    print(f"{'samples x SNPs':>18} {'K = 20':>9} {'1:20':>9} {'ratio':>7} {'and 1x':>9} {'ratio':>7}")
    for size in arguments.sizes:
        n_samples, n_snps = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            data = lfmm2.simulate(folder / "d", n_samples, n_snps, arguments.variables)
            seconds(data, folder)
            how = ({}, {"sweep": f"1:{K}", "sweep_lambda": 1e-5}, {"sweep": f"1:{K}"})
            times = np.array([[seconds(data, folder, **options) for options in how] for _ in range(arguments.rounds)])
            single, alone, both = np.median(times, axis=0)
            ratios = np.median(times / times[:, :1], axis=0)
            print(
                f"{size:>18} {single:>7.3f} s {alone:>7.3f} s {ratios[1]:>7.2f} {both:>7.3f} s {ratios[2]:>7.2f}",
                flush=True,
            )
            if difference is None:
                difference = largest_difference(data)
    print(f"t of each K against a separate run: at most {difference:.1e} relative")


if __name__ == "__main__":
    main()
