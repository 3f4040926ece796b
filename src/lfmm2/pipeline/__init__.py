"""A run from its options to its result files; the public names are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfmm2._lazy import lazy_names

if TYPE_CHECKING:
    from lfmm2.pipeline import options
    from lfmm2.pipeline.advice import Evidence, meaning_of_gif
    from lfmm2.pipeline.inputs import most_factors
    from lfmm2.pipeline.run import PreparedRun, execute_estimation, execute_run, prepare_run
    from lfmm2.pipeline.run_options import RunOptions
    from lfmm2.pipeline.run_time import is_long, predict_time
    from lfmm2.pipeline.scatter import (
        execute_part,
        execute_start,
        prepare_combination,
        prepare_part,
        prepare_start,
    )
    from lfmm2.pipeline.ways_in import genotypes_of_two_names, ways_given

__all__ = [
    "Evidence", "PreparedRun", "RunOptions", "execute_estimation", "execute_part", "execute_run", "execute_start",
    "genotypes_of_two_names", "is_long", "meaning_of_gif", "most_factors", "options", "predict_time",
    "prepare_combination", "prepare_part", "prepare_run", "prepare_start", "ways_given",
]  # fmt: skip

__getattr__ = lazy_names(
    __name__,
    {
        "lfmm2.pipeline.advice": ("Evidence", "meaning_of_gif"),
        "lfmm2.pipeline.inputs": ("most_factors",),
        "lfmm2.pipeline.options": (),
        "lfmm2.pipeline.run": ("PreparedRun", "execute_estimation", "execute_run", "prepare_run"),
        "lfmm2.pipeline.run_options": ("RunOptions",),
        "lfmm2.pipeline.run_time": ("is_long", "predict_time"),
        "lfmm2.pipeline.scatter": (
            "execute_part",
            "execute_start",
            "prepare_combination",
            "prepare_part",
            "prepare_start",
        ),
        "lfmm2.pipeline.ways_in": ("genotypes_of_two_names", "ways_given"),
    },
)
