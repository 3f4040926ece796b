"""The command line: arguments, messages and exit codes."""

from lfmm2.cli.program import main, start

__all__ = ["main", "start"]
