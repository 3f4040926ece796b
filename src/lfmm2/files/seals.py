"""SHA-256 of files, and JSON that carries its own: the manifest of results, and notes of an unfinished run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError, ReadError

_SEAL = "sha256"
# End of the text of an object that has entries.
_END = b"\n}\n"
# Exceptions that come from reading text that is no sealed JSON.
_NOT_SEALED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def stamp_of(path: Path) -> dict[str, Any]:
    """Return the size and the SHA-256 of a file."""
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def matches(path: Path, stamp: dict[str, Any]) -> bool:
    """Return True if a file has the size and the SHA-256 of a stamp.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    try:
        return bool(path.stat().st_size == stamp["bytes"] and stamp_of(path)["sha256"] == stamp["sha256"])
    except OSError as error:
        raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check the disk") from error


def seal_json(entries: dict[str, Any]) -> bytes:
    """Return entries as UTF-8 JSON whose last entry is the SHA-256 of the text without it."""
    return _sealed(_as_text(entries))


def _as_text(entries: dict[str, Any]) -> bytes:
    """Return entries as UTF-8 JSON, the same bytes for the same entries."""
    text = json.dumps(entries, indent=2, allow_nan=False, ensure_ascii=False, default=str) + "\n"
    # Names of files may hold bytes that are no UTF-8.
    return text.encode(errors="backslashreplace")


def _sealed(text: bytes) -> bytes:
    """Return the text of `_as_text` with its SHA-256 as a further entry, which is the same as encoding all again."""
    begin = text.removesuffix(_END) + b"," if text.endswith(_END) else b"{"  # No entry: the text is {}.
    return begin + f'\n  "{_SEAL}": "{hashlib.sha256(text).hexdigest()}"'.encode() + _END


def unseal_json(text: bytes) -> dict[str, Any] | None:
    """Return the entries of sealed JSON without the seal; None where the text is none, or the seal is not its own."""
    try:
        return _unseal_json(text)
    except _NOT_SEALED:
        return None


def _unseal_json(text: bytes) -> dict[str, Any] | None:
    """Return the entries of sealed JSON without the seal; None where the seal is not that of the text.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, RecursionError
        If the text is no JSON, or has no seal.
    """
    entries: dict[str, Any] = json.loads(text)
    del entries[_SEAL]
    begin, mark, _ = text.rpartition(f'\n  "{_SEAL}": '.encode())
    without = begin.removesuffix(b",") + _END if entries else b"{}\n"
    return entries if mark and _sealed(without) == text else None


def read_note(path: Path) -> dict[str, Any] | None:
    """Return the entries of a file of sealed JSON; None where it is absent or damaged."""
    try:
        return unseal_json(path.read_bytes())
    except OSError:
        return None


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a run, after a check of its own SHA-256.

    Raises
    ------
    ReadError
        If the record cannot be read; a run without a record is not complete.
    MalformedInputError
        If the record is not as it was written.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read ({error.strerror}); it comes last, so a run without it is not complete: "
            "go on with --resume"
        ) from error
    try:
        record = _unseal_json(text)
        if record is not None and isinstance(record["files"], dict):
            return record
    except _NOT_SEALED as error:
        raise MalformedInputError(f"{path}: is damaged, or no record of lfmm2 ({error}); run again") from error
    raise MalformedInputError(f"{path}: is not as the run wrote it, its SHA-256 differs; run again")


def find_damaged_files(path: Path, record: dict[str, Any]) -> list[str]:
    """Say in words what is wrong with each file that the record at `path` lists; empty where nothing is."""
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
