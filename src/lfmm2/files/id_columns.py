"""The choice of the column that has the IDs of a table, by its name and by what is in it.

Programs put row numbers before a table: R its row names, pandas its index, a GIS its OBJECTID. Where IDs are numbers
too, row numbers look like IDs, and every sample would get the values of another. So a column is taken for the IDs
because it is called IID, or because its cells are the IDs; and where two columns could be meant, the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files.column_cells import as_arrow

# Names of columns of IDs, without case, blanks and marks between words.
_ID_NAMES = {
    "iid", "id", "ids", "sample", "samples", "sampleid", "sampleids", "samplename", "samplecode", "individual",
    "individuals", "individualid", "ind", "inds", "indid", "indiv", "indivs", "individ", "indname", "specimen",
    "specimenid", "accession", "accessionid", "genotypeid", "taxa", "taxon", "tree", "treeid", "plant",
    "plantid", "animal", "animalid", "site", "siteid", "place", "placeid", "cell", "cellid", "point", "pointid",
    "location", "locationid",
}  # fmt: skip
# Names under which databases and GIS keep the numbers of rows: whole numbers there are never IDs of samples.
_KEY_NAMES = {
    "objectid", "objectid1", "fid", "fid1", "oid", "ogcfid", "gid", "featureid", "rowid", "rownumber", "rownum",
    "level0",
}  # fmt: skip
# Names under which programs write row numbers or IDs: none (write.csv, to_csv), and what they make of no name.
_ROW_NUMBER_NAMES = _KEY_NAMES | {
    "", "unnamed0", "unnamed01", "index", "rn", "row", "rowname", "rownames",
}  # fmt: skip
# Share of the rows that match which must be of different samples: a population or a mother stands in many rows.
_LEAST_DISTINCT = 0.8
# Share of the best match up to which another column could be meant just as well.
_LEAST_RIVAL = 0.8
# Cells that a quick test looks at, before a whole column is compared.
_FIRST_CELLS = 50


@dataclass(frozen=True)
class Column:
    """One column of a table before its meaning is known.

    Attributes
    ----------
    name : str
        Name in the table; empty if it has none.
    cells : array of any kind
    place : int
        Number from 1 on; 0 for the index of a frame.
    counts_rows : bool
        True for an index that pandas made, which has numbers whatever the rows are.
    """

    name: str
    cells: Any
    place: int
    counts_rows: bool = False

    @property
    def shown(self) -> str:
        """Return the column in words."""
        if self.place == 0:
            return f"the index {shortened(self.name)!r}" if self.name else "the index"
        return f"column {shortened(self.name)!r}" if self.name else f"column {self.place} (without a name)"

    @property
    def is_called_id(self) -> bool:
        """Return True for a name under which people and programs give IDs."""
        return _plain(self.name) in _ID_NAMES

    @property
    def is_called_row(self) -> bool:
        """Return True for a name under which programs write row numbers, and for an index without a name."""
        # X is what R's read.csv makes of no name; x may be anything.
        return _plain(self.name) in _ROW_NUMBER_NAMES or self.name.strip() in ("X", "X.1", "V1")


@dataclass(frozen=True)
class Candidate:
    """A column that has IDs of the samples.

    Attributes
    ----------
    column : Column
    rows : ndarray of int64
        Row of the table for each sample, -1 where there is none.
    is_row_numbers : bool
        True if the column is called as row numbers are and has nothing else.
    counts : bool
        True for 0, 1, 2, ... or 1, 2, 3, ... in the order of the rows, whatever the name, and for ascending numbers in
        a column or index that is called as row numbers are.
    is_whole : bool
        True if every cell is a whole number.
    """

    column: Column
    rows: NDArray[np.int64]
    is_row_numbers: bool
    counts: bool
    is_whole: bool = False

    @property
    def n_found(self) -> int:
        """Number of samples that the column has."""
        return int(np.count_nonzero(self.rows >= 0))


def _plain(name: str) -> str:
    """Return a name without case, blanks, and the marks between words."""
    return re.sub(r"[^a-z0-9]", "", name.casefold()) if name.isascii() else name.casefold()


def id_texts(cells: Any) -> pa.StringArray | None:
    """Return the cells of a column of text or whole numbers as text; None for any other kind, which has no IDs."""
    try:
        array = as_arrow(cells)
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if not (pa.types.is_integer(kind) or "string" in str(kind)):
            return None
        return pc.utf8_trim_whitespace(array.cast(kind).cast(pa.string()))
    except pa.ArrowException:  # Arrow cannot write this type, such as an interval, as text.
        return None


def find_candidate(column: Column, keys: Sequence[str], known: set[str], keys_repeat: bool = False) -> Candidate | None:
    """Compare a column with the IDs of the samples; None if it has none of them, or many rows for the same ones.

    `known` is the set of `keys`. With `keys_repeat`, IIDs alone do not tell samples apart, and a column may have them
    several times.
    """
    texts = id_texts(column.cells)
    if texts is None or not len(texts) or _begins_with_decimals(texts, known):
        return None
    found = texts.to_pylist()
    n_rows = sum(cell in known for cell in found)
    if not n_rows:
        return None
    row_of = {key: row for row, key in reversed(list(enumerate(found)))}
    rows = np.array([row_of.get(key, -1) for key in keys], np.int64)
    n_distinct = len(np.unique(rows[rows >= 0]))
    if n_distinct < _LEAST_DISTINCT * n_rows and not (keys_repeat or column.is_called_id):
        return None
    is_whole = all(map(_is_whole, found))
    return Candidate(column, rows, is_row_numbers(column, known), may_count_rows(column), is_whole)


def _begins_with_decimals(texts: pa.StringArray, known: set[str]) -> bool:
    """Return True for a column that begins with numbers with a point that are no IDs: a quick test of wide tables."""
    first = texts[:_FIRST_CELLS].to_pylist()
    return not known.intersection(first) and all(cell and re.fullmatch(r"[-+]?[0-9]*\.[0-9]+", cell) for cell in first)


def is_row_numbers(column: Column, known: set[str] | frozenset[str] = frozenset()) -> bool:
    """Return True for numbers of rows: by their name, and because they go from 0 or 1 without a gap.

    After rows were removed, numbers have gaps, but may have 0 among them, which `known` tells from an ID. The key of a
    database has nothing but row numbers.
    """
    if column.counts_rows:
        return True
    if not column.is_called_row or (texts := id_texts(column.cells)) is None:
        return False
    cells = texts.to_pylist()
    if _plain(column.name) in _KEY_NAMES and all(map(_is_whole, cells)):
        return True
    if column.place == 0:  # pandas counts from 0, and IDs that are whole numbers stand as an index in any order
        return _counts(cells, in_order=True) or _counts_from_0(cells, known)
    return _counts(cells, in_order=False) or _counts_from_0(cells, known)


def is_key(column: Column) -> bool:
    """Return True for numbers of rows that are no variable: the key of a database, or a count of rows called so."""
    if not column.is_called_row or (texts := id_texts(column.cells)) is None:
        return False
    cells = texts.to_pylist()
    is_unique = len(set(cells)) == len(cells) > 1 and all(map(_is_whole, cells))
    return is_unique and (_plain(column.name) in _KEY_NAMES or _counts(cells, in_order=False))


def _is_whole(cell: str | None) -> bool:
    """Return True for a whole number from 0 on, written in digits alone."""
    return cell is not None and re.fullmatch(r"[0-9]{1,9}", cell) is not None


def may_count_rows(column: Column) -> bool:
    """Return True for 0, 1, 2, ... or 1, 2, 3, ..., and for ascending numbers where programs write row numbers."""
    if (texts := id_texts(column.cells)) is None:
        return False
    cells = texts.to_pylist()
    if not column.is_called_row:
        return _counts(cells, in_order=True)
    numbers = [int(cell) for cell in cells if cell is not None and _is_whole(cell)]
    return len(numbers) == len(cells) > 1 and all(a < b for a, b in pairwise(numbers))


def _counts(cells: list[str | None], *, in_order: bool) -> bool:
    """Return True for the numbers 0, 1, 2, ... or 1, 2, 3, ..., one for each row."""
    if len(cells) < 2 or not all(map(_is_whole, cells)):
        return False
    numbers = [int(cell) for cell in cells if cell is not None]
    first = min(numbers)
    return first in (0, 1) and (numbers if in_order else sorted(numbers)) == list(range(first, first + len(cells)))


def _counts_from_0(cells: list[str | None], known: set[str] | frozenset[str]) -> bool:
    """Return True for whole numbers with 0 among them, which is no ID of a sample."""
    return all(map(_is_whole, cells)) and len(cells) > 1 and "0" in cells and "0" not in known


def decide(
    label: str, candidates: Sequence[Candidate], what: str, remedy: str = "call the one with the sample IDs IID"
) -> Candidate | None:
    """Return the column that has the IDs; None if there is none but row numbers.

    Parameters
    ----------
    label : str
        The table, with which the message begins.
    candidates : sequence of Candidate
    what : str
        What IDs are of, for the message: "samples", "places" or "populations".
    remedy : str
        End of the message.

    Raises
    ------
    InconsistentInputError
        If several columns hold the IDs as well, in different rows.
    """
    real = [candidate for candidate in candidates if not candidate.is_row_numbers]
    if not real:
        return None
    if any(candidate.column.is_called_id for candidate in real):
        # What a frame keeps of its first index, once rows were sorted and removed, is no match for a column of IDs.
        real = [c for c in real if c.column.place or c.column.name or not c.is_whole]
    best = max(candidate.n_found for candidate in real)
    rivals = [c for c in real if c.n_found >= _LEAST_RIVAL * best or (c.column.is_called_id and 2 * c.n_found >= best)]
    # Sorting is stable: of several that are called IDs, or of none, the first is preferred.
    rivals.sort(key=lambda candidate: not candidate.column.is_called_id)
    if all(same_rows(rivals[0], other) for other in rivals[1:]):
        return rivals[0]
    calm = [candidate for candidate in rivals if not candidate.counts]
    counting_ids = [candidate for candidate in rivals if candidate.counts and candidate.column.is_called_id]
    if calm and all(same_rows(calm[0], other) for other in calm[1:]) and _is_plainer(calm[0], counting_ids):
        return calm[0]
    if not calm and len(counting_ids) == 1:
        return counting_ids[0]
    names = some_of([f"{c.column.shown} ({c.n_found} of {len(c.rows)})" for c in rivals])
    fact = f"several columns hold IDs of the {what}, in different rows: {names}"
    raise InconsistentInputError(f"{label}: {fact}; {remedy}")


def same_rows(one: Candidate, other: Candidate) -> bool:
    """Return True if no sample has another row in the other column."""
    return not ((one.rows != other.rows) & (one.rows >= 0) & (other.rows >= 0)).any()


def _is_plainer(calm: Candidate, counting_ids: list[Candidate]) -> bool:
    """Return True if a column may overrule running numbers: those are not called IDs, or it is called so too."""
    return calm.column.is_called_id or not counting_ids


def find_ids_beside_numbers(label: str, columns: Sequence[Column], is_number: Sequence[bool]) -> Column | None:
    """Return the column of IDs in a table of numbers of which no sample is known yet; None if there is none.

    That is the column called IID, else the only column of text, if it is the first or is called as IDs are. `is_number`
    tells for each column whether it may be a feature.

    Raises
    ------
    MalformedInputError
        If a column of text may be anything else.
    InconsistentInputError
        If a column of whole numbers may be IDs or row numbers as well as a feature.
    """
    iid = next((column for column in columns if column.name.strip().removeprefix("#").upper() == "IID"), None)
    texts = [c for c, is_feature in zip(columns, is_number, strict=True) if not is_feature and c is not iid]
    texts = [c for c in texts if c.name.strip().removeprefix("#").upper() != "FID"]
    refuse_numbered_rows(label, [c for c, is_feature in zip(columns, is_number, strict=True) if is_feature], iid)
    chosen, others = iid, texts
    if iid is None:
        likely = texts if len(texts) == 1 and texts[0].place == 1 else [c for c in texts if c.is_called_id]
        if len(likely) == 1:
            chosen, others = likely[0], [column for column in texts if column is not likely[0]]
    others = [column for column in others if id_texts(column.cells) is not None]
    if others:
        names = some_of([column.shown for column in others])
        fact = f"{names} of text, beside features" if len(others) == 1 else f"several columns of text ({names})"
        raise MalformedInputError(f"{label}: {fact}; call the column with the sample IDs IID, and leave out others")
    if chosen is not None and id_texts(chosen.cells) is None:
        raise MalformedInputError(f"{label}: {chosen.shown} holds neither text nor whole numbers; give IDs as text")
    return chosen


def is_called_as_ids(name: str) -> bool:
    """Return True for a name under which people and programs give IDs, or numbers of rows."""
    column = Column(name, None, 1)
    return column.is_called_id or column.is_called_row


def refuse_numbered_rows(
    label: str, columns: Sequence[Column], iid: Column | None = None, remedy: str = "call it IID if it has IDs"
) -> None:
    """Raise InconsistentInputError if a column of whole numbers, other than `iid`, may be IDs or numbers of rows."""
    for column in columns:
        if column is iid or not is_called_as_ids(column.name):
            continue
        texts = id_texts(column.cells)
        is_unique = texts is not None and len(texts) > 1 and len(texts.unique()) == len(texts)
        if is_unique and (column.is_called_id or is_row_numbers(column) or may_count_rows(column)):
            fact = f"{column.shown} may have IDs or numbers of the samples, or be a feature"
            raise InconsistentInputError(f"{label}: {fact}; {remedy}, else leave it out or rename it")
