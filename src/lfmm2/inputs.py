"""From what the user names to what the algebra takes: matrices, variables and samples that fit together.

Samples are matched by ID, never by row. All samples that are used stand in the order of the tested fileset's .fam; the
estimation fileset is re-ordered to them as it is read.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2.covariates import Variables, check_variables, read_variables
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, UsageError
from lfmm2.genotypes import ArrayMatrix, BedMatrix
from lfmm2.plink import BedFile, Samples, find_snps, open_bed, read_id_list, read_sample_list, some_of
from lfmm2.stream import Engine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Matrix = BedMatrix | ArrayMatrix
AnyPath = str | os.PathLike[str]
NUMPY_HYPERGEOMETRIC_LIMIT = 900_000_000
GenotypeSource = AnyPath | BedFile | NDArray[Any]


@dataclass(frozen=True)
class SampleOptions:
    """Which samples to use, and how to read their variables; see `lfmm2.run`."""

    keep: AnyPath | None = None
    remove: AnyPath | None = None
    missing_code: float | str | None = None
    intersect: bool = False


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
    """

    names: tuple[str, ...]
    nuisance_names: tuple[str, ...]
    values: Floats
    samples: Samples
    rows: Ints

    @property
    def iids(self) -> tuple[str, ...]:
        """IID of each sample in use."""
        return tuple(self.samples.iid[i] for i in self.rows)


def open_genotypes(source: GenotypeSource) -> BedFile | NDArray[Any]:
    """A path becomes an open, checked fileset; an open fileset or an array stays what it is."""
    if isinstance(source, str | os.PathLike):
        return open_bed(source)
    return source


def samples_of(source: BedFile | NDArray[Any]) -> Samples:
    """Sample IDs of a fileset; rows of an array are called 1, 2, ..."""
    if isinstance(source, BedFile):
        return source.samples
    if np.ndim(source) != 2:
        raise InconsistentInputError(f"genotypes of shape {np.shape(source)}; give an array (n_samples, n_snps)")
    numbers = tuple(str(i + 1) for i in range(len(source)))
    return Samples(numbers, numbers)


def align_variables(
    samples: Samples, X: Any, covar: Any, options: SampleOptions, first_names: tuple[str, ...] | None = None
) -> AlignedVariables:
    """Read variables and nuisance variables and match them to the samples that are kept.

    Raises
    ------
    InconsistentInputError
        If kept samples lack variables and `options.intersect` is off, or none is left.
    DegenerateProblemError
        If variables are constant, repeated or collinear over the samples in use.
    """
    kept = _kept_samples(samples, options)
    subset = Samples(tuple(np.array(samples.fid, object)[kept]), tuple(np.array(samples.iid, object)[kept]))
    tables = [_read(X, samples, subset, kept, "variables", options)]
    if covar is not None:
        tables.append(_read(covar, samples, subset, kept, "nuisance variables", options))
    common = np.flatnonzero(np.logical_and.reduce([_mask(table, len(subset)) for table in tables]))
    if len(common) == 0:
        raise InconsistentInputError("no sample has both variables and nuisance variables; check the sample IDs")
    values = np.hstack([table.values[np.searchsorted(table.sample_index, common)] for table in tables])
    names = tables[0].names
    nuisance_names = tables[1].names if covar is not None else ()
    twice = sorted(set(names) & set(nuisance_names))
    if twice:
        raise UsageError(f"{some_of(twice)}: both a variable and a nuisance variable; give it once")
    check_variables(values, names + nuisance_names)
    return AlignedVariables(names, nuisance_names, np.ascontiguousarray(values), samples, kept[common])


def _mask(table: Variables, n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    mask[table.sample_index] = True
    return mask


def _read(source: Any, samples: Samples, subset: Samples, kept: Ints, what: str, options: SampleOptions) -> Variables:
    """Variables of the kept samples; an array speaks of all samples of the .fam, a table of those it names."""
    by_row = isinstance(source, np.ndarray | list | tuple)
    table = read_variables(
        source,
        samples if by_row else subset,
        what=what,
        missing_code=options.missing_code,
        intersect=options.intersect or (by_row and len(kept) < len(samples)),
    )
    if not by_row:
        return table
    position = np.full(len(samples), -1)
    position[kept] = np.arange(len(kept))
    here = position[table.sample_index] >= 0
    if not options.intersect and here.sum() < len(kept):
        # the error of the strict reading names the samples
        read_variables(source, samples, what=what, missing_code=options.missing_code)
    return Variables(table.names, table.values[here], position[table.sample_index[here]])


def _kept_samples(samples: Samples, options: SampleOptions) -> Ints:
    mask = np.ones(len(samples), bool)
    for path, name, wanted in ((options.keep, "--keep", True), (options.remove, "--remove", False)):
        if path is None:
            continue
        listed = read_sample_list(path, samples)
        if listed.n_unknown:
            warnings.warn(
                f"{name} {os.fspath(path)}: {listed.n_unknown} IDs are not in the .fam",
                InputWarning,
                stacklevel=4,
            )
        mask &= listed.mask if wanted else ~listed.mask
    if not mask.any():
        raise InconsistentInputError(f"--keep and --remove leave none of {len(samples)} samples; check the lists")
    return np.flatnonzero(mask)


def match_samples(wanted: AlignedVariables, other: BedFile | NDArray[Any], other_name: str) -> Ints:
    """Rows of another fileset that hold the samples in use, in their order.

    IDs are compared as FID and IID where IIDs repeat in either fileset, else as IID.
    """
    theirs = samples_of(other)
    if not isinstance(other, BedFile):
        if len(theirs) != len(wanted.samples):
            raise InconsistentInputError(
                f"{other_name} has {len(theirs)} rows, but the tested genotypes have {len(wanted.samples)}; "
                "rows of an array must be the same samples in the same order"
            )
        return wanted.rows
    repeats = any(len(set(s.iid)) < len(s.iid) for s in (theirs, wanted.samples))

    def keys(samples: Samples) -> list[Any]:
        return list(zip(samples.fid, samples.iid, strict=True)) if repeats else list(samples.iid)

    where = {key: row for row, key in enumerate(keys(theirs))}
    ours = keys(wanted.samples)
    rows = [where.get(ours[i], -1) for i in wanted.rows]
    absent = [wanted.samples.iid[i] for i, row in zip(wanted.rows, rows, strict=True) if row < 0]
    if absent:
        raise InconsistentInputError(
            f"{other_name}: {len(absent)} of {len(rows)} samples in use are not in it ({some_of(absent)}); "
            "factors need the genotypes of every sample that is tested"
        )
    return np.array(rows, np.int64)


def make_matrix(
    source: BedFile | NDArray[Any],
    engine: Engine,
    samples: Ints,
    snps: Ints | None,
    options: SnpOptions,
    scale: bool,
) -> Matrix:
    """The genotype matrix of some samples and SNPs; only the estimation set is scaled."""
    if isinstance(source, BedFile):
        return BedMatrix(
            source, engine, samples=samples, snps=snps,
            scale=options.scale if scale else None, count_allele=options.count_allele,
        )  # fmt: skip
    if options.scale is not None or options.count_allele != "a2":
        raise UsageError("scale and count_allele apply to a .bed; scale the array before it is given")
    return ArrayMatrix(source, engine, samples=samples, snps=snps)


def check_snp_options(options: SnpOptions) -> None:
    """Ranges and conflicts, before any file is read."""
    if options.est_rate is not None and options.est_extract is not None:
        raise UsageError("est_rate and est_extract both choose the estimation SNPs; give one of them")
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


def _listed(source: BedFile | NDArray[Any], ids: AnyPath | Collection[str], option: str) -> Ints:
    if not isinstance(source, BedFile):
        raise UsageError(f"{option} needs SNP IDs, and an array has none; choose columns before the call")
    named = isinstance(ids, str | os.PathLike)
    wanted = read_id_list(ids) if isinstance(ids, str | os.PathLike) else list(ids)
    found, n_absent = find_snps(source, wanted)
    where = f"{option} {os.fspath(ids)}" if named and isinstance(ids, str | os.PathLike) else option
    if len(found) == 0:
        raise InconsistentInputError(f"{where}: none of {len(wanted)} IDs is in {source.bim_path}; check the IDs")
    if n_absent:
        warnings.warn(f"{where}: {n_absent} IDs are not in {source.bim_path}", InputWarning, stacklevel=5)
    return found


def select_snps(source: BedFile | NDArray[Any], engine: Engine, samples: Ints, options: SnpOptions) -> Ints | None:
    """SNPs that pass extract, exclude, maf and geno, as sorted positions; None means all.

    `maf` and `geno` look at the samples in use, in one pass that only counts.
    """
    chosen: Ints | None = None
    if options.extract is not None:
        chosen = _listed(source, options.extract, "--extract")
    if options.exclude is not None:
        n_snps = source.n_snps if isinstance(source, BedFile) else source.shape[1]
        dropped = _listed(source, options.exclude, "--exclude")
        chosen = np.setdiff1d(np.arange(n_snps) if chosen is None else chosen, dropped, assume_unique=True)
    if options.maf is not None or options.geno is not None:
        if not isinstance(source, BedFile):
            raise UsageError("maf and geno apply to a .bed; filter the array before it is given")
        matrix = BedMatrix(source, engine, samples=samples, snps=chosen)
        passed = np.concatenate(
            [_passes(n_called, mean, len(samples), options) for n_called, mean in matrix.call_rates()]
        )
        chosen = np.flatnonzero(passed) if chosen is None else chosen[passed]
    if chosen is not None and len(chosen) == 0:
        raise InconsistentInputError("extract, exclude, maf and geno leave no SNP; relax them")
    return chosen


def _passes(n_called: Ints, mean: Floats, n_samples: int, options: SnpOptions) -> NDArray[np.bool_]:
    frequency = np.nan_to_num(mean / 2)
    minor = np.minimum(frequency, 1 - frequency)
    passed: NDArray[np.bool_] = n_called > 0
    if options.maf is not None:
        passed = passed & (minor >= options.maf)
    if options.geno is not None:
        passed = passed & (n_samples - n_called <= options.geno * n_samples)
    return passed


def estimation_snps(source: BedFile | NDArray[Any], tested: Ints | None, options: SnpOptions, seed: int) -> Ints | None:
    """SNPs to estimate factors from: `tested` (those that pass the filters), or the subset asked for.

    Raises
    ------
    InconsistentInputError
        If the subset is empty.
    """
    if options.est_extract is not None:
        listed = _listed(source, options.est_extract, "--est-extract")
        return listed if tested is None else np.intersect1d(listed, tested, assume_unique=True)
    if options.est_rate is None or options.est_rate == 1:
        return tested
    n_all = source.n_snps if isinstance(source, BedFile) else source.shape[1]
    n_snps = n_all if tested is None else len(tested)
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


def variant_tables(source: BedFile | NDArray[Any], snps: Ints | None) -> Iterator[pa.Table]:
    """CHROM, POS, ID, A1, A2 of the tested SNPs, in order and by chunks; columns of an array are numbered."""
    if not isinstance(source, BedFile):
        n = source.shape[1]
        index = np.arange(n) if snps is None else snps
        dots = pa.array(["."] * len(index))
        ids = pa.array([str(i + 1) for i in index])
        yield pa.table({"CHROM": dots, "POS": pa.array(index + 1), "ID": ids, "A1": dots, "A2": dots})
        return
    first = 0
    for table in source.iter_variants():
        if snps is None:
            yield table
        else:
            low, high = np.searchsorted(snps, [first, first + len(table)])
            if high > low:
                yield table.take(pa.array(snps[low:high] - first))
        first += len(table)


def check_size(n_samples: int, n_snps: int, n_estimation: int, n_variables: int, n_factors: int) -> None:
    """K against the sizes of the problem, before any pass."""
    if isinstance(n_factors, bool) or not isinstance(n_factors, int | np.integer) or n_factors < 1:
        raise UsageError(f"K is {n_factors!r}; the number of latent factors is a whole number of at least 1")
    most = min(n_samples - n_variables - 2, n_estimation)
    if n_factors > most:
        raise DegenerateProblemError(
            f"K = {n_factors} with {n_samples} samples, {n_variables} variables and {n_estimation} SNPs to estimate "
            f"from; at most {max(most, 0)} factors are possible, lower K"
        )
    if n_snps < 1:
        raise InconsistentInputError("there is no SNP to test")
