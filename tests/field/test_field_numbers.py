"""Numbers that mean nothing, in tables of the field: fill values of rasters and codes for missing, in every way in."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from field_data import dense_t, genotypes, read_column, same, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, InputWarning, LfmmError, MalformedInputError, UsageError

N = 60
G, POPULATION = genotypes(N, 120)
IDS = sample_ids(N)
TEMPERATURE = np.round(np.random.default_rng(5).normal(15, 4, N) + POPULATION, 2)
RAIN = np.round(np.random.default_rng(6).gamma(3, 200, N))

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture(autouse=True)
def fileset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fileset("d", G)


def frame(values: Any, name: str = "temp") -> pd.DataFrame:
    return pd.DataFrame({name: values}, index=IDS)


def with_code(code: float, rows: list[int]) -> np.ndarray:
    values = TEMPERATURE.copy()
    values[rows] = code
    return values


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "-K", "2", "--format", "tsv", "--out", "r", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().err


WAYS = {
    "array": lambda v: v,
    "float32": lambda v: v.astype(np.float32),
    "frame": frame,
    "Series": lambda v: pd.Series(v, index=IDS, name="temp"),
    "object": lambda v: frame(v.astype(object)),
    "text": lambda v: frame([repr(float(x)) for x in v]),
    "arrow": lambda v: pa.table({"IID": IDS, "temp": v}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [-9999.0, -3.4028234663852886e38])
def test_fill_value_is_refused_by_every_way_in(way: str, code: float) -> None:
    with pytest.raises(MalformedInputError, match=r"row 4 \(sample s004\).*column '(temp|env1)': .* is a fill"):
        lfmm2.run(None, "d", WAYS[way](with_code(code, [3, 40])), 2)


@pytest.mark.parametrize("given", ["X", "covar"])
@pytest.mark.parametrize("function", ["run", "estimate_factors", "test_associations"])
def test_fill_value_is_refused_by_every_function(function: str, given: str) -> None:
    tables = {"X": frame(RAIN, "rain")} | {given: frame(with_code(-9999, [3]))}
    arguments: dict[str, Any] = {"K": 2}
    if function == "test_associations":
        arguments = {"factors": lfmm2.estimate_factors("d", RAIN, 2)}
    first = (None, "d") if function == "run" else ("d",)
    with pytest.raises(MalformedInputError, match="column 'temp': -9999 is a fill value"):
        getattr(lfmm2, function)(*first, tables.pop("X"), **arguments, **tables)


@pytest.mark.parametrize(
    ("values", "code", "rows"),
    [
        (with_code(-9999, [3, 40]), -9999, [3, 40]),
        (with_code(-9999, [3]), "-9999.0", [3]),
        (with_code(-3.4028234663852886e38, [3]), "-3.4e38", [3]),
        (with_code(-3.4e38, [3]), np.float32(-3.4028234663852886e38), [3]),
        (np.where(np.arange(N) == 40, -9, with_code(-99, [3])), np.array([-9, -99]), [3, 40]),
        (np.where(np.arange(N) == 40, -9, with_code(-99, [3])), {-9, -99}, [3, 40]),
        (with_code(1e200, [3]), 1e200, [3]),
        (with_code(np.inf, [3]), np.inf, [3]),
    ],
    ids=str.split("number text rounded float32 array set large infinite"),
)
def test_missing_code_takes_the_samples_out(values: Any, code: Any, rows: list[int]) -> None:
    kept = np.setdiff1d(np.arange(N), rows)
    with pytest.warns(InputWarning, match="are left out"):
        found = lfmm2.run(None, "d", frame(values), 2, missing_code=code, missing="drop")
    assert same(found.t, dense_t(G[kept], TEMPERATURE[kept], 2))


def test_codes_may_be_repeated_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [str(v) for v in TEMPERATURE]
    cells[3], cells[40], cells[50] = "-9999", ".", "-"
    write_text("env.csv", ["ID,temp", *map("{},{}".format, IDS, cells)])
    codes = ["--missing-code", "-9999", "--missing-code", ".", "--missing-code", "-"]
    code, err = run_command(capsys, "--env", "env.csv", "--missing", "drop", *codes)
    kept = np.setdiff1d(np.arange(N), [3, 40, 50])
    assert code == 0, err
    assert same(read_column("r.temp.tsv", "T_STAT"), dense_t(G[kept], TEMPERATURE[kept], 2)[:, 0])


@pytest.mark.parametrize("code", [True, object(), [-9, None], "-9, -99"])
def test_code_that_is_none_is_refused(code: Any) -> None:
    with pytest.raises(UsageError, match=r"missing_code is .*; give|; give each"):
        lfmm2.run(None, "d", TEMPERATURE, 2, missing_code=code)


@pytest.mark.parametrize(
    "masked",
    [
        np.ma.masked_array(with_code(-9999, [3]), np.arange(N) == 3),
        np.ma.masked_array(with_code(-9999, [3]).round().astype(np.int32), np.arange(N) == 3),
        np.ma.masked_array(with_code(-9999, [3])[:, None], (np.arange(N) == 3)[:, None], fill_value=-9999),
    ],
    ids=["double", "int32", "2-D"],
)
def test_mask_is_missing(masked: Any) -> None:
    kept = np.setdiff1d(np.arange(N), [3])
    with pytest.raises(InconsistentInputError, match=r"1 of 60 samples have missing variables: .*\(sample s004\)"):
        lfmm2.run(None, "d", masked, 2)
    with pytest.warns(InputWarning, match="left out"):
        found = lfmm2.run(None, "d", masked, 2, missing="drop")
    assert same(found.t, dense_t(G[kept], np.asarray(masked.data).ravel()[kept], 2))


def test_fill_value_in_rows_of_no_sample_or_of_removed_samples_is_harmless() -> None:
    write_text("out", [IDS[3]])
    table = pd.concat([frame(with_code(-9999, [3])), pd.DataFrame({"temp": [-9999.0]}, index=["other"])])
    kept = np.setdiff1d(np.arange(N), [3])
    assert same(lfmm2.run(None, "d", table, 2, remove="out").t, dense_t(G[kept], TEMPERATURE[kept], 2))


def test_outlier_that_is_real_runs_with_a_warning() -> None:
    values = with_code(400, [3])
    with pytest.warns(InputWarning, match="400 is far from the others, which lie from 7.01 to 25.73; check it"):
        found = lfmm2.run(None, "d", frame(values), 2)
    assert same(found.t, dense_t(G, values, 2))


def test_minus_nine_in_a_plink_table_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"0 {i} {v:g}" for i, v in zip(IDS, with_code(-9, [2, 30, 50]), strict=True)]
    write_text("pheno.txt", ["FID IID temp", *rows])
    code, err = run_command(capsys, "--env", "pheno.txt")
    assert code == 0
    assert (
        len(re.findall(r"^Warning: pheno\.txt, line 4 \(sample s003\).* 3 values are exactly -9", err, re.MULTILINE))
        == 1
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.date_range("2020-01-01", periods=N), "not numbers but timestamp"),
        (pd.period_range("2020-01-01", periods=N, freq="D"), "not numbers but .*period"),
        (pd.to_timedelta(np.arange(N), "D"), "not numbers but duration"),
        ([[1.0]] * N, "not numbers but list"),
        (pd.cut(TEMPERATURE, 4), r"has categories \(\(.*; name it with --categorical"),
        (TEMPERATURE > 15, r"has categories \(False, True\), not numbers; name it with --categorical temp"),
        (pd.array(TEMPERATURE > 15, dtype="boolean"), r"has categories \(False, True\)"),
        (pd.Categorical(POPULATION), r"has categories \(0, 1, 2\), not numbers"),
        ([1.5, "warm", *TEMPERATURE[2:]], "'warm' is not a number; correct it; if it means missing"),
        ([True, *TEMPERATURE[1:]], "'True' is not a number"),
        (pd.Series(["\udc80", "b"] * 30, index=IDS, dtype=object), "has words"),
        ([10**30, *range(1, N)], r"1e\+30 is a fill value"),
    ],
    ids=str.split("dates periods durations lists intervals bool nullable Categorical word mixed surrogate huge"),
)
def test_columns_that_are_no_numbers_are_told_by_their_kind(values: Any, message: str) -> None:
    with pytest.raises(MalformedInputError, match=message):
        lfmm2.run(None, "d", frame(values), 2)


def test_nullable_and_decimal_columns_are_numbers() -> None:
    from decimal import Decimal

    expected = dense_t(G, TEMPERATURE, 2)
    for values in (pd.array(TEMPERATURE, dtype="Float64"), [Decimal(str(v)) for v in TEMPERATURE]):
        assert same(lfmm2.run(None, "d", frame(values), 2).t, expected)


class TestOffset:
    """The same gate stands before the environments of `offset`."""

    @pytest.fixture
    def run(self) -> str:
        lfmm2.run(None, "d", pd.DataFrame({"temp": TEMPERATURE, "rain": RAIN}, index=IDS), 2, out="r")
        return "r"

    def table(self, temperature: Any, rain: Any = RAIN) -> pd.DataFrame:
        return pd.DataFrame({"temp": temperature, "rain": rain}, index=IDS)

    @pytest.mark.parametrize("given", ["env", "new_env"])
    @pytest.mark.parametrize("kind", ["table", "array"])
    def test_fill_value_is_refused(self, run: str, given: str, kind: str) -> None:
        tables = {"env": self.table(TEMPERATURE), "new_env": self.table(TEMPERATURE + 2)}
        tables[given] = self.table(with_code(-9999, [3]))
        made: dict[str, Any] = tables if kind == "table" else {name: t.to_numpy() for name, t in tables.items()}
        place = r"row 4 \(sample s004\), column 'temp'" if kind == "table" else "row 4, column 'temp'"
        with pytest.raises(MalformedInputError, match=rf"environments, {place}: -9999 is a fill .* these rows of"):
            lfmm2.genetic_offset(run, **made)

    @pytest.mark.parametrize("kind", ["table", "array"])
    def test_code_is_missing(self, run: str, kind: str) -> None:
        table: Any = self.table(with_code(-9999, [3]))
        with pytest.raises(InconsistentInputError, match=r"row 4.* missing"):
            lfmm2.genetic_offset(run, None, table if kind == "table" else table.to_numpy(), missing_code=-9999)

    def test_command_names_the_option(self, run: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.table(with_code(-9999, [3])).to_csv("new.csv", index_label="ID")
        with pytest.raises(SystemExit) as ended:
            main(["offset", run, "--new-env", "new.csv", "--out", "o"])
        assert ended.value.code == 3
        assert "new.csv, line 5 (sample s004), column 'temp': -9999 is a fill" in (err := capsys.readouterr().err)
        assert "--missing-code -9999" in err

    def test_words_are_refused_without_an_option_that_offset_lacks(self, run: str) -> None:
        with pytest.raises(MalformedInputError, match=r"has words \(cold, warm\), not numbers; write them as") as told:
            lfmm2.genetic_offset(run, None, self.table(["warm", "cold"] * 30))
        assert "--categorical" not in str(told.value)

    def test_tables_standardised_by_themselves_are_told(self, run: str) -> None:
        def scaled(values: np.ndarray) -> np.ndarray:
            return np.asarray((values - values.mean()) / values.std(ddof=1))

        noise = np.random.default_rng(3).normal(0, 1, N)
        now, later = self.table(scaled(TEMPERATURE)), self.table(scaled(TEMPERATURE + 3 + noise))
        with pytest.warns(InputWarning, match="temp has mean 0 and standard deviation 1 in both; if each") as seen:
            lfmm2.genetic_offset(run, now, later)
        assert len(seen) == 1
        with pytest.warns(InputWarning, match="environments: temp has mean 0 and standard deviation 1, but 15.14 and "):
            lfmm2.genetic_offset(run, now, self.table(TEMPERATURE + 3))
        lfmm2.run(None, "d", now, 2, out="rz")
        together = (TEMPERATURE + 3 + noise - TEMPERATURE.mean()) / TEMPERATURE.std(ddof=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lfmm2.genetic_offset("rz", now, self.table(together, RAIN + 10))


def test_errors_of_the_gate_are_of_this_package() -> None:
    rng = np.random.default_rng(1)
    for exponent in (-320, -200, -160, 152, 160, 200, 300):
        with pytest.raises(LfmmError, match="another unit"):
            lfmm2.run(None, "d", frame([float(f"{v:.3f}e{exponent}") for v in rng.uniform(1, 9, N)]), 2)
