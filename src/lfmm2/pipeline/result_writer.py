"""Write the outputs of a run: tables by blocks, then the small files, the record last."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.errors import InputWarning, ReadError
from lfmm2.files import GROUP_ROWS, RowStore, open_table, recut, seal_json
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.publication import Publication
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.statistics_store import BLOCK_ROWS, StatisticsStore
from lfmm2.process import Job, Progress, Report, run_jobs
from lfmm2.results import (
    JointScores,
    RunRecord,
    WrittenFile,
    as_log,
    loadings_schema,
    loadings_table,
    statistics_table,
    table_schema,
)
from lfmm2.statistics import Calibration, MagnitudeHistogram, StreamedQValues, distributions, sorted_together

# SNPs of one write of a text table. More take more memory, fewer more calls of the compressor. Parquet is written in
# the larger groups of `GROUP_ROWS`, because a reader seeks to a group and each has its own header.
TEXT_ROWS = 16_384
# Bytes of variants in a block above which it has fewer rows. A larger value takes more memory with long alleles.
BLOCK_TEXT = 1 << 22


@dataclass(frozen=True)
class Table:
    """A table of SNPs to write: the name of its output, its columns, and its blocks."""

    name: str
    schema: pa.Schema
    stream: Callable[[], Iterable[pa.Table]]


@dataclass(frozen=True)
class ResultWriter:
    """Writer of all outputs of one run but the factors, which are written before.

    Parameters
    ----------
    files : ResultFiles
    publication : Publication
    store : StatisticsStore
    variants : callable
        Streams CHROM, POS, ID, A1, A2 of the tested SNPs.
    calibrations : list of Calibration
        Calibration of each variable, then of the joint test.
    counts_a1 : bool
        True if dosages are copies of A1 of the .bim.
    plan : RunPlan
    progress : Progress
    """

    files: ResultFiles
    publication: Publication
    store: StatisticsStore
    variants: Callable[[], Iterator[pa.Table]]
    calibrations: list[Calibration]
    counts_a1: bool
    plan: RunPlan
    progress: Progress

    def write_tables(self, n_factors: int) -> None:
        """Write the tables of SNPs that are not finished yet, several at a time; none depends on another."""
        schema = table_schema(self.store.columns, joint=False)
        names = self.files.variables
        tables = [Table(name, schema, partial(self._stream_statistics, j)) for j, name in enumerate(names)]
        if "joint" in self.files.paths:
            schema = table_schema(self.store.columns, joint=True)
            tables.append(Table("joint", schema, partial(self._stream_statistics, None)))
        if "loadings" in self.files.paths:
            tables.append(Table("loadings", loadings_schema(n_factors), self._stream_loadings))
        self._write_each(tables)

    def write_small(self, small: dict[str, pa.Table]) -> None:
        """Write tables that are in memory as TSV, unless they are finished."""
        for name, table in small.items():
            if not self.publication.is_finished(name):
                with self.publication.open_output(name) as file, open_table(file, table.schema, "tsv") as writer:
                    writer.write(table)

    def write_ids(self, name: str, parts: Iterable[pa.Array]) -> None:
        """Write a list of SNPs, one ID per line, unless it is finished; warn of SNPs without an ID."""
        if self.publication.is_finished(name):
            return
        n_nameless = 0
        with self.publication.open_output(name) as file:
            for part in parts:
                ids = part.to_pylist()
                n_nameless += ids.count(".")
                file.write("".join(f"{snp}\n" for snp in ids).encode())
        if n_nameless:
            fact = f"{with_spaces(n_nameless)} SNPs of {self.files.paths[name]} are called '.', which names none"
            warnings.warn(f"{fact}; give IDs with plink2 --set-all-var-ids @:#", InputWarning, stacklevel=2)

    def write_record(self, record: RunRecord) -> None:
        """Write the log, then the record, which is the manifest of all files."""
        paths, publication = self.files.paths, self.publication
        with publication.open_output("log") as file:
            file.write(as_log(record, self.plan.describe()))
        written = {
            path.name: WrittenFile(**publication.stamp(name)) for name, path in paths.items() if name != "record"
        }
        with publication.open_output("record") as file:
            file.write(seal_json(replace(record, files=written).to_json()))

    def _write_each(self, tables: Iterable[Table]) -> None:
        """Write tables of SNPs, unless they are finished."""
        left = [table for table in tables if not self.publication.is_finished(table.name)]
        jobs: list[Job] = [partial(self._write_table, table) for table in left]
        run_jobs(
            jobs,
            self.plan.n_writers,
            lambda number: self.progress.start(f"writing {left[number].name}", self.store.n_snps, 0),
            lambda n_snps: self.progress.advance(n_snps, 0),
            self.progress.finish,
        )

    def _write_table(self, table: Table, report: Report) -> None:
        """Write a table of SNPs block by block, and report the SNPs of each."""
        form = self.files.options.format
        rows = GROUP_ROWS if form == "parquet" else TEXT_ROWS
        with (
            self.publication.open_output(table.name) as file,
            open_table(file, table.schema, form, rows) as writer,
        ):
            for block in table.stream():
                writer.write(block)
                report(len(block))

    def _stream_blocks(self, *stores: RowStore) -> Iterator[tuple[pa.Table, list[Floats]]]:
        """Stream the variants in blocks, each with the rows of the same SNPs in the stores."""
        first = 0
        for variants in recut(self.variants(), BLOCK_ROWS, BLOCK_TEXT):
            end = first + len(variants)
            yield variants, [next(store.part(first, end, len(variants))) for store in stores]
            first = end
        if first != self.store.n_snps:
            raise ReadError(f"{first} SNPs are listed, but {self.store.n_snps} were tested; start again")

    def _stream_statistics(self, variable: int | None) -> Iterator[pa.Table]:
        """Compute the table of a variable, or of the joint test if None, block by block."""
        store = self.store
        calibration = self.calibrations[-1 if variable is None else variable]
        with contextlib.ExitStack() as opened:
            scores = map(calibration.scores, store.tested_blocks(variable, calibration))
            q = opened.enter_context(self._compute_q_values(calibration.histogram, calibration.p, scores))
            if variable is not None:
                for variants, (common, rows) in self._stream_blocks(store.common, store.rows[variable]):
                    yield statistics_table(store.columns, variants, common, rows, calibration, self.counts_a1, q.take)
                return
            joint = store.joint
            assert joint is not None
            smallest = joint.column("neg_log10_min_p", BLOCK_ROWS)
            of_smallest = self._compute_q_values(joint.smallest, distributions.p_of_neg_log10, smallest)
            min_q = opened.enter_context(of_smallest)
            for variants, (common, rows) in self._stream_blocks(store.common, joint.rows):
                scored = JointScores(rows, min_q.take)
                yield statistics_table(
                    store.columns, variants, common, None, calibration, self.counts_a1, q.take, scored
                )

    def _stream_loadings(self) -> Iterator[pa.Table]:
        """Stream the table of loadings, block by block."""
        for variants, (loadings,) in self._stream_blocks(self.store.loadings):
            yield loadings_table(variants, loadings, self.counts_a1)

    def _compute_q_values(
        self, histogram: MagnitudeHistogram, p_of: Callable[[Floats], Floats], scores: Iterable[Floats]
    ) -> StreamedQValues:
        """Compute the q-values of all SNPs in a pass over their scores; the caller closes them."""
        in_memory = sorted_together(self.plan.memory)
        q_values = StreamedQValues(histogram, p_of, self.publication.scratch_folder, in_memory)
        try:
            for block in scores:
                q_values.add(block)
            q_values.finish()
        except BaseException:
            q_values.close()
            raise
        return q_values
