"""The workers of a run: whether there are some, what each may take, and the matrices whose passes they make."""

from __future__ import annotations

from dataclasses import dataclass

from lfmm2._typing import Ints
from lfmm2.distributed import Crew, DistributedMatrix, check_reopening, choose_executors
from lfmm2.errors import UsageError
from lfmm2.genotypes import Engine, GenotypeMatrix, GenotypeSource
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.run_options import RunOptions
from lfmm2.process import resolve_threads

# Part of the budget that this process keeps while workers of the same machine compute.
_OWN_SHARE = 4


@dataclass(frozen=True)
class Resources:
    """Threads and memory of the process of a run, and its workers.

    Attributes
    ----------
    n_threads, memory : int
        What this process takes for the passes that it makes itself. Workers of the same machine rest meanwhile, so it
        has the threads of all of them.
    crew : Crew or None
    """

    n_threads: int
    memory: int
    crew: Crew | None = None


def share_resources(options: RunOptions, memory: int) -> Resources:
    """Return threads and memory of this process and of each worker.

    With `workers` all processes share the threads of the machine and the budget. Tasks of an `executor` take one
    thread unless told otherwise, because its workers may share a machine, and up to the budget each. Those of jobs of
    Slurm take what the jobs have.

    Raises
    ------
    UsageError
        If there is no `out`, where workers write, or as `choose_executors`.
    WorkerError
        If a scheduler is not reached.
    """
    executors = choose_executors(options.workers, options.executor, options.dask, options.dask_slurm)
    if executors is None:
        return Resources(resolve_threads(options.n_threads), memory)
    if options.output.out is None:
        executors.close()
        raise UsageError(
            "workers write their results to the folder of out; give out, or leave out workers and executor"
        )
    if executors.of_task is not None:
        threads_of_task, of_task = executors.of_task
        crew = Crew(executors, options.n_threads or threads_of_task, of_task)
        return Resources(resolve_threads(options.n_threads), memory, crew)
    if executors.n_workers is not None and executors.is_local:
        n_threads = options.n_threads or max(resolve_threads(None) // executors.n_workers, 1)
        of_task = (memory - memory // _OWN_SHARE) // executors.n_workers
        own = resolve_threads(n_threads * executors.n_workers) if n_threads * executors.n_workers <= 1024 else 1024
        return Resources(own, memory, Crew(executors, resolve_threads(n_threads), of_task))
    return Resources(resolve_threads(options.n_threads), memory, Crew(executors, options.n_threads or 1, memory))


def check_sources(crew: Crew | None, *sources: GenotypeSource) -> None:
    """Raise UsageError if there are workers that cannot open the genotypes."""
    for source in sources if crew is not None else ():
        check_reopening(source)


def shared_matrix(
    crew: Crew | None,
    checkpoints: Checkpoints,
    source: GenotypeSource,
    engine: Engine,
    samples: Ints,
    snps: Ints | None,
    *,
    scale: str | None = None,
    count_allele: str = "a2",
) -> GenotypeMatrix:
    """Return the matrix of some samples and SNPs, whose passes the crew makes where there is one."""
    if crew is None or checkpoints.folder is None:
        return source.matrix(engine, samples, snps, scale=scale, count_allele=count_allele)
    return DistributedMatrix(
        source, engine, samples, snps, crew, checkpoints.folder, scale=scale, count_allele=count_allele
    )
