"""Hits and clumps against a naive search, and the files made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_results import variants, write_results

import lfmm2
from lfmm2.downstream.hits import CLUMP_SCHEMA, collect_hits, find_hits, hits_schema, parse_distance, write_hits
from lfmm2.model.columns import COLUMNS
from lfmm2.results.stored_run import BLOCK_ROWS, StoredRun

Floats = np.ndarray
HITS_SCHEMA = hits_schema(COLUMNS)


def random_tables(n: int, seed: int = 0) -> dict[str, dict]:
    """q with a tenth below 0.05, and strengths of which some are equal."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name in ("v", "w", "joint"):
        q = rng.random(n) * rng.choice([0.1, 1.0], n)
        q[rng.random(n) < 0.05] = np.nan
        strength = rng.integers(1, 40, n) / 4
        tables[name] = {"Q": q, "NEG_LOG10_P_CAL": strength, "LFDR": rng.random(n), "Q_STOREY": q * 0.7}
    return tables


def naive_clumps(chromosomes: list[str], positions: list[int], strength: Floats, distance: int) -> dict[int, list[int]]:
    """Members of each index SNP, by the definition: the strongest that is left takes what is near and left."""
    left = sorted(range(len(positions)), key=lambda i: (-strength[i], i))
    clumps = {}
    while left:
        i = left[0]
        near = [j for j in left if chromosomes[j] == chromosomes[i] and abs(positions[j] - positions[i]) < distance]
        clumps[i] = [j for j in near if j != i]
        left = [j for j in left if j not in near]
    return clumps


@pytest.mark.parametrize("form", ["parquet", "tsv.gz"])
@pytest.mark.parametrize(("by", "column"), [("q", "Q"), ("q_storey", "Q_STOREY"), ("lfdr", "LFDR")])
def test_hits_are_the_rows_below_the_level(tmp_path: Path, form: str, by: str, column: str) -> None:
    tables = random_tables(400)
    write_results(tmp_path / "r", tables, form=form)
    hits = find_hits(tmp_path / "r", fdr=0.07, by=by).to_pydict()
    expected = []
    for name, table in tables.items():
        rows = [i for i in range(400) if table[column][i] < 0.07]
        rows.sort(key=lambda i: (-table["NEG_LOG10_P_CAL"][i], i))
        expected += [(name, f"rs{i}", float(table[column][i])) for i in rows]
    assert len(expected) > 30
    assert list(zip(hits["VARIABLE"], hits["ID"], hits[column], strict=True)) == expected


def test_columns_and_types(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(50))
    assert find_hits(tmp_path / "r", fdr=1).schema == HITS_SCHEMA
    assert HITS_SCHEMA.names == [
        "VARIABLE", "CHROM", "POS", "ID", "A1", "OMITTED", "A1_FREQ", "BETA", "SE", "EFF_CARRIERS", "P",
        "NEG_LOG10_P_CAL", "Q", "Q_STOREY", "LFDR",
    ]  # fmt: skip
    clumped = find_hits(tmp_path / "r", fdr=1, clump=10)
    assert clumped.schema.names == [*HITS_SCHEMA.names, *CLUMP_SCHEMA.names]


def test_joint_test_has_no_effect(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(50))
    table = find_hits(tmp_path / "r", fdr=1, variables=["joint", "v"]).to_pandas()
    assert list(dict.fromkeys(table["VARIABLE"])) == ["joint", "v"]
    joint = table["VARIABLE"] == "joint"
    for column in ("BETA", "SE"):
        assert table.loc[joint, column].isna().all()
        assert table.loc[~joint, column].notna().all()
    assert table.loc[joint, "P"].notna().all()


def test_level_is_exclusive(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"Q": [0.05, np.nextafter(0.05, 0), np.nan, 0.0]}})
    assert find_hits(tmp_path / "r")["ID"].to_pylist() == ["rs1", "rs3"]


@pytest.mark.parametrize("distance", [1, 1000, 1001, 3500, 10**9])
@pytest.mark.parametrize("seed", [0, 1])
def test_clumps_are_those_of_the_definition(tmp_path: Path, distance: int, seed: int) -> None:
    n = 500
    rng = np.random.default_rng(seed)
    positions = np.sort(rng.integers(1, 60_000, (5, n // 5)), axis=1).ravel().tolist()
    snps = variants(n, POS=positions)
    tables = random_tables(n, seed)
    write_results(tmp_path / "r", tables, snps=snps)
    hits = find_hits(tmp_path / "r", clump=distance, fdr=0.2).to_pydict()
    found = [
        (v, name, number, start, end, members)
        for v, name, number, start, end, members in zip(
            *(hits[c] for c in ("VARIABLE", "ID", "N_CLUMPED", "CLUMP_START", "CLUMP_END", "CLUMPED")), strict=True
        )
    ]
    expected = []
    for name, table in tables.items():
        rows = np.flatnonzero(table["Q"] < 0.2)
        strength = table["NEG_LOG10_P_CAL"][rows]
        clumps = naive_clumps([snps["CHROM"][i] for i in rows], [positions[i] for i in rows], strength, distance)
        for i, members in clumps.items():
            places = [positions[rows[j]] for j in (i, *members)]
            ids = ",".join(f"rs{rows[j]}" for j in members) or None
            expected.append((name, f"rs{rows[i]}", len(members), min(places), max(places), ids))
    assert found == expected


@pytest.mark.parametrize(("apart", "n_clumps"), [(998, 1), (999, 1), (1000, 3), (1001, 3)])
def test_distance_is_exclusive_as_in_plink(tmp_path: Path, apart: int, n_clumps: int) -> None:
    """plink 1.9 b6.26, --clump-kb 1 with three copies of a SNP: so many clumps at these distances."""
    snps = variants(3, CHROM=["1"] * 3, POS=[5000 - apart, 5000, 5000 + apart])
    strength = [6.0, 9.0, 6.0]
    write_results(tmp_path / "r", {"v": {"Q": [0.01] * 3, "NEG_LOG10_P_CAL": strength}}, snps=snps)
    table = find_hits(tmp_path / "r", clump="1kb")
    assert len(table) == n_clumps
    assert table["ID"][0].as_py() == "rs1"
    assert table["N_CLUMPED"][0].as_py() == 3 - n_clumps


def test_snps_without_a_place_stay_by_themselves(tmp_path: Path) -> None:
    snps = variants(7, CHROM=["0", "0", "1", "1", "1", ".", "."], POS=[5, 5, 3, 0, 0, 7, 8])
    write_results(tmp_path / "r", {"v": {"Q": [0.01] * 7, "NEG_LOG10_P_CAL": [9.0] * 7}}, snps=snps)
    table = find_hits(tmp_path / "r", clump=100)
    assert table["ID"].to_pylist() == [f"rs{i}" for i in range(7)]
    assert table["N_CLUMPED"].to_pylist() == [0] * 7


def test_variables_are_clumped_apart(tmp_path: Path) -> None:
    q = {"Q": [0.01, 0.01], "NEG_LOG10_P_CAL": [3.0, 4.0]}
    write_results(tmp_path / "r", {"v": q, "w": q}, snps=variants(2, CHROM=["1", "1"], POS=[10, 11]))
    table = find_hits(tmp_path / "r", clump="1mb")
    assert table["VARIABLE"].to_pylist() == ["v", "w"]
    assert table["CLUMPED"].to_pylist() == ["rs0", "rs0"]


@pytest.mark.parametrize("form", ["parquet", "tsv"])
def test_hits_of_later_blocks_are_the_right_rows(tmp_path: Path, form: str) -> None:
    n = 2 * BLOCK_ROWS + 9
    q = np.full(n, 0.9)
    rows = [5, 2 * BLOCK_ROWS - 1, 2 * BLOCK_ROWS + 8]
    q[rows] = [0.02, 0.01, 0.03]
    strength = np.zeros(n)
    strength[rows] = [1.0, 3.0, 2.0]
    write_results(
        tmp_path / "r", {"v": {"Q": q, "NEG_LOG10_P_CAL": strength, "BETA": np.arange(n, dtype=float)}}, form=form
    )
    hits = collect_hits(tmp_path / "r")
    assert hits.table["BETA"].to_pylist() == [rows[1], rows[2], rows[0]]
    assert hits.order.tolist() == [rows[1], rows[2], rows[0]]
    assert hits.smallest == {"v": 0.01}


def test_no_hit_is_an_empty_table_and_a_sentence(tmp_path: Path) -> None:
    tables = {"v": {"Q": [0.31, 0.2, np.nan]}, "w": {"Q": [np.nan] * 3}}
    write_results(tmp_path / "r", tables)
    for clump in (None, 500):
        hits = collect_hits(tmp_path / "r", clump=clump)
        assert len(hits.table) == 0
        assert hits.table.schema.names[: len(HITS_SCHEMA)] == HITS_SCHEMA.names
        assert hits.summary() == {
            "hits of v": "no SNP with Q < 0.05, the smallest is 0.2",
            "hits of w": "no SNP has Q",
        }
    paths = write_hits(tmp_path / "o", hits)
    assert paths["hits"].read_text() == "\t".join(hits.table.schema.names) + "\n"
    assert paths["bed"].read_text().count("\n") == 1


def test_summary_counts_snps_and_clumps(tmp_path: Path) -> None:
    q = {"Q": [0.01, 0.01, 0.01], "NEG_LOG10_P_CAL": [3.0, 4.0, 5.0], "P_CAL": [0.5, 0.5, 0.04]}
    write_results(tmp_path / "r", {"v": q}, snps=variants(3, CHROM=["1", "1", "2"], POS=[10, 11, 11]))
    assert collect_hits(tmp_path / "r").summary() == {"hits of v": "3 SNPs with Q < 0.05"}
    assert collect_hits(tmp_path / "r", clump=50).summary() == {
        "hits of v": "3 SNPs with Q < 0.05 in 2 clumps; 0 clumps with Q_LOCUS < 0.05"
    }


def test_summary_has_the_singular(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"Q": [0.01, 0.5], "P_CAL": [0.001, 0.5]}})
    assert collect_hits(tmp_path / "r", clump=50).summary() == {
        "hits of v": "1 SNP with Q < 0.05 in 1 clump; 1 clump with Q_LOCUS < 0.05"
    }


def test_summary_tells_of_inflated_p_that_were_not_calibrated(tmp_path: Path) -> None:
    tables = {name: {"Q": [0.01, 0.9]} for name in ("v", "w", "u", "joint")}
    fits = {"v": ("none", 1.94), "w": ("none", 1.1), "u": ("student", 3.0), "joint": ("none", 1.2345)}
    write_results(tmp_path / "r", tables, fits=fits)
    assert collect_hits(tmp_path / "r").summary() == {
        "hits of v": "1 SNP with Q < 0.05",
        "calibration of v": "none (GIF 1.94)",
        "hits of w": "1 SNP with Q < 0.05",
        "hits of u": "1 SNP with Q < 0.05",
        "hits of joint": "1 SNP with Q < 0.05",
        "calibration of joint": "none (GIF 1.23)",
    }


def test_gif_that_is_not_defined_is_not_told_of(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"Q": [0.01]}}, fits={"v": ("none", None)})
    assert list(collect_hits(tmp_path / "r").summary()) == ["hits of v"]


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_summary_tells_of_a_real_run_that_was_not_calibrated(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=80, n_snps=500, n_causal=3, seed=2)
    result = lfmm2.run(None, data.bed, data.env, 1, out=tmp_path / "r", calibrate="none")
    lines = collect_hits(tmp_path / "r").summary()
    assert result.gif[0] > 1.2
    assert lines["calibration of env1"] == f"none (GIF {result.gif[0]:.2f})"


def test_one_name_is_one_variable(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(50))
    hits = collect_hits(tmp_path / "r", fdr=1, variables="joint")
    assert hits.tables == ("joint",)
    assert hits.table.equals(find_hits(tmp_path / "r", fdr=1, variables=("joint", "joint")))


def test_distance_may_be_any_whole_number(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(50))
    expected = find_hits(tmp_path / "r", fdr=1, clump=2500)
    for clump in (2.5e3, np.int32(2500), np.float64(2500), "2.5kb"):
        assert find_hits(tmp_path / "r", fdr=np.float32(1), clump=clump).equals(expected)
    assert collect_hits(tmp_path / "r", fdr=1, clump=10**12).clump == 10**12


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_result_stands_for_its_files(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=300, n_causal=3, seed=2)
    result = lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r")
    assert find_hits(result, fdr=1).equals(find_hits(tmp_path / "r", fdr=1))
    # A result in memory is written to a temporary folder.
    assert find_hits(lfmm2.run(None, data.bed, data.env, 2), fdr=1).equals(find_hits(result, fdr=1))
    with pytest.raises(lfmm2.UsageError, match="results are given as int; give the --out"):
        find_hits(5)


@pytest.mark.parametrize("prefix", ["", "folder/", ".", "folder/.."])
def test_prefix_without_a_name_is_refused(tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    write_results(tmp_path / "r", random_tables(5))
    hits = collect_hits(tmp_path / "r")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(lfmm2.UsageError, match=rf"out is '{prefix}'; give a folder and the beginning"):
        write_hits(prefix, hits)
    assert sorted(tmp_path.rglob("*")) == before


def test_table_without_a_declared_column_is_refused(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"Q": [0.01, 0.9]}}, lacking=("LFDR",))
    for by in ("q", "lfdr"):
        with pytest.raises(lfmm2.InconsistentInputError, match="has no column LFDR; run again"):
            find_hits(tmp_path / "r", by=by)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_hits_of_a_run_are_those_of_its_table(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=200, n_snps=2000, seed=1)
    result = lfmm2.run(None, data.bed, data.env, 3, out=tmp_path / "r")
    hits = find_hits(tmp_path / "r", fdr=0.1).to_pandas()
    whole = result.table("env1").to_pandas()
    expected = whole[whole["Q"] < 0.1].sort_values("NEG_LOG10_P_CAL", ascending=False, kind="stable")
    ours = hits[hits["VARIABLE"] == "env1"]
    assert len(ours) > 3
    for column in ("ID", "CHROM", "POS", "BETA", "SE", "P", "NEG_LOG10_P_CAL", "Q", "A1", "OMITTED", "A1_FREQ"):
        assert ours[column].tolist() == expected[column].tolist()


def test_table_file_reads_back(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(300))
    hits = collect_hits(StoredRun(tmp_path / "r"), clump="2kb", fdr=0.3)
    paths = write_hits(tmp_path / "o", hits)
    assert paths == {"hits": tmp_path / "o.hits.tsv", "bed": tmp_path / "o.hits.bed"}
    frame = pd.read_csv(paths["hits"], sep="\t", dtype={"CHROM": str})
    pd.testing.assert_frame_equal(frame, hits.table.to_pandas().fillna(np.nan), check_exact=True)


def test_bed_is_in_genome_order_with_half_open_places(tmp_path: Path) -> None:
    snps = variants(4, CHROM=["chrX", "chrX", "1", "1"], POS=[10, 20, 1, 0], ID=["a", "b", "c", "d"])
    v = {"Q": [0.01] * 4, "NEG_LOG10_P_CAL": [2.0, 3.5, 400.0, 1.0]}
    w = {"Q": [0.9, 0.01, 0.9, 0.9], "NEG_LOG10_P_CAL": [0.1, 0.125, 0.1, 0.1]}
    write_results(tmp_path / "r", {"v": v, "w": w}, snps=snps)
    lines = write_hits(tmp_path / "o", collect_hits(tmp_path / "r"))["bed"].read_text().splitlines()
    assert lines == [
        "#chrom\tstart\tend\tname\tscore\tstrand\tvariable\tneg_log10_p",
        "chrX\t9\t10\ta\t100\t.\tv\t2",
        "chrX\t19\t20\tb\t175\t.\tv\t3.5",
        "chrX\t19\t20\tb\t6\t.\tw\t0.125",
        "1\t0\t1\tc\t1000\t.\tv\t400",
    ]


def test_both_files_are_written_or_none(tmp_path: Path) -> None:
    write_results(tmp_path / "r", random_tables(20))
    hits = collect_hits(tmp_path / "r", fdr=1)
    (tmp_path / "o.hits.bed").write_text("mine")
    with pytest.raises(lfmm2.OutputExistsError, match=r"o\.hits\.bed"):
        write_hits(tmp_path / "o", hits)
    assert not (tmp_path / "o.hits.tsv").exists()
    assert (tmp_path / "o.hits.bed").read_text() == "mine"
    with pytest.raises(lfmm2.OutputExistsError, match=r"o\.hits\.bed: not a file that lfmm2 has written here"):
        write_hits(tmp_path / "o", hits, overwrite=True)
    assert (tmp_path / "o.hits.bed").read_text() == "mine"
    (tmp_path / "o.hits.bed").unlink()
    write_hits(tmp_path / "o", hits)
    write_hits(tmp_path / "o", hits, overwrite=True)
    assert (tmp_path / "o.hits.bed").read_text().startswith("#chrom")


def test_table_of_a_variable_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"hits": {"Q": [0.01]}}, form="tsv")
    before = (tmp_path / "r.hits.tsv").read_bytes()
    with pytest.raises(lfmm2.UsageError, match=r"r\.hits\.tsv is a file of the run"):
        write_hits(tmp_path / "r", collect_hits(tmp_path / "r"), overwrite=True)
    assert (tmp_path / "r.hits.tsv").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "bases"),
    [("50kb", 50_000), ("0.5mb", 500_000), ("500", 500), ("500bp", 500), (" 1.5 KB ", 1500), (".25Mb", 250_000)],
)
def test_distances(text: str, bases: int) -> None:
    assert parse_distance(text) == bases


@pytest.mark.parametrize("text", ["1001gb", "9" * 24 + "gb", "9" * 400, "1000000000001"])
def test_distance_beyond_any_genome_is_refused(text: str) -> None:
    with pytest.raises(lfmm2.UsageError, match="is more than 1000gb, longer than any genome"):
        parse_distance(text)
    assert parse_distance("1000gb") == 10**12


@pytest.mark.parametrize("text", ["", "kb", "50 parsecs", "-5kb", "0", "0.5", "1e3", "1.0001kb", "nan"])
def test_what_is_no_distance(text: str) -> None:
    with pytest.raises(lfmm2.UsageError, match="write 50kb"):
        parse_distance(text)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"by": "p"}, "by is 'p'; it is one of q, q_storey, lfdr"),
        ({"fdr": 0}, "fdr is 0; a rate"),
        ({"fdr": 1.1}, "fdr is 1.1; a rate"),
        ({"fdr": True}, "fdr is True"),
        ({"fdr": float("nan")}, "fdr is nan"),
        ({"fdr": None}, "fdr is None; a rate"),
        ({"fdr": "a"}, "fdr is 'a'; a rate"),
        ({"by": ["q"]}, r"by is \['q'\]; it is one of"),
        ({"clump": 0}, "clump is 0; give a whole number of bases from 1 to 10¹²"),
        ({"clump": 1.5}, "clump is 1.5; give a whole number"),
        ({"clump": 10**30}, "clump is 10{30}; give a whole number"),
        ({"clump": 10**12 + 1}, "give a whole number"),
        ({"clump": float("inf")}, "clump is inf"),
        ({"clump": float("nan")}, "clump is nan"),
        ({"clump": True}, "clump is True"),
        ({"clump": [5]}, r"clump is \[5\]"),
        ({"clump": "near"}, "'near' is no distance"),
        ({"variables": ["v", "u"]}, "has no table 'u'; it has v, w, joint"),
        ({"variables": "env1"}, "has no table 'env1'; it has v, w, joint"),
        ({"variables": ""}, "has no table ''; it has v, w, joint"),
        ({"variables": []}, r"variables is \[\]; give names, of v, w, joint, or None for all"),
        ({"variables": 5}, "variables is 5; give names"),
        ({"variables": [["v"]]}, "has no table"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict, fact: str) -> None:
    write_results(tmp_path / "r", random_tables(5))
    with pytest.raises(lfmm2.UsageError, match=fact):
        find_hits(tmp_path / "r", **arguments)
