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
#include <string.h>

enum { LFMM2_NUMBER_LANES = 8 };

/* Loops over a row are compiled for wider registers too, where the loader can choose: every lane has the same bits. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define LFMM2_ROW_LOOP static __attribute__((target_clones("avx2", "default"), noinline))
#else
#define LFMM2_ROW_LOOP static inline
#endif
#if defined(__GNUC__) || defined(__clang__)
#define LFMM2_FOUR
/* Four doubles, and four doubles at any address. */
typedef double lfmm2_four __attribute__((vector_size(32)));
typedef double lfmm2_four_at __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t lfmm2_four_bits __attribute__((vector_size(32)));
#define LFMM2_ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define LFMM2_ALWAYS_INLINE static inline
#endif

typedef struct {
    int64_t n_called;
    double mean;        /* NaN without a value; infinite if a value is, or if the sum is beyond a double */
    double squares;     /* sum of squares of the centred values */
    double variance, cubes, fourths; /* means of the powers of the centred values over a common scale; if asked for */
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

/* Sums of the powers of the values of a row, and the number of values. */
typedef struct {
    double values, squares, cubes, fourths;
    int64_t n_called;
} lfmm2_row_sums;

/* Subtract `shift` and then `left` from a row, and add up what is left. With `is_masked` values may be NaN: these are
 * left out, and become 0. Without `is_written` the row stays as it is; cubes and fourth powers only `with_powers`.
 * Left to itself, GCC makes scalar code of several sums in eight lanes. */
LFMM2_ALWAYS_INLINE void lfmm2_sweep(double *row, ptrdiff_t n, double shift, double left, int is_masked, int is_written,
                                     int with_powers, lfmm2_row_sums *sums) {
    double values[LFMM2_NUMBER_LANES] = {0}, squares[LFMM2_NUMBER_LANES] = {0}, cubes[LFMM2_NUMBER_LANES] = {0};
    double fourths[LFMM2_NUMBER_LANES] = {0};
    int64_t n_missing = 0;
    ptrdiff_t i = 0;
#ifdef LFMM2_FOUR
    lfmm2_four four_values[2] = {{0}}, four_squares[2] = {{0}}, four_cubes[2] = {{0}}, four_fourths[2] = {{0}};
    lfmm2_four_bits four_called = {0};
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            lfmm2_four_at *at = (lfmm2_four_at *) (row + i + 4 * half);
            const lfmm2_four read = *at;
            lfmm2_four value = (read - shift) - left;
            if (is_masked) {
                const lfmm2_four_bits is_called = read == read; /* -1 where it is */
                value = (lfmm2_four) ((lfmm2_four_bits) value & is_called);
                four_called += is_called;
            }
            if (is_written) *at = value;
            const lfmm2_four second = value * value;
            four_values[half] += value;
            four_squares[half] += second;
            if (with_powers) {
                four_cubes[half] += second * value;
                four_fourths[half] += second * second;
            }
        }
    }
    memcpy(values, four_values, sizeof values);
    memcpy(squares, four_squares, sizeof squares);
    memcpy(cubes, four_cubes, sizeof cubes);
    memcpy(fourths, four_fourths, sizeof fourths);
    if (is_masked) n_missing = i + four_called[0] + four_called[1] + four_called[2] + four_called[3];
#endif
    for (; i < n; i++) {
        const int is_called = !is_masked || row[i] == row[i];
        const double value = is_called ? (row[i] - shift) - left : 0.0, second = value * value;
        if (is_written) row[i] = value;
        values[i % LFMM2_NUMBER_LANES] += value;
        squares[i % LFMM2_NUMBER_LANES] += second;
        cubes[i % LFMM2_NUMBER_LANES] += second * value;
        fourths[i % LFMM2_NUMBER_LANES] += second * second;
        n_missing += !is_called;
    }
    sums->values = lfmm2_sum_lanes(values);
    sums->squares = lfmm2_sum_lanes(squares);
    sums->cubes = lfmm2_sum_lanes(cubes);
    sums->fourths = lfmm2_sum_lanes(fourths);
    sums->n_called = n - n_missing;
}

LFMM2_ROW_LOOP void lfmm2_shift_row(double *row, ptrdiff_t n, double shift, lfmm2_row_sums *sums) {
    lfmm2_sweep(row, n, shift, 0.0, 0, 1, 0, sums);
}

LFMM2_ROW_LOOP void lfmm2_shift_row_with_powers(double *row, ptrdiff_t n, double shift, lfmm2_row_sums *sums) {
    lfmm2_sweep(row, n, shift, 0.0, 0, 1, 1, sums);
}

/* Add up what lies beyond `shift` of the values that are not NaN. */
LFMM2_ROW_LOOP void lfmm2_sum_called(double *row, ptrdiff_t n, double shift, lfmm2_row_sums *sums) {
    lfmm2_sweep(row, n, shift, 0.0, 1, 0, 1, sums);
}

LFMM2_ROW_LOOP void lfmm2_shift_called(double *row, ptrdiff_t n, double shift, double left, lfmm2_row_sums *sums) {
    lfmm2_sweep(row, n, shift, left, 1, 1, 0, sums);
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

/* What differences that come from rounding alone reach, over the mean. */
#define LFMM2_ROUNDING 1e-14

/* Set centred values that are equal but for the rounding of their mean to exactly 0; else return their largest
   magnitude. */
static inline double lfmm2_clear_constant(double *row, ptrdiff_t n, double mean) {
    double low = row[0], high = row[0];
    for (ptrdiff_t i = 1; i < n; i++) {
        low = row[i] < low ? row[i] : low;
        high = row[i] > high ? row[i] : high;
    }
    if (high - low <= LFMM2_ROUNDING * fabs(mean)) {
        lfmm2_clear_row(row, n);
        return 0.0;
    }
    return -low > high ? -low : high;
}

/* Sums of squares, cubes and fourth powers of centred values over their largest magnitude, which cannot overflow. */
LFMM2_ROW_LOOP void lfmm2_powers_of_row(const double *row, ptrdiff_t n, double scale, lfmm2_row_sums *sums) {
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
    sums->squares = lfmm2_sum_lanes(squares);
    sums->cubes = lfmm2_sum_lanes(cubes);
    sums->fourths = lfmm2_sum_lanes(fourths);
}

/* Spreads of values whose fourth powers can be added up as they are. */
#define LFMM2_LEAST_SPREAD 1e-60
#define LFMM2_MOST_SPREAD 1e60

/* Return whether sums of values less `first`, which leave `left`, can be taken for those of the centred values: where
   `left` is within rounding of their spread, they are not all equal, and no power leaves the range of doubles. */
static inline int lfmm2_is_regular(const lfmm2_row_sums *sums, double first, double left) {
    const double spread = sqrt(sums->squares / (double) sums->n_called);
    return fabs(left) <= LFMM2_ROUNDING * spread && LFMM2_ROUNDING * fabs(first) < spread &&
           LFMM2_LEAST_SPREAD < spread && spread < LFMM2_MOST_SPREAD;
}

/* Centre the values of one feature in place; missing ones become 0, as all do if the values are equal. `sum` is that of
 * the values, NaN if any is missing.
 *
 * The mean is corrected by the mean of what it leaves, so that it is as exact as a double can be. Where that is within
 * rounding of the spread, values are left as they are if none is missing: it changes their products with columns that
 * add up to 0 by less than rounding does. One sweep over the row then gives all. */
static inline lfmm2_number_facts lfmm2_centre_row(double *row, ptrdiff_t n, double sum, int with_powers) {
    lfmm2_number_facts facts = {n, NAN, 0.0, NAN, NAN, NAN};
    lfmm2_row_sums sums, centred;
    const int has_missing = sum != sum;
    if (has_missing) {
        lfmm2_sum_called(row, n, 0.0, &sums);
        facts.n_called = sums.n_called;
        sum = sums.values;
    }
    const double first = facts.n_called ? sum / (double) facts.n_called : NAN;
    if (facts.n_called == 0 || !isfinite(first)) {
        if (facts.n_called) facts.mean = INFINITY;
        lfmm2_clear_row(row, n);
        return facts;
    }
    if (has_missing)
        lfmm2_sum_called(row, n, first, &sums);
    else if (with_powers)
        lfmm2_shift_row_with_powers(row, n, first, &sums);
    else
        lfmm2_shift_row(row, n, first, &sums);
    sums.n_called = facts.n_called;
    const double left = sums.values / (double) facts.n_called;
    const int is_regular = lfmm2_is_regular(&sums, first, left);
    facts.mean = first + left;
    centred = sums;
    if (has_missing)
        lfmm2_shift_called(row, n, first, left, &centred);
    else if (!is_regular)
        lfmm2_shift_row(row, n, left, &centred);
    facts.squares = centred.squares;
    if (!is_regular) {
        const double scale = lfmm2_clear_constant(row, n, facts.mean);
        if (scale == 0.0) {
            facts.squares = 0.0;
            return facts;
        }
        if (with_powers) lfmm2_powers_of_row(row, n, scale, &sums);
    }
    if (with_powers) {
        facts.variance = sums.squares / (double) n;
        facts.cubes = sums.cubes / (double) n;
        facts.fourths = sums.fourths / (double) n;
    }
    return facts;
}

#endif
