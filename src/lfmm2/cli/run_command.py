"""The command `run`, and what the commands of a run in steps share with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from lfmm2.cli.command_output import CommandOutput
from lfmm2.cli.config_file import ConfiguredCommand, command_of
from lfmm2.cli.option_command import Example
from lfmm2.cli.own_process import resting_collector
from lfmm2.cli.terminal import tell_program
from lfmm2.errors import UsageError
from lfmm2.pipeline.options import TABLE

if TYPE_CHECKING:
    from lfmm2.pipeline import PreparedRun

_EXAMPLES = (
    Example("lfmm2 run --vcf plants.vcf.gz --env climate.csv -K 5 --out results", "A VCF and a table of climate"),
    Example("lfmm2 run --bed plants.bed --env climate.csv --sweep 1:20 --out results --report",
            "Which K? Compare 1 to 20, with pictures"),
    Example("lfmm2 run --matrix betas.parquet --env phenotypes.csv --covar cells.csv -K 6 --out ewas",
            "An EWAS: methylation, exposures, and cell types to adjust for"),
    Example("lfmm2 run --config results.lfmm2.json --out again", "The same run once more, from its record"),
)  # fmt: skip


@click.command(cls=ConfiguredCommand, options=TABLE, examples=_EXAMPLES)
@click.pass_context
def run(
    context: click.Context, /, out: str, overwrite: bool, resume: bool, report: bool, dry_run: bool, **arguments: Any
) -> None:
    """Estimate the factors and test every SNP.

    Samples are matched by ID. The plan is printed and all inputs are checked before any work; result files appear
    when they are complete. A run that was interrupted goes on with --resume.
    """
    output = CommandOutput.take(arguments)
    with resting_collector():
        from lfmm2._words import aligned
        from lfmm2.pipeline import RunOptions, execute_run, prepare_run

    arguments = complete_arguments(arguments | {"out": out, "overwrite": overwrite, "resume": resume}, output)
    options = RunOptions.from_arguments(arguments, command_of(context))
    est_bed, full_bed, X, K, covar = (arguments[name] for name in ("est_bed", "full_bed", "X", "K", "covar"))
    check_given(arguments)
    with prepare_run(est_bed, full_bed, X, K, options, covar) as prepared:
        if report:
            from lfmm2.report import check_report

            check_report(out, overwrite or resume)
        if (converted := prepared.inputs.converted) is not None:
            output.say(aligned(converted.summary()) + "\n")
        if (matrix := prepared.inputs.matrix) is not None:
            output.say(aligned(matrix.summary()) + "\n")
        output.say(prepared.plan.describe(time_line(prepared, dry_run)))
        tell_program("plan", **prepared.plan.for_record())
        if prepared.files.is_complete:
            output.say("These results are complete; nothing is left to do.")
        elif kept := prepared.files.describe_unfinished():
            output.say(aligned({"resumed with": kept}))
        if dry_run:
            return
        is_new = not prepared.files.is_complete
        result = execute_run(prepared)
    output.say_results(result, out, report, overwrite or resume, is_new)


def time_line(prepared: PreparedRun, dry_run: bool) -> str:
    """Return how long a run will take, if it is a dry run or will take minutes; else an empty text."""
    from lfmm2.pipeline import is_long, predict_time

    if prepared.files.is_complete or not (dry_run or is_long(prepared.plan)):
        return ""
    time = predict_time(prepared)
    tell_program("prediction", seconds=round(time.seconds, 1), surrogate_seconds=round(time.surrogates, 1))
    return time.describe()


def complete_arguments(arguments: dict[str, Any], output: CommandOutput) -> dict[str, Any]:
    """Return the arguments of a command as the functions of Python take them, with the progress of its output."""
    arguments = arguments | {"progress": output.progress(), "memory": _add_unit(arguments["memory"])}
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
