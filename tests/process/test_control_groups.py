"""Limits of memory, processors and threads by control groups, batch systems and ulimit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lfmm2.errors import UsageError
from lfmm2.process import control_groups, limits, threads
from lfmm2.process.control_groups import cpu_limit, memory_limit, thread_limit
from lfmm2.process.limits import memory_and_limit, parse_memory
from lfmm2.process.machine import describe_machine
from lfmm2.process.threads import available_cpus, check_threads, resolve_threads

Machine = Callable[..., Path]
BATCH = ("SLURM_CPUS_PER_TASK", "NSLOTS", "NCPUS", "LSB_DJOB_NUMPROC", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make a machine of 64 processors and 100 MiB of free memory, with mounted groups and files of them."""
    for name in BATCH:
        monkeypatch.delenv(name, raising=False)

    def make(cgroup: str, mounts: dict[str, tuple[str, str]], files: dict[str, str]) -> Path:
        proc = tmp_path / "proc" / "self"
        proc.mkdir(parents=True)
        (proc.parent / "meminfo").write_text("MemTotal: 204800 kB\nMemAvailable:   102400 kB\n")
        (proc / "status").write_text("Name:\tpython\nVmSize:\t  2048 kB\nVmRSS:\t 1024 kB\nThreads:\t1\n")
        (proc / "cgroup").write_text(cgroup)
        lines = [
            f"{i} 1 0:{i} {root} {tmp_path / folder} rw,relatime shared:1 - {kind}\n"
            for i, (folder, (root, kind)) in enumerate(mounts.items())
        ]
        (proc / "mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/sda rw\n" + "".join(lines))
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for module in (control_groups, limits):
            monkeypatch.setattr(module, "PROC", proc)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
        monkeypatch.setattr(limits, "soft_limit", lambda name: None)
        return tmp_path

    return make


V2 = {"fs": ("/", "cgroup2 cgroup2 rw,nsdelegate")}


def test_limits_of_version_2_are_those_of_the_tightest_group(machine: Machine) -> None:
    folder = machine(
        "0::/slurm/job/task\n", V2,
        {
            "fs/slurm/memory.max": "max\n",
            "fs/slurm/memory.current": "5\n",
            "fs/slurm/job/memory.max": "41943040\n",
            "fs/slurm/job/memory.current": "20971520\n",
            "fs/slurm/job/memory.stat": "anon 10485760\nfile 10485760\nactive_file 4194304\ninactive_file 6291456\n",
            "fs/slurm/job/task/memory.max": "max\n",
            "fs/slurm/job/task/memory.current": "4096\n",
            "fs/slurm/cpu.max": "350000 100000\n",
            "fs/slurm/job/cpu.max": "max 100000\n",
            "fs/slurm/job/task/pids.max": "100\n",
            "fs/slurm/job/task/pids.current": "97\n",
        },
    )  # fmt: skip
    # pages of files are given back before memory is refused
    assert memory_and_limit() == (30 << 20, f"left by {folder}/fs/slurm/job/memory.max")
    assert parse_memory(None) == 15 << 20
    assert available_cpus() == 4  # 3.5, rounded up
    limit = thread_limit()
    assert limit is not None
    assert limit.left == 3
    assert f"4 available (by the quota in {folder}/fs/slurm/cpu.max)" in describe_machine()
    assert f"0.0 GiB left by {folder}/fs/slurm/job/memory.max" in describe_machine()


def test_limits_of_version_1_are_seen(machine: Machine) -> None:
    machine(
        "5:memory:/outer/inner\n3:cpu,cpuacct:/outer\n2:pids:/\n1:name=systemd:/outer\n0::/\n",
        {"m": ("/", "cgroup cgroup rw,memory"), "c": ("/", "cgroup cgroup rw,cpu,cpuacct"), "u": V2["fs"]},
        {
            "m/outer/memory.limit_in_bytes": f"{50 << 20}\n",
            "m/outer/memory.usage_in_bytes": f"{10 << 20}\n",
            "m/outer/memory.stat": f"inactive_file 1\ntotal_inactive_file {5 << 20}\ntotal_active_file 0\n",
            "m/outer/inner/memory.limit_in_bytes": "9223372036854771712\n",
            "m/outer/inner/memory.usage_in_bytes": "1\n",
            "c/outer/cpu.cfs_quota_us": "150000\n",
            "c/outer/cpu.cfs_period_us": "100000\n",
            "c/cpu.cfs_quota_us": "-1\n",
            "c/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_and_limit()[0] == 45 << 20
    assert available_cpus() == 2
    assert thread_limit() is None


@pytest.mark.parametrize("path", ["/docker/abc", "/elsewhere", "/../outside", "/"])
def test_limit_at_the_root_of_a_container_is_seen(machine: Machine, path: str) -> None:
    # the mount shows one group of the machine as its root
    mounts = {"fs": ("/docker/abc", "cgroup2 cgroup2 rw")}
    machine(f"0::{path}\n", mounts, {"fs/memory.max": f"{8 << 20}\n", "fs/memory.current": f"{2 << 20}\n"})
    assert memory_and_limit()[0] == 6 << 20


def test_a_machine_without_groups_has_no_limits(machine: Machine) -> None:
    machine("", {}, {})
    assert memory_limit() is cpu_limit() is thread_limit() is None
    assert memory_and_limit() == (100 << 20, "free on this machine")
    assert available_cpus() == 64


def test_used_up_group_leaves_nothing(machine: Machine) -> None:
    machine("0::/\n", V2, {"fs/memory.max": "10\n", "fs/memory.current": "11\n", "fs/cpu.max": "1000 100000\n"})
    assert memory_and_limit()[0] == 0
    assert available_cpus() == 1


def test_batch_systems_are_heeded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("", {}, {})
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setenv("NSLOTS", "8")
    monkeypatch.setenv("NCPUS", "no number")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "50")
    assert available_cpus() == 3
    assert resolve_threads(16) in (1, 16)  # what a user asks for is taken
    assert memory_and_limit() == (49 << 20, "left by the memory of the Slurm job")
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "10")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert memory_and_limit()[0] == 39 << 20


def test_limit_of_the_address_space_is_heeded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("", {}, {})
    monkeypatch.setattr(limits, "soft_limit", {"RLIMIT_AS": 10 << 20}.get)
    assert memory_and_limit() == (8 << 20, "left by ulimit -v")


@pytest.mark.parametrize(("most", "remedy"), [(9, "use --threads 5, or end"), (3, "raise the limit, or end")])
def test_threads_that_cannot_start_are_refused_with_the_number_that_can(
    monkeypatch: pytest.MonkeyPatch, most: int, remedy: str
) -> None:
    check_threads(4)
    started = []

    class Few(threads.Thread):
        def start(self) -> None:
            if len(started) == most:
                raise RuntimeError("can't start new thread")
            started.append(self)
            super().start()

    monkeypatch.setattr(threads, "Thread", Few)
    monkeypatch.setattr(threads, "thread_limit", lambda: control_groups.Limit(most, Path("/pids.max")))
    monkeypatch.setattr(threads, "soft_limit", lambda name: None)
    with pytest.raises(UsageError, match=rf"starts 20 .* only {most} more \(see /pids.max\); {remedy}"):
        check_threads(16)
    assert not any(thread.is_alive() for thread in started)
