"""The Gram matrix by integers: against dense float64, and the same bits at every level, for any threads and cuts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.genotypes.bed_matrix import _clear_upper
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _gram

Packed = NDArray[np.uint8]
Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def widest_again() -> Iterator[None]:
    yield
    _gram.use_multiplier(_gram.MULTIPLIER)


def draw(n_samples: int, n_snps: int, missing: float, seed: int = 0) -> NDArray[np.float64]:
    """Dosages (n_snps, n_samples) with NaN, some SNPs without variation, some without calls."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.05, 0.95, (n_snps, 1)), (n_snps, n_samples)).astype(float)
    dosage[::17] = rng.integers(0, 3)
    dosage[rng.random(dosage.shape) < missing] = np.nan
    dosage[5::31] = np.nan
    return dosage


def pack(dosage: Floats) -> Packed:
    return encode_bed(np.where(np.isnan(dosage), -1, dosage).astype(np.int8))


def dense(dosage: Floats) -> Floats:
    called = ~np.isnan(dosage)
    mean = np.where(called, dosage, 0).sum(axis=1) / np.maximum(called.sum(axis=1), 1)
    centred = np.where(called, dosage - mean[:, None], 0.0)
    return centred.T @ centred


def gram(packed: Packed, n_samples: int, n_threads: int = 1, cuts: tuple[int, ...] = ()) -> Floats:
    """The lower triangle from blocks that are cut at multiples of a panel; workspaces begin with rubbish."""
    C = np.zeros((n_samples, n_samples), order="F")
    kinds = (np.uint64, np.float64, np.int64, np.uint64)
    work = [np.full(s, 7, kind) for s, kind in zip(_gram.workspace_shapes(n_samples, n_threads), kinds, strict=True)]
    for first, end in zip((0, *cuts), (*cuts, len(packed)), strict=True):
        block = packed[first:end]
        counts = np.empty((len(block), 4), np.int64)
        _core.count_genotypes(block, n_samples, counts)
        lists = np.full(_gram.most_missing(counts, n_samples), 7, np.uint16)
        _gram.add_gram(block, n_samples, counts, C, *work, lists, n_threads)
    _gram.fold_gram(C, n_threads)
    return C


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 5, 15, 16, 17, 47, 48, 49, 63, 64, 65, 97, 130])
@pytest.mark.parametrize(("n_snps", "missing"), [(1, 0.0), (63, 0.2), (130, 0.0), (2050, 0.02), (700, 1.0)])
def test_gram_is_that_of_centred_dosages(n_samples: int, n_snps: int, missing: float) -> None:
    dosage = draw(n_samples, n_snps, missing, seed=n_samples)
    expected = dense(dosage)
    C = gram(pack(dosage), n_samples)
    assert not np.triu(C, 1).any()
    np.testing.assert_allclose(
        C, np.tril(expected), rtol=0, atol=1e-9 * max(np.diag(expected).mean(), 1) + 1e-6 * missing
    )


@pytest.mark.parametrize("missing", [0.0, 0.005, 0.02, 0.25, 0.6])
def test_error_is_that_of_rounding(missing: float) -> None:
    dosage = draw(203, 3001, missing)
    expected = np.tril(dense(dosage))
    assert np.abs(gram(pack(dosage), 203) - expected).max() < 1e-13 * np.diag(expected).mean()


@pytest.mark.parametrize("name", _gram.MULTIPLIERS)
def test_bits_are_the_same_at_every_level(name: str) -> None:
    packed = pack(draw(101, 9000, 0.1))
    _gram.use_multiplier("baseline")
    expected = gram(packed, 101)
    if _gram.use_multiplier(name) != name:
        pytest.skip(f"this processor has no {name}")
    np.testing.assert_array_equal(gram(packed, 101), expected)


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_bits_depend_neither_on_threads_nor_on_blocks(n_threads: int, missing: float) -> None:
    packed = pack(draw(130, 20_000, missing))
    expected = gram(packed, 130)
    np.testing.assert_array_equal(gram(packed, 130, n_threads), expected)
    np.testing.assert_array_equal(gram(packed, 130, n_threads, (8192,)), expected)
    np.testing.assert_array_equal(gram(packed, 130, 1, (8192, 16_384)), expected)


def test_snps_without_variation_add_exactly_nothing() -> None:
    dosage = np.repeat(np.arange(3.0), 50)[:, None] * np.ones(70)
    dosage[np.random.default_rng(0).random(dosage.shape) < 0.3] = np.nan
    assert not gram(pack(dosage), 70).any()


@pytest.mark.parametrize("n_samples", [33, 34, 35])
def test_pad_bits_are_ignored(n_samples: int) -> None:
    packed = pack(draw(n_samples, 300, 0.1))
    dirty = packed.copy()
    dirty[:, -1] |= np.uint8(0xFF << (2 * (n_samples % 4)) & 0xFF)
    np.testing.assert_array_equal(gram(dirty, n_samples), gram(packed, n_samples))


def test_counted_allele_does_not_matter() -> None:
    dosage = draw(65, 3000, 0.0)
    np.testing.assert_array_equal(gram(pack(2 - dosage), 65), gram(pack(dosage), 65))


def test_gram_is_added_to_what_is_there() -> None:
    packed, C = pack(draw(20, 100, 0.0)), np.full((20, 20), 5.0, order="F")
    counts = np.empty((100, 4), np.int64)
    _core.count_genotypes(packed, 20, counts)
    kinds = (np.uint64, np.float64, np.int64, np.uint64)
    work = [np.empty(s, kind) for s, kind in zip(_gram.workspace_shapes(20, 1), kinds, strict=True)]
    _gram.add_gram(packed, 20, counts, C, *work, np.empty(_gram.most_missing(counts, 20), np.uint16))
    np.testing.assert_allclose(np.tril(C), np.tril(gram(packed, 20) + 5), rtol=1e-13)
    assert (C[np.triu_indices(20, 1)] != 0).all()


@pytest.mark.parametrize("wrong", ["counts", "C", "calls", "sums", "starts", "words", "lists", "samples"])
def test_arrays_of_another_shape_are_refused(wrong: str) -> None:
    packed, n = pack(draw(20, 100, 0.3)), 20
    counts = np.empty((100, 4), np.int64)
    _core.count_genotypes(packed, n, counts)
    kinds = (np.uint64, np.float64, np.int64, np.uint64)
    given = {
        "counts": counts, "C": np.zeros((n, n), order="F"),
        **{name: np.empty(shape, kind) for name, shape, kind in
           zip(("calls", "sums", "starts", "words"), _gram.workspace_shapes(n, 1), kinds, strict=True)},
        "lists": np.empty(_gram.most_missing(counts, n), np.uint16),
    }  # fmt: skip
    if wrong == "samples":
        n = 25
    else:
        given[wrong] = np.asfortranarray(given[wrong][:-1]) if wrong == "C" else given[wrong][:-1]
    if wrong == "words":
        given[wrong] = np.empty((1, 5), np.uint64)
    with pytest.raises(ValueError, match=r"must have|bytes per SNP"):
        _gram.add_gram(packed, n, *given.values())


def test_fold_and_clear_of_the_upper_triangle() -> None:
    square = np.asfortranarray(np.random.default_rng(0).standard_normal((77, 77)))
    folded = square.copy(order="F")
    _gram.fold_gram(folded, 2)
    np.testing.assert_array_equal(folded, np.tril(square) + np.triu(square, 1).T)
    _clear_upper(square)
    np.testing.assert_array_equal(square, np.tril(square))


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'sve' is not one of"):
        _gram.use_multiplier("sve")
