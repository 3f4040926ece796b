"""The public functions: LFMM2 in one call, or its two halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lfmm2._checks import is_whole, quoted
from lfmm2._choices import (
    Allele,
    Calibration,
    DecimalMark,
    DegreesOfFreedom,
    Imputation,
    Missing,
    Scale,
    Solver,
    TableFormat,
)
from lfmm2._typing import AnyPath, ListedSnps, MissingCalls, MissingCode, Paths
from lfmm2.errors import UsageError
from lfmm2.genotypes import GenotypesLike
from lfmm2.model import LatentFactors
from lfmm2.pipeline import RunOptions, execute_estimation, execute_run, genotypes_of_two_names, prepare_run
from lfmm2.process import Progress
from lfmm2.results import AssociationResult


def run(
    est_bed: GenotypesLike | None = None,
    full_bed: GenotypesLike | None = None,
    X: Any = None,
    K: int | None = None,
    *,
    Y: GenotypesLike | None = None,
    sweep: str | Sequence[int] | None = None,
    k_thin: str = "r2=0.2,window=200",
    lambda_: float | str = 1e-5,
    sweep_lambda: str | float | Sequence[str | float] | None = None,
    standardize: bool = True,
    solver: Solver = "auto",
    tol: float = 1e-4,
    n_power_iter: int = 2,
    oversampling: int = 10,
    est_rate: float | None = None,
    scale: Scale | None = None,
    df: DegreesOfFreedom = "intercept",
    calibrate: Calibration = "student",
    surrogates: int | str = "auto",
    marginal: bool = False,
    min_carriers: float | None = None,
    spa: bool = False,
    impute: Imputation = "mean",
    count_allele: Allele = "a2",
    seed: int = 0,
    n_threads: int | None = None,
    memory: int | str | None = None,
    workers: int | None = None,
    executor: Any = None,
    out: AnyPath | None = None,
    format: TableFormat = "parquet",
    progress: bool | Progress = False,
    covar: Any = None,
    est_extract: ListedSnps | None = None,
    est_thin: str | None = None,
    extract: ListedSnps | None = None,
    exclude: ListedSnps | None = None,
    maf: float | None = None,
    geno: float | None = None,
    keep: Paths | None = None,
    remove: Paths | None = None,
    missing_code: MissingCode | None = None,
    decimal: DecimalMark = ".",
    ploidy: int | None = None,
    missing_genotype: MissingCalls | None = None,
    hard_calls: bool = False,
    sample: AnyPath | None = None,
    missing: Missing = "error",
    variables: str | Sequence[str] | None = None,
    covar_variables: str | Sequence[str] | None = None,
    env_by: str | None = None,
    coords: str | Sequence[str] | None = None,
    categorical: str | Sequence[str] | None = None,
    intersect: bool = False,
    mind: float | None = None,
    drop_duplicates: bool = False,
    loadings: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> AssociationResult:
    """Fit LFMM2 and test every SNP for association with every variable, given the latent factors.

    Y = X Bᵀ + U Vᵀ + E: U is estimated by minimising ‖Y - U Vᵀ - X Bᵀ‖² + λ‖B‖² (Eq. 2), then each SNP is regressed on
    [X | Û] and its t statistics are calibrated by the genomic
    inflation factor.

    Parameters
    ----------
    est_bed : path, BedFile, other source, a list of these, ndarray (n_samples, n_snps) or None
        Genotypes from which the factors are estimated, such as an LD-pruned fileset; those of `full_bed` if None.
        Samples are matched by ID and may stand in any order.
    full_bed : path, BedFile, other source, a list of these, or ndarray or DataFrame (n_samples, n_snps)
        Genotypes to test: a PLINK .bed with its .bim and .fam, a .pgen with its .pvar and .psam (see `hard_calls`), a
        BGEN (see `sample`), or numbers in memory with NaN (or the mask of a masked array) where missing. Several
        filesets, such as one for each chromosome, are read as one: those of a list, or those that a pattern fits, as
        "chr@.bed", in which @ stands for a chromosome or another text. The index of a DataFrame has sample IDs, by
        which X and `est_bed` are matched to it, and its columns SNP IDs; a RangeIndex is none. Frames of other
        libraries, AnnData, xarray, sparse and stored arrays bring their names too, and `lfmm2.named_array` gives names
        and positions to any. See `ploidy`.
    X : path, DataFrame, pyarrow.Table, a list of these, or ndarray (n_samples,) or (n_samples, d)
        Variables: a CSV, TSV, Parquet or Feather file with sample IDs (text may be compressed with gzip, bzip2 or
        zstd), a table with sample IDs in a column or as its index, or an array in the order of the .fam. The IDs are in
        the column IID, else in the one that has those of the .fam; the index that pandas makes is none. Several tables
        are joined by sample: a sample needs a row in each, and no two may have a column of one name.
    K : int, optional
        Number of latent factors. In a sweep it may be left to the scree.
    Y : as `full_bed`, optional
        Another name of `full_bed`, that of the formula: ``run(Y=genotypes, X=variables, K=5)``.
    sweep : str or sequence of int, optional
        Numbers of factors to compare, such as "1:20" or (2, 4, 8): calibration, discoveries and p-values with each of
        them, from the same passes, missing calls at the mean. The tables are those of K.
    k_thin : str
        In a sweep, K is suggested from SNPs of which no two within a window are correlated above a threshold, because
        long blocks of linked SNPs look like structure: "r2=0.2,window=200" counts SNPs, "r2=0.2,window=500kb" bases,
        "off" takes all SNPs of the estimation. It needs a .bed with positions; the factors are not changed by it.
    lambda_ : float or str
        Ridge penalty on the effect sizes, > 0: a number, or a multiple of the variance such as "1x", which is λ = n.
    sweep_lambda : str, float or sequence of these, optional
        Ridge penalties to compare in the sweep with that of the run, such as "1e-5,0.3x,1x": GIF, discoveries and R² of
        every K with each of them. By default "1x" where the solver is exact; name `lambda_` alone for no other. Without
        a sweep they are compared for K.
    standardize : bool
        Compare λ with variables of variance 1, so that no unit changes an answer; False is Eq. 2 on the variables as
        given, as R's LEA and lfmm.
    solver : {"auto", "exact", "krylov", "power"}
        "exact" takes the Gram matrix and its eigenvectors, "krylov" iterates until the residuals are below `tol`,
        "power" is the randomised SVD with `n_power_iter` power iterations. "auto" chooses between the first two.
    tol : float
        Relative residual that "krylov" must reach.
    n_power_iter, oversampling : int
        Power iterations, and columns beyond K, of "power"; `oversampling` also widens the blocks of "krylov".
    est_rate : float, optional
        Share of SNPs to estimate from: a seeded random subset of round(est_rate * p).
    scale : {None, "hwe"}
        "hwe" scales SNPs by 1/sqrt(2f(1-f)) in the estimation of the factors.
    df : {"intercept", "paper"}
        Degrees of freedom n - 1 - d - K, which count the mean as lm(), LEA and plink2 do, or n - d - K as in the paper.
    calibrate : {"student", "chi2", "empirical-null", "none"}
        Source of the null distribution of the statistics: Student's t widened by the genomic inflation factor, χ²
        widened by it as in R's lfmm, a normal fitted to their centre, or theory alone.
    min_carriers : float, optional
        Effective carriers below which t of a SNP and variable is not Student's: the SNP then takes no part in the
        calibration, and has no calibrated p, q and local FDR for this variable. By default 10, and 0, which calibrates
        all, with "chi2" as in R.
    spa : bool
        Test these SNPs too, by a saddlepoint approximation of the distribution of their score, for which calls must be
        those of diploids. The joint test does without them.
    surrogates : int or "auto"
        Number of surrogate variables, which have random signs on the axes of structure and are associated with no SNP:
        with `calibrate` "student" their statistics tell how heavy the tails are. They need the solver "exact", a
        further Gram matrix and a further pass of tests. "auto" draws five where a variable follows structure or is
        inflated. 0 draws none.
    marginal : bool
        Test each variable alone too, without the other ones, given the same factors and nuisance variables: columns
        T_MARGINAL, P_MARGINAL and NEG_LOG10_P_MARGINAL, from the same pass.
    impute : {"mean", "factors"}
        Value of the missing calls of a tested SNP: its mean, or its fit to the factors by the samples that are called.
        Factors are always estimated with means.
    count_allele : {"a2", "a1"}
        Allele of the .bim that dosages, effects and frequencies count. Of a .pgen A2 is REF and A1 is ALT, of a BGEN A2
        is the second allele.
    seed : int
        Seed of the random subset, of the starting block of krylov and power, and of the calls that `impute` holds out.
    n_threads : int, optional
        All available processors by default; of each worker, where there are some. Results do not depend on it.
    memory : int or str, optional
        Budget in bytes, or text such as "4GB"; half of what is free for the process by default. Results do not depend
        on it.
    workers : int, optional
        Processes of this machine that share the passes and write to `out`; they share the budget. A script that gives
        it is guarded by ``if __name__ == "__main__":``, because the processes import it.
    executor : object, optional
        Executor whose workers do the passes instead, on this machine or others, or a function that makes one:
        ``submit(fn, *args)`` returns a Future (PEP 3148). Its workers see the genotypes and `out` under the same paths.
        Results do not depend on it.
    out : path, optional
        Prefix of the result files. Without it the results stay in memory.
    format : {"parquet", "tsv", "tsv.gz", "tsv.zst"}
        Format of the result tables.
    progress : bool or Progress
        True shows progress on stderr; a `Progress` receives it instead.
    covar : as X, optional
        Nuisance variables, which the tests adjust for and do not report.
    est_extract, extract, exclude : path, or collection of str or of os.PathLike, optional
        IDs of the SNPs to estimate from, to use, and not to use: a file, several files whose IDs are taken together, or
        the IDs themselves.
    est_thin : str, optional
        Estimate from SNPs of which no two within a window are correlated above a threshold: "r2=0.2,window=200" counts
        SNPs, "r2=0.2,window=500kb" bases.
    maf, geno : float, optional
        Drop SNPs with a minor allele frequency below `maf`, or a missing rate above `geno`, among the samples in use.
        An `est_bed` of its own is not filtered.
    keep, remove : path or list of paths, optional
        Files of samples to use, or not to use; of several files, the samples that any of them lists.
    missing_code : float or str, or a list of these, optional
        A value of X and `covar` that means missing, such as -9, beside an empty cell, NaN, NA, N/A, NULL and None.
    decimal : {".", ","}
        Decimal mark of the numbers in tables of text, such as the comma of Excel in many countries; columns are then
        separated by semicolons or tabs.
    ploidy : int, optional
        Ploidy of genotypes given as an array: values outside of 0 to `ploidy` are refused, and frequencies of alleles
        are mean / ploidy. None for numbers that are no dosages, such as methylation; frequencies are then missing,
        unless all values are 0, 1 and 2, with a 2 among them.
    missing_genotype : float or a list of these, optional
        Values of such an array that mean missing, such as 9 (LEA) or -1 (scikit-allel). An empty list says that there
        is none. By default an array with a value that looks like a code of missing calls is refused.
    hard_calls : bool
        Read the hard calls of a .pgen that has dosages too. By default its dosages are read, as plink2 --glm does.
    sample : path, optional
        The .sample with the IDs of the samples of a BGEN; by default those in the BGEN itself.
    missing : {"error", "drop", "mean"}
        Treatment of samples that have a row of X or `covar` but lack a value: stop, leave them out, or take the mean
        of the variable over the samples in use that have it.
    variables : str or sequence of str, optional
        The columns of X to use, in this order: "temperature,rain". All by default, table by table.
    covar_variables : str or sequence of str, optional
        The columns of `covar` to use, as `variables`.
    env_by : str, optional
        Column of the samples that has the population of each, such as "FID": each row of X is then of a population,
        and all samples of it get the row. Of a .fam also "PAT", "MAT", "SEX" and "PHENO1".
    coords : str or sequence of str, optional
        Two columns of X that are coordinates, "lon,lat": they are not tested, and may be missing. The factors file
        keeps them.
    categorical : str or sequence of str, optional
        The columns of X and `covar` that are categories: "sex,batch". Each becomes an indicator (0 or 1) for each level
        but the first in sorted order, named as "sex=M".
    intersect : bool
        Use the samples that have all variables, and are in all of several filesets that are read as one, instead of
        raising an error when some have not.
    mind : float, optional
        Leave out samples whose share of missing calls, over the SNPs to test, is above this; PLINK takes 0.1. A sample
        that lacks more than half of its calls is warned of in any case.
    drop_duplicates : bool
        Keep one of the samples that repeat a genotype (duplicates, clones): that with the fewest missing calls, the
        first of these. Samples that repeat another are warned of in any case, and listed in ``<out>.samples.tsv``.
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
    Passes over the estimation set: 1 (exact), until convergence (krylov), q + 1 (power), one more for `est_thin`; for
    `k_thin` one more, and as many as for the factors over the SNPs that are left; one over all SNPs for the tests of
    every K, one more for `maf` and `geno`, one more for `mind`; one over at most 8 192 SNPs to compare the samples.
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
    if is_whole(X):
        fact = f"X, the variables, is the number {quoted(X)}, and the genotypes of the factors come first"
        raise UsageError(f"{fact}; write lfmm2.run(Y=genotypes, X=variables, K={quoted(X)})")
    options = RunOptions.from_arguments(locals(), "lfmm2.run")
    if X is None and Y is None and full_bed is not None and est_bed is not None:
        fact = "X, the variables, is not given, and of genotypes without names those of the factors come first"
        raise UsageError(f"{fact}; write lfmm2.run(Y=genotypes, X=variables, K=5)")
    genotypes = genotypes_of_two_names(full_bed, Y, "full_bed")
    with prepare_run(est_bed, genotypes, X, K, options, covar) as prepared:
        return execute_run(prepared)


def estimate_factors(
    bed: GenotypesLike | None = None,
    X: Any = None,
    K: int | None = None,
    *,
    Y: GenotypesLike | None = None,
    lambda_: float | str = 1e-5,
    standardize: bool = True,
    solver: Solver = "auto",
    tol: float = 1e-4,
    n_power_iter: int = 2,
    oversampling: int = 10,
    est_rate: float | None = None,
    scale: Scale | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    memory: int | str | None = None,
    progress: bool | Progress = False,
    covar: Any = None,
    est_extract: ListedSnps | None = None,
    est_thin: str | None = None,
    keep: Paths | None = None,
    remove: Paths | None = None,
    missing_code: MissingCode | None = None,
    decimal: DecimalMark = ".",
    ploidy: int | None = None,
    missing_genotype: MissingCalls | None = None,
    hard_calls: bool = False,
    sample: AnyPath | None = None,
    missing: Missing = "error",
    variables: str | Sequence[str] | None = None,
    covar_variables: str | Sequence[str] | None = None,
    env_by: str | None = None,
    coords: str | Sequence[str] | None = None,
    categorical: str | Sequence[str] | None = None,
    intersect: bool = False,
    mind: float | None = None,
    drop_duplicates: bool = False,
) -> LatentFactors:
    """Estimate the latent factors alone; parameters as in `run`, and so are errors.

    `bed` are the genotypes, and `Y` is another name of it; X and K must be given.

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
    options = RunOptions.from_arguments(locals(), "lfmm2.estimate_factors", tests=False)
    genotypes = genotypes_of_two_names(bed, Y, "bed")
    with prepare_run(None, genotypes, X, K, options, covar) as prepared:
        return execute_estimation(prepared)


def test_associations(
    bed: GenotypesLike | None = None,
    X: Any = None,
    factors: LatentFactors | None = None,
    *,
    Y: GenotypesLike | None = None,
    sweep: str | Sequence[int] | None = None,
    df: DegreesOfFreedom = "intercept",
    calibrate: Calibration = "student",
    marginal: bool = False,
    min_carriers: float | None = None,
    spa: bool = False,
    impute: Imputation = "mean",
    count_allele: Allele = "a2",
    n_threads: int | None = None,
    memory: int | str | None = None,
    workers: int | None = None,
    executor: Any = None,
    out: AnyPath | None = None,
    format: TableFormat = "parquet",
    progress: bool | Progress = False,
    covar: Any = None,
    extract: ListedSnps | None = None,
    exclude: ListedSnps | None = None,
    maf: float | None = None,
    geno: float | None = None,
    keep: Paths | None = None,
    remove: Paths | None = None,
    missing_code: MissingCode | None = None,
    decimal: DecimalMark = ".",
    ploidy: int | None = None,
    missing_genotype: MissingCalls | None = None,
    hard_calls: bool = False,
    sample: AnyPath | None = None,
    missing: Missing = "error",
    variables: str | Sequence[str] | None = None,
    covar_variables: str | Sequence[str] | None = None,
    env_by: str | None = None,
    coords: str | Sequence[str] | None = None,
    categorical: str | Sequence[str] | None = None,
    intersect: bool = False,
    mind: float | None = None,
    drop_duplicates: bool = False,
    loadings: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> AssociationResult:
    """Test every SNP given factors estimated before; parameters as in `run`, and so are errors.

    `bed` are the genotypes, and `Y` is another name of it; X and `factors` must be given. The variables must be those
    that the factors were estimated with, and the samples the same in any order; λ is that of the factors.

    Returns
    -------
    AssociationResult

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> data = lfmm2.simulate(pathlib.Path(tempfile.mkdtemp()) / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> factors = lfmm2.estimate_factors(data.bed, data.env, K=3)
    >>> lfmm2.test_associations(data.bed, data.env, factors.leading(2)).t.shape
    (2000, 2)
    """
    options = RunOptions.from_arguments(locals(), "lfmm2.test_associations")
    genotypes = genotypes_of_two_names(bed, Y, "bed")
    if factors is None:
        raise UsageError("factors are not given; give those of lfmm2.estimate_factors or lfmm2.read_factors")
    with prepare_run(None, genotypes, X, factors, options, covar) as prepared:
        return execute_run(prepared)


# pytest collects functions by the prefix test_, but this one is no test.
test_associations.__test__ = False  # type: ignore[attr-defined]
