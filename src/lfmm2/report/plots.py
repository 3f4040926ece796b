"""Pictures of a run: one function per picture, which draws into `ax` or a new figure and returns the Axes.

Each takes a `StoredRun`, the prefix of its files, a result of `lfmm2.run`, or the ready summary. matplotlib comes with
``lfmm2[plot]``; its rcParams do not change. Where pyplot is interactive, as after ``%matplotlib inline``, a notebook
shows the picture; otherwise ``ax.figure`` has it.

>>> import lfmm2.plots
>>> lfmm2.plots.manhattan("results", "env1").figure.savefig("env1.png")          # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lfmm2._words import counted, with_error, with_spaces
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.report.figure_style import COLOURS, DARK, GREY, HIT, LIGHT, LINE, canvas, p_bars, plain, say, ticks
from lfmm2.report.k_plots import discoveries_by_k, gif_by_k, histograms_by_k, scree
from lfmm2.report.picture_sums import Layout
from lfmm2.report.summaries import SnpSummary, TableSummary, summarise_snps, summarise_table
from lfmm2.results import AnyRun, StoredRun, open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "discoveries_by_k", "factor_correlations", "factors", "frequencies", "gif_by_k", "histograms_by_k",
    "manhattan", "missingness", "p_histogram", "qq", "scree",
]  # fmt: skip

_LOG_P = r"$-\log_{10}\,p$"
# Samples drawn on two factors; of more only every second, third, ... is drawn, because points would hide each other.
_MOST_SAMPLES = 20_000


def _summarise(run: AnyRun | TableSummary, variable: str | None) -> TableSummary:
    """Return the summary of a table of a run, the first if `variable` is None, or the ready one."""
    if isinstance(run, TableSummary):
        return run
    run = open_run(run)
    return summarise_table(run, run.tables[0] if variable is None else variable)


def _design(run: StoredRun) -> tuple[tuple[str, ...], Any, Any]:
    """Read the names of the variables, their values (n, d) and the factors (n, K), and check that these fit."""
    U = run.factors().U
    names, X = run.design()
    if U.ndim != 2 or X.shape != (len(U), len(names)):
        fact = f"{run.path('factors')}: {len(names)} variables of shape {X.shape}, factors of shape {U.shape}"
        raise MalformedInputError(f"{fact}; run again")
    if U.shape[1] < run.n_factors:
        fact = f"{run.path('factors')}: {counted(U.shape[1], 'factor')}, but the tables are of K = {run.n_factors}"
        raise MalformedInputError(f"{fact}; run again")
    return names, X, U


def _heading(table: TableSummary, facts: str, most: int = 18) -> str:
    """Return the title of a picture; at most `most` letters of the variable's name are shown."""
    gif = f", GIF {with_error(table.gif, table.gif_se)}" if np.isfinite(table.gif) else ""
    return f"{plain(table.name, most)}, K = {table.n_factors}{gif}: {facts}"


def manhattan(run: AnyRun | TableSummary, variable: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw -log10 p along the genome, of calibrated p if the run has them; contigs are in their natural order.

    Parameters
    ----------
    run : StoredRun, path, result of `lfmm2.run` or TableSummary
    variable : str, optional
        A variable, or "joint"; the first variable if None.
    ax : matplotlib Axes, optional
        Axes to draw into; those of a new figure if None.

    Notes
    -----
    Up to 50 000 SNPs are drawn one by one. Of more SNPs, those with a -log10 p below 3, or below a higher limit if more
    than 200 000 are above 3, are drawn as the cells of a grid. SNPs with q < 0.05 are orange.
    """
    table = _summarise(run, variable)
    with canvas(ax, 10.0, 3.4) as axes:
        n_found = table.discoveries[0].count
        axes.set_title(
            _heading(table, f"{with_spaces(n_found)} of {counted(table.n_tested, table.noun)} with q < 0.05", 40)
        )
        axes.set_ylabel(f"{_LOG_P}, calibrated" if table.is_calibrated else _LOG_P)
        if not table.n_tested:
            say(axes, f"no {table.noun} has a p")
            return axes
        points, layout = table.manhattan, table.layout
        columns, rows = np.nonzero(points.grid)
        grid_x = (columns + 0.5) * (layout.total / points.grid.shape[0])
        grid_contigs = np.maximum(np.searchsorted(layout.starts, grid_x, side="right") - 1, 0)
        line = table.discoveries[0].line if n_found else np.inf
        found, found_cells = points.y >= line, rows * points.row_height >= line
        # Cells and SNPs have the same size, so that no seam is seen between them.
        size = 2.3 if points.full_from else 3.2 if table.n_tested > 1000 else 5.5
        for parity, colour in enumerate((DARK, LIGHT)):
            cells = (grid_contigs % 2 == parity) & ~found_cells
            _dots(axes, grid_x[cells], (rows[cells] + 0.5) * points.row_height, colour, size)
            alone = (points.contigs % 2 == parity) & ~found
            _dots(axes, points.x[alone], points.y[alone], colour, size)
        _dots(axes, grid_x[found_cells], (rows[found_cells] + 0.5) * points.row_height, HIT, size)
        _dots(axes, points.x[found], points.y[found], HIT, 5.5 if n_found <= 1000 else 3.2)
        highest = max(float(points.y.max(initial=0.0)), 1.0)
        axes.set_ylim(0, 1.06 * highest)
        margin = 0.01 * layout.total
        axes.set_xlim(-margin, layout.total + margin)
        _fdr_lines(axes, table, 1.06 * highest)
        _contig_axis(axes, layout, table.noun)
    return axes


def _dots(axes: Any, x: Any, y: Any, colour: str, size: float) -> None:
    """Draw points without an edge, as pixels also in a vector format, since there may be many."""
    if len(x):
        axes.plot(x, y, ".", color=colour, markersize=size, markeredgewidth=0, rasterized=True)


def _fdr_lines(axes: Any, table: TableSummary, top: float) -> None:
    """Draw a line at the weakest discovery of each level, with its name beside the axes."""
    found = [of for of in table.discoveries if of.count]
    names = [f"FDR {100 * of.level:g} %" for of in found]
    if len(found) == 2 and found[0].line == found[1].line:
        found, names = found[:1], ["FDR 5, 10 %"]
    close = len(found) == 2 and found[0].line - found[1].line < 0.06 * top
    for of, name, dashes, beside in zip(found, names, ("--", ":"), ("bottom", "top"), strict=False):
        axes.axhline(of.line, color=LINE, linewidth=0.8, linestyle=dashes)
        style: dict[str, Any] = {"ha": "left", "va": beside if close else "center", "color": LINE, "fontsize": 8}
        axes.text(1.005, of.line, name, transform=axes.get_yaxis_transform(), **style)


def _contig_axis(axes: Any, layout: Layout, noun: str) -> None:
    """Write the names of contigs below their middles; if there is no room for all, the widest contigs are named.

    A single contig has an axis of its positions instead, or of the numbers of its SNPs if these have no positions.
    """
    if len(layout.names) == 1 and layout.last[0] > layout.first[0]:
        from matplotlib.ticker import MaxNLocator

        low, high = layout.first[0] / 1e6, layout.last[0] / 1e6
        ticks = [tick for tick in MaxNLocator(8).tick_values(low, high) if low <= tick <= high]
        axes.set_xticks([(tick - low) / (high - low) * layout.total for tick in ticks], [f"{t:.6g}" for t in ticks])
        axes.set_xlabel(f"position on {plain(layout.names[0])} (Mb)")
        return
    if len(layout.names) == 1 and not layout.has_positions[0]:
        from matplotlib.ticker import MaxNLocator

        n_snps = int(layout.counts[0])
        ticks = [tick for tick in MaxNLocator(8, integer=True).tick_values(1, n_snps) if 1 <= tick <= n_snps]
        axes.set_xticks([(tick - 0.5) / n_snps * layout.total for tick in ticks], [f"{t:.0f}" for t in ticks])
        axes.set_xlabel(f"number of the {noun}, in the order of the genotypes")
        return
    centres = layout.starts + layout.widths / 2
    names = [plain(name, 16) for name in layout.names]
    # The width of the axes in inches is estimated, because matplotlib lays the figure out only when it is drawn.
    inches = axes.figure.get_size_inches()[0] * max(float(axes.get_position().width), 0.05)
    per_inch = layout.total / (1.14 * inches)
    half_widths = [per_inch * (0.032 * len(name) + 0.02) for name in names]
    taken: list[tuple[float, float]] = []
    shown = []
    for i in np.argsort(-layout.widths, kind="stable")[:500]:
        low, high = centres[i] - half_widths[i], centres[i] + half_widths[i]
        if all(high <= other_low or low >= other_high for other_low, other_high in taken):
            taken.append((low, high))
            shown.append(int(i))
    shown.sort()
    axes.set_xticks(centres[shown], [names[i] for i in shown], fontsize=8)
    axes.tick_params(axis="x", length=0)
    left_out = len(names) - len(shown)
    more = f" ({len(names)}, of which {len(shown)} are named)" if left_out else ""
    axes.set_xlabel(f"contig{more}")


def qq(run: AnyRun | TableSummary, variable: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the observed -log10 p against those expected of uniform p: raw and, if the run has them, calibrated.

    The band holds each order statistic of independent p with probability 95 %. A line shows the calibrated p of the
    surrogate variables, if the run has drawn some: the null that SNPs should follow. Parameters are those of
    `manhattan`.
    """
    table = _summarise(run, variable)
    with canvas(ax, 4.6, 4.2) as axes:
        axes.set_title(_heading(table, "QQ"))
        axes.set_xlabel(f"{_LOG_P} expected")
        axes.set_ylabel(f"{_LOG_P} observed")
        points, raw = table.qq, table.qq_raw
        if not points.n:
            say(axes, f"no {table.noun} has a p")
            return axes
        axes.fill_between(points.expected, points.low, points.high, color="#DDE3E9", linewidth=0, label="95 % band")
        top = float(points.expected[0])
        axes.plot([0, top], [0, top], color=LINE, linewidth=0.8)
        size = 3 if points.n > 100 else 5
        style: dict[str, Any] = {"linestyle": "", "markeredgewidth": 0, "markersize": size, "rasterized": True}
        if table.is_calibrated:
            axes.plot(raw.expected, raw.observed, "o", color=GREY, label="raw", **style)
        label = "calibrated" if table.is_calibrated else "raw"
        axes.plot(points.expected, points.observed, "o", color=COLOURS[0], label=label, **style)
        if (null := table.surrogates) is not None and null.expected:
            axes.plot(null.expected, null.observed, "-", color=COLOURS[1], linewidth=1.2, label="surrogates")
        axes.set_xlim(0, 1.03 * top)
        axes.set_ylim(0, 1.05 * max(float(points.observed[0]), float(raw.observed[0]), float(points.high[0])))
        axes.legend(loc="upper left")
    return axes


def p_histogram(run: AnyRun | TableSummary, variable: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the histogram of p, calibrated (bars) and raw (outline); it is flat but for a peak at 0 if all is well.

    Without calibration the bars are the raw p. Parameters are those of `manhattan`.
    """
    table = _summarise(run, variable)
    with canvas(ax, 4.6, 4.2) as axes:
        axes.set_title(_heading(table, "p"))
        axes.set_xlabel("p")
        axes.set_ylabel(f"{table.noun}s")
        if not table.n_tested:
            say(axes, f"no {table.noun} has a p")
            return axes
        p_bars(axes, table.p_counts, table.p_counts_raw if table.is_calibrated else None)
        axes.legend(loc="upper right", fontsize=8)
        axes.set_ylim(0, 1.25 * max(int(table.p_counts.max()), int(table.p_counts_raw.max())))
    return axes


def factors(run: AnyRun, variable: str | None = None, pair: tuple[int, int] = (1, 2), ax: Axes | None = None) -> Axes:
    """Draw the samples on two factors, coloured by a variable (the first if None).

    `pair` has the numbers of the two factors, from 1. If there is only one factor, the variable is drawn against it.
    """
    run = open_run(run)
    names, X, U = _design(run)
    variable = names[0] if variable is None else variable
    if variable not in names:
        raise UsageError(f"{variable!r} is no variable of this run; it has {', '.join(names)}")
    if U.shape[1] and not all(1 <= k <= U.shape[1] for k in pair[: U.shape[1]]):
        raise UsageError(f"pair is {pair}; factors are numbered from 1 to {U.shape[1]}")
    x = X[:, names.index(variable)]
    step = -(-len(U) // _MOST_SAMPLES)
    U, x = U[::step], x[::step]
    some = f", 1 of {step} samples" if step > 1 else ""
    with canvas(ax, 5.0, 4.0) as axes:
        axes.set_title(f"{counted(len(x), 'sample')}{some} by {plain(variable, 24)}")
        if not U.shape[1]:
            say(axes, "K = 0, no factors")
            return axes
        axes.set_xlabel(f"factor {pair[0]}")
        size = 14 if len(x) <= 2000 else 5
        if U.shape[1] == 1:
            axes.set_ylabel(plain(variable))
            axes.scatter(U[:, pair[0] - 1], x, s=size, color=COLOURS[0], linewidths=0, alpha=0.7, rasterized=True)
            return axes
        axes.set_ylabel(f"factor {pair[1]}")
        axes.locator_params(nbins=5)
        style: dict[str, Any] = {"s": size, "cmap": "viridis", "linewidths": 0, "alpha": 0.85, "rasterized": True}
        dots = axes.scatter(U[:, pair[0] - 1], U[:, pair[1] - 1], c=x, **style)
        bar = axes.figure.colorbar(dots, ax=axes, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label(plain(variable))
    return axes


def correlations(run: AnyRun) -> tuple[tuple[str, ...], Any]:
    """Return the variables, and their correlations with the factors, shape (d, K); NaN if one of both is constant."""
    run = open_run(run)
    names, X, U = _design(run)
    with np.errstate(divide="ignore", invalid="ignore"):
        X, U = ((A - A.mean(0)) / np.sqrt(((A - A.mean(0)) ** 2).sum(0)) for A in (X, U))
        return names, X.T @ U  # (d, K)


def factor_correlations(run: AnyRun, ax: Axes | None = None, variables: Sequence[str] | None = None) -> Axes:
    """Draw the correlation of each variable with each factor as a heat map; `variables` chooses some."""
    names, r = correlations(run)
    if variables is not None:
        kept = [names.index(name) for name in variables]
        names, r = tuple(variables), r[kept]
    d, n_factors = r.shape
    with canvas(ax, 2.8 + 0.5 * min(max(n_factors, 3), 20), 1.5 + 0.26 * max(d, 2)) as axes:
        axes.set_title("Correlation of variables and factors")
        if not n_factors:
            say(axes, "K = 0, no factors")
            return axes
        image = axes.imshow(r, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        numbers = range(1, n_factors + 1) if n_factors <= 25 else ticks(1, n_factors)
        axes.set_xticks([k - 1 for k in numbers], [str(k) for k in numbers])
        axes.set_yticks(range(d), [plain(name, 24) for name in names])
        axes.set_xlabel("factor")
        K = open_run(run).n_factors
        if 0 < K < n_factors:
            axes.axvline(K - 0.5, color=LINE, linewidth=1.2)
            axes.set_xlabel(f"factor (the tables are of the first{f' {K}' if K > 1 else ''})")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if d * n_factors <= 240 and n_factors <= 20:
            for (i, k), value in np.ndenumerate(r):
                colour = "white" if abs(value) > 0.6 else "#222222"
                if np.isfinite(value):
                    # A zero is written without a sign, and the minus is the typographic one.
                    text = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
                    axes.text(k, i, text, ha="center", va="center", color=colour, fontsize=7)
        bar = axes.figure.colorbar(image, ax=axes, pad=0.02, ticks=[-1, 0, 1])
        bar.outline.set_visible(False)
    return axes


def frequencies(run: AnyRun | SnpSummary, ax: Axes | None = None) -> Axes:
    """Draw the histogram of the frequency of A1 over all SNPs."""
    snps = run if isinstance(run, SnpSummary) else summarise_snps(run)
    with canvas(ax, 4.6, 3.2) as axes:
        axes.set_title(f"Allele frequency of {counted(int(snps.frequency_counts.sum()), snps.noun)}")
        if not snps.frequency_counts.any():
            say(axes, "no frequencies: the ploidy is not known, or these are no alleles")
            return axes
        axes.stairs(snps.frequency_counts, snps.frequency_edges, fill=True, color="#9DBBD8")
        axes.set_xlim(0, 1)
        axes.set_xlabel("frequency of A1")
        axes.set_ylabel(f"{snps.noun}s")
    return axes


def missingness(run: AnyRun | SnpSummary, ax: Axes | None = None) -> Axes:
    """Draw the histogram of the share of samples without a call over all SNPs."""
    snps = run if isinstance(run, SnpSummary) else summarise_snps(run)
    with canvas(ax, 4.6, 3.2) as axes:
        axes.set_title(f"Missing calls: {100 * snps.missing_mean:.2g} % of all")
        axes.stairs(snps.missing_counts, 100 * snps.missing_edges, fill=True, color="#9DBBD8")
        axes.set_xlim(100 * float(snps.missing_edges[0]), 100 * float(snps.missing_edges[-1]))
        axes.set_xlabel("samples without a call (%)")
        axes.set_ylabel(f"{snps.noun}s")
    return axes
