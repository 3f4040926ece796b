"""A genotype matrix whose products are kept, so that a resumed run need not read the genotypes again for them.

The solvers ask for the same products in the same order whenever they are run on the same data: a resumed run repeats
their small algebra, and is answered from what was kept until it asks for something new.
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

# Of an array that is written to the state of a run, NumPy holds so much as it is written
KEPT_BYTES = 32 << 20


def keeping_bytes(n_samples: int, n_columns: int) -> int:
    """Return the bytes that it takes to keep an array, which the allocator may hold on to."""
    return min(doubles((n_samples, n_columns)), KEPT_BYTES)


def state_bytes(n_samples: int, n_columns: int, n_passes: int) -> int:
    """Return the bytes on disk that keep what so many passes gave, until the factors are there."""
    return n_passes * doubles((n_samples, n_columns))


class ResumableMatrix:
    """Answer as `matrix` does, to the bit.

    Parameters
    ----------
    matrix : GenotypeMatrix
    engine : Engine
        Takes the records of passes that were made before.
    checkpoints : Checkpoints
        Keeps the products, by the number of the pass and the SHA-256 of the question.
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

    def footprint_of_gram_product(self, n_columns: int, budget: int, snps: SnpRange = ALL_SNPS) -> Footprint:
        """Tell the memory of `gram_product`, and of keeping the sums."""
        own = self._matrix.footprint_of_gram_product(n_columns, budget, snps)
        return own + Footprint(keeping_bytes(self.n_samples, n_columns))

    def footprint_of_gram(self) -> Footprint:
        """Tell the memory of `gram`, and of keeping the sum."""
        return self._matrix.footprint_of_gram() + Footprint(keeping_bytes(self.n_samples, self.n_samples))

    def footprint_of_cross_products(self, n_columns: int, fill: FillSize | None = None) -> Footprint:
        """Tell the memory of `cross_products`."""
        return self._matrix.footprint_of_cross_products(n_columns, fill)

    def gram_product(
        self, S: Floats, label: str = "gram product", snps: SnpRange = ALL_SNPS, keeper: PassKeeper = NO_KEEPER
    ) -> SegmentSums:
        """Add up G(S) = Y (Yᵀ S) over a range."""
        kept = self._answer(S, snps, lambda keeper: self._matrix.gram_product(S, label, snps, keeper).arrays())
        return SegmentSums.from_arrays(n_segments(self.n_snps), kept)

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
    ) -> Floats:
        """Return C = Y Yᵀ of all SNPs up to the end of the range."""
        C: Floats = self._answer(before, snps, lambda keeper: {"sum": self._matrix.gram(label, snps, keeper, before)})[
            "sum"
        ]
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Give Yᵀ W by blocks, which is not kept."""
        return self._matrix.cross_products(W, label, snps, fill)

    def _answer(self, array: Floats | None, snps: SnpRange, run: Callable[[PassKeeper], Arrays]) -> Arrays:
        """Return what the next pass adds up to: as it was kept, or as `run` makes it."""
        self._n_passes += 1
        kept_pass = _KeptPass(self._checkpoints, f"pass-{self._n_passes:03d}", array, snps.within(self.n_snps, 1))
        kept = kept_pass.answer()
        if kept is not None:
            self._engine.passes.append(PassRecord.from_json(str(kept.pop("record"))))
            return kept
        answer = run(kept_pass)
        kept_pass.end(answer, self._engine.passes[-1])
        return answer


class _KeptPass(PassKeeper):
    """One pass in the state of a run: its answer, or what it has added so far whenever that is worth the time."""

    def __init__(self, checkpoints: Checkpoints, name: str, array: Floats | None, snps: range) -> None:
        text = b"" if array is None else np.ascontiguousarray(array).tobytes()
        self._checkpoints = checkpoints
        self._name = name
        self._end = snps.stop
        self._key = hashlib.sha256(repr(snps).encode() + text).hexdigest()

    def answer(self) -> Arrays | None:
        """Return the answer and the record of a pass that an earlier run has completed."""
        return self._kept(self._name, "record")

    def begin(self) -> tuple[int, Arrays] | None:
        """Return what an earlier run has added in a pass that it did not complete."""
        kept = self._kept(f"{self._name}-begun", "next_snp")
        return None if kept is None else (int(kept.pop("next_snp")), kept)

    def offer(self, next_snp: int, arrays: Arrays) -> None:
        """Keep the arrays where a pass may begin; at the end they are kept as the answer."""
        if next_snp < self._end and next_snp % RESTART_SNPS == 0 and self._checkpoints.is_due():
            self._checkpoints.keep_arrays(f"{self._name}-begun", key=self._key, next_snp=next_snp, **arrays)

    def end(self, answer: Arrays, record: PassRecord) -> None:
        """Keep the answer instead of what led to it."""
        # in memory order as it is: another one may round differently in what follows
        self._checkpoints.keep_arrays(self._name, key=self._key, record=record.to_json(), **answer)
        self._checkpoints.remove(f"{self._name}-begun.npz")

    def _kept(self, name: str, needed: str) -> Arrays | None:
        """Return the arrays of this name that answer the same question, without their key."""
        kept = self._checkpoints.load_arrays(name)
        if kept is None or needed not in kept or str(kept.pop("key", None)) != self._key:
            return None
        return kept
