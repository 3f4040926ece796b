"""Where genotypes come from: all that the program asks of a fileset, an array, or a format that you add.

A *source* knows its samples, streams its variants and gives a *matrix* with three verbs (matrix.py). Code above this
folder sees a `GenotypeSource` and never asks which kind it is; source_kinds.py alone knows the kinds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._checks import quoted
from lfmm2._html import html_facts, html_table
from lfmm2._typing import Floats, Ints, Packed
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, ReadError, UsageError
from lfmm2.files import COMPRESSED_ENDS, FileStamp, Samples, recut, repeated
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.matrix import GenotypeMatrix

VARIANT_SCHEMA = pa.schema(
    [("CHROM", pa.string()), ("POS", pa.int64()), ("ID", pa.string()), ("A1", pa.string()), ("A2", pa.string())]
)
# Samples and SNPs that a notebook shows.
SHOWN_ROWS = 5
# Text that PLINK writes as the ID of a SNP without an ID.
NO_ID = "."
# Fewest and most IDs of the source that are searched at a time; between them, as many as there are wanted IDs. Arrow
# hashes the wanted IDs again each time, so smaller numbers are slower; a column of Arrow holds at most 2 GB of text, so
# a much larger upper limit would fail.
COMPARED_IDS, MOST_COMPARED_IDS = 1 << 17, 1 << 23

# Bytes of IDs from which on fewer are searched at a time, unless the wanted IDs take more, for the sake of long IDs.
COMPARED_BYTES = 1 << 22


@dataclass(frozen=True)
class SourceMemory:
    """Sizes in bytes from which the plan of a run computes memory and reading.

    Attributes
    ----------
    snp_bytes : int
        Bytes that are read for one SNP of all samples, where genotypes are packed; 0 where they are numbers.
    variant_bytes : int
        Bytes of the text that lists the variants, which is read in pieces.
    held_variant_bytes : int
        Bytes of the tables of variants that the source keeps in memory while it is open.
    row_bytes : int
        Bytes of a variant in its table where the text is longest, as an average over a piece.
    disk_bytes : int
        Bytes of temporary files that the source keeps on the disk while it is open.
    reopened_bytes : int
        Bytes that another process holds while it has the genotypes open by `GenotypeSource.reopening`.
    """

    snp_bytes: int = 0
    variant_bytes: int = 0
    held_variant_bytes: int = 0
    row_bytes: int = 0
    disk_bytes: int = 0
    reopened_bytes: int = 0


class OpenCalls(Protocol):
    """Genotypes that another process has opened again: all that it needs of a source."""

    def matrix(
        self, engine: Engine, samples: Ints, snps: Ints | None, *, scale: str | None = ..., count_allele: str = ...
    ) -> GenotypeMatrix:
        """Return the matrix of some samples and SNPs, as `GenotypeSource.matrix`."""

    def close(self) -> None:
        """Close the files."""


@dataclass(frozen=True)
class Reopening:
    """How another process opens the genotypes of a source, without its tables of samples and variants.

    Attributes
    ----------
    opens : callable
        A function or class of a module, which pickle finds by its name.
    arguments : tuple
        What it is called with: paths, numbers, and places in the file that would take long to find again.
    """

    opens: Callable[..., OpenCalls]
    arguments: tuple[Any, ...]


@runtime_checkable
class GenotypeSource(Protocol):
    """Genotypes of n samples at p SNPs, not yet read.

    To add a format, derive a class from this one (or from `NumberSource`, which needs only `read`), set the first four
    attributes, write `iter_variants`, `matrix`, `ploidy` if it is known and, where there are no files, `identity`, and
    name the class in source_kinds.py. `lfmm2.testing.check_genotype_source` tells whether it keeps the rules.

    Attributes
    ----------
    name : str
        Name in messages of the place where the SNPs are listed: a path, or a few words.
    n_samples, n_snps : int
        Numbers of all samples and SNPs.
    samples : Samples
        IDs of all samples, in the order of the genotypes; no two share FID and IID.
    has_ids : bool
        False if samples are only numbered, so that variables are matched to them by order.
    left_out : ndarray of int64 or None
        Ascending positions of SNPs that no run uses, such as those with a negative position in a .bim; None for none.
    """

    name: str
    n_samples: int
    n_snps: int
    samples: Samples
    has_ids: bool = True
    left_out: Ints | None = None

    @abstractmethod
    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream all SNPs in order, as tables of CHROM, POS (int64), ID, A1 and A2; each call begins anew.

        The ID "." stands for a SNP without an ID, and POS 0 for one without a position, which is then drawn in the
        order of the SNPs and near no other one. Results name A2 as the allele that dosages count.
        """

    @abstractmethod
    def matrix(
        self,
        engine: Engine,
        samples: Ints,
        snps: Ints | None,
        *,
        scale: str | None = None,
        count_allele: str = "a2",
    ) -> GenotypeMatrix:
        """Return the matrix of some samples and SNPs; nothing is read before one of its verbs is called.

        Parameters
        ----------
        engine : Engine
        samples : ndarray of int64
            Rows to use, counted from 0, in the order wanted.
        snps : ndarray of int64 or None
            Ascending positions of the SNPs to use, counted from 0; None for all.
        scale : {None, "hwe"}
            "hwe" divides a SNP by sqrt(2f(1-f)), where f is the frequency of an allele.
        count_allele : {"a2", "a1"}
            The allele that a dosage counts.

        Raises
        ------
        UsageError
            If an option is given for which `refusal` returns a sentence.

        Notes
        -----
        Where hard calls are packed as in a .bed, the matrix is also a `PackedMatrix`, and SNPs can be filtered and
        thinned.
        """

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the table of samples by its name, a text for each sample: FID, or another of the format.

        Raises
        ------
        UsageError
            If the samples have no such column; none have where `has_ids` is False.
        """
        if self.has_ids and name.upper() == "FID":
            return self.samples.fid
        fact = f"env_by is {quoted(name)}, but the samples of the genotypes have no such column"
        if not self.has_ids:
            raise UsageError(f"{fact}, because they are only numbered; give one row for each sample without it")
        raise UsageError(f"{fact}; give FID, or another column that they have")

    def refusal(self, option: str) -> str:
        """Return a sentence that tells why an option does not apply to these genotypes; empty if it applies.

        `option` is a parameter of `lfmm2.run`: "scale", "count_allele", "maf", "geno", "est_thin", "extract",
        "exclude" or "est_extract".
        """
        return ""

    def allele_name(self, is_a1: bool) -> str:
        """Return the name of A1, or of A2, as the plan of a run shows the counted one."""
        return f"{'A1' if is_a1 else 'A2'} of the .bim"

    @property
    def ploidy(self) -> int | None:
        """Return the number of alleles that a dosage counts at most: 2 of diploids.

        None if it is not known, or if the numbers are no dosages. Results then have no frequencies of alleles.
        """
        return None

    @property
    def noun(self) -> str:
        """Return what messages call a column of the genotypes: "SNP", or "feature" where these are no dosages."""
        return "SNP"

    def __repr__(self) -> str:
        size = f"{counted(self.n_samples, 'sample')} × {counted(self.n_snps, self.noun)}"
        return f"<{type(self).__name__}: {self.name}, {size}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: sizes, files, and the first samples and SNPs; no genotype is read."""
        facts: dict[str, object] = {
            "samples": with_spaces(self.n_samples),
            f"{self.noun}s": with_spaces(self.n_snps),
            "first samples": ", ".join(self.samples.iid[:SHOWN_ROWS]) if self.has_ids else "only numbered",
        }
        facts |= {stamp.path.name: f"{with_spaces(stamp.n_bytes)} bytes" for stamp in self.stamps}
        first = next(self.iter_variants(), VARIANT_SCHEMA.empty_table()).slice(0, SHOWN_ROWS)
        rows = zip(*(column.to_pylist() for column in first.columns), strict=True)
        return html_facts(f"Genotypes: {self.name}", facts) + html_table(first.column_names, rows)

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the files that hold the genotypes, as they were when they were opened."""
        return ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that a run must not overwrite and that its record lists."""
        return tuple(stamp.path for stamp in self.stamps)

    @property
    def memory(self) -> SourceMemory:
        """Return the sizes that the plan of a run needs."""
        return SourceMemory()

    def identity(self) -> dict[str, Any]:
        """Return facts, as values of JSON, by which a resumed run recognises the same genotypes.

        By default these are size and time of change of the files. A source without files must return other facts.
        """
        kinds = {_kind_of(stamp.path): stamp for stamp in self.stamps}
        return {
            **{f"({kind}), bytes": stamp.n_bytes for kind, stamp in kinds.items()},
            **{f"({kind}), time of change in ns": stamp.mtime_ns for kind, stamp in kinds.items()},
        }

    def reopening(self) -> Reopening | None:
        """Return how other processes open these genotypes by their paths; None if they cannot."""
        return None

    def describe(self) -> dict[str, Any]:
        """Return the description of the source in the record of a run, as values of JSON."""
        return {"source": self.name, "n_samples": self.n_samples, "n_snps": self.n_snps}

    def summary(self) -> str:
        """Return in words which filesets are read as one, for the plan and the log of a run; empty for a single one."""
        return ""

    def find(self, ids: Collection[str]) -> tuple[Ints, int]:
        """Find SNPs by ID.

        Returns
        -------
        snps : ndarray of int64
            Their ascending positions. The ID "." is never found, since it stands for SNPs without an ID.
        n_absent : int
            Number of the IDs that were not found.

        Raises
        ------
        InconsistentInputError
            If several SNPs have one of these IDs.
        """
        wanted = pa.array(set(ids), pa.string())
        searched = wanted.filter(pc.not_equal(wanted, NO_ID))
        found: list[Ints] = [np.empty(0, np.int64)]
        found_ids: list[str] = []
        first_snp = 0
        n_compared = min(max(COMPARED_IDS, len(wanted)), MOST_COMPARED_IDS)
        tables = (table.select(["ID"]) for table in self.iter_variants())
        for table in recut(tables, n_compared, max(COMPARED_BYTES, wanted.nbytes)):
            rows = np.flatnonzero(pc.is_in(table["ID"], value_set=searched).to_numpy())
            found.append(first_snp + rows)
            found_ids += table["ID"].take(rows).to_pylist()
            first_snp += table.num_rows
        if repeats := repeated(found_ids):
            raise InconsistentInputError(f"{self.name}: repeated {self.noun} IDs {some_of(repeats)}; rename them")
        return np.concatenate(found), len(wanted) - len(found_ids)

    def close(self) -> None:
        """Close the files; the attributes stay valid."""
        return


@runtime_checkable
class PackedMatrix(GenotypeMatrix, Protocol):
    """Hard calls, two bits each as in a .bed: SNPs can be counted and compared without decoding them."""

    def call_rates(self, label: str = ...) -> Iterator[tuple[Ints, Floats]]:
        """Yield the number of called samples and the mean dosage of every SNP, by blocks."""

    def footprint_of_packed_blocks(self) -> Footprint:
        """Return the memory of blocks that are not decoded."""

    def packed_blocks(self, label: str, work: Footprint) -> Iterator[tuple[int, Packed]]:
        """Yield first SNP and packed calls of blocks that are not decoded; see `BedMatrix.packed_blocks`."""


def _kind_of(path: Path) -> str:
    """Return the end of the name of a file, with that of what is compressed: .bim, .bim.zst; or a name without end."""
    is_compressed = path.suffix in COMPRESSED_ENDS
    return "".join(path.suffixes[-2:]) if is_compressed else path.suffix or path.name


def refuse(source: GenotypeSource, *options: str) -> None:
    """Raise UsageError, with the sentence that `source.refusal` gives, if one of these options does not apply."""
    for option in options:
        if sentence := source.refusal(option):
            raise UsageError(sentence)


def packed_matrix(
    source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints | None, option: str
) -> PackedMatrix:
    """Return the matrix of hard calls that an option needs; raise UsageError if the source has no hard calls."""
    refuse(source, option)
    matrix = source.matrix(engine, samples, snps)
    if not isinstance(matrix, PackedMatrix):
        raise UsageError(f"{option} needs hard calls, which {source.name} does not give; leave it out")
    return matrix


def variant_tables(source: GenotypeSource, snps: Ints | None) -> Iterator[pa.Table]:
    """Stream CHROM, POS, ID, A1 and A2 of some SNPs, or of all.

    Parameters
    ----------
    source : GenotypeSource
    snps : ndarray of int64 or None
        Ascending positions, None for all.

    Raises
    ------
    ReadError
        If the source streams more SNPs than it had when it was opened.
    """
    first = 0
    for table in source.iter_variants():
        if first + len(table) > source.n_snps:
            raise ReadError(f"{source.name}: has grown since it was opened; start again")
        if snps is None:
            yield table
        else:
            low, high = np.searchsorted(snps, [first, first + len(table)])
            if high > low:
                yield table.take(pa.array(snps[low:high] - first))
        first += len(table)
