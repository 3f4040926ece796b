"""Thinning by linkage disequilibrium; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

COUNTERS: Final[tuple[str, ...]]
"""Names of the ways to count bits, from narrow to wide."""

COUNTER: Final[str]
"""The way to count that was chosen on import."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_counter(name: str) -> str: ...
def hit_words(n_rows: int) -> int: ...
def plane_words(n_samples: int) -> int: ...
def thin_block(
    packed: NDArray[np.uint8],
    n_samples: int,
    r2: float,
    first_snp: int,
    window_start: NDArray[np.int64],
    planes: NDArray[np.uint64],
    sums: NDArray[np.int64],
    kept: NDArray[np.int64],
    hits: NDArray[np.uint64],
    first_row: int,
    stop_row: int,
    n_threads: int = 1,
) -> int: ...
