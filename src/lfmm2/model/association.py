"""Association tests: from cross-products to effect sizes, standard errors, t and F of every SNP.

For each centred SNP y the regression on C = [nuisance | Û | X] follows from z = Q_Cᵀ y with C = Q_C R: the variables
come last, so their coefficients are R_xx⁻¹ z_x, and ‖z_x‖² is the sum of squares that they add to the factors. The
ridge effect of Eq. 4, L y, and the loadings, (P U')ᵀ y, are linear in z too: P maps the span of [X | Û] onto itself, so
the rows of L and the columns of P U' lie in the span of Q_C, up to the residual of the factors if krylov has left one.
So a SNP is multiplied with Q_C only; the rest is O((d + K)²) arithmetic per SNP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lfmm2._choices import DEGREES_OF_FREEDOM, DEGREES_OF_FREEDOM_RULE
from lfmm2._lapack import solve_triangular
from lfmm2._typing import Floats
from lfmm2.errors import DegenerateProblemError, UsageError
from lfmm2.genotypes import ALL_SNPS, CrossProducts, FactorFill, Footprint, GenotypeMatrix, SnpRange, doubles
from lfmm2.model.carriers import (
    effective_carriers,
    has_few_carriers,
    unevenness_of_block,
    unevenness_of_directions,
)
from lfmm2.model.columns import COLUMNS, MARGINAL_COLUMNS, STAND_IN, Columns, Status
from lfmm2.model.factors import LatentFactors
from lfmm2.model.ridge import RidgeGeometry
from lfmm2.model.spa import SMALL_T, saddlepoint_t
from lfmm2.statistics import JointStatistic, StudentStatistic, TestStatistic

# A residual sum of squares below this share of ‖y‖² has lost half of its digits to cancellation, and is computed again
# from the residuals themselves.
CANCELLATION = 1e-8
# SNPs whose residuals are formed at a time, which limits the memory of a block in which many SNPs need them.
RESIDUAL_ROWS = 64
# SNPs of one product. Every block but the last is a whole multiple of them, so that all products have the same shape.
PART_SNPS = 512
# Vectors of the length of a SNP that its test by saddlepoint holds at once: three probabilities, and their products.
SADDLEPOINT_VECTORS = 24
# A residual sum of squares below this share of ‖y‖² is rounding error alone: the SNP is fitted perfectly.
PERFECT_FIT = 1e-24


@dataclass(frozen=True)
class BlockStatistics:
    """Statistics of one block of SNPs, under the names of `COLUMNS`; NaN wherever `status` is not OK.

    A model that declares further columns yields a subclass that has them.

    Attributes
    ----------
    first_snp : int
        Position of the block's first SNP in the matrix.
    status : ndarray of shape (b,), uint8
        `Status` of each SNP.
    n_called : ndarray of shape (b,), int64
        Number of called samples.
    frequency : ndarray of shape (b,), float64
        Frequency of the counted allele among the called samples; NaN if there are none, or the ploidy is not known.
    beta, se, t, ridge_beta : ndarray of shape (b, d), float64
        Least-squares effect of each variable given factors and nuisance variables, its standard error, their
        ratio, and the ridge effect of Eq. 4. Units: dosage per unit of the variable.
    f_stat : ndarray of shape (b,), float64
        Partial F of the d variables, with (d, df) degrees of freedom.
    effective_carriers : ndarray of shape (b, d), float64
        Effective carriers of each SNP and variable, see `lfmm2.model.carriers`; NaN where they are not known.
    least_carriers : ndarray of shape (b,), float64
        The fewest of them over the variables.
    t_sound, f_sound : ndarray of shape (b, d) and (b,), float64
        `t` and `f_stat`, NaN where there are too few effective carriers for their null distributions.
    t_spa : ndarray of shape (b, d) or (b, 0), float64
        Where `t_sound` is NaN for this reason, Student's t with the p of the saddlepoint approximation; no columns
        unless asked for.
    var_variables, var_factors, var_residual : ndarray of shape (b,), float64
        Shares of ‖y‖²: what the variables add to the factors, factors with nuisance variables, residual. They sum to 1.
    loadings : ndarray of shape (b, K) or (b, 0), float64
        V; no columns unless asked for.
    held_out : ndarray of shape (b, 2) or (b, 0), float64
        Squared errors that `lfmm2.genotypes.imputation.HeldOutError` adds up; no columns unless missing calls are
        filled from factors.
    t_by_k : ndarray of shape (b, n_k, d), float64
        t with each number of factors of a sweep, and each penalty that it compares; n_k = 0 without one.
    t_marginal, p_marginal, neg_log10_p_marginal : ndarray of shape (b, d) or (b, 0), float64
        t of each variable without the others, with its p; no columns unless asked for.
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
    effective_carriers: Floats
    least_carriers: Floats
    t_sound: Floats
    f_sound: Floats
    t_spa: Floats
    var_variables: Floats
    var_factors: Floats
    var_residual: Floats
    loadings: Floats
    held_out: Floats
    t_by_k: Floats
    t_marginal: Floats
    p_marginal: Floats
    neg_log10_p_marginal: Floats


def degrees_of_freedom(n_samples: int, n_variables: int, n_factors: int, df: str) -> int:
    """Return the residual degrees of freedom.

    Parameters
    ----------
    n_samples, n_variables, n_factors : int
        n, d with the nuisance variables, K.
    df : {"intercept", "paper"}
        "intercept": n - 1 - d - K, which counts the mean, as lm(), LEA and plink2 do. "paper": n - d - K, as in the
        paper and R's lfmm, which is one too many for centred data.

    Raises
    ------
    UsageError
        If `df` is another word.
    DegenerateProblemError
        If less than one degree of freedom is left.
    """
    if df not in DEGREES_OF_FREEDOM:
        raise UsageError(f"df is {df!r}; {DEGREES_OF_FREEDOM_RULE}")
    result = n_samples - n_variables - n_factors - (df == "intercept")
    if result < 1:
        raise DegenerateProblemError(
            f"{n_samples} samples, {n_variables} variables and {n_factors} factors leave {result} degrees of freedom; "
            "lower K, use fewer variables or more samples"
        )
    return result


def by_equal_parts(z: Floats, weights: Floats) -> Floats:
    """Compute z @ weights in products of one shape, so that the size of a block cannot change a bit.

    BLAS uses different kernels for different shapes, and these round differently.
    """
    result = np.empty((len(z), weights.shape[1]))
    for first in range(0, len(z), PART_SNPS):
        part = z[first : first + PART_SNPS]
        n = len(part)
        if n < PART_SNPS:
            part = np.pad(part, ((0, PART_SNPS - n), (0, 0)))
        result[first : first + n] = (np.ascontiguousarray(part) @ weights)[:n]
    return result


class AssociationTest(Protocol):
    """A test of every SNP: declares the columns of its tables and computes them block by block.

    A model computes its statistics from the cross-products (b, rank) of a block with its regressors; if it needs the
    genotypes themselves, ``CrossProducts.decode`` gives them for a few SNPs at a time. The declaration of a column
    tells its meaning and its tables; no other module names it.

    Attributes
    ----------
    n_reported : int
        d, the number of variables that have a table.
    n_loadings : int
        Columns of the loadings: K, or 0 if they are not asked for.
    df : int
        Residual degrees of freedom of the tests of single variables.
    ks, dfs : tuple of int
        Number of factors and degrees of freedom of each column of ``t_by_k``; empty without a sweep.
    """

    n_reported: int
    n_loadings: int
    df: int
    ks: tuple[int, ...]
    dfs: tuple[int, ...]

    @property
    def columns(self) -> Columns:
        """Return the declared columns; those of `Origin.MODEL` are attributes of the blocks of `statistics`."""

    def statistics(
        self,
        genotypes: GenotypeMatrix,
        label: str = "tests",
        snps: SnpRange = ALL_SNPS,
        fill: FactorFill | None = None,
    ) -> Iterator[BlockStatistics]:
        """Yield the statistics of every SNP of a range, by blocks in order, in one pass."""

    @property
    def unevenness(self) -> Floats:
        """Return the unevenness of the variables, as far as others and factors leave them, shape (d,)."""

    def null(self, joint: bool) -> TestStatistic:
        """Return the theoretical null distribution of the statistic of a variable, or of the joint test."""


def association_footprint(
    n_samples: int, n_columns: int, n_variables: int, n_loadings: int, marginal: bool = False
) -> Footprint:
    """Return the memory of an `AssociationModel` and of the statistics of a block, without its cross-products.

    Parameters
    ----------
    n_samples : int
    n_columns, n_variables : int
        Columns of the regression, and how many of them are tested.
    n_loadings : int
        Columns of the loadings.
    marginal : bool
        True if each variable is tested alone too.
    """
    # Regressors, Q, R and the map to ridge effects; for each SNP, a few numbers of each variable, and temporaries.
    vectors = 4 * n_columns + n_variables + SADDLEPOINT_VECTORS
    per_snp = (14 + 8 * marginal) * n_variables + 56 + 2 * n_loadings
    return Footprint(doubles((n_samples, vectors)), doubles((per_snp,)))


class AssociationModel:
    """The regression of any SNP on given variables and factors.

    Parameters
    ----------
    ridge : RidgeGeometry
        Geometry of all D variables: the reported ones first, nuisance variables last.
    factors : LatentFactors
        K factors of the same samples.
    n_reported : int
        d, the number of variables that are tested and reported.
    df : {"paper", "intercept"}
        Rule for the degrees of freedom, see `degrees_of_freedom`.
    loadings : bool
        True to compute V too.
    ploidy : int, optional
        Copies of an allele that a sample has at most, by which mean dosages are divided. None if it is not known, or if
        the genotypes are no dosages: frequencies are then NaN.
    marginal : bool
        True to test each variable alone too: given the same factors and nuisance variables, without the others.
    fewest_carriers : float
        Effective carriers below which a test is not sound, see `BlockStatistics.t_sound`.
    spa : bool
        True to test these SNPs by the saddlepoint approximation; the genotypes must be dosages of diploids.

    Attributes
    ----------
    columns : Columns
        Columns of the tables, those of `marginal` among them.
    df : int
        Residual degrees of freedom.
    unevenness : ndarray of shape (d,), float64
        Unevenness of the variables, as far as others and factors leave them, see `lfmm2.model.carriers`.
    Q, R : ndarray of shape (n, D + K) and (D + K, D + K), float64
        QR decomposition of the centred regressors [nuisance | Û | X], with columns scaled to length one.
    ks, dfs : tuple of int
        Empty: only a `SweepModel` computes t with other numbers of factors.

    Raises
    ------
    UsageError, DegenerateProblemError
        As `degrees_of_freedom`; or if a variable is a linear combination of factors and other variables.
    """

    columns: Columns = COLUMNS

    def __init__(
        self,
        ridge: RidgeGeometry,
        factors: LatentFactors,
        n_reported: int,
        df: str,
        loadings: bool = False,
        ploidy: int | None = 2,
        marginal: bool = False,
        fewest_carriers: float = 0.0,
        spa: bool = False,
    ) -> None:
        n, n_variables = ridge.X.shape
        self.df = degrees_of_freedom(n, n_variables, factors.n_factors, df)
        self.n_reported = n_reported
        self.ploidy = ploidy
        self.fewest_carriers = fewest_carriers
        if spa:
            self.columns = self.columns.extended(STAND_IN)
        self.spa = spa
        self.ks: tuple[int, ...] = ()
        self.dfs: tuple[int, ...] = ()
        self.n_nuisance = n_variables - n_reported
        self.n_factors = factors.n_factors
        self.n_loadings = factors.n_factors if loadings else 0
        X, nuisance = ridge.X[:, :n_reported], ridge.X[:, n_reported:]
        C = np.hstack([nuisance, factors.U, X])  # (n, D + K)
        C = C - C.mean(axis=0)
        lengths = np.linalg.norm(C, axis=0)
        Q, R = np.linalg.qr(C / np.where(lengths > 0, lengths, 1.0))
        # The columns have length one, so a small pivot means that a variable lies in the span of others and factors.
        if n and (np.abs(np.diag(R)) < 1e-10).any():
            raise DegenerateProblemError(
                "the variables are a linear combination of the latent factors and each other; lower K or drop one"
            )
        last = slice(C.shape[1] - n_reported, None)
        R_inverse = solve_triangular(R[last, last], np.eye(n_reported))
        self._coefficients = R_inverse.T / lengths[last]  # (d, d): beta = z_x @ this
        self._se_factor = np.linalg.norm(R_inverse, axis=1) / lengths[last]  # (d,)
        # Unit vectors along what nuisance variables and factors leave of each variable, in the coordinates of Q.
        self._alone = R[last, last] / np.linalg.norm(R[last, last], axis=0) if marginal else None  # (d, d)
        if marginal:
            self.columns = self.columns.extended(*MARGINAL_COLUMNS)
        self._null_alone = StudentStatistic(self.df + n_reported - 1)
        self.Q, self.R = Q, R
        self._directions = Q[:, last] @ self._coefficients  # (n, d): beta = y @ this
        self.unevenness = unevenness_of_directions(self._directions)  # (d,)
        effects = ridge.effect_map(factors.U, factors.loadings_map)[:n_reported].T  # (n, d)
        self._to_ridge = Q.T @ effects  # (D + K, d)
        self._to_loadings = Q.T @ factors.loadings_map[:, : self.n_loadings]  # (D + K, K) or (D + K, 0)

    def statistics(
        self, genotypes: GenotypeMatrix, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[BlockStatistics]:
        """Test every SNP of a range, block by block in order, in one pass.

        Missing calls are filled by `fill` if it is given, else by the mean.
        """
        for block in genotypes.cross_products(self.Q, label, snps, fill):
            yield self.test_block(block)

    def null(self, joint: bool) -> TestStatistic:
        """Return Student's t with `df` degrees of freedom, or for the joint test F with (d, df)."""
        return JointStatistic(self.n_reported, self.df) if joint else StudentStatistic(self.df)

    def test_block(self, block: CrossProducts) -> BlockStatistics:
        """Compute the statistics of one block from its cross-products."""
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
            shares = np.stack([explained_by_variables, explained_by_factors, rss])  # (3, b)
            shares /= shares.sum(axis=0)
        carriers, few = self._count_carriers(block)  # (b, d)
        carriers[missing] = np.nan
        ridge_beta = by_equal_parts(z, self._to_ridge)  # (b, d)
        loadings = by_equal_parts(z, self._to_loadings)  # (b, K) or (b, 0)
        t_alone = self._test_alone(z_x, rss, total)  # (b, d) or (b, 0)
        for array in (beta, se, t, ridge_beta, f_stat, *shares, loadings, t_alone):
            array[missing] = np.nan
        p_alone, neg_log10_p_alone = self._null_alone.tails(t_alone)
        return BlockStatistics(
            first_snp=block.first_snp,
            status=status,
            n_called=block.n_called,
            frequency=np.full(len(z), np.nan) if self.ploidy is None else block.mean / self.ploidy,
            beta=beta,
            se=se,
            t=t,
            ridge_beta=ridge_beta,
            f_stat=f_stat,
            effective_carriers=carriers,
            least_carriers=carriers.min(axis=1),
            t_sound=np.where(few, np.nan, t),
            f_sound=np.where(few.any(axis=1), np.nan, f_stat),
            t_spa=self._test_by_saddlepoint(block, beta, t, few) if self.spa else np.empty((len(z), 0)),
            var_variables=shares[0],
            var_factors=shares[1],
            var_residual=shares[2],
            loadings=loadings,
            held_out=np.empty((len(z), 0)) if block.imputation is None else block.imputation,
            t_by_k=np.empty((len(z), 0, d)),
            t_marginal=t_alone,
            p_marginal=p_alone,
            neg_log10_p_marginal=neg_log10_p_alone,
        )

    def _count_carriers(self, block: CrossProducts) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the effective carriers of each SNP and variable, and where they are too few, shapes (b, d)."""
        n = len(self.Q)
        carriers = effective_carriers(unevenness_of_block(block), self.unevenness, n)
        return carriers, has_few_carriers(carriers, self.fewest_carriers, n)

    def _test_by_saddlepoint(self, block: CrossProducts, beta: Floats, t: Floats, few: NDArray[np.bool_]) -> Floats:
        """Return t of the p by saddlepoint where there are few carriers, NaN elsewhere, shape (b, d)."""
        t_spa = np.where(few, t, np.nan)
        squares = (self._directions**2).sum(axis=0)  # (d,)
        # One SNP at a time, so that the bits of a SNP do not depend on the others of its block.
        for row, j in np.argwhere(few & (np.abs(t) > SMALL_T)):
            direction, score, mean = self._directions[:, j], float(beta[row, j]), float(block.mean[row])
            fitted = mean + self.Q @ block.products[row] - direction * (score / squares[j])  # (n,)
            # Heterozygotes have 1 · (2 − 1), others 0: their share is the mean of y (2 − y) over the called samples.
            heterozygosity = 2 * mean - mean**2 - float(block.sum_squares[row]) / int(block.n_called[row])
            size = saddlepoint_t(score, direction, fitted, mean, heterozygosity, self.df)
            t_spa[row, j] = np.copysign(size, score)
        return t_spa

    def _test_alone(self, z_x: Floats, rss: Floats, total: Floats) -> Floats:
        """Compute t of each variable without the others, (b, d), or (b, 0) if it is not asked for.

        With e_j along what nuisance variables and factors leave of variable j, the regression on it alone explains
        (e_jᵀ z_x)², and leaves rss and the rest of ‖z_x‖².
        """
        if self._alone is None:
            return np.empty((len(z_x), 0))
        along = by_equal_parts(z_x, self._alone)  # (b, d)
        left = rss[:, None] + (np.einsum("ij,ij->i", z_x, z_x)[:, None] - along**2)  # (b, d)
        cancelled = (left < CANCELLATION * total[:, None]).any(axis=1) & (total > 0)
        for i in np.flatnonzero(cancelled).tolist():
            rest = z_x[i][:, None] - along[i] * self._alone  # (d, d)
            left[i] = rss[i] + np.einsum("ij,ij->j", rest, rest)
        with np.errstate(divide="ignore", invalid="ignore"):
            t: Floats = along / np.sqrt(left / self._null_alone.df)
        return t


def residual_squares(block: CrossProducts, rows: NDArray[np.intp], Q: Floats) -> Floats:
    """Compute ‖y - Q Qᵀ y‖² of a few SNPs from their residuals."""
    squares = np.empty(len(rows))
    for first in range(0, len(rows), RESIDUAL_ROWS):
        some = slice(first, first + RESIDUAL_ROWS)
        y = block.decode(rows[some])  # (r, n)
        # Each SNP is multiplied alone, because in a product of matrices the bits of a row depend on the number of rows.
        for i, row in enumerate(y, first):
            residual = row - Q @ (row @ Q)
            squares[i] = residual @ residual
    return squares
