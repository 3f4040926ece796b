"""Passes over other sources of genotypes against the same pass over one .bed, side by side in one process.

    python bench/sources.py [--rounds 9] [--folder FOLDER]

Each round makes a pass over one .bed and then over each other source of the same genotypes; the median over rounds of
the ratio of their times is printed, and that of the processor time, which other programs disturb less. Files are read
from the cache of the system. Sources are named in `SOURCES`, a
function each that writes the files and opens them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.genotypes.source import GenotypeSource
from lfmm2.genotypes.source_kinds import open_source
from lfmm2.process.threads import single_threaded_blas

SIZES = ((1_000, 200_000), (5_000, 100_000))
N_FILES = 22
MAGIC = b"\x6c\x1b\x01"
N_THREADS, MEMORY = 2, 2 << 30


class Genotypes:
    """Random calls of n samples, 2 % of them missing, packed."""

    def __init__(self, n_samples, n_snps):
        rng = np.random.default_rng(1)
        self.n_samples, self.n_snps = n_samples, n_snps
        self.packed = np.empty((n_snps, -(-n_samples // 4)), np.uint8)
        for first in range(0, n_snps, 2_000):
            rows = slice(first, min(first + 2_000, n_snps))
            shape = rows.stop - first, n_samples
            dosages = rng.binomial(2, rng.uniform(0.05, 0.95, (shape[0], 1)), shape).astype(np.int8)
            dosages[rng.random(shape) < 0.02] = -1
            self.packed[rows] = encode_bed(dosages)

    def write(self, path, snps, order=None):
        """Write some SNPs as a fileset, with the samples in another order if one is given."""
        order = range(self.n_samples) if order is None else order
        packed = self.packed[snps]
        if not isinstance(order, range):
            codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(len(packed), -1)
            codes = np.pad(codes[:, order], ((0, 0), (0, -len(order) % 4))).reshape(len(packed), -1, 4)
            packed = (codes << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
        path.write_bytes(MAGIC + packed.tobytes())
        path.with_suffix(".fam").write_text("".join(f"0 i{k} 0 0 0 -9\n" for k in order))
        lines = (f"{path.stem}\ts{j}\t0\t{j + 1}\tA\tC\n" for j in range(snps.start, snps.stop))
        path.with_suffix(".bim").write_text("".join(lines))
        return path


def open_one(genotypes, folder):
    return open_source(genotypes.write(folder / "one.bed", slice(0, genotypes.n_snps)))


def open_several(genotypes, folder):
    return open_source(write_parts(genotypes, folder, "part"))


def open_several_shuffled(genotypes, folder):
    order = np.random.default_rng(2).permutation(genotypes.n_samples)
    return open_source(write_parts(genotypes, folder, "shuffled", order))


def write_parts(genotypes, folder, name, order=None):
    """Write the genotypes as `N_FILES` filesets, all but the first with their samples in this order."""
    bounds = np.linspace(0, genotypes.n_snps, N_FILES + 1).astype(int)
    return [
        genotypes.write(folder / f"{name}{k}.bed", slice(first, end), order if k else None)
        for k, (first, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    ]


SOURCES: dict[str, Callable[[Genotypes, Path], GenotypeSource]] = {
    f"{N_FILES} .bed": open_several,
    f"{N_FILES} .bed, samples in another order": open_several_shuffled,
}


class Passes:
    """The two passes of a run over a source, and the seconds of the clock and of processors that each takes."""

    def __init__(self, source):
        self.matrix = source.matrix(Engine(N_THREADS, MEMORY), np.arange(source.n_samples), None)
        rng = np.random.default_rng(3)
        self.W, self.S = rng.standard_normal((source.n_samples, 8)), rng.standard_normal((source.n_samples, 16))

    def cross_products(self):
        for _ in self.matrix.cross_products(self.W):
            pass

    def gram_product(self):
        self.matrix.gram_product(self.S)

    def time(self, verb):
        started = np.array([time.perf_counter(), time.process_time()])
        getattr(self, verb)()
        return np.array([time.perf_counter(), time.process_time()]) - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", default=None, help="where the files are written; a temporary folder by default")
    arguments = parser.parse_args()
    print("pass            n        p        source                                    s    × one .bed  × CPU  Ggeno/s")
    for n_samples, n_snps in SIZES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, single_threaded_blas():
            genotypes = Genotypes(n_samples, n_snps)
            one = Passes(open_one(genotypes, Path(folder)))
            others = {name: Passes(opens(genotypes, Path(folder))) for name, opens in SOURCES.items()}
            del genotypes
            for verb in ("cross_products", "gram_product"):
                seconds = {name: [] for name in ("one .bed", *others)}
                for passes in (one, *others.values()):
                    passes.time(verb)
                for _ in range(arguments.rounds):
                    for name, passes in (("one .bed", one), *others.items()):
                        seconds[name].append(passes.time(verb))
                for name, times in seconds.items():
                    ratio, of_processors = np.median(np.array(times) / np.array(seconds["one .bed"]), axis=0)
                    median = np.median(np.array(times)[:, 0])
                    row = f"{verb:15} {n_samples:<8} {n_snps:<8} {name:41} {median:6.3f} {ratio:9.3f}"
                    print(f"{row} {of_processors:8.3f} {n_samples * n_snps / median / 1e9:8.2f}", flush=True)


if __name__ == "__main__":
    main()
