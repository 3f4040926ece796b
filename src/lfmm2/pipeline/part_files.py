"""The one file that a half of a run writes: its first half, or a part of its tests."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from lfmm2.errors import LfmmError, OutputExistsError
from lfmm2.files import OwnFiles, stamp_of, translated
from lfmm2.model import LatentFactors
from lfmm2.pipeline.parts import PartNote, PartNumber, read_part, write_part
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.publication import Publication
from lfmm2.pipeline.result_files import ResultFiles
from lfmm2.pipeline.run_start import RunStart, StartCheckpoints, read_start, write_start
from lfmm2.pipeline.state_folder import find_differences
from lfmm2.pipeline.statistics_store import StatisticsStore
from lfmm2.results import FIXED_ENDINGS


class SingleFile(ResultFiles):
    """A file that has the identity of its run in itself, in place of a record."""

    NAME: ClassVar[str]
    ENDING: ClassVar[str]

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.paths[self.NAME]

    def read_identity(self) -> dict[str, Any]:
        """Return the identity in a file that is there; LfmmError if it is another one."""
        raise NotImplementedError

    def _list_paths(self, prefix: str, extras: Collection[str]) -> dict[str, Path]:
        return {self.NAME: Path(prefix + self.ENDING)}

    def _is_completed(self, identity: dict[str, Any]) -> bool:
        if not self.options.resume or not self.path.exists():
            return False
        try:
            other = find_differences(self.read_identity(), identity)
            faults = [f"is of another run: {'; '.join(other)}"] if other else []
        except LfmmError as error:
            faults = [str(error).removeprefix(f"{self.path}: ")]
        if faults and not self.options.overwrite:
            raise OutputExistsError(f"{self.path}: {faults[0]}; choose another name, or replace it with --overwrite")
        return not faults

    def _find_former(self) -> OwnFiles:
        try:
            self.read_identity()
            with translated(self.path):
                return OwnFiles({self.path: [stamp_of(self.path)]})
        except LfmmError:
            return OwnFiles({})


class StartFile(SingleFile):
    """The file of the first half of a run: <out>.factors.npz.

    Parameters
    ----------
    arguments : dict
        Arguments of the run, as `record_arguments` gives them.
    *rest
        Parameters of `ResultFiles`.
    """

    NAME = "factors"
    ENDING = FIXED_ENDINGS["factors"]

    def __init__(self, arguments: dict[str, Any], *rest: Any) -> None:
        self._arguments = arguments
        super().__init__(*rest)

    def read_identity(self) -> dict[str, Any]:
        return read_start(self.path).identity

    def _count_bytes(self, plan: RunPlan) -> int:
        return 0  # The largest arrays, of n × n numbers, are smaller than any genotypes for which parts are worth it.

    def write_start(
        self,
        publication: Publication,
        factors: LatentFactors,
        checkpoints: StartCheckpoints,
        identity: dict[str, Any],
        n_tested: int,
    ) -> None:
        """Write the factors, and what a process needs to go on from them."""
        start = RunStart(
            self.path, factors, self._arguments, identity, n_tested, checkpoints.arrays, checkpoints.notes, ""
        )
        with publication.open_output(self.NAME) as file:
            write_start(file, start, self.variables, self._design, self._coordinates)


class PartFile(SingleFile):
    """The file of a part: <out>.part-3-of-22.npz, where `out` has all but the end.

    Parameters
    ----------
    part : PartNumber
    *rest
        Parameters of `ResultFiles`.
    """

    NAME = "part"
    ENDING = ".npz"

    def __init__(self, part: PartNumber, *rest: Any) -> None:
        self._part = part
        super().__init__(*rest)

    def read_identity(self) -> dict[str, Any]:
        return read_part(self.path).note.identity

    def _count_bytes(self, plan: RunPlan) -> int:
        # The rows lie in the state folder and in the file for a moment.
        return 2 * plan.temporary_bytes // self._part.n_parts

    def write_part(self, publication: Publication, note: PartNote, store: StatisticsStore) -> None:
        """Write the rows of the part."""
        with publication.open_output(self.NAME) as file:
            write_part(file, note, store)
