"""Variables read from tables, and aligned to the samples of a .fam.

Samples are matched by ID, never by row order; whatever would leave a sample without a value, or give it that
of another, is an error that names both sides.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, UsageError
from lfmm2.files.categories import as_levels
from lfmm2.files.cell_numbers import as_floats
from lfmm2.files.fill_values import check_numbers
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.id_tables import ROWS, IdTable, as_tables, take_apart
from lfmm2.files.population_tables import Populations, match_populations, take_apart_by_population
from lfmm2.files.samples import Samples, joined_ids
from lfmm2.files.text_tables import repeated
from lfmm2.files.variable_checks import numbers_its_rows

_RESERVED_NAMES = ("joint", "factors", "loadings")  # outputs are called <out>.<name>


@dataclass(frozen=True)
class TableMatch:
    """How the rows of one table were matched to the samples.

    Attributes
    ----------
    table : str
        Path or name of the table.
    ids : str
        The column of the sample IDs, in words.
    n_rows, n_of_no_sample : int
        Rows of the table, and those of them that belong to no sample of the genotypes.
    """

    table: str
    ids: str
    n_rows: int
    n_of_no_sample: int

    def describe(self) -> str:
        """Return the match in words: ``IDs in column 'sample' of env.csv, rows of no sample: 100 of 300``."""
        others = f", rows of no sample: {with_spaces(self.n_of_no_sample)} of {with_spaces(self.n_rows)}"
        return f"IDs in {self.ids} of {self.table}" + (others if self.n_of_no_sample else "")


@dataclass(frozen=True)
class PopulationMatch(TableMatch):
    """How the rows of a table were matched to the populations of the samples.

    Attributes
    ----------
    by : str
        Column of the samples that has the population of each.
    """

    by: str

    def describe(self) -> str:
        """Return the match in words: ``populations (FID) in column 'pop' of env.csv``."""
        return f"populations ({self.by}){super().describe().removeprefix('IDs')}"


@dataclass(frozen=True)
class Variables:
    """Variables of those samples that have them or were given a mean, in .fam order.

    Attributes
    ----------
    names : tuple of str
    values : ndarray of shape (n_kept, n_variables), float64, C-contiguous
        Finite, not centred, in the units of the table.
    sample_index : ndarray of shape (n_kept,), int64
        Row of each in the .fam, ascending.
    levels : dict of str to tuple of str
        Names of the levels of each category; its values are numbers of levels, which `expand_categories` replaces.
    matches : tuple of TableMatch
        How each table with IDs was matched; none for an array.
    coordinates : dict of str to ndarray of shape (n_kept,), float64
        Coordinates of the samples, which are no variables; NaN where missing.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    sample_index: NDArray[np.int64]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    matches: tuple[TableMatch, ...] = ()
    coordinates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def read_variables(
    source: object,
    samples: Samples,
    *,
    what: str = "variables",
    columns: Sequence[str] | None = None,
    missing_code: MissingCode | None = None,
    missing: str = "error",
    intersect: bool = False,
    kept: NDArray[np.int64] | None = None,
    has_ids: bool = True,
    categorical: Collection[str] = (),
    decimal: str = ".",
    populations: Populations | None = None,
    coords: Sequence[str] = (),
) -> Variables:
    """Read variables and align them to samples by ID.

    Parameters
    ----------
    source : path, DataFrame, pyarrow.Table, array, or a list of paths, DataFrames and Tables
        A file has a header and is separated by commas, semicolons, tabs or blanks. IDs are the column IID (with FID; or
        #IID, #FID), else the column, or the index of a DataFrame, whose cells are the IDs of the samples; row numbers
        are no IDs, nor is the index that pandas makes. An array of shape (n_samples,) or
        (n_samples, n_variables) is in .fam order; its variables are called env1, env2, ... Several tables are joined
        by sample: a sample needs a row in each, and no two have a column of one name.
    samples : Samples
    what : str
        Name of the variables in messages.
    columns : sequence of str, optional
        The variables to take, in this order; by default all.
    missing_code : float or str, or several, optional
        Values that mean missing, beside an empty cell, NA and nan.
    missing : {"error", "drop", "mean"}
        Treatment of samples that have a row but lack a value: raise, leave them out, or take the mean of the
        variable over the samples in use that have it. An InputWarning gives the numbers of the latter two.
    intersect : bool
        Leave out samples without a row or with a missing value, instead of raising.
    kept : ndarray of int64, optional
        Rows of the .fam that are in use, ascending; all by default.
    has_ids : bool
        False if the samples are only numbered, as the rows of an array are.
    categorical : collection of str
        Names of the columns that are categories; others may be among them.
    decimal : {".", ","}
        Decimal mark of numbers that are text.
    populations : Populations, optional
        The population of each sample: each row of the tables is then of a population, and all samples of it get it.
    coords : sequence of str
        Names of columns that are coordinates: they are read beside the variables, and may be missing.

    Raises
    ------
    ReadError
        The file cannot be read.
    MalformedInputError
        The table is empty or ragged, its column names are empty or repeated, a cell is no finite number, is a fill
        value of rasters or too large, or a column is one of words that `categorical` does not name.
    InconsistentInputError
        IDs are repeated or ambiguous, samples have no row or a missing value, a variable is missing in all of them,
        an array has another length, no sample is in all of several tables, several columns may be the IDs, a value of
        a category is to be a mean.
    UsageError
        A name is unknown, is a column of two tables, or would clash with an output, `source` is of another type.

    Examples
    --------
    >>> import pyarrow as pa
    >>> samples = Samples(fid=("F1", "F2"), iid=("I1", "I2"))
    >>> read_variables(pa.table({"IID": ["I2", "I1"], "climate": [12.5, 7.0]}), samples).values.tolist()
    [[7.0], [12.5]]
    """
    sources = as_tables(source)
    names_of_tables = [what] if len(sources) == 1 else [f"{what}, table {i + 1}" for i in range(len(sources))]
    wanted = None if columns is None else [*columns, *coords]
    tables = [
        take_apart(part, samples, name, wanted, has_ids=has_ids, decimal=decimal)
        if populations is None
        else take_apart_by_population(part, populations, name, wanted, decimal)
        for part, name in zip(sources, names_of_tables, strict=True)
    ]
    names = _choose_names(tables, columns, categorical, coords)
    if kept is None:
        kept = np.arange(len(samples))
    parts: list[Variables] = []
    for table in tables:
        own = [name for name in names if name in table.columns]
        levels: dict[str, tuple[str, ...]] = {}
        numbers: list[NDArray[np.float64]] = [np.empty((len(table.iid), 0))]
        for name in own:
            if name in categorical:
                column, levels[name] = as_levels(table, name, missing_code)
            else:
                column = as_floats(table, name, missing_code)
                if columns is None:
                    option = "--variables" if what == "variables" else "--covar-variables"
                    _warn_of_row_numbers(table, name, column, option)
            numbers.append(column)
        table_values = np.column_stack(numbers)
        places = {name: as_floats(table, name, missing_code, False) for name in coords if name in table.columns}
        part = _align(table, own, table_values, samples, kept, what, missing, intersect, levels, populations, places)
        parts.append(part)
    return join_variables(parts, names, f"no sample is in all of {_labels(tables)}")


def _align(
    table: IdTable,
    names: list[str],
    values: NDArray[np.float64],
    samples: Samples,
    kept: NDArray[np.int64],
    what: str,
    missing: str,
    intersect: bool,
    levels: Mapping[str, tuple[str, ...]],
    populations: Populations | None,
    places: Mapping[str, NDArray[np.float64]],
) -> Variables:
    """Return the variables of one table, for the samples in use that have them; `values` and `places` are by row."""
    if populations is None:
        used = Samples(tuple(samples.fid[i] for i in kept), tuple(samples.iid[i] for i in kept))
        row_of_used = _match_samples(table, used, intersect)
    else:
        of_used = [populations.of_samples[i] for i in kept]
        row_of_used = match_populations(table, of_used, populations.column, intersect)
    found = row_of_used >= 0
    rows = row_of_used[found]
    checked = rows if populations is None else np.unique(rows)
    _check_cells(table, names, values[checked], checked, levels, fills=missing == "mean")
    values = values[rows]
    complete = _treat_missing(table, names, values, rows, "drop" if intersect else missing, what, quiet=intersect)
    index = kept[found][complete].astype(np.int64)
    matches = (_describe_match(table, samples, populations),) if table.id_place != ROWS else ()
    coordinates = {name: column[rows][complete] for name, column in places.items()}
    return Variables(tuple(names), np.ascontiguousarray(values[complete]), index, levels, matches, coordinates)


def _describe_match(table: IdTable, samples: Samples, populations: Populations | None) -> TableMatch:
    """Count the rows of a table that belong to no sample of the genotypes, in use or not."""
    known = set(samples.iid if populations is None else populations.of_samples)
    n_others = sum(iid not in known for iid in table.iid)
    facts = (table.label, table.id_place, len(table.iid), n_others)
    return TableMatch(*facts) if populations is None else PopulationMatch(*facts, populations.column)


def _check_cells(
    table: IdTable,
    names: Sequence[str],
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    levels: Mapping[str, tuple[str, ...]],
    fills: bool,
) -> None:
    """Check the numbers of the samples in use, and that no category is to be filled with a mean if `fills`."""
    at = [j for j, name in enumerate(names) if name not in levels]
    is_plink = table.fid is not None and table.first_line is not None
    numbers = [names[j] for j in at]
    check_numbers(values[:, at], numbers, table.label, lambda i: table.row_at(int(rows[i])), is_plink=is_plink)
    for j in set(range(len(names))).difference(at) if fills else ():
        if len(lacking := np.flatnonzero(np.isnan(values[:, j]))):
            fact = f"{table.at(int(rows[lacking[0]]), names[j])}: is missing, and a category has no mean"
            raise InconsistentInputError(f"{fact}; use --missing drop, or write a level for unknown")


def _warn_of_row_numbers(table: IdTable, name: str, column: NDArray[np.float64], option: str) -> None:
    """Warn of a column that counts the rows, unless it is of an array; `option` chooses columns of the table."""
    of_array = table.first_line is None and re.fullmatch(r"env\d+", name) is not None
    if not of_array and numbers_its_rows(column):
        fact = f"{table.label}, column {shortened(name)!r}: numbers the rows from {column[0]:.0f} to {column[-1]:.0f}"
        remedy = f"if it is no measurement, choose columns with {option}, or remove it"
        warnings.warn(f"{fact}; {remedy}", InputWarning, stacklevel=3)


def join_variables(parts: Sequence[Variables], names: Sequence[str], fault: str) -> Variables:
    """Join variables by sample, in the order of `names`, for the samples that all parts have.

    Raises
    ------
    InconsistentInputError
        If there is no such sample; the message begins with `fault`.
    """
    common = reduce(np.intersect1d, [part.sample_index for part in parts])
    if len(common) == 0:
        raise InconsistentInputError(f"{fault}; check the sample IDs")
    rows_of = [np.searchsorted(part.sample_index, common) for part in parts]
    values = np.hstack([part.values[rows] for part, rows in zip(parts, rows_of, strict=True)])
    coordinates = {
        name: column[rows]
        for part, rows in zip(parts, rows_of, strict=True)
        for name, column in part.coordinates.items()
    }
    joined_names = [name for part in parts for name in part.names]
    order = [joined_names.index(name) for name in names]
    levels = {name: of_name for part in parts for name, of_name in part.levels.items()}
    matches = tuple(match for part in parts for match in part.matches)
    return Variables(tuple(names), np.ascontiguousarray(values[:, order]), common, levels, matches, coordinates)


def _labels(tables: Sequence[IdTable]) -> str:
    """Return the labels of tables, with which a message about all of them begins."""
    return " and ".join(table.label for table in tables)


def _treat_missing(
    table: IdTable,
    names: list[str],
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    missing: str,
    what: str,
    quiet: bool,
) -> NDArray[np.bool_]:
    """Treat missing values as asked, and return a mask of the samples to take.

    `rows` are the rows of the table that `values` come from. Means are written into `values`. `quiet` suppresses the
    warning about samples that are left out.
    """
    lacking = np.isnan(values)  # (n_found, d)
    if empty := [names[j] for j in np.flatnonzero(lacking.all(axis=0))]:
        fact = f"{some_of(empty)}: missing in all of {len(values)} samples"
        raise InconsistentInputError(f"{table.label}: {fact}; leave the variable out, or check the missing code")
    incomplete: NDArray[np.bool_] = np.logical_or.reduce(lacking, axis=1)
    n_incomplete = np.count_nonzero(incomplete)
    if n_incomplete and missing == "error":
        # Samples of one population lack the same cell.
        cells = dict.fromkeys((int(rows[i]), names[j]) for i, j in np.argwhere(lacking))
        places = [table.at(*cell) for cell in list(cells)[:6]]
        fact = f"{n_incomplete} of {len(values)} samples have missing {what}"
        more = ", …" if len(places) > 5 else ""
        remedy = "use --missing drop or mean, or --remove on these"
        raise InconsistentInputError(f"{fact}: {', '.join(places[:5])}{more}; {remedy}")
    if n_incomplete == len(values) and missing == "drop":
        raise InconsistentInputError(f"{table.label}: no sample has all {what}; complete or choose fewer")
    if n_incomplete and not quiet:
        done = "left out" if missing == "drop" else "given the mean of the others"
        numbers = [f"{name} {n}" for name, n in zip(names, lacking.sum(axis=0), strict=True) if n]
        fact = f"{n_incomplete} of {len(values)} samples have missing {what} and are {done}"
        warnings.warn(f"{table.label}: {fact} ({', '.join(numbers)})", InputWarning, stacklevel=2)
    if missing == "mean":
        for column, absent in zip(values.T, lacking.T, strict=True):
            column[absent] = column[~absent].mean()
        return np.ones(len(values), bool)
    return ~incomplete


def _choose_names(
    tables: Sequence[IdTable],
    columns: Sequence[str] | None,
    categorical: Collection[str] = (),
    coords: Sequence[str] = (),
) -> list[str]:
    """Return the variables to take, checked against the columns of all tables; coordinates are none."""
    label, known = _labels(tables), [name for table in tables for name in table.columns]
    others = {name for table in tables for name in table.set_aside}.difference(categorical, columns or ())
    if twins := [name for name in repeated(known) if name not in others]:
        raise UsageError(f"{label}: {some_of(twins)} is a column of several tables; rename it, or leave a table out")
    if absent := [name for name in coords if name not in known]:
        raise UsageError(f"{label}: no column {some_of(absent)} among {some_of(known)}, for --coords; check the names")
    if both := [name for name in coords if name in (columns or ()) or name in categorical]:
        raise UsageError(f"{some_of(both)}: both a variable and a coordinate; leave it out of one of them")
    names = list([name for name in known if name not in coords] if columns is None else columns)
    of_format = _set_aside_by_format(tables, [*(columns or ()), *categorical, *coords])
    if columns is None:
        names = [name for name in names if name not in of_format]
    if columns is None and others:
        names = [name for name in names if name not in others]
        fact = f"{some_of(sorted(others))} taken for other IDs or row numbers, not for variables"
        warnings.warn(f"{label}: {fact}; rename a column that is a variable", InputWarning, stacklevel=2)
    if not names or not all(table.columns for table in tables):
        bare = _labels([table for table in tables if not table.columns] or tables)
        raise MalformedInputError(f"{bare}: no variables beside the sample IDs; add or choose some")
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{label}: no column {some_of(unknown)} among {some_of(known)}; check the names")
    if twins := repeated(names):
        raise UsageError(f"{label}: {some_of(twins)} chosen more than once; choose it once")
    for name in names:
        check_output_name(name, label)
    return names


def _set_aside_by_format(tables: Sequence[IdTable], chosen: Collection[str]) -> set[str]:
    """Return the columns that formats say are no variables, unless chosen by name; warn of categories among them."""
    names: set[str] = set()
    for table in tables:
        categories = [name for name in table.categories if name not in chosen]
        names.update(categories, (name for name in table.no_variables if name not in chosen))
        if categories:
            fact = f"{some_of(categories)} discrete by its second line, and not taken for variables"
            remedy = f"use --categorical {','.join(categories)}, or choose columns by name"
            warnings.warn(f"{table.label}: {fact}; if they are, {remedy}", InputWarning, stacklevel=3)
    return names


def check_output_name(name: str, label: str) -> None:
    """Raise UsageError, which begins with `label`, if a variable of this name could not have a file of results."""
    if "/" in name or not name.isprintable() or name.casefold() in _RESERVED_NAMES:
        raise UsageError(f"{label}: {shortened(name)!r} cannot name an output file; rename the variable")


def _match_samples(table: IdTable, samples: Samples, intersect: bool) -> NDArray[np.int64]:
    """Return the row of each sample in the table, -1 where there is none."""
    by_both = table.fid is not None and bool(repeated(samples.iid) or repeated(table.iid))
    ours = joined_ids(samples.fid, samples.iid) if by_both else list(samples.iid)
    theirs = joined_ids(table.fid, table.iid) if by_both and table.fid else table.iid
    if twins := repeated(theirs):
        raise InconsistentInputError(f"{table.label}: repeated IDs ({some_of(twins)}); keep one row each")
    row_of_id = {key: row for row, key in enumerate(theirs)}
    if twins := [key for key in repeated(ours) if key in row_of_id]:
        raise InconsistentInputError(f"{table.label}: IID {some_of(twins)} stands for several samples; add FID")
    rows = np.array([row_of_id.get(key, -1) for key in ours], dtype=np.int64)
    lacking = [ours[i] for i in np.flatnonzero(rows < 0)]
    is_doubtful = table.counts_rows and not table.is_called_id
    if lacking and (not intersect or is_doubtful or len(lacking) == len(ours)):
        known = set(ours)
        raise _unmatched_error(table, samples, lacking, [key for key in theirs if key not in known])
    return rows


def _unmatched_error(table: IdTable, samples: Samples, lacking: list[str], extra: list[str]) -> InconsistentInputError:
    """Return the error that tells samples without a row, rows without a sample, and the likely cause."""
    hints = spelling_hints(lacking, extra, dict(zip(samples.iid, samples.fid, strict=True)))
    if n_families := len(set(extra) & set(samples.fid)):
        hints.append(f"{n_families} are FIDs; give IIDs")
    hints += [table.hint] if table.hint else []
    if len(lacking) == len(samples):
        remedy = f"check the IDs in {table.id_place}, or call the column that has them IID"
    elif table.counts_rows:
        hints.append(f"{table.id_place} may only count rows")
        remedy = "check that it has the sample IDs, and call it IID if so, else add them"
    else:
        remedy = "complete the table, or use --intersect"
    facts = [f"{len(lacking)} of {len(samples)} samples have no row ({some_of(lacking)})"]
    facts += [f"{len(extra)} rows are of no sample ({some_of(extra)})"] if extra else []
    return InconsistentInputError(f"{table.label}: {'; '.join(facts + hints)}; {remedy}")
