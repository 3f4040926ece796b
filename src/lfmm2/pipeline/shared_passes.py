"""What workers will do and what is sent between them and the process of the run, computed before any work."""

from __future__ import annotations

from dataclasses import dataclass

from lfmm2._words import counted, decimal_bytes, mebibytes
from lfmm2.distributed import Crew, cut_tasks
from lfmm2.genotypes import RESTART_SNPS, doubles, padded_columns, segment_snps
from lfmm2.pipeline.plan import RunPlan, RunSize

# Bytes of the position of a chosen SNP, which every worker is told.
_POSITION_BYTES = 8


@dataclass(frozen=True)
class SharedPasses:
    """The passes that workers share.

    Attributes
    ----------
    workers : str
        The workers in words.
    n_workers : int
        Number of workers for which the passes are cut.
    n_factor_tasks, n_test_tasks : int
        Tasks of each pass for the factors, 0 if these are not shared, and of the tests.
    bytes_read : int
        Bytes of genotypes that each worker reads in all passes; 0 where they are numbers.
    bytes_to_worker, bytes_from_workers : int
        Bytes that each worker reads before a pass for the factors, and that all of them send in it; of the pass of the
        tests if those for the factors are not shared.
    memory : int
        Most bytes that a task may take.
    """

    workers: str
    n_workers: int
    n_factor_tasks: int
    n_test_tasks: int
    bytes_read: int
    bytes_to_worker: int
    bytes_from_workers: int
    memory: int

    def lines(self) -> dict[str, str]:
        """Return the lines of --dry-run and of the log."""
        tasks = [f"{self.n_factor_tasks} of each pass for the factors"] if self.n_factor_tasks else []
        tasks += [f"{self.n_test_tasks} of the tests"] if self.n_test_tasks else []
        reads = f"reads about {decimal_bytes(self.bytes_read)}, and " if self.bytes_read else ""
        back = f", {decimal_bytes(self.bytes_from_workers)} back from all" if self.bytes_from_workers else ""
        return {
            "workers": self.workers,
            "tasks": ", ".join(tasks) or "none, no pass is shared",
            "each worker": f"{reads}takes up to {mebibytes(self.memory)} for a task",
            "sent in each pass": f"about {decimal_bytes(self.bytes_to_worker)} to each worker{back}",
        }


def plan_shared_passes(crew: Crew, plan: RunPlan, size: RunSize, oversampling: int, tests: bool) -> SharedPasses:
    """Return what workers will do in a run of this plan.

    Parameters
    ----------
    crew : Crew
    plan : RunPlan
    size : RunSize
    oversampling : int
        Columns of a pass for the factors beside K.
    tests : bool
        True if SNPs are tested.
    """
    n, n_workers = size.n_samples, crew.planned_workers
    is_shared = plan.solver in ("krylov", "power")
    n_factor_tasks = len(cut_tasks(range(plan.n_estimation_snps), segment_snps(), n, n_workers)) if is_shared else 0
    n_test_tasks = len(cut_tasks(range(plan.n_snps), RESTART_SNPS, n, n_workers)) if tests else 0
    read = plan.n_passes * plan.n_estimation_snps * size.estimation_bytes_read if is_shared else 0
    read += plan.n_snps * size.bytes_read if tests else 0
    columns = size.n_factors + oversampling if is_shared else size.n_variables + size.n_nuisance + size.n_factors
    chosen = _POSITION_BYTES * size.n_listed
    # Most tasks answer with one sum of n_samples rows; rows of the tests go to the disk.
    back = n_factor_tasks * doubles((n, padded_columns(columns)))
    words = crew.describe()
    if crew.n_workers != n_workers:
        words += f"; passes are cut for {counted(n_workers, 'worker')}"
    return SharedPasses(
        words, n_workers, n_factor_tasks, n_test_tasks, read // n_workers, doubles((n, columns)) + chosen, back,
        crew.memory,
    )  # fmt: skip
