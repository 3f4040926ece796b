"""Runs that are stopped anywhere and resumed: the same files, byte for byte, without work that was done before."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.segments import SnpRange
from lfmm2.pipeline import state_folder
from lfmm2.process.progress import Progress
from lfmm2.simulation import Simulation, simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

N_SNPS = 9_000
PAIRS = "pairs of samples"


class Stop(KeyboardInterrupt):
    pass


class StopAfter(Progress):
    """Stops the run at the n-th block of genotypes or table rows, whatever pass it is in."""

    def __init__(self, n_blocks: int) -> None:
        self.n_left = n_blocks
        self.labels: list[str] = []
        self.counts: list[int] = []  # blocks of each pass

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.labels.append(label)
        self.counts.append(0)

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.n_left -= 1
        self.counts[-1] += 1
        if self.n_left < 0:
            raise Stop


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    folder = tmp_path_factory.mktemp("resume")
    simulate(folder / "estimation", n_samples=90, n_snps=5000, n_causal=5, seed=8)
    return simulate(folder / "d", n_samples=90, n_snps=N_SNPS, n_causal=5, seed=3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks per pass, and everything kept at once."""
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)


def contents(folder: Path) -> dict[str, bytes]:
    """The files that are the same in every run: all but log and record, which hold times."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix not in (".log", ".json")}


CASES: dict[str, dict[str, Any]] = {
    "exact": {"K": 2, "solver": "exact"},
    "krylov": {"K": 6, "solver": "krylov", "tol": 1e-6},
    "power": {"K": 3, "solver": "power", "format": "tsv", "loadings": True},
    "filters": {"K": 2, "maf": 0.05, "geno": 0.1, "est_rate": 0.5, "solver": "krylov"},
    "threads": {"K": 2, "n_threads": 2, "memory": "64MB"},
    "estimation set": {
        "K": 2,
        "est_bed": "estimation.bed",
        "solver": "krylov",
        "tol": 1e-6,
        "scale": "hwe",
        "df": "intercept",
        "covar": np.random.default_rng(1).standard_normal((90, 2)),
    },
    "sweep": {"sweep": "1:4", "solver": "exact", "calibrate": "empirical-null", "impute": "factors"},
    "thinning": {"K": 2, "maf": 0.02, "est_thin": "r2=0.2,window=50", "calibrate": "none"},
}


def run(data: Simulation, out: Path, case: dict[str, Any], **more: Any) -> lfmm2.AssociationResult:
    options = {"n_threads": 1, "K": None, **case, **more}
    est_bed = options.pop("est_bed", None)
    source = None if est_bed is None else data.bed.with_name(est_bed)
    return lfmm2.run(source, data.bed, data.env, out=out, **options)


@pytest.mark.parametrize("name", CASES)
def test_run_stopped_at_any_block_gives_the_same_files_when_resumed(
    data: Simulation, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    (tmp_path / "straight").mkdir()
    counter = StopAfter(10**9)
    straight = run(data, tmp_path / "straight" / "r", case, progress=counter)
    n_blocks, n_pairs = 10**9 - counter.n_left, counter.counts[counter.labels.index(PAIRS)]
    assert n_blocks > 12
    for stop in range(0, n_blocks, max(1, n_blocks // 4)):
        folder = tmp_path / f"stopped-{stop}"
        folder.mkdir()
        with pytest.raises(Stop):
            run(data, folder / "r", case, progress=StopAfter(stop))
        assert [path.name for path in folder.iterdir()] == ["r.state"]
        # stopped a second time on the way, after the samples were compared again, with other threads and memory, which
        # are no part of the run
        second = StopAfter(n_pairs + min(2, n_blocks - stop - 1))
        with pytest.raises(Stop):
            run(data, folder / "r", case, progress=second, resume=True, memory="99MB")
        assert second.labels[-1] != PAIRS
        result = run(data, folder / "r", case, resume=True, n_threads=1)
        assert contents(folder) == contents(tmp_path / "straight")
        np.testing.assert_array_equal(result.gif, straight.gif)
        assert len(lfmm2.verify(folder / "r")) == len(straight.paths)


def test_resumed_run_does_not_repeat_what_was_done(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["krylov"]
    straight = StopAfter(10**9)
    run(data, tmp_path / "s", case, progress=straight)
    passes = [label for label in straight.labels if label.startswith("factors")]
    n_blocks = -(-N_SNPS // 1024)  # per pass
    # Samples are compared again by every run, before anything else.
    assert straight.labels[: len(passes) + 1] == [PAIRS, *passes]
    n_pairs = straight.counts[0]
    assert straight.counts[1 : len(passes) + 1] == [n_blocks] * len(passes)
    with pytest.raises(Stop):
        run(data, tmp_path / "r", case, progress=StopAfter(n_pairs + 3 * n_blocks + 1))
    resumed = StopAfter(10**9)
    run(data, tmp_path / "r", case, progress=resumed, resume=True)
    assert resumed.labels == [PAIRS, *straight.labels[4:]]
    # within the pass of the tests, at the SNP after those that are done; then at the second table
    run(data, tmp_path / "r", case, overwrite=True)
    first = n_pairs + len(passes) * n_blocks + 4
    with pytest.raises(Stop):
        run(data, tmp_path / "u", case, progress=StopAfter(first))
    resumed = StopAfter(10**9)
    run(data, tmp_path / "u", case, progress=resumed, resume=True)
    assert resumed.labels[:2] == [PAIRS, f"tests from SNP {4 * 1024 + 1}"]
    assert resumed.labels[2:] == straight.labels[len(passes) + 2 :]
    record = json.loads((tmp_path / "u.lfmm2.json").read_text())
    assert [p["label"] for p in record["passes"][:-1]] == [PAIRS, *passes]


@pytest.mark.parametrize("n_removed", range(12))
def test_run_killed_while_it_removes_its_state_is_complete(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_removed: int
) -> None:
    (tmp_path / "straight").mkdir()
    run(data, tmp_path / "straight" / "r", CASES["exact"], overwrite=True)
    (tmp_path / "r").mkdir()
    run(data, tmp_path / "r" / "r", {"K": 3})  # replaced, so that there is something put aside too
    unlink, remove = Path.unlink, state_folder.StateFolder._remove
    n_left = n_removed

    class Killed(BaseException):
        pass

    def killing(path: Path, missing_ok: bool = False) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise Killed
        unlink(path, missing_ok=missing_ok)

    def stopped(folder: state_folder.StateFolder) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killing)
            remove(folder)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(state_folder.StateFolder, "_remove", stopped)
        run(data, tmp_path / "r" / "r", CASES["exact"], overwrite=True)
    assert (tmp_path / "r" / "r.state").exists() or n_removed > 8
    run(data, tmp_path / "r" / "r", CASES["exact"], resume=True)
    assert contents(tmp_path / "r") == contents(tmp_path / "straight")
    assert len(lfmm2.verify(tmp_path / "r" / "r")) == 9
    assert not (tmp_path / "r" / "r.state").exists()


def test_resume_without_a_state_begins_at_the_beginning(data: Simulation, tmp_path: Path) -> None:
    run(data, tmp_path / "r", CASES["exact"], resume=True)
    assert len(lfmm2.verify(tmp_path / "r")) == 9


def test_resume_of_a_complete_run_does_nothing(data: Simulation, tmp_path: Path) -> None:
    first = run(data, tmp_path / "r", CASES["exact"])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    silent = StopAfter(0)
    again = run(data, tmp_path / "r", CASES["exact"], resume=True, progress=silent)
    assert silent.labels == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    np.testing.assert_array_equal(first.t, again.t)
    np.testing.assert_array_equal(first.gif, again.gif)
    np.testing.assert_array_equal(first.factors.U, again.factors.U)


def test_resume_does_not_take_complete_results_of_another_run_or_damaged_ones(data: Simulation, tmp_path: Path) -> None:
    run(data, tmp_path / "r", CASES["exact"])
    with pytest.raises(lfmm2.OutputExistsError, match=r"complete results of another run: K was 2, is 3"):
        run(data, tmp_path / "r", {"K": 3, "solver": "exact"}, resume=True)
    with (tmp_path / "r.env1.parquet").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(lfmm2.OutputExistsError, match=r"r\.env1\.parquet has other contents"):
        run(data, tmp_path / "r", CASES["exact"], resume=True)


def test_outputs_that_are_not_of_the_unfinished_run_are_not_overwritten(data: Simulation, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        run(data, tmp_path / "r", CASES["exact"], progress=StopAfter(12))
    (tmp_path / "r.env1.parquet").write_text("mine")
    with pytest.raises(lfmm2.OutputExistsError, match=r"output exists: .*r\.env1\.parquet"):
        run(data, tmp_path / "r", CASES["exact"], resume=True)
    with pytest.raises(lfmm2.OutputExistsError, match=r"r\.env1\.parquet: not a file that lfmm2 has written here"):
        run(data, tmp_path / "r", CASES["exact"], resume=True, overwrite=True)
    assert (tmp_path / "r.env1.parquet").read_text() == "mine"
    (tmp_path / "r.env1.parquet").unlink()
    run(data, tmp_path / "r", CASES["exact"], resume=True)
    assert len(lfmm2.verify(tmp_path / "r")) == 9


Change = Callable[[Simulation, dict[str, Any]], dict[str, Any]]
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "K": ({"K": 3}, "K was 2, is 3"),
    "lambda": ({"lambda_": 0.1}, "lambda was 1e-05, is 0.1"),
    "solver": ({"solver": "power"}, "solver was exact, is power"),
    "format": ({"format": "tsv"}, "format was parquet, is tsv"),
    "df": ({"df": "paper"}, "df was intercept, is paper"),
    "loadings": ({"loadings": True}, "loadings was False, is True"),
    "maf": ({"maf": 0.1}, "maf was None, is 0.1"),
    "extract": ({"extract": ["snp1", "snp2", "snp3"] + [f"snp{i}" for i in range(10, 99)]}, "tested SNPs was all, is "),
    "seed": ({"seed": 5}, "seed was 0, is 5"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_resume_refuses_other_parameters(data: Simulation, tmp_path: Path, name: str) -> None:
    change, message = CHANGES[name]
    with pytest.raises(Stop):
        run(data, tmp_path / "r", CASES["exact"], progress=StopAfter(12))
    if name == "extract":
        ids = data.bim.read_text().split()[1::6][:90]
        change = {"extract": ids}
    with pytest.raises(lfmm2.InconsistentInputError, match=message):
        run(data, tmp_path / "r", CASES["exact"] | change, resume=True)
    run(data, tmp_path / "r", CASES["exact"], resume=True)


@pytest.mark.parametrize("what", ["bed", "variables", "samples", "version", "instructions"])
def test_resume_refuses_other_inputs(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    for kind in ("bed", "bim", "fam"):
        (tmp_path / f"d.{kind}").write_bytes(getattr(data, kind).read_bytes())
    (tmp_path / "d.csv").write_bytes(data.env.read_bytes())
    here = replace(data, bed=tmp_path / "d.bed", env=tmp_path / "d.csv")
    with pytest.raises(Stop):
        run(here, tmp_path / "r", CASES["exact"], progress=StopAfter(12))
    case = CASES["exact"]
    if what == "bed":
        here.bed.touch()
        match = r"genotypes \(.bed\), time of change in ns was"
    elif what == "variables":
        lines = here.env.read_text().splitlines()
        here.env.write_text("\n".join([lines[0], f"{lines[1].rpartition(',')[0]},0.5", *lines[2:]]))
        match = "values of variables was"
    elif what == "samples":
        (tmp_path / "list").write_text(data.fam.read_text().split()[1] + "\n")
        case, match = case | {"remove": tmp_path / "list"}, "samples was"
    elif what == "instructions":
        monkeypatch.setattr("lfmm2.process.versions._gram_float32.instructions", lambda: "others")
        match = "instructions was .*, is others"
    else:
        monkeypatch.setattr("lfmm2.process.versions.__version__", "9.9")
        match = r"lfmm2 was .*, is 9\.9"
    with pytest.raises(lfmm2.InconsistentInputError, match=match):
        run(here, tmp_path / "r", case, resume=True)


@pytest.mark.parametrize("at", [0.0, 0.5, 0.999])
def test_damaged_state_is_made_again(data: Simulation, tmp_path: Path, at: float) -> None:
    (tmp_path / "straight").mkdir()
    counter = StopAfter(10**9)
    run(data, tmp_path / "straight" / "r", CASES["krylov"], progress=counter)
    last = 10**9 - counter.n_left - 1
    for stop in (last, last // 2):
        folder = tmp_path / str(stop)
        folder.mkdir()
        with pytest.raises(Stop):
            run(data, folder / "r", CASES["krylov"], progress=StopAfter(stop))
        names = {path.name for path in (folder / "r.state").iterdir()} - {"lock"}
        saved = {name: (folder / "r.state" / name).read_bytes() for name in names}
        for name in names:
            for kept, raw in saved.items():
                (folder / "r.state" / kept).write_bytes(raw)
            raw = saved[name]
            place = int(at * len(raw))
            damaged = raw[:place] + bytes([raw[place] ^ 0x55]) + raw[place + 1 :] if raw else b"?"
            (folder / "r.state" / name).write_bytes(damaged)
            run(data, folder / "r", CASES["krylov"], resume=True)
            assert contents(folder) == contents(tmp_path / "straight"), name
            for path in folder.iterdir():
                path.unlink()
            (folder / "r.state").mkdir()
            (folder / "r.state" / "lock").touch()


@pytest.mark.parametrize("name", ["common", "variable-0", "variable-1"])
@pytest.mark.parametrize("row", [0, 5000, N_SNPS - 1])
def test_damaged_statistics_are_made_again(data: Simulation, tmp_path: Path, name: str, row: int) -> None:
    (tmp_path / "straight").mkdir()
    counter = StopAfter(10**9)
    run(data, tmp_path / "straight" / "r", CASES["exact"], progress=counter)
    (tmp_path / "r").mkdir()
    n_blocks = -(-N_SNPS // 1024)
    with pytest.raises(Stop):  # before the first table
        run(data, tmp_path / "r" / "r", CASES["exact"], progress=StopAfter(2 * n_blocks))
    path = tmp_path / "r" / "r.state" / f"statistics-{name}.rows"
    rows = np.fromfile(path).reshape(N_SNPS, -1)
    rows[row] *= 2
    rows.tofile(path)
    run(data, tmp_path / "r" / "r", CASES["exact"], resume=True)
    assert contents(tmp_path / "r") == contents(tmp_path / "straight")


def test_array_genotypes_can_be_resumed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Y, X = rng.standard_normal((50, 9000)), rng.standard_normal((50, 2))
    (tmp_path / "straight").mkdir()
    counter = StopAfter(10**9)
    lfmm2.run(None, Y, X, 2, out=tmp_path / "straight" / "r", progress=counter)
    assert counter.labels[:3] == [PAIRS, "factors: Gram matrix", "tests"]
    n_pairs = counter.counts[0]
    assert counter.counts[1:3] == [5, 5]
    for stop in (1, n_pairs + 1, n_pairs + 6, n_pairs + 9, n_pairs + 10):
        folder = tmp_path / f"stopped-{stop}"
        folder.mkdir()
        with pytest.raises(Stop):
            lfmm2.run(None, Y, X, 2, out=folder / "r", progress=StopAfter(stop))
        if stop > n_pairs + 5:
            with pytest.raises(lfmm2.InconsistentInputError, match=r"genotypes \(array\) was"):
                lfmm2.run(None, Y + 1, X, 2, out=folder / "r", resume=True)
        lfmm2.run(None, Y, X, 2, out=folder / "r", resume=True)
        assert contents(folder) == contents(tmp_path / "straight")


def test_given_factors_are_part_of_the_run(data: Simulation, tmp_path: Path) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 3)
    stopped = StopAfter(14)
    with pytest.raises(Stop):
        lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / "r", progress=stopped, n_threads=1)
    assert stopped.labels == [PAIRS, "tests"]
    with pytest.raises(lfmm2.InconsistentInputError, match="K was 3, is 2; given factors was"):
        lfmm2.test_associations(data.bed, data.env, factors.leading(2), out=tmp_path / "r", resume=True)
    lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / "r", resume=True)
    assert len(lfmm2.verify(tmp_path / "r")) == 9


def test_reported_and_nuisance_variables_are_not_the_same(data: Simulation, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(90) for _ in range(3))
    lfmm2.run(None, data.bed, np.column_stack([a, b]), 2, covar=c, out=tmp_path / "r")
    with pytest.raises(lfmm2.OutputExistsError, match="complete results of another run: variables was"):
        lfmm2.run(None, data.bed, a, 2, covar=np.column_stack([b, c]), out=tmp_path / "r", resume=True)


def test_number_of_numpy_is_the_same_parameter(data: Simulation, tmp_path: Path) -> None:
    run(data, tmp_path / "r", CASES["exact"], seed=3)
    run(data, tmp_path / "r", CASES["exact"], seed=np.int64(3), resume=True)


def test_file_that_appeared_under_the_name_of_a_finished_table_is_not_replaced(
    data: Simulation, tmp_path: Path
) -> None:
    with pytest.raises(Stop):
        run(data, tmp_path / "r", CASES["exact"], progress=StopAfter(2 * 9 + 2))
    assert (tmp_path / "r.state" / "output.env1.parquet").exists()
    (tmp_path / "r.env1.parquet").write_text("mine")
    with pytest.raises(lfmm2.OutputExistsError, match=r"output exists: .*r\.env1\.parquet"):
        run(data, tmp_path / "r", CASES["exact"], resume=True)
    assert (tmp_path / "r.env1.parquet").read_text() == "mine"


def test_bim_that_is_replaced_between_two_tables_is_an_error(
    data: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfmm2.genotypes.plink._HELD_BIM", 0)
    for kind in ("bed", "bim", "fam"):
        (tmp_path / f"d.{kind}").write_bytes(getattr(data, kind).read_bytes())

    class Replacing(Progress):
        def start(self, label: str, n_snps: int, n_bytes: int) -> None:
            if label == "writing env2":
                text = (tmp_path / "d.bim").read_text()
                (tmp_path / "d.bim").write_text(text.replace("snp", "SNP"))

    with pytest.raises(lfmm2.ReadError, match=r"d\.bim: was changed"):
        lfmm2.run(None, tmp_path / "d.bed", data.env, 2, out=tmp_path / "r", progress=Replacing())
    assert not list(tmp_path.glob("r.*.parquet"))


def test_resume_needs_out(data: Simulation) -> None:
    with pytest.raises(lfmm2.UsageError, match="give out"):
        lfmm2.run(None, data.bed, data.env, 2, resume=True)


@pytest.mark.parametrize("first", [0, 2048, 4096, 8192])
def test_products_have_the_same_bits_wherever_a_pass_begins(data: Simulation, engine: Any, first: int) -> None:
    W = np.random.default_rng(1).standard_normal((90, 7))
    with lfmm2.BedFile(data.bed) as bed:
        array = np.random.default_rng(2).standard_normal((90, N_SNPS))
        for matrix in (BedMatrix(bed, engine), ArrayMatrix(array, engine)):
            whole = np.vstack([block.products for block in matrix.cross_products(W)])
            blocks = list(matrix.cross_products(W, snps=SnpRange(first)))
            assert blocks[0].first_snp == first
            np.testing.assert_array_equal(np.vstack([block.products for block in blocks]), whole[first:])
