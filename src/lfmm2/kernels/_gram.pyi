"""The Gram matrix of packed genotypes by integers; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS: Final[tuple[str, ...]]
"""Names of the ways to count calls, from narrow to wide."""

MULTIPLIER: Final[str]
"""The way to count that was chosen on import."""

PANEL_SNPS: Final[int]
"""SNPs of a panel; blocks begin at multiples of it."""

LISTED_CALLS: Final[int]
"""Missing calls per sample for which there is room in a list."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_multiplier(name: str) -> str: ...
def workspace_shapes(n_samples: int, n_threads: int) -> tuple[tuple[int, ...], ...]: ...
def most_missing(counts: NDArray[np.int64], n_samples: int) -> int: ...
def add_gram(
    packed: NDArray[np.uint8],
    n_samples: int,
    counts: NDArray[np.int64],
    C_out: NDArray[np.float64],
    calls: NDArray[np.uint64],
    sums: NDArray[np.float64],
    starts: NDArray[np.int64],
    words: NDArray[np.uint64],
    lists: NDArray[np.uint16],
    n_threads: int = 1,
) -> None: ...
def fold_gram(C_out: NDArray[np.float64], n_threads: int = 1) -> None: ...
