"""Limits that a container, a batch system or systemd sets through control groups of Linux, versions 1 and 2.

A process is in a group, the group is in others, and the limits of all of them count. Files are read only where the
system has them; elsewhere there are no limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Folder in which Linux describes this process. Tests put another in its place.
PROC = Path("/proc/self")


@dataclass(frozen=True)
class Limit:
    """The tightest limit of the groups of this process on one resource.

    Attributes
    ----------
    left : int or float
        What is left of it: bytes of memory, processors, or processes and threads.
    file : Path
        File of the group that sets the limit.
    """

    left: float
    file: Path


def memory_limit() -> Limit | None:
    """Return the group that leaves the fewest bytes of memory; None without a limit.

    Pages of files count as left, because the kernel takes them back before it refuses memory.
    """
    limits = []
    for folder, version in _groups("memory"):
        names = ("memory.max", "memory.current", "") if version == 2 else _MEMORY_OF_VERSION_1
        most, used = _number(folder / names[0]), _number(folder / names[1])
        if most is not None and used is not None:
            cached = sum(_table(folder / "memory.stat").get(f"{names[2]}{kind}_file", 0) for kind in _LISTS)
            limits.append(Limit(max(most - max(used - cached, 0), 0), folder / names[0]))
    return _tightest(limits)


# Names of the files of a group of version 1, and the beginning of its sums in memory.stat.
_MEMORY_OF_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
# Lists of the pages of files, as memory.stat calls them.
_LISTS = ("active", "inactive")


def cpu_limit() -> Limit | None:
    """Return the group that allows the fewest processors, as a quota of time in each period; None without a limit."""
    limits = []
    for folder, version in _groups("cpu"):
        if version == 2:
            path = folder / "cpu.max"
            quota, _, period = (_lines(path) or ["max"])[0].partition(" ")
        else:
            path = folder / "cpu.cfs_quota_us"
            quota, period = ((_lines(file) or [""])[0] for file in (path, folder / "cpu.cfs_period_us"))
        if quota.isdigit() and period.strip().isdigit():
            limits.append(Limit(int(quota) / max(int(period), 1), path))
    return _tightest(limits)


def thread_limit() -> Limit | None:
    """Return the group that allows the fewest further processes and threads; None without a limit."""
    limits = []
    for folder, _ in _groups("pids"):
        most, used = _number(folder / "pids.max"), _number(folder / "pids.current")
        if most is not None and used is not None:
            limits.append(Limit(max(most - used, 0), folder / "pids.max"))
    return _tightest(limits)


def _tightest(limits: list[Limit]) -> Limit | None:
    """Return the limit that leaves least; None if there is none."""
    return min(limits, key=lambda limit: limit.left, default=None)


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the groups that limit this process, the innermost first, each with its version."""
    mounts = list(_mounts())
    for line in _lines(PROC / "cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        version = 1 if controllers else 2
        if version == 1 and controller not in controllers.split(","):
            continue
        for mounted, root, folder, options in mounts:
            if mounted == version and (version == 2 or controller in options):
                # In a container the mount may show a part of the tree only, and the path may lie outside of it.
                below = PurePosixPath(path)
                inner = below.relative_to(root).parts if below.is_relative_to(root) and ".." not in below.parts else ()
                for depth in range(len(inner), -1, -1):
                    yield folder.joinpath(*inner[:depth]), version


def _mounts() -> Iterator[tuple[int, str, Path, list[str]]]:
    """Yield version, root in the tree of groups, folder and options of each mounted tree of groups."""
    for line in _lines(PROC / "mountinfo"):
        first, _, second = line.partition(" - ")
        kind, _, options = [*second.split(" ", 2), "", ""][:3]
        if kind in ("cgroup", "cgroup2"):
            root, folder = (part.replace("\\040", " ") for part in first.split(" ")[3:5])
            yield 2 if kind == "cgroup2" else 1, root, Path(folder), options.split(",")


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; none if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is no such file, or if it says ``max``."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file that has a name and a number in each line."""
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
