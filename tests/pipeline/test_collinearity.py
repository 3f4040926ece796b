"""Variance inflation of correlated variables: the factors, what explains them, and what users are told."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.cli.program import main
from lfmm2.pipeline.collinearity import describe_collinearity, inflation, warn_of_collinearity
from lfmm2.pipeline.inputs import align_variables
from lfmm2.pipeline.run_options import SampleOptions
from lfmm2.results.record import CollinearityFacts
from lfmm2.results.stored_run import StoredRun

Floats = np.ndarray
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


def r_squared(y: Floats, X: Floats) -> float:
    """R² of a variable on others, by least squares."""
    Z = np.c_[np.ones(len(y)), X]
    rest = y - Z @ np.linalg.lstsq(Z, y, rcond=None)[0]
    return float(1 - rest @ rest / ((y - y.mean()) @ (y - y.mean())))


def facts_of(X: pd.DataFrame, covar: pd.DataFrame | None = None, **options: object) -> dict[str, CollinearityFacts]:
    from lfmm2.files.samples import Samples

    samples = Samples([f"i{k}" for k in range(len(X))], [f"i{k}" for k in range(len(X))])
    variables = align_variables(samples, X, covar, SampleOptions(**options))
    return describe_collinearity(variables, variables.values - variables.values.mean(axis=0))


def frame(**columns: Floats) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"IID": [f"i{k}" for k in range(n)]} | columns)


@pytest.fixture(scope="module")
def climate() -> pd.DataFrame:
    """Rain and snow, their sum with noise, a variable of its own, and °F beside °C."""
    rng = np.random.default_rng(3)
    rain, snow, own, warm = rng.normal(size=(4, 60))
    wet, rounded = rain + snow + 0.1 * rng.normal(size=60), 1e-3 * rng.normal(size=60)
    return frame(rain=rain, snow=snow, wet=wet, own=own, celsius=warm, fahrenheit=1.8 * warm + 32 + rounded)


def test_factors_are_those_of_regressions(climate: pd.DataFrame) -> None:
    found = facts_of(climate)
    for name in climate.columns[1:]:
        others = climate.drop(columns=["IID", name]).to_numpy()
        np.testing.assert_allclose(found[name].vif, 1 / (1 - r_squared(climate[name].to_numpy(), others)), rtol=1e-6)


def test_others_are_the_variables_that_explain_one(climate: pd.DataFrame) -> None:
    found = facts_of(climate)
    assert found["celsius"].others == ["fahrenheit"]
    assert found["celsius"].correlation == pytest.approx(np.corrcoef(climate["celsius"], climate["fahrenheit"])[0, 1])
    assert sorted(found["wet"].others) == ["rain", "snow"]
    assert found["own"].others == []


def test_variable_that_only_resembles_one_does_not_explain_it() -> None:
    """Of a = wet − b, c is the nearest to a, but wet and b explain it."""
    a, b, noise, rest = np.random.default_rng(7).normal(size=(4, 80))
    found = facts_of(frame(a=a, b=b, wet=a + b + 0.02 * noise, c=a + 0.1 * rest))
    assert sorted(found["a"].others) == ["b", "wet"]
    assert found["c"].others == ["a"]


def test_nuisance_variables_explain_too(climate: pd.DataFrame) -> None:
    rain = climate[["IID", "rain", "own"]]
    altitude = frame(altitude=climate["rain"].to_numpy() + 0.05 * climate["snow"].to_numpy())
    found = facts_of(rain, altitude)
    assert list(found) == ["rain", "own"]
    assert found["rain"].others == ["altitude"]
    assert found["rain"].vif > 100


def test_one_variable_or_category_alone_has_no_factor() -> None:
    assert facts_of(frame(rain=np.arange(20.0) ** 2)) == {}
    soil = frame(x=np.ones(20)).assign(soil=list("abcab" * 4))[["IID", "soil"]]
    assert facts_of(soil, categorical="soil") == {}
    assert list(facts_of(soil, frame(rain=np.arange(20.0) ** 2), categorical="soil")) == ["soil=b", "soil=c"]


def test_no_unit_changes_a_factor(climate: pd.DataFrame) -> None:
    other = climate.assign(wet=climate["wet"] * 1e-9, snow=climate["snow"] * 1e7 - 5e8)
    expected, found = facts_of(climate), facts_of(other)
    for name in expected:
        np.testing.assert_allclose(found[name].vif, expected[name].vif, rtol=1e-5)
        assert found[name].others == expected[name].others


def test_reference_level_of_a_category_changes_no_factor() -> None:
    """With a rare reference the indicators of the others are nearly opposite, which says nothing of the category."""
    rng = np.random.default_rng(1)
    soil = np.array([*"a" * 3, *"b" * 30, *"c" * 27])
    depth = rng.normal(size=60) + (soil == "b")
    answers = []
    for rare in ("a", "z"):  # the reference is the first level in sorted order
        X = frame(depth=depth).assign(soil=np.where(soil == "a", rare, soil))
        found = facts_of(X, categorical="soil")
        answers.append({"depth": found["depth"].vif, "soil": found[f"soil={'c'}"].vif})
        assert len({of.vif for name, of in found.items() if name.startswith("soil=")}) == 1
    assert answers[0] == pytest.approx(answers[1])
    assert max(answers[0].values()) < 2


def test_generalised_factor_is_the_ratio_of_determinants() -> None:
    X = np.random.default_rng(5).normal(size=(40, 5)) @ np.random.default_rng(6).normal(size=(5, 5))
    R = np.corrcoef(X.T)
    ratio = np.linalg.det(R[:2, :2]) * np.linalg.det(R[2:, 2:]) / np.linalg.det(R)
    assert inflation(X - X.mean(axis=0), [0, 1], [2, 3, 4]) == pytest.approx(np.sqrt(ratio))


def test_warning_names_variables_correlation_and_remedies(climate: pd.DataFrame) -> None:
    with pytest.warns(lfmm2.InputWarning) as caught:
        warn_of_collinearity(facts_of(climate), (), marginal=False)
    (message,) = (str(w.message) for w in caught)
    assert "5 variables with a variance inflation factor (VIF) above 5" in message
    assert "r = 1.000 with" in message
    assert message.count("celsius") == message.count("fahrenheit") == 1  # a pair is named once
    assert "wet: VIF" in message
    assert "--marginal" in message
    with pytest.warns(lfmm2.InputWarning, match="see T_MARGINAL for each of them alone"):
        warn_of_collinearity(facts_of(climate), (), marginal=True)


@pytest.mark.parametrize(("r", "warned"), [(0.88, False), (0.91, True)])
def test_warning_begins_above_5(r: float, warned: bool) -> None:
    basis = np.linalg.qr(np.c_[np.ones(50), np.random.default_rng(2).normal(size=(50, 2))])[0]
    a, b = basis[:, 1], r * basis[:, 1] + np.sqrt(1 - r * r) * basis[:, 2]
    found = facts_of(frame(a=a, b=b))
    assert found["a"].vif == pytest.approx(1 / (1 - r * r))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_collinearity(found, (), marginal=False)
    assert len(caught) == warned


def test_where_nuisance_variables_explain_one_a_test_alone_is_not_advised() -> None:
    facts = {"rain": CollinearityFacts(50.0, ["altitude"], 0.99)}
    with pytest.warns(lfmm2.InputWarning, match="leave out these nuisance variables") as caught:
        warn_of_collinearity(facts, ("altitude",), marginal=False)
    assert "--marginal" not in str(caught[0].message)


def test_run_warns_before_the_passes_and_records_the_factors(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=300, seed=2)
    first = data.variables[:, 0]
    X = np.column_stack([first, first + 0.1 * first.std() * np.random.default_rng(0).normal(size=60)])
    for mind in (0.9, None):  # with mind the samples are known only after its pass
        with pytest.warns(lfmm2.InputWarning, match="VIF") as caught:
            lfmm2.run(None, data.bed, X, 2, out=tmp_path / "r", mind=mind, overwrite=True)
        assert sum("VIF" in str(w.message) for w in caught) == 1
    record = StoredRun(tmp_path / "r").record
    assert record.collinearity["env1"].others == ["env2"]
    r = record.collinearity["env1"].correlation
    assert record.collinearity["env1"].vif == pytest.approx(1 / (1 - r * r))
    log = (tmp_path / "r.lfmm2.log").read_text()
    assert f"env1 ({record.collinearity['env1'].describe()})" in log
    with warnings.catch_warnings():
        warnings.simplefilter("error", lfmm2.InputWarning)
        lfmm2.run(None, data.bed, data.env, 2)
        lfmm2.estimate_factors(data.bed, X, 2)  # no test is weakened where none is made


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_terminal_shows_factors_only_where_they_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lfmm2.simulate("d", n_samples=60, n_snps=200, seed=2)
    climate = pd.read_csv("d.env.csv")
    near = climate["env1"] + 0.1 * climate["env1"].std() * np.random.default_rng(0).normal(size=60)
    climate.assign(near=near).to_csv("near.csv", index=False)
    shown = {}
    for table in ("d.env.csv", "near.csv"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["run", "--bed", "d", "--env", table, "-K", "2", "--out", "r", "--overwrite"])
        shown[table] = capsys.readouterr().out
        assert "VIF:" in Path("r.lfmm2.log").read_text()
    assert "VIF:" not in shown["d.env.csv"]
    assert "r = 0.99" in shown["near.csv"].split("VIF:")[1].split("\n")[0]
