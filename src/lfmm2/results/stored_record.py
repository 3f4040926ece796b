"""The record of a finished run: found by the name of any file of the run, and checked; `verify` checks all files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from lfmm2._checks import check_path
from lfmm2._words import some_of
from lfmm2.errors import LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.files import find_damaged_files, read_note, read_record, repeated
from lfmm2.results.file_names import earlier_record_of, prefix_of, record_of
from lfmm2.results.record import RunRecord


def find_record(results: str | os.PathLike[str]) -> Path:
    """Return the path of the record of a run, given by its --out, the record itself or another of its files.

    Raises
    ------
    UsageError, ReadError
        UsageError if the name is empty; ReadError if there is no record, as when the run is not complete, or a folder
        cannot be read.
    """
    check_path(results, "results")
    if not os.fspath(results):
        raise UsageError("the name of the results is empty; give the --out of a run")
    given = Path(results)
    with translated_reading(given):
        if given.suffix == ".json" and given.is_file():
            return given
        # The name of the root folder and of "." is empty.
        if given.name and record_of(given).is_file():
            return record_of(given)
        if given.name and earlier_record_of(given).is_file() and read_note(earlier_record_of(given)) is not None:
            return earlier_record_of(given)
        if given.is_dir():
            raise ReadError(f"{given}: is a folder; give the --out of a run")
        if given.exists():
            return _record_beside(given)
        is_begun = Path(f"{prefix_of(given)}.state").is_dir()
    remedy = "give the --out of a run" + (", or go on with --resume if it was interrupted" if is_begun else "")
    raise ReadError(f"{given}: no results of this name; {remedy}")


def _record_beside(file: Path) -> Path:
    """Return the path of the record that lists a file; raise ReadError if there is none."""
    beginning = file.name
    while "." in beginning:
        beginning = beginning.rpartition(".")[0]
        if not beginning:
            break
        record, earlier = record_of(file.with_name(beginning)), earlier_record_of(file.with_name(beginning))
        if record.is_file() and file.name in read_record(record)["files"]:
            return record
        listed = (read_note(earlier) or {}).get("files") if earlier.is_file() else None
        if isinstance(listed, dict) and file.name in listed:
            return earlier
    raise ReadError(f"{file}: no record (.lfmm2.json) beside it lists this file; give the --out of a run")


def open_record(path: Path) -> RunRecord:
    """Return the record of a run, after a check of its SHA-256 and of every entry.

    Raises
    ------
    ReadError
        If the record cannot be read.
    MalformedInputError
        If it has changed since it was written, or is not the record of a run.
    """
    with translated_reading(path), path.open("rb"):
        pass  # for its message: `read_record` takes a file that cannot be opened for a run that is not complete
    record = RunRecord.from_json(read_record(path), path)
    if fault := _find_fault(record):
        raise MalformedInputError(f"{path}: {fault}; no record as lfmm2 writes it, run again")
    return record


def verify(results: str | os.PathLike[str]) -> dict[str, int]:
    """Read all files of a run again and compare them with the sizes and SHA-256 in its record.

    Parameters
    ----------
    results : path
        The `out` of the run, or any of its files.

    Returns
    -------
    dict of str to int
        Bytes of each file, by name.

    Raises
    ------
    ReadError
        If the record is absent, as when the run is not complete, or a file cannot be read.
    MalformedInputError
        If the record or a file has changed since the run, or a file is absent; the message names all such files.
    UsageError
        If `results` is an empty text.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> data = lfmm2.simulate(folder / "plants", n_samples=100, n_snps=2000, seed=1)
    >>> result = lfmm2.run(None, data.bed, data.env, K=3, out=folder / "result")
    >>> len(lfmm2.verify(folder / "result"))
    7
    """
    path = find_record(results)
    record = open_record(path)
    if faults := find_damaged_files(path, record.to_json()):
        raise MalformedInputError(f"{prefix_of(path)}: {'; '.join(faults)}; copy them again, or run again")
    sizes = {name: stamp.bytes for name, stamp in record.files.items()}
    return sizes | {path.name: path.stat().st_size}


def _find_fault(record: RunRecord) -> str:
    """Return in words a value that no record of a run can have, although its type is right; empty if there is none."""
    for name in record.files:
        if not _is_file_name(name):
            return f"it lists {name!r}, which is no name of a file"
    names = record.variables
    if not names or "" in names or repeated(names):
        return f"it lists {some_of(repeated(names))} twice" if repeated(names) else "it lists no variables"
    if list(record.calibration.variables) != names or (record.calibration.joint is None) != (len(names) == 1):
        return f"its calibration is not of {some_of(names)}"
    return ""


def _is_file_name(name: str) -> bool:
    """Tell whether a name can be that of a file in the folder of the record."""
    try:
        return Path(name).name == name and name not in ("", "..") and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def translated_reading(path: Path) -> Iterator[None]:
    """Raise errors of the system as ReadError, and those of pyarrow and of what it reads as MalformedInputError."""
    try:
        yield
    except LfmmError:
        raise
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        # Errors of decompression come from pyarrow as OSErrors without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check path and disk") from error
        raise MalformedInputError(f"{path}: damaged, or no table ({error}); copy it again, or run again") from error
