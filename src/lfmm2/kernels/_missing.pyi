"""Missing calls of each sample; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def work_words(n_samples: int) -> int: ...
def count_missing(
    packed: NDArray[np.uint8],
    n_samples: int,
    snps: NDArray[np.int64],
    counts_out: NDArray[np.int64],
    work: NDArray[np.uint64],
    n_threads: int = 1,
) -> None: ...
