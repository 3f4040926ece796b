"""Parts of a run: ranges of SNPs that processes of their own test, each in a file, and how the files are put together.

The rows of a part are those that the whole run keeps between the tests and the tables, before any calibration, because
inflation, q-values and the joint test need all SNPs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files import RowArchive, RowTable, write_row_archive
from lfmm2.genotypes import N_COLUMNS, RESTART_SNPS, Engine, PassRecord, SnpRange
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept, read_text
from lfmm2.pipeline.missing_calls import MissingTally
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.run_start import RunStart, describe_differences
from lfmm2.pipeline.snp_choice import SnpChoice
from lfmm2.pipeline.stages import Fit, make_test_model
from lfmm2.pipeline.statistics_store import BLOCK_ROWS, StatisticsStore

# Largest number of parts: more would be a mistake, because each costs the start of a process.
MOST_PARTS = 1_000_000
# Version of the contents of the file; another one is refused.
_VERSION = 1
# Name of the table of missing calls of each sample, and the fields of the identity that only parts have.
_MISSING, _FACTORS, _PART = "missing-calls", "factors", "part"
_FAULT = "is damaged, or no part of a run; test it again with lfmm2 test"


@dataclass(frozen=True)
class PartNumber:
    """One of several parts of about the same length, counted from 1."""

    number: int
    n_parts: int

    @classmethod
    def parse(cls, text: object) -> PartNumber:
        """Return the part that a text such as "3/22" names; UsageError if it names none."""
        found = re.fullmatch(r"\s*(\d{1,7})\s*/\s*(\d{1,7})\s*", text) if isinstance(text, str) else None
        part = cls(int(found[1]), int(found[2])) if found else None
        if part is None or not 1 <= part.number <= part.n_parts <= MOST_PARTS:
            fact = f"part is {text!r}; give the number of the part and that of all parts, as 3/22"
            raise UsageError(f"{fact}, with numbers from 1 to {with_spaces(MOST_PARTS)}")
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.n_parts}"

    def snps(self, n_snps: int) -> SnpRange:
        """Return the SNPs of the part, of all that are tested: whole blocks after which a pass can begin."""
        n_blocks = -(-n_snps // RESTART_SNPS)
        first, end = (n_blocks * number // self.n_parts * RESTART_SNPS for number in (self.number - 1, self.number))
        return SnpRange(min(first, n_snps), min(end, n_snps))

    def extend(self, identity: dict[str, Any], start: RunStart) -> dict[str, Any]:
        """Return the identity of the file of this part."""
        return {**identity, _FACTORS: start.digest, _PART: str(self)}


@dataclass(frozen=True)
class PartNote:
    """What the file of a part says of its rows.

    Attributes
    ----------
    identity : dict of str to object
        Identity of the run, with the SHA-256 of the factors and the number of the part.
    factors_file : str
        Absolute path of the file of the first half of the run.
    first, end : int
        SNPs of the part, among those that are tested.
    n_snps, n_samples : int
        SNPs that are tested in all parts, and samples.
    shapes : dict of str to int
        Number of columns of each table by its name.
    counts_missing : bool
        False where genotypes do not count the missing calls of each sample.
    passes : list of str
        Records of the passes over the genotypes, as JSON.
    version : int
    """

    identity: dict[str, Any]
    factors_file: str
    first: int
    end: int
    n_snps: int
    n_samples: int
    shapes: dict[str, int]
    counts_missing: bool
    passes: list[str]
    version: int = _VERSION

    @property
    def part(self) -> PartNumber:
        """Number of the part."""
        return PartNumber.parse(self.identity[_PART])

    @property
    def identity_of_run(self) -> dict[str, Any]:
        """Identity of the run, and of its factors, that all parts share."""
        return {name: value for name, value in self.identity.items() if name != _PART}


@dataclass(frozen=True)
class Part:
    """The file of a part, and what it says of its rows."""

    path: Path
    note: PartNote


def write_part(file: BinaryIO, note: PartNote, store: StatisticsStore) -> None:
    """Write the rows of a part, all that are in the store, to an open file."""
    tables = {
        name: RowTable(store.n_snps, n_columns, store.blocks_of(name)) for name, n_columns in store.shapes.items()
    }
    if (counts := store.tally.counts) is not None:
        tables[_MISSING] = RowTable(len(counts), 1, [counts[:, None].astype(np.float64)])
    write_row_archive(file, asdict(note), tables)


def read_part(path: Path) -> Part:
    """Read what the file of a part says of its rows.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is damaged, or another file.
    """
    with RowArchive(path, _FAULT) as archive:
        entries = archive.note
    names = [item.name for item in fields(PartNote)]
    note = read_kept(lambda: PartNote(**{name: entries[name] for name in names}))
    if note is None or note.version != _VERSION:
        raise MalformedInputError(f"{path}: {_FAULT}")
    return Part(path, note)


def check_parts(parts: Sequence[Part]) -> list[Part]:
    """Return parts in the order of their SNPs, if they are those of one run and have each SNP once.

    Raises
    ------
    InconsistentInputError
        If they are of several runs, of other factors or samples; if SNPs are in two of them, or in none.
    """
    first = parts[0]
    for part in parts[1:]:
        if fields := describe_differences(first.note.identity_of_run, part.note.identity_of_run):
            raise InconsistentInputError(
                f"{part.path}: does not belong to {first.path}: {'; '.join(fields)}; give parts that were tested "
                "with the same factors file, by the same program"
            )
    ordered = sorted(parts, key=lambda part: (part.note.first, part.note.end))
    next_snp, before = 0, first
    for part in ordered:
        if part.note.first < next_snp and part.note.end > part.note.first:
            last = min(next_snp, part.note.end)
            fact = f"{_name_range(part.note.first, last)} are in {before.path} and in {part.path}"
            raise InconsistentInputError(f"{fact}; give each part once")
        if part.note.first > next_snp:
            raise _lacks(ordered, next_snp, part.note.first)
        if part.note.end > part.note.first:
            next_snp, before = part.note.end, part
    if next_snp < first.note.n_snps:
        raise _lacks(ordered, next_snp, first.note.n_snps)
    return ordered


def _name_range(first: int, end: int) -> str:
    """Return SNPs from `first` to before `end`, counted from 0, as people count them."""
    return f"SNPs {with_spaces(first + 1)} to {with_spaces(end)}"


def _lacks(parts: Sequence[Part], first: int, end: int) -> InconsistentInputError:
    """Return the error of SNPs that are in no part; it names the parts where all have the same number."""
    note = parts[0].note
    fact = f"{_name_range(first, end)} of {with_spaces(note.n_snps)} are in no part"
    numbers = {part.note.part.n_parts for part in parts}
    if len(numbers) > 1:
        return InconsistentInputError(f"{fact}; test them too")
    n_parts = numbers.pop()
    there = {part.note.part.number for part in parts}
    absent = [str(number) for number in range(1, n_parts + 1) if number not in there]
    named = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
    what = f"part {named}" if len(absent) == 1 else f"parts {named}"
    command = f"lfmm2 test --use-factors {note.factors_file} --part {absent[0]}/{n_parts}"
    return InconsistentInputError(f"{fact}; {what} of {n_parts} not given: {command}")


@dataclass(frozen=True)
class GatheredParts:
    """The first half of a run, and all parts of its tests, in the order of their SNPs."""

    start: RunStart
    parts: list[Part]

    def check_start(self) -> None:
        """Raise InconsistentInputError unless the parts were tested with this first half of a run."""
        ours = {**self.start.identity, _FACTORS: self.start.digest}
        if fields := describe_differences(self.parts[0].note.identity_of_run, ours):
            raise InconsistentInputError(
                f"{self.start.path}: is not the factors file that {self.parts[0].path} was tested with: "
                f"{'; '.join(fields)}; put back that file, or name it with --use-factors"
            )

    def fill_store(
        self, inputs: RunInputs, choice: SnpChoice, fit: Fit, engine: Engine, checkpoints: Checkpoints
    ) -> StatisticsStore:
        """Return the statistics of all SNPs, read from the parts; the store is to be closed by the caller."""
        n_held_out = N_COLUMNS if inputs.options.test.impute == "factors" else 0
        tally = MissingTally(len(inputs.variables.rows))
        store = StatisticsStore(
            make_test_model(inputs, fit), choice.n_tested, n_held_out, checkpoints, tally, resumes=False
        )
        try:
            engine.progress.start("reading parts", choice.n_tested, 0)
            for part in self.parts:
                for n_rows in _append_part(store, part):
                    engine.progress.advance(n_rows, 0)
                engine.passes.extend(_read_passes(part))
            engine.progress.finish()
        except BaseException:
            store.close()
            raise
        return store


def _append_part(store: StatisticsStore, part: Part) -> Iterable[int]:
    """Add the rows of a part to a store block by block, and yield the number of rows of each."""
    note, n_rows = part.note, part.note.end - part.note.first
    with RowArchive(part.path, _FAULT) as archive:
        for rows in archive.blocks(store.shapes, n_rows, BLOCK_ROWS):
            store.append_rows(rows)
            yield len(rows[0])
        counts = None
        if note.counts_missing:
            stored = [rows for (rows,) in archive.blocks({_MISSING: 1}, note.n_samples, BLOCK_ROWS)]
            counts = np.concatenate(stored)[:, 0].astype(np.int64)
    store.tally.take(counts, n_rows)


def _read_passes(part: Part) -> list[PassRecord]:
    """Return the records of the passes of a part."""
    return read_kept(lambda: [read_text(PassRecord, text) for text in part.note.passes]) or []
