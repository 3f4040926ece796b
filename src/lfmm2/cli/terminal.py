"""Lines for people: standard output, whose failure is an error, and standard error, whose failure is not."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from lfmm2.errors import WriteError


def give_up_output() -> None:
    """Send what is left in the buffer of standard output nowhere; Python would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print on standard output."""
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
    """Print on standard error; that it cannot be written to is no reason to stop."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
