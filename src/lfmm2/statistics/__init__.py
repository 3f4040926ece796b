"""Arrays of statistics, without genotypes: distributions, order statistics, q-values, null distributions."""

from lfmm2.statistics import distributions
from lfmm2.statistics.calibration import (
    Calibration,
    CalibrationSummary,
    JointStatistic,
    StudentStatistic,
    TestStatistic,
    calibrate,
    calibration_notes,
)
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import StreamedQValues, benjamini_hochberg
from lfmm2.statistics.sweep_summary import (
    FEW_SNPS,
    Sweep,
    SweepRow,
    histogram_table,
    summarise_variable,
    sweep_lines,
    sweep_table,
)

__all__ = [
    "FEW_SNPS",
    "Calibration",
    "CalibrationSummary",
    "JointStatistic",
    "MagnitudeHistogram",
    "StreamedQValues",
    "StudentStatistic",
    "Sweep",
    "SweepRow",
    "TestStatistic",
    "benjamini_hochberg",
    "calibrate",
    "calibration_notes",
    "distributions",
    "histogram_table",
    "summarise_variable",
    "sweep_lines",
    "sweep_table",
]
