# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Differences between the calls of pairs of samples, on planes of one bit for each SNP.

A sample becomes three planes of one bit per SNP: H, homozygous; S, homozygous with dosage 0; C, called. Let |.| be the
number of set bits. Over the SNPs called in both samples x and y,

    called = |Cx Cy|    opposite = |Hx Hy (Sx xor Sy)|    one step = |Hx Cy| + |Hy Cx| - 2 |Hx Hy|

where opposite calls are homozygous for different alleles, and calls one step apart are of a homozygote and a
heterozygote. All of these are integers, so nothing depends on threads or processors.
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "_popcount.h":
    const int LFMM2_PLANE_WORDS

    ctypedef struct lfmm2_planes:
        const uint64_t* homozygous
        const uint64_t* zero
        const uint64_t* called

    ctypedef struct lfmm2_overlap:
        int64_t both_homozygous
        int64_t opposite
        int64_t both_called
        int64_t homozygous_x
        int64_t zero_x
        int64_t homozygous_y
        int64_t zero_y

    lfmm2_planes lfmm2_planes_of(const uint64_t* snp, Py_ssize_t n_words) noexcept nogil
    void lfmm2_count_complete(
        lfmm2_planes x, lfmm2_planes y, Py_ssize_t n_words, lfmm2_overlap* out
    ) noexcept nogil
    void lfmm2_count_partial(
        lfmm2_planes x, lfmm2_planes y, Py_ssize_t n_words, lfmm2_overlap* out
    ) noexcept nogil
    int lfmm2_use_counter(int level) noexcept nogil

# The widest registers that the processor has.
lfmm2_use_counter(2)


def plane_words(Py_ssize_t n_snps):
    """Return the 64-bit words of one plane of `n_snps` SNPs, in whole registers."""
    cdef Py_ssize_t bits = 64 * LFMM2_PLANE_WORDS
    return LFMM2_PLANE_WORDS * ((n_snps + bits - 1) // bits)


def count_differences(
    const uint64_t[:, :, ::1] planes,     # IN (n_samples, 3, n_words)
    const int64_t[::1] n_called,          # IN (n_samples,)
    const int64_t[::1] n_homozygous,      # IN (n_samples,)
    Py_ssize_t n_snps,
    Py_ssize_t first,
    Py_ssize_t stop,
    int32_t[:, ::1] called_out,           # OUT (stop - first, n_samples)
    int32_t[:, ::1] one_step_out,         # OUT (stop - first, n_samples)
    int32_t[:, ::1] opposite_out,         # OUT (stop - first, n_samples)
    int n_threads=1,
):
    """Compare the samples from `first` to `stop` with all samples after each of them.

    Parameters
    ----------
    planes : ndarray of shape (n_samples, 3, n_words), uint64, C-contiguous
        Planes H, S and C of each sample; n_words is a multiple of 8, spare bits are zero.
    n_called, n_homozygous : ndarray of shape (n_samples,), int64
        Set bits of C and of H.
    n_snps : int
        Number of SNPs in the planes.
    first, stop : int
        Samples of the rows of the output.
    called_out, one_step_out, opposite_out : ndarray of shape (stop - first, n_samples), int32, C-contiguous
        Overwritten with the numbers of SNPs called in both, one step apart and opposite; 0 up to the sample itself.
    n_threads : int

    Notes
    -----
    Reads two bits per SNP and pair where both samples have all calls, else three.
    """
    cdef Py_ssize_t n = planes.shape[0], n_words = planes.shape[2], j
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if planes.shape[1] != 3 or n_words % LFMM2_PLANE_WORDS or n_words * 64 < n_snps:
        raise ValueError(f"planes must have shape (n_samples, 3, multiple of {LFMM2_PLANE_WORDS} words of 64 SNPs)")
    if n_called.shape[0] != n or n_homozygous.shape[0] != n:
        raise ValueError(f"n_called and n_homozygous must have shape ({n},)")
    if not 0 <= first <= stop <= n:
        raise IndexError(f"samples {first} to {stop} of {n}")
    check_shape(called_out, stop - first, n)
    check_shape(one_step_out, stop - first, n)
    check_shape(opposite_out, stop - first, n)
    if stop == first:
        return
    # The planes of a sample are compared with a whole band while they are in the cache.
    for j in prange(
        first + 1, n, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=16, use_threads_if=n_threads > 1
    ):
        compare_with_band(
            &planes[0, 0, 0], n, n_words, &n_called[0], &n_homozygous[0], n_snps, first, min(stop, j), j,
            &called_out[0, 0], &one_step_out[0, 0], &opposite_out[0, 0]
        )


cdef void check_shape(int32_t[:, ::1] out, Py_ssize_t n_rows, Py_ssize_t n) except *:
    """Raise ValueError if an output has another shape, and fill it with 0."""
    if out.shape[0] != n_rows or out.shape[1] != n:
        raise ValueError(f"outputs must have shape ({n_rows}, {n})")
    out[:, :] = 0


cdef void compare_with_band(
    const uint64_t* planes, Py_ssize_t n, Py_ssize_t n_words, const int64_t* n_called, const int64_t* n_homozygous,
    Py_ssize_t n_snps, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t j, int32_t* called, int32_t* one_step,
    int32_t* opposite
) noexcept nogil:
    """Compare one sample with those of a band before it."""
    cdef lfmm2_planes y = lfmm2_planes_of(planes + 3 * n_words * j, n_words)
    cdef lfmm2_planes x
    cdef lfmm2_overlap both
    cdef Py_ssize_t i, place
    for i in range(first, stop):
        x = lfmm2_planes_of(planes + 3 * n_words * i, n_words)
        if n_called[i] == n_snps and n_called[j] == n_snps:
            lfmm2_count_complete(x, y, n_words, &both)
            both.both_called = n_snps
            both.homozygous_x = n_homozygous[i]
            both.homozygous_y = n_homozygous[j]
        else:
            lfmm2_count_partial(x, y, n_words, &both)
        place = (i - first) * n + j
        called[place] = <int32_t> both.both_called
        one_step[place] = <int32_t> (both.homozygous_x + both.homozygous_y - 2 * both.both_homozygous)
        opposite[place] = <int32_t> both.opposite
