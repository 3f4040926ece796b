"""The columns of a matrix file that have the names of its rows, told by their names and their first cells.

A matrix has names of features on one side and of samples on the other. Beside the numbers it has a column of names of
its rows, and perhaps one of families or of row numbers before it; any other column that is not of numbers is an error,
because it may be an annotation, or numbers that were written in another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lfmm2._words import shortened
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import Column, id_name
from lfmm2.genotypes import NumberRows

# Makes an empty temporary file of rows with so many numbers of this type.
NewRows = Callable[[int, np.dtype[Any]], NumberRows]

# Names of columns of features, without case, blanks and marks between words.
_FEATURE_NAMES = {
    "feature", "features", "featureid", "featurename", "probe", "probes", "probeid", "probename", "probesetid",
    "ilmnid", "targetid", "cpg", "cpgid", "cg", "cgid", "name", "names", "gene", "genes", "geneid", "genename",
    "genesymbol", "symbol", "transcript", "transcriptid", "ensembl", "ensemblid", "entrez", "entrezid", "peak",
    "peakid", "snp", "snps", "snpid", "marker", "markers", "markerid", "rsid", "rs", "variant", "variantid", "locus",
    "loci", "otu", "otuid", "metabolite", "metaboliteid", "protein", "proteinid", "compound", "compoundid", "idref",
    "rowname", "rownames",
}  # fmt: skip


class MatrixReader(Protocol):
    """A matrix file that is open, whichever of its sides has the samples.

    Attributes
    ----------
    path : Path
    n_rows, n_columns : int
    row_names, column_names : list of str or None
        None if the file has no names.
    row_fids : list of str or None
        Families of the rows.
    row_numbers : list of str or None
        A column that must only count the rows.
    """

    path: Path
    n_rows: int
    n_columns: int
    row_names: list[str] | None
    column_names: list[str] | None
    row_fids: list[str] | None
    row_numbers: list[str] | None

    def store(self, samples_are_rows: bool, new_rows: NewRows) -> NumberRows:
        """Return the numbers in rows of one feature, to be closed by the caller."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True)
class NameColumns:
    """Which leading columns of a matrix file are no numbers.

    Attributes
    ----------
    n_leading : int
        Number of columns before the numbers.
    names : int
        Place of the names of the rows among them, counted from 0.
    fids : int or None
        Place of the families, which stand before the IIDs of samples.
    row_numbers : int or None
        Place of a column that must only count the rows.
    """

    n_leading: int
    names: int
    fids: int | None = None
    row_numbers: int | None = None


def plain_name(name: str) -> str:
    """Return a name without case, blanks, and the marks between words."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def is_called_name(name: str) -> bool:
    """Return True for a column that is called as names of samples or features are."""
    return plain_name(name) in _FEATURE_NAMES or Column(name, None, 1).is_called_id or id_name(name) == "IID"


def find_name_columns(path: object, names: Sequence[str], are_texts: Sequence[bool]) -> NameColumns:
    """Return which columns have the names of the rows.

    Parameters
    ----------
    path : path
        File, for messages.
    names : sequence of str
        Names of the columns; empty for one without a name.
    are_texts : sequence of bool
        True for a column whose first cells are no numbers.

    Raises
    ------
    InconsistentInputError
        If no column has names of the rows, or it cannot be told which.
    """
    upper = [id_name(name) for name in names[:2]]
    if upper == ["FID", "IID"]:
        return NameColumns(2, 1, fids=0)
    if (n_iid := sum(id_name(name) == "IID" for name in names)) and upper[0] != "IID":
        fact = f"{path}: column IID is not the first" if n_iid == 1 else f"{path}: has {n_iid} columns called IID"
        raise InconsistentInputError(f"{fact}; put the names of the rows into one column, before the numbers")
    first = Column(names[0], None, 1) if names else None
    if first is None or len(names) < 2:
        raise MalformedInputError(f"{path}: is one column; give names of the rows and numbers")
    if first.is_called_row and not are_texts[0] and (are_texts[1] or is_called_name(names[1])) and len(names) > 2:
        return NameColumns(2, 1, row_numbers=0)
    if are_texts[0] or is_called_name(names[0]) or first.is_called_row:
        return NameColumns(1, 0)
    others = [name for name, is_text in zip(names, are_texts, strict=True) if is_text or is_called_name(name)]
    fact = f"{path}: the first column, {shortened(names[0])!r}, has numbers"
    if others:
        raise InconsistentInputError(f"{fact}, and names may be in {shortened(others[0])!r}; put that column first")
    raise InconsistentInputError(f"{fact}, and no column has names of the rows; put one before it, called ID")


def text_column_error(path: object, where: str, name: str, cell: str) -> MalformedInputError:
    """Return the error about a cell that is no number, in a column that was taken for one of numbers."""
    remedy = "correct it, or leave the column out; chromosomes and positions are read from --features"
    return MalformedInputError(
        f"{path}, {where}, column {shortened(name)!r}: {shortened(cell)!r} is not a number; {remedy}"
    )


def turn_rows(rows: NumberRows, new_rows: NewRows) -> NumberRows:
    """Return columns as rows, in another temporary file; the first one is removed."""
    turned = new_rows(rows.n_rows, rows.dtype)
    try:
        rows.flush()
        for piece in rows.turned():
            turned.append(piece)
    except BaseException:
        turned.close()
        raise
    finally:
        rows.close()
    return turned
