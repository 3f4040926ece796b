"""What a report says in words: of inflation, of the suggested K, of old results, and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_results import write_results

from lfmm2.report.report_words import (
    counted_as,
    meaning_of_gif,
    number,
    scree_sentence,
    small_p,
    small_q,
    suggestion,
)
from lfmm2.results import ScreeFacts, SweepFacts
from lfmm2.results.stored_run import StoredRun

GIFS = (np.nan, 0.8, 1.0, 1.3, 1.8, 2.5)


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


def test_gif_has_a_meaning() -> None:
    assert [meaning_of_gif(gif).split(":")[0] for gif in GIFS] == [
        "not defined",
        "below 1",
        "near 1",
        "above 1",
        "well above 1",
        "above 2",
    ]


def test_meaning_of_gif_depends_on_the_method() -> None:
    assert "which the calibration removes" in meaning_of_gif(1.3, "chi2")
    assert "empirical null" in meaning_of_gif(1.3, "empirical-null")
    for gif in (1.3, 1.8, 2.5):
        text = meaning_of_gif(gif, "none")
        assert "nothing removes" in text or "not calibrated" in text
        assert "calibration removes" not in text
        assert "rely on calibration" not in text


def test_meaning_of_gif_depends_on_the_sweep() -> None:
    helpless = {1: 2.2, 2: 1.9, 3: np.nan, 4: 1.41}
    assert meaning_of_gif(1.6, by_k=helpless, n_axes=4) == (
        "well above 1: no K of the sweep brings it lower than 1.41: confounding that the factors do not catch, many "
        "causal SNPs, or close relatives"
    )
    assert "ends before the 6 axes that stand out: sweep further" in meaning_of_gif(2.6, by_k=helpless, n_axes=6)
    assert "K = 4 of the sweep has 1.12" in meaning_of_gif(1.6, by_k=helpless | {4: 1.12})
    for by_k in (helpless, helpless | {4: 1.12}):
        assert "larger K" not in meaning_of_gif(1.6, by_k=by_k)
    assert "compare larger K" in meaning_of_gif(1.6)
    assert "compare the variables by K below" in meaning_of_gif(1.6, by_k={})


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
    text, why = suggestion(run, SweepFacts([1, 2, 3], suggested, "the scree says so", "1e-05", {"1e-05": 1e-5}))
    assert text == shown
    assert why.startswith("The scree says so. ")
    assert (more in why) if more else ("range" not in why)


def test_scree_is_told_in_singular_and_plural() -> None:
    assert scree_sentence(ScreeFacts(1, 812.0, 1933.4)) == (
        "1 axis stands out from chance; the genotypes count as 812 independent SNPs, so that chance makes eigenvalues "
        "up to 1 933."
    )
    assert scree_sentence(ScreeFacts(2, np.nan, np.nan)) == "2 axes stand out from chance."
