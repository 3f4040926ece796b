"""The memory budget is kept: measured peaks, a hard limit by the kernel, budgets that are too small.

Every run is a process of its own that imports the package, notes what it holds then (the baseline), and goes through
the command line. The baseline includes all mapped code of the libraries: its pages are read before, for code that is
loaded later is no memory that a run takes. Peak: the high-water mark of resident memory above the baseline. Hard limit:
RLIMIT_DATA, which counts private writable address space, touched or not. Above the address space at the baseline and
the budget it grants `address_space` for what libraries reserve and hardly touch: the stack, the OpenBLAS buffer and
the malloc arena of each thread.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.runs import EVERY_CHOICE, sha256

SECONDS_LIMIT = 600
MIB = 1 << 20
INSUFFICIENT_MEMORY = 8
# threads of Python and Arrow beside those of the kernels: main, reader, Arrow's pool and its I/O threads
OTHER_THREADS = 12
BLAS_BUFFER_BYTES = 32 * MIB
ARENA_BYTES = 4 * MIB
# sizes of code and tables of libraries that are loaded or first written later on
LIBRARY_BYTES = 16 * MIB


def address_space(n_threads: int) -> int:
    """Private writable address space granted above baseline and budget."""
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    stack = 8 * MIB if stack == resource.RLIM_INFINITY else stack
    return LIBRARY_BYTES + (n_threads + OTHER_THREADS) * (stack + ARENA_BYTES) + n_threads * BLAS_BUFFER_BYTES


DRIVER = """
import importlib, json, resource, sys

for name in ("cli.program", "cli.demo", "pipeline.run", "results.tables"):
    importlib.import_module(f"lfmm2.{name}")
import pyarrow.csv, pyarrow.parquet
# pyarrow looks for pandas when it first makes an array of Python objects, and loads it where it is installed
pyarrow.array([0])
from lfmm2.cli import main
from lfmm2.genotypes.engine import Engine

report, extra, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
passes = []
recorded = Engine.recorded

def noted(self, label, n_snps, snp_bytes):
    passes.append(label)
    return recorded(self, label, n_snps, snp_bytes)

Engine.recorded = noted

def bytes_of(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(key))

# code of libraries that is mapped but was not needed so far
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps.read().splitlines():
        span, access, _, _, inode = line.split()[:5]
        if access[0] == "r" and inode != "0":
            first, last = (int(end, 16) for end in span.split("-"))
            memory.seek(first)
            for _ in range(first, last, 1 << 20):
                try:
                    memory.read(min(1 << 20, last - memory.tell()))
                except OSError:  # beyond the end of the file
                    break
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
resident, data = bytes_of("VmRSS"), bytes_of("VmData")
if extra:
    resource.setrlimit(resource.RLIMIT_DATA, (data + extra, data + extra))
sys.argv = ["lfmm2", *arguments]
try:
    main(arguments)
except SystemExit as ended:
    code = ended.code
with open(report, "w") as file:
    json.dump({"code": code, "peak": bytes_of("VmHWM") - resident, "baseline": resident,
               "address space": bytes_of("VmPeak"), "passes": passes}, file)
sys.exit(code)
"""


@dataclass(frozen=True)
class Case:
    """One problem; `share` scales the budget, from 0 (the least that is accepted) to 1 (256 MiB more).

    `inputs` names an input whose size is not that of the genotypes, as `enlarge` makes it.
    """

    n_samples: int
    n_snps: int
    n_threads: int
    share: float
    solver: str = "auto"
    n_factors: int = 3
    format: str = "parquet"
    more: tuple[str, ...] = ()
    inputs: str = ""

    @property
    def name(self) -> str:
        sizes = f"{self.n_samples} × {self.n_snps}, K = {self.n_factors}, {self.n_threads} threads"
        return f"{sizes}, {self.solver}, {self.format} {' '.join(self.more)} {self.inputs}".rstrip()


CASES = (
    Case(60, 2_000, 1, 0),
    Case(60, 200_000, 2, 0, format="tsv"),
    Case(60, 200_000, 2, 0.2, "exact"),
    Case(61, 600_000, 1, 0, "krylov"),
    Case(500, 50_000, 4, 0, "krylov", 10),
    Case(500, 50_000, 2, 0.5, "exact", 10, "tsv.gz", ("--loadings",)),
    Case(501, 50_000, 16, 0, "power"),
    Case(1500, 20_000, 2, 0, "exact"),
    Case(1500, 20_000, 8, 0.1, "krylov", 20, more=("--maf", "0.05", "--est-rate", "0.5")),
    Case(2502, 16_000, 2, 0, "krylov", 25, "tsv.zst"),
    Case(2502, 16_000, 1, 1, "exact", 5),
    Case(10_000, 5_000, 2, 0, "krylov", 10),
    Case(10_000, 5_000, 7, 0.3, "power", 5, more=("--loadings",)),
    Case(60, 200_000, 2, 0, "exact", 20, more=EVERY_CHOICE),
    Case(1500, 20_000, 2, 0.1, "krylov", 20, more=("--sweep", "1:20", "--impute", "factors")),
)
CASES += (
    Case(120, 6_000, 2, 0, inputs="columns", more=("--variables", "x")),
    Case(120, 6_000, 2, 0, inputs="rows"),
    Case(120, 6_000, 2, 0, inputs="SNP list", more=("--extract", "list")),
    Case(120, 6_000, 2, 0, inputs="sample list", more=("--keep", "list")),
    Case(120, 6_000, 2, 0, inputs="alleles"),
    Case(120, 6_000, 2, 0, inputs="alleles", format="tsv"),
    Case(120, 6_000, 2, 0, inputs="IDs"),
)
QUICK_CASES = (
    Case(60, 20_000, 2, 0),
    Case(603, 6_000, 4, 0, "krylov", 10, "tsv"),
)


@dataclass(frozen=True)
class Measured:
    """How a run ended, and what it took; None where it did not live to tell."""

    code: int
    errors: str
    peak: int | None
    baseline: int | None
    passes: list[str]


def measure(folder: Path, arguments: Sequence[str], extra: int = 0) -> Measured:
    """Run in a new interpreter, with a limit of `extra` bytes of address space above the baseline if that is not 0."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER, str(report), str(extra), *arguments],
        capture_output=True, text=True, check=False, timeout=SECONDS_LIMIT, env=environment,
    )  # fmt: skip
    told = json.loads(report.read_text()) if report.exists() else {}
    return Measured(ended.returncode, ended.stderr, told.get("peak"), told.get("baseline"), told.get("passes", ["?"]))


def make_data(folder: Path, case: Case) -> None:
    """A fileset of random genotypes with missing calls, and a variable."""
    rng = np.random.default_rng([case.n_samples, case.n_snps])
    n, p = case.n_samples, case.n_snps
    packed = rng.integers(0, 256, (p, -(-n // 4)), dtype=np.uint8)
    # of 00, 01, 10, 11 every other missing call (01) becomes a heterozygote
    packed ^= (packed & ~(packed >> 1) & 0x55 & rng.integers(0, 256, packed.shape, dtype=np.uint8)) * 3
    if n % 4:
        packed[:, -1] &= (1 << 2 * (n % 4)) - 1
    with (folder / "d.bed").open("wb") as bed:
        bed.write(b"\x6c\x1b\x01")
        bed.write(packed.data)
    (folder / "d.bim").write_text("".join(f"1\trs{j}\t0\t{j + 1}\tA\tG\n" for j in range(p)))
    (folder / "d.fam").write_text("".join(f"f{i}\ti{i}\t0\t0\t0\t-9\n" for i in range(n)))
    x = rng.standard_normal(n)
    (folder / "env.csv").write_text("IID,x\n" + "".join(f"i{i},{v!r}\n" for i, v in enumerate(x.tolist())))


def enlarge(folder: Path, case: Case) -> None:
    """Make an input large that has another size than the genotypes: 50 to 100 MB of text."""
    ids = [f"i{i}" for i in range(case.n_samples)]
    if case.inputs == "columns":
        rng = np.random.default_rng(5)
        header, *rows = (folder / "env.csv").read_text().splitlines()
        with (folder / "env.csv").open("w") as file:
            file.write(f"{header},{','.join(f'bio{j}' for j in range(60_000))}\n")
            for row in rows:
                file.write(f"{row},{','.join(map(str, rng.standard_normal(60_000).round(6).tolist()))}\n")
    elif case.inputs == "rows":
        with (folder / "env.csv").open("a") as file:
            file.writelines(f"other{i:08d},1.5\n" for i in range(1_000_000))
    elif case.inputs == "SNP list":
        names = [f"rs{j}" for j in range(case.n_snps)] + [f"absent{j:09d}" for j in range(3_000_000)]
        (folder / "list").write_text("\n".join(names) + "\n")
    elif case.inputs == "sample list":
        (folder / "list").write_text("\n".join([*ids, *(f"absent{j:09d}" for j in range(3_000_000))]) + "\n")
    elif case.inputs in ("alleles", "IDs"):
        lines = [line.split("\t") for line in (folder / "d.bim").read_text().splitlines()]
        for j, line in enumerate(lines):
            if case.inputs == "IDs":
                line[1] += "x" * 10_000
            elif j % 8 == 0:
                line[4] = "ACGT" * 25_000
        (folder / "d.bim").write_text("".join("\t".join(line) + "\n" for line in lines))


class Bench:
    """Runs of one case, and the results that all of them must give."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.folder, self.case = folder, case
        self.results: dict[str, str] = {}
        make_data(folder, case)
        enlarge(folder, case)

    def arguments(self, memory: int) -> list[str]:
        case = self.case
        return [
            "run", "--bed", str(self.folder / "d"), "--env", str(self.folder / "env.csv"), "-K", str(case.n_factors),
            "--threads", str(case.n_threads), "--solver", case.solver, "--format", case.format,
            *(str(self.folder / "list") if word == "list" else word for word in case.more),
            "--out", str(self.folder / "r"), "--memory", f"{memory}B",
        ]  # fmt: skip

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith("r."))

    def clear(self) -> None:
        for name in self.left():
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def refused(self, memory: int) -> int:
        """A run below the least budget ends with exit code 8 before any pass; the minimum that it names, in bytes."""
        ended = measure(self.folder, self.arguments(memory))
        what = f"{self.case.name}, budget of {memory}"
        assert ended.code == INSUFFICIENT_MEMORY, f"{what}: exit code {ended.code}: {ended.errors}"
        assert ended.passes == [], f"{what}: refused after the passes {ended.passes}"
        assert self.left() == [], f"{what}: leaves {self.left()}"
        named = re.search(r"(?:need at least|takes about) ([0-9 ]+) MiB", ended.errors)
        assert named is not None, f"{what}: names no minimum: {ended.errors}"
        return int(named[1].replace(" ", "")) * MIB

    def completes(self, memory: int) -> int:
        """A run within its budget that gives the same results as the others; its peak."""
        ended = measure(self.folder, self.arguments(memory))
        what = f"{self.case.name}, budget of {memory}"
        assert ended.code == 0, f"{what}: exit code {ended.code}: {ended.errors}"
        assert ended.peak is not None
        assert ended.peak <= memory, f"{what}: takes {ended.peak}, {ended.peak - memory} too much"
        self.compare(what)
        return ended.peak

    def limited(self, memory: int) -> str:
        """A run under the hard limit completes, or ends with exit code 8 at the start: which of the two."""
        extra = memory + address_space(self.case.n_threads)
        ended = measure(self.folder, self.arguments(memory), extra)
        what = f"{self.case.name}, budget of {memory}, RLIMIT_DATA of {extra} above the baseline"
        if ended.code == INSUFFICIENT_MEMORY and ended.passes == []:
            assert self.left() == [], f"{what}: leaves {self.left()}"
            return "refused"
        assert ended.code == 0, f"{what}: exit code {ended.code} after {ended.passes}: {ended.errors[-1000:]}"
        self.compare(what)
        return "complete"

    def compare(self, what: str) -> None:
        digests = {name: sha256(self.folder / name) for name in self.left() if not name.endswith((".log", ".json"))}
        self.results = self.results or digests
        assert digests == self.results, f"{what}: other results than before"
        self.clear()


def check(folder: Path, case: Case) -> dict[str, object]:
    """All runs of a case: refused below the least budget, complete with it and with more, and under the hard limit."""
    bench = Bench(folder, case)
    least = bench.refused(MIB)
    if case.inputs not in ("rows", "columns"):  # what a large table takes is an estimate, made before it is read
        # just below what was named, which is rounded up to a MiB
        again = bench.refused(least - 2 * MIB)
        assert again <= least, f"{case.name}: {least} named with a budget of 1 MiB, {again} just below it"
    peak = bench.completes(least)
    memory = least + round(case.share * 256 * MIB)
    peaks = {least: peak} if memory == least else {least: peak, memory: bench.completes(memory)}
    return {
        "case": case.name,
        "budgets MiB": [b // MIB for b in peaks],
        "peaks MiB": [round(p / MIB, 1) for p in peaks.values()],
        "hard limit": bench.limited(memory),
    }


def run(full: bool) -> dict[str, object]:
    """Run the topic; AssertionError says where the promise is broken."""
    found, faults = [], []
    for case in CASES if full else QUICK_CASES:
        with tempfile.TemporaryDirectory() as name:
            try:
                found.append(check(Path(name), case))
            except AssertionError as fault:
                faults.append(str(fault))
    assert not faults, "\n".join(faults)
    return {"cases": len(found), "address space granted MiB, 2 threads": address_space(2) // MIB, "found": found}


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
