"""Passes over numbers in memory against bare BLAS, and a whole run over a memory-mapped file of float32.

    python bench/array_sources.py [--rounds 5] [--samples 400 2000] [--features 40960] [--threads 2] [--run 450000]

Times are medians of ratios within a round, by processor time on one thread: `bare` is the BLAS call of the same shape
on blocks that are already centred, sgemm or ssyrk for a Gram matrix of float32 and float64 else. `ratio` is bare by
ours: 1 means that reading, conversion, centring and moments cost nothing. With `--run p`, the time of `lfmm2.run` on
400 samples and p features, K = 6, solver exact, in a file that is mapped, and the largest difference of t from float64.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.genotypes import Engine
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.process import single_threaded_blas

BLOCK = 2048
# Columns of the products: those of a test of two variables with six factors, and of krylov.
TESTED, ITERATED = 8, 24


def timed(work):
    """Processor time of one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def passes(values):
    """The three verbs over an array, and the bare BLAS calls on its centred blocks."""
    matrix = ArrayMatrix(values, Engine(1, 1 << 33))
    n, kind = matrix.n_samples, values.dtype
    rng = np.random.default_rng(0)
    W, S = rng.standard_normal((n, TESTED)), rng.standard_normal((n, ITERATED))
    block = rng.standard_normal((BLOCK, n))
    single = block.astype(kind)
    n_blocks = -(-matrix.n_snps // BLOCK)

    def bare(product):
        return lambda: [product() for _ in range(n_blocks)]

    precision = "float32" if kind == np.float32 else "float64"
    return {
        "cross_products": (lambda: [None for _ in matrix.cross_products(W)], bare(lambda: block @ W)),
        "gram_product": (lambda: matrix.gram_product(S), bare(lambda: block.T @ (block @ S))),
        "gram": (lambda: matrix.gram(precision=precision), bare(lambda: single.T @ single)),
    }


def compare(args):
    """Print the ratios of all verbs."""
    print(f"{'samples':>8} {'type':>8} {'order':>5} {'verb':>15} {'s':>7} {'ratio':>6}")
    for n in args.samples:
        drawn = np.random.default_rng(1).standard_normal((n, args.features), np.float32)
        for kind in (np.float32, np.float64):
            for order in "CF":
                values = np.asarray(drawn, kind, order=order)
                for verb, (ours, bare) in passes(values).items():
                    with single_threaded_blas():
                        rounds = [(timed(ours), timed(bare)) for _ in range(args.rounds)]
                    ratio = np.median([b / a for a, b in rounds])
                    seconds = np.median([a for a, _ in rounds])
                    print(f"{n:>8} {np.dtype(kind).name:>8} {order:>5} {verb:>15} {seconds:>7.3f} {ratio:>6.2f}")


def map_methylation(path, n, p):
    """Write a file of betas with six factors, and map it."""
    rng = np.random.default_rng(0)
    U = rng.standard_normal((n, 6)).astype(np.float32)
    values = np.memmap(path, np.float32, "w+", shape=(n, p))
    for first in range(0, p, 50_000):
        b = min(50_000, p - first)
        noise = 0.5 * rng.standard_normal((n, b), np.float32) + rng.standard_normal(b, np.float32)
        values[:, first : first + b] = 1 / (1 + np.exp(-(0.3 * U @ rng.standard_normal((6, b), np.float32) + noise)))
    values.flush()
    return np.memmap(path, np.float32, "r", shape=(n, p))


def run(args):
    """Print wall and processor time of whole runs."""
    with tempfile.TemporaryDirectory() as folder:
        values = map_methylation(Path(folder) / "betas", 400, args.run)
        x = np.random.default_rng(1).standard_normal(400)
        lfmm2.run(None, values[:, :5000], x, 6, solver="exact", n_threads=args.threads)
        for _ in range(args.rounds):
            begin, processor = time.perf_counter(), time.process_time()
            result = lfmm2.run(None, values, x, 6, solver="exact", n_threads=args.threads)
            wall, processor = time.perf_counter() - begin, time.process_time() - processor
            print(f"run of 400 × {args.run} float32, {args.threads} threads: {wall:.2f} s, processor {processor:.2f} s")
        exact = lfmm2.run(None, values.astype(np.float64), x, 6, solver="exact", n_threads=args.threads)
        print(f"largest difference of t from float64: {np.nanmax(abs(result.t - exact.t)):.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, nargs="*", default=[400, 2000])
    parser.add_argument("--features", type=int, default=40_960)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=int, default=450_000)
    arguments = parser.parse_args()
    compare(arguments)
    if arguments.run:
        run(arguments)
