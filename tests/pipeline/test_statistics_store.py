"""The store of statistics: rows by name, what is counted of them, and what a resumed run takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import reference
from conftest import Structured

from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.imputation import FactorFill, HeldOutError
from lfmm2.model.association import AssociationModel, BlockStatistics
from lfmm2.model.columns import COLUMNS, Status
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import LatentFactors, estimate_from_matrix
from lfmm2.model.ridge import RidgeGeometry, ridge_geometry
from lfmm2.model.sweep import SweepModel
from lfmm2.pipeline import state_folder
from lfmm2.pipeline.checkpoints import CheckpointFiles, Checkpoints
from lfmm2.pipeline.state_folder import StateFolder
from lfmm2.pipeline.statistics_store import StatisticsStore, ThinnedRows, collect_statistics
from lfmm2.statistics.calibration import JointStatistic, StudentStatistic

pytestmark = pytest.mark.usefixtures("one_blas_thread")
K, D, N_SNPS = 3, 2, 9000


@pytest.fixture(scope="module")
def dosage(structured: Structured) -> np.ndarray:
    """120 × 9 000, with SNPs that do not vary or are never called."""
    dosage = np.tile(structured.dosage, 6)
    dosage[:, 5], dosage[:, [6, 8999]] = 1.0, np.nan
    return dosage


@pytest.fixture
def matrix(dosage: np.ndarray, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> ArrayMatrix:
    """The genotypes in several blocks."""
    monkeypatch.setattr(ArrayMatrix, "BLOCK_SNPS", 1024)
    return ArrayMatrix(dosage, engine)


@pytest.fixture
def fit(structured: Structured, matrix: ArrayMatrix) -> tuple[RidgeGeometry, LatentFactors]:
    ridge = ridge_geometry(structured.X, 1e-5)
    return ridge, estimate_from_matrix(matrix, ridge, K, SolverOptions(solver="exact"))


@pytest.fixture
def model(fit: tuple[RidgeGeometry, LatentFactors]) -> AssociationModel:
    return AssociationModel(*fit, D, "intercept", loadings=True)


def whole(blocks: Iterator[BlockStatistics], name: str) -> np.ndarray:
    return np.concatenate([getattr(block, name) for block in blocks])


def contents(store: StatisticsStore) -> list[np.ndarray]:
    stores = [store.common, *store.rows, store.loadings, store.held_out, *store.sweeps]
    return [np.concatenate(list(each.blocks(777))) for each in stores]


def test_rows_hold_each_statistic_under_its_name(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    shared, own = COLUMNS.layout(per_variable=False), COLUMNS.layout(per_variable=True)
    assert len({*shared.names, *own.names}) == 15
    for name in shared.names:
        np.testing.assert_array_equal(shared.column(store.common.array, name), whole(model.statistics(matrix), name))
    for name in own.names:
        for j, rows in enumerate(store.rows):
            expected = whole(model.statistics(matrix), name)[:, j]
            np.testing.assert_array_equal(own.column(rows.array, name), expected)
    np.testing.assert_array_equal(store.loadings.array, whole(model.statistics(matrix), "loadings"))
    assert [each.n_columns for each in (store.held_out, *store.sweeps)] == [0, 0, 0]


def test_status_and_histograms_count_every_snp(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    assert store.n_rows == N_SNPS
    counts = {status: int(n) for status, n in zip(Status, store.status_counts, strict=True)}
    assert counts == {Status.OK: N_SNPS - 3, Status.NO_VARIATION: 1, Status.ALL_MISSING: 2, Status.PERFECT_FIT: 0}
    assert [histogram.n for histogram in store.histograms] == [N_SNPS - 3] * (D + 1)


def test_magnitudes_are_t_and_the_root_of_f(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    t, f = (whole(model.statistics(matrix), name) for name in ("t", "f_stat"))
    for j in range(D):
        np.testing.assert_array_equal(np.concatenate(list(store.magnitude_blocks(j))), t[:, j])
    np.testing.assert_array_equal(np.concatenate(list(store.magnitude_blocks(None))), np.sqrt(f))


def test_calibrations_are_of_each_variable_and_then_of_all(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    *of_variables, joint = store.calibrations("chi2")
    t = whole(model.statistics(matrix), "t")
    for j, calibration in enumerate(of_variables):
        assert calibration.statistic == StudentStatistic(model.df, large_sample=True)
        assert calibration.gif == pytest.approx(np.nanmedian(t[:, j] ** 2) / 0.45493642311957275, rel=1e-12)
    assert joint.statistic == JointStatistic(D, model.df)
    f = whole(model.statistics(matrix), "f_stat")
    assert joint.gif == pytest.approx(np.nanmedian(f) / joint.statistic.median_square, rel=1e-12)


def test_joint_test_is_calibrated_by_the_scatter_of_t(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    *of_variables, joint = store.calibrations("student")
    t, f = (whole(model.statistics(matrix), name) for name in ("t", "f_stat"))
    tested = ~np.isnan(f)
    assert store.joint is not None
    root, smallest = store.joint.rows.array.T
    # The scatter is that of plain NumPy; the reference divides D by its median.
    expected = reference.joint_distances(t[tested])
    np.testing.assert_allclose(root[tested] ** 2, expected * np.median(f[tested]), rtol=1e-6)
    assert joint.gif == pytest.approx(np.median(f[tested]) / joint.statistic.median_square, rel=1e-9)
    p_of = [calibration.p(calibration.scores(own)) for calibration, own in zip(of_variables, t.T, strict=True)]
    np.testing.assert_allclose(10.0 ** -smallest[tested], np.minimum(D * np.min(p_of, axis=0), 1)[tested], rtol=1e-10)
    assert np.isnan(root[~tested]).all()
    assert np.isnan(smallest[~tested]).all()
    np.testing.assert_array_equal(np.concatenate(list(store.magnitude_blocks(None))), root)


@pytest.mark.parametrize("method", ["chi2", "none", "empirical-null"])
def test_joint_test_of_other_methods_is_of_f(model: AssociationModel, matrix: ArrayMatrix, method: str) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    joint = store.calibrations(method)[-1]
    f = whole(model.statistics(matrix), "f_stat")
    assert store.joint is not None
    assert store.joint.scatter is None
    np.testing.assert_array_equal(np.concatenate(list(store.magnitude_blocks(None))), np.sqrt(f))
    assert joint.gif == pytest.approx(np.nanmedian(f) / joint.statistic.median_square, rel=1e-12)


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_thinned_rows_are_those_of_the_kept_snps(cut: int) -> None:
    values = np.arange(20.0)
    tested, kept = np.arange(20) * 3, np.array([0, 6, 27, 30, 57])

    def select(rows: ThinnedRows) -> list[float]:
        blocks = (values[first : first + cut] for first in range(0, 20, cut))
        return np.concatenate(list(rows.select(blocks))).tolist()

    assert select(ThinnedRows(tested, kept)) == [0, 2, 9, 10, 19]
    assert select(ThinnedRows(None, np.array([1, 2, 19]))) == [1, 2, 19]


def test_inflation_of_thinned_snps_stands_beside_that_of_all(model: AssociationModel, matrix: ArrayMatrix) -> None:
    store = collect_statistics(model, matrix, Checkpoints())
    kept = np.arange(0, N_SNPS, 7)
    found, plain = store.calibrations("student", ThinnedRows(None, kept)), store.calibrations("student")
    t = whole(model.statistics(matrix), "t")
    for j in range(D):
        thinned = np.nanmedian(t[kept, j] ** 2) / found[j].statistic.median_square
        assert found[j].summary.gif_thinned == pytest.approx(thinned, rel=1e-12)
        assert found[j].summary.gif_thinned_se > found[j].gif_se == plain[j].gif_se
    assert all(np.isnan(of.summary.gif_thinned) for of in plain)


def test_sweep_has_a_row_for_each_number_of_factors(
    fit: tuple[RidgeGeometry, LatentFactors], matrix: ArrayMatrix
) -> None:
    model = SweepModel(*fit, 2, (0, 1, 3), D, "intercept")
    store = collect_statistics(model, matrix, Checkpoints())
    t_by_k = whole(model.statistics(matrix), "t_by_k")
    for j, rows in enumerate(store.sweeps):
        np.testing.assert_array_equal(rows.array, t_by_k[:, :, j])
    assert [[row.n_factors for row in rows] for rows in store.sweep("student")] == [[0, 1, 3]] * D


def test_held_out_errors_are_added_up(
    model: AssociationModel, fit: tuple[RidgeGeometry, LatentFactors], matrix: ArrayMatrix
) -> None:
    fill = FactorFill(fit[1].U, seed=0)
    store = collect_statistics(model, matrix, Checkpoints(), fill)
    expected = HeldOutError()
    expected.add(whole(model.statistics(matrix, fill=fill), "held_out"))
    assert vars(store.held_out_error()) == vars(expected)
    assert expected.n_held_out > 100


class _Interrupted(AssociationModel):
    """Is interrupted after some blocks."""

    n_blocks = 5

    def statistics(self, *arguments, **options) -> Iterator[BlockStatistics]:
        for number, block in enumerate(super().statistics(*arguments, **options)):
            if number == self.n_blocks:
                raise KeyboardInterrupt
            yield block


@pytest.fixture
def interrupted(
    fit: tuple[RidgeGeometry, LatentFactors], matrix: ArrayMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The state of a run that has noted each of five blocks."""
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt), StateFolder.begin(tmp_path / "s", {}, False, False) as state:
        collect_statistics(_Interrupted(*fit, D, "intercept", loadings=True), matrix, CheckpointFiles(state))
    return tmp_path / "s"


def resumed(model: AssociationModel, matrix: ArrayMatrix, folder: Path) -> tuple[list[np.ndarray], int, list[int]]:
    """Contents, first SNP that was tested, and numbers in the histograms of a run that goes on."""
    firsts = []
    original = model.statistics

    def statistics(genotypes, label, snps, fill):
        firsts.append(snps.first)
        return original(genotypes, label, snps, fill)

    model.statistics = statistics
    with StateFolder.begin(folder, {}, True, False) as state:
        store = collect_statistics(model, matrix, CheckpointFiles(state))
        found = contents(store), firsts[0], [histogram.n for histogram in store.histograms]
        store.close()
    return found


def test_resumed_run_tests_only_what_follows(model: AssociationModel, matrix: ArrayMatrix, interrupted: Path) -> None:
    expected = contents(collect_statistics(model, matrix, Checkpoints()))
    found, first, counted = resumed(model, matrix, interrupted)
    assert first == 4096  # of 5 120 SNPs in five blocks, up to one with which a pass may begin
    assert counted == [N_SNPS - 3] * (D + 1)
    for rows, others in zip(found, expected, strict=True):
        assert rows.tobytes() == others.tobytes()


@pytest.mark.parametrize("name", ["common", "variable-0", "variable-1", "loadings"])
@pytest.mark.parametrize("damage", ["changed", "cut", "absent"])
def test_damaged_rows_are_tested_again(
    model: AssociationModel, matrix: ArrayMatrix, interrupted: Path, name: str, damage: str
) -> None:
    path = interrupted / f"statistics-{name}.rows"
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 1
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(raw if damage == "changed" else raw[:1000])
    found, first, counted = resumed(model, matrix, interrupted)
    assert first == 0
    assert counted == [N_SNPS - 3] * (D + 1)
    for rows, others in zip(found, contents(collect_statistics(model, matrix, Checkpoints())), strict=True):
        assert rows.tobytes() == others.tobytes()
