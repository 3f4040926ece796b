"""Compiled loops beside those of `lfmm2._core`: Gram matrix, products, numbers, pairs, linkage, VCF, functions."""

from lfmm2.kernels import (
    _bgen,
    _calls,
    _gram,
    _gram_float32,
    _impute,
    _ld,
    _missing,
    _numbers,
    _pack,
    _pairs,
    _pieces,
    _products,
    _symmetric,
    _vcf,
)

__all__ = [
    "_bgen", "_calls", "_gram", "_gram_float32", "_impute", "_ld", "_missing", "_numbers", "_pack", "_pairs", "_pieces",
    "_products", "_symmetric", "_vcf",
]  # fmt: skip
