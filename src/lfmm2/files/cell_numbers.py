"""Cells of a table converted to numbers, and the message about the first cell that is none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import shortened
from lfmm2.errors import MalformedInputError
from lfmm2.files.id_tables import IdTable
from lfmm2.files.table_text import is_number


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
        if code is not None and is_number(str(code)):
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
