"""Cross-products by tables of sums: dense float64 is met, by the same bits at any level, for any threads and blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from lfmm2 import _core
from lfmm2.genotypes.plink_writer import encode_bed
from lfmm2.kernels import _products

Packed = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Four samples are a byte, 32 a word, 256 a span, 1024 a list of missing calls.
SIZES = (*range(1, 10), 31, 32, 33, 63, 64, 65, 127, 129, 255, 256, 257, 259, 1023, 1024, 1025, 1300)
COUNT_A1, SCALE = 1, 2
EPS = np.finfo(float).eps


@pytest.fixture(autouse=True)
def widest_again() -> Iterator[None]:
    yield
    _products.use_registers(_products.WIDEST)


@pytest.fixture(params=_products.REGISTERS)
def registers(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if _products.use_registers(name) != name:
        pytest.skip(f"this processor has no {name}")
    return name


def draw(n_samples: int, n_snps: int, missing: float | Floats = 0.0, seed: int = 0) -> Floats:
    """Dosages (n_snps, n_samples) with NaN; some SNPs are without variation, without calls, or singletons."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.02, 0.98, (n_snps, 1)), (n_snps, n_samples)).astype(float)
    dosage[::17] = rng.integers(0, 3)
    dosage[3::29] = 0.0
    dosage[3::29, n_samples // 2] = 1.0
    dosage[rng.random(dosage.shape) < missing] = np.nan
    dosage[5::31] = np.nan
    return dosage


def pack(dosage: Floats) -> Packed:
    return encode_bed(np.where(np.isnan(dosage), -1, dosage).astype(np.int8))


def columns_of(W: Floats) -> Floats:
    columns = np.full(_products.columns_size(*W.shape), np.nan)
    _products.arrange_columns(np.ascontiguousarray(W), columns)
    return columns


def cross_products(packed: Packed, W: Floats, coding: int = 0, n_threads: int = 1) -> tuple[Ints, Floats]:
    """Counts and products; workspaces and outputs begin with rubbish."""
    n_samples, m = W.shape
    counts, products = np.full((len(packed), 4), -7), np.full((len(packed), m), np.nan)
    work = np.full((n_threads, _products.workspace_size(*W.shape)), np.nan)
    _products.cross_products(packed, n_samples, coding, columns_of(W), counts, products, work, n_threads)
    return counts, products


def by_dgemm(packed: Packed, W: Floats) -> tuple[Ints, Floats]:
    """The same by decoding and dgemm."""
    n_samples, m = W.shape
    counts, products = np.empty((len(packed), 4), np.int64), np.empty((len(packed), m))
    work = np.empty((1, _core.workspace_size(16, 128, m)))
    _core.cross_products(packed, n_samples, 0, np.ascontiguousarray(W), counts, products, 16, 128, work)
    return counts, products


def assert_close(products: Floats, dosage: Floats, W: Floats, coding: int = 0) -> None:
    """Within rounding of the sums of absolute values of the dense products, twice since the mean is subtracted last."""
    Y = reference.centred(dosage.T, scale=bool(coding & SCALE)).T
    Y = -Y if coding & COUNT_A1 else Y
    scale = np.abs(Y).max(axis=1, keepdims=True)
    bound = 8 * EPS * (2 * scale * np.abs(W).sum(axis=0) + np.abs(Y) @ np.abs(W))
    assert (np.abs(products - Y @ W) <= bound).all()


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("n_samples", SIZES)
@pytest.mark.parametrize("missing", [0.0, 0.01, 0.3])
def test_products_agree_with_numpy_for_any_number_of_samples(n_samples: int, missing: float) -> None:
    dosage = draw(n_samples, 90, missing, seed=n_samples)
    W = np.random.default_rng(1).standard_normal((n_samples, 5))
    assert_close(cross_products(pack(dosage), W)[1], dosage, W)


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("m", [1, 3, 4, 5, 8, 9, 12, 17, 20, 40, 300])
def test_products_agree_with_numpy_for_any_number_of_columns(m: int) -> None:
    dosage = draw(133, 700, 0.02)
    W = np.random.default_rng(m).standard_normal((133, m))
    assert_close(cross_products(pack(dosage), W)[1], dosage, W)


@pytest.mark.parametrize("n_snps", [1, 2, 7, 8, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2600])
def test_products_agree_with_numpy_for_any_number_of_snps(n_snps: int) -> None:
    dosage = draw(70, n_snps, 0.02)
    W = np.random.default_rng(1).standard_normal((70, 9))
    assert_close(cross_products(pack(dosage), W)[1], dosage, W)


@pytest.mark.parametrize("coding", range(4))
def test_products_agree_with_numpy_for_any_coding(coding: int) -> None:
    dosage = draw(133, 300, 0.05)
    W = np.random.default_rng(1).standard_normal((133, 6))
    assert_close(cross_products(pack(dosage), W, coding)[1], dosage, W, coding)


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("missing", [0.0, 0.001, 0.02, 0.0313, 0.0625, 0.3, 0.9, 1.0])
def test_products_agree_with_numpy_for_any_share_of_missing_calls(missing: float) -> None:
    dosage = draw(1200, 400, missing)
    W = np.linalg.qr(np.random.default_rng(1).standard_normal((1200, 7)))[0]
    assert_close(cross_products(pack(dosage), W)[1], dosage, W)


def test_products_agree_where_snps_of_one_tile_miss_different_shares() -> None:
    share = np.random.default_rng(3).choice([0.0, 0.002, 0.02, 0.2, 0.98], (900, 1))
    dosage = draw(1100, 900, share)
    W = np.random.default_rng(1).standard_normal((1100, 7))
    assert_close(cross_products(pack(dosage), W)[1], dosage, W)


@pytest.mark.parametrize("name", _products.REGISTERS)
@pytest.mark.parametrize("n_samples", [30, 1025, 1300])
@pytest.mark.parametrize("m", [4, 7, 12])
def test_bits_are_the_same_at_every_level(name: str, n_samples: int, m: int) -> None:
    packed = pack(draw(n_samples, 600, np.linspace(0, 0.12, 600)[:, None]))
    W = np.random.default_rng(1).standard_normal((n_samples, m))
    _products.use_registers("baseline")
    expected = cross_products(packed, W)
    if _products.use_registers(name) != name:
        pytest.skip(f"this processor has no {name}")
    for found, wanted in zip(cross_products(packed, W), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_bits_depend_neither_on_threads_nor_on_blocks(n_threads: int) -> None:
    packed = pack(draw(333, 5000, np.linspace(0, 0.1, 5000)[:, None]))
    W = np.random.default_rng(1).standard_normal((333, 11))
    expected = cross_products(packed, W)[1]
    np.testing.assert_array_equal(cross_products(packed, W, 0, n_threads)[1], expected)
    parts = [cross_products(packed[first:end], W)[1] for first, end in ((0, 1), (1, 700), (700, 5000))]
    np.testing.assert_array_equal(np.vstack(parts), expected)


def test_bits_of_a_column_do_not_depend_on_other_columns() -> None:
    packed = pack(draw(333, 400, 0.03))
    W = np.random.default_rng(1).standard_normal((333, 13))
    expected = cross_products(packed, W)[1]
    for c in range(13):
        np.testing.assert_array_equal(cross_products(packed, W[:, c:])[1], expected[:, c:])


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("n_samples", SIZES)
def test_genotypes_are_counted_too(n_samples: int) -> None:
    packed = np.random.default_rng(1).integers(0, 256, (70, -(-n_samples // 4)), dtype=np.uint8)
    expected = np.empty((70, 4), np.int64)
    _core.count_genotypes(packed, n_samples, expected)
    np.testing.assert_array_equal(cross_products(packed, np.ones((n_samples, 1)))[0], expected)


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("n_samples", [33, 34, 35, 1025, 1026, 1027])
@pytest.mark.parametrize("missing", [0.01, 0.3])
def test_pad_bits_are_ignored(n_samples: int, missing: float) -> None:
    packed = pack(draw(n_samples, 300, missing))
    W = np.random.default_rng(1).standard_normal((n_samples, 5))
    expected = cross_products(packed, W)
    for bits in (0x55, 0xAA, 0xFF):
        dirty = packed.copy()
        dirty[:, -1] |= np.uint8(bits << (2 * (n_samples % 4)) & 0xFF)
        for found, wanted in zip(cross_products(dirty, W), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("step", [2, 50])
def test_products_are_exactly_zero_where_nothing_varies(value: float, step: int) -> None:
    dosage = draw(133, 40)
    dosage[7] = value
    dosage[7, ::step] = np.nan
    assert not cross_products(pack(dosage), np.random.default_rng(1).standard_normal((133, 3)))[1][7].any()


@pytest.mark.parametrize("kind", ["outlier", "log-normal", "cauchy", "one sample"])
def test_heavy_tails_lose_no_digit(kind: str) -> None:
    """Singletons and rare variants meet columns in which one sample outweighs all others by up to 10⁶."""
    rng, n = np.random.default_rng(5), 1000
    X = rng.standard_normal((n, 4))
    if kind == "outlier":
        X[rng.integers(0, n, 4), range(4)] *= 1e6
    elif kind == "log-normal":
        X = np.exp(3 * X)
    elif kind == "cauchy":
        X = rng.standard_cauchy((n, 4))
    else:
        X = np.eye(n)[:, :4] + 1e-9 * X
    W = np.linalg.qr(X - X.mean(axis=0))[0]
    dosage = draw(n, 1000, np.linspace(0, 0.06, 1000)[:, None])
    rare = np.arange(600)
    dosage[rare] = 0.0
    dosage[rare, rng.integers(0, n, 600)] = 1.0
    packed = pack(dosage)
    Y = reference.centred(dosage.T).T
    lengths = np.linalg.norm(Y, axis=1, keepdims=True)
    difference = np.abs(cross_products(packed, W)[1] - by_dgemm(packed, W)[1])
    # t is a product over the length of the SNP, times at most the root of the degrees of freedom.
    assert (difference <= 1e-13 * lengths).all()


def test_counted_allele_changes_the_sign_alone() -> None:
    packed, W = pack(draw(65, 300, 0.1)), np.random.default_rng(1).standard_normal((65, 3))
    np.testing.assert_array_equal(cross_products(packed, W, COUNT_A1)[1], -cross_products(packed, W)[1])


def test_nothing_is_written_without_snps() -> None:
    counts, products = cross_products(np.empty((0, 3), np.uint8), np.ones((9, 2)))
    assert counts.shape == (0, 4)
    assert products.shape == (0, 2)


def arguments() -> dict[str, Any]:
    """Sound arguments for 9 samples, 5 SNPs, 2 columns; outputs hold 7."""
    return {
        "packed": pack(draw(9, 5)), "n_samples": 9, "coding": 0, "columns": columns_of(np.ones((9, 2))),
        "counts_out": np.full((5, 4), 7), "products_out": np.full((5, 2), 7.0),
        "work": np.empty((1, _products.workspace_size(9, 2))),
    }  # fmt: skip


def test_inputs_may_be_read_only() -> None:
    given = arguments()
    for name in ("packed", "columns"):
        given[name].flags.writeable = False
    _products.cross_products(**given)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_samples": 8}, "packed rows of 3 bytes do not hold 8 samples"),
        ({"n_samples": 13}, "packed rows of 3 bytes do not hold 13 samples"),
        ({"n_samples": 0}, "do not hold 0 samples"),
        ({"columns": np.ones(5)}, "columns must have"),
        ({"counts_out": np.full((4, 4), 7)}, r"counts_out must have shape \(5, 4\)"),
        ({"counts_out": np.full((5, 3), 7)}, r"counts_out must have shape \(5, 4\)"),
        ({"products_out": np.full((4, 2), 7.0)}, r"products_out must have shape \(5, >= 1\)"),
        ({"products_out": np.full((5, 0), 7.0)}, r"products_out must have shape \(5, >= 1\)"),
        ({"products_out": np.full((5, 6), 7.0)}, "columns must have"),
        ({"work": np.empty((1, 20))}, "work must have shape"),
        ({"n_threads": 2}, "work must have shape"),
        ({"n_threads": 0}, "n_threads is 0; at least one is needed"),
        ({"n_threads": -1}, "n_threads is -1; at least one is needed"),
    ],
)
def test_wrong_arguments_are_refused_before_work(wrong: dict[str, Any], message: str) -> None:
    given = arguments() | wrong
    with pytest.raises(ValueError, match=message):
        _products.cross_products(**given)
    assert all((given[name] == 7).all() for name in ("counts_out", "products_out"))


@pytest.mark.parametrize(("shape", "size"), [((0, 2), 100), ((9, 0), 100), ((9, 2), 20)])
def test_arrange_columns_refuses_wrong_shapes(shape: tuple[int, int], size: int) -> None:
    with pytest.raises(ValueError, match="must have"):
        _products.arrange_columns(np.ones(shape), np.empty(size))


def test_use_registers_falls_back_to_what_the_processor_has() -> None:
    assert _products.use_registers("baseline") == "baseline"
    assert _products.use_registers("avx512") == _products.WIDEST
    with pytest.raises(ValueError, match="'neon' is not one of"):
        _products.use_registers("neon")
