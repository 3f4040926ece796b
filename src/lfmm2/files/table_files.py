"""Tables in Parquet and TSV: written by groups of rows whatever the cut into blocks, and read back by column."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lfmm2._typing import AnyPath
from lfmm2.errors import MalformedInputError, ReadError, UsageError

#: Text formats, each with its compression.
TEXT_FORMATS = {"tsv": None, "tsv.gz": "gzip", "tsv.zst": "zstd"}
# Rows of a Parquet row group. With fewer, readers take longer, because they read a group at a time; with more, the
# writer needs more memory.
GROUP_ROWS = 131_072
# Bytes at the peak of writing a group of GROUP_ROWS rows with up to USUAL_COLUMNS columns of numbers: the group, its
# compressed copy and its text. `writing_bytes` adds to them for further columns. With a smaller number the memory plan
# of a run would promise too little.
GROUP_BYTES, USUAL_COLUMNS = 48 << 20, 15
# Bytes of text from which on a group is written with fewer rows, so that long alleles and IDs do not fill the memory.
# With a larger value they take more memory, with a smaller one usual IDs make small groups.
GROUP_TEXT = 1 << 23
# Bytes of the text of a usual group, which are in GROUP_BYTES, and bytes at the peak of writing for each byte above it.
USUAL_TEXT, TEXT_COPIES = 1 << 22, 5
# Bytes that each file adds: its buffer, and memory that the writer of a table leaves with the allocator. Measured with
# 1 to 41 tables.
FILE_BYTES = 17 << 17


def writing_bytes(n_rows: int, n_columns: int, n_files: int, text_bytes: int = 0) -> int:
    """Return the bytes at the peak of writing tables one after the other, the widest with `n_columns` of numbers.

    `text_bytes` is the text of a row where it is longest, as with long alleles.
    """
    group = GROUP_BYTES + max(n_columns - USUAL_COLUMNS, 0) * 3 * 8 * GROUP_ROWS
    n_rows = min(n_rows, GROUP_ROWS)
    text = TEXT_COPIES * max(min(text_bytes * n_rows, 2 * GROUP_TEXT) - USUAL_TEXT, 0)
    return group * n_rows // GROUP_ROWS + FILE_BYTES * n_files + text


class TableWriter:
    """A table written block by block to `file`, which stays open and is the caller's to commit.

    Rows are gathered into groups of `group_rows`, or of fewer rows with `GROUP_TEXT` bytes of text, so the bytes do not
    depend on how the caller cuts blocks.
    As a context manager it closes at the end of the block; after an exception nothing more is written.
    """

    # Set by the children: how to write one group, and how to end the table.
    _write_group: Callable[[pa.Table], object]
    _end: Callable[[], object]

    def __init__(self, file: BinaryIO, schema: pa.Schema, group_rows: int) -> None:
        self._sink = _Sink(file)
        self._schema = schema
        self._group_rows = group_rows
        self._waiting = schema.empty_table()
        self._text_columns = [field.name for field in schema if pa.types.is_string(field.type)]

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sink.abandoned = kind is not None
        if kind is None:
            self.close()

    def write(self, table: pa.Table) -> None:
        """Add rows: all columns of the schema, in any order and of any type that casts to theirs."""
        rows = table.select(self._schema.names).cast(self._schema)
        self._waiting = pa.concat_tables([self._waiting, rows])
        while n_rows := self._rows_of_group():
            # One chunk, because pages of Parquet also end where a chunk does.
            self._write_group(_with_nulls(self._waiting.slice(0, n_rows).combine_chunks()))
            self._waiting = self._waiting.slice(n_rows)

    def _rows_of_group(self) -> int:
        """Return the rows of the next group; 0 if it is not complete."""
        lengths = [pc.binary_length(self._waiting[name]).fill_null(0) for name in self._text_columns]
        if sum(pc.sum(length).as_py() or 0 for length in lengths) <= GROUP_TEXT:
            return self._group_rows if self._waiting.num_rows >= self._group_rows else 0
        ends = np.cumsum(sum(length.to_numpy().astype(np.int64) for length in lengths))
        return min(max(int(np.searchsorted(ends, GROUP_TEXT, "right")), 1), self._group_rows)

    def close(self) -> None:
        """Write the rows gathered and the end of the table."""
        if self._waiting.num_rows:
            self._write_group(_with_nulls(self._waiting.combine_chunks()))
        self._waiting = self._schema.empty_table()
        self._end()


class ParquetTable(TableWriter):
    """Parquet with zstd and the schema's metadata; NaN becomes null, which all readers take as missing."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, group_rows: int) -> None:
        from pyarrow import parquet

        super().__init__(file, schema, group_rows)
        # Dictionaries only where values repeat; IDs, positions and statistics hardly do.
        repeated = [f.name for f in schema if f.type != pa.float64() and f.name not in ("ID", "POS")]
        sink = pa.PythonFile(self._sink, "w")
        writer = parquet.ParquetWriter(sink, schema, compression="zstd", use_dictionary=repeated)
        self._write_group = writer.write_table
        self._end = writer.close


class TsvTable(TableWriter):
    """Tab-separated text: no quotes, the shortest digits that read back the same double, NA for missing.

    The header begins with ``#`` if the first column is CHROM. `compression` is None, "gzip" or "zstd".
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema, group_rows: int, compression: str | None) -> None:
        super().__init__(file, schema, group_rows)
        stream: Any = self._sink
        if compression == "gzip":
            # Level 1 gives 1.07 times the bytes of level 6 in a sixth of the time.
            stream = gzip.GzipFile("", "wb", 1, stream, mtime=0)
        elif compression == "zstd":
            stream = pa.CompressedOutputStream(pa.PythonFile(stream, "w"), "zstd")
        mark = "#" if schema.names[0] == "CHROM" else ""
        stream.write((mark + "\t".join(schema.names) + "\n").encode())
        self._write_group = lambda group: stream.write(_tsv_text(group))
        self._end = stream.close


def open_table(file: BinaryIO, schema: pa.Schema, format: str, group_rows: int = GROUP_ROWS) -> TableWriter:
    """Begin a table in "parquet", "tsv", "tsv.gz" or "tsv.zst"; UsageError if the format is another.

    A group is a Parquet row group, or one write of text; 131 072 rows of a result table take 20 MB.
    """
    if format == "parquet":
        return ParquetTable(file, schema, group_rows)
    if format not in TEXT_FORMATS:
        raise UsageError(f"format is {format!r}; it is one of parquet, {', '.join(TEXT_FORMATS)}")
    return TsvTable(file, schema, group_rows, TEXT_FORMATS[format])


def read_columns(
    path: AnyPath, columns: Sequence[str] | None = None, types: Mapping[str, pa.DataType] | None = None
) -> pa.Table:
    """Read some or all columns of a table written here, whose first bytes tell its format.

    Parameters
    ----------
    path : path
    columns : sequence of str, optional
        All by default.
    types : mapping of str to pyarrow.DataType, optional
        Types of columns by name, which text does not tell; types of columns that are not named here are guessed.

    Returns
    -------
    pyarrow.Table
        In the order of `columns`; missing values are null. Of a Parquet file only these columns are read.

    Raises
    ------
    ReadError, MalformedInputError
        If the file cannot be opened or read; if it is damaged, not a table, or lacks a column.
    """
    try:
        with Path(path).open("rb") as file:
            magic = file.read(4)
        if magic != b"PAR1":
            table = _read_tsv(path, magic, columns, types or {})
        else:
            from pyarrow import parquet

            with parquet.ParquetFile(path) as stored:
                table = stored.read(columns)
        return table if columns is None else table.select(list(columns))
    except KeyError as error:
        raise MalformedInputError(f"{path}: {error.args[0]}; ask for columns that it has") from error
    except (pa.ArrowException, ValueError) as error:
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); write it again") from error
    except OSError as error:
        if error.errno is None:  # pyarrow cannot unpack a page
            raise MalformedInputError(f"{path}: damaged, or no table ({error}); write it again") from error
        raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check path and disk") from error


def _read_tsv(path: AnyPath, magic: bytes, columns: Sequence[str] | None, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Read a text table, compressed as its first bytes tell; its first column loses the # of the header."""
    compression = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(magic[:2])
    with pa.input_stream(os.fspath(path), compression=compression) as stream:
        table = csv.read_csv(stream, **text_options(columns or (), types))
    return table.rename_columns([name.removeprefix("#") for name in table.column_names])


def text_options(columns: Sequence[str], types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """Return the options with which pyarrow reads text: NA is a missing number, but in a column of text a word.

    `columns` and `types` name the first column CHROM without the # of the header. An empty `columns` stands for all.
    """
    marked = {"CHROM": "#CHROM"}
    converted = csv.ConvertOptions(
        include_columns=[marked.get(name, name) for name in columns],
        column_types={marked.get(name, name): kind for name, kind in types.items()},
        null_values=["NA"],
        strings_can_be_null=False,
    )
    return {
        "parse_options": csv.ParseOptions(delimiter="\t", quote_char=False),
        "convert_options": converted,
    }


def _with_nulls(table: pa.Table) -> pa.Table:
    """Return a table with null for NaN in its columns of floats."""
    for i, field in enumerate(table.schema):
        column = table.column(i)
        if pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
            table = table.set_column(i, field, pc.if_else(pc.is_nan(column), None, column))
    return table


def _tsv_text(table: pa.Table) -> Any:
    """Return the lines of a table without NaN, as a buffer."""
    columns = [c.cast(pa.string()).fill_null("NA") if c.null_count else c for c in table.columns]
    text = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none", batch_size=16_384)
    try:
        csv.write_csv(pa.table(columns, table.schema.names), text, options)
    except pa.ArrowInvalid:
        # pyarrow refuses quotes, which are characters like any other here.
        rows = zip(*(c.cast(pa.string()).to_pylist() for c in columns), strict=True)
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    return text.getvalue()


class _Sink:
    """File object for pyarrow, which must not close the caller's file, nor write in a destructor after an exception."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.abandoned = False
        self.closed = False

    def write(self, data: Any) -> int:
        dropped = self.abandoned or self._file.closed
        return memoryview(data).nbytes if dropped else self._file.write(data)

    def flush(self) -> None:
        """Do nothing, because the owner of the file flushes it."""

    def close(self) -> None:
        self.closed = True


def recut(tables: Iterable[pa.Table], n_rows: int, n_bytes: int = 1 << 62) -> Iterator[pa.Table]:
    """Cut a stream of tables anew into tables of `n_rows`, fewer where these take over `n_bytes` and in the last."""
    held: list[pa.Table] = []
    n_held = bytes_held = 0
    for table in tables:
        held.append(table)
        n_held += len(table)
        bytes_held += table.nbytes
        if n_held < n_rows and bytes_held < n_bytes:
            continue
        joined = pa.concat_tables(held)
        n_whole = n_held // n_rows * n_rows or n_held
        for first in range(0, n_whole, n_rows):
            yield joined.slice(first, n_rows).combine_chunks()
        held, n_held = [joined.slice(n_whole)], n_held - n_whole
        bytes_held = held[0].nbytes
    if n_held:
        yield pa.concat_tables(held).combine_chunks()
