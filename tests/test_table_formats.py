"""Tables in every format that people have give the same t as the plain CSV, through the command line and Python."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
from catalogue import check_refused
from input_cases import IIDS, N

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import (
    DegenerateProblemError,
    InconsistentInputError,
    InputWarning,
    InsufficientMemoryError,
    MalformedInputError,
)
from lfmm2.files import input_memory
from lfmm2.files.arrow_files import read_arrow_file

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


# --- formats of files -----------------------------------------------------------------------------------------


def frame() -> Any:
    import pandas as pd

    return pd.DataFrame(VALUES, columns=NAMES, index=pd.Index(IIDS, name="IID")).iloc[ORDER]


def text_file(name: str, lines: list[str]) -> str:
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def cells(k: int, mark: str = "\t") -> str:
    return mark.join(map(repr, VALUES[k].tolist()))


def named_index() -> str:
    frame().rename_axis("sample").to_parquet("t.parquet")
    return "t.parquet"


def index_without_a_name() -> str:
    frame().rename_axis(None).to_parquet("t.parquet")
    return "t.parquet"


def two_levels() -> str:
    two = frame().set_index([["F"] * N, frame().index])
    two.to_parquet("t.parquet")
    return "t.parquet"


def parquet_of_r() -> str:
    """As arrow::write_parquet of R leaves it: a column of IDs, no metadata of pandas."""
    from pyarrow import parquet

    ids = pa.array([IIDS[k] for k in ORDER]).dictionary_encode()
    columns = {"temp": VALUES[ORDER, 0], "ID": ids, "rain": VALUES[ORDER, 1].astype(np.float64)}
    parquet.write_table(pa.table(columns), "t.parquet", row_group_size=7)
    return "t.parquet"


def feather(compression: str) -> str:
    pyarrow.feather.write_feather(frame().reset_index(), "t.feather", compression=compression, chunksize=11)
    return "t.feather"


def psam() -> str:
    lines = [f"0\t{IIDS[k]}\t0\t0\t{1 + k % 2}\t{cells(k)}" for k in ORDER]
    return text_file("t.psam", ["##a comment", "#FID\tIID\tPAT\tMAT\tSEX\ttemp\train", *lines])


def psam_without_families() -> str:
    lines = [f"{IIDS[k]}\tNA\t{cells(k)}" for k in ORDER]
    name = text_file("t.psam", ["#IID\tSEX\ttemp\train", *lines])
    Path("t.psam.zst").write_bytes(pa.compress(Path(name).read_bytes(), "zstd", asbytes=True))
    return "t.psam.zst"


def sample() -> str:
    lines = [f"F{k} {IIDS[k]} 0.01 {1 + k % 2} {cells(k, ' ')}" for k in ORDER]
    return text_file("t.sample", ["ID_1 ID_2 missing sex temp rain", "0 0 0 D C P", *lines])


def new_sample() -> str:
    lines = [f"{IIDS[k]} 0.01 {cells(k, ' ')}" for k in ORDER]
    return text_file("t.sample", ["ID missing temp rain", "0 0 C P", *lines])


FILES: dict[str, Callable[[], str]] = {
    "Parquet with a named index": named_index,
    "Parquet with an index without a name": index_without_a_name,
    "Parquet with families": two_levels,
    "Parquet of R": parquet_of_r,
    "Feather, lz4": lambda: feather("lz4"),
    "Feather, zstd": lambda: feather("zstd"),
    "Feather, uncompressed": lambda: feather("uncompressed"),
    ".psam": psam,
    ".psam.zst without families": psam_without_families,
    ".sample": sample,
    ".sample with one ID": new_sample,
}


@pytest.mark.filterwarnings("ignore:.*the sample IDs are in column 'ID'", "ignore:.*discrete by its second line")
@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_every_format_gives_the_same_t(make: Callable[[], str]) -> None:
    name = make()
    result = lfmm2.run(None, "d", name, 2)
    assert result.variables == tuple(NAMES)
    assert np.array_equal(result.t, truth())
    assert np.array_equal(by_command("--env", name), truth())
    chosen = lfmm2.run(None, "d", name, 2, variables="rain", covar=name, covar_variables="temp")
    np.testing.assert_allclose(chosen.t[:, 0], truth()[:, 1], rtol=1e-9)


def test_fam_has_names_of_phenotypes() -> None:
    name = text_file("t.fam", [f"0 {IIDS[k]} 0 0 {1 + k % 2} {cells(k, ' ')}" for k in ORDER])
    result = lfmm2.run(None, "d", name, 2)
    assert result.variables == ("PHENO1", "PHENO2")
    assert np.array_equal(result.t, truth())
    sex = lfmm2.run(None, "d", name, 2, variables="PHENO1,SEX")
    assert sex.variables == ("PHENO1", "SEX")
    assert lfmm2.run(None, "d", name, 2, categorical="SEX").variables == ("SEX=2", "PHENO1", "PHENO2")


def test_discrete_columns_of_a_sample_file_are_categories_that_must_be_named() -> None:
    with pytest.warns(InputWarning, match="sex discrete by its second line, and not taken .*, use --categorical sex"):
        lfmm2.run(None, "d", sample(), 2)
    assert lfmm2.run(None, "d", sample(), 2, categorical="sex").variables == ("sex=2", "temp", "rain")


@pytest.mark.parametrize("d", [1, 2])
def test_env_of_lea_is_read_in_the_order_of_the_samples(d: int) -> None:
    lines = [" ".join(map(repr, VALUES[k, :d].tolist())) for k in range(N)]
    name = text_file("t.env", lines)
    expected = lfmm2.run(None, "d", VALUES[:, :d], 2).t
    with pytest.warns(
        InputWarning, match="t.env: has no IDs, so its 38 rows are taken in the order of the samples; giv"
    ):
        result = lfmm2.run(None, "d", name, 2)
    assert result.variables == ("env1", "env2")[:d]
    assert np.array_equal(result.t, expected)
    assert np.array_equal(by_command("--env", name), expected)
    Path("t.env.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
    Path("remove").write_text("\n".join(IIDS[4:9]))
    with pytest.warns(InputWarning, match="in the order of the samples"):
        found = lfmm2.run(None, "d", "t.env.gz", 2, remove="remove").t
    assert np.array_equal(found, lfmm2.run(None, "d", VALUES[:, :d], 2, remove="remove").t)
    with pytest.warns(InputWarning, match="in the order of the samples"):
        found = lfmm2.run(None, "d", np.arange(N) ** 2.0, 2, covar=name, covar_variables="covar1", out="c").t
    assert np.array_equal(found, lfmm2.run(None, "d", np.arange(N) ** 2.0, 2, covar=VALUES[:, 0]).t)
    assert lfmm2.read_results("c").t.shape == (300, 1)


def test_env_with_a_header_is_a_table() -> None:
    Path("t.env").write_text(table("\t"))
    assert np.array_equal(lfmm2.run(None, "d", "t.env", 2).t, truth())


def test_minus_nine_in_a_fam_is_told() -> None:
    text_file("t.fam", [f"0 {i} 0 0 1 {-9 if k == 4 else 100 + k % 9}" for k, i in enumerate(IIDS)])
    with pytest.warns(InputWarning, match=r"t\.fam, line 5 .*1 value is exactly -9, .*use --missing-code -9"):
        lfmm2.run(None, "d", "t.fam", 2)


def env(make: Callable[[int], str], n: int = N) -> Callable[[], str]:
    return lambda: text_file("t.env", [make(k) for k in range(n)])


def damaged(make: Callable[[], str], at: float) -> Callable[[], str]:
    def write() -> str:
        name = make()
        data = Path(name).read_bytes()
        Path(name).write_bytes(data[: int(at * len(data))] + bytes(len(data) - int(at * len(data))))
        return name

    return write


def old_feather() -> str:
    Path("t.feather").write_bytes(b"FEA1" + bytes(100))
    return "t.feather"


def latin_1(name: str) -> str:
    pyarrow.feather.write_feather(frame().reset_index(), name, compression="uncompressed")
    Path(name).write_bytes(Path(name).read_bytes().replace(b"i07", b"\xe907"))
    return name


def empty_parquet() -> str:
    frame().iloc[:0].to_parquet("t.parquet")
    return "t.parquet"


def timestamps() -> str:
    import pandas as pd

    frame().assign(day=pd.Timestamp("2020-01-01")).to_parquet("t.parquet")
    return "t.parquet"


REFUSED: dict[str, tuple[Callable[[], str], type[Exception], str]] = {
    "a .env of other samples": (
        env(lambda k: f"{k * k}.5", 30), InconsistentInputError,
        r"t\.env: 30 rows without IDs, but there are 38 samples; give one row for each, in their order, or a header",
    ),
    "a .env with row numbers": (
        env(lambda k: f"{k + 1} {k * k}.5"), InconsistentInputError,
        r"t\.env: column 1 may count rows, so that the order of the rows is not sure; give a header, with IID",
    ),
    "a .env with words": (
        env(lambda k: f"{k * k}.5 {'warm' if k == 7 else 2.5}"), MalformedInputError, r"line 8 .*'warm' is not a numb",
    ),
    "a .env with a missing value": (
        env(lambda k: f"{k * k}.5 {'NA' if k == 7 else k % 5}"), InconsistentInputError, r"missing .*t\.env, line 8",
    ),
    "a short .fam": (
        lambda: text_file("t.fam", [f"0 {i} 0 0" for i in IIDS]), MalformedInputError,
        r"t\.fam, line 1: 4 column\(s\), but a \.fam without header has 6; check it",
    ),
    "a .fam without phenotypes": (
        lambda: text_file("t.fam", [f"0 {i} 0 0 1 -9" for i in IIDS]), DegenerateProblemError, "PHENO1: constant",
    ),
    "a .sample of words": (
        lambda: text_file(
            "t.sample", ["ID_1 ID_2 missing b", "0 0 0 P", *(f"0 {i} 0 {'xyz'[k % 3]}" for k, i in enumerate(IIDS))]
        ),
        MalformedInputError, r"column 'b': has words \(x, y, z\), not numbers; name it with",
    ),
    "a damaged Parquet": (damaged(named_index, 0.5), MalformedInputError, r"t\.parquet: damaged, or no table .*; wri"),
    "a damaged Feather": (
        damaged(lambda: feather("lz4"), 0.5), MalformedInputError, r"t\.feather: damaged, or no table .*; write it",
    ),
    "a Feather cut off": (
        damaged(lambda: feather("lz4"), 0.9), MalformedInputError, r"t\.feather: damaged, or no table .*; write it",
    ),
    "a Feather with text that is no UTF-8": (
        lambda: latin_1("t.feather"), MalformedInputError, r"t\.feather: damaged, or no table .*; write it again",
    ),
    "an old Feather": (old_feather, MalformedInputError, "is a Feather file of version 1; write it in version 2, or"),
    "an empty Parquet": (empty_parquet, MalformedInputError, r"t\.parquet: has no rows; add one per sample"),
    "times in a Parquet": (timestamps, MalformedInputError, r"column 'day': not numbers but timestamp.*; convert it"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("make", "error", "match"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.filterwarnings("ignore:.*in the order of the samples")
@pytest.mark.usefixtures("no_pass")
def test_a_file_that_cannot_be_used_is_refused(folder, capsys, make, error, match, way):
    Path("env.csv").write_bytes(Path(make()).read_bytes())
    name = make()
    if way == "command":
        with pytest.raises(SystemExit) as ended:
            main(["run", "--bed", "d", "--env", name, "-K", "3", "--out", "result"])
        assert ended.value.code == error.exit_code
        assert re.search(match, capsys.readouterr().err)
    else:
        with pytest.raises(error, match=match):
            lfmm2.run(None, "d", name, 3)


def test_ids_that_are_numbers_make_the_order_of_a_env_doubtful() -> None:
    numbers = (np.random.default_rng(1).permutation(N) + 1).tolist()
    text_file("d.fam", [f"0 {i} 0 0 0 -9" for i in numbers])
    text_file("t.env", [f"{i} {cells(k, ' ')}" for k, i in enumerate(numbers)])
    with pytest.raises(
        InconsistentInputError, match=r"column 1 may have the IDs of 38 samples, so that the order .* n"
    ):
        lfmm2.run(None, "d", "t.env", 2)


def test_an_offset_needs_ids() -> None:
    truth(out="r")
    text_file("t.env", [cells(k, " ") for k in range(N)])
    with pytest.raises(InconsistentInputError, match=r"has no header and no IDs, .*; give a header, and a column with"):
        lfmm2.genetic_offset("r", None, "t.env")
    frame().add(0.5).to_parquet("new.parquet")
    expected = lfmm2.genetic_offset("r", None, frame().add(0.5))
    assert np.array_equal(lfmm2.genetic_offset("r", None, "new.parquet").gap, expected.gap)


@pytest.mark.parametrize("make", [named_index, lambda: feather("lz4")])
def test_a_file_larger_than_the_budget_is_refused(monkeypatch: pytest.MonkeyPatch, make: Callable[[], str]) -> None:
    monkeypatch.setattr(input_memory, "_SMALL_INPUT", 1 << 10)
    with pytest.raises(
        InsufficientMemoryError, match=r"a run that reads it takes about \d+ MiB, but the memory budget is"
    ):
        lfmm2.run(None, "d", make(), 2, memory=1 << 10)


@pytest.mark.usefixtures("no_pass")
def test_fractions_that_are_not_wanted_are_not_read() -> None:
    frame().to_parquet("t.parquet")
    columns = read_arrow_file("t.parquet", ["rain"])
    assert columns is not None
    assert columns.table["temp"].null_count == N
    assert columns.table["rain"].null_count == 0
    assert columns.index == ("IID",)
    assert read_arrow_file("env.csv") is None
