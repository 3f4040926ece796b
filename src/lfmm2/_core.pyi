"""Genotype kernels; see the docstrings of the compiled module."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

OPENMP: Final[bool]
"""True if the kernels were built with OpenMP; without it they run on one thread."""

BLAS_INT_BYTES: Final[int]
"""Bytes of an integer argument of SciPy's BLAS."""

KERNEL_API_VERSION: Final[int]
"""Version of the C functions of _core.pxd, which that file has as KERNEL_API."""

DECODERS: Final[tuple[str, ...]]
"""Names of the decoders, from narrow to wide."""

DECODER: Final[str]
"""The decoder chosen on import."""

# written by Cython: the C functions of _core.pxd, and doctests of compiled functions
__pyx_capi__: Final[dict[str, object]]
__test__: Final[dict[str, str]]

def use_decoder(name: str) -> str: ...
def workspace_size(tile_snps: int, chunk_samples: int, l: int) -> int: ...
def count_genotypes(
    packed: NDArray[np.uint8],
    n_samples: int,
    counts_out: NDArray[np.int64],
    n_threads: int = 1,
) -> None: ...
def select_samples(
    packed: NDArray[np.uint8],
    n_samples: int,
    sample_index: NDArray[np.int64],
    packed_out: NDArray[np.uint8],
    n_threads: int = 1,
) -> None: ...
def selection_bytes(n_samples: int) -> int: ...
def decode_block(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    dosage_out: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def gram_product(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    S: NDArray[np.float64],
    G_out: NDArray[np.float64],
    tile_snps: int,
    chunk_samples: int,
    group_tiles: int,
    accumulators: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def gram_product_by_rows(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    S: NDArray[np.float64],
    G_out: NDArray[np.float64],
    tile_snps: int,
    chunk_samples: int,
    Z: NDArray[np.float64],
    values: NDArray[np.float64],
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def cross_products(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    W: NDArray[np.float64],
    counts_out: NDArray[np.int64],
    products_out: NDArray[np.float64],
    tile_snps: int,
    chunk_samples: int,
    work: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
def gram(
    packed: NDArray[np.uint8],
    n_samples: int,
    coding: int,
    C_out: NDArray[np.float64],
    edge: int,
    panel: NDArray[np.float64],
    n_threads: int = 1,
) -> None: ...
