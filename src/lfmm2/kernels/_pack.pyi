"""Calls of a byte each, packed to two bits as in a .bed; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

BASELINE: int
FASTEST: int

def pack_calls(calls: NDArray[np.int8], packed_out: NDArray[np.uint8], level: int = 1) -> None: ...
