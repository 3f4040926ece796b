"""The q of clumps: against windows counted one by one, its limits, and linked loci with known truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from stored_results import variants, write_results

import lfmm2
from lfmm2.downstream.hits import collect_hits, find_hits
from lfmm2.downstream.locus_rates import simes
from lfmm2.results.stored_run import StoredRun
from lfmm2.statistics import benjamini_hochberg

Floats = np.ndarray


def table_of(p: Floats) -> dict[str, Floats]:
    """Columns of a table with these calibrated p."""
    return {"P_CAL": p, "NEG_LOG10_P_CAL": -np.log10(p), "Q": benjamini_hochberg(p)}


def naive_rates(chromosomes: list[str], positions: list[int], p: Floats, index: list[int], distance: int) -> Floats:
    """Q_LOCUS of the clumps of these index SNPs, by the definition."""
    windows: dict[Any, list[float]] = {}
    place = {}
    for i, (chromosome, position) in enumerate(zip(chromosomes, positions, strict=True)):
        has_place = chromosome not in ("0", ".") and position > 0
        place[i] = (chromosome, position // distance) if has_place else i
        if not np.isnan(p[i]):
            windows.setdefault(place[i], []).append(float(p[i]))
    of_clump = []
    for i in index:
        in_order = sorted(windows[place[i]])
        of_clump.append(min(x * len(in_order) / k for k, x in enumerate(in_order, 1)))
    q = [
        min([1.0] + [x * len(windows) / sum(y <= x for y in of_clump) for x in of_clump if x >= own])
        for own in of_clump
    ]
    return np.array(q)


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read tables in blocks of 37 rows, so that windows are cut."""
    blocks: Callable[..., Any] = StoredRun.blocks
    monkeypatch.setattr(StoredRun, "blocks", lambda *a, **k: blocks(*a, **k, block_rows=37))


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("form", ["parquet", "tsv.gz"])
@pytest.mark.parametrize("distance", [1, 900, 2500, 10**9])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_rates_are_those_of_the_definition(tmp_path: Path, distance: int, is_sorted: bool, form: str) -> None:
    rng = np.random.default_rng(distance)
    n = 600
    p = rng.random(n) ** rng.choice([1, 6], n, p=[0.8, 0.2])
    p[rng.random(n) < 0.05] = np.nan
    positions = rng.integers(0, 60_000, n)
    chromosomes = rng.choice(["1", "2", "X", "0", "."], n, p=[0.3, 0.3, 0.3, 0.05, 0.05])
    if is_sorted:
        order = np.lexsort((positions, chromosomes))
        positions, chromosomes = positions[order], chromosomes[order]
    snps = variants(n, CHROM=chromosomes.tolist(), POS=positions.tolist())
    write_results(tmp_path / "r", {"v": table_of(p)}, snps=snps, form=form)
    hits = collect_hits(tmp_path / "r", clump=distance, fdr=0.5)
    found = hits.table["Q_LOCUS"].to_numpy()
    expected = naive_rates(snps["CHROM"], snps["POS"], p, hits.order.tolist(), distance)
    assert len(found) > 5
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_without_places_clumps_have_the_q_of_their_snp(tmp_path: Path) -> None:
    p = np.random.default_rng(1).random(300) ** 3
    write_results(tmp_path / "r", {"v": table_of(p)}, snps=variants(300, POS=[0] * 300))
    hits = find_hits(tmp_path / "r", clump="50kb", fdr=0.4)
    assert len(hits) > 20
    np.testing.assert_allclose(hits["Q_LOCUS"], hits["Q"], rtol=1e-12)


def test_a_wider_search_changes_no_clump_and_raises_no_rate(tmp_path: Path) -> None:
    p = np.random.default_rng(2).random(500) ** 4
    write_results(tmp_path / "r", {"v": table_of(p)})
    narrow, wide = (find_hits(tmp_path / "r", clump=5000, fdr=fdr).to_pandas().set_index("ID") for fdr in (0.1, 0.3))
    assert 3 < len(narrow) < len(wide)
    assert set(narrow.index) <= set(wide.index)
    assert (wide.loc[narrow.index, "Q_LOCUS"] <= narrow["Q_LOCUS"] * (1 + 1e-12)).all()


def test_linked_snps_of_a_window_count_once(tmp_path: Path) -> None:
    """Copies of SNPs beside them: each window has the p of its SNP, and as many windows are tested."""
    rng = np.random.default_rng(3)
    p = rng.random(200) ** 4
    answers = []
    for copies in (1, 5):
        positions = [10_000 * (i + 1) + 10 * j for i in range(200) for j in range(copies)]
        snps = variants(200 * copies, CHROM=["1"] * 200 * copies, POS=positions)
        write_results(tmp_path / f"r{copies}", {"v": table_of(np.repeat(p, copies))}, snps=snps)
        answers.append(find_hits(tmp_path / f"r{copies}", clump="1kb", fdr=0.2)["Q_LOCUS"].to_pylist())
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-12)


def test_simes_agrees_with_benjamini_hochberg_of_a_group() -> None:
    """The p of Simes is the smallest Benjamini-Hochberg q."""
    rng = np.random.default_rng(4)
    groups, p = rng.integers(0, 30, 400), rng.random(400) ** 2
    groups[groups == 7] = 8
    expected = [benjamini_hochberg(p[groups == g]).min() if (groups == g).any() else np.nan for g in range(30)]
    np.testing.assert_allclose(simes(groups, p, 30), expected, rtol=1e-13)
    assert simes(np.empty(0, np.int64), np.empty(0), 0).shape == (0,)


def test_summary_tells_snps_from_clumps(tmp_path: Path) -> None:
    p = np.full(100, 0.5)
    p[[10, 11, 12, 50]] = 1e-6, 1e-7, 1e-5, 1e-3
    write_results(tmp_path / "r", {"v": table_of(p)})
    assert collect_hits(tmp_path / "r", clump="3kb").summary() == {
        "hits of v": "4 SNPs with Q < 0.05 in 2 clumps; 1 clump with Q_LOCUS < 0.05"
    }


def false_share(is_true: list[bool]) -> float:
    return 1 - np.mean(is_true) if is_true else 0.0


def test_rate_among_clumps_is_controlled_where_that_of_snps_is_not(tmp_path: Path) -> None:
    """Statistics of SNPs 1 kb apart with correlation 0.9 between neighbours, of 8 causal SNPs among 4 000."""
    rng = np.random.default_rng(5)
    n, reach = 4000, 50_000
    snps = variants(n, CHROM=["1"] * n, POS=[1000 * (i + 1) for i in range(n)])
    positions = np.array(snps["POS"])
    shares, n_true = [], []
    for _ in range(12):
        z = scipy.signal.lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.normal(size=n + 100))[100:]
        causal = rng.choice(n, 8, replace=False)
        z += 6 * 0.9 ** np.abs(np.arange(n)[:, None] - causal).min(axis=1)
        write_results(tmp_path / "r", {"v": table_of(2 * scipy.stats.norm.sf(np.abs(z)))}, snps=snps)
        table = find_hits(tmp_path / "r", clump=reach).to_pandas()
        ends = zip(table["CLUMP_START"], table["CLUMP_END"], strict=True)
        near = [bool(((positions[causal] > a - reach) & (positions[causal] < b + reach)).any()) for a, b in ends]
        below = (table["Q_LOCUS"] < 0.05).tolist()
        shares.append((false_share(near), false_share([t for t, chosen in zip(near, below, strict=True) if chosen])))
        n_true.append(sum(t and chosen for t, chosen in zip(near, below, strict=True)))
    of_snps, of_loci = np.mean(shares, axis=0)
    assert of_snps > 0.15
    assert of_loci < 0.07
    assert np.mean(n_true) > 6


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_hits_of_a_run_have_the_rate(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=100, n_snps=1000, seed=1)
    lfmm2.run(None, data.bed, data.env, 3, out=tmp_path / "r")
    table = find_hits(tmp_path / "r", clump="50kb", fdr=0.2)
    assert {"joint", "env1"} <= set(table["VARIABLE"].to_pylist())
    assert all(0 < q <= 1 for q in table["Q_LOCUS"].to_pylist())
