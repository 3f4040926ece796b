"""The plan of a run: passes, bytes, memory and disk, computed and checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lfmm2._words import aligned, counted, decimal_bytes, mebibytes, with_spaces
from lfmm2.errors import InsufficientMemoryError, UsageError
from lfmm2.files import SAMPLE_BYTES, USUAL_COLUMNS, TableMatch, stream_bytes, writing_bytes
from lfmm2.genotypes import (
    COUNTING_BYTES,
    N_COLUMNS,
    NOTHING_HELD,
    Engine,
    FillSize,
    Footprint,
    GenotypeMatrix,
    PackedMatrix,
    ThinOptions,
    counting_footprint,
    doubles,
    gram_speed,
    largest,
    plan_block,
    thinning_footprint,
)
from lfmm2.model import (
    KRYLOV_PASSES,
    MARGINAL_COLUMNS,
    SolverOptions,
    association_footprint,
    choose_solver,
    declared_columns,
    factor_bytes,
    geometry_bytes,
    solver_footprint,
    surrogate_footprint,
    sweep_footprint,
)
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.missing_calls import TALLY_BYTES
from lfmm2.pipeline.resumable_matrix import ResumableMatrix, keeping_bytes, state_bytes
from lfmm2.pipeline.sample_comparison import COMPARISON_BYTES
from lfmm2.pipeline.statistics_store import BLOCK_ROWS, histogram_bytes, joint_bytes, store_columns
from lfmm2.statistics import q_value_bytes, scatter_bytes, sorted_together, summary_bytes

# Bytes for small arrays, Python objects, and what the libraries take beside the arrays that are counted. With a smaller
# value a run may take more than --memory, with a larger one it refuses budgets that are enough.
SMALL_BYTES = 20 << 20
# Bytes of a row of a results table on disk, somewhat more than with simulated data (about 75, 262, 109 and 93). With
# smaller values a disk may run full, with larger ones a run refuses disks that have enough space.
ROW_BYTES = {"parquet": 120, "tsv": 290, "tsv.gz": 125, "tsv.zst": 110}
# Bytes on disk of an ID in the list of SNPs that thinning keeps.
ID_BYTES = 24
# Bytes on disk of the position (int64) of a SNP that a pass chooses. In memory a position is held twice.
POSITION_BYTES = 8
# Bytes on disk of the score of a SNP (float64) while q-values are computed.
Q_VALUE_DISK_BYTES = 8
# Characters of a sample ID up to which it is part of SAMPLE_BYTES.
USUAL_ID = 40
# Surrogates of each kind where their number is left open. More take more time, fewer tell less of the tails.
USUAL_SURROGATES = 5
# Most tables that are written at the same time. With more a disk writes no faster.
MOST_WRITERS = 8
# Part of the memory budget that further tables may take while they are written. With a larger part they would leave
# less to the blocks of the passes, because the allocator may keep the memory of these.
WRITERS_SHARE = 4
# Number of variables that the plan names; more names would not fit in a line.
MOST_NAMED = 6


@dataclass(frozen=True)
class RunSize:
    """The numbers that the memory and the disk space of a run depend on.

    Attributes
    ----------
    tested, estimation : GenotypeMatrix
        Matrices that are asked for shapes and footprints, but for no product.
    n_samples_read, n_snps_read : int
        Samples and SNPs of the source that is tested, before any choice.
    n_variables, n_nuisance, n_factors : int
        Variables and nuisance variables in use, and factors to estimate.
    bytes_read, estimation_bytes_read : int
        Bytes of a SNP in the file; 0 where genotypes are in memory.
    n_sweep : int
        How many numbers of factors a sweep compares; 0 without a sweep.
    n_others : int
        How many penalties a sweep compares with that of the run.
    filled : bool
        True if missing calls are filled from the factors.
    spa : bool
        True if tests with few carriers have p by the saddlepoint approximation.
    loadings : bool
        True if loadings are kept too.
    surrogates, calibrate : int or str, str
        Surrogates of each kind that are asked for, or "auto", and the method of calibration.
    marginal : bool
        True if each variable is tested alone too.
    n_listed : int
        Positions of chosen SNPs held in memory.
    variant_bytes, held_variant_bytes : int
        Bytes of the text of the larger table of variants, which is streamed, and of the tables of variants that are
        kept in memory.
    reopened_bytes : int
        Bytes that a worker holds while it has the genotypes open.
    variant_row_bytes : int
        Bytes of a tested variant in its table where its text is longest.
    input_bytes : int
        Bytes that the largest table of variables or list took while it was read, before any pass.
    longest_id : int
        Characters of the longest ID of a sample.
    n_compared : int
        SNPs over which the samples are still to be compared; 0 if they are not, or were.
    comparing : Footprint
        Memory of this comparison.
    compared_bytes_read : int
        Bytes of one of these SNPs in the file; 0 where genotypes are in memory.
    """

    tested: GenotypeMatrix
    estimation: GenotypeMatrix
    n_samples_read: int
    n_snps_read: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    bytes_read: int
    estimation_bytes_read: int
    n_sweep: int = 0
    n_others: int = 0
    filled: bool = False
    spa: bool = False
    loadings: bool = False
    surrogates: int | str = 0
    calibrate: str = "student"
    marginal: bool = False
    n_listed: int = 0
    variant_bytes: int = 0
    held_variant_bytes: int = 0
    reopened_bytes: int = 0
    variant_row_bytes: int = 0
    input_bytes: int = 0
    longest_id: int = 0
    n_compared: int = 0
    comparing: Footprint = NOTHING_HELD
    compared_bytes_read: int = 0
    source_disk_bytes: int = 0

    @property
    def n_samples(self) -> int:
        """Number of samples in use."""
        return self.tested.n_samples

    @property
    def n_snps(self) -> int:
        """Number of SNPs to test."""
        return self.tested.n_snps

    @property
    def n_fits(self) -> int:
        """Number of penalties, each with factors of its own."""
        return 1 + self.n_others

    @property
    def n_swept(self) -> int:
        """Number of t of each SNP and variable that a sweep keeps."""
        return self.n_sweep * self.n_fits

    @property
    def n_loadings(self) -> int:
        """Number of loadings of a SNP that are kept."""
        return self.n_factors if self.loadings else 0

    @property
    def held_bytes(self) -> int:
        """Bytes held for the whole run: samples, variables, factors, positions of chosen SNPs, tables of variants."""
        n, d = self.n_samples, self.n_variables + self.n_nuisance
        # NumPy gives all IDs the width of the longest, four bytes a character, and copies them when it writes.
        ids = 2 * 4 * n * self.longest_id if self.longest_id > USUAL_ID else 0
        samples = (
            SAMPLE_BYTES * self.n_samples_read
            + COMPARISON_BYTES * n
            + ids
            + geometry_bytes(n, d)
            + self.n_fits * factor_bytes(n, self.n_factors)
        )
        return SMALL_BYTES + samples + 2 * POSITION_BYTES * self.n_listed + self.held_variant_bytes

    @property
    def reading_bytes(self) -> int:
        """Bytes at the peak of memory while variants are read."""
        return self.held_bytes + stream_bytes(self.variant_bytes)

    @property
    def peak_of_inputs(self) -> int:
        """Bytes at the peak of memory before the first pass, while variants, tables and lists are read."""
        return max(self.reading_bytes, self.held_bytes + self.input_bytes)

    @property
    def row_bytes(self) -> int:
        """Bytes of the statistics of a SNP, kept from the pass of the tests until the tables are written."""
        return 8 * sum(self._columns_of_stores())

    @property
    def n_store_files(self) -> int:
        """Number of files that keep these statistics, all of which are open at once."""
        return sum(n_columns > 0 for n_columns in self._columns_of_stores())

    def _columns_of_stores(self) -> list[int]:
        """Return the number of columns of each store of statistics."""
        n_held_out = N_COLUMNS if self.filled else 0
        columns = declared_columns(self.marginal, self.spa)
        return list(store_columns(columns, self.n_variables, self.n_loadings, n_held_out, self.n_swept).values())


@dataclass(frozen=True)
class Stage:
    """The memory of a stage that makes passes.

    Attributes
    ----------
    peak : int
        Bytes at the peak of the stage.
    beside : Footprint
        Memory held beside each pass.
    reserve : int
        Bytes of `beside` with blocks of the planned size.
    """

    peak: int
    beside: Footprint
    reserve: int = 0


def _plan_stage(own: Footprint, beside: Footprint, n_threads: int, memory: int, after: int = 0) -> Stage:
    """Return the memory of a stage whose passes are cut into blocks as the engine cuts them.

    The blocks leave room for the bytes that are held `after` the last pass, because the allocator may not give the
    memory of the blocks back to the system.
    """
    beside = replace(beside, held=max(beside.held, after - own.held))
    n_snps = plan_block(own, beside, n_threads, memory)
    return Stage((own + beside).of_block(n_snps), beside, beside.of_block(n_snps))


def _plan_choice(
    size: RunSize, counts_calls: bool, filtered: bool, thins: Sequence[ThinOptions], n_threads: int, memory: int
) -> Stage:
    """Return the memory of the passes that choose samples and SNPs, the largest of all."""
    held = Footprint(size.held_bytes)
    stages = [Stage(size.peak_of_inputs, held)]
    if counts_calls:
        stages.append(_plan_stage(counting_footprint(size.tested, n_threads), held, n_threads, memory))
    if size.n_compared:
        stages.append(_plan_stage(size.comparing, held, n_threads, memory))
    if filtered:
        assert isinstance(size.tested, PackedMatrix)
        own = size.tested.footprint_of_packed_blocks() + Footprint(0, COUNTING_BYTES)
        stages.append(_plan_stage(own, held, n_threads, memory))
    for thin in thins:
        assert isinstance(size.estimation, PackedMatrix)
        stages.append(_plan_stage(thinning_footprint(size.estimation, thin, memory), held, n_threads, memory))
    return max(stages, key=lambda stage: stage.peak)


def _plan_estimation(size: RunSize, solver: str, options: SolverOptions, n_threads: int, memory: int) -> Stage:
    """Return the memory of the estimation of the factors."""
    held = Footprint(size.held_bytes)
    if solver == "given":
        return Stage(held.held, held, held.held)
    matrix = ResumableMatrix(size.estimation, Engine(n_threads, memory), Checkpoints())
    n_columns = size.n_variables + size.n_nuisance
    footprint = solver_footprint(matrix, solver, size.n_factors, n_columns, options, memory - held.held)
    n = size.n_samples
    after = held.held + footprint.after + keeping_bytes(n, n) if footprint.after else 0
    if after and size.n_others:
        after += doubles((n, n))  # The Gram matrix is kept for the factors of the other penalties.
    return _plan_stage(footprint.own, held + footprint.beside, n_threads, memory, after)


def _plan_tests(size: RunSize, kept_bytes: int, n_tables: int, n_threads: int, memory: int) -> Stage:
    """Return the memory of the pass of the tests and of the work after it.

    `kept_bytes` are those of results that stay in memory; `n_tables` is the number of tables to write.
    """
    own, beside = _footprints_of_tests(size, kept_bytes)
    n_writers = _count_writers(size, kept_bytes, n_tables, n_threads, memory)
    after = histogram_bytes(size.n_variables) + _bytes_after_tests(size, kept_bytes, n_tables, memory, n_writers)
    return _plan_stage(own, beside, n_threads, memory, after)


def _footprints_of_tests(size: RunSize, kept_bytes: int) -> tuple[Footprint, Footprint]:
    """Return the memory of the pass of the tests, and of what is held beside it."""
    d, n_columns = size.n_variables, size.n_variables + size.n_nuisance + size.n_factors
    beside = Footprint(size.held_bytes + kept_bytes + TALLY_BYTES * size.n_samples + histogram_bytes(d))
    beside += association_footprint(size.n_samples, n_columns, d, size.n_loadings, size.marginal)
    if size.n_sweep:
        beside += sweep_footprint(n_columns, d, size.n_swept)
    if size.n_others:
        # The regressors of each penalty, and those of all side by side.
        n_all = n_columns * size.n_fits
        beside += Footprint(doubles((size.n_samples, 4 * n_columns * size.n_others + n_all)))
        n_columns = n_all
    fill = None
    if size.filled:
        # The regressors of several penalties side by side are not orthonormal, so that the factors have to be added.
        fill = FillSize(size.n_factors + 1, keeps_means=size.n_sweep > 0, spanned=size.n_others == 0)
        # These columns are in the rows of the store and in a copy of the rows.
        beside += Footprint(0, 2 * doubles((N_COLUMNS,)))
    own = size.tested.footprint_of_cross_products(n_columns, fill)
    return own, beside


def check_task_memory(size: RunSize, options: SolverOptions, solver: str, n_threads: int, memory: int) -> None:
    """Check that tasks of workers, which get this part of the budget, can be done with it.

    Parameters
    ----------
    size : RunSize
        Its matrices are those of a worker.
    options : SolverOptions
    solver : str
    n_threads, memory : int
        What a task may take.

    Raises
    ------
    InsufficientMemoryError
    """
    # Workers have no tables of variants.
    size = replace(size, held_variant_bytes=size.reopened_bytes)
    own, beside = _footprints_of_tests(size, 0)
    least = (own + beside).least
    if solver in ("krylov", "power"):
        n_columns = size.n_variables + size.n_nuisance
        of_solver = solver_footprint(size.estimation, solver, size.n_factors, n_columns, options, memory)
        least = max(least, (of_solver.own + Footprint(size.held_bytes)).least)
    if memory < least:
        raise InsufficientMemoryError(
            f"a task of a worker may take {mebibytes(memory)}, but {with_spaces(size.n_samples)} samples with "
            f"{size.n_factors} factors and {n_threads} thread(s) need at least {mebibytes(least)}; raise --memory, or "
            "use fewer workers"
        )


def _count_writers(size: RunSize, kept_bytes: int, n_tables: int, n_threads: int, memory: int) -> int:
    """Return how many tables to write at the same time: as many as threads, if they take a small part of the memory."""
    n_writers = max(1, min(n_threads, n_tables, MOST_WRITERS))
    while n_writers > 1 and _bytes_after_tests(size, kept_bytes, n_tables, memory, n_writers) > memory // WRITERS_SHARE:
        n_writers -= 1
    return n_writers


def _bytes_after_tests(size: RunSize, kept_bytes: int, n_tables: int, memory: int, n_writers: int) -> int:
    """Return the bytes at the peak after the pass of the tests, while the sweep is summed up or tables are written."""
    summary = summary_bytes(size.n_swept, size.n_snps, BLOCK_ROWS)
    # The q-values of the joint test and of the smallest p over the variables are computed side by side.
    n_rates = 1 if size.n_variables == 1 else 2
    if n_rates > 1:
        joint = joint_bytes(declared_columns(size.marginal, size.spa), size.n_variables, size.n_snps)
        summary = max(summary, scatter_bytes(size.n_snps, size.n_variables), joint)
    if n_tables == 0:
        return size.reading_bytes + kept_bytes + summary
    # More files are written: the log, the record, the factors, the scree and the samples.
    widest = max(size.n_loadings, USUAL_COLUMNS + size.marginal * len(MARGINAL_COLUMNS))
    writing = writing_bytes(size.n_snps, widest, n_tables + 5, size.variant_row_bytes)
    of_one = q_value_bytes(size.n_snps, sorted_together(memory))
    # Each further table has groups of rows and q-values of its own, and reads the variants.
    of_further = (
        writing_bytes(size.n_snps, widest, 0, size.variant_row_bytes) + of_one + stream_bytes(size.variant_bytes)
    )
    writing += n_rates * of_one + (n_writers - 1) * of_further
    return size.reading_bytes + max(writing, summary)


def _count_surrogates(size: RunSize, solver: str) -> int:
    """Return the most surrogates of each kind to draw; raise UsageError if those asked for cannot be drawn."""
    asked = size.surrogates
    if solver == "exact" and size.calibrate == "student":
        return USUAL_SURROGATES if isinstance(asked, str) else asked
    if isinstance(asked, int) and asked > 0:
        fact = f"surrogates is {asked}, but they need the Gram matrix, and the calibration student"
        raise UsageError(f"{fact}; estimate the factors in this run with --solver exact, and leave out --calibrate")
    return 0


def _plan_surrogates(size: RunSize, n_surrogates: int, kept_bytes: int, n_threads: int, memory: int) -> Stage:
    """Return the memory of the passes for surrogates, of two kinds."""
    n_columns = size.n_variables + size.n_nuisance + size.n_factors
    kept_bytes += histogram_bytes(size.n_variables)
    beside = Footprint(size.held_bytes + kept_bytes + keeping_bytes(size.n_samples, size.n_samples))
    beside += surrogate_footprint(size.n_samples, size.n_snps, 2 * n_surrogates, size.n_variables, n_columns)
    # There may be surrogates of one kind only, and some may be left out. Fewer columns may have larger tiles.
    tests = largest(
        size.tested.footprint_of_cross_products(n_models * n_columns) for n_models in range(1, 2 * n_surrogates + 1)
    )
    # Only the tests hold statistics of the SNPs of a block.
    gram = _plan_stage(size.estimation.footprint_of_gram(), Footprint(beside.held), n_threads, memory)
    testing = _plan_stage(tests, beside, n_threads, memory)
    return replace(testing, peak=max(gram.peak, testing.peak))


@dataclass(frozen=True)
class RunPlan:
    """The passes, bytes read, memory and disk space of a run.

    Attributes
    ----------
    n_samples, n_snps, n_estimation_snps, n_variables, n_nuisance, n_factors : int
        Numbers in use: samples, SNPs to test and to estimate from, variables, nuisance variables, factors to estimate.
    n_samples_read, n_snps_read : int
        Samples and SNPs of the fileset that is tested.
    counts_calls, drops_repeats : bool
        True if samples are still to be left out by mind, or as repeats: their number is then an upper bound.
    n_compared : int
        SNPs over which the samples are still to be compared; 0 for none.
    n_environments : int
        Different rows among the values of the variables.
    filtered : bool
        True if maf or geno are still to drop SNPs: numbers of SNPs are then upper bounds.
    thinned : bool
        True if the estimation set is still to be thinned: its number of SNPs is then an upper bound.
    k_thinned : bool
        True if SNPs are thinned to suggest K.
    model : str
        Variables and numbers of factors, in words.
    allele : str
        Name of the allele whose copies are counted; empty for an array.
    noun : str
        What a column of the genotypes is called: "SNP" or "feature".
    solver, reason : str
        Solver of the factors, "given" where these are given, and why it was chosen.
    n_passes : int
        Passes over the estimation set; for krylov the expected number.
    n_bytes_read : int
        Bytes of genotypes read in all passes; 0 where genotypes are in memory.
    peak_memory : int
        Bytes beside those of the interpreter and its libraries.
    memory, least_memory : int
        Bytes of the budget; if it is too small, bytes of the smallest that is enough, else the budget again. Blocks and
        buckets shrink with the budget, so that less than `peak_memory` may be enough.
    factor_reserve, test_reserve : int
        Bytes of the budget that the blocks of genotypes must leave to other arrays.
    output_bytes, temporary_bytes : int
        Bytes on disk of the result files, and of the files that exist only during the run; 0 without `out`.
    source_disk_bytes : int
        Bytes on disk of the temporary files that the genotypes are in already.
    n_threads : int
    held_bytes : int
        Bytes that stay in memory for the whole run.
    beside_factors, beside_tests : Footprint
        Memory held beside the passes for the factors, and beside the pass of the tests.
    matches : tuple of TableMatch
        How the rows of the tables were matched to the samples.
    n_store_files : int
        Files that keep statistics and are open at once; 0 without `out`.
    penalty : str
        The ridge penalty of the run and those that a sweep compares, in words; empty without a sweep.
    n_surrogates : int
        Most surrogates of each kind that are drawn, in two passes; 0 for none.
    may_need_surrogates : bool
        True if the run decides by itself whether they are needed.
    beside_surrogates : Footprint
        Memory held beside the passes for surrogates.
    n_writers : int
        Tables that are written at the same time.
    filesets, estimation_filesets : str
        Filesets that are read as one, to test and to estimate from, in words; empty for a single one.
    workers : dict of str to str
        Lines that tell of the workers, by their names; empty without.
    """

    n_samples: int
    n_samples_read: int
    n_snps: int
    n_snps_read: int
    n_estimation_snps: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    counts_calls: bool
    drops_repeats: bool
    n_compared: int
    n_environments: int
    filtered: bool
    thinned: bool
    k_thinned: bool
    model: str
    allele: str
    noun: str
    solver: str
    reason: str
    n_passes: int
    n_bytes_read: int
    peak_memory: int
    memory: int
    least_memory: int
    factor_reserve: int
    test_reserve: int
    output_bytes: int
    temporary_bytes: int
    n_threads: int
    held_bytes: int
    beside_factors: Footprint
    beside_tests: Footprint
    n_store_files: int
    matches: tuple[TableMatch, ...] = ()
    penalty: str = ""
    n_surrogates: int = 0
    may_need_surrogates: bool = False
    beside_surrogates: Footprint | None = None
    n_writers: int = 1
    filesets: str = ""
    estimation_filesets: str = ""
    workers: Mapping[str, str] = field(default_factory=dict)
    source_disk_bytes: int = 0

    def for_record(self) -> dict[str, Any]:
        """Return the plan for the record of a run, without the attributes that only the engine and the stages need."""
        engine_only = {
            "held_bytes", "beside_factors", "beside_tests", "beside_surrogates", "n_store_files", "n_surrogates",
            "may_need_surrogates", "n_writers", "noun", "workers", "filesets", "estimation_filesets",
            "source_disk_bytes",
        }  # fmt: skip
        return {name: value for name, value in asdict(self).items() if name not in engine_only}

    def check(self) -> None:
        """Raise InsufficientMemoryError if the budget is smaller than the smallest that is enough."""
        if self.memory < self.least_memory:
            error = InsufficientMemoryError(
                f"memory budget of {mebibytes(self.memory)}, but {with_spaces(self.n_samples)} samples with "
                f"{self.n_factors} factors, solver {self.solver} and {self.n_threads} thread(s) need at least "
                f"{mebibytes(self.least_memory)}; raise --memory, "
                "use fewer threads, another solver, or write to files (out) instead of memory"
            )
            error.minimum = self.least_memory
            raise error

    def describe(self, time: str = "") -> str:
        """Return the plan as the lines of --dry-run and of the log, with the time that it will take if it is known."""
        about = "about " if self.solver == "krylov" else ""
        most = "at most " if self.filtered else ""
        passes = ["1 to count missing calls"] if self.counts_calls else []
        passes += (
            [f"1 over {with_spaces(self.n_compared)} {self.noun}s to compare the samples"] if self.n_compared else []
        )
        passes += ["1 for the filters"] if self.filtered else []
        passes += ["1 to thin"] if self.thinned else []
        passes += [f"{about}{self.n_passes} for the factors"] if self.n_passes else []
        passes += [f"1 to thin for K, {about}{self.n_passes} over what is left"] if self.k_thinned else []
        most_samples = "at most " if self.counts_calls or self.drops_repeats else ""
        lines = {
            **({"filesets": self.filesets} if self.filesets else {}),
            **({"filesets of factors": self.estimation_filesets} if self.estimation_filesets else {}),
            "samples": most_samples + _share(self.n_samples, self.n_samples_read),
            **environment_line(self.n_samples, self.n_environments),
            **({"sample IDs": "; ".join(match.describe() for match in self.matches)} if self.matches else {}),
            f"{self.noun}s to test": most + _share(self.n_snps, self.n_snps_read),
            f"{self.noun}s for factors": ("at most " if self.thinned else most) + with_spaces(self.n_estimation_snps),
            **({"counted allele": self.allele} if self.allele else {}),
            "model": self.model,
            **({"ridge penalty": self.penalty} if self.penalty else {}),
            "solver": f"{self.solver} ({self.reason})",
            "passes": ", ".join([*passes, "1 for the tests"]),
            **({"surrogates": self._describe_surrogates()} if self.n_surrogates else {}),
            "to read": f"{about}{decimal_bytes(self.n_bytes_read)} of genotypes",
            "threads": str(self.n_threads),
            **self.workers,
            **({"time": time} if time else {}),
            "peak memory": f"{mebibytes(self.peak_memory)} of a budget of {mebibytes(self.memory)}",
            "output": f"about {decimal_bytes(self.output_bytes)}, "
            f"and {decimal_bytes(self.temporary_bytes + self.source_disk_bytes)} for the time of the run"
            if self.output_bytes
            else "none, results stay in memory",
        }
        return aligned(lines)

    def _describe_surrogates(self) -> str:
        """Return how many surrogates are drawn, when, and at which cost."""
        when = "if a variable follows structure or is inflated, " if self.may_need_surrogates else ""
        return f"{when}{self.n_surrogates} of each kind, in a Gram matrix and a pass of tests more"


def describe_model(n_variables: int, n_nuisance: int, factors: str, names: Sequence[str] = ()) -> str:
    """Return the model in words: ``2 variables (temperature, rain) and 1 nuisance variable, K = 3``."""
    shown = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return (
        counted(n_variables, "variable")
        + (f" ({shown})" if names else "")
        + (f" and {counted(n_nuisance, 'nuisance variable')}" if n_nuisance else "")
        + f", {factors}"
    )


def environment_line(n_samples: int, n_environments: int) -> dict[str, str]:
    """Return a line of the number of distinct rows of the variables, if samples share them."""
    if n_environments >= n_samples:
        return {}
    return {"environments": f"{with_spaces(n_environments)} distinct, of {with_spaces(n_samples)} samples"}


def _share(used: int, read: int) -> str:
    """Return ``90 of 120``, or ``120`` if all are used."""
    return with_spaces(used) if used == read else f"{with_spaces(used)} of {with_spaces(read)}"


def make_plan(
    size: RunSize,
    options: SolverOptions,
    memory: int,
    n_threads: int,
    out_format: str | None,
    *,
    given: bool = False,
    tests_alone: bool = False,
    counts_calls: bool = False,
    drops_repeats: bool = False,
    n_environments: int | None = None,
    filtered: bool = False,
    thin: ThinOptions | None = None,
    k_thin: ThinOptions | None = None,
    tests: bool = True,
    model: str = "",
    allele: str = "",
    noun: str = "SNP",
    penalty: str = "",
    matches: tuple[TableMatch, ...] = (),
) -> RunPlan:
    """Predict passes, bytes read, memory and disk space.

    Parameters
    ----------
    size : RunSize
    options : SolverOptions
    memory : int
        Budget in bytes.
    n_threads : int
    out_format : str or None
        Format of the tables; None keeps the results in memory.
    given : bool
        True if the factors are given, and need no pass.
    tests_alone : bool
        True if factors are given, and another process calibrates the tests.
    counts_calls : bool
        True if a pass that counts missing calls of samples comes first.
    drops_repeats : bool
        True if samples that repeat another are still to be left out.
    n_environments : int, optional
        Different rows among the values of the variables; all by default.
    filtered : bool
        True if a pass that filters SNPs by maf or geno comes first.
    thin : ThinOptions, optional
        Thinning of the estimation set, in a pass of its own.
    k_thin : ThinOptions, optional
        Thinning of the SNPs from which K is suggested, in a pass of its own; as many passes as for the factors follow
        over the SNPs that are left, by the same solver, which take no more memory than those.
    tests : bool
        True if SNPs are tested, False if only the factors are wanted.
    model : str
        Variables and numbers of factors, in words; made from `size` if empty.
    allele : str
        Name of the allele whose copies are counted; empty for an array.
    noun : str
        What a column of the genotypes is called.
    penalty : str
        Ridge penalties, in words; empty without a sweep.
    matches : tuple of TableMatch
        How the rows of the tables were matched to the samples.
    """
    solver, reason = "given", "estimated before"
    n, n_estimation = size.n_samples, size.estimation.n_snps
    if not given and not tests_alone:
        solver, reason = choose_solver(n, n_estimation, size.n_factors, options, gram_speed(size.estimation))
    n_passes = {"given": 0, "exact": 1, "krylov": KRYLOV_PASSES, "power": options.n_power_iter + 1}[solver]
    if solver in ("krylov", "power"):
        n_passes *= size.n_fits
    statistics = size.row_bytes * size.n_snps
    kept = statistics if out_format is None else 0
    n_tables = 0 if out_format is None else size.n_variables + (size.n_variables > 1) + size.loadings

    n_surrogates = _count_surrogates(size, solver) if tests and not tests_alone else 0
    thins = [options for options in (thin, k_thin) if options is not None]

    def stages(memory: int) -> tuple[Stage, Stage, Stage, int]:
        """Return the stages of factors, tests and surrogates with this budget, and the peak of all stages in bytes."""
        choice = _plan_choice(size, counts_calls, filtered, thins, n_threads, memory)
        factors = _plan_estimation(size, solver, options, n_threads, memory)
        testing = _plan_tests(size, kept, n_tables, n_threads, memory) if tests else factors
        drawing = _plan_surrogates(size, n_surrogates, kept, n_threads, memory) if n_surrogates else testing
        return factors, testing, drawing, max(choice.peak, factors.peak, testing.peak, drawing.peak)

    factors, testing, drawing, peak = stages(memory)
    least = memory if peak <= memory else _find_least_budget(lambda budget: stages(budget)[3])
    # The passes over thinned SNPs are not counted as reading: how many SNPs are left is not known, but they are few.
    n_tested_reads, n_estimation_reads = tests + counts_calls + filtered, n_passes + len(thins)
    output_bytes = temporary_bytes = 0
    if out_format is not None:
        output_bytes = n_tables * ROW_BYTES[out_format] * size.n_snps + (thin is not None) * ID_BYTES * n_estimation
        state = state_bytes(n, n if solver == "exact" else size.n_factors + options.oversampling, n_passes)
        state += size.n_others * factor_bytes(n, size.n_factors)
        n_rates = 1 if size.n_variables == 1 else 2
        temporary_bytes = (
            statistics + n_rates * Q_VALUE_DISK_BYTES * size.n_snps + state + POSITION_BYTES * size.n_listed
        )
    return RunPlan(
        n_samples=n,
        n_samples_read=size.n_samples_read,
        n_snps=size.n_snps,
        n_snps_read=size.n_snps_read,
        n_estimation_snps=n_estimation,
        n_variables=size.n_variables,
        n_nuisance=size.n_nuisance,
        n_factors=size.n_factors,
        counts_calls=counts_calls,
        drops_repeats=drops_repeats,
        n_compared=size.n_compared,
        n_environments=n if n_environments is None else n_environments,
        filtered=filtered,
        thinned=thin is not None,
        k_thinned=k_thin is not None,
        model=model or describe_model(size.n_variables, size.n_nuisance, f"K = {size.n_factors}"),
        allele=allele,
        noun=noun,
        solver=solver,
        reason=reason,
        n_passes=n_passes,
        n_bytes_read=n_tested_reads * size.n_snps * size.bytes_read
        + n_estimation_reads * n_estimation * size.estimation_bytes_read
        + size.n_compared * size.compared_bytes_read,
        peak_memory=peak,
        memory=memory,
        least_memory=least,
        factor_reserve=factors.reserve,
        test_reserve=testing.reserve,
        output_bytes=output_bytes,
        temporary_bytes=temporary_bytes,
        source_disk_bytes=size.source_disk_bytes,
        n_threads=n_threads,
        held_bytes=size.held_bytes,
        beside_factors=factors.beside,
        beside_tests=testing.beside,
        matches=matches,
        penalty=penalty,
        n_store_files=0 if out_format is None else size.n_store_files,
        n_surrogates=n_surrogates,
        may_need_surrogates=n_surrogates > 0 and size.surrogates == "auto",
        beside_surrogates=drawing.beside,
        n_writers=_count_writers(size, kept, n_tables, n_threads, memory),
    )


def _find_least_budget(peak_of: Callable[[int], int]) -> int:
    """Find the smallest budget in whole MiB that its own peak does not exceed, and return its bytes."""
    unit = 1 << 20
    low, high = 0, 1
    while peak_of(high * unit) > high * unit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if peak_of(middle * unit) <= middle * unit else (middle, high)
    return high * unit
