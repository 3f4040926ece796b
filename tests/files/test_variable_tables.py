"""Tables in all forms that users bring, matched by sample ID; variables that no model can tell apart."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lfmm2.errors import (
    DegenerateProblemError,
    InconsistentInputError,
    InputWarning,
    LfmmError,
    MalformedInputError,
    ReadError,
    UsageError,
)
from lfmm2.files.samples import Samples
from lfmm2.files.variable_checks import check_variables
from lfmm2.files.variable_tables import Variables, read_variables

SAMPLES = Samples(("F1", "F2", "F3"), ("I1", "I2", "I3"))
EXPECTED = [[1.5, 10.0], [-2.0, 20.0], [0.0, 3e10]]


def write(folder: Path, content: str | bytes, name: str = "env.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, **options: Any) -> Variables:
    return read_variables(write(folder, content), SAMPLES, **options)


def assert_expected(found: Variables) -> None:
    assert found.names == ("t", "rain")
    assert found.values.tolist() == EXPECTED
    assert found.sample_index.tolist() == [0, 1, 2]
    assert found.values.dtype == np.float64
    assert found.values.flags.c_contiguous
    assert found.sample_index.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        "IID,t,rain\nI1,1.5,10\nI2,-2,20\nI3,0,3e10\n",
        "IID,t,rain\nI3,0,3e10\nI1,1.5,10\nI2,-2,20",
        "\ufeffIID,t,rain\r\nI1,1.5,10\r\nI2,-2,20\r\nI3,0,3e10\r\n\r\n",
        "sample\tt\train\nI1\t1.5\t10\nI2\t-2\t20\nI3\t0\t3e10\n",
        '"","t","rain"\n"I1",1.5,"10"\n"I2",-2,20\n"I3",+0,3e10\n',
        "IID, t, rain\nI1, 1.5, 10\nI2, -2, 20\nI3, 0, 3E+10\n\n  \n",
        "FID IID t rain\nF1 I1 1.5 10\nF2 I2 -2 20\nF3 I3 0 3e10\n",
        "#FID\tIID\tt\train\nF1\tI1\t1.5\t10\nF2\tI2\t-2\t20\nF3\tI3\t0\t3e10\n",
        "#IID t rain\nI1 1.5 10\nI2 -2 20\nI3 0 3e10\n",
        "  FID  IID    t  rain\n   F1   I1  1.5    10 \n   F2   I2   -2    20\n   F3   I3    0  3e10\n",
        "t,fid,iid,rain\n1.5,x,I1,10\n-2,y,I2,20\n0,z,I3,3e10\n",
        "IID,t,rain\nI1,1.5,10\nI2,-2,20\nI3,0,3e10\nI4,NA,7\n",
    ],
    ids=str.split("csv order excel tsv write.csv blanks plink plink2 #IID aligned mid-table further-row"),
)
def test_read_variables_reads_text(tmp_path: Path, text: str) -> None:
    assert_expected(read(tmp_path, text))


TABLE = {"t": [0.0, 1.5, -2.0], "rain": [3e10, 10, 20]}
IIDS = ["I3", "I1", "I2"]


@pytest.mark.parametrize(
    "source",
    [
        np.array(EXPECTED),
        np.array(EXPECTED, order="F"),
        EXPECTED,
    ],
    ids=["C", "F", "list"],
)
def test_read_variables_takes_arrays_in_fam_order(source: Any) -> None:
    found = read_variables(source, SAMPLES)
    assert found.names == ("env1", "env2")
    assert found.values.tolist() == EXPECTED


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, bool])
def test_read_variables_takes_one_dimension_of_any_number_type(dtype: type) -> None:
    found = read_variables(np.array([1, 0, 1], dtype), SAMPLES)
    assert (found.names, found.values.tolist()) == (("env1",), [[1.0], [0.0], [1.0]])


def test_read_variables_takes_masked_as_missing() -> None:
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    assert read_variables(masked, SAMPLES, intersect=True).sample_index.tolist() == [0, 2]


def test_read_variables_takes_arrays_where_iids_repeat() -> None:
    samples = Samples(("F1", "F2"), ("I", "I"))
    assert read_variables(np.array([3.0, 4.0]), samples).values.tolist() == [[3.0], [4.0]]


@pytest.mark.parametrize(
    "source",
    [
        pd.DataFrame(TABLE, index=IIDS),
        pd.DataFrame(TABLE, index=pd.MultiIndex.from_arrays([["F3", "F1", "F2"], IIDS], names=["FID", "IID"])),
        pd.DataFrame({"IID": IIDS, **TABLE}),
        pd.DataFrame({"FID": ["F3", "F1", "F2"], "#IID": IIDS, **TABLE}, index=[7, 8, 9]),
        pd.DataFrame(TABLE, index=IIDS).convert_dtypes(),
        pd.DataFrame(TABLE, index=IIDS).astype(object),
        pd.DataFrame(TABLE, index=IIDS).astype(str),
        pa.table({"IID": IIDS, **TABLE}),
        pa.table({"name": IIDS, **TABLE}),
        pa.table({"t": TABLE["t"], "rain": TABLE["rain"], "IID": pa.array(IIDS).dictionary_encode()}),
        pa.table({"IID": IIDS, "t": pa.array(["0", "1.5", "-2"], pa.large_string()), "rain": [30000000000, 10, 20]}),
    ],
    ids=str.split("index MultiIndex IID #IID nullable object str arrow first-column dictionary types"),
)
def test_read_variables_takes_tables_in_memory(source: Any) -> None:
    assert_expected(read_variables(source, SAMPLES))


def test_read_variables_takes_series() -> None:
    assert read_variables(pd.Series(TABLE["t"], index=IIDS), SAMPLES).names == ("env1",)
    assert read_variables(pd.Series(TABLE["t"], index=IIDS, name="t"), SAMPLES).names == ("t",)


def test_read_variables_matches_integer_index() -> None:
    samples = Samples(("0", "0"), ("101", "102"))
    found = read_variables(pd.DataFrame({"t": [2.0, 1.0]}, index=[102, 101]), samples)
    assert found.values.tolist() == [[1.0], [2.0]]


def test_read_variables_takes_nan_among_text_as_missing() -> None:
    source = pd.Series(["1", np.nan, "3"], index=["I1", "I2", "I3"], dtype=object)
    assert read_variables(source, SAMPLES, intersect=True).sample_index.tolist() == [0, 2]


def test_read_variables_needs_neither_pandas_nor_scipy() -> None:
    program = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("pandas", "scipy"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from lfmm2.files import Samples, read_variables
print(read_variables([1.0, 2.0], Samples(("F", "F"), ("a", "b"))).values.sum())
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout == "3.0\n"


@pytest.mark.parametrize("cell", ["", "NA", "na", "nan", "NaN", " NA "])
def test_read_variables_names_missing_value(tmp_path: Path, cell: str) -> None:
    with pytest.raises(
        InconsistentInputError, match=r"1 of 3 samples .*line 3 \(sample I2\), column 't'.*--missing drop .*--remove"
    ):
        read(tmp_path, f"IID,t\nI1,1\nI2,{cell}\nI3,3\n")


def test_read_variables_drops_missing_on_intersect(tmp_path: Path) -> None:
    found = read(tmp_path, "IID,t,u\nI3,3,\nI2,2,5\nI1,nan,6\n", intersect=True)
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[2.0, 5.0]], [1])


def test_read_variables_keeps_an_empty_last_cell(tmp_path: Path) -> None:
    assert read(tmp_path, "IID\tt\nI1\t1\nI2\t2\nI3\t\n", intersect=True).sample_index.tolist() == [0, 1]


@pytest.mark.parametrize("options", [{}, {"missing": "drop"}, {"missing": "mean"}, {"intersect": True}])
def test_read_variables_refuses_a_variable_missing_everywhere(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InconsistentInputError, match=r"env\.csv: u: missing in all of 3 samples; leave the variable"):
        read(tmp_path, "IID,t,u\nI1,1,NA\nI2,,NA\nI3,3,NA\n", **options)


@pytest.mark.parametrize("options", [{"missing": "drop"}, {"intersect": True}])
def test_read_variables_refuses_to_leave_out_everyone(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InconsistentInputError, match="no sample has all covariates"):
        read(tmp_path, "IID,t,u\nI1,1,NA\nI2,,2\nI3,NA,NA\n", what="covariates", **options)


GAPS = "IID,t,u\nI3,5,NA\nI1,1,2\nI2,,6\nI4,NA,100\n"


def test_read_variables_drops_samples_that_lack_a_value(tmp_path: Path) -> None:
    message = r"env\.csv: 2 of 3 samples have missing variables and are left out \(t 1, u 1\)"
    with pytest.warns(InputWarning, match=message) as caught:
        found = read(tmp_path, GAPS, missing="drop")
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[1, 2]], [0])
    assert len(caught) == 1


def test_read_variables_takes_means_over_the_samples_that_have_the_value(tmp_path: Path) -> None:
    message = r"env\.csv: 2 of 3 samples have missing variables and are given the mean of the others \(t 1, u 1\)"
    with pytest.warns(InputWarning, match=message) as caught:
        found = read(tmp_path, GAPS, missing="mean")
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[1, 2], [3, 6], [5, 4]], [0, 1, 2])
    assert len(caught) == 1


def test_read_variables_takes_means_over_the_samples_in_use_only(tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match=r"1 of 2 samples .* \(t 1\)"):
        found = read(tmp_path, GAPS, missing="mean", kept=np.array([0, 1]))
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[1, 2], [1, 6]], [0, 1])


@pytest.mark.parametrize("value", [1e150, -1e150, 5e-324, 0.0])
def test_read_variables_takes_means_of_any_size(value: float) -> None:
    with pytest.warns(InputWarning, match="given the mean"):
        found = read_variables([value, np.nan, value], SAMPLES, missing="mean")
    assert found.values[:, 0].tolist() == [value] * 3


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_read_variables_says_nothing_where_nothing_is_missing(tmp_path: Path, missing: str) -> None:
    assert len(read(tmp_path, "IID,t\nI1,1\nI2,2\nI3,3\nI4,NA\n", missing=missing).values) == 3


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_read_variables_needs_a_row_whatever_is_done_about_values(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InconsistentInputError, match=r"1 of 3 samples have no row \(I3\)"):
        read(tmp_path, "IID,t\nI1,1\nI2,2\n", missing=missing)


@pytest.mark.parametrize("source", ["text", "array"])
def test_read_variables_of_kept_samples(tmp_path: Path, source: str) -> None:
    table = write(tmp_path, "IID,t\nI1,1\nI2,NA\nI3,3\n") if source == "text" else np.array([1, np.nan, 3])
    found = read_variables(table, SAMPLES, kept=np.array([0, 2]))
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[1], [3]], [0, 2])
    with pytest.raises(InconsistentInputError, match=r"1 of 2 samples have missing variables: .*\(sample I2\)"):
        read_variables(table, SAMPLES, kept=np.array([1, 2]))


def test_read_variables_ignores_missing_in_rows_of_others(tmp_path: Path) -> None:
    assert len(read(tmp_path, "IID,t\nI1,1\nI2,2\nI3,3\nI4,NA\n").values) == 3


def test_read_variables_takes_minus_nine_as_number(tmp_path: Path) -> None:
    assert read(tmp_path, "IID,t\nI1,-9\nI2,2\nI3,3\n").values[0, 0] == -9


@pytest.mark.parametrize("code", [-9, -9.0, "-9", "."])
def test_read_variables_honours_missing_code(tmp_path: Path, code: float | str) -> None:
    cell = "." if code == "." else "-9.00"
    found = read(tmp_path, f"IID,t\nI1,{cell}\nI2,2\nI3,3\n", missing_code=code, intersect=True)
    assert found.sample_index.tolist() == [1, 2]


def test_read_variables_honours_missing_code_in_arrays() -> None:
    found = read_variables(np.array([1, -9, 3]), SAMPLES, missing_code=-9, intersect=True)
    assert found.sample_index.tolist() == [0, 2]


@pytest.mark.parametrize("columns", [["rain"], ("rain", "t")])
def test_read_variables_selects_columns_in_order(tmp_path: Path, columns: list[str]) -> None:
    found = read(tmp_path, "IID,t,site,rain\nI1,1,x,4\nI2,2,y,5\nI3,3,z,6\n", columns=columns)
    assert found.names == tuple(columns)
    assert found.values[:, 0].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("columns", "message"),
    [(["t", "snow"], "no column snow among t"), (["t", "t"], "t chosen more than once")],
)
def test_read_variables_refuses_columns(tmp_path: Path, columns: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, "IID,t\nI1,1\nI2,2\nI3,3\n", columns=columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("IID,t\n", "header line only"),
        ("IID,t", "header line only"),
        ("IID\nI1\n", "line 1: is one column"),
        ("IID,FID\nI1,F1\n", "no variables beside the sample IDs"),
        (
            "IID;t\nI1;1,5\n",
            r"'1,5' is not a number; write decimals with a point, .*, or use --decimal , \(in Python d",
        ),
        ("IID,t,u\nI1,1,2\nI2,1\n", r"line 3: 2 cell\(s\), but the header has 3"),
        ("IID,t,u\nI1,1,2\nI2,1,2,3\n", r"line 3: 4 cell\(s\), but the header has 3; in R use write\.csv"),
        ("IID,t\nI1,1\n\nI2,2\n", r"line 3: 0 cell\(s\)"),
        ('IID,t\nI1,"1\n2"\nI2,2\n', "line 2: a quote is opened and not closed"),
        ('"IID,t\nI1,1\n', "line 1: a quote is opened and not closed"),
        (f"IID,{'t' * 200_000}\nI1,1\n", "line 1: field larger than field limit"),
        (f"IID,t\nI1,1,{'t' * 200_000}\n", "line 2: field larger than field limit"),
        ("IID,t,t\nI1,1,2\n", r"repeated column names \(t\)"),
        ("IID,t,\nI1,1,2\n", "no name for column 3"),
        ("FID,t\nF1,1\n", "column FID but none IID"),
        ("IID,t\n,1\n", "no sample ID in row 1"),
        ("I1,0.5\nI2,0.7\n", "line 1: is data, not a header"),
        ("F1 I1 0.5\nF2 I2 0.7\n", "line 1: is data, not a header"),
        ("1.5 2.5\n3.5 4.5\n", "line 1: is data, not a header"),
        (b"IID,t\nI1,\xe9\n", "line 2: is not UTF-8"),
        (b"IID,t\nI1,\x00\n", "line 2: a NUL byte"),
        ("IID,t\rI1,1\r", "line 1: a carriage return"),
        (b"\x1f\x8b\x08", "gzip"),
        (
            "IID,t,u\nI1,1,2\nI2,2,warm\nI3,3,4\n",
            r"line 3 \(sample I2\), column 'u': 'warm' is not a number; correct",
        ),
        (
            'IID,t\nI1,1\nI2,"1,5"\nI3,3\n',
            r"line 3 .*column 't': '1,5' is not a number; write decimals with a point",
        ),
        ("IID\tt\nI1\t1,5\nI2\t2\n", "line 2 .*'1,5' is not a number; write decimals with a point"),
        ("IID,t\nI1,1\nI2,?\n", r"'\?' is not a number; correct it; if it means missing, use --missing-code '\?'"),
        ("IID,t\nI1,0x10\n", "'0x10' is not a number"),
        ("IID,t\nI1,1_000\n", "'1_000' is not a number"),
        ("IID,t\nI1,1\nI2,-Inf\n", r"line 3 \(sample I2\), column 't': is infinite"),
        ("IID,t\nI1,1e999\n", "is infinite"),
    ],
)
def test_read_variables_refuses_malformed_text(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MalformedInputError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["a/b", "joint", "Factors", "loadings", "a\\x00b", "a\\nb"])
def test_read_variables_refuses_name_unfit_for_files(name: str) -> None:
    name = name.encode().decode("unicode_escape")
    with pytest.raises(UsageError, match="cannot name an output file; rename"):
        read_variables(pa.table({"IID": ["I1", "I2", "I3"], name: [1, 2, 3]}), SAMPLES)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.zeros(4), InconsistentInputError, "array of 4 rows, but there are 3 samples"),
        (np.zeros((2, 3)), InconsistentInputError, "array of 2 rows, but there are 3 samples"),
        (np.array([1, np.inf, 2]), MalformedInputError, r"row 2 \(sample I2\), column 'env1': is infinite"),
        (np.array([1, np.nan, 2]), InconsistentInputError, "1 of 3 samples have missing variables"),
        (np.array(["a", "b", "c"]), UsageError, "array of <U1"),
        (np.zeros((3, 1, 1)), UsageError, "give numbers, 1-D or 2-D"),
        (np.zeros((3, 0)), UsageError, "give numbers, 1-D or 2-D"),
        (np.zeros(3, complex), UsageError, "array of complex128"),
        ({"t": [1]}, UsageError, "a dict; give a pandas Series"),
        (None, UsageError, "unknown type NoneType"),
        (
            pa.table({"IID": ["I1"], "t": pa.array([1], pa.timestamp("s"))}),
            MalformedInputError,
            r"'t': not numbers but timestamp\[s\]; convert it",
        ),
        (pd.DataFrame({"t": [1, "x", 2.5]}, index=IIDS), MalformedInputError, "column 't'"),
        (
            pd.DataFrame([[1, 2]], columns=["t", "t"], index=["I1"]),
            MalformedInputError,
            "repeated column names",
        ),
        (pa.table({"IID": ["I1", None], "t": [1, 2]}), MalformedInputError, "no sample ID in row 2"),
    ],
)
def test_read_variables_refuses_source(source: Any, error: type[LfmmError], message: str) -> None:
    with pytest.raises(error, match=message):
        read_variables(source, SAMPLES)


def test_read_variables_reports_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"no\.csv: cannot be opened"):
        read_variables(tmp_path / "no.csv", SAMPLES)


def test_read_variables_refuses_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is a directory"):
        read_variables(tmp_path, SAMPLES)


def test_read_variables_lists_both_sides(tmp_path: Path) -> None:
    samples = Samples(("F",) * 9, tuple(f"I{i}" for i in range(9)))
    table = write(tmp_path, "IID,t\nI0,1\n" + "".join(f"J{i},1\n" for i in range(7)))
    lacking = r"8 of 9 samples have no row \(I1, I2, I3, I4, I5, …\)"
    extra = r"7 rows are of no sample \(J0, J1, J2, J3, J4, …\)"
    with pytest.raises(InconsistentInputError, match=f"{lacking}; {extra}; .*--intersect"):
        read_variables(table, samples)


def test_read_variables_intersects_samples(tmp_path: Path) -> None:
    found = read(tmp_path, "IID,t\nI3,3\nI9,9\nI1,1\n", intersect=True)
    assert (found.values.tolist(), found.sample_index.tolist()) == ([[1.0], [3.0]], [0, 2])


@pytest.mark.parametrize("intersect", [False, True])
def test_read_variables_refuses_no_overlap(tmp_path: Path, intersect: bool) -> None:
    with pytest.raises(InconsistentInputError, match=r"3 of 3 samples have no row .*; check the IDs"):
        read(tmp_path, "IID,t\nA,3\nB,9\n", intersect=intersect)


@pytest.mark.parametrize(
    ("fam", "table", "hint"),
    [
        ("Ind1", "IND1", "1 would match but for upper and lower case"),
        ("007", "7", "1 would match but for leading zeros"),
        (unicodedata.normalize("NFD", "é"), "é", "1 would match but for Unicode form"),
        ("I1", "F1", "1 are FIDs; give IIDs"),
    ],
)
def test_read_variables_hints_at_spelling(tmp_path: Path, fam: str, table: str, hint: str) -> None:
    with pytest.raises(InconsistentInputError, match=hint):
        read_variables(write(tmp_path, f"IID,t\n{table},3\n"), Samples(("F1",), (fam,)))


def test_read_variables_keeps_ids_as_text(tmp_path: Path) -> None:
    samples = Samples(("0", "0"), ("7", "007"))
    assert read_variables(write(tmp_path, "IID,t\n007,1\n7,2\n"), samples).values.tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize("text", ["IID,t\nI1,1\nI2,2\nI1,1\nI3,3\n", "FID IID t\nF1 I1 1\nF2 I2 1\nF1 I1 2\n"])
def test_read_variables_refuses_repeated_ids(tmp_path: Path, text: str) -> None:
    with pytest.raises(InconsistentInputError, match=r"repeated IDs \((F1 )?I1\)"):
        read(tmp_path, text)


def test_read_variables_matches_both_ids_where_iids_repeat(tmp_path: Path) -> None:
    samples = Samples(("F1", "F2"), ("I", "I"))
    found = read_variables(write(tmp_path, "FID IID t\nF2 I 2\nF1 I 1\n"), samples)
    assert found.values.tolist() == [[1.0], [2.0]]


def test_read_variables_matches_both_ids_where_the_table_repeats_iids(tmp_path: Path) -> None:
    found = read(tmp_path, "FID IID t\nF9 I1 9\nF1 I1 1\nF2 I2 2\nF3 I3 3\n")
    assert found.values.tolist() == [[1.0], [2.0], [3.0]]


def test_read_variables_refuses_ambiguous_iid(tmp_path: Path) -> None:
    with pytest.raises(InconsistentInputError, match="IID I stands for several samples; add FID"):
        read_variables(write(tmp_path, "IID,t\nI,1\n"), Samples(("F1", "F2"), ("I", "I")))


def independent(n_samples: int = 30, n_variables: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_samples, n_variables))


NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("scales", [[1, 1, 1, 1], [1e-12, 1e12, 1, 1e-150], [1e150, 1e-150, 1e151, 5]])
def test_check_variables_passes_at_any_scale(scales: list[float]) -> None:
    check_variables(independent() * np.divide(scales, 4), NAMES)


def test_check_variables_refuses_a_range_whose_square_loses_digits() -> None:
    # t of a variable of 1e-162 would be wrong in the second digit.
    with pytest.raises(DegenerateProblemError, match="b: varies by less than 1e-151; use another unit"):
        check_variables(independent() * [1, 1e-153, 1, 1], NAMES)


def test_check_variables_passes_with_an_offset() -> None:
    check_variables(np.add(independent(), [0, 1e6, -1e9, 273.15]), NAMES)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -9e300, 1e-300])
def test_check_variables_refuses_constant(value: float) -> None:
    values = independent()
    values[:, 2] = value
    with pytest.raises(DegenerateProblemError, match=r"^c: constant"):
        check_variables(values, NAMES)


def test_check_variables_names_duplicates() -> None:
    values = independent()
    values[:, 3] = values[:, 1]
    with pytest.raises(DegenerateProblemError, match=r"^b and d have the same values"):
        check_variables(values, NAMES)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    ("weights", "members"),
    [([0, 1.8, 0, 0], "bd"), ([2, -1, 0, 0], "abd"), ([1, 1, 1, 0], "abcd")],
    ids=["affine", "two", "three"],
)
def test_check_variables_names_linear_dependence(scale: float, weights: list[float], members: str) -> None:
    values = independent()
    values[:, 3] = (values @ weights + 32) * scale
    with pytest.raises(DegenerateProblemError, match="is a linear function of") as caught:
        check_variables(values, NAMES)
    dependent, rest = str(caught.value).split(" is a linear function of ")
    assert sorted([dependent, *rest.split(";")[0].split(" and ")]) == list(members)


def test_check_variables_refuses_as_many_variables_as_samples() -> None:
    with pytest.raises(DegenerateProblemError, match="4 samples for 4 variables"):
        check_variables(independent(4), NAMES)


# --- several tables -------------------------------------------------------------------------------------------


CLIMATE, SOIL = "IID,t,rain\nI1,1,2\nI2,3,4\nI3,5,6\n", "IID,pH\nI3,30\nI1,10\nI2,20\n"


def two(folder: Path, climate: str = CLIMATE, soil: str = SOIL) -> list[Path]:
    return [write(folder, climate, "climate.csv"), write(folder, soil, "soil.csv")]


def test_several_tables_are_joined_by_sample(tmp_path: Path) -> None:
    found = read_variables(two(tmp_path), SAMPLES)
    assert found.names == ("t", "rain", "pH")
    assert found.values.tolist() == [[1, 2, 10], [3, 4, 20], [5, 6, 30]]
    assert found.values.flags.c_contiguous
    chosen = read_variables(two(tmp_path), SAMPLES, columns=["pH", "t"])
    assert chosen.names == ("pH", "t")
    assert chosen.values.tolist() == [[10, 1], [20, 3], [30, 5]]


def test_frames_tables_and_paths_may_be_mixed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"height": [7.0, 8.0, 9.0]}, index=["I3", "I2", "I1"])
    table = pa.table({"IID": ["I2", "I1", "I3"], "age": [5, 4, 6]})
    found = read_variables((two(tmp_path)[1], frame, table), SAMPLES)
    assert found.names == ("pH", "height", "age")
    assert found.values.tolist() == [[10, 9, 4], [20, 8, 5], [30, 7, 6]]


@pytest.mark.parametrize("source", [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ([1, 2], [3, 4], [5, 6])])
def test_lists_of_numbers_are_one_table(source: Any) -> None:
    assert read_variables(source, SAMPLES).values.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_sample_needs_a_row_in_each_of_several_tables(tmp_path: Path) -> None:
    paths = two(tmp_path, soil=SOIL.replace("I2,20\n", ""))
    with pytest.raises(InconsistentInputError, match=r"^\S*soil\.csv: 1 of 3 samples have no row \(I2\)"):
        read_variables(paths, SAMPLES)
    # also in a table of which no column is chosen
    with pytest.raises(InconsistentInputError, match=r"soil\.csv: 1 of 3 samples"):
        read_variables(paths, SAMPLES, columns=["t"])
    found = read_variables(paths, SAMPLES, intersect=True)
    assert found.sample_index.tolist() == [0, 2]
    assert found.values.tolist() == [[1, 2, 10], [5, 6, 30]]


def test_missing_values_of_several_tables_name_the_table(tmp_path: Path) -> None:
    paths = two(tmp_path, CLIMATE.replace("I1,1", "I1,"), SOIL.replace("30", "NA"))
    with pytest.raises(InconsistentInputError, match=r"climate\.csv, line 2 \(sample I1\), column 't'"):
        read_variables(paths, SAMPLES)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read_variables(paths, SAMPLES, missing="drop")
    assert found.sample_index.tolist() == [1]
    assert [str(w.message).partition(":")[0].rpartition("/")[2] for w in told] == ["climate.csv", "soil.csv"]
    paths = two(tmp_path, CLIMATE.replace("I1,1", "I1,"), "IID,pH\nI1,1\nI2,\nI3,\n")
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(InconsistentInputError, match=r"no sample is in all of \S+climate\.csv and \S+soil\.csv; check"),
    ):
        read_variables(paths, SAMPLES, missing="drop")


@pytest.mark.parametrize(
    ("soil", "columns", "error", "message"),
    [
        (SOIL.replace("pH", "rain"), None, UsageError, r"climate\.csv and \S+soil\.csv: rain is a column of several"),
        (SOIL.replace("pH", "rain"), ["t"], UsageError, "rain is a column of several tables; rename it, or leave"),
        (SOIL, ["t", "wind"], UsageError, r"soil\.csv: no column wind among t, rain, pH; check the names"),
        (SOIL, ["t", "t"], UsageError, "t chosen more than once"),
        (
            "FID,IID\nF1,I1\nF2,I2\nF3,I3\n",
            None,
            MalformedInputError,
            r"^\S+soil\.csv: no variables beside the sample IDs",
        ),
    ],
)
def test_columns_of_several_tables_are_told_apart(
    tmp_path: Path, soil: str, columns: list[str] | None, error: type[LfmmError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_variables(two(tmp_path, soil=soil), SAMPLES, columns=columns)


def test_frames_without_names_are_numbered_in_messages() -> None:
    frames = [pd.DataFrame({"a": [1, 2, 3]}, index=["I1", "I2", "I3"]), pd.DataFrame({"b": [1, 2]}, index=["I1", "I2"])]
    with pytest.raises(InconsistentInputError, match=r"^variables, table 2: 1 of 3 samples have no row"):
        read_variables(frames, SAMPLES)


def test_several_codes_mean_missing(tmp_path: Path) -> None:
    text = "IID,t,u\nI1,-9,1\nI2,2,None\nI3,3,-99.0\n"
    found = read(tmp_path, text.replace("I3,3,-99.0", "I3,3,3"), missing_code=["-9", "none"], intersect=True)
    assert found.sample_index.tolist() == [2]
    found = read(tmp_path, text.replace("None", "4"), missing_code=(-9, -99), intersect=True)
    assert found.sample_index.tolist() == [1]
