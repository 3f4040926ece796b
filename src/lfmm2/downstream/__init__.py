"""Analyses of a finished run: lists of hits, and genetic offset."""

from lfmm2.downstream.hits import collect_hits, find_hits, hits_paths, write_hits
from lfmm2.downstream.offset import genetic_offset

__all__ = ["collect_hits", "find_hits", "genetic_offset", "hits_paths", "write_hits"]
