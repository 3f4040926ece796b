"""Compiled loops over packed genotypes, beside those of `lfmm2._core`: filling of missing calls, linkage."""

from lfmm2.kernels import _impute, _ld

__all__ = ["_impute", "_ld"]
