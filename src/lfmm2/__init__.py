"""Exact LFMM2 at any scale."""
