"""The gram product in float32: against dense float64, and the same bits for any threads, cuts and wide registers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _gram_float32

Packed = NDArray[np.uint8]
Floats = NDArray[np.float64]

pytestmark = pytest.mark.usefixtures("one_blas_thread")

COUNT_A1, SCALE = 1, 2
PANEL = _gram_float32.PANEL_SNPS


@pytest.fixture(autouse=True)
def widest_again() -> Iterator[None]:
    yield
    _gram_float32.use_instructions(_gram_float32.INSTRUCTIONS)


def draw(n_samples: int, n_snps: int, missing: float, seed: int = 0) -> Floats:
    """Dosages (n_samples, n_snps) with NaN, some SNPs without variation, some without calls."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.05, 0.95, n_snps), (n_samples, n_snps)).astype(float)
    dosage[:, 3::17] = rng.integers(0, 3)
    dosage[rng.random(dosage.shape) < missing] = np.nan
    dosage[:, 5::31] = np.nan
    return dosage


def pack(dosage: Floats) -> Packed:
    return encode_bed(np.where(np.isnan(dosage), -1, dosage).astype(np.int8).T)


def columns(n_samples: int, l: int, seed: int = 1) -> Floats:  # noqa: E741
    return np.random.default_rng(seed).standard_normal((n_samples, l))


def gram_product(
    packed: Packed,
    n_samples: int,
    S: Floats,
    *,
    coding: int = 0,
    n_threads: int = 1,
    cuts: tuple[int, ...] = (),
    G: Floats | None = None,
) -> Floats:
    """G from blocks that are cut at multiples of a panel; workspaces begin with NaN."""
    l = S.shape[1]  # noqa: E741
    G = np.zeros((n_samples, l), order="F") if G is None else G
    of_S = np.full(_gram_float32.columns_size(n_samples, l), np.nan, np.float32)
    _gram_float32.pack_columns(np.ascontiguousarray(S), of_S)
    work = np.full((n_threads, _gram_float32.workspace_size(l)), np.nan)
    values, T = np.full((len(packed), 4), np.nan, np.float32), np.full(len(packed) * l, np.nan, np.float32)
    for first, end in zip((0, *cuts), (*cuts, len(packed)), strict=True):
        block = packed[first:end]
        counts = np.empty((len(block), 4), np.int64)
        _core.count_genotypes(block, n_samples, counts)
        _gram_float32.add_gram_product(block, n_samples, coding, counts, of_S, G, values, T, work, n_threads)
    return G


def assert_product(actual: Floats, dosage: Floats, S: Floats, coding: int = 0) -> None:
    """Equal to Y (Yᵀ S) within what rounding to float32 may do.

    Genotypes, S and T are rounded, by 2^-24 each, and so is each sum of at most 64 + 4 terms (a chunk has 64 in a lane)
    and of 512 (a panel): the errors of terms that are all rounded the same way add up to (3 + 68 + 512) 2^-24.
    """
    Y = reference.centred(dosage, scale=bool(coding & SCALE))
    bound = np.abs(Y) @ (np.abs(Y).T @ np.abs(S))
    assert (np.abs(actual - Y @ (Y.T @ S)) <= 600 * 2.0**-24 * bound + 1e-300).all()


@pytest.mark.parametrize("name", _gram_float32.INSTRUCTION_SETS)
@pytest.mark.parametrize("n_samples", [*range(1, 10), 15, 16, 17, 31, 33, 95, 96, 97, 193, 1023, 1024, 1025, 2100])
def test_product_agrees_with_numpy_for_any_number_of_samples(name: str, n_samples: int) -> None:
    if _gram_float32.use_instructions(name) != name:
        pytest.skip(f"this processor has no {name}")
    dosage, S = draw(n_samples, 50, 0.1, seed=n_samples), columns(n_samples, 8)
    assert_product(gram_product(pack(dosage), n_samples, S), dosage, S)


@pytest.mark.parametrize("n_snps", [1, 2, 5, 6, 7, 47, 48, 49, 63, 64, 65, PANEL - 1, PANEL, PANEL + 1, 3 * PANEL + 5])
@pytest.mark.parametrize("l", [4, 20])
def test_product_agrees_with_numpy_for_any_number_of_snps(n_snps: int, l: int) -> None:  # noqa: E741
    dosage, S = draw(101, n_snps, 0.02, seed=n_snps), columns(101, l)
    assert_product(gram_product(pack(dosage), 101, S), dosage, S)


@pytest.mark.parametrize("coding", [0, COUNT_A1, SCALE, COUNT_A1 | SCALE])
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_product_agrees_with_numpy_for_any_coding_and_missing_calls(coding: int, missing: float) -> None:
    dosage, S = draw(130, 300, missing), columns(130, 12)
    assert_product(gram_product(pack(dosage), 130, S, coding=coding), dosage, S, coding)


@pytest.mark.parametrize("name", _gram_float32.INSTRUCTION_SETS)
@pytest.mark.parametrize("n_samples", [400, 10_000])
def test_error_does_not_grow_with_the_samples(name: str, n_samples: int) -> None:
    if _gram_float32.use_instructions(name) != name:
        pytest.skip(f"this processor has no {name}")
    dosage, S = draw(n_samples, PANEL + 100, 0.01), columns(n_samples, 4)
    Y = reference.centred(dosage)
    expected = Y @ (Y.T @ S)
    error = np.linalg.norm(gram_product(pack(dosage), n_samples, S) - expected, axis=0)
    assert (error < 1e-6 * np.linalg.norm(expected, axis=0)).all()


def test_avx2_and_avx512_give_the_same_bits() -> None:
    packed, S = pack(draw(2101, 700, 0.1)), columns(2101, 24)
    if _gram_float32.use_instructions("avx512") != "avx512":
        pytest.skip("this processor has no AVX-512")
    expected = gram_product(packed, 2101, S)
    _gram_float32.use_instructions("avx2")
    np.testing.assert_array_equal(gram_product(packed, 2101, S), expected)


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("n_samples", [50, 1303, 5000])
def test_bits_depend_neither_on_threads_nor_on_blocks(n_threads: int, n_samples: int) -> None:
    packed, S = np.random.default_rng(0).integers(0, 256, (1500, -(-n_samples // 4)), np.uint8), columns(n_samples, 12)
    expected = gram_product(packed, n_samples, S)
    np.testing.assert_array_equal(gram_product(packed, n_samples, S, n_threads=n_threads), expected)
    np.testing.assert_array_equal(gram_product(packed, n_samples, S, n_threads=n_threads, cuts=(PANEL,)), expected)
    np.testing.assert_array_equal(gram_product(packed, n_samples, S, cuts=(PANEL, 2 * PANEL)), expected)


def test_columns_do_not_depend_on_each_other() -> None:
    packed, S = pack(draw(301, 600, 0.1)), columns(301, 16)
    expected = gram_product(packed, 301, S)
    np.testing.assert_array_equal(gram_product(packed, 301, S[:, 8:12]), expected[:, 8:12])


def test_zeros_of_padding_give_zeros() -> None:
    packed, S = pack(draw(301, 600, 0.1)), columns(301, 8)
    S[:, 5:] = 0
    assert not gram_product(packed, 301, S)[:, 5:].any()


@pytest.mark.parametrize("value", [0.0, 1.0, 2.0, np.nan])
def test_snps_without_variation_add_exactly_nothing(value: float) -> None:
    assert not gram_product(pack(np.full((70, 50), value)), 70, columns(70, 4)).any()


@pytest.mark.parametrize("n_samples", [33, 34, 35])
def test_pad_bits_are_ignored(n_samples: int) -> None:
    packed, S = pack(draw(n_samples, 100, 0.1)), columns(n_samples, 4)
    dirty = packed.copy()
    dirty[:, -1] |= np.uint8(0xFF << (2 * (n_samples % 4)) & 0xFF)
    np.testing.assert_array_equal(gram_product(dirty, n_samples, S), gram_product(packed, n_samples, S))


def test_product_is_added_to_what_is_there() -> None:
    packed, S = pack(draw(20, 100, 0.0)), columns(20, 4)
    G = gram_product(packed, 20, S, G=np.full((20, 4), 5.0, order="F"))
    np.testing.assert_allclose(G, gram_product(packed, 20, S) + 5, rtol=1e-13)


@pytest.mark.parametrize("shape", [(0, 4), (10, 0)])
def test_nothing_is_added_without_snps_or_columns(shape: tuple[int, int]) -> None:
    n_snps, l = shape  # noqa: E741
    assert not gram_product(np.zeros((n_snps, 5), np.uint8), 20, columns(20, l)).any()


def test_read_only_input_is_accepted() -> None:
    packed, S = pack(draw(20, 100, 0.0)), columns(20, 4)
    packed.flags.writeable = False
    S.flags.writeable = False
    gram_product(packed, 20, S)


@pytest.mark.parametrize(
    "wrong", ["packed", "samples", "threads", "counts", "columns", "G", "odd columns", "values", "T", "work"]
)
def test_arrays_of_another_shape_are_refused(wrong: str) -> None:
    n, l, n_threads = 20, 4, 1  # noqa: E741
    given = {
        "packed": pack(draw(n, 100, 0.3)), "counts": np.zeros((100, 4), np.int64),
        "columns": np.zeros(_gram_float32.columns_size(n, l), np.float32), "G": np.zeros((n, l), order="F"),
        "values": np.zeros((100, 4), np.float32), "T": np.zeros(100 * l, np.float32),
        "work": np.zeros((1, _gram_float32.workspace_size(l))),
    }  # fmt: skip
    if wrong == "samples":
        n = 25
    elif wrong == "threads":
        n_threads = 0
    elif wrong == "odd columns":
        given["G"] = np.zeros((n, 3), order="F")
    elif wrong == "packed":
        given["packed"] = given["packed"][:, :-1].copy()
    else:
        given[wrong] = np.asfortranarray(given[wrong][:-1]) if wrong == "G" else given[wrong][:-1]
    packed, counts, of_S, G, values, T, work = given.values()
    with pytest.raises(ValueError, match=r"must have|bytes per SNP|at least one"):
        _gram_float32.add_gram_product(packed, n, 0, counts, of_S, G, values, T, work, n_threads)
    assert not G.any()


def test_columns_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="columns_out must have 64 floats"):
        _gram_float32.pack_columns(np.zeros((9, 4)), np.zeros(63, np.float32))
    with pytest.raises(ValueError, match="columns by fours"):
        _gram_float32.pack_columns(np.zeros((9, 3)), np.zeros(_gram_float32.columns_size(9, 3), np.float32))


def test_unknown_instructions_are_refused() -> None:
    with pytest.raises(ValueError, match="'neon' is not one of"):
        _gram_float32.use_instructions("neon")
