# cython: language_level=3, boundscheck=False, wraparound=False
"""Rows of packed genotypes decoded by the kernels of the installed lfmm2, called without the GIL."""

from libc.stdint cimport int64_t, uint8_t

from lfmm2._core cimport KERNEL_API, count_snp, decode_snp, genotype_values

from lfmm2 import _core

if _core.KERNEL_API_VERSION != KERNEL_API:
    raise ImportError("compiled for another version of lfmm2; install this package again")


def decode_centred(const uint8_t[:, ::1] packed, Py_ssize_t n_samples, double[:, ::1] dosage_out):
    """Write the imputed and centred genotypes of packed SNPs, shape (n_snps, n_samples)."""
    cdef int64_t[4] counts
    cdef double[4] values
    cdef Py_ssize_t snp
    if packed.shape[1] != (n_samples + 3) // 4 or dosage_out.shape[0] != packed.shape[0] \
            or dosage_out.shape[1] != n_samples:
        raise ValueError("packed genotypes and output do not fit together")
    with nogil:
        for snp in range(packed.shape[0]):
            count_snp(&packed[snp, 0], n_samples, counts)
            genotype_values(counts, 0, values)
            decode_snp(&packed[snp, 0], n_samples, values, &dosage_out[snp, 0])


def decode_counts(const uint8_t[:, ::1] packed, Py_ssize_t n_samples, double[:, ::1] dosage_out):
    """Write the copies of A2 of packed SNPs, NaN where missing, shape (n_snps, n_samples)."""
    cdef double[4] values = [0.0, float("nan"), 1.0, 2.0]
    cdef Py_ssize_t snp
    if packed.shape[1] != (n_samples + 3) // 4 or dosage_out.shape[0] != packed.shape[0] \
            or dosage_out.shape[1] != n_samples:
        raise ValueError("packed genotypes and output do not fit together")
    with nogil:
        for snp in range(packed.shape[0]):
            decode_snp(&packed[snp, 0], n_samples, values, &dosage_out[snp, 0])
