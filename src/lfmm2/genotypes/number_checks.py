"""Checks of numbers before the first pass: infinite ones, dosages beyond the ploidy, values that look like codes.

They are the same for an array in memory and for a file, which say where a number stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import shortened, with_spaces
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.genotypes.array_scan import LARGEST_NUMBER, NumberFacts, Pieces, find_codes, scan

# Tells which of some numbers are wanted.
IsWanted = Callable[[NDArray[Any]], NDArray[np.bool_]]
# Finds the first number that is wanted, and returns a description of its place, and the number.
FindFirst = Callable[[IsWanted], tuple[str, float]]

# Largest number that a double holds.
_LARGEST = float(np.finfo(np.float64).max)
# Amount, as a share of the ploidy, by which dosages may leave their range: sums of probabilities in single precision
# are rounded.
DOSAGE_ROUNDING = 1e-6
# Largest ploidy, above that of any organism; a larger number is a mistake.
MOST_PLOIDY = 128


class NumberChecks:
    """What is checked of all numbers, once, when it is first asked for.

    Parameters
    ----------
    pieces : callable
        Gives all numbers piece by piece, NaN where missing; each call begins anew.
    find_first : callable
        Finds the first number that is wanted.
    ploidy : int, optional
        Number of alleles that a dosage counts at most. None if it is not known, or if the numbers are no dosages.
    asks : bool
        True to ask about values that look like codes of missing calls.
    by_command : bool
        True if remedies name options of the command line, and not arguments of Python.
    """

    def __init__(
        self, pieces: Pieces, find_first: FindFirst, ploidy: int | None, *, asks: bool, by_command: bool = False
    ) -> None:
        self._pieces, self._find_first = pieces, find_first
        self._stated_ploidy, self._asks, self._by_command = ploidy, asks, by_command

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy that was given, or 2 if all numbers are 0, 1 and 2, with a 2 among them; else None."""
        self.check()
        if self._stated_ploidy is not None:
            return self._stated_ploidy
        return 2 if self._facts.are_diploid else None

    def check(self) -> None:
        """Raise MalformedInputError if a number is none that can be computed with, or must be asked about."""
        facts = self._facts
        if not (facts.low >= -LARGEST_NUMBER and facts.high <= LARGEST_NUMBER) and facts.low == facts.low:
            place, value = self._first(lambda numbers: np.abs(numbers.astype(np.float64)) > LARGEST_NUMBER)
            what = "is infinite" if np.isinf(value) else f"is {value:g}, larger than anything that is measured"
            remedy = "use NaN for missing values" + ("" if np.isinf(value) else f", or give {self._missing([value])}")
            raise MalformedInputError(f"genotypes, {place}: {what}; {remedy}")
        if self._stated_ploidy is not None:
            self._check_dosages(self._stated_ploidy)
        elif self._asks and self._codes:
            raise MalformedInputError(self._question(self._codes))

    @property
    def are_whole(self) -> bool:
        """Return whether all numbers are whole, as those of hard calls are."""
        return self._facts.is_whole

    @cached_property
    def _facts(self) -> NumberFacts:
        """Look at all numbers, once."""
        return scan(self._pieces)

    @cached_property
    def _codes(self) -> list[float]:
        """Find values that look like codes of missing calls."""
        return find_codes(self._facts, self._pieces)

    def _first(self, is_wanted: IsWanted) -> tuple[str, Any]:
        """Describe the place of the first number that is wanted, and return it as a number of Python."""
        place, value = self._find_first(is_wanted)
        return place, _plain(value)

    def _missing(self, codes: Sequence[float]) -> str:
        """Return in the words of the caller that values mean missing; none of them if there are no `codes`."""
        if self._by_command:
            return " ".join(f"--missing-genotype {code}" for code in codes) or "--missing-genotype none"
        return f"missing_genotype={codes[0] if len(codes) == 1 else list(codes)!r}"

    def _check_dosages(self, ploidy: int) -> None:
        """Raise MalformedInputError if a number is outside of 0 to the ploidy."""
        slack = DOSAGE_ROUNDING * ploidy
        if not (self._facts.low < -slack or self._facts.high > ploidy + slack):
            return

        def is_outside(numbers: NDArray[Any]) -> NDArray[np.bool_]:
            return (numbers < -slack) | (numbers > ploidy + slack)

        place, value = self._first(is_outside)
        n_outside = sum(int(np.count_nonzero(is_outside(piece))) for piece in self._pieces())
        fact = f"{value:.10g} is no dosage of ploidy {ploidy}, which lies between 0 and {ploidy}"
        count = f"{with_spaces(n_outside)} of {with_spaces(self._facts.n_values)} values are outside"
        remedy = f"give {self._missing([value])} if it means missing, correct it, or give another ploidy"
        raise MalformedInputError(f"genotypes, {place}: {fact} ({count}); {remedy}")

    def _question(self, codes: list[float]) -> str:
        """Ask whether some values mean missing: how often they occur, where, and what the others are."""
        place, _ = self._first(lambda numbers: np.isin(numbers, codes))
        counts = [sum(int(np.count_nonzero(piece == code)) for piece in self._pieces()) for code in codes]
        shown = " and ".join(f"{code:g} ({with_spaces(n)} times)" for code, n in zip(codes, counts, strict=True))
        others = [value for value in self._facts.values if value not in codes]
        beside = f"beside {', '.join(f'{value:g}' for value in others)}" if others else "unlike all other values"
        fact = f"{shown} {beside}, of {with_spaces(self._facts.n_values)} values, first in {place}"
        ways = [f"give {self._missing([_plain(code) for code in codes])} if a missing call is written so"]
        if len(codes) == 1 and codes[0] - 1 in others and codes[0] > 2:
            ploidy = "--ploidy " if self._by_command else "ploidy="
            ways.append(f"{ploidy}{codes[0]:g} if dosages go up to {codes[0]:g}")
        ways.append(f"{self._missing([])} if it is a value like the others")
        return f"genotypes: {fact}; {', '.join(ways[:-1])}, or {ways[-1]}"


def _plain(value: float) -> float:
    """Return a whole number as an int, for messages that show it as Python code."""
    return int(value) if np.isfinite(value) and value == np.rint(value) and abs(value) < 2**53 else value


def check_ploidy(ploidy: Any) -> int | None:
    """Return a ploidy as an int, or None; raise UsageError if it is neither None nor a whole number of at least 1."""
    if ploidy is None:
        return None
    if isinstance(ploidy, bool) or not isinstance(ploidy, int | np.integer) or not 1 <= ploidy <= MOST_PLOIDY:
        rule = f"it is a whole number from 1 to {MOST_PLOIDY}, or None for numbers that are no dosages"
        raise UsageError(f"ploidy is {shortened(repr(ploidy))}; {rule}")
    return int(ploidy)


def parse_missing_calls(missing: Any) -> tuple[float, ...] | None:
    """Return the values that mean missing; None if nothing is said about them.

    Raises
    ------
    UsageError
        If one of them is no finite number.
    """
    if missing is None:
        return None
    values = [missing] if np.ndim(missing) == 0 else list(missing)
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        # A number beyond the range of a double, as 10**400, is not in an array.
        if not (is_number and -_LARGEST <= value <= _LARGEST):
            rule = "give a number such as 9 or -1, or several; NaN is missing anyway"
            raise UsageError(f"missing_genotype is {shortened(repr(missing))}; {rule}")
    return tuple(map(float, values))
