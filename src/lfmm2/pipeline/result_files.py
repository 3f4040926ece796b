"""The result files of a run: their names, the checks before they are written, and their appearance all at once.

Every output is written to the state folder. The last one is the record, the manifest of the others. When it is
finished, all outputs take their final names.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lfmm2._typing import Floats
from lfmm2._words import with_spaces
from lfmm2.errors import LfmmError, MalformedInputError, OutputExistsError, UsageError, WriteError
from lfmm2.files import OwnFiles, check_free_space, check_outputs, find_damaged_files, translated
from lfmm2.model import LatentFactors
from lfmm2.pipeline.checkpoints import CheckpointFiles, Checkpoints
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.publication import Publication, finished_outputs
from lfmm2.pipeline.run_options import OutputOptions
from lfmm2.pipeline.state_folder import IDENTITY_NOTE, PREVIOUS, StateFolder, check_state_folder, find_differences
from lfmm2.pipeline.statistics_store import read_rows_note
from lfmm2.results import (
    FIXED_ENDINGS,
    SMALL_ENDINGS,
    find_former_files,
    find_inputs,
    open_record,
    read_factors,
    write_factors,
)


def _check_paths(paths: list[Path], overwrite: bool, own: OwnFiles | None) -> None:
    """Check paths as `check_outputs` does, and refuse names that are too long in the state folder."""
    if not paths:
        return
    try:
        check_outputs(paths, overwrite, own)
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
        Names of the variables, and of their tables.
    design : ndarray of shape (n_samples, D), float64
        Values of the variables, the nuisance variables last, which the factors file keeps.
    extras : collection of str
        Names of further outputs: any of "loadings", "factors-table", "samples", "scree", "sweep", "sweep-histograms"
        and "prune".
    inputs : list of Path
        Input files, which are never overwritten.
    coordinates : dict of str to ndarray of shape (n_samples,), float64, optional
        Coordinates of the samples, which the factors file keeps too.

    Attributes
    ----------
    prefix : str or None
        Beginning of all paths; None if results stay in memory and there are no files.
    paths : dict of str to Path
        Path of each file by the name of the variable, "joint", "factors", "log", "record" or the name in `extras`.
    is_complete : bool
        True if `check` has found complete results of the same run, so that `resume` has nothing to write.

    Raises
    ------
    UsageError
        If a variable has the name of another result file, or a path is that of an input.
    """

    def __init__(
        self,
        options: OutputOptions,
        variables: tuple[str, ...],
        design: Floats,
        extras: Collection[str],
        inputs: list[Path],
        coordinates: Mapping[str, Floats] | None = None,
    ) -> None:
        self.options = options
        self.variables = variables
        self._design = design
        self._coordinates = coordinates or {}
        self._inputs = inputs
        self._former = OwnFiles({})
        self.paths: dict[str, Path] = {}
        self.is_complete = False
        self.prefix = options.prefix
        if self.prefix is None:
            return
        clash = sorted(set(variables) & {*FIXED_ENDINGS, *SMALL_ENDINGS, "joint", "loadings"})
        if clash:
            raise UsageError(f"{', '.join(clash)}: results have a file of this name; rename the variable")
        self.paths = self._list_paths(self.prefix, extras)
        for path in find_inputs(self.paths.values(), inputs):
            raise UsageError(f"{path} is an input of this run; choose another --out")

    def _list_paths(self, prefix: str, extras: Collection[str]) -> dict[str, Path]:
        """Return the path of each file by its name; the manifest of the others is last."""
        variables, form = self.variables, self.options.format
        tables = [
            *variables,
            *(["joint"] if len(variables) > 1 else []),
            *(["loadings"] if "loadings" in extras else []),
        ]
        paths = {name: Path(f"{prefix}.{name}.{form}") for name in tables}
        paths |= {name: Path(prefix + end) for name, end in SMALL_ENDINGS.items() if name in extras}
        return paths | {name: Path(prefix + end) for name, end in FIXED_ENDINGS.items()}

    def with_design(self, design: Floats, coordinates: Mapping[str, Floats]) -> ResultFiles:
        """Return these files with the variables and coordinates of fewer samples."""
        files = copy.copy(self)
        files._design, files._coordinates = design, coordinates
        return files

    @property
    def state_folder(self) -> Path:
        """Folder where the run keeps its work until all outputs are complete."""
        return Path(f"{self.prefix}.state")

    def check(self, plan: RunPlan, identity: dict[str, Any]) -> None:
        """Refuse existing files, unwritable folders, full disks and the state of another run, before any pass.

        Raises
        ------
        OutputExistsError
            If a file is in the way; if another run uses the state folder, or has left it unfinished and neither
            `resume` nor `overwrite` is on.
        InconsistentInputError
            If the run to be resumed had other inputs or options.
        WriteError
            If a folder cannot be written, a name is too long, or the disk has too little space.
        """
        if self.prefix is None:
            return
        options = self.options
        with translated(self.state_folder):
            goes_on = check_state_folder(self.state_folder, identity, options.resume, options.overwrite)
            # Outputs of a run to be resumed may be there already: `begin` compares them.
            self.is_complete = not goes_on and self._is_completed(identity)
            if options.overwrite and not self.is_complete:
                self._former = self._find_former()
                self._check_outdated()
            resumed = goes_on or self.is_complete
            _check_paths(list(self.paths.values()), options.overwrite or resumed, None if resumed else self._former)
            if not self.is_complete:
                # The bytes in the folder are used again, or are removed before the run writes others.
                there = self.state_folder.is_dir()
                kept = sum(path.stat().st_size for path in self.state_folder.iterdir()) if there else 0
                check_free_space(Path(self.prefix).parent, self._count_bytes(plan) - kept)

    def _count_bytes(self, plan: RunPlan) -> int:
        """Return the bytes of disk that the outputs and the state folder take."""
        return plan.output_bytes + plan.temporary_bytes

    def describe_unfinished(self) -> str:
        """List the kept work that `resume` goes on from; empty if there is none, or if `resume` is off."""
        if not self.options.resume or not self.state_folder.is_dir():
            return ""
        folder = StateFolder(self.state_folder)
        if folder.load_note(IDENTITY_NOTE) is None:
            return ""  # The folder is damaged, so all work is done again.
        finished, tested = self._publication(folder).noted, read_rows_note(folder.load_note("statistics"))
        n_passes = len(list(self.state_folder.glob("pass-???.npz")))
        parts = [f"{n_passes} pass(es)"] if n_passes else []
        parts += ["part of a pass"] if list(self.state_folder.glob("pass-???-begun.npz")) else []
        parts += ["the factors"] if "factors" in finished else []
        parts += [f"{with_spaces(tested.n_rows)} SNPs tested"] if tested else []
        n_tables = len(finished - {*FIXED_ENDINGS, *SMALL_ENDINGS})
        parts += [f"{n_tables} table(s)"] if n_tables else []
        return ", ".join(parts)

    def _is_completed(self, identity: dict[str, Any]) -> bool:
        """Return True if `resume` is on and complete results of the same run are there.

        Raises
        ------
        OutputExistsError
            If the results are of another run or damaged, and `overwrite` is off.
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
        """Remove the state folder of a complete run that was interrupted before it could do so."""
        if self.state_folder.is_dir():
            StateFolder.begin(self.state_folder, {}, resume=False, overwrite=False).give_up()

    @contextlib.contextmanager
    def begin(
        self, identity: dict[str, Any], check_inputs: Callable[[], None] | None = None
    ) -> Iterator[tuple[Checkpoints, Publication]]:
        """Lock the state folder until the block ends, and give the checkpoints and outputs that are kept there.

        `check_inputs` is that of `StateFolder`.

        Raises
        ------
        OutputExistsError
            If another run holds the lock, or an output exists that is not one of the run to be resumed.
        """
        options = self.options
        names = [path.name for path in self.paths.values()]
        folder = StateFolder.begin(self.state_folder, identity, options.resume, options.overwrite, check_inputs, names)
        try:
            publication = self._publication(folder)
            # Another run of the same prefix may have written its outputs after `check`.
            new = [path for name, path in self.paths.items() if publication.find_finished(name) != path]
            _check_paths(new, options.overwrite, self._former)
        except BaseException:
            folder.give_up()
            raise
        with folder:
            yield CheckpointFiles(folder), publication

    def _publication(self, folder: StateFolder) -> Publication:
        """Return the outputs of this run, the record last because it is the manifest of the others."""
        names = sorted(self.paths, key=lambda name: name == "record")
        return Publication(folder, str(self.prefix), {name: self.paths[name] for name in names}, self._former)

    def read_factors(self, publication: Publication) -> LatentFactors | None:
        """Return the factors that an unfinished run has written; None if they have to be estimated."""
        path = publication.find_finished("factors")
        return None if path is None else read_factors(path)

    def write_factors(self, publication: Publication, factors: LatentFactors) -> None:
        """Write the factors, which are the first output, unless they are finished."""
        if not publication.is_finished("factors"):
            with publication.open_output("factors") as file:
                write_factors(file, factors, self.variables, self._design, self._coordinates)

    def publish(self, publication: Publication) -> None:
        """Give all files their final names, the record last; then remove further files of the run that they replace."""
        outdated = self._list_outdated()
        publication.publish()
        with translated(self.state_folder):
            for path in outdated:
                path.unlink(missing_ok=True)

    def _find_former(self) -> OwnFiles:
        """Find the files of earlier runs that this one may replace."""
        prefix, state = Path(str(self.prefix)), self.state_folder
        # A run that ended between two renames has put the record aside, and has noted what it had finished.
        aside = state / f"{PREVIOUS}{FIXED_ENDINGS['record'].removeprefix('.')}"
        stamps = find_former_files(prefix, [aside]).stamps
        finished = finished_outputs(StateFolder(state))
        for path in self.paths.values():
            if stamp := finished.get(path.name.removeprefix(f"{prefix.name}.")):
                stamps.setdefault(path, []).append(stamp)
        return OwnFiles(stamps)

    def _list_outdated(self) -> list[Path]:
        """Return the files that this run does not write, but that an earlier run with the same prefix wrote."""
        ours = set(self.paths.values())
        return [path for path in self._former.stamps if path not in ours and self._former.holds(path)]

    def _check_outdated(self) -> None:
        """Raise OutputExistsError if a file of an earlier run, which this one would remove, is one of its inputs."""
        for path in find_inputs(self._list_outdated(), self._inputs):
            raise OutputExistsError(
                f"{path}: an input of this run, and a file of the earlier run that --overwrite removes; "
                "copy it to another name, or choose another --out"
            )
