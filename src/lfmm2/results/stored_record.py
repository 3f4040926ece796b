"""The record of a finished run: found by any name of the run, checked for what is read from it, and its files too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lfmm2._words import some_of
from lfmm2.errors import LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.files import find_damaged_files, read_record, repeated
from lfmm2.results.stored_facts import check_facts


def find_record(results: str | os.PathLike[str]) -> Path:
    """The record of a run, by the --out of the run, the record itself or another of its files.

    Raises
    ------
    UsageError, ReadError
        If the name is empty; if there is no such file, as where the run is not complete, or a folder may not be read.
    """
    if not os.fspath(results):
        raise UsageError("the name of the results is empty; give the --out of a run")
    given = Path(results)
    with _reading(given):
        if given.suffix == ".json" and given.is_file():
            return given
        # the root and "." have no name
        if given.name and given.with_name(given.name + ".json").is_file():
            return given.with_name(given.name + ".json")
        if given.is_dir():
            raise ReadError(f"{given}: is a folder; give the --out of a run")
        if given.exists():
            return _record_beside(given)
        is_begun = given.with_name(given.name.removesuffix(".json") + ".state").is_dir()
    remedy = "give the --out of a run" + (", or go on with --resume if it was interrupted" if is_begun else "")
    raise ReadError(f"{given}: no results of this name; {remedy}")


def _record_beside(file: Path) -> Path:
    """The record that lists a file."""
    beginning = file.name
    while "." in beginning:
        beginning = beginning.rpartition(".")[0]
        record = file.with_name(beginning + ".json")
        if beginning and record.is_file() and file.name in read_record(record)["files"]:
            return record
    raise ReadError(f"{file}: no record (.json) beside it lists this file; give the --out of a run")


def open_record(path: Path) -> dict[str, Any]:
    """The record of a run, after a check of its SHA-256 and of what is read from it.

    Raises
    ------
    ReadError, MalformedInputError
        If it cannot be read; if it is not as it was written, or not that of a run.
    """
    with _reading(path), path.open("rb"):
        pass  # that it is there is known, so another sentence than that of `read_record` is due
    record = read_record(path)
    if fault := _fault(record):
        raise MalformedInputError(f"{path}: no record of a run of lfmm2, {fault}; run again")
    check_facts(record, path)
    return record


def verify(results: str | os.PathLike[str]) -> dict[str, int]:
    """Read all files of a run again and compare them with the sizes and SHA-256 in its record.

    Parameters
    ----------
    results : path
        The prefix that was the run's `out`, or any of its files.

    Returns
    -------
    dict of str to int
        Bytes of each file, by name.

    Raises
    ------
    ReadError
        If the record is absent, so that the run is not complete, or a file cannot be read.
    MalformedInputError
        If the record or a file is not as the run wrote it, or a file is absent; the message names all of them.

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
    if faults := find_damaged_files(path, record):
        raise MalformedInputError(f"{path.with_suffix('')}: {'; '.join(faults)}; copy them again, or run again")
    sizes = {name: int(stamp["bytes"]) for name, stamp in record["files"].items()}
    return sizes | {path.name: path.stat().st_size}


def _fault(record: dict[str, Any]) -> str:
    """What is otherwise than any version writes it in the parts that no record lacks; empty if nothing."""
    for name, stamp in record["files"].items():
        if not _is_file_name(name):
            return f"it lists {name!r}, which is no name of a file"
        if not isinstance(stamp, dict) or not _is_count(stamp.get("bytes")) or not isinstance(stamp.get("sha256"), str):
            return f"it has no size and SHA-256 of {name}"
    variables = record.get("variables")
    if not isinstance(variables, list) or not all(isinstance(name, str) and name for name in variables):
        return "its variables are no list of names"
    if not variables or repeated(variables):
        return "it lists no variables" if not variables else f"it lists {some_of(repeated(variables))} twice"
    for part, entry in (("tested", "n_snps_used"), ("factors", "K")):
        if not isinstance(record.get(part), dict) or not _is_count(record[part].get(entry)):
            return f"its {part} have no count {entry}"
    return ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_file_name(name: str) -> bool:
    """Whether this may be the name of a file in the folder of the record."""
    try:
        return Path(name).name == name and name not in ("", "..") and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except LfmmError:
        raise
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check path and disk") from error
