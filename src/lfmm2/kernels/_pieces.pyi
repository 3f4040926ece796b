"""Values of a function by polynomials on equal pieces of its range; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def evaluate_pieces(
    x: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    n_per_unit: float,
    is_odd: bool,
    values_out: NDArray[np.float64],
) -> int: ...
