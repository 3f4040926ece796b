"""Every number of factors at once: the same t as the run with that number alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lfmm2
from lfmm2.errors import DegenerateProblemError, UsageError
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.model.association import AssociationModel, Status
from lfmm2.model.ridge import ridge_geometry
from lfmm2.model.sweep import SweepModel, parse_sweep, variance_on_factors

Floats = NDArray[np.float64]


def sample_data(n: int = 60, p: int = 900, d: int = 2, seed: int = 0) -> tuple[Floats, Floats]:
    """Genotypes with three axes of structure, and variables that lean on them."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((n, 3))
    Y = np.clip(np.round(1 + 0.4 * axes @ rng.standard_normal((3, p)) + 0.6 * rng.standard_normal((n, p))), 0, 2)
    X = rng.standard_normal((n, d)) + axes @ rng.standard_normal((3, d))
    Y[rng.random((n, p)) < 0.02] = np.nan
    Y[:, 5] = 1.0
    return Y, X


def models(Y: Floats, X: Floats, n_factors: int, n_reported: int) -> tuple[ArrayMatrix, object, lfmm2.LatentFactors]:
    matrix = ArrayMatrix(Y, Engine(1, 1 << 28))
    ridge = ridge_geometry(X - X.mean(axis=0), 1e-5)
    from lfmm2.model.eigensolvers import SolverOptions
    from lfmm2.model.factors import estimate_from_matrix

    return matrix, ridge, estimate_from_matrix(matrix, ridge, n_factors, SolverOptions("exact"))


@pytest.mark.parametrize(("d", "n_reported"), [(1, 1), (2, 2), (3, 2), (4, 1)])
def test_sweep_gives_the_t_of_each_number_of_factors(d: int, n_reported: int) -> None:
    Y, X = sample_data(d=d)
    matrix, ridge, factors = models(Y, X, 8, n_reported)
    ks = (0, 1, 2, 5, 8)
    sweep = SweepModel(ridge, factors, 3, ks, n_reported, "paper")
    blocks = list(sweep.statistics(matrix))
    t_by_k = np.concatenate([block.t_by_k for block in blocks])
    for i, k in enumerate(ks):
        model = AssociationModel(ridge, factors.leading(k), n_reported, "paper")
        alone = np.concatenate([block.t for block in model.statistics(matrix)])
        np.testing.assert_allclose(t_by_k[:, i], alone, rtol=1e-10, atol=1e-10)
    chosen = AssociationModel(ridge, factors.leading(3), n_reported, "paper", loadings=True)
    swept = SweepModel(ridge, factors, 3, ks, n_reported, "paper", loadings=True)
    for block, alone in zip(swept.statistics(matrix), chosen.statistics(matrix), strict=True):
        for name in (
            "beta",
            "se",
            "t",
            "ridge_beta",
            "f_stat",
            "var_variables",
            "var_factors",
            "var_residual",
            "loadings",
        ):
            np.testing.assert_allclose(getattr(block, name), getattr(alone, name), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(block.status, alone.status)


def test_sweep_keeps_the_bits_of_the_largest_number_of_factors() -> None:
    Y, X = sample_data()
    matrix, ridge, factors = models(Y, X, 4, 2)
    swept = next(SweepModel(ridge, factors, 4, (1, 2), 2, "paper").statistics(matrix))
    alone = next(AssociationModel(ridge, factors, 2, "paper").statistics(matrix))
    np.testing.assert_array_equal(swept.t, alone.t)


def test_sweep_has_no_t_where_the_chosen_model_has_none() -> None:
    Y, X = sample_data()
    matrix, ridge, factors = models(Y, X, 4, 2)
    block = next(SweepModel(ridge, factors, 2, (1, 3), 2, "paper").statistics(matrix))
    assert block.status[5] == Status.NO_VARIATION
    assert np.isnan(block.t_by_k[5]).all()
    assert np.isfinite(np.delete(block.t_by_k, 5, axis=0)).all()


def test_sweep_forms_small_residuals_without_cancellation() -> None:
    Y, X = sample_data(p=300)
    _, ridge, factors = models(Y, X, 6, 2)
    rng = np.random.default_rng(1)
    # almost in the span of four factors: nothing of rss is left in ‖y‖² - ‖z‖², but far from it with two
    y = factors.U[:, :4] @ rng.standard_normal(4) * 1e3
    y = y / np.abs(y).max() + 1e-7 * rng.standard_normal(len(y))
    single = ArrayMatrix(np.column_stack([y, Y[:, 0]]), Engine(1, 1 << 28))
    ks = (2, 4, 6)
    t_by_k = np.concatenate([b.t_by_k for b in SweepModel(ridge, factors, 6, ks, 2, "paper").statistics(single)])
    for i, k in enumerate(ks):
        model = AssociationModel(ridge, factors.leading(k), 2, "paper")
        alone = np.concatenate([b.t for b in model.statistics(single)])
        np.testing.assert_allclose(t_by_k[:, i], alone, rtol=1e-6)


def test_variance_on_factors_is_r_squared() -> None:
    Y, X = sample_data()
    _, ridge, factors = models(Y, X, 5, 2)
    shares = variance_on_factors(ridge, factors, 2)
    assert shares.shape == (6, 2)
    np.testing.assert_array_equal(shares[0], 0.0)
    x = ridge.X[:, 1]
    for k in (1, 3, 5):
        U = factors.U[:, :k] - factors.U[:, :k].mean(axis=0)
        fitted = U @ np.linalg.lstsq(U, x, rcond=None)[0]
        assert shares[k, 1] == pytest.approx(fitted @ fitted / (x @ x), rel=1e-10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:4", (1, 2, 3, 4)),
        (" 2 : 2 ", (2,)),
        ("4,1,2,2", (1, 2, 4)),
        ("7", (7,)),
        ([3, 0], (0, 3)),
        (range(2), (0, 1)),
    ],
)
def test_parse_sweep_reads_ranges_and_lists(text: object, expected: tuple[int, ...]) -> None:
    assert parse_sweep(text) == expected


@pytest.mark.parametrize("bad", ["", "5:1", "1:", "a", "1;2", "-1:3", 5, [], [-1], ["x"], None, 1.5, "1:2:3"])
def test_parse_sweep_refuses_what_names_no_numbers(bad: object) -> None:
    with pytest.raises(UsageError, match="sweep is"):
        parse_sweep(bad)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.Simulation:
    folder = tmp_path_factory.mktemp("sweep")
    return lfmm2.simulate(folder / "plants", n_samples=120, n_snps=1500, seed=3, n_causal=8)


def test_run_with_a_sweep_is_the_runs_without(data: lfmm2.Simulation) -> None:
    swept = lfmm2.run(None, data.bed, data.env, 3, sweep="1:6", solver="exact")
    assert swept.sweep is not None
    rows = [row for row in swept.sweep.table.to_pylist() if row["LAMBDA"] == "1e-05"]
    for k in (1, 3, 6):
        alone = lfmm2.run(None, data.bed, data.env, k, solver="exact")
        for j, name in enumerate(alone.variables):
            (row,) = [row for row in rows if row["K"] == k and row["VARIABLE"] == name]
            assert row["GIF"] == pytest.approx(alone.gif[j], rel=1e-9)
            assert row["GIF_SE"] == pytest.approx(alone.gif_se[j], rel=1e-6)
            assert row["N_FDR05"] == np.count_nonzero(alone.q[:, j] < 0.05)
            assert row["N_FDR10"] == np.count_nonzero(alone.q[:, j] < 0.10)
            assert row["NULL_SD"] == pytest.approx(alone.calibrations[name].sd, rel=1e-6)
    alone = lfmm2.run(None, data.bed, data.env, 3, solver="exact")
    np.testing.assert_allclose(swept.t, alone.t, rtol=1e-8, atol=1e-8)
    assert swept.factors.n_factors == 3


def test_run_leaves_k_to_the_scree(data: lfmm2.Simulation, tmp_path: Path) -> None:
    result = lfmm2.run(None, data.bed, data.env, sweep="1:6", out=tmp_path / "r")
    assert result.sweep is not None
    assert result.sweep.suggested == result.factors.n_factors == 3
    assert "Tracy-Widom" in result.sweep.reason
    alone = lfmm2.run(None, data.bed, data.env, 3)
    np.testing.assert_allclose(result.t, alone.t, rtol=1e-8, atol=1e-8)
    again = lfmm2.read_results(tmp_path / "r")
    np.testing.assert_array_equal(again.q, result.q)
    assert again.sweep is not None
    assert again.sweep.table.equals(result.sweep.table)
    assert again.sweep.histograms["COUNT"].to_numpy().sum() <= 2 * 2 * 6 * np.isfinite(result.t[:, 0]).sum()
    n_at_3 = again.sweep.histograms.to_pandas().query("K == 3 and P == 'calibrated'").COUNT.sum()
    assert n_at_3 == np.isfinite(result.q).sum()


def test_sweep_histograms_are_those_of_p(data: lfmm2.Simulation) -> None:
    # Surrogates change the tails of the tables alone.
    result = lfmm2.run(None, data.bed, data.env, 2, sweep=[2], surrogates=0)
    assert result.sweep is not None
    table = result.sweep.histograms.to_pandas()
    for j, name in enumerate(result.variables):
        for kind, p in (("raw", result.p), ("calibrated", result.p_calibrated)):
            counts = table[(name == table.VARIABLE) & (kind == table.P)].COUNT.to_numpy()
            expected = np.histogram(p[np.isfinite(p[:, j]), j], np.arange(51) / 50)[0]
            np.testing.assert_array_equal(counts, expected)


def test_run_without_k_needs_a_sweep(data: lfmm2.Simulation) -> None:
    with pytest.raises(UsageError, match="K is not given"):
        lfmm2.run(None, data.bed, data.env)


def test_sweep_beyond_the_samples_is_refused_before_work(data: lfmm2.Simulation) -> None:
    with pytest.raises((DegenerateProblemError, UsageError), match="118"):
        lfmm2.run(None, data.bed, data.env, 3, sweep="1:118")


def test_given_factors_can_be_swept(data: lfmm2.Simulation) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 5)
    result = lfmm2.test_associations(data.bed, data.env, factors, sweep=(1, 4))
    assert result.sweep is not None
    assert result.sweep.table["K"].to_pylist() == [1, 1, 4, 4, 5, 5]
    with pytest.raises(UsageError, match="sweep goes up to 6, but 5 factors"):
        lfmm2.test_associations(data.bed, data.env, factors, sweep=(1, 6))


@pytest.mark.parametrize("array", [False, True])
def test_sweep_keeps_missing_calls_at_the_mean(data: lfmm2.Simulation, array: bool) -> None:
    if array:
        with lfmm2.open_bed(data.bed) as bed:
            matrix = BedMatrix(bed, Engine(1, 1 << 28))
            Y = np.concatenate([b.decode(np.arange(len(b.n_called))) + b.mean[:, None] for b in
                                matrix.cross_products(np.zeros((120, 1)))]).T  # fmt: skip
        genotypes: object = np.where(np.random.default_rng(0).random(Y.shape) < 0.05, np.nan, Y)
        X: object = data.variables
    else:
        genotypes, X = data.bed, data.env
    by_mean = lfmm2.run(None, genotypes, X, 3, sweep="1:4", solver="exact")
    filled = lfmm2.run(None, genotypes, X, 3, sweep="1:4", solver="exact", impute="factors")
    assert (filled.t != by_mean.t).any()
    assert filled.sweep is not None
    assert by_mean.sweep is not None
    assert filled.sweep.table.equals(by_mean.sweep.table)
    assert filled.sweep.histograms.equals(by_mean.sweep.histograms)
