# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The Gram matrix of packed genotypes, by integers.

With u = dosage - 1, 0 where the call is missing, m = 1 there and 0 elsewhere, and ν = mean dosage - 1 of a SNP, the
imputed and centred SNP is v = u - ν + ν m. Hence C = Σ v vᵀ over SNPs is

    C = Σ u uᵀ - a 1ᵀ - 1 aᵀ + (Σ ν²) 1 1ᵀ + E + Eᵀ,    a = Σ ν u,    E = Σ ν w mᵀ,    w = u - ν + ν m / 2

Σ u uᵀ is counted in bits or bytes (_gram.h), and added once a panel. E is sparse: the missing calls of each sample are
listed, and the values ν w of the listed SNPs are looked up and added one by one, as those of a are. So each entry of C
is the sum of the same numbers in the same order, whatever the threads and the processor. Which allele is counted does
not matter to C.

Pad bits of the last byte are ignored.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memset

cdef extern from "_gram.h":
    const int LFMM2_STRIP
    const int LFMM2_STRIP_BYTES
    const int LFMM2_WORD_SAMPLES
    const int LFMM2_EDGE
    const int LFMM2_PLANE_WORDS
    const Py_ssize_t LFMM2_PANEL
    Py_ssize_t lfmm2_sample_words
    const uint16_t* lfmm2_every_snp

    void lfmm2_write_strip(
        const uint8_t* packed, Py_ssize_t n_bytes, int n_snps, int strip_bytes, int n_samples, uint64_t* calls,
        Py_ssize_t word, Py_ssize_t stride, Py_ssize_t first_sample,
    ) noexcept nogil
    void lfmm2_add_square(
        const uint64_t* calls, Py_ssize_t stride, Py_ssize_t n_words, Py_ssize_t n_snps, Py_ssize_t first_row,
        Py_ssize_t first_column, Py_ssize_t n, const double* a, double total, double* C,
    ) noexcept nogil
    void lfmm2_add_values(
        const uint64_t* genotypes, const double* values, const uint16_t* snps, Py_ssize_t n_snps, double* sums
    ) noexcept nogil
    void lfmm2_add_missing(
        const uint64_t* genotypes, const double* values, const uint16_t* snps, Py_ssize_t n_missing, Py_ssize_t first,
        Py_ssize_t n, Py_ssize_t k, double* C,
    ) noexcept nogil
    int lfmm2_use_multiplier(int level) noexcept nogil
    void lfmm2_list_every_snp() noexcept nogil

MULTIPLIERS = ("baseline", "neon", "ssse3", "avx2", "avx512")


def use_multiplier(str name):
    """Count from now on with one of `MULTIPLIERS`, or the next narrower that the processor has, and return its name.

    All give the same bits; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in MULTIPLIERS:
        raise ValueError(f"{name!r} is not one of {', '.join(MULTIPLIERS)}")
    return MULTIPLIERS[lfmm2_use_multiplier(MULTIPLIERS.index(name))]


MULTIPLIER = use_multiplier("avx512")
lfmm2_list_every_snp()

cdef enum:
    # SNPs of a panel whose missing calls can be listed together whatever they are: so long is the list at most. Where
    # few calls are missing it has room for those of a whole panel.
    PART = 1024
    # Edge of the squares in which the upper triangle is folded onto the lower one.
    FOLD = 32

#: SNPs of a panel; blocks begin at multiples of it.
PANEL_SNPS = LFMM2_PANEL
#: Missing calls per sample for which there is room in a list.
LISTED_CALLS = PART


def workspace_shapes(Py_ssize_t n_samples, int n_threads):
    """Return the shapes of the workspaces `calls` (uint64), `sums` (doubles), `starts` (int64), `words` (uint64).

    They hold for the way to count that is in use.
    """
    cdef Py_ssize_t n_padded = (n_samples + LFMM2_EDGE - 1) // LFMM2_EDGE * LFMM2_EDGE
    return (
        (n_padded, lfmm2_sample_words),
        (n_padded + 5 * LFMM2_PANEL,),
        (n_samples + 1,),
        (n_threads, LFMM2_PANEL),
    )


def most_missing(const int64_t[:, ::1] counts, Py_ssize_t n_samples):
    """Return the most missing calls that are listed together, from the counts of genotypes of a block (n_snps, 4)."""
    cdef Py_ssize_t n_snps = counts.shape[0], begin = 0, end, j
    cdef int64_t most = 0, here
    while begin < n_snps:
        end = begin // LFMM2_PANEL * LFMM2_PANEL + LFMM2_PANEL
        end = end_of_part(&counts[0, 0], begin, min(end, n_snps), n_samples)
        here = 0
        for j in range(begin, end):
            here += counts[j, 1]
        most = max(most, here)
        begin = end
    return most


cdef Py_ssize_t end_of_part(
    const int64_t* counts, Py_ssize_t begin, Py_ssize_t stop, Py_ssize_t n_samples
) noexcept nogil:
    """Return the end of the SNPs from `begin` on, up to `stop`, for whose missing calls there is room in a list."""
    cdef int64_t room = n_samples * PART
    cdef Py_ssize_t j = begin
    while j < stop and counts[4 * j + 1] <= room:
        room -= counts[4 * j + 1]
        j += 1
    return j


def add_gram(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    const int64_t[:, ::1] counts,      # IN (n_snps_block, 4)
    double[::1, :] C_out,              # IN/OUT (n_samples, n_samples), F order
    uint64_t[:, ::1] calls,            # WORK, as `workspace_shapes`
    double[::1] sums,                  # WORK
    int64_t[::1] starts,               # WORK
    uint64_t[:, ::1] words,            # WORK
    uint16_t[::1] lists,               # WORK (>= most_missing(counts, n_samples),)
    int n_threads=1,
):
    """Add the block's share of the Gram matrix: to the lower triangle, and that of missing calls also to the upper one.

    `fold_gram` adds the upper triangle, which is no part of C before that, to the lower one.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
        Panels of `PANEL_SNPS` are counted from its first SNP.
    n_samples : int
    counts : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Calls of each code, as `count_genotypes` gives them.
    C_out : ndarray of shape (n_samples, n_samples), float64, F-contiguous
        Added to.
    calls, sums, starts, words, lists : ndarray
        Overwritten.
    n_threads : int

    Raises
    ------
    ValueError
        If an array has another shape.

    Notes
    -----
    6 instructions for 512 products with AVX-512, 2 for 64 with AVX2 and some to part their sums, and n additions per
    missing call, 32 in 15 to 30 cycles.
    Threads own disjoint squares of C, then disjoint rows. A square reads 2 x 48 x 2 KiB of bits, or four times as
    many bytes in parts of 2 x 10.5 KiB; 32 rows read 64 KiB
    of genotypes and 256 KiB of values, and their part of C once for each list, which is the less often the fewer calls
    are missing.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], stride = calls.shape[1]
    cdef Py_ssize_t n_padded = calls.shape[0], n_strips = (n_samples + LFMM2_STRIP - 1) // LFMM2_STRIP
    cdef Py_ssize_t n_edges = n_padded // LFMM2_EDGE, n_squares = n_edges * (n_edges + 1) // 2
    cdef Py_ssize_t n_panels = (n_snps + LFMM2_PANEL - 1) // LFMM2_PANEL, p, first, b, strip, word, q, n_words
    cdef Py_ssize_t begin, end
    cdef Py_ssize_t n_of_word = (n_samples + LFMM2_WORD_SAMPLES - 1) // LFMM2_WORD_SAMPLES
    cdef double* a
    cdef double* nu
    cdef double* values
    cdef double total
    if n_bytes != (n_samples + 3) // 4 or n_samples < 1 or n_threads < 1:
        raise ValueError(f"packed has {n_bytes} bytes per SNP for {n_samples} samples")
    if counts.shape[0] != n_snps or counts.shape[1] != 4:
        raise ValueError(f"counts must have shape ({n_snps}, 4)")
    if C_out.shape[0] != n_samples or C_out.shape[1] != n_samples:
        raise ValueError(f"C_out must have shape ({n_samples}, {n_samples})")
    shapes = workspace_shapes(n_samples, n_threads)
    if (
        (n_padded, stride) != shapes[0] or sums.shape[0] < shapes[1][0] or starts.shape[0] < shapes[2][0]
        or words.shape[0] < n_threads or words.shape[1] < shapes[3][1]
    ):
        raise ValueError(f"workspaces must have shapes {shapes}")
    if lists.shape[0] < most_missing(counts, n_samples):
        raise ValueError(f"lists must have {most_missing(counts, n_samples)} entries")
    if n_snps == 0:
        return
    a, nu, values = &sums[0], &sums[n_padded], &sums[n_padded + LFMM2_PANEL]
    first = n_samples // LFMM2_EDGE * LFMM2_EDGE  # No rubbish beside the last samples.
    memset(&calls[0, 0] + first * stride, 0, (n_padded - first) * stride * sizeof(uint64_t))
    for p in range(n_panels):
        first = p * LFMM2_PANEL
        b = min(LFMM2_PANEL, n_snps - first)
        with nogil:
            total = center_panel(&counts[first, 0], b, nu)
            n_words = (b + 64 * LFMM2_PLANE_WORDS - 1) // (64 * LFMM2_PLANE_WORDS) * LFMM2_PLANE_WORDS
            write_differences(nu, b, values)
            for strip in prange(n_strips, num_threads=n_threads, schedule="dynamic", chunksize=1):
                prepare_strip(
                    &packed[first, 0], n_bytes, b, n_samples, strip, n_words, values, &calls[0, 0], stride,
                    &words[threadid(), 0], a,
                )
            for q in prange(n_squares, num_threads=n_threads, schedule="dynamic", chunksize=1):
                add_square(&calls[0, 0], stride, n_words, b, n_edges, q, n_samples, a, total, &C_out[0, 0])
            begin = 0
            while begin < b:
                end = end_of_part(&counts[first, 0], begin, b, n_samples)
                if any_missing(&counts[first + begin, 0], end - begin):
                    list_missing(
                        &packed[first + begin, 0], n_bytes, end - begin, n_samples, &counts[first + begin, 0],
                        n_strips, &starts[0], &lists[0], n_threads,
                    )
                    write_values(nu + begin, end - begin, values)
                    for word in prange(n_of_word, num_threads=n_threads, schedule="dynamic", chunksize=1):
                        add_word(
                            &packed[first + begin, 0], n_bytes, end - begin, n_samples, word, values, &starts[0],
                            &lists[0], &words[threadid(), 0], &C_out[0, 0],
                        )
                begin = end


def fold_gram(double[::1, :] C_out, int n_threads=1):
    """Add the upper triangle to the lower one, and set it to 0, in place.

    Parameters
    ----------
    C_out : ndarray of shape (n, n), float64, F-contiguous
    n_threads : int
    """
    cdef Py_ssize_t n = C_out.shape[0], n_blocks = (n + FOLD - 1) // FOLD, block
    if C_out.shape[1] != n or n_threads < 1:
        raise ValueError("C_out must be square")
    for block in prange(n_blocks, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1):
        fold_rows(&C_out[0, 0], n, block)


cdef void fold_rows(double* C, Py_ssize_t n, Py_ssize_t block) noexcept nogil:
    """Fold the squares of one block of columns of the lower triangle."""
    cdef Py_ssize_t first = block * FOLD, stop = min(first + FOLD, n), square, i, k
    for square in range(block, (n + FOLD - 1) // FOLD):
        for k in range(first, stop):
            for i in range(max(square * FOLD, k + 1), min(square * FOLD + FOLD, n)):
                C[k * n + i] += C[i * n + k]
                C[i * n + k] = 0.0


cdef double center_panel(const int64_t* counts, Py_ssize_t n_snps, double* nu) noexcept nogil:
    """Compute ν of each SNP, and return the sum of their squares."""
    cdef Py_ssize_t j
    cdef int64_t n_called
    cdef double total = 0.0
    for j in range(n_snps):
        n_called = counts[4 * j] + counts[4 * j + 2] + counts[4 * j + 3]
        # Exact where all calls are alike: the numerator is then 0 or n_called.
        nu[j] = <double> (counts[4 * j + 3] - counts[4 * j]) / <double> n_called if n_called else 0.0
        total += nu[j] * nu[j]
    return total


cdef bint any_missing(const int64_t* counts, Py_ssize_t n_snps) noexcept nogil:
    """Return whether a SNP has a missing call."""
    cdef Py_ssize_t j
    for j in range(n_snps):
        if counts[4 * j + 1]:
            return True
    return False


cdef void prepare_strip(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, Py_ssize_t strip,
    Py_ssize_t n_words, const double* values, uint64_t* calls, Py_ssize_t stride, uint64_t* words, double* a,
) noexcept nogil:
    """Write the planes or bytes of the samples of a strip, and their a = Σ ν u, added in the order of the SNPs."""
    cdef Py_ssize_t first = strip * LFMM2_STRIP, byte = strip * LFMM2_STRIP_BYTES, w, i, half
    cdef int size = <int> min(LFMM2_STRIP, n_samples - first), strip_bytes = (size + 3) // 4
    cdef double sums[64]
    memset(sums, 0, sizeof(sums))
    for w in range(n_words):
        lfmm2_write_strip(
            packed + 64 * w * n_bytes + byte if 64 * w < n_snps else packed, n_bytes,
            <int> max(min(64, n_snps - 64 * w), 0), strip_bytes, size, calls, w, stride, first,
        )
    for half in range((size + LFMM2_WORD_SAMPLES - 1) // LFMM2_WORD_SAMPLES):
        read_words(packed, n_bytes, n_snps, byte + half * LFMM2_WORD_SAMPLES // 4, words)
        lfmm2_add_values(words, values, lfmm2_every_snp, n_snps, sums + half * LFMM2_WORD_SAMPLES)
    for i in range(size):
        a[first + i] = sums[i]


cdef void add_square(
    const uint64_t* calls, Py_ssize_t stride, Py_ssize_t n_words, Py_ssize_t n_snps, Py_ssize_t n_edges, Py_ssize_t q,
    Py_ssize_t n_samples, const double* a, double total, double* C,
) noexcept nogil:
    """Add the products of square q of the lower triangle, counted row by row from the last row."""
    cdef Py_ssize_t row = 0
    q = n_edges * (n_edges + 1) // 2 - 1 - q
    while q > row:
        row += 1
        q -= row
    lfmm2_add_square(
        calls, stride, n_words, n_snps, row * LFMM2_EDGE, q * LFMM2_EDGE, n_samples, a, total, C
    )


cdef inline uint64_t bytes_as_word(const uint8_t* bytes, Py_ssize_t n_bytes) noexcept nogil:
    """Return up to 8 bytes as a word, the first one lowest, on any processor."""
    cdef uint64_t word = 0
    cdef Py_ssize_t i
    if n_bytes == 8:
        # A loop of known length becomes one load.
        for i in range(8):
            word |= (<uint64_t> bytes[i]) << (8 * i)
        return word
    for i in range(n_bytes):
        word |= (<uint64_t> bytes[i]) << (8 * i)
    return word


cdef inline uint64_t missing_bits(const uint8_t* bytes, Py_ssize_t n_bytes, Py_ssize_t n) noexcept nogil:
    """Return a word with bit 2 i set where call i of up to 32 calls is missing: its code is 01."""
    cdef uint64_t word = bytes_as_word(bytes, n_bytes)
    cdef uint64_t low = word & ~(word >> 1) & 0x5555555555555555ULL
    return low if n >= 32 else low & (((<uint64_t> 1) << (2 * n)) - 1)


cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define lfmm2_lowest_bit(word) __builtin_ctzll(word)
    #else
    static int lfmm2_lowest_bit(unsigned long long word) {
        int bit = 0;
        while (!(word & 1)) { word >>= 1; bit++; }
        return bit;
    }
    #endif
    """
    int lfmm2_lowest_bit(uint64_t word) noexcept nogil


cdef void list_missing(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, const int64_t* counts,
    Py_ssize_t n_strips, int64_t* starts, uint16_t* lists, int n_threads,
) noexcept nogil:
    """List the SNPs of a part in which each sample is missing: those of sample i from starts[i] to starts[i + 1]."""
    cdef Py_ssize_t strip, i
    cdef int64_t total = 0, here
    for strip in prange(n_strips, num_threads=n_threads, schedule="static"):
        list_strip(packed, n_bytes, n_snps, n_samples, counts, strip, starts, NULL)
    for i in range(n_samples):
        here = starts[i]
        starts[i] = total
        total += here
    starts[n_samples] = total
    for strip in prange(n_strips, num_threads=n_threads, schedule="static"):
        list_strip(packed, n_bytes, n_snps, n_samples, counts, strip, starts, lists)


cdef void list_strip(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, const int64_t* counts,
    Py_ssize_t strip, int64_t* starts, uint16_t* lists,
) noexcept nogil:
    """Count the missing calls of the samples of a strip into `starts`, or write their SNPs to `lists`."""
    cdef Py_ssize_t first = strip * LFMM2_STRIP, byte = strip * LFMM2_STRIP_BYTES, j, half, i
    cdef Py_ssize_t size = min(LFMM2_STRIP, n_samples - first)
    cdef int64_t ends[64]
    cdef uint64_t bits
    for i in range(size):
        ends[i] = 0 if lists == NULL else starts[first + i]
    for j in range(n_snps):
        if counts[4 * j + 1] == 0:
            continue
        for half in range((size + 31) // 32):
            bits = missing_bits(
                packed + j * n_bytes + byte + 8 * half, min(8, (size - 32 * half + 3) // 4), size - 32 * half
            )
            while bits:
                i = 32 * half + (lfmm2_lowest_bit(bits) >> 1)
                if lists != NULL:
                    lists[ends[i]] = <uint16_t> j
                ends[i] += 1
                bits &= bits - 1
    if lists == NULL:
        for i in range(size):
            starts[first + i] = ends[i]


cdef void read_words(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t byte, uint64_t* words
) noexcept nogil:
    """Write up to 8 packed bytes of each SNP, from `byte` on, as words."""
    cdef Py_ssize_t size = min(8, n_bytes - byte), j
    for j in range(n_snps):
        words[j] = bytes_as_word(packed + j * n_bytes + byte, size)


cdef void write_differences(const double* nu, Py_ssize_t n_snps, double* values) noexcept nogil:
    """Write ν u of the codes of each SNP: dosage 0, missing, dosage 1, dosage 2."""
    cdef Py_ssize_t j
    for j in range(n_snps):
        values[4 * j], values[4 * j + 3] = -nu[j], nu[j]
        values[4 * j + 1] = values[4 * j + 2] = 0.0


cdef void write_values(const double* nu, Py_ssize_t n_snps, double* values) noexcept nogil:
    """Write ν w of the codes of each SNP: dosage 0, missing, dosage 1, dosage 2."""
    cdef Py_ssize_t j
    for j in range(n_snps):
        values[4 * j] = nu[j] * (-1.0 - nu[j])
        values[4 * j + 1] = -0.5 * nu[j] * nu[j]
        values[4 * j + 2] = -nu[j] * nu[j]
        values[4 * j + 3] = nu[j] * (1.0 - nu[j])


cdef void add_word(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, Py_ssize_t word,
    const double* values, const int64_t* starts, const uint16_t* lists, uint64_t* words, double* C,
) noexcept nogil:
    """Add ν w of the samples of a word of 8 packed bytes, at the missing calls of every sample."""
    cdef Py_ssize_t k
    read_words(packed, n_bytes, n_snps, word * LFMM2_WORD_SAMPLES // 4, words)
    for k in range(n_samples):
        if starts[k] < starts[k + 1]:
            lfmm2_add_missing(
                words, values, lists + starts[k], starts[k + 1] - starts[k], word * LFMM2_WORD_SAMPLES, n_samples, k, C
            )
