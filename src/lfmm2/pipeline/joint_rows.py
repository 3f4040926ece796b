"""What the joint table needs of each SNP beside F, computed from the stored statistics once all SNPs are tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lfmm2._typing import Floats
from lfmm2.files import RowStore
from lfmm2.results import JOINT_LAYOUT, JointFacts
from lfmm2.statistics import (
    Calibration,
    JointScatter,
    MagnitudeHistogram,
    count_discoveries,
    distributions,
    fit_scatter,
    n_sampled,
)

#: Function that streams (t, F) of all SNPs, shapes (b, d) and (b,), in blocks that are the same each time.
TestedBlocks = Callable[[], Iterator[tuple[Floats, Floats]]]


def sample_scatter(blocks: TestedBlocks, n_tests: int) -> JointScatter | None:
    """Estimate the scatter of t from SNPs at equal distances among the `n_tests` that have statistics."""
    sampled_t, sampled_f, n_before = [], [], 0
    for t, f in blocks():
        rows = np.flatnonzero(~np.isnan(f))
        step = -(-n_tests // max(n_sampled(n_tests, t.shape[1]), 1))
        rows = rows[(-n_before) % step :: step] if len(rows) else rows
        sampled_t.append(t[rows])
        sampled_f.append(f[rows])
        n_before += int((~np.isnan(f)).sum())
    return fit_scatter(np.concatenate(sampled_t), np.concatenate(sampled_f)) if n_before else None


class JointRows:
    """For each SNP √D, or √F where F is calibrated by one factor, and −log₁₀ of the smallest p over the variables.

    The smallest p is that of the calibrated tests of the d variables, times d (Bonferroni), and at most 1.

    Parameters
    ----------
    blocks : callable
        See `TestedBlocks`.
    calibrations : list of Calibration
        Calibrations of the variables.
    scatter : JointScatter, optional
        Scatter that D is computed with; None for √F.
    n_snps : int
    path : Path, optional
        File for the rows; in memory by default.

    Attributes
    ----------
    rows : RowStore
        In the order of `JOINT_LAYOUT`.
    roots, smallest : MagnitudeHistogram
        Counts of the two columns.
    """

    def __init__(
        self,
        blocks: TestedBlocks,
        calibrations: list[Calibration],
        scatter: JointScatter | None,
        n_snps: int,
        path: Path | None,
    ) -> None:
        self.scatter = scatter
        self.roots, self.smallest = MagnitudeHistogram(), MagnitudeHistogram()
        self.rows = RowStore(n_snps, len(JOINT_LAYOUT.names), path)
        try:
            for t, f in blocks():
                root = np.sqrt(f) if scatter is None else scatter.root_distances(t)
                root[np.isnan(f)] = np.nan
                strength = np.full(len(f), np.nan)
                for calibration, of_variable in zip(calibrations, t.T, strict=True):
                    own = calibration.neg_log10_p(calibration.scores(of_variable))
                    strength = np.fmax(strength, own)  # Of the variables for which the SNP is calibrated.
                strength = np.maximum(strength - np.log10(len(calibrations)), 0.0)
                self.roots.add(root)
                self.smallest.add(strength)
                self.rows.append(np.column_stack([root, strength]))
        except BaseException:
            self.rows.close()
            raise

    def column(self, name: str, block_rows: int) -> Iterator[Floats]:
        """Stream one column, by blocks."""
        for rows in self.rows.blocks(block_rows):
            yield JOINT_LAYOUT.column(rows, name)

    def facts(self, calibration: Calibration, block_rows: int) -> JointFacts:
        """Count the discoveries of the joint test and of the smallest p over the variables, in passes over the rows."""
        scores = map(calibration.scores, self.column("root", block_rows))
        n_joint = count_discoveries(calibration.histogram, scores, calibration.p)[0]
        smallest = self.column("neg_log10_min_p", block_rows)
        n_smallest = count_discoveries(self.smallest, smallest, distributions.p_of_neg_log10)[0]
        if self.scatter is None:
            return JointFacts(None, 0, n_joint, n_smallest)
        return JointFacts(self.scatter.scatter.tolist(), self.scatter.n_snps, n_joint, n_smallest)
