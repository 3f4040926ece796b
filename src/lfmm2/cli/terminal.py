"""Printing: that standard output cannot be written is an error, that standard error cannot be written is not.

All text for people passes through here, and no character of a file that a terminal would obey does.
"""

from __future__ import annotations

import contextlib
import os
import sys

import click

from lfmm2._words import visible
from lfmm2.errors import WriteError


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
