"""Every number of factors at once: t statistics of each k ≤ K from the cross-products of the K-factor model.

The factors are nested: the first k columns of U are the k-factor fit. With C = [nuisance | U_K | X] = Q R and z = Qᵀy,
leaving out factors k+1 … K moves them from the regressors to the residual. In the coordinates of Q the variables that
remain after k factors are the lower rows X_k of R's last d columns; with X_k = E_k R_k,

    w_k = E_kᵀ z_{>k},   beta_k = R_k⁻¹ w_k,   rss_k = ‖y‖² - ‖z_{≤k}‖² - ‖w_k‖²

so t of every k is two small products more per block, and no further pass. Nothing is subtracted on the way to beta_k.
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
# each takes its share of every row of statistics
MOST_FACTORS = 10_000


def parse_sweep(sweep: Any) -> tuple[int, ...]:
    """Numbers of factors, increasing: from "1:20", "2,4,8", or a sequence of integers.

    Raises
    ------
    UsageError
        If it is none of these, or holds a negative number.
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
    numbers = list(sweep)
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
    """Tell what a sweep over n_k numbers of factors takes for a block more than the model of one."""
    # products, t and their temporaries; products with the columns of the chosen number
    return Footprint(0, doubles((6 * n_k * n_variables + 3 * n_columns,)))


class SweepModel:
    """The regression with all factors, of which one number is reported in full and t of several.

    Parameters
    ----------
    ridge : RidgeGeometry
        Of all variables: the reported ones first, nuisance variables last.
    factors : LatentFactors
        At least as many as any k.
    n_factors : int
        K of the full statistics.
    ks : sequence of int
        Numbers of factors whose t are computed too.
    n_reported : int
        d.
    df : {"paper", "intercept"}
    loadings : bool

    Attributes
    ----------
    df : int
        Residual degrees of freedom with `n_factors`.
    dfs : tuple of int
        With each k.
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
    ) -> None:
        n, n_variables = ridge.X.shape
        self.ks = ks
        self.dfs = tuple(degrees_of_freedom(n, n_variables, k, df) for k in ks)
        self.chosen = AssociationModel(ridge, factors.leading(n_factors), n_reported, df, loadings)
        self.df = self.chosen.df
        self.n_reported, self.n_loadings = n_reported, self.chosen.n_loadings
        largest = factors.leading(max(n_factors, *ks))
        full = self.chosen if largest.n_factors == n_factors else AssociationModel(ridge, largest, n_reported, df)
        self._Q = full.Q
        # the regressors of the chosen model lie in the span of all: (rank, rank of the chosen)
        self._to_chosen = None if full is self.chosen else self._Q.T @ self.chosen.Q
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
        # t is y's component along these unit vectors over the residual standard deviation
        self._directions = np.hstack(directions)  # (rank, n_k d)

    def statistics(
        self, genotypes: GenotypeMatrix, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[BlockStatistics]:
        """As `AssociationModel.statistics`, with t of every k, for which missing calls are at the mean in any case.

        Filled from the factors of one k they would make every other k look worse than it is.
        """
        for block in genotypes.cross_products(self._Q, label, snps, fill):
            chosen = block
            if self._to_chosen is not None:
                chosen = replace(block, products=by_equal_parts(block.products, self._to_chosen))
            statistics = self.chosen.of_block(chosen)
            t = self.t(block.by_mean or block)
            # what one number of factors explains to the last digit, a smaller one need not
            t[np.isin(statistics.status, (Status.NO_VARIATION, Status.ALL_MISSING))] = np.nan
            yield replace(statistics, t_by_k=t)

    @property
    def columns(self) -> Columns:
        """Those of the full statistics."""
        return self.chosen.columns

    def null(self, joint: bool) -> TestStatistic:
        """Return the null distribution of the statistics with `n_factors`."""
        return self.chosen.null(joint)

    def t(self, block: CrossProducts) -> Floats:
        """t of every k and variable, shape (b, n_k, d); NaN where nothing is left to test."""
        z, total = block.products, block.sum_squares
        shape = (len(z), len(self.ks), self.n_reported)
        along = by_equal_parts(z, self._directions).reshape(shape)
        # one variable spans its own direction
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
        """rss of every k for a few SNPs, as a sum: what all regressors leave, and what smaller models leave of z."""
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
    """R² of each variable on the first k factors, shape (K + 1, d): the share of it that k factors absorb."""
    X = ridge.X[:, :n_reported]
    basis = np.linalg.qr(factors.U - factors.U.mean(axis=0))[0]
    shares = np.zeros((factors.n_factors + 1, n_reported))
    np.cumsum((basis.T @ X) ** 2 / (X**2).sum(axis=0), axis=0, out=shares[1:])
    return shares
