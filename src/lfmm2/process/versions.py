"""Versions that a result may depend on: lfmm2, its libraries, BLAS and the machine."""

from __future__ import annotations

import platform

import numpy
import pyarrow
import scipy

from lfmm2 import _core
from lfmm2._version import __version__
from lfmm2.kernels import _gram_float32
from lfmm2.process.threads import blas_name


def software() -> dict[str, str]:
    """Return the versions that a result may depend on, by name."""
    return {
        "lfmm2": __version__,
        "python": platform.python_version(),
        **{library.__name__: library.__version__ for library in (numpy, scipy, pyarrow)},
        "blas": blas_name(),
        "openmp": "yes" if _core.OPENMP else "no",
        "instructions": _gram_float32.instructions(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
