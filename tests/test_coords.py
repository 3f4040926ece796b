"""Coordinates among the columns of --env are not tested, and kept for maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catalogue import check_refused
from input_cases import IIDS, NUMBERS, N, X

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InputWarning, MalformedInputError, OutputExistsError, UsageError
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.results import StoredRun

LON = np.random.default_rng(3).uniform(-5, 15, N).round(4)
LAT = np.random.default_rng(4).uniform(36, 60, N).round(4)
LAT[7] = np.nan
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture
def places(folder: Path) -> Path:
    frame = pd.DataFrame({"lon": LON, "lat": LAT, "x": NUMBERS, "y": X**2}, index=pd.Index(IIDS, name="IID"))
    frame.sample(frac=1, random_state=1).to_csv("env.csv")
    return folder


def same_places(run: StoredRun, rows: Any = slice(None)) -> None:
    found = run.coordinates()
    assert list(found) == ["lon", "lat"]
    assert np.array_equal(found["lon"], LON[rows])
    assert np.array_equal(found["lat"], LAT[rows], equal_nan=True)


@pytest.mark.usefixtures("places")
def test_coordinates_are_kept_and_not_tested() -> None:
    expected = lfmm2.run(None, "d", np.column_stack([X, X**2]), 2).t
    for coords in ("lon,lat", ["lon", "lat"]):
        result = lfmm2.run(None, "d", "env.csv", 2, coords=coords, out="r", overwrite=True)
        assert result.variables == ("x", "y")
        assert np.array_equal(result.t, expected)
        same_places(StoredRun("r"))
    assert StoredRun("r").record.parameters["coords"] == "lon,lat"
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "--coords", "lon,lat", "-K", "2", "--out", "c"])
    assert ended.value.code == 0
    same_places(StoredRun("c"))
    chosen = lfmm2.run(None, "d", "env.csv", 2, coords="lon,lat", variables="x", out="v")
    assert chosen.variables == ("x",)
    same_places(StoredRun("v"))
    lfmm2.run(None, "d", "env.csv", 2, variables="x", out="without")
    assert StoredRun("without").coordinates() == {}


@pytest.mark.usefixtures("places")
def test_coordinates_follow_the_samples_in_use() -> None:
    Path("remove").write_text("\n".join(IIDS[3:9]))
    rows = np.delete(np.arange(N), slice(3, 9))
    lfmm2.run(None, "d", "env.csv", 2, coords="lon,lat", remove="remove", out="r")
    same_places(StoredRun("r"), rows)
    frame = pd.read_csv("env.csv", index_col="IID")
    lfmm2.run(None, "d", [frame[["x"]], frame[["lat", "y"]], frame[["lon"]].assign(z=X)], 2, coords="lon,lat", out="s")
    same_places(StoredRun("s"))
    table = pd.DataFrame({"lon": [1.5, 2.5, 3.5], "lat": [4.5, np.nan, 6.5], "x": [1.0, 2, 5]}, index=["a", "b", "c"])
    fids = [["a", "b", "c"][k % 3] for k in range(N)]
    Path("d.fam").write_text("".join(f"{f} {i} 0 0 0 -9\n" for f, i in zip(fids, IIDS, strict=True)))
    lfmm2.run(None, "d", table, 2, coords="lon,lat", env_by="FID", out="p")
    assert np.array_equal(StoredRun("p").coordinates()["lat"], table["lat"][fids], equal_nan=True)


@pytest.mark.usefixtures("places")
def test_coordinates_follow_the_samples_that_a_filter_leaves() -> None:
    genotypes = np.random.default_rng(6).binomial(2, 0.4, (200, N)).astype(float)
    genotypes[:150, [2, 11]] = np.nan
    write_plink(Path("m"), genotypes, iid=IIDS)
    lfmm2.run(None, "m", "env.csv", 2, coords="lon,lat", mind=0.5, out="r")
    same_places(StoredRun("r"), np.delete(np.arange(N), [2, 11]))


@pytest.mark.usefixtures("places")
def test_results_with_other_coordinates_are_another_run() -> None:
    lfmm2.run(None, "d", "env.csv", 2, coords="lon,lat", out="r")
    lfmm2.run(None, "d", "env.csv", 2, coords="lon,lat", out="r", resume=True)
    with pytest.raises(OutputExistsError, match="coords"):
        lfmm2.run(None, "d", "env.csv", 2, coords="lat,lon", out="r", resume=True)


@pytest.mark.usefixtures("places")
def test_the_note_on_coordinates_names_the_option() -> None:
    frame = pd.read_csv("env.csv", index_col="IID").fillna(45)
    with pytest.warns(
        InputWarning, match="lon, lat: coordinates are tested .*, name them with --coords, or choose col"
    ):
        lfmm2.run(None, "d", frame, 2)


CASES: dict[str, tuple[str, type[Exception], str]] = {
    "another name": ("lon,latitude", UsageError, r"env\.csv: no column latitude among .*, for --coords; check the n"),
    "one name": ("lon", UsageError, "coords are lon; name two columns, longitude and latitude, as lon,lat"),
    "three names": ("lon,lat,x", UsageError, "coords are lon, lat, x; name two columns"),
    "one name twice": ("lon,lon", UsageError, "coords are lon, lon; name two columns"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("coords", "error", "match"), CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("no_pass")
def test_coordinates_that_cannot_be_are_refused(places, capsys, way, coords, error, match):
    check_refused(places, capsys, way, error, match, options=["--coords", coords], coords=coords)


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.usefixtures("no_pass")
def test_coordinates_are_no_variables_and_are_numbers(places, capsys, way):
    check_refused(
        places, capsys, way, UsageError, "lat: both a variable and a coordinate; leave it out of one of them",
        options=["--coords", "lon,lat", "--variables", "x,lat"], coords="lon,lat", variables="x,lat",
    )  # fmt: skip
    Path("env.csv").write_text(Path("env.csv").read_text().replace(str(LON[5]), "5°E"))
    check_refused(
        places, capsys, way, MalformedInputError, r"column 'lon': '5°E' is not a number; write the number without its",
        options=["--coords", "lon,lat"], coords="lon,lat",
    )  # fmt: skip
