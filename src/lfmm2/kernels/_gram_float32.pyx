# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The product G = Y (Yᵀ S) of packed genotypes in single precision, for passes that iterate.

Genotypes, S and T = Yᵀ S are rounded to float32, and multiplied without BLAS (_gram_float32.h). T is summed in
float32 over chunks of 1024 samples, G over panels of `PANEL_SNPS` SNPs; sums of chunks and of panels are added in
float64. So the relative error of G is below 1e-6, and of many panels about 1e-7, whatever the numbers of samples and
SNPs.

A block of SNPs is gone through twice: threads own the SNPs of T, then the samples of G. So no sum is held more than
once, and no bit depends on the threads, or on a cut of the SNPs between panels.

Pad bits of the last byte are ignored.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uint8_t, uintptr_t

from lfmm2._core cimport genotype_values

cdef extern from "_gram_float32.h":
    const int LFMM2_LANES
    const int LFMM2_WORD_BYTES
    const int LFMM2_ROWS
    const int LFMM2_TILE_WIDTH
    const int LFMM2_TILE_ROWS
    const int LFMM2_COLUMNS

    void lfmm2_multiply_samples(
        const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, const float* values, const float* columns,
        Py_ssize_t n_steps, Py_ssize_t n_blocks, float* T_out, Py_ssize_t ld_out, float* tile, double* sums,
    ) noexcept nogil
    void lfmm2_multiply_panel(
        const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, const float* values, const float* T,
        Py_ssize_t ld_T, Py_ssize_t n_blocks, Py_ssize_t byte, Py_ssize_t n_samples, double* G, Py_ssize_t ld_G,
        float* tile, float* sums,
    ) noexcept nogil
    int lfmm2_use_instructions(int level) noexcept nogil

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
cdef str _in_use


def use_instructions(str name):
    """Multiply from now on with one of `INSTRUCTION_SETS`, or the next narrower of the processor, and return its name.

    "avx2" and "avx512" give the same bits; the widest is chosen on import. For tests and measurements. ValueError for
    another name.
    """
    if name not in INSTRUCTION_SETS:
        raise ValueError(f"{name!r} is not one of {', '.join(INSTRUCTION_SETS)}")
    global _in_use
    _in_use = INSTRUCTION_SETS[lfmm2_use_instructions(INSTRUCTION_SETS.index(name))]
    return _in_use


def instructions():
    """Return the one of `INSTRUCTION_SETS` in use."""
    return _in_use


INSTRUCTIONS = use_instructions("avx512")

cdef enum:
    # SNPs whose products are added in float32. With fewer, float64 sums are read and written more often; with more,
    # rounding errors grow.
    PANEL = 512
    # SNPs that a thread multiplies with all columns before the next: a chunk of the columns (128 KiB at 32) is read
    # from the L3 cache once for them. A multiple of LFMM2_ROWS; with more, threads wait for each other.
    TASK_SNPS = 48
    # Most words of samples times LFMM2_ROWS that a thread takes at a time: cache lines of packed genotypes are shared
    # by 256 samples.
    TASK_TILES = 4
    # Doubles in a cache line of 64 bytes.
    CACHE_LINE = 8

#: SNPs of a panel; blocks begin at multiples of it.
PANEL_SNPS = PANEL


def columns_size(Py_ssize_t n_samples, Py_ssize_t l):
    """Return the floats of the packed form of ``l`` columns, a multiple of 4."""
    return (n_samples + LFMM2_LANES - 1) // LFMM2_LANES * LFMM2_LANES * l


def workspace_size(Py_ssize_t l):
    """Return the doubles of workspace that one thread needs for ``l`` columns."""
    cdef Py_ssize_t tile = LFMM2_TILE_ROWS * LFMM2_TILE_WIDTH // 2
    return tile + max(TASK_SNPS * l, LFMM2_TILE_WIDTH * l // 2) + CACHE_LINE


def pack_columns(
    const double[:, ::1] S,            # IN (n_samples, l)
    float[::1] columns_out,            # OUT (columns_size(n_samples, l),)
):
    """Round columns to float32 and write them in the order in which they are multiplied.

    Parameters
    ----------
    S : ndarray of shape (n_samples, l), float64, C-contiguous
        ``l`` is a multiple of 4. Values beyond 1e-30 or 1e30 in size are lost in float32.
    columns_out : ndarray of shape (columns_size(n_samples, l),), float32
        Overwritten: blocks of 4 columns, steps of 16 samples, columns, samples; zeros after the last sample.
    """
    cdef Py_ssize_t n_samples = S.shape[0], l = S.shape[1], n_steps, i, c, step
    if l % LFMM2_COLUMNS or columns_out.shape[0] != columns_size(n_samples, l):
        raise ValueError(f"columns_out must have {columns_size(n_samples, l)} floats, for columns by fours")
    n_steps = (n_samples + LFMM2_LANES - 1) // LFMM2_LANES
    with nogil:
        for i in range(n_steps * LFMM2_LANES):
            for c in range(l):
                step = c // LFMM2_COLUMNS * n_steps + i // LFMM2_LANES
                columns_out[(step * LFMM2_COLUMNS + c % LFMM2_COLUMNS) * LFMM2_LANES + i % LFMM2_LANES] = (
                    <float> S[i, c] if i < n_samples else 0.0
                )


def add_gram_product(
    const uint8_t[:, ::1] packed,      # IN (n_snps_block, ceil(n_samples / 4))
    Py_ssize_t n_samples,
    int coding,
    const int64_t[:, ::1] counts,      # IN (n_snps_block, 4)
    const float[::1] columns,          # IN (columns_size(n_samples, l),)
    double[::1, :] G_out,              # IN/OUT (n_samples, l), F order
    float[:, ::1] values,              # WORK (>= n_snps_block, 4)
    float[::1] T,                      # WORK (>= n_snps_block * l,)
    double[:, ::1] work,               # WORK (n_threads, workspace_size(l))
    int n_threads=1,
):
    """Add the block's share of the gram product, G += Y_bᵀ (Y_b S), in float32 with panels added in float64.

    Parameters
    ----------
    packed : ndarray of shape (n_snps_block, ceil(n_samples / 4)), uint8, C-contiguous
        Panels of `PANEL_SNPS` are counted from its first SNP.
    n_samples, coding : int
        As in `lfmm2._core.decode_block`.
    counts : ndarray of shape (n_snps_block, 4), int64, C-contiguous
        Calls of each code, as `lfmm2._core.count_genotypes` gives them.
    columns : ndarray of shape (columns_size(n_samples, l),), float32
        S, as `pack_columns` writes it.
    G_out : ndarray of shape (n_samples, l), float64, F-contiguous
        Added to, panel by panel in order. ``l`` is a multiple of 4.
    values, T, work : ndarray
        Overwritten.
    n_threads : int

    Raises
    ------
    ValueError
        If an array has another shape.

    Notes
    -----
    4 n l flops per SNP, 32 of them an instruction with AVX-512. Both products read n/4 bytes per SNP. Of the caches, a
    thread needs 24 KiB of L1 for a tile; of L2, for T a chunk of S (4 KiB l), for G the T of a panel (2 KiB l). From L3
    or memory come the 4 n l bytes of S for every 48 SNPs, and 16 n l bytes of G for every block.
    """
    cdef Py_ssize_t n_snps = packed.shape[0], n_bytes = packed.shape[1], l = G_out.shape[1]
    cdef Py_ssize_t n_steps = (n_samples + LFMM2_LANES - 1) // LFMM2_LANES, n_blocks = l // LFMM2_COLUMNS
    cdef Py_ssize_t n_tiles = (n_samples + LFMM2_TILE_WIDTH - 1) // LFMM2_TILE_WIDTH
    cdef Py_ssize_t n_tasks, tiles_of_task, task
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}; at least one is needed")
    if n_bytes != (n_samples + 3) // 4 or n_samples < 1:
        raise ValueError(f"packed has {n_bytes} bytes per SNP for {n_samples} samples")
    if counts.shape[0] != n_snps or counts.shape[1] != 4:
        raise ValueError(f"counts must have shape ({n_snps}, 4)")
    if G_out.shape[0] != n_samples or l % LFMM2_COLUMNS:
        raise ValueError(f"G_out must have shape ({n_samples}, l), l a multiple of 4")
    if columns.shape[0] != columns_size(n_samples, l):
        raise ValueError(f"columns must have {columns_size(n_samples, l)} floats")
    if values.shape[0] < n_snps or values.shape[1] != 4 or T.shape[0] < n_snps * l:
        raise ValueError(f"values must have {n_snps} rows of 4, and T {n_snps * l} floats")
    if work.shape[0] < n_threads or work.shape[1] < workspace_size(l):
        raise ValueError(f"work must have shape ({n_threads}, {workspace_size(l)})")
    if n_snps == 0 or l == 0:
        return
    with nogil:
        n_tasks = (n_snps + TASK_SNPS - 1) // TASK_SNPS
        for task in prange(n_tasks, num_threads=n_threads, schedule="dynamic", chunksize=1):
            multiply_samples(
                &packed[0, 0], n_bytes, n_snps, coding, &counts[0, 0], &columns[0], n_steps, n_blocks, task,
                &values[0, 0], &T[0], &work[threadid(), 0],
            )
        # Few samples are cut finer, so that all threads have some.
        tiles_of_task = min(max(n_tiles // (4 * n_threads), 1), TASK_TILES)
        n_tasks = (n_tiles + tiles_of_task - 1) // tiles_of_task
        for task in prange(n_tasks, num_threads=n_threads, schedule="dynamic", chunksize=1):
            multiply_snps(
                &packed[0, 0], n_bytes, n_snps, n_samples, &values[0, 0], &T[0], n_blocks, task * tiles_of_task,
                min(tiles_of_task, n_tiles - task * tiles_of_task), &G_out[0, 0], &work[threadid(), 0],
            )


cdef inline float* tile_of(double* work) noexcept nogil:
    """Return the tile of a workspace: its next multiple of 64 bytes."""
    return <float*> ((<uintptr_t> work + 63) & ~(<uintptr_t> 63))


cdef void multiply_samples(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, int coding, const int64_t* counts,
    const float* columns, Py_ssize_t n_steps, Py_ssize_t n_blocks, Py_ssize_t task, float* values, float* T,
    double* work,
) noexcept nogil:
    """Compute the values of the codes, and T, of the SNPs of a task."""
    cdef Py_ssize_t first = task * TASK_SNPS, n_here = min(TASK_SNPS, n_snps - task * TASK_SNPS), j
    cdef float* tile = tile_of(work)
    cdef double of_codes[4]
    cdef int code
    for j in range(first, first + n_here):
        genotype_values(counts + 4 * j, coding, of_codes)
        for code in range(4):
            values[4 * j + code] = <float> of_codes[code]
    lfmm2_multiply_samples(
        packed + first * n_bytes, n_bytes, n_here, values + 4 * first, columns, n_steps, n_blocks,
        T + LFMM2_COLUMNS * first, n_snps, tile, <double*> (tile + LFMM2_TILE_ROWS * LFMM2_TILE_WIDTH),
    )


cdef void multiply_snps(
    const uint8_t* packed, Py_ssize_t n_bytes, Py_ssize_t n_snps, Py_ssize_t n_samples, const float* values,
    const float* T, Py_ssize_t n_blocks, Py_ssize_t first_tile, Py_ssize_t n_tiles, double* G, double* work,
) noexcept nogil:
    """Add all panels of the block to the samples of some tiles."""
    cdef float* tile = tile_of(work)
    cdef float* sums = tile + LFMM2_TILE_ROWS * LFMM2_TILE_WIDTH
    cdef Py_ssize_t n_panels = (n_snps + PANEL - 1) // PANEL, panel, first, t, sample
    for panel in range(n_panels):
        first = panel * PANEL
        for t in range(first_tile, first_tile + n_tiles):
            sample = t * LFMM2_TILE_WIDTH
            lfmm2_multiply_panel(
                packed + first * n_bytes, n_bytes, min(PANEL, n_snps - first), values + 4 * first,
                T + LFMM2_COLUMNS * first, n_snps, n_blocks, sample // 4, min(LFMM2_TILE_WIDTH, n_samples - sample),
                G + sample, n_samples, tile, sums,
            )
