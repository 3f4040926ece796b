"""The genotype matrix of a .bed, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2._typing import Floats, Ints, Packed
from lfmm2.errors import UsageError
from lfmm2.genotypes.engine import Engine, plan_tiling
from lfmm2.genotypes.imputation import FactorFill, PackedFill
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, _padded
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.segments import (
    ALL_SNPS,
    NO_KEEPER,
    PassKeeper,
    SegmentedPass,
    SegmentSums,
    SnpRange,
    begin_gram,
    n_held_sums,
)

# SNPs decoded together for the Gram matrix
GRAM_PANEL_SNPS = 512


# Sums of groups kept apart between two meetings of the threads
ACCUMULATOR_BYTES = 32 << 20


MOST_ACCUMULATORS = 64


# Samples in the edge of the squares by which a matrix is mirrored: a few fit in cache
MIRROR_EDGE = 256


def gram_edge(n_samples: int) -> int:
    """Samples in the edge of one thread's square of the Gram matrix: large for BLAS, but enough squares to share."""
    return 64 if n_samples <= 256 else 128 if n_samples <= 1024 else 256


def _mirror(C: Floats) -> None:
    """Copy the lower triangle of a square matrix onto the upper one, in place, by squares."""
    n = len(C)
    for i in range(0, n, MIRROR_EDGE):
        rows = slice(i, min(i + MIRROR_EDGE, n))
        square = C[rows, rows]
        square[:] = np.tril(square) + np.tril(square, -1).T
        C[: rows.start, rows] = C[rows, : rows.start].T


class BedMatrix:
    """Genotypes of a .bed, streamed.

    Parameters
    ----------
    bed : PackedBed
    engine : Engine
    samples : ndarray of int64, optional
        Rows of the .fam to use, in the order wanted; all by default.
    snps : ndarray of int64, optional
        Sorted positions in the .bim to use; all by default.
    scale : {None, "hwe"}
        "hwe" divides a SNP by sqrt(2f(1-f)), its standard deviation in Hardy-Weinberg proportions.
    count_allele : {"a2", "a1"}
        The allele that a dosage counts.
    """

    def __init__(
        self,
        bed: PackedBed,
        engine: Engine,
        *,
        samples: Ints | None = None,
        snps: Ints | None = None,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> None:
        if scale not in (None, "hwe"):
            raise UsageError(f"scale is {scale!r}; it is None or 'hwe'")
        if count_allele not in ("a1", "a2"):
            raise UsageError(f"count_allele is {count_allele!r}; it is 'a2' or 'a1'")
        self.bed = bed
        self.engine = engine
        everyone = samples is None or np.array_equal(samples, np.arange(bed.n_samples))
        self.samples = None if everyone else np.ascontiguousarray(samples, np.int64)
        self.snps = None if snps is None else np.ascontiguousarray(snps, np.int64)
        self.counts_a1 = count_allele == "a1"
        self._coding = (1 if self.counts_a1 else 0) | (2 if scale else 0)

    @property
    def n_samples(self) -> int:
        return self.bed.n_samples if self.samples is None else len(self.samples)

    @property
    def n_snps(self) -> int:
        return self.bed.n_snps if self.snps is None else len(self.snps)

    @property
    def bytes_per_snp(self) -> int:
        """Packed bytes of one SNP after the choice of samples."""
        return -(-self.n_samples // 4)

    def _reader(self) -> Callable[[int, Packed], None]:
        """A function that fills a block, with scratch memory of its own: several passes may run at once."""
        bed, samples, snps = self.bed, self.samples, self.snps
        scratch = np.empty((0, bed.bytes_per_snp), np.uint8)

        def read(first: int, packed_out: Packed) -> None:
            nonlocal scratch
            raw = packed_out
            if samples is not None:
                if len(scratch) < len(packed_out):
                    scratch = np.empty((len(packed_out), bed.bytes_per_snp), np.uint8)
                raw = scratch[: len(packed_out)]
            if snps is None:
                bed.read_packed(first, raw)
            else:
                bed.read_snps(snps[first : first + len(raw)], raw)
            if samples is not None:
                _core.select_samples(raw, bed.n_samples, samples, packed_out, 1)

        return read

    def _buffer_bytes(self) -> int:
        """Memory per SNP of a block: two packed buffers, and the unselected bytes where samples are chosen."""
        return 2 * self.bytes_per_snp + (self.bed.bytes_per_snp if self.samples is not None else 0)

    def _blocks(
        self, label: str, snps: range, group_snps: int, snp_bytes: int, fixed: int
    ) -> Iterator[tuple[int, Packed]]:
        self.bed.check_unchanged()
        n_groups = self.engine.block_groups(group_snps * (self._buffer_bytes() + snp_bytes), fixed)
        yield from self.engine.blocks(
            label, self._reader(), snps, self.bytes_per_snp, n_groups * group_snps, self.bed.bytes_per_snp
        )
        self.bed.check_unchanged()

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), (n_samples, l) F order, over a range; 4 n l flops per SNP, one pass."""
        S, n_columns = _padded(S), S.shape[1]
        n, l = S.shape  # noqa: E741
        tiling = plan_tiling(n, l)
        n_threads = self.engine.n_threads
        work = np.empty((n_threads, _core.workspace_size(tiling.tile_snps, tiling.chunk_samples, l)))
        # threads meet after as many groups as there are accumulators: where they are small, once a block
        most = min(ACCUMULATOR_BYTES, self.engine.memory // 8) // (8 * n * l)
        n_slots = max(n_threads, min(most, MOST_ACCUMULATORS))
        accumulators = np.empty((n, l, n_slots), order="F")
        running = SegmentedPass(snps, self.n_snps, lambda: np.zeros((n, l), order="F"), n_columns, keeper)
        fixed = work.nbytes + accumulators.nbytes + (1 + n_held_sums(running.snps, self.n_snps)) * S.nbytes
        for first, packed in self._blocks(label, running.snps, tiling.group_snps, 0, fixed):
            for rows, G in running.parts(first, len(packed)):
                _core.gram_product(
                    packed[rows], n, self._coding, S, G, tiling.tile_snps, tiling.chunk_samples, tiling.group_tiles,
                    accumulators, work, n_threads,
                )  # fmt: skip
        return running.sums

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return C = Y Yᵀ, (n_samples, n_samples) F order, of all SNPs up to the end of the range.

        n² flops per SNP, one pass, one matrix for all threads.
        """
        n = self.n_samples
        left, C = begin_gram(
            snps.within(self.n_snps, RESTART_SNPS), before, lambda: np.zeros((n, n), order="F"), keeper
        )
        panel = np.empty((GRAM_PANEL_SNPS, n))
        for first, packed in self._blocks(label, left, GRAM_PANEL_SNPS, 0, C.nbytes + panel.nbytes):
            _core.gram(packed, n, self._coding, C, gram_edge(n), panel, self.engine.n_threads)
            keeper.offer(first + len(packed), {"sum": C})
        _mirror(C)
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Give Yᵀ W by blocks; 2 n m flops per SNP, and those of `fill` for its missing calls; one pass."""
        W, n_columns = _padded(W), W.shape[1]
        n, m = W.shape
        tiling = plan_tiling(n, m)
        n_threads = self.engine.n_threads
        work = np.empty((n_threads, _core.workspace_size(tiling.tile_snps, tiling.chunk_samples, m)))
        # the products and about as much again for the statistics made of them
        snp_bytes = 8 * (2 * m + 16)
        fixed = work.nbytes + 2 * W.nbytes
        filler = None if fill is None else PackedFill(fill, W, n_threads)
        if filler is not None:
            fixed += filler.fixed_bytes
            snp_bytes += filler.snp_bytes + 8 * m * filler.fill.keeps_means
        for first, packed in self._blocks(
            label, snps.within(self.n_snps, RESTART_SNPS), tiling.group_snps, snp_bytes, fixed
        ):
            counts = np.empty((len(packed), 4), np.int64)
            products = np.empty((len(packed), m))
            _core.cross_products(
                packed, n, self._coding, W, counts, products, tiling.tile_snps, tiling.chunk_samples, work, n_threads
            )  # fmt: skip
            block = self._describe(first, packed, counts, products[:, :n_columns])
            yield block if filler is None else self._fill(filler, block, packed, counts, products)

    def call_rates(self, label: str = "filters") -> Iterator[tuple[Ints, Floats]]:
        """Called samples and mean dosage of every SNP, by blocks; a pass that decodes nothing."""
        for _, packed in self._blocks(label, range(self.n_snps), GRAM_PANEL_SNPS, 64, 0):
            counts = np.empty((len(packed), 4), np.int64)
            _core.count_genotypes(packed, self.n_samples, counts, self.engine.n_threads)
            n_called = counts[:, 0] + counts[:, 2] + counts[:, 3]
            with np.errstate(invalid="ignore"):
                yield n_called, (counts[:, 2] + 2 * counts[:, 3]) / n_called

    def packed_blocks(self, label: str, snp_bytes: int, fixed: int) -> Iterator[tuple[int, Packed]]:
        """First SNP and packed genotypes of the samples in use, by blocks of a multiple of `GRAM_PANEL_SNPS`.

        The caller takes `snp_bytes` for each SNP of a block, and `fixed` bytes besides. Each is valid until the next.
        """
        yield from self._blocks(label, range(self.n_snps), GRAM_PANEL_SNPS, snp_bytes, fixed)

    def _describe(self, first: int, packed: Packed, counts: Ints, products: Floats) -> CrossProducts:
        n_called = counts[:, 0] + counts[:, 2] + counts[:, 3]
        dosage_sum = counts[:, 2] + 2 * counts[:, 3]
        with np.errstate(invalid="ignore"):
            mean = dosage_sum / n_called
        # sum of squares about the mean from exact integers: (n Σy² - (Σy)²) / n
        square_sum = counts[:, 2] + 4 * counts[:, 3]
        sum_squares = (n_called * square_sum - dosage_sum**2) / np.maximum(n_called, 1)
        if self._coding & 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                sum_squares = np.where(sum_squares > 0, sum_squares / (mean * (1 - mean / 2)), 0.0)
        if self.counts_a1:
            mean = 2 - mean

        def decode(rows: NDArray[np.intp]) -> Floats:
            dosage = np.empty((len(rows), self.n_samples))
            _core.decode_block(packed[rows], self.n_samples, self._coding, dosage, self.engine.n_threads)
            return dosage

        return CrossProducts(first, n_called, mean, sum_squares, products, decode)

    def _fill(
        self, filler: PackedFill, block: CrossProducts, packed: Packed, counts: Ints, products: Floats
    ) -> CrossProducts:
        """The block with its missing calls filled; `products`, of which the block's are a part, are changed."""
        by_mean = replace(block, products=block.products.copy()) if filler.fill.keeps_means else None
        filled = filler.apply(block.first_snp, packed, self._coding, counts, products)

        def decode(rows: NDArray[np.intp]) -> Floats:
            dosage = block.decode(rows)
            filler.fill_decoded(packed[rows], filled.coefficients[rows], dosage)
            return dosage

        sum_squares = block.sum_squares + filled.squares
        return replace(block, sum_squares=sum_squares, decode=decode, imputation=filled.held_out, by_mean=by_mean)
