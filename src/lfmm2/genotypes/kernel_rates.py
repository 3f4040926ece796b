"""Rates of the passes on this machine, measured on random genotypes in memory.

They are those of the verbs that a run calls, so they tell what a run on this machine can reach, and whether the kernels
that the processor allows are as fast as they should be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from scipy.linalg.blas import dgemm

from lfmm2._typing import Ints, Packed
from lfmm2._words import with_spaces
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.process import single_threaded_blas

# Samples and SNPs of the passes: 4 MB of packed genotypes and 8 MB of Gram matrix.
N_SAMPLES, N_SNPS = 1000, 1 << 14
# Columns of products, as those of a test with 10 factors and some variables.
N_COLUMNS = 16
# Share of missing calls of the pass that has some.
MISSING = 0.005
# Edge of the square product that is the measure of the others.
DGEMM_EDGE = 1000
# Bytes that a pass may take.
MEMORY = 1 << 30
# Times that each is measured; the median is told.
N_ROUNDS = 5


@dataclass(frozen=True)
class PackedNumbers:
    """Packed genotypes in memory, as a `PackedReader`."""

    packed: Packed
    n_samples: int

    @property
    def n_snps(self) -> int:
        return len(self.packed)

    @property
    def bytes_per_snp(self) -> int:
        return int(self.packed.shape[1])

    def read_packed(self, first_snp: int, packed_out: Packed) -> None:
        packed_out[:] = self.packed[first_snp : first_snp + len(packed_out)]

    def read_snps(self, snps: Ints, packed_out: Packed) -> None:
        packed_out[:] = self.packed[snps]

    def check_unchanged(self) -> None:
        return


def draw_genotypes(missing: float) -> PackedNumbers:
    """Draw genotypes of all kinds alike, but for a share of missing calls."""
    rng = np.random.default_rng(0)
    # Codes 0, 2 and 3 are called; 1 is missing.
    codes = np.array([0, 2, 3], np.uint8)[rng.integers(0, 3, (N_SNPS, N_SAMPLES), np.uint8)]
    codes[rng.random(codes.shape, np.float32) < missing] = 1
    four = codes.reshape(N_SNPS, -1, 4) << np.array([0, 2, 4, 6], np.uint8)
    return PackedNumbers(np.bitwise_or.reduce(four, axis=2), N_SAMPLES)


def measure_rates(n_threads: int) -> dict[str, str]:
    """Return the rates of the passes with one thread, and with `n_threads` if these are more, as sentences by name.

    Flops are those of the textbook, n² per SNP for a Gram matrix and 4 n l for a product with l columns, however a
    kernel does with fewer.
    """
    threads = [1] if n_threads == 1 else [1, n_threads]
    complete, incomplete = draw_genotypes(0.0), draw_genotypes(MISSING)
    columns = np.random.default_rng(1).standard_normal((N_SAMPLES, N_COLUMNS))

    def gram(genotypes: PackedNumbers, n: int) -> None:
        _matrix(genotypes, n).gram()

    def product(n: int) -> None:
        _matrix(incomplete, n).gram_product(columns)

    def tests(n: int) -> None:
        for _ in _matrix(incomplete, n).cross_products(columns):
            pass

    def rates(run: Callable[[int], None], amount: float) -> list[float]:
        return [amount / _seconds(partial(run, n)) for n in threads]

    n_products = float(N_SNPS) * N_SAMPLES
    with single_threaded_blas():
        dense = _dgemm_rate()
        counted = {missing: rates(partial(gram, genotypes), n_products * N_SAMPLES)
                   for missing, genotypes in ((0.0, complete), (MISSING, incomplete))}  # fmt: skip
        products = rates(product, 4 * n_products * N_COLUMNS)
        tested = rates(tests, N_SNPS)
    size = f"{with_spaces(N_SAMPLES)} samples, {with_spaces(N_SNPS)} SNPs"
    return {
        "measured": f"{size}; {'1 thread' if n_threads == 1 else f'1 / {n_threads} threads'}",
        "dgemm": f"{dense / 1e9:.0f} Gflop/s with 1 thread",
        **{f"gram, {missing:.1%} missing": f"{_shown(found, 1e9)} Gflop/s, {found[0] / dense:.1f} times dgemm"
           for missing, found in counted.items()},
        "products": f"{_shown(products, 1e9)} Gflop/s in float64, {N_COLUMNS} columns",
        "tests": f"{_shown(tested, 1e3)} thousand SNPs/s, {N_COLUMNS} columns",
    }  # fmt: skip


def _dgemm_rate() -> float:
    """Return the flops per second of the product of two square matrices."""
    square = np.asfortranarray(np.random.default_rng(2).standard_normal((DGEMM_EDGE, DGEMM_EDGE)))
    return 2.0 * DGEMM_EDGE**3 / _seconds(partial(dgemm, 1.0, square, square))


def _matrix(genotypes: PackedNumbers, n_threads: int) -> BedMatrix:
    """Return the matrix of all genotypes for a number of threads."""
    return BedMatrix(genotypes, Engine(n_threads, MEMORY))


def _seconds(run: Callable[[], object]) -> float:
    """Return the wall time: the median of some rounds after a first one."""
    seconds = []
    for _ in range(N_ROUNDS + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return median(seconds[1:])


def _shown(rates: list[float], unit: float) -> str:
    """Show rates with one thread and with more."""
    return " / ".join(f"{rate / unit:.0f}" for rate in rates)
