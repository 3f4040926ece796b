"""The records of a .pgen, read by Pgenlib of PLINK 2: the only module that knows this library, an optional one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Ints, Packed
from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.files import FileStamp
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import dosage_matrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.pgen_header import PgenHeader
from lfmm2.kernels import _pack

# Bytes of calls, one each, that are unpacked at a time: they stay in the cache until they are packed again.
_CALLS = 1 << 18
# Value of a missing dosage, and number of the allele REF.
_MISSING, _REF = -9.0, 0
_TOO_LARGE = "has a dosage above 2; the file looks damaged, copy it again"
# Code of four missing calls.
_ALL_MISSING = 0x55
# Bytes that Pgenlib holds for each SNP (place and type of its record) and each sample (buffers), and 8 of ours for the
# alleles where there are more than two, which it copies.
SNP_BYTES, SAMPLE_BYTES, ALLELE_BYTES = 9, 64, 16


def _load_library(path: Path) -> Any:
    """Return the module pgenlib, or raise UsageError that says how to install it."""
    try:
        import pgenlib
    except ImportError as error:
        fact = f"{path}: a .pgen is read by Pgenlib, which is not installed ({error})"
        raise UsageError(
            f"{fact}; pip install 'lfmm2[pgen]', or make a .bed with plink2 --pfile … --make-bed"
        ) from error
    return pgenlib


class PgenRecords:
    """The records of a .pgen that are no .bed; several threads may ask, one of them is answered at a time.

    Parameters
    ----------
    path : Path
    header : PgenHeader
    left_out : ndarray of int64
        Ascending positions of SNPs with more than two alleles, whose calls are given as missing.
    n_alleles : ndarray of int64
        Numbers of their alleles.
    check_unchanged : callable
        Raises ReadError if a file has changed since it was opened; called before a fault is told.

    Raises
    ------
    UsageError
        If Pgenlib is not installed.
    MalformedInputError
        If Pgenlib finds a fault.
    """

    def __init__(
        self, path: Path, header: PgenHeader, left_out: Ints, n_alleles: Ints, check_unchanged: Callable[[], None]
    ) -> None:
        self.path, self.digest = path, header.digest
        self.n_samples, self.n_snps = header.n_samples, header.n_snps
        self.bytes_per_snp = (header.n_samples + 3) // 4
        self.check_unchanged = check_unchanged
        self._left_out = left_out
        self._offsets = None
        if len(header.several_alleles):
            counts = np.full(header.n_snps, 2, np.uintp)
            counts[left_out] = n_alleles
            self._offsets = np.concatenate([np.zeros(1, np.uintp), np.cumsum(counts, dtype=np.uintp)])
        self._lock = threading.Lock()
        self._library = _load_library(path)
        self._open()

    def _open(self) -> None:
        """Open the file; a process that was forked must not share the place in it with its parent."""
        self._process = os.getpid()
        self._reader = self._call(
            0, 0, self._library.PgenReader, os.fsencode(self.path), raw_sample_ct=self.n_samples,
            variant_ct=self.n_snps, allele_idx_offsets=self._offsets,
        )  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()

    def _call(self, first: int, last: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call the library for some SNPs, and tell its errors as those of lfmm2."""
        try:
            return function(*arguments, **named)
        except (RuntimeError, AssertionError) as error:
            self.check_unchanged()
            where = f"{self.path}, SNPs {first + 1} to {last}" if last else f"{self.path}"
            text = error.args[0] if error.args else ""
            said = " ".join((text.decode(errors="replace") if isinstance(text, bytes) else str(text)).split())
            fact = f"{where}: is damaged or cannot be read (Pgenlib: {said})"
            raise MalformedInputError(f"{fact}; copy it again, plink2 --pfile … --validate tells more") from error

    def _own_reader(self) -> Any:
        """Return the reader of this process."""
        if self._reader is None:
            raise UsageError(f"{self.path}: is closed; open it again")
        if self._process != os.getpid():
            self._open()
        return self._reader

    def read_packed(self, first_snp: int, packed_out: Packed) -> None:
        """Fill `packed_out`, shape (n_snps_block, bytes_per_snp), with consecutive SNPs from `first_snp` on."""
        self._check_room(packed_out)
        if not 0 <= first_snp <= self.n_snps - len(packed_out):
            raise UsageError(f"{len(packed_out)} SNPs from {first_snp} on are not among {self.n_snps}")
        end = first_snp + len(packed_out)

        def read(rows: slice, calls: NDArray[np.int8]) -> None:
            first, last = first_snp + rows.start, first_snp + rows.stop
            self._call(first, last, self._own_reader().read_range, first, last, calls)

        self._pack(packed_out, read)
        low, high = np.searchsorted(self._left_out, [first_snp, end])
        self._set_missing(packed_out, self._left_out[low:high] - first_snp)

    def read_snps(self, snps: Ints, packed_out: Packed) -> None:
        """Fill `packed_out` with the SNPs at ascending positions."""
        self._check_room(packed_out)
        if snps.shape != packed_out.shape[:1] or (len(snps) and not 0 <= snps[0] <= snps[-1] < self.n_snps):
            raise UsageError(f"snps must be {len(packed_out)} ascending positions below {self.n_snps}")

        def read(rows: slice, calls: NDArray[np.int8]) -> None:
            wanted = snps[rows].astype(np.uint32)
            self._call(int(wanted[0]), int(wanted[-1]) + 1, self._own_reader().read_list, wanted, calls)

        self._pack(packed_out, read)
        self._set_missing(packed_out, np.flatnonzero(np.isin(snps, self._left_out)))

    def _check_room(self, packed_out: Packed) -> None:
        """Raise UsageError if an array cannot take packed SNPs."""
        shape = (len(packed_out), self.bytes_per_snp)
        if packed_out.dtype != np.uint8 or packed_out.shape != shape or not packed_out.flags.carray:
            raise UsageError(f"packed_out must be a writeable C-contiguous uint8 array of shape {shape}")

    def _pack(self, packed_out: Packed, read: Callable[[slice, NDArray[np.int8]], None]) -> None:
        """Read a few SNPs at a time, a byte for each call, and pack them."""
        n_rows = max(1, _CALLS // self.n_samples)
        calls = np.empty((min(n_rows, len(packed_out)), self.n_samples), np.int8)
        with self._lock:
            for first in range(0, len(packed_out), n_rows):
                rows = slice(first, min(first + n_rows, len(packed_out)))
                read(rows, calls)
                _pack.pack_calls(calls[: rows.stop - rows.start], packed_out[rows])

    def _set_missing(self, packed_out: Packed, rows: Ints) -> None:
        """Set all calls of some SNPs to missing; pad bits stay zero."""
        if len(rows):
            packed_out[rows] = _ALL_MISSING
            packed_out[rows, -1] = _ALL_MISSING & (0xFF >> 2 * (-self.n_samples % 4))

    def read_dosages(self, samples: Ints, snps: Ints) -> NDArray[np.float32]:
        """Return copies of REF of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing.

        A SNP without dosages has its hard calls.
        """
        numbers = self._read_all_samples(snps)
        is_all = len(samples) == self.n_samples and np.array_equal(samples, np.arange(self.n_samples))
        return numbers if is_all else numbers[:, samples]

    def _read_all_samples(self, snps: Ints) -> NDArray[np.float32]:
        """Return copies of REF of all samples."""
        numbers = np.empty((len(snps), self.n_samples), np.float32)
        if not len(snps):
            return numbers
        with self._lock:
            reader = self._own_reader()
            first, last = int(snps[0]), int(snps[-1]) + 1
            if last - first == len(snps):
                self._call(first, last, reader.read_dosages_range, first, last, numbers, allele_idx=_REF)
            else:
                wanted = snps.astype(np.uint32)
                self._call(first, last, reader.read_dosages_list, wanted, numbers, allele_idx=_REF)
        is_missing = numbers < 0
        if (numbers[is_missing] != _MISSING).any():
            row = int(np.argmax((is_missing & (numbers != _MISSING)).any(axis=1)))
            raise MalformedInputError(f"{self.path}, SNP {snps[row] + 1}: {_TOO_LARGE}")
        numbers[is_missing] = np.nan
        numbers[np.isin(snps, self._left_out)] = np.nan
        return numbers

    @property
    def held_bytes(self) -> int:
        """Return the bytes of memory that the reader takes."""
        of_alleles = 0 if self._offsets is None else ALLELE_BYTES * self.n_snps
        return SNP_BYTES * self.n_snps + SAMPLE_BYTES * self.n_samples + max(_CALLS, self.n_samples) + of_alleles


class PgenCalls(PgenRecords):
    """Hard calls of a .pgen, as a process opens it that another has told its header.

    Parameters
    ----------
    path : path
    header, left_out, n_alleles
        As of `PgenRecords`.
    """

    def __init__(self, path: AnyPath, header: PgenHeader, left_out: Ints, n_alleles: Ints) -> None:
        super().__init__(Path(path), header, left_out, n_alleles, FileStamp(path).check)

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> BedMatrix:
        """Return the matrix of some samples and SNPs."""
        return BedMatrix(self, engine, samples=samples, snps=snps, scale=scale, count_allele=count_allele)


class StoredPgenDosages:
    """Dosages of a .pgen, as a process opens it that another has told its header; see `PgenCalls`."""

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, path: AnyPath, header: PgenHeader, left_out: Ints, n_alleles: Ints) -> None:
        self._calls = PgenCalls(path, header, left_out, n_alleles)
        self.n_samples, self.n_snps = header.n_samples, header.n_snps

    def read(self, samples: Ints, snps: Ints) -> NDArray[np.float32]:
        """Return copies of REF, shape (n_snps_block, n_samples), NaN where missing."""
        return self._calls.read_dosages(samples, snps)

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, of copies of REF or, with `count_allele` "a1", of ALT."""
        return dosage_matrix(self, engine, samples, snps, count_allele)

    def close(self) -> None:
        """Close the .pgen."""
        self._calls.close()
