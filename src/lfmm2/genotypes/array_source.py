"""Sources of numbers: anything that gives numbers by blocks, and arrays in memory."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Ints, MissingCalls
from lfmm2._words import shortened, with_spaces
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.genotypes.array_input import take_apart_array
from lfmm2.genotypes.array_matrix import ArrayMatrix, HeldNumbers
from lfmm2.genotypes.array_scan import LARGEST_NUMBER, NumberFacts, find_codes, scan
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.source import VARIANT_SCHEMA, GenotypeSource, SourceMemory, refuse

# Largest number that a double holds.
_LARGEST = float(np.finfo(np.float64).max)
# Columns of an array that are numbered in one table of variants, which then takes a few MB.
DESCRIBED_COLUMNS = 1 << 16
# Numbers that are looked at together: a few MB, which stay in the cache of a processor.
SCANNED_VALUES = 1 << 18
# Amount, as a share of the ploidy, by which dosages may leave their range: sums of probabilities in single precision
# are rounded.
DOSAGE_ROUNDING = 1e-6
# Bytes of memory of the name of a SNP, as text of Python in a list.
NAME_BYTES = 80
# Largest ploidy, above that of any organism; a larger number is a mistake.
MOST_PLOIDY = 128


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


class OtherAllele:
    """The dosages of a source of diploids, counting A1 in place of A2.

    Parameters
    ----------
    source : NumberSource
    """

    def __init__(self, source: NumberSource) -> None:
        self._source = source
        self.n_samples, self.n_snps, self.dtype = source.n_samples, source.n_snps, source.dtype

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""
        numbers: NDArray[Any] = 2 - self._source.read(samples, snps)
        return numbers


def is_a1(count_allele: str) -> bool:
    """Return True for "a1" and False for "a2"; raise UsageError for another text."""
    if count_allele not in ("a1", "a2"):
        raise UsageError(f"count_allele is {count_allele!r}; it is 'a2' or 'a1'")
    return count_allele == "a1"


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
        self._stated_ploidy = stated
        self._asks = codes is None

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy that was given, or 2 if all numbers are 0, 1 and 2, with a 2 among them; else None."""
        self._check_numbers()
        if self._stated_ploidy is not None:
            return self._stated_ploidy
        return 2 if self._facts.are_diploid else None

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
        self._check_numbers()
        return super().matrix(engine, samples, snps, scale=scale, count_allele=count_allele)

    @cached_property
    def _facts(self) -> NumberFacts:
        """Look at all numbers, once."""
        return scan(self._pieces)

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

    def _check_numbers(self) -> None:
        """Raise MalformedInputError if a number is none that can be computed with, or must be asked about."""
        facts = self._facts
        if not (facts.low >= -LARGEST_NUMBER and facts.high <= LARGEST_NUMBER) and facts.low == facts.low:
            place, value = self._first(lambda numbers: np.abs(numbers.astype(np.float64)) > LARGEST_NUMBER)
            what = "is infinite" if np.isinf(value) else f"is {value:g}, larger than anything that is measured"
            remedy = "use NaN for missing values" + ("" if np.isinf(value) else f", or give missing_genotype={value!r}")
            raise MalformedInputError(f"genotypes, {place}: {what}; {remedy}")
        if self._stated_ploidy is not None:
            self._check_dosages(self._stated_ploidy)
        elif self._asks and self._codes:
            raise MalformedInputError(self._question(self._codes))

    @cached_property
    def _codes(self) -> list[float]:
        """Find values that look like codes of missing calls."""
        return find_codes(self._facts, self._pieces)

    def _check_dosages(self, ploidy: int) -> None:
        """Raise MalformedInputError if a number is outside of 0 to the ploidy."""
        slack = DOSAGE_ROUNDING * ploidy
        if not (self._facts.low < -slack or self._facts.high > ploidy + slack):
            return

        def is_outside(numbers: NDArray[Any]) -> NDArray[np.bool_]:
            return (numbers < -slack) | (numbers > ploidy + slack)

        place, value = self._first(is_outside)
        n_outside = sum(int(np.count_nonzero(is_outside(piece))) for piece in self._pieces())
        fact = f"{value:.10g} is no dosage of ploidy {ploidy}, which lies between 0 and {ploidy}"
        count = f"{with_spaces(n_outside)} of {with_spaces(self._facts.n_values)} values are outside"
        remedy = f"give missing_genotype={value!r} if it means missing, correct it, or give another ploidy"
        raise MalformedInputError(f"genotypes, {place}: {fact} ({count}); {remedy}")

    def _question(self, codes: list[float]) -> str:
        """Ask whether some values mean missing: how often they occur, where, and what the others are."""
        place, _ = self._first(lambda numbers: np.isin(numbers, codes))
        counts = [sum(int(np.count_nonzero(piece == code)) for piece in self._pieces()) for code in codes]
        shown = " and ".join(f"{code:g} ({with_spaces(n)} times)" for code, n in zip(codes, counts, strict=True))
        others = [value for value in self._facts.values if value not in codes]
        beside = f"beside {', '.join(f'{value:g}' for value in others)}" if others else "unlike all other values"
        fact = f"{shown} {beside}, of {with_spaces(self._facts.n_values)} values, first in {place}"
        given = repr(_plain(codes[0]) if len(codes) == 1 else [_plain(code) for code in codes])
        ways = [f"give missing_genotype={given} if a missing call is written so"]
        if len(codes) == 1 and codes[0] - 1 in others and codes[0] > 2:
            ways.append(f"ploidy={codes[0]:g} if dosages go up to {codes[0]:g}")
        ways.append("missing_genotype=[] if it is a value like the others")
        return f"genotypes: {fact}; {', '.join(ways[:-1])}, or {ways[-1]}"

    def _first(self, is_wanted: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> tuple[str, Any]:
        """Describe the place of the first number, row by row, that is wanted, and return it as a number of Python."""
        for row in range(self.n_samples):
            numbers = self.with_nan(row)
            columns = np.flatnonzero(is_wanted(numbers))
            if len(columns):
                break
        column = int(columns[0])
        sample = f" (sample {shortened(self.samples.iid[row])})" if self.has_ids else ""
        snp = "" if self.snp_ids is None else f" (SNP {shortened(self.snp_ids[column])})"
        place = f"row {with_spaces(row + 1)}{sample}, column {with_spaces(column + 1)}{snp}"
        return place, _plain(float(numbers[column]))


def _plain(value: float) -> float:
    """Return a whole number as an int, for messages that show it as Python code."""
    return int(value) if np.isfinite(value) and value == np.rint(value) and abs(value) < 2**53 else value


def check_ploidy(ploidy: Any) -> int | None:
    """Return a ploidy as an int, or None; raise UsageError if it is neither None nor a whole number of at least 1."""
    if ploidy is None:
        return None
    if isinstance(ploidy, bool) or not isinstance(ploidy, int | np.integer) or not 1 <= ploidy <= MOST_PLOIDY:
        rule = f"it is a whole number from 1 to {MOST_PLOIDY}, or None for numbers that are no dosages"
        raise UsageError(f"ploidy is {shortened(repr(ploidy))}; {rule}")
    return int(ploidy)


def parse_missing_calls(missing: Any) -> tuple[float, ...] | None:
    """Return the values that mean missing; None if nothing is said about them.

    Raises
    ------
    UsageError
        If one of them is no finite number.
    """
    if missing is None:
        return None
    values = [missing] if np.ndim(missing) == 0 else list(missing)
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        # A number beyond the range of a double, as 10**400, is not in an array.
        if not (is_number and -_LARGEST <= value <= _LARGEST):
            rule = "give a number such as 9 or -1, or several; NaN is missing anyway"
            raise UsageError(f"missing_genotype is {shortened(repr(missing))}; {rule}")
    return tuple(map(float, values))


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
