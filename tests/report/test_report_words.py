"""What a report says in words: of inflation, of the suggested K, of old results, and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_results import write_results

from lfmm2.report.report_words import (
    counted_as,
    gif_cells,
    number,
    scree_sentence,
    small_p,
    small_q,
    suggestion,
)
from lfmm2.results import ScreeFacts, SweepFacts, ThinningFacts
from lfmm2.results.stored_run import StoredRun


@pytest.mark.parametrize(
    ("neg_log10", "shown"),
    [
        (0.0, "1.000"),
        (1.0, "0.100"),
        (5.0, "1.00·10⁻⁵"),
        (299.94, "1.15·10⁻³⁰⁰"),
        (5000.5, "3.16·10⁻⁵⁰⁰¹"),
        (np.nan, "—"),
        (-np.log10(9.999e-8), "1.00·10⁻⁷"),
    ],
)
def test_p_of_any_size_is_written(neg_log10: float, shown: str) -> None:
    assert small_p(neg_log10) == shown


@pytest.mark.parametrize(("q", "shown"), [(0.0, "0"), (0.5, "0.500"), (0.00123, "1.23·10⁻³"), (np.nan, "—")])
def test_q_of_any_size_is_written(q: float, shown: str) -> None:
    assert small_q(q) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0123, "0.0123"), (-0.0000812, "−8.12·10⁻⁵"), (1.5e12, "1.5·10¹²"), (np.inf, "—"), (None, "—")],
)
def test_numbers_of_any_size_are_written(value: float | None, shown: str) -> None:
    assert number(value, ".3g") == shown


def test_numbers_may_have_as_many_digits_each() -> None:
    assert [number(value, "#.3g") for value in (0.01, 0.0091, 123.4, 1e-5)] == ["0.0100", "0.00910", "123", "1.00·10⁻⁵"]


def test_one_is_singular() -> None:
    assert [counted_as(n, "axis", "axes") for n in (0, 1, 2000)] == ["0 axes", "1 axis", "2 000 axes"]


def test_gif_of_a_table_is_judged_on_the_sweep_and_the_structure_of_its_run(tmp_path: Path) -> None:
    prefix = write_results(tmp_path / "r", np.zeros((40, 2)), gif=2.5, K=3, sweep=(1, 3))
    run = StoredRun(prefix)
    rows = [
        {"K": k, "VARIABLE": "env1", "GIF": gif, "GIF_SE": 0.01, "LAMBDA": "1e-05"} for k, gif in ((1, 1.5), (3, 2.5))
    ]
    shown, meaning = gif_cells(run, "env1", rows)
    assert shown == "2.500 ± 0.010"
    assert "it grows from 1.500 ± 0.010 (K = 1) to 2.500 ± 0.010 (K = 3): take fewer factors" in meaning
    assert "compare the variables by K" in gif_cells(run, "joint", rows)[1]
    assert "compare numbers of factors" in gif_cells(run, "env2", [])[1]


@pytest.mark.parametrize(
    ("suggested", "n_axes", "shown", "more"),
    [
        (3, 5, "Suggested: K = 3, the end of the range.", "before the 5 axes that stand out: sweep further"),
        (3, 3, "Suggested: K = 3.", ""),
        (2, 2, "Suggested: K = 2.", ""),
        (None, 2, "No K is suggested.", ""),
    ],
)
def test_suggestion_tells_the_end_of_the_range(
    tmp_path: Path, suggested: int | None, n_axes: int, shown: str, more: str
) -> None:
    record = {"scree": {"n_axes": n_axes}}
    run = StoredRun(write_results(tmp_path / "r", np.ones((20, 1)), sweep=(1, 2, 3), record=record))
    text, why = suggestion(run, SweepFacts([1, 2, 3], suggested, "the scree says so", {}, "1e-05", {"1e-05": 1e-5}))
    assert text == shown
    assert why.startswith("The scree says so. ")
    assert (more in why) if more else ("range" not in why)


def test_scree_is_told_in_singular_and_plural() -> None:
    assert scree_sentence(ScreeFacts(1, 812.0, 1933.4, False, 9000, None, None)) == (
        "1 axis stands out from chance; the genotypes count as 812 independent SNPs, so that chance makes eigenvalues "
        "up to 1 933."
    )
    assert scree_sentence(ScreeFacts(2, np.nan, np.nan, False, 9000, None, None)) == "2 axes stand out from chance."
    assert scree_sentence(ScreeFacts(0, 26.0, 90.0, True, 9000, None, None)).startswith("Too few factors were")
    thinned = ScreeFacts(2, np.nan, np.nan, False, 812, ThinningFacts(0.2, "200", 9000, 812), 12)
    assert scree_sentence(thinned) == (
        "2 axes stand out from chance in 812 SNPs thinned by linkage (12 in all 9 000, "
        "where linked SNPs make axes too)."
    )
