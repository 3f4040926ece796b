"""Writing the results of a run into its state: tables by blocks, then the small files, the record last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.errors import InputWarning
from lfmm2.files import GROUP_ROWS, JOINT_SCHEMA, RESULT_SCHEMA, open_table, recut, sealed_json
from lfmm2.model import LatentFactors
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.run_state import RunState
from lfmm2.pipeline.statistics_store import BLOCK_ROWS, StatisticsStore
from lfmm2.process import Progress
from lfmm2.results import (
    PER_VARIABLE,
    RunRecord,
    WrittenFile,
    as_log,
    joint_table,
    loadings_schema,
    loadings_table,
    result_table,
)
from lfmm2.statistics import Calibration, StreamedQValues, sorted_together

# Rows of one write of text; Parquet has larger groups
TEXT_ROWS = 16_384


@dataclass(frozen=True)
class ResultWriter:
    """Writes the files of one run, all but the factors.

    Parameters
    ----------
    files : ResultFiles
    state : RunState
    store : StatisticsStore
    variants : callable
        Streams CHROM, POS, ID, A1, A2 of the tested SNPs.
    calibrations : list of Calibration
        Of the variables, then of the joint test.
    df : int
    counts_a1 : bool
    plan : RunPlan
    progress : Progress
    """

    files: ResultFiles
    state: RunState
    store: StatisticsStore
    variants: Callable[[], Iterator[pa.Table]]
    calibrations: list[Calibration]
    df: int
    counts_a1: bool
    plan: RunPlan
    progress: Progress

    def write_tables(self, n_factors: int) -> None:
        """The tables of SNPs that are not finished yet."""
        for j, name in enumerate(self.files.variables):
            self._write_table(name, RESULT_SCHEMA, partial(self._variable_tables, j))
        if "joint" in self.files.paths:
            self._write_table("joint", JOINT_SCHEMA, self._joint_tables)
        if "loadings" in self.files.paths:
            self._write_table("loadings", loadings_schema(n_factors), self._loadings_tables)

    def write_small(self, small: dict[str, pa.Table]) -> None:
        """Tables that are in memory, as TSV."""
        for name, table in small.items():
            if not self.files.finished(self.state, name):
                with self.files.output(self.state, name) as file, open_table(file, table.schema, "tsv") as writer:
                    writer.write(table)

    def write_ids(self, name: str, parts: Iterable[pa.Array]) -> None:
        """A list of SNPs, one ID in a line."""
        if self.files.finished(self.state, name):
            return
        n_nameless = 0
        with self.files.output(self.state, name) as file:
            for part in parts:
                ids = part.to_pylist()
                n_nameless += ids.count(".")
                file.write("".join(f"{snp}\n" for snp in ids).encode())
        if n_nameless:
            fact = f"{with_spaces(n_nameless)} SNPs of {self.files.paths[name]} are called '.', which names none"
            warnings.warn(f"{fact}; give IDs with plink2 --set-all-var-ids @:#", InputWarning, stacklevel=2)

    def write_record(self, record: RunRecord, factors: LatentFactors) -> None:
        """The log, and the record as the manifest of all that is written."""
        files, state = self.files, self.state
        files.keep_factors(state, factors)
        with files.output(state, "log") as file:
            file.write(as_log(record, self.plan.describe()))
        names = [name for name in files.paths if name != "record"]
        written = {files.paths[name].name: WrittenFile(**files.stamp(state, name)) for name in names}
        with files.output(state, "record") as file:
            file.write(sealed_json(replace(record, files=written).to_json()))

    def _write_table(self, name: str, schema: pa.Schema, tables: Callable[[], Iterable[pa.Table]]) -> None:
        form = self.files.options.format
        if self.files.finished(self.state, name):
            return
        self.progress.start(f"writing {name}", self.store.n_snps, 0)
        rows = GROUP_ROWS if form == "parquet" else TEXT_ROWS
        try:
            with (
                self.files.output(self.state, name) as file,
                open_table(file, schema, form, rows) as writer,
            ):
                for table in tables():
                    writer.write(table)
                    self.progress.advance(len(table), 0)
        finally:
            self.progress.finish()

    def _cut_variants(self) -> Iterator[pa.Table]:
        return recut(self.variants(), BLOCK_ROWS)

    def _variable_tables(self, j: int) -> Iterator[pa.Table]:
        calibration, store = self.calibrations[j], self.store
        with self._q_values(calibration, store.t_blocks(j)) as q_values:
            blocks = zip(
                self._cut_variants(), store.common.blocks(BLOCK_ROWS), store.rows[j].blocks(BLOCK_ROWS), strict=True
            )
            for variant, common, rows in blocks:
                scores = calibration.scores(rows[:, PER_VARIABLE.index("t")])
                q = q_values.take(scores)
                yield result_table(variant, common, rows, scores, q, self.df, calibration, self.counts_a1)

    def _joint_tables(self) -> Iterator[pa.Table]:
        calibration, store = self.calibrations[-1], self.store
        with self._q_values(calibration, store.root_f_blocks()) as q_values:
            blocks = zip(self._cut_variants(), store.common.blocks(BLOCK_ROWS), store.root_f_blocks(), strict=True)
            for variant, common, root_f in blocks:
                q = q_values.take(calibration.scores(root_f))
                d = len(self.files.variables)
                yield joint_table(variant, common, q, d, self.df, calibration, self.counts_a1)

    def _loadings_tables(self) -> Iterator[pa.Table]:
        store = self.store
        blocks = zip(
            self._cut_variants(), store.common.blocks(BLOCK_ROWS), store.loadings.blocks(BLOCK_ROWS), strict=True
        )
        return (loadings_table(v, common, loadings, self.counts_a1) for v, common, loadings in blocks)

    def _q_values(self, calibration: Calibration, blocks: Iterator[Floats]) -> StreamedQValues:
        q_values = StreamedQValues(
            calibration.histogram, calibration.p, self.state.folder, sorted_together(self.plan.memory)
        )
        try:
            for block in blocks:
                q_values.add(calibration.scores(block))
            q_values.finish()
        except BaseException:
            q_values.close()
            raise
        return q_values
