"""The same data given in many ways: whatever the way, the right answer, or an error or a warning that names the fault.

A truth is a small set of genotypes with values of an environment for each sample. A `Way` says in words how it is given
to `lfmm2.run` or `lfmm2.genetic_offset`; `judge` gives it so and compares what comes out with the dense definition.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import odd_tables
import pandas as pd
from field_data import dense_t, genotypes
from hypothesis import strategies as st
from made_tables import Found, make_table
from odd_tables import ARRAYS, ODDITIES, Oddity, TableWay, table_ways

import lfmm2
from lfmm2.genotypes.plink_writer import write_plink

N, P, K = 24, 40, 2
N_TRUTHS = 4
TOLERANCE = 1e-5
# in memory if possible: runs wait for the disk, which is no matter here
IN_MEMORY = Path("/dev/shm")
FOLDER = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None

ID_KINDS = ("words", "numbers", "numbers from 0", "numbers from 101", "padded numbers", "capitals", "families")
VALUES = ("temperature", "january", "altitude", "sites", "outlier")
CODES = (9, -1, -9, -127, 3, 255)
GENOTYPES = (
    "fileset", "fileset", "fileset", "fileset", "array", "float32", "int8", "masked array", "halves", "frame with IDs",
    "frame that counts rows",
)  # fmt: skip
#: Oddities of genotypes in memory.
OF_GENOTYPES = {
    "a code for missing genotypes": Oddity("missing|code|ploidy"),
    "a code for missing genotypes, named": Oddity("missing", is_sound=True),
    "transposed genotypes": Oddity(r"rows|transpose|\.T\b|samples"),
    "IDs for genotypes without": Oddity("ID|row"),
    "a frame of genotypes with a column of IDs": Oddity("ID|column|number"),
    "a frame of genotypes with nullable numbers": Oddity("to_numpy|real numbers"),
}
OF_ARRAYS = tuple(OF_GENOTYPES)[:3]
# What each kind of genotypes can have of the oddities.
ODD_GENOTYPES = {
    **dict.fromkeys(["array", "float32", "int8"], (*OF_ARRAYS, "IDs for genotypes without")),
    "frame with IDs": (*OF_ARRAYS, "a frame of genotypes with a column of IDs"),
    "frame that counts rows": ("a frame of genotypes with nullable numbers",),
}
KINDS = (*ODDITIES, *OF_GENOTYPES)
OPTIONS = frozenset(inspect.signature(lfmm2.run).parameters)


@dataclass(frozen=True)
class Way:
    """How data are given.

    Attributes
    ----------
    seed : int
        Number of the truth, and seed of what is chosen at random.
    ids : str
        Kind of the sample IDs.
    values : str
        Kind of the values of the first variable.
    genotypes : str
    oddities : tuple of str
        Keys of `OF_GENOTYPES`.
    code : int
        The code for missing genotypes.
    table, covar : TableWay
        The variables, and nuisance variables or None.
    n_variables : int
    apart : bool
        True if each variable has a table of its own.
    missing, intersect, by_name
        Options of the run; `by_name` chooses the variables by name.
    steps : str
        "run", "two halves" (estimate_factors, then test_associations) or "estimation set" (the factors from a fileset
        of the same samples in another order).
    keeps : bool
        True if a list names the samples to use.
    """

    seed: int
    ids: str
    values: str
    genotypes: str
    oddities: tuple[str, ...]
    code: int
    table: TableWay
    covar: TableWay | None
    n_variables: int
    apart: bool
    missing: str
    intersect: bool
    by_name: bool
    steps: str
    keeps: bool

    @property
    def all_oddities(self) -> dict[str, Oddity]:
        """Return every oddity of the tables and of the genotypes."""
        found = {name: OF_GENOTYPES[name] for name in self.oddities}
        for table in (self.table, self.covar):
            found |= {name: ODDITIES[name] for name in (table.oddities if table else ())}
        return found


@st.composite
def ways(draw: Any, kinds: tuple[str, ...] = KINDS) -> Way:
    """Draw a way to give data, with oddities of some kinds."""
    ids = draw(st.sampled_from(ID_KINDS))
    how = {"numeric_ids": "numbers" in ids, "families": ids == "families"}
    values = draw(st.sampled_from(VALUES))
    # Where -9 is a usual value, nobody can tell that it means missing.
    table = draw(table_ways(tuple(k for k in kinds if k != "-9 in a PLINK table" or values != "january"), **how))
    covar = draw(table_ways(kinds, **how, most=1, beside=False)) if draw(st.integers(0, 3)) == 0 else None
    given = draw(st.sampled_from(GENOTYPES))
    # The rows of an array are those of the .fam, whereas the frame of genotypes has another order.
    by_row = any(way is not None and way.container in ARRAYS for way in (table, covar))
    if given == "frame with IDs" and (ids == "families" or by_row):
        given = "fileset"
    oddities: list[str] = []
    if given not in ("fileset", "frame with IDs"):  # Genotypes without IDs go with variables without IDs.
        arrays = table_ways(tuple(k for k in kinds if k in odd_tables.OF_VALUES), **how, containers=ARRAYS)
        if "IDs for genotypes without" in kinds and table.container not in ARRAYS and draw(st.integers(0, 5)) == 0:
            oddities.append("IDs for genotypes without")
            # IDs from 1 on are the numbers of the rows, and nobody can tell that they are meant as names.
            ids = "numbers from 101" if ids == "numbers" else ids
        else:
            table = draw(arrays)
        covar = None if covar is None else draw(arrays)
    possible = tuple(k for k in ODD_GENOTYPES.get(given, ()) if k in kinds and k != "IDs for genotypes without")
    if possible and draw(st.booleans()):
        oddities.append(draw(st.sampled_from(possible)))
    n_variables = 1 if table.container == "series" else draw(st.sampled_from([1, 1, 2]))
    apart = n_variables == 2 and table.container not in ARRAYS and not table.beside and draw(st.booleans())
    missing = draw(st.sampled_from(["error", "error", "drop", "mean"]))
    steps = ["run", "run", "two halves", *(["estimation set"] if given == "fileset" else [])]
    return Way(
        seed=draw(st.integers(0, 10_000)),
        ids=ids,
        values=values,
        genotypes=given,
        oddities=tuple(oddities),
        code=draw(st.sampled_from(CODES if given != "int8" else [c for c in CODES if c < 128])) if oddities else 0,
        table=table,
        covar=covar,
        n_variables=n_variables,
        apart=apart,
        missing=missing,
        intersect=missing != "mean" and draw(st.integers(0, 3)) == 0,
        by_name=table.beside or (table.container not in ARRAYS and draw(st.integers(0, 3)) == 0),
        steps=draw(st.sampled_from(steps)),
        keeps=given == "fileset" and draw(st.integers(0, 4)) == 0,
    )


@functools.cache
def truth_of(number: int) -> np.ndarray:
    """Return dosages (N, P) without SNPs that a few samples decide on; NaN where missing."""
    G, _ = genotypes(N, 8 * P, seed=number, missing=0.03)
    G = G[:, [j for j in range(8 * P) if max(np.sum(G[:, j] == g) for g in range(3)) <= N - 9]]
    assert G.shape[1] >= P
    return G[:, :P]


def sample_names(kind: str, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return FID and IID of the samples, in the order of the .fam."""
    order = rng.permutation(N)
    fid = ["0"] * N
    if kind == "families":
        return [f"F{k % 2}" for k in order], [f"{k // 2 + 1}" for k in order]
    if kind.startswith("numbers"):
        first = {"numbers": 1, "numbers from 0": 0, "numbers from 101": 101}[kind]
        return fid, [str(k + first) for k in order]
    if kind == "padded numbers":
        return fid, [f"{k + 1:03d}" for k in order]
    if kind == "capitals":  # IDs that differ by case
        return fid, [f"{'sS'[k % 2]}{k // 2}" for k in order]
    return [f"P{k % 3}" for k in order], [f"s{k + 1:02d}" for k in order]


def values_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return values of a variable (N,), as people measure them."""
    site = np.arange(N) % 8
    if kind == "january":
        x = np.round(rng.normal(-6, 3, N), 1)
        x[rng.choice(N, 2, replace=False)] = -9.0
        return x
    if kind == "altitude":
        x = np.round(rng.normal(1000, 60, N))
        x[rng.integers(N)] = 999
        return x
    if kind == "sites":
        return np.round(rng.normal(15, 4, 8), 2)[site]
    x = np.round(rng.normal(15, 3, N) + site % 3, 2)
    if kind == "outlier":
        x[rng.integers(N)] = 31.5
    return x


@dataclass
class Given:
    """What is handed to a function, and what it stands for."""

    genotypes: Any
    estimation: Any
    dosage: np.ndarray
    X: list[Found]
    covar: list[Found]
    kept: np.ndarray
    options: dict[str, Any]


def give(way: Way, folder: Path) -> Given:
    """Make everything that a way says, files in this folder."""
    rng = np.random.default_rng(way.seed)
    G = truth_of(way.seed % N_TRUTHS).copy()
    fid, iid = sample_names(way.ids, rng)
    options: dict[str, Any] = {"missing": way.missing, "intersect": way.intersect}
    if way.genotypes == "int8" and "a code for missing genotypes" not in "".join(way.oddities):
        G = np.where(np.isnan(G), 0.0, G)
    given = _give_genotypes(way, G, fid, iid, rng, folder, options)
    estimation = None
    if way.steps == "estimation set":
        order = rng.permutation(N)
        names = {"fid": [fid[i] for i in order], "iid": [iid[i] for i in order]}
        estimation = write_plink(folder / "e", G[order].T, **names)
    variables = {"temp": values_of(way.values, rng), "rain": np.round(rng.normal(900, 150, N), 1)}
    chosen = dict(list(variables.items())[: way.n_variables])
    parts = [{name: x} for name, x in chosen.items()] if way.apart else [chosen]
    X = [make_table(way.table, fid, iid, part, rng, folder / f"env{j}.txt") for j, part in enumerate(parts)]
    covar = []
    if way.covar is not None:
        age = {"age": np.round(rng.normal(40, 9, N), 1)}
        covar = [make_table(way.covar, fid, iid, age, rng, folder / "covar.txt")]
    if way.by_name:
        options["variables"] = list(chosen)
    tables = [*X, *covar]
    if codes := [found.missing_code for found in tables if found.missing_code]:
        options["missing_code"] = codes
    categorical = [name for found in tables for name in found.categorical]
    if categorical and "categorical" in OPTIONS and rng.random() < 0.5:
        options["categorical"] = categorical
    kept = np.ones(N, bool)
    if way.keeps:
        kept[rng.choice(N, 3, replace=False)] = False
        lines = [f"{fid[i]} {iid[i]}\n" for i in rng.permutation(np.flatnonzero(kept))]
        (folder / "keep.txt").write_text("#FID IID\n" + "".join(lines))
        options["keep"] = folder / "keep.txt"
    return Given(given, estimation, G, X, covar, kept, options)


def _give_genotypes(
    way: Way, G: np.ndarray, fid: list[str], iid: list[str], rng: np.random.Generator, folder: Path, options: dict
) -> Any:
    """Return the genotypes as the way says."""
    if way.genotypes == "fileset":
        return write_plink(folder / "d", G.T, fid=fid, iid=iid)
    values = G.copy()
    if way.genotypes == "masked array":
        return np.ma.MaskedArray(np.where(np.isnan(G), 2.0, G), np.isnan(G))
    if "code for missing" in "".join(way.oddities):
        values[np.isnan(values)] = way.code
        if "a code for missing genotypes, named" in way.oddities and "missing_genotype" in OPTIONS:
            options["missing_genotype"] = way.code
    if way.genotypes == "float32":
        values = values.astype(np.float32)
    elif way.genotypes == "int8":
        values = values.astype(np.int8)
    elif way.genotypes == "halves":
        values = values / 2
    elif way.genotypes == "frame that counts rows":
        frame = pd.DataFrame(values, columns=[f"snp{j}" for j in range(P)])
        return frame.astype("Int8") if "a frame of genotypes with nullable numbers" in way.oddities else frame
    elif way.genotypes == "frame with IDs":
        frame = pd.DataFrame(values, index=iid, columns=[f"snp{j}" for j in range(P)])
        frame = frame.iloc[rng.permutation(N)]
        return frame.reset_index() if "a frame of genotypes with a column of IDs" in way.oddities else frame
    return values.T.copy() if "transposed genotypes" in way.oddities else values


def intended(way: Way, given: Given) -> np.ndarray | None:
    """Return the right t (P, d) by the dense definition; None if the data have no answer, so that they are refused."""
    if any(table is not None and table.has("two rows of a sample") for table in (way.table, way.covar)):
        return None
    kept = given.kept.copy()
    values = []
    for found in (*given.X, *given.covar):
        here = found.values.copy()
        hole = np.isnan(here).any(axis=1) & found.has_row & given.kept
        if not way.intersect:
            if not found.has_row[given.kept].all() or (hole.any() and way.missing == "error"):
                return None
            if way.missing == "mean":
                here = np.where(np.isnan(here), np.nanmean(here[given.kept], axis=0), here)
                hole[:] = False
        kept &= found.has_row & ~hole
        values.append(here)
    if kept.sum() < sum(part.shape[1] for part in values) + K + 2:  # too few samples for a test
        return None
    d = sum(found.values.shape[1] for found in given.X)
    t = dense_t(given.dosage[kept], np.hstack(values)[kept], K)[:, :d]
    t[np.nanstd(given.dosage[kept], axis=0) == 0] = np.nan  # SNPs without variation
    return t


class Wrong(AssertionError):
    """A wrong answer without a word, or a sound input that is refused."""


def compute(way: Way, given: Given) -> np.ndarray:
    """Return t as the public functions give it."""
    sources = [found.source for found in given.X]
    X = sources if way.apart else sources[0]
    options = given.options | {"covar": given.covar[0].source if given.covar else None, "n_threads": 1, "memory": "1GB"}
    if way.steps == "two halves":
        factors = lfmm2.estimate_factors(given.genotypes, X, K, solver="exact", **options)
        return lfmm2.test_associations(given.genotypes, X, factors, **options).t
    return lfmm2.run(given.estimation, given.genotypes, X, K, solver="exact", **options).t


def judge(way: Way) -> str:
    """Run with data that are given in this way; return "right", "warned" or "refused", or raise Wrong."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        given = give(way, Path(folder))
        right = intended(way, given)
        t, error = None, ""
        try:
            t = compute(way, given)
        except lfmm2.LfmmError as raised:
            error = str(raised)
    return judge_values(way, t, right, error, seen)


def judge_values(
    way: Any, found: np.ndarray | None, right: np.ndarray | None, error: str, seen: list[warnings.WarningMessage]
) -> str:
    """Judge what was found, None if there is an error, by the right values, None if no data have an answer."""
    names, patterns = list(way.all_oddities), [oddity.pattern for oddity in way.all_oddities.values()]
    excused = right is None or any(not oddity.is_sound for oddity in way.all_oddities.values())
    if way.ids == "families":
        patterns.append("FID")

    # Random names of folders must not name a fault.
    error = re.sub(r"\S*/", "", error)

    def is_named(text: str) -> bool:
        return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)

    if error:
        if not excused:
            raise Wrong(f"{names}: sound data are refused: {error}")
        if not is_named(error):
            raise Wrong(f"{names}: the error does not name the fault: {error}")
        return "refused"
    if foreign := [w.message for w in seen if not issubclass(w.category, lfmm2.LfmmWarning)]:
        raise Wrong(f"{names}: a warning of a library: {foreign[0]!r}")
    said = [re.sub(r"\S*/", "", str(w.message)) for w in seen if issubclass(w.category, lfmm2.InputWarning)]
    named = [text for text in said if is_named(text)]
    alike = right is not None and found is not None and found.shape == right.shape
    if alike and np.allclose(found, right, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        strange = [text for text in said if text not in named and way.values != "outlier"]
        if strange and not excused:
            raise Wrong(f"{names}: a false alarm: {strange[0]}")
        return "warned" if said else "right"
    if not named:
        how = (
            f"correlation with the right one {np.corrcoef(found.T[0], right.T[0])[0, 1]:.3f}"
            if alike
            else "other shape"
        )
        raise Wrong(f"{names}: a wrong answer without a word, {how}; said {said}")
    return "warned"
