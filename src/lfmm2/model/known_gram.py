"""A genotype matrix of which only the Gram matrix is known."""

from __future__ import annotations

from typing import Any

from lfmm2._typing import Floats


class KnownGram:
    """Matrix whose products come from C = Y Yᵀ in memory."""

    def __init__(self, C: Floats, n_snps: int) -> None:
        self._C, self.n_snps = C, n_snps
        self.n_samples = len(C)

    def gram(self, label: str = "", **_: Any) -> Floats:
        """Return a copy of C."""
        return self._C.copy(order="K")
