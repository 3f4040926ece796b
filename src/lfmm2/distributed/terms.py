"""What a worker must share with the run so that its bits are those of the run: software, segments, and files."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lfmm2._words import with_spaces
from lfmm2.errors import ReadError, WorkerError
from lfmm2.files import FileStamp
from lfmm2.genotypes import segment_snps
from lfmm2.process import software

# Versions that the bits of a pass depend on. Those of Python and Arrow do not matter to workers, nor does OpenMP.
_COMPUTES = ("lfmm2", "numpy", "scipy", "blas", "instructions", "machine")
# Bytes at the beginning and at the end of a file that are compared.
_END_BYTES = 4096


class RefusedWorkerError(WorkerError):
    """A worker that would compute something else than the run; another attempt would not change this."""


def worker_name() -> str:
    """Return the name of this process in messages: host and number."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class FileView:
    """A file as a process sees it: size, time of change, and the SHA-256 of its first and last bytes."""

    path: str
    n_bytes: int
    mtime_ns: int
    ends: str

    @classmethod
    def of(cls, path: Path) -> FileView:
        """Look at a file.

        Raises
        ------
        ReadError
            If it cannot be read.
        """
        stamp = FileStamp(path)
        try:
            with path.open("rb") as file:
                first = file.read(_END_BYTES)
                file.seek(max(stamp.n_bytes - _END_BYTES, 0))
                last = file.read(_END_BYTES)
        except OSError as error:
            raise ReadError(f"{path}: cannot be read ({error.strerror}); check the disk") from error
        return cls(str(path), stamp.n_bytes, stamp.mtime_ns, hashlib.sha256(first + last).hexdigest())

    def difference(self) -> str:
        """Say how this process sees the file otherwise; empty if it sees the same."""
        try:
            here = FileView.of(Path(self.path))
        except ReadError as error:
            return str(error).partition(";")[0]
        if here.n_bytes != self.n_bytes:
            return f"{self.path} has {with_spaces(here.n_bytes)} bytes there, {with_spaces(self.n_bytes)} here"
        if here.ends != self.ends:
            return f"{self.path} has other first or last bytes there"
        if here.mtime_ns != self.mtime_ns:
            return f"{self.path} was changed at another time there"
        return ""


@dataclass(frozen=True)
class Terms:
    """The software of a run and the files of its genotypes.

    Attributes
    ----------
    versions : tuple of (str, str)
        Name and version of everything that the bits of a pass depend on.
    segment_snps : int
    files : tuple of FileView
    """

    versions: tuple[tuple[str, str], ...]
    segment_snps: int
    files: tuple[FileView, ...]

    @classmethod
    def of_run(cls, stamps: Sequence[FileStamp]) -> Terms:
        """Return the terms of this process and of these files."""
        return cls(_versions(), segment_snps(), tuple(FileView.of(stamp.path.absolute()) for stamp in stamps))

    def check(self) -> None:
        """Raise RefusedWorkerError, with the name of this process, if it would compute something else than the run."""
        here = dict(_versions())
        found = [
            f"{name} {here[name]} there, {version} here" for name, version in self.versions if here[name] != version
        ]
        if segment_snps() != self.segment_snps:
            found.append(f"segments of {segment_snps()} SNPs there, {self.segment_snps} here")
        if found:
            remedy = "use machines and installations of one kind (OPENBLAS_CORETYPE chooses a kernel that all have)"
            raise RefusedWorkerError(
                f"the worker {worker_name()} would give other last digits: {', '.join(found)}; {remedy}"
            )
        found = [fact for file in self.files if (fact := file.difference())]
        if found:
            remedy = "give paths that are the same files on all machines"
            raise RefusedWorkerError(
                f"the worker {worker_name()} does not see the same genotypes: {found[0]}; {remedy}"
            )


def _versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of this process."""
    versions = software()
    return tuple((name, versions[name]) for name in _COMPUTES)
