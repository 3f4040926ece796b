"""Leading eigenpairs of P C P, C = Y Yᵀ, by three solvers that see the genotypes through products only.

`solve_exact` computes the Gram matrix in one pass, `solve_krylov` iterates until its residuals are small, `solve_power`
is the randomised SVD of the textbooks. All form Û = P⁻¹ U' as C P U' / s², so that nothing is divided by the tiny d_j.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lfmm2 import _lapack
from lfmm2._choices import SOLVERS, Solver
from lfmm2._typing import Floats
from lfmm2.errors import UsageError
from lfmm2.genotypes import NOTHING_HELD, Footprint, GenotypeMatrix, doubles
from lfmm2.model.axes import OVERSAMPLING, KnownGram, axes_beside_factors, leading_axes, number_of_axes
from lfmm2.model.ridge import RidgeGeometry

# Passes after which krylov stops, with a warning, although its residuals are still above the tolerance.
MAX_PASSES = 60
# Bytes of the basis of krylov and its images. With more it restarts less often and needs fewer passes; another value
# changes the last digits of results.
KRYLOV_BYTES = 1 << 30
# Smallest s² that counts as an eigenvalue, as a fraction of the largest; smaller ones are rounding errors of the Gram
# matrix.
RANK_TOLERANCE = 1e-11
# A Ritz vector is removed from the probes if its error is below `CONVERGED_ERROR` of its distance from the mean of the
# bulk; or below `CLEAR_ERROR` of it, if the distance is above `CLEAR_OF_BULK` standard deviations (the bulk ends at 2).
# Vectors of the bulk that are removed by mistake bias the estimate of the noise, and so does structure that stays.
CONVERGED_ERROR = 0.01
CLEAR_ERROR = 0.5
CLEAR_OF_BULK = 2.5


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


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of P C P, as far as a solver has seen them.

    Attributes
    ----------
    eigenvalues : ndarray of shape (m,), float64
        Decreasing. exact: all n_dimensions of them; krylov and power: up to K + oversampling Ritz values, of which
        those beyond K are lower bounds.
    total, total_squares : float
        Sums of all eigenvalues and of their squares; estimated by krylov and power.
    n_dimensions : int
        n - 1 - the number of variables that P removes (λ < σ_j²).
    sample_totals : ndarray of shape (n,), float64
        Diagonal of P C P; estimated by krylov and power.
    sample_weights : ndarray of shape (n,), float64
        Diagonal of the projection on these dimensions: 1 minus the share of the sample in the mean and the variables.
    n_snps : int
        SNPs of the estimation set.
    vectors : ndarray of shape (n, k), float64
        P u of the leading eigenvectors u: the same array as `LatentFactors.loadings_map`, not a copy.
    """

    eigenvalues: Floats
    total: float
    total_squares: float
    n_dimensions: int
    sample_totals: Floats
    sample_weights: Floats
    n_snps: int
    vectors: Floats = field(default_factory=lambda: np.empty((0, 0)))


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
    """

    values: Floats
    vectors: Floats
    U: Floats
    errors: Floats
    next_value: float
    n_passes: int
    spectrum: Spectrum
    axes: Floats


def _form_eigenpairs(
    ridge: RidgeGeometry,
    values: Floats,
    vectors: Floats,
    images: Floats,
    n_factors: int,
    n_passes: int,
    spectrum: Spectrum,
    axes: Floats,
) -> Eigenpairs:
    """Return the eigenpairs of K vectors u with their images C P u; `values` are at least K, in decreasing order."""
    next_value = max(float(values[n_factors]), 0.0) if len(values) > n_factors else np.nan
    values = values[:n_factors]
    errors = ridge.project(images) - vectors * values
    U = images / np.where(values > 0, values, 1.0)
    return Eigenpairs(values, vectors, U, errors, next_value, n_passes, spectrum, axes)


def exact_memory(n_samples: int) -> int:
    """Return the bytes of the exact solver: the matrix, and a second one, first for updates and then for LAPACK."""
    return 2 * 8 * n_samples**2


def krylov_memory(n_samples: int, width: int) -> int:
    """Return the bytes of the basis, its images, the first block of both, and the copies of both at a restart."""
    n_kept = min(krylov_columns(n_samples, width) + 3 * width, n_samples + 2 * width)
    return 2 * 8 * n_samples * n_kept


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
        return SolverFootprint(genotypes.footprint_of_gram(), NOTHING_HELD, exact_memory(n) + vectors)
    width = _choose_block_width(genotypes, n_factors, options)
    # The block, its projection, its product, and the temporary arrays of orthogonalisation; images of the variables,
    # and the axes.
    held = doubles((n, 8 * width + 3 * n_variables + n_axes))
    if solver == "krylov":
        n_basis = min(krylov_columns(n, width), n)
        # T, its copy for LAPACK, its eigenvectors, and the T of the next pass.
        held += krylov_memory(n, width) + doubles((4, n_basis, n_basis))
    # The first pass takes the variables too.
    own = genotypes.footprint_of_gram_product(width + n_variables, max(budget - held, 0))
    return SolverFootprint(own, Footprint(held), 0)


def krylov_columns(n_samples: int, width: int) -> int:
    """Return the most columns of the basis before krylov restarts: forty blocks if they fit in 1 GiB, at least six.

    The number follows from the sizes alone: if it followed from the memory of the machine, results would depend on it.
    """
    return min(max(KRYLOV_BYTES // (2 * 8 * n_samples), 6 * width), 40 * width)


def solve_exact(genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute the eigenvectors of P C P from the Gram matrix, in one pass.

    With E = I - D and H = C Q: P C P = C - Q E Hᵀ - H E Qᵀ + Q E (Qᵀ H) E Qᵀ. C P u is computed without C, which P C P
    has replaced, as P C P u + Q E Hᵀ (P u).
    """
    n = genotypes.n_samples
    M = genotypes.gram(label="factors: Gram matrix")  # (n, n)
    axes = leading_axes(KnownGram(M, genotypes.n_snps), number_of_axes(n, genotypes.n_snps, n_factors), options.seed)
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
        eigenvalues[: _count_dimensions(ridge, n)],
        float(np.trace(M)),
        _compute_squared_norm(M),
        _count_dimensions(ridge, n),
        np.diag(M).copy(),
        _compute_sample_weights(ridge, n),
        genotypes.n_snps,
    )
    return _form_eigenpairs(ridge, values, vectors_K, images, n_factors, 1, spectrum, axes)


def _compute_all_eigenvalues(M: Floats, reduced: Floats) -> Floats:
    """Return the eigenvalues of M, decreasing; `reduced` is the copy of M that LAPACK's dsyevr has overwritten.

    dsyevr leaves in it, on the diagonal and below it, a tridiagonal matrix with the same eigenvalues. LAPACK does not
    promise this, so trace and norm, which the reduction keeps, are compared; if they differ, M is reduced again.
    """
    diagonal, below = np.diag(reduced).copy(), np.diag(reduced, -1).copy()
    norm = _compute_squared_norm(M)
    kept = np.isclose(diagonal.sum(), np.trace(M), rtol=1e-9, atol=0) and np.isclose(
        diagonal @ diagonal + 2 * below @ below, norm, rtol=1e-9, atol=0
    )
    values = _lapack.eigvalsh_tridiagonal(diagonal, below) if kept else _lapack.eigh(M)[0]
    return np.ascontiguousarray(values[::-1])


def _compute_squared_norm(M: Floats) -> float:
    """Return ‖M‖²; unlike vdot, without two copies if M is not contiguous in C order."""
    return float(np.einsum("ij,ij->", M, M))


def _count_dimensions(ridge: RidgeGeometry, n_samples: int) -> int:
    """Return the dimensions of P C P: n minus one for the mean and one for each variable with d_j² < 1/2."""
    return n_samples - 1 - int((ridge.sigma**2 > ridge.lambda_).sum())


def _compute_sample_weights(ridge: RidgeGeometry, n_samples: int) -> Floats:
    """Return the diagonal of the projection on the dimensions of `_count_dimensions`, shape (n,)."""
    weights: Floats = 1 - 1 / n_samples - (ridge.Q[:, ridge.sigma**2 > ridge.lambda_] ** 2).sum(axis=1)
    return np.maximum(weights, 0.0)


def _estimate_spectrum(
    ridge: RidgeGeometry,
    n_snps: int,
    values: Floats,
    vectors: Floats,
    images: Floats,
    probes: Floats,
    probe_images: Floats,
) -> Spectrum:
    """Estimate the spectrum from Ritz pairs and from random probes with their images.

    With B = P C P, orthonormal V and R = B (I - V Vᵀ): tr B = tr VᵀBV + tr R and ‖B‖² = ‖B V‖² + ‖R‖² for any V. The
    first terms are known. The others are estimated from the part G of the probes S outside of V, the mean and the
    variables, with R S = B S - (B V) Vᵀ S: tr R ≈ ⟨G, R S⟩ / g, ‖R‖² ≈ ‖R S‖² / g, where g = ‖G‖² / rank. V are the
    Ritz vectors that have converged or stand clear of the bulk. Other Ritz vectors depend on the probes: if they were
    in V, the part of the probes outside of V would no longer be random.

    The diagonal is estimated in the same way (Bekas, Kokiopoulou, Saad 2007). With few probes its values for R vary
    too much, so they are shrunk towards their mean by the share of their variance that is due to the probes.

    Parameters
    ----------
    ridge : RidgeGeometry
    n_snps : int
        SNPs of the estimation set.
    values, vectors, images : ndarray of shape (m,), (n, m) and (n, m), float64
        Ritz values, decreasing, Ritz vectors, and B times these vectors.
    probes, probe_images : ndarray of shape (n, l), float64
        S, whose span is random, and B S.

    References
    ----------
    Meyer, Musco, Musco, Woodruff 2021, SOSA 142 (Hutch++).
    """
    n, n_probes = probes.shape
    Q = ridge.Q[:, ridge.sigma**2 > ridge.lambda_]
    S = _centre(probes)
    S -= Q @ (Q.T @ S)
    errors = np.linalg.norm(images - vectors * values, axis=0)
    n_dimensions = _count_dimensions(ridge, n)
    # Structure in the probes makes mean and deviation of the bulk too large; both fall as vectors are removed.
    n_out = -1
    clear = np.zeros(len(values), bool)
    while n_out < clear.sum() < n_dimensions:
        n_out = int(clear.sum())
        V, BV = vectors[:, clear], images[:, clear]
        VtS = V.T @ S
        G, R = S - V @ VtS, probe_images - BV @ VtS
        weight = max(np.vdot(G, G) / (n_dimensions - n_out), np.finfo(float).tiny)
        rest, rest_squares = np.vdot(G, R) / weight, np.vdot(R, R) / weight
        mean = rest / (n_dimensions - n_out)
        deviation = float(np.sqrt(np.maximum(rest_squares / (n_dimensions - n_out) - mean**2, 0.0)))
        distance = values - mean
        clear |= errors < CONVERGED_ERROR * distance
        clear |= (errors < CLEAR_ERROR * distance) & (distance > CLEAR_OF_BULK * deviation)
    weights = _compute_sample_weights(ridge, n)
    share = weights - (V**2).sum(axis=1)  # of a sample in the remainder
    lengths = np.maximum((G**2).sum(axis=1), np.finfo(float).tiny)
    noise = (G * R).sum(axis=1) / lengths
    # Variance of the noise that is due to the probes, which mix the other entries of its row of R into it.
    error_variance = np.maximum((R**2).sum(axis=1) / lengths - noise**2, 0.0).mean() / n_probes
    spread = max(float(noise.var()), np.finfo(float).tiny)
    noise = mean + max(1 - error_variance / spread, 0.0) * (noise - noise.mean())
    return Spectrum(
        np.maximum(values, 0.0),
        float(np.vdot(V, BV) + rest),
        float(np.vdot(BV, BV) + rest_squares),
        n_dimensions,
        np.maximum((V * BV).sum(axis=1) + noise * share, 0.0),
        weights,
        n_snps,
    )


def _draw_starting_block(n_samples: int, width: int, seed: int) -> Floats:
    """Draw the Gaussian n×l matrix with which the randomised methods begin, Ω in the literature."""
    return np.random.default_rng(seed).standard_normal((n_samples, width))


def _choose_block_width(genotypes: GenotypeMatrix, n_factors: int, options: SolverOptions) -> int:
    """Return the columns of a block of krylov or power: K + oversampling, within the rank that Y can have."""
    return min(n_factors + options.oversampling, genotypes.n_samples - 1, genotypes.n_snps)


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
    """
    n = genotypes.n_samples
    width = _choose_block_width(genotypes, n_factors, options)
    space = _RitzSpace(ridge, n, krylov_columns(n, width))
    block = _orthonormalise(_centre(_draw_starting_block(n, width, options.seed)), None)
    images, variable_images = _first_images(genotypes, ridge, block)
    probes, probe_images = block, images
    n_passes = 1
    while True:
        space.extend(block, images)
        values, W = space.ritz_pairs()
        k = min(n_factors, len(values))
        errors = space.errors(values[:k], W[:, :k])
        residuals = np.linalg.norm(errors, axis=0) / np.maximum(values[:k], np.finfo(float).tiny)
        done = k == n_factors and bool((residuals <= options.tol).all())
        if done or n_passes >= options.max_passes or space.n_columns >= n - 1:
            break
        block = _orthonormalise(ridge.project(images), space.basis)
        if block.shape[1] == 0:
            break  # P C P maps the basis into itself, so the Ritz pairs are exact
        if space.n_columns + block.shape[1] > space.most_columns:
            space.restart(values, W, n_factors + options.oversampling)
        n_passes += 1
        images = genotypes.gram_product(ridge.project(block), label=f"factors: pass {n_passes}").total()
    if len(values) < n_factors:
        values = np.pad(values, (0, n_factors - len(values)))
        W = np.pad(W, ((0, 0), (0, n_factors - W.shape[1])))
    n_seen = n_factors + options.oversampling
    seen, seen_images = space.basis @ W[:, :n_seen], space.images @ W[:, :n_seen]
    spectrum = _estimate_spectrum(
        ridge, genotypes.n_snps, values[:n_seen], seen, ridge.project(seen_images), probes, ridge.project(probe_images)
    )
    n_axes = number_of_axes(n, genotypes.n_snps, n_factors)
    axes = axes_beside_factors(ridge, seen, seen_images, variable_images, n_axes)
    W = W[:, :n_factors]
    return _form_eigenpairs(ridge, values, space.basis @ W, space.images @ W, n_factors, n_passes, spectrum, axes)


def _first_images(genotypes: GenotypeMatrix, ridge: RidgeGeometry, block: Floats) -> tuple[Floats, Floats]:
    """Return C P S of the first block S and C Q of the variables, in one pass; the axes need the latter."""
    columns = np.hstack([ridge.project(block), ridge.Q])
    images = genotypes.gram_product(columns, label="factors: pass 1").total()
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

    def restart(self, values: Floats, W: Floats, n_kept: int) -> None:
        """Replace the basis by its leading Ritz vectors, and the images by the same combinations of them."""
        n_kept = min(n_kept, self.n_columns)
        W = W[:, :n_kept]
        basis, images = self.basis @ W, self.images @ W
        self._basis[:, :n_kept], self._images[:, :n_kept] = basis, images
        self._T = np.diag(values[:n_kept])
        self.n_columns = n_kept


def _centre(block: Floats) -> Floats:
    """Return the block with the mean of each column subtracted."""
    centred: Floats = block - block.mean(axis=0)
    return centred


def solve_power(genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, options: SolverOptions) -> Eigenpairs:
    """Compute the textbook randomised SVD with q power iterations, in q + 1 passes instead of 2q + 2.

    The textbook projects P Y on an orthonormal basis of (P Y)ᵀ S with S = (P C P)^q Ω. With T = Sᵀ P C P S =
    W diag(s²) Wᵀ that projection is H = P C P S W diag(1/s), which the last pass already holds; its leading left
    singular vectors are U'.

    References: Halko, Martinsson, Tropp 2011, SIAM Rev. 53:217, algorithms 4.3 and 5.1.
    """
    width = _choose_block_width(genotypes, n_factors, options)
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
    spectrum = _estimate_spectrum(
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
