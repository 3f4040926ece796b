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

_WITH_A_POINT = "write decimals with a point, and nothing between thousands"
# Cells that are no numbers but are known, each with the end of the message about them.
_KNOWN_CELLS: tuple[tuple[str, str], ...] = (
    (r"[-+]?[\d.]*,[\d.,]+", _WITH_A_POINT),
    (r"[-+]?\d{1,3}([ '’\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]\d{3})+([.,]\d+)?", _WITH_A_POINT),
    (r"[−–—﹣-]\s*[\d.]+([eE][-+]?\d+)?", "write the minus sign as - and nothing after it"),
    (r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*", "it is a date, so write a number, such as the day of the year"),
    (r"[-+]?[\d.]+\s*([°%‰µ].*|k?m|cm|mm|ha|ft|hPa|kPa)", "write the number without its unit"),
)
# Cells up to this length are shown as a possible code for missing; longer ones are surely none.
_LONGEST_CODE = 20


def as_floats(
    table: IdTable, name: str, missing_code: MissingCode | None, may_be_category: bool = True
) -> NDArray[np.float64]:
    """Convert a column to numbers, NaN where missing. Decimals have a point, whatever the locale.

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
    try:
        # A cast of an extension type gives what it is stored as, such as days since 1970 for a period of pandas.
        if isinstance(cells.type, pa.BaseExtensionType):
            raise pa.ArrowInvalid("no numbers")
        numbers = cells.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        raise _bad_cell(table, name, cells, may_be_category) from None
    values: NDArray[np.float64] = np.array(pc.fill_null(numbers, np.nan).to_numpy())
    codes.blank_numbers(values)
    if len(infinite := np.flatnonzero(np.isinf(values))):
        remedy = f"correct it, or use {suggest(values[infinite[0]])} if it means missing"
        raise MalformedInputError(f"{table.at(infinite[0], name)}: is infinite; {remedy}")
    return values


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
    bad = [row for row, cell in enumerate(texts) if cell is not None and not _is_readable(cell)]
    cell = texts[bad[0]]
    remedy = next((end for pattern, end in _KNOWN_CELLS if re.fullmatch(pattern, cell)), "")
    if not remedy and len(bad) > 1 and 2 * len(bad) > len(texts) - texts.count(None):
        return _category_error(table, name, "words", [texts[row] for row in bad], may_be_category)
    if not remedy:
        remedy = "correct the formula of the spreadsheet" if cell.startswith("#") else "correct it"
        remedy += f"; if it means missing, use {suggest(cell)}" if len(cell) <= _LONGEST_CODE else ""
    return MalformedInputError(f"{table.at(bad[0], name)}: {shortened(cell)!r} is not a number; {remedy}")


def _is_readable(cell: str) -> bool:
    """Return True if Arrow takes a cell for a number."""
    try:
        pa.scalar(cell, pa.string()).cast(pa.float64())
    except pa.ArrowException:
        return False
    return True
