"""A pass of cross-products over .pgen and BGEN, against the .bed, the array, and the libraries that read them.

    python bench/foreign_sources.py [--samples 1000 --snps 50000 --rounds 5 --threads 2]

Hard calls with 1 % missing, rare and common alleles; dosages of every sample. Each round times all ways in turn; the
medians of the times, and of the ratios within a round, are printed. ".pgen packed" only reads the calls, packed;
"alone" is the library that fills blocks and does nothing with them: Pgenlib with a byte for a call or a float for a
dosage, and the package bgen.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from lfmm2.genotypes import Engine, open_source, plink_writer
from lfmm2.process import single_threaded_blas

N_COLUMNS = 8
BLOCK = 8192
# SNPs that Pgenlib reads at once where it is alone: its fastest way, with what it gives in the cache.
ALONE = 256


def draw_calls(n_samples: int, n_snps: int) -> np.ndarray:
    """Draw copies of A1, −9 where missing."""
    rng = np.random.default_rng(0)
    frequencies = np.clip(rng.beta(0.5, 2, n_snps), 0.01, 0.5)
    calls = np.empty((n_snps, n_samples), np.int8)
    for first in range(0, n_snps, BLOCK):
        rows = slice(first, first + BLOCK)
        calls[rows] = rng.binomial(2, frequencies[rows, None], calls[rows].shape)
        calls[rows][rng.random(calls[rows].shape) < 0.01] = -9
    return calls


def write_lists(prefix: Path, n_samples: int, n_snps: int) -> None:
    """Write .pvar and .psam."""
    rows = (f"1\t{j + 1}\ts{j}\tA\tC\n" for j in range(n_snps))
    Path(f"{prefix}.pvar").write_text("#CHROM\tPOS\tID\tREF\tALT\n" + "".join(rows))
    Path(f"{prefix}.psam").write_text("#IID\n" + "".join(f"i{k}\n" for k in range(n_samples)))


def time_pass(matrix: object, W: np.ndarray) -> float:
    """Return the seconds of a pass of cross-products."""
    started = time.perf_counter()
    with single_threaded_blas():
        for _ in matrix.cross_products(W):
            pass
    return time.perf_counter() - started


def time_reading(path: Path) -> float:
    """Return the seconds of reading all hard calls, packed, without a pass."""
    with open_source(path) as source:
        packed = np.empty((BLOCK, source.bytes_per_snp), np.uint8)
        started = time.perf_counter()
        for first in range(0, source.n_snps, BLOCK):
            source.read_packed(first, packed[: source.n_snps - first])
        return time.perf_counter() - started


def pgen_rows(folder: Path, n_samples: int, n_snps: int, engine: Engine) -> dict[str, Callable[[], float]]:
    """Return what is timed of a .pgen: hard calls and dosages, beside the .bed, an array, and Pgenlib alone."""
    import pgenlib

    calls = draw_calls(n_samples, n_snps)
    bed = plink_writer.write_plink(folder / "b", np.where(calls < 0, -1, 2 - calls))
    with pgenlib.PgenWriter(bytes(folder / "h.pgen"), n_samples, variant_ct=n_snps, nonref_flags=False) as writer:
        writer.append_biallelic_batch(calls)
    noise = np.random.default_rng(1).uniform(-0.2, 0.2, calls.shape).astype(np.float32)
    dosages = np.where(calls < 0, np.float32(-9), np.clip(calls + noise, 0, 2)).astype(np.float32)
    with pgenlib.PgenWriter(
        bytes(folder / "d.pgen"), n_samples, variant_ct=n_snps, nonref_flags=False, dosage_present=True
    ) as writer:
        writer.append_dosages_batch(dosages)
    for name in "hd":
        write_lists(folder / name, n_samples, n_snps)
    array = np.where(dosages < 0, np.float32(np.nan), 2 - dosages).T
    everyone, W = np.arange(n_samples), np.random.default_rng(2).standard_normal((n_samples, N_COLUMNS))
    matrices = {
        ".bed": open_source(bed).matrix(engine, everyone, None),
        ".pgen": open_source(folder / "h.pgen").matrix(engine, everyone, None),
        "array": open_source(array, ploidy=2).matrix(engine, everyone, None),
        ".pgen dosages": open_source(folder / "d.pgen").matrix(engine, everyone, None),
    }

    def alone(path: Path, dtype: type, function: str) -> Callable[[], float]:
        reader = pgenlib.PgenReader(bytes(path), raw_sample_ct=n_samples)
        out = np.empty((ALONE, n_samples), dtype)

        def read() -> float:
            started = time.perf_counter()
            for first in range(0, n_snps, ALONE):
                getattr(reader, function)(first, min(first + ALONE, n_snps), out)
            return time.perf_counter() - started

        return read

    rows = {name: (lambda matrix=matrix: time_pass(matrix, W)) for name, matrix in matrices.items()}
    rows[".pgen packed"] = lambda: time_reading(folder / "h.pgen")
    rows["Pgenlib alone"] = alone(folder / "h.pgen", np.int8, "read_range")
    rows["Pgenlib alone, dosages"] = alone(folder / "d.pgen", np.float32, "read_dosages_range")
    return rows


def bgen_rows(folder: Path, n_samples: int, n_snps: int, engine: Engine) -> dict[str, Callable[[], float]]:
    """Return what is timed of a BGEN of 8 bits, compressed with zlib, beside the package bgen alone."""
    import bgen

    rng = np.random.default_rng(3)
    path = folder / "x.bgen"
    first = rng.integers(0, 256, (n_snps, n_samples))
    with bgen.BgenWriter(path, n_samples, compression="zlib", layout=2) as writer:
        for snp, row in enumerate(first):
            second = np.minimum(row // 2, 255 - row)
            probabilities = np.stack([row, second, 255 - row - second], axis=1) / 255
            writer.add_variant("v", f"s{snp}", "1", snp + 1, ["A", "C"], probabilities, bit_depth=8)
    (folder / "x.sample").write_text("ID missing\n0 0\n" + "".join(f"i{k} 0\n" for k in range(n_samples)))
    W = rng.standard_normal((n_samples, N_COLUMNS))
    source = open_source(path, sample=folder / "x.sample")
    matrix = source.matrix(engine, np.arange(n_samples), None)

    def alone() -> float:
        started = time.perf_counter()
        with closing(bgen.BgenReader(path)) as reader:
            for variant in reader:
                variant.alt_dosage  # noqa: B018, reading it decodes it
        return time.perf_counter() - started

    return {"BGEN": lambda: time_pass(matrix, W), "bgen alone": alone}


# Ratios of times that are printed.
RATIOS = (
    (".bed", ".pgen"), ("Pgenlib alone", ".pgen packed"), (".pgen dosages", "array"),
    (".pgen dosages", "Pgenlib alone, dosages"),
    ("BGEN", "array"), ("BGEN", "bgen alone"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--snps", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    engine = Engine(given.threads, 1 << 30)
    with tempfile.TemporaryDirectory() as name:
        rows = pgen_rows(Path(name), given.samples, given.snps, engine)
        rows |= bgen_rows(Path(name), given.samples, given.snps, engine)
        times: dict[str, list[float]] = {row: [] for row in rows}
        for _ in range(given.rounds + 1):
            for row, take in rows.items():
                times[row].append(take())
    kept = {row: seconds[1:] for row, seconds in times.items()}
    print(f"{given.samples} samples, {given.snps} SNPs, {given.threads} threads, {N_COLUMNS} columns")
    for row, seconds in kept.items():
        median = statistics.median(seconds)
        print(f"{row:<24} {median:8.3f} s  {given.samples * given.snps / median / 1e9:6.2f} Ggeno/s")
    for one, other in RATIOS:
        ratio = statistics.median(a / b for a, b in zip(kept[one], kept[other], strict=True))
        print(f"{one} / {other}: {ratio:.2f}")


if __name__ == "__main__":
    main()
