"""Kernels where threads meet: what is added together, and panels that all threads decode before any uses them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.kernels import _products

pytestmark = pytest.mark.usefixtures("one_blas_thread")

Floats = NDArray[np.float64]
Packed = NDArray[np.uint8]

N_SAMPLES, N_SNPS = 1003, 90
TILE_SNPS, CHUNK_SAMPLES, GROUP_TILES, N_SLOTS = 4, 256, 2, 5
PANEL_SNPS = 30


def random_packed(seed: int) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (N_SNPS, -(-N_SAMPLES // 4)), dtype=np.uint8)


def random_columns(n_columns: int) -> Floats:
    return np.random.default_rng(n_columns).standard_normal((N_SAMPLES, n_columns))


def gram_product(packed: Packed, S: Floats, n_threads: int) -> Floats:
    l = S.shape[1]  # noqa: E741
    G = np.zeros((N_SAMPLES, l), order="F")
    accumulators = np.full((N_SAMPLES, l, N_SLOTS), np.nan, order="F")
    work = np.full((n_threads, _core.workspace_size(TILE_SNPS, CHUNK_SAMPLES, l)), np.nan)
    _core.gram_product(
        packed, N_SAMPLES, 0, S, G, TILE_SNPS, CHUNK_SAMPLES, GROUP_TILES, accumulators, work, n_threads
    )  # fmt: skip
    return G


def cross_products(packed: Packed, W: Floats, n_threads: int) -> Floats:
    counts = np.full((N_SNPS, 4), -1)
    products = np.full((N_SNPS, W.shape[1]), np.nan)
    work = np.full((n_threads, _core.workspace_size(TILE_SNPS, CHUNK_SAMPLES, W.shape[1])), np.nan)
    _core.cross_products(packed, N_SAMPLES, 0, W, counts, products, TILE_SNPS, CHUNK_SAMPLES, work, n_threads)
    return products


def products_by_tables(packed: Packed, W: Floats, n_threads: int) -> Floats:
    columns = np.empty(_products.columns_size(*W.shape))
    _products.arrange_columns(W, columns)
    counts, products = np.full((len(packed), 4), -1), np.full((len(packed), W.shape[1]), np.nan)
    work = np.full((n_threads, _products.workspace_size(*W.shape)), np.nan)
    _products.cross_products(packed, N_SAMPLES, 0, columns, counts, products, work, n_threads)
    return products


def gram(packed: Packed, n_threads: int) -> Floats:
    n_samples = 4 * packed.shape[1]
    C = np.zeros((n_samples, n_samples), order="F")
    _core.gram(packed, n_samples, 0, C, 32, np.full((PANEL_SNPS, n_samples), np.nan), n_threads)
    return C


# from 100 000 sums on, threads add the accumulators too
@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_gram_product_adds_many_sums_in_the_same_order_on_any_threads(n_threads: int) -> None:
    packed, S = random_packed(1), random_columns(101)
    assert S.size > 100_000
    np.testing.assert_array_equal(gram_product(packed, S, n_threads), gram_product(packed, S, 1))


# long enough that every thread takes a part, which the small matrices of tests/kernels/test_core.py do not make sure of
@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_gram_adds_large_panels_in_the_same_order_on_any_threads(n_threads: int) -> None:
    packed = np.ascontiguousarray(random_packed(1)[:, :75])
    np.testing.assert_array_equal(gram(packed, n_threads), gram(packed, 1))


# a tile has at least 128 SNPs, so that 90 would be one thread's
@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_tables_give_the_same_products_on_any_threads(n_threads: int) -> None:
    packed, W = np.vstack([random_packed(seed) for seed in range(20)]), random_columns(9)
    np.testing.assert_array_equal(products_by_tables(packed, W, n_threads), products_by_tables(packed, W, 1))


def test_kernels_run_side_by_side_in_threads_of_python() -> None:
    blocks = [random_packed(seed) for seed in range(6)]
    S = random_columns(3)

    def products(block: Packed, n_threads: int) -> list[Floats]:
        narrow = np.ascontiguousarray(block[:, :11])
        return [
            gram_product(block, S, n_threads), cross_products(block, S, n_threads), gram(narrow, n_threads),
            products_by_tables(block, S, n_threads),
        ]  # fmt: skip

    expected = [products(block, 1) for block in blocks]
    with ThreadPoolExecutor(3) as pool:
        actual = list(pool.map(lambda block: products(block, 2), blocks))
    for one, other in zip(actual, expected, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
