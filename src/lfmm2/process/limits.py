"""Limits of the machine: how much memory a run may take."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

from lfmm2._words import with_spaces
from lfmm2.errors import UsageError, WriteError
from lfmm2.process import control_groups
from lfmm2.process.control_groups import PROC

# Bytes of a unit of memory by its first letter.
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def available_memory() -> int:
    """Return the bytes that this process may still take."""
    return memory_and_limit()[0]


def memory_and_limit() -> tuple[int, str]:
    """Return the bytes that this process may still take, and what sets that limit, in words.

    It is the least of the free memory, of what control groups leave, of ``ulimit -v`` and of what the batch system
    Slurm has granted. 8 GiB are assumed where the system does not tell.
    """
    limits = [(8 << 30, "assumed, because the system does not tell")]
    status = _kibibytes(PROC / "status")
    if free := _kibibytes(PROC.parent / "meminfo").get("MemAvailable"):
        limits = [(free, "free on this machine")]
    if (group := control_groups.memory_limit()) is not None:
        limits.append((int(group.left), f"left by {group.file}"))
    if (most := soft_limit("RLIMIT_AS")) is not None:
        limits.append((max(most - status.get("VmSize", 0), 0), "left by ulimit -v"))
    if (granted := _granted_by_slurm()) is not None:
        limits.append((max(granted - status.get("VmRSS", 0), 0), "left by the memory of the Slurm job"))
    return min(limits)


def _granted_by_slurm() -> int | None:
    """Return the bytes of memory that Slurm has granted on this machine; None outside of a job, or without a limit."""
    megabytes, each, cpus = map(environment_number, ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"))
    if megabytes is None and each is not None and cpus is not None:
        megabytes = each * cpus
    return megabytes << 20 if megabytes else None


def environment_number(name: str) -> int | None:
    """Return the whole number of an environment variable; None if there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def soft_limit(name: str) -> int | None:
    """Return the limit of the system on this process that `resource` calls by this name; None without a limit."""
    try:
        import resource

        limit = resource.getrlimit(getattr(resource, name))[0]
    except (ImportError, AttributeError):  # Windows has no such limits, other systems have not all of them.
        return None
    return None if limit == resource.RLIM_INFINITY else limit


# Files that a run opens beside those that it counts: inputs, an output, locks, and libraries that it loads.
# With a smaller number a run near the limit may fail, with a larger one it refuses limits that are enough.
_OTHER_FILES = 48


@contextmanager
def open_files_allowed(n_files: int) -> Iterator[None]:
    """Raise the limit of open files of this process, while the block runs, so far that `n_files` more can be opened.

    Raises
    ------
    WriteError
        If the system does not allow so many.
    """
    try:
        import resource
    except ImportError:  # Windows has another limit, which is far away.
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count_open_files() + n_files + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        yield
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (ValueError, OSError) as error:
        allowed = with_spaces(hard if needed > hard else soft)
        fact = f"{with_spaces(needed)} files must be open at once, some for each variable, but the system allows "
        fact += f"{allowed} (ulimit -n)"
        raise WriteError(f"{fact}; test fewer variables at a time with --variables, or raise the limit") from error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def count_open_files() -> int:
    """Return the number of files that are open in this process, or an estimate where the system does not list them."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 32


def _kibibytes(path: Path) -> dict[str, int]:
    """Return the sizes of a file of Linux that gives them in kB, in bytes by name; none if it cannot be read."""
    try:
        rows = (line.split() for line in path.read_text().splitlines())
        return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows if row[2:] == ["kB"]}
    except OSError:
        return {}


def parse_memory(memory: int | str | None) -> int:
    """Return the bytes of a memory budget: a number, or text such as "2GB" or "512MiB"; None is half of what is free.

    kB, MB, GB and TB mean the same as KiB, MiB, GiB and TiB. Raises UsageError if there is no positive number of bytes.
    """
    if memory is None:
        return available_memory() // 2
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(?:i?b)?\s*", memory.lower())
        if match is None:
            raise UsageError(f"memory is {memory!r}; give bytes, or a number with a unit such as 2GB or 512MiB")
        memory = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(memory, bool) or not isinstance(memory, Real) or not 1 <= memory < 2**63:
        raise UsageError(f"memory is {memory!r}; give a positive number of bytes")
    return int(memory)


def release_freed_memory() -> None:
    """Give memory that was freed back to the system, which a later stage would else hold beside its own.

    glibc keeps freed arrays of up to 32 MiB in its heap, and cannot use them again where smaller pieces lie between.
    The plan counts the memory of each stage for itself. Without glibc nothing is done.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
