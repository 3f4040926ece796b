"""Columns of tables in memory as Arrow arrays, or as text where Arrow has no type for their cells."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def as_arrow(cells: Any) -> Any:
    """Return a column as an Arrow array; cells of several types in one column become text."""
    if isinstance(cells, pa.ChunkedArray | pa.Array):
        return cells
    try:
        return pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array(as_texts(cells), pa.string())


def as_texts(cells: Any) -> list[str | None]:
    """Return the cells of a column as Python writes them, None where missing."""
    cells = cells.to_pylist() if isinstance(cells, pa.ChunkedArray | pa.Array) else cells
    texts = (None if cell is None else str(cell).encode("utf-8", "backslashreplace").decode() for cell in cells)
    return [None if text in ("nan", "<NA>", "NaT") else text for text in texts]


def is_text(cells: Any) -> bool:
    """Return True for an Arrow array of text: string, large_string or string_view."""
    return "string" in str(cells.type) and not pa.types.is_nested(cells.type)
