"""The .npy of NumPy: numbers (n_samples, n_snps), NaN where missing, no names.

The file has no code of its own for missing calls, so 9 or −1 are such only where the user says so. It is read in pieces
and never mapped into memory: if a mapped file shrinks, the process is killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import open_regular
from lfmm2.formats.calls import CallBlock, CallReader, Dosages, ReadingOptions, block_size
from lfmm2.formats.nameless import COUNTED, TwoSeen, name_samples, nameless_block
from lfmm2.formats.sample_rows import SampleRows

MAGIC = b"\x93NUMPY"


class NpyNumbers:
    """The numbers of a .npy, read in pieces.

    Attributes
    ----------
    path : Path
    shape : tuple of int
    dtype : numpy.dtype
    is_fortran : bool
        True if a column lies together, and not a row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_header(self) -> None:
        """Read shape and type, and compare them with the size of the file."""
        try:
            version = np.lib.format.read_magic(self._file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, self.is_fortran, self.dtype = read(self._file)
        except Exception as error:  # The tokenizer of Python reads the header, and a damaged one may raise anything.
            raise MalformedInputError(f"{self.path}: has a damaged header; write it again with numpy.save") from error
        if len(shape) != 2 or self.dtype.kind not in "iuf" or 0 in shape:
            fact = f"{self.path}: an array of shape {shape} and type {self.dtype}"
            raise MalformedInputError(f"{fact}; save real numbers of shape (n_samples, n_snps)")
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))
        self._begin = self._file.tell()
        needed = self._begin + shape[0] * shape[1] * self.dtype.itemsize
        size = os.fstat(self._file.fileno()).st_size
        if size != needed:
            fact = f"{self.path}: {with_spaces(size)} bytes, but an array of shape {shape} needs {with_spaces(needed)}"
            raise MalformedInputError(f"{fact}; the file looks truncated or too long, copy it again")

    def read(self, first: int, number: int) -> NDArray[Any]:
        """Return `number` values from the one at `first` on, in the order of the file."""
        n_bytes = number * self.dtype.itemsize
        parts = []
        at = self._begin + first * self.dtype.itemsize
        while n_bytes:
            try:
                part = os.pread(self._file.fileno(), n_bytes, at)
            except OSError as error:
                raise ReadError(f"{self.path}, byte {at}: {error.strerror}; check the disk") from error
            if not part:
                raise ReadError(f"{self.path}, byte {at}: shrank while being read; copy it again")
            parts.append(part)
            n_bytes, at = n_bytes - len(part), at + len(part)
        return np.frombuffer(b"".join(parts), self.dtype)


class NpyReader(CallReader):
    """A .npy."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        self._missing = options.missing_genotype or ()
        self._folder = options.folder
        self._numbers = NpyNumbers(path)
        try:
            self.samples = name_samples(self, self._numbers.shape[0], options.sample_ids)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._numbers.close()

    def _dosages(self, values: NDArray[Any], sample: int, snp: int, in_rows: bool) -> Dosages:
        """Return numbers as dosages; `sample` and `snp` are the place of the first; with `in_rows` a row is a SNP.

        Raises
        ------
        MalformedInputError
            If a number is no call.
        """
        missing = np.isin(values, self._missing) | (values != values)  # NaN alone differs from itself
        wrong = ~(missing | (values == 0) | (values == 1) | (values == 2))
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            at = (sample + column, snp + row) if in_rows else (sample + row, snp + column)
            fact = f"{self.path}: {values[row, column]} at row {at[0]}, column {at[1]} (from 0) is no 0, 1, 2 or NaN"
            raise MalformedInputError(
                f"{fact}; say with --missing-genotype which number is missing, or give other numbers than calls of "
                "diploids to lfmm2 run --matrix, or as an array to lfmm2.run in Python"
            )
        dosages: Dosages = np.where(missing, np.int8(-1), values).astype(np.int8)
        return dosages

    def blocks(self) -> Iterator[CallBlock]:
        twos = TwoSeen()
        for first, dosages in self._by_snp() if self._numbers.is_fortran else self._by_sample():
            twos.add(dosages)
            yield nameless_block(dosages, first)
        twos.note(self)

    def _by_snp(self) -> Iterator[tuple[int, Dosages]]:
        """Give blocks of an array in Fortran's order, in which a SNP lies together."""
        n_samples, n_snps = self._numbers.shape
        n_rows = block_size(n_samples)
        for first in range(0, n_snps, n_rows):
            number = min(n_rows, n_snps - first)
            values = self._numbers.read(first * n_samples, number * n_samples).reshape(number, n_samples)
            yield first, self._dosages(values, 0, first, in_rows=True)

    def _by_sample(self) -> Iterator[tuple[int, Dosages]]:
        """Give blocks of an array in C's order, in which a sample lies together."""
        n_samples, n_snps = self._numbers.shape
        rows = SampleRows(self._folder, n_snps)
        try:
            for sample in range(n_samples):
                values = self._numbers.read(sample * n_snps, n_snps)[None]
                rows.add(self._dosages(values, sample, 0, in_rows=False)[0])
            yield from rows.blocks()
        finally:
            rows.close()
