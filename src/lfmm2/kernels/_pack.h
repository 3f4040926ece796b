/* Packing of calls, a byte each, to two bits as in a .bed, in registers of 256 bits where the processor has them.

   The packed bytes are integers, so both variants give the same. The variant is chosen when the module is loaded. */

#ifndef LFMM2_PACK_H
#define LFMM2_PACK_H

#include <stddef.h>
#include <stdint.h>

#if (defined(__x86_64__) || defined(__amd64__)) && (defined(__GNUC__) || defined(__clang__))
#define LFMM2_X86_PACK 1
#include <immintrin.h>
#else
#define LFMM2_X86_PACK 0
#endif

/* Code of a call, from the lowest two bits of its byte: 0, 1, 2 copies of A1 and 3 for missing become 3, 2, 0, 1. */
static inline uint8_t lfmm2_code_of_call(int8_t call) {
    const unsigned high = ((unsigned)call >> 1) & 1u, low = (unsigned)call & 1u;
    return (uint8_t)((high ^ 1u) << 1 | (high ^ low ^ 1u));
}

static void lfmm2_pack_baseline(const int8_t *calls, ptrdiff_t n, uint8_t *packed) {
    const ptrdiff_t n_whole = n / 4;
    for (ptrdiff_t i = 0; i < n_whole; i++, calls += 4)
        packed[i] = (uint8_t)(lfmm2_code_of_call(calls[0]) | lfmm2_code_of_call(calls[1]) << 2
                              | lfmm2_code_of_call(calls[2]) << 4 | lfmm2_code_of_call(calls[3]) << 6);
    if (n % 4) {
        unsigned last = 0;
        for (ptrdiff_t k = 0; k < n % 4; k++)
            last |= (unsigned)lfmm2_code_of_call(calls[k]) << 2 * k;
        packed[n_whole] = (uint8_t)last;
    }
}

typedef void (*lfmm2_packer)(const int8_t *calls, ptrdiff_t n, uint8_t *packed);

#if LFMM2_X86_PACK
/* Codes of 32 calls, looked up by their lowest two bits; then pairs are joined to 4 bits, and those to bytes. */
__attribute__((target("avx2"))) static void lfmm2_pack_avx2(const int8_t *calls, ptrdiff_t n, uint8_t *packed) {
    const __m256i lowest = _mm256_set1_epi8(3);
    const __m256i codes = _mm256_set1_epi32(0x01000203);
    const __m256i pairs = _mm256_set1_epi16(0x0401), fours = _mm256_set1_epi32(0x00100001);
    const __m256i first_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                                                 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32, packed += 8) {
        const __m256i bytes = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(calls + i)), lowest);
        const __m256i found = _mm256_shuffle_epi8(codes, bytes);
        const __m256i joined = _mm256_madd_epi16(_mm256_maddubs_epi16(found, pairs), fours);
        const __m256i gathered = _mm256_shuffle_epi8(joined, first_bytes);
        const uint32_t low = (uint32_t)_mm256_extract_epi32(gathered, 0);
        const uint32_t high = (uint32_t)_mm256_extract_epi32(gathered, 4);
        const uint64_t both = (uint64_t)high << 32 | low;
        _mm_storel_epi64((__m128i *)packed, _mm_cvtsi64_si128((long long)both));
    }
    lfmm2_pack_baseline(calls + i, n - i, packed);
}
#endif

/* The fastest variant up to a level that the processor has: 0 for the baseline, 1 for AVX2. */
static lfmm2_packer lfmm2_choose_packer(int level) {
#if LFMM2_X86_PACK
    __builtin_cpu_init();
    if (level >= 1 && __builtin_cpu_supports("avx2"))
        return lfmm2_pack_avx2;
#endif
    (void)level;
    return lfmm2_pack_baseline;
}

#endif
