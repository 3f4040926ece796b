"""The .sample of a BGEN: two lines of header, names and types of the columns, then a line for each sample."""

from __future__ import annotations

from lfmm2._checks import quoted
from lfmm2._typing import AnyPath
from lfmm2._words import some_of
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files import open_text, repeated, stream_tables
from lfmm2.genotypes.fam_file import checked_samples

_RULE = "a .sample has columns ID_1 ID_2 missing"
_N_HEADER_LINES = 2
# Bytes of a line of the header that are read.
_LINE_BYTES = 1 << 20
# Types of columns: IDs and rate of missing calls, discrete, continuous, phenotypes, binary; those of strings of QCTOOL.
_TYPES = frozenset("0DCPBS")


class SampleFile:
    """The samples of a .sample.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    samples : Samples
        FID and IID are ID_1 and ID_2. Where there is one column of IDs, these are the IIDs, and FID is "0".

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is empty, ragged, not UTF-8, or has another header.
    InconsistentInputError
        If two samples have the same IDs.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self._names = self._read_header()
        iid = self._read("IID")
        fid = self._read("FID") if "FID" in self._names else ["0"] * len(iid)
        self.samples = checked_samples(path, fid, iid)

    def _read_header(self) -> list[str]:
        """Return the names of the columns, in capitals, with FID and IID as those of the IDs."""
        with open_text(self.path) as file:
            try:
                lines = [file.readline(_LINE_BYTES) for _ in range(_N_HEADER_LINES)]
            except OSError as error:
                raise ReadError(f"{self.path}: {error.strerror}; check the disk") from error
        names, types = (line.decode("utf-8-sig", "backslashreplace").split() for line in lines)
        if len(names) != len(types) or types[:1] != ["0"] or not _TYPES.issuperset(types):
            shown = " and ".join(quoted(" ".join(cells)) for cells in (names, types))
            fact = f"{self.path}: begins with the lines {shown}"
            raise MalformedInputError(
                f"{fact}, but a .sample with names such as ID_1 ID_2 missing and types such as 0 0 0"
            )
        names = [name.upper() for name in names]
        is_pair = len(types) > 1 and types[1] == "0" and names[1] != "MISSING"
        names[: 1 + is_pair] = ["FID", "IID"] if is_pair else ["IID"]
        if twins := repeated(names):
            raise MalformedInputError(f"{self.path}: repeated column names ({some_of(twins)}); rename them")
        return names

    @property
    def names(self) -> list[str]:
        """Return the names of the columns that samples can be grouped by."""
        return [name for name in self._names if name not in ("IID", "MISSING")]

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return a column by its name, a text for each sample; None if there is none of this name."""
        return tuple(self._read(name)) if name.upper() in self._names else None

    def _read(self, name: str) -> list[str]:
        """Read a column without its name and type."""
        at = self._names.index(name.upper())
        layout = ["0" if i == at else f"column {i}" for i in range(len(self._names))]
        tables = stream_tables(self.path, _RULE, lambda n_columns: layout)
        return [cell for table in tables for cell in table.column(0).to_pylist()][_N_HEADER_LINES:]
