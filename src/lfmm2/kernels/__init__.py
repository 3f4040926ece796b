"""Compiled loops over packed genotypes, beside those of `lfmm2._core`: Gram matrix, products, pairs, calls, linkage."""

from lfmm2.kernels import _gram, _impute, _ld, _missing, _pairs, _gram_float32

__all__ = ["_gram", "_impute", "_ld", "_missing", "_pairs", "_gram_float32"]
