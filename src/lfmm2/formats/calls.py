"""What a reader of a foreign file of genotypes gives: samples, and blocks of SNPs with their calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import quoted
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import LAST_POSITION, Samples, repeated
from lfmm2.genotypes import plink_writer

Dosages = NDArray[np.int8]
ExpectedCopies = NDArray[np.float32]

#: Calls that a reader gives at once, one byte each. More take more memory; with much fewer the time goes into calls of
#: NumPy for each block.
BLOCK_CALLS = 1 << 22
#: Names of the two alleles where a format has none: the dosage counts the second, A2, as PLINK's own --recode 12 does.
NAMELESS_ALLELES = ("1", "2")


@dataclass
class CallBlock:
    """Consecutive SNPs with their calls.

    Attributes
    ----------
    dosages : ndarray of shape (n_snps, n_samples), int8 or float32
        Hard calls: copies of A2, −1 where missing. Dosages, float32: expected copies of A1, NaN where missing.
    chromosomes, ids : list of str
    positions : list of int
        0 where a SNP has none.
    alleles : list of (str, str)
        A1 and A2.
    """

    dosages: Dosages | ExpectedCopies
    chromosomes: Sequence[str]
    ids: Sequence[str]
    positions: Sequence[int]
    alleles: Sequence[tuple[str, str]]


@dataclass
class ReadingOptions:
    """What a user says about a file that has no names or codes of its own.

    Attributes
    ----------
    sample_ids : path or None
        A list of sample IDs in the order of the genotypes, for formats without names.
    missing_genotype : tuple of float or None
        Values that mean missing, for formats that have no code of their own.
    folder : Path
        Folder for temporary files.
    dosage : {None, "DS", "GP"}
        Field of a VCF that has the dosages to be read in place of hard calls.
    """

    sample_ids: Path | None = None
    missing_genotype: tuple[float, ...] | None = None
    folder: Path = field(default_factory=Path)
    dosage: str | None = None


class CallReader(ABC):
    """A foreign file of genotypes, open for one pass; as a context manager it is closed at the end.

    Attributes
    ----------
    path : Path
    paths : tuple of Path
        All files that are read: that of the genotypes first, then those of the names.
    samples : Samples
    counted_allele : str
        Sentence that tells which allele is A2, the one that lfmm2 counts.
    left_out : dict of str to int
        Numbers of variants that were left out, by reason; complete after the pass.
    notes : list of str
        What a user must be told: names that were made, half calls; complete after the pass.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.paths: tuple[Path, ...] = (path,)
        self.samples = Samples((), ())
        self.counted_allele = ""
        self.left_out: dict[str, int] = {}
        self.notes: list[str] = []

    def __enter__(self) -> CallReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        return

    @abstractmethod
    def blocks(self) -> Iterator[CallBlock]:
        """Read all SNPs in order."""

    def leave_out(self, reason: str, number: int = 1) -> None:
        """Count variants that are left out."""
        self.left_out[reason] = self.left_out.get(reason, 0) + number


def block_size(n_samples: int) -> int:
    """Return the number of SNPs of a block: at least 4, so that a block of two-bit calls has whole bytes."""
    return max(4, min(4096, BLOCK_CALLS // max(1, n_samples)) // 4 * 4)


def checked_samples(path: Path, iid: Sequence[str], fid: Sequence[str] | None = None) -> Samples:
    """Return the samples of a file, or raise if their IDs cannot stand in a .fam.

    Raises
    ------
    MalformedInputError
        If there is none, or an ID is empty, has a blank or a control character.
    InconsistentInputError
        If two samples have the same IDs.
    """
    fid = ["0"] * len(iid) if fid is None else fid
    if not iid:
        raise MalformedInputError(f"{path}: has no samples; check the file")
    for name in (*fid, *iid):
        if not is_word(name):
            fact = f"{path}: the sample ID {quoted(name)} is empty, or has a blank or a control character"
            raise MalformedInputError(f"{fact}; put _ in its place, in the tables too")
    if twins := repeated([f"{family} {name}" for family, name in zip(fid, iid, strict=True)]):
        names = [twin.removeprefix("0 ") for twin in twins]
        raise InconsistentInputError(f"{path}: {counted(len(twins), 'sample ID')} repeated ({some_of(names)}); rename")
    if fid[0].lstrip("#").upper() in ("FID", "IID"):
        raise MalformedInputError(f"{path}: the first sample is called {quoted(fid[0])}, as a header; rename it")
    return Samples(tuple(fid), tuple(iid))


def is_word(text: str) -> bool:
    """Return True if a text can be a name in a .fam or .bim: not empty, without blanks and what cannot be seen."""
    return bool(text) and text.isprintable() and not any(map(str.isspace, text))


def check_names(where: str, names: Sequence[str]) -> None:
    """Raise MalformedInputError if a chromosome, ID or allele of consecutive SNPs could not stand in a .bim.

    `where` names the file, and the place of the SNPs in it.
    """
    joined = "".join(names)
    if all(names) and joined.isprintable() and " " not in joined and joined.isascii():
        return
    for name in names:
        if not is_word(name):
            fact = f"{where}: the name {quoted(name)} of a SNP, chromosome or allele is empty or has a blank in it"
            raise MalformedInputError(f"{fact}; correct it")


def read_position(text: str, where: str) -> int:
    """Return a position, or raise MalformedInputError."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= LAST_POSITION):
        fact = f"{where}: position {quoted(text)} is no whole number from 0 to {with_spaces(LAST_POSITION)}"
        raise MalformedInputError(f"{fact}; correct it")
    return int(text)


def numbered_ids(first: int, number: int) -> list[str]:
    """Name SNPs without names after their 0-based places: snp0000001, …"""
    return plink_writer.default_snp_ids(range(first, first + number))


class BlockBuilder:
    """A block of SNPs that is filled SNP by SNP: fill `row`, then `add` the names.

    Parameters
    ----------
    n_samples : int
    kind : type of NumPy
        int8 for hard calls, float32 for dosages.
    """

    def __init__(self, n_samples: int, kind: type[np.int8 | np.float32] = np.int8) -> None:
        self._dosages: NDArray[Any] = np.empty((block_size(n_samples), n_samples), kind)
        self._names: list[tuple[str, int, str, tuple[str, str]]] = []

    def __len__(self) -> int:
        return len(self._names)

    @property
    def row(self) -> NDArray[Any]:
        """The dosages of the next SNP, to be overwritten."""
        row: NDArray[Any] = self._dosages[len(self._names)]
        return row

    @property
    def free_rows(self) -> NDArray[Any]:
        """The rows of the SNPs that have room in the block, to be overwritten."""
        return self._dosages[len(self._names) :]

    @property
    def is_full(self) -> bool:
        """True if the block must be taken before the next SNP."""
        return len(self._names) == len(self._dosages)

    def add(self, chromosome: str, position: int, snp_id: str, alleles: tuple[str, str]) -> None:
        """Add the SNP whose dosages stand in `row`."""
        self._names.append((chromosome, position, snp_id, alleles))

    def take(self, where: str) -> CallBlock:
        """Return the block and begin the next one; its dosages are overwritten by the SNPs that come then.

        `where` names the place in the file, for the message about a name that cannot stand in a .bim.
        """
        chromosomes, positions, ids, alleles = zip(*self._names, strict=True)
        check_names(where, [*chromosomes, *ids, *(name for pair in alleles for name in pair)])
        block = CallBlock(self._dosages[: len(self._names)], chromosomes, ids, positions, alleles)
        self._names = []
        return block
