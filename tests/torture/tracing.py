"""strace on a run: which system calls concern our files, and faults or signals injected into one of them.

strace counts calls of a kind per thread, among those on the paths it is given. All its answers are read back from the
trace: a point counts only where ``(INJECTED)`` stands.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from torture.runs import SECONDS_LIMIT, Child, Command, Outcome, Unavailable, fresh

# a whole line, or the first half of one that another thread interrupted
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_PATH = re.compile(r'["<](/[^">]*)[">](\(deleted\))?')


@dataclass(frozen=True)
class Injection:
    """A fault, or a signal, in calls of one kind: ``error=EIO``, ``retval=0``, ``signal=KILL``."""

    call: str
    fault: str
    number: int
    persistent: bool = False

    @property
    def option(self) -> str:
        return f"inject={self.call}:{self.fault}:when={self.number}{'+' if self.persistent else ''}"

    def __str__(self) -> str:
        return f"{self.call} {self.number}{'+' if self.persistent else ''} {self.fault}"


def check_strace() -> None:
    """Raise Unavailable unless strace can attach to a child of this process and inject."""
    if shutil.which("strace") is None:
        raise Unavailable("strace is not installed")
    probe = ["strace", "-f", "-e", "trace=getcwd", "-e", "inject=getcwd:error=EIO", "pwd", "-P"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if "(INJECTED)" not in done.stderr:
        raise Unavailable(f"strace cannot inject here: {done.stderr.strip()[-200:] or 'no answer'}")


def trace(
    command: Command, notes: Path, options: list[str], paths: list[str], limit: float = SECONDS_LIMIT
) -> tuple[Outcome, list[str]]:
    """Run in a child under strace; gives the outcome and the lines of the trace."""
    child = Child(command, notes, held=True)
    lines = notes / "trace"
    lines.unlink(missing_ok=True)
    arguments = ["strace", "-f", "-y", "-s", "0", "-p", str(child.pid), "-o", str(lines), *options]
    for path in paths:
        arguments += ["-P", path]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr is not None
            first = tracer.stderr.readline()
            while first and "attached" not in first:
                first = tracer.stderr.readline()
            if not first:
                os.kill(child.pid, signal.SIGKILL)
                child.wait(1)
                raise Unavailable(f"strace could not attach: {first}")
            child.release()
            outcome = child.wait(limit)
            tracer.wait(limit)
        finally:
            tracer.kill()
    return outcome, lines.read_text(errors="replace").splitlines()


def inject(command: Command, notes: Path, injection: Injection, paths: list[str]) -> tuple[Outcome, int]:
    """Run with a fault; gives the outcome and how often it was injected."""
    options = ["-e", f"trace={injection.call}", "-e", injection.option]
    outcome, lines = trace(command, notes, options, paths)
    if "signal=" in injection.fault:
        # a killed call has no result that could be marked
        return outcome, sum(line.endswith("+++ killed by SIGKILL +++") for line in lines)
    return outcome, sum("(INJECTED)" in line for line in lines)


def inject_fresh(command: Command, notes: Path, injection: Injection, paths: list[str]) -> tuple[Outcome, int]:
    """As `inject`, in a new interpreter."""
    lines = notes / "trace"
    arguments = ["strace", "-f", "-y", "-s", "0", "-o", str(lines), "-e", f"trace={injection.call}"]
    arguments += ["-e", injection.option]
    for path in paths:
        arguments += ["-P", path]
    outcome = fresh(command, before=arguments)
    return outcome, lines.read_text(errors="replace").count("(INJECTED)")


def our_paths(command: Command, notes: Path, folders: list[Path]) -> list[str]:
    """Names below the folders, and the folders, that the system calls of an undisturbed run concern."""
    _, lines = trace(command, notes, ["-e", "trace=%file,%desc"], [])
    found = set()
    for line in lines:
        for path, deleted in _PATH.findall(line):
            if any(path == str(folder) or path.startswith(f"{folder}/") for folder in folders):
                found.add(path + (" (deleted)" if deleted else ""))
    return sorted(found)


def calls_on(command: Command, notes: Path, paths: list[str]) -> Counter[str]:
    """Calls of each kind on these paths by an undisturbed run: of the thread that makes most of them."""
    outcome, lines = trace(command, notes, ["-e", "trace=%file,%desc"], paths)
    if outcome.code != 0:
        raise AssertionError(f"an undisturbed run ended with {outcome.code}: {outcome.errors}")
    by_thread: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if match := _CALL.match(line):
            by_thread[match[1], match[2]] += 1
    most: Counter[str] = Counter()
    for (_, call), n in by_thread.items():
        most[call] = max(most[call], n)
    return most
