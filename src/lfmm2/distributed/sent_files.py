"""What all tasks of a pass need, written once to the shared file system, where the workers read it."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from lfmm2.errors import WorkerError
from lfmm2.files import WholeFile

# End of the names of these files in the state folder of a run.
ENDING = ".sent"
# Contents that a worker keeps: those of the matrix and of the pass, and of another thread of the same process. More
# take memory, with fewer each task reads them again.
_MOST_KEPT = 4


@dataclass(frozen=True)
class SentFile:
    """A file with one pickled value, and the SHA-256 of its bytes, by which a worker knows that it is this one."""

    path: str
    sha256: str

    def load(self) -> Any:
        """Return the value, which is kept for the next tasks of this process.

        Raises
        ------
        WorkerError
            If this process does not see the file as it was sent.
        """
        with _LOCK:
            if self.sha256 in _KEPT:
                _KEPT.move_to_end(self.sha256)
                return _KEPT[self.sha256]
        try:
            text = Path(self.path).read_bytes()
        except OSError as error:
            fact = f"{self.path}: cannot be read ({error.strerror})"
            raise WorkerError(f"{fact}; put --out on a file system that all workers share") from error
        if hashlib.sha256(text).hexdigest() != self.sha256:
            raise WorkerError(f"{self.path}: is not what was sent; put --out on a file system that all workers share")
        value = pickle.loads(text)
        with _LOCK:
            _KEPT[self.sha256] = value
            while len(_KEPT) > _MOST_KEPT:
                _KEPT.popitem(last=False)
        return value

    def check_wanted(self) -> None:
        """Raise WorkerError if the pass has ended, which removes the file: nobody waits for what is computed."""
        if not os.path.exists(self.path):  # noqa: PTH110, an unreadable folder is no error here
            raise WorkerError(f"{self.path}: is gone, the pass has ended without this task")


_KEPT: OrderedDict[str, Any] = OrderedDict()
_LOCK = Lock()


def send(folder: Path, value: Any) -> SentFile:
    """Write a value to a new file in a folder, and return where it is.

    The name is never used twice, so that a worker that was left over from another run does not take it for its own.
    """
    text = pickle.dumps(value, protocol=5)
    path = folder.absolute() / f"{os.urandom(8).hex()}{ENDING}"
    with WholeFile(path, durable=False) as file:
        file.write(text)
    return SentFile(str(path), hashlib.sha256(text).hexdigest())


def take_back(sent: SentFile) -> None:
    """Remove a file that was sent; tasks that still run stop where they look for it."""
    Path(sent.path).unlink(missing_ok=True)
