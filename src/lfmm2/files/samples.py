"""Sample IDs, and the lists of samples and SNPs that users bring."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Paths
from lfmm2._words import some_of, with_spaces
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.input_memory import check_input_memory, note_input_memory
from lfmm2.files.text_tables import repeated, stream_bytes, stream_tables

# Bytes of memory that the IDs of one sample take as Python strings, those of the .fam and those of the tables. With a
# smaller number the memory plan of a run would promise too little.
SAMPLE_BYTES = 500
#: Bytes of the text of a list that are parsed at once. More take more memory, because each ID becomes a Python string.
LIST_CHUNK = 1 << 20
# Number of IDs of no sample from which on only lines are counted, because IDs would fill the memory.
_MOST_UNKNOWN = 50_000
# Bytes that an ID of no sample takes, with those that are made of it in the search for another spelling.
_LISTED_BYTES = 400


@dataclass(frozen=True)
class Samples:
    """Family and individual IDs of the samples, in .fam order."""

    fid: tuple[str, ...]
    iid: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.iid)

    @property
    def longest_id(self) -> int:
        """Number of characters of the longest IID."""
        return max(map(len, self.iid), default=0)


def first_two_columns(path: AnyPath, rule: str, least: int = 1) -> tuple[list[str], list[str]]:
    """Return the first column of a file and, if there is one, the second.

    Raises MalformedInputError, with `rule` as what there should be, if the file has fewer than `least` columns.
    """
    columns: tuple[list[str], list[str]] = ([], [])
    for table in stream_tables(path, rule, lambda n: [str(i) for i in range(n)] if n >= least else None):
        for values, column in zip(columns, table.columns, strict=False):
            values.extend(column.to_pylist())
        check_input_memory(path, SAMPLE_BYTES * len(columns[0]))
    return columns


def joined_ids(fid: Sequence[str], iid: Sequence[str]) -> list[str]:
    """Return one key per sample: FID and IID with a blank between them, which no ID of a .fam has."""
    return list(map("{} {}".format, fid, iid))


@dataclass(frozen=True)
class SampleList:
    """Samples that a --keep or --remove file lists.

    Attributes
    ----------
    mask : ndarray of shape (n_samples,), bool
        True for the samples in the list.
    n_unknown : int
        Number of IDs in the list that are of no sample.
    fault : str
        Description of these IDs for a message; empty if there are none.
    """

    mask: NDArray[np.bool_]
    n_unknown: int
    fault: str = ""


def read_sample_list(path: AnyPath, samples: Samples) -> SampleList:
    """Read a list of IIDs, or of FID and IID, with or without a PLINK header line; only IDs of no sample are held.

    Raises InconsistentInputError if a listed ID is of several samples, and the errors of `stream_tables`.
    """
    rule = "a list of samples has an ID per line"
    keys: list[str] = []
    row_of: dict[str, int] = {}
    listed: set[int] = set()
    unknown: set[str] = set()
    is_first, pairs, n_lines = True, False, 0
    for table in stream_tables(path, rule, _numbered, LIST_CHUNK):
        first, *second = (column.to_pylist() for column in table.columns[:2])
        if is_first:
            pairs = bool(second) and first[0] not in ("#IID", "IID")
            keys = joined_ids(samples.fid, samples.iid) if pairs else list(samples.iid)
            row_of = {key: row for row, key in enumerate(keys)}
        names = joined_ids(first, second[0]) if pairs else first
        if is_first and first[0] in ("#FID", "#IID", "FID", "IID"):
            del names[0]
        rows = list(map(row_of.get, names))
        listed.update(row for row in rows if row is not None)
        n_lines += rows.count(None)
        if len(unknown) < _MOST_UNKNOWN:
            unknown.update(name for name, row in zip(names, rows, strict=True) if row is None)
        is_first = False
        note_input_memory(path, stream_bytes(LIST_CHUNK) + _LISTED_BYTES * len(unknown))
    found = {keys[row] for row in listed}
    if twins := [iid for iid in repeated(keys) if iid in found]:
        raise InconsistentInputError(f"{path}: {some_of(twins)}: several samples each; list FID and IID")
    mask = np.array([key in found for key in keys], dtype=np.bool_)
    if not unknown:
        return SampleList(mask, 0)
    names = sorted(unknown)
    if len(names) >= _MOST_UNKNOWN:
        return SampleList(
            mask, n_lines, f"{with_spaces(n_lines)} lines are of no sample in the .fam ({some_of(names)})"
        )
    fact = f"{len(names)} IDs are not in the .fam ({some_of(names)})"
    fid_of = dict(zip(samples.iid, samples.fid, strict=True))
    hints = spelling_hints(names, [key for key in keys if key not in found], fid_of)
    hints += _hints_of_columns(names, samples)
    return SampleList(mask, len(names), "; ".join([fact, *hints]))


def _hints_of_columns(unknown: Sequence[str], samples: Samples) -> list[str]:
    """Say how many IDs are IIDs in one column of a list, as beside row numbers, and that commas part no columns."""
    parts = [key.split(" ", 1) for key in unknown if " " in key]
    hints = ["columns of a list are separated by blanks or tabs, not by commas"] * any("," in key for key in unknown)
    for what, column in (("second", {part[1] for part in parts}), ("first", {part[0] for part in parts})):
        if n_alike := len(column & set(samples.iid)):
            hints.append(
                f"{n_alike} are IIDs in the {what} column alone; list IIDs only, or FID and IID as in the .fam"
            )
            break
    return hints


def _numbered(n_columns: int) -> list[str]:
    """Return the names of the columns of a list, which are their numbers."""
    return [str(i) for i in range(n_columns)]


def as_paths(paths: Paths | None) -> list[AnyPath]:
    """Return one path, several or none as a list."""
    if paths is None:
        return []
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def id_files(ids: object) -> list[AnyPath]:
    """Return the files of a list of SNPs: one path, or a collection of `os.PathLike`; none of a collection of IDs."""
    if isinstance(ids, str | os.PathLike):
        return [ids]
    if not isinstance(ids, Collection):
        return []
    files: list[AnyPath] = [item for item in ids if isinstance(item, os.PathLike)]
    if files and len(files) < len(ids):
        raise UsageError("a list of SNPs has both IDs and files (os.PathLike) in it; give either")
    return files


def iter_id_lists(ids: str | os.PathLike[str] | Iterable[object], n_ids: int) -> Iterator[list[str]]:
    """Yield SNP IDs, those of several files together, in lists of `n_ids`, the last one shorter; one list at least.

    A file has them in the first column, without a header, as PLINK's prune.in.
    """
    waiting: list[str] = []
    is_first = True
    for part in _iter_ids(ids):
        waiting += part
        while len(waiting) >= n_ids:
            yield waiting[:n_ids]
            del waiting[:n_ids]
            is_first = False
    if waiting or is_first:
        yield waiting


def _iter_ids(ids: str | os.PathLike[str] | Iterable[object]) -> Iterator[list[str]]:
    """Yield SNP IDs as they are read."""
    files = id_files(ids)
    if not files:
        yield [str(name) for name in ids]  # type: ignore[union-attr]
    for file in files:
        for table in stream_tables(file, "a list of SNPs has an ID per line", _numbered, LIST_CHUNK):
            yield table.column(0).to_pylist()


def read_id_list(ids: str | os.PathLike[str] | Iterable[object]) -> list[str]:
    """Return all SNP IDs that `iter_id_lists` yields."""
    return [name for part in _iter_ids(ids) for name in part]
