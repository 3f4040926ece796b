"""Genetic offset: how far allele frequencies would have to move from one environment to another.

With B (L, d) the effects of L loci and δ_i = x_i − x*_i what changes at place i,

    gap_i  = mean over loci of (δ_i B_lᵀ)²  = δ_i (BᵀB / L) δ_iᵀ
    RONA_i = mean over loci of |δ_i B_lᵀ|

so the gap needs B only as the d × d matrix BᵀB; B is read once and never held. Loci are summed in groups of `GROUP`
SNPs counted from the first SNP of the table, and the groups are added in order on one thread of BLAS: the size of the
blocks that are read cannot change a bit of the result.

References
----------
Gain, Rhoné, Cubry et al. 2023, Mol. Biol. Evol. 40:msad140 (geometric genetic offset, the genetic gap).
Rellstab, Zoller, Walthert et al. 2016, Mol. Ecol. 25:5907 (risk of nonadaptedness, RONA).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._checks import are, check_flag, check_missing_code, check_progress, check_word, quoted
from lfmm2._typing import AnyPath, Floats, ListedSnps, MissingCode
from lfmm2._words import counted, with_spaces
from lfmm2.downstream.environments import Places, paired_environments
from lfmm2.downstream.offset_loci import LociChoice
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, UsageError
from lfmm2.files import OutputSet, OwnFiles, check_outputs, check_prefix_name, manifest_of, open_table, repeated
from lfmm2.process import Progress, single_threaded_blas
from lfmm2.results import BLOCK_ROWS, AnyRun, StoredRun, find_inputs, open_run

Bools = NDArray[np.bool_]

# SNPs of a partial sum, and places whose RONA is summed together: their product is a matrix of 1 MiB, which fits into a
# cache. Other values change the order of sums, and so the last bits of the results.
GROUP = 512
TILE = 256
# Column of the effects, by the name that `effects` takes.
EFFECTS = {"ridge": "RIDGE_BETA", "ols": "BETA"}
# Columns that must be the same in all runs that are averaged.
_VARIANT = ["CHROM", "POS", "ID", "A1"]
OFFSET_SCHEMA = pa.schema([("ID", pa.string()), ("GENETIC_GAP", pa.float64()), ("RONA", pa.float64())])


@dataclass(frozen=True)
class OffsetResult:
    """Genetic offset of m places.

    Attributes
    ----------
    ids : tuple of str
        The places, in the order of the first environment.
    variables : tuple of str
    gap, rona : ndarray of shape (m,), float64
        Genetic gap in squared dosage, and RONA in dosage. For units of allele
        frequency divide by 4 and by 2; genotypes of another ploidy by its square and by it.
    parts : ndarray of shape (m, d), float64
        Part of each variable in `gap`, δ_j (δ BᵀB/L)_j; negative if its change counteracts those of others.
    n_loci : int
        Loci averaged over, L.
    n_without_effect : int
        Chosen loci that are left out because they have no effect (STATUS is not OK).
    moments : ndarray of shape (d, d), float64
        BᵀB / L, the matrix of the gap.
    covariance : ndarray of shape (d, d), float64
        Covariance of the effects over loci, with denominator L − 1 as in LEA; with `scale`, for variables in standard
        deviations. NaN for one locus, or for one place with `scale`.
    eigenvalues, eigenvectors : ndarray of shape (d,) and (d, d), float64
        Eigenvalues of `covariance`, largest first, and eigenvectors in columns, with their largest element positive.
        They show which combination of variables matters. Without `scale` they depend on the units.
    paths : dict of str to Path
        Path of the file by the name "offset"; empty without `out`.
    """

    ids: tuple[str, ...]
    variables: tuple[str, ...]
    gap: Floats
    rona: Floats
    parts: Floats
    n_loci: int
    n_without_effect: int
    moments: Floats
    covariance: Floats
    eigenvalues: Floats
    eigenvectors: Floats
    paths: dict[str, Path]

    def __repr__(self) -> str:
        n_loci = f"{with_spaces(self.n_loci)} {'locus' if self.n_loci == 1 else 'loci'}"
        return f"<OffsetResult: {counted(len(self.ids), 'place')}, {n_loci}, mean gap {self.gap.mean():.3g}>"

    def table(self) -> pa.Table:
        """Return the table of ID, GENETIC_GAP and RONA, one row per place."""
        return pa.table([pa.array(self.ids, pa.string()), self.gap, self.rona], schema=OFFSET_SCHEMA)

    def summary(self) -> dict[str, str]:
        """Return lines for the terminal, by name."""
        gap, rona = (_describe_range(values) for values in (self.gap, self.rona))
        lines = {"loci": f"{with_spaces(self.n_loci)}, mean effects of {', '.join(self.variables)}"}
        if self.n_without_effect:
            lines["without effect"] = f"{with_spaces(self.n_without_effect)}, left out"
        lines["places"] = with_spaces(len(self.ids))
        lines["genetic gap"] = f"{gap}, largest at {self.ids[int(np.argmax(self.gap))]}" if " to " in gap else gap
        lines["RONA"] = rona
        if np.isfinite(self.eigenvalues).all():
            lines["eigenvalues"] = " ".join(f"{value:.4g}" for value in self.eigenvalues)
            # The sum with 0.0 turns -0.0 into 0.0, so that no -0.00 is shown.
            weights = zip(self.variables, self.eigenvectors[:, 0].round(2) + 0.0, strict=True)
            lines["first axis"] = ", ".join(f"{name} {weight:+.2f}" for name, weight in weights)
        return lines | {f"{name} file": str(path) for name, path in self.paths.items()}


def _describe_range(values: Floats) -> str:
    """Write the smallest and the largest value, or one number if both are written alike."""
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"


def genetic_offset(
    results: AnyRun | Sequence[AnyRun],
    env: object,
    new_env: object,
    *,
    effects: str = "ridge",
    loci: float | ListedSnps = "all",
    joint: bool = False,
    scale: bool = True,
    missing_code: MissingCode | None = None,
    out: AnyPath | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> OffsetResult:
    """Compute genetic gap and RONA between two environments of the same places, from the stored effects of runs.

    Parameters
    ----------
    results : path, StoredRun, AssociationResult, or a sequence of these
        Prefixes of results, or results that were written to files. The effects of several runs, which differ in K, are
        averaged; the runs must have the same SNPs, counted alleles and variables.
    env, new_env : path, DataFrame, pyarrow.Table or array
        One row per place and one column per variable of the run, in the same units; other columns are ignored. Places
        are matched by ID, in any order: the column IID, else one that both tables have, or the coordinates of cells (x
        and y, longitude and latitude). Rows of an array are in the order of the rows of the other environment, and its
        columns in the order of the variables. If `env` is None, the places are the samples of the (first) run, with its
        variables.
    effects : {"ridge", "ols"}
        RIDGE_BETA, which LEA takes, or BETA.
    loci : "all", float, path, or collection of str or of os.PathLike
        "all" for all SNPs; a level for SNPs with a smaller q in any variable of any run; or SNPs listed by ID, in any
        of several files.
    joint : bool
        Compare the level with q of the joint test instead.
    scale : bool
        Give `covariance` and its axes for variables in standard deviations of the places in `env`, as LEA's ``scale =
        TRUE``. Gap and RONA do not depend on units.
    missing_code : float or str, or a list of these, optional
        Values of the tables that mean missing, beside empty, NA and nan.
    out : path, optional
        Prefix of the file ``<out>.offset.tsv``; no file is written without it.
    overwrite : bool
        Replace a file that exists.
    progress : Progress, optional

    Raises
    ------
    UsageError
        If an argument is of another kind or out of range.
    InconsistentInputError
        If places or SNPs are in one of the tables only, the runs differ, a value or a column is missing, or a change is
        too large for the genetic gap to be a double.
    DegenerateProblemError
        If no locus is left to average over.
    OutputExistsError, WriteError
        If the file exists and `overwrite` is false, or is not as this function has written it; if it cannot be written.

    Notes
    -----
    The tables are read in one pass. Memory grows with the places, but not with the SNPs. RONA of m places and L loci
    takes 2 m d L flops.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> data = lfmm2.simulate(folder / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> result = lfmm2.run(None, data.bed, data.env, K=3, out=folder / "result")
    >>> warmer = pa.table({"ID": ["site1", "site2"], "env1": [0.5, 1.0], "env2": [0.0, 0.0]})
    >>> today = pa.table({"ID": ["site2", "site1"], "env1": [0.0, 0.0], "env2": [0.0, 0.0]})
    >>> offset = genetic_offset(folder / "result", today, warmer)
    >>> offset.ids, float((offset.gap[0] / offset.gap[1]).round(6))
    (('site2', 'site1'), 4.0)
    """
    check_word(effects, "effects", EFFECTS)
    for name, flag in (("joint", joint), ("scale", scale), ("overwrite", overwrite)):
        check_flag(flag, name)
    check_progress(progress, or_flag=False)
    check_missing_code(missing_code)
    several = isinstance(results, Iterable) and not isinstance(results, str | os.PathLike | StoredRun)
    if several and not are(results, lambda _: True):
        raise UsageError(f"results are {quoted(results)}; give the --out of a run, or several in a list")
    given: list[AnyRun] = list(results) if several else [results]  # type: ignore[arg-type,list-item]
    runs = [open_run(run) for run in given]
    _check_runs(runs)
    choice = LociChoice(loci, joint, runs)
    path = None if out is None else _check_offset_path(out, runs, [env, new_env, loci], overwrite)
    places = paired_environments(runs[0], env, new_env, missing_code)
    sums = _Sums(places.change)
    progress = progress or Progress()
    progress.start("offset", runs[0].n_snps, 0)
    try:
        with single_threaded_blas():
            for B, chosen in _effect_blocks(runs, EFFECTS[effects], choice):
                with np.errstate(over="ignore", invalid="ignore"):  # `_check_finite` raises the error of an overflow.
                    sums.add(B, chosen)
                progress.advance(len(B), 0)
    finally:
        progress.finish()
    choice.check(runs[0])
    if sums.n_loci == 0:
        missing = (
            f"{with_spaces(sums.n_without_effect)} without effects" if sums.n_without_effect else choice.smallest_q()
        )
        fact = "no locus to average over" + (f", {missing}" if missing else "")
        raise DegenerateProblemError(f"{fact}; choose others, or a higher level of q")
    with np.errstate(over="ignore", invalid="ignore"):
        result = _make_result(places, runs[0].variables, sums, scale, {} if path is None else {"offset": path})
    _check_finite(result, places)
    if path is not None and out is not None:
        write_offset(out, path, result, overwrite)
    return result


def _check_offset_path(out: AnyPath, runs: list[StoredRun], inputs: list[Any], overwrite: bool) -> Path:
    """Return the path of the file, or raise an error if it may not be written there."""
    check_prefix_name(out)
    path = Path(f"{os.fspath(out)}.offset.tsv")
    for run in runs:
        run.refuse_as_outputs([path])
    given = [item for each in inputs for item in (each if isinstance(each, list | tuple | set | frozenset) else [each])]
    # A text may also be the ID of a SNP, which is then no file of this name.
    if find_inputs([path], [Path(item) for item in given if isinstance(item, str | os.PathLike)]):
        raise UsageError(f"{path} is an input of this offset; choose another --out")
    check_outputs([path], overwrite, OwnFiles.of_manifest(manifest_of(out, "offset")))
    return path


def _check_finite(result: OffsetResult, places: Places) -> None:
    """Raise InconsistentInputError if the gap or RONA of a place is not finite, and name its largest change."""
    broken = np.flatnonzero(~(np.isfinite(result.gap) & np.isfinite(result.rona)))
    if len(broken):
        i = int(broken[0])
        j = int(np.abs(places.change[i]).argmax())
        fact = f"the genetic gap of {result.ids[i]} is too large for a double: {result.variables[j]} changes by"
        raise InconsistentInputError(f"{fact} {abs(places.change[i, j]):.3g}; check the units of the environments")


def write_offset(out: AnyPath, path: Path, result: OffsetResult, overwrite: bool) -> None:
    """Write ID, GENETIC_GAP and RONA as TSV; the file appears complete or not at all."""
    with (
        OutputSet(overwrite) as outputs,
        open_table(outputs.open(path, manifest_of(out, "offset")), OFFSET_SCHEMA, "tsv") as writer,
    ):
        writer.write(result.table())


def _check_runs(runs: list[StoredRun]) -> None:
    """Raise unless there is a run, no run is given twice, and all have the same variables and number of SNPs."""
    if not runs:
        raise UsageError("no results; give the --out of one run or more")
    first = runs[0]
    records = [os.path.realpath(str(run.path("record"))) for run in runs]
    if twins := repeated(records):
        raise UsageError(f"{runs[records.index(twins[0])].prefix}: given twice; average over runs that differ in K")
    for run in runs[1:]:
        if set(run.variables) != set(first.variables):
            ours, theirs = (", ".join(r.variables) for r in (first, run))
            fact = f"the variables of {first.prefix} are {ours}, those of {run.prefix} {theirs}"
            raise InconsistentInputError(f"{fact}; average over runs that differ in K only")
        if run.n_snps != first.n_snps:
            fact = f"{counted(first.n_snps, 'SNP')} in {first.prefix}, {with_spaces(run.n_snps)} in {run.prefix}"
            raise InconsistentInputError(f"{fact}; average over runs that differ in K only")


def _effect_blocks(runs: list[StoredRun], column: str, choice: LociChoice) -> Iterator[tuple[Floats, Bools]]:
    """Stream the mean effects over the runs (n_snps_block, d), and which SNPs are chosen.

    The mean effect of a SNP is NaN if any run has no effect of it.
    """
    variables = runs[0].variables
    compared = len(runs) > 1
    readers: list[dict[str, Iterator[pa.Table]]] = []
    for run in runs:
        columns = {name: [column] + (["Q"] if name in choice.tests else []) for name in variables}
        columns[variables[0]] += _VARIANT if compared else (["ID"] if choice.wanted is not None else [])
        if "joint" in choice.tests:
            columns["joint"] = ["Q"]
        readers.append({name: run.blocks(name, wanted) for name, wanted in columns.items()})
    first_row = 0
    for blocks in zip(*(_read_together(reader) for reader in readers), strict=True):
        ours = blocks[0][variables[0]]
        for run, theirs in zip(runs[1:], blocks[1:], strict=True):
            _check_variants(runs[0], run, ours, theirs[variables[0]], first_row)
        n_rows = len(ours)
        B = np.zeros((n_rows, len(variables)))
        for block in blocks:
            B += np.column_stack([_numbers(block[name], column) for name in variables])
        B /= len(runs)
        yield B, _choose_loci(blocks, choice, ours)
        first_row += n_rows


def _read_together(reader: dict[str, Iterator[pa.Table]]) -> Iterator[dict[str, pa.Table]]:
    """Stream the blocks of several tables of a run side by side."""
    for tables in zip(*reader.values(), strict=True):
        yield dict(zip(reader, tables, strict=True))


def _numbers(table: pa.Table, column: str) -> Floats:
    """Return a column as floats, with NaN for null."""
    values: Floats = table[column].to_numpy().astype(np.float64, copy=False)
    return values


def _choose_loci(blocks: Sequence[dict[str, pa.Table]], choice: LociChoice, ours: pa.Table) -> Bools:
    """Return which SNPs of a block are averaged over; `blocks` are the tables of each run, `ours` one of the first."""
    if choice.wanted is not None:
        return choice.find_listed(ours["ID"])
    if choice.level is None:
        return np.ones(len(ours), bool)
    chosen = np.zeros(len(ours), bool)
    for block in blocks:
        for name in choice.tests:
            chosen |= choice.find_discovered(_numbers(block[name], "Q"))
    return chosen


def _check_variants(first: StoredRun, other: StoredRun, ours: pa.Table, theirs: pa.Table, first_row: int) -> None:
    """Raise InconsistentInputError if a block of two runs has other SNPs or counted alleles."""
    for column in _VARIANT:
        if ours[column].equals(theirs[column]):
            continue
        differ = pc.not_equal(ours[column], theirs[column]).to_numpy()
        row = int(np.flatnonzero(differ)[0])
        a, b = (table[column][row].as_py() for table in (ours, theirs))
        fact = f"{column} of SNP {with_spaces(first_row + row + 1)} is {a} in {first.prefix}, {b} in {other.prefix}"
        raise InconsistentInputError(f"{fact}; average over runs of the same SNPs, which differ in K only")


class _Sums:
    """Sums over loci: of B (d,), of BᵀB (d, d) and, for every place, of |δ Bᵀ| (m,)."""

    def __init__(self, change: Floats) -> None:
        d = change.shape[1]
        self.n_loci = 0
        self.n_without_effect = 0
        self.total = np.zeros(d)
        self.products = np.zeros((d, d))
        self.absolute = np.zeros(len(change))
        self._tiles = [np.ascontiguousarray(change[at : at + TILE].T) for at in range(0, len(change), TILE)]
        self._product = np.empty(GROUP * TILE)

    def add(self, B: Floats, chosen: Bools) -> None:
        """Add the effects of a block; it must begin at a multiple of `GROUP`, so that groups are not cut."""
        present = ~np.isnan(B).any(axis=1)
        self.n_without_effect += int(np.count_nonzero(chosen & ~present))
        used = chosen & present
        for at in range(0, len(B), GROUP):
            group = np.ascontiguousarray(B[at : at + GROUP][used[at : at + GROUP]])
            if len(group):
                self._add_group(group)

    def _add_group(self, group: Floats) -> None:
        """Add the effects of up to `GROUP` loci, all of which are numbers."""
        self.n_loci += len(group)
        self.total += group.sum(axis=0)
        self.products += group.T @ group
        for number, tile in enumerate(self._tiles):
            n_places = tile.shape[1]
            product = self._product[: len(group) * n_places].reshape(len(group), n_places)
            np.matmul(group, tile, out=product)
            np.abs(product, out=product)
            self.absolute[number * TILE : number * TILE + n_places] += product.sum(axis=0)


assert BLOCK_ROWS % GROUP == 0


def _make_result(
    places: Places, variables: tuple[str, ...], sums: _Sums, scale: bool, paths: dict[str, Path]
) -> OffsetResult:
    """Compute the offset of each place, and the axes of the effects, from the sums over loci."""
    n = sums.n_loci
    moments = sums.products / n
    parts = places.change * (places.change @ moments)  # (m, d)
    covariance = np.full_like(moments, np.nan)
    eigenvalues, vectors = np.full(len(moments), np.nan), np.full_like(moments, np.nan)
    if n > 1:
        mean = sums.total / n
        covariance = (moments - np.outer(mean, mean)) * (n / (n - 1))
        if scale:
            covariance *= np.outer(places.spread, places.spread)
    if np.isfinite(covariance).all():
        eigenvalues, vectors = np.linalg.eigh(covariance)
        eigenvalues, vectors = eigenvalues[::-1].copy(), vectors[:, ::-1]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(len(largest))])
    return OffsetResult(
        ids=places.ids,
        variables=variables,
        # A gap of zero may round to a negative number.
        gap=np.maximum(parts.sum(axis=1), 0.0),
        rona=sums.absolute / n,
        parts=parts,
        n_loci=n,
        n_without_effect=sums.n_without_effect,
        moments=moments,
        covariance=covariance,
        eigenvalues=eigenvalues,
        eigenvectors=vectors,
        paths=paths,
    )
