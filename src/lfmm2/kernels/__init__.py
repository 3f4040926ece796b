"""Compiled loops over packed genotypes, beside those of `lfmm2._core`: sums, products, pairs, missing calls, LD."""

from lfmm2.kernels import _gram, _impute, _ld, _missing, _pairs, _products

__all__ = ["_gram", "_impute", "_ld", "_missing", "_pairs", "_products"]
