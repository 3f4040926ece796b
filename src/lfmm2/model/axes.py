"""Leading axes of the genotypes without regard to the variables: the principal components of the samples.

They are the leading eigenvectors of C = Y Yᵀ, and the factors are those of P C P. An axis of structure along a variable
is taken out of P C P, so the factors do not see it; the axes do. They are computed from a few images C Z (Nyström):

    C ≈ A (Zᵀ A)⁻¹ Aᵀ,    A = C Z
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfmm2._typing import Floats
from lfmm2.genotypes import (
    ALL_SNPS,
    COUNTED_GRAM_SPEED,
    NO_KEEPER,
    CrossProducts,
    FactorFill,
    FillSize,
    Footprint,
    GenotypeMatrix,
    PassKeeper,
    SegmentSums,
    SnpRange,
    doubles,
    pad_columns,
)
from lfmm2.kernels import _symmetric
from lfmm2.model.ridge import RidgeGeometry

# Axes that are computed where there are fewer factors: a variable may follow structure beyond the K axes asked for.
FEWEST_AXES = 10
# Columns of the start beyond the axes, and products of the subspace iteration before the last. An axis whose eigenvalue
# is 1.2 times those of the bulk is then found to (1 / 1.2)^(2 · 8 + 1), 5 % of its length.
OVERSAMPLING = 10
ITERATIONS = 8
# Directions of Zᵀ A below this share of the largest are rounding errors.
_TOLERANCE = 1e-10


class KnownGram:
    """A genotype matrix of which C = Y Yᵀ is known, and nothing else: factors of other variables, or of another λ.

    Parameters
    ----------
    C : ndarray of shape (n, n), float64
        The Gram matrix; it is not changed.
    n_snps : int
        SNPs that it is the sum over.
    n_threads : int
        Threads of its products; no number depends on them.
    """

    # The matrix from which C was computed chose the exact solver, so this one must choose it too.
    gram_speed = COUNTED_GRAM_SPEED

    def __init__(self, C: Floats, n_snps: int, n_threads: int = 1) -> None:
        self.C = C
        self.n_snps = n_snps
        self.n_threads = n_threads

    @property
    def n_samples(self) -> int:
        """Number of samples, n."""
        return len(self.C)

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product`."""
        return Footprint(doubles((self.n_samples, n_columns)))

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`."""
        return Footprint(doubles((self.n_samples, self.n_samples)))

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Raise NotImplementedError: the SNPs are not known."""
        raise NotImplementedError("a Gram matrix has no SNPs")

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Return C S as the sum of one segment, without a pass."""
        sums = SegmentSums(1)
        sums.add(0, self.times(S))
        return sums

    def times(self, S: Floats) -> Floats:
        """Return C S: 2 n² l flops, and C is read once.

        Few columns are multiplied by a kernel in all threads, because BLAS would copy C first; more of them by BLAS,
        for which the product of the transposes takes less time.
        """
        n_columns = S.shape[1]
        if n_columns > _symmetric.MOST_COLUMNS:
            return np.asarray((S.T @ self.C).T)
        padded = pad_columns(S)
        product = np.empty_like(padded)
        # C is symmetric, so that of two orders one is as good as the other.
        C = self.C if self.C.flags.c_contiguous else np.ascontiguousarray(self.C.T)
        _symmetric.multiply_few(C, padded, product, self.n_threads)
        return product[:, :n_columns]

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return a copy of C."""
        return self.C.copy()

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Raise NotImplementedError: the SNPs are not known."""
        raise NotImplementedError("a Gram matrix has no SNPs")


def number_of_axes(n_samples: int, n_snps: int, n_factors: int) -> int:
    """Return the number of axes that a fit keeps: K, at least ten, within the rank that Y can have."""
    return max(min(max(n_factors, FEWEST_AXES), n_samples - 1, n_snps), 0)


def axes_from_images(Z: Floats, A: Floats, n_axes: int) -> Floats:
    """Return the leading eigenvectors of C, (n, m), from A = C Z; columns of zeros where A has fewer directions."""
    core = Z.T @ A
    weights, directions = np.linalg.eigh((core + core.T) / 2)
    kept = weights > _TOLERANCE * max(weights.max(initial=0.0), 0.0)
    left, s, _ = np.linalg.svd(A @ (directions[:, kept] / np.sqrt(weights[kept])), full_matrices=False)
    left = left[:, s > _TOLERANCE * s.max(initial=0.0)][:, :n_axes]
    return np.pad(left, ((0, 0), (0, n_axes - left.shape[1])))


def axes_beside_factors(
    ridge: RidgeGeometry, vectors: Floats, images: Floats, variable_images: Floats, n_axes: int
) -> Floats:
    """Return the axes from Ritz vectors u of P C P with images C P u, and from the images C Q of the variables.

    C u = C P u + C Q E (Qᵀ u) with E = I - D.
    """
    of_vectors = images + variable_images @ (ridge.shrinkage[:, None] * (ridge.Q.T @ vectors))
    return axes_from_images(np.hstack([vectors, ridge.Q]), np.hstack([of_vectors, variable_images]), n_axes)


def leading_axes(genotypes: GenotypeMatrix, n_axes: int, seed: int = 0) -> Floats:
    """Return the m leading eigenvectors of C, (n, m), by subspace iteration on a `KnownGram`.

    Notes
    -----
    2 n² (m + 10) flops a product, nine products.
    """
    n = genotypes.n_samples
    width = min(n_axes + OVERSAMPLING, max(n - 1, 1))
    Z = np.random.default_rng(seed).standard_normal((n, width))
    A = genotypes.gram_product(np.linalg.qr(Z - Z.mean(axis=0))[0]).total()
    for _ in range(ITERATIONS):
        Z = np.linalg.qr(A)[0]
        A = genotypes.gram_product(Z).total()
    return axes_from_images(Z, A, n_axes)


def variance_on_axes(X: Floats, axes: Floats) -> Floats:
    """Return R² of each column of centred X (n, d) on the first k of m orthonormal axes, shape (m + 1, d), k from 0."""
    shares = np.zeros((axes.shape[1] + 1, X.shape[1]))
    np.cumsum((axes.T @ X) ** 2 / (X**2).sum(axis=0), axis=0, out=shares[1:])
    return shares
