"""The passes of a run in order: options, inputs, plan, state, publication. Names are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfmm2._lazy import lazy_names

if TYPE_CHECKING:
    from lfmm2.pipeline.inputs import SampleOptions
    from lfmm2.pipeline.preparation import RunOptions, TestOptions
    from lfmm2.pipeline.result_files import OutputOptions
    from lfmm2.pipeline.run import PreparedRun, execute_estimation, execute_run, prepare_run
    from lfmm2.pipeline.snps import SnpOptions

__all__ = [
    "OutputOptions",
    "PreparedRun",
    "RunOptions",
    "SampleOptions",
    "SnpOptions",
    "TestOptions",
    "execute_estimation",
    "execute_run",
    "prepare_run",
]

__getattr__ = lazy_names(
    __name__,
    {
        "lfmm2.pipeline.inputs": ("SampleOptions",),
        "lfmm2.pipeline.run": ("PreparedRun", "execute_estimation", "execute_run", "prepare_run"),
        "lfmm2.pipeline.preparation": ("RunOptions", "TestOptions"),
        "lfmm2.pipeline.result_files": ("OutputOptions",),
        "lfmm2.pipeline.snps": ("SnpOptions",),
    },
)
