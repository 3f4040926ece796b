"""The genotype matrix of numbers that are read by blocks, from an array in memory or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.errors import MalformedInputError
from lfmm2.genotypes import segments
from lfmm2.genotypes.array_input import check_real_numbers
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint, doubles
from lfmm2.genotypes.imputation import FactorFill, FillSize
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, standard_moments
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

# SNPs whose powers are summed at a time, which limits the memory of the copies that the powers need.
SHAPE_ROWS = 64


@runtime_checkable
class NumberReader(Protocol):
    """Numbers that are read by blocks, wherever they are stored.

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
    """Numbers in memory, checked to be real numbers in an array (n_samples, n_snps).

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_snps)
        Real numbers; not modified.
    mask : ndarray of bool of the same shape, optional
        True where a value is missing.
    codes : sequence of float
        Values that mean missing.
    """

    def __init__(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None, codes: Sequence[float] = ()
    ) -> None:
        values = np.asarray(values)
        check_real_numbers(values)
        self.values, self.mask, self.codes = values, mask, tuple(codes)
        self.n_samples, self.n_snps = values.shape
        self.dtype = values.dtype if mask is None and not self.codes else np.dtype(np.float64)

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""
        return self.with_nan(np.ix_(samples, snps)).T

    def with_nan(self, part: Any) -> NDArray[Any]:
        """Return a part of the values, NaN where missing; `part` is any index of the array."""
        values: NDArray[Any] = self.values[part]
        if self.dtype == self.values.dtype and not self.codes and self.mask is None:
            return values
        numbers: NDArray[Any] = values.astype(np.float64)
        with np.errstate(over="ignore"):
            for code in self.codes:
                numbers[values == code] = np.nan
        if self.mask is not None:
            numbers[self.mask[part]] = np.nan
        return numbers


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
    A pass raises MalformedInputError if it meets an infinite value.
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
        self.samples = np.arange(self.numbers.n_samples) if samples is None else samples
        self.snps = np.arange(self.numbers.n_snps) if snps is None else snps

    @property
    def n_samples(self) -> int:
        return len(self.samples)

    @property
    def n_snps(self) -> int:
        return len(self.snps)

    def _blocks(self, label: str, snps: range) -> Iterator[tuple[int, NDArray[np.bool_], Ints, Floats, Floats]]:
        """Yield first SNP, called (n_snps_block, n_samples), n_called, mean and centred values, 0 where missing."""
        with self.engine.recorded(label, len(snps), self.n_samples * self.numbers.dtype.itemsize) as advance:
            for first in snps[:: self.BLOCK_SNPS]:
                columns = self.snps[first : min(first + self.BLOCK_SNPS, snps.stop)]
                block = np.array(self.numbers.read(self.samples, columns), np.float64, order="C")
                called = ~np.isnan(block)
                n_called = called.sum(1)
                with np.errstate(invalid="ignore", over="ignore"):
                    mean = np.where(called, block, 0.0).sum(1) / n_called
                if not np.isfinite(mean[n_called > 0]).all():
                    raise MalformedInputError("genotypes contain infinite values; use NaN for missing ones")
                block = np.where(called, block - mean[:, None], 0.0)
                # Equal values may differ from their mean by rounding; such a SNP is set to exactly 0.
                constant = np.ptp(block, axis=1) <= 1e-14 * np.abs(np.nan_to_num(mean))
                block[constant] = 0.0
                yield first, called, n_called, mean, block
                advance(len(block))

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product`: blocks, and sums of segments."""
        n_sums = n_held_sums(snps.within(self.n_snps, 1), self.n_snps)
        return self._footprint_of_blocks() + Footprint(doubles((n_sums, self.n_samples, n_columns)))

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`: blocks, the matrix, and what a block adds to it."""
        return self._footprint_of_blocks() + Footprint(2 * doubles((self.n_samples, self.n_samples)))

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Return the memory of `cross_products`: blocks, their products, and a copy of a block if means are kept."""
        n_copied = self.n_samples if fill is not None and fill.keeps_means else 0
        return self._footprint_of_blocks() + Footprint(doubles((self.BLOCK_SNPS, 2 * n_columns + 24 + n_copied)))

    def _footprint_of_blocks(self) -> Footprint:
        """Return the memory of a block: as it is read, as float64, without NaN, centred, and the marks of called."""
        return Footprint(self.BLOCK_SNPS * self.n_samples * (self.numbers.dtype.itemsize + 4 * 8 + 2))

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), (n_samples, l), over a range."""
        running = SegmentedPass(snps, self.n_snps, lambda: np.zeros(S.shape), S.shape[1], keeper)
        for first, *_, block in self._blocks(label, running.snps):
            for rows, G in running.parts(first, len(block)):
                G += block[rows].T @ (block[rows] @ S)
        return running.sums

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return C = Y Yᵀ, (n_samples, n_samples), of all SNPs up to the end of the range."""
        left, C = begin_gram(
            snps.within(self.n_snps, segments.SEGMENT_SNPS), before, lambda: np.zeros((self.n_samples,) * 2), keeper
        )
        for first, *_, block in self._blocks(label, left):
            C += block.T @ block
            keeper.offer(first + len(block), {"sum": C})
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yield Yᵀ W by blocks."""
        for first, called, n_called, mean, block in self._blocks(label, snps.within(self.n_snps, RESTART_SNPS)):

            def count_missing(rows: slice, called: NDArray[np.bool_] = called) -> Ints:
                counts: Ints = np.sum(~called[rows], axis=0, dtype=np.int64)
                return counts

            def products_of(
                values: Floats,
                imputation: Floats | None = None,
                by_mean: CrossProducts | None = None,
                facts: tuple[int, Ints, Floats] = (first, n_called, mean),
                shape: tuple[Floats, Floats] = _shape_of_rows(block),
            ) -> CrossProducts:
                sum_squares = np.einsum("ij,ij->i", values, values)
                return CrossProducts(
                    *facts, sum_squares, values @ W, values.__getitem__, imputation, by_mean, count_missing, *shape
                )

            if fill is None:
                yield products_of(block)
            else:
                by_mean = products_of(block.copy()) if fill.keeps_means else None
                yield products_of(block, fill.fill_rows(block, called, first), by_mean)


def _shape_of_rows(block: Floats) -> tuple[Floats, Floats]:
    """Return skewness and kurtosis of centred values (n_snps_block, n_samples), a few rows at a time."""
    squares, cubes, fourths = (np.empty(len(block)) for _ in range(3))
    for first in range(0, len(block), SHAPE_ROWS):
        rows = slice(first, first + SHAPE_ROWS)
        values = block[rows]
        # The shape does not depend on the scale, and powers of values between -1 and 1 cannot overflow.
        scales = np.abs(values).max(axis=1, initial=0.0, keepdims=True)
        values = values / np.where(scales > 0, scales, 1.0)
        second = values * values
        squares[rows] = second.sum(axis=1)
        cubes[rows] = np.einsum("ij,ij->i", second, values)
        fourths[rows] = np.einsum("ij,ij->i", second, second)
    return standard_moments(squares, cubes, fourths, block.shape[1])
