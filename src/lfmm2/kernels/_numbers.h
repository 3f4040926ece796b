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

/* Sums of the powers of the values of a row. */
typedef struct {
    double values, squares, cubes, fourths;
} lfmm2_row_sums;

/* Subtract `shift` from a row and add up what is left; cubes and fourth powers only with `with_powers`. Left to itself,
 * GCC makes scalar code of four sums in eight lanes. */
LFMM2_ALWAYS_INLINE void lfmm2_shift_and_sum(double *row, ptrdiff_t n, double shift, int with_powers,
                                             lfmm2_row_sums *sums) {
    double values[LFMM2_NUMBER_LANES] = {0}, squares[LFMM2_NUMBER_LANES] = {0}, cubes[LFMM2_NUMBER_LANES] = {0};
    double fourths[LFMM2_NUMBER_LANES] = {0};
    ptrdiff_t i = 0;
#ifdef LFMM2_FOUR
    lfmm2_four four_values[2] = {{0}}, four_squares[2] = {{0}}, four_cubes[2] = {{0}}, four_fourths[2] = {{0}};
    for (; i + LFMM2_NUMBER_LANES <= n; i += LFMM2_NUMBER_LANES) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            lfmm2_four_at *at = (lfmm2_four_at *) (row + i + 4 * half);
            const lfmm2_four value = *at - shift, second = value * value;
            *at = value;
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
#endif
    for (; i < n; i++) {
        const double value = row[i] - shift, second = value * value;
        row[i] = value;
        values[i % LFMM2_NUMBER_LANES] += value;
        squares[i % LFMM2_NUMBER_LANES] += second;
        cubes[i % LFMM2_NUMBER_LANES] += second * value;
        fourths[i % LFMM2_NUMBER_LANES] += second * second;
    }
    sums->values = lfmm2_sum_lanes(values);
    sums->squares = lfmm2_sum_lanes(squares);
    sums->cubes = lfmm2_sum_lanes(cubes);
    sums->fourths = lfmm2_sum_lanes(fourths);
}

LFMM2_ROW_LOOP void lfmm2_shift_row(double *row, ptrdiff_t n, double shift, lfmm2_row_sums *sums) {
    lfmm2_shift_and_sum(row, n, shift, 0, sums);
}

LFMM2_ROW_LOOP void lfmm2_shift_row_with_powers(double *row, ptrdiff_t n, double shift, lfmm2_row_sums *sums) {
    lfmm2_shift_and_sum(row, n, shift, 1, sums);
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

/* Centre the values of one feature of which some are missing; see `lfmm2_centre_row`. */
static inline lfmm2_number_facts lfmm2_centre_with_missing(double *row, ptrdiff_t n) {
    lfmm2_number_facts facts = {0, NAN, 0.0, NAN, NAN, NAN};
    double lanes[LFMM2_NUMBER_LANES] = {0};
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
    }
    facts.squares = lfmm2_sum_lanes(lanes);
    return facts;
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

/* Write the means of the powers of the centred values. */
static inline void lfmm2_set_powers(lfmm2_number_facts *facts, ptrdiff_t n, const lfmm2_row_sums *sums) {
    facts->variance = sums->squares / (double) n;
    facts->cubes = sums->cubes / (double) n;
    facts->fourths = sums->fourths / (double) n;
}

/* Spreads of values whose fourth powers can be added up as they are. */
#define LFMM2_LEAST_SPREAD 1e-60
#define LFMM2_MOST_SPREAD 1e60

/* Centre the values of one feature in place; missing ones become 0, as all do if the values are equal. `sum` is that of
 * the values.
 *
 * The mean is corrected by the mean of what it leaves, so that it is as exact as a double can be. Where that is within
 * rounding of the spread, the values are left as they are: it changes their products with columns that add up to 0 by
 * less than rounding does. One sweep over the row then gives all. */
static inline lfmm2_number_facts lfmm2_centre_row(double *row, ptrdiff_t n, double sum, int with_powers) {
    lfmm2_number_facts facts = {n, NAN, 0.0, NAN, NAN, NAN};
    lfmm2_row_sums sums;
    if (sum != sum)
        facts = lfmm2_centre_with_missing(row, n);
    else {
        const double first = sum / (double) n;
        if (!isfinite(first)) {
            facts.mean = INFINITY;
            lfmm2_clear_row(row, n);
            return facts;
        }
        if (with_powers)
            lfmm2_shift_row_with_powers(row, n, first, &sums);
        else
            lfmm2_shift_row(row, n, first, &sums);
        const double left = sums.values / (double) n, spread = sqrt(sums.squares / (double) n);
        facts.mean = first + left;
        facts.squares = sums.squares;
        if (fabs(left) <= LFMM2_ROUNDING * spread && fabs(facts.mean) * LFMM2_ROUNDING < spread &&
            LFMM2_LEAST_SPREAD < spread && spread < LFMM2_MOST_SPREAD) {
            if (with_powers) lfmm2_set_powers(&facts, n, &sums);
            return facts;
        }
        facts.squares = lfmm2_shift_and_square(row, n, left);
    }
    const double scale = isfinite(facts.mean) ? lfmm2_clear_constant(row, n, facts.mean) : 0.0;
    if (scale == 0.0)
        facts.squares = 0.0;
    else if (with_powers) {
        lfmm2_powers_of_row(row, n, scale, &sums);
        lfmm2_set_powers(&facts, n, &sums);
    }
    return facts;
}

#endif
