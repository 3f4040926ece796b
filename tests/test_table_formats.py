"""Tables in every format that people have give the same t as the plain CSV, through the command line and Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue import check_refused
from input_cases import IIDS, N

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InputWarning, MalformedInputError

VALUES = np.random.default_rng(4).normal(10, 3, (N, 2)).round(4)
ORDER = np.random.default_rng(5).permutation(N).tolist()
NAMES = ["temp", "rain"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning"),
    pytest.mark.usefixtures("folder"),
]


def table(mark: str = ",", header: str = "IID,temp,rain", cell: Callable[[float], str] = repr) -> str:
    """The table as text, its rows in another order than the .fam."""
    rows = [mark.join([IIDS[k], *map(cell, VALUES[k].tolist())]) for k in ORDER]
    return "\n".join([header.replace(",", mark), *rows]) + "\n"


def with_comma(number: float) -> str:
    return repr(float(number)).replace(".", ",")


def truth(**options: Any) -> Any:
    Path("plain.csv").write_text(table())
    return lfmm2.run(None, "d", "plain.csv", 2, **options).t


def by_command(*options: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "-K", "2", "--out", "r", "--overwrite", *options])
    assert ended.value.code == 0
    return lfmm2.read_results("r").t


# --- decimal commas -------------------------------------------------------------------------------------------

COMMAS = {
    "semicolons": table(";", cell=with_comma),
    "semicolons of Excel": "\ufeff" + table(";", cell=with_comma).replace("\n", "\r\n"),
    "tabs": table("\t", cell=with_comma),
    "blanks": table(" ", cell=with_comma),
    "quoted between commas": table(cell=lambda number: f'"{with_comma(number)}"'),
    "exponents": table(";", cell=lambda number: f"{number:.6e}".replace(".", ",")),
    "one decimal for whole numbers": table(";", cell=with_comma).replace(",0\n", "\n"),
    "a comma in a name": table(";", cell=with_comma).replace("rain\n", "rain; of May, mm\n", 1).replace("; of", " of"),
}


@pytest.mark.parametrize("text", COMMAS.values(), ids=COMMAS.keys())
def test_decimal_commas_are_read(text: str) -> None:
    Path("env.csv").write_text(text, newline="")
    assert np.array_equal(lfmm2.run(None, "d", "env.csv", 2, decimal=",").t, truth())
    assert np.array_equal(by_command("--env", "env.csv", "--decimal", ","), truth())


def test_decimal_commas_of_nuisance_variables_and_frames() -> None:
    import pandas as pd

    Path("plain.csv").write_text(table())
    Path("covar.csv").write_text(table(";", "IID,a,b", with_comma))
    Path("other.csv").write_text(table(header="IID,a,b"))
    variable = np.arange(N) % 7 + np.arange(N) / 9
    expected = lfmm2.run(None, "d", variable, 2, covar="other.csv").t
    assert np.array_equal(lfmm2.run(None, "d", variable, 2, covar="covar.csv", decimal=",").t, expected)
    frame = pd.read_csv("covar.csv", sep=";", index_col="IID", dtype=str)
    assert np.array_equal(lfmm2.run(None, "d", variable, 2, covar=frame, decimal=",").t, expected)


def test_levels_with_decimal_commas_are_numbers() -> None:
    levels = ["0,5", "0,50", "10", "2,5"]
    rows = "".join(f"{i};{with_comma(VALUES[k, 0])};{levels[k % 4]}\n" for k, i in enumerate(IIDS))
    Path("env.csv").write_text(f"IID;temp;dose\n{rows}")
    result = lfmm2.run(None, "d", "env.csv", 2, decimal=",", categorical="dose")
    assert result.variables == ("temp", "dose=2.5", "dose=10")


def test_missing_codes_and_decimal_commas() -> None:
    text = table(";", cell=with_comma).replace(with_comma(VALUES[3, 1]), "-9,9")
    Path("env.csv").write_text(text)
    Path("holes.csv").write_text(table().replace(repr(VALUES[3, 1].item()), "NA"))
    with pytest.warns(InputWarning, match="left out"):
        expected = lfmm2.run(None, "d", "holes.csv", 2, missing="drop").t
    with pytest.warns(InputWarning, match="left out"):
        found = lfmm2.run(None, "d", "env.csv", 2, missing="drop", missing_code=-9.9, decimal=",").t
    assert np.array_equal(found, expected)


def test_offset_reads_decimal_commas() -> None:
    Path("plain.csv").write_text(table())
    lfmm2.run(None, "d", "plain.csv", 2, out="r")
    Path("new.csv").write_text(table(cell=lambda number: repr(number + 1)))
    Path("new_comma.csv").write_text(table(";", cell=lambda number: with_comma(number + 1)))
    expected = lfmm2.genetic_offset("r", None, "new.csv")
    found = lfmm2.genetic_offset("r", None, "new_comma.csv", decimal=",")
    assert np.array_equal(found.gap, expected.gap)
    with pytest.raises(SystemExit) as ended:
        main(["offset", "r", "--new-env", "new_comma.csv", "--decimal", ",", "--out", "o"])
    assert ended.value.code == 0


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(
    ("cell", "options", "match"),
    [
        (
            with_comma,
            {},
            r"'\d+,\d+' is not a number; write decimals with a point, .*, or use --decimal , \(in Python de",
        ),
        (lambda v: f"1.{int(100 + v)},5", {}, "write decimals with a point, and nothing between thousands$"),
        (repr, {"decimal": ","}, r"'\d+\.\d+' is not a number; write decimals with a comma, and nothing between thou"),
        (lambda v: f"1.{int(100 + v)},5", {"decimal": ","}, "'1.1..,5' is not a number; write decimals with a comma"),
        (lambda v: f"1,{int(100 + v)},5", {"decimal": ","}, "'1,1..,5' is not a number; write decimals with a comma"),
    ],
    ids=["commas", "points between thousands", "points", "thousands and commas", "commas between thousands"],
)
@pytest.mark.usefixtures("no_pass")
def test_numbers_with_another_mark_are_refused(folder, capsys, cell, options, match, way):
    Path("env.csv").write_text(table(";", cell=cell))
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    message = check_refused(folder, capsys, way, MalformedInputError, match, options=given, **options)
    assert re.match(r"env.csv, line 2 \(sample i\d\d\), column 'temp': ", message)
