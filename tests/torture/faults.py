"""I/O faults: every system call that a run makes on its files fails, one after the other.

strace injects errors and empty reads into calls on our files by their number, once (``when=N``) and from there on
(``when=N+``); a preloaded library makes reads and writes that are really short, and counts over all threads. After each
the run must have ended with exit code 0 and complete, right results, or with a documented code and nothing corrupt
under a final name; after some, --resume must complete it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from torture import runs, tracing
from torture.runs import Command, DataFault, Straight
from torture.tracing import Injection

_FAULTS_OF_READS = ("error=EIO", "retval=0")
_FAULTS_OF_WRITES = ("error=EIO", "error=ENOSPC", "error=EDQUOT")
#: What each call can fail with; a call that is not here is not injected.
FAULTS = {
    "openat": ("error=EIO", "error=EMFILE", "error=ENOSPC"),
    **dict.fromkeys(("read", "pread64", "preadv", "preadv2"), _FAULTS_OF_READS),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), _FAULTS_OF_WRITES),
    **dict.fromkeys(("fsync", "fdatasync", "fallocate", "ftruncate"), _FAULTS_OF_WRITES),
    **dict.fromkeys(("rename", "renameat", "renameat2", "link", "linkat"), ("error=EIO", "error=ENOSPC")),
    **dict.fromkeys(("mkdir", "mkdirat"), ("error=EIO", "error=ENOSPC")),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), ("error=EIO", "error=EACCES")),
    **dict.fromkeys(("stat", "lstat", "fstat", "newfstatat", "statx"), ("error=EIO",)),
    **dict.fromkeys(("access", "faccessat", "faccessat2"), ("error=EIO",)),
    **dict.fromkeys(("statfs", "fstatfs", "getdents64", "lseek", "close", "chmod", "fchmod"), ("error=EIO",)),
    "flock": ("error=EIO", "error=ENOLCK"),
}
_SHORT_READS = ("short read", "zero read", "EIO of read")
N_SAMPLES, N_SNPS = 42, 4000
# Several blocks of reading and several writes per file, although the data are small; all work is worth saving.
SETTINGS = {
    "lfmm2.genotypes.engine:BLOCK_BYTES": 2048 * -(-N_SAMPLES // 4),
    "lfmm2.pipeline.result_writer:TEXT_ROWS": 1500,
    "lfmm2.pipeline.result_writer:GROUP_ROWS": 2000,
    "lfmm2.pipeline.state_folder:KEEP_AFTER_SECONDS": 0,
}
N_QUICK = 24
FRESH_EVERY, RESUME_EVERY = 40, 3


@dataclass(frozen=True)
class Scene:
    """A kind of run. Below `root`, inputs and results are in "work", what runs print and strace's traces in "notes"."""

    name: str
    root: Path
    data: runs.Data
    format: str
    overwrite: bool = False
    more: tuple[str, ...] = ()

    @property
    def old(self) -> Path:
        """Results of another run, which a scene that overwrites replaces."""
        return self.root / "work" / f"{self.name}-old"

    def place(self, number: int) -> Path:
        """The folder of results of a run."""
        return self.root / "work" / f"{self.name}-{number}"

    def notes(self, number: int) -> Path:
        return self.root / "notes" / f"{self.name}-{number}"

    def command(self, number: int) -> Command:
        """A run; its folder is made, with old results if the scene overwrites."""
        place = self.place(number)
        shutil.rmtree(place, ignore_errors=True)
        if self.overwrite:
            shutil.copytree(self.old, place)
        else:
            place.mkdir()
        more = ("--format", self.format, *self.more, *(("--overwrite",) if self.overwrite else ()))
        return runs.run_command(self.data, place / "r", *more, settings=SETTINGS)

    def data_fault(self, kind: str, number: int, persistent: bool) -> DataFault:
        """A fault of the reads or writes on inputs and results."""
        return DataFault(kind, str(self.root / "work"), number, persistent)


@dataclass(frozen=True)
class Survey:
    """What an undisturbed run of a scene does and leaves."""

    straight: Straight
    old: dict[str, str]
    # those below the folder of results begin with a dot
    paths: tuple[str, ...]
    calls: dict[str, int]
    n_reads: int
    n_writes: int

    def paths_in(self, place: Path) -> list[str]:
        """The paths of a run whose results go to `place`."""
        return [f"{place}{path[1:]}" if path.startswith(".") else path for path in self.paths]


@dataclass(frozen=True)
class Point:
    """One fault: in a forked or a fresh process; `resume` follows if the run fails."""

    scene: Scene
    survey: Survey
    number: int
    fault: Injection | DataFault
    fresh: bool
    resume: bool


@dataclass(frozen=True)
class Verdict:
    label: str
    kind: str
    code: int | None
    injected: bool
    fresh: bool
    resumed: bool
    faults: list[str]


def survey(scene: Scene) -> Survey:
    """Run a scene without faults: under strace, and beside the library that counts reads and writes."""
    notes = scene.notes(-1)
    if scene.overwrite:
        scene.old.mkdir()
        other = runs.run_command(scene.data, scene.old / "r", "--format", scene.format, "--lambda", "1e-3")
        assert runs.run(other, notes).code == 0, "the run that makes old results failed"
    out = scene.place(-1) / "r"
    command = scene.command(-1)
    old = {ending: runs.sha256(path) for ending, path in runs.finals(out).items()}
    outcome = runs.run(replace(command, data_fault=scene.data_fault("none", 0, True)), notes)
    assert outcome.code == 0, f"an undisturbed run ended with {outcome.code}: {outcome.errors}"
    straight = Straight.of(out)
    faults = runs.complete_faults(out, straight, notes)
    assert not faults, f"an undisturbed run: {faults}"
    place = scene.place(-1)
    paths = tracing.our_paths(scene.command(-1), notes, [place, scene.data.bed.parent])
    calls = tracing.calls_on(scene.command(-1), notes, paths)
    n_reads, n_writes, _ = outcome.calls
    relative = tuple(path.replace(str(place), ".", 1) if path.startswith(str(place)) else path for path in paths)
    return Survey(straight, old, relative, dict(calls), n_reads, n_writes)


def points_of(scene: Scene, found: Survey) -> list[Point]:
    """Every fault of every call of a scene, once and persistent."""
    faults: list[Injection | DataFault] = [
        Injection(call, fault, number, persistent)
        for call, n in sorted(found.calls.items())
        for number in range(1, n + 1)
        for fault in FAULTS.get(call, ())
        for persistent in (False, True)
    ]
    for kind, n in [*((kind, found.n_reads) for kind in _SHORT_READS), ("short write", found.n_writes)]:
        for number in range(1, n + 1):
            faults += [scene.data_fault(kind, number, persistent) for persistent in (False, True)]
    return [
        Point(
            scene,
            found,
            number,
            fault,
            fresh=isinstance(fault, Injection) and number % FRESH_EVERY == 0,
            resume=fault.persistent and number // 2 % RESUME_EVERY == 0,
        )
        for number, fault in enumerate(faults)
    ]


def try_point(point: Point) -> Verdict:
    """Run with the fault, and judge what is left."""
    scene, found = point.scene, point.survey
    notes, place = scene.notes(point.number), scene.place(point.number)
    notes.mkdir(parents=True)
    command, out = scene.command(point.number), place / "r"
    if isinstance(point.fault, DataFault):
        kind = point.fault.kind
        outcome = runs.run(replace(command, data_fault=point.fault), notes)
        n_injected = outcome.calls[2]
    else:
        kind = point.fault.call
        inject = tracing.inject_fresh if point.fresh else tracing.inject
        outcome, n_injected = inject(command, notes, point.fault, found.paths_in(place))
    faults = runs.judge(outcome, out, found.straight, found.old, notes)
    if kind in ("short read", "short write") and outcome.code:
        faults.append(f"exit code {outcome.code} although a short read or write is no error: {outcome.errors.strip()}")
    state_left = runs.state_folder(out).exists()
    resumed = outcome.code is not None and (point.resume if outcome.code else state_left)
    if resumed:
        faults += runs.resumed_faults(command, out, found.straight, notes)
    shutil.rmtree(place)
    shutil.rmtree(notes)
    label = f"{scene.name}: {point.fault}{' in a fresh process' if point.fresh else ''}"
    return Verdict(label, kind, outcome.code, n_injected > 0, point.fresh, resumed, faults)


def counts_of(verdicts: list[Verdict]) -> dict[str, object]:
    """The figures of all points where a fault was injected."""
    hit = [verdict for verdict in verdicts if verdict.injected]
    bad = [verdict for verdict in hit if verdict.faults]
    return {
        "points": len(hit),
        "not_reached": len(verdicts) - len(hit),
        "fresh_processes": sum(verdict.fresh for verdict in hit),
        "resumed": sum(verdict.resumed for verdict in hit),
        "exit_codes": dict(sorted(Counter(str(verdict.code) for verdict in hit).items())),
        "calls": dict(sorted(Counter(verdict.kind for verdict in hit).items())),
        "hung": sum(verdict.code is None for verdict in bad),
        "internal_errors": sum(verdict.code == 1 for verdict in bad),
        "wrong_with_exit_0": sum(verdict.code == 0 for verdict in bad),
        "corrupt": sum(any("corrupt" in fault for fault in verdict.faults) for verdict in bad),
        "violations": len(bad),
    }


def run(full: bool) -> dict[str, object]:
    """Inject faults, at every call or at a fixed selection, and count what happened."""
    from torture import replacements  # which uses this module

    tracing.check_strace()
    began = time.monotonic()
    with runs.work_folder() as root:
        library = runs.compiled_short_calls(root)
        (root / "work").mkdir()
        data = runs.make_data(root / "work", N_SAMPLES, N_SNPS)
        scenes = [
            Scene("parquet", root, data, "parquet"),
            Scene("tsv", root, data, "tsv"),
            Scene("overwrite", root, data, "parquet", overwrite=True),
            Scene("every choice", root, data, "parquet", more=runs.EVERY_CHOICE),
        ]
        with runs.workers(library) as pool:
            points = []
            for scene, found in zip(scenes, pool.map(survey, scenes), strict=True):
                points += points_of(scene, found)
            replacing = []
            others = replacements.scenes_of(root, data)
            for other, known in zip(others, pool.map(replacements.survey, others), strict=True):
                replacing += replacements.points_of(other, known)
            if not full:
                points = runs.fixed_selection(points, N_QUICK)
                replacing = runs.fixed_selection(replacing, N_QUICK // 8)
            verdicts = [*pool.map(try_point, points), *pool.map(replacements.try_point, replacing)]
    counts = counts_of(verdicts) | {"seconds": round(time.monotonic() - began, 1)}
    bad = [f"{verdict.label}: {'; '.join(verdict.faults)}" for verdict in verdicts if verdict.faults]
    if bad:
        raise AssertionError("\n".join([f"{len(bad)} faults were handled wrongly", *bad, json.dumps(counts)]))
    assert counts["points"], "no fault was injected"
    return counts


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
