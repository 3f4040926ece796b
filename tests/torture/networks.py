"""Cut networks: a scheduler and workers of Dask in a network of their own, and a run that reaches them over one link.

The link is taken down without a word to either side, as where a cable is drawn. Where it heals after some seconds the
run must end well; where it does not, with the exit code for workers, or well if all passes were done.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from torture import runs, workers
from torture.runs import Straight

SPACE, LINK, FAR_LINK = "lfmm2-far", "lfmm2-near0", "lfmm2-far0"
NEAR, FAR, PORT = "10.213.77.1", "10.213.77.2", 8786
#: Exit code of the documentation for workers that are not reached.
NO_WORKER = 10
# Seconds after which a connection without an answer counts as broken, and for which a link that heals is down.
BROKEN_SECONDS, DOWN_SECONDS = 5, 2.0
SECONDS_TO_START = 60.0


def check() -> None:
    """Raise Unavailable if networks cannot be made here, or Dask is absent."""
    if importlib.util.find_spec("distributed") is None:
        raise runs.Unavailable("distributed is not installed")
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise runs.Unavailable("networks need root and iproute2")
    with network():
        pass


def ip(*arguments: str) -> None:
    """Call `ip`; Unavailable if it is not allowed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise runs.Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[None]:
    """A network of its own, joined with this one by a link."""
    subprocess.run(["ip", "netns", "del", SPACE], capture_output=True, check=False)
    ip("netns", "add", SPACE)
    try:
        ip("link", "add", LINK, "type", "veth", "peer", "name", FAR_LINK, "netns", SPACE)
        ip("addr", "add", f"{NEAR}/30", "dev", LINK)
        ip("link", "set", LINK, "up")
        ip("-n", SPACE, "addr", "add", f"{FAR}/30", "dev", FAR_LINK)
        ip("-n", SPACE, "link", "set", FAR_LINK, "up")
        ip("-n", SPACE, "link", "set", "lo", "up")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], capture_output=True, check=False)


def environment() -> dict[str, str]:
    return os.environ | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{BROKEN_SECONDS}s"}


@contextlib.contextmanager
def scheduler() -> Iterator[None]:
    """A scheduler with workers in the far network."""
    far = ["ip", "netns", "exec", SPACE, sys.executable, "-m"]
    commands = [
        [*far, "distributed.cli.dask_scheduler", "--host", FAR, "--port", str(PORT), "--no-dashboard"],
        [*far, "distributed.cli.dask_worker", f"tcp://{FAR}:{PORT}", "--nthreads", "1", "--nworkers",
         str(workers.N_WORKERS), "--no-dashboard", "--memory-limit", "0"],
    ]  # fmt: skip
    started = []
    try:
        for command in commands:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(command, env=environment(), start_new_session=True, **quiet))  # type: ignore[call-overload]
        wait_for_workers()
        yield
    finally:
        for process in started:
            for pid in workers.members(process.pid):
                workers.kill(pid, signal.SIGKILL)
            process.wait()


def wait_for_workers() -> None:
    """Wait until all workers have reported."""
    from distributed import Client

    deadline = time.monotonic() + runs.patience(SECONDS_TO_START)
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), Client(f"tcp://{FAR}:{PORT}", timeout=5, set_as_default=False) as client:
            client.wait_for_workers(workers.N_WORKERS, timeout=max(deadline - time.monotonic(), 1))
            return
        time.sleep(0.2)
    raise AssertionError("the workers of Dask have not reported")


def try_cut(root: Path, data: runs.Data, straight: Straight, number: int, share: float, heals: bool) -> workers.Verdict:
    """Take the link down after a share of a run; judge how it ends, and resume it with processes of this machine."""
    place, notes = root / "work" / f"cut-{number}", root / "notes" / f"cut-{number}"
    place.mkdir()
    out = place / "r"
    command = workers.shared_command(data, out, "--dask", f"tcp://{FAR}:{PORT}")
    faults = []
    with network(), scheduler():
        os.environ |= environment()
        began = time.monotonic()
        process = workers.started(command)
        time.sleep(share * 2.0)
        ip("link", "set", LINK, "down")
        if heals:
            time.sleep(DOWN_SECONDS)
            ip("link", "set", LINK, "up")
        code, errors = workers.ended(process)
        seconds = time.monotonic() - began
    if code not in ((0,) if heals else (0, NO_WORKER)):
        faults.append("hung" if code is None else f"exit code {code}: {errors.strip()[:300]}")
    if "Traceback" in errors:
        faults.append(f"traceback: {errors.strip()[:300]}")
    if not workers.vanished(process.pid):
        faults.append("processes are left")
    if code == 0:
        faults += runs.complete_faults(out, straight, notes)
    else:
        faults += runs.partial_faults(out, straight, {}, notes)
        local = workers.shared_command(data, out, "--workers", str(workers.N_WORKERS))
        faults += runs.resumed_faults(local, out, straight, notes)
    shutil.rmtree(place)
    kind = "network cut" + (", healed" if heals else "")
    return workers.Verdict(f"{kind} at {share:.3f}", kind, code, True, seconds, faults)
