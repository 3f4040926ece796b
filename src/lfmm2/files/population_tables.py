"""Tables with one row per population: which column has the populations, and which row each sample gets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import counted, some_of
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.files.id_columns import Column, decide, find_candidate, id_texts
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.id_tables import IdTable, split_ids
from lfmm2.files.raw_tables import RawTable, read_raw_table, refuse_without_ids
from lfmm2.files.text_tables import repeated


@dataclass(frozen=True)
class Populations:
    """The population of each sample.

    Attributes
    ----------
    column : str
        Name of the column of the samples that has them, such as FID.
    of_samples : tuple of str
        In the order of the samples of the genotypes; empty or a mark such as 0 where a sample has none.
    """

    column: str
    of_samples: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Return the populations, each once, in the order of the samples."""
        return list(dict.fromkeys(self.of_samples))


def take_apart_by_population(
    source: Any, populations: Populations, what: str, wanted: Collection[str] | None = None, decimal: str = "."
) -> IdTable:
    """Take a table with one row per population apart; its IDs are the populations.

    They are in the column called as that of the samples, else in the one whose cells are the populations. `wanted` and
    `decimal` are as of `read_raw_table`.

    Raises
    ------
    UsageError
        If the table is an array, whose rows have no names.
    InconsistentInputError
        If no column has the populations, or several do in different rows.
    """
    if isinstance(source, np.ndarray | list | tuple):
        fact = f"{what}: env_by matches rows by their population, and an array has no names"
        raise UsageError(f"{fact}; give a table with a column of populations, or one row per sample without env_by")
    columns = None if wanted is None else {*wanted, populations.column}
    raw = read_raw_table(source, populations.names, what, columns, decimal)
    refuse_without_ids(raw)
    table = split_ids(raw, _find_column(raw, populations))
    return replace(table, fid=None, kind="population")


def _find_column(raw: RawTable, populations: Populations) -> Column:
    """Return the column that has the populations."""
    name = populations.column.casefold()
    for column in raw.columns:
        if column.name.strip().removeprefix("#").casefold() == name:
            return column
    keys = populations.names
    found = [c for column in raw.columns if (c := find_candidate(column, keys, set(keys))) is not None]
    remedy = f"call the one with the populations {populations.column}"
    if (chosen := decide(raw.label, found, "populations", remedy)) is not None:
        return chosen.column
    hints = [hint for column in raw.columns for hint in spelling_hints(keys, _cells_of(column))]
    fact = f"no column has the {populations.column} of the samples ({some_of(keys)})"
    facts = "; ".join([fact, *hints[:1], *(["PLINK takes 0 for none"] if "0" in keys else [])])
    raise InconsistentInputError(f"{raw.label}: {facts}; call the column of populations {populations.column}")


def _cells_of(column: Column) -> set[str]:
    """Return the cells of a column that may have IDs."""
    texts = id_texts(column.cells)
    return set() if texts is None else set(filter(None, texts.to_pylist()))


def match_populations(table: IdTable, populations: Sequence[str], column: str, intersect: bool) -> NDArray[np.int64]:
    """Return the row of the table for each sample in use by its population; -1 where there is none and `intersect`.

    Raises
    ------
    InconsistentInputError
        If a population has several rows; if one has none, unless `intersect` and some have one.
    """
    if twins := repeated(table.iid):
        fact = f"repeated populations ({some_of(twins)}) in {table.id_place}"
        raise InconsistentInputError(
            f"{table.label}: {fact}; keep one row each, or leave out --env-by if each row is a sample"
        )
    row_of = {name: row for row, name in enumerate(table.iid)}
    rows = np.array([row_of.get(name, -1) for name in populations], np.int64)
    n_lacking = int(np.count_nonzero(rows < 0))
    if n_lacking and (not intersect or n_lacking == len(rows)):
        known = set(populations)
        lacking = [name for name in dict.fromkeys(populations) if name not in row_of]
        extra = [name for name in table.iid if name not in known]
        which = f"{counted(len(lacking), 'population')} by {column} ({some_of(lacking)})"
        facts = [f"{n_lacking} of {len(rows)} samples, of {which}, have no row"]
        facts += [f"{len(extra)} rows are of no sample ({some_of(extra)})"] if extra else []
        facts += spelling_hints(lacking, extra)
        facts += ["PLINK takes 0 for none"] if "0" in lacking else []
        remedy = f"check {table.id_place}" if n_lacking == len(rows) else "complete the table, or use --intersect"
        raise InconsistentInputError(f"{table.label}: {'; '.join(facts)}; {remedy}")
    return rows
