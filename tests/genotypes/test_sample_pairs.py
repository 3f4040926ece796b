"""Repeats and first-degree relatives: definitions in plain NumPy, and populations in which there are none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from conftest import WriteFileset
from numpy.typing import NDArray

from lfmm2.genotypes import Engine
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.sample_pairs import (
    FEWEST_SNPS,
    FIRST_DEGREE,
    REPEAT_KINSHIP,
    SamplePairs,
    _spread_snps,
    compare_samples,
    count_compared,
)

Floats = NDArray[np.float64]
N_SNPS = 2000


def compare(G: Floats, ploidy: int | None = 2) -> SamplePairs:
    source = ArraySource(G, ploidy=ploidy)
    return compare_samples(source, Engine(1, 1 << 28), np.arange(len(G)), None, G.shape[1])


def kinship(x: Floats, y: Floats) -> float:
    """KING-robust kinship, Manichaikul et al. 2010, equation 11, over the SNPs called in both."""
    both = ~np.isnan(x) & ~np.isnan(y)
    het = min((x[both] == 1).sum(), (y[both] == 1).sum())
    return float(0.5 - ((x - y)[both] ** 2).sum() / (4 * het))


def groups_of(found: SamplePairs) -> list[list[int]]:
    return [np.flatnonzero(found.group == k).tolist() for k in range(1, found.group.max() + 1)]


def frequencies(rng: np.random.Generator, n: int, fst: float) -> Floats:
    """Frequencies of n populations (Balding and Nichols), (n, N_SNPS)."""
    ancestral = rng.uniform(0.1, 0.9, N_SNPS)
    return rng.beta(ancestral * (1 - fst) / fst, (1 - ancestral) * (1 - fst) / fst, (n, N_SNPS))


def child(rng: np.random.Generator, mother: Floats, father: Floats) -> Floats:
    return (rng.binomial(1, mother / 2) + rng.binomial(1, father / 2)).astype(float)


def families(rng: np.random.Generator, fst: float = 0.1) -> Floats:
    """Ten couples, two children of each, in three populations."""
    parents = rng.binomial(2, frequencies(rng, 3, fst)[np.arange(20) // 2 % 3]).astype(float)
    children = [child(rng, *parents[i : i + 2]) for i in range(0, 20, 2) for _ in range(2)]
    return np.vstack([parents, children])


def with_errors(rng: np.random.Generator, G: Floats, rate: float) -> Floats:
    wrong = rng.random(G.shape) < rate
    return np.where(wrong, rng.binomial(2, 0.5, G.shape), G)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.04])
def test_clones_are_grouped_whatever_errors_and_missing_calls_they_have(rate: float, missing: float) -> None:
    rng = np.random.default_rng(1)
    single = rng.binomial(2, frequencies(rng, 2, 0.1)[np.arange(8) % 2]).astype(float)
    of = np.array([0, 1, 2, 3, 4, 5, 6, 7, 2, 0, 2])
    G = with_errors(rng, single[of], rate)
    G[rng.random(G.shape) < missing] = np.nan
    found = compare(G)
    assert groups_of(found) == [[0, 9], [2, 8, 10]]
    assert found.n_relatives == 0
    np.testing.assert_allclose(found.missing, np.isnan(G).mean(axis=1), atol=1e-12)
    shares = [np.nanmean(np.where(np.isnan(G[i] - G[j]), np.nan, G[i] != G[j])) for i, j in [(0, 9), (2, 8), (2, 10)]]
    assert found.repeat_difference == pytest.approx(max(shares), abs=1e-12)


def test_mean_difference_is_that_of_all_pairs() -> None:
    G = np.random.default_rng(2).binomial(2, 0.4, (9, 700)).astype(float)
    shares = [(G[i] != G[j]).mean() for i, j in combinations(range(9), 2)]
    assert compare(G).mean_difference == pytest.approx(np.mean(shares), rel=1e-12)


@pytest.mark.parametrize("fst", [0.05, 0.6])
def test_relatives_are_those_of_the_kinship(fst: float) -> None:
    rng = np.random.default_rng(3)
    G = families(rng, fst)
    right = [[i, j] for i, j in combinations(range(len(G)), 2) if kinship(G[i], G[j]) >= FIRST_DEGREE]
    found = compare(G)
    assert found.relatives.tolist() == right
    # each couple has two children, so four pairs of parent and child and one of siblings
    assert found.n_relatives == 50
    assert groups_of(found) == []


def outbred(rng: np.random.Generator) -> Floats:
    return rng.binomial(2, frequencies(rng, 4, 0.9)[np.arange(60) % 4]).astype(float)


def inbred(rng: np.random.Generator) -> Floats:
    return 2.0 * rng.binomial(1, frequencies(rng, 4, 0.8)[np.arange(60) % 4])


def rare(rng: np.random.Generator) -> Floats:
    return rng.binomial(2, rng.uniform(0.002, 0.05, 4000), (60, 4000)).astype(float)


def near_isogenic(rng: np.random.Generator) -> Floats:
    one, other = 2.0 * rng.binomial(1, 0.5, (2, 6000))
    return np.where(rng.random((40, 6000)) < 0.03, other, one)


def recombinant(rng: np.random.Generator) -> Floats:
    return 2.0 * rng.binomial(1, 0.5, (60, 300)).repeat(10, axis=1)


def few_snps(rng: np.random.Generator) -> Floats:
    return rng.binomial(2, 0.1, (300, 30)).astype(float)


@pytest.mark.parametrize("population", [outbred, inbred, rare, near_isogenic, recombinant, few_snps])
def test_samples_of_one_population_are_no_repeats(population: Callable[[np.random.Generator], Floats]) -> None:
    found = compare(population(np.random.default_rng(4)))
    assert groups_of(found) == []
    assert found.n_relatives == 0


@pytest.mark.parametrize("ploidy", [1, 2])
def test_inbred_lines_taken_twice_are_repeats(ploidy: int) -> None:
    rng = np.random.default_rng(5)
    lines = inbred(rng)[:20]
    G = np.vstack([lines, np.where(rng.random((3, N_SNPS)) < 0.01, 2 - lines[:3], lines[:3])])
    found = compare(G * ploidy / 2, ploidy)
    assert groups_of(found) == [[0, 20], [1, 21], [2, 22]]
    assert found.n_relatives == 0


def test_samples_without_calls_repeat_nothing() -> None:
    G = np.random.default_rng(6).binomial(2, 0.4, (12, 800)).astype(float)
    G[[3, 7]] = np.nan
    found = compare(G)
    assert groups_of(found) == []
    assert found.missing[[3, 7]].tolist() == [1.0, 1.0]


def test_two_kinds_of_numbers_are_no_repeats_but_copies_are() -> None:
    rng = np.random.default_rng(7)
    tissue = rng.normal(0, 5, (2, 600))[np.arange(30) % 2]
    values = tissue + rng.normal(0, 1, (30, 600))
    values[20] = values[4] + rng.normal(0, 0.02, 600)
    values[[1, 2], ::2] = np.nan
    values[5] = np.nan
    found = compare(values, None)
    assert groups_of(found) == [[4, 20]]
    assert np.isnan(found.mean_difference)


def test_numbers_are_compared_in_any_unit() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(0, 1, (15, 300))
    values[9] = values[2]
    scaled = values * 10.0 ** rng.integers(-12, 12, 300) + 1e3
    scaled[:, 7] = 4.0
    for given in (values, scaled):
        assert groups_of(compare(given, None)) == [[2, 9]]


def test_calls_of_a_bed_are_those_of_an_array(write_fileset: WriteFileset) -> None:
    rng = np.random.default_rng(9)
    G = families(rng)[:, :1500]
    G = np.vstack([G, G[:2]])
    G[rng.random(G.shape) < 0.1] = np.nan
    right = compare(G)
    bed = write_fileset(G)
    for memory in (1 << 28, 1 << 23):
        found = compare_samples(bed, Engine(2, memory), np.arange(len(G)), None, bed.n_snps)
        assert found.group.tolist() == right.group.tolist()
        assert found.relatives.tolist() == right.relatives.tolist()
        assert found.mean_difference == pytest.approx(right.mean_difference, rel=1e-12)
        np.testing.assert_array_equal(found.missing, right.missing)


def test_snps_are_spread_over_all_and_each_is_taken_once() -> None:
    source = ArraySource(np.zeros((3, 1)), ploidy=2)
    n_compared = count_compared(source, 100_000, 100_000)
    assert n_compared == FEWEST_SNPS
    for n_snps in (n_compared, n_compared + 1, 100_000):
        snps = _spread_snps(None, n_snps, n_compared)
        assert len(snps) == n_compared
        assert (np.diff(snps) > 0).all()
        assert snps[0] == 0
        assert n_snps - snps[-1] <= 2 * n_snps // (n_compared // 32)
    chosen = np.arange(5, 200_000, 2)
    assert set(_spread_snps(chosen, len(chosen), n_compared)) <= set(chosen)


def test_limits_of_kinship_are_those_of_king() -> None:
    assert pytest.approx(0.354, abs=1e-3) == REPEAT_KINSHIP
    assert pytest.approx(0.177, abs=1e-3) == FIRST_DEGREE
