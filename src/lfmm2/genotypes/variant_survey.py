"""What is legal in lists of SNPs but probably a mistake: SNPs out of order, repeated IDs, negative positions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.files import OddPositions
from lfmm2.genotypes.source import NO_ID

# Groups of IDs searched for repeats one after the other. A hash table takes about 60 bytes an ID, so with fewer
# groups it is larger; each group reads all IDs once more.
_ID_GROUPS = 16


class VariantSurvey:
    """Number of SNPs in a .bim, and what is legal but probably a mistake; several .bim may be read as one.

    Attributes
    ----------
    n_snps : int
        Number of SNPs in the file that was begun last, or in the only one.
    chromosomes : set of str
        Chromosomes of this file.
    odd : OddPositions
        Positions that are not written as whole numbers, of all files.
    """

    def __init__(self) -> None:
        self.n_snps = 0
        self.chromosomes: set[str] = set()
        self.odd = OddPositions()
        self._where = ""
        self._has_odd = False
        self._left_out: list[Ints] = []
        self._n_left_out = 0
        self._left_out_ids: list[str] = []
        self._n_parts = 0
        self._all_chromosomes: set[str] = set()
        self._last: tuple[str, int] = ("", 0)
        self._disorder: str | None = None
        self._n_repeated = 0
        self._repeated: list[str] = []

    def begin_file(self, name: str) -> None:
        """Begin the next one of several files, whose SNPs follow those of the files before it; `name` is for messages.

        Without it, all SNPs are those of one file.
        """
        self.n_snps, self.chromosomes, self._left_out = 0, set(), []
        self._where = f"{name}, "

    def add_order(self, tables: Iterable[pa.Table]) -> None:
        """Add the next SNPs, in tables whose columns have one chunk each, without comparing their IDs."""
        for table in tables:
            self._find_left_out(table)
            chromosomes = table["CHROM"].chunk(0)
            self.chromosomes.update(pc.unique(chromosomes).to_pylist())
            if self._disorder is None:
                self._disorder = self._find_disorder(chromosomes, table["POS"].to_numpy())
            self.n_snps += table.num_rows
        if self.odd.number and not self._has_odd:
            self._has_odd, self.odd.first = True, self._where + self.odd.first

    def add_ids(self, tables: Iterable[pa.Table]) -> None:
        """Look for IDs that occur more than once in these tables, but not in those of another call."""
        self._find_repeats([table["ID"].chunk(0) for table in tables])
        self._n_parts += 1

    def _find_repeats(self, chunks: list[pa.Array]) -> None:
        """Count the IDs that occur more than once, in groups by their last byte (see `_ID_GROUPS`)."""
        groups = [_last_bytes(ids) % _ID_GROUPS for ids in chunks]
        for group in range(_ID_GROUPS):
            ids = pa.chunked_array([c.filter(pa.array(g == group)) for c, g in zip(chunks, groups, strict=True)])
            if len(pc.unique(ids)) < len(ids):
                counts = pc.value_counts(ids.filter(pc.not_equal(ids, NO_ID)))
                names = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
                self._n_repeated += len(names)
                self._repeated += names[:6].to_pylist()

    def _find_left_out(self, table: pa.Table) -> None:
        """Add the SNPs with a negative position, which PLINK leaves out."""
        rows = np.flatnonzero(table["POS"].to_numpy() < 0)
        if len(rows):
            self._left_out.append(self.n_snps + rows)
            self._n_left_out += len(rows)
            self._left_out_ids += table["ID"].take(rows[:6]).to_pylist()

    @property
    def left_out(self) -> Ints | None:
        """Return the ascending positions in the file of the SNPs that are left out; None if there are none."""
        return np.concatenate(self._left_out) if self._left_out else None

    def _find_disorder(self, chromosomes: pa.Array, positions: NDArray[np.int64]) -> str | None:
        """Describe the first line where a chromosome comes again, or else where positions fall; None if in order.

        SNPs that are left out do not count.
        """
        lines = self.n_snps + 1 + np.flatnonzero(positions >= 0)
        if len(lines) < len(positions):
            chromosomes, positions = chromosomes.filter(pa.array(positions >= 0)), positions[positions >= 0]
        if not len(lines):
            return None
        changed = pc.not_equal(chromosomes[1:], chromosomes[:-1]).to_numpy(zero_copy_only=False)
        starts = np.append(0, np.flatnonzero(changed) + 1)
        name, last_position = self._last
        for start, chromosome in zip(starts.tolist(), chromosomes.take(starts).to_pylist(), strict=True):
            if chromosome != name and chromosome in self._all_chromosomes:
                return f"{self._where}line {lines[start]}: chromosome {chromosome} comes again after {name}"
            self._all_chromosomes.add(chromosome)
            name = chromosome
        falls = np.append(
            chromosomes[0].as_py() == self._last[0] and positions[0] < last_position, np.diff(positions) < 0
        )
        falls[starts[1:]] = False
        self._last = name, int(positions[-1])
        if not falls.any():
            return None
        row = int(np.argmax(falls))
        fall = f"position {positions[row]} after {positions[row - 1] if row else last_position}"
        return f"{self._where}line {lines[row]}: {fall} on chromosome {chromosomes[row]}"

    def faults(self) -> list[str]:
        """Return a sentence for each fault that was found."""
        found = []
        if self._n_left_out:
            fact = f"{counted(self._n_left_out, 'SNP')} with a negative position ({some_of(self._left_out_ids)})"
            found.append(f"{fact}, left out as PLINK does; give positions from 0 on to use them")
        if sentence := self.odd.sentence():
            found.append(sentence)
        if self._disorder:
            found.append(f"is not sorted ({self._disorder}); results keep its order, PLINK 1.9 --make-bed sorts it")
        if self._repeated:
            least = "at least " if self._n_parts > 1 else ""
            number = f"{least}{with_spaces(self._n_repeated)} IDs stand for several SNPs"
            found.append(f"{number} ({some_of(self._repeated)}); results have them as they are, lists cannot name them")
        return found


def _last_bytes(strings: pa.Array) -> NDArray[np.uint8]:
    """Return the last byte of each string, none of which is empty or null."""
    _, offsets, text = strings.buffers()
    ends = np.frombuffer(offsets, np.int32)[strings.offset + 1 : strings.offset + len(strings) + 1]
    last: NDArray[np.uint8] = np.frombuffer(text, np.uint8)[ends - 1]
    return last
