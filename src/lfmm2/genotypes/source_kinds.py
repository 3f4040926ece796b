"""The registry of sources: the only module that knows which kinds of genotypes can be opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from lfmm2._typing import AnyPath, MissingCalls
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.bgen_file import open_bgen
from lfmm2.genotypes.dosage_file import DOSAGE_END, DosageFile
from lfmm2.genotypes.pgen_file import open_pgen
from lfmm2.genotypes.plink import open_bed
from lfmm2.genotypes.source import GenotypeSource

GenotypesLike = AnyPath | GenotypeSource | ArrayLike

# Functions that open a file, by the ending of its name. A path with any other ending is the prefix of a PLINK fileset.
KINDS_OF_FILE: dict[str, Callable[..., GenotypeSource]] = {
    ".bed": open_bed,
    DOSAGE_END: DosageFile,
    ".bgen": open_bgen,
    ".pgen": open_pgen,
}
# The ending of the files that an option tells how to read, which the function then takes by this name.
ENDING_OF_OPTION = {"hard_calls": ".pgen", "sample": ".bgen"}


def is_in_memory(genotypes: GenotypesLike) -> bool:
    """Return True for numbers in memory, and False for a path or an open source."""
    return not isinstance(genotypes, str | os.PathLike | GenotypeSource)


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
    **of_files: Any,
) -> GenotypeSource:
    """Open genotypes of any kind.

    Parameters
    ----------
    genotypes : path, GenotypeSource or array-like of shape (n_samples, n_snps)
        A path is opened and checked; an open source is returned as it is; all else is taken for numbers in memory.
    ploidy, missing_genotype : optional
        Ploidy of dosages in memory, and values that mean missing in them, see `ArraySource`; ignored for all else.
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
    if isinstance(genotypes, str | os.PathLike):
        ending = ending_of(genotypes)
        given = {option: value for option, value in of_files.items() if ENDING_OF_OPTION[option] == ending}
        return KINDS_OF_FILE.get(ending, open_bed)(genotypes, **given)
    if isinstance(genotypes, GenotypeSource):
        return genotypes
    return ArraySource(genotypes, ploidy, missing_genotype)
