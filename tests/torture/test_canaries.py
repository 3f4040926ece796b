"""Deliberate breakages are caught by the tests that docs/reliability.md names: three here, all in `make torture`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torture import canaries

ROOT = Path(__file__).resolve().parents[2]


def test_first_canaries_are_caught() -> None:
    assert canaries.run(full=False) == {"breakages": 3, "caught": 3}


@pytest.mark.parametrize("canary", canaries.CANARIES, ids=lambda canary: canary.name)
def test_text_that_a_canary_changes_is_there_once(canary: canaries.Canary) -> None:
    assert (ROOT / "src" / "lfmm2" / canary.file).read_text().count(canary.old) == 1


def test_document_lists_all_canaries() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (.*) \| `([a-z_/]*test_.*)` \|$", text, re.MULTILINE)
    expected = [(canary.name, canary.test) for canary in canaries.CANARIES]
    assert rows == [*expected, (canaries.UNORDERED_SUM.name, canaries.UNORDERED_SUM_TEST.removeprefix("tests/"))]
