"""Choices of SNPs by lists, filters and chance; a choice is an array of ascending positions, or None for all SNPs."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints, ListedSnps
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning
from lfmm2.files import (
    LIST_CHUNK,
    id_files,
    input_budget,
    iter_id_lists,
    note_input_memory,
    spelling_hints,
    stream_bytes,
)
from lfmm2.genotypes import THRESHOLD_MARGIN, Engine, GenotypeSource, packed_matrix, refuse
from lfmm2.pipeline.run_options import SnpOptions
from lfmm2.results import FilterFacts

# Population from which on hypergeometric numbers are drawn without NumPy, which refuses populations of 10⁹ and more.
NUMPY_HYPERGEOMETRIC_LIMIT = 900_000_000
# Number of SNPs up to which other spellings of an absent ID are looked for. The search holds all IDs in memory, so a
# larger value takes more memory than the plan allows for.
MOST_COMPARED_SNPS = 100_000
# Number of listed IDs up to which other spellings of absent ones are looked for, for the same reason.
MOST_DOUBTFUL = 50_000
# Bytes that a listed ID takes while it is searched: as a Python string, and in the tables of Arrow.
LISTED_ID_BYTES = 400
# Fewest and most listed IDs that are searched together; between them, as many as take an eighth of the budget. Each
# search reads the IDs of the source once.
FEWEST_TOGETHER, MOST_TOGETHER = 1 << 16, 1 << 23


def listed_snps(source: GenotypeSource, ids: ListedSnps, option: str) -> Ints:
    """Return the positions of the SNPs that a file, any of several files, or a collection of IDs names; ascending.

    Parameters
    ----------
    source : GenotypeSource
    ids : path, several paths, or collection of str
    option : str
        Option that takes the IDs, such as "--est-extract".

    Raises
    ------
    InconsistentInputError
        If the source has none of the IDs, or several SNPs with one of them.
    UsageError
        If SNPs of this source have no IDs.
    """
    refuse(source, option.removeprefix("--").replace("-", "_"))
    files = ", ".join(map(str, id_files(ids)))
    where = f"{option} {files}" if files else option
    budget = input_budget()
    n_together = MOST_TOGETHER if budget is None else max(budget // (8 * LISTED_ID_BYTES), FEWEST_TOGETHER)
    parts, doubtful = [], list[str]()
    n_wanted = n_absent = 0
    for wanted in iter_id_lists(ids, min(n_together, MOST_TOGETHER)):
        found, n_lacking = source.find(wanted)
        parts.append(found)
        n_wanted += len(wanted)
        n_absent += n_lacking
        if n_lacking and n_wanted <= MOST_DOUBTFUL:
            doubtful += wanted
        n_bytes = LISTED_ID_BYTES * (len(wanted) + len(doubtful)) + 16 * sum(map(len, parts))
        note_input_memory(files or option, n_bytes + stream_bytes(LIST_CHUNK))
    found = parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
    hints = "".join(f"; {hint}" for hint in _spelling_hints(source, doubtful)) if doubtful else ""
    if len(found) == 0:
        fact = f"none of {n_wanted} IDs is in {source.name}"
        raise InconsistentInputError(f"{where}: {fact}{hints}; check the IDs")
    if n_absent:
        warnings.warn(f"{where}: {n_absent} IDs are not in {source.name}{hints}", InputWarning, stacklevel=5)
    return found


def _spelling_hints(source: GenotypeSource, wanted: list[str]) -> list[str]:
    """Say how absent IDs differ from those of the source; nothing if the source has more than `MOST_COMPARED_SNPS`."""
    if source.n_snps > MOST_COMPARED_SNPS:
        return []
    present = {snp_id for table in source.iter_variants() for snp_id in table["ID"].to_pylist()}
    return spelling_hints(set(wanted) - present, present.difference(wanted))


def select_snps(source: GenotypeSource, options: SnpOptions) -> Ints | None:
    """Return the SNPs that extract and exclude leave, None for all; the genotypes are not read."""
    refuse(source, *(option for option in ("maf", "geno") if getattr(options, option) is not None))
    chosen: Ints | None = None
    if options.extract is not None:
        chosen = listed_snps(source, options.extract, "--extract")
    if options.exclude is not None:
        chosen = _leave_out(source, chosen, listed_snps(source, options.exclude, "--exclude"))
    if chosen is not None and len(chosen) == 0:
        raise InconsistentInputError(f"--extract and --exclude leave no {source.noun}; check the lists")
    return usable_snps(source, chosen)


def usable_snps(source: GenotypeSource, chosen: Ints | None) -> Ints | None:
    """Return the chosen SNPs without those that the source itself leaves out; None for all."""
    if source.left_out is None:
        return chosen
    usable = _leave_out(source, chosen, source.left_out)
    if len(usable) == 0:
        raise InconsistentInputError(f"{source.name}: no SNP to use has a position from 0 on; correct the positions")
    return usable


def _leave_out(source: GenotypeSource, chosen: Ints | None, dropped: Ints) -> Ints:
    """Return the chosen SNPs, or all if `chosen` is None, without the dropped ones."""
    return np.setdiff1d(np.arange(source.n_snps) if chosen is None else chosen, dropped, assume_unique=True)


def filter_snps(
    source: GenotypeSource, engine: Engine, samples: Ints, chosen: Ints | None, options: SnpOptions
) -> tuple[Ints, FilterFacts]:
    """Find the SNPs that pass maf and geno among the samples in use, in one pass that only counts."""
    matrix = packed_matrix(source, engine, samples, chosen, "geno" if options.maf is None else "maf")
    parts, counts = [], np.zeros(3, np.int64)
    for n_called, mean in matrix.call_rates():
        reasons = _find_failures(n_called, mean, len(samples), options)  # (3, b)
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


def _find_failures(n_called: Ints, mean: Floats, n_samples: int, options: SnpOptions) -> NDArray[np.bool_]:
    """Return which SNPs have no call, are below maf, and above geno, shape (3, b); a SNP may fail for two reasons.

    A SNP at a threshold is kept, as in plink2. `THRESHOLD_MARGIN` allows for the rounding of the threshold in binary.
    """
    dosage = np.nan_to_num(mean)
    minor = np.minimum(dosage, 2 - dosage) / 2
    failed = np.zeros((3, len(mean)), np.bool_)
    failed[0] = n_called == 0
    if options.maf is not None:
        failed[1] = (minor * THRESHOLD_MARGIN < options.maf) & ~failed[0]
    if options.geno is not None:
        failed[2] = n_samples - n_called > options.geno * n_samples * THRESHOLD_MARGIN
    return failed


def estimation_snps(
    source: GenotypeSource, tested: Ints | None, listed: Ints | None, options: SnpOptions, seed: int
) -> Ints | None:
    """Return the SNPs to estimate factors from: all that may be used, or the subset by est_extract or est_rate.

    Parameters
    ----------
    source : GenotypeSource
        The estimation set.
    tested : ndarray of int64 or None
        Positions of its SNPs that may be used, which are those to test if both sets are one; None for all.
    listed : ndarray of int64 or None
        Positions of the SNPs that est_extract names; None without it.
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
            fact = f"--est-extract names none of the {source.noun}s that the filters leave"
            raise InconsistentInputError(f"{fact}; check the lists")
        return chosen
    if options.est_rate is None or options.est_rate == 1:
        return tested
    n_snps = source.n_snps if tested is None else len(tested)
    n_wanted = round(options.est_rate * n_snps)
    if n_wanted < 1:
        fact = f"est_rate {options.est_rate} of {n_snps} {source.noun}s is less than one"
        raise InconsistentInputError(f"{fact}; raise it")
    subset = random_subset(n_snps, n_wanted, seed)
    return subset if tested is None else tested[subset]


def random_subset(n: int, size: int, seed: int, chunk: int = 1 << 20) -> Ints:
    """Draw `size` of n positions at random, all subsets with the same probability, and return them ascending.

    The memory grows with `size`, but not with n. For each chunk of positions, first the number of chosen ones is drawn,
    from the hypergeometric distribution given what is left, and then the positions themselves.
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
    """Draw the number of good ones among `size` that are taken without replacement, for populations of any size."""
    if bad < NUMPY_HYPERGEOMETRIC_LIMIT:
        return int(rng.hypergeometric(good, bad, size))
    # Beyond the limit of NumPy, each of the good ones is taken or left, one after the other. The probability that it is
    # taken is the number still wanted divided by the number of all that are left.
    left, wanted = good + bad, size
    for u in rng.random(good):
        wanted -= u * left < wanted
        left -= 1
    return size - wanted
