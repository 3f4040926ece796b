"""Several sources of genotypes read as one: the SNPs of the first, then those of the second, and so on.

Results have the bits of the merged fileset, because sums are made over the chosen SNPs of all sources in order
(segments.py), and packed calls are brought into the order of the first source's samples before any kernel sees them.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2._typing import Ints, Packed
from lfmm2._words import counted, with_spaces
from lfmm2.files import FileStamp
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import NumberSource
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.joined_samples import JoinedSamples
from lfmm2.genotypes.packed_bed import PackedReader, stored_snp_bytes
from lfmm2.genotypes.source import GenotypeSource, Reopening, SourceMemory
from lfmm2.genotypes.threaded_reading import read_in_threads, reading_memory

# Bytes of packed SNPs that are brought into another order of samples at a time; they stay in the cache of a processor.
_SCRATCH_BYTES = 1 << 18
# SNPs that the kernel brings into another order together; fewer at a time take as long.
_TILE_SNPS = 8
# Bytes of memory of an open fileset beside the text of its tables and its samples: paths, stamps, and columns of
# Arrow, each with buffers of its own. Measured with 10 000 filesets of 20 SNPs.
_FILESET_BYTES = 1 << 14
# Filesets whose names the plan lists; of more, the first and the last ones. The record lists all.
_MOST_LISTED = 30


@dataclass(frozen=True, eq=False)
class _Part:
    """One of the sources that are read as one.

    Attributes
    ----------
    source : PackedReader or NumberReader
        In the process of the run also a `GenotypeSource`.
    first_snp : int
        Number of its first SNP among the SNPs of all.
    rows : ndarray of shape (n_samples,), int64, or None
        Its row of each sample of the joined source; None if its samples are these in this order.
    """

    source: Any
    first_snp: int
    rows: Ints | None

    def rows_of(self, samples: Ints) -> Ints:
        """Return the rows of some samples of the joined source."""
        return samples if self.rows is None else self.rows[samples]


class JoinedReader:
    """Packed calls of some samples from several filesets, as one .bed of these samples would give them.

    Parameters
    ----------
    parts : sequence of _Part
        Each source is a `PackedReader`.
    samples : ndarray of int64
        Rows of the joined source, in the order wanted.

    Attributes
    ----------
    n_samples, n_snps, bytes_per_snp
        As of `PackedReader`.
    stored_snp_bytes : int
        Most bytes that a file has for one SNP.
    """

    def __init__(self, parts: Sequence[_Part], samples: Ints) -> None:
        self._readers: list[PackedReader] = [part.source for part in parts]
        self._starts = np.array([part.first_snp for part in parts], np.int64)
        self.n_samples, self.n_snps = len(samples), int(self._starts[-1]) + self._readers[-1].n_snps
        self.bytes_per_snp = (self.n_samples + 3) // 4
        self.stored_snp_bytes = max(map(stored_snp_bytes, self._readers))
        rows_of: dict[tuple[int, int], Ints | None] = {}  # Parts in one order share their rows.
        self._rows: list[Ints | None] = []
        for part in parts:
            key = id(part.rows), part.source.n_samples
            if key not in rows_of:
                rows = np.ascontiguousarray(part.rows_of(samples), np.int64)
                rows_of[key] = None if np.array_equal(rows, np.arange(part.source.n_samples)) else rows
            self._rows.append(rows_of[key])

    def read_packed(self, first_snp: int, packed_out: Packed) -> None:
        """Fill `packed_out`, shape (n_snps_block, bytes_per_snp), with consecutive SNPs from `first_snp` on."""
        part, done = self._find_part(first_snp), 0
        while done < len(packed_out):
            start = first_snp + done - int(self._starts[part])
            rows = slice(done, min(done + self._readers[part].n_snps - start, len(packed_out)))
            if rows.stop > rows.start:
                self._read(part, slice(start, start + rows.stop - rows.start), packed_out[rows])
            part, done = part + 1, rows.stop

    def read_snps(self, snps: Ints, packed_out: Packed) -> None:
        """Fill `packed_out` with the SNPs at ascending positions."""
        of_snp = np.searchsorted(self._starts, snps, side="right") - 1
        bounds = [0, *(np.flatnonzero(np.diff(of_snp)) + 1).tolist(), len(snps)]
        for begin, end in pairwise(bounds):
            if end > begin:
                part = int(of_snp[begin])
                self._read(part, snps[begin:end] - self._starts[part], packed_out[begin:end])

    def check_unchanged(self) -> None:
        """Raise ReadError if a file has changed since it was opened."""
        for reader in self._readers:
            reader.check_unchanged()

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes; one file is read at a time."""
        return max(reading_memory(reader, n_threads) for reader in self._readers)

    def read_in_threads(self, n_threads: int) -> Self:
        """Return a reader of the same calls that unpacks in some threads, where they are compressed."""
        other = copy.copy(self)
        other._readers = [read_in_threads(reader, n_threads) for reader in self._readers]
        return other

    def _find_part(self, snp: int) -> int:
        """Return the number of the part that has a SNP."""
        return int(np.searchsorted(self._starts, snp, side="right")) - 1

    def _read(self, part: int, snps: slice | Ints, packed_out: Packed) -> None:
        """Read SNPs of one part, consecutive ones or those at ascending positions, in the order of the samples."""
        reader, rows = self._readers[part], self._rows[part]
        if rows is None:
            _read_some(reader, snps, packed_out)
            return
        step = _scratch_snps(reader.bytes_per_snp)
        scratch = np.empty((min(step, len(packed_out)), reader.bytes_per_snp), np.uint8)
        for first in range(0, len(packed_out), step):
            wanted = packed_out[first : first + step]
            raw = scratch[: len(wanted)]
            if isinstance(snps, slice):
                _read_some(reader, slice(snps.start + first, snps.start + first + len(wanted)), raw)
            else:
                _read_some(reader, snps[first : first + step], raw)
            _core.select_samples(raw, reader.n_samples, rows, wanted, 1)


class JoinedNumberReader:
    """Numbers of several sources, as one would give them.

    Parameters
    ----------
    parts : sequence of _Part
        Each source is a `NumberReader`.
    n_samples, n_snps : int
    """

    def __init__(self, parts: Sequence[_Part], n_samples: int, n_snps: int) -> None:
        self._parts = parts
        self._starts = np.array([part.first_snp for part in parts], np.int64)
        self.n_samples, self.n_snps = n_samples, n_snps
        self.dtype: np.dtype[Any] = np.result_type(*(part.source.dtype for part in parts))

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes; one file is read at a time."""
        return max(reading_memory(part.source, n_threads) for part in self._parts)

    def read_in_threads(self, n_threads: int) -> JoinedNumberReader:
        """Return a reader of the same numbers that decodes in some threads."""
        parts = [replace(part, source=read_in_threads(part.source, n_threads)) for part in self._parts]
        return JoinedNumberReader(parts, self.n_samples, self.n_snps)

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples)."""
        of_snp = np.searchsorted(self._starts, snps, side="right") - 1
        blocks = [np.empty((0, len(samples)), self.dtype)]
        for number in np.unique(of_snp).tolist():
            part = self._parts[number]
            blocks.append(part.source.read(part.rows_of(samples), snps[of_snp == number] - part.first_snp))
        return np.concatenate(blocks)


class ReopenedParts:
    """Several sources as one, as a process opens them that another has told how; of calls, or of numbers.

    Parameters
    ----------
    parts : sequence of (Reopening, int, ndarray or None)
        How each is opened, its first SNP, and its rows, as of `_Part`.
    n_samples, n_snps : int
        Numbers of all together.
    are_calls : bool
    """

    def __init__(
        self, parts: Sequence[tuple[Reopening, int, Ints | None]], n_samples: int, n_snps: int, are_calls: bool
    ) -> None:
        self._are_calls, self._shape = are_calls, (n_samples, n_snps)
        self._parts: list[_Part] = []
        try:
            for reopening, first_snp, rows in parts:
                self._parts.append(_Part(reopening.opens(*reopening.arguments), first_snp, rows))
        except BaseException:
            self.close()
            raise

    def matrix(
        self, engine: Engine, samples: Ints, snps: Ints | None, *, scale: str | None = None, count_allele: str = "a2"
    ) -> BedMatrix | ArrayMatrix:
        """Return the matrix of some samples and SNPs."""
        if self._are_calls:
            reader = JoinedReader(self._parts, samples)
            return BedMatrix(reader, engine, snps=snps, scale=scale, count_allele=count_allele)
        return ArrayMatrix(JoinedNumberReader(self._parts, *self._shape), engine, samples=samples, snps=snps)

    def close(self) -> None:
        """Close all of them."""
        for part in self._parts:
            part.source.close()


def _scratch_snps(snp_bytes: int) -> int:
    """Return the SNPs that are brought into another order of samples at a time: a whole tile of the kernel at least."""
    return max(_SCRATCH_BYTES // max(snp_bytes, 1), _TILE_SNPS)


def _read_some(reader: PackedReader, snps: slice | Ints, packed_out: Packed) -> None:
    """Read consecutive SNPs, or those at ascending positions."""
    if isinstance(snps, slice):
        reader.read_packed(snps.start, packed_out)
    else:
        reader.read_snps(snps, packed_out)


class JoinedSource(GenotypeSource):
    """Several sources as one; samples are matched by ID, and stand in the order of the first source.

    Parameters
    ----------
    sources : sequence of GenotypeSource
        At least one.
    joined : JoinedSamples
        Their samples, and the rows of each source.
    opened : sequence of GenotypeSource
        Those of the sources that `close` closes.
    """

    def __init__(
        self, sources: Sequence[GenotypeSource], joined: JoinedSamples, opened: Sequence[GenotypeSource]
    ) -> None:
        starts = np.cumsum([0, *(source.n_snps for source in sources)]).tolist()
        self.parts = [_Part(*of) for of in zip(sources, starts[:-1], joined.rows, strict=True)]
        self.samples, self.n_samples, self.n_snps = joined.samples, len(joined.samples), starts[-1]
        self.n_left_out = joined.n_left_out
        self.has_ids = all(source.has_ids for source in sources)
        first, last = short_name(sources[0].name), short_name(sources[-1].name)
        self.name = f"{counted(len(sources), 'fileset')} ({first}{f' to {last}' if last != first else ''})"
        left_out = [part.first_snp + of for part in self.parts if (of := part.source.left_out) is not None]
        self.left_out = np.concatenate(left_out) if left_out else None
        self._opened = list(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def matrix(
        self, engine: Engine, samples: Ints, snps: Ints | None, *, scale: str | None = None, count_allele: str = "a2"
    ) -> BedMatrix | ArrayMatrix:
        """Return the matrix of some samples and SNPs."""

    def iter_variants(self) -> Iterator[pa.Table]:
        """Stream the SNPs of one source after the other."""
        for part in self.parts:
            yield from part.source.iter_variants()

    def sample_column(self, name: str) -> tuple[str, ...]:
        """Return a column of the table of samples of the first source; FID is that of the joined samples."""
        if name.upper() == "FID":
            return super().sample_column(name)
        column, rows = self.parts[0].source.sample_column(name), self.parts[0].rows
        return column if rows is None else tuple(column[row] for row in rows.tolist())

    def refusal(self, option: str) -> str:
        """Return the first sentence by which a source refuses an option; empty if none does."""
        return next(filter(None, (part.source.refusal(option) for part in self.parts)), "")

    @property
    def ploidy(self) -> int | None:
        """Return the ploidy of all sources; None if it is not known of some."""
        (ploidy, *others) = {part.source.ploidy for part in self.parts}
        return None if others else ploidy

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Return the files of all sources, as they were when they were opened."""
        return tuple(stamp for part in self.parts for stamp in part.source.stamps)

    @property
    def memory(self) -> SourceMemory:
        """Return the sizes of all sources together; only one list of SNPs is unpacked at a time."""
        each = [part.source.memory for part in self.parts]
        unpacking = [int(getattr(part.source, "unpacking_bytes", 0)) for part in self.parts]
        snp_bytes = max(memory.snp_bytes for memory in each)
        # Rows are held twice: of all samples, and of those of a matrix.
        rows = {id(part.rows): 2 * part.rows.nbytes for part in self.parts if part.rows is not None}
        held = sum(memory.held_variant_bytes for memory in each) - sum(unpacking) + max(unpacking)
        held += sum(rows.values()) + _FILESET_BYTES * len(each)
        if rows:
            widest = max(int(getattr(part.source, "bytes_per_snp", 0)) for part in self.parts)
            held += _scratch_snps(widest) * widest + _core.selection_bytes(4 * widest)
        reopened = sum(memory.reopened_bytes for memory in each) + sum(rows.values()) + _FILESET_BYTES * len(each)
        return SourceMemory(
            snp_bytes, sum(memory.variant_bytes for memory in each), held, max(memory.row_bytes for memory in each),
            reopened,
        )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """Return the identity of each source, one after the other."""
        return {
            f"of fileset {number}": ", ".join(f"{fact}: {value}" for fact, value in part.source.identity().items())
            for number, part in enumerate(self.parts, 1)
        }

    def reopening(self) -> Reopening | None:
        """Return how other processes open all sources; None if they cannot open one of them."""
        parts = [(part.source.reopening(), part.first_snp, part.rows) for part in self.parts]
        if any(how is None for how, _, _ in parts):
            return None
        return Reopening(ReopenedParts, (parts, self.n_samples, self.n_snps, isinstance(self, JoinedCalls)))

    def describe(self) -> dict[str, Any]:
        """Return the description of each source, and the numbers of samples and SNPs of all together."""
        return {
            "filesets": [part.source.describe() for part in self.parts],
            "n_samples": self.n_samples,
            "n_samples_left_out": self.n_left_out,
            "n_snps": self.n_snps,
        }

    def summary(self) -> str:
        """Return which filesets are read as one."""
        names = [name_of(part.source) for part in self.parts]
        folder = str(Path(names[0]).parent)
        shown = [names[0], *(short_name(name) if str(Path(name).parent) == folder else name for name in names[1:])]
        if len(shown) > _MOST_LISTED:
            shown = [*shown[: _MOST_LISTED // 2], "…", *shown[-(_MOST_LISTED // 4) :]]
        n_moved = sum(part.rows is not None for part in self.parts)
        moved = f"; samples of {with_spaces(n_moved)} matched by ID" if n_moved else ""
        left = f", {with_spaces(self.n_left_out)} that are not in all left out" if self.n_left_out else ""
        number = f"{with_spaces(len(names))} as one" if len(names) > 1 else "only one"
        return f"{number}: {', '.join(shown)}{moved}{left}"

    def close(self) -> None:
        """Close the sources that were opened for this one."""
        for source in self._opened:
            source.close()


class JoinedCalls(JoinedSource):
    """Several sources of packed hard calls as one."""

    def matrix(
        self, engine: Engine, samples: Ints, snps: Ints | None, *, scale: str | None = None, count_allele: str = "a2"
    ) -> BedMatrix:
        """Return the matrix of some samples and SNPs."""
        return BedMatrix(JoinedReader(self.parts, samples), engine, snps=snps, scale=scale, count_allele=count_allele)


class JoinedNumbers(JoinedSource, NumberSource):
    """Several sources of numbers as one."""

    def __init__(
        self, sources: Sequence[GenotypeSource], joined: JoinedSamples, opened: Sequence[GenotypeSource]
    ) -> None:
        super().__init__(sources, joined, opened)
        self._reader = JoinedNumberReader(self.parts, self.n_samples, self.n_snps)
        self.dtype = self._reader.dtype

    def refusal(self, option: str) -> str:
        """Return a sentence if an option needs hard calls, or if a source refuses it; else an empty text."""
        return JoinedSource.refusal(self, option) or NumberSource.refusal(self, option)

    def matrix(
        self, engine: Engine, samples: Ints, snps: Ints | None, *, scale: str | None = None, count_allele: str = "a2"
    ) -> ArrayMatrix:
        """Return the matrix of some samples and SNPs, once each source has given one, by which it checks itself."""
        for part in self.parts:
            part.source.matrix(engine, part.rows_of(samples), None)
        return NumberSource.matrix(self, engine, samples, snps, scale=scale, count_allele=count_allele)

    def reading_memory(self, n_threads: int) -> int:
        """Return the bytes of memory that reading in some threads takes."""
        return self._reader.reading_memory(n_threads)

    def read_in_threads(self, n_threads: int) -> JoinedNumberReader:
        """Return a reader of the same numbers that decodes in some threads."""
        return self._reader.read_in_threads(n_threads)

    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        """Return the numbers of some samples and SNPs, shape (n_snps_block, n_samples)."""
        return self._reader.read(samples, snps)


def short_name(name: str) -> str:
    """Return the name of a file without its folder."""
    return Path(name).name


def name_of(source: GenotypeSource) -> str:
    """Return the path of the first file of a source, or its name if it has no files."""
    stamps = source.stamps
    return str(stamps[0].path) if stamps else source.name
