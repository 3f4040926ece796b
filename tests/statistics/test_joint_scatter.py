"""The scatter of t over the SNPs: Tyler's fixed point, what moves it, and what it does for the joint test."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from scipy import stats

from lfmm2.statistics.joint_scatter import JointScatter, fit_scatter, n_sampled

DF = 60


def t_vectors(m: int, scatter: np.ndarray, df: float = DF, seed: int = 0) -> np.ndarray:
    """Vectors (m, d) of Student's t with `df` degrees of freedom, in common, and a scatter."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((m, len(scatter))) @ np.linalg.cholesky(scatter).T
    return normal / np.sqrt(rng.chisquare(df, m) / df)[:, None]


def inflated_in_one_direction(d: int = 4, factor: float = 25.0) -> np.ndarray:
    """Scatter of variables correlated 0.5, whose sum is inflated `factor` times as much as what is across."""
    return 0.5 * np.eye(d) + 0.5 + (factor - 1) * (0.5 + d / 2) * np.full((d, d), 1 / d)


def partial_f(t: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    return np.einsum("ij,jk,ik->i", t, np.linalg.inv(correlation), t) / t.shape[1]


def fitted(t: np.ndarray, f: np.ndarray | None = None) -> JointScatter:
    scatter = fit_scatter(t, (t**2).mean(axis=1) if f is None else f)
    assert scatter is not None
    return scatter


def test_distances_are_those_of_the_plain_fixed_point() -> None:
    t = t_vectors(3000, inflated_in_one_direction())
    f = partial_f(t, 0.5 * np.eye(4) + 0.5)
    distances = fitted(t, f).root_distances(t) ** 2
    np.testing.assert_allclose(distances, np.median(f) * reference.joint_distances(t), rtol=1e-7)
    by_scatter = partial_f(t, fitted(t, f).scatter)
    np.testing.assert_allclose(distances, by_scatter, rtol=1e-9)


def test_null_snps_inflated_in_one_direction_are_no_discoveries() -> None:
    t = t_vectors(20_000, inflated_in_one_direction())
    f = partial_f(t, 0.5 * np.eye(4) + 0.5)
    distances = fitted(t, f).root_distances(t) ** 2
    median = stats.f.ppf(0.5, 4, DF)
    found = {}
    for name, values in (("f", f), ("distance", distances)):
        p = stats.f.sf(values / np.median(values) * median, 4, DF)
        found[name] = int((stats.false_discovery_control(p) < 0.05).sum())
    assert found["f"] > 500
    assert found["distance"] == 0
    assert stats.kstest(stats.f.sf(distances / np.median(distances) * median, 4, DF), "uniform").pvalue > 0.01


def test_few_strong_snps_do_not_move_the_scatter() -> None:
    t = t_vectors(5000, inflated_in_one_direction())
    strong = t.copy()
    strong[:100] = 1000.0
    before, after = fitted(t).scatter, fitted(strong).scatter
    before, after = before / np.trace(before), after / np.trace(after)
    assert np.abs(after - before).max() < 0.1 * np.abs(before).max()


def test_other_units_and_mixtures_of_variables_keep_the_distances() -> None:
    t = t_vectors(2000, inflated_in_one_direction())
    f = partial_f(t, np.eye(4))
    mixed = t @ np.random.default_rng(1).standard_normal((4, 4)) * 1e-3
    np.testing.assert_allclose(fitted(mixed, f).root_distances(mixed), fitted(t, f).root_distances(t), rtol=1e-8)


@pytest.mark.parametrize("difference", [1e-4, 1e-8])
def test_nearly_collinear_variables_have_finite_distances(difference: float) -> None:
    t = t_vectors(2000, np.eye(2))
    f = partial_f(t, np.eye(2))
    near = np.column_stack([t[:, 0], t[:, 0] + difference * t[:, 1]])
    np.testing.assert_allclose(
        fitted(near, f).root_distances(near), fitted(t, f).root_distances(t), rtol=1e-14 / difference + 1e-8
    )


def test_there_is_no_scatter_of_dependent_statistics_or_of_few_snps() -> None:
    t = t_vectors(500, np.eye(2))
    assert fit_scatter(np.column_stack([t, -t[:, 0]]), np.ones(500)) is None
    assert fit_scatter(t[:39], np.ones(39)) is None
    assert fit_scatter(t[:40], np.ones(40)) is not None
    assert fit_scatter(np.zeros((500, 2)), np.zeros(500)) is None
    # More than half of the SNPs lie on one line, so that the fixed point degenerates.
    t[:400] = np.outer(t[:400, 0], [1.0, 1.0])
    assert fit_scatter(t, np.ones(500)) is None


def test_statistics_of_zero_and_nan_are_kept_as_they_are() -> None:
    t = t_vectors(500, np.eye(2))
    scatter = fitted(t)
    np.testing.assert_array_equal(scatter.root_distances(np.array([[0.0, 0.0], [np.nan, np.nan]])), [0.0, np.nan])
    t[::7] = 0.0
    assert np.isfinite(fitted(t).scatter).all()


def test_number_of_sampled_snps_is_limited_by_memory() -> None:
    assert [n_sampled(10**7, d) for d in (2, 8, 100)] == [200_000, 200_000, 20_000]
    assert n_sampled(123, 8) == 123
