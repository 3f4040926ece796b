"""A matrix as text, CSV or TSV, also compressed: read once, in pieces, into a temporary file of numbers.

Rows may have hundreds of thousands of columns, so that no table with these columns is made: in each piece of whole
lines the marks between columns become ends of lines, and the numbers are parsed as one column.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from lfmm2._words import mebibytes, shortened, with_spaces
from lfmm2.errors import InputWarning, MalformedInputError, ReadError
from lfmm2.files import (
    CHUNK,
    MissingCodes,
    clean_text,
    find_delimiter,
    note_input_memory,
    open_text,
    single_tabs,
    split_line,
)
from lfmm2.formats.matrix_names import NameColumns, NewRows, find_name_columns, text_column_error, turn_rows
from lfmm2.genotypes import PIECE_BYTES, NumberRows

# Bytes of a line from which on a file is refused, so that one without line ends does not fill the memory. A line of
# two million numbers with 17 digits has 40 MB.
_LONGEST_LINE = 1 << 28
# Bytes held at the peak for each byte of a piece of text: the text, its copies without the names, and its numbers.
_COPIES = 8
# Bytes that the name of a row takes as text of Python.
_NAME_BYTES = 80
# Cells that mean missing and are parsed quickly; other spellings of them take a slower way.
_MISSING = ["", "NA", "NaN", "nan", "N/A", "NULL", "null", "None", "NAN", "#N/A", "<NA>"]
_NUMBER = re.compile(rb"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE)


class TextMatrix:
    """A matrix of text, whose rows lie in a temporary file of float64.

    Attributes
    ----------
    path : Path
    row_names : list of str
    row_fids : list of str or None
    column_names : list of str
    rows : NumberRows
        The rows as they are in the file, NaN where missing.
    row_numbers : list of str or None
        A column that must only count the rows.
    """

    def __init__(self, path: Path, new_rows: NewRows, decimal: str = ".") -> None:
        self.path = path
        self._decimal = decimal
        self._line = 1
        self._is_given = False
        self._has_end = True
        self.row_names: list[str] = []
        self.row_fids: list[str] | None = None
        self.row_numbers: list[str] | None = None
        pieces = self._pieces()
        text = next(pieces, b"")
        header, _, body = text.partition(b"\n")
        self._read_header(header, body.partition(b"\n")[0])
        self.rows = new_rows(len(self.column_names), np.dtype(np.float64))
        try:
            self._line = 2
            if body:
                self._add(body)
            for piece in pieces:
                self._add(piece)
            if not self.row_names:
                raise MalformedInputError(f"{path}: has a header line only; add the rows")
            self.rows.flush()
        except BaseException:
            self.close()
            raise
        if not self._has_end:
            fact = f"{path}: its last line has no end"
            warnings.warn(f"{fact}; if the file was cut off, the last number is wrong", InputWarning, stacklevel=4)
        self.n_rows, self.n_columns = self.rows.n_rows, self.rows.n_columns

    def close(self) -> None:
        """Remove the temporary file, unless `store` has given it away."""
        if not self._is_given:
            self.rows.close()

    def store(self, samples_are_rows: bool, new_rows: NewRows) -> NumberRows:
        """Return the numbers in rows of one feature, to be closed by the caller."""
        if not samples_are_rows:
            self._is_given = True
            return self.rows
        note_input_memory(self.path, 3 * PIECE_BYTES)
        self._is_given = True
        return turn_rows(self.rows, new_rows)

    def _pieces(self) -> Iterator[bytes]:
        """Give the text in pieces of whole lines, without the last line end."""
        line, blank = 1, b""
        with open_text(self.path) as file:
            while True:
                try:
                    chunk = file.read(CHUNK)
                    rest = b"" if chunk.endswith(b"\n") else file.readline(_LONGEST_LINE)
                except OSError as error:
                    raise ReadError(f"{self.path}: {error.strerror}; check the disk") from error
                if len(rest) >= _LONGEST_LINE:
                    fact = f"{self.path}, after line {line}: over {mebibytes(_LONGEST_LINE)} without a line end"
                    raise MalformedInputError(f"{fact}; give a table")
                if not chunk:
                    return
                self._has_end = (rest or chunk).endswith(b"\n")
                n_bytes = _COPIES * len(chunk + rest) + file.held_bytes + _NAME_BYTES * len(self.row_names)
                note_input_memory(self.path, n_bytes)
                text = blank + clean_text(chunk + rest, self.path, line)
                line += text.count(b"\n") - len(blank)
                body = text.rstrip(b"\n")
                # Empty lines at the end of a piece are harmless, unless more text follows.
                blank = b"\n" * (len(text) - len(body) - 1) if body else text
                if body:
                    yield body

    def _read_header(self, header: bytes, second: bytes) -> None:
        """Find the mark between columns, the names of columns, and those that have the names of rows."""
        where = f"{self.path}, line 1"
        if not second:
            raise MalformedInputError(f"{self.path}: is empty or has one line; give a header and rows")
        try:
            first_text, second_text = header.decode(), second.decode()
        except UnicodeDecodeError:
            raise MalformedInputError(f"{where}: is not UTF-8; save the file as UTF-8") from None
        if header.startswith(b"!"):
            raise MalformedInputError(f"{where}: begins with '!', as lines of GEO about a series do; leave these out")
        self._delimiter = find_delimiter(first_text, second_text, self.path, self._decimal)
        names = split_line(header, self._delimiter, where)
        cells = split_line(second, self._delimiter, f"{self.path}, line 2")
        if len(cells) == len(names) + 1:
            names = ["", *names]  # R's write.table puts no name over the names of rows.
        if len(cells) != len(names):
            fact = f"{self.path}, line 2: {len(cells)} cell(s), but the header has {len(names)}"
            raise MalformedInputError(f"{fact}; correct it")
        self._mark = b"\t" if self._delimiter == " " else self._delimiter.encode()
        if names[0] and not any(map(self._is_text, names)):
            fact = f"{where}: is numbers, not a header"
            raise MalformedInputError(f"{fact}; add the names of the columns, or put a letter before each number")
        are_texts = [self._is_text(cell) for cell in cells]
        self._leading: NameColumns = find_name_columns(self.path, names, are_texts)
        self.column_names = names[self._leading.n_leading :]
        self.row_fids = None if self._leading.fids is None else []
        self.row_numbers = None if self._leading.row_numbers is None else []

    @staticmethod
    def _is_text(cell: str) -> bool:
        """Return True for a cell that is neither a number nor missing."""
        return not (_NUMBER.fullmatch(cell.strip().encode()) or MissingCodes.of(None).is_word(cell))

    def _add(self, text: bytes) -> None:
        """Add the rows of a piece, which begins at the line `_line`."""
        if self._delimiter == " ":
            text = single_tabs(text)
        lines = text.split(b"\n")
        rests = []
        n_marks = len(self.column_names) - 1
        for number, line in enumerate(lines, self._line):
            leading, rest = self._split(line, number)
            if rest.count(self._mark) != n_marks:
                n_cells = rest.count(self._mark) + 1 + self._leading.n_leading
                expected = n_marks + 1 + self._leading.n_leading
                fact = f"{self.path}, line {number}: {n_cells} cell(s), but the header has {expected}"
                raise MalformedInputError(f"{fact}; correct it, the file may be cut off")
            rests.append(rest)
            self._add_names(leading, number)
        cells = self._mark.join(rests).replace(b'"', b"").replace(self._mark, b"\n") + b"\n"
        self.rows.append(self._numbers(cells, len(lines)).reshape(len(lines), -1))
        self._line += len(lines)

    def _split(self, line: bytes, number: int) -> tuple[list[bytes], bytes]:
        """Return the cells before the numbers, and the rest of a line."""
        leading: list[bytes] = []
        rest = line
        for _ in range(self._leading.n_leading):
            if rest.startswith(b'"'):
                quoted = re.match(rb'"((?:[^"]|"")*)"(?:%s|$)' % re.escape(self._mark), rest)
                if quoted is None:
                    fact = f"{self.path}, line {number}: a quote is opened and not closed"
                    raise MalformedInputError(f"{fact}; correct it")
                leading.append(quoted[1].replace(b'""', b'"'))
                rest = rest[quoted.end() :]
            else:
                cell, _, rest = rest.partition(self._mark)
                leading.append(cell)
        return leading, rest

    def _add_names(self, cells: list[bytes], number: int) -> None:
        """Add the names that a row has in the cells before its numbers."""
        try:
            texts = [cell.decode().strip() for cell in cells]
        except UnicodeDecodeError:
            raise MalformedInputError(f"{self.path}, line {number}: is not UTF-8; save the file as UTF-8") from None
        self.row_names.append(texts[self._leading.names])
        if self.row_fids is not None and self._leading.fids is not None:
            self.row_fids.append(texts[self._leading.fids])
        if self.row_numbers is not None and self._leading.row_numbers is not None:
            self.row_numbers.append(texts[self._leading.row_numbers])

    def _numbers(self, cells: bytes, n_rows: int) -> NDArray[np.float64]:
        """Parse cells, one a line, as float64, NaN where missing."""
        n_cells = n_rows * len(self.column_names)
        try:
            column = self._parse(cells, pa.float64(), _MISSING)
        except pa.ArrowInvalid:
            try:
                texts = MissingCodes.of(None).blank_text(self._parse(cells, pa.string(), []))
            except pa.ArrowInvalid:
                place = f"{self.path}, from line {self._line}"
                raise MalformedInputError(f"{place}: is not UTF-8; save the file as UTF-8") from None
            if self._decimal == ",":
                texts = pc.replace_substring(texts, ",", ".")
            try:
                column = texts.cast(pa.float64())
            except pa.ArrowInvalid:
                raise self._bad_cell(texts.to_pylist()) from None
        values: NDArray[np.float64] = column.combine_chunks().fill_null(np.nan).to_numpy(zero_copy_only=False)
        if len(values) != n_cells:
            fact = (
                f"{self.path}, from line {self._line}: {with_spaces(len(values))} numbers, not {with_spaces(n_cells)}"
            )
            raise MalformedInputError(f"{fact}; check quotes and line ends")
        return values

    def _parse(self, cells: bytes, kind: pa.DataType, missing: list[str]) -> pa.ChunkedArray:
        """Parse cells, one a line, as a column of this type."""
        table = pyarrow.csv.read_csv(
            pa.BufferReader(cells),
            pyarrow.csv.ReadOptions(column_names=["x"], use_threads=False, block_size=len(cells) + 1),
            # A character that no text has stands between columns, because there is one.
            pyarrow.csv.ParseOptions(delimiter="\x01", quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(
                column_types={"x": kind}, null_values=missing, decimal_point=self._decimal, strings_can_be_null=False
            ),
        )
        return table["x"]

    def _bad_cell(self, texts: list[str | None]) -> MalformedInputError:
        """Return the error about the first of these cells that is no number."""
        n_columns = len(self.column_names)
        for place, cell in enumerate(texts):
            if cell is None:
                continue
            try:
                pa.scalar(cell, pa.string()).cast(pa.float64())
            except pa.ArrowInvalid:
                row, column = divmod(place, n_columns)
                first = len(self.row_names) - len(texts) // n_columns
                where = f"line {self._line + row} ({shortened(self.row_names[first + row])})"
                return text_column_error(self.path, where, self.column_names[column], cell)
        return MalformedInputError(f"{self.path}, from line {self._line}: cells are no numbers; correct them")
