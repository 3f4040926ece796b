"""Tables of variables as programs of the field write them, sound and odd, made from known values of known samples.

A `TableWay` says in words how a table is given; `make_table` makes it and tells what a reader should find in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Numbers that rasters, netCDF and PLINK have where there is no value, as they arrive in tables.
FILL_VALUES = (
    "-9999", "-9999.0", "-99999", "-32768", "-3.4e38", "-3.4028234663852886e+38", "-3.402823e+38",
    "9.969209968386869e+36", "1e20", "1e+20", "-1.7976931348623157e+308",
)  # fmt: skip
KNOWN_WORDS = ("NA", "nan", "NaN", "na")
OTHER_WORDS = ("#N/A", "NULL", "None", "n/a", "N/A", "<NA>", ".", "-", "null", "missing", "#DIV/0!", "-nan", "1.#QNAN")
CATEGORY_CODES = (11.0, 21.0, 41.0)
N_OTHERS = 7  # rows of no sample
N_ABSENT = 3  # samples without a row


@dataclass(frozen=True)
class Oddity:
    """A way in which a table is not plain.

    Attributes
    ----------
    pattern : str
        What an error or a warning about it says, as a regular expression.
    is_sound : bool
        True if the right answer must come out. Otherwise an error, or a warning beside another answer, is right too.
    """

    pattern: str
    is_sound: bool = False


IDS = r"\bI?IDs?\b|\bindex\b|row numbers|no row"
MISSING = r"missing|no value|fill|nodata"
ODDITIES = {
    # which row belongs to whom
    "row numbers of R in front": Oddity(IDS),
    "row numbers of R in front, with gaps": Oddity(IDS),
    "row numbers of pandas in front": Oddity(IDS),
    "OBJECTID in front": Oddity(IDS),
    "FID of a shapefile in front": Oddity(IDS + "|FID"),
    "row names of write.table": Oddity(IDS + r"|write.csv|cell\(s\)"),
    "IDs in a later column": Oddity(IDS),
    "IDs of partners in front": Oddity(IDS + "|partner"),
    "index that counts rows": Oddity(IDS),
    "index that counts rows, in another order": Oddity(IDS),
    "index that counts rows, with gaps": Oddity(IDS),
    "index that counts rows, and no IDs": Oddity(IDS),
    "IDs in a column without a name": Oddity(IDS),
    "a row without an ID": Oddity(IDS),
    "index of floats": Oddity(IDS),
    "IIDs that need FIDs": Oddity("FID|repeated"),
    "decorated IDs": Oddity("ID|would match|no row"),
    "half of the IDs decorated": Oddity("ID|would match|no row|K = 2 with"),
    "rows of others": Oddity("row|not in", is_sound=True),
    "samples without a row": Oddity("no row|lack|absent|without|not there|not in"),
    "a row twice": Oddity("repeated|twice|same"),
    "two rows of a sample": Oddity("repeated|twice"),
    "no header": Oddity("header|column name|names? of (the )?columns|is a number|repeated"),
    "a column twice": Oddity("repeated|twice"),
    # numbers that mean nothing
    "a word for missing": Oddity(MISSING, is_sound=True),
    "another word for missing": Oddity(MISSING + "|not a number"),
    "a fill value": Oddity(MISSING),
    "a fill value, named": Oddity(MISSING, is_sound=True),
    "-9 in a PLINK table": Oddity(MISSING),
    "a masked value": Oddity(MISSING, is_sound=True),
    "decimal commas": Oddity("decimal|not a number|;|cell"),
    "minus of Unicode": Oddity("not a number|minus"),
    # categories
    "classes in words": Oddity("categor|not a number|not numbers|words"),
    "classes as a pandas Categorical": Oddity("categor|not a number|not numbers|words"),
    "classes in codes": Oddity("categor|code|class|whole numbers"),
    "truth values": Oddity("categor|True|bool|not numbers"),
}
IN_FRONT = tuple(name for name in ODDITIES if "front" in name or name == "row names of write.table")
COUNTING = tuple(name for name in ODDITIES if name.startswith("index that counts"))
CATEGORIES = ("classes in words", "classes as a pandas Categorical", "classes in codes", "truth values")


@dataclass(frozen=True)
class TableWay:
    """How a table is given.

    Attributes
    ----------
    container : str
        "CSV", "TSV", "blanks", "frame", "series", "pyarrow", "array" or "masked array".
    id_name : str
        Name of the column of IDs, or of the index; "FID IID" for two.
    order : str
        Order of the rows: "fam", "shuffled" or "sorted" by ID.
    oddities : tuple of str
        Keys of `ODDITIES`.
    word : str
        The text in cells that are missing, or the name of a decoration.
    style : str
        How cells and lines of a file are written: "plain", "quoted", "padded" with blanks, or "Windows"; the types of
        a frame: "plain", "nullable", or "category" for IDs.
    beside : bool
        True if the table has columns beside the variables: a text and coordinates.
    """

    container: str = "CSV"
    id_name: str = "ID"
    order: str = "fam"
    oddities: tuple[str, ...] = ()
    word: str = ""
    decoration: str = ""
    style: str = "plain"
    beside: bool = False

    def has(self, *oddities: str) -> bool:
        return any(name in self.oddities for name in oddities)


DECORATIONS = {
    "FID_IID": lambda fid, iid: f"{fid}_{iid}",
    "IID_IID": lambda fid, iid: f"{iid}_{iid}",
    ".bam": lambda fid, iid: f"{iid}.bam",
    "X": lambda fid, iid: f"X{iid}",
    ".0": lambda fid, iid: f"{iid}.0",
    "capitals": lambda fid, iid: iid.upper() if iid.upper() != iid else iid.lower() + "a",
    "zeros": lambda fid, iid: iid.zfill(5),
    "zeros lost": lambda fid, iid: str(int(iid)),
    "no-break space": lambda fid, iid: f"{iid[:1]}\u00a0{iid[1:] or 1}",
    "one more": lambda fid, iid: str(int(iid) + 1) if iid.isdecimal() else f"{iid}x",
}
FILES = {"CSV": ",", "TSV": "\t", "blanks": " "}
STYLES = {
    "CSV": ("plain", "quoted", "padded", "Windows"),
    "TSV": ("plain", "quoted", "padded", "Windows"),
    "blanks": ("plain", "quoted", "Windows"),
    "frame": ("plain", "nullable", "category"),
}
ARRAYS = ("array", "masked array", "list")
CONTAINERS = ("CSV", "CSV", "TSV", "blanks", "frame", "frame", "series", "pyarrow", "array", "masked array", "list")
# What each container can have of the oddities.
OF_TABLES = (
    "decorated IDs", "half of the IDs decorated", "rows of others", "samples without a row", "a row twice",
    "two rows of a sample", "a row without an ID", "IDs in a later column", "IDs of partners in front",
)  # fmt: skip
OF_VALUES = ("a word for missing", "a fill value", "a fill value, named")
OF_FILES = (
    *OF_TABLES, *OF_VALUES, *(name for name in IN_FRONT if name != "row names of write.table"),
    "row names of write.table", "another word for missing", "-9 in a PLINK table", "classes in words",
    "classes in codes", "no header", "a column twice", "decimal commas", "minus of Unicode",
    "IDs in a column without a name", "IIDs that need FIDs",
)  # fmt: skip
OF_CONTAINERS = {
    "CSV": OF_FILES,
    "TSV": OF_FILES,
    "blanks": OF_FILES,
    "frame": (
        *OF_TABLES,
        *OF_VALUES,
        *COUNTING,
        *CATEGORIES,
        "index of floats",
        "another word for missing",
        "IDs in a column without a name",
        "IIDs that need FIDs",
    ),
    "series": (*OF_TABLES[:-2], *OF_VALUES, "index of floats", "index that counts rows, and no IDs"),
    "pyarrow": (*OF_TABLES, *OF_VALUES, "another word for missing"),
    "array": OF_VALUES,
    "list": OF_VALUES,
    "masked array": ("a masked value", *OF_VALUES[1:]),
}
# Oddities that exclude each other: at most one of each group.
GROUPS = (
    (
        *IN_FRONT, *COUNTING, "index of floats", "IDs in a later column", "IDs of partners in front", "no header",
        "IDs in a column without a name",
    ),
    ("decorated IDs", "half of the IDs decorated"),
    ("a row twice", "two rows of a sample"),
    (
        *OF_VALUES, "another word for missing", "-9 in a PLINK table", "a masked value", "decimal commas",
        "minus of Unicode", *CATEGORIES,
    ),
)  # fmt: skip


@st.composite
def table_ways(
    draw: Any,
    kinds: tuple[str, ...],
    *,
    numeric_ids: bool,
    families: bool,
    most: int = 2,
    containers: tuple[str, ...] = CONTAINERS,
    beside: bool = True,
) -> TableWay:
    """Draw a way to give a table, with at most so many oddities of these kinds."""
    container = draw(st.sampled_from(containers))
    possible = [name for name in kinds if name in OF_CONTAINERS[container]]
    oddities: list[str] = []
    for _ in range(draw(st.integers(0, most)) if possible else 0):
        name = draw(st.sampled_from(possible))
        if not any(name in group and set(group) & set(oddities) for group in GROUPS) and name not in oddities:
            oddities.append(name)
    if "index of floats" in oddities and not numeric_ids:
        oddities.remove("index of floats")
    if "index that counts rows, and no IDs" in oddities:
        oddities = [name for name in oddities if name not in OF_TABLES]
    names = ["ID", "sample", "IID", "#IID", "individual", "FID IID"]
    if set(oddities) & {*IN_FRONT, *COUNTING, "IDs in a later column", "index of floats"} or container == "series":
        names = ["ID", "sample", "individual", "Sample_ID"]
    if "-9 in a PLINK table" in oddities or (families and container not in ("array", "masked array")):
        names = ["FID IID"]
    if (families and set(oddities) & {*IN_FRONT, *COUNTING}) or (families and container == "series"):
        oddities, names = [name for name in oddities if name not in (*IN_FRONT, *COUNTING)], ["FID IID"]
    fill = [name for name in oddities if name.startswith("a fill value")]
    word = ""
    if fill:
        word = draw(st.sampled_from(FILL_VALUES))
    elif "a word for missing" in oddities:
        word = draw(st.sampled_from(KNOWN_WORDS))
    elif "another word for missing" in oddities:
        word = draw(st.sampled_from([w for w in OTHER_WORDS if container != "blanks" or " " not in w]))
    decorations = [name for name in DECORATIONS if numeric_ids or name not in (".0", "X", "zeros", "zeros lost")]
    return TableWay(
        container=container,
        id_name=draw(st.sampled_from(names)),
        order=draw(st.sampled_from(["shuffled", "sorted", "fam"])),
        oddities=tuple(oddities),
        word=word,
        decoration=draw(st.sampled_from(decorations)) if {"decorated IDs", GROUPS[1][1]} & set(oddities) else "",
        style=draw(st.sampled_from(STYLES.get(container, ("plain",)))),
        beside=beside and container in ("CSV", "TSV", "frame") and draw(st.booleans()),
    )


@dataclass
class Found:
    """A table, and what a reader should find in it.

    Attributes
    ----------
    source : path, frame, pyarrow table or array
    values : ndarray of shape (n, d)
        The value of each sample; NaN where the table has none.
    has_row : ndarray of shape (n,), bool
    missing_code : str or None
        The option that goes with the table.
    categorical : tuple of str
        Columns that are categories.
    """

    source: Any
    values: Floats
    has_row: NDArray[np.bool_]
    missing_code: str | None = None
    categorical: tuple[str, ...] = ()


@dataclass
class _Sheet:
    """Columns of cells, by name, in order; `ids` names those that are IDs."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    partners: list[str] = field(default_factory=list)

    def in_order(self, later: bool) -> dict[str, list[Any]]:
        """IDs first, or after the first of the other columns."""
        others = [name for name in self.columns if name not in self.ids]
        names = [*others[:1], *self.ids, *others[1:]] if later else [*self.ids, *others]
        front = {"partner": self.partners} if self.partners else {}
        return front | {name: self.columns[name] for name in names}


def make_table(
    way: TableWay,
    fid: list[str],
    iid: list[str],
    variables: dict[str, Floats],
    rng: np.random.Generator,
    path: Path,
    name_code: bool = True,
) -> Found:
    """Make a table of the variables (n,) of samples; a file is written to `path`."""
    n = len(iid)
    values = np.column_stack(list(variables.values()))
    has_row = np.ones(n, bool)
    cells = values.astype(object)
    code: str | None = None
    if way.word or way.has("-9 in a PLINK table", "a masked value"):
        holes = rng.choice(n, 2, replace=False)
        values = values.copy()
        values[holes, 0] = np.nan
        cells[holes, 0] = _hole(way)
        if way.has("a fill value, named"):
            code = way.word
    categorical: tuple[str, ...] = ()
    if way.container in ARRAYS:
        return Found(_as_array(way, cells, values), values, has_row, code)
    if category := next((name for name in CATEGORIES if way.has(name)), None):
        levels = rng.permutation(np.arange(n) % (2 if category == "truth values" else 3))
        cells[:, 0] = [_level(category, level) for level in levels]
        values = np.column_stack([*(levels == k for k in range(1, levels.max() + 1)), *values.T[1:]]).astype(float)
        categorical = (next(iter(variables)),)
    rows = np.arange(n)
    if way.has("samples without a row"):
        has_row[rng.choice(n, N_ABSENT, replace=False)] = False
        rows = rows[has_row]
    order = {"fam": rows, "shuffled": rng.permutation(rows), "sorted": sorted(rows, key=lambda i: _natural(iid[i]))}
    if not way.has("index that counts rows, and no IDs"):
        rows = np.asarray(order[way.order], dtype=int)
    if way.has("half of the IDs decorated"):
        chosen = rng.permutation(n) < n // 2
        has_row &= ~chosen
    else:
        chosen = np.full(n, way.has("decorated IDs"))
    decorate = DECORATIONS.get(way.decoration, lambda _, i: i)
    if way.has("no header"):
        has_row[rows[0]] = False
    ids = [(fid[i], decorate(fid[i], iid[i]) if chosen[i] else iid[i]) for i in rows]
    table = [cells[i] for i in rows]
    if way.has("a row without an ID"):
        has_row[rows[-1]] = False
        ids[-1] = ("", "")
    if way.has("a row twice", "two rows of a sample"):
        ids.append(ids[0])
        again = table[0].copy()
        if way.has("two rows of a sample"):
            again[-1] = again[-1] + 3.0 if isinstance(again[-1], float) else 17.0
        table.append(again)
    if way.has("rows of others"):
        numeric = iid[0].isdecimal()
        ids += [("other", str(n + 1000 + k) if numeric else f"other{k}") for k in range(N_OTHERS)]
        table += [cells[i] for i in rng.choice(rows, N_OTHERS)]
    sheet = _Sheet()
    sheet.ids = way.id_name.split()
    if len(sheet.ids) == 2:
        sheet.columns = {"FID": [f for f, _ in ids], "IID": [i for _, i in ids]}
    else:
        sheet.columns = {sheet.ids[0]: [i for _, i in ids]}
    if way.has("IDs of partners in front"):
        sheet.partners = [ids[k][1] for k in rng.permutation(len(ids))]
    for j, name in enumerate(variables):
        sheet.columns[name] = [row[j] for row in table]
    if way.beside:
        sheet.columns |= {
            "site": [f"P{k % 4}" for k in range(len(ids))],
            "lon": [round(7 + 0.01 * k, 2) for k in range(len(ids))],
            "lat": [round(45.3 - 0.02 * k * k, 2) for k in range(len(ids))],
        }
    source = _write(way, sheet, path) if way.container in FILES else _in_memory(way, sheet)
    return Found(source, values, has_row, code if name_code else None, categorical)


def _natural(iid: str) -> tuple[int, str]:
    """The key that sorts numbers as numbers."""
    return (int(iid), "") if iid.isdecimal() else (0, iid)


def _hole(way: TableWay) -> Any:
    """The content of a cell that is missing."""
    if way.has("-9 in a PLINK table"):
        return "-9"
    if way.has("a masked value"):
        return 1234.5
    if way.container in FILES or way.has("another word for missing"):
        return way.word
    return np.nan if way.has("a word for missing") else float(way.word)


def _level(category: str, level: int) -> Any:
    """The cell of a sample of this class."""
    if category == "classes in codes":
        return CATEGORY_CODES[level]
    return bool(level) if category == "truth values" else "ABC"[level]


def _as_array(way: TableWay, cells: Any, values: Floats) -> Any:
    numbers = cells.astype(float)
    if way.container == "masked array":
        hidden = np.isnan(values) if way.has("a masked value") else np.zeros(values.shape, bool)
        numbers = np.ma.MaskedArray(numbers, hidden)
    numbers = numbers[:, 0] if numbers.shape[1] == 1 else numbers
    return numbers.tolist() if way.container == "list" else numbers


def _text(cell: Any) -> str:
    return repr(cell) if isinstance(cell, float) and cell % 1 else f"{cell:g}" if isinstance(cell, float) else str(cell)


def gaps(m: int) -> list[int]:
    """Return the numbers that are left of rows from 1 on, where every fifth was removed."""
    return [k for k in range(1, 2 * m + 5) if k % 5][:m]


def _write(way: TableWay, sheet: _Sheet, path: Path) -> Path:
    """Write a file of text."""
    columns = sheet.in_order(way.has("IDs in a later column"))
    m = len(next(iter(columns.values())))
    if way.has("row numbers of R in front"):
        columns = {"": [str(k + 1) for k in range(m)]} | columns
    elif way.has("row numbers of R in front, with gaps"):
        columns = {"": [str(k) for k in gaps(m)]} | columns
    elif way.has("IDs in a column without a name"):
        columns = {"" if name in sheet.ids else name: column for name, column in columns.items()}
    elif way.has("row numbers of pandas in front"):
        columns = {"": [str(k) for k in range(m)]} | columns
    elif way.has("OBJECTID in front"):
        columns = {"OBJECTID": [str(k + 1) for k in range(m)]} | columns
    elif way.has("FID of a shapefile in front"):
        columns = {"FID": [str(k) for k in range(m)]} | columns
    elif way.has("row names of write.table"):
        columns = {"no name": [str(k + 1) for k in range(m)]} | columns
    header = list(columns)
    if way.container == "blanks" and header[0] == "":
        header[0] = '""'
    if way.has("row names of write.table"):
        header = header[1:]
    lines = [header, *([_text(columns[name][k]) for name in columns] for k in range(m))]
    separator = FILES[way.container]
    if way.has("decimal commas"):
        lines = [[re.sub(r"^(-?\d+)\.(\d+)$", r"\1,\2", cell) for cell in line] for line in lines]
        separator = ";" if separator == "," else separator
    if way.has("minus of Unicode"):
        lines = [[re.sub(r"^-(?=\d)", "\u2212", cell) for cell in line] for line in lines]
    if way.has("a column twice"):
        lines = [[*line, line[-1]] for line in lines]
    if way.has("no header"):
        lines = lines[1:]
    if way.style == "quoted":
        lines = [[cell if cell == '""' else f'"{cell}"' for cell in line] for line in lines]
    elif way.style == "padded":
        lines = [[f" {cell} " for cell in line] for line in lines]
    end = "\r\n" if way.style == "Windows" else "\n"
    text = "".join(separator.join(line) + end for line in lines)
    path.write_text(text, encoding="utf-8-sig" if way.style == "Windows" else "utf-8", newline="")
    return path


def _numbers_of(ids: list[str]) -> list[Any]:
    """IDs as pandas reads them: whole numbers where all are."""
    whole = all(i.isdecimal() and str(int(i)) == i for i in ids)
    return [int(i) for i in ids] if whole else ids


def _in_memory(way: TableWay, sheet: _Sheet) -> Any:
    """Make a frame, a Series or a pyarrow table."""
    columns = sheet.in_order(way.has("IDs in a later column"))
    if way.container == "pyarrow":
        made = {name: [None if _is_nan(cell) else cell for cell in column] for name, column in columns.items()}
        return pa.table({name: pa.array(_alike(column)) for name, column in made.items()})
    ids = (*sheet.ids, "partner")
    frame = pd.DataFrame({name: _numbers_of(c) if name in ids else c for name, c in columns.items()})
    if way.style == "nullable":
        frame = frame.convert_dtypes()
    elif way.style == "category":
        frame = frame.astype(dict.fromkeys(sheet.ids, "category"))
    if way.has("classes as a pandas Categorical"):
        name = next(name for name in frame.columns if name not in ids)
        frame[name] = frame[name].astype("category")
    if way.has("index that counts rows, and no IDs"):
        frame = frame.drop(columns=sheet.ids)
    elif way.has("index that counts rows, in another order"):
        frame = frame.iloc[::-1]
    elif way.has("index that counts rows, with gaps"):
        frame.index = gaps(len(frame))
    elif way.has("index of floats"):
        frame = frame.set_index(sheet.ids[0])
        if frame.index.dtype.kind in "iu":
            frame.index = frame.index.astype(float)
    elif way.container == "series" or not way.has(*COUNTING, "IDs in a later column"):
        frame = frame.set_index(sheet.ids)
        if way.has("IDs in a column without a name"):
            frame.index.name = None
    return frame.iloc[:, 0] if way.container == "series" else frame


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float) and np.isnan(cell)


def _alike(column: list[Any]) -> list[Any]:
    """Text where some cells are text, since a column of Arrow has one type."""
    if any(isinstance(cell, str) for cell in column):
        return [cell if cell is None or isinstance(cell, str) else repr(cell) for cell in column]
    return column
