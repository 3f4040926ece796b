"""What a run knows of its samples after it has compared them: repeats, relatives, and which samples are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._words import counted, some_of, with_spaces
from lfmm2.genotypes import FEWEST_DIFFERENCES, SamplePairs
from lfmm2.results import ComparisonFacts

# Bytes that are held for each sample: missing rate, group, whether it is kept, and its entries in the table.
COMPARISON_BYTES = 64
# IIDs of a group of repeats that the record names, and relatives of a sample that the table names.
_MOST_NAMED = 20


@dataclass(frozen=True, eq=False)
class SampleComparison:
    """The samples that were compared, in short and sample by sample.

    Attributes
    ----------
    fids, iids : list of str
        FIDs and IIDs of the samples compared.
    pairs : SamplePairs
    is_kept : ndarray of shape (n_compared,), bool
        False for the repeats that drop_duplicates leaves out.
    facts : ComparisonFacts
    """

    fids: list[str]
    iids: list[str]
    pairs: SamplePairs
    is_kept: NDArray[np.bool_]
    facts: ComparisonFacts

    def table(self) -> pa.Table:
        """Return FID, IID, MISSING, REPEAT_GROUP, N_FIRST_DEGREE, FIRST_DEGREE and KEPT of the samples compared."""
        relatives: list[list[str]] = [[] for _ in self.iids]
        for i, j in self.pairs.relatives.tolist():
            relatives[i].append(self.iids[j])
            relatives[j].append(self.iids[i])
        return pa.table(
            {
                "FID": self.fids,
                "IID": self.iids,
                "MISSING": self.pairs.missing,
                "REPEAT_GROUP": pa.array(self.pairs.group, mask=self.pairs.group == 0),
                "N_FIRST_DEGREE": pa.array([len(others) for others in relatives]),
                "FIRST_DEGREE": pa.array([",".join(others[:_MOST_NAMED]) or None for others in relatives], pa.string()),
                "KEPT": pa.array(["yes" if kept else "no" for kept in self.is_kept.tolist()]),
            }
        )


def describe_pairs(pairs: SamplePairs, fids: list[str], iids: list[str], drops: bool) -> SampleComparison:
    """Sum up the pairs, and choose the samples to keep."""
    sizes = np.bincount(pairs.group)
    sizes[0] = 0
    is_kept = np.ones(len(iids), np.bool_)
    largest: list[str] = []
    if sizes.any():
        largest = [iids[row] for row in np.flatnonzero(pairs.group == sizes.argmax())[:_MOST_NAMED].tolist()]
    if drops:
        # Sorted by group, then by missing calls, then as they are; the first of each group is kept.
        order = np.lexsort([np.arange(len(iids)), pairs.missing, pairs.group])
        repeats = order[(pairs.group[order] > 0) & (np.diff(pairs.group[order], prepend=-1) == 0)]
        is_kept[repeats] = False
    expected = pairs.n_snps * (1.0 if np.isnan(pairs.mean_difference) else pairs.mean_difference)
    facts = ComparisonFacts(
        n_samples=len(iids), n_snps=pairs.n_snps, mean_difference=pairs.mean_difference,
        repeat_difference=pairs.repeat_difference,
        decided=bool(expected >= FEWEST_DIFFERENCES), n_groups=len(sizes) - 1,
        n_repeated=int(sizes.sum()) - (len(sizes) - 1), largest=largest, n_first_degree=pairs.n_relatives,
        left_out=[iids[row] for row in np.flatnonzero(~is_kept).tolist()],
    )  # fmt: skip
    return SampleComparison(fids, iids, pairs, is_kept, facts)


def repeats_note(comparison: SampleComparison | None) -> str:
    """Return a warning of samples that repeat another and are in use; empty if there are none."""
    if comparison is None or comparison.facts.n_in_use == 0:
        return ""
    facts = comparison.facts
    verb, groups = "repeats" if facts.n_repeated == 1 else "repeat", counted(facts.n_groups, "group")
    which = "" if facts.n_groups == 1 else "the largest is "
    most = f", at most {facts.repeat_difference:.1%} of calls differ" if facts.repeat_difference > 0 else ""
    return (
        f"{with_spaces(facts.n_repeated)} of {counted(facts.n_samples, 'sample')} {verb} the genotype of another "
        f"({groups}, {which}{some_of(facts.largest)}{most}), but p-values count all samples as independent; keep one "
        "of each with --drop-duplicates, or test one row per genotype with the mean of its variables"
    )
