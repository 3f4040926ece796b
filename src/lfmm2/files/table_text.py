"""Text tables parsed into columns of text: separators, quotes, headers and faulty lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection

import pyarrow as pa
import pyarrow.csv

from lfmm2._typing import AnyPath
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.text_tables import clean_text, open_regular, single_tabs


def read_text_table(path: AnyPath, known_ids: Collection[str]) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Return the column names of a text table and its columns as strings.

    Numbers are converted later, to name the cell at fault. A first line that has one of `known_ids` is data, not a
    header. The first row is line 2 of the file.

    Raises
    ------
    ReadError
        The file cannot be read.
    MalformedInputError
        The table is empty, ragged, without a header, or no text.
    """
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
    if set(names[:2]) & set(known_ids) or all(map(is_number, names)):
        raise MalformedInputError(f"{path}, line 1: is data, not a header; add one, such as IID and names")
    if not body:
        raise MalformedInputError(f"{path}: has a header line only; add one line per sample")
    return names, _parse_body(body, names, delimiter, path)


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


def is_number(text: str) -> bool:
    """Return True for a decimal number as programs write it; words such as nan and inf are none."""
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text, re.ASCII) is not None


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
