"""What a run keeps on its way: the same bits come back, damage is found, rows are safe before the note about them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import lfmm2
from lfmm2.files.row_store import RowStore
from lfmm2.pipeline import state_folder
from lfmm2.pipeline.checkpoints import CheckpointFiles, Checkpoints
from lfmm2.pipeline.state_folder import StateFolder
from lfmm2.simulation import simulate


def begin(folder: Path, *, resume: bool = False) -> StateFolder:
    return StateFolder.begin(folder, {"K": 3}, resume, False)


def unfinished(folder: Path) -> None:
    """Leave a folder as a run does that was interrupted after it had kept something."""
    with pytest.raises(KeyboardInterrupt), begin(folder) as state:  # noqa: PT012
        checkpoints = CheckpointFiles(state)
        checkpoints.keep_arrays("pass-001", product=np.arange(6.0).reshape(2, 3).T, key="k")
        checkpoints.keep_note("statistics", {"n_rows": 6})
        raise KeyboardInterrupt


def test_arrays_come_back_with_their_bits_and_order_in_memory(tmp_path: Path) -> None:
    unfinished(tmp_path / "s")
    with begin(tmp_path / "s", resume=True) as state:
        checkpoints = CheckpointFiles(state)
        arrays = checkpoints.load_arrays("pass-001")
        assert arrays is not None
        np.testing.assert_array_equal(arrays["product"], np.arange(6.0).reshape(2, 3).T)
        assert arrays["product"].flags.f_contiguous
        assert str(arrays["key"]) == "k"
        assert checkpoints.load_arrays("pass-002") is None
        assert checkpoints.load_note("statistics") == {"n_rows": 6}
        assert checkpoints.load_note("passes") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
@pytest.mark.parametrize("name", ["pass-001.npz", "statistics.json"])
def test_damaged_files_are_as_if_they_were_absent(tmp_path: Path, name: str, damage: str) -> None:
    unfinished(tmp_path / "s")
    path = tmp_path / "s" / name
    raw = path.read_bytes()
    at = raw.index(np.float64(5).tobytes() if name.endswith(".npz") else b"6")
    flipped = raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
    path.write_bytes({"cut": raw[:-1], "flip": flipped, "empty": b"", "text": b"x" * len(raw)}[damage])
    with begin(tmp_path / "s", resume=True) as state:
        checkpoints = CheckpointFiles(state)
        assert (checkpoints.load_arrays("pass-001") is None) == name.endswith(".npz")
        assert (checkpoints.load_note("statistics") is None) == name.endswith(".json")


def test_arrays_replace_those_of_the_same_name(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as state:
        checkpoints = CheckpointFiles(state)
        for value in (1, 2):
            checkpoints.keep_arrays("a", value=value)
        arrays = checkpoints.load_arrays("a")
    assert arrays is not None
    assert int(arrays["value"]) == 2


def test_removed_files_are_gone_and_others_stay(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as state:
        checkpoints = CheckpointFiles(state)
        for name in ("pass-001", "pass-002", "filters"):
            checkpoints.keep_arrays(name, a=1)
        checkpoints.remove("pass-*.npz")
        assert [path.name for path in (tmp_path / "s").glob("*.npz")] == ["filters.npz"]


def test_rows_are_on_the_disk_before_the_note_that_vouches_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def recorded_replace(path: Path, target: Path) -> Path:
        events.append(f"{target.name} shown")
        return replace(path, target)

    def recorded_fsync(descriptor: int) -> None:
        events.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    with begin(tmp_path / "s") as state:
        checkpoints = CheckpointFiles(state)
        store = RowStore(10, 2, checkpoints.rows_path("statistics-common"))
        store.append(np.ones((4, 2)))
        assert store.file is not None
        monkeypatch.setattr(Path, "replace", recorded_replace)
        monkeypatch.setattr(os, "fsync", recorded_fsync)
        checkpoints.keep_note("statistics", {"n_rows": 4}, [store.file])
        store.close()
    assert events == ["fsync statistics-common.rows", "fsync statistics.json.part", "statistics.json shown", "fsync s"]


def test_every_note_of_a_run_about_rows_comes_after_they_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = simulate(tmp_path / "d", n_samples=60, n_snps=5000, n_causal=3)
    flushed: dict[str, int] = {}
    checked: list[int] = []
    replace, fsync = Path.replace, os.fsync

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed[path.name] = path.stat().st_size

    def recorded_replace(path: Path, target: Path) -> Path:
        if target.name == "statistics.json":
            sizes = {rows.name: rows.stat().st_size for rows in target.parent.glob("*.rows")}
            assert {name: flushed.get(name) for name in sizes} == sizes
            checked.append(len(sizes))
        return replace(path, target)

    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    with warnings.catch_warnings(action="ignore", category=lfmm2.CalibrationWarning):
        lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", n_threads=1)
    assert len(checked) > 1
    assert min(checked) > 2


def test_checkpoints_in_memory_keep_nothing() -> None:
    checkpoints = Checkpoints()
    checkpoints.keep_arrays("a", value=1)
    checkpoints.keep_note("b", 2)
    checkpoints.remove("*")
    assert checkpoints.load_arrays("a") is None
    assert checkpoints.load_note("b") is None
    assert checkpoints.rows_path("c") is None
    assert not checkpoints.is_due()
