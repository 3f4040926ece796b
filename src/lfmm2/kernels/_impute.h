/* Small dense algebra of one SNP, in the widest registers that the processor has.

   Every entry of a result is made by the same multiplications and additions in the same order whatever the width, and
   none of them is fused, so all variants give the same bits. The variant is chosen when the module is loaded; the
   package itself is built for the baseline of its platform. */

#ifndef LFMM2_IMPUTE_H
#define LFMM2_IMPUTE_H

#include <stddef.h>
#include <stdint.h>

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86 1
#else
#define LFMM2_X86 0
#endif

/* GCC fuses no multiplication with an addition in -std=c11; clang would. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define LFMM2_INLINE static inline __attribute__((always_inline))

/* Four or eight doubles at any address, which compilers split over the registers of the target. */
typedef double lfmm2_four __attribute__((vector_size(32), aligned(8), may_alias));
typedef double lfmm2_eight __attribute__((vector_size(64), aligned(8), may_alias));

/* 32 genotypes, the first in the lowest bits on any machine; compilers make one load of it. */
LFMM2_INLINE uint64_t lfmm2_genotypes(const uint8_t *b) {
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

/* Position of the lowest bit; 63 where there is none. */
LFMM2_INLINE int lfmm2_lowest_bit(uint64_t bits) { return __builtin_ctzll(bits | (uint64_t)1 << 63); }

/* y += sum of factors[i] * rows[positions[i]] over i in order, for a width that is a multiple of 4; all rows in turn
   where there are no positions. The sums of three registers of columns are made at a time, because one alone would wait
   for each of its additions. */
LFMM2_INLINE void lfmm2_combine_body(const double *factors, const int32_t *positions, ptrdiff_t n, const double *rows,
                                     ptrdiff_t ld, ptrdiff_t width, double *y) {
    ptrdiff_t k = 0;
    for (; k + 24 <= width; k += 24) {
        lfmm2_eight s0 = *(lfmm2_eight *)(y + k), s1 = *(lfmm2_eight *)(y + k + 8), s2 = *(lfmm2_eight *)(y + k + 16);
        for (ptrdiff_t i = 0; i < n; i++) {
            const double *row = rows + (positions ? positions[i] : i) * ld + k;
            s0 += factors[i] * *(const lfmm2_eight *)row;
            s1 += factors[i] * *(const lfmm2_eight *)(row + 8);
            s2 += factors[i] * *(const lfmm2_eight *)(row + 16);
        }
        *(lfmm2_eight *)(y + k) = s0;
        *(lfmm2_eight *)(y + k + 8) = s1;
        *(lfmm2_eight *)(y + k + 16) = s2;
    }
    for (; k + 8 <= width; k += 8) {
        lfmm2_eight sum = *(lfmm2_eight *)(y + k);
        for (ptrdiff_t i = 0; i < n; i++)
            sum += factors[i] * *(const lfmm2_eight *)(rows + (positions ? positions[i] : i) * ld + k);
        *(lfmm2_eight *)(y + k) = sum;
    }
    for (; k < width; k += 4) {
        lfmm2_four sum = *(lfmm2_four *)(y + k);
        for (ptrdiff_t i = 0; i < n; i++)
            sum += factors[i] * *(const lfmm2_four *)(rows + (positions ? positions[i] : i) * ld + k);
        *(lfmm2_four *)(y + k) = sum;
    }
}

/* N -= sum of the outer products of rows[positions[i]] with themselves, of all rows in turn where there are no
   positions, for a width that is a multiple of 8; on and above the diagonal, by tiles of 4 x 8 kept in registers. */
LFMM2_INLINE void lfmm2_downdate_body(const double *rows, const int32_t *positions, ptrdiff_t n, ptrdiff_t ld_rows,
                                      ptrdiff_t width, double *N, ptrdiff_t ld) {
    for (ptrdiff_t j = 0; j < width; j += 4)
        for (ptrdiff_t k = j & ~(ptrdiff_t)7; k < width; k += 8) {
            lfmm2_eight s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (ptrdiff_t i = 0; i < n; i++) {
                const double *a = rows + (positions ? positions[i] : i) * ld_rows;
                const lfmm2_eight row = *(const lfmm2_eight *)(a + k);
                s0 += a[j] * row;
                s1 += a[j + 1] * row;
                s2 += a[j + 2] * row;
                s3 += a[j + 3] * row;
            }
            *(lfmm2_eight *)(N + j * ld + k) -= s0;
            *(lfmm2_eight *)(N + (j + 1) * ld + k) -= s1;
            *(lfmm2_eight *)(N + (j + 2) * ld + k) -= s2;
            *(lfmm2_eight *)(N + (j + 3) * ld + k) -= s3;
        }
}

/* Eliminate the first n columns of N (n_rows, ld), of which the upper triangle counts, from the rows below them, and
   leave the inverses of the pivots on the diagonal; 0 where a pivot is not above `least`. Entries left of the diagonal,
   in the vector that holds it, are overwritten. */
LFMM2_INLINE int lfmm2_eliminate_body(double *N, ptrdiff_t n, ptrdiff_t n_rows, ptrdiff_t ld, double least) {
    for (ptrdiff_t k = 0; k < n; k++) {
        double *pivot_row = N + k * ld;
        if (!(pivot_row[k] > least))
            return 0;
        const double inverse = 1.0 / pivot_row[k];
        for (ptrdiff_t i = k + 1; i < n_rows; i++) {
            const double factor = pivot_row[i] * inverse;
            double *row = N + i * ld;
            for (ptrdiff_t j = i & ~(ptrdiff_t)7; j < ld; j += 8)
                *(lfmm2_eight *)(row + j) -= factor * *(const lfmm2_eight *)(pivot_row + j);
        }
        pivot_row[k] = inverse;
    }
    return 1;
}

#define LFMM2_VARIANT(name, target)                                                                                    \
    target static void lfmm2_combine_##name(const double *factors, const int32_t *positions, ptrdiff_t n,              \
                                            const double *rows, ptrdiff_t ld, ptrdiff_t width, double *y) {            \
        lfmm2_combine_body(factors, positions, n, rows, ld, width, y);                                                 \
    }                                                                                                                  \
    target static void lfmm2_downdate_##name(const double *rows, const int32_t *positions, ptrdiff_t n,                \
                                             ptrdiff_t ld_rows, ptrdiff_t width, double *N, ptrdiff_t ld) {            \
        lfmm2_downdate_body(rows, positions, n, ld_rows, width, N, ld);                                                \
    }                                                                                                                  \
    target static int lfmm2_eliminate_##name(double *N, ptrdiff_t n, ptrdiff_t n_rows, ptrdiff_t ld, double least) {   \
        return lfmm2_eliminate_body(N, n, n_rows, ld, least);                                                          \
    }

LFMM2_VARIANT(baseline, )
#if LFMM2_X86
LFMM2_VARIANT(avx2, __attribute__((target("avx2"))))
LFMM2_VARIANT(avx512, __attribute__((target("avx512f"))))
#endif

static void (*lfmm2_combine)(const double *, const int32_t *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                             double *) = lfmm2_combine_baseline;
static void (*lfmm2_downdate)(const double *, const int32_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, double *,
                              ptrdiff_t) = lfmm2_downdate_baseline;
static int (*lfmm2_eliminate)(double *, ptrdiff_t, ptrdiff_t, ptrdiff_t, double) = lfmm2_eliminate_baseline;

#define LFMM2_USE(name)                                                                                                \
    do {                                                                                                               \
        lfmm2_combine = lfmm2_combine_##name;                                                                          \
        lfmm2_downdate = lfmm2_downdate_##name;                                                                        \
        lfmm2_eliminate = lfmm2_eliminate_##name;                                                                      \
    } while (0)

/* Use the variant `level` (0 baseline, 1 AVX2, 2 AVX-512) or the widest below it that the processor has; returns it. */
static int lfmm2_use_registers(int level) {
#if LFMM2_X86
    __builtin_cpu_init();
    if (level >= 2 && __builtin_cpu_supports("avx512f")) {
        LFMM2_USE(avx512);
        return 2;
    }
    if (level >= 1 && __builtin_cpu_supports("avx2")) {
        LFMM2_USE(avx2);
        return 1;
    }
#endif
    (void)level;
    LFMM2_USE(baseline);
    return 0;
}

#endif
