"""The first half of a run in a file: arguments, chosen samples and SNPs, and factors, for processes that go on from it.

The processes prepare the run anew from its arguments, and take what the passes found from the file, as a resumed run
takes it from the state folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import is_path, quoted
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files import seal_json, unseal_json
from lfmm2.genotypes import digest_of
from lfmm2.model import LatentFactors
from lfmm2.pipeline.checkpoints import Arrays, Checkpoints
from lfmm2.pipeline.options import FLAG, OUTPUT, PATH, RESOURCES, SNP_LIST, TABLE
from lfmm2.pipeline.state_folder import find_differences
from lfmm2.process import software
from lfmm2.results import read_arrays, unpack_factors, write_factors

# Version of the contents of the file; another one is refused.
_VERSION = 1
# Name of the array that holds the sealed JSON, and beginning of the names of arrays that stages kept.
_NOTE, _KEPT = "start", "kept/"
# Arguments that are data, beside those of `TABLE`.
_DATA = ("full_bed", "est_bed", "X", "covar")
# Options that each process has for itself: they change no result.
_OWN = {option.name for option in TABLE if option.section == RESOURCES} | {
    option.name for option in TABLE if option.section == OUTPUT and not option.changes_results
}
_CONVERTED = ("vcf", "zarr")
# Words for fields of the identity that are SHA-256, which tell a reader nothing.
_WORDS_OF_DIGESTS = {
    "samples": "the samples are others",
    "values of variables": "the values of the variables are others",
    "coordinates of samples": "the coordinates are others",
    "factors": "the factors, or the SNPs and samples that were chosen with them, are others",
}


class StartCheckpoints(Checkpoints):
    """The checkpoints `inner`, and before them what the first half of the run has kept.

    Sums of passes are left out: they are needed only until the factors are estimated.

    Parameters
    ----------
    inner : Checkpoints
    arrays : dict of str to dict of str to ndarray, optional
        Arrays of the first half of the run; this object adds those that stages keep or load.
    notes : dict of str to object, optional
        Notes, in the same way.
    """

    def __init__(
        self, inner: Checkpoints, arrays: dict[str, Arrays] | None = None, notes: dict[str, Any] | None = None
    ) -> None:
        self._inner = inner
        self.arrays = dict(arrays or {})
        self.notes = dict(notes or {})

    def is_due(self) -> bool:
        return self._inner.is_due()

    def keep_arrays(self, name: str, **arrays: Any) -> None:
        self._inner.keep_arrays(name, **arrays)
        if "pass-" not in name:
            self.arrays[name] = {key: np.asarray(value) for key, value in arrays.items()}

    def load_arrays(self, name: str) -> Arrays | None:
        if name in self.arrays:
            return dict(self.arrays[name])
        loaded = self._inner.load_arrays(name)
        if loaded is not None and "pass-" not in name:
            self.arrays[name] = dict(loaded)
        return loaded

    def keep_note(self, name: str, value: Any, rows: Iterable[BinaryIO] = ()) -> None:
        self._inner.keep_note(name, value, rows)
        self.notes[name] = value

    def load_note(self, name: str) -> Any:
        if name not in self.notes and (loaded := self._inner.load_note(name)) is not None:
            self.notes[name] = loaded
        return self.notes.get(name)

    def rows_path(self, name: str) -> Path | None:
        return self._inner.rows_path(name)

    @property
    def folder(self) -> Path | None:
        return self._inner.folder

    def remove(self, pattern: str) -> None:
        self._inner.remove(pattern)


@dataclass(frozen=True)
class RunStart:
    """The first half of a run.

    Attributes
    ----------
    path : Path
        File that holds it.
    factors : LatentFactors
    arguments : dict of str to object
        Arguments of `lfmm2.run` in terms of JSON, paths absolute, without those of output and resources.
    identity : dict of str to object
        Identity of the run.
    n_tested : int
        SNPs to test.
    arrays, notes : dict
        What stages have kept, as `StartCheckpoints` has it.
    digest : str
        SHA-256 of the factors and of all choices.
    """

    path: Path
    factors: LatentFactors
    arguments: dict[str, Any]
    identity: dict[str, Any]
    n_tested: int
    arrays: dict[str, Arrays]
    notes: dict[str, Any]
    digest: str

    def checkpoints(self, inner: Checkpoints) -> StartCheckpoints:
        """Return checkpoints that know what the first half of the run has found."""
        return StartCheckpoints(inner, self.arrays, self.notes)

    def check_identity(self, now: Mapping[str, Any]) -> None:
        """Raise InconsistentInputError unless a run that is prepared now is the one that was begun."""
        if fields := describe_differences(self.identity, dict(now)):
            raise InconsistentInputError(
                f"{self.path}: the factors were estimated from other files or by another program: {'; '.join(fields)}; "
                "put back what has changed, or estimate them again with lfmm2 factors"
            )


def describe_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List in words the fields in which two identities differ: first those of the program, then samples, then others.

    SHA-256 are replaced by words.
    """
    first = [*software(), "samples"]
    order = sorted({**before, **now}, key=lambda name: first.index(name) if name in first else len(first))
    differences: list[str] = []
    for name in order:
        of_name = ({name: of[name]} if name in of else {} for of in (before, now))
        differences += [_WORDS_OF_DIGESTS.get(name, text) for text in find_differences(*of_name)]
    return differences


def record_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a run as another process can read them: in terms of JSON, with absolute paths.

    Raises
    ------
    UsageError
        If data are in memory, or genotypes are to be converted.
    """
    for name in _CONVERTED:
        if (path := arguments.get(name)) is not None:
            fact = f"--{name} converts genotypes for one run, and each part would convert them again"
            raise UsageError(f"{fact}; convert them once with lfmm2 convert {path} --out NAME, and give --bed NAME")
    recorded = {name: _record_data(name, arguments.get(name)) for name in _DATA}
    for option in TABLE:
        if option.name in _OWN or option.name in _DATA or option.name not in arguments:
            continue
        value = arguments[option.name]
        paths = _are_paths(value) or (isinstance(value, str) and option.kind == SNP_LIST)
        if option.kind in (PATH, SNP_LIST) and value is not None and (option.kind == PATH or paths):
            recorded[option.name] = _as_absolute(value)
        else:
            recorded[option.name] = bool(value) if option.kind == FLAG else _record_value(option.name, value)
    return recorded


def _record_data(name: str, value: Any) -> Any:
    """Return the absolute path, or paths, of data; UsageError if they are in memory."""
    if value is None:
        return None
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(is_path(item) for item in items):
        fact = f"{name} is {quoted(value)}, and other processes open it again to test their parts"
        raise UsageError(f"{fact}; write it to a file, and give the path")
    return _as_absolute(value)


def _are_paths(value: Any) -> bool:
    """Return True for a path that is no text, or several."""
    items = value if isinstance(value, list | tuple) else [value]
    return bool(items) and all(isinstance(item, os.PathLike) for item in items)


def _as_absolute(value: Any) -> str | list[str]:
    """Return a path, or several, from the root of the file system on; links stay as they are."""
    if isinstance(value, list | tuple):
        return [os.path.abspath(item) for item in value]  # noqa: PTH100, pathlib would drop a slash at the end
    path: str = os.path.abspath(value)  # noqa: PTH100
    return path


def _record_value(name: str, value: Any) -> Any:
    """Return the value of an option in terms of JSON; UsageError if there is none."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        items = sorted(value) if isinstance(value, set | frozenset) else list(value)
        return [_record_value(name, item) for item in items]
    raise UsageError(f"{name} is {quoted(value)}, which cannot be written for other processes; give text or numbers")


def write_start(
    file: BinaryIO,
    start: RunStart,
    variables: tuple[str, ...],
    X: NDArray[np.float64],
    coordinates: Mapping[str, NDArray[np.float64]],
) -> None:
    """Write the first half of a run to an open file; `read_factors` reads the factors in it.

    Parameters
    ----------
    file : binary file
    start : RunStart
        Its path and digest are not written.
    variables, X, coordinates
        As in `write_factors`.
    """
    note = {
        "version": _VERSION, "arguments": start.arguments, "identity": start.identity, "n_tested": start.n_tested,
        "notes": start.notes,
    }  # fmt: skip
    kept = {f"{_KEPT}{name}/{key}": value for name, of in start.arrays.items() for key, value in of.items()}
    note_array = np.frombuffer(seal_json(note), np.uint8)
    write_factors(file, start.factors, variables, X, coordinates, {_NOTE: note_array, **kept})


def read_start(path: str | os.PathLike[str]) -> RunStart:
    """Read the first half of a run.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is damaged, or no such file.
    """
    arrays = read_arrays(path)
    made_by = "lfmm2 factors makes a file for parts"
    if _NOTE not in arrays:
        raise MalformedInputError(f"{path}: has factors, but not the options and choices of their run; {made_by}")
    note = unseal_json(arrays[_NOTE].tobytes())
    if note is None or note.get("version") != _VERSION:
        raise MalformedInputError(f"{path}: is damaged, or of another version of lfmm2; {made_by}, make it again")
    kept: dict[str, Arrays] = {}
    for name, array in arrays.items():
        if name.startswith(_KEPT):
            stage, _, key = name.removeprefix(_KEPT).rpartition("/")
            kept.setdefault(stage, {})[key] = array
    return RunStart(
        Path(os.path.abspath(path)),  # noqa: PTH100
        unpack_factors(arrays), note["arguments"], note["identity"], note["n_tested"], kept, note["notes"],
        _digest(arrays),
    )  # fmt: skip


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of all arrays but those with the times of passes."""
    timed = ("/record", "/records")
    names = sorted(name for name in arrays if name != _NOTE and not name.endswith(timed))
    texts = {name for name in names if arrays[name].dtype.kind == "U"}
    parts = (arrays[name].tobytes() if name in texts else arrays[name] for name in names)
    return digest_of(*(part for name, values in zip(names, parts, strict=True) for part in (name.encode(), values)))
