"""Kernels that fill missing calls; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP: Final[int]
"""Number of columns to whose multiples a basis is filled up with zeros."""

PIVOT_TOLERANCE: Final[float]
"""Pivot up to which the called samples do not determine the regression."""

REGISTERS: Final[tuple[str, ...]]
"""Names of the variants of the small algebra, from narrow to wide."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_registers(name: str) -> str: ...
def padded_rank(r: int) -> int: ...
def workspace_size(n_samples: int, r: int) -> int: ...
def fill_block(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    counts: NDArray[np.int64],
    rows: NDArray[np.float64],
    r: int,
    z: NDArray[np.float64],
    to_basis: NDArray[np.float64],
    draws: NDArray[np.uint64],
    coefficients_out: NDArray[np.float64],
    products_out: NDArray[np.float64],
    squares_out: NDArray[np.float64],
    held_out_out: NDArray[np.float64],
    work: NDArray[np.float64],
    positions: NDArray[np.int32],
    n_threads: int = 1,
) -> None: ...
def fill_decoded(
    packed: NDArray[np.uint8],
    n_samples: int,
    rows: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    dosage_out: NDArray[np.float64],
    positions: NDArray[np.int32],
    n_threads: int = 1,
) -> None: ...
