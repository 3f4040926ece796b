"""lfmm2: exact LFMM2, the genes behind adaptation, traits and exposures, at any scale.

>>> import lfmm2
>>> result = lfmm2.run(Y="plants.bed", X="climate.csv", K=5)       # doctest: +SKIP

Names are loaded on first use, so that ``import lfmm2`` costs nothing in other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfmm2._lazy import lazy_names

if TYPE_CHECKING:
    from lfmm2 import plots
    from lfmm2._version import __version__
    from lfmm2.api import estimate_factors, run, test_associations
    from lfmm2.downstream import find_hits, genetic_offset
    from lfmm2.errors import (
        CalibrationWarning,
        ConvergenceWarning,
        DegenerateProblemError,
        InconsistentInputError,
        InputWarning,
        InsufficientMemoryError,
        LfmmError,
        LfmmWarning,
        MalformedInputError,
        OutputExistsError,
        ReadError,
        UsageError,
        WorkerError,
        WriteError,
    )
    from lfmm2.estimator import LFMM2
    from lfmm2.formats import Conversion, convert
    from lfmm2.genotypes import BedFile, PackedBed, PackedFileset, named_array, open_bed, pack
    from lfmm2.model import LatentFactors, Status
    from lfmm2.process import Progress
    from lfmm2.report import write_report
    from lfmm2.results import AssociationResult, read_factors, read_results, verify
    from lfmm2.scatter import combine_parts, estimate_for_parts, test_part
    from lfmm2.simulation import Simulation, simulate

__all__ = [
    "LFMM2",
    "AssociationResult",
    "BedFile",
    "CalibrationWarning",
    "ConvergenceWarning",
    "Conversion",
    "DegenerateProblemError",
    "InconsistentInputError",
    "InputWarning",
    "InsufficientMemoryError",
    "LatentFactors",
    "LfmmError",
    "LfmmWarning",
    "MalformedInputError",
    "OutputExistsError",
    "PackedBed",
    "PackedFileset",
    "Progress",
    "ReadError",
    "Simulation",
    "Status",
    "UsageError",
    "WorkerError",
    "WriteError",
    "__version__",
    "combine_parts",
    "convert",
    "estimate_factors",
    "estimate_for_parts",
    "find_hits",
    "genetic_offset",
    "named_array",
    "open_bed",
    "pack",
    "plots",
    "read_factors",
    "read_results",
    "run",
    "simulate",
    "test_associations",
    "test_part",
    "verify",
    "write_report",
]  # fmt: skip

__getattr__ = lazy_names(
    __name__,
    {
        "lfmm2._version": ("__version__",),
        "lfmm2.api": ("estimate_factors", "run", "test_associations"),
        "lfmm2.downstream": ("find_hits", "genetic_offset"),
        "lfmm2.errors": (
            "CalibrationWarning",
            "ConvergenceWarning",
            "DegenerateProblemError",
            "InconsistentInputError",
            "InputWarning",
            "InsufficientMemoryError",
            "LfmmError",
            "LfmmWarning",
            "MalformedInputError",
            "OutputExistsError",
            "ReadError",
            "UsageError",
            "WorkerError",
            "WriteError",
        ),
        "lfmm2.estimator": ("LFMM2",),
        "lfmm2.formats": ("Conversion", "convert"),
        "lfmm2.genotypes": ("BedFile", "PackedBed", "PackedFileset", "named_array", "open_bed", "pack"),
        "lfmm2.model": ("LatentFactors", "Status"),
        "lfmm2.plots": (),
        "lfmm2.process": ("Progress",),
        "lfmm2.report": ("write_report",),
        "lfmm2.results": ("AssociationResult", "read_factors", "read_results", "verify"),
        "lfmm2.scatter": ("combine_parts", "estimate_for_parts", "test_part"),
        "lfmm2.simulation": ("Simulation", "simulate"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
