"""The .bed of a PLINK 1 fileset: 3 magic bytes, then ceil(n_samples / 4) bytes per SNP, two bits per genotype.

Bytes are read with pread and the file is never mapped into memory: if a mapped file shrinks, the process is killed.
A .bed.zst, which `lfmm2 pack` writes, has the same bytes in frames of zstd; it is told by its first bytes.
Pad bits, those of a SNP's last byte beyond the last sample, must be zero; others are a sign of more samples.
"""

from __future__ import annotations

import copy
import hashlib
import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath
from lfmm2._words import with_spaces
from lfmm2.errors import (
    InconsistentInputError,
    InputWarning,
    MalformedInputError,
    UsageError,
)
from lfmm2.files import FileStamp, open_stored, refuse_other_format

_MAGIC = b"\x6c\x1b\x01"
# Smallest gap between chosen SNPs, in bytes, that is skipped. A smaller gap is read and dropped, because one more call
# of the system, which also stops its read-ahead, takes longer.
_READ_THROUGH_BYTES = 1 << 16
# Bytes of memory for SNPs that are read together with the gaps between them.
_SCRATCH_BYTES = 1 << 22
# SNPs of a larger file whose pad bits are checked when it is opened, and length of the runs in which they are read.
_SAMPLED_SNPS, _SAMPLED_RUN = 4096, 16
# Fewest SNPs for a warning that the last sample has two copies of A1 in all of them: in fewer this may be chance.
_FEWEST_SNPS_FOR_WARNING = 64
# Bytes that the system reads at least. Reading a SNP of up to so many bytes takes no longer than reading its last byte.
_PAGE_BYTES = 4096


@runtime_checkable
class PackedReader(Protocol):
    """Hard calls packed as in a .bed, which `BedMatrix` reads: a .bed, or another format packed in this way."""

    @property
    def n_samples(self) -> int: ...
    @property
    def n_snps(self) -> int: ...
    @property
    def bytes_per_snp(self) -> int:
        """Return ceil(n_samples / 4)."""

    def read_packed(self, first_snp: int, packed_out: NDArray[np.uint8]) -> None:
        """Fill `packed_out`, shape (n_snps_block, bytes_per_snp), with consecutive SNPs from `first_snp` on."""

    def read_snps(self, snps: NDArray[np.int64], packed_out: NDArray[np.uint8]) -> None:
        """Fill `packed_out` with the SNPs at ascending positions."""

    def check_unchanged(self) -> None:
        """Raise ReadError if the genotypes have changed since they were opened."""


def stored_snp_bytes(reader: PackedReader) -> int:
    """Return the bytes that a reader reads for one SNP: its attribute of this name, else those that it gives."""
    return int(getattr(reader, "stored_snp_bytes", reader.bytes_per_snp))


class PackedBed:
    """A .bed of known shape, without its .bim and .fam; several threads may read at the same time.

    It may be compressed, as a .bed.zst of `lfmm2.pack`.

    Pad bits are checked in a sample of SNPs when the file is opened, in all SNPs as they are read.

    Parameters
    ----------
    path : path
    n_samples, n_snps : int
        Numbers that the file must have.

    Attributes
    ----------
    path : Path
    n_samples, n_snps : int
    bytes_per_snp : int
        ceil(n_samples / 4).
    n_bytes : int
        Size of the .bed, that of its contents if it is compressed.
    stored_snp_bytes : int
        Bytes of the file for one SNP, as an average if it is compressed.
    sample_digest : str
        SHA-256 of the bytes that are read when the file is opened: those of all SNPs up to 4 096, or of 4 096 evenly
        spread ones; of more than 16 384 samples only the last four. A file of other genotypes has another one.

    Raises
    ------
    UsageError
        If `n_samples` is below 1 or `n_snps` below 0.
    ReadError
        If the file is absent, unreadable or not a regular file.
    MalformedInputError
        If it has another format, a size that is no whole number of SNPs, or pad bits that are not zero.
    InconsistentInputError
        If it has a whole number of SNPs, but not `n_snps`.

    Warns
    -----
    InputWarning
        If the last sample has two copies of A1 in all SNPs checked, as if the file had fewer samples.
    """

    path: Path
    n_samples: int
    n_snps: int
    bytes_per_snp: int
    n_bytes: int
    sample_digest: str

    def __init__(self, path: AnyPath, n_samples: int, n_snps: int) -> None:
        check_path(path, "the .bed")
        self._open(Path(path))
        try:
            self._set_shape(n_samples, n_snps)
        except BaseException:
            self.close()
            raise

    # Most SNPs whose pad bits are checked when the file is opened, if not `_SAMPLED_SNPS`.
    _n_sampled: int | None = None
    # Threads that unpack a .bed that is compressed.
    _n_threads = 1

    def _open(self, path: Path) -> None:
        """Open the file and check its first bytes."""
        self.path = path
        self._stored = open_stored(path)
        try:
            self._stamps = [self._stored.stamp]
            self.n_bytes = self._stored.n_bytes
            self._check_first_bytes(self._stored.read(32, 0))
        except BaseException:
            self.close()
            raise

    def _set_shape(self, n_samples: int, n_snps: int, samples_from: str = "", snps_from: str = "") -> None:
        """Take the numbers of samples and SNPs, counted in the files named, and check the .bed against them."""
        if n_samples < 1 or n_snps < 0:
            raise UsageError(f"{self.path}: {n_samples} samples and {n_snps} SNPs; give the numbers that it has")
        self.n_samples = int(n_samples)
        self.n_snps = int(n_snps)
        self.bytes_per_snp = (self.n_samples + 3) // 4
        # A last byte of at least this value has pad bits set; without a meaning where no byte is padded.
        self._least_dirty = 1 << (2 * (self.n_samples % 4))
        self._digest = hashlib.sha256()
        self._check_size(samples_from and f" ({samples_from})", snps_from and f" ({snps_from})")
        self._check_number_of_samples()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, n_samples={self.n_samples}, n_snps={self.n_snps})"

    def open_when_read(self) -> None:
        """Close the .bed, which from now on is opened and compared with its stamp for each reading."""
        self._stored.open_when_read()

    def close(self) -> None:
        """Close the .bed; the attributes stay."""
        self._stored.close()

    @property
    def stored_snp_bytes(self) -> int:
        """Return the bytes of the file for one SNP, as an average if it is compressed."""
        return -(-self._stored.stamp.n_bytes // max(self.n_snps, 1)) if self._stored.is_packed else self.bytes_per_snp

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes."""
        return n_threads * self._stored.frame_bytes

    def read_in_threads(self, n_threads: int) -> Self:
        """Return the same open file for reading in some threads, of which `close` closes both."""
        if not self._stored.is_packed:
            return self
        other = copy.copy(self)
        other._n_threads = n_threads
        return other

    def _check_first_bytes(self, head: bytes) -> None:
        """Raise MalformedInputError if the file does not begin as a SNP-major .bed does."""
        if not head.startswith(_MAGIC):
            refuse_other_format(head, self.path)
            start = "text" if re.match(rb"[\s -~]{3}", head) else head[:3].hex(" ") or "nothing"
            raise MalformedInputError(f"{self.path}: begins with {start}, but a .bed with 6c 1b 01; give one")

    def _check_size(self, samples_from: str, snps_from: str) -> None:
        """Raise if the number of bytes of the file is not the one that its samples and SNPs need."""
        needed = len(_MAGIC) + self.n_snps * self.bytes_per_snp
        n_held, n_left = divmod(self.n_bytes - len(_MAGIC), self.bytes_per_snp)
        samples = f"{with_spaces(self.n_samples)} samples{samples_from}"
        snps = f"{with_spaces(self.n_snps)} SNPs{snps_from}"
        unpacked = "unpacked " if self._stored.is_packed else ""
        fact = f"{with_spaces(self.n_bytes)} {unpacked}bytes, but {samples} × {snps} need {with_spaces(needed)}"
        looks = "truncated, copy it again" if self.n_bytes < needed else "too long, find its .bim and .fam"
        if n_left:
            raise MalformedInputError(f"{self.path}: {fact}; the file looks {looks}")
        if n_held != self.n_snps:
            held = f"or it is another fileset's, with exactly {with_spaces(n_held)} SNPs"
            raise InconsistentInputError(f"{self.path}: {fact}; the file looks {looks}; {held}")

    def _check_pad_bits(self, last_bytes: NDArray[np.uint8], first_snp: int) -> None:
        """Raise if pad bits are set in the last bytes of consecutive SNPs."""
        if self.n_samples % 4 == 0 or not len(last_bytes) or int(last_bytes.max()) < self._least_dirty:
            return
        row = int(np.argmax(last_bytes >= self._least_dirty))
        snp = first_snp + row
        at = len(_MAGIC) + (snp + 1) * self.bytes_per_snp - 1
        found = f"{last_bytes[row]:02x}, below {self._least_dirty:02x} for {with_spaces(self.n_samples)} samples"
        raise MalformedInputError(
            f"{self._stored.where(at)} (SNP {snp + 1}): has genotypes of samples that the .fam lacks "
            f"(last byte {found} expected); the .fam has fewer samples than the .bed, find its .fam"
        )

    def _check_number_of_samples(self) -> None:
        """Check the number of samples by the last byte of all SNPs, or of 256 evenly spread runs of 16 if above 4 096.

        Up to four numbers of samples give a file of the same size. If `n_samples` is too small, pad bits are set; if it
        is too large, the last sample has two copies of A1 in every SNP, which is legal but worth a warning.
        """
        n_sampled = self._n_sampled or _SAMPLED_SNPS
        if self.n_snps <= n_sampled:
            run = max(1, _SCRATCH_BYTES // self.bytes_per_snp)
            runs = [(first, min(run, self.n_snps - first)) for first in range(0, self.n_snps, run)]
        else:
            n_runs = n_sampled // _SAMPLED_RUN
            firsts = np.linspace(0, self.n_snps - _SAMPLED_RUN, n_runs).astype(np.int64)
            runs = [(first, _SAMPLED_RUN) for first in firsts.tolist()]
        seen = np.concatenate([np.empty(0, np.uint8), *(self._last_bytes(*run) for run in runs)])
        self.sample_digest = self._digest.hexdigest()
        within_byte = (self.n_samples - 1) % 4
        union = int(np.bitwise_or.reduce(seen))
        if within_byte and len(seen) >= _FEWEST_SNPS_FOR_WARNING and union and not union >> 2 * within_byte:
            fact = (
                f"the last of {with_spaces(self.n_samples)} samples has two copies of A1 in all {len(seen)} SNPs seen"
            )
            remedy = "if the .fam has more samples than the .bed, find its .fam"
            warnings.warn(f"{self.path}: {fact}, as if it were not there; {remedy}", InputWarning, stacklevel=5)

    def _last_bytes(self, first_snp: int, n_snps: int) -> NDArray[np.uint8]:
        """Return the last bytes of consecutive SNPs, whose pad bits have been checked."""
        if self.bytes_per_snp <= _PAGE_BYTES:
            packed = np.empty((n_snps, self.bytes_per_snp), np.uint8)
            self.read_packed(first_snp, packed)
            self._digest.update(packed.data)
            return packed[:, -1].copy()
        offset = len(_MAGIC) + first_snp * self.bytes_per_snp - 1
        last = b"".join(self._stored.read(1, offset + (j + 1) * self.bytes_per_snp) for j in range(n_snps))
        self._digest.update(last)
        last_bytes = np.frombuffer(last, np.uint8)
        self._check_pad_bits(last_bytes, first_snp)
        return last_bytes

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the .bed, and the files that were opened with it, as they were when they were opened."""
        return tuple(self._stamps)

    def check_unchanged(self) -> None:
        """Raise ReadError if the size, the inode or a time of a file is not the one at opening; see `FileStamp`."""
        for stamp in self._stamps:
            stamp.check()

    def read_packed(self, first_snp: int, packed_out: NDArray[np.uint8]) -> None:
        """Read consecutive SNPs from `first_snp` straight into the caller's array.

        Parameters
        ----------
        first_snp : int
            Position of the first SNP, from 0.
        packed_out : ndarray of shape (n_snps_block, bytes_per_snp), uint8, C-contiguous
            Overwritten with the packed SNPs.

        Raises
        ------
        UsageError
            If `packed_out` is another kind of array, or the SNPs are not all in the file.
        ReadError
            If the system cannot read, or the file has shrunk.
        MalformedInputError
            If pad bits are set.
        """
        shape = (len(packed_out), self.bytes_per_snp)
        if packed_out.dtype != np.uint8 or packed_out.shape != shape or not packed_out.flags.carray:
            raise UsageError(f"packed_out must be a writeable C-contiguous uint8 array of shape {shape}")
        if not 0 <= first_snp <= self.n_snps - len(packed_out):
            raise UsageError(f"{len(packed_out)} SNPs from {first_snp} on are not among {self.n_snps}")
        offset = len(_MAGIC) + first_snp * self.bytes_per_snp
        self._stored.fill(packed_out.reshape(-1).data, offset, self._n_threads)
        self._check_pad_bits(packed_out[:, -1], int(first_snp))

    def read_snps(self, snps: NDArray[np.int64], packed_out: NDArray[np.uint8]) -> None:
        """Read the SNPs at strictly ascending positions `snps`, shape (n_snps_block,); see `read_packed`."""
        self.read_packed(0, packed_out[:0])  # checks the array
        if snps.shape != packed_out.shape[:1] or bool(np.any(np.diff(snps) <= 0)):
            raise UsageError(f"snps must ascend, one per row of packed_out ({len(packed_out)})")
        gaps = (np.diff(snps) - 1) * self.bytes_per_snp
        # What lies in one frame with a wanted SNP is unpacked in any case.
        most_gap = max(_READ_THROUGH_BYTES, self._stored.frame_bytes)
        bounds = [0, *(np.flatnonzero(gaps >= most_gap) + 1).tolist(), len(snps)]
        most_rows = max(1, _SCRATCH_BYTES // self.bytes_per_snp)
        for start, stop in pairwise(bounds):
            while start < stop:
                first = int(snps[start])
                end = start + int(np.searchsorted(snps[start:stop], first + most_rows))
                n_rows = int(snps[end - 1]) - first + 1
                if n_rows == end - start:
                    self.read_packed(first, packed_out[start:end])
                else:
                    scratch = np.empty((n_rows, self.bytes_per_snp), dtype=np.uint8)
                    self.read_packed(first, scratch)
                    packed_out[start:end] = scratch[snps[start:end] - first]
                start = end
