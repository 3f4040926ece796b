"""Effective carriers: moments of permutations, shapes of SNPs, and the tests that they leave out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.model.association import AssociationModel, BlockStatistics
from lfmm2.model.carriers import effective_carriers, has_few_carriers, unevenness, unevenness_of_directions
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import LatentFactors, estimate_from_matrix
from lfmm2.model.ridge import RidgeGeometry, ridge_geometry
from lfmm2.model.spa import LEAST_SHARE, genotype_probabilities, saddlepoint_t
from lfmm2.model.sweep import SweepModel

pytestmark = pytest.mark.usefixtures("one_blas_thread")
N, P, K = 90, 400, 2


@pytest.fixture(scope="module")
def dosage() -> np.ndarray:
    rng = np.random.default_rng(3)
    dosage = rng.binomial(2, np.exp(rng.uniform(np.log(0.01), np.log(0.5), P)), size=(N, P)).astype(float)
    dosage[rng.random(dosage.shape) < 0.02] = np.nan
    dosage[:, 7], dosage[:, 9] = 1.0, np.nan
    return dosage


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.column_stack([np.arange(N) < 4, rng.normal(size=N), rng.exponential(size=N)]).astype(float)


@pytest.fixture(scope="module")
def fit(dosage: np.ndarray, X: np.ndarray) -> tuple[RidgeGeometry, LatentFactors]:
    ridge = ridge_geometry(X, 1e-5)
    matrix = ArrayMatrix(dosage, Engine(1, 1 << 28))
    return ridge, estimate_from_matrix(matrix, ridge, K, SolverOptions(solver="exact"))


def imputed(dosage: np.ndarray) -> np.ndarray:
    means = np.nanmean(np.where(np.isnan(dosage).all(axis=0), 0.0, dosage), axis=0)
    return np.where(np.isnan(dosage), means, dosage)


def one_block(model: AssociationModel | SweepModel, dosage: np.ndarray) -> BlockStatistics:
    (block,) = model.statistics(ArrayMatrix(dosage, Engine(1, 1 << 28)))
    return block


def test_unevenness_multiplies_to_the_moments_of_permutations() -> None:
    rng = np.random.default_rng(1)
    n = 7
    x, y = rng.exponential(size=n), rng.binomial(2, 0.2, n).astype(float) + np.arange(n) * 1e-3
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    r = np.array([x @ y[list(order)] for order in itertools.permutations(range(n))]) / n
    # Pitman 1937, with skewness of ddof 0
    expected = stats.skew(x) * stats.skew(y) * np.sqrt(n - 1) / (n - 2)
    assert (r**3).mean() * (n - 1) ** 1.5 == pytest.approx(expected, rel=1e-10)


def test_carriers_are_the_rare_alleles_that_few_cases_are_expected_to_have() -> None:
    n, n_cases, f = 100_000, 50, 0.01
    cases = (np.arange(n) < n_cases).astype(float)
    of_variable = unevenness_of_directions((cases - cases.mean())[:, None])
    of_snp = unevenness(np.array([(1 - 2 * f) / np.sqrt(2 * f * (1 - f))]), np.array([1 / (2 * f * (1 - f)) - 3]))
    assert float(effective_carriers(of_snp, of_variable, n)[0, 0]) == pytest.approx(2 * f * n_cases, rel=0.05)


def test_an_even_variable_has_enough_carriers_at_any_snp() -> None:
    carriers = effective_carriers(np.array([0.0, 1e3]), np.array([0.0, 1e-5]), 20)
    assert carriers.tolist() == [[40.0, 40.0]] * 2
    assert not has_few_carriers(carriers, 1e9, 20).any()
    assert np.isnan(effective_carriers(np.array([np.nan]), np.ones(1), 20)).all()


@pytest.mark.parametrize("kind", ["bed", "bed of a1", "array"])
def test_shapes_of_snps_are_those_of_numpy(dosage: np.ndarray, kind: str, write_fileset) -> None:
    engine = Engine(1, 1 << 28)
    matrix = (
        ArrayMatrix(dosage * 1e100, engine)
        if kind == "array"
        else BedMatrix(write_fileset(dosage), engine, count_allele="a1" if kind.endswith("a1") else "a2")
    )
    (block,) = matrix.cross_products(np.ones((N, 1)))
    known = ~np.isin(np.arange(P), (7, 9)) & (np.nanstd(imputed(dosage), axis=0) > 0)
    sign = -1 if kind.endswith("a1") else 1
    np.testing.assert_allclose(
        block.skewness[known], sign * stats.skew(imputed(dosage)[:, known]), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(block.kurtosis[known], stats.kurtosis(imputed(dosage)[:, known]), rtol=1e-9, atol=1e-9)
    assert np.isnan(block.skewness[[7, 9]]).all()


def test_tests_with_few_carriers_are_not_sound(fit, dosage: np.ndarray, X: np.ndarray) -> None:
    block = one_block(AssociationModel(*fit, 3, "intercept", fewest_carriers=8.0), dosage)
    others = [np.column_stack([np.ones(N), fit[1].U, np.delete(X, j, axis=1)]) for j in range(3)]
    rest = np.column_stack(
        [X[:, j] - C @ np.linalg.lstsq(C, X[:, j], rcond=None)[0] for j, C in enumerate(others)]
    )  # (n, d)
    a_x = np.maximum(np.maximum(stats.skew(rest) ** 2, stats.kurtosis(rest)), 0)
    y = imputed(dosage)
    ok = block.status == 0
    a_y = np.maximum(np.maximum(stats.skew(y[:, ok]) ** 2, stats.kurtosis(y[:, ok])), 0)
    carriers = np.minimum(N / np.maximum(np.outer(a_y, a_x), 1e-300), 2 * N)
    np.testing.assert_allclose(block.effective_carriers[ok], carriers, rtol=1e-7)
    np.testing.assert_allclose(block.least_carriers[ok], carriers.min(axis=1), rtol=1e-7)
    assert np.isnan(block.effective_carriers[~ok]).all()
    few = np.zeros((P, 3), bool)
    few[ok] = carriers < 8
    assert few.sum(axis=0).tolist() > [50, 0, 50]
    np.testing.assert_array_equal(block.t_sound, np.where(few, np.nan, block.t))
    np.testing.assert_array_equal(block.f_sound, np.where(few.any(axis=1), np.nan, block.f_stat))
    assert block.t_spa.shape == (P, 0)


def test_every_k_of_a_sweep_leaves_out_its_own_tests(fit, dosage: np.ndarray) -> None:
    swept = one_block(SweepModel(*fit, 1, (0, 1, 2), 3, "intercept", fewest_carriers=8.0), dosage)
    for i, k in enumerate((0, 1, 2)):
        model = AssociationModel(fit[0], fit[1].leading(k), 3, "intercept", fewest_carriers=8.0)
        np.testing.assert_allclose(swept.t_by_k[:, i], one_block(model, dosage).t_sound, rtol=1e-8, atol=1e-10)


def test_saddlepoint_takes_frequencies_from_all_else(fit, dosage: np.ndarray, X: np.ndarray) -> None:
    calls = np.where(np.isnan(dosage), 0.0, dosage)  # without missing calls, heterozygotes can be counted
    block = one_block(AssociationModel(*fit, 3, "intercept", fewest_carriers=8.0, spa=True), calls)
    tested = np.argwhere(np.isnan(block.t_sound) & (np.abs(block.t) > 2))
    assert len(tested) > 5
    for snp, j in tested:
        C = np.column_stack([np.ones(N), fit[1].U, np.delete(X, j, axis=1)])
        fitted, rest = (C @ np.linalg.lstsq(C, v, rcond=None)[0] for v in (calls[:, snp], X[:, j]))
        direction = (X[:, j] - rest) / ((X[:, j] - rest) ** 2).sum()
        y = calls[:, snp]
        t = saddlepoint_t(y @ direction, direction, fitted, y.mean(), (y == 1).mean(), N - 1 - 3 - K)
        assert block.t_spa[snp, j] == pytest.approx(np.copysign(t, block.t[snp, j]), rel=1e-5)
    small = np.isnan(block.t_sound) & (np.abs(block.t) <= 2)
    np.testing.assert_array_equal(block.t_spa[small], block.t[small])
    assert np.isnan(block.t_spa[~np.isnan(block.t_sound)]).all()
    large = np.abs(block.t) > 5
    assert (np.abs(block.t_spa[large]) < np.abs(block.t[large]))[~np.isnan(block.t_spa[large])].all()


def test_genotypes_have_the_frequencies_and_the_heterozygotes_that_are_seen() -> None:
    dosages = np.array([0.4, 0.1, -0.2, 0.5])
    for share in (0.0, 0.05, 0.2, 0.9):
        p = genotype_probabilities(dosages, 0.2, share)
        assert (p > 0).all()
        np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-12)
        np.testing.assert_allclose(p[1] + 2 * p[2], [0.4, 0.1, 2 * LEAST_SHARE * 0.1, 0.5], rtol=1e-9)
    assert genotype_probabilities(dosages, 0.2, 0.05)[1].mean() == pytest.approx(0.05)
    # more heterozygotes than in Hardy-Weinberg proportions are taken as if they were in these
    f = np.array([0.2, 0.05, 0.01, 0.25])
    np.testing.assert_allclose(genotype_probabilities(dosages, 0.2, 0.9)[2], f**2, rtol=1e-9)
