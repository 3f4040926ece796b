"""How much memory each stage of a run takes, from sizes alone.

A stage holds some arrays whole and streams blocks of genotypes past them. The engine gives the blocks what the budget
leaves; `Stage.reserve` is what it must leave for the rest. Predictions are upper bounds, compared with what runs really
take in tests/pipeline/test_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from lfmm2 import _core
from lfmm2.genotypes import (
    ACCUMULATOR_BYTES,
    BLOCK_BYTES,
    GRAM_PANEL_SNPS,
    MOST_ACCUMULATORS,
    N_COLUMNS,
    RESTART_SNPS,
    fill_bytes,
    plan_tiling,
)
from lfmm2.model import COLUMNS, SolverOptions, exact_memory, krylov_columns, krylov_memory
from lfmm2.pipeline.statistics_store import BLOCK_ROWS
from lfmm2.statistics import FEW_SNPS

# what a pass, a table or a matrix library takes besides the arrays counted here
SMALL_BYTES = 16 << 20
# text of a .bim in one piece, and how often it is held: as read, cleaned, as columns
VARIANT_TEXT_BYTES = 4 << 20
VARIANT_TEXT_COPIES = 8
# a row group of a table and its compressed copy, and the text of lines
WRITER_BYTES = 48 << 20
# of each file that is open for writing: its buffer, and what the writer of a table keeps
FILE_BYTES = 5 << 18
# of an array that is being written to the state of the run
KEPT_BYTES = 32 << 20
# bytes per value that sorting for q-values takes at its peak
Q_VALUE_BYTES = 48
# share of the budget for that, and as many values as are worth it
Q_SHARE = 8
MOST_Q_VALUES = 4_000_000
# buckets of q-values on disk: one in this many is held at a time
MOST_Q_BUCKETS = 200
# Python's strings of a sample's IDs, in the .fam and in the tables
SAMPLE_BYTES = 500


@dataclass(frozen=True)
class ProblemSize:
    """Sizes from which a plan is made.

    Attributes
    ----------
    n_samples, n_snps, n_estimation_snps, n_variables, n_nuisance, n_factors : int
        In use.
    n_samples_read, n_snps_read : int
        In the fileset that is tested.
    bytes_read, estimation_bytes_read : int
        Bytes per SNP of the .bed; of an array in memory 0.
    array_bytes : int
        Bytes of a number of an array in memory, of the wider of the two if both are such; 0 for a .bed.
    n_sweep : int
        Numbers of factors of a sweep.
    filled : bool
        Whether missing calls are filled from the factors.
    n_listed : int
        Positions of chosen SNPs held in memory.
    variant_bytes, held_variant_bytes : int
        Size of the larger .bim, and of those that are kept as tables after they were read.
    """

    n_samples: int
    n_samples_read: int
    n_snps: int
    n_snps_read: int
    n_estimation_snps: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    bytes_read: int
    estimation_bytes_read: int
    array_bytes: int = 0
    n_listed: int = 0
    n_sweep: int = 0
    filled: bool = False
    variant_bytes: int = 0
    held_variant_bytes: int = 0

    @property
    def n_columns(self) -> int:
        """Columns of the regression."""
        return self.n_variables + self.n_nuisance + self.n_factors


@dataclass(frozen=True)
class Stage:
    """Bytes of a stage: at its peak, those of them that the engine does not count, and those of the blocks."""

    peak: int
    reserve: int
    blocks: int = 0


def n_numbers(size: ProblemSize, loadings: bool) -> int:
    """Numbers per SNP kept between the pass and the tables."""
    others = (size.n_factors if loadings else 0) + (N_COLUMNS if size.filled else 0)
    n_shared, n_own = (len(COLUMNS.layout(per_variable).names) for per_variable in (False, True))
    return n_shared + (n_own + size.n_sweep) * size.n_variables + others


def _held(size: ProblemSize) -> int:
    """What stays for the whole run: sample IDs, variables and their geometry, chosen SNPs, small .bim files."""
    n_all = size.n_variables + size.n_nuisance
    samples = SAMPLE_BYTES * size.n_samples_read + 8 * size.n_samples * (5 * n_all + 2 * size.n_factors)
    return SMALL_BYTES + samples + 16 * size.n_listed + 2 * size.held_variant_bytes


def reading_bytes(size: ProblemSize) -> int:
    """Peak while the inputs are read."""
    return _held(size) + VARIANT_TEXT_COPIES * min(size.variant_bytes, VARIANT_TEXT_BYTES)


def _streamed(held: int, fixed: int, group: int, extra: int, memory: int, n_threads: int) -> Stage:
    """A pass by blocks, as `Engine.block_groups` cuts them.

    Parameters
    ----------
    held, fixed : int
        Bytes outside of the pass, and of the pass but not of its blocks.
    group, extra : int
        Bytes per group that the engine counts, and that it does not.
    """
    wanted = max(2 * n_threads, BLOCK_BYTES // max(group, 1), 1)
    affordable = (memory - held - fixed) // max(group + extra, 1)
    n_groups = max(min(wanted, affordable), 1)
    blocks = n_groups * (group + extra)
    return Stage(held + fixed + blocks, held + n_groups * extra, blocks)


def _buffer_bytes(size: ProblemSize, bytes_read: int) -> int:
    """Per SNP of a block: two packed buffers, and the bytes of all samples where some are chosen."""
    packed = -(-size.n_samples // 4)
    return 2 * packed + bytes_read


def _padded(n_columns: int) -> int:
    return -(-n_columns // 4) * 4


def _work_bytes(n_samples: int, n_columns: int, n_threads: int) -> int:
    tiling = plan_tiling(n_samples, n_columns)
    return 8 * n_threads * int(_core.workspace_size(tiling.tile_snps, tiling.chunk_samples, n_columns))


def _array_block_bytes(size: ProblemSize) -> int:
    """Blocks of an array in memory: gathered, as float64, without NaN, centred."""
    return RESTART_SNPS * size.n_samples * (size.array_bytes + 8 * 4 + 2) if size.array_bytes else 0


def testing_stage(size: ProblemSize, memory: int, n_threads: int, results: int, loadings: bool) -> Stage:
    """The pass of the tests, beside results kept in memory."""
    n, columns = size.n_samples, _padded(size.n_columns)
    group_snps = plan_tiling(n, columns).group_snps
    group = group_snps * (_buffer_bytes(size, size.bytes_read) + 8 * (2 * columns + 16))
    # counted by the engine: products and as much again; statistics, their temporaries and rows are not
    numbers = 8 * size.n_variables + 48 + 2 * (size.n_factors if loadings else 0)
    # products, t and their temporaries; rows of the store
    numbers += 6 * size.n_sweep * size.n_variables + (3 * size.n_columns if size.n_sweep else 0)
    held = _held(size) + results + 8 * n * 4 * size.n_columns + _array_block_bytes(size)
    fixed = _work_bytes(n, columns, n_threads) + 2 * 8 * n * columns
    if size.filled:
        work, per_snp = fill_bytes(n, size.n_columns, size.n_factors, n_threads)
        fixed += work
        group += group_snps * (per_snp + 8 * columns * (size.n_sweep > 0))
        numbers += 2 * N_COLUMNS
    return _streamed(held, fixed, group, 8 * group_snps * numbers, memory, n_threads)


def factor_stage(size: ProblemSize, solver: str, options: SolverOptions, memory: int, n_threads: int) -> Stage:
    """The estimation of the factors."""
    n = size.n_samples
    held = _held(size) + _array_block_bytes(size)
    if solver == "given":
        return Stage(held, held)
    buffers = _buffer_bytes(size, size.estimation_bytes_read)
    if solver == "exact":
        vectors = 8 * n * 4 * (size.n_factors + 1)
        fixed = 8 * n * n + 8 * GRAM_PANEL_SNPS * n + min(8 * n * n, KEPT_BYTES)
        stage = _streamed(held, fixed, GRAM_PANEL_SNPS * buffers, 0, memory, n_threads)
        # the allocator may keep the blocks while the matrix is written to the state and factorised
        after = held + exact_memory(n) + vectors + stage.blocks + min(8 * n * n, KEPT_BYTES)
        return Stage(max(stage.peak, after), stage.reserve)
    width = min(size.n_factors + options.oversampling, n - 1)
    columns = _padded(width)
    # the block, its projection, its product, and what orthogonalising them takes
    held += 8 * n * 8 * width
    if solver == "krylov":
        n_basis = min(krylov_columns(n, width), n)
        # of T: itself, LAPACK's copy, its vectors, and the next one
        held += min(krylov_memory(n, width), 2 * 8 * n * (n + 2 * width)) + 4 * 8 * n_basis**2
    accumulator = 8 * n * columns
    held += min(accumulator, KEPT_BYTES)
    most = min(ACCUMULATOR_BYTES, max(memory - held, 0) // 8) // accumulator
    n_slots = max(n_threads, min(most, MOST_ACCUMULATORS))
    fixed = _work_bytes(n, columns, n_threads) + (n_slots + 2) * accumulator
    return _streamed(held, fixed, plan_tiling(n, columns).group_snps * buffers, 0, memory, n_threads)


def state_bytes(size: ProblemSize, solver: str, n_passes: int, options: SolverOptions) -> int:
    """On disk, for what the passes for the factors gave, until the factors are there."""
    if solver == "exact":
        return 8 * size.n_samples**2
    return 8 * size.n_samples * n_passes * (size.n_factors + options.oversampling)


def q_values_in_memory(memory: int) -> int:
    """Values that are sorted together for q-values."""
    return max(1, min(MOST_Q_VALUES, memory // (Q_SHARE * Q_VALUE_BYTES)))


def write_bytes(size: ProblemSize, memory: int, n_tables: int, loadings: bool) -> int:
    """Peak while the tables are written."""
    bucket = min(max(q_values_in_memory(memory), -(-size.n_snps // MOST_Q_BUCKETS)), size.n_snps)
    rows = min(size.n_snps / (4 * BLOCK_ROWS), 1.0)
    wide = max(size.n_factors - 12, 0) * 8 * 4 * BLOCK_ROWS * 3 if loadings else 0
    writer = int(rows * (WRITER_BYTES + wide)) + FILE_BYTES * (n_tables + 3)
    return reading_bytes(size) + max(writer + Q_VALUE_BYTES * bucket, sweep_bytes(size))


def sweep_bytes(size: ProblemSize) -> int:
    """Peak while a sweep is summed up, variable by variable: histograms of all k, the values that are looked at, rows.

    Of a coarse histogram the middle bin holds 3 in 1 000 values, of a fine one 4 in 10 000; those of discoveries more.
    """
    if not size.n_sweep:
        return 0
    few = size.n_snps <= FEW_SNPS
    histograms = (1 << 18 if few else 1 << 21) * 2
    values = 8 * 2 * size.n_snps // (30 if few else 250)
    return size.n_sweep * (histograms + values + 8 * 4 * min(BLOCK_ROWS, size.n_snps))
