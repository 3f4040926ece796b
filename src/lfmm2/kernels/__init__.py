"""Compiled loops beside those of `lfmm2._core`: Gram matrix, products, numbers, pairs, linkage, VCF, functions."""

from lfmm2.kernels import (
    _calls,
    _gram,
    _gram_float32,
    _impute,
    _ld,
    _missing,
    _numbers,
    _pairs,
    _pieces,
    _products,
    _vcf,
)

__all__ = [
    "_calls", "_gram", "_gram_float32", "_impute", "_ld", "_missing", "_numbers", "_pairs", "_pieces", "_products",
    "_vcf",
]  # fmt: skip
