"""The commands that read the results of a run: offset, hits, report, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lfmm2._choices import DISCOVERY_RATES, EFFECTS, NOISES
from lfmm2.cli.option_command import Example, OptionCommand, adapt_option
from lfmm2.cli.terminal import say
from lfmm2.pipeline.options import FLAG, NUMBER, PATH, SNP_LIST, TEXT, Option

# Results are named by text, because pathlib.Path drops a slash at the end, and takes an empty text for this folder.
NAME = click.Path(path_type=str, readable=False)


_VERIFY_EXAMPLES = (Example("lfmm2 verify results", "Are the files those that the run wrote?"),)


@click.command(cls=OptionCommand, examples=_VERIFY_EXAMPLES)
@click.argument("results", type=NAME)
def verify(results: str) -> None:
    """Read the files of a run again and compare them with its record.

    RESULTS is the --out of the run, or any of its files. The exit code is 0 only if all of them are as the run wrote
    them.
    """
    from lfmm2._words import aligned, counted
    from lfmm2.results import verify as verify_results

    sizes = verify_results(results)
    say(aligned({name: f"{counted(size, 'byte')}, as written" for name, size in sizes.items()}))


_HITS = (
    Option("fdr", "--fdr", NUMBER, default=0.05, help="Rate below which a SNP is a hit."),
    Option("by", "--by", DISCOVERY_RATES, default="q", help="The rate: Benjamini-Hochberg, Storey, or local."),
    Option("clump", "--clump", TEXT, metavar="DISTANCE",
           help="One line per clump of hits nearer than this, such as 50kb, with a q of the clump."),
    Option("variables", "--variable", TEXT, repeatable=True, help="Only this one, or joint."),
    adapt_option("out", required=False, help="Prefix of the files; that of the results by default."),
    adapt_option("overwrite", help="Replace files that lfmm2 wrote before."),
)  # fmt: skip


_HITS_EXAMPLES = (
    Example("lfmm2 hits results --fdr 0.05 --clump 50kb", "One line for each clump of hits"),
    Example("lfmm2 hits results --variable temperature --by lfdr --fdr 0.2", "One variable, by its local rate"),
)  # fmt: skip


@click.command(cls=OptionCommand, options=_HITS, examples=_HITS_EXAMPLES)
@click.argument("results", type=NAME)
def hits(
    results: str, fdr: float, by: str, clump: str | None, variables: str | list[str] | None, out: str | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """List the SNPs below a false discovery rate.

    RESULTS is the --out of a run, or any of its files. Writes <out>.hits.tsv, a table, and <out>.hits.bed for genome
    browsers.
    """
    from lfmm2._words import aligned
    from lfmm2.downstream import check_hits_paths, collect_hits, write_hits
    from lfmm2.process import terminal_progress
    from lfmm2.results import StoredRun

    run = StoredRun(results)
    prefix = run.prefix if out is None else out
    check_hits_paths(prefix, run, overwrite)
    found = collect_hits(run, fdr=fdr, clump=clump, variables=variables, by=by, progress=terminal_progress())
    paths = write_hits(prefix, found, overwrite)
    say(aligned(found.summary() | {f"{name} file": str(path) for name, path in paths.items()}))


_OFFSET = (
    Option("new_env", "--new-env", PATH, required=True,
           help="Variables of each place to come, or at the other end; one row stands for all places."),
    Option("env", "--env", PATH, help="Variables of each place now; those of the samples of the run by default."),
    adapt_option("out", help="Prefix of the file: <out>.offset.tsv."),
    Option("effects", "--effects", EFFECTS, default="ridge", help="RIDGE_BETA, as LEA has it, or BETA."),
    Option("loci", "--loci", ("auto", "all"),
           help="SNPs that are averaged over: all, or by default those with q below 0.05 in any variable; if there are "
           "none, all, and sampling noise is subtracted."),
    Option("fdr", "--fdr", NUMBER, help="Only SNPs with q below this in any variable."),
    Option("joint", "--joint", FLAG, default=False, help="Take q of the joint test."),
    Option("extract", "--extract", SNP_LIST, repeatable=True, help="Only the SNPs listed, in any of several lists."),
    Option("noise", "--noise", NOISES, default="auto",
           help="Keep the sampling noise of the effects in the gap, or subtract it; by default only where --loci takes "
           "all SNPs because none is discovered."),
    Option("scale", "--scale", FLAG, default=False,
           help="Axes for variables in standard deviations, as they are by default."),
    Option("no_scale", "--no-scale", FLAG, default=False, help="Axes for variables in their units."),
    adapt_option("missing_code"),
    adapt_option("decimal"),
    adapt_option("overwrite", help="Replace a file that lfmm2 wrote before."),
)  # fmt: skip


_OFFSET_EXAMPLES = (
    Example("lfmm2 offset results --new-env climate2070.csv --out forest", "The places of the samples in 2070"),
    Example("lfmm2 offset k4 k5 k6 --env now.csv --new-env then.csv --out map",
            "Places of a map, over runs with three numbers of factors"),
)  # fmt: skip


@click.command(cls=OptionCommand, options=_OFFSET, examples=_OFFSET_EXAMPLES)
@click.argument("results", type=NAME, nargs=-1, required=True)
def offset(
    results: tuple[str, ...], loci: str | None, fdr: float | None, extract: Any, joint: bool, scale: bool,
    no_scale: bool, **arguments: Any,
) -> None:  # fmt: skip
    """Predict genetic offset between two environments of each place.

    RESULTS is the --out of a run, or any of its files; the effects of several runs, with other K, are averaged. Writes
    <out>.offset.tsv: genetic gap with its 95 % interval and RONA of each place, and which variables come to lie outside
    their range in the run.
    """
    from lfmm2._words import aligned
    from lfmm2.downstream import genetic_offset
    from lfmm2.errors import UsageError
    from lfmm2.process import terminal_progress

    if scale and no_scale:
        raise UsageError("--scale and --no-scale are the opposite of each other; give one of them")
    choices = {"--loci": loci, "--fdr": fdr, "--extract": extract}
    if len(given := [name for name, value in choices.items() if value is not None]) > 1:
        raise UsageError(f"{' and '.join(given)} {'both' if len(given) == 2 else 'all'} choose loci; give one of them")
    if fdr is not None and not 0 < fdr <= 1:
        raise UsageError(f"--fdr is {fdr:g}; a level of q lies above 0 and at most at 1")
    if joint and (extract is not None or loci == "all"):
        raise UsageError("--joint chooses by q of the joint test; leave out --extract and --loci all")
    arguments |= {"loci": fdr if fdr is not None else extract or loci or "auto", "joint": joint, "scale": not no_scale}
    found = genetic_offset(results, **arguments, progress=terminal_progress())
    say(aligned(found.summary()))


_REPORT = (
    Option("out", "--out", PATH, help="The HTML file; <RESULTS>.report.html by default."),
    Option("png", "--png", TEXT, metavar="FOLDER/",
           help="Also each picture by itself: FOLDER/manhattan-env1.png and so on; without a slash at the end and "
           "where there is no such folder, a prefix: PREFIX.manhattan-env1.png. An HTML file that exists then stays as "
           "it is, unless --out or --overwrite is given."),
    adapt_option("overwrite", help="Replace files that lfmm2 wrote before."),
)  # fmt: skip


_REPORT_EXAMPLES = (
    Example("lfmm2 report results", "One page with all pictures, results.report.html"),
    Example("lfmm2 report results --png pictures/", "Each picture by itself, too"),
)


@click.command(cls=OptionCommand, options=_REPORT, examples=_REPORT_EXAMPLES)
@click.argument("results", type=NAME)
def report(results: str, out: Path | None, png: str | None, overwrite: bool) -> None:
    """Draw the results of a run: one HTML file that needs no network.

    RESULTS is the --out of a run, or any of its files. Needs matplotlib: pip install 'lfmm2[plot]'.
    """
    from lfmm2.report import write_report

    for path in write_report(results, out, png=png, overwrite=overwrite):
        say(str(path))
