# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Calls of a byte each, as libraries for foreign formats give them, packed to two bits as in a .bed.

    copies of A1           0    1    2    missing
    lowest bits of a byte  00   01   10   11, as of −1, −9 and 3
    code of a .bed         11   10   00   01

Pad bits are zero.
"""

from libc.stdint cimport int8_t, uint8_t


cdef extern from "_pack.h" nogil:
    ctypedef void (*lfmm2_packer)(const int8_t* calls, Py_ssize_t n, uint8_t* packed) noexcept
    lfmm2_packer lfmm2_choose_packer(int level)


#: Levels of `pack_calls`: the baseline of the platform, and AVX2 where the processor has it.
BASELINE, FASTEST = range(2)


def pack_calls(
    const int8_t[:, ::1] calls,    # IN (n_snps, n_samples)
    uint8_t[:, ::1] packed_out,    # OUT (n_snps, ceil(n_samples / 4))
    int level=1,
):
    """Pack copies of A1 to two bits each.

    Parameters
    ----------
    calls : ndarray of shape (n_snps, n_samples), int8, C-contiguous
        0, 1 or 2 copies of A1; −1, −9 or 3 where missing. Of other values the lowest two bits count.
    packed_out : ndarray of shape (n_snps, ceil(n_samples / 4)), uint8, C-contiguous
        Overwritten with the bytes of a .bed.
    level : int
        `BASELINE` or `FASTEST`; both give the same.
    """
    cdef Py_ssize_t n_snps = calls.shape[0], n_samples = calls.shape[1], j
    cdef lfmm2_packer pack = lfmm2_choose_packer(level)
    if packed_out.shape[0] != n_snps or packed_out.shape[1] != (n_samples + 3) // 4:
        raise ValueError(
            f"{n_snps} SNPs of {n_samples} samples, but room for {packed_out.shape[0]} of {packed_out.shape[1]} bytes"
        )
    if n_samples == 0:
        return
    with nogil:
        for j in range(n_snps):
            pack(&calls[j, 0], n_samples, &packed_out[j, 0])
