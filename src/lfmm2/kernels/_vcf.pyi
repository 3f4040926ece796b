"""Genotypes of a line of a VCF; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

READ: int
FEW_COLUMNS: int
MANY_COLUMNS: int
BAD_CALL: int
HIGH_ALLELE: int
POLYPLOID: int

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def read_genotypes(text: bytes, field: int, dosages_out: NDArray[np.int8]) -> tuple[int, int]: ...
