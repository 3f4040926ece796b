"""``python -m lfmm2`` is the command line."""

from lfmm2.cli import start

start()
