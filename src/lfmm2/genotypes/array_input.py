"""What people give as an array of genotypes, taken apart: numbers, marks of missing ones, IDs of samples and SNPs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import Samples, joined_ids, note_input_memory, repeated
from lfmm2.genotypes.source import NO_ID

# Kinds of NumPy types that are real numbers: signed and unsigned integers, and floats.
NUMBER_KINDS = "iuf"


@dataclass(frozen=True)
class ArrayInput:
    """An array of genotypes taken apart.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_snps)
        Real numbers; those of the caller, not a copy, wherever they lie in one array.
    mask : ndarray of bool of the same shape, or None
        True where a value of a masked array is missing; None without a mask.
    samples : Samples
        IDs of the samples; their numbers from 1 if an array gives none, and the index of a frame.
    has_ids : bool
        False if the IDs only count the rows, as those of an array and of a RangeIndex do.
    snp_ids : list of str or None
        Names of the columns; None if they have no names, or these only count the columns.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_] | None
    samples: Samples
    has_ids: bool = False
    snp_ids: list[str] | None = None


def take_apart_array(given: Any) -> ArrayInput:
    """Take an array, a masked array, a pandas or polars frame or a pyarrow Table of genotypes apart.

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
    if hasattr(given, "to_arrow") and hasattr(given, "columns"):
        given = given.to_arrow()
    if isinstance(given, pa.Table):
        return _of_table(given)
    try:
        values = np.ma.asarray(given) if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    except (TypeError, ValueError) as error:
        fact = f"genotypes of type {type(given).__name__} are no array ({shortened(str(error))})"
        raise InconsistentInputError(f"{fact}; give an array (n_samples, n_snps)") from error
    if values.ndim == 0:
        raise InconsistentInputError(f"genotypes are of type {type(given).__name__}; give a path, or an array or frame")
    check_real_numbers(values)
    numbers = tuple(str(i + 1) for i in range(len(values)))
    mask = np.ma.getmaskarray(values) if np.ma.is_masked(values) else None
    return ArrayInput(np.ma.getdata(values), mask, Samples(numbers, numbers))


def check_real_numbers(values: NDArray[Any]) -> None:
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
        ("a sparse matrix", ("nnz", "toarray"), "give .toarray(), whose zeros are dosages of 0"),
        ("an AnnData", ("obs_names", "X"), "give its .to_df(), whose index has the sample IDs, or the array .X"),
        ("a dataset of arrays", ("data_vars", "coords"), "give one array of it (n_samples, n_snps)"),
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
    iid = _names(frame.index.get_level_values(-1), "sample", "row")
    fid = _names(frame.index.get_level_values(0), "sample", "row") if frame.index.nlevels > 1 else iid
    if twins := repeated(iid if fid is iid else joined_ids(fid, iid)):
        raise InconsistentInputError(
            f"genotypes: repeated sample IDs in the index ({some_of(twins)}); keep one row of each"
        )
    columns = frame.columns
    if columns.nlevels > 1:
        snp_ids: list[str] | None = [":".join(map(str, name)) for name in columns]
    else:
        snp_ids = None if _only_counts(columns) else _names(columns, "SNP", "column", unnamed=NO_ID)
    return ArrayInput(values, None, Samples(tuple(fid), tuple(iid)), not _is_range(frame.index), snp_ids)


def _of_table(table: pa.Table) -> ArrayInput:
    """Take a pyarrow Table apart; its columns are SNPs, and its rows are samples without IDs."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise _no_numbers([name], len(table.column_names), column.to_pylist(), column.type)
    columns = [np.asarray(column.to_numpy()) for column in table.columns]
    values = np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
    check_real_numbers(values)
    numbers = tuple(str(i + 1) for i in range(len(values)))
    snp_ids = _names(table.column_names, "SNP", "column", unnamed=NO_ID)
    return ArrayInput(values, None, Samples(numbers, numbers), False, snp_ids)


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


def _names(labels: Iterable[Any], what: str, place: str, unnamed: str = "") -> list[str]:
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


def _is_range(labels: Any) -> bool:
    """Return True for the index that pandas makes by itself, a RangeIndex; pandas need not be imported for it."""
    return type(labels).__name__ == "RangeIndex"


def _only_counts(labels: Any) -> bool:
    """Return True if labels of columns only count: a RangeIndex, or whole numbers from 0 or 1 on, in order."""
    if _is_range(labels):
        return True
    if getattr(labels.dtype, "kind", "O") not in "iu" or not len(labels):
        return False
    first = labels[0]
    return first in (0, 1) and bool(np.array_equal(np.asarray(labels), np.arange(first, first + len(labels))))
