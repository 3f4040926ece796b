"""Conversion of a VCF, plain, compressed, as BCF and as VCF Zarr, against plink2 --make-bed on one thread.

    python bench/conversion.py [--samples 1000 --snps 20000 --rounds 5]

plink2 (Debian package plink2, on the PATH) is timed as a process; lfmm2 in this process, with its checksums. Rounds
alternate; medians of times and of ratios within a round are printed, peak memory, and whether both made the same .bed.
plink2 does not read VCF Zarr: its time beside that is the one of the BCF. Then a pass over the .bed is timed, and one
that decodes all chunks of the store, which is what a run on the store itself would do in each pass.
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
from lfmm2.genotypes import Engine, open_source

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


def write_zarr(store, fileset):
    """Write the genotypes of a fileset in the chunks and the compression of bio2zarr; False where zarr is absent."""
    try:
        import numcodecs
        import zarr
    except ImportError:
        return False
    source = open_source(fileset)
    n, p = source.n_samples, source.n_snps
    group = zarr.open_group(store, mode="w", zarr_format=2)
    options = {"compressors": [numcodecs.Blosc("zstd", 7, 2)], "config": {"write_empty_chunks": True}}
    calls = group.create_array("call_genotype", shape=(p, n, 2), chunks=(1000, 10_000, 2), dtype="i1", **options)
    codes = np.array([[1, 1], [-1, -1], [0, 1], [0, 0]], np.int8)  # of the two bits
    for first in range(0, p, 1000):
        packed = np.empty((min(1000, p - first), source.bytes_per_snp), np.uint8)
        source.read_packed(first, packed)
        bits = (packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
        calls[first : first + len(packed)] = codes[bits.reshape(len(packed), -1)[:, :n]]
    table = source.variants()
    arrays = {
        "sample_id": np.array(source.samples.iid, "T"), "contig_id": np.array(["1"], "T"),
        "variant_position": table["POS"].to_numpy(), "variant_contig": np.zeros(p, np.int8),
        "variant_id": np.array(table["ID"].to_pylist(), "T"),
        "variant_allele": np.array([table["A2"].to_pylist(), table["A1"].to_pylist()], "T").T,
    }  # fmt: skip
    for name, values in arrays.items():
        group.create_array(name, data=values, chunks=(1000, *values.shape[1:]), **options)
    return True


def time_passes(store, fileset):
    """Print seconds of CPU and of the clock of a pass over the .bed and over the chunks of the store."""
    import zarr

    source = open_source(fileset)
    matrix = source.matrix(Engine(1, 1 << 30), np.arange(source.n_samples), None)
    W = np.random.default_rng(2).standard_normal((source.n_samples, 8))
    calls = zarr.open_group(store, mode="r")["call_genotype"]

    def over_bed():
        for _ in matrix.cross_products(W):
            pass

    def over_chunks():
        for first in range(0, source.n_snps, 4000):
            calls[first : first + 4000]

    for name, make_pass in (("tests of a .bed", over_bed), ("decoding of chunks", over_chunks)):
        times = []
        for _ in range(3):
            wall, cpu = time.perf_counter(), time.process_time()
            make_pass()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        rate = source.n_samples * source.n_snps / 1e6
        print(f"{name:<20} {wall:.3f} s, CPU {cpu:.3f} s: {rate / cpu:.0f} million calls a second of CPU")
    size = sum(file.stat().st_size for file in Path(store).rglob("*") if file.is_file())
    print(f"store {size / 1e6:.1f} MB, .bed {source.n_bytes / 1e6:.1f} MB")


def time_plink2(path, out):
    option = "--bcf" if path.suffix in (".bcf", ".vcz") else "--vcf"
    path = path.with_suffix(".bcf") if path.suffix == ".vcz" else path
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
        store = vcf.with_suffix(".vcz")
        lfmm2.convert(vcf, Path(folder, "set"))
        paths += [store] if len(paths) == 3 and write_zarr(store, Path(folder, "set")) else []
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
        if store in paths:
            time_passes(store, Path(folder, "set"))


if __name__ == "__main__":
    main()
