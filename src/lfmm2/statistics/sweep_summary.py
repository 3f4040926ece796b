"""Summaries of the t statistics for each number of factors, the evidence from which people choose K.

All numbers are exact, and computed from a stream: first a histogram of each column, then the values of those few bins
in which a median, a quantile or a threshold lies. The stored t are read three times, and a fourth time where an
empirical null orders tests otherwise than |t| does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special

from lfmm2._typing import Floats, Ints
from lfmm2._words import visible, with_error
from lfmm2.statistics.calibration import Calibration, StudentStatistic, fit_null
from lfmm2.statistics.flat_gif import FlatStretch, find_flat_stretch
from lfmm2.statistics.gif_error import BlockMedians
from lfmm2.statistics.order_statistics import MagnitudeHistogram, magnitudes_of

Bools = NDArray[np.bool_]
Blocks = Callable[[], Iterator[Floats]]

# Bins of the histograms of p-values.
N_BINS = 50
# False discovery rates at which discoveries are counted.
LEVELS = (0.05, 0.10)
# Quantile of |t| that shows the strongest SNPs, but not the single strongest.
TOP_QUANTILE = 0.999
# Columns with GIF, discoveries and R² that fit side by side on a terminal.
MOST_SHOWN = 3
# Number of SNPs up to which a coarse histogram costs less: its wider bins make one look at more values, which are few.
FEW_SNPS = 1 << 20
# Bytes that `BlockMedians` takes for one column of t: 20 blocks times 200 bins, and the edges of all bins for a moment.
_MEDIAN_BYTES = 1 << 20


@dataclass(frozen=True)
class SweepRow:
    """One number of factors and one variable.

    Attributes
    ----------
    n_factors : int
    calibration : Calibration
        Calibration that a run with this K has.
    median, top : float
        Median and 99.9 % quantile of |t|.
    n_discoveries : tuple of int
        SNPs with Benjamini-Hochberg q below 5 and 10 %.
    raw, calibrated : ndarray of shape (50,), int64
        Counts of SNPs by raw and by calibrated p, in equal bins from 0 to 1.
    """

    n_factors: int
    calibration: Calibration
    median: float
    top: float
    n_discoveries: tuple[int, ...]
    raw: Ints
    calibrated: Ints


@dataclass(frozen=True)
class Sweep:
    """Every number of factors asked for, side by side.

    Attributes
    ----------
    table : pyarrow.Table
        One row per penalty λ, number of factors and variable, columns `SWEEP_COLUMNS`.
    histograms : pyarrow.Table
        K, VARIABLE, P (raw or calibrated), BIN_LOW, BIN_HIGH, COUNT: p-values in 50 bins, with the λ of the run.
    suggested : int or None
        Number of factors that the scree suggests; None without a spectrum.
    reason : str
        Reason for the suggestion, in words.
    penalty : str
        The λ of the run, with which all of its tables are made, as the column LAMBDA has it.
    penalties : tuple of str
        Every λ that is compared, ascending.
    """

    table: pa.Table
    histograms: pa.Table
    suggested: int | None
    reason: str
    penalty: str
    penalties: tuple[str, ...]

    def gif_by_k(self) -> dict[str, dict[int, float]]:
        """Return the GIF of each variable with each number of factors and the λ of the run; NaN where there is none."""
        by_k: dict[str, dict[int, float]] = {name: {} for name in self.table["VARIABLE"].to_pylist()}
        columns = (self.table[column].to_pylist() for column in ("LAMBDA", "K", "VARIABLE", "GIF"))
        for penalty, k, name, gif in zip(*columns, strict=True):
            if penalty == self.penalty:
                by_k[name][k] = np.nan if gif is None else gif
        return by_k

    def flat(self) -> dict[str, FlatStretch | None]:
        """Return the numbers of factors over which the GIF of each variable is flat; None if it is flat nowhere."""
        return {name: find_flat_stretch(of_variable) for name, of_variable in self.gif_by_k().items()}

    def __repr__(self) -> str:
        ks = sorted(set(self.table["K"].to_pylist()))
        compared = f"; λ {', '.join(self.penalties)}" if len(self.penalties) > 1 else ""
        return f"<Sweep: K {', '.join(map(str, ks))}{compared}; suggested {self.suggested}>"


def summary_bytes(n_k: int, n: int, block_rows: int) -> int:
    """Return the bytes that `summarise_variable` takes for n_k numbers of factors and n SNPs.

    They are two histograms of each number, the counts of `BlockMedians`, the values that are looked at, and a block of
    rows. The middle bin of a
    coarse histogram holds 3 in 1 000 values, that of a fine one 4 in 10 000; the bins of discoveries hold more.
    """
    few = n <= FEW_SNPS
    histograms = (1 << 18 if few else 1 << 21) * 2
    values = 8 * 2 * n // (30 if few else 250)
    return n_k * (histograms + _MEDIAN_BYTES + values + 8 * 4 * min(block_rows, n))


def summarise_variable(
    blocks: Blocks, ks: tuple[int, ...], dfs: tuple[int, ...], method: str, n: int
) -> list[SweepRow]:
    """Summarise the statistics of one variable for every number of factors.

    Parameters
    ----------
    blocks : callable
        Function that returns t by blocks of shape (b, n_k), NaN where there is none; the same each time.
    ks, dfs : tuple of int
        Numbers of factors and residual degrees of freedom of the columns.
    method : {"student", "chi2", "empirical-null", "none"}
    n : int
        Number of SNPs.
    """
    columns = [_Column(_new_histogram(n)) for _ in ks]
    for block in blocks():
        for column, t in zip(columns, _by_column(block), strict=True):
            column.histogram.add(t)
    statistics = [StudentStatistic(df) for df in dfs]
    for column, df in zip(columns, dfs, strict=True):
        column.want_ranks(_middle_ranks(column.n) + _quantile_ranks(column.n))
        column.want_thresholds(special.stdtrit(df, 1 - _bin_edges() / 2))
    medians = [BlockMedians(column.histogram) for column in columns]
    _collect(_watched(blocks(), medians), columns, [np.abs for _ in ks])
    calibrations = [
        fit_null(statistic, method, column.histogram, column.middle(), of_column.error_of_square(), central=False)
        for statistic, column, of_column in zip(statistics, columns, medians, strict=True)
    ]
    scored = _count_scores(blocks, columns, calibrations, n)
    for column, calibration in zip(scored, calibrations, strict=True):
        column.want_thresholds(calibration.score_of_p(_bin_edges()))
        column.want_discoveries(calibration.p)
    _collect(blocks(), scored, [calibration.scores for calibration in calibrations])
    return [
        SweepRow(
            k,
            calibration,
            float(np.mean(column.middle())),
            column.quantile(),
            tuple(score.n_discoveries(calibration.p, level) for level in LEVELS),
            column.counts_by_p(),
            score.counts_by_p(),
        )
        for k, calibration, column, score in zip(ks, calibrations, columns, scored, strict=True)
    ]


def count_discoveries(
    histogram: MagnitudeHistogram, blocks: Iterable[Floats], p_of: Callable[[Floats], Floats]
) -> tuple[int, ...]:
    """Count the tests with a Benjamini-Hochberg q below each of `LEVELS`.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Of all scores.
    blocks : iterable of ndarray, float64
        The scores again, read once; NaN is no test.
    p_of : callable
        Returns p of scores, which falls as they grow.
    """
    column = _Column(histogram)
    column.want_discoveries(p_of)
    for block in blocks:
        column.hold(block)
    column.finish()
    return tuple(column.n_discoveries(p_of, level) for level in LEVELS)


def _count_scores(blocks: Blocks, columns: list[_Column], calibrations: list[Calibration], n: int) -> list[_Column]:
    """Return columns with histograms of the calibrated scores: those of |t| where |t| are the scores."""
    if not any(calibration.signed_scores for calibration in calibrations):
        return [_Column(column.histogram) for column in columns]
    scored = [_Column(_new_histogram(n)) for _ in columns]
    for block in blocks():
        for column, calibration, t in zip(scored, calibrations, _by_column(block), strict=True):
            column.histogram.add(calibration.scores(t))
    return scored


def _watched(blocks: Iterable[Floats], medians: list[BlockMedians]) -> Iterator[Floats]:
    """Yield the blocks, and let the medians of each column count its values."""
    for block in blocks:
        for of_column, t in zip(medians, _by_column(block), strict=True):
            of_column.add(t)
        yield block


def _by_column(block: Floats) -> Floats:
    """Return the block transposed, so that the statistics of one K lie together in memory."""
    return np.ascontiguousarray(block.T)


def _bin_edges() -> Floats:
    """Return the p between the bins, ascending."""
    return np.arange(1, N_BINS) / N_BINS


def _new_histogram(n: int) -> MagnitudeHistogram:
    """Return an empty histogram for the statistics of n SNPs."""
    return MagnitudeHistogram(7 if n <= FEW_SNPS else 10)


def _middle_ranks(n: int) -> list[int]:
    """Return the 0-based ranks of the two middle values; none where n is 0."""
    return [(n - 1) // 2, n // 2] if n else []


def _quantile_ranks(n: int) -> list[int]:
    """Return the 0-based ranks of the two values between which NumPy interpolates the top quantile."""
    if not n:
        return []
    place = TOP_QUANTILE * (n - 1)
    return [int(np.floor(place)), int(np.ceil(place))]


def _collect(blocks: Iterable[Floats], columns: list[_Column], scores: list[Callable[[Floats], Floats]]) -> None:
    """Read all statistics, and let each column hold the scores that it needs exactly."""
    for block in blocks:
        for column, score, t in zip(columns, scores, _by_column(block), strict=True):
            column.hold(score(t))
    for column in columns:
        column.finish()


class _Column:
    """Exact order statistics of the scores of one K, from their histogram and the values of few bins.

    The `want_` methods say which values are needed, `hold` and `finish` collect them, the others answer.
    """

    def __init__(self, histogram: MagnitudeHistogram) -> None:
        self.histogram = histogram
        self._wanted: Bools = np.zeros(len(histogram.counts), np.bool_)
        self._held: list[Floats] = []
        self._values = np.empty(0)
        self._ends = np.empty(0, np.int64)
        self._thresholds = np.empty(0)
        self._reached = np.zeros(1, np.int64)
        self._at_threshold: Bools = np.zeros(len(histogram.counts), np.bool_)

    @cached_property
    def n(self) -> int:
        """Number of scores, once all are counted."""
        return self.histogram.n

    @cached_property
    def _above(self) -> Ints:
        return self.histogram.counts_above()

    def want_ranks(self, ranks: list[int]) -> None:
        """Ask for the values with these 0-based ranks."""
        for rank in ranks:
            self._wanted[self.histogram.bin_holding(rank)] = True

    def want_thresholds(self, thresholds: Floats) -> None:
        """Ask for the numbers of scores between falling thresholds; no score is held for them."""
        self._thresholds = np.nan_to_num(thresholds, nan=np.inf)[::-1]
        self._at_threshold[self.histogram.bin_of(self._thresholds)] = True
        # Counts of the scores in the bins of thresholds, by the number of thresholds that a score reaches.
        self._reached = np.zeros(len(thresholds) + 1, np.int64)

    def want_discoveries(self, p_of: Callable[[Floats], Floats]) -> None:
        """Ask for the numbers of discoveries, and mark the bins whose values decide them."""
        occupied = np.flatnonzero(self.histogram.counts)
        first, end = (occupied[0], occupied[-1] + 2) if len(occupied) else (0, 0)
        self._p_lower = np.ones(len(self.histogram.counts))
        self._p_lower[first:end] = p_of(self.histogram.lower_edges()[first:end])
        self._p_lower[end:] = 0.0
        self._uncertain = {level: self._find_uncertain_bins(level) for level in LEVELS}
        for bins, _ in self._uncertain.values():
            self._wanted[bins] = True

    def _find_uncertain_bins(self, level: float) -> tuple[NDArray[np.intp], int]:
        """Return the bins that must be looked into, and the number of discoveries that are certain without a look.

        All values from some bin upwards are discovered if even the largest p of this bin is below the threshold
        of its first rank. In a lower bin, a value may be discovered only if the smallest p is not above the
        threshold of the last rank.
        """
        counts, above = self.histogram.counts, self._above
        p_upper = np.append(self._p_lower[1:], 0.0)
        share = level / max(self.n, 1)
        certain = (counts > 0) & (self._p_lower < share * (above + 1))
        lowest = int(certain.argmax()) if certain.any() else len(certain)
        possible = (counts > 0) & (p_upper <= share * (above + counts))
        n_certain = int(above[lowest] + counts[lowest]) if lowest < len(certain) else 0
        return np.flatnonzero(possible[:lowest]), n_certain

    def hold(self, scores: Floats) -> None:
        """Keep the scores of the bins asked for, and count those in the bins of thresholds."""
        scores = magnitudes_of(scores)
        bins = self.histogram.bin_of(scores)
        self._held.append(scores[self._wanted[bins]])
        reached = np.searchsorted(self._thresholds, scores[self._at_threshold[bins]], side="right")
        self._reached += np.bincount(reached, minlength=len(self._reached))

    def finish(self) -> None:
        """Sort the scores that are held; to be called after the last `hold`."""
        self._values = np.sort(np.concatenate(self._held)) if self._held else np.empty(0)
        self._held = []
        self._ends = np.cumsum(np.where(self._wanted, self.histogram.counts, 0))

    def _bin_values(self, held_bin: int) -> Floats:
        """Return the values of one of the bins asked for, ascending."""
        end = int(self._ends[held_bin])
        return self._values[end - int(self.histogram.counts[held_bin]) : end]

    def value(self, rank: int) -> float:
        """Return the value with this 0-based rank in ascending order, one of those asked for."""
        held_bin = self.histogram.bin_holding(rank)
        below = self.n - int(self._above[held_bin] + self.histogram.counts[held_bin])
        return float(self._bin_values(held_bin)[rank - below])

    def middle(self) -> tuple[float, float]:
        """Return the two middle values; NaN where there is none."""
        low, high = (self.value(rank) for rank in _middle_ranks(self.n)) if self.n else (np.nan, np.nan)
        return low, high

    def quantile(self) -> float:
        """Return the top quantile, interpolated between two values."""
        if not self.n:
            return np.nan
        place = TOP_QUANTILE * (self.n - 1)
        low, high = (self.value(rank) for rank in _quantile_ranks(self.n))
        return low + (high - low) * float(place - np.floor(place))

    def counts_by_p(self) -> Ints:
        """Return the counts of scores between the thresholds, from the smallest p on: shape (n_thresholds + 1,)."""
        bins = self.histogram.bin_of(self._thresholds)
        # A score at a threshold or above lies in a higher bin, or reaches the threshold within its bin. `reaching`
        # counts scores of all bins of thresholds, so those of higher bins are subtracted.
        reaching = self._reached[::-1].cumsum()[::-1][1:]
        in_bins = np.where(self._at_threshold, self.histogram.counts, 0)
        higher = in_bins.sum() - np.cumsum(in_bins)
        at_least = self._above[bins] + reaching - higher[bins]
        limits = np.concatenate([[0], at_least[::-1], [self.n]])
        counts: Ints = limits[1:] - limits[:-1]
        return counts

    def n_discoveries(self, p_of: Callable[[Floats], Floats], level: float) -> int:
        """Count the tests with a Benjamini-Hochberg q below `level`: the largest i with p_(i) < level i / n."""
        bins, n_certain = self._uncertain[level]
        for held_bin in bins.tolist():
            values = self._bin_values(held_bin)[::-1]  # the smallest p first
            ranks = self._above[held_bin] + np.arange(1, len(values) + 1)
            passing = np.flatnonzero(p_of(values) * (self.n / ranks) < level)
            if len(passing):
                return int(ranks[passing[-1]])
        return n_certain


def sweep_table(
    rows: dict[str, list[SweepRow]], penalty: str, of_factors: Floats, of_axes: Floats, gaps: Floats
) -> pa.Table:
    """Build the table of a sweep with one penalty: one row per number of factors and variable.

    Parameters
    ----------
    rows : dict
        Rows of each variable by its name, in the order of K.
    penalty : str
        λ, as the column LAMBDA has it.
    of_factors, of_axes : ndarray of shape (K + 1, d) and (m + 1, d)
        R² of each variable on the first k factors, and on the first k axes of the genotypes, k from 0.
    gaps : ndarray of shape (K + 1,)
        Relative gap after the eigenvalue of each number of factors; NaN for none.
    """
    columns: dict[str, list[object]] = {name: [] for name in SWEEP_COLUMNS}
    n_k = len(next(iter(rows.values())))
    for i in range(n_k):
        for j, (name, of_variable) in enumerate(rows.items()):
            row = of_variable[i]
            k, fit, null = row.n_factors, row.calibration, row.calibration.null
            values = (
                k, name, penalty, fit.gif, fit.gif_se, row.median, row.top, *row.n_discoveries,
                null.mean, null.sd, null.null_proportion, float(of_factors[k, j]),
                float(of_axes[k, j]) if k < len(of_axes) else np.nan, float(gaps[k]),
            )  # fmt: skip
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


#: Columns of the table of a sweep.
SWEEP_COLUMNS = (
    "K", "VARIABLE", "LAMBDA", "GIF", "GIF_SE", "MEDIAN_ABS_T", "Q999_ABS_T", "N_FDR05", "N_FDR10", "NULL_MEAN",
    "NULL_SD", "NULL_PROPORTION", "R2_FACTORS", "R2_PCS", "GAP",
)  # fmt: skip


def sweep_lines(sweep: Sweep, variables: tuple[str, ...]) -> list[str]:
    """Return GIF, discoveries and R² on the factors of each number of factors as lines of text.

    Penalties stand side by side under each variable if all of this fits into one block of columns; otherwise each
    penalty has a block of its own, with up to three variables.
    """
    penalties, shown = sweep.penalties, variables[:MOST_SHOWN]
    if len(penalties) == 1:
        lines = _columns(sweep.table, [(name, penalties[0]) for name in shown], [])
    elif len(penalties) * len(variables) <= MOST_SHOWN:
        pairs = [(name, penalty) for name in shown for penalty in penalties]
        lines = _columns(sweep.table, pairs, [f"λ = {penalty}" for _, penalty in pairs])
    else:
        lines = []
        for penalty in penalties:
            lines += [f"λ = {penalty}" + (", that of the tables" if penalty == sweep.penalty else "")]
            lines += [*_columns(sweep.table, [(name, penalty) for name in shown], []), ""]
        lines.pop()
    if len(variables) > len(shown):
        lines.append(f"and {len(variables) - len(shown)} more variables in the sweep table")
    if len(penalties) > 1:
        lines += [
            f"The tables are of λ = {sweep.penalty}. With enough factors the GIF falls as λ grows, right or wrong:",
            "choose λ by what it does (docs/choices.md), never by the smallest GIF.",
        ]
    return lines


def _columns(table: pa.Table, pairs: list[tuple[str, str]], titles: list[str]) -> list[str]:
    """Return GIF, discoveries and R² on the factors by K as lines of text, a column for each variable and penalty.

    `titles` are second titles of the columns; none if there is none.
    """
    cells = {
        (row["K"], row["VARIABLE"], row["LAMBDA"]): "no test"
        if row["GIF"] is None
        else f"{with_error(row['GIF'], row['GIF_SE'])} {row['N_FDR05']:>6} {row['R2_FACTORS']:.2f}"
        for row in table.to_pylist()
    }
    lines = [("K", [visible(name) for name, _ in pairs])]
    lines += [("", titles)] if titles else []
    lines += [("", ["GIF  q<0.05   R²"] * len(pairs))]
    lines += [(k, [cells[k, *pair] for pair in pairs]) for k in dict.fromkeys(table["K"].to_pylist())]
    width = max(23, *(len(cell) for _, of_line in lines for cell in of_line))
    return [f"{first:>4}" + "".join(f"  {cell:>{width}}" for cell in of_line) for first, of_line in lines]


def histogram_table(rows: dict[str, list[SweepRow]]) -> pa.Table:
    """Build the table of histograms of raw and calibrated p: one row per number of factors, variable, kind and bin."""
    edges = np.append(np.append(0.0, _bin_edges()), 1.0)
    parts = []
    n_k = len(next(iter(rows.values())))
    for i in range(n_k):
        for name, of_variable in rows.items():
            row = of_variable[i]
            for kind, counts in (("raw", row.raw), ("calibrated", row.calibrated)):
                parts.append(
                    pa.table(
                        {
                            "K": pa.array([row.n_factors] * N_BINS),
                            "VARIABLE": pa.array([name] * N_BINS),
                            "P": pa.array([kind] * N_BINS),
                            "BIN_LOW": edges[:-1],
                            "BIN_HIGH": edges[1:],
                            "COUNT": counts,
                        }
                    )
                )
    return pa.concat_tables(parts)
