"""Readers that can decode what they read in several threads: compressed genotypes, whose reading takes longest."""

from __future__ import annotations

from typing import TypeVar

Reader = TypeVar("Reader")


def reading_memory(reader: object, n_threads: int) -> int:
    """Return the bytes of memory that reading in some threads takes: what its method of this name tells, else none."""
    tell = getattr(reader, "reading_memory", None)
    return 0 if tell is None else int(tell(n_threads))


def read_in_threads(reader: Reader, n_threads: int) -> Reader:
    """Return a reader of the same genotypes that decodes in some threads, by its method of this name; else itself."""
    if (give := getattr(reader, "read_in_threads", None)) is None:
        return reader
    other: Reader = give(n_threads)
    return other
