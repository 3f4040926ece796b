# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Thinning by linkage disequilibrium on packed genotypes.

A SNP becomes three planes of one bit per sample: H, homozygous; S, homozygous with dosage 0; C, called. Let u and v
be the dosages of SNPs x and y minus one, in {-1, 0, 1}, and |.| the number of set bits. Sums over the samples called
in both are

    n = |Cx Cy|    Σu = |Hx Cy| - 2 |Sx Cy|    Σu² = |Hx Cy|    Σuv = |Hx Hy| - 2 |Hx Hy (Sx xor Sy)|

and likewise Σv and Σv². They are integers, so nothing depends on threads, blocks or processors. Where no call is
missing only Σuv is counted. The bits of 64 samples stand in a word in the same order for all SNPs, which is not that
of the samples: even positions have those of the first eight bytes, odd ones those of the next eight.

Pad bits of the last byte are ignored.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy, memmove, memset

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
    int64_t lfmm2_count_bits(const uint64_t* words, Py_ssize_t n_words) noexcept nogil
    void lfmm2_count_complete(
        lfmm2_planes x, lfmm2_planes y, Py_ssize_t n_words, lfmm2_overlap* out
    ) noexcept nogil
    void lfmm2_count_partial(
        lfmm2_planes x, lfmm2_planes y, Py_ssize_t n_words, lfmm2_overlap* out
    ) noexcept nogil
    int lfmm2_use_counter(int level) noexcept nogil

COUNTERS = ("baseline", "avx2", "avx512")


def use_counter(str name):
    """Count bits from now on with one of `COUNTERS`, or the next narrower that the processor has, and return its name.

    All give the same counts; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in COUNTERS:
        raise ValueError(f"{name!r} is not one of {', '.join(COUNTERS)}")
    return COUNTERS[lfmm2_use_counter(COUNTERS.index(name))]


COUNTER = use_counter("avx512")

cdef enum:
    # Planes of a SNP: homozygous, homozygous with dosage 0, called.
    PLANES = 3
    # Sums of one SNP: samples called, Σu and Σu² over them.
    SUMS = 3
    # SNPs that several threads compare with those kept before them; one thread compares them with each other. Any
    # number gives the same SNPs. With fewer, threads would meet more often; with more, one would work alone for longer.
    BATCH = 64
    # Entry of `kept` for a SNP that has been dropped.
    DROPPED = -1
    # Entry of `stops` for a SNP that does not vary.
    INVARIANT = -1
    # Words of a plane that a batch must compare, about two milliseconds, to be shared by threads. On a machine that
    # others use as well, threads wait until the last of them has its turn, which is longer than a small batch takes.
    FEWEST_WORDS = 2_000_000


def hit_words(Py_ssize_t n_rows):
    """Return the 64-bit words of workspace that `n_rows` rows need."""
    return BATCH * ((n_rows + 63) // 64)


def plane_words(Py_ssize_t n_samples):
    """Return the 64-bit words of the planes of one SNP, each in whole registers."""
    cdef Py_ssize_t samples_per_register = 64 * LFMM2_PLANE_WORDS
    return PLANES * LFMM2_PLANE_WORDS * ((n_samples + samples_per_register - 1) // samples_per_register)


# --- one SNP --------------------------------------------------------------------------------------------------


cdef inline void split_codes(
    uint64_t first, uint64_t second, uint64_t valid, uint64_t* homozygous, uint64_t* zero, uint64_t* called
) noexcept nogil:
    """Make the planes of 64 samples from two words of codes: 00 is dosage 0, 01 missing, 10 dosage 1, 11 dosage 2."""
    cdef uint64_t even = 0x5555555555555555ULL
    cdef uint64_t low = (first & even) | ((second & even) << 1)
    cdef uint64_t high = ((first >> 1) & even) | (second & ~even)
    homozygous[0] = ~(low ^ high) & valid
    zero[0] = ~(low | high) & valid
    called[0] = (~low | high) & valid


cdef inline uint64_t first_codes(Py_ssize_t n) noexcept nogil:
    """Return a word with the even bits of the first ``n`` of 32 codes set."""
    if n <= 0:
        return 0
    if n >= 32:
        return 0x5555555555555555ULL
    return 0x5555555555555555ULL & (((<uint64_t> 1) << (2 * n)) - 1)


cdef inline uint64_t word_of_bytes(const uint8_t* bytes, Py_ssize_t n_bytes) noexcept nogil:
    """Return a word of up to eight bytes, the first lowest; 0 for a number of bytes below 1."""
    cdef uint64_t word = 0
    cdef Py_ssize_t i
    for i in range(n_bytes):
        word |= (<uint64_t> bytes[i]) << (8 * i)
    return word


cdef void encode_snp(
    const uint8_t* snp, Py_ssize_t n_samples, Py_ssize_t n_words, uint64_t* planes, int64_t* sums
) noexcept nogil:
    """Make the three planes of one SNP, each of n_words, and its sums."""
    cdef uint64_t* homozygous = planes
    cdef uint64_t* zero = planes + n_words
    cdef uint64_t* called = planes + 2 * n_words
    cdef Py_ssize_t n_whole = n_samples // 64, n_tail = n_samples - 64 * n_whole, n_bytes, used = n_whole, w
    cdef uint64_t first, second
    cdef int64_t n_homozygous
    for w in range(n_whole):
        memcpy(&first, snp + 16 * w, 8)
        memcpy(&second, snp + 16 * w + 8, 8)
        split_codes(first, second, ~(<uint64_t> 0), homozygous + w, zero + w, called + w)
    if n_tail > 0:
        n_bytes = (n_tail + 3) // 4
        first = word_of_bytes(snp + 16 * n_whole, min(n_bytes, 8))
        second = word_of_bytes(snp + 16 * n_whole + 8, n_bytes - 8)
        split_codes(
            first, second, first_codes(n_tail) | (first_codes(n_tail - 32) << 1),
            homozygous + used, zero + used, called + used,
        )
        used = used + 1
    for w in range(PLANES):
        memset(planes + w * n_words + used, 0, 8 * (n_words - used))
    n_homozygous = lfmm2_count_bits(homozygous, used)
    sums[0] = lfmm2_count_bits(called, used)
    sums[1] = n_homozygous - 2 * lfmm2_count_bits(zero, used)
    sums[2] = n_homozygous


cdef inline bint varies(const int64_t* sums) noexcept nogil:
    """Return True if not all calls of a SNP are equal."""
    return sums[0] * sums[2] > sums[1] * sums[1]


# --- pairs ----------------------------------------------------------------------------------------------------


cdef bint correlated(
    const uint64_t* x, const int64_t* sums_x, const uint64_t* y, const int64_t* sums_y,
    Py_ssize_t n_samples, Py_ssize_t n_words, double r2,
) noexcept nogil:
    """Return True if (n Σuv - Σu Σv)² > r2 (n Σu² - (Σu)²) (n Σv² - (Σv)²); False where either has no variance.

    The differences are integers below 2⁵³ up to 9 * 10⁷ samples, so that only products of them are rounded.
    """
    cdef lfmm2_overlap shared
    cdef int64_t n, su, suu, sv, svv, suv
    cdef double covariance, variance_x, variance_y
    if sums_x[0] == n_samples and sums_y[0] == n_samples:
        lfmm2_count_complete(lfmm2_planes_of(x, n_words), lfmm2_planes_of(y, n_words), n_words, &shared)
        n = n_samples
        su = sums_x[1]
        suu = sums_x[2]
        sv = sums_y[1]
        svv = sums_y[2]
    else:
        lfmm2_count_partial(lfmm2_planes_of(x, n_words), lfmm2_planes_of(y, n_words), n_words, &shared)
        n = shared.both_called
        su = shared.homozygous_x - 2 * shared.zero_x
        suu = shared.homozygous_x
        sv = shared.homozygous_y - 2 * shared.zero_y
        svv = shared.homozygous_y
    suv = shared.both_homozygous - 2 * shared.opposite
    covariance = <double> (n * suv - su * sv)
    variance_x = <double> (n * suu - su * su)
    variance_y = <double> (n * svv - sv * sv)
    return covariance * covariance > r2 * (variance_x * variance_y)


cdef inline bint rarer(const int64_t* sums_x, const int64_t* sums_y) noexcept nogil:
    """Return True if the minor allele of x, of frequency (1 - |Σu| / n) / 2, is rarer than that of y."""
    return llabs(sums_x[1]) * sums_y[0] > llabs(sums_y[1]) * sums_x[0]


cdef void find_hits(
    const uint8_t* snp, uint64_t* planes, int64_t* sums, const int64_t* kept, Py_ssize_t n_kept, Py_ssize_t row,
    int64_t window_start, Py_ssize_t n_samples, Py_ssize_t n_words, double r2, uint64_t* hits, Py_ssize_t* stop,
) noexcept nogil:
    """Encode a SNP into its row, and mark the kept SNPs that it is correlated with and outlives.

    `stop` becomes the first kept SNP for which it would be dropped itself, n_kept if there is none, or `INVARIANT`.
    """
    cdef const uint64_t* x = planes + PLANES * n_words * row
    cdef const int64_t* sums_x = sums + SUMS * row
    cdef Py_ssize_t k
    encode_snp(snp, n_samples, n_words, planes + PLANES * n_words * row, sums + SUMS * row)
    memset(hits, 0, 8 * ((n_kept + 63) // 64))
    stop[0] = INVARIANT
    if not varies(sums_x):
        return
    for k in range(n_kept):
        if kept[k] >= window_start and correlated(
            x, sums_x, planes + PLANES * n_words * k, sums + SUMS * k, n_samples, n_words, r2
        ):
            hits[k // 64] |= (<uint64_t> 1) << (k % 64)
            if not rarer(sums + SUMS * k, sums_x):
                stop[0] = k
                return
    stop[0] = n_kept


cdef bint outlives_hits(
    const uint64_t* hits, Py_ssize_t stop, Py_ssize_t n_kept, int64_t* kept
) noexcept nogil:
    """Drop the marked SNPs before ``stop``; return True unless there is a SNP at ``stop`` that is still kept."""
    cdef Py_ssize_t k
    for k in range(stop):
        if hits[k // 64] >> (k % 64) & 1:
            kept[k] = DROPPED
    return stop == n_kept or kept[stop] == DROPPED


cdef bint outlives_rows(
    const uint64_t* planes, const int64_t* sums, int64_t* kept, Py_ssize_t first, Py_ssize_t row,
    int64_t window_start, Py_ssize_t n_samples, Py_ssize_t n_words, double r2,
) noexcept nogil:
    """Compare the SNP of a row with the kept ones from ``first`` to it, and drop those that it outlives.

    Return False at the first SNP for which it must be dropped itself.
    """
    cdef const uint64_t* x = planes + PLANES * n_words * row
    cdef const int64_t* sums_x = sums + SUMS * row
    cdef Py_ssize_t k
    for k in range(first, row):
        if kept[k] >= window_start and correlated(
            x, sums_x, planes + PLANES * n_words * k, sums + SUMS * k, n_samples, n_words, r2
        ):
            if not rarer(sums + SUMS * k, sums_x):
                return False
            kept[k] = DROPPED
    return True


cdef Py_ssize_t move_kept_to_front(
    uint64_t* planes, int64_t* sums, int64_t* kept, Py_ssize_t n_rows, Py_ssize_t n_row_words
) noexcept nogil:
    """Close the gaps that dropped SNPs leave, and return how many SNPs are kept."""
    cdef Py_ssize_t k, n_kept = 0
    for k in range(n_rows):
        if kept[k] == DROPPED:
            continue
        if n_kept < k:
            memcpy(planes + n_row_words * n_kept, planes + n_row_words * k, 8 * n_row_words)
            memcpy(sums + SUMS * n_kept, sums + SUMS * k, 8 * SUMS)
            kept[n_kept] = kept[k]
        n_kept += 1
    return n_kept


# --- blocks ---------------------------------------------------------------------------------------------------


def thin_block(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    double r2,
    int64_t first_snp,
    const int64_t[::1] window_start,   # IN (n_snps_block,)
    uint64_t[:, ::1] planes,           # IN/OUT (n_rows, plane_words(n_samples))
    int64_t[:, ::1] sums,              # IN/OUT (n_rows, 3)
    int64_t[::1] kept,                 # IN/OUT (n_rows,)
    uint64_t[::1] hits,                # WORK (>= hit_words(n_rows),)
    Py_ssize_t first_row,
    Py_ssize_t stop_row,
    int n_threads=1,
):
    """Take the SNPs of a block one after the other, drop those in linkage, and return the number of rows then in use.

    A SNP that varies is compared with the kept ones in the window before it, from the first on. Of two whose squared
    correlation, over the samples called in both, is above ``r2``, the one with the rarer minor allele is dropped, the
    later one if they are equal; comparing ends when it is dropped itself.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
        PLINK .bed bytes; pad bits are ignored.
    n_samples : int
    r2 : float
        Largest squared correlation of two SNPs that are both kept.
    first_snp : int
        Number of the block's first SNP.
    window_start : ndarray of shape (n_snps_block,), int64
        Number of the first SNP in the window of each, nondecreasing.
    planes : ndarray of shape (n_rows, plane_words(n_samples)), uint64, C-contiguous
        Kept SNPs of earlier blocks in ``first_row <= k < stop_row``. These move to the front, unless they are dropped
        now, and those kept now follow. Needs ``n_snps_block`` rows more than are in use.
    sums : ndarray of shape (n_rows, 3), int64, C-contiguous
        Of these SNPs: samples called, and the sums of their dosages minus one and of the squares.
    kept : ndarray of shape (n_rows,), int64
        Their numbers, increasing.
    hits : ndarray of shape (>= hit_words(n_rows),), uint64
        Overwritten.
    first_row, stop_row : int
        Rows in use before the call.
    n_threads : int

    Notes
    -----
    A pair takes n/64 words of two planes of each, and two counts; where calls are missing three planes and seven
    counts. Threads share the comparisons of 64 SNPs with those kept before these.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_row_words = planes.shape[1], n_words = n_row_words // PLANES
    cdef Py_ssize_t n_kept = stop_row - first_row, n_hits = (planes.shape[0] + 63) // 64, first = 0, b, c, row
    cdef Py_ssize_t stops[BATCH]
    cdef bint outlives
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if n_samples < 1 or packed.shape[1] != (n_samples + 3) // 4:
        raise ValueError(f"packed rows of {packed.shape[1]} bytes do not hold {n_samples} samples")
    if n_row_words != plane_words(n_samples) or sums.shape[1] != SUMS:
        raise ValueError(f"planes and sums must have {plane_words(n_samples)} and {SUMS} columns")
    if window_start.shape[0] != n_snps:
        raise ValueError(f"window_start has {window_start.shape[0]} values for {n_snps} SNPs")
    if sums.shape[0] != planes.shape[0] or kept.shape[0] != planes.shape[0]:
        raise ValueError("planes, sums and kept must have the same number of rows")
    if hits.shape[0] < hit_words(planes.shape[0]):
        raise ValueError(f"hits has {hits.shape[0]} words; {hit_words(planes.shape[0])} are needed")
    if first_row < 0 or n_kept < 0 or stop_row > planes.shape[0] or n_kept + n_snps > planes.shape[0]:
        raise ValueError(f"{planes.shape[0]} rows do not hold {n_kept} kept SNPs and {n_snps} of a block")
    if n_snps == 0:
        return stop_row
    with nogil:
        if first_row > 0:
            memmove(&planes[0, 0], &planes[0, 0] + first_row * n_row_words, 8 * n_kept * n_row_words)
            memmove(&sums[0, 0], &sums[0, 0] + first_row * SUMS, 8 * n_kept * SUMS)
            memmove(&kept[0], &kept[0] + first_row, 8 * n_kept)
        while first < n_snps:
            b = min(<Py_ssize_t> BATCH, n_snps - first)
            for c in prange(
                b, num_threads=n_threads, schedule="dynamic", chunksize=1,
                use_threads_if=b * n_kept * n_words > FEWEST_WORDS,
            ):
                find_hits(
                    &packed[first + c, 0], &planes[0, 0], &sums[0, 0], &kept[0], n_kept, n_kept + c,
                    window_start[first + c], n_samples, n_words, r2, &hits[n_hits * c], &stops[c],
                )
            for c in range(b):
                row = n_kept + c
                outlives = stops[c] != INVARIANT and outlives_hits(&hits[n_hits * c], stops[c], n_kept, &kept[0])
                if outlives:
                    # The search for hits ended at a SNP that has been dropped since, so it goes on behind that one, and
                    # then among the SNPs of this batch.
                    outlives = outlives_rows(
                        &planes[0, 0], &sums[0, 0], &kept[0], min(stops[c] + 1, n_kept), row, window_start[first + c],
                        n_samples, n_words, r2,
                    )
                kept[row] = first_snp + first + c if outlives else DROPPED
            n_kept = move_kept_to_front(&planes[0, 0], &sums[0, 0], &kept[0], n_kept + b, n_row_words)
            first = first + b
    return n_kept
