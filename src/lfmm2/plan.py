"""The plan of a run: passes, bytes, memory and disk, computed and checked before any work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lfmm2.eigensolvers import SolverOptions, exact_memory, krylov_memory
from lfmm2.errors import InsufficientMemoryError, UsageError
from lfmm2.factors import KRYLOV_PASSES, choose_solver
from lfmm2.genotypes import GRAM_PANEL_SNPS
from lfmm2.stream import BLOCK_BYTES, plan_tiling

# bytes of a row of a results table on disk, as seen on simulated data (bench/README.md)
ROW_BYTES = {"parquet": 120, "tsv": 240, "tsv.gz": 110, "tsv.zst": 110}
# memory of writing a table: a row group of columns, its compressed copy, the .bim text and its columns
WRITER_BYTES = 128 << 20
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def available_memory() -> int:
    """Bytes this process may still take: what the system has free, within the limit of its control group."""
    free = 8 << 30
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) << 10
    limit, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0].isdigit() and used[0].isdigit():
        free = min(free, max(int(limit[0]) - int(used[0]), 0))
    return free


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def parse_memory(memory: int | str | None) -> int:
    """Bytes of a memory budget: a number of bytes, text such as "2GB" or "512MiB"; by default half of what is free."""
    if memory is None:
        return available_memory() // 2
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(?:i?b)?\s*", memory.lower())
        if match is None:
            raise UsageError(f"memory is {memory!r}; give bytes, or a number with a unit such as 2GB or 512MiB")
        memory = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(memory, bool) or memory < 1:
        raise UsageError(f"memory is {memory!r}; give a positive number of bytes")
    return int(memory)


@dataclass(frozen=True)
class RunPlan:
    """What a run will do and take.

    Attributes
    ----------
    n_samples, n_snps, n_estimation_snps, n_variables, n_nuisance, n_factors : int
    solver, reason : str
    n_passes : int
        Passes over the estimation set; expected, for krylov.
    n_bytes_read : int
        Of .bed, in all passes.
    peak_memory : int
        Bytes above what the interpreter and its libraries take.
    memory : int
        The budget.
    output_bytes, temporary_bytes : int
    n_threads : int
    """

    n_samples: int
    n_snps: int
    n_estimation_snps: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    solver: str
    reason: str
    n_passes: int
    n_bytes_read: int
    peak_memory: int
    memory: int
    output_bytes: int
    temporary_bytes: int
    n_threads: int

    def check(self) -> None:
        """Raise InsufficientMemoryError where the budget is below the plan."""
        if self.peak_memory > self.memory:
            raise InsufficientMemoryError(
                f"memory budget of {_mib(self.memory)}, but {self.n_samples} samples with K = {self.n_factors}, solver "
                f"{self.solver} and {self.n_threads} threads need {_mib(self.peak_memory)}; raise --memory, "
                "use fewer threads, another solver, or write to files (out) instead of memory"
            )

    def describe(self) -> str:
        """The plan as the lines of --dry-run and of the log."""
        about = "about " if self.solver == "krylov" else ""
        variables = f"{self.n_variables} variable(s)"
        if self.n_nuisance:
            variables += f" and {self.n_nuisance} nuisance variable(s)"
        return "\n".join(
            [
                f"samples:        {self.n_samples}",
                f"SNPs to test:   {self.n_snps}",
                f"SNPs for factors: {self.n_estimation_snps}",
                f"model:          {variables}, K = {self.n_factors}",
                f"solver:         {self.solver} ({self.reason})",
                f"passes:         {about}{self.n_passes} for the factors, 1 for the tests",
                f"to read:        {about}{self.n_bytes_read / 1e6:,.1f} MB of genotypes",
                f"threads:        {self.n_threads}",
                f"peak memory:    {_mib(self.peak_memory)} of a budget of {_mib(self.memory)}",
                f"output:         about {self.output_bytes / 1e6:,.1f} MB, "
                f"and {self.temporary_bytes / 1e6:,.1f} MB for the time of the run",
            ]
        )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"


@dataclass(frozen=True)
class ProblemSize:
    """Sizes from which a plan is made; see `RunPlan`."""

    n_samples: int
    n_snps: int
    n_estimation_snps: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    bytes_per_snp: int
    estimation_bytes_per_snp: int


def make_plan(
    size: ProblemSize,
    options: SolverOptions,
    memory: int,
    n_threads: int,
    out_format: str | None,
    loadings: bool,
) -> RunPlan:
    """Predict passes, bytes, memory and disk.

    Parameters
    ----------
    out_format : str or None
        Format of the tables; None keeps the results in memory.
    loadings : bool
        Whether V is written too.
    """
    solver, reason = choose_solver(size.n_samples, size.n_estimation_snps, size.n_factors, options)
    n_passes = {"exact": 1, "krylov": KRYLOV_PASSES, "power": options.n_power_iter + 1}[solver]
    n_columns = size.n_variables + size.n_nuisance + size.n_factors
    n_numbers = 7 + 4 * size.n_variables + (size.n_factors if loadings else 0)
    temporary = 8 * n_numbers * size.n_snps
    n_tables = size.n_variables + (size.n_variables > 1) + loadings
    in_memory = out_format is None
    factors = _factor_memory(size, solver, options, n_threads)
    tests = _pass_memory(size.n_samples, size.bytes_per_snp, n_columns + 2 * size.n_variables, n_threads)
    tests += (size.n_variables + n_columns) * 8 * size.n_samples * 4
    results = temporary if in_memory else WRITER_BYTES
    return RunPlan(
        n_samples=size.n_samples,
        n_snps=size.n_snps,
        n_estimation_snps=size.n_estimation_snps,
        n_variables=size.n_variables,
        n_nuisance=size.n_nuisance,
        n_factors=size.n_factors,
        solver=solver,
        reason=reason,
        n_passes=n_passes,
        n_bytes_read=n_passes * size.n_estimation_snps * size.estimation_bytes_per_snp
        + size.n_snps * size.bytes_per_snp,
        peak_memory=max(factors, tests + results if in_memory else max(tests, results)),
        memory=memory,
        output_bytes=0 if in_memory else n_tables * ROW_BYTES[out_format or "parquet"] * size.n_snps,
        temporary_bytes=0 if in_memory else temporary,
        n_threads=n_threads,
    )


def _factor_memory(size: ProblemSize, solver: str, options: SolverOptions, n_threads: int) -> int:
    n = size.n_samples
    if solver == "exact":
        blocks = 2 * max(BLOCK_BYTES, 2 * n_threads * GRAM_PANEL_SNPS * size.estimation_bytes_per_snp)
        return exact_memory(n) + 8 * GRAM_PANEL_SNPS * n + blocks
    width = min(size.n_factors + options.oversampling, n - 1)
    held = krylov_memory(n, width)
    return held + _pass_memory(n, size.estimation_bytes_per_snp, width, n_threads) + 8 * n * width * (n_threads + 2)


def _pass_memory(n_samples: int, bytes_per_snp: int, n_columns: int, n_threads: int) -> int:
    """Smallest memory of a pass: one group in two buffers, a tile per thread, the products of the group."""
    tiling = plan_tiling(n_samples, n_columns)
    tile = 8 * tiling.tile_snps * (tiling.chunk_samples + n_columns + 32)
    return tiling.group_snps * (3 * bytes_per_snp + 8 * (2 * n_columns + 16)) + tile * n_threads
