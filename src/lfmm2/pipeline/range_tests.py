"""The tests of a range of SNPs in another process, which writes their rows to the files of the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from lfmm2._typing import Ints
from lfmm2.files import RowWriter
from lfmm2.genotypes import FactorFill, GenotypeMatrix, SnpRange
from lfmm2.model import AssociationTest
from lfmm2.pipeline.missing_calls import CountedMatrix, MissingTally
from lfmm2.pipeline.statistic_rows import StatisticRows


@dataclass(frozen=True)
class TestedRange:
    """A range whose rows are on the disk, and all that the run must know of them.

    Attributes
    ----------
    first, end : int
        SNPs of the range.
    checksums : list of int
        CRC-32 of the rows of each store.
    bins : list of tuple
        Histograms of the rows, as `MagnitudeHistogram.filled_bins` gives them.
    status_counts : ndarray of shape (len(Status),), int64
    missing_calls : ndarray of shape (n_samples,), int64, or None
        Missing calls of each sample; None where genotypes do not count them.
    """

    # pytest would collect this class as tests, because its name begins with Test.
    __test__ = False

    first: int
    end: int
    checksums: list[int]
    bins: list[tuple[Ints, Ints, Ints]]
    status_counts: Ints
    missing_calls: Ints | None


@dataclass(frozen=True)
class RangeTests:
    """The tests of a pass, as `lfmm2.distributed.Work`.

    Attributes
    ----------
    model : AssociationTest
    fill : FactorFill or None
    paths : list of str or None
        File of each store, in the order of `store_columns`; None for a store without columns.
    flushes : bool
        True to wait after each range until its rows are on the disk, as workers on other machines do. On the machine of
        the run it flushes the files itself, before a note counts on them.
    """

    model: AssociationTest
    fill: FactorFill | None
    paths: list[str | None]
    flushes: bool = True

    def on_range(self, matrix: GenotypeMatrix, snps: SnpRange, check_wanted: Callable[[], None]) -> TestedRange:
        """Test a range, and write each row at its place. Two processes that do the same range write the same bytes."""
        tally, rows = MissingTally(matrix.n_samples), StatisticRows(self.model)
        counted = CountedMatrix(matrix, tally)
        end = snps.first
        with contextlib.ExitStack() as stack:
            writers = [stack.enter_context(contextlib.closing(RowWriter(path))) for path in self.paths]
            for block in self.model.statistics(counted, snps=snps, fill=self.fill):
                # The files of a pass that has ended may be those of another run.
                check_wanted()
                for writer, part in zip(writers, rows.parts(block), strict=True):
                    writer.write(block.first_snp, part)
                end += len(block.status)
            check_wanted()
            for writer in writers if self.flushes else ():
                writer.finish()
        return TestedRange(
            snps.first,
            end,
            [writer.checksum for writer in writers],
            [histogram.filled_bins() for histogram in rows.histograms],
            rows.status_counts,
            tally.counts,
        )
