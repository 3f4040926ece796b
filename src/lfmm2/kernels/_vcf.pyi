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
BAD_NUMBER: int
OUT_OF_RANGE: int

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def read_genotypes(text: bytes, field: int, dosages_out: NDArray[np.int8]) -> tuple[int, int]: ...
def read_dosages(
    text: bytes, gt_field: int, field: int, is_probability: bool, dosages_out: NDArray[np.float32]
) -> tuple[int, int, int]: ...
