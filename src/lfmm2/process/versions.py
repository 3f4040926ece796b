"""Versions that a result may depend on: lfmm2, its libraries, BLAS and the machine."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

from lfmm2 import _core
from lfmm2._version import __version__
from lfmm2.kernels import _gram_float32
from lfmm2.process.threads import blas_name


@cache
def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "pyarrow")}


def software() -> dict[str, str]:
    """Return the versions that a result may depend on, by name."""
    return {
        "lfmm2": __version__,
        "python": platform.python_version(),
        **_library_versions(),
        "blas": blas_name(),
        "openmp": "yes" if _core.OPENMP else "no",
        "instructions": _gram_float32.instructions(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
