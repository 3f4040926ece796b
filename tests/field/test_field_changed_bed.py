"""A .bed that other programs write while a run reads it: the run ends, keeps nothing of it, and a new one is right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2
from lfmm2.errors import ChangedInputError
from lfmm2.pipeline import state_folder
from lfmm2.process import Progress

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

N, P = 40, 9_000
# The passes in which the .bed is changed: beginning of the label, and the options of a run that has it.
PASSES: dict[str, dict[str, Any]] = {
    "tests": {"K": 2},
    "factors: Gram": {"K": 2, "solver": "exact"},
    "factors: pass 2": {"K": 2, "solver": "power"},
    "filters": {"K": 2, "maf": 0.02},
    "LD": {"K": 2, "est_thin": "r2=0.2,window=20"},
}


class At(Progress):
    """Acts once, after a share of the SNPs of the pass with this label."""

    def __init__(self, label: str, share: float, act: Callable[[], object]) -> None:
        self.label, self.share, self.act = label, share, act
        self.labels: list[str] = []
        self._left: float | None = None
        self._is_done = False

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.labels.append(label)
        if label.startswith(self.label) and self._left is None:
            self._left = self.share * n_snps
            self.advance(0, 0)

    def advance(self, n_snps: int, n_bytes: int) -> None:
        if self._left is not None and not self._is_done:
            self._left -= n_snps
            if self._left <= 0:
                self._is_done = True
                self.act()


def stop() -> None:
    raise KeyboardInterrupt


def put_back() -> None:
    """Copy the right file back as ``cp -p`` and ``rsync -a`` do, with its old time."""
    shutil.copy2("backup.bed", "d.bed")


def overwrite(keep_time: bool = False) -> None:
    """Write the genotypes of another chromosome over the second half of the file, in place."""
    seen = Path("d.bed").stat()
    wrong = np.random.default_rng(0).permutation(np.frombuffer(Path("backup.bed").read_bytes()[3:], np.uint8))
    with Path("d.bed").open("r+b") as file:
        file.seek(3 + len(wrong) // 2)
        file.write(wrong[len(wrong) // 2 :].tobytes())
    if keep_time:
        os.utime("d.bed", ns=(seen.st_atime_ns, seen.st_mtime_ns))


def truncate_and_write() -> None:
    """What ``cp -p other.bed d.bed`` does, caught on its way."""
    os.truncate("d.bed", 3 + P // 2 * (N // 4))


def run(out: str, progress: Progress | None = None, **options: Any) -> None:
    lfmm2.run(None, "d.bed", "d.env.csv", out=out, n_threads=1, progress=progress or Progress(), **options)


def contents(out: str) -> dict[str, bytes]:
    return {path.name.removeprefix(out): path.read_bytes() for path in Path().glob(f"{out}.*.[pn]*")}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changed")
    lfmm2.simulate(folder / "d", n_samples=N, n_snps=P, n_variables=1, n_causal=4, missing_rate=0, seed=5)
    shutil.copy2(folder / "d.bed", folder / "backup.bed")
    return folder


@pytest.fixture(autouse=True)
def _small_blocks(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks, everything kept at once, as in a run of hours on a large .bed."""
    for path in simulated.iterdir():
        shutil.copy2(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)


@pytest.mark.parametrize(
    ("label", "change"),
    [
        *((label, overwrite) for label in PASSES),
        ("factors: pass 2", truncate_and_write),
    ],
)
def test_nothing_that_was_made_of_wrong_genotypes_is_kept(label: str, change: Callable[[], None]) -> None:
    options = PASSES[label]
    run("straight", **options)
    with pytest.raises(ChangedInputError, match=r"d\.bed: was changed since it was opened") as caught:
        run("r", At(label, 0.4, change), **options)
    assert "--resume" not in "".join(caught.value.__notes__)
    assert not Path("r.state").exists()
    put_back()
    run("r", resume=True, **options)
    assert contents("r") == contents("straight")
    lfmm2.verify("r")


def test_change_whose_old_time_is_put_back_is_found() -> None:
    with pytest.raises(ChangedInputError, match="its old time put back"):
        run("r", At("tests", 0.4, lambda: overwrite(keep_time=True)), K=2)
    assert not Path("r.state").exists()


def test_wrong_genotypes_leave_nothing_where_the_run_was_stopped_before_it_saw_them() -> None:
    run("straight", K=2)

    def overwrite_and_stop() -> None:
        overwrite()
        stop()

    with pytest.raises(KeyboardInterrupt):
        run("r", At("tests", 0.6, overwrite_and_stop), K=2)
    put_back()
    run("r", K=2, resume=True)
    assert contents("r") == contents("straight")


def test_what_was_kept_before_the_change_was_made_of_the_right_genotypes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after SIGKILL, when nobody removes the folder: it has what was kept until the change, and nothing since."""
    run("straight", K=2)
    with pytest.raises(ChangedInputError), monkeypatch.context() as killed:  # noqa: PT012
        killed.setattr(state_folder.StateFolder, "_remove", lambda _: None)
        run("r", At("tests", 0.6, overwrite), K=2)
    assert Path("r.state/statistics.json").exists()
    put_back()
    resumed = At("", 1, lambda: None)
    run("r", resumed, K=2, resume=True)
    assert resumed.labels[0] == "pairs of samples"
    assert resumed.labels[1].startswith("tests from SNP")
    assert contents("r") == contents("straight")


def test_copy_with_its_time_is_the_same_file() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        run("r", At("tests", 0.6, stop), K=2)
    assert "--resume goes on from there" in "".join(caught.value.__notes__)
    put_back()
    resumed = At("", 1, lambda: None)
    run("r", resumed, K=2, resume=True)
    assert resumed.labels[0] == "pairs of samples"
    assert resumed.labels[1].startswith("tests from SNP")


def test_other_genotypes_with_the_old_time_are_another_file() -> None:
    with pytest.raises(KeyboardInterrupt):
        run("r", At("tests", 0.6, stop), K=2)
    overwrite(keep_time=True)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"\(\.bed\), SHA-256 of sampled SNPs was"):
        run("r", K=2, resume=True)


def test_file_that_is_gone_for_a_while_costs_no_work() -> None:
    run("straight", K=2)
    with pytest.raises(lfmm2.ReadError, match="is gone") as caught:
        run("r", At("tests", 0.6, lambda: Path("d.bed").rename("moved")), K=2)
    assert "--resume goes on from there" in "".join(caught.value.__notes__)
    Path("moved").rename("d.bed")
    run("r", K=2, resume=True)
    assert contents("r") == contents("straight")


@pytest.mark.parametrize("name", ["d.fam", "d.bim"])
def test_file_beside_the_bed_that_changes_takes_the_work_with_it(name: str) -> None:
    def change() -> None:
        Path(name).write_bytes(Path(name).read_bytes()[::-1])

    with pytest.raises(ChangedInputError, match=rf"{name}: was changed"):
        run("r", At("tests", 0.6, change), K=2)
    assert not Path("r.state").exists()


def test_long_bim_that_changes_while_the_last_table_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfmm2.genotypes.plink._HELD_BIM", 0)

    def change() -> None:
        text = Path("d.bim").read_text()
        Path("d.bim").write_text(text.replace("snp", "SNP"))

    with pytest.raises(ChangedInputError, match=r"d\.bim: was changed"):
        run("r", At("writing env1", 0, change), K=2)
    assert not list(Path().glob("r.*"))


def test_genotypes_that_change_after_the_last_pass_do_no_harm() -> None:
    run("straight", K=2)
    run("r", At("writing env1", 0, overwrite), K=2)
    assert contents("r") == contents("straight")
