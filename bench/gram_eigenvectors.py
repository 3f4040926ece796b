"""The product of a Gram matrix in memory with few columns against dgemm, and the eigenvectors that it is made for.

    python bench/gram_eigenvectors.py [--samples 5000 10000] [--columns 8 12 20] [--threads 2] [--rounds 5]

Medians over rounds, in turn: processor time of dgemm and of the kernel on one thread, wall time of the kernel with all
threads. Then the seconds of `solve_exact` on one thread, K = 10, from a Gram matrix with three axes of structure, and
of its products.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from lfmm2.kernels import _symmetric
from lfmm2.model import KnownGram, SolverOptions, ridge_geometry
from lfmm2.model.eigensolvers import solve_exact
from lfmm2.process import single_threaded_blas

K, N_AXES = 10, 3


def structured_gram(rng, n_samples):
    """A Gram matrix of noise, with a few axes that stand out."""
    Z = rng.standard_normal((n_samples, 2 * n_samples), dtype=np.float32)
    for _ in range(N_AXES):
        Z += (
            0.2
            * rng.standard_normal((n_samples, 1), dtype=np.float32)
            * rng.standard_normal(2 * n_samples, dtype=np.float32)
        )
    C = (Z @ Z.T).astype(float)
    C -= C.mean(axis=0)
    C -= C.mean(axis=1)[:, None]
    return (C + C.T) / 2


class CountedGram(KnownGram):
    """A Gram matrix that counts its products, and their seconds."""

    n_products, seconds = 0, 0.0

    def times(self, S):
        began = time.perf_counter()
        product = super().times(S)
        self.n_products, self.seconds = self.n_products + 1, self.seconds + time.perf_counter() - began
        return product


def seconds(clock, run, *arguments):
    began = clock()
    run(*arguments)
    return clock() - began


def by_dgemm(S, C):
    return (S.T @ C).T


def one_size(rng, n, arguments):
    """Print the products and eigenvectors of n samples."""
    C = structured_gram(rng, n)
    for n_columns in arguments.columns:
        S, out = rng.standard_normal((n, n_columns)), np.empty((n, n_columns))
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append([
                seconds(time.process_time, by_dgemm, S, C),
                seconds(time.process_time, _symmetric.multiply_few, C, S, out, 1),
                seconds(time.perf_counter, _symmetric.multiply_few, C, S, out, arguments.threads),
            ])  # fmt: skip
        rounds = np.array(rounds)
        dgemm, few, threaded = np.median(rounds, axis=0)
        ratio = np.median(rounds[:, 0] / rounds[:, 1])
        print(
            f"{n} samples, {n_columns} columns: dgemm {dgemm:.4f} s, kernel {few:.4f} s ({ratio:.2f} times as fast), "
            f"{arguments.threads} threads {threaded:.4f} s",
            flush=True,
        )
    known = CountedGram(C, 5 * n)
    X = rng.standard_normal((n, 2))
    ridge = ridge_geometry((X - X.mean(axis=0)) / X.std(axis=0), 1e-5)
    taken = seconds(time.perf_counter, solve_exact, known, ridge, K, SolverOptions(solver="exact"))
    print(f"{n} samples: eigenvectors {taken:.1f} s, {known.n_products} products {known.seconds:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[5000, 10_000])
    parser.add_argument("--columns", type=int, nargs="+", default=[8, 12, 20])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with single_threaded_blas():
        for n in arguments.samples:
            one_size(rng, n, arguments)


if __name__ == "__main__":
    main()
