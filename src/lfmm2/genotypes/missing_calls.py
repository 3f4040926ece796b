"""Missing calls of each sample: counted in packed blocks, or in a pass of their own."""

from __future__ import annotations

import numpy as np

from lfmm2._typing import Ints, Packed
from lfmm2.errors import UsageError
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.matrix import GenotypeMatrix
from lfmm2.genotypes.source import PackedMatrix
from lfmm2.kernels import _missing

# Bytes for each SNP of a block whose missing calls are counted: its number among those to count.
_SNP_BYTES = 8


class MissingCounter:
    """Counts the missing calls of each sample in packed blocks; its workspace is kept for the blocks of a pass.

    Parameters
    ----------
    n_samples, n_threads : int
    """

    def __init__(self, n_samples: int, n_threads: int) -> None:
        self._n_samples, self._n_threads = n_samples, n_threads
        self._work = np.empty((n_threads, _missing.work_words(n_samples)), np.uint64)

    def count(self, packed: Packed, snps: Ints) -> Ints:
        """Return the missing calls of each sample over some SNPs of a block, shape (n_samples,)."""
        counts = np.empty(self._n_samples, np.int64)
        _missing.count_missing(packed, self._n_samples, snps, counts, self._work, self._n_threads)
        return counts

    @staticmethod
    def footprint(n_samples: int, n_threads: int) -> Footprint:
        """Return the memory of the workspace, and of counting a block."""
        return Footprint(8 * (n_threads * int(_missing.work_words(n_samples)) + 2 * n_samples), _SNP_BYTES)


def counting_footprint(matrix: GenotypeMatrix, n_threads: int) -> Footprint:
    """Return the memory of `count_missing_calls`."""
    if isinstance(matrix, PackedMatrix):
        return matrix.footprint_of_packed_blocks() + MissingCounter.footprint(matrix.n_samples, n_threads)
    return matrix.footprint_of_cross_products(1)


def count_missing_calls(matrix: GenotypeMatrix, engine: Engine, label: str = "missing calls") -> Ints:
    """Count the missing calls of each sample over all SNPs of a matrix, in one pass; shape (n_samples,), int64.

    Hard calls are counted as they are packed. Other matrices are asked for cross-products, whose blocks count.

    Raises
    ------
    UsageError
        If the blocks of this matrix do not count missing calls.
    """
    n = matrix.n_samples
    counts = np.zeros(n, np.int64)
    if isinstance(matrix, PackedMatrix):
        counter = MissingCounter(n, engine.n_threads)
        for _, packed in matrix.packed_blocks(label, MissingCounter.footprint(n, engine.n_threads)):
            counts += counter.count(packed, np.arange(len(packed)))
        return counts
    for block in matrix.cross_products(np.zeros((n, 1)), label):
        if block.count_missing is None:
            raise UsageError("mind needs missing calls, which these genotypes do not count; leave it out")
        counts += block.count_missing(slice(0, len(block.n_called)))
    return counts
