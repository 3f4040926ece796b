"""The process that lfmm2 is a guest in: threads of OpenMP and BLAS, memory, progress, versions of libraries."""

from lfmm2.process.jobs import Job, Report, run_jobs
from lfmm2.process.limits import open_files_allowed, parse_memory, release_freed_memory
from lfmm2.process.machine import describe_machine
from lfmm2.process.progress import PlainProgress, Progress, json_progress, terminal_progress
from lfmm2.process.threads import check_threads, resolve_threads, single_threaded_blas
from lfmm2.process.versions import software

__all__ = [
    "Job", "PlainProgress", "Progress", "Report", "check_threads", "describe_machine", "json_progress",
    "open_files_allowed", "parse_memory", "release_freed_memory", "resolve_threads", "run_jobs",
    "single_threaded_blas", "software", "terminal_progress",
]  # fmt: skip
