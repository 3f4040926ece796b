"""Passes over packed genotypes against the bare dgemm, side by side in one process.

    python bench/kernel_ratios.py [--rounds 15]

Each round times, one after the other: the 2000³ dgemm, the pass, the same dgemm calls on a decoded tile, the pass
with two threads. Ratios are taken within a round, and the median over rounds is printed, because machines are noisy.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from dgemm import BareProducts, square_dgemm

from lfmm2 import _core
from lfmm2.genotypes.bed_matrix import GRAM_PANEL_SNPS, gram_edge
from lfmm2.genotypes.engine import plan_tiling
from lfmm2.process.threads import single_threaded_blas


def seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


class Passes:
    """Both kernels over random packed genotypes, as `BedMatrix` calls them."""

    def __init__(self, n_samples, n_columns, n_snps):
        rng = np.random.default_rng(1)
        tiling = plan_tiling(n_samples, n_columns)
        self.tiling, self.n = tiling, n_samples
        self.packed = rng.integers(0, 256, (n_snps, -(-n_samples // 4)), dtype=np.uint8)
        self.S = rng.standard_normal((n_samples, n_columns))
        self.G = np.zeros((n_samples, n_columns), order="F")
        self.counts = np.empty((n_snps, 4), np.int64)
        self.products = np.empty((n_snps, n_columns))
        self.accumulators = np.empty(
            (n_samples, n_columns, max(2, min(64, (32 << 20) // (8 * n_samples * n_columns)))), order="F"
        )
        self.work = np.empty((2, _core.workspace_size(tiling.tile_snps, tiling.chunk_samples, n_columns)))

    def gram_product(self, n_threads):
        t = self.tiling
        _core.gram_product(
            self.packed, self.n, 0, self.S, self.G, t.tile_snps, t.chunk_samples, t.group_tiles, self.accumulators,
            self.work, n_threads,
        )  # fmt: skip

    def cross_products(self, n_threads):
        t = self.tiling
        _core.cross_products(
            self.packed, self.n, 0, self.S, self.counts, self.products, t.tile_snps, t.chunk_samples, self.work,
            n_threads,
        )  # fmt: skip

    def gram(self, n_threads):
        C = np.zeros((self.n, self.n), order="F")
        _core.gram(self.packed, self.n, 0, C, gram_edge(self.n), np.empty((GRAM_PANEL_SNPS, self.n)), n_threads)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    square, square_flops = square_dgemm()
    print("pass            n      l  x bare dgemm  % of 2000³   bare %   2 threads   GF/s")
    with single_threaded_blas():
        square()
        for n_samples in (1_000, 10_000):
            for n_columns in (12, 30, 60):
                n_snps = 16_384 if n_samples == 1_000 else 4_096
                # BedMatrix fills up to a multiple of 4 columns; the flops counted are those of the columns asked for
                padded = -(-n_columns // 4) * 4
                passes, bare = Passes(n_samples, padded, n_snps), BareProducts(n_samples, padded)
                for name, flops in (("gram_product", 4), ("cross_products", 2)):
                    flops *= n_samples * n_columns * n_snps
                    run, reference = getattr(passes, name), getattr(bare, name)
                    run(2)
                    reference(n_snps)
                    rows = []
                    for _ in range(rounds):
                        peak = square_flops / seconds(square)
                        one, alone, two = seconds(run, 1), seconds(reference, n_snps), seconds(run, 2)
                        rows.append((one / alone, flops / one / peak, flops / alone / peak, one / two, flops / one))
                    ratio, share, bare_share, gain, rate = np.median(rows, axis=0)
                    print(
                        f"{name:<14} {n_samples:>6} {n_columns:>4} {ratio:>10.2f} {100 * share:>11.0f} "
                        f"{100 * bare_share:>9.0f} {gain:>10.2f} {rate / 1e9:>8.1f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
