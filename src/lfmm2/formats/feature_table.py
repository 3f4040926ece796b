"""Chromosomes and positions of the features of a matrix, from a table such as the manifest of an array of Illumina.

The table is read in pieces, of which only the columns in use are kept. A manifest of Illumina has lines of its own
before the header, up to ``[Assay]``, and lines about control probes at its end, from ``[Controls]`` on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._words import counted, shortened, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError
from lfmm2.files import (
    find_delimiter,
    id_texts,
    note_input_memory,
    open_text,
    read_arrow_file,
    repeated,
    whole_position,
)
from lfmm2.formats.matrix_names import is_called_name, plain_name
from lfmm2.genotypes import FeaturePlaces

# Names of columns, without case, blanks and marks between words.
_CHROMOSOMES = {"chrom", "chr", "chromosome", "seqnames", "seqname", "cpgchrm"}
_POSITIONS = {"pos", "position", "bp", "mapinfo", "basepair", "bppos", "ps"}
# Rows that are read at once.
_PIECE_ROWS = 1 << 16
# Cells that mean that a feature has no chromosome or position.
_NONE = {"", ".", "0", "na", "n/a", "nan", "none", "null", "<na>"}
# Bytes that a row of a piece takes while it is read, as text of Python.
_ROW_BYTES = 400


@dataclass(frozen=True)
class PlacesFound:
    """What a table tells of the features.

    Attributes
    ----------
    names : list of str
        Names of the features, from the table where the matrix has none.
    places : FeaturePlaces
    notes : tuple of str
        What is to be known: the columns in use, features without a place.
    """

    names: list[str]
    places: FeaturePlaces
    notes: tuple[str, ...]


def read_places(path: Path, names: list[str] | None, n_features: int) -> PlacesFound:
    """Read the places of the features, which are found by their names, or, where they have none, by their order.

    Raises
    ------
    InconsistentInputError
        If no feature is in the table, several rows of one tell different places, a column cannot be told, or, without
        names, the table has another number of rows.
    MalformedInputError
        If a position is no whole number.
    """
    with _open_rows(path) as (header, rows):
        ids = [j for j, name in enumerate(header) if is_called_name(name)] or [0]
        chromosome, position = (_one_column(path, header, *rule) for rule in (
            ("chromosome", "CHROM", _CHROMOSOMES), ("position", "POS", _POSITIONS)
        ))  # fmt: skip
        pieces = _pieces(path, rows, [*ids, chromosome, position])
        if names is None:
            return _in_order(path, header, pieces, ids[0], n_features)
        return _by_name(path, header, pieces, ids, names)


def _one_column(path: Path, header: Sequence[str], what: str, name: str, known: set[str]) -> int:
    """Return the only column that is called as chromosomes or positions are."""
    found = [j for j, column in enumerate(header) if plain_name(column) in known]
    if not found:
        fact = f"{path}: no column is called as a {what} ({some_of(header)})"
        raise InconsistentInputError(f"{fact}; call it {name}")
    if len(found) > 1:
        fact = f"{path}: several columns may have the {what} ({some_of([header[j] for j in found])})"
        raise InconsistentInputError(f"{fact}; keep one of them, or call the others otherwise")
    return found[0]


@contextmanager
def _open_rows(path: Path) -> Iterator[tuple[list[str], Iterator[Sequence[str | None]]]]:
    """Open a table: the names of its columns, and its rows as texts."""
    if (stored := read_arrow_file(path)) is not None:
        yield list(stored.table.column_names), _arrow_rows(stored.table)
        return
    with open_text(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            first = text.readline(1 << 20)
            if first.startswith("Illumina"):
                for line in text:
                    if line.startswith("[Assay]"):
                        first = text.readline(1 << 20)
                        break
            second = text.readline(1 << 20)
            delimiter = find_delimiter(first.strip(), second.strip(), path, ".")
            if delimiter == " ":
                raise MalformedInputError(f"{path}: columns are parted by blanks; write a table with tabs or commas")
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
            yield header, csv.reader(_lines(second, text), delimiter=delimiter)
        except UnicodeDecodeError:
            raise MalformedInputError(f"{path}: is not UTF-8; save the file as UTF-8") from None
        except csv.Error as error:
            raise MalformedInputError(f"{path}: {error}; correct it") from None
        except OSError as error:
            if isinstance(error, ReadError):
                raise
            raise ReadError(f"{path}: {error.strerror}; check the disk") from error


def _lines(second: str, text: io.TextIOWrapper) -> Iterator[str]:
    """Give the lines after the header, up to those about control probes."""
    if second:
        yield second
    for line in text:
        if line.startswith("[Controls]"):
            return
        yield line


def _arrow_rows(table: pa.Table) -> Iterator[Sequence[str | None]]:
    """Give the rows of a table as texts."""
    for batch in table.to_batches(_PIECE_ROWS):
        columns = []
        for column in batch.columns:
            texts = column.cast(pa.string()) if pa.types.is_floating(column.type) else id_texts(column)
            columns.append([None] * len(column) if texts is None else texts.to_pylist())
        yield from zip(*columns, strict=True)


def _pieces(
    path: Path, rows: Iterator[Sequence[str | None]], columns: Sequence[int]
) -> Iterator[tuple[int, list[list[str]]]]:
    """Give the number of the first row, counted from 1, and the texts of some columns, in pieces of rows."""
    first = 1
    while piece := list(islice(rows, _PIECE_ROWS)):
        note_input_memory(path, _ROW_BYTES * len(piece) * len(columns))
        piece = [row for row in piece if row]
        short = next((k for k, row in enumerate(piece) if len(row) <= max(columns)), None)
        if short is not None:
            raise MalformedInputError(f"{path}, row {first + short}: has too few cells; correct it")
        yield first, [[(row[j] or "").strip() for row in piece] for j in columns]
        first += len(piece)


class _Places:
    """Places of the features, gathered row by row."""

    def __init__(self, path: Path, n_features: int) -> None:
        self._path = path
        self._codes: dict[str, int] = {".": 0}
        self.numbers = np.zeros(n_features, np.int32)
        self.positions = np.zeros(n_features, np.int64)
        self.is_there = np.zeros(n_features, np.bool_)

    def put(self, feature: int, name: str, chromosome: str, position: str, row: int) -> None:
        """Put the place of a feature; raise an error if it has another one already, or the position is no number."""
        chromosome = "." if chromosome.casefold() in _NONE else chromosome
        number = 0 if position.casefold() in _NONE else whole_position(position)
        if number is None or number < 0:
            fact = f"{self._path}, row {row} ({shortened(name)}): {shortened(position)!r} is no position"
            raise MalformedInputError(f"{fact}; write a whole number of bases, or leave the cell empty")
        if chromosome == "." or number == 0:
            chromosome, number = ".", 0
        code = self._codes.setdefault(chromosome, len(self._codes))
        if self.is_there[feature] and (self.numbers[feature], self.positions[feature]) != (code, number):
            fact = f"{self._path}, row {row}: {shortened(name)} has another place in a row before"
            raise InconsistentInputError(f"{fact}; keep one row of it")
        self.is_there[feature] = True
        self.numbers[feature], self.positions[feature] = code, number

    def places(self) -> FeaturePlaces:
        """Return the places of all features."""
        chromosomes = pa.DictionaryArray.from_arrays(pa.array(self.numbers), pa.array(list(self._codes), pa.string()))
        return FeaturePlaces(chromosomes, self.positions)

    def note(self) -> str:
        """Say how many features have no place."""
        n_absent, n_nowhere = int((~self.is_there).sum()), int((self.positions == 0).sum())
        if not n_nowhere:
            return f"{self._path} has the places of all features"
        absent = f", of which {with_spaces(n_absent)} are not in the table" if n_absent else ""
        return f"{counted(n_nowhere, 'feature')} without a place in {self._path}{absent}"


def _in_order(
    path: Path, header: Sequence[str], pieces: Iterator[tuple[int, list[list[str]]]], id_column: int, n_features: int
) -> PlacesFound:
    """Return the places of features without names: row by row."""
    found, names = _Places(path, n_features), list[str]()
    for first, columns in pieces:
        ids, chromosomes, positions = columns[0], columns[-2], columns[-1]
        if first - 1 + len(ids) > n_features:
            n_rows = f"over {with_spaces(n_features)}"
            raise InconsistentInputError(f"{path}: {n_rows} rows, but the matrix has {counted(n_features, 'feature')}")
        for k, cells in enumerate(zip(ids, chromosomes, positions, strict=True)):
            found.put(first - 1 + k, *cells, first + k)
        names += ids
    if len(names) != n_features:
        fact = (
            f"{path}: {counted(len(names), 'row')}, but the matrix has {counted(n_features, 'feature')} without names"
        )
        raise InconsistentInputError(f"{fact}; list them all, in the order of the matrix")
    if twins := repeated(names):
        raise InconsistentInputError(f"{path}: repeated names of features ({some_of(twins)}); rename them")
    note = f"features are called by {shortened(header[id_column])!r} of {path}, in its order"
    return PlacesFound(names, found.places(), (note, found.note()))


def _by_name(
    path: Path, header: Sequence[str], pieces: Iterator[tuple[int, list[list[str]]]], ids: Sequence[int],
    names: list[str],
) -> PlacesFound:  # fmt: skip
    """Return the places of features that are found by their names, in the column that has most of them."""
    value_set = pa.array(names, pa.string())
    found = [_Places(path, len(names)) for _ in ids]
    faults: list[Exception | None] = [None for _ in ids]
    for first, columns in pieces:
        chromosomes, positions = columns[-2], columns[-1]
        for of_column, cells in enumerate(columns[: len(ids)]):
            if faults[of_column] is not None:
                continue
            features = pc.index_in(pa.array(cells, pa.string()), value_set=value_set)
            try:
                for k in np.flatnonzero(features.is_valid().to_numpy(zero_copy_only=False)).tolist():
                    found[of_column].put(features[k].as_py(), cells[k], chromosomes[k], positions[k], first + k)
            except (InconsistentInputError, MalformedInputError) as error:
                faults[of_column] = error
    counts = [int(of_column.is_there.sum()) for of_column in found]
    best = int(np.argmax(counts))
    if not counts[best]:
        tried = some_of([header[j] for j in ids])
        fact = f"{path}: none of {counted(len(names), 'feature')} ({some_of(names)}) is in {tried}"
        raise InconsistentInputError(f"{fact}; give the table of these features, with their names in a column ID")
    if (fault := faults[best]) is not None:
        raise fault
    note = f"places by {shortened(header[ids[best]])!r} of {path}"
    return PlacesFound(names, found[best].places(), (note, found[best].note()))
