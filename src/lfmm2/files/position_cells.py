"""Positions in base pairs as programs write them: whole numbers, but also ``1e+05`` (R) and ``1001.0`` (pandas)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._words import with_spaces

#: Largest position, in base pairs, that PLINK takes.
LAST_POSITION = 2**31 - 2
_PLAIN = "^-?[0-9]{1,18}$"
_WHOLE = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?([eE]\+?[0-9]{1,2})?")


@dataclass
class OddPositions:
    """Positions of a file that are whole numbers, but are written in scientific notation or with decimals.

    Attributes
    ----------
    number : int
        How many there are.
    first : str
        Line and text of the first one; empty if there is none.
    """

    number: int = 0
    first: str = ""

    def sentence(self) -> str:
        """Return the sentence of the warning; empty if all positions are written plainly."""
        if not self.number:
            return ""
        verb = "position is" if self.number == 1 else "positions are"
        return (
            f"{with_spaces(self.number)} {verb} written in scientific notation or with decimals ({self.first}), and "
            "read as whole numbers; if R has rounded them, write the file again with options(scipen = 999)"
        )


def whole_position(cell: str) -> int | None:
    """Return the whole number in a cell, written plainly, with decimals or in scientific notation.

    None if it is no whole number, or larger than `LAST_POSITION`.

    Examples
    --------
    >>> whole_position("1e+05"), whole_position("1001.0"), whole_position("-7"), whole_position("1001.5")
    (100000, 1001, -7, None)
    """
    if not _WHOLE.fullmatch(cell):
        return None
    number = Decimal(cell)
    return int(number) if number <= LAST_POSITION and number == int(number) else None


def parse_positions(cells: pa.ChunkedArray, line: int, odd: OddPositions) -> pa.ChunkedArray | None:
    """Return cells of text, the first of them in line `line`, as int64; None if a cell is no position.

    Cells that are not written plainly are counted in `odd`.
    """
    rows = np.flatnonzero(~pc.match_substring_regex(cells, _PLAIN).to_numpy())
    if len(rows):
        if not odd.number:
            odd.first = f"line {line + rows[0]}: {cells[int(rows[0])].as_py()}"
        odd.number += len(rows)
    # Decimals of zero are taken off all cells at once, because pandas writes them in every line.
    cells = pc.replace_substring_regex(cells, r"^(-?[0-9]{1,18})\.0*$", r"\1")
    rest = pc.invert(pc.match_substring_regex(cells, _PLAIN))
    numbers = [whole_position(cell) for cell in cells.filter(rest).to_pylist()]
    if None in numbers:
        return None
    plain = pc.if_else(rest, "0", cells).cast(pa.int64()).to_numpy().copy()
    plain[rest.to_numpy()] = numbers
    return pa.chunked_array([pa.array(plain)])
