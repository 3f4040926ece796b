"""`lfmm2 run --vcf`: the results of the fileset, which is converted once and stays only as long as it is needed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_genotypes import Truth, lfmm_text, nameless, simulate, vcf_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, MalformedInputError, OutputExistsError, UsageError
from lfmm2.pipeline import converted_genotypes

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
FILESET = {f"r.genotypes.{end}" for end in ("bed", "bim", "fam", "source.json", "lfmm2-convert.json")}


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    """The folder has a.vcf, the same genotypes as d.bed, and env.csv."""
    monkeypatch.chdir(tmp_path)
    truth = simulate(41)
    Path("a.vcf").write_text(vcf_text(truth))
    truth.write_bed(Path("d"))
    write_table(truth.iid)
    return truth


def write_table(iid: list[str]) -> None:
    values = np.random.default_rng(4).standard_normal(len(iid)).round(4).tolist()
    Path("env.csv").write_text("IID,x\n" + "".join(f"{i},{v}\n" for i, v in zip(iid, values, strict=True)))


def run(*options: str, out: str = "r") -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--env", "env.csv", "-K", "2", "--out", out, "--format", "tsv", *options])
    code: Any = ended.value.code
    return int(code)


def fileset() -> set[str]:
    return {path.name for path in Path().iterdir() if ".genotypes." in path.name}


@pytest.mark.usefixtures("truth")
def test_results_are_those_of_the_fileset(capsys):
    assert run("--bed", "d", out="direct") == 0
    capsys.readouterr()
    assert run("--vcf", "a.vcf") == 0
    said = capsys.readouterr().out
    assert Path("r.x.tsv").read_bytes() == Path("direct.x.tsv").read_bytes()
    assert "2 multiallelic" in said
    assert re.search("alleles: +A1 is ALT and A2 is REF", said)
    assert "removed when the results are complete; --keep-bed keeps it" in said
    assert fileset() == set()
    record = json.loads(Path("r.lfmm2.json").read_text())
    assert record["parameters"]["vcf"] == "a.vcf"
    assert "a.vcf" in {item["path"] for item in record["inputs"]}


def test_other_formats_are_taken_too(truth, capsys):
    Path("a.lfmm").write_text(lfmm_text(truth))
    write_table(nameless(truth).iid)
    assert run("--vcf", "a.lfmm") == 0
    assert "the file has no sample IDs: they are called s0001 to s0041" in capsys.readouterr().out
    nameless(truth).write_bed(Path("d2"))
    assert run("--bed", "d2", out="direct") == 0
    assert Path("r.x.tsv").read_bytes() == Path("direct.x.tsv").read_bytes()


@pytest.mark.usefixtures("truth")
def test_kept_fileset_is_found_by_the_checksum_of_the_source(capsys, monkeypatch):
    assert run("--vcf", "a.vcf", "--keep-bed") == 0
    assert fileset() == FILESET
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(converted_genotypes, "convert", None)
        assert run("--vcf", "a.vcf", "--keep-bed", "--overwrite") == 0
    assert "found, as an earlier run has converted it, kept" in capsys.readouterr().out
    # other contents of the same size and time
    status, data = Path("a.vcf").stat(), Path("a.vcf").read_bytes()
    Path("a.vcf").write_bytes(data.replace(b"tree-3\t", b"tree-x\t").replace(b"tree-4\t", b"tree-3\t"))
    os.utime("a.vcf", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run("--vcf", "a.vcf", "--overwrite") == InconsistentInputError.exit_code
    assert "tree-4" in capsys.readouterr().err


@pytest.mark.usefixtures("truth")
def test_fileset_of_another_file_is_not_replaced_unasked(capsys):
    assert run("--vcf", "a.vcf", "--keep-bed") == 0
    before = Path("r.genotypes.bed").read_bytes()
    Path("b.vcf").write_text(vcf_text(simulate(41, seed=9)))
    assert run("--vcf", "b.vcf") == OutputExistsError.exit_code
    assert Path("r.genotypes.bed").read_bytes() == before
    assert run("--vcf", "b.vcf", "--overwrite") == 0
    assert fileset() == set()


@pytest.mark.usefixtures("truth")
def test_fileset_stays_after_an_error_and_a_dry_run(capsys):
    assert run("--vcf", "a.vcf", "--dry-run") == 0
    assert fileset() == FILESET
    table = Path("env.csv").read_text()
    Path("env.csv").write_text(table.replace("tree-7,", "tree-x,"))
    assert run("--vcf", "a.vcf") == InconsistentInputError.exit_code
    assert "r.genotypes.bed: stays for the next run with this --out and --vcf" in capsys.readouterr().err
    Path("env.csv").write_text(table)
    assert run("--vcf", "a.vcf") == 0
    assert fileset() == set()


@pytest.mark.usefixtures("truth")
def test_complete_run_is_resumed_although_its_fileset_is_gone(capsys):
    assert run("--vcf", "a.vcf") == 0
    assert run("--vcf", "a.vcf", "--resume") == 0
    assert "These results are complete; nothing is left to do." in capsys.readouterr().out
    assert fileset() == set()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (["--vcf", "a.vcf", "--bed", "d"], UsageError, "--bed and --vcf both give the genotypes to test; give one"),
        ([], UsageError, "there are no genotypes to test; give --bed PREFIX or --vcf FILE"),
        (["--bed", "d", "--keep-bed"], UsageError, "--keep-bed keeps the fileset that --vcf is converted to; leave it"),
        (["--vcf", "env.csv"], MalformedInputError, r"env\.csv: is of no format that is converted"),
        (["--bed", "a.vcf"], MalformedInputError, r"a\.vcf: is a VCF; give it with --vcf a\.vcf, or .*plink2 --vcf"),
        (["--bed", "a"], MalformedInputError, r"a: there is no a\.bed, and a\.vcf is a VCF; give it with --vcf a\.vcf"),
    ],
)
@pytest.mark.usefixtures("truth")
def test_genotypes_are_given_once_and_by_the_right_option(capsys, options, error, match):
    before = sorted(Path().iterdir())
    assert run(*options) == error.exit_code
    assert re.search(f"^Error: {match}", capsys.readouterr().err, re.MULTILINE)
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("truth")
def test_python_converts_first():
    with pytest.raises(MalformedInputError, match=r"a\.vcf: is a VCF; give it with --vcf a\.vcf, or make a \.bed"):
        lfmm2.run(None, "a.vcf", "env.csv", 2)
    made = lfmm2.convert("a.vcf", "made")
    t = lfmm2.run(None, made.bed, "env.csv", 2).t
    assert np.array_equal(t, lfmm2.run(None, "d", "env.csv", 2).t, equal_nan=True)
