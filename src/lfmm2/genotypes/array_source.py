"""Sources of numbers: anything that gives numbers by blocks, and arrays in memory."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import Samples
from lfmm2.genotypes.array_matrix import ArrayMatrix, HeldNumbers
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.source import VARIANT_SCHEMA, GenotypeSource, refuse

# Columns of an array that are numbered in one table of variants, which then takes a few MB.
DESCRIBED_COLUMNS = 1 << 16


class NumberSource(GenotypeSource, Protocol):
    """Dosages or other numbers that are read by blocks; NaN is missing. A subclass writes `read` and `iter_variants`.

    Attributes
    ----------
    dtype : numpy.dtype
        Type of the numbers that `read` returns; float64 by default.
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
    """Numbers in memory: methylation, dosages, expression. Samples and SNPs have no IDs, they are numbered from 1.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_snps)
        Real numbers, NaN where missing; not modified.

    Raises
    ------
    InconsistentInputError
        If the values are not real numbers in an array of two dimensions with at least one row.
    """

    name = "the array"
    has_ids = False

    def __init__(self, values: Any) -> None:
        values = np.asarray(values)
        if values.ndim != 2 or len(values) == 0:
            raise InconsistentInputError(f"genotypes of shape {values.shape}; give an array (n_samples, n_snps)")
        super().__init__(values)
        numbers = tuple(str(i + 1) for i in range(self.n_samples))
        self.samples = Samples(numbers, numbers)

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the columns as SNPs whose ID and POS are their numbers from 1; CHROM and alleles are "."."""
        for first in range(0, self.n_snps, DESCRIBED_COLUMNS):
            numbers = np.arange(first, min(first + DESCRIBED_COLUMNS, self.n_snps)) + 1
            dots = pa.array(["."] * len(numbers))
            ids = pa.array(map(str, numbers.tolist()), pa.string())
            yield pa.table([dots, pa.array(numbers), ids, dots, dots], schema=VARIANT_SCHEMA)

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, alleles or IDs, else an empty text."""
        sentences = {
            "scale": "scale applies to a .bed; scale the array before it is given",
            "count_allele": "count_allele applies to a .bed; an array counts what it counts",
            "maf": "maf and geno apply to a .bed; filter the array before it is given",
            "geno": "maf and geno apply to a .bed; filter the array before it is given",
            "est_thin": "est_thin applies to a .bed; thin the array before it is given",
        }
        if option in ("extract", "exclude", "est_extract"):
            name = option.replace("_", "-")
            return f"--{name} needs SNP IDs, and an array has none; choose columns before the call"
        return sentences.get(option, "")

    def identity(self) -> dict[str, Any]:
        """Return shape, type and SHA-256 of the values."""
        # Row by row, so that the array is not copied where each row is contiguous.
        digest = digest_of(*self.values)
        return {"(array)": f"{self.values.shape}, {self.values.dtype}, SHA-256 {digest}"}

    def describe(self) -> dict[str, Any]:
        """Return the shape of the array."""
        return {"array": list(self.values.shape)}

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, after a check that their values are finite or NaN.

        Raises
        ------
        UsageError
            If `scale` or `count_allele` is given, which apply to a .bed.
        MalformedInputError
            If a value in use is infinite.
        """
        matrix = super().matrix(engine, samples, snps, scale=scale, count_allele=count_allele)
        if np.issubdtype(self.dtype, np.floating):
            self._check_finite(matrix.samples, matrix.snps)
        return matrix

    def _check_finite(self, samples: Ints, snps: Ints) -> None:
        """Raise MalformedInputError if a value of these samples and SNPs is infinite."""
        everyone = len(samples) == self.n_samples
        for first in range(0, len(snps), ArrayMatrix.BLOCK_SNPS):
            columns = snps[first : first + ArrayMatrix.BLOCK_SNPS]
            whole = len(columns) == columns[-1] - columns[0] + 1
            block = self.values[:, columns[0] : columns[-1] + 1] if whole else self.values[:, columns]
            infinite = np.isinf(block if everyone else block[samples])
            if infinite.any():
                row, column = np.argwhere(infinite)[0]
                place = f"row {with_spaces(samples[row] + 1)}, column {with_spaces(columns[column] + 1)}"
                raise MalformedInputError(f"genotypes, {place}: is infinite; use NaN for missing values")


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
