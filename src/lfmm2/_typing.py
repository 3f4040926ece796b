"""Type aliases that many modules share."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Packed genotypes, four in a byte.
Packed = NDArray[np.uint8]
#: Arrays by name, as an .npz holds them.
Arrays = dict[str, NDArray[Any]]
AnyPath = str | os.PathLike[str]
#: One file, or several that are read as one.
Paths = AnyPath | Sequence[AnyPath]
#: A file of SNP IDs, the IDs themselves, or several files as `os.PathLike`.
ListedSnps = AnyPath | Collection[str] | Collection[os.PathLike[str]]
#: A value that means missing, or several.
MissingCode = float | str | Sequence[float | str]
#: A value of an array of genotypes that means missing, or several.
MissingCalls = float | Sequence[float]
