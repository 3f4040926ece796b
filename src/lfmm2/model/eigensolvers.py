"""Leading eigenpairs of P C P, C = Y Yᵀ, by three solvers that see the genotypes through products only.

`solve_exact` computes the Gram matrix in one pass, `solve_krylov` iterates until its residuals are small, `solve_power`
is the randomised SVD of the textbooks. All form Û = P⁻¹ U' as C P U' / s², so that nothing is divided by the tiny d_j.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lfmm2 import _lapack
from lfmm2._choices import SOLVERS, Solver
from lfmm2._typing import Floats
from lfmm2.errors import UsageError
from lfmm2.genotypes import (
    NOTHING_HELD,
    Float32Matrix,
    Footprint,
    GenotypeMatrix,
    doubles,
    float32_gram_matrix,
    float32_matrix,
    threads_of,
)
from lfmm2.model.axes import OVERSAMPLING, KnownGram, axes_beside_factors, leading_axes, number_of_axes
from lfmm2.model.ridge import RidgeGeometry
from lfmm2.model.spectrum import (
    RANK_TOLERANCE,
    Spectrum,
    centre,
    compute_sample_weights,
    compute_squared_norm,
    count_dimensions,
    count_probes,
    estimate_spectrum,
    spectrum_of_gram,
)

# Passes after which krylov stops, with a warning, although its residuals are still above the tolerance.
MAX_PASSES = 60
# Most samples for which LAPACK finds the eigenvectors of the Gram matrix, faster there than block Krylov, and all
# eigenvalues.
MOST_FOR_LAPACK = 2500
# Relative residual at which block Krylov on the Gram matrix in memory stops: t then agrees with LAPACK's to 1e-8. Most
# products until it stops anyway, with a warning. Fewest columns of a product: with fewer, C is read more often.
EXACT_TOL = 1e-9
MOST_PRODUCTS = 800
FEWEST_COLUMNS = 8
# Rounding errors of the largest eigenvalue below which no residual falls.
ROUNDING = 64
# Ritz values of the Gram matrix that are looked at for the scree, and the relative residual up to which they count as
# eigenvalues.
SEEN = 60
SEEN_TOL = 1e-3
# Bytes of the basis of krylov and its images. With more it restarts less often and needs fewer passes; another value
# changes the last digits of results.
KRYLOV_BYTES = 1 << 30
# Relative residual below which images in float32 are not relied on, for the largest s²; for others it is larger by the
# ratio of their s². If it is smaller, passes are spent on rounding errors; if it is larger, more of them in float64.
FLOAT32_RESIDUAL = 3e-7
# Errors of a Gram matrix of 512 SNPs in float32, relative to its largest diagonal entry, for up to 400 samples: the
# spectral norm of those between the leading eigenvectors and the others, which turn the former. Less than half of it is
# seen (tests/model/test_float32_gram.py).
FLOAT32_GRAM_ERROR = 2e-6
# Largest angle by which these errors may turn a factor: t changes by about as much, relative to its size. A smaller one
# asks for a second pass, in float64, where the factors are known well enough.
FLOAT32_ANGLE = 1e-6


@dataclass(frozen=True)
class SolverOptions:
    """Solver of the factors and its settings, as the parameters of `lfmm2.run`.

    Raises
    ------
    UsageError
        If a value is of another type or out of range.
    """

    solver: Solver = "auto"
    tol: float = 1e-4
    n_power_iter: int = 2
    oversampling: int = 10
    seed: int = 0
    max_passes: int = MAX_PASSES

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise UsageError(f"solver is {self.solver!r}; it is one of {', '.join(SOLVERS)}")
        if not (np.isfinite(self.tol) and 0 < self.tol < 1):
            raise UsageError(f"tol is {self.tol}; it is a relative residual between 0 and 1, such as 1e-4")
        for name, low in (("n_power_iter", 0), ("oversampling", 0), ("seed", 0), ("max_passes", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
                raise UsageError(f"{name} is {value!r}; it is a whole number of at least {low}")


@dataclass(frozen=True)
class Eigenpairs:
    """Leading eigenpairs of P C P, as far as they could be computed.

    Attributes
    ----------
    values : ndarray of shape (K,), float64
        s², decreasing.
    vectors : ndarray of shape (n, K), float64
        U'.
    U : ndarray of shape (n, K), float64
        Û = P⁻¹ U'.
    errors : ndarray of shape (n, K), float64
        P C P u - s² u of the last Ritz vectors.
    next_value : float
        The next eigenvalue seen, a lower bound of the true one; NaN if none was seen.
    n_passes : int
    spectrum : Spectrum
        Still without vectors.
    axes : ndarray of shape (n, m), float64
        Leading eigenvectors of C, without regard to the variables; see `number_of_axes`.
    converged : bool
        False if an iteration was stopped before its residuals were small.
    """

    values: Floats
    vectors: Floats
    U: Floats
    errors: Floats
    next_value: float
    n_passes: int
    spectrum: Spectrum
    axes: Floats
    converged: bool = True


def _form_eigenpairs(
    ridge: RidgeGeometry,
    values: Floats,
    vectors: Floats,
    images: Floats,
    n_factors: int,
    n_passes: int,
    spectrum: Spectrum,
    axes: Floats,
    converged: bool = True,
) -> Eigenpairs:
    """Return the eigenpairs of K vectors u with their images C P u; `values` are at least K, in decreasing order."""
    next_value = max(float(values[n_factors]), 0.0) if len(values) > n_factors else np.nan
    values = values[:n_factors]
    errors = ridge.project(images) - vectors * values
    U = images / np.where(values > 0, values, 1.0)
    return Eigenpairs(values, vectors, U, errors, next_value, n_passes, spectrum, axes, converged)


@dataclass(frozen=True)
class BasisSizes:
    """Columns of the basis of block Krylov.

    They follow from the sizes alone: if they followed from the memory of the machine, results would depend on it.

    Attributes
    ----------
    width : int
        Columns of a block, those of a product.
    most : int
        Columns of the basis before it is cut.
    kept : int
        Ritz vectors to which it is cut.
    """

    width: int
    most: int
    kept: int

    def memory(self, n_samples: int) -> int:
        """Return the bytes of the basis, its images, the first block, the newest, and what a cut copies, of each."""
        n_columns = min(self.most + 2 * self.width + self.kept, n_samples + 2 * self.width)
        return 2 * 8 * n_samples * n_columns


def krylov_sizes(n_samples: int, n_snps: int, n_factors: int, oversampling: int) -> BasisSizes:
    """Return the sizes of krylov: forty blocks of K + oversampling columns if they fit in 1 GiB, at least six.

    A pass over the genotypes takes much the same time for some columns more, which make the passes fewer.
    """
    width = _krylov_width(n_samples, n_snps, n_factors, oversampling)
    return BasisSizes(width, min(max(_columns_in_memory(n_samples), 6 * width), 40 * width), width)


def gram_sizes(n_samples: int, n_snps: int, n_factors: int, oversampling: int) -> BasisSizes:
    """Return the sizes of `solve_exact`: 150 blocks of `gram_width` columns if they fit in 1 GiB, at least six."""
    width = min(gram_width(n_factors), n_samples - 1, n_snps)
    kept = max(_krylov_width(n_samples, n_snps, n_factors, oversampling), width)
    return BasisSizes(width, min(max(_columns_in_memory(n_samples), kept + 6 * width), 150 * width), kept)


def gram_width(n_factors: int) -> int:
    """Return the columns of a block that C in memory is multiplied with: K, rounded up to fours, at least eight.

    The time of a product grows with its columns, and narrow blocks need fewer columns in all (docs/performance.md); K
    columns still find all vectors of an eigenvalue that there are several times. BLAS steps by four columns.
    """
    return max(FEWEST_COLUMNS, -(-n_factors // 4) * 4)


def _krylov_width(n_samples: int, n_snps: int, n_factors: int, oversampling: int) -> int:
    """Return the columns of a block of krylov or power: K + oversampling, within the rank that Y can have."""
    return min(n_factors + oversampling, n_samples - 1, n_snps)


def _columns_in_memory(n_samples: int) -> int:
    """Return the columns of a basis that fill `KRYLOV_BYTES` with their images."""
    return KRYLOV_BYTES // (2 * 8 * n_samples)


def exact_memory(n_samples: int, sizes: BasisSizes) -> int:
    """Return the bytes of the exact solver: C, and what finds its eigenvectors.

    These are a second matrix, first for updates and then for LAPACK; or the basis of krylov, and the probes.
    """
    matrix = 8 * n_samples**2
    if n_samples <= MOST_FOR_LAPACK:
        return 2 * matrix
    of_basis = sizes.memory(n_samples) + 4 * 8 * min(sizes.most, n_samples) ** 2
    return matrix + max(of_basis, 4 * 8 * n_samples * count_probes(n_samples))


@dataclass(frozen=True)
class SolverFootprint:
    """Memory of a solver.

    Attributes
    ----------
    own : Footprint
        Memory of each pass.
    beside : Footprint
        Memory that the solver holds while a pass runs.
    after : int
        Bytes at the peak of the computations after the last pass.
    """

    own: Footprint
    beside: Footprint
    after: int


def solver_footprint(
    genotypes: GenotypeMatrix, solver: str, n_factors: int, n_variables: int, options: SolverOptions, budget: int
) -> SolverFootprint:
    """Return the memory of a solver within a budget of `budget` bytes, or the least that it needs if that is more."""
    n = genotypes.n_samples
    n_axes = number_of_axes(n, genotypes.n_snps, n_factors)
    if solver == "exact":
        # Vectors of the factors, and the axes; before these, the start of their iteration and its images.
        vectors = doubles((n, max(4 * (n_factors + 1) + n_axes, 6 * (n_axes + OVERSAMPLING))))
        sizes = gram_sizes(n, genotypes.n_snps, n_factors, options.oversampling)
        return SolverFootprint(genotypes.footprint_of_gram(), NOTHING_HELD, exact_memory(n, sizes) + vectors)
    sizes = krylov_sizes(n, genotypes.n_snps, n_factors, options.oversampling)
    # The block, its projection, its product, and the temporary arrays of orthogonalisation; images of the variables,
    # and the axes.
    held = doubles((n, 8 * sizes.width + 3 * n_variables + n_axes))
    if solver == "krylov":
        n_basis = min(sizes.most, n)
        # T, its copy for LAPACK, its eigenvectors, and the T of the next pass.
        held += sizes.memory(n) + doubles((4, n_basis, n_basis))
    # The first pass takes the variables too.
    own = genotypes.footprint_of_gram_product(sizes.width + n_variables, max(budget - held, 0))
    return SolverFootprint(own, Footprint(held), 0)


def solve_exact(genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute the eigenvectors of P C P from the Gram matrix, in one pass.

    Up to `MOST_FOR_LAPACK` samples LAPACK finds them, else block Krylov on C in memory to a residual of `EXACT_TOL`:
    2 n² l flops for a product with a block of l columns, where LAPACK takes 4/3 n³ and half of them at the speed of the
    memory.
    """
    n_threads = threads_of(genotypes)
    if (in_float32 := float32_gram_matrix(genotypes)) is not None:
        C = in_float32.gram(label="factors: Gram matrix", precision="float32")
        error = float32_gram_error(C, genotypes.n_snps)
        pairs = _solve_gram(KnownGram(C, genotypes.n_snps, n_threads), ridge, n_factors, options)
        if _are_apart(pairs, error / FLOAT32_ANGLE):
            return pairs
        del C, pairs
        known = KnownGram(genotypes.gram(label="factors: Gram matrix, float64"), genotypes.n_snps, n_threads)
        return replace(_solve_gram(known, ridge, n_factors, options), n_passes=2)
    if not isinstance(genotypes, KnownGram):
        genotypes = KnownGram(genotypes.gram(label="factors: Gram matrix"), genotypes.n_snps, n_threads)
        return _solve_gram(genotypes, ridge, n_factors, options)
    if genotypes.n_samples <= MOST_FOR_LAPACK:  # LAPACK overwrites it.
        genotypes = KnownGram(genotypes.gram(), genotypes.n_snps, n_threads)
    return _solve_gram(genotypes, ridge, n_factors, options)


def float32_gram_error(C: Floats, n_snps: int) -> float:
    """Return an upper limit of the errors of a Gram matrix in float32 between leading eigenvectors and the others.

    Each 512 SNPs are summed in float32, and their errors are independent. Those of the entries make a random matrix,
    whose norm grows with the root of the number of samples.
    """
    relative = FLOAT32_GRAM_ERROR * np.sqrt(max(len(C) / 400, 1.0) * 512 / max(n_snps, 512))
    return float(relative * C.diagonal().max())


def _are_apart(pairs: Eigenpairs, least: float) -> bool:
    """Return True if each factor has an s² that is larger than the next one by at least so much.

    An error of a matrix turns an eigenvector by about its norm over the distance to the other eigenvalues.
    """
    values = np.append(pairs.values, pairs.next_value if np.isfinite(pairs.next_value) else 0.0)
    return bool((-np.diff(values) >= least).all())


def _solve_gram(known: KnownGram, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute the eigenvectors of P C P; C may be overwritten."""
    n = known.n_samples
    if n <= MOST_FOR_LAPACK:
        return _solve_by_lapack(known, ridge, n_factors, options)
    axes = leading_axes(known, number_of_axes(n, known.n_snps, n_factors), options.seed)
    sizes = gram_sizes(n, known.n_snps, n_factors, options.oversampling)
    found = _iterate(known, ridge, n_factors, sizes, MOST_PRODUCTS, min(options.tol, EXACT_TOL), options.seed)
    values, W = found.values, found.W
    # Ritz values beyond K are lower bounds; those with small residuals are eigenvalues to twice as many digits.
    seen = W[:, : max(n_factors, SEEN)]
    lengths = np.linalg.norm(found.space.errors(values[: seen.shape[1]], seen), axis=0)
    n_seen = max(int(np.cumprod(lengths <= SEEN_TOL * values[: seen.shape[1]]).sum()), min(n_factors, len(values)))
    vectors, images = found.space.basis @ W[:, :n_factors], found.space.images @ W[:, :n_factors]
    spectrum = spectrum_of_gram(known, ridge, values[:n_seen], vectors)
    return _form_eigenpairs(ridge, values, vectors, images, n_factors, 1, spectrum, axes, found.converged)


def _solve_by_lapack(known: KnownGram, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute all eigenvalues and the leading eigenvectors of P C P; C is overwritten.

    With E = I - D and H = C Q: P C P = C - Q E Hᵀ - H E Qᵀ + Q E (Qᵀ H) E Qᵀ. C P u is computed without C, which P C P
    has replaced, as P C P u + Q E Hᵀ (P u).
    """
    n, M = known.n_samples, known.C
    axes = leading_axes(known, number_of_axes(n, known.n_snps, n_factors), options.seed)
    Q, E = ridge.Q, ridge.shrinkage
    H = M @ Q  # (n, d)
    QE = Q * E
    # Two rank-d updates turn C into P C P, in place.
    half = H - 0.5 * QE @ (Q.T @ H)  # (n, d)
    M -= QE @ half.T
    M -= half @ QE.T
    lowest = max(0, n - n_factors - 1)
    reduced = np.array(M, order="F")
    values, vectors = _lapack.eigh(reduced, lowest, overwrite=True)
    values, vectors = values[::-1], np.ascontiguousarray(vectors[:, ::-1])
    eigenvalues = _compute_all_eigenvalues(M, reduced)
    del reduced
    # The two methods differ in the last digits; the leading values are taken from those with vectors.
    eigenvalues[: len(values)] = values
    vectors_K = vectors[:, :n_factors]
    images = M @ vectors_K + QE @ (H.T @ ridge.project(vectors_K))
    spectrum = Spectrum(
        eigenvalues[: count_dimensions(ridge, n)],
        float(np.trace(M)),
        compute_squared_norm(M),
        count_dimensions(ridge, n),
        np.diag(M).copy(),
        compute_sample_weights(ridge, n),
        known.n_snps,
        total_cubes=float((eigenvalues**3).sum()),
    )
    return _form_eigenpairs(ridge, values, vectors_K, images, n_factors, 1, spectrum, axes)


def _compute_all_eigenvalues(M: Floats, reduced: Floats) -> Floats:
    """Return the eigenvalues of M, decreasing; `reduced` is the copy of M that LAPACK's dsyevr has overwritten.

    dsyevr leaves in it, on the diagonal and below it, a tridiagonal matrix with the same eigenvalues. LAPACK does not
    promise this, so trace and norm, which the reduction keeps, are compared; if they differ, M is reduced again.
    """
    diagonal, below = np.diag(reduced).copy(), np.diag(reduced, -1).copy()
    norm = compute_squared_norm(M)
    kept = np.isclose(diagonal.sum(), np.trace(M), rtol=1e-9, atol=0) and np.isclose(
        diagonal @ diagonal + 2 * below @ below, norm, rtol=1e-9, atol=0
    )
    values = _lapack.eigvalsh_tridiagonal(diagonal, below) if kept else _lapack.eigh(M)[0]
    return np.ascontiguousarray(values[::-1])


def _draw_starting_block(n_samples: int, width: int, seed: int) -> Floats:
    """Draw the Gaussian n×l matrix with which the randomised methods begin, Ω in the literature."""
    return np.random.default_rng(seed).standard_normal((n_samples, width))


def _orthonormalise(block: Floats, against: Floats | None) -> Floats:
    """Return an orthonormal basis of the part of `block` outside span(against); it may have fewer columns.

    The block is projected before and after its QR. If a column lies almost in the span, the first projection leaves
    rounding errors that are large beside it; the second makes them small (Giraud, Langou, Rozloznik 2005).
    """
    lengths = np.linalg.norm(block, axis=0)
    block = block / np.where(lengths > 0, lengths, 1.0)
    if against is not None:
        block = block - against @ (against.T @ block)
    pivoted, triangle, _ = _lapack.pivoted_qr(block)
    independent = int((np.abs(np.diag(triangle)) > 1e-10).sum())
    Q: Floats = pivoted[:, :independent]
    if against is not None and independent:
        Q = Q - against @ (against.T @ Q)
        Q = np.linalg.qr(Q)[0]
    return Q


def solve_krylov(genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute eigenpairs by block Krylov: Rayleigh-Ritz over all blocks, full reorthogonalisation, thick restart.

    Basis Q = [Q_1 Q_2 ...], A = G(P Q): T = Qᵀ P A is P C P in the coordinates of the basis. The next block is the part
    of P A of the newest block that lies outside of the basis. When the basis has no room for it, the basis is cut to
    its leading Ritz vectors. Their images are the same combinations of A, so no pass is repeated.

    A matrix that can multiply in float32 does so until the residuals are small. Then the basis is cut to its leading
    Ritz vectors, whose images are computed anew in float64, and all that is returned and certified comes from these.
    """
    n = genotypes.n_samples
    sizes = krylov_sizes(n, genotypes.n_snps, n_factors, options.oversampling)
    found = _iterate(genotypes, ridge, n_factors, sizes, options.max_passes, options.tol, options.seed)
    values, W, space = found.values, found.W, found.space
    n_seen = n_factors + options.oversampling
    seen, seen_images = space.basis @ W[:, :n_seen], space.images @ W[:, :n_seen]
    spectrum = estimate_spectrum(
        ridge, genotypes.n_snps, values[:n_seen], seen, ridge.project(seen_images), found.probes, found.probe_images,
        found.twice,
    )  # fmt: skip
    n_axes = number_of_axes(n, genotypes.n_snps, n_factors)
    axes = axes_beside_factors(ridge, seen, seen_images, found.variable_images, n_axes)
    vectors, images = space.basis @ W[:, :n_factors], space.images @ W[:, :n_factors]
    return _form_eigenpairs(ridge, values, vectors, images, n_factors, found.n_passes, spectrum, axes, found.converged)


@dataclass(frozen=True)
class _Found:
    """What block Krylov has found.

    Attributes
    ----------
    space : _RitzSpace
    values : ndarray of shape (m,), float64
        Ritz values, decreasing, at least K.
    W : ndarray of shape (c, m), float64
        Coefficients of their vectors in the basis of c columns; 0 where there are fewer than K.
    converged : bool
        True if the residuals of K pairs are small.
    n_passes : int
    probes, probe_images, twice : ndarray of shape (n, l), float64
        The first block S, B S and B B S with B = P C P; `twice` is None after one pass.
    variable_images : ndarray of shape (n, d), float64
        C Q.
    """

    space: _RitzSpace
    values: Floats
    W: Floats
    converged: bool
    n_passes: int
    probes: Floats
    probe_images: Floats
    twice: Floats | None
    variable_images: Floats


def _iterate(
    genotypes: GenotypeMatrix,
    ridge: RidgeGeometry,
    n_factors: int,
    sizes: BasisSizes,
    most_passes: int,
    tol: float,
    seed: int,
) -> _Found:
    """Extend the basis until the residuals of K Ritz pairs are below `tol`, or rounding errors.

    The eigenpairs of T take m³ flops in a basis of m columns. They are computed after each pass over genotypes; with C
    in memory, where a product is cheaper than they are, only when the basis has grown by a quarter.

    A matrix that can multiply in float32 does so until the residuals are near what these can tell. The basis is then
    emptied, and goes on in float64 from its leading Ritz vectors.
    """
    n = genotypes.n_samples
    space = _RitzSpace(ridge, n, sizes.most)
    block = _orthonormalise(centre(_draw_starting_block(n, sizes.width, seed)), None)
    in_float32 = float32_matrix(genotypes) if most_passes > 1 else None
    images, variable_images = _first_images(genotypes, ridge, block, in_float32)
    probes, probe_images = block, ridge.project(images)
    twice: Floats | None = None
    n_passes, look_at = 1, 0
    while True:
        space.extend(block, images)
        if n_passes == 2 and space.n_columns > probes.shape[1]:
            # B S lies in the span of the first two blocks, whose images are known.
            twice = ridge.project(space.images @ (space.basis.T @ probe_images))
        # A pass is left for the images in float64.
        is_full = n_passes >= most_passes - (in_float32 is not None) or space.n_columns >= n
        following = None if is_full else _orthonormalise(ridge.project(images), space.basis)
        has_room = following is None or space.n_columns + following.shape[1] <= space.most_columns
        if following is not None and following.shape[1] == 0:
            is_full = True  # P C P maps the basis into itself, so the Ritz pairs are exact.
        if is_full or not has_room or space.n_columns >= look_at:
            if isinstance(genotypes, KnownGram):
                look_at = space.n_columns + space.n_columns // 8
            values, W = space.ritz_pairs()
            k = min(n_factors, len(values))
            errors = space.errors(values[:k], W[:, :k])
            rounding = ROUNDING * np.finfo(float).eps * values[0]
            if in_float32 is not None:
                rounding = FLOAT32_RESIDUAL * values[0]
            small = np.linalg.norm(errors, axis=0) <= np.maximum(tol * values[:k], rounding)
            converged = k == n_factors and bool(small.all())
            if (is_full or converged) and in_float32 is None:
                break
            if is_full or converged:
                in_float32 = None
                following = space.empty(W, sizes.kept)
            elif not has_room:
                space.restart(values, W, sizes.kept)
                look_at = 0
        assert following is not None
        block = following
        n_passes += 1
        images = _image(genotypes, ridge.project(block), f"factors: pass {n_passes}", in_float32)
    if len(values) < n_factors:
        values = np.pad(values, (0, n_factors - len(values)))
        W = np.pad(W, ((0, 0), (0, n_factors - W.shape[1])))
    return _Found(space, values, W, converged, n_passes, probes, probe_images, twice, variable_images)


def _image(genotypes: GenotypeMatrix, S: Floats, label: str, in_float32: Float32Matrix | None) -> Floats:
    """Return C S in one pass, multiplied in float32 if `in_float32`, the same matrix, is given."""
    if in_float32 is not None:
        return in_float32.gram_product(S, label=label, precision="float32").total()
    return genotypes.gram_product(S, label=label).total()


def _first_images(
    genotypes: GenotypeMatrix, ridge: RidgeGeometry, block: Floats, in_float32: Float32Matrix | None = None
) -> tuple[Floats, Floats]:
    """Return C P S of the first block S and C Q of the variables, in one pass; the axes need the latter."""
    images = _image(genotypes, np.hstack([ridge.project(block), ridge.Q]), "factors: pass 1", in_float32)
    return images[:, : block.shape[1]], images[:, block.shape[1] :]


class _RitzSpace:
    """An orthonormal basis Q, the images A = C P Q, and T = Qᵀ P A, to which blocks are added."""

    def __init__(self, ridge: RidgeGeometry, n_samples: int, most_columns: int) -> None:
        self.ridge = ridge
        self.most_columns = min(most_columns, n_samples)
        self.n_columns = 0
        # The system gives memory to a column only when it is filled.
        self._basis = np.empty((n_samples, self.most_columns), order="F")
        self._images = np.empty((n_samples, self.most_columns), order="F")
        self._T = np.empty((0, 0))

    @property
    def basis(self) -> Floats:
        """Return Q, (n, m)."""
        return self._basis[:, : self.n_columns]

    @property
    def images(self) -> Floats:
        """Return A = C P Q, (n, m)."""
        return self._images[:, : self.n_columns]

    def extend(self, block: Floats, images: Floats) -> None:
        """Add a block of orthonormal columns, orthogonal to the basis, and their images."""
        first, last = self.n_columns, self.n_columns + block.shape[1]
        self._basis[:, first:last], self._images[:, first:last] = block, images
        self.n_columns = last
        new = self.basis.T @ self.ridge.project(images)  # (m, l)
        T = np.empty((last, last))
        T[:first, :first] = self._T
        T[:, first:], T[first:, :first] = new, new[:first].T
        T[first:, first:] = (new[first:] + new[first:].T) / 2
        self._T = T

    def ritz_pairs(self) -> tuple[Floats, Floats]:
        """Return Ritz values (m,), decreasing, and the coefficients (m, m) of their vectors in the basis."""
        values, W = _lapack.eigh(self._T)
        return values[::-1], W[:, ::-1]

    def errors(self, values: Floats, W: Floats) -> Floats:
        """Return P C P u - value u, (n, k), of the Ritz vectors u = Q W."""
        errors: Floats = self.ridge.project(self.images @ W) - (self.basis @ W) * values
        return errors

    def empty(self, W: Floats, n_kept: int) -> Floats:
        """Remove all columns, and return the leading Ritz vectors as an orthonormal block."""
        block: Floats = np.linalg.qr(self.basis @ W[:, :n_kept])[0]
        self._T = np.empty((0, 0))
        self.n_columns = 0
        return block

    def restart(self, values: Floats, W: Floats, n_kept: int) -> None:
        """Replace the basis by its leading Ritz vectors, and the images by the same combinations of them."""
        n_kept = min(n_kept, self.n_columns)
        W = W[:, :n_kept]
        basis, images = self.basis @ W, self.images @ W
        self._basis[:, :n_kept], self._images[:, :n_kept] = basis, images
        self._T = np.diag(values[:n_kept])
        self.n_columns = n_kept


def solve_power(genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute the textbook randomised SVD with q power iterations, in q + 1 passes instead of 2q + 2.

    The textbook projects P Y on an orthonormal basis of (P Y)ᵀ S with S = (P C P)^q Ω. With T = Sᵀ P C P S =
    W diag(s²) Wᵀ that projection is H = P C P S W diag(1/s), which the last pass already holds; its leading left
    singular vectors are U'.

    References: Halko, Martinsson, Tropp 2011, SIAM Rev. 53:217, algorithms 4.3 and 5.1.
    """
    width = _krylov_width(genotypes.n_samples, genotypes.n_snps, n_factors, options.oversampling)
    n_passes = options.n_power_iter + 1
    n_axes = number_of_axes(genotypes.n_samples, genotypes.n_snps, n_factors)
    basis = np.linalg.qr(_draw_starting_block(genotypes.n_samples, width, options.seed))[0]
    A, variable_images = _first_images(genotypes, ridge, basis)
    projected = ridge.project(A)
    probes, probe_images = basis, projected
    for i in range(1, n_passes):
        basis = np.linalg.qr(projected)[0]
        A = genotypes.gram_product(ridge.project(basis), label=f"factors: pass {i + 1}").total()
        projected = ridge.project(A)
    T = basis.T @ projected
    squares, W = _lapack.eigh((T + T.T) / 2)
    spectrum = estimate_spectrum(
        ridge, genotypes.n_snps, squares[::-1], basis @ W[:, ::-1], projected @ W[:, ::-1], probes, probe_images
    )
    axes = axes_beside_factors(ridge, basis, A, variable_images, n_axes)
    kept = squares > RANK_TOLERANCE * squares[-1]
    to_H = W[:, kept] / np.sqrt(squares[kept])  # (l, l')
    left, s, right = np.linalg.svd(projected @ to_H, full_matrices=False)
    spectrum = replace(spectrum, eigenvalues=s**2)
    if len(s) < n_factors:
        return Eigenpairs(np.pad(s**2, (0, n_factors - len(s))), left, left, left, 0.0, n_passes, spectrum, axes)
    # H = U' diag(s) Vᵀ, hence P⁻¹ U' = A W diag(1/s_T) V / s
    U = A @ (to_H @ right[:n_factors].T) / s[:n_factors]
    leading = W[:, ::-1][:, :n_factors]
    errors = projected @ leading - basis @ (leading * squares[::-1][:n_factors])
    next_value = float(s[n_factors] ** 2) if len(s) > n_factors else np.nan
    vectors = left[:, :n_factors]
    return Eigenpairs(s[:n_factors] ** 2, vectors, U, errors, next_value, n_passes, spectrum, axes)
