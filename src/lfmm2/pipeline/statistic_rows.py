"""Statistics of a block of SNPs as rows of the stores, and what is counted of these rows."""

from __future__ import annotations

import numpy as np

from lfmm2._typing import Floats, Ints
from lfmm2.model import AssociationTest, BlockStatistics, Status
from lfmm2.statistics import MagnitudeHistogram


class StatisticRows:
    """Rows of each store of a run, and the counts of all rows so far.

    Parameters
    ----------
    model : AssociationTest

    Attributes
    ----------
    columns : Columns
        Columns that the model declares.
    shared, own : RowLayout
        Layouts of the statistics that all variables share, and of those of each.
    histograms : list of MagnitudeHistogram
        Histogram of |t| of each variable, then of sqrt(F) of the joint test.
    status_counts : ndarray of shape (len(Status),), int64
        Number of SNPs with each status.
    """

    def __init__(self, model: AssociationTest) -> None:
        self._model = model
        self.columns = model.columns
        self.shared, self.own = (self.columns.layout(per_variable) for per_variable in (False, True))
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.histograms = [MagnitudeHistogram() for _ in range(self._model.n_reported + 1)]
        self.status_counts: Ints = np.zeros(len(Status), np.int64)

    def parts(self, block: BlockStatistics) -> list[Floats]:
        """Return the rows of a block for each store, in the order of `store_columns`, and count them."""
        common = self.shared.rows(block)
        variables = [self.own.rows(block, j) for j in range(self._model.n_reported)]
        sweeps = [block.t_by_k[:, :, j] for j in range(self._model.n_reported)]
        self.count(common, variables)
        return [common, *variables, block.loadings, block.held_out, *sweeps]

    def count(self, common: Floats, variables: list[Floats]) -> None:
        """Add rows to the histograms and to the counts of each status."""
        for variable, rows in enumerate(variables):
            self.histograms[variable].add(self.magnitudes(rows, variable))
        self.histograms[-1].add(self.magnitudes(common, None))
        status = self.shared.column(common, "status").astype(np.int64)
        self.status_counts += np.bincount(status, minlength=len(Status))

    def magnitudes(self, rows: Floats, variable: int | None) -> Floats:
        """Return t of rows of a variable, or sqrt(F) of shared rows if `variable` is None: the values to calibrate.

        They are NaN where the theoretical null distribution does not hold.
        """
        joint = variable is None
        statistic = (self.shared if joint else self.own).column(rows, self.columns.calibrated(joint))
        return self._model.null(joint).magnitudes(statistic)
