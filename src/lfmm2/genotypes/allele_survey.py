"""What is found in a list of variants that may have more than two alleles, and which of them are left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfmm2._typing import Ints
from lfmm2._words import counted, some_of
from lfmm2.errors import InconsistentInputError
from lfmm2.genotypes.variant_survey import VariantSurvey


class AlleleSurvey(VariantSurvey):
    """The survey of variants that may have more than two alleles, with commas between those of A1 or A2.

    Parameters
    ----------
    remedy : str
        What to do to use them, in an imperative sentence.
    """

    def __init__(self, remedy: str) -> None:
        super().__init__()
        self._remedy = remedy
        self._several: list[Ints] = []
        self._n_alleles: list[Ints] = []
        self._several_ids: list[str] = []

    def _find_left_out(self, table: pa.Table) -> None:
        """Add the SNPs with a negative position, and those with more than two alleles."""
        super()._find_left_out(table)
        n_commas = sum(pc.count_substring(table[name], ",").to_numpy().astype(np.int64) for name in ("A1", "A2"))
        rows = np.flatnonzero(n_commas)
        if len(rows):
            self._several.append(self.n_snps + rows)
            self._n_alleles.append(2 + n_commas[rows])
            self._several_ids += table["ID"].take(rows[:6]).to_pylist()

    @property
    def several(self) -> tuple[Ints, Ints]:
        """Return the positions of the SNPs with more than two alleles, and how many each has."""
        none = np.empty(0, np.int64)
        return np.concatenate([none, *self._several]), np.concatenate([none, *self._n_alleles])

    @property
    def left_out(self) -> Ints | None:
        """Return the ascending positions of all SNPs that are left out; None if there are none."""
        negative, several = super().left_out, self.several[0]
        if not len(several):
            return negative
        return several if negative is None else np.union1d(negative, several)

    def faults(self) -> list[str]:
        """Return a sentence for each fault that was found."""
        found = super().faults()
        if n := len(self.several[0]):
            fact = f"{counted(n, 'variant')} with more than two alleles ({some_of(self._several_ids)}), left out"
            found.insert(0, f"{fact}; to use them, {self._remedy}")
        return found

    def refuse_if_none_is_left(self, name: str) -> None:
        """Raise InconsistentInputError if all SNPs of the file `name` are left out."""
        if self.left_out is not None and len(self.left_out) == self.n_snps:
            raise InconsistentInputError(f"{name}: all of its SNPs are left out: {'; '.join(self.faults())}")
