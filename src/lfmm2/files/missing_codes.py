"""Spellings of a missing value: those that programs write and no one takes for a number, and those that users name."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import shortened
from lfmm2.errors import UsageError
from lfmm2.files.table_text import is_number

# Cells that mean missing in every column, in lower case: what `read_csv` of pandas takes for missing. R, Excel,
# databases and Python write these. Marks such as "." and "-" are not among them: a typing error may leave them too.
_WORDS = (
    "", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "null", "none", "nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan",
    "-1.#qnan",
)  # fmt: skip
# A code beyond this magnitude stands for all numbers within 0.1 % of it, because programs round the fill values of
# rasters in different ways: -3.4e38, -3.402823e38 and the float32 of either are one code. Smaller codes must be exact.
_ROUNDED = 1e19
_ROUNDING = 1e-3


@dataclass(frozen=True)
class MissingCodes:
    """All spellings of a missing value in one table.

    Attributes
    ----------
    words : tuple of str
        Cells of text, in lower case.
    numbers : tuple of float
    """

    words: tuple[str, ...]
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, code: MissingCode | None) -> MissingCodes:
        """Return the spellings that always mean missing, and those of the option `missing_code`.

        Raises
        ------
        UsageError
            If a code is neither text nor a number, or is a list of numbers in one text.
        """
        words, numbers = list(_WORDS), []
        for item in _as_list(code):
            if isinstance(item, bool) or not isinstance(item, str | Real):
                raise UsageError(f"missing_code is {item!r}; give a number, a text, or a list of these")
            text = str(item).strip()
            parts = text.split(",")
            if len(parts) > 1 and all(is_number(part.strip()) for part in parts):
                remedy = " ".join(f"--missing-code {part.strip()}" for part in parts[:3])
                raise UsageError(f"missing_code is {text!r}, which no cell is; give each code by itself: {remedy}")
            if not isinstance(item, str) or is_number(text):
                numbers.append(float(item))
            words.append(text.lower())
        return cls(tuple(words), tuple(numbers))

    def is_word(self, cell: str) -> bool:
        """Return True for a cell of text that means missing."""
        return cell.strip().lower() in self.words

    def blank_text(self, cells: Any) -> Any:
        """Return cells of text without blanks around them, null where missing."""
        cells = pc.utf8_trim_whitespace(cells.cast(pa.string()))
        missing = pc.is_in(pc.utf8_lower(cells), value_set=pa.array(self.words, pa.string()))
        return pc.if_else(missing, pa.scalar(None, pa.string()), cells)

    def blank_numbers(self, values: NDArray[np.float64]) -> None:
        """Write NaN over the values that mean missing."""
        for code in self.numbers:
            values[are_code(values, code)] = np.nan


def are_code(values: NDArray[np.float64], code: float) -> NDArray[np.bool_]:
    """Return which values are a code, or a rounding of it where it is very large."""
    if _ROUNDED <= abs(code) < np.inf:
        with np.errstate(over="ignore"):  # The difference of two of the largest doubles is infinite.
            return np.asarray(np.abs(values - code) <= _ROUNDING * abs(code))
    return np.asarray(values == code)


def _as_list(code: Any) -> list[Any]:
    """Return the codes of the option as a list."""
    if code is None:
        return []
    if isinstance(code, np.ndarray):
        return list(code.ravel().tolist())
    return list(code) if isinstance(code, Iterable) and not isinstance(code, str) else [code]


def suggest(value: object) -> str:
    """Return the option that declares a value missing, as messages show it: for the command and for Python."""
    text = shortened(str(value))
    return f"--missing-code {shlex.quote(text)} (in Python missing_code={text if is_number(text) else repr(text)})"
