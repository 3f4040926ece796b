"""Every number of factors at once: t statistics of each k ≤ K from the cross-products of the K-factor model.

The same is done beside it for factors of other penalties λ, whose regressors are further columns of the same product.

The factors are nested: the first k columns of U are the k-factor fit. With C = [nuisance | U_K | X] = Q R and z = Qᵀy,
a model of k factors leaves factors k+1 … K in the residual. In the coordinates of Q, the part of the variables that k
factors leave is the lower rows X_k of R's last d columns; with X_k = E_k R_k,

    w_k = E_kᵀ z_{>k},   beta_k = R_k⁻¹ w_k,   rss_k = ‖y‖² - ‖z_{≤k}‖² - ‖w_k‖²

so t of every k costs two small products more per block, and no further pass. beta_k is computed without subtractions,
so it loses no digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._lapack import solve_triangular
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
from lfmm2.model.carriers import (
    effective_carriers,
    has_few_carriers,
    unevenness_of_block,
    unevenness_of_directions,
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
    return Footprint(0, doubles((9 * n_k * n_variables + 3 * n_columns,)))


class NestedTests:
    """t with each of several numbers of factors, from the cross-products with the regressors of the largest.

    Parameters
    ----------
    full : AssociationModel
        The regression on the largest number of factors.
    ks, dfs : tuple of int
        Numbers of factors, and residual degrees of freedom with each.

    Attributes
    ----------
    Q : ndarray of shape (n, rank), float64
        Orthonormal regressors of the full model, with which SNPs are multiplied.
    """

    def __init__(self, full: AssociationModel, ks: tuple[int, ...], dfs: tuple[int, ...]) -> None:
        self.Q = full.Q
        self._dfs = np.array(dfs)
        self._n_reported = d = full.n_reported
        # Nuisance variables come first.
        self._firsts = np.array([full.n_nuisance + k for k in ks])
        bases, directions = [], []
        X = full.R[:, -d:]  # (rank, d)
        for first in self._firsts:
            E, R = np.linalg.qr(X[first:])
            above = np.zeros((first, d))
            to_beta = solve_triangular(R, np.eye(d))  # R_k⁻¹
            bases.append(np.vstack([above, E]))
            directions.append(np.vstack([above, E @ (to_beta.T / np.linalg.norm(to_beta, axis=1))]))
        self._bases = np.hstack(bases)  # (rank, n_k d)
        # t is the component of y along one of these unit vectors, divided by the residual standard deviation.
        self._directions = np.hstack(directions)  # (rank, n_k d)

    def unevenness(self) -> Floats:
        """Return the unevenness of each variable with each number of factors, (n_k d,)."""
        d = self._n_reported
        # Those of one k at a time, because the directions of all k in the space of the samples may take much memory.
        firsts = range(0, self._directions.shape[1], d)
        of_each = [unevenness_of_directions(self.Q @ self._directions[:, first : first + d]) for first in firsts]
        return np.concatenate(of_each)

    def t(self, block: CrossProducts) -> Floats:
        """Compute t of every k and variable, shape (b, n_k, d); NaN if k factors and the variables fit perfectly."""
        z, total = block.products, block.sum_squares
        shape = (len(z), len(self._dfs), self._n_reported)
        along = by_equal_parts(z, self._directions).reshape(shape)
        # With one variable its direction is the basis.
        w = along if self._n_reported == 1 else by_equal_parts(z, self._bases).reshape(shape)
        before = np.zeros((len(z), z.shape[1] + 1))
        np.cumsum(z**2, axis=1, out=before[:, 1:])
        rss = total[:, None] - before[:, self._firsts] - np.einsum("ikj,ikj->ik", w, w)  # (b, n_k)
        cancelled = np.flatnonzero((rss < CANCELLATION * total[:, None]).any(axis=1) & (total > 0))
        if len(cancelled):
            rss[cancelled] = self._residual_squares(block, cancelled, w[cancelled])
        rss[rss <= PERFECT_FIT * total[:, None]] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            t: Floats = along / np.sqrt(rss / self._dfs)[:, :, None]
        return t

    def _residual_squares(self, block: CrossProducts, rows: NDArray[np.intp], w: Floats) -> Floats:
        """Compute rss of every k for a few SNPs as the rss of all regressors plus what smaller models leave of z."""
        outside = residual_squares(block, rows, self.Q)  # (r,)
        z = block.products[rows]
        rss = np.empty((len(rows), len(self._dfs)))
        d = self._n_reported
        for i, first in enumerate(self._firsts):
            E = self._bases[first:, i * d : (i + 1) * d]
            rest = z[:, first:] - np.einsum("rj,mj->rm", w[:, i], E)
            rss[:, i] = outside + np.einsum("rm,rm->r", rest, rest)
        return rss


class SweepModel:
    """The regression on all factors: full statistics with one number of factors, and t with several numbers.

    Factors of other penalties λ can be compared: their regressors stand beside those of the run in the same
    cross-products, and give t with the same numbers of factors.

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
    ploidy, marginal, fewest_carriers, spa : optional
        As of `AssociationModel`; t of a k is NaN where effective carriers are too few with it.
    others : sequence of LatentFactors
        As many factors of the same samples, estimated with other penalties.

    Attributes
    ----------
    df : int
        Residual degrees of freedom with `n_factors`.
    ks, dfs : tuple of int
        Number of factors and residual degrees of freedom of each column of ``t_by_k``: the given numbers with
        `factors`, then the same numbers with each of `others`.
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
        fewest_carriers: float = 0.0,
        spa: bool = False,
        others: Sequence[LatentFactors] = (),
    ) -> None:
        n, n_variables = ridge.X.shape
        dfs = tuple(degrees_of_freedom(n, n_variables, k, df) for k in ks)
        self.ks, self.dfs = ks * (1 + len(others)), dfs * (1 + len(others))
        chosen = factors.leading(n_factors)
        options = (n_reported, df, loadings, ploidy, marginal, fewest_carriers, spa)
        self.chosen = AssociationModel(ridge, chosen, *options)
        self.fewest_carriers = fewest_carriers
        self.df = self.chosen.df
        self.n_reported, self.n_loadings = n_reported, self.chosen.n_loadings
        largest = factors.leading(max(n_factors, *ks))
        full = self.chosen if largest.n_factors == n_factors else AssociationModel(ridge, largest, n_reported, df)
        # The regressors of the chosen model lie in the span of those of the full one.
        self._to_chosen = None if full is self.chosen else full.Q.T @ self.chosen.Q  # (rank, rank of the chosen)
        models = [full]
        models += [
            AssociationModel(ridge.with_penalty(of.lambda_), of.leading(max(ks)), n_reported, df) for of in others
        ]
        self._fits = [NestedTests(model, ks, dfs) for model in models]
        self._Q = full.Q if len(models) == 1 else np.hstack([fit.Q for fit in self._fits])
        self._unevenness = np.concatenate([fit.unevenness() for fit in self._fits]) if fewest_carriers > 0 else None

    def statistics(
        self, genotypes: GenotypeMatrix, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[BlockStatistics]:
        """Test every SNP of a range as `AssociationModel.statistics`, and compute t of every k and penalty.

        For t of every k missing calls are always filled by the mean: filled from the factors of one k, they would make
        every other k look worse than it is.
        """
        for block in genotypes.cross_products(self._Q, label, snps, fill):
            full, *_ = self._split(block)
            if self._to_chosen is not None:
                full = replace(full, products=by_equal_parts(full.products, self._to_chosen))
            statistics = self.chosen.test_block(full)
            parts = self._split(block.by_mean or block)
            t = [fit.t(part) for fit, part in zip(self._fits, parts, strict=True)]
            t_by_k = t[0] if len(t) == 1 else np.concatenate(t, axis=1)
            # t is kept where the chosen model fits perfectly, since a model with fewer factors need not.
            t_by_k[np.isin(statistics.status, (Status.NO_VARIATION, Status.ALL_MISSING))] = np.nan
            if self._unevenness is not None:
                carriers = effective_carriers(unevenness_of_block(block), self._unevenness, len(self._Q))
                few = has_few_carriers(carriers, self.fewest_carriers, len(self._Q))
                t_by_k[few.reshape(t_by_k.shape)] = np.nan
            yield replace(statistics, t_by_k=t_by_k)

    def _split(self, block: CrossProducts) -> list[CrossProducts]:
        """Return the block with the products of each fit alone."""
        if len(self._fits) == 1:
            return [block]
        ends = np.cumsum([fit.Q.shape[1] for fit in self._fits])
        return [replace(block, products=part) for part in np.split(block.products, ends[:-1], axis=1)]

    @property
    def unevenness(self) -> Floats:
        """Return the unevenness of the variables with `n_factors`."""
        return self.chosen.unevenness

    @property
    def columns(self) -> Columns:
        """Return the columns of the full statistics."""
        return self.chosen.columns

    def null(self, joint: bool) -> TestStatistic:
        """Return the null distribution of the statistics with `n_factors`."""
        return self.chosen.null(joint)


def variance_on_factors(ridge: RidgeGeometry, factors: LatentFactors, n_reported: int) -> Floats:
    """Return R² of each variable on the first k factors, shape (K + 1, d), k from 0: the share that they absorb."""
    X = ridge.X[:, :n_reported]
    basis = np.linalg.qr(factors.U - factors.U.mean(axis=0))[0]
    shares = np.zeros((factors.n_factors + 1, n_reported))
    np.cumsum((basis.T @ X) ** 2 / (X**2).sum(axis=0), axis=0, out=shares[1:])
    return shares
