"""The algebra of the solvers on small dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from lfmm2.model.eigensolvers import _orthonormalise


@pytest.mark.parametrize("outside", [1.0, 1e-4, 1e-8])
def test_orthonormal_is_orthogonal_to_a_basis_that_almost_holds_the_block(outside: float) -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((200, 30)))[0]
    block = basis @ rng.standard_normal((30, 6)) + outside * rng.standard_normal((200, 6))
    Q = _orthonormalise(block, basis)
    assert Q.shape == (200, 6)
    assert np.abs(basis.T @ Q).max() < 1e-15
    assert np.abs(Q.T @ Q - np.eye(6)).max() < 1e-14


def test_orthonormal_drops_columns_that_the_basis_holds() -> None:
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((100, 10)))[0]
    new = rng.standard_normal((100, 1))
    block = np.hstack([basis @ rng.standard_normal((10, 3)), new, np.zeros((100, 1))])
    Q = _orthonormalise(block, basis)
    assert Q.shape == (100, 1)
    rest = new - basis @ (basis.T @ new)
    assert abs((Q * rest).sum()) == pytest.approx(np.linalg.norm(rest))
