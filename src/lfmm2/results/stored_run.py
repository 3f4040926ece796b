"""Results of a finished run, read from its files by blocks, so that memory does not grow with the number of SNPs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import counted, some_of, visible, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, ReadError, UsageError
from lfmm2.files import TEXT_FORMATS, recut, text_options
from lfmm2.model import Columns, LatentFactors, declared_columns
from lfmm2.results.factors_file import read_factors
from lfmm2.results.file_names import EARLIER_ENDINGS, FIXED_ENDINGS, SMALL_ENDINGS, prefix_of, record_of
from lfmm2.results.stored_record import find_record, open_record, translated_reading
from lfmm2.results.tables import column_types

# SNPs of a block, and of a row group of Parquet files: a block is then read with one call, and nothing is read twice.
BLOCK_ROWS = 131_072
# Bytes of a text table that are parsed together.
_TEXT_BYTES = 1 << 24
# The option, or kind of run, with which these tables are written, for messages.
_ORIGINS = {"scree": "a run that estimates its factors", "sweep": "--sweep", "sweep-histograms": "--sweep"}
# Types of those columns of the small tables that are not float64.
_SMALL_TYPES = dict.fromkeys(("AXIS", "K", "N_FDR05", "N_FDR10", "COUNT"), pa.int64())
_SMALL_TYPES |= dict.fromkeys(("VARIABLE", "LAMBDA"), pa.string())
# In the histograms of a sweep, P is a word: it tells whether raw or calibrated p are counted.
_HISTOGRAM_TYPES = {"P": pa.string()}


class StoredRun:
    """Results of a finished run.

    The record is checked by its own SHA-256, the other files for presence and size; `lfmm2.verify` reads them all.

    Parameters
    ----------
    prefix : path
        The --out of the run, its record or any other of its files.
    columns : Columns, optional
        Columns that the model of its tests has declared; by default those of the built-in model with the options of
        the run.

    Attributes
    ----------
    prefix : Path
        Path of the record without its ending.
    declared : Columns
        The declared columns.
    record : RunRecord
        Contents of the record.
    variables, tables : tuple of str
        Names of the variables, and of the tables: the variables, then "joint" if there is a joint test.
    n_snps : int
        Number of rows of each table.
    n_factors : int
        K of the tables.
    format : str
        Format of the tables: "parquet", "tsv", "tsv.gz" or "tsv.zst".

    Warns
    -----
    InputWarning
        If the files that are read have another prefix, because the record was copied or renamed.

    Raises
    ------
    ReadError
        If there is no record, as when the run is not complete, or it cannot be read.
    MalformedInputError
        If the record has changed since it was written, or a file is absent or of another size.
    UsageError
        If `prefix` is an empty text.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> data = lfmm2.simulate(folder / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> result = lfmm2.run(None, data.bed, data.env, K=3, out=folder / "result")
    >>> run = StoredRun(folder / "result")
    >>> run.tables, run.n_snps
    (('env1', 'env2', 'joint'), 2000)
    >>> sum(len(block) for block in run.blocks("env1", ["POS", "BETA"]))
    2000
    """

    def __init__(self, prefix: AnyPath, columns: Columns | None = None) -> None:
        path = find_record(prefix)
        self.record = open_record(path)
        marginal = self.record.parameters.get("marginal") is True
        self.declared = declared_columns(marginal) if columns is None else columns
        self._types = column_types(self.declared)
        self._record_path = path
        self.prefix = prefix_of(path)
        self.variables: tuple[str, ...] = tuple(self.record.variables)
        self.n_snps = self.record.tested.n_snps_used
        self.n_factors = self.record.factors.K
        self._sizes = {name: stamp.bytes for name, stamp in self.record.files.items()}
        self._base = self._find_beginning(path)
        self.format = self._find_format(path)
        self._check_files()
        if self._base != self.prefix.name:
            own = record_of(self.prefix.with_name(self._base))
            remedy = "keep copies under their own names, in another folder" if own.exists() else f"rename it to {own}"
            fact = f"{path} lists the files of {prefix_of(own)}, which are read"
            warnings.warn(f"{fact}; {remedy}", InputWarning, stacklevel=3)
        joint = self._file(f".joint.{self.format}") is not None and len(self.variables) > 1
        self.tables = (*self.variables, *(["joint"] if joint else []))

    def __repr__(self) -> str:
        names = ", ".join(self.variables)
        return visible(
            f"<StoredRun {self.prefix}: {counted(self.n_snps, self.record.tested.noun)}, K={self.n_factors}, {names}>"
        )

    def _find_beginning(self, path: Path) -> str:
        """Return the common beginning of the names of all files, also if the record was renamed after the run."""
        ending = FIXED_ENDINGS["factors"]
        found = [name for name in self._sizes if name.endswith(ending)]
        if len(found) != 1:
            raise MalformedInputError(f"{path}: lists no factors file; give the results of a run of lfmm2")
        return found[0].removesuffix(ending)

    def _find_format(self, path: Path) -> str:
        """Return the format in which the record at `path` lists a table of every variable."""
        for form in ("parquet", *TEXT_FORMATS):
            if all(f"{self._base}.{name}.{form}" in self._sizes for name in self.variables):
                return form
        raise MalformedInputError(f"{path}: lists no tables of {some_of(self.variables)}; run again")

    def _check_files(self) -> None:
        """Raise MalformedInputError if a file is absent or of another size than its record says."""
        faults = []
        for name, size in self._sizes.items():
            try:
                found = self.prefix.with_name(name).stat().st_size
            except FileNotFoundError:
                faults.append(f"{name} is absent")
            except OSError as error:
                raise ReadError(f"{name}: cannot be read ({error.strerror}); check path and disk") from error
            else:
                if found != size:
                    sizes = f"{counted(found, 'byte')}, not the {with_spaces(size)} that were written"
                    faults.append(f"{name} has {sizes}")
        if faults:
            raise MalformedInputError(f"{self.prefix}: {'; '.join(faults)}; copy them again, or run again")

    def _file(self, ending: str) -> Path | None:
        """Return the file of the run with this ending; None if the record does not list it."""
        name = self._base + ending
        return self.prefix.with_name(name) if name in self._sizes else None

    def path(self, name: str) -> Path | None:
        """Return the path of a file of the run; None if the run has not written it.

        Parameters
        ----------
        name : str
            One of `tables`, "loadings", "factors", "factors-table", "log", "record", "scree", "sweep",
            "sweep-histograms", "prune" or "samples".
        """
        if name in self.tables or name == "loadings":
            return self._file(f".{name}.{self.format}")
        if name == "record":
            return self._record_path
        endings = [of[name] for of in (FIXED_ENDINGS, EARLIER_ENDINGS, SMALL_ENDINGS) if name in of]
        return next(filter(None, map(self._file, endings)), None)

    def refuse_as_outputs(self, paths: Iterable[Path]) -> None:
        """Raise UsageError if an output would overwrite a file of the run, such as the table of a variable."""
        own = {os.path.realpath(self.prefix.with_name(name)) for name in self._sizes}
        own.add(os.path.realpath(self._record_path))
        for path in paths:
            if os.path.realpath(path) in own:
                raise UsageError(f"{path} is a file of the run; choose another --out")

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the names of the columns in the file of a table, one of `tables` or "loadings"."""
        path = self._table_path(name)
        with translated_reading(path):
            if self.format == "parquet":
                from pyarrow import parquet

                return tuple(parquet.read_schema(path).names)
            return _read_names(path, self.format)

    def _table_path(self, name: str) -> Path:
        """Return the path of a table, or raise UsageError if the run has none of this name."""
        path = self.path(name) if name in (*self.tables, "loadings") else None
        if path is None:
            raise UsageError(f"{self.prefix}: has no table {name!r}; it has {', '.join(self.tables)}")
        return path

    def blocks(
        self,
        name: str,
        columns: Sequence[str],
        dictionaries: bool = False,
        block_rows: int = BLOCK_ROWS,
        only: Collection[int] | None = None,
    ) -> Iterator[pa.Table]:
        """Stream some columns of a table, in the order of the genotypes, by blocks of `block_rows` SNPs.

        Parameters
        ----------
        name : str
            One of `tables`, or "loadings".
        columns : sequence of str
        dictionaries : bool
            True to give texts other than IDs (CHROM, A1, OMITTED, STATUS) as dictionary arrays.
        block_rows : int
            SNPs of a block; the last block may be shorter.
        only : collection of int, optional
            Numbers of the blocks to yield, from 0; all by default. With blocks of `BLOCK_ROWS`, the other blocks of a
            Parquet file are not read.

        Raises
        ------
        UsageError
            If there is no such table.
        InconsistentInputError
            If it has no such column.
        MalformedInputError
            If it is damaged, or its number of rows is not the one in the record.
        ReadError
            If it cannot be read.

        Notes
        -----
        Every column of a block is one chunk; missing numbers are null. All tables of a run have the same blocks.
        """
        path = self._table_path(name)
        known = self.columns(name)
        if absent := [column for column in columns if column not in known]:
            raise InconsistentInputError(f"{path}: has no column {some_of(absent)}; run again")
        encoded = [c for c in columns if dictionaries and self._types.get(c) == pa.string() and c != "ID"]
        if only is not None and block_rows == BLOCK_ROWS and self.format == "parquet" and self._has_blocks(path):
            return self._read_row_groups(path, list(columns), encoded, sorted(set(only)))
        blocks = recut(self._read_pieces(path, list(columns), encoded), block_rows)
        return self._check_rows(path, blocks, only)

    def take(self, name: str, rows: Ints) -> pa.Table:
        """Read rows of a table, counted from 0, in the order given; only blocks that have some of them are read."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        numbers = np.unique(ascending // BLOCK_ROWS)
        names, parts = self.columns(name), []
        for number, block in zip(numbers.tolist(), self.blocks(name, names, only=numbers.tolist()), strict=True):
            here = ascending[ascending // BLOCK_ROWS == number] - number * BLOCK_ROWS
            parts.append(block.take(pa.array(here)))
        if not parts:
            return next(iter(self.blocks(name, names))).slice(0, 0)
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return pa.concat_tables(parts).take(pa.array(back))

    def _check_rows(self, path: Path, blocks: Iterator[pa.Table], only: Collection[int] | None) -> Iterator[pa.Table]:
        """Yield the blocks asked for; raise MalformedInputError at the end if there were too many rows or too few."""
        n_rows = 0
        for number, block in enumerate(blocks):
            n_rows += len(block)
            if only is None or number in only:
                yield block
        if n_rows != self.n_snps:
            fact = f"{counted(n_rows, 'row')}, but the run has tested {counted(self.n_snps, 'SNP')}"
            raise MalformedInputError(f"{path}: {fact}; copy it again, or run again")

    def _has_blocks(self, path: Path) -> bool:
        """Tell whether each row group of a Parquet file is one block, as in all files that a run writes."""
        from pyarrow import parquet

        with translated_reading(path):
            metadata = parquet.read_metadata(path)
            sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        whole, rest = divmod(self.n_snps, BLOCK_ROWS)
        n_groups = whole + (rest > 0)  # compared first: a record may claim so many SNPs that the list takes all memory
        return len(sizes) == n_groups and sizes == [BLOCK_ROWS] * whole + [rest] * (rest > 0)

    def _read_row_groups(
        self, path: Path, columns: list[str], encoded: list[str], only: Iterable[int] | None
    ) -> Iterator[pa.Table]:
        """Stream the row groups of a Parquet file, or some of them; `encoded` columns become dictionaries."""
        from pyarrow import parquet

        with translated_reading(path), parquet.ParquetFile(path, read_dictionary=encoded) as stored:
            for group in range(stored.num_row_groups) if only is None else only:
                table = stored.read_row_group(group, columns, use_threads=False)
                yield table.select(columns).combine_chunks()

    def _read_pieces(self, path: Path, columns: list[str], encoded: list[str]) -> Iterator[pa.Table]:
        """Stream a table of any format, in pieces of the size in which it is stored or parsed."""
        if self.format == "parquet":
            yield from self._read_row_groups(path, columns, encoded, None)
            return
        with translated_reading(path):
            types = {c: self._types.get(c, pa.float64()) for c in columns}
            types |= {c: pa.dictionary(pa.int32(), pa.string()) for c in encoded}
            with _open_text(path, self.format) as stream:
                yield from _read_text(stream, columns, types)

    def factors(self) -> LatentFactors:
        """Read the factors with which the SNPs were tested; see `read_factors` for errors."""
        path = self.path("factors")
        assert path is not None
        return read_factors(path)

    def design(self) -> tuple[tuple[str, ...], Floats]:
        """Return the variables and their values (n_samples, d), in the order of ``factors().sample_ids``.

        Raises
        ------
        ReadError
            If the file of the factors cannot be read.
        MalformedInputError
            If it is damaged, or has no variables.
        """
        names, X = self._stored_variables("variables", "X")
        return tuple(str(name) for name in names), X.astype(np.float64)

    def nuisance(self) -> Floats:
        """Return the values of the nuisance variables (n_samples, D - d) beside `design`; raises the same errors."""
        return self._stored_variables("nuisance")[0].astype(np.float64)

    def coordinates(self) -> dict[str, Floats]:
        """Return the coordinates of the samples by name, NaN where missing; empty if the run was given none.

        They are in the order of ``factors().sample_ids``. Raises the errors of `design`.
        """
        if self.record.parameters.get("coords") is None:
            return {}
        names, values = self._stored_variables("coordinate_names", "coordinates")
        return {str(name): column.astype(np.float64) for name, column in zip(names, values.T, strict=True)}

    def _stored_variables(self, *names: str) -> list[NDArray[Any]]:
        """Return arrays of the factors file that belong to the variables."""
        path = self.path("factors")
        assert path is not None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return [stored[name] for name in names]
        except OSError as error:
            raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check path and disk") from error
        except Exception as error:
            # A damaged archive may raise any exception.
            raise MalformedInputError(f"{path}: is not a factors file ({error}); run again") from error

    def small_table(self, name: str) -> pa.Table:
        """Read the whole table "scree", "sweep" or "sweep-histograms".

        Raises
        ------
        UsageError
            If `name` is none of these.
        InconsistentInputError
            If the run has not written the table.
        MalformedInputError, ReadError
            If the table is damaged or empty; if it cannot be read.
        """
        if name not in _ORIGINS:
            raise UsageError(f"{name!r} is none of {', '.join(_ORIGINS)}")
        path = self.path(name)
        if path is None:
            raise InconsistentInputError(f"{self.prefix}: has no {name} table; it comes with {_ORIGINS[name]}")
        types = _SMALL_TYPES | (_HISTOGRAM_TYPES if name == "sweep-histograms" else {})
        with translated_reading(path):
            columns = _read_names(path, "tsv")
            with _open_text(path, "tsv") as stream:
                blocks = list(
                    _read_text(stream, columns, {column: types.get(column, pa.float64()) for column in columns})
                )
        if not blocks:
            raise MalformedInputError(f"{path}: has no rows; copy it again, or run again")
        return pa.concat_tables(blocks)


class WrittenResult(Protocol):
    """A result with the paths of its files by name, such as `lfmm2.results.association_result.AssociationResult`.

    One that is in memory has no paths, and a method `written` that writes its files and returns theirs.
    """

    paths: dict[str, Path]


AnyRun = AnyPath | StoredRun | WrittenResult


def open_run(run: AnyRun) -> StoredRun:
    """Open the files of a run, which is given as a `StoredRun`, by the name of any file, or as a result with files."""
    if isinstance(run, StoredRun):
        return run
    if isinstance(run, str | os.PathLike):
        return StoredRun(run)
    paths = getattr(run, "paths", None)
    if not isinstance(paths, dict):
        raise UsageError(f"results are given as {type(run).__name__}; give the --out of a run")
    if "record" not in paths and (written := getattr(run, "written", None)) is not None:
        paths = written()
    if "record" not in paths:
        raise UsageError("this result was not written to files; give out= to the run")
    return StoredRun(paths["record"])


def _open_text(path: Path, form: str) -> Any:
    """Open a text table in one of `TEXT_FORMATS`, to be read without its compression."""
    return pa.input_stream(os.fspath(path), compression=TEXT_FORMATS[form])


def _read_names(path: Path, form: str) -> tuple[str, ...]:
    """Read the names of the columns of a text table."""
    with _open_text(path, form) as stream, csv.open_csv(stream, **text_options((), {})) as reader:
        return tuple(column.removeprefix("#") for column in reader.schema.names)


def _read_text(stream: Any, columns: Sequence[str], types: dict[str, pa.DataType]) -> Iterator[pa.Table]:
    """Stream some columns of a text table by blocks."""
    reading = csv.ReadOptions(block_size=_TEXT_BYTES, use_threads=False)
    with csv.open_csv(stream, reading, **text_options(columns, types)) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns(list(columns))
