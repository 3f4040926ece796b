"""Tables whose rows have sample IDs: files, frames and arrays taken apart into IDs and columns."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files.samples import Samples
from lfmm2.files.table_text import read_text_table
from lfmm2.files.text_tables import repeated


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
        return f"{self.label}, {self.row_at(row)}, column {shortened(name)!r}"

    def row_at(self, row: int) -> str:
        """Describe a row of the table for a message."""
        line = f"row {row + 1}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{line} (sample {shortened(self.iid[row])})"


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


def take_apart(source: Any, samples: Samples, what: str, wanted: Collection[str] | None = None) -> IdTable:
    """Take a file, frame, pyarrow table or array apart into IDs and columns; `what` names a table in memory.

    Of a long file, only the `wanted` columns are sure to be there; others may be nulls.
    """
    if isinstance(source, str | os.PathLike):
        return _split_ids(os.fspath(source), 2, *read_text_table(source, samples.iid, wanted))
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
