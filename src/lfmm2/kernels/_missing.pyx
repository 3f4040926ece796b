# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Missing calls of each sample over the SNPs of a block: packed .bed bytes in, counts out.

A word of 64 bits holds 32 genotypes of a SNP. The missing ones (code 01) are marked in the lower bit of each pair, and
the marks of many SNPs are added in the word itself: 3 SNPs fill a field of 2 bits, 15 one of 4 bits, 255 one of 8 bits.
Only then are the fields taken apart and added to the counts.

    fields of   2 bits   4 bits   8 bits   32 bits
    words        1        2        4        16        for each word of genotypes

Integers are added, so the counts are the same in any order and on any number of threads.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    # Samples of a word of 64 bits.
    WORD_SAMPLES = 32
    # Words of counters for each word of genotypes, see above.
    COUNTER_WORDS = 23
    # SNPs after which fields of 2, 4 and 8 bits are full.
    FULL_2 = 3
    FULL_4 = 15
    FULL_8 = 255
    # Fewest SNPs that a thread takes: to set its counters to 0 and to add them up takes as long as some dozen SNPs.
    FEWEST_SNPS = 64


def work_words(Py_ssize_t n_samples):
    """Return the words of workspace, 8 bytes each, that a thread needs: about 0.72 a sample."""
    return COUNTER_WORDS * ((n_samples + WORD_SAMPLES - 1) // WORD_SAMPLES)


def count_missing(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    const int64_t[::1] snps,           # IN (n_chosen,)
    int64_t[::1] counts_out,           # OUT (n_samples,)
    uint64_t[:, ::1] work,             # WORK (>= n_threads, >= work_words(n_samples))
    int n_threads=1,
):
    """Count the missing calls of every sample over some SNPs of a block.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
        PLINK .bed bytes; pad bits are ignored.
    n_samples : int
    snps : ndarray of shape (n_chosen,), int64
        Rows of `packed` to count, each in [0, n_snps_block); SNPs without a missing call may be left out.
    counts_out : ndarray of shape (n_samples,), int64, C-contiguous
        Overwritten with the number of missing calls of each sample.
    work : ndarray of shape (>= n_threads, >= work_words(n_samples)), uint64, C-contiguous
        Overwritten.
    n_threads : int

    Raises
    ------
    IndexError
        If a row is not in the block.

    Notes
    -----
    Reads n/4 bytes per SNP; about 0.3 integer operations per genotype. Counters of a thread take 5.75 n bytes.
    """
    cdef Py_ssize_t n_chosen = snps.shape[0], n_bytes = packed.shape[1]
    cdef Py_ssize_t n_words = (n_samples + WORD_SAMPLES - 1) // WORD_SAMPLES, n_parts, part, first, stop, i
    cdef const uint32_t* totals
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if n_samples < 1 or n_bytes != (n_samples + 3) // 4:
        raise ValueError(f"packed rows of {n_bytes} bytes do not hold {n_samples} samples")
    if counts_out.shape[0] != n_samples:
        raise ValueError(f"counts_out must have shape ({n_samples},)")
    if work.shape[0] < n_threads or work.shape[1] < COUNTER_WORDS * n_words:
        raise ValueError(f"work must have shape ({n_threads}, {COUNTER_WORDS * n_words}) at least")
    for i in range(n_chosen):
        if snps[i] < 0 or snps[i] >= packed.shape[0]:
            raise IndexError(f"snps[{i}] is {snps[i]}, outside [0, {packed.shape[0]})")
    counts_out[:] = 0
    if n_chosen == 0:
        return
    n_parts = max(min(<Py_ssize_t> n_threads, n_chosen // FEWEST_SNPS), 1)
    for part in prange(n_parts, nogil=True, num_threads=n_threads, schedule="static", use_threads_if=n_parts > 1):
        first = n_chosen * part // n_parts
        stop = n_chosen * (part + 1) // n_parts
        count_rows(&packed[0, 0], n_bytes, n_words, &snps[0] + first, stop - first, &work[part, 0])
    for part in range(n_parts):
        totals = <const uint32_t*> (&work[part, 0] + 7 * n_words)
        for i in range(n_samples):
            counts_out[i] += totals[i]


cdef void count_rows(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_words, const int64_t* snps, Py_ssize_t n_snps,
    uint64_t* work
) noexcept nogil:
    """Count the missing calls of some SNPs in the counters of one thread."""
    cdef uint64_t* pairs = work
    cdef uint64_t* nibbles = pairs + n_words
    cdef uint64_t* octets = nibbles + 2 * n_words
    cdef uint32_t* totals = <uint32_t*> (octets + 4 * n_words)
    cdef Py_ssize_t s
    memset(work, 0, 8 * COUNTER_WORDS * n_words)
    for s in range(n_snps):
        add_marks(packed + snps[s] * n_bytes, n_bytes, pairs)
        if (s + 1) % FULL_2 == 0 or s + 1 == n_snps:
            add_pairs(pairs, n_words, nibbles)
        if (s + 1) % FULL_4 == 0 or s + 1 == n_snps:
            add_nibbles(nibbles, n_words, octets)
        if (s + 1) % FULL_8 == 0 or s + 1 == n_snps:
            add_octets(octets, n_words, totals)


cdef inline uint64_t marks(uint64_t word) noexcept nogil:
    """Return a 1 in the lower bit of each pair that is the code 01, missing."""
    return word & ~(word >> 1) & 0x5555555555555555ULL


cdef void add_marks(const uint8_t* snp, Py_ssize_t n_bytes, uint64_t* pairs) noexcept nogil:
    """Add the missing calls of one SNP to fields of 2 bits."""
    cdef Py_ssize_t n_whole = n_bytes // 8, j
    cdef uint64_t word
    for j in range(n_whole):
        memcpy(&word, snp + 8 * j, 8)
        pairs[j] += marks(word)
    if n_bytes > 8 * n_whole:
        word = 0
        for j in range(n_bytes - 8 * n_whole):
            word |= (<uint64_t> snp[8 * n_whole + j]) << (8 * j)
        pairs[n_whole] += marks(word)


cdef void add_pairs(uint64_t* pairs, Py_ssize_t n_words, uint64_t* nibbles) noexcept nogil:
    """Add fields of 2 bits to fields of 4 bits, those of even samples apart from those of odd ones, and clear them."""
    cdef Py_ssize_t j
    for j in range(n_words):
        nibbles[j] += pairs[j] & 0x3333333333333333ULL
        nibbles[n_words + j] += (pairs[j] >> 2) & 0x3333333333333333ULL
        pairs[j] = 0


cdef void add_nibbles(uint64_t* nibbles, Py_ssize_t n_words, uint64_t* octets) noexcept nogil:
    """Add fields of 4 bits to fields of 8 bits, and clear them: word f holds the samples 4 b + f of the bytes b."""
    cdef Py_ssize_t j
    for j in range(n_words):
        octets[j] += nibbles[j] & 0x0F0F0F0F0F0F0F0FULL
        octets[n_words + j] += nibbles[n_words + j] & 0x0F0F0F0F0F0F0F0FULL
        octets[2 * n_words + j] += (nibbles[j] >> 4) & 0x0F0F0F0F0F0F0F0FULL
        octets[3 * n_words + j] += (nibbles[n_words + j] >> 4) & 0x0F0F0F0F0F0F0F0FULL
        nibbles[j] = nibbles[n_words + j] = 0


cdef void add_octets(uint64_t* octets, Py_ssize_t n_words, uint32_t* totals) noexcept nogil:
    """Add fields of 8 bits to the total of each sample, and clear them."""
    cdef Py_ssize_t j, f, b
    for f in range(4):
        for j in range(n_words):
            for b in range(8):
                totals[WORD_SAMPLES * j + 4 * b + f] += <uint32_t> ((octets[f * n_words + j] >> (8 * b)) & 0xFF)
            octets[f * n_words + j] = 0
