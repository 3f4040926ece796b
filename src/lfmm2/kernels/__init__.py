"""Compiled loops over packed genotypes, beside those of `lfmm2._core`: missing calls, linkage, pairs of samples."""

from lfmm2.kernels import _impute, _ld, _missing, _pairs

__all__ = ["_impute", "_ld", "_missing", "_pairs"]
