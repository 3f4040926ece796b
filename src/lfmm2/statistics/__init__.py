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
    inflation,
    measure_inflation,
)
from lfmm2.statistics.flat_gif import FlatStretch, find_flat_stretch
from lfmm2.statistics.joint_scatter import JointScatter, fit_scatter, n_sampled, scatter_bytes
from lfmm2.statistics.order_statistics import MagnitudeHistogram, middle_pair
from lfmm2.statistics.q_values import StreamedQValues, benjamini_hochberg, q_value_bytes, sorted_together
from lfmm2.statistics.saddlepoint import saddlepoint_log_p, student_of_log_p
from lfmm2.statistics.surrogate_null import SurrogateTail, joint_squares, tail_of_surrogates
from lfmm2.statistics.sweep_summary import (
    Sweep,
    SweepRow,
    count_discoveries,
    histogram_table,
    summarise_variable,
    summary_bytes,
    sweep_lines,
    sweep_table,
)

__all__ = [
    "Calibration", "CalibrationSummary", "FlatStretch", "Inflation", "JointScatter", "JointStatistic",
    "MagnitudeHistogram", "StreamedQValues", "StudentStatistic", "SurrogateTail", "Sweep", "SweepRow",
    "TestStatistic", "benjamini_hochberg", "calibrate", "count_discoveries", "distributions", "find_flat_stretch",
    "fit_scatter", "histogram_table", "inflation", "joint_squares", "measure_inflation", "middle_pair", "n_sampled",
    "q_value_bytes", "saddlepoint_log_p", "scatter_bytes", "sorted_together", "student_of_log_p",
    "summarise_variable", "summary_bytes", "sweep_lines", "sweep_table", "tail_of_surrogates",
]  # fmt: skip
