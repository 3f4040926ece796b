"""Tables of the same places at two times: which row of one belongs to which row of the other.

Places are samples, sites or cells of a raster. They are matched by their IDs, cells without IDs by their coordinates.
Row numbers are taken only if both tables have nothing else, and that is said.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._words import counted
from lfmm2.errors import InconsistentInputError, InputWarning
from lfmm2.files.id_columns import Candidate, Column, decide, find_candidate, id_texts, is_row_numbers
from lfmm2.files.id_tables import IdTable, find_id_column, split_ids
from lfmm2.files.raw_tables import RawTable, read_raw_table, refuse_without_ids

# Name of the column of both coordinates.
COORDINATES = "x and y"
# Names of coordinates, without case and marks: those of cells that programs write from rasters, and of GPS points.
_COORDINATES = (
    ("x", "y"),
    ("lon", "lat"),
    ("long", "lat"),
    ("longitude", "latitude"),
    ("decimallongitude", "decimallatitude"),
    ("easting", "northing"),
    ("xcoord", "ycoord"),
    ("coordx", "coordy"),
)
# The same names as they are written in tables.
_COORDINATE_NAMES = {"decimalLongitude", "decimalLatitude"} | {
    write(name) for pair in _COORDINATES for name in pair for write in (str.lower, str.upper, str.capitalize)
}


def matched_table(
    source: Any, known: Sequence[str], what: str, variables: Sequence[str], decimal: str = "."
) -> IdTable:
    """Read a table of places whose IDs are known, of which `variables` are wanted; `what` names a table in memory.

    Where no IDs are known, rows are matched by their order, and row numbers will do for IDs. So they do for a table of
    one row that has none of the IDs, which stands for all places.
    """
    raw = read_raw_table(source, known, what, variables, decimal)
    refuse_without_ids(raw)
    if column := raw.called("IID"):
        return split_ids(raw, column)
    if known and not (_has_one_row(raw) and _has_none(raw, known, variables)):
        return split_ids(raw, find_id_column(raw, known, variables))
    return split_ids(raw, _first(raw, variables) or _row_numbers(raw))


def pair_tables(
    env: Any, new_env: Any, names: tuple[str, str], variables: Sequence[str], decimal: str = "."
) -> tuple[IdTable, IdTable]:
    """Read two tables of the same places, and find the column of the IDs of each.

    Parameters
    ----------
    env, new_env : path, DataFrame or pyarrow.Table
    names : tuple of two str
        Names of tables in memory, for messages.
    variables : sequence of str
        Names of the columns that are wanted, and have no IDs.
    decimal : {".", ","}
        Decimal mark of numbers that are text.

    Raises
    ------
    InconsistentInputError
        If several columns hold the IDs, or only row numbers do, of different numbers of rows.

    Warns
    -----
    InputWarning
        If places are matched by row numbers.
    """
    wanted = {*variables, *_COORDINATE_NAMES}
    old, new = (
        read_raw_table(source, (), name, wanted, decimal) for source, name in zip((env, new_env), names, strict=True)
    )
    refuse_without_ids(old)
    refuse_without_ids(new)
    old_iid, new_iid = old.called("IID"), new.called("IID")
    if _has_one_row(new) and not _has_one_row(old):
        known = split_ids(old, old_iid or _own_ids(old, variables))
        if _has_none(new, known.iid, variables):
            return known, split_ids(new, new_iid or _own_ids(new, variables))
    if old_iid and new_iid:
        return split_ids(old, old_iid), split_ids(new, new_iid)
    if old_iid or new_iid:
        first, second, ids = (old, new, old_iid) if old_iid else (new, old, new_iid)
        assert ids is not None
        table = split_ids(first, ids)
        other = split_ids(second, find_id_column(second, table.iid, variables))
        return (table, other) if old_iid else (other, table)
    return _pair_by_content(old, new, variables)


def _pair_by_content(old: RawTable, new: RawTable, variables: Sequence[str]) -> tuple[IdTable, IdTable]:
    """Match two tables without IID by columns of the same name, by coordinates, or by row numbers on both sides."""
    pairs = _shared_columns(old, new, variables)
    candidates = _find_candidates(pairs)
    chosen = decide(new.label, [candidate for candidate, _ in candidates], "places")
    if chosen is not None:
        ours = next(column for candidate, column in candidates if candidate is chosen)
        if not ours.is_called_id:
            _warn_of_other_ids(old, new, pairs, ours)
        return split_ids(old, ours), split_ids(new, chosen.column)
    is_named = any(column.is_called_id and column.name not in variables for column in old.data_columns)
    coordinates = [pair for pair in pairs if pair[0].name == COORDINATES]
    if coordinates and not is_named:
        return split_ids(old, coordinates[0][0]), split_ids(new, coordinates[0][1])
    ids = _first(old, variables)
    if ids is not None:
        table = split_ids(old, ids)
        if not candidates or ids.is_called_id or _has_some(new, table.iid, variables):
            return table, split_ids(new, find_id_column(new, table.iid, variables))
    if candidates:
        return _pair_by_row_numbers(old, new, *candidates[0])
    fact = "no column but the variables and row numbers"
    raise InconsistentInputError(f"{old.label}: {fact}; give each place an ID, in a column IID")


def _warn_of_other_ids(old: RawTable, new: RawTable, pairs: Sequence[tuple[Column, Column]], by: Column) -> None:
    """Warn if a column of both tables that is called as IDs are has other IDs in each, so that `by` matches places."""
    for ours, theirs in pairs:
        texts = id_texts(ours.cells) if ours.is_called_id and ours.name else None
        if texts is None or is_row_numbers(ours) or is_row_numbers(theirs):
            continue
        if find_candidate(theirs, texts.to_pylist(), set(texts.to_pylist())) is None:
            key = by.name if by.name == COORDINATES else by.shown
            fact = f"{ours.shown} has other IDs than in {old.label}, so places are matched by {key}"
            warnings.warn(f"{new.label}: {fact}; correct the IDs, or leave the column out", InputWarning, stacklevel=5)


def _find_candidates(pairs: Sequence[tuple[Column, Column]]) -> list[tuple[Candidate, Column]]:
    """Return the columns of the new table that have the cells of those of the old one, which tell places apart.

    A site stands in many rows. So a column that is called as IDs are and repeats counts only if there is no other, and
    then only if it tells as many rows apart as any.
    """
    apart: list[tuple[Candidate, Column]] = []
    repeating: list[tuple[Candidate, Column]] = []
    most = 0
    for ours, theirs in pairs:
        texts = id_texts(ours.cells)
        if texts is None or texts.null_count:
            continue
        repeats = len(texts.unique()) < len(texts)
        keys = texts.to_pylist()
        if (repeats and not ours.is_called_id) or (found := find_candidate(theirs, keys, set(keys))) is None:
            continue
        is_number = is_row_numbers(ours) and is_row_numbers(theirs)
        candidate = replace(found, column=theirs, is_row_numbers=is_number)
        if not repeats:
            apart.append((candidate, ours))
        elif (n_apart := len(texts.unique())) >= most:
            repeating = [*(repeating if n_apart == most else ()), (candidate, ours)]
            most = n_apart
    return apart if any(not candidate.is_row_numbers for candidate, _ in apart) else apart + repeating


def _has_one_row(raw: RawTable) -> bool:
    """Return True for a table of one row, which may stand for all places as a common garden does."""
    return len(raw.columns[0].cells) == 1


def _has_none(raw: RawTable, known: Sequence[str], variables: Sequence[str]) -> bool:
    """Return True if no column but the variables has any of the IDs, not even as row numbers."""
    columns = [column for column in raw.data_columns if column.name not in variables and column.place]
    return all(find_candidate(column, known, set(known)) is None for column in columns)


def _own_ids(raw: RawTable, variables: Sequence[str]) -> Column:
    """Return the IDs of a table by itself: a column called as they are, coordinates, another column, row numbers."""
    first = _first(raw, variables)
    if first is not None and first.is_called_id:
        return first
    places = (_coordinates(raw, names, variables) for names in _COORDINATES)
    return next((place for place in places if place is not None), first or _row_numbers(raw))


def _has_some(raw: RawTable, known: Sequence[str], variables: Sequence[str]) -> bool:
    """Return True if a column that is no row number has some of the IDs."""
    columns = [column for column in raw.data_columns if column.name not in variables and not is_row_numbers(column)]
    return any(find_candidate(column, known, set(known)) is not None for column in columns)


def _shared_columns(old: RawTable, new: RawTable, variables: Sequence[str]) -> list[tuple[Column, Column]]:
    """Return the columns of the same name in both tables, the one of IDs under two names, and the coordinates."""
    theirs = {column.name: column for column in new.data_columns}
    pairs = [
        (column, theirs[column.name])
        for column in old.data_columns
        if column.name in theirs and column.name not in variables
    ]
    apart = [
        [column for column in raw.data_columns if column.is_called_id and column.name not in other]
        for raw, other in ((old, {c.name for c in new.columns}), (new, {c.name for c in old.columns}))
    ]
    if all(len(columns) == 1 for columns in apart):
        pairs.append((apart[0][0], apart[1][0]))
    for names in _COORDINATES:
        ours, others = (_coordinates(raw, names, variables) for raw in (old, new))
        if ours is not None and others is not None:
            pairs.append((ours, others))
            break
    return pairs


def _coordinates(raw: RawTable, names: tuple[str, str], variables: Sequence[str]) -> Column | None:
    """Return two coordinates as one column of text, ``5.5 44``; None if the table has no such columns of numbers."""
    by_name = {re.sub(r"[^a-z0-9]", "", column.name.casefold()): column for column in raw.data_columns}
    columns = [by_name[name] for name in names if name in by_name and by_name[name].name not in variables]
    if len(columns) < 2:
        return None
    texts = []
    try:
        for column in columns:
            cells = column.cells
            cells = cells if isinstance(cells, pa.ChunkedArray | pa.Array) else pa.array(cells, from_pandas=True)
            # Ten digits are below a millimetre, and above what programs differ by in the last digits they write.
            texts.append(["missing" if x is None else f"{x:.10g}" for x in pc.cast(cells, pa.float64()).to_pylist()])
    except (pa.ArrowException, TypeError):
        return None
    return Column(COORDINATES, pa.array(map(" ".join, zip(*texts, strict=True)), pa.string()), len(raw.columns) + 1)


def _pair_by_row_numbers(old: RawTable, new: RawTable, candidate: Candidate, ours: Column) -> tuple[IdTable, IdTable]:
    """Match places by row numbers, and say so: both tables have nothing else."""
    n_old, n_new = (len(raw.columns[0].cells) for raw in (old, new))
    if n_old != n_new:
        fact = f"{counted(n_old, 'row')} in {old.label}, {n_new} in {new.label}, and no IDs but row numbers"
        raise InconsistentInputError(f"{fact}; give each place an ID, in a column IID or as the index of a frame")
    fact = f"{old.label} and {new.label} have no IDs, so that places are matched by row numbers ({ours.shown})"
    warnings.warn(f"{fact}; give each place an ID to be sure", InputWarning, stacklevel=5)
    return split_ids(old, ours), split_ids(new, candidate.column)


def _row_numbers(raw: RawTable) -> Column:
    """Return the numbers of the rows from 1 on, as a column."""
    return Column("", pa.array([str(i + 1) for i in range(len(raw.columns[0].cells))]), 0)


def _first(raw: RawTable, variables: Sequence[str]) -> Column | None:
    """Return the column that has the IDs of a table by its name, or else the first one that is no row number."""
    columns = [c for c in raw.data_columns if c.name not in variables and not is_row_numbers(c)]
    named = [column for column in columns if column.is_called_id]
    return next(iter(named or columns), None)
