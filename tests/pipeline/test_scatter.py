"""Runs in three steps: their results are those of one process, and parts that do not belong together are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.files import RowArchive, RowTable, write_row_archive
from lfmm2.pipeline.parts import PartNumber, read_part
from lfmm2.pipeline.run_start import record_arguments
from lfmm2.simulation import Simulation, simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

N_SNPS = 9_000
OWN: dict[str, Any] = {"n_threads": 1, "memory": "300MB"}
CASES: dict[str, dict[str, Any]] = {
    "surrogates": {"K": 2, "surrogates": 3, "marginal": True, "covar": "age.csv", "categorical": "site"},
    "sweep": {"sweep": "1:3", "sweep_lambda": "1e-5,1x", "impute": "factors", "format": "tsv"},
    "filters": {"K": 2, "maf": 0.02, "geno": 0.2, "mind": 0.5, "est_thin": "r2=0.2,window=50", "drop_duplicates": True,
                "solver": "krylov", "spa": True},
    "estimation set": {"K": 2, "est_bed": "estimation.bed", "loadings": True, "count_allele": "a1", "scale": "hwe",
                       "solver": "power", "calibrate": "chi2", "exclude": "excluded.txt"},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    folder = tmp_path_factory.mktemp("scatter")
    simulate(folder / "estimation", n_samples=60, n_snps=3000, n_causal=5, seed=8)
    data = simulate(folder / "d", n_samples=60, n_snps=N_SNPS, n_causal=5, seed=3, missing_rate=0.03)
    iids = pd.read_csv(data.env)["IID"]
    age = {"age": np.random.default_rng(1).normal(size=60), "site": np.tile(["a", "b", "c"], 20)}
    pd.DataFrame({"IID": iids, **age}).to_csv(folder / "age.csv", index=False)
    ids = [line.split()[1] for line in data.bim.read_text().splitlines()]
    (folder / "excluded.txt").write_text("\n".join(ids[5:4000:7]))
    return data


@pytest.fixture(autouse=True)
def at_the_data(data: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of the cases are relative to the folder of the data."""
    monkeypatch.chdir(data.bed.parent)


def contents(folder: Path, prefix: str) -> dict[str, bytes]:
    """The result files by their endings, but for log and record, which say when they were made."""
    paths = [path for path in folder.glob(f"{prefix}.*") if path.suffix not in (".log", ".json", ".state")]
    return {path.name.removeprefix(prefix): path.read_bytes() for path in paths}


def begin(data: Simulation, folder: Path, **case: Any) -> Path:
    arguments = {"est_bed": None, "full_bed": "d.bed", "X": "d.env.csv", "out": folder / "job", **OWN, **case}
    return lfmm2.estimate_for_parts(**arguments)


def test_all(factors: Path, n_parts: int) -> list[Path]:
    return [lfmm2.test_part(factors, f"{i}/{n_parts}", **OWN) for i in range(1, n_parts + 1)]


test_all.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def tested(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The first half of a small run and its three parts, which no test changes."""
    folder = tmp_path_factory.mktemp("tested")
    factors = lfmm2.estimate_for_parts(None, data.bed, data.env, 2, out=folder / "job", surrogates=0, **OWN)
    return factors, test_all(factors, 3)


Tested = tuple[Path, list[Path]]


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_one_process(data: Simulation, tmp_path: Path, name: str) -> None:
    lfmm2.run(**{"est_bed": None, "full_bed": "d.bed", "X": "d.env.csv", "out": tmp_path / "one", **OWN, **CASES[name]})
    parts = test_all(begin(data, tmp_path, **CASES[name]), 2)
    result = lfmm2.combine_parts(parts[::-1], out=tmp_path / "all", **OWN)
    assert contents(tmp_path, "all") == contents(tmp_path, "one")
    assert not list(tmp_path.glob("*.state"))
    record, other = ((tmp_path / f"{run}.lfmm2.json").read_text() for run in ("one", "all"))
    assert record.split('"calibration"')[1].split('"plan"')[0] == other.split('"calibration"')[1].split('"plan"')[0]
    lfmm2.verify(result.paths["record"])


def test_22_parts_of_several_filesets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i, n_snps in enumerate((30_000, 10_000, 6_000), 1):
        simulate(tmp_path / f"chr{i}", n_samples=30, n_snps=n_snps, n_causal=3, seed=5)
        ids = Path(f"chr{i}.bim").read_text().splitlines()
        Path(f"chr{i}.bim").write_text("\n".join(line.replace("\t", f"\t{i}_", 1) for line in ids) + "\n")
    arguments: dict[str, Any] = {"K": 2, "surrogates": 0, **OWN}
    lfmm2.run(None, "chr@.bed", "chr1.env.csv", out="one", **arguments)
    factors = lfmm2.estimate_for_parts(None, "chr@.bed", "chr1.env.csv", out="job", **arguments)
    parts = test_all(factors, 22)
    assert all(read_part(part).note.first < read_part(part).note.end for part in parts)
    lfmm2.combine_parts(parts, out="all", **OWN)
    assert contents(tmp_path, "all") == contents(tmp_path, "one")


def test_parts_need_not_be_of_one_number(data: Simulation, tested: Tested, tmp_path: Path) -> None:
    factors, _ = tested
    parts = [lfmm2.test_part(factors, part, out=tmp_path / "p", **OWN) for part in ("1/2", "3/4", "8/8", "7/8")]
    lfmm2.combine_parts(parts, out=tmp_path / "all", **OWN)
    lfmm2.combine_parts(tested[1], out=tmp_path / "three", **OWN)
    assert contents(tmp_path, "all") == contents(tmp_path, "three")


@pytest.mark.parametrize("n_snps", [1, 2048, 2049, 9000, 100_000])
@pytest.mark.parametrize("n_parts", [1, 2, 3, 22, 1000])
def test_parts_cover_each_snp_once(n_snps: int, n_parts: int) -> None:
    ranges = [PartNumber(i, n_parts).snps(n_snps) for i in range(1, n_parts + 1)]
    assert ranges[0].first == 0
    assert ranges[-1].end == n_snps
    assert all(one.end == two.first for one, two in pairwise(ranges))
    assert all(snps.first % 2048 == 0 or snps.first == n_snps for snps in ranges)


# --- parts that do not belong together ------------------------------------------------------------------------


def altered(path: Path, target: Path, **fields: Any) -> Path:
    """A copy of a part with another identity."""
    with RowArchive(path, "") as archive:
        note = archive.note
    note["identity"] |= fields
    tables = np.load(path)
    names = [name for name in tables.files if name != "note.json"]
    with target.open("wb") as file:
        write_row_archive(file, note, {name: RowTable(*tables[name].shape, [tables[name]]) for name in names})
    return target


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"factors": "0"}, "the factors, or the SNPs and samples that were chosen with them, are others"),
        ({"samples": "0"}, "the samples are others"),
        ({"values of variables": "0"}, "the values of the variables are others"),
        ({"calibrate": "chi2"}, "calibrate was student, is chi2"),
        ({"lfmm2": "9.9"}, r"lfmm2 was .*, is 9\.9"),
        ({"instructions": "none"}, "instructions was .*, is none"),
        ({"tested SNPs": "8 999, SHA-256 0"}, "tested SNPs was all, is 8 999, SHA-256 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_part_of_another_run_is_refused(tested: Tested, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    first, second, third = tested[1]
    other = altered(second, tmp_path / "other.npz", **fields)
    with pytest.raises(
        lfmm2.InconsistentInputError, match=rf"other.npz: does not belong to .*part-1-of-3.npz: {words};"
    ):
        lfmm2.combine_parts([first, other, third], out=tmp_path / "all")
    assert not list(tmp_path.glob("all*"))


def test_parts_of_two_runs_are_refused(data: Simulation, tested: Tested, tmp_path: Path) -> None:
    other = lfmm2.test_part(begin(data, tmp_path, K=2, solver="krylov", surrogates=0), "2/3", **OWN)
    with pytest.raises(
        lfmm2.InconsistentInputError, match=r"does not belong to .* solver was auto, is krylov; the fac"
    ):
        lfmm2.combine_parts([tested[1][0], other, tested[1][2]], out=tmp_path / "all")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ((0, 2), r"SNPs 2 049 to 6 144 of 9 000 are in no part; part 2 of 3 not given: lfmm2 test .*npz --part 2/3"),
        ((0,), r"SNPs 2 049 to 9 000 of 9 000 are in no part; parts 2, 3 of 3 not given: .* --part 2/3"),
        ((1, 2), r"SNPs 1 to 2 048 of 9 000 are in no part; part 1 of 3 not given"),
        ((0, 1, 1, 2), r"SNPs 2 049 to 6 144 are in .*part-2-of-3.npz and in .*part-2-of-3.npz; give each part once"),
    ],
)  # fmt: skip
def test_missing_and_repeated_snps_are_refused(tested: Tested, tmp_path: Path, chosen: Any, words: str) -> None:
    with pytest.raises(lfmm2.InconsistentInputError, match=words):
        lfmm2.combine_parts([tested[1][i] for i in chosen], out=tmp_path / "all")


def test_missing_snps_among_parts_of_several_numbers(tested: Tested, tmp_path: Path) -> None:
    quarter = lfmm2.test_part(tested[0], "4/4", out=tmp_path / "p", **OWN)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"SNPs 2 049 to 6 144 .* are in no part; test them too"):
        lfmm2.combine_parts([tested[1][0], quarter], out=tmp_path / "all")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-900]),
                                    lambda path: path.write_bytes(b"")], ids=["flipped", "cut", "empty"])  # fmt: skip
def test_damaged_part_is_refused(tested: Tested, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "part.npz"
    shutil.copy(tested[1][1], path)
    damage(path)
    with pytest.raises(lfmm2.MalformedInputError, match=r"part.npz: is damaged, or no part of a run; test it again"):
        lfmm2.combine_parts([tested[1][0], path, tested[1][2]], out=tmp_path / "all", **OWN)
    assert not list(tmp_path.glob("all.*parquet"))


def test_other_files_are_no_parts(tested: Tested, tmp_path: Path) -> None:
    with pytest.raises(lfmm2.MalformedInputError, match=r"job.factors.npz: is damaged, or no part of a run"):
        lfmm2.combine_parts([tested[0]], out=tmp_path / "all")
    with pytest.raises(lfmm2.ReadError, match=r"absent.npz: cannot be read \(No such file .*\); check the path"):
        lfmm2.combine_parts([tmp_path / "absent.npz"], out=tmp_path / "all")
    for none in ([], tested[1][0]):
        with pytest.raises(lfmm2.UsageError, match=r"the parts are a list of paths, of at least one"):
            lfmm2.combine_parts(none, out=tmp_path / "all")


# --- factors that a step cannot go on from --------------------------------------------------------------------


def test_factors_file_may_move(data: Simulation, tested: Tested, tmp_path: Path) -> None:
    factors = shutil.copy(tested[0], tmp_path / "moved.factors.npz")
    moved = altered_place(tested[1], tmp_path)
    with pytest.raises(lfmm2.ReadError, match=r"gone.factors.npz") as raised:
        lfmm2.combine_parts(moved, out=tmp_path / "all", **OWN)
    assert "name its place with --use-factors" in raised.value.__notes__[0]
    lfmm2.combine_parts(moved, factors=factors, out=tmp_path / "all", **OWN)
    other = begin(data, tmp_path, K=3, surrogates=0)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"is not the factors file that .*: K was 2, is 3; the fact"):
        lfmm2.combine_parts(moved, factors=other, out=tmp_path / "all2", **OWN)


def altered_place(parts: list[Path], folder: Path) -> list[Path]:
    """Copies of parts whose factors file is gone."""
    copies = []
    for path in parts:
        with RowArchive(path, "") as archive:
            note = archive.note | {"factors_file": str(folder / "gone.factors.npz")}
        tables = np.load(path)
        copies.append(folder / path.name)
        names = [name for name in tables.files if name != "note.json"]
        with copies[-1].open("wb") as file:
            write_row_archive(file, note, {name: RowTable(*tables[name].shape, [tables[name]]) for name in names})
    return copies


def test_inputs_that_changed_are_refused(data: Simulation, tmp_path: Path) -> None:
    for end in (".bed", ".bim", ".fam", ".env.csv"):
        shutil.copy(f"d{end}", tmp_path / f"e{end}")
    factors = begin(data, tmp_path, full_bed=tmp_path / "e.bed", K=2, surrogates=0)
    part = lfmm2.test_part(factors, "1/1", **OWN)
    os.utime(tmp_path / "e.bed", (1, 1))
    words = (
        "job.factors.npz: the factors were estimated from other files or by another program: genotypes .* was .*, is"
    )
    for step in (lambda: lfmm2.test_part(factors, "1/2"), lambda: lfmm2.combine_parts([part], out=tmp_path / "all")):
        with pytest.raises(lfmm2.InconsistentInputError, match=words):
            step()


def test_step_under_other_instructions_is_refused(tested: Tested, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lfmm2.kernels._gram_float32.instructions", lambda: "other")
    for step in (
        lambda: lfmm2.test_part(tested[0], "1/2", out=tmp_path / "p"),
        lambda: lfmm2.combine_parts(tested[1], out=tmp_path / "all"),
    ):
        with pytest.raises(lfmm2.InconsistentInputError, match=r"by another program: instructions was .*, is other;"):
            step()


def test_factors_of_a_run_have_no_options(data: Simulation, tmp_path: Path) -> None:
    from lfmm2.results import write_factors

    with (tmp_path / "r.factors.npz").open("wb") as file:
        write_factors(file, lfmm2.read_factors(begin(data, tmp_path, K=2)))
    words = (
        "r.factors.npz: has factors, but not the options and choices of their run; lfmm2 factors makes a file for parts"
    )
    with pytest.raises(lfmm2.MalformedInputError, match=words):
        lfmm2.test_part(tmp_path / "r.factors.npz", "1/2")


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "1/0", "1/9999999", (1, 2), None])
def test_part_that_is_none_is_refused(tested: Tested, part: Any) -> None:
    with pytest.raises(lfmm2.UsageError, match=r"give the number of the part and that of all parts, as 3/22"):
        lfmm2.test_part(tested[0], part)


def test_what_other_processes_cannot_open_is_refused(tmp_path: Path) -> None:
    frame = pd.read_csv("d.env.csv", index_col="IID")
    out = {"K": 2, "out": tmp_path / "job"}
    with pytest.raises(lfmm2.UsageError, match=r"^X is .* other processes open it again .*; write it to a file"):
        lfmm2.estimate_for_parts(None, "d.bed", frame, **out)
    with pytest.raises(lfmm2.UsageError, match=r"^full_bed is "):
        lfmm2.estimate_for_parts(None, np.zeros((60, 100)), "d.env.csv", **out)
    with pytest.raises(lfmm2.UsageError, match=r"--vcf converts genotypes for one run.*lfmm2 convert d.vcf --out NAME"):
        record_arguments({"vcf": "d.vcf"})
    with pytest.raises(lfmm2.UsageError, match=r"^colour: lfmm2.run has no such option"):
        lfmm2.estimate_for_parts(None, "d.bed", "d.env.csv", colour=1, **out)
    with pytest.raises(lfmm2.UsageError, match=r"written to a file; give out"):
        lfmm2.estimate_for_parts(None, "d.bed", "d.env.csv", 2, out=None)
    with pytest.raises(lfmm2.UsageError, match=r"est_thin is .* cannot be written for other processes"):
        record_arguments({"est_thin": object()})


def test_arguments_are_recorded_with_absolute_paths() -> None:
    recorded = record_arguments(
        {"full_bed": [Path("a.bed"), "b.bed"], "X": "x.csv", "extract": ["rs1", "rs2"], "exclude": "bad.txt",
         "keep": [Path("k")], "maf": np.float64(0.1), "missing_code": float("nan"), "sweep": (1, 2), "spa": np.True_,
         "out": "job", "n_threads": 3}
    )  # fmt: skip
    here = os.getcwd()  # noqa: PTH109
    assert recorded == {
        "full_bed": [f"{here}/a.bed", f"{here}/b.bed"], "est_bed": None, "X": f"{here}/x.csv", "covar": None,
        "extract": ["rs1", "rs2"], "exclude": f"{here}/bad.txt", "keep": [f"{here}/k"], "maf": 0.1,
        "missing_code": "nan", "sweep": [1, 2], "spa": True,
    }  # fmt: skip


# --- files that are there -----------------------------------------------------------------------------------


def test_only_own_files_are_replaced(data: Simulation, tested: Tested, tmp_path: Path) -> None:
    factors = begin(data, tmp_path, K=2, surrogates=0)
    part = lfmm2.test_part(factors, "1/3", **OWN)
    written = part.read_bytes()
    with pytest.raises(lfmm2.OutputExistsError, match=r"output exists"):
        lfmm2.test_part(factors, "1/3")
    with pytest.raises(lfmm2.OutputExistsError, match=r"output exists"):
        begin(data, tmp_path, K=2)
    assert lfmm2.test_part(factors, "1/3", resume=True) == part
    assert part.read_bytes() == written
    begin(data, tmp_path, K=3, surrogates=0, overwrite=True)
    with pytest.raises(lfmm2.OutputExistsError, match=r"part-1-of-3.npz: is of another run: K was 2, is 3; .*choose"):
        lfmm2.test_part(factors, "1/3", resume=True)
    lfmm2.test_part(factors, "1/3", resume=True, overwrite=True, **OWN)
    assert part.read_bytes() != written
    for file, step in ((part, lambda **how: lfmm2.test_part(factors, "1/3", **how)),
                       (factors, lambda **how: begin(data, tmp_path, K=3, **how))):  # fmt: skip
        file.write_text("my own")
        if file == part:
            with pytest.raises(lfmm2.OutputExistsError, match=r"is damaged, or no part of a run"):
                step(resume=True)
        with pytest.raises(lfmm2.OutputExistsError):
            step(overwrite=True)
        assert file.read_text() == "my own"


def test_inputs_of_combine_are_not_overwritten(data: Simulation, tmp_path: Path) -> None:
    factors = begin(data, tmp_path, K=2, surrogates=0)
    parts = test_all(factors, 1)
    with pytest.raises(lfmm2.UsageError, match=r"job.factors.npz is an input of this run; choose another --out"):
        lfmm2.combine_parts(parts, out=tmp_path / "job", overwrite=True)
