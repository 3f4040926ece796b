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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._typing import Ints
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
_PIECE_ROWS = 1 << 15
# Cells that mean that a feature has no chromosome or position.
_NONE = {"", ".", "0", "na", "n/a", "nan", "none", "null", "<na>"}
# Bytes that a cell takes while it is read, as text of Python.
_CELL_BYTES = 120


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
        chromosome = _one_column(path, header, "chromosome", "CHROM", _CHROMOSOMES)
        position = _one_column(path, header, "position", "POS", _POSITIONS)
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


@dataclass(frozen=True)
class _Piece:
    """Some rows of the table.

    Attributes
    ----------
    first : int
        Number of the first row, counted from 1.
    ids : list of list of str
        Texts of the columns that may have the names of features.
    chromosomes, positions : list of str
    """

    first: int
    ids: list[list[str]]
    chromosomes: list[str]
    positions: list[str]


def _pieces(path: Path, rows: Iterator[Sequence[str | None]], columns: Sequence[int]) -> Iterator[_Piece]:
    """Give the rows in pieces, of which only some columns are kept: those of names, chromosomes and positions."""
    first, last = 1, max(columns)
    waiting: list[list[str]] = []
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) <= last:
            raise MalformedInputError(f"{path}, row {number}: has too few cells; correct it")
        waiting.append([(row[j] or "").strip() for j in columns])
        if len(waiting) == _PIECE_ROWS:
            note_input_memory(path, _CELL_BYTES * len(columns) * _PIECE_ROWS)
            yield _as_piece(first, waiting)
            first, waiting = first + len(waiting), []
    if waiting:
        yield _as_piece(first, waiting)


def _as_piece(first: int, rows: list[list[str]]) -> _Piece:
    """Return rows as columns."""
    *ids, chromosomes, positions = map(list, zip(*rows, strict=True))
    return _Piece(first, ids, chromosomes, positions)


class _Places:
    """Places of the features, gathered piece by piece."""

    def __init__(self, path: Path, n_features: int) -> None:
        self._path = path
        self._codes: dict[str, int] = {".": 0}
        self.numbers = np.zeros(n_features, np.int32)
        self.positions = np.zeros(n_features, np.int64)
        self.is_there = np.zeros(n_features, np.bool_)

    def put(self, features: Ints, rows: Ints, piece: _Piece, ids: Sequence[str]) -> None:
        """Put the places of features, which stand in some rows of a piece under these names.

        Raises
        ------
        InconsistentInputError
            If a feature has another place already.
        MalformedInputError
            If a position is no whole number.
        """
        chosen = rows.tolist()
        texts = [piece.chromosomes[k] for k in chosen]
        known = {text: "." if text.casefold() in _NONE else text for text in set(texts)}
        codes = {text: self._codes.setdefault(name, len(self._codes)) for text, name in sorted(known.items())}
        numbers = np.array([codes[text] for text in texts], np.int32)
        positions = np.array([self._position(piece, ids, k) for k in chosen], np.int64)
        nowhere = (numbers == 0) | (positions == 0)
        numbers[nowhere], positions[nowhere] = 0, 0
        _, firsts = np.unique(features, return_index=True)
        firsts = firsts[~self.is_there[features[firsts]]]
        self.numbers[features[firsts]], self.positions[features[firsts]] = numbers[firsts], positions[firsts]
        self.is_there[features] = True
        others = np.flatnonzero((self.numbers[features] != numbers) | (self.positions[features] != positions))
        if len(others):
            k = chosen[int(others[0])]
            fact = f"{self._path}, row {piece.first + k}: {shortened(ids[k])} has another place in a row before"
            raise InconsistentInputError(f"{fact}; keep one row of it")

    def _position(self, piece: _Piece, ids: Sequence[str], k: int) -> int:
        """Return the position in a row; 0 for none."""
        text = piece.positions[k]
        if text.isdecimal() and len(text) < 10:
            return int(text)
        number = 0 if text.casefold() in _NONE else whole_position(text)
        if number is None or number < 0:
            fact = f"{self._path}, row {piece.first + k} ({shortened(ids[k])}): {shortened(text)!r} is no position"
            raise MalformedInputError(f"{fact}; write a whole number of bases, or leave the cell empty")
        return number

    def places(self) -> FeaturePlaces:
        """Return the places of all features."""
        names = pa.array(list(self._codes), pa.string())
        return FeaturePlaces(pa.DictionaryArray.from_arrays(pa.array(self.numbers), names), self.positions)

    def note(self) -> str:
        """Say how many features have no place."""
        n_absent, n_nowhere = int((~self.is_there).sum()), int((self.positions == 0).sum())
        if not n_nowhere:
            return f"{self._path} has the places of all features"
        absent = f", of which {with_spaces(n_absent)} are not in the table" if n_absent else ""
        return f"{counted(n_nowhere, 'feature')} without a place in {self._path}{absent}"


def _in_order(
    path: Path, header: Sequence[str], pieces: Iterator[_Piece], id_column: int, n_features: int
) -> PlacesFound:
    """Return the places of features without names: row by row."""
    found, names = _Places(path, n_features), list[str]()
    for piece in pieces:
        ids, first = piece.ids[0], len(names)
        if first + len(ids) > n_features:
            n_rows = f"over {with_spaces(n_features)}"
            raise InconsistentInputError(f"{path}: {n_rows} rows, but the matrix has {counted(n_features, 'feature')}")
        rows = np.arange(len(ids))
        found.put(first + rows, rows, piece, ids)
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
    path: Path, header: Sequence[str], pieces: Iterator[_Piece], ids: Sequence[int], names: list[str]
) -> PlacesFound:
    """Return the places of features that are found by their names, in the column that has most of them."""
    value_set = pa.array(names, pa.string())
    found = [_Places(path, len(names)) for _ in ids]
    faults: list[Exception | None] = [None for _ in ids]
    counts = [0 for _ in ids]
    for piece in pieces:
        for j, cells in enumerate(piece.ids):
            features = pc.index_in(pa.array(cells, pa.string()), value_set=value_set)
            rows = np.flatnonzero(features.is_valid().to_numpy(zero_copy_only=False))
            counts[j] += len(rows)
            try:
                if faults[j] is None:
                    found[j].put(features.drop_null().to_numpy().astype(np.int64), rows, piece, cells)
            except (InconsistentInputError, MalformedInputError) as error:
                faults[j] = error
    best = int(np.argmax(counts))
    if not counts[best]:
        tried = some_of([header[j] for j in ids])
        fact = f"{path}: none of {counted(len(names), 'feature')} ({some_of(names)}) is in {tried}"
        raise InconsistentInputError(f"{fact}; give the table of these features, with their names in a column ID")
    if (fault := faults[best]) is not None:
        raise fault
    note = f"places by {shortened(header[ids[best]])!r} of {path}"
    return PlacesFound(names, found[best].places(), (note, found[best].note()))
