"""A genotype matrix whose products are kept, so that a resumed run need not read the genotypes again for them.

On the same data the solvers always ask for the same products in the same order. A resumed run repeats the small algebra
of the solver and takes the products from the state folder, until it asks for one that was not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from lfmm2._typing import Arrays, Floats
from lfmm2.genotypes import (
    ALL_SNPS,
    NO_KEEPER,
    RESTART_SNPS,
    CrossProducts,
    Engine,
    FactorFill,
    FillSize,
    Footprint,
    GenotypeMatrix,
    PassKeeper,
    PassRecord,
    SegmentSums,
    SnpRange,
    doubles,
    n_segments,
)
from lfmm2.pipeline.checkpoints import Checkpoints

# Bytes of the buffer that NumPy takes at most to write an array to a file. A smaller value breaks the promise of
# --memory, a larger one refuses budgets that are enough.
KEPT_BYTES = 32 << 20


def keeping_bytes(n_samples: int, n_columns: int) -> int:
    """Return the bytes of the buffer for writing an array, which the allocator may not give back to the system."""
    return min(doubles((n_samples, n_columns)), KEPT_BYTES)


def state_bytes(n_samples: int, n_columns: int, n_passes: int) -> int:
    """Return the bytes on disk of the products of all passes, which are kept until the factors are written."""
    return n_passes * doubles((n_samples, n_columns))


class ResumableMatrix:
    """Matrix with the same products as `matrix`, to the bit; products of an unfinished run are not computed again.

    Parameters
    ----------
    matrix : GenotypeMatrix
    engine : Engine
        Engine of `matrix`, to whose list of passes those of the unfinished run are added.
    checkpoints : Checkpoints
        Keeps each product by the number of its pass, with the SHA-256 of the range of SNPs and the array of the pass.
    """

    def __init__(self, matrix: GenotypeMatrix, engine: Engine, checkpoints: Checkpoints) -> None:
        self._matrix = matrix
        self._engine = engine
        self._checkpoints = checkpoints
        self._n_passes = 0

    @property
    def n_samples(self) -> int:
        """Number of samples, n."""
        return self._matrix.n_samples

    @property
    def n_snps(self) -> int:
        """Number of SNPs, p."""
        return self._matrix.n_snps

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Return the memory of `gram_product`, and of keeping the sums."""
        own = self._matrix.footprint_of_gram_product(n_columns, budget, snps)
        return own + Footprint(keeping_bytes(self.n_samples, n_columns))

    def footprint_of_gram(self) -> Footprint:
        """Return the memory of `gram`, and of keeping the sum."""
        return self._matrix.footprint_of_gram() + Footprint(keeping_bytes(self.n_samples, self.n_samples))

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Return the memory of `cross_products`."""
        return self._matrix.footprint_of_cross_products(n_columns, fill)

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Compute G(S) = Y (Yᵀ S) over a range of SNPs, as sums of its segments."""
        sums = self._load_or_compute(S, snps, lambda keeper: self._matrix.gram_product(S, label, snps, keeper).arrays())
        return SegmentSums.from_arrays(n_segments(self.n_snps), sums)

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return C = Y Yᵀ of all SNPs up to the end of the range."""
        arrays = self._load_or_compute(
            before, snps, lambda keeper: {"sum": self._matrix.gram(label, snps, keeper, before)}
        )
        C: Floats = arrays["sum"]
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Stream Yᵀ W by blocks, which are not kept."""
        return self._matrix.cross_products(W, label, snps, fill)

    def _load_or_compute(self, array: Floats | None, snps: SnpRange, run: Callable[[PassKeeper], Arrays]) -> Arrays:
        """Return the sums of the next pass: those that an unfinished run kept, or those that `run` computes."""
        self._n_passes += 1
        kept_pass = _KeptPass(self._checkpoints, f"pass-{self._n_passes:03d}", array, snps.within(self.n_snps, 1))
        kept = kept_pass.load_complete()
        if kept is not None:
            self._engine.passes.append(PassRecord.from_json(str(kept.pop("record"))))
            return kept
        sums = run(kept_pass)
        kept_pass.end(sums, self._engine.passes[-1])
        return sums


class _KeptPass(PassKeeper):
    """One pass in the state of a run: its sums when it is complete, and before that from time to time partial sums."""

    def __init__(self, checkpoints: Checkpoints, name: str, array: Floats | None, snps: range) -> None:
        text = b"" if array is None else np.ascontiguousarray(array).tobytes()
        self._checkpoints = checkpoints
        self._name = name
        self._end = snps.stop
        self._key = hashlib.sha256(repr(snps).encode() + text).hexdigest()

    def load_complete(self) -> Arrays | None:
        """Return the sums and the record of the pass if the unfinished run has completed it."""
        return self._load(self._name, "record")

    def begin(self) -> tuple[int, Arrays] | None:
        """Return the next SNP and the partial sums of a pass that the unfinished run has begun."""
        kept = self._load(f"{self._name}-begun", "next_snp")
        return None if kept is None else (int(kept.pop("next_snp")), kept)

    def offer(self, next_snp: int, arrays: Arrays) -> None:
        """Keep partial sums if a pass can begin at the next SNP, and if a flush to the disk is due."""
        if next_snp < self._end and next_snp % RESTART_SNPS == 0 and self._checkpoints.is_due():
            self._checkpoints.keep_arrays(f"{self._name}-begun", key=self._key, next_snp=next_snp, **arrays)

    def end(self, sums: Arrays, record: PassRecord) -> None:
        """Keep the sums of the complete pass, and remove partial ones."""
        # The memory order of the arrays (C or Fortran) is kept, because BLAS may round differently with another.
        self._checkpoints.keep_arrays(self._name, key=self._key, record=record.to_json(), **sums)
        self._checkpoints.remove(f"{self._name}-begun.npz")

    def _load(self, name: str, needed: str) -> Arrays | None:
        """Return kept arrays, without their key; None unless they are of the same pass and one is called `needed`."""
        kept = self._checkpoints.load_arrays(name)
        if kept is None or needed not in kept or str(kept.pop("key", None)) != self._key:
            return None
        return kept
