"""Kills: a run ends at every system call that writes, in the middle of every write, and at random times.

strace kills at a call on our files by its number, before the call is made; a preloaded library kills in the middle of
a write. The results that --resume then gives must be those of an undisturbed run, byte for byte; some resumed runs are
killed too. At random times also the signals that a user or a scheduler sends.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from torture import runs, tracing
from torture.faults import N_SAMPLES, N_SNPS, SETTINGS, Scene, Survey, survey
from torture.runs import Command, DataFault, Outcome, Straight
from torture.tracing import Injection

#: Calls before which a run is killed: those that change something, or may.
CALLS = (
    *("openat", "close", "flock", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "link", "linkat", "lseek"),
)
# a signalled run must end within the first; within the second where other tests share the processors
SECONDS_TO_END, SECONDS_AMONG_OTHERS = 1.0, 5.0
N_QUICK_POINTS, N_QUICK_TIMES, N_FULL_TIMES = 12, 3, 250
# Undisturbed runs whose time is taken. If it came out too long, all kills would come after the end of their runs.
N_SURVEYS = 3
KILL_RESUMED_EVERY, FRESH_EVERY = 3, 5
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGHUP)


@dataclass(frozen=True)
class Point:
    """A kill at a call; `kill_resumed` kills the resumed run too, at a random call."""

    scene: Scene
    survey: Survey
    number: int
    kill: Injection | DataFault
    kill_resumed: bool


@dataclass(frozen=True)
class Moment:
    """A signal after this share of the time of an undisturbed run; `fresh` in a new interpreter."""

    root: Path
    data: runs.Data
    straight: Straight
    seconds: float
    number: int
    signal: signal.Signals
    share: float
    fresh: bool
    kill_resumed: bool
    seconds_to_end: float


@dataclass(frozen=True)
class Verdict:
    label: str
    kind: str
    code: int | None
    killed: bool
    state_left: bool
    resumed_killed: bool
    seconds_to_end: float
    faults: list[str]


def points_of(scene: Scene, found: Survey) -> list[Point]:
    """A kill before every call that writes, and in the middle of every write."""
    kills: list[Injection | DataFault] = [
        Injection(call, "signal=KILL", number) for call in CALLS for number in range(1, found.calls.get(call, 0) + 1)
    ]
    kills += [scene.data_fault("torn write", number, False) for number in range(1, found.n_writes + 1)]
    return [
        Point(scene, found, number, kill, kill_resumed=number % KILL_RESUMED_EVERY == 0)
        for number, kill in enumerate(kills)
    ]


def kill_at(command: Command, kill: Injection | DataFault, notes: Path, paths: list[str]) -> Outcome:
    """Run, and be killed at a call, if the run comes there."""
    if isinstance(kill, DataFault):
        return runs.run(replace(command, data_fault=kill), notes)
    return tracing.inject(command, notes, kill, paths)[0]


def try_point(point: Point) -> Verdict:
    """Kill a run at a call, judge what it leaves, and resume it."""
    scene, found = point.scene, point.survey
    notes, place = scene.notes(point.number), scene.place(point.number)
    notes.mkdir(parents=True)
    command, out, paths = scene.command(point.number), place / "r", found.paths_in(place)
    outcome = kill_at(command, point.kill, notes, paths)
    killed = outcome.code == -signal.SIGKILL
    faults = [] if killed or outcome.code == 0 else [f"exit code {outcome.code}: {outcome.errors.strip()[:300]}"]
    faults += runs.partial_faults(out, found.straight, found.old, notes)
    state_left = runs.state_folder(out).exists()
    resumed_killed = False
    if point.kill_resumed:
        chosen = random.Random(point.number)
        call = chosen.choice([call for call in CALLS if found.calls.get(call)])
        kill = Injection(call, "signal=KILL", chosen.randint(1, found.calls[call]))
        resumed_killed = kill_at(command.resumed(), kill, notes, paths).code == -signal.SIGKILL
        faults += runs.partial_faults(out, found.straight, found.old, notes)
    faults += runs.resumed_faults(command, out, found.straight, notes)
    shutil.rmtree(place)
    shutil.rmtree(notes)
    kind = point.kill.call if isinstance(point.kill, Injection) else point.kill.kind
    label = f"{scene.name}: killed at {point.kill}"
    return Verdict(label, kind, outcome.code, killed, state_left, resumed_killed, 0.0, faults)


def long_command(data: runs.Data, out: Path) -> Command:
    """A run of some seconds: several passes of several blocks, and tables of several groups."""
    settings = SETTINGS | {
        "lfmm2.genotypes.engine:BLOCK_BYTES": 1 << 20,
        "lfmm2.pipeline.result_writer:TEXT_ROWS": 4096,
        "lfmm2.pipeline.result_writer:GROUP_ROWS": 8192,
    }
    return runs.run_command(data, out, "--solver", "krylov", "--tol", "1e-6", settings=settings)


def survey_long(root: Path, data: runs.Data) -> tuple[Straight, float]:
    """What the long run leaves, and the least time that a few of them take: a busy moment lengthens one."""
    seconds = []
    for number in range(N_SURVEYS):
        place, notes = root / "work" / f"long-{number}", root / "notes" / f"long-{number}"
        place.mkdir()
        outcome = runs.run(long_command(data, place / "r"), notes)
        assert outcome.code == 0, f"an undisturbed run ended with {outcome.code}: {outcome.errors}"
        seconds.append(outcome.seconds)
    straight = Straight.of(place / "r")
    faults = runs.complete_faults(place / "r", straight, notes)
    assert not faults, f"an undisturbed run: {faults}"
    return straight, min(seconds)


def signal_fresh(command: Command, number: signal.Signals, delay: float) -> tuple[Outcome, float]:
    """Send a signal to a new interpreter, some time after it has printed its plan; seconds from there to its end."""
    process = subprocess.Popen(runs.driver(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(number)
    sent = time.monotonic()
    try:
        _, errors = process.communicate(timeout=runs.patience())
    except subprocess.TimeoutExpired:
        process.kill()
        return Outcome(None, delay, process.communicate()[1]), time.monotonic() - sent
    return Outcome(process.returncode, delay, errors), time.monotonic() - sent


def signal_forked(command: Command, number: signal.Signals, delay: float, notes: Path) -> tuple[Outcome, float]:
    """Send a signal to a forked child some time after its start."""
    child = runs.Child(command, notes)
    time.sleep(delay)
    os.kill(child.pid, number)
    sent = time.monotonic()
    return child.wait(), time.monotonic() - sent


def try_moment(moment: Moment) -> Verdict:
    """Signal the long run, judge how it ends and what it leaves, and resume it."""
    name = f"moment-{moment.number}"
    place, notes = moment.root / "work" / name, moment.root / "notes" / name
    place.mkdir()
    out, delay = place / "r", moment.share * moment.seconds
    command = long_command(moment.data, out)
    if moment.fresh:
        outcome, seconds_to_end = signal_fresh(command, moment.signal, delay)
    else:
        outcome, seconds_to_end = signal_forked(command, moment.signal, delay, notes)
    # Before the command has installed its handlers a signal ends it as any program.
    expected = {-moment.signal, runs.SIGNAL_CODES.get(moment.signal)}
    faults = []
    if outcome.code not in {0, *expected}:
        faults.append(f"exit code {outcome.code}: {outcome.errors.strip()[:300]}")
    if "Traceback" in outcome.errors:
        faults.append(f"traceback: {outcome.errors.strip()[:300]}")
    if outcome.code and seconds_to_end > moment.seconds_to_end:
        faults.append(f"ended {seconds_to_end:.2f} s after the signal")
    faults += runs.partial_faults(out, moment.straight, {}, notes)
    state_left = runs.state_folder(out).exists()
    resumed_killed = False
    if moment.kill_resumed:
        share = random.Random(moment.number).random()
        again, _ = signal_forked(command.resumed(), signal.SIGKILL, share * moment.seconds, notes)
        resumed_killed = again.code == -signal.SIGKILL
        faults += runs.partial_faults(out, moment.straight, {}, notes)
    faults += runs.resumed_faults(command, out, moment.straight, notes)
    shutil.rmtree(place)
    label = f"{moment.signal.name} after {delay:.3f} s{' of a fresh process' if moment.fresh else ''}"
    kind, ended = moment.signal.name, outcome.code in expected
    return Verdict(label, kind, outcome.code, ended, state_left, resumed_killed, seconds_to_end, faults)


def moments_of(root: Path, data: runs.Data, straight: Straight, seconds: float, full: bool) -> list[Moment]:
    """Random times, always the same; the signals in turn."""
    chosen = random.Random(0)
    n, seconds_to_end = (N_FULL_TIMES, SECONDS_TO_END) if full else (N_QUICK_TIMES, SECONDS_AMONG_OTHERS)
    return [
        Moment(
            root,
            data,
            straight,
            seconds,
            number,
            _SIGNALS[number % len(_SIGNALS)],
            chosen.random(),
            fresh=number % FRESH_EVERY == 1,
            kill_resumed=number % KILL_RESUMED_EVERY == 0,
            seconds_to_end=seconds_to_end,
        )
        for number in range(n)
    ]


def counts_of(verdicts: list[Verdict]) -> dict[str, object]:
    """The figures of all kills; runs that ended before their kill are counted apart."""
    killed = [verdict for verdict in verdicts if verdict.killed]
    return {
        "kills": len(killed),
        "ended_before": len(verdicts) - len(killed),
        "state_left": sum(verdict.state_left for verdict in killed),
        "resumed_and_killed_again": sum(verdict.resumed_killed for verdict in verdicts),
        "kinds": dict(sorted(Counter(verdict.kind for verdict in killed).items())),
        "exit_codes": dict(sorted(Counter(str(verdict.code) for verdict in verdicts).items())),
        "violations": sum(bool(verdict.faults) for verdict in verdicts),
    }


def run(full: bool) -> dict[str, object]:
    """Kill at every call and at many times, or at a fixed selection, and count what happened."""
    tracing.check_strace()
    began = time.monotonic()
    with runs.work_folder() as root:
        library = runs.compiled_short_calls(root)
        (root / "work" / "small").mkdir(parents=True)
        (root / "work" / "large").mkdir()
        small = runs.make_data(root / "work" / "small", N_SAMPLES, N_SNPS)
        large = runs.make_data(root / "work" / "large", 300, 60_000 if full else 20_000)
        scenes = [
            Scene("parquet", root, small, "parquet"),
            Scene("tsv, krylov", root, small, "tsv", more=("--solver", "krylov")),
            Scene("overwrite", root, small, "parquet", overwrite=True),
            Scene("every choice", root, small, "parquet", more=runs.EVERY_CHOICE),
        ]
        with runs.workers(library) as pool:
            points = []
            for scene, found in zip(scenes, pool.map(survey, scenes), strict=True):
                points += points_of(scene, found)
            straight, seconds = pool.submit(survey_long, root, large).result()
            moments = moments_of(root, large, straight, seconds, full)
            if not full:
                points = runs.fixed_selection(points, N_QUICK_POINTS)
            at_calls = list(pool.map(try_point, points))
            at_times = list(pool.map(try_moment, moments))
    counts: dict[str, object] = {
        "at_calls": counts_of(at_calls),
        "at_times": counts_of(at_times),
        "undisturbed_seconds": round(seconds, 2),
        "most_seconds_from_signal_to_end": round(max(v.seconds_to_end for v in at_times if v.killed), 3),
        "seconds": round(time.monotonic() - began, 1),
    }
    bad = [f"{v.label}: {'; '.join(v.faults)}" for v in (*at_calls, *at_times) if v.faults]
    if bad:
        raise AssertionError("\n".join([f"{len(bad)} kills went wrong", *bad, json.dumps(counts)]))
    assert any(verdict.killed for verdict in at_calls), "no run was killed at a call"
    return counts


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
