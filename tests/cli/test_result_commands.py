"""The commands that read results: exit codes, messages, and that a failed one leaves no file."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stored_results import write_results

from lfmm2.cli.program import main
from lfmm2.files.seals import read_record, seal_json
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set d and a run r of it."""
    import lfmm2

    folder = tmp_path_factory.mktemp("cli-results")
    data = simulate(folder / "d", n_samples=60, n_snps=500, n_causal=3, seed=4)
    lfmm2.run(None, data.bed, data.env, 2, out=folder / "r")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in a folder of its own, which is the current one."""
    shutil.copytree(made, tmp_path / "c")
    monkeypatch.chdir(tmp_path / "c")
    return tmp_path / "c"


@pytest.fixture(autouse=True)
def restored_signals() -> Iterator[None]:
    """`main` is for a process of its own; what it sets is put back after each test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(s) for s in numbers]
    hook = sys.unraisablehook
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


def run_main(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def refused(capsys: Capture, folder: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and message of a command that must leave all files as they were."""

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = contents()
    code, _, err = run_main(capsys, *arguments)
    assert contents() == before
    assert err.startswith("Error: ")
    assert "internal error" not in err
    return code, err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clump", "9" * 24 + "gb"], "is more than 1000gb"),
        (["--clump", "near"], "write 50kb"),
        (["--fdr", "0"], "fdr is 0.0; a rate lies above 0"),
        (["--fdr", "nan"], "fdr is nan; a rate"),
        (["--variable", ""], "r: has no table ''; it has env1, env2, joint"),
        (["--out", ""], "out is ''; give a folder and the beginning of a file name"),
        (["--out", "sub/"], "out is 'sub/'; give a folder and the beginning"),
        (["--out", "."], "out is '.'"),
    ],
)
def test_hits_wrong_options_end_with_2(folder: Path, capsys: Capture, options: list[str], message: str) -> None:
    (folder / "sub").mkdir()
    code, err = refused(capsys, folder, "hits", "r", *options)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--fdr", "0"], 2, "--fdr is 0; a level of q lies above 0 and at most at 1"),
        (["--fdr", "1.5"], 2, "--fdr is 1.5; a level of q"),
        (["--fdr", "1e-300"], 5, "no locus to average over, no SNP has q < 1e-300, the smallest is "),
        (["--out", ""], 2, "out is ''; give a folder"),
        (["--out", "sub/"], 2, "out is 'sub/'; give a folder"),
        (["r"], 2, "r: given twice; average over runs that differ in K"),
        (["--new-env", "far.csv"], 3, "1e+200 is too large, because sums of squares of it are no double; use another"),
    ],
)
def test_offset_bad_input_ends_with_its_exit_code(
    folder: Path, capsys: Capture, options: list[str], code: int, message: str
) -> None:
    (folder / "sub").mkdir()
    lines = (folder / "d.env.csv").read_text().splitlines()
    (folder / "new.csv").write_text("\n".join([lines[0], *(f"{line.split(',')[0]},1,2" for line in lines[1:])]))
    (folder / "far.csv").write_text("\n".join([lines[0], *(f"{line.split(',')[0]},1e200,2" for line in lines[1:])]))
    usual = [part for item in (("--new-env", "new.csv"), ("--out", "o")) if item[0] not in options for part in item]
    ended, err = refused(capsys, folder, "offset", "r", *usual, *options)
    assert ended == code
    assert message in err
    assert "RuntimeWarning" not in err


def test_offset_of_the_same_environment_warns(folder: Path, capsys: Capture) -> None:
    code, out, err = run_main(capsys, "offset", "r", "--new-env", "d.env.csv", "--out", "o")
    assert code == 0
    assert "Warning: r and d.env.csv are the same at all places" in err
    assert "largest at" not in out
    assert "genetic gap:      0\n" in out


def test_offset_of_a_factors_file_without_variables_is_refused(tmp_path: Path, capsys: Capture) -> None:
    write_results(tmp_path / "r", {"v": {"RIDGE_BETA": [0.1]}})
    (tmp_path / "new.csv").write_text("IID,v\ni1,1\ni2,2\n")
    arguments = ("offset", tmp_path / "r", "--new-env", tmp_path / "new.csv", "--out", tmp_path / "o")
    code, err = refused(capsys, tmp_path, *arguments)
    assert code == 3
    assert "r.factors.npz: is not a factors file" in err


@pytest.mark.parametrize("command", ["hits", "offset", "report", "verify"])
@pytest.mark.parametrize(
    ("results", "code", "message"),
    [
        ("x", 6, "x: no results of this name; give the --out of a run\n"),
        ("x.lfmm2.json", 6, "x.lfmm2.json: no results of this name; give the --out of a run\n"),
        ("begun", 6, "begun: no results of this name; give the --out of a run, or go on with --resume if it was"),
        ("sub", 6, "sub: is a folder; give the --out of a run"),
        (".", 6, ".: is a folder; give"),
        ("/", 6, "/: is a folder; give"),
        ("", 2, "the name of the results is empty; give the --out of a run"),
        ("d.bed", 6, "d.bed: no record (.lfmm2.json) beside it lists this file"),
    ],
)
def test_wrong_results_say_what_is_wrong(
    folder: Path, capsys: Capture, command: str, results: str, code: int, message: str
) -> None:
    (folder / "sub").mkdir()
    (folder / "begun.state").mkdir()
    more = ["--new-env", "d.env.csv", "--out", "o"] if command == "offset" else []
    ended, err = refused(capsys, folder, command, results, *more)
    assert (ended, message in err) == (code, True), err


@pytest.mark.parametrize("name", ["r", "r.lfmm2.json", "r.env1.parquet", "r.factors.npz", "r.lfmm2.log"])
def test_verify_takes_any_file_of_the_run(folder: Path, capsys: Capture, name: str) -> None:
    code, out, _ = run_main(capsys, "verify", name)
    assert code == 0
    assert out.count("bytes, as written") == 9


def test_verify_of_damaged_results_names_all_faults(folder: Path, capsys: Capture) -> None:
    (folder / "r.lfmm2.log").unlink()
    with (folder / "r.env2.parquet").open("ab") as file:
        file.write(b"x")
    for name in ("r", "r.env1.parquet", "r.env2.parquet"):
        code, err = refused(capsys, folder, "verify", name)
        assert code == 3
        assert "r.lfmm2.log is absent" in err
        assert "r.env2.parquet has" in err


@pytest.mark.parametrize("command", ["hits", "verify", "report"])
@pytest.mark.parametrize(
    "part",
    [
        {"files": {"../r.env1.parquet": {"bytes": 1, "sha256": "0"}}},
        {"variables": 5},
        {"variables": []},
        {"gif": None},
    ],
)
def test_sealed_record_of_odd_contents_ends_with_3(folder: Path, capsys: Capture, command: str, part: dict) -> None:
    (folder / "r.lfmm2.json").write_bytes(seal_json(read_record(folder / "r.lfmm2.json") | part))
    code, err = refused(capsys, folder, command, "r")
    assert code == 3
    assert "r.lfmm2.json" in err


@pytest.mark.parametrize("name", ["hits", "offset"])
def test_table_of_that_name_is_not_offered_for_replacement(tmp_path: Path, capsys: Capture, name: str) -> None:
    write_results(tmp_path / "r", {name: {"Q": [0.01]}}, form="tsv", X=np.ones((2, 1)))
    (tmp_path / "new.csv").write_text(f"IID,{name}\ni1,1\ni2,2\n")
    more = ["--new-env", tmp_path / "new.csv", "--out", tmp_path / "r"] if name == "offset" else []
    code, err = refused(capsys, tmp_path, name, tmp_path / "r", *more)
    assert code == 2
    assert f"r.{name}.tsv is a file of the run; choose another --out" in err
    assert "--overwrite" not in err


def test_hits_tells_of_p_that_were_not_calibrated(tmp_path: Path, capsys: Capture) -> None:
    tables = {name: {"Q": [0.01, 0.02]} for name in ("v", "w", "joint")}
    write_results(tmp_path / "r", tables, fits={"v": ("none", 1.0), "w": ("none", 1.0), "joint": ("none", 1.94)})
    code, out, _ = run_main(capsys, "hits", tmp_path / "r")
    assert code == 0
    assert "calibration of joint: none (GIF 1.94)\n" in out
    assert "calibration of v" not in out


def test_copies_under_a_new_prefix_warn(folder: Path, capsys: Capture) -> None:
    for path in list(folder.glob("r.*")):
        shutil.copy(path, folder / f"x{path.name[1:]}")
    code, _, err = run_main(capsys, "hits", "x", "--out", "o")
    assert code == 0
    assert err.count("Warning: x.lfmm2.json lists the files of r, which are read") == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("hits", ["any of its files", "that of the results by default"]),
        ("offset", ["any of its files", "<out>.offset.tsv"]),
        ("report", ["any of its files", "<RESULTS>.report.html by default", "FOLDER/manhattan-env1.png"]),
        ("verify", ["any of its files"]),
    ],
)
def test_help_says_where_files_go(capsys: Capture, command: str, words: list[str]) -> None:
    code, out, _ = run_main(capsys, command, "--help")
    assert code == 0
    text = " ".join(out.split())
    assert [word for word in words if word not in text] == []


def test_names_of_the_pictures_are_those_of_the_help(folder: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    (folder / "p").mkdir()
    code, out, _ = run_main(capsys, "report", "r.lfmm2.log", "--png", "p/")
    assert code == 0
    assert (folder / "r.report.html").exists()
    assert (folder / "p" / "manhattan-env1.png").exists()
    assert "p/manhattan-env1.png" in out
