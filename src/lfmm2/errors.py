"""Every error and warning that lfmm2 raises on purpose.

One class per kind, so that a caller can tell a damaged file from a wrong parameter, and the command line
can map each to its exit code. A message states the fact, the values and the remedy, in that order, and
names the file with its line or byte offset.
"""

from __future__ import annotations

from lfmm2._words import visible


def _as_visible(args: tuple[object, ...]) -> list[object]:
    """Return the arguments of an exception, in which texts can be seen."""
    return [visible(value) if isinstance(value, str) else value for value in args]


class LfmmError(Exception):
    """Base of all errors raised by lfmm2; ``exit_code`` is what the command line ends with.

    A message is one line of text that can be seen: characters of files that a terminal would obey are escaped.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*_as_visible(args))


class UsageError(LfmmError, ValueError):
    """A parameter or option is unknown, out of range or in conflict with another."""

    exit_code = 2


class MalformedInputError(LfmmError, ValueError):
    """A file is not what its name says: wrong first bytes, wrong size, a cell that is no number."""

    exit_code = 3


class InconsistentInputError(LfmmError, ValueError):
    """Inputs are sound one by one but do not fit together: sample IDs, SNP counts."""

    exit_code = 4


class DegenerateProblemError(LfmmError, ValueError):
    """The model has no answer on these data: collinear or constant variables, no degrees of freedom."""

    exit_code = 5


class ReadError(LfmmError, OSError):
    """An input cannot be opened or read, or changed while it was being read."""

    exit_code = 6


class ChangedInputError(ReadError):
    """A file of genotypes changed while the run read it: what was computed from it cannot be trusted."""


class WriteError(LfmmError, OSError):
    """An output cannot be written; nothing was left under its final name."""

    exit_code = 7


class InsufficientMemoryError(LfmmError, MemoryError):
    """The memory budget is below what the plan needs; the message names the minimum.

    Attributes
    ----------
    minimum : int or None
        Bytes with which the same run is accepted, where that is known.
    """

    exit_code = 8
    minimum: int | None = None


class OutputExistsError(LfmmError, FileExistsError):
    """An output exists already, or another run holds it."""

    exit_code = 9


class WorkerError(LfmmError, RuntimeError):
    """Worker processes are lost, do not answer, or would compute something else than this run."""

    exit_code = 10


class LfmmWarning(UserWarning):
    """Base of all warnings of lfmm2; a message is one line of text that can be seen, as that of `LfmmError`."""

    def __init__(self, *args: object) -> None:
        super().__init__(*_as_visible(args))


class ConvergenceWarning(LfmmWarning):
    """The factors did not reach the requested tolerance."""


class CalibrationWarning(LfmmWarning):
    """The genomic inflation factor lies where the calibrated p-values deserve a second look."""


class InputWarning(LfmmWarning):
    """An input is legal but probably not what was meant."""
