"""The catalogue of bad input, numbers and categories: fill values, codes for missing, words, faulty cells."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue import check_refused
from input_cases import GENOTYPES, IIDS, NUMBERS, Edit, N, X, column, columns, text

import lfmm2
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, MalformedInputError, UsageError

FILL = "is a fill value of rasters, which means no data, and the other values lie from -2.* to .*; use --missing-code"


def but(cell: object, *rows: int, others: Callable[[int], object] = lambda k: NUMBERS[k]) -> Edit:
    """A table of one variable that has `cell` for some samples, by default for the sixth."""
    return column(lambda k: str(cell) if k in (rows or (5,)) else str(others(k)))


def quoted(cell: str) -> Edit:
    return but(f'"{cell}"')


def covar(make: Callable[[int], object], name: str = "c") -> str:
    return f"IID,{name}\n" + "".join(f"{i},{make(k)}\n" for k, i in enumerate(IIDS))


AT = r"env\.csv, line 7 \(sample i05\), column 'x'"

# name, edit of env.csv, error, what the message says
TABLES: list[tuple[str, Edit, type[Exception], str]] = [
    ("-9999", but(-9999), MalformedInputError, rf"{AT}: -9999 {FILL} -9999 \(in Python missing_code=-9999\), with"),
    ("-9999.0", but("-9999.0"), MalformedInputError, rf"{AT}: -9999 {FILL} -9999"),
    ("-999", but(-999), MalformedInputError, rf"{AT}: -999 {FILL}"),
    ("-99999 twice", but(-99999, 5, 9), MalformedInputError, r"line 7 \(sample i05\), line 11 \(sample i09\), column"),
    ("-32768 of int16", but(-32768), MalformedInputError, rf"{AT}: -32768 {FILL}"),
    ("-2147483648 of int32", but(-2147483648), MalformedInputError, rf"{AT}: -2147483648 {FILL}"),
    ("65535 of uint16", but(65535), MalformedInputError, rf"{AT}: 65535 {FILL}"),
    ("-3.4e38 of float32", but("-3.4e+38"), MalformedInputError, rf"{AT}: -3.4e\+38 {FILL}"),
    ("-3.4e38 in full", but(-3.4028234663852886e38), MalformedInputError, rf"{AT}: -3.4028234663852886e\+38 {FILL}"),
    ("netCDF", but(9.969209968386869e36), MalformedInputError, rf"{AT}: 9.969209968386869e\+36 {FILL}"),
    ("1e20 of CF", but(1.00000002004e20), MalformedInputError, rf"{AT}: 1.00000002004e\+20 {FILL}"),
    ("-1.797693e308 of GDAL", but("-1.797693e+308"), MalformedInputError, rf"{AT}: -1.797693e\+308 {FILL}"),
    ("two codes", column(lambda k: {3: "-9999", 8: "-3.4e38"}.get(k, str(NUMBERS[k]))), MalformedInputError,
     r"use --missing-code -3.4e\+38 --missing-code -9999 \(in Python missing_code=\[-3.4e\+38, -9999\]\)"),
    ("two columns", columns("IID,a,b", lambda k: "-9999,-9999" if k == 5 else f"{NUMBERS[k]},{k * k}"),
     MalformedInputError, r"column 'a': -9999 .* \(such values are in b too\); use"),
    ("-9999 in rain", but(-9999, others=lambda k: 700 * k), MalformedInputError, "-9999 is a fill value"),
    ("1e200", but("1e200"), MalformedInputError, rf"{AT}: 1e\+200 is too large, because .*; use another unit"),
    ("-1e160", but("-1e160"), MalformedInputError, rf"{AT}: -1e\+160 is too large"),
    ("tiny", column(lambda k: f"{NUMBERS[k] * 1e-200}"), DegenerateProblemError, "x: varies by less than 1e-151; use"),
    ("infinite", but("1e400"), MalformedInputError, rf"{AT}: is infinite; correct it, or use --missing-code inf"),
    ("point", but("."), MalformedInputError, rf"{AT}: '\.' is not a number; .* missing, use --missing-code \. "),
    ("dash", but("-"), MalformedInputError, "'-' is not a number; .* means missing, use --missing-code - "),
    ("question mark", but("?"), MalformedInputError, r"'\?' is not a number; .* use --missing-code '\?' \(in"),
    ("#DIV/0!", but("#DIV/0!"), MalformedInputError, "'#DIV/0!' is not .*; correct the formula .*--missing-code '#D"),
    ("#NAME?", but("#NAME?"), MalformedInputError, "correct the formula of the spreadsheet; if it means"),
    ("thousands", quoted("1,234.5"), MalformedInputError, "decimals with a point, and nothing between thousands$"),
    ("decimal comma", quoted("1,5"), MalformedInputError, "'1,5' is not a number; write decimals with a point"),
    ("thousands with a blank", but("1\N{NO-BREAK SPACE}234"), MalformedInputError, "with a point, and nothing between"),
    ("Arabic digits", but("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}"), MalformedInputError,
     rf"{AT}: .* is not a number; correct it"),
    ("minus sign", but("\N{MINUS SIGN}5.1"), MalformedInputError, "5.1' is not a number; write the minus sign as -"),
    ("percent", but("12%"), MalformedInputError, "'12%' is not a number; write the number without its unit$"),
    ("degrees", but("12.5 °C"), MalformedInputError, "'12.5 °C' is not a number; write the number without its unit$"),
    ("metres", but("250 m"), MalformedInputError, "'250 m' is not a number; write the number without its unit$"),
    ("date", but("2020-05-01"), MalformedInputError, "'2020-05-01' is not a number; it is a date, so write a number"),
    ("words", column(lambda k: ("oak", "fir", "elm")[k % 3]), MalformedInputError,
     r"env\.csv, column 'x': has words \(elm, fir, oak\), not numbers; name it with --categorical x \(in Python categ"),
    ("TRUE and FALSE", column(lambda k: ("TRUE", "FALSE")[k % 2]), MalformedInputError,
     r"has words \(FALSE, TRUE\), not numbers; name it with --categorical x"),
    ("all N/A", column(lambda _: "N/A"), InconsistentInputError, "x: missing in all of 38 samples; leave the variable"),
    *(
        (f"missing as {cell}", but(cell), InconsistentInputError, rf"1 of 38 .*{AT}; use --missing drop or mean")
        for cell in ("N/A", "n/a", "#N/A", "<NA>", "NULL", "None", "-nan", "1.#QNAN")
    ),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("edit", "error", "match"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
@pytest.mark.usefixtures("no_pass")
def test_fault_of_numbers(folder, capsys, edit, error, match, way):
    Path("env.csv").write_bytes(edit(b""))
    check_refused(folder, capsys, way, error, match)


SEX = covar(lambda k: "MF"[k % 2], "sex")
# name, table of nuisance variables, options, error, what the message says
CATEGORIES: list[tuple[str, str, dict[str, str], type[Exception], str]] = [
    ("words not named", SEX, {}, MalformedInputError,
     r"covar\.csv, column 'sex': has words \(F, M\), not numbers; name it with --categorical sex"),
    ("unknown", SEX, {"categorical": "sex,batch"}, UsageError, "no column batch among x, sex, .*; check the names"),
    ("one level", covar(lambda _: "F", "sex"), {"categorical": "sex"}, DegenerateProblemError,
     "sex: all samples in use have the level F; leave it out"),
    ("IDs", covar(lambda k: IIDS[k], "tree"), {"categorical": "tree"}, DegenerateProblemError,
     r"tree: 38 levels among 38 samples \(i00, i01, .*\); a category has several samples"),
    ("missing", covar(lambda k: "" if k == 4 else "ab"[k % 2]), {"categorical": "c"}, InconsistentInputError,
     r"1 of 38 samples have missing nuisance variables: covar\.csv, line 6 \(sample i04\), column 'c'; use"),
    ("mean", covar(lambda k: "NA" if k == 4 else "ab"[k % 2]), {"categorical": "c", "missing": "mean"},
     InconsistentInputError, "column 'c': is missing, and a category has no mean; use --missing drop"),
    ("codes in one text", SEX, {"categorical": "sex", "missing_code": "-9,-99"}, UsageError,
     "missing_code is '-9,-99', which no cell is; give each code by itself: --missing-code -9 --missing-code -99"),
    ("fill value", covar(lambda k: -9999 if k == 4 else k * k), {}, MalformedInputError,
     r"covar\.csv, line 6 \(sample i04\), column 'c': -9999 is a fill value"),
    ("fill value as a level", covar(lambda k: -9999 if k == 4 else k % 3), {"categorical": "c"}, MalformedInputError,
     r"line 6 \(sample i04\), column 'c': -9999 is a level of this category, but a fill .*; use --missing-code -9999"),
    ("nested", "IID,site,region\n" + "".join(f"{i},{'abcd'[k % 4]},{'NS'[k % 2]}\n" for k, i in enumerate(IIDS)),
     {"categorical": "site,region"}, DegenerateProblemError, "is a linear function of .*; leave out one"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(
    ("table", "options", "error", "match"), [row[1:] for row in CATEGORIES], ids=[row[0] for row in CATEGORIES]
)
@pytest.mark.usefixtures("no_pass")
def test_fault_of_categories(folder, capsys, table, options, error, match, way):
    Path("covar.csv").write_text(table)
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    flags += ["--covar", "covar.csv"]
    check_refused(folder, capsys, way, error, match, options=flags, covar="covar.csv", **options)


def test_level_that_cannot_name_a_file(folder, capsys):
    match = "'x=clay/loam' cannot name an output file; rename"
    Path("env.csv").write_bytes(column(lambda k: ("a", "clay/loam", "peat")[k % 3])(b""))
    for way in ("command", "function"):
        check_refused(folder, capsys, way, UsageError, match, options=["--categorical", "x"], categorical="x")


# --- sound neighbours of these faults: the right values, and no word, or the warning that is true -----------------


def numbers(make: Callable[[int], float]) -> Any:
    return np.array([make(k) for k in range(N)], float)


JANUARY = numbers(lambda k: round(-12 + k * 17 / 37))
ALTITUDE = numbers(lambda k: 200 + 21 * k)
ALTITUDE[7] = 999
SOUND = {
    "-9 degrees in January": JANUARY,
    "999 m of altitude": ALTITUDE,
    "-999 m in the sea": numbers(lambda k: -999 if k == 3 else -3000 + 90 * k),
    "one environment per population": numbers(lambda k: (-9.0, -4.0, 3.0, 8.0)[k % 4]),
    "-9 among temperatures of populations": numbers(lambda k: (-9, 3, 8, 14, 21)[k % 5]),
    "255 among others": numbers(lambda k: 180 + 3 * k),
    "an indicator": numbers(lambda k: k % 2),
    "three of 38": numbers(lambda k: k in (3, 9, 20)),
    "skewed": np.exp(2 * X),
    "a population at the sea": numbers(lambda k: (0, 500, 800, 900)[k % 4]),
    "0 among others": numbers(lambda k: 0 if k == 3 else 40 + 30 * k),
    "counts with zeros": numbers(lambda k: (0, 0, 0, 1, 0, 2)[k % 6]),
    "altitudes of populations": numbers(lambda k: (120, 340, 560)[k % 3]),
    "phenotype 1 and 2": numbers(lambda k: 1 + k % 2),
    "whole column near 1e20": 1e20 * (1 + X / 10),
}


@pytest.mark.filterwarnings("error::lfmm2.errors.InputWarning", "ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize("values", SOUND.values(), ids=SOUND.keys())
@pytest.mark.usefixtures("folder")
def test_sound_numbers_pass_without_a_word(values):
    Path("env.csv").write_bytes(column(lambda k: repr(float(values[k])))(b""))
    found = lfmm2.run(None, "d", "env.csv", 3)
    np.testing.assert_allclose(found.t, lfmm2.run(None, GENOTYPES.T, values, 3).t, rtol=1e-7, atol=1e-9)


# name, table of variables, options, what the one warning says
WARNED: list[tuple[str, Edit, dict[str, Any], str]] = [
    ("outlier", but(60), {}, rf"{AT}: 60 is far from the others, which lie from -2.* to .*; check it, .*-code 60"),
    ("decimal point lost", but(150, others=lambda k: 10 + k / 3), {}, "150 is far from the others, which lie from"),
    ("-9 in PLINK's table",
     text("FID IID x\n" + "".join(f"0 {i} {-9 if k in (2, 30) else 3 + k * 0.65}\n" for k, i in enumerate(IIDS))),
     {},
     r"line 4 \(sample i02\), line 32 \(sample i30\), column 'x': 2 values are exactly -9, .*use --missing-code -9"),
    ("-9 in a phenotype", but(-9, 3, 4, others=lambda k: 1 + k % 2), {}, "2 values are exactly -9, often a code"),
    ("-99", but(-99), {}, "1 value is exactly -99, often a code for missing, and the others lie from"),
    ("-999.9 in rain", but(-999.9, others=lambda k: 60 * k), {}, "1 value is exactly -999.9, often a code for missing"),
    ("scaled fill value", but(-3276.8), {}, "1 value is exactly -3276.8, often a code for missing"),
    ("fill value in kelvin", but(6280.35, others=lambda k: 5 + k / 2), {}, "6280.35 is far from the others, which lie"),
    ("999", but(999), {}, "1 value is exactly 999, often a code for missing"),
    ("255 of uint8", but(255, 3, 9, others=lambda k: k), {}, "2 values are exactly 255, often a code"),
    ("0 for an empty cell", but(0, 4, 9, others=lambda k: 1200 + 8 * k), {}, "2 values are exactly 0, often a code"),
    ("two apart", but(1, 3, 9, others=lambda _: 0), {}, r"x: all samples but 2 \(i03, i09\) have the value 0"),
    ("one apart", but(7.5, others=lambda _: 3), {}, r"x: all samples but 1 \(i05\) have the value 3; the tests"),
    ("row numbers", column(lambda k: str(k + 1)), {}, r"env\.csv, column 'x': numbers the rows from 1 to 38"),
    ("coordinates", columns("IID,lon,lat,x", lambda k: f"{k * k},{k * 7 % 40},{NUMBERS[k]}"), {},
     "lon, lat: coordinates are tested like the other variables of the table; .* choose columns with --variables"),
    ("IDs", columns("IID,OBJECTID,x", lambda k: f"{7 * k + 100},{NUMBERS[k]}"), {},
     "OBJECTID taken for other IDs or row numbers, not for variables; rename a column that is"),
    ("land cover", column(lambda k: str((11, 21, 41)[k % 3])), {},
     r"x \(11, 21, 41\): whole numbers that look like codes of classes .*; if they are classes, use --categorical x"),
    ("soil type", column(lambda k: str((1, 2, 3, 4)[k % 4]), "soil_type"), {}, r"soil_type \(1, 2, 3, 4\): wh"),
    ("level of one sample", but("elm", others=lambda k: ("oak", "fir")[k % 2]), {"categorical": "x"},
     r"x: only one sample has the level elm \(i05\), which no test can use; join"),
    ("level -9", but(-9, 5, 7, others=lambda k: 1 + k % 3), {"categorical": "x"},
     rf"{AT}: -9 is a level of this category, but often a code for missing; if missing, use --missing-code -9"),
    ("levels by case", but("Oak", 5, 7, others=lambda k: ("oak", "fir")[k % 2]), {"categorical": ["x"]},
     "x: levels Oak, oak differ by upper and lower case only; write them alike"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize(("edit", "options", "message"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
@pytest.mark.usefixtures("folder")
def test_doubtful_numbers_are_warned_of_once_and_used(edit, options, message):
    Path("env.csv").write_bytes(edit(b""))
    with pytest.warns(InputWarning, match=message) as seen:
        found = lfmm2.run(None, "d", "env.csv", 3, **options)
    assert len([w for w in seen if w.category is InputWarning]) == 1
    assert np.isfinite(found.t).all()


@pytest.mark.parametrize("name", ["lon", "OBJECTID"])
@pytest.mark.usefixtures("folder")
def test_what_is_chosen_by_name_is_meant(name):
    Path("env.csv").write_bytes(columns(f"IID,{name},x", lambda k: f"{k + 1},{NUMBERS[k]}")(b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        warnings.simplefilter("ignore", lfmm2.CalibrationWarning)
        assert lfmm2.run(None, "d", "env.csv", 3, variables=f"{name},x").variables == (name, "x")
