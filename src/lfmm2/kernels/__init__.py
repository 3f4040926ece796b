"""Compiled loops over packed genotypes, beside those of `lfmm2._core`: missing calls filled and counted, linkage."""

from lfmm2.kernels import _impute, _ld, _missing

__all__ = ["_impute", "_ld", "_missing"]
