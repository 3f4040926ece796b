"""Files of the user beside those of lfmm2: no command replaces, removes or writes through any of them.

Each test is one way in which files were lost before, with its verdict: the exit code or error, and the bytes after it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_data import genotypes, sample_ids, write_fileset

import lfmm2
from lfmm2.cli.program import main
from lfmm2.files import FolderLock, folder_lock, output_sets, private_folders, seal_json
from lfmm2.files.seals import read_record
from lfmm2.pipeline import state_folder

Capture = pytest.CaptureFixture[str]
IDS = sample_ids(40)
VALUES = np.random.default_rng(5).standard_normal((40, 2))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fileset d with its table env.csv, and the results r of a run."""
    folder = tmp_path_factory.mktemp("outputs")
    G, _ = genotypes(40, 120)
    write_fileset(str(folder / "d"), G)
    write_env(folder / "env.csv", "env1,env2")
    lfmm2.run(None, folder / "d", folder / "env.csv", 2, out=folder / "r", format="tsv")
    return folder


@pytest.fixture
def here(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `source`, which is the current folder."""
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_env(path: Path, names: str) -> None:
    rows = [f"{iid},{a},{b}" for iid, (a, b) in zip(IDS, VALUES.tolist(), strict=True)]
    path.write_text("\n".join([f"IID,{names}", *rows]) + "\n")


def lfmm2_command(capsys: Capture, *arguments: object) -> tuple[int, str]:
    """Run a command in this process; return the exit code and what it said."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0), capsys.readouterr().err


def run_again(capsys: Capture, *arguments: object, out: str = "r", k: int = 2) -> tuple[int, str]:
    base = ["--bed", "d", "--env", "env.csv", "-K", k, "--format", "tsv", "--out", out]
    return lfmm2_command(capsys, "run", *base, *arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# D1
@pytest.mark.parametrize("name", ["plants.bed", "plants.bim", "plants.fam", "plants.env.csv", "plants.truth.tsv"])
def test_demo_leaves_files_of_the_user(tmp_path: Path, capsys: Capture, name: str) -> None:
    (tmp_path / name).write_text("ten years of work")
    code, err = lfmm2_command(capsys, "demo", "--out", tmp_path / "plants")
    assert code == 9
    assert f"{name}: not a file that lfmm2 has written here" in err
    assert contents(tmp_path) == {name: b"ten years of work"}


def test_demo_and_simulation_replace_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (1, 2):
        data = lfmm2.simulate(tmp_path / "plants", 20, 100, n_causal=2, seed=seed, overwrite=True)
    data.env.write_text("corrected by hand")
    before = contents(tmp_path)
    with pytest.raises(lfmm2.OutputExistsError, match=r"plants\.env\.csv: not a file"):
        lfmm2.simulate(tmp_path / "plants", 20, 100, n_causal=2, seed=3, overwrite=True)
    assert contents(tmp_path) == before


# D2
def test_overwrite_does_not_remove_an_input(here: Path, capsys: Capture) -> None:
    assert run_again(capsys, "--overwrite", "--est-thin", "r2=0.2,window=50")[0] == 0
    before = contents(here)
    code, err = run_again(capsys, "--overwrite", "--est-extract", "r.prune.in")
    assert code == 9
    assert "r.prune.in: an input of this run, and a file of the earlier run that --overwrite removes; copy it" in err
    assert contents(here) == before
    shutil.copy("r.prune.in", "snps")
    assert run_again(capsys, "--overwrite", "--est-extract", "snps")[0] == 0
    assert not Path("r.prune.in").exists()


# D3
def test_copied_record_vouches_for_no_file_of_the_other_run(here: Path, capsys: Capture) -> None:
    shutil.copy("r.lfmm2.json", "b.lfmm2.json")
    before = contents(here)
    code, err = run_again(capsys, "--overwrite", out="b")
    assert code == 9
    assert "b.lfmm2.json: not a file that lfmm2 has written here" in err
    assert contents(here) == before


def seal_with(files: dict[str, Any]) -> None:
    """Add files to the record of r, as anyone can."""
    record = read_record(Path("r.lfmm2.json"))
    stamps = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    Path("r.lfmm2.json").write_bytes(seal_json(record | {"files": record["files"] | stamps}))


# D4
@pytest.mark.parametrize("name", ["thesis.docx", "r.thesis.docx", "r.thesis.tsv", "r2.env1.tsv", "d.bed"])
def test_record_that_lists_a_file_of_the_user_does_not_remove_it(here: Path, capsys: Capture, name: str) -> None:
    if not Path(name).exists():
        Path(name).write_bytes(b"ten years of work")
    content = Path(name).read_bytes()
    seal_with({name: content})
    assert run_again(capsys, "--overwrite", k=3)[0] == 0
    assert Path(name).read_bytes() == content


# D5: the second of two files cannot be replaced
def test_failed_overwrite_of_hits_leaves_both_files(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lfmm2_command(capsys, "hits", "r", "--fdr", "1")[0] == 0
    before = contents(here)
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name == "r.hits.bed.part":
            raise PermissionError(1, "Operation not permitted")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    code, err = lfmm2_command(capsys, "hits", "r", "--fdr", "0.5", "--overwrite")
    assert code == 7
    assert "r.hits.bed: cannot be written, Operation not permitted" in err
    assert contents(here) == before
    assert not [path for path in here.iterdir() if path.is_dir()]


# D6
@pytest.mark.parametrize("option", ["--new-env", "--env", "--extract"])
def test_offset_does_not_replace_its_input(here: Path, capsys: Capture, option: str) -> None:
    shutil.copy("env.csv", "f.offset.tsv")
    inputs = {"--new-env": "env.csv"} | {option: "f.offset.tsv"}
    arguments = [part for pair in inputs.items() for part in pair]
    code, err = lfmm2_command(capsys, "offset", "r", *arguments, "--out", "f", "--overwrite")
    assert code == 2
    assert "f.offset.tsv is an input of this offset; choose another --out" in err
    assert Path("f.offset.tsv").read_bytes() == Path("env.csv").read_bytes()


SMALL = ("--samples", "20", "--snps", "50", "--causal", "2")
# Each command with a file that it writes.
COMMANDS = {
    "r.env1.tsv": ("run", "--bed", "d", "--env", "env.csv", "-K", "2", "--format", "tsv", "--out", "r"),
    "r.hits.tsv": ("hits", "r", "--fdr", "1"),
    "r.offset.tsv": ("offset", "r", "--new-env", "env.csv", "--out", "r"),
    "s.truth.tsv": ("simulate", "--out", "s", *SMALL),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_replaces_its_own_file_and_no_changed_one(here: Path, capsys: Capture, name: str) -> None:
    for _ in range(2):
        assert lfmm2_command(capsys, *COMMANDS[name], "--overwrite")[0] == 0
    Path(name).write_text(Path(name).read_text() + "my remark\n")
    before = contents(here)
    code, err = lfmm2_command(capsys, *COMMANDS[name], "--overwrite")
    assert code == 9
    assert f"{name}: not a file that lfmm2 has written here, or changed since" in err
    assert contents(here) == before


def test_results_of_an_earlier_version_are_replaced(here: Path, capsys: Capture) -> None:
    record = read_record(Path("r.lfmm2.json"))
    Path("r.lfmm2.log").rename("r.log")
    Path("r.lfmm2.json").unlink()
    record["files"]["r.log"] = record["files"].pop("r.lfmm2.log")
    Path("r.json").write_bytes(seal_json(record))
    assert run_again(capsys)[0] == 9
    assert run_again(capsys, "--overwrite")[0] == 0
    assert not Path("r.json").exists()
    assert not Path("r.log").exists()
    assert len(lfmm2.verify("r")) == 9


@pytest.mark.parametrize("option", [(), ("--overwrite",)])
def test_files_of_plink_beside_the_results_are_left_alone(here: Path, capsys: Capture, option: tuple[str, ...]) -> None:
    others = {"d.log": b"of plink2", "d.json": b"{}", "d.bed": Path("d.bed").read_bytes()}
    for name, content in others.items():
        Path(name).write_bytes(content)
    assert run_again(capsys, *option, out="d")[0] == 0
    assert {name: Path(name).read_bytes() for name in others} == others


# C1: a with the variable b.env1, and a.b with env1
def test_run_does_not_begin_where_another_writes_a_file_of_the_same_name(here: Path, capsys: Capture) -> None:
    write_env(Path("env.csv"), "b.env1,b.env2")
    other = FolderLock(Path("a.b.state"), ["a.b.env1.tsv", "a.b.factors.npz"])
    other.take()
    try:
        before = sorted(here.iterdir())
        code, err = run_again(capsys, out="a")
        assert code == 9
        assert f"a.b.env1.tsv: another run is writing it (process {os.getpid()} on" in err
        assert sorted(here.iterdir()) == before
    finally:
        other.release()
    assert run_again(capsys, out="a")[0] == 0


@pytest.mark.parametrize(("ignores_case", "code"), [(False, 0), (True, 9)])
def test_runs_whose_files_differ_by_case(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, ignores_case: bool, code: int
) -> None:
    monkeypatch.setattr(folder_lock, "ignores_case", lambda _: ignores_case)
    other = FolderLock(Path("A.state"), ["A.env1.tsv", "A.factors.npz"])
    other.take()
    try:
        assert run_again(capsys, out="a")[0] == code
    finally:
        other.release()


# C2
@pytest.mark.parametrize(("ignores_case", "code"), [(False, 0), (True, 9)])
def test_variables_that_differ_by_case(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, ignores_case: bool, code: int
) -> None:
    monkeypatch.setattr(output_sets, "ignores_case", lambda _: ignores_case)
    write_env(Path("env.csv"), "Temp,temp")
    ended, err = run_again(capsys, out="a")
    assert ended == code
    assert ("a.Temp.tsv and a.temp.tsv are one file on this disk; rename" in err) == ignores_case


def test_variables_that_look_the_same_are_refused(here: Path, capsys: Capture) -> None:
    names = [unicodedata.normalize(form, "précipitations") for form in ("NFC", "NFD")]
    write_env(Path("env.csv"), ",".join(names))
    code, err = run_again(capsys, out="a")
    assert code == 9
    assert "look the same" in err


def test_a_real_disk_is_asked_for_case(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert output_sets.ignores_case(tmp_path) == (tmp_path / "A").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


# S1
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_lock_that_is_a_link_is_not_written_through(here: Path, capsys: Capture, link: Callable[..., None]) -> None:
    Path("victim").write_text("precious")
    Path("a.state").mkdir(mode=0o700)
    link(here / "victim", "a.state/lock")
    code, err = run_again(capsys, out="a")
    assert code == 9
    assert "a.state: is needed for the state of the run, but holds lock, which no run has put there; move it" in err
    with pytest.raises(lfmm2.OutputExistsError, match="link"):
        FolderLock(Path("a.state")).take()
    assert Path("victim").read_text() == "precious"


# S2
PARTS = {
    "r.hits.tsv.part": ("hits", "r"),
    "r.hits.bed.part": ("hits", "r"),
    "r.lfmm2-hits.json.part": ("hits", "r"),
    "r.offset.tsv.part": ("offset", "r", "--new-env", "env.csv", "--out", "r"),
    "s.bed.part": ("simulate", "--out", "s", *SMALL),
}


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("part", PARTS)
def test_part_that_is_a_link_is_not_written_through(
    here: Path, capsys: Capture, part: str, link: Callable[..., None]
) -> None:
    Path("victim").write_text("precious")
    link(here / "victim", part)
    before = contents(here)
    code, err = lfmm2_command(capsys, *PARTS[part])
    assert code == 9
    assert "link" in err
    assert contents(here) == before


# S5
def test_state_of_an_unfinished_run_with_a_link_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    class Interrupt(lfmm2.Progress):
        def start(self, label: str, n_snps: int, n_bytes: int) -> None:
            if label.startswith("writing"):
                raise KeyboardInterrupt

    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        lfmm2.run(None, "d", "env.csv", 2, out="o", progress=Interrupt())
    assert Path("o.state").stat().st_mode & 0o777 == 0o700
    Path("victim").write_text("precious")
    link = Path("o.state/output.env1.parquet.part")
    link.symlink_to(here / "victim")
    with pytest.raises(lfmm2.OutputExistsError, match=r"holds output\.env1\.parquet\.part, which no run has put there"):
        lfmm2.run(None, "d", "env.csv", 2, out="o", resume=True)
    assert Path("victim").read_text() == "precious"
    link.unlink()
    Path("o.state").chmod(0o775)
    with pytest.raises(lfmm2.OutputExistsError, match="can be written to by other users, so what it keeps may not be"):
        lfmm2.run(None, "d", "env.csv", 2, out="o", resume=True)
    Path("o.state").chmod(0o700)
    lfmm2.run(None, "d", "env.csv", 2, out="o", resume=True)


def test_state_of_another_user_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    Path("o.state").mkdir(mode=0o700)
    os.chown("o.state", 12345, -1)
    with pytest.raises(lfmm2.OutputExistsError, match="belongs to another user, so what it keeps may not be"):
        lfmm2.run(None, "d", "env.csv", 2, out="o")


@pytest.mark.parametrize(
    ("mode", "who"), [(0o777, "every user"), (0o775, "the group"), (0o1777, ""), (0o755, ""), (0o700, "")]
)
def test_folder_in_which_others_may_replace_results_is_warned_of(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, mode: int, who: str
) -> None:
    monkeypatch.setattr(private_folders, "_is_group_of_one", lambda _: False)
    here.chmod(mode)
    code, err = run_again(capsys, out="a")
    assert code == 0
    warned = [line for line in err.splitlines() if "may rename and remove files there" in line]
    assert len(warned) == bool(who)
    assert who in "".join(warned)


def test_group_that_is_of_one_user_is_not_warned_of(here: Path, capsys: Capture) -> None:
    here.chmod(0o775)
    private = private_folders._is_group_of_one(here.stat().st_gid)
    assert ("may rename" in run_again(capsys, out="a")[1]) != private
