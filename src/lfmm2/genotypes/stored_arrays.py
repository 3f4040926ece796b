"""Arrays that are not in memory as such: sparse matrices, HDF5, Zarr, Dask, xarray; read by columns, never as a whole.

A `BlockArray` stands for the array (n_samples, n_features) where the program would index a NumPy array. It is read in
*slabs*, some neighbouring columns of all samples, which follow the chunks of the storage; the last slab is kept, so a
pass reads and decompresses every chunk once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import shortened, with_spaces
from lfmm2.errors import InconsistentInputError, ReadError

# Columns of a slab, or the next larger number that is whole chunks: as many as a pass asks for at a time.
SLAB_COLUMNS = 2048
# Most bytes of a slab. Chunks that go across more columns would be read again and again, or fill the memory.
MOST_SLAB_BYTES = 1 << 28


class BlockArray(ABC):
    """An array (n_samples, n_features) that is read by slabs of columns, and indexed as a NumPy array of two axes.

    Parameters
    ----------
    shape : tuple of int
        Samples and features.
    dtype : numpy.dtype
    chunk : int
        Columns of a chunk of the storage.
    what : str
        The storage, for messages.
    """

    ndim = 2

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int, what: str) -> None:
        self.shape, self.dtype, self.what = shape, dtype, what
        chunk = max(min(chunk, max(shape[1], 1)), 1)
        self.width = chunk * max(SLAB_COLUMNS // chunk, 1)
        if self.slab_bytes > MOST_SLAB_BYTES:
            fact = f"chunks of {with_spaces(chunk)} features by all samples take {self.slab_bytes / 2**20:.0f} MiB"
            remedy = f"store it in chunks of at most {with_spaces(SLAB_COLUMNS)} features, or give it in memory, as [:]"
            raise InconsistentInputError(f"genotypes in {what}: {fact}; {remedy}")
        self._kept: tuple[int, NDArray[Any]] | None = None

    @property
    def slab_bytes(self) -> int:
        """Bytes of a slab."""
        return self.shape[0] * self.width * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def _load(self, first: int, stop: int) -> NDArray[Any]:
        """Return some columns of all samples, shape (n_samples, stop - first)."""

    def _slab(self, number: int) -> NDArray[Any]:
        """Return a slab by its number."""
        if self._kept is None or self._kept[0] != number:
            self._kept = None
            first = number * self.width
            stop = min(first + self.width, self.shape[1])
            try:
                slab = np.asarray(self._load(first, stop))
            except (MemoryError, KeyboardInterrupt):
                raise
            except Exception as error:  # libraries of storage raise errors of many kinds
                fact = f"features {with_spaces(first + 1)} to {with_spaces(stop)} cannot be read"
                why = shortened(" ".join(str(error).split())) or type(error).__name__
                raise ReadError(
                    f"genotypes in {self.what}: {fact} ({why}); leave the file open and unchanged"
                ) from error
            if slab.shape != (self.shape[0], stop - first):
                fact = f"has given {slab.shape} numbers where {(self.shape[0], stop - first)} were asked for"
                raise ReadError(f"genotypes in {self.what}: {fact}; do not change it while it is read")
            self._kept = number, slab
        return self._kept[1]

    def columns(self, snps: Ints) -> NDArray[Any]:
        """Return some columns of all samples, shape (n_samples, len(snps)); `snps` ascend."""
        numbers = snps // self.width
        parts = [
            self._slab(int(number))[:, snps[numbers == number] - number * self.width] for number in np.unique(numbers)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1) if parts else np.empty((len(self), 0))

    def slabs(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first column of each slab, and the slab."""
        for number in range(-(-self.shape[1] // self.width)):
            yield number * self.width, self._slab(number)


class SparseColumns(BlockArray):
    """A sparse matrix of SciPy, whose zeros are numbers; columns are compressed, which copies other layouts."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix.tocsc()
        super().__init__(tuple(matrix.shape), np.dtype(matrix.dtype), 1, "a sparse matrix")

    def _load(self, first: int, stop: int) -> NDArray[Any]:
        return np.asarray(self._matrix[:, first:stop].toarray())


class StoredArray(BlockArray):
    """An array that is sliced as one of NumPy: of h5py, zarr, dask and others; rows are features if it is turned."""

    def __init__(self, array: Any, what: str, turned: bool = False) -> None:
        self._array, self._turned = array, turned
        shape = tuple(int(n) for n in array.shape)
        super().__init__(shape[::-1] if turned else shape, np.dtype(array.dtype), _chunk(array, 1 - turned), what)

    def _load(self, first: int, stop: int) -> NDArray[Any]:
        if self._turned:
            return np.asarray(self._array[first:stop, :]).T
        return np.asarray(self._array[:, first:stop])


def _chunk(array: Any, axis: int) -> int:
    """Return the length of the chunks along an axis, the longest where they differ; 1 if it is not chunked."""
    chunks = getattr(array, "chunks", None)
    if chunks is None:
        return 1
    return max(map(int, chunks[axis])) if isinstance(chunks[axis], tuple) else int(chunks[axis])


def is_stored(given: Any) -> bool:
    """Return True for an array that is read from a storage when it is sliced."""
    members = ("shape", "dtype", "chunks", "__getitem__")
    return not isinstance(given, np.ndarray) and all(_has(given, name) for name in members)


def _has(given: Any, member: str) -> bool:
    """Return True if an object has a member, also if it cannot be read, as those of a closed file."""
    try:
        return hasattr(given, member)
    except Exception:  # libraries of storage raise errors of many kinds
        return True


def is_sparse(given: Any) -> bool:
    """Return True for a sparse matrix or array of SciPy in any layout."""
    return all(hasattr(given, name) for name in ("nnz", "tocsc", "toarray"))
