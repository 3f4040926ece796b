"""The .bed format read as its specification says, one step after another: an oracle for the writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_dosages(bed: Path, n_samples: int) -> NDArray[np.float64]:
    """Dosages of A2, NaN where missing, shape (n_snps, n_samples)."""
    data = bed.read_bytes()
    assert data[:3] == b"\x6c\x1b\x01"
    packed = np.frombuffer(data[3:], dtype=np.uint8).reshape(-1, -(-n_samples // 4))
    codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(len(packed), -1)
    assert not codes[:, n_samples:].any()  # pad bits
    return np.array([0.0, np.nan, 1.0, 2.0])[codes[:, :n_samples]]
