"""Cells of a table converted to numbers, and the message about the first cell that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import shortened, some_of
from lfmm2.errors import MalformedInputError
from lfmm2.files.column_cells import as_arrow, as_texts, is_text
from lfmm2.files.id_tables import IdTable
from lfmm2.files.missing_codes import MissingCodes, suggest

# Remedy for numbers with marks between thousands, or with the other decimal mark.
_WITH_A_MARK = "write decimals with a {mark}, and nothing between thousands"
# Cells that are no numbers but are known, each with the end of the message about them.
_KNOWN_CELLS: tuple[tuple[str, str], ...] = (
    (r"[-+]?[\d.]*,[\d.,]+([eE][-+]?\d+)?", _WITH_A_MARK),
    (r"[-+]?\d{1,3}([ '’\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]\d{3})+([.,]\d+)?", _WITH_A_MARK),
    (r"[−–—﹣-]\s*[\d.]+([eE][-+]?\d+)?", "write the minus sign as - and nothing after it"),
    (r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*", "it is a date, so write a number, such as the day of the year"),
    (r"[-+]?[\d.]+\s*([°%‰µ].*|k?m|cm|mm|ha|ft|hPa|kPa)", "write the number without its unit"),
)
# Cells that may be numbers with a decimal comma, and those that a point tells from them.
_COMMA_NUMBER = r"^[-+]?(\d+(,\d+)?|,\d+)([eE][-+]?\d+)?$"
_POINT_NUMBER = r"^[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?$"
# Cells up to this length are shown as a possible code for missing; longer ones are surely none.
_LONGEST_CODE = 20


def as_floats(
    table: IdTable, name: str, missing_code: MissingCode | None, may_be_category: bool = True
) -> NDArray[np.float64]:
    """Convert a column to numbers, NaN where missing. Decimals have the mark of the table, whatever the locale.

    Parameters
    ----------
    table : IdTable
    name : str
        Name of the column.
    missing_code : float or str, or several, optional
        Values that mean missing, beside those that always do.
    may_be_category : bool
        True if the message about words can advise to name the column as a category.

    Raises
    ------
    MalformedInputError
        If a cell is no finite number, or if the column is one of words, categories or True and False.
    """
    codes = MissingCodes.of(missing_code)
    cells = as_arrow(table.columns[name])
    if pa.types.is_dictionary(cells.type) or pa.types.is_boolean(cells.type):
        raise _category_error(table, name, "categories", as_texts(table.columns[name]), may_be_category)
    if is_text(cells):
        cells = codes.blank_text(cells)
    given = cells
    try:
        if is_text(cells) and table.decimal == ",":
            cells = _with_points(cells)
        # A cast of an extension type gives what it is stored as, such as days since 1970 for a period of pandas.
        if isinstance(cells.type, pa.BaseExtensionType):
            raise pa.ArrowInvalid("no numbers")
        numbers = cells.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        raise _bad_cell(table, name, given, may_be_category) from None
    values: NDArray[np.float64] = np.array(pc.fill_null(numbers, np.nan).to_numpy())
    codes.blank_numbers(values)
    if len(infinite := np.flatnonzero(np.isinf(values))):
        remedy = f"correct it, or use {suggest(values[infinite[0]])} if it means missing"
        raise MalformedInputError(f"{table.at(infinite[0], name)}: is infinite; {remedy}")
    return values


def _with_points(cells: Any) -> Any:
    """Return text with a point for each comma; raise ArrowInvalid if a cell has a point, which may part thousands."""
    if pc.any(pc.match_substring(cells, ".")).as_py():
        raise pa.ArrowInvalid("a point")
    return pc.replace_substring(cells, ",", ".")


def _category_error(
    table: IdTable, name: str, what: str, levels: Sequence[str | None], may_be_category: bool
) -> MalformedInputError:
    """Return the error about a column of words or categories, with some of its levels."""
    shown = some_of(sorted({level for level in levels if level is not None}))
    name = shortened(name)
    remedy = "write them as numbers, or leave the column out"
    if may_be_category:
        option = f"--categorical {name}" if re.fullmatch(r"[\w.=-]+", name) else f"--categorical '{name}'"
        remedy = f"name it with {option} (in Python categorical={name!r}), or leave the column out"
    return MalformedInputError(f"{table.label}, column {name!r}: has {what} ({shown}), not numbers; {remedy}")


def _bad_cell(table: IdTable, name: str, cells: Any, may_be_category: bool) -> MalformedInputError:
    """Return the error that names the first cell that is no number. The search is slow, and made only to name it."""
    if not is_text(cells):
        fact = f"not numbers but {cells.type}"
        return MalformedInputError(f"{table.label}, column {shortened(name)!r}: {fact}; convert it, or leave it out")
    texts = cells.to_pylist()
    bad = [row for row, cell in enumerate(texts) if cell is not None and not _is_readable(cell, table.decimal)]
    cell = texts[bad[0]]
    remedy = next((end for pattern, end in _KNOWN_CELLS if re.fullmatch(pattern, cell)), "")
    if table.decimal == "," and re.fullmatch(r"[-+]?[\d.]+,?\d*([eE][-+]?\d+)?", cell):
        remedy = remedy or _WITH_A_MARK
    if remedy == _WITH_A_MARK:
        remedy = remedy.format(mark="point" if table.decimal == "." else "comma")
        if table.decimal == "." and _has_decimal_commas(table, cells):
            remedy += ", or use --decimal , (in Python decimal=',')"
    if not remedy and len(bad) > 1 and 2 * len(bad) > len(texts) - texts.count(None):
        return _category_error(table, name, "words", [texts[row] for row in bad], may_be_category)
    if not remedy:
        remedy = "correct the formula of the spreadsheet" if cell.startswith("#") else "correct it"
        remedy += f"; if it means missing, use {suggest(cell)}" if len(cell) <= _LONGEST_CODE else ""
    return MalformedInputError(f"{table.at(bad[0], name)}: {shortened(cell)!r} is not a number; {remedy}")


def _has_decimal_commas(table: IdTable, cells: Any) -> bool:
    """Return True if all of these cells may be numbers with decimal commas, and no column has one with a point."""
    if not pc.all(pc.match_substring_regex(cells, _COMMA_NUMBER)).as_py():
        return False
    columns = (as_arrow(column) for column in table.columns.values())
    return not any(
        pc.any(pc.match_substring_regex(pc.utf8_trim_whitespace(column), _POINT_NUMBER)).as_py()
        for column in columns
        if is_text(column)
    )


def _is_readable(cell: str, decimal: str) -> bool:
    """Return True if a cell is taken for a number."""
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    try:
        pa.scalar(cell, pa.string()).cast(pa.float64())
    except pa.ArrowException:
        return False
    return True
