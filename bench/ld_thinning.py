"""LD thinning against plink2 --indep-pairwise: the time of each, and how much their lists share.

    python bench/ld_thinning.py [--samples 1000 --snps 200000 --rounds 3]

Genotypes with and without linkage between neighbours, with and without missing calls; a window of 200 SNPs, r² 0.2.
plink2 (Debian package plink2, on the PATH) is timed as a process; lfmm2 in this process, from the path of the .bed to
the finished list. Rounds alternate; medians of times and of ratios within a round are printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.genotypes import thinning
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink_writer import BED_MAGIC, bim_text, default_sample_ids, default_snp_ids, encode_bed, fam_text

WINDOW, R2 = 200, 0.2
OPTIONS = thinning.ThinOptions(R2, WINDOW)
# of the latent haplotypes of neighbours
CORRELATION = 0.95
MEMORY = 1 << 30
CHROMOSOMES = 5


def write_linked(prefix, n_samples, n_snps, correlation, missing_rate):
    """Two haplotypes per sample from a chain of normal numbers that are cut at a threshold per SNP."""
    rng = np.random.default_rng(1)
    latent = rng.standard_normal((2, n_samples))
    with prefix.with_suffix(".bed").open("wb") as bed:
        bed.write(BED_MAGIC)
        for first in range(0, n_snps, 1000):
            calls = np.empty((min(1000, n_snps - first), n_samples), np.int8)
            for row, cut in enumerate(rng.uniform(-1.3, 1.3, len(calls))):
                latent *= correlation
                latent += np.sqrt(1 - correlation**2) * rng.standard_normal(latent.shape)
                calls[row] = (latent > cut).sum(0)
            calls[rng.random(calls.shape) < missing_rate] = -1
            bed.write(encode_bed(calls).data)
    chromosomes = np.arange(n_snps) * CHROMOSOMES // n_snps + 1
    variants = bim_text(chromosomes, default_snp_ids(range(n_snps)), range(1, n_snps + 1), [("A", "G")] * n_snps)
    prefix.with_suffix(".bim").write_bytes(variants)
    prefix.with_suffix(".fam").write_bytes(fam_text(["0"] * n_samples, default_sample_ids(n_samples)))


def time_plink2(prefix, n_threads):
    command = ["plink2", "--bfile", prefix, "--indep-pairwise", str(WINDOW), "1", str(R2), "--out", prefix]
    started = time.perf_counter()
    subprocess.run([*command, "--threads", str(n_threads)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def time_lfmm2(prefix, n_threads):
    started = time.perf_counter()
    engine = Engine(n_threads, MEMORY)
    with lfmm2.open_bed(prefix) as bed:
        kept = thinning.thin_snps(bed, engine, np.arange(bed.n_samples), None, OPTIONS)
    return time.perf_counter() - started, engine.passes[0].seconds, kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--snps", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.samples} samples x {arguments.snps} SNPs, window {WINDOW}, r2 {R2}")
    for correlation in (CORRELATION, 0.0):
        for missing_rate in (0.0, 0.01):
            with tempfile.TemporaryDirectory() as folder:
                prefix = Path(folder) / "d"
                write_linked(prefix, arguments.samples, arguments.snps, correlation, missing_rate)
                for n_threads in (1, 2):
                    rounds = []
                    for _ in range(arguments.rounds):
                        theirs = time_plink2(prefix, n_threads)
                        ours, in_pass, kept = time_lfmm2(prefix, n_threads)
                        rounds.append((theirs, ours, in_pass, theirs / ours))
                    theirs, ours, in_pass, ratio = np.median(rounds, axis=0)
                    print(
                        f"linkage {correlation}, missing {missing_rate}, {n_threads} threads: plink2 {theirs:.2f} s, "
                        f"lfmm2 {ours:.2f} s, {in_pass:.2f} of it for the pass, ratio {ratio:.2f}"
                    )
                names = set((prefix.parent / "d.prune.in").read_text().split())
                shared = len(names.intersection(default_snp_ids(kept.tolist())))
                print(f"    plink2 keeps {len(names)}, lfmm2 {len(kept)}, both {shared}")


if __name__ == "__main__":
    sys.exit(main())
