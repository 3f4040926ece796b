r"""Missing calls filled from the latent factors, and what that is worth on calls that were held out.

A missing call of SNP :math:`y` is filled with its fitted value from the least-squares regression of :math:`y` on
:math:`[1, U]` over the samples that have a call; never on the variables, which would leak into the tests. The numbers
come from the pass that tests; see `lfmm2.kernels._impute` for the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2._typing import Floats, Ints, Packed
from lfmm2.errors import UsageError
from lfmm2.genotypes.engine import plan_tiling
from lfmm2.genotypes.footprint import Footprint, doubles
from lfmm2.kernels import _impute

# columns of what is told of every SNP, squared errors of its held-out call in dosage: both NaN where there is none, the
# second alone where missing calls stay at the mean because the called samples do not determine the regression
ERROR_MEAN, ERROR_FACTORS = 0, 1
N_COLUMNS = 2

# directions of U shorter than this share of the longest are rounding
RANK_TOLERANCE = 1e-10
# the basis may be read off the products with W where it lies in their span to this
SPAN_TOLERANCE = 1e-12
LARGEST_MAP = 1e3

# fixed point in which doubles are added exactly: the last bit of the smallest one, and room below it
_POINT = 1200
_HALF = 27


class FactorFill:
    r"""The regression on :math:`[1, U]` by which missing calls are filled.

    Parameters
    ----------
    U : ndarray of shape (n_samples, K), float64
        Factors of the samples in use, in their order; any basis, any scale.
    seed : int
        Of the choice of held-out calls.
    keeps_means : bool
        Whether products with missing calls at the mean are given too.

    Attributes
    ----------
    basis : ndarray of shape (n_samples, r), float64
        Orthonormal basis of :math:`[1, U]`; its first column is constant. r = K + 1 unless factors are dependent.
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
        # a constant column leaves its rounding
        varies = lengths > 1e-12 * np.linalg.norm(U, axis=0)
        left, values, _ = np.linalg.svd(centred[:, varies] / lengths[varies], full_matrices=False)
        factors = left[:, values > RANK_TOLERANCE * values.max(initial=0.0)]
        self.basis = np.column_stack([np.full(n, 1 / np.sqrt(n)), factors - factors.mean(axis=0)])

    @property
    def rank(self) -> int:
        """Columns of the basis."""
        return int(self.basis.shape[1])

    def draws(self, first_snp: int, n_snps: int) -> NDArray[np.uint64]:
        """A random number for each SNP, a function of the seed and of its position alone (splitmix64)."""
        x = np.arange(first_snp, first_snp + n_snps, dtype=np.uint64) + np.uint64(1)
        # the seed is mixed first, so that neighbouring seeds give unrelated streams
        x = x * np.uint64(0x9E3779B97F4A7C15) + _mixed(np.array([self.seed], np.uint64))
        return _mixed(x)

    def map_from(self, W: Floats) -> Floats | None:
        """T (m, r) with basis = W T but for the constant column, which is 0; None if the basis is not in W's span.

        Parameters
        ----------
        W : ndarray of shape (n_samples, m), float64
            Columns with mean 0; some may be 0.
        """
        factors = self.basis[:, 1:]
        # by normal equations, which take no copy of W: the check below is of what comes out
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
            Centred by the mean of the called, 0 where missing or where nothing varies. Rows with missing calls are
            filled and centred again.
        called : ndarray of shape (n_snps_block, n_samples), bool
        first_snp : int
            Position of the first row.

        Returns
        -------
        ndarray of shape (n_snps_block, 2), float64
            As `lfmm2.kernels._impute.fill_block` gives it; errors in units of the values.
        """
        A, r = self.basis, self.rank
        if values.shape[1] != len(A):
            raise UsageError(f"factors of {len(A)} samples cannot fill genotypes of {values.shape[1]}")
        n_called = called.sum(axis=1)
        varies, complete, few = values.any(axis=1), called.all(axis=1), n_called <= r
        # the sample that is held out, counted among the called first
        draws = self.draws(first_snp, len(values)) % np.maximum(n_called, 1).astype(np.uint64)
        sample = draws.astype(np.intp)
        for s in np.flatnonzero(varies & ~complete):
            sample[s] = np.flatnonzero(called[s])[sample[s]]
        y = values[np.arange(len(values)), sample]
        a = A[sample]  # (b, r)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_mean = (y / (1 - 1 / n_called)) ** 2
        c = values @ A  # (b, r)
        c[:, 0] = 0.0  # but for rounding
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
        """(I - Mᵀ M)⁻¹ right for the rows M of missing samples; None where a pivot of L D Lᵀ is too small."""
        N = np.eye(missing.shape[1]) - missing.T @ missing
        try:
            L = np.linalg.cholesky(N)
        except np.linalg.LinAlgError:
            return None
        if not (np.diag(L) ** 2 > _impute.PIVOT_TOLERANCE).all():
            return None
        return np.asarray(np.linalg.solve(N, right))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64: every bit of the argument changes half of the bits of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class FilledBlock:
    """What filling changes in one packed block.

    Attributes
    ----------
    coefficients : ndarray of shape (n_snps_block, padded rank), float64
    squares : ndarray of shape (n_snps_block,), float64
        To be added to ‖y‖².
    held_out : ndarray of shape (n_snps_block, 2), float64
        Columns `ERROR_MEAN`, `ERROR_FACTORS`.
    """

    coefficients: Floats
    squares: Floats
    held_out: Floats


@dataclass(frozen=True)
class FillSize:
    """What the memory of filling depends on, beside samples, columns and threads.

    Attributes
    ----------
    rank : int
        Columns of the basis of [1, U].
    keeps_means : bool
        As of `FactorFill`.
    spanned : bool
        True where the columns of the pass span the basis, as those of a test do.
    """

    rank: int
    keeps_means: bool = False
    spanned: bool = True

    def shapes(self, n_samples: int, m: int, n_threads: int) -> dict[str, tuple[int, int]]:
        """Return the shapes of the arrays that filling works with, in a pass with m columns."""
        padded = int(_impute.padded_rank(self.rank))
        tiling = plan_tiling(n_samples, padded)
        tile = int(_core.workspace_size(tiling.tile_snps, tiling.chunk_samples, padded))
        return {
            "rows": (n_samples, padded + m),
            "work": (n_threads, int(_impute.workspace_size(n_samples, self.rank))),
            "positions": (n_threads, n_samples + 1),
            "to_basis": (m if self.spanned else padded, padded),
            "basis": (0 if self.spanned else n_samples, padded),
            "tile_work": (0 if self.spanned else n_threads, tile),
        }

    def footprint(self, n_samples: int, m: int, n_threads: int) -> Footprint:
        """Return the memory of filling in a pass with m columns; the rows twice, for what it takes to make them."""
        shapes = self.shapes(n_samples, m, n_threads)
        n_integers = prod(shapes.pop("positions"))
        padded = shapes["to_basis"][1]
        # results of this block and of the last one, draws and their temporaries
        n_numbers = 2 * (padded + N_COLUMNS + 1) + 4
        n_numbers += (0 if self.spanned else padded + 4) + self.keeps_means * m
        return Footprint(doubles(*shapes.values(), shapes["rows"]) + 4 * n_integers, 8 * n_numbers)


class PackedFill:
    """Fills the blocks of one pass.

    Parameters
    ----------
    fill : FactorFill
    W : ndarray of shape (n_samples, m), float64
        Columns of the pass, filled up to a multiple of 4.
    n_threads : int

    Attributes
    ----------
    size : FillSize
        Tells the memory that this takes.
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
        T = fill.map_from(centred)
        self.size = FillSize(r, fill.keeps_means, T is not None)
        shapes = self.size.shapes(n, W.shape[1], n_threads)
        self._rows = np.ascontiguousarray(np.hstack([basis, centred]))
        self._work = np.empty(shapes["work"])
        self._positions = np.empty(shapes["positions"], np.int32)
        # products of its own where those with W do not tell those with the basis
        self._basis = basis if T is None else None
        self._to_basis = np.zeros(shapes["to_basis"])
        self._to_basis[: r if T is None else len(T), :r] = np.diag(np.arange(r) > 0) if T is None else T
        self._tiling = plan_tiling(n, padded)
        self._tile_work = np.empty(shapes["tile_work"])

    def apply(self, first_snp: int, packed: Packed, coding: int, counts: Ints, products: Floats) -> FilledBlock:
        """Fill one block; `products` of SNPs with missing calls become those of the filled SNPs."""
        b, n = len(packed), len(self._rows)
        z = products
        if self._basis is not None:
            z = np.empty((b, self._basis.shape[1]))
            _core.cross_products(
                packed, n, coding, self._basis, np.empty((b, 4), np.int64), z, self._tiling.tile_snps,
                self._tiling.chunk_samples, self._tile_work, self.n_threads,
            )  # fmt: skip
        filled = FilledBlock(np.empty((b, self._to_basis.shape[1])), np.empty(b), np.empty((b, N_COLUMNS)))
        _impute.fill_block(
            packed, n, coding, counts, self._rows, self.fill.rank, z, self._to_basis, self.fill.draws(first_snp, b),
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
    """Errors of predicted held-out calls, added up exactly: in any order and any cut, the same bits.

    Attributes
    ----------
    n_held_out : int
        Calls, one of each SNP that varies and has enough calls.
    n_left_at_mean : int
        SNPs whose missing calls stay at the mean, because the called samples do not determine the regression.
    """

    def __init__(self) -> None:
        self.n_held_out = 0
        self.n_left_at_mean = 0
        # sums of squares, in units of 2**-_POINT
        self._sums = [0, 0]

    def add(self, held_out: Floats) -> None:
        """Add some SNPs.

        Parameters
        ----------
        held_out : ndarray of shape (n_snps, 2), float64
            Columns `ERROR_MEAN`, `ERROR_FACTORS`, of `CrossProducts.imputation`.
        """
        predicted = ~np.isnan(held_out)
        both = predicted.all(axis=1)
        self.n_held_out += int(both.sum())
        self.n_left_at_mean += int((predicted[:, ERROR_MEAN] & ~both).sum())
        for j in (ERROR_MEAN, ERROR_FACTORS):
            self._sums[j] += _exact_sum(held_out[both, j])

    @property
    def rmse_mean(self) -> float:
        """Root mean squared error of the mean of the other called samples; NaN where nothing was held out."""
        return self._rmse(ERROR_MEAN)

    @property
    def rmse_factors(self) -> float:
        """Root mean squared error of the regression of the other called samples on the factors."""
        return self._rmse(ERROR_FACTORS)

    @property
    def ratio(self) -> float:
        """`rmse_factors` / `rmse_mean`: below 1 where factors predict calls better; NaN where that is 0 / 0."""
        return self.rmse_factors / self.rmse_mean if self.rmse_mean > 0 else np.nan

    def _rmse(self, j: int) -> float:
        if self.n_held_out == 0:
            return np.nan
        # a quotient of integers is rounded once
        return float(np.sqrt(self._sums[j] / (self.n_held_out << _POINT)))


def _exact_sum(values: Floats) -> int:
    """Sum of finite doubles that are not negative, in units of 2**-_POINT, without rounding."""
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    total = 0
    for power in np.unique(exponent):
        some = mantissa[exponent == power]
        # halves of 27 bits: 2**36 of them fit into 63
        high, low = int((some >> _HALF).sum()), int((some & ((1 << _HALF) - 1)).sum())
        total += ((high << _HALF) + low) << (int(power) - 53 + _POINT)
    return total
