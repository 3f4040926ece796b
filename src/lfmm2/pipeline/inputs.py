"""Variables and samples that the user names, read, checked and matched to the samples of the genotypes.

Samples are matched by ID. Only arrays, which have no IDs, are matched by row. The samples in use stand in the order of
the .fam of the tested fileset; the rows of the estimation fileset are put into the same order as they are read.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import some_of
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, UsageError
from lfmm2.files import (
    Populations,
    Samples,
    TableMatch,
    Variables,
    as_paths,
    as_tables,
    check_output_name,
    check_variables,
    expand_categories,
    has_no_names,
    id_files,
    join_variables,
    open_regular,
    read_sample_list,
    read_variables,
    repeated,
    spelling_hints,
    warn_of_classes,
    warn_of_few_apart,
    warn_of_no_environment,
)
from lfmm2.genotypes import GenotypeSource
from lfmm2.pipeline.run_options import RunOptions, SampleOptions, split_names


@dataclass(frozen=True)
class AlignedVariables:
    """Variables and nuisance variables of the samples in use.

    Attributes
    ----------
    names, nuisance_names : tuple of str
    values : ndarray of shape (n_samples, d + c), float64
        Uncentred; the reported variables first.
    samples : Samples
        All samples of the fileset.
    rows : ndarray of shape (n_samples,), int64
        Rows of the .fam of the samples in use, ascending.
    has_ids : bool
        False where samples are only numbered, as rows of an array are.
    matches : tuple of TableMatch
        How the tables were matched to the samples.
    categories : dict of str to dict of str to int
        Number of samples of each level of each category; the first level is the reference.
    coordinates : dict of str to ndarray of shape (n_samples,), float64
        Coordinates of the samples in use, NaN where missing; empty without `coords`.
    """

    names: tuple[str, ...]
    nuisance_names: tuple[str, ...]
    values: Floats
    samples: Samples
    rows: Ints
    has_ids: bool = True
    matches: tuple[TableMatch, ...] = ()
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    coordinates: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def fids(self) -> tuple[str, ...]:
        """Return the FID of each sample in use."""
        return tuple(self.samples.fid[i] for i in self.rows)

    @property
    def iids(self) -> tuple[str, ...]:
        """Return the IID of each sample in use."""
        return tuple(self.samples.iid[i] for i in self.rows)


def check_readable(X: Any, covar: Any, options: RunOptions) -> list[Path]:
    """Open and close every input file but the genotypes, and return the paths.

    A wrong path is thus reported before a long .bim is read.

    Raises
    ------
    ReadError
        If a file is absent, unreadable or no regular file.
    """
    samples, snps = options.samples, options.snps
    files = [part for source in (X, covar) for part in as_tables(source) if isinstance(part, str | os.PathLike)]
    files += [*as_paths(samples.keep), *as_paths(samples.remove)]
    files += [path for ids in (snps.extract, snps.exclude, snps.est_extract) for path in id_files(ids)]
    paths = list(map(Path, files))
    for path in paths:
        open_regular(path).close()
    return paths


def align_variables(
    samples: Samples,
    X: Any,
    covar: Any,
    options: SampleOptions,
    has_ids: bool = True,
    populations: Populations | None = None,
) -> AlignedVariables:
    """Read variables and nuisance variables and match them to the samples that are kept.

    Without `has_ids`, samples are only numbered, as rows of an array are. With `populations`, each row of X is of a
    population.

    Raises
    ------
    InconsistentInputError
        If kept samples lack variables and `options.intersect` is off, or none is left.
    UsageError
        If a variable is also a nuisance variable; if a category is no column in use.
    DegenerateProblemError
        If variables are constant, repeated or collinear over the samples in use.

    Warns
    -----
    InputWarning
        If a variable is probably no measurement of an environment.
    """
    kept = _kept_samples(samples, options)
    chosen, categorical = split_names(options.variables), split_names(options.categorical) or []
    of_covar = split_names(options.covar_variables)
    if of_covar is not None and covar is None:
        fact = f"covar_variables chooses columns of covar ({some_of(of_covar)}), and there is no such table"
        raise UsageError(f"{fact}; give it with --covar, or choose columns of --env with --variables")
    tables = [_read_table(X, samples, has_ids, kept, "variables", options, chosen, populations)]
    if covar is not None:
        nuisance = _read_table(covar, samples, has_ids, kept, "nuisance variables", options, of_covar)
        tables.append(_name_nuisance(nuisance, covar))
    names = tables[0].names
    nuisance_names = tables[1].names if covar is not None else ()
    twice = sorted(set(names) & set(nuisance_names))
    if twice:
        raise UsageError(f"{some_of(twice)}: both a variable and a nuisance variable; give it once")
    found = join_variables(tables, names + nuisance_names, "no sample has both variables and nuisance variables")
    if unknown := [name for name in categorical if name not in found.levels]:
        fact = f"--categorical: no column {some_of(unknown)} among {some_of(found.names)}"
        raise UsageError(f"{fact}, which are the variables in use; check the names")
    iids = [samples.iid[i] for i in found.sample_index]
    columns, values, categories = expand_categories(found.names, found.values, found.levels, iids)
    names, nuisance_names = (tuple(new for name in old for new in columns[name]) for old in (names, nuisance_names))
    for name in names:
        check_output_name(name, "--categorical")
    check_variables(values, names + nuisance_names)
    _warn_of_doubtful(found, values, names, len(tables[0].names), iids, chosen is not None)
    return AlignedVariables(
        names, nuisance_names, values, samples, found.sample_index, has_ids, found.matches, categories,
        {name: found.coordinates[name] for name in options.coordinate_names},
    )  # fmt: skip


def _warn_of_doubtful(
    found: Variables, values: Floats, names: tuple[str, ...], n_tables: int, iids: Sequence[str], are_chosen: bool
) -> None:
    """Warn of variables that are probably no measurements of an environment.

    `found` has the variables as the tables have them, the first `n_tables` of which are tested; `values` has the
    indicators of categories in their places, those of the tested ones called `names`.
    """
    # A level of one sample is told with its category.
    told = [j for j, name in enumerate(names) if name not in found.names and values[:, j].sum() == 1]
    warn_of_few_apart(np.delete(values[:, : len(names)], told, axis=1), np.delete(names, told).tolist(), iids)
    tested = [j for j in range(n_tables) if found.names[j] not in found.levels]
    if not are_chosen and n_tables > 1:
        warn_of_no_environment(found.values[:, tested], [found.names[j] for j in tested])
    warn_of_classes(found.values, found.names, found.levels)


def _name_nuisance(table: Variables, source: Any) -> Variables:
    """Name columns without a name covar1, covar2, ..., because such columns of X are env1, env2, ..."""
    if not _is_unnamed(source):
        return table
    new_of = {name: re.sub(r"^env", "covar", name) for name in table.names}
    levels = {new_of[name]: of_name for name, of_name in table.levels.items()}
    return replace(table, names=tuple(new_of.values()), levels=levels)


def _is_unnamed(source: Any) -> bool:
    """Return True for an array, for a Series without a name, and for a file without names of columns."""
    parts = as_tables(source)
    is_array = any(isinstance(part, np.ndarray | list | tuple) for part in parts)
    files = [part for part in parts if isinstance(part, str | os.PathLike)]
    return is_array or any(map(has_no_names, files)) or getattr(source, "name", "") is None


def _read_table(
    source: Any,
    samples: Samples,
    has_ids: bool,
    kept: Ints,
    what: str,
    options: SampleOptions,
    columns: list[str] | None = None,
    populations: Populations | None = None,
) -> Variables:
    """Read variables of the kept samples; `what` names them in messages."""
    categorical = split_names(options.categorical) or []
    if what != "variables" and _is_unnamed(source):
        categorical = _names_of_array(categorical)
        columns = None if columns is None else _names_of_array(columns)
    return read_variables(
        source,
        samples,
        what=what,
        columns=columns,
        missing_code=options.missing_code,
        missing=options.missing,
        intersect=options.intersect,
        kept=kept,
        has_ids=has_ids,
        categorical=categorical,
        decimal=options.decimal,
        populations=populations,
        coords=options.coordinate_names if what == "variables" else (),
    )


def _names_of_array(names: Sequence[str]) -> list[str]:
    """Return the names under which columns of an array are read, of those called covar1, covar2, ... for the user."""
    return [re.sub(r"^covar(?=\d+$)", "env", name) for name in names if not name.startswith("env")]


def _kept_samples(samples: Samples, options: SampleOptions) -> Ints:
    """Return the rows of the samples that any list of --keep names, and no list of --remove."""
    faults: list[str] = []
    kept, removed = (
        [_read_list(path, name, samples, faults) for path in as_paths(paths)]
        for paths, name in ((options.keep, "--keep"), (options.remove, "--remove"))
    )
    mask = np.logical_or.reduce(kept) if kept else np.ones(len(samples), bool)
    if removed:
        mask &= ~np.logical_or.reduce(removed)
    if not mask.any():
        fact = f"--keep and --remove leave none of {len(samples)} samples{''.join(faults)}"
        raise InconsistentInputError(f"{fact}; check the lists")
    return np.flatnonzero(mask)


def _read_list(path: AnyPath, option: str, samples: Samples, faults: list[str]) -> NDArray[np.bool_]:
    """Return which samples a list names; warn of IDs of no sample, and add the warning to `faults`."""
    listed = read_sample_list(path, samples)
    if listed.fault:
        faults.append(f"; {os.fspath(path)}: {listed.fault}")
        warnings.warn(f"{option} {os.fspath(path)}: {listed.fault}", InputWarning, stacklevel=5)
    return listed.mask


def refuse_transposed(source: GenotypeSource, X: Any) -> None:
    """Raise InconsistentInputError if samples are columns, not rows, of genotypes in memory.

    They are if X has the names of columns as its IDs, or a row for each column; not if an ID of X is that of a row.
    """
    tables = [part for part in as_tables(X) if not isinstance(part, str | os.PathLike)]
    labels = {label for table in tables for label in _labels(table)}
    if source.paths or (source.has_ids and labels.intersection(source.samples.iid)):
        return
    n_rows = {len(table) for table in tables if hasattr(table, "__len__") and getattr(table, "ndim", None) != 0}
    n_samples, n_snps = source.n_samples, source.n_snps
    fact = f"the genotypes have {n_samples} rows and {n_snps} columns, and X has {n_snps} rows"
    is_transposed = n_rows == {n_snps} and n_snps != n_samples
    if labels and not is_transposed and not source.refusal("extract"):
        names = {name for table in source.iter_variants() for name in table["ID"].to_pylist()}
        is_transposed = 2 * len(names & labels) > len(names)
        fact = f"the IDs of X are names of columns of the genotypes ({some_of(sorted(names & labels))})"
    if is_transposed:
        raise InconsistentInputError(f"{fact}: samples must be rows; transpose the genotypes, as genotypes.T does")


def _labels(table: Any) -> Iterator[str]:
    """Give the labels of the index of a frame or Series, and the cells of columns of text."""
    if hasattr(table, "iloc"):
        yield from (str(label).strip() for label in table.index.get_level_values(-1))
        columns = [table.iloc[:, j] for j in range(len(getattr(table, "columns", ())))]
        yield from (cell.strip() for column in columns for cell in column.tolist() if isinstance(cell, str))


def match_samples(wanted: AlignedVariables, other: GenotypeSource, other_name: str) -> Ints:
    """Return the row of other genotypes that holds each sample in use, shape (n_samples,), int64.

    Samples are matched by IID, or by FID and IID where the IID of a sample in use stands for several samples on either
    side. Where one side has no IDs, as an array, row i of both is taken for the same sample.

    Raises
    ------
    InconsistentInputError
        If a sample in use is absent from the other genotypes; if rows cannot be matched because their numbers differ.
    """
    ours, theirs = wanted.samples, other.samples
    if not (wanted.has_ids and other.has_ids):
        if len(theirs) != len(ours):
            transposed = "; are its samples columns? give it as .T" if other.n_snps == len(ours) else ""
            raise InconsistentInputError(
                f"{other_name} has {len(theirs)} rows, but the tested genotypes have {len(ours)}; "
                f"rows of an array must be the same samples in the same order{transposed}"
            )
        if theirs.iid != ours.iid and set(theirs.iid) == set(ours.iid):
            raise InconsistentInputError(
                f"{other_name} and the tested genotypes have the same sample IDs in another order, but on one side "
                "they only count the rows; give sample IDs on both sides, or none and rows in the same order"
            )
        return wanted.rows
    in_use = set(wanted.iids)
    ambiguous = any(in_use.intersection(repeated(samples.iid)) for samples in (ours, theirs))

    def keys(samples: Samples) -> list[Any]:
        return list(zip(samples.fid, samples.iid, strict=True)) if ambiguous else list(samples.iid)

    where = {key: row for row, key in enumerate(keys(theirs))}
    our_keys = keys(ours)
    rows = [where.get(our_keys[i], -1) for i in wanted.rows]
    absent = [wanted.samples.iid[i] for i, row in zip(wanted.rows, rows, strict=True) if row < 0]
    if absent:
        compared = ", compared by FID and IID since IIDs repeat" if ambiguous else ""
        fid_of = dict(zip(theirs.iid + ours.iid, theirs.fid + ours.fid, strict=True))
        others = set(theirs.iid).difference(in_use)
        hints = "".join(f"; {hint}" for hint in spelling_hints(absent, others, fid_of))
        raise InconsistentInputError(
            f"{other_name}: {len(absent)} of {len(rows)} samples in use are not in it ({some_of(absent)}){compared}"
            f"{hints}; factors need the genotypes of every sample that is tested"
        )
    return np.array(rows, np.int64)


def check_factor_number(n_factors: object) -> int:
    """Return K as an int, or raise UsageError if it is no whole number of at least 1."""
    if isinstance(n_factors, bool) or not isinstance(n_factors, int | np.integer) or n_factors < 1:
        raise UsageError(f"K is {n_factors!r}; the number of latent factors is a whole number of at least 1")
    return int(n_factors)


def most_factors(n_samples: int, n_variables: int) -> int:
    """Return the largest K that leaves a degree of freedom; `n_variables` counts the nuisance variables too."""
    return n_samples - n_variables - 2


def check_size(
    n_samples: int, n_variables: int, n_factors: int, n_estimation: int | None = None, noun: str = "SNP"
) -> None:
    """Raise DegenerateProblemError if K is too large for the samples, variables and estimation SNPs.

    `n_variables` counts the nuisance variables too; `noun` is what an estimation SNP is called.
    """
    most = most_factors(n_samples, n_variables)
    if n_estimation is not None:
        most = min(most, n_estimation)
    if n_factors > most:
        snps = "" if n_estimation is None else f" and {n_estimation} {noun}s to estimate from"
        raise DegenerateProblemError(
            f"K = {n_factors} with {n_samples} samples, {n_variables} variables{snps}; "
            f"at most {max(most, 0)} factors are possible, lower K"
        )
