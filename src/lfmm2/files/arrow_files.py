"""Tables in Parquet and Feather files, which programs write beside CSV: read in pieces, into columns by name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from lfmm2._typing import AnyPath
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.input_files import open_regular
from lfmm2.files.input_memory import note_input_memory
from lfmm2.files.table_text import CELL_BYTES, ROW_BYTES

_PARQUET, _FEATHER, _OLD_FEATHER = b"PAR1", b"ARROW1", b"FEA1"
# Rows that are read at once from a Parquet file. With more, a piece takes more memory; with fewer, it takes longer.
_PIECE_ROWS = 1 << 14


@dataclass(frozen=True)
class ArrowColumns:
    """The columns of a file by name; `index` has the names of those that are the index of a frame of pandas."""

    table: pa.Table
    index: tuple[str, ...]


def read_arrow_file(path: AnyPath, wanted: Collection[str] | None = None) -> ArrowColumns | None:
    """Return the columns of a Parquet or Feather file, which its first bytes tell; None for any other file.

    Numbers that are fractions have no IDs, so that of these only the `wanted` columns are read; others are nulls.

    Raises
    ------
    ReadError
        If the file cannot be opened or read.
    MalformedInputError
        If it is damaged, or a Feather file of version 1.
    InsufficientMemoryError
        If the columns take more than the memory budget.
    """
    with open_regular(path) as file, _translated(path):
        head = os.pread(file.fileno(), 8, 0)
        if head.startswith(_PARQUET):
            return _read_parquet(path, file, wanted)
        if head.startswith(_FEATHER):
            return _read_feather(path, file, wanted)
    if head.startswith(_OLD_FEATHER):
        raise MalformedInputError(f"{path}: is a Feather file of version 1; write it in version 2, or save it as CSV")
    return None


@contextmanager
def _translated(path: AnyPath) -> Iterator[None]:
    """Turn errors of pyarrow in the block into errors about the file."""
    try:
        yield
    except (pa.ArrowException, ValueError, OSError, SystemError) as error:  # Names that are no text are SystemErrors.
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check path and disk") from error
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); write it again") from error


def _read_parquet(path: AnyPath, file: BinaryIO, wanted: Collection[str] | None) -> ArrowColumns:
    """Read a Parquet file in pieces of some rows."""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as stored:
        schema = stored.schema_arrow
        kept = _choose_columns(schema, wanted)
        facts = stored.metadata
        group = max((facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)), default=0)
        rows = _Rows(path, schema, kept, group)
        for batch in stored.iter_batches(_PIECE_ROWS, columns=[schema.names[j] for j in kept]):
            rows.add(batch, (rows.n_rows + len(batch)) / max(facts.num_rows, 1))
    return rows.columns()


def _read_feather(path: AnyPath, file: BinaryIO, wanted: Collection[str] | None) -> ArrowColumns:
    """Read a Feather file, which is the file format of Arrow, in the pieces in which it was written."""
    whole = pa.ipc.open_file(file)
    schema, n_batches = whole.schema, whole.num_record_batches
    kept = _choose_columns(schema, wanted)
    stored = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=kept, use_threads=False))
    rows = _Rows(path, schema, kept, 0)
    for i in range(n_batches):
        rows.add(stored.get_batch(i), (i + 1) / n_batches)
    return rows.columns()


def _choose_columns(schema: pa.Schema, wanted: Collection[str] | None) -> list[int]:
    """Return the numbers of the columns that are wanted, and of those that may have IDs."""
    if wanted is None or len(set(schema.names)) < len(schema.names):
        return list(range(len(schema)))
    return [j for j, field in enumerate(schema) if field.name in wanted or not pa.types.is_floating(field.type)]


class _Rows:
    """The rows of a table, gathered piece by piece, and the memory that they take.

    Attributes
    ----------
    n_rows : int
    """

    def __init__(self, path: AnyPath, schema: pa.Schema, kept: list[int], piece_bytes: int) -> None:
        self._path = path
        self._schema = schema
        self._kept = kept
        self._piece_bytes = piece_bytes
        self._parts: list[pa.RecordBatch] = []
        self._n_bytes = 0
        self.n_rows = 0

    def add(self, batch: pa.RecordBatch, share_read: float) -> None:
        """Add rows; note the memory that all take here and while their IDs are matched."""
        self._parts.append(batch)
        self.n_rows += batch.num_rows
        n_bytes = batch.get_total_buffer_size()
        self._n_bytes += n_bytes
        self._piece_bytes = max(self._piece_bytes, n_bytes)
        growing = self._n_bytes + self.n_rows * (ROW_BYTES + CELL_BYTES * len(self._kept))
        fixed = 2 * self._piece_bytes
        remedy = "name the columns in use with --variables, and leave out rows of other samples"
        note_input_memory(self._path, growing + fixed, int(growing / share_read) + fixed, remedy)

    def columns(self) -> ArrowColumns:
        """Return all columns; those that were not read share one column of nulls."""
        if not self.n_rows:
            raise MalformedInputError(f"{self._path}: has no rows; add one per sample")
        schema = pa.schema([self._schema.field(j) for j in self._kept])
        read = pa.Table.from_batches(self._parts, schema)
        read.validate(full=True)  # A damaged file may have text that is no UTF-8.
        nulls = pa.chunked_array([pa.nulls(self.n_rows)])
        of_kept: dict[int, Any] = dict(zip(self._kept, read.columns, strict=True))
        columns = [of_kept.get(j, nulls) for j in range(len(self._schema))]
        facts = self._schema.pandas_metadata or {}
        index = tuple(name for name in facts.get("index_columns", ()) if name in self._schema.names)
        return ArrowColumns(pa.Table.from_arrays(columns, names=self._schema.names), index)
