"""A genotype matrix whose products are kept, so that a resumed run need not read the genotypes again for them.

On the same data the solvers always ask for the same products in the same order. A resumed run repeats the small algebra
of the solver and takes the products from the state folder, until it asks for one that was not kept.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

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
    Precision,
    SegmentSums,
    SnpRange,
    doubles,
    float32_gram_matrix,
    float32_matrix,
    gram_speed,
    n_segments,
    names_of_sums,
    padded_columns,
)
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept, read_text
from lfmm2.results import from_json

T = TypeVar("T")

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
    stage : str
        The word that labels of passes have in place of "factors", and with which kept products begin; empty for
        the factors themselves.
    """

    def __init__(self, matrix: GenotypeMatrix, engine: Engine, checkpoints: Checkpoints, stage: str = "") -> None:
        self._stage = stage
        self._matrix = matrix
        self._engine = engine
        self._checkpoints = checkpoints
        self._n_passes = 0
        self._suffix = ""

    @property
    def n_threads(self) -> int:
        """Threads that computations in this process take."""
        return self._engine.n_threads

    @property
    def gram_speed(self) -> int:
        """How many times faster the Gram matrix is computed than by BLAS."""
        return gram_speed(self._matrix)

    def continued(self, suffix: str) -> ResumableMatrix:
        """Return the matrix for passes that follow those of this one; their labels end in `suffix`."""
        matrix = copy.copy(self)
        matrix._suffix = suffix
        return matrix

    @property
    def n_samples(self) -> int:
        """Number of samples, n."""
        return self._matrix.n_samples

    @property
    def n_snps(self) -> int:
        """Number of SNPs, p."""
        return self._matrix.n_snps

    @property
    def has_float32(self) -> bool:
        """Whether products in float32 take less time."""
        return float32_matrix(self._matrix) is not None

    @property
    def has_float32_gram(self) -> bool:
        """Whether the Gram matrix can be made in float32."""
        return float32_gram_matrix(self._matrix) is not None

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
        self,
        S: Floats,
        label: str = "gram product",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        precision: Precision = "float64",
    ) -> SegmentSums:
        """Compute G(S) = Y (Yᵀ S) over a range of SNPs, as sums of its segments."""
        label = self._label_of(label)
        expected = _Sums((self.n_samples, S.shape[1]), lambda done: names_of_sums(done, self.n_snps))
        in_float32 = float32_matrix(self._matrix) if precision == "float32" else None

        def run(keeper: PassKeeper) -> Arrays:
            if in_float32 is None:
                return self._matrix.gram_product(S, label + self._suffix, snps, keeper).arrays()
            return in_float32.gram_product(S, label + self._suffix, snps, keeper, precision).arrays()

        sums = self._load_or_compute(S, snps, expected, run, "float64" if in_float32 is None else precision)
        return SegmentSums.from_arrays(n_segments(self.n_snps), sums)

    def gram(
        self,
        label: str = "Gram matrix",
        snps: SnpRange = ALL_SNPS,
        keeper: PassKeeper = NO_KEEPER,
        before: Floats | None = None,
        precision: Precision = "float64",
    ) -> Floats:
        """Return C = Y Yᵀ of all SNPs up to the end of the range."""
        label = self._label_of(label)
        in_float32 = float32_gram_matrix(self._matrix) if precision == "float32" else None

        def run(keeper: PassKeeper) -> Arrays:
            if in_float32 is None:
                return {"sum": self._matrix.gram(label + self._suffix, snps, keeper, before)}
            return {"sum": in_float32.gram(label + self._suffix, snps, keeper, before, precision)}

        arrays = self._load_or_compute(
            before,
            snps,
            _Sums((self.n_samples, self.n_samples), lambda _: {"sum"}),
            run,
            "float64" if in_float32 is None else precision,
        )
        C: Floats = arrays["sum"]
        return C

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Stream Yᵀ W by blocks, which are not kept."""
        return self._matrix.cross_products(W, label, snps, fill)

    def _label_of(self, label: str) -> str:
        """Return the label of a pass of the solvers with the name of the stage."""
        return label.replace("factors", self._stage) if self._stage else label

    def _load_or_compute(
        self,
        array: Floats | None,
        snps: SnpRange,
        expected: _Sums,
        run: Callable[[PassKeeper], Arrays],
        precision: Precision = "float64",
    ) -> Arrays:
        """Return the sums of the next pass: those that an unfinished run kept, or those that `run` computes."""
        self._n_passes += 1
        name = f"{self._stage}{'-' if self._stage else ''}pass-{self._n_passes:03d}"
        kept_pass = _KeptPass(self._checkpoints, name, array, snps.within(self.n_snps, 1), expected, precision)
        kept = kept_pass.load_complete()
        if kept is not None:
            sums, record = kept
            self._engine.passes.append(record)
            return sums
        sums = run(kept_pass)
        kept_pass.end(sums, self._engine.passes[-1])
        return sums


@dataclass(frozen=True)
class _Sums:
    """Shape of each sum that a pass keeps, and the function that returns their names after a range of SNPs."""

    shape: tuple[int, int]
    names: Callable[[range], set[str]]


class _KeptPass(PassKeeper):
    """One pass in the state of a run: its sums when it is complete, and before that from time to time partial sums.

    `array`, `snps` and `precision` are those of the pass, and `sums` tells the arrays that it keeps.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        name: str,
        array: Floats | None,
        snps: range,
        sums: _Sums,
        precision: Precision,
    ) -> None:
        text = b"" if array is None else np.ascontiguousarray(array).tobytes()
        self._checkpoints = checkpoints
        self._name = name
        self._snps = snps
        self._sums = sums
        self._key = hashlib.sha256(f"{snps!r} {precision}".encode() + text).hexdigest()

    def load_complete(self) -> tuple[Arrays, PassRecord] | None:
        """Return the sums and the record of the pass if the unfinished run has completed it."""

        def read(kept: Arrays) -> tuple[Arrays, PassRecord]:
            record = read_text(PassRecord, kept.pop("record"))
            return self._check_sums(kept, self._snps.stop), record

        return self._load(self._name, read)

    def begin(self) -> tuple[int, Arrays] | None:
        """Return the next SNP and the partial sums of a pass that the unfinished run has begun."""

        def read(kept: Arrays) -> tuple[int, Arrays]:
            next_snp = int(from_json(int, kept.pop("next_snp").item()))
            if next_snp not in self._snps or next_snp % RESTART_SNPS:
                raise ValueError("no pass can begin there")
            return next_snp, self._check_sums(kept, next_snp)

        return self._load(f"{self._name}-begun", read)

    def offer(self, next_snp: int, arrays: Arrays) -> None:
        """Keep partial sums if a pass can begin at the next SNP, and if a flush to the disk is due."""
        if next_snp < self._snps.stop and next_snp % RESTART_SNPS == 0 and self._checkpoints.is_due():
            self._checkpoints.keep_arrays(f"{self._name}-begun", key=self._key, next_snp=next_snp, **arrays)

    def end(self, sums: Arrays, record: PassRecord) -> None:
        """Keep the sums of the complete pass, and remove partial ones."""
        # The memory order of the arrays (C or Fortran) is kept, because BLAS may round differently with another.
        self._checkpoints.keep_arrays(self._name, key=self._key, record=record.to_json(), **sums)
        self._checkpoints.remove(f"{self._name}-begun.npz")

    def _load(self, name: str, read: Callable[[Arrays], T]) -> T | None:
        """Return what `read` makes of kept arrays, without their key; None unless they are of the same pass."""
        kept = self._checkpoints.load_arrays(name)
        if kept is None or str(kept.pop("key", None)) != self._key:
            return None
        return read_kept(lambda: read(kept))

    def _check_sums(self, sums: Arrays, end: int) -> Arrays:
        """Return the sums over the SNPs of the pass before `end`; raise ValueError if they are others."""
        if sums.keys() != self._sums.names(range(self._snps.start, end)):
            raise ValueError("these are not the sums of the segments")
        n_samples, n_columns = self._sums.shape
        for name, total in sums.items():
            # The sum over a segment that is not finished has columns of padding.
            padded = padded_columns(n_columns) if name == "segment" else n_columns
            if total.dtype != np.float64 or total.shape not in ((n_samples, n_columns), (n_samples, padded)):
                raise ValueError("these are no sums over SNPs")
        return sums
