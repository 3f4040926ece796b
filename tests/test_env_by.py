"""One row per population: each sample gets the row of its population, which a column of the .fam tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from catalogue import check_refused
from input_cases import GENOTYPES, IIDS, N

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, UsageError

POPULATION = np.arange(N) % 6
TEMP = np.array([10, 13.5, 17.2, 9.1, 21, 15])
RAIN = np.array([700, 760, 650, 812, 500, 590.0])
ROWS = [f"P{k},{TEMP[k]},{RAIN[k]:.0f}" for k in (3, 1, 5, 0, 4, 2)]
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


def write_env(rows: Sequence[str] = ROWS, header: str = "pop,temp,rain", name: str = "env.csv") -> None:
    Path(name).write_text("\n".join([header, *rows]) + "\n")


def write_fam(populations: Sequence[str]) -> None:
    rows = [f"{p} {i} {p}f 0 {1 + k % 2} {p}" for k, (p, i) in enumerate(zip(populations, IIDS, strict=True))]
    Path("d.fam").write_text("\n".join(rows) + "\n")


@pytest.fixture
def data(folder: Path) -> Path:
    write_fam([f"P{k}" for k in POPULATION])
    write_env()
    return folder


def truth(used: Any = slice(None), **options: Any) -> Any:
    X = np.column_stack([TEMP, RAIN])[POPULATION][used]
    return lfmm2.run(None, GENOTYPES.T[used], X, 2, **options).t


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_each_sample_gets_the_row_of_its_population(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = lfmm2.run(None, "d", "env.csv", 2, env_by="FID")
    same(result.t, truth())
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "--env-by", "FID", "-K", "2", "--out", "r"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "populations (FID) in column 'pop' of env.csv\n" in shown
    assert "6 distinct" in shown
    assert np.array_equal(lfmm2.read_results("r").t, result.t)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("header", "prefix"),
    [("FID,temp,rain", ""), ("#FID,temp,rain", ""), (",temp,rain", ""), ("nr,fid,temp,rain", "7,")],
)
def test_populations_are_in_the_column_of_their_name_or_content(header: str, prefix: str) -> None:
    write_env([prefix + row for row in ROWS], header)
    chosen = None if not prefix else "temp,rain"
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID", variables=chosen).t, truth())


@pytest.mark.usefixtures("data")
def test_frames_and_several_tables_are_matched_by_population() -> None:
    frame = pd.DataFrame({"temp": TEMP, "rain": RAIN}, index=pd.Index([f"P{k}" for k in range(6)])).iloc[::-1]
    same(lfmm2.run(None, "d", frame, 2, env_by="FID").t, truth())
    table = pa.table({"pop": [f"P{k}" for k in range(6)], "temp": TEMP, "rain": RAIN})
    same(lfmm2.run(None, "d", [table.select(["pop", "temp"]), frame[["rain"]]], 2, env_by="FID").t, truth())
    indexed = pd.DataFrame(GENOTYPES.T, index=pd.MultiIndex.from_arrays([[f"P{k}" for k in POPULATION], IIDS]))
    same(lfmm2.run(None, indexed, frame, 2, env_by="FID").t, truth())


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(("column", "end"), [("PAT", "f"), ("PHENO1", ""), ("pheno", "")])
def test_populations_are_in_another_column_of_the_fam(column: str, end: str) -> None:
    write_fam([f"P{k}" for k in POPULATION])
    write_env([row.replace(",", f"{end},", 1) for row in ROWS])
    same(lfmm2.run(None, "d", "env.csv", 2, env_by=column).t, truth())


@pytest.mark.usefixtures("data")
def test_numbers_are_populations_too() -> None:
    write_fam([str(k) for k in POPULATION])
    write_env([row[1:] for row in ROWS])
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID").t, truth())
    write_env(sorted(row[1:] for row in ROWS))
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID").t, truth())


@pytest.mark.usefixtures("data")
def test_rows_of_no_sample_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write_env([*ROWS, "P17,20,900", "P18,21,850"])
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "--env-by", "FID", "-K", "2", "--out", "r"])
    assert ended.value.code == 0
    assert "populations (FID) in column 'pop' of env.csv, rows of no sample: 2 of 8" in capsys.readouterr().out
    same(lfmm2.read_results("r").t, truth())


@pytest.mark.usefixtures("data")
def test_samples_of_populations_without_a_row_or_value_are_left_out() -> None:
    used = POPULATION != 4
    write_env([row for row in ROWS if "P4" not in row])
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID", intersect=True).t, truth(used))
    Path("remove").write_text("\n".join(i for i, k in zip(IIDS, POPULATION, strict=True) if k == 4))
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID", remove="remove").t, truth(used))
    write_env([row.replace("21.0", "NA") for row in ROWS])
    with pytest.warns(InputWarning, match=r"6 of 38 samples have missing variables and are left out \(temp 6\)"):
        same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID", missing="drop").t, truth(used))


@pytest.mark.usefixtures("data")
def test_nuisance_variables_stay_those_of_samples() -> None:
    age = (np.arange(N) * 7 % 31).astype(float)
    Path("covar.csv").write_text("IID,age\n" + "".join(f"{i},{a}\n" for i, a in zip(IIDS, age, strict=True)))
    same(lfmm2.run(None, "d", "env.csv", 2, env_by="FID", covar="covar.csv").t, truth(covar=age))


def without_populations() -> None:
    Path("d.fam").write_text("".join(f"0 {i} 0 0 0 -9\n" for i in IIDS))


CASES: dict[str, tuple[Any, str, type[Exception], str]] = {
    "a population without a row": (
        lambda: write_env(ROWS[:-1]), "FID", InconsistentInputError,
        r"env\.csv: 6 of 38 samples, of 1 population by FID \(P2\), have no row; complete the table, or use --inter",
    ),
    "another spelling": (
        lambda: write_env([row.replace("P", "p") for row in ROWS], "FID,temp,rain"), "FID", InconsistentInputError,
        r"38 of 38 samples, of 6 populations .*; 6 rows are of no .*; 6 would match but for upper .*; check column 'FI",
    ),
    "a population twice": (
        lambda: write_env([*ROWS, ROWS[0]]), "FID", InconsistentInputError,
        r"repeated populations \(P3\) in column 'pop'; keep one row each, or leave out --env-by if each row is a",
    ),
    "a row for each sample": (
        lambda: write_env([f"P{k % 6},{i},{k * k % 11}" for k, i in enumerate(IIDS)], "FID,IID,x"), "FID",
         InconsistentInputError, r"repeated populations \(P0, .*; keep one row each, or leave out --env-by",
    ),
    "no column of populations": (
        lambda: write_env([f"{TEMP[k]},{RAIN[k]}" for k in range(6)], "temp,rain"), "FID", InconsistentInputError,
        r"env\.csv: no column has the FID of the samples \(P0, P1, .*\); call the column of populations FID",
    ),
    "two columns of populations": (
        lambda: write_env([f"P{5 - k},{row}" for k, row in enumerate(ROWS)], "twin,pop,temp,rain"), "FID",
        InconsistentInputError,
        r"several columns hold IDs of the populations, in different rows: .*; call the one with the populations FID",
    ),
    "no FIDs": (
        without_populations, "FID", InconsistentInputError,
        r"no column has the FID of the samples \(0\); PLINK takes 0 for none; call the column of populations FID",
    ),
    "missing values": (
        lambda: write_env([row.replace("21.0", "") for row in ROWS]), "FID", InconsistentInputError,
        r"6 of 38 samples have missing variables: env\.csv, line 6 \(population P4\), column 'temp'; use --missing",
    ),
    "fill values": (
        lambda: write_env([row.replace("21.0", "-9999") for row in ROWS]), "FID", MalformedInputError,
        r"line 6 \(population P4\), column 'temp'.*-9999",
    ),
    "no header": (
        lambda: write_env(ROWS[1:], ROWS[0]), "FID", MalformedInputError, "line 1: is data, not a header; add one",
    ),
    "another column": (
        lambda: None, "region", UsageError,
        "env_by is 'region', but the samples of the genotypes have no such column; give FID, or another column that",
    ),
    "a column that the .fam lacks": (
        lambda: None, "PHENO2", UsageError, r"d\.fam: 6 columns, so there is no PHENO2; name one that it has, such as",
    ),
    "IID": (lambda: None, "IID", UsageError, "env_by is 'IID', by which rows are matched without it; leave it out"),
    "nothing": (lambda: None, " ", UsageError, "env_by is ' '; give the name of a column of the samples, such as FID"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("edit", "column", "error", "match"), CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("no_pass")
def test_populations_that_cannot_be_matched_are_refused(data, capsys, way, edit, column, error, match):
    edit()
    check_refused(data, capsys, way, error, match, options=["--env-by", column], env_by=column)


@pytest.mark.usefixtures("data")
def test_arrays_have_no_populations() -> None:
    with pytest.raises(UsageError, match="env_by matches rows by their population, and an array has no names; give a"):
        lfmm2.run(None, "d", TEMP, 2, env_by="FID")
    with pytest.raises(UsageError, match="no such column, because they are only numbered; give one row for each"):
        lfmm2.run(None, GENOTYPES.T, "env.csv", 2, env_by="FID")
    with pytest.raises(UsageError, match="env_by is 3; give the name of a column of the samples"):
        lfmm2.run(None, "d", "env.csv", 2, env_by=3)  # type: ignore[arg-type]
