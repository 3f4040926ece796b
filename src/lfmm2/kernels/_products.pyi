"""Cross-products of packed genotypes by tables of sums; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REGISTERS: Final[tuple[str, ...]]
"""Names of the variants, from narrow to wide."""

WIDEST: Final[str]
"""The variant that was chosen on import."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_registers(name: str) -> str: ...
def columns_size(n_samples: int, m: int) -> int: ...
def workspace_size(n_samples: int, m: int) -> int: ...
def arrange_columns(W: NDArray[np.float64], columns_out: NDArray[np.float64]) -> None: ...
def cross_products(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    columns: NDArray[np.float64],
    counts_out: NDArray[np.int64],
    products_out: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
