"""Two environments of the same places, matched by ID, and the change of each variable at each place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, MissingCode
from lfmm2._words import counted, some_cells, some_of
from lfmm2.downstream.offset_units import Climate, warn_of_units
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.files import (
    IdTable,
    MissingCodes,
    as_floats,
    as_levels,
    check_numbers,
    joined_ids,
    matched_table,
    pair_tables,
    repeated,
    spelling_hints,
)
from lfmm2.results import StoredRun

# End of the message about fill values, because an offset needs all values.
_REMEDY = "and remove these rows of both tables"
# Distance from the range of a variable over the samples, relative to its width, up to which a value is not outside:
# tables are rounded. A larger one would hide what lies outside, a smaller one would call the warmest sample's own
# climate, written with fewer digits, outside.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Places:
    """The m places, and the change of their environment.

    Attributes
    ----------
    ids : tuple of str
    variables : tuple of str
    change : ndarray of shape (m, d), float64
        First environment minus the second, in the units of the tables; a row is NaN if both lack a value.
    is_complete : ndarray of shape (m,), bool
        False for these rows.
    outside : ndarray of shape (m, d), bool
        True where the second environment lies outside the range of the samples of the run.
    spread : ndarray of shape (d,), float64
        Standard deviation of each variable in the first environment, with denominator m - 1; NaN for one place.
    common : str or None
        ID of the one row of the second environment that stands for all places; None if each has its own.
    """

    ids: tuple[str, ...]
    variables: tuple[str, ...]
    change: Floats
    is_complete: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    spread: Floats
    common: str | None


@dataclass(frozen=True)
class _Environment:
    """Values (m, d) of one table, NaN where missing; its IDs are None if it is an array.

    `cell_at` describes the place of a cell, by row and column, for a message.
    """

    label: str
    iid: list[str] | None
    fid: list[str] | None
    values: Floats
    cell_at: Callable[[int, int], str]

    def keys(self, by_both: bool) -> list[str]:
        """Return the ID of each place, FID and IID joined if `by_both`; raise if an ID repeats."""
        assert self.iid is not None
        keys = joined_ids(self.fid, self.iid) if by_both and self.fid is not None else self.iid
        if twins := repeated(keys):
            raise InconsistentInputError(f"{self.label}: repeated IDs ({some_of(twins)}); keep one row each")
        return keys


def paired_environments(
    run: StoredRun, env: object, new_env: object, missing_code: MissingCode | None = None, decimal: str = "."
) -> Places:
    """Read two environments of the same places and match them; see `lfmm2.downstream.offset.genetic_offset`."""
    samples = _read_from_run(run)
    if env is None:
        old = samples
        new = _read(new_env, run, "new environments", missing_code, decimal, old.iid or ())
    elif _is_array(env) or _is_array(new_env):
        new = _read(new_env, run, "new environments", missing_code, decimal)
        old = _read(env, run, "environments", missing_code, decimal)
    else:
        tables = pair_tables(env, new_env, ("environments", "new environments"), _name_columns(run), decimal)
        old, new = (_take_variables(table, run, missing_code) for table in tables)
    ids, rows, common = _pair_rows(old, new, others_allowed=env is None)
    if broken := [key for key in ids if any(mark in key for mark in "\t\n\r")]:
        raise InconsistentInputError(f"{old.label}: an ID holds a tab or a line end ({broken[0]!r}); rename it")
    is_complete = _find_complete(old, new, rows)
    now, later, X = old.values[is_complete], new.values[rows][is_complete], samples.values
    if np.array_equal(now, later):
        fact = f"{old.label} and {new.label} are the same at all places, so that nothing changes"
        warnings.warn(f"{fact}; check that they are the right tables", InputWarning, stacklevel=3)
    else:
        warn_of_units(
            Climate(samples.label, X),
            None if env is None else Climate(old.label, now),
            Climate(new.label, later),
            run.variables,
        )
    margin = _ROUNDING * np.ptp(X, axis=0)
    outside: NDArray[np.bool_] = np.zeros_like(old.values, bool)
    outside[is_complete] = (later < X.min(axis=0) - margin) | (later > X.max(axis=0) + margin)
    change: Floats = np.full_like(old.values, np.nan)
    change[is_complete] = now - later
    spread: Floats = now.std(axis=0, ddof=1) if len(now) > 1 else np.full(len(run.variables), np.nan)
    return Places(tuple(ids), run.variables, change, is_complete, outside, spread, common)


def _read_from_run(run: StoredRun) -> _Environment:
    """Return the variables of the samples that the run was made with."""
    names, X = run.design()
    ids = run.factors().sample_ids
    if len(ids) != len(X) or not set(run.variables) <= set(names):
        raise InconsistentInputError(f"{run.prefix}: its factors file has no variables of all samples; run again")
    values = X[:, [names.index(name) for name in run.variables]]
    return _Environment(str(run.prefix), list(ids), None, values, lambda i, j: f"{ids[i]}, {run.variables[j]}")


def _pair_rows(
    old: _Environment, new: _Environment, others_allowed: bool
) -> tuple[list[str], NDArray[np.int64], str | None]:
    """Return the ID of each place, the row of `new` that it has, and the ID of a row that stands for all places."""
    n_old, n_new = len(old.values), len(new.values)
    numbers = [str(i + 1) for i in range(n_old)]
    is_known = new.iid is not None and old.iid is not None and new.iid[0] in set(old.iid)
    if n_new == 1 and n_old > 1 and not is_known:
        return old.iid or numbers, np.zeros(n_old, np.int64), "its only row" if new.iid is None else new.iid[0]
    if old.iid is None or new.iid is None:
        if n_old != n_new:
            fact = f"{counted(n_old, 'row')} in {old.label}, {n_new} in {new.label}"
            raise InconsistentInputError(f"{fact}; give one row per place in both, or tables with IDs")
        return old.iid or new.iid or numbers, np.arange(n_old), None
    ids, rows = _match(old, new, others_allowed)
    return ids, rows, None


def _find_complete(old: _Environment, new: _Environment, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which places have all values, False where both environments lack one, as cells of the sea do.

    Raise InconsistentInputError if one of the environments lacks a value of a place, or if no place has all.
    """
    old_lacks, new_lacks = (np.any(np.isnan(values), axis=1) for values in (old.values, new.values[rows]))
    if (one_lacks := old_lacks != new_lacks).any():
        cells = []
        for place in np.flatnonzero(one_lacks).tolist():
            table, row = (old, place) if old_lacks[place] else (new, int(rows[place]))
            cells += [table.cell_at(row, j) for j in np.flatnonzero(np.isnan(table.values[row])).tolist()]
        remedy = "complete the table, or remove the row of both, or its values in both for a place without offset"
        raise InconsistentInputError(f"{some_cells(list(dict.fromkeys(cells)))}: missing; {remedy}")
    if old_lacks.all():
        raise InconsistentInputError(f"{old.label}: no place has a value of every variable; complete the table")
    complete: NDArray[np.bool_] = ~old_lacks
    return complete


def _is_array(source: object) -> bool:
    """Return True for numbers without IDs."""
    return isinstance(source, np.ndarray | list | tuple)


def _read(
    source: object,
    run: StoredRun,
    what: str,
    missing_code: MissingCode | None,
    decimal: str,
    known: Sequence[str] = (),
) -> _Environment:
    """Read the variables of the run from an array, or a table with `known` IDs; `what` names an array in messages."""
    d = len(run.variables)
    if _is_array(source):
        array: Any = np.ma.asarray(source)
        if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
            raise UsageError(f"{what}: array of {array.dtype} and shape {array.shape}; give numbers, 1-D or 2-D")
        values: Floats = array.astype(np.float64).filled(np.nan).reshape(len(array), -1)
        if values.shape[1] != d:
            ours = f"{counted(d, 'variable')} ({', '.join(run.variables)})"
            fact = f"{counted(values.shape[1], 'column')}, but the run has {ours}"
            raise InconsistentInputError(f"{what}: {fact}; give one column for each, in this order")
        MissingCodes.of(missing_code).blank_numbers(values)
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values).any(axis=1))[0])
            raise InconsistentInputError(f"{what}: row {row + 1} is infinite; correct it")
        check_numbers(values, run.variables, what, lambda i: f"row {i + 1}", remedy=_REMEDY)
        return _Environment(what, None, None, values, lambda i, j: f"{what}, row {i + 1}, {run.variables[j]}")
    return _take_variables(matched_table(source, known, what, _name_columns(run), decimal), run, missing_code)


def _name_columns(run: StoredRun) -> list[str]:
    """Return the names of the columns that may hold the variables of the run: the variables and the categories."""
    return [*run.variables, *run.record.categories]


def _take_variables(table: IdTable, run: StoredRun, missing_code: MissingCode | None) -> _Environment:
    """Take the variables of the run from a table."""
    indicators = _read_categories(table, run, missing_code)
    if absent := [name for name in run.variables if name not in table.columns and name not in indicators]:
        known = some_of(list(table.columns)) or "none"
        fact = f"no column {some_of(absent)} among {known}"
        raise InconsistentInputError(f"{table.label}: {fact}; name columns as the variables of the run")
    columns: Floats = np.column_stack(
        [
            indicators[name] if name in indicators else as_floats(table, name, missing_code, False)
            for name in run.variables
        ]
    )
    check_numbers(columns, run.variables, table.label, table.row_at, remedy=_REMEDY)
    return _Environment(table.label, table.iid, table.fid, columns, lambda i, j: table.at(i, run.variables[j]))


def _read_categories(table: IdTable, run: StoredRun, missing_code: MissingCode | None) -> dict[str, Floats]:
    """Return the indicators of the categories of the run that are columns of the table, by name; NaN where missing."""
    indicators: dict[str, Floats] = {}
    for category, counts in run.record.categories.items():
        is_tested = any(f"{category}={level}" in run.variables for level in counts)
        if category not in table.columns or not is_tested:
            continue
        number, levels = as_levels(table, category, missing_code)
        if unknown := [level for level in levels if level not in counts]:
            fact = f"{table.label}, column {category!r}: level {some_of(unknown)} is not among those of the run"
            raise InconsistentInputError(
                f"{fact} ({some_of(list(counts))}), so it has no effect; leave these places out"
            )
        for level in counts:
            is_level = number == levels.index(level) if level in levels else np.zeros(len(number))
            indicators[f"{category}={level}"] = np.where(np.isnan(number), np.nan, is_level)
    return indicators


def _be(items: list[str]) -> str:
    """Return the verb for one item, or for several."""
    return "is" if len(items) == 1 else "are"


def _match(old: _Environment, new: _Environment, others_allowed: bool) -> tuple[list[str], NDArray[np.int64]]:
    """Match two tables by ID: return the IDs of `old`, and the row of `new` that holds each.

    Rows of `new` that are not in `old` are left out with a warning if `others_allowed`; otherwise they are an error.
    """
    both_fid = old.fid is not None and new.fid is not None
    by_both = both_fid and bool(repeated(old.iid or []) or repeated(new.iid or []))
    ours, theirs = old.keys(by_both), new.keys(by_both)
    row_of = {key: row for row, key in enumerate(theirs)}
    known = set(ours)
    lacking = [key for key in ours if key not in row_of]
    extra = [key for key in theirs if key not in known]
    if lacking or (extra and not others_allowed):
        facts = []
        if lacking:
            fact = f"{len(lacking)} of {counted(len(ours), 'ID')} of {old.label} {_be(lacking)} not there"
            facts.append(f"{fact} ({some_of(lacking)})")
        if extra:
            facts.append(f"{len(extra)} of its IDs {_be(extra)} not in {old.label} ({some_of(extra)})")
        facts += spelling_hints(lacking, extra)
        raise InconsistentInputError(f"{new.label}: {'; '.join(facts)}; give the same places in both")
    if extra:
        fact = f"{counted(len(extra), 'row')} of no sample of the run left out ({some_of(extra)})"
        warnings.warn(f"{new.label}: {fact}", InputWarning, stacklevel=4)
    return ours, np.array([row_of[key] for key in ours], np.int64)
