"""From what the user names to what the algebra takes: matrices, variables and samples that fit together.

Samples are matched by ID, never by row. All samples that are used stand in the order of the tested fileset's .fam; the
estimation fileset is re-ordered to them as it is read.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import some_of
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, UsageError
from lfmm2.files import (
    MISSING,
    Samples,
    Variables,
    check_variables,
    open_regular,
    read_sample_list,
    read_variables,
    repeated,
    spelling_hints,
)
from lfmm2.genotypes import GenotypeSource


@dataclass(frozen=True)
class SampleOptions:
    """Which samples to use, and how to read their variables; see `lfmm2.run`."""

    keep: AnyPath | None = None
    remove: AnyPath | None = None
    missing_code: float | str | None = None
    intersect: bool = False
    missing: str = "error"
    variables: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise UsageError(f"missing is {self.missing!r}; it is one of {', '.join(MISSING)}")
        if self.intersect and self.missing == "mean":
            fact = "--intersect leaves out samples with missing values, and --missing mean would fill these"
            raise UsageError(f"{fact}; give one of them, and --keep for samples that have rows")


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
        The ones in use, ascending rows of the .fam.
    has_ids : bool
        False where samples are only numbered, as rows of an array are.
    """

    names: tuple[str, ...]
    nuisance_names: tuple[str, ...]
    values: Floats
    samples: Samples
    rows: Ints

    has_ids: bool = True

    @property
    def iids(self) -> tuple[str, ...]:
        """Return the IID of each sample in use."""
        return tuple(self.samples.iid[i] for i in self.rows)


def check_readable(sources: dict[str, Any]) -> list[Path]:
    """Open those of the inputs that are paths, before any is read; the paths.

    Raises
    ------
    ReadError
        If one is absent or no regular file: better said before a long .bim is read.
    """
    paths = [Path(source) for source in sources.values() if isinstance(source, str | os.PathLike)]
    for path in paths:
        open_regular(path).close()
    return paths


def align_variables(samples: Samples, X: Any, covar: Any, options: SampleOptions) -> AlignedVariables:
    """Read variables and nuisance variables and match them to the samples that are kept.

    Raises
    ------
    InconsistentInputError
        If kept samples lack variables and `options.intersect` is off, or none is left.
    DegenerateProblemError
        If variables are constant, repeated or collinear over the samples in use.
    """
    kept = _kept_samples(samples, options)
    tables = [_read(X, samples, kept, "variables", options, _names(options.variables))]
    if covar is not None:
        tables.append(_named_nuisance(_read(covar, samples, kept, "nuisance variables", options), covar))
    common = reduce(np.intersect1d, [table.sample_index for table in tables])
    if len(common) == 0:
        raise InconsistentInputError("no sample has both variables and nuisance variables; check the sample IDs")
    values = np.hstack([table.values[np.searchsorted(table.sample_index, common)] for table in tables])
    names = tables[0].names
    nuisance_names = tables[1].names if covar is not None else ()
    twice = sorted(set(names) & set(nuisance_names))
    if twice:
        raise UsageError(f"{some_of(twice)}: both a variable and a nuisance variable; give it once")
    check_variables(values, names + nuisance_names)
    return AlignedVariables(names, nuisance_names, np.ascontiguousarray(values), samples, common)


def _named_nuisance(table: Variables, source: Any) -> Variables:
    """Columns without names of their own are not called as those of X are."""
    if not isinstance(source, np.ndarray | list | tuple) and getattr(source, "name", "") is not None:
        return table
    return replace(table, names=tuple(f"covar{j + 1}" for j in range(len(table.names))))


def _names(variables: str | Sequence[str] | None) -> list[str] | None:
    """Names of a text such as "rain, temperature", or of a sequence."""
    if isinstance(variables, str):
        return [name.strip() for name in variables.split(",")]
    return None if variables is None else list(variables)


def _read(
    source: Any, samples: Samples, kept: Ints, what: str, options: SampleOptions, columns: list[str] | None = None
) -> Variables:
    return read_variables(
        source,
        samples,
        what=what,
        columns=columns,
        missing_code=options.missing_code,
        missing=options.missing,
        intersect=options.intersect,
        kept=kept,
    )


def _kept_samples(samples: Samples, options: SampleOptions) -> Ints:
    mask = np.ones(len(samples), bool)
    faults = []
    for path, name, wanted in ((options.keep, "--keep", True), (options.remove, "--remove", False)):
        if path is None:
            continue
        listed = read_sample_list(path, samples)
        if listed.fault:
            faults.append(f"; {os.fspath(path)}: {listed.fault}")
            warnings.warn(
                f"{name} {os.fspath(path)}: {listed.fault}",
                InputWarning,
                stacklevel=4,
            )
        mask &= listed.mask if wanted else ~listed.mask
    if not mask.any():
        fact = f"--keep and --remove leave none of {len(samples)} samples{''.join(faults)}"
        raise InconsistentInputError(f"{fact}; check the lists")
    return np.flatnonzero(mask)


def match_samples(wanted: AlignedVariables, other: GenotypeSource, other_name: str) -> Ints:
    """Return the rows of other genotypes that hold the samples in use, in their order.

    Samples are matched by IID, or by FID and IID where the IID of a sample in use stands for several samples on either
    side. Where one side has no IDs, as an array, both must have the same rows.
    """
    ours, theirs = wanted.samples, other.samples
    if not (wanted.has_ids and other.has_ids):
        if len(theirs) != len(ours):
            raise InconsistentInputError(
                f"{other_name} has {len(theirs)} rows, but the tested genotypes have {len(ours)}; "
                "rows of an array must be the same samples in the same order"
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
        hints = "".join(f"; {hint}" for hint in spelling_hints(absent, set(theirs.iid).difference(in_use)))
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


def check_size(n_samples: int, n_variables: int, n_factors: int, n_estimation: int | None = None) -> None:
    """Raise DegenerateProblemError if K is too large for the samples, variables and estimation SNPs.

    `n_variables` counts the nuisance variables too.
    """
    most = n_samples - n_variables - 2
    if n_estimation is not None:
        most = min(most, n_estimation)
    if n_factors > most:
        snps = "" if n_estimation is None else f" and {n_estimation} SNPs to estimate from"
        raise DegenerateProblemError(
            f"K = {n_factors} with {n_samples} samples, {n_variables} variables{snps}; "
            f"at most {max(most, 0)} factors are possible, lower K"
        )
