"""The .geno of R's LEA: a line per SNP, a digit per sample without blanks, 9 where missing, no names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from lfmm2.errors import MalformedInputError
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions, block_size
from lfmm2.formats.cells import CellRule
from lfmm2.formats.nameless import COUNTED, TwoSeen, name_samples, nameless_block
from lfmm2.formats.text_lines import LineFile, nonblank_lines

RULE = CellRule((b"9",), separated=False)


class GenoReader(CallReader):
    """A .geno."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        self._file = LineFile(path)
        try:
            lines = nonblank_lines(self._file)
            first = next(lines, None)
            if first is None:
                raise MalformedInputError(f"{path}: is empty; check the file")
            self._lines = chain([first], lines)
            self.samples = name_samples(self, len(first.strip()), options.sample_ids)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[CallBlock]:
        n_samples, first, n_rows, twos = len(self.samples), 0, 0, TwoSeen()
        dosages = np.empty((block_size(n_samples), n_samples), np.int8)
        for line in self._lines:
            dosages[n_rows] = RULE.read(line, self._file.where(), n_samples)
            n_rows += 1
            if n_rows == len(dosages):
                twos.add(dosages)
                yield nameless_block(dosages, first)
                first, n_rows = first + n_rows, 0
        twos.add(dosages[:n_rows])
        twos.note(self)
        if n_rows:
            yield nameless_block(dosages[:n_rows], first)
