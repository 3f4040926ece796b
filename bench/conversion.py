"""Conversion of a VCF, plain, compressed and as BCF, against plink2 --make-bed on one thread: time and peak memory.

    python bench/conversion.py [--samples 1000 --snps 20000 --rounds 5]

plink2 (Debian package plink2, on the PATH) is timed as a process; lfmm2 in this process, with its checksums. Rounds
alternate; medians of times and of ratios within a round are printed, and whether both made the same .bed.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2

HEADER = (
    '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Call">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
)
CALLS = np.array([b"0/0", b"0/1", b"1/1", b"./."])
MISSING_RATE = 0.02


def write_vcf(path, n_samples, n_snps):
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(HEADER.encode() + b"\t".join(b"s%d" % i for i in range(n_samples)) + b"\n")
        for snp in range(n_snps):
            calls = rng.binomial(2, rng.uniform(0.05, 0.5), n_samples)
            calls[rng.random(n_samples) < MISSING_RATE] = 3
            line = b"1\t%d\trs%d\tA\tC\t.\tPASS\t.\tGT\t" % (10 * snp + 1, snp)
            file.write(line + b"\t".join(CALLS[calls].tolist()) + b"\n")


def write_bcf(vcf, bcf):
    """Write a BCF with htslib; return False where cyvcf2 is not installed."""
    try:
        import cyvcf2
    except ImportError:
        return False
    source = cyvcf2.VCF(str(vcf))
    writer = cyvcf2.Writer(str(bcf), source, mode="wb")
    for record in source:
        writer.write_record(record)
    writer.close()
    return True


def time_plink2(path, out):
    option = "--bcf" if path.suffix == ".bcf" else "--vcf"
    started = time.perf_counter()
    command = ["plink2", "--threads", "1", option, path, "--make-bed", "--out", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def time_lfmm2(path, out):
    started = time.perf_counter()
    lfmm2.convert(path, out, overwrite=True)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--snps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vcf = Path(folder, "a.vcf")
        write_vcf(vcf, given.samples, given.snps)
        compressed, bcf = vcf.with_suffix(".vcf.gz"), vcf.with_suffix(".bcf")
        compressed.write_bytes(gzip.compress(vcf.read_bytes(), 6))
        paths = [vcf, compressed, *([bcf] if write_bcf(vcf, bcf) else [])]
        print(f"{given.samples} samples, {given.snps} SNPs, {vcf.stat().st_size / 1e6:.0f} MB of text")
        print(f"{'file':<10} {'lfmm2 s':>8} {'plink2 s':>9} {'ratio':>6} {'peak MiB':>9}  same .bed")
        for path in paths:
            ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
            times = [(time_lfmm2(path, ours), time_plink2(path, theirs)) for _ in range(given.rounds)]
            is_same = ours.with_suffix(".bed").read_bytes() == theirs.with_suffix(".bed").read_bytes()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            medians = [statistics.median(column) for column in zip(*times, strict=True)]
            ratio = statistics.median(a / b for a, b in times)
            print(f"{path.name:<10} {medians[0]:>8.2f} {medians[1]:>9.2f} {ratio:>6.2f} {peak:>9.0f}  {is_same}")


if __name__ == "__main__":
    main()
