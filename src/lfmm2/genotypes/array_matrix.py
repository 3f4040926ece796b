"""The genotype matrix of numbers that are read by blocks, from an array in memory or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.errors import MalformedInputError
from lfmm2.genotypes import segments
from lfmm2.genotypes.array_input import check_real_numbers
from lfmm2.genotypes.bed_matrix import mirror_lower
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint, doubles
from lfmm2.genotypes.imputation import FactorFill, FillSize
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, Precision, pad_columns, padded_columns
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
from lfmm2.genotypes.stored_arrays import BlockArray
from lfmm2.genotypes.threaded_reading import read_in_threads, reading_memory
from lfmm2.kernels import _numbers

# Types that the kernels read as they are; all others become one that holds them.
_READ_TYPES = frozenset(map(np.dtype, ("f4", "f8", "i1", "u1", "i2", "u2", "i4")))
# Types of numbers that float32 holds without a loss, so that a Gram matrix in float32 rounds what is centred alone.
_FLOAT32_TYPES = frozenset(map(np.dtype, ("f2", "f4", "i1", "u1", "i2", "u2")))
# Sums of squares of a feature for which products in float32 neither overflow nor vanish, over any block.
_FLOAT32_SQUARES = (1e-20, 1e30)
# Most samples in the edge of the squares of a Gram matrix, and most for which there is one square: larger ones are
# faster in BLAS, smaller ones keep more threads busy.
_MOST_EDGE, _ONE_SQUARE = 256, 64


@runtime_checkable
class NumberReader(Protocol):
    """Numbers that are read by blocks, wherever they are stored; it may also decode in threads (threaded_reading.py).

    Attributes
    ----------
    n_samples, n_snps : int
    dtype : numpy.dtype
        Type of the numbers that `read` returns.
    """

    @property
    def n_samples(self) -> int: ...
    @property
    def n_snps(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""


class HeldNumbers:
    """Numbers of an array, checked to be real numbers in two dimensions (n_samples, n_snps).

    Parameters
    ----------
    values : ndarray or BlockArray of shape (n_samples, n_snps)
        Real numbers; not modified. A `BlockArray` is read from where it is stored.
    mask : ndarray of bool of the same shape, optional
        True where a value is missing.
    codes : sequence of float
        Values that mean missing.
    """

    def __init__(
        self, values: NDArray[Any] | BlockArray, mask: NDArray[np.bool_] | None = None, codes: Sequence[float] = ()
    ) -> None:
        values = values if isinstance(values, BlockArray) else np.asarray(values)
        check_real_numbers(values)
        self.values, self.mask, self.codes = values, mask, tuple(codes)
        self.n_samples, self.n_snps = int(values.shape[0]), int(values.shape[1])
        self.is_plain = mask is None and not self.codes
        self.stored_dtype = values.dtype
        self.dtype = values.dtype if self.is_plain else np.dtype(np.float64)

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading takes: a slab of what is stored, and a copy."""
        return 2 * self.values.slab_bytes if isinstance(self.values, BlockArray) else 0

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""
        if isinstance(self.values, BlockArray):
            return self._marked(self.values.columns(snps)[samples], np.ix_(samples, snps)).T
        return self.with_nan(np.ix_(samples, snps)).T

    def with_nan(self, part: Any) -> NDArray[Any]:
        """Return a part of an array in memory, NaN where missing; `part` is any index of the array."""
        assert isinstance(self.values, np.ndarray)
        return self._marked(self.values[part], part)

    def pieces(self, n_values: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield first row, first column and numbers, NaN where missing, of pieces that cover the array.

        Pieces of an array in memory have about `n_values` numbers, in the order in which they lie there.
        """
        if isinstance(self.values, BlockArray):
            for first, slab in self.values.slabs():
                yield 0, first, self._marked(slab, (slice(None), slice(first, first + slab.shape[1])))
            return
        n, p = self.values.shape
        steps = [1, 1]
        along, across = (1, 0) if abs(self.values.strides[0]) >= abs(self.values.strides[1]) else (0, 1)
        steps[along] = min(max(self.values.shape[along], 1), n_values)
        steps[across] = max(n_values // steps[along], 1)
        for i in range(0, n, steps[0]):
            for j in range(0, p, steps[1]):
                yield i, j, self.with_nan((slice(i, i + steps[0]), slice(j, j + steps[1])))

    def _marked(self, values: NDArray[Any], part: Any) -> NDArray[Any]:
        """Return values with NaN where they are missing; `part` is their index in the array."""
        if self.is_plain:
            return values
        numbers: NDArray[Any] = values.astype(np.float64)
        with np.errstate(over="ignore"):
            for code in self.codes:
                numbers[values == code] = np.nan
        if self.mask is not None:
            numbers[self.mask[part]] = np.nan
        return numbers


@dataclass(frozen=True)
class _Raw:
    """One block as it was read: `values` (n_snps_block, n_all), of which `samples` are used; the first SNP of it."""

    first: int
    values: NDArray[Any]
    samples: Ints


class ArrayMatrix:
    """The matrix of any numbers: methylation, dosages, expression; NaN is missing.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_snps), or NumberReader
        Real numbers; not modified.
    engine : Engine
    samples, snps : ndarray of int64, optional
        Rows and columns to use, counted from 0; all by default.

    Raises
    ------
    InconsistentInputError
        If `values` is an array, but not of real numbers in two dimensions with at least one row.

    Notes
    -----
    A pass raises MalformedInputError if it meets an infinite value. Blocks are centred and multiplied tile by tile
    (kernels/_numbers.pyx), from the array itself where it lies in memory.
    """

    BLOCK_SNPS = RESTART_SNPS

    def __init__(
        self,
        values: NDArray[Any] | NumberReader,
        engine: Engine,
        *,
        samples: Ints | None = None,
        snps: Ints | None = None,
    ) -> None:
        self.numbers = values if isinstance(values, NumberReader) else HeldNumbers(values)
        self.engine = engine
        self.samples = np.arange(self.numbers.n_samples) if samples is None else np.asarray(samples, np.int64)
        self.snps = np.arange(self.numbers.n_snps) if snps is None else snps

    @property
    def n_samples(self) -> int:
        return len(self.samples)

    @property
    def n_snps(self) -> int:
        return len(self.snps)

    @property
    def n_threads(self) -> int:
        """Threads that it computes with."""
        return self.engine.n_threads

    @property
    def has_float32_gram(self) -> bool:
        """Return whether `gram` takes the precision float32: where it holds the numbers as they are stored."""
        return getattr(self.numbers, "stored_dtype", self.numbers.dtype).newbyteorder("=") in _FLOAT32_TYPES

    def _blocks(self, label: str, snps: range) -> Iterator[_Raw]:
        """Yield blocks as they are read."""
        numbers = read_in_threads(self.numbers, self.engine.n_threads)
        with self.engine.recorded(label, len(snps), self.n_samples * numbers.dtype.itemsize) as advance:
            for first in snps[:: self.BLOCK_SNPS]:
                columns = self.snps[first : min(first + self.BLOCK_SNPS, snps.stop)]
                yield self._read(numbers, first, columns)
                advance(len(columns))

    def _read(self, held: NumberReader, first: int, columns: Ints) -> _Raw:
        """Read some columns; those of a plain array that lie side by side are not copied."""
        plain = held.values if isinstance(held, HeldNumbers) and held.is_plain else None
        if isinstance(plain, np.ndarray) and columns[-1] - columns[0] == len(columns) - 1:
            return _Raw(first, _readable(plain[:, columns[0] : columns[-1] + 1].T), self.samples)
        values = _readable(np.asarray(held.read(self.samples, columns)))
        return _Raw(first, values, np.arange(len(self.samples)))

    def _work(self, n_columns: int) -> Floats:
        """Return the workspace of the kernels for all threads."""
        return np.empty((self.engine.n_threads, _numbers.workspace_size(self.n_samples, n_columns)))

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product`: blocks, sums of groups and sums of segments."""
        n_sums = n_held_sums(snps.within(self.n_snps, 1), self.n_snps) + self.engine.n_threads + 1
        columns = padded_columns(n_columns)
        return self._footprint_of_blocks(columns) + Footprint(doubles((n_sums, self.n_samples, columns)))

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`: blocks as read and centred, the matrix, and its squares."""
        squares = (self.engine.n_threads, _edge(self.n_samples) ** 2)
        centred = (self.BLOCK_SNPS, self.n_samples)
        return self._footprint_of_blocks() + Footprint(doubles((self.n_samples, self.n_samples), squares, centred))

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Return the memory of `cross_products`: blocks, their products, and centred copies if calls are filled."""
        copies = 0 if fill is None else self.n_samples * (3 if fill.keeps_means else 2)
        return self._footprint_of_blocks(n_columns) + Footprint(doubles((self.BLOCK_SNPS, 2 * n_columns + 24 + copies)))

    def _footprint_of_blocks(self, n_columns: int = 0) -> Footprint:
        """Return the memory of a block as it is read, in a type that the kernels read, and of their workspaces."""
        per_value = self.numbers.dtype.itemsize + (0 if self.numbers.dtype in _READ_TYPES else 8)
        work = (self.engine.n_threads, _numbers.workspace_size(self.n_samples, n_columns))
        reading = reading_memory(self.numbers, self.engine.n_threads)
        held = self.BLOCK_SNPS * self.n_samples * per_value + doubles(work) + reading
        return Footprint(held, group_snps=self.BLOCK_SNPS)

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), (n_samples, l), over a range."""
        columns, n_threads = pad_columns(S), self.engine.n_threads
        shape = columns.shape
        running = SegmentedPass(snps, self.n_snps, lambda: np.zeros(shape, order="F"), S.shape[1], keeper)
        sums, work = np.empty((*shape, n_threads), order="F"), self._work(shape[1])
        for raw in self._blocks(label, running.snps):
            for rows, G in running.parts(raw.first, len(raw.values)):
                values = raw.values[rows]
                moments = np.empty((len(values), _numbers.N_MOMENTS))
                _numbers.gram_product(values, raw.samples, columns, G, moments, sums, work, n_threads)
                _check_finite(moments)
        return running.sums

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
        precision: Precision = "float64",
    ) -> Floats:
        """Return C = Y Yᵀ, (n_samples, n_samples) F order, of all SNPs up to the end of the range.

        In float32, SNPs are centred in float64, rounded, multiplied, and each 512 of them added in float64.
        """
        n = self.n_samples
        left, C = begin_gram(
            snps.within(self.n_snps, segments.SEGMENT_SNPS), before, lambda: np.zeros((n, n), order="F"), keeper
        )
        C = np.asfortranarray(C)
        adders = [_GramAdder(self, kind) for kind in (np.float32, np.float64)[precision == "float64" :]]
        for raw in self._blocks(label, left):
            # Where products in float32 would leave its range, the second adder takes the block.
            next(adder for adder in adders if adder.add(raw, C))
            keeper.offer(raw.first + len(raw.values), {"sum": C})
        mirror_lower(C)
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yield Yᵀ W by blocks."""
        W = np.ascontiguousarray(W)
        work, n_threads = self._work(W.shape[1]), self.engine.n_threads
        for raw in self._blocks(label, snps.within(self.n_snps, RESTART_SNPS)):
            n_snps = len(raw.values)
            moments, products = np.empty((n_snps, _numbers.N_MOMENTS)), np.empty((n_snps, W.shape[1]))
            if fill is None:
                _numbers.cross_products(raw.values, raw.samples, W, moments, products, work, n_threads)
                _check_finite(moments)
                yield self._block_of(raw, moments, products)
            else:
                yield self._filled(raw, moments, W, work, fill)

    def _block_of(self, raw: _Raw, moments: Floats, products: Floats) -> CrossProducts:
        """Return a block of which nothing is filled; it is read again for values and missing calls."""
        n = self.n_samples
        n_called = moments[:, 0].astype(np.int64)

        def decode(rows: NDArray[np.intp]) -> Floats:
            values = np.empty((len(raw.values[rows]), n))
            facts = np.empty((len(values), _numbers.N_MOMENTS))
            _numbers.centre(raw.values[rows], raw.samples, values, facts, self._work(0), self.engine.n_threads)
            return values

        def count_missing(rows: slice) -> Ints:
            lacking = np.flatnonzero(n_called[rows] < n)
            if not len(lacking):
                return np.zeros(n, np.int64)
            counts: Ints = np.isnan(raw.values[rows][lacking][:, raw.samples]).sum(axis=0, dtype=np.int64)
            return counts

        mean, squares, skewness, kurtosis = (np.ascontiguousarray(column) for column in moments.T[1:])
        return CrossProducts(
            raw.first, n_called, mean, squares, products, decode, None, None, count_missing, skewness, kurtosis
        )

    def _filled(self, raw: _Raw, moments: Floats, W: Floats, work: Floats, fill: FactorFill) -> CrossProducts:
        """Return a block whose missing calls are filled from factors."""
        n_threads = self.engine.n_threads
        block = np.empty((len(raw.values), self.n_samples))
        _numbers.centre(raw.values, raw.samples, block, moments, work, n_threads, with_powers=True)
        _check_finite(moments)

        def with_products(raw_block: CrossProducts, values: Floats) -> CrossProducts:
            products, squares = np.empty((len(values), W.shape[1])), np.empty(len(values))
            _numbers.multiply(values, W, products, squares, n_threads)
            return replace(raw_block, products=products, sum_squares=squares)

        unfilled = self._block_of(raw, moments, np.empty((0, 0)))
        by_mean = with_products(unfilled, block) if fill.keeps_means else None
        imputation = fill.fill_rows(block, ~np.isnan(raw.values[:, raw.samples]), raw.first)
        filled = with_products(unfilled, block)
        return replace(filled, decode=block.__getitem__, imputation=imputation, by_mean=by_mean)


class _GramAdder:
    """Adds blocks to the lower triangle of a Gram matrix, multiplied in float32 or float64; its memory is kept."""

    def __init__(self, matrix: ArrayMatrix, kind: type[np.float32] | type[np.float64]) -> None:
        n, self.n_threads = matrix.n_samples, matrix.engine.n_threads
        self.edge = _edge(n)
        self.block: NDArray[Any] = np.empty((min(matrix.BLOCK_SNPS, matrix.n_snps), n), kind)
        self.squares: NDArray[Any] = np.empty((self.n_threads, self.edge**2), kind)
        self.work = matrix._work(0)

    def add(self, raw: _Raw, C: Floats) -> bool:
        """Add a block and return True; add nothing and return False if products would leave the range of float32."""
        block, moments = self.block[: len(raw.values)], np.empty((len(raw.values), _numbers.N_MOMENTS))
        _numbers.centre(raw.values, raw.samples, block, moments, self.work, self.n_threads)
        _check_finite(moments)
        squares = moments[:, 2][moments[:, 2] != 0]
        low, high = _FLOAT32_SQUARES
        if block.dtype == np.float32 and not ((squares >= low) & (squares <= high)).all():
            return False
        _numbers.add_gram(block, C, self.edge, self.squares, self.n_threads)
        return True


def _readable(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in a type that the kernels read: as they are where possible, else in one that holds them."""
    if values.dtype in _READ_TYPES and values.flags.aligned:
        return values
    native = values.dtype.newbyteorder("=")
    if native not in _READ_TYPES:
        native = np.dtype(np.float32 if native == np.float16 else np.float64)
    return values.astype(native)


def _edge(n_samples: int) -> int:
    """Return the edge of the squares of a Gram matrix, all about equally large; of few samples there is one."""
    n_edges = max(-(-n_samples // _MOST_EDGE), 1 if n_samples <= _ONE_SQUARE else 2)
    return -(-n_samples // n_edges)


def _check_finite(moments: Floats) -> None:
    """Raise MalformedInputError if a mean is infinite, as those of features with infinite values are."""
    if np.isinf(moments[:, 1]).any():
        raise MalformedInputError("genotypes contain infinite values; use NaN for missing ones")
