"""Commands that replace their own files while system calls fail: hits, offset and simulate with --overwrite.

Part of the topic "faults". After each fault all files are old, or all are new; where putting back fails too, the old
ones lie in a folder beside them. No content is lost.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from torture import runs, tracing
from torture.faults import FAULTS, Verdict
from torture.runs import Command
from torture.tracing import Injection

# The values with which a command writes other files than before.
_COMMANDS = {
    "hits": (("hits", "{r}", "--fdr", "1"), ("hits", "{r}", "--fdr", "0.5")),
    "offset": (
        ("offset", "{r}", "--new-env", "{env}", "--out", "{r}"),
        ("offset", "{r}", "--new-env", "{env}", "--effects", "ols", "--out", "{r}"),
    ),
    "simulate": tuple(
        ("simulate", "--out", "{r}", "--samples", "20", "--snps", "50", "--causal", "2", "--seed", seed)
        for seed in ("1", "2")
    ),
}


@dataclass(frozen=True)
class Scene:
    """A command that replaces what the same command has written before, in a copy of `old`."""

    name: str
    root: Path
    data: runs.Data

    @property
    def old(self) -> Path:
        return self.root / "work" / f"{self.name}-old"

    def place(self, number: int) -> Path:
        return self.root / "work" / f"{self.name}-{number}"

    def command(self, place: Path, new: bool) -> Command:
        texts = [text.format(r=place / "r", env=self.data.env) for text in _COMMANDS[self.name][new]]
        return Command((*texts, *(("--overwrite",) if new else ())))

    def prepare(self, number: int) -> Path:
        place = self.place(number)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.old, place)
        return place


@dataclass(frozen=True)
class Survey:
    """Files before and after an undisturbed command, paths and calls of it; paths in its folder begin with a dot."""

    old: dict[str, str]
    new: dict[str, str]
    paths: tuple[str, ...]
    calls: dict[str, int]


@dataclass(frozen=True)
class Point:
    scene: Scene
    survey: Survey
    number: int
    fault: Injection


def digests(place: Path) -> dict[str, str]:
    """Files with a final name."""
    return {path.name: runs.sha256(path) for path in place.iterdir() if path.is_file() and path.suffix != ".part"}


def survey(scene: Scene) -> Survey:
    """Make the old files, and replace them without faults."""
    notes = scene.root / "notes" / scene.name
    scene.old.mkdir()
    if scene.name != "simulate":
        assert runs.run(runs.run_command(scene.data, scene.old / "r", "--format", "tsv"), notes).code == 0
    assert runs.run(scene.command(scene.old, new=False), notes).code == 0
    old, place = digests(scene.old), scene.prepare(-1)
    assert runs.run(scene.command(place, new=True), notes).code == 0
    new = digests(place)
    assert new != old
    paths = tracing.our_paths(scene.command(scene.prepare(-1), new=True), notes, [place])
    calls = tracing.calls_on(scene.command(scene.prepare(-1), new=True), notes, paths)
    return Survey(old, new, tuple(path.replace(str(place), ".", 1) for path in paths), dict(calls))


def points_of(scene: Scene, found: Survey) -> list[Point]:
    """Every fault of every call, once and persistent."""
    faults = [
        Injection(call, fault, number, persistent)
        for call, n in sorted(found.calls.items())
        for number in range(1, n + 1)
        for fault in FAULTS.get(call, ())
        for persistent in (False, True)
    ]
    return [Point(scene, found, number, fault) for number, fault in enumerate(faults)]


def faults_of(place: Path, found: Survey, code: int | None) -> list[str]:
    """What is wrong with the files that a command has left."""
    files = digests(place)
    if code == 0:
        return (
            [] if files == found.new else [f"exit code 0, but {sorted(set(files) ^ set(found.new))} or contents differ"]
        )
    whole = [
        f"{name} is corrupt"
        for name, digest in files.items()
        if digest not in (found.old.get(name), found.new.get(name))
    ]
    if files in (found.old, found.new):
        return []
    there = {runs.sha256(path) for path in place.rglob("*") if path.is_file()}
    return whole + [f"{name} is lost" for name, digest in found.old.items() if digest not in there]


def try_point(point: Point) -> Verdict:
    """Replace files with the fault, and judge what is left."""
    scene, found = point.scene, point.survey
    place, notes = scene.prepare(point.number), scene.root / "notes" / f"{scene.name}-{point.number}"
    paths = [f"{place}{path[1:]}" for path in found.paths]
    outcome, n_injected = tracing.inject(scene.command(place, new=True), notes, point.fault, paths)
    faults = runs.outcome_faults(outcome) + faults_of(place, found, outcome.code)
    shutil.rmtree(place)
    shutil.rmtree(notes)
    label = f"{scene.name} --overwrite: {point.fault}"
    return Verdict(label, point.fault.call, outcome.code, n_injected > 0, False, False, faults)


def scenes_of(root: Path, data: runs.Data) -> list[Scene]:
    """Every command that replaces its own files."""
    return [Scene(name, root, data) for name in _COMMANDS]
