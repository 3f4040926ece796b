"""The files of a run: which files there will be, whether they may be written, and how all of them appear or none.

Every output is written to the state folder and takes its final name with all others when the last one is finished: the
record, which is the manifest of the others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.errors import LfmmError, MalformedInputError, OutputExistsError, UsageError, WriteError
from lfmm2.files import check_free_space, check_outputs, find_damaged_files, translated
from lfmm2.model import LatentFactors
from lfmm2.pipeline.checkpoints import CheckpointFiles, Checkpoints
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.publication import Publication
from lfmm2.pipeline.run_options import OutputOptions
from lfmm2.pipeline.state_folder import IDENTITY_NOTE, StateFolder, check_state_folder, find_differences
from lfmm2.results import FIXED_ENDINGS, SMALL_ENDINGS, open_record, read_factors, write_factors


def _check_paths(paths: list[Path], overwrite: bool) -> None:
    """Check paths as `check_outputs` does, and refuse names that are too long with the endings of unfinished files."""
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
        """The folder where the run keeps what it has done until all is complete."""
        return Path(f"{self.prefix}.state")

    def check(self, plan: RunPlan, identity: dict[str, Any]) -> None:
        """Refuse existing files, unwritable folders, full disks and the state of another run, before work."""
        if self.prefix is None:
            return
        options = self.options
        with translated(self.state_folder):
            goes_on = check_state_folder(self.state_folder, identity, options.resume, options.overwrite)
            # Outputs of a run to be resumed may be there already: `begin` compares them.
            self.is_complete = not goes_on and self._is_completed(identity)
            _check_paths(list(self.paths.values()), options.overwrite or goes_on or self.is_complete)
            if not self.is_complete:
                # What the folder holds is used again, or makes way.
                there = self.state_folder.is_dir()
                kept = sum(path.stat().st_size for path in self.state_folder.iterdir()) if there else 0
                check_free_space(Path(self.prefix).parent, plan.output_bytes + plan.temporary_bytes - kept)

    def describe_unfinished(self) -> str:
        """Say what an unfinished run has left to go on from; empty where there is nothing, or no wish to."""
        if not self.options.resume or not self.state_folder.is_dir():
            return ""
        folder = StateFolder(self.state_folder)
        if folder.load_note(IDENTITY_NOTE) is None:
            return ""  # The folder is damaged, so everything is made again.
        finished, tested = self._publication(folder).noted, folder.load_note("statistics")
        n_passes = len(list(self.state_folder.glob("pass-???.npz")))
        parts = [f"{n_passes} pass(es)"] if n_passes else []
        parts += ["part of a pass"] if list(self.state_folder.glob("pass-???-begun.npz")) else []
        parts += ["the factors"] if "factors" in finished else []
        parts += [f"{with_spaces(tested['n_rows'])} SNPs tested"] if tested else []
        n_tables = len(finished - {*FIXED_ENDINGS, *SMALL_ENDINGS})
        parts += [f"{n_tables} table(s)"] if n_tables else []
        return ", ".join(parts)

    def _is_completed(self, identity: dict[str, Any]) -> bool:
        """Return True if `resume` finds complete results of this very run in place of an unfinished one.

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
            record = open_record(path)
            if other := find_differences(record.identity, identity):
                faults = [f"complete results of another run: {'; '.join(other)}"]
            else:
                faults = find_damaged_files(path, record.to_json())
        except MalformedInputError as error:
            faults = [str(error)]
        if faults and not options.overwrite:
            raise OutputExistsError(f"{path}: {'; '.join(faults)}; choose another name, or replace with --overwrite")
        return not faults

    def remove_rest(self) -> None:
        """Remove the state folder of a run that is complete, but was stopped before it had removed it."""
        if self.state_folder.is_dir():
            StateFolder.begin(self.state_folder, {}, resume=False, overwrite=False).give_up()

    @contextlib.contextmanager
    def begin(self, identity: dict[str, Any]) -> Iterator[tuple[Checkpoints, Publication]]:
        """Hold the names of this run until the block ends, and find what an unfinished run has left of it.

        Raises
        ------
        OutputExistsError
            If another run holds them, or an output exists that is not of the unfinished run.
        """
        options = self.options
        folder = StateFolder.begin(self.state_folder, identity, options.resume, options.overwrite)
        try:
            publication = self._publication(folder)
            # A run that held the names may have ended since they were checked.
            new = [path for name, path in self.paths.items() if publication.find_finished(name) != path]
            _check_paths(new, options.overwrite)
        except BaseException:
            folder.give_up()
            raise
        with folder:
            yield CheckpointFiles(folder), publication

    def _publication(self, folder: StateFolder) -> Publication:
        """Return the outputs of this run, the record last because it is the manifest of the others."""
        names = sorted(self.paths, key=lambda name: name == "record")
        return Publication(folder, str(self.prefix), {name: self.paths[name] for name in names})

    def read_factors(self, publication: Publication) -> LatentFactors | None:
        """Return the factors of an unfinished run; None where they have to be estimated."""
        path = publication.find_finished("factors")
        return None if path is None else read_factors(path)

    def write_factors(self, publication: Publication, factors: LatentFactors) -> None:
        """Write the factors unless that is done, the first output to be finished."""
        if not publication.is_finished("factors"):
            with publication.open_output("factors") as file:
                write_factors(file, factors, self.variables, self._design)

    def publish(self, publication: Publication) -> None:
        """Show all files under their names, the record last; then remove what only the run that they replace had."""
        outdated = self._list_outdated()
        publication.publish()
        with translated(self.paths["record"]):
            for path in outdated:
                path.unlink(missing_ok=True)

    def _list_outdated(self) -> list[Path]:
        """Return files of a complete run of this name, as it wrote them, that this one does not write."""
        record = self.paths["record"]
        try:
            files = open_record(record).files if record.exists() else {}
            sizes = {record.with_name(name): stamp.bytes for name, stamp in files.items()}
        except LfmmError:
            return []
        ours = set(self.paths.values())
        return [
            path
            for path, size in sizes.items()
            if path.parent == record.parent and path not in ours and path.is_file() and path.stat().st_size == size
        ]
