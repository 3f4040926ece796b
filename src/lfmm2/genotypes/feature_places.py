"""Chromosomes and positions of features, from columns whose names leave no doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lfmm2._typing import Ints
from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import is_absent, whole_position

# Names of such columns, without case: of .bim and VCF, of manifests of Illumina (CHR, MAPINFO) and of ranges in R.
# "start" is none of them, because some programs count it from 0.
_CHROM_NAMES = {"chrom", "#chrom", "chromosome", "chr", "seqnames", "seqname", "contig"}
_POS_NAMES = {"pos", "position", "mapinfo", "bp"}
# What stands for no chromosome, as the ID "." for no ID.
NO_CHROM = "."


def find_places(columns: Mapping[str, Any], where: str) -> tuple[list[str] | None, Ints | None]:
    """Return chromosomes and positions of features, each None if there is no column called so.

    Parameters
    ----------
    columns : mapping of str to sequence
        Cells by name of the column; only those that are called as chromosomes and positions are looked at.
    where : str
        The table, with which messages begin.

    Raises
    ------
    InconsistentInputError
        If several columns are called so, and differ.
    MalformedInputError
        If a cell is no position.
    """
    chrom = _only(columns, _CHROM_NAMES, where, "chromosomes")
    pos = _only(columns, _POS_NAMES, where, "positions")
    if chrom is None:
        return None, None  # a position on no chromosome is none
    chromosomes = chromosome_texts(columns[chrom])
    return chromosomes, None if pos is None else position_numbers(columns[pos], f"{where}, column {shortened(pos)!r}")


def _only(columns: Mapping[str, Any], names: set[str], where: str, what: str) -> str | None:
    """Return the column that is called by one of some names; an error if there are several."""
    found = [name for name in columns if isinstance(name, str) and name.strip().casefold() in names]
    if len(found) > 1:
        fact = f"several columns are called as {what} are ({some_of(found)})"
        raise InconsistentInputError(f"{where}: {fact}; rename all but one")
    return found[0] if found else None


def chromosome_texts(cells: Iterable[Any]) -> list[str]:
    """Return names of chromosomes as text, "." where there is none; 1.0, which pandas makes of 1, is 1."""
    texts = []
    for cell in _cells(cells):
        if isinstance(cell, float | np.floating) and cell == cell and cell == int(cell):
            cell = int(cell)
        text = "" if is_absent(cell) else str(cell).strip()
        texts.append(text or NO_CHROM)
    return texts


def position_numbers(cells: Iterable[Any], where: str) -> Ints:
    """Return positions as int64, 0 where there is none; MalformedInputError if one is no whole number from 0 on."""
    values = _cells(cells)
    positions = np.zeros(len(values), np.int64)
    for row, cell in enumerate(values):
        if is_absent(cell) or (text := str(cell).strip()) in ("", "."):
            continue
        number = whole_position(text)
        if number is None or number < 0:
            fact = f"{shortened(text)!r} of feature {with_spaces(row + 1)} is no position in base pairs"
            raise MalformedInputError(f"{where}: {fact}; correct it, or leave it empty")
        positions[row] = number
    return positions


def _cells(cells: Iterable[Any]) -> Sequence[Any]:
    """Return the cells of a column as a list of Python."""
    of_list = getattr(cells, "tolist", None) or getattr(cells, "to_pylist", None)
    return list(of_list()) if of_list is not None else list(cells)
