"""Pictures of a run, each drawn into `ax` or a new figure: ``lfmm2.plots.manhattan("results", "env1")``."""

from lfmm2.report.plots import (
    discoveries_by_k,
    factor_correlations,
    factors,
    frequencies,
    gif_by_k,
    histograms_by_k,
    manhattan,
    missingness,
    p_histogram,
    qq,
    scree,
)

__all__ = [
    "discoveries_by_k",
    "factor_correlations",
    "factors",
    "frequencies",
    "gif_by_k",
    "histograms_by_k",
    "manhattan",
    "missingness",
    "p_histogram",
    "qq",
    "scree",
]
