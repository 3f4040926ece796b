"""Damaged and changing inputs: cut and extended at every byte, flipped bits, a .bed that changes during a run.

* A .bed of 1 KiB cut at every byte, and extended by 1 to 300: an error of the right kind before any pass.
* Every byte of a .bed, .bim, .fam, table of variables and .factors.npz with a bit flipped: an error of lfmm2, or a run
  on legal other values; never another exception.
* A .bed shrunk, grown, rewritten, replaced, removed or touched at every block of every pass: exit code 6 and no result
  file; once the right file is back with its old time, ``--resume`` gives the files of an undisturbed run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.process.progress import Progress
from torture import runs
from torture.runs import Command

N_SAMPLES, N_SNPS = 15, 256
MOST_ADDED = 300
READ_FAILED = 6
BED_ERRORS = (lfmm2.MalformedInputError, lfmm2.InconsistentInputError, lfmm2.ReadError)
BED_CODES = (3, 4, 6)
INPUTS = ("d.bed", "d.bim", "d.fam", "env.csv", "f.factors.npz")


@contextlib.contextmanager
def no_pass() -> Iterator[None]:
    """A pass over genotypes is a failure."""
    real = Engine.recorded

    def recorded(*_: object) -> None:
        raise AssertionError("a pass over the genotypes has begun")

    Engine.recorded = recorded  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Engine.recorded = real  # type: ignore[method-assign]


def make_inputs(folder: Path, n_snps: int = N_SNPS) -> None:
    """A small fileset, its variables and factors."""
    rng = np.random.default_rng(5)
    dosage = rng.binomial(2, 0.5, (n_snps, N_SAMPLES)).astype(float)
    dosage[rng.random(dosage.shape) < 0.02] = np.nan
    # the last sample has calls that are not two copies of A1, without which pad bits would say less
    write_plink(folder / "d", dosage, iid=[f"i{k}" for k in range(N_SAMPLES)])
    lines = [f"i{k},{x!r}" for k, x in enumerate(rng.standard_normal(N_SAMPLES).tolist())]
    (folder / "env.csv").write_text("\n".join(["IID,x", *lines]) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        lfmm2.run(None, folder / "d", folder / "env.csv", 1, out=folder / "f", n_threads=1)


def command_line(folder: Path) -> subprocess.CompletedProcess[str]:
    inputs = ["--bed", str(folder / "d.bed"), "--env", str(folder / "env.csv")]
    arguments = ["run", *inputs, "-K", "1", "--threads", "1", "--out", str(folder / "r")]
    return subprocess.run(
        [sys.executable, "-m", "lfmm2", *arguments],
        capture_output=True, text=True, check=False, timeout=runs.patience(),
    )  # fmt: skip


def check_sizes(folder: Path, runs_every: int, commands_every: int) -> dict[str, int]:
    """Every wrong size of the .bed, by opening it, and every so many by a run here and by the command line."""
    bed = folder / "d.bed"
    whole = bed.read_bytes()
    rng = np.random.default_rng(1)
    counts: Counter[str] = Counter()
    sizes = [*range(len(whole)), *range(len(whole) + 1, len(whole) + MOST_ADDED + 1)]
    for number, size in enumerate(sizes):
        added = rng.integers(0, 256, max(size - len(whole), 0), dtype=np.uint8).tobytes()
        bed.write_bytes(whole[:size] + added)
        try:
            if number % runs_every:
                BedFile(bed).close()
            else:
                with no_pass():
                    lfmm2.run(None, bed, folder / "env.csv", 1, n_threads=1, out=folder / "r")
        except BED_ERRORS as error:
            counts[type(error).__name__] += 1
        else:
            raise AssertionError(f"a .bed of {size} bytes instead of {len(whole)} passes")
        assert not list(folder.glob("r.*")), f"a .bed of {size} bytes leaves {list(folder.glob('r.*'))}"
        if number % commands_every == 0:
            ended = command_line(folder)
            assert ended.returncode in BED_CODES, f".bed of {size} bytes: {ended.returncode}: {ended.stderr}"
            assert "Traceback" not in ended.stderr, ended.stderr
            assert not list(folder.glob("r.*")), f"a .bed of {size} bytes leaves {list(folder.glob('r.*'))}"
            counts["through the command line"] += 1
    bed.write_bytes(whole)
    return dict(counts)


def use(folder: Path, name: str) -> None:
    """What a user does with an input."""
    if name == "f.factors.npz":
        factors = lfmm2.read_factors(folder / name)
        lfmm2.test_associations(folder / "d", folder / "env.csv", factors, n_threads=1)
    else:
        lfmm2.run(None, folder / "d", folder / "env.csv", 1, n_threads=1).table()


class Unforeseen(Exception):
    """An exception that is not one of lfmm2, or a warning of a library."""


def outcome(action: Callable[[], None]) -> str:
    """How it ended."""
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            action()
    except lfmm2.LfmmError as error:
        if error.exit_code == 1:
            raise Unforeseen(f"{error!r} is of no kind") from error
        return type(error).__name__
    except Exception as error:
        raise Unforeseen(f"{type(error).__name__}: {error}") from error
    foreign = [warning.message for warning in seen if not issubclass(warning.category, lfmm2.LfmmWarning)]
    if foreign:
        raise Unforeseen(f"warns {foreign[0]!r}")
    return "warning" if seen else "other value"


def check_flips(folder: Path, bits: range | None, every: int) -> dict[str, dict[str, int]]:
    """Every so many bytes of every input with one bit flipped: each of `bits`, or one that depends on the place."""
    found, faults = {}, []
    for name in INPUTS:
        path = folder / name
        whole = path.read_bytes()
        counts: Counter[str] = Counter()
        for at in range(0, len(whole), every):
            for bit in bits if bits is not None else [at % 8]:
                flipped = bytearray(whole)
                flipped[at] ^= 1 << bit
                path.write_bytes(flipped)
                try:
                    counts[outcome(lambda name=name: use(folder, name))] += 1
                except Unforeseen as fault:
                    faults.append(f"{name}, byte {at}, bit {bit}: {fault}")
        path.write_bytes(whole)
        found[name] = dict(counts)
    assert not faults, f"{len(faults)} flipped bits: " + "\n".join(faults[:30])
    return found


# a .bed that changes during a run


def _shrink(bed: Path) -> None:
    os.truncate(bed, bed.stat().st_size // 2)


def _shrink_by_one(bed: Path) -> None:
    os.truncate(bed, bed.stat().st_size - 1)


def _empty(bed: Path) -> None:
    os.truncate(bed, 0)


def _grow(bed: Path) -> None:
    with bed.open("ab") as file:
        file.write(bytes(100))


def _replace(bed: Path) -> None:
    copy = bed.with_suffix(".copy")
    shutil.copy2(bed, copy)
    copy.replace(bed)


def _rewrite(bed: Path) -> None:
    data = bed.read_bytes()
    bed.write_bytes(data[:3] + data[:2:-1])


def _touch(bed: Path) -> None:
    now = bed.stat().st_mtime_ns + 1_000_000
    os.utime(bed, ns=(now, now))


def _rewrite_in_time(bed: Path) -> None:
    """Other genotypes, and the old time put back: size, inode and mtime are those of before."""
    seen = bed.stat()
    _rewrite(bed)
    os.utime(bed, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _remove(bed: Path) -> None:
    bed.unlink()


CHANGES = (_shrink, _shrink_by_one, _empty, _grow, _replace, _rewrite, _rewrite_in_time, _touch, _remove)


class Changing(Progress):
    """Changes the .bed when so many events of passes over genotypes have happened; counts them."""

    def __init__(self, bed: Path, change: Callable[[Path], None] | None, at: int, count_file: Path | None) -> None:
        self._bed, self._change, self._at, self._count_file = bed, change, at, count_file
        self._events = 0
        self._reads = False

    def _event(self) -> None:
        if not self._reads:
            return
        if self._change is not None and self._events == self._at:
            self._change(self._bed)
        self._events += 1
        if self._count_file is not None:
            self._count_file.write_text(str(self._events))

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        # tables are written without reading genotypes
        self._reads = n_bytes > 0
        self._event()

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self._event()

    def finish(self) -> None:
        self._event()
        self._reads = False


@dataclass(frozen=True)
class MakeChanging:
    """Stands for `terminal_progress` in a run."""

    bed: Path
    change: Callable[[Path], None] | None
    at: int = 0
    count_file: Path | None = None

    def __call__(self) -> Changing:
        return Changing(self.bed, self.change, self.at, self.count_file)


@dataclass(frozen=True)
class Scene:
    """A run with passes of a few blocks each."""

    data: runs.Data
    solver: str

    def command(self, folder: Path, change: Callable[[Path], None] | None, at: int = 0) -> Command:
        """The run in a folder, which gets a copy of the genotypes that may be changed."""
        for path in (self.data.bed, self.data.bed.with_suffix(".bim"), self.data.bed.with_suffix(".fam")):
            shutil.copy2(path, folder / path.name)
        bed = folder / self.data.bed.name
        progress = MakeChanging(bed, change, at, None if change else folder / "events")
        # blocks of two groups, and everything that can be kept is kept at once
        settings = {
            "lfmm2.pipeline.preparation:terminal_progress": progress,
            "lfmm2.genotypes.engine:BLOCK_BYTES": 1,
            "lfmm2.pipeline.state_folder:KEEP_AFTER_SECONDS": 0,
        }
        data = runs.Data(bed, self.data.env)
        return runs.run_command(data, folder / "r", "--maf", "0.01", "--solver", self.solver, settings=settings)


def count_events(scene: Scene, root: Path) -> tuple[int, runs.Straight]:
    """Number of events of an undisturbed run, and the files that it leaves."""
    folder = root / f"count-{scene.solver}"
    folder.mkdir()
    ended = runs.run(scene.command(folder, None), folder / "notes")
    assert ended.code == 0, ended.errors
    return int((folder / "events").read_text()), runs.Straight.of(folder / "r")


def changed_run(
    scene: Scene, root: Path, straight: runs.Straight, change: Callable[[Path], None], at: int
) -> str | None:
    """What is wrong with a run whose .bed changes at an event, or with its resumption; None if nothing is."""
    folder = root / f"{scene.solver}{change.__name__}-{at}"
    folder.mkdir()
    try:
        fault = _changed_run(scene, folder, straight, change, at)
    finally:
        shutil.rmtree(folder)
    return None if fault is None else f"{scene.solver}, {change.__name__.strip('_')} at event {at}: {fault}"


def _changed_run(
    scene: Scene, folder: Path, straight: runs.Straight, change: Callable[[Path], None], at: int
) -> str | None:
    ended = runs.run(scene.command(folder, change, at), folder / "notes")
    left = sorted(path.name for path in folder.glob("r.*") if path.is_file())
    if ended.code != READ_FAILED:
        return f"exit code {ended.code}: {ended.errors[-500:]}"
    if left:
        return f"leaves {left}"
    has_state = runs.state_folder(folder / "r").exists()
    if not has_state and "--resume goes on" in ended.errors:
        return "promises kept work where there is none"
    # the right file comes back with its old time, as cp -p and rsync -a do
    again = scene.command(folder, None).resumed()
    return "; ".join(runs.resumed_faults(again, folder / "r", straight, folder / "notes")) or None


def check_changes(root: Path, n_points: int | None) -> dict[str, int]:
    """All changes at all events, or `n_points` of them."""
    data = runs.make_data(root, 60, 4000)
    with runs.workers() as pool:
        scenes = [Scene(data, solver) for solver in ("exact", "krylov")]
        counted = list(pool.map(count_events, scenes, [root] * len(scenes)))
        points = [
            (scene, root, straight, change, at)
            for scene, (n, straight) in zip(scenes, counted, strict=True)
            for change in CHANGES
            for at in range(n)
        ]
        chosen = points if n_points is None else runs.fixed_selection(points, n_points)
        faults = [fault for fault in pool.map(changed_run, *zip(*chosen, strict=True)) if fault is not None]
    assert not faults, f"{len(faults)} of {len(chosen)} runs: " + "\n".join(faults[:10])
    return {"events": sum(n for n, _ in counted), "kinds of change": len(CHANGES), "runs": len(chosen)}


def run(full: bool) -> dict[str, object]:
    """Run the topic; AssertionError says which damage was not met as it should."""
    with runs.work_folder() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        inputs, smaller, changes = (root / name for name in ("inputs", "smaller", "changes"))
        for folder in (inputs, smaller, changes):
            folder.mkdir()
        make_inputs(inputs)
        make_inputs(smaller, 40)
        return {
            "wrong sizes of a .bed": check_sizes(inputs, 1 if full else 10, 50 if full else 700),
            "flipped bits": check_flips(smaller, range(8) if full else None, 1 if full else 7),
            "a .bed that changes": check_changes(changes, None if full else 16),
        }


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
