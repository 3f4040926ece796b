"""The same dgemm calls as the kernels make, on a tile that is decoded already: what the kernels are measured against.

The function pointer is that of `scipy.linalg.cython_blas`, so it is the same BLAS in the same process. Arguments are
made once; what remains of a call from Python is under a microsecond.
"""

from __future__ import annotations

import ctypes

import numpy as np
import scipy.linalg.cython_blas

from lfmm2.genotypes.engine import plan_tiling

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule = scipy.linalg.cython_blas.__pyx_capi__["dgemm"]
_dgemm = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(_pointer(_capsule, _name(_capsule)))


class Call:
    """One dgemm with fixed arguments: C (m, n) = op(A) op(B) + beta C in column-major terms."""

    def __init__(self, op_a, op_b, m, n, k, a, ld_a, b, ld_b, beta, c, ld_c):
        integers = [ctypes.c_int(v) for v in (m, n, k, ld_a, ld_b, ld_c)]
        reals = [ctypes.c_double(v) for v in (1.0, beta)]
        texts = [ctypes.create_string_buffer(t) for t in (op_a, op_b)]
        self._alive = integers, reals, texts
        address = [ctypes.addressof(v) for v in integers]
        one, beta_address = (ctypes.addressof(v) for v in reals)
        op_a_address, op_b_address = (ctypes.addressof(t) for t in texts)
        self.arguments = (
            op_a_address, op_b_address, address[0], address[1], address[2], one, a, address[3], b, address[4],
            beta_address, c, address[5],
        )  # fmt: skip


class BareProducts:
    """The calls of `gram_product` and `cross_products` for a number of tiles, without decoding."""

    def __init__(self, n_samples, n_columns):
        tiling = plan_tiling(n_samples, n_columns)
        b, chunk = tiling.tile_snps, tiling.chunk_samples
        rng = np.random.default_rng(0)
        self.tile_snps = b
        self._arrays = tile, S, Z, G = (
            rng.standard_normal((b, chunk)),
            rng.standard_normal((n_samples, n_columns)),
            np.zeros((b, n_columns)),
            np.zeros((n_samples, n_columns), order="F"),
        )
        starts = range(0, n_samples, chunk)
        sizes = [min(chunk, n_samples - start) for start in starts]
        y, s, z, g = (array.ctypes.data for array in (tile, S, Z, G))
        self._gram_float32 = [
            Call(
                b"N",
                b"N",
                n_columns,
                b,
                size,
                s + 8 * start * n_columns,
                n_columns,
                y,
                size,
                float(start > 0),
                z,
                n_columns,
            )
            for start, size in zip(starts, sizes, strict=True)
        ]
        self._sums = [
            Call(b"N", b"T", size, n_columns, b, y, size, z, n_columns, 1.0, g + 8 * start, n_samples)
            for start, size in zip(starts, sizes, strict=True)
        ]

    def cross_products(self, n_snps):
        """As many calls as a pass of `cross_products` over `n_snps` makes."""
        calls = [call.arguments for call in self._gram_float32]
        for _ in range(n_snps // self.tile_snps):
            for arguments in calls:
                _dgemm(*arguments)

    def gram_product(self, n_snps):
        """As many calls as a pass of `gram_product` over `n_snps` makes."""
        calls = [call.arguments for call in self._gram_float32 + self._sums]
        for _ in range(n_snps // self.tile_snps):
            for arguments in calls:
                _dgemm(*arguments)


def square_dgemm(size=2000):
    """A function that multiplies two square matrices, and its flops."""
    A, B = np.random.default_rng(0).standard_normal((2, size, size))
    C = np.zeros((size, size))
    call = Call(b"N", b"N", size, size, size, A.ctypes.data, size, B.ctypes.data, size, 0.0, C.ctypes.data, size)
    call.arrays = A, B, C
    return lambda: _dgemm(*call.arguments), 2 * size**3
