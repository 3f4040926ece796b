"""Records and states that somebody else wrote, sealed but of any content: an LfmmError, or they are made again."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2
from lfmm2.files import seal_json
from lfmm2.pipeline import state_folder
from lfmm2.process import Progress
from lfmm2.results import StoredRun

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

ABSENT = object()
# Values of every type and kind: none of them is right everywhere, most are wrong nearly everywhere.
VALUES = [
    ABSENT, None, True, 0, -1, 1, 1.5, 1e308, 2**63, 10**400, "", "x", "\0", "\ud800", [], [1], ["x"], [[]], {},
    {"a": 1}, {"x": None},
]  # fmt: skip
RUN: dict[str, Any] = {"K": 2, "sweep": "1:3", "maf": 0.02, "est_thin": "r2=0.2,window=20", "n_threads": 1}


# Blocks after which the run is stopped: in the second of the factors, and in the fourth of the tests. Before that are 5
# to compare the samples, 5 to filter and 5 to thin; 2 of the factors follow, of two segments each.
IN_FACTORS, IN_TESTS = 16, 20
SEGMENT_SNPS = 2048


class StopAfter(Progress):
    """Stops the run after so many blocks."""

    def __init__(self, n_blocks: int) -> None:
        self.n_left = n_blocks

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.n_left -= 1
        if self.n_left < 0:
            raise KeyboardInterrupt


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in JSON, and of the first two of each list."""
    if here:
        yield here
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, part in inside:
        yield from places(part, (*here, name))


def changed(entries: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return JSON with another value at a place, or without it."""
    entries = copy.deepcopy(entries)
    inside = entries
    for name in place[:-1]:
        inside = inside[name]
    if value is ABSENT:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return entries


def sealed(entries: Any) -> bytes | None:
    """Return sealed JSON; None where it cannot be written, as with half a character."""
    try:
        return seal_json(entries)
    except (TypeError, ValueError):
        return None


def run(out: str, progress: Progress | None = None, **more: Any) -> lfmm2.AssociationResult:
    return lfmm2.run(None, "d.bed", "d.env.csv", out=out, progress=progress or Progress(), **(RUN | more))


def contents(out: str) -> dict[str, bytes]:
    """The files of a run but its log and record, which hold times."""
    files = [path for path in Path().glob(f"{out}.*") if path.is_file() and path.suffix not in (".log", ".json")]
    return {path.name.removeprefix(out): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and states of it at which it was stopped after some blocks."""
    folder = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
        patch.setattr("lfmm2.genotypes.segments.SEGMENT_SNPS", SEGMENT_SNPS)
        patch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
        lfmm2.simulate("d", n_samples=40, n_snps=5000, n_causal=4, n_variables=1, missing_rate=0.01, seed=1)
        run("straight")
        for n_blocks in (IN_FACTORS, IN_TESTS):
            with pytest.raises(KeyboardInterrupt):
                run("r", StopAfter(n_blocks))
            Path("r.state").rename(f"after-{n_blocks}")
    return folder


@pytest.fixture(autouse=True)
def _here(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in begun.iterdir():
        if path.is_file():
            shutil.copy2(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lfmm2.genotypes.segments.SEGMENT_SNPS", SEGMENT_SNPS)


@pytest.mark.parametrize(
    "use",
    [
        lfmm2.verify,
        StoredRun,
        lambda out: lfmm2.find_hits(out, fdr=0.5),
        lambda out: lfmm2.read_results(out).table(),
        lambda out: lfmm2.genetic_offset(out, None, "d.env.csv"),
    ],
    ids=["verify", "open", "hits", "read", "offset"],
)
def test_record_of_any_content_ends_in_an_error_of_lfmm2(use: Callable[[str], object]) -> None:
    path = StoredRun("straight").path("record")
    assert path is not None
    record = json.loads(path.read_text())
    del record["sha256"]
    points = [(place, value) for place in places(record) if place[0] != "identity" for value in VALUES]
    n_refused = 0
    for place, value in random.Random(3).sample(points, 50):
        text = sealed(changed(record, place, value))
        if text is None:
            continue
        path.write_bytes(text)
        try:
            use("straight")
        except (lfmm2.MalformedInputError, lfmm2.InconsistentInputError, lfmm2.ReadError):
            n_refused += 1
    assert n_refused > 10


# What somebody may have put into the arrays of a state.
ARRAYS = [
    ABSENT, np.array("x"), np.array("null"), np.array("[1]"), np.array('{"a": 1}'), np.array(-1), np.array(1.5),
    np.array(10**9), np.array(1j), np.empty(0), np.zeros((2, 2)), np.array(["a", "b"]), np.full((3, 3), np.nan),
]  # fmt: skip


def mutations(state: Path) -> Iterator[tuple[str, object, bytes | dict[str, Any]]]:
    """Yield file, place and new contents of the notes and arrays of a state, with one value changed in each."""
    for file in sorted(state.iterdir()):
        if file.suffix == ".json":
            note = json.loads(file.read_text())
            del note["sha256"]
            for place in places(note):
                for value in VALUES:
                    text = sealed(changed(note, place, value))
                    if text is not None:
                        yield file.name, (place, value), text
        elif file.suffix == ".npz" and not file.name.startswith("output"):
            with np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            for name in arrays:
                for array in ARRAYS:
                    yield file.name, (name, array), changed(arrays, (name,), array)


@pytest.mark.parametrize("n_blocks", [IN_FACTORS, IN_TESTS])
def test_state_of_any_content_is_refused_or_made_again(begun: Path, n_blocks: int) -> None:
    """No value is taken for what it is not: the run ends in an LfmmError, or with the files of a straight run."""
    state = begun / f"after-{n_blocks}"
    by_file: dict[str, list[Any]] = {}
    for name, place, data in mutations(state):
        by_file.setdefault(name, []).append((place, data))
    assert by_file.keys() >= (
        {"pass-001-begun.npz"} if n_blocks == IN_FACTORS else {"statistics.json", "progress.json"}
    )
    straight = contents("straight")
    for name, points in by_file.items():
        for place, data in random.Random(1).sample(points, min(len(points), 3)):
            for path in Path().glob("r.*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(state, "r.state")
            if isinstance(data, bytes):
                Path("r.state", name).write_bytes(data)
            else:
                np.savez(Path("r.state", name), **data)
            try:
                run("r", resume=True)
            except lfmm2.LfmmError:
                continue
            assert contents("r") == straight, (name, place)


@pytest.mark.parametrize("change", [lambda f: f.leading(1), lambda f: f.__class__(**(vars(f) | {"U": f.U * np.nan}))])
def test_factors_that_are_not_of_the_run_are_refused(begun: Path, change: Callable[[Any], Any]) -> None:
    from lfmm2.files import WholeFile
    from lfmm2.results import write_factors

    shutil.copytree(begun / f"after-{IN_TESTS}", "r.state")
    factors = change(lfmm2.read_factors("r.state/output.factors.npz"))
    output = WholeFile("r.state/output.factors.npz", hashed=True)
    with output as file:
        write_factors(file, factors)
    note = json.loads(Path("r.state/progress.json").read_text())["progress"]
    Path("r.state/progress.json").write_bytes(seal_json({"progress": note | {"factors.npz": output.stamp}}))
    with pytest.raises(lfmm2.MalformedInputError, match="factors that the unfinished run kept are not of this run"):
        run("r", resume=True)
