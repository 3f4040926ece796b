"""Summaries of the tables of a run for its pictures: one pass over each table, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lfmm2._typing import Floats, Ints
from lfmm2._words import name_of_snp, natural_key
from lfmm2.model import COLUMNS, Origin
from lfmm2.report.picture_sums import (
    STRONG,
    Contigs,
    Discoveries,
    DiscoveryCounts,
    Layout,
    Manhattan,
    ManhattanSums,
    Orders,
    QuantilePoints,
    QuantileSums,
    Strongest,
)
from lfmm2.results import AnyRun, open_run
from lfmm2.statistics import SurrogateTail

#: Bases on either side of a SNP within which other SNPs are its neighbours.
NEIGHBOURHOOD = 50_000
#: Top loci of a variable that the report lists.
N_LOCI = 20
#: Bins of the histogram of p.
P_BINS = 50
#: Bins of the histogram of allele frequencies, and at most of that of missing rates.
SNP_BINS = 50

_TEXTS = tuple(column.name for column in COLUMNS if column.origin is Origin.VARIANTS)
# Columns of numbers of a locus. A table has some of them: BETA and SE are of variables, F_STAT is of the joint test.
_NUMBERS = ("A1_FREQ", "BETA", "SE", "F_STAT", "P", "NEG_LOG10_P", "P_CAL", "NEG_LOG10_P_CAL", "Q", "LFDR")
# Strongest SNPs of a table, from which its loci are taken. With fewer, the SNPs of a few long peaks may be all of them,
# and less than `N_LOCI` loci are found; more take more time.
_CANDIDATES = 1000


def _positions(block: pa.Table) -> Ints:
    """Return the positions of a block, with 0 for null."""
    values: Ints = block["POS"].fill_null(0).to_numpy().astype(np.int64)
    return values


def _numbers(block: pa.Table, name: str) -> Floats:
    """Return a column as floats, with NaN for null."""
    values: Floats = np.asarray(block[name].to_numpy(), np.float64)
    return values


def read_layout(run: AnyRun) -> Layout:
    """Read the contigs of a run with their positions and numbers of SNPs, in a pass over its first table.

    They are in their natural order, 2 before 10 and numbers before X, which need not be that of the table.
    """
    run = open_run(run)
    contigs = Contigs()
    counts, first, last = (np.zeros(0, np.int64) for _ in range(3))
    for block in run.blocks(run.tables[0], ["CHROM", "POS"], dictionaries=True):
        codes, positions = contigs.codes(block["CHROM"]), _positions(block)
        new = len(contigs.numbers) - len(counts)
        counts = np.concatenate([counts, np.zeros(new, np.int64)])
        first = np.concatenate([first, np.full(new, np.iinfo(np.int64).max)])
        last = np.concatenate([last, np.full(new, np.iinfo(np.int64).min)])
        counts += np.bincount(codes, minlength=len(counts))
        np.minimum.at(first, codes, positions)
        np.maximum.at(last, codes, positions)
    names = list(contigs.numbers)
    order = sorted(range(len(names)), key=lambda number: natural_key(names[number]))
    return Layout(tuple(names[number] for number in order), counts[order], first[order], last[order])


@dataclass(frozen=True)
class Locus:
    """A top locus: the strongest SNP within `NEIGHBOURHOOD`.

    Attributes
    ----------
    contig, snp, a1, omitted : str
        CHROM, ID, A1 and OMITTED of the SNP.
    position : int
        Position of the SNP; 0 if it has none.
    values : dict of str to float
        Numbers of the SNP by the name of their column, NaN for null.
    n_near : int or None
        Number of neighbours with a -log10 p of `TableSummary.strong_from` or more; None if the contig has no positions.
    nearest : str
        ID of the nearest of these neighbours; empty if there is none.
    distance : int
        Position of the nearest neighbour minus that of the SNP, in bases.
    """

    contig: str
    position: int
    snp: str
    a1: str
    omitted: str
    values: dict[str, float]
    n_near: int | None
    nearest: str
    distance: int


@dataclass(frozen=True, eq=False)
class TableSummary:
    """The summary of one table that its pictures need.

    Attributes
    ----------
    name : str
        The variable, or "joint".
    n_factors : int
    n_snps, n_tested : int
        Number of rows, and of those with a p.
    is_calibrated : bool
        False with ``--calibrate none``: raw p then take the place of calibrated ones.
    gif, gif_se : float
        Genomic inflation factor and its standard error; NaN if they are not defined.
    layout : Layout
    manhattan : Manhattan
    qq_raw, qq : QuantilePoints
        Points of raw and of calibrated p.
    p_counts_raw, p_counts : ndarray of shape (P_BINS,), int64
        Histograms of raw and of calibrated p over 0 to 1.
    discoveries : tuple of Discoveries
        One for each of `FDR_LEVELS`.
    loci : tuple of Locus
        Top loci, the strongest first.
    surrogates : SurrogateTail, optional
        Null distribution by surrogate variables; None if none were drawn.
    """

    name: str
    n_factors: int
    n_snps: int
    n_tested: int
    is_calibrated: bool
    gif: float
    gif_se: float
    layout: Layout
    manhattan: Manhattan
    qq_raw: QuantilePoints
    qq: QuantilePoints
    p_counts_raw: Ints
    p_counts: Ints
    discoveries: tuple[Discoveries, ...]
    loci: tuple[Locus, ...]
    surrogates: SurrogateTail | None = None
    noun: str = "SNP"

    @property
    def strong_from(self) -> float:
        """The -log10 p from which SNPs count as neighbours."""
        return max(STRONG, self.manhattan.full_from)


def summarise_table(run: AnyRun, name: str, layout: Layout | None = None) -> TableSummary:
    """Summarise a table of a run for its pictures, in one pass.

    Parameters
    ----------
    run : StoredRun or path
    name : str
        A variable, or "joint".
    layout : Layout, optional
        Layout from `read_layout`, which is the same for all tables of a run; it is read if None.
    """
    run = open_run(run)
    layout = read_layout(run) if layout is None else layout
    is_calibrated = run.record.calibration.method != "none"
    p_column, y_column = ("P_CAL", "NEG_LOG10_P_CAL") if is_calibrated else ("P", "NEG_LOG10_P")
    contigs, orders = Contigs(layout.names), Orders(layout)
    manhattan = ManhattanSums(layout, run.n_snps)
    quantiles = {column: QuantileSums() for column in ("NEG_LOG10_P", y_column)}
    p_counts = {column: np.zeros(P_BINS, np.int64) for column in ("P", p_column)}
    discoveries, strongest = DiscoveryCounts(), Strongest(_CANDIDATES)
    wanted = [c.name for c in run.declared.of_table(joint=name == "joint") if c.name in (*_TEXTS, *_NUMBERS)]
    n_tested = 0
    for block in run.blocks(name, wanted, dictionaries=True):
        codes, positions = contigs.codes(block["CHROM"]), _positions(block)
        x = layout.place(codes, positions, orders.take(codes))
        y = _numbers(block, y_column)
        tested = np.flatnonzero(np.isfinite(y))
        n_tested += len(tested)
        ids = pa.concat_arrays(block["ID"].chunks).cast(pa.string())
        if len(tested) < len(block):
            block, ids = block.take(pa.array(tested)), ids.take(pa.array(tested))
            x, y, codes, positions = x[tested], y[tested], codes[tested], positions[tested]
        y = np.maximum(y, 0.0)  # The -log10 of a p of 1 may be -0.0.
        manhattan.add(x, y, codes, positions, ids)
        for column, sums in quantiles.items():
            values = _numbers(block, column)
            sums.add(np.maximum(values[np.isfinite(values)], 0.0))
        for column, counts in p_counts.items():
            values = _numbers(block, column)
            counts += _count_p(values[np.isfinite(values)])
        discoveries.add(y, _numbers(block, "Q"))
        strongest.add(y, block)
    return TableSummary(
        name=name,
        n_factors=run.n_factors,
        n_snps=run.n_snps,
        n_tested=n_tested,
        is_calibrated=is_calibrated,
        gif=run.record.calibration.tests[name].gif,
        gif_se=run.record.calibration.tests[name].gif_se,
        layout=layout,
        manhattan=manhattan.finish(),
        qq_raw=quantiles["NEG_LOG10_P"].finish(),
        qq=quantiles[y_column].finish(),
        p_counts_raw=p_counts["P"],
        p_counts=p_counts[p_column],
        discoveries=discoveries.finish(),
        loci=tuple(_find_loci(strongest, manhattan, contigs, layout)),
        surrogates=None if run.record.surrogates is None else run.record.surrogates.tails.get(name),
        noun=run.record.tested.noun,
    )


def _count_p(p: Floats) -> Ints:
    """Count p in `P_BINS` bins of equal width."""
    bins = np.clip((p * P_BINS).astype(np.int64), 0, P_BINS - 1)
    counts: Ints = np.bincount(bins, minlength=P_BINS).astype(np.int64)
    return counts


def _find_loci(strongest: Strongest, manhattan: ManhattanSums, contigs: Contigs, layout: Layout) -> Iterator[Locus]:
    """Find the strongest SNPs that are no neighbours of a stronger locus, up to `N_LOCI`."""
    if strongest.rows is None:
        return
    _, y, codes, positions, ids = manhattan.points()
    is_strong = y >= max(STRONG, manhattan.full_from)
    chosen: list[tuple[int, int]] = []
    for row in strongest.rows.to_pylist():
        code, position = contigs.numbers[row["CHROM"]], row["POS"] or 0
        placed = bool(layout.has_positions[code])
        if placed and any(c == code and abs(at - position) <= NEIGHBOURHOOD for c, at in chosen):
            continue
        chosen.append((code, position))
        n_near, nearest, distance = None, "", 0
        if placed:
            near = np.flatnonzero(is_strong & (codes == code) & (np.abs(positions - position) <= NEIGHBOURHOOD))
            itself = [i for i in near if ids[i].as_py() == row["ID"] and positions[i] == position]
            near = near[~np.isin(near, itself[:1])]
            n_near = len(near)
            if n_near:
                closest = near[np.argmin(np.abs(positions[near] - position))]
                at = int(positions[closest])
                nearest, distance = name_of_snp(ids[int(closest)].as_py(), row["CHROM"], at), at - position
        values = {k: np.nan if v is None else float(v) for k, v in row.items() if k not in _TEXTS}
        snp = name_of_snp(row["ID"], row["CHROM"], position)
        yield Locus(row["CHROM"], position, snp, row["A1"], row["OMITTED"], values, n_near, nearest, distance)
        if len(chosen) == N_LOCI:
            return


@dataclass(frozen=True)
class BriefSummary:
    """The summary of a table without pictures: its discoveries, and its strongest SNP with raw and calibrated p.

    Without calibration `neg_log10_p` is of the raw p. If no SNP has a p, `snp` is empty and both p are NaN.
    """

    name: str
    n_tested: int
    is_calibrated: bool
    gif: float
    discoveries: tuple[Discoveries, ...]
    snp: str
    neg_log10_p_raw: float
    neg_log10_p: float


def summarise_briefly(run: AnyRun, name: str) -> BriefSummary:
    """Find the discoveries and the strongest SNP of a table, in one pass."""
    run = open_run(run)
    is_calibrated = run.record.calibration.method != "none"
    y_column = "NEG_LOG10_P_CAL" if is_calibrated else "NEG_LOG10_P"
    discoveries, strongest, n_tested = DiscoveryCounts(), Strongest(1), 0
    wanted = list(dict.fromkeys(["CHROM", "POS", "ID", "NEG_LOG10_P", y_column, "Q"]))
    for block in run.blocks(name, wanted, dictionaries=True):
        y = _numbers(block, y_column)
        n_tested += int(np.isfinite(y).sum())
        discoveries.add(y, _numbers(block, "Q"))
        strongest.add(y, block)
    rows = [] if strongest.rows is None else strongest.rows.to_pylist()
    none = {"CHROM": "", "POS": None, "ID": "", "NEG_LOG10_P": np.nan, y_column: np.nan}
    top: dict[str, Any] = rows[0] if rows else none
    return BriefSummary(
        name=name,
        n_tested=n_tested,
        is_calibrated=is_calibrated,
        gif=run.record.calibration.tests[name].gif,
        discoveries=discoveries.finish(),
        snp=name_of_snp(top["ID"], top["CHROM"], top["POS"]),
        neg_log10_p_raw=top["NEG_LOG10_P"],
        neg_log10_p=top[y_column],
    )


@dataclass(frozen=True, eq=False)
class SnpSummary:
    """Histograms over all SNPs: frequency of A1, and share of samples without a call.

    Bin i of `frequency_counts` lies between edges i and i + 1 of `frequency_edges`, and so for `missing_counts`.
    `missing_mean` is the share of missing calls among all calls.
    """

    n_samples: int
    frequency_edges: Floats
    frequency_counts: Ints
    missing_edges: Floats
    missing_counts: Ints
    missing_mean: float
    noun: str = "SNP"


def summarise_snps(run: AnyRun) -> SnpSummary:
    """Count allele frequencies and missing calls, in a pass over two columns of the first table."""
    run = open_run(run)
    n_samples = run.record.tested.n_samples_used
    edges = np.linspace(0.0, 1.0, SNP_BINS + 1)
    frequencies, called = np.zeros(SNP_BINS, np.int64), np.zeros(n_samples + 1, np.int64)
    for block in run.blocks(run.tables[0], ["A1_FREQ", "OBS_CT"]):
        values = _numbers(block, "A1_FREQ")
        values = values[np.isfinite(values)]
        frequencies += np.bincount(np.clip((values * SNP_BINS).astype(np.int64), 0, SNP_BINS - 1), minlength=SNP_BINS)
        counts = block["OBS_CT"].fill_null(0).to_numpy().astype(np.int64)
        called += np.bincount(np.clip(counts, 0, n_samples), minlength=n_samples + 1)
    # A bin holds one or several whole numbers of missing calls, so that none is empty because it lies between two.
    missing = called[::-1]
    most = int(np.flatnonzero(missing).max(initial=0))
    step = most // SNP_BINS + 1
    n_bins = most // step + 1
    missing_counts = np.add.reduceat(missing, np.arange(n_bins) * step)
    missing_edges = (np.arange(n_bins + 1) * step - 0.5) / max(n_samples, 1)
    mean = float(missing @ np.arange(n_samples + 1)) / max(int(called.sum()) * n_samples, 1)
    return SnpSummary(n_samples, edges, frequencies, missing_edges, missing_counts, mean, run.record.tested.noun)
