"""Which side of a matrix has the samples: the one whose names are sample IDs of the tables, never a guess by size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._choices import SIDES
from lfmm2._words import some_of, with_spaces
from lfmm2.errors import InconsistentInputError
from lfmm2.files import as_tables, id_name, id_texts, is_row_numbers, read_raw_table, spelling_hints
from lfmm2.formats.matrix_names import MatrixReader

ROWS, COLUMNS = SIDES
# Names up to which other spellings of IDs are looked for; with more, the search takes long.
_MOST_COMPARED = 20_000


def find_side(reader: MatrixReader, tables: Sequence[Any], stated: str | None, decimal: str = ".") -> str:
    """Return the side of the samples, "rows" or "columns".

    Parameters
    ----------
    reader : MatrixReader
    tables : sequence of path
        Tables with a row for each sample.
    stated : {"rows", "columns"}, optional
        What the user says.
    decimal : {".", ","}
        Decimal mark of the tables.

    Raises
    ------
    InconsistentInputError
        If the names of both sides, or of neither, are among the IDs of the tables, and nothing is stated.
    """
    if stated is not None:
        return stated
    shape = f"{with_spaces(reader.n_rows)} rows and {with_spaces(reader.n_columns)} columns"
    remedy = "say which it is with --samples-are rows or --samples-are columns"
    if reader.row_names is None or reader.column_names is None:
        raise InconsistentInputError(f"{reader.path}: has {shape} without names; {remedy}")
    ids = [pa.array(cells, pa.string()) for table in tables for cells in _id_columns(table, decimal)]
    names = {ROWS: reader.row_names, COLUMNS: reader.column_names}
    n_found = {side: max((_count(of_side, cells) for cells in ids), default=0) for side, of_side in names.items()}
    found = [side for side in SIDES if n_found[side]]
    if len(found) == 1:
        return found[0]
    shown = " and ".join(f"{n_found[side]} of its {side} ({some_of(names[side])})" for side in SIDES)
    where = ", ".join(str(table) for table in tables) or "--env"
    if found:
        fact = f"{reader.path}: both {shown} have names that are IDs in {where}"
        raise InconsistentInputError(f"{fact}; {remedy}")
    fact = f"{reader.path}: neither rows ({some_of(names[ROWS])}) nor columns ({some_of(names[COLUMNS])}) are called"
    hints = "".join(f"; {side}: {hint}" for side in SIDES for hint in _hints(names[side], ids))
    raise InconsistentInputError(f"{fact} by IDs of {where}{hints}; correct the names, or {remedy}")


def _id_columns(table: Any, decimal: str) -> list[list[str]]:
    """Return the columns of a table that may have IDs: text and whole numbers that do not only count rows."""
    parts = [part for part in as_tables(table) if isinstance(part, str | os.PathLike)]
    columns = []
    for part in parts:
        raw = read_raw_table(part, (), "variables", (), decimal)
        if raw.in_order:
            continue
        for column in raw.columns:
            texts = None if id_name(column.name) == "FID" or is_row_numbers(column) else id_texts(column.cells)
            if texts is not None and texts.null_count < len(texts):
                columns.append([cell for cell in texts.to_pylist() if cell])
    return columns


def _count(names: Sequence[str], ids: pa.Array) -> int:
    """Return how many names are among some IDs."""
    total = pc.sum(pc.is_in(pa.array(names, pa.string()), value_set=ids)).as_py()
    return int(total or 0)


def _hints(names: Sequence[str], ids: Sequence[pa.Array]) -> list[str]:
    """Say how names differ from IDs, if in spelling alone."""
    if len(names) > _MOST_COMPARED:
        return []
    return [hint for cells in ids[:3] for hint in spelling_hints(cells.to_pylist(), set(filter(None, names)))][:1]
