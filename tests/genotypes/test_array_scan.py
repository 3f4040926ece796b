"""Codes of missing calls among numbers: which values are asked about, and which numbers are left in peace."""

import numpy as np
import pytest

from lfmm2.genotypes import array_source
from lfmm2.genotypes.array_scan import find_codes, scan

RNG = np.random.default_rng(3)
M_VALUES = RNG.normal(0, 2, (40, 60))
BETAS = RNG.uniform(0, 1, (40, 60))
COUNTS = RNG.poisson(12, (40, 60)).astype(float)


def dosages(highest, *codes, dtype=float):
    """Whole numbers from 0 to the highest, in which each code takes a twentieth."""
    values = RNG.integers(0, highest + 1, (40, 60)).astype(float)
    for code in codes:
        values[RNG.random(values.shape) < 0.05] = code
    return values.astype(dtype)


def with_code(values, code, share=0.05):
    return np.where(RNG.random(values.shape) < share, code, values)


def one_cell(values, code):
    values = values.copy()
    values[20, 7] = code
    return values


def codes_of(values):
    """Codes that are found, with the numbers in three pieces."""

    def pieces():
        yield from np.array_split(values, 3)

    return find_codes(scan(pieces), pieces)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (dosages(2, 9), [9]),
        (dosages(2, 9, dtype=np.float32), [9]),
        (dosages(2, -1, dtype=np.int8), [-1]),
        (dosages(2, -127, dtype=np.int8), [-127]),
        (dosages(2, 3, dtype=np.uint8), [3]),
        (dosages(2, 255, dtype=np.uint8), [255]),
        (dosages(2, -1, -2, dtype=np.int8), [-2, -1]),
        (dosages(2, 9, -9), [-9, 9]),
        (dosages(2, 57), [57]),
        (dosages(1, -1), [-1]),
        (dosages(1, 9), [9]),
        (2 * dosages(1, -9 / 2), [-9]),
        (dosages(4, 9), [9]),
        (dosages(4, -9), [-9]),
        (dosages(4, 255, dtype=np.uint8), [255]),
        (dosages(8, 9), [9]),
        (dosages(6, -1, 99), [-1, 99]),
        (with_code(BETAS, -9.0), [-9]),
        (with_code(BETAS, 9.0), [9]),
        (with_code(2 * BETAS, -1.0), [-1]),
        (with_code(4 * BETAS, 9.0), [9]),
        (with_code(M_VALUES, -9999.0), [-9999]),
        (with_code(M_VALUES, -99.0), [-99]),
        (with_code(M_VALUES, 9.96921e36), [9.96921e36]),
        (with_code(M_VALUES.astype(np.float32), np.float32(-3.4028235e38)), [float(np.float32(-3.4028235e38))]),
        (with_code(M_VALUES, -1.0, 0.01), [-1]),
        (with_code(2 * M_VALUES, 9.0), [9]),
        (with_code(COUNTS, -1.0), [-1]),
        (with_code(COUNTS, 9999.0), [9999]),
        (one_cell(COUNTS, -9), [-9]),
        (with_code(10 * BETAS, -1.0), [-1]),
        (one_cell(M_VALUES, -9999), [-9999]),
    ],
)  # fmt: skip
def test_values_that_look_like_codes_are_found(values, codes):
    assert codes_of(values) == codes
    values = values.astype(float)
    values[1, :7] = np.nan
    assert codes_of(values) == codes


@pytest.mark.parametrize(
    "values",
    [
        dosages(2),
        dosages(1),
        2 * dosages(1),
        2 * dosages(1) - 1,
        dosages(4),
        dosages(6),
        dosages(8),
        dosages(12),
        dosages(40),
        BETAS,
        np.clip(3 * BETAS - 1, 0, 1),
        2 * BETAS,
        4 * BETAS,
        2.0000002 * BETAS + 1e-7,
        M_VALUES,
        np.clip(M_VALUES, -3, 3),
        np.clip(M_VALUES, -1, 9),
        np.log10(0.1 + np.maximum(M_VALUES, 0)),
        np.round(M_VALUES, 1),
        np.round(20 * M_VALUES, 1),
        np.round(M_VALUES),
        COUNTS,
        1000 * COUNTS,
        RNG.negative_binomial(0.1, 0.001, (40, 60)),
        RNG.negative_binomial(0.3, 0.01, (40, 60)).astype(float),
        np.exp(3 * M_VALUES),
        -BETAS,
        100 * BETAS,
        np.full((40, 60), 7.0),
        np.full((40, 60), np.nan),
        np.zeros((40, 0)),
    ],
)
def test_other_numbers_are_left_in_peace(values):
    assert codes_of(values) == []


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("size", [1, 7, 59, 60, 61, 500, 10_000])
def test_pieces_hold_each_number_once(monkeypatch, order, size):
    monkeypatch.setattr(array_source, "SCANNED_VALUES", size)
    values = np.arange(2400.0).reshape(40, 60, order="A")
    source = array_source.ArraySource(np.array(values, order=order))
    pieces = list(source._pieces())
    assert all(piece.size <= max(size, 1) for piece in pieces)
    assert np.array_equal(np.sort(np.concatenate([piece.ravel() for piece in pieces])), np.arange(2400.0))
