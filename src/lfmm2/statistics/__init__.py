"""Arrays of statistics, without genotypes: distributions, order statistics, q-values, null distributions."""

from lfmm2.statistics import distributions
from lfmm2.statistics.calibration import (
    Calibration,
    CalibrationSummary,
    Inflation,
    JointStatistic,
    StudentStatistic,
    TestStatistic,
    calibrate,
    measure_inflation,
)
from lfmm2.statistics.flat_gif import FlatStretch, find_flat_stretch
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import StreamedQValues, benjamini_hochberg, q_value_bytes, sorted_together
from lfmm2.statistics.saddlepoint import saddlepoint_log_p, student_of_log_p
from lfmm2.statistics.sweep_summary import (
    Sweep,
    SweepRow,
    histogram_table,
    summarise_variable,
    summary_bytes,
    sweep_lines,
    sweep_table,
)

__all__ = [
    "Calibration", "CalibrationSummary", "FlatStretch", "Inflation", "JointStatistic", "MagnitudeHistogram",
    "StreamedQValues", "StudentStatistic", "Sweep", "SweepRow", "TestStatistic", "benjamini_hochberg", "calibrate",
    "distributions", "find_flat_stretch", "histogram_table", "measure_inflation", "q_value_bytes",
    "saddlepoint_log_p", "sorted_together", "student_of_log_p", "summarise_variable", "summary_bytes",
    "sweep_lines", "sweep_table",
]  # fmt: skip
