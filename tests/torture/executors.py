"""Executors of others: processes of Python, loky, Dask and MPI give the bytes of one process, in every kind of run.

PYTHONPATH=tests python -m torture.executors
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared_runs import CASES, contents

from torture import runs

N_SAMPLES, N_SNPS = 70, 9000
SEVERAL = "several filesets"
#: Package that each kind of executor needs beside lfmm2.
PACKAGES = {"processes": "concurrent", "loky": "loky", "dask 1": "distributed", "dask 2": "distributed",
            "dask 3": "distributed", "mpi": "mpi4py"}  # fmt: skip


def make_inputs(folder: Path) -> None:
    """One fileset, one to estimate from, and the first cut into three."""
    from lfmm2.genotypes.plink_writer import write_plink
    from lfmm2.simulation import simulate

    simulate(folder / "estimation", n_samples=N_SAMPLES, n_snps=5000, n_causal=5, seed=8)
    simulate(folder / "d", n_samples=N_SAMPLES, n_snps=N_SNPS, n_causal=5, seed=3, missing_rate=0.03)
    import numpy as np

    rng = np.random.default_rng(2)
    for number in (1, 2, 3):
        dosage = rng.binomial(2, rng.uniform(0.1, 0.9, (3000, 1)), (3000, N_SAMPLES)).astype(float)
        ids = [f"s{number}_{j}" for j in range(3000)]
        iid = [line.split()[1] for line in (folder / "d.fam").read_text().splitlines()]
        write_plink(folder / f"chr{number}", dosage, iid=iid, snp_ids=ids)


def run_case(name: str, out: Path, **more: Any) -> None:
    """A case in the current folder."""
    import lfmm2

    case: dict[str, Any] = {"n_threads": 1, "K": None, "memory": "300MB"}
    case |= {"K": 2, "solver": "krylov"} if name == SEVERAL else CASES[name]
    source = "estimation.bed" if case.pop("est_bed", False) else None
    genotypes = "chr@.bed" if name == SEVERAL else "d.bed"
    out.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        lfmm2.run(source, genotypes, "d.env.csv", out=out / "r", **case, **more)


@contextmanager
def executor_of(kind: str) -> Iterator[Any]:
    """An executor of a kind."""
    if kind == "processes":
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            yield pool
    elif kind == "loky":
        import loky

        pool = loky.get_reusable_executor(2)
        yield pool
        pool.shutdown(wait=True)
    elif kind == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as pool:
            yield pool
    else:
        from distributed import Client, LocalCluster

        number = int(kind.split()[1])
        with (
            LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(pure=False)


def run_all(kind: str) -> None:
    """All cases with one executor, in the current folder."""
    from lfmm2.distributed import distributed_matrix

    distributed_matrix.LEAST_GENOTYPES = 1  # many tasks
    with executor_of(kind) as executor:
        for name in (*CASES, SEVERAL):
            run_case(name, Path(kind.replace(" ", "-"), name.replace(" ", "-")), executor=executor)


def command_of(kind: str) -> list[str]:
    """The command that runs all cases with one kind of executor."""
    if kind != "mpi":
        return [sys.executable, "-m", "torture.executors", kind]
    mpi = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    return [*mpi, "-m", "torture.executors", kind]


def missing(kind: str) -> str:
    """What a kind of executor lacks here; empty if nothing."""
    if importlib.util.find_spec(PACKAGES[kind]) is None:
        return f"{PACKAGES[kind]} is not installed"
    return "mpirun is not found" if kind == "mpi" and shutil.which("mpirun") is None else ""


def run(full: bool, report: Callable[[str], None] = lambda text: None) -> dict[str, object]:
    """Compare all cases on all kinds of executors with one process; AssertionError names what differs."""
    found: dict[str, object] = {}
    faults = []
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    }
    with runs.work_folder() as folder:
        make_inputs(folder)
        before = Path.cwd()
        os.chdir(folder)
        try:
            for name in (*CASES, SEVERAL):
                run_case(name, Path("alone", name.replace(" ", "-")))
        finally:
            os.chdir(before)
        for kind in PACKAGES if full else ("processes",):
            if lacks := missing(kind):
                found[kind] = lacks
                continue
            done = subprocess.run(
                command_of(kind), cwd=folder, env=environment, capture_output=True, text=True,
                timeout=runs.patience(600), check=False,
            )  # fmt: skip
            if done.returncode != 0:
                faults.append(f"{kind}: exit code {done.returncode}: {done.stderr[-1000:]}")
                continue
            same = 0
            for name in (*CASES, SEVERAL):
                place = Path(kind.replace(" ", "-"), name.replace(" ", "-"))
                if contents(folder / place) == contents(folder / "alone" / place.name):
                    same += 1
                else:
                    faults.append(f"{kind}, {name}: other bytes")
            found[kind] = same
            report(f"{kind}: {same}")
    assert not faults, "\n".join(faults)
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        run_all(sys.argv[1])
    else:
        print(json.dumps(run(full=True, report=print), indent=2))
