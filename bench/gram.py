"""The Gram matrix by integers against dsyrk on decoded genotypes, on one thread of one process, in turn.

    python bench/gram.py [--rounds 7] [--samples 1000 5000] [--missing 0 0.005 0.05]

Gigaflops are n² p by processor time, decoding included for all but dsyrk, which multiplies doubles that are there: the
median over rounds. `decoded` is the kernel that decodes and calls dsyrk and dgemm. The last columns are medians of the
ratios within a round, of the widest level. Set OPENBLAS_CORETYPE=Haswell to compare AVX2 with AVX2.
"""

import argparse
import time

import numpy as np
from scipy.linalg.blas import dsyrk

from lfmm2 import _core
from lfmm2.genotypes.bed_matrix import GRAM_PANEL_SNPS, gram_edge
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _gram
from lfmm2.process import single_threaded_blas

DSYRK_SNPS = 512


def draw(rng, n_samples, n_snps, missing):
    """Packed genotypes of SNPs of all frequencies."""
    dosage = rng.binomial(2, rng.uniform(0.05, 0.95, (n_snps, 1)), (n_snps, n_samples)).astype(np.int8)
    dosage[rng.random(dosage.shape) < missing] = -1
    return encode_bed(dosage)


class Kernels:
    """The kernels on the same genotypes, and the seconds of processor time that each takes."""

    def __init__(self, rng, n_samples, n_snps, missing):
        self.n, self.packed = n_samples, draw(rng, n_samples, n_snps, missing)
        self.decoded_panel = rng.standard_normal((DSYRK_SNPS, n_samples))
        self.work = {}

    def counted(self, level):
        _gram.use_multiplier(level)
        if level not in self.work:
            calls, sums, starts, words = _gram.workspace_shapes(self.n, 1)
            integers = np.empty(calls, np.uint64), np.empty(starts, np.int64), np.empty(words, np.uint64)
            self.work[level] = integers[0], np.empty(sums), *integers[1:]
        C = np.zeros((self.n, self.n), order="F")
        counts = np.empty((len(self.packed), 4), np.int64)
        _core.count_genotypes(self.packed, self.n, counts)
        lists = np.empty(_gram.most_missing(counts, self.n), np.uint16)
        _gram.add_gram(self.packed, self.n, counts, C, *self.work[level], lists)
        _gram.fold_gram(C)

    def decoded(self):
        C = np.zeros((self.n, self.n), order="F")
        _core.gram(self.packed, self.n, 0, C, gram_edge(self.n), np.empty((GRAM_PANEL_SNPS, self.n)))

    def dsyrk(self):
        dsyrk(1.0, self.decoded_panel.T, lower=1)


def seconds(run, *arguments):
    began = time.process_time()
    run(*arguments)
    return time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--missing", type=float, nargs="+", default=[0.0, 0.005, 0.05])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    levels = [level for level in _gram.MULTIPLIERS if _gram.use_multiplier(level) == level]
    names = ["dsyrk", "decoded", *levels]
    heads = "".join(f"{name:>10}" for name in names)
    print(f"{'n':>6} {'missing':>8}{heads}   × dsyrk  × decoded   (GF of n² p by {levels[-1]})")
    with single_threaded_blas():
        for n_samples in arguments.samples:
            n_snps = 32_768 if n_samples <= 2000 else 8192
            for missing in arguments.missing:
                kernels = Kernels(rng, n_samples, n_snps, missing)
                taken = {name: [] for name in names}
                for _ in range(arguments.rounds):
                    taken["dsyrk"].append(seconds(kernels.dsyrk) * n_snps / DSYRK_SNPS)
                    taken["decoded"].append(seconds(kernels.decoded))
                    for level in levels:
                        taken[level].append(seconds(kernels.counted, level))
                of = {name: np.array(times) for name, times in taken.items()}
                gigaflops = "".join(f"{n_samples**2 * n_snps / np.median(of[name]) / 1e9:>10.0f}" for name in names)
                ratios = [np.median(of[name] / of[levels[-1]]) for name in ("dsyrk", "decoded")]
                print(f"{n_samples:>6} {missing:>8.3f}{gigaflops}{ratios[0]:>10.1f}{ratios[1]:>11.1f}", flush=True)


if __name__ == "__main__":
    main()
