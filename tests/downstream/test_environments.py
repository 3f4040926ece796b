"""Environments of an offset: their units, values outside the range of the run, empty cells, one row for all places."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stored_results import write_results

import lfmm2
from lfmm2.cli.program import main
from lfmm2.downstream.offset import genetic_offset

Floats = np.ndarray
N = 60
IDS = [f"s{i:02d}" for i in range(N)]
RNG = np.random.default_rng(5)
TEMP, RAIN = RNG.normal(15, 4, N), RNG.normal(800, 150, N)


def frame(temp: Floats | float, rain: Floats | float, ids: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"temp": temp, "rain": rain}, index=IDS if ids is None else ids)


def written(folder: Path, X: pd.DataFrame, name: str = "r") -> Path:
    rng = np.random.default_rng(1)
    tables = {v: {"RIDGE_BETA": rng.normal(0, 0.1, 300) / X[v].std()} for v in ("temp", "rain")}
    return write_results(folder / name, tables, X=X.to_numpy(), sample_ids=list(X.index))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("r"), frame(TEMP, RAIN))


def said(*arguments: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        genetic_offset(*arguments)
    return [str(warning.message) for warning in seen]


# --------------------------------------------------------------------------- units

WARMER, DRIER = TEMP + 3 + RNG.normal(0, 0.3, N), RAIN - 60 + RNG.normal(0, 20, N)
UNITS = {
    "tenths of a degree": (10 * WARMER, DRIER, r"temp \(1\d\d.*\) is about that of .* times 10;"),
    "kelvin": (WARMER + 273.15, DRIER, r"temp \(29.*\) is about that of .* in kelvin instead of °C"),
    "tenths of a kelvin": (10 * WARMER + 2731.5, DRIER, "temp .* in tenths of a kelvin instead of °C"),
    "Fahrenheit": (1.8 * WARMER + 32, DRIER, "temp .* in degrees Fahrenheit instead of °C"),
    "centimetres": (WARMER, DRIER / 10, "rain .* divided by 10;"),
    "metres": (WARMER, DRIER / 1000, "rain .* divided by 1000;"),
    "inches": (WARMER, DRIER / 25.4, "rain .* in inches instead of mm"),
    "mm per second": (WARMER, DRIER / 86400, "rain .* in mm per second instead of mm per day"),
    "two of them": (WARMER + 273.15, DRIER / 10, "temp .* in kelvin instead of °C, rain .* divided by 10;"),
    "something else": (WARMER + 100, DRIER, "temp changes by 27.* standard deviations of the run; check the units"),
}


@pytest.mark.parametrize(("temp", "rain", "message"), UNITS.values(), ids=UNITS.keys())
def test_other_units_are_told(run: Path, temp: Floats, rain: Floats, message: str) -> None:
    for new in (frame(temp, rain), np.column_stack([temp, rain])):
        with pytest.warns(lfmm2.InputWarning, match=f"new environments: at the median place .*{message}") as seen:
            genetic_offset(run, None, new)
        assert len(seen) == 1


@pytest.mark.parametrize(("temp", "rain", "message"), list(UNITS.values())[:8], ids=list(UNITS)[:8])
def test_both_tables_in_other_units_than_the_run_are_told(run: Path, temp: Floats, rain: Floats, message: str) -> None:
    """The cells of a raster are other places than the samples, and are compared as a whole."""
    cells = [f"c{i}" for i in range(N)]
    old = frame(temp, rain, cells).sample(frac=1, random_state=1)
    step = 0.1 * old.std().to_numpy()
    with pytest.warns(lfmm2.InputWarning, match=rf"^environments: at the median place .*{message}") as seen:
        genetic_offset(run, old, old + step)
    assert len(seen) == 1


def scaled(values: Floats, by: Floats) -> Floats:
    return np.asarray((values - by.mean()) / by.std(ddof=1))


def test_standardised_and_raw_tables_are_told_apart(tmp_path: Path, run: Path) -> None:
    z = written(tmp_path, frame(scaled(TEMP, TEMP), scaled(RAIN, RAIN)), "z")
    raw, right = frame(WARMER, DRIER), frame(scaled(WARMER, TEMP), scaled(DRIER, RAIN))
    own = frame(scaled(WARMER, WARMER), scaled(DRIER, DRIER))
    assert said(z, None, right) == []
    for env in (None, frame(TEMP, RAIN)):
        (message,) = said(z, env, raw)
        which = "environments" if env is not None else "new environments"
        assert message.startswith(f"{which}: temp, rain look standardised in the run, but here the medians are 1")
    (message,) = said(z, None, own)
    assert "temp, rain have mean 0 and standard deviation 1 in both" in message
    (message,) = said(run, None, own)
    assert (
        "new environments: temp, rain have mean 0 and standard deviation 1, but 14.14 and 3.774 in the run" in message
    )
    (message,) = said(run, frame(scaled(TEMP, TEMP), scaled(RAIN, RAIN)), right)
    assert "environments: temp, rain have mean 0 and standard deviation 1, but" in message


def test_samples_may_be_left_out_after_variables_are_standardised(tmp_path: Path) -> None:
    z = written(tmp_path, frame(scaled(TEMP, TEMP), scaled(RAIN, RAIN))[5:50], "z")
    right, raw = frame(scaled(WARMER, TEMP), scaled(DRIER, RAIN))[5:50], frame(WARMER, DRIER)[5:50]
    assert said(z, None, right) == []
    (message,) = said(z, None, raw)
    assert "temp, rain look standardised in the run, but here the medians are 1" in message


SOUND = {
    "4 °C warmer": (TEMP + 4, RAIN),
    "4 °C warmer, a third of the rain": (TEMP + 4, RAIN / 3),
    "12 °C warmer": (TEMP + 12, RAIN),
    "twice the rain, twice as uneven": (TEMP, 2 * RAIN),
    "one climate for all": (np.full(N, 12.0), np.full(N, 700.0)),
    "places exchanged": (TEMP[::-1], RAIN[::-1]),
}


@pytest.mark.parametrize(("temp", "rain"), SOUND.values(), ids=SOUND.keys())
def test_changes_of_climate_are_not_warned_of(run: Path, temp: Floats, rain: Floats) -> None:
    assert said(run, None, frame(temp, rain)) == []
    assert said(run, frame(TEMP, RAIN), frame(temp, rain)) == []


def test_rasters_of_a_larger_country_are_not_warned_of(run: Path) -> None:
    rng = np.random.default_rng(2)
    cells = [f"c{i}" for i in range(500)]
    old = frame(rng.normal(8, 12, 500), rng.gamma(2, 300, 500), cells)
    assert said(run, old, old.assign(temp=old["temp"] + 3)) == []


def test_rare_classes_are_no_unit(tmp_path: Path) -> None:
    """Of an indicator that few samples have, the standard deviation is small."""
    sand = (np.arange(N) == 3).astype(float)
    X = pd.DataFrame({"temp": TEMP, "rain": sand}, index=IDS)
    prefix = written(tmp_path, X)
    assert said(prefix, None, X.assign(rain=1.0)) == []


# --------------------------------------------------------------------------- range


def test_values_outside_the_range_of_the_run_are_named(tmp_path: Path, run: Path) -> None:
    temp, rain = TEMP.copy(), RAIN.copy()
    temp[3], rain[3], rain[7] = TEMP.max() + 1, RAIN.max() + 10, RAIN.min() - 10
    result = genetic_offset(run, None, frame(temp, rain), out=tmp_path / "o")
    table = pd.read_csv(tmp_path / "o.offset.tsv", sep="\t", keep_default_na=False)
    assert table["OUTSIDE"][[3, 7]].tolist() == ["temp,rain", "rain"]
    assert set(table["OUTSIDE"].drop([3, 7])) == {"."}
    expected = "new values of 2 of 60 places (temp 1, rain 2); effects are extrapolated there"
    assert result.summary()["outside the run"] == expected
    inside = genetic_offset(run, None, frame(TEMP[::-1].round(3), RAIN[::-1].round(2)))
    assert not inside.outside.any()
    assert "outside the run" not in inside.summary()


# --------------------------------------------------------------------------- empty cells


@pytest.mark.parametrize("kind", ["table", "array"])
def test_place_without_values_in_both_has_no_offset(tmp_path: Path, run: Path, kind: str) -> None:
    sea = np.arange(N) % 7 == 0
    old, new = frame(TEMP, RAIN), frame(TEMP + 2, RAIN)
    plain = genetic_offset(run, old[~sea], new[~sea])
    old[sea], new.loc[sea, "rain"] = np.nan, np.nan
    given = (old, new) if kind == "table" else (old.to_numpy(), new.to_numpy())
    result = genetic_offset(run, *given, out=tmp_path / "o")
    for name in ("gap", "rona", "gap_low", "gap_high"):
        assert np.array_equal(np.isnan(getattr(result, name)), sea)
        assert np.array_equal(getattr(result, name)[~sea], getattr(plain, name))
    assert np.array_equal(result.eigenvalues, plain.eigenvalues)
    assert not result.outside[sea].any()
    lines = result.summary()
    assert lines["without values"] == "9 places, missing in both environments; the offset is NA"
    assert lines["genetic gap"] == plain.summary()["genetic gap"]
    row = (tmp_path / "o.offset.tsv").read_text().splitlines()[1].split("\t")
    assert row[1:] == ["NA", "NA", "NA", "NA", "NA"]


def test_value_that_one_table_lacks_is_an_error(run: Path) -> None:
    old, new = frame(TEMP, RAIN), frame(TEMP + 2, RAIN)
    old.iloc[4], new.iloc[4] = np.nan, np.nan
    new.iloc[6, 1] = np.nan
    with pytest.raises(lfmm2.InconsistentInputError, match=r"row 7 \(sample s06\), column 'rain': missing; complete"):
        genetic_offset(run, old, new)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"row 5 .*, row 5 .*, row 7 .* missing; complete"):
        genetic_offset(run, None, new)
    with pytest.raises(lfmm2.InconsistentInputError, match="no place has a value of every variable"):
        genetic_offset(run, old.assign(rain=np.nan), new.assign(temp=np.nan))


# --------------------------------------------------------------------------- one row for all places

GARDEN = {
    "ID": pd.DataFrame({"ID": ["garden"], "temp": [11.5], "rain": [847.0]}),
    "IID": pd.DataFrame({"IID": ["garden"], "temp": [11.5], "rain": [847.0]}),
    "index": frame(11.5, 847.0, ["garden"]),
    "no ID": pd.DataFrame({"temp": [11.5], "rain": [847.0]}),
    "array": np.array([[11.5, 847.0]]),
}


@pytest.mark.parametrize("kind", GARDEN)
@pytest.mark.parametrize("env", ["run", "table", "array"])
def test_one_row_stands_for_all_places(run: Path, kind: str, env: str) -> None:
    old: Any = {"run": None, "table": frame(TEMP, RAIN), "array": np.column_stack([TEMP, RAIN])}[env]
    expected = genetic_offset(run, None, frame(np.full(N, 11.5), np.full(N, 847.0)))
    found = genetic_offset(run, old, GARDEN[kind])
    assert np.array_equal(found.gap, expected.gap)
    assert len(found.ids) == N
    assert expected.common is None
    assert found.summary()["new environment"].startswith("one row (")
    assert (env == "array") or found.ids == tuple(IDS)


def test_one_row_of_cells_by_coordinates(run: Path) -> None:
    places = pd.DataFrame({"lon": np.arange(N) / 7, "lat": np.arange(N) % 5, "temp": TEMP, "rain": RAIN})
    found = genetic_offset(run, places, pd.DataFrame({"lon": [40.5], "lat": [7], "temp": [11.5], "rain": [847.0]}))
    assert (found.common, found.ids[1]) == ("40.5 7", "0.1428571429 1")
    with pytest.raises(lfmm2.InconsistentInputError, match="59 of 60 IDs"):
        genetic_offset(run, places, places.iloc[3:4])


@pytest.mark.parametrize("column", ["ID", "IID", "sample"])
def test_one_row_of_a_sample_is_not_for_all(run: Path, column: str) -> None:
    one = pd.DataFrame({column: ["s05"], "temp": [11.5], "rain": [847.0]})
    for env in (None, frame(TEMP, RAIN)):
        with pytest.raises(lfmm2.InconsistentInputError, match="59 of 60 IDs"):
            genetic_offset(run, env, one)


def test_garden_in_other_units_is_told(run: Path) -> None:
    (message,) = said(run, None, frame(115.0, 847.0, ["garden"]))
    assert "at the median place temp (115) is about that of" in message
    assert message.endswith("times 10; give the values in the units of the run")


# --------------------------------------------------------------------------- command line


def test_command_tells_what_it_did(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "garden.csv").write_text("ID,temp,rain\ngarden,31.5,847\n")
    arguments = ["offset", str(run), "--new-env", str(tmp_path / "garden.csv"), "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    out = capsys.readouterr().out
    for line in (
        "loci:             300, all SNPs, because no SNP has q < 0.05, the smallest is 0.5, mean effects of temp, rain",
        "new environment:  one row (garden) stands for all places",
        "outside the run:  new values of 60 of 60 places (temp 60); effects are extrapolated there",
        "% of the mean gap was sampling noise of the effects, and is subtracted; RONA includes it",
        "RONA of noise:",
    ):
        assert line in out
    with pytest.raises(SystemExit):
        main([*arguments, "--loci", "all", "--overwrite"])
    assert "% of the mean gap is sampling noise of the effects\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loci", "all", "--fdr", "0.1"], "--loci and --fdr both choose loci; give one of them"),
        (["--loci", "auto", "--fdr", "0.1", "--extract", "x"], "--loci and --fdr and --extract all choose loci"),
        (["--loci", "all", "--joint"], "--joint chooses by q of the joint test; leave out --extract and --loci all"),
        (["--joint"], "has no joint test"),
        (["--noise", "drop"], "'drop' is not one of 'auto', 'keep', 'subtract'"),
    ],
)
def test_options_that_contradict(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["offset", str(run), "--new-env", "x.csv", "--out", "o", *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
