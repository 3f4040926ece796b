"""Result tables in Parquet and TSV, and files that appear under their names complete or not at all.

A file is written as ``<name>.part``, flushed to the disk, renamed, and the folder flushed too: a full disk, a
kill or a power cut leaves the old file or none, never a piece. Columns have the names of plink2's ``--glm``:
A1 is the allele that is counted and whose effect is given, OMITTED the other; OBS_CT counts samples.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lfmm2.errors import LfmmError, MalformedInputError, OutputExistsError, ReadError, UsageError, WriteError

AnyPath = str | os.PathLike[str]


def _schema(statistics: str) -> pa.Schema:
    names = f"CHROM POS ID A1 OMITTED A1_FREQ OBS_CT {statistics} STATUS".split()
    types = dict.fromkeys(("CHROM", "ID", "A1", "OMITTED", "STATUS"), pa.string())
    types |= dict.fromkeys(("POS", "OBS_CT"), pa.int64())
    return pa.schema([(name, types.get(name, pa.float64())) for name in names])


#: Columns of the table of one variable.
RESULT_SCHEMA = _schema("BETA SE T_STAT P NEG_LOG10_P P_CAL NEG_LOG10_P_CAL Q RIDGE_BETA")
#: Columns of the joint test of all variables.
JOINT_SCHEMA = _schema("F_STAT P NEG_LOG10_P Q VAR_VARIABLES VAR_FACTORS VAR_RESIDUAL")

_REMEDIES = {
    errno.ENOSPC: "free space on that disk, or write elsewhere",
    errno.EDQUOT: "free part of your quota, or write elsewhere",
    errno.EACCES: "choose a folder you may write to",
    errno.ENOENT: "create the folder first",
}


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn an OSError into a WriteError that names the file and what to do."""
    try:
        yield
    except LfmmError:
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the disk, or write elsewhere")
        raise WriteError(f"{path}: cannot be written, {error.strerror or error}; {remedy}") from error


def check_outputs(paths: Iterable[AnyPath], overwrite: bool) -> None:
    """Check, before any work, that files of these final names can be written.

    Raises
    ------
    UsageError, WriteError, OutputExistsError
        If two outputs have the same name; if a folder is absent or cannot be written, or an output is a
        folder; if outputs exist and `overwrite`, which lets complete new ones replace them, is false.
    """
    outputs = [Path(path) for path in paths]
    for number, path in enumerate(outputs):
        if path in outputs[:number]:
            raise UsageError(f"{path} would be written twice; give the variables different names")
        if not path.parent.is_dir():
            raise WriteError(f"{path}: there is no folder {path.parent}; create it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: no permission to write to {path.parent}; choose another folder")
        if path.is_dir():
            raise WriteError(f"{path}: is a folder; choose another name")
    existing = [str(path) for path in outputs if path.exists() or path.is_symlink()]
    if existing and not overwrite:
        names = ", ".join(existing[:5]) + (f" and {len(existing) - 5} more" if len(existing) > 5 else "")
        raise OutputExistsError(f"output exists: {names}; choose another name, or replace with --overwrite")


def check_free_space(folder: AnyPath, n_bytes: int) -> None:
    """Raise WriteError if `folder` has less than `n_bytes` free, the predicted size of the outputs."""
    with _translated(Path(folder)):
        free = shutil.disk_usage(folder).free
    if n_bytes > free:
        need, have = (f"{n:,}".replace(",", " ") for n in (n_bytes, free))
        raise WriteError(f"{folder}: outputs need {need} bytes, {have} are free; {_REMEDIES[errno.ENOSPC]}")


class OutputSet:
    """Files that appear together: all complete on the disk before the first takes its name.

    As a context manager it commits at the end of the block, and on an exception removes all it wrote.

    Raises
    ------
    OutputExistsError, WriteError
        From `open`, if another run is writing the same file; on any failure to create, write, flush or
        rename, after which nothing new is left under the final names.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, OutputSet() as outputs:
    ...     outputs.open(folder + "/a.txt").write(b"first")
    ...     outputs.open(folder + "/b.txt").write(b"second")
    5
    6
    """

    def __init__(self) -> None:
        self._files: list[tuple[BinaryIO, _PartFile]] = []

    def __enter__(self) -> OutputSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def open(self, path: AnyPath) -> BinaryIO:
        """Begin the file of this final name, as ``<path>.part``; what an earlier run left there is lost."""
        with _translated(Path(path)):
            raw = _PartFile(Path(path))
        self._files.append((io.BufferedWriter(raw, 1 << 20), raw))
        return self._files[-1][0]

    def commit(self) -> None:
        """Flush all, then rename all in the order of `open`; on failure remove them all."""
        try:
            for file, raw in self._files:
                with _translated(raw.target):
                    file.flush()
                    os.fsync(raw.fileno())
            for _, raw in self._files:
                with _translated(raw.target):
                    raw.path = raw.path.replace(raw.target)
                    # After the rename, because closing frees the lock.
                    raw.close()
            for folder in sorted({raw.target.parent for _, raw in self._files}):
                _sync_folder(folder)
        except BaseException:
            self.abort()
            raise
        self._files = []

    def abort(self) -> None:
        """Remove all that was written since the last commit."""
        for _, raw in self._files:
            with contextlib.suppress(OSError):
                # Not the buffered file, which would first write what it holds.
                raw.close()
            with contextlib.suppress(OSError):
                raw.path.unlink()
        self._files = []


class WholeFile:
    """One file that takes its name when complete: an `OutputSet` of one, which gives a binary file object."""

    def __init__(self, path: AnyPath) -> None:
        self._set = OutputSet()
        self.file = self._set.open(path)

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(self, *error: Any) -> None:
        self._set.__exit__(*error)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    with _translated(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems refuse, and keep folders safe themselves.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)


class _PartFile(io.FileIO):
    """Unbuffered ``<target>.part``, emptied and locked, whose write failures are WriteErrors."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        # Emptied only once it is locked.
        super().__init__(self.path, "wb", opener=lambda p, flags: os.open(p, flags & ~os.O_TRUNC, 0o666))
        if self._is_taken():
            self.close()
            raise OutputExistsError(f"{target}: another run is writing it; wait, or choose another name")
        if os.fstat(self.fileno()).st_size:
            self.truncate(0)

    def write(self, data: Any) -> int:
        with _translated(self.target):
            return super().write(data)

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have renamed the file since it was opened here: then it is a finished output.
            return not os.path.samestat(self.path.stat(), os.fstat(self.fileno()))
        except (BlockingIOError, FileNotFoundError):
            return True
        except OSError:
            # A file system without locks: a second run goes unnoticed.
            return False


class TableWriter:
    """A table written block by block to `file`, which stays open and is the caller's to commit.

    Rows are gathered into groups of `group_rows`, so the bytes do not depend on how the caller cuts blocks.
    As a context manager it closes at the end of the block; after an exception nothing more is written.
    """

    _write_group: Callable[[pa.Table], object]
    _end: Callable[[], object]

    def __init__(self, file: BinaryIO, schema: pa.Schema, group_rows: int) -> None:
        self._sink = _Sink(file)
        self._schema = schema
        self._group_rows = group_rows
        self._waiting = schema.empty_table()

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
        while self._waiting.num_rows >= self._group_rows:
            # One chunk, because pages of Parquet also end where a chunk does.
            self._write_group(_with_nulls(self._waiting.slice(0, self._group_rows).combine_chunks()))
            self._waiting = self._waiting.slice(self._group_rows)

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


def open_table(file: BinaryIO, schema: pa.Schema, format: str, group_rows: int = 131_072) -> TableWriter:
    """Begin a table in "parquet", "tsv", "tsv.gz" or "tsv.zst"; UsageError if the format is another.

    A group is a Parquet row group, or one write of text; 131 072 rows of a result table take 20 MB.
    """
    if format == "parquet":
        return ParquetTable(file, schema, group_rows)
    compressions = {"tsv": None, "tsv.gz": "gzip", "tsv.zst": "zstd"}
    if format not in compressions:
        raise UsageError(f"format is {format!r}; it is one of parquet, {', '.join(compressions)}")
    return TsvTable(file, schema, group_rows, compressions[format])


def read_columns(path: AnyPath, columns: Sequence[str] | None = None) -> pa.Table:
    """Read some or all columns of a table written here, whose first bytes tell its format.

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
            table = _read_tsv(path, magic, columns)
        else:
            from pyarrow import parquet

            with parquet.ParquetFile(path) as stored:
                table = stored.read(columns)
        return table if columns is None else table.select(list(columns))
    except KeyError as error:
        raise MalformedInputError(f"{path}: {error.args[0]}; ask for columns that it has") from error
    except pa.ArrowInvalid as error:
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); write it again") from error
    except OSError as error:
        raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check path and disk") from error


def _read_tsv(path: AnyPath, magic: bytes, columns: Sequence[str] | None) -> pa.Table:
    types = {field.name: field.type for schema in (RESULT_SCHEMA, JOINT_SCHEMA) for field in schema}
    marked = {"CHROM": "#CHROM"}
    options = csv.ConvertOptions(
        include_columns=[marked.get(name, name) for name in columns or ()],
        column_types={marked.get(name, name): kind for name, kind in types.items()},
        null_values=["NA"],
        strings_can_be_null=True,
    )
    compression = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(magic[:2])
    with pa.input_stream(os.fspath(path), compression=compression) as stream:
        layout = csv.ParseOptions(delimiter="\t", quote_char=False)
        table = csv.read_csv(stream, parse_options=layout, convert_options=options)
    return table.rename_columns([name.removeprefix("#") for name in table.column_names])


def _with_nulls(table: pa.Table) -> pa.Table:
    """NaN of float columns as null."""
    for i, field in enumerate(table.schema):
        column = table.column(i)
        if pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
            table = table.set_column(i, field, pc.if_else(pc.is_nan(column), None, column))
    return table


def _tsv_text(table: pa.Table) -> Any:
    """Lines of a table without NaN, as a buffer."""
    columns = [c.cast(pa.string()).fill_null("NA") if c.null_count else c for c in table.columns]
    text = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none", batch_size=16_384)
    try:
        csv.write_csv(pa.table(columns, table.schema.names), text, options)
    except pa.ArrowInvalid:
        # It refuses quotes, which are like any other character here.
        rows = zip(*(c.cast(pa.string()).to_pylist() for c in columns), strict=True)
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    return text.getvalue()


class _Sink:
    """The file as pyarrow sees it: pyarrow may not close it, nor finish in a destructor what was given up."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.abandoned = False
        self.closed = False

    def write(self, data: Any) -> int:
        dropped = self.abandoned or self._file.closed
        return memoryview(data).nbytes if dropped else self._file.write(data)

    def flush(self) -> None:
        """Left to the owner of the file."""

    def close(self) -> None:
        self.closed = True
