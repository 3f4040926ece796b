"""Tables of known values, made as an `odd_tables.TableWay` says, and what a reader should find in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from odd_tables import ARRAYS, CATEGORIES, CATEGORY_CODES, COUNTING, DECORATIONS, FILES, N_ABSENT, N_OTHERS, TableWay

Floats = NDArray[np.float64]


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
) -> Found:
    """Make a table of the variables (n,) of samples; a file is written to `path`."""
    values = np.column_stack(list(variables.values()))
    cells = values.astype(object)
    found = Found(None, values, np.ones(len(iid), bool))
    if way.word or way.has("-9 in a PLINK table", "a masked value"):
        holes = rng.choice(len(iid), way.n_holes, replace=False)
        found.values[holes, 0] = np.nan
        cells[holes, 0] = _hole(way)
        if way.has("a fill value, named"):
            found.missing_code = way.word
    if way.container in ARRAYS:
        found.source = _as_array(way, cells, found.values)
        return found
    if category := next((name for name in CATEGORIES if way.has(name)), None):
        levels = rng.permutation(np.arange(len(iid)) % (2 if category == "truth values" else 3))
        cells[:, 0] = [_level(category, level) for level in levels]
        indicators = [levels == k for k in range(1, levels.max() + 1)]
        found.values = np.column_stack([*indicators, *values.T[1:]]).astype(float)
        found.categorical = (next(iter(variables)),)
    rows = _choose_rows(way, iid, found.has_row, rng)
    ids = _write_ids(way, fid, iid, rows, found.has_row, rng)
    table = [cells[i] for i in rows]
    places = [place_of(i) for i in rows]
    _add_rows(way, ids, table, places, rng)
    sheet = _lay_out(way, ids, table, list(variables), rng)
    if way.beside:
        sheet.columns |= {name: [place[j] for place in places] for j, name in enumerate(("site", "lon", "lat"))}
    found.source = _write(way, sheet, path) if way.container in FILES else _in_memory(way, sheet)
    return found


def _choose_rows(way: TableWay, iid: list[str], has_row: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """Return the sample of each row, in the order of the rows; samples without a row are noted."""
    if way.has("samples without a row"):
        has_row[rng.choice(len(iid), N_ABSENT, replace=False)] = False
    rows = np.flatnonzero(has_row)
    if way.has("index that counts rows, and no IDs") or way.order == "fam":
        return rows
    return rng.permutation(rows) if way.order == "shuffled" else sorted(rows, key=lambda i: _natural(iid[i]))


def _write_ids(
    way: TableWay, fid: list[str], iid: list[str], rows: Any, has_row: NDArray[np.bool_], rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Return FID and IID of each row as the table has them; samples that have no row by these are noted."""
    decorated = np.full(len(iid), way.has("decorated IDs"))
    if way.has("half of the IDs decorated"):
        decorated = rng.permutation(len(iid)) < len(iid) // 2
    decorate = DECORATIONS.get(way.decoration, lambda _, i: i)
    has_row &= ~(decorated & np.array([decorate(f, i) != i for f, i in zip(fid, iid, strict=True)]))
    ids = [(fid[i], decorate(fid[i], iid[i]) if decorated[i] else iid[i]) for i in rows]
    if way.has("no header"):
        has_row[rows[0]] = False
    if way.has("a row without an ID"):
        has_row[rows[-1]] = False
        ids[-1] = ("", "")
    return ids


def _add_rows(
    way: TableWay, ids: list[tuple[str, str]], table: list[Any], places: list[Any], rng: np.random.Generator
) -> None:
    """Add rows that repeat a sample, and rows of others."""
    n = len(ids)
    if way.has("a row twice", "two rows of a sample"):
        again = table[0].copy()
        if way.has("two rows of a sample"):
            again[-1] = again[-1] + 3.0 if isinstance(again[-1], float) else 17.0
        ids.append(ids[0])
        table.append(again)
        places.append(places[0])
    if way.has("rows of others"):
        numeric = ids[0][1].isdecimal()
        ids += [("other", str(1000 + k) if numeric else f"other{k}") for k in range(N_OTHERS)]
        table += [table[k] for k in rng.choice(n, N_OTHERS)]
        places += [place_of(100 + k) for k in range(N_OTHERS)]


def _lay_out(
    way: TableWay, ids: list[tuple[str, str]], table: list[Any], names: list[str], rng: np.random.Generator
) -> _Sheet:
    """Return the columns of the table."""
    sheet = _Sheet(ids=way.id_name.split())
    columns = {"FID": [f for f, _ in ids], "IID": [i for _, i in ids]}
    sheet.columns = columns if len(sheet.ids) == 2 else {sheet.ids[0]: columns["IID"]}
    if way.has("IDs of partners in front"):
        sheet.partners = rng.permutation(columns["IID"]).tolist()
    sheet.columns |= {name: [row[j] for row in table] for j, name in enumerate(names)}
    return sheet


def place_of(i: int) -> tuple[str, float, float]:
    """Return site, longitude and latitude of a sample."""
    return f"P{i % 4}", round(7 + 0.01 * float(i), 2), round(45.3 - 0.02 * float(i) ** 2, 2)


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
