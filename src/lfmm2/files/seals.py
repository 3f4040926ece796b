"""SHA-256 of files, and small notes that carry their own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lfmm2.errors import ReadError


def matches(path: Path, stamp: dict[str, Any]) -> bool:
    """Whether a file has this size and SHA-256.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    try:
        if path.stat().st_size != stamp["bytes"]:
            return False
        with path.open("rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == stamp["sha256"])
    except OSError as error:
        raise ReadError(f"{path}: cannot be read, {error.strerror or error}; check the disk") from error


def sealed_note(value: Any) -> bytes:
    """JSON on a line, its SHA-256 on the line before."""
    text = json.dumps(value).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def read_note(path: Path) -> Any:
    """The value of a `sealed_note`; None where the file is absent or damaged."""
    try:
        digest, text = path.read_bytes().split(b"\n", 1)
        if hashlib.sha256(text.rstrip(b"\n")).hexdigest().encode() != digest:
            return None
        return json.loads(text)
    except (OSError, ValueError):
        return None
