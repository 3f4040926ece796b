"""Runs with few carriers: no false hits, nothing lost, and what is said of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.errors import CalibrationWarning, UsageError
from lfmm2.pipeline.few_carriers import few_carriers_notes
from lfmm2.results import CarrierFacts, open_record
from lfmm2.statistics.distributions import student_p

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
N, P, K, CASES = 200, 1500, 2, 6


@pytest.fixture(scope="module")
def G() -> np.ndarray:
    rng = np.random.default_rng(8)
    G = rng.binomial(2, np.exp(rng.uniform(np.log(0.005), np.log(0.5), P)), size=(N, P)).astype(np.int8)
    G[:, 0] = 0
    G[: CASES - 1, 0] = 1  # a rare allele that all cases but one carry, and two others
    G[[50, 90], 0] = 1
    return G


@pytest.fixture(scope="module")
def X() -> pd.DataFrame:
    ids = [f"s{i}" for i in range(N)]
    values = {"cases": (np.arange(N) < CASES) * 1.0, "even": np.random.default_rng(2).normal(size=N)}
    return pd.DataFrame(values, index=ids)


@pytest.fixture(scope="module")
def results(G: np.ndarray, X: pd.DataFrame) -> dict[str, lfmm2.AssociationResult]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        choices = {"default": {}, "spa": {"spa": True}, "all": {"min_carriers": 0}}
        return {name: lfmm2.run(None, G, X.to_numpy(), K, **options) for name, options in choices.items()}


def test_null_set_has_no_hits_but_with_all_snps(results: dict[str, lfmm2.AssociationResult]) -> None:
    hits = {name: set(np.flatnonzero(result.q[:, 0] < 0.05)) for name, result in results.items()}
    assert len(hits["all"]) > 20
    assert not hits["default"]
    assert hits["spa"] == {0}  # the one that is true


def test_few_carriers_have_t_and_p_but_no_part_in_calibration(results: dict[str, lfmm2.AssociationResult]) -> None:
    result, spa = results["default"], results["spa"]
    few = (result.effective_carriers < 10) & (result.status == 0)[:, None]
    assert P / 2 < few[:, 0].sum() < P
    assert not few[:, 1].any()
    assert np.isfinite(result.p[few]).all()
    sound = result.t[(result.status == 0) & ~few[:, 0], 0]
    assert result.gif[0] == pytest.approx(np.median(sound**2) / 0.6755**2, rel=5e-3)
    for values in (result.p_calibrated, result.q, result.q_storey, result.local_fdr, result.neg_log10_p_calibrated):
        np.testing.assert_array_equal(np.isnan(values), few | (result.status != 0)[:, None])
    assert result.calibrations["env1"].n_tests == len(sound)
    np.testing.assert_array_equal(np.isnan(result.f_q), few.any(axis=1) | (result.status != 0))
    np.testing.assert_array_equal(spa.gif, result.gif)
    np.testing.assert_array_equal(spa.p[~few], result.p[~few])
    np.testing.assert_array_equal(spa.t, result.t)


def test_saddlepoint_p_are_calibrated_and_ranked_with_the_others(results: dict[str, lfmm2.AssociationResult]) -> None:
    spa = results["spa"]
    ok = spa.status == 0
    assert np.isfinite(spa.q[ok]).all()
    assert spa.calibrations["env1"].n_tests == ok.sum()
    few = ok & (spa.effective_carriers[:, 0] < 10)
    assert spa.gif[0] < 1  # by chance, since few SNPs are sound
    np.testing.assert_allclose(spa.p_calibrated[few, 0], spa.p[few, 0], rtol=1e-9)
    sound = ok & ~few
    assert (spa.p_calibrated[sound, 0] <= spa.p[sound, 0]).all()
    m = ok.sum()
    expected = np.minimum.accumulate((np.sort(spa.p_calibrated[ok, 0]) * m / np.arange(1, m + 1))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(spa.q[ok, 0]), expected, rtol=1e-9)
    # the far tail of t is wrong by orders of magnitude
    strong = np.abs(spa.t[:, 0]) > 6
    assert (spa.p[strong, 0] > 1e3 * student_p(spa.t[strong, 0], spa.df)).all()


def test_chi2_calibrates_all_snps_as_r_does(G: np.ndarray, X: pd.DataFrame) -> None:
    result = lfmm2.run(None, G, X.to_numpy(), K, calibrate="chi2")
    assert result.gif[0] == pytest.approx(np.nanmedian(result.t[:, 0] ** 2) / 0.45493642311957275, rel=1e-12)


def test_files_log_and_record_say_what_memory_does(
    G: np.ndarray, X: pd.DataFrame, results: dict[str, lfmm2.AssociationResult], tmp_path: Path
) -> None:
    result = lfmm2.run(None, G, X.to_numpy(), K, spa=True, out=tmp_path / "r")
    for name in ("p", "neg_log10_p", "p_calibrated", "q", "local_fdr", "effective_carriers", "f_q"):
        np.testing.assert_array_equal(getattr(result, name), getattr(results["spa"], name))
    facts = open_record(result.paths["record"]).carriers
    n_few = int((result.effective_carriers[:, 0] < 10).sum())
    assert (facts.fewest, facts.spa, facts.n_few) == (10.0, True, {"env1": n_few, "env2": 0, "joint": n_few})
    log = result.paths["log"].read_text()
    assert f"{n_few:,} of ".replace(",", " ") in log.replace("\N{NO-BREAK SPACE}", " ")
    assert "tested by saddlepoint approximation (--spa)" in log
    assert lfmm2.find_hits(tmp_path / "r", variables="env1")["EFF_CARRIERS"].to_pylist() == [
        result.effective_carriers[0, 0]
    ]


def test_a_run_warns_once_most_snps_have_no_q(G: np.ndarray, X: pd.DataFrame) -> None:
    with pytest.warns(CalibrationWarning, match=r"env1: 1.* have fewer than 10 effective .* 6\.\d+ cases .* --spa"):
        lfmm2.run(None, G, X["cases"].to_numpy(), K)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lfmm2.run(None, G, X["even"].to_numpy(), K)


@pytest.mark.parametrize(
    ("n_few", "spa", "unevenness", "values", "expected"),
    [
        (51, False, 20.0, [0.0, 0.0, 1.0], "take its logarithm|cases among 3 samples; test them with --spa"),
        (51, False, 20.0, [0.1, 0.2, 5.0], "cases among 3 samples; take its logarithm or ranks, or test them"),
        (51, False, 0.5, [0.1, 0.2, 0.3], "because most SNPs are rare; drop these with --maf"),
        (50, False, 20.0, [0.0, 0.0, 1.0], ""),
        (90, True, 20.0, [0.0, 0.0, 1.0], ""),
    ],
)
def test_notes_are_of_the_cause(n_few: int, spa: bool, unevenness: float, values: list[float], expected: str) -> None:
    facts = CarrierFacts(10.0, {"x": n_few}, 100, spa, {"x": unevenness})
    notes = few_carriers_notes(facts, np.array(values)[:, None])
    *absent, present = expected.split("|")
    assert len(notes) == bool(expected)
    assert present in "".join(notes)
    assert not any(text in "".join(notes) for text in absent)


def test_spa_is_refused_where_it_can_do_nothing(G: np.ndarray, X: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="--spa tests the SNPs below --min-carriers, which is 0; give --min-carriers"):
        lfmm2.run(None, G, X.to_numpy(), K, spa=True, calibrate="chi2")
    with pytest.raises(UsageError, match="the ploidy of these genotypes is not known; leave it out"):
        lfmm2.run(None, G / 2 + 0.1, X.to_numpy(), K, spa=True)
