/* Parts of the Gram matrix of packed genotypes in integers, in the widest registers that the processor has.

   With u = dosage - 1, 0 where the call is missing, a sample has two planes of one bit per SNP: h, homozygous; and s,
   the low bit of its code, which tells the two homozygotes apart. The sum of u_i u_k over SNPs is

       |h_i h_k| - 2 |h_i h_k (s_i xor s_k)|

   and a missing call has h = 0, so that it needs no plane of its own. Sums are of integers, or added in one order, so
   every variant gives the same. The variant is chosen when the module is loaded; the package is built for the baseline of its platform. */

#ifndef LFMM2_GRAM_H
#define LFMM2_GRAM_H

#include <string.h>

#include "_decode.h"
#include "_popcount.h"

/* Samples whose calls are split into planes at a time: 16 packed bytes. */
#define LFMM2_STRIP 64
#define LFMM2_STRIP_BYTES 16
/* Samples whose values are added at a missing call of another one: the genotypes of a word of 8 packed bytes. */
#define LFMM2_WORD_SAMPLES 32
/* Samples of a block of products: rows, and columns. */
#define LFMM2_ROWS 4
#define LFMM2_COLUMNS 3
/* Samples of an edge of a square of the matrix, a multiple of both. */
#define LFMM2_EDGE 48
#if defined(__GNUC__) || defined(__clang__)
#define LFMM2_INLINE static inline __attribute__((always_inline))
#else
#define LFMM2_INLINE static inline
#endif

/* Sums of u_i u_k of four samples i and three samples k, out[4 k + i]. A sample has n_words of h, and as many of s
   `plane` words after them; samples are `stride` words apart. n_words is a multiple of LFMM2_PLANE_WORDS. */
typedef void (*lfmm2_block_multiplier)(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                       ptrdiff_t plane, ptrdiff_t n_words, int64_t *out);
/* Word `word` of the planes of the samples of a strip, from up to 64 SNPs `n_bytes` apart. */
typedef void (*lfmm2_plane_writer)(const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, int strip_bytes,
                                   int n_samples, uint64_t *planes, ptrdiff_t stride, ptrdiff_t plane);
/* Add the values of the 32 genotypes of a SNP to 32 sums, of the listed SNPs one after the other. A SNP has a word of
   genotypes and four values, those of the codes 0 to 3. */
typedef void (*lfmm2_value_adder)(const uint64_t *genotypes, const double *values, const uint16_t *snps,
                                  ptrdiff_t n_snps, double *sums);

/* --- any processor ----------------------------------------------------------------------------------------- */

LFMM2_INLINE int64_t lfmm2_pair_words(const uint64_t *a, const uint64_t *b, ptrdiff_t plane, ptrdiff_t n_words) {
    int64_t both = 0, opposite = 0;
    for (ptrdiff_t first = 0; first < n_words; first += 3 * LFMM2_PLANE_WORDS) {
        const ptrdiff_t stop = first + 3 * LFMM2_PLANE_WORDS < n_words ? first + 3 * LFMM2_PLANE_WORDS : n_words;
        uint64_t t = 0, q = 0;
        for (ptrdiff_t w = first; w < stop; w++) {
            const uint64_t shared = a[w] & b[w];
            t += lfmm2_byte_counts(shared);
            q += lfmm2_byte_counts(shared & (a[plane + w] ^ b[plane + w]));
        }
        both += lfmm2_sum_bytes(t);
        opposite += lfmm2_sum_bytes(q);
    }
    return both - 2 * opposite;
}

static void lfmm2_multiply_baseline(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride, ptrdiff_t plane,
                                    ptrdiff_t n_words, int64_t *out) {
    for (int k = 0; k < LFMM2_COLUMNS; k++)
        for (int i = 0; i < LFMM2_ROWS; i++)
            out[LFMM2_ROWS * k + i] = lfmm2_pair_words(rows + i * stride, columns + k * stride, plane, n_words);
}

/* Transpose 8 x 8 bytes. */
LFMM2_INLINE void lfmm2_transpose_bytes(uint64_t *x) {
    for (int step = 4, shift = 32; step; step >>= 1, shift >>= 1) {
        const uint64_t mask = step == 4 ? 0x00000000FFFFFFFFULL : step == 2 ? 0x0000FFFF0000FFFFULL
                                                                            : 0x00FF00FF00FF00FFULL;
        for (int i = 0; i < 8; i++)
            if (!(i & step)) {
                const uint64_t swapped = ((x[i] >> shift) ^ x[i + step]) & mask;
                x[i + step] ^= swapped;
                x[i] ^= swapped << shift;
            }
    }
}

/* Gather bit `bit` of each of eight bytes; that of the first byte is the lowest. */
LFMM2_INLINE uint64_t lfmm2_gather_bits(uint64_t bytes, int bit) {
    return ((bytes >> bit & 0x0101010101010101ULL) * 0x0102040810204080ULL) >> 56;
}

static void lfmm2_write_planes_baseline(const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, int strip_bytes,
                                        int n_samples, uint64_t *planes, ptrdiff_t stride, ptrdiff_t plane) {
    uint64_t low[LFMM2_STRIP], high[LFMM2_STRIP];
    const uint64_t live = n_snps >= 64 ? ~0ULL : (1ULL << n_snps) - 1;
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (int first = 0; first < n_snps; first += 8)
        for (int column = 0; column < strip_bytes; column += 8) {
            const int width = strip_bytes - column < 8 ? strip_bytes - column : 8;
            uint64_t x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            for (int j = 0; j < 8 && first + j < n_snps; j++)
                for (int byte = 0; byte < width; byte++)
                    x[j] |= (uint64_t)packed[(first + j) * n_bytes + column + byte] << (8 * byte);
            lfmm2_transpose_bytes(x);
            for (int byte = 0; byte < width; byte++)
                for (int q = 0; q < 4; q++) {
                    low[4 * (column + byte) + q] |= lfmm2_gather_bits(x[byte], 2 * q) << first;
                    high[4 * (column + byte) + q] |= lfmm2_gather_bits(x[byte], 2 * q + 1) << first;
                }
        }
    for (int i = 0; i < n_samples; i++) {
        planes[i * stride] = ~(low[i] ^ high[i]) & live;
        planes[i * stride + plane] = low[i];
    }
}

static void lfmm2_add_values_baseline(const uint64_t *genotypes, const double *values, const uint16_t *snps,
                                      ptrdiff_t n_snps, double *sums) {
    /* Eight sums at a time, which stay in registers. */
    for (int first = 0; first < LFMM2_WORD_SAMPLES; first += 8) {
        double held[8];
        memcpy(held, sums + first, sizeof held);
        for (ptrdiff_t e = 0; e < n_snps; e++) {
            const double *of_snp = values + 4 * (ptrdiff_t)snps[e];
            const uint32_t codes = (uint32_t)(genotypes[snps[e]] >> 2 * first);
            held[0] += of_snp[codes & 3];
            held[1] += of_snp[codes >> 2 & 3];
            held[2] += of_snp[codes >> 4 & 3];
            held[3] += of_snp[codes >> 6 & 3];
            held[4] += of_snp[codes >> 8 & 3];
            held[5] += of_snp[codes >> 10 & 3];
            held[6] += of_snp[codes >> 12 & 3];
            held[7] += of_snp[codes >> 14 & 3];
        }
        memcpy(sums + first, held, sizeof held);
    }
}

/* --- x86 --------------------------------------------------------------------------------------------------- */

#if LFMM2_X86_POPCOUNT
#define LFMM2_TARGET_GRAM512 __attribute__((target("avx512f,avx512vpopcntdq")))

__attribute__((target("popcnt"))) static void lfmm2_multiply_popcnt(const uint64_t *rows, const uint64_t *columns,
                                                                    ptrdiff_t stride, ptrdiff_t plane,
                                                                    ptrdiff_t n_words, int64_t *out) {
    for (int k = 0; k < LFMM2_COLUMNS; k++)
        for (int i = 0; i < LFMM2_ROWS; i++) {
            const uint64_t *a = rows + i * stride, *b = columns + k * stride;
            int64_t both = 0, opposite = 0;
            for (ptrdiff_t w = 0; w < n_words; w++) {
                const uint64_t shared = a[w] & b[w];
                both += __builtin_popcountll(shared);
                opposite += __builtin_popcountll(shared & (a[plane + w] ^ b[plane + w]));
            }
            out[LFMM2_ROWS * k + i] = both - 2 * opposite;
        }
}

/* Two samples i and one k at a time: bytes hold up to 15 counts of at most 8, positive and negative. */
LFMM2_TARGET_AVX2 static inline void lfmm2_multiply_two_avx2(const uint64_t *a, const uint64_t *c, const uint64_t *b,
                                                             ptrdiff_t plane, ptrdiff_t n_words, int64_t *out) {
    const __m256i ones = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    __m256i first_sum = _mm256_setzero_si256(), second_sum = first_sum;
    for (ptrdiff_t begin = 0; begin < n_words; begin += 4 * 15) {
        const ptrdiff_t stop = begin + 4 * 15 < n_words ? begin + 4 * 15 : n_words;
        __m256i first = _mm256_setzero_si256(), second = first;
        for (ptrdiff_t w = begin; w < stop; w += 4) {
            const __m256i h = lfmm2_load_avx2(b + w), s = lfmm2_load_avx2(b + plane + w);
            __m256i shared = _mm256_and_si256(h, lfmm2_load_avx2(a + w));
            __m256i differs = _mm256_xor_si256(s, lfmm2_load_avx2(a + plane + w));
            first = _mm256_add_epi8(first, lfmm2_count_avx2(_mm256_andnot_si256(differs, shared)));
            first = _mm256_sub_epi8(first, lfmm2_count_avx2(_mm256_and_si256(differs, shared)));
            shared = _mm256_and_si256(h, lfmm2_load_avx2(c + w));
            differs = _mm256_xor_si256(s, lfmm2_load_avx2(c + plane + w));
            second = _mm256_add_epi8(second, lfmm2_count_avx2(_mm256_andnot_si256(differs, shared)));
            second = _mm256_sub_epi8(second, lfmm2_count_avx2(_mm256_and_si256(differs, shared)));
        }
        first_sum = _mm256_add_epi32(first_sum, _mm256_madd_epi16(_mm256_maddubs_epi16(ones, first), ones16));
        second_sum = _mm256_add_epi32(second_sum, _mm256_madd_epi16(_mm256_maddubs_epi16(ones, second), ones16));
    }
    int32_t parts[16];
    _mm256_storeu_si256((__m256i *)parts, first_sum);
    _mm256_storeu_si256((__m256i *)(parts + 8), second_sum);
    out[0] = out[1] = 0;
    for (int v = 0; v < 8; v++) {
        out[0] += parts[v];
        out[1] += parts[8 + v];
    }
}

LFMM2_TARGET_AVX2 static void lfmm2_multiply_avx2(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                                  ptrdiff_t plane, ptrdiff_t n_words, int64_t *out) {
    for (int i = 0; i < LFMM2_ROWS; i += 2)
        for (int k = 0; k < LFMM2_COLUMNS; k++)
            lfmm2_multiply_two_avx2(rows + i * stride, rows + (i + 1) * stride, columns + k * stride, plane, n_words,
                                    out + LFMM2_ROWS * k + i);
}

/* Transpose 16 x 16 bytes. */
static inline void lfmm2_transpose_16(__m128i *x) {
    __m128i y[16];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            y[2 * i] = _mm_unpacklo_epi8(x[i], x[i + 8]);
            y[2 * i + 1] = _mm_unpackhi_epi8(x[i], x[i + 8]);
        }
        memcpy(x, y, sizeof y);
    }
}

LFMM2_TARGET_AVX2 static void lfmm2_write_planes_avx2(const uint8_t *packed, ptrdiff_t n_bytes, int n_snps,
                                                      int strip_bytes, int n_samples, uint64_t *planes,
                                                      ptrdiff_t stride, ptrdiff_t plane) {
    uint8_t columns[LFMM2_STRIP_BYTES][64] __attribute__((aligned(32)));
    const uint64_t live = n_snps >= 64 ? ~0ULL : (1ULL << n_snps) - 1;
    for (int quarter = 0; quarter < 4; quarter++) {
        __m128i x[16];
        for (int j = 0; j < 16; j++) {
            const int snp = 16 * quarter + j;
            uint8_t bytes[LFMM2_STRIP_BYTES] = {0};
            if (snp >= n_snps)
                x[j] = _mm_setzero_si128();
            else if (strip_bytes == LFMM2_STRIP_BYTES)
                x[j] = _mm_loadu_si128((const __m128i *)(packed + snp * n_bytes));
            else {
                memcpy(bytes, packed + snp * n_bytes, (size_t)strip_bytes);
                x[j] = _mm_loadu_si128((const __m128i *)bytes);
            }
        }
        lfmm2_transpose_16(x);
        for (int byte = 0; byte < LFMM2_STRIP_BYTES; byte++)
            _mm_store_si128((__m128i *)(columns[byte] + 16 * quarter), x[byte]);
    }
    for (int i = 0; i < n_samples; i++) {
        /* The highest bit of each byte is the bit wanted once it is shifted there. */
        const __m256i first = _mm256_load_si256((const __m256i *)columns[i >> 2]);
        const __m256i second = _mm256_load_si256((const __m256i *)(columns[i >> 2] + 32));
        const __m128i to_low = _mm_cvtsi32_si128(7 - 2 * (i & 3)), to_high = _mm_cvtsi32_si128(6 - 2 * (i & 3));
        const uint64_t low = (uint32_t)_mm256_movemask_epi8(_mm256_sll_epi16(first, to_low)) |
                             (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_sll_epi16(second, to_low)) << 32;
        const uint64_t high = (uint32_t)_mm256_movemask_epi8(_mm256_sll_epi16(first, to_high)) |
                              (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_sll_epi16(second, to_high)) << 32;
        planes[i * stride] = ~(low ^ high) & live;
        planes[i * stride + plane] = low;
    }
}

/* Four genotypes at a time: a row of `lfmm2_halves` permutes the halves of the values into their places. */
LFMM2_TARGET_AVX2 static void lfmm2_add_values_avx2(const uint64_t *genotypes, const double *values,
                                                    const uint16_t *snps, ptrdiff_t n_snps, double *sums) {
    __m256d held[LFMM2_WORD_SAMPLES / 4];
#pragma GCC unroll 8
    for (int b = 0; b < LFMM2_WORD_SAMPLES / 4; b++)
        held[b] = _mm256_loadu_pd(sums + 4 * b);
    for (ptrdiff_t e = 0; e < n_snps; e++) {
        const __m256 four = _mm256_castpd_ps(_mm256_loadu_pd(values + 4 * (ptrdiff_t)snps[e]));
        const uint64_t word = genotypes[snps[e]];
#pragma GCC unroll 8
        for (int b = 0; b < LFMM2_WORD_SAMPLES / 4; b++) {
            const __m256i halves = _mm256_load_si256((const __m256i *)lfmm2_halves[word >> 8 * b & 255]);
            held[b] = _mm256_add_pd(held[b], _mm256_castps_pd(_mm256_permutevar8x32_ps(four, halves)));
        }
    }
#pragma GCC unroll 8
    for (int b = 0; b < LFMM2_WORD_SAMPLES / 4; b++)
        _mm256_storeu_pd(sums + 4 * b, held[b]);
}

/* Eight genotypes at a time: lane k holds the word shifted by 2 k bits, whose low three bits choose one of the values,
   which stand in both halves of a register. */
__attribute__((target("avx512f"))) static void lfmm2_add_values_avx512(const uint64_t *genotypes, const double *values,
                                                                       const uint16_t *snps, ptrdiff_t n_snps,
                                                                       double *sums) {
    const __m512i shifts = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    __m512d held[LFMM2_WORD_SAMPLES / 8];
#pragma GCC unroll 4
    for (int b = 0; b < LFMM2_WORD_SAMPLES / 8; b++)
        held[b] = _mm512_loadu_pd(sums + 8 * b);
    for (ptrdiff_t e = 0; e < n_snps; e++) {
        const __m512d twice = _mm512_broadcast_f64x4(_mm256_loadu_pd(values + 4 * (ptrdiff_t)snps[e]));
        const __m512i word = _mm512_set1_epi64((long long)genotypes[snps[e]]);
#pragma GCC unroll 4
        for (int b = 0; b < LFMM2_WORD_SAMPLES / 8; b++) {
            const __m512i by = _mm512_add_epi64(shifts, _mm512_set1_epi64(16 * b));
            held[b] = _mm512_add_pd(held[b], _mm512_permutexvar_pd(_mm512_srlv_epi64(word, by), twice));
        }
    }
#pragma GCC unroll 4
    for (int b = 0; b < LFMM2_WORD_SAMPLES / 8; b++)
        _mm512_storeu_pd(sums + 8 * b, held[b]);
}

LFMM2_TARGET_GRAM512 static void lfmm2_multiply_avx512(const uint64_t *rows, const uint64_t *columns,
                                                       ptrdiff_t stride, ptrdiff_t plane, ptrdiff_t n_words,
                                                       int64_t *out) {
    __m512i both[LFMM2_COLUMNS][LFMM2_ROWS], opposite[LFMM2_COLUMNS][LFMM2_ROWS];
#pragma GCC unroll 3
    for (int k = 0; k < LFMM2_COLUMNS; k++)
#pragma GCC unroll 4
        for (int i = 0; i < LFMM2_ROWS; i++)
            both[k][i] = opposite[k][i] = _mm512_setzero_si512();
    for (ptrdiff_t w = 0; w < n_words; w += LFMM2_PLANE_WORDS) {
#pragma GCC unroll 3
        for (int k = 0; k < LFMM2_COLUMNS; k++) {
            const __m512i h = _mm512_loadu_si512(columns + k * stride + w);
            const __m512i s = _mm512_loadu_si512(columns + k * stride + plane + w);
#pragma GCC unroll 4
            for (int i = 0; i < LFMM2_ROWS; i++) {
                const __m512i shared = _mm512_and_si512(h, _mm512_loadu_si512(rows + i * stride + w));
                /* 0x60: the first, where the second and the third differ. */
                const __m512i differs =
                    _mm512_ternarylogic_epi64(shared, s, _mm512_loadu_si512(rows + i * stride + plane + w), 0x60);
                both[k][i] = _mm512_add_epi64(both[k][i], _mm512_popcnt_epi64(shared));
                opposite[k][i] = _mm512_add_epi64(opposite[k][i], _mm512_popcnt_epi64(differs));
            }
        }
    }
#pragma GCC unroll 3
    for (int k = 0; k < LFMM2_COLUMNS; k++) {
        __m512i x[LFMM2_ROWS];
#pragma GCC unroll 4
        for (int i = 0; i < LFMM2_ROWS; i++)
            x[i] = _mm512_sub_epi64(both[k][i], _mm512_slli_epi64(opposite[k][i], 1));
        /* The sums of the lanes of four registers, in the lanes of one of 256 bits. */
        const __m512i first = _mm512_add_epi64(_mm512_unpacklo_epi64(x[0], x[1]), _mm512_unpackhi_epi64(x[0], x[1]));
        const __m512i second = _mm512_add_epi64(_mm512_unpacklo_epi64(x[2], x[3]), _mm512_unpackhi_epi64(x[2], x[3]));
        const __m512i pairs = _mm512_add_epi64(_mm512_shuffle_i64x2(first, second, 0x88),
                                               _mm512_shuffle_i64x2(first, second, 0xdd));
        const __m512i sums = _mm512_add_epi64(pairs, _mm512_shuffle_i64x2(pairs, pairs, 0xb1));
        int64_t lanes[8];
        _mm512_storeu_si512(lanes, sums);
        out[LFMM2_ROWS * k] = lanes[0];
        out[LFMM2_ROWS * k + 1] = lanes[1];
        out[LFMM2_ROWS * k + 2] = lanes[4];
        out[LFMM2_ROWS * k + 3] = lanes[5];
    }
}
#endif

/* --- the variant in use ------------------------------------------------------------------------------------- */

static lfmm2_block_multiplier lfmm2_multiply_block = lfmm2_multiply_baseline;
static lfmm2_plane_writer lfmm2_write_planes = lfmm2_write_planes_baseline;
static lfmm2_value_adder lfmm2_add_values = lfmm2_add_values_baseline;

/* Use the variant `level` (0 baseline, 1 POPCNT, 2 AVX2, 3 AVX-512) or the next below it that the processor has. */
static int lfmm2_use_multiplier(int level) {
    lfmm2_multiply_block = lfmm2_multiply_baseline;
    lfmm2_write_planes = lfmm2_write_planes_baseline;
    lfmm2_add_values = lfmm2_add_values_baseline;
#if LFMM2_X86_POPCOUNT
    __builtin_cpu_init();
    const int has_avx2 = level >= 2 && __builtin_cpu_supports("avx2");
    if (has_avx2) {
        lfmm2_multiply_block = lfmm2_multiply_avx2;
        lfmm2_write_planes = lfmm2_write_planes_avx2;
        lfmm2_add_values = lfmm2_add_values_avx2;
    }
    if (has_avx2 && level >= 3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) {
        lfmm2_multiply_block = lfmm2_multiply_avx512;
        lfmm2_add_values = lfmm2_add_values_avx512;
        return 3;
    }
    if (has_avx2)
        return 2;
    if (level >= 1 && __builtin_cpu_supports("popcnt")) {
        lfmm2_multiply_block = lfmm2_multiply_popcnt;
        return 1;
    }
#endif
    (void)level;
    return 0;
}

/* --- squares and strips of the matrix ----------------------------------------------------------------------- */

/* Add to a square of the lower triangle, of F order, its u_i u_k - a_i - a_k + total. */
static void lfmm2_add_square(const uint64_t *planes, ptrdiff_t stride, ptrdiff_t plane, ptrdiff_t n_words,
                             ptrdiff_t first_row, ptrdiff_t first_column, ptrdiff_t n, const double *a, double total,
                             double *C) {
    for (ptrdiff_t k = first_column; k < first_column + LFMM2_EDGE && k < n; k += LFMM2_COLUMNS)
        for (ptrdiff_t i = first_row; i < first_row + LFMM2_EDGE && i < n; i += LFMM2_ROWS) {
            int64_t sums[LFMM2_ROWS * LFMM2_COLUMNS];
            if (i + LFMM2_ROWS <= k)
                continue; /* above the diagonal */
            lfmm2_multiply_block(planes + i * stride, planes + k * stride, stride, plane, n_words, sums);
            for (int c = 0; c < LFMM2_COLUMNS && k + c < n; c++)
                for (int r = 0; r < LFMM2_ROWS && i + r < n; r++)
                    if (i + r >= k + c)
                        C[(k + c) * n + i + r] += ((double)sums[LFMM2_ROWS * c + r] - a[i + r]) - a[k + c] + total;
        }
}

/* Add to column k of C, where sample k is missing, the values of the samples from `first` on, at most 32; to the entry
   on the diagonal twice. */
static void lfmm2_add_missing(const uint64_t *genotypes, const double *values, const uint16_t *snps,
                              ptrdiff_t n_missing, ptrdiff_t first, ptrdiff_t n, ptrdiff_t k, double *C) {
    const ptrdiff_t n_rows = n - first < LFMM2_WORD_SAMPLES ? n - first : LFMM2_WORD_SAMPLES;
    double *column = C + k * n + first, sums[LFMM2_WORD_SAMPLES];
    if (n_rows == LFMM2_WORD_SAMPLES)
        lfmm2_add_values(genotypes, values, snps, n_missing, column);
    else {
        memset(sums, 0, sizeof sums);
        memcpy(sums, column, (size_t)n_rows * sizeof(double));
        lfmm2_add_values(genotypes, values, snps, n_missing, sums);
        memcpy(column, sums, (size_t)n_rows * sizeof(double));
    }
    if (first <= k && k < first + n_rows)
        for (ptrdiff_t e = 0; e < n_missing; e++)
            C[k * n + k] += values[4 * (ptrdiff_t)snps[e] + 1];
}

#endif
