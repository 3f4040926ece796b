"""Categories of a table, such as sex or batch, as indicator columns: one for each level but the first.

The levels are those of the samples in use, sorted; the first is the reference, to which the effects of the others are
compared (treatment coding, as in R's model.matrix and PLINK 2). While tables are matched, a category is a column of
numbers of levels, and it is expanded when the samples are known.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import some_of
from lfmm2.errors import DegenerateProblemError, InputWarning, MalformedInputError, UsageError
from lfmm2.files.column_cells import as_arrow, as_texts, is_text
from lfmm2.files.fill_values import is_fill_value
from lfmm2.files.id_tables import IdTable
from lfmm2.files.missing_codes import MissingCodes, suggest
from lfmm2.files.table_text import is_number

# Share of the samples up to which the number of levels may go. Beyond it most levels have a single sample, as in a
# column of IDs, and nothing would be left to test.
_MOST_LEVELS = 0.5


def as_levels(
    table: IdTable, name: str, missing_code: MissingCode | None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the number of the level in each row of a column, NaN where missing, and the names of the levels, sorted.

    Levels that are all numbers are sorted as numbers, and 1 and 1.0 are the same level.
    """
    codes = MissingCodes.of(missing_code)
    cells = as_arrow(table.columns[name])
    texts = cells.to_pylist() if is_text(cells) else as_texts(table.columns[name])
    texts = codes.blank_text(pa.array(texts, pa.string())).to_pylist()
    present = {text for text in texts if text is not None}
    if all(is_number(text, table.decimal) for text in present):
        value_of = {text: float(text.replace(table.decimal, ".")) for text in present}
        # The sum with 0.0 makes one level of 0 and -0.
        numbers = {text: value + 0.0 for text, value in value_of.items() if value not in codes.numbers}
        plain = {text: repr(number).removesuffix(".0") for text, number in numbers.items()}
        names = tuple(sorted(set(plain.values()), key=float))
    else:
        plain = {text: text for text in present}
        names = tuple(sorted(present))
    _refuse_fill_values(table, name, [plain.get(text or "", "") for text in texts])
    number_of = {level: k for k, level in enumerate(names)}
    levels = [number_of.get(plain.get(text, ""), np.nan) if text is not None else np.nan for text in texts]
    return np.array(levels, np.float64), names


def _refuse_fill_values(table: IdTable, name: str, levels: Sequence[str]) -> None:
    """Raise MalformedInputError if a level is a fill value; warn of levels below zero, which no class has."""
    for level in sorted({level for level in levels if (is_number(level) and float(level) < 0) or level == "255"}):
        fact = f"{table.at(levels.index(level), name)}: {level} is a level of this category"
        if is_fill_value(float(level)):
            raise MalformedInputError(f"{fact}, but a fill value of rasters, which means no data; use {suggest(level)}")
        warnings.warn(
            f"{fact}, but often a code for missing; if missing, use {suggest(level)}", InputWarning, stacklevel=4
        )


def expand_categories(
    names: Sequence[str], values: NDArray[np.float64], levels: Mapping[str, tuple[str, ...]], iids: Sequence[str]
) -> tuple[dict[str, list[str]], NDArray[np.float64], dict[str, dict[str, int]]]:
    """Replace each category by its indicators, at its place.

    Parameters
    ----------
    names : sequence of str
        Names of the columns of `values`, of which those in `levels` are categories.
    values : ndarray of shape (n_samples, n_columns), float64
        Finite; of a category the number of the level.
    levels : mapping of str to tuple of str
        Names of the levels of each category.
    iids : sequence of str
        IDs of the samples.

    Returns
    -------
    new_names : dict of str to list of str
        Names of the columns that stand for each of `names`: ``sex=M``, or the name itself.
    expanded : ndarray of shape (n_samples, n_new), float64
    counts : dict of str to dict of str to int
        Number of samples of each level of each category; the first level is the reference.

    Raises
    ------
    DegenerateProblemError
        If a category has one level only, or as many as a column of IDs.
    UsageError
        If an indicator has the name of another column.

    Warns
    -----
    InputWarning
        A level has a single sample; levels differ by upper and lower case only.
    """
    new_names: dict[str, list[str]] = {}
    columns: list[NDArray[np.float64]] = []
    counts: dict[str, dict[str, int]] = {}
    for name, column in zip(names, values.T, strict=True):
        if name not in levels:
            new_names[name] = [name]
            columns.append(column)
            continue
        number = column.astype(np.int64)
        n_of = Counter(number.tolist())
        used = sorted(n_of)  # The numbers of the levels follow their order.
        counts[name] = {levels[name][k]: n_of[k] for k in used}
        _check_levels(name, counts[name], number, levels[name], iids)
        new_names[name] = [f"{name}={levels[name][k]}" for k in used[1:]]
        columns += [(number == k).astype(np.float64) for k in used[1:]]
    flat = [new for of_one in new_names.values() for new in of_one]
    if twins := [new for new, times in Counter(flat).items() if times > 1]:
        raise UsageError(f"{some_of(twins)} is a column and also the indicator of a category; rename the column")
    return new_names, np.column_stack(columns), counts


def _check_levels(
    name: str, counts: dict[str, int], number: NDArray[np.int64], levels: tuple[str, ...], iids: Sequence[str]
) -> None:
    """Refuse a category of one level or of too many; warn of levels that mean little."""
    if len(counts) == 1:
        raise DegenerateProblemError(f"{name}: all samples in use have the level {some_of(list(counts))}; leave it out")
    if len(counts) > max(2, _MOST_LEVELS * len(iids)):
        fact = f"{name}: {len(counts)} levels among {len(iids)} samples ({some_of(list(counts))})"
        raise DegenerateProblemError(f"{fact}; a category has several samples for each level, so leave it out")
    if single := [level for level, times in counts.items() if times == 1]:
        who = [iids[int(np.flatnonzero(number == levels.index(level))[0])] for level in single]
        fact = f"{name}: only one sample has the level {some_of(single)} ({some_of(who)}), which no test can use"
        warnings.warn(f"{fact}; join the level with another, or remove the sample", InputWarning, stacklevel=4)
    folded = Counter(level.casefold() for level in counts)
    if alike := [level for level in counts if folded[level.casefold()] > 1]:
        fact = f"{name}: levels {some_of(alike)} differ by upper and lower case only"
        warnings.warn(f"{fact}; write them alike if they mean the same", InputWarning, stacklevel=4)
