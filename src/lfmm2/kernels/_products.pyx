# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Cross-products of packed genotypes by tables of sums: packed .bed bytes in, caller-owned arrays out.

With u = dosage - 1, 0 where the call is missing, m = 1 there and 0 elsewhere, and ν = mean dosage - 1 of a SNP, the
imputed and centred SNP is v = u - ν + ν m. So its product with a column w is

    Σ v w = Σ u w - ν (Σ w - Σ m w)

Four samples have 81 sums Σ u w, which are written to a table. A SNP adds one entry for four samples, where a product
would take four multiplications and decoded genotypes (_products.h; V. Arlazarov, E. Dinic, M. Kronrod & I. Faradzhev,
1970, multiplied matrices of few values so). Σ m w is made from the rows of the missing samples, or, where many calls
are missing, from tables of its own.

The sums of a SNP are made in double precision and in one order: its bits depend on nothing but the SNP and the columns,
neither on threads and blocks nor on the processor. Pad bits of the last byte are ignored.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from lfmm2._core cimport COUNT_A1, SCALE

cdef extern from "_products.h":
    const int LFMM2_WORD
    const int LFMM2_WORD_SAMPLES
    const int LFMM2_ENTRIES
    const int LFMM2_SPAN
    const int LFMM2_SPAN_BYTES

    void LFMM2_PREFETCH(const void* address) noexcept nogil
    uint64_t lfmm2_genotypes(const uint8_t* b) noexcept nogil
    uint64_t lfmm2_missing(uint64_t genotypes) noexcept nogil
    uint64_t lfmm2_missing_mask(uint64_t missing) noexcept nogil
    int lfmm2_list_missing(const uint8_t* bytes, int n_words, uint16_t* listed) noexcept nogil
    void lfmm2_count_pairs(const uint8_t* bytes, Py_ssize_t n_bytes, int64_t* counts) noexcept nogil
    void lfmm2_write_index(const uint8_t* bytes, uint64_t* words, Py_ssize_t stride) noexcept nogil
    void lfmm2_fill_four(const double* rows, Py_ssize_t next, double* tables) noexcept nogil
    void lfmm2_fill_wide(const double* rows, Py_ssize_t next, double* tables) noexcept nogil
    void lfmm2_fill_missing(const double* rows, Py_ssize_t next, double* tables) noexcept nogil
    void lfmm2_add_four(const uint64_t* words, Py_ssize_t n_snps, const double* tables, double* sums) noexcept nogil
    void lfmm2_add_wide(const uint64_t* words, Py_ssize_t n_snps, const double* tables, double* sums) noexcept nogil
    void lfmm2_add_missing(const uint64_t* masks, Py_ssize_t n_snps, const double* tables, double* sums) noexcept nogil
    void lfmm2_add_rows(const double* rows, const uint16_t* listed, int n_listed, double* sums) noexcept nogil
    bint lfmm2_has_wide() noexcept nogil
    int lfmm2_use_registers(int level) noexcept nogil

REGISTERS = ("baseline", "avx2", "avx512")


def use_registers(str name):
    """Add from now on in one of `REGISTERS`, or the next narrower that the processor has, and return its name.

    All give the same bits; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in REGISTERS:
        raise ValueError(f"{name!r} is not one of {', '.join(REGISTERS)}")
    return REGISTERS[lfmm2_use_registers(REGISTERS.index(name))]


WIDEST = use_registers("avx512")

cdef enum:
    # Columns that are added together at least; columns are filled up with zeros to a multiple of them.
    PANEL = 4
    # Most and fewest SNPs of a tile. A table takes as long to write as it takes some 80 SNPs to read it, so fewer are
    # slow; with more, the sums of a panel (64 bytes a SNP) and the words (64 bytes a SNP) leave the L2 cache.
    MOST_TILE_SNPS = 1024
    FEWEST_TILE_SNPS = 128
    # Most sums of a tile, 256 KiB, as long as it has more than the fewest SNPs.
    TILE_SUMS = 32_768
    # Most sums of a tile for each sample: with few samples, a thread takes little memory.
    SAMPLE_SUMS = 64
    # Words between the words of two registers beyond those of the SNPs, so that they are not a power of two apart.
    SPARE_WORDS = 8
    # One call in so many is missing where tables of missing calls become faster than lists of them.
    DENSE = 32
    # Bytes of a SNP whose missing calls are listed together: 1024 samples, whose rows are in the L2 cache.
    LIST_BYTES = 256
    # Doubles in a cache line of 64 bytes.
    CACHE_LINE = 8


cdef inline Py_ssize_t round_up(Py_ssize_t size, Py_ssize_t step) noexcept nogil:
    """Return the next multiple of `step`."""
    return (size + step - 1) // step * step


cdef inline Py_ssize_t largest_tile(Py_ssize_t n_samples, Py_ssize_t m) noexcept nogil:
    """Return the most SNPs of a tile, a multiple of 8."""
    cdef Py_ssize_t n_sums = min(<Py_ssize_t> TILE_SUMS, SAMPLE_SUMS * min(n_samples, <Py_ssize_t> TILE_SUMS))
    cdef Py_ssize_t most = n_sums // round_up(max(m, 1), PANEL) // 8 * 8
    return max(<Py_ssize_t> FEWEST_TILE_SNPS, min(<Py_ssize_t> MOST_TILE_SNPS, most))


cdef inline double* cache_line(double* work) noexcept nogil:
    """Return the next multiple of 64 bytes: an entry of a table is then one line of the cache."""
    return <double*> ((<uintptr_t> work + 63) & ~(<uintptr_t> 63))


def columns_size(Py_ssize_t n_samples, Py_ssize_t m):
    """Return the doubles that `arrange_columns` fills for m columns of n_samples."""
    return (round_up(n_samples, LFMM2_WORD_SAMPLES) + 1) * round_up(m, PANEL) + CACHE_LINE


def workspace_size(Py_ssize_t n_samples, Py_ssize_t m):
    """Return the doubles of workspace that one thread needs for m columns of n_samples."""
    cdef Py_ssize_t tile = largest_tile(n_samples, m)
    return (
        2 * PANEL * LFMM2_WORD * LFMM2_ENTRIES
        + 2 * tile * round_up(m, PANEL)
        + 2 * LFMM2_SPAN * (tile + SPARE_WORDS)
        + tile
        + CACHE_LINE
    )


def arrange_columns(
    const double[:, ::1] W,            # IN (n_samples, m)
    double[::1] columns_out,           # OUT (columns_size(n_samples, m),)
):
    """Arrange columns by panels of four, one after the other, with zeros up to whole words of samples and panels.

    Parameters
    ----------
    W : ndarray of shape (n_samples, m), float64, C-contiguous
    columns_out : ndarray of shape (columns_size(n_samples, m),), float64
        Overwritten; the sums of the columns stand at the end. It must stay where it is: its beginning is a line of the
        cache.

    Raises
    ------
    ValueError
        If `columns_out` is too short, or there is no column or sample.
    """
    cdef Py_ssize_t n = W.shape[0], m = W.shape[1], n_padded = round_up(n, LFMM2_WORD_SAMPLES), i, c
    cdef double* columns
    cdef double* sums
    if n < 1 or m < 1:
        raise ValueError("W must have at least one row and one column")
    if columns_out.shape[0] < columns_size(n, m):
        raise ValueError(f"columns_out must have {columns_size(n, m)} entries")
    columns = cache_line(&columns_out[0])
    sums = columns + n_padded * round_up(m, PANEL)
    with nogil:
        memset(columns, 0, (n_padded + 1) * round_up(m, PANEL) * sizeof(double))
        for i in range(n):
            for c in range(m):
                columns[(c // PANEL * n_padded + i) * PANEL + c % PANEL] = W[i, c]
                sums[c] += W[i, c]


def cross_products(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const double[::1] columns,         # IN, from `arrange_columns`
    int64_t[:, ::1] counts_out,        # OUT (n_snps_block, 4)
    double[:, ::1] products_out,       # OUT (n_snps_block, m)
    double[:, ::1] work,               # WORK (n_threads, workspace_size(n_samples, m))
    int n_threads=1,
):
    """Compute the cross-products Y_b W of every SNP of the block with the columns of W, and count its genotypes.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples, coding : int
        As in `lfmm2._core.decode_block`.
    columns : ndarray of shape (columns_size(n_samples, m),), float64
        W (n_samples, m), as `arrange_columns` has arranged it.
    counts_out : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Overwritten; codes 00, 01, 10, 11.
    products_out : ndarray of shape (n_snps_block, m), float64, C-contiguous
        Overwritten; exactly 0 where all calls are alike. Each row is written by one thread.
    work : ndarray of shape (>= n_threads, >= workspace_size(n_samples, m)), float64
        Overwritten.
    n_threads : int

    Raises
    ------
    ValueError
        If an array has another shape.

    Notes
    -----
    n m / 4 additions per SNP, and n_missing m more, but not more than twice as many in all; n/4 bytes read and
    8 m + 32 written. Cache: eight tables of 81 rows of 64 bytes (41 KiB) are read at random; sums and words of a tile
    of up to 1024 SNPs (64 KiB each) are read and written in turn.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], m = products_out.shape[1]
    cdef Py_ssize_t most = largest_tile(n_samples, m), n_tiles, tile, t, first
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if n_samples < 1 or n_bytes != (n_samples + 3) // 4:
        raise ValueError(f"packed rows of {n_bytes} bytes do not hold {n_samples} samples")
    if counts_out.shape[0] != n_snps or counts_out.shape[1] != 4:
        raise ValueError(f"counts_out must have shape ({n_snps}, 4)")
    if products_out.shape[0] != n_snps or m < 1:
        raise ValueError(f"products_out must have shape ({n_snps}, >= 1)")
    if columns.shape[0] != columns_size(n_samples, m):
        raise ValueError(f"columns must have {columns_size(n_samples, m)} entries")
    if work.shape[0] < n_threads or work.shape[1] < workspace_size(n_samples, m):
        raise ValueError(f"work must have shape (>= {n_threads}, >= {workspace_size(n_samples, m)})")
    if n_snps == 0:
        return
    # As many tiles for each thread as for any other.
    n_tiles = round_up((n_snps + most - 1) // most, n_threads)
    tile = min(most, max(round_up((n_snps + n_tiles - 1) // n_tiles, 8), FEWEST_TILE_SNPS))
    n_tiles = (n_snps + tile - 1) // tile
    for t in prange(n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        first = t * tile
        cross_products_of_tile(
            &packed[first, 0], n_bytes, min(tile, n_snps - first), n_samples, coding, &columns[0], m, tile,
            &counts_out[first, 0], &products_out[first, 0], &work[threadid(), 0],
        )


cdef void count_codes(const uint8_t* snp, Py_ssize_t n_samples, int64_t* counts) noexcept nogil:
    """Count the codes 00, 01, 10, 11 of one SNP."""
    cdef int64_t pairs[3]
    cdef uint8_t last
    pairs[0] = pairs[1] = pairs[2] = 0
    lfmm2_count_pairs(snp, n_samples // 4, pairs)
    if n_samples & 3:
        last = snp[n_samples // 4] & ((1 << 2 * (n_samples & 3)) - 1)
        lfmm2_count_pairs(&last, 1, pairs)
    counts[0] = n_samples - pairs[0] - pairs[1] + pairs[2]
    counts[1] = pairs[0] - pairs[2]
    counts[2] = pairs[1] - pairs[2]
    counts[3] = pairs[2]


cdef inline bint varies(const int64_t* counts) noexcept nogil:
    """Return whether two calls of a SNP differ."""
    cdef int64_t n_called = counts[0] + counts[2] + counts[3]
    return n_called > 0 and n_called != counts[0] and n_called != counts[2] and n_called != counts[3]


cdef Py_ssize_t assign_slots(
    const int64_t* counts, Py_ssize_t n_snps, Py_ssize_t n_samples, int64_t* slots, Py_ssize_t* n_dense
) noexcept nogil:
    """Number the SNPs with missing calls, those with many of them first, and return how many there are.

    Other SNPs have -1. The sums over missing samples are held by these numbers.
    """
    cdef Py_ssize_t s, n_slots
    n_dense[0] = 0
    for s in range(n_snps):
        slots[s] = -1
        if counts[4 * s + 1] * DENSE > n_samples and varies(counts + 4 * s):
            slots[s] = n_dense[0]
            n_dense[0] += 1
    n_slots = n_dense[0]
    for s in range(n_snps):
        if 0 < counts[4 * s + 1] * DENSE <= n_samples and varies(counts + 4 * s):
            slots[s] = n_slots
            n_slots += 1
    return n_slots


cdef void write_products(
    const int64_t* counts, int coding, const double* totals, Py_ssize_t m, const double* sums, const double* missing,
    Py_ssize_t tile, Py_ssize_t s, Py_ssize_t slot, double* products,
) noexcept nogil:
    """Compute the products of SNP s of a tile from its sums, and from those of its missing samples if it has a slot."""
    cdef int64_t n_called = counts[0] + counts[2] + counts[3]
    cdef double nu, scale = 1.0, rest
    cdef Py_ssize_t n_panels = (m + PANEL - 1) // PANEL, c, panel, width
    cdef bint wide = lfmm2_has_wide()
    if not varies(counts):
        for c in range(m):
            products[c] = 0.0
        return
    nu = <double> (counts[3] - counts[0]) / <double> n_called
    if coding & SCALE:
        # 2 f (1 - f) with f = (1 + nu) / 2
        scale = 1.0 / sqrt(0.5 * (1.0 + nu) * (1.0 - nu))
    if coding & COUNT_A1:
        scale = -scale
    for c in range(m):
        panel = c // PANEL
        # Wide tables make the sums of two panels side by side; a last panel may be alone.
        width = 2 * PANEL if wide and (panel | 1) < n_panels else PANEL
        rest = totals[c]
        if slot >= 0:
            rest -= missing[(panel * tile + slot) * PANEL + c % PANEL]
        products[c] = scale * (sums[c // width * width * tile + width * s + c % width] - nu * rest)


cdef void cross_products_of_tile(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, int coding,
    const double* columns, Py_ssize_t m, Py_ssize_t tile, int64_t* counts, double* products, double* work,
) noexcept nogil:
    """Compute the products of up to `tile` SNPs, span by span of 256 samples, and count their codes."""
    cdef Py_ssize_t n_padded = round_up(n_samples, LFMM2_WORD_SAMPLES), m_padded = round_up(m, PANEL)
    cdef Py_ssize_t n_spans = (n_bytes + LFMM2_SPAN_BYTES - 1) // LFMM2_SPAN_BYTES, stride = tile + SPARE_WORDS
    cdef double* tables = cache_line(work)
    cdef double* sums = tables + 2 * PANEL * LFMM2_WORD * LFMM2_ENTRIES
    cdef double* missing = sums + tile * m_padded
    cdef uint64_t* words = <uint64_t*> (missing + tile * m_padded)
    cdef uint64_t* masks = words + LFMM2_SPAN * stride
    cdef int64_t* slots = <int64_t*> (masks + LFMM2_SPAN * stride)
    cdef Py_ssize_t s, n_dense = 0, n_slots, span, size, part
    columns = <const double*> cache_line(<double*> columns)
    for s in range(n_snps):
        count_codes(packed + s * n_bytes, n_samples, counts + 4 * s)
    n_slots = assign_slots(counts, n_snps, n_samples, slots, &n_dense)
    memset(sums, 0, tile * m_padded * sizeof(double))
    if n_slots:
        memset(missing, 0, tile * m_padded * sizeof(double))
    if n_dense < n_slots:
        for part in range((n_bytes + LIST_BYTES - 1) // LIST_BYTES):
            add_listed(
                packed, n_bytes, n_snps, n_samples, part * LIST_BYTES, columns, m_padded, tile, slots, n_dense, missing
            )
    for span in range(n_spans):
        size = min(LFMM2_SPAN_BYTES, n_bytes - span * LFMM2_SPAN_BYTES)
        index_span(packed, n_bytes, n_snps, span, slots, n_dense, words, masks, stride)
        add_span(
            columns + span * LFMM2_SPAN * LFMM2_WORD_SAMPLES * PANEL, n_padded, m_padded,
            (size + LFMM2_WORD - 1) // LFMM2_WORD, tile, n_snps, n_dense, words, masks, stride,
            tables, sums, missing,
        )
    for s in range(n_snps):
        write_products(
            counts + 4 * s, coding, columns + n_padded * m_padded, m, sums, missing, tile, s, slots[s], products + m * s
        )


cdef void index_span(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t span, const int64_t* slots,
    Py_ssize_t n_dense, uint64_t* words, uint64_t* masks, Py_ssize_t stride,
) noexcept nogil:
    """Write the words of all SNPs over a span of samples, and the masks of missing calls where these are many."""
    cdef Py_ssize_t first = span * LFMM2_SPAN_BYTES, size = min(LFMM2_SPAN_BYTES, n_bytes - first), s, word
    cdef const uint8_t* bytes
    cdef uint8_t copy[64]
    cdef bint is_last = first + size == n_bytes
    memset(copy, 0, sizeof(copy))
    for s in range(n_snps):
        bytes = packed + s * n_bytes + first
        if is_last:
            # Zeros follow it; pad bits meet rows of zeros.
            memcpy(copy, bytes, size)
            bytes = copy
        else:
            LFMM2_PREFETCH(bytes + LFMM2_SPAN_BYTES)
        lfmm2_write_index(bytes, words + s, stride)
        if 0 <= slots[s] < n_dense:
            for word in range(LFMM2_SPAN):
                masks[word * stride + slots[s]] = lfmm2_missing_mask(
                    lfmm2_missing(lfmm2_genotypes(bytes + LFMM2_WORD * word))
                )


cdef void add_listed(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, Py_ssize_t first,
    const double* columns, Py_ssize_t m_padded, Py_ssize_t tile, const int64_t* slots, Py_ssize_t n_dense,
    double* missing,
) noexcept nogil:
    """Add the rows of missing samples from byte `first` on, for the SNPs that have few of them."""
    cdef Py_ssize_t n_padded = round_up(n_samples, LFMM2_WORD_SAMPLES), size = min(LIST_BYTES, n_bytes - first)
    cdef Py_ssize_t s, panel
    cdef const double* rows = columns + 4 * first * PANEL
    cdef const uint8_t* bytes
    cdef uint8_t copy[LIST_BYTES]
    cdef uint16_t listed[4 * LIST_BYTES + 1]
    cdef int n_listed
    memset(copy, 0, sizeof(copy))
    for s in range(n_snps):
        if slots[s] < n_dense:  # also where no call is missing
            continue
        bytes = packed + s * n_bytes + first
        if first + size == n_bytes:
            memcpy(copy, bytes, size)
            bytes = copy
        n_listed = lfmm2_list_missing(bytes, <int> ((size + LFMM2_WORD - 1) // LFMM2_WORD), listed)
        for panel in range(m_padded // PANEL):
            lfmm2_add_rows(
                rows + panel * n_padded * PANEL, listed, n_listed, missing + (panel * tile + slots[s]) * PANEL
            )


cdef void add_span(
    const double* rows, Py_ssize_t n_padded, Py_ssize_t m_padded, Py_ssize_t n_words, Py_ssize_t tile,
    Py_ssize_t n_snps, Py_ssize_t n_dense, const uint64_t* words, const uint64_t* masks, Py_ssize_t stride,
    double* tables, double* sums, double* missing,
) noexcept nogil:
    """Add the entries of all SNPs over a span of samples, whose rows of the first panel are `rows`."""
    cdef Py_ssize_t next = n_padded * PANEL, step = LFMM2_WORD_SAMPLES * PANEL, panel = 0, word
    cdef bint wide = lfmm2_has_wide()
    while panel < m_padded // PANEL:
        for word in range(n_words):
            if wide and panel + 1 < m_padded // PANEL:
                lfmm2_fill_wide(rows + panel * next + word * step, next, tables)
                lfmm2_add_wide(words + word * stride, n_snps, tables, sums + panel * tile * PANEL)
            else:
                lfmm2_fill_four(rows + panel * next + word * step, next, tables)
                lfmm2_add_four(words + word * stride, n_snps, tables, sums + panel * tile * PANEL)
        panel += 2 if wide and panel + 1 < m_padded // PANEL else 1
    if n_dense == 0:
        return
    for panel in range(m_padded // PANEL):
        for word in range(n_words):
            lfmm2_fill_missing(rows + panel * next + word * step, next, tables)
            lfmm2_add_missing(masks + word * stride, n_dense, tables, missing + panel * tile * PANEL)
