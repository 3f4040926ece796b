"""The command `run`."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfmm2.cli.option_command import OptionCommand
from lfmm2.cli.own_process import resting_collector
from lfmm2.cli.terminal import say, whisper
from lfmm2.errors import UsageError
from lfmm2.pipeline.options import TABLE

if TYPE_CHECKING:
    from lfmm2.results import AssociationResult


@click.command(cls=OptionCommand, options=TABLE)
def run(out: str, overwrite: bool, resume: bool, report: bool, dry_run: bool, **arguments: Any) -> None:
    """Estimate the factors and test every SNP.

    Samples are matched by ID. The plan is printed and all inputs are checked before any work; result files appear
    when they are complete. A run that was interrupted goes on with --resume.

    \b
    Example: lfmm2 run --bed plants.bed --env climate.csv -K 5 --out results
             lfmm2 run --vcf plants.vcf.gz --env climate.csv -K 5 --out results
             lfmm2 run --matrix betas.parquet --env phenotypes.csv -K 5 --out results
    """
    with resting_collector():
        from lfmm2._words import aligned
        from lfmm2.pipeline import RunOptions, execute_run, prepare_run

    arguments = complete_arguments(arguments | {"out": out, "overwrite": overwrite, "resume": resume})
    options = RunOptions.from_arguments(arguments, command_line())
    est_bed, full_bed, X, K, covar = (arguments[name] for name in ("est_bed", "full_bed", "X", "K", "covar"))
    check_given(arguments)
    with prepare_run(est_bed, full_bed, X, K, options, covar) as prepared:
        if report:
            from lfmm2.report import check_report

            check_report(out, overwrite or resume)
        if (converted := prepared.inputs.converted) is not None:
            say(aligned(converted.summary()) + "\n")
        if (matrix := prepared.inputs.matrix) is not None:
            say(aligned(matrix.summary()) + "\n")
        say(prepared.plan.describe())
        if prepared.files.is_complete:
            say("These results are complete; nothing is left to do.")
        elif kept := prepared.files.describe_unfinished():
            say(aligned({"resumed with": kept}))
        if dry_run:
            return
        is_new = not prepared.files.is_complete
        result = execute_run(prepared)
    say_results(result, out, report, overwrite or resume, is_new)


def command_line() -> str:
    """Return the command as the record shows it."""
    return shlex.join(["lfmm2", *sys.argv[1:]])


def complete_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command as the functions of Python take them, with progress on the terminal."""
    arguments = arguments | {"progress": True, "memory": _add_unit(arguments["memory"])}
    if "missing_genotype" in arguments:
        arguments["missing_genotype"] = _read_codes(arguments["missing_genotype"])
    return arguments


def check_given(arguments: dict[str, Any]) -> None:
    """Raise UsageError if no option gives genotypes."""
    from lfmm2.pipeline import RunOptions, ways_given

    if not ways_given(arguments["full_bed"], RunOptions.from_arguments(arguments, "").snps):
        raise UsageError(
            "there are no genotypes to test; give --bed PREFIX or --vcf FILE, or --pfile, --bgen, --zarr or --matrix"
        )


def say_results(result: AssociationResult, out: str, report: bool, overwrite: bool, is_new: bool) -> None:
    """Print the results of a run, and write its report if that is wanted.

    `overwrite` lets the report replace an earlier one; `is_new` is False if the run was complete before.
    """
    from lfmm2._words import aligned
    from lfmm2.results import open_record, result_lines
    from lfmm2.statistics import sweep_lines

    if result.sweep is not None:
        say("\n" + "\n".join(sweep_lines(result.sweep, result.variables)) + "\n")
    record = open_record(result.paths["record"])
    lines = result_lines(record)
    del lines["singular values"]
    if not any(facts.others for facts in record.collinearity.values()):
        lines.pop("VIF", None)  # No variable is correlated so far that it matters; the log has the numbers.
    lines |= {f"{name} file": str(path) for name, path in result.paths.items()}
    if report:
        from lfmm2.report import write_report

        for path in write_report(out, overwrite=overwrite):
            lines["report"] = str(path)
    elif is_new and (pictures := Path(f"{out}.report.html")).exists():
        whisper(f"Warning: {pictures} shows earlier results; lfmm2 report {out} --overwrite renews it")
    say(aligned(lines))


def _read_codes(texts: str | list[str] | None) -> Any:
    """Return the values that mean missing as numbers; an empty list for "none", and texts that are no numbers as is."""
    if texts is None or texts == "none":
        return None if texts is None else []
    values = [_as_number(text) for text in ([texts] if isinstance(texts, str) else texts)]
    return values[0] if isinstance(texts, str) else values


def _as_number(text: str) -> float | str:
    """Return the number in a text, or the text."""
    try:
        return float(text)
    except ValueError:
        return text


def _add_unit(memory: str | None) -> str | None:
    """Return a memory budget with its unit: a plain number is MiB, as in plink2."""
    return f"{memory}MiB" if memory is not None and re.fullmatch(r"\s*[0-9.]+\s*", memory) else memory
