"""The catalogue of what lies where a run is about to write: files of the user, of other runs and of strangers.

Each row is something under a name of the run, the options of the run, the class of the error, and what the message
says; all files are afterwards as they were. The sound neighbours of these faults, at the end, go on as before.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue import check_refused
from input_cases import IIDS, NUMBERS, write_good

import lfmm2
from lfmm2.errors import OutputExistsError, UsageError, WriteError
from lfmm2.files import FolderLock, seal_json
from lfmm2.files.seals import read_record

Maker = Callable[[], object]
REPLACE = {"overwrite": True}
RESUME = {"resume": True}
BOTH = REPLACE | RESUME
MINE = r"not a file that lfmm2 has written here, or changed since, so it is not replaced; move it away"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good fileset and table, and the results of two runs: result, and other with a list of thinned SNPs."""
    folder = tmp_path_factory.mktemp("results")
    write_good(folder)
    for name, K in (("result", 3), ("other", 2)):
        lfmm2.run(None, folder / "d", folder / "env.csv", K, out=folder / name, est_thin="r2=0.2,window=50")
    return folder


@pytest.fixture
def here(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clear() -> None:
    """Leave the inputs only."""
    for path in Path().glob("result.*"):
        path.unlink()


def made(name: str, content: str = "mine") -> Maker:
    """A file of the user under a name of a run that has not been made yet."""

    def make() -> None:
        clear()
        Path(name).write_text(content)

    return make


def changed(name: str, change: Callable[[bytes], bytes]) -> Maker:
    """A file of the earlier run that somebody has changed."""
    return lambda: Path(name).write_bytes(change(Path(name).read_bytes()))


def link(name: str, target: str) -> Maker:
    def make() -> None:
        clear()
        Path(name).symlink_to(target)

    return make


def folder(name: str) -> Maker:
    def make() -> None:
        clear()
        Path(name).mkdir()

    return make


def state(fill: Callable[[Path], object], mode: int = 0o700) -> Maker:
    """A state folder that no run has left."""

    def make() -> None:
        clear()
        path = Path("result.state")
        path.mkdir()
        fill(path)
        path.chmod(mode)

    return make


def seal_other(**entries: Any) -> None:
    """Seal the record again, with other entries, as anyone can."""
    Path("result.lfmm2.json").write_bytes(seal_json(read_record(Path("result.lfmm2.json")) | entries))


def write_variables(*names: str) -> Maker:
    def make() -> None:
        clear()
        rows = "".join(f"{iid}," + ",".join(str(v + 0.1 * (j * k) ** 2 % 3) for j in range(len(names))) + "\n"
                       for k, (iid, v) in enumerate(zip(IIDS, NUMBERS, strict=True)))  # fmt: skip
        Path("env.csv").write_text(f"IID,{','.join(names)}\n{rows}")

    return make


# what lies there, maker, options of the run, error, message
ROWS: list[tuple[str, Maker, dict[str, Any], type[Exception], str]] = [
    ("results, not to be replaced", lambda: None, {}, OutputExistsError, r"output exists: result\.x\.parquet, "),
    ("one table of the user", made("result.x.parquet"), {}, OutputExistsError, r"output exists: result\.x\.parquet;"),
    ("table of the user", made("result.x.parquet"), REPLACE, OutputExistsError, rf"^result\.x\.parquet: {MINE}"),
    ("factors of the user", made("result.factors.npz"), REPLACE, OutputExistsError, rf"^result\.factors\.npz: {MINE}"),
    ("log of the user", made("result.lfmm2.log"), REPLACE, OutputExistsError, rf"^result\.lfmm2\.log: {MINE}"),
    ("record of the user", made("result.lfmm2.json", "{}"), REPLACE, OutputExistsError,
     rf"^result\.lfmm2\.json: {MINE}"),
    ("record without a run", lambda: (clear(), shutil.copy("other.lfmm2.json", "result.lfmm2.json")), REPLACE,
     OutputExistsError, rf"^result\.lfmm2\.json: {MINE}"),
    ("record of another run", lambda: shutil.copy("other.lfmm2.json", "result.lfmm2.json"), REPLACE, OutputExistsError,
     r"^result\.x\.parquet, result\.scree\.tsv, result\.samples\.tsv, result\.factors\.tsv, "
     rf"result\.factors\.npz and 2 more: {MINE}"),
    ("record was lost", lambda: Path("result.lfmm2.json").unlink(), REPLACE, OutputExistsError,
     rf"^result\.x\.parquet, result\.scree\.tsv, .*: {MINE}"),
    ("record was cut", changed("result.lfmm2.json", lambda b: b[:-40]), REPLACE, OutputExistsError,
     rf"result\.x\.parquet.*: {MINE}"),
    ("record was edited", changed("result.lfmm2.json", lambda b: b.replace(b'"df": 33', b'"df": 32')), REPLACE,
     OutputExistsError, rf"result\.x\.parquet.*: {MINE}"),
    ("table was edited", changed("result.scree.tsv", lambda b: b + b"my remark\n"), REPLACE, OutputExistsError,
     rf"^result\.scree\.tsv: {MINE}"),
    ("table was edited, same size", changed("result.scree.tsv", lambda b: b[:-2] + bytes([b[-2] ^ 1]) + b[-1:]),
     REPLACE, OutputExistsError, rf"^result\.scree\.tsv: {MINE}"),
    ("table was cut", changed("result.x.parquet", lambda b: b[:-9]), REPLACE, OutputExistsError,
     rf"^result\.x\.parquet: {MINE}"),
    ("table of another run", lambda: shutil.copy("other.x.parquet", "result.x.parquet"), REPLACE, OutputExistsError,
     rf"^result\.x\.parquet: {MINE}"),
    ("complete, but damaged", changed("result.x.parquet", lambda b: b[:-9]), RESUME, OutputExistsError,
     r"result\.lfmm2\.json: .*complete results of another run|result\.x\.parquet has"),
    ("complete, but damaged, to be replaced", changed("result.x.parquet", lambda b: b[:-9]), BOTH, OutputExistsError,
     rf"^result\.x\.parquet: {MINE}"),
    ("list of SNPs of the earlier run is an input", lambda: None, REPLACE | {"est_extract": "result.prune.in"},
     OutputExistsError, r"^result\.prune\.in: an input of this run, and a file of the earlier run that .*; copy"),
    ("link to an input", link("result.lfmm2.log", "d.fam"), REPLACE, UsageError, r"result\.lfmm2\.log is an inp"),
    ("link to nothing", link("result.x.parquet", "nowhere"), REPLACE, OutputExistsError,
     rf"^result\.x\.parquet: {MINE}"),
    ("link to a file of the user", link("result.x.parquet", "other.x.parquet"), REPLACE, OutputExistsError, MINE),
    ("folder of that name", folder("result.x.parquet"), REPLACE, WriteError, r"result\.x\.parquet: is a folder; ch"),
    ("state is a file", made("result.state"), REPLACE, OutputExistsError, r"result\.state: is no folder; move"),
    ("state is a link", link("result.state", "nowhere"), {}, OutputExistsError, r"result\.state: is no folder; move"),
    ("state holds a file of the user", state(lambda path: (path / "thesis.docx").touch()), REPLACE, OutputExistsError,
     r"result\.state: is needed .*holds thesis\.docx, which no run has put there; move it away"),
    ("state holds a folder", state(lambda path: (path / "a.npz").mkdir()), REPLACE, OutputExistsError, "holds a.npz, "),
    ("lock is a symbolic link", state(lambda path: (path / "lock").symlink_to("../d.fam")), {}, OutputExistsError,
     r"holds lock, which no run has put there; move it away"),
    ("lock is a hard link", state(lambda path: os.link("d.fam", path / "lock")), {}, OutputExistsError, "holds lock, "),
    ("lock is a pipe", state(lambda path: os.mkfifo(path / "lock")), {}, OutputExistsError, "holds lock, "),
    ("state of a group", state(lambda path: (path / "lock").touch(), 0o770), RESUME, OutputExistsError,
     r"result\.state: can be written to by other users, so what it keeps may not be of this run; move it away"),
    ("state of everyone", state(lambda path: (path / "lock").touch(), 0o777), REPLACE, OutputExistsError,
     r"result\.state: can be written to by other users"),
    ("names look the same", write_variables(*(unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))), {},
     OutputExistsError, r"result\.été\.parquet and result\.été\.parquet look the same, .*; rename one variable"
     .replace("été", ".{3,5}")),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("maker", "how", "error", "match"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_lies_there_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str], way: str, maker: Maker, how: dict[str, Any],
    error: type[Exception], match: str,
) -> None:  # fmt: skip
    maker()
    options: list[str] = []
    for name, value in how.items():
        options += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    before = contents()
    check_refused(here, capsys, way, error, match, options=options, **how)
    assert contents() == before


def contents() -> dict[str, object]:
    """The bytes of all files, and where links lead."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(Path().rglob("*"))
    }


@pytest.fixture(params=[["result.x.parquet"], ["result.RESULT.parquet", "RESULT.x.parquet"]])
def rival(request: pytest.FixtureRequest, here: Path) -> Iterator[list[str]]:
    """Another run that is writing files of these names."""
    lock = FolderLock(Path("rival.state"), request.param)
    lock.take()
    yield request.param
    lock.release()


@pytest.mark.parametrize("way", ["command", "function"])
def test_run_that_writes_the_same_file(
    here: Path, rival: list[str], capsys: pytest.CaptureFixture[str], way: str
) -> None:
    clear()
    if rival == ["result.x.parquet"]:
        match = r"result\.x\.parquet: another run is writing it \(process \d+ on .*\); wait for it, or choose another"
        check_refused(here, capsys, way, OutputExistsError, match)
    else:
        lfmm2.run(None, "d", "env.csv", 3, out="result")


# name, what lies there, options of the run
SOUND: list[tuple[str, Maker, dict[str, Any]]] = [
    ("nothing", clear, {}),
    ("nothing to replace", clear, REPLACE),
    ("results of the same run", lambda: None, REPLACE),
    ("complete results of another command", lambda: None, BOTH),
    ("files of other programs",
     lambda: [clear(), *(Path(f"result.{end}").write_text("of plink2") for end in ("log", "json", "csv"))], {}),
    ("a table of the user beside the results", lambda: Path("result.notes.tsv").write_text("mine"), REPLACE),
    ("a table was removed by hand", lambda: Path("result.x.parquet").unlink(), REPLACE),
    ("an empty state folder", state(lambda _: None), {}),
    ("a state folder that others may read", state(lambda path: (path / "lock").touch(), 0o755), REPLACE),
    ("results were copied with other times", lambda: [os.utime(path, (1, 1)) for path in Path().glob("result.*")],
     REPLACE),
    ("results lie elsewhere, behind links", lambda: move_behind_links(), REPLACE),
    ("names differ by case", write_variables("Temp", "temp"), {}),
    ("names that only begin alike", write_variables("x", "x.log"), {}),
]  # fmt: skip


def move_behind_links() -> None:
    """Move the results to another folder, and leave links to them, as on a full disk."""
    Path("large").mkdir()
    for path in Path().glob("result.*"):
        path.rename(Path("large") / path.name)
        path.symlink_to(Path("large") / path.name)


@pytest.mark.parametrize(("maker", "how"), [row[1:] for row in SOUND], ids=[row[0] for row in SOUND])
def test_sound_neighbours_go_on(here: Path, maker: Maker, how: dict[str, Any]) -> None:
    maker()
    names = ("d.*", "env.csv", "other.*", "large/*", "result.notes.tsv", "result.log", "result.json", "result.csv")
    kept = {path: path.read_bytes() for name in names for path in Path().glob(name)}
    lfmm2.run(None, "d", "env.csv", 3, out="result", **how)
    assert lfmm2.verify("result")
    assert {path: path.read_bytes() for path in kept} == kept
    assert not Path("result.state").exists()
