"""Advice on K and inflation: each rule speaks where its evidence is there, and never against other evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from lfmm2._words import with_error
from lfmm2.pipeline import Evidence, meaning_of_gif
from lfmm2.pipeline import advice as rules
from lfmm2.results import StructureFacts
from lfmm2.statistics import CalibrationSummary, Inflation


def evidence(gif: float, se: float = 0.02, method: str = "student", **known: Any) -> Evidence:
    rest = (math.nan,) * 8
    fit = CalibrationSummary(method, gif, se, *rest, 10_000)
    return Evidence(fit, **{"n_factors": 3, "most_factors": 50, "n_samples": 100} | known)


def by_k(**gifs: float) -> dict[int, Inflation]:
    """GIF by K, as ``by_k(k1=2.0)``, each with an error of 2 %."""
    return {int(name[1:]): Inflation(gif, 0.02 * gif) for name, gif in gifs.items()}


def warned(given: Evidence) -> str:
    text = rules.calibration_warning("bio1", given)
    assert text is not None
    return text


@pytest.mark.parametrize(
    ("gif", "se", "warns"),
    [
        (1.0, 0.001, False),
        (0.97, 0.001, False),  # below 1 for certain, and by too little to matter
        (0.9, 0.04, False),
        (0.9, 0.03, True),
        (0.5, math.nan, False),  # too few SNPs for an error
        (1.3, 0.01, False),
        (2.3, 0.2, False),
        (2.3, 0.05, True),
        (5.0, math.nan, False),
        (math.nan, math.nan, False),
    ],
)
def test_warning_needs_three_standard_errors(gif: float, se: float, warns: bool) -> None:
    assert (rules.calibration_warning("bio1", evidence(gif, se)) is not None) == warns


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1.3123, 0.0512, "1.31 ± 0.05"),
        (1.3123, 0.0142, "1.312 ± 0.014"),
        (1.3123, 0.0196, "1.31 ± 0.02"),
        (1.3123, 0.0099, "1.312 ± 0.010"),
        (1.3123, 0.27, "1.3 ± 0.3"),
        (12.3, 1.9, "12.3 ± 1.9"),
        (1523.0, 41.0, "1 520 ± 40"),
        (1523.0, 141.0, "1 520 ± 140"),
        (1.0, 1e-9, "1.000000 ± 0.000000"),
        (1.3123, math.nan, "1.312"),
        (1.3123, None, "1.312"),
        (1.0, 0.0, "1.000"),
        (math.nan, math.nan, "not defined"),
    ],
)
def test_error_decides_on_the_digits(value: float, error: float | None, shown: str) -> None:
    assert with_error(value, error) == shown


def test_warning_states_the_factor_with_its_error() -> None:
    assert warned(evidence(0.712, 0.04)).startswith(
        "bio1: genomic inflation factor 0.71 ± 0.04 is below 1, so calibration makes p-values smaller; "
    )
    assert warned(evidence(3.214, 0.013)).startswith("bio1: genomic inflation factor 3.214 ± 0.013 is above 2; ")
    assert "smaller" not in warned(evidence(0.7, method="none"))


GROWING = by_k(k1=4.7, k2=5.1, k10=80.0, k18=1500.0)


def test_growing_gif_asks_for_fewer_factors() -> None:
    text = warned(evidence(1500.0, 40.0, n_factors=18, by_k=GROWING, has_sweep=True, n_axes=30))
    assert "it grows from 4.70 ± 0.09 (K = 1) to 1 500 ± 40 (K = 18): take fewer factors" in text
    assert "larger" not in text
    assert rules.grows_with_k(evidence(4.7, 0.1, n_factors=1, by_k=GROWING)) is None
    assert rules.grows_with_k(evidence(4.75, 0.1, n_factors=2, by_k=by_k(k1=4.7, k2=4.75))) is None
    assert rules.grows_with_k(evidence(2.0, n_factors=2, by_k=by_k(k1=9.0, k2=2.0))) is None


def test_largest_k_is_never_to_be_raised() -> None:
    text = warned(evidence(3.0, n_factors=50, n_axes=80))
    assert "K = 50 is the largest that the samples allow: compare fewer factors, --sweep 1:50" in text
    swept = evidence(3.0, n_factors=50, n_axes=80, by_k=by_k(k10=9.0, k50=3.0), has_sweep=True)
    assert "further" not in warned(swept)
    assert "larger K" not in warned(replace(swept, by_k={}, has_sweep=False))


def test_smallest_k_is_never_to_be_lowered() -> None:
    for gif in (3.0, 0.6):
        text = warned(evidence(gif, n_factors=1, most_factors=1))
        assert "fewer" not in text


def test_structure_that_factors_do_not_see_asks_for_no_other_k() -> None:
    unseen = evidence(3.0, structure=StructureFacts(0.05, 0.82, 10), n_axes=3)
    text = warned(unseen)
    assert "follows structure that the K = 3 factors do not see, and other numbers of factors do not mend that" in text
    assert text.endswith("; compare --lambda 1x, or leave the variable out")
    flat = replace(unseen, n_axes=20, by_k=by_k(k3=3.0, k6=2.9), has_sweep=True)
    assert "other numbers of factors do not mend that" in warned(flat)
    assert "K = 6 of the sweep has 1.20" in warned(replace(flat, by_k=by_k(k3=3.0, k6=1.2)))
    # Axes that are left may be those that the variable follows.
    assert "compare the GIF by K, --sweep 1:6, and --lambda 1x" in warned(replace(unseen, n_axes=5))
    for factors, pcs in ((0.5, 0.8), (0.05, 0.2), (0.05, math.nan)):
        assert rules.unseen_structure(replace(unseen, structure=StructureFacts(factors, pcs, 10))) is None
    assert rules.unseen_structure(replace(unseen, structure=None)) is None


def test_absorbed_variable_is_named() -> None:
    absorbed = StructureFacts(0.93, 0.95, 10)
    for gif in (0.7, 3.0):
        assert "the factors explain 0.93 of the variable" in warned(evidence(gif, structure=absorbed, n_axes=20))
    assert rules.absorbed_by_factors(evidence(3.0, structure=StructureFacts(0.7, 0.75, 10))) is None
    # Thirty factors explain much of any variable of forty samples.
    many = evidence(3.0, structure=StructureFacts(0.85, 0.9, 10), n_factors=30, n_samples=40)
    assert rules.absorbed_by_factors(many) is None


def test_repeated_genotypes_come_first() -> None:
    text = warned(evidence(1500.0, 40.0, n_factors=18, by_k=GROWING, has_sweep=True, n_repeated=60))
    assert "; 60 samples repeat the genotype of another and count as independent ones, which no number of" in text
    assert text.endswith("factors mends; keep one of each (--drop-duplicates) before K is judged")


def test_smaller_gif_of_the_sweep_is_named() -> None:
    swept = evidence(2.5, by_k=by_k(k3=2.5, k5=1.1, k6=1.12), has_sweep=True)
    assert "K = 5 of the sweep has 1.10 ± 0.02" in warned(swept)
    assert rules.better_k_of_sweep(evidence(1.12, by_k=by_k(k3=1.12, k5=1.1))) is None


def test_no_factor_at_all_is_never_recommended() -> None:
    for gif, zero in ((3.0, 1.0), (0.7, 1.0)):
        text = warned(evidence(gif, n_factors=1, by_k=by_k(k0=zero, k1=gif), has_sweep=True))
        assert "K = 0" not in text
        assert "fewer" not in text


def test_flat_gif_asks_for_no_other_k() -> None:
    flat = evidence(2.5, by_k=by_k(k3=2.5, k5=2.4, k8=2.45), has_sweep=True, n_axes=20)
    text = warned(flat)
    assert "no K of the sweep brings it lower than 2.40 ± 0.05: confounding that the factors do not catch" in text
    assert "further" not in text


def test_falling_gif_at_the_end_of_the_sweep_asks_for_a_longer_one() -> None:
    falling = evidence(2.5, by_k=by_k(k3=2.5, k5=2.2, k8=1.9), has_sweep=True, n_axes=20)
    assert "which ends before the 20 axes of structure that exceed chance: sweep further" in warned(falling)
    for other in ({"n_axes": 8}, {"n_axes": None}, {"most_factors": 8}):
        assert rules.sweep_ends_early(replace(falling, **other)) is None


def test_without_a_sweep_the_scree_decides() -> None:
    assert "K is 3, and 6 axes of structure exceed chance: compare K up to there and beyond, --sweep 1:6" in warned(
        evidence(3.0, n_axes=6)
    )
    assert "compare numbers of factors, --sweep 1:10" in warned(evidence(3.0, n_axes=2))
    assert "--sweep 1:5" in warned(evidence(3.0, most_factors=5))


def test_joint_test_of_a_sweep_leads_to_the_variables() -> None:
    assert "compare the variables by K in the sweep" in warned(evidence(3.0, has_sweep=True, n_axes=20))


def test_gif_below_one_is_judged_by_the_sweep() -> None:
    swept = evidence(0.7, n_factors=1, by_k=by_k(k1=0.7, k2=1.01, k3=1.3), has_sweep=True)
    assert "K = 2 of the sweep has 1.01 ± 0.02" in warned(swept)
    assert "K is 3, and 6 axes of structure exceed chance" in warned(evidence(0.7, n_axes=6))
    assert warned(evidence(0.7)).endswith(
        "; look at the histogram of p-values; --calibrate none is the cautious choice"
    )


@pytest.mark.parametrize(
    ("gif", "se", "shown"),
    [
        (math.nan, math.nan, "not defined"),
        (0.8, 0.02, "below 1"),
        (0.8, 0.2, "1 within its error"),
        (1.0, 0.01, "near 1"),
        (1.0, math.nan, "near 1"),
        (1.3, 0.02, "above 1"),
        (1.3, 0.2, "1 within its error"),
        (1.8, 0.02, "well above 1"),
        (2.5, 0.02, "above 2"),
    ],
)
def test_gif_has_a_meaning(gif: float, se: float, shown: str) -> None:
    assert meaning_of_gif(evidence(gif, se)).split(":")[0] == shown


def test_meaning_of_gif_depends_on_the_method() -> None:
    assert "which the calibration removes" in meaning_of_gif(evidence(1.3, method="chi2"))
    assert "empirical null" in meaning_of_gif(evidence(1.3, method="empirical-null"))
    assert "do not rely on calibration alone" in meaning_of_gif(evidence(2.5))
    for gif in (1.3, 1.8, 2.5):
        text = meaning_of_gif(evidence(gif, method="none"))
        assert "nothing removes" in text or "not calibrated" in text
        assert "calibration removes" not in text
        assert "rely on calibration" not in text
