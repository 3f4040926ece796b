"""Text tables of programs of the field, told by the end of their names: .psam, .fam, .sample and LEA's .env.

The format says what the columns are called where the file does not, and which columns are no variables.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lfmm2._typing import AnyPath
from lfmm2.errors import MalformedInputError
from lfmm2.files.input_files import COMPRESSED_ENDS

FAM, PSAM, SAMPLE, ENV = ".fam", ".psam", ".sample", ".env"
# Columns of samples that are no measurements: parents, sex, and of a .sample the rate of missing calls.
_NO_VARIABLES = ("SID", "PAT", "MAT", "SEX")
_FAM_NAMES = ("FID", "IID", "PAT", "MAT", "SEX", "PHENO1")
# Types of columns in the second line of a .sample: IDs, discrete and continuous covariates, phenotypes.
_SAMPLE_TYPES = frozenset("0DCPB")
# First columns of a .sample of SNPTEST, as a table of lfmm2 calls them.
_SAMPLE_IDS = {"ID_1": "FID", "ID_2": "IID"}


@dataclass(frozen=True)
class Layout:
    """What the lines and columns of a text table are.

    Attributes
    ----------
    names : list of str
        Names of the columns.
    n_header_lines : int
        Lines before the first row.
    no_variables : tuple of str
        Columns that are no variables unless chosen by name.
    categories : tuple of str
        Columns that the file says are categories, and which are no variables unless chosen by name.
    in_order : bool
        True if the rows have no IDs and stand in the order of the samples.
    """

    names: list[str]
    n_header_lines: int = 1
    no_variables: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    in_order: bool = False


def kind_of_table(path: AnyPath) -> str:
    """Return the end of the name of a file, such as ``.psam`` of ``x.psam.zst``, in lower case."""
    name = Path(os.fsdecode(path)).name.casefold()
    for end in COMPRESSED_ENDS:
        name = name.removesuffix(end)
    return Path(name).suffix


def find_layout(path: AnyPath, first: list[str], second: Sequence[str], are_numbers: bool) -> Layout:
    """Return the layout of a table by the cells of its first line, which `are_numbers` or not, and its second line.

    The second line is needed of a .sample only.

    Raises
    ------
    MalformedInputError
        If a .fam has too few columns.
    """
    kind = kind_of_table(path)
    is_header = first[0].lstrip("#").upper() in ("FID", "IID")
    if kind == ENV and are_numbers:
        return Layout([f"env{j + 1}" for j in range(len(first))], 0, in_order=True)
    if kind in (FAM, PSAM) and not is_header:
        if len(first) < len(_FAM_NAMES) - (kind == PSAM):
            raise MalformedInputError(
                f"{path}, line 1: {len(first)} column(s), but a {kind} without header has 6; check it"
            )
        names = [*_FAM_NAMES, *(f"PHENO{j}" for j in range(2, len(first) - len(_FAM_NAMES) + 2))][: len(first)]
        return Layout(names, 0, _NO_VARIABLES)
    if kind == PSAM:
        return Layout(first, no_variables=tuple(name for name in first if name.upper() in _NO_VARIABLES))
    if kind == SAMPLE and len(second) == len(first) and second[0] == "0" and _SAMPLE_TYPES.issuperset(second):
        names = [_SAMPLE_IDS.get(name.upper(), name) for name in first]
        discrete = tuple(name for name, type_ in zip(names, second, strict=True) if type_ == "D")
        no_variables = tuple(
            name for name, type_ in zip(names, second, strict=True) if type_ == "0" and name not in ("FID", "IID")
        )
        return Layout(names, 2, no_variables[0 if "IID" in names else 1 :], discrete)
    return Layout(first)
