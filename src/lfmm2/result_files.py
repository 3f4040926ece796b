"""The files of a run: which there will be, whether they may be written, and writing them all or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2 import distributions
from lfmm2.calibration import StreamedQValues
from lfmm2.errors import LfmmError, UsageError, WriteError
from lfmm2.factors import LatentFactors
from lfmm2.factors_file import write_factors
from lfmm2.memory import q_values_in_memory
from lfmm2.output import JOINT_SCHEMA, RESULT_SCHEMA, open_table
from lfmm2.plan import ROW_BYTES, RunPlan
from lfmm2.record import as_json, as_log
from lfmm2.results import FileSource
from lfmm2.statistics_store import BLOCK_ROWS, StatisticsStore
from lfmm2.stream import Progress
from lfmm2.tables import (
    calibrated_z,
    joint_table,
    loadings_schema,
    loadings_table,
    recut,
    result_table,
)
from lfmm2.whole_files import OutputSet, check_free_space, check_outputs

Floats = NDArray[np.float64]
AnyPath = str | os.PathLike[str]

FIXED_ENDINGS = {"factors": ".factors.npz", "log": ".log", "record": ".json"}

# rows of one write of text; Parquet has larger groups
TEXT_ROWS = 16_384
PARQUET_ROWS = 131_072


@dataclass(frozen=True)
class OutputOptions:
    """Where results go; see `lfmm2.run`."""

    out: AnyPath | None = None
    format: str = "parquet"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.format not in ROW_BYTES:
            raise UsageError(f"format is {self.format!r}; it is one of {', '.join(ROW_BYTES)}")
        if self.out is None:
            return
        name = os.path.basename(os.fspath(self.out))  # noqa: PTH119, pathlib drops a slash at the end
        if name in ("", ".", ".."):
            raise UsageError(f"out is {os.fspath(self.out)!r}; give a folder and the beginning of a file name")

    @property
    def prefix(self) -> str | None:
        """`out` as text; None where results stay in memory."""
        return None if self.out is None else os.fspath(self.out)


def check_prefix(options: OutputOptions) -> None:
    """Refuse what is known to be in the way before the variables are: folder, log, record and factors."""
    if options.prefix is not None:
        _check_paths([Path(options.prefix + end) for end in FIXED_ENDINGS.values()], options.overwrite)


def _check_paths(paths: list[Path], overwrite: bool) -> None:
    """`check_outputs`, and names that the file system takes, also with the ending of an unfinished file."""
    try:
        check_outputs(paths, overwrite)
        longest = os.pathconf(paths[0].parent, "PC_NAME_MAX")
    except OSError as error:
        if isinstance(error, LfmmError):
            raise
        raise WriteError(f"{error.filename or paths[0]}: {error.strerror}; choose another --out") from error
    for path in paths:
        if len(os.fsencode(path.name)) + len(".part") > longest:
            raise WriteError(f"{path}: the name is too long for its disk, at most {longest} bytes; shorten it")


class ResultFiles:
    """The files of one run.

    Parameters
    ----------
    options : OutputOptions
    variables : tuple of str
        Names of the tables.
    loadings : bool
    inputs : list of Path
        Files that must not be overwritten whatever is asked.

    Attributes
    ----------
    prefix : str or None
        None keeps results in memory, and then there are no files.
    paths : dict of str to Path
        By name of the variable, and "joint", "loadings", "factors", "log" and "record".
    """

    def __init__(self, options: OutputOptions, variables: tuple[str, ...], loadings: bool, inputs: list[Path]) -> None:
        self.options = options
        self.variables = variables
        self.paths: dict[str, Path] = {}
        self.prefix = options.prefix
        if self.prefix is None:
            return
        clash = sorted(set(variables) & set(FIXED_ENDINGS))
        if clash:
            raise UsageError(f"{', '.join(clash)}: results have a file of this name; rename the variable")
        tables = [*variables, *(["joint"] if len(variables) > 1 else []), *(["loadings"] if loadings else [])]
        self.paths = {name: Path(f"{self.prefix}.{name}.{options.format}") for name in tables}
        self.paths |= {name: Path(self.prefix + end) for name, end in FIXED_ENDINGS.items()}
        taken = {os.path.realpath(path) for path in inputs}
        for path in self.paths.values():
            if os.path.realpath(path) in taken:
                raise UsageError(f"{path} is an input of this run; choose another --out")

    def check(self, plan: RunPlan) -> None:
        """Refuse existing files, unwritable folders and full disks, before work."""
        if self.prefix is None:
            return
        _check_paths(list(self.paths.values()), self.options.overwrite)
        check_free_space(Path(self.prefix).parent, plan.output_bytes + plan.temporary_bytes)

    def reserve(self) -> OutputSet:
        """Begin the set of files with the log, which keeps other runs from these names until this one has ended.

        Raises
        ------
        OutputExistsError
            If another run holds them.
        """
        outputs = OutputSet()
        if self.prefix is not None:
            self._log = outputs.open(self.paths["log"])
            try:
                # a run that held them may have ended since they were checked
                _check_paths(list(self.paths.values()), self.options.overwrite)
            except BaseException:
                outputs.abort()
                raise
        return outputs

    def write(
        self,
        outputs: OutputSet,
        store: StatisticsStore,
        variants: Callable[[], Iterator[pa.Table]],
        factors: LatentFactors,
        gif: Floats,
        df: int,
        counts_a1: bool,
        record: dict[str, Any],
        plan: RunPlan,
        progress: Progress,
    ) -> FileSource:
        """Write all files; they appear under their names together, when the last one is complete."""
        in_memory = q_values_in_memory(plan.memory)

        def write_table(name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
            file, form = outputs.open(self.paths[name]), self.options.format
            progress.start(f"writing {name}", store.n_snps, 0)
            try:
                with open_table(file, schema, form, PARQUET_ROWS if form == "parquet" else TEXT_ROWS) as writer:
                    for table in tables:
                        writer.write(table)
                        progress.advance(len(table), 0)
            finally:
                progress.finish()

        def cut_variants() -> Iterator[pa.Table]:
            return recut(variants(), BLOCK_ROWS)

        for j, name in enumerate(self.variables):
            tables = self._variable_tables(store, cut_variants(), j, float(gif[j]), df, counts_a1, in_memory)
            write_table(name, RESULT_SCHEMA, tables)
        if "joint" in self.paths:
            write_table("joint", JOINT_SCHEMA, self._joint_tables(store, cut_variants(), df, counts_a1, in_memory))
        if "loadings" in self.paths:
            blocks = zip(
                cut_variants(), store.common.blocks(BLOCK_ROWS), store.loadings.blocks(BLOCK_ROWS), strict=True
            )
            write_table(
                "loadings",
                loadings_schema(factors.n_factors),
                (loadings_table(v, common, loadings, counts_a1) for v, common, loadings in blocks),
            )
        write_factors(outputs.open(self.paths["factors"]), factors)
        self._log.write(as_log(record, plan))
        outputs.open(self.paths["record"]).write(as_json(record))
        outputs.commit()
        return FileSource(
            [self.paths[name] for name in self.variables], self.paths.get("joint"), self.paths.get("loadings")
        )

    def _variable_tables(
        self,
        store: StatisticsStore,
        variants: Iterator[pa.Table],
        j: int,
        gif: float,
        df: int,
        counts_a1: bool,
        in_memory: int,
    ) -> Iterator[pa.Table]:
        def p_of(t: Floats) -> Floats:
            return distributions.chi2_1_p(calibrated_z(t, gif))

        with self._q_values(store, j, p_of, in_memory, store.t_blocks(j)) as q_values:
            blocks = zip(
                variants,
                store.common.blocks(BLOCK_ROWS),
                store.rows[j].blocks(BLOCK_ROWS),
                store.t_blocks(j),
                strict=True,
            )
            for variant, common, rows, t in blocks:
                yield result_table(variant, common, rows, q_values.take(t), df, gif, counts_a1)

    def _joint_tables(
        self, store: StatisticsStore, variants: Iterator[pa.Table], df: int, counts_a1: bool, in_memory: int
    ) -> Iterator[pa.Table]:
        d = len(self.variables)

        def p_of(root_f: Floats) -> Floats:
            return distributions.f_p(root_f**2, d, df)

        with self._q_values(store, d, p_of, in_memory, store.root_f_blocks()) as q_values:
            blocks = zip(variants, store.common.blocks(BLOCK_ROWS), store.root_f_blocks(), strict=True)
            for variant, common, root_f in blocks:
                yield joint_table(variant, common, q_values.take(root_f), d, df, counts_a1)

    def _q_values(
        self,
        store: StatisticsStore,
        j: int,
        p_of: Callable[[Floats], Floats],
        in_memory: int,
        blocks: Iterator[Floats],
    ) -> StreamedQValues:
        folder = Path(self.prefix or ".").parent
        q_values = StreamedQValues(store.histograms[j], p_of, folder, in_memory)
        try:
            for block in blocks:
                q_values.add(block)
            q_values.finish()
        except BaseException:
            q_values.close()
            raise
        return q_values
