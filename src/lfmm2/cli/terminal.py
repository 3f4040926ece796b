"""Printing: that standard output cannot be written is an error, that standard error cannot be written is not.

Warnings and errors are lines for people, or objects of JSON after `speak_json`.

All text for people passes through here, and no character of a file that a terminal would obey does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

from lfmm2._words import json_event, visible
from lfmm2.errors import WriteError

# True if standard error has events for programs in place of lines for people.
_json = False


def speak_json(wanted: bool) -> None:
    """Choose JSON or lines for people for all that follows on standard error."""
    global _json
    _json = wanted


def occupy_standard_streams() -> None:
    """Open the null device in place of each standard stream that was closed before the program began.

    Otherwise the next file that is opened has the number of the closed stream, and messages of libraries go into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The system gives the lowest number that is free, which is this one.


def give_up_output() -> None:
    """Discard the text in the buffer of standard output, which Python would try to write again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print lines on standard output.

    Raises
    ------
    WriteError
        If standard output cannot be written.
    """
    if sys.stdout is None:
        raise WriteError("standard output is closed; send it to a file, or to /dev/null")
    try:
        click.echo(visible(text, in_lines=True))
    except OSError as error:
        give_up_output()
        if isinstance(error, BrokenPipeError):
            raise WriteError(
                "standard output was closed by its reader; send it to a file, or let it be read"
            ) from error
        raise WriteError(f"standard output cannot be written, {error.strerror}; send it elsewhere") from error


def whisper(text: str, in_lines: bool = False) -> None:
    """Print a line, or several with `in_lines`, on standard error; if that cannot be written, go on."""
    with contextlib.suppress(OSError):
        click.echo(visible(text, in_lines), err=True)


def tell(event: str, text: str, **facts: Any) -> None:
    """Print a warning, an error or a note on standard error, in the form that `speak_json` has chosen.

    Parameters
    ----------
    event : str
        What it is: "warning", "error", "note" or "interrupted".
    text : str
    **facts
        Further facts for programs, which people see in the text or need not see.
    """
    if _json:
        whisper(json_event(event, message=text, **facts))
    elif event in ("warning", "error"):
        whisper(f"{event.capitalize()}: {text}")
    else:
        whisper(text)


def tell_program(event: str, **facts: Any) -> None:
    """Print an event on standard error for programs; nothing unless `speak_json` has chosen JSON."""
    if _json:
        whisper(json_event(event, **facts))
