"""Sampling noise of the effects, the loci that are averaged over by default, and intervals over the genome."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_results import write_results

import lfmm2
from lfmm2.downstream import offset_sums
from lfmm2.downstream.offset import genetic_offset
from lfmm2.downstream.offset_noise import SamplingNoise
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.results.stored_run import StoredRun

Floats = np.ndarray
N, K = 80, 2
IDS = [f"i{i}" for i in range(N)]


def null_run(folder: Path, lambda_: str, name: str, seed: int = 1, n_snps: int = 3000) -> Path:
    """A run of genotypes without structure and two correlated variables, with a third one as nuisance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 3))
    X[:, 1] += X[:, 0]
    bed = write_plink(folder / name, rng.binomial(2, 0.4, (n_snps, N)), iid=IDS)
    frame = pd.DataFrame(X * [1.0, 30.0, 0.1], columns=["a", "b", "c"], index=IDS)
    lfmm2.run(
        None, bed, frame[["a", "b"]], K, covar=frame[["c"]], lambda_=lambda_, out=folder / name / "r", n_threads=1
    )
    return folder / name / "r"


@pytest.fixture(scope="module", params=["1e-5", "1x"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    folder = tmp_path_factory.mktemp("null")
    (folder / "n").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        return StoredRun(null_run(folder, request.param, "n"))


def columns_of(run: StoredRun, column: str) -> Floats:
    return np.column_stack(
        [np.concatenate([np.asarray(block[column]) for block in run.blocks(name, [column])]) for name in run.variables]
    )


def residual_variances(run: StoredRun) -> Floats:
    """s² of each SNP, from the sum of squares that dense regression leaves."""
    C = np.column_stack([np.ones(N), run.design()[1], run.nuisance(), run.factors().U])
    hat = C @ np.linalg.pinv(C)
    Y = np.fromfile(run.prefix.parent.with_suffix(".bed"), np.uint8)[3:].reshape(-1, N // 4)
    Y = np.array([0.0, np.nan, 1.0, 2.0])[(Y[:, :, None] >> np.array([0, 2, 4, 6])) & 3].reshape(-1, N)
    assert C.shape[1] == 1 + 3 + K
    return ((Y - Y @ hat) ** 2).sum(axis=1) / (N - C.shape[1])


def test_standard_errors_give_the_residual_variance(run: StoredRun) -> None:
    sampling = SamplingNoise([run], "ols")
    found = sampling.residual_variance([columns_of(run, "SE")[:, 0]])
    np.testing.assert_allclose(found, residual_variances(run), rtol=1e-9)


def test_covariance_of_least_squares_has_the_standard_errors_on_its_diagonal(run: StoredRun) -> None:
    sampling = SamplingNoise([run], "ols")
    squares = columns_of(run, "SE") ** 2
    expected = sampling.residual_variance([np.sqrt(squares[:, 0])])[:, None] * np.diag(sampling.matrix)
    np.testing.assert_allclose(squares, expected, rtol=1e-9)


@pytest.mark.parametrize("effects", ["ridge", "ols"])
def test_effects_of_nothing_vary_as_their_covariance_says(run: StoredRun, effects: str) -> None:
    """Of 3 000 SNPs the standard error of a variance is 2.6 %, and factors of noise leave a little of the variables."""
    B = columns_of(run, {"ridge": "RIDGE_BETA", "ols": "BETA"}[effects])
    sampling = SamplingNoise([run], effects)
    scaled = B / np.sqrt(residual_variances(run))[:, None]
    deviations = np.sqrt(np.diag(sampling.matrix))
    found = scaled.T @ scaled / len(B) / np.outer(deviations, deviations)
    expected = sampling.matrix / np.outer(deviations, deviations)
    np.testing.assert_allclose(found, expected, atol=0.12)
    assert effects == "ridge" or abs(expected[0, 1]) > 0.5  # The variables are correlated, so are their effects.


def test_ridge_and_least_squares_agree_where_the_penalty_is_small(run: StoredRun) -> None:
    ridge, ols = (SamplingNoise([run], effects).matrix for effects in ("ridge", "ols"))
    assert np.allclose(ridge, ols, rtol=1e-4) == (run.factors().lambda_ < 1)
    assert (np.diag(ridge) < 1.0001 * np.diag(ols)).all()


def test_gap_of_nothing_is_noise(run: StoredRun) -> None:
    new = pd.DataFrame(run.design()[1] + [1.0, 20.0], columns=["a", "b"], index=IDS)
    raw = genetic_offset(run, None, new, loci="all")
    assert 0.85 < raw.noise_share < 1.1
    left = genetic_offset(run, None, new)
    assert left.subtracted
    assert left.loci.startswith(", all SNPs, because no SNP has q < 0.05, the smallest is ")
    assert left.gap.mean() < 0.15 * raw.gap.mean()
    assert np.array_equal(left.rona, raw.rona)
    np.testing.assert_allclose(left.rona_of_noise.mean(), raw.rona.mean(), rtol=0.1)
    np.testing.assert_allclose(left.moments, raw.moments - raw.noise, rtol=1e-12)
    assert left.summary()["noise"].endswith("was sampling noise of the effects, and is subtracted; RONA includes it")


def test_effects_of_two_runs_have_the_noise_of_their_mean(run: StoredRun) -> None:
    """The same data twice is one run."""
    one = SamplingNoise([run], "ridge")
    two = SamplingNoise([run, run], "ridge")
    np.testing.assert_allclose(one.matrix, two.matrix, rtol=1e-12)
    se = columns_of(run, "SE")[:, 0]
    np.testing.assert_allclose(one.residual_variance([se]), two.residual_variance([se, se]), rtol=1e-12)


# ------------------------------------------------------------------- made effects


def made(folder: Path, q: Floats, seed: int = 0, name: str = "r", **more) -> tuple[Path, Floats, Floats, Floats]:
    """Results of two variables with any effects, environments of 5 places, and the effects."""
    rng = np.random.default_rng(seed)
    B = rng.normal(0.02, 0.1, (len(q), 2))
    X = rng.normal(10, 3, (20, 2))
    tables = {v: {"RIDGE_BETA": B[:, j], "SE": np.full(len(q), 0.05), "Q": q} for j, v in enumerate("ab")}
    prefix = write_results(folder / name, tables | more, X=X, sample_ids=IDS[:20])
    x = rng.normal(10, 3, (5, 2))
    return prefix, B, x, x + rng.normal(1, 1, (5, 2))


def dense_gap(B: Floats, change: Floats, noise: Floats | float = 0.0) -> Floats:
    return np.maximum(np.einsum("ij,jk,ik->i", change, B.T @ B / len(B) - noise, change), 0)


def test_discovered_loci_are_the_default(tmp_path: Path) -> None:
    q = np.random.default_rng(3).random(400)
    prefix, B, x, x_new = made(tmp_path, q)
    found = genetic_offset(prefix, x, x_new)
    assert (found.n_loci, found.loci, found.subtracted) == ((q < 0.05).sum(), " with q < 0.05", False)
    np.testing.assert_allclose(found.gap, dense_gap(B[q < 0.05], x - x_new), rtol=1e-12)
    assert found.gap.tobytes() == genetic_offset(prefix, x, x_new, loci=0.05).gap.tobytes()


def test_default_looks_at_every_run_and_test(tmp_path: Path) -> None:
    none = np.full(400, 0.5)
    few = none.copy()
    few[[7, 300]] = 0.01
    first, _, x, x_new = made(tmp_path, none, joint={"Q": few})
    second = made(tmp_path, few, name="s", joint={"Q": none})[0]
    assert genetic_offset(first, x, x_new).subtracted
    assert genetic_offset([first, second], x, x_new).n_loci == 2
    assert genetic_offset(first, x, x_new, joint=True).n_loci == 2
    assert genetic_offset(second, x, x_new, joint=True).n_loci == 400


def test_noise_is_subtracted_or_kept_as_asked(tmp_path: Path) -> None:
    prefix, B, x, x_new = made(tmp_path, np.full(400, 0.5))
    sampling = SamplingNoise([StoredRun(prefix)], "ridge")
    noise = sampling.residual_variance([np.full(400, 0.05)])[0] * sampling.matrix
    change = x - x_new
    raw, subtracted = dense_gap(B, change), dense_gap(B, change, noise)
    assert (subtracted < raw).all()
    for loci, how, expected in (
        ("auto", "auto", subtracted),
        ("auto", "keep", raw),
        ("all", "auto", raw),
        ("all", "subtract", subtracted),
    ):
        found = genetic_offset(prefix, x, x_new, loci=loci, noise=how)
        np.testing.assert_allclose(found.gap, expected, rtol=1e-9)
        np.testing.assert_allclose(found.noise, noise, rtol=1e-12)
    with pytest.raises(lfmm2.UsageError, match="noise is 'no'; it is one of auto, keep, subtract"):
        genetic_offset(prefix, x, x_new, noise="no")


def bootstrap(B: Floats, rows: Floats, n_snps: int, change: Floats, noise: Floats | float) -> Floats:
    """The definition: loci of the drawn stretches laid side by side, and the quantiles of their gaps."""
    n_stretches = offset_sums.N_STRETCHES
    ends = np.arange(1, n_stretches + 1) * n_snps // n_stretches
    stretch = np.searchsorted(ends, rows, side="right")
    used = np.unique(stretch)
    times = np.random.default_rng(offset_sums.SEED).multinomial(
        len(used), np.full(len(used), 1 / len(used)), offset_sums.N_DRAWS
    )
    gaps = [dense_gap(np.repeat(B, draw[np.searchsorted(used, stretch)], axis=0), change, noise) for draw in times]
    return np.quantile(gaps, [0.025, 0.975], axis=0)


@pytest.mark.parametrize("how", ["keep", "subtract"])
@pytest.mark.parametrize("n_snps", [400, 1333])
def test_interval_is_the_bootstrap_over_stretches(tmp_path: Path, how: str, n_snps: int) -> None:
    q = np.random.default_rng(3).random(n_snps)
    prefix, B, x, x_new = made(tmp_path, q)
    found = genetic_offset(prefix, x, x_new, loci=0.2, noise=how)
    chosen = np.flatnonzero(q < 0.2)
    low, high = bootstrap(B[chosen], chosen, n_snps, x - x_new, found.noise if how == "subtract" else 0.0)
    np.testing.assert_allclose(found.gap_low, low, rtol=1e-9)
    np.testing.assert_allclose(found.gap_high, high, rtol=1e-9)
    assert (low < found.gap).all()
    assert (found.gap < high).all()


def test_interval_has_the_same_bits_from_any_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix, _, x, x_new = made(tmp_path, np.full(5000, 0.5))
    plain = genetic_offset(prefix, x, x_new)
    blocks = StoredRun.blocks
    monkeypatch.setattr(StoredRun, "blocks", lambda *a: blocks(*a, block_rows=3 * offset_sums.GROUP))
    cut = genetic_offset(prefix, x, x_new)
    assert plain.subtracted
    for name in ("gap", "gap_low", "gap_high", "noise", "rona_of_noise"):
        assert getattr(plain, name).tobytes() == getattr(cut, name).tobytes()


def test_loci_of_few_stretches_have_no_interval(tmp_path: Path) -> None:
    q = np.full(1000, 0.5)
    q[: 20 * (offset_sums.FEWEST_STRETCHES - 1)] = 0.01
    prefix, _, x, x_new = made(tmp_path, q)
    found = genetic_offset(prefix, x, x_new, out=tmp_path / "o")
    assert np.isnan(found.gap_low).all()
    assert found.summary()["interval"] == "none, because fewer than 8 of 50 parts of the genome have loci"
    assert (tmp_path / "o.offset.tsv").read_text().splitlines()[1].split("\t")[3:] == ["NA", "NA", "."]
    q[20 * (offset_sums.FEWEST_STRETCHES - 1)] = 0.01
    assert np.isfinite(genetic_offset(made(tmp_path, q, name="s")[0], x, x_new).gap_low).all()


def test_gap_below_noise_is_zero_and_told(tmp_path: Path) -> None:
    prefix, B, x, x_new = made(tmp_path, np.full(400, 0.5))
    tables = {v: {"RIDGE_BETA": B[:, j] / 100, "SE": np.full(400, 0.05)} for j, v in enumerate("ab")}
    X = StoredRun(prefix).design()[1]
    found = genetic_offset(write_results(tmp_path / "s", tables, X=X, sample_ids=IDS[:20]), x, x_new)
    assert not found.gap.any()
    assert found.noise_share > 1
    lines = found.summary()
    assert lines["no gap"] == "5 places, where the effects predict no more than noise does"
    assert lines["noise"].startswith("100 % of the mean gap was")
    assert "interval" not in lines
