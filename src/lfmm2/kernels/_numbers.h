/* Moments and centring of the numbers of one feature, in double precision.
 *
 * Sums are made in eight lanes, which compilers turn into vector registers without reordering anything: the order of
 * additions, and so every bit, is the same on all processors.
 */
#ifndef LFMM2_NUMBERS_H
#define LFMM2_NUMBERS_H

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { LFMM2_NUMBER_LANES = 8 };

/* Loops over a row are compiled for wider registers too, where the loader can choose: every lane has the same bits. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define LFMM2_ROW_LOOP static __attribute__((target_clones("avx2", "default"), noinline))
#else
#define LFMM2_ROW_LOOP static inline
#endif

typedef struct {
    int64_t n_called;
    double mean;        /* NaN without a value; infinite if a value is, or if the sum is beyond a double */
    double squares;     /* sum of squares of the centred values */
    double scale;       /* largest magnitude of the centred values, 0 if all are equal */
} lfmm2_number_facts;

static inline double lfmm2_sum_lanes(const double *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/* Sum of all values; NaN if any is. */
LFMM2_ROW_LOOP double lfmm2_sum_row(const double *row, ptrdiff_t n) {
    double lanes[LFMM2_NUMBER_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES)
        for (int l = 0; l < LFMM2_NUMBER_LANES; l++) lanes[l] += row[i + l];
    for (int l = 0; i < n; i++, l++) lanes[l] += row[i];
    return lfmm2_sum_lanes(lanes);
}

/* Sum of the values less `shift` over those that are not NaN, and their number. */
static inline double lfmm2_sum_called(const double *row, ptrdiff_t n, double shift, int64_t *n_called) {
    double lanes[LFMM2_NUMBER_LANES] = {0};
    int64_t count = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (row[i] == row[i]) {
            lanes[i % LFMM2_NUMBER_LANES] += row[i] - shift;
            count++;
        }
    }
    *n_called = count;
    return lfmm2_sum_lanes(lanes);
}

/* Subtract `shift`; return the sum of what is left, and its smallest and largest value. */
LFMM2_ROW_LOOP double lfmm2_shift_row(double *row, ptrdiff_t n, double shift, double *low_out, double *high_out) {
    double lanes[LFMM2_NUMBER_LANES] = {0}, low[LFMM2_NUMBER_LANES], high[LFMM2_NUMBER_LANES];
    ptrdiff_t i = 0;
    for (int l = 0; l < LFMM2_NUMBER_LANES; l++) {
        low[l] = INFINITY;
        high[l] = -INFINITY;
    }
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES)
        for (int l = 0; l < LFMM2_NUMBER_LANES; l++) {
            double value = row[i + l] - shift;
            row[i + l] = value;
            lanes[l] += value;
            low[l] = value < low[l] ? value : low[l];
            high[l] = value > high[l] ? value : high[l];
        }
    for (int l = 0; i < n; i++, l++) {
        double value = row[i] - shift;
        row[i] = value;
        lanes[l] += value;
        low[l] = value < low[l] ? value : low[l];
        high[l] = value > high[l] ? value : high[l];
    }
    for (int l = 1; l < LFMM2_NUMBER_LANES; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
    }
    *low_out = low[0];
    *high_out = high[0];
    return lfmm2_sum_lanes(lanes);
}

/* Subtract `shift`; return the sum of squares of what is left. */
LFMM2_ROW_LOOP double lfmm2_shift_and_square(double *row, ptrdiff_t n, double shift) {
    double lanes[LFMM2_NUMBER_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES)
        for (int l = 0; l < LFMM2_NUMBER_LANES; l++) {
            double value = row[i + l] - shift;
            row[i + l] = value;
            lanes[l] += value * value;
        }
    for (int l = 0; i < n; i++, l++) {
        double value = row[i] - shift;
        row[i] = value;
        lanes[l] += value * value;
    }
    return lfmm2_sum_lanes(lanes);
}

/* Sum of squares, with the additions in the order of those above. */
LFMM2_ROW_LOOP double lfmm2_squares_of_row(const double *row, ptrdiff_t n) {
    double lanes[LFMM2_NUMBER_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES)
        for (int l = 0; l < LFMM2_NUMBER_LANES; l++) lanes[l] += row[i + l] * row[i + l];
    for (int l = 0; i < n; i++, l++) lanes[l] += row[i] * row[i];
    return lfmm2_sum_lanes(lanes);
}

static inline void lfmm2_clear_row(double *row, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) row[i] = 0.0;
}

/* Set values that are equal but for the rounding of their mean to exactly 0. */
static inline int lfmm2_clear_constant(double *row, ptrdiff_t n, double low, double high, double mean) {
    if (high - low > 1e-14 * fabs(mean)) return 0;
    lfmm2_clear_row(row, n);
    return 1;
}

/* Centre the values of one feature of which some are missing; see `lfmm2_centre_row`. */
static inline lfmm2_number_facts lfmm2_centre_with_missing(double *row, ptrdiff_t n) {
    lfmm2_number_facts facts = {0, NAN, 0.0, 0.0};
    double lanes[LFMM2_NUMBER_LANES] = {0}, low = 0.0, high = 0.0;
    const double sum = lfmm2_sum_called(row, n, 0.0, &facts.n_called);
    if (facts.n_called == 0) {
        lfmm2_clear_row(row, n);
        return facts;
    }
    const double first = sum / (double) facts.n_called;
    if (!isfinite(first)) {
        facts.mean = INFINITY;
        lfmm2_clear_row(row, n);
        return facts;
    }
    const double left = lfmm2_sum_called(row, n, first, &facts.n_called) / (double) facts.n_called;
    facts.mean = first + left;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double value = row[i] == row[i] ? (row[i] - first) - left : 0.0;
        row[i] = value;
        lanes[i % LFMM2_NUMBER_LANES] += value * value;
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    if (lfmm2_clear_constant(row, n, low, high, facts.mean)) return facts;
    facts.squares = lfmm2_sum_lanes(lanes);
    facts.scale = -low > high ? -low : high;
    return facts;
}

/* Centre the values of one feature in place; missing ones become 0, as all do if the values are equal.
 *
 * The mean is corrected by the mean of what it leaves, so that it is as exact as a double can be. */
static inline lfmm2_number_facts lfmm2_centre_row(double *row, ptrdiff_t n) {
    lfmm2_number_facts facts = {n, NAN, 0.0, 0.0};
    double low, high;
    const double sum = lfmm2_sum_row(row, n);
    if (sum != sum) return lfmm2_centre_with_missing(row, n);
    const double first = sum / (double) n;
    if (!isfinite(first)) {
        facts.mean = INFINITY;
        lfmm2_clear_row(row, n);
        return facts;
    }
    const double left = lfmm2_shift_row(row, n, first, &low, &high) / (double) n;
    facts.mean = first + left;
    if (lfmm2_clear_constant(row, n, low, high, facts.mean)) return facts;
    facts.squares = lfmm2_shift_and_square(row, n, left);
    facts.scale = left - low > high - left ? left - low : high - left;
    return facts;
}

/* Sums of squares, cubes and fourth powers of centred values over their largest magnitude, which cannot overflow. */
LFMM2_ROW_LOOP void lfmm2_powers_of_row(const double *row, ptrdiff_t n, double scale, double *sums_out) {
    double squares[LFMM2_NUMBER_LANES] = {0}, cubes[LFMM2_NUMBER_LANES] = {0}, fourths[LFMM2_NUMBER_LANES] = {0};
    /* The inverse of the smallest doubles is infinite, so they are enlarged first. */
    const double enlarged = scale < 1e-300 ? 0x1p600 : 1.0, inverse = 1.0 / (scale * enlarged);
    ptrdiff_t i = 0;
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES)
        for (int l = 0; l < LFMM2_NUMBER_LANES; l++) {
            double value = row[i + l] * enlarged * inverse, second = value * value;
            squares[l] += second;
            cubes[l] += second * value;
            fourths[l] += second * second;
        }
    for (int l = 0; i < n; i++, l++) {
        double value = row[i] * enlarged * inverse, second = value * value;
        squares[l] += second;
        cubes[l] += second * value;
        fourths[l] += second * second;
    }
    sums_out[0] = lfmm2_sum_lanes(squares);
    sums_out[1] = lfmm2_sum_lanes(cubes);
    sums_out[2] = lfmm2_sum_lanes(fourths);
}

#endif
