"""The genotype matrix as the algebra sees it: a shape and three verbs.

`gram_product(S)`, `gram()` and `cross_products(W)` are all that factors and tests ask of the data; files, packing,
tiles and threads are known to this folder alone. `BedMatrix` streams a .bed; `ArrayMatrix` reads any numbers (dosages,
methylation) by blocks, from memory or from elsewhere. Both replace missing values by the mean of the SNP and centre
the SNP; `cross_products` can fill missing calls from factors instead (imputation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.imputation import FactorFill, FillSize
from lfmm2.genotypes.segments import PassKeeper, SegmentSums, SnpRange

# A pass may begin and end at multiples of this number of SNPs: whole groups of a .bed, and one block of an array. If a
# range were cut elsewhere, the last bits of products would depend on the place of the cut.
RESTART_SNPS = 2048

# Precision of the multiplications of a gram product; sums over segments are made in float64 with both.
Precision = Literal["float64", "float32"]


@dataclass(frozen=True)
class CrossProducts:
    """Cross-products of one block of SNPs, with the moments that the tests need.

    Attributes
    ----------
    first_snp : int
        Position of the block's first SNP in the matrix.
    n_called : ndarray of shape (n_snps_block,), int64
        Number of samples with a value.
    mean : ndarray of shape (n_snps_block,), float64
        Mean dosage over these samples; NaN where there are none.
    sum_squares : ndarray of shape (n_snps_block,), float64
        ‖y‖² of the imputed, centred SNP; exactly 0 where all values are equal.
    products : ndarray of shape (n_snps_block, m), float64
        Yᵀ W.
    decode : callable
        ``decode(rows)`` returns the imputed, centred values of some SNPs of the block, given by their numbers in it,
        shape (n_rows, n_samples). It may be called until the next block is asked for.
    imputation : ndarray of shape (n_snps_block, N_COLUMNS), float64, or None
        Squared errors of held-out calls, which `lfmm2.genotypes.imputation.HeldOutError` adds up; None unless missing
        calls are filled from factors. If they are, `sum_squares`, `products` and `decode` are those of the filled SNP,
        centred again.
    by_mean : CrossProducts, optional
        The same block with missing calls at the mean; None unless they are filled and ``fill.keeps_means``.
    count_missing : callable, optional
        ``count_missing(rows)`` returns the number of missing values of each sample over a slice of the block's SNPs,
        shape (n_samples,), int64. It may be called until the next block is asked for. None if they are not counted.
    skewness, kurtosis : ndarray of shape (n_snps_block,), float64, optional
        Third and fourth moment of the SNP with missing calls at the mean, standardised with ddof 0, the fourth less 3;
        NaN without variation. None if they are not known.
    """

    first_snp: int
    n_called: Ints
    mean: Floats
    sum_squares: Floats
    products: Floats
    decode: Callable[[NDArray[np.intp]], Floats]
    imputation: Floats | None = None
    by_mean: CrossProducts | None = None
    count_missing: Callable[[slice], Ints] | None = None
    skewness: Floats | None = None
    kurtosis: Floats | None = None


# How many times faster a Gram matrix of hard calls is computed, by counting bits, than one of numbers by BLAS: 3 to 5
# with AVX2, 5 to 11 with AVX-512. With a larger number `auto` chooses the exact solver for more samples.
COUNTED_GRAM_SPEED = 6


def gram_speed(matrix: GenotypeMatrix) -> int:
    """Return how many times faster `matrix` computes its Gram matrix than BLAS: its attribute of this name, else 1."""
    return int(getattr(matrix, "gram_speed", 1))


def threads_of(matrix: GenotypeMatrix) -> int:
    """Return the threads that `matrix` computes with: its attribute `n_threads`, else 1."""
    return int(getattr(matrix, "n_threads", 1))


class GenotypeMatrix(Protocol):
    """n samples × p SNPs, imputed and centred, seen through products only. Y is (n_samples, n_snps).

    Each verb makes one pass over a range of the SNPs, by default over all; `keeper` keeps the sums of an unfinished
    pass. The footprint of a verb is the memory that it will take: size of blocks and plan of a run follow from it.
    """

    @property
    def n_samples(self) -> int: ...
    @property
    def n_snps(self) -> int: ...

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ...) -> Footprint:
        """Return the memory of `gram_product` with n_columns columns; it may grow with the budget, in bytes."""

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`, its result included."""

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = ...) -> Footprint:
        """Return the memory of `cross_products` with n_columns columns, its blocks included."""

    def gram_product(self, S: Floats, label: str = ..., snps: SnpRange = ..., keeper: PassKeeper = ...) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S), shape (n_samples, l), over a range of whole segments.

        Once the sums of all ranges are merged, `SegmentSums.total` is G(S), with the same bits for any cut into ranges.
        """

    def gram(
        self, label: str = ..., snps: SnpRange = ..., keeper: PassKeeper = ..., before: Floats | None = ...
    ) -> Floats:
        """Return C = Y Yᵀ, shape (n_samples, n_samples), of all SNPs up to the end of the range.

        A range is one of whole segments. Ranges are computed one after the other: `before` is the
        result for all SNPs before the range, and is overwritten. So only one matrix of this size is in memory.
        """

    def cross_products(
        self, W: Floats, label: str = ..., snps: SnpRange = ..., fill: FactorFill | None = ...
    ) -> Iterator[CrossProducts]:
        """Yield Yᵀ W and the moments of every SNP of a range, block by block in order.

        A range begins and ends at multiples of `RESTART_SNPS`. Missing calls are filled by `fill` if it is given, else
        by the mean. The bits of a SNP's products do not depend on the range; where no call is missing, they do not
        depend on `fill` either.
        """


class Float32Matrix(GenotypeMatrix, Protocol):
    """A matrix that can make gram products in float32 too, with a relative error below 1e-6, in less time."""

    @property
    def has_float32(self) -> bool:
        """Return whether products in float32 take less time for this number of samples."""

    def gram_product(
        self,
        S: Floats,
        label: str = ...,
        snps: SnpRange = ...,
        keeper: PassKeeper = ...,
        precision: Precision = ...,
    ) -> SegmentSums:
        """Add up G(S) in this precision; `footprint_of_gram_product` holds for both."""


def float32_matrix(matrix: GenotypeMatrix) -> Float32Matrix | None:
    """Return the matrix if it makes products in float32, and takes less time for them; else None."""
    return cast(Float32Matrix, matrix) if getattr(matrix, "has_float32", False) else None


class Float32GramMatrix(GenotypeMatrix, Protocol):
    """A matrix that can make its Gram matrix in float32 too, in less time: of numbers that float32 holds."""

    @property
    def has_float32_gram(self) -> bool:
        """Return whether the numbers are stored in a type that float32 holds."""

    def gram(
        self,
        label: str = ...,
        snps: SnpRange = ...,
        keeper: PassKeeper = ...,
        before: Floats | None = ...,
        precision: Precision = ...,
    ) -> Floats:
        """Return C = Y Yᵀ; each 512 SNPs may be summed in float32."""


def float32_gram_matrix(matrix: GenotypeMatrix) -> Float32GramMatrix | None:
    """Return the matrix if it makes its Gram matrix in float32; else None."""
    return cast(Float32GramMatrix, matrix) if getattr(matrix, "has_float32_gram", False) else None


def standard_moments(squares: Floats, cubes: Floats, fourths: Floats, n_samples: int) -> tuple[Floats, Floats]:
    """Return skewness and excess kurtosis, with ddof 0, from sums of powers of centred values; NaN if all are equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / n_samples
        skewness, kurtosis = cubes / n_samples / variance**1.5, fourths / n_samples / variance**2 - 3
    return skewness, kurtosis


def padded_columns(n_columns: int) -> int:
    """Return the number of columns after padding by `pad_columns`: the next multiple of 4."""
    return -(-n_columns // 4) * 4


def pad_columns(S: Floats) -> Floats:
    """Return a copy of S in C order, with columns of zeros added up to a multiple of 4.

    The inner kernels of dgemm take 4 columns at a time: 11 columns take a fifth longer than 12 (bench/README.md).
    """
    n, n_columns = S.shape
    padded = np.zeros((n, padded_columns(n_columns)))
    padded[:, :n_columns] = S
    return padded
