"""Products of a matrix in memory with few columns; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS: Final[tuple[str, ...]]
"""Names of the ways to multiply, from narrow to wide."""

MOST_COLUMNS: Final[int]
"""Columns up to which this takes less time than dgemm."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_multiplier(name: str) -> str: ...
def multiply_few(
    C: NDArray[np.float64], S: NDArray[np.float64], out: NDArray[np.float64], n_threads: int = 1
) -> None: ...
