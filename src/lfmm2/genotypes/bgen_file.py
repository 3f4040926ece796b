"""BGEN files: probabilities of genotypes, read as dosages of the second allele.

A1 is the first allele of a variant and A2 the second one, whichever is rarer, and a dosage counts A2. A haploid counts
as two copies, as PLINK takes it. Variants with more than two alleles are left out, and counted in a warning.

Reference: the BGEN specification, versions 1.1 to 1.3.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lfmm2._checks import check_path, quoted
from lfmm2._typing import AnyPath, Ints
from lfmm2._words import some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.files import FileStamp, Samples
from lfmm2.genotypes.allele_survey import AlleleSurvey
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import NumberSource
from lfmm2.genotypes.bgen_layout import Variant, iter_variants, read_layout
from lfmm2.genotypes.bgen_reader import READ_BYTES, BgenDosages
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.fam_file import checked_samples
from lfmm2.genotypes.sample_file import SampleFile
from lfmm2.genotypes.source import VARIANT_SCHEMA, Reopening, SourceMemory, refuse

# Variants of one table, and bytes of all tables up to which they are kept in memory; more are read again when needed.
_TABLE_SNPS, _HELD_BYTES = 1 << 14, 1 << 25
# Bytes of a place in the file.
_PLACE_BYTES = 8
_REMEDY = "split them, as bcftools norm -m - does in the VCF"


class BgenFile(BgenDosages, NumberSource):
    """A BGEN, opened and checked, with its samples; its variants are listed once, their places are kept.

    Parameters
    ----------
    path : path
    sample : path, optional
        The .sample with the IDs of the samples. Without it the BGEN must have them.

    Attributes
    ----------
    path : Path
    layout : BgenLayout

    Raises
    ------
    ReadError
        If a file is absent or cannot be read.
    MalformedInputError
        If the BGEN is damaged, truncated or another format, or the .sample is faulty.
    InconsistentInputError
        If there are no IDs of samples, or those of the .sample do not fit.

    Warns
    -----
    InputWarning
        If SNPs are left out, are not in order or share an ID.
    """

    ploidy = 2

    def __init__(self, path: AnyPath, sample: AnyPath | None = None) -> None:
        check_path(path, "the BGEN")
        self._open(Path(path))
        self.name = str(self.path)
        try:
            self._set_layout(read_layout(self._bytes))
            self._sample_file = None if sample is None else self._open_sample(sample)
            self.samples = self._read_samples()
            survey = AlleleSurvey(_REMEDY)
            self._places = np.empty(self.n_snps, np.int64)
            self._held: list[pa.Table] | None = None
            self._held = self._list_variants(survey)
            survey.refuse_if_none_is_left(self.name)
            self.left_out, self._several = survey.left_out, survey.several[0]
        except BaseException:
            self.close()
            raise

    def _open_sample(self, path: AnyPath) -> SampleFile:
        """Read the .sample."""
        self._stamps.append(FileStamp(path))
        return SampleFile(path)

    def _read_samples(self) -> Samples:
        """Return the samples of the .sample, which must be those of the BGEN, or those of the BGEN itself."""
        ids, listed = self.layout.sample_ids, self._sample_file
        if listed is None:
            if ids is None:
                beside = self.path.with_suffix(".sample")
                example = beside if beside.exists() else "FILE.sample"
                raise InconsistentInputError(f"{self.path}: has no IDs of samples; give them with --sample {example}")
            return checked_samples(self.path, ["0"] * len(ids), ids)
        if len(listed.samples) != self.n_samples:
            fact = f"{self.path}: {with_spaces(self.n_samples)} samples, but {with_spaces(len(listed.samples))} in"
            raise InconsistentInputError(f"{fact} {listed.path}; the files do not belong together, find its own")
        iids = listed.samples.iid
        if ids is not None and tuple(ids) != iids and set(ids) == set(iids):
            row = next(i for i, (one, other) in enumerate(zip(ids, iids, strict=True)) if one != other)
            fact = f"{self.path} has its samples in another order than {listed.path} (sample {row + 1} is {ids[row]}"
            raise InconsistentInputError(f"{fact} and {iids[row]}); give the .sample of this file, or none")
        return listed.samples

    def _list_variants(self, survey: AlleleSurvey) -> list[pa.Table] | None:
        """List the variants once: keep their places, warn of what is doubtful, and return their tables if small."""
        held: list[pa.Table] | None = []
        n_listed = self._table_bytes = 0
        for table, places in self._read_tables():
            self._places[n_listed : n_listed + len(places)] = places
            n_listed += len(places)
            survey.add_order([table])
            survey.add_ids([table])
            self._table_bytes += table.nbytes
            if held is not None:
                held.append(table)
            if self._table_bytes > _HELD_BYTES:
                held = None
        for fact in survey.faults():
            warnings.warn(f"{self.path}: {fact}", InputWarning, stacklevel=4)
        return held

    def _read_tables(self) -> Iterator[tuple[pa.Table, list[int]]]:
        """Read the variants, with the places of their probabilities, in tables."""
        stream = iter_variants(self._bytes, self.layout)
        while variants := list(islice(stream, _TABLE_SNPS)):
            yield _make_table(variants), [variant.place for variant in variants]

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream all SNPs: A1 is the first allele and A2 the second one; further alleles stand in A2 with commas."""
        if self._held is not None:
            yield from self._held
            return
        for table, _ in self._read_tables():
            yield table
        self._stamps[0].check()

    def __enter__(self) -> BgenFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, else an empty text."""
        if option in ("scale", "maf", "geno", "est_thin"):
            fact = f"{option} applies to hard calls, but {self.path} has probabilities, read as dosages"
            return f"{fact}; leave it out, or make a .bed with plink2 --bgen … --make-bed"
        return ""

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the BGEN and the .sample as they were when they were opened."""
        return tuple(self._stamps)

    @property
    def memory(self) -> SourceMemory:
        """Return the bytes of the tables of variants, and of the places of all SNPs."""
        held = 0 if self._held is None else self._table_bytes
        row_bytes = self._table_bytes // self.n_snps
        places = _PLACE_BYTES * self.n_snps
        # Another process holds the places twice: as they were sent, and as an array.
        reopened = 2 * places + READ_BYTES
        return SourceMemory(0, self._table_bytes, held + places + READ_BYTES, row_bytes, reopened)

    def identity(self) -> dict[str, Any]:
        """Return size and time of change of the files, and the SHA-256 of the places of all SNPs."""
        return super().identity() | {"(.bgen), SHA-256 of places": hashlib.sha256(self._places.data).hexdigest()}

    def describe(self) -> dict[str, Any]:
        """Return path, size and shape of the BGEN."""
        sample = None if self._sample_file is None else str(self._sample_file.path)
        return {
            "bgen": str(self.path),
            "sample": sample,
            "bytes": self._bytes.n_bytes,
            "n_samples": self.n_samples,
            "n_snps": self.n_snps,
        }

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the .sample by its name: FID (its ID_1), or one of its variables."""
        listed = self._sample_file
        if listed is None:
            raise UsageError(
                f"env_by is {quoted(name)}, but a BGEN has IDs of samples alone; give --sample FILE.sample"
            )
        if (column := listed.column(name)) is not None:
            return column
        fact = f"env_by is {quoted(name)}, but {listed.path} has no such column"
        raise UsageError(f"{fact}; give one that it has ({some_of(listed.names) or 'none beside IDs'})")

    def allele_name(self, is_a1: bool) -> str:
        """Return the name of A1, or of A2, as the plan of a run shows the counted one."""
        return f"{'first' if is_a1 else 'second'} of the BGEN"

    def reopening(self) -> Reopening:
        """Return the path of the BGEN with the places of all SNPs, which take long to find."""
        layout = replace(self.layout, sample_ids=None)
        return Reopening(BgenDosages, (str(self.path.absolute()), layout, self._places, self._several))

    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, of copies of A2 or, with `count_allele` "a1", of A1."""
        refuse(self, *(["scale"] if scale is not None else []))
        return BgenDosages.matrix(self, engine, samples, snps, count_allele=count_allele)


def _make_table(variants: list[Variant]) -> pa.Table:
    """Return the table of some variants."""
    chromosomes, positions, ids, alleles, _ = zip(*variants, strict=True)
    others = [",".join(names[1:]) for names in alleles]
    columns = [chromosomes, positions, ids, [names[0] for names in alleles], others]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, VARIANT_SCHEMA, strict=True)],
        schema=VARIANT_SCHEMA,
    )


def open_bgen(path: AnyPath, sample: AnyPath | None = None) -> BgenFile:
    """Open a BGEN; see `BgenFile`."""
    return BgenFile(path, sample)
