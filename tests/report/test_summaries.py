"""Summaries against plain NumPy on the whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_results import write_results
from scipy import stats

from lfmm2.report import picture_sums, summaries
from lfmm2.report.picture_sums import Layout
from lfmm2.report.summaries import read_layout, summarise_briefly, summarise_snps, summarise_table
from lfmm2.results.stored_run import StoredRun

N_SNPS = 7000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((N_SNPS, 2))
    z[1000:1010] += 4.5
    z[rng.choice(N_SNPS, 30), 0] += 6
    z[::500] = np.nan
    pos = np.sort(rng.integers(1, 5_000_000, N_SNPS))
    chrom = [["2", "1", "X"][i * 3 // N_SNPS] for i in range(N_SNPS)]
    return StoredRun(write_results(tmp_path_factory.mktemp("r") / "r", z, chrom=chrom, pos=pos, group_rows=1000))


@pytest.fixture(scope="module")
def whole(run: StoredRun) -> pa.Table:
    return pa.concat_tables(run.blocks("env1", run.columns("env1")))


def numbers(table: pa.Table, name: str) -> Any:
    return np.asarray(table[name].to_numpy(), float)


def present(table: pa.Table, name: str) -> Any:
    values = numbers(table, name)
    return values[np.isfinite(values)]


def test_layout_keeps_contigs_in_the_order_of_the_file(run: StoredRun, whole: pa.Table) -> None:
    layout = read_layout(run)
    assert layout.names == ("1", "2", "X")
    chrom, pos = np.array(whole["CHROM"].to_pylist()), whole["POS"].to_numpy()
    assert layout.counts.tolist() == [int((chrom == name).sum()) for name in layout.names]
    assert layout.first.tolist() == [pos[chrom == name].min() for name in layout.names]
    assert layout.last.tolist() == [pos[chrom == name].max() for name in layout.names]


def test_layout_does_not_overlap_and_is_proportional() -> None:
    layout = Layout(("a", "b", "c"), np.array([10, 10, 10]), np.array([5, 1, 1]), np.array([105, 301, 201]))
    assert layout.widths.tolist() == [100, 300, 200]
    assert (layout.starts[1:] > layout.starts[:-1] + layout.widths[:-1]).all()
    places = layout.place(np.array([0, 0, 1, 2]), np.array([5, 105, 151, 201]), np.zeros(4, int))
    assert places.tolist() == [0, 100, layout.starts[1] + 150, layout.starts[2] + 200]


def cut_into(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all blocks that small."""
    blocks = StoredRun.blocks
    monkeypatch.setattr(
        StoredRun, "blocks", lambda self, name, columns, **more: blocks(self, name, columns, True, rows)
    )


def test_contigs_without_positions_stand_in_the_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(77, monkeypatch)
    chrom = ["0"] * 300 + ["1"] * 100 + ["0"] * 100
    pos = np.where(np.array(chrom) == "0", 0, np.arange(500))
    run = StoredRun(write_results(tmp_path / "r", np.ones((500, 1)), chrom=chrom, pos=pos))
    summary = summarise_table(run, "env1")
    assert summary.layout.names == ("0", "1")
    assert summary.layout.has_positions.tolist() == [False, True]
    unplaced = summary.manhattan.x[summary.manhattan.contigs == 0]
    np.testing.assert_allclose(unplaced, (np.arange(400) + 0.5) / 400 * summary.layout.widths[0])


def test_few_snps_are_all_kept(run: StoredRun, whole: pa.Table) -> None:
    points = summarise_table(run, "env1").manhattan
    assert points.full_from == 0
    assert points.grid.sum() == 0
    assert points.y.tolist() == present(whole, "NEG_LOG10_P_CAL").tolist()


def test_grid_and_points_are_those_of_numpy(run: StoredRun, whole: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_sums, "_FEW_SNPS", 0)
    everything = summarise_table(run, "env1")
    points, layout = everything.manhattan, everything.layout
    y = numbers(whole, "NEG_LOG10_P_CAL")
    codes = np.array([layout.names.index(name) for name in whole["CHROM"].to_pylist()])
    x = layout.place(codes, whole["POS"].to_numpy(), np.zeros(len(codes), int))
    assert points.full_from == 3
    strong = y >= 3
    assert points.x.tolist() == x[strong].tolist()
    assert points.y.tolist() == y[strong].tolist()
    assert points.contigs.tolist() == codes[strong].tolist()
    n_columns, n_rows = points.grid.shape
    weak = y < 3
    edges = np.linspace(0, layout.total, n_columns + 1), np.linspace(0, 3, n_rows + 1)
    expected, _, _ = np.histogram2d(x[weak], y[weak], edges)
    # a SNP within rounding of an edge may fall to either side
    assert np.abs(points.grid - expected).sum() <= 4
    assert points.grid.sum() == weak.sum()


def test_points_stay_bounded_and_nothing_is_lost(
    run: StoredRun, whole: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_sums, "_FEW_SNPS", 0)
    monkeypatch.setattr(picture_sums, "_MOST_POINTS", 12)
    points = summarise_table(run, "env1").manhattan
    y = present(whole, "NEG_LOG10_P_CAL")
    assert points.full_from > 3
    assert len(points.y) <= 12
    assert sorted(points.y) == sorted(y[y >= points.full_from])
    assert points.grid.sum() + len(points.y) == len(y)
    rows = points.grid.sum(axis=0)
    expected, _ = np.histogram(y[y < points.full_from], np.arange(len(rows) + 1) * points.row_height)
    assert rows.tolist() == expected.tolist()


def test_quantiles_are_those_of_the_sorted_values(run: StoredRun, whole: pa.Table) -> None:
    summary = summarise_table(run, "env1")
    for points, column in ((summary.qq, "NEG_LOG10_P_CAL"), (summary.qq_raw, "NEG_LOG10_P")):
        y = np.sort(present(whole, column))[::-1]
        assert points.n == len(y)
        ranks = np.round(10**-points.expected * len(y) + 0.5).astype(int)
        assert ranks[:1000].tolist() == list(range(1, 1001))
        assert ranks[-1] == len(y)
        exact = ranks <= 5000
        assert points.observed[exact].tolist() == y[ranks[exact] - 1].tolist()
        np.testing.assert_allclose(points.observed, y[ranks - 1], atol=0.003)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_quantiles_from_bins_are_within_their_width(scale: float) -> None:
    y = np.random.default_rng(2).exponential(scale, 60_000)
    sums = picture_sums.QuantileSums()
    for block in np.array_split(y, 7):
        sums.add(block)
    points = sums.finish()
    ranks = np.round(10**-points.expected * len(y) + 0.5).astype(int)
    np.testing.assert_allclose(points.observed, np.sort(y)[::-1][ranks - 1], atol=0.002, rtol=0.002)


def test_band_is_that_of_order_statistics(run: StoredRun) -> None:
    points = summarise_table(run, "env1").qq
    ranks = 10**-points.expected * points.n + 0.5
    for values, share in ((points.low, 0.975), (points.high, 0.025)):
        np.testing.assert_allclose(values, -np.log10(stats.beta.ppf(share, ranks, points.n - ranks + 1)), rtol=1e-6)
    assert (points.low < points.expected).all()
    assert (points.expected < points.high).all()


def test_histograms_are_those_of_numpy(run: StoredRun, whole: pa.Table) -> None:
    summary = summarise_table(run, "env1")
    for counts, column in ((summary.p_counts, "P_CAL"), (summary.p_counts_raw, "P")):
        expected, _ = np.histogram(present(whole, column), 50, (0, 1))
        assert counts.tolist() == expected.tolist()
    assert summary.n_tested == len(present(whole, "P"))
    assert summary.n_snps == N_SNPS


def test_discoveries_end_at_the_weakest(run: StoredRun, whole: pa.Table) -> None:
    y, q = numbers(whole, "NEG_LOG10_P_CAL"), numbers(whole, "Q")
    for summary in (summarise_table(run, "env1"), summarise_briefly(run, "env1")):
        for of, level in zip(summary.discoveries, (0.05, 0.1), strict=True):
            assert (of.level, of.count) == (level, int((q < level).sum()))
            assert of.line == y[q < level].min()
            assert of.line > y[q >= level].max()


def test_without_discoveries_there_is_no_line(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", np.full((50, 1), 0.1)))
    assert [(of.count, of.line) for of in summarise_table(run, "env1").discoveries] == [
        (0, pytest.approx(np.nan, nan_ok=True)),
        (0, pytest.approx(np.nan, nan_ok=True)),
    ]


def test_loci_are_the_strongest_of_their_neighbourhoods(run: StoredRun, whole: pa.Table) -> None:
    rows = [row for row in whole.to_pylist() if row["NEG_LOG10_P_CAL"] is not None]
    rows.sort(key=lambda row: -row["NEG_LOG10_P_CAL"])
    chosen: list[dict[str, Any]] = []
    for row in rows:
        if all(row["CHROM"] != o["CHROM"] or abs(row["POS"] - o["POS"]) > 50_000 for o in chosen):
            chosen.append(row)
    loci = summarise_table(run, "env1").loci
    assert [locus.snp for locus in loci] == [row["ID"] for row in chosen[:20]]
    for locus, row in zip(loci, chosen, strict=False):
        assert (locus.contig, locus.position, locus.a1, locus.omitted) == (row["CHROM"], row["POS"], "A", "C")
        assert all(locus.values[name] == row[name] for name in ("BETA", "SE", "P", "P_CAL", "Q", "LFDR", "A1_FREQ"))
        near = [
            (abs(o["POS"] - row["POS"]), o)
            for o in rows
            if o is not row
            and o["CHROM"] == row["CHROM"]
            and abs(o["POS"] - row["POS"]) <= 50_000
            and o["NEG_LOG10_P_CAL"] >= 3
        ]
        assert locus.n_near == len(near)
        if near:
            assert abs(locus.distance) == min(distance for distance, _ in near)
            assert locus.nearest in [o["ID"] for distance, o in near if distance == abs(locus.distance)]
    assert sum(locus.n_near or 0 for locus in loci) > 5


def test_blocks_do_not_matter(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_sums, "_FEW_SNPS", 0)
    whole = summarise_table(run, "env1")
    cut_into(137, monkeypatch)
    cut = summarise_table(run, "env1")
    assert cut.loci == whole.loci
    assert cut.discoveries == whole.discoveries
    for name in ("x", "y", "contigs", "grid"):
        assert getattr(cut.manhattan, name).tolist() == getattr(whole.manhattan, name).tolist()
    assert cut.qq.observed.tolist() == whole.qq.observed.tolist()
    assert cut.p_counts.tolist() == whole.p_counts.tolist()


def test_brief_names_the_strongest(run: StoredRun, whole: pa.Table) -> None:
    brief = summarise_briefly(run, "env1")
    best = int(np.nanargmax(numbers(whole, "NEG_LOG10_P_CAL")))
    assert brief.snp == whole["ID"][best].as_py()
    assert brief.neg_log10_p == whole["NEG_LOG10_P_CAL"][best].as_py()
    assert brief.n_tested == len(present(whole, "P"))


def test_joint_table_takes_its_gif_from_the_calibration(run: StoredRun) -> None:
    assert summarise_table(run, "joint").gif == 1.2
    assert "F_STAT" in summarise_table(run, "joint").loci[0].values


def test_frequencies_and_missing_calls_are_those_of_numpy(run: StoredRun, whole: pa.Table) -> None:
    snps = summarise_snps(run)
    expected, _ = np.histogram(numbers(whole, "A1_FREQ"), 50, (0, 1))
    assert snps.frequency_counts.tolist() == expected.tolist()
    missing = 60 - whole["OBS_CT"].to_numpy()
    assert snps.missing_counts.tolist() == np.bincount(missing).tolist()
    np.testing.assert_allclose(snps.missing_edges[:-1], (np.arange(missing.max() + 1) - 0.5) / 60)
    assert snps.missing_mean == pytest.approx(missing.mean() / 60)


def test_missing_calls_of_many_samples_are_gathered(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", np.ones((4000, 1)), n_samples=9000))
    snps = summarise_snps(run)
    assert len(snps.missing_counts) <= summaries.SNP_BINS
    assert snps.missing_counts.sum() == 4000
    missing = 9000 - np.concatenate([block["OBS_CT"].to_numpy() for block in run.blocks("env1", ["OBS_CT"])])
    assert snps.missing_counts.tolist() == np.histogram(missing / 9000, snps.missing_edges)[0].tolist()


def test_table_without_any_p_is_empty(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", np.full((20, 1), np.nan)))
    summary = summarise_table(run, "env1")
    assert summary.n_tested == summary.qq.n == len(summary.loci) == len(summary.manhattan.y) == 0
    assert np.isnan(summarise_briefly(run, "env1").neg_log10_p)
