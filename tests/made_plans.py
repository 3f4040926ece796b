"""Sizes of runs whose genotypes need not exist: plans ask matrices for shapes and footprints only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.pipeline.plan import RunSize


@dataclass(frozen=True)
class BedShape:
    """The shape of a .bed."""

    n_samples: int
    n_snps: int

    @property
    def bytes_per_snp(self) -> int:
        return -(-self.n_samples // 4)


def size_of_run(
    n_samples: int,
    n_snps: int,
    n_estimation_snps: int | None = None,
    n_threads: int = 2,
    n_samples_read: int | None = None,
    **facts: Any,
) -> RunSize:
    """The size of a run on filesets of so many SNPs, by default with 1 variable and 5 factors of all samples."""
    n_all = n_samples if n_samples_read is None else n_samples_read
    engine = Engine(n_threads, 1 << 40)

    def matrix(n: int) -> BedMatrix:
        bed: Any = BedShape(n_all, n)
        return BedMatrix(bed, engine, samples=None if n_all == n_samples else np.arange(n_samples))

    n_bytes = BedShape(n_all, 1).bytes_per_snp
    given = {
        "n_samples_read": n_all, "n_snps_read": n_snps, "n_variables": 1, "n_nuisance": 0, "n_factors": 5,
        "bytes_read": n_bytes, "estimation_bytes_read": n_bytes,
    } | facts  # fmt: skip
    return RunSize(matrix(n_snps), matrix(n_snps if n_estimation_snps is None else n_estimation_snps), **given)
