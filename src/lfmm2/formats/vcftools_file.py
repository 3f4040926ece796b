"""The .012 of vcftools: a line per sample, its number and the copies of the non-reference allele, −1 where missing.

Beside ``x.012`` lie ``x.012.indv`` with the sample IDs and ``x.012.pos`` with chromosome and position of each SNP.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import first_two_columns
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions, check_names, checked_samples, read_position
from lfmm2.formats.cells import CellRule
from lfmm2.formats.nameless import alleles_of, refuse_sample_list
from lfmm2.formats.sample_rows import SampleRows
from lfmm2.formats.text_lines import LineFile, as_text, nonblank_lines

RULE = CellRule((b"-1",))
COUNTED = (
    "the numbers count the non-reference allele, which is A2; the file names no alleles, so they are called 1 and 2"
)


class VcftoolsReader(CallReader):
    """A .012 with its .indv and .pos; all lines are read when it is opened."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        stem = path.name.removesuffix(".gz")
        indv, self._pos = (path.with_name(stem + end) for end in (".indv", ".pos"))
        self.paths += (indv, self._pos)
        self.samples = checked_samples(indv, first_two_columns(indv, "an .indv has a sample ID per line")[0])
        with LineFile(self._pos) as file:
            n_snps = sum(1 for _ in nonblank_lines(file))
        self._rows = SampleRows(options.folder, n_snps)
        try:
            self._read_rows()
        except BaseException:
            self.close()
            raise

    def _read_rows(self) -> None:
        """Read the samples, and compare their number with that of the names."""
        n_samples, n_snps = len(self.samples), self._rows.n_snps
        with LineFile(self.path) as file:
            for line in nonblank_lines(file):
                number, _, cells = line.partition(b"\t" if b"\t" in line else b" ")
                if number != b"%d" % self._rows.n_samples:
                    shown = number.decode("utf-8", "replace")[:20]
                    fact = f"{file.where()}: begins with {shown}, but with the number {self._rows.n_samples} in a .012"
                    raise MalformedInputError(f"{fact}; check the file")
                self._rows.add(RULE.read(cells, f"{file.where()} ({self._pos.name} has {n_snps} SNPs)", n_snps))
        if self._rows.n_samples != n_samples:
            fact = f"{self.path}: {self._rows.n_samples} samples, but {self.paths[1]} has {n_samples}"
            raise InconsistentInputError(f"{fact}; find the .indv of this file")

    def close(self) -> None:
        self._rows.close()

    def blocks(self) -> Iterator[CallBlock]:
        with LineFile(self._pos) as file:
            lines = nonblank_lines(file)
            for _, dosages in self._rows.blocks():
                sites = []
                for _ in range(len(dosages)):
                    if (line := next(lines, None)) is None:
                        raise InconsistentInputError(f"{self._pos}: was changed while it was read; start again")
                    sites.append(_read_site(line, file.where()))
                chromosomes, positions = [name for name, _ in sites], [position for _, position in sites]
                check_names(f"{self._pos}, up to line {with_spaces(file.number)}", chromosomes)
                ids = [f"{name}:{position}" for name, position in sites]
                yield CallBlock(dosages, chromosomes, ids, positions, alleles_of(len(sites)))


def _read_site(line: bytes, where: str) -> tuple[str, int]:
    """Return chromosome and position in a line of a .pos."""
    cells = as_text(line, where).split()
    if len(cells) != 2:
        raise MalformedInputError(f"{where}: {len(cells)} column(s), but a .pos has chromosome and position; check it")
    return cells[0], read_position(cells[1], where)
