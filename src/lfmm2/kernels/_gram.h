/* Parts of the Gram matrix of packed genotypes in integers, in the widest registers that the processor has.

   With u = dosage - 1, 0 where the call is missing, the sum of u_i u_k over SNPs is found in one of two ways.

   Bits (AVX-512 with VPOPCNTDQ, NEON, and any processor): a sample has two planes of one bit per SNP: h, homozygous;
   and s, the low bit of its code, which tells the two homozygotes apart. The sum is

       |h_i h_k| - 2 |h_i h_k (s_i xor s_k)|

   and a missing call has h = 0, so that it needs no plane of its own.

   Bytes (AVX2, SSSE3): a sample has one byte g = u + 1 per SNP, 0 beyond the last SNP. With t = Σ g the sum is

       Σ g_i g_k - t_i - t_k + number of SNPs

   Bytes of two columns, g_k + 64 g_l, are multiplied with those of a row at once.

   Sums are of integers, or added in one order, so every variant gives the same. The variant is chosen when the module is
   loaded; the package is built for the baseline of its platform. */

#ifndef LFMM2_GRAM_H
#define LFMM2_GRAM_H

#include <string.h>

#include "_decode.h"
#include "_popcount.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#define LFMM2_NEON 1
#include <arm_neon.h>
#else
#define LFMM2_NEON 0
#endif

/* Samples whose calls are split into planes at a time: 16 packed bytes. */
#define LFMM2_STRIP 64
#define LFMM2_STRIP_BYTES 16
/* Samples whose values are added at a missing call of another one: the genotypes of a word of 8 packed bytes. */
#define LFMM2_WORD_SAMPLES 32
/* Most SNPs that are counted together: one addition to each entry of C for so many. With more, the planes of two squares
   (2 x 48 samples, 2 KiB each) leave the L2 cache; with fewer, C is read and written more often. */
#define LFMM2_PANEL 8192
/* Words of a plane of bits. */
#define LFMM2_PLANE (LFMM2_PANEL / 64)
/* Words of a sample: two planes, and some more, so that two samples are not a power of two apart; or its bytes. */
#define LFMM2_BIT_WORDS (2 * LFMM2_PLANE + 8)
#define LFMM2_BYTE_WORDS ((LFMM2_EDGE_BYTES + 8 * LFMM2_EDGE - 1) / (8 * LFMM2_EDGE))
/* Samples of a block of products by bits: rows, and columns. */
#define LFMM2_ROWS 4
#define LFMM2_COLUMNS 3
/* Samples of an edge of a square of the matrix, a multiple of the rows and columns of all blocks. */
#define LFMM2_EDGE 48
/* Samples whose bytes stand together: those of four SNPs, 4 x 8 bytes. */
#define LFMM2_GROUP 8
/* Groups of an edge; and rows of a block by bytes, two groups. */
#define LFMM2_GROUPS (LFMM2_EDGE / LFMM2_GROUP)
#define LFMM2_BYTE_ROWS (2 * LFMM2_GROUP)
/* Steps of four SNPs whose sums of two products, at most 8 each, fit in six bits; and those that are multiplied with all
   blocks of a square, so that their bytes, 48 samples x 224 SNPs, stay in the L1 cache. */
#define LFMM2_FEW_STEPS 7
#define LFMM2_CHUNK (8 * LFMM2_FEW_STEPS)
/* Bytes of the samples of an edge in a chunk, which stand together so that they are read in their order; and of all
   chunks of a panel, with the sums t of the samples behind them. */
#define LFMM2_CHUNK_BYTES (4 * LFMM2_CHUNK * LFMM2_EDGE)
#define LFMM2_EDGE_BYTES                                                                                   \
    ((LFMM2_PANEL / 4 + LFMM2_CHUNK - 1) / LFMM2_CHUNK * LFMM2_CHUNK_BYTES + LFMM2_EDGE * sizeof(int32_t))
/* Sums of 16 bits of a block of 16 rows and 8 columns, two for each entry. */
#define LFMM2_BLOCK_SUMS (2 * LFMM2_BYTE_ROWS * LFMM2_GROUP)
#if defined(__GNUC__) || defined(__clang__)
#define LFMM2_INLINE static inline __attribute__((always_inline))
#define LFMM2_PREFETCH(address) __builtin_prefetch(address)
#else
#define LFMM2_INLINE static inline
#define LFMM2_PREFETCH(address) (void)(address)
#endif

/* Word `word` of the planes of up to 64 samples from `first_sample` on, from up to 64 SNPs `n_bytes` apart; or their
   bytes. A sample has `stride` words of `calls`. */
typedef void (*lfmm2_strip_writer)(const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, int strip_bytes, int n_samples,
                                   uint64_t *calls, ptrdiff_t word, ptrdiff_t stride, ptrdiff_t first_sample);
/* Sums of u_i u_k of a square of samples, out[LFMM2_EDGE k + i], over n_words of 64 SNPs, a multiple of
   LFMM2_PLANE_WORDS, of which n_snps are SNPs. Where rows and columns are the same, those of i < k may be left out. */
typedef void (*lfmm2_square_multiplier)(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                        ptrdiff_t n_words, ptrdiff_t n_snps, int n_rows, int n_columns, int32_t *out);
/* Add the values of the 32 genotypes of a SNP to 32 sums, of the listed SNPs one after the other. A SNP has a word of
   genotypes and four values, those of the codes 0 to 3. */
typedef void (*lfmm2_value_adder)(const uint64_t *genotypes, const double *values, const uint16_t *snps,
                                  ptrdiff_t n_snps, double *sums);

/* --- any processor ----------------------------------------------------------------------------------------- */

LFMM2_INLINE int32_t lfmm2_pair_words(const uint64_t *a, const uint64_t *b, ptrdiff_t n_words) {
    int64_t both = 0, opposite = 0;
    for (ptrdiff_t first = 0; first < n_words; first += 3 * LFMM2_PLANE_WORDS) {
        const ptrdiff_t stop = first + 3 * LFMM2_PLANE_WORDS < n_words ? first + 3 * LFMM2_PLANE_WORDS : n_words;
        uint64_t t = 0, q = 0;
        for (ptrdiff_t w = first; w < stop; w++) {
            const uint64_t shared = a[w] & b[w];
            t += lfmm2_byte_counts(shared);
            q += lfmm2_byte_counts(shared & (a[LFMM2_PLANE + w] ^ b[LFMM2_PLANE + w]));
        }
        both += lfmm2_sum_bytes(t);
        opposite += lfmm2_sum_bytes(q);
    }
    return (int32_t)(both - 2 * opposite);
}

/* Multiply a square by blocks of bits: MULTIPLY writes the sums of four rows and three columns, `block[4 k + i]`. */
#define LFMM2_SQUARE_OF_BITS(MULTIPLY)                                                                       \
    (void)n_snps;                                                                                            \
    for (int k = 0; k < n_columns; k += LFMM2_COLUMNS)                                                       \
        for (int i = 0; i < n_rows; i += LFMM2_ROWS) {                                                       \
            int32_t block[LFMM2_ROWS * LFMM2_COLUMNS];                                                       \
            if (rows == columns && i + LFMM2_ROWS <= k)                                                      \
                continue;                                                                                    \
            MULTIPLY(rows + i * stride, columns + k * stride, stride, n_words, block);                       \
            for (int c = 0; c < LFMM2_COLUMNS; c++)                                                          \
                memcpy(out + LFMM2_EDGE * (k + c) + i, block + LFMM2_ROWS * c, LFMM2_ROWS * sizeof(int32_t)); \
        }

LFMM2_INLINE void lfmm2_block_baseline(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                       ptrdiff_t n_words, int32_t *out) {
    for (int k = 0; k < LFMM2_COLUMNS; k++)
        for (int i = 0; i < LFMM2_ROWS; i++)
            out[LFMM2_ROWS * k + i] = lfmm2_pair_words(rows + i * stride, columns + k * stride, n_words);
}

static void lfmm2_square_baseline(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride, ptrdiff_t n_words,
                                  ptrdiff_t n_snps, int n_rows, int n_columns, int32_t *out) {
    LFMM2_SQUARE_OF_BITS(lfmm2_block_baseline)
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
                                        int n_samples, uint64_t *calls, ptrdiff_t word, ptrdiff_t stride,
                                        ptrdiff_t first_sample) {
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
        calls[(first_sample + i) * stride + word] = ~(low[i] ^ high[i]) & live;
        calls[(first_sample + i) * stride + LFMM2_PLANE + word] = low[i];
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

/* --- ARM ----------------------------------------------------------------------------------------------------- */

#if LFMM2_NEON
/* Four rows and one column at a time: 7 instructions for 128 products. Bytes hold up to 31 counts of at most 8. */
static inline void lfmm2_block_neon(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride, ptrdiff_t n_words,
                                    int32_t *out) {
    for (int k = 0; k < LFMM2_COLUMNS; k++) {
        const uint64_t *column = columns + k * stride;
        uint32x4_t both[LFMM2_ROWS], opposite[LFMM2_ROWS];
        for (int i = 0; i < LFMM2_ROWS; i++)
            both[i] = opposite[i] = vdupq_n_u32(0);
        for (ptrdiff_t begin = 0; begin < n_words; begin += 2 * 31) {
            const ptrdiff_t end = begin + 2 * 31 < n_words ? begin + 2 * 31 : n_words;
            uint8x16_t few[LFMM2_ROWS], few_opposite[LFMM2_ROWS];
            for (int i = 0; i < LFMM2_ROWS; i++)
                few[i] = few_opposite[i] = vdupq_n_u8(0);
            for (ptrdiff_t w = begin; w < end; w += 2) {
                const uint64x2_t h = vld1q_u64(column + w), s = vld1q_u64(column + LFMM2_PLANE + w);
                for (int i = 0; i < LFMM2_ROWS; i++) {
                    const uint64x2_t shared = vandq_u64(h, vld1q_u64(rows + i * stride + w));
                    const uint64x2_t differs = veorq_u64(s, vld1q_u64(rows + i * stride + LFMM2_PLANE + w));
                    few[i] = vaddq_u8(few[i], vcntq_u8(vreinterpretq_u8_u64(shared)));
                    few_opposite[i] =
                        vaddq_u8(few_opposite[i], vcntq_u8(vreinterpretq_u8_u64(vandq_u64(shared, differs))));
                }
            }
            for (int i = 0; i < LFMM2_ROWS; i++) {
                both[i] = vpadalq_u16(both[i], vpaddlq_u8(few[i]));
                opposite[i] = vpadalq_u16(opposite[i], vpaddlq_u8(few_opposite[i]));
            }
        }
        for (int i = 0; i < LFMM2_ROWS; i++)
            out[LFMM2_ROWS * k + i] = (int32_t)vaddvq_u32(both[i]) - 2 * (int32_t)vaddvq_u32(opposite[i]);
    }
}

static void lfmm2_square_neon(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride, ptrdiff_t n_words,
                              ptrdiff_t n_snps, int n_rows, int n_columns, int32_t *out) {
    LFMM2_SQUARE_OF_BITS(lfmm2_block_neon)
}
#endif

/* --- x86 --------------------------------------------------------------------------------------------------- */

#if LFMM2_X86_POPCOUNT
#define LFMM2_TARGET_SSSE3 __attribute__((target("ssse3")))
#define LFMM2_TARGET_GRAM512 __attribute__((target("avx512f,avx512vpopcntdq")))

/* Add in the register of the sum. Left to itself, GCC 12 computes all products first, spills and copies. */
#define LFMM2_ADD_IN_PLACE_AVX2(sum, x) __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x))
#define LFMM2_ADD_IN_PLACE_SSSE3(sum, x) __asm__("paddw %1, %0" : "+x"(sum) : "x"(x))

/* Add the products of two groups of rows and eight columns, in pairs, over n_steps of four SNPs. maddubs adds the products
   of two SNPs in lanes of 16 bits: 64 products an instruction, because each byte of a pair holds two columns. The six low
   bits of a lane are the sum of the first one. */
LFMM2_TARGET_AVX2 static inline void lfmm2_block_avx2(const uint8_t *rows, const uint8_t *more_rows,
                                                      const uint8_t *pairs, int n_steps, int16_t *out) {
    const __m256i mask = _mm256_set1_epi16(63);
    for (int begin = 0; begin < n_steps; begin += LFMM2_FEW_STEPS) {
        const int end = begin + LFMM2_FEW_STEPS < n_steps ? begin + LFMM2_FEW_STEPS : n_steps;
        __m256i sums[2][4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            sums[0][k] = sums[1][k] = _mm256_setzero_si256();
        for (int step = begin; step < end; step++) {
            const __m256i a = _mm256_loadu_si256((const __m256i *)(rows + 32 * step));
            const __m256i c = _mm256_loadu_si256((const __m256i *)(more_rows + 32 * step));
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                const __m256i b = _mm256_castps_si256(_mm256_broadcast_ss((const float *)(pairs + 16 * step + 4 * k)));
                LFMM2_ADD_IN_PLACE_AVX2(sums[0][k], _mm256_maddubs_epi16(b, a));
                LFMM2_ADD_IN_PLACE_AVX2(sums[1][k], _mm256_maddubs_epi16(b, c));
            }
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                __m256i *low = (__m256i *)(out + 64 * k + 32 * h), *high = low + 1;
                const __m256i first = _mm256_and_si256(sums[h][k], mask), second = _mm256_srli_epi16(sums[h][k], 6);
                _mm256_storeu_si256(low, _mm256_add_epi16(_mm256_loadu_si256(low), first));
                _mm256_storeu_si256(high, _mm256_add_epi16(_mm256_loadu_si256(high), second));
            }
    }
}

/* The same for one group of rows, in two registers. */
LFMM2_TARGET_SSSE3 static inline void lfmm2_half_block_ssse3(const uint8_t *rows, const uint8_t *pairs, int n_steps,
                                                             int16_t *out) {
    const __m128i mask = _mm_set1_epi16(63);
    for (int begin = 0; begin < n_steps; begin += LFMM2_FEW_STEPS) {
        const int end = begin + LFMM2_FEW_STEPS < n_steps ? begin + LFMM2_FEW_STEPS : n_steps;
        __m128i sums[2][4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            sums[0][k] = sums[1][k] = _mm_setzero_si128();
        for (int step = begin; step < end; step++) {
            const __m128i a = _mm_loadu_si128((const __m128i *)(rows + 32 * step));
            const __m128i c = _mm_loadu_si128((const __m128i *)(rows + 32 * step + 16));
            const __m128i all = _mm_loadu_si128((const __m128i *)(pairs + 16 * step));
#define LFMM2_ADD_PAIR(k)                                                                                   \
    {                                                                                                       \
        const __m128i b = _mm_shuffle_epi32(all, 0x55 * k);                                                 \
        LFMM2_ADD_IN_PLACE_SSSE3(sums[0][k], _mm_maddubs_epi16(b, a));                                      \
        LFMM2_ADD_IN_PLACE_SSSE3(sums[1][k], _mm_maddubs_epi16(b, c));                                      \
    }
            LFMM2_ADD_PAIR(0)
            LFMM2_ADD_PAIR(1)
            LFMM2_ADD_PAIR(2)
            LFMM2_ADD_PAIR(3)
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                __m128i *low = (__m128i *)(out + 64 * k + 8 * h), *high = low + 2;
                const __m128i first = _mm_and_si128(sums[h][k], mask), second = _mm_srli_epi16(sums[h][k], 6);
                _mm_storeu_si128(low, _mm_add_epi16(_mm_loadu_si128(low), first));
                _mm_storeu_si128(high, _mm_add_epi16(_mm_loadu_si128(high), second));
            }
    }
}

LFMM2_TARGET_SSSE3 static inline void lfmm2_block_ssse3(const uint8_t *rows, const uint8_t *more_rows,
                                                        const uint8_t *pairs, int n_steps, int16_t *out) {
    lfmm2_half_block_ssse3(rows, pairs, n_steps, out);
    lfmm2_half_block_ssse3(more_rows, pairs, n_steps, out + 32);
}

/* Bytes of a group for columns: g of each of the first four samples, and 64 times that of the fourth after it. */
LFMM2_TARGET_SSSE3 static inline void lfmm2_pair_columns(const uint8_t *group, int n_steps, uint8_t *pairs) {
    for (int step = 0; step < n_steps; step++) {
        const __m128i first = _mm_loadu_si128((const __m128i *)(group + 32 * step));
        const __m128i second = _mm_loadu_si128((const __m128i *)(group + 32 * step + 16));
        _mm_storeu_si128((__m128i *)(pairs + 16 * step), _mm_add_epi8(first, _mm_slli_epi16(second, 6)));
    }
}

/* Add the two lanes of each entry of a block, and write the sums to its place in the square. */
LFMM2_TARGET_SSSE3 static inline void lfmm2_write_block(const int16_t *sums, int32_t *out) {
    const __m128i ones = _mm_set1_epi16(1);
    for (int k = 0; k < LFMM2_GROUP; k++)
        for (int q = 0; q < LFMM2_BYTE_ROWS / 4; q++) {
            const int16_t *four = sums + 64 * (k % 4) + 16 * (k / 4) + 32 * (q / 2) + 8 * (q % 2);
            const __m128i lanes = _mm_loadu_si128((const __m128i *)four);
            _mm_storeu_si128((__m128i *)(out + LFMM2_EDGE * k + 4 * q), _mm_madd_epi16(lanes, ones));
        }
}

/* The sums t of the samples of an edge, behind their bytes. */
LFMM2_INLINE const int32_t *lfmm2_totals(const uint64_t *edge) {
    return (const int32_t *)((const uint8_t *)edge + LFMM2_EDGE_BYTES) - LFMM2_EDGE;
}

/* Multiply a square by blocks of bytes: MULTIPLY adds the sums of g_i g_k of a chunk. */
#define LFMM2_SQUARE_OF_BYTES(MULTIPLY)                                                                            \
    const ptrdiff_t n_steps = 16 * n_words, group = 32 * LFMM2_CHUNK;                                              \
    const int32_t *of_rows = lfmm2_totals(rows), *of_columns = lfmm2_totals(columns);                              \
    int16_t sums[LFMM2_GROUPS][LFMM2_GROUPS / 2][LFMM2_BLOCK_SUMS];                                                \
    uint8_t pairs[16 * LFMM2_CHUNK];                                                                               \
    (void)stride;                                                                                                  \
    memset(sums, 0, sizeof sums);                                                                                  \
    for (ptrdiff_t first = 0, chunk = 0; first < n_steps; first += LFMM2_CHUNK, chunk++) {                         \
        const int n = (int)(n_steps - first < LFMM2_CHUNK ? n_steps - first : LFMM2_CHUNK);                        \
        const uint8_t *a = (const uint8_t *)rows + LFMM2_CHUNK_BYTES * chunk;                                      \
        const uint8_t *b = (const uint8_t *)columns + LFMM2_CHUNK_BYTES * chunk;                                   \
        for (int k = 0; 8 * k < n_columns; k++) {                                                                  \
            lfmm2_pair_columns(b + k * group, n, pairs);                                                           \
            for (ptrdiff_t line = k * group; line < (k + 1) * group; line += 64) { /* of the next chunk */         \
                LFMM2_PREFETCH(a + LFMM2_CHUNK_BYTES + line);                                                      \
                LFMM2_PREFETCH(b + LFMM2_CHUNK_BYTES + line);                                                      \
            }                                                                                                      \
            for (int i = 0; LFMM2_BYTE_ROWS * i < n_rows; i++)                                                     \
                if (rows != columns || 2 * i + 1 >= k)                                                             \
                    MULTIPLY(a + 2 * i * group, a + (2 * i + 1) * group, pairs, n, sums[k][i]);                    \
        }                                                                                                          \
    }                                                                                                              \
    for (int k = 0; LFMM2_GROUP * k < n_columns; k++)                                                              \
        for (int i = 0; LFMM2_BYTE_ROWS * i < n_rows; i++)                                                         \
            lfmm2_write_block(sums[k][i], out + LFMM2_EDGE * LFMM2_GROUP * k + LFMM2_BYTE_ROWS * i);               \
    for (int k = 0; k < n_columns; k++)                                                                            \
        for (int i = 0; i < n_rows; i++)                                                                           \
            out[LFMM2_EDGE * k + i] += (int32_t)n_snps - of_rows[i] - of_columns[k];

LFMM2_TARGET_AVX2 static void lfmm2_square_avx2(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                                ptrdiff_t n_words, ptrdiff_t n_snps, int n_rows, int n_columns,
                                                int32_t *out) {
    LFMM2_SQUARE_OF_BYTES(lfmm2_block_avx2)
}

LFMM2_TARGET_SSSE3 static void lfmm2_square_ssse3(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                                  ptrdiff_t n_words, ptrdiff_t n_snps, int n_rows, int n_columns,
                                                  int32_t *out) {
    LFMM2_SQUARE_OF_BYTES(lfmm2_block_ssse3)
}

/* Bytes g of four SNPs at a time: half bytes are looked up, one table for each of their two calls, and the bytes of the
   four SNPs are interleaved. */
LFMM2_TARGET_SSSE3 static void lfmm2_write_bytes(const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, int strip_bytes,
                                                 int n_samples, uint64_t *calls, ptrdiff_t word, ptrdiff_t stride,
                                                 ptrdiff_t first_sample) {
    const __m128i half = _mm_set1_epi8(15), ones = _mm_set1_epi8(1);
    const __m128i of_first = _mm_setr_epi8(0, 1, 1, 2, 0, 1, 1, 2, 0, 1, 1, 2, 0, 1, 1, 2);
    const __m128i of_second = _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2);
    const int n_groups = (n_samples + LFMM2_GROUP - 1) / LFMM2_GROUP;
    __m128i totals[LFMM2_STRIP / 4];
    uint8_t *groups[LFMM2_STRIP / LFMM2_GROUP];
    for (int q = 0; q < LFMM2_STRIP / 4; q++)
        totals[q] = _mm_setzero_si128();
    for (int q = 0; q < n_groups; q++) {
        const ptrdiff_t group = first_sample / LFMM2_GROUP + q;
        groups[q] = (uint8_t *)(calls + group / LFMM2_GROUPS * LFMM2_EDGE * stride) +
                    group % LFMM2_GROUPS * 32 * LFMM2_CHUNK;
    }
    for (int step = 0; step < 16; step++) {
        const ptrdiff_t of_panel = 16 * word + step;
        const ptrdiff_t place = of_panel / LFMM2_CHUNK * LFMM2_CHUNK_BYTES + of_panel % LFMM2_CHUNK * 32;
        __m128i g[4][4]; /* four SNPs, and 16 samples of each register */
        for (int j = 0; j < 4; j++) {
            const int snp = 4 * step + j;
            uint8_t bytes[LFMM2_STRIP_BYTES] = {0};
            if (snp >= n_snps) {
                g[j][0] = g[j][1] = g[j][2] = g[j][3] = _mm_setzero_si128();
                continue;
            }
            memcpy(bytes, packed + snp * n_bytes, (size_t)strip_bytes);
            const __m128i x = _mm_loadu_si128((const __m128i *)bytes);
            const __m128i low = _mm_and_si128(x, half), high = _mm_and_si128(_mm_srli_epi16(x, 4), half);
            const __m128i pairs[2] = {_mm_unpacklo_epi8(low, high), _mm_unpackhi_epi8(low, high)};
            for (int q = 0; q < 2; q++) {
                const __m128i first = _mm_shuffle_epi8(of_first, pairs[q]);
                const __m128i second = _mm_shuffle_epi8(of_second, pairs[q]);
                g[j][2 * q] = _mm_unpacklo_epi8(first, second);
                g[j][2 * q + 1] = _mm_unpackhi_epi8(first, second);
            }
        }
        for (int q = 0; q < 4 && 2 * q < n_groups; q++) {
            const __m128i one[2] = {_mm_unpacklo_epi8(g[0][q], g[1][q]), _mm_unpackhi_epi8(g[0][q], g[1][q])};
            const __m128i two[2] = {_mm_unpacklo_epi8(g[2][q], g[3][q]), _mm_unpackhi_epi8(g[2][q], g[3][q])};
            for (int h = 0; h < 2 && 2 * q + h < n_groups; h++) {
                __m128i *out = (__m128i *)(groups[2 * q + h] + place);
                const __m128i first = _mm_unpacklo_epi16(one[h], two[h]), second = _mm_unpackhi_epi16(one[h], two[h]);
                _mm_storeu_si128(out, first);
                _mm_storeu_si128(out + 1, second);
                totals[4 * q + 2 * h] = _mm_add_epi16(totals[4 * q + 2 * h], _mm_maddubs_epi16(first, ones));
                totals[4 * q + 2 * h + 1] = _mm_add_epi16(totals[4 * q + 2 * h + 1], _mm_maddubs_epi16(second, ones));
            }
        }
    }
    for (int q = 0; q < n_groups; q++)
        for (int h = 0; h < 2; h++) {
            const ptrdiff_t group = first_sample / LFMM2_GROUP + q;
            uint64_t *edge = calls + group / LFMM2_GROUPS * LFMM2_EDGE * stride;
            __m128i *kept = (__m128i *)((uint8_t *)edge + LFMM2_EDGE_BYTES - LFMM2_EDGE * sizeof(int32_t)) +
                            2 * (group % LFMM2_GROUPS) + h;
            const __m128i sums = _mm_madd_epi16(totals[2 * q + h], _mm_set1_epi16(1));
            _mm_storeu_si128(kept, word ? _mm_add_epi32(_mm_loadu_si128(kept), sums) : sums);
        }
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
                                                      int strip_bytes, int n_samples, uint64_t *calls,
                                                      ptrdiff_t word, ptrdiff_t stride, ptrdiff_t first_sample) {
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
        calls[(first_sample + i) * stride + word] = ~(low ^ high) & live;
        calls[(first_sample + i) * stride + LFMM2_PLANE + word] = low;
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

/* 24 registers hold sums; inlined into the loops of a square, some would be spilled. */
__attribute__((noinline)) LFMM2_TARGET_GRAM512 static void lfmm2_block_avx512(const uint64_t *rows,
                                                                              const uint64_t *columns,
                                                                              ptrdiff_t stride, ptrdiff_t n_words,
                                                                              int32_t *out) {
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
            const __m512i s = _mm512_loadu_si512(columns + k * stride + LFMM2_PLANE + w);
#pragma GCC unroll 4
            for (int i = 0; i < LFMM2_ROWS; i++) {
                const __m512i shared = _mm512_and_si512(h, _mm512_loadu_si512(rows + i * stride + w));
                /* 0x60: the first, where the second and the third differ. */
                const __m512i differs =
                    _mm512_ternarylogic_epi64(shared, s, _mm512_loadu_si512(rows + i * stride + LFMM2_PLANE + w), 0x60);
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
        out[LFMM2_ROWS * k] = (int32_t)lanes[0];
        out[LFMM2_ROWS * k + 1] = (int32_t)lanes[1];
        out[LFMM2_ROWS * k + 2] = (int32_t)lanes[4];
        out[LFMM2_ROWS * k + 3] = (int32_t)lanes[5];
    }
}

LFMM2_TARGET_GRAM512 static void lfmm2_square_avx512(const uint64_t *rows, const uint64_t *columns, ptrdiff_t stride,
                                                     ptrdiff_t n_words, ptrdiff_t n_snps, int n_rows, int n_columns,
                                                     int32_t *out) {
    LFMM2_SQUARE_OF_BITS(lfmm2_block_avx512)
}
#endif

/* --- the variant in use ------------------------------------------------------------------------------------- */

static lfmm2_square_multiplier lfmm2_multiply_square = lfmm2_square_baseline;
static lfmm2_strip_writer lfmm2_write_strip = lfmm2_write_planes_baseline;
static lfmm2_value_adder lfmm2_add_values = lfmm2_add_values_baseline;
static ptrdiff_t lfmm2_sample_words = LFMM2_BIT_WORDS;

/* The SNPs of a panel, a list for `lfmm2_add_values`. */
static uint16_t lfmm2_every_snp[LFMM2_PANEL];

static void lfmm2_list_every_snp(void) {
    for (int j = 0; j < LFMM2_PANEL; j++)
        lfmm2_every_snp[j] = (uint16_t)j;
}

/* Use the variant `level` (0 baseline, 1 NEON, 2 SSSE3, 3 AVX2, 4 AVX-512) or the next below it that the processor has;
   returns it. */
static int lfmm2_use_multiplier(int level) {
    lfmm2_multiply_square = lfmm2_square_baseline;
    lfmm2_write_strip = lfmm2_write_planes_baseline;
    lfmm2_add_values = lfmm2_add_values_baseline;
    lfmm2_sample_words = LFMM2_BIT_WORDS;
#if LFMM2_X86_POPCOUNT
    __builtin_cpu_init();
    lfmm2_fill_halves();
    const int has_avx2 = level >= 3 && __builtin_cpu_supports("avx2");
    if (has_avx2 && level >= 4 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) {
        lfmm2_multiply_square = lfmm2_square_avx512;
        lfmm2_write_strip = lfmm2_write_planes_avx2;
        lfmm2_add_values = lfmm2_add_values_avx512;
        return 4;
    }
    if (level >= 2 && __builtin_cpu_supports("ssse3")) {
        lfmm2_multiply_square = has_avx2 ? lfmm2_square_avx2 : lfmm2_square_ssse3;
        lfmm2_write_strip = lfmm2_write_bytes;
        lfmm2_add_values = has_avx2 ? lfmm2_add_values_avx2 : lfmm2_add_values_baseline;
        lfmm2_sample_words = LFMM2_BYTE_WORDS;
        return has_avx2 ? 3 : 2;
    }
#endif
#if LFMM2_NEON
    if (level >= 1) {
        lfmm2_multiply_square = lfmm2_square_neon;
        return 1;
    }
#endif
    (void)level;
    return 0;
}

/* --- squares and strips of the matrix ----------------------------------------------------------------------- */

/* Add to a square of the lower triangle, of F order, its u_i u_k - a_i - a_k + total. */
static void lfmm2_add_square(const uint64_t *calls, ptrdiff_t stride, ptrdiff_t n_words, ptrdiff_t n_snps,
                             ptrdiff_t first_row, ptrdiff_t first_column, ptrdiff_t n, const double *a, double total,
                             double *C) {
    const int n_rows = (int)(n - first_row < LFMM2_EDGE ? n - first_row : LFMM2_EDGE);
    const int n_columns = (int)(n - first_column < LFMM2_EDGE ? n - first_column : LFMM2_EDGE);
    int32_t sums[LFMM2_EDGE * LFMM2_EDGE];
    /* The square of C is on its way to the cache while the calls are multiplied. */
    for (ptrdiff_t k = 0; k < n_columns; k++)
        for (ptrdiff_t i = 0; i < n_rows; i += 8)
            LFMM2_PREFETCH(C + (first_column + k) * n + first_row + i);
    lfmm2_multiply_square(calls + first_row * stride, calls + first_column * stride, stride, n_words, n_snps, n_rows,
                          n_columns, sums);
    for (ptrdiff_t k = 0; k < n_columns; k++) {
        double *column = C + (first_column + k) * n + first_row;
        for (ptrdiff_t i = first_row == first_column ? k : 0; i < n_rows; i++)
            column[i] += ((double)sums[LFMM2_EDGE * k + i] - a[first_row + i]) - a[first_column + k] + total;
    }
}

/* Add to column k of C, where sample k is missing, the values of the samples from `first` on, at most 32; to the entry
   on the diagonal twice. */
static void lfmm2_add_missing(const uint64_t *genotypes, const double *values, const uint16_t *snps,
                              ptrdiff_t n_missing, ptrdiff_t first, ptrdiff_t n, ptrdiff_t k, double *C) {
    const ptrdiff_t n_rows = n - first < LFMM2_WORD_SAMPLES ? n - first : LFMM2_WORD_SAMPLES;
    double *column = C + k * n + first, sums[LFMM2_WORD_SAMPLES];
    /* The next column but one is n doubles on, on another page, where no processor fetches by itself. */
    if (k + 2 < n)
        for (ptrdiff_t i = 0; i < n_rows; i += 8)
            LFMM2_PREFETCH(column + 2 * n + i);
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
