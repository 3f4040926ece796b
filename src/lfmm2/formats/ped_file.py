"""The .ped and .map of PLINK: a line per sample, six columns and two alleles per SNP, 0 or a dot where missing.

A1 is the rarer allele, as in PLINK 1.9; where both are as frequent, A2 is the one that comes first in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import quoted
from lfmm2._words import counted
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions, check_names, checked_samples, read_position
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.sample_rows import SampleRows
from lfmm2.formats.text_lines import LineFile, as_text, nonblank_lines

COUNTED = "A2 is the more frequent allele and A1 the other, as in PLINK 1.9"
N_COLUMNS = 6
# Number of a missing allele among the numbers of alleles.
_MISSING = 0
_MISSING_CODES = (b"0", b".")
# Most alleles of different spelling in a file: more are a sign that the columns are no alleles.
_MOST_ALLELES = 60_000
# Reason for which a SNP is left out, as the summary names it.
_NEGATIVE = "negative positions"


class PedReader(CallReader):
    """A .ped with its .map; all lines are read when it is opened."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        stem = path.name.removesuffix(".gz").removesuffix(".ped")
        self._map = path.with_name(f"{stem}.map")
        self.paths += (self._map,)
        with LineFile(self._map) as file:
            n_snps = sum(1 for _ in nonblank_lines(file))
        if not n_snps:
            raise MalformedInputError(f"{self._map}: is empty; find the .map of this .ped")
        self._alleles = _SeenAlleles(n_snps)
        self._rows = SampleRows(options.folder, n_snps)
        try:
            self._read_rows()
        except BaseException:
            self.close()
            raise

    def _read_rows(self) -> None:
        """Read the samples."""
        fid, iid, n_snps = [], [], self._rows.n_snps
        with LineFile(self.path) as file:
            for line in nonblank_lines(file):
                cells = line.split(None, N_COLUMNS)
                numbers = self._alleles.number(cells[-1] if len(cells) > N_COLUMNS else b"", file.where())
                if len(numbers) != 2 * n_snps:
                    n_columns = min(len(cells), N_COLUMNS) + len(numbers)
                    fact = f"{file.where()}: {n_columns} columns, but 6 and two for each of the {n_snps} SNPs of"
                    raise MalformedInputError(f"{fact} {self._map.name} are expected; find the .map of this .ped")
                fid.append(as_text(cells[0], file.where()))
                iid.append(as_text(cells[1], file.where()))
                self._rows.add(self._alleles.count(numbers.reshape(n_snps, 2), file.where()))
        self.samples = checked_samples(self.path, iid, fid)
        if n_half := self._alleles.n_half:
            self.notes.append(f"{counted(n_half, 'half call')}, with one of two alleles missing, taken as missing")

    def close(self) -> None:
        self._rows.close()

    def blocks(self) -> Iterator[CallBlock]:
        is_swapped = self._alleles.n_second > self._alleles.n_first
        with LineFile(self._map) as file:
            lines = nonblank_lines(file)
            for first, dosages in self._rows.blocks():
                swapped = is_swapped[first : first + len(dosages)]
                dosages[swapped] = np.where(dosages[swapped] < 0, -1, 2 - dosages[swapped])
                sites = []
                for _ in range(len(dosages)):
                    if (line := next(lines, None)) is None:
                        raise InconsistentInputError(f"{self._map}: was changed while it was read; start again")
                    sites.append(_read_site(line, file.where()))
                kept = [row for row, (_, _, position) in enumerate(sites) if position >= 0]
                if len(kept) < len(sites):
                    self.leave_out(_NEGATIVE, len(sites) - len(kept))
                alleles = [self._alleles.pair(first + row) for row in kept]
                chromosomes, ids = [sites[row][0] for row in kept], [sites[row][1] for row in kept]
                positions = [sites[row][2] for row in kept]
                names = [*chromosomes, *ids, *(name for pair in alleles for name in pair)]
                check_names(f"{self._map}, up to line {file.number}", names)
                if kept:
                    yield CallBlock(np.ascontiguousarray(dosages[kept]), chromosomes, ids, positions, alleles)


def _read_site(line: bytes, where: str) -> tuple[str, str, int]:
    """Return chromosome, ID and position in a line of a .map, which may lack the genetic position."""
    cells = as_text(line, where).split()
    if len(cells) not in (3, 4):
        raise MalformedInputError(f"{where}: {len(cells)} columns, but a .map has 4, or 3 without cM; correct it")
    sign = -1 if cells[-1].startswith("-") else 1
    position = sign * read_position(cells[-1].removeprefix("-"), where)
    return cells[0], f"{cells[0]}:{position}" if cells[1] == "." else cells[1], position


class _SeenAlleles:
    """The two alleles of each SNP in the order in which they come, and how often each was called.

    Attributes
    ----------
    n_first, n_second : ndarray of shape (n_snps,), int64
        Copies in complete calls.
    n_half : int
        Number of calls of which one allele is missing.
    """

    def __init__(self, n_snps: int) -> None:
        self.n_first, self.n_second = (np.zeros(n_snps, np.int64) for _ in range(2))
        self.n_half = 0
        self._first, self._second = (np.zeros(n_snps, np.uint16) for _ in range(2))
        self._number_of: dict[bytes, int] = dict.fromkeys(_MISSING_CODES, _MISSING)
        self._names: list[bytes] = [b"0"]
        self._number_of_letter = np.zeros(256, np.uint16)
        self._is_known = np.zeros(256, bool)
        self._is_known[[ord(code) for code in _MISSING_CODES]] = True

    def number(self, text: bytes, where: str) -> NDArray[np.uint16]:
        """Return the number of each allele in the cells of a line."""
        letters = np.frombuffer(text.rstrip(), np.uint8)
        blanks = letters[1::2]
        if len(letters) % 2 and ((blanks == ord(" ")) | (blanks == ord("\t"))).all():
            letters = letters[::2]
            if not self._is_known[letters].all():
                for letter in np.unique(letters[~self._is_known[letters]]).tolist():
                    self._number_of_letter[letter] = self._add(bytes([letter]), where)
                    self._is_known[letter] = True
            numbers: NDArray[np.uint16] = self._number_of_letter[letters]
            return numbers
        cells = text.split()
        for cell in set(cells).difference(self._number_of):
            self._add(cell, where)
        return np.fromiter(map(self._number_of.__getitem__, cells), np.uint16, len(cells))

    def _add(self, allele: bytes, where: str) -> int:
        """Return the number of an allele, which is new unless it came among cells of several letters."""
        if allele not in self._number_of:
            as_text(allele, where)
            if len(self._names) == _MOST_ALLELES:
                fact = f"{where}: there are over {_MOST_ALLELES} different alleles"
                raise MalformedInputError(f"{fact}; the columns after the sixth are no alleles, check the file")
            self._number_of[allele] = len(self._names)
            self._names.append(allele)
        return self._number_of[allele]

    def count(self, alleles: NDArray[np.uint16], where: str) -> NDArray[np.int8]:
        """Count the alleles of a sample, shape (n_snps, 2), and return its copies of the first of each SNP."""
        n_missing = (alleles == _MISSING).sum(axis=1)
        alleles = np.where(n_missing[:, None] > 0, _MISSING, alleles)  # (n_snps, 2), half calls are missing
        for column in alleles.T:
            for seen in (self._first, self._second):
                new = (column != _MISSING) & (column != self._first) & (column != self._second) & (seen == _MISSING)
                seen[new] = column[new]
            third = (column != _MISSING) & (column != self._first) & (column != self._second)
            if third.any():
                snp = int(np.argmax(third))
                names = [quoted(self._names[k].decode()) for k in (self._first[snp], self._second[snp], column[snp])]
                fact = f"{where}: SNP {snp + 1} has the third allele {names[2]} beside {names[0]} and {names[1]}"
                raise MalformedInputError(f"{fact}; leave it out, as plink2 --max-alleles 2 does")
        copies = (alleles == self._first[:, None]).sum(axis=1)
        self.n_half += int((n_missing == 1).sum())
        called = n_missing == 0
        self.n_first[called] += copies[called]
        self.n_second[called] += 2 - copies[called]
        dosages: NDArray[np.int8] = np.where(called, copies, -1).astype(np.int8)
        return dosages

    def pair(self, snp: int) -> tuple[str, str]:
        """Return A1 and A2 of a SNP; 0 for an allele that no sample has."""
        pair = self._names[self._second[snp]].decode(), self._names[self._first[snp]].decode()
        return pair[::-1] if self.n_second[snp] > self.n_first[snp] else pair
