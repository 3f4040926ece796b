"""The files of a run: which there will be, whether they may be written, and writing them all or none.

Every output is written to the state of the run and takes its final name with all others, when the last one is complete:
the record, which is the manifest of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2 import distributions
from lfmm2.calibration import StreamedQValues
from lfmm2.errors import LfmmError, MalformedInputError, OutputExistsError, UsageError, WriteError
from lfmm2.factors import LatentFactors
from lfmm2.factors_file import read_factors, write_factors
from lfmm2.memory import q_values_in_memory
from lfmm2.output import JOINT_SCHEMA, RESULT_SCHEMA, open_table
from lfmm2.plan import ROW_BYTES, RunPlan
from lfmm2.record import as_json, as_log
from lfmm2.results import FileSource
from lfmm2.run_state import NoState, RunState, differences, inspect
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
from lfmm2.text_tables import with_spaces
from lfmm2.verification import damaged_files, read_record
from lfmm2.whole_files import check_free_space, check_outputs, translated

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
    resume: bool = False

    def __post_init__(self) -> None:
        if self.format not in ROW_BYTES:
            raise UsageError(f"format is {self.format!r}; it is one of {', '.join(ROW_BYTES)}")
        if self.out is None:
            if self.resume:
                raise UsageError("resume goes on from the state beside the files of out; give out")
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
        paths = [Path(options.prefix + end) for end in FIXED_ENDINGS.values()]
        _check_paths(paths, options.overwrite or options.resume)


def _check_paths(paths: list[Path], overwrite: bool) -> None:
    """`check_outputs`, and names that the file system takes, also with the endings of an unfinished file."""
    if not paths:
        return
    try:
        check_outputs(paths, overwrite)
        longest = os.pathconf(paths[0].parent, "PC_NAME_MAX")
    except OSError as error:
        if isinstance(error, LfmmError):
            raise
        raise WriteError(f"{error.filename or paths[0]}: {error.strerror}; choose another --out") from error
    for path in paths:
        if len(os.fsencode(path.name)) + len("previous..part") > longest:
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
    is_complete : bool
        Whether `check` has found the results of this very run, which `resume` need not write.
    """

    def __init__(self, options: OutputOptions, variables: tuple[str, ...], loadings: bool, inputs: list[Path]) -> None:
        self.options = options
        self.variables = variables
        self.paths: dict[str, Path] = {}
        self.is_complete = False
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

    @property
    def state_folder(self) -> Path:
        """Where the run keeps what it has done until all is complete."""
        return Path(f"{self.prefix}.state")

    def check(self, plan: RunPlan, identity: dict[str, Any]) -> None:
        """Refuse existing files, unwritable folders, full disks and the state of another run, before work."""
        if self.prefix is None:
            return
        options = self.options
        with translated(self.state_folder):
            goes_on = inspect(self.state_folder, identity, options.resume, options.overwrite)
            # of a run to be resumed some may be there already: `begin` compares them
            self.is_complete = not goes_on and self._completed(identity)
            _check_paths(list(self.paths.values()), options.overwrite or goes_on or self.is_complete)
            if not self.is_complete:
                # what is there is used again, or makes way
                there = self.state_folder.is_dir()
                kept = sum(path.stat().st_size for path in self.state_folder.iterdir()) if there else 0
                check_free_space(Path(self.prefix).parent, plan.output_bytes + plan.temporary_bytes - kept)

    def unfinished(self) -> str:
        """What an unfinished run has left to go on from, in words; empty where there is nothing, or no wish to."""
        if not self.options.resume or not self.state_folder.is_dir():
            return ""
        state = RunState(self.state_folder)
        if state.note("run") is None:
            return ""  # damaged
        finished, tested = state.note("progress") or {}, state.note("statistics")
        n_passes = len(list(self.state_folder.glob("pass-???.npz")))
        parts = [f"{n_passes} pass(es)"] if n_passes else []
        parts += ["part of a pass"] if list(self.state_folder.glob("pass-???-begun.npz")) else []
        parts += ["the factors"] if self._key("factors") in finished else []
        parts += [f"{with_spaces(tested['n_rows'])} SNPs tested"] if tested else []
        n_tables = len(set(finished) - {self._key(name) for name in FIXED_ENDINGS})
        parts += [f"{n_tables} table(s)"] if n_tables else []
        return ", ".join(parts)

    def _completed(self, identity: dict[str, Any]) -> bool:
        """Whether `resume` finds complete results of this very run in place of an unfinished one.

        Raises
        ------
        OutputExistsError
            If they are of another run or damaged, and may not be replaced.
        """
        options = self.options
        if not options.resume or not self.paths["record"].exists():
            return False
        path = self.paths["record"]
        try:
            record = read_record(path)
            other = differences(record["identity"], identity)
            faults = [f"complete results of another run: {'; '.join(other)}"] if other else damaged_files(path, record)
        except MalformedInputError as error:
            faults = [str(error)]
        if faults and not options.overwrite:
            raise OutputExistsError(f"{path}: {'; '.join(faults)}; choose another name, or replace with --overwrite")
        return not faults

    def remove_rest(self) -> None:
        """Remove the state of a run that is complete, but was stopped before it had removed it."""
        if self.state_folder.is_dir():
            RunState.begin(self.state_folder, {}, resume=False, overwrite=False).give_up()

    def begin(self, identity: dict[str, Any]) -> RunState:
        """Take the names of this run, until it has ended, and what an unfinished run has left of it.

        Raises
        ------
        OutputExistsError
            If another run holds them, or an output exists that is not of the unfinished run.
        """
        options = self.options
        state = RunState.begin(self.state_folder, identity, options.resume, options.overwrite)
        try:
            # a run that held them may have ended since they were checked
            new = [path for name, path in self.paths.items() if state.finished(self._key(name), path) != path]
            _check_paths(new, options.overwrite)
        except BaseException:
            state.give_up()
            raise
        return state

    def _key(self, name: str) -> str:
        """Name of an output in the state of the run: that of its file without the prefix."""
        return self.paths[name].name.removeprefix(Path(str(self.prefix)).name + ".")

    def is_finished(self, state: RunState) -> bool:
        """Whether all outputs are complete, and need only be published."""
        return all(state.finished(self._key(name), path) for name, path in self.paths.items())

    def kept_factors(self, state: NoState) -> LatentFactors | None:
        """The factors of an unfinished run."""
        if not isinstance(state, RunState):
            return None
        path = state.finished(self._key("factors"), self.paths["factors"])
        return None if path is None else read_factors(path)

    def keep_factors(self, state: NoState, factors: LatentFactors) -> None:
        """Write the factors, the first output to be complete."""
        if isinstance(state, RunState) and not state.finished(self._key("factors"), self.paths["factors"]):
            with state.output(self._key("factors")) as file:
                write_factors(file, factors)

    def write(
        self,
        state: RunState,
        store: StatisticsStore,
        variants: Callable[[], Iterator[pa.Table]],
        factors: LatentFactors,
        gif: Floats,
        df: int,
        counts_a1: bool,
        record: dict[str, Any],
        plan: RunPlan,
        progress: Progress,
    ) -> None:
        """Write all files that are not finished yet."""
        in_memory = q_values_in_memory(plan.memory)

        def write_table(name: str, schema: pa.Schema, tables: Callable[[], Iterable[pa.Table]]) -> None:
            form = self.options.format
            if state.finished(self._key(name), self.paths[name]):
                return
            progress.start(f"writing {name}", store.n_snps, 0)
            rows = PARQUET_ROWS if form == "parquet" else TEXT_ROWS
            try:
                with state.output(self._key(name)) as file, open_table(file, schema, form, rows) as writer:
                    for table in tables():
                        writer.write(table)
                        progress.advance(len(table), 0)
            finally:
                progress.finish()

        def cut_variants() -> Iterator[pa.Table]:
            return recut(variants(), BLOCK_ROWS)

        def variable_tables(j: int) -> Iterator[pa.Table]:
            return self._variable_tables(state, store, cut_variants(), j, float(gif[j]), df, counts_a1, in_memory)

        def loadings_tables() -> Iterator[pa.Table]:
            blocks = zip(
                cut_variants(), store.common.blocks(BLOCK_ROWS), store.loadings.blocks(BLOCK_ROWS), strict=True
            )
            return (loadings_table(v, common, loadings, counts_a1) for v, common, loadings in blocks)

        for j, name in enumerate(self.variables):
            write_table(name, RESULT_SCHEMA, partial(variable_tables, j))
        if "joint" in self.paths:
            write_table(
                "joint",
                JOINT_SCHEMA,
                lambda: self._joint_tables(state, store, cut_variants(), df, counts_a1, in_memory),
            )
        if "loadings" in self.paths:
            write_table("loadings", loadings_schema(factors.n_factors), loadings_tables)
        self.keep_factors(state, factors)
        with state.output(self._key("log")) as file:
            file.write(as_log(record, plan))
        names = [name for name in self.paths if name != "record"]
        files = {self.paths[name].name: state.stamp(self._key(name)) for name in names}
        with state.output(self._key("record")) as file:
            file.write(as_json(record | {"files": files}))

    def publish(self, state: RunState) -> None:
        """Show all files under their names, the record last."""
        names = sorted(self.paths, key=lambda name: name == "record")
        state.publish({self._key(name): self.paths[name] for name in names})

    def source(self) -> FileSource:
        """Statistics read from the files."""
        return FileSource(
            [self.paths[name] for name in self.variables], self.paths.get("joint"), self.paths.get("loadings")
        )

    def _variable_tables(
        self,
        state: RunState,
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

        with self._q_values(state, store, j, p_of, in_memory, store.t_blocks(j)) as q_values:
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
        self,
        state: RunState,
        store: StatisticsStore,
        variants: Iterator[pa.Table],
        df: int,
        counts_a1: bool,
        in_memory: int,
    ) -> Iterator[pa.Table]:
        d = len(self.variables)

        def p_of(root_f: Floats) -> Floats:
            return distributions.f_p(root_f**2, d, df)

        with self._q_values(state, store, d, p_of, in_memory, store.root_f_blocks()) as q_values:
            blocks = zip(variants, store.common.blocks(BLOCK_ROWS), store.root_f_blocks(), strict=True)
            for variant, common, root_f in blocks:
                yield joint_table(variant, common, q_values.take(root_f), d, df, counts_a1)

    def _q_values(
        self,
        state: RunState,
        store: StatisticsStore,
        j: int,
        p_of: Callable[[Floats], Floats],
        in_memory: int,
        blocks: Iterator[Floats],
    ) -> StreamedQValues:
        q_values = StreamedQValues(store.histograms[j], p_of, state.folder, in_memory)
        try:
            for block in blocks:
                q_values.add(block)
            q_values.finish()
        except BaseException:
            q_values.close()
            raise
        return q_values
