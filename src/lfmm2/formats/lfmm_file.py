"""The .lfmm of R's LEA and lfmm: a line per sample, numbers separated by blanks, 9 or −9 where missing, no names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfmm2.errors import MalformedInputError
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions
from lfmm2.formats.cells import CellRule
from lfmm2.formats.nameless import COUNTED, TwoSeen, name_samples, nameless_block
from lfmm2.formats.sample_rows import SampleRows
from lfmm2.formats.text_lines import LineFile, nonblank_lines

RULE = CellRule((b"9", b"-9"))


class LfmmReader(CallReader):
    """A .lfmm; all lines are read when it is opened, because the number of samples is that of the lines."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        self._rows: SampleRows | None = None
        self._twos = TwoSeen()
        try:
            with LineFile(path) as file:
                for line in nonblank_lines(file):
                    dosages = RULE.read(line, file.where(), None if self._rows is None else self._rows.n_snps)
                    if self._rows is None:
                        self._rows = SampleRows(options.folder, len(dosages))
                    self._twos.add(dosages)
                    self._rows.add(dosages)
            if self._rows is None:
                raise MalformedInputError(f"{path}: is empty; check the file")
            self.samples = name_samples(self, self._rows.n_samples, options.sample_ids)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()

    def blocks(self) -> Iterator[CallBlock]:
        assert self._rows is not None
        self._twos.note(self)
        for first, dosages in self._rows.blocks():
            yield nameless_block(dosages, first)
