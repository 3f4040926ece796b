"""The options of a run, each defined once, in `TABLE`.

The command line, its help, the checks, the identity of a run, the parameters in the record and ``docs/options.md`` come
from the table. The public functions have signatures of their own, and a test compares these with the table. The help of
the command line imports this module, so it loads no library that takes long.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any

from lfmm2._checks import are, is_count, is_executor, is_flag, is_id, is_number, is_path, is_whole, quoted
from lfmm2._choices import (
    ALLELES,
    CALIBRATIONS,
    CALIBRATIONS_RULE,
    DECIMAL_MARKS,
    DEGREES_OF_FREEDOM,
    DEGREES_OF_FREEDOM_RULE,
    DOSAGE_FIELDS,
    IMPUTATIONS,
    MISSING,
    SCALES,
    SIDES,
    SOLVERS,
    TABLE_FORMATS,
)
from lfmm2.errors import UsageError

# The kind of an option's value; where the value is one of several words, the tuple of the words is its kind. NAMES are
# separated by commas. SNP_LIST is a path on the command line, and in Python a path or a collection of SNP IDs. PENALTY
# is a number, or a multiple as 1x. COUNT is a whole number up to `MOST_COUNT`, or auto. A flag of the command line
# gives the value that is not the default. EXECUTOR is for Python alone.
PATH, SNP_LIST, TEXT, NAMES, WHOLE, NUMBER, PENALTY, COUNT, FLAG, EXECUTOR = (
    "path", "list of SNPs", "text", "names", "whole number", "number", "number or multiple",
    "whole number or auto", "flag", "executor",
)  # fmt: skip

INPUT, SAMPLES, SNPS, FACTORS, TESTS, OUTPUT, RESOURCES = SECTIONS = (
    "Input", "Samples", "SNPs", "Factors", "Tests", "Output", "Resources",
)  # fmt: skip

# Largest COUNT: each costs a fit and columns of a pass, so that a larger number is a mistake.
MOST_COUNT = 1000

# Names of the Python functions that have an option as a parameter.
ALL_FUNCTIONS = ("run", "estimate_factors", "test_associations")
OF_FACTORS = ("run", "estimate_factors")
OF_TESTS = ("run", "test_associations")
ONLY_RUN = ("run",)
NO_FUNCTION = ()


@dataclass(frozen=True)
class Range:
    """An interval of numbers. `above` excludes the lower end from it, and `below` the upper end."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, Real):
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        is_above = number > self.low if self.above else number >= self.low
        return is_above and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'from'} {self.low:g}"
        if math.isinf(self.high):
            return low if self.above else f"at least {self.low:g}"
        return f"{low} to {'below ' if self.below else ''}{self.high:g}"


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Parameter of the Python functions; in the record without an underscore at its end.
    flags : str
        Flags of the command line, such as "-K, --factors"; empty if it has none.
    kind : str or tuple of str
        One of the kinds above, or the words that the value may be.
    help : str
        Sentence for `--help` and the page of options.
    section : str
        Heading of the option in `--help` and on the page of options.
    default : object
    range : Range, optional
        Range of a number.
    rule : str
        End of the message about a value that is none of the words or outside of the range.
    metavar : str, optional
        Name of the value in `--help`.
    required : bool
        True if the command line must have it.
    repeatable : bool
        True if it may be given several times, or as a list in Python; otherwise giving it twice is an error.
    functions : tuple of str
        Python functions that have it as a parameter.
    changes_results : bool
        True if it is part of the identity of a run. Options that only choose samples, SNPs or variables are not part of
        it, because the chosen samples, SNPs and variables are.
    """

    name: str
    flags: str
    kind: str | tuple[str, ...]
    _: KW_ONLY
    help: str
    section: str = "Options"
    default: Any = None
    range: Range | None = None
    rule: str = ""
    metavar: str | None = None
    required: bool = False
    repeatable: bool = False
    functions: tuple[str, ...] = ALL_FUNCTIONS
    changes_results: bool = True

    def check_type(self, value: Any) -> None:
        """Raise UsageError if a value is of another type than the option."""
        if value is None and self.default is None:
            return
        if isinstance(self.kind, tuple):
            fits, remedy = isinstance(value, str) and value in self.kind, f"it is one of {', '.join(self.kind)}"
        else:
            is_one, remedy = _TYPES_OF_KINDS[self.kind]
            fits = is_one(value) or ((self.repeatable or self.kind == NAMES) and are(value, is_one))
        if not fits:
            raise UsageError(f"{self.name} is {quoted(value)}; {self.rule or remedy}")

    def check(self, value: Any) -> None:
        """Raise UsageError if a value is of another type, none of the words or outside of the range."""
        self.check_type(value)
        if value is None and self.default is None:
            return
        if self.range is not None and value not in self.range:
            raise UsageError(f"{self.name} is {value}; {self.rule or f'it is a number {self.range}'}")

    def plain(self, value: Any) -> Any:
        """Return a value as the record shows it, in terms of JSON."""
        if hasattr(value, "item") and not getattr(value, "ndim", 0):  # This is a scalar of NumPy.
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if not isinstance(value, Collection):
            return str(value)
        if self.kind == SNP_LIST and not all(isinstance(item, os.PathLike) for item in value):
            return f"{len(value)} IDs"
        items = [self.plain(item) for item in value]
        return ",".join(items) if self.kind == NAMES else items


# The rule of each kind for one value, and the remedy. TEXT has none, because options of this kind may be of other
# types, and are checked where they are read.
_TYPES_OF_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    PATH: (is_path, "give the name of a file as text or pathlib.Path, without NUL"),
    SNP_LIST: (lambda value: is_path(value) or are(value, is_id), "give a file of SNP IDs, or the IDs"),
    NAMES: (lambda value: isinstance(value, str), "give names as text"),
    WHOLE: (is_whole, "give a whole number"),
    NUMBER: (is_number, "give a number"),
    PENALTY: (lambda value: isinstance(value, str) or is_number(value), "give a number, or a multiple such as 1x"),
    COUNT: (
        lambda value: value in range(MOST_COUNT + 1) if is_count(value) else isinstance(value, str) and value == "auto",
        f"give a whole number from 0 to {MOST_COUNT}, or auto",
    ),
    FLAG: (is_flag, "give True or False"),
    EXECUTOR: (is_executor, "give an object that has submit(function, *arguments), or a function that makes one"),
    TEXT: (lambda value: True, ""),
}


TABLE = (
    Option("config", "--config", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Options in a TOML file, or those of an earlier run from its <out>.lfmm2.json; the command line wins."),
    Option("full_bed", "--bed", PATH, section=INPUT, functions=ONLY_RUN, repeatable=True,
           help="Genotypes to test: .bed or its prefix, .pgen, .bgen, or a pattern as 'chr@.bed', read as one."),
    Option("bed_list", "--bed-list", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Genotypes to test in place of --bed: a file with a path or prefix a line, which are read as one."),
    Option("pfile", "--pfile", PATH, section=INPUT, metavar="PREFIX", functions=NO_FUNCTION, changes_results=False,
           help="Genotypes to test in place of --bed: prefix of a .pgen, .pvar and .psam of PLINK 2."),
    Option("hard_calls", "--hard-calls", FLAG, section=INPUT, default=False,
           help="Take the hard calls of a .pgen that has dosages too; its dosages by default."),
    Option("bgen", "--bgen", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Genotypes to test in place of --bed: a BGEN, whose dosages of the second allele are read."),
    Option("sample", "--sample", PATH, section=INPUT, changes_results=False,
           help="The .sample with the IDs of the samples of the BGEN; those in the BGEN itself by default."),
    Option("vcf", "--vcf", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Genotypes to test in place of --bed: a VCF or BCF, or any file that lfmm2 convert reads."),
    Option("zarr", "--zarr", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Genotypes to test in place of --bed: a VCF Zarr, a folder, .zip or URL (needs lfmm2[zarr])."),
    Option("vcf_dosage", "--vcf-dosage", DOSAGE_FIELDS, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Dosages of --vcf or --zarr in place of hard calls: DS, or those that the probabilities GP give."),
    Option("keep_bed", "--keep-bed", FLAG, section=INPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Keep the fileset that --vcf or --zarr is converted to, <out>.genotypes.bed, for further runs."),
    Option("matrix", "--matrix", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Numbers in place of --bed, as methylation: CSV, TSV, Parquet, Feather, .npy or .h5ad, with names."),
    Option("samples_are", "--samples-are", SIDES, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           rule="it is rows or columns",
           help="Side of --matrix that has the samples; by default the names that are IDs of --env tell it."),
    Option("features", "--features", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Chromosomes and positions of the features of --matrix: a table, or a manifest of Illumina."),
    Option("sample_ids", "--samples", PATH, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="List of sample IDs in the order of a --matrix without names (.npy)."),
    Option("layer", "--layer", TEXT, section=INPUT, functions=NO_FUNCTION, changes_results=False,
           help="Layer of an .h5ad to use in place of X."),
    Option("X", "--env", PATH, section=INPUT, required=True, repeatable=True,
           help="Table of variables: CSV, TSV, PLINK style, Parquet or Feather; several are joined by sample ID."),
    Option("variables", "--variables", NAMES, section=INPUT, metavar="NAMES", repeatable=True, changes_results=False,
           help="Columns of --env to use, as temperature,rain; all by default."),
    Option("env_by", "--env-by", TEXT, section=INPUT, metavar="FID|COLUMN", changes_results=False,
           help="Rows of --env are of populations, given by this column of the .fam: FID, PAT, MAT, SEX or PHENO1."),
    Option("coords", "--coords", NAMES, section=INPUT, metavar="LON,LAT",
           help="Columns of --env with the coordinates of samples, as lon,lat: kept beside the results, not tested."),
    Option("covar", "--covar", PATH, section=INPUT, repeatable=True,
           help="Table of nuisance variables: adjusted for, not reported; several are joined by sample ID."),
    Option("covar_variables", "--covar-variables", NAMES, section=INPUT, metavar="NAMES", repeatable=True,
           changes_results=False, help="Columns of --covar to use, as sex,age; all by default."),
    Option("missing_code", "--missing-code", TEXT, section=INPUT, repeatable=True, changes_results=False,
           help="A value of the tables that means missing, such as -9."),
    Option("decimal", "--decimal", DECIMAL_MARKS, section=INPUT, default=".", changes_results=False,
           help="Decimal mark of the numbers in tables; the comma is that of Excel in many countries."),
    Option("categorical", "--categorical", NAMES, section=INPUT, metavar="NAMES", repeatable=True,
           changes_results=False,
           help="Columns of --env and --covar that are categories, as sex,batch: an indicator for each level but one."),
    Option("count_allele", "--count-allele", ALLELES, section=INPUT, default="a2", functions=OF_TESTS,
           rule="it is 'a2' or 'a1'",
           help="Allele of the .bim whose copies are counted; of a .pgen or VCF, a2 is REF and a1 is ALT."),
    Option("ploidy", "--ploidy", WHOLE, section=INPUT, range=Range(1, 128),
           rule="it is a whole number from 1 to 128, or None for numbers that are no dosages",
           help="Ploidy of an array or matrix of dosages, 1 for pools; without it only 0, 1 and 2 have frequencies."),
    Option("missing_genotype", "--missing-genotype", TEXT, section=INPUT, repeatable=True,
           help="A value of an array or matrix that means missing, such as 9 or -1; none if there is none."),
    Option("keep", "--keep", PATH, section=SAMPLES, repeatable=True, changes_results=False,
           help="Use only the samples listed, in any of several lists."),
    Option("remove", "--remove", PATH, section=SAMPLES, repeatable=True, changes_results=False,
           help="Do not use the samples listed, in any of several lists."),
    Option("missing", "--missing", MISSING, section=SAMPLES, default="error", changes_results=False,
           help="Samples that lack a value: stop, leave them out, or take the variable's mean."),
    Option("intersect", "--intersect", FLAG, section=SAMPLES, default=False, changes_results=False,
           help="Use the samples that have all variables and are in all filesets that are read as one."),
    Option("mind", "--mind", NUMBER, section=SAMPLES, range=Range(0, 1), rule="a missing rate lies between 0 and 1",
           help="Leave out samples with a higher rate of missing calls, counted over the SNPs to test."),
    Option("drop_duplicates", "--drop-duplicates", FLAG, section=SAMPLES, default=False,
           help="Keep one of the samples that repeat a genotype (duplicates, clones): that with most calls."),
    Option("extract", "--extract", SNP_LIST, section=SNPS, repeatable=True, functions=OF_TESTS, changes_results=False,
           help="Use only the SNPs listed, in any of several lists."),
    Option("exclude", "--exclude", SNP_LIST, section=SNPS, repeatable=True, functions=OF_TESTS, changes_results=False,
           help="Do not use the SNPs listed, in any of several lists."),
    Option("maf", "--maf", NUMBER, section=SNPS, range=Range(0, 0.5), functions=OF_TESTS,
           rule="a minor allele frequency lies between 0 and 0.5",
           help="Drop SNPs with a lower minor allele frequency."),
    Option("geno", "--geno", NUMBER, section=SNPS, range=Range(0, 1), functions=OF_TESTS,
           rule="a missing rate lies between 0 and 1", help="Drop SNPs with a higher rate of missing calls."),
    Option("K", "-K, --factors", WHOLE, section=FACTORS, range=Range(1), functions=OF_FACTORS,
           help="Number of latent factors."),
    Option("sweep", "--sweep", TEXT, section=FACTORS, metavar="KS", functions=OF_TESTS,
           help="Compare numbers of factors, as 1:20 or 2,4,8; without -K the scree chooses."),
    Option("k_thin", "--k-thin", TEXT, section=FACTORS, metavar="r2=R,window=W|off", default="r2=0.2,window=200",
           functions=ONLY_RUN, help="In a sweep of SNPs with positions: suggest K from SNPs thinned by linkage."),
    Option("lambda_", "--lambda", PENALTY, section=FACTORS, default=1e-5, functions=OF_FACTORS,
           help="Ridge penalty on the effects: a number, or 1x for the variance of a variable times the samples."),
    Option("sweep_lambda", "--sweep-lambda", TEXT, section=FACTORS, metavar="LIST", functions=ONLY_RUN,
           help="Compare ridge penalties in the sweep, as 1e-5,0.3x,1x; by default --lambda and 1x with solver exact."),
    Option("standardize", "--no-standardize", FLAG, section=FACTORS, default=True, functions=OF_FACTORS,
           help="Compare the penalty with the variables in their units, as R does, and not with standardised ones."),
    Option("est_bed", "--est-bed", PATH, section=FACTORS, functions=ONLY_RUN, repeatable=True,
           help="Estimate the factors from this fileset, or from several as with --bed."),
    Option("est_bed_list", "--est-bed-list", PATH, section=FACTORS, functions=NO_FUNCTION, changes_results=False,
           help="Estimate the factors from the filesets that this file lists, in place of --est-bed."),
    Option("est_rate", "--est-rate", NUMBER, section=FACTORS, range=Range(0, 1, above=True), functions=OF_FACTORS,
           rule="it is a share of the SNPs above 0 and at most 1",
           help="Estimate the factors from a random share of the SNPs."),
    Option("est_extract", "--est-extract", SNP_LIST, section=FACTORS, repeatable=True, functions=OF_FACTORS,
           changes_results=False, help="Estimate the factors from the SNPs listed, in any of several lists."),
    Option("est_thin", "--est-thin", TEXT, section=FACTORS, metavar="r2=R,window=W", functions=OF_FACTORS,
           help="Estimate the factors from SNPs thinned by linkage, as r2=0.2,window=200 (SNPs; or 500kb)."),
    Option("solver", "--solver", SOLVERS, section=FACTORS, default="auto", functions=OF_FACTORS,
           help="exact: Gram matrix; krylov: iterate to --tol; power: randomised SVD; auto: exact or krylov by cost."),
    Option("tol", "--tol", NUMBER, section=FACTORS, default=1e-4, functions=OF_FACTORS,
           range=Range(0, 1, above=True, below=True), help="Residual that krylov must reach."),
    Option("n_power_iter", "--power-iter", WHOLE, section=FACTORS, default=2, range=Range(0), functions=OF_FACTORS,
           help="Number of power iterations of the solver power."),
    Option("oversampling", "--oversampling", WHOLE, section=FACTORS, default=10, range=Range(0), functions=OF_FACTORS,
           help="Columns that krylov and power use beyond K."),
    Option("scale", "--scale", SCALES, section=FACTORS, functions=OF_FACTORS, rule="it is None or 'hwe'",
           help="Scale SNPs by 1/sqrt(2f(1-f)) for the factors."),
    Option("seed", "--seed", WHOLE, section=FACTORS, default=0, range=Range(0), functions=OF_FACTORS,
           help="Seed of the SNPs of --est-rate, of the start of krylov and power, and of the calls held out."),
    Option("df", "--df", DEGREES_OF_FREEDOM, section=TESTS, default="intercept", functions=OF_TESTS,
           rule=DEGREES_OF_FREEDOM_RULE, help="Degrees of freedom: n-1-d-K, or n-d-K as R's lfmm."),
    Option("calibrate", "--calibrate", CALIBRATIONS, section=TESTS, default="student", functions=OF_TESTS,
           rule=CALIBRATIONS_RULE,
           help="Null of the tests: Student or χ² widened by inflation, fitted to their centre, or theory."),
    Option("min_carriers", "--min-carriers", NUMBER, section=TESTS, range=Range(0), functions=OF_TESTS,
           help="Effective carriers below which a SNP has no calibrated p and no q; 10, or 0 with --calibrate chi2."),
    Option("spa", "--spa", FLAG, section=TESTS, default=False, functions=OF_TESTS,
           help="Test SNPs below --min-carriers by a saddlepoint approximation, for which calls must be of diploids."),
    Option("surrogates", "--surrogates", COUNT, section=TESTS, default="auto", metavar="N", functions=ONLY_RUN,
           help="Variables with random signs on the axes of structure, by which tails are calibrated; 0 for none."),
    Option("marginal", "--marginal", FLAG, section=TESTS, default=False, functions=OF_TESTS,
           help="Test each variable alone too, without the others, given the same factors."),
    Option("impute", "--impute", IMPUTATIONS, section=TESTS, default="mean", functions=OF_TESTS,
           help="Missing calls of tested SNPs: the SNP's mean, or its fit to the factors."),
    Option("out", "--out", TEXT, section=OUTPUT, metavar="PREFIX", required=True, functions=OF_TESTS,
           changes_results=False, help="Prefix of the result files."),
    Option("format", "--format", TABLE_FORMATS, section=OUTPUT, default="parquet", functions=OF_TESTS,
           help="Format of the tables."),
    Option("loadings", "--loadings", FLAG, section=OUTPUT, default=False, functions=OF_TESTS,
           help="Write the loadings V too."),
    Option("overwrite", "--overwrite", FLAG, section=OUTPUT, default=False, functions=OF_TESTS, changes_results=False,
           help="Replace result files of an earlier run."),
    Option("resume", "--resume", FLAG, section=OUTPUT, default=False, functions=OF_TESTS, changes_results=False,
           help="Go on with an unfinished run of the same command, if there is one."),
    Option("report", "--report", FLAG, section=OUTPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Write a report with pictures too (needs lfmm2[plot])."),
    Option("dry_run", "--dry-run", FLAG, section=OUTPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Check all inputs, print the plan, and stop."),
    Option("quiet", "--quiet", FLAG, section=OUTPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Print only warnings and errors; the log is written as always."),
    Option("verbose", "--verbose", FLAG, section=OUTPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Print all that the log has too: versions, singular values, times of the passes."),
    Option("log_json", "--log-json", FLAG, section=OUTPUT, default=False, functions=NO_FUNCTION, changes_results=False,
           help="Progress, warnings, errors and the answer on standard error as JSON, an object a line."),
    Option("n_threads", "--threads", WHOLE, section=RESOURCES, range=Range(1, 1024), changes_results=False,
           help="Threads, of each worker where there are some; all processors that the process may use by default."),
    Option("workers", "--workers", WHOLE, section=RESOURCES, range=Range(1, 1024), functions=OF_TESTS,
           changes_results=False,
           help="Processes of this machine that share the passes; none by default, all is done in one process."),
    Option("executor", "", EXECUTOR, section=RESOURCES, functions=OF_TESTS, changes_results=False,
           help="Executor whose workers do the passes, on this machine or others; see docs/clusters.md."),
    Option("dask", "--dask", TEXT, section=RESOURCES, metavar="ADDRESS|local:N", functions=NO_FUNCTION,
           changes_results=False,
           help="Dask scheduler whose workers share the passes, as tcp://host:8786, or local:4 (needs lfmm2[dask])."),
    Option("dask_slurm", "--dask-slurm", TEXT, section=RESOURCES, metavar="VALUES", functions=NO_FUNCTION,
           changes_results=False,
           help="Jobs of Slurm that share the passes, as cores=32,memory=64GB,jobs=20,queue=long (needs lfmm2[dask])."),
    Option("memory", "--memory", TEXT, section=RESOURCES, changes_results=False,
           help="Budget in MiB, or with a unit such as 4GB; half of what is free for the process by default."),
    Option("progress", "", FLAG, section=RESOURCES, default=False, changes_results=False,
           help="Show progress on stderr; the command line always does."),
)  # fmt: skip

OPTIONS: Mapping[str, Option] = {option.name: option for option in TABLE}
