"""Tables whose rows have sample IDs: files, frames and arrays taken apart into IDs and columns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, UsageError
from lfmm2.files.id_columns import (
    Candidate,
    Column,
    decide,
    find_candidate,
    id_texts,
    is_key,
    is_row_numbers,
    may_count_rows,
    same_rows,
)
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.raw_tables import RawTable, id_name, read_raw_table
from lfmm2.files.samples import Samples

# Columns that are tried for IDs in another spelling, once no column has the IDs themselves.
_MOST_TRIED = 20
#: Place of the IDs of an array, which has none.
ROWS = "the rows"


@dataclass(frozen=True)
class IdTable:
    """A table taken apart into IDs and columns, whose cells are not yet numbers and whose rows are not yet matched.

    Attributes
    ----------
    label : str
        Path or name of the table, with which messages begin.
    first_line : int or None
        Line of the first row in the file; None for a table in memory.
    iid : list of str
    fid : list of str or None
        IDs of the rows.
    columns : dict
        Variables by name, each an array of any kind.
    id_place : str
        The column of the IDs, in words: ``column 'sample'``.
    counts_rows : bool
        True if the IDs may be numbers of rows though they are not called so: 0, 1, 2, ... or 1, 2, 3, ... in this
        order, or ascending numbers in a column or index without a name.
    is_called_id : bool
        True if the column is called IID, or as IDs often are.
    hint : str
        What another column has, where that may explain why samples have no row.
    set_aside : tuple of str
        Names of other IDs and of row numbers among `columns`, which are no variables unless chosen by name.
    decimal : {".", ","}
        Decimal mark of the numbers that are text.
    kind : str
        What each row is of: "sample" or "population".
    no_variables, categories : tuple of str
        Names among `columns` that the format says are no variables, or categories, unless chosen by name.
    """

    label: str
    first_line: int | None
    iid: list[str]
    fid: list[str] | None
    columns: dict[str, Any]
    id_place: str = ROWS
    counts_rows: bool = False
    is_called_id: bool = True
    hint: str = ""
    set_aside: tuple[str, ...] = ()
    decimal: str = "."
    kind: str = "sample"
    no_variables: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def at(self, row: int, name: str) -> str:
        """Describe the place of a cell for a message."""
        return f"{self.label}, {self.row_at(row)}, column {shortened(name)!r}"

    def row_at(self, row: int) -> str:
        """Describe a row of the table for a message."""
        line = f"row {row + 1}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{line} ({self.kind} {shortened(self.iid[row])})"


def as_tables(source: Any) -> list[Any]:
    """Return several tables as a list: those of a list or tuple of nothing but paths, frames and pyarrow tables.

    Any other source, such as an array or a list of numbers, is one table.
    """
    if isinstance(source, list | tuple) and source and all(map(_is_table, source)):
        return list(source)
    return [source]


def _is_table(source: Any) -> bool:
    """Return True for a path, a frame and a pyarrow table."""
    is_frame = hasattr(source, "columns") and (hasattr(source, "iloc") or hasattr(source, "__arrow_c_stream__"))
    return is_frame or isinstance(source, str | os.PathLike | pa.Table)


def take_apart(
    source: Any,
    samples: Samples,
    what: str,
    wanted: Collection[str] | None = None,
    *,
    has_ids: bool = True,
    decimal: str = ".",
) -> IdTable:
    """Take a file, frame, pyarrow table or array apart into IDs and columns; `what` names a table in memory.

    The IDs are in the column IID, else in the column or index whose cells are the IIDs of `samples`. Without `has_ids`,
    the samples are only numbered, and so may be the rows of a frame. Of a long file, only the `wanted` columns are sure
    to be there; others may be nulls.

    Raises
    ------
    InconsistentInputError
        If only row numbers look like IDs, or several columns do.

    Warns
    -----
    InputWarning
        If the IDs are in a column that is neither called IID nor the first.
    """
    if isinstance(source, np.ndarray | list | tuple):
        return _number_columns(np.ma.asarray(source), samples, what)
    raw = read_raw_table(source, samples.iid, what, wanted, decimal)
    if raw.in_order:
        return _ordered_table(raw, samples)
    if not has_ids:
        return _numbered_table(raw, samples)
    if column := raw.called("IID"):
        return replace(split_ids(raw, column), hint=_compare_with_others(raw, column, samples.iid))
    return split_ids(raw, find_id_column(raw, samples.iid))


def _compare_with_others(raw: RawTable, iid: Column, known: Sequence[str]) -> str:
    """Return which other column has IDs that IID lacks; warn if IID counts rows and another column has other rows."""
    ids = set(known)
    ours = find_candidate(iid, known, ids)
    counts = ours is not None and ours.counts
    if ours is not None and not counts and 2 * ours.n_found >= min(len(ids), len(iid.cells)):
        return ""
    columns = [column for column in raw.data_columns if column is not iid and not is_row_numbers(column, ids)]
    others = [c for column in columns if (c := find_candidate(column, known, ids)) is not None]
    best = max(others, key=lambda candidate: candidate.n_found, default=None)
    if best is None or (ours is not None and best.n_found < ours.n_found):
        return ""
    fact = f"{best.column.shown} has the IDs of {best.n_found} samples"
    if counts and ours is not None and best.column.is_called_id and not same_rows(ours, best):
        message = f"{raw.label}: column IID only counts rows, and {fact} in other rows; check which has the sample IDs"
        warnings.warn(message, InputWarning, stacklevel=2)
    return fact


def _ordered_table(raw: RawTable, samples: Samples) -> IdTable:
    """Match a table without IDs to the samples by the order of its rows, where it is sure that no column has IDs.

    Raises
    ------
    InconsistentInputError
        If the table has another number of rows, or a column that may have IDs or count rows.

    Warns
    -----
    InputWarning
        In any case, because nothing but the order tells which row is of which sample.
    """
    n_rows = len(raw.columns[0].cells)
    if n_rows != len(samples):
        fact = f"{n_rows} rows without IDs, but there are {len(samples)} samples"
        raise InconsistentInputError(
            f"{raw.label}: {fact}; give one row for each, in their order, or a header and a column IID"
        )
    known = set(samples.iid)
    for column in raw.columns:
        found = find_candidate(column, samples.iid, known)
        if (found is not None and 2 * found.n_found >= n_rows) or may_count_rows(column):
            what = "may count rows" if found is None else f"may have the IDs of {found.n_found} samples"
            fact = f"column {column.place} {what}, so that the order of the rows is not sure"
            raise InconsistentInputError(f"{raw.label}: {fact}; give a header, with IID over the IDs, or remove it")
    fact = f"has no IDs, so its {n_rows} rows are taken in the order of the samples"
    warnings.warn(f"{raw.label}: {fact}; give a header and a column IID to be sure", InputWarning, stacklevel=2)
    columns = {column.name: column.cells for column in raw.columns}
    return IdTable(raw.label, raw.first_line, list(samples.iid), list(samples.fid), columns, decimal=raw.decimal)


def _numbered_table(raw: RawTable, samples: Samples) -> IdTable:
    """Match a table to samples that have no IDs: by the order of its rows, or by their numbers in a column IID."""
    index = next((column for column in raw.columns if column.place == 0), None)
    if index is None or not is_row_numbers(index):
        column = raw.called("IID") or next(iter(raw.data_columns))
        table = split_ids(raw, column)
        is_number = id_name(column.name) == "IID" and set(samples.iid).issuperset(table.iid)
        if table.iid != list(samples.iid) and not is_number:
            raise _only_numbered_error(raw, column.shown, table.iid)
        others = [] if is_number else [c for c in raw.data_columns if c is not column and _is_other_id(c)]
        if others:
            raise _only_numbered_error(raw, others[0].shown, _as_ids(raw.label, others[0].cells))
        return table
    if other := next((column for column in raw.data_columns if _is_other_id(column)), None):
        raise _only_numbered_error(raw, other.shown, _as_ids(raw.label, other.cells))
    numbers = [int(number) for number in index.cells]
    if len(numbers) != len(samples):
        fact = f"table of {len(numbers)} rows, but there are {len(samples)} samples, which have no IDs"
        raise InconsistentInputError(f"{raw.label}: {fact}; give a row for each sample, in the same order")
    if numbers != sorted(numbers):
        fact = f"the index does not go up ({some_of(numbers)}), and the samples of the genotypes have no IDs"
        remedy = "bring the rows into the order of the genotypes, and give them as an array"
        raise InconsistentInputError(f"{raw.label}: {fact}; {remedy}")
    table = split_ids(raw, Column(index.name, pa.array(samples.iid), 0))
    return replace(table, id_place=ROWS)


def _only_numbered_error(raw: RawTable, place: str, ids: Sequence[str]) -> InconsistentInputError:
    """Return the error about a table with IDs beside genotypes without."""
    fact = f"has sample IDs in {place} ({some_of(ids)}), but the samples of the genotypes are only numbered"
    remedy = "give genotypes with IDs, or variables without, as an array with its rows in the same order"
    return InconsistentInputError(f"{raw.label}: {fact}; {remedy}")


def find_id_column(raw: RawTable, known: Sequence[str], skip: Sequence[str] = ()) -> Column:
    """Return the column of a table without IID that has the IDs; `skip` names columns that have none.

    Raises
    ------
    InconsistentInputError
        If several columns hold IDs in different rows, or only row numbers look like IDs.

    Warns
    -----
    InputWarning
        If it is not the first column.
    """
    keys_repeat = raw.called("FID") is not None and len(set(known)) < len(known)
    columns = [column for column in raw.data_columns if column.name not in skip or not column.name]
    ids = set(known)
    found = [c for column in columns if (c := find_candidate(column, known, ids, keys_repeat)) is not None]
    chosen = decide(raw.label, found, "samples")
    n_expected = min(len(ids), len(raw.columns[0].cells))
    if chosen is not None and 2 * chosen.n_found >= n_expected:
        _tell_column(raw, chosen, columns)
        return chosen.column
    likely = _likely_column(columns, known)
    if chosen is not None:
        if likely is not None and (likely.is_called_id or likely.place == 0):
            return likely
        fact = f"only {chosen.n_found} of {len(ids)} samples have their ID in {chosen.column.shown}"
        remedy = "call the column that has the sample IDs IID"
        warnings.warn(f"{raw.label}: {fact}, and no column has more; {remedy}", InputWarning, stacklevel=2)
        return chosen.column
    if found and likely is not None:
        raise _row_number_error(raw, found[0], likely, known)
    if raw.called("FID") is not None and not (likely is not None and likely.is_called_id):
        raise MalformedInputError(f"{raw.label}: has a column FID but none IID; add it, or rename FID")
    if likely is None:
        raise _no_id_error(raw, columns, found)
    return likely


def _likely_column(columns: Sequence[Column], known: Sequence[str]) -> Column | None:
    """Return the column that was probably meant though its cells are not the IDs; None if it cannot be told.

    That is an index, then a column called as IDs are, then one with IDs in another spelling, then the first of a file.
    """
    known_set = set(known)
    possible = [column for column in columns if not is_row_numbers(column, known_set)]
    if named := [column for column in possible if column.place == 0 or column.is_called_id]:
        return named[0]
    for column in possible[:_MOST_TRIED]:
        hints = [] if may_count_rows(column) else _spelling_hints_of(column, known)
        # A hint begins with its number of IDs. Some numbers of any variable look like IDs in another form.
        if any(2 * int(hint.split(" ", 1)[0]) >= min(len(known_set), len(column.cells)) for hint in hints):
            return column
    has_index = bool(columns) and columns[0].place == 0
    return None if has_index or not possible else possible[0]


def _spelling_hints_of(column: Column, known: Sequence[str]) -> list[str]:
    """Return how the cells of a column differ from the IDs of the samples, if in spelling alone."""
    texts = id_texts(column.cells)
    cells = map(str, column.cells) if texts is None else texts.to_pylist()
    return spelling_hints(known, set(filter(None, cells)))


def _no_id_error(raw: RawTable, columns: Sequence[Column], found: Sequence[Candidate]) -> InconsistentInputError:
    """Return the error about a table of which no column but row numbers can have the IDs."""
    if columns and columns[0].place == 0:
        fact = "the index only counts rows, and no column has the sample IDs"
        remedy = "set them as the index, as in df.set_index('sample'), or name the index IID if it has them"
        return InconsistentInputError(f"{raw.label}: {fact}; {remedy}")
    only = (found[0].column if found else columns[0]).shown if columns else "none"
    fact = f"no column has the sample IDs; {only} only counts rows"
    return InconsistentInputError(f"{raw.label}: {fact}; add the IDs, or call it IID if these numbers are the IDs")


def _row_number_error(
    raw: RawTable, numbers: Candidate, likely: Column, known: Sequence[str]
) -> InconsistentInputError:
    """Return the error about row numbers that look like IDs, beside a column `likely` that may have them."""
    fact = f"{numbers.column.shown} only counts rows, though {numbers.n_found} of {len(known)} samples have such IDs"
    hints = _spelling_hints_of(likely, known)
    if hints:
        fact += f"; in {likely.shown} {', '.join(hints)}"
    return InconsistentInputError(f"{raw.label}: {fact}; call the column that has the sample IDs IID")


def _tell_column(raw: RawTable, chosen: Candidate, columns: Sequence[Column]) -> None:
    """Warn if the IDs are not in the first column; an index that pandas made, or that has no name, is none."""
    is_id = chosen.column.is_called_id
    others = (c for c in columns if c.place or not (is_row_numbers(c) or (is_id and not c.name)))
    first = next(others, chosen.column)
    if chosen.column is first:
        return
    fact = f"the sample IDs are in {chosen.column.shown} ({chosen.n_found} of {len(chosen.rows)} samples)"
    rows = f", and {first.shown} only counts rows" if is_row_numbers(first) and not first.name else ""
    remedy = "call the right column IID to be sure"
    warnings.warn(f"{raw.label}: {fact}{rows}; {remedy}", InputWarning, stacklevel=2)


def _number_columns(array: Any, samples: Samples, what: str) -> IdTable:
    """Give the rows of an array the IDs of the samples, and its columns the names env1, env2, ..."""
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise UsageError(f"{what}: array of {array.dtype} and shape {array.shape}; give numbers, 1-D or 2-D")
    if len(array) != len(samples):
        fact = f"array of {len(array)} rows, but there are {len(samples)} samples"
        raise InconsistentInputError(f"{what}: {fact}; give a row for each, or a table with sample IDs")
    values = array.astype(np.float64).filled(np.nan).reshape(len(array), -1)
    columns = {f"env{j + 1}": column for j, column in enumerate(np.ascontiguousarray(values.T))}
    return IdTable(what, None, list(samples.iid), list(samples.fid), columns)


def split_ids(raw: RawTable, ids: Column) -> IdTable:
    """Separate the IDs of a table, which are in the column `ids`, from the variables."""
    label, fids = raw.label, raw.called("FID")
    if fids is not None and id_name(ids.name) != "IID" and is_row_numbers(fids):
        fids = None  # the key of a GIS, not a family
    others = [c for c in raw.columns if c.place and c.place != ids.place and id_name(c.name) not in ("FID", "IID")]
    set_aside = [column for column in others if is_key(column) or _is_other_id(column)]
    unnamed = [column for column in others if not column.name and column not in set_aside]
    if unnamed := [column for column in unnamed if not _is_empty(column)]:
        fact = f"no name for column {some_of([column.place for column in unnamed])}"
        raise MalformedInputError(f"{label}: {fact}; name it or remove it")
    return IdTable(
        label,
        raw.first_line,
        iid=_as_ids(label, ids.cells),
        fid=None if fids is None else _as_ids(label, fids.cells),
        columns={column.name: column.cells for column in others if column.name},
        id_place=ids.shown,
        counts_rows=id_name(ids.name) != "IID" and may_count_rows(ids),
        is_called_id=ids.is_called_id,
        set_aside=tuple(column.name for column in set_aside if column.name),
        decimal=raw.decimal,
        no_variables=raw.no_variables,
        categories=raw.categories,
    )


def _is_empty(column: Column) -> bool:
    """Return True for a column without a cell that is filled, as spreadsheets leave them behind a table."""
    texts = id_texts(column.cells)
    return texts is not None and not any(texts.to_pylist())


def _is_other_id(column: Column) -> bool:
    """Return True for a column that is called as IDs are, and has another text or whole number in every row."""
    if not column.is_called_id or (texts := id_texts(column.cells)) is None:
        return False
    return len(texts) > 1 and len(texts.unique()) == len(texts)


def _as_ids(label: str, column: Any) -> list[str]:
    """Return the IDs of a column as text; raise MalformedInputError if one is empty."""
    cells: Iterable[object] = column.to_pylist() if hasattr(column, "to_pylist") else column
    ids = ["" if is_absent(cell) else str(cell).strip() for cell in cells]
    if "" in ids:
        raise MalformedInputError(f"{label}: no sample ID in row {ids.index('') + 1} of the data; add it")
    return ids


def is_absent(cell: object) -> bool:
    """Return True for None, NaN, and the NA and NaT of pandas, which are not equal to themselves."""
    return cell is None or type(cell).__name__ == "NAType" or (not isinstance(cell, str) and bool(cell != cell))
