"""Latent factors: Ŵ = P⁻¹ svd_K(P Y), the choice of a solver, and the certificate of the fit.

The certificate of a fit is the residual ‖P C P u - s² u‖ / s² of each factor, computed from the data.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from lfmm2._html import html_facts, html_table
from lfmm2._typing import Floats
from lfmm2._words import counted, with_spaces
from lfmm2.errors import ConvergenceWarning, DegenerateProblemError, UsageError
from lfmm2.genotypes import GenotypeMatrix, gram_speed
from lfmm2.model.axes import FEWEST_AXES
from lfmm2.model.eigensolvers import EXACT_TOL, SolverOptions, solve_exact, solve_krylov, solve_power
from lfmm2.model.ridge import RidgeGeometry
from lfmm2.model.spectrum import RANK_TOLERANCE, Spectrum

# Passes that krylov is expected to need, for the choice of a solver and the plan; its residuals decide when it stops.
# A larger number would make `auto` choose exact more often.
KRYLOV_PASSES = 20
# Relative gap (s²_K - s²_{K+1}) / s²_K below which the K factors are not defined: any turn among the tied axes fits the
# genotypes as well, and the order of the samples may decide which is found.
TIED_GAP = 1e-6
# Most samples with which `auto` chooses exact: its Gram matrix then takes 3.0 GiB.
MOST_EXACT_SAMPLES = 20_000
# Products of the Gram matrix with a block that its eigenvectors take: 10 with clear axes, 60 if K reaches into the
# noise.
PRODUCTS = 60
SOLVE = {"exact": solve_exact, "krylov": solve_krylov, "power": solve_power}


@dataclass(frozen=True, repr=False)
class LatentFactors:
    """Estimated factors and their certificate.

    Attributes
    ----------
    U : ndarray of shape (n_samples, K), float64
        Û = P⁻¹ U'; the first k columns are the k-factor fit.
    singular_values : ndarray of shape (K,), float64
        Singular values s of P Y, decreasing.
    residuals : ndarray of shape (K,), float64
        ‖P C P u - s² u‖ / s² of each factor; for power, of the Ritz vectors before the last half step.
    angle_bound : float
        Upper bound on the sine of the angle between span(U') and the exact one: the norm of the residuals over the gap
        to the next eigenvalue seen. inf where that says nothing: where it is 1 or more, where no next eigenvalue was
        seen, or where the relative gap is below `TIED_GAP`, so that the span is not defined.
    solver : str
        The solver used: "exact", "krylov" or "power"; "none" if K = 0.
    reason : str
        Reason for this solver, in words.
    n_passes : int
        Passes over the estimation genotypes.
    converged : bool
        True if the residuals reached the tolerance; always true of power, which has no tolerance.
    loadings_map : ndarray of shape (n_samples, K), float64
        P U': the loadings of a SNP y are yᵀ P U', and its fitted factor part is Û (P U')ᵀ y.
    lambda_ : float
        Ridge penalty λ.
    standardized : bool
        True if λ was compared with standardised variables.
    next_value : float
        s²_{K+1}, the eigenvalue after those of the factors, for krylov and power a lower bound; NaN if none was seen.
    axes : ndarray of shape (n_samples, m), float64
        The m leading eigenvectors of C = Y Yᵀ, which know nothing of the variables: m is K, at least ten, if the
        samples and SNPs allow it. No column where they are unknown. `leading` does not shorten them.
    n_snps : int
        SNPs of the estimation set.
    sample_ids : tuple of str
        IID of each row of U; empty where unknown.
    spectrum : Spectrum, optional
        Eigenvalues of P Y Yᵀ P as far as the solver saw them, for `lfmm2.model.scree`; None where unknown. `leading`
        does not shorten it.
    """

    U: Floats
    singular_values: Floats
    residuals: Floats
    angle_bound: float
    solver: str
    reason: str
    n_passes: int
    converged: bool
    loadings_map: Floats
    lambda_: float
    n_snps: int
    sample_ids: tuple[str, ...] = field(default=())
    spectrum: Spectrum | None = None
    standardized: bool = False
    next_value: float = np.nan
    axes: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def __repr__(self) -> str:
        size = f"{counted(len(self.U), 'sample')}, {counted(self.n_snps, 'SNP')}"
        certificate = f", largest residual {self.residuals.max():.1e}" if self.n_factors else ""
        return f"<LatentFactors: K={self.n_factors}, {size}, {self.solver}{certificate}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: sizes, solver and certificate, and the strength of each factor."""
        facts: dict[str, object] = {
            "samples": with_spaces(len(self.U)),
            "SNPs of the estimation": with_spaces(self.n_snps),
            "solver": f"{self.solver} ({self.reason})",
            "passes": self.n_passes,
            "λ": self.lambda_,
        }
        columns = (self.singular_values.tolist(), self.gaps.tolist(), self.residuals.tolist())
        rows = ((f"factor{k}", *numbers) for k, numbers in enumerate(zip(*columns, strict=True), 1))
        table = html_table(("factor", "singular value", "gap to the next", "residual"), rows)
        return html_facts(f"LFMM2 factors, K = {self.n_factors}", facts) + table

    @property
    def n_factors(self) -> int:
        """Return K."""
        return int(self.U.shape[1])

    @property
    def gaps(self) -> Floats:
        """Return (s²_k - s²_{k+1}) / s²_k of each number of factors k from 1 to K, shape (K,); NaN where unknown."""
        values = np.append(self.singular_values**2, self.next_value)
        return np.asarray((values[:-1] - values[1:]) / values[:-1])

    def leading(self, k: int) -> LatentFactors:
        """Return the k-factor fit: the first k columns; raise UsageError if there are fewer."""
        if not 0 <= k <= self.n_factors:
            raise UsageError(f"k is {k}; these are {self.n_factors} factors")
        if k == self.n_factors:
            return self
        values = self.singular_values**2
        # The norm of the errors of k vectors is at most the root of the sum of their squares.
        error = float(np.linalg.norm(self.residuals[:k] * values[:k]))
        return replace(
            self, U=self.U[:, :k], singular_values=self.singular_values[:k], residuals=self.residuals[:k],
            angle_bound=_bound_angle(error, values[:k], values[k]), loadings_map=self.loadings_map[:, :k],
            next_value=float(values[k]),
        )  # fmt: skip


def _bound_angle(error: float, values: Floats, next_value: float) -> float:
    """Return the bound on the sine of the angle between the computed span and the exact one; inf if there is none.

    Parameters
    ----------
    error : float
        Norm of P C P u - s² u of the vectors of the span.
    values : ndarray of shape (k,)
        s² of the vectors.
    next_value : float
        The next eigenvalue; NaN if none was seen.
    """
    if len(values) == 0:
        return 0.0
    gap = float(values[-1] - next_value)
    if not gap >= TIED_GAP * float(values[-1]):
        return np.inf
    bound = error / gap
    return bound if bound < 1 else np.inf


def factor_bytes(n_samples: int, n_factors: int) -> int:
    """Return the bytes of U, of the map to loadings and of the axes."""
    return 8 * n_samples * (2 * n_factors + max(n_factors, FEWEST_AXES))


def choose_solver(
    n_samples: int, n_snps: int, n_factors: int, options: SolverOptions, speed: int = 1
) -> tuple[str, str]:
    """Choose a solver by its cost, and return it with the reason in words.

    exact costs n² p flops for the Gram matrix, which take a `speed`-th of the time of others (see `gram_speed`), and
    2 n² l flops for each of `PRODUCTS` products that find its eigenvectors. krylov costs 4 n p l flops for each of
    `KRYLOV_PASSES` passes with l = K + oversampling columns: it needs 5 to 10 if K does not exceed the axes of
    structure, 30 to 40 if K reaches into the noise. `auto` chooses exact unless it costs twice as much, since its
    answer is exact to nine digits and all that the run needs of the samples follows from the same matrix. The rule uses
    sizes only: if it used the speed or the memory of the machine, results would depend on the machine.
    """
    if options.solver != "auto":
        return options.solver, "as asked"
    if n_samples > MOST_EXACT_SAMPLES:
        return "krylov", f"more than {MOST_EXACT_SAMPLES} samples"
    width = min(n_factors + options.oversampling, n_samples)
    exact = float(n_samples) ** 2 * (n_snps / speed + 2.0 * PRODUCTS * width)
    krylov = KRYLOV_PASSES * 4.0 * n_samples * n_snps * width
    comparison = f"exact costs as much as {exact:.2g} flops, krylov about {krylov:.2g}"
    if exact <= 2 * krylov or 4 * width >= n_samples:
        return "exact", comparison
    return "krylov", comparison


def estimate_from_matrix(
    genotypes: GenotypeMatrix,
    ridge: RidgeGeometry,
    n_factors: int,
    options: SolverOptions,
    sample_ids: tuple[str, ...] = (),
) -> LatentFactors:
    """Estimate K factors of a genotype matrix given the ridge geometry of its variables.

    Parameters
    ----------
    genotypes : GenotypeMatrix
        The estimation set, n samples × p SNPs.
    ridge : RidgeGeometry
        Geometry of the variables on the same samples.
    n_factors : int
        K, 0 ≤ K < min(n, p).
    options : SolverOptions
    sample_ids : tuple of str
        IID of each sample; empty where unknown.

    Raises
    ------
    DegenerateProblemError
        If the genotypes have fewer than K independent directions.

    Warns
    -----
    ConvergenceWarning
        If krylov has not reached the tolerance.
    """
    solver, reason = choose_solver(genotypes.n_samples, genotypes.n_snps, n_factors, options, gram_speed(genotypes))
    if n_factors == 0:
        none = np.zeros((genotypes.n_samples, 0))
        zero = np.zeros(0)
        return LatentFactors(
            none, zero, zero, 0.0, "none", "no factors asked for", 0, True, none, ridge.lambda_,
            genotypes.n_snps, sample_ids, standardized=ridge.standardized, axes=np.zeros((genotypes.n_samples, 0)),
        )  # fmt: skip
    pairs = SOLVE[solver](genotypes, ridge, n_factors, options)
    largest = pairs.values[0]
    if not largest > 0 or pairs.values[-1] <= RANK_TOLERANCE * largest:
        rank = int((pairs.values > RANK_TOLERANCE * max(largest, 0.0)).sum()) if largest > 0 else 0
        raise DegenerateProblemError(
            f"the estimation genotypes have {rank} independent direction(s) beside the variables, "
            f"but K = {n_factors}; lower K or estimate from more columns of genotypes"
        )
    residuals = np.linalg.norm(pairs.errors, axis=0) / pairs.values
    angle_bound = _bound_angle(float(np.linalg.norm(pairs.errors, 2)), pairs.values, pairs.next_value)
    # The sign of a factor is arbitrary; its largest entry is made positive, so that solvers agree.
    signs = np.sign(pairs.vectors[np.abs(pairs.vectors).argmax(axis=0), np.arange(n_factors)])
    loadings_map = ridge.project(pairs.vectors * signs)
    factors = LatentFactors(
        U=pairs.U * signs,
        singular_values=np.sqrt(pairs.values),
        residuals=residuals,
        angle_bound=angle_bound,
        solver=solver,
        reason=reason,
        n_passes=pairs.n_passes,
        converged=pairs.converged,
        loadings_map=loadings_map,
        lambda_=ridge.lambda_,
        n_snps=genotypes.n_snps,
        sample_ids=sample_ids,
        spectrum=replace(pairs.spectrum, vectors=loadings_map),
        standardized=ridge.standardized,
        next_value=pairs.next_value,
        axes=pairs.axes,
    )
    warn_unless_converged(factors, options.tol)
    return factors


def compute_spectrum(
    genotypes: GenotypeMatrix, ridge: RidgeGeometry, n_factors: int, solver: str, options: SolverOptions
) -> Spectrum:
    """Compute the spectrum that a fit of K factors would have, without the factors.

    The genotypes may have fewer than K independent directions; K < n and K ≤ p. `solver` is "exact", "krylov" or
    "power"; other parameters are those of `estimate_from_matrix`. Without a fit there is nothing to certify, so there
    is no warning if krylov stops early: its Ritz values are then lower bounds.
    """
    pairs = SOLVE[solver](genotypes, ridge, n_factors, options)
    return replace(pairs.spectrum, vectors=ridge.project(pairs.vectors))


def warn_unless_converged(factors: LatentFactors, tol: float) -> None:
    """Warn if the residuals of the factors are above the tolerance."""
    if factors.converged:
        return
    fact = f"{factors.solver}: the largest residual is {factors.residuals.max():.1e}"
    if factors.solver == "exact":
        text = f"{fact}, above {min(tol, EXACT_TOL):.1e}; lower K"
    else:
        remedy = "lower K, raise oversampling or tol, or use solver='exact'"
        text = f"{fact} after {factors.n_passes} passes, above tol = {tol:.1e}; {remedy}"
    warnings.warn(text, ConvergenceWarning, stacklevel=4)
