"""Tables of a result as the data frames that people have: pandas, polars, or pyarrow itself."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa

from lfmm2._checks import quoted
from lfmm2._typing import Floats, Ints
from lfmm2.errors import UsageError

LIBRARIES = ("pandas", "polars", "pyarrow")


def as_frame(table: pa.Table, library: str | None = None) -> Any:
    """Return a table as a data frame of a library; by default of pandas, or else polars, whichever is installed.

    Raises
    ------
    UsageError
        If the library is none of `LIBRARIES`, or is not installed.
    """
    if library is None:
        library = next((name for name in LIBRARIES[:2] if find_spec(name)), None)
        if library is None:
            raise UsageError("neither pandas nor polars is installed; pip install one, or give library='pyarrow'")
    if library not in LIBRARIES:
        raise UsageError(f"library is {quoted(library)}; it is one of {', '.join(LIBRARIES)}")
    if library == "pyarrow":
        return table
    try:
        module = import_module(library)
    except ImportError as error:
        raise UsageError(f"a frame of {library} needs {library} ({error}); pip install {library}") from error
    # pyarrow makes frames of pandas by itself; to polars it is given.
    return table.to_pandas() if library == "pandas" else module.from_arrow(table)


def strongest(strength: Floats, n: int) -> Ints:
    """Return the rows of the n largest values, the largest first and equal ones in order; NaN is never among them."""
    known = np.flatnonzero(~np.isnan(strength))
    if len(known) > n:
        # All values equal to the n-th largest must be compared, because the first of them are to be taken.
        limit = np.partition(strength[known], len(known) - n)[len(known) - n] if n else np.inf
        known = known[strength[known] >= limit]
    return known[np.argsort(-strength[known], kind="stable")][:n]
