/* Counts of set bits in the intersections of two SNPs' planes, in the widest registers that the processor has.

   Counts are integers, so every variant gives the same. The variant is chosen when the module is loaded; the package
   itself is built for the baseline of its platform. Planes have a multiple of LFMM2_PLANE_WORDS words; spare bits are
   zero. */

#ifndef LFMM2_POPCOUNT_H
#define LFMM2_POPCOUNT_H

#include <stddef.h>
#include <stdint.h>

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86_POPCOUNT 1
#include <immintrin.h>
#else
#define LFMM2_X86_POPCOUNT 0
#endif

/* Words of a plane that are counted at a time: one register of 512 bits. */
#define LFMM2_PLANE_WORDS 8

/* The planes of a SNP, one after the other: homozygous calls, homozygous calls with dosage 0, and all calls. */
typedef struct {
    const uint64_t *homozygous, *zero, *called;
} lfmm2_planes;

/* Numbers of samples in the intersections of the planes of two SNPs x and y. */
typedef struct {
    int64_t both_homozygous, opposite;      /* homozygous in both; and there for different alleles */
    int64_t both_called;                    /* called in both */
    int64_t homozygous_x, zero_x;           /* of x where y is called */
    int64_t homozygous_y, zero_y;           /* of y where x is called */
} lfmm2_overlap;

typedef void (*lfmm2_overlap_counter)(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words, lfmm2_overlap *out);

static inline lfmm2_planes lfmm2_planes_of(const uint64_t *snp, ptrdiff_t n_words) {
    const lfmm2_planes planes = {snp, snp + n_words, snp + 2 * n_words};
    return planes;
}

/* The number of set bits of each byte. Up to 31 such words may be added before a byte overflows. */
static inline uint64_t lfmm2_byte_counts(uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555ULL;
    word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
    return (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
}

/* The sum of eight bytes, each at most 248. */
static inline int64_t lfmm2_sum_bytes(uint64_t bytes) {
    bytes = (bytes & 0x00FF00FF00FF00FFULL) + ((bytes >> 8) & 0x00FF00FF00FF00FFULL);
    return (int64_t)((bytes * 0x0001000100010001ULL) >> 48);
}

static inline int64_t lfmm2_count_bits(const uint64_t *words, ptrdiff_t n_words) {
    int64_t count = 0;
    for (ptrdiff_t i = 0; i < n_words; i++)
        count += lfmm2_sum_bytes(lfmm2_byte_counts(words[i]));
    return count;
}

static void lfmm2_complete_baseline(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words, lfmm2_overlap *out) {
    out->both_homozygous = out->opposite = 0;
    for (ptrdiff_t first = 0; first < n_words; first += 3 * LFMM2_PLANE_WORDS) {
        const ptrdiff_t stop = first + 3 * LFMM2_PLANE_WORDS < n_words ? first + 3 * LFMM2_PLANE_WORDS : n_words;
        uint64_t both = 0, opposite = 0;
        for (ptrdiff_t i = first; i < stop; i++) {
            const uint64_t shared = x.homozygous[i] & y.homozygous[i];
            both += lfmm2_byte_counts(shared);
            opposite += lfmm2_byte_counts(shared & (x.zero[i] ^ y.zero[i]));
        }
        out->both_homozygous += lfmm2_sum_bytes(both);
        out->opposite += lfmm2_sum_bytes(opposite);
    }
}

static void lfmm2_partial_baseline(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words, lfmm2_overlap *out) {
    lfmm2_complete_baseline(x, y, n_words, out);
    out->both_called = out->homozygous_x = out->zero_x = out->homozygous_y = out->zero_y = 0;
    for (ptrdiff_t first = 0; first < n_words; first += 3 * LFMM2_PLANE_WORDS) {
        const ptrdiff_t stop = first + 3 * LFMM2_PLANE_WORDS < n_words ? first + 3 * LFMM2_PLANE_WORDS : n_words;
        uint64_t called = 0, hx = 0, zx = 0, hy = 0, zy = 0;
        for (ptrdiff_t i = first; i < stop; i++) {
            called += lfmm2_byte_counts(x.called[i] & y.called[i]);
            hx += lfmm2_byte_counts(x.homozygous[i] & y.called[i]);
            zx += lfmm2_byte_counts(x.zero[i] & y.called[i]);
            hy += lfmm2_byte_counts(y.homozygous[i] & x.called[i]);
            zy += lfmm2_byte_counts(y.zero[i] & x.called[i]);
        }
        out->both_called += lfmm2_sum_bytes(called);
        out->homozygous_x += lfmm2_sum_bytes(hx);
        out->zero_x += lfmm2_sum_bytes(zx);
        out->homozygous_y += lfmm2_sum_bytes(hy);
        out->zero_y += lfmm2_sum_bytes(zy);
    }
}

#if LFMM2_X86_POPCOUNT
#define LFMM2_TARGET_AVX2 __attribute__((target("avx2")))
#define LFMM2_TARGET_AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

/* The number of set bits of each byte, from a table of the counts of half bytes. */
LFMM2_TARGET_AVX2 static inline __m256i lfmm2_count_avx2(__m256i bits) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(bits, half));
    const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bits, 4), half));
    return _mm256_add_epi8(low, high);
}

LFMM2_TARGET_AVX2 static inline __m256i lfmm2_load_avx2(const uint64_t *words) {
    return _mm256_loadu_si256((const __m256i *)words);
}

LFMM2_TARGET_AVX2 static inline int64_t lfmm2_sum_avx2(__m256i sums) {
    const __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return _mm_extract_epi64(pair, 0) + _mm_extract_epi64(pair, 1);
}

/* Add the counts of the two registers that hold eight words; a byte has at most 16. */
#define LFMM2_ADD_AVX2(sum, bits_low, bits_high) \
    sum = _mm256_add_epi64( \
        sum, _mm256_sad_epu8(_mm256_add_epi8(lfmm2_count_avx2(bits_low), lfmm2_count_avx2(bits_high)), zero))

LFMM2_TARGET_AVX2 static void lfmm2_complete_avx2(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words,
                                                  lfmm2_overlap *out) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i both = zero, opposite = zero;
    for (ptrdiff_t i = 0; i < n_words; i += LFMM2_PLANE_WORDS) {
        const __m256i low = _mm256_and_si256(lfmm2_load_avx2(x.homozygous + i), lfmm2_load_avx2(y.homozygous + i));
        const __m256i high =
            _mm256_and_si256(lfmm2_load_avx2(x.homozygous + i + 4), lfmm2_load_avx2(y.homozygous + i + 4));
        const __m256i other_low = _mm256_xor_si256(lfmm2_load_avx2(x.zero + i), lfmm2_load_avx2(y.zero + i));
        const __m256i other_high = _mm256_xor_si256(lfmm2_load_avx2(x.zero + i + 4), lfmm2_load_avx2(y.zero + i + 4));
        LFMM2_ADD_AVX2(both, low, high);
        LFMM2_ADD_AVX2(opposite, _mm256_and_si256(low, other_low), _mm256_and_si256(high, other_high));
    }
    out->both_homozygous = lfmm2_sum_avx2(both);
    out->opposite = lfmm2_sum_avx2(opposite);
}

LFMM2_TARGET_AVX2 static inline int64_t lfmm2_shared_avx2(const uint64_t *a, const uint64_t *b, ptrdiff_t n_words) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum = zero;
    for (ptrdiff_t i = 0; i < n_words; i += LFMM2_PLANE_WORDS)
        LFMM2_ADD_AVX2(sum, _mm256_and_si256(lfmm2_load_avx2(a + i), lfmm2_load_avx2(b + i)),
                       _mm256_and_si256(lfmm2_load_avx2(a + i + 4), lfmm2_load_avx2(b + i + 4)));
    return lfmm2_sum_avx2(sum);
}

LFMM2_TARGET_AVX2 static void lfmm2_partial_avx2(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words,
                                                 lfmm2_overlap *out) {
    lfmm2_complete_avx2(x, y, n_words, out);
    out->both_called = lfmm2_shared_avx2(x.called, y.called, n_words);
    out->homozygous_x = lfmm2_shared_avx2(x.homozygous, y.called, n_words);
    out->zero_x = lfmm2_shared_avx2(x.zero, y.called, n_words);
    out->homozygous_y = lfmm2_shared_avx2(y.homozygous, x.called, n_words);
    out->zero_y = lfmm2_shared_avx2(y.zero, x.called, n_words);
}

LFMM2_TARGET_AVX512 static inline __m512i lfmm2_add_avx512(__m512i sum, __m512i bits) {
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(bits));
}

LFMM2_TARGET_AVX512 static void lfmm2_complete_avx512(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words,
                                                      lfmm2_overlap *out) {
    __m512i both = _mm512_setzero_si512(), opposite = both;
    for (ptrdiff_t i = 0; i < n_words; i += LFMM2_PLANE_WORDS) {
        const __m512i shared =
            _mm512_and_si512(_mm512_loadu_si512(x.homozygous + i), _mm512_loadu_si512(y.homozygous + i));
        const __m512i other = _mm512_xor_si512(_mm512_loadu_si512(x.zero + i), _mm512_loadu_si512(y.zero + i));
        both = lfmm2_add_avx512(both, shared);
        opposite = lfmm2_add_avx512(opposite, _mm512_and_si512(shared, other));
    }
    out->both_homozygous = _mm512_reduce_add_epi64(both);
    out->opposite = _mm512_reduce_add_epi64(opposite);
}

LFMM2_TARGET_AVX512 static void lfmm2_partial_avx512(lfmm2_planes x, lfmm2_planes y, ptrdiff_t n_words,
                                                     lfmm2_overlap *out) {
    const __m512i none = _mm512_setzero_si512();
    __m512i both = none, opposite = none, called = none, hx = none, zx = none, hy = none, zy = none;
    for (ptrdiff_t i = 0; i < n_words; i += LFMM2_PLANE_WORDS) {
        const __m512i x_homozygous = _mm512_loadu_si512(x.homozygous + i), x_zero = _mm512_loadu_si512(x.zero + i);
        const __m512i y_homozygous = _mm512_loadu_si512(y.homozygous + i), y_zero = _mm512_loadu_si512(y.zero + i);
        const __m512i x_called = _mm512_loadu_si512(x.called + i), y_called = _mm512_loadu_si512(y.called + i);
        const __m512i shared = _mm512_and_si512(x_homozygous, y_homozygous);
        both = lfmm2_add_avx512(both, shared);
        opposite = lfmm2_add_avx512(opposite, _mm512_and_si512(shared, _mm512_xor_si512(x_zero, y_zero)));
        called = lfmm2_add_avx512(called, _mm512_and_si512(x_called, y_called));
        hx = lfmm2_add_avx512(hx, _mm512_and_si512(x_homozygous, y_called));
        zx = lfmm2_add_avx512(zx, _mm512_and_si512(x_zero, y_called));
        hy = lfmm2_add_avx512(hy, _mm512_and_si512(y_homozygous, x_called));
        zy = lfmm2_add_avx512(zy, _mm512_and_si512(y_zero, x_called));
    }
    out->both_homozygous = _mm512_reduce_add_epi64(both);
    out->opposite = _mm512_reduce_add_epi64(opposite);
    out->both_called = _mm512_reduce_add_epi64(called);
    out->homozygous_x = _mm512_reduce_add_epi64(hx);
    out->zero_x = _mm512_reduce_add_epi64(zx);
    out->homozygous_y = _mm512_reduce_add_epi64(hy);
    out->zero_y = _mm512_reduce_add_epi64(zy);
}
#endif

/* The counter for two SNPs without a missing call, which makes the first two counts alone, and that for others. */
static lfmm2_overlap_counter lfmm2_count_complete = lfmm2_complete_baseline;
static lfmm2_overlap_counter lfmm2_count_partial = lfmm2_partial_baseline;

/* Use the variant `level` (0 baseline, 1 AVX2, 2 AVX-512) or the widest below it that the processor has; returns it. */
static int lfmm2_use_counter(int level) {
#if LFMM2_X86_POPCOUNT
    __builtin_cpu_init();
    if (level >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) {
        lfmm2_count_complete = lfmm2_complete_avx512;
        lfmm2_count_partial = lfmm2_partial_avx512;
        return 2;
    }
    if (level >= 1 && __builtin_cpu_supports("avx2")) {
        lfmm2_count_complete = lfmm2_complete_avx2;
        lfmm2_count_partial = lfmm2_partial_avx2;
        return 1;
    }
#endif
    (void)level;
    lfmm2_count_complete = lfmm2_complete_baseline;
    lfmm2_count_partial = lfmm2_partial_baseline;
    return 0;
}

#endif
