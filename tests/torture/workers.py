"""Workers: runs that processes share, while a worker is killed or stopped, or the run itself is killed.

Each run is a new interpreter in a session of its own, so that all processes that it has started are known: none may be
left when it has ended. Its results, or those of --resume after it was killed, must be those of one process, byte for
byte.

    PYTHONPATH=tests python -m torture.workers
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
from dataclasses import dataclass
from pathlib import Path

from torture import executors, runs
from torture.runs import Command, Straight

N_SAMPLES, N_SNPS = 300, 200_000
N_WORKERS = 2
# How often each is done in the full tier and in the quick one.
FULL = {"worker killed": 200, "worker stopped": 50, "run killed": 50}
QUICK = {"worker killed": 1, "run killed": 1}
# Many tasks, and workers that are given up soon; those of the run of one process are not changed by these.
SETTINGS = {
    "lfmm2.distributed.distributed_matrix:LEAST_GENOTYPES": 1,
    "lfmm2.distributed.crew:LEAST_SECONDS": 2.0,
    "lfmm2.distributed.crew:SILENT_SECONDS": 3.0,
    "lfmm2.pipeline.state_folder:KEEP_AFTER_SECONDS": 0,
}
# Seconds in which processes must be gone whose run was killed.
SECONDS_TO_VANISH = 15.0


@dataclass(frozen=True)
class Moment:
    """What is done to a run, after this share of the time that an undisturbed run takes from its plan on."""

    root: Path
    data: runs.Data
    straight: Straight
    seconds: float
    kind: str
    number: int
    share: float


@dataclass(frozen=True)
class Verdict:
    label: str
    kind: str
    code: int | None
    happened: bool
    seconds: float
    faults: list[str]


def shared_command(data: runs.Data, out: Path, *more: str) -> Command:
    """A run of some seconds with many tasks."""
    return runs.run_command(data, out, "--solver", "krylov", "--tol", "1e-6", *more, settings=SETTINGS)


def started(command: Command) -> subprocess.Popen[str]:
    """The run in a session of its own, after it has printed the first line of its plan."""
    process = subprocess.Popen(
        runs.driver(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int | None, str]:
    """Its exit code and errors; None if it hung and was killed."""
    try:
        return process.wait(runs.patience()), process.communicate()[1]
    except subprocess.TimeoutExpired:
        for pid in members(process.pid):
            kill(pid, signal.SIGKILL)
        return None, process.communicate()[1]


def kill(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False if the process has gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (status := status_of(int(folder.name))) is not None:
            state, of_session = status
            if of_session == session and state not in "ZX":
                found.append(int(folder.name))
    return sorted(found)


def status_of(pid: int) -> tuple[str, int] | None:
    """State and session of a process; None if it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[3])


def workers_of(session: int) -> list[int]:
    """The processes of a session that do tasks: those that were spawned, but for the tracker of resources."""
    found = []
    for pid in members(session):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            found.append(pid)
    return found


def vanished(session: int) -> bool:
    """Whether all processes of a session end within `SECONDS_TO_VANISH`."""
    deadline = time.monotonic() + runs.patience(SECONDS_TO_VANISH)
    while time.monotonic() < deadline:
        if not members(session):
            return True
        time.sleep(0.02)
    return False


def signal_worker(process: subprocess.Popen[str], number: signal.Signals, chosen: random.Random) -> bool:
    """Signal one of the workers, once there are some; False if the run ends before."""
    while process.poll() is None:
        if workers := workers_of(process.pid):
            return kill(chosen.choice(workers), number)
        time.sleep(0.01)
    return False


def try_moment(moment: Moment) -> Verdict:
    """Disturb a run, judge how it ends, what it leaves, and whether its processes are gone."""
    place = moment.root / "work" / f"{moment.kind.replace(' ', '-')}-{moment.number}"
    notes = moment.root / "notes" / place.name
    place.mkdir()
    out, chosen = place / "r", random.Random(moment.number)
    command = shared_command(moment.data, out, "--workers", str(N_WORKERS))
    began = time.monotonic()
    process = started(command)
    time.sleep(moment.share * moment.seconds)
    faults: list[str] = []
    if moment.kind == "run killed":
        happened = process.poll() is None and kill(process.pid, signal.SIGKILL)
        code, errors = ended(process)
    else:
        number = signal.SIGKILL if moment.kind == "worker killed" else signal.SIGSTOP
        happened = signal_worker(process, number, chosen)
        code, errors = ended(process)
        if code != 0:
            faults.append("hung" if code is None else f"exit code {code}: {errors.strip()[:300]}")
    seconds = time.monotonic() - began
    if "Traceback" in errors:
        faults.append(f"traceback: {errors.strip()[:300]}")
    if not vanished(process.pid):
        faults.append(f"processes are left: {members(process.pid)}")
        for pid in members(process.pid):
            kill(pid, signal.SIGKILL)
    if code == 0:
        faults += runs.complete_faults(out, moment.straight, notes)
    elif code is not None:
        faults += runs.partial_faults(out, moment.straight, {}, notes)
        again = started(command.resumed())
        if (second := ended(again)[0]) != 0:
            faults.append(f"--resume ended with {second}")
        faults += [f"after --resume: {fault}" for fault in runs.complete_faults(out, moment.straight, notes)]
    shutil.rmtree(place)
    return Verdict(f"{moment.kind} at {moment.share:.3f}", moment.kind, code, happened, seconds, faults)


def survey(root: Path, data: runs.Data) -> tuple[Straight, float]:
    """What a run of one process leaves, and the seconds of an undisturbed one with workers from its plan on."""
    place, notes = root / "work" / "alone", root / "notes" / "alone"
    place.mkdir()
    outcome = runs.fresh(shared_command(data, place / "r"))
    assert outcome.code == 0, f"a run of one process ended with {outcome.code}: {outcome.errors}"
    straight = Straight.of(place / "r")
    process = started(shared_command(data, place / "s", "--workers", str(N_WORKERS)))
    began = time.monotonic()
    code, errors = ended(process)
    seconds = time.monotonic() - began
    assert code == 0, f"an undisturbed run ended with {code}: {errors}"
    faults = runs.complete_faults(place / "s", straight, notes)
    assert not faults, f"an undisturbed run: {faults}"
    return straight, seconds


def counts_of(verdicts: list[Verdict]) -> dict[str, object]:
    """The figures of all runs; those that had ended before they were disturbed are counted apart."""
    return {
        "runs": len(verdicts),
        "disturbed": sum(verdict.happened for verdict in verdicts),
        "kinds": dict(sorted(Counter(verdict.kind for verdict in verdicts if verdict.happened).items())),
        "exit_codes": dict(sorted(Counter(str(verdict.code) for verdict in verdicts).items())),
        "most_seconds": round(max(verdict.seconds for verdict in verdicts), 1),
        "violations": sum(bool(verdict.faults) for verdict in verdicts),
    }


def run(full: bool) -> dict[str, object]:
    """Disturb runs of each kind, and count what happened."""
    if not Path("/proc/self/stat").exists():
        raise runs.Unavailable("processes are found in /proc, which is not there")
    began = time.monotonic()
    chosen = random.Random(0)
    with runs.work_folder() as root:
        (root / "work").mkdir()
        data = runs.make_data(root / "work", N_SAMPLES, N_SNPS if full else N_SNPS // 4)
        with runs.workers() as pool:
            straight, seconds = pool.submit(survey, root, data).result()
            moments = [
                Moment(root, data, straight, seconds, kind, number, chosen.random())
                for kind, n in (FULL if full else QUICK).items()
                for number in range(n)
            ]
            verdicts = list(pool.map(try_moment, moments))
        counts = counts_of(verdicts) | {"undisturbed_seconds": round(seconds, 2)}
        bad = [f"{v.label}: {'; '.join(v.faults)}" for v in verdicts if v.faults]
        if full:
            counts["cases with the bytes of one process, by executor"] = executors.run(full)
    counts["seconds"] = round(time.monotonic() - began, 1)
    if bad:
        raise AssertionError("\n".join([f"{len(bad)} runs went wrong", *bad, json.dumps(counts)]))
    assert any(verdict.happened for verdict in verdicts), "no run was disturbed"
    return counts


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
