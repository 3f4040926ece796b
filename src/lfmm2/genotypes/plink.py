"""PLINK 1 binary filesets: open, check, stream the variants, select samples and SNPs.

A .bim may have 1e9 lines, so a large one is only streamed. Code 00 is two copies of A1, so a dosage counts A2.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath, Ints
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InputWarning, ReadError
from lfmm2.files import CHUNK, COMPRESSED_ENDS, FileStamp, OddPositions, open_text, stream_tables
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.fam_file import fam_column, read_fam, read_fam_column
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.source import NO_ID, GenotypeSource, Reopening, SourceMemory

# Largest .bim, in bytes, that is parsed once and kept in memory, where it takes about twice this size. A larger one is
# read again whenever its variants are needed.
_HELD_BIM = 1 << 24
# Groups of IDs searched for repeats one after the other. A hash table takes about 60 bytes an ID, so with fewer
# groups it is larger; each group reads all IDs once more.
_ID_GROUPS = 16
# Names of the columns of a .bim, by their number; a .bim may lack the genetic position.
_BIM_COLUMNS = {6: ("CHROM", "ID", "CM", "POS", "A1", "A2"), 5: ("CHROM", "ID", "POS", "A1", "A2")}


class _VariantSurvey:
    """Number of SNPs in a .bim, and what is legal but probably a mistake: SNPs out of order, repeated IDs.

    Attributes
    ----------
    n_snps : int
    odd : OddPositions
        Positions that are not written as whole numbers.
    """

    def __init__(self) -> None:
        self.n_snps = 0
        self.odd = OddPositions()
        self._left_out: list[Ints] = []
        self._left_out_ids: list[str] = []
        self._n_parts = 0
        self._chromosomes: set[str] = set()
        self._last: tuple[str, int] = ("", 0)
        self._disorder: str | None = None
        self._n_repeated = 0
        self._repeated: list[str] = []

    def add(self, tables: list[pa.Table]) -> None:
        """Add the next SNPs, in tables whose columns have one chunk each; IDs are compared within one call only."""
        for table in tables:
            self._find_left_out(table)
            if self._disorder is None:
                self._disorder = self._find_disorder(table["CHROM"].chunk(0), table["POS"].to_numpy())
            self.n_snps += table.num_rows
        self._find_repeats([table["ID"].chunk(0) for table in tables])
        self._n_parts += 1

    def _find_repeats(self, chunks: list[pa.Array]) -> None:
        """Count the IDs that occur more than once, in groups by their last byte (see `_ID_GROUPS`)."""
        groups = [_last_bytes(ids) % _ID_GROUPS for ids in chunks]
        for group in range(_ID_GROUPS):
            ids = pa.chunked_array([c.filter(pa.array(g == group)) for c, g in zip(chunks, groups, strict=True)])
            if len(pc.unique(ids)) < len(ids):
                counts = pc.value_counts(ids.filter(pc.not_equal(ids, NO_ID)))
                names = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
                self._n_repeated += len(names)
                self._repeated += names[:6].to_pylist()

    def _find_left_out(self, table: pa.Table) -> None:
        """Add the SNPs with a negative position, which PLINK leaves out."""
        rows = np.flatnonzero(table["POS"].to_numpy() < 0)
        if len(rows):
            self._left_out.append(self.n_snps + rows)
            self._left_out_ids += table["ID"].take(rows[:6]).to_pylist()

    @property
    def left_out(self) -> Ints | None:
        """Return the ascending positions in the .bim of the SNPs that are left out; None if there are none."""
        return np.concatenate(self._left_out) if self._left_out else None

    def _find_disorder(self, chromosomes: pa.Array, positions: NDArray[np.int64]) -> str | None:
        """Describe the first line where a chromosome comes again, or else where positions fall; None if in order.

        SNPs that are left out do not count.
        """
        lines = self.n_snps + 1 + np.flatnonzero(positions >= 0)
        if len(lines) < len(positions):
            chromosomes, positions = chromosomes.filter(pa.array(positions >= 0)), positions[positions >= 0]
        if not len(lines):
            return None
        changed = pc.not_equal(chromosomes[1:], chromosomes[:-1]).to_numpy(zero_copy_only=False)
        starts = np.append(0, np.flatnonzero(changed) + 1)
        name, last_position = self._last
        for start, chromosome in zip(starts.tolist(), chromosomes.take(starts).to_pylist(), strict=True):
            if chromosome != name and chromosome in self._chromosomes:
                return f"line {lines[start]}: chromosome {chromosome} comes again after {name}"
            self._chromosomes.add(chromosome)
            name = chromosome
        falls = np.append(
            chromosomes[0].as_py() == self._last[0] and positions[0] < last_position, np.diff(positions) < 0
        )
        falls[starts[1:]] = False
        self._last = name, int(positions[-1])
        if not falls.any():
            return None
        row = int(np.argmax(falls))
        fall = f"position {positions[row]} after {positions[row - 1] if row else last_position}"
        return f"line {lines[row]}: {fall} on chromosome {chromosomes[row]}"

    def faults(self) -> list[str]:
        """Return a sentence for each fault that was found."""
        found = []
        if (left_out := self.left_out) is not None:
            fact = f"{counted(len(left_out), 'SNP')} with a negative position ({some_of(self._left_out_ids)})"
            found.append(f"{fact}, left out as PLINK does; give positions from 0 on to use them")
        if sentence := self.odd.sentence():
            found.append(sentence)
        if self._disorder:
            found.append(f"is not sorted ({self._disorder}); results keep its order, PLINK 1.9 --make-bed sorts it")
        if self._repeated:
            least = "at least " if self._n_parts > 1 else ""
            number = f"{least}{with_spaces(self._n_repeated)} IDs stand for several SNPs"
            found.append(f"{number} ({some_of(self._repeated)}); results have them as they are, lists cannot name them")
        return found


def _last_bytes(strings: pa.Array) -> NDArray[np.uint8]:
    """Return the last byte of each string, none of which is empty or null."""
    _, offsets, text = strings.buffers()
    ends = np.frombuffer(offsets, np.int32)[strings.offset + 1 : strings.offset + len(strings) + 1]
    last: NDArray[np.uint8] = np.frombuffer(text, np.uint8)[ends - 1]
    return last


class BedCalls(PackedBed):
    """A .bed of known shape without its .bim and .fam, as a process opens it that another has told the shape."""

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


class BedFile(BedCalls, GenotypeSource):
    """An open PLINK fileset; its .bim and .fam are checked in full, its .bed by size and by a sample of SNPs.

    Where there is no .bim, its compressed form is read: .bim.zst, as PLINK 2 writes it, .bim.gz or .bim.bz2; so is that
    of the .fam.

    Parameters
    ----------
    path : path
        The .bed, or the prefix that .bed, .bim and .fam share.

    Attributes
    ----------
    path, bim_path, fam_path : Path
    samples : Samples
        FID and IID of all samples.
    n_samples, n_snps, bytes_per_snp, n_bytes, name
        As of `PackedBed` and `GenotypeSource`.
    ploidy : int
        2: the hard calls of a .bed are of diploids.

    Raises
    ------
    ReadError
        If a file is absent, unreadable or not a regular file.
    MalformedInputError
        If the .bed has another format or a size that is no whole number of SNPs, or the .bim or .fam is faulty.
    InconsistentInputError
        If the .bed has a whole number of SNPs, but not that of the .bim; or if two samples have the same IDs.

    Warns
    -----
    InputWarning
        If the .bim is not sorted, repeats IDs, or has positions below 0 or with decimals; or as `PackedBed`. A .bim of
        up to 16 MB is searched as a whole for repeats, a larger one in pieces of 4 MB.
    """

    ploidy = 2

    def __init__(self, path: AnyPath) -> None:
        check_path(path, "the fileset")
        given = Path(path)
        # os.path takes errors of the system for absence; opening the file reports them.
        if (not os.path.exists(path) or os.path.isdir(path)) and os.path.exists(f"{path}.bed"):  # noqa: PTH110, PTH112
            given = Path(f"{path}.bed")
        self._open(given)
        stem = self.path.name.removesuffix(".bed")  # and no more: the .bim of x.chr1.bed is x.chr1.bim
        self.bim_path, self.fam_path = (_find_text(self.path.with_name(stem + end)) for end in (".bim", ".fam"))
        self.name = str(self.bim_path)
        try:
            bim_stamp = FileStamp(self.bim_path)
            self._stamps += [bim_stamp, FileStamp(self.fam_path)]
            self.samples = read_fam(self.fam_path)
            self._held: list[pa.Table] | None = None
            self._row_bytes = 0
            with open_text(self.bim_path) as file:
                self._unpacking_bytes = file.held_bytes
            self._text_bytes = bim_stamp.n_bytes
            survey = self._survey_bim(is_held=bim_stamp.n_bytes <= _HELD_BIM)
            self.left_out = survey.left_out
            self._set_shape(len(self.samples), survey.n_snps, self.fam_path.name, self.bim_path.name)
        except BaseException:
            self.close()
            raise

    def _survey_bim(self, is_held: bool) -> _VariantSurvey:
        """Count the SNPs, and warn of what is doubtful; a .bim that is held is searched for repeats as a whole.

        A compressed .bim may turn out to be too large to be held.
        """
        survey = _VariantSurvey()
        held: list[pa.Table] | None = [] if is_held else None
        n_bytes = 0
        for table in self._stream_bim(odd=survey.odd):
            n_bytes += table.nbytes
            if held is None:
                survey.add([table])
                continue
            held.append(table)
            if self._unpacking_bytes and n_bytes > 2 * _HELD_BIM:
                survey.add(held)
                held = None
        if held is not None:
            survey.add(held)
        self._held = held
        if self._unpacking_bytes:
            self._text_bytes = n_bytes
        for fact in survey.faults():
            warnings.warn(f"{self.bim_path}: {fact}", InputWarning, stacklevel=4)
        return survey

    def _stream_bim(self, chunk_bytes: int = CHUNK, odd: OddPositions | None = None) -> Iterator[pa.Table]:
        """Stream the .bim from the disk."""
        rule = "a .bim has 6 columns, or 5 without the genetic position"
        for table in stream_tables(self.bim_path, rule, _BIM_COLUMNS.get, chunk_bytes, odd):
            self._row_bytes = max(self._row_bytes, table.nbytes // len(table))
            yield table

    def iter_variants(self, chunk_bytes: int = CHUNK) -> Iterator[pa.Table]:
        """Stream the .bim as tables of CHROM, POS, ID, A1 and A2, each parsed from about `chunk_bytes` of text.

        Raises
        ------
        ReadError
            If the .bim has changed since the fileset was opened.
        """
        if self._held is not None:
            yield from self._held
            return
        n_snps = 0
        for table in self._stream_bim(chunk_bytes):
            n_snps += table.num_rows
            yield table
        if n_snps != self.n_snps:
            raise ReadError(f"{self.bim_path}: {self.n_snps} SNPs when opened, {n_snps} now; start again")
        self._stamps[1].check()

    def variants(self) -> pa.Table:
        """Return the whole .bim as one table, which may take much memory; `iter_variants` streams it."""
        return pa.concat_tables(self.iter_variants())

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of a SNP in the .bed and of the .bim, whose tables take about twice its text."""
        times = 1 if self._unpacking_bytes else 2  # Of a compressed .bim, the bytes of the tables are known.
        n_held = 0 if self._held is None else times * self._text_bytes
        return SourceMemory(self.bytes_per_snp, self._text_bytes, n_held + self._unpacking_bytes, self._row_bytes)

    def identity(self) -> dict[str, Any]:
        """Return size and time of change of the files, and the SHA-256 of a sample of the SNPs of the .bed."""
        return super().identity() | {"(.bed), SHA-256 of sampled SNPs": self.sample_digest}

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the .fam: FID, PAT, MAT, SEX or PHENO1, and PHENO2 and so on where there are more."""
        column = fam_column(name)
        if column is None or column == 0:
            return super().sample_column(name)
        return read_fam_column(self.fam_path, name, column)

    def describe(self) -> dict[str, Any]:
        """Return path, size and shape of the .bed."""
        return {
            "bed": str(self.path),
            "bytes": self.n_bytes,
            "n_samples": self.n_samples,
            "n_snps": self.n_snps,
        }

    def reopening(self) -> Reopening:
        """Return the path of the .bed with its shape, so that no other process reads the .bim."""
        return Reopening(BedCalls, (str(self.path.absolute()), self.n_samples, self.n_snps))


def _find_text(path: Path) -> Path:
    """Return the path of a .bim or .fam, or of its compressed form where that alone is there."""
    if not os.path.lexists(path):
        for end in COMPRESSED_ENDS:
            if os.path.lexists(packed := path.with_name(path.name + end)):
                return packed
    return path


def open_bed(path: AnyPath) -> BedFile:
    """Open a PLINK 1 fileset, given by its .bed or its prefix; see `BedFile`."""
    return BedFile(path)
