"""The files of a run: which there will be, whether they may be written, and writing them all or none.

Every output is written to the state of the run and takes its final name with all others, when the last one is complete:
the record, which is the manifest of the others.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.errors import LfmmError, MalformedInputError, OutputExistsError, UsageError, WriteError
from lfmm2.files import check_free_space, check_outputs, damaged_files, read_record, translated
from lfmm2.model import LatentFactors
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.run_options import OutputOptions
from lfmm2.pipeline.run_state import NoState, RunState, differences, inspect
from lfmm2.results import FIXED_ENDINGS, SMALL_ENDINGS, read_factors, write_factors


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
    design : ndarray of shape (n_samples, d)
        Their values, which the file of the factors keeps.
    extras : collection of str
        Which of "loadings", "scree", "sweep", "sweep-histograms" and "prune" there are.
    inputs : list of Path
        Files that must not be overwritten whatever is asked.

    Attributes
    ----------
    prefix : str or None
        None keeps results in memory, and then there are no files.
    paths : dict of str to Path
        By name of the variable, and "joint", "factors", "log", "record" and those of the extras.
    is_complete : bool
        Whether `check` has found the results of this very run, which `resume` need not write.
    """

    def __init__(
        self,
        options: OutputOptions,
        variables: tuple[str, ...],
        design: Floats,
        extras: Collection[str],
        inputs: list[Path],
    ) -> None:
        self.options = options
        self.variables = variables
        self._design = design
        self.paths: dict[str, Path] = {}
        self.is_complete = False
        self.prefix = options.prefix
        if self.prefix is None:
            return
        clash = sorted(set(variables) & {*FIXED_ENDINGS, *SMALL_ENDINGS, "joint", "loadings"})
        if clash:
            raise UsageError(f"{', '.join(clash)}: results have a file of this name; rename the variable")
        tables = [
            *variables,
            *(["joint"] if len(variables) > 1 else []),
            *(["loadings"] if "loadings" in extras else []),
        ]
        self.paths = {name: Path(f"{self.prefix}.{name}.{options.format}") for name in tables}
        self.paths |= {name: Path(self.prefix + end) for name, end in SMALL_ENDINGS.items() if name in extras}
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
        n_tables = len(
            set(finished) - {self._key(name) for name in FIXED_ENDINGS | SMALL_ENDINGS if name in self.paths}
        )
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

    def finished(self, state: RunState, name: str) -> bool:
        """Whether an output is complete."""
        return state.finished(self._key(name), self.paths[name]) is not None

    def is_finished(self, state: RunState) -> bool:
        """Whether all outputs are complete, and need only be published."""
        return all(self.finished(state, name) for name in self.paths)

    def output(self, state: RunState, name: str) -> AbstractContextManager[BinaryIO]:
        """A file in the state of the run that takes the name of an output in the end."""
        return state.output(self._key(name))

    def stamp(self, state: RunState, name: str) -> dict[str, Any]:
        """Size and SHA-256 of a finished output."""
        return state.stamp(self._key(name))

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
                write_factors(file, factors, self.variables, self._design)

    def publish(self, state: RunState) -> None:
        """Show all files under their names, the record last; then remove what only the run that they replace had."""
        names = sorted(self.paths, key=lambda name: name == "record")
        outdated = self._outdated()
        state.publish({self._key(name): self.paths[name] for name in names})
        with translated(self.paths["record"]):
            for path in outdated:
                path.unlink(missing_ok=True)

    def _outdated(self) -> list[Path]:
        """Files of a complete run of this name, as it wrote them, that this one does not write."""
        record = self.paths["record"]
        try:
            files = read_record(record)["files"] if record.exists() else {}
            sizes = {record.with_name(name): stamp["bytes"] for name, stamp in files.items()}
        except (LfmmError, KeyError, TypeError, AttributeError):
            return []
        ours = set(self.paths.values())
        return [
            path
            for path, size in sizes.items()
            if path.parent == record.parent and path not in ours and path.is_file() and path.stat().st_size == size
        ]
