"""Pictures for the choice of K: the scree, and the criteria and histograms of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.model import LEVEL
from lfmm2.report.figure_style import COLOURS, HIT, LIGHT, LINE, MARKERS, canvas, p_bars, plain, ticks
from lfmm2.report.report_words import counted_as
from lfmm2.results import AnyRun, open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Histograms in one picture; of more K some are left out, because their histograms would be too small to read.
_MOST_PANELS = 25
# Variables in a legend; more names do not fit beside a picture.
_MOST_NAMES = 14
# Columns that the pictures need of each small table.
_NEEDED = {
    "scree": ("AXIS", "EIGENVALUE"),
    "sweep": ("K", "VARIABLE", "LAMBDA", "GIF", "N_FDR05", "N_FDR10"),
    "sweep-histograms": ("K", "VARIABLE", "P", "BIN_LOW", "BIN_HIGH", "COUNT"),
}


def _small_table(run: AnyRun | pa.Table, name: str) -> pa.Table:
    """Read a small table of a run, or take a ready one, and check that it has rows and the columns needed."""
    table = run if isinstance(run, pa.Table) else open_run(run).small_table(name)
    where = f"the {name} table" if isinstance(run, pa.Table) else open_run(run).path(name)
    if absent := [column for column in _NEEDED[name] if column not in table.column_names]:
        raise MalformedInputError(f"{where}: has no column {', '.join(absent)}; run again")
    if not len(table):
        raise MalformedInputError(f"{where}: has no rows; run again")
    return table


def read_sweep(run: AnyRun) -> pa.Table:
    """Read the sweep table of a run, and check that it has a row for each variable at each K and λ of the record."""
    run = open_run(run)
    table = _small_table(run, "sweep")
    present = set(zip(*(table[name].to_pylist() for name in ("LAMBDA", "K", "VARIABLE")), strict=True))
    expected = [] if (sweep := run.record.sweep) is None else list(product(sweep.penalties, sweep.K, run.variables))
    absent = [f"{name} at K = {k} and λ = {of}" for of, k, name in expected if (of, k, name) not in present]
    if absent:
        raise MalformedInputError(f"{run.path('sweep')}: has no row of {some_of(absent)}; run again")
    return table


def _column(table: pa.Table, name: str) -> Any:
    """Return a column as an array of text, or of numbers with NaN for null."""
    values = table[name]
    text = pa.types.is_string(values.type) or pa.types.is_dictionary(values.type)
    return np.array(values.to_pylist(), object) if text else np.asarray(values.to_numpy(), np.float64)


def scree(run: AnyRun | pa.Table, ax: Axes | None = None) -> Axes:
    """Draw the eigenvalues of the axes of structure, and the edge of those that chance makes (Marchenko–Pastur).

    Axes with a Tracy–Widom p below 0.01 are filled. Takes a run, or its table "scree".
    """
    table = _small_table(run, "scree")
    with canvas(ax, 5.2, 3.6) as axes:
        number, value = _column(table, "AXIS"), _column(table, "EIGENVALUE")
        p = _column(table, "TW_P") if "TW_P" in table.column_names else np.full(len(number), np.nan)
        edge = _column(table, "BULK_EDGE") if "BULK_EDGE" in table.column_names else np.full(len(number), np.nan)
        beyond = p < LEVEL
        # Each axis is tested given the axes before it, so those after the first that is not significant do not count.
        n_beyond = int(np.argmin(np.append(beyond, False)))
        have = "has" if n_beyond == 1 else "have"
        axes.set_title(f"{n_beyond} of {counted_as(len(number), 'axis', 'axes')} {have} Tracy–Widom p < {LEVEL:g}")
        axes.set_xlabel("axis")
        axes.set_ylabel("eigenvalue")
        axes.plot(number, value, "-", color=LIGHT, linewidth=1, zorder=1)
        axes.plot(number[beyond], value[beyond], "o", color=COLOURS[0], markersize=5, label=f"p < {LEVEL:g}")
        style: dict[str, Any] = {"markersize": 5, "markerfacecolor": "white"}
        axes.plot(number[~beyond], value[~beyond], "o", color=COLOURS[0], label=f"p ≥ {LEVEL:g}", **style)
        if np.isfinite(edge).any():
            axes.plot(number, edge, "--", color=HIT, linewidth=1, label="edge of the bulk")
        axes.set_ylim(bottom=0)
        shown = number
        if not isinstance(run, pa.Table):
            K = open_run(run).n_factors
            axes.axvline(K, color=LINE, linewidth=0.8, linestyle=":", label="K of the run")
            facts = open_run(run).record.scree
            if facts is not None and facts.thinning is not None:
                axes.set_xlabel(f"axis, in {with_spaces(facts.n_snps)} SNPs thinned by linkage")
            shown = np.append(shown, K)
        _set_whole_number_axis(axes, shown)
        axes.legend(loc="upper right")
    return axes


def _set_whole_number_axis(axes: Any, values: Any) -> None:
    """Set an x-axis that holds these values, with ticks at whole numbers between the smallest and the largest."""
    values = values[np.isfinite(values)]
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 1)
    margin = max(0.05 * (high - low), 0.5)
    axes.set_xlim(low - margin, high + margin)
    axes.set_xticks(ticks(low, high))


def _by_k(
    run: AnyRun | pa.Table, columns: Sequence[str], variables: Sequence[str] | None, axes: Axes, error: str = ""
) -> None:
    """Draw one or two columns of the table "sweep" against K, a colour per variable, the second column dashed.

    The first column is drawn for every λ, those that are not of the run (of a table: not the first) thin and dotted.
    If there is a column `error`, that of the run is drawn with a band of this standard error on either side.
    """
    table = run if isinstance(run, pa.Table) else read_sweep(run)
    k, names, penalties = (_column(table, name) for name in ("K", "VARIABLE", "LAMBDA"))
    own = penalties[0]
    if not isinstance(run, pa.Table) and (sweep := open_run(run).record.sweep) is not None:
        own = sweep.penalty
    others = [penalty for penalty in dict.fromkeys(penalties) if penalty != own]
    shown = list(dict.fromkeys(names)) if variables is None else list(variables)
    style: dict[str, Any]
    for i, name in enumerate(shown):
        rows = (names == name) & (penalties == own)
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[(i // len(COLOURS)) % len(MARKERS)]
        for j, penalty in enumerate(others):
            beside = (names == name) & (penalties == penalty)
            style = {"color": colour, "linestyle": ":", "linewidth": 1.0, "markersize": 3, "markerfacecolor": "white"}
            style["marker"] = MARKERS[(j + 1) % len(MARKERS)]
            axes.plot(k[beside], _column(table, columns[0])[beside], **style)
        for column, dashes in zip(columns, ("-", "--"), strict=False):
            label = plain(str(name), 24) if dashes == "-" and i < _MOST_NAMES else None
            style = {"color": colour, "linestyle": dashes, "linewidth": 1.2}
            style |= {"marker": marker, "markersize": 4, "markerfacecolor": colour if dashes == "-" else "white"}
            axes.plot(k[rows], _column(table, column)[rows], label=label, **style)
        if error in table.column_names:
            middle, width = _column(table, columns[0])[rows], _column(table, error)[rows]
            axes.fill_between(k[rows], middle - width, middle + width, color=colour, alpha=0.15, linewidth=0)
    for j, penalty in enumerate(others):
        style = {"color": LINE, "linestyle": ":", "marker": MARKERS[(j + 1) % len(MARKERS)], "markersize": 3}
        axes.plot([], [], label=plain(f"λ = {penalty}", 24), markerfacecolor="white", **style)
    k_shown = k
    if not isinstance(run, pa.Table):
        run = open_run(run)
        k_shown = np.append(k_shown, run.n_factors)
        axes.axvline(run.n_factors, color=LINE, linewidth=0.8, linestyle=":", label="K of the tables")
        suggested = None if run.record.sweep is None else run.record.sweep.suggested
        if suggested is not None and suggested != run.n_factors:
            k_shown = np.append(k_shown, suggested)
            axes.axvline(suggested, color=HIT, linewidth=0.8, linestyle="-.", label="K suggested")
    axes.set_xlabel("K, latent factors")
    _set_whole_number_axis(axes, k_shown)
    title = f"first {_MOST_NAMES} of {len(shown)}" if len(shown) > _MOST_NAMES else None
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, title=title, title_fontsize=8)


def gif_by_k(run: AnyRun | pa.Table, ax: Axes | None = None, variables: Sequence[str] | None = None) -> Axes:
    """Draw the genomic inflation factor of each variable against K, in a band of its standard error on either side.

    Takes a run, or its table "sweep". Penalties λ other than that of the run are dotted.
    """
    with canvas(ax, 6.4, 3.6) as axes:
        axes.set_title("Genomic inflation factor by K")
        axes.set_ylabel("GIF")
        axes.axhline(1.0, color=LINE, linewidth=0.8)
        _by_k(run, ["GIF"], variables, axes, "GIF_SE")
    return axes


def discoveries_by_k(run: AnyRun | pa.Table, ax: Axes | None = None, variables: Sequence[str] | None = None) -> Axes:
    """Draw the SNPs found at a false discovery rate of 5 % and 10 % against K. Takes a run, or its table "sweep".

    Penalties λ other than that of the run are dotted, at 5 %.
    """
    with canvas(ax, 6.4, 3.6) as axes:
        axes.set_title("Discoveries by K, FDR 5 % (lines) and 10 % (dashed)")
        noun = "SNP" if isinstance(run, pa.Table) else open_run(run).record.tested.noun
        axes.set_ylabel(f"{noun}s found")
        _by_k(run, ["N_FDR05", "N_FDR10"], variables, axes)
        axes.set_ylim(bottom=0)
    return axes


class _Histograms(NamedTuple):
    """Histograms of the p of a variable: counts of raw and of calibrated p in each bin, by K."""

    variable: str
    is_calibrated: bool
    by_k: dict[int, tuple[Any, Any]]


def _read_histograms(run: AnyRun | pa.Table, variable: str | None) -> _Histograms:
    """Read the histograms of a variable, the first if None, and check that the bins of each K fill 0 to 1."""
    table = _small_table(run, "sweep-histograms")
    names, k, which = (_column(table, name) for name in ("VARIABLE", "K", "P"))
    low, high, counts = (_column(table, name) for name in ("BIN_LOW", "BIN_HIGH", "COUNT"))
    variable = str(names[0]) if variable is None else variable
    where, expected = "the table", list[int]()
    if not isinstance(run, pa.Table):
        run = open_run(run)
        where = str(run.path("sweep-histograms"))
        # A table that was cut off between two lines can be read, so the K that must be there are taken from the record.
        expected = run.record.sweep.K if run.record.sweep is not None and variable in run.variables else []
    if variable not in names and not expected:
        raise UsageError(f"{variable!r} has no histograms by K; {some_of(list(dict.fromkeys(names)))} have")
    by_k = {}
    for value in np.union1d(k[names == variable], expected):
        parts = []
        for kind in ("raw", "calibrated"):
            rows = np.flatnonzero((names == variable) & (k == value) & (which == kind))
            even = np.linspace(0, 1, len(rows) + 1)
            whole = np.allclose(low[rows], even[:-1], atol=1e-9) and np.allclose(high[rows], even[1:], atol=1e-9)
            if not len(rows) or not whole or not np.isfinite(counts[rows]).all():
                fact = f"{where}: the bins of {kind} p of {shortened(variable)} at K = {value:g} do not fill 0 to 1"
                raise MalformedInputError(f"{fact}; run again")
            parts.append(counts[rows])
        by_k[int(value)] = (parts[0], parts[1])
    if isinstance(run, pa.Table):
        is_calibrated = any(not np.array_equal(raw, calibrated) for raw, calibrated in by_k.values())
    else:
        is_calibrated = run.record.calibration.method != "none"
    return _Histograms(variable, is_calibrated, by_k)


def histograms_by_k(run: AnyRun | pa.Table, variable: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw histograms of p of one variable, a small one for each K. Takes a run, or its table "sweep-histograms".

    The Axes are an empty frame; those of each K are its ``child_axes``.
    """
    bins = _read_histograms(run, variable)
    variable = bins.variable
    values = np.array(sorted(bins.by_k))
    if len(values) > _MOST_PANELS:
        values = values[np.linspace(0, len(values) - 1, _MOST_PANELS).round().astype(int)]
    n_columns = min(6, max(len(values), 1))
    n_rows = max(-(-len(values) // n_columns), 1)
    with canvas(ax, 10.0, 1.15 * n_rows + 0.5) as axes:
        which = ", calibrated (bars) and raw (outline)" if bins.is_calibrated else ""
        axes.set_title(f"{plain(variable)}: p by K{which}", pad=2)
        axes.set_axis_off()
        for i, value in enumerate(values):
            row, column = divmod(i, n_columns)
            box = (column / n_columns, 1 - (row + 0.88) / n_rows, 0.92 / n_columns, 0.66 / n_rows)
            panel = axes.inset_axes(box)
            raw, calibrated = bins.by_k[int(value)]
            p_bars(panel, calibrated, raw if bins.is_calibrated else None)
            panel.set_title(f"K = {value:g}", fontsize=8, pad=2)
            panel.set_xticks([0, 1])
            panel.set_yticks([])
            panel.tick_params(labelsize=7, length=2)
            panel.spines[["top", "right", "left"]].set_visible(False)
    return axes
