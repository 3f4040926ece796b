"""Products that are kept are given back without a look at the genotypes, and only for the same question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Structured, WriteFileset

from lfmm2.genotypes import bed_matrix, segments
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import RESTART_SNPS
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.segments import SnpRange
from lfmm2.pipeline import state_folder
from lfmm2.pipeline.checkpoints import CheckpointFiles, Checkpoints
from lfmm2.pipeline.resumable_matrix import ResumableMatrix
from lfmm2.pipeline.state_folder import StateFolder
from lfmm2.process.progress import Progress


def questions(matrix: ResumableMatrix, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    S, T = rng.standard_normal((120, 5)), rng.standard_normal((120, 3))
    return [matrix.gram_product(S, "one").total(), matrix.gram("two"), matrix.gram_product(T, "three").total()]


@pytest.fixture
def kept(structured_bed: BedFile, engine: Engine, tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    with pytest.raises(KeyboardInterrupt), StateFolder.begin(tmp_path / "s", {}, False, False) as state:  # noqa: PT012
        answers = questions(ResumableMatrix(BedMatrix(structured_bed, engine), engine, CheckpointFiles(state)))
        raise KeyboardInterrupt
    return tmp_path / "s", answers


def test_answers_come_back_without_a_pass(
    structured_bed: BedFile, kept: tuple[Path, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BedMatrix, "_blocks", None)
    engine = Engine(1, 1 << 30)
    folder, answers = kept
    with StateFolder.begin(folder, {}, True, False) as state:
        again = questions(ResumableMatrix(BedMatrix(structured_bed, engine), engine, CheckpointFiles(state)))
    for first, second in zip(answers, again, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.flags.f_contiguous == second.flags.f_contiguous
    assert [record.label for record in engine.passes] == ["one", "two", "three"]


@pytest.mark.parametrize("n_kept", [1, 3, 9])
@pytest.mark.parametrize("kind", ["bed", "array"])
def test_interrupted_pass_goes_on_where_it_was(
    structured: Structured, write_fileset: WriteFileset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_kept: int,
    kind: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    dosage = np.tile(structured.dosage, 14)  # 21 000 SNPs
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)

    def matrix(engine: Engine, checkpoints: Checkpoints) -> ResumableMatrix:
        source = ArrayMatrix(dosage, engine) if kind == "array" else BedMatrix(write_fileset(dosage), engine)
        return ResumableMatrix(source, engine, checkpoints)

    class Stopping(Progress):
        n_snps = 0
        stop_at = 2048 * n_kept + 1

        def advance(self, n_snps: int, n_bytes: int) -> None:
            self.n_snps += n_snps
            if self.n_snps >= self.stop_at:
                raise KeyboardInterrupt

    # several segments, one of them begun, when the pass is interrupted
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 2 * RESTART_SNPS)
    S = np.random.default_rng(5).standard_normal((120, 6))
    straight = Engine(2, 1 << 30)
    asked: dict[str, Callable[[ResumableMatrix], np.ndarray]] = {
        "gram": lambda matrix: matrix.gram(),
        "gram_product": lambda matrix: matrix.gram_product(S).total(),
    }
    for verb, ask in asked.items():
        expected = ask(matrix(straight, Checkpoints()))
        folder = tmp_path / verb
        with pytest.raises(KeyboardInterrupt), StateFolder.begin(folder, {}, False, False) as state:
            ask(matrix(Engine(1, 1 << 30, Stopping()), CheckpointFiles(state)))
        assert [path.name for path in folder.glob("*.npz")] == ["pass-001-begun.npz"]
        engine = Engine(3, 1 << 30)
        with pytest.raises(KeyboardInterrupt), StateFolder.begin(folder, {}, True, False) as state:  # noqa: PT012
            again = ask(matrix(engine, CheckpointFiles(state)))
            raise KeyboardInterrupt
        np.testing.assert_array_equal(again, expected)
        assert engine.passes[0].n_snps <= 21_000 - 2048 * (n_kept - 1)
        assert [path.name for path in folder.glob("*.npz")] == ["pass-001.npz"]


def test_products_in_float32_are_kept_apart_from_those_in_float64(
    structured_bed: BedFile, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bed_matrix, "FLOAT32_SAMPLES", 1)
    matrix, S = BedMatrix(structured_bed, engine), np.random.default_rng(0).standard_normal((120, 5))
    folder = tmp_path / "s"
    with pytest.raises(KeyboardInterrupt), StateFolder.begin(folder, {}, False, False) as state:  # noqa: PT012
        kept = ResumableMatrix(matrix, engine, CheckpointFiles(state)).gram_product(S, precision="float32").total()
        raise KeyboardInterrupt
    np.testing.assert_array_equal(kept, matrix.gram_product(S, precision="float32").total())
    for precision in ("float32", "float64"):
        with pytest.raises(KeyboardInterrupt), StateFolder.begin(folder, {}, True, False) as state:  # noqa: PT012
            passes = len(engine.passes)
            resumable = ResumableMatrix(matrix, engine, CheckpointFiles(state))
            assert resumable.has_float32
            again = resumable.gram_product(S, precision=precision).total()
            raise KeyboardInterrupt
        assert len(engine.passes) == passes + 1  # the record of a pass that was kept counts too
        np.testing.assert_array_equal(again, matrix.gram_product(S, precision=precision).total())


def test_matrix_without_float32_multiplies_in_float64(structured: Structured, engine: Engine) -> None:
    matrix, S = ArrayMatrix(structured.dosage, engine), np.ones((120, 2))
    resumable = ResumableMatrix(matrix, engine, Checkpoints())
    assert not resumable.has_float32
    expected = matrix.gram_product(S).total()
    np.testing.assert_array_equal(resumable.gram_product(S, precision="float32").total(), expected)


def test_other_questions_are_answered_anew(
    structured_bed: BedFile, kept: tuple[Path, list[np.ndarray]], engine: Engine
) -> None:
    matrix = BedMatrix(structured_bed, engine)
    with StateFolder.begin(kept[0], {}, True, False) as state:
        again = questions(ResumableMatrix(matrix, engine, CheckpointFiles(state)), seed=1)
    expected = questions(ResumableMatrix(matrix, engine, Checkpoints()), seed=1)
    for first, second in zip(expected, again, strict=True):
        np.testing.assert_array_equal(first, second)


def test_ranges_are_questions_of_their_own(
    monkeypatch: pytest.MonkeyPatch, structured: Structured, write_fileset: WriteFileset, engine: Engine, tmp_path: Path
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SNPS", RESTART_SNPS)
    bed = write_fileset(np.tile(structured.dosage, 3))
    with StateFolder.begin(tmp_path / "s", {}, False, False) as state:
        checkpoints = CheckpointFiles(state)
        half = ResumableMatrix(BedMatrix(bed, engine), engine, checkpoints).gram(snps=SnpRange(0, RESTART_SNPS))
        whole = ResumableMatrix(BedMatrix(bed, engine), engine, checkpoints).gram()
        assert not np.array_equal(half, whole)
        again = ResumableMatrix(BedMatrix(bed, engine), engine, checkpoints).gram(snps=SnpRange(0, bed.n_snps))
        np.testing.assert_array_equal(again, whole)
        state.give_up()
