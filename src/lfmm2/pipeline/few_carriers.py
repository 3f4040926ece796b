"""Tests that are not calibrated because of few effective carriers: their numbers, and when a run warns of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.pipeline.statistics_store import StatisticsStore
from lfmm2.results import CarrierFacts

# Share of the SNPs above which a run warns that a variable has no q for them. Rare SNPs may be a half of sound data, so
# a smaller share would warn where nothing can be done.
_MOST_FEW = 0.5
# Unevenness from which the variable is a cause. An exponential variable has 6, a normal one about 0.
_UNEVEN = 2.0


def describe_few_carriers(store: StatisticsStore, names: Sequence[str], fewest: float, spa: bool) -> CarrierFacts:
    """Return how many SNPs of each variable have fewer effective carriers than `fewest`."""
    tables = [*names, "joint"] if len(names) > 1 else list(names)
    n_few = dict(zip(tables, store.n_few_carriers[: len(tables)], strict=True))
    return CarrierFacts(fewest, n_few, store.n_tests, spa, dict(zip(names, store.unevenness, strict=True)))


def few_carriers_notes(facts: CarrierFacts, values: Floats) -> list[str]:
    """Return a sentence about each variable that leaves most SNPs without a q; `values` are (n_samples, variables)."""
    notes = []
    for j, (name, uneven) in enumerate(facts.unevenness.items()):
        n_few = facts.n_few[name]
        if facts.spa or n_few <= _MOST_FEW * facts.n_tests:
            continue
        fact = (
            f"{name}: {with_spaces(n_few)} of {with_spaces(facts.n_tests)} SNPs have fewer than {facts.fewest:g} "
            "effective carriers, and so no calibrated p and no q"
        )
        if uneven < _UNEVEN:
            notes.append(f"{fact}, because most SNPs are rare; drop these with --maf, or test them with --spa")
            continue
        cases = max(len(values) / uneven, 1.0)
        cause = f"its values are as uneven as {cases:.3g} cases among {with_spaces(len(values))} samples"
        # No transformation makes two values more even.
        transform = "" if len(np.unique(values[:, j])) <= 2 else "take its logarithm or ranks, or "
        notes.append(f"{fact}: {cause}; {transform}test them with --spa")
    return notes
