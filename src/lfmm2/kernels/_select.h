/* Codes of chosen samples, packed anew, 8 SNPs at a time.
 *
 * The SNPs of a tile are turned so that the bytes of one place of all SNPs stand side by side, as one 64-bit word. The
 * code of a sample is then taken for all of them by one shift and one mask, whatever order the samples stand in.
 */

#ifndef LFMM2_SELECT_H
#define LFMM2_SELECT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* SNPs of a tile: the bytes of a word. Tiles of 16, 32 and 64 SNPs are no faster, since they leave the first cache. */
#define LFMM2_SELECT_SNPS 8
/* Bytes of the output that are turned back together. */
#define LFMM2_SELECT_BYTES 64

/* Take the codes of n <= 4 samples for all SNPs of a turned tile, and pack them as one byte of each SNP. */
static inline uint64_t lfmm2_select_byte(const uint64_t *turned, const int64_t *sample_index, int n)
{
    uint64_t packed = 0;
    for (int k = 0; k < n; k++) {
        const uint64_t codes = turned[sample_index[k] >> 2] >> (2 * (sample_index[k] & 3));
        packed |= (codes & 0x0303030303030303ULL) << (2 * k);
    }
    return packed;
}

/* Pack the codes of chosen samples of at most 8 SNPs; pad bits are zero.
 *
 * packed has n_snps rows of n_bytes, packed_out n_snps rows of ceil(n_kept / 4) bytes; turned is a workspace of n_bytes
 * words.
 */
static inline void lfmm2_select_tile(
    const uint8_t *packed, ptrdiff_t n_bytes, int n_snps, const int64_t *sample_index, ptrdiff_t n_kept,
    uint8_t *packed_out, uint64_t *turned)
{
    const ptrdiff_t n_bytes_out = (n_kept + 3) / 4;
    uint8_t *turned_bytes = (uint8_t *) turned;
    uint64_t chosen[LFMM2_SELECT_BYTES];

    if (n_snps < LFMM2_SELECT_SNPS) memset(turned, 0, (size_t) n_bytes * sizeof *turned);
    for (int s = 0; s < n_snps; s++)
        for (ptrdiff_t j = 0; j < n_bytes; j++) turned_bytes[LFMM2_SELECT_SNPS * j + s] = packed[s * n_bytes + j];
    for (ptrdiff_t first = 0; first < n_bytes_out; first += LFMM2_SELECT_BYTES) {
        const ptrdiff_t n = n_bytes_out - first < LFMM2_SELECT_BYTES ? n_bytes_out - first : LFMM2_SELECT_BYTES;
        const int64_t *samples = sample_index + 4 * first;
        const uint8_t *bytes = (const uint8_t *) chosen;
        for (ptrdiff_t i = 0; i < n; i++) {
            if (4 * (first + i) + 4 <= n_kept)
                chosen[i] = lfmm2_select_byte(turned, samples + 4 * i, 4);
            else
                chosen[i] = lfmm2_select_byte(turned, samples + 4 * i, (int) (n_kept - 4 * (first + i)));
        }
        for (int s = 0; s < n_snps; s++)
            for (ptrdiff_t i = 0; i < n; i++) packed_out[s * n_bytes_out + first + i] = bytes[LFMM2_SELECT_SNPS * i + s];
    }
}

#endif
