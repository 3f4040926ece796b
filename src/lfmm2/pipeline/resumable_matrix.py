"""A genotype matrix whose products are kept, so that a resumed run need not read the genotypes again for them.

The solvers ask for the same products in the same order whenever they are run on the same data: a resumed run repeats
their small algebra, and is answered from what was kept until it asks for something new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from lfmm2._typing import Floats
from lfmm2.genotypes import (
    NO_PARTIAL,
    RESTART_SNPS,
    CrossProducts,
    Engine,
    FactorFill,
    GenotypeMatrix,
    PartialSum,
    PassRecord,
)
from lfmm2.pipeline.checkpoints import Checkpoints


class ResumableMatrix:
    """Answers as `matrix` does, to the bit.

    Parameters
    ----------
    matrix : GenotypeMatrix
    engine : Engine
        Takes the records of passes that were made before.
    checkpoints : Checkpoints
        Keeps the products, by the number of the pass and the SHA-256 of what the genotypes were multiplied with.
    """

    def __init__(self, matrix: GenotypeMatrix, engine: Engine, checkpoints: Checkpoints) -> None:
        self._matrix = matrix
        self._engine = engine
        self._checkpoints = checkpoints
        self._n_passes = 0

    @property
    def n_samples(self) -> int:
        """n."""
        return self._matrix.n_samples

    @property
    def n_snps(self) -> int:
        """p."""
        return self._matrix.n_snps

    def gram_product(self, S: Floats, label: str = "gram product", partial: PartialSum = NO_PARTIAL) -> Floats:
        """G(S) = Y (Yᵀ S)."""
        return self._once(S, lambda kept: self._matrix.gram_product(S, label, kept))

    def gram(self, label: str = "Gram matrix", partial: PartialSum = NO_PARTIAL) -> Floats:
        """C = Y Yᵀ."""
        return self._once(np.empty(0), lambda kept: self._matrix.gram(label, kept))

    def cross_products(
        self, W: Floats, label: str = "tests", first_snp: int = 0, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yᵀ W by blocks, which is not kept."""
        return self._matrix.cross_products(W, label, first_snp, fill)

    def _once(self, S: Floats, make: Callable[[PartialSum], Floats]) -> Floats:
        self._n_passes += 1
        name = f"pass-{self._n_passes:03d}"
        key = hashlib.sha256(np.ascontiguousarray(S).tobytes()).hexdigest()
        kept = self._checkpoints.load_arrays(name)
        if kept is not None and str(kept.get("key")) == key and {"product", "record"} <= kept.keys():
            self._engine.passes.append(PassRecord.from_json(str(kept["record"])))
            product: Floats = kept["product"]
            return product
        product = make(_KeptSum(self._checkpoints, f"{name}-begun", key, self.n_snps))
        # Arrays are kept with their order in memory, because products with another order may round differently.
        self._checkpoints.keep_arrays(name, key=key, product=product, record=self._engine.passes[-1].to_json())
        self._checkpoints.remove(f"{name}-begun.npz")
        return product


class _KeptSum(PartialSum):
    """The partial sum of a pass, kept from time to time so that an interrupted pass need not begin again."""

    def __init__(self, checkpoints: Checkpoints, name: str, key: str, n_snps: int) -> None:
        self._checkpoints = checkpoints
        self._name = name
        self._key = key
        self._n_snps = n_snps

    def begun(self) -> tuple[int, Floats] | None:
        """Return what an interrupted run has kept of the same pass: SNPs that are done, and their sum."""
        kept = self._checkpoints.load_arrays(self._name)
        if kept is None or str(kept.get("key")) != self._key or not {"total", "n_snps"} <= kept.keys():
            return None
        return int(kept["n_snps"]), kept["total"]

    def offer(self, n_snps: int, total: Floats) -> None:
        """Keep the sum where a pass may begin and a wait for the disk is due; the whole sum is kept as the product."""
        if n_snps < self._n_snps and n_snps % RESTART_SNPS == 0 and self._checkpoints.is_due():
            self._checkpoints.keep_arrays(self._name, key=self._key, n_snps=n_snps, total=total)
