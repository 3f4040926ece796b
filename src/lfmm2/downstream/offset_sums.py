"""Sums over loci from which genetic gap and RONA follow, kept for each stretch of the genome, and their bootstrap.

With B (L, d) the effects of L loci and δ_i = x_i − x*_i what changes at place i,

    gap_i  = mean over loci of (δ_i B_lᵀ)²  = δ_i (BᵀB / L) δ_iᵀ
    RONA_i = mean over loci of |δ_i B_lᵀ|

so the gap needs B only as the d × d matrix BᵀB; B is read once and never held. Loci are summed in groups of `GROUP`
SNPs counted from the first SNP of the table, cut where a stretch ends, and added in order on one thread of BLAS: the
size of the blocks that are read cannot change a bit of the result.

Neighbouring loci are linked, so the interval of a gap comes from drawing whole stretches with replacement:
`N_STRETCHES` runs of SNPs of equal number, in the order of the table.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.results import BLOCK_ROWS

Bools = NDArray[np.bool_]

# SNPs of a partial sum, and places whose RONA is summed together: their product is a matrix of 1 MiB, which fits into a
# cache. Other values change the order of sums, and so the last bits of the results.
GROUP = 512
TILE = 256
assert BLOCK_ROWS % GROUP == 0
# Stretches of the genome that the bootstrap draws. With more, linked loci fall into different ones, and intervals are
# too narrow; with fewer, the interval itself is a matter of chance.
N_STRETCHES = 50
# Least number of stretches with loci for an interval: from 8 on, a 95 % interval covers 83 % and more.
FEWEST_STRETCHES = 8
# Draws of the bootstrap and the seed of their random numbers. With fewer draws, another seed would move the ends of the
# intervals more; with more, rasters take longer.
N_DRAWS, SEED = 1000, 1
ENDS = (0.025, 0.975)


class OffsetSums:
    """Sums over the loci, in each stretch of the genome.

    Parameters
    ----------
    change : ndarray of shape (m, d), float64
        δ of every place.
    n_snps : int
        Rows of the tables.

    Attributes
    ----------
    counts : ndarray of shape (N_STRETCHES,), int64
        Loci in each stretch.
    products : ndarray of shape (N_STRETCHES, d, d), float64
        BᵀB.
    variances : ndarray of shape (N_STRETCHES,), float64
        Sums of the residual variance s².
    total : ndarray of shape (d,), float64
        Sum of the effects.
    absolute : ndarray of shape (m,), float64
        Sum of |δ B_lᵀ| at each place.
    deviation : float
        Sum of s.
    n_without_effect : int
        Chosen loci without an effect.
    """

    def __init__(self, change: Floats, n_snps: int) -> None:
        d = change.shape[1]
        self.counts = np.zeros(N_STRETCHES, np.int64)
        self.products = np.zeros((N_STRETCHES, d, d))
        self.variances = np.zeros(N_STRETCHES)
        self.total = np.zeros(d)
        self.absolute = np.zeros(len(change))
        self.deviation = 0.0
        self.n_without_effect = 0
        self._ends = np.arange(1, N_STRETCHES + 1) * n_snps // N_STRETCHES
        self._row = 0
        self._tiles = [np.ascontiguousarray(change[at : at + TILE].T) for at in range(0, len(change), TILE)]
        self._product = np.empty(GROUP * TILE)

    @property
    def n_loci(self) -> int:
        """Return L."""
        return int(self.counts.sum())

    def add(self, B: Floats, variance: Floats, chosen: Bools) -> None:
        """Add the next block of SNPs; it must begin at a multiple of `GROUP`, so that groups are not cut.

        Parameters
        ----------
        B : ndarray of shape (n_snps_block, d), float64
            Effects; NaN where a SNP has none.
        variance : ndarray of shape (n_snps_block,), float64
            Residual variance s².
        chosen : ndarray of shape (n_snps_block,), bool
            SNPs to average over.
        """
        present = ~np.isnan(B).any(axis=1)
        self.n_without_effect += int(np.count_nonzero(chosen & ~present))
        used = chosen & present
        inner = self._ends[(self._ends > self._row) & (self._ends < self._row + len(B))] - self._row
        cuts = sorted({*range(0, len(B), GROUP), *inner.tolist(), len(B)})
        for first, last in pairwise(cuts):
            rows = first + np.flatnonzero(used[first:last])
            if len(rows):
                stretch = int(np.searchsorted(self._ends, self._row + first, "right"))
                self._add_piece(stretch, B[rows], variance[rows])
        self._row += len(B)

    def _add_piece(self, stretch: int, B: Floats, variance: Floats) -> None:
        """Add up to `GROUP` loci of one stretch, all of which have effects."""
        self.counts[stretch] += len(B)
        self.products[stretch] += B.T @ B
        self.variances[stretch] += variance.sum()
        self.deviation += float(np.sqrt(variance).sum())
        self.total += B.sum(axis=0)
        for number, tile in enumerate(self._tiles):
            n_places = tile.shape[1]
            product = self._product[: len(B) * n_places].reshape(len(B), n_places)
            np.matmul(B, tile, out=product)
            np.abs(product, out=product)
            self.absolute[number * TILE : number * TILE + n_places] += product.sum(axis=0)

    def moments(self, noise: Floats | None) -> Floats:
        """Return the matrix of the gap (d, d): BᵀB / L, minus the mean of s² times `noise` unless that is None."""
        products = self.products.sum(axis=0)
        if noise is not None:
            products = products - self.variances.sum() * noise
        result: Floats = products / self.n_loci
        return result


def gap_intervals(sums: OffsetSums, change: Floats, noise: Floats | None) -> tuple[Floats, Floats]:
    """Return the ends of the 95 % interval of the gap of each place (m,), from a bootstrap over stretches of loci.

    NaN if fewer than `FEWEST_STRETCHES` have loci.

    Parameters
    ----------
    sums : OffsetSums
    change : ndarray of shape (m, d), float64
    noise : ndarray of shape (d, d), float64, or None
        As for `OffsetSums.moments`.

    Notes
    -----
    Takes m d² n_draws multiplications, and memory for `TILE` places times `N_DRAWS`.
    """
    used = np.flatnonzero(sums.counts)
    if len(used) < FEWEST_STRETCHES:
        return np.full(len(change), np.nan), np.full(len(change), np.nan)
    products = sums.products[used]
    if noise is not None:
        products = products - sums.variances[used, None, None] * noise
    times = np.random.default_rng(SEED).multinomial(len(used), np.full(len(used), 1 / len(used)), N_DRAWS)
    moments = times @ products.reshape(len(used), -1)  # (n_draws, d²)
    moments /= (times @ sums.counts[used])[:, None]
    ends = np.empty((2, len(change)))
    for at in range(0, len(change), TILE):
        tile = change[at : at + TILE]
        pairs = (tile[:, :, None] * tile[:, None, :]).reshape(len(tile), -1)  # (n_tile, d²)
        ends[:, at : at + TILE] = np.quantile(np.maximum(pairs @ moments.T, 0.0), ENDS, axis=1)
    return ends[0], ends[1]
