"""Dosages of one SNP of a BGEN; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

READ: int
SHORT: int
LONG: int
OTHER_SAMPLES: int
OTHER_ALLELES: int
BAD_BITS: int
POLYPLOID: int
ABOVE_ONE: int

def decode_dosages(data: bytes | memoryview, dosage_out: NDArray[np.float64]) -> tuple[int, int]: ...
