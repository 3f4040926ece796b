"""Calls of biallelic SNPs in binary files, and packing; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

READ: int
HIGH_ALLELE: int
POLYPLOID: int
BAD_CALL: int

# written by Cython: doctests of compiled functions
__test__: Final[dict[str, str]]

def read_bcf_records(
    data: bytes,
    at: int,
    gt_key: int,
    table: NDArray[np.int8],
    dosages_out: NDArray[np.int8],
    facts_out: NDArray[np.int64],
) -> tuple[int, int]: ...
def read_alleles(alleles: NDArray[np.int8], dosages_out: NDArray[np.int8]) -> tuple[int, int, int]: ...
def pack_dosages(dosages: NDArray[np.uint8], packed_out: NDArray[np.uint8]) -> tuple[int, int]: ...
