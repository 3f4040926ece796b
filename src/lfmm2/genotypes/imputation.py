r"""Missing calls filled from the latent factors, and the error of such predictions on calls that are held out.

A missing call of SNP :math:`y` is filled with its fitted value from the least-squares regression of :math:`y` on
:math:`[1, U]` over the samples that have a call; never on the variables, whose effects are to be tested. Filling is
part of the testing pass; see `lfmm2.kernels._impute` for the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints, Packed
from lfmm2.errors import UsageError
from lfmm2.genotypes.footprint import Footprint, doubles
from lfmm2.genotypes.packed_products import PackedProducts
from lfmm2.kernels import _impute

# Columns of the squared errors, in dosage, with which the held-out call of each SNP is predicted by the mean and by the
# factors. Both are NaN where no call is held out; the second alone is NaN where missing calls stay at the mean, because
# the called samples do not determine the regression.
ERROR_MEAN, ERROR_FACTORS = 0, 1
N_COLUMNS = 2

# Shortest direction of U that is used, as a share of the longest. Shorter ones are rounding errors of dependent
# factors, and would fill calls with noise.
RANK_TOLERANCE = 1e-10
# Largest entry of basis - W T at which products with the basis are computed as (products with W) T. A larger one would
# change filled values; with a smaller one, rounding alone would ask for a second product per SNP.
SPAN_TOLERANCE = 1e-12
# Largest entry of T. Larger ones would magnify the rounding errors of the products with W.
LARGEST_MAP = 1e3

# Bits after the binary point of the integers in which doubles are added exactly. The smallest double, as a mantissa of
# 53 bits, has units of 2**-1126; it could not be added with fewer than 1126 bits.
_FRACTION_BITS = 1200
# Bits of the lower half of a mantissa of 53 bits. Halves are added as 64-bit integers, with room for 2**36 SNPs.
_HALF_BITS = 27


class FactorFill:
    r"""The regression on :math:`[1, U]` by which missing calls are filled.

    Parameters
    ----------
    U : ndarray of shape (n_samples, K), float64
        Factors of the samples in use, in their order; finite, in any basis and scale.
    seed : int
        Seed of the choice of held-out calls, from 0 to below 2⁶⁴.
    keeps_means : bool
        True if products with missing calls at the mean are computed too.

    Attributes
    ----------
    basis : ndarray of shape (n_samples, r), float64
        Orthonormal basis of :math:`[1, U]`; its first column is constant. r = K + 1 unless factors are dependent.

    Raises
    ------
    UsageError
        If U has no samples or is not finite, or the seed is out of range.
    """

    def __init__(self, U: Floats, seed: int = 0, keeps_means: bool = False) -> None:
        self.keeps_means = keeps_means
        if U.ndim != 2 or len(U) == 0 or not np.isfinite(U).all():
            raise UsageError(f"factors of shape {U.shape}; finite numbers (n_samples, K) are needed")
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"seed is {seed}; it is not negative and below 2**64")
        self.seed = seed
        n = len(U)
        centred = U - U.mean(axis=0)
        lengths = np.linalg.norm(centred, axis=0)
        # A constant column is not exactly 0 after centring, but of the size of its rounding errors.
        varies = lengths > 1e-12 * np.linalg.norm(U, axis=0)
        left, values, _ = np.linalg.svd(centred[:, varies] / lengths[varies], full_matrices=False)
        factors = left[:, values > RANK_TOLERANCE * values.max(initial=0.0)]
        self.basis = np.column_stack([np.full(n, 1 / np.sqrt(n)), factors - factors.mean(axis=0)])

    @property
    def rank(self) -> int:
        """Return r, the number of columns of the basis."""
        return int(self.basis.shape[1])

    def draw_numbers(self, first_snp: int, n_snps: int) -> NDArray[np.uint64]:
        """Draw a random number for each SNP, which depends on the seed and its position alone (splitmix64)."""
        x = np.arange(first_snp, first_snp + n_snps, dtype=np.uint64) + np.uint64(1)
        # The seed is mixed first, so that neighbouring seeds give unrelated numbers.
        x = x * np.uint64(0x9E3779B97F4A7C15) + _mix_bits(np.array([self.seed], np.uint64))
        return _mix_bits(x)

    def map_to_basis(self, W: Floats) -> Floats | None:
        """Return T (m, r) with basis = W T, except that its first column is 0; None if W does not span the basis.

        Parameters
        ----------
        W : ndarray of shape (n_samples, m), float64
            Columns with mean 0; some may be 0.
        """
        factors = self.basis[:, 1:]
        # Normal equations lose digits but take no copy of W; the solution is checked below.
        T = np.linalg.lstsq(W.T @ W, W.T @ factors, rcond=None)[0]
        rest = W @ T
        rest -= factors
        if T.size and (np.abs(rest, out=rest).max() > SPAN_TOLERANCE or np.abs(T).max() > LARGEST_MAP):
            return None
        return np.column_stack([np.zeros(len(T)), T])

    def fill_rows(self, values: Floats, called: NDArray[np.bool_], first_snp: int) -> Floats:
        """Fill SNPs in memory, in place.

        Parameters
        ----------
        values : ndarray of shape (n_snps_block, n_samples), float64
            Centred by the mean of the called samples; 0 where missing, and in SNPs without variation. Rows with missing
            calls are filled and centred again.
        called : ndarray of shape (n_snps_block, n_samples), bool
        first_snp : int
            Position of the first SNP.

        Returns
        -------
        ndarray of shape (n_snps_block, 2), float64
            Columns `ERROR_MEAN` and `ERROR_FACTORS`, as `lfmm2.kernels._impute.fill_block` gives them: errors in units
            of the values, squared.

        Raises
        ------
        UsageError
            If the factors have another number of samples.
        """
        A, r = self.basis, self.rank
        if values.shape[1] != len(A):
            raise UsageError(f"factors of {len(A)} samples cannot fill genotypes of {values.shape[1]}")
        n_called = called.sum(axis=1)
        varies, complete, few = values.any(axis=1), called.all(axis=1), n_called <= r
        # Number of the held-out sample: first among the called samples, then among all.
        draws = self.draw_numbers(first_snp, len(values)) % np.maximum(n_called, 1).astype(np.uint64)
        sample = draws.astype(np.intp)
        for s in np.flatnonzero(varies & ~complete):
            sample[s] = np.flatnonzero(called[s])[sample[s]]
        y = values[np.arange(len(values)), sample]
        a = A[sample]  # (b, r)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_mean = (y / (1 - 1 / n_called)) ** 2
        c = values @ A  # (b, r)
        c[:, 0] = 0.0  # values are centred, so this is exact
        fitted, leverage = np.einsum("ij,ij->i", a, c), np.einsum("ij,ij->i", a, a)
        errors = np.full((len(values), N_COLUMNS), np.nan)
        left = varies & few & ~complete
        for s in np.flatnonzero(varies & ~complete & ~few):
            missing = A[~called[s]]
            solution = self._solve(missing, np.column_stack([c[s], a[s]]))
            left[s] = solution is None
            if solution is not None:
                values[s, ~called[s]] = missing @ solution[:, 0]
                values[s] -= values[s].mean()
                fitted[s], leverage[s] = a[s] @ solution
        errors[left, ERROR_MEAN] = by_mean[left]
        certain = varies & ~few & ~left & (1 - leverage > _impute.PIVOT_TOLERANCE)
        errors[certain, ERROR_MEAN] = by_mean[certain]
        errors[certain, ERROR_FACTORS] = ((y - fitted)[certain] / (1 - leverage[certain])) ** 2
        return errors

    @staticmethod
    def _solve(missing: Floats, right: Floats) -> Floats | None:
        """Solve (I - Mᵀ M) x = right for the rows M of missing samples; None if a pivot of L D Lᵀ is too small."""
        N = np.eye(missing.shape[1]) - missing.T @ missing
        try:
            L = np.linalg.cholesky(N)
        except np.linalg.LinAlgError:
            return None
        if not (np.diag(L) ** 2 > _impute.PIVOT_TOLERANCE).all():
            return None
        return np.asarray(np.linalg.solve(N, right))


def _mix_bits(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finalizer of splitmix64: each bit of x changes about half of the bits of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class FilledBlock:
    """Results of filling one packed block.

    Attributes
    ----------
    coefficients : ndarray of shape (n_snps_block, padded rank), float64
        Regression coefficients of each SNP on the basis, from which `PackedFill.fill_decoded` fills it.
    squares : ndarray of shape (n_snps_block,), float64
        Sum of squares that filling adds to ‖y‖².
    held_out : ndarray of shape (n_snps_block, 2), float64
        Columns `ERROR_MEAN`, `ERROR_FACTORS`.
    """

    coefficients: Floats
    squares: Floats
    held_out: Floats


@dataclass(frozen=True)
class FillSize:
    """Facts that, with the numbers of samples, columns and threads, determine the memory of filling.

    Attributes
    ----------
    rank : int
        Columns of the basis of [1, U].
    keeps_means : bool
        True if products with missing calls at the mean are computed too.
    spanned : bool
        True if the columns of the pass span the basis, as those of a test do.
    """

    rank: int
    keeps_means: bool = False
    spanned: bool = True

    def shapes(self, n_samples: int, m: int, n_threads: int) -> dict[str, tuple[int, int]]:
        """Return the shapes of the arrays that filling works with, in a pass with m columns."""
        padded = int(_impute.padded_rank(self.rank))
        return {
            "rows": (n_samples, padded + m),
            "work": (n_threads, int(_impute.workspace_size(n_samples, self.rank))),
            "positions": (n_threads, n_samples + 1),
            "to_basis": (m if self.spanned else padded, padded),
        }

    def footprint(self, n_samples: int, m: int, n_threads: int) -> Footprint:
        """Return the memory of filling in a pass with m columns; rows count twice, since making them takes a copy."""
        shapes = self.shapes(n_samples, m, n_threads)
        n_integers = prod(shapes.pop("positions"))
        padded = shapes["to_basis"][1]
        # A pass whose columns do not span the basis multiplies each block with the basis too.
        held = (
            0 if self.spanned else doubles((n_samples, padded)) + PackedProducts.n_bytes(n_samples, padded, n_threads)
        )
        # For each SNP: results of this block and of the last one, and random numbers with their temporaries.
        n_numbers = 2 * (padded + N_COLUMNS + 1) + 4
        n_numbers += (0 if self.spanned else padded + 4) + self.keeps_means * m
        return Footprint(held + doubles(*shapes.values(), shapes["rows"]) + 4 * n_integers, 8 * n_numbers)


class PackedFill:
    """The arrays with which the packed blocks of one pass are filled.

    Parameters
    ----------
    fill : FactorFill
    W : ndarray of shape (n_samples, m), float64
        Columns of the pass, padded to a multiple of 4.
    n_threads : int

    Attributes
    ----------
    size : FillSize
        Facts that determine the memory of these arrays.

    Raises
    ------
    UsageError
        If factors and columns have different numbers of samples.
    """

    def __init__(self, fill: FactorFill, W: Floats, n_threads: int) -> None:
        n, r = fill.basis.shape
        if n != len(W):
            raise UsageError(f"factors of {n} samples cannot fill genotypes of {len(W)}")
        self.fill = fill
        self.n_threads = n_threads
        padded = _impute.padded_rank(r)
        basis = np.zeros((n, padded))
        basis[:, :r] = fill.basis
        centred = W - W.mean(axis=0)
        T = fill.map_to_basis(centred)
        self.size = FillSize(r, fill.keeps_means, T is not None)
        shapes = self.size.shapes(n, W.shape[1], n_threads)
        self._rows = np.ascontiguousarray(np.hstack([basis, centred]))
        self._work = np.empty(shapes["work"])
        self._positions = np.empty(shapes["positions"], np.int32)
        # If W does not span the basis, each block is multiplied with the basis too.
        self._by_basis = PackedProducts(basis, n_threads) if T is None else None
        self._to_basis = np.zeros(shapes["to_basis"])
        self._to_basis[: r if T is None else len(T), :r] = np.diag(np.arange(r) > 0) if T is None else T

    def apply(self, first_snp: int, packed: Packed, coding: int, counts: Ints, products: Floats) -> FilledBlock:
        """Fill one block, and overwrite `products` of SNPs with missing calls by those of the filled SNPs."""
        b, n = len(packed), len(self._rows)
        z = products
        if self._by_basis is not None:
            z = np.empty((b, self._to_basis.shape[1]))
            self._by_basis.multiply(packed, coding, np.empty((b, 4), np.int64), z)
        filled = FilledBlock(np.empty((b, self._to_basis.shape[1])), np.empty(b), np.empty((b, N_COLUMNS)))
        _impute.fill_block(
            packed, n, coding, counts, self._rows, self.fill.rank, z, self._to_basis,
            self.fill.draw_numbers(first_snp, b),
            filled.coefficients, products, filled.squares, filled.held_out, self._work, self._positions,
            self.n_threads,
        )  # fmt: skip
        return filled

    def fill_decoded(self, packed: Packed, coefficients: Floats, dosage: Floats) -> None:
        """Fill decoded rows of a block, in place."""
        _impute.fill_decoded(
            packed, len(self._rows), self._rows, coefficients, dosage, self._positions, self.n_threads
        )  # fmt: skip


class HeldOutError:
    """Errors of predictions of held-out calls, added exactly, so that the order of SNPs cannot change a bit.

    Attributes
    ----------
    n_held_out : int
        Calls held out: one of each SNP that varies and has enough calls.
    n_left_at_mean : int
        SNPs whose missing calls stay at the mean, because the called samples do not determine the regression.
    """

    def __init__(self) -> None:
        self.n_held_out = 0
        self.n_left_at_mean = 0
        # Sums of squared errors by the mean and by the factors, in units of 2**-_FRACTION_BITS.
        self._sums = [0, 0]

    def add(self, held_out: Floats) -> None:
        """Add the errors of some SNPs.

        Parameters
        ----------
        held_out : ndarray of shape (n_snps, 2), float64
            `CrossProducts.imputation`, with columns `ERROR_MEAN` and `ERROR_FACTORS`.
        """
        predicted = ~np.isnan(held_out)
        both = predicted.all(axis=1)
        self.n_held_out += int(both.sum())
        self.n_left_at_mean += int((predicted[:, ERROR_MEAN] & ~both).sum())
        for j in (ERROR_MEAN, ERROR_FACTORS):
            self._sums[j] += _sum_exactly(held_out[both, j])

    @property
    def rmse_mean(self) -> float:
        """Return the root mean squared error of predictions by the mean of the other samples; NaN without calls."""
        return self._compute_rmse(ERROR_MEAN)

    @property
    def rmse_factors(self) -> float:
        """Return the root mean squared error of predictions by the regression on the factors; NaN without calls."""
        return self._compute_rmse(ERROR_FACTORS)

    @property
    def ratio(self) -> float:
        """Return `rmse_factors` / `rmse_mean`, below 1 if factors predict better; NaN if `rmse_mean` is 0 or NaN."""
        return self.rmse_factors / self.rmse_mean if self.rmse_mean > 0 else np.nan

    def _compute_rmse(self, j: int) -> float:
        if self.n_held_out == 0:
            return np.nan
        # Python rounds the quotient of two integers only once.
        return float(np.sqrt(self._sums[j] / (self.n_held_out << _FRACTION_BITS)))


def _sum_exactly(values: Floats) -> int:
    """Return the sum, without rounding, of finite doubles that are not negative, in units of 2**-_FRACTION_BITS."""
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    total = 0
    for power in np.unique(exponent):
        some = mantissa[exponent == power]
        high, low = int((some >> _HALF_BITS).sum()), int((some & ((1 << _HALF_BITS) - 1)).sum())
        total += ((high << _HALF_BITS) + low) << (int(power) - 53 + _FRACTION_BITS)
    return total
