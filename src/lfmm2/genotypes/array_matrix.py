"""The genotype matrix of numbers that are read by block, from an array in memory or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.imputation import FactorFill
from lfmm2.genotypes.matrix import NO_PARTIAL, RESTART_SNPS, CrossProducts, PartialSum


@runtime_checkable
class NumberReader(Protocol):
    """Numbers that are read by block, wherever they lie.

    Attributes
    ----------
    n_samples, n_snps : int
    dtype : numpy.dtype
        That of the numbers that `read` gives.
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
    """Numbers in memory, checked to be real ones in a table (n_samples, n_snps)."""

    def __init__(self, values: NDArray[Any]) -> None:
        values = np.asarray(values)
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
            raise InconsistentInputError(
                f"genotypes of shape {values.shape} and type {values.dtype}; give real numbers (n_samples, n_snps)"
            )
        self.values = values
        self.n_samples, self.n_snps = values.shape
        self.dtype = values.dtype

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return some rows and columns, transposed."""
        return self.values[np.ix_(samples, snps)].T


class ArrayMatrix:
    """Any numbers: methylation, dosages, expression; NaN is missing.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_snps), or NumberReader
        Real numbers; not modified.
    engine : Engine
    samples, snps : ndarray of int64, optional
        Rows and columns to use.
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

    def _blocks(self, label: str, first_snp: int = 0) -> Iterator[tuple[int, NDArray[np.bool_], Ints, Floats, Floats]]:
        """Yield (first, called (n_block, n_samples), n_called, mean, centred (n_block, n_samples))."""
        n_left = self.n_snps - first_snp
        with self.engine.recorded(label, n_left, self.n_samples * self.numbers.dtype.itemsize) as advance:
            for first in range(first_snp, self.n_snps, self.BLOCK_SNPS):
                columns = self.snps[first : first + self.BLOCK_SNPS]
                block = np.array(self.numbers.read(self.samples, columns), np.float64, order="C")
                if np.isinf(block).any():
                    raise MalformedInputError("genotypes contain infinite values; use NaN for missing ones")
                called = ~np.isnan(block)
                n_called = called.sum(1)
                with np.errstate(invalid="ignore"):
                    mean = np.where(called, block, 0.0).sum(1) / n_called
                block = np.where(called, block - mean[:, None], 0.0)
                # equal values may leave rounding noise after centring
                constant = np.ptp(block, axis=1) <= 1e-14 * np.abs(np.nan_to_num(mean))
                block[constant] = 0.0
                yield first, called, n_called, mean, block
                advance(len(block))

    def gram_product(self, S: Floats, label: str = "gram product", partial: PartialSum = NO_PARTIAL) -> Floats:
        """G(S) = Y (Yᵀ S)."""
        done, G = partial.begun() or (0, np.zeros(S.shape))
        for first, *_, block in self._blocks(label, done):
            G += block.T @ (block @ S)
            partial.offer(first + len(block), G)
        return G

    def gram(self, label: str = "Gram matrix", partial: PartialSum = NO_PARTIAL) -> Floats:
        """C = Y Yᵀ."""
        done, C = partial.begun() or (0, np.zeros((self.n_samples, self.n_samples)))
        for first, *_, block in self._blocks(label, done):
            C += block.T @ block
            partial.offer(first + len(block), C)
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", first_snp: int = 0, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yᵀ W by blocks."""
        for first, called, n_called, mean, block in self._blocks(label, first_snp):

            def products_of(
                values: Floats,
                imputation: Floats | None = None,
                by_mean: CrossProducts | None = None,
                facts: tuple[int, Ints, Floats] = (first, n_called, mean),
            ) -> CrossProducts:
                sum_squares = np.einsum("ij,ij->i", values, values)
                return CrossProducts(*facts, sum_squares, values @ W, values.__getitem__, imputation, by_mean)

            if fill is None:
                yield products_of(block)
            else:
                by_mean = products_of(block.copy()) if fill.keeps_means else None
                yield products_of(block, fill.fill_rows(block, called, first), by_mean)
