"""A matrix whose passes are done by a crew: the bits of one process; workers that see something else are refused."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Floats, Structured, WriteFileset, balding_nichols
from toy_executors import ToyExecutor

from lfmm2.distributed import Crew, DistributedMatrix, crew, distributed_matrix, terms
from lfmm2.distributed.executors import GivenExecutor
from lfmm2.distributed.sent_files import send, take_back
from lfmm2.distributed.terms import FileView, RefusedWorkerError, Terms
from lfmm2.errors import ChangedInputError, UsageError, WorkerError, WriteError
from lfmm2.genotypes import segments
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import RESTART_SNPS
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.segments import PassKeeper, SegmentedPass, SegmentSums, SnpRange
from lfmm2.process.progress import Progress

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N_SAMPLES, N_SNPS = 41, 9 * RESTART_SNPS + 333
SHORT = "from lfmm2.genotypes import segments; segments.SEGMENT_SNPS = 2048"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short segments, and a task for each few of them."""
    monkeypatch.setattr(segments, "SEGMENT_SNPS", RESTART_SNPS)
    monkeypatch.setattr(distributed_matrix, "LEAST_GENOTYPES", 1)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.01)


@pytest.fixture(scope="module")
def data() -> Structured:
    return balding_nichols(N_SAMPLES, N_SNPS, 3, 1, seed=3)


@pytest.fixture(scope="module")
def bed(data: Structured, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(data.dosage)


@pytest.fixture(scope="module")
def S() -> Floats:
    return np.random.default_rng(6).standard_normal((N_SAMPLES, 5))


def shared(
    bed: BedFile, folder: Path, executor: Any, snps: Any = None, engine: Engine | None = None, **options: Any
) -> DistributedMatrix:
    samples = np.arange(N_SAMPLES)[::-1].copy()
    workers = Crew(GivenExecutor(executor), 1, 1 << 28)
    return DistributedMatrix(bed, engine or Engine(1, 1 << 30), samples, snps, workers, folder, **options)


def alone(bed: BedFile, snps: Any = None, **options: Any) -> BedMatrix:
    samples = np.arange(N_SAMPLES)[::-1].copy()
    return BedMatrix(bed, Engine(2, 1 << 30), samples=samples, snps=snps, **options)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes whose segments are short too."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=exec, initargs=(SHORT,)) as pool:
        yield pool


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"scale": "hwe"}, {"snps": np.arange(0, N_SNPS, 2)}], ids=str)
def test_gram_product_is_that_of_one_process(
    bed: BedFile, S: Floats, tmp_path: Path, seed: int, options: dict[str, Any]
) -> None:
    matrix = shared(bed, tmp_path, ToyExecutor(seed, lost=0.1), **options)
    found = matrix.gram_product(S).total()
    np.testing.assert_array_equal(found, alone(bed, **options).gram_product(S).total())
    assert found.flags.f_contiguous
    assert list(tmp_path.iterdir()) == []


def test_gram_product_of_processes_is_that_of_one(
    bed: BedFile, S: Floats, tmp_path: Path, processes: ProcessPoolExecutor
) -> None:
    engine = Engine(1, 1 << 30)
    found = shared(bed, tmp_path, processes, engine=engine).gram_product(S, "factors: pass 1").total()
    np.testing.assert_array_equal(found, alone(bed).gram_product(S).total())
    (record,) = engine.passes
    assert (record.label, record.n_snps, record.n_bytes) == ("factors: pass 1", N_SNPS, N_SNPS * bed.bytes_per_snp)


def test_gram_product_in_float32_is_that_of_one_process(
    bed: BedFile, S: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfmm2.genotypes.bed_matrix.FLOAT32_SAMPLES", 10)
    matrix = shared(bed, tmp_path, ToyExecutor())
    assert matrix.has_float32
    found = matrix.gram_product(S, precision="float32").total()
    np.testing.assert_array_equal(found, alone(bed).gram_product(S, precision="float32").total())
    assert not np.array_equal(found, alone(bed).gram_product(S).total())


def test_other_verbs_are_done_here(bed: BedFile, S: Floats, tmp_path: Path) -> None:
    toy = ToyExecutor()
    matrix = shared(bed, tmp_path, toy)
    np.testing.assert_array_equal(matrix.gram(), alone(bed).gram())
    rows = [np.concatenate([b.products for b in m.cross_products(S)]) for m in (matrix, alone(bed))]
    np.testing.assert_array_equal(*rows)
    assert toy.n_submitted == 0


class Kept(PassKeeper):
    """Keeps the sums that are offered at one SNP."""

    def __init__(self, at: int, begun: tuple[int, dict[str, Any]] | None = None) -> None:
        self.at, self.begun = at, begun
        self.found: tuple[int, dict[str, Any]] | None = None

    def begin(self) -> tuple[int, dict[str, Any]] | None:
        return self.begun

    def offer(self, next_snp: int, arrays: dict[str, Any]) -> None:
        if next_snp == self.at:
            self.found = next_snp, pickle.loads(pickle.dumps(arrays))


def test_error_of_the_run_takes_back_what_was_sent(bed: BedFile, S: Floats, tmp_path: Path) -> None:
    class Full(PassKeeper):
        def offer(self, next_snp: int, arrays: dict[str, Any]) -> None:
            raise WriteError("no space left")

    with pytest.raises(WriteError) as raised:
        shared(bed, tmp_path, ToyExecutor()).gram_product(S, keeper=Full())
    assert list(tmp_path.iterdir()) == []
    assert raised.value.args == ("no space left",)


def test_pass_that_was_complete_has_nothing_left_to_do(bed: BedFile, S: Floats, tmp_path: Path) -> None:
    toy, whole = ToyExecutor(), alone(bed).gram_product(S)
    found = shared(bed, tmp_path, toy).gram_product(S, keeper=Kept(0, (N_SNPS, whole.arrays()))).total()
    np.testing.assert_array_equal(found, whole.total())
    assert toy.n_submitted == 0


def test_pass_goes_on_from_the_sums_of_another(bed: BedFile, S: Floats, tmp_path: Path) -> None:
    expected = alone(bed).gram_product(S).total()
    toy = ToyExecutor()
    kept = Kept(4 * RESTART_SNPS)
    shared(bed, tmp_path, toy).gram_product(S, keeper=kept)
    assert kept.found is not None
    # begun by a crew, ended in one process
    found = alone(bed).gram_product(S, keeper=Kept(0, kept.found)).total()
    np.testing.assert_array_equal(found, expected)
    # begun in one process within a segment, ended by a crew
    segments.SEGMENT_SNPS = 2 * RESTART_SNPS  # put back by `small`
    expected = alone(bed).gram_product(S).total()
    running = SegmentedPass(SnpRange(), N_SNPS, lambda: np.zeros((N_SAMPLES, 8), order="F"), 5, Kept(0))
    assert isinstance(running.sums, SegmentSums)
    half = Kept(5 * RESTART_SNPS)
    one = alone(bed)
    one.engine = replace(one.engine, memory=1 << 22, n_threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
        one.gram_product(S, keeper=half)
    assert half.found is not None
    assert "segment" in half.found[1]
    toy = ToyExecutor()
    found = shared(bed, tmp_path, toy).gram_product(S, keeper=Kept(0, half.found)).total()
    np.testing.assert_array_equal(found, expected)
    assert min(task.first for task in toy.tasks) == 4 * RESTART_SNPS


def test_tasks_are_whole_units_and_cover_the_range() -> None:
    for first in (0, 3 * RESTART_SNPS, 8 * RESTART_SNPS):
        for unit in (RESTART_SNPS, 2 * RESTART_SNPS):
            ranges = distributed_matrix.cut_tasks(range(first // unit * unit, N_SNPS), unit, N_SAMPLES, 8)
            assert [snp for part in ranges for snp in part] == list(range(first // unit * unit, N_SNPS))
            assert all(part.start % unit == 0 for part in ranges)


def test_progress_is_told_by_ranges(bed: BedFile, S: Floats, tmp_path: Path) -> None:
    class Seen(Progress):
        n_snps = 0

        def advance(self, n_snps: int, n_bytes: int) -> None:
            self.n_snps += n_snps

    seen = Seen()
    shared(bed, tmp_path, ToyExecutor(), engine=Engine(1, 1 << 30, seen)).gram_product(S)
    assert seen.n_snps == N_SNPS


def test_array_in_memory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    source = ArraySource(np.zeros((3, 4)))
    with pytest.raises(UsageError, match="those of the array can be read in this process alone; write them"):
        DistributedMatrix(
            source, Engine(1, 1 << 30), np.arange(3), None, Crew(GivenExecutor(ToyExecutor()), 1, 1), tmp_path
        )


# --- what workers must share with the run ---------------------------------------------------------------------


@pytest.fixture
def copied(bed: BedFile, tmp_path: Path) -> Iterator[BedFile]:
    """A fileset that may be changed."""
    for end in ("bed", "bim", "fam"):
        shutil.copy2(bed.path.with_suffix(f".{end}"), tmp_path / f"d.{end}")
    with BedFile(tmp_path / "d.bed") as opened:
        yield opened


def test_worker_of_another_version_is_refused_by_name(copied: BedFile) -> None:
    here = Terms.of_run(copied.stamps)
    here.check()
    for name, _ in here.versions:
        versions = tuple((key, "0.0" if key == name else value) for key, value in here.versions)
        message = (
            rf"the worker \S+:{os.getpid()} would give other last digits: {name} .* there, 0\.0 here; use machines"
        )
        with pytest.raises(RefusedWorkerError, match=message):
            replace(here, versions=versions).check()
    with pytest.raises(RefusedWorkerError, match="segments of 2048 SNPs there, 65536 here"):
        replace(here, segment_snps=65_536).check()


def test_worker_that_sees_another_file_is_refused_by_name(copied: BedFile) -> None:
    here = Terms.of_run(copied.stamps)
    path, stamp = copied.path, copied.path.stat()
    message = rf"the worker \S+:{os.getpid()} does not see the same genotypes: \S+d\.bed "

    def times() -> None:
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    def check(what: str) -> None:
        with pytest.raises(RefusedWorkerError, match=message + what):
            here.check()

    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    check("was changed at another time there; give paths that are the same files on all machines")
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 3]))
    times()
    check("has other first or last bytes there")
    os.truncate(path, stamp.st_size - 1)
    check(r"has \d+ \d+ bytes there")
    path.unlink()
    with pytest.raises(RefusedWorkerError, match=r"d\.bed: cannot be opened \(No such file or directory\); give"):
        here.check()


def test_worker_that_is_refused_ends_the_pass(
    copied: BedFile, S: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = shared(copied, tmp_path, ToyExecutor())
    monkeypatch.setattr(terms.FileView, "difference", lambda self: f"{self.path} has 1 byte there")
    with pytest.raises(WorkerError, match=r"does not see the same genotypes: .* has 1 byte there"):
        matrix.gram_product(S)
    assert not list(tmp_path.glob("*.sent*"))


def test_genotypes_that_changed_since_they_were_opened_end_the_pass(copied: BedFile, S: Floats, tmp_path: Path) -> None:
    matrix = shared(copied, tmp_path, ToyExecutor())
    os.utime(copied.path)
    with pytest.raises(ChangedInputError, match="was changed since it was opened"):
        matrix.gram_product(S)


def test_view_of_a_short_file(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"x")
    assert FileView.of(path).difference() == ""
    path.write_bytes(b"")
    assert FileView.of(path).n_bytes == 0


# --- files that are sent --------------------------------------------------------------------------------------


def test_file_that_is_sent_is_read_once_and_known_by_its_sum(tmp_path: Path) -> None:
    sent = send(tmp_path, {"a": np.arange(3)})
    value = sent.load()
    assert value["a"].tolist() == [0, 1, 2]
    assert sent.load() is value
    other = send(tmp_path, {"a": np.arange(4)})
    Path(other.path).write_bytes(Path(sent.path).read_bytes())
    with pytest.raises(WorkerError, match="is not what was sent; put --out on a file system that all workers share"):
        other.load()
    Path(other.path).unlink()
    with pytest.raises(WorkerError, match=r"cannot be read \(No such file or directory\); put --out on a file system"):
        other.load()


def test_task_of_a_pass_that_has_ended_does_nothing(tmp_path: Path) -> None:
    sent = send(tmp_path, 1)
    sent.check_wanted()
    take_back(sent)
    take_back(sent)
    with pytest.raises(WorkerError, match="is gone, the pass has ended without this task"):
        sent.check_wanted()
