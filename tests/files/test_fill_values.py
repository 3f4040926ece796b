"""The gate for numbers: what is isolated, by brute force, and how many sound columns it would doubt."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from lfmm2.errors import InputWarning, MalformedInputError
from lfmm2.files.fill_values import LARGEST, check_numbers

Floats = np.ndarray


def told(*columns: Floats, **options: bool) -> list[str]:
    """Return the warnings about columns a, b, …"""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", InputWarning)
        values = np.column_stack(columns)
        check_numbers(values, list("abcdef"[: len(columns)]), "t", lambda i: f"row {i + 1}", **options)
    return [str(warning.message) for warning in seen]


def far_by_hand(column: Floats) -> bool:
    """The definition: a few values are many ranges of all others away, also on the scale of logarithms if positive."""
    x = np.sort(column)
    n = len(x)
    for k in range(1, max(1, int(0.05 * n)) + 1):
        for rest, edge in ((x[:-k], x[-k]), (x[k:], x[k - 1])):
            low, high = rest[0], rest[-1]
            ratio = max(low - edge, edge - high) / (high - low)
            if min(low, edge) <= 0:
                if ratio > 10:
                    return True
            elif ratio > 5 and max(np.log(low / edge), np.log(edge / high)) > np.log(high / low):
                return True
    return False


@pytest.mark.parametrize("seed", range(20))
def test_far_values_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.standard_t(1, 45), np.exp(3 * rng.standard_t(2, 45)), rng.pareto(0.5, 45) + 1]
    columns += [np.r_[rng.uniform(5, 9, 43), far * np.ones(2)] for far in rng.uniform(10, 60, 3)]
    for column in columns:
        assert bool(told(column)) == far_by_hand(column)


@pytest.mark.parametrize("n", [12, 60, 300])
def test_sound_columns_are_hardly_ever_doubted(n: int) -> None:
    rng = np.random.default_rng(n)
    population = rng.integers(0, 8, n)
    makers = (
        lambda: rng.normal(size=n),
        lambda: rng.exponential(size=n),
        lambda: rng.lognormal(0, 1, n),
        lambda: rng.standard_t(3, n),
        lambda: np.round(rng.normal(-5, 3, n)),
        lambda: np.round(rng.uniform(0, 2000, n)),
        lambda: np.round(rng.normal(0, 8, 8))[population],
        lambda: rng.poisson(0.5, n).astype(float),
    )
    doubted = sum(bool(told(make())) for make in makers for _ in range(25))
    assert doubted <= 3  # of 200


def test_columns_are_judged_by_themselves_and_told_together() -> None:
    x = np.linspace(10, 20, 30)
    bad = np.where(np.arange(30) == 4, 900.0, x)
    assert told(x, bad, bad + 1) == [
        "t, row 5, column 'b': 900 is far from the others, which lie from 10 to 20 (such values are in c too); check "
        "it, and if it means missing, use --missing-code 900 (in Python missing_code=900)"
    ]
    coded = np.where(np.arange(30) == 4, -99.0, x)
    assert [text.partition(":")[0] for text in told(coded, x, coded)] == ["t, row 5, column 'a'"]


def test_missing_values_are_no_numbers() -> None:
    x = np.where(np.arange(30) % 2 == 0, np.nan, np.linspace(10, 20, 30))
    assert told(x) == []
    assert told(np.full(30, np.nan)) == []
    with pytest.raises(MalformedInputError, match="t, row 2, column 'a': -9999 is a fill value"):
        told(np.where(np.arange(30) == 1, -9999, x))


@pytest.mark.parametrize("column", [np.full(30, -9999.0), np.full(30, 1e20), np.array([1.0, 2.0, -9.0])])
def test_column_of_one_code_and_short_columns_pass(column: Floats) -> None:
    assert told(column) == []


def test_minus_nine_of_plink_is_nearer() -> None:
    x = np.linspace(3, 40, 30)
    assert told(np.where(np.arange(30) == 4, -9.0, x)) == []
    assert told(np.where(np.isin(np.arange(30), [4, 9]), -9.0, x), is_plink=True) != []
    of_populations = np.array([3.0, 12.0, 21.0, 30.0, 40.0, -9.0])[np.arange(30) % 6]
    assert told(of_populations) == []
    assert told(of_populations, is_plink=True) != []


def test_largest_number_is_accepted() -> None:
    x = np.linspace(-1, 1, 30)
    assert told(LARGEST * x) == []
    with pytest.raises(MalformedInputError, match=r"row 1, column 'a': .* is too large"):
        told(1.01 * LARGEST * x)
