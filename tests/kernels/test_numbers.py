"""Products of any numbers against NumPy: types, layouts, chosen samples, missing and constant features, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2._typing import Floats
from lfmm2.kernels import _numbers
from lfmm2.process import single_threaded_blas

TYPES = (np.float32, np.float64, np.int8, np.uint8, np.int16, np.uint16, np.int32)
N, P = 37, 700


def numbers(dtype: Any = np.float64, n: int = N, p: int = P) -> NDArray[Any]:
    """Return numbers (n_features, n_samples); of floats a tenth is missing, and some features wholly."""
    rng = np.random.default_rng(1)
    values = rng.normal(5, 3, (p, n)) if np.dtype(dtype).kind == "f" else rng.integers(0, 9, (p, n))
    values = values.astype(dtype)
    if values.dtype.kind == "f":
        values[::3][rng.random(values[::3].shape) < 0.1] = np.nan
        values[5 % p] = np.nan
    values[6 % p] = 3
    return values


def centred(values: NDArray[Any]) -> Floats:
    """Return numbers centred by feature, 0 where missing."""
    Y = values.astype(float)
    called = ~np.isnan(Y)
    with np.errstate(invalid="ignore"):
        mean = np.where(called, Y, 0).sum(1) / called.sum(1)
    return np.where(called, Y - mean[:, None], 0.0)


def multiply(values: NDArray[Any], samples: Any = None, n_threads: int = 1) -> dict[str, NDArray[Any]]:
    """Call every kernel once."""
    samples = np.arange(values.shape[1]) if samples is None else samples
    n, p = len(samples), len(values)
    W = np.random.default_rng(2).standard_normal((n, 5))
    work = np.full((n_threads, _numbers.workspace_size(n, 5)), np.nan)
    out: dict[str, NDArray[Any]] = {
        "moments": np.full((p, 5), 7.0), "products": np.empty((p, 5)), "G": np.zeros((n, 5), order="F"),
        "float32": np.empty((p, n), np.float32), "float64": np.empty((p, n)), "C32": np.zeros((n, n), order="F"),
        "C": np.zeros((n, n), order="F"), "again": np.empty((p, 5)), "squares": np.empty(p),
    }  # fmt: skip
    other, sums = np.empty((p, 5)), np.empty((n, 5, n_threads), order="F")
    with single_threaded_blas():
        _numbers.cross_products(values, samples, W, out["moments"], out["products"], work, n_threads)
        _numbers.gram_product(values, samples, W, out["G"], other, sums, work, n_threads)
        for name, C in (("float32", out["C32"]), ("float64", out["C"])):
            _numbers.centre(values, samples, out[name], other, work, n_threads, with_powers=True)
            _numbers.add_gram(out[name], C, 16, np.empty((n_threads, 256), out[name].dtype), n_threads)
        _numbers.multiply(out["float64"], W, out["again"], out["squares"], n_threads)
    assert np.array_equal(other, out["moments"], equal_nan=True)
    return out | {"W": W}


def check(values: NDArray[Any], samples: Any = None, n_threads: int = 1) -> dict[str, NDArray[Any]]:
    """Compare every kernel with NumPy."""
    out = multiply(values, samples, n_threads)
    chosen = values if samples is None else values[:, samples]
    Y, W = centred(chosen), out["W"]
    lower = np.tril(np.ones_like(out["C"], bool))
    size = max(np.abs(Y).max(initial=0), 1e-300)
    np.testing.assert_allclose(out["float64"], Y, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(out["float32"], Y, rtol=0, atol=1e-7 * size)
    np.testing.assert_allclose(out["products"], Y @ W, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(out["G"], Y.T @ (Y @ W), rtol=0, atol=1e-10 * size**2)
    np.testing.assert_allclose(out["C"][lower], (Y.T @ Y)[lower], rtol=0, atol=1e-10 * size**2)
    np.testing.assert_allclose(out["C32"][lower], (Y.T @ Y)[lower], rtol=0, atol=1e-4 * size**2)
    np.testing.assert_array_equal(out["again"], out["products"])
    np.testing.assert_array_equal(out["squares"], out["moments"][:, 2])
    called = ~np.isnan(chosen.astype(float))
    np.testing.assert_array_equal(out["moments"][:, 0], called.sum(1))
    np.testing.assert_array_equal(np.isnan(out["moments"][:, 1]), ~called.any(1))
    np.testing.assert_allclose(out["moments"][:, 2], (Y**2).sum(1), rtol=1e-12, atol=1e-25)
    assert not out["float64"][~called].any()
    varies = (out["moments"][:, 2] > 0) & (Y.shape[1] > 2)
    z = Y[varies] / np.sqrt((Y[varies] ** 2).mean(1, keepdims=True))
    np.testing.assert_allclose(out["moments"][varies, 3], (z**3).mean(1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(out["moments"][varies, 4], (z**4).mean(1) - 3, rtol=1e-9, atol=1e-9)
    assert np.isnan(out["moments"][out["moments"][:, 2] == 0, 3:]).all()
    return out


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_type_and_layout_gives_the_products(dtype: Any, order: str) -> None:
    check(np.asarray(numbers(dtype), order=order))


@pytest.mark.parametrize("n", range(1, 10))
def test_few_samples(n: int) -> None:
    check(numbers(n=n, p=40))
    check(numbers(np.float32, n=n, p=40))


def test_no_features() -> None:
    out = multiply(np.empty((0, N)))
    assert not out["C"].any()
    assert not out["G"].any()


def test_chosen_samples_in_any_order_of_a_view_that_cannot_be_written() -> None:
    values = numbers(np.float32)[::-2, ::-1]
    values.flags.writeable = False
    check(values, np.array([9, 3, 30, 0]))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_threads_change_no_bit(dtype: Any) -> None:
    values = numbers(dtype, n=130, p=1800)
    one, three = multiply(values), multiply(values, n_threads=3)
    for name, array in one.items():
        np.testing.assert_array_equal(array, three[name])


@pytest.mark.parametrize("scale", [1e-310, 1e-160, 1e-30, 1e30, 1e140])
def test_moments_do_not_depend_on_the_scale(scale: float) -> None:
    values = np.random.default_rng(3).normal(0, 1, (9, N))
    moments = multiply(values)["moments"], multiply(values * scale)["moments"]
    np.testing.assert_allclose(moments[1][:, 3:], moments[0][:, 3:], rtol=1e-3 if scale < 1e-300 else 1e-9)


def test_an_infinite_value_makes_the_mean_infinite_and_the_values_zero() -> None:
    values = numbers()
    values[[10, 11, 12], 4] = np.inf, -np.inf, np.inf
    values[12, 5] = -np.inf
    out = multiply(values)
    assert np.isinf(out["moments"][[10, 11, 12], 1]).all()
    assert not out["float64"][[10, 11, 12]].any()
    assert np.isfinite(out["products"]).all()


@pytest.mark.parametrize("fault", ["samples", "work", "moments", "centred", "W", "sums", "squares"])
def test_arrays_that_would_be_left_are_refused(fault: str) -> None:
    values, samples, n, p = numbers(), np.arange(N), N, P
    work, moments = np.empty((1, _numbers.workspace_size(n, 5))), np.empty((p, 5))
    W, products, block = np.ones((n, 5)), np.empty((p, 5)), np.empty((p, n))
    G, sums, squares = np.zeros((n, 5), order="F"), np.empty((n, 5, 1), order="F"), np.empty((1, 256))
    if fault == "samples":
        samples = samples + 1
    elif fault == "work":
        work = work[:, :-1]
    elif fault == "moments":
        moments = moments[1:]
    elif fault == "centred":
        block = block[:, :-1].copy()
    elif fault == "W":
        W = W[1:]
    elif fault == "sums":
        sums = sums[1:].copy(order="F")
    else:
        squares = squares[:, 1:].copy()
    with pytest.raises((ValueError, IndexError)):  # noqa: PT012, one of the kernels refuses
        _numbers.centre(values, samples, block, moments, work[:, :-1] if fault == "work" else work)
        _numbers.cross_products(values, samples, W, moments, products, work)
        _numbers.gram_product(values, samples, W, G, moments, sums, work)
        _numbers.add_gram(block, np.zeros((n, n), order="F"), 16, squares)
