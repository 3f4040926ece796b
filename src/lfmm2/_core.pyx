# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Genotype kernels: packed .bed bytes in, caller-owned arrays out.

Every kernel takes a block of SNPs as PLINK packs them (two bits a genotype, four samples a byte, one row of
``ceil(n_samples / 4)`` bytes per SNP) and never holds more than one decoded *tile* per thread. A tile is
``tile_snps`` SNPs by ``chunk_samples`` samples, small enough to stay in a core's L2 cache; dgemm reads it from
there. Genotypes are imputed to the SNP's mean, centred and optionally scaled while they are decoded, because
the four codes of one SNP map to four constants:

    code        00        01        10       11
    dosage A2    0     missing       1        2
    value     -mu * s      0     (1-mu)*s  (2-mu)*s         mu = mean of the called, s = 1 or 1/sqrt(2f(1-f))

A byte (four genotypes) is looked up at once or by halves, whichever suits the processor (_decode.h).

Sums do not depend on the number of threads: rows of an output belong to one tile, and sums over SNPs are kept per
*group* of tiles and added in group order. Tiles and groups are counted from the first SNP of the block, so blocks
must begin at a multiple of ``tile_snps * group_tiles``.

Kernels cannot fail: arguments are checked here, before the GIL is released, and those of a wrong shape or size raise
ValueError. Counts of the codes stand in the order 00, 01, 10, 11 in every array of counts. Pad bits of the last byte
are ignored.
"""

import numpy as np

from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memcpy
from scipy.linalg.cython_blas cimport dgemm, dsyrk

include "blas_int.pxi"

cdef extern from *:
    """
    #ifdef _OPENMP
    #define LFMM2_OPENMP 1
    #else
    #define LFMM2_OPENMP 0
    #endif
    """
    const bint LFMM2_OPENMP

cdef extern from "_decode.h":
    void lfmm2_decode(const uint8_t* bytes, Py_ssize_t n_bytes, const double* values, double* dosage) noexcept nogil
    int lfmm2_use_decoder(int level) noexcept nogil

cdef extern from "_select.h":
    const int LFMM2_SELECT_SNPS
    void lfmm2_select_tile(
        const uint8_t* packed, Py_ssize_t n_bytes, int n_snps, const int64_t* sample_index, Py_ssize_t n_kept,
        uint8_t* packed_out, uint64_t* turned
    ) noexcept nogil

OPENMP = bool(LFMM2_OPENMP)
BLAS_INT_BYTES = sizeof(blas_int)
KERNEL_API_VERSION = <int> KERNEL_API

DECODERS = ("baseline", "avx2", "avx512")


def use_decoder(str name):
    """Decode from now on with one of `DECODERS`, or the next narrower that the processor has, and return its name.

    All give the same bits; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in DECODERS:
        raise ValueError(f"{name!r} is not one of {', '.join(DECODERS)}")
    return DECODERS[lfmm2_use_decoder(DECODERS.index(name))]


DECODER = use_decoder("avx512")

cdef enum:
    # Values of one SNP, one for each code of two bits.
    CODES = 4
    # Doubles in a cache line of 64 bytes.
    CACHE_LINE = 8


# --- one SNP --------------------------------------------------------------------------------------------------


cdef inline uint64_t byte_sums(uint64_t pairs) noexcept nogil:
    """Sum 16 four-bit fields, each at most 15, whose total is at most 255."""
    pairs = (pairs & 0x0F0F0F0F0F0F0F0FULL) + ((pairs >> 4) & 0x0F0F0F0F0F0F0F0FULL)
    return (pairs * 0x0101010101010101ULL) >> 56


cdef inline uint64_t nibble_counts(uint64_t bits) noexcept nogil:
    """Add neighbours of 32 one-bit fields (at even positions) into 16 four-bit fields."""
    return (bits & 0x3333333333333333ULL) + ((bits >> 2) & 0x3333333333333333ULL)


cdef void count_snp(const uint8_t* snp, Py_ssize_t n_samples, int64_t* counts) noexcept nogil:
    """Count the codes 00, 01, 10, 11 of one SNP: 64 bits (32 genotypes) a step, about 0.5 operations a genotype."""
    cdef Py_ssize_t n_words = n_samples // 32
    cdef Py_ssize_t i = 0, stop, n_tail_bytes, tail
    cdef int64_t low = 0, high = 0, both = 0
    cdef uint64_t word, l, h, low_fields, high_fields, both_fields
    while i < n_words:
        # Seven words add at most 14 to a four-bit field, whose largest number is 15.
        stop = min(i + 7, n_words)
        low_fields = high_fields = both_fields = 0
        while i < stop:
            memcpy(&word, snp + 8 * i, 8)
            l = word & 0x5555555555555555ULL
            h = (word >> 1) & 0x5555555555555555ULL
            low_fields += nibble_counts(l)
            high_fields += nibble_counts(h)
            both_fields += nibble_counts(l & h)
            i += 1
        low += byte_sums(low_fields)
        high += byte_sums(high_fields)
        both += byte_sums(both_fields)
    tail = n_samples - 32 * n_words
    if tail > 0:
        n_tail_bytes = (tail + 3) // 4
        word = 0
        for i in range(n_tail_bytes):
            word |= (<uint64_t> snp[8 * n_words + i]) << (8 * i)
        word &= ((<uint64_t> 1) << (2 * tail)) - 1
        l = word & 0x5555555555555555ULL
        h = (word >> 1) & 0x5555555555555555ULL
        low += byte_sums(nibble_counts(l))
        high += byte_sums(nibble_counts(h))
        both += byte_sums(nibble_counts(l & h))
    counts[0] = n_samples - low - high + both
    counts[1] = low - both
    counts[2] = high - both
    counts[3] = both


cdef void genotype_values(const int64_t* counts, int coding, double* values) noexcept nogil:
    """Compute the centred (and scaled) value of each code; all are 0 if no call differs from another."""
    cdef int64_t n_called = counts[0] + counts[2] + counts[3]
    cdef double mean, scale = 1.0
    values[1] = 0.0
    if n_called == 0 or n_called == counts[0] or n_called == counts[2] or n_called == counts[3]:
        values[0] = values[2] = values[3] = 0.0
        return
    mean = <double> (counts[2] + 2 * counts[3]) / <double> n_called
    if coding & SCALE:
        # 2 f (1 - f) with f = mean / 2
        scale = 1.0 / sqrt(mean * (1.0 - 0.5 * mean))
    if coding & COUNT_A1:
        scale = -scale
    values[0] = -mean * scale
    values[2] = (1.0 - mean) * scale
    values[3] = (2.0 - mean) * scale


cdef void decode_snp(
    const uint8_t* snp, Py_ssize_t n_samples, const double* values, double* dosage
) noexcept nogil:
    """Decode the first ``n_samples`` of one SNP: 0.25 bytes in, 8 bytes out each."""
    cdef Py_ssize_t n_whole = n_samples // 4
    cdef int i
    lfmm2_decode(snp, n_whole, values, dosage)
    for i in range(<int> (n_samples - 4 * n_whole)):
        dosage[4 * n_whole + i] = values[(snp[n_whole] >> (2 * i)) & 3]


cdef inline void prepare_snp(
    const uint8_t* snp, Py_ssize_t n_samples, int coding, int64_t* counts, double* values
) noexcept nogil:
    """Count the codes of one SNP, and compute the value of each code from the counts."""
    count_snp(snp, n_samples, counts)
    genotype_values(counts, coding, values)


# --- BLAS in the terms used here ------------------------------------------------------------------------------


cdef void products_of_tile(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* S, Py_ssize_t l, double beta, double* Z,
) noexcept nogil:
    """Z = tile @ S + beta Z for tile (n_snps, chunk), S (chunk, l), Z (n_snps, l), all in C order."""
    cdef blas_int m = <blas_int> l, n = <blas_int> n_snps, k = <blas_int> chunk, ldb = <blas_int> ld_tile
    cdef double one = 1.0
    dgemm(b"N", b"N", &m, &n, &k, &one, <double*> S, &m, <double*> tile, &ldb, &beta, Z, &m)


cdef void add_tile_transposed(
    const double* tile, Py_ssize_t n_snps, Py_ssize_t chunk, Py_ssize_t ld_tile,
    const double* Z, Py_ssize_t l, double beta, double* G, Py_ssize_t ld_G,
) noexcept nogil:
    """G = tileᵀ @ Z + beta G for tile (n_snps, chunk) C order, Z (n_snps, l) C order, G (chunk, l) F order."""
    cdef blas_int m = <blas_int> chunk, n = <blas_int> l, k = <blas_int> n_snps
    cdef blas_int lda = <blas_int> ld_tile, ldc = <blas_int> ld_G
    cdef double one = 1.0
    dgemm(b"N", b"T", &m, &n, &k, &one, <double*> tile, &lda, <double*> Z, &n, &beta, G, &ldc)


cdef inline double* cache_line(double* work) noexcept nogil:
    """Return the next multiple of 64 bytes: rows of a tile that straddle cache lines cost a tenth of the time."""
    return <double*> ((<uintptr_t> work + 63) & ~(<uintptr_t> 63))


# --- tiles ----------------------------------------------------------------------------------------------------


cdef void decode_tile(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps,
    Py_ssize_t first_sample, Py_ssize_t chunk, const double* values, double* tile,
) noexcept nogil:
    """Decode a chunk of samples of each SNP into rows of `tile` (n_snps, chunk); `first_sample` is a multiple of 4."""
    cdef Py_ssize_t s
    for s in range(n_snps):
        decode_snp(packed + s * n_bytes + first_sample // 4, chunk, values + CODES * s, tile + s * chunk)


cdef void gram_product_of_group(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, int coding,
    Py_ssize_t tile_snps, Py_ssize_t chunk_samples, const double* S, Py_ssize_t l, double* G, double* work,
) noexcept nogil:
    """G = sum over the tiles of the group of tileᵀ (tile S); G is overwritten."""
    cdef double* tile = cache_line(work)
    cdef double* Z = tile + tile_snps * chunk_samples
    cdef double* values = Z + tile_snps * l
    cdef Py_ssize_t n_chunks = (n_samples + chunk_samples - 1) // chunk_samples
    cdef Py_ssize_t n_tiles = (n_snps + tile_snps - 1) // tile_snps
    cdef Py_ssize_t t, first, s, c, b, start, chunk
    cdef int64_t counts[4]
    cdef const uint8_t* tile_bytes
    for t in range(n_tiles):
        first = t * tile_snps
        b = min(tile_snps, n_snps - first)
        tile_bytes = packed + first * n_bytes
        for s in range(b):
            prepare_snp(tile_bytes + s * n_bytes, n_samples, coding, counts, values + CODES * s)
        for c in range(n_chunks):
            start = c * chunk_samples
            chunk = min(chunk_samples, n_samples - start)
            decode_tile(tile_bytes, n_bytes, b, start, chunk, values, tile)
            products_of_tile(tile, b, chunk, chunk, S + start * l, l, 0.0 if c == 0 else 1.0, Z)
        # The chunks are taken backwards, because the last one is still decoded.
        for c in range(n_chunks - 1, -1, -1):
            start = c * chunk_samples
            chunk = min(chunk_samples, n_samples - start)
            if c < n_chunks - 1:
                decode_tile(tile_bytes, n_bytes, b, start, chunk, values, tile)
            add_tile_transposed(
                tile, b, chunk, chunk, Z, l, 0.0 if t == 0 else 1.0, G + start, n_samples
            )


cdef void cross_products_of_tile(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, int coding,
    Py_ssize_t chunk_samples, const double* W, Py_ssize_t m, int64_t* counts, double* products, double* work,
) noexcept nogil:
    """Compute products = Y W for the SNPs of one tile, Y centred (n_snps, n_samples), and count their codes."""
    cdef double* tile = cache_line(work)
    cdef double* values = tile + n_snps * chunk_samples
    cdef Py_ssize_t n_chunks = (n_samples + chunk_samples - 1) // chunk_samples
    cdef Py_ssize_t s, c, start, chunk
    for s in range(n_snps):
        prepare_snp(packed + s * n_bytes, n_samples, coding, counts + 4 * s, values + CODES * s)
    for c in range(n_chunks):
        start = c * chunk_samples
        chunk = min(chunk_samples, n_samples - start)
        decode_tile(packed, n_bytes, n_snps, start, chunk, values, tile)
        products_of_tile(tile, n_snps, chunk, chunk, W + start * m, m, 0.0 if c == 0 else 1.0, products)


# --- blocks ---------------------------------------------------------------------------------------------------


def workspace_size(Py_ssize_t tile_snps, Py_ssize_t chunk_samples, Py_ssize_t l):
    """Return the doubles of workspace that one thread needs for tiles of this shape and ``l`` columns."""
    return tile_snps * (chunk_samples + l + CODES) + CACHE_LINE


cdef check_threads(int n_threads):
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")


cdef check_packed(const uint8_t[:, ::1] packed, Py_ssize_t n_samples):
    if n_samples < 1 or packed.shape[1] != (n_samples + 3) // 4:
        raise ValueError(
            f"packed rows of {packed.shape[1]} bytes do not hold {n_samples} samples; "
            f"{(n_samples + 3) // 4} bytes are needed"
        )


cdef check_tiling(Py_ssize_t tile_snps, Py_ssize_t chunk_samples, Py_ssize_t l, double[:, ::1] work, int n_threads):
    if tile_snps < 1 or chunk_samples < 4 or chunk_samples % 4:
        raise ValueError(f"tile of {tile_snps} SNPs x {chunk_samples} samples; chunks are multiples of 4 samples")
    check_threads(n_threads)
    if work.shape[0] < n_threads:
        raise ValueError(f"workspace has {work.shape[0]} rows for {n_threads} threads")
    if work.shape[1] < workspace_size(tile_snps, chunk_samples, l):
        raise ValueError(f"workspace rows of {work.shape[1]} doubles are too short for the tile")


cdef check_blas_size(Py_ssize_t size):
    if <Py_ssize_t> (<blas_int> size) != size or <blas_int> size < 0:
        raise ValueError(f"a dimension of {size} does not fit the BLAS integer of {sizeof(blas_int)} bytes")


def count_genotypes(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int64_t[:, ::1] counts_out,        # OUT (n_snps_block, 4)
    int n_threads=1,
):
    """Count the codes 00, 01, 10, 11 of every SNP of a block.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
        PLINK .bed bytes; pad bits are ignored.
    n_samples : int
    counts_out : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Overwritten: homozygous A1, missing, heterozygous, homozygous A2.
    n_threads : int

    Notes
    -----
    Reads n/4 bytes per SNP; about 0.5 integer operations per genotype.
    """
    cdef Py_ssize_t s, n_snps = packed.shape[0]
    check_threads(n_threads)
    check_packed(packed, n_samples)
    if counts_out.shape[0] != n_snps or counts_out.shape[1] != 4:
        raise ValueError(f"counts_out must have shape ({n_snps}, 4)")
    if n_snps == 0:
        return
    for s in prange(n_snps, nogil=True, num_threads=n_threads, schedule="static"):
        count_snp(&packed[s, 0], n_samples, &counts_out[s, 0])


def select_samples(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    const int64_t[::1] sample_index,   # IN (n_kept,)
    uint8_t[:, ::1] packed_out,        # OUT (n_snps_block, ceil(n_kept / 4))
    int n_threads=1,
):
    """Pack the genotypes of chosen samples, in the order given, as a .bed of these samples would hold them.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples : int
    sample_index : ndarray of shape (n_kept,), int64
        Rows of the .fam, 0-based, each in [0, n_samples); any order.
    packed_out : ndarray of shape (n_snps_block, ceil(n_kept / 4)), uint8, C-contiguous
        Overwritten; pad bits zero.
    n_threads : int

    Raises
    ------
    IndexError
        If an index is not in [0, n_samples).

    Notes
    -----
    Memory: `selection_bytes` for each thread.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_kept = sample_index.shape[0], n_bytes = packed.shape[1], s, i
    cdef Py_ssize_t width = LFMM2_SELECT_SNPS, n_tiles = (n_snps + width - 1) // width
    cdef uint64_t[:, ::1] turned
    check_threads(n_threads)
    check_packed(packed, n_samples)
    check_packed(packed_out, n_kept)
    if packed_out.shape[0] != n_snps:
        raise ValueError(f"packed_out has {packed_out.shape[0]} rows for {n_snps} SNPs")
    for i in range(n_kept):
        if sample_index[i] < 0 or sample_index[i] >= n_samples:
            raise IndexError(f"sample_index[{i}] is {sample_index[i]}, outside [0, {n_samples})")
    if n_snps == 0:
        return
    turned = np.empty((n_threads, n_bytes), np.uint64)
    for i in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="static"):
        s = i * width
        lfmm2_select_tile(
            &packed[s, 0], n_bytes, <int> min(width, n_snps - s), &sample_index[0], n_kept, &packed_out[s, 0],
            &turned[threadid(), 0],
        )


def selection_bytes(Py_ssize_t n_samples):
    """Return the bytes of memory that each thread of `select_samples` takes."""
    return sizeof(uint64_t) * ((n_samples + 3) // 4)


def decode_block(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    double[:, ::1] dosage_out,         # OUT (n_snps_block, n_samples)
    int n_threads=1,
):
    """Decode a block: missing calls imputed to the mean of the SNP, centred, optionally scaled.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples : int
    coding : int
        Bits: 1 counts A1 instead of A2, 2 scales by 1/sqrt(2f(1-f)).
    dosage_out : ndarray of shape (n_snps_block, n_samples), float64, C-contiguous
        Overwritten with dosages minus the SNP's mean, scaled if asked; missing calls are 0.
    n_threads : int
    """
    cdef Py_ssize_t s, n_snps = packed.shape[0]
    check_threads(n_threads)
    check_packed(packed, n_samples)
    if dosage_out.shape[0] != n_snps or dosage_out.shape[1] != n_samples:
        raise ValueError(f"dosage_out must have shape ({n_snps}, {n_samples})")
    if n_snps == 0:
        return
    for s in prange(n_snps, nogil=True, num_threads=n_threads, schedule="static"):
        decode_whole_snp(&packed[s, 0], n_samples, coding, &dosage_out[s, 0])


cdef void decode_whole_snp(const uint8_t* snp, Py_ssize_t n_samples, int coding, double* dosage) noexcept nogil:
    """Decode all samples of one SNP."""
    cdef double values[CODES]
    cdef int64_t counts[4]
    prepare_snp(snp, n_samples, coding, counts, values)
    decode_snp(snp, n_samples, values, dosage)


def gram_product(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const double[:, ::1] S,            # IN (n_samples, l)
    double[::1, :] G_out,              # IN/OUT (n_samples, l), F order
    Py_ssize_t tile_snps,
    Py_ssize_t chunk_samples,
    Py_ssize_t group_tiles,
    double[::1, :, :] accumulators,    # WORK (n_samples, l, n_slots), F order
    double[:, ::1] work,               # WORK (n_threads, workspace_size(...))
    int n_threads=1,
):
    """Add the block's share of the gram product, G += Y_bᵀ (Y_b S), with Y_b the centred (n_snps_block, n) block.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples, coding : int
        As in `decode_block`.
    S : ndarray of shape (n_samples, l), float64, C-contiguous
    G_out : ndarray of shape (n_samples, l), float64, F-contiguous
        Added to, group by group in order.
    tile_snps, chunk_samples, group_tiles : int
        Shape of a tile and the number of tiles in a group.
    accumulators : ndarray of shape (n_samples, l, n_slots), float64, F-contiguous
        Overwritten; `n_slots` groups are summed between two ordered additions. The result does not depend on it.
    work : ndarray of shape (>= n_threads, >= workspace_size), float64
        Overwritten.
    n_threads : int

    Notes
    -----
    4 n l flops per SNP, n/4 bytes read from memory. A thread touches one tile (tile_snps x chunk_samples x 8 bytes)
    and the chunk of S and of its accumulator (2 x chunk_samples x l x 8 bytes). With more samples than
    `chunk_samples` every chunk but one is decoded twice: dearer than keeping it only where L3 is large and not shared.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], l = S.shape[1]
    cdef Py_ssize_t group_snps = tile_snps * group_tiles, n_slots = accumulators.shape[2]
    cdef Py_ssize_t n_groups, wave, n_wave, g, first, column, slot, i
    check_packed(packed, n_samples)
    check_tiling(tile_snps, chunk_samples, l, work, n_threads)
    check_blas_size(n_samples)
    if S.shape[0] != n_samples or G_out.shape[0] != n_samples or G_out.shape[1] != l:
        raise ValueError(f"S and G_out must have shape ({n_samples}, {l})")
    if accumulators.shape[0] != n_samples or accumulators.shape[1] != l or n_slots < 1 or group_tiles < 1:
        raise ValueError(f"accumulators must have shape ({n_samples}, {l}, >= 1)")
    if n_snps == 0 or l == 0:
        return
    n_groups = (n_snps + group_snps - 1) // group_snps
    with nogil:
        wave = 0
        while wave < n_groups:
            n_wave = min(n_slots, n_groups - wave)
            for g in prange(n_wave, num_threads=n_threads, schedule="dynamic", chunksize=1):
                first = (wave + g) * group_snps
                gram_product_of_group(
                    &packed[first, 0], n_bytes, min(group_snps, n_snps - first), n_samples, coding,
                    tile_snps, chunk_samples, &S[0, 0], l, &accumulators[0, 0, g], &work[threadid(), 0],
                )
            # To start the threads a second time takes longer than a small sum.
            for column in prange(l, num_threads=n_threads, schedule="static", use_threads_if=n_samples * l > 100_000):
                for slot in range(n_wave):
                    for i in range(n_samples):
                        G_out[i, column] += accumulators[i, column, slot]
            wave = wave + n_wave


def gram_product_by_rows(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const double[:, ::1] S,            # IN (n_samples, l)
    double[::1, :] G_out,              # IN/OUT (n_samples, l), F order
    Py_ssize_t tile_snps,
    Py_ssize_t chunk_samples,
    double[:, ::1] Z,                  # WORK (>= n_snps_block, l)
    double[:, ::1] values,             # WORK (>= n_snps_block, 4)
    double[:, ::1] work,               # WORK (n_threads, workspace_size(...))
    int n_threads=1,
):
    """Add the block's share of the gram product, as `gram_product` does, without accumulators.

    Threads own the tiles of Z = Y_b S, then the chunks of samples of G. Blocks begin at multiples of `tile_snps`.

    Parameters
    ----------
    packed, n_samples, coding, S, work, n_threads
        As in `gram_product`.
    G_out : ndarray of shape (n_samples, l), float64, F-contiguous
        Added to, tile by tile in order.
    tile_snps, chunk_samples : int
    Z : ndarray of shape (>= n_snps_block, l), float64, C-contiguous
        Overwritten.
    values : ndarray of shape (>= n_snps_block, 4), float64, C-contiguous
        Overwritten with the value of each code.

    Notes
    -----
    4 n l flops per SNP; n/4 bytes are read and decoded twice. A thread touches one tile, and a chunk of S or of G. For
    many samples: few have less than a chunk for each thread, and would be decoded once by `gram_product`.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], l = S.shape[1]
    cdef Py_ssize_t n_tiles, n_chunks, t, c, first
    check_packed(packed, n_samples)
    check_tiling(tile_snps, chunk_samples, l, work, n_threads)
    check_blas_size(n_samples)
    if S.shape[0] != n_samples or G_out.shape[0] != n_samples or G_out.shape[1] != l:
        raise ValueError(f"S and G_out must have shape ({n_samples}, {l})")
    if Z.shape[0] < n_snps or Z.shape[1] != l or values.shape[0] < n_snps or values.shape[1] != CODES:
        raise ValueError(f"Z and values must have shapes ({n_snps}, {l}) and ({n_snps}, {CODES})")
    if n_snps == 0 or l == 0:
        return
    n_tiles = (n_snps + tile_snps - 1) // tile_snps
    n_chunks = (n_samples + chunk_samples - 1) // chunk_samples
    with nogil:
        for t in prange(n_tiles, num_threads=n_threads, schedule="dynamic", chunksize=1):
            first = t * tile_snps
            multiply_tile(
                &packed[first, 0], n_bytes, min(n_snps - first, tile_snps), n_samples, coding, chunk_samples,
                &S[0, 0], l, &values[first, 0], &Z[first, 0], cache_line(&work[threadid(), 0]),
            )
        for c in prange(n_chunks, num_threads=n_threads, schedule="dynamic", chunksize=1):
            first = c * chunk_samples
            add_chunk(
                &packed[0, 0], n_bytes, n_snps, n_samples, first, min(chunk_samples, n_samples - first), tile_snps,
                &values[0, 0], &Z[0, 0], l, &G_out[0, 0], cache_line(&work[threadid(), 0]),
            )


cdef void multiply_tile(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, int coding,
    Py_ssize_t chunk_samples, const double* S, Py_ssize_t l, double* values, double* Z, double* tile,
) noexcept nogil:
    """Compute Z = Y S for the SNPs of one tile, Y centred (n_snps, n_samples), and the values of their codes."""
    cdef Py_ssize_t n_chunks = (n_samples + chunk_samples - 1) // chunk_samples
    cdef Py_ssize_t s, c, start, chunk
    cdef int64_t counts[4]
    for s in range(n_snps):
        prepare_snp(packed + s * n_bytes, n_samples, coding, counts, values + CODES * s)
    for c in range(n_chunks):
        start = c * chunk_samples
        chunk = min(chunk_samples, n_samples - start)
        decode_tile(packed, n_bytes, n_snps, start, chunk, values, tile)
        products_of_tile(tile, n_snps, chunk, chunk, S + start * l, l, 0.0 if c == 0 else 1.0, Z)


cdef void add_chunk(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, Py_ssize_t start,
    Py_ssize_t chunk, Py_ssize_t tile_snps, const double* values, const double* Z, Py_ssize_t l, double* G,
    double* tile,
) noexcept nogil:
    """Add Yᵀ Z of a chunk of samples to their rows of G, tile by tile."""
    cdef Py_ssize_t n_tiles = (n_snps + tile_snps - 1) // tile_snps
    cdef Py_ssize_t t, first, b
    for t in range(n_tiles):
        first = t * tile_snps
        b = min(tile_snps, n_snps - first)
        decode_tile(packed + first * n_bytes, n_bytes, b, start, chunk, values + CODES * first, tile)
        add_tile_transposed(tile, b, chunk, chunk, Z + first * l, l, 1.0, G + start, n_samples)


def cross_products(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const double[:, ::1] W,            # IN (n_samples, m)
    int64_t[:, ::1] counts_out,        # OUT (n_snps_block, 4)
    double[:, ::1] products_out,       # OUT (n_snps_block, m)
    Py_ssize_t tile_snps,
    Py_ssize_t chunk_samples,
    double[:, ::1] work,               # WORK (n_threads, workspace_size(...))
    int n_threads=1,
):
    """Compute the cross-products Y_b W of every SNP of the block with the columns of W, and count its genotypes.

    By decoded tiles and dgemm. Passes use `lfmm2.kernels._products`, which is faster; this is what it is compared with.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples, coding : int
        As in `decode_block`.
    W : ndarray of shape (n_samples, m), float64, C-contiguous
    counts_out : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Overwritten; codes 00, 01, 10, 11.
    products_out : ndarray of shape (n_snps_block, m), float64, C-contiguous
        Overwritten; each row is written by one thread.
    tile_snps, chunk_samples : int
    work : ndarray of shape (>= n_threads, >= workspace_size), float64
        Overwritten.
    n_threads : int

    Notes
    -----
    2 n m flops per SNP, n/4 bytes read and 8 m + 32 written. Cache: one tile and one chunk of W per thread.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], m = W.shape[1]
    cdef Py_ssize_t n_tiles, t, first
    check_packed(packed, n_samples)
    check_tiling(tile_snps, chunk_samples, m, work, n_threads)
    check_blas_size(n_samples)
    if W.shape[0] != n_samples or m < 1:
        raise ValueError(f"W must have {n_samples} rows and at least one column")
    if counts_out.shape[0] != n_snps or counts_out.shape[1] != 4:
        raise ValueError(f"counts_out must have shape ({n_snps}, 4)")
    if products_out.shape[0] != n_snps or products_out.shape[1] != m:
        raise ValueError(f"products_out must have shape ({n_snps}, {m})")
    if n_snps == 0:
        return
    n_tiles = (n_snps + tile_snps - 1) // tile_snps
    for t in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        first = t * tile_snps
        cross_products_of_tile(
            &packed[first, 0], n_bytes, min(tile_snps, n_snps - first), n_samples, coding,
            chunk_samples, &W[0, 0], m, &counts_out[first, 0], &products_out[first, 0], &work[threadid(), 0],
        )


def gram(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    double[::1, :] C_out,              # IN/OUT (n_samples, n_samples), F order, lower triangle
    Py_ssize_t edge,
    double[:, ::1] panel,              # WORK (panel_snps, n_samples)
    int n_threads=1,
):
    """Add the block's share of the Gram matrix to the lower triangle, C += Y_bᵀ Y_b.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples, coding : int
        As in `decode_block`.
    C_out : ndarray of shape (n_samples, n_samples), float64, F-contiguous
        Added to in panels of SNPs; entries above the diagonal blocks of `edge` are not touched.
    edge : int
        Samples in the edge of the square of C that one thread updates at a time.
    panel : ndarray of shape (panel_snps, n_samples), float64, C-contiguous
        Overwritten. Panels are counted from the first SNP of the block.
    n_threads : int

    Notes
    -----
    n² flops per SNP. One C for all threads: they share the decoded panel and own disjoint squares of C.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], panel_snps = panel.shape[0]
    cdef Py_ssize_t n_edges = (n_samples + edge - 1) // edge if edge > 0 else 0
    cdef Py_ssize_t n_squares = n_edges * (n_edges + 1) // 2
    cdef Py_ssize_t n_panels, p, first, b, s, q
    check_threads(n_threads)
    check_packed(packed, n_samples)
    check_blas_size(n_samples)
    if edge < 1 or panel_snps < 1 or panel.shape[1] != n_samples:
        raise ValueError(f"panel must have shape (>= 1, {n_samples}) and edge must be positive")
    if C_out.shape[0] != n_samples or C_out.shape[1] != n_samples:
        raise ValueError(f"C_out must have shape ({n_samples}, {n_samples})")
    n_panels = (n_snps + panel_snps - 1) // panel_snps
    with nogil:
        for p in range(n_panels):
            first = p * panel_snps
            b = min(panel_snps, n_snps - first)
            for s in prange(b, num_threads=n_threads, schedule="static"):
                decode_whole_snp(&packed[first + s, 0], n_samples, coding, &panel[s, 0])
            for q in prange(n_squares, num_threads=n_threads, schedule="dynamic", chunksize=1):
                update_square(&panel[0, 0], b, n_samples, edge, n_edges, q, &C_out[0, 0])


cdef void update_square(
    const double* panel, Py_ssize_t n_snps, Py_ssize_t n_samples,
    Py_ssize_t edge, Py_ssize_t n_edges, Py_ssize_t q, double* C,
) noexcept nogil:
    """C[I, J] += panel[:, I]ᵀ panel[:, J] for square q of the lower triangle, counted row by row."""
    cdef Py_ssize_t row = 0
    # Squares off the diagonal are twice the work of those on it. The last rows hold most of them and go first, so that
    # threads end together.
    q = n_edges * (n_edges + 1) // 2 - 1 - q
    while q > row:
        row += 1
        q -= row
    cdef Py_ssize_t i = row * edge, j = q * edge
    cdef blas_int m = <blas_int> min(edge, n_samples - i), n = <blas_int> min(edge, n_samples - j)
    cdef blas_int k = <blas_int> n_snps, ld = <blas_int> n_samples
    cdef double one = 1.0
    cdef double* a = <double*> panel + i
    cdef double* b = <double*> panel + j
    cdef double* c = C + i + j * n_samples
    if i == j:
        dsyrk(b"L", b"N", &m, &k, &one, a, &ld, &one, c, &ld)
    else:
        dgemm(b"N", b"T", &m, &n, &k, &one, a, &ld, b, &ld, &one, c, &ld)
