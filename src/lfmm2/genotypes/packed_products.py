"""Products of packed blocks with the columns of one pass."""

from __future__ import annotations

import numpy as np

from lfmm2._typing import Floats, Ints, Packed
from lfmm2.genotypes.footprint import doubles
from lfmm2.kernels import _products


class PackedProducts:
    """The columns of a pass, arranged for the kernel, and its workspaces.

    Parameters
    ----------
    W : ndarray of shape (n_samples, m), float64, C-contiguous
        At least one column.
    n_threads : int
    """

    def __init__(self, W: Floats, n_threads: int) -> None:
        self._n_samples = len(W)
        self._n_threads = n_threads
        self._columns = np.empty(_products.columns_size(*W.shape))
        _products.arrange_columns(W, self._columns)
        self._work = np.empty((n_threads, _products.workspace_size(*W.shape)))

    @staticmethod
    def n_bytes(n_samples: int, m: int, n_threads: int) -> int:
        """Return the bytes that are held for m columns."""
        return doubles((_products.columns_size(n_samples, m),), (n_threads, _products.workspace_size(n_samples, m)))

    def multiply(self, packed: Packed, coding: int, counts_out: Ints, products_out: Floats) -> None:
        """Count the genotypes of each SNP, (n_snps_block, 4), and compute its products, (n_snps_block, m)."""
        _products.cross_products(
            packed, self._n_samples, coding, self._columns, counts_out, products_out, self._work, self._n_threads
        )  # fmt: skip
