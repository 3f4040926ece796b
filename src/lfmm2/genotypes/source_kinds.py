"""The registry of sources: the only module that knows which kinds of genotypes can be opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from lfmm2._typing import AnyPath, MissingCalls
from lfmm2.errors import ReadError
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.bgen_file import open_bgen
from lfmm2.genotypes.dosage_file import DOSAGE_END, DosageFile
from lfmm2.genotypes.fileset_names import is_fileset, list_filesets, names_filesets, pattern_hint
from lfmm2.genotypes.joined_opening import open_joined
from lfmm2.genotypes.pgen_file import open_pgen
from lfmm2.genotypes.plink import BED_ENDS, BedFile, OpenedTogether, open_bed
from lfmm2.genotypes.source import GenotypeSource

GenotypesLike = AnyPath | GenotypeSource | Sequence[AnyPath | GenotypeSource] | ArrayLike

# Functions that open a file, by the ending of its name. A path with any other ending is the prefix of a PLINK fileset.
KINDS_OF_FILE: dict[str, Callable[..., GenotypeSource]] = {
    **dict.fromkeys(BED_ENDS, open_bed),
    DOSAGE_END: DosageFile,
    ".bgen": open_bgen,
    ".pgen": open_pgen,
}
# The ending of the files that an option tells how to read, which the function then takes by this name.
ENDING_OF_OPTION = {"hard_calls": ".pgen", "sample": ".bgen"}


def is_in_memory(genotypes: GenotypesLike) -> bool:
    """Return True for numbers in memory, and False for a path, an open source or a list of these."""
    return not is_fileset(genotypes) and not names_filesets(genotypes)


def endings_of(genotypes: GenotypesLike) -> set[str]:
    """Return the endings of the names of files, of those that are opened by it; nothing for what is no file."""
    several = genotypes if isinstance(genotypes, list | tuple) else [genotypes]
    return {ending for one in several if (ending := ending_of(one))}


def ending_of(genotypes: GenotypesLike) -> str:
    """Return the ending of the name of a file, of those that are opened by it; empty for all else."""
    if not isinstance(genotypes, str | os.PathLike):
        return ""
    name = os.fspath(genotypes)
    return next((ending for ending in KINDS_OF_FILE if name.endswith(ending)), "")


def open_source(
    genotypes: GenotypesLike,
    *,
    ploidy: int | None = None,
    missing_genotype: MissingCalls | None = None,
    intersect: bool = False,
    **of_files: Any,
) -> GenotypeSource:
    """Open genotypes of any kind.

    Parameters
    ----------
    genotypes : path, GenotypeSource, a list of these, or array-like of shape (n_samples, n_snps)
        A path is opened and checked; an open source is returned as it is. The filesets of a list, and those that a path
        with @ fits, are read as one. All else is taken for numbers in memory.
    ploidy, missing_genotype : optional
        Ploidy of dosages in memory, and values that mean missing in them, see `ArraySource`; ignored for all else.
    intersect : bool
        True to leave out the samples that are not in all of several filesets.
    **of_files : optional
        Options of `ENDING_OF_OPTION` that are given, which tell how to read a file; ignored for all else.

    Returns
    -------
    GenotypeSource
        To be closed by the caller, unless `genotypes` was this source.

    Raises
    ------
    LfmmError
        One of its children, if the genotypes are absent, damaged or of no known format.
    """
    if (filesets := list_filesets(genotypes, KINDS_OF_FILE)) is not None:
        return open_joined(filesets, partial(_open_file, **of_files), intersect)
    if isinstance(genotypes, str | os.PathLike):
        return _open_file(genotypes, **of_files)
    if isinstance(genotypes, GenotypeSource):
        return genotypes
    return ArraySource(genotypes, ploidy, missing_genotype)


def _open_file(path: AnyPath, together: OpenedTogether | None = None, **of_files: Any) -> GenotypeSource:
    """Open a file by the end of its name; `together` is what it shares with others that are read as one with it."""
    ending = ending_of(path)
    opens = KINDS_OF_FILE.get(ending, open_bed)
    if opens is not open_bed:
        given = {option: value for option, value in of_files.items() if ENDING_OF_OPTION[option] == ending}
        return opens(path, **given)
    try:
        return BedFile(path, together)
    except ReadError as error:
        if not os.path.lexists(path) and (hint := pattern_hint(path)):
            raise ReadError(f"{error}; {hint}") from error
        raise
