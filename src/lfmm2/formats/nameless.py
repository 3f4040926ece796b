"""Samples and SNPs of formats that have no names: made ones, or a list of the user, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.files import Samples, first_two_columns
from lfmm2.formats.calls import NAMELESS_ALLELES, CallBlock, CallReader, Dosages, checked_samples, numbered_ids
from lfmm2.genotypes import plink_writer

#: Sentence about the alleles of such formats.
COUNTED = "the numbers count allele 2, which is A2; the file names no alleles, so they are called 1 and 2"


def name_samples(reader: CallReader, n_samples: int, listed: Path | None) -> Samples:
    """Return the samples of a file without names: those of a list, or s0001, s0002, …, about which a note is added.

    Raises
    ------
    InconsistentInputError
        If the list has another number of IDs than the file has samples.
    """
    if listed is None:
        names = plink_writer.default_sample_ids(n_samples)
        reader.notes.append(
            f"the file has no sample IDs: they are called {names[0]} to {names[-1]} in its order; --samples LIST names "
            "them"
        )
        return checked_samples(reader.path, names)
    first, second = first_two_columns(listed, "a list of samples has an ID per line, or FID and IID")
    if first[0].lstrip("#").upper() in ("FID", "IID", "ID"):
        first, second = first[1:], second[1:]
    if len(first) != n_samples:
        fact = f"{listed}: {len(first)} sample IDs, but {reader.path} has {n_samples} samples"
        raise InconsistentInputError(f"{fact}; list them all, in the order of the genotypes")
    reader.paths += (listed,)
    return checked_samples(listed, second or first, first if second else None)


def refuse_sample_list(reader: CallReader, listed: Path | None) -> None:
    """Raise UsageError if a list of samples is given for a file that has names."""
    if listed is not None:
        fact = f"--samples {listed} names samples, but {reader.path} has names of its own"
        raise UsageError(f"{fact}; leave it out, and rename them in the .fam")


def nameless_block(dosages: Dosages, first: int) -> CallBlock:
    """Return a block of SNPs without names, chromosomes, positions and alleles; `first` is the place of the first."""
    n_snps = len(dosages)
    return CallBlock(dosages, ["0"] * n_snps, numbered_ids(first, n_snps), [0] * n_snps, alleles_of(n_snps))


def alleles_of(n_snps: int) -> Sequence[tuple[str, str]]:
    """Return the alleles of SNPs without names of alleles."""
    return [NAMELESS_ALLELES] * n_snps


class TwoSeen:
    """Whether any dosage is 2: without one, genotypes are probably those of haploids."""

    def __init__(self) -> None:
        self._seen = False

    def add(self, dosages: Dosages) -> None:
        """Take note of some dosages."""
        self._seen = self._seen or bool((dosages == 2).any())

    def note(self, reader: CallReader) -> None:
        """Add a note if there was no 2."""
        if not self._seen:
            reader.notes.append("no genotype is 2: if these are haploids, frequencies are half of what they should be")
