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
cdef void products_of_tile(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* S, Py_ssize_t l, double beta, double* Z,
) noexcept nogil
cdef void add_tile_transposed(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* Z, Py_ssize_t l, double beta, double* G, Py_ssize_t ld_G,
) noexcept nogil
