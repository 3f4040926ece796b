"""Printing: that standard output cannot be written is an error, that standard error cannot be written is not."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from lfmm2.errors import WriteError


def give_up_output() -> None:
    """Discard the text in the buffer of standard output, which Python would try to write again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a line on standard output.

    Raises
    ------
    WriteError
        If standard output cannot be written.
    """
    try:
        click.echo(text)
    except OSError as error:
        give_up_output()
        if isinstance(error, BrokenPipeError):
            raise WriteError(
                "standard output was closed by its reader; send it to a file, or let it be read"
            ) from error
        raise WriteError(f"standard output cannot be written, {error.strerror}; send it elsewhere") from error


def whisper(text: str) -> None:
    """Print a line on standard error; if that cannot be written, go on."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
