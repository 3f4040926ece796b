"""Products of a matrix in memory with few columns: those of NumPy, with the same bits for any threads and processor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.kernels import _symmetric

Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def widest_again() -> Iterator[None]:
    yield
    _symmetric.use_multiplier("avx2")


def draw(n: int, m: int, n_columns: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, m)), rng.standard_normal((m, n_columns))


def product(C: Floats, S: Floats, n_threads: int = 1) -> Floats:
    out = np.full((len(C), S.shape[1]), np.nan)
    _symmetric.multiply_few(C, S, out, n_threads)
    return out


@pytest.mark.parametrize("n_columns", [4, 8, 12, 16, 20, 24, 28])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (4, 1024), (33, 1025), (70, 2100)])
def test_product_is_that_of_numpy(n: int, m: int, n_columns: int) -> None:
    C, S = draw(n, m, n_columns)
    np.testing.assert_allclose(product(C, S), C @ S, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 5, 4), (5, 0, 4), (5, 5, 0)])
def test_nothing_is_multiplied_where_there_is_nothing(shape: tuple[int, int, int]) -> None:
    C, S = draw(*shape)
    assert not product(C, S).any()


@pytest.mark.parametrize("n_threads", [2, 3, 8])
@pytest.mark.parametrize("level", _symmetric.MULTIPLIERS)
def test_bits_depend_neither_on_threads_nor_on_the_processor(level: str, n_threads: int) -> None:
    C, S = draw(131, 2500, 20)
    _symmetric.use_multiplier("baseline")
    expected = product(C, S)
    if _symmetric.use_multiplier(level) != level:
        pytest.skip(f"this processor has no {level}")
    np.testing.assert_array_equal(product(C, S, n_threads), expected)


def test_column_has_the_same_bits_beside_others() -> None:
    C, S = draw(50, 1500, 24)
    np.testing.assert_array_equal(product(C, np.ascontiguousarray(S[:, :8])), product(C, S)[:, :8])


@pytest.mark.parametrize("wrong", ["columns", "terms", "rows", "threads"])
def test_arrays_of_another_shape_are_refused(wrong: str) -> None:
    C, S = draw(5, 6, 7 if wrong == "columns" else 8)
    out = np.empty((4 if wrong == "rows" else 5, S.shape[1]))
    S = S[:-1] if wrong == "terms" else S
    with pytest.raises(ValueError, match="l a multiple of 4"):
        _symmetric.multiply_few(C, S, out, 0 if wrong == "threads" else 1)


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'sve' is not one of baseline, avx2"):
        _symmetric.use_multiplier("sve")
