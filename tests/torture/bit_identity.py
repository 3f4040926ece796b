"""The same bits for any number of threads, any memory budget and any repetition.

Each data set is run again and again; sha256 over t, beta and the factors must be one and the same, in memory and by
way of files. Blocks are made as small as they can be, one group of SNPs, so that reading ahead, waves of accumulators
and threads meet in as many ways as possible; some runs are also made at the least budget that is accepted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lfmm2
from lfmm2.genotypes.engine import GROUP_SNPS, Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.process.progress import Progress

THREADS = (1, 2, 3, 4, 7, 8, 16)
QUICK_THREADS = (1, 3)
REPEATS, QUICK_REPEATS = 20, 1
LEAST_BLOCKS = 30
# one more group than blocks wanted, and a last one that is not full
N_SNPS = LEAST_BLOCKS * GROUP_SNPS + 517
K = 3
EVERY_CHOICE = {
    "sweep": "1:3", "impute": "factors", "calibrate": "empirical-null", "est_thin": "r2=0.9,window=50",
}  # fmt: skip


@dataclass(frozen=True)
class DataSet:
    """A fileset, its variables (n_samples, 2), and the options of its runs."""

    name: str
    bed: Path
    X: np.ndarray
    options: dict[str, Any]

    def run(self, n_threads: int, **more: Any) -> lfmm2.AssociationResult:
        return lfmm2.run(None, self.bed, self.X, K, n_threads=n_threads, **self.options, **more)


@dataclass
class BlockCounter(Progress):
    """Counts the blocks of each pass over genotypes."""

    blocks: list[int] = field(default_factory=list)
    _reads: bool = False
    _groups: int = 1

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        # tables are written without reading genotypes, and samples are compared over few SNPs
        self._reads = n_bytes > 0 and label != "pairs of samples"
        if self._reads:
            self.blocks.append(0)
            # a panel of the Gram matrix holds so many groups, and no block is shorter
            self._groups = 16 if "Gram" in label else 1

    def advance(self, n_snps: int, n_bytes: int) -> None:
        if self._reads:
            self.blocks[-1] += self._groups


def make_data_sets(folder: Path, n_samples: int) -> list[DataSet]:
    """Structured genotypes with missing calls; n_samples is odd, so that the last byte of a SNP has pad bits."""
    assert n_samples % 4 in (1, 3)
    rng = np.random.default_rng(11)
    ancestry = rng.dirichlet(np.full(K + 1, 0.3), n_samples)
    frequency = ancestry @ rng.uniform(0.05, 0.95, (K + 1, N_SNPS))  # (n_samples, n_snps)
    dosage = rng.binomial(2, frequency).astype(float)
    dosage[rng.random(dosage.shape) < 0.05] = np.nan
    X = ancestry @ rng.standard_normal((K + 1, 2)) + 0.5 * rng.standard_normal((n_samples, 2))
    iid = [f"i{k}" for k in range(n_samples)]
    snp_ids = [f"rs{k}" for k in range(N_SNPS)]
    bed = write_plink(folder / "data", dosage.T, iid=iid, snp_ids=snp_ids)
    kept = np.sort(rng.choice(n_samples, n_samples - n_samples // 5, replace=False))
    (folder / "kept").write_text("\n".join(iid[k] for k in kept) + "\n")
    # nearly all, so that the blocks stay as many
    extracted = np.sort(rng.choice(N_SNPS, N_SNPS - 300, replace=False))
    (folder / "extracted").write_text("\n".join(snp_ids[k] for k in extracted) + "\n")
    subset = {"keep": folder / "kept", "extract": folder / "extracted"}
    return [
        DataSet("missing calls, krylov", bed, X, {"solver": "krylov"}),
        DataSet("exact", bed, X, {"solver": "exact"}),
        DataSet("every choice", bed, X, {"solver": "exact", **EVERY_CHOICE}),
        DataSet("subset, power", bed, X, {"solver": "power", **subset}),
    ]


def digest(result: lfmm2.AssociationResult) -> str:
    """sha256 over t, beta, q, local fdr, all arrays of the factors, and the histograms of a sweep."""
    factors, sweep = result.factors, result.sweep
    arrays = [
        result.t, result.beta, result.q, result.local_fdr, factors.U, factors.singular_values, factors.residuals,
        factors.loadings_map,
    ]  # fmt: skip
    if sweep is not None:
        arrays.append(sweep.histograms["COUNT"].to_numpy())
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


@contextlib.contextmanager
def one_group_per_block() -> Iterator[None]:
    """Let blocks be as with a budget that has room for one group only."""
    real = Engine.block_snps

    def block_snps(self: Engine, footprint: Footprint) -> int:
        return min(real(self, footprint), footprint.group_snps)

    Engine.block_snps = block_snps  # type: ignore[method-assign]
    try:
        yield
    finally:
        Engine.block_snps = real  # type: ignore[method-assign]


def least_budget(data: DataSet, n_threads: int) -> int:
    """The smallest budget that a run accepts, found without running it."""
    from lfmm2.model.eigensolvers import SolverOptions
    from lfmm2.pipeline import prepare_run
    from lfmm2.pipeline.run_options import RunOptions, SampleOptions, SnpOptions, TestOptions

    options = data.options

    def accepts(memory: int) -> bool:
        tests = {name: options[name] for name in ("sweep", "impute", "calibrate") if name in options}
        run_options = RunOptions(
            n_threads=n_threads, memory=memory, solver=SolverOptions(options["solver"]), test=TestOptions(**tests),
            samples=SampleOptions(keep=options.get("keep")),
            snps=SnpOptions(extract=options.get("extract"), est_thin=options.get("est_thin")),
        )  # fmt: skip
        try:
            prepare_run(None, data.bed, data.X, K, run_options).inputs.close()
        except lfmm2.InsufficientMemoryError:
            return False
        return True

    low, high = 1, 1 << 30
    while high - low > 1 << 14:
        middle = (low + high) // 2
        low, high = (low, middle) if accepts(middle) else (middle, high)
    return high


class Hashes:
    """The first hash, to which all others must be equal."""

    def __init__(self, data: DataSet) -> None:
        self._name = data.name
        self._first: str | None = None
        self.n = 0

    def add(self, found: str, how: str) -> None:
        self._first = self._first or found
        self.n += 1
        assert found == self._first, f"{self._name}, {how}: other bits ({found[:12]}, the first run {self._first[:12]})"


def check_data_set(data: DataSet, folder: Path, threads: tuple[int, ...], repeats: int) -> dict[str, int]:
    """All runs of a data set; counts of runs and the fewest blocks of a pass."""
    hashes, tables = Hashes(data), Hashes(data)
    fewest = sys.maxsize
    for n_threads in threads:
        for repeat in range(repeats):
            counter = BlockCounter()
            with one_group_per_block():
                hashes.add(digest(data.run(n_threads, progress=counter)), f"{n_threads} threads, repeat {repeat}")
            fewest = min(fewest, *counter.blocks)
        least = least_budget(data, n_threads)
        hashes.add(digest(data.run(n_threads, memory=least)), f"{n_threads} threads, budget of {least} bytes")
        with one_group_per_block():
            written = data.run(n_threads, out=folder / f"r{n_threads}", format="tsv")
        hashes.add(digest(written), f"{n_threads} threads, through files")
        contents = [written.paths[name].read_bytes() for name in (*written.variables, "joint", "factors")]
        tables.add(hashlib.sha256(b"".join(contents)).hexdigest(), f"{n_threads} threads, bytes of the files")
        for path in written.paths.values():
            path.unlink()
    assert fewest >= LEAST_BLOCKS, f"{data.name}: a pass had {fewest} blocks, {LEAST_BLOCKS} are wanted"
    return {"runs": hashes.n, "file sets": tables.n, "fewest blocks of a pass": fewest}


def run(full: bool) -> dict[str, object]:
    """Run the topic; AssertionError names the run whose bits differ."""
    threads, repeats = (THREADS, REPEATS) if full else (QUICK_THREADS, QUICK_REPEATS)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        folder = Path(name)
        found = {
            data.name: check_data_set(data, folder, threads, repeats)
            for data in make_data_sets(folder, 203 if full else 63)
        }
    return {"threads": list(threads), "repeats": repeats, "hashes per data set": 1, "data sets": found}


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
