"""The saddlepoint approximation against exact distributions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from lfmm2.statistics.distributions import student_neg_log10_p
from lfmm2.statistics.saddlepoint import saddlepoint_log_p, student_of_log_p


def hardy_weinberg(f: np.ndarray) -> np.ndarray:
    return np.stack([(1 - f) ** 2, 2 * f * (1 - f), f**2])


def test_p_is_near_that_of_all_genotypes() -> None:
    # 3⁹ genotypes; one weight is large, as that of a case among many controls
    weights = np.array([2.0, 0.31, -0.22, -0.17, -0.4, 0.13, -0.55, -0.48, -0.62])
    p = hardy_weinberg(np.linspace(0.05, 0.3, 9))
    genotypes = np.array(list(itertools.product(range(3), repeat=9)))
    probability = p[genotypes, np.arange(9)].prod(axis=1)
    scores = genotypes @ weights
    scores -= probability @ scores
    for s in (1.5, -1.5, 2.5, 3.5, 4.2):
        exact = probability[np.abs(scores) >= abs(s)].sum()
        assert math.exp(saddlepoint_log_p(s, weights, p)) == pytest.approx(exact, rel=0.5)
        # a normal of the same variance is far off where there are few carriers
        normal = 2 * stats.norm.sf(abs(s) / math.sqrt(probability @ scores**2))
        if abs(s) > 3:
            assert exact > 5 * normal


def test_many_even_samples_have_the_p_of_a_normal() -> None:
    rng = np.random.default_rng(0)
    weights, f = rng.standard_normal(4000), np.full(4000, 0.4)
    sd = math.sqrt((weights**2 * 2 * f * (1 - f)).sum())
    for z in (0.1, 2.0, 5.0, -5.0):
        p = math.exp(saddlepoint_log_p(z * sd, weights, hardy_weinberg(f)))
        assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.02)


def test_poisson_counts_have_their_tail() -> None:
    # with equal weights of a rare allele the score is a count; p of a count that is continued lies between two steps
    f = np.full(1000, 0.002)
    for count in (8, 12, 20):
        p = math.exp(saddlepoint_log_p(count - 4.0, np.ones(1000), hardy_weinberg(f)))
        lower = stats.binom.cdf(8 - count, 2000, 0.002)
        assert stats.binom.sf(count, 2000, 0.002) < p < stats.binom.sf(count - 1, 2000, 0.002) + lower


def test_the_largest_score_has_the_p_of_its_genotypes() -> None:
    weights, p = np.array([1.0, -0.5, -0.5]), hardy_weinberg(np.array([0.1, 0.2, 0.3]))
    largest = 2 * (1 - 0.1) + 2 * 0.5 * (0.2 + 0.3)
    # a score of the other sign is never as large
    assert saddlepoint_log_p(largest, weights, p) == pytest.approx(math.log(0.1**2 * 0.8**2 * 0.7**2), rel=1e-12)
    assert saddlepoint_log_p(largest + 1, weights, p) == -math.inf


def test_student_of_log_p_has_that_p() -> None:
    for df, log10_p in itertools.product((3, 40, 5000), (-0.2, -3.0, -50.0, -280.0)):
        t = student_of_log_p(log10_p * math.log(10), df)
        assert student_neg_log10_p(t, df) == pytest.approx(-log10_p, rel=1e-9)
    assert student_of_log_p(-1e5, 40) == student_of_log_p(math.log(1e-290), 40)
    assert special.stdtr(40, -student_of_log_p(0.0, 40)) == pytest.approx(0.5)
