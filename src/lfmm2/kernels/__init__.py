"""Compiled loops beside those of `lfmm2._core`: Gram matrix, products, pairs, calls, linkage, a VCF, functions."""

from lfmm2.kernels import _bgen, _gram, _gram_float32, _impute, _ld, _missing, _pack, _pairs, _pieces, _products, _vcf

__all__ = [
    "_bgen",
    "_gram",
    "_gram_float32",
    "_impute",
    "_ld",
    "_missing",
    "_pack",
    "_pairs",
    "_pieces",
    "_products",
    "_vcf",
]
