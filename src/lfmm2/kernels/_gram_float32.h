/* Products with packed genotypes in single precision: decoded by permutation and multiplied in registers, without BLAS.

   A tile is 96 numbers of each of up to 64 rows: 16 samples of each of 6 SNPs in the row of a step of 16 samples, for
   the sums of SNPs; or 96 samples of one SNP, for the sums of samples. Both products of a tile keep 24 registers of
   sums (12 where there are 16 registers), and 24 KiB of tile in L1. The columns come in blocks of 4.

   Each sum is made by the same fused multiplications and additions in the same order whatever the width of registers,
   so that AVX-512, AVX2 and NEON (which was never run) give the same bits. The baseline of x86 rounds each product and
   differs in the last bits. The variant is chosen when the module is loaded; the package itself is built for the
   baseline of its platform. */

#ifndef LFMM2_PRODUCTS_H
#define LFMM2_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86 1
#include <immintrin.h>
#else
#define LFMM2_X86 0
#endif

#if defined(__aarch64__) && defined(__ARM_NEON)
#define LFMM2_NEON 1
#include <arm_neon.h>
#else
#define LFMM2_NEON 0
#endif

/* GCC fuses no multiplication with an addition in -std=c11; clang would. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define LFMM2_INLINE static inline __attribute__((always_inline))

/* Samples that are decoded at a time: the genotypes of 4 bytes. Each of them has sums of its own until a chunk ends. */
#define LFMM2_LANES 16
#define LFMM2_WORD_BYTES 4
/* SNPs, or words of samples, that are multiplied at a time, and the numbers in a row of a tile. */
#define LFMM2_ROWS 6
#define LFMM2_TILE_WIDTH (LFMM2_ROWS * LFMM2_LANES)
/* Most rows of a tile: 24 KiB fit in an L1 cache of 32 KiB beside the columns. */
#define LFMM2_TILE_ROWS 64
/* Columns of a block. */
#define LFMM2_COLUMNS 4

typedef float lfmm2_four_floats __attribute__((vector_size(16), aligned(4), may_alias));
typedef double lfmm2_four_doubles __attribute__((vector_size(32), aligned(8), may_alias));

/* Write the values of n_words * 16 genotypes to out[0], ..., out[15], out[stride], ...; all bytes must be there. */
typedef void (*lfmm2_word_decoder)(const uint8_t *bytes, ptrdiff_t n_words, const float *values, float *out,
                                   ptrdiff_t stride);
/* lanes[r][k][i] = sum over steps of tile[step][r][i] * columns[step][k][i]. */
typedef void (*lfmm2_step_multiplier)(const float *tile, const float *columns, ptrdiff_t n_steps, float *lanes);
/* sums[k][i] += sum over SNPs of tile[snp][i] * T[snp][k]. */
typedef void (*lfmm2_snp_multiplier)(const float *tile, const float *T, ptrdiff_t n_snps, float *sums);

/* The two products, with registers of `width` floats. Of the first, `n_rows` SNPs and 4 columns at a time, over a
   stretch of steps whose tile stays in L1 where it is read several times; of the second, 6 registers of samples and
   `n_columns` columns at a time. */
#define LFMM2_MULTIPLIERS(name, target, vector, width, n_rows, n_columns, n_stretch, LOAD, STORE, SPREAD, FUSED)       \
    target static void lfmm2_multiply_steps_##name(const float *tile, const float *columns, ptrdiff_t n_steps,         \
                                                   float *lanes) {                                                     \
        for (ptrdiff_t begin = 0; begin < n_steps; begin += n_stretch) {                                               \
            const ptrdiff_t end = n_steps < begin + n_stretch ? n_steps : begin + n_stretch;                           \
            for (int part = 0; part < LFMM2_LANES; part += width)                                                      \
                for (int first = 0; first < LFMM2_ROWS; first += n_rows) {                                             \
                    const float *y = tile + LFMM2_TILE_WIDTH * begin + LFMM2_LANES * first + part;                     \
                    const float *s = columns + LFMM2_LANES * LFMM2_COLUMNS * begin + part;                             \
                    float *of_part = lanes + LFMM2_LANES * LFMM2_COLUMNS * first + part;                               \
                    vector sums[n_rows][LFMM2_COLUMNS];                                                                \
                    for (int r = 0; r < n_rows; r++)                                                                   \
                        for (int k = 0; k < LFMM2_COLUMNS; k++)                                                        \
                            sums[r][k] = begin == 0 ? SPREAD(0.0f)                                                     \
                                                    : LOAD(of_part + LFMM2_LANES * (LFMM2_COLUMNS * r + k));           \
                    for (ptrdiff_t step = begin; step < end; step++) {                                                 \
                        vector rows[n_rows];                                                                           \
                        for (int r = 0; r < n_rows; r++)                                                               \
                            rows[r] = LOAD(y + LFMM2_LANES * r);                                                       \
                        for (int k = 0; k < LFMM2_COLUMNS; k++) {                                                      \
                            const vector column = LOAD(s + LFMM2_LANES * k);                                           \
                            for (int r = 0; r < n_rows; r++)                                                           \
                                sums[r][k] = FUSED(rows[r], column, sums[r][k]);                                       \
                        }                                                                                              \
                        y += LFMM2_TILE_WIDTH;                                                                         \
                        s += LFMM2_LANES * LFMM2_COLUMNS;                                                              \
                    }                                                                                                  \
                    for (int r = 0; r < n_rows; r++)                                                                   \
                        for (int k = 0; k < LFMM2_COLUMNS; k++)                                                        \
                            STORE(of_part + LFMM2_LANES * (LFMM2_COLUMNS * r + k), sums[r][k]);                        \
                }                                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    target static void lfmm2_multiply_snps_##name(const float *tile, const float *T, ptrdiff_t n_snps, float *out) {   \
        for (int first = 0; first < LFMM2_COLUMNS; first += n_columns)                                                 \
            for (int part = 0; part < LFMM2_TILE_WIDTH; part += LFMM2_ROWS * width) {                                  \
                const float *y = tile + part, *t = T + first;                                                          \
                float *of_part = out + LFMM2_TILE_WIDTH * first + part;                                                \
                vector sums[LFMM2_ROWS][n_columns];                                                                    \
                for (int r = 0; r < LFMM2_ROWS; r++)                                                                   \
                    for (int k = 0; k < n_columns; k++)                                                                \
                        sums[r][k] = LOAD(of_part + LFMM2_TILE_WIDTH * k + width * r);                                 \
                for (ptrdiff_t snp = 0; snp < n_snps; snp++) {                                                         \
                    vector of_snp[n_columns];                                                                          \
                    for (int k = 0; k < n_columns; k++)                                                                \
                        of_snp[k] = SPREAD(t[k]);                                                                      \
                    for (int r = 0; r < LFMM2_ROWS; r++) {                                                             \
                        const vector row = LOAD(y + width * r);                                                        \
                        for (int k = 0; k < n_columns; k++)                                                            \
                            sums[r][k] = FUSED(row, of_snp[k], sums[r][k]);                                            \
                    }                                                                                                  \
                    y += LFMM2_TILE_WIDTH;                                                                             \
                    t += LFMM2_COLUMNS;                                                                                \
                }                                                                                                      \
                for (int r = 0; r < LFMM2_ROWS; r++)                                                                   \
                    for (int k = 0; k < n_columns; k++)                                                                \
                        STORE(of_part + LFMM2_TILE_WIDTH * k + width * r, sums[r][k]);                                 \
            }                                                                                                          \
    }

/* --- baseline: four floats, NEON where there is ARM ----------------------------------------------------------- */

#define LFMM2_LOAD_FOUR(p) (*(const lfmm2_four_floats *)(p))
#define LFMM2_STORE_FOUR(p, x) (*(lfmm2_four_floats *)(p) = (x))
#define LFMM2_SPREAD_FOUR(x) ((lfmm2_four_floats){(x), (x), (x), (x)})
#if LFMM2_NEON
#define LFMM2_FUSED_FOUR(a, b, c) ((lfmm2_four_floats)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define LFMM2_ROWS_OF_FOUR 6
#define LFMM2_COLUMNS_OF_FOUR 4
#else
#define LFMM2_FUSED_FOUR(a, b, c) ((a) * (b) + (c))
#define LFMM2_ROWS_OF_FOUR 2
#define LFMM2_COLUMNS_OF_FOUR 2
#endif

LFMM2_MULTIPLIERS(baseline, , lfmm2_four_floats, 4, LFMM2_ROWS_OF_FOUR, LFMM2_COLUMNS_OF_FOUR, 32, LFMM2_LOAD_FOUR,
                  LFMM2_STORE_FOUR, LFMM2_SPREAD_FOUR, LFMM2_FUSED_FOUR)

/* Look up half bytes in a table of 16 pairs. */
static void lfmm2_decode_words_baseline(const uint8_t *bytes, ptrdiff_t n_words, const float *values, float *out,
                                        ptrdiff_t stride) {
    float pairs[32];
    for (int half = 0; half < 16; half++) {
        pairs[2 * half] = values[half & 3];
        pairs[2 * half + 1] = values[half >> 2];
    }
    for (ptrdiff_t w = 0; w < n_words; w++)
        for (int b = 0; b < LFMM2_WORD_BYTES; b++) {
            const uint8_t byte = bytes[LFMM2_WORD_BYTES * w + b];
            memcpy(out + stride * w + 4 * b, pairs + 2 * (byte & 15), 8);
            memcpy(out + stride * w + 4 * b + 2, pairs + 2 * (byte >> 4), 8);
        }
}

/* --- AVX2 and AVX-512 ------------------------------------------------------------------------------------------ */

#if LFMM2_X86
#define LFMM2_AVX2 __attribute__((target("avx2,fma")))
#define LFMM2_AVX512 __attribute__((target("avx512f,avx2,fma")))

LFMM2_MULTIPLIERS(avx2, LFMM2_AVX2, __m256, 8, 3, 2, 32, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps,
                  _mm256_fmadd_ps)
LFMM2_MULTIPLIERS(avx512, LFMM2_AVX512, __m512, 16, 6, 4, LFMM2_TILE_ROWS, _mm512_loadu_ps, _mm512_storeu_ps,
                  _mm512_set1_ps, _mm512_fmadd_ps)

/* Lane k holds the word shifted by 2 k bits; its low two bits choose one of the four values, which stand in each
   quarter of the register. */
LFMM2_AVX2 static void lfmm2_decode_words_avx2(const uint8_t *bytes, ptrdiff_t n_words, const float *values, float *out,
                                               ptrdiff_t stride) {
    const __m256 four = _mm256_broadcast_ps((const __m128 *)values);
    const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
    for (ptrdiff_t w = 0; w < n_words; w++) {
        int32_t word;
        memcpy(&word, bytes + LFMM2_WORD_BYTES * w, sizeof word);
        const __m256i all = _mm256_set1_epi32(word);
        _mm256_storeu_ps(out + stride * w, _mm256_permutevar_ps(four, _mm256_srlv_epi32(all, low)));
        _mm256_storeu_ps(out + stride * w + 8, _mm256_permutevar_ps(four, _mm256_srlv_epi32(all, high)));
    }
}

LFMM2_AVX512 static void lfmm2_decode_words_avx512(const uint8_t *bytes, ptrdiff_t n_words, const float *values,
                                                   float *out, ptrdiff_t stride) {
    const __m512 four = _mm512_broadcast_f32x4(_mm_loadu_ps(values));
    const __m512i shifts = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    for (ptrdiff_t w = 0; w < n_words; w++) {
        int32_t word;
        memcpy(&word, bytes + LFMM2_WORD_BYTES * w, sizeof word);
        const __m512i lanes = _mm512_srlv_epi32(_mm512_set1_epi32(word), shifts);
        _mm512_storeu_ps(out + stride * w, _mm512_permutevar_ps(four, lanes));
    }
}
#endif

/* --- the variant in use ---------------------------------------------------------------------------------------- */

static lfmm2_word_decoder lfmm2_decode_words = lfmm2_decode_words_baseline;
static lfmm2_step_multiplier lfmm2_multiply_steps = lfmm2_multiply_steps_baseline;
static lfmm2_snp_multiplier lfmm2_multiply_snps = lfmm2_multiply_snps_baseline;

#define LFMM2_USE(name)                                                                                                \
    do {                                                                                                               \
        lfmm2_decode_words = lfmm2_decode_words_##name;                                                                \
        lfmm2_multiply_steps = lfmm2_multiply_steps_##name;                                                            \
        lfmm2_multiply_snps = lfmm2_multiply_snps_##name;                                                              \
    } while (0)

/* Use the variant `level` (0 baseline, 1 AVX2, 2 AVX-512) or the widest below it that the processor has; returns it. */
static int lfmm2_use_instructions(int level) {
#if LFMM2_X86
    __builtin_cpu_init();
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (level >= 2 && has_avx2 && __builtin_cpu_supports("avx512f")) {
        LFMM2_USE(avx512);
        return 2;
    }
    if (level >= 1 && has_avx2) {
        LFMM2_USE(avx2);
        return 1;
    }
#endif
    (void)level;
    LFMM2_USE(baseline);
    return 0;
}

/* --- tiles ----------------------------------------------------------------------------------------------------- */

/* Decode words of a SNP of which `n_bytes` bytes are left; genotypes after the last byte have the value of code 0. */
LFMM2_INLINE void lfmm2_decode_some(const uint8_t *bytes, ptrdiff_t n_bytes, ptrdiff_t n_words, const float *values,
                                    float *out, ptrdiff_t stride) {
    const ptrdiff_t n_whole = n_bytes / LFMM2_WORD_BYTES < n_words ? n_bytes / LFMM2_WORD_BYTES : n_words;
    lfmm2_decode_words(bytes, n_whole, values, out, stride);
    for (ptrdiff_t w = n_whole; w < n_words; w++) {
        uint8_t last[LFMM2_WORD_BYTES] = {0};
        const ptrdiff_t left = n_bytes - LFMM2_WORD_BYTES * w;
        if (left > 0)
            memcpy(last, bytes + LFMM2_WORD_BYTES * w, (size_t)(left < LFMM2_WORD_BYTES ? left : LFMM2_WORD_BYTES));
        lfmm2_decode_words(last, 1, values, out + stride * w, stride);
    }
}

/* T[r][k] += sum of lanes[r][k][...], in pairs. */
static void lfmm2_add_lanes(const float *lanes, double *T, ptrdiff_t ld) {
    for (int r = 0; r < LFMM2_ROWS; r++, T += ld) {
        lfmm2_four_floats sums[LFMM2_COLUMNS];
        for (int k = 0; k < LFMM2_COLUMNS; k++, lanes += LFMM2_LANES)
            sums[k] = (LFMM2_LOAD_FOUR(lanes) + LFMM2_LOAD_FOUR(lanes + 8)) +
                      (LFMM2_LOAD_FOUR(lanes + 4) + LFMM2_LOAD_FOUR(lanes + 12));
        for (int k = 0; k < LFMM2_COLUMNS; k++)
            T[k] += (double)((sums[k][0] + sums[k][2]) + (sums[k][1] + sums[k][3]));
    }
}

/* Write T = Y S of some SNPs, in single precision, to T_out[block][snp][4]; products of a chunk of 1024 samples are
   added in single precision, chunks in double.

   packed (n_snps, n_bytes), values (n_snps, 4); columns[block][step][4][16] with `n_steps` steps; tile (64, 96), sums
   (n_snps up to a multiple of 6, 4 n_blocks). */
static void lfmm2_multiply_samples(const uint8_t *packed, ptrdiff_t n_bytes, ptrdiff_t n_snps, const float *values,
                                   const float *columns, ptrdiff_t n_steps, ptrdiff_t n_blocks, float *T_out,
                                   ptrdiff_t ld_out, float *tile, double *sums) {
    const ptrdiff_t l = LFMM2_COLUMNS * n_blocks, n_rows = (n_snps + LFMM2_ROWS - 1) / LFMM2_ROWS * LFMM2_ROWS;
    float lanes[LFMM2_ROWS * LFMM2_COLUMNS * LFMM2_LANES] __attribute__((aligned(64)));
    memset(sums, 0, (size_t)(n_rows * l) * sizeof(double));
    for (ptrdiff_t step = 0; step < n_steps; step += LFMM2_TILE_ROWS) {
        const ptrdiff_t n_here = n_steps - step < LFMM2_TILE_ROWS ? n_steps - step : LFMM2_TILE_ROWS;
        const ptrdiff_t byte = LFMM2_WORD_BYTES * step;
        for (ptrdiff_t snp = 0; snp < n_snps; snp += LFMM2_ROWS) {
            for (ptrdiff_t r = 0; r < LFMM2_ROWS; r++) {
                /* Rows after the last SNP repeat it; their sums are not used. */
                const ptrdiff_t j = snp + r < n_snps ? snp + r : n_snps - 1;
                lfmm2_decode_some(packed + j * n_bytes + byte, n_bytes - byte, n_here, values + 4 * j,
                                  tile + LFMM2_LANES * r, LFMM2_TILE_WIDTH);
            }
            for (ptrdiff_t block = 0; block < n_blocks; block++) {
                lfmm2_multiply_steps(tile, columns + (block * n_steps + step) * LFMM2_COLUMNS * LFMM2_LANES, n_here,
                                     lanes);
                lfmm2_add_lanes(lanes, sums + snp * l + LFMM2_COLUMNS * block, l);
            }
        }
    }
    for (ptrdiff_t block = 0; block < n_blocks; block++)
        for (ptrdiff_t snp = 0; snp < n_snps; snp++)
            for (int k = 0; k < LFMM2_COLUMNS; k++)
                T_out[(block * ld_out + snp) * LFMM2_COLUMNS + k] = (float)sums[snp * l + LFMM2_COLUMNS * block + k];
}

/* G[column][sample] += Yᵀ T of a panel of SNPs, for `n_samples` samples, at most 96, from a byte on; G in F order.
   The sums of the panel are made in single precision and added in double.

   packed (n_snps, n_bytes), values (n_snps, 4), T[block][snp][4]; tile (64, 96), sums (4 n_blocks, 96). */
static void lfmm2_multiply_panel(const uint8_t *packed, ptrdiff_t n_bytes, ptrdiff_t n_snps, const float *values,
                                 const float *T, ptrdiff_t ld_T, ptrdiff_t n_blocks, ptrdiff_t byte,
                                 ptrdiff_t n_samples, double *G, ptrdiff_t ld_G, float *tile, float *sums) {
    memset(sums, 0, (size_t)(LFMM2_COLUMNS * n_blocks * LFMM2_TILE_WIDTH) * sizeof(float));
    for (ptrdiff_t snp = 0; snp < n_snps; snp += LFMM2_TILE_ROWS) {
        const ptrdiff_t n_here = n_snps - snp < LFMM2_TILE_ROWS ? n_snps - snp : LFMM2_TILE_ROWS;
        for (ptrdiff_t j = 0; j < n_here; j++) {
            lfmm2_decode_some(packed + (snp + j) * n_bytes + byte, n_bytes - byte, LFMM2_ROWS, values + 4 * (snp + j),
                              tile + LFMM2_TILE_WIDTH * j, LFMM2_LANES);
            /* The next rows are in other pages, where no processor fetches ahead. */
            if (snp + j + LFMM2_TILE_ROWS < n_snps)
                __builtin_prefetch(packed + (snp + j + LFMM2_TILE_ROWS) * n_bytes + byte);
        }
        for (ptrdiff_t block = 0; block < n_blocks; block++)
            lfmm2_multiply_snps(tile, T + (block * ld_T + snp) * LFMM2_COLUMNS, n_here,
                                sums + block * LFMM2_COLUMNS * LFMM2_TILE_WIDTH);
    }
    for (ptrdiff_t column = 0; column < LFMM2_COLUMNS * n_blocks; column++)
        for (ptrdiff_t i = 0; i < n_samples; i++)
            G[column * ld_G + i] += (double)sums[column * LFMM2_TILE_WIDTH + i];
}

#endif
