"""One look at all numbers of an array: their range, whether they are whole, and values that look like codes.

Readers of genotypes mark a missing call with 9 (LEA), -1 (scikit-allel, vcftools), -9 (PLINK), 255 or 3 (packed bytes),
and grids with -9999 or 1e20. Such a code is never taken for missing by itself, because it may be a number like the
others: `find_codes` finds values that must be asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2.files import is_fill_value

# Gives all numbers of an array piece by piece, NaN where missing; each call begins anew.
Pieces = Callable[[], Iterator[NDArray[Any]]]

#: Largest magnitude of a number. Sums of fourth powers of larger ones are beyond a double, and nothing that is measured
#: is larger; the fill values of netCDF and GDAL, from 1e20 on, are found below it.
LARGEST_NUMBER = 1e60
# Different values outside of 0 to 2 that are told apart: dosages of octoploids and a few codes. With more of
# them the numbers are no dosages, and only the smallest and the largest are looked at.
_MOST_VALUES = 12
# Largest ploidy whose dosages are recognised by their values. The values of a higher one are rather counts.
_LARGEST_PLOIDY = 8
# Magnitudes of the codes that readers of genotypes use for a missing call; those of grids are in `is_fill_value`.
_CALL_CODES = (9, 99, 127, 128, 254, 255, 999, 9999)
# A known code that occurs several times is isolated if the gap to the next number is this share of the range of the
# others; whole numbers have gaps by chance, and clipped numbers have none.
_GAP, _GAP_OF_WHOLE = 0.03, 0.1
# Any other whole number is isolated if it is so many times as far from 0 as all others; a fill value that occurs once,
# if it is farther than that.
_FARTHER, _MUCH_FARTHER = 2.0, 5.0
# Codes that are looked for amid numbers that are not whole. There a code occurs again and again, and the whole numbers
# beside it hardly ever: less than this share of its times.
_CODES_AMID = (-99, -9, -1, 9, 99)
_LEAST_TIMES, _SHARE_BESIDE = 5, 0.1


@dataclass
class NumberFacts:
    """What one look at all numbers of an array tells.

    Attributes
    ----------
    n_values : int
        Numbers, missing ones included.
    low, high : float
        Smallest and largest number; NaN if all are missing.
    is_whole : bool
        True if all numbers are whole.
    inside : set of int
        Those of 0, 1 and 2 that occur, as long as all numbers are whole.
    outside : set of float, or None
        Values below 0 or above 2 that occur; None if they are more than `_MOST_VALUES`.
    """

    n_values: int = 0
    low: float = np.nan
    high: float = np.nan
    is_whole: bool = True
    inside: set[int] = field(default_factory=set)
    outside: set[float] | None = field(default_factory=set)

    def add(self, piece: NDArray[Any]) -> None:
        """Add the next numbers."""
        if not piece.size:
            return
        self.n_values += piece.size
        low, high = (float(of.reduce(piece, axis=None)) for of in (np.fmin, np.fmax))
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        if self.is_whole and piece.dtype.kind == "f":
            # NaN differs from itself.
            self.is_whole = not ((np.rint(piece) != piece) & (piece == piece)).any()
        if self.is_whole:
            self.inside |= {value for value in {0, 1, 2} - self.inside if (piece == value).any()}
        if self.outside is not None and (low < 0 or high > 2):
            self._collect(piece)

    def _collect(self, piece: NDArray[Any]) -> None:
        """Collect new values outside of 0 to 2, as long as they are few."""
        is_new = (piece < 0) | (piece > 2)
        for value in self.outside or ():
            is_new &= piece != value
        rest = piece[is_new] if is_new.any() else piece[:0].ravel()
        while rest.size and self.outside is not None:
            self.outside.add(float(rest[0]))
            rest = rest[rest != rest[0]]
            if len(self.outside) > _MOST_VALUES:
                self.outside = None

    @property
    def values(self) -> list[float]:
        """Return all different values in ascending order, if they are few and whole; else an empty list."""
        if not self.is_whole or self.outside is None:
            return []
        return sorted({*map(float, self.inside), *self.outside})

    @property
    def are_diploid(self) -> bool:
        """True if the numbers can be nothing but diploid dosages: 0, 1 and 2, with a 2 among them."""
        return self.is_whole and self.low >= 0 and self.high == 2


def scan(pieces: Pieces) -> NumberFacts:
    """Look at all numbers once.

    Notes
    -----
    Time of one processor for each value: 0.1 to 1 ns for integers of one byte, 0.3 to 2 ns for floats; a GB takes 0.1
    to 1 s. `find_codes` takes about as long again where numbers are no dosages. Nothing is copied but pieces.
    """
    facts = NumberFacts()
    for piece in pieces():
        facts.add(piece)
    return facts


def find_codes(facts: NumberFacts, pieces: Pieces) -> list[float]:
    """Return the values that look like codes of missing calls; an empty list if none does.

    A value is asked about if all others are, or may be, dosages and it is not; if it is far away from all others, as
    codes are; or if it alone occurs again and again among numbers that are not whole. Where numbers are no dosages,
    this needs further looks at all of them.
    """
    if facts.outside is None:
        return _look_again(facts, pieces)
    if not facts.outside:
        return []
    negative = sorted(value for value in facts.outside if value < 0)
    positive = sorted(value for value in facts.outside if value > 2)
    n_others = len(facts.inside) if facts.is_whole else _MOST_VALUES
    codes = []
    if len(negative) <= 2 and all(map(_is_whole, negative)) and n_others + len(positive) >= 2:
        codes += negative
    dosages = [value for i, value in enumerate(positive) if value == i + 3 and value <= _LARGEST_PLOIDY]
    above = positive[len(dosages) :]
    if n_others >= 2 and all(map(_is_whole, positive)):
        if len(positive) == 1:
            codes += positive
        elif len(above) <= 2 and all(value in _CALL_CODES for value in above):
            codes += above
    return codes or _look_again(facts, pieces)


def _is_whole(value: float) -> bool:
    return bool(value == np.rint(value))


def _look_again(facts: NumberFacts, pieces: Pieces) -> list[float]:
    """Return the smallest and the largest number, or codes amid others, if they look like codes."""
    suspects = [end for end in (facts.low, facts.high) if _is_whole(end) and (end < 0 or end > 2)]
    if facts.is_whole:
        # Every number is whole here, so only negative numbers and known codes are suspicious.
        suspects = [end for end in suspects if end < 0 or _is_known(end)]
    found = [end for end in suspects if _is_isolated(end, pieces, facts.is_whole)]
    return found if found or facts.is_whole else _codes_amid(facts, pieces)


def _codes_amid(facts: NumberFacts, pieces: Pieces) -> list[float]:
    """Return the codes that occur again and again between smaller and larger numbers that are not whole."""
    within = [code for code in _CODES_AMID if facts.low < code < facts.high]
    counts = {code: _count(code, pieces) for code in within}
    return [
        code
        for code, n in counts.items()
        if n >= _LEAST_TIMES and _count(code - 1, pieces) + _count(code + 1, pieces) < _SHARE_BESIDE * n
    ]


def _count(value: float, pieces: Pieces) -> int:
    """Count the numbers that are equal to a value."""
    return sum(int(np.count_nonzero(piece == value)) for piece in pieces())


def _is_known(value: float) -> bool:
    """Tell whether a value is a known code."""
    return abs(value) in _CALL_CODES or is_fill_value(value)


def _is_isolated(end: float, pieces: Pieces, is_whole: bool) -> bool:
    """Tell whether the smallest or largest number stands far away from all others, as a code does."""
    n_equal, low, high = 0, np.nan, np.nan
    for piece in pieces():
        others = piece[piece != end]
        n_equal += piece.size - others.size
        if others.size:
            low, high = np.fmin(low, float(np.fmin.reduce(others))), np.fmax(high, float(np.fmax.reduce(others)))
    if not low < high:
        return False
    if end < 0 <= low:
        return True  # All other numbers are 0 or above.
    times = abs(end) / max(abs(low), abs(high))
    if n_equal == 1:
        return is_fill_value(end) and times >= _MUCH_FARTHER
    gap = low - end if end < low else end - high
    if _is_known(end) and gap >= (_GAP_OF_WHOLE if is_whole else _GAP) * (high - low):
        return True
    return not is_whole and times >= _FARTHER
