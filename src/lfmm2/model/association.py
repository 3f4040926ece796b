"""Association tests: from cross-products to effect sizes, standard errors, t and F of every SNP.

For each SNP y (centred) the regression on C = [nuisance | Û | X] is read off z = Q_Cᵀ y with C = Q_C R: the variables
come last, so their coefficients are R_xx⁻¹ z_x, and ‖z_x‖² is the sum of squares that they add to the factors. The
ridge effect of Eq. 4, L y, and the loadings, (P U')ᵀ y, are linear in z too: P maps the span of [X | Û] onto itself, so
the rows of L and the columns of P U' lie in the span of Q_C, up to the residual of the factors where krylov has left
one. Q_C is therefore all that a SNP must be multiplied with; the rest is O((d + K)²) arithmetic per SNP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.errors import DegenerateProblemError, UsageError
from lfmm2.genotypes import ALL_SNPS, CrossProducts, FactorFill, Footprint, GenotypeMatrix, SnpRange, doubles
from lfmm2.model.factors import LatentFactors
from lfmm2.model.ridge import RidgeGeometry

# rss below this share of ‖y‖² has lost half of its digits to cancellation and is formed from residuals instead
CANCELLATION = 1e-8
RESIDUAL_ROWS = 64
# SNPs of one product: blocks are whole multiples of them, but for the last
PART_SNPS = 512
# and below this share nothing of the residuals but rounding is left
PERFECT_FIT = 1e-24


class Status(IntEnum):
    """Why the statistics of a SNP are there or not."""

    OK = 0
    #: all called samples have the same genotype
    NO_VARIATION = 1
    #: no sample is called
    ALL_MISSING = 2
    #: variables and factors explain the SNP to the last digit; t would be a ratio of rounding errors
    PERFECT_FIT = 3


@dataclass(frozen=True)
class BlockStatistics:
    """Statistics of one block of SNPs; NaN wherever `status` is not OK.

    Attributes
    ----------
    first_snp : int
    status : ndarray of shape (b,), uint8
        `Status` of each SNP.
    n_called : ndarray of shape (b,), int64
    frequency : ndarray of shape (b,), float64
        Of the counted allele among the called.
    beta, se, t, ridge_beta : ndarray of shape (b, d), float64
        Least-squares effect of each variable given factors and nuisance variables, its standard error, their
        ratio, and the ridge effect of Eq. 4. Units: dosage per unit of the variable.
    f_stat : ndarray of shape (b,), float64
        Partial F of the d variables, with (d, df) degrees of freedom.
    shares : ndarray of shape (b, 3), float64
        Of ‖y‖²: what the variables add to the factors, factors with nuisance variables, residual. They sum to 1.
    loadings : ndarray of shape (b, K) or (b, 0), float64
        V, if asked for.
    held_out : ndarray of shape (b, 2) or (b, 0), float64
        What `lfmm2.genotypes.imputation.HeldOutError` adds up, where missing calls are filled from factors.
    t_by_k : ndarray of shape (b, n_k, d), float64
        t with other numbers of factors, in a sweep.
    """

    first_snp: int
    status: NDArray[np.uint8]
    n_called: NDArray[np.int64]
    frequency: Floats
    beta: Floats
    se: Floats
    t: Floats
    ridge_beta: Floats
    f_stat: Floats
    shares: Floats
    loadings: Floats
    held_out: Floats
    t_by_k: Floats


def degrees_of_freedom(n_samples: int, n_variables: int, n_factors: int, df: str) -> int:
    """Residual degrees of freedom.

    Parameters
    ----------
    n_samples, n_variables, n_factors : int
        n, d with the nuisance variables, K.
    df : {"paper", "intercept"}
        "paper": n - d - K, as in the paper and R's lfmm. "intercept": one less for the mean, as lm(), LEA and plink2.
    """
    if df not in ("paper", "intercept"):
        raise UsageError(f"df is {df!r}; it is 'paper' (n - d - K) or 'intercept' (n - 1 - d - K)")
    result = n_samples - n_variables - n_factors - (df == "intercept")
    if result < 1:
        raise DegenerateProblemError(
            f"{n_samples} samples, {n_variables} variables and {n_factors} factors leave {result} degrees of freedom; "
            "lower K, use fewer variables or more samples"
        )
    return result


def by_equal_parts(z: Floats, weights: Floats) -> Floats:
    """z @ weights in products of one shape: the BLAS has other kernels, which round otherwise, for other shapes."""
    result = np.empty((len(z), weights.shape[1]))
    for first in range(0, len(z), PART_SNPS):
        part = z[first : first + PART_SNPS]
        n = len(part)
        if n < PART_SNPS:
            part = np.pad(part, ((0, PART_SNPS - n), (0, 0)))
        result[first : first + n] = (np.ascontiguousarray(part) @ weights)[:n]
    return result


def association_footprint(n_samples: int, n_columns: int, n_variables: int, n_loadings: int) -> Footprint:
    """Tell the memory of an `AssociationModel` and of the statistics of a block, its cross-products not counted.

    Parameters
    ----------
    n_samples, n_columns, n_variables, n_loadings : int
        n_columns of the regression, of which n_variables are tested.
    """
    # the design, its two factors, and the map to ridge effects; a few numbers of each variable, and temporaries
    return Footprint(doubles((n_samples, 4 * n_columns)), doubles((8 * n_variables + 48 + 2 * n_loadings,)))


class AssociationModel:
    """The regression of any SNP on given variables and factors.

    Parameters
    ----------
    ridge : RidgeGeometry
        Of all variables: the reported ones first, nuisance variables last.
    factors : LatentFactors
        On the same samples.
    n_reported : int
        d, how many variables are tested and reported.
    df : {"paper", "intercept"}
    loadings : bool
        Whether to compute V too.

    Attributes
    ----------
    df : int
    Q, R : ndarray
        Of the regressors [nuisance | Û | X], their columns scaled to length one: (n, D + K), (D + K, D + K).
    ks : tuple of int
        Other numbers of factors whose t are computed too: none.
    """

    def __init__(
        self, ridge: RidgeGeometry, factors: LatentFactors, n_reported: int, df: str, loadings: bool = False
    ) -> None:
        n, n_variables = ridge.X.shape
        self.df = degrees_of_freedom(n, n_variables, factors.n_factors, df)
        self.n_reported = n_reported
        self.ks: tuple[int, ...] = ()
        self.n_nuisance = n_variables - n_reported
        self.n_factors = factors.n_factors
        self.n_loadings = factors.n_factors if loadings else 0
        X, nuisance = ridge.X[:, :n_reported], ridge.X[:, n_reported:]
        C = np.hstack([nuisance, factors.U, X])  # (n, D + K)
        C = C - C.mean(axis=0)
        lengths = np.linalg.norm(C, axis=0)
        Q, R = np.linalg.qr(C / np.where(lengths > 0, lengths, 1.0))
        # columns of length one: a small pivot means that a variable lies in the span of the others and the factors
        if n and (np.abs(np.diag(R)) < 1e-10).any():
            raise DegenerateProblemError(
                "the variables are a linear combination of the latent factors and each other; lower K or drop one"
            )
        last = slice(C.shape[1] - n_reported, None)
        R_inverse = scipy.linalg.solve_triangular(R[last, last], np.eye(n_reported))
        self._coefficients = R_inverse.T / lengths[last]  # (d, d): beta = z_x @ this
        self._se_factor = np.linalg.norm(R_inverse, axis=1) / lengths[last]  # (d,)
        self.Q, self.R = Q, R
        effects = ridge.effect_map(factors.U, factors.loadings_map)[:n_reported].T  # (n, d)
        self._to_ridge = Q.T @ effects  # (D + K, d)
        self._to_loadings = Q.T @ factors.loadings_map[:, : self.n_loadings]  # (D + K, K) or (D + K, 0)

    def statistics(
        self, genotypes: GenotypeMatrix, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[BlockStatistics]:
        """Test every SNP of a range, block by block in order, in one pass.

        Missing calls are filled by `fill`, or take the mean.
        """
        for block in genotypes.cross_products(self.Q, label, snps, fill):
            yield self.of_block(block)

    def of_block(self, block: CrossProducts) -> BlockStatistics:
        """Statistics of one block from its cross-products."""
        d, rank = self.n_reported, self.Q.shape[1]
        z = block.products  # (b, D + K)
        z_x = z[:, rank - d :]  # (b, d)
        total = block.sum_squares  # (b,)
        explained_by_variables = np.einsum("ij,ij->i", z_x, z_x)  # (b,)
        z_c = z[:, : rank - d]
        explained_by_factors = np.einsum("ij,ij->i", z_c, z_c)  # (b,)
        rss = total - explained_by_variables - explained_by_factors  # (b,)
        cancelled = np.flatnonzero((rss < CANCELLATION * total) & (total > 0))
        if len(cancelled):
            rss[cancelled] = residual_squares(block, cancelled, self.Q)

        status = np.zeros(len(z), np.uint8)
        status[rss <= PERFECT_FIT * total] = Status.PERFECT_FIT
        status[total <= 0] = Status.NO_VARIATION
        status[block.n_called == 0] = Status.ALL_MISSING
        missing = status != Status.OK

        with np.errstate(divide="ignore", invalid="ignore"):
            beta = by_equal_parts(z_x, self._coefficients)  # (b, d)
            se = np.sqrt(rss / self.df)[:, None] * self._se_factor  # (b, d)
            t = beta / se
            f_stat = (explained_by_variables / d) / (rss / self.df)
            shares = np.stack([explained_by_variables, explained_by_factors, rss], axis=1)
            shares /= shares.sum(axis=1, keepdims=True)
        ridge_beta = by_equal_parts(z, self._to_ridge)  # (b, d)
        loadings = by_equal_parts(z, self._to_loadings)  # (b, K) or (b, 0)
        for array in (beta, se, t, ridge_beta, f_stat, shares, loadings):
            array[missing] = np.nan
        return BlockStatistics(
            block.first_snp,
            status,
            block.n_called,
            block.mean / 2,
            beta,
            se,
            t,
            ridge_beta,
            f_stat,
            shares,
            loadings,
            np.empty((len(z), 0)) if block.imputation is None else block.imputation,
            np.empty((len(z), 0, d)),
        )


def residual_squares(block: CrossProducts, rows: NDArray[np.intp], Q: Floats) -> Floats:
    """‖y - Q Qᵀ y‖² of a few SNPs from their residuals."""
    squares = np.empty(len(rows))
    # a few at a time: a block may be full of them
    for first in range(0, len(rows), RESIDUAL_ROWS):
        some = slice(first, first + RESIDUAL_ROWS)
        y = block.decode(rows[some])  # (r, n)
        # one by one: in a product of matrices the bits of a row depend on how many there are
        for i, row in enumerate(y, first):
            residual = row - Q @ (row @ Q)
            squares[i] = residual @ residual
    return squares
