"""A matrix file of any format, opened as genotypes of a run: numbers of features, such as methylation or expression.

The numbers are brought once into a temporary file, in rows of one feature, from which every pass reads blocks. So no
format is ever in memory as a whole, and samples may be rows or columns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lfmm2._words import counted, decimal_bytes, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files import (
    FileStamp,
    Samples,
    check_free_space,
    first_two_columns,
    joined_ids,
    note_input_memory,
    open_regular,
    repeated,
)
from lfmm2.formats.feature_table import PlacesFound, read_places
from lfmm2.formats.matrix_arrays import HDF5, H5adMatrix, NpyMatrix
from lfmm2.formats.matrix_axes import COLUMNS, ROWS, find_side
from lfmm2.formats.matrix_columns import FEATHER, PARQUET, ColumnMatrix
from lfmm2.formats.matrix_names import MatrixReader, NewRows
from lfmm2.formats.matrix_text import TextMatrix
from lfmm2.formats.npy_file import MAGIC
from lfmm2.genotypes import NumberFile, NumberRows, parse_missing_calls

# Bytes that a name takes, as text of Python and in the table of variants.
_NAME_BYTES = 140
# First bytes of other files, with what to do.
_OTHERS = {
    b"PK\x03\x04": "is a zip archive, as .npz and .xlsx are; save the matrix as .npy, Parquet or CSV",
    b"FEA1": "is a Feather file of version 1; write it in version 2, or save it as CSV",
    b"\x6c\x1b\x01": "is a .bed of PLINK; give it with --bed",
    b"RDX": "is a file of R (.RData, .rds); save the matrix with write.csv or arrow::write_parquet",
    b"##fileformat=VCF": "is a VCF; give it with --vcf",
}


@dataclass(frozen=True)
class MatrixOptions:
    """How a matrix file is read.

    Attributes
    ----------
    samples_are : {"rows", "columns"}, optional
        Side of the samples; told by the names by default.
    features : path, optional
        Table with the places of the features.
    sample_ids : path, optional
        List of the samples, in the order of a matrix without names.
    layer : str, optional
        Layer of an .h5ad; X by default.
    ploidy, missing_genotype : optional
        As in `lfmm2.run`.
    decimal : {".", ","}
    """

    samples_are: str | None = None
    features: Any = None
    sample_ids: Any = None
    layer: str | None = None
    ploidy: int | None = None
    missing_genotype: Any = None
    decimal: str = "."


@dataclass(frozen=True)
class MatrixFile:
    """A matrix file that is open as genotypes.

    Attributes
    ----------
    source : NumberFile
    paths : tuple of Path
        Files that were read beside the matrix.
    notes : tuple of str
        What is to be known.
    """

    source: NumberFile
    paths: tuple[Path, ...]
    notes: tuple[str, ...]

    def summary(self) -> dict[str, str]:
        """Return names and values of the lines that the command prints."""
        return {"matrix": self.notes[0]} | {f"note {k}": note for k, note in enumerate(self.notes[1:], 1)}


def open_matrix(path: Any, folder: Path, tables: Sequence[Any], options: MatrixOptions) -> MatrixFile:
    """Read a matrix file into a temporary file.

    Parameters
    ----------
    path : path
        Text (also compressed with gzip, bzip2 or zstd), Parquet, Feather, .npy or .h5ad, told by its first bytes.
    folder : Path
        Folder of the temporary file.
    tables : sequence of path
        Tables with a row for each sample, by whose IDs the side of the samples is recognised.
    options : MatrixOptions

    Returns
    -------
    MatrixFile
        Whose source is to be closed by the caller.

    Raises
    ------
    InconsistentInputError, MalformedInputError, ReadError, UsageError, WriteError
        If the file cannot be read as a matrix, or not in one way only.
    """
    path = Path(path)
    missing = parse_missing_calls(options.missing_genotype)
    stamps = {"matrix": FileStamp(path)}
    for name in ("features", "sample_ids"):
        if (other := getattr(options, name)) is not None:
            open_regular(other).close()
            stamps[name.replace("_", " ")] = FileStamp(other)
    new_rows = partial(NumberRows, folder, missing or ())
    with closing(_open_reader(path, new_rows, options)) as reader:
        _check_reader(reader)
        side = _find_side(reader, tables, options)
        samples, has_ids, features = _split_names(reader, side, options)
        n_samples, n_features = _shape(reader, side)
        names, found = _name_features(reader, side, options, features, n_features)
        check_free_space(folder, 8 * n_samples * n_features)
        rows = reader.store(side == ROWS, new_rows)
    try:
        for stamp in stamps.values():
            stamp.check()
        facts = {"samples_are": side} | ({} if options.layer is None else {"layer": options.layer})
        source = NumberFile(
            path, rows, samples, has_ids=has_ids, names=None if names is None else pa.array(names, pa.string()),
            stamps=stamps, facts=facts, places=None if found is None else found.places, ploidy=options.ploidy,
            asks=missing is None,
        )  # fmt: skip
    except BaseException:
        rows.close()
        raise
    how = "as their names tell" if options.sample_ids is None else "as their number tells"
    how = how if options.samples_are is None else "as stated"
    first = (
        f"{path}, {counted(n_features, 'feature')} of {counted(n_samples, 'sample')}; samples are {side}, {how}; "
        f"{decimal_bytes(n_samples * n_features * rows.dtype.itemsize)} of {rows.dtype} for the time of the run"
    )
    notes = () if found is None else found.notes
    return MatrixFile(source, tuple(stamp.path for stamp in list(stamps.values())[1:]), (first, *notes))


def _open_reader(path: Path, new_rows: NewRows, options: MatrixOptions) -> Any:
    """Open a matrix file by its first bytes."""
    with open_regular(path) as file:
        head = os.pread(file.fileno(), 16, 0)
    for magic, fault in _OTHERS.items():
        if head.startswith(magic):
            raise MalformedInputError(f"{path}: {fault}")
    if options.layer is not None and not head.startswith(HDF5):
        raise UsageError(f"--layer names a layer of an .h5ad, and {path} is none; leave it out")
    if head.startswith((PARQUET, FEATHER)):
        return ColumnMatrix(path)
    if head.startswith(MAGIC):
        return NpyMatrix(path)
    if head.startswith(HDF5):
        return H5adMatrix(path, options.layer)
    return TextMatrix(path, new_rows, options.decimal)


def _check_reader(reader: MatrixReader) -> None:
    """Raise an error about row numbers that are none, and take note of the memory of names."""
    n_names = len(reader.row_names or ()) + len(reader.column_names or ())
    note_input_memory(reader.path, _NAME_BYTES * n_names)
    if (cells := reader.row_numbers) is None:
        return
    numbers = [int(cell) for cell in cells if cell.isdecimal()]
    if len(numbers) != len(cells) or numbers != list(range(numbers[0], numbers[0] + len(cells))):
        fact = f"{reader.path}: the first column has no name, and does not count the rows ({some_of(cells)})"
        raise InconsistentInputError(f"{fact}; leave it out, or put the names of the rows there")


def _find_side(reader: MatrixReader, tables: Sequence[Any], options: MatrixOptions) -> str:
    """Return the side of the samples; that of a matrix without names may follow from the list of samples."""
    if reader.row_names is None and options.samples_are is None and options.sample_ids is not None:
        n_listed = len(_listed(options.sample_ids)[0])
        fits = [side for side, n in ((ROWS, reader.n_rows), (COLUMNS, reader.n_columns)) if n == n_listed]
        if len(fits) == 1:
            return fits[0]
    return find_side(reader, tables, options.samples_are, options.decimal)


def _shape(reader: MatrixReader, side: str) -> tuple[int, int]:
    """Return the numbers of samples and features."""
    return (reader.n_rows, reader.n_columns) if side == ROWS else (reader.n_columns, reader.n_rows)


def _listed(path: Any) -> tuple[list[str], list[str]]:
    """Return FIDs and IIDs of a list of samples, equal where it has one column; a header of PLINK is no sample."""
    first, second = first_two_columns(path, "a list of samples has an ID per line, or FID and IID")
    if first and first[0].lstrip("#").upper() in ("FID", "IID", "ID"):
        first, second = first[1:], second[1:]
    return first, second or first


def _split_names(reader: MatrixReader, side: str, options: MatrixOptions) -> tuple[Samples, bool, list[str] | None]:
    """Return the samples, False if they are only numbered, and the names of the features; None if there are none."""
    n_samples, _ = _shape(reader, side)
    if reader.row_names is None:
        if options.sample_ids is None:
            numbers = tuple(str(k + 1) for k in range(n_samples))
            return Samples(numbers, numbers), False, None
        fids, iids = _listed(options.sample_ids)
        if len(iids) != n_samples:
            fact = f"{options.sample_ids}: {len(iids)} sample IDs, but {reader.path} has {n_samples} samples as {side}"
            raise InconsistentInputError(f"{fact}; list them all, in the order of the matrix")
        return _checked_samples(options.sample_ids, fids, iids), True, None
    if options.sample_ids is not None:
        fact = f"--samples {options.sample_ids} names samples, but {reader.path} has names of its own"
        raise UsageError(f"{fact}; leave it out")
    assert reader.column_names is not None
    iids, features = reader.row_names, reader.column_names
    if side == COLUMNS:
        iids, features = features, iids
    fids = reader.row_fids if side == ROWS and reader.row_fids is not None else iids
    if side == COLUMNS and reader.row_fids is not None:
        fact = f"{reader.path}: rows have FID and IID, as samples have, but the samples are columns"
        raise InconsistentInputError(f"{fact}; leave the column FID out")
    return _checked_samples(reader.path, fids, iids), True, _checked_names(reader.path, features, "feature", ".")


def _checked_samples(path: Any, fids: Sequence[str], iids: Sequence[str]) -> Samples:
    """Return samples; raise an error if an ID is empty, repeated or cannot stand in a table."""
    iids = _checked_names(path, iids, "sample")
    keys = iids if fids is iids or list(fids) == list(iids) else joined_ids(fids, iids)
    if twins := repeated(keys):
        raise InconsistentInputError(f"{path}: repeated sample IDs ({some_of(twins)}); keep one of each")
    return Samples(tuple(map(str.strip, fids)), tuple(iids))


def _checked_names(path: Any, names: Sequence[str], what: str, unnamed: str = "") -> list[str]:
    """Return names without blanks around them; an empty one becomes `unnamed`, without which it is an error."""
    stripped = [name.strip() for name in names]
    for number, name in enumerate(stripped, 1):
        if not name and not unnamed:
            raise MalformedInputError(f"{path}: {what} {with_spaces(number)} has no name; add it")
        if "\t" in name or len(name.splitlines()) > 1:
            fact = f"{path}: the name of {what} {with_spaces(number)} has a tab or a line break"
            raise MalformedInputError(f"{fact}; rename it")
    return [name or unnamed for name in stripped]


def _name_features(
    reader: MatrixReader, side: str, options: MatrixOptions, names: list[str] | None, n_features: int
) -> tuple[list[str] | None, PlacesFound | None]:
    """Return the names of the features, and their places, if there is a table of them."""
    if options.features is None:
        return names, None
    if names is not None and (twins := repeated([name for name in names if name != "."])):
        fact = f"{reader.path}: repeated names of features ({some_of(twins)})"
        raise InconsistentInputError(f"{fact}, so that --features cannot tell which is where; rename them")
    found = read_places(Path(options.features), names, n_features)
    return found.names, found
