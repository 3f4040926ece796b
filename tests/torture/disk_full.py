"""Full disks: small runs on a tmpfs of every size, under every limit of file size, and with a full standard output.

Each run must be complete and right, or end with exit code 7 and nothing corrupt under a final name; given space, the
same command with --resume must complete it byte for byte. The check of free space before the work would stop most of
these runs, so they are also made without it. The tmpfs are mounted in a namespace of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from torture import runs
from torture.runs import Command, Outcome, Straight

N_SNPS = 15_000
STEP = 64 << 10
FILE_STEP = 16 << 10
# a page, below which a tmpfs of "size 0" would be one without limit, and stdout could not be kept
LEAST = 4 << 10
ENOUGH = "64m"
N_QUICK = 4
WRITE_FAILED = 7
_KEEP = {"lfmm2.pipeline.state_folder:KEEP_AFTER_SECONDS": 0}


def ignore_free_space(folder: object, n_bytes: int) -> None:
    """Stands for `check_free_space`, so that the disk fills up in the middle of the work."""


@dataclass(frozen=True)
class Scene:
    """A kind of run; `checked` leaves the check of free space in place."""

    name: str
    root: Path
    data: runs.Data
    format: str
    checked: bool
    straight: Straight

    def command(self, out: Path) -> Command:
        settings = (
            _KEEP if self.checked else _KEEP | {"lfmm2.pipeline.result_files:check_free_space": ignore_free_space}
        )
        return runs.run_command(self.data, out, "--format", self.format, settings=settings)


@dataclass(frozen=True)
class Point:
    """A run with so many bytes: of the disk, or of any one file."""

    scene: Scene
    n_bytes: int
    of_disk: bool = True

    def __str__(self) -> str:
        return f"{self.scene.name}, {self.n_bytes >> 10} KiB"


@dataclass(frozen=True)
class Verdict:
    point: Point
    code: int | None
    faults: list[str]


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def try_point(point: Point) -> Verdict:
    """Run in too little or enough space, judge, then give space and resume."""
    scene = point.scene
    notes = scene.root / "notes" / str(point)
    place = scene.root / "work" / str(point)
    place.mkdir(parents=True)
    command = scene.command(place / "r")
    if point.of_disk:
        _mount(place, f"size={point.n_bytes}")
        outcome = runs.run(command, notes)
        _mount(place, f"remount,size={ENOUGH}")
    else:
        outcome = runs.run(replace(command, file_size_limit=point.n_bytes), notes)
    faults = judge(outcome, place / "r", scene.straight, notes)
    if outcome.code != 0:
        faults += runs.resumed_faults(command, place / "r", scene.straight, notes)
    if point.of_disk:
        subprocess.run(["umount", str(place)], check=True)
    shutil.rmtree(place)
    return Verdict(point, outcome.code, faults)


def judge(outcome: Outcome, out: Path, straight: Straight, notes: Path) -> list[str]:
    """The verdict on a run that may have lacked space."""
    faults = runs.judge(outcome, out, straight, {}, notes)
    if outcome.code not in (0, WRITE_FAILED):
        faults.append(f"exit code {outcome.code} where the disk is full: {outcome.errors.strip()[:300]}")
    return faults


def straight_run(root: Path, data: runs.Data, format: str) -> tuple[Straight, int, int]:
    """An undisturbed run: what it leaves, bytes of all its files, bytes of the largest."""
    place, notes = root / f"straight-{format}", root / "notes" / format
    place.mkdir()
    outcome = runs.run(runs.run_command(data, place / "r", "--format", format), notes)
    assert outcome.code == 0, f"an undisturbed run ended with {outcome.code}: {outcome.errors}"
    sizes = [path.stat().st_size for path in runs.finals(place / "r").values()]
    return Straight.of(place / "r"), sum(sizes), max(sizes)


def full_stdout(data: runs.Data, root: Path, straight: Straight) -> list[str]:
    """What is wrong with commands whose standard output is full, or closed."""
    faults = []
    commands = {
        "info": Command(("info",)),
        "--version": Command(("--version",)),
        "run --help": Command(("run", "--help")),
        "run --dry-run": runs.run_command(data, root / "full" / "r", "--dry-run"),
        "run": runs.run_command(data, root / "full" / "r"),
    }
    (root / "full").mkdir()
    for name, command in commands.items():
        with Path("/dev/full").open("w") as full:
            outcome = runs.fresh(command, stdout=full)
        if outcome.code != WRITE_FAILED:
            faults.append(f"{name} > /dev/full: exit code {outcome.code}: {outcome.errors.strip()[:300]}")
        faults += [f"{name} > /dev/full: {fault}" for fault in runs.outcome_faults(outcome)]
    left = sorted(runs.finals(root / "full" / "r"))
    if left:
        faults.append(f"run > /dev/full: left {', '.join(left)}")
    (root / "closed").mkdir()
    closed = ["sh", "-c", 'exec "$@" >&-', "sh"]
    outcome = runs.fresh(runs.run_command(data, root / "closed" / "r"), before=closed)
    notes = root / "notes" / "closed"
    faults += [f"run >&-: {f}" for f in runs.judge(outcome, root / "closed" / "r", straight, {}, notes)]
    return faults


def points_of(scene: Scene, n_bytes: int, largest: int) -> list[Point]:
    """Every size of the disk up to what is enough, and of a file where free space is not checked."""
    points = [Point(scene, max(size, LEAST)) for size in range(0, n_bytes, STEP)]
    if not scene.checked:
        limited = replace(scene, name=f"{scene.name}, size of files limited")
        points += [Point(limited, max(size, LEAST), False) for size in range(0, largest + 2 * FILE_STEP, FILE_STEP)]
    return points


def sweep(full: bool) -> dict[str, object]:
    """`run` inside the namespace."""
    began = time.monotonic()
    formats = ("parquet", "tsv") if full else ("parquet",)
    stdout_faults = []
    with runs.work_folder() as root, runs.workers() as pool:
        data = runs.make_data(root, 60, N_SNPS)
        points: list[Point] = []
        for format in formats:
            straight, total, largest = pool.submit(straight_run, root, data, format).result()
            if format == "parquet":
                stdout_faults = pool.submit(full_stdout, data, root, straight).result()
            for checked in (True, False):
                name = f"{format}, space {'checked' if checked else 'not checked'}"
                scene = Scene(name, root, data, format, checked, straight)
                # results, and rows of statistics, which are smaller
                points += points_of(scene, 2 * total + STEP, largest)
        if not full:
            points = [points[0], *runs.fixed_selection(points[1:-1], N_QUICK), points[-1]]
        verdicts = list(pool.map(try_point, points))
    bad = [f"{v.point}: {'; '.join(v.faults)}" for v in verdicts if v.faults] + stdout_faults
    counts: dict[str, object] = {
        "points": len(verdicts),
        "complete": sum(v.code == 0 for v in verdicts),
        "refused_or_full": sum(v.code == WRITE_FAILED for v in verdicts),
        "exit_codes": dict(sorted(Counter(str(v.code) for v in verdicts).items())),
        "resumed": sum(v.code != 0 for v in verdicts),
        "full_or_closed_stdout": 6,
        "violations": len(bad),
        "seconds": round(time.monotonic() - began, 1),
    }
    if bad:
        raise AssertionError("\n".join([f"{len(bad)} runs on full disks went wrong", *bad, json.dumps(counts)]))
    assert counts["complete"], "no run of the sweep had enough space"
    assert counts["refused_or_full"], "no run of the sweep lacked space"
    return counts


def run(full: bool) -> dict[str, object]:
    """Sweep sizes of disk and files, all or a fixed selection, and count what happened."""
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    with runs.work_folder() as root:
        try:
            probe = [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(root)]
            subprocess.run(probe, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise runs.Unavailable(
                f"no tmpfs can be mounted here: {getattr(error, 'stderr', None) or error}"
            ) from error
    inside = [*namespace, sys.executable, "-m", "torture.disk_full", "sweep", "full" if full else "quick"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(inside, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip())
    counts: dict[str, object] = json.loads(done.stdout)
    return counts


def _main(arguments: list[str]) -> None:
    if arguments[:1] != ["sweep"]:
        print(json.dumps(run(full=True), indent=2))
        return
    try:
        print(json.dumps(sweep(arguments[1] == "full")))
    except AssertionError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(sys.argv[1:])
