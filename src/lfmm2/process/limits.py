"""Limits of the machine: how much memory a run may take."""

from __future__ import annotations

import re
from numbers import Real
from pathlib import Path

from lfmm2.errors import UsageError

# Bytes of a unit of memory by its first letter.
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def available_memory() -> int:
    """Return the bytes that this process may still take: the free memory, within the limit of its control group.

    8 GiB are assumed where the system does not tell.
    """
    free = 8 << 30
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) << 10
    limit, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0].isdigit() and used[0].isdigit():
        free = min(free, max(int(limit[0]) - int(used[0]), 0))
    return free


def _lines(path: str) -> list[str]:
    """Return the lines of a file; none if it cannot be read."""
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


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
