"""Filesets as people have them: blanks in IDs, odd positions and chromosomes, SNPs without a place, empty samples."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_data import dense_t, genotypes, read_column, same, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, MalformedInputError

pytestmark = [
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning"),
]

N, P, K = 60, 400, 2
G, _ = genotypes(N, P)
X = np.random.default_rng(5).normal(size=N).round(4)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_text("env.csv", ["ID,x", *(f"{i},{v}" for i, v in zip(sample_ids(N), X, strict=True))])


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, list[str]]:
    """Run a command in this process; return its exit code, its output, and its errors and warnings."""
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, re.findall("^(?:Error|Warning): .*", err, re.MULTILINE)


def run(capsys: pytest.CaptureFixture[str], *options: object) -> tuple[int, str, list[str]]:
    return command(
        capsys, "run", "--bed", "d", "--env", "env.csv", "-K", K, "--out", "r", "--format", "tsv", "--overwrite",
        *options,
    )  # fmt: skip


def bim(position: Callable[[int], object] = lambda j: 1000 * j + 1, chromosome: object = 1, name: str = "snp") -> list:
    return [f"{chromosome}\t{name}{j if name != '.' else ''}\t0\t{position(j)}\tA\tC" for j in range(P)]


def test_a_sample_without_calls_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    holes = G.copy()
    holes[7], holes[9, np.random.default_rng(1).random(P) < 0.6] = np.nan, np.nan
    write_fileset("d", holes)
    code, out, said = run(capsys)
    assert (code, len(said)) == (0, 1)
    assert re.search(r"2 of 60 samples lack .*: s008 \(no call at all\), s010 \(\d+% missing\); .*--mind 0.5", said[0])
    assert re.search(r"missing rates: +0 % of the calls of the median sample, at most 100 % \(s008\)", out)
    code, out, said = run(capsys, "--mind", 0.5)
    assert (code, said) == (0, [])
    assert re.search("samples left out: +2 of 60", out)
    kept = [k for k in range(N) if k not in (7, 9)]
    assert same(read_column("r.x.tsv", "T_STAT"), dense_t(G[kept], X[kept], K)[:, 0])


def test_the_plan_tells_the_pass_of_mind(capsys: pytest.CaptureFixture[str]) -> None:
    write_fileset("d", G)
    code, out, _ = run(capsys, "--mind", 0.1, "--maf", 0.05, "--dry-run")
    assert code == 0
    assert re.search("^samples: +at most 60$", out, re.MULTILINE)
    passes = f"1 to count missing calls, 1 over {P} SNPs to compare the samples, 1 for the filters, 1 for the factors, "
    assert re.search(f"^passes: +{passes}", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("fam", "shown"),
    [
        (lambda i: f"Pop A\t{i}\t0\t0\t0\t-9", "Pop A"),
        (lambda i: f"0\ts {i}\t0\t0\t0\t-9", "s s001"),
        (lambda i: f"0\t{i} \t0\t0\t0\t-9", None),  # a blank beside a tab is none in an ID
        (lambda i: f"0 {i}\t0 0\t0\t-9", None),
        (lambda i: f"\t0\t{i}\t0\t0\t0\t-9\t", None),
        (lambda i: f"0\t{i}\t\t\t0\t-9", None),  # no father and no mother
    ],
)
def test_blanks_in_ids_of_a_fam(capsys: pytest.CaptureFixture[str], fam: Callable[[str], str], shown: str) -> None:
    write_fileset("d", G, fam=[fam(i) for i in sample_ids(N)])
    code, _, said = run(capsys)
    if shown is None:
        assert (code, said) == (0, [])
        return
    assert code == MalformedInputError.exit_code
    assert f"d.fam, line 1: the ID {shown!r} has a blank in it, so PLINK reads 7 columns where a .fam has 6" in said[0]
    assert "put _ in place of the blanks" in said[0]


@pytest.mark.parametrize("options", [{}, {"exclude": ["snp4"]}, {"extract": [f"snp{j}" for j in range(100)]}])
def test_negative_positions_are_left_out(options: dict[str, Any]) -> None:
    write_fileset("d", G, bim=bim(lambda j: -1 if j in (5, 90) else 1000 * j + 1))
    message = r"d\.bim: 2 SNPs with a negative position \(snp5, snp90\), left out as PLINK does; give positions"
    with pytest.warns(InputWarning, match=message) as seen:
        result = lfmm2.run(None, "d", "env.csv", K, **options)
    assert len([w for w in seen if w.category is InputWarning]) == 1
    n_snps = 100 if "extract" in options else P
    kept = [j for j in range(n_snps) if j not in (5, 90, *([4] if "exclude" in options else []))]
    assert result.table("x")["ID"].to_pylist() == [f"snp{j}" for j in kept]
    assert same(result.t, dense_t(G[:, kept], X, K))
    if not options:
        with pytest.warns(InputWarning, match="negative position"):
            assert np.array_equal(lfmm2.run("d", "d", "env.csv", K).t, result.t)
        with pytest.warns(InputWarning, match="negative position"):
            assert lfmm2.estimate_factors("d", "env.csv", K).n_snps == P - 2


def test_negative_positions_are_told_in_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    write_fileset("d", G, bim=bim(lambda j: -j))
    code, _, said = run(capsys, "--dry-run")
    assert code == DegenerateProblemError.exit_code  # one SNP is too few for two factors
    assert "399 SNPs with a negative position" in said[0]
    write_text("d.bim", bim(lambda j: 5 - j))
    code, out, _ = run(capsys, "--dry-run")
    assert code == 0
    assert re.search("^SNPs to test: +6 of 400$", out, re.MULTILINE)
    write_text("d.bim", bim(lambda j: -1 - j))
    with (
        pytest.warns(InputWarning, match="400 SNPs"),
        pytest.raises(InconsistentInputError, match="no SNP to use has a"),
    ):
        lfmm2.run(None, "d", "env.csv", K)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (lambda j: "1e+05" if j == 100 else 1000 * j, r"1 position is written in .* \(line 101: 1e\+05\)"),
        (lambda j: f"{1000 * j}.0", r"400 positions are written .* with decimals \(line 1: 0\.0\)"),
        (lambda j: f"{j}.000E3" if j else "0", r"399 positions are .* \(line 2: 1\.000E3\).* options\(scipen = 999\)"),
    ],
)
def test_positions_of_other_programs_are_read(position: Callable[[int], str], message: str) -> None:
    write_fileset("d", G, bim=bim(position))
    with pytest.warns(InputWarning, match=message) as seen:
        result = lfmm2.run(None, "d", "env.csv", K)
    assert len([w for w in seen if w.category is InputWarning]) == 1
    assert result.table("x")["POS"].to_pylist() == [1000 * j for j in range(P)]


SOUND = {
    "5 columns": [f"1\tsnp{j}\t{j + 1}\tA\tC" for j in range(P)],
    "genetic positions of R": [f"1\tsnp{j}\t1e-05\t{j + 1}\tA\tC" for j in range(P)],
    "genetic positions that are missing": [f"1\tsnp{j}\tNA\t{j + 1}\tA\tC" for j in range(P)],
    "contigs": [f"scaffold|{j // 50}|x=1\tsnp{j}\t0\t{j % 50 + 1}\tA\tC" for j in range(P)],
    "chr1, X, Y, MT": [f"{('chr1', 'X', 'XY', 'MT')[j // 100]}\tsnp{j}\t0\t{j + 1}\tA\tC" for j in range(P)],
    "alleles 0, ., - and indels": [f"1\tsnp{j}\t0\t{j + 1}\t{('0', '.', '-', '<DEL>')[j % 4]}\tACCG" for j in range(P)],
    "several SNPs of a position": [f"1\tsnp{j}\t0\t{j // 3 + 1}\tA\tC" for j in range(P)],
    "no position": [f"0\tsnp{j}\t0\t0\tA\tC" for j in range(P)],
    "IDs that are numbers": [f"1\t{j + 1}\t0\t{j + 1}\tA\tC" for j in range(P)],
    "IDs with colons and semicolons": [f"1\t1:{j};rs{j}\t0\t{j + 1}\tA\tC" for j in range(P)],
}


@pytest.mark.filterwarnings("error::lfmm2.errors.InputWarning")
@pytest.mark.parametrize("lines", SOUND.values(), ids=SOUND.keys())
def test_sound_variants_are_read_without_a_word(lines: list[str]) -> None:
    write_fileset("d", G, bim=lines)
    result = lfmm2.run(None, "d", "env.csv", K)
    assert same(result.t, dense_t(G, X, K))
    chromosomes, ids = zip(*(line.split("\t")[:2] for line in lines), strict=True)
    assert result.table("x")["CHROM"].to_pylist() == list(chromosomes)
    assert result.table("x")["ID"].to_pylist() == list(ids)


@pytest.mark.filterwarnings("error::lfmm2.errors.InputWarning")
@pytest.mark.parametrize(
    "line",
    ["0 {} 0 0 0 tall", "{} {} 0 0 1 1.75", "0\t{}\t0\t0\tfemale\tnot known", "{} {} P{} M{} 2 NA 3.5 1e-3", "0 {}"],
)
def test_sound_samples_are_read_without_a_word(line: str) -> None:
    write_fileset("d", G, fam=[line.replace("{}", i) for i in sample_ids(N)])
    result = lfmm2.run(None, "d", "env.csv", K)
    assert same(result.t, dense_t(G, X, K))
    assert result.sample_ids == tuple(sample_ids(N))


def follow(chromosome: object, position: Callable[[int], object], name: str) -> None:
    """Write a fileset in which SNPs 7, 8 and 9 follow the variable."""
    rng = np.random.default_rng(3)
    strong = G.copy()
    for j in (7, 8, 9):
        strong[:, j] = np.clip(np.round(1 + X + 0.3 * rng.normal(size=N)), 0, 2)
    write_fileset("d", strong, bim=bim(position, chromosome, name))


@pytest.mark.parametrize(
    ("chromosome", "position"),
    [(0, lambda _: 0), (0, lambda j: 100 * j), (1, lambda j: 0 if j < 9 else j), (1, lambda j: j + 1)],
)
@pytest.mark.parametrize("clump", [[], ["--clump", "2b"]])
def test_hits_without_a_place_are_counted(
    capsys: pytest.CaptureFixture[str], chromosome: int, position: Any, clump: list[str]
) -> None:
    follow(chromosome, position, "snp")
    assert run(capsys)[0] == 0
    code, out, _ = command(capsys, "hits", "r", *clump)
    assert code == 0
    hits, lines = (
        [row.split("\t") for row in Path(f"r.hits.{end}").read_text().splitlines()] for end in ("tsv", "bed")
    )
    placeless = [row for row in hits[1:] if row[1] == "0" or row[2] == "0"]
    assert len(hits) - len(lines) == len(placeless)
    assert len(placeless) >= (0 if position(0) else 2)
    what = "lines" if clump else "hits"
    said = re.search(
        rf"without a place: +(\d) of {len(hits) - 1} {what} have no chromosome or no position, and are not in", out
    )
    assert (int(said[1]) if said else 0) == len(placeless)


def test_snps_without_an_id_are_shown_by_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    follow("chr2", lambda j: 1000 * j, ".")
    assert run(capsys)[0] == 0
    assert command(capsys, "hits", "r", "--clump", "5kb")[0] == 0
    header, *rows = [line.split("\t") for line in Path("r.hits.tsv").read_text().splitlines()]
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    named = {name for row in shown for name in [row["ID"], *row["CLUMPED"].split(",")] if name != "NA"}
    assert {"chr2:7000", "chr2:8000", "chr2:9000"} <= named
    assert "." not in named
    pytest.importorskip("matplotlib")
    from lfmm2.report.summaries import summarise_briefly, summarise_table

    assert summarise_briefly("r", "x").snp in ("chr2:7000", "chr2:8000", "chr2:9000")
    (locus, *_) = summarise_table("r", "x").loci
    assert re.fullmatch("chr2:[789]000", locus.snp)
    assert re.fullmatch("chr2:[789]000", locus.nearest)


def test_snps_without_an_id_and_a_place_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    follow(0, lambda _: 0, ".")
    assert run(capsys)[0] == 0
    assert command(capsys, "hits", "r")[0] == 0
    assert {line.split("\t")[3] for line in Path("r.hits.tsv").read_text().splitlines()[1:]} == {"."}
