"""Sources of numbers: anything that gives numbers by blocks, and arrays in memory."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints, MissingCalls
from lfmm2._words import shortened, with_spaces
from lfmm2.errors import UsageError
from lfmm2.genotypes.array_input import ArrayInput
from lfmm2.genotypes.array_matrix import ArrayMatrix, HeldNumbers, NumberReader
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.matrix import RESTART_SNPS
from lfmm2.genotypes.named_arrays import take_apart_named, with_names
from lfmm2.genotypes.number_checks import IsWanted, NumberChecks, check_ploidy, parse_missing_calls
from lfmm2.genotypes.source import VARIANT_SCHEMA, GenotypeSource, SourceMemory, refuse
from lfmm2.genotypes.stored_arrays import BlockArray
from lfmm2.genotypes.threaded_reading import read_in_threads, reading_memory

# Columns of an array that are numbered in one table of variants, which then takes a few MB.
DESCRIBED_COLUMNS = 1 << 16
# Numbers that are looked at together: a few MB, which stay in the cache of a processor.
SCANNED_VALUES = 1 << 18
# Bytes of memory of the name of a SNP, as text of Python in a list.
NAME_BYTES = 80


@runtime_checkable
class NumberSource(GenotypeSource, Protocol):
    """Dosages or other numbers that are read by blocks; NaN is missing. A subclass writes `read` and `iter_variants`.

    Attributes
    ----------
    dtype : numpy.dtype
        Type of the numbers that `read` returns; float64 by default.
    ploidy : int or None
        2 if the numbers are dosages of diploids; None by default, without frequencies of alleles.
    """

    dtype: np.dtype[Any] = np.dtype(np.float64)

    @abstractmethod
    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples).

        `snps` are ascending positions, at most a few thousand; `samples` are rows in any order.
        """

    @property
    def noun(self) -> str:
        """Return "SNP" for dosages, and "feature" where the ploidy is not known."""
        return "feature" if self.ploidy is None else "SNP"

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, else an empty text."""
        if option in ("scale", "count_allele", "maf", "geno", "est_thin"):
            return f"{option} applies to hard calls, but {self.name} gives numbers; leave it out"
        return ""

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, which calls `read` for each block."""
        refuse(self, *(["scale"] if scale is not None else []), *(["count_allele"] if count_allele != "a2" else []))
        return ArrayMatrix(self, engine, samples=samples, snps=snps)


class OtherAllele:
    """The dosages of diploids, counting A1 in place of A2.

    Parameters
    ----------
    source : NumberReader
    """

    def __init__(self, source: NumberReader) -> None:
        self._source = source
        self.n_samples, self.n_snps, self.dtype = source.n_samples, source.n_snps, source.dtype

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes."""
        return reading_memory(self._source, n_threads)

    def read_in_threads(self, n_threads: int) -> OtherAllele:
        """Return a reader of the same dosages that decodes in some threads."""
        return OtherAllele(read_in_threads(self._source, n_threads))

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""
        numbers: NDArray[Any] = 2 - self._source.read(samples, snps)
        return numbers


def dosage_matrix(
    dosages: NumberReader, engine: Engine, samples: Ints, snps: Ints | None, count_allele: str
) -> ArrayMatrix:
    """Return the matrix of some samples and SNPs of dosages of A2, counting the allele that is asked for."""
    numbers = OtherAllele(dosages) if is_a1(count_allele) else dosages
    return ArrayMatrix(numbers, engine, samples=samples, snps=snps)


def is_a1(count_allele: str) -> bool:
    """Return True for "a1" and False for "a2"; raise UsageError for another text."""
    if count_allele not in ("a1", "a2"):
        raise UsageError(f"count_allele is {count_allele!r}; it is 'a2' or 'a1'")
    return count_allele == "a1"


class ArraySource(HeldNumbers, NumberSource):
    """Numbers of an array or table: dosages, methylation, expression.

    Parameters
    ----------
    values : array, frame, sparse matrix, stored array or AnnData of shape (n_samples, n_snps), or ArrayInput
        Real numbers, NaN where missing; not modified. The index of a DataFrame has the sample IDs, unless it is a
        RangeIndex, and its columns the names of the features; otherwise both are numbered from 1, and no feature has a
        position. `lfmm2.named_array` gives names and positions to any of them.
    ploidy : int, optional
        Number of alleles that a dosage counts at most. None if it is not known, or if the numbers are no dosages.
    missing : float or sequence of float, optional
        Values that mean missing beside NaN; an empty sequence if there is none. None to look for such values, and to
        ask if there are any.

    Raises
    ------
    InconsistentInputError, MalformedInputError
        If the values are not real numbers in an array of two dimensions with at least one row; see `take_apart_array`.
    UsageError
        If `ploidy` or `missing` is out of range.

    Notes
    -----
    The numbers are looked at once, when the first matrix or the ploidy is asked for; see `lfmm2.genotypes.array_scan`.
    """

    name = "the array"

    def __init__(self, values: Any, ploidy: int | None = None, missing: MissingCalls | None = None) -> None:
        stated = check_ploidy(ploidy)
        codes = parse_missing_calls(missing)
        given = values if isinstance(values, ArrayInput) else take_apart_named(values)
        super().__init__(given.values, given.mask, codes or ())
        self.samples, self.has_ids, self.snp_ids = given.samples, given.has_ids, given.snp_ids
        self.chrom, self.pos = given.chrom, given.pos
        self._checks = NumberChecks(self._pieces, self._first, stated, asks=codes is None)

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy that was given, or 2 if all numbers are 0, 1 and 2, with a 2 among them; else None."""
        return self._checks.ploidy

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the columns as SNPs, with their names or numbers from 1 as IDs, and "." for alleles.

        CHROM is "." and POS 0 where they are not known; a POS of 0 stands for no position, as in a .bim.
        """
        for first in range(0, self.n_snps, DESCRIBED_COLUMNS):
            end = min(first + DESCRIBED_COLUMNS, self.n_snps)
            names = map(str, range(first + 1, end + 1)) if self.snp_ids is None else self.snp_ids[first:end]
            dots = pa.array(["."] * (end - first))
            chrom = dots if self.chrom is None else pa.array(self.chrom[first:end], pa.string())
            pos = pa.array(np.zeros(end - first, np.int64) if self.pos is None else self.pos[first:end])
            yield pa.table([chrom, pos, pa.array(names, pa.string()), dots, dots], schema=VARIANT_SCHEMA)

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, alleles or IDs, else an empty text."""
        sentences = {
            "scale": "scale applies to a .bed; scale the array before it is given",
            "count_allele": "count_allele applies to a .bed; an array counts what it counts",
            "maf": "maf and geno apply to a .bed; filter the array before it is given",
            "geno": "maf and geno apply to a .bed; filter the array before it is given",
            "est_thin": "est_thin applies to a .bed; thin the array before it is given",
        }
        if option in ("extract", "exclude", "est_extract") and self.snp_ids is None:
            name = option.replace("_", "-")
            return f"--{name} needs SNP IDs, and an array has none; choose columns before the call"
        return sentences.get(option, "")

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of the names and places of the SNPs; the numbers are the caller's."""
        n_texts = (self.snp_ids is not None) + (self.chrom is not None)
        return SourceMemory(held_variant_bytes=NAME_BYTES * n_texts * self.n_snps)

    def identity(self) -> dict[str, Any]:
        """Return shape, type and SHA-256 of the values, of the mask, and of names and places of the SNPs."""
        # Row by row, so that the array is not copied where each row is contiguous; what is stored, by columns.
        held = self.values
        parts = (slab.T for _, slab in held.slabs()) if isinstance(held, BlockArray) else iter(held)
        digests = [f"SHA-256 {_digest_of_each(parts)}"]
        digests += [] if self.mask is None else [f"mask {_digest_of_each(iter(self.mask))}"]
        digests += [] if self.snp_ids is None else [f"names {digest_of(chr(10).join(self.snp_ids).encode())}"]
        digests += [] if self.chrom is None else [f"chromosomes {digest_of(chr(10).join(self.chrom).encode())}"]
        digests += [] if self.pos is None else [f"positions {digest_of(self.pos)}"]
        return {"(array)": ", ".join([str(self.values.shape), str(self.values.dtype), *digests])}

    def describe(self) -> dict[str, Any]:
        """Return the shape of the array, and the ploidy of its dosages; null if it is not known or there is none."""
        return {"array": list(self.values.shape), "ploidy": self.ploidy}

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, after a check of all numbers.

        Raises
        ------
        UsageError
            If `scale` or `count_allele` is given, which apply to a .bed.
        MalformedInputError
            If a value is infinite, too large, no dosage of the given ploidy, or looks like a code of missing calls.
        """
        self.check_numbers()
        return super().matrix(engine, samples, snps, scale=scale, count_allele=count_allele)

    def check_numbers(self) -> None:
        """Look at all numbers, once; raise MalformedInputError as `matrix` does."""
        self._checks.check()

    def _pieces(self) -> Iterator[NDArray[Any]]:
        """Give all numbers in pieces of about `SCANNED_VALUES`, in the order in which they lie in memory."""
        return (numbers for _, _, numbers in self.pieces(SCANNED_VALUES))

    def _first(self, is_wanted: IsWanted) -> tuple[str, float]:
        """Describe the place of the first number, row by row, that is wanted, and return the number."""
        row = column = -1
        for first_row, first_column, numbers in self.pieces(SCANNED_VALUES):
            found = np.argwhere(is_wanted(numbers)) if row < 0 or first_row <= row else ()
            for i, j in found[:1]:
                if row < 0 or (first_row + i, first_column + j) < (row, column):
                    row, column, value = int(first_row + i), int(first_column + j), numbers[i, j]
        sample = f" (sample {shortened(self.samples.iid[row])})" if self.has_ids else ""
        noun = "SNP" if self._checks.are_whole else "feature"
        snp = "" if self.snp_ids is None else f" ({noun} {shortened(self.snp_ids[column])})"
        place = f"row {with_spaces(row + 1)}{sample}, column {with_spaces(column + 1)}{snp}"
        return place, float(value)


def named_array(
    values: Any,
    *,
    samples: Any = None,
    features: Any = None,
    chrom: Any = None,
    pos: Any = None,
    layer: str | None = None,
    ploidy: int | None = None,
    missing_genotype: MissingCalls | None = None,
) -> ArraySource:
    """Give names and positions to genotypes, methylation, expression or other numbers in an array or a table.

    What is given is used in place of what `values` brings: index and columns of a frame, obs_names, var_names and
    the positions in `var` of an AnnData, coordinates of an xarray.DataArray.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_features)
        Anything that `lfmm2.run` takes as genotypes in memory, or an array of h5py or Zarr, which is read by blocks.
    samples : sequence of str, optional
        IDs of the samples, one for each row, by which variables are matched.
    features : sequence of str, or DataFrame, optional
        Names of the features, one for each column; or a table with the names as its index and columns CHR and MAPINFO,
        CHROM and POS, or so, such as the manifest of a methylation array: it is matched by name to the columns of a
        frame, and by order where they have no names.
    chrom : sequence of str, optional
        Chromosome of each feature.
    pos : sequence of int, optional
        Position of each feature in base pairs; 0 or missing for none.
    layer : str, optional
        The layer of an AnnData to use in place of X.
    ploidy, missing_genotype : optional
        As in `lfmm2.run`, which takes them only for arrays without names.

    Returns
    -------
    GenotypeSource
        To be given to `lfmm2.run`; it refers to `values`, and holds no copy.

    Raises
    ------
    LfmmError
        One of its children, if names do not fit the numbers, or the numbers cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> import lfmm2
    >>> betas = np.random.default_rng(1).beta(2, 5, (8, 3))
    >>> names, places = ["cg01", "cg02", "cg03"], [1050, 1210, 977]
    >>> source = lfmm2.named_array(betas, samples=list("ABCDEFGH"), features=names, chrom=["7", "7", "X"], pos=places)
    >>> next(source.iter_variants()).select(["CHROM", "POS", "ID"]).to_pylist()[2]
    {'CHROM': 'X', 'POS': 977, 'ID': 'cg03'}
    """
    if isinstance(values, str | os.PathLike | GenotypeSource):
        fact = f"named_array takes an array or a table, not {shortened(repr(values))}"
        raise UsageError(f"{fact}; give files and open sources to lfmm2.run as they are")
    parts = with_names(take_apart_named(values, layer), samples, features, chrom, pos)
    return ArraySource(parts, ploidy, missing_genotype)


def number_blocks(
    values: Any,
    ploidy: int | None = None,
    missing: MissingCalls | None = None,
    check: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Floats]]:
    """Yield first feature and numbers of blocks of genotypes in memory, as the engine takes them but not centred.

    Parameters
    ----------
    values, ploidy, missing
        As of `ArraySource`.
    check : callable, optional
        Called with the number of features before the numbers are looked at, to refuse it.

    Yields
    ------
    first : int
        Position of the first feature of the block.
    numbers : ndarray of shape (n_snps_block, n_samples), float64
        NaN where missing.

    Raises
    ------
    LfmmError
        As `ArraySource` and its `matrix`.
    """
    source = ArraySource(values, ploidy, missing)
    if check is not None:
        check(source.n_snps)
    source.check_numbers()
    rows = np.arange(source.n_samples)
    for first in range(0, source.n_snps, RESTART_SNPS):
        snps = np.arange(first, min(first + RESTART_SNPS, source.n_snps))
        yield first, source.read(rows, snps).astype(np.float64)


def digest_of(*parts: NDArray[Any] | bytes) -> str:
    """Return the SHA-256 of arrays and bytes, each followed by a newline character."""
    return _digest_of_each(parts)


def _digest_of_each(parts: Iterable[NDArray[Any] | bytes]) -> str:
    """Return the digest of parts that come one after the other, as `digest_of` of all of them."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else _bytes_of(part))
        digest.update(b"\n")
    return digest.hexdigest()


def _bytes_of(array: NDArray[Any]) -> memoryview | bytes:
    """Return the bytes of an array, without a copy if the array is contiguous."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""
