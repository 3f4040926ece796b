"""Whether results are as the run wrote them: the manifest in the record, and a second look at every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.seals import matches

_SEAL = "sha256"


def sealed_json(record: dict[str, Any]) -> bytes:
    """A record as UTF-8 JSON whose last entry is the SHA-256 of the text without it."""
    return _as_text(record | {_SEAL: hashlib.sha256(_as_text(record)).hexdigest()})


def _as_text(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False, default=str) + "\n"
    # names of files may hold bytes that are no UTF-8
    return text.encode(errors="backslashreplace")


def read_record(path: Path) -> dict[str, Any]:
    """The record of a run, after a check of its own SHA-256.

    Raises
    ------
    ReadError
        If it is absent: then the run is not complete.
    MalformedInputError
        If it is not as it was written.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read ({error.strerror}); it comes last, so a run without it is not complete: "
            "go on with --resume"
        ) from error
    try:
        record: dict[str, Any] = json.loads(text)
        del record[_SEAL]
        intact = sealed_json(record) == text and isinstance(record["files"], dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedInputError(f"{path}: is damaged, or no record of lfmm2 ({error}); run again") from error
    if not intact:
        raise MalformedInputError(f"{path}: is not as the run wrote it, its SHA-256 differs; run again")
    return record


def damaged_files(path: Path, record: dict[str, Any]) -> list[str]:
    """What is wrong with the files beside a record at `path`, in words; empty where nothing is."""
    faults = []
    for name, stamp in record["files"].items():
        file = path.with_name(name)
        if not file.exists():
            faults.append(f"{name} is absent")
        elif not matches(file, stamp):
            size = file.stat().st_size
            differs = "other contents" if size == stamp["bytes"] else f"{with_spaces(size)} bytes"
            faults.append(f"{name} has {differs}, not the {with_spaces(stamp['bytes'])} bytes that were written")
    return faults
