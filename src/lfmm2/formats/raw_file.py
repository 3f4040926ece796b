"""The .raw of plink --recode A and plink2 --export A: a line per sample, six columns and a number per SNP.

The header names each SNP with the allele that is counted, as ``rs1_A``, or ``rs1_A(/C)`` with the other one too.
Missing calls are NA. Columns such as ``rs1_HET`` of --recode AD are left out. There are no chromosomes and positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lfmm2._checks import quoted
from lfmm2.errors import MalformedInputError
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions, check_names, checked_samples
from lfmm2.formats.cells import CellRule
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.sample_rows import SampleRows
from lfmm2.formats.text_lines import LineFile, as_text, nonblank_lines

HEADER = ("FID", "IID", "PAT", "MAT", "SEX", "PHENOTYPE")
#: The header as bytes.
HEADER_CELLS = [cell.encode() for cell in HEADER]
RULE = CellRule((b"NA",))
COUNTED = (
    "A2 is the allele that the header names and the numbers count; A1 is 0, for unknown, where the header lacks it"
)
_NAME = re.compile(r"(.+)_([^_()/]+)(?:\(/([^()]+)\))?")
# Reason for which columns are left out, as the summary names it.
_HETEROZYGOTES = "columns of heterozygotes"


class RawReader(CallReader):
    """A .raw; all lines are read when it is opened."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        self._rows: SampleRows | None = None
        fid, iid = [], []
        try:
            with LineFile(path) as file:
                lines = nonblank_lines(file)
                header = as_text(next(lines), file.where()).split()
                kept = self._read_names(header[len(HEADER) :], file.where())
                self._rows = SampleRows(options.folder, len(self._names))
                for line in lines:
                    cells = line.split(None, len(HEADER))
                    if len(cells) <= len(HEADER):
                        fact = f"{file.where()}: {len(cells)} column(s), line 1 has {len(header)}"
                        raise MalformedInputError(f"{fact}; the file looks truncated, copy it again")
                    fid.append(as_text(cells[0], file.where()))
                    iid.append(as_text(cells[1], file.where()))
                    dosages = RULE.read(cells[-1], file.where(), len(header) - len(HEADER))
                    self._rows.add(dosages if kept is None else dosages[kept])
            self.samples = checked_samples(path, iid, fid)
        except BaseException:
            self.close()
            raise

    def _read_names(self, names: list[str], where: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        """Read ID and alleles of each SNP; return which columns are SNPs, None if all are."""
        is_snp = np.array([not name.endswith("_HET") for name in names], bool)
        self._names: list[tuple[str, str, str]] = []
        for name, wanted in zip(names, is_snp.tolist(), strict=True):
            if not wanted:
                continue
            if (match := _NAME.fullmatch(name)) is None:
                fact = f"{where}: column {quoted(name)} has no _ and allele at its end, as rs1_A"
                raise MalformedInputError(f"{fact}; write the file with plink --recode A or plink2 --export A")
            self._names.append((match[1], match[3] or "0", match[2]))
        if not self._names:
            raise MalformedInputError(f"{where}: there are no columns of SNPs after {HEADER[-1]}; check the file")
        if is_snp.all():
            return None
        self.leave_out(_HETEROZYGOTES, int((~is_snp).sum()))
        return is_snp

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()

    def blocks(self) -> Iterator[CallBlock]:
        assert self._rows is not None
        for first, dosages in self._rows.blocks():
            names = self._names[first : first + len(dosages)]
            check_names(f"{self.path}, line 1", [part for name in names for part in name])
            alleles = [(other, counted) for _, other, counted in names]
            yield CallBlock(dosages, ["0"] * len(names), [name for name, _, _ in names], [0] * len(names), alleles)
