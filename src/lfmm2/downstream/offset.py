"""Genetic offset: how far allele frequencies would have to move from one environment to another.

References
----------
Gain, Rhoné, Cubry et al. 2023, Mol. Biol. Evol. 40:msad140 (geometric genetic offset, the genetic gap).
Rellstab, Zoller, Walthert et al. 2016, Mol. Ecol. 25:5907 (risk of nonadaptedness, RONA).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._checks import are, check_flag, check_missing_code, check_progress, check_word, quoted
from lfmm2._choices import DECIMAL_MARKS, NOISES, DecimalMark, Effects, OffsetNoise
from lfmm2._typing import AnyPath, Floats, ListedSnps, MissingCode
from lfmm2._words import counted, with_spaces
from lfmm2.downstream.environments import Places, paired_environments
from lfmm2.downstream.offset_loci import LociChoice
from lfmm2.downstream.offset_noise import SamplingNoise
from lfmm2.downstream.offset_result import OffsetResult, write_offset
from lfmm2.downstream.offset_sums import OffsetSums, gap_intervals
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, UsageError
from lfmm2.files import OwnFiles, check_outputs, check_prefix_name, manifest_of, repeated
from lfmm2.process import Progress, single_threaded_blas
from lfmm2.results import AnyRun, StoredRun, find_inputs, open_run

Bools = NDArray[np.bool_]

# Column of the effects, by the name that `effects` takes.
EFFECTS = {"ridge": "RIDGE_BETA", "ols": "BETA"}
# Columns that must be the same in all runs that are averaged.
_VARIANT = ["CHROM", "POS", "ID", "A1"]


def genetic_offset(
    results: AnyRun | Sequence[AnyRun],
    env: object,
    new_env: object,
    *,
    effects: Effects = "ridge",
    loci: float | ListedSnps = "auto",
    joint: bool = False,
    noise: OffsetNoise = "auto",
    scale: bool = True,
    missing_code: MissingCode | None = None,
    decimal: DecimalMark = ".",
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
        variables. One new row of another ID stands for all places, as a common garden does. A place with a value
        missing in both has no offset.
    effects : {"ridge", "ols"}
        RIDGE_BETA, which LEA takes, or BETA.
    loci : "auto", "all", float, path, or collection of str or of os.PathLike
        "auto" for SNPs with q below 0.05 in any variable of any run, or all SNPs if there are none; "all" for all SNPs,
        as LEA's default; a level for SNPs with a smaller q; or SNPs listed by ID, in any of several files.
    joint : bool
        Compare the level with q of the joint test instead.
    noise : {"auto", "keep", "subtract"}
        Whether the mean sampling covariance of the effects is subtracted from the matrix of the gap. Effects of most
        SNPs are noise, whose square is no less than that of true effects: "auto" subtracts it where `loci` is "auto"
        and all SNPs are taken, because none is discovered. RONA cannot be corrected so.
    scale : bool
        Give `covariance` and its axes for variables in standard deviations of the places in `env`, as LEA's ``scale =
        TRUE``. Gap and RONA do not depend on units.
    missing_code : float or str, or a list of these, optional
        Values of the tables that mean missing, beside empty, NA and nan.
    decimal : {".", ","}
        Decimal mark of the numbers in tables of text.
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
        If places or SNPs are in one of the tables only, the runs differ, a column is missing or a value is missing in
        one of the tables, or a change is too large for the genetic gap to be a double.
    DegenerateProblemError
        If no locus is left to average over.
    OutputExistsError, WriteError
        If the file exists and `overwrite` is false, or is not as this function has written it; if it cannot be written.

    Warns
    -----
    InputWarning
        If the environments seem to be in other units than the variables of the run, or standardised where these are
        not; if a variable changes by many times its spread in the run; if listed SNPs are absent.

    Notes
    -----
    The tables are read in one pass; with "auto" and no discovery, q is read before. Memory grows with the places, but
    not with the SNPs. RONA of m places and L loci takes 2 m d L flops.

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
    check_word(noise, "noise", NOISES)
    check_word(decimal, "decimal", DECIMAL_MARKS)
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
    places = paired_environments(runs[0], env, new_env, missing_code, decimal)
    if choice.is_open and not any(choice.find_discovered(q).any() for q in _stream_q(runs, choice)):
        choice.take_all()
    sampling = SamplingNoise(runs, effects)
    with single_threaded_blas():
        sums = _sum_effects(runs, EFFECTS[effects], choice, sampling, places, progress or Progress())
        subtract = noise == "subtract" or (noise == "auto" and choice.found_none)
        paths = {} if path is None else {"offset": path}
        with np.errstate(over="ignore", invalid="ignore"):  # `_check_finite` raises the error of an overflow.
            result = _make_result(places, choice, sums, sampling.matrix, subtract, scale, paths)
    _check_finite(result, places)
    if path is not None and out is not None:
        write_offset(out, path, result, overwrite)
    return result


def _stream_q(runs: Sequence[StoredRun], choice: LociChoice) -> Iterator[Floats]:
    """Stream q of the tests that decide which loci are discovered, run by run and table by table."""
    for run in runs:
        for name in choice.tests:
            for block in run.blocks(name, ["Q"]):
                yield _numbers(block, "Q")


def _sum_effects(
    runs: list[StoredRun],
    column: str,
    choice: LociChoice,
    sampling: SamplingNoise,
    places: Places,
    progress: Progress,
) -> OffsetSums:
    """Return the sums over the chosen loci, from one pass over the tables; raise if there is no such locus."""
    sums = OffsetSums(places.change[places.is_complete], runs[0].n_snps)
    progress.start("offset", runs[0].n_snps, 0)
    try:
        for B, standard_errors, chosen in _effect_blocks(runs, column, choice, sampling.variable):
            with np.errstate(over="ignore", invalid="ignore"):
                sums.add(B, sampling.residual_variance(standard_errors), chosen)
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
    return sums


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
    broken = np.flatnonzero(places.is_complete & ~(np.isfinite(result.gap) & np.isfinite(result.rona)))
    if len(broken):
        i = int(broken[0])
        j = int(np.abs(places.change[i]).argmax())
        fact = f"the genetic gap of {result.ids[i]} is too large for a double: {result.variables[j]} changes by"
        raise InconsistentInputError(f"{fact} {abs(places.change[i, j]):.3g}; check the units of the environments")


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


def _effect_blocks(
    runs: list[StoredRun], column: str, choice: LociChoice, tested: str
) -> Iterator[tuple[Floats, list[Floats], Bools]]:
    """Stream the mean effects over the runs (n_snps_block, d), the SE of `tested` in each, and which SNPs are chosen.

    The mean effect of a SNP is NaN if any run has no effect of it.
    """
    variables = runs[0].variables
    compared = len(runs) > 1
    readers: list[dict[str, Iterator[pa.Table]]] = []
    for run in runs:
        columns = {name: [column] + (["Q"] if name in choice.tests else []) for name in variables}
        columns[tested].append("SE")
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
        yield B, [_numbers(block[tested], "SE") for block in blocks], _choose_loci(blocks, choice, ours)
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


def _make_result(
    places: Places,
    choice: LociChoice,
    sums: OffsetSums,
    noise: Floats,
    subtract: bool,
    scale: bool,
    paths: dict[str, Path],
) -> OffsetResult:
    """Compute the offset of each place, and the axes of the effects, from the sums over loci."""
    n = sums.n_loci
    subtracted = noise if subtract else None
    moments = sums.moments(subtracted)
    mean_noise = noise * (sums.variances.sum() / n)
    change = places.change[places.is_complete]
    of_noise = np.einsum("ij,jk,ik->i", change, mean_noise, change)
    of_effects = np.einsum("ij,jk,ik->i", change, sums.moments(None), change)
    # The mean of |N(0, s²)| is s times the root of 2/π.
    rona_of_noise = sums.deviation / n * np.sqrt(2 / np.pi * np.einsum("ij,jk,ik->i", change, noise, change))
    parts = change * (change @ moments)  # (m, d)
    low, high = gap_intervals(sums, change, subtracted)
    covariance, eigenvalues, vectors = _axes(moments, sums.total / n, n, places.spread if scale else None)

    def of_places(values: Floats) -> Floats:
        """Return values of the complete places as values of all places, NaN where others are."""
        result = np.full((len(places.ids), *values.shape[1:]), np.nan)
        result[places.is_complete] = values
        return result

    return OffsetResult(
        ids=places.ids,
        variables=places.variables,
        # A gap of zero may round to a negative number, and noise may be larger than the effects.
        gap=of_places(np.maximum(parts.sum(axis=1), 0.0)),
        rona=of_places(sums.absolute / n),
        gap_low=of_places(low),
        gap_high=of_places(high),
        outside=places.outside,
        parts=of_places(parts),
        loci=choice.words,
        n_loci=n,
        n_without_effect=sums.n_without_effect,
        moments=moments,
        noise=mean_noise,
        subtracted=subtract,
        noise_share=float(of_noise.sum() / of_effects.sum()) if of_effects.any() else np.nan,
        rona_of_noise=of_places(rona_of_noise),
        covariance=covariance,
        eigenvalues=eigenvalues,
        eigenvectors=vectors,
        common=places.common,
        paths=paths,
    )


def _axes(moments: Floats, mean: Floats, n: int, spread: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return the covariance of the effects over n loci, for variables in units of `spread`, and its eigenvectors."""
    covariance = np.full_like(moments, np.nan)
    eigenvalues, vectors = np.full(len(moments), np.nan), np.full_like(moments, np.nan)
    if n > 1:
        covariance = (moments - np.outer(mean, mean)) * (n / (n - 1))
        if spread is not None:
            covariance *= np.outer(spread, spread)
    if np.isfinite(covariance).all():
        eigenvalues, vectors = np.linalg.eigh(covariance)
        eigenvalues, vectors = eigenvalues[::-1].copy(), vectors[:, ::-1]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(len(largest))])
    return covariance, eigenvalues, vectors
