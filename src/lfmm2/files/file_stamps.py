"""Whether a file is still the one that was opened: its size, inode and times."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from lfmm2._typing import AnyPath
from lfmm2._words import with_spaces
from lfmm2.errors import ChangedInputError, ReadError


class FileStamp:
    """Size, inode and times of a file, by which `check` tells later if the file has changed.

    The time of the last change of status (ctime) is one of them, because programs that copy a file put back its time
    of change of contents (mtime), but none can put back its ctime.

    Parameters
    ----------
    path : path
    file : binary file, optional
        The file, if it is open already: what is read from it is what the stamp is of.
    """

    def __init__(self, path: AnyPath, file: BinaryIO | None = None) -> None:
        self.path = Path(path)
        try:
            self._seen = self.path.stat() if file is None else os.fstat(file.fileno())
        except OSError as error:
            raise ReadError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
        self.n_bytes = self._seen.st_size
        self.mtime_ns = self._seen.st_mtime_ns

    @property
    def place(self) -> tuple[int, int]:
        """Return the device and the inode of the file, which all of its names share."""
        return self._seen.st_dev, self._seen.st_ino

    def check(self, file: BinaryIO | None = None) -> None:
        """Raise ChangedInputError if the file has changed since it was opened, or ReadError if it is gone.

        `file` is the file, opened again; without it the file of this name is looked at.
        """
        then = self._seen
        try:
            now = self.path.stat() if file is None else os.fstat(file.fileno())
        except OSError as error:
            raise ReadError(f"{self.path}: is gone ({error.strerror}); put it back") from error
        if now.st_size != then.st_size:
            how = f"{with_spaces(then.st_size)} bytes then, {with_spaces(now.st_size)} now"
        elif now.st_ino != then.st_ino:
            how = "another file has its name now"
        elif now.st_mtime_ns != then.st_mtime_ns:
            how = "it was written or touched"
        elif now.st_ctime_ns != then.st_ctime_ns:
            how = "it was written and its old time put back, or its permissions or links were changed"
        else:
            return
        raise ChangedInputError(f"{self.path}: was changed since it was opened ({how}); start again")
