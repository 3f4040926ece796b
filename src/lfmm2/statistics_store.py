"""Statistics of all SNPs between the pass over the genotypes and the tables, with what calibration needs of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfmm2.association import AssociationModel, Status
from lfmm2.calibration import MagnitudeHistogram, genomic_inflation_streamed
from lfmm2.genotypes import GenotypeMatrix
from lfmm2.spool import RowStore
from lfmm2.tables import COMMON, PER_VARIABLE, common_rows, variable_rows

Floats = NDArray[np.float64]

# rows handled together after the pass: some MB of columns and of what is computed from them
BLOCK_ROWS = 1 << 15


class StatisticsStore:
    """Filled by one pass over the genotypes; then read by blocks, as often as needed.

    Parameters
    ----------
    model : AssociationModel
    genotypes : GenotypeMatrix
    prefix : str, optional
        Where temporary files go; in memory by default. They lose their names at once, so that nothing is left even
        by a process that is killed, and two runs cannot meet.

    Attributes
    ----------
    common : RowStore
        Columns `lfmm2.tables.COMMON`.
    rows : list of RowStore
        Per variable, columns `lfmm2.tables.PER_VARIABLE`.
    loadings : RowStore
        K columns, or none.
    histograms : list of MagnitudeHistogram
        Of |t| of each variable, then of sqrt(F).
    status_counts : ndarray of shape (len(Status),), int64
    """

    def __init__(self, model: AssociationModel, genotypes: GenotypeMatrix, prefix: str | None = None) -> None:
        n_snps, d = genotypes.n_snps, model.n_reported

        def store(name: str, n_columns: int) -> RowStore:
            if prefix is None:
                return RowStore(n_snps, n_columns)
            path = Path(f"{prefix}.{name}.{os.getpid()}.spool")
            rows = RowStore(n_snps, n_columns, path)
            path.unlink()
            return rows

        self._stores: list[RowStore] = []
        self.n_snps = n_snps
        self.histograms = [MagnitudeHistogram() for _ in range(d + 1)]
        self.status_counts = np.zeros(len(Status), np.int64)
        try:
            self.common = self._kept(store("common", len(COMMON)))
            self.rows = [self._kept(store(str(j), len(PER_VARIABLE))) for j in range(d)]
            self.loadings = self._kept(store("loadings", model.n_loadings))
            self._fill(model, genotypes)
        except BaseException:
            self.close()
            raise

    def _kept(self, store: RowStore) -> RowStore:
        self._stores.append(store)
        return store

    def _fill(self, model: AssociationModel, genotypes: GenotypeMatrix) -> None:
        for block in model.statistics(genotypes):
            self.common.append(common_rows(block))
            for j, store in enumerate(self.rows):
                store.append(variable_rows(block, j))
                self.histograms[j].add(block.t[:, j])
            self.loadings.append(block.loadings)
            self.histograms[-1].add(np.sqrt(block.f_stat))
            self.status_counts += np.bincount(block.status, minlength=len(Status))

    def t_blocks(self, j: int) -> Iterator[Floats]:
        """t of variable j, in order."""
        column = PER_VARIABLE.index("t")
        for rows in self.rows[j].blocks(BLOCK_ROWS):
            yield rows[:, column]

    def root_f_blocks(self) -> Iterator[Floats]:
        """sqrt(F), in order: grows as the p of F falls, as |t| does."""
        column = COMMON.index("f_stat")
        for rows in self.common.blocks(BLOCK_ROWS):
            yield np.sqrt(rows[:, column])

    def inflation(self) -> Floats:
        """GIF of each variable, shape (d,), exact; NaN where no SNP has a t."""
        gifs = [genomic_inflation_streamed(self.histograms[j], self.t_blocks(j)) for j in range(len(self.rows))]
        return np.array(gifs)

    def close(self) -> None:
        """Forget all, and remove the temporary files."""
        for store in self._stores:
            store.close()
