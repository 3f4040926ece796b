"""Tables as R, pandas and GIS programs write them: each sample gets its own values, or the user is asked."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from field_data import Floats, dense_t, genotypes, same, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, InputWarning

N, K = 40, 2
G, POPULATION = genotypes(N, 200)
RNG = np.random.default_rng(5)
NUMBERS = RNG.permutation(N) + 1
X = np.round(RNG.normal(15, 4, N) + 2 * POPULATION, 2)
AGE = RNG.normal(size=N)
ORDER = RNG.permutation(N)
T = dense_t(G, X, K)[:, 0]
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def filesets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same genotypes with samples called 1 to 40 in another order (d), and s001 to s040 (t)."""
    folder = tmp_path_factory.mktemp("filesets")
    write_fileset(str(folder / "d"), G, fam=[f"0 {number} 0 0 0 -9" for number in NUMBERS])
    write_fileset(str(folder / "t"), G)
    return folder


@pytest.fixture
def place(tmp_path: Any, filesets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("d", "t"):
        for kind in ("bed", "bim", "fam"):
            (tmp_path / f"{name}.{kind}").symlink_to(filesets / f"{name}.{kind}")
    monkeypatch.chdir(tmp_path)


def frame(name: str = "sample", rows: int = N) -> pd.DataFrame:
    """Variable of each sample, in another order than that of the .fam."""
    return pd.DataFrame({name: NUMBERS[ORDER], "temp": X[ORDER]})[:rows]


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.sample(frac=1, random_state=3)


def quietly(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what a call returns, and its warnings about inputs."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = call()
    return result, [str(warning.message) for warning in told if warning.category is InputWarning]


# ------------------------------------------------------------------------- frames and their index


FRAMES: dict[str, Callable[[], Any]] = {
    "the index of read_csv": frame,
    "rows left out": lambda: frame().assign(k=1)[lambda f: f.index > 0][["sample", "temp"]],
    "rows left out, sorted": lambda: frame()[5:].sort_values("temp"),
    "sorted": lambda: frame().sort_values("temp"),
    "some rows": lambda: pd.concat([frame(), pd.DataFrame({"sample": [101], "temp": [3.0]})])[lambda f: f.temp > -99],
    "index of IDs": lambda: frame().set_index("sample"),
    "index of IDs without a name": lambda: pd.DataFrame({"temp": X}, index=NUMBERS),
    "a Series": lambda: frame().set_index("sample")["temp"],
    "index that counts and is called IID": lambda: pd.DataFrame(
        {"temp": X[np.argsort(NUMBERS)]}, index=pd.RangeIndex(1, N + 1, name="IID")
    ),
    "population and sample": lambda: frame().assign(pop="p").set_index(["pop", "sample"]),
    "text": lambda: frame().astype({"sample": str}),
    "categories": lambda: frame().astype({"sample": str}).astype({"sample": "category"}),
    "arrow": lambda: pa.table(frame()),
    "arrow with the index": lambda: pa.table(frame().reset_index()[["index", "sample", "temp"]]).drop(["index"]),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.usefixtures("place")
def test_frames_are_matched_by_the_ids_that_they_have(make):
    table = make()
    result, said = quietly(lambda: lfmm2.run(None, "d", table, K, intersect=True))
    in_use = result.factors.sample_ids
    rows = [list(map(str, NUMBERS)).index(name) for name in in_use]
    assert same(result.t[:, 0], dense_t(G[rows], X[rows], K)[:, 0])
    assert len(rows) == min(N, len(table))
    assert said == []


@pytest.mark.parametrize("intersect", [False, True])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: frame()[["temp"]],
            "the index only counts rows, and no column has",
        ),
        (
            lambda: frame()["temp"],
            "the index only counts rows, and no column has the",
        ),
        (lambda: frame()[["temp"]][5:], "the index only counts rows, and no column has the sample IDs"),
        (lambda: frame()[["temp"]][lambda f: f.temp > 14.0], "the index may only count rows"),
        (lambda: frame()[["temp"]].sort_values("temp"), "the index only counts rows, and no column has the sample IDs"),
        (lambda: pd.DataFrame({"temp": X}, index=np.arange(1, N + 1)), "the index only counts rows, and no column"),
        (
            lambda: pd.DataFrame({"temp": X[:30]}, index=np.arange(3, 33)),
            "the index may only count rows; check that it",
        ),
        (lambda: frame().astype({"sample": float}), "in column 'sample' 40 would match but for the form"),
        (
            lambda: frame().set_index(frame()["sample"].astype(float))[["temp"]],
            r"40 would match but for the form of num",
        ),
        (lambda: frame().set_index("sample")["temp"].to_dict(), "a dict; give a pandas Series or DataFrame"),
    ],
)
@pytest.mark.usefixtures("place", "no_pass")
def test_an_index_that_counts_rows_is_no_id(make, message, intersect):
    with pytest.raises(lfmm2.LfmmError, match=message) as raised:
        lfmm2.run(None, "d", make(), K, intersect=intersect)
    assert "--intersect" not in str(raised.value)


class Frame:
    """A frame of another library, which hands over its columns as Arrow asks for."""

    columns = ("sample", "temp")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table(frame()).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("source", [Frame(), [Frame(), frame().assign(age=AGE[ORDER])[["sample", "age"]]]])
@pytest.mark.usefixtures("place")
def test_frames_of_other_libraries(source):
    expected = T if isinstance(source, Frame) else dense_t(G, np.c_[X, AGE], K)[:, 0]
    assert same(lfmm2.run(None, "d", source, K).t[:, 0], expected)


@pytest.mark.usefixtures("place")
def test_nuisance_variables_are_matched_as_variables_are():
    expected = dense_t(G, np.c_[X, AGE], K)[:, 0]
    ages = shuffled(pd.DataFrame({"tree": NUMBERS, "age": AGE}))
    ages.reset_index(drop=True).to_csv("ages.csv")
    result, said = quietly(lambda: lfmm2.run(None, "d", frame(), K, covar="ages.csv"))
    assert same(result.t[:, 0], expected)
    assert len(said) == 1
    assert "the sample IDs are in column 'tree' (40 of 40 samples)" in said[0]
    assert same(lfmm2.run(None, "d", frame(), K, covar=ages.set_index("tree")["age"]).t[:, 0], expected)
    assert same(lfmm2.run(None, "d", frame(), K, covar=AGE).t[:, 0], expected)
    with pytest.raises(InconsistentInputError, match="nuisance variables: the index only counts rows"):
        lfmm2.run(None, "d", frame(), K, covar=pd.Series(AGE))


@pytest.mark.usefixtures("place")
def test_tables_of_several_programs_are_joined():
    frame("tree").to_csv("one.csv")
    shuffled(pd.DataFrame({"OBJECTID": NUMBERS, "ID": NUMBERS, "age": AGE})).to_csv("two.csv", index=False)
    result, _ = quietly(lambda: lfmm2.run(None, "d", ["one.csv", "two.csv"], K))
    assert same(result.t, dense_t(G, np.c_[X, AGE], K))


# ------------------------------------------------------------------------- genotypes without IDs


@pytest.mark.parametrize(
    "table", [pd.DataFrame({"temp": X}), pd.Series(X), pd.DataFrame({"temp": X, "k": 1})[lambda f: f.k > 0][["temp"]]]
)
def test_rows_of_frames_without_ids_are_those_of_an_array(table):
    assert same(lfmm2.run(None, G, table, K).t[:, 0], T)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"temp": X}).sort_values("temp"), "the index does not go up .*; bring the rows into the order"),
        (frame(), r"has sample IDs in column 'sample' \(.*but the samples of the genotypes are only numbered; give"),
        (frame().set_index("sample"), "has sample IDs in the index 'sample' .* are only numbered; give"),
        (pd.Series(X[1:]), "table of 39 rows, but there are 40 samples, which have no IDs; give a row for each"),
    ],
)
def test_frames_that_cannot_be_matched_to_an_array(table, message):
    with pytest.raises(InconsistentInputError, match=message):
        lfmm2.run(None, G, table, K)


# ------------------------------------------------------------------------- what a run says of it


@pytest.mark.usefixtures("place")
def test_rows_of_no_sample_are_counted_aloud(capsys):
    others = pd.DataFrame({"sample": np.arange(100, 115), "temp": 3.0})
    pd.concat([frame(), others]).to_csv("env.csv", index=False)
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "-K", "2", "--out", "r"])
    assert ended.value.code == 0
    line = "IDs in column 'sample' of env.csv, rows of no sample: 15 of 55"
    assert line in capsys.readouterr().out
    plan = json.loads(Path("r.lfmm2.json" if Path("r.lfmm2.json").exists() else "r.json").read_text())["plan"]
    assert plan["matches"] == [{"table": "env.csv", "ids": "column 'sample'", "n_rows": 55, "n_of_no_sample": 15}]


@pytest.mark.usefixtures("place")
def test_iid_that_counts_beside_other_ids_is_doubted():
    table = frame().assign(IID=np.arange(1, N + 1))
    message = "column IID only counts rows, and column 'sample' has the IDs of 40 samples in other rows; check"
    with pytest.warns(InputWarning, match=message):
        lfmm2.run(None, "d", table, K, variables="temp")


# ------------------------------------------------------------------------- genetic offset


@pytest.fixture(scope="module")
def run(filesets: Any) -> str:
    prefix = str(filesets / "r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lfmm2.run(None, filesets / "d", frame(), K, out=prefix)
    return prefix


@pytest.fixture(scope="module")
def gap(run: str) -> Floats:
    return np.sort(lfmm2.genetic_offset(run, frame().set_index("sample"), later().set_index("sample")).gap)


def later(name: str = "sample") -> pd.DataFrame:
    return frame(name).assign(temp=frame()["temp"] + np.linspace(0, 4, N))


CELLS = pd.DataFrame({"x": np.repeat(np.arange(8), 5) + 0.5, "y": np.tile(np.arange(5), 8) + 0.25})


DEGREES = ("Longitude", "Latitude")


def cells(table: pd.DataFrame, names: tuple[str, str] = ("x", "y")) -> pd.DataFrame:
    """Give the places of a table coordinates in place of IDs."""
    return pd.concat([CELLS.set_axis(list(names), axis=1), table[["temp"]]], axis=1)


PLACES: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {
    "two indices of read_csv": (frame(), shuffled(later())),
    "an index that was made again": (frame(), shuffled(later()).reset_index(drop=True)),
    "other names": (frame("tree"), shuffled(later("number"))),
    "IID in one": (frame("IID"), shuffled(later("number"))),
    "IDs beside OBJECTID": (
        frame("tree").assign(OBJECTID=range(N)),
        shuffled(later("tree")).assign(OBJECTID=range(N)),
    ),
    "IDs and altitude": (
        frame("tree").assign(altitude=NUMBERS * 7 % 41 + 300),
        shuffled(later("tree").assign(altitude=NUMBERS * 7 % 41 + 300)),
    ),
    "cells of a raster": (cells(frame()), shuffled(cells(later()))),
    "cells in degrees": (
        cells(frame(), ("Longitude", "Latitude")),
        shuffled(cells(later(), ("Longitude", "Latitude"))),
    ),
    "numbered cells": (cells(frame()).assign(cell=range(N)), shuffled(cells(later()).assign(cell=range(N)))),
}


@pytest.mark.parametrize(("env", "new_env"), PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("files", [False, True])
def test_places_are_matched_by_what_they_have_in_common(tmp_path, run, gap, env, new_env, files):
    if files:
        env.to_csv(tmp_path / "env.csv")
        new_env.reset_index(drop=True).to_csv(tmp_path / "new.csv")
        env, new_env = tmp_path / "env.csv", tmp_path / "new.csv"
    result, said = quietly(lambda: lfmm2.genetic_offset(run, env, new_env))
    np.testing.assert_allclose(np.sort(result.gap), gap)
    assert [line for line in said if "column 'number' (40 of 40 samples), and column 1" not in line] == []


def test_cells_are_called_by_their_coordinates(run):
    assert lfmm2.genetic_offset(run, cells(frame()), cells(later())).ids[:2] == ("0.5 0.25", "0.5 1.25")


def test_places_whose_ids_differ_are_matched_by_their_coordinates_aloud(run, gap):
    old, new = (
        cells(frame()).assign(sample=[f"t{k}" for k in range(N)]),
        shuffled(cells(later()).assign(sample=[f"P_t{k}" for k in range(N)])),
    )
    message = "column 'sample' has other IDs than in .*, so places are matched by x and y; correct the IDs, or leave"
    with pytest.warns(InputWarning, match=message):
        found = lfmm2.genetic_offset(run, old, new)
    np.testing.assert_allclose(np.sort(found.gap), gap)


def test_new_environments_of_the_samples_are_matched_by_id(run):
    expected = lfmm2.genetic_offset(run, None, later().set_index("sample"))
    found, said = quietly(lambda: lfmm2.genetic_offset(run, None, shuffled(later()).reset_index(drop=True)))
    assert np.array_equal(found.gap, expected.gap)
    assert said == []


def test_places_with_row_numbers_alone_are_matched_aloud(run, gap):
    message = r"have no IDs, so that places are matched by row numbers \(the index\); give each place an ID"
    with pytest.warns(InputWarning, match=message):
        found = lfmm2.genetic_offset(run, frame()[["temp"]], shuffled(later())[["temp"]])
    np.testing.assert_allclose(np.sort(found.gap), gap)


NO_PLACES: dict[str, tuple[Any, Any, str]] = {
    "other numbers of rows": (frame()[["temp"]], later()[["temp"]][5:], "40 rows in .*, 35 in .* no IDs but row num"),
    "no IDs for the samples": (None, later()[["temp"]], "the index only counts rows, and no column has the sample IDs"),
    "another letter": (
        None,
        later().assign(sample=[f"T{k}" for k in later()["sample"]]),
        "40 would match but for 'T' at",
    ),
    "another grid": (cells(frame()), cells(later()).assign(x=CELLS["x"] + 0.1), r"40 of 40 IDs .*\(0\.5 0\.25, "),
    "a cell twice": (cells(frame()).replace({"x": {1.5: 0.5}}), cells(later()), r"repeated IDs \(0\.5 0\.25"),
    "a site in many rows": (frame().assign(site="a")[["site", "temp"]], later(), "repeated IDs"),
    "row numbers in one": (frame("tree"), later()[["temp"]], "new environments: the index only counts rows"),
}


@pytest.mark.parametrize(("env", "new_env", "message"), NO_PLACES.values(), ids=NO_PLACES.keys())
def test_places_that_cannot_be_matched(run, env, new_env, message):
    with pytest.raises(InconsistentInputError, match=message):
        lfmm2.genetic_offset(run, env, new_env)


# ------------------------------------------------------------------------- estimation fileset


@pytest.mark.usefixtures("place", "no_pass")
def test_other_ids_of_the_estimation_fileset_are_explained():
    write_fileset("e", G, fam=[f"0 {i}_{i} 0 0 0 -9" for i in sample_ids(N)])
    write_text("env.csv", ["IID,temp", *(f"{i},{x}" for i, x in zip(sample_ids(N), X, strict=True))])
    with pytest.raises(
        InconsistentInputError, match=r"40 would match but for the ID written twice with '_' \(s001_s001"
    ):
        lfmm2.run("e", "t", "env.csv", K)
