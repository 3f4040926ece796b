"""Categories of the field: sex, batch, soil and land cover as indicators when named, a sentence when not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from field_data import dense_t, genotypes, read_column, same, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError

N = 60
G, POPULATION = genotypes(N, 120)
IDS = sample_ids(N)
X = np.round(np.random.default_rng(5).normal(size=N), 4)
K = np.arange(N)
SEX = np.where(K % 2 == 0, "M", "F")
BATCH = np.array(["A", "B", "C"])[K * 7 % 3]
INDICATORS = np.c_[SEX == "M", BATCH == "B", BATCH == "C"].astype(float)

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture(autouse=True)
def fileset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fileset("d", G)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns, index=IDS)


def test_categories_are_indicators_and_stand_in_log_and_record(capsys: pytest.CaptureFixture[str]) -> None:
    age = 20 + K * K % 37
    write_text("env.csv", ["ID,x", *(f"{i},{v}" for i, v in zip(IDS, X, strict=True))])
    rows = [f"{i},{s},{b},{a}" for i, s, b, a in zip(IDS, SEX, BATCH, age, strict=True)]
    write_text("cov.csv", ["ID,sex,batch,age", *rows])
    with pytest.raises(SystemExit) as ended:
        main(
            ["run", "--bed", "d", "--env", "env.csv", "--covar", "cov.csv", "--categorical", "sex", "--categorical",
             "batch", "-K", "2", "--out", "r", "--format", "tsv"]
        )  # fmt: skip
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert same(read_column("r.x.tsv", "T_STAT"), dense_t(G, np.c_[X, INDICATORS, age], 2)[:, 0])
    result = lfmm2.read_results("r")
    record = json.loads(result.paths["record"].read_text())
    assert record["nuisance_variables"] == ["sex=M", "batch=B", "batch=C", "age"]
    assert record["categories"] == {"sex": {"F": 30, "M": 30}, "batch": {"A": 20, "B": 20, "C": 20}}
    for text in (shown.out, result.paths["log"].read_text()):
        assert re.search(r"^category batch: +A 20 \(reference\), B 20, C 20$", text, re.MULTILINE)


FORMS = {
    "object": lambda: frame(sex=SEX.astype(object), batch=BATCH.astype(object)),
    "string": lambda: frame(sex=pd.array(SEX, dtype="string"), batch=pd.array(BATCH, dtype="string")),
    "Categorical": lambda: frame(sex=pd.Categorical(SEX), batch=pd.Categorical(BATCH, ["C", "B", "A"], ordered=True)),
    "numbers": lambda: frame(sex=np.where(SEX == "M", 2, 1), batch=np.searchsorted(["A", "B", "C"], BATCH) + 9),
    "floats": lambda: frame(sex=np.where(SEX == "M", 2.0, 1.0), batch=np.searchsorted(["A", "B", "C"], BATCH) + 9.0),
    "bool": lambda: frame(sex=SEX == "M", batch=BATCH),
    "arrow": lambda: pa.table({"IID": IDS, "sex": SEX, "batch": pa.array(BATCH).dictionary_encode()}),
    "blanks": lambda: frame(sex=[f" {s} " for s in SEX], batch=BATCH),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_of_a_category_does_not_matter(form: str) -> None:
    found = lfmm2.run(None, "d", X, 2, covar=FORMS[form](), categorical=["sex", "batch"])
    assert same(found.t, dense_t(G, np.c_[X, INDICATORS], 2)[:, :1])


def test_levels_that_are_numbers_are_sorted_as_numbers() -> None:
    levels = np.array([9, 10, 100])[POPULATION]
    found = lfmm2.run(None, "d", frame(zone=levels), 2, categorical="zone")
    assert found.variables == ("zone=10", "zone=100")
    text = frame(zone=[("9", "10.0", "1e2")[p] for p in POPULATION])
    assert lfmm2.run(None, "d", text, 2, categorical="zone").variables == ("zone=10", "zone=100")


def test_category_may_be_tested() -> None:
    soil = np.array(["clay", "loam", "sand"])[(K * K + K) % 3 % 3]
    soil[:4] = "loam"
    found = lfmm2.run(None, "d", frame(soil=soil, x=X), 2, categorical="soil", out="r")
    levels = sorted(set(soil))
    indicators = np.c_[tuple((soil == level).astype(float) for level in levels[1:])]
    assert found.variables == (*(f"soil={level}" for level in levels[1:]), "x")
    assert same(found.t, dense_t(G, np.c_[indicators, X], 2))
    hits = lfmm2.find_hits("r", fdr=1.0, variables=f"soil={levels[1]}")
    assert set(hits["VARIABLE"].to_pylist()) == {f"soil={levels[1]}"}


def test_offset_takes_tables_with_the_category() -> None:
    soil = np.array(["clay", "loam", "sand"])[(K * K + K // 7) % 3]
    lfmm2.run(None, "d", frame(soil=soil, x=X), 2, categorical="soil", out="r")
    later = np.roll(soil, 1)
    by_hand = pd.DataFrame({"soil=loam": later == "loam", "soil=sand": later == "sand", "x": X}, index=IDS).astype(
        float
    )
    expected = lfmm2.genetic_offset("r", None, by_hand)
    found = lfmm2.genetic_offset("r", frame(soil=soil, x=X), frame(soil=later, x=X))
    np.testing.assert_allclose(found.gap, expected.gap, rtol=1e-12)
    only_clay = lfmm2.genetic_offset("r", None, frame(soil=["clay"] * N, x=X), loci="all")
    assert np.array_equal(only_clay.gap == 0, soil == "clay")
    with pytest.raises(InconsistentInputError, match=r"level peat is not among those of the run \(clay, loam, sand\)"):
        lfmm2.genetic_offset("r", None, frame(soil=["peat"] + ["clay"] * (N - 1), x=X))
    with pytest.raises(InconsistentInputError, match=r"row 2 \(sample s002\), column 'soil=loam'.*: missing"):
        lfmm2.genetic_offset("r", None, frame(soil=["clay", ""] + ["loam"] * (N - 2), x=X))
    with pytest.raises(InconsistentInputError, match="no column soil=loam, soil=sand among x; name columns as"):
        lfmm2.genetic_offset("r", None, frame(x=X))


def test_levels_are_those_of_the_samples_in_use() -> None:
    site = np.where(K < 3, "elsewhere", BATCH)
    write_text("out", IDS[:3])
    kept = K >= 3
    found = lfmm2.run(None, "d", X, 2, covar=frame(site=site), categorical="site", remove="out")
    assert same(found.t, dense_t(G[kept], np.c_[X, INDICATORS[:, 1:]][kept], 2)[:, :1])


def test_empty_cells_are_missing_and_no_level() -> None:
    sex = SEX.astype(object)
    sex[[4, 7, 9]] = [None, "NA", " "]
    with pytest.raises(InconsistentInputError, match=r"3 of 60 .* row 5 \(sample s005\), column 'sex'"):
        lfmm2.run(None, "d", X, 2, covar=frame(sex=sex), categorical="sex")
    kept = np.setdiff1d(K, [4, 7, 9])
    with pytest.warns(InputWarning, match="3 of 60 .* left out"):
        found = lfmm2.run(None, "d", X, 2, covar=frame(sex=sex), categorical="sex", missing="drop")
    assert same(found.t, dense_t(G[kept], np.c_[X, INDICATORS[:, 0]][kept], 2)[:, :1])


@pytest.mark.parametrize(("levels", "code"), [(["0", "1", "2"], 0), (["-9", "a", "b"], "-9"), (["?", "a", "b"], "?")])
def test_missing_code_is_no_level(levels: list[str], code: Any) -> None:
    sex = np.array(levels)[np.where(K == 5, 0, 1 + K % 2)]
    with pytest.warns(InputWarning, match="1 of 60 .* left out"):
        found = lfmm2.run(
            None, "d", X, 2, covar=frame(sex=sex), categorical="sex", missing="drop", missing_code=code
        )  # fmt: skip
    assert found.sample_ids == tuple(np.array(IDS)[K != 5])


def test_columns_of_arrays_are_named_by_number() -> None:
    codes = np.array([11.0, 21.0, 41.0])[POPULATION]
    indicators = np.c_[codes == 21, codes == 41]
    found = lfmm2.run(None, "d", X, 2, covar=codes, categorical="covar1")
    assert same(found.t, dense_t(G, np.c_[X, indicators], 2)[:, :1])
    found = lfmm2.run(None, "d", np.c_[codes, X], 2, covar=np.sqrt(K), categorical="env1")
    assert same(found.t, dense_t(G, np.c_[indicators, X, np.sqrt(K)], 2)[:, :3])


def test_order_of_rows_does_not_matter() -> None:
    table = frame(sex=SEX, batch=BATCH)
    expected = lfmm2.run(None, "d", X, 2, covar=table, categorical="sex,batch")
    found = lfmm2.run(None, "d", X, 2, covar=table.iloc[::-1], categorical="sex,batch")
    assert np.array_equal(found.t, expected.t)


@pytest.mark.parametrize("names", [5, True, ["sex", 2], [None]])
@pytest.mark.parametrize("option", ["categorical", "variables"])
def test_what_is_no_name_is_refused(option: str, names: Any) -> None:
    with pytest.raises(UsageError, match=rf"{option} is .*; give names as text"):
        lfmm2.run(None, "d", frame(x=X, sex=SEX), 2, **{option: names})


@pytest.mark.parametrize(
    ("categorical", "message"),
    [
        ("sexe", "--categorical: no column sexe among x, sex, sex=M, which are the variables in use; check the names"),
        ("sex", "sex=M is a column and also the indicator of a category; rename the column"),
    ],
)
def test_names_that_do_not_fit_are_refused(categorical: str, message: str) -> None:
    covar = frame(sex=K % 2 if categorical == "sexe" else SEX)
    covar["sex=M"] = np.sqrt(K)
    with pytest.raises(UsageError, match=message):
        lfmm2.run(None, "d", frame(x=X), 2, covar=covar, categorical=categorical)


def test_codes_of_classes_are_warned_of_unless_named() -> None:
    cover = np.array([11, 21, 41])[POPULATION]
    with pytest.warns(InputWarning, match=r"cover \(11, 21, 41\): .*; if they are classes, use --categorical cover"):
        lfmm2.run(None, "d", X, 2, covar=frame(cover=cover))
    found = lfmm2.run(None, "d", X, 2, covar=frame(cover=cover), categorical="cover")
    assert same(found.t, dense_t(G, np.c_[X, cover == 21, cover == 41], 2)[:, :1])
