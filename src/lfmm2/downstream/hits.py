"""Hits: SNPs below a rate of false discoveries, singly or in clumps of near ones, as a table and as BED."""

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

from lfmm2._checks import check_word
from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import counted, name_of_snp, shortened, some_of
from lfmm2.downstream.locus_rates import find_placeless, locus_rates
from lfmm2.errors import UsageError
from lfmm2.files import OutputSet, OwnFiles, check_outputs, check_prefix_name, manifest_of, open_table
from lfmm2.model import COLUMNS, Columns
from lfmm2.process import Progress
from lfmm2.results import AnyRun, StoredRun, carrier_lines, open_run

#: Column of each rate of false discoveries, by the name that `by` takes.
RATES = {column.name.lower(): column.name for column in COLUMNS if column.is_rate}
#: Columns that clumps add: the q of the clump, the number of its other SNPs, first and last position with the index
#: SNP, and IDs.
CLUMP_SCHEMA = pa.schema(
    {"Q_LOCUS": pa.float64(), "N_CLUMPED": pa.int64(), "CLUMP_START": pa.int64(), "CLUMP_END": pa.int64()}
    | {"CLUMPED": pa.string()}
)
# Growth of the score of a BED line with each unit of -log₁₀ p. BED allows scores up to 1000, so all p below 10⁻²⁰ have
# the same; with a larger value more of them have, with a smaller one the scores of most hits lie close together.
_SCORE_PER_DECADE = 50
#: Largest distance of clumps in bases. It is longer than any genome, so a larger one is a mistake.
FARTHEST = 10**12
# Genomic inflation factor above which the terminal says that p were not calibrated; a smaller one changes p little.
_INFLATED = 1.1
# Bases of each unit of a distance.
_UNITS = {"": 1, "b": 1, "bp": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def hits_schema(columns: Columns) -> pa.Schema:
    """Return the columns of the table of hits: VARIABLE, and those that a model declares for it."""
    kinds = {column.name: pa.type_for_alias(column.dtype) for column in columns if column.in_hits}
    return pa.schema({"VARIABLE": pa.string()} | kinds)


@dataclass(frozen=True)
class Hits:
    """The hits of a run, as `collect_hits` finds them.

    Attributes
    ----------
    table : pyarrow.Table
        One row per hit with the columns of `hits_schema`; with clumps one row per index SNP, and the columns of
        `CLUMP_SCHEMA` too.
    tables : tuple of str
        Variables, and "joint", whose tables were searched.
    counts : dict of str to int
        SNPs below the level in each table.
    smallest : dict of str to float
        Smallest rate in each table; NaN if no SNP has one.
    rate : str
        Column that was compared with the level: Q, Q_STOREY or LFDR.
    level : float
    clump : int or None
        Distance of clumps in bases; None without clumps.
    order : ndarray of shape (n_rows,), int64
        Row of each hit in the table of its variable.
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
        """Return lines for the terminal, by name."""
        lines, noun = {}, self.run.record.tested.noun
        alone = f", each of one {noun}, because none has a place" if find_placeless(self.table).all() else ""
        n_placeless = int(find_placeless(self.table).sum())
        for name in self.tables:
            if self.counts[name]:
                text = f"{counted(self.counts[name], noun)} with {self.rate} < {self.level:g}"
                if self.clump is not None:
                    of_loci = self.table.filter(pc.equal(self.table["VARIABLE"], name))["Q_LOCUS"].to_numpy()
                    n_below = int((of_loci < self.level).sum())
                    text += f" in {counted(len(of_loci), 'clump')}{alone}"
                    text += f"; {counted(n_below, 'clump')} with Q_LOCUS < {self.level:g}"
            elif np.isnan(self.smallest[name]):
                text = f"no {noun} has {self.rate}"
            else:
                text = f"no {noun} with {self.rate} < {self.level:g}, the smallest is {self.smallest[name]:.3g}"
            lines[f"hits of {name}"] = text
            if (few := carrier_lines(self.run.record).get(f"few carriers of {name}")) is not None:
                lines[f"few carriers of {name}"] = few
            test = self.run.record.calibration.tests[name]
            if test.method == "none" and test.gif > _INFLATED:
                lines[f"calibration of {name}"] = f"none (GIF {test.gif:.2f})"
        if n_placeless:
            what = "hits" if self.clump is None else "lines"
            fact = f"{n_placeless} of {len(self.table)} {what} have no chromosome or no position"
            lines["without a place"] = f"{fact}, and are not in the .bed file"
        return lines


def find_hits(
    run: AnyRun,
    *,
    fdr: float = 0.05,
    clump: float | str | None = None,
    variables: str | Sequence[str] | None = None,
    by: str = "q",
) -> pa.Table:
    """Return the SNPs of a run below a rate of false discoveries; see `collect_hits`.

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
    """Find the SNPs of a run below a rate of false discoveries, by variable, the strongest first.

    Parameters
    ----------
    run : path, StoredRun, or an AssociationResult that was written to files
    fdr : float
        Level: SNPs with a smaller rate are hits.
    clump : int or str, optional
        Distance in bases, from 1 to 10¹², or a text as `parse_distance` takes it. Hits are visited from the strongest
        to the weakest. A hit that is in no clump yet begins one, and takes all hits of its variable and chromosome that
        are in no clump and nearer than this. plink's --clump with --clump-kb does the same if linkage is left out.
        A SNP without a chromosome ("0" or ".") or a position is a clump of its own. Q_LOCUS of a clump is the rate of
        false discoveries among clumps, see `lfmm2.downstream.locus_rates`; `by` is a rate among SNPs.
    variables : str or sequence of str, optional
        Variables, and "joint"; by default all there are.
    by : {"q", "q_storey", "lfdr"}
        The rate: Benjamini-Hochberg, Storey, or local.
    progress : Progress, optional

    Raises
    ------
    UsageError
        If a parameter is out of range, or the run has no such variable.
    InconsistentInputError
        If a table lacks a column.

    Notes
    -----
    Tables are streamed, with clumps a second time. Of Parquet files, the other columns are read only where the column
    of the rate has a hit. Each hit takes about 500 bytes of memory, ten million hits 5 GB.
    """
    check_word(by, "by", RATES)
    if isinstance(fdr, bool) or not isinstance(fdr, Real) or not 0 < fdr <= 1:
        raise UsageError(f"fdr is {fdr!r}; a rate lies above 0 and at most at 1")
    distance = _read_distance(clump)
    stored = open_run(run)
    names = _choose_tables(stored, variables)
    rate = RATES[by]
    parts, orders, counts, smallest = [], [], {}, {}
    for name in names:
        table, order, smallest[name] = _search_table(stored, name, rate, fdr, progress or Progress())
        counts[name] = len(table)
        if distance is not None:
            table, order = _clump_hits(table, order, distance)
            q = pa.array(locus_rates(stored, name, table, distance, progress or Progress()))
            table = table.add_column(len(table.column_names) - len(CLUMP_SCHEMA) + 1, "Q_LOCUS", q)
        parts.append(table)
        orders.append(order)
    schema = hits_schema(stored.declared)
    if distance is not None:
        schema = pa.schema([*schema, *CLUMP_SCHEMA])
    joined = pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()
    order = np.concatenate([np.empty(0, np.int64), *orders])
    return Hits(joined, names, counts, smallest, rate, float(fdr), distance, order, stored)


def _choose_tables(run: StoredRun, variables: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the tables to search, each once."""
    if variables is None:
        return run.tables
    names = [variables] if isinstance(variables, str) else list(variables) if np.iterable(variables) else []
    if not names:
        raise UsageError(f"variables is {variables!r}; give names, of {', '.join(run.tables)}, or None for all")
    if unknown := [repr(name) for name in names if name not in run.tables]:
        raise UsageError(f"{run.prefix}: has no table {some_of(unknown)}; it has {', '.join(run.tables)}")
    return tuple(dict.fromkeys(names))


def _read_distance(clump: float | str | None) -> int | None:
    """Return the bases of a distance given as a number or as text; None without one."""
    if clump is None or isinstance(clump, str):
        return None if clump is None else parse_distance(clump)
    in_range = isinstance(clump, Real) and not isinstance(clump, bool) and 1 <= clump <= FARTHEST
    if not in_range or clump != round(clump):
        raise UsageError(f"clump is {clump!r}; give a whole number of bases from 1 to 10¹², or text such as 50kb")
    return int(clump)


def parse_distance(text: str) -> int:
    """Return the bases in a distance such as "50kb", "0.5mb", "500bp" or "500", from 1 to 10¹².

    Raises
    ------
    UsageError
        If the text is no such distance.

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

    A line of the BED file has chromosome, POS - 1, POS, ID, a score that grows by 50 with each unit of -log₁₀ p up to
    1000, ".", variable, and -log₁₀ of the calibrated p. Lines are in the order of the tables of the run. SNPs without a
    chromosome ("0" or ".") or a position are left out, because BED cannot hold them; `Hits.summary` counts them.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is false, or is not as `write_hits` has written it.
    UsageError, WriteError
        If a file belongs to the run itself; if it cannot be written.
    """
    paths = check_hits_paths(prefix, hits.run, overwrite)
    manifest = manifest_of(prefix, "hits")
    with OutputSet(overwrite) as outputs:
        with open_table(outputs.open(paths["hits"], manifest), hits.table.schema, "tsv") as writer:
            writer.write(hits.table)
        outputs.open(paths["bed"], manifest).writelines(_bed_lines(hits))
    return paths


def check_hits_paths(prefix: AnyPath, run: StoredRun, overwrite: bool) -> dict[str, Path]:
    """Return the paths of the files of `write_hits`, by the names "hits" and "bed"; raise as it does if it will."""
    check_prefix_name(prefix)
    paths = {"hits": Path(f"{os.fspath(prefix)}.hits.tsv"), "bed": Path(f"{os.fspath(prefix)}.hits.bed")}
    run.refuse_as_outputs(paths.values())
    check_outputs(paths.values(), overwrite, OwnFiles.of_manifest(manifest_of(prefix, "hits")))
    return paths


def _bed_lines(hits: Hits) -> Iterator[bytes]:
    """Give a BED line per SNP, or per clump from its first to its last SNP.

    Chromosomes are in the order of the run, and the lines of a chromosome are sorted by start.
    """
    yield b"#chrom\tstart\tend\tname\tscore\tstrand\tvariable\tneg_log10_p\n"
    first, last = ("POS", "POS") if hits.clump is None else ("CLUMP_START", "CLUMP_END")
    in_order = np.argsort(hits.order, kind="stable")
    table = hits.table.take(pa.array(in_order[~find_placeless(hits.table)[in_order]]))
    names = ("CHROM", first, last, "ID", "VARIABLE", "NEG_LOG10_P_CAL")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    rank = {chromosome: i for i, chromosome in enumerate(dict.fromkeys(row[0] for row in rows))}
    for chromosome, start, end, name, variable, strength in sorted(rows, key=lambda row: (rank[row[0]], row[1])):
        score = min(1000, round(_SCORE_PER_DECADE * (strength or 0.0)))
        fields = (chromosome, start - 1, end, name, score, ".", variable, f"{strength or 0.0:.6g}")
        yield ("\t".join(map(str, fields)) + "\n").encode()


def _search_table(
    run: StoredRun, name: str, rate: str, level: float, progress: Progress
) -> tuple[pa.Table, Ints, float]:
    """Return the hits of one table, the strongest first, their rows in it, and the smallest rate of all SNPs."""
    schema = hits_schema(run.declared)
    present = {column.name for column in run.declared.of_table(joint=name == "joint")}
    wanted = [column for column in schema.names if column in present]
    chosen: dict[int, Ints] = {}
    first_rows: list[int] = [0]
    smallest = np.nan
    progress.start(f"hits of {name}", run.n_snps, 0)
    try:
        for number, block in enumerate(run.blocks(name, [rate])):
            values: Floats = block[rate].to_numpy().astype(np.float64, copy=False)
            if not np.isnan(values).all():
                smallest = float(np.fmin(smallest, np.nanmin(values)))
            rows = np.flatnonzero(values < level)  # A comparison with NaN is false.
            if len(rows):
                chosen[number] = rows
            first_rows.append(first_rows[-1] + len(block))
            progress.advance(len(block), 0)
    finally:
        progress.finish()
    parts = []
    if chosen:
        for number, block in zip(sorted(chosen), run.blocks(name, wanted, only=chosen.keys()), strict=True):
            parts.append(_as_hits(block.take(pa.array(chosen[number])), name, schema))
    table = pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()
    order = np.concatenate([np.empty(0, np.int64), *(first_rows[n] + rows for n, rows in sorted(chosen.items()))])
    strength = np.nan_to_num(table["NEG_LOG10_P_CAL"].to_numpy().astype(np.float64), nan=-1.0)
    strongest = np.argsort(-strength, kind="stable")
    return table.take(pa.array(strongest)), order[strongest].astype(np.int64), smallest


def _as_hits(block: pa.Table, name: str, schema: pa.Schema) -> pa.Table:
    """Return rows of a table as hits; columns that the table lacks, such as BETA of the joint test, are null."""
    n = len(block)
    columns: dict[str, pa.Array] = {field.name: pa.nulls(n, field.type) for field in schema}
    columns["VARIABLE"] = pa.array([name] * n, pa.string())
    columns |= {column: block[column] for column in block.column_names}
    places = (block[column].to_pylist() for column in ("ID", "CHROM", "POS"))
    columns["ID"] = pa.array(map(name_of_snp, *places), pa.string())
    return pa.table(columns, schema=schema)


def _clump_hits(table: pa.Table, order: Ints, distance: int) -> tuple[pa.Table, Ints]:
    """Gather hits, the strongest first, into clumps: return a row per index SNP, and its order.

    The row has the columns of `CLUMP_SCHEMA` but Q_LOCUS, which needs the whole table of the run.
    """
    n = len(table)
    chromosomes = pc.dictionary_encode(table["CHROM"].combine_chunks())
    codes = chromosomes.indices.to_numpy().astype(np.int64) if n else np.empty(0, np.int64)
    placeless = find_placeless(table)
    positions = table["POS"].to_numpy().astype(np.int64)
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
    columns = {"N_CLUMPED": counts, "CLUMP_START": starts, "CLUMP_END": ends, "CLUMPED": members}
    for name, column in columns.items():
        kept = kept.append_column(name, pa.array(column, CLUMP_SCHEMA.field(name).type))
    return kept, order[np.array(index, np.int64)]
