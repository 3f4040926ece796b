"""Points and counts for the pictures of a run, collected block by block in memory that does not grow with the SNPs.

A Manhattan plot keeps its strong SNPs and counts the others on a grid, a QQ plot keeps the largest values and counts
the others in narrow bins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special

from lfmm2._typing import Floats, Ints

#: Levels of the false discovery rate at which discoveries are counted and drawn.
FDR_LEVELS = (0.05, 0.10)
#: The -log10 p from which on a SNP is drawn as a point of its own and counts as a neighbour.
STRONG = 3.0

# Number of SNPs up to which all are drawn as points of their own.
_FEW_SNPS = 50_000
# Points of a Manhattan plot that are kept; with more SNPs above `STRONG`, the weaker half of them goes to the grid.
_MOST_POINTS = 200_000
# Columns and rows of the grid of a Manhattan plot: about the pixels across, and the pixels from 0 to `STRONG`. With
# fewer, cells are seen as steps; more take memory and time, and are not seen.
_GRID = (2000, 120)
# Largest values of a QQ plot that are kept one by one; the others are read from bins, which is less exact.
_TAIL = 5000
# Bins of a QQ plot: below a -log10 p of `_FINE_TOP` there are `_FINE` in each unit, above it each is wider than the one
# before by the factor `_RATIO`. The `_N_BINS` bins reach to a -log10 p of about 1.6 million.
_FINE, _FINE_TOP, _RATIO, _N_BINS = 500, 10.0, 1.002, 11_000


@dataclass(frozen=True, eq=False)
class Layout:
    """Contigs side by side on an axis, in the order of their names.

    Attributes
    ----------
    names : tuple of str
    counts, first, last : ndarray of shape (n_contigs,), int64
        Number of SNPs of each contig, and its smallest and largest position.
    starts, widths : ndarray of shape (n_contigs,), float64
        Start and width of each contig on the axis.
    """

    names: tuple[str, ...]
    counts: Ints
    first: Ints
    last: Ints
    starts: Floats = field(init=False)
    widths: Floats = field(init=False)

    def __post_init__(self) -> None:
        span = (self.last - self.first).astype(float)
        placed = span > 0
        # A contig without positions gets the width that as many SNPs take on average in contigs with positions.
        per_snp = span.sum() / self.counts[placed].sum() if placed.any() else 1.0
        widths = np.where(placed, span, np.where(self.counts > 1, self.counts * per_snp, 0.0))
        n_contigs = max(len(self.names), 1)
        total = max(float(widths.sum()), 1.0)
        widths = np.maximum(widths, 0.02 * total / n_contigs)
        gap = total * min(0.008, 0.1 / n_contigs)
        object.__setattr__(self, "widths", widths)
        object.__setattr__(self, "starts", np.concatenate([[0.0], np.cumsum(widths + gap)[:-1]])[: len(self.names)])

    @property
    def total(self) -> float:
        """Length of the axis."""
        return float(self.starts[-1] + self.widths[-1]) if self.names else 1.0

    @property
    def has_positions(self) -> NDArray[np.bool_]:
        """True for each contig whose SNPs have positions; SNPs of the others are placed in the order of the file."""
        placed: NDArray[np.bool_] = (self.last > self.first) | ((self.counts == 1) & (self.last > 0))
        return placed

    def place(self, codes: Ints, positions: Ints, orders: Ints) -> Floats:
        """Return the places of SNPs on the axis, from the number of their contig, position and rank in the contig."""
        span = (self.last - self.first)[codes]
        share = np.where(span > 0, positions - self.first[codes], orders + 0.5) / np.where(
            span > 0, span, self.counts[codes]
        )
        return self.starts[codes] + share * self.widths[codes]


class Contigs:
    """Numbers of contigs, in the order of their first SNP."""

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.numbers = {name: i for i, name in enumerate(names)}

    def codes(self, column: pa.ChunkedArray) -> Ints:
        """Return the number of the contig of each SNP of a block, and number contigs that are new."""
        values = column.combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.string())
        if not isinstance(values, pa.DictionaryArray):
            values = values.dictionary_encode()
        names = values.dictionary.to_pylist()
        indices = values.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # A dictionary may hold names that do not occur, and its order need not be that of the SNPs.
        used, first = np.unique(indices, return_index=True)
        numbers = np.zeros(len(names), np.int64)
        for i in used[np.argsort(first)]:
            numbers[i] = self.numbers.setdefault(names[i], len(self.numbers))
        codes: Ints = numbers[indices]
        return codes


class Orders:
    """Ranks of SNPs within their contigs, counted on from block to block."""

    def __init__(self, layout: Layout) -> None:
        self._seen = np.zeros(len(layout.names), np.int64)

    def take(self, codes: Ints) -> Ints:
        """Return the rank of each SNP of the next block within its contig, from 0."""
        by_contig = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(self._seen))
        within = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
        orders = np.empty(len(codes), np.int64)
        orders[by_contig] = within
        orders += self._seen[codes]
        self._seen += counts
        return orders


@dataclass(frozen=True, eq=False)
class Manhattan:
    """SNPs of a Manhattan plot.

    Attributes
    ----------
    x, y : ndarray of shape (n_points,), float64
        Place on the axis and -log10 p of SNPs that are points of their own, in the order of the file.
    contigs : ndarray of shape (n_points,), int64
        Number of the contig of each of these SNPs.
    full_from : float
        The -log10 p from which on every SNP is a point of its own; 0 if all are.
    grid : ndarray of shape (n_columns, n_rows), int64
        Number of other SNPs in each cell. Columns divide the axis evenly; rows begin at a -log10 p of 0.
    row_height : float
        Height of a row in units of -log10 p.
    """

    x: Floats
    y: Floats
    contigs: Ints
    full_from: float
    grid: Ints
    row_height: float


class ManhattanSums:
    """Points and counts of a Manhattan plot, as blocks are added."""

    def __init__(self, layout: Layout, n_snps: int) -> None:
        self._layout = layout
        self.full_from = 0.0 if n_snps <= _FEW_SNPS else STRONG
        self._row_height = STRONG / _GRID[1]
        self._grid = np.zeros(_GRID, np.int64)
        self._kept: list[tuple[Floats, Floats, Ints, Ints, pa.Array]] = []
        self._n_kept = 0

    def add(self, x: Floats, y: Floats, codes: Ints, positions: Ints, ids: pa.Array) -> None:
        """Add the SNPs of a block; all y are numbers."""
        strong = np.flatnonzero(y >= self.full_from)
        weak = y < self.full_from
        self._count(x[weak], y[weak])
        self._kept.append((x[strong], y[strong], codes[strong], positions[strong], ids.take(pa.array(strong))))
        self._n_kept += len(strong)
        while self._n_kept > _MOST_POINTS:
            self._raise_threshold()

    def _count(self, x: Floats, y: Floats) -> None:
        """Count weak SNPs in the cells of the grid."""
        n_columns, n_rows = _GRID
        columns = np.minimum((x * (n_columns / self._layout.total)).astype(np.int64), n_columns - 1)
        rows = np.minimum((y / self._row_height).astype(np.int64), n_rows - 1)
        self._grid += np.bincount(columns * n_rows + rows, minlength=n_columns * n_rows).reshape(_GRID)

    def _raise_threshold(self) -> None:
        """Move about the weaker half of the points to the grid, whose rows double in height until they hold them."""
        x, y, codes, positions, ids = self.points()
        middle = float(np.median(y))
        while middle > (_GRID[1] - 1) * self._row_height:
            pairs = self._grid.reshape(_GRID[0], -1, 2).sum(axis=2)
            self._grid = np.concatenate([pairs, np.zeros_like(pairs)], axis=1)
            self._row_height *= 2
        self.full_from = (np.floor(middle / self._row_height) + 1) * self._row_height
        strong = np.flatnonzero(y >= self.full_from)
        weak = y < self.full_from
        self._count(x[weak], y[weak])
        self._kept = [(x[strong], y[strong], codes[strong], positions[strong], ids.take(pa.array(strong)))]
        self._n_kept = len(strong)

    def points(self) -> tuple[Floats, Floats, Ints, Ints, pa.Array]:
        """Return x, y, contig, position and ID of the SNPs that are points of their own."""
        if not self._kept:
            none = np.zeros(0)
            return none, none, none.astype(np.int64), none.astype(np.int64), pa.array([], pa.string())
        *columns, ids = zip(*self._kept, strict=True)
        x, y, codes, positions = (np.concatenate(column) for column in columns)
        joined = pa.concat_arrays(ids)
        self._kept = [(x, y, codes, positions, joined)]
        return x, y, codes, positions, joined

    def finish(self) -> Manhattan:
        """Return the plot of all blocks."""
        x, y, codes, *_ = self.points()
        return Manhattan(x, y, codes, self.full_from, self._grid, self._row_height)


@dataclass(frozen=True, eq=False)
class QuantilePoints:
    """Points of a QQ plot, the strongest first: the first 1000 ranks, then ranks at even distances on the axis.

    Attributes
    ----------
    n : int
        Number of SNPs with a p.
    expected, observed : ndarray of shape (n_points,), float64
        -log10 of (rank - 0.5) / n, and the -log10 p of this rank.
    low, high : ndarray of shape (n_points,), float64
        -log10 of the 97.5 % and 2.5 % quantiles of the p of this rank among n independent p.
    """

    n: int
    expected: Floats
    observed: Floats
    low: Floats
    high: Floats


class QuantileSums:
    """Largest values and counts of a QQ plot, as blocks are added."""

    def __init__(self) -> None:
        self._counts = np.zeros(_N_BINS, np.int64)
        self._tail = np.zeros(0)

    def add(self, y: Floats) -> None:
        """Add the -log10 p of a block; all are numbers of at least 0."""
        fine = y < _FINE_TOP
        bins = np.empty(len(y), np.int64)
        bins[fine] = y[fine] * _FINE
        bins[~fine] = _FINE_TOP * _FINE + np.log(y[~fine] / _FINE_TOP) / np.log(_RATIO)
        self._counts += np.bincount(np.clip(bins, 0, _N_BINS - 1), minlength=_N_BINS)
        if len(self._tail) == _TAIL:
            y = y[y > self._tail[0]]
        tail = np.concatenate([self._tail, y])
        if len(tail) > _TAIL:
            tail = np.partition(tail, len(tail) - _TAIL)[-_TAIL:]
        self._tail = np.sort(tail)

    def finish(self) -> QuantilePoints:
        """Return the points of all blocks."""
        n = int(self._counts.sum())
        if not n:
            return QuantilePoints(0, *(np.zeros(0) for _ in range(4)))
        few = np.arange(1, min(n, 1000) + 1)
        ranks = np.unique(np.concatenate([few, np.geomspace(1, n, 1500).round().astype(np.int64)])).astype(float)
        observed = np.empty(len(ranks))
        exact = ranks <= len(self._tail)
        observed[exact] = self._tail[::-1][ranks[exact].astype(np.int64) - 1]
        observed[~exact] = self._from_counts(ranks[~exact])
        low, high = (-np.log10(special.betaincinv(ranks, n - ranks + 1, share)) for share in (0.975, 0.025))
        return QuantilePoints(n, -np.log10((ranks - 0.5) / n), observed, low, high)

    def _from_counts(self, ranks: Floats) -> Floats:
        """Return the values of these ranks, as if the values of a bin were spread evenly over it."""
        linear = int(_FINE_TOP * _FINE)
        edges = np.concatenate(
            [np.arange(linear) / _FINE, _FINE_TOP * _RATIO ** np.arange(_N_BINS - linear + 1, dtype=float)]
        )
        from_top = self._counts[::-1].cumsum()
        bins = np.searchsorted(from_top, ranks)
        above = from_top[bins] - self._counts[::-1][bins]
        low, high = edges[:-1][::-1][bins], edges[1:][::-1][bins]
        values: Floats = high - (ranks - 0.5 - above) / self._counts[::-1][bins] * (high - low)
        return values


@dataclass(frozen=True)
class Discoveries:
    """SNPs with q below a level: their count, and as `line` the -log10 p of the weakest, NaN if there is none."""

    level: float
    count: int
    line: float


class DiscoveryCounts:
    """Discoveries at each of `FDR_LEVELS`, as blocks are added."""

    def __init__(self) -> None:
        self._counts = [0] * len(FDR_LEVELS)
        self._lines = [np.nan] * len(FDR_LEVELS)

    def add(self, y: Floats, q: Floats) -> None:
        """Add the -log10 p and q of a block."""
        for i, level in enumerate(FDR_LEVELS):
            found = y[q < level]
            if len(found):
                self._counts[i] += len(found)
                self._lines[i] = float(np.fmin(self._lines[i], found.min()))

    def finish(self) -> tuple[Discoveries, ...]:
        """Return the discoveries in all blocks, level by level."""
        return tuple(Discoveries(*of) for of in zip(FDR_LEVELS, self._counts, self._lines, strict=True))


class Strongest:
    """The rows of a table with the largest y, strongest first; of equal ones the first in the file."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.y = np.zeros(0)
        self.rows: pa.Table | None = None

    def add(self, y: Floats, block: pa.Table) -> None:
        """Add a block; rows whose y is NaN are left out."""
        if not len(y):
            return
        least = self.y[-1] if len(self.y) == self._most else -np.inf
        better = np.flatnonzero(y > least)
        if not len(better):
            return
        better = better[np.argsort(-y[better], kind="stable")[: self._most]]
        # Text is stored without dictionaries, because those of two blocks differ.
        rows = block.take(pa.array(better)).cast(
            pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in block.schema])
        )
        joined = np.concatenate([self.y, y[better]])
        order = np.argsort(-joined, kind="stable")[: self._most]
        self.y = joined[order]
        self.rows = (rows if self.rows is None else pa.concat_tables([self.rows, rows])).take(pa.array(order))
