"""Text tables parsed into columns of text: separators, quotes, headers and faulty lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.csv

from lfmm2._typing import AnyPath
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.input_files import open_text
from lfmm2.files.input_memory import note_input_memory
from lfmm2.files.known_tables import ENV, PSAM, SAMPLE, Layout, find_layout, kind_of_table
from lfmm2.files.text_tables import CHUNK, CHUNK_COPIES, LONGEST_LINE, clean_text, single_tabs

# Rows from which the kind of a column is judged. With fewer, a column whose first cells are missing is kept.
_JUDGED_ROWS = 10
# Pieces of columns from which on they are joined: Arrow holds some hundred bytes for each piece of each column.
_MOST_CHUNKS = 1 << 17
#: Bytes that a row takes beside its text while its ID is matched, as a Python string and in tables of IDs. With a
# smaller number the memory plan of a run would promise too little.
ROW_BYTES = 400
#: Bytes that a cell takes as a number, beside its text.
CELL_BYTES = 8
# Bytes that a column takes beside its cells, kept or not: its name, and its place in the parser and in tables.
_COLUMN_BYTES = 600


def read_text_table(
    path: AnyPath, known_ids: Collection[str], columns: Collection[str] | None = None, decimal: str = "."
) -> TextTable:
    """Return a text table as columns of strings; the text is read in pieces.

    Numbers are converted later, to name the cell at fault. A first line that has one of `known_ids` is data, not a
    header, unless the format has no header.

    Parameters
    ----------
    path : path
    known_ids : collection of str
        IDs of the samples.
    columns : collection of str, optional
        Names of the variables in use; all by default. In a table of several pieces, columns that are neither in use
        nor may hold IDs are not kept, and come as columns of nulls.
    decimal : {".", ","}
        Decimal mark of the numbers, which commas between columns must not be.

    Raises
    ------
    ReadError
        The file cannot be read.
    MalformedInputError
        The table is empty, ragged, without a header, or no text.
    InsufficientMemoryError
        The columns take more than the memory budget.
    """
    pieces = _read_pieces(path)
    piece = next(pieces, None)
    if piece is None:
        raise MalformedInputError(f"{path}: is empty; give a table with a header line")
    text, line = piece.text, 1
    while kind_of_table(path) == PSAM and text.startswith(b"##"):
        text, line = text.partition(b"\n")[2], line + 1
    header, _, body = text.partition(b"\n")
    second = body.partition(b"\n")[0]
    delimiter = find_delimiter(header.decode(), second.decode(), path, decimal)
    names = split_line(header, delimiter, f"{path}, line {line}")
    types: list[str] = []
    if kind_of_table(path) == SAMPLE:
        types = split_line(second, delimiter, f"{path}, line {line + 1}")
    are_numbers = all(is_number(name, decimal) for name in names)
    layout = find_layout(path, names, types, are_numbers)
    if layout.n_header_lines and (set(names[:2]) & set(known_ids) or are_numbers):
        raise MalformedInputError(f"{path}, line {line}: is data, not a header; add one, such as IID and names")
    body = text
    for _ in range(layout.n_header_lines):
        body, line = body.partition(b"\n")[2], line + 1
    rows = _Rows(path, layout.names, delimiter)
    if not piece.is_last and columns is not None:
        rows.choose_columns(body, columns, decimal)
    if body:
        rows.add(replace(piece, text=body, line=line))
    for piece in pieces:
        rows.add(piece)
    if not rows.n_rows:
        raise MalformedInputError(f"{path}: has a header line only; add one line per sample")
    return TextTable(layout, rows.columns(), line)


@dataclass(frozen=True)
class TextTable:
    """The columns of a text table as strings, and what they are; `first_line` is the line of the first row."""

    layout: Layout
    columns: list[pa.ChunkedArray]
    first_line: int


def has_no_names(path: AnyPath) -> bool:
    """Return True for a .env of LEA, whose first line has numbers in place of names of columns."""
    if kind_of_table(path) != ENV:
        return False
    with open_text(path) as file:
        line = file.readline(LONGEST_LINE).decode("utf-8", "replace")
    return all(map(is_number, line.split()))


def split_line(line: bytes, delimiter: str, where: str) -> list[str]:
    """Return the cells of a line without blanks around them."""
    if delimiter == " ":
        line, delimiter = single_tabs(line), "\t"
    return [cell.strip() for cell in _cells(line.decode(), delimiter, where)] if line else []


@dataclass(frozen=True)
class _Piece:
    """Whole lines of a text, without the line end of the last.

    Attributes
    ----------
    text : bytes
    line : int
        Line of the file with which the text begins.
    share_read : float
        Share of the file that is read with this piece.
    is_last : bool
    held_bytes : int
        Bytes of memory that unpacking the file takes.
    """

    text: bytes
    line: int
    share_read: float
    is_last: bool
    held_bytes: int


def _read_pieces(path: AnyPath) -> Iterator[_Piece]:
    """Yield a text in pieces of about `CHUNK` bytes, UTF-8 with Unix line ends, without the blank lines at its end."""
    line = 1
    blank = b""  # blank lines after the last line so far: harmless, unless more text follows
    with open_text(path) as file:
        while True:
            try:
                chunk = file.read(CHUNK)
                rest = file.readline(LONGEST_LINE)
                is_last = file.is_at_end
            except OSError as error:
                raise ReadError(f"{path}: {error.strerror}; check the disk") from error
            if not chunk:
                return
            text = blank + clean_text(chunk + rest, path, line + blank.count(b"\n"))
            if max(len(rest), len(blank)) >= LONGEST_LINE:
                raise MalformedInputError(f"{path}, after line {line}: over 16 MB without a row; give a table")
            lines = text.rstrip()
            if not lines:
                blank = text
                continue
            end = text.find(b"\n", len(lines))  # the empty last cells of a row stay
            lines, blank = (text[:end], text[end + 1 :]) if end >= 0 else (text, b"")
            _check_utf8(lines, path, line)
            yield _Piece(lines, line, file.share_read, is_last, file.held_bytes)
            line += lines.count(b"\n") + 1


def _check_utf8(text: bytes, path: AnyPath, line: int) -> None:
    """Raise MalformedInputError unless text that begins at this line of the file is UTF-8."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line += text.count(b"\n", 0, error.start)
        raise MalformedInputError(f"{path}, line {line}: is not UTF-8; save the file as UTF-8") from None


class _Rows:
    """The rows of a table, gathered piece by piece as columns of text.

    Attributes
    ----------
    n_rows : int
    """

    def __init__(self, path: AnyPath, names: list[str], delimiter: str) -> None:
        self._path = path
        self._names = names
        self._delimiter = delimiter
        self._kept = list(range(len(names)))
        self._parts: list[pa.Table] = []
        self._n_bytes = 0
        self.n_rows = 0

    def choose_columns(self, rows: bytes, wanted: Collection[str], decimal: str) -> None:
        """Keep the wanted columns, and those that may hold IDs: only fractions in these first rows cannot be IDs."""
        lines = rows.split(b"\n", _JUDGED_ROWS)[:_JUDGED_ROWS]
        separator = None if self._delimiter == " " else self._delimiter
        measured = {
            j
            for line in lines
            for j, cell in enumerate(line.decode().split(separator))
            if _is_fraction(cell.strip('"'), decimal)
        }
        self._kept = [
            j for j, name in enumerate(self._names)
            if j == 0 or j not in measured or name in wanted or name.lstrip("#").upper() in ("FID", "IID")
        ]  # fmt: skip

    def add(self, piece: _Piece) -> None:
        """Add the rows of a piece; note the memory that they take here and while their IDs are matched."""
        text, delimiter = piece.text, self._delimiter
        if delimiter == " ":
            text, delimiter = single_tabs(text), "\t"
        table = self._parse(text, delimiter, piece.line)
        self._parts.append(table)
        if len(self._parts) * len(self._kept) > _MOST_CHUNKS:
            self._parts = [pa.concat_tables(self._parts).combine_chunks()]
        self.n_rows += table.num_rows
        self._n_bytes += table.get_total_buffer_size()
        growing = self._n_bytes + self.n_rows * (ROW_BYTES + CELL_BYTES * len(self._kept))
        fixed = CHUNK_COPIES * len(text) + _COLUMN_BYTES * len(self._names) + piece.held_bytes
        remedy = "name the columns in use with --variables, and leave out rows of other samples"
        note_input_memory(self._path, growing + fixed, int(growing / piece.share_read) + fixed, remedy)

    def columns(self) -> list[pa.ChunkedArray]:
        """Return all columns; those that were not kept share one column of nulls."""
        table = pa.concat_tables(self._parts)
        nulls = pa.chunked_array([pa.nulls(self.n_rows)])
        kept = dict(zip(self._kept, table.columns, strict=True))
        return [kept.get(j, nulls) for j in range(len(self._names))]

    def _parse(self, text: bytes, delimiter: str, line: int) -> pa.Table:
        """Return the kept columns of lines; raise MalformedInputError at the first faulty line."""
        numbers = [str(j) for j in range(len(self._names))]  # pyarrow wants unique names
        kept = [str(j) for j in self._kept]
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(text),
                pyarrow.csv.ReadOptions(column_names=numbers, use_threads=False, block_size=len(text) + 1),
                pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
                pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(kept, pa.string()), include_columns=kept),
            )
        except pa.ArrowInvalid as error:
            fault = str(error)
        else:
            if table.num_rows == text.count(b"\n") + 1 and b"\n\n" not in b"\n" + text:
                return table
            fault = "a quoted cell goes over several lines"
        for number, row in enumerate(text.decode().split("\n"), line):
            n_cells = len(_cells(row, delimiter, f"{self._path}, line {number}"))
            if n_cells != len(numbers):
                of_r = "in R use write.csv(…, row.names = FALSE), with the IDs in a column"
                remedy = of_r if n_cells == len(numbers) + 1 else "correct it"
                fact = f"{n_cells} cell(s), but the header has {len(numbers)}"
                raise MalformedInputError(f"{self._path}, line {number}: {fact}; {remedy}")
        raise MalformedInputError(f"{self._path}: {fault}; correct it")


def find_delimiter(header: str, second: str, path: AnyPath, decimal: str) -> str:
    """Return the mark between columns: a tab, a comma, a semicolon, or a blank that stands for runs of blanks.

    Where names of columns have both commas and semicolons, the mark is the one that the second line has as often.
    """
    if not header:
        raise MalformedInputError(f"{path}: is empty; give a table with a header line")
    bare, row = (re.sub('"[^"]*"', "", line) for line in (header, second))
    # Programs that write decimal commas put semicolons between columns.
    by_semicolons = ";" in bare and (decimal == "," or "," not in bare)
    if ";" in bare and not by_semicolons:
        by_semicolons = row.count(";") == bare.count(";") and row.count(",") != bare.count(",")
    marks = "\t;, " if by_semicolons else "\t,; "
    delimiter = next((mark for mark in marks if mark in header.strip(" ")), "")
    if delimiter:
        return delimiter
    if kind_of_table(path) == ENV and is_number(header.strip(), decimal):
        return " "
    raise MalformedInputError(f"{path}, line 1: is one column; give variables too")


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    """Split a line into cells, and take the quotes off."""
    if line.count('"') % 2:
        raise MalformedInputError(f"{where}: a quote is opened and not closed; correct it")
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise MalformedInputError(f"{where}: {error}; correct it") from None


def is_number(text: str, decimal: str = ".") -> bool:
    """Return True for a decimal number as programs write it; words such as nan and inf are none."""
    mark = re.escape(decimal)
    return re.fullmatch(rf"[-+]?(\d+{mark}?\d*|{mark}\d+)([eE][-+]?\d+)?", text, re.ASCII) is not None


def _is_fraction(text: str, decimal: str) -> bool:
    """Return True for a number with digits other than 0 after its point, as measurements have and IDs have not."""
    return re.fullmatch(rf"[-+]?\d*{re.escape(decimal)}\d*[1-9]\d*([eE][-+]?\d+)?", text) is not None
