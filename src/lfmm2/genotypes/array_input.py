"""What people give as an array of genotypes, taken apart: numbers, marks of missing ones, names and places.

This module and named_arrays.py, which has AnnData and xarray, turn everything with names into an `ArrayInput`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import (
    Column,
    Samples,
    find_ids_beside_numbers,
    is_called_as_ids,
    joined_ids,
    note_input_memory,
    refuse_numbered_rows,
    repeated,
)
from lfmm2.genotypes.source import NO_ID
from lfmm2.genotypes.stored_arrays import BlockArray, SparseColumns, StoredArray, is_sparse, is_stored

# Kinds of NumPy types that are real numbers: signed and unsigned integers, and floats.
NUMBER_KINDS = "iuf"


@dataclass(frozen=True)
class ArrayInput:
    """An array of genotypes taken apart.

    Attributes
    ----------
    values : ndarray or BlockArray of shape (n_samples, n_snps)
        Real numbers; those of the caller, not a copy, wherever they lie in one array.
    mask : ndarray of bool of the same shape, or None
        True where a value of a masked array is missing; None without a mask.
    samples : Samples
        IDs of the samples; their numbers from 1 if an array gives none, and the index of a frame.
    has_ids : bool
        False if the IDs only count the rows, as those of an array and of a RangeIndex do.
    snp_ids : list of str or None
        Names of the columns; None if they have no names, or these only count the columns.
    chrom : list of str or None
        Chromosome of each column, "." where there is none; None if none is known.
    pos : ndarray of shape (n_snps,), int64, or None
        Position of each column in base pairs, 0 where there is none; None if none is known.
    """

    values: NDArray[Any] | BlockArray
    mask: NDArray[np.bool_] | None
    samples: Samples
    has_ids: bool = False
    snp_ids: list[str] | None = None
    chrom: list[str] | None = None
    pos: Ints | None = None


def take_apart_array(given: Any) -> ArrayInput:
    """Take an array, a masked array, a sparse matrix, a stored array, or a frame or table of genotypes apart.

    Raises
    ------
    InconsistentInputError
        If it does not hold real numbers in two dimensions with at least one row; if sample IDs are repeated.
    MalformedInputError
        If a column of a frame holds no numbers, a sample has no ID, or a name has a tab or a line break.
    """
    _refuse_containers(given)
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return _of_frame(given)
    if (table := _as_table(given)) is not None:
        return _of_table(table)
    if is_sparse(given) or is_stored(given):
        return nameless(as_block_array(given))
    try:
        values = np.ma.asarray(given) if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    except (TypeError, ValueError) as error:
        fact = f"genotypes of type {type(given).__name__} are no array ({shortened(str(error))})"
        raise InconsistentInputError(f"{fact}; give an array (n_samples, n_snps)") from error
    if values.ndim == 0:
        raise InconsistentInputError(f"genotypes are of type {type(given).__name__}; give a path, or an array or frame")
    return nameless(values)


def nameless(values: NDArray[Any] | BlockArray) -> ArrayInput:
    """Return numbers without names as an input; InconsistentInputError unless they are real, in two dimensions."""
    check_real_numbers(values)
    numbers = tuple(str(i + 1) for i in range(len(values)))
    if isinstance(values, BlockArray):
        return ArrayInput(values, None, Samples(numbers, numbers))
    mask = np.ma.getmaskarray(values) if np.ma.is_masked(values) else None
    return ArrayInput(np.ma.getdata(values), mask, Samples(numbers, numbers))


def as_block_array(given: Any, turned: bool = False) -> NDArray[Any] | BlockArray:
    """Return an array of a storage, or a sparse matrix, as one that is read by columns; any other array as it is.

    `turned` says that its rows are features.
    """
    if is_sparse(given):
        if len(given.shape) != 2:
            raise InconsistentInputError(f"genotypes are sparse, of shape {given.shape}; give (n_samples, n_snps)")
        return SparseColumns(given.T if turned else given)
    if not is_stored(given):
        values: NDArray[Any] = np.asarray(given)
        return values.T if turned else values
    what = f"{type(given).__module__.partition('.')[0]} ({type(given).__name__})"
    try:
        shape, kind = tuple(given.shape), np.dtype(given.dtype)
    except Exception as error:  # libraries of storage raise errors of many kinds
        raise InconsistentInputError(
            f"genotypes in {what}: cannot be read; open the file, and leave it open"
        ) from error
    if len(shape) != 2 or not all(shape) or kind.kind not in NUMBER_KINDS:
        check_real_numbers(np.broadcast_to(np.empty((), kind), shape))
    return StoredArray(given, what, turned)


def check_real_numbers(values: NDArray[Any] | BlockArray) -> None:
    """Raise InconsistentInputError unless an array holds real numbers, in two dimensions with at least one row."""
    if values.ndim == 2 and len(values) and values.dtype.kind in NUMBER_KINDS:
        return
    if values.ndim != 2 or not len(values):
        alleles = " of dosages, with the alleles of each call added up" if values.ndim == 3 else ""
        raise InconsistentInputError(f"genotypes of shape {values.shape}; give an array (n_samples, n_snps){alleles}")
    remedies = {
        "b": "give real numbers, 1 for presence and 0 for absence, as .astype(int) makes them",
        "O": "give real numbers, NaN where missing, as .astype(float) makes them",
    }
    remedy = remedies.get(values.dtype.kind, "give real numbers (n_samples, n_snps)")
    raise InconsistentInputError(f"genotypes of shape {values.shape} and type {values.dtype}; {remedy}")


def _refuse_containers(given: Any) -> None:
    """Raise InconsistentInputError for containers whose numbers must be taken out first, with the way to do it."""
    remedies = (
        ("a dataset of arrays", ("data_vars", "coords"), "give one array of it (n_samples, n_snps)"),
        ("a query that is not computed", ("collect", "lazy"), "give .collect()"),
        ("a frame that is not computed", ("compute", "iloc"), "give .compute()"),
        ("a sparse matrix on disk", ("to_memory", "backend"), "give .to_memory()"),
    )
    for what, members, remedy in remedies:
        if all(hasattr(given, member) for member in members):
            raise InconsistentInputError(f"genotypes are {what} ({type(given).__name__}); {remedy}")


def _of_frame(frame: Any) -> ArrayInput:
    """Take a pandas DataFrame apart; its index has the sample IDs and its columns the names of the SNPs."""
    kinds = frame.dtypes.tolist()
    wrong = [j for j, kind in enumerate(kinds) if getattr(kind, "kind", "O") not in NUMBER_KINDS]
    if wrong:
        names = [str(frame.columns[j]) for j in wrong]
        raise _no_numbers(names, len(kinds), frame.iloc[:, wrong[0]].tolist(), kinds[wrong[0]])
    whole = [j for j, kind in enumerate(kinds) if getattr(kind, "kind", "O") in "iu"]
    suspects = [j for j in whole if isinstance(name := frame.columns[j], str) and is_called_as_ids(name)]
    named = [Column(frame.columns[j], frame.iloc[:, j], j + 1) for j in suspects]
    refuse_numbered_rows("genotypes", named, remedy="make it the index, with set_index, if it has IDs")
    if all(isinstance(kind, np.dtype) for kind in kinds):
        values = frame.to_numpy()
    else:
        # Nullable types have no value for missing ones that an array could hold. Integers of up to 16 bits are exact
        # in the smaller type.
        plain = [np.dtype(getattr(kind, "numpy_dtype", np.float64)) for kind in kinds]
        is_small = all(kind.kind in "iu" and kind.itemsize <= 2 for kind in plain)
        kind = np.dtype(np.float32 if is_small else np.float64)
        note_input_memory("genotypes", kind.itemsize * len(frame) * len(kinds), remedy="give an array of a small type")
        values = frame.to_numpy(dtype=kind, na_value=np.nan)
    check_real_numbers(values)
    if frame.index.nlevels > 2:
        fact = f"genotypes: the index of the frame has {frame.index.nlevels} levels"
        raise InconsistentInputError(f"{fact}; give it one, the sample IDs (IID), or two, FID and IID")
    iid = names_of(frame.index.get_level_values(-1), "sample", "row")
    fid = names_of(frame.index.get_level_values(0), "sample", "row") if frame.index.nlevels > 1 else iid
    samples = samples_of(iid, fid, "the index")
    columns = frame.columns
    if columns.nlevels > 1:
        snp_ids: list[str] | None = [":".join(map(str, name)) for name in columns]
    else:
        snp_ids = None if only_counts(columns) else names_of(columns, "SNP", "column", unnamed=NO_ID)
    return ArrayInput(values, None, samples, not is_range(frame.index), snp_ids)


def _as_table(given: Any) -> pa.Table | None:
    """Return a frame of polars, DuckDB or another library as a table of Arrow; None for anything else."""
    if isinstance(given, pa.Table):
        return given
    try:
        if hasattr(given, "__arrow_c_stream__"):
            table = pa.table(given)
        elif hasattr(given, "__dataframe__"):
            from pyarrow.interchange import from_dataframe

            table = from_dataframe(given)
        elif hasattr(given, "to_arrow") and hasattr(given, "columns"):
            table = given.to_arrow()
        else:
            return None
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError, RuntimeError) as error:
        fact = f"genotypes of type {type(given).__name__} are no table of columns ({shortened(str(error))})"
        raise InconsistentInputError(f"{fact}; give a frame with a column for each feature, or an array") from error
    if not isinstance(table, pa.Table):
        raise InconsistentInputError(f"genotypes are of type {type(given).__name__}; give a table of columns")
    return table


def _of_table(table: pa.Table) -> ArrayInput:
    """Take a table of Arrow apart: columns of numbers are features, one of text, or called IID, has the sample IDs."""
    names, cells = table.column_names, table.columns
    index = [name for name in (table.schema.pandas_metadata or {}).get("index_columns", ()) if name in names]
    is_number = [_is_number(column.type) and name not in index for name, column in zip(names, cells, strict=True)]
    if len(index) > 2:
        fact = f"genotypes: the index of the table has {len(index)} levels"
        raise InconsistentInputError(f"{fact}; give it one, the sample IDs (IID), or two, FID and IID")
    columns = [Column(name, column, j + 1) for j, (name, column) in enumerate(zip(names, cells, strict=True))]
    of_text = [column for column, is_feature in zip(columns, is_number, strict=True) if not is_feature]
    by_name = {column.name: column for column in of_text}
    fid = by_name.get(index[0]) if len(index) == 2 else next((c for c in of_text if c.name.strip("# ") == "FID"), None)
    ids = by_name[index[-1]] if index else find_ids_beside_numbers("genotypes", columns, is_number)
    wrong = [c for c in of_text if c is not ids and c is not fid]
    if wrong:
        raise _no_numbers([c.name for c in wrong], len(names), wrong[0].cells.to_pylist(), wrong[0].cells.type)
    chosen = [column for column, is_feature in zip(columns, is_number, strict=True) if is_feature and column is not ids]
    note_input_memory("genotypes", 8 * table.num_rows * len(chosen), remedy="give an array of a small type")
    values = np.empty((table.num_rows, 0))
    if chosen:
        values = np.column_stack([np.asarray(column.cells.to_numpy()) for column in chosen])
    snp_ids = names_of([column.name for column in chosen], "SNP", "column", unnamed=NO_ID)
    return replace(nameless(values), **_ids_of_rows(ids, fid), snp_ids=snp_ids)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _ids_of_rows(ids: Column | None, fid: Column | None) -> dict[str, Any]:
    """Return `samples` and `has_ids` of a table with a column of IDs; nothing without one."""
    if ids is None:
        return {}
    iid = names_of(ids.cells.to_pylist(), "sample", "row")
    fids = iid if fid is None else names_of(fid.cells.to_pylist(), "sample", "row")
    return {"samples": samples_of(iid, fids, ids.shown), "has_ids": True}


def samples_of(iid: Sequence[str], fid: Sequence[str], place: str) -> Samples:
    """Return the samples of some IDs; InconsistentInputError if two are the same."""
    if twins := repeated(iid if fid is iid else joined_ids(fid, iid)):
        raise InconsistentInputError(
            f"genotypes: repeated sample IDs in {place} ({some_of(twins)}); keep one row of each"
        )
    return Samples(tuple(fid), tuple(iid))


def _no_numbers(names: Sequence[str], n_columns: int, cells: Sequence[object], kind: object) -> MalformedInputError:
    """Return the error about columns of a frame that hold no numbers; `cells` and `kind` are those of the first."""
    what = f"genotypes: column {shortened(names[0])!r} is of type {kind}, not of numbers"
    if len(names) > 1:
        what = f"genotypes: {len(names)} columns are not of numbers, the first is {shortened(names[0])!r} ({kind})"
    if any(isinstance(cell, str) for cell in cells[:100]) and len(names) <= n_columns / 2:
        shown = next(cell for cell in cells if isinstance(cell, str))
        remedy = f"if it has sample IDs, give frame.set_index({names[0]!r}) in pandas, else leave it out"
        return MalformedInputError(f"{what} ({shortened(shown)!r}); {remedy}")
    return MalformedInputError(f"{what}; leave it out, or convert it with .astype(float)")


def names_of(labels: Iterable[Any], what: str, place: str, unnamed: str = "") -> list[str]:
    """Return labels of rows or columns as text.

    An empty label becomes `unnamed`; without it, an empty label is an error.
    """
    names = ["" if label is None or label != label else str(label).strip() for label in labels]
    for i, name in enumerate(names):
        if "\t" in name or len(name.splitlines()) > 1:
            fact = f"genotypes, {place} {i + 1}: the {what} ID {shortened(name)!r} has a tab or a line break"
            raise MalformedInputError(f"{fact}; rename it")
        if not name and not unnamed:
            raise MalformedInputError(f"genotypes, {place} {i + 1}: has no {what} ID in the index; add it")
    return [name or unnamed for name in names] if unnamed else names


def is_range(labels: Any) -> bool:
    """Return True for the index that pandas makes by itself, a RangeIndex; pandas need not be imported for it."""
    return type(labels).__name__ == "RangeIndex"


def only_counts(labels: Any) -> bool:
    """Return True if labels of columns only count: a RangeIndex, or whole numbers from 0 or 1 on, in order."""
    if is_range(labels):
        return True
    if getattr(labels.dtype, "kind", "O") not in "iu" or not len(labels):
        return False
    first = labels[0]
    return first in (0, 1) and bool(np.array_equal(np.asarray(labels), np.arange(first, first + len(labels))))
