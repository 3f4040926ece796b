"""Matrices that are arrays on disk: the .npy of NumPy, which has no names, and the .h5ad of AnnData.

h5py is imported here alone, when an .h5ad is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import some_of
from lfmm2.errors import InconsistentInputError, LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.files import note_input_memory, open_regular
from lfmm2.formats.matrix_names import NewRows
from lfmm2.formats.npy_file import NpyNumbers
from lfmm2.genotypes import PIECE_BYTES, NumberRows

#: First bytes of HDF5.
HDF5 = b"\x89HDF\r\n\x1a\n"


def stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which numbers are stored for a run: float32 if that has all of them exactly, else float64."""
    is_small = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if is_small else np.float64)


class NpyMatrix:
    """A .npy: numbers without names; attributes as those of `ColumnMatrix`."""

    row_names = column_names = row_fids = row_numbers = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = NpyNumbers(path)
        self.n_rows, self.n_columns = self._numbers.shape
        self.dtype = stored_type(self._numbers.dtype)

    def close(self) -> None:
        """Close the file."""
        self._numbers.close()

    def store(self, samples_are_rows: bool, new_rows: NewRows) -> NumberRows:
        """Return the numbers in rows of one feature, to be closed by the caller."""
        n_samples, n_features = (self.n_rows, self.n_columns)[:: 1 if samples_are_rows else -1]
        rows = new_rows(n_samples, self.dtype)
        note_input_memory(self.path, 3 * PIECE_BYTES)
        lies_by_feature = self._numbers.is_fortran == samples_are_rows
        step = max(PIECE_BYTES // (n_samples * self.dtype.itemsize), 1)
        try:
            for first in range(0, n_features, step):
                number = min(step, n_features - first)
                if lies_by_feature:
                    rows.append(self._numbers.read(first * n_samples, number * n_samples).reshape(number, n_samples))
                    continue
                piece = np.empty((n_samples, number), self.dtype)
                for sample in range(n_samples):
                    piece[sample] = self._numbers.read(sample * n_features + first, number)
                rows.append(piece.T)
        except BaseException:
            rows.close()
            raise
        return rows


class H5adMatrix:
    """X, or a layer, of an .h5ad: obs are its rows and var its columns; attributes as those of `ColumnMatrix`."""

    row_fids = row_numbers = None

    def __init__(self, path: Path, layer: str | None = None) -> None:
        try:
            import h5py
        except ImportError:
            fact = f"{path}: is an .h5ad, for which h5py is needed"
            raise UsageError(f"{fact}; pip install 'lfmm2[h5ad]'") from None
        self.path = path
        open_regular(path).close()
        with _translated(path):
            self._file = h5py.File(path, "r")
        try:
            with _translated(path):
                self._open(h5py, layer)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self, h5py: Any, layer: str | None) -> None:
        """Find the numbers and the names."""
        where = "X" if layer is None else f"layers/{layer}"
        if "obs" not in self._file or "var" not in self._file:
            fact = f"{self.path}: is HDF5, but no .h5ad: it has no obs and var"
            raise MalformedInputError(f"{fact}; give an .h5ad, or save the matrix as Parquet")
        if where not in self._file:
            layers = list(self._file["layers"]) if "layers" in self._file else []
            others = [f"--layer {name}" for name in layers]
            fact = f"{self.path}: has no {where}"
            raise InconsistentInputError(f"{fact}; {'it has ' + some_of(others) if others else 'it has no layers'}")
        self._values = self._file[where]
        if isinstance(self._values, h5py.Group):
            kind = self._values.attrs.get("encoding-type", "a group")
            fact = f"{self.path}: {where} is sparse ({kind})"
            raise MalformedInputError(f"{fact}; write it dense, as adata.X = adata.X.toarray() does, zeros as zeros")
        shape = self._values.shape
        if len(shape) != 2 or self._values.dtype.kind not in "iuf" or 0 in shape:
            fact = f"{self.path}: {where} has shape {shape} and type {self._values.dtype}"
            raise MalformedInputError(f"{fact}; write real numbers of shape (n_obs, n_vars)")
        self.n_rows, self.n_columns = shape
        self.dtype = stored_type(self._values.dtype)
        self.row_names, self.column_names = (self._names(h5py, name) for name in ("obs", "var"))
        for name, names, number in (("obs", self.row_names, shape[0]), ("var", self.column_names, shape[1])):
            if len(names) != number:
                fact = f"{self.path}: {name} has {len(names)} names, but {where} has shape {shape}"
                raise MalformedInputError(f"{fact}; write it again")

    def _names(self, h5py: Any, table: str) -> list[str]:
        """Return the index of obs or var."""
        group = self._file[table]
        if not isinstance(group, h5py.Group) or "_index" not in group.attrs:
            fact = f"{self.path}: {table} has no index as AnnData 0.7 and later write it"
            raise MalformedInputError(f"{fact}; read and write it again with anndata")
        cells = group[group.attrs["_index"]]
        if not isinstance(cells, h5py.Dataset):  # newer versions write nullable strings as a group
            cells = cells["values"]
        texts = cells[()]
        return [cell.decode() if isinstance(cell, bytes) else str(cell) for cell in texts.tolist()]

    def store(self, samples_are_rows: bool, new_rows: NewRows) -> NumberRows:
        """Return the numbers in rows of one feature, to be closed by the caller."""
        n_samples, n_features = (self.n_rows, self.n_columns)[:: 1 if samples_are_rows else -1]
        rows = new_rows(n_samples, self.dtype)
        step = max(PIECE_BYTES // (n_samples * self.dtype.itemsize), 1)
        if (chunks := self._values.chunks) is not None:
            # A chunk is unpacked once for each piece that has a part of it.
            chunk = chunks[1 if samples_are_rows else 0]
            step = max(step // chunk, 1) * chunk
        note_input_memory(self.path, 3 * step * n_samples * self.dtype.itemsize)
        try:
            with _translated(self.path):
                for first in range(0, n_features, step):
                    part = slice(first, min(first + step, n_features))
                    piece: NDArray[Any] = self._values[:, part].T if samples_are_rows else self._values[part]
                    rows.append(piece)
        except BaseException:
            rows.close()
            raise
        return rows


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn errors of h5py in the block into errors about the file."""
    try:
        yield
    except LfmmError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError(f"{path}: cannot be read, {os.strerror(error.errno)}; check path and disk") from error
        raise MalformedInputError(f"{path}: damaged, or no .h5ad ({error}); copy it again") from error
