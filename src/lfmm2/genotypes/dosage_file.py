"""Dosages that `lfmm2 convert` has written: a .dosages with the .bim and .fam of a fileset beside it.

The .dosages has 16 bytes that name it, and then a float32 for each call, SNP by SNP: the expected copies of A1, from 0
to 2, NaN where missing. Numbers are read by blocks with pread; the file is never mapped into memory.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath, Ints
from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import FileStamp, open_regular
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import NumberSource, is_a1
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.fam_file import fam_column, read_fam, read_fam_column
from lfmm2.genotypes.plink import VariantText, find_text
from lfmm2.genotypes.source import Reopening, SourceMemory, refuse

#: First bytes of a .dosages.
DOSAGE_MAGIC = b"lfmm2 dosages 1\n"
#: End of the name of such a file.
DOSAGE_END = ".dosages"
_NUMBER = np.dtype("<f4")
# Bytes that are read at once, beside the numbers that are returned.
_READ_BYTES = 1 << 22
# SNPs of which a digest is made when the file is opened, by which other dosages of the same size and time are told.
_SAMPLED_SNPS = 64
# Amount by which dosages may leave their range, for sums of probabilities in single precision.
_ROUNDING = 2e-6


class StoredDosages:
    """A .dosages of known shape without its .bim and .fam, as a process opens it that another has told the shape.

    Parameters
    ----------
    path : path
    n_samples, n_snps : int

    Raises
    ------
    ReadError
        If the file is absent or unreadable.
    MalformedInputError
        If it is no .dosages, or has another size than its samples and SNPs need.
    """

    dtype: np.dtype[Any] = np.dtype(np.float64)

    def __init__(self, path: AnyPath, n_samples: int, n_snps: int) -> None:
        self._open(Path(path))
        self.n_samples, self.n_snps = n_samples, n_snps
        try:
            self._check_size()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> None:
        """Open the file, and stamp it."""
        self.path = path
        self._file = open_regular(path)
        try:
            self._stamps = [FileStamp(path, self._file)]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the .dosages; the attributes stay."""
        self._file.close()

    def _check_size(self) -> None:
        """Raise MalformedInputError if the file is no .dosages, or is too short or too long."""
        head = self._pread(len(DOSAGE_MAGIC), 0)
        if head != DOSAGE_MAGIC:
            raise MalformedInputError(f"{self.path}: is no .dosages as lfmm2 convert writes it; make it again")
        needed = len(DOSAGE_MAGIC) + _NUMBER.itemsize * self.n_samples * self.n_snps
        if (n_bytes := self._stamps[0].n_bytes) != needed:
            fact = f"{with_spaces(n_bytes)} bytes, but {with_spaces(self.n_samples)} samples × "
            fact += f"{with_spaces(self.n_snps)} SNPs need {with_spaces(needed)}"
            raise MalformedInputError(f"{self.path}: {fact}; the files do not belong together, make them again")

    def _pread(self, n_bytes: int, offset: int) -> bytes:
        """Read bytes from an offset on, or raise ReadError."""
        try:
            return os.pread(self._file.fileno(), n_bytes, offset)
        except OSError as error:
            raise ReadError(f"{self.path}, byte {offset}: {error.strerror}; check the disk") from error

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs."""
        numbers = _CopiesOfA1(self) if is_a1(count_allele) else self
        return ArrayMatrix(numbers, engine, samples=samples, snps=snps)

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the copies of A2 of some samples and SNPs, shape (n_snps_block, n_samples), float64."""
        copies: NDArray[Any] = 2.0 - self.copies_of_a1(samples, snps)
        return copies

    def copies_of_a1(self, samples: Ints, snps: Ints) -> NDArray[np.float64]:
        """Return the copies of A1, as they are stored.

        Raises
        ------
        ReadError
            If the file has shrunk.
        MalformedInputError
            If a number is no dosage.
        """
        copies = np.empty((len(snps), len(samples)))
        row_bytes = _NUMBER.itemsize * self.n_samples
        most = max(1, _READ_BYTES // row_bytes)
        start = 0
        while start < len(snps):
            first = int(snps[start])
            stop = start + 1
            while stop < len(snps) and stop - start < most and int(snps[stop]) == first + stop - start:
                stop += 1
            data = self._pread((stop - start) * row_bytes, len(DOSAGE_MAGIC) + first * row_bytes)
            if len(data) != (stop - start) * row_bytes:
                raise ReadError(f"{self.path}: ends before SNP {first + stop - start}; it has shrunk, start again")
            numbers = np.frombuffer(data, _NUMBER).reshape(stop - start, self.n_samples)
            if (wrong := (numbers < -_ROUNDING) | (numbers > 2 + _ROUNDING)).any():
                snp = first + int(np.argmax(wrong.any(1)))
                raise MalformedInputError(f"{self.path}, SNP {snp + 1}: has numbers that are no dosage; make it again")
            copies[start:stop] = numbers[:, samples]
            start = stop
        return copies


class DosageFile(VariantText, StoredDosages, NumberSource):
    """Dosages of diploids on the disk; by default copies of A2 are counted, as of hard calls.

    Parameters
    ----------
    path : path
        The .dosages.

    Raises
    ------
    ReadError
        If a file is absent or unreadable.
    MalformedInputError
        If the .dosages is none, or has another size than its samples and SNPs need.

    Warns
    -----
    InputWarning
        For faults of the .bim, as `BedFile`.
    """

    ploidy = 2
    bytes_per_snp = 0

    def __init__(self, path: AnyPath) -> None:
        check_path(path, "the .dosages")
        self._open(Path(path))
        self.bim_path, self.fam_path = (
            find_text(self.path.with_name(self.path.name.removesuffix(DOSAGE_END) + end)) for end in (".bim", ".fam")
        )
        self.name = str(self.bim_path)
        try:
            bim_stamp = FileStamp(self.bim_path)
            self._stamps += [bim_stamp, FileStamp(self.fam_path)]
            self.samples = read_fam(self.fam_path)
            self.n_samples = len(self.samples)
            survey = self._open_bim(bim_stamp)
            self.n_snps, self.left_out = survey.n_snps, survey.left_out
            self._check_size()
            self.sample_digest = self._digest_sample()
        except BaseException:
            self.close()
            raise

    def _digest_sample(self) -> str:
        """Return the SHA-256 of up to `_SAMPLED_SNPS` evenly spread SNPs."""
        row_bytes, digest = _NUMBER.itemsize * self.n_samples, hashlib.sha256()
        snps = np.linspace(0, self.n_snps - 1, min(self.n_snps, _SAMPLED_SNPS)).astype(np.int64)
        for snp in snps.tolist():
            digest.update(self._pread(row_bytes, len(DOSAGE_MAGIC) + snp * row_bytes))
        return digest.hexdigest()

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the .dosages, .bim and .fam as they were when they were opened."""
        return tuple(self._stamps)

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of the .bim, and of what is read at once."""
        of_text = super().memory
        held = of_text.held_variant_bytes + _READ_BYTES
        return replace(of_text, held_variant_bytes=held, reopened_bytes=_READ_BYTES)

    def identity(self) -> dict[str, Any]:
        """Return size and time of change of the files, and the SHA-256 of a sample of the SNPs."""
        return super().identity() | {"(.dosages), SHA-256 of sampled SNPs": self.sample_digest}

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the .fam."""
        column = fam_column(name)
        if column is None or column == 0:
            return super().sample_column(name)
        return read_fam_column(self.fam_path, name, column)

    def describe(self) -> dict[str, Any]:
        """Return path, size and shape."""
        return {
            "dosages": str(self.path),
            "bytes": self._stamps[0].n_bytes,
            "n_samples": self.n_samples,
            "n_snps": self.n_snps,
        }

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls; either allele can be counted."""
        return "" if option == "count_allele" else super().refusal(option)

    def reopening(self) -> Reopening:
        """Return the path of the .dosages with its shape, so that no other process reads the .bim."""
        return Reopening(StoredDosages, (str(self.path.absolute()), self.n_samples, self.n_snps))

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs."""
        refuse(self, *(["scale"] if scale is not None else []))
        return StoredDosages.matrix(self, engine, samples, snps, count_allele=count_allele)


class _CopiesOfA1:
    """The numbers of a .dosages as copies of A1."""

    def __init__(self, file: StoredDosages) -> None:
        self._file = file
        self.n_samples, self.n_snps, self.dtype = file.n_samples, file.n_snps, file.dtype

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        return self._file.copies_of_a1(samples, snps)
