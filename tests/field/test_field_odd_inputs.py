"""One truth given in many ways gives the right answer, or an error or a warning that names the fault.

`make test` tries 200 ways, always the same; `python -m torture.odd_inputs` tries 5 000.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import odd_inputs
import odd_offsets
import pytest
from hypothesis import given, settings
from odd_inputs import KINDS, ODD_GENOTYPES, OF_GENOTYPES, Way
from odd_tables import ARRAYS, ODDITIES, OF_CONTAINERS, TableWay
from test_properties import CHECKS

SOUND = Way(
    seed=1, ids="numbers", values="temperature", genotypes="fileset", oddities=(), code=0, table=TableWay(), covar=None,
    n_variables=1, apart=False, missing="error", intersect=False, by_name=False, steps="run", keeps=False,
)  # fmt: skip


def way_with(oddity: str) -> Way:
    """Return a way that has one oddity, of a table or of genotypes."""
    if oddity in OF_GENOTYPES:
        given = next(given for given, names in ODD_GENOTYPES.items() if oddity in names)
        container = "CSV" if given == "frame with IDs" or oddity == "IDs for genotypes without" else "array"
        table = TableWay(container=container)
        return replace(SOUND, ids="numbers from 101", genotypes=given, oddities=(oddity,), code=9, table=table)
    container = next(container for container, names in OF_CONTAINERS.items() if oddity in names)
    words = {"a word for missing": "NA", "another word for missing": "#N/A"}
    table = TableWay(
        container=container,
        id_name="FID IID" if oddity == "-9 in a PLINK table" else "sample",
        order="shuffled",
        oddities=(oddity,),
        word=words.get(oddity, "-9999" if oddity.startswith("a fill value") else ""),
        decoration="X",
        style="quoted" if container == "CSV" else "plain",
    )
    ids = "families" if oddity == "IIDs that need FIDs" else "numbers"
    missing = "drop" if ODDITIES[oddity].is_sound else "error"
    return replace(SOUND, ids=ids, table=table, missing=missing, by_name=container not in ARRAYS)


@pytest.mark.parametrize("oddity", KINDS)
def test_each_oddity_gives_the_right_t_or_a_word(oddity: str) -> None:
    odd_inputs.judge(way_with(oddity))


@settings(CHECKS, max_examples=150)
@given(way=odd_inputs.ways())
def test_data_given_in_any_way_give_the_right_t_or_a_word(way: Way) -> None:
    odd_inputs.judge(way)


@settings(CHECKS, max_examples=50)
@given(way=odd_offsets.offset_ways())
def test_environments_given_in_any_way_give_the_right_offset_or_a_word(way: odd_offsets.OffsetWay) -> None:
    odd_offsets.judge(way)


def test_plain_data_are_right_without_a_word() -> None:
    assert odd_inputs.judge(SOUND) == "right"


def test_samples_that_are_mixed_up_without_a_word_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = odd_inputs.compute

    def mixed_up(way: Way, given: odd_inputs.Given) -> np.ndarray:
        given.genotypes = np.roll(given.dosage, 1, axis=0)
        given.X[0].source = given.X[0].values
        return compute(way, given)

    monkeypatch.setattr(odd_inputs, "compute", mixed_up)
    with pytest.raises(odd_inputs.Wrong, match="a wrong answer without a word"):
        odd_inputs.judge(SOUND)
