"""The command `run`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfmm2.cli.config_file import ConfiguredCommand, command_of
from lfmm2.cli.option_command import Example
from lfmm2.cli.own_process import resting_collector
from lfmm2.cli.terminal import say, speak_json, tell, tell_program
from lfmm2.errors import UsageError
from lfmm2.pipeline.options import TABLE

if TYPE_CHECKING:
    from lfmm2.results import RunRecord


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
    context: click.Context, /, out: str, overwrite: bool, resume: bool, report: bool, dry_run: bool, quiet: bool,
    verbose: bool, log_json: bool, **arguments: Any,
) -> None:  # fmt: skip
    """Estimate the factors and test every SNP.

    Samples are matched by ID. The plan is printed and all inputs are checked before any work; result files appear
    when they are complete. A run that was interrupted goes on with --resume.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose are the opposite of each other; give one of them")
    started = time.monotonic()
    speak_json(log_json)
    with resting_collector():
        from lfmm2._words import aligned
        from lfmm2.pipeline import RunOptions, execute_run, prepare_run, ways_given
        from lfmm2.process import json_progress
        from lfmm2.results import answer_facts, answer_lines, open_record
        from lfmm2.statistics import sweep_lines

    tell_people: Callable[[str], None] = (lambda text: None) if quiet else say
    arguments |= {"out": out, "overwrite": overwrite, "resume": resume}
    arguments["progress"] = json_progress() if log_json else not quiet
    arguments["memory"] = _add_unit(arguments["memory"])
    arguments["missing_genotype"] = _read_codes(arguments["missing_genotype"])
    options = RunOptions.from_arguments(arguments, command_of(context))
    est_bed, full_bed, X, K, covar = (arguments[name] for name in ("est_bed", "full_bed", "X", "K", "covar"))
    if not ways_given(full_bed, options.snps):
        raise UsageError(
            "there are no genotypes to test; give --bed PREFIX or --vcf FILE, or --pfile, --bgen, --zarr or --matrix"
        )
    with prepare_run(est_bed, full_bed, X, K, options, covar) as prepared:
        if report:
            from lfmm2.report import check_report

            check_report(out, overwrite or resume)
        if (converted := prepared.inputs.converted) is not None:
            tell_people(aligned(converted.summary()) + "\n")
        if (matrix := prepared.inputs.matrix) is not None:
            tell_people(aligned(matrix.summary()) + "\n")
        tell_people(prepared.plan.describe())
        tell_program("plan", **prepared.plan.for_record())
        if prepared.files.is_complete:
            tell_people("These results are complete; nothing is left to do.")
        elif kept := prepared.files.describe_unfinished():
            tell_people(aligned({"resumed with": kept}))
        if dry_run:
            return
        is_new = not prepared.files.is_complete
        result = execute_run(prepared)
    if result.sweep is not None:
        tell_people("\n" + "\n".join(sweep_lines(result.sweep, result.variables)) + "\n")
    record = open_record(result.paths["record"])
    paths = {name: str(path) for name, path in result.paths.items()}
    if report:
        from lfmm2.report import write_report

        paths |= {"report": str(write_report(out, overwrite=overwrite or resume)[0])}
    elif is_new and (pictures := Path(f"{out}.report.html")).exists():
        tell("warning", f"{pictures} shows earlier results; lfmm2 report {out} --overwrite renews it")
    seconds = time.monotonic() - started
    tell_people(_describe_results(record, paths, verbose))
    tell_people("\n" + aligned(answer_lines(record, out, seconds)))
    tell_program("answer", **answer_facts(record), seconds=round(seconds, 3), files=paths)


def _describe_results(record: RunRecord, paths: dict[str, str], verbose: bool) -> str:
    """Return the lines about all that the run has found and written; with `verbose` those of the log alone too."""
    from lfmm2._words import aligned
    from lfmm2.results import pass_lines, result_lines, software_line

    lines = result_lines(record)
    if not verbose:
        del lines["singular values"]
        if not any(facts.others for facts in record.collinearity.values()):
            lines.pop("VIF", None)  # No variable is correlated so far that it matters.
    lines |= {("report" if name == "report" else f"{name} file"): path for name, path in paths.items()}
    return "\n\n".join([aligned(lines), *([software_line(record), aligned(pass_lines(record))] if verbose else [])])


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
