"""The .psam of a PLINK 2 fileset: the IDs of its samples, and their other columns by name.

The last of the lines that begin with # is the header: #FID IID …, or #IID … without families. Without a header the
columns are those of a .fam.
"""

from __future__ import annotations

from lfmm2._typing import AnyPath
from lfmm2._words import shortened, some_of
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import open_text, repeated, stream_tables
from lfmm2.genotypes.fam_file import checked_samples, fam_column, read_fam, read_fam_column

_RULE = "a .psam has a column IID"
# Mark of UTF-8 that some programs write at the beginning.
_MARK = b"\xef\xbb\xbf"
# Bytes of a line of the header that are read: a longer one is no header of samples.
_LINE_BYTES = 1 << 20


class PsamFile:
    """The samples of a .psam, or of a .fam in its place.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    samples : Samples
        FID is "0" where there are no families.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is empty, ragged, not UTF-8, or has a header that does not begin with #FID IID or #IID.
    InconsistentInputError
        If two samples have the same IDs.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self._names = _read_header(path)
        if self._names is None:
            self.samples = read_fam(path)
            return
        iid = self._read("IID")
        fid = self._read("FID") if "FID" in self._names else ["0"] * len(iid)
        self.samples = checked_samples(path, fid, iid)

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return a column by its name, a text for each sample; None if there is none of this name."""
        if self._names is None:
            column = fam_column(name)
            return None if column is None else read_fam_column(self.path, name, column)
        return tuple(self._read(name)) if name.upper() in self._names else None

    @property
    def names(self) -> list[str]:
        """Return the names of the columns that samples can be grouped by."""
        return ["FID"] if self._names is None else [name for name in self._names if name != "IID"]

    def _read(self, name: str) -> list[str]:
        """Read one of the columns that the header names."""
        names = self._names or []
        at = names.index(name.upper())
        layout = ["0" if i == at else f"column {i}" for i in range(len(names))]
        tables = stream_tables(self.path, _RULE, lambda n_columns: None, header=lambda cells: layout)
        return [cell for table in tables for cell in table.column(0).to_pylist()]


def _read_header(path: AnyPath) -> list[str] | None:
    """Return the names of the columns, in capitals; None without a header."""
    last = b""
    with open_text(path) as file:
        try:
            while (line := file.readline(_LINE_BYTES).removeprefix(_MARK)).startswith(b"#"):
                last = line
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}; check the disk") from error
    if not last:
        return None
    names = last.decode("utf-8", "backslashreplace").removeprefix("#").upper().split()
    if names[:1] != ["IID"] and names[:2] != ["FID", "IID"]:
        shown = shortened(last.decode("utf-8", "backslashreplace").strip())
        raise MalformedInputError(f"{path}: the header is {shown!r}; a .psam has #FID IID … or #IID …, correct it")
    if twins := repeated(names):
        raise MalformedInputError(f"{path}: repeated column names ({some_of(twins)}); rename them")
    return names
