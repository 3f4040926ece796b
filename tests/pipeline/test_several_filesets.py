"""Runs over several filesets: the bits of the merged one, one table in order, and a record that names them all."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_filesets import random_dosages, write_parts

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InputWarning, ReadError
from lfmm2.genotypes import plink, segments
from lfmm2.genotypes.joined_filesets import JoinedReader

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
N, CUTS = 61, {"1": 700, "2": 1, "10": 512, "X": 287}
OTHER_FACTS = (".lfmm2.json", ".lfmm2.log", ".lfmm2-hits.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder has whole, chr1, chr2, chr10, chrX of the same samples in other orders, and env.csv."""
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(5)
    orders = {"2": rng.permutation(N).tolist(), "X": rng.permutation(N).tolist()}
    write_parts(folder, random_dosages(N, sum(CUTS.values())), CUTS, orders=orders)
    rows = "".join(f"i{k:02d},{a},{b}\n" for k, (a, b) in enumerate(rng.standard_normal((N, 2)).round(4).tolist()))
    (folder / "env.csv").write_text("IID,a,b\n" + rows)
    return folder


@pytest.fixture(autouse=True)
def _here(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 1024)  # segments begin and end within files


def digests(prefix: str) -> dict[str, str]:
    """Return the SHA-256 of all results but the record and the log."""
    files = {path.name.removeprefix(prefix): path for path in Path().glob(f"{prefix}.*")}
    return {end: hashlib.sha256(path.read_bytes()).hexdigest() for end, path in files.items() if end not in OTHER_FACTS}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", {}),
        ("filters", {"maf": 0.15, "geno": 0.06, "est_thin": "r2=0.1,window=50", "loadings": True, "format": "tsv"}),
        ("sweep", {"sweep": "1:3", "mind": 0.07, "drop_duplicates": True, "k_thin": "r2=0.1,window=2kb"}),
        ("krylov", {"solver": "krylov", "scale": "hwe", "memory": "60MB", "impute": "factors", "format": "tsv.gz"}),
        ("some", {"keep": "keep.txt", "extract": "snps.txt", "est_rate": 0.4, "count_allele": "a1"}),
        ("other factors", {"est_bed": "parts"}),
    ],
)  # fmt: skip
def test_results_have_the_bits_of_the_merged_fileset(name: str, options: dict[str, Any]) -> None:
    Path("keep.txt").write_text("".join(f"i{k:02d}\n" for k in range(0, N, 2)))
    Path("snps.txt").write_text("".join(f"s{j}\n" for j in range(3, 1500, 4)))
    whole, parts = f"w_{name}", f"p_{name}"
    est_of = {"whole": options.pop("est_bed", None), "parts": None}
    est_of = {"whole": "whole", "parts": ["chr1", "chr2", Path("chr10.bed"), "chrX"]} if est_of["whole"] else est_of
    lfmm2.run(est_of["whole"], "whole", "env.csv", 3, out=whole, **options)
    lfmm2.run(est_of["parts"], "chr@", "env.csv", 3, out=parts, **options)
    assert digests(parts) == digests(whole)
    assert len(digests(parts)) >= 5


@pytest.mark.parametrize("most_open", [0, 64])
def test_parts_anywhere_and_blocks_of_any_size_give_the_same_bits(monkeypatch, tmp_path, most_open):
    monkeypatch.setattr(plink, "_MOST_OPEN", most_open)
    dosages = random_dosages(N, sum(CUTS.values()))
    paths = write_parts(tmp_path, dosages, {"a": 1, "b": 1022, "c": 2, "d": 475})
    with lfmm2.open_bed("whole") as whole:
        expected = lfmm2.run(None, whole, "env.csv", 3)
    found = lfmm2.run(None, tuple(paths), "env.csv", 3, memory="40MB", n_threads=1)
    assert np.array_equal(found.t, expected.t, equal_nan=True)
    assert np.array_equal(found.factors.U, expected.factors.U)


def test_functions_take_lists() -> None:
    paths = [f"chr{name}" for name in CUTS]
    factors = lfmm2.estimate_factors(paths, "env.csv", 2)
    result = lfmm2.test_associations(paths, "env.csv", factors)
    expected = lfmm2.test_associations("whole", "env.csv", lfmm2.estimate_factors("whole", "env.csv", 2))
    assert np.array_equal(result.t, expected.t, equal_nan=True)


def run(*options: str, out: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--env", "env.csv", "-K", "2", "--out", out, *options])
    code: Any = ended.value.code
    return int(code)


def test_command_line_takes_filesets_in_all_ways(capsys) -> None:
    Path("list.txt").write_text("# all\n\nchr1\nchr2.bed\nchr10\nchrX\n")
    each = [part for name in CUTS for part in ("--bed", f"chr{name}")]
    est = [part for name in CUTS for part in ("--est-bed", f"chr{name}")]
    ways = {
        "c0": ["--bed", "whole"],
        "c1": each,
        "c2": ["--bed", "chr@.bed", "--est-bed", "chr@.bed"],
        "c3": ["--bed-list", "list.txt", "--est-bed-list", "list.txt"],
        "c4": ["--bed", "whole", *est],
    }
    for out, options in ways.items():
        assert run(*options, out=out) == 0
        assert digests(out) == digests("c0"), out
        said = capsys.readouterr().out
        assert ("filesets:" in said) == (out not in ("c0", "c4"))
        assert ("filesets of factors:" in said) == (out in ("c2", "c3", "c4"))
    log = Path("c3.lfmm2.log").read_text()
    listed = "4 as one: chr1.bed, chr2.bed, chr10.bed, chrX.bed; samples of 2 matched by ID"
    assert f"filesets: {listed}" in " ".join(log.split())
    record = json.loads(Path("c3.lfmm2.json").read_text())
    assert [part["bed"] for part in record["tested"]["filesets"]] == ["chr1.bed", "chr2.bed", "chr10.bed", "chrX.bed"]
    paths = [item["path"] for item in record["inputs"]]
    assert {"list.txt", "chr1.bed", "chrX.fam", "env.csv"} <= set(paths)


def test_downstream_commands_take_the_results(capsys) -> None:
    for out, bed in (("d0", "whole"), ("d1", "chr@")):
        assert run("--bed", bed, out=out) == 0
        with pytest.raises(SystemExit) as ended:
            main(["hits", out, "--fdr", "0.9", "--out", f"{out}h"])
        assert ended.value.code == 0
    assert digests("d1h") == digests("d0h")


def test_complete_and_changed_runs_are_told(tmp_path, monkeypatch, capsys) -> None:
    for path in Path().glob("chr*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "env.csv").write_bytes(Path("env.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run("--bed", "chr@", out="r") == 0
    capsys.readouterr()
    assert run("--bed", "chr@", "--resume", out="r") == 0
    assert "These results are complete" in capsys.readouterr().out
    Path("chr2.bed").touch()
    assert run("--bed", "chr@", "--resume", out="r") != 0
    assert "genotypes of fileset 2" in capsys.readouterr().err


@pytest.mark.parametrize("n_read", [0, 1])
def test_interrupted_run_goes_on_with_the_same_bits(monkeypatch, n_read) -> None:
    out = f"i{n_read}"
    reads = iter(range(n_read))
    read = JoinedReader.read_packed

    def fail(self: JoinedReader, first: int, packed: Any) -> None:
        if next(reads, None) is None:
            raise ReadError("the disk is gone")
        read(self, first, packed)

    with monkeypatch.context() as patched:
        patched.setattr(JoinedReader, "read_packed", fail)
        with pytest.raises(ReadError, match="the disk is gone"):
            lfmm2.run(None, "chr@", "env.csv", 3, out=out, memory="60MB", n_threads=1)
    assert Path(f"{out}.state").exists()
    lfmm2.run(None, "chr@", "env.csv", 3, out=out, memory="60MB", resume=True)
    lfmm2.run(None, "whole", "env.csv", 3, out=f"w{n_read}")
    assert digests(out) == digests(f"w{n_read}")


def test_intersect_uses_the_samples_of_all_filesets(tmp_path, monkeypatch) -> None:
    (tmp_path / "env.csv").write_bytes(Path("env.csv").read_bytes())
    dosages = random_dosages(N, 300)
    some = [k for k in range(N) if k % 10]
    write_parts(tmp_path, dosages, {"1": 100, "2": 200}, orders={"2": some[::-1]})
    monkeypatch.chdir(tmp_path)
    Path("keep.txt").write_text("".join(f"i{k:02d}\n" for k in some))
    lfmm2.run(None, "whole", "env.csv", 2, out="w", keep="keep.txt")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InputWarning)
        lfmm2.run(None, "chr@", "env.csv", 2, out="p", intersect=True)
    assert any("7 samples are not in all of the filesets" in str(warning.message) for warning in told)
    assert digests("p") == digests("w")
