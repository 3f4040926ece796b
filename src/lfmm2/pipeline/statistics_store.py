"""Statistics of all SNPs between the pass over the genotypes and the tables, with what calibration needs of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from lfmm2._typing import Floats
from lfmm2.errors import ReadError
from lfmm2.files import RowStore, checksum
from lfmm2.genotypes import N_COLUMNS, RESTART_SNPS, FactorFill, GenotypeMatrix, HeldOutError, SnpRange
from lfmm2.model import AssociationModel, BlockStatistics, Status, SweepModel
from lfmm2.pipeline.run_state import NoState
from lfmm2.results import COMMON, PER_VARIABLE, common_rows, variable_rows
from lfmm2.statistics import (
    Calibration,
    JointStatistic,
    MagnitudeHistogram,
    StudentStatistic,
    SweepRow,
    calibrate,
    summarise_variable,
)

# rows handled together after the pass: some MB of columns and of what is computed from them
BLOCK_ROWS = 1 << 15
# bytes read back together for checksums
SUM_BYTES = 1 << 20
_T, _F, _STATUS = PER_VARIABLE.index("t"), COMMON.index("f_stat"), COMMON.index("status")
_NOTE = "statistics"


def store_columns(n_variables: int, n_loadings: int, n_held_out: int, n_sweep: int) -> dict[str, int]:
    """Return how many numbers of a SNP each row store of a `StatisticsStore` holds."""
    return {
        "common": len(COMMON),
        **{f"variable-{j}": len(PER_VARIABLE) for j in range(n_variables)},
        "loadings": n_loadings,
        "held-out": n_held_out,
        **{f"sweep-{j}": n_sweep for j in range(n_variables)},
    }


class StatisticsStore:
    """Statistics of all SNPs, read by blocks as often as needed; `collect_statistics` fills it.

    Parameters
    ----------
    model : AssociationModel or SweepModel
    n_snps : int
    n_held_out : int
        Columns that `HeldOutError` adds up: `N_COLUMNS` where missing calls are filled, else 0.
    state : NoState
        Keeps the rows in files, and from time to time notes how many there are, with their checksums: a resumed run
        tests only the SNPs that follow.

    Attributes
    ----------
    common : RowStore
        Columns `lfmm2.results.tables.COMMON`.
    rows : list of RowStore
        Per variable, columns `lfmm2.results.tables.PER_VARIABLE`.
    loadings : RowStore
        K columns, or none.
    held_out : RowStore
        What `HeldOutError` adds up, or no column.
    sweeps : list of RowStore
        Per variable, t with each number of factors of a sweep; no columns without one.
    histograms : list of MagnitudeHistogram
        Of |t| of each variable, then of sqrt(F).
    status_counts : ndarray of shape (len(Status),), int64
    n_rows : int
        SNPs that are there.
    """

    def __init__(self, model: AssociationModel | SweepModel, n_snps: int, n_held_out: int, state: NoState) -> None:
        self._model = model
        self._state = state
        self.n_snps, d = n_snps, model.n_reported
        self._shapes = store_columns(d, model.n_loadings, n_held_out, len(model.ks))
        self._stores: list[RowStore] = []
        try:
            if not self._restore():
                self._open(0)
        except BaseException:
            self.close()
            raise
        self.common, self.rows = self._stores[0], self._stores[1 : d + 1]
        self.loadings, self.held_out, *self.sweeps = self._stores[d + 1 :]

    def _open(self, n_kept: int) -> None:
        """Stores that hold so many rows, and nothing counted of them yet."""
        self.close()
        self._stores = []
        for name, n_columns in self._shapes.items():
            path = self._state.rows_path(f"{_NOTE}-{name}")
            self._stores.append(RowStore(self.n_snps, n_columns, path, n_kept))
        self.histograms = [MagnitudeHistogram() for _ in range(self._model.n_reported + 1)]
        self.status_counts = np.zeros(len(Status), np.int64)
        self.n_rows = n_kept
        # rows that the last checkpoint covers, and their checksums
        self._n_summed = 0
        self._sums = [0] * len(self._stores)

    def _restore(self) -> bool:
        """Take over the rows of an unfinished run, if there are any and all of them are as they were written."""
        note = self._state.note(_NOTE)
        if note is None:
            return False
        n_rows = note["n_rows"]
        for name, n_columns in self._shapes.items():
            path = self._state.rows_path(f"{_NOTE}-{name}")
            if path is None or not path.exists() or path.stat().st_size < n_rows * 8 * n_columns:
                return False
        self._open(n_rows)
        try:
            self._sum_up(n_rows)
        except ReadError:
            return False
        if self._sums != note["checksums"]:
            return False
        # only now: damaged rows may have a status that cannot be counted
        for common, *rows in zip(*self._parts(0, n_rows), strict=True):
            self._count(common, rows[: self._model.n_reported])
        return True

    def _parts(self, first: int, end: int) -> list[Iterator[Floats]]:
        """Rows of each store from `first` to before `end`, about `SUM_BYTES` of all of them at a time."""
        n_rows = max(SUM_BYTES // (8 * sum(self._shapes.values())), 1)
        return [store.part(first, end, n_rows) for store in self._stores]

    def _sum_up(self, end: int) -> None:
        """Extend the checksums to rows before `end`, as they are read back."""
        for blocks in zip(*self._parts(self._n_summed, end), strict=True):
            self._sums = [checksum(rows, before) for rows, before in zip(blocks, self._sums, strict=True)]
        self._n_summed = end

    def _count(self, common: Floats, variables: list[Floats]) -> None:
        for histogram, rows in zip(self.histograms[:-1], variables, strict=True):
            histogram.add(rows[:, _T])
        self.histograms[-1].add(np.sqrt(common[:, _F]))
        self.status_counts += np.bincount(common[:, _STATUS].astype(np.int64), minlength=len(Status))

    def append(self, block: BlockStatistics) -> None:
        """Add the statistics of the SNPs that follow."""
        common = common_rows(block)
        variables = [variable_rows(block, j) for j in range(len(self.rows))]
        sweeps = [block.t_by_k[:, :, j] for j in range(len(self.rows))]
        parts = [common, *variables, block.loadings, block.held_out, *sweeps]
        for store, rows in zip(self._stores, parts, strict=True):
            store.append(rows)
        self._count(common, variables)
        self.n_rows += len(common)
        if self._state.due():
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Note what a resumed run can rely on: rows on the disk, up to a SNP with which a pass may begin."""
        end = self.n_snps if self.n_rows == self.n_snps else self.n_rows // RESTART_SNPS * RESTART_SNPS
        if end <= self._n_summed:
            return
        self._state.flush_rows([store.file for store in self._stores if store.file is not None])
        self._sum_up(end)
        self._state.keep_note(_NOTE, {"n_rows": end, "checksums": self._sums})

    def t_blocks(self, j: int) -> Iterator[Floats]:
        """t of variable j, in order."""
        for rows in self.rows[j].blocks(BLOCK_ROWS):
            yield rows[:, _T]

    def root_f_blocks(self) -> Iterator[Floats]:
        """sqrt(F), in order: grows as the p of F falls, as |t| does."""
        for rows in self.common.blocks(BLOCK_ROWS):
            yield np.sqrt(rows[:, _F])

    @property
    def df(self) -> int:
        """Residual degrees of freedom of t."""
        return self._model.df

    def calibrations(self, method: str) -> list[Calibration]:
        """Of each variable, then of the joint test, from what is stored."""
        student = StudentStatistic(self._model.df)
        of_variables = [
            calibrate(student, method, self.histograms[j], partial(self.t_blocks, j)) for j in range(len(self.rows))
        ]
        joint = JointStatistic(len(self.rows), self._model.df)
        return [*of_variables, calibrate(joint, method, self.histograms[-1], self.root_f_blocks)]

    def sweep(self, method: str) -> list[list[SweepRow]]:
        """Per variable, a row for each number of factors."""
        model = self._model
        assert isinstance(model, SweepModel)
        return [
            summarise_variable(partial(store.blocks, BLOCK_ROWS), model.ks, model.dfs, method, self.n_snps)
            for store in self.sweeps
        ]

    def held_out_error(self) -> HeldOutError:
        """Return the errors of held-out calls, added up."""
        error = HeldOutError()
        for rows in self.held_out.blocks(BLOCK_ROWS):
            error.add(rows)
        return error

    def close(self) -> None:
        """Forget all that is in memory, and close the files."""
        for store in self._stores:
            store.close()


def collect_statistics(
    model: AssociationModel | SweepModel,
    genotypes: GenotypeMatrix,
    state: NoState,
    fill: FactorFill | None = None,
) -> StatisticsStore:
    """Test every SNP in one pass over the genotypes; of an unfinished run only the SNPs that follow.

    Parameters
    ----------
    model : AssociationModel or SweepModel
    genotypes : GenotypeMatrix
    state : NoState
    fill : FactorFill, optional
        What missing calls are filled with; the mean by default.
    """
    store = StatisticsStore(model, genotypes.n_snps, 0 if fill is None else N_COLUMNS, state)
    try:
        first = store.n_rows
        if first < genotypes.n_snps:
            label = f"tests from SNP {first + 1}" if first else "tests"
            for block in model.statistics(genotypes, label, SnpRange(first), fill):
                store.append(block)
    except BaseException:
        store.close()
        raise
    return store
