"""Tables of users as columns, before it is known which column has IDs: files, frames, Series and pyarrow tables."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from lfmm2._words import some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files.arrow_files import read_arrow_file
from lfmm2.files.id_columns import Column
from lfmm2.files.table_text import read_text_table
from lfmm2.files.text_tables import repeated


@dataclass(frozen=True)
class RawTable:
    """The columns of a file or frame, with those of its index first; `first_line` and `decimal` as in `IdTable`.

    `no_variables`, `categories` and `in_order` are those of the `Layout` of a text table.
    """

    label: str
    first_line: int | None
    columns: list[Column]
    decimal: str = "."
    no_variables: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    in_order: bool = False

    def called(self, kind: str) -> Column | None:
        """Return the first column called IID or FID, whatever its case."""
        return next((column for column in self.columns if id_name(column.name) == kind), None)

    @property
    def data_columns(self) -> list[Column]:
        """Return the columns that may hold IDs: not the FIDs, and no index where a column is called IID."""
        return [column for column in self.columns if id_name(column.name) != "FID"]


def read_raw_table(
    source: Any, known_ids: Sequence[str], what: str, wanted: Collection[str] | None = None, decimal: str = "."
) -> RawTable:
    """Read a file, frame, Series or pyarrow table into columns; a first line with one of `known_ids` is no header.

    Of a long file, only the `wanted` columns are sure to be there; others may be nulls.
    """
    return replace(_read_columns(source, known_ids, what, wanted, decimal), decimal=decimal)


def _read_columns(
    source: Any, known_ids: Sequence[str], what: str, wanted: Collection[str] | None, decimal: str
) -> RawTable:
    """Read the columns of a table of any kind."""
    if isinstance(source, str | os.PathLike):
        return _read_file(os.fspath(source), known_ids, wanted, decimal)
    if isinstance(source, pa.Table):
        return _raw_table(what, None, source.column_names, source.columns)
    if hasattr(source, "to_frame") and hasattr(source, "index"):  # a pandas Series
        source = source.to_frame("env1" if source.name is None else source.name)
    if hasattr(source, "iloc") and source.index.nlevels <= 2:
        names = [str(name) for name in source.columns]
        raw = _raw_table(what, None, names, [source.iloc[:, j] for j in range(len(names))])
        return raw if raw.called("IID") else RawTable(what, None, [*_index_columns(source.index), *raw.columns])
    if hasattr(source, "__arrow_c_stream__"):  # a frame of polars and others
        return _read_columns(pa.table(source), known_ids, what, wanted, decimal)
    if isinstance(source, dict):
        raise UsageError(f"{what}: a dict; give a pandas Series or DataFrame with the sample IDs as its index")
    raise UsageError(f"{what}: unknown type {type(source).__name__}; give a path, DataFrame, Table or array")


def _read_file(path: Any, known_ids: Sequence[str], wanted: Collection[str] | None, decimal: str) -> RawTable:
    """Read the columns of a file, whose first bytes tell whether it is text."""
    if (stored := read_arrow_file(path, wanted)) is None:
        text = read_text_table(path, known_ids, wanted, decimal)
        layout = text.layout
        return replace(
            _raw_table(path, text.first_line, layout.names, text.columns),
            no_variables=layout.no_variables, categories=layout.categories, in_order=layout.in_order,
        )  # fmt: skip
    raw = _raw_table(path, None, stored.table.column_names, stored.table.columns)
    index = [column for name in stored.index for column in raw.columns if column.name == name]
    rest = [column for column in raw.columns if column not in index]
    if not index or len(index) > 2 or any(id_name(column.name) == "IID" for column in rest):
        return raw
    names = ["" if re.fullmatch(r"__index_level_\d+__", column.name) else column.name for column in index]
    if len(index) == 2:
        names = ["FID", names[1] or "IID"]
    first = [Column(name, column.cells, 0) for name, column in zip(names, index, strict=True)]
    return replace(raw, columns=[*first, *rest])


def _raw_table(label: str, first_line: int | None, names: Sequence[str], columns: Sequence[Any]) -> RawTable:
    """Return a table with its columns numbered from 1; raise MalformedInputError if names repeat."""
    if twins := [name for name in repeated(names) if name]:
        raise MalformedInputError(f"{label}: repeated column names ({some_of(twins)}); rename them")
    pairs = zip(names, columns, strict=True)
    return RawTable(label, first_line, [Column(name, cells, j + 1) for j, (name, cells) in enumerate(pairs)])


def _index_columns(index: Any) -> list[Column]:
    """Return the index of a frame as columns: its last level has the IDs, and the first of two the FIDs."""
    last = index.get_level_values(index.nlevels - 1)
    if index.nlevels == 2:
        return [Column("FID", index.get_level_values(0), 0), Column(str(last.name or "IID"), last, 0)]
    is_default = type(index).__name__ == "RangeIndex" and index.name is None
    return [Column("" if index.name is None else str(index.name), last, 0, is_default)]


def refuse_without_ids(raw: RawTable) -> None:
    """Raise InconsistentInputError for a table whose rows have nothing but their order."""
    if raw.in_order:
        fact = "has no header and no IDs, and its rows are not of the samples"
        raise InconsistentInputError(f"{raw.label}: {fact}; give a header, and a column with IDs")


def id_name(name: str) -> str:
    """Return the name of a column in the form in which IID and FID are recognised."""
    return name.strip().removeprefix("#").upper()
