"""Files beyond 2³¹, 2³² and 2⁴⁰ bytes, and more than 2³¹ SNPs: the right bytes, indices and numbers.

The files are sparse: zeros, which read as two copies of A1 in every sample and add nothing to any product, and a few
random SNPs at known places.

* 10 000 samples × 10⁹ SNPs, 2.5 TB: known SNPs across the byte offsets 2³¹, 2³², 2⁴⁰, at the start and at the end,
  read by range and by list, decoded, and multiplied.
* 4 samples × 2.2·10⁹ SNPs: products around SNP 2³¹, and in the full tier whole passes.
* Plans and random subsets of 10⁹ SNPs.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_plans import size_of_run
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import RESTART_SNPS
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.segments import SnpRange
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.pipeline.plan import make_plan
from lfmm2.pipeline.snps import random_subset
from lfmm2.process.threads import single_threaded_blas
from torture import runs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDE_SAMPLES, WIDE_SNPS = 10_000, 10**9
LONG_SAMPLES, LONG_SNPS = 4, 2**31 + 50_000_000
OFFSETS = (2**31, 2**32, 2**40)
MAGIC = b"\x6c\x1b\x01"
BUDGET = 256 << 20


def wide_places() -> Ints:
    """SNPs that begin, end or lie across the offsets, and the first and last."""
    n_bytes = WIDE_SAMPLES // 4
    around = [(offset - len(MAGIC)) // n_bytes + k for offset in OFFSETS for k in range(-2, 3)]
    return np.array([0, 1, *around, WIDE_SNPS - 2, WIDE_SNPS - 1])


def long_places() -> Ints:
    return np.array([0, 1, 511, 512, *range(2**31 - 3, 2**31 + 3), 2**31 + 5_000_000, LONG_SNPS - 2, LONG_SNPS - 1])


def write_sparse(path: Path, n_samples: int, n_snps: int, places: Ints) -> NDArray[np.uint8]:
    """A .bed of zeros but for random SNPs at these places, which are returned packed; n_samples is a multiple of 4."""
    n_bytes = -(-n_samples // 4)
    packed = np.random.default_rng(n_samples).integers(0, 256, (len(places), n_bytes), np.uint8)
    # the first and the last sample have two copies of A2, while zeros say A1
    packed[:, 0] |= 0x03
    packed[:, -1] |= 0xC0
    try:
        with path.open("wb") as file:
            file.write(MAGIC)
            os.truncate(file.fileno(), len(MAGIC) + n_snps * n_bytes)
            for place, row in zip(places.tolist(), packed, strict=True):
                file.seek(len(MAGIC) + place * n_bytes)
                file.write(row.data)
    except OSError as error:
        raise runs.Unavailable(f"no sparse file of {len(MAGIC) + n_snps * n_bytes} bytes: {error.strerror}") from error
    return packed


def dosages(packed: NDArray[np.uint8], n_samples: int) -> Floats:
    """Dosages (n_snps, n_samples), NaN where missing, one step after another."""
    codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(len(packed), -1)
    return np.array([0.0, np.nan, 1.0, 2.0])[codes[:, :n_samples]]


def centred(dosage: Floats) -> Floats:
    """Imputed to the mean of the SNP, and centred."""
    called = ~np.isnan(dosage)
    mean = np.where(called, dosage, 0.0).sum(1, keepdims=True) / np.maximum(called.sum(1, keepdims=True), 1)
    return np.where(called, dosage - mean, 0.0)


def check_close(found: Floats, expected: Floats, what: str) -> None:
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 1e-12, f"{what}: relative error {error:.1e}"


def check_wide(folder: Path) -> dict[str, int]:
    """The file of 2.5 TB."""
    places = wide_places()
    path = folder / "wide.bed"
    packed = write_sparse(path, WIDE_SAMPLES, WIDE_SNPS, places)
    known = dict(zip(places.tolist(), packed, strict=True))
    nothing = np.zeros(packed.shape[1], np.uint8)
    with PackedBed(path, WIDE_SAMPLES, WIDE_SNPS) as bed:
        assert bed.n_bytes == len(MAGIC) + WIDE_SNPS * WIDE_SAMPLES // 4
        # by range: each place with what lies before and after
        n_ranges = 0
        for place in places.tolist():
            first, last = max(place - 4, 0), min(place + 5, WIDE_SNPS)
            out = np.empty((last - first, bed.bytes_per_snp), np.uint8)
            bed.read_packed(first, out)
            expected = np.stack([known.get(snp, nothing) for snp in range(first, last)])
            assert np.array_equal(out, expected), f"SNPs {first} to {last} have other bytes"
            n_ranges += 1
        # by list: the places, their neighbours, and some far from all
        rng = np.random.default_rng(1)
        neighbours = np.concatenate([places - 1, places, places + 1, rng.integers(0, WIDE_SNPS, 30)])
        listed = np.unique(neighbours[(neighbours >= 0) & (neighbours < WIDE_SNPS)])
        out = np.empty((len(listed), bed.bytes_per_snp), np.uint8)
        bed.read_snps(listed, out)
        expected = np.stack([known.get(snp, nothing) for snp in listed.tolist()])
        assert np.array_equal(out, expected), "SNPs read by list have other bytes"
        Y = centred(dosages(expected, WIDE_SAMPLES))  # (n_snps, n_samples)
        decoded = np.empty(Y.shape)
        _core.decode_block(out, WIDE_SAMPLES, 0, decoded, 2)
        check_close(decoded, Y, "decoded SNPs")
        check_products(BedMatrix(bed, Engine(2, BUDGET), snps=listed), Y)
        some = np.sort(rng.choice(WIDE_SAMPLES, 301, replace=False))
        subset = BedMatrix(bed, Engine(2, BUDGET), snps=listed, samples=some)
        check_products(subset, centred(dosages(expected, WIDE_SAMPLES)[:, some]))
    path.unlink()
    return {"bytes": len(MAGIC) + WIDE_SNPS * WIDE_SAMPLES // 4, "ranges": n_ranges, "SNPs by list": len(listed)}


def check_products(matrix: BedMatrix, Y: Floats) -> None:
    """Products of a matrix with its dense Y (n_snps, n_samples)."""
    W = np.random.default_rng(2).standard_normal((matrix.n_samples, 5))
    blocks = list(matrix.cross_products(W))
    found = np.concatenate([block.products for block in blocks])
    check_close(found, Y @ W, "cross products")
    check_close(matrix.gram_product(W).total(), Y.T @ (Y @ W), "Gram product")
    sums = np.concatenate([block.sum_squares for block in blocks])
    check_close(sums, (Y**2).sum(1), "sums of squares")


def check_tests(matrix: BedMatrix, W: Floats, places: Ints, products: Floats, first_snp: int) -> int:
    """A pass from `first_snp` on: the products of the known SNPs at their indices, nothing elsewhere; SNPs seen."""
    seen, n_seen = [], 0
    for block in matrix.cross_products(W, snps=SnpRange(first_snp)):
        assert block.first_snp == first_snp + n_seen, f"block of SNP {block.first_snp} after {first_snp + n_seen}"
        n_seen += len(block.products)
        rows = np.flatnonzero((block.products != 0).any(axis=1))
        seen += [(int(block.first_snp + row), block.products[row].copy()) for row in rows.tolist()]
    assert n_seen == matrix.n_snps - first_snp
    chosen = [(int(snp), row) for snp, row in zip(places, products, strict=True) if snp >= first_snp and row.any()]
    assert [snp for snp, _ in seen] == [snp for snp, _ in chosen], "SNPs with products are others than those written"
    check_close(np.array([row for _, row in seen]), np.array([row for _, row in chosen]), "cross products")
    return n_seen


def check_long(folder: Path, whole: bool) -> dict[str, object]:
    """The file of more than 2³¹ SNPs: the part around SNP 2³¹, or whole passes."""
    places = long_places()
    path = folder / "long.bed"
    n_snps = LONG_SNPS
    packed = write_sparse(path, LONG_SAMPLES, n_snps, places)
    Y = centred(dosages(packed, LONG_SAMPLES))
    W = np.random.default_rng(3).standard_normal((LONG_SAMPLES, 3))
    found: dict[str, object] = {"SNPs": n_snps}
    with PackedBed(path, LONG_SAMPLES, n_snps) as bed:
        # tiles of 4 samples are too small for threads
        matrix = BedMatrix(bed, Engine(1, BUDGET))
        if whole:
            began = time.perf_counter()
            check_tests(matrix, W, places, Y @ W, 0)
            found["seconds of cross products"] = round(time.perf_counter() - began, 1)
            began = time.perf_counter()
            check_close(matrix.gram_product(W).total(), Y.T @ (Y @ W), "Gram product")
            found["seconds of the Gram product"] = round(time.perf_counter() - began, 1)
        else:
            # the end of a file that is cut a little behind SNP 2³¹
            n_short = 2**31 + 200_000
            os.truncate(path, len(MAGIC) + n_short)
            here = places < n_short
            with PackedBed(path, LONG_SAMPLES, n_short) as short:
                first = (2**31 - 100_000) // RESTART_SNPS * RESTART_SNPS
                tail = BedMatrix(short, Engine(2, BUDGET))
                found["SNPs of the pass"] = check_tests(tail, W, places[here], (Y @ W)[here], first)
                chosen = BedMatrix(short, Engine(2, BUDGET), snps=np.union1d(places[here], [5, 2**31 + 77]))
                check_close(chosen.gram_product(W).total(), Y[here].T @ (Y[here] @ W), "Gram product")
    path.unlink()
    return found


def check_plans() -> dict[str, int]:
    """Passes, bytes and memory of huge problems, in Python's integers."""
    n, p, bytes_per_snp = 500_000, WIDE_SNPS, 125_000
    size = size_of_run(n, p, n_variables=20, n_nuisance=5, n_factors=50, variant_bytes=25 * 10**9, loadings=True)
    n_plans = 0
    for problem in (size, replace(size, n_listed=p // 2)):
        for solver, passes in (("power", 3), ("krylov", None)):
            for n_threads in (1, 64):
                plan = make_plan(problem, SolverOptions(solver), 1 << 40, n_threads, "parquet")
                expected = plan.n_passes if passes is None else passes
                assert plan.n_passes == expected > 0
                assert plan.n_bytes_read == (expected + 1) * p * bytes_per_snp
                # 20 tables, joint and loadings, at least 50 bytes a row
                assert plan.output_bytes >= 22 * 50 * p
                assert plan.temporary_bytes >= 8 * p * (7 + 4 * 20 + 50)
                numbers = (
                    plan.peak_memory,
                    plan.memory,
                    plan.beside_factors.held,
                    plan.beside_tests.held,
                    plan.output_bytes,
                )
                assert all(type(number) is int and 0 < number < 2**63 for number in numbers), numbers
                assert plan.peak_memory >= 16 * problem.n_listed
                n_plans += 1
    return {"plans": n_plans, "bytes of the largest": 4 * p * bytes_per_snp}


def check_subsets(n_snps: int, sizes: tuple[int, ...]) -> dict[str, int]:
    """Random subsets: exactly as many, ascending, within range, spread evenly, repeatable."""
    for size in sizes:
        chosen = random_subset(n_snps, size, seed=7)
        assert chosen.dtype == np.int64
        assert len(chosen) == size
        assert chosen[0] >= 0
        assert chosen[-1] < n_snps
        assert (np.diff(chosen) > 0).all()
        share = np.histogram(chosen, bins=10, range=(0, n_snps))[0] / size
        # five standard deviations of a binomial share
        assert np.abs(share - 0.1).max() < 5 * np.sqrt(0.09 / size), f"{size} of {n_snps}: shares {share}"
    return {"of": n_snps, "subsets": len(sizes)}


def run(full: bool) -> dict[str, object]:
    """Run the topic; Unavailable where the file system has no such files."""
    with runs.work_folder() as folder, single_threaded_blas():
        return {
            "2.5 TB": check_wide(folder),
            "more than 2^31 SNPs": check_long(folder, whole=full),
            "plans": check_plans(),
            # NumPy's own generator ends at 9·10⁸
            "random subsets": check_subsets(10**9, (1000, 10**6)) if full else check_subsets(902_000_000, (1000,)),
        }


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
