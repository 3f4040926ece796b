"""Several filesets by name: lists of paths, files with a path a line, patterns in which @ stands for a chromosome."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfmm2._checks import check_path, quoted
from lfmm2._typing import AnyPath
from lfmm2._words import natural_key, shortened, some_of
from lfmm2.errors import MalformedInputError, ReadError, UsageError
from lfmm2.files import read_lines
from lfmm2.genotypes.plink import BED_ENDS, find_bed
from lfmm2.genotypes.source import GenotypeSource

#: What stands in a pattern for the part of the names in which filesets differ, as in plink2.
WILDCARD = "@"
# Patterns of other programs and of shells, which are no part of most names.
_OTHER_PATTERNS = re.compile(r"[*?#{\[]")


@dataclass(frozen=True)
class ListedFileset:
    """One of several filesets.

    Attributes
    ----------
    fileset : path or GenotypeSource
    pattern : str
        Pattern that has named it; empty if it is named itself.
    value : str
        Text for which @ stands in its name.
    """

    fileset: AnyPath | GenotypeSource
    pattern: str = ""
    value: str = ""


def is_fileset(value: object) -> bool:
    """Return True for a path and for an open source."""
    return isinstance(value, str | os.PathLike | GenotypeSource)


def names_filesets(genotypes: object) -> bool:
    """Return True for a list or tuple of paths or sources, and False for one that holds numbers."""
    return isinstance(genotypes, list | tuple) and any(map(is_fileset, genotypes))


def list_filesets(genotypes: Any, ends: Collection[str]) -> list[ListedFileset] | None:
    """Return the filesets that a list or a pattern names, in order; None if it is neither.

    `ends` are the ends of the names of files of genotypes.

    Raises
    ------
    UsageError
        If a list has filesets and other things in it, or a pattern is also the name of a file.
    ReadError
        If no file fits a pattern.
    """
    if isinstance(genotypes, str | os.PathLike):
        return expand_pattern(genotypes, ends)
    if not names_filesets(genotypes):
        return None
    filesets: list[ListedFileset] = []
    for item in genotypes:
        if not is_fileset(item):
            fact = f"a list of filesets has {quoted(item)} in it"
            raise UsageError(f"{fact}; give paths and open sources, or an array of numbers alone")
        expanded = None if isinstance(item, GenotypeSource) else expand_pattern(item, ends)
        filesets += [ListedFileset(item)] if expanded is None else expanded
    return filesets


def expand_pattern(path: AnyPath, ends: Collection[str]) -> list[ListedFileset] | None:
    """Return the filesets whose names a pattern fits, sorted by what @ stands for; None if the path is no pattern.

    @ stands for any text without a / in it, the same one wherever it stands, but not for an @ in the name of a folder
    that exists. Numbers come in their order, then X, Y, XY and MT, then other names, with the numbers in them compared
    as numbers.
    """
    check_path(path, "the fileset")
    text = os.fspath(path)
    if WILDCARD not in text:
        return None
    folder, parts = _split(text)
    if not any(WILDCARD in part for part in parts):
        return None
    has_end = parts[-1].endswith(tuple(ends))
    found = _find_values(folder, parts) if has_end else _find_prefixes(folder, parts)
    is_file = any(os.path.lexists(text + end) for end in ("", *BED_ENDS))
    if not found:
        if is_file:
            return None
        fact = f"{text}: no file has a name of this form, in which {WILDCARD} stands for a chromosome or another text"
        raise ReadError(f"{fact}; check the path")
    if is_file:
        fact = f"{text}: is a file, and the pattern of others ({some_of([name.name for _, name in found])})"
        raise UsageError(f"{fact}; rename it, or list the filesets in a file for --bed-list")
    return [ListedFileset(name, text, value) for value, name in found]


def _split(text: str) -> tuple[Path, list[str]]:
    """Return the longest part of a path that is the name of a folder, or has no @, and the names that follow it."""
    *folders, _ = names = Path(text).parts
    n_literal = 0
    while n_literal < len(folders):
        if WILDCARD in folders[n_literal] and not os.path.isdir(Path(*folders[: n_literal + 1])):  # noqa: PTH112
            break
        n_literal += 1
    return Path(*names[:n_literal]), list(names[n_literal:])


def _find_prefixes(folder: Path, parts: Sequence[str]) -> list[tuple[str, Path]]:
    """Return what `_find_values` gives for the .bed of a prefix, or for its .bed.zst where that alone is there."""
    found: dict[str, Path] = {}
    for end in BED_ENDS:
        found = dict(_find_values(folder, [*parts[:-1], parts[-1] + end])) | found
    return sorted(found.items(), key=lambda item: natural_key(item[0]))


def _find_values(folder: Path, parts: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the texts that @ stands for in the names of existing files, sorted, with these files."""
    first, *others = parts
    before, _, after = (re.escape(part) for part in first.partition(WILDCARD))
    form = re.compile(f"{before}(?P<value>.+){after.replace(re.escape(WILDCARD), '(?P=value)')}", re.DOTALL)
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise ReadError(f"{folder}: cannot be listed ({error.strerror}); check the path") from error
    found = []
    for name in names:
        if (match := form.fullmatch(name)) is None or (before == "" and name.startswith(".")):
            continue
        value = match["value"]
        if value == WILDCARD:
            continue  # This is the file that has the @ in its name.
        path = folder.joinpath(name, *(part.replace(WILDCARD, value) for part in others))
        if os.path.isfile(path):  # noqa: PTH113, a name that is too long is absent
            found.append((value, path))
    return sorted(found, key=lambda item: natural_key(item[0]))


def read_fileset_list(path: AnyPath) -> list[AnyPath]:
    """Read the names of filesets from a file: a path, prefix or pattern a line; blank lines and those with # are none.

    A line may also have .bed, .bim and .fam, as the lists of PLINK's --merge-list. Paths are taken from the current
    folder.

    Raises
    ------
    ReadError
        If the file cannot be read, or a fileset is absent.
    MalformedInputError
        If it names no fileset.
    """
    names: list[AnyPath] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line or line.startswith("#"):
            continue
        name = _one_name(line)
        if WILDCARD not in name and not os.path.exists(find_bed(name)):  # noqa: PTH110, a name that is too long is absent
            beside = Path(path).parent / name
            hint = " (it lies beside the list)" if os.path.exists(find_bed(beside)) else ""  # noqa: PTH110
            fact = f"{os.fspath(path)}, line {number}: there is no fileset {shortened(name)}{hint}"
            raise ReadError(f"{fact}; correct it, paths are taken from the current folder")
        names.append(name)
    if not names:
        raise MalformedInputError(f"{os.fspath(path)}: names no fileset; give a path or prefix a line")
    return names


def _one_name(line: str) -> str:
    """Return the name of the fileset of a line, which may have the names of its three files."""
    cells = line.split()
    if len(cells) == 3 and (end := next((end for end in BED_ENDS if cells[0].endswith(end)), "")):
        stem = cells[0].removesuffix(end)
        if cells[1:] == [f"{stem}.bim", f"{stem}.fam"]:
            return cells[0]
    return line


def pattern_hint(path: AnyPath) -> str:
    """Return the remedy for a name that is absent and looks like a pattern of another program; empty for others."""
    if _OTHER_PATTERNS.search(os.fspath(path)) is None:
        return ""
    return f"in a pattern {WILDCARD} stands for the chromosome, as in 'chr{WILDCARD}.bed'"
