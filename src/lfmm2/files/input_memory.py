"""The memory that reading inputs takes, held against the budget of the run that reads them.

Readers tell what they hold by `note_input_memory`; within the block of `InputMemory.watched` it is compared with the
budget. A reader thus needs no argument for it, as it needs none for the number of open files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lfmm2._typing import AnyPath
from lfmm2._words import mebibytes
from lfmm2.errors import InsufficientMemoryError

# Bytes up to which an input is read whatever the budget: the plan of the run, which counts them too, then names the
# memory of the whole run. A larger value would let a small budget be exceeded while inputs are read.
_SMALL_INPUT = 64 << 20
# Bytes that a small run takes beside its inputs, so that the memory named is enough for it.
_BESIDE = 32 << 20


class InputMemory:
    """The largest number of bytes that one input took while it was read.

    Parameters
    ----------
    budget : int
        Bytes that an input may take.

    Attributes
    ----------
    peak : int
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.peak = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Compare all inputs that are read in the block with the budget."""
        token = _watching.set(self)
        try:
            yield
        finally:
            _watching.reset(token)


_watching: ContextVar[InputMemory | None] = ContextVar("lfmm2_input_memory", default=None)


def input_budget() -> int | None:
    """Return the bytes that an input may take; None without limit."""
    memory = _watching.get()
    return None if memory is None else memory.budget


def note_input_memory(path: AnyPath, n_bytes: int, expected: int | None = None, remedy: str = "") -> None:
    """Take note of the bytes that an input takes so far; `expected` are those of the whole input, if they are known.

    Raises
    ------
    InsufficientMemoryError
        If they are more than the budget; `remedy` says what can be done beside raising it.
    """
    memory = _watching.get()
    if memory is not None:
        memory.peak = max(memory.peak, n_bytes)
        check_input_memory(path, n_bytes, expected, remedy)


def check_input_memory(path: AnyPath, n_bytes: int, expected: int | None = None, remedy: str = "") -> None:
    """Raise InsufficientMemoryError as `note_input_memory`, for an input that the plan of the run counts by itself."""
    memory = _watching.get()
    if memory is not None and n_bytes > max(memory.budget, _SMALL_INPUT):
        needed = (n_bytes if expected is None else expected) + _BESIDE
        fact = f"a run that reads it takes about {mebibytes(needed)}"
        fact += f", but the memory budget is {mebibytes(memory.budget)}"
        error = InsufficientMemoryError(f"{path}: {fact}; raise --memory{remedy and f', or {remedy}'}")
        error.minimum = needed
        raise error
