/* Products of rows of a matrix with few columns, in registers of four doubles.

   Each product is rounded before it is added, and the terms of a sum are added in their order, so that every processor
   gives the same. The variant is chosen when the module is loaded. */

#ifndef LFMM2_SYMMETRIC_H
#define LFMM2_SYMMETRIC_H

#include <stddef.h>
#include <stdint.h>

/* Columns are multiplied by fours, at most twelve at a time: with four rows, twelve registers hold sums. */
#define LFMM2_FOUR 4
#define LFMM2_MOST_COLUMNS 12
#define LFMM2_ROWS 4

/* out[r][c] = sum over k of rows[r][k] S[k][c], for four rows and 4, 8 or 12 columns; S and out have rows of
   `stride` and of 12 doubles. */
typedef void (*lfmm2_row_multiplier)(const double *const *rows, const double *S, ptrdiff_t stride, ptrdiff_t n_terms,
                                     double *out);

#if defined(__GNUC__) || defined(__clang__)
/* GCC fuses no multiplication with an addition in -std=c11; clang would. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif
typedef double lfmm2_four_doubles __attribute__((vector_size(32), aligned(8), may_alias));

#define LFMM2_MULTIPLY_ROWS(name, target, n_fours)                                                                     \
    target static void lfmm2_multiply_rows_##name(const double *const *rows, const double *S, ptrdiff_t stride,        \
                                                  ptrdiff_t n_terms, double *out) {                                    \
        lfmm2_four_doubles sums[LFMM2_ROWS][n_fours] = {{{0}}};                                                        \
        for (ptrdiff_t k = 0; k < n_terms; k++) {                                                                      \
            lfmm2_four_doubles of_term[n_fours];                                                                       \
            for (int c = 0; c < n_fours; c++)                                                                          \
                of_term[c] = *(const lfmm2_four_doubles *)(S + stride * k + LFMM2_FOUR * c);                           \
            for (int r = 0; r < LFMM2_ROWS; r++) {                                                                     \
                const double x = rows[r][k];                                                                           \
                const lfmm2_four_doubles all = {x, x, x, x};                                                           \
                for (int c = 0; c < n_fours; c++)                                                                      \
                    sums[r][c] += all * of_term[c];                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        for (int r = 0; r < LFMM2_ROWS; r++)                                                                           \
            for (int c = 0; c < n_fours; c++)                                                                          \
                *(lfmm2_four_doubles *)(out + LFMM2_MOST_COLUMNS * r + LFMM2_FOUR * c) = sums[r][c];                   \
    }
#else
#define LFMM2_MULTIPLY_ROWS(name, target, n_fours)                                                                     \
    static void lfmm2_multiply_rows_##name(const double *const *rows, const double *S, ptrdiff_t stride,               \
                                           ptrdiff_t n_terms, double *out) {                                           \
        for (int r = 0; r < LFMM2_ROWS; r++)                                                                           \
            for (int c = 0; c < LFMM2_FOUR * n_fours; c++) {                                                           \
                double sum = 0.0;                                                                                      \
                for (ptrdiff_t k = 0; k < n_terms; k++)                                                                \
                    sum += rows[r][k] * S[stride * k + c];                                                             \
                out[LFMM2_MOST_COLUMNS * r + c] = sum;                                                                 \
            }                                                                                                          \
    }
#endif

LFMM2_MULTIPLY_ROWS(baseline_4, , 1)
LFMM2_MULTIPLY_ROWS(baseline_8, , 2)
LFMM2_MULTIPLY_ROWS(baseline_12, , 3)

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86_SYMMETRIC 1
#define LFMM2_TARGET_AVX2 __attribute__((target("avx2")))
LFMM2_MULTIPLY_ROWS(avx2_4, LFMM2_TARGET_AVX2, 1)
LFMM2_MULTIPLY_ROWS(avx2_8, LFMM2_TARGET_AVX2, 2)
LFMM2_MULTIPLY_ROWS(avx2_12, LFMM2_TARGET_AVX2, 3)
#else
#define LFMM2_X86_SYMMETRIC 0
#endif

/* The variants in use, for 4, 8 and 12 columns. */
static lfmm2_row_multiplier lfmm2_multiply_rows[3];

/* Use the variant `level` (0 baseline, 1 AVX2) or the widest below it that the processor has; returns it. */
static int lfmm2_use_row_multiplier(int level) {
#if LFMM2_X86_SYMMETRIC
    __builtin_cpu_init();
    if (level >= 1 && __builtin_cpu_supports("avx2")) {
        lfmm2_multiply_rows[0] = lfmm2_multiply_rows_avx2_4;
        lfmm2_multiply_rows[1] = lfmm2_multiply_rows_avx2_8;
        lfmm2_multiply_rows[2] = lfmm2_multiply_rows_avx2_12;
        return 1;
    }
#endif
    (void)level;
    lfmm2_multiply_rows[0] = lfmm2_multiply_rows_baseline_4;
    lfmm2_multiply_rows[1] = lfmm2_multiply_rows_baseline_8;
    lfmm2_multiply_rows[2] = lfmm2_multiply_rows_baseline_12;
    return 0;
}

#endif
