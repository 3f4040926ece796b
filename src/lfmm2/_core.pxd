"""C declarations of the genotype kernels; ``cimport lfmm2._core`` to call them without the GIL."""

from libc.stdint cimport int64_t, uint8_t


cdef enum Coding:
    # Bits of the `coding` argument of every kernel that decodes.
    COUNT_A1 = 1
    SCALE = 2

cdef void count_snp(const uint8_t* snp, Py_ssize_t n_samples, int64_t* counts) noexcept nogil
cdef void genotype_values(const int64_t* counts, int coding, double* values) noexcept nogil
cdef void decode_snp(
    const uint8_t* snp, Py_ssize_t n_samples, const double* values, double* dosage
) noexcept nogil
