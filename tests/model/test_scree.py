"""The scree: the Tracy-Widom law against tables, the edge against closed forms, the axes against the truth."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from conftest import balding_nichols
from numpy.typing import NDArray

import lfmm2
from lfmm2.errors import UsageError
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink import BedFile
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import estimate_from_matrix
from lfmm2.model.ridge import ridge_geometry
from lfmm2.model.scree import Scree, _compute_airy, compute_scree, tracy_widom_log_sf
from lfmm2.model.spectrum import Spectrum
from lfmm2.model.suggestion import suggest_factors
from lfmm2.results.factors_file import read_factors, write_factors

pytestmark = pytest.mark.usefixtures("one_blas_thread")

Floats = NDArray[np.float64]


def engine_for_tests() -> Engine:
    return Engine(n_threads=1, memory=1 << 30)


def spectrum_of(Y: Floats, n_vectors: int = 12) -> Spectrum:
    """Spectrum of centred Y (n, p) by the definition, with no variables."""
    M = Y @ Y.T
    values, vectors = np.linalg.eigh(M)
    n_dimensions = len(Y) - 1
    return Spectrum(
        values[::-1][:n_dimensions],
        float(values.sum()),
        float((values**2).sum()),
        n_dimensions,
        np.diag(M).copy(),
        np.full(len(Y), 1 - 1 / len(Y)),
        Y.shape[1],
        vectors[:, ::-1][:, :n_vectors],
    )


def of_one_variance(spectrum: Spectrum) -> Spectrum:
    """The same with nothing known of the samples."""
    n = len(spectrum.sample_totals)
    return replace(spectrum, sample_totals=np.full(n, spectrum.total / n), vectors=np.empty((n, 0)))


def centred(Y: Floats) -> Floats:
    Z: Floats = Y - Y.mean(axis=0)
    return Z


def genotypes(
    rng: np.random.Generator,
    sizes: Sequence[int],
    fst: Sequence[float],
    n_snps: int = 3000,
    inbreeding: float | Floats = 0.0,
) -> Floats:
    """Calls (n, p) of populations that drifted apart, each by its own Fst."""
    ancestral = rng.uniform(0.05, 0.95, n_snps)
    scale = (1 / np.array(fst) - 1)[:, None]
    f = np.repeat(rng.beta(ancestral * scale, (1 - ancestral) * scale), sizes, axis=0)
    first, second = rng.random(f.shape) < f, rng.random(f.shape) < f
    same = rng.random(f.shape) < np.broadcast_to(inbreeding, len(f))[:, None]
    return first + np.where(same, first, second).astype(float)


# --- the Tracy-Widom law --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "p"),
    [
        # quantiles tabulated by Bejan 2005, four decimals
        (-3.8954, 0.99),
        (-3.1804, 0.95),
        (-2.7824, 0.90),
        (-1.2686, 0.5),
        (0.4501, 0.10),
        (0.9793, 0.05),
        (2.0234, 0.01),
    ],
)
def test_tracy_widom_has_the_tabulated_quantiles(x: float, p: float) -> None:
    # a digit of x beyond the fourth is 1e-4 of the density, at most 0.32
    assert np.exp(tracy_widom_log_sf(np.array([x]))[0]) == pytest.approx(p, abs=2e-5)


def test_tracy_widom_has_the_known_mean_and_variance() -> None:
    x = np.linspace(-9, 9, 451)
    F = -np.expm1(np.minimum(tracy_widom_log_sf(x), -1e-300))
    middle, mass = (x[1:] + x[:-1]) / 2, np.diff(F)
    mean = mass @ middle
    # Bornemann 2010, table 10
    assert mean == pytest.approx(-1.206533574582, abs=1e-4)
    assert mass @ (middle - mean) ** 2 == pytest.approx(1.607781034581, abs=5e-4)


@pytest.mark.parametrize("x", [30.0, 59.0, 61.0, 1e3, 1e6])
def test_tracy_widom_tail_is_the_asymptotic_one(x: float) -> None:
    # half the integral of Ai, exp(-⅔ x^1.5) / (4 √π x^0.75) (1 - 41 / 48 x^-1.5 ...)
    expected = -2 / 3 * x**1.5 - np.log(4 * np.sqrt(np.pi) * x**0.75) - 41 / 48 * x**-1.5
    assert tracy_widom_log_sf(np.array([x]))[0] == pytest.approx(expected, rel=1e-14, abs=2 * x**-3)


def test_tracy_widom_is_near_the_shifted_gamma_of_chiani() -> None:
    x = np.linspace(-4, 4, 41)
    gamma = scipy.stats.gamma.logsf(x + 9.84801, 46.446, scale=0.186054)
    np.testing.assert_allclose(tracy_widom_log_sf(x), gamma, rtol=0.02, atol=2e-3)


def test_airy_is_that_of_scipy() -> None:
    x = np.concatenate([np.linspace(-12, 12, 301), np.linspace(10, 90, 101)]).reshape(6, 67)
    np.testing.assert_allclose(_compute_airy(x), scipy.special.airy(x)[0], rtol=2e-12)


def test_tracy_widom_falls_and_stays_finite() -> None:
    x = np.concatenate([np.linspace(-6, 100, 300), [1e3, 1e5, 1e9]])
    log_p = tracy_widom_log_sf(x)
    assert (np.diff(log_p) < 0).all()
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(tracy_widom_log_sf(np.array([-12.0, -1e9, np.nan])), [0, 0, np.nan], atol=1e-15)


@pytest.mark.parametrize(("q", "N"), [(60, 600), (60, 60), (120, 40)])
def test_largest_eigenvalue_of_wishart_matrices_has_the_tracy_widom_law(q: int, N: int) -> None:
    rng = np.random.default_rng(q + N)
    # sums as they are expected, so that N is not estimated
    total = float(q * N)
    expected = Spectrum(np.empty(0), total, total**2 * (1 / q + (1 - 1 / q) / N), q, np.ones(q), np.ones(q), N)
    statistics = []
    for _ in range(400):
        Z = rng.standard_normal((q, N))
        largest = np.linalg.eigvalsh(Z @ Z.T)[-1:]
        statistics.append(compute_scree(replace(expected, eigenvalues=largest)).tw_statistic[0])
    p = np.exp(tracy_widom_log_sf(np.array(statistics)))
    # 1.63 / √400 is the 1 % point; the law is that of infinite matrices
    assert scipy.stats.kstest(p, "uniform").statistic < 0.08


# --- the edge -------------------------------------------------------------------------------------------------


def test_edge_of_equal_samples_is_that_of_marchenko_and_pastur() -> None:
    q, N = 99, 2000.0
    values = np.linspace(1.3, 0.7, q)
    total, squares = q * N, q * N * (q + N + 1)
    even = np.full(100, total / 100), np.full(100, q / 100)
    result = compute_scree(Spectrum(values * N, total, squares, q, *even, n_snps=10_000))
    patterson = (q + 1) * total**2 / (q * squares - total**2)
    assert patterson == pytest.approx(N)
    # (1 - s₂) in place of (1 + 2 / q): of a diagonal that is known
    assert result.effective_snps == pytest.approx(N * (1 - 1 / q) / (1 + 1 / q), rel=1e-6)
    N = result.effective_snps
    h = total / (q * N)
    mu, sigma = np.sqrt(N - 0.5) + np.sqrt(q - 0.5), (1 / np.sqrt(N - 0.5) + 1 / np.sqrt(q - 0.5)) ** (1 / 3)
    assert result.bulk_edge == pytest.approx(h * mu**2, rel=1e-9)
    statistic = (values[0] * 2000 - h * mu**2) / (h * mu * sigma)
    assert result.tw_statistic[0] == pytest.approx(statistic, rel=1e-9)


@pytest.mark.parametrize("n_loud", [2, 20, 200])
@pytest.mark.parametrize("n_snps", [400, 8000])
def test_edge_of_unequal_samples_is_where_the_noise_ends(n_loud: int, n_snps: int) -> None:
    rng = np.random.default_rng(0)
    sd = np.where(np.arange(400) < n_loud, 1.5, 1.0)
    spectrum = spectrum_of(centred(sd[:, None] * rng.standard_normal((400, n_snps))))
    result = compute_scree(spectrum)
    assert result.n_axes == 0
    assert spectrum.eigenvalues[0] == pytest.approx(result.bulk_edge, rel=0.05)
    assert result.effective_snps == pytest.approx(n_snps, rel=0.03)


def test_effective_snps_are_those_of_independent_blocks() -> None:
    rng = np.random.default_rng(1)
    blocks = rng.standard_normal((150, 500))
    result = compute_scree(spectrum_of(centred(np.repeat(blocks, 6, axis=1))))
    assert result.effective_snps == pytest.approx(500, rel=0.05)
    assert result.n_axes == 0


def test_scree_does_not_depend_on_the_unit_or_order_of_samples() -> None:
    rng = np.random.default_rng(2)
    Y = centred(genotypes(rng, [40, 60], [0.05, 0.3]))
    result = compute_scree(spectrum_of(Y))
    for other in (compute_scree(spectrum_of(7 * Y)), compute_scree(spectrum_of(Y[rng.permutation(100)]))):
        np.testing.assert_allclose(other.tw_statistic, result.tw_statistic, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(other.shares, result.shares, rtol=1e-9, atol=1e-12)
        assert other.n_axes == result.n_axes == 1


# --- the number of axes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["exact", "krylov"])
@pytest.mark.parametrize("n_populations", [1, 3, 5, 8])
def test_axes_are_populations_minus_one(tmp_path: Path, n_populations: int, solver: str) -> None:
    data = lfmm2.simulate(
        tmp_path / "d",
        200,
        4000,
        2,
        n_populations=n_populations,
        fst=0.08,
        confounding=0.5 if n_populations > 1 else 0.0,
        seed=n_populations,
    )
    with BedFile(data.bed) as bed:
        factors = estimate_from_matrix(
            BedMatrix(bed, engine_for_tests()), ridge_geometry(data.variables, 1e-5), 10, SolverOptions(solver=solver)
        )
    assert factors.spectrum is not None
    assert compute_scree(factors.spectrum).n_axes == n_populations - 1


@pytest.mark.parametrize("K", [2, 10])
def test_axes_of_power_are_found_where_they_are_strong(K: int) -> None:
    data = balding_nichols(200, 3000, 3, 2, fst=0.2, seed=5)
    ridge = ridge_geometry(np.random.default_rng(0).standard_normal((200, 2)), 1e-5)
    matrix = ArrayMatrix(data.dosage, engine_for_tests())
    factors = estimate_from_matrix(matrix, ridge, K, SolverOptions(solver="power"))
    assert factors.spectrum is not None
    # beyond K there are Ritz values still
    assert compute_scree(factors.spectrum).n_axes == 3


UNEVEN = {
    "an undrifted population": ([15, 90, 90], [0.02, 0.5, 0.5], 0.0),
    "outbred among inbred": ([100, 100, 100], [0.1, 0.1, 0.1], np.where(np.arange(300) % 20 == 0, 0.0, 0.95)),
    "inbred among outbred": ([100, 100, 100], [0.1, 0.1, 0.1], np.where(np.arange(300) % 20 == 0, 0.95, 0.0)),
}


@pytest.mark.parametrize("case", UNEVEN)
def test_samples_that_vary_more_make_no_axes(case: str) -> None:
    sizes, fst, inbreeding = UNEVEN[case]
    spectrum = spectrum_of(centred(genotypes(np.random.default_rng(3), sizes, fst, inbreeding=inbreeding)))
    assert compute_scree(spectrum).n_axes == 2


def test_samples_that_vary_more_would_make_axes_if_nothing_were_known_of_them() -> None:
    sizes, fst, inbreeding = UNEVEN["an undrifted population"]
    spectrum = spectrum_of(centred(genotypes(np.random.default_rng(3), sizes, fst, inbreeding=inbreeding)))
    assert compute_scree(of_one_variance(spectrum)).n_axes > 10


def test_noise_alone_seldom_makes_an_axis() -> None:
    rng = np.random.default_rng(4)
    sd = np.exp(0.2 * rng.standard_normal(80))[:, None]
    results = [compute_scree(spectrum_of(centred(sd * rng.standard_normal((80, 800))), 8)) for _ in range(60)]
    assert sum(result.n_axes > 0 for result in results) <= 2
    # nor is it far from the edge
    assert np.median([result.tw_p[0] for result in results]) < 0.9


@pytest.mark.parametrize("n_populations", [3, 8, 11])
def test_strong_axes_do_not_hide_each_other(n_populations: int) -> None:
    rng = np.random.default_rng(5)
    Y = genotypes(rng, [25] * n_populations, [0.85] * n_populations, inbreeding=0.95)
    result = compute_scree(spectrum_of(centred(Y), 15))
    assert result.n_axes == n_populations - 1
    assert (result.tw_p[: n_populations - 1] < 1e-9).all()


def clones(n_clones: int = 20, copies: int = 4) -> Floats:
    """Genotypes of clones with errors, 2 000 SNPs."""
    rng = np.random.default_rng(7)
    Y = np.repeat(rng.binomial(2, rng.uniform(0.2, 0.8, 2000), (n_clones, 2000)), copies, axis=0).astype(float)
    wrong = rng.random(Y.shape) < 0.01
    Y[wrong] = rng.binomial(2, 0.5, wrong.sum())
    return centred(Y)


def test_axes_beyond_the_factors_are_known_to_hide() -> None:
    Y = clones()
    for K, n_axes, is_hidden in ((1, 0, True), (8, 0, True), (18, 0, True), (20, 19, False)):
        result = compute_scree(spectrum_of(Y, K))
        assert (result.n_axes, result.is_hidden) == (n_axes, is_hidden)
    # krylov has seen some eigenvalues only
    spectrum = spectrum_of(Y, 3)
    assert compute_scree(replace(spectrum, eigenvalues=spectrum.eigenvalues[:15])).is_hidden
    found = compute_scree(spectrum_of(Y, 8))
    reason = "K = 8 is the end of the range: too few factors to say, strong axes are left beyond them; sweep further"
    assert suggest_factors(found, range(1, 9)) == (8, reason)


@pytest.mark.parametrize(("n", "p"), [(12, 60), (80, 60), (80, 500), (24, 2000)])
def test_noise_and_few_snps_hide_no_axes(n: int, p: int) -> None:
    for seed in range(5):
        Y = np.random.default_rng(seed).binomial(2, 0.4, (n, p)).astype(float)
        assert not compute_scree(spectrum_of(centred(Y), 2)).is_hidden


def test_variable_that_is_the_structure_takes_an_axis() -> None:
    rng = np.random.default_rng(6)
    Y = genotypes(rng, [50, 50, 50], [0.1, 0.1, 0.1])
    population = np.repeat(np.eye(3), 50, axis=0)
    for X, n_axes in ((rng.standard_normal((150, 2)), 2), (population[:, :1], 1), (population[:, :2], 0)):
        factors = estimate_from_matrix(
            ArrayMatrix(Y, engine_for_tests()), ridge_geometry(X, 1e-5), 5, SolverOptions(solver="exact")
        )
        assert factors.spectrum is not None
        assert compute_scree(factors.spectrum).n_axes == n_axes


FEW_SAMPLES = [(24, 10_000, 4, 15), (30, 5000, 5, 6), (30, 5000, 5, 20), (40, 3000, 4, 20), (60, 1500, 3, 38)]


def of_few_samples(n: int, p: int, n_populations: int, K: int, copies: int = 1, seed: int = 0) -> Spectrum:
    """Spectrum of populations of few samples beside two random variables, each SNP so many times over."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(np.arange(n) % n_populations)
    Y = np.repeat(genotypes(rng, sizes, [0.15] * n_populations, p), copies, axis=1)
    ridge = ridge_geometry(rng.standard_normal((n, 2)), 1e-5)
    factors = estimate_from_matrix(ArrayMatrix(Y, engine_for_tests()), ridge, K, SolverOptions(solver="exact"))
    assert factors.spectrum is not None
    return factors.spectrum


@pytest.mark.parametrize("copies", [1, 20])
@pytest.mark.parametrize(("n", "p", "n_populations", "K"), FEW_SAMPLES)
def test_axes_of_few_samples_are_populations_minus_one(n: int, p: int, n_populations: int, K: int, copies: int) -> None:
    # the more SNPs there are to a sample, the more does it matter what the variables take of each
    p = p if copies == 1 else 1500
    results = [compute_scree(of_few_samples(n, p, n_populations, K, copies, seed)) for seed in range(4)]
    assert [result.n_axes for result in results] == [n_populations - 1] * 4


@pytest.mark.parametrize(("n", "p", "n_populations", "K"), FEW_SAMPLES)
def test_effective_snps_are_no_more_than_the_snps(n: int, p: int, n_populations: int, K: int) -> None:
    for seed in range(4):
        spectrum = of_few_samples(n, p, n_populations, K, seed=seed)
        # as if nothing were known of what the variables take of each sample
        result = compute_scree(replace(spectrum, sample_weights=np.full(n, spectrum.n_dimensions / n)))
        assert result.effective_snps <= p
        assert result.n_axes == n_populations - 1


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_sample_weights_are_the_diagonal_of_the_projection(solver: str) -> None:
    rng = np.random.default_rng(12)
    X = rng.standard_normal((40, 3)) ** 3
    # a variable so small that the ridge leaves it
    X[:, 2] *= 1e-9
    Y = genotypes(rng, [20, 20], [0.1, 0.1], 700)
    factors = estimate_from_matrix(
        ArrayMatrix(Y, engine_for_tests()), ridge_geometry(X, 1e-5), 4, SolverOptions(solver=solver)
    )
    assert factors.spectrum is not None
    Q = np.linalg.qr(np.column_stack([np.ones(40), X[:, :2]]))[0]
    np.testing.assert_allclose(factors.spectrum.sample_weights, 1 - (Q**2).sum(axis=1), rtol=1e-9)
    assert factors.spectrum.sample_weights.sum() == pytest.approx(factors.spectrum.n_dimensions)
    assert factors.spectrum.n_snps == 700


def test_axes_beyond_the_factors_and_beyond_the_table_are_counted() -> None:
    rng = np.random.default_rng(7)
    families = np.repeat(rng.standard_normal((70, 3000)), 4, axis=0)
    result = compute_scree(spectrum_of(centred(2 * families + rng.standard_normal((280, 3000))), 80))
    assert result.n_axes == 69
    assert result.n_tested == 70
    assert result.table().num_rows == 50


def test_edge_beside_all_axes_that_were_tested_is_known() -> None:
    rng = np.random.default_rng(13)
    spectrum = spectrum_of(centred(genotypes(rng, [20] * 9, [0.2] * 9)))
    result = compute_scree(replace(spectrum, eigenvalues=spectrum.eigenvalues[:5]))
    assert result.n_axes == result.n_tested == result.table().num_rows == 5
    assert 0 < result.bulk_edge < result.eigenvalues[4]
    assert 0 < result.effective_snps <= 3000


# --- what is reported -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strong() -> Scree:
    """Three populations far apart, many SNPs."""
    rng = np.random.default_rng(8)
    return compute_scree(spectrum_of(centred(genotypes(rng, [60, 60, 60], [0.3, 0.3, 0.3], 20_000))))


def test_p_of_large_statistics_is_positive_and_its_logarithm_right(strong: Scree) -> None:
    assert strong.tw_statistic[0] > 200
    assert strong.tw_p[0] == 5e-324
    assert strong.tw_neg_log10_p[0] == pytest.approx(2 / 3 * strong.tw_statistic[0] ** 1.5 / np.log(10), rel=1e-3)
    ordinary = strong.tw_p > 1e-300
    np.testing.assert_allclose(10 ** -strong.tw_neg_log10_p[ordinary], strong.tw_p[ordinary], rtol=1e-9)


def test_table_has_the_leading_axes(strong: Scree) -> None:
    table = strong.table()
    assert table.column_names == ["AXIS", "EIGENVALUE", "SHARE", "BULK_EDGE", "TW_STATISTIC", "TW_P"]
    assert [str(column.type) for column in table.columns] == ["int64", *["double"] * 5]
    assert table["AXIS"].to_pylist() == list(range(1, 51))
    np.testing.assert_array_equal(table["EIGENVALUE"], strong.eigenvalues[:50])
    np.testing.assert_array_equal(table["SHARE"], strong.shares[:50])
    np.testing.assert_array_equal(table["BULK_EDGE"], strong.bulk_edges)
    np.testing.assert_array_equal(table["TW_STATISTIC"], strong.tw_statistic)
    np.testing.assert_array_equal(table["TW_P"], strong.tw_p)


def test_edge_and_snps_are_those_beside_the_axes(strong: Scree) -> None:
    assert strong.n_axes == 2
    assert strong.bulk_edge == strong.bulk_edges[2]
    assert strong.shares.sum() == pytest.approx(1)
    assert strong.eigenvalues[1] > 5 * strong.bulk_edge > 5 * strong.eigenvalues[2]


def test_scree_is_the_same_from_a_file(tmp_path: Path) -> None:
    data = balding_nichols(60, 500, 2, 1, seed=3)
    matrix = ArrayMatrix(data.dosage, engine_for_tests())
    factors = estimate_from_matrix(matrix, ridge_geometry(data.X, 1e-5), 4, SolverOptions())
    with (tmp_path / "f.npz").open("wb") as file:
        write_factors(file, factors)
    again = read_factors(tmp_path / "f.npz")
    assert factors.spectrum is not None
    assert again.spectrum is not None
    assert compute_scree(again.spectrum).table().equals(compute_scree(factors.spectrum).table())


def test_scree_is_short_in_words() -> None:
    assert repr(THREE) == "<Scree: 3 axes, 100 effective SNPs>"
    assert repr(replace(with_axes(1, [1e-9, 0.3]), effective_snps=4311.6)) == "<Scree: 1 axis, 4 312 effective SNPs>"
    assert repr(replace(with_axes(0, []), effective_snps=np.nan)) == "<Scree: 0 axes, nan effective SNPs>"


@pytest.mark.parametrize("shape", [(4, 500), (5, 3), (60, 12), (60, 59)])
def test_scree_of_few_samples_or_snps_has_no_axis(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = compute_scree(spectrum_of(centred(rng.standard_normal(shape)), 3))
    assert result.n_axes == 0
    assert np.isfinite(result.tw_statistic).all()
    assert ((result.tw_p > 0) & (result.tw_p <= 1)).all()


@pytest.mark.parametrize("n_values", [0, 1, 2])
def test_scree_of_next_to_nothing_is_empty(n_values: int) -> None:
    values, n = np.arange(n_values, 0, -1.0), n_values + 1
    even = np.full(n, n_values / n)
    result = compute_scree(Spectrum(values, values.sum(), (values**2).sum(), n_values, np.ones(n), even, n_snps=9))
    assert result.n_axes == result.n_tested == result.table().num_rows == 0
    assert np.isnan(result.bulk_edge)
    assert np.isnan(result.effective_snps)


def test_scree_of_no_noise_counts_the_rank() -> None:
    rng = np.random.default_rng(10)
    Y = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 400))
    result = compute_scree(spectrum_of(centred(Y)))
    assert result.n_tested <= 3
    assert np.isfinite(result.tw_statistic).all()


# --- the suggestion -------------------------------------------------------------------------------------------


def with_axes(n_axes: int, p: Sequence[float]) -> Scree:
    values = np.ones(len(p))
    return Scree(values, values, values, values, np.array(p), values, n_axes, 100.0, 1.0, 200)


EXCEED = "3 axes exceed the bulk of the eigenvalues (Tracy-Widom p < 0.01)"
FOUND = f"{EXCEED}; axis 4 has p = 0.31"
THREE = with_axes(3, [1e-20, 1e-9, 1e-3, 0.31, 0.8])


@pytest.mark.parametrize(
    ("found", "candidates", "K", "reason"),
    [
        (THREE, range(1, 21), 3, FOUND),
        (THREE, [3], 3, FOUND),
        (THREE, [0, 2], 2, f"K = 2 is the end of the range: {EXCEED}; sweep further"),
        (THREE, [5, 10], 5, f"{FOUND}; K = 5 is the smallest candidate"),
        (THREE, [1, 5, 10], 5, f"{FOUND}; K = 5 is the next candidate"),
        (
            with_axes(1, [1e-20, 0.012]),
            range(4),
            1,
            "1 axis exceeds the bulk of the eigenvalues (Tracy-Widom p < 0.01); axis 2 has p = 0.012",
        ),
        (
            with_axes(0, [0.5]),
            range(4),
            0,
            "no axis exceeds the bulk of the eigenvalues (Tracy-Widom p < 0.01); axis 1 has p = 0.5",
        ),
        (
            with_axes(0, [0.5]),
            range(1, 4),
            1,
            "no axis exceeds the bulk of the eigenvalues (Tracy-Widom p < 0.01); axis 1 has p = 0.5; "
            "K = 1 is the smallest candidate",
        ),
        (
            with_axes(2, [1e-9, 1e-3]),
            range(1, 3),
            2,
            "2 axes exceed the bulk of the eigenvalues (Tracy-Widom p < 0.01), all that were tested: there may be more",
        ),
        (None, range(1, 9), None, "the eigenvalues are not known"),
        (with_axes(0, []), [1, 2], None, "no eigenvalue could be tested"),
    ],
)
def test_suggestion_says_why(found: Scree | None, candidates: Sequence[int], K: int | None, reason: str) -> None:
    assert suggest_factors(found, candidates) == (K, reason)


def test_suggestion_needs_candidates() -> None:
    with pytest.raises(UsageError, match="no candidates; give at least one"):
        suggest_factors(THREE, [])
