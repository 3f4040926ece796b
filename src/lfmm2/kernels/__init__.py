"""Compiled loops beside those of `lfmm2._core`: Gram matrix, pairs, missing calls, linkage, lines of a VCF."""

from lfmm2.kernels import _gram, _impute, _ld, _missing, _pairs, _vcf

__all__ = ["_gram", "_impute", "_ld", "_missing", "_pairs", "_vcf"]
