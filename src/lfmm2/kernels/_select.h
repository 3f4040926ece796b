/* Codes of chosen samples, packed anew, many SNPs at a time.
 *
 * The SNPs of a tile are turned so that the bytes of one place of all SNPs stand side by side. The code of a sample is
 * then taken for 8 SNPs by one shift and one mask of a 64-bit word, whatever order the samples stand in.
 */

#ifndef LFMM2_SELECT_H
#define LFMM2_SELECT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Words of 8 SNPs in a tile: 64 SNPs, which are a cache line of each place. */
#define LFMM2_SELECT_WORDS 8
/* Bytes of a turned tile above which tiles of 8 SNPs are used; larger ones leave the caches of current processors. */
#define LFMM2_SELECT_BYTES (1 << 21)
/* Places that are turned together, so that what they write stays in the first cache. */
#define LFMM2_SELECT_PLACES 64

/* Return the words of 8 SNPs in a tile whose SNPs have n_bytes each. */
static inline int lfmm2_select_words(ptrdiff_t n_bytes)
{
    return 8 * LFMM2_SELECT_WORDS * n_bytes <= LFMM2_SELECT_BYTES ? LFMM2_SELECT_WORDS : 1;
}

/* Take the codes of n <= 4 samples for all SNPs of a turned tile, and pack them as one byte of each SNP. */
static inline void lfmm2_select_byte(
    const uint64_t *turned, const int64_t *sample_index, int n, int words, uint64_t *byte_out)
{
    const uint64_t code = 0x0303030303030303ULL;
    for (int w = 0; w < words; w++) byte_out[w] = 0;
    for (int k = 0; k < n; k++) {
        const uint64_t *place = turned + (sample_index[k] >> 2) * words;
        const int shift = 2 * (int) (sample_index[k] & 3);
        for (int w = 0; w < words; w++) byte_out[w] |= ((place[w] >> shift) & code) << (2 * k);
    }
}

/* The tile of lfmm2_select_tile for a number of words that the compiler knows. */
static inline void lfmm2_select_words_of_tile(
    const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, const int64_t *sample_index, ptrdiff_t n_kept,
    uint8_t *packed_out, uint64_t *turned, int words)
{
    const int width = 8 * words;
    const ptrdiff_t n_bytes_out = (n_kept + 3) / 4;
    uint64_t chosen[LFMM2_SELECT_PLACES * LFMM2_SELECT_WORDS];
    uint8_t *turned_bytes = (uint8_t *) turned;

    if (n_snps < width) memset(turned, 0, (size_t) (n_bytes * width));
    for (ptrdiff_t first = 0; first < n_bytes; first += LFMM2_SELECT_PLACES) {
        const ptrdiff_t end = first + LFMM2_SELECT_PLACES < n_bytes ? first + LFMM2_SELECT_PLACES : n_bytes;
        for (int s = 0; s < n_snps; s++)
            for (ptrdiff_t j = first; j < end; j++) turned_bytes[j * width + s] = packed[s * n_bytes + j];
    }
    for (ptrdiff_t first = 0; first < n_bytes_out; first += LFMM2_SELECT_PLACES) {
        const ptrdiff_t end = first + LFMM2_SELECT_PLACES < n_bytes_out ? first + LFMM2_SELECT_PLACES : n_bytes_out;
        for (ptrdiff_t i = first; i < end; i++) {
            uint64_t *out = chosen + (i - first) * words;
            if (4 * i + 4 <= n_kept)
                lfmm2_select_byte(turned, sample_index + 4 * i, 4, words, out);
            else
                lfmm2_select_byte(turned, sample_index + 4 * i, (int) (n_kept - 4 * i), words, out);
        }
        for (int s = 0; s < n_snps; s++)
            for (ptrdiff_t i = first; i < end; i++)
                packed_out[s * n_bytes_out + i] = ((const uint8_t *) chosen)[(i - first) * width + s];
    }
}

/* Pack the codes of chosen samples of at most 8 * lfmm2_select_words(n_bytes) SNPs; pad bits are zero.
 *
 * packed has n_snps rows of n_bytes, packed_out n_snps rows of ceil(n_kept / 4) bytes; turned is a workspace of
 * n_bytes * lfmm2_select_words(n_bytes) words.
 */
static inline void lfmm2_select_tile(
    const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, const int64_t *sample_index, ptrdiff_t n_kept,
    uint8_t *packed_out, uint64_t *turned)
{
    if (lfmm2_select_words(n_bytes) == LFMM2_SELECT_WORDS)
        lfmm2_select_words_of_tile(
            packed, n_bytes, n_snps, sample_index, n_kept, packed_out, turned, LFMM2_SELECT_WORDS);
    else
        lfmm2_select_words_of_tile(packed, n_bytes, n_snps, sample_index, n_kept, packed_out, turned, 1);
}

#endif
