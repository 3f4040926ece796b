"""The commands that read the results of a run: offset, hits, report, verify."""

from __future__ import annotations

from pathlib import Path

import click

from lfmm2.cli.terminal import PATH, say

# as given: a pathlib.Path drops a slash at the end, and takes nothing for this folder
NAME = click.Path(path_type=str, readable=False)


@click.command()
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


@click.command()
@click.argument("results", type=NAME)
@click.option("--fdr", type=float, default=0.05, show_default=True, help="Rate below which a SNP is a hit.")
@click.option(
    "--by", type=click.Choice(["q", "q_storey", "lfdr"]), default="q", show_default=True,
    help="The rate: Benjamini-Hochberg, Storey, or local.",
)  # fmt: skip
@click.option("--clump", metavar="DISTANCE", help="One line per clump of hits nearer than this, such as 50kb.")
@click.option("--variable", "variables", multiple=True, help="Only this one, or joint; may be given several times.")
@click.option("--out", type=NAME, metavar="PREFIX", help="Prefix of the files; that of the results by default.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def hits(
    results: str, fdr: float, by: str, clump: str | None, variables: tuple[str, ...], out: str | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """List the SNPs below a false discovery rate.

    RESULTS is the --out of a run, or any of its files. Writes <out>.hits.tsv, a table, and <out>.hits.bed for genome
    browsers.

    Example: lfmm2 hits results --fdr 0.05 --clump 50kb
    """
    from lfmm2._words import aligned
    from lfmm2.downstream import collect_hits, hits_paths, write_hits
    from lfmm2.files import check_outputs
    from lfmm2.process import terminal_progress
    from lfmm2.results import StoredRun

    run = StoredRun(results)
    prefix = run.prefix if out is None else out
    outputs = hits_paths(prefix).values()
    run.refuse_as_outputs(outputs)
    check_outputs(outputs, overwrite)
    found = collect_hits(run, fdr=fdr, clump=clump, variables=variables or None, by=by, progress=terminal_progress())
    paths = write_hits(prefix, found, overwrite)
    say(aligned(found.summary() | {f"{name} file": str(path) for name, path in paths.items()}))


@click.command()
@click.argument("results", type=NAME, nargs=-1, required=True)
@click.option("--new-env", type=PATH, required=True, help="Variables of each place to come, or at the other end.")
@click.option("--env", type=PATH, help="Variables of each place now; those of the samples of the run by default.")
@click.option("--out", type=NAME, required=True, metavar="PREFIX", help="Prefix of the file: <out>.offset.tsv.")
@click.option(
    "--effects", type=click.Choice(["ridge", "ols"]), default="ridge", show_default=True,
    help="RIDGE_BETA, as LEA has it, or BETA.",
)  # fmt: skip
@click.option("--fdr", type=float, help="Only SNPs with q below this in any variable; all by default.")
@click.option("--joint", is_flag=True, help="With --fdr, take q of the joint test.")
@click.option("--extract", type=PATH, help="Only the SNPs listed.")
@click.option("--scale/--no-scale", default=True, show_default=True, help="Axes for variables in standard deviations.")
@click.option("--missing-code", help="A value of the tables that means missing, such as -9.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def offset(
    results: tuple[str, ...], new_env: Path, env: Path | None, out: str, effects: str, fdr: float | None,
    joint: bool, extract: Path | None, scale: bool, missing_code: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Predict genetic offset between two environments of each place.

    RESULTS is the --out of a run, or any of its files; the effects of several runs, with other K, are averaged. Writes
    <out>.offset.tsv: genetic gap and RONA of each place.

    Example: lfmm2 offset results --new-env climate2070.csv --fdr 0.05 --out forest
    """
    from lfmm2._words import aligned
    from lfmm2.downstream import genetic_offset
    from lfmm2.errors import UsageError
    from lfmm2.process import terminal_progress

    if fdr is not None and extract is not None:
        raise UsageError("--fdr and --extract both choose loci; give one of them")
    if fdr is not None and not 0 < fdr <= 1:
        raise UsageError(f"--fdr is {fdr:g}; a level of q lies above 0 and at most at 1")
    if joint and fdr is None:
        raise UsageError("--joint chooses by q of the joint test; give --fdr too")
    found = genetic_offset(
        results, env, new_env, effects=effects, loci=fdr if fdr is not None else extract or "all", joint=joint,
        scale=scale, missing_code=missing_code, out=out, overwrite=overwrite, progress=terminal_progress(),
    )  # fmt: skip
    say(aligned(found.summary()))


@click.command()
@click.argument("results", type=NAME)
@click.option("--out", type=PATH, help="The HTML file; <RESULTS>.report.html by default.")
@click.option(
    "--png", metavar="FOLDER/",
    help="Also each picture by itself: FOLDER/manhattan-env1.png and so on; without a slash at the end and where there "
    "is no such folder, a prefix: PREFIX.manhattan-env1.png. An HTML file that exists then stays as it is, unless "
    "--out or --overwrite is given.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def report(results: str, out: Path | None, png: str | None, overwrite: bool) -> None:
    """Draw the results of a run: one HTML file that needs no network.

    RESULTS is the --out of a run, or any of its files. Needs matplotlib: pip install 'lfmm2[plot]'.

    Example: lfmm2 report results --png pictures/
    """
    from lfmm2.report import write_report

    for path in write_report(results, out, png=png, overwrite=overwrite):
        say(str(path))
