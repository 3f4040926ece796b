/* Sums of u_i u_k of packed genotypes: every way to count that a processor has, against plain sums.

   Prints the levels that differ and exits 1 if there are some; else prints those that were tried. */

#include <stdio.h>
#include <stdlib.h>

#include "_gram.h"

static int call_of(const uint8_t *packed, long n_bytes, long snp, long sample) {
    static const int u[4] = {-1, 0, 0, 1};
    return u[packed[snp * n_bytes + sample / 4] >> 2 * (sample % 4) & 3];
}

static long plain_sum(const uint8_t *packed, long n_bytes, long n_snps, long i, long k) {
    long sum = 0;
    for (long j = 0; j < n_snps; j++)
        sum += call_of(packed, n_bytes, j, i) * call_of(packed, n_bytes, j, k);
    return sum;
}

/* Number of wrong entries of the lower triangle. */
static long wrong_entries(const uint8_t *packed, long n, long n_snps) {
    const long n_bytes = (n + 3) / 4, n_padded = (n + LFMM2_EDGE - 1) / LFMM2_EDGE * LFMM2_EDGE;
    const long stride = lfmm2_sample_words, n_words = (n_snps + 511) / 512 * 8;
    uint64_t *calls = malloc((size_t)(n_padded * stride) * sizeof(uint64_t));
    int32_t sums[LFMM2_EDGE * LFMM2_EDGE];
    long wrong = 0;
    memset(calls, 7, (size_t)(n_padded * stride) * sizeof(uint64_t)); /* rubbish */
    for (long first = 0; first < n; first += LFMM2_STRIP)
        for (long word = 0; word < n_words; word++) {
            const int size = (int)(n - first < LFMM2_STRIP ? n - first : LFMM2_STRIP);
            const long left = n_snps - 64 * word;
            lfmm2_write_strip(left > 0 ? packed + 64 * word * n_bytes + first / 4 : packed, n_bytes,
                              left > 64 ? 64 : left > 0 ? (int)left : 0, (size + 3) / 4, size, calls, word, stride,
                              first);
        }
    for (long row = 0; row < n; row += LFMM2_EDGE)
        for (long column = 0; column <= row; column += LFMM2_EDGE) {
            const int n_rows = (int)(n - row < LFMM2_EDGE ? n - row : LFMM2_EDGE);
            const int n_columns = (int)(n - column < LFMM2_EDGE ? n - column : LFMM2_EDGE);
            lfmm2_multiply_square(calls + row * stride, calls + column * stride, stride, n_words, n_snps, n_rows,
                                  n_columns, sums);
            for (int k = 0; k < n_columns; k++)
                for (int i = row == column ? k : 0; i < n_rows; i++)
                    wrong += sums[LFMM2_EDGE * k + i] != plain_sum(packed, n_bytes, n_snps, row + i, column + k);
        }
    free(calls);
    return wrong;
}

int main(void) {
    static const long sizes[] = {1, 5, 17, 48, 50, 67}, lengths[] = {1, 63, 65, 513, 1100, LFMM2_PANEL};
    int failed = 0;
    for (int level = 0; level <= 4; level++) {
        if (lfmm2_use_multiplier(level) != level)
            continue;
        long wrong = 0;
        for (int s = 0; s < 6; s++)
            for (int l = 0; l < 6; l++) {
                const long n_bytes = (sizes[s] + 3) / 4, n_snps = lengths[l];
                if (n_snps == LFMM2_PANEL && sizes[s] > 20)
                    continue;
                uint8_t *packed = malloc((size_t)(n_bytes * n_snps));
                for (long i = 0; i < n_bytes * n_snps; i++)
                    /* The longest one has the largest sums: calls of one homozygote, or of both. */
                    packed[i] = n_snps < LFMM2_PANEL ? (uint8_t)(rand() >> 7) : sizes[s] == 5 ? 255 : i % 2 ? 255 : 0;
                wrong += wrong_entries(packed, sizes[s], n_snps);
                free(packed);
            }
        printf("level %d: %ld wrong\n", level, wrong);
        failed |= wrong != 0;
    }
    return failed;
}
