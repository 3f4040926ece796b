"""Write the report of a run: summarise its tables, draw its pictures, and write one HTML file and a PNG per picture."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lfmm2._typing import AnyPath
from lfmm2._words import counted, with_spaces
from lfmm2.errors import UsageError
from lfmm2.files import OutputSet, OwnFiles, check_outputs, manifest_of, translated
from lfmm2.model import LEVEL
from lfmm2.report import plots
from lfmm2.report.figure_style import as_png, off_screen, require_matplotlib
from lfmm2.report.html_page import Contents, as_html
from lfmm2.report.html_parts import Picture
from lfmm2.report.k_plots import read_sweep
from lfmm2.report.summaries import (
    SnpSummary,
    TableSummary,
    read_layout,
    summarise_briefly,
    summarise_snps,
    summarise_table,
)
from lfmm2.results import AnyRun, StoredRun, open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Number of variables that have pictures; the others have a line each. With more the page becomes long and large.
MOST_VARIABLES = 12
# Variables in the picture of correlations; the rows of more are too low for their names.
_MOST_ROWS = 60


class _PlannedPicture(NamedTuple):
    """A picture to be drawn, as `Picture` describes it, and the name of its PNG without ".png"."""

    kind: str
    of: str
    file: str


def check_report(prefix: AnyPath, overwrite: bool = False) -> None:
    """Check, before a run with this prefix, that `write_report` will be able to write its page.

    Raises
    ------
    UsageError
        If matplotlib is absent.
    OutputExistsError, WriteError
        If ``<prefix>.report.html`` exists and `overwrite` is false; if it cannot be written.
    """
    require_matplotlib()
    page = _page_path(prefix)
    check_outputs([page], overwrite, OwnFiles.of_manifest(_page_manifest(page)))


def _page_path(prefix: AnyPath) -> Path:
    """Return the path of the HTML file of a run."""
    return Path(f"{os.fspath(prefix)}.report.html")


def _page_manifest(page: Path) -> Path:
    """Return the path of the manifest that vouches for a page."""
    return manifest_of(page.with_name(page.name.removesuffix(".html").removesuffix(".report") or page.name), "report")


def write_report(
    results: AnyRun,
    out: AnyPath | None = None,
    *,
    png: AnyPath | None = None,
    overwrite: bool = False,
    dpi: float = 150,
) -> list[Path]:
    """Write a self-contained HTML report of a run, and its pictures as PNG if `png` says where.

    Parameters
    ----------
    results : StoredRun, path or result of `lfmm2.run`
        A run, the prefix that was its `out`, or a result that was written to files.
    out : path, optional
        The HTML file; ``<prefix>.report.html`` if None.
    png : path, optional
        An existing folder, or a path that ends with a slash and is made a folder: it gets files ``<picture>.png``. Any
        other path is a prefix of files ``<png>.<picture>.png``. If `png` is given, an HTML file that exists stays as it
        is, unless `out` or `overwrite` is given too.
    overwrite : bool
        Replace files that exist.
    dpi : float
        Pixels per inch of the pictures, which are up to 10 inches wide.

    Returns
    -------
    list of Path
        The files written, the HTML first if it is one of them.

    Raises
    ------
    UsageError
        If matplotlib is absent; if `out` is a file of the results, or these were not written to files; if `png` is
        empty, or ends with a slash and is a file.
    OutputExistsError, WriteError
        If files exist and `overwrite` is false; if they cannot be written: then there are none.
    ReadError, MalformedInputError
        If the results are incomplete or damaged.

    Notes
    -----
    Every table is read once, the first one also for positions and frequencies. Memory does not grow with the number of
    SNPs. Variables beyond the first 12 have a line each instead of pictures.

    Examples
    --------
    >>> lfmm2.write_report("results", png="pictures/")          # doctest: +SKIP
    """
    require_matplotlib()
    run = open_run(results)
    page = _page_path(run.prefix) if out is None else Path(out)
    run.refuse_as_outputs([page])
    is_kept = png is not None and out is None and not overwrite and page.is_file()
    pages = [] if is_kept else [page]
    own_pages = OwnFiles.of_manifest(_page_manifest(page))
    check_outputs(pages, overwrite, own_pages)
    plans = list(_plan_pictures(run))
    with _make_folder(png):
        files = {} if png is None else {plan: _png_path(png, plan.file) for plan in plans}
        pictures = None if png is None else _pictures_manifest(png)
        own_pictures = {} if pictures is None else OwnFiles.of_manifest(pictures).stamps
        check_outputs([*pages, *files.values()], overwrite, OwnFiles(own_pages.stamps | own_pictures))
        with off_screen():
            contents = _draw_contents(run, plans, dpi)
        with OutputSet(overwrite) as outputs:
            for path in pages:
                outputs.open(path, _page_manifest(page)).write(as_html(contents))
            drawn = {(picture.kind, picture.of): picture.png for picture in contents.pictures}
            for plan, path in files.items():
                outputs.open(path, pictures).write(drawn[plan.kind, plan.of])
    return [*pages, *files.values()]


@contextlib.contextmanager
def _make_folder(png: AnyPath | None) -> Iterator[None]:
    """Make the folder of a `png` that ends with a slash, if it is absent, and remove it if the block fails."""
    text = "" if png is None else os.fspath(png)
    folder = Path(text)
    if png is not None and not text:
        raise UsageError("png is empty; give a folder, or the beginning of the names of the pictures")
    made = False
    if text.endswith(("/", os.sep)):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{text} is a file; give a folder, or without the slash the beginning of names")
        if not folder.exists():
            with translated(folder):
                folder.mkdir()
            made = True
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _png_path(png: AnyPath, name: str) -> Path:
    """Return the path of a picture, in the folder `png` or with the prefix `png`."""
    folder = Path(png)
    return folder / f"{name}.png" if folder.is_dir() else folder.with_name(f"{folder.name}.{name}.png")


def _pictures_manifest(png: AnyPath) -> Path:
    """Return the path of the manifest of the pictures in the folder `png`, or with the prefix `png`."""
    folder = Path(png)
    return folder / "lfmm2-pictures.json" if folder.is_dir() else manifest_of(png, "pictures")


def _variables_with_pictures(run: StoredRun) -> tuple[str, ...]:
    """Return the first `MOST_VARIABLES` variables."""
    return run.variables[:MOST_VARIABLES]


def _plan_pictures(run: StoredRun) -> Iterator[_PlannedPicture]:
    """List the pictures of a run, in the order of the report; those for which it has no data are left out."""
    taken: set[str] = set()
    shown = _variables_with_pictures(run)

    def plan(kind: str, of: str = "") -> _PlannedPicture:
        # The name of a variable may have letters that a file name must not have.
        name = f"{kind}-{re.sub(r'[^a-zA-Z0-9.+-]+', '_', of)[:40]}" if of else kind
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        return _PlannedPicture(kind, of, name)

    joint = [name for name in run.tables if name not in run.variables]
    for name in (*shown, *joint):
        yield from (plan(kind, name) for kind in ("manhattan", "qq", "p-histogram"))
    if run.path("scree") is not None:
        yield plan("scree")
    if run.path("sweep") is not None:
        yield from (plan("gif-by-k"), plan("discoveries-by-k"))
    if run.path("sweep-histograms") is not None:
        yield from (plan("histograms-by-k", name) for name in shown)
    if run.n_factors:
        yield plan("factor-correlations")
        yield from (plan("factors", name) for name in shown)
    if run.record.tested.noun == "SNP":  # features have no alleles
        yield plan("frequencies")
    yield plan("missingness")


def _draw_contents(run: StoredRun, plans: list[_PlannedPicture], dpi: float) -> Contents:
    """Summarise the tables of a run and draw its pictures."""
    contents = Contents(run, summarise_snps(run))
    if run.path("sweep") is not None:
        contents.sweep = read_sweep(run).to_pylist()
    layout = read_layout(run)
    wanted = {plan.of for plan in plans if plan.kind == "manhattan"}
    for name in run.tables:
        if name in wanted:
            contents.tables.append(summarise_table(run, name, layout))
        else:
            contents.others.append(summarise_briefly(run, name))
    by_name = {table.name: table for table in contents.tables}
    for plan in plans:
        axes, alt, caption = _draw(run, plan, by_name.get(plan.of), contents.snps)
        contents.pictures.append(Picture(plan.kind, plan.of, as_png(axes, dpi), alt, caption, dpi))
    return contents


def _draw(run: StoredRun, plan: _PlannedPicture, table: TableSummary | None, snps: SnpSummary) -> tuple[Axes, str, str]:
    """Draw a picture; return it with its text for readers who do not see it, and with its caption."""
    of = plan.of
    if table is not None and plan.kind in ("manhattan", "qq", "p-histogram"):
        return _draw_table(plan.kind, table)
    variables = _variables_with_pictures(run)
    is_calibrated = run.record.calibration.method != "none"
    draw: dict[str, tuple[Callable[[], Axes], str, str]] = {
        "scree": (
            lambda: plots.scree(run),
            "Scree plot: eigenvalues of the axes of structure and the edge of the bulk",
            f"Eigenvalues above the dashed edge are larger than chance makes them; filled: Tracy–Widom p < {LEVEL:g}.",
        ),
        "gif-by-k": (
            lambda: plots.gif_by_k(run, variables=variables),
            f"Genomic inflation factor against K of {', '.join(variables)}",
            "The GIF falls to about 1 as the factors take up the structure; below 1 they take up more than that.",
        ),
        "discoveries-by-k": (
            lambda: plots.discoveries_by_k(run, variables=variables),
            f"Number of discoveries against K of {', '.join(variables)}",
            "A number that is stable around the chosen K is reassuring"
            + ("; calibrated p at every K." if is_calibrated else "; p at every K, not calibrated."),
        ),
        "histograms-by-k": (
            lambda: plots.histograms_by_k(run, of),
            f"Histograms of p of {of}, one for each K",
            f"{of}: the {'calibrated ' if is_calibrated else ''}histogram should be flat but for a peak at 0; dashed: "
            "uniform.",
        ),
        "factor-correlations": (
            lambda: plots.factor_correlations(run, variables=run.design()[0][:_MOST_ROWS]),
            "Heat map of the correlations of variables and factors",
            "Correlations over the samples in use"
            + (f", first {_MOST_ROWS} variables." if len(run.variables) > _MOST_ROWS else "."),
        ),
        "factors": (
            lambda: plots.factors(run, of),
            f"Samples on the first factors, coloured by {of}",
            "",
        ),
        "frequencies": (lambda: plots.frequencies(snps), "Histogram of the frequencies of A1", ""),
        "missingness": (
            lambda: plots.missingness(snps),
            f"Histogram of the share of missing calls per {snps.noun}, mean {100 * snps.missing_mean:.2g} %",
            "",
        ),
    }
    function, alt, caption = draw[plan.kind]
    return function(), alt, caption


def _draw_table(kind: str, table: TableSummary) -> tuple[Axes, str, str]:
    """Draw a picture of one table, as `_draw` does."""
    name, found = table.name, table.discoveries
    counts = f"{with_spaces(found[0].count)} of {counted(table.n_tested, table.noun)} with q < 0.05"
    sets = "raw and calibrated p" if table.is_calibrated else "p"
    if kind == "manhattan":
        top = table.loci[0] if table.loci else None
        strongest = f", the strongest is {top.snp}" if top else ""
        strongest += f" on contig {top.contig}" if top and table.layout.has_positions.any() else ""
        have = "has" if found[1].count == 1 else "have"
        order = (
            "Contigs in the order of the file" if table.layout.has_positions.any() else f"{table.noun}s in their order"
        )
        caption = f"{order}. Orange: q < 0.05 ({counted(found[0].count, table.noun)}"
        caption += f"; {with_spaces(found[1].count)} {have} q < 0.1). "
        points = table.manhattan
        if points.full_from:
            caption += (
                f"From {points.full_from:.3g} on every {table.noun} is drawn ({with_spaces(len(points.y))}), "
                f"the {with_spaces(int(points.grid.sum()))} below as the cells of a grid."
            )
        return plots.manhattan(table), f"Manhattan plot of {name}: {counts}{strongest}", caption
    if kind == "qq":
        caption = "Grey: 95 % band of independent p. " + (
            "SNPs in linkage disequilibrium leave it more easily."
            if table.noun == "SNP"
            else "Features that are correlated leave it more easily."
        )
        if table.surrogates is not None:
            caption += (
                " Line: surrogate variables, which follow structure as the variables do and no "
                f"{table.noun} is associated with."
            )
        return plots.qq(table), f"QQ plot of {name}, {sets} of {counted(table.n_tested, table.noun)}", caption
    caption = "Flat but for a peak at 0 if the null is right; a hump or a slope says it is not."
    return plots.p_histogram(table), f"Histogram of the {sets} of {name}", caption
