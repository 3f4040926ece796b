"""Statistics of all SNPs, kept from the pass over the genotypes until the tables are written, and their histograms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2._typing import Floats, Ints
from lfmm2.distributed import DistributedMatrix
from lfmm2.errors import ReadError, UsageError
from lfmm2.files import RowStore, checksum, join_checksums
from lfmm2.genotypes import ALL_SNPS, N_COLUMNS, RESTART_SNPS, FactorFill, GenotypeMatrix, HeldOutError, SnpRange
from lfmm2.model import AssociationTest, BlockStatistics, Columns, Status
from lfmm2.pipeline.checkpoints import Checkpoints, read_kept
from lfmm2.pipeline.joint_rows import JointRows, sample_scatter
from lfmm2.pipeline.missing_calls import CountedMatrix, MissingTally
from lfmm2.pipeline.range_tests import RangeTests, TestedRange
from lfmm2.pipeline.statistic_rows import StatisticRows
from lfmm2.results import JOINT_LAYOUT, JointFacts, from_json
from lfmm2.statistics import (
    Calibration,
    MagnitudeHistogram,
    SurrogateTail,
    SweepRow,
    TestStatistic,
    calibrate,
    inflation,
    measure_inflation,
    middle_pair,
    summarise_variable,
)

# SNPs of a block after the pass. Their columns, and arrays computed from them, take some MB; more take more memory, and
# fewer take more time for each SNP.
BLOCK_ROWS = 1 << 15
# Bytes of rows that are read back at a time for checksums; more take more memory, fewer more time.
SUM_BYTES = 1 << 20
# Name of the note on the rows that are kept, and beginning of the names of their files.
_NOTE = "statistics"
# Name of the store that is filled after the pass, and computed again by a resumed run.
_JOINT = "joint"


@dataclass(frozen=True)
class RowsNote:
    """The note on kept rows: their number, the checksum of each store, and the missing calls as a `MissingTally`."""

    n_rows: int
    checksums: list[int]
    missing_calls: str | None


def read_rows_note(value: Any) -> RowsNote | None:
    """Return the note that a value of JSON is; None if it is none."""
    return read_kept(lambda: from_json(RowsNote, value))


@dataclass(frozen=True)
class ThinnedRows:
    """The tested SNPs that thinning by linkage has kept.

    Attributes
    ----------
    tested : ndarray of int64 or None
        Ascending positions of the tested SNPs in their source; None for all SNPs.
    kept : ndarray of int64
        Ascending positions of those that were kept.
    """

    tested: Ints | None
    kept: Ints

    def select(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Yield the values of the SNPs that were kept from blocks of the values of all tested SNPs."""
        first = 0
        for values in blocks:
            end = first + len(values)
            positions = np.arange(first, end) if self.tested is None else self.tested[first:end]
            begin, stop = np.searchsorted(self.kept, (positions[0], positions[-1] + 1)) if len(positions) else (0, 0)
            yield values[np.isin(positions, self.kept[begin:stop], assume_unique=True)]
            first = end


def store_columns(columns: Columns, n_variables: int, n_loadings: int, n_held_out: int, n_sweep: int) -> dict[str, int]:
    """Return the number of columns of each row store of a `StatisticsStore`, by the name of the store."""
    n_shared, n_own = (len(columns.layout(per_variable).names) for per_variable in (False, True))
    return {
        "common": n_shared,
        **{f"variable-{j}": n_own for j in range(n_variables)},
        "loadings": n_loadings,
        "held-out": n_held_out,
        **{f"sweep-{j}": n_sweep for j in range(n_variables)},
        _JOINT: len(JOINT_LAYOUT.names) if n_variables > 1 else 0,
    }


def histogram_bytes(n_variables: int) -> int:
    """Return the bytes of the histograms of a `StatisticsStore`, which it holds beside its rows."""
    return MagnitudeHistogram.N_BYTES * (n_variables + 1)


def joint_bytes(columns: Columns, n_variables: int, n_snps: int) -> int:
    """Return the bytes that the joint test takes: a block of the rows of all stores, and t of all variables."""
    if n_variables == 1:
        return 0
    n_shared, n_own = (len(columns.layout(per_variable).names) for per_variable in (False, True))
    # t stands side by side, a copy is whitened, and the numbers of one variable are calibrated.
    n_numbers = n_shared + (n_own + 2) * n_variables + 16
    return 8 * min(BLOCK_ROWS, n_snps) * n_numbers + 2 * MagnitudeHistogram.N_BYTES


class StatisticsStore:
    """Statistics of all SNPs, read by blocks as often as needed; `collect_statistics` fills it.

    Parameters
    ----------
    model : AssociationTest
    n_snps : int
    n_held_out : int
        Columns that `HeldOutError` adds up: `N_COLUMNS` if missing calls are filled, else 0.
    checkpoints : Checkpoints
        Keeps the rows in files, and from time to time a note with their number and checksums. A resumed run tests only
        the SNPs after those of the note.
    tally : MissingTally
        Missing calls of each sample over the SNPs tested so far, which the note keeps too.
    resumes : bool
        False to begin with no rows, also where an unfinished run has kept some.

    Attributes
    ----------
    columns : Columns
        Columns that the model declares.
    common : RowStore
        Statistics that all variables share, in the order of ``columns.layout(per_variable=False)``.
    rows : list of RowStore
        Statistics of each variable, in the order of ``columns.layout(per_variable=True)``.
    loadings : RowStore
        Loadings, K columns; no column if they are not wanted.
    held_out : RowStore
        Columns that `HeldOutError` adds up; none unless missing calls are filled.
    sweeps : list of RowStore
        For each variable, t with each number of factors and penalty of the sweep; no column without a sweep.
    joint : JointRows or None
        What the joint table needs of each SNP, once `calibrations` was called; None with one variable.
    n_snps : int
        SNPs to be tested.
    n_rows : int
        SNPs tested so far.
    """

    def __init__(
        self,
        model: AssociationTest,
        n_snps: int,
        n_held_out: int,
        checkpoints: Checkpoints,
        tally: MissingTally,
        resumes: bool = True,
    ) -> None:
        self._model = model
        self.tally = tally
        self._checkpoints = checkpoints
        self.columns = model.columns
        self._counted = StatisticRows(model)
        self._shared, self._own, self._magnitudes = (
            self._counted.shared, self._counted.own, self._counted.magnitudes,
        )  # fmt: skip
        self.n_snps, d = n_snps, model.n_reported
        self._shapes = store_columns(self.columns, d, model.n_loadings, n_held_out, len(model.ks))
        self._shapes.pop(_JOINT)
        self.joint: JointRows | None = None
        self._stores: list[RowStore] = []
        try:
            if not (resumes and self._restore()):
                self._open(0)
        except BaseException:
            self.close()
            raise
        self.common, self.rows = self._stores[0], self._stores[1 : d + 1]
        self.loadings, self.held_out, *self.sweeps = self._stores[d + 1 :]

    def _open(self, n_kept: int) -> None:
        """Open the stores with the first `n_kept` rows of their files; histograms and counts are left empty."""
        self.close()
        self._stores = []
        for name, n_columns in self._shapes.items():
            path = self._rows_path(name)
            self._stores.append(RowStore(self.n_snps, n_columns, path, n_kept))
        self._counted.clear()
        self.n_rows = n_kept
        # The number of rows that the checksums cover, and the checksum of each store.
        self._n_summed = 0
        self._sums = [0] * len(self._stores)

    def _rows_path(self, name: str) -> Path | None:
        """Return the file of a store; None if it is in memory, as one without columns is, so that fewer are open."""
        return self._checkpoints.rows_path(f"{_NOTE}-{name}") if self._shapes[name] else None

    def _restore(self) -> bool:
        """Take over the rows of an unfinished run and return True, if they have the checksums of their note."""
        note = read_rows_note(self._checkpoints.load_note(_NOTE))
        if note is None or (n_rows := note.n_rows) > self.n_snps or (n_rows < self.n_snps and n_rows % RESTART_SNPS):
            return False
        for name, n_columns in self._shapes.items():
            path = self._rows_path(name)
            if n_columns and (path is None or not path.exists() or path.stat().st_size < n_rows * 8 * n_columns):
                return False
        self._open(n_rows)
        try:
            self._sum_up(n_rows)
        except ReadError:
            return False
        if self._sums != note.checksums:
            return False
        # Rows are counted after their checksums were compared, because damaged rows may have a status that is none.
        return read_kept(lambda: self._count_kept(n_rows, note.missing_calls)) is not None

    def _count_kept(self, n_rows: int, missing_calls: str | None) -> int:
        """Count the rows and missing calls that an unfinished run kept, and return the number of rows."""
        self.tally.restore(missing_calls, n_rows)
        for common, *rows in zip(*self._parts(0, n_rows), strict=True):
            self._counted.count(common, rows[: self._model.n_reported])
        return n_rows

    def _parts(self, first: int, end: int) -> list[Iterator[Floats]]:
        """Stream rows `first` to `end` - 1 of each store, by blocks that take about `SUM_BYTES` in all stores."""
        n_rows = max(SUM_BYTES // (8 * sum(self._shapes.values())), 1)
        return [store.part(first, end, n_rows) for store in self._stores]

    def _sum_up(self, end: int) -> None:
        """Extend the checksums to the rows before `end`, which are read back from their files."""
        for i, store in enumerate(self._stores):
            n_rows = max(SUM_BYTES // (8 * max(store.n_columns, 1)), 1)
            for rows in store.part(self._n_summed, end, n_rows):
                self._sums[i] = checksum(rows, self._sums[i])
        self._n_summed = end

    def append(self, block: BlockStatistics) -> None:
        """Add the statistics of the next SNPs."""
        parts = self._counted.parts(block)
        for store, rows in zip(self._stores, parts, strict=True):
            store.append(rows)
        self.n_rows += len(parts[0])
        if self._checkpoints.is_due():
            self._checkpoint()

    @property
    def shapes(self) -> dict[str, int]:
        """Number of columns of each store that has some, by the name of the store."""
        return {name: n_columns for name, n_columns in self._shapes.items() if n_columns}

    def blocks_of(self, name: str) -> Iterator[Floats]:
        """Stream the rows of a store of `shapes`."""
        return self._stores[list(self._shapes).index(name)].blocks(BLOCK_ROWS)

    def append_rows(self, rows: Sequence[Floats]) -> None:
        """Add the next rows of the stores of `shapes`, as `blocks_of` gave them in another process."""
        given, n_rows = iter(rows), len(rows[0])
        parts = [next(given) if store.n_columns else np.empty((n_rows, 0)) for store in self._stores]
        self._counted.count(parts[0], parts[1 : self._model.n_reported + 1])
        for store, part in zip(self._stores, parts, strict=True):
            store.append(part)
        self.n_rows += n_rows

    def _checkpoint(self) -> None:
        """Note the number and checksums of the rows on the disk, up to a SNP at which a resumed pass can begin."""
        end = self.n_snps if self.n_rows == self.n_snps else self.n_rows // RESTART_SNPS * RESTART_SNPS
        if end > self._n_summed:
            self._sum_up(end)
            self._keep_note(end)

    def _keep_note(self, end: int) -> None:
        """Note the rows before `end`, which the checksums cover."""
        rows = [store.file for store in self._stores if store.file is not None]
        note = RowsNote(end, self._sums, self.tally.write(end))
        self._checkpoints.keep_note(_NOTE, asdict(note), rows)

    def row_files(self) -> list[str | None]:
        """Return the absolute path of the file of each store; None for a store without columns.

        Raises
        ------
        UsageError
            If rows are kept in memory, so that other processes cannot write them.
        """
        paths = [self._rows_path(name) for name in self._shapes]
        if any(path is None and n_columns for path, n_columns in zip(paths, self._shapes.values(), strict=True)):
            raise UsageError("workers write the statistics to files, but there is no out; give it")
        return [None if path is None else str(path.absolute()) for path in paths]

    def take(self, tested: TestedRange) -> None:
        """Take over the next SNPs, whose rows another process has written to the files."""
        n_rows = tested.end - self.n_rows
        for i, (store, n_columns) in enumerate(zip(self._stores, self._shapes.values(), strict=True)):
            store.take(tested.end)
            self._sums[i] = join_checksums(self._sums[i], tested.checksums[i], n_rows * 8 * n_columns)
        for histogram, bins in zip(self._counted.histograms, tested.bins, strict=True):
            histogram.add_bins(*bins)
        self._counted.status_counts += tested.status_counts
        self.tally.take(tested.missing_calls, n_rows)
        self.n_rows = self._n_summed = tested.end
        if self._checkpoints.is_due():
            self._keep_note(tested.end)

    def reopen(self) -> None:
        """Open the files again after other processes have written them."""
        for store in self._stores:
            store.reopen()

    @property
    def histograms(self) -> list[MagnitudeHistogram]:
        """Histogram of |t| of each variable, then of sqrt(F) of the joint test."""
        return self._counted.histograms

    @property
    def status_counts(self) -> Ints:
        """Number of SNPs with each status, shape (len(Status),)."""
        return self._counted.status_counts

    def magnitude_blocks(self, variable: int | None) -> Iterator[Floats]:
        """Stream t of a variable, or √D or √F of the joint test if None, in the order of the SNPs.

        They are NaN where the theoretical null distribution does not hold.
        """
        if variable is None and self.joint is not None:
            yield from self.joint.column("root", BLOCK_ROWS)
            return
        store = self.common if variable is None else self.rows[variable]
        for rows in store.blocks(BLOCK_ROWS):
            yield self._magnitudes(rows, variable)

    def tested_blocks(self, variable: int | None, calibration: Calibration) -> Iterator[Floats]:
        """Stream the same, with the values that stand in for those that are NaN."""
        stand_in = self.columns.stand_in(variable is None)
        if variable is None or stand_in is None:
            yield from self.magnitude_blocks(variable)
            return
        for rows in self.rows[variable].blocks(BLOCK_ROWS):
            values = self._magnitudes(rows, variable)
            others = calibration.values_to_stand_in(self._own.column(rows, stand_in))
            yield np.where(np.isnan(values), others, values)

    @property
    def unevenness(self) -> list[float]:
        """Unevenness of each variable, as far as others and factors leave it."""
        values: list[float] = self._model.unevenness.tolist()
        return values

    @property
    def n_tests(self) -> int:
        """SNPs that have a statistic."""
        return int(self.status_counts[Status.OK])

    @property
    def n_few_carriers(self) -> list[int]:
        """SNPs of each variable, then of the joint test, that have a statistic and are not calibrated."""
        return [self.n_tests - histogram.n for histogram in self.histograms]

    @property
    def df(self) -> int:
        """Residual degrees of freedom of t."""
        return self._model.df

    def gifs(self) -> Floats:
        """Return the genomic inflation factor of each variable, by Student's t, shape (d,)."""
        expected = self._model.null(joint=False).median_square
        middle = [middle_pair(h, self.magnitude_blocks(v)) for v, h in enumerate(self.histograms[:-1])]
        return np.array([inflation(pair, expected) for pair in middle])

    def calibrations(
        self, method: str, thinned: ThinnedRows | None = None, tails: Sequence[SurrogateTail] = ()
    ) -> list[Calibration]:
        """Calibrate the tests of each variable, then the joint test, from the stored statistics.

        The null distributions are those of the sound statistics; the histograms count the others that are tested too.
        With the method "student" and several variables, the joint test is calibrated by the scatter of their t. With
        `thinned`, the inflation over these SNPs alone is measured too. `tails` are those of the surrogates: of each
        variable, then of the joint test; by default the theoretical ones.
        """
        of_variables = []
        for v, histogram in enumerate(self.histograms[:-1]):
            null = self._model.null(joint=False)
            null = null.with_tail(tails[v].tail_df) if tails else null
            of_variables.append(self._calibrate(null, method, histogram, v, thinned))
        if len(self.rows) > 1:
            self._close_joint()
            scatter = sample_scatter(self._tested_blocks, self.histograms[-1].n) if method == "student" else None
            path = self._checkpoints.rows_path(f"{_NOTE}-{_JOINT}")
            self.joint = JointRows(self._tested_blocks, of_variables, scatter, self.n_snps, path)
        histogram = self.histograms[-1] if self.joint is None else self.joint.roots
        null = self._model.null(joint=True)
        null = null.with_tail(tails[-1].tail_df) if tails else null
        self._joint_calibration = self._calibrate(null, method, histogram, None, thinned)
        return [*of_variables, self._joint_calibration]

    def _calibrate(
        self,
        null: TestStatistic,
        method: str,
        histogram: MagnitudeHistogram,
        variable: int | None,
        thinned: ThinnedRows | None,
    ) -> Calibration:
        """Calibrate the test of a variable, or the joint test if None."""
        blocks = partial(self.magnitude_blocks, variable)
        calibration = calibrate(null, method, histogram, blocks)
        if thinned is not None:
            of_kept = measure_inflation(null, method, partial(_selected, thinned, blocks))
            calibration = replace(calibration, thinned=of_kept)
        if self.columns.stand_in(variable is None) is not None:
            tested = MagnitudeHistogram()
            for block in self.tested_blocks(variable, calibration):
                tested.add(calibration.scores(block))
            calibration = replace(calibration, histogram=tested)
        return calibration

    def joint_facts(self) -> JointFacts | None:
        """Return the facts of the joint test for the record; None with one variable, or before `calibrations`."""
        return None if self.joint is None else self.joint.facts(self._joint_calibration, BLOCK_ROWS)

    def _tested_blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Stream t (b, d) of all variables and F (b,), NaN where they are not calibrated, in the order of the SNPs."""
        of_variable, of_all = self.columns.calibrated(joint=False), self.columns.calibrated(joint=True)
        stores = [store.blocks(BLOCK_ROWS) for store in (self.common, *self.rows)]
        for common, *rows in zip(*stores, strict=True):
            t = np.column_stack([self._own.column(of, of_variable) for of in rows])
            yield t, self._shared.column(common, of_all)

    def sweep(self, method: str) -> list[list[SweepRow]]:
        """Summarise the sweep: for each variable, a row for each column of ``t_by_k`` of the model."""
        ks, dfs = self._model.ks, self._model.dfs
        return [
            summarise_variable(partial(store.blocks, BLOCK_ROWS), ks, dfs, method, self.n_snps) for store in self.sweeps
        ]

    def held_out_error(self) -> HeldOutError:
        """Return the errors of held-out calls, added up."""
        error = HeldOutError()
        for rows in self.held_out.blocks(BLOCK_ROWS):
            error.add(rows)
        return error

    def close(self) -> None:
        """Close the stores, which frees their memory and closes their files."""
        for store in self._stores:
            store.close()
        self._close_joint()

    def _close_joint(self) -> None:
        """Forget the rows of the joint test."""
        if self.joint is not None:
            self.joint.rows.close()
            self.joint = None


def _selected(thinned: ThinnedRows, blocks: Callable[[], Iterator[Floats]]) -> Iterator[Floats]:
    """Stream the values of the SNPs that thinning has kept."""
    return thinned.select(blocks())


def collect_statistics(
    model: AssociationTest,
    genotypes: GenotypeMatrix,
    checkpoints: Checkpoints,
    fill: FactorFill | None = None,
    snps: SnpRange = ALL_SNPS,
) -> StatisticsStore:
    """Test SNPs in one pass over the genotypes; in a resumed run, only the SNPs without kept statistics.

    The workers of a `DistributedMatrix` write the rows themselves, each at its place in the files.

    Parameters
    ----------
    model : AssociationTest
    genotypes : GenotypeMatrix
    checkpoints : Checkpoints
    fill : FactorFill, optional
        Values for missing calls; by default the mean of the SNP.
    snps : SnpRange
        SNPs to test, all by default; without workers, because these write rows at their place among all SNPs.

    Returns
    -------
    StatisticsStore
        Rows of these SNPs; to be closed by the caller.
    """
    tally = MissingTally(genotypes.n_samples)
    counted = CountedMatrix(genotypes, tally)
    wanted = snps.within(genotypes.n_snps, RESTART_SNPS)
    store = StatisticsStore(model, len(wanted), 0 if fill is None else N_COLUMNS, checkpoints, tally)
    try:
        left = wanted[store.n_rows :]
        label = f"tests from SNP {left.start + 1}" if left.start else "tests"
        if left and isinstance(genotypes, DistributedMatrix):
            if len(wanted) != genotypes.n_snps:
                raise UsageError("workers test all SNPs, not a part of them; leave out workers and executor")
            work = RangeTests(model, fill, store.row_files(), flushes=not genotypes.is_local)
            with contextlib.closing(genotypes.do_on_ranges(work, label, left)) as answers:
                for _, tested in answers:
                    store.take(tested)
            store.reopen()
        elif left:
            for block in model.statistics(counted, label, SnpRange(left.start, left.stop), fill):
                store.append(block)
    except BaseException:
        store.close()
        raise
    return store
