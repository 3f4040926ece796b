"""The page on reliability quotes the figures of reliability.json and no others, and all topics have passed."""

from __future__ import annotations

import json
import re

import pytest
from torture import __main__ as torture
from torture import summary


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(summary.REPORT.read_text())


def test_page_quotes_the_figures_of_the_report(report: dict) -> None:
    found = summary.BLOCK.search(summary.PAGE.read_text())
    assert found is not None
    assert found[0] == found[1] + summary.block(report) + found[2]


def test_all_topics_have_passed(report: dict) -> None:
    assert list(report["topics"]) == list(torture.TOPICS)
    assert all(topic["passed"] for topic in report["topics"].values())


def test_report_names_no_machine_and_no_path(report: dict) -> None:
    assert not re.search(r"/(tmp|home|root|work|Users)\b", json.dumps(report))
