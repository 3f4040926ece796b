"""Tables of numbers and a sealed note in one file: an uncompressed zip of .npy, which `numpy.load` reads too.

The rows are written and read block by block, so that a table may be larger than memory. The checksums of the zip
(CRC-32) and the seal of the note (SHA-256) tell damage.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lfmm2._typing import Floats
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.seals import seal_json, unseal_json

_NOTE = "note.json"


@dataclass(frozen=True)
class RowTable:
    """A table of float64 to write: the number of its rows and columns, and its rows block by block."""

    n_rows: int
    n_columns: int
    blocks: Iterable[Floats]


def write_row_archive(file: BinaryIO, note: dict[str, Any], tables: Mapping[str, RowTable]) -> None:
    """Write tables by their names, and a note in terms of JSON, to an open file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_NOTE, seal_json(note))
        for name, table in tables.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                shape = table.n_rows, table.n_columns
                header = {"descr": "<f8", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for rows in table.blocks:
                    if rows.size:
                        member.write(np.ascontiguousarray(rows, "<f8").data.cast("B"))


class RowArchive:
    """A file that `write_row_archive` has written, open for reading; a context manager.

    Parameters
    ----------
    path : Path
    fault : str
        What a file is not that is damaged or another one, and the remedy, for messages.

    Attributes
    ----------
    note : dict

    Raises
    ------
    ReadError
        If the file cannot be opened.
    MalformedInputError
        If it is damaged, or another file.
    """

    def __init__(self, path: Path, fault: str) -> None:
        self.path = path
        self._fault = fault
        with self._translated():
            self._archive = zipfile.ZipFile(path)
            note = None
            with contextlib.suppress(KeyError):  # Another zip has no such note.
                note = unseal_json(self._archive.read(_NOTE))
        if note is None:
            self.close()
            raise MalformedInputError(f"{path}: {fault}")
        self.note = note

    def __enter__(self) -> RowArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def blocks(self, shapes: Mapping[str, int], n_rows: int, block_rows: int) -> Iterator[list[Floats]]:
        """Yield the rows of several tables side by side, `block_rows` at a time.

        Parameters
        ----------
        shapes : mapping of str to int
            Number of columns of each table by its name.
        n_rows : int
            Number of rows of each table.
        block_rows : int

        Raises
        ------
        ReadError, MalformedInputError
            If a table cannot be read, is damaged or has another shape; damage may be told as late as after the last
            row.
        """
        with self._translated(), contextlib.ExitStack() as opened:
            members = {name: opened.enter_context(self._archive.open(f"{name}.npy")) for name in shapes}
            for name, member in members.items():
                version = np.lib.format.read_magic(member)
                shape, by_columns, kind = np.lib.format.read_array_header_1_0(member)
                if version != (1, 0) or shape != (n_rows, shapes[name]) or by_columns or kind != np.dtype("<f8"):
                    raise ValueError(f"{name} has another shape")
            for first in range(0, n_rows, block_rows):
                n = min(block_rows, n_rows - first)
                yield [_read_rows(member, n, shapes[name]) for name, member in members.items()]
            if any(member.read(1) for member in members.values()):
                raise ValueError("there are more rows than were written")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of reading into those of this package."""
        try:
            yield
        except OSError as error:
            raise ReadError(f"{self.path}: cannot be read ({error.strerror or error}); check the path") from error
        except (zipfile.BadZipFile, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
            raise MalformedInputError(f"{self.path}: {self._fault}") from error


def _read_rows(member: Any, n_rows: int, n_columns: int) -> Floats:
    """Read the next rows of a table."""
    data = member.read(8 * n_rows * n_columns)
    return np.frombuffer(data, "<f8").astype(np.float64, copy=False).reshape(n_rows, n_columns)
