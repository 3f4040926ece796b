/* Sums of rows of a matrix over the calls of packed SNPs, by tables, in the widest registers that the processor has.

   A byte of a .bed holds the calls of four samples. With u = dosage - 1, 0 where the call is missing, there are 81 sums
   u_1 w_1 + u_2 w_2 + u_3 w_3 + u_4 w_4 of their four rows w. They are written to a table, and each SNP adds the one that
   its byte, written in base 3, points to. Eight bytes, a word, have their tables in cache at the same time.

   A sum of a column is made by the same additions in the same order whatever the width, so all variants give the same
   bits. The variant is chosen when the module is loaded; the package itself is built for the baseline of its platform. */

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

#if defined(__GNUC__) || defined(__clang__)
#define LFMM2_INLINE static inline __attribute__((always_inline))
#define LFMM2_PREFETCH(address) __builtin_prefetch(address)
#define LFMM2_LOWEST_BIT(word) __builtin_ctzll(word)
/* Four or eight doubles at any address, which compilers split over the registers of the target. */
typedef double lfmm2_four __attribute__((vector_size(32), aligned(8), may_alias));
typedef double lfmm2_eight __attribute__((vector_size(64), aligned(8), may_alias));
#define LFMM2_VECTORS 1
#else
#define LFMM2_INLINE static inline
#define LFMM2_PREFETCH(address) ((void)(address))
static int lfmm2_find_lowest_bit(uint64_t word) {
    int bit = 0;
    while (!(word >> bit & 1))
        bit++;
    return bit;
}
#define LFMM2_LOWEST_BIT(word) lfmm2_find_lowest_bit(word)
#define LFMM2_VECTORS 0
#endif

/* GCC fuses no multiplication with an addition in -std=c11; clang would. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Bytes of a word, each with a table, and its samples. */
#define LFMM2_WORD 8
#define LFMM2_WORD_SAMPLES 32
/* Entries of a table, 3⁴. */
#define LFMM2_ENTRIES 81
/* Samples of the tables of missing calls of a word, all 32 together, and their entries, twice 2⁷ and three times 2⁶. */
#define LFMM2_MISSING_TABLES 5
static const int lfmm2_missing_samples[LFMM2_MISSING_TABLES] = {7, 7, 6, 6, 6};
/* Words whose bytes are looked up at a time, one register of 512 bits, and their bytes. */
#define LFMM2_SPAN 8
#define LFMM2_SPAN_BYTES 64

/* Add to counts[0..2] how many low bits, high bits, and both, are set in the pairs of bits of a SNP. */
typedef void (*lfmm2_pair_counter)(const uint8_t *bytes, ptrdiff_t n_bytes, int64_t *counts);
/* Write the numbers in base 3 of LFMM2_SPAN_BYTES bytes: a word every `stride`, the first byte lowest. */
typedef void (*lfmm2_index_writer)(const uint8_t *bytes, uint64_t *words, ptrdiff_t stride);
/* Fill the tables of a word from its 32 rows of four columns; of four more, `next` doubles after them, if there is room
   for eight. Tables of missing calls have four columns, and sums of rows where a call is missing. */
typedef void (*lfmm2_table_filler)(const double *rows, ptrdiff_t next, double *tables);
/* Add to the sums of each SNP, one after the other, the entries that its word or its mask of missing calls points to. */
typedef void (*lfmm2_entry_adder)(const uint64_t *words, ptrdiff_t n_snps, const double *tables, double *sums);
/* List the missing calls of up to 32 words of genotypes by their numbers, and return how many there are; one place more
   may be written. */
typedef int (*lfmm2_missing_lister)(const uint8_t *bytes, int n_words, uint16_t *listed);
/* Add to four sums the rows that are listed, one after the other. */
typedef void (*lfmm2_row_adder)(const double *rows, const uint16_t *listed, int n_listed, double *sums);

/* Code of two bits to a digit in base 3: dosage 0, missing, dosage 1, dosage 2. */
LFMM2_INLINE int lfmm2_digit(int code) { return code == 0 ? 0 : code == 3 ? 2 : 1; }

/* 32 genotypes, the first in the lowest bits on any machine; compilers make one load of it. */
LFMM2_INLINE uint64_t lfmm2_genotypes(const uint8_t *b) {
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

/* Bit 2 i is set where call i of a word is missing: its code is 01. */
LFMM2_INLINE uint64_t lfmm2_missing(uint64_t genotypes) {
    return genotypes & ~(genotypes >> 1) & 0x5555555555555555ULL;
}

/* The marks of missing calls of a word of genotypes in 32 bits, one after the other. */
LFMM2_INLINE uint64_t lfmm2_missing_mask(uint64_t missing) {
    missing = (missing | missing >> 1) & 0x3333333333333333ULL;
    missing = (missing | missing >> 2) & 0x0F0F0F0F0F0F0F0FULL;
    missing = (missing | missing >> 4) & 0x00FF00FF00FF00FFULL;
    missing = (missing | missing >> 8) & 0x0000FFFF0000FFFFULL;
    return (missing | missing >> 16) & 0xFFFFFFFFULL;
}

/* --- any processor ----------------------------------------------------------------------------------------- */

LFMM2_INLINE int64_t lfmm2_set_bits(uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555ULL;
    word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
    return (int64_t)((word * 0x0101010101010101ULL) >> 56);
}

static void lfmm2_count_pairs_baseline(const uint8_t *bytes, ptrdiff_t n_bytes, int64_t *counts) {
    for (ptrdiff_t i = 0; i < n_bytes; i += 8) {
        uint8_t last[8] = {0};
        const uint8_t *here = bytes + i;
        if (n_bytes - i < 8) {
            memcpy(last, here, (size_t)(n_bytes - i));
            here = last;
        }
        const uint64_t word = lfmm2_genotypes(here);
        const uint64_t low = word & 0x5555555555555555ULL, high = (word >> 1) & 0x5555555555555555ULL;
        counts[0] += lfmm2_set_bits(low);
        counts[1] += lfmm2_set_bits(high);
        counts[2] += lfmm2_set_bits(low & high);
    }
}

static uint8_t lfmm2_numbers[256];

static void lfmm2_fill_numbers(void) {
    for (int byte = 0; byte < 256; byte++)
        lfmm2_numbers[byte] = (uint8_t)(lfmm2_digit(byte & 3) + 3 * lfmm2_digit(byte >> 2 & 3) +
                                        9 * lfmm2_digit(byte >> 4 & 3) + 27 * lfmm2_digit(byte >> 6));
}

static void lfmm2_write_index_baseline(const uint8_t *bytes, uint64_t *words, ptrdiff_t stride) {
    for (int word = 0; word < LFMM2_SPAN; word++) {
        uint64_t index = 0;
        for (int k = 0; k < LFMM2_WORD; k++)
            index |= (uint64_t)lfmm2_numbers[bytes[LFMM2_WORD * word + k]] << (8 * k);
        words[word * stride] = index;
    }
}

/* The entry of byte k of a word, in tables of 2^log_bytes bytes an entry. Its offset takes a shift and a mask. */
LFMM2_INLINE const double *lfmm2_entry(const double *tables, int k, uint64_t word, int log_bytes) {
    const uint64_t shifted = 8 * k < log_bytes ? word << (log_bytes - 8 * k) : word >> (8 * k - log_bytes);
    const char *table = (const char *)tables + ((ptrdiff_t)LFMM2_ENTRIES * k << log_bytes);
    return (const double *)(table + (shifted & (uint64_t)0xFF << log_bytes));
}

#if LFMM2_VECTORS
LFMM2_INLINE void lfmm2_fill_four_body(const double *rows, double *tables) {
    for (int k = 0; k < LFMM2_WORD; k++) {
        lfmm2_four first[9], second[9];
        const lfmm2_four *row = (const lfmm2_four *)(rows + 16 * k);
        for (int b = -1; b <= 1; b++)
            for (int a = -1; a <= 1; a++) {
                first[3 * b + a + 4] = (double)a * row[0] + (double)b * row[1];
                second[3 * b + a + 4] = (double)a * row[2] + (double)b * row[3];
            }
        for (int j = 0; j < 9; j++)
            for (int i = 0; i < 9; i++)
                *(lfmm2_four *)(tables + 4 * (LFMM2_ENTRIES * k + 9 * j + i)) = first[i] + second[j];
    }
}

LFMM2_INLINE void lfmm2_add_four_body(const uint64_t *words, ptrdiff_t n_snps, const double *tables, double *sums) {
#define LFMM2_FOUR(k) (*(const lfmm2_four *)lfmm2_entry(tables, k, word, 5))
    for (ptrdiff_t s = 0; s < n_snps; s++) {
        const uint64_t word = words[s];
        const lfmm2_four first = (LFMM2_FOUR(0) + LFMM2_FOUR(1)) + (LFMM2_FOUR(2) + LFMM2_FOUR(3));
        const lfmm2_four second = (LFMM2_FOUR(4) + LFMM2_FOUR(5)) + (LFMM2_FOUR(6) + LFMM2_FOUR(7));
        *(lfmm2_four *)(sums + 4 * s) += first + second;
    }
#undef LFMM2_FOUR
}

LFMM2_INLINE void lfmm2_add_rows_body(const double *rows, const uint16_t *listed, int n_listed, double *sums) {
    lfmm2_four sum = *(lfmm2_four *)sums;
    for (int e = 0; e < n_listed; e++)
        sum += *(const lfmm2_four *)(rows + 4 * listed[e]);
    *(lfmm2_four *)sums = sum;
}

LFMM2_INLINE void lfmm2_fill_missing_body(const double *rows, double *tables) {
    for (int g = 0; g < LFMM2_MISSING_TABLES; g++) {
        lfmm2_four *table = (lfmm2_four *)tables;
        table[0] = (lfmm2_four){0.0, 0.0, 0.0, 0.0};
        for (int i = 0; i < lfmm2_missing_samples[g]; i++, rows += 4)
            for (int entry = 0; entry < 1 << i; entry++)
                table[(1 << i) + entry] = table[entry] + *(const lfmm2_four *)rows;
        tables += 4 << lfmm2_missing_samples[g];
    }
}

LFMM2_INLINE void lfmm2_add_missing_body(const uint64_t *masks, ptrdiff_t n_snps, const double *tables, double *sums) {
    const lfmm2_four *a = (const lfmm2_four *)tables, *b = a + 128, *c = b + 128, *d = c + 64, *e = d + 64;
    for (ptrdiff_t s = 0; s < n_snps; s++) {
        const uint64_t mask = masks[s];
        const lfmm2_four first = a[mask & 127] + b[mask >> 7 & 127];
        const lfmm2_four second = c[mask >> 14 & 63] + d[mask >> 20 & 63];
        *(lfmm2_four *)(sums + 4 * s) += (first + second) + e[mask >> 26];
    }
}
#else
LFMM2_INLINE void lfmm2_fill_four_body(const double *rows, double *tables) {
    for (int k = 0; k < LFMM2_WORD; k++)
        for (int entry = 0; entry < LFMM2_ENTRIES; entry++)
            for (int c = 0; c < 4; c++) {
                const double *w = rows + 16 * k + c;
                const double first = (double)(entry % 3 - 1) * w[0] + (double)(entry / 3 % 3 - 1) * w[4];
                const double second = (double)(entry / 9 % 3 - 1) * w[8] + (double)(entry / 27 - 1) * w[12];
                tables[4 * (LFMM2_ENTRIES * k + entry) + c] = first + second;
            }
}

LFMM2_INLINE void lfmm2_add_four_body(const uint64_t *words, ptrdiff_t n_snps, const double *tables, double *sums) {
    for (ptrdiff_t s = 0; s < n_snps; s++)
        for (int c = 0; c < 4; c++) {
            double x[LFMM2_WORD];
            for (int k = 0; k < LFMM2_WORD; k++)
                x[k] = lfmm2_entry(tables, k, words[s], 5)[c];
            sums[4 * s + c] += ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
        }
}

LFMM2_INLINE void lfmm2_add_rows_body(const double *rows, const uint16_t *listed, int n_listed, double *sums) {
    for (int e = 0; e < n_listed; e++)
        for (int c = 0; c < 4; c++)
            sums[c] += rows[4 * listed[e] + c];
}

LFMM2_INLINE void lfmm2_fill_missing_body(const double *rows, double *tables) {
    for (int g = 0; g < LFMM2_MISSING_TABLES; g++) {
        for (int c = 0; c < 4; c++)
            tables[c] = 0.0;
        for (int i = 0; i < lfmm2_missing_samples[g]; i++, rows += 4)
            for (int entry = 0; entry < 1 << i; entry++)
                for (int c = 0; c < 4; c++)
                    tables[4 * ((1 << i) + entry) + c] = tables[4 * entry + c] + rows[c];
        tables += 4 << lfmm2_missing_samples[g];
    }
}

LFMM2_INLINE void lfmm2_add_missing_body(const uint64_t *masks, ptrdiff_t n_snps, const double *tables, double *sums) {
    const double *a = tables, *b = a + 4 * 128, *c = b + 4 * 128, *d = c + 4 * 64, *e = d + 4 * 64;
    for (ptrdiff_t s = 0; s < n_snps; s++)
        for (int k = 0; k < 4; k++) {
            const uint64_t mask = masks[s];
            const double first = a[4 * (mask & 127) + k] + b[4 * (mask >> 7 & 127) + k];
            const double second = c[4 * (mask >> 14 & 63) + k] + d[4 * (mask >> 20 & 63) + k];
            sums[4 * s + k] += (first + second) + e[4 * (mask >> 26) + k];
        }
}
#endif

static void lfmm2_fill_baseline(const double *rows, ptrdiff_t next, double *tables) {
    (void)next;
    lfmm2_fill_four_body(rows, tables);
}

static void lfmm2_add_four_baseline(const uint64_t *words, ptrdiff_t n_snps, const double *tables, double *sums) {
    lfmm2_add_four_body(words, n_snps, tables, sums);
}

static void lfmm2_add_rows_baseline(const double *rows, const uint16_t *listed, int n_listed, double *sums) {
    lfmm2_add_rows_body(rows, listed, n_listed, sums);
}

static void lfmm2_fill_missing_baseline(const double *rows, ptrdiff_t next, double *tables) {
    (void)next;
    lfmm2_fill_missing_body(rows, tables);
}

static void lfmm2_add_missing_baseline(const uint64_t *masks, ptrdiff_t n_snps, const double *tables,
                                       double *sums) {
    lfmm2_add_missing_body(masks, n_snps, tables, sums);
}

static int lfmm2_list_missing_baseline(const uint8_t *bytes, int n_words, uint16_t *listed) {
    int n_listed = 0;
    for (int word = 0; word < n_words; word++) {
        uint64_t missing = lfmm2_missing(lfmm2_genotypes(bytes + LFMM2_WORD * word));
        /* Most words have no missing call or one, and take no branch. */
        listed[n_listed] = (uint16_t)(LFMM2_WORD_SAMPLES * word + LFMM2_LOWEST_BIT(missing | 1ULL << 63) / 2);
        n_listed += missing != 0;
        for (missing &= missing - 1; missing; missing &= missing - 1)
            listed[n_listed++] = (uint16_t)(LFMM2_WORD_SAMPLES * word + LFMM2_LOWEST_BIT(missing) / 2);
    }
    return n_listed;
}

/* --- x86 --------------------------------------------------------------------------------------------------- */

#if LFMM2_X86
#define LFMM2_TARGET_AVX2 __attribute__((target("avx2,popcnt")))
#define LFMM2_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq,bmi")))
/* Numbers of half bytes, in the low half and in the high half of a byte. */
#define LFMM2_LOW_NUMBERS 0, 1, 1, 2, 3, 4, 4, 5, 3, 4, 4, 5, 6, 7, 7, 8
#define LFMM2_HIGH_NUMBERS 0, 9, 9, 18, 27, 36, 36, 45, 27, 36, 36, 45, 54, 63, 63, 72

LFMM2_TARGET_AVX2 static void lfmm2_count_pairs_avx2(const uint8_t *bytes, ptrdiff_t n_bytes, int64_t *counts) {
    ptrdiff_t i = 0;
    for (; i + 8 <= n_bytes; i += 8) {
        const uint64_t word = lfmm2_genotypes(bytes + i);
        const uint64_t low = word & 0x5555555555555555ULL, high = word & 0xAAAAAAAAAAAAAAAAULL;
        counts[0] += __builtin_popcountll(low);
        counts[1] += __builtin_popcountll(high);
        counts[2] += __builtin_popcountll(low & high >> 1);
    }
    lfmm2_count_pairs_baseline(bytes + i, n_bytes - i, counts);
}

LFMM2_TARGET_AVX2 static void lfmm2_write_index_avx2(const uint8_t *bytes, uint64_t *words, ptrdiff_t stride) {
    const __m256i low = _mm256_setr_epi8(LFMM2_LOW_NUMBERS, LFMM2_LOW_NUMBERS);
    const __m256i high = _mm256_setr_epi8(LFMM2_HIGH_NUMBERS, LFMM2_HIGH_NUMBERS);
    const __m256i half = _mm256_set1_epi8(15);
    uint64_t index[LFMM2_SPAN];
    for (int part = 0; part < 2; part++) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + 32 * part));
        const __m256i a = _mm256_shuffle_epi8(low, _mm256_and_si256(x, half));
        const __m256i b = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(x, 4), half));
        _mm256_storeu_si256((__m256i *)(index + 4 * part), _mm256_add_epi8(a, b));
    }
    for (int word = 0; word < LFMM2_SPAN; word++)
        words[word * stride] = index[word];
}

LFMM2_TARGET_AVX2 static void lfmm2_fill_avx2(const double *rows, ptrdiff_t next, double *tables) {
    (void)next;
    lfmm2_fill_four_body(rows, tables);
}

LFMM2_TARGET_AVX2 static void lfmm2_add_four_avx2(const uint64_t *words, ptrdiff_t n_snps, const double *tables,
                                                  double *sums) {
    lfmm2_add_four_body(words, n_snps, tables, sums);
}

LFMM2_TARGET_AVX2 static void lfmm2_add_rows_avx2(const double *rows, const uint16_t *listed, int n_listed,
                                                  double *sums) {
    lfmm2_add_rows_body(rows, listed, n_listed, sums);
}

LFMM2_TARGET_AVX2 static void lfmm2_fill_missing_avx2(const double *rows, ptrdiff_t next, double *tables) {
    (void)next;
    lfmm2_fill_missing_body(rows, tables);
}

LFMM2_TARGET_AVX2 static void lfmm2_add_missing_avx2(const uint64_t *masks, ptrdiff_t n_snps, const double *tables,
                                                     double *sums) {
    lfmm2_add_missing_body(masks, n_snps, tables, sums);
}

LFMM2_TARGET_AVX512 static void lfmm2_count_pairs_avx512(const uint8_t *bytes, ptrdiff_t n_bytes, int64_t *counts) {
    const __m512i ones = _mm512_set1_epi8(0x55);
    __m512i low = _mm512_setzero_si512(), high = low, both = low;
    for (ptrdiff_t i = 0; i < n_bytes; i += 64) {
        const __mmask64 here = n_bytes - i >= 64 ? ~0ULL : (1ULL << (n_bytes - i)) - 1;
        const __m512i x = _mm512_maskz_loadu_epi8(here, bytes + i);
        const __m512i l = _mm512_and_si512(x, ones), h = _mm512_and_si512(_mm512_srli_epi64(x, 1), ones);
        low = _mm512_add_epi64(low, _mm512_popcnt_epi64(l));
        high = _mm512_add_epi64(high, _mm512_popcnt_epi64(h));
        both = _mm512_add_epi64(both, _mm512_popcnt_epi64(_mm512_and_si512(l, h)));
    }
    counts[0] += _mm512_reduce_add_epi64(low);
    counts[1] += _mm512_reduce_add_epi64(high);
    counts[2] += _mm512_reduce_add_epi64(both);
}

LFMM2_TARGET_AVX512 static void lfmm2_write_index_avx512(const uint8_t *bytes, uint64_t *words, ptrdiff_t stride) {
    const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(LFMM2_LOW_NUMBERS));
    const __m512i high = _mm512_broadcast_i32x4(_mm_setr_epi8(LFMM2_HIGH_NUMBERS));
    const __m512i half = _mm512_set1_epi8(15), x = _mm512_loadu_si512(bytes);
    const __m512i a = _mm512_shuffle_epi8(low, _mm512_and_si512(x, half));
    const __m512i b = _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16(x, 4), half));
    uint64_t index[LFMM2_SPAN];
    _mm512_storeu_si512(index, _mm512_add_epi8(a, b));
    for (int word = 0; word < LFMM2_SPAN; word++)
        words[word * stride] = index[word];
}

LFMM2_TARGET_AVX512 static int lfmm2_list_missing_avx512(const uint8_t *bytes, int n_words, uint16_t *listed) {
    const __m512i ones = _mm512_set1_epi8(0x55);
    uint32_t words = 0;
    int n_listed = 0;
    for (int first = 0; first < n_words; first += 8) {
        const __mmask8 here = (__mmask8)(n_words - first >= 8 ? 0xFF : (1 << (n_words - first)) - 1);
        const __m512i x = _mm512_maskz_loadu_epi64(here, bytes + LFMM2_WORD * first);
        /* 0x20: set in the first and the third, not in the second. */
        const __m512i missing = _mm512_ternarylogic_epi64(x, _mm512_srli_epi64(x, 1), ones, 0x20);
        words |= (uint32_t)_mm512_test_epi64_mask(missing, missing) << first;
    }
    for (; words; words &= words - 1) {
        const int word = __builtin_ctz(words);
        uint64_t missing = lfmm2_missing(lfmm2_genotypes(bytes + LFMM2_WORD * word));
        for (; missing; missing &= missing - 1)
            listed[n_listed++] = (uint16_t)(LFMM2_WORD_SAMPLES * word + __builtin_ctzll(missing) / 2);
    }
    return n_listed;
}

LFMM2_TARGET_AVX512 static void lfmm2_fill_eight(const double *rows, ptrdiff_t next, double *tables) {
    for (int k = 0; k < LFMM2_WORD; k++) {
        __m512d row[4], first[9], second[9];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const double *left = rows + 16 * k + 4 * i;
            row[i] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(left)), _mm256_loadu_pd(left + next), 1);
        }
#pragma GCC unroll 3
        for (int b = -1; b <= 1; b++)
#pragma GCC unroll 3
            for (int a = -1; a <= 1; a++) {
                first[3 * b + a + 4] = (double)a * row[0] + (double)b * row[1];
                second[3 * b + a + 4] = (double)a * row[2] + (double)b * row[3];
            }
        for (int j = 0; j < 9; j++)
#pragma GCC unroll 9
            for (int i = 0; i < 9; i++)
                _mm512_store_pd(tables + 8 * (LFMM2_ENTRIES * k + 9 * j + i), _mm512_add_pd(first[i], second[j]));
    }
}

LFMM2_TARGET_AVX512 static void lfmm2_add_eight(const uint64_t *words, ptrdiff_t n_snps, const double *tables,
                                                double *sums) {
#define LFMM2_EIGHT(k) (_mm512_load_pd(lfmm2_entry(tables, k, word, 6)))
    for (ptrdiff_t s = 0; s < n_snps; s++) {
        const uint64_t word = words[s];
        const __m512d first = (LFMM2_EIGHT(0) + LFMM2_EIGHT(1)) + (LFMM2_EIGHT(2) + LFMM2_EIGHT(3));
        const __m512d second = (LFMM2_EIGHT(4) + LFMM2_EIGHT(5)) + (LFMM2_EIGHT(6) + LFMM2_EIGHT(7));
        _mm512_store_pd(sums + 8 * s, _mm512_load_pd(sums + 8 * s) + (first + second));
    }
#undef LFMM2_EIGHT
}
#endif

/* --- the variant in use ------------------------------------------------------------------------------------- */

static lfmm2_pair_counter lfmm2_count_pairs = lfmm2_count_pairs_baseline;
static lfmm2_index_writer lfmm2_write_index = lfmm2_write_index_baseline;
static lfmm2_table_filler lfmm2_fill_four = lfmm2_fill_baseline;
static lfmm2_entry_adder lfmm2_add_four = lfmm2_add_four_baseline;
static lfmm2_table_filler lfmm2_fill_missing = lfmm2_fill_missing_baseline;
static lfmm2_entry_adder lfmm2_add_missing = lfmm2_add_missing_baseline;
static lfmm2_missing_lister lfmm2_list_missing = lfmm2_list_missing_baseline;
static lfmm2_row_adder lfmm2_add_rows = lfmm2_add_rows_baseline;
/* Tables of eight columns, or NULL where those of four are as fast. */
static lfmm2_table_filler lfmm2_fill_wide = NULL;
static lfmm2_entry_adder lfmm2_add_wide = NULL;

static int lfmm2_has_wide(void) { return lfmm2_add_wide != NULL; }

/* Use the variant `level` (0 baseline, 1 AVX2, 2 AVX-512) or the next below it that the processor has; returns it. */
static int lfmm2_use_registers(int level) {
    lfmm2_fill_numbers();
    lfmm2_count_pairs = lfmm2_count_pairs_baseline;
    lfmm2_write_index = lfmm2_write_index_baseline;
    lfmm2_fill_four = lfmm2_fill_baseline;
    lfmm2_add_four = lfmm2_add_four_baseline;
    lfmm2_fill_missing = lfmm2_fill_missing_baseline;
    lfmm2_add_missing = lfmm2_add_missing_baseline;
    lfmm2_list_missing = lfmm2_list_missing_baseline;
    lfmm2_add_rows = lfmm2_add_rows_baseline;
    lfmm2_fill_wide = NULL;
    lfmm2_add_wide = NULL;
#if LFMM2_X86
    __builtin_cpu_init();
    if (level < 1 || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("popcnt"))
        return 0;
    lfmm2_count_pairs = lfmm2_count_pairs_avx2;
    lfmm2_write_index = lfmm2_write_index_avx2;
    lfmm2_fill_four = lfmm2_fill_avx2;
    lfmm2_add_four = lfmm2_add_four_avx2;
    lfmm2_fill_missing = lfmm2_fill_missing_avx2;
    lfmm2_add_missing = lfmm2_add_missing_avx2;
    lfmm2_add_rows = lfmm2_add_rows_avx2;
    if (level < 2 || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vpopcntdq") || !__builtin_cpu_supports("bmi"))
        return 1;
    lfmm2_count_pairs = lfmm2_count_pairs_avx512;
    lfmm2_write_index = lfmm2_write_index_avx512;
    lfmm2_list_missing = lfmm2_list_missing_avx512;
    lfmm2_fill_wide = lfmm2_fill_eight;
    lfmm2_add_wide = lfmm2_add_eight;
    return 2;
#endif
    (void)level;
    return 0;
}

#endif
