"""Pictures of a run, each drawn into `ax` or a new figure: ``lfmm2.plots.manhattan("results", "env1")``."""

from lfmm2.report.plots import *  # noqa: F403
from lfmm2.report.plots import __all__ as __all__


def __dir__() -> list[str]:
    return sorted(__all__)
