"""Analyses of a finished run: lists of hits, and genetic offset."""

from lfmm2.downstream.hits import check_hits_paths, collect_hits, find_hits, write_hits
from lfmm2.downstream.offset import genetic_offset

__all__ = ["check_hits_paths", "collect_hits", "find_hits", "genetic_offset", "write_hits"]
