"""Columns of the table of nuisance variables are chosen by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue import check_refused
from input_cases import IIDS, N

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InputWarning, MalformedInputError, UsageError

AGE = (20 + np.arange(N) ** 2 % 37).astype(float)
HEIGHT = np.random.default_rng(1).normal(170, 8, N).round(1)
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture
def covar(folder: Path) -> Path:
    rows = "".join(
        f"{i},{a},{h},{'MF'[k % 2]},{k + 1}\n" for k, (i, a, h) in enumerate(zip(IIDS, AGE, HEIGHT, strict=True))
    )
    Path("covar.csv").write_text(f"IID,age,height,sex,nr\n{rows}")
    return folder


@pytest.mark.usefixtures("covar")
def test_chosen_columns_alone_are_adjusted_for(capsys: pytest.CaptureFixture[str]) -> None:
    expected = lfmm2.run(None, "d", "env.csv", 2, covar=np.column_stack([HEIGHT, AGE])).t
    for names in ("height,age", ["height", "age"]):
        found = lfmm2.run(None, "d", "env.csv", 2, covar="covar.csv", covar_variables=names)
        assert np.array_equal(found.t, expected)
    options = ["--covar-variables", "height", "--covar-variables", "age"]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "--covar", "covar.csv", *options, "-K", "2", "--out", "r"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert np.array_equal(lfmm2.read_results("r").t, expected)
    sexes = np.column_stack([HEIGHT, np.arange(N) % 2 == 0])
    expected = lfmm2.run(None, "d", "env.csv", 2, covar=sexes).t
    found = lfmm2.run(None, "d", "env.csv", 2, covar="covar.csv", covar_variables="height,sex", categorical="sex")
    assert np.array_equal(found.t, expected)


@pytest.mark.usefixtures("covar")
def test_columns_of_an_array_have_numbers() -> None:
    both = np.column_stack([AGE, HEIGHT])
    expected = lfmm2.run(None, "d", "env.csv", 2, covar=HEIGHT).t
    result = lfmm2.run(None, "d", "env.csv", 2, covar=both, covar_variables="covar2", out="r")
    assert np.array_equal(result.t, expected)
    assert '"nuisance_variables": [\n  "covar2"\n' in re.sub(" {2,}", "  ", Path("r.lfmm2.json").read_text())


CASES: dict[str, tuple[list[str], dict[str, Any], type[Exception], str]] = {
    "another name": (
        ["--covar", "covar.csv", "--covar-variables", "weight"],
        {"covar": "covar.csv", "covar_variables": "weight"}, UsageError,
        r"covar\.csv: no column weight among age, height, sex, nr; check the names",
    ),
    "twice": (
        ["--covar", "covar.csv", "--covar-variables", "age,age"],
        {"covar": "covar.csv", "covar_variables": "age,age"}, UsageError, "age chosen more than once; choose it once",
    ),
    "words": (
        ["--covar", "covar.csv", "--covar-variables", "sex"],
        {"covar": "covar.csv", "covar_variables": "sex"}, MalformedInputError, r"has words \(F, M\), not numbers; name",
    ),
    "no table": (
        ["--covar-variables", "age"], {"covar_variables": "age"}, UsageError,
        r"covar_variables chooses columns of covar \(age\), and there is no such table; give it with --covar, or",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("options", "parameters", "error", "match"), CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("no_pass")
def test_a_choice_that_cannot_be_is_refused(covar, capsys, way, options, parameters, error, match):
    check_refused(covar, capsys, way, error, match, options=options, **parameters)


@pytest.mark.usefixtures("covar")
def test_the_note_on_row_numbers_names_the_option() -> None:
    Path("covar.csv").write_text("IID,nr\n" + "".join(f"{i},{k + 1}\n" for k, i in enumerate(IIDS)))
    with pytest.warns(InputWarning, match=r"numbers the rows .*, choose columns with --covar-variables, or remove it"):
        lfmm2.run(None, "d", "env.csv", 2, covar="covar.csv")
