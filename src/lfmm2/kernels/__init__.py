"""Compiled loops beside those of `lfmm2._core`: Gram matrix, pairs, missing calls, linkage; values of functions."""

from lfmm2.kernels import _gram, _impute, _ld, _missing, _pairs, _pieces

__all__ = ["_gram", "_impute", "_ld", "_missing", "_pairs", "_pieces"]
