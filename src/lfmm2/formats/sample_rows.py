"""Calls that a file gives sample by sample, turned into SNP by SNP with little memory.

Each sample is packed, two bits a call, and written to a temporary file without a name. Blocks of SNPs are then read
from all samples and turned.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lfmm2.errors import ReadError
from lfmm2.files import translated
from lfmm2.formats.calls import Dosages, block_size
from lfmm2.genotypes import plink_writer

# Dosages by two-bit code of a .bed.
_DOSAGE = np.array([0, -1, 1, 2], np.int8)
# The four dosages in a byte, shape (256, 4).
_DOSAGES_OF_BYTE = np.stack([_DOSAGE[np.arange(256) >> shift & 3] for shift in (0, 2, 4, 6)], axis=1)


class SampleRows:
    """A store of samples that is filled row by row, and then read SNP by SNP.

    Parameters
    ----------
    folder : Path
        Folder of the temporary file, which needs a quarter of a byte for each call.
    n_snps : int
    """

    def __init__(self, folder: Path, n_snps: int) -> None:
        self.n_snps = n_snps
        self.n_samples = 0
        self._row_bytes = (n_snps + 3) // 4
        self._folder = folder
        with translated(folder):
            self._file = tempfile.TemporaryFile(prefix="lfmm2-", dir=folder)  # noqa: SIM115, closed by `close`

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def add(self, dosages: Dosages) -> None:
        """Add the dosages of the next sample, shape (n_snps,)."""
        with translated(self._folder):
            self._file.write(plink_writer.encode_bed(dosages[None]).data)
        self.n_samples += 1

    def blocks(self) -> Iterator[tuple[int, Dosages]]:
        """Give the first SNP and the dosages of consecutive SNPs, shape (n_snps_block, n_samples)."""
        with translated(self._folder):
            self._file.flush()
        n_rows = block_size(self.n_samples)
        for first in range(0, self.n_snps, n_rows):
            n_snps = min(n_rows, self.n_snps - first)
            n_bytes = (n_snps + 3) // 4
            packed = np.empty((self.n_samples, n_bytes), np.uint8)
            for sample in range(self.n_samples):
                part = os.pread(self._file.fileno(), n_bytes, sample * self._row_bytes + first // 4)
                if len(part) != n_bytes:
                    raise ReadError(f"{self._folder}: a temporary file was cut; check the disk")
                packed[sample] = np.frombuffer(part, np.uint8)
            dosages = _DOSAGES_OF_BYTE[packed].reshape(self.n_samples, -1)[:, :n_snps]
            yield first, np.ascontiguousarray(dosages.T)
