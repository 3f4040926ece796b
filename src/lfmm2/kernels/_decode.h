/* Whole .bed bytes to doubles: one look-up per byte, in the widest registers that the processor has.

   Every variant copies the same four values of the SNP to the same places, so all give the same bits. The variant is
   chosen when the module is loaded; the package itself is built for the baseline of its platform. */

#ifndef LFMM2_DECODE_H
#define LFMM2_DECODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86 1
#include <immintrin.h>
#else
#define LFMM2_X86 0
#endif

/* Write the values of 4 n_bytes genotypes to `dosage`; `values` holds those of the codes 0 to 3. */
typedef void (*lfmm2_decoder)(const uint8_t *bytes, ptrdiff_t n_bytes, const double *values, double *dosage);

/* Look up half bytes in a table of 16 pairs: two 16-byte loads and stores per byte. A table of 256 rows would take longer
   to fill than a row of 1 000 samples takes to decode. */
static void lfmm2_decode_baseline(const uint8_t *bytes, ptrdiff_t n_bytes, const double *values, double *dosage) {
    double pairs[32];
    for (int half = 0; half < 16; half++) {
        pairs[2 * half] = values[half & 3];
        pairs[2 * half + 1] = values[half >> 2];
    }
    for (ptrdiff_t i = 0; i < n_bytes; i++) {
        memcpy(dosage + 4 * i, pairs + 2 * (bytes[i] & 15), 16);
        memcpy(dosage + 4 * i + 2, pairs + 2 * (bytes[i] >> 4), 16);
    }
}

#if LFMM2_X86
/* Row b permutes the eight 32-bit halves of four values into the four genotypes of byte b; 8 KiB, the same for all
   SNPs. */
static uint32_t lfmm2_halves[256][8] __attribute__((aligned(32)));

static void lfmm2_fill_halves(void) {
    for (int byte = 0; byte < 256; byte++)
        for (int k = 0; k < 4; k++) {
            uint32_t code = (uint32_t)(byte >> (2 * k)) & 3;
            lfmm2_halves[byte][2 * k] = 2 * code;
            lfmm2_halves[byte][2 * k + 1] = 2 * code + 1;
        }
}

__attribute__((target("avx2"))) static void lfmm2_decode_avx2(const uint8_t *bytes, ptrdiff_t n_bytes,
                                                              const double *values, double *dosage) {
    const __m256 four = _mm256_castpd_ps(_mm256_loadu_pd(values));
    for (ptrdiff_t i = 0; i < n_bytes; i++) {
        const __m256i halves = _mm256_load_si256((const __m256i *)lfmm2_halves[bytes[i]]);
        _mm256_storeu_ps((float *)(dosage + 4 * i), _mm256_permutevar8x32_ps(four, halves));
    }
}

/* Two bytes at a time: lane k holds both bytes shifted by 2 k; its low three bits choose one of the values, which stand
   twice in the register so that the third bit, which belongs to the next genotype, does not matter. */
__attribute__((target("avx512f"))) static void lfmm2_decode_avx512(const uint8_t *bytes, ptrdiff_t n_bytes,
                                                                   const double *values, double *dosage) {
    const __m512d twice = _mm512_broadcast_f64x4(_mm256_loadu_pd(values));
    const __m512i shifts = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    ptrdiff_t i = 0;
    for (; i + 2 <= n_bytes; i += 2) {
        const int64_t both = (int64_t)(bytes[i] | bytes[i + 1] << 8);
        const __m512i lanes = _mm512_srlv_epi64(_mm512_set1_epi64(both), shifts);
        _mm512_storeu_pd(dosage + 4 * i, _mm512_permutexvar_pd(lanes, twice));
    }
    for (int k = 0; i < n_bytes && k < 4; k++)
        dosage[4 * i + k] = values[bytes[i] >> (2 * k) & 3];
}
#endif

static lfmm2_decoder lfmm2_decode = lfmm2_decode_baseline;

/* Use the variant `level` (0 baseline, 1 AVX2, 2 AVX-512) or the widest below it that the processor has; returns it. */
static int lfmm2_use_decoder(int level) {
#if LFMM2_X86
    lfmm2_fill_halves();
    __builtin_cpu_init();
    if (level >= 2 && __builtin_cpu_supports("avx512f")) {
        lfmm2_decode = lfmm2_decode_avx512;
        return 2;
    }
    if (level >= 1 && __builtin_cpu_supports("avx2")) {
        lfmm2_decode = lfmm2_decode_avx2;
        return 1;
    }
#endif
    (void)level;
    lfmm2_decode = lfmm2_decode_baseline;
    return 0;
}

#endif
