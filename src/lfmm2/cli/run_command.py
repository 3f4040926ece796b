"""The command `run`: options to a job."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lfmm2.cli.terminal import PATH, say, whisper

F = TypeVar("F", bound=Callable[..., Any])


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_input_options = _options(
    click.option("--bed", "bed", type=PATH, required=True, help="Genotypes to test: .bed, or its prefix."),
    click.option("--env", "env", type=PATH, required=True, help="Table of variables: CSV, TSV or PLINK style."),
    click.option("--variables", metavar="NAMES", help="Columns of --env to use, as temperature,rain; all by default."),
    click.option("--covar", type=PATH, help="Table of nuisance variables: adjusted for, not reported."),
    click.option("--keep", type=PATH, help="Use only the samples listed."),
    click.option("--remove", type=PATH, help="Do not use the samples listed."),
    click.option("--extract", type=PATH, help="Use only the SNPs listed."),
    click.option("--exclude", type=PATH, help="Do not use the SNPs listed."),
    click.option("--maf", type=float, help="Drop SNPs with a lower minor allele frequency."),
    click.option("--geno", type=float, help="Drop SNPs with a higher rate of missing calls."),
    click.option("--missing-code", help="A value of the tables that means missing, such as -9."),
    click.option(
        "--missing", type=click.Choice(["error", "drop", "mean"]), default="error", show_default=True,
        help="Samples that lack a value: stop, leave them out, or take the variable's mean.",
    ),
    click.option("--intersect", is_flag=True, help="Use the samples that have all variables."),
    click.option(
        "--count-allele", type=click.Choice(["a2", "a1"]), default="a2", show_default=True,
        help="Allele of the .bim whose copies are counted.",
    ),
)  # fmt: skip

_factor_options = _options(
    click.option("-K", "--factors", "n_factors", type=int, help="Number of latent factors."),
    click.option(
        "--sweep", metavar="KS", help="Compare numbers of factors, as 1:20 or 2,4,8; without -K the scree chooses."
    ),
    click.option("--lambda", "lambda_", type=float, default=1e-5, show_default=True, help="Ridge penalty."),
    click.option("--est-bed", type=PATH, help="Estimate the factors from this fileset."),
    click.option("--est-rate", type=float, help="Estimate the factors from a random share of the SNPs."),
    click.option("--est-extract", type=PATH, help="Estimate the factors from the SNPs listed."),
    click.option(
        "--est-thin", metavar="r2=R,window=W",
        help="Estimate the factors from SNPs thinned by linkage, as r2=0.2,window=200 (SNPs; or 500kb).",
    ),
    click.option(
        "--solver", type=click.Choice(["auto", "exact", "krylov", "power"]), default="auto", show_default=True,
        help="exact: Gram matrix; krylov: iterate to --tol; power: randomised SVD; auto: exact or krylov by cost.",
    ),
    click.option("--tol", type=float, default=1e-4, show_default=True, help="Residual that krylov must reach."),
    click.option("--power-iter", type=int, default=2, show_default=True, help="Power iterations of power."),
    click.option("--oversampling", type=int, default=10, show_default=True, help="Extra columns of the solvers."),
    click.option("--scale", type=click.Choice(["hwe"]), help="Scale SNPs by 1/sqrt(2f(1-f)) for the factors."),
    click.option(
        "--df", type=click.Choice(["paper", "intercept"]), default="paper", show_default=True,
        help="Degrees of freedom: n-d-K, or one less for the mean.",
    ),
    click.option(
        "--calibrate", type=click.Choice(["gif", "empirical-null", "none"]), default="gif", show_default=True,
        help="Null of the tests: widened by the genomic inflation factor, fitted to their centre, or as in theory.",
    ),
    click.option(
        "--impute", type=click.Choice(["mean", "factors"]), default="mean", show_default=True,
        help="Missing calls of tested SNPs: the SNP's mean, or its fit to the factors.",
    ),
)  # fmt: skip

_run_options = _options(
    click.option("--out", required=True, metavar="PREFIX", help="Prefix of the result files."),
    click.option(
        "--format", "format_", type=click.Choice(["parquet", "tsv", "tsv.gz", "tsv.zst"]), default="parquet",
        show_default=True, help="Of the tables.",
    ),
    click.option("--loadings", is_flag=True, help="Write the loadings V too."),
    click.option("--overwrite", is_flag=True, help="Replace existing result files."),
    click.option("--resume", is_flag=True, help="Go on with an unfinished run of the same command, if there is one."),
    click.option("--threads", type=int, help="Threads; all processors by default."),
    click.option("--memory", help="Budget in MiB, or with a unit such as 4GB; half of the free memory by default."),
    click.option(
        "--seed", type=int, default=0, show_default=True,
        help="Of --est-rate, of where krylov and power start, and of the calls held out.",
    ),
    click.option("--report", is_flag=True, help="Write a report with pictures too (needs lfmm2[plot])."),
    click.option("--dry-run", is_flag=True, help="Check all inputs, print the plan, and stop."),
)  # fmt: skip


@click.command()
@_input_options
@_factor_options
@_run_options
def run(
    bed: Path, env: Path, variables: str | None, covar: Path | None, keep: Path | None, remove: Path | None,
    extract: Path | None, exclude: Path | None, maf: float | None, geno: float | None, missing_code: str | None,
    missing: str, intersect: bool, count_allele: str, n_factors: int | None, sweep: str | None, lambda_: float,
    est_bed: Path | None, est_rate: float | None, est_extract: Path | None, est_thin: str | None, solver: str,
    tol: float, power_iter: int, oversampling: int, scale: str | None, df: str, calibrate: str, impute: str, out: str,
    format_: str, loadings: bool, overwrite: bool, resume: bool, threads: int | None, memory: str | None, seed: int,
    report: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Estimate the factors and test every SNP.

    Samples are matched by ID. The plan is printed and all inputs are checked before any work; result files appear
    when they are complete. A run that was interrupted goes on with --resume.

    Example: lfmm2 run --bed plants.bed --env climate.csv -K 5 --out results
    """
    from lfmm2._words import aligned
    from lfmm2.model import SolverOptions
    from lfmm2.pipeline import (
        OutputOptions,
        RunOptions,
        SampleOptions,
        SnpOptions,
        TestOptions,
        execute_run,
        prepare_run,
    )
    from lfmm2.results import open_record, result_lines
    from lfmm2.statistics import sweep_lines

    options = RunOptions(
        lambda_=lambda_,
        seed=seed,
        n_threads=threads,
        memory=_memory(memory),
        test=TestOptions(df, sweep, calibrate, impute, loadings),
        solver=SolverOptions(solver, tol, power_iter, oversampling, seed),
        samples=SampleOptions(keep, remove, missing_code, intersect, missing, variables),
        snps=SnpOptions(extract, exclude, maf, geno, est_rate, est_extract, scale, count_allele, est_thin),
        output=OutputOptions(out, format_, overwrite, resume),
        progress=True,
        command=shlex.join(["lfmm2", *sys.argv[1:]]),
    )
    with prepare_run(est_bed, bed, env, n_factors, options, covar) as prepared:
        if report:
            from lfmm2.report import check_report

            check_report(out, overwrite or resume)
        say(prepared.plan.describe())
        if prepared.files.is_complete:
            say("These results are complete; nothing is left to do.")
        elif kept := prepared.files.unfinished():
            say(aligned({"resumed with": kept}))
        if dry_run:
            return
        is_new = not prepared.files.is_complete
        result = execute_run(prepared)
    if result.sweep is not None:
        say("\n" + "\n".join(sweep_lines(result.sweep, result.variables)) + "\n")
    lines = result_lines(open_record(result.paths["record"]))
    del lines["singular values"]
    lines |= {f"{name} file": str(path) for name, path in result.paths.items()}
    if report:
        from lfmm2.report import write_report

        for path in write_report(out, overwrite=overwrite or resume):
            lines["report"] = str(path)
    elif is_new and (pictures := Path(f"{out}.report.html")).exists():
        whisper(f"Warning: {pictures} shows earlier results; lfmm2 report {out} --overwrite renews it")
    say(aligned(lines))


def _memory(memory: str | None) -> str | None:
    """A plain number is MiB, as in plink2."""
    return f"{memory}MiB" if memory is not None and re.fullmatch(r"\s*[0-9.]+\s*", memory) else memory
