"""The gate for every number of a table: fill values of rasters, values far from all others, values too large.

A raster has a number in place of "no data", and a table made from it has this number among the measurements. One such
number decides the slope of a regression by itself. It is known by its value and by its distance from all other values
of the column: -9 degrees in January, 999 m of altitude or a site that is truly far from the others must pass.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import counted, shortened, some_cells, some_of
from lfmm2.errors import InputWarning, MalformedInputError
from lfmm2.files.missing_codes import are_code, suggest

Floats = NDArray[np.float64]

# Fill values of GDAL, ESRI grids, netCDF, GRASS, Surfer, GrADS, Ferret and of integer rasters, which no measurement
# takes. Where one is isolated, it is an error.
_FILL_VALUES = (
    -999.0, -9999.0, -99999.0, -999999.0, -32768.0, -32767.0, -2147483648.0, -2147483647.0, 2147483647.0, 4294967295.0,
    65535.0,
)  # fmt: skip
_LARGE_FILL_VALUES = (
    1e20, 9.999e20, 1e30, -1e30, 1e34, -1e34, 9.96921e36, -9.96921e36, 1.70141e38, -1.70141e38, 3.4e38, -3.4e38,
    1.7e308, -1.7e308, 1.79769e308, -1.79769e308,
)  # fmt: skip
# Fill values of some programs, also times a scale of 0.1, that are measurements elsewhere. Where one is isolated, a
# warning is given.
_DOUBTFUL_VALUES = (
    -9.0, -99.0, -99.9, -99.99, -128.0, -999.9, -3276.8, 0.0, 99.0, 127.0, 255.0, 999.0, 999.9, 6553.5, 9999.0, 9999.9,
    32767.0, 99999.0,
)  # fmt: skip
_PLINK_MISSING = -9.0
# Distance of 0 from the other values, in their ranges, from which on it is taken for an empty cell.
_FAR_OF_ZERO = 2.0
# Distance of other values from the rest, in ranges of the rest, from which on they are warned of: of positive values,
# which may be skewed (rain, distance to a road), only if their logarithms are far too, in ranges of the logarithms.
# With half of these, skewed variables would be warned of; with the double, a lost decimal point (150 for 15.0) not.
_FAR, _FAR_OF_POSITIVE, _FAR_OF_LOGARITHMS = 10.0, 5.0, 1.0
# Least number of values, and largest share that may be far from the rest. With fewer values a range says little;
# a larger share is a group of sites of its own.
_FEWEST, _FAR_SHARE = 10, 0.05
#: Largest magnitude of a variable: sums over up to a million samples of its square are doubles.
LARGEST = 1e151


@dataclass(frozen=True)
class _Doubt:
    """Cells of one column with a value that is probably no measurement, and the range of the rest."""

    column: int
    rows: NDArray[np.int64]
    value: float
    low: float
    high: float


def is_fill_value(value: float) -> bool:
    """Return True for a number that no measurement takes, but programs write for "no data"."""
    return value in _FILL_VALUES or abs(value) >= _LARGE_FILL_VALUES[0]


def check_numbers(
    values: Floats,
    names: Sequence[str],
    label: str,
    row_at: Callable[[int], str],
    *,
    is_plink: bool = False,
    remedy: str = "with --missing drop or mean",
) -> None:
    """Refuse fill values and values too large; warn of values that are far from all others.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns), float64
        NaN where missing.
    names : sequence of str
        Names of the columns.
    label : str
        Name of the table, with which messages begin.
    row_at : function
        Describes a row for a message.
    is_plink : bool
        True for a table with FID and IID, in which PLINK takes -9 for missing.
    remedy : str
        What to do with missing values, as the end of a message.

    Raises
    ------
    MalformedInputError
        A column has a fill value that is isolated from its other values, or a value whose square is no double.

    Warns
    -----
    InputWarning
        A value is far from all others, and may be a fill value or may be real.
    """

    def cells_of(doubt: _Doubt) -> str:
        rows = some_cells([row_at(int(row)) for row in doubt.rows])
        return f"{label}, {rows}, column {shortened(names[doubt.column])!r}"

    sure, doubtful = _find_codes(values, is_plink)
    if sure:
        raise MalformedInputError(f"{cells_of(sure[0])}: {_describe_fill_values(sure, names, remedy)}")
    if len(too_large := np.argwhere(np.abs(values) > LARGEST)):
        i, j = too_large[0].tolist()
        value = repr(float(values[i, j]))
        fact = f"{value} is too large, because sums of squares of it are no double"
        end = f"use another unit, or {suggest(value)} if it means missing"
        raise MalformedInputError(f"{label}, {row_at(i)}, column {shortened(names[j])!r}: {fact}; {end}")
    for code in dict.fromkeys(doubt.value for doubt in doubtful):
        alike = [doubt for doubt in doubtful if doubt.value == code]
        warnings.warn(f"{cells_of(alike[0])}: {_describe_code(alike, names)}", InputWarning, stacklevel=3)
    told = {doubt.column for doubt in doubtful}
    far = [_find_far(values[:, j], j) for j in range(len(names)) if j not in told]
    if found := [doubt for doubt in far if doubt is not None]:
        warnings.warn(f"{cells_of(found[0])}: {_describe_far(found, names)}", InputWarning, stacklevel=3)


def _find_codes(values: Floats, is_plink: bool) -> tuple[list[_Doubt], list[_Doubt]]:
    """Return the isolated codes of all columns: those that are fill values, and those that may be measurements."""
    sure: list[_Doubt] = []
    doubtful: list[_Doubt] = []
    is_code = np.abs(values) >= _LARGE_FILL_VALUES[0]
    for code in _FILL_VALUES + _DOUBTFUL_VALUES:
        is_code |= values == code
    for j in np.flatnonzero(is_code.any(axis=0)).tolist():
        column, mask = values[:, j], is_code[:, j]
        enough = np.count_nonzero(~np.isnan(column)) >= _FEWEST
        for doubt in _isolated_codes(column, _known_codes(column, mask), j, is_plink):
            if is_fill_value(doubt.value):
                sure.append(doubt)
            elif enough:
                doubtful.append(doubt)
    return sure, doubtful


def _known_codes(column: Floats, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the values in `mask`, which are codes or very large, are known codes."""
    known = mask.copy()
    if (large := np.flatnonzero(mask & (np.abs(column) >= _LARGE_FILL_VALUES[0]))).size:
        known[large] = np.logical_or.reduce([are_code(column[large], code) for code in _LARGE_FILL_VALUES])
    return known


def _isolated_codes(column: Floats, is_code: NDArray[np.bool_], j: int, is_plink: bool) -> list[_Doubt]:
    """Return the codes in a column that are isolated from its values that are no codes."""
    rest = column[~is_code & ~np.isnan(column)]
    if not len(rest) or not is_code.any():
        return []
    low, high = float(rest.min()), float(rest.max())
    codes, times = np.unique(column[is_code], return_counts=True)
    outside = [(code, n) for code, n in zip(codes.tolist(), times.tolist(), strict=True) if code < low or code > high]
    # Values of populations are repeated whatever they mean, and have large gaps between them.
    are_of_samples = bool(outside) and 2 * len(np.unique(rest)) > len(rest)
    return [
        _Doubt(j, np.flatnonzero(column == code), code, low, high)
        for code, n in outside
        if _is_isolated(code, n, low, high, are_of_samples, is_plink)
    ]


def _is_isolated(value: float, times: int, low: float, high: float, are_of_samples: bool, is_plink: bool) -> bool:
    """Return True if a code that occurs `times` times is too far from the range of the other values to be of them."""
    gap = max(low - value, value - high)
    width = high - low
    if value == 0:
        # A site at the sea is 0 m high; a population of such sites is not far enough from the others to tell.
        return are_of_samples and gap > _FAR_OF_ZERO * width > 0
    if value == _PLINK_MISSING and low >= 0:
        # Coldest sites at -9 degrees are nearer to the next than the range of all, or others are below zero too.
        told_by_times = times > 1 and (is_plink or are_of_samples)
        return gap > (0.25 if told_by_times else 0.5 if are_of_samples else 1.0) * width
    if value == _PLINK_MISSING:
        return gap > width
    if value < 0 and low >= 0:  # No other value is negative, as in precipitation.
        return True
    return gap > (width / 2 if value <= _FILL_VALUES[0] else width)


def _find_far(column: Floats, j: int) -> _Doubt | None:
    """Return the few values of a column that are many times the range of all others away from them; None if none is."""
    ordered = np.sort(column[~np.isnan(column)])
    n = len(ordered)
    if n < _FEWEST:
        return None
    k = np.arange(1, max(1, int(_FAR_SHARE * n)) + 1)
    # The k largest values against the rest, then the k smallest: the ends of the rest, and the value next to it.
    sides = ((ordered[0], ordered[-k - 1], ordered[-k]), (ordered[k], ordered[-1], ordered[k - 1]))
    for low, high, edge in (np.broadcast_arrays(*side) for side in sides):
        for i in np.flatnonzero(_are_far(low, high, edge))[:1]:
            rows = np.flatnonzero((column < low[i]) | (column > high[i]))
            return _Doubt(j, rows, float(edge[i]), float(low[i]), float(high[i]))
    return None


def _are_far(low: Floats, high: Floats, edge: Floats) -> NDArray[np.bool_]:
    """Return which values `edge` are many times the range from `low` to `high` away from it."""
    width = high - low
    gap = np.maximum(low - edge, edge - high)
    far = (width > 0) & (gap > _FAR_OF_POSITIVE * width)
    positive = np.minimum(low, edge) > 0
    for i in np.flatnonzero(far).tolist():
        if positive[i]:
            gap_of_logarithms = max(math.log(low[i] / edge[i]), math.log(edge[i] / high[i]))
            far[i] = gap_of_logarithms > _FAR_OF_LOGARITHMS * math.log(high[i] / low[i])
        else:
            far[i] = gap[i] > _FAR * width[i]
    return np.asarray(far)


def _plain(value: float) -> str:
    """Write a number with as many digits as it has, and without a point if it is whole."""
    return repr(float(value)).removesuffix(".0")


def _name_others(doubts: list[_Doubt], names: Sequence[str]) -> str:
    """Return the names of the columns after the first one, for the middle of a message; empty if there are none."""
    others = [names[j] for j in dict.fromkeys(doubt.column for doubt in doubts) if j != doubts[0].column]
    return f" (such values are in {some_of(others)} too)" if others else ""


def _describe_fill_values(doubts: list[_Doubt], names: Sequence[str], remedy: str) -> str:
    """Return the message about isolated fill values; the first is described, and all are in the remedy."""
    first, also = doubts[0], _name_others(doubts, names)
    codes = list(dict.fromkeys(_plain(doubt.value) for doubt in doubts))
    fact = f"{codes[0]} is a fill value of rasters, which means no data, and the other values lie"
    options = " ".join(f"--missing-code {code}" for code in codes[:3])
    python = codes[0] if len(codes) == 1 else f"[{', '.join(codes[:3])}]"
    end = f"use {options} (in Python missing_code={python}), {remedy}"
    return f"{fact} from {first.low:.6g} to {first.high:.6g}{also}; {end}"


def _describe_code(doubts: list[_Doubt], names: Sequence[str]) -> str:
    """Return the warning about an isolated value that is a code for missing in some programs."""
    first, also = doubts[0], _name_others(doubts, names)
    code, n = _plain(first.value), len(first.rows)
    fact = f"{counted(n, 'value')} {'is' if n == 1 else 'are'} exactly {code}, often a code for missing"
    return f"{fact}, and the others lie from {first.low:.6g} to {first.high:.6g}{also}; if missing, use {suggest(code)}"


def _describe_far(doubts: list[_Doubt], names: Sequence[str]) -> str:
    """Return the warning about values far from all others; further columns are only named."""
    first, also = doubts[0], _name_others(doubts, names)
    value = _plain(first.value)
    fact = f"{value} is far from the others, which lie from {first.low:.6g} to {first.high:.6g}{also}"
    return f"{fact}; check it, and if it means missing, use {suggest(value)}"
