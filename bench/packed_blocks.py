"""Passes over a .bed.zst against the same pass over the .bed, and its size, on data with rare variants.

    python bench/packed_blocks.py [--rounds 9] [--threads 2] [--folder FOLDER]

Allele frequencies are drawn with density 1/f, as those of neutral sites; "very rare" has none above 1 %. At each level
of compression the share of the bytes is printed, and the rate at which one thread unpacks frames that are in memory.
Each round makes a pass over the .bed and over each .bed.zst, from the cache of the system; medians over rounds of the
ratio of their times, and of their processor times, are printed. "pays below" is the rate of a disk, in MB/s, below
which the .bed.zst takes less time: there reading the .bed takes as long as the pass over the .bed.zst.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import lfmm2
from lfmm2.files.zstd_frames import open_stored
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink_writer import bim_text, encode_bed, fam_text
from lfmm2.genotypes.source_kinds import open_source
from lfmm2.process.threads import single_threaded_blas

SIZES = ((1_000, 200_000), (5_000, 100_000))
LEVELS = (1, 3, 9)
MOST_FREQUENT = {"rare and common": 0.5, "very rare": 0.01}
MEMORY = 2 << 30


def write_fileset(prefix: Path, n_samples: int, n_snps: int, most: float) -> Path:
    """Write calls, 0.1 % of them missing, with frequencies from 1/(2 n) to `most`."""
    rng = np.random.default_rng(1)
    with Path(f"{prefix}.bed").open("wb") as bed:
        bed.write(b"\x6c\x1b\x01")
        for first in range(0, n_snps, 2_000):
            shape = min(2_000, n_snps - first), n_samples
            least = 0.5 / n_samples
            frequencies = least * (most / least) ** rng.random((shape[0], 1))
            calls = (2 - rng.binomial(2, frequencies, shape)).astype(np.int8)
            calls[rng.random(shape) < 0.001] = -1
            bed.write(encode_bed(calls).data)
    ids = [f"s{j}" for j in range(n_snps)]
    texts = ["1"] * n_snps, ids, range(1, n_snps + 1), [("A", "C")] * n_snps
    Path(f"{prefix}.bim").write_bytes(bim_text(*texts))
    Path(f"{prefix}.fam").write_bytes(fam_text(["0"] * n_samples, [f"i{k}" for k in range(n_samples)]))
    return Path(f"{prefix}.bed")


def unpacking_rate(path: Path) -> float:
    """Return the unpacked bytes a second of one thread, in GB of processor time."""
    stored = open_stored(path)
    out = memoryview(bytearray(min(stored.n_bytes, 64 << 20)))
    stored.fill(out, 0)
    started = time.thread_time()
    stored.fill(out, 0)
    stored.close()
    return len(out) / (time.thread_time() - started) / 1e9


class Passes:
    """The pass of the tests, and its seconds of the clock and of processors."""

    def __init__(self, path: Path, n_threads: int) -> None:
        self.source = open_source(path)
        n_samples = self.source.n_samples
        self.matrix = self.source.matrix(Engine(n_threads, MEMORY), np.arange(n_samples), None)
        self.W = np.random.default_rng(3).standard_normal((n_samples, 12))

    def time(self) -> np.ndarray:
        started = np.array([time.perf_counter(), time.process_time()])
        for _ in self.matrix.cross_products(self.W):
            pass
        return np.array([time.perf_counter(), time.process_time()]) - started


def compare(folder: Path, name: str, n_samples: int, n_snps: int, rounds: int, n_threads: int) -> None:
    """Print a row for each level."""
    bed = write_fileset(folder / "x", n_samples, n_snps, MOST_FREQUENT[name])
    n_bytes = bed.stat().st_size
    packed = {
        level: lfmm2.pack(bed, folder / f"level{level}", level=level, n_threads=n_threads).bed for level in LEVELS
    }
    passes = {0: Passes(bed, n_threads)} | {level: Passes(path, n_threads) for level, path in packed.items()}
    times = {level: [] for level in passes}
    for round_ in range(rounds + 1):
        for level, each in passes.items():
            seconds = each.time()
            if round_:  # The first round brings the files into the cache.
                times[level].append(seconds)
    for each in passes.values():
        each.source.close()
    base = np.array(times[0])
    print(f"{name:16} {n_samples:>6} {n_snps:>8} .bed {np.median(base[:, 0]):29.3f} s", flush=True)
    for level, path in packed.items():
        ratio, of_processors = np.median(np.array(times[level]) / base, axis=0)
        seconds = np.median(np.array(times[level])[:, 0])
        share, rate = 100 * path.stat().st_size / n_bytes, unpacking_rate(path)
        row = f"{name:16} {n_samples:>6} {n_snps:>8} {level:>4} {share:7.1f} {rate:11.2f} {seconds:9.3f} {ratio:6.2f}"
        print(f"{row} {of_processors:6.2f} {n_bytes / seconds / 1e6:11.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default=None, help="where the files are written; a temporary folder by default")
    parser.add_argument("--sizes", default=None, help="samples x SNPs, such as 1000x200000; the usual two by default")
    arguments = parser.parse_args()
    sizes = SIZES if arguments.sizes is None else (tuple(map(int, arguments.sizes.split("x"))),)
    print(f"pyarrow {pa.__version__}")
    print("frequencies           n        p level  % of .bed  GB/s a thread        s  × .bed  × CPU  pays below")
    for n_samples, n_snps in sizes:
        for name in MOST_FREQUENT:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, single_threaded_blas():
                compare(Path(folder), name, n_samples, n_snps, arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
