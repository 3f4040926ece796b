"""PLINK 2 filesets: .pgen, .pvar and .psam, as packed hard calls, or as numbers where there are dosages.

A1 is ALT and A2 is REF, as in the .bed that plink2 --make-bed makes of them, so a dosage counts REF. The hard calls are
those of this .bed, to the bit. Variants with more than two alleles are left out, and counted in a warning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._checks import check_path, quoted
from lfmm2._typing import AnyPath, Ints, Packed
from lfmm2._words import some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files import CHUNK, FileStamp, OddPositions, open_regular, repeated, stream_tables
from lfmm2.genotypes.allele_survey import AlleleSurvey
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import NumberSource, dosage_matrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.pgen_header import BED, INDEXED, check_numbers, index_path, read_header, read_mode
from lfmm2.genotypes.pgen_reader import PgenCalls, PgenRecords, StoredPgenDosages
from lfmm2.genotypes.plink import BIM_COLUMNS, BedCalls, VariantText, find_text
from lfmm2.genotypes.psam_file import PsamFile
from lfmm2.genotypes.source import GenotypeSource, Reopening, SourceMemory, refuse

ENDING = ".pgen"
# Columns of a .pvar that are read, by their names in a table of variants.
_NAMES = {"CHROM": "CHROM", "POS": "POS", "ID": "ID", "REF": "A2", "ALT": "A1"}
_REMEDY = "split them with bcftools norm -m - before plink2 --vcf … --make-pgen"
_RULE = "a .pvar has columns #CHROM POS ID REF ALT, or without header those of a .bim"


class PgenFile(VariantText, GenotypeSource):
    """Hard calls of a PLINK 2 fileset, which are read as those of a .bed.

    Parameters
    ----------
    path : path
        The .pgen, or the prefix that .pgen, .pvar and .psam share. The latter two may be compressed; where they are
        absent, a .bim and a .fam are taken.

    Attributes
    ----------
    path, bim_path, psam_path : Path
        The .pgen, the .pvar and the .psam.
    header : PgenHeader or None
        None if the .pgen is a .bed.

    Raises
    ------
    UsageError
        If Pgenlib is not installed.
    ReadError
        If a file is absent or cannot be read.
    MalformedInputError, InconsistentInputError
        If a file is damaged, or the files do not belong together.

    Warns
    -----
    InputWarning
        If SNPs are left out, because they have more than two alleles or a negative position, or for faults of the
        .pvar as of a .bim.
    """

    ploidy = 2

    def __init__(self, path: AnyPath) -> None:
        check_path(path, "the fileset")
        self.path = _find_pgen(path)
        stem = self.path.name.removesuffix(ENDING)
        self.bim_path = _find_list(self.path, stem, (".pvar", ".bim"))
        self.psam_path = _find_list(self.path, stem, (".psam", ".fam"))
        self.name = str(self.bim_path)
        with open_regular(self.path) as file:
            self._stamps = [FileStamp(self.path, file), FileStamp(self.bim_path), FileStamp(self.psam_path)]
            self.n_bytes = self._stamps[0].n_bytes
            mode = read_mode(self.path, file.peek(3)[:3])
            self.header = None if mode == BED else read_header(self.path, file, mode, self.n_bytes)
        if mode == INDEXED:
            self._stamps.append(FileStamp(index_path(self.path)))
        self._psam = PsamFile(self.psam_path)
        self.samples = self._psam.samples
        self.n_samples = len(self.samples)
        self.bytes_per_snp = (self.n_samples + 3) // 4
        survey = self._open_bim(self._stamps[1])
        assert isinstance(survey, AlleleSurvey)
        survey.refuse_if_none_is_left(self.name)
        self.n_snps, self.left_out = survey.n_snps, survey.left_out
        self._several = survey.several
        self._records = self._open_records()
        try:
            self.check_unchanged()
        except BaseException:
            self.close()
            raise

    def _open_records(self) -> PgenRecords | PackedBed:
        """Check the .pgen against the lists of samples and SNPs, and open its records."""
        header, (several, n_alleles) = self.header, self._several
        if header is None:
            return PackedBed(self.path, self.n_samples, self.n_snps)
        check_numbers(self.path, header, self.n_samples, self.n_snps, self.psam_path.name, self.bim_path.name)
        if len(unlisted := np.setdiff1d(header.several_alleles, several, assume_unique=True)):
            fact = f"{self.path}: SNP {unlisted[0] + 1} has more than two alleles, but two in {self.bim_path.name}"
            raise InconsistentInputError(f"{fact}; the files do not belong together, find its own")
        return PgenRecords(self.path, header, several, n_alleles, self.check_unchanged)

    def __enter__(self) -> PgenFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the .pgen; the attributes stay."""
        self._records.close()

    def _make_survey(self) -> AlleleSurvey:
        return AlleleSurvey(_REMEDY)

    def _stream_bim(self, chunk_bytes: int = CHUNK, odd: OddPositions | None = None) -> Iterator[pa.Table]:
        """Stream the .pvar from the disk."""
        header = None if ".bim" in self.bim_path.suffixes else self._name_columns
        for table in stream_tables(self.bim_path, _RULE, BIM_COLUMNS.get, chunk_bytes, odd, header):
            self._row_bytes = max(self._row_bytes, table.nbytes // len(table))
            yield table

    def _name_columns(self, cells: list[str]) -> Sequence[str]:
        """Return the names of the columns of a .pvar, in terms of a table of variants, by its header."""
        names = [cells[0].removeprefix("#"), *cells[1:]]
        if names[0] != "CHROM" or not _NAMES.keys() <= set(names):
            fact = f"{self.bim_path}: the last line of the header is {quoted(' '.join(cells))}, but {_RULE}"
            raise MalformedInputError(f"{fact}; correct it")
        if twins := [name for name in repeated(names) if name in _NAMES]:
            raise MalformedInputError(f"{self.bim_path}: repeated columns {some_of(twins)}; leave out one")
        return [_NAMES.get(name, f"column {i}") for i, name in enumerate(names)]

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the files of the fileset, as they were when they were opened."""
        return tuple(self._stamps)

    def check_unchanged(self) -> None:
        """Raise ReadError if a file has changed since it was opened."""
        for stamp in self._stamps:
            stamp.check()

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of a SNP as it is packed, of the texts, and of what Pgenlib holds."""
        of_lists = super().memory
        held = self._records.held_bytes if isinstance(self._records, PgenRecords) else 0
        return replace(of_lists, held_variant_bytes=of_lists.held_variant_bytes + held, reopened_bytes=held)

    def identity(self) -> dict[str, Any]:
        """Return size and time of change of the files, and the SHA-256 of the header, or of a sample of a .bed."""
        records = self._records
        digest = records.sample_digest if isinstance(records, PackedBed) else records.digest
        return super().identity() | {"(.pgen), SHA-256 of header or sample": digest}

    def describe(self) -> dict[str, Any]:
        """Return path, size and shape of the .pgen, and what is read of it."""
        return {
            "pgen": str(self.path),
            "bytes": self.n_bytes,
            "n_samples": self.n_samples,
            "n_snps": self.n_snps,
            "values": "hard calls",
        }

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the .psam by its name: FID, SID, PAT, MAT, SEX, or one of its phenotypes."""
        if (column := self._psam.column(name)) is not None:
            return column
        fact = f"env_by is {quoted(name)}, but {self.psam_path} has no such column"
        raise UsageError(f"{fact}; give one that it has ({some_of(self._psam.names) or 'none beside IID'})")

    def allele_name(self, is_a1: bool) -> str:
        """Return the name of A1, or of A2, as the plan of a run shows the counted one."""
        return f"{'ALT' if is_a1 else 'REF'} of the .pvar"

    def read_packed(self, first_snp: int, packed_out: Packed) -> None:
        """Fill `packed_out`, shape (n_snps_block, bytes_per_snp), with consecutive SNPs from `first_snp` on."""
        self._records.read_packed(first_snp, packed_out)

    def read_snps(self, snps: Ints, packed_out: Packed) -> None:
        """Fill `packed_out` with the SNPs at ascending positions."""
        self._records.read_snps(snps, packed_out)

    def read_dosages(self, samples: Ints, snps: Ints) -> NDArray[np.float32]:
        """Return copies of REF of some samples and SNPs, shape (n_snps_block, n_samples), NaN where missing."""
        assert isinstance(self._records, PgenRecords)
        return self._records.read_dosages(samples, snps)

    def reopening(self) -> Reopening:
        """Return the path of the .pgen with its header, so that no other process reads the .pvar."""
        if self.header is None:
            return Reopening(BedCalls, (str(self.path.absolute()), self.n_samples, self.n_snps))
        return Reopening(PgenCalls, (str(self.path.absolute()), self.header, *self._several))

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


class PgenDosages(NumberSource):
    """Dosages of a PLINK 2 fileset; a SNP without dosages has its hard calls.

    Parameters
    ----------
    fileset : PgenFile
        A fileset with dosages, which is closed with this source.
    """

    ploidy = 2
    dtype = np.dtype(np.float32)

    def __init__(self, fileset: PgenFile) -> None:
        self._fileset = fileset
        self.name, self.samples, self.left_out = fileset.name, fileset.samples, fileset.left_out
        self.n_samples, self.n_snps = fileset.n_samples, fileset.n_snps

    def close(self) -> None:
        """Close the .pgen; the attributes stay."""
        self._fileset.close()

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the .pvar."""
        return self._fileset.iter_variants()

    def read(self, samples: Ints, snps: Ints) -> NDArray[np.float32]:
        """Return copies of REF, shape (n_snps_block, n_samples), NaN where missing."""
        return self._fileset.read_dosages(samples, snps)

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, else an empty text."""
        if option in ("scale", "maf", "geno", "est_thin"):
            fact = f"{option} applies to hard calls, but the dosages of {self._fileset.path} are read"
            return f"{fact}; leave it out, or take its hard calls with --hard-calls"
        return ""

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the files of the fileset, as they were when they were opened."""
        return self._fileset.stamps

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of the texts, and of what Pgenlib holds."""
        return replace(self._fileset.memory, snp_bytes=0)

    def identity(self) -> dict[str, Any]:
        """Return what tells the fileset apart, and that its dosages are read."""
        return self._fileset.identity() | {"(.pgen), values": "dosages"}

    def describe(self) -> dict[str, Any]:
        """Return path, size and shape of the .pgen, and what is read of it."""
        return self._fileset.describe() | {"values": "dosages"}

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the .psam by its name."""
        return self._fileset.sample_column(name)

    def allele_name(self, is_a1: bool) -> str:
        """Return the name of A1, or of A2, as the plan of a run shows the counted one."""
        return self._fileset.allele_name(is_a1)

    def reopening(self) -> Reopening | None:
        """Return the path of the .pgen with its header, so that no other process reads the .pvar."""
        return replace(self._fileset.reopening(), opens=StoredPgenDosages)

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, of copies of REF or, with `count_allele` "a1", of ALT."""
        refuse(self, *(["scale"] if scale is not None else []))
        return dosage_matrix(self, engine, samples, snps, count_allele)


def open_pgen(path: AnyPath, hard_calls: bool = False) -> PgenFile | PgenDosages:
    """Open a PLINK 2 fileset, given by its .pgen or its prefix.

    If it has dosages they are read, as plink2 --glm does, unless its hard calls are asked for; see `PgenFile`.
    """
    fileset = PgenFile(path)
    has_dosages = fileset.header is not None and fileset.header.has_dosages
    return PgenDosages(fileset) if has_dosages and not hard_calls else fileset


def _find_pgen(path: AnyPath) -> Path:
    """Return the path of the .pgen, which may be given without the end of its name."""
    # os.path takes errors of the system for absence; opening the file reports them.
    if (not os.path.exists(path) or os.path.isdir(path)) and os.path.exists(f"{path}{ENDING}"):  # noqa: PTH110, PTH112
        return Path(f"{path}{ENDING}")
    return Path(path)


def _find_list(pgen: Path, stem: str, ends: tuple[str, str]) -> Path:
    """Return the path of the list of SNPs or samples, that of PLINK 2 if there is none, compressed if it is so."""
    found = [find_text(pgen.with_name(stem + end)) for end in ends]
    return next((path for path in found if os.path.lexists(path)), found[0])
