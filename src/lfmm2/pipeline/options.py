"""The options of a run: each stands once, in `TABLE`, and all that is known of it is read from there.

The command line, its help, the checks, the identity of a run, the parameters in the record and ``docs/options.md`` come
from the table. The public functions have signatures of their own, which a test holds equal to it. Importing this module
loads no library, since the help of the command line needs it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from lfmm2._choices import (
    ALLELES,
    CALIBRATIONS,
    DEGREES_OF_FREEDOM,
    DEGREES_OF_FREEDOM_RULE,
    IMPUTATIONS,
    MISSING,
    SCALES,
    SOLVERS,
    TABLE_FORMATS,
)
from lfmm2.errors import UsageError

# Kinds of values beside a tuple of words. NAMES are separated by commas. SNP_LIST is a path on the command line, and in
# Python a path or a collection of SNP IDs.
PATH, SNP_LIST, TEXT, NAMES, WHOLE, NUMBER, FLAG = (
    "path", "list of SNPs", "text", "names", "whole number", "number", "flag",
)  # fmt: skip

INPUT, SAMPLES, SNPS, FACTORS, TESTS, OUTPUT, RESOURCES = SECTIONS = (
    "Input", "Samples", "SNPs", "Factors", "Tests", "Output", "Resources",
)  # fmt: skip

# Python functions that have an option
ALL_FUNCTIONS = ("run", "estimate_factors", "test_associations")
OF_FACTORS = ("run", "estimate_factors")
OF_TESTS = ("run", "test_associations")
ONLY_RUN = ("run",)
NO_FUNCTION = ()


@dataclass(frozen=True)
class Range:
    """An interval of numbers; `above` and `below` say that its ends are no part of it."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, Real):
            return False
        number = float(value)
        over = number > self.low if self.above else number >= self.low
        return over and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'from'} {self.low:g}"
        if math.isinf(self.high):
            return low if self.above else f"at least {self.low:g}"
        return f"{low} to {'below ' if self.below else ''}{self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Parameter of the Python functions; in the record without an underscore at its end.
    flags : str
        Of the command line, as "-K, --factors"; empty where it has none.
    kind : str or tuple of str
        One of the kinds above, or the words that the value may be.
    help : str
        A sentence for `--help` and the page of options.
    section : str
        Heading under which it stands there.
    default : object
    range : Range, optional
        Of a number.
    rule : str
        End of the message about a value that is none of the words or outside of the range.
    metavar : str, optional
        What `--help` calls the value.
    required : bool
        Whether the command line must have it.
    repeatable : bool
        Whether it may be given several times, or as a list in Python; else giving it twice is an error.
    functions : tuple of str
        Python functions that have it.
    changes_results : bool
        Whether it is part of the identity of a run. Options that only choose samples, SNPs or variables are not: these
        are compared themselves.
    """

    name: str
    flags: str
    kind: str | tuple[str, ...]
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

    def check(self, value: Any) -> None:
        """Raise UsageError if a value is none of the words or outside of the range."""
        if value is None and self.default is None:
            return
        if isinstance(self.kind, tuple) and value not in self.kind:
            rule = self.rule or f"it is one of {', '.join(self.kind)}"
            raise UsageError(f"{self.name} is {value!r}; {rule}")
        if self.range is not None and value not in self.range:
            raise UsageError(f"{self.name} is {value}; {self.rule or f'it is a number {self.range}'}")

    def plain(self, value: Any) -> Any:
        """Return a value as the record shows it, in terms of JSON."""
        if hasattr(value, "item"):  # a scalar of NumPy
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


TABLE = (
    Option(
        name="full_bed", flags="--bed", section=INPUT, kind=PATH, required=True, functions=ONLY_RUN,
        help="Genotypes to test: .bed, or its prefix.",
    ),
    Option(
        name="X", flags="--env", section=INPUT, kind=PATH, required=True, repeatable=True,
        help="Table of variables: CSV, TSV or PLINK style; several are joined by sample ID.",
    ),
    Option(
        name="variables", flags="--variables", section=INPUT, kind=NAMES, metavar="NAMES", repeatable=True,
        changes_results=False, help="Columns of --env to use, as temperature,rain; all by default.",
    ),
    Option(
        name="covar", flags="--covar", section=INPUT, kind=PATH, repeatable=True,
        help="Table of nuisance variables: adjusted for, not reported; several are joined by sample ID.",
    ),
    Option(
        name="missing_code", flags="--missing-code", section=INPUT, kind=TEXT, repeatable=True, changes_results=False,
        help="A value of the tables that means missing, such as -9.",
    ),
    Option(
        name="count_allele", flags="--count-allele", section=INPUT, kind=ALLELES, default="a2", functions=OF_TESTS,
        rule="it is 'a2' or 'a1'", help="Allele of the .bim whose copies are counted.",
    ),
    Option(
        name="keep", flags="--keep", section=SAMPLES, kind=PATH, repeatable=True, changes_results=False,
        help="Use only the samples listed, in any of several lists.",
    ),
    Option(
        name="remove", flags="--remove", section=SAMPLES, kind=PATH, repeatable=True, changes_results=False,
        help="Do not use the samples listed, in any of several lists.",
    ),
    Option(
        name="missing", flags="--missing", section=SAMPLES, kind=MISSING, default="error", changes_results=False,
        help="Samples that lack a value: stop, leave them out, or take the variable's mean.",
    ),
    Option(
        name="intersect", flags="--intersect", section=SAMPLES, kind=FLAG, default=False, changes_results=False,
        help="Use the samples that have all variables.",
    ),
    Option(
        name="extract", flags="--extract", section=SNPS, kind=SNP_LIST, repeatable=True, functions=OF_TESTS,
        changes_results=False, help="Use only the SNPs listed, in any of several lists.",
    ),
    Option(
        name="exclude", flags="--exclude", section=SNPS, kind=SNP_LIST, repeatable=True, functions=OF_TESTS,
        changes_results=False, help="Do not use the SNPs listed, in any of several lists.",
    ),
    Option(
        name="maf", flags="--maf", section=SNPS, kind=NUMBER, range=Range(0, 0.5), functions=OF_TESTS,
        rule="a minor allele frequency lies between 0 and 0.5", help="Drop SNPs with a lower minor allele frequency.",
    ),
    Option(
        name="geno", flags="--geno", section=SNPS, kind=NUMBER, range=Range(0, 1), functions=OF_TESTS,
        rule="a missing rate lies between 0 and 1", help="Drop SNPs with a higher rate of missing calls.",
    ),
    Option(
        name="K", flags="-K, --factors", section=FACTORS, kind=WHOLE, range=Range(1), functions=OF_FACTORS,
        help="Number of latent factors.",
    ),
    Option(
        name="sweep", flags="--sweep", section=FACTORS, kind=TEXT, metavar="KS", functions=OF_TESTS,
        help="Compare numbers of factors, as 1:20 or 2,4,8; without -K the scree chooses.",
    ),
    Option(
        name="lambda_", flags="--lambda", section=FACTORS, kind=NUMBER, default=1e-5, range=Range(0, above=True),
        functions=OF_FACTORS, help="Ridge penalty.",
    ),
    Option(
        name="est_bed", flags="--est-bed", section=FACTORS, kind=PATH, functions=ONLY_RUN,
        help="Estimate the factors from this fileset.",
    ),
    Option(
        name="est_rate", flags="--est-rate", section=FACTORS, kind=NUMBER, range=Range(0, 1, above=True),
        functions=OF_FACTORS, rule="it is a share of the SNPs above 0 and at most 1",
        help="Estimate the factors from a random share of the SNPs.",
    ),
    Option(
        name="est_extract", flags="--est-extract", section=FACTORS, kind=SNP_LIST, repeatable=True,
        functions=OF_FACTORS, changes_results=False,
        help="Estimate the factors from the SNPs listed, in any of several lists.",
    ),
    Option(
        name="est_thin", flags="--est-thin", section=FACTORS, kind=TEXT, metavar="r2=R,window=W", functions=OF_FACTORS,
        help="Estimate the factors from SNPs thinned by linkage, as r2=0.2,window=200 (SNPs; or 500kb).",
    ),
    Option(
        name="solver", flags="--solver", section=FACTORS, kind=SOLVERS, default="auto", functions=OF_FACTORS,
        help="exact: Gram matrix; krylov: iterate to --tol; power: randomised SVD; auto: exact or krylov by cost.",
    ),
    Option(
        name="tol", flags="--tol", section=FACTORS, kind=NUMBER, default=1e-4, functions=OF_FACTORS,
        range=Range(0, 1, above=True, below=True), help="Residual that krylov must reach.",
    ),
    Option(
        name="n_power_iter", flags="--power-iter", section=FACTORS, kind=WHOLE, default=2, range=Range(0),
        functions=OF_FACTORS, help="Power iterations of power.",
    ),
    Option(
        name="oversampling", flags="--oversampling", section=FACTORS, kind=WHOLE, default=10, range=Range(0),
        functions=OF_FACTORS, help="Extra columns of the solvers.",
    ),
    Option(
        name="scale", flags="--scale", section=FACTORS, kind=SCALES, functions=OF_FACTORS, rule="it is None or 'hwe'",
        help="Scale SNPs by 1/sqrt(2f(1-f)) for the factors.",
    ),
    Option(
        name="seed", flags="--seed", section=FACTORS, kind=WHOLE, default=0, range=Range(0), functions=OF_FACTORS,
        help="Of --est-rate, of where krylov and power start, and of the calls held out.",
    ),
    Option(
        name="df", flags="--df", section=TESTS, kind=DEGREES_OF_FREEDOM, default="paper", functions=OF_TESTS,
        rule=DEGREES_OF_FREEDOM_RULE, help="Degrees of freedom: n-d-K, or one less for the mean.",
    ),
    Option(
        name="calibrate", flags="--calibrate", section=TESTS, kind=CALIBRATIONS, default="gif", functions=OF_TESTS,
        help="Null of the tests: widened by the genomic inflation factor, fitted to their centre, or as in theory.",
    ),
    Option(
        name="impute", flags="--impute", section=TESTS, kind=IMPUTATIONS, default="mean", functions=OF_TESTS,
        help="Missing calls of tested SNPs: the SNP's mean, or its fit to the factors.",
    ),
    Option(
        name="out", flags="--out", section=OUTPUT, kind=TEXT, metavar="PREFIX", required=True, functions=OF_TESTS,
        changes_results=False, help="Prefix of the result files.",
    ),
    Option(
        name="format", flags="--format", section=OUTPUT, kind=TABLE_FORMATS, default="parquet", functions=OF_TESTS,
        help="Of the tables.",
    ),
    Option(
        name="loadings", flags="--loadings", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        help="Write the loadings V too.",
    ),
    Option(
        name="overwrite", flags="--overwrite", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        changes_results=False, help="Replace existing result files.",
    ),
    Option(
        name="resume", flags="--resume", section=OUTPUT, kind=FLAG, default=False, functions=OF_TESTS,
        changes_results=False, help="Go on with an unfinished run of the same command, if there is one.",
    ),
    Option(
        name="report", flags="--report", section=OUTPUT, kind=FLAG, default=False, functions=NO_FUNCTION,
        changes_results=False, help="Write a report with pictures too (needs lfmm2[plot]).",
    ),
    Option(
        name="dry_run", flags="--dry-run", section=OUTPUT, kind=FLAG, default=False, functions=NO_FUNCTION,
        changes_results=False, help="Check all inputs, print the plan, and stop.",
    ),
    Option(
        name="n_threads", flags="--threads", section=RESOURCES, kind=WHOLE, range=Range(1, 1024),
        changes_results=False, help="Threads; all processors by default.",
    ),
    Option(
        name="memory", flags="--memory", section=RESOURCES, kind=TEXT, changes_results=False,
        help="Budget in MiB, or with a unit such as 4GB; half of the free memory by default.",
    ),
    Option(
        name="progress", flags="", section=RESOURCES, kind=FLAG, default=False, changes_results=False,
        help="Show progress on stderr; the command line always does.",
    ),
)  # fmt: skip

OPTIONS: Mapping[str, Option] = {option.name: option for option in TABLE}
