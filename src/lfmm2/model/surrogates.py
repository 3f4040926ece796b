"""Surrogate variables: as confounded with population structure as the variables, and associated with no SNP.

With C = Y Yᵀ = V diag(s²) Vᵀ, a surrogate of the variables X is

    X_s = V diag(±1) Vᵀ X

with random signs. It has the share of X on every axis of structure, so its statistics are inflated as those of X are,
and the variables of one surrogate have the correlations of those of X. Where samples share their values, as those of
one place do, surrogates that do so too are drawn: in the eigenbasis of C among vectors that are constant within places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lfmm2 import _lapack
from lfmm2._typing import Floats, Ints
from lfmm2.genotypes import ALL_SNPS, Footprint, GenotypeMatrix, SnpRange, doubles
from lfmm2.model.association import AssociationModel

# Most SNPs that are tested with surrogates, and most statistics that are kept of them. The 99 % quantile of 200 000
# SNPs has 2 000 beyond it; more take more time and memory.
_MOST_SNPS, _MOST_NUMBERS = 200_000, 4_000_000


def find_places(X: Floats) -> Ints | None:
    """Return the place of each sample, where samples of equal rows of X are of one place; None if all rows differ."""
    rows, places = np.unique(X, axis=0, return_inverse=True)
    return None if len(rows) == len(X) else places.ravel().astype(np.int64)


def draw_surrogates(C: Floats, X: Floats, n_surrogates: int, seed: int, places: Ints | None = None) -> list[Floats]:
    """Draw surrogates of X (n, d), each (n, d) and centred.

    Parameters
    ----------
    C : ndarray of shape (n, n), float64
        Gram matrix of the centred genotypes.
    X : ndarray of shape (n, d), float64
        Centred variables.
    n_surrogates, seed : int
    places : ndarray of shape (n,), int64, optional
        Place of each sample, from 0: surrogates are then constant within places, as X has to be.

    Notes
    -----
    All eigenvectors, about 9 n³ flops, and two n × n matrices beside C; with places, as many rows as there are places.
    """
    if places is None:
        V = _lapack.eigh(C)[1]  # (n, n)
    else:
        indicators = np.eye(int(places.max()) + 1)[places]
        indicators /= np.sqrt(indicators.sum(axis=0))  # (n, g), orthonormal
        V = indicators @ _lapack.eigh(indicators.T @ C @ indicators)[1]  # (n, g)
    parts = V.T @ X  # (m, d)
    rng = np.random.default_rng(seed)
    surrogates = []
    for _ in range(n_surrogates):
        drawn = V @ (rng.choice([-1.0, 1.0], size=(V.shape[1], 1)) * parts)
        surrogates.append(drawn - drawn.mean(axis=0))
    return surrogates


def n_surrogate_snps(n_snps: int, n_surrogates: int, n_variables: int) -> int:
    """Return how many SNPs are tested with so many surrogates of d variables."""
    return min(n_snps, _MOST_SNPS, max(_MOST_NUMBERS // (n_surrogates * (n_variables + 1)), 1))


def surrogate_footprint(n_samples: int, n_snps: int, n_surrogates: int, n_variables: int, n_columns: int) -> Footprint:
    """Return the memory of the surrogates beside the passes for them.

    That is C with two more matrices of its size, for eigenvectors or for the solver of the factors; the surrogates
    and the models; and the statistics of the SNPs that are tested, twice.
    """
    n_tested = n_surrogate_snps(n_snps, n_surrogates, n_variables)
    statistics = 2 * doubles((n_tested, n_surrogates * (n_variables + 1)))
    models = n_surrogates * doubles((n_samples, 5 * n_columns))
    of_block = doubles((n_surrogates * (2 * n_columns + 10 * n_variables + 60),))
    return Footprint(max(3 * doubles((n_samples, n_samples)), statistics) + models, of_block)


def surrogate_statistics(
    genotypes: GenotypeMatrix, models: Sequence[AssociationModel], label: str, snps: SnpRange = ALL_SNPS
) -> Iterator[tuple[Floats, Floats]]:
    """Yield t (b, s, d) and F (b, s) of s models by blocks of SNPs, in one pass for all of them."""
    ends = np.cumsum([model.Q.shape[1] for model in models])
    W = np.ascontiguousarray(np.hstack([model.Q for model in models]))
    for block in genotypes.cross_products(W, label, snps):
        tested = []
        for model, end in zip(models, ends.tolist(), strict=True):
            products = np.ascontiguousarray(block.products[:, end - model.Q.shape[1] : end])
            tested.append(model.test_block(replace(block, products=products)))
        yield np.stack([of.t for of in tested], axis=1), np.stack([of.f_stat for of in tested], axis=1)
