"""The kernels against plain NumPy: codes, pad bits, tiles, chunks, slots and threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.genotypes.plink_writer import encode_bed

pytestmark = pytest.mark.usefixtures("one_blas_thread")

# four samples a byte; 32 a word of the counting loop; seven words a step of it, so 224
SIZES = (*range(1, 10), 31, 32, 33, 63, 64, 65, 223, 224, 225, 255, 256, 257)
COUNT_A1, SCALE = 1, 2
EPS = np.finfo(float).eps

Floats = NDArray[np.float64]
Packed = NDArray[np.uint8]


def random_dosage(n_samples: int, n_snps: int, seed: int = 0) -> Floats:
    """Dosages (n_samples, n_snps) with NaN; the first SNPs have no call, one value, or are het only."""
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0, 1, n_snps)
    dosage = rng.binomial(2, frequency, (n_samples, n_snps)).astype(float)
    dosage[rng.random(dosage.shape) < 0.1] = np.nan
    special = (np.nan, 0.0, 1.0, 2.0)
    for snp, value in enumerate(special[:n_snps]):
        dosage[:, snp] = value
    return dosage


def pack(dosage: Floats) -> Packed:
    return encode_bed(np.where(np.isnan(dosage), -1, dosage).astype(np.int8).T)


def with_dirty_pads(packed: Packed, n_samples: int) -> Packed:
    """A copy whose pad bits are all set."""
    dirty = packed.copy()
    if n_samples % 4:
        dirty[:, -1] |= np.uint8(0xFF << 2 * (n_samples % 4) & 0xFF)
    return dirty


def centred(dosage: Floats, coding: int = 0) -> Floats:
    """Y (n_samples, n_snps) as the coding says."""
    Y: Floats = reference.centred(dosage, scale=bool(coding & SCALE))
    return -Y if coding & COUNT_A1 else Y


def workspace(n_threads: int, tile_snps: int, chunk_samples: int, l: int) -> Floats:  # noqa: E741
    """Work of the kernels, full of NaN: what they read they must have written."""
    return np.full((n_threads, _core.workspace_size(tile_snps, chunk_samples, l)), np.nan)


def gram_product(
    packed: Packed,
    n_samples: int,
    S: Floats,
    *,
    coding: int = 0,
    tile_snps: int = 16,
    chunk_samples: int = 1024,
    group_tiles: int = 2,
    n_slots: int = 2,
    n_threads: int = 1,
    G: Floats | None = None,
) -> Floats:
    l = S.shape[1]  # noqa: E741
    G = np.zeros((n_samples, l), order="F") if G is None else G
    accumulators = np.full((n_samples, l, n_slots), np.nan, order="F")
    work = workspace(n_threads, tile_snps, chunk_samples, l)
    _core.gram_product(
        packed, n_samples, coding, np.ascontiguousarray(S), G, tile_snps, chunk_samples, group_tiles,
        accumulators, work, n_threads,
    )  # fmt: skip
    return G


def gram_product_by_rows(
    packed: Packed,
    n_samples: int,
    S: Floats,
    *,
    coding: int = 0,
    tile_snps: int = 16,
    chunk_samples: int = 24,
    n_threads: int = 1,
    G: Floats | None = None,
) -> Floats:
    l = S.shape[1]  # noqa: E741
    G = np.zeros((n_samples, l), order="F") if G is None else G
    Z, values = np.full((len(packed), l), np.nan), np.full((len(packed), 4), np.nan)
    work = workspace(n_threads, tile_snps, chunk_samples, l)
    _core.gram_product_by_rows(
        packed, n_samples, coding, np.ascontiguousarray(S), G, tile_snps, chunk_samples, Z, values, work, n_threads
    )
    return G


def cross_products(
    packed: Packed,
    n_samples: int,
    W: Floats,
    *,
    coding: int = 0,
    tile_snps: int = 16,
    chunk_samples: int = 1024,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], Floats]:
    counts = np.full((len(packed), 4), -1)
    products = np.full((len(packed), W.shape[1]), np.nan)
    work = workspace(n_threads, tile_snps, chunk_samples, W.shape[1])
    _core.cross_products(
        packed, n_samples, coding, np.ascontiguousarray(W), counts, products, tile_snps, chunk_samples, work, n_threads
    )  # fmt: skip
    return counts, products


def gram(
    packed: Packed, n_samples: int, *, coding: int = 0, edge: int = 16, panel_snps: int = 24, n_threads: int = 1
) -> Floats:
    C = np.zeros((n_samples, n_samples), order="F")
    panel = np.full((panel_snps, n_samples), np.nan)
    _core.gram(packed, n_samples, coding, C, edge, panel, n_threads)
    return C


def decode(packed: Packed, n_samples: int, *, coding: int = 0, n_threads: int = 1) -> Floats:
    out = np.full((len(packed), n_samples), np.nan)
    _core.decode_block(packed, n_samples, coding, out, n_threads)
    return out


def count(packed: Packed, n_samples: int, n_threads: int = 1) -> NDArray[np.int64]:
    counts = np.full((len(packed), 4), -1)
    _core.count_genotypes(packed, n_samples, counts, n_threads)
    return counts


def select(packed: Packed, n_samples: int, index: NDArray[np.int64], n_threads: int = 1) -> Packed:
    out = np.full((len(packed), -(-len(index) // 4)), 0xFF, np.uint8)
    _core.select_samples(packed, n_samples, index, out, n_threads)
    return out


def assert_product(actual: Floats, *factors: Floats) -> None:
    """Equal to the matrix product within what rounding may do.

    A dot product of m terms errs by at most m eps Σ|a||b| in any order of summation (Higham 2002, eq. 3.5), so a chain
    of products by (Σ m) eps |A||B|...; decoded values carry 3 eps more each, the oracle itself errs as much.
    """
    expected = np.linalg.multi_dot(factors)
    magnitude = np.linalg.multi_dot([np.abs(factor) for factor in factors])
    terms = sum(factor.shape[1] for factor in factors[:-1]) + 3 * len(factors)
    np.testing.assert_array_less(np.abs(actual - expected), 2 * terms * EPS * magnitude + np.finfo(float).tiny)


# --- count_genotypes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", SIZES)
def test_count_genotypes_agrees_with_numpy(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 30)
    codes = np.where(np.isnan(dosage), 1, np.array([0, 2, 3])[np.nan_to_num(dosage).astype(int)])
    expected = np.stack([(codes == code).sum(axis=0) for code in range(4)], axis=1)
    np.testing.assert_array_equal(count(pack(dosage), n_samples), expected)


@pytest.mark.parametrize("code", range(4))
@pytest.mark.parametrize("n_samples", [*SIZES, 1000])
def test_count_genotypes_does_not_overflow_on_one_code(n_samples: int, code: int) -> None:
    # the fullest bit fields that the counting loop can meet
    packed = np.full((3, -(-n_samples // 4)), 0b01010101 * code, np.uint8)
    expected = np.zeros((3, 4))
    expected[:, code] = n_samples
    np.testing.assert_array_equal(count(packed, n_samples), expected)


@pytest.mark.parametrize("n_samples", SIZES)
def test_count_genotypes_ignores_pad_bits(n_samples: int) -> None:
    packed = pack(random_dosage(n_samples, 30))
    dirty = with_dirty_pads(packed, n_samples)
    np.testing.assert_array_equal(count(dirty, n_samples), count(packed, n_samples))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_count_genotypes_is_the_same_on_any_threads(n_threads: int) -> None:
    packed = pack(random_dosage(65, 101))
    np.testing.assert_array_equal(count(packed, 65, n_threads), count(packed, 65))


# --- select_samples -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_kept", SIZES)
def test_select_samples_packs_any_order_as_a_bed_would(n_kept: int) -> None:
    n_samples = 261
    dosage = random_dosage(n_samples, 20)
    index = np.random.default_rng(n_kept).permutation(n_samples)[:n_kept]
    dirty = with_dirty_pads(pack(dosage), n_samples)
    # equal bytes, so pad bits are zero
    np.testing.assert_array_equal(select(dirty, n_samples, index), pack(dosage[index]))


@pytest.mark.parametrize("n_samples", [9, 261, 5000])
@pytest.mark.parametrize("n_snps", [1, 7, 8, 9, 65])
def test_select_samples_packs_any_number_of_snps(n_samples: int, n_snps: int) -> None:
    rng = np.random.default_rng(n_snps)
    packed = rng.integers(0, 256, (n_snps, -(-n_samples // 4)), dtype=np.uint8)
    index = rng.permutation(n_samples)[: n_samples // 2 + 1]
    codes = (packed[:, index // 4] >> (2 * (index % 4)).astype(np.uint8)) & 3  # (n_snps, n_kept)
    codes = np.pad(codes, ((0, 0), (0, -len(index) % 4))).reshape(n_snps, -1, 4)
    expected = (codes << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    np.testing.assert_array_equal(select(packed, n_samples, index), expected)


def test_select_samples_takes_little_memory_of_any_number_of_samples() -> None:
    assert [_core.selection_bytes(n) for n in (1, 4, 5, 1000)] == [8, 8, 16, 2000]


def test_select_samples_may_repeat_a_sample() -> None:
    dosage = random_dosage(10, 20)
    index = np.array([3, 3, 9, 0, 3])
    np.testing.assert_array_equal(select(pack(dosage), 10, index), pack(dosage[index]))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_select_samples_is_the_same_on_any_threads(n_threads: int) -> None:
    packed, index = pack(random_dosage(65, 101)), np.random.default_rng(0).permutation(65)[:42]
    np.testing.assert_array_equal(select(packed, 65, index, n_threads), select(packed, 65, index))


@pytest.mark.parametrize("outside", [-1, 10])
def test_select_samples_refuses_a_sample_outside(outside: int) -> None:
    out = np.full((4, 1), 77, np.uint8)
    with pytest.raises(IndexError, match=rf"sample_index\[1\] is {outside}, outside \[0, 10\)"):
        _core.select_samples(pack(random_dosage(10, 4)), 10, np.array([0, outside]), out)
    assert (out == 77).all()


# --- decode_block ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", SIZES)
def test_decode_block_equals_reference(n_samples: int) -> None:
    # the mean of small integers and its difference to 0, 1 and 2 are rounded once each, here and there
    dosage = random_dosage(n_samples, 30)
    np.testing.assert_array_equal(decode(pack(dosage), n_samples), centred(dosage).T)


@pytest.mark.parametrize("n_samples", SIZES)
def test_decode_block_scales_by_hardy_weinberg(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 30)
    # sqrt, quotient and product are rounded once each
    np.testing.assert_allclose(
        decode(pack(dosage), n_samples, coding=SCALE), centred(dosage, SCALE).T, rtol=8 * EPS, atol=0
    )


@pytest.mark.parametrize("coding", [0, SCALE])
def test_decode_block_counting_a1_flips_the_sign_only(coding: int) -> None:
    packed = pack(random_dosage(33, 30))
    np.testing.assert_array_equal(decode(packed, 33, coding=coding | COUNT_A1), -decode(packed, 33, coding=coding))


@pytest.mark.parametrize("coding", range(4))
@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
def test_decode_block_gives_exact_zeros_where_nothing_varies(value: float, coding: int) -> None:
    dosage = np.full((33, 5), value)
    dosage[::3] = np.nan
    assert not decode(pack(dosage), 33, coding=coding).any()


@pytest.mark.parametrize("n_samples", SIZES)
def test_decode_block_ignores_pad_bits(n_samples: int) -> None:
    packed = pack(random_dosage(n_samples, 30))
    dirty = with_dirty_pads(packed, n_samples)
    np.testing.assert_array_equal(decode(dirty, n_samples), decode(packed, n_samples))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_decode_block_is_the_same_on_any_threads(n_threads: int) -> None:
    packed = pack(random_dosage(65, 101))
    np.testing.assert_array_equal(decode(packed, 65, n_threads=n_threads), decode(packed, 65))


# --- gram_product ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", SIZES)
def test_gram_product_agrees_with_numpy_for_any_number_of_samples(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 45)
    S = np.random.default_rng(1).standard_normal((n_samples, 3))
    Y = centred(dosage)
    assert_product(gram_product(pack(dosage), n_samples, S, chunk_samples=64), Y, Y.T, S)


# 16 SNPs a tile, so the last of 137 is short; chunks of 4 and 20 decode 65 samples again and again
@pytest.mark.parametrize("chunk_samples", [4, 20, 64, 68, 1024])
@pytest.mark.parametrize("l", [1, 3, 12, 17, 30])
def test_gram_product_agrees_with_numpy_for_any_columns_and_chunks(l: int, chunk_samples: int) -> None:  # noqa: E741
    n_samples = 65
    dosage = random_dosage(n_samples, 137)
    S = np.random.default_rng(l).standard_normal((n_samples, l))
    Y = centred(dosage)
    assert_product(gram_product(pack(dosage), n_samples, S, chunk_samples=chunk_samples), Y, Y.T, S)


@pytest.mark.parametrize("n_snps", [1, 7, 15, 16, 17, 31, 32, 33, 64, 65])
def test_gram_product_agrees_with_numpy_for_any_number_of_snps(n_snps: int) -> None:
    dosage = random_dosage(33, n_snps)
    S = np.random.default_rng(1).standard_normal((33, 5))
    Y = centred(dosage)
    assert_product(gram_product(pack(dosage), 33, S), Y, Y.T, S)


@pytest.mark.parametrize("tile_snps", [1, 3, 200])
@pytest.mark.parametrize("group_tiles", [1, 4])
def test_gram_product_agrees_with_numpy_for_any_tiling(tile_snps: int, group_tiles: int) -> None:
    dosage = random_dosage(33, 137)
    S = np.random.default_rng(1).standard_normal((33, 5))
    Y = centred(dosage)
    actual = gram_product(pack(dosage), 33, S, tile_snps=tile_snps, group_tiles=group_tiles)
    assert_product(actual, Y, Y.T, S)


@pytest.mark.parametrize("coding", range(4))
def test_gram_product_agrees_with_numpy_for_any_coding(coding: int) -> None:
    dosage = random_dosage(33, 137)
    S = np.random.default_rng(1).standard_normal((33, 5))
    Y = centred(dosage, coding)
    assert_product(gram_product(pack(dosage), 33, S, coding=coding), Y, Y.T, S)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_slots", range(1, 6))
def test_gram_product_is_the_same_for_any_slots_and_threads(n_slots: int, n_threads: int) -> None:
    # 400 SNPs in groups of 32: 13 groups, no multiple of the slots
    packed = pack(random_dosage(65, 400))
    S = np.random.default_rng(1).standard_normal((65, 12))
    expected = gram_product(packed, 65, S, n_slots=1, n_threads=1)
    actual = gram_product(packed, 65, S, n_slots=n_slots, n_threads=n_threads)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("cut", [32, 96, 128])
def test_gram_product_adds_blocks_cut_between_groups_to_the_same_bits(cut: int) -> None:
    packed = pack(random_dosage(33, 150))
    S = np.random.default_rng(1).standard_normal((33, 5))
    G = gram_product(packed[:cut], 33, S)
    gram_product(packed[cut:], 33, S, G=G)
    np.testing.assert_array_equal(G, gram_product(packed, 33, S))


def test_gram_product_ignores_pad_bits() -> None:
    packed, S = pack(random_dosage(33, 137)), np.random.default_rng(1).standard_normal((33, 5))
    dirty = with_dirty_pads(packed, 33)
    np.testing.assert_array_equal(gram_product(dirty, 33, S), gram_product(packed, 33, S))


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
def test_gram_product_is_exactly_zero_where_nothing_varies(value: float) -> None:
    S = np.random.default_rng(1).standard_normal((33, 5))
    assert not gram_product(pack(np.full((33, 40), value)), 33, S).any()


def test_gram_product_leaves_the_sum_alone_without_columns() -> None:
    assert gram_product(pack(random_dosage(9, 5)), 9, np.empty((9, 0))).shape == (9, 0)


# --- gram_product_by_rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", SIZES)
def test_gram_product_by_rows_agrees_with_numpy_for_any_number_of_samples(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 45)
    S = np.random.default_rng(1).standard_normal((n_samples, 3))
    Y = centred(dosage)
    assert_product(gram_product_by_rows(pack(dosage), n_samples, S), Y, Y.T, S)


@pytest.mark.parametrize("n_snps", [1, 7, 15, 16, 17, 65])
@pytest.mark.parametrize(("tile_snps", "chunk_samples"), [(1, 4), (16, 32), (200, 1024)])
@pytest.mark.parametrize("l", [1, 12])
def test_gram_product_by_rows_agrees_with_numpy_for_any_snps_columns_and_tiling(
    n_snps: int,
    tile_snps: int,
    chunk_samples: int,
    l: int,  # noqa: E741
) -> None:
    dosage = random_dosage(65, n_snps)
    S = np.random.default_rng(1).standard_normal((65, l))
    Y = centred(dosage)
    actual = gram_product_by_rows(pack(dosage), 65, S, tile_snps=tile_snps, chunk_samples=chunk_samples)
    assert_product(actual, Y, Y.T, S)


@pytest.mark.parametrize("coding", range(4))
def test_gram_product_by_rows_agrees_with_numpy_for_any_coding(coding: int) -> None:
    dosage = random_dosage(33, 137)
    S = np.random.default_rng(1).standard_normal((33, 5))
    Y = centred(dosage, coding)
    assert_product(gram_product_by_rows(pack(dosage), 33, S, coding=coding), Y, Y.T, S)


@pytest.mark.parametrize("n_threads", [2, 3, 8])
@pytest.mark.parametrize("cut", [None, 32, 128])
def test_gram_product_by_rows_is_the_same_for_any_threads_and_blocks(n_threads: int, cut: int | None) -> None:
    packed = pack(random_dosage(257, 150))
    S = np.random.default_rng(1).standard_normal((257, 12))
    G = gram_product_by_rows(packed[:cut], 257, S, n_threads=n_threads)
    if cut is not None:
        gram_product_by_rows(packed[cut:], 257, S, n_threads=n_threads, G=G)
    np.testing.assert_array_equal(G, gram_product_by_rows(packed, 257, S))


def test_gram_product_by_rows_ignores_pad_bits() -> None:
    packed, S = pack(random_dosage(33, 137)), np.random.default_rng(1).standard_normal((33, 5))
    dirty = with_dirty_pads(packed, 33)
    np.testing.assert_array_equal(gram_product_by_rows(dirty, 33, S), gram_product_by_rows(packed, 33, S))


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
def test_gram_product_by_rows_is_exactly_zero_where_nothing_varies(value: float) -> None:
    S = np.random.default_rng(1).standard_normal((33, 5))
    assert not gram_product_by_rows(pack(np.full((33, 40), value)), 33, S).any()


# --- cross_products -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", SIZES)
def test_cross_products_agrees_with_numpy_for_any_number_of_samples(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 45)
    W = np.random.default_rng(1).standard_normal((n_samples, 3))
    assert_product(cross_products(pack(dosage), n_samples, W, chunk_samples=64)[1], centred(dosage).T, W)


@pytest.mark.parametrize("chunk_samples", [4, 20, 64, 68, 1024])
@pytest.mark.parametrize("m", [1, 3, 12, 17, 30])
def test_cross_products_agrees_with_numpy_for_any_columns_and_chunks(m: int, chunk_samples: int) -> None:
    dosage = random_dosage(65, 137)
    W = np.random.default_rng(m).standard_normal((65, m))
    assert_product(cross_products(pack(dosage), 65, W, chunk_samples=chunk_samples)[1], centred(dosage).T, W)


@pytest.mark.parametrize("tile_snps", [1, 3, 137, 200])
def test_cross_products_agrees_with_numpy_for_any_tile(tile_snps: int) -> None:
    dosage = random_dosage(33, 137)
    W = np.random.default_rng(1).standard_normal((33, 5))
    assert_product(cross_products(pack(dosage), 33, W, tile_snps=tile_snps)[1], centred(dosage).T, W)


@pytest.mark.parametrize("coding", range(4))
def test_cross_products_agrees_with_numpy_for_any_coding(coding: int) -> None:
    dosage = random_dosage(33, 137)
    W = np.random.default_rng(1).standard_normal((33, 5))
    assert_product(cross_products(pack(dosage), 33, W, coding=coding)[1], centred(dosage, coding).T, W)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_cross_products_counts_genotypes_too(n_threads: int) -> None:
    packed = pack(random_dosage(65, 137))
    counts, _ = cross_products(packed, 65, np.ones((65, 1)), n_threads=n_threads)
    np.testing.assert_array_equal(counts, count(packed, 65))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_cross_products_is_the_same_on_any_threads(n_threads: int) -> None:
    packed = pack(random_dosage(65, 400))
    W = np.random.default_rng(1).standard_normal((65, 12))
    expected = cross_products(packed, 65, W)[1]
    np.testing.assert_array_equal(cross_products(packed, 65, W, n_threads=n_threads)[1], expected)


def test_cross_products_ignores_pad_bits() -> None:
    packed, W = pack(random_dosage(33, 137)), np.random.default_rng(1).standard_normal((33, 5))
    for actual, expected in zip(
        cross_products(with_dirty_pads(packed, 33), 33, W), cross_products(packed, 33, W), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
def test_cross_products_are_exactly_zero_where_nothing_varies(value: float) -> None:
    dosage = random_dosage(33, 40)
    dosage[:, 7] = value
    dosage[::2, 7] = np.nan
    W = np.random.default_rng(1).standard_normal((33, 5))
    assert not cross_products(pack(dosage), 33, W)[1][7].any()


# --- gram -----------------------------------------------------------------------------------------------------


def assert_lower_triangle(C: Floats, Y: Floats) -> None:
    """The lower triangle of Y Yᵀ, within the rounding of `assert_product`."""
    lower = np.tril_indices(len(Y))
    limit = 2 * (Y.shape[1] + 6) * EPS * (np.abs(Y) @ np.abs(Y.T)) + np.finfo(float).tiny
    np.testing.assert_array_less(np.abs(C - Y @ Y.T)[lower], limit[lower])


@pytest.mark.parametrize("n_samples", SIZES)
def test_gram_agrees_with_numpy_for_any_number_of_samples(n_samples: int) -> None:
    dosage = random_dosage(n_samples, 45)
    assert_lower_triangle(gram(pack(dosage), n_samples), centred(dosage))


@pytest.mark.parametrize("panel_snps", [1, 24, 137, 500])
@pytest.mark.parametrize("edge", [1, 7, 16, 33, 1000])
def test_gram_agrees_with_numpy_for_any_edge_and_panel(edge: int, panel_snps: int) -> None:
    dosage = random_dosage(33, 137)
    assert_lower_triangle(gram(pack(dosage), 33, edge=edge, panel_snps=panel_snps), centred(dosage))


@pytest.mark.parametrize("coding", range(4))
def test_gram_agrees_with_numpy_for_any_coding(coding: int) -> None:
    dosage = random_dosage(33, 137)
    assert_lower_triangle(gram(pack(dosage), 33, coding=coding), centred(dosage, coding))


def test_gram_leaves_everything_above_the_diagonal_blocks_alone() -> None:
    C = np.zeros((33, 33), order="F")
    above = np.arange(33) // 8 > np.arange(33)[:, None] // 8
    C[above] = np.nan
    _core.gram(pack(random_dosage(33, 50)), 33, 0, C, 8, np.empty((16, 33)))
    np.testing.assert_array_equal(np.isnan(C), above)


def test_gram_adds_to_what_is_there() -> None:
    packed = pack(random_dosage(33, 48))
    C = gram(packed[:24], 33)
    _core.gram(packed[24:], 33, 0, C, 16, np.empty((24, 33)))
    np.testing.assert_array_equal(np.tril(C), np.tril(gram(packed, 33)))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_gram_is_the_same_on_any_threads(n_threads: int) -> None:
    packed = pack(random_dosage(65, 200))
    np.testing.assert_array_equal(gram(packed, 65, n_threads=n_threads), gram(packed, 65))


def test_gram_ignores_pad_bits() -> None:
    packed = pack(random_dosage(33, 50))
    np.testing.assert_array_equal(gram(with_dirty_pads(packed, 33), 33), gram(packed, 33))


# --- decoders -------------------------------------------------------------------------------------------------


@pytest.fixture
def restored_decoder() -> Iterator[None]:
    yield
    _core.use_decoder(_core.DECODER)


@pytest.mark.usefixtures("restored_decoder")
@pytest.mark.parametrize("decoder", _core.DECODERS)
@pytest.mark.parametrize("n_samples", SIZES)
def test_decoders_give_the_same_bits(decoder: str, n_samples: int) -> None:
    packed = np.random.default_rng(1).integers(0, 256, (40, -(-n_samples // 4)), dtype=np.uint8)
    _core.use_decoder("baseline")
    expected = decode(packed, n_samples)
    if _core.use_decoder(decoder) != decoder:
        pytest.skip(f"this processor has no {decoder}")
    np.testing.assert_array_equal(decode(packed, n_samples), expected)


@pytest.mark.usefixtures("restored_decoder")
def test_use_decoder_falls_back_to_what_the_processor_has() -> None:
    assert _core.use_decoder("baseline") == "baseline"
    assert _core.use_decoder("avx512") == _core.DECODER
    with pytest.raises(ValueError, match="neon"):
        _core.use_decoder("neon")


# --- the contract of all --------------------------------------------------------------------------------------


def arguments(kernel: str) -> dict[str, Any]:
    """Sound arguments of a kernel for 9 samples × 5 SNPs; outputs hold 7."""
    n_samples, n_snps, l = 9, 5, 2  # noqa: E741
    packed = pack(random_dosage(n_samples, n_snps))
    S = np.ones((n_samples, l))
    tile = {"tile_snps": 4, "chunk_samples": 8, "work": np.empty((1, _core.workspace_size(4, 8, l)))}
    common: dict[str, Any] = {"packed": packed, "n_samples": n_samples}
    counts = np.full((n_snps, 4), 7)
    if kernel == "count_genotypes":
        return common | {"counts_out": counts}
    if kernel == "select_samples":
        return common | {"sample_index": np.arange(5), "packed_out": np.full((n_snps, 2), 7, np.uint8)}
    common["coding"] = 0
    if kernel == "decode_block":
        return common | {"dosage_out": np.full((n_snps, n_samples), 7.0)}
    if kernel == "gram_product":
        accumulators = np.empty((n_samples, l, 1), order="F")
        G = np.full((n_samples, l), 7.0, order="F")
        return common | tile | {"S": S, "G_out": G, "group_tiles": 1, "accumulators": accumulators}
    if kernel == "gram_product_by_rows":
        G = np.full((n_samples, l), 7.0, order="F")
        work = {"Z": np.empty((n_snps, l)), "values": np.empty((n_snps, 4))}
        return common | tile | work | {"S": S, "G_out": G}
    if kernel == "cross_products":
        return common | tile | {"W": S, "counts_out": counts, "products_out": np.full((n_snps, l), 7.0)}
    C = np.full((n_samples, n_samples), 7.0, order="F")
    return common | {"C_out": C, "edge": 4, "panel": np.empty((4, n_samples))}


KERNELS = (
    "count_genotypes", "select_samples", "decode_block", "gram_product", "gram_product_by_rows", "cross_products",
    "gram",
)  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_accept_read_only_inputs(kernel: str) -> None:
    given = arguments(kernel)
    for name in {"packed", "S", "W", "sample_index"} & set(given):
        given[name].flags.writeable = False
    getattr(_core, kernel)(**given)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_refuse_read_only_outputs(kernel: str) -> None:
    given = arguments(kernel)
    for name in given:
        if name.endswith("_out"):
            given[name].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        getattr(_core, kernel)(**given)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_leave_sums_alone_without_snps(kernel: str) -> None:
    given = arguments(kernel)
    for name in ("packed", "counts_out", "packed_out", "dosage_out", "products_out"):
        if name in given:
            given[name] = np.ascontiguousarray(given[name][:0])
    getattr(_core, kernel)(**given)
    assert all((given[name] == 7).all() for name in given if name.endswith("_out"))


WRONG = [
    ("all", {"n_samples": 8}, "packed rows of 3 bytes do not hold 8 samples; 2 bytes are needed"),
    ("all", {"n_samples": 13}, "packed rows of 3 bytes do not hold 13 samples; 4 bytes are needed"),
    ("all", {"n_samples": 0}, "do not hold 0 samples"),
    ("all", {"n_samples": -9}, "do not hold -9 samples"),
    ("all", {"packed": np.zeros((5, 6), np.uint8)[:, ::2]}, "not C.contiguous"),
    ("all", {"packed": np.zeros((5, 3), np.int8)}, "dtype mismatch"),
    ("count_genotypes", {"counts_out": np.full((4, 4), 7)}, r"counts_out must have shape \(5, 4\)"),
    ("count_genotypes", {"counts_out": np.full((5, 3), 7)}, r"counts_out must have shape \(5, 4\)"),
    ("select_samples", {"packed_out": np.full((5, 1), 7, np.uint8)}, "rows of 1 bytes do not hold 5 samples"),
    ("select_samples", {"packed_out": np.full((4, 2), 7, np.uint8)}, "packed_out has 4 rows for 5 SNPs"),
    ("select_samples", {"sample_index": np.arange(0)}, "do not hold 0 samples"),
    ("decode_block", {"dosage_out": np.full((5, 8), 7.0)}, r"dosage_out must have shape \(5, 9\)"),
    ("decode_block", {"dosage_out": np.full((6, 9), 7.0)}, r"dosage_out must have shape \(5, 9\)"),
    ("gram_product", {"S": np.ones((8, 2))}, r"S and G_out must have shape \(9, 2\)"),
    ("gram_product", {"G_out": np.full((8, 2), 7.0, order="F")}, r"S and G_out must have shape \(9, 2\)"),
    ("gram_product", {"G_out": np.full((9, 3), 7.0, order="F")}, r"S and G_out must have shape \(9, 2\)"),
    ("gram_product", {"G_out": np.full((9, 2), 7.0)}, "not Fortran contiguous"),
    ("gram_product", {"accumulators": np.empty((9, 2, 0), order="F")}, r"accumulators must have shape \(9, 2, >= 1\)"),
    ("gram_product", {"accumulators": np.empty((9, 1, 1), order="F")}, r"accumulators must have shape \(9, 2, >= 1\)"),
    ("gram_product", {"accumulators": np.empty((8, 2, 1), order="F")}, r"accumulators must have shape \(9, 2, >= 1\)"),
    ("gram_product", {"group_tiles": 0}, "accumulators must have shape"),
    ("gram_product_by_rows", {"S": np.ones((8, 2))}, r"S and G_out must have shape \(9, 2\)"),
    ("gram_product_by_rows", {"G_out": np.full((9, 3), 7.0, order="F")}, r"S and G_out must have shape \(9, 2\)"),
    ("gram_product_by_rows", {"Z": np.empty((4, 2))}, r"Z and values must have shapes \(5, 2\) and \(5, 4\)"),
    ("gram_product_by_rows", {"Z": np.empty((5, 3))}, r"Z and values must have shapes \(5, 2\) and \(5, 4\)"),
    ("gram_product_by_rows", {"values": np.empty((5, 3))}, r"Z and values must have shapes \(5, 2\) and \(5, 4\)"),
    ("cross_products", {"W": np.ones((8, 2))}, "W must have 9 rows and at least one column"),
    ("cross_products", {"W": np.ones((9, 0))}, "W must have 9 rows and at least one column"),
    ("cross_products", {"counts_out": np.full((5, 3), 7)}, r"counts_out must have shape \(5, 4\)"),
    ("cross_products", {"products_out": np.full((5, 3), 7.0)}, r"products_out must have shape \(5, 2\)"),
    ("cross_products", {"products_out": np.full((4, 2), 7.0)}, r"products_out must have shape \(5, 2\)"),
    ("tiled", {"tile_snps": 0}, "tile of 0 SNPs"),
    ("tiled", {"chunk_samples": 0}, "chunks are multiples of 4 samples"),
    ("tiled", {"chunk_samples": 6}, "chunks are multiples of 4 samples"),
    ("tiled", {"work": np.empty((0, 500))}, "workspace has 0 rows for 1 threads"),
    ("tiled", {"n_threads": 2}, "workspace has 1 rows for 2 threads"),
    ("tiled", {"work": np.empty((1, 20))}, "workspace rows of 20 doubles are too short"),
    ("gram", {"C_out": np.full((9, 8), 7.0, order="F")}, r"C_out must have shape \(9, 9\)"),
    ("gram", {"edge": 0}, "edge must be positive"),
    ("gram", {"panel": np.empty((0, 9))}, "panel must have shape"),
    ("gram", {"panel": np.empty((4, 8))}, "panel must have shape"),
]
KERNELS_OF = {"all": KERNELS, "tiled": ("gram_product", "gram_product_by_rows", "cross_products")}


@pytest.mark.parametrize(
    ("kernel", "wrong", "message"),
    [(kernel, wrong, message) for which, wrong, message in WRONG for kernel in KERNELS_OF.get(which, (which,))],
)
def test_kernels_refuse_wrong_arguments_before_work(kernel: str, wrong: dict[str, Any], message: str) -> None:
    given = arguments(kernel) | wrong
    with pytest.raises(ValueError, match=message):
        getattr(_core, kernel)(**given)
    assert all((given[name] == 7).all() for name in given if name.endswith("_out"))


@pytest.mark.parametrize("n_threads", [0, -1])
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_refuse_to_run_on_no_threads(kernel: str, n_threads: int) -> None:
    # OpenMP would end the process at a negative number
    with pytest.raises(ValueError, match=f"n_threads is {n_threads}; at least one is needed"):
        getattr(_core, kernel)(**arguments(kernel), n_threads=n_threads)


@pytest.mark.parametrize("shape", [(1, 4, 1), (64, 1024, 12), (256, 4, 0)])
def test_workspace_size_holds_values_products_and_tile(shape: tuple[int, int, int]) -> None:
    # four values a SNP, and room to begin the tile at a cache line
    tile_snps, chunk_samples, l = shape  # noqa: E741
    needed = tile_snps * (4 + l + chunk_samples) + 7
    assert needed <= _core.workspace_size(*shape) < needed + 64
