"""Small runs of the command line in child processes, and the verdict on the files they leave.

Importing the libraries takes most of the time of a small run. A worker process imports them once and forks a child for
each run; the child sets what the run needs, waits to be released where a tracer must attach first, and calls
`lfmm2.cli` as the installed command does. `fresh` runs a new interpreter instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

#: Seconds after which a run on an idle machine hangs; see `patience`.
SECONDS_LIMIT = 60.0
N_WORKERS = 2
#: Exit codes of the documentation that a fault may end with; 1 is an internal error, 2 and 5 blame the user.
FAULT_CODES = (3, 4, 6, 7, 8, 9)
SIGNAL_CODES = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
SHORT_CALLS = Path(__file__).with_name("short_calls.c")
# as in short_calls.c
DATA_FAULTS = {"none": 0, "short read": 1, "zero read": 2, "EIO of read": 3, "short write": 4, "torn write": 5}


class Unavailable(Exception):
    """A tool or a permission that the topic needs is absent; the message says which."""


@dataclass(frozen=True)
class Data:
    """A fileset and its variables."""

    bed: Path
    env: Path


def make_data(folder: Path, n_samples: int, n_snps: int) -> Data:
    """Simulate a small data set of two variables."""
    from lfmm2.simulation import simulate

    data = simulate(folder / "data", n_samples, n_snps, 2, n_populations=3, n_causal=4, missing_rate=0.02, seed=1)
    return Data(data.bed, data.env)


@dataclass(frozen=True)
class DataFault:
    """A fault of the read or write of this number, or from there on, on files below `folder`; see short_calls.c."""

    kind: str
    folder: str
    number: int
    persistent: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.number}{'+' if self.persistent else ''}"


@dataclass(frozen=True)
class Command:
    """One run: arguments after ``lfmm2``, and what differs from the installed command."""

    arguments: tuple[str, ...]
    # values of module attributes, by "module:name"
    settings: Mapping[str, Any] = field(default_factory=dict)
    file_size_limit: int | None = None
    data_fault: DataFault | None = None

    def resumed(self) -> Command:
        """The same run with --resume, and undisturbed."""
        return Command((*self.arguments, "--resume"), self.settings)


# each option of a run that makes another pass, other rows of statistics or other files
EVERY_CHOICE = (
    "--sweep", "1:4", "--maf", "0.02", "--est-thin", "r2=0.2,window=50", "--impute", "factors", "--calibrate",
    "empirical-null",
)  # fmt: skip


def run_command(data: Data, out: Path, *more: str, settings: Mapping[str, Any] | None = None) -> Command:
    """``lfmm2 run`` with two factors and one thread."""
    inputs = ("run", "--bed", str(data.bed), "--env", str(data.env), "-K", "2", "--threads", "1")
    return Command((*inputs, "--out", str(out), *more), settings or {})


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `code` is negative after a signal, None if it hung and was killed."""

    code: int | None
    seconds: float
    errors: str
    # reads, writes and faults of `Command.data_fault`, unless killed
    calls: tuple[int, int, int] = (0, 0, 0)


class Child:
    """A run in a forked child; `held` until `release`."""

    def __init__(self, command: Command, notes: Path, held: bool = False) -> None:
        notes.mkdir(parents=True, exist_ok=True)
        self._notes = notes
        read_end, self._write_end = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._write_end)
            _become(command, notes, read_end)
        os.close(read_end)
        self.released = time.monotonic()
        if not held:
            self.release()

    def release(self) -> None:
        """Let the run begin."""
        self.released = time.monotonic()
        os.write(self._write_end, b"g")
        os.close(self._write_end)

    def wait(self, limit: float = SECONDS_LIMIT) -> Outcome:
        """Wait for its end, and kill it after `patience(limit)`."""
        status = wait_for(self.pid, limit)
        seconds = time.monotonic() - self.released
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        code = None if status is None else os.waitstatus_to_exitcode(status)
        errors = (self._notes / "stderr").read_text(errors="replace") if (self._notes / "stderr").exists() else ""
        counts = (self._notes / "calls").read_text().split() if (self._notes / "calls").exists() else ["0"] * 3
        n_reads, n_writes, n_faults = map(int, counts)
        return Outcome(code, seconds, errors, (n_reads, n_writes, n_faults))


def patience(seconds: float = SECONDS_LIMIT) -> float:
    """So many seconds, and as many times more as processes wait for each processor: a starved process does not hang."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(pid: int, limit: float) -> int | None:
    """The status of a child process, None if it has not ended in time."""
    began = time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() - began > patience(limit):
            return None
        time.sleep(0.001)


def _become(command: Command, notes: Path, read_end: int) -> NoReturn:
    """Be the command, in a forked child."""
    code: Any = 1
    shim = None
    try:
        for number in SIGNAL_CODES:
            signal.signal(number, signal.SIG_DFL)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(notes / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        sys.argv = ["lfmm2", *command.arguments]
        for setting, value in command.settings.items():
            module, name = setting.split(":")
            getattr(importlib.import_module(module), name)  # must be there
            setattr(importlib.import_module(module), name, value)
        if command.file_size_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (command.file_size_limit, command.file_size_limit))
        if command.data_fault is not None:
            shim = _arm(command.data_fault)
        os.read(read_end, 1)
        from lfmm2.cli.program import main

        main(list(command.arguments))
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            if shim is not None:
                counts = (shim.torture_reads(), shim.torture_writes(), shim.torture_faults())
                (notes / "calls").write_text(" ".join(map(str, counts)))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _arm(fault: DataFault) -> ctypes.CDLL:
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    last = 2**62 if fault.persistent else fault.number
    kind = DATA_FAULTS[fault.kind]
    shim.torture_arm(os.fsencode(fault.folder), kind, ctypes.c_long(fault.number), ctypes.c_long(last))
    return shim


def run(command: Command, notes: Path) -> Outcome:
    """Run to the end in a forked child."""
    return Child(command, notes).wait()


def driver(command: Command) -> list[str]:
    """The run as arguments of a new interpreter."""
    lines = ["import importlib, sys"]
    for setting, value in command.settings.items():
        module, name = setting.split(":")
        lines.append(f"setattr(importlib.import_module({module!r}), {name!r}, {value!r})")
    lines += ["from lfmm2.cli import main", "main()"]
    return [sys.executable, "-c", "\n".join(lines), *command.arguments]


def fresh(command: Command, before: Iterable[str] = (), stdout: Any = subprocess.DEVNULL) -> Outcome:
    """Run to the end in a new interpreter; `before` is a command that takes a command."""
    began = time.monotonic()
    arguments = [*before, *driver(command)]
    process = subprocess.Popen(arguments, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        _, errors = process.communicate(timeout=patience())
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        code = None
    return Outcome(code, time.monotonic() - began, errors)


@contextlib.contextmanager
def workers(preload: Path | None = None) -> Iterator[ProcessPoolExecutor]:
    """Processes with everything imported, in which `Child` forks quickly; `preload` is a library."""
    changed = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if preload is not None:
        changed["LD_PRELOAD"] = str(preload)
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(N_WORKERS, context, _import_command) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _import_command() -> None:
    for name in ("lfmm2.cli.program", "lfmm2.pipeline.run", "lfmm2", "pyarrow.parquet"):
        importlib.import_module(name)


def compiled_short_calls(folder: Path) -> Path:
    """Compile short_calls.c; Unavailable without a compiler or beside a system that it does not know."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None or sys.platform != "linux" or sys.maxsize < 2**32:
        raise Unavailable("short reads and writes need 64-bit Linux and a C compiler")
    library = folder / "short_calls.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SHORT_CALLS)], check=True)
    return library


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for one topic, removed at the end; its name has no symbolic link, as system calls are traced by name."""
    with tempfile.TemporaryDirectory(prefix="lfmm2-torture-") as folder:
        yield Path(folder).resolve()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finals(out: Path) -> dict[str, Path]:
    """Files under final names, by what follows the prefix."""
    begin = out.name + "."
    files = [path for path in out.parent.iterdir() if path.name.startswith(begin) and path.is_file()]
    return {path.name.removeprefix(begin): path for path in files if path.suffix not in (".part", ".spool")}


def state_folder(out: Path) -> Path:
    return out.with_name(out.name + ".state")


@dataclass(frozen=True)
class Straight:
    """What an undisturbed run leaves: sha256 of tables and factors. Log and record hold times, too."""

    digests: dict[str, str]

    @staticmethod
    def of(out: Path) -> Straight:
        return Straight({e: sha256(path) for e, path in finals(out).items() if e not in ("lfmm2.log", "lfmm2.json")})

    @property
    def endings(self) -> set[str]:
        return {*self.digests, "lfmm2.log", "lfmm2.json"}


def complete_faults(out: Path, straight: Straight, notes: Path, state_may_stay: bool = False) -> list[str]:
    """What is wrong with results that should be complete: [] if nothing is.

    `state_may_stay` where the fault may have been that of its removal.
    """
    files = finals(out)
    faults = [f"{ending} is absent" for ending in sorted(straight.endings - set(files))]
    faults += [f"{ending} is left over" for ending in sorted(set(files) - straight.endings)]
    for ending, digest in straight.digests.items():
        if ending in files and sha256(files[ending]) != digest:
            faults.append(f"{ending} has wrong content")
    if state_folder(out).exists() and not state_may_stay:
        faults.append("the state folder is left over")
    if not faults:
        verified = run(Command(("verify", str(out))), notes)
        if verified.code != 0:
            faults.append(f"verify ends with {verified.code}: {verified.errors.strip()[:300]}")
    return faults


def partial_faults(out: Path, straight: Straight, old: Mapping[str, str], notes: Path) -> list[str]:
    """What is wrong with the final names after a failure; each file may be absent, old or right.

    A new record says that all files are complete, so then they must be.
    """
    faults = []
    files = finals(out)
    for ending, path in files.items():
        digest = sha256(path)
        if digest == old.get(ending) or digest == straight.digests.get(ending):
            continue
        if ending in straight.digests or ending not in straight.endings:
            faults.append(f"{ending} is corrupt")
        elif ending == "lfmm2.log":
            # its last lines are those of the passes, of which a resumed run has fewer
            text = path.read_bytes()
            if b"\nGIF of env2:" not in text or not text.endswith(b"\n"):
                faults.append("log is corrupt")
        else:
            verified = run(Command(("verify", str(out))), notes)
            if verified.code != 0:
                faults.append(
                    f"the record is new, but verify ends with {verified.code}: {verified.errors.strip()[:300]}"
                )
    return faults


def outcome_faults(outcome: Outcome) -> list[str]:
    """What is wrong with the way a run ended after a fault, whatever it left."""
    faults = []
    if outcome.code is None:
        faults.append("hung")
    elif outcome.code not in (0, *FAULT_CODES):
        faults.append(f"exit code {outcome.code}: {outcome.errors.strip()[:300]}")
    elif outcome.code and not re.search(r"^Error: .", outcome.errors, re.MULTILINE):
        faults.append(f"exit code {outcome.code} without a message")
    if "Traceback" in outcome.errors:
        faults.append(f"traceback: {outcome.errors.strip()[:300]}")
    return faults


def judge(outcome: Outcome, out: Path, straight: Straight, old: Mapping[str, str], notes: Path) -> list[str]:
    """The verdict on a run that met a fault."""
    ended = outcome_faults(outcome)
    if outcome.code == 0:
        return ended + complete_faults(out, straight, notes, state_may_stay=True)
    return ended + partial_faults(out, straight, old, notes)


def resumed_faults(command: Command, out: Path, straight: Straight, notes: Path) -> list[str]:
    """Resume without disturbance; what is wrong with the results."""
    again = run(command.resumed(), notes)
    if again.code != 0:
        return [f"--resume ended with {again.code}: {again.errors.strip()[:300]}"]
    return [f"after --resume: {fault}" for fault in complete_faults(out, straight, notes)]


def fixed_selection(points: list[Any], n: int) -> list[Any]:
    """`n` of the points, always the same, in order."""
    chosen = sorted(random.Random(0).sample(range(len(points)), min(n, len(points))))
    return [points[i] for i in chosen]
