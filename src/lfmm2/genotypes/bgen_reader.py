"""The dosages of a BGEN whose variants have been listed: probabilities are read by the places of the variants."""

from __future__ import annotations

import copy
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from lfmm2._typing import AnyPath, Floats, Ints
from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import FileStamp, open_regular
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import dosage_matrix
from lfmm2.genotypes.bgen_layout import UNPACKED, ZLIB, BgenBytes, BgenLayout
from lfmm2.genotypes.engine import Engine
from lfmm2.kernels import _bgen

#: Bytes that are read together for SNPs that lie side by side.
READ_BYTES = 1 << 22
# SNPs from which on threads share the decoding: fewer take less time than to start threads.
FEWEST_SNPS_IN_THREADS = 64
_LENGTH = struct.Struct("<I")
_DAMAGED = "the file looks damaged, copy it again"
_FAULTS = {
    _bgen.SHORT: f"has fewer probabilities than its samples need; {_DAMAGED}",
    _bgen.LONG: f"has more probabilities than its samples need; {_DAMAGED}",
    _bgen.OTHER_SAMPLES: f"has another number of samples than the header says; {_DAMAGED}",
    _bgen.OTHER_ALLELES: f"has another number of alleles than its names; {_DAMAGED}",
    _bgen.BAD_BITS: f"has probabilities of no bits, or of more than 32; {_DAMAGED}",
    _bgen.POLYPLOID: "has a ploidy above 2; give an array of dosages with ploidy to lfmm2.run in Python",
    _bgen.ABOVE_ONE: "has probabilities that add up to more than 1; write the file again",
}


class BgenDosages:
    """Dosages of A2 in a BGEN whose variants are listed, as a process opens it that another has told their places.

    Parameters
    ----------
    path : path
    layout : BgenLayout
    places : ndarray of shape (n_snps,), int64
        Bytes at which the probabilities of the SNPs begin.
    several : ndarray of int64
        Ascending positions of SNPs with more than two alleles, whose dosages are given as missing.

    Raises
    ------
    ReadError
        If the file is absent or cannot be read.
    """

    dtype: np.dtype[Any] = np.dtype(np.float64)
    _places: Ints
    _several: Ints
    _n_threads = 1

    def __init__(self, path: AnyPath, layout: BgenLayout, places: Ints, several: Ints) -> None:
        self._open(Path(path))
        self._set_layout(layout)
        self._places, self._several = places, several

    def _open(self, path: Path) -> None:
        """Open the file, and stamp it."""
        self.path = path
        self._file = open_regular(path)
        try:
            self._stamps = [FileStamp(path, self._file)]
        except BaseException:
            self.close()
            raise
        self._bytes = BgenBytes(path, self._file, self._stamps[0].n_bytes)

    def _set_layout(self, layout: BgenLayout) -> None:
        """Take what the header says."""
        self.layout = layout
        self.n_snps, self.n_samples = layout.n_snps, layout.n_samples

    def close(self) -> None:
        """Close the BGEN; the attributes stay."""
        self._file.close()

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, of copies of A2 or, with `count_allele` "a1", of A1."""
        return dosage_matrix(self, engine, samples, snps, count_allele)

    def read(self, samples: Ints, snps: Ints) -> Floats:
        """Return copies of A2, shape (n_snps_block, n_samples), NaN where missing.

        Raises
        ------
        ChangedInputError
            If the file has changed since it was opened, and what was read shows it.
        MalformedInputError
            If the probabilities of a SNP are damaged, or of polyploids.
        """
        dosages = np.empty((len(snps), self.n_samples))
        try:
            self._decode_all(snps, dosages)
        except (MalformedInputError, ReadError):
            # A file that was changed is the cause of what was found in it, and is what the user must know of.
            for stamp in self._stamps:
                stamp.check()
            raise
        dosages[np.isin(snps, self._several)] = np.nan
        is_all = len(samples) == self.n_samples and np.array_equal(samples, np.arange(self.n_samples))
        return dosages if is_all else dosages[:, samples]

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes."""
        return n_threads * READ_BYTES

    def read_in_threads(self, n_threads: int) -> Self:
        """Return the same open file for reading in some threads, of which `close` closes both."""
        other = copy.copy(self)
        other._n_threads = n_threads
        return other

    def _decode_all(self, snps: Ints, dosages_out: Floats) -> None:
        """Decode some SNPs, the same number of them in each thread; the error of the first SNP that has one counts."""
        bounds = np.linspace(0, len(snps), self._n_threads + 1).astype(int).tolist()

        def decode(first: int, end: int) -> None:
            for row, (snp, data) in enumerate(self._read_blocks(snps[first:end]), first):
                self._decode(snp, data, dosages_out[row])

        if self._n_threads == 1 or len(snps) < FEWEST_SNPS_IN_THREADS:
            decode(0, len(snps))
            return
        with ThreadPoolExecutor(self._n_threads, thread_name_prefix="lfmm2-decode") as pool:
            for _ in pool.map(decode, bounds[:-1], bounds[1:]):
                pass

    def _read_blocks(self, snps: Ints) -> Iterator[tuple[int, memoryview]]:
        """Yield each of some SNPs with the bytes from its probabilities on, reading those side by side together."""
        starts = self._places[snps]
        # The bytes of a SNP end, with the names of the next one, where the probabilities of that one begin.
        is_last = snps == self.n_snps - 1
        ends = np.where(is_last, self._bytes.n_bytes, self._places[np.where(is_last, 0, snps + 1)])
        first = 0
        while first < len(snps):
            apart = np.flatnonzero(
                (starts[first + 1 :] != ends[first:-1]) | (ends[first + 1 :] > starts[first] + READ_BYTES)
            )
            stop = first + 1 + int(apart[0]) if len(apart) else len(snps)
            start = int(starts[first])
            span = memoryview(self._bytes.read(start, int(ends[stop - 1])))
            for row in range(first, stop):
                yield int(snps[row]), span[starts[row] - start : ends[row] - start]
            first = stop

    def _decode(self, snp: int, data: memoryview, dosage_out: Floats) -> None:
        """Decode the probabilities of a SNP, whose bytes `data` begins with."""
        if self.layout.layout == 1:
            unpacked = self._unpack(snp, data, 6 * self.n_samples)
            _decode_layout_1(unpacked, dosage_out)
            return
        if len(self._several) and self._several[np.searchsorted(self._several, snp) % len(self._several)] == snp:
            return
        answer, sample = _bgen.decode_dosages(self._unpack(snp, data, None), dosage_out)
        if answer != _bgen.READ:
            raise MalformedInputError(f"{self._where(snp)} (sample {sample + 1}): {_FAULTS[answer]}")

    def _unpack(self, snp: int, data: memoryview, n_unpacked: int | None) -> bytes | memoryview:
        """Return the data of a SNP, unpacked; `n_unpacked` is its length unless the file says it."""
        if self.layout.compression == UNPACKED:
            if n_unpacked is not None:
                return data[:n_unpacked]
            return data[4 : 4 + _LENGTH.unpack_from(data)[0]]
        n_packed, at = int(_LENGTH.unpack_from(data)[0]), 4
        if n_unpacked is None:
            n_unpacked, at = int(_LENGTH.unpack_from(data, 4)[0]), 8
        # Probabilities of diploids have at most 32 bits, and there are two of each sample.
        if n_unpacked > 10 + 9 * self.n_samples:
            fact = f"{self._where(snp)}: {with_spaces(n_unpacked)} bytes of probabilities, more than diploids need"
            raise MalformedInputError(f"{fact}; polyploids are not read, or {_DAMAGED}")
        packed = data[at : 4 + n_packed]
        try:
            if self.layout.compression == ZLIB:
                worker = zlib.decompressobj()
                unpacked = worker.decompress(packed, n_unpacked)
                is_whole = len(unpacked) == n_unpacked and (
                    worker.eof or not worker.decompress(worker.unconsumed_tail, 1)
                )
            else:
                unpacked = pa.Codec("zstd").decompress(packed, n_unpacked, asbytes=True)
                is_whole = len(unpacked) == n_unpacked
        except (zlib.error, OSError, ValueError, pa.ArrowException) as error:
            raise MalformedInputError(f"{self._where(snp)}: cannot be unpacked ({error}); {_DAMAGED}") from error
        if not is_whole:
            raise MalformedInputError(f"{self._where(snp)}: unpacks to another length than it says; {_DAMAGED}")
        return unpacked

    def _where(self, snp: int) -> str:
        return f"{self.path}, SNP {snp + 1}"


def _decode_layout_1(data: bytes | memoryview, dosage_out: Floats) -> None:
    """Decode three probabilities for each sample, which may add up to less than 1 and are all 0 where missing."""
    probabilities = np.frombuffer(data, "<u2").reshape(-1, 3).astype(np.int64)
    total = probabilities.sum(axis=1)
    with np.errstate(invalid="ignore"):
        dosage_out[:] = (probabilities[:, 1] + 2 * probabilities[:, 2]) / total
