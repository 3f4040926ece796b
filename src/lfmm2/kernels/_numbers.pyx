# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Products of numbers that are no packed calls: methylation, expression, dosages; NaN is missing.

A block is an array (n_features, n_samples) of any type of `number`, with any strides, so that the array of a user is
read where it lies. A *tile* is some features of all samples in double precision, in the L2 cache of one thread:
missing values stand at the mean of the feature, and the feature is centred (_numbers.h). dgemm reads it from there,
and no block in double precision exists.

Sums do not depend on the number of threads: rows of an output belong to one tile, sums over features are kept for each
group of tiles and added in the order of the groups, and squares of a Gram matrix belong to one thread each.

An infinite value makes the mean of its feature infinite, and its centred values 0; callers look at the means.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uintptr_t
from scipy.linalg.cython_blas cimport dgemm, dsyrk, sgemm, ssyrk

from lfmm2._core cimport add_tile_transposed, products_of_tile

include "blas_int.pxi"

cdef extern from "_numbers.h":
    ctypedef struct lfmm2_number_facts:
        int64_t n_called
        double mean
        double squares
        double variance
        double cubes
        double fourths

    lfmm2_number_facts lfmm2_centre_row(double* row, Py_ssize_t n, double sum, bint with_powers) noexcept nogil
    double lfmm2_sum_row(const double* row, Py_ssize_t n) noexcept nogil
    double lfmm2_squares_of_row(const double* row, Py_ssize_t n) noexcept nogil

ctypedef fused number:
    float
    double
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t

ctypedef fused real:
    float
    double

cdef enum:
    # Doubles in a cache line of 64 bytes, and samples that are read together.
    CACHE_LINE = 8
    # Doubles of a tile: half of the L2 cache of current server cores.
    TILE = 65_536
    # Fewest and most features of a tile: those of one cache line of float32, and no more than a group.
    LEAST_FEATURES = 16
    MOST_FEATURES = 128
    # Features whose products are summed before they are added to the others.
    GROUP = 512

#: Features of a group; a sum over features changes its last digits with another number.
GROUP_FEATURES = GROUP
#: Columns of `moments_out`.
N_MOMENTS = 5


def tile_features(Py_ssize_t n_samples):
    """Return the number of features of a tile, which divides `GROUP_FEATURES`."""
    cdef Py_ssize_t features = LEAST_FEATURES
    while features < MOST_FEATURES and 2 * features * n_samples <= TILE:
        features *= 2
    return features


def workspace_size(Py_ssize_t n_samples, Py_ssize_t l):
    """Return the doubles of workspace that one thread needs for a tile and its products with ``l`` columns."""
    return tile_features(n_samples) * (n_samples + l) + 2 * CACHE_LINE


cdef inline double* cache_line(double* work) noexcept nogil:
    """Return the next multiple of 64 bytes."""
    return <double*> ((<uintptr_t> work + 63) & ~(<uintptr_t> 63))


cdef void read_tile(
    const number* first, Py_ssize_t feature_bytes, Py_ssize_t sample_bytes, const int64_t* samples,
    bint consecutive, Py_ssize_t n_samples, Py_ssize_t n_features, double* tile,
) noexcept nogil:
    """Copy features of chosen samples into the rows of `tile` (n_features, n_samples)."""
    cdef Py_ssize_t i, j, ii
    cdef const char* base = <const char*> first
    cdef const char* at
    cdef const number* row
    cdef const char* rows[8]
    cdef double* at_tile
    if sample_bytes == sizeof(number) and consecutive:
        for j in range(n_features):
            row = <const number*> (base + j * feature_bytes) + samples[0]
            at_tile = tile + j * n_samples
            for i in range(n_samples):
                at_tile[i] = <double> row[i]
        return
    if sample_bytes == sizeof(number) or feature_bytes > sample_bytes or feature_bytes < 0:
        for j in range(n_features):
            at = base + j * feature_bytes
            for i in range(n_samples):
                tile[j * n_samples + i] = <double> (<const number*> (at + samples[i] * sample_bytes))[0]
        return
    # Eight samples are read side by side, so that a whole cache line of each row of the tile is written at a time.
    i = 0
    while i + CACHE_LINE <= n_samples:
        for ii in range(CACHE_LINE):
            rows[ii] = base + samples[i + ii] * sample_bytes
        for j in range(n_features):
            at_tile = tile + j * n_samples + i
            for ii in range(CACHE_LINE):
                at_tile[ii] = <double> (<const number*> (rows[ii] + j * feature_bytes))[0]
        i += CACHE_LINE
    while i < n_samples:
        at = base + samples[i] * sample_bytes
        for j in range(n_features):
            tile[j * n_samples + i] = <double> (<const number*> (at + j * feature_bytes))[0]
        i += 1


cdef void centre_tile(
    double* tile, Py_ssize_t n_features, Py_ssize_t n_samples, bint with_powers, double* moments,
) noexcept nogil:
    """Centre the rows of a tile, and write the number of called samples, mean and moments of each."""
    cdef Py_ssize_t j
    cdef double* row
    cdef lfmm2_number_facts facts
    for j in range(n_features):
        row = tile + j * n_samples
        facts = lfmm2_centre_row(row, n_samples, lfmm2_sum_row(row, n_samples), with_powers)
        moments[0], moments[1], moments[2] = <double> facts.n_called, facts.mean, facts.squares
        moments[3] = facts.cubes / (facts.variance * sqrt(facts.variance))
        moments[4] = facts.fourths / (facts.variance * facts.variance) - 3
        moments += 5


cdef bint check(
    Py_ssize_t n_all, const int64_t[::1] samples, Py_ssize_t n_features, double[:, ::1] moments_out,
    double[:, ::1] work, Py_ssize_t l, int n_threads,
) except -1:
    """Return whether the samples are consecutive; ValueError or IndexError for what lies outside of an array."""
    cdef Py_ssize_t i, n = samples.shape[0]
    cdef bint consecutive = True
    if n_threads < 1 or work.shape[0] < n_threads or work.shape[1] < workspace_size(n, l):
        raise ValueError(f"workspace of {work.shape[0]} × {work.shape[1]} doubles is too small for {n_threads} threads")
    if n < 1 or <Py_ssize_t> (<blas_int> n) != n:
        raise ValueError(f"{n} samples are none, or do not fit the integers of BLAS")
    if moments_out.shape[0] != n_features or moments_out.shape[1] != N_MOMENTS:
        raise ValueError(f"moments_out must have shape ({n_features}, {N_MOMENTS})")
    for i in range(n):
        if samples[i] < 0 or samples[i] >= n_all:
            raise IndexError(f"samples[{i}] is {samples[i]}, outside [0, {n_all})")
        consecutive = consecutive and samples[i] == samples[0] + i
    return consecutive


def centre(
    const number[:, :] values,         # IN (n_features, n_all)
    const int64_t[::1] samples,        # IN (n_samples,)
    real[:, ::1] centred_out,          # OUT (n_features, n_samples)
    double[:, ::1] moments_out,        # OUT (n_features, 5)
    double[:, ::1] work,               # WORK (n_threads, workspace_size(n_samples, 0))
    int n_threads=1,
    bint with_powers=False,
):
    """Centre a block, with missing values at the mean of the feature.

    Parameters
    ----------
    values : ndarray of shape (n_features, n_all), any strides
        NaN where missing; not modified.
    samples : ndarray of shape (n_samples,), int64
        Columns of `values` to use, in this order.
    centred_out : ndarray of shape (n_features, n_samples), float32 or float64, C-contiguous
        Overwritten; centred in float64, and rounded at the end.
    moments_out : ndarray of shape (n_features, 5), float64
        Overwritten with the number of called samples, the mean (NaN without a value, infinite with an infinite value),
        the sum of squares of the centred values, and two columns of NaN.
    work : ndarray of shape (>= n_threads, >= workspace_size(n_samples, 0)), float64
        Overwritten.
    n_threads : int
    with_powers : bool
        Write skewness and excess kurtosis too, as `cross_products` does.
    """
    cdef Py_ssize_t n = samples.shape[0], n_features = values.shape[0], n_tiles, tile = tile_features(samples.shape[0])
    cdef Py_ssize_t t, b, first, i
    cdef double* row
    cdef bint consecutive = check(values.shape[1], samples, n_features, moments_out, work, 0, n_threads)
    if centred_out.shape[0] != n_features or centred_out.shape[1] != n:
        raise ValueError(f"centred_out must have shape ({n_features}, {n})")
    if n_features == 0:
        return
    n_tiles = (n_features + tile - 1) // tile
    for t in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        first = t * tile
        b = min(tile, n_features - first)
        row = cache_line(&work[threadid(), 0])
        read_tile(&values[first, 0], values.strides[0], values.strides[1], &samples[0], consecutive, n, b, row)
        centre_tile(row, b, n, with_powers, &moments_out[first, 0])
        for i in range(b * n):
            (&centred_out[first, 0])[i] = <real> row[i]


def cross_products(
    const number[:, :] values,         # IN (n_features, n_all)
    const int64_t[::1] samples,        # IN (n_samples,)
    const double[:, ::1] W,            # IN (n_samples, m)
    double[:, ::1] moments_out,        # OUT (n_features, 5)
    double[:, ::1] products_out,       # OUT (n_features, m)
    double[:, ::1] work,               # WORK (n_threads, workspace_size(n_samples, m))
    int n_threads=1,
):
    """Compute Y_b W of every feature of the block, Y_b centred with missing values at the mean, and its moments.

    Parameters
    ----------
    values, samples, work, n_threads
        As in `centre`, with the workspace of m columns.
    W : ndarray of shape (n_samples, m), float64, C-contiguous
    moments_out : ndarray of shape (n_features, 5), float64
        Overwritten with the number of called samples, mean, sum of squares of the centred values, skewness and excess
        kurtosis with ddof 0, which are NaN without variation.
    products_out : ndarray of shape (n_features, m), float64, C-contiguous
        Overwritten.

    Notes
    -----
    2 n m flops per feature, and about 20 n for the moments. Cache: one tile and W per thread.
    """
    cdef Py_ssize_t n = samples.shape[0], m = W.shape[1], n_features = values.shape[0], n_tiles
    cdef Py_ssize_t tile = tile_features(samples.shape[0]), t, b, first
    cdef double* rows
    cdef bint consecutive = check(values.shape[1], samples, n_features, moments_out, work, m, n_threads)
    if W.shape[0] != n or m < 1 or products_out.shape[0] != n_features or products_out.shape[1] != m:
        raise ValueError(f"W must have {n} rows and at least one column, products_out shape ({n_features}, {m})")
    if n_features == 0:
        return
    n_tiles = (n_features + tile - 1) // tile
    for t in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        first = t * tile
        b = min(tile, n_features - first)
        rows = cache_line(&work[threadid(), 0])
        read_tile(&values[first, 0], values.strides[0], values.strides[1], &samples[0], consecutive, n, b, rows)
        centre_tile(rows, b, n, True, &moments_out[first, 0])
        products_of_tile(rows, b, n, n, &W[0, 0], m, 0.0, &products_out[first, 0])


def multiply(
    const double[:, ::1] block,        # IN (n_features, n_samples)
    const double[:, ::1] W,            # IN (n_samples, m)
    double[:, ::1] products_out,       # OUT (n_features, m)
    double[::1] squares_out,           # OUT (n_features,)
    int n_threads=1,
):
    """Compute block @ W and sums of squares as `cross_products` does: rows with the same values have the same bits.

    Parameters
    ----------
    block : ndarray of shape (n_features, n_samples), float64, C-contiguous
        Centred.
    W : ndarray of shape (n_samples, m), float64, C-contiguous
    products_out : ndarray of shape (n_features, m), float64, C-contiguous
    squares_out : ndarray of shape (n_features,), float64
        Both overwritten.
    n_threads : int
    """
    cdef Py_ssize_t n = block.shape[1], m = W.shape[1], n_features = block.shape[0], n_tiles, t, j, first
    cdef Py_ssize_t tile = tile_features(block.shape[1])
    if n_threads < 1 or n < 1 or <Py_ssize_t> (<blas_int> n) != n:
        raise ValueError(f"{n} samples are none, or do not fit the integers of BLAS, or there is no thread")
    if W.shape[0] != n or m < 1 or products_out.shape[0] != n_features or products_out.shape[1] != m:
        raise ValueError(f"W must have {n} rows and at least one column, products_out shape ({n_features}, {m})")
    if squares_out.shape[0] != n_features:
        raise ValueError(f"squares_out must have shape ({n_features},)")
    if n_features == 0:
        return
    n_tiles = (n_features + tile - 1) // tile
    for t in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        first = t * tile
        for j in range(first, min(first + tile, n_features)):
            squares_out[j] = lfmm2_squares_of_row(&block[j, 0], n)
        products_of_tile(
            &block[first, 0], min(tile, n_features - first), n, n, &W[0, 0], m, 0.0, &products_out[first, 0]
        )


def gram_product(
    const number[:, :] values,         # IN (n_features, n_all)
    const int64_t[::1] samples,        # IN (n_samples,)
    const double[:, ::1] S,            # IN (n_samples, l)
    double[::1, :] G_out,              # IN/OUT (n_samples, l), F order
    double[:, ::1] moments_out,        # OUT (n_features, 5)
    double[::1, :, :] sums,            # WORK (n_samples, l, n_slots), F order
    double[:, ::1] work,               # WORK (n_threads, workspace_size(n_samples, l))
    int n_threads=1,
):
    """Add the block's share of the gram product, G += Y_bᵀ (Y_b S), Y_b centred with missing values at the mean.

    Parameters
    ----------
    values, samples, moments_out, work, n_threads
        As in `centre`, with the workspace of l columns.
    S : ndarray of shape (n_samples, l), float64, C-contiguous
    G_out : ndarray of shape (n_samples, l), float64, F-contiguous
        Added to, group by group of `GROUP_FEATURES` features, counted from the first of the block.
    sums : ndarray of shape (n_samples, l, n_slots), float64, F-contiguous
        Overwritten; as many groups as slots are summed at the same time. The result does not depend on their number.

    Notes
    -----
    4 n l flops per feature. Cache: one tile, S and a sum per thread.
    """
    cdef Py_ssize_t n = samples.shape[0], l = S.shape[1], n_features = values.shape[0], n_slots = sums.shape[2]
    cdef Py_ssize_t n_groups, n_wave, wave, g, first, column, slot, i
    cdef bint consecutive = check(values.shape[1], samples, n_features, moments_out, work, l, n_threads)
    if S.shape[0] != n or G_out.shape[0] != n or G_out.shape[1] != l:
        raise ValueError(f"S and G_out must have shape ({n}, {l})")
    if sums.shape[0] != n or sums.shape[1] != l or n_slots < 1:
        raise ValueError(f"sums must have shape ({n}, {l}, >= 1)")
    if n_features == 0 or l == 0:
        return
    n_groups = (n_features + GROUP - 1) // GROUP
    with nogil:
        wave = 0
        while wave < n_groups:
            n_wave = min(n_slots, n_groups - wave)
            for g in prange(n_wave, num_threads=n_threads, schedule="dynamic", chunksize=1):
                first = (wave + g) * GROUP
                add_group(
                    &values[first, 0], values.strides[0], values.strides[1], &samples[0], consecutive, n,
                    min(<Py_ssize_t> GROUP, n_features - first), &S[0, 0], l, &moments_out[first, 0],
                    &sums[0, 0, g], cache_line(&work[threadid(), 0]),
                )
            for column in range(l):
                for slot in range(n_wave):
                    for i in range(n):
                        G_out[i, column] += sums[i, column, slot]
            wave = wave + n_wave


cdef void add_group(
    const number* first, Py_ssize_t feature_bytes, Py_ssize_t sample_bytes, const int64_t* samples,
    bint consecutive, Py_ssize_t n, Py_ssize_t n_features, const double* S, Py_ssize_t l, double* moments,
    double* total, double* rows,
) noexcept nogil:
    """Compute Yᵀ (Y S) of one group into `total`, tile by tile."""
    cdef Py_ssize_t tile = LEAST_FEATURES, start = 0, b
    while tile < MOST_FEATURES and 2 * tile * n <= TILE:
        tile *= 2
    cdef double* Z = rows + tile * n
    while start < n_features:
        b = min(tile, n_features - start)
        read_tile(
            <const number*> (<const char*> first + start * feature_bytes), feature_bytes, sample_bytes, samples,
            consecutive, n, b, rows,
        )
        centre_tile(rows, b, n, False, moments + 5 * start)
        products_of_tile(rows, b, n, n, S, l, 0.0, Z)
        add_tile_transposed(rows, b, n, n, Z, l, 0.0 if start == 0 else 1.0, total, n)
        start += b


def add_gram(
    const real[:, ::1] block,          # IN (n_features, n_samples)
    double[::1, :] C_out,              # IN/OUT (n_samples, n_samples), F order, lower triangle
    Py_ssize_t edge,
    real[:, ::1] squares,              # WORK (n_threads, edge²) for float32, any for float64
    int n_threads=1,
):
    """Add the block's share of the Gram matrix to the lower triangle, C += Y_bᵀ Y_b.

    Parameters
    ----------
    block : ndarray of shape (n_features, n_samples), float32 or float64, C-contiguous
        Centred. In float32, `GROUP_FEATURES` features are multiplied and summed in float32, and added in float64: with
        more of them rounding errors grow, with fewer additions take more time.
    C_out : ndarray of shape (n_samples, n_samples), float64, F-contiguous
        Added to; what lies above the squares of the diagonal is not touched.
    edge : int
        Samples in the edge of the square of C that one thread computes at a time.
    squares : ndarray of shape (>= n_threads, >= edge²), type of `block`
        Overwritten.
    n_threads : int

    Notes
    -----
    n² flops per feature. Threads share the block and own disjoint squares of C.
    """
    cdef Py_ssize_t n = block.shape[1], b = block.shape[0], n_edges = (n + edge - 1) // edge if edge > 0 else 0
    cdef Py_ssize_t n_squares = n_edges * (n_edges + 1) // 2, q
    if edge < 1 or n_threads < 1 or squares.shape[0] < n_threads or squares.shape[1] < edge * edge:
        raise ValueError(f"squares must have shape (>= {n_threads}, >= {edge * edge})")
    if C_out.shape[0] != n or C_out.shape[1] != n or <Py_ssize_t> (<blas_int> n) != n:
        raise ValueError(f"C_out must have shape ({n}, {n}), and fit the integers of BLAS")
    if b == 0 or n == 0:
        return
    for q in prange(n_squares, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        add_square(&block[0, 0], b, n, edge, n_edges, q, &C_out[0, 0], &squares[threadid(), 0])


cdef void add_square(
    const real* block, Py_ssize_t n_features, Py_ssize_t n, Py_ssize_t edge, Py_ssize_t n_edges, Py_ssize_t q,
    double* C, real* square,
) noexcept nogil:
    """C[I, J] += block[:, I]ᵀ block[:, J] for square q of the lower triangle; the largest squares come first."""
    cdef Py_ssize_t row = 0, start = 0, i, j, a, c
    cdef float* rows
    q = n_edges * (n_edges + 1) // 2 - 1 - q
    while q > row:
        row += 1
        q -= row
    i, j = row * edge, q * edge
    cdef blas_int m = <blas_int> min(edge, n - i), w = <blas_int> min(edge, n - j)
    cdef blas_int k = <blas_int> n_features, ld = <blas_int> n
    cdef double one = 1.0
    cdef float one_float = 1.0, zero_float = 0.0
    if real is double:
        if i == j:
            dsyrk(b"L", b"N", &m, &k, &one, <double*> block + i, &ld, &one, C + i + j * n, &ld)
        else:
            dgemm(
                b"N", b"T", &m, &w, &k, &one, <double*> block + i, &ld, <double*> block + j, &ld, &one,
                C + i + j * n, &ld,
            )
    else:
        while start < n_features:
            k = <blas_int> min(<Py_ssize_t> GROUP, n_features - start)
            rows = <float*> block + start * n
            if i == j:
                ssyrk(b"L", b"N", &m, &k, &one_float, rows + i, &ld, &zero_float, square, &m)
            else:
                sgemm(
                    b"N", b"T", &m, &w, &k, &one_float, rows + i, &ld, rows + j, &ld, &zero_float, square, &m,
                )
            for c in range(w):
                for a in range(c if i == j else 0, m):
                    C[i + a + (j + c) * n] += square[a + c * m]
            start += GROUP
