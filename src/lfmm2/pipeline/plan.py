"""The plan of a run: passes, bytes, memory and disk, computed and checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lfmm2._words import aligned, decimal_bytes, mebibytes, with_spaces
from lfmm2.errors import InsufficientMemoryError
from lfmm2.genotypes import ThinOptions, thinning_bytes
from lfmm2.model import KRYLOV_PASSES, SolverOptions, choose_solver
from lfmm2.pipeline.memory import (
    ProblemSize,
    Stage,
    factor_stage,
    n_numbers,
    reading_bytes,
    state_bytes,
    sweep_bytes,
    testing_stage,
    write_bytes,
)

# bytes of a row of a results table on disk, somewhat above those of simulated data (about 75, 262, 109, 93)
ROW_BYTES = {"parquet": 120, "tsv": 290, "tsv.gz": 125, "tsv.zst": 110}
# of the list of SNPs that thinning keeps, and of positions that passes choose
ID_BYTES, POSITION_BYTES = 24, 8
# variables named in the plan
MOST_NAMED = 6


@dataclass(frozen=True)
class RunPlan:
    """What a run will do and take.

    Attributes
    ----------
    n_samples, n_snps, n_estimation_snps, n_variables, n_nuisance, n_factors : int
        In use.
    n_samples_read, n_snps_read : int
        In the fileset that is tested.
    filtered : bool
        Whether maf or geno will drop SNPs yet: numbers of SNPs are then upper bounds.
    thinned : bool
        Whether the estimation set will be thinned yet.
    model : str
        Variables and numbers of factors, in words.
    allele : str
        Column of the .bim whose copies are counted; empty for an array.
    solver, reason : str
        "given" where the factors are.
    n_passes : int
        Passes over the estimation set; expected, for krylov.
    n_bytes_read : int
        Of .bed, in all passes.
    peak_memory : int
        Bytes above what the interpreter and its libraries take.
    memory, least_memory : int
        The budget, and the smallest that is enough: what is held by blocks and buckets shrinks with the budget.
    factor_reserve, test_reserve : int
        Bytes of the budget that the blocks of genotypes may not take, because other arrays will.
    output_bytes, temporary_bytes : int
    n_threads : int
    """

    n_samples: int
    n_samples_read: int
    n_snps: int
    n_snps_read: int
    n_estimation_snps: int
    n_variables: int
    n_nuisance: int
    n_factors: int
    filtered: bool
    thinned: bool
    model: str
    allele: str
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

    def check(self) -> None:
        """Raise InsufficientMemoryError where the budget is below the least that is enough."""
        if self.memory < self.least_memory:
            error = InsufficientMemoryError(
                f"memory budget of {mebibytes(self.memory)}, but {with_spaces(self.n_samples)} samples with "
                f"{self.n_factors} factors, solver {self.solver} and {self.n_threads} thread(s) need at least "
                f"{mebibytes(self.least_memory)}; raise --memory, "
                "use fewer threads, another solver, or write to files (out) instead of memory"
            )
            error.minimum = self.least_memory
            raise error

    def describe(self) -> str:
        """The plan as the lines of --dry-run and of the log."""
        about = "about " if self.solver == "krylov" else ""
        most = "at most " if self.filtered else ""
        passes = ["1 for the filters"] if self.filtered else []
        passes += ["1 to thin"] if self.thinned else []
        passes += [f"{about}{self.n_passes} for the factors"] if self.n_passes else []
        lines = {
            "samples": _of(self.n_samples, self.n_samples_read),
            "SNPs to test": most + _of(self.n_snps, self.n_snps_read),
            "SNPs for factors": ("at most " if self.thinned else most) + with_spaces(self.n_estimation_snps),
            **({"counted allele": f"{self.allele} of the .bim"} if self.allele else {}),
            "model": self.model,
            "solver": f"{self.solver} ({self.reason})",
            "passes": ", ".join([*passes, "1 for the tests"]),
            "to read": f"{about}{decimal_bytes(self.n_bytes_read)} of genotypes",
            "threads": str(self.n_threads),
            "peak memory": f"{mebibytes(self.peak_memory)} of a budget of {mebibytes(self.memory)}",
            "output": f"about {decimal_bytes(self.output_bytes)}, "
            f"and {decimal_bytes(self.temporary_bytes)} for the time of the run"
            if self.output_bytes
            else "none, results stay in memory",
        }
        return aligned(lines)


def describe_model(n_variables: int, n_nuisance: int, factors: str, names: Sequence[str] = ()) -> str:
    """``2 variables (temperature, rain) and 1 nuisance variable, K = 3``."""
    shown = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return (
        _counted(n_variables, "variable")
        + (f" ({shown})" if names else "")
        + (f" and {_counted(n_nuisance, 'nuisance variable')}" if n_nuisance else "")
        + f", {factors}"
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _of(used: int, read: int) -> str:
    return with_spaces(used) if used == read else f"{with_spaces(used)} of {with_spaces(read)}"


def make_plan(
    size: ProblemSize,
    options: SolverOptions,
    memory: int,
    n_threads: int,
    out_format: str | None,
    loadings: bool,
    *,
    given: bool = False,
    filtered: bool = False,
    thin: ThinOptions | None = None,
    tests: bool = True,
    model: str = "",
    allele: str = "",
) -> RunPlan:
    """Predict passes, bytes, memory and disk.

    Parameters
    ----------
    out_format : str or None
        Format of the tables; None keeps the results in memory.
    loadings : bool
        Whether V is written too.
    given : bool
        Whether the factors are known, and need no pass.
    filtered : bool
        Whether a pass over all SNPs comes first.
    thin : ThinOptions, optional
        How the estimation set is to be thinned, in another pass.
    tests : bool
        Whether SNPs are tested, or the factors are all that is wanted.
    model : str
        Variables and numbers of factors, in words.
    allele : str
        The column of the .bim whose copies are counted.
    """
    solver, reason = "given", "estimated before"
    if not given:
        solver, reason = choose_solver(size.n_samples, size.n_estimation_snps, size.n_factors, options)
    n_passes = {"given": 0, "exact": 1, "krylov": KRYLOV_PASSES, "power": options.n_power_iter + 1}[solver]
    in_memory = out_format is None
    statistics = 8 * n_numbers(size, loadings) * size.n_snps
    n_tables = size.n_variables + (size.n_variables > 1) + loadings

    def stages(memory: int) -> tuple[Stage, Stage, int]:
        """Of the factors, of the tests, and the peak of all, with this budget."""
        factors = factor_stage(size, solver, options, memory, n_threads)
        testing = Stage(0, 0)
        if tests:
            testing = testing_stage(size, memory, n_threads, statistics if in_memory else 0, loadings)
        writing = 0
        if tests:
            # the allocator may keep what the blocks of the pass took
            writing = testing.blocks + (
                statistics + reading_bytes(size) + sweep_bytes(size)
                if in_memory
                else write_bytes(size, memory, n_tables, loadings)
            )
        thinning = 0
        if thin is not None:
            thinning = factors.reserve + thinning_bytes(size.n_samples, size.n_estimation_snps, thin, memory)
        return factors, testing, max(factors.peak, testing.peak, writing, thinning, reading_bytes(size))

    factors, testing, peak = stages(memory)
    least = memory if peak <= memory else _least(lambda budget: stages(budget)[2])
    q_values = 0 if in_memory else 8 * size.n_snps
    n_read = n_passes * size.n_estimation_snps * size.estimation_bytes_read + tests * size.n_snps * size.bytes_read
    return RunPlan(
        n_samples=size.n_samples,
        n_samples_read=size.n_samples_read,
        n_snps=size.n_snps,
        n_snps_read=size.n_snps_read,
        n_estimation_snps=size.n_estimation_snps,
        n_variables=size.n_variables,
        n_nuisance=size.n_nuisance,
        n_factors=size.n_factors,
        filtered=filtered,
        thinned=thin is not None,
        model=model or describe_model(size.n_variables, size.n_nuisance, f"K = {size.n_factors}"),
        allele=allele,
        solver=solver,
        reason=reason,
        n_passes=n_passes,
        n_bytes_read=n_read
        + filtered * size.n_snps * size.bytes_read
        + (thin is not None) * size.n_estimation_snps * size.estimation_bytes_read,
        peak_memory=peak,
        memory=memory,
        least_memory=least,
        factor_reserve=factors.reserve,
        test_reserve=testing.reserve,
        output_bytes=0
        if in_memory
        else n_tables * ROW_BYTES[out_format or "parquet"] * size.n_snps
        + (thin is not None) * ID_BYTES * size.n_estimation_snps,
        temporary_bytes=0
        if in_memory
        else statistics + q_values + state_bytes(size, solver, n_passes, options) + POSITION_BYTES * size.n_listed,
        n_threads=n_threads,
    )


def _least(peak_of: Callable[[int], int]) -> int:
    """The smallest budget, to a mebibyte, whose peak is not above it."""
    unit = 1 << 20
    low, high = 0, 1
    while peak_of(high * unit) > high * unit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if peak_of(middle * unit) <= middle * unit else (middle, high)
    return high * unit
