"""Sample IDs, and the lists of samples and SNPs that users bring."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Paths
from lfmm2._words import some_of
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.text_tables import repeated, stream_tables

# Bytes of memory that the IDs of one sample take as Python strings, those of the .fam and those of the tables. With a
# smaller number the memory plan of a run would promise too little.
SAMPLE_BYTES = 500


@dataclass(frozen=True)
class Samples:
    """Family and individual IDs of the samples, in .fam order."""

    fid: tuple[str, ...]
    iid: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.iid)


def first_two_columns(path: AnyPath, rule: str, least: int = 1) -> tuple[list[str], list[str]]:
    """Return the first column of a file and, if there is one, the second.

    Raises MalformedInputError, with `rule` as what there should be, if the file has fewer than `least` columns.
    """
    columns: tuple[list[str], list[str]] = ([], [])
    for table in stream_tables(path, rule, lambda n: [str(i) for i in range(n)] if n >= least else None):
        for values, column in zip(columns, table.columns, strict=False):
            values.extend(column.to_pylist())
    return columns


def joined_ids(fid: Sequence[str], iid: Sequence[str]) -> list[str]:
    """Return one key per sample: FID and IID with a blank between them, which no ID of a .fam has."""
    return list(map("{} {}".format, fid, iid))


@dataclass(frozen=True)
class SampleList:
    """Samples that a --keep or --remove file lists.

    Attributes
    ----------
    mask : ndarray of shape (n_samples,), bool
        True for the samples in the list.
    n_unknown : int
        Number of IDs in the list that are of no sample.
    fault : str
        Description of these IDs for a message; empty if there are none.
    """

    mask: NDArray[np.bool_]
    n_unknown: int
    fault: str = ""


def read_sample_list(path: AnyPath, samples: Samples) -> SampleList:
    """Read a list of IIDs, or of FID and IID, with or without a PLINK header line.

    Raises InconsistentInputError if a listed ID is of several samples, and the errors of `stream_tables`.
    """
    first, second = first_two_columns(path, "a list of samples has an ID per line")
    start = int(first[0] in ("#FID", "#IID", "FID", "IID"))
    pairs = bool(second) and first[0] not in ("#IID", "IID")
    keys = joined_ids(samples.fid, samples.iid) if pairs else list(samples.iid)
    listed = set((joined_ids(first, second) if pairs else first)[start:])
    if twins := [iid for iid in repeated(keys) if iid in listed]:
        raise InconsistentInputError(f"{path}: {some_of(twins)}: several samples each; list FID and IID")
    mask = np.array([key in listed for key in keys], dtype=np.bool_)
    unknown = sorted(listed.difference(keys))
    if not unknown:
        return SampleList(mask, 0)
    others = [key for key in keys if key not in listed]
    hints = spelling_hints(unknown, others, dict(zip(samples.iid, samples.fid, strict=True)))
    if any("," in key for key in unknown):
        hints.append("columns of a list are separated by blanks or tabs, not by commas")
    if pairs:
        hints += _hints_of_pairs(first[start:], second[start:], samples)
    return SampleList(
        mask, len(unknown), "; ".join([f"{len(unknown)} IDs are not in the .fam ({some_of(unknown)})", *hints])
    )


def _hints_of_pairs(first: Sequence[str], second: Sequence[str], samples: Samples) -> list[str]:
    """Say how many IIDs of a list of FID and IID are there with another FID, as beside row numbers, or come first."""
    hints = []
    for what, column in (("the second column alone", second), ("the first column alone", first)):
        if n_alike := len(set(column) & set(samples.iid)):
            hints.append(f"{n_alike} are IIDs in {what}; list IIDs only, or FID and IID as in the .fam")
            break
    return hints


def as_paths(paths: Paths | None) -> list[AnyPath]:
    """Return one path, several or none as a list."""
    if paths is None:
        return []
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def id_files(ids: object) -> list[AnyPath]:
    """Return the files of a list of SNPs: one path, or a collection of `os.PathLike`; none of a collection of IDs."""
    if isinstance(ids, str | os.PathLike):
        return [ids]
    if not isinstance(ids, Collection):
        return []
    files: list[AnyPath] = [item for item in ids if isinstance(item, os.PathLike)]
    if files and len(files) < len(ids):
        raise UsageError("a list of SNPs has both IDs and files (os.PathLike) in it; give either")
    return files


def read_id_list(ids: str | os.PathLike[str] | Iterable[object]) -> list[str]:
    """Return SNP IDs, those of several files together.

    A file has them in the first column, without a header, as PLINK's prune.in.
    """
    files = id_files(ids)
    if not files:
        return [str(name) for name in ids]  # type: ignore[union-attr]
    return [name for file in files for name in first_two_columns(file, "a list of SNPs has an ID per line")[0]]
