"""The commands of a run in three steps, for job arrays and workflows: factors, test, combine."""

from __future__ import annotations

from typing import Any

import click

from lfmm2.cli.command_output import OUTPUT_OPTIONS, CommandOutput
from lfmm2.cli.config_file import ConfiguredCommand, command_of
from lfmm2.cli.option_command import Example, adapt_option
from lfmm2.cli.result_commands import NAME
from lfmm2.cli.run_command import check_given, complete_arguments, time_line
from lfmm2.pipeline.options import PATH, TABLE, TEXT, Option

# The options of `run`; the report is made by the last step.
FACTORS = tuple(option for option in TABLE if option.name != "report")


_FACTORS_EXAMPLES = (
    Example("lfmm2 factors --bed plants.bed --env climate.csv -K 5 --out parts/plants", "Before the tests"),
    Example("lfmm2 factors --bed 'chr@.bed' --env climate.csv -K 5 --out parts/plants", "Of several filesets"),
)


@click.command(cls=ConfiguredCommand, options=FACTORS, examples=_FACTORS_EXAMPLES)
@click.pass_context
def factors(context: click.Context, /, dry_run: bool, **arguments: Any) -> None:
    """Estimate the factors alone, for tests in parts.

    Takes all options of lfmm2 run, also those of the tests and tables, which the other steps take from the file that is
    written, <out>.factors.npz. Then lfmm2 test tests each part, and lfmm2 combine writes the results of lfmm2 run.
    """
    output = CommandOutput.take(arguments)
    from lfmm2._words import aligned
    from lfmm2.pipeline import execute_start, prepare_start

    arguments = complete_arguments(arguments, output)
    check_given(arguments)
    with prepare_start(arguments, command_of(context)) as prepared:
        output.say(prepared.plan.describe(time_line(prepared, dry_run)))
        if not dry_run:
            output.say(aligned({"factors file": str(execute_start(prepared))}))


_TEST = (
    Option("factors", "--use-factors", PATH, required=True, help="The file of lfmm2 factors."),
    Option("part", "--part", TEXT, metavar="I/N", required=True,
           help="Number of the part, and of all parts, as 3/22. Parts are ranges of SNPs of about the same length."),
    adapt_option("out", required=False,
                 help="Prefix of the file, <out>.part-3-of-22.npz; that of the factors by default."),
    adapt_option("overwrite", help="Replace the file of this part."),
    adapt_option("resume", help="Go on with an unfinished part, if there is one; do nothing where it is complete."),
    adapt_option("n_threads", help="Threads; all processors that the process may use by default."),
    adapt_option("memory"),
    *map(adapt_option, OUTPUT_OPTIONS),
)  # fmt: skip
_TEST_EXAMPLES = (
    Example("lfmm2 test --use-factors parts/plants.factors.npz --part 3/22 --threads 4", "The third of 22 parts"),
    Example('lfmm2 test --use-factors parts/plants.factors.npz --part "$SLURM_ARRAY_TASK_ID/22" --resume',
            "As a task of a job array, which may be started again"),
)  # fmt: skip


@click.command(cls=ConfiguredCommand, options=_TEST, examples=_TEST_EXAMPLES)
@click.pass_context
def test(context: click.Context, /, factors: Any, part: str, **arguments: Any) -> None:
    """Test one of several parts of the SNPs.

    All else is as lfmm2 factors was told. Writes <out>.part-3-of-22.npz, the rows before calibration.
    """
    output = CommandOutput.take(arguments)
    from lfmm2._words import aligned
    from lfmm2.pipeline import execute_part, prepare_part

    with prepare_part(factors, part, complete_arguments(arguments, output), command_of(context)) as prepared:
        output.say(aligned(prepared.summary()))
        output.say(aligned({"part file": str(execute_part(prepared))}))


_COMBINE = (
    adapt_option("out"),
    Option("factors", "--use-factors", PATH,
           help="The file of lfmm2 factors; by default where it was when the parts were tested."),
    adapt_option("overwrite"),
    adapt_option("resume"),
    adapt_option("report"),
    adapt_option("n_threads", help="Threads; all processors that the process may use by default."),
    adapt_option("memory"),
    *map(adapt_option, OUTPUT_OPTIONS),
)  # fmt: skip
_COMBINE_EXAMPLES = (
    Example("lfmm2 combine parts/plants.part-*.npz --out results", "All parts, in any order"),
    Example("lfmm2 combine parts/plants.part-*.npz --out results --report", "With pictures"),
)


@click.command(cls=ConfiguredCommand, options=_COMBINE, examples=_COMBINE_EXAMPLES)
@click.argument("parts", type=NAME, nargs=-1, required=True)
@click.pass_context
def combine(
    context: click.Context, /, parts: tuple[str, ...], out: str, factors: Any, overwrite: bool, resume: bool,
    report: bool, **arguments: Any,
) -> None:  # fmt: skip
    """Calibrate the tests of all parts, and write the results.

    PARTS are the files of lfmm2 test, in any order. The result files are those of lfmm2 run, byte for byte.
    """
    output = CommandOutput.take(arguments)
    from lfmm2.pipeline import execute_run, prepare_combination

    arguments |= {"out": out, "overwrite": overwrite, "resume": resume}
    arguments = complete_arguments(arguments, output)
    prepared, gathered = prepare_combination(list(parts), factors, arguments, command_of(context))
    with prepared:
        if report:
            from lfmm2.report import check_report

            check_report(out, overwrite or resume)
        is_new = not prepared.files.is_complete
        result = execute_run(prepared, gathered)
    output.say_results(result, out, report, overwrite or resume, is_new)
