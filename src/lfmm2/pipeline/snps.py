"""Which SNPs are tested, and from which the factors are estimated: sorted positions, None where it is all of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.files import read_id_list, spelling_hints
from lfmm2.genotypes import BedFile, BedMatrix, Engine, Genotypes, find_snps, n_snps_of
from lfmm2.results import FilterFacts

NUMPY_HYPERGEOMETRIC_LIMIT = 900_000_000
# SNPs among which another spelling of an ID is sought
MOST_COMPARED_SNPS = 100_000


@dataclass(frozen=True)
class SnpOptions:
    """Which SNPs to test and which to estimate from; see `lfmm2.run`."""

    extract: AnyPath | Collection[str] | None = None
    exclude: AnyPath | Collection[str] | None = None
    maf: float | None = None
    geno: float | None = None
    est_rate: float | None = None
    est_extract: AnyPath | Collection[str] | None = None
    scale: str | None = None
    count_allele: str = "a2"
    est_thin: Any = None

    @property
    def filters(self) -> bool:
        """Whether SNPs are dropped by what a pass over them counts."""
        return self.maf is not None or self.geno is not None


def check_snp_options(options: SnpOptions) -> None:
    """Ranges and conflicts, before any file is read."""
    choices = [name for name in ("est_rate", "est_extract", "est_thin") if getattr(options, name) is not None]
    if len(choices) > 1:
        raise UsageError(f"{' and '.join(choices)} both choose the estimation SNPs; give one of them")
    if options.est_rate is not None and not 0 < options.est_rate <= 1:
        raise UsageError(f"est_rate is {options.est_rate}; it is a share of the SNPs above 0 and at most 1")
    if options.maf is not None and not 0 <= options.maf <= 0.5:
        raise UsageError(f"maf is {options.maf}; a minor allele frequency lies between 0 and 0.5")
    if options.geno is not None and not 0 <= options.geno <= 1:
        raise UsageError(f"geno is {options.geno}; a missing rate lies between 0 and 1")
    if options.scale not in (None, "hwe"):
        raise UsageError(f"scale is {options.scale!r}; it is None or 'hwe'")
    if options.count_allele not in ("a1", "a2"):
        raise UsageError(f"count_allele is {options.count_allele!r}; it is 'a2' or 'a1'")


def listed_snps(source: Genotypes, ids: AnyPath | Collection[str], option: str) -> Ints:
    """Positions of the SNPs that a file or collection of IDs names.

    Raises
    ------
    InconsistentInputError
        If none is there, or several have one ID.
    """
    if not isinstance(source, BedFile):
        raise UsageError(f"{option} needs SNP IDs, and an array has none; choose columns before the call")
    if isinstance(ids, str | os.PathLike):
        wanted, where = read_id_list(ids), f"{option} {os.fspath(ids)}"
    else:
        wanted, where = [str(name) for name in ids], option
    found, n_absent = find_snps(source, wanted)
    hints = "".join(f"; {hint}" for hint in _spelling_hints(source, wanted)) if n_absent else ""
    if len(found) == 0:
        fact = f"none of {len(wanted)} IDs is in {source.bim_path}"
        raise InconsistentInputError(f"{where}: {fact}{hints}; check the IDs")
    if n_absent:
        warnings.warn(f"{where}: {n_absent} IDs are not in {source.bim_path}{hints}", InputWarning, stacklevel=5)
    return found


def _spelling_hints(source: BedFile, wanted: list[str]) -> list[str]:
    """How IDs that were not found differ from those of the .bim, where these are few enough to compare."""
    if source.n_snps > MOST_COMPARED_SNPS:
        return []
    present = set(source.variants()["ID"].to_pylist())
    return spelling_hints(set(wanted) - present, present.difference(wanted))


def select_snps(source: Genotypes, options: SnpOptions) -> Ints | None:
    """SNPs that extract and exclude leave, from the .bim alone."""
    if options.filters and not isinstance(source, BedFile):
        raise UsageError("maf and geno apply to a .bed; filter the array before it is given")
    chosen: Ints | None = None
    if options.extract is not None:
        chosen = listed_snps(source, options.extract, "--extract")
    if options.exclude is not None:
        dropped = listed_snps(source, options.exclude, "--exclude")
        chosen = np.setdiff1d(np.arange(n_snps_of(source)) if chosen is None else chosen, dropped, assume_unique=True)
    if chosen is not None and len(chosen) == 0:
        raise InconsistentInputError("--extract and --exclude leave no SNP; check the lists")
    return chosen


def filter_snps(
    source: Genotypes, engine: Engine, samples: Ints, chosen: Ints | None, options: SnpOptions
) -> tuple[Ints, FilterFacts]:
    """Find the SNPs that pass maf and geno among the samples in use, in one pass that only counts."""
    assert isinstance(source, BedFile)
    matrix = BedMatrix(source, engine, samples=samples, snps=chosen)
    parts, counts = [], np.zeros(3, np.int64)
    for n_called, mean in matrix.call_rates():
        reasons = _failures(n_called, mean, len(samples), options)  # (3, b)
        counts += reasons.sum(axis=1)
        parts.append(~reasons.any(axis=0))
    passed = np.concatenate(parts)
    if not passed.any():
        raise InconsistentInputError(
            f"--maf {options.maf} and --geno {options.geno} leave none of {with_spaces(len(passed))} SNPs; relax them"
        )
    positions = np.flatnonzero(passed) if chosen is None else chosen[passed]
    no_call, below_maf, above_geno = counts.tolist()
    return positions, FilterFacts(len(passed), no_call, below_maf, above_geno, len(positions))


def _failures(n_called: Ints, mean: Floats, n_samples: int, options: SnpOptions) -> NDArray[np.bool_]:
    """Without a call, below maf, above geno: shape (3, b); a SNP may fail for several reasons."""
    frequency = np.nan_to_num(mean / 2)
    minor = np.minimum(frequency, 1 - frequency)
    failed = np.zeros((3, len(mean)), np.bool_)
    failed[0] = n_called == 0
    if options.maf is not None:
        failed[1] = (minor < options.maf) & ~failed[0]
    if options.geno is not None:
        failed[2] = n_samples - n_called > options.geno * n_samples
    return failed


def estimation_snps(
    source: Genotypes, tested: Ints | None, listed: Ints | None, options: SnpOptions, seed: int
) -> Ints | None:
    """SNPs to estimate factors from: `tested` (those that pass the filters), or the subset asked for.

    Parameters
    ----------
    source : BedFile or ndarray
        The estimation set.
    tested : ndarray of int64 or None
        SNPs of it that may be used.
    listed : ndarray of int64 or None
        Those that est_extract names.
    options : SnpOptions
    seed : int

    Raises
    ------
    InconsistentInputError
        If the subset is empty.
    """
    if listed is not None:
        chosen = listed if tested is None else np.intersect1d(listed, tested, assume_unique=True)
        if len(chosen) == 0:
            raise InconsistentInputError("--est-extract names none of the SNPs that the filters leave; check the lists")
        return chosen
    if options.est_rate is None or options.est_rate == 1:
        return tested
    n_snps = n_snps_of(source) if tested is None else len(tested)
    n_wanted = round(options.est_rate * n_snps)
    if n_wanted < 1:
        raise InconsistentInputError(f"est_rate {options.est_rate} of {n_snps} SNPs is less than one; raise it")
    subset = random_subset(n_snps, n_wanted, seed)
    return subset if tested is None else tested[subset]


def random_subset(n: int, size: int, seed: int, chunk: int = 1 << 20) -> Ints:
    """A sorted uniform random subset of exactly `size` of n, in memory that grows with `size` only.

    How many fall into each chunk is drawn first (hypergeometric given what is left), then which.
    """
    rng = np.random.default_rng([seed, 0x5355_4253])
    parts = []
    left, wanted = n, size
    for first in range(0, n, chunk):
        here = min(chunk, n - first)
        count = _hypergeometric(rng, here, left - here, wanted)
        parts.append(first + np.sort(rng.choice(here, count, replace=False, shuffle=False)))
        left, wanted = left - here, wanted - count
    return np.concatenate(parts).astype(np.int64)


def _hypergeometric(rng: np.random.Generator, good: int, bad: int, size: int) -> int:
    """Number of good ones among `size` drawn without replacement, for any sizes."""
    if bad < NUMPY_HYPERGEOMETRIC_LIMIT:
        return int(rng.hypergeometric(good, bad, size))
    # beyond NumPy's limit one after the other: each is drawn with the share that is still wanted
    left, wanted = good + bad, size
    for u in rng.random(good):
        wanted -= u * left < wanted
        left -= 1
    return size - wanted
