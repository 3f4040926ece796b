"""Surrogates in a run: when they are drawn, what they change, and that nothing else changes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from scipy import stats

import lfmm2
from lfmm2.errors import UsageError
from lfmm2.model import draw_surrogates
from lfmm2.pipeline import surrogates as stage
from lfmm2.results import open_record
from lfmm2.statistics.surrogate_null import match_tail

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
K, N, P, SEED = 2, 60, 800, 5


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Dosages of three populations, and two variables that follow them in the same way."""
    rng = np.random.default_rng(0)
    populations = np.arange(N) % 3
    frequency = np.clip(rng.uniform(0.2, 0.8, P) + rng.normal(0, 0.15, (3, P)), 0.05, 0.95)
    dosage = rng.binomial(2, frequency[populations]).astype(float)
    X = 2.0 * (populations == 0)[:, None] + rng.standard_normal((N, 2))
    return dosage, X


@pytest.fixture(scope="module")
def drawn(data: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "r"
    lfmm2.run(None, *data, K, surrogates=2, seed=SEED, out=out, n_threads=1, solver="exact")
    return out


def facts(out: Path) -> Any:
    return open_record(Path(f"{out}.lfmm2.json")).surrogates


def statistics(dosage: np.ndarray, X: np.ndarray) -> np.ndarray:
    """t (p, d) by the dense reference."""
    return reference.lfmm2(dosage, dosage, X, K, df="intercept", standardize=True).t


def test_tails_are_those_of_dense_surrogates(data: tuple[np.ndarray, np.ndarray], drawn: Path) -> None:
    dosage, X = data
    Y, centred = dosage - dosage.mean(axis=0), X - X.mean(axis=0)
    seed = int(np.random.SeedSequence([SEED, 0]).generate_state(1)[0])
    t = [statistics(dosage, of) for of in draw_surrogates(Y @ Y.T, centred, 2, seed)]
    df = N - 1 - 2 - K
    for j, tail in enumerate([facts(drawn).tails[name] for name in ("env1", "env2")]):
        pooled = np.concatenate([of[:, j] ** 2 / np.nanmedian(of[:, j] ** 2) for of in t])
        expected = match_tail(float(np.nanquantile(pooled, 0.99)), 1, df)
        assert tail.tail_df == pytest.approx(expected, rel=1e-5)
    pooled = np.concatenate([reference.joint_distances(of[~np.isnan(of[:, 0])]) for of in t])
    expected = match_tail(float(np.quantile(pooled, 0.99)), 2, df)
    assert facts(drawn).tails["joint"].tail_df == pytest.approx(expected, rel=1e-4)


def test_p_are_of_the_tails_of_the_surrogates(data: tuple[np.ndarray, np.ndarray], drawn: Path) -> None:
    result = lfmm2.read_results(drawn)
    t = statistics(*data)
    tails = facts(drawn).tails
    assert min(tail.tail_df for tail in tails.values()) < result.df
    for j, name in enumerate(("env1", "env2")):
        nu = tails[name].tail_df
        gif = np.nanmedian(t[:, j] ** 2) / stats.f.ppf(0.5, 1, nu)
        assert result.gif[j] == pytest.approx(gif, rel=1e-6)
        np.testing.assert_allclose(result.p_calibrated[:, j], 2 * stats.t.sf(abs(t[:, j]) / gif**0.5, nu), rtol=1e-4)
        np.testing.assert_allclose(result.p[:, j], 2 * stats.t.sf(abs(t[:, j]), result.df), rtol=1e-4)
    distances = reference.joint_distances(t)
    expected = stats.f.sf(distances * stats.f.ppf(0.5, 2, tails["joint"].tail_df), 2, tails["joint"].tail_df)
    np.testing.assert_allclose(result.f_p_calibrated, expected, rtol=1e-4)


def contents(out: Path) -> dict[str, bytes]:
    return {name: Path(f"{out}.{name}.parquet").read_bytes() for name in ("env1", "env2", "joint")}


def test_threads_and_memory_change_no_byte(data: tuple[np.ndarray, np.ndarray], drawn: Path, tmp_path: Path) -> None:
    lfmm2.run(None, *data, K, surrogates=2, seed=SEED, out=tmp_path / "r", n_threads=2, memory="80MB", solver="exact")
    assert contents(tmp_path / "r") == contents(drawn)


def test_resumed_run_has_the_same_bytes(
    data: tuple[np.ndarray, np.ndarray], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    def go_on() -> None:
        out = tmp_path / "r"
        lfmm2.run(None, *data, K, surrogates=2, seed=SEED, out=out, n_threads=1, solver="exact", resume=True)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "surrogate_statistics", interrupt)
        with pytest.raises(KeyboardInterrupt):
            go_on()
    assert (tmp_path / "r.state").is_dir()
    go_on()
    assert contents(tmp_path / "r") == contents(drawn)


def test_surrogates_are_drawn_where_variables_follow_structure(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    dosage, X = data
    lfmm2.run(None, dosage, X, K, out=tmp_path / "a", solver="exact")
    assert "explain" in facts(tmp_path / "a").reason or "GIF" in facts(tmp_path / "a").reason
    free = np.random.default_rng(1).standard_normal((N, 1))
    lfmm2.run(None, dosage, free, K, out=tmp_path / "b", solver="exact")
    assert facts(tmp_path / "b") is None
    lfmm2.run(None, dosage, X, K, out=tmp_path / "c", solver="exact", surrogates=0)
    assert facts(tmp_path / "c") is None


def test_samples_that_share_values_have_surrogates_of_places_too(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    dosage, X = data
    places = X[np.arange(N) // 4 * 4, :1]
    lfmm2.run(None, dosage, places, K, out=tmp_path / "r", surrogates=1, solver="exact")
    assert facts(tmp_path / "r").kinds == ["samples", "places"]
    log = Path(f"{tmp_path / 'r'}.lfmm2.log").read_text()
    assert "1 of samples and 1 of places, 800 SNPs (as asked)" in log
    assert "df of the tails" in log


@pytest.mark.parametrize("options", [{"solver": "krylov"}, {"calibrate": "chi2", "solver": "exact"}])
def test_surrogates_that_cannot_be_drawn_are_refused(
    data: tuple[np.ndarray, np.ndarray], options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="need the Gram matrix, and the calibration student"):
        lfmm2.run(None, *data, K, surrogates=2, **options)
    lfmm2.run(None, *data, K, **options)  # Left open, they are left out.
