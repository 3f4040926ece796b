"""A pass of krylov in float32 and in float64 against dgemm on decoded tiles, side by side in one process.

    python bench/krylov_pass.py [--rounds 7] [--samples 5000 50000] [--columns 16 32]

Each round times, one after the other: the dgemm calls of the pass on a tile that is decoded already, the pass in
float64, and the pass in float32 at every level that the processor has. Rates are those of 4 n l flops per SNP and of
processor time of one thread; medians over rounds, and of ratios within a round. The last columns are the gain from a
second thread, and the error of the float32 product relative to the length of its columns, the largest of them.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from dgemm import BareProducts

from lfmm2 import _core
from lfmm2.genotypes.bed_matrix import SHARED_SAMPLES
from lfmm2.genotypes.engine import plan_tall_tiling, plan_tiling
from lfmm2.kernels import _gram_float32
from lfmm2.process import single_threaded_blas


class Passes:
    """Both passes over the same packed genotypes, as `BedMatrix` makes them."""

    def __init__(self, n_samples, n_columns, n_snps):
        rng = np.random.default_rng(1)
        self.n, self.l, self.tiling = n_samples, n_columns, plan_tiling(n_samples, n_columns)
        self.packed = rng.integers(0, 256, (n_snps, -(-n_samples // 4)), dtype=np.uint8)
        self.S = np.linalg.qr(rng.standard_normal((n_samples, n_columns)))[0].copy()
        self.shares_samples = n_samples >= SHARED_SAMPLES
        if self.shares_samples:
            self.tiling = plan_tall_tiling(n_columns)
        self.accumulators = np.empty((n_samples, n_columns, 2), order="F")
        self.tiles = np.empty((2, _core.workspace_size(self.tiling.tile_snps, self.tiling.chunk_samples, n_columns)))
        self.Z, self.of_codes = np.empty((n_snps, n_columns)), np.empty((n_snps, 4))
        self.counts = np.empty((n_snps, 4), np.int64)
        self.columns = np.empty(_gram_float32.columns_size(n_samples, n_columns), np.float32)
        self.values, self.T = np.empty((n_snps, 4), np.float32), np.empty(n_snps * n_columns, np.float32)
        self.work = np.empty((2, _gram_float32.workspace_size(n_columns)))

    def double(self, n_threads=1):
        G, t = np.zeros((self.n, self.l), order="F"), self.tiling
        if self.shares_samples:
            _core.gram_product_by_rows(
                self.packed, self.n, 0, self.S, G, t.tile_snps, t.chunk_samples, self.Z, self.of_codes, self.tiles,
                n_threads,
            )  # fmt: skip
            return G
        _core.gram_product(
            self.packed, self.n, 0, self.S, G, t.tile_snps, t.chunk_samples, t.group_tiles, self.accumulators,
            self.tiles, n_threads,
        )  # fmt: skip
        return G

    def single(self, n_threads=1):
        G = np.zeros((self.n, self.l), order="F")
        _core.count_genotypes(self.packed, self.n, self.counts, n_threads)
        _gram_float32.pack_columns(self.S, self.columns)
        _gram_float32.add_gram_product(
            self.packed, self.n, 0, self.counts, self.columns, G, self.values, self.T, self.work, n_threads
        )  # fmt: skip
        return G


def seconds(run, *arguments, clock=time.process_time):
    began = clock()
    run(*arguments)
    return clock() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--columns", type=int, nargs="+", default=[16, 32])
    arguments = parser.parse_args()
    levels = [level for level in _gram_float32.INSTRUCTION_SETS if _gram_float32.use_instructions(level) == level]
    rates = "".join(f"{name:>10}" for name in ("dgemm", "float64", *levels))
    print(f"{'n':>6} {'l':>3}{rates}   × dgemm: {' '.join(['float64', *levels])}   threads   error")
    with single_threaded_blas():
        for n_samples in arguments.samples:
            n_snps = 4096 if n_samples <= 10_000 else 1024
            for n_columns in arguments.columns:
                passes, bare = Passes(n_samples, n_columns, n_snps), BareProducts(n_samples, n_columns)
                taken = {name: [] for name in ("dgemm", "float64", *levels)}
                gains = []
                for _ in range(arguments.rounds):
                    taken["dgemm"].append(seconds(bare.gram_product, n_snps))
                    taken["float64"].append(seconds(passes.double))
                    for level in levels:
                        _gram_float32.use_instructions(level)
                        taken[level].append(seconds(passes.single))
                    one, two = (seconds(passes.single, n, clock=time.perf_counter) for n in (1, 2))
                    gains.append(one / two)
                of = {name: np.array(times) for name, times in taken.items()}
                flops = 4 * n_samples * n_columns * n_snps
                shown = "".join(f"{flops / np.median(times) / 1e9:>10.0f}" for times in of.values())
                ratios = " ".join(f"{np.median(of['dgemm'] / of[name]):7.2f}" for name in ("float64", *levels))
                expected = passes.double()
                error = (np.linalg.norm(passes.single() - expected, axis=0) / np.linalg.norm(expected, axis=0)).max()
                print(
                    f"{n_samples:>6} {n_columns:>3}{shown}   {ratios}   {np.median(gains):.2f}   {error:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
