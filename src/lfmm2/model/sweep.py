"""Every number of factors at once: t statistics of each k ≤ K from the cross-products of the K-factor model.

The factors are nested: the first k columns of U are the k-factor fit. With C = [nuisance | U_K | X] = Q R and z = Qᵀy,
a model of k factors leaves factors k+1 … K in the residual. In the coordinates of Q, the part of the variables that k
factors leave is the lower rows X_k of R's last d columns; with X_k = E_k R_k,

    w_k = E_kᵀ z_{>k},   beta_k = R_k⁻¹ w_k,   rss_k = ‖y‖² - ‖z_{≤k}‖² - ‖w_k‖²

so t of every k costs two small products more per block, and no further pass. beta_k is computed without subtractions,
so it loses no digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.errors import UsageError
from lfmm2.genotypes import ALL_SNPS, CrossProducts, FactorFill, Footprint, GenotypeMatrix, SnpRange, doubles
from lfmm2.model.association import (
    CANCELLATION,
    PERFECT_FIT,
    AssociationModel,
    BlockStatistics,
    by_equal_parts,
    degrees_of_freedom,
    residual_squares,
)
from lfmm2.model.columns import Columns, Status
from lfmm2.model.factors import LatentFactors
from lfmm2.model.ridge import RidgeGeometry
from lfmm2.statistics import TestStatistic

_EXAMPLE = "write 1:20, or 2,4,8"
# Largest number of factors in a sweep. A larger one is probably a mistake: each number adds to the statistics of every
# SNP, and the text "1:999999999" would fill the memory.
MOST_FACTORS = 10_000


def parse_sweep(sweep: Any) -> tuple[int, ...]:
    """Return the numbers of factors in increasing order, read from "1:20", "2,4,8", or a sequence of integers.

    Raises
    ------
    UsageError
        If it is none of these, is empty, or has a number below 0 or above `MOST_FACTORS`.
    """
    if isinstance(sweep, str):
        bounds = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", sweep)
        if bounds:
            first, last = (int(text) for text in bounds.groups())
            if last > MOST_FACTORS:
                raise UsageError(f"sweep is {sweep!r}; no number of factors is above {MOST_FACTORS}, {_EXAMPLE}")
            if last < first:
                raise UsageError(f"sweep is {sweep!r}, from {first} down to {last}; {_EXAMPLE}")
            return tuple(range(first, last + 1))
        if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", sweep):
            raise UsageError(f"sweep is {sweep!r}; {_EXAMPLE}")
        sweep = sweep.split(",")
    if isinstance(sweep, bytes | int | np.integer) or not isinstance(sweep, Iterable):
        raise UsageError(f"sweep is {sweep!r}; {_EXAMPLE}, or give a sequence of numbers of factors")
    try:
        numbers = list(sweep)
    except TypeError as error:  # An array of NumPy without dimensions can seem to be a sequence.
        raise UsageError(f"sweep is {sweep!r}; {_EXAMPLE}, or give a sequence of numbers of factors") from error
    if any(isinstance(k, bool) or not isinstance(k, int | np.integer | str) for k in numbers):
        raise UsageError(f"sweep is {sweep!r}; {_EXAMPLE}, or give a sequence of numbers of factors")
    try:
        ks = sorted({int(k) for k in numbers})
    except ValueError as error:
        raise UsageError(f"sweep is {sweep!r}; {_EXAMPLE}, or give a sequence of numbers of factors") from error
    if not ks or ks[0] < 0 or ks[-1] > MOST_FACTORS:
        fact = f"at least one number of factors, none below 0 or above {MOST_FACTORS}"
        raise UsageError(f"sweep is {sweep!r}; it names {fact}")
    return tuple(ks)


def sweep_footprint(n_columns: int, n_variables: int, n_k: int) -> Footprint:
    """Return the memory of a block that a sweep over n_k numbers of factors takes beside the model of one."""
    # Products, t and their temporaries; and products with the columns of the chosen number of factors.
    return Footprint(0, doubles((6 * n_k * n_variables + 3 * n_columns,)))


class SweepModel:
    """The regression on all factors: full statistics with one number of factors, and t with several numbers.

    Parameters
    ----------
    ridge : RidgeGeometry
        Geometry of all variables: the reported ones first, nuisance variables last.
    factors : LatentFactors
        At least as many factors as `n_factors` and any k.
    n_factors : int
        K of the full statistics.
    ks : tuple of int
        Numbers of factors with which t is computed too.
    n_reported : int
        d, the number of variables that are tested and reported.
    df : {"paper", "intercept"}
        Rule for the degrees of freedom, see `degrees_of_freedom`.
    loadings : bool
        True to compute V too.
    ploidy, marginal : optional
        As of `AssociationModel`.

    Attributes
    ----------
    df : int
        Residual degrees of freedom with `n_factors`.
    dfs : tuple of int
        Residual degrees of freedom with each k.
    chosen : AssociationModel
        The model with `n_factors`.
    """

    def __init__(
        self,
        ridge: RidgeGeometry,
        factors: LatentFactors,
        n_factors: int,
        ks: tuple[int, ...],
        n_reported: int,
        df: str,
        loadings: bool = False,
        ploidy: int | None = 2,
        marginal: bool = False,
    ) -> None:
        n, n_variables = ridge.X.shape
        self.ks = ks
        self.dfs = tuple(degrees_of_freedom(n, n_variables, k, df) for k in ks)
        chosen = factors.leading(n_factors)
        self.chosen = AssociationModel(ridge, chosen, n_reported, df, loadings, ploidy, marginal)
        self.df = self.chosen.df
        self.n_reported, self.n_loadings = n_reported, self.chosen.n_loadings
        largest = factors.leading(max(n_factors, *ks))
        full = self.chosen if largest.n_factors == n_factors else AssociationModel(ridge, largest, n_reported, df)
        self._Q = full.Q
        # The regressors of the chosen model lie in the span of those of the full one.
        self._to_chosen = None if full is self.chosen else self._Q.T @ self.chosen.Q  # (rank, rank of the chosen)
        n_before = n_variables - n_reported  # nuisance variables come first
        self._firsts = np.array([n_before + k for k in ks])
        bases, directions = [], []
        X = full.R[:, -n_reported:]  # (rank, d)
        for first in self._firsts:
            E, R = np.linalg.qr(X[first:])
            above = np.zeros((first, n_reported))
            to_beta = scipy.linalg.solve_triangular(R, np.eye(n_reported))  # R_k⁻¹
            bases.append(np.vstack([above, E]))
            directions.append(np.vstack([above, E @ (to_beta.T / np.linalg.norm(to_beta, axis=1))]))
        self._bases = np.hstack(bases)  # (rank, n_k d)
        # t is the component of y along one of these unit vectors, divided by the residual standard deviation.
        self._directions = np.hstack(directions)  # (rank, n_k d)

    def statistics(
        self, genotypes: GenotypeMatrix, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[BlockStatistics]:
        """Test every SNP of a range as `AssociationModel.statistics`, and compute t of every k.

        For t of every k missing calls are always filled by the mean: filled from the factors of one k, they would make
        every other k look worse than it is.
        """
        for block in genotypes.cross_products(self._Q, label, snps, fill):
            chosen = block
            if self._to_chosen is not None:
                chosen = replace(block, products=by_equal_parts(block.products, self._to_chosen))
            statistics = self.chosen.test_block(chosen)
            t = self.t(block.by_mean or block)
            # t is kept where the chosen model fits perfectly, since a model with fewer factors need not.
            t[np.isin(statistics.status, (Status.NO_VARIATION, Status.ALL_MISSING))] = np.nan
            yield replace(statistics, t_by_k=t)

    @property
    def columns(self) -> Columns:
        """Return the columns of the full statistics."""
        return self.chosen.columns

    def null(self, joint: bool) -> TestStatistic:
        """Return the null distribution of the statistics with `n_factors`."""
        return self.chosen.null(joint)

    def t(self, block: CrossProducts) -> Floats:
        """Compute t of every k and variable, shape (b, n_k, d); NaN if k factors and the variables fit perfectly."""
        z, total = block.products, block.sum_squares
        shape = (len(z), len(self.ks), self.n_reported)
        along = by_equal_parts(z, self._directions).reshape(shape)
        # With one variable its direction is the basis.
        w = along if self.n_reported == 1 else by_equal_parts(z, self._bases).reshape(shape)
        before = np.zeros((len(z), z.shape[1] + 1))
        np.cumsum(z**2, axis=1, out=before[:, 1:])
        rss = total[:, None] - before[:, self._firsts] - np.einsum("ikj,ikj->ik", w, w)  # (b, n_k)
        cancelled = np.flatnonzero((rss < CANCELLATION * total[:, None]).any(axis=1) & (total > 0))
        if len(cancelled):
            rss[cancelled] = self._residual_squares(block, cancelled, w[cancelled])
        rss[rss <= PERFECT_FIT * total[:, None]] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            t: Floats = along / np.sqrt(rss / np.array(self.dfs))[:, :, None]
        return t

    def _residual_squares(self, block: CrossProducts, rows: NDArray[np.intp], w: Floats) -> Floats:
        """Compute rss of every k for a few SNPs as the rss of all regressors plus what smaller models leave of z."""
        outside = residual_squares(block, rows, self._Q)  # (r,)
        z = block.products[rows]
        rss = np.empty((len(rows), len(self.ks)))
        d = self.n_reported
        for i, first in enumerate(self._firsts):
            E = self._bases[first:, i * d : (i + 1) * d]
            rest = z[:, first:] - np.einsum("rj,mj->rm", w[:, i], E)
            rss[:, i] = outside + np.einsum("rm,rm->r", rest, rest)
        return rss


def variance_on_factors(ridge: RidgeGeometry, factors: LatentFactors, n_reported: int) -> Floats:
    """Return R² of each variable on the first k factors, shape (K + 1, d), k from 0: the share that they absorb."""
    X = ridge.X[:, :n_reported]
    basis = np.linalg.qr(factors.U - factors.U.mean(axis=0))[0]
    shares = np.zeros((factors.n_factors + 1, n_reported))
    np.cumsum((basis.T @ X) ** 2 / (X**2).sum(axis=0), axis=0, out=shares[1:])
    return shares
