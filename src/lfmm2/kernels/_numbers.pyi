"""Products of numbers that are no packed calls; see the docstrings of the compiled module."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

GROUP_FEATURES: Final[int]
N_MOMENTS: Final[int]

def tile_features(n_samples: int) -> int: ...
def workspace_size(n_samples: int, l: int) -> int: ...
def centre(
    values: NDArray[Any],
    samples: NDArray[np.int64],
    centred_out: NDArray[np.float32] | NDArray[np.float64],
    moments_out: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
    with_powers: bool = False,
) -> None: ...
def cross_products(
    values: NDArray[Any],
    samples: NDArray[np.int64],
    W: NDArray[np.float64],
    moments_out: NDArray[np.float64],
    products_out: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def multiply(
    block: NDArray[np.float64],
    W: NDArray[np.float64],
    products_out: NDArray[np.float64],
    squares_out: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def gram_product(
    values: NDArray[Any],
    samples: NDArray[np.int64],
    S: NDArray[np.float64],
    G_out: NDArray[np.float64],
    moments_out: NDArray[np.float64],
    sums: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def add_gram(
    block: NDArray[np.float32] | NDArray[np.float64],
    C_out: NDArray[np.float64],
    edge: int,
    squares: NDArray[np.float32] | NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
