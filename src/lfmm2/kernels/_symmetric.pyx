# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Products of a matrix in memory with few columns, C S, in which C is read once.

dgemm copies its arguments to its own order first, which for few columns takes as long as the product itself.
"""

from cython.parallel cimport prange
from libc.string cimport memset

cdef extern from "_symmetric.h":
    const int LFMM2_FOUR
    const int LFMM2_MOST_COLUMNS
    const int LFMM2_ROWS

    ctypedef void (*lfmm2_row_multiplier)(
        const double* const* rows, const double* S, Py_ssize_t stride, Py_ssize_t n_terms, double* out
    ) noexcept nogil
    lfmm2_row_multiplier* lfmm2_multiply_rows
    int lfmm2_use_row_multiplier(int level) noexcept nogil

MULTIPLIERS = ("baseline", "avx2")


def use_multiplier(str name):
    """Multiply from now on with one of `MULTIPLIERS`, or the widest that the processor has, and return its name.

    Both give the same bits; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in MULTIPLIERS:
        raise ValueError(f"{name!r} is not one of {', '.join(MULTIPLIERS)}")
    return MULTIPLIERS[lfmm2_use_row_multiplier(MULTIPLIERS.index(name))]


use_multiplier("avx2")

cdef enum:
    # Terms that are added up together: four rows of C and, of up to 24 columns, their part of S stay in the L2 cache.
    CHUNK = 1024
    # Rows of C that a thread multiplies at a time.
    BAND = 32

#: Columns up to which this takes less time than dgemm, which fuses multiplication and addition.
MOST_COLUMNS = 24


def multiply_few(
    const double[:, ::1] C,        # IN (n, m)
    const double[:, ::1] S,        # IN (m, l), l a multiple of 4
    double[:, ::1] out,            # OUT (n, l)
    int n_threads=1,
):
    """Multiply a matrix with few columns.

        out = C S

    Parameters
    ----------
    C : ndarray of shape (n, m), float64, C-contiguous
    S : ndarray of shape (m, l), float64, C-contiguous
        l is a multiple of 4.
    out : ndarray of shape (n, l), float64, C-contiguous
        Overwritten.
    n_threads : int

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    2 n m l flops, without copies: C is read from memory once. Sums of 1 024 terms are added up in their order, so the
    bits depend neither on threads nor on the processor. Threads own disjoint rows.
    """
    cdef Py_ssize_t n = C.shape[0], m = C.shape[1], l = S.shape[1]  # noqa: E741
    cdef Py_ssize_t n_bands = (n + BAND - 1) // BAND, band
    if S.shape[0] != m or out.shape[0] != n or out.shape[1] != l or l % LFMM2_FOUR or n_threads < 1:
        shapes = f"({n}, {m}), ({S.shape[0]}, {l}) and ({out.shape[0]}, {out.shape[1]})"
        raise ValueError(f"C, S and out have shapes {shapes}; not (n, m), (m, l) and (n, l), l a multiple of 4")
    if n == 0 or l == 0:
        return
    memset(&out[0, 0], 0, n * l * sizeof(double))
    if m == 0:
        return
    for band in prange(n_bands, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        multiply_band(&C[0, 0], n, m, &S[0, 0], l, band, &out[0, 0])


cdef void multiply_band(
    const double* C, Py_ssize_t n, Py_ssize_t m, const double* S, Py_ssize_t l, Py_ssize_t band,  # noqa: E741
    double* out,
) noexcept nogil:
    """Multiply the rows of a band."""
    cdef double sums[4 * 12]
    cdef const double* rows[4]
    cdef Py_ssize_t stop = min((band + 1) * BAND, n), begin, i, r, c, column, n_columns
    begin = 0
    while begin < m:
        i = band * BAND
        while i < stop:
            for r in range(LFMM2_ROWS):
                rows[r] = C + min(i + r, stop - 1) * m + begin  # The last row again where there is none.
            column = 0
            while column < l:
                n_columns = min(l - column, <Py_ssize_t> LFMM2_MOST_COLUMNS)
                lfmm2_multiply_rows[n_columns // LFMM2_FOUR - 1](
                    rows, S + begin * l + column, l, min(m - begin, <Py_ssize_t> CHUNK), sums
                )
                for r in range(min(stop - i, <Py_ssize_t> LFMM2_ROWS)):
                    for c in range(n_columns):
                        out[(i + r) * l + column + c] += sums[LFMM2_MOST_COLUMNS * r + c]
                column += n_columns
            i += LFMM2_ROWS
        begin += CHUNK
