"""The gram product of packed genotypes in single precision; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

INSTRUCTION_SETS: Final[tuple[str, ...]]
"""Names of the ways to multiply, from narrow to wide."""

INSTRUCTIONS: Final[str]
"""The way to multiply that was chosen on import."""

PANEL_SNPS: Final[int]
"""SNPs of a panel; blocks begin at multiples of it."""

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def use_instructions(name: str) -> str: ...
def instructions() -> str: ...
def columns_size(n_samples: int, l: int) -> int: ...
def workspace_size(l: int) -> int: ...
def pack_columns(S: NDArray[np.float64], columns_out: NDArray[np.float32]) -> None: ...
def add_gram_product(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    counts: NDArray[np.int64],
    columns: NDArray[np.float32],
    G_out: NDArray[np.float64],
    values: NDArray[np.float32],
    T: NDArray[np.float32],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
