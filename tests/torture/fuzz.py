"""Mutated inputs: whatever the bytes, only errors and warnings of lfmm2 may come out.

The full tier is guided by coverage (atheris), one child process per target; the modules of lfmm2 are instrumented, its
libraries are not. The quick tier mutates the same valid files at random, always in the same way, in plain Python.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture import runs

N_SAMPLES, N_SNPS = 15, 40
QUICK_MUTATIONS = 500
SECONDS_PER_TARGET = 75
SECONDS_TO_MINIMISE = 10
LONGEST = 1 << 16
ADDRESS_SPACE = 6 << 30
TESTS = Path(__file__).resolve().parents[1]
# in memory if possible: runs wait for the disk, which is no matter here
IN_MEMORY = Path("/dev/shm")
FOLDER = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None


class Yard:
    """A folder of small valid inputs, results and the state of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        import lfmm2
        from lfmm2.genotypes.plink_writer import write_plink
        from lfmm2.pipeline import state_folder

        self.folder = folder
        rng = np.random.default_rng(5)
        dosage = rng.binomial(2, 0.5, (N_SNPS, N_SAMPLES)).astype(float)
        dosage[rng.random(dosage.shape) < 0.05] = np.nan
        iid = [f"i{k}" for k in range(N_SAMPLES)]
        write_plink(folder / "d", dosage, iid=iid)
        rows = [[name, *(repr(x) for x in rng.standard_normal(2).tolist())] for name in iid]
        for name, mark in (("env.csv", ","), ("env.tsv", "\t"), ("env.txt", "  ")):
            (folder / name).write_text("\n".join(mark.join(row) for row in [["IID", "x", "y"], *rows]) + "\n")
        paired = [[name, name, row[1]] for name, row in zip(["#FID", *iid], [["", "x"], *rows], strict=True)]
        paired[0][1] = "IID"
        (folder / "plink.txt").write_text("\n".join(" ".join(row) for row in paired) + "\n")
        self.options: dict[str, Any] = {"n_threads": 1, "memory": "1GB", "solver": "krylov"}
        for form in ("parquet", "tsv", "tsv.gz", "tsv.zst"):
            self.run(folder / "env.csv", out=folder / f"r-{form}", format=form)
        state_folder.KEEP_AFTER_SECONDS = 0
        self.finished = {
            p.name: p.read_bytes() for p in folder.glob("r-parquet.*") if p.suffix not in (".log", ".json")
        }
        self.states = [self._stopped(at) for at in (1, 3, 5)]
        self.sound = lfmm2.open_bed(folder / "d")

    def close(self) -> None:
        self.sound.close()

    def run(self, env: Path, **more: Any) -> Any:
        import lfmm2

        return lfmm2.run(None, self.folder / "d", env, 2, **self.options, **more)

    def _stopped(self, at: int) -> Path:
        """The state folder of a run that was stopped at an event of this number."""
        from lfmm2.process.progress import Progress

        class Stop(Exception):
            pass

        class Stopping(Progress):
            left = at

            def start(self, label: str, n_snps: int, n_bytes: int) -> None:
                self.left -= 1
                if self.left < 0:
                    raise Stop

        with contextlib.suppress(Stop):
            self.run(self.folder / "env.csv", out=self.folder / "r", progress=Stopping())
        kept = self.folder / f"state-{at}"
        (self.folder / "r.state").rename(kept)
        return kept


@dataclass(frozen=True)
class Target:
    """What is mutated, and what is done with it."""

    seeds: Callable[[Yard], list[bytes]]
    act: Callable[[Yard, bytes], None]
    # mutations in the quick tier
    quick: int = QUICK_MUTATIONS


def read_genotypes(yard: Yard, name: str) -> None:
    """Open a fileset and look at all of it."""
    import numpy as np

    from lfmm2 import _core
    from lfmm2.genotypes.plink import BedFile

    with BedFile(yard.folder / name) as bed:
        bed.variants()
        packed = np.empty((min(bed.n_snps, 4096), bed.bytes_per_snp), np.uint8)
        bed.read_packed(0, packed)
        _core.decode_block(packed, bed.n_samples, 0, np.empty((len(packed), bed.n_samples)), 1)


def part_of_fileset(ending: str) -> Callable[[Yard, bytes], None]:
    def act(yard: Yard, data: bytes) -> None:
        for other in ("bed", "bim", "fam"):
            copy = yard.folder / f"m.{other}"
            if other != ending and not copy.exists():
                shutil.copy(yard.folder / f"d.{other}", copy)
        path = yard.folder / f"m.{ending}"
        path.write_bytes(data)
        try:
            read_genotypes(yard, "m")
        finally:
            path.unlink()

    return act


def variables(yard: Yard, data: bytes) -> None:
    import numpy as np

    from lfmm2.model.ridge import ridge_geometry
    from lfmm2.pipeline.inputs import align_variables
    from lfmm2.pipeline.run_options import SampleOptions

    path = yard.folder / "m.env"
    path.write_bytes(data)
    for missing in ("error", "mean"):
        aligned = align_variables(yard.sound.samples, path, None, SampleOptions(missing=missing))
        assert np.isfinite(aligned.values).all()
        ridge_geometry(aligned.values, 1e-5)


def lists(yard: Yard, data: bytes) -> None:
    from lfmm2.errors import LfmmError
    from lfmm2.files.samples import read_id_list, read_sample_list

    path = yard.folder / "m.list"
    path.write_bytes(data)
    with contextlib.suppress(LfmmError):
        read_sample_list(path, yard.sound.samples)
    yard.sound.find(read_id_list(path))


def factors(yard: Yard, data: bytes) -> None:
    import lfmm2

    path = yard.folder / "m.npz"
    path.write_bytes(data)
    read = lfmm2.read_factors(path)
    if data not in yard.finished.values():
        lfmm2.test_associations(yard.folder / "d", yard.folder / "env.csv", read, n_threads=1, memory="1GB")


def tables(yard: Yard, data: bytes) -> None:
    from lfmm2.files.table_files import read_columns
    from lfmm2.model.columns import COLUMNS
    from lfmm2.results.tables import column_types

    path = yard.folder / "m.table"
    path.write_bytes(data)
    read_columns(path, ["P", "STATUS"], column_types(COLUMNS))
    read_columns(path, None, column_types(COLUMNS))


def state(yard: Yard, data: bytes) -> None:
    """A run goes on from a state in which one file has other content; what comes out is right in any case.

    The first two bytes say which file of which state.
    """
    if len(data) < 2:
        return
    folder = yard.folder / "r.state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(yard.states[data[0] % len(yard.states)], folder)
    files = sorted(path for path in folder.iterdir() if path.name != "lock")
    files[data[1] % len(files)].write_bytes(data[2:])
    for path in yard.folder.glob("r.*"):
        if path.is_file():
            path.unlink()
    yard.run(yard.folder / "env.csv", out=yard.folder / "r", resume=True)
    for name, content in yard.finished.items():
        ours = yard.folder / name.replace("r-parquet.", "r.")
        assert ours.read_bytes() == content, f"{ours.name} is not what the run without interruption wrote"


def manifest(yard: Yard, data: bytes) -> None:
    from lfmm2.results.stored_record import verify

    path = yard.folder / "r-parquet.lfmm2.json"
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        verify(yard.folder / "r-parquet")
        assert json.loads(data) == json.loads(whole), "another manifest passes"
    finally:
        path.write_bytes(whole)


def files(*names: str) -> Callable[[Yard], list[bytes]]:
    return lambda yard: [(yard.folder / name).read_bytes() for name in names]


def state_seeds(yard: Yard) -> list[bytes]:
    found = []
    for i, folder in enumerate(yard.states):
        paths = sorted(path for path in folder.iterdir() if path.name != "lock")
        found += [bytes([i, j]) + path.read_bytes() for j, path in enumerate(paths)]
    return found


def list_seeds(yard: Yard) -> list[bytes]:
    return [b"i1\ni2\n", b"#FID IID\nfam1 i1\nfam2 i2\n", b"snp0000001\nsnp0000007\n", b"#IID\ni3\n", b"IID\ti3\ti4"]


TABLES = [f"r-{form}.{name}.{form}" for form in ("parquet", "tsv", "tsv.gz", "tsv.zst") for name in ("x", "joint")]
TARGETS = {
    "bed": Target(files("d.bed"), part_of_fileset("bed")),
    "bim": Target(files("d.bim"), part_of_fileset("bim")),
    "fam": Target(files("d.fam"), part_of_fileset("fam")),
    "variables": Target(files("env.csv", "env.tsv", "env.txt", "plink.txt"), variables),
    "lists": Target(list_seeds, lists),
    "factors": Target(files("r-parquet.factors.npz"), factors),
    "tables": Target(files(*TABLES), tables),
    # whole runs, each of which takes some 20 ms
    "state": Target(state_seeds, state, quick=30),
    "manifest": Target(files("r-parquet.lfmm2.json"), manifest),
}


class Found(Exception):
    """An exception that should not have come out; its cause."""


def attempt(target: Target, yard: Yard, data: bytes) -> str:
    """How an attempt ended: "accepted", or the name of the error."""
    from lfmm2.errors import LfmmError, LfmmWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", LfmmWarning)
            target.act(yard, data)
    except LfmmError as error:
        if error.exit_code == 1:
            raise Found(f"{error!r} is of no kind") from error
        return type(error).__name__
    except Exception as error:
        raise Found(f"{type(error).__name__}: {str(error)[:300]}") from error
    return "accepted"


INTERESTING = (
    b"\0", b"\xff", b"\t", b" ", b"\n", b"\r\n", b"\r", b",", b";", b'"', b"'", b"#", b"-", b"NA", b"nan", b"inf",
    b"-9", b"1e999", b"1e-999", b"0x10", b"99999999999999999999", b"-1", b"\xef\xbb\xbf", b"\xc3\xa9", b"\x6c\x1b\x01",
    b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b"\x80\0\0\0", b"\xff\xff\xff\x7f", b"\xff" * 8,
)  # fmt: skip


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """One to four small changes of a valid file."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 2, 8, 64)))
        kind = chance.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:to] = bytes(chance.randrange(256) for _ in range(to - at))
        elif kind == 2:
            del data[at:to]
        elif kind == 3:
            data[at:at] = data[at:to]
        elif kind == 4:
            token = chance.choice(INTERESTING)
            data[at : at + chance.choice((0, len(token)))] = token
        elif chance.randrange(4) == 0:
            del data[at:]
    return bytes(data)


def minimised(target: Target, yard: Yard, data: bytes) -> tuple[bytes, Found]:
    """The smallest input found that ends with the same kind of exception."""

    def fault(candidate: bytes) -> Found | None:
        try:
            attempt(target, yard, candidate)
        except Found as found:
            return found
        return None

    best = fault(data)
    assert best is not None, "the fault did not come again"
    kind = type(best.__cause__)
    step = len(data)
    until = time.monotonic() + SECONDS_TO_MINIMISE
    while step >= 1 and time.monotonic() < until:
        at = 0
        while at < len(data) and time.monotonic() < until:
            candidate = data[:at] + data[at + step :]
            found = fault(candidate)
            if found is not None and type(found.__cause__) is kind:
                data, best = candidate, found
            else:
                at += step
        step //= 2
    return data, best


def describe(name: str, data: bytes, found: Found) -> str:
    shown = f"{len(data)} bytes {data[:400]!r}{'…' if len(data) > 400 else ''}"
    return f"{name}: {found}, from {shown}"


def mutate_target(name: str, n_mutations: int) -> dict[str, int]:
    """The quick tier of a target; counts of attempts by how they ended."""
    target = TARGETS[name]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, contextlib.ExitStack() as stack:
        yard = stack.enter_context(contextlib.closing(quiet_yard(Path(folder))))
        seeds = target.seeds(yard)
        for seed in seeds:
            ended = attempt(target, yard, seed)
            assert ended == "accepted" or name in ("bed", "lists"), f"{name}: a valid file ends with {ended}"
        chance = random.Random(name)
        for _ in range(n_mutations):
            data = mutated(chance.choice(seeds), chance)
            try:
                counts[attempt(target, yard, data)] += 1
            except Found as found:
                cause = found.__cause__
                raise AssertionError(describe(name, *minimised(target, yard, data))) from cause
    return dict(counts)


def quiet_yard(folder: Path) -> Yard:
    import lfmm2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        return Yard(folder)


# the full tier


def be_fuzzer(name: str, folder: Path, seconds: int) -> None:
    """Fuzz a target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["lfmm2"]):
        package = Path(importlib.util.find_spec("lfmm2").submodule_search_locations[0])  # type: ignore[union-attr, index]
        for path in sorted(package.rglob("*.py")):
            if path.stem not in ("__main__", "__init__"):
                names = path.relative_to(package).with_suffix("").parts
                importlib.import_module(".".join(("lfmm2", *names)))
    yard = quiet_yard(folder / "yard")
    target = TARGETS[name]
    corpus = folder / "corpus"
    for i, seed in enumerate(target.seeds(yard)):
        (corpus / f"seed{i}").write_bytes(seed)
    # damaged Parquet may claim any size, which must end as an error of lfmm2 where there is no memory for it
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=30", "-rss_limit_mb=0"]
    report = ["-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={folder}/", "-seed=1"]
    atheris.Setup([sys.argv[0], *limits, *report, str(corpus)], lambda data: attempt(target, yard, data) and None)
    atheris.Fuzz()


def fuzz_target(name: str, seconds: int) -> int:
    """Fuzz a target in a child process; the number of executions."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as text:
        folder = Path(text)
        for part in ("yard", "corpus"):
            (folder / part).mkdir()
        path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH", ""))))
        ended = subprocess.run(
            [sys.executable, "-m", "torture.fuzz", name, str(folder), str(seconds)],
            capture_output=True, text=True, errors="replace", check=False, timeout=seconds + 300,
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        artifacts = [path for path in folder.iterdir() if path.is_file()]
        if artifacts:
            data = artifacts[0].read_bytes()
            kind = artifacts[0].name.split("-")[0]
            if kind != "crash":
                raise AssertionError(f"{name}: {kind} with {len(data)} bytes {data[:400]!r}")
            again = folder / "again"
            again.mkdir()
            with contextlib.closing(quiet_yard(again)) as yard:
                raise AssertionError(describe(name, *minimised(TARGETS[name], yard, data)))
        done = re.search(r"stat::number_of_executed_units:\s*(\d+)", ended.stderr)
        assert ended.returncode == 0, f"{name}: the fuzzer ended with {ended.returncode}: {ended.stderr[-2000:]}"
        assert done is not None, f"{name}: the fuzzer says nothing: {ended.stderr[-2000:]}"
        return int(done[1])


def run(full: bool, seconds: int = SECONDS_PER_TARGET) -> dict[str, object]:
    """Run the topic; AssertionError shows the smallest input of each fault. Unavailable without atheris, if full."""
    if not full:
        return {name: mutate_target(name, target.quick) for name, target in TARGETS.items()}
    if importlib.util.find_spec("atheris") is None:
        raise runs.Unavailable("atheris is not installed; it comes with the extra torture, for Python before 3.14")
    faults = []

    def fuzz(name: str) -> int:
        try:
            return fuzz_target(name, seconds)
        except AssertionError as fault:
            faults.append(str(fault))
            return 0

    with ThreadPoolExecutor(2) as pool:
        executions = dict(zip(TARGETS, pool.map(fuzz, TARGETS), strict=True))
    assert not faults, "\n".join(faults)
    return {"seconds per target": seconds, "executions": executions}


def main(arguments: list[str]) -> None:
    if len(arguments) == 3:
        be_fuzzer(arguments[0], Path(arguments[1]), int(arguments[2]))
    else:
        print(json.dumps(run(full=True), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
