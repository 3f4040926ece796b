"""Types of the arguments of functions: what is no value of the right type is a UsageError, not a TypeError later on."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from numbers import Integral, Real

from lfmm2._words import shortened
from lfmm2.errors import UsageError


def quoted(value: object) -> str:
    """Return a value as messages quote it, on one line of at most 60 characters."""
    try:
        return shortened(" ".join(repr(value).split()))
    except Exception:
        return f"a value of the type {type(value).__name__}"


def is_flag(value: object) -> bool:
    """Return True for True and False, also those of NumPy."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def is_number(value: object) -> bool:
    """Return True for a real number that a float can hold, but not for True and False."""
    if is_flag(value) or not isinstance(value, Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_whole(value: object) -> bool:
    """Return True for a whole number, but not for True and False."""
    return isinstance(value, Integral) and not is_flag(value)


def is_count(value: object) -> bool:
    """Return True for a whole number from 0 on."""
    return isinstance(value, Integral) and not is_flag(value) and int(value) >= 0


def is_path(value: object) -> bool:
    """Return True for a text or an `os.PathLike` that can be the name of a file."""
    try:
        text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except (TypeError, ValueError):
        return False


def is_id(value: object) -> bool:
    """Return True for a text or a whole number, which IDs may be, and for the `os.PathLike` of a file of them."""
    return isinstance(value, str) or is_whole(value) or (isinstance(value, os.PathLike) and is_path(value))


def is_executor(value: object) -> bool:
    """Return True for an executor of PEP 3148, which has `submit`, and for a function or class that makes one."""
    return callable(value) or can_submit(value)


def can_submit(value: object) -> bool:
    """Return True for an object, not a class, with a method `submit`."""
    return not isinstance(value, type) and callable(getattr(value, "submit", None))


def are(value: object, rule: Callable[[object], bool]) -> bool:
    """Return True for a collection in which `rule` is true of everything."""
    if isinstance(value, bytes | str) or not isinstance(value, Collection):
        return False
    try:
        return all(map(rule, value))
    except TypeError:
        return False  # An array of NumPy without dimensions is no collection, although it seems to be one.


def check_path(value: object, name: str) -> None:
    """Raise UsageError unless a value can be the name of a file."""
    if not is_path(value):
        raise UsageError(f"{name} is {quoted(value)}; give the name of a file as text or pathlib.Path, without NUL")


def check_flag(value: object, name: str) -> None:
    """Raise UsageError unless a value is True or False."""
    if not is_flag(value):
        raise UsageError(f"{name} is {quoted(value)}; give True or False")


def check_number(value: object, name: str) -> None:
    """Raise UsageError unless a value is a real number."""
    if not is_number(value):
        raise UsageError(f"{name} is {quoted(value)}; give a number")


def check_word(value: object, name: str, words: Collection[str]) -> None:
    """Raise UsageError unless a value is one of some words."""
    if not isinstance(value, str) or value not in words:
        raise UsageError(f"{name} is {quoted(value)}; it is one of {', '.join(words)}")


def check_progress(value: object, or_flag: bool) -> None:
    """Raise UsageError unless a value is a receiver of progress or None, or with `or_flag` True or False."""
    parts = (getattr(value, part, None) for part in ("start", "advance", "finish"))
    if value is None or (or_flag and is_flag(value)) or (not isinstance(value, type) and all(map(callable, parts))):
        return
    raise UsageError(f"progress is {quoted(value)}; give {'True, False or ' if or_flag else ''}an lfmm2.Progress")


def check_population_column(value: object) -> None:
    """Raise UsageError unless a value may name the column of the samples that has their populations."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"env_by is {quoted(value)}; give the name of a column of the samples, such as FID")
    if value.strip().upper() == "IID":
        raise UsageError("env_by is 'IID', by which rows are matched without it; leave it out")


def check_missing_code(value: object) -> None:
    """Raise UsageError unless a value is a number or a text that a cell may have, several in a collection, or None."""
    if value is not None and not _is_code(value) and not are(value, _is_code):
        raise UsageError(f"missing_code is {quoted(value)}; give a number or a text, or several in a list")


def _is_code(value: object) -> bool:
    return is_number(value) or (isinstance(value, str) and value.isprintable())
