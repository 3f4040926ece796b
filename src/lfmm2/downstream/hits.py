"""Candidate loci: SNPs below a rate of false discoveries, near ones gathered into clumps, as a table and as BED."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import counted, shortened, some_of
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.files import OutputSet, check_outputs, check_prefix_name, open_table
from lfmm2.process import Progress
from lfmm2.results import AnyRun, StoredRun, open_run

#: Which column a level is for, by the name given as `by`.
RATES = {"q": "Q", "q_storey": "Q_STOREY", "lfdr": "LFDR"}
_TEXT = ("VARIABLE", "CHROM", "ID", "A1", "OMITTED")
_COLUMNS = [
    "VARIABLE", "CHROM", "POS", "ID", "A1", "OMITTED", "A1_FREQ", "BETA", "SE", "P", "NEG_LOG10_P_CAL", "Q",
    "Q_STOREY", "LFDR",
]  # fmt: skip
_TYPES = dict.fromkeys(_TEXT, pa.string()) | {"POS": pa.int64()}
#: Columns of the table of hits.
HITS_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.float64())) for name in _COLUMNS])
#: Columns that clumps add: SNPs gathered by the index SNP, where they lie with it, and their IDs.
CLUMP_SCHEMA = pa.schema(
    [("N_CLUMPED", pa.int64()), ("CLUMP_START", pa.int64()), ("CLUMP_END", pa.int64()), ("CLUMPED", pa.string())]
)
# columns that tables of older versions lack, and what stands in for them in the joint one, where Q was of P
_MAY_LACK = {"Q_STOREY": None, "LFDR": None, "NEG_LOG10_P_CAL": "NEG_LOG10_P"}
_NOT_JOINT = ("BETA", "SE")
# SNPs without a place, which are near to nothing
_NO_CHROMOSOME = ("0", ".")
_SCORE_PER_DECADE = 50
#: Bases: a longer distance is no distance in a genome.
FARTHEST = 10**12
# above it p that were not calibrated are told of
_INFLATED = 1.1
_UNITS = {"": 1, "b": 1, "bp": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class Hits:
    """What `collect_hits` finds.

    Attributes
    ----------
    table : pyarrow.Table
        Columns of `HITS_SCHEMA`, and of `CLUMP_SCHEMA` where SNPs were clumped: then one row per index SNP.
    tables : tuple of str
        The variables, and "joint", that were looked through.
    counts : dict of str to int
        SNPs below the level in each of these.
    smallest : dict of str to float
        Smallest rate in each; NaN where no SNP has one.
    rate : str
        Column that was compared: Q, Q_STOREY or LFDR.
    level : float
    clump : int or None
        Bases.
    order : ndarray of int64
        Row of each hit in the tables of the run.
    run : StoredRun
    """

    table: pa.Table
    tables: tuple[str, ...]
    counts: dict[str, int]
    smallest: dict[str, float]
    rate: str
    level: float
    clump: int | None
    order: Ints
    run: StoredRun

    def summary(self) -> dict[str, str]:
        """What came out, by name: for the terminal."""
        lines = {}
        per_table = dict.fromkeys(self.tables, 0)
        for name in self.table["VARIABLE"].to_pylist():
            per_table[name] += 1
        for name in self.tables:
            if self.counts[name]:
                clumps = f" in {counted(per_table[name], 'clump')}" if self.clump is not None else ""
                text = f"{counted(self.counts[name], 'SNP')} with {self.rate} < {self.level:g}{clumps}"
            elif np.isnan(self.smallest[name]):
                text = f"no SNP has {self.rate}"
            else:
                text = f"no SNP with {self.rate} < {self.level:g}, the smallest is {self.smallest[name]:.3g}"
            lines[f"hits of {name}"] = text
            test = self.run.record.calibration.tests[name]
            if test.method == "none" and test.gif > _INFLATED:
                lines[f"calibration of {name}"] = f"none (GIF {test.gif:.2f})"
        return lines


def find_hits(
    run: AnyRun,
    *,
    fdr: float = 0.05,
    clump: float | str | None = None,
    variables: str | Sequence[str] | None = None,
    by: str = "q",
) -> pa.Table:
    """The SNPs of a run below a rate of false discoveries; see `collect_hits`.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> data = lfmm2.simulate(folder / "plants", n_samples=200, n_snps=2000, seed=1)
    >>> result = lfmm2.run(None, data.bed, data.env, K=3, out=folder / "result")
    >>> hits = find_hits(folder / "result", clump="50kb", variables=["env1"])
    >>> hits.column_names[:5]
    ['VARIABLE', 'CHROM', 'POS', 'ID', 'A1']
    """
    return collect_hits(run, fdr=fdr, clump=clump, variables=variables, by=by).table


def collect_hits(
    run: AnyRun,
    *,
    fdr: float = 0.05,
    clump: float | str | None = None,
    variables: str | Sequence[str] | None = None,
    by: str = "q",
    progress: Progress | None = None,
) -> Hits:
    """The SNPs of a run below a rate of false discoveries, by variable, the strongest first.

    Parameters
    ----------
    run : path, StoredRun, or an AssociationResult that was written to files
    fdr : float
        SNPs are hits whose rate is less.
    clump : int or str, optional
        Bases, at most 10¹², or a distance as `parse_distance` takes it. From the strongest on, each hit that is not in
        a clump yet begins one, and takes the hits of its variable and chromosome that are nearer than this and in none:
        as plink's --clump does with --clump-kb, whose distance is exclusive too, if linkage is left out of it.
        SNPs without a chromosome ("0" or ".") or a position stay by themselves.
    variables : str or sequence of str, optional
        Variables, and "joint"; by default all there are.
    by : {"q", "q_storey", "lfdr"}
        The rate: Benjamini-Hochberg, Storey, or local.
    progress : Progress, optional

    Raises
    ------
    UsageError
        A parameter is out of range, or there is no such variable.
    InconsistentInputError
        An older version has written the tables, without this rate.

    Notes
    -----
    Tables are streamed, and of Parquet only the rate is read where there is no hit. Hits are in memory, about 500 bytes
    each: ten million, from any number of SNPs, take 5 GB.
    """
    if by not in tuple(RATES):
        raise UsageError(f"by is {by!r}; it is one of {', '.join(RATES)}")
    if isinstance(fdr, bool) or not isinstance(fdr, Real) or not 0 < fdr <= 1:
        raise UsageError(f"fdr is {fdr!r}; a rate lies above 0 and at most at 1")
    distance = _distance(clump)
    stored = open_run(run)
    names = _chosen_tables(stored, variables)
    rate = RATES[by]
    parts, orders, counts, smallest = [], [], {}, {}
    for name in names:
        table, order, smallest[name] = _hits_of_table(stored, name, rate, fdr, progress or Progress())
        counts[name] = len(table)
        if distance is not None:
            table, order = _clumped(table, order, distance)
        parts.append(table)
        orders.append(order)
    schema = HITS_SCHEMA if distance is None else pa.schema([*HITS_SCHEMA, *CLUMP_SCHEMA])
    joined = pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()
    order = np.concatenate([np.empty(0, np.int64), *orders])
    return Hits(joined, names, counts, smallest, rate, float(fdr), distance, order, stored)


def _chosen_tables(run: StoredRun, variables: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of tables, each once."""
    if variables is None:
        return run.tables
    names = [variables] if isinstance(variables, str) else list(variables) if np.iterable(variables) else []
    if not names:
        raise UsageError(f"variables is {variables!r}; give names, of {', '.join(run.tables)}, or None for all")
    if unknown := [repr(name) for name in names if name not in run.tables]:
        raise UsageError(f"{run.prefix}: has no table {some_of(unknown)}; it has {', '.join(run.tables)}")
    return tuple(dict.fromkeys(names))


def _distance(clump: float | str | None) -> int | None:
    """Bases of a distance however it is given."""
    if clump is None or isinstance(clump, str):
        return None if clump is None else parse_distance(clump)
    in_range = isinstance(clump, Real) and not isinstance(clump, bool) and 1 <= clump <= FARTHEST
    if not in_range or clump != round(clump):
        raise UsageError(f"clump is {clump!r}; give a whole number of bases from 1 to 10¹², or text such as 50kb")
    return int(clump)


def parse_distance(text: str) -> int:
    """Bases in a distance such as "50kb", "0.5mb", "500bp" or "500"; at most 10¹².

    Examples
    --------
    >>> parse_distance("50kb"), parse_distance("0.5 Mb"), parse_distance("500")
    (50000, 500000, 500)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{text!r} is no distance; write 50kb, 0.5mb, 500bp or 500")
    bases = float(match[1]) * _UNITS[match[2]]
    if bases > FARTHEST:
        raise UsageError(
            f"{shortened(text)!r} is more than 1000gb, longer than any genome; write a distance such as 50kb"
        )
    if bases != round(bases) or bases < 1:
        raise UsageError(f"{text!r} is no whole number of bases above zero; write 50kb, 0.5mb, 500bp or 500")
    return round(bases)


def write_hits(prefix: AnyPath, hits: Hits, overwrite: bool = False) -> dict[str, Path]:
    """Write ``<prefix>.hits.tsv`` and ``<prefix>.hits.bed``, both or neither, and return their paths.

    The BED file is in the order of the genome, that of the tables of the run: chromosome, POS - 1, POS, ID, a score
    that grows by 50 with every unit of -log₁₀ p up to 1000, ".", variable, -log₁₀ p (calibrated). It lacks SNPs without
    a position, which BED cannot say.
    """
    paths = hits_paths(prefix)
    hits.run.refuse_as_outputs(paths.values())
    check_outputs(paths.values(), overwrite)
    with OutputSet() as outputs:
        with open_table(outputs.open(paths["hits"]), hits.table.schema, "tsv") as writer:
            writer.write(hits.table)
        outputs.open(paths["bed"]).writelines(_bed_lines(hits))
    return paths


def hits_paths(prefix: AnyPath) -> dict[str, Path]:
    """The files that `write_hits` writes: "hits" and "bed"."""
    check_prefix_name(prefix)
    return {"hits": Path(f"{os.fspath(prefix)}.hits.tsv"), "bed": Path(f"{os.fspath(prefix)}.hits.bed")}


def _bed_lines(hits: Hits) -> Iterator[bytes]:
    """SNPs, or clumps from their first to their last SNP, by chromosome in the order of the file and start."""
    yield b"#chrom\tstart\tend\tname\tscore\tstrand\tvariable\tneg_log10_p\n"
    first, last = ("POS", "POS") if hits.clump is None else ("CLUMP_START", "CLUMP_END")
    table = hits.table.take(pa.array(np.argsort(hits.order, kind="stable")))
    names = ("CHROM", first, last, "ID", "VARIABLE", "NEG_LOG10_P_CAL")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    rank = {chromosome: i for i, chromosome in enumerate(dict.fromkeys(row[0] for row in rows))}
    for chromosome, start, end, name, variable, strength in sorted(rows, key=lambda row: (rank[row[0]], row[1])):
        if start < 1:
            continue
        score = min(1000, round(_SCORE_PER_DECADE * (strength or 0.0)))
        fields = (chromosome, start - 1, end, name, score, ".", variable, f"{strength or 0.0:.6g}")
        yield ("\t".join(map(str, fields)) + "\n").encode()


def _hits_of_table(
    run: StoredRun, name: str, rate: str, level: float, progress: Progress
) -> tuple[pa.Table, Ints, float]:
    """Hits of one table, strongest first, their rows in it, and the smallest rate of all."""
    known = run.columns(name)
    sources = _source_columns(run, name, known, rate)
    wanted = list(dict.fromkeys(column for column in sources.values() if column is not None))
    chosen: dict[int, Ints] = {}
    first_rows: list[int] = [0]
    smallest = np.nan
    progress.start(f"hits of {name}", run.n_snps, 0)
    try:
        for number, block in enumerate(run.blocks(name, [rate])):
            values: Floats = block[rate].to_numpy().astype(np.float64, copy=False)
            if not np.isnan(values).all():
                smallest = float(np.fmin(smallest, np.nanmin(values)))
            rows = np.flatnonzero(values < level)  # NaN is not
            if len(rows):
                chosen[number] = rows
            first_rows.append(first_rows[-1] + len(block))
            progress.advance(len(block), 0)
    finally:
        progress.finish()
    parts = []
    if chosen:
        for number, block in zip(sorted(chosen), run.blocks(name, wanted, only=chosen.keys()), strict=True):
            parts.append(_as_hits(block.take(pa.array(chosen[number])), name, sources))
    table = pa.concat_tables([HITS_SCHEMA.empty_table(), *parts]).combine_chunks()
    order = np.concatenate([np.empty(0, np.int64), *(first_rows[n] + rows for n, rows in sorted(chosen.items()))])
    strength = np.nan_to_num(table["NEG_LOG10_P_CAL"].to_numpy().astype(np.float64), nan=-1.0)
    strongest = np.argsort(-strength, kind="stable")
    return table.take(pa.array(strongest)), order[strongest].astype(np.int64), smallest


def _source_columns(run: StoredRun, name: str, known: Sequence[str], rate: str) -> dict[str, str | None]:
    """Column of the table that each column of the hits is read from; None where it is missing throughout."""
    if rate not in known:
        fact = f"{run.path(name)}: has no column {rate}, an older version has written it"
        raise InconsistentInputError(f"{fact}; run again with this version, or choose by q")
    sources: dict[str, str | None] = {}
    for column in HITS_SCHEMA.names[1:]:
        if name == "joint" and column in _NOT_JOINT:
            sources[column] = None
        elif column not in known and column in _MAY_LACK:
            sources[column] = _MAY_LACK[column]
        else:
            sources[column] = column
    return sources


def _as_hits(block: pa.Table, name: str, sources: dict[str, str | None]) -> pa.Table:
    n = len(block)
    columns = [pa.array([name] * n, pa.string())]
    for column, source in sources.items():
        kind = HITS_SCHEMA.field(column).type
        columns.append(pa.nulls(n, kind) if source is None else block[source].cast(kind))
    return pa.table(columns, schema=HITS_SCHEMA)


def _clumped(table: pa.Table, order: Ints, distance: int) -> tuple[pa.Table, Ints]:
    """Index SNPs of hits that come strongest first, with what they take."""
    n = len(table)
    chromosomes = pc.dictionary_encode(table["CHROM"].combine_chunks())
    codes = chromosomes.indices.to_numpy().astype(np.int64) if n else np.empty(0, np.int64)
    placeless = np.isin(np.array(chromosomes.dictionary.to_pylist(), object)[codes], _NO_CHROMOSOME)
    positions = table["POS"].to_numpy().astype(np.int64)
    placeless = placeless.astype(bool) | (positions < 1)
    by_place = np.lexsort((positions, codes))
    sorted_codes, sorted_positions = codes[by_place], positions[by_place]
    first_of = np.searchsorted(sorted_codes, np.arange(codes.max(initial=-1) + 2))
    taken = np.zeros(n, bool)
    index, counts, starts, ends, members = [], [], [], [], []
    names = table["ID"].to_pylist()
    for i in range(n):
        if taken[i]:
            continue
        near = np.array([i])
        if not placeless[i]:
            low, high = first_of[codes[i]], first_of[codes[i] + 1]
            place = sorted_positions[low:high]
            begin = low + np.searchsorted(place, positions[i] - distance, "right")
            end = low + np.searchsorted(place, positions[i] + distance, "left")
            near = by_place[begin:end]
            near = near[~taken[near] & ~placeless[near]]
        taken[near] = True
        others = near[near != i]
        index.append(i)
        counts.append(len(others))
        starts.append(int(positions[near].min()))
        ends.append(int(positions[near].max()))
        members.append(",".join(names[j] for j in np.sort(others).tolist()) or None)
    kept = table.take(pa.array(index, pa.int64()))
    columns = (counts, starts, ends, members)
    for field, column in zip(CLUMP_SCHEMA, columns, strict=True):
        kept = kept.append_column(field, pa.array(column, field.type))
    return kept, order[np.array(index, np.int64)]
