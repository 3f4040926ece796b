"""The command line: arguments, lines for people, exit codes."""

from lfmm2.cli.program import main

__all__ = ["main"]
