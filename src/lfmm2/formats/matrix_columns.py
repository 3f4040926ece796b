"""A matrix in a Parquet or Feather file, read some columns at a time, and turned where these are samples."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, LfmmError, MalformedInputError, ReadError
from lfmm2.files import id_name, id_texts, note_input_memory, open_regular, repeated
from lfmm2.formats.matrix_names import NewRows, find_name_columns, turn_rows
from lfmm2.genotypes import PIECE_BYTES, NumberRows

#: First bytes of the files.
PARQUET, FEATHER = b"PAR1", b"ARROW1"
# Columns that are read at once where they are features.
_PIECE_COLUMNS = 1 << 10


class ColumnMatrix:
    """A matrix in a file of columns.

    Attributes
    ----------
    path : Path
    row_names, column_names : list of str
    row_fids : list of str or None
    row_numbers : list of str or None
        A column that must only count the rows.
    dtype : numpy.dtype
        float32 if that has all numbers exactly, else float64.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        try:
            with _translated(path):
                self._open()
                self._choose_columns()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        """Read the schema, and count the rows."""
        self._parquet: Any = None
        if os.pread(self._file.fileno(), 4, 0) == PARQUET:
            from pyarrow import parquet

            self._parquet = parquet.ParquetFile(self._file)
            self.schema, self.n_rows = self._parquet.schema_arrow, self._parquet.metadata.num_rows
        else:
            self.schema = pa.ipc.open_file(self._file).schema
            self.n_rows = self._table(self.schema.names[:1]).num_rows if self.schema.names else 0
        if not self.n_rows:
            raise MalformedInputError(f"{self.path}: has no rows; add them")

    def _choose_columns(self) -> None:
        """Find the columns with names of rows; all others must hold numbers."""
        names = self.schema.names
        if twins := repeated(names):
            raise MalformedInputError(f"{self.path}: repeated column names ({some_of(twins)}); rename them")
        facts = self.schema.pandas_metadata or {}
        index = [name for name in facts.get("index_columns", ()) if isinstance(name, str) and name in names]
        if len(index) > 2:
            fact = f"{self.path}: the index has {len(index)} levels"
            raise InconsistentInputError(f"{fact}; give it one, the names of the rows, or two, FID and IID of samples")
        rest = [name for name in names if name not in index]
        self.row_fids = self.row_numbers = None
        if index and not any(id_name(name) == "IID" for name in rest):
            self.row_names = self._texts(index[-1])
            self.row_fids = self._texts(index[0]) if len(index) == 2 else None
            numbers = rest
        else:
            # The index of pandas counts rows where a column is called IID.
            are_texts = [not _is_number(self.schema.field(name).type) for name in rest]
            shown = ["" if re.fullmatch(r"__index_level_\d+__", name) else name for name in rest]
            leading = find_name_columns(self.path, shown, are_texts)
            self.row_names = self._texts(rest[leading.names])
            self.row_fids = None if leading.fids is None else self._texts(rest[leading.fids])
            self.row_numbers = None if leading.row_numbers is None else self._texts(rest[leading.row_numbers])
            numbers = rest[leading.n_leading :]
        wrong = [name for name in numbers if not _is_number(self.schema.field(name).type)]
        if wrong:
            kind = self.schema.field(wrong[0]).type
            fact = f"{self.path}: column {shortened(wrong[0])!r} is of type {kind}, not of numbers"
            more = f" ({len(wrong)} such columns: {some_of(wrong)})" if len(wrong) > 1 else ""
            remedy = "leave it out; chromosomes and positions are read from --features"
            raise MalformedInputError(f"{fact}{more}; {remedy}")
        if not numbers:
            raise MalformedInputError(f"{self.path}: has no column of numbers; give samples or features as columns")
        self.column_names = list(map(str, numbers))
        self.n_columns = len(numbers)
        kinds = [self.schema.field(name).type for name in set(numbers)]
        is_small = all(kind.bit_width <= (32 if pa.types.is_floating(kind) else 16) for kind in kinds)
        self.dtype = np.dtype(np.float32 if is_small else np.float64)

    def _texts(self, name: str) -> list[str]:
        """Read a column of names."""
        cells = id_texts(self._table([name])[name])
        if cells is None:
            fact = f"{self.path}: column {shortened(name)!r}, which should have names of the rows, is of type "
            raise MalformedInputError(f"{fact}{self.schema.field(name).type}; write them as text")
        return ["" if cell is None else str(cell) for cell in cells.to_pylist()]

    def _table(self, names: Sequence[str]) -> pa.Table:
        """Read all rows of some columns, and check them: a damaged file may have offsets beyond its buffers."""
        if self._parquet is not None:
            table = self._parquet.read(columns=list(names), use_threads=False)
        else:
            fields = [self.schema.get_field_index(name) for name in names]
            options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
            table = pa.ipc.open_file(self._file, options=options).read_all()
        table.validate(full=True)
        return table

    def store(self, samples_are_rows: bool, new_rows: NewRows) -> NumberRows:
        """Return the numbers in rows of one feature, to be closed by the caller.

        Columns are read some at a time, because a group of rows may be the whole file.
        """
        note_input_memory(self.path, 3 * PIECE_BYTES)
        by_column = new_rows(self.n_rows, self.dtype)
        try:
            step = min(_PIECE_COLUMNS, max(PIECE_BYTES // (4 * self.n_rows * self.dtype.itemsize), 1))
            with _translated(self.path):
                for first in range(0, self.n_columns, step):
                    names = self.column_names[first : first + step]
                    table = self._table(names)
                    by_column.append(np.stack([self._numbers(table[name]) for name in names]))
            return by_column if samples_are_rows else turn_rows(by_column, new_rows)
        except BaseException:
            by_column.close()
            raise

    def _numbers(self, column: Any) -> NDArray[Any]:
        """Return a column of numbers, NaN where missing."""
        return np.asarray(column.to_numpy())


def _is_number(kind: pa.DataType) -> bool:
    """Return True for integers and floats."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn errors of pyarrow in the block into errors about the file."""
    try:
        yield
    except LfmmError:
        raise
    except (pa.ArrowException, ValueError, OSError, SystemError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check path and disk") from error
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); write it again") from error
