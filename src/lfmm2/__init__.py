"""lfmm2: exact LFMM2, the genes behind adaptation, traits and exposures, at any scale.

>>> import lfmm2
>>> result = lfmm2.run(None, "full.bed", "env.csv", K=5)          # doctest: +SKIP

Names are loaded on first use, so that ``import lfmm2`` costs nothing in other packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lfmm2 import plots
    from lfmm2.api import estimate_factors, run, test_associations
    from lfmm2.association import Status
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
        WriteError,
    )
    from lfmm2.factors import LatentFactors
    from lfmm2.factors_file import read_factors
    from lfmm2.hits import find_hits
    from lfmm2.offset import genetic_offset
    from lfmm2.packed_bed import PackedBed
    from lfmm2.plink import BedFile, open_bed
    from lfmm2.report import write_report
    from lfmm2.results import AssociationResult, read_results
    from lfmm2.simulation import Simulation, simulate
    from lfmm2.stored_record import verify

    __version__: str

_HOMES = {
    "api": ("estimate_factors", "run", "test_associations"),
    "association": ("Status",),
    "errors": (
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
        "WriteError",
    ),
    "factors": ("LatentFactors",),
    "factors_file": ("read_factors",),
    "hits": ("find_hits",),
    "offset": ("genetic_offset",),
    "packed_bed": ("PackedBed",),
    "plink": ("BedFile", "open_bed"),
    "report": ("write_report",),
    "results": ("AssociationResult", "read_results"),
    "simulation": ("Simulation", "simulate"),
    "stored_record": ("verify",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AssociationResult",
    "BedFile",
    "CalibrationWarning",
    "ConvergenceWarning",
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
    "ReadError",
    "Simulation",
    "Status",
    "UsageError",
    "WriteError",
    "__version__",
    "estimate_factors",
    "find_hits",
    "genetic_offset",
    "open_bed",
    "plots",
    "read_factors",
    "read_results",
    "run",
    "simulate",
    "test_associations",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("lfmm2.record").package_version()
    if name == "plots":
        return import_module("lfmm2.plots")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lfmm2' has no attribute {name!r}")
    value = getattr(import_module(f"lfmm2.{_HOME_OF[name]}"), name)
    # found at once the next time
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
