"""Variables read from tables, and aligned to the samples of a .fam.

Samples are matched by ID, never by row order; whatever would leave a sample without a value, or give it that
of another, is an error that names both sides.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import MissingCode
from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, MalformedInputError, UsageError
from lfmm2.files.cell_numbers import as_floats
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.id_tables import ROWS, IdTable, as_tables, take_apart
from lfmm2.files.samples import Samples, joined_ids
from lfmm2.files.text_tables import repeated

_RESERVED_NAMES = ("joint", "factors", "loadings")  # outputs are called <out>.<name>
# Distance of a variable from the span of the others, relative to its norm, up to which it is collinear: the limit of
# R's lm(). With a smaller limit, the effects of nearly collinear variables would be digits of rounding.
_COLLINEAR = 1e-7
# Range of a variable, relative to its largest magnitude, up to which it is constant: a few roundings of a double. A
# larger limit would refuse variables of large mean and small spread.
_CONSTANT = 16 * float(np.finfo(np.float64).eps)


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
class Variables:
    """Variables of those samples that have them or were given a mean, in .fam order.

    Attributes
    ----------
    names : tuple of str
    values : ndarray of shape (n_kept, n_variables), float64, C-contiguous
        Finite, not centred, in the units of the table.
    sample_index : ndarray of shape (n_kept,), int64
        Row of each in the .fam, ascending.
    matches : tuple of TableMatch
        How each table with IDs was matched; none for an array.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    sample_index: NDArray[np.int64]
    matches: tuple[TableMatch, ...] = ()


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
) -> Variables:
    """Read variables and align them to samples by ID.

    Parameters
    ----------
    source : path, DataFrame, pyarrow.Table, array, or a list of paths, DataFrames and Tables
        A file has a header and is separated by commas, tabs or blanks. IDs are the column IID (with FID; or
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

    Raises
    ------
    ReadError
        The file cannot be read.
    MalformedInputError
        The table is empty or ragged, its column names are empty or repeated, a cell is no finite number.
    InconsistentInputError
        IDs are repeated or ambiguous, samples have no row or a missing value, a variable is missing in all of them,
        an array has another length, no sample is in all of several tables, several columns may be the IDs.
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
    tables = [
        take_apart(part, samples, name, has_ids=has_ids) for part, name in zip(sources, names_of_tables, strict=True)
    ]
    names = _choose_names(tables, columns)
    if kept is None:
        kept = np.arange(len(samples))
    parts: list[Variables] = []
    for table in tables:
        own = [name for name in names if name in table.columns]
        values = np.column_stack([np.empty((len(table.iid), 0)), *(as_floats(table, n, missing_code) for n in own)])
        parts.append(_align(table, own, values, samples, kept, what, missing, intersect))
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
) -> Variables:
    """Return the variables of one table, `values` row by row, for the samples in use that have them."""
    used = Samples(tuple(samples.fid[i] for i in kept), tuple(samples.iid[i] for i in kept))
    row_of_used = _match_samples(table, used, intersect)
    found = row_of_used >= 0
    rows = row_of_used[found]
    values = values[rows]
    complete = _treat_missing(table, names, values, rows, "drop" if intersect else missing, what, quiet=intersect)
    index = kept[found][complete].astype(np.int64)
    matches = (_describe_match(table, samples),) if table.id_place != ROWS else ()
    return Variables(tuple(names), np.ascontiguousarray(values[complete]), index, matches)


def _describe_match(table: IdTable, samples: Samples) -> TableMatch:
    """Count the rows of a table that belong to no sample of the genotypes, in use or not."""
    known = set(samples.iid)
    return TableMatch(table.label, table.id_place, len(table.iid), sum(iid not in known for iid in table.iid))


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
    values = np.hstack([part.values[np.searchsorted(part.sample_index, common)] for part in parts])
    joined_names = [name for part in parts for name in part.names]
    order = [joined_names.index(name) for name in names]
    matches = tuple(match for part in parts for match in part.matches)
    return Variables(tuple(names), np.ascontiguousarray(values[:, order]), common, matches)


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
        places = [table.at(rows[i], names[j]) for i, j in np.argwhere(lacking)[:6]]
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
            column[absent] = _mean(column[~absent])
        return np.ones(len(values), bool)
    return ~incomplete


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of finite values, whose sum may be too large for a double."""
    scale = float(np.abs(values).max()) or 1.0
    return float(np.clip((values / scale).mean(), -1, 1)) * scale


def _choose_names(tables: Sequence[IdTable], columns: Sequence[str] | None) -> list[str]:
    """Return the variables to take, checked against the columns of all tables."""
    label, known = _labels(tables), [name for table in tables for name in table.columns]
    if twins := repeated(known):
        raise UsageError(f"{label}: {some_of(twins)} is a column of several tables; rename it, or leave a table out")
    names = list(known if columns is None else columns)
    if columns is None and (others := [name for table in tables for name in table.set_aside]):
        names = [name for name in names if name not in others]
        fact = f"{some_of(others)} taken for other IDs or row numbers, not for variables"
        warnings.warn(f"{label}: {fact}; rename a column that is a variable", InputWarning, stacklevel=2)
    if not names or not all(table.columns for table in tables):
        bare = _labels([table for table in tables if not table.columns] or tables)
        raise MalformedInputError(f"{bare}: no variables beside the sample IDs; add or choose some")
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{label}: no column {some_of(unknown)} among {some_of(known)}; check the names")
    if twins := repeated(names):
        raise UsageError(f"{label}: {some_of(twins)} chosen more than once; choose it once")
    for name in names:
        if "/" in name or not name.isprintable() or name.casefold() in _RESERVED_NAMES:
            raise UsageError(f"{label}: {shortened(name)!r} cannot name an output file; rename the variable")
    return names


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


def check_variables(values: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise unless every variable varies and is independent of the others, whatever their scales.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_variables), float64
        Finite; scales may differ at will.
    names : sequence of str

    Raises
    ------
    DegenerateProblemError
        A variable is constant, the same as another, or a linear function of others.

    Warns
    -----
    InputWarning
        A tenth or more of a variable's values are exactly -9, PLINK's code for missing.
    """
    n_samples, n_variables = values.shape
    for name, share in zip(names, np.mean(values == -9, axis=0), strict=True):
        if share >= 0.1:
            fault = f"{name}: {share:.0%} of the values are exactly -9; if missing, use --missing-code -9"
            warnings.warn(fault, InputWarning, stacklevel=2)
    if n_variables >= n_samples:
        raise DegenerateProblemError(f"{n_samples} samples for {n_variables} variables; choose fewer")
    largest = np.abs(values).max(axis=0)
    scaled = values / np.where(largest > 0, largest, 1.0)
    if constant := [names[j] for j in np.flatnonzero(np.ptp(scaled, axis=0) <= _CONSTANT).tolist()]:
        raise DegenerateProblemError(f"{some_of(constant)}: constant; leave out")
    first_of: dict[bytes, str] = {}
    for name, column in zip(names, values.T, strict=True):
        twin = first_of.setdefault((column + 0.0).tobytes(), name)
        if twin != name:
            raise DegenerateProblemError(f"{twin} and {name} have the same values; leave out one")
    _check_rank(scaled, names)


def _check_rank(scaled: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise DegenerateProblemError if a centred variable is a linear function of others, by QR with pivots."""
    from scipy.linalg import qr, solve_triangular

    Z = scaled - scaled.mean(axis=0)
    Z /= np.linalg.norm(Z, axis=0)
    R, pivots = qr(Z, mode="r", pivoting=True, overwrite_a=True)
    rank = int(np.count_nonzero(np.abs(np.diagonal(R)) > _COLLINEAR))
    if rank == len(names):
        return
    weights = np.abs(solve_triangular(R[:rank, :rank], R[:rank, rank]))
    others = " and ".join(names[j] for j in sorted(pivots[:rank][weights > 1e-6 * weights.max()]))
    raise DegenerateProblemError(f"{names[pivots[rank]]} is a linear function of {others}; leave out one")
