"""The genotype matrix of a .bed, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2._typing import Floats, Ints, Packed
from lfmm2.errors import MalformedInputError, ReadError, UsageError
from lfmm2.genotypes import segments
from lfmm2.genotypes.engine import GROUP_SNPS, Engine, Tiling, plan_tall_tiling, plan_tiling
from lfmm2.genotypes.footprint import Footprint, doubles
from lfmm2.genotypes.imputation import FactorFill, FillSize, PackedFill
from lfmm2.genotypes.matrix import (
    COUNTED_GRAM_SPEED,
    RESTART_SNPS,
    CrossProducts,
    Precision,
    pad_columns,
    padded_columns,
    standard_moments,
)
from lfmm2.genotypes.missing_calls import MissingCounter
from lfmm2.genotypes.packed_bed import PackedReader, stored_snp_bytes
from lfmm2.genotypes.packed_products import PackedProducts
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
from lfmm2.genotypes.threaded_reading import read_in_threads, reading_memory
from lfmm2.kernels import _gram, _gram_float32

# SNPs that are decoded together and added to the Gram matrix at once. Another number changes its last digits.
GRAM_PANEL_SNPS = 512
# Bytes, and number, of the sums of groups that are kept apart until all threads have finished theirs and the sums are
# added in order. Fewer make threads wait for each other more often; more only take memory.
ACCUMULATOR_BYTES, MOST_ACCUMULATORS = 32 << 20, 64
# Bytes for each SNP of a block whose calls are counted: the counts, their sums, and the means.
COUNTING_BYTES = 64
# Bytes of a number in single precision.
_FLOAT = 4
# Samples from which threads share out the samples in gram products, instead of adding up sums of their own: with fewer
# samples, each thread would have few; with more, these sums would take n_threads times the memory of the product.
SHARED_SAMPLES = 8192
# Samples from which gram products in float32 are offered. With fewer, the pass in float64 that must follow them takes a
# larger share of what they save.
FLOAT32_SAMPLES = 2000
# Samples along the edge of the squares in which the Gram matrix is mirrored: a few squares (512 KiB each) fit in cache.
MIRROR_EDGE = 256


def gram_edge(n_samples: int) -> int:
    """Return the edge, in samples, of the square of the Gram matrix that one thread computes at a time.

    Large squares are fast in BLAS, but there must be enough of them for all threads.
    """
    return 64 if n_samples <= 256 else 128 if n_samples <= 1024 else 256


def _clear_upper(C: Floats) -> None:
    """Set the part above the diagonal of a square matrix to 0, in place."""
    n = len(C)
    for i in range(0, n, MIRROR_EDGE):
        rows = slice(i, min(i + MIRROR_EDGE, n))
        C[rows, rows] = np.tril(C[rows, rows])
        C[: rows.start, rows] = 0.0


def _panel_snps() -> int:
    """Return the SNPs whose bits are counted together; a segment is a whole number of them."""
    return min(_gram.PANEL_SNPS, segments.SEGMENT_SNPS)


def counted_bytes(n_samples: int, n_threads: int) -> int:
    """Return the bytes of the workspaces that count the bits of a panel, with all of its calls missing."""
    calls, sums, starts, words = _gram.workspace_shapes(n_samples, n_threads)
    return doubles(calls, sums, starts, words) + 2 * n_samples * _gram.LISTED_CALLS


def mirror_lower(C: Floats) -> None:
    """Copy the lower triangle of a square matrix onto the upper one, in place, by squares."""
    n = len(C)
    for i in range(0, n, MIRROR_EDGE):
        rows = slice(i, min(i + MIRROR_EDGE, n))
        square = C[rows, rows]
        square[:] = np.tril(square) + np.tril(square, -1).T
        C[: rows.start, rows] = C[rows, : rows.start].T


# Adds a block to G: the packed block, and G in F order.
ProductAdder = Callable[[Packed, Floats], None]
# Adds a block to C: the number of its first SNP, the block, C, and the number of the SNP after the range.
GramAdder = Callable[[int, Packed, Floats, int], None]


class BedMatrix:
    """Genotypes of a .bed, streamed.

    Parameters
    ----------
    bed : PackedReader
    engine : Engine
    samples : ndarray of int64, optional
        Rows of the .fam to use, in the order wanted; all by default.
    snps : ndarray of int64, optional
        Sorted positions in the .bim to use; all by default.
    scale : {None, "hwe"}
        "hwe" divides a SNP by sqrt(2f(1-f)), its standard deviation in Hardy-Weinberg proportions.
    count_allele : {"a2", "a1"}
        The allele that a dosage counts.

    Raises
    ------
    UsageError
        If `scale` or `count_allele` has another value.
    """

    def __init__(
        self,
        bed: PackedReader,
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
        """Return the packed bytes of one SNP after samples have been chosen."""
        return -(-self.n_samples // 4)

    def _make_reader(self) -> Callable[[int, Packed], None]:
        """Return a function that fills a block; its scratch memory is its own, so several passes may run at once."""
        bed, samples, snps = read_in_threads(self.bed, self.engine.n_threads), self.samples, self.snps
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
        """Return the bytes per SNP of a block: two packed buffers, and all samples as read where some are chosen."""
        return 2 * self.bytes_per_snp + (self.bed.bytes_per_snp if self.samples is not None else 0)

    def _reading_bytes(self) -> int:
        """Return the bytes that unpacking and choosing samples take beside the buffers."""
        selection = 0 if self.samples is None else int(_core.selection_bytes(self.bed.n_samples))
        return selection + reading_memory(self.bed, self.engine.n_threads)

    def _blocks(self, label: str, snps: range, footprint: Footprint) -> Iterator[tuple[int, Packed]]:
        self.bed.check_unchanged()
        block_snps = self.engine.block_snps(footprint)
        try:
            yield from self.engine.blocks(
                label, self._make_reader(), snps, self.bytes_per_snp, block_snps, stored_snp_bytes(self.bed)
            )
        except (MalformedInputError, ReadError):
            # A file that was changed is the cause of what was found in it, and is what the user must know of.
            self.bed.check_unchanged()
            raise
        self.bed.check_unchanged()

    def _tile_work_shape(self, n_columns: int) -> tuple[int, int]:
        """Return the shape of the workspace in which all threads decode the tiles of cross-products."""
        return self._work_shape(plan_tiling(self.n_samples, n_columns), n_columns)

    def _work_shape(self, tiling: Tiling, n_columns: int) -> tuple[int, int]:
        """Return the shape of the workspace in which all threads decode tiles."""
        return self.engine.n_threads, int(_core.workspace_size(tiling.tile_snps, tiling.chunk_samples, n_columns))

    def _accumulators_shape(self, n_columns: int, budget: int) -> tuple[int, int, int]:
        """Return the shape of the sums of groups that are kept apart: the last number is how many there are."""
        most = min(ACCUMULATOR_BYTES, budget // 8) // doubles((self.n_samples, n_columns))
        return self.n_samples, n_columns, max(self.engine.n_threads, min(most, MOST_ACCUMULATORS))

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product` in either precision: workspaces, its columns, and sums of segments."""
        l = padded_columns(n_columns)  # noqa: E741
        n_sums = n_held_sums(snps.within(self.n_snps, 1), self.n_snps)
        held, per_snp = doubles(self._work_shape(self._product_tiling(l), l)), 0
        if self._shares_samples:
            per_snp = doubles((4 + l,))
        else:
            held += doubles(self._accumulators_shape(l, budget))
        if self.has_float32:
            in_float32 = doubles(self._float32_work_shape(l)) + _FLOAT * _gram_float32.columns_size(self.n_samples, l)
            held, per_snp = max(held, in_float32), max(per_snp, COUNTING_BYTES + _FLOAT * (4 + l))
        held += doubles((1 + n_sums, self.n_samples, l)) + self._reading_bytes()
        return Footprint(held, self._buffer_bytes() + per_snp, plan_tiling(self.n_samples, l).group_snps)

    @property
    def has_float32(self) -> bool:
        """Return whether products in float32 take less time for this number of samples."""
        return self.n_samples >= FLOAT32_SAMPLES

    @property
    def _shares_samples(self) -> bool:
        """Return whether threads share out the samples in gram products."""
        return self.n_samples >= SHARED_SAMPLES

    def _product_tiling(self, n_columns: int) -> Tiling:
        """Return the tiles of gram products in float64."""
        return plan_tall_tiling(n_columns) if self._shares_samples else plan_tiling(self.n_samples, n_columns)

    def _float32_work_shape(self, n_columns: int) -> tuple[int, int]:
        """Return the shape of the workspace in which all threads multiply in float32."""
        return self.engine.n_threads, int(_gram_float32.workspace_size(n_columns))

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`: the matrix, and a panel or the bits of one."""
        n = self.n_samples
        if self._coding & 2:
            held = doubles((n, n), (GRAM_PANEL_SNPS, n)) + self._reading_bytes()
            return Footprint(held, self._buffer_bytes(), GRAM_PANEL_SNPS)
        # Lists of missing calls are counted as if all calls were missing.
        work = counted_bytes(n, self.engine.n_threads) + self._reading_bytes()
        return Footprint(doubles((n, n)) + work, self._buffer_bytes() + COUNTING_BYTES, _panel_snps())

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Return the memory of `cross_products`: workspace, columns, and its blocks.

        The products of a block are counted twice, since the caller makes arrays of about the same size from them.
        """
        n, m = self.n_samples, padded_columns(n_columns)
        own = Footprint(
            PackedProducts.n_bytes(n, m, self.engine.n_threads) + doubles((n, m)) + self._reading_bytes(),
            self._buffer_bytes() + doubles((2 * m + 24,)),
            GROUP_SNPS,
        )
        own += MissingCounter.footprint(n, self.engine.n_threads)
        return own if fill is None else own + fill.footprint(n, m, self.engine.n_threads)

    def gram_product(
        self,
        S: Floats,
        label: str = "gram product",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        precision: Precision = "float64",
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), (n_samples, l) F order, over a range; 4 n l flops per SNP, one pass."""
        S, n_columns = pad_columns(S), S.shape[1]
        n, l = S.shape  # noqa: E741
        footprint = self.footprint_of_gram_product(n_columns, self.engine.budget, snps)
        add = self._add_in_float32(S) if precision == "float32" and self.has_float32 else self._add_in_float64(S)
        running = SegmentedPass(snps, self.n_snps, lambda: np.zeros((n, l), order="F"), n_columns, keeper)
        for first, packed in self._blocks(label, running.snps, footprint):
            for rows, G in running.parts(first, len(packed)):
                add(packed[rows], G)
        return running.sums

    @property
    def n_threads(self) -> int:
        """Threads that it computes with."""
        return self.engine.n_threads

    @property
    def gram_speed(self) -> int:
        """How many times faster `gram` is than BLAS: scaled SNPs are not counted by bits."""
        return 1 if self._coding & 2 else COUNTED_GRAM_SPEED

    def _add_in_float64(self, S: Floats) -> ProductAdder:
        """Return the function that adds the gram product of a block by dgemm."""
        n, l = S.shape  # noqa: E741
        tiling, n_threads = self._product_tiling(l), self.engine.n_threads
        work = np.empty(self._work_shape(tiling, l))
        if self._shares_samples:

            def add_to_rows(packed: Packed, G: Floats) -> None:
                Z, values = np.empty((len(packed), l)), np.empty((len(packed), 4))
                _core.gram_product_by_rows(
                    packed, n, self._coding, S, G, tiling.tile_snps, tiling.chunk_samples, Z, values, work, n_threads
                )

            return add_to_rows
        accumulators = np.empty(self._accumulators_shape(l, self.engine.budget), order="F")

        def add(packed: Packed, G: Floats) -> None:
            _core.gram_product(
                packed, n, self._coding, S, G, tiling.tile_snps, tiling.chunk_samples, tiling.group_tiles,
                accumulators, work, n_threads,
            )  # fmt: skip

        return add

    def _add_in_float32(self, S: Floats) -> ProductAdder:
        """Return the function that adds the gram product of a block in float32, panel by panel."""
        n, l = S.shape  # noqa: E741
        n_threads = self.engine.n_threads
        columns = np.empty(_gram_float32.columns_size(n, l), np.float32)
        _gram_float32.pack_columns(S, columns)
        work = np.empty(self._float32_work_shape(l))

        def add(packed: Packed, G: Floats) -> None:
            n_snps = len(packed)
            counts, values = np.empty((n_snps, 4), np.int64), np.empty((n_snps, 4), np.float32)
            _core.count_genotypes(packed, n, counts, n_threads)
            T = np.empty(n_snps * l, np.float32)
            _gram_float32.add_gram_product(packed, n, self._coding, counts, columns, G, values, T, work, n_threads)

        return add

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
            snps.within(self.n_snps, segments.SEGMENT_SNPS), before, lambda: np.zeros((n, n), order="F"), keeper
        )
        if C is before:
            _clear_upper(C)
        add = self._add_scaled() if self._coding & 2 else self._add_counted()
        for first, packed in self._blocks(label, left, self.footprint_of_gram()):
            add(first, packed, C, left.stop)
            keeper.offer(first + len(packed), {"sum": C})
        mirror_lower(C)
        return C

    def _add_scaled(self) -> GramAdder:
        """Return the function that adds a block of scaled SNPs to the lower triangle: n² flops per SNP by BLAS."""
        n, panel = self.n_samples, np.empty((GRAM_PANEL_SNPS, self.n_samples))

        def add(first: int, packed: Packed, C: Floats, end: int) -> None:
            _core.gram(packed, n, self._coding, C, gram_edge(n), panel, self.engine.n_threads)

        return add

    def _add_counted(self) -> GramAdder:
        """Return the function that adds a block by counting bits.

        What missing calls add above the diagonal is folded onto the lower triangle at the end of each segment.
        """
        n, n_threads = self.n_samples, self.engine.n_threads
        of_calls, of_sums, of_starts, of_words = _gram.workspace_shapes(n, n_threads)
        calls, sums = np.empty(of_calls, np.uint64), np.empty(of_sums)
        starts, words = np.empty(of_starts, np.int64), np.empty(of_words, np.uint64)

        def add(first: int, packed: Packed, C: Floats, end: int) -> None:
            counts = np.empty((len(packed), 4), np.int64)
            _core.count_genotypes(packed, n, counts, n_threads)
            for begin in range(0, len(packed), _panel_snps()):
                rows = slice(begin, min(begin + _panel_snps(), len(packed)))
                lists = np.empty(_gram.most_missing(counts[rows], n), np.uint16)
                _gram.add_gram(packed[rows], n, counts[rows], C, calls, sums, starts, words, lists, n_threads)
                done = first + rows.stop
                if done % segments.SEGMENT_SNPS == 0 or done == end:
                    _gram.fold_gram(C, n_threads)

        return add

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yield Yᵀ W by blocks; n m / 4 additions per SNP, and those of missing calls and of `fill`; one pass."""
        W, n_columns = pad_columns(W), W.shape[1]
        n, m = W.shape
        n_threads = self.engine.n_threads
        multiplier = PackedProducts(W, n_threads)
        filler = None if fill is None else PackedFill(fill, W, n_threads)
        counter = MissingCounter(n, n_threads)
        footprint = self.footprint_of_cross_products(n_columns, None if filler is None else filler.size)
        for first, packed in self._blocks(label, snps.within(self.n_snps, RESTART_SNPS), footprint):
            counts = np.empty((len(packed), 4), np.int64)
            products = np.empty((len(packed), m))
            multiplier.multiply(packed, self._coding, counts, products)
            block = self._describe(first, packed, counts, products[:, :n_columns], counter)
            yield block if filler is None else self._fill(filler, block, packed, counts, products)

    def call_rates(self, label: str = "filters") -> Iterator[tuple[Ints, Floats]]:
        """Yield the number of called samples and the mean dosage of every SNP, by blocks that are not decoded."""
        for _, packed in self.packed_blocks(label, Footprint(0, COUNTING_BYTES)):
            counts = np.empty((len(packed), 4), np.int64)
            _core.count_genotypes(packed, self.n_samples, counts, self.engine.n_threads)
            n_called = counts[:, 0] + counts[:, 2] + counts[:, 3]
            with np.errstate(invalid="ignore"):
                yield n_called, (counts[:, 2] + 2 * counts[:, 3]) / n_called

    def footprint_of_packed_blocks(self) -> Footprint:
        """Return the memory of blocks that are not decoded."""
        return Footprint(self._reading_bytes(), self._buffer_bytes(), GRAM_PANEL_SNPS)

    def packed_blocks(self, label: str, work: Footprint) -> Iterator[tuple[int, Packed]]:
        """Yield the first SNP and the packed genotypes of the samples in use, by blocks.

        All blocks but the last are a multiple of `GRAM_PANEL_SNPS`; each is valid until the next one is asked for.
        `work` is the memory that the caller takes.
        """
        yield from self._blocks(label, range(self.n_snps), self.footprint_of_packed_blocks() + work)

    def _describe(
        self, first: int, packed: Packed, counts: Ints, products: Floats, counter: MissingCounter
    ) -> CrossProducts:
        """Return products with the moments of the SNPs, which follow from the counts of genotypes (n_snps_block, 4)."""
        n_called = counts[:, 0] + counts[:, 2] + counts[:, 3]
        dosage_sum = counts[:, 2] + 2 * counts[:, 3]
        with np.errstate(invalid="ignore"):
            mean = dosage_sum / n_called
        # The sum of squares about the mean, (n Σy² - (Σy)²) / n, comes from exact integers: it is 0 without variation.
        square_sum = counts[:, 2] + 4 * counts[:, 3]
        sum_squares = (n_called * square_sum - dosage_sum**2) / np.maximum(n_called, 1)
        # The moments of the shape do not depend on the scale.
        cubes, fourths = np.zeros(len(counts)), np.zeros(len(counts))
        for dosage, column in enumerate((0, 2, 3)):
            distance = dosage - mean
            added = counts[:, column] * distance**3
            cubes += added
            added *= distance
            fourths += added
        skewness, kurtosis = standard_moments(sum_squares, cubes, fourths, self.n_samples)
        if self._coding & 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                sum_squares = np.where(sum_squares > 0, sum_squares / (mean * (1 - mean / 2)), 0.0)
        if self.counts_a1:
            mean, skewness = 2 - mean, -skewness

        def decode(rows: NDArray[np.intp]) -> Floats:
            dosage = np.empty((len(rows), self.n_samples))
            _core.decode_block(packed[rows], self.n_samples, self._coding, dosage, self.engine.n_threads)
            return dosage

        def count_missing(rows: slice) -> Ints:
            # SNPs without a missing call are not read again.
            return counter.count(packed[rows], np.flatnonzero(counts[rows, 1]))

        return CrossProducts(
            first, n_called, mean, sum_squares, products, decode,
            count_missing=count_missing, skewness=skewness, kurtosis=kurtosis,
        )  # fmt: skip

    def _fill(
        self, filler: PackedFill, block: CrossProducts, packed: Packed, counts: Ints, products: Floats
    ) -> CrossProducts:
        """Return the block with its missing calls filled; `products`, the memory of its products, is changed."""
        by_mean = replace(block, products=block.products.copy()) if filler.fill.keeps_means else None
        filled = filler.apply(block.first_snp, packed, self._coding, counts, products)

        def decode(rows: NDArray[np.intp]) -> Floats:
            dosage = block.decode(rows)
            filler.fill_decoded(packed[rows], filled.coefficients[rows], dosage)
            return dosage

        sum_squares = block.sum_squares + filled.squares
        return replace(block, sum_squares=sum_squares, decode=decode, imputation=filled.held_out, by_mean=by_mean)
