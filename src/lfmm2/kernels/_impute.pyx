# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Missing calls filled from a regression on the samples that have one: packed .bed bytes in, caller-owned arrays out.

A = [a_1 ... a_n]ᵀ (n_samples, r) has orthonormal columns that span [1, U]. Let y be a SNP centred by the mean of its
called samples, 0 where it is missing, and M (n_missing, r) the rows of A of the missing samples. The least-squares
coefficients over the called samples, c, and the fitted deviations of the missing ones from that mean, f = M c, solve

    (I - Mᵀ M) c = Aᵀ y                      r equations
    (I - M Mᵀ) f = M Aᵀ y,  c = Aᵀ y + Mᵀ f   n_missing equations, the same c: taken where they are fewer

The filled SNP, centred again, is y + f - s on the missing and y - s on the called, with s = Σ f / n, so

    Wᵀ y' = Wᵀ y + Σ_missing W_i f_i  (columns of W centred)        ‖y'‖² = ‖y‖² + Σ f² - n s²

One called sample j is held out. With its row a under M, or a as a border of the r equations, elimination ends with the
pivot 1 - h, h the leverage of j, and with its fitted value or its residual e: its leave-one-out error is e / (1 - h).

Each SNP is one thread's, from loops in a fixed order: its bits depend on nothing but itself.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t, uintptr_t

from lfmm2._core cimport SCALE, genotype_values

cdef extern from "_impute.h":
    uint64_t lfmm2_genotypes(const uint8_t* b) noexcept nogil
    int lfmm2_lowest_bit(uint64_t bits) noexcept nogil
    void lfmm2_combine(
        const double* factors, const int32_t* positions, Py_ssize_t n, const double* rows, Py_ssize_t ld,
        Py_ssize_t width, double* y,
    ) noexcept nogil
    void lfmm2_downdate(
        const double* rows, const int32_t* positions, Py_ssize_t n, Py_ssize_t ld_rows, Py_ssize_t width,
        double* N, Py_ssize_t ld,
    ) noexcept nogil
    int lfmm2_eliminate(double* N, Py_ssize_t n, Py_ssize_t n_rows, Py_ssize_t ld, double least) noexcept nogil
    int lfmm2_use_registers(int level) noexcept nogil

# Columns of A are filled up with zeros to a multiple of this number, the doubles of the widest register.
STEP = 8
# Pivot up to which the called samples do not determine the regression, and missing calls stay at the mean. A smaller
# limit would let in fits that are digits of rounding; a larger one would leave SNPs that the factors can fill.
PIVOT_TOLERANCE = 1e-6

REGISTERS = ("baseline", "avx2", "avx512")

cdef enum:
    # Rows of M that are taken at a time: few enough to stay in cache.
    PANEL_ROWS = 64
    # Doubles in a cache line of 64 bytes.
    CACHE_LINE = 8

cdef double LEAST_PIVOT = PIVOT_TOLERANCE


def use_registers(str name):
    """Compute from now on in one of `REGISTERS`, or the next narrower that the processor has, and return its name.

    All give the same bits; the widest is chosen on import. For tests and measurements. ValueError for another name.
    """
    if name not in REGISTERS:
        raise ValueError(f"{name!r} is not one of {', '.join(REGISTERS)}")
    return REGISTERS[lfmm2_use_registers(REGISTERS.index(name))]


use_registers("avx512")


cdef inline Py_ssize_t padded(Py_ssize_t size) noexcept nogil:
    """Round a size up to a multiple of `STEP`."""
    return (size + 7) & ~7


cdef Py_ssize_t find_missing(const uint8_t* snp, Py_ssize_t n_samples, int32_t* positions) noexcept nogil:
    """Find the samples with code 01, ascending, and return how many. One more position than that may be written."""
    cdef Py_ssize_t n_words = n_samples // 32, i, found = 0
    cdef uint64_t word, missing
    for i in range(n_words):
        word = lfmm2_genotypes(snp + 8 * i)
        missing = word & ~(word >> 1) & 0x5555555555555555ULL
        # No missing call or one are the most frequent cases, and take no branch.
        positions[found] = <int32_t> (32 * i + (lfmm2_lowest_bit(missing) >> 1))
        found += missing != 0
        missing &= missing - 1
        while missing:
            positions[found] = <int32_t> (32 * i + (lfmm2_lowest_bit(missing) >> 1))
            found += 1
            missing &= missing - 1
    for i in range(32 * n_words, n_samples):
        if (snp[i >> 2] >> (2 * (i & 3))) & 3 == 1:
            positions[found] = <int32_t> i
            found += 1
    return found


cdef inline double dot(const double* x, const double* y, Py_ssize_t n) noexcept nogil:
    """Return xᵀ y, made in four partial sums, for n a multiple of 4."""
    cdef double s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0
    cdef Py_ssize_t k = 0
    while k < n:
        s0 += x[k] * y[k]
        s1 += x[k + 1] * y[k + 1]
        s2 += x[k + 2] * y[k + 2]
        s3 += x[k + 3] * y[k + 3]
        k += 4
    return (s0 + s1) + (s2 + s3)


cdef inline void begin_identity(double* N, Py_ssize_t n, Py_ssize_t n_rows, Py_ssize_t ld) noexcept nogil:
    """Set N (n_rows, ld) to 0, with n ones on the diagonal."""
    cdef Py_ssize_t i
    for i in range(n_rows * ld):
        N[i] = 0.0
    for i in range(n):
        N[i * ld + i] = 1.0


cdef void substitute_back(const double* N, Py_ssize_t n, Py_ssize_t ld, Py_ssize_t right, double* x) noexcept nogil:
    """Solve the first n rows of an eliminated N for their entries in column `right`."""
    cdef Py_ssize_t j, k
    for k in range(n):
        x[k] = N[k * ld + right]
    # By columns, because the sum of a row would wait for each of its terms.
    for k in range(n - 1, -1, -1):
        x[k] *= N[k * ld + k]
        for j in range(k):
            x[j] -= N[j * ld + k] * x[k]


cdef bint solve_by_missing(
    const double* rows, Py_ssize_t r, Py_ssize_t ld, const int32_t* positions, Py_ssize_t n_missing,
    const double* a, double* c, double* f, double* last, double* P, double* N,
) noexcept nogil:
    """Solve the n_missing equations for f and c; return False if a pivot is too small.

    `last` becomes 1 - h and the fitted value of the held-out sample, whose row of A is a. P and N are workspace.
    """
    cdef Py_ssize_t ld_r = padded(r), n_rows = n_missing + 1, width = padded(n_rows), ld_N = padded(n_rows + 1), i, k
    cdef const double* row
    # P holds the rows of M and a, transposed.
    for i in range(width):
        if i >= n_rows:
            for k in range(r):
                P[k * width + i] = 0.0
            continue
        row = rows + positions[i] * ld if i < n_missing else a
        for k in range(r):
            P[k * width + i] = row[k]
    begin_identity(N, n_rows, width, ld_N)
    lfmm2_downdate(P, NULL, r, width, width, N, ld_N)
    for i in range(n_rows):
        row = rows + positions[i] * ld if i < n_missing else a
        N[i * ld_N + n_rows] = dot(row, c, ld_r)
    if not lfmm2_eliminate(N, n_missing, n_rows, ld_N, LEAST_PIVOT):
        return False
    last[0] = N[n_missing * ld_N + n_missing]
    last[1] = N[n_missing * ld_N + n_rows]
    substitute_back(N, n_missing, ld_N, n_rows, f)
    lfmm2_combine(f, positions, n_missing, rows, ld, ld_r, c)
    return True


cdef bint solve_by_columns(
    const double* rows, Py_ssize_t r, Py_ssize_t ld, const int32_t* positions, Py_ssize_t n_missing,
    const double* a, double* c, double* f, double* last, double* N,
) noexcept nogil:
    """Solve the r equations instead, with the same results as `solve_by_missing`.

    N has r columns of the equations, one for a, which borders them, and the right side.
    """
    cdef Py_ssize_t ld_r = padded(r), ld_N = padded(r + 2), first = 0, n, i, k
    begin_identity(N, r + 1, ld_N, ld_N)
    # A few rows are taken at a time, so that they are in cache for every tile of N.
    while first < n_missing:
        n = min(<Py_ssize_t> PANEL_ROWS, n_missing - first)
        lfmm2_downdate(rows, positions + first, n, ld, ld_r, N, ld_N)
        first += n
    for k in range(r):
        N[k * ld_N + r] = a[k]
        N[k * ld_N + r + 1] = c[k]
    if not lfmm2_eliminate(N, r, r + 1, ld_N, LEAST_PIVOT):
        return False
    last[0] = N[r * ld_N + r]
    # The right side of the border began as 0, and elimination has subtracted the fitted value from it.
    last[1] = -N[r * ld_N + r + 1]
    substitute_back(N, r, ld_N, r + 1, c)
    for i in range(n_missing):
        f[i] = dot(rows + positions[i] * ld, c, ld_r)
    return True


cdef void fill_snp(
    const uint8_t* snp, Py_ssize_t n_samples, int coding, const int64_t* counts,
    const double* rows, Py_ssize_t r, Py_ssize_t m,
    const double* z, const double* to_basis, Py_ssize_t m_z, uint64_t draw,
    double* c, double* products, double* square, double* errors, double* work, int32_t* positions,
) noexcept nogil:
    """Fill the missing calls of one SNP, and predict its held-out call; arguments as in `fill_block`."""
    cdef Py_ssize_t n_called = <Py_ssize_t> (counts[0] + counts[2] + counts[3]), n_missing = n_samples - n_called
    cdef Py_ssize_t ld_r = padded(r), ld = ld_r + m, i, held_out
    cdef const double* a
    cdef double* P = <double*> ((<uintptr_t> work + 63) & ~(<uintptr_t> 63))
    cdef double* N = P + r * padded(r)
    cdef double* f = N + padded(r + 2) * padded(r + 2)
    cdef double values[4]
    cdef double last[2]
    cdef double shift = 0.0, squares = 0.0, y, scale, error
    cdef bint solved
    for i in range(ld_r):
        c[i] = 0.0
    square[0] = 0.0
    errors[0] = errors[1] = NAN
    genotype_values(counts, coding, values)
    # A SNP whose calls are all equal has nothing to fit.
    if values[3] == values[0]:
        return
    if n_missing:
        find_missing(snp, n_samples, positions)
    # `held_out` is counted among the called samples first, and then among all.
    held_out = <Py_ssize_t> (draw % <uint64_t> n_called)
    for i in range(n_missing):
        if positions[i] > held_out:
            break
        held_out += 1
    y = values[(snp[held_out >> 2] >> (2 * (held_out & 3))) & 3]
    scale = values[3] - values[2] if coding & SCALE else 1.0
    error = (y / (1.0 - 1.0 / n_called) / scale) ** 2
    if n_called <= r:
        errors[0] = error if n_missing else NAN
        return

    lfmm2_combine(z, NULL, m_z, to_basis, ld_r, ld_r, c)
    a = rows + held_out * ld
    if n_missing == 0:
        last[0] = 1.0 - dot(a, a, ld_r)
        last[1] = dot(a, c, ld_r)
    else:
        if n_missing < r:
            solved = solve_by_missing(rows, r, ld, positions, n_missing, a, c, f, last, P, N)
        else:
            solved = solve_by_columns(rows, r, ld, positions, n_missing, a, c, f, last, N)
        if not solved:
            for i in range(ld_r):
                c[i] = 0.0
            errors[0] = error
            return
        lfmm2_combine(f, positions, n_missing, rows + ld_r, ld, m, products)
        for i in range(n_missing):
            shift += f[i]
            squares += f[i] * f[i]
        square[0] = squares - shift * (shift / n_samples)
    # With a leverage of 1 the sample determines its own fit, and there is no prediction by the others.
    if last[0] > LEAST_PIVOT:
        errors[0] = error
        errors[1] = ((y - last[1]) / last[0] / scale) ** 2


cdef void fill_decoded_snp(
    const uint8_t* snp, Py_ssize_t n_samples, const double* rows, Py_ssize_t ld, Py_ssize_t ld_r,
    const double* coefficients, double* dosage, int32_t* positions,
) noexcept nogil:
    """Write the fitted values of one SNP where calls are missing, and centre it again."""
    cdef Py_ssize_t n_missing = find_missing(snp, n_samples, positions), i
    cdef double fitted, shift = 0.0
    if n_missing == 0:
        return
    for i in range(n_missing):
        fitted = dot(rows + positions[i] * ld, coefficients, ld_r)
        dosage[positions[i]] = fitted
        shift += fitted
    shift /= n_samples
    for i in range(n_samples):
        dosage[i] -= shift


def padded_rank(Py_ssize_t r):
    """Return r rounded up to a multiple of `STEP`."""
    return padded(r)


def workspace_size(Py_ssize_t n_samples, Py_ssize_t r):
    """Return the doubles of workspace that one thread needs for a basis of r columns."""
    return r * padded(r) + padded(r + 2) * padded(r + 2) + n_samples + CACHE_LINE


cdef check_sizes(
    Py_ssize_t n_bytes, Py_ssize_t n_samples, Py_ssize_t n_rows, Py_ssize_t ld, Py_ssize_t r,
    int32_t[:, ::1] positions, int n_threads,
):
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if n_samples < 1 or n_samples > 0x7FFFFFFF or n_bytes != (n_samples + 3) // 4:
        raise ValueError(f"packed rows of {n_bytes} bytes do not hold {n_samples} samples")
    if r < 1 or n_rows != n_samples or ld < padded(r) or ld % 4:
        raise ValueError(f"rows must have shape ({n_samples}, >= {padded(r)}), a multiple of 4 columns")
    if positions.shape[0] < n_threads or positions.shape[1] <= n_samples:
        raise ValueError(f"positions must have shape (>= {n_threads}, > {n_samples})")


def fill_block(
    const uint8_t[:, ::1] packed,        # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const int64_t[:, ::1] counts,        # IN (n_snps_block, 4)
    const double[:, ::1] rows,           # IN (n_samples, padded_rank(r) + m)
    Py_ssize_t r,
    const double[:, ::1] z,              # IN (n_snps_block, m_z)
    const double[:, ::1] to_basis,       # IN (m_z, padded_rank(r))
    const uint64_t[::1] draws,           # IN (n_snps_block,)
    double[:, ::1] coefficients_out,     # OUT (n_snps_block, padded_rank(r))
    double[:, ::1] products_out,         # IN/OUT (n_snps_block, m)
    double[::1] squares_out,             # OUT (n_snps_block,)
    double[:, ::1] held_out_out,         # OUT (n_snps_block, 2)
    double[:, ::1] work,                 # WORK (n_threads, workspace_size(n_samples, r))
    int32_t[:, ::1] positions,           # WORK (n_threads, n_samples + 1)
    int n_threads=1,
):
    """Fill the missing calls of a block, and predict one held-out call of every SNP.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
    n_samples, coding : int
        As in `lfmm2._core.decode_block`.
    counts : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Codes 00, 01, 10, 11.
    rows : ndarray of shape (n_samples, padded_rank(r) + m), float64, C-contiguous
        The orthonormal basis of [1, U], zeros up to `padded_rank(r)` columns, and beside it the centred W, zeros up to
        a multiple of `STEP`.
    r : int
        Columns of the basis.
    z : ndarray of shape (n_snps_block, m_z), float64, C-contiguous
        Products of the SNPs, imputed to the mean and centred, with some columns whose span holds the basis but for
        its constant column. May be `products_out`.
    to_basis : ndarray of shape (m_z, padded_rank(r)), float64, C-contiguous
        Aᵀ y = to_basisᵀ z.
    draws : ndarray of shape (n_snps_block,), uint64
        Random numbers. Modulo the number of called samples, they choose the one that is held out.
    coefficients_out : ndarray of shape (n_snps_block, padded_rank(r)), float64, C-contiguous
        Overwritten with c, in units of the coded SNP; 0 where missing calls stay at the mean.
    products_out : ndarray of shape (n_snps_block, m), float64, C-contiguous
        Yᵀ W of SNPs imputed to the mean; those of SNPs with missing calls become those of the filled SNP.
    squares_out : ndarray of shape (n_snps_block,), float64
        Overwritten: what filling adds to ‖y‖².
    held_out_out : ndarray of shape (n_snps_block, 2), float64, C-contiguous
        Overwritten: squared errors, in dosage, of the held-out call predicted by the mean and by the regression of the
        others; NaN where there is no such call. Only the second is NaN where missing calls are left at the mean,
        because no more than r samples are called or these do not determine the regression (`PIVOT_TOLERANCE`).
    work : ndarray of shape (>= n_threads, >= workspace_size(n_samples, r)), float64
        Overwritten.
    positions : ndarray of shape (>= n_threads, > n_samples), int32
        Overwritten.
    n_threads : int

    Notes
    -----
    n/4 bytes read and about (n_missing + r/3) r² + 2 n_missing m + 2 m_z r flops per SNP; where n_missing < r, r and
    n_missing change places.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], ld_r = padded(r), m = rows.shape[1] - ld_r, m_z = z.shape[1], s
    cdef Py_ssize_t thread
    check_sizes(packed.shape[1], n_samples, rows.shape[0], rows.shape[1], r, positions, n_threads)
    if counts.shape[0] != n_snps or counts.shape[1] != 4 or draws.shape[0] != n_snps:
        raise ValueError(f"counts and draws must have shapes ({n_snps}, 4) and ({n_snps},)")
    if z.shape[0] != n_snps or to_basis.shape[0] != m_z or to_basis.shape[1] != ld_r:
        raise ValueError(f"z and to_basis must have shapes ({n_snps}, {m_z}) and ({m_z}, {ld_r})")
    if coefficients_out.shape[0] != n_snps or coefficients_out.shape[1] != ld_r:
        raise ValueError(f"coefficients_out must have shape ({n_snps}, {ld_r})")
    if products_out.shape[0] != n_snps or products_out.shape[1] != m:
        raise ValueError(f"products_out must have shape ({n_snps}, {m})")
    if squares_out.shape[0] != n_snps or held_out_out.shape[0] != n_snps or held_out_out.shape[1] != 2:
        raise ValueError(f"squares_out and held_out_out must have shapes ({n_snps},) and ({n_snps}, 2)")
    if work.shape[0] < n_threads or work.shape[1] < workspace_size(n_samples, r):
        raise ValueError(f"work must have shape (>= {n_threads}, >= {workspace_size(n_samples, r)})")
    if n_snps == 0:
        return
    for s in prange(n_snps, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=32):
        thread = threadid()
        fill_snp(
            &packed[s, 0], n_samples, coding, &counts[s, 0], &rows[0, 0], r, m,
            &z[s, 0] if m_z > 0 else NULL, &to_basis[0, 0] if m_z > 0 else NULL, m_z, draws[s],
            &coefficients_out[s, 0], &products_out[s, 0] if m > 0 else NULL, &squares_out[s], &held_out_out[s, 0],
            &work[thread, 0], &positions[thread, 0],
        )


def fill_decoded(
    const uint8_t[:, ::1] packed,        # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    const double[:, ::1] rows,           # IN (n_samples, padded_rank(r) + m)
    const double[:, ::1] coefficients,   # IN (n_snps_block, padded_rank(r))
    double[:, ::1] dosage_out,           # IN/OUT (n_snps_block, n_samples)
    int32_t[:, ::1] positions,           # WORK (n_threads, n_samples + 1)
    int n_threads=1,
):
    """Fill the missing calls of decoded SNPs, and centre these SNPs again.

    Parameters
    ----------
    packed, n_samples, rows
        As in `fill_block`.
    coefficients : ndarray of shape (n_snps_block, padded_rank(r)), float64, C-contiguous
        Coefficients from `fill_block`.
    dosage_out : ndarray of shape (n_snps_block, n_samples), float64, C-contiguous
        Values from `lfmm2._core.decode_block`; rows of SNPs with missing calls are changed.
    positions : ndarray of shape (>= n_threads, > n_samples), int32
        Overwritten.
    n_threads : int
    """
    cdef Py_ssize_t n_snps = packed.shape[0], ld_r = coefficients.shape[1], s
    check_sizes(packed.shape[1], n_samples, rows.shape[0], rows.shape[1], ld_r, positions, n_threads)
    if ld_r % STEP or coefficients.shape[0] != n_snps:
        raise ValueError(f"coefficients must have {n_snps} rows and a multiple of {STEP} columns")
    if dosage_out.shape[0] != n_snps or dosage_out.shape[1] != n_samples:
        raise ValueError(f"dosage_out must have shape ({n_snps}, {n_samples})")
    if n_snps == 0:
        return
    for s in prange(n_snps, nogil=True, num_threads=n_threads, schedule="static"):
        fill_decoded_snp(
            &packed[s, 0], n_samples, &rows[0, 0], rows.shape[1], ld_r, &coefficients[s, 0], &dosage_out[s, 0],
            &positions[threadid(), 0],
        )
