"""The genotype matrix as the algebra sees it: a shape and three verbs.

`gram_product(S)`, `gram()` and `cross_products(W)` are all that factors and tests ask of the data; everything below
them (files, packing, tiles, threads) stays here. `BedMatrix` streams a .bed; `ArrayMatrix` holds any n×p array of
numbers (dosages, methylation) in memory. Both impute missing values to the SNP's mean and centre; `cross_products` can
fill them from factors instead (imputation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.imputation import FactorFill, FillSize
from lfmm2.genotypes.segments import PassKeeper, SegmentSums, SnpRange

# A pass may begin and end at multiples of so many SNPs: they are whole groups of a .bed, and whole blocks of an array.
# Elsewhere the last bits of products would depend on where a range is cut.
RESTART_SNPS = 2048


@dataclass(frozen=True)
class CrossProducts:
    """What the tests need of one block of SNPs.

    Attributes
    ----------
    first_snp : int
        Position of the block's first SNP in the matrix.
    n_called : ndarray of shape (n_snps_block,), int64
        Samples with a value.
    mean : ndarray of shape (n_snps_block,), float64
        Mean over these samples; NaN where there are none.
    sum_squares : ndarray of shape (n_snps_block,), float64
        ‖y‖² of the imputed, centred SNP; exactly 0 where all values are equal.
    products : ndarray of shape (n_snps_block, m), float64
        Yᵀ W.
    decode : callable
        ``decode(rows)`` gives the imputed, centred values of some rows of the block, shape (n_rows, n_samples). Valid
        until the next block.
    imputation : ndarray of shape (n_snps_block, N_COLUMNS), float64, or None
        Where missing calls are filled from factors, `sum_squares`, `products` and `decode` are those of the filled SNP,
        centred again, and this is what `lfmm2.genotypes.imputation.HeldOutError` adds up.
    by_mean : CrossProducts, optional
        The same block with missing calls at the mean, where they are filled and ``fill.keeps_means``.
    """

    first_snp: int
    n_called: Ints
    mean: Floats
    sum_squares: Floats
    products: Floats
    decode: Callable[[NDArray[np.intp]], Floats]
    imputation: Floats | None = None
    by_mean: CrossProducts | None = None


class GenotypeMatrix(Protocol):
    """n samples × p SNPs, imputed and centred, seen through products only. Y is (n_samples, n_snps).

    Each verb makes one pass over a range of the SNPs, by default over all. `keeper` keeps what is added on the way.
    The memory that a verb will take is told before by its footprint, of which blocks and plan are made.
    """

    @property
    def n_samples(self) -> int: ...
    @property
    def n_snps(self) -> int: ...

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ...) -> Footprint:
        """Tell the memory of `gram_product` with so many columns, which may take more where the budget is larger."""

    def footprint_of_gram(self) -> Footprint:
        """Tell the memory of `gram`, its result included."""

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = ...) -> Footprint:
        """Tell the memory of `cross_products` with so many columns, its blocks included."""

    def gram_product(self, S: Floats, label: str = ..., snps: SnpRange = ..., keeper: PassKeeper = ...) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), shape (n_samples, l), over a range of whole segments.

        `SegmentSums.total` of all SNPs is G(S), with the same bits for any cut into ranges.
        """

    def gram(
        self, label: str = ..., snps: SnpRange = ..., keeper: PassKeeper = ..., before: Floats | None = ...
    ) -> Floats:
        """Return C = Y Yᵀ, shape (n_samples, n_samples).

        A range begins and ends at multiples of `RESTART_SNPS`. Ranges are chained: `before` is the answer for all SNPs
        before the range, which is overwritten, and the answer is that for all SNPs up to its end. One matrix of this
        size exists, and no tree of them.
        """

    def cross_products(
        self, W: Floats, label: str = ..., snps: SnpRange = ..., fill: FactorFill | None = ...
    ) -> Iterator[CrossProducts]:
        """Give Yᵀ W and the moments of every SNP of a range, block by block in order.

        A range begins and ends at multiples of `RESTART_SNPS`. Missing calls are imputed by `fill` if there is one,
        else to the mean. The bits of a SNP's products depend neither on the range, nor on `fill` where no call is
        missing.
        """


def padded_columns(n_columns: int) -> int:
    """Return the columns of `_padded` with so many."""
    return -(-n_columns // 4) * 4


def _padded(S: Floats) -> Floats:
    """S in C order with columns of zeros up to a multiple of 4, the step of dgemm's inner kernels.

    11 columns take a fifth longer than 12 (bench/README.md).
    """
    n, n_columns = S.shape
    padded = np.zeros((n, padded_columns(n_columns)))
    padded[:, :n_columns] = S
    return padded
