"""What a converted file was like: to see that it stays the same meanwhile, and to know it again by its contents.

A VCF Zarr may be a folder, of which all files are looked at, or lie elsewhere behind a URL: then nothing can be told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from lfmm2.errors import ChangedInputError, ReadError
from lfmm2.files import FileStamp, stamp_of
from lfmm2.formats.zarr_store import is_url


class SourceStamp(Protocol):
    """A file or folder as it was when it was opened."""

    path: Path

    def check(self) -> None:
        """Raise ReadError if it has changed."""


class FolderStamp:
    """Names, sizes and times of all files of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._look()

    def _look(self) -> dict[str, tuple[int, int]]:
        try:
            return {
                name: (status.st_size, status.st_mtime_ns)
                for name, file in _files_of(self.path)
                for status in [file.stat()]
            }
        except OSError as error:
            raise ReadError(f"{self.path}: cannot be read ({error.strerror or error}); check it") from error

    def check(self) -> None:
        """Raise ChangedInputError if a file of the folder was changed, added or removed."""
        now = self._look()
        changed = sorted(name for name in {*self._seen, *now} if self._seen.get(name) != now.get(name))
        if changed:
            raise ChangedInputError(f"{self.path}: {changed[0]} was changed since it was opened; start again")


class RemoteStamp:
    """A store behind a URL, of which no change can be seen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Do nothing."""


def stamp_source(path: Path) -> SourceStamp:
    """Return the stamp of a file, a folder, or a URL."""
    if path.is_dir():
        return FolderStamp(path)
    if is_url(path) and not path.exists():
        return RemoteStamp(path)
    return FileStamp(path)


def digest_source(path: Path) -> dict[str, Any] | None:
    """Return the size and the SHA-256 of a file, or of the names and contents of a folder; None if there is none."""
    if path.is_file():
        return stamp_of(path)
    if not path.is_dir():
        return None
    digest, n_bytes = hashlib.sha256(), 0
    for name, file in _files_of(path):
        stamp = stamp_of(file)
        n_bytes += stamp["bytes"]
        digest.update(f"{stamp['sha256']} {name}\n".encode())
    return {"bytes": n_bytes, "sha256": digest.hexdigest()}


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the files of a folder and their names in it, in a fixed order."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(path, name)
            yield str(file.relative_to(folder)), file
