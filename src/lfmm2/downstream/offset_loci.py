"""The choice of the SNPs that a genetic offset is averaged over: all, those discovered, or those listed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._checks import are, is_id, is_number, is_path, quoted
from lfmm2._typing import Floats, ListedSnps
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.files import id_files, read_id_list, repeated
from lfmm2.results import StoredRun

Bools = NDArray[np.bool_]
# Level of q of the loci that are taken by default, that of `lfmm2 hits`.
LEVEL = 0.05


class LociChoice:
    """The loci to average over: all, those discovered, or those listed.

    Parameters
    ----------
    loci, joint
        As `lfmm2.downstream.offset.genetic_offset` takes them.
    runs : sequence of StoredRun

    Attributes
    ----------
    level : float or None
        Level of q; None unless loci are chosen by it.
    is_open : bool
        True if loci are those discovered, or all if there are none.
    found_none : bool
        True if all SNPs were taken because none is discovered.
    wanted : pyarrow.Array or None
        Listed IDs; None unless loci are listed.
    tests : tuple of str
        Tables whose q is compared with the level.
    label : str
        The choice in messages.
    words : str
        The choice, to be read after the number of loci; empty for all SNPs.
    """

    def __init__(self, loci: float | ListedSnps, joint: bool, runs: Sequence[StoredRun]) -> None:
        self.level: float | None = None
        self.is_open = isinstance(loci, str) and loci == "auto"
        self.found_none = False
        self.words = ""
        self.wanted: pa.Array | None = None
        self.tests: tuple[str, ...] = ()
        self._found: list[str] = []
        self._smallest = np.nan
        fits = is_number(loci) or is_path(loci) or are(loci, is_id)
        if not fits or not isinstance(loci, Real | os.PathLike | Iterable):
            raise UsageError(f"loci is {quoted(loci)}; give 'auto', 'all', a level of q such as 0.05, or SNP IDs")
        if self.is_open or isinstance(loci, Real):
            self.level = float(loci) if isinstance(loci, Real) else LEVEL
            if not 0 < self.level <= 1:
                raise UsageError(f"loci is {loci}; a level of q lies above 0 and at most at 1")
            self.tests = ("joint",) if joint else runs[0].variables
            if absent := [run for run in runs if joint and "joint" not in run.tables]:
                raise UsageError(f"{absent[0].prefix}: has no joint test, with one variable it is that of the variable")
            self.label = f"q < {self.level:g}"
            self.words = f" with {self.label}"
        elif joint:
            raise UsageError("joint says which q a level is for; give the level as loci")
        elif isinstance(loci, str) and loci == "all":
            self.label = "all SNPs"
        else:
            self.label = ", ".join(map(str, id_files(loci))) or "loci"
            self.words = f" of {self.label}" if id_files(loci) else " that are listed"
            ids = read_id_list(loci)
            self.wanted = pa.array(sorted(set(ids) - {"."}), pa.string())
            if not len(self.wanted):
                raise UsageError(f"{self.label}: names no SNP; give IDs of the .bim")

    def take_all(self) -> None:
        """Choose all SNPs, because none is discovered."""
        self.words = f", all SNPs, because {self.smallest_q()}"
        self.label = "all SNPs"
        self.level, self.tests, self.found_none = None, (), True

    def find_discovered(self, q: Floats) -> Bools:
        """Return which SNPs of a block have q below the level in one test."""
        assert self.level is not None
        if not np.isnan(q).all():
            self._smallest = float(np.fmin(self._smallest, np.nanmin(q)))
        found: Bools = q < self.level  # A comparison with NaN is false.
        return found

    def smallest_q(self) -> str:
        """Say that no SNP has q below the level, and the smallest q; empty unless loci are chosen by a level."""
        if self.level is None:
            return ""
        if np.isnan(self._smallest):
            return "no SNP has q"
        return f"no SNP has {self.label}, the smallest is {self._smallest:.3g}"

    def find_listed(self, ids: pa.ChunkedArray) -> Bools:
        """Return which SNPs of a block are listed."""
        assert self.wanted is not None
        mask: Bools = pc.is_in(ids, value_set=self.wanted).to_numpy()
        self._found += ids.filter(pa.array(mask)).to_pylist()
        if len(self._found) > len(self.wanted):
            raise InconsistentInputError(
                f"{self.label}: repeated SNP IDs {some_of(repeated(self._found))}; rename them"
            )
        return mask

    def check(self, run: StoredRun) -> None:
        """Raise if no SNP has a listed ID, or several have the same; warn of absent IDs. Call it after all blocks."""
        if self.wanted is None:
            return
        if twins := repeated(self._found):
            raise InconsistentInputError(f"{run.prefix}: repeated SNP IDs {some_of(twins)}; rename them")
        n_wanted = len(self.wanted)
        if not self._found:
            fact = f"{self.label}: none of {counted(n_wanted, 'ID')} is in {run.prefix}"
            raise InconsistentInputError(f"{fact}; check the IDs")
        if n_absent := n_wanted - len(self._found):
            fact = f"{counted(n_absent, 'ID')} of {with_spaces(n_wanted)} not found in {run.prefix}"
            warnings.warn(f"{self.label}: {fact}", InputWarning, stacklevel=3)
