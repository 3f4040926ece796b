"""The kernel that fills missing calls: which arguments it takes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lfmm2.kernels import _impute

Floats = NDArray[np.float64]


KERNEL_ARGUMENTS = {
    "packed": np.zeros((3, 2), np.uint8),
    "n_samples": 7,
    "coding": 0,
    "counts": np.zeros((3, 4), np.int64),
    "rows": np.zeros((7, 12)),
    "r": 3,
    "z": np.zeros((3, 4)),
    "to_basis": np.zeros((4, 8)),
    "draws": np.zeros(3, np.uint64),
    "coefficients_out": np.zeros((3, 8)),
    "products_out": np.zeros((3, 4)),
    "squares_out": np.zeros(3),
    "held_out_out": np.zeros((3, 2)),
    "work": np.zeros((1, _impute.workspace_size(7, 3))),
    "positions": np.zeros((1, 8), np.int32),
}


def test_the_kernel_takes_these_arguments() -> None:
    _impute.fill_block(**KERNEL_ARGUMENTS)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("packed", np.zeros((3, 3), np.uint8)),
        ("n_samples", 0),
        ("n_samples", 9),
        ("counts", np.zeros((2, 4), np.int64)),
        ("counts", np.zeros((3, 3), np.int64)),
        ("rows", np.zeros((6, 12))),
        ("rows", np.zeros((7, 4))),
        ("rows", np.zeros((7, 13))),
        ("r", 0),
        ("r", 9),
        ("z", np.zeros((2, 4))),
        ("to_basis", np.zeros((3, 8))),
        ("to_basis", np.zeros((4, 4))),
        ("draws", np.zeros(2, np.uint64)),
        ("coefficients_out", np.zeros((3, 3))),
        ("products_out", np.zeros((3, 3))),
        ("squares_out", np.zeros(2)),
        ("held_out_out", np.zeros((3, 3))),
        ("work", np.zeros((1, 10))),
        ("work", np.zeros((0, 10_000))),
        ("positions", np.zeros((1, 7), np.int32)),
        ("n_threads", 0),
        ("n_threads", 2),
    ],
)
def test_the_kernel_refuses_wrong_shapes(name: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=r"must have shape|hold|at least one is needed"):
        _impute.fill_block(**{**KERNEL_ARGUMENTS, name: wrong})


@pytest.mark.parametrize(
    ("coefficients", "dosage"),
    [(np.zeros((2, 8)), np.zeros((3, 7))), (np.zeros((3, 3)), np.zeros((3, 7))), (np.zeros((3, 8)), np.zeros((3, 8)))],
)
def test_decoded_rows_of_wrong_shapes_are_refused(coefficients: Floats, dosage: Floats) -> None:
    kernel = KERNEL_ARGUMENTS
    with pytest.raises(ValueError, match=r"must have"):
        _impute.fill_decoded(kernel["packed"], 7, kernel["rows"], coefficients, dosage, kernel["positions"])


def test_unknown_registers_are_refused() -> None:
    with pytest.raises(ValueError, match="'neon' is not one of baseline"):
        _impute.use_registers("neon")
