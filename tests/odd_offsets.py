"""The same change of an environment given in many ways to `lfmm2.genetic_offset`; see `odd_inputs`."""

from __future__ import annotations

import functools
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from made_tables import make_table, place_of
from odd_inputs import FOLDER, ID_KINDS, K, N, judge_values, sample_names, truth_of, values_of
from odd_tables import ARRAYS, CATEGORIES, CONTAINERS, ODDITIES, Oddity, TableWay, table_ways

import lfmm2
from lfmm2.genotypes.plink_writer import write_plink

KINDS = tuple(name for name in ODDITIES if name not in CATEGORIES)
WITH_IDS = tuple(name for name in CONTAINERS if name not in ARRAYS)


@dataclass(frozen=True)
class OffsetWay:
    """How two environments are given: `old` is None where it is that of the run."""

    seed: int
    ids: str
    values: str
    new: TableWay
    old: TableWay | None
    n_variables: int

    @property
    def all_oddities(self) -> dict[str, Oddity]:
        """Return every oddity of both tables."""
        return {name: ODDITIES[name] for table in (self.new, self.old) for name in (table.oddities if table else ())}


@st.composite
def offset_ways(draw: Any, kinds: tuple[str, ...] = KINDS) -> OffsetWay:
    """Draw a way to give two environments, with oddities of some kinds."""
    kinds = tuple(name for name in kinds if name in KINDS)
    ids = draw(st.sampled_from([kind for kind in ID_KINDS if kind != "families"]))
    how = {"numeric_ids": "numbers" in ids, "families": False}
    values = draw(st.sampled_from(["temperature", "january", "altitude", "sites"]))
    if values == "january":
        kinds = tuple(name for name in kinds if name != "-9 in a PLINK table")
    has_old = draw(st.booleans())
    new = draw(table_ways(kinds, **how, containers=WITH_IDS if has_old else CONTAINERS))
    # Places may have any names, so that names that both tables decorate alike are no fault.
    plain = tuple(name for name in kinds if "decorated" not in name)
    old = draw(table_ways(plain, **how, containers=WITH_IDS, most=1)) if has_old else None
    series = "series" in (new.container, old.container if old else "")
    return OffsetWay(
        seed=draw(st.integers(0, 10_000)),
        ids=ids,
        values=values,
        new=new,
        old=old,
        n_variables=1 if series else draw(st.sampled_from([1, 2])),
    )


@functools.cache
def _changes_of(way_seed: int, n_variables: int) -> np.ndarray:
    """Return what changes (N, d): never so much that a value leaves the range of the others."""
    rng = np.random.default_rng(way_seed)
    return np.round(rng.uniform(0.5, 3, (N, n_variables)), 1)


def judge(way: OffsetWay) -> str:
    """Compute the offset of environments that are given in this way; see `odd_inputs.judge`."""
    rng = np.random.default_rng(way.seed)
    fid, iid = sample_names(way.ids, rng)
    now = np.column_stack([values_of(way.values, rng), np.round(rng.normal(900, 150, N), 1)])[:, : way.n_variables]
    names = ("temp", "rain")[: way.n_variables]
    change = _changes_of(way.seed, way.n_variables)
    gap, error, right = None, "", None
    with tempfile.TemporaryDirectory(dir=FOLDER) as text, warnings.catch_warnings(record=True) as seen:
        folder = Path(text)
        warnings.simplefilter("always")
        bed = write_plink(folder / "d", truth_of(way.seed % 4).T, fid=fid, iid=iid)
        env = folder / "run.csv"
        env.write_text("".join(",".join(row) + "\n" for row in [["IID", *names], *_rows(iid, now)]))
        run = lfmm2.run(None, bed, env, K, out=folder / "r", n_threads=1, memory="1GB")
        seen.clear()
        future = dict(zip(names, np.round(now + change, 3).T, strict=True))
        new = make_table(way.new, fid, iid, future, rng, folder / "new.txt")
        today = dict(zip(names, now.T, strict=True))
        old = None if way.old is None else make_table(way.old, fid, iid, today, rng, folder / "old.txt")
        codes = [found.missing_code for found in (new, old) if found is not None and found.missing_code]
        try:
            offset = lfmm2.genetic_offset(
                run, None if old is None else old.source, new.source, loci="all", missing_code=codes or None
            )
        except lfmm2.LfmmError as raised:
            error = str(raised)
        else:
            gap = offset.gap[_order(way, offset.ids, iid), None]
        tables = [found for found in (new, old) if found is not None]
        complete = all(found.has_row.all() and np.isfinite(found.values).all() for found in tables)
        twins = any(table is not None and table.has("two rows of a sample") for table in (way.new, way.old))
        others = way.old is not None and way.new.has("rows of others") != way.old.has("rows of others")
        if complete and not twins and not others:
            effects = run.ridge_beta[np.isfinite(run.ridge_beta).all(axis=1)]
            right = ((change @ effects.T) ** 2).mean(axis=1)[:, None]
    return judge_values(way, gap, right, error, seen)


def _order(way: OffsetWay, ids: tuple[str, ...], iid: list[str]) -> list[int]:
    """Return the row of each sample in the result; none where it lacks some. Places of no sample are not looked at."""
    # Tables that share no IDs are matched by their places, of which the longitude is different in each.
    places = [(f"{lon:g}", f"{lat:g}") for _, lon, lat in map(place_of, range(N))]
    for names in (iid, [lon for lon, _ in places], list(map(" ".join, places))):
        if set(names) <= set(ids):
            return [ids.index(name) for name in names]
    without = [table is not None and table.has("index that counts rows, and no IDs") for table in (way.new, way.old)]
    return list(range(N)) if all(without) and len(ids) == N else []


def _rows(iid: list[str], values: np.ndarray) -> list[list[str]]:
    return [[name, *map(repr, row)] for name, row in zip(iid, values.tolist(), strict=True)]
