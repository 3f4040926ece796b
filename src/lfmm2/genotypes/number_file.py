"""Numbers in a temporary file: a matrix of any format, brought into rows of one feature, which are read by blocks.

The file has no name, so that nothing of it is left behind, however the process ends. It is read with pread and never
mapped: a mapped file that shrinks kills the process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import shortened, with_spaces
from lfmm2.errors import ReadError
from lfmm2.files import FileStamp, Samples, translated
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import DESCRIBED_COLUMNS, SCANNED_VALUES, NumberSource
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.number_checks import IsWanted, NumberChecks
from lfmm2.genotypes.source import NO_ID, VARIANT_SCHEMA, SourceMemory

#: Bytes of a piece of a matrix that is turned or copied. More take more memory; with fewer, reading jumps more often.
PIECE_BYTES = 1 << 25


class NumberRows:
    """A temporary file of rows of numbers, NaN where missing, to which rows are appended.

    Parameters
    ----------
    folder : Path
        Folder of the file.
    missing : tuple of float
        Values that mean missing, which become NaN.
    n_columns : int
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(self, folder: Path, missing: tuple[float, ...], n_columns: int, dtype: np.dtype[Any]) -> None:
        self.n_rows = 0
        self.n_columns, self.dtype = n_columns, dtype
        self._folder, self._missing = folder, missing
        with translated(folder):
            self._file = tempfile.TemporaryFile(prefix="lfmm2-", dir=folder)  # noqa: SIM115, closed by `close`

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows, shape (n, n_columns); WriteError if the disk is full."""
        if rows.shape[1:] != (self.n_columns,):
            raise ValueError(f"rows of shape {rows.shape} do not fit {self.n_columns} columns")
        values = np.array(rows, self.dtype, order="C")
        for code in self._missing:
            values[values == code] = np.nan
        with translated(self._folder):
            if values.size:
                self._file.write(values.data.cast("B"))
        self.n_rows += len(rows)

    def flush(self) -> None:
        """Bring all rows into the file, so that they can be read."""
        with translated(self._folder):
            self._file.flush()

    def rows(self, first: int, number: int) -> NDArray[Any]:
        """Return `number` consecutive rows, shape (number, n_columns)."""
        return self._read(first * self.n_columns, number * self.n_columns).reshape(number, self.n_columns)

    def turned(self, n_columns: int | None = None) -> Iterator[NDArray[Any]]:
        """Give the columns as rows, in pieces of shape (some columns, n_rows); by default of about `PIECE_BYTES`."""
        step = n_columns or max(PIECE_BYTES // (max(self.n_rows, 1) * self.dtype.itemsize), 1)
        for first in range(0, self.n_columns, step):
            number = min(step, self.n_columns - first)
            piece = np.empty((self.n_rows, number), self.dtype)
            for row in range(self.n_rows):
                piece[row] = self._read(row * self.n_columns + first, number)
            yield np.ascontiguousarray(piece.T)

    def _read(self, first: int, number: int) -> NDArray[Any]:
        """Return `number` consecutive numbers from the one at `first` on."""
        values = np.empty(number, self.dtype)
        view, offset = values.data.cast("B") if number else memoryview(b""), first * self.dtype.itemsize
        while len(view):
            try:
                n_read = os.preadv(self._file.fileno(), [view], offset)
            except OSError as error:
                raise ReadError(f"{self._folder}: a temporary file, {error.strerror}; check the disk") from error
            if not n_read:
                raise ReadError(f"{self._folder}: a temporary file was cut; check the disk, and run again")
            view, offset = view[n_read:], offset + n_read
        return values


@dataclass(frozen=True)
class FeaturePlaces:
    """Chromosomes and positions of all features.

    Attributes
    ----------
    chromosomes : pyarrow.DictionaryArray of shape (n_snps,)
        "." where a feature has none.
    positions : ndarray of shape (n_snps,), int64
        0 where a feature has none.
    """

    chromosomes: pa.DictionaryArray
    positions: Ints


class NumberFile(NumberSource):
    """The numbers of a matrix file, in rows of one feature.

    Parameters
    ----------
    path : Path
        File from which the numbers come, for messages and the record.
    rows : NumberRows
        Shape (n_snps, n_samples); closed with this source.
    samples : Samples
    has_ids : bool
        False if samples are only numbered.
    names : pyarrow.StringArray or None
        Names of the features; None to number them from 1.
    stamps : dict of str to FileStamp
        Files that were read, by what they are: "matrix", "features" and so on.
    facts : dict
        What else identifies the numbers, such as the layer of an .h5ad, as values of JSON.
    places : FeaturePlaces, optional
    ploidy, asks : optional
        As in `NumberChecks`.
    """

    def __init__(
        self,
        path: Path,
        rows: NumberRows,
        samples: Samples,
        *,
        has_ids: bool,
        names: pa.StringArray | None,
        stamps: dict[str, FileStamp],
        facts: dict[str, Any],
        places: FeaturePlaces | None = None,
        ploidy: int | None = None,
        asks: bool = True,
    ) -> None:
        self.name = str(path)
        self.samples, self.has_ids = samples, has_ids
        self.n_samples, self.n_snps = rows.n_columns, rows.n_rows
        self.dtype = rows.dtype
        self._rows, self._names, self._places = rows, names, places
        self._stamps, self._facts = stamps, facts
        self._checks = NumberChecks(self._pieces, self._first, ploidy, asks=asks, by_command=True)
        rows.flush()

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy that was given, or 2 if all numbers are 0, 1 and 2, with a 2 among them; else None."""
        return self._checks.ploidy

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        return tuple(self._stamps.values())

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of the names and places of the features, and of the temporary file."""
        held = 0 if self._names is None else self._names.nbytes
        held += 0 if self._places is None else self._places.positions.nbytes + self._places.chromosomes.nbytes
        n_bytes = self.n_snps * self.n_samples * self.dtype.itemsize
        return SourceMemory(held_variant_bytes=held, disk_bytes=n_bytes)

    def identity(self) -> dict[str, Any]:
        """Return sizes and times of change of the files, and how they were read."""
        sizes = {f"({name}), bytes": stamp.n_bytes for name, stamp in self._stamps.items()}
        times = {f"({name}), time of change in ns": stamp.mtime_ns for name, stamp in self._stamps.items()}
        return sizes | times | {f"({name})": value for name, value in self._facts.items()}

    def describe(self) -> dict[str, Any]:
        """Return the file, its shape, how it was read, and the ploidy of its dosages; null if there is none."""
        return {"matrix": self.name, "shape": [self.n_samples, self.n_snps], "ploidy": self.ploidy, **self._facts}

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, alleles or names, else an empty text."""
        sentences = {
            "scale": "scale applies to a .bed; scale the matrix before it is given",
            "count_allele": "count_allele applies to a .bed; a matrix counts what it counts",
            "maf": "maf and geno apply to a .bed; filter the matrix before it is given",
            "geno": "maf and geno apply to a .bed; filter the matrix before it is given",
            "est_thin": "est_thin applies to a .bed; thin the matrix before it is given",
        }
        if option in ("extract", "exclude", "est_extract") and self._names is None:
            return f"--{option.replace('_', '-')} needs names of features, and {self.name} has none; give --features"
        return sentences.get(option, "")

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the features with their names, or numbers from 1, as IDs, and with "." and 0 for what is not known."""
        for first in range(0, self.n_snps, DESCRIBED_COLUMNS):
            end = min(first + DESCRIBED_COLUMNS, self.n_snps)
            dots = pa.array([NO_ID] * (end - first))
            if self._names is None:
                names = pa.array(map(str, range(first + 1, end + 1)), pa.string())
            else:
                names = self._names[first:end]
            chromosomes, positions = dots, pa.array(np.zeros(end - first, np.int64))
            if self._places is not None:
                chromosomes = self._places.chromosomes[first:end].cast(pa.string())
                positions = pa.array(self._places.positions[first:end])
            yield pa.table([chromosomes, positions, names, dots, dots], schema=VARIANT_SCHEMA)

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and features, shape (n_snps_block, n_samples), NaN where missing."""
        if not len(snps):
            return np.empty((0, len(samples)), self.dtype)
        values = np.empty((len(snps), self.n_samples), self.dtype)
        breaks = np.flatnonzero(np.diff(snps) != 1) + 1
        for run in np.split(np.arange(len(snps)), breaks):
            values[run] = self._rows.rows(int(snps[run[0]]), len(run))
        return values[:, samples]

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and features, after a check of all numbers, as of an array in memory."""
        self._checks.check()
        return super().matrix(engine, samples, snps, scale=scale, count_allele=count_allele)

    def close(self) -> None:
        """Remove the temporary file."""
        self._rows.close()

    def _pieces(self) -> Iterator[NDArray[Any]]:
        """Give all numbers in pieces of about `SCANNED_VALUES`."""
        step = max(SCANNED_VALUES // max(self.n_samples, 1), 1)
        for first in range(0, self.n_snps, step):
            yield self._rows.rows(first, min(step, self.n_snps - first))

    def _first(self, is_wanted: IsWanted) -> tuple[str, float]:
        """Describe the first number that is wanted, feature by feature, and return it."""
        first, found = 0, np.empty((0, 2), np.intp)
        piece = np.empty((0, 0))
        for piece in self._pieces():
            found = np.argwhere(is_wanted(piece))
            if len(found):
                break
            first += len(piece)
        row, sample = found[0].tolist()
        number = first + row
        name = "" if self._names is None else f" ({shortened(self._names[number].as_py())})"
        of = f"sample {shortened(self.samples.iid[sample])}" if self.has_ids else f"sample {with_spaces(sample + 1)}"
        return f"{self.name}, feature {with_spaces(number + 1)}{name}, {of}", float(piece[row, sample])
