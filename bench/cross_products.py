"""Cross-products by tables of sums against dgemm on decoded genotypes, on one thread of one process, in turn.

    python bench/cross_products.py [--rounds 7] [--samples 1000 10000] [--columns 4 12 32] [--missing 0 0.005 0.1 0.5]

`tables` are gigaflops, 2 n m p by processor time, at the widest registers; `dgemm` are those of `_core.cross_products`.
The other columns are medians of the ratios of both times within a round, for every width of registers that this
processor has. Set OPENBLAS_CORETYPE=Haswell to compare AVX2 with AVX2. `error` is the largest difference from dgemm,
over the length of the SNP times that of the column.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from lfmm2 import _core
from lfmm2.genotypes.engine import plan_tiling
from lfmm2.genotypes.matrix import padded_columns
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _products
from lfmm2.process import single_threaded_blas


def draw(rng, n_samples, n_snps, missing):
    """Packed genotypes of SNPs of all frequencies."""
    dosage = rng.binomial(2, rng.uniform(0.02, 0.5, (n_snps, 1)), (n_snps, n_samples)).astype(np.int8)
    dosage[rng.random(dosage.shape) < missing] = -1
    return encode_bed(dosage)


class Kernels:
    """Both kernels on the same genotypes and orthonormal columns, and the processor time that each takes."""

    def __init__(self, rng, n_samples, n_snps, n_columns, missing):
        self.n, self.packed = n_samples, draw(rng, n_samples, n_snps, missing)
        W = np.linalg.qr(rng.standard_normal((n_samples, n_columns)))[0]
        self.W = np.zeros((n_samples, padded_columns(n_columns)))
        self.W[:, :n_columns] = W
        self.tiling = plan_tiling(n_samples, self.W.shape[1])
        self.counts = np.empty((n_snps, 4), np.int64)
        self.columns = np.empty(_products.columns_size(*self.W.shape))
        _products.arrange_columns(self.W, self.columns)
        m, tile, chunk = self.W.shape[1], self.tiling.tile_snps, self.tiling.chunk_samples
        # Filled, because the first use of memory takes time.
        self.work_of_dgemm = np.ones((1, _core.workspace_size(tile, chunk, m)))
        self.work = np.ones((1, _products.workspace_size(n_samples, m)))
        self.products_of_dgemm, self.products = np.ones((2, n_snps, m))

    def dgemm(self):
        started = time.process_time()
        _core.cross_products(
            self.packed, self.n, 0, self.W, self.counts, self.products_of_dgemm, self.tiling.tile_snps,
            self.tiling.chunk_samples, self.work_of_dgemm,
        )  # fmt: skip
        return time.process_time() - started

    def tables(self, registers):
        _products.use_registers(registers)
        started = time.process_time()
        _products.cross_products(self.packed, self.n, 0, self.columns, self.counts, self.products, self.work)
        return time.process_time() - started

    def decoded(self):
        dosage = np.empty((len(self.packed), self.n))
        _core.decode_block(self.packed, self.n, 0, dosage)
        return dosage


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--columns", type=int, nargs="+", default=[4, 12, 32])
    parser.add_argument("--missing", type=float, nargs="+", default=[0.0, 0.005, 0.1, 0.5])
    chosen = parser.parse_args()
    rng = np.random.default_rng(1)
    names = [name for name in _products.REGISTERS if _products.use_registers(name) == name]
    print("     n   m  missing   tables    dgemm   " + "  ".join(f"x {name:<8}" for name in names) + "    error")
    with single_threaded_blas():
        for n in chosen.samples:
            n_snps = max(2048, 2048 * (8_000 // n))
            for m in chosen.columns:
                for missing in chosen.missing:
                    kernels, seconds = Kernels(rng, n, n_snps, m, missing), []
                    for _ in range(chosen.rounds):
                        seconds.append([kernels.dgemm(), *(kernels.tables(name) for name in names)])
                    times = np.array(seconds)
                    rates = 2e-9 * n * m * n_snps / np.median(times, axis=0)
                    ratios = np.median(times[:, :1] / times[:, 1:], axis=0)
                    lengths = np.linalg.norm(kernels.decoded(), axis=1)
                    error = np.abs(kernels.products - kernels.products_of_dgemm).max(axis=1) / np.maximum(lengths, 1)
                    print(
                        f"{n:>6} {m:>3} {missing:>8} {rates[-1]:>8.1f} {rates[0]:>8.1f}   "
                        + "  ".join(f"{ratio:>10.2f}" for ratio in ratios)
                        + f" {error.max():>8.0e}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
