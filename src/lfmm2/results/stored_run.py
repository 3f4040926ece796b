"""Results of a finished run, read from its files block by block: nothing here grows with the number of SNPs."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import csv

from lfmm2._typing import AnyPath, Floats
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.files import JOINT_SCHEMA, RESULT_SCHEMA, recut
from lfmm2.model import LatentFactors
from lfmm2.results.factors_file import read_factors
from lfmm2.results.stored_record import find_record, open_record

# rows of a block; also of a Parquet row group, so a block is read at once and nothing twice
BLOCK_ROWS = 131_072
_TEXT_BYTES = 1 << 24
_FORMATS = ("parquet", "tsv", "tsv.gz", "tsv.zst")
#: Endings of what every run writes beside its tables.
FIXED_ENDINGS = {"factors": ".factors.npz", "log": ".log", "record": ".json"}
#: Endings of what some runs write besides.
SMALL_ENDINGS = {
    "scree": ".scree.tsv", "sweep": ".sweep.tsv", "sweep-histograms": ".sweep-histograms.tsv", "prune": ".prune.in",
}  # fmt: skip
# what a run without these files needs to have them
_REMEDIES = {"scree": "a run that estimates its factors", "sweep": "--sweep", "sweep-histograms": "--sweep"}
_TYPES = {field.name: field.type for schema in (RESULT_SCHEMA, JOINT_SCHEMA) for field in schema}
_SMALL_TYPES = dict.fromkeys(("AXIS", "K", "N_FDR05", "N_FDR10", "COUNT"), pa.int64()) | {"VARIABLE": pa.string()}
_HISTOGRAM_TYPES = {"P": pa.string()}  # which p: raw or calibrated


class StoredRun:
    """Results of a finished run.

    The record is checked against its own SHA-256, its files for presence and size; `lfmm2.verify` reads them all.

    Parameters
    ----------
    prefix : path
        The --out of the run, its ``.json`` or any other of its files.

    Attributes
    ----------
    prefix : Path
    record : RunRecord
        The ``.json``.
    variables, tables : tuple of str
        The variables; and these and "joint", where there is a joint test.
    n_snps : int
        Rows of each table.
    n_factors : int
        K of the tables.
    format : str
        Of the tables: "parquet", "tsv", "tsv.gz" or "tsv.zst".

    Warns
    -----
    InputWarning
        If the files that are read are those of another prefix, because the record was copied or renamed.

    Raises
    ------
    ReadError
        If there is no record, as where the run is not complete, or it cannot be read.
    MalformedInputError
        If the record is not as it was written, or a file is absent or of another size.

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

    def __init__(self, prefix: AnyPath) -> None:
        path = find_record(prefix)
        self.record = open_record(path)
        self.prefix = path.with_name(path.name.removesuffix(".json"))
        self.variables: tuple[str, ...] = tuple(self.record.variables)
        self.n_snps = self.record.tested.n_snps_used
        self.n_factors = self.record.factors.K
        self._sizes = {name: stamp.bytes for name, stamp in self.record.files.items()}
        self._base = self._common_beginning(path)
        self.format = self._table_format(path)
        self._check_files()
        if self._base != self.prefix.name:
            own = self.prefix.with_name(self._base + FIXED_ENDINGS["record"])
            remedy = "keep copies under their own names, in another folder" if own.exists() else f"rename it to {own}"
            fact = f"{path} lists the files of {own.with_name(self._base)}, which are read"
            warnings.warn(f"{fact}; {remedy}", InputWarning, stacklevel=3)
        joint = self._file(f".joint.{self.format}") is not None and len(self.variables) > 1
        self.tables = (*self.variables, *(["joint"] if joint else []))

    def __repr__(self) -> str:
        names = ", ".join(self.variables)
        return f"<StoredRun {self.prefix}: {counted(self.n_snps, 'SNP')}, K={self.n_factors}, {names}>"

    def _common_beginning(self, path: Path) -> str:
        """What the names of all files begin with: that of the run, also where the record was renamed since."""
        ending = FIXED_ENDINGS["factors"]
        found = [name for name in self._sizes if name.endswith(ending)]
        if len(found) != 1:
            raise MalformedInputError(f"{path}: lists no factors file; give the results of a run of lfmm2")
        return found[0].removesuffix(ending)

    def _table_format(self, path: Path) -> str:
        for form in _FORMATS:
            if all(f"{self._base}.{name}.{form}" in self._sizes for name in self.variables):
                return form
        raise MalformedInputError(f"{path}: lists no tables of {some_of(self.variables)}; run again")

    def _check_files(self) -> None:
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
        name = self._base + ending
        return self.prefix.with_name(name) if name in self._sizes else None

    def path(self, name: str) -> Path | None:
        """The file of a table, or "factors", "log", "record", "scree", "sweep", "sweep-histograms", "prune".

        None where the run has not written it.
        """
        if name in self.tables or name == "loadings":
            return self._file(f".{name}.{self.format}")
        if name == "record":
            return self.prefix.with_name(self.prefix.name + FIXED_ENDINGS["record"])
        endings = FIXED_ENDINGS | SMALL_ENDINGS
        return self._file(endings[name]) if name in endings else None

    def refuse_as_outputs(self, paths: Iterable[Path]) -> None:
        """Raise UsageError if one of these is a file of the run, such as the table of a variable of this name."""
        own = {os.path.realpath(self.prefix.with_name(name)) for name in self._sizes}
        own.add(os.path.realpath(f"{self.prefix}.json"))
        for path in paths:
            if os.path.realpath(path) in own:
                raise UsageError(f"{path} is a file of the run; choose another --out")

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a table."""
        path = self._table_path(name)
        with _translated(path):
            if self.format == "parquet":
                from pyarrow import parquet

                return tuple(parquet.read_schema(path).names)
            with _open_text(path, self.format) as stream, csv.open_csv(stream, parse_options=_layout()) as reader:
                return tuple(column.removeprefix("#") for column in reader.schema.names)

    def _table_path(self, name: str) -> Path:
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
        """Some columns of a table, in genome order and blocks of `block_rows`, the last one shorter.

        Parameters
        ----------
        name : str
            One of `tables`, or "loadings".
        columns : sequence of str
        dictionaries : bool
            Give text other than IDs (CHROM, A1, OMITTED, STATUS) as dictionary arrays.
        block_rows : int
        only : collection of int, optional
            Numbers of the blocks to give, from 0; of Parquet the others are not even read.

        Raises
        ------
        UsageError
            If there is no such table.
        InconsistentInputError
            If it has no such column, as where an older version has written it.
        MalformedInputError, ReadError
            If it is damaged, has another number of rows than the record says, or cannot be read.

        Notes
        -----
        Every column of a block is one chunk; missing numbers are null. Several tables of a run have the same blocks.
        """
        path = self._table_path(name)
        known = self.columns(name)
        if absent := [column for column in columns if column not in known]:
            version = self.record.software.get("lfmm2", "unknown")
            fact = f"{path}: has no column {some_of(absent)}, lfmm2 {version} has written it"
            raise InconsistentInputError(f"{fact}; run again with this version")
        encoded = [c for c in columns if dictionaries and _TYPES.get(c) == pa.string() and c != "ID"]
        if only is not None and block_rows == BLOCK_ROWS and self.format == "parquet" and self._grouped(path):
            return self._row_groups(path, list(columns), encoded, sorted(set(only)))
        blocks = recut(self._stored_blocks(path, list(columns), encoded), block_rows)
        return self._counted(path, blocks, only)

    def _counted(self, path: Path, blocks: Iterator[pa.Table], only: Collection[int] | None) -> Iterator[pa.Table]:
        n_rows = 0
        for number, block in enumerate(blocks):
            n_rows += len(block)
            if only is None or number in only:
                yield block
        if n_rows != self.n_snps:
            fact = f"{counted(n_rows, 'row')}, but the run has tested {counted(self.n_snps, 'SNP')}"
            raise MalformedInputError(f"{path}: {fact}; copy it again, or run again")

    def _grouped(self, path: Path) -> bool:
        """Whether row groups are blocks, as in all files written here."""
        from pyarrow import parquet

        with _translated(path):
            metadata = parquet.read_metadata(path)
            sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        whole, rest = divmod(self.n_snps, BLOCK_ROWS)
        n_groups = whole + (rest > 0)  # a record may claim any number
        return len(sizes) == n_groups and sizes == [BLOCK_ROWS] * whole + [rest] * (rest > 0)

    def _row_groups(
        self, path: Path, columns: list[str], encoded: list[str], only: Iterable[int] | None
    ) -> Iterator[pa.Table]:
        from pyarrow import parquet

        with _translated(path), parquet.ParquetFile(path, read_dictionary=encoded) as stored:
            for group in range(stored.num_row_groups) if only is None else only:
                table = stored.read_row_group(group, columns, use_threads=False)
                yield table.select(columns).combine_chunks()

    def _stored_blocks(self, path: Path, columns: list[str], encoded: list[str]) -> Iterator[pa.Table]:
        if self.format == "parquet":
            yield from self._row_groups(path, columns, encoded, None)
            return
        with _translated(path):
            types = {c: _TYPES.get(c, pa.float64()) for c in columns}
            types |= {c: pa.dictionary(pa.int32(), pa.string()) for c in encoded}
            with _open_text(path, self.format) as stream:
                yield from _text_blocks(stream, columns, types)

    def factors(self) -> LatentFactors:
        """The factors that the tests were made with."""
        path = self.path("factors")
        assert path is not None
        return read_factors(path)

    def design(self) -> tuple[tuple[str, ...], Floats]:
        """Variables and their values (n_samples, d), in the order of ``factors().sample_ids``.

        Raises
        ------
        InconsistentInputError
            If an older version has written the file, without them.
        """
        path = self.path("factors")
        assert path is not None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if not {"X", "variables"} <= set(stored.files):
                    fact = f"{path}: holds no variables, an older version of lfmm2 has written it"
                    raise InconsistentInputError(f"{fact}; run again with this version")
                return tuple(str(name) for name in stored["variables"]), np.asarray(stored["X"], np.float64)
        except LfmmError:
            raise
        except OSError as error:
            raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check path and disk") from error
        except Exception as error:
            # a damaged archive may raise anything
            raise MalformedInputError(f"{path}: is not a factors file ({error}); run again") from error

    def small_table(self, name: str) -> pa.Table:
        """The table "scree", "sweep" or "sweep-histograms" as a whole.

        Raises
        ------
        InconsistentInputError
            If the run has not written it.
        """
        if name not in _REMEDIES:
            raise UsageError(f"{name!r} is none of {', '.join(_REMEDIES)}")
        path = self.path(name)
        if path is None:
            raise InconsistentInputError(f"{self.prefix}: has no {name} table; it comes with {_REMEDIES[name]}")
        types = _SMALL_TYPES | (_HISTOGRAM_TYPES if name == "sweep-histograms" else {})
        with _translated(path):
            with _open_text(path, "tsv") as stream, csv.open_csv(stream, parse_options=_layout()) as reader:
                columns = reader.schema.names
            with _open_text(path, "tsv") as stream:
                blocks = list(
                    _text_blocks(stream, columns, {column: types.get(column, pa.float64()) for column in columns})
                )
        if not blocks:
            raise MalformedInputError(f"{path}: has no rows; copy it again, or run again")
        return pa.concat_tables(blocks)


class WrittenResult(Protocol):
    """A result that knows its files by name, such as `lfmm2.results.association_result.AssociationResult`."""

    paths: dict[str, Path]


AnyRun = AnyPath | StoredRun | WrittenResult


def open_run(run: AnyRun) -> StoredRun:
    """The files of a run, given as such, by the name of any of them, or as a result that was written to them."""
    if isinstance(run, StoredRun):
        return run
    if isinstance(run, str | os.PathLike):
        return StoredRun(run)
    paths = getattr(run, "paths", None)
    if not isinstance(paths, dict):
        raise UsageError(f"results are given as {type(run).__name__}; give the --out of a run")
    if "record" not in paths:
        raise UsageError("this result was not written to files; give out= to the run")
    return StoredRun(paths["record"])


def _layout() -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t", quote_char=False)


def _open_text(path: Path, form: str) -> Any:
    compression = {"tsv": None, "tsv.gz": "gzip", "tsv.zst": "zstd"}[form]
    return pa.input_stream(os.fspath(path), compression=compression)


def _text_blocks(stream: Any, columns: Sequence[str], types: dict[str, pa.DataType]) -> Iterator[pa.Table]:
    """Blocks of text; NA means missing in numbers, and in text is itself."""
    # only the column that the header may begin with is marked
    first = "#CHROM"
    options = csv.ConvertOptions(
        include_columns=[first if column == "CHROM" else column for column in columns],
        column_types={first if column == "CHROM" else column: kind for column, kind in types.items()},
        null_values=["NA"],
        strings_can_be_null=False,
    )
    reading = csv.ReadOptions(block_size=_TEXT_BYTES, use_threads=False)
    with csv.open_csv(stream, reading, _layout(), options) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns(list(columns))


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Errors of reading as those of lfmm2."""
    try:
        yield
    except LfmmError:
        raise
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        # pyarrow's errors of decompression are OSErrors too, without a number
        if isinstance(error, OSError) and error.errno is not None:
            fact = f"{path}: cannot be read, {error.strerror or error}"
            raise ReadError(f"{fact}; check path and disk") from error
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); copy it again, or run again") from error
