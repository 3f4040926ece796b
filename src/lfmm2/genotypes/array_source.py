"""Sources of numbers: anything that gives numbers by blocks, and arrays in memory."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Ints, MissingCalls
from lfmm2._words import shortened, with_spaces
from lfmm2.genotypes.array_input import take_apart_array
from lfmm2.genotypes.array_matrix import ArrayMatrix, HeldNumbers
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.number_checks import IsWanted, NumberChecks, check_ploidy, parse_missing_calls
from lfmm2.genotypes.source import VARIANT_SCHEMA, GenotypeSource, SourceMemory, refuse

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


class ArraySource(HeldNumbers, NumberSource):
    """Numbers in memory: dosages, methylation, expression.

    Parameters
    ----------
    values : array, masked array, DataFrame or pyarrow.Table of shape (n_samples, n_snps)
        Real numbers, NaN where missing; not modified. The index of a DataFrame has the sample IDs, unless it is a
        RangeIndex, and its columns the names of the SNPs; otherwise both are numbered from 1. No SNP has a position.
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
        given = take_apart_array(values)
        super().__init__(given.values, given.mask, codes or ())
        self.samples, self.has_ids, self.snp_ids = given.samples, given.has_ids, given.snp_ids
        self._checks = NumberChecks(self._pieces, self._first, stated, asks=codes is None)

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy that was given, or 2 if all numbers are 0, 1 and 2, with a 2 among them; else None."""
        return self._checks.ploidy

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the columns as SNPs with their names or numbers from 1 as IDs, "." for CHROM and alleles, and POS 0.

        A POS of 0 stands for no position, as in a .bim.
        """
        for first in range(0, self.n_snps, DESCRIBED_COLUMNS):
            end = min(first + DESCRIBED_COLUMNS, self.n_snps)
            names = map(str, range(first + 1, end + 1)) if self.snp_ids is None else self.snp_ids[first:end]
            dots, none = pa.array(["."] * (end - first)), pa.array(np.zeros(end - first, np.int64))
            yield pa.table([dots, none, pa.array(names, pa.string()), dots, dots], schema=VARIANT_SCHEMA)

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
        """Return the bytes of the names of the SNPs; the numbers are the caller's."""
        return SourceMemory(held_variant_bytes=0 if self.snp_ids is None else NAME_BYTES * self.n_snps)

    def identity(self) -> dict[str, Any]:
        """Return shape, type and SHA-256 of the values, of the mask and of the names of the SNPs."""
        # Row by row, so that the array is not copied where each row is contiguous.
        digests = [f"SHA-256 {digest_of(*self.values)}"]
        digests += [] if self.mask is None else [f"mask {digest_of(*self.mask)}"]
        digests += [] if self.snp_ids is None else [f"names {digest_of(chr(10).join(self.snp_ids).encode())}"]
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
        self._checks.check()
        return super().matrix(engine, samples, snps, scale=scale, count_allele=count_allele)

    def _pieces(self) -> Iterator[NDArray[Any]]:
        """Give all numbers in pieces of about `SCANNED_VALUES`, in the order in which they lie in memory."""
        n, p = self.values.shape
        steps = [1, 1]
        along, across = (1, 0) if abs(self.values.strides[0]) >= abs(self.values.strides[1]) else (0, 1)
        steps[along] = min(max(self.values.shape[along], 1), SCANNED_VALUES)
        steps[across] = max(SCANNED_VALUES // steps[along], 1)
        for i in range(0, n, steps[0]):
            for j in range(0, p, steps[1]):
                yield self.with_nan((slice(i, i + steps[0]), slice(j, j + steps[1])))

    def _first(self, is_wanted: IsWanted) -> tuple[str, float]:
        """Describe the place of the first number, row by row, that is wanted, and return the number."""
        for row in range(self.n_samples):
            numbers = self.with_nan(row)
            columns = np.flatnonzero(is_wanted(numbers))
            if len(columns):
                break
        column = int(columns[0])
        sample = f" (sample {shortened(self.samples.iid[row])})" if self.has_ids else ""
        snp = "" if self.snp_ids is None else f" (SNP {shortened(self.snp_ids[column])})"
        place = f"row {with_spaces(row + 1)}{sample}, column {with_spaces(column + 1)}{snp}"
        return place, float(numbers[column])


def digest_of(*parts: NDArray[Any] | bytes) -> str:
    """Return the SHA-256 of arrays and bytes, each followed by a newline character."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else _bytes_of(part))
        digest.update(b"\n")
    return digest.hexdigest()


def _bytes_of(array: NDArray[Any]) -> memoryview | bytes:
    """Return the bytes of an array, without a copy if the array is contiguous."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""
