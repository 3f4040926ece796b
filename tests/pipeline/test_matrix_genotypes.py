"""`lfmm2 run --matrix`: the results of the same numbers in memory, and nothing left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.cli.program import main
from lfmm2.formats import matrix_file
from lfmm2.pipeline import matrix_genotypes

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
N, P = 40, 300
IDS = [f"S{i:02d}" for i in range(N)]
NAMES = [f"cg{i:04d}" for i in range(P)]


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Numbers of samples (rows), which m.csv has with samples as columns; env.csv has the samples in another order."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((N, 2))
    values = (0.1 * scores @ rng.standard_normal((2, P)) + 0.1 * rng.standard_normal((N, P))).round(4)
    values[rng.random((N, P)) < 0.02] = np.nan
    frame = pd.DataFrame(values, index=IDS, columns=NAMES)
    frame.T.to_csv("m.csv")
    table = pd.DataFrame({"IID": IDS, "age": rng.standard_normal(N).round(3), "sex": rng.integers(0, 2, N)})
    table.sample(frac=1, random_state=1).to_csv("env.csv", index=False)
    return frame


def run(*options: str, out: str = "r", variables: tuple[str, ...] = ("--variables", "age")) -> int:
    """Return the exit code of a run of two factors."""
    return main_code("run", "--env", "env.csv", *variables, "-K", "2", "--out", out, "--format", "tsv", *options)


def main_code(*arguments: str) -> int:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code: Any = ended.value.code
    return int(code)


def files_of(prefix: str) -> dict[str, bytes]:
    """The bytes of the results that hold no times and no names of inputs."""
    return {
        path.name.removeprefix(prefix): path.read_bytes()
        for path in Path().glob(f"{prefix}.*")
        if ".lfmm2." not in path.name
    }


def test_results_are_those_of_the_frame(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    env = pd.read_csv("env.csv").set_index("IID")
    lfmm2.run(None, frame, env, K=2, variables="age", out="python", format="tsv")
    frame.to_csv("rows.csv")
    frame.T.to_parquet("m.parquet")
    for file in ("m.csv", "rows.csv", "m.parquet"):
        assert run("--matrix", file, out="command", variables=("--variables", "age", "--overwrite")) == 0
        said = capsys.readouterr().out
        assert re.search(rf"^matrix: +{file}, 300 features of 40 samples; samples are ", said)
        assert files_of("command") == files_of("python")
    record = json.loads(Path("command.lfmm2.json").read_text())
    assert record["tested"]["matrix"] == "m.parquet"
    assert record["tested"]["samples_are"] == "columns"
    assert "m.parquet" in json.dumps(record["inputs"])


@pytest.mark.usefixtures("frame")
def test_samples_and_features_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    Path("keep.txt").write_text("\n".join(IDS[:35]))
    Path("some.txt").write_text("\n".join(NAMES[10:200:3]))
    Path("few.txt").write_text("\n".join(NAMES[::2]))
    chosen = ("--keep", "keep.txt", "--extract", "some.txt", "--est-extract", "few.txt", "--ploidy", "1")
    assert run("--matrix", "m.csv", *chosen) == 3
    assert "is no dosage of ploidy 1" in capsys.readouterr().err
    assert run("--matrix", "m.csv", *chosen[:-2]) == 0
    table = pd.read_csv("r.age.tsv", sep="\t")
    assert table["ID"].tolist() == NAMES[10:200:3]
    assert table["OBS_CT"].max() == 35


@pytest.mark.usefixtures("frame")
def test_run_is_resumed_and_another_matrix_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--matrix", "m.csv", out="whole") == 0
    with monkeypatch.context() as broken:
        broken.setattr("lfmm2.pipeline.result_writer.ResultWriter.write_record", lambda *_: 1 / 0)
        assert run("--matrix", "m.csv") == 1
    assert Path("r.state").is_dir()
    text = Path("m.csv").read_text()
    Path("m.csv").write_text(text.replace("cg0000", "cg9999"))
    assert run("--matrix", "m.csv", "--resume") == 4
    assert "(matrix), time of change in ns" in capsys.readouterr().err
    Path("other.csv").write_text(text)
    assert run("--matrix", "other.csv", "--overwrite") == 0
    assert files_of("r") == files_of("whole")
    assert run("--matrix", "other.csv", "--resume") == 0
    assert "These results are complete" in capsys.readouterr().out


def test_temporary_file_is_in_the_plan(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--matrix", "m.csv", "--dry-run") == 0
    ((given, unit),) = re.findall(r"and ([0-9.]+) (kB|MB) for the time of the run", capsys.readouterr().out)
    assert float(given) * {"kB": 1e3, "MB": 1e6}[unit] > 8 * N * P


def test_messages_speak_of_features(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    Path("names").write_text("".join(f"{name}\n" for name in NAMES))
    for options, message in (
        (["--exclude", "names"], "--extract and --exclude leave no feature; check the lists"),
        (["--est-rate", "0.001"], "est_rate 0.001 of 300 features is less than one; raise it"),
    ):
        assert run("--matrix", "m.csv", *options) != 0
        assert message in capsys.readouterr().err


def test_nothing_is_left_in_the_folder(frame: pd.DataFrame) -> None:
    Path("out").mkdir()
    frame.T.replace(np.nan, np.inf).to_csv("bad.csv")
    assert run("--matrix", "bad.csv", out="out/r") == 3
    assert run("--matrix", "m.csv", "--dry-run", out="out/r") == 0
    assert not list(Path("out").iterdir())


def test_places_stand_in_tables_and_hits(frame: pd.DataFrame) -> None:
    frame.to_parquet("m.parquet")
    order = np.random.default_rng(1).permutation(P)
    rows = "".join(f"{NAMES[k]},{'X' if k >= 200 else 1 + k // 100},{10 * k + 1}\n" for k in order)
    Path("manifest.csv").write_text("IlmnID,CHR,MAPINFO\n" + rows)
    assert run("--matrix", "m.parquet", "--features", "manifest.csv") == 0
    table = pd.read_csv("r.age.tsv", sep="\t", dtype={"#CHROM": str})
    assert table["POS"].tolist() == [10 * k + 1 for k in range(P)]
    assert table["#CHROM"].tolist() == ["1"] * 100 + ["2"] * 100 + ["X"] * 100
    assert main_code("hits", "r", "--fdr", "0.999") == 0
    hits = pd.read_csv("r.hits.tsv", sep="\t")
    assert len(hits)
    assert set(hits["POS"]) <= set(table["POS"])


def test_feature_that_is_called_as_a_variable_is_warned_of(
    frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.assign(age=range(N)).to_csv("m.csv")
    assert run("--matrix", "m.csv") == 0
    assert "m.csv: has features that are called as variables (age); leave them out" in capsys.readouterr().err


def test_samples_of_populations_are_told_by_nuisance_variables(frame: pd.DataFrame) -> None:
    table = pd.read_csv("env.csv")
    table[["IID", "sex"]].to_csv("covar.csv", index=False)
    populations = [f"p{k % 8}" for k in range(N)]
    frame.rename_axis("IID").reset_index().assign(FID=populations).set_index(["FID", "IID"]).to_csv("m.csv")
    pd.DataFrame({"FID": sorted(set(populations)), "rain": np.arange(8.0) ** 2}).to_csv("env.csv", index=False)
    by = ("--env-by", "FID", "--covar", "covar.csv")
    assert run("--matrix", "m.csv", *by, variables=()) == 0
    assert run("--matrix", "m.csv", *by[:2], "--overwrite", variables=()) == 4


# options, exit code, message
USES: list[tuple[tuple[str, ...], int, str]] = [
    (("--bed", "d", "--matrix", "m.csv"), 2, "--bed and --matrix both give the genotypes to test"),
    (("--vcf", "d", "--matrix", "m.csv"), 2, "--vcf and --matrix both give the genotypes to test"),
    (
        ("--bed", "d", "--layer", "x", "--features", "f"),
        2,
        "--features and --layer tell how to read --matrix",
    ),
    ((), 2, "give --bed PREFIX or --vcf FILE, or --pfile, --bgen, --zarr or --matrix"),
    (("--matrix", "m.csv", "--maf", "0.1"), 2, "maf and geno apply to a .bed; filter the matrix"),
    (("--matrix", "m.csv", "--scale", "hwe"), 2, "scale applies to a .bed; scale the matrix"),
    (("--matrix", "m.csv", "--samples-are", "people"), 2, "it is rows or columns"),
    (("--matrix", "m.csv", "--samples-are", "rows"), 4, "env.csv: 300 of 300 samples have no row"),
    (("--matrix", "m.csv", "--missing-genotype", "x"), 2, "missing_genotype is 'x'; give a number"),
    (("--matrix", "m.csv", "--features", "absent"), 6, "absent: cannot be opened"),
    (("--matrix", "m.csv", "--out", "absent/r"), 2, "--out is given twice"),
    (("--matrix", "env.csv"), 5, "has features that are called as variables (age)"),
]


@pytest.mark.usefixtures("frame")
@pytest.mark.parametrize(("options", "code", "message"), USES)
def test_use_that_makes_no_sense_is_refused(
    options: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == code
    assert message in capsys.readouterr().err


def test_matrix_needs_a_folder() -> None:
    options = lfmm2.pipeline.RunOptions.from_arguments({"matrix": "m.csv"}, "test")
    with pytest.raises(lfmm2.UsageError, match="matrix is read into a temporary file beside those of out; give out"):
        matrix_genotypes.read_matrix("env.csv", None, options, lfmm2.process.Progress())
    assert matrix_file.MatrixOptions().decimal == "."
