"""The passes of a run in order: options, inputs, plan, state, publication. Names are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfmm2._lazy import lazy_names

if TYPE_CHECKING:
    from lfmm2.pipeline.inputs import SampleOptions
    from lfmm2.pipeline.job import Job
    from lfmm2.pipeline.preparation import RunOptions, TestOptions
    from lfmm2.pipeline.result_files import OutputOptions
    from lfmm2.pipeline.run_state import NoState
    from lfmm2.pipeline.snps import SnpOptions

__all__ = ["Job", "NoState", "OutputOptions", "RunOptions", "SampleOptions", "SnpOptions", "TestOptions"]

__getattr__ = lazy_names(
    __name__,
    {
        "lfmm2.pipeline.inputs": ("SampleOptions",),
        "lfmm2.pipeline.job": ("Job",),
        "lfmm2.pipeline.preparation": ("RunOptions", "TestOptions"),
        "lfmm2.pipeline.result_files": ("OutputOptions",),
        "lfmm2.pipeline.run_state": ("NoState",),
        "lfmm2.pipeline.snps": ("SnpOptions",),
    },
)
