"""The public functions: LFMM2 in one call, or its two halves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from lfmm2._typing import AnyPath
from lfmm2.genotypes import GenotypeSource
from lfmm2.model import LatentFactors, SolverOptions
from lfmm2.pipeline import (
    OutputOptions,
    RunOptions,
    SampleOptions,
    SnpOptions,
    TestOptions,
    execute_estimation,
    execute_run,
    prepare_run,
)
from lfmm2.process import Progress
from lfmm2.results import AssociationResult


def run(
    est_bed: GenotypeSource | None,
    full_bed: GenotypeSource,
    X: Any,
    K: int | None = None,
    *,
    sweep: str | Sequence[int] | None = None,
    lambda_: float = 1e-5,
    solver: str = "auto",
    tol: float = 1e-4,
    n_power_iter: int = 2,
    oversampling: int = 10,
    est_rate: float | None = None,
    scale: str | None = None,
    df: str = "paper",
    calibrate: str = "gif",
    impute: str = "mean",
    count_allele: str = "a2",
    seed: int = 0,
    n_threads: int | None = None,
    memory: int | str | None = None,
    out: AnyPath | None = None,
    format: str = "parquet",
    progress: bool | Progress = False,
    covar: Any = None,
    est_extract: AnyPath | Collection[str] | None = None,
    est_thin: str | None = None,
    extract: AnyPath | Collection[str] | None = None,
    exclude: AnyPath | Collection[str] | None = None,
    maf: float | None = None,
    geno: float | None = None,
    keep: AnyPath | None = None,
    remove: AnyPath | None = None,
    missing_code: float | str | None = None,
    missing: str = "error",
    variables: str | Sequence[str] | None = None,
    intersect: bool = False,
    loadings: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> AssociationResult:
    """Fit LFMM2 and test every SNP for association with every variable, given the latent factors.

    Y = X Bᵀ + U Vᵀ + E: U is estimated by minimising ‖Y - U Vᵀ - X Bᵀ‖² + λ‖B‖² (Eq. 2), then each SNP is regressed on
    [X | Û] and its t statistics are calibrated by the genomic inflation factor.

    Parameters
    ----------
    est_bed : path, BedFile, ndarray (n_samples, n_snps) or None
        Genotypes from which the factors are estimated, such as an LD-pruned fileset; those of `full_bed` if None.
        Samples are matched by ID and may stand in any order.
    full_bed : path, BedFile or ndarray (n_samples, n_snps)
        Genotypes to test: a PLINK .bed with its .bim and .fam, or numbers in memory with NaN where missing.
    X : path, DataFrame, pyarrow.Table or ndarray (n_samples,) or (n_samples, d)
        Variables: a CSV or TSV with sample IDs, a table indexed by IID, or an array in the order of the .fam.
    K : int, optional
        Number of latent factors. In a sweep it may be left to the scree.
    sweep : str or sequence of int, optional
        Numbers of factors to compare, such as "1:20" or (2, 4, 8): calibration, discoveries and p-values with each of
        them, from the same passes, missing calls at the mean. The tables are those of K.
    lambda_ : float
        Ridge penalty on the effect sizes, > 0.
    solver : {"auto", "exact", "krylov", "power"}
        "exact" takes the Gram matrix and its eigenvectors, "krylov" iterates until the residuals are below `tol`,
        "power" is the randomised SVD with `n_power_iter` power iterations. "auto" chooses between the first two.
    tol : float
        Relative residual that krylov must reach.
    n_power_iter, oversampling : int
        Of power; `oversampling` also widens the blocks of krylov.
    est_rate : float, optional
        Share of SNPs to estimate from: a seeded random subset of round(est_rate * p).
    scale : {None, "hwe"}
        "hwe" scales SNPs by 1/sqrt(2f(1-f)) in the estimation of the factors.
    df : {"paper", "intercept"}
        Degrees of freedom n - d - K as in the paper, or one less for the mean as in lm(), LEA and plink2.
    calibrate : {"gif", "empirical-null", "none"}
        What the null distribution of the statistics is taken from: the genomic inflation factor, a normal fitted to
        their centre, or theory alone.
    impute : {"mean", "factors"}
        What missing calls of a tested SNP become: its mean, or its fit to the factors by the samples that are called.
        Factors are estimated with means.
    count_allele : {"a2", "a1"}
        Allele of the .bim that dosages, effects and frequencies count.
    seed : int
        Of the random subset, of the starting block of krylov and power, and of the calls that `impute` holds out.
    n_threads : int, optional
        All available processors by default. Results do not depend on it.
    memory : int or str, optional
        Budget in bytes, or text such as "4GB"; half of the free memory by default. Results do not depend on it.
    out : path, optional
        Prefix of the result files. Without it the results stay in memory.
    format : {"parquet", "tsv", "tsv.gz", "tsv.zst"}
        Of the tables.
    progress : bool or Progress
        Whether to show progress on stderr.
    covar : as X, optional
        Nuisance variables: adjusted for like the others, not reported.
    est_extract, extract, exclude : path or collection of str, optional
        IDs of the SNPs to estimate from, to use, and not to use.
    est_thin : str, optional
        Estimate from SNPs of which no two within a window are correlated above a threshold: "r2=0.2,window=200" counts
        SNPs, "r2=0.2,window=500kb" bases.
    maf, geno : float, optional
        Drop SNPs with a minor allele frequency below `maf`, or a missing rate above `geno`, among the samples in use.
        An `est_bed` of its own is not filtered.
    keep, remove : path, optional
        Lists of samples to use, or not to use.
    missing_code : float or str, optional
        A value of X and `covar` that means missing, such as -9.
    missing : {"error", "drop", "mean"}
        What to do with samples that have a row of X or `covar` but lack a value: stop, leave them out, or take the mean
        of the variable over the samples in use that have it.
    variables : str or sequence of str, optional
        The columns of X to use, in this order: "temperature,rain". All by default.
    intersect : bool
        Use the samples that have all variables, instead of raising an error when some have not.
    loadings : bool
        Also compute the loadings V.
    overwrite : bool
        Replace the result files of an earlier run, and remove those that this one does not write.
    resume : bool
        Go on with an unfinished run of the same inputs and parameters, whose state lies in ``<out>.state``; the files
        are those that it would have written, byte for byte. Begin where there is none; do nothing where the run is
        complete.

    Returns
    -------
    AssociationResult

    Raises
    ------
    LfmmError
        One of its children, before the first pass over the genotypes, when inputs are damaged, do not fit together or
        leave nothing to estimate; when reading or writing fails during the run.

    Notes
    -----
    Passes over the estimation set: 1 (exact), until convergence (krylov), q + 1 (power), one more for `est_thin`; one
    over all SNPs for the tests of every K, one more for `maf` and `geno`.
    Memory: a few blocks of packed genotypes, and n × n numbers for exact or n × (K + oversampling) × passes for krylov.

    References
    ----------
    Caye, Jumentier, Lepeule, François 2019, Mol. Biol. Evol. 36:852.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> data = lfmm2.simulate(pathlib.Path(tempfile.mkdtemp()) / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> result = lfmm2.run(None, data.bed, data.env, K=3)
    >>> result.t.shape
    (2000, 2)
    """
    options = RunOptions(
        lambda_=lambda_,
        seed=seed,
        n_threads=n_threads,
        memory=memory,
        test=TestOptions(df, sweep, calibrate, impute, loadings),
        solver=SolverOptions(solver, tol, n_power_iter, oversampling, seed),
        samples=SampleOptions(keep, remove, missing_code, intersect, missing, variables),
        snps=SnpOptions(extract, exclude, maf, geno, est_rate, est_extract, scale, count_allele, est_thin),
        output=OutputOptions(out, format, overwrite, resume),
        progress=progress,
    )
    with prepare_run(est_bed, full_bed, X, K, options, covar) as prepared:
        return execute_run(prepared)


def estimate_factors(
    bed: GenotypeSource,
    X: Any,
    K: int,
    *,
    lambda_: float = 1e-5,
    solver: str = "auto",
    tol: float = 1e-4,
    n_power_iter: int = 2,
    oversampling: int = 10,
    est_rate: float | None = None,
    scale: str | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    memory: int | str | None = None,
    progress: bool | Progress = False,
    covar: Any = None,
    est_extract: AnyPath | Collection[str] | None = None,
    est_thin: str | None = None,
    keep: AnyPath | None = None,
    remove: AnyPath | None = None,
    missing_code: float | str | None = None,
    missing: str = "error",
    variables: str | Sequence[str] | None = None,
    intersect: bool = False,
) -> LatentFactors:
    """Estimate the latent factors alone; parameters as in `run`.

    Returns
    -------
    LatentFactors
        Its first k columns are the k-factor fit for every k ≤ K.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> data = lfmm2.simulate(pathlib.Path(tempfile.mkdtemp()) / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> factors = lfmm2.estimate_factors(data.bed, data.env, K=3)
    >>> factors.U.shape
    (100, 3)
    """
    options = RunOptions(
        lambda_=lambda_,
        seed=seed,
        n_threads=n_threads,
        memory=memory,
        solver=SolverOptions(solver, tol, n_power_iter, oversampling, seed),
        samples=SampleOptions(keep, remove, missing_code, intersect, missing, variables),
        snps=SnpOptions(est_rate=est_rate, est_extract=est_extract, scale=scale, est_thin=est_thin),
        progress=progress,
        command="lfmm2.estimate_factors",
        tests=False,
    )
    with prepare_run(None, bed, X, K, options, covar) as prepared:
        return execute_estimation(prepared)


def test_associations(
    bed: GenotypeSource,
    X: Any,
    factors: LatentFactors,
    *,
    sweep: str | Sequence[int] | None = None,
    df: str = "paper",
    calibrate: str = "gif",
    impute: str = "mean",
    count_allele: str = "a2",
    n_threads: int | None = None,
    memory: int | str | None = None,
    out: AnyPath | None = None,
    format: str = "parquet",
    progress: bool | Progress = False,
    covar: Any = None,
    extract: AnyPath | Collection[str] | None = None,
    exclude: AnyPath | Collection[str] | None = None,
    maf: float | None = None,
    geno: float | None = None,
    keep: AnyPath | None = None,
    remove: AnyPath | None = None,
    missing_code: float | str | None = None,
    missing: str = "error",
    variables: str | Sequence[str] | None = None,
    intersect: bool = False,
    loadings: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> AssociationResult:
    """Test every SNP given factors estimated before; parameters as in `run`.

    The variables must be those that the factors were estimated with, and the samples the same in any order; λ is that
    of the factors.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> data = lfmm2.simulate(pathlib.Path(tempfile.mkdtemp()) / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> factors = lfmm2.estimate_factors(data.bed, data.env, K=3)
    >>> lfmm2.test_associations(data.bed, data.env, factors.leading(2)).t.shape
    (2000, 2)
    """
    options = RunOptions(
        lambda_=factors.lambda_,
        n_threads=n_threads,
        memory=memory,
        test=TestOptions(df, sweep, calibrate, impute, loadings),
        samples=SampleOptions(keep, remove, missing_code, intersect, missing, variables),
        snps=SnpOptions(extract, exclude, maf, geno, count_allele=count_allele),
        output=OutputOptions(out, format, overwrite, resume),
        progress=progress,
        command="lfmm2.test_associations",
    )
    with prepare_run(None, bed, X, factors, options, covar) as prepared:
        return execute_run(prepared)


# pytest collects functions by this prefix; it is no test
test_associations.__test__ = False  # type: ignore[attr-defined]
