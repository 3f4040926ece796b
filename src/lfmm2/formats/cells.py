"""Cells of genotypes in text: 0, 1, 2 and a format's own code of missing calls, separated by blanks or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import shortened
from lfmm2.errors import MalformedInputError

Dosages = NDArray[np.int8]

# The byte that stands for a code of missing calls of several letters, and that of a dosage which is none.
_MARK = b"?"
_WRONG = np.int8(-2)
_BLANKS = np.zeros(256, bool)
_BLANKS[[ord(" "), ord("\t")]] = True


@dataclass(frozen=True)
class CellRule:
    """How a format writes calls.

    Attributes
    ----------
    missing : tuple of bytes
        Codes of a missing call.
    separated : bool
        True if there are blanks or tabs between cells.
    """

    missing: tuple[bytes, ...]
    separated: bool = True

    def read(self, text: bytes, where: str, number: int | None = None) -> Dosages:
        """Return the dosages in a line: 0, 1, 2, and −1 where missing.

        Parameters
        ----------
        text : bytes
            The cells, without the names before them.
        where : str
            File and line, for messages.
        number : int, optional
            Number of the cells that there must be.

        Raises
        ------
        MalformedInputError
            If a cell is something else, or there is another number of them.
        """
        text = text.strip(b" \t")
        codes = self._read_single_letters(text)
        if codes is None:
            codes = self._read_cells(text.split())
        wrong = np.flatnonzero(codes == _WRONG)
        if len(wrong):
            column = int(wrong[0])
            cell = (text.split() if self.separated else [text[i : i + 1] for i in range(len(text))])[column]
            self._raise_wrong(cell, where, column)
        if number is not None and len(codes) != number:
            raise MalformedInputError(
                f"{where}: {len(codes)} genotypes, but {number} are expected; the file looks truncated or mixed up, "
                "write it again"
            )
        return codes

    def _read_single_letters(self, text: bytes) -> Dosages | None:
        """Return the dosages of cells of one letter each; None if they are not."""
        if _MARK in text:
            return None
        for code in self.missing:
            if len(code) > 1:
                text = text.replace(code, _MARK)
        letters = np.frombuffer(text, np.uint8)
        if self.separated:
            if not len(letters) % 2 or not _BLANKS[letters[1::2]].all():
                return None
            letters = letters[::2]
        table = np.full(256, _WRONG, np.int8)
        table[[48, 49, 50]] = [0, 1, 2]
        for code in self.missing:
            table[ord(code if len(code) == 1 else _MARK)] = -1
        dosages: Dosages = table[letters]
        return dosages

    def _read_cells(self, cells: list[bytes]) -> Dosages:
        """Return the dosages of cells of any length."""
        value_of = {b"0": 0, b"1": 1, b"2": 2} | dict.fromkeys(self.missing, -1)
        return np.fromiter((value_of.get(cell, _WRONG) for cell in cells), np.int8, len(cells))

    def _raise_wrong(self, cell: bytes, where: str, column: int) -> None:
        """Raise MalformedInputError for a cell that is no call."""
        codes = " or ".join(code.decode() for code in self.missing)
        shown = shortened(cell.decode("utf-8", "backslashreplace"))
        fact = f"{where}: genotype {shown} in column {column + 1} is no 0, 1 or 2, and no {codes} for missing"
        raise MalformedInputError(
            f"{fact}; a .bed holds calls of diploids: give dosages, frequencies or another ploidy to "
            "lfmm2 run --matrix, or as an array to lfmm2.run in Python"
        )
