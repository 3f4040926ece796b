"""Where genotypes come from: a fileset or an array, its samples, its variants and its matrix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError
from lfmm2.files import Samples
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink import BedFile, open_bed


def n_snps_of(source: Genotypes) -> int:
    """SNPs of a fileset, or columns of an array."""
    return source.n_snps if isinstance(source, BedFile) else int(source.shape[1])


def variant_tables(source: Genotypes, snps: Ints | None) -> Iterator[pa.Table]:
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
        if first + len(table) > source.n_snps:
            raise ReadError(f"{source.bim_path}: has grown since it was opened; start again")
        if snps is None:
            yield table
        else:
            low, high = np.searchsorted(snps, [first, first + len(table)])
            if high > low:
                yield table.take(pa.array(snps[low:high] - first))
        first += len(table)


Matrix = BedMatrix | ArrayMatrix


GenotypeSource = AnyPath | BedFile | NDArray[Any]


Genotypes = BedFile | NDArray[Any]


def open_genotypes(source: GenotypeSource) -> Genotypes:
    """A path becomes an open, checked fileset, an open fileset stays what it is, the rest an array."""
    if isinstance(source, str | os.PathLike):
        return open_bed(source)
    return source if isinstance(source, BedFile) else np.asarray(source)


def samples_of(source: Genotypes) -> Samples:
    """Sample IDs of a fileset; rows of an array are called 1, 2, ..."""
    if isinstance(source, BedFile):
        return source.samples
    if np.ndim(source) != 2 or len(source) == 0:
        raise InconsistentInputError(f"genotypes of shape {np.shape(source)}; give an array (n_samples, n_snps)")
    numbers = tuple(str(i + 1) for i in range(len(source)))
    return Samples(numbers, numbers)


def tested_matrix(source: Genotypes, engine: Engine, samples: Ints, snps: Ints | None, count_allele: str) -> Matrix:
    """The genotype matrix of some samples and SNPs, as it is tested."""
    if isinstance(source, BedFile):
        return BedMatrix(source, engine, samples=samples, snps=snps, count_allele=count_allele)
    if count_allele != "a2":
        raise UsageError("count_allele applies to a .bed; an array counts what it counts")
    return _array_matrix(source, engine, samples, snps)


def estimation_matrix(source: Genotypes, engine: Engine, samples: Ints, snps: Ints | None, scale: str | None) -> Matrix:
    """The genotype matrix from which factors are estimated, which alone is scaled."""
    if isinstance(source, BedFile):
        return BedMatrix(source, engine, samples=samples, snps=snps, scale=scale)
    if scale is not None:
        raise UsageError("scale applies to a .bed; scale the array before it is given")
    return _array_matrix(source, engine, samples, snps)


def _array_matrix(values: NDArray[Any], engine: Engine, samples: Ints, snps: Ints | None) -> ArrayMatrix:
    """The matrix of an array whose values in use have been seen to be finite or NaN, block by block."""
    matrix = ArrayMatrix(values, engine, samples=samples, snps=snps)
    if not np.issubdtype(values.dtype, np.floating):
        return matrix
    everyone = len(samples) == len(values)
    for first in range(0, matrix.n_snps, ArrayMatrix.BLOCK_SNPS):
        columns = matrix.snps[first : first + ArrayMatrix.BLOCK_SNPS]
        whole = len(columns) == columns[-1] - columns[0] + 1
        block = values[:, columns[0] : columns[-1] + 1] if whole else values[:, columns]
        infinite = np.isinf(block if everyone else block[samples])
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            place = f"row {with_spaces(samples[row] + 1)}, column {with_spaces(columns[column] + 1)}"
            raise MalformedInputError(f"genotypes, {place}: is infinite; use NaN for missing values")
    return matrix
