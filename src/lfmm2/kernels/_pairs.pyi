"""Differences between the calls of pairs of samples; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def plane_words(n_snps: int) -> int: ...
def count_differences(
    planes: NDArray[np.uint64],
    n_called: NDArray[np.int64],
    n_homozygous: NDArray[np.int64],
    n_snps: int,
    first: int,
    stop: int,
    called_out: NDArray[np.int32],
    one_step_out: NDArray[np.int32],
    opposite_out: NDArray[np.int32],
    n_threads: int = 1,
) -> None: ...
