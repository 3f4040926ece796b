"""PLINK 1 binary filesets: open, check, stream the variants, select samples and SNPs.

A .bim may have 1e9 lines, so a large one is only streamed. Code 00 is two copies of A1, so a dosage counts A2.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath, Ints
from lfmm2.errors import InputWarning, ReadError
from lfmm2.files import CHUNK, COMPRESSED_ENDS, FileStamp, OddPositions, Samples, open_text, stream_tables
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.fam_file import fam_column, read_fam, read_fam_column
from lfmm2.genotypes.packed_bed import _FEWEST_SNPS_FOR_WARNING, _SAMPLED_SNPS, PackedBed
from lfmm2.genotypes.source import GenotypeSource, Reopening, SourceMemory
from lfmm2.genotypes.variant_survey import VariantSurvey

# Largest .bim, in bytes, that is parsed once and kept in memory, where it takes about twice this size. A larger one is
# read again whenever its variants are needed.
_HELD_BIM = 1 << 24
# Most .bed files of one source that stay open: more could reach the limit of the system on open files. Opening a file
# again for each block takes far less time than reading the block.
_MOST_OPEN = 64
#: Ends of the name of a .bed, as it is and compressed, in the order in which they are looked for behind a prefix.
BED_ENDS = (".bed", ".bed.zst")
#: Names of the columns of a .bim, by their number; a .bim may lack the genetic position.
BIM_COLUMNS = {6: ("CHROM", "ID", "CM", "POS", "A1", "A2"), 5: ("CHROM", "ID", "POS", "A1", "A2")}


class OpenedTogether:
    """What filesets that are opened one after the other, to be read as one, share.

    Parameters
    ----------
    beds : sequence of Path
        Names of the .bed files.
    survey : VariantSurvey, optional
        The survey that their SNPs are added to.

    Attributes
    ----------
    survey : VariantSurvey
        Faults of all lists of SNPs together.
    holds_variants : bool
        True if the .bim files are small enough, together, to be held in memory.
    stay_open : bool
        False if so many .bed files are not open at once.
    n_sampled : int
        SNPs of each .bed whose pad bits are checked when it is opened.
    held_bytes : int
        Bytes of the tables of SNPs that are held in memory so far.
    """

    def __init__(self, beds: Sequence[Path], survey: VariantSurvey | None = None) -> None:
        self.survey = survey or VariantSurvey()
        self.holds_variants = sum(_n_bytes(find_text(_beside(bed, ".bim"))) for bed in beds) <= _HELD_BIM
        self.stay_open = len(beds) <= _MOST_OPEN
        self.n_sampled = max(_SAMPLED_SNPS // max(len(beds), 1), _FEWEST_SNPS_FOR_WARNING)
        self.held_bytes = 0
        self._held: list[pa.Table] = []
        self._samples: dict[bytes, Samples] = {}

    def read_samples(self, fam: Path) -> Samples:
        """Read a .fam; of several with the same bytes, one table of samples is made."""
        with open_text(fam) as file:
            try:
                digest = hashlib.file_digest(file, "sha256").digest()
            except OSError as error:
                raise ReadError(f"{fam}: {error.strerror}; check the disk") from error
        if digest not in self._samples:
            self._samples[digest] = read_fam(fam)
        return self._samples[digest]

    def add_tables(self, tables: list[pa.Table], are_held: bool) -> None:
        """Add lists of SNPs to the survey; IDs are compared with those of other tables that are held."""
        self.survey.add_order(tables)
        if are_held:
            self._held += tables
            self.held_bytes += sum(table.nbytes for table in tables)
        else:
            self.survey.add_ids(tables)

    def warn_of_faults(self, name: str) -> None:
        """Warn of what is doubtful in the lists of SNPs of all filesets, which `name` stands for."""
        if self._held:
            self.survey.add_ids(self._held)
        self._held = []
        for fact in self.survey.faults():
            warnings.warn(f"{name}: {fact}", InputWarning, stacklevel=5)


class VariantText:
    """The text that lists the variants of a fileset, a .bim or .pvar: streamed, or held if it is small.

    Attributes
    ----------
    bim_path : Path
    n_snps : int
        Number of its SNPs, which the fileset has.
    unpacking_bytes : int
        Bytes of memory that its unpacking takes; 0 if it is not compressed.
    """

    bim_path: Path
    n_snps: int
    bytes_per_snp: int
    unpacking_bytes: int
    _stamps: list[FileStamp]
    _held: list[pa.Table] | None
    _text_bytes: int
    _row_bytes: int

    def _open_bim(self, stamp: FileStamp, together: OpenedTogether | None = None) -> VariantSurvey:
        """Read all of the text once, and return what was found; its stamp is the second of the fileset."""
        self._held = None
        self._row_bytes = 0
        with open_text(self.bim_path) as file:
            self.unpacking_bytes = file.held_bytes
        self._text_bytes = stamp.n_bytes
        return self._survey_bim(stamp.n_bytes <= _HELD_BIM, together)

    def _make_survey(self) -> VariantSurvey:
        """Return the survey that the SNPs are added to."""
        return VariantSurvey()

    def _survey_bim(self, is_held: bool, together: OpenedTogether | None) -> VariantSurvey:
        """Count the SNPs, and warn of what is doubtful; a .bim that is held is searched for repeats as a whole.

        A compressed .bim may turn out to be too large to be held.
        """
        group = OpenedTogether([], self._make_survey()) if together is None else together
        survey = group.survey
        if together is not None:
            survey.begin_file(self.bim_path.name)
            is_held = group.holds_variants
        held: list[pa.Table] | None = [] if is_held else None
        n_bytes = 0
        for table in self._stream_bim(odd=survey.odd):
            n_bytes += table.nbytes
            if held is None:
                group.add_tables([table], are_held=False)
                continue
            held.append(table)
            if self.unpacking_bytes and group.held_bytes + n_bytes > 2 * _HELD_BIM:
                group.add_tables(held, are_held=False)
                held = None
        if held is not None:
            group.add_tables(held, are_held=True)
        self._held = held
        if self.unpacking_bytes:
            self._text_bytes = n_bytes
        if together is None:
            group.warn_of_faults(str(self.bim_path))
        return survey

    def _stream_bim(self, chunk_bytes: int = CHUNK, odd: OddPositions | None = None) -> Iterator[pa.Table]:
        """Stream the .bim from the disk."""
        rule = "a .bim has 6 columns, or 5 without the genetic position"
        for table in stream_tables(self.bim_path, rule, BIM_COLUMNS.get, chunk_bytes, odd):
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
        n_held = self.held_bytes + self.unpacking_bytes
        return SourceMemory(self.bytes_per_snp, self._text_bytes, n_held, self._row_bytes)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of the tables of SNPs that are held in memory; 0 if the .bim is streamed."""
        times = 1 if self.unpacking_bytes else 2  # Of a compressed .bim, the bytes of the tables are known.
        return 0 if self._held is None else times * self._text_bytes


class BedCalls(PackedBed):
    """A .bed of known shape without its .bim and .fam, as a process opens it that another has told the shape.

    Parameters
    ----------
    path, n_samples, n_snps
        As of `PackedBed`.
    n_sampled : int, optional
        SNPs whose pad bits are checked.
    stays_open : bool
        False to open the file for each reading, as one of very many.
    """

    def __init__(
        self, path: AnyPath, n_samples: int, n_snps: int, n_sampled: int | None = None, stays_open: bool = True
    ) -> None:
        self._n_sampled = n_sampled
        super().__init__(path, n_samples, n_snps)
        if not stays_open:
            self.open_when_read()

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


class BedFile(VariantText, BedCalls, GenotypeSource):
    """An open PLINK fileset; its .bim and .fam are checked in full, its .bed by size and by a sample of SNPs.

    Where there is no .bim, its compressed form is read: .bim.zst, as PLINK 2 writes it, .bim.gz or .bim.bz2; so is that
    of the .fam. The .bed may be a .bed.zst of `lfmm2.pack`; its unpacked bytes are those of the .bed.

    Parameters
    ----------
    path : path
        The .bed or .bed.zst, or the prefix that it shares with .bim and .fam.
    together : OpenedTogether, optional
        What this fileset shares with others that are read as one with it; it then warns of faults of the .bim.

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

    def __init__(self, path: AnyPath, together: OpenedTogether | None = None) -> None:
        check_path(path, "the fileset")
        self._open(find_bed(path))
        self.bim_path, self.fam_path = (find_text(_beside(self.path, end)) for end in (".bim", ".fam"))
        self.name = str(self.bim_path)
        try:
            bim_stamp = FileStamp(self.bim_path)
            self._stamps += [bim_stamp, FileStamp(self.fam_path)]
            self.samples = read_fam(self.fam_path) if together is None else together.read_samples(self.fam_path)
            survey = self._open_bim(bim_stamp, together)
            self._n_sampled = None if together is None else together.n_sampled
            self.left_out = survey.left_out
            self._set_shape(len(self.samples), survey.n_snps, self.fam_path.name, self.bim_path.name)
            if together is not None and not together.stay_open:
                self.open_when_read()
        except BaseException:
            self.close()
            raise

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of a SNP in the file and of the .bim, and what is held of both."""
        of_text = super().memory
        held = of_text.held_variant_bytes + self._stored.held_bytes
        return replace(of_text, snp_bytes=self.stored_snp_bytes, held_variant_bytes=held)

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
            "bytes": self._stamps[0].n_bytes,
            "n_samples": self.n_samples,
            "n_snps": self.n_snps,
        }

    def reopening(self) -> Reopening:
        """Return the path of the .bed with its shape, so that no other process reads the .bim."""
        shape = self.n_samples, self.n_snps
        return Reopening(BedCalls, (str(self.path.absolute()), *shape, self._n_sampled, self._stored.stays_open))


def find_bed(path: AnyPath) -> Path:
    """Return the path of a .bed that is given by its name or its prefix; a .bed.zst where that alone is there."""
    # os.path takes errors of the system for absence; opening the file reports them.
    if not os.path.exists(path) or os.path.isdir(path):  # noqa: PTH110, PTH112
        name = os.fspath(path)
        ends = (*BED_ENDS, *([".zst"] if name.endswith(".bed") else []))
        return next((Path(name + end) for end in ends if os.path.exists(name + end)), Path(name))  # noqa: PTH110
    return Path(path)


def _beside(bed: Path, end: str) -> Path:
    """Return the path of the .bim or .fam of a .bed."""
    # Only one end is taken away, and no more: the .bim of x.chr1.bed is x.chr1.bim.
    known = next((known for known in BED_ENDS if bed.name.endswith(known)), "")
    return bed.parent / (bed.name.removesuffix(known) + end)


def _n_bytes(path: Path) -> int:
    """Return the size of a file; 0 if there is none, which is told when it is opened."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def find_text(path: Path) -> Path:
    """Return the path of a .bim or .fam, or of its compressed form where that alone is there."""
    if not os.path.lexists(path):
        for end in COMPRESSED_ENDS:
            if os.path.lexists(packed := path.with_name(path.name + end)):
                return packed
    return path


def open_bed(path: AnyPath) -> BedFile:
    """Open a PLINK 1 fileset, given by its .bed or its prefix; see `BedFile`."""
    return BedFile(path)
