"""Interface of the genotype kernels for other Cython packages: ``from lfmm2._core cimport count_snp, decode_snp``.

KERNEL_API is the version of this interface. It grows by one whenever a function is removed or changes its arguments or
their meaning; a new function does not change it. Cython compares the arguments when a package that was compiled with
this file is imported, and raises TypeError if they differ. Their meaning is compared by the package itself:

    from lfmm2 import _core
    from lfmm2._core cimport KERNEL_API

    if _core.KERNEL_API_VERSION != KERNEL_API:
        raise ImportError("compiled for another version of lfmm2; install this package again")

No function needs the GIL, allocates memory, starts a thread, or can fail: pointers and sizes are not checked. Sizes are
numbers of elements, unless bytes are named. A packed SNP is a row of a PLINK .bed: two bits a genotype, four samples a
byte from the lowest bits on, ``(n_samples + 3) // 4`` bytes, pad bits of any value. Its codes 00, 01, 10, 11 are 0,
missing, 1 and 2 copies of A2, and are counted in this order.
"""

from libc.stdint cimport int64_t, uint8_t


cdef enum:
    KERNEL_API = 1

cdef enum Coding:
    # Bits of `coding`: COUNT_A1 counts the other allele, SCALE divides by sqrt(2f(1-f)). 0 is neither.
    COUNT_A1 = 1
    SCALE = 2

# Count the codes of one packed SNP into counts[4].
cdef void count_snp(const uint8_t* snp, Py_ssize_t n_samples, int64_t* counts) noexcept nogil

# Compute values[4] from counts[4]: the imputed and centred value of each code, all 0 if no call differs from another.
cdef void genotype_values(const int64_t* counts, int coding, double* values) noexcept nogil

# Replace each genotype of one packed SNP by the value of its code, into dosage[n_samples].
cdef void decode_snp(
    const uint8_t* snp, Py_ssize_t n_samples, const double* values, double* dosage
) noexcept nogil

# Z = tile S + beta Z by dgemm: tile is (n_snps, chunk) with rows ld_tile apart, S (chunk, l), Z (n_snps, l), C order.
cdef void products_of_tile(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* S, Py_ssize_t l, double beta, double* Z,
) noexcept nogil

# G = tile^T Z + beta G by dgemm: G is (chunk, l) in Fortran order with columns ld_G apart, the others as above.
cdef void add_tile_transposed(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* Z, Py_ssize_t l, double beta, double* G, Py_ssize_t ld_G,
) noexcept nogil
