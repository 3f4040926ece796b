"""The .fam of a PLINK 1 fileset: the IDs of its samples."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lfmm2._typing import AnyPath
from lfmm2._words import shortened, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError
from lfmm2.files import Samples, first_two_columns, joined_ids, open_text, repeated, stream_tables

# Columns of a .fam as PLINK writes it. GEMMA keeps further phenotypes after them.
_FAM_COLUMNS = 6
# Bytes that are searched for the end of the first line. A longer line is judged by its beginning alone.
_FIRST_LINE_BYTES = 1 << 16


def read_fam(path: AnyPath) -> Samples:
    """Read FID and IID from a .fam; more than six columns are accepted, since GEMMA keeps phenotypes there.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is empty, not UTF-8, has one column, a header, a blank line, lines of different length, an ID with a blank
        in it, no ID, or all IDs in quotes.
    InconsistentInputError
        If two samples have the same FID and IID.
    """
    n_columns = _count_columns(path)
    fid, iid = first_two_columns(path, "a .fam has 6 columns, FID and IID first", least=2)
    if fid[0].lstrip("#").upper() in ("FID", "IID"):
        raise MalformedInputError(f"{path}, line 1: is a header line, but a .fam has none; remove it")
    return checked_samples(path, fid, iid, n_columns)


def checked_samples(path: AnyPath, fid: Sequence[str], iid: Sequence[str], n_columns: int = _FAM_COLUMNS) -> Samples:
    """Return samples of a file, or raise if all IDs are in quotes, or two samples have the same FID and IID."""
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in iid):
        fact = f"{path}: the IDs are in quotes ({some_of(iid)}), which PLINK takes for part of them"
        raise MalformedInputError(f"{fact}; take them off, in R with write.table(quote = FALSE)")
    if repeats := repeated(joined_ids(fid, iid)):
        fact = f"{path}: {len(repeats)} repeated FID IID ({some_of(repeats)})"
        if n_columns > _FAM_COLUMNS:
            fact += f", and {n_columns} columns where a .fam has 6; if IDs have blanks, put _ in their place, or else"
            raise InconsistentInputError(f"{fact} rename them")
        raise InconsistentInputError(f"{fact}; rename them")
    return Samples(tuple(fid), tuple(iid))


def fam_column(name: str) -> int | None:
    """Return the number of a column of a .fam by its name, counted from 0; None if there is no such name."""
    name = name.upper()
    if found := re.fullmatch(r"PHENO([1-9]\d{0,5})", name):
        return _FAM_COLUMNS - 2 + int(found[1])
    return {"FID": 0, "PAT": 2, "MAT": 3, "SEX": 4, "PHENO": 5, "PHENOTYPE": 5}.get(name)


def read_fam_column(path: AnyPath, name: str, column: int) -> tuple[str, ...]:
    """Read one column of a .fam, a text for each sample; `name` is that of `fam_column`.

    Raises
    ------
    UsageError
        If the .fam has fewer columns.
    """

    def layout(n_columns: int) -> list[str]:
        """Return names of columns of which `stream_tables` keeps the wanted one alone."""
        if column >= n_columns:
            raise UsageError(f"{path}: {n_columns} columns, so there is no {name}; name one that it has, such as FID")
        return ["0" if i == column else f"column {i}" for i in range(n_columns)]

    rule = "a .fam has 6 columns, FID and IID first"
    return tuple(cell for table in stream_tables(path, rule, layout) for cell in table.column(0).to_pylist())


def _count_columns(path: AnyPath) -> int:
    """Return the number of columns of the first line; raise MalformedInputError if one of its IDs has a blank in it.

    A blank in an ID, or no ID, is seen where columns are separated by tabs. PLINK takes runs of tabs and blanks for one
    mark, so all columns after the ID would be shifted. Lines with another number of columns than the first are refused
    when they are read.
    """
    with open_text(path) as file:
        try:
            text = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0].decode("utf-8", "replace")
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}; check the disk") from error
    line = text.removeprefix("\ufeff").rstrip()
    if line.count("\t") == _FAM_COLUMNS - 1 and "" in [cell.strip() for cell in line.split("\t")[:2]]:
        raise MalformedInputError(
            f"{path}, line 1: has no FID or no IID between its tabs; write 0 where there is no FID"
        )
    cells, columns = [cell.strip() for cell in line.strip().split("\t")], line.split()
    if len(cells) >= _FAM_COLUMNS and (blank := next((cell for cell in cells[:2] if " " in cell), None)) is not None:
        raise MalformedInputError(
            f"{path}, line 1: the ID {shortened(blank)!r} has a blank in it, so PLINK reads {len(columns)} columns "
            f"where a .fam has 6; put _ in place of the blanks, in the tables too"
        )
    return len(columns)
