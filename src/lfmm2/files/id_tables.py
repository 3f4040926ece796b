"""Tables whose rows have sample IDs: files, frames and arrays taken apart into IDs and columns, cells into numbers."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, MissingCode
from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError
from lfmm2.files.samples import Samples
from lfmm2.files.text_tables import clean_text, open_regular, repeated, single_tabs


@dataclass(frozen=True)
class IdTable:
    """A table taken apart into IDs and columns, whose cells are not yet numbers and whose rows are not yet matched.

    Attributes
    ----------
    label : str
        Path or name of the table, with which messages begin.
    first_line : int or None
        Line of the first row in the file; None for a table in memory.
    iid : list of str
    fid : list of str or None
        IDs of the rows.
    columns : dict
        Variables by name, each an array of any kind.
    """

    label: str
    first_line: int | None
    iid: list[str]
    fid: list[str] | None
    columns: dict[str, Any]

    def at(self, row: int, name: str) -> str:
        """Describe the place of a cell for a message."""
        line = f"row {row + 1}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{self.label}, {line} (sample {shortened(self.iid[row])}), column {shortened(name)!r}"


def as_tables(source: Any) -> list[Any]:
    """Return several tables as a list: those of a list or tuple of nothing but paths, frames and pyarrow tables.

    Any other source, such as an array or a list of numbers, is one table.
    """
    if isinstance(source, list | tuple) and source and all(map(_is_table, source)):
        return list(source)
    return [source]


def _is_table(source: Any) -> bool:
    """Return True for a path, a frame and a pyarrow table."""
    is_frame = hasattr(source, "iloc") and hasattr(source, "columns")
    return is_frame or isinstance(source, str | os.PathLike | pa.Table)


def take_apart(source: Any, samples: Samples, what: str) -> IdTable:
    """Take a file, frame, pyarrow table or array apart into IDs and columns; `what` names a table in memory."""
    if isinstance(source, str | os.PathLike):
        return _read_text(source, samples)
    if isinstance(source, pa.Table):
        return _split_ids(what, None, source.column_names, source.columns)
    if isinstance(source, np.ndarray | list | tuple):
        return _number_columns(np.ma.asarray(source), samples, what)
    if hasattr(source, "to_frame"):  # a pandas Series
        source = source.to_frame("env1" if source.name is None else source.name)
    if hasattr(source, "iloc") and source.index.nlevels <= 2:
        names = [str(name) for name in source.columns]
        columns = [source.iloc[:, j] for j in range(len(names))]
        if "IID" not in map(_id_name, names):
            levels = range(source.index.nlevels)
            names = [*("FID", "IID")[-len(levels) :], *names]
            columns = [*(source.index.get_level_values(level) for level in levels), *columns]
        return _split_ids(what, None, names, columns)
    raise UsageError(f"{what}: unknown type {type(source).__name__}; give a path, DataFrame, Table or array")


def _number_columns(array: Any, samples: Samples, what: str) -> IdTable:
    """Give the rows of an array the IDs of the samples, and its columns the names env1, env2, ..."""
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise UsageError(f"{what}: array of {array.dtype} and shape {array.shape}; give numbers, 1-D or 2-D")
    if len(array) != len(samples):
        fact = f"array of {len(array)} rows, but there are {len(samples)} samples"
        raise InconsistentInputError(f"{what}: {fact}; give a row for each, or a table with sample IDs")
    values = array.astype(np.float64).filled(np.nan).reshape(len(array), -1)
    names = ["FID", "IID", *(f"env{j + 1}" for j in range(values.shape[1]))]
    return _split_ids(what, None, names, [samples.fid, samples.iid, *np.ascontiguousarray(values.T)])


def _id_name(name: str) -> str:
    """Return the name of a column in the form in which IID and FID are recognised."""
    return name.strip().removeprefix("#").upper()


def _split_ids(label: str, first_line: int | None, names: Sequence[str], columns: Sequence[Any]) -> IdTable:
    """Separate the ID columns from the variables: IID and FID by name, else the first column is the IID."""
    if twins := repeated(names):
        raise MalformedInputError(f"{label}: repeated column names ({some_of(twins)}); rename them")
    kinds = [_id_name(name) for name in names]
    if "FID" in kinds and "IID" not in kinds:
        raise MalformedInputError(f"{label}: has a column FID but none IID; add it, or rename FID")
    at = kinds.index("IID") if "IID" in kinds else 0
    taken = [j for j, kind in enumerate(kinds) if j == at or kind in ("FID", "IID")]
    if unnamed := [j + 1 for j, name in enumerate(names) if not name and j not in taken]:
        raise MalformedInputError(f"{label}: no name for column {some_of(unnamed)}; name it or remove it")
    iid = _as_ids(label, columns[at])
    fid = _as_ids(label, columns[kinds.index("FID")]) if "FID" in kinds else None
    variables = {names[j]: columns[j] for j in range(len(names)) if j not in taken}
    return IdTable(label, first_line, iid, fid, variables)


def _as_ids(label: str, column: Any) -> list[str]:
    """Return the IDs of a column as text; raise MalformedInputError if one is empty."""
    cells: Iterable[object] = column.to_pylist() if hasattr(column, "to_pylist") else column
    ids = ["" if cell is None else str(cell).strip() for cell in cells]
    if "" in ids:
        raise MalformedInputError(f"{label}: no sample ID in row {ids.index('') + 1} of the data; add it")
    return ids


def _read_text(path: AnyPath, samples: Samples) -> IdTable:
    """Parse a text table with pyarrow as strings; numbers are converted later, to name the cell at fault."""
    with open_regular(path) as file:
        try:
            text = clean_text(file.read(), path)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}; check the disk") from error
    end = text.find(b"\n", len(text.rstrip()))  # blank lines at the end go, but not a row's empty last cells
    text = text[:end] if end >= 0 else text
    try:
        header = text.decode("utf-8").partition("\n")[0]
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise MalformedInputError(f"{path}, line {line}: is not UTF-8; save the file as UTF-8") from None
    delimiter = _delimiter(header, path)
    if delimiter == " ":
        text, delimiter = single_tabs(text), "\t"
    header_row, _, body = text.partition(b"\n")
    names = [name.strip() for name in _cells(header_row.decode(), delimiter, f"{path}, line 1")]
    if set(names[:2]) & set(samples.iid) or all(map(_is_number, names)):
        raise MalformedInputError(f"{path}, line 1: is data, not a header; add one, such as IID and names")
    if not body:
        raise MalformedInputError(f"{path}: has a header line only; add one line per sample")
    return _split_ids(str(path), 2, names, _parse_body(body, names, delimiter, path))


def _delimiter(header: str, path: AnyPath) -> str:
    """Return the mark between columns: a tab, a comma, or a blank that stands for runs of blanks."""
    if not header:
        raise MalformedInputError(f"{path}: is empty; give a table with a header line")
    delimiter = next((mark for mark in "\t,; " if mark in header.strip(" ")), "")
    if delimiter in ("", ";"):
        fault = "separated by semicolons; save it with commas" if delimiter else "one column; give variables too"
        raise MalformedInputError(f"{path}, line 1: is {fault}")
    return delimiter


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    """Split a line into cells, and take the quotes off."""
    if line.count('"') % 2:
        raise MalformedInputError(f"{where}: a quote is opened and not closed; correct it")
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise MalformedInputError(f"{where}: {error}; correct it") from None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


def _parse_body(body: bytes, names: list[str], delimiter: str, path: AnyPath) -> list[pa.ChunkedArray]:
    """Return the columns of the lines after the header as text; raise MalformedInputError at the first faulty line."""
    numbers = [str(j) for j in range(len(names))]  # pyarrow wants unique names
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body),
            pyarrow.csv.ReadOptions(column_names=numbers, use_threads=False, block_size=len(body) + 1),
            pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(numbers, pa.string())),
        )
    except pa.ArrowInvalid as error:
        fault = str(error)
    else:
        if table.num_rows == body.count(b"\n") + 1 and b"\n\n" not in b"\n" + body:
            return list(table.columns)
        fault = "a quoted cell goes over several lines"
    for number, line in enumerate(body.decode().split("\n"), 2):
        n_cells = len(_cells(line, delimiter, f"{path}, line {number}"))
        if n_cells != len(names):
            remedy = "in R use write.csv, not write.table" if n_cells == len(names) + 1 else "correct it"
            fact = f"{n_cells} cell(s), but the header has {len(names)}"
            raise MalformedInputError(f"{path}, line {number}: {fact}; {remedy}")
    raise MalformedInputError(f"{path}: {fault}; correct it")


def as_floats(table: IdTable, name: str, missing_code: MissingCode | None) -> NDArray[np.float64]:
    """Convert a column to numbers, NaN where missing. Decimals have a point, whatever the locale."""
    cells = table.columns[name]
    codes: list[Any] = list(missing_code) if isinstance(missing_code, list | tuple) else [missing_code]
    try:
        cells = cells if isinstance(cells, pa.ChunkedArray) else pa.array(cells, from_pandas=True)
        if "string" in str(cells.type):  # also large_string, string_view, a dictionary of these
            cells = pc.utf8_trim_whitespace(cells.cast(pa.string()))
            words = ["", "na", "nan", *(code.lower() for code in codes if isinstance(code, str))]
            missing = pc.is_in(pc.utf8_lower(cells), value_set=pa.array(words))
            cells = pc.if_else(missing, pa.scalar(None, pa.string()), cells)
        numbers = cells.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise _bad_cell(table, name, cells, error) from None
    values: NDArray[np.float64] = np.array(pc.fill_null(numbers, np.nan).to_numpy())
    for code in codes:
        if code is not None and _is_number(str(code)):
            values[values == float(code)] = np.nan
    if len(infinite := np.flatnonzero(np.isinf(values))):
        raise MalformedInputError(f"{table.at(infinite[0], name)}: is infinite; correct it")
    return values


def _bad_cell(table: IdTable, name: str, cells: Any, error: Exception) -> MalformedInputError:
    """Return the error that names the first cell that is no number. The search is slow, and made only to name it."""
    if isinstance(cells, pa.ChunkedArray | pa.Array) and pa.types.is_string(cells.type):
        for row, cell in enumerate(cells.to_pylist()):
            try:
                pa.scalar(cell, pa.string()).cast(pa.float64())
            except pa.ArrowInvalid:
                comma = re.fullmatch(r"[-+]?\d*,\d+", cell)
                remedy = "write decimals with a point" if comma else "correct it, or choose other columns"
                return MalformedInputError(f"{table.at(row, name)}: {shortened(cell)!r} is not a number; {remedy}")
    return MalformedInputError(
        f"{table.label}, column {shortened(name)!r}: not numbers ({shortened(str(error))}); choose other columns"
    )
