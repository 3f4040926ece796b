"""The .traw of plink --recode A-transpose and plink2 --export Av: a line per SNP, six columns and a number per sample.

COUNTED is the allele that the numbers count, ALT the other one, and NA is missing. The header names samples as FID_IID.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfmm2.errors import MalformedInputError
from lfmm2.files import Samples
from lfmm2.formats.calls import BlockBuilder, CallBlock, CallReader, ReadingOptions, checked_samples, read_position
from lfmm2.formats.cells import CellRule
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.text_lines import LineFile, as_text, nonblank_lines

HEADER = ("CHR", "SNP", "(C)M", "POS", "COUNTED", "ALT")
#: The header as bytes.
HEADER_CELLS = [cell.encode() for cell in HEADER]
RULE = CellRule((b"NA",))
COUNTED = "A2 is the COUNTED allele of the file, and A1 its ALT"


class TrawReader(CallReader):
    """A .traw."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        self._file = LineFile(path)
        try:
            self._lines = nonblank_lines(self._file)
            header = as_text(next(self._lines), self._file.where()).split("\t")
            self.samples = self._split_names([name.strip() for name in header[len(HEADER) :]])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _split_names(self, names: list[str]) -> Samples:
        """Return the samples; FID_IID is taken apart only where there is one way to do so."""
        parts = [name.split("_", 1) for name in names]
        if all(len(part) == 2 and part[0] == "0" and part[1] for part in parts):
            return checked_samples(self.path, [iid for _, iid in parts])
        if all(name.count("_") == 1 and all(part) for name, part in zip(names, parts, strict=True)):
            return checked_samples(self.path, [iid for _, iid in parts], [fid for fid, _ in parts])
        if any("_" in name for name in names):
            self.notes.append(
                "some names of samples have several _ or none, so FID and IID cannot be told apart: all are IIDs"
            )
        return checked_samples(self.path, names)

    def blocks(self) -> Iterator[CallBlock]:
        file, n_samples = self._file, len(self.samples)
        builder = BlockBuilder(n_samples)
        for line in self._lines:
            where = file.where()
            cells = line.split(b"\t", len(HEADER))
            if len(cells) <= len(HEADER):
                fact = f"{where}: {len(cells)} column(s), line 1 has {len(HEADER) + n_samples}"
                raise MalformedInputError(f"{fact}; the file looks truncated, copy it again")
            builder.row[:] = RULE.read(cells[-1], where, n_samples)
            chromosome, snp_id, _, position, counted, other = (as_text(cell, where).strip() for cell in cells[:-1])
            at = read_position(position, where)
            name = f"{chromosome}:{at}" if snp_id == "." else snp_id
            builder.add(chromosome, at, name, (other, counted))
            if builder.is_full:
                yield builder.take(f"{self.path}, up to line {file.number}")
        if len(builder):
            yield builder.take(f"{self.path}, up to line {file.number}")
