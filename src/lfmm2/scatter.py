"""The public functions for runs whose tests are made in parts, by processes of their own."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfmm2._typing import AnyPath
from lfmm2.api import run
from lfmm2.errors import UsageError
from lfmm2.genotypes import GenotypesLike
from lfmm2.pipeline import (
    execute_part,
    execute_run,
    execute_start,
    prepare_combination,
    prepare_part,
    prepare_start,
)
from lfmm2.process import Progress
from lfmm2.results import AssociationResult


def estimate_for_parts(
    est_bed: GenotypesLike | None,
    full_bed: GenotypesLike,
    X: Any,
    K: int | None = None,
    *,
    out: AnyPath,
    **options: Any,
) -> Path:
    """Make the first half of a run, up to the factors, and write it to ``<out>.factors.npz``.

    Parameters
    ----------
    est_bed, full_bed, X, K
        As in `run`, but as paths, because other processes open them again.
    out : path
        Prefix of the file.
    **options
        All options of `run`, also those of the tests, the calibration and the tables, which later steps take from the
        file.

    Returns
    -------
    Path
        The file, for `test_part`. `read_factors` reads the factors in it.

    Raises
    ------
    LfmmError
        As in `run`; UsageError if data are in memory, or an option is unknown.
    """
    known = inspect.signature(run).parameters
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"{', '.join(unknown)}: lfmm2.run has no such option; check the names")
    arguments = {"est_bed": est_bed, "full_bed": full_bed, "X": X, "K": K, "out": out, **options}
    defaults = {
        name: parameter.default for name, parameter in known.items() if parameter.default is not parameter.empty
    }
    with prepare_start(defaults | arguments, "lfmm2.estimate_for_parts") as prepared:
        return execute_start(prepared)


def test_part(
    factors: AnyPath,
    part: str,
    *,
    out: AnyPath | None = None,
    n_threads: int | None = None,
    memory: int | str | None = None,
    progress: bool | Progress = False,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Test one of several parts of the SNPs, and write the rows before calibration to a file.

    Parameters
    ----------
    factors : path
        The file of `estimate_for_parts`.
    part : str
        Number of the part, and of all parts: "3/22". Parts are ranges of SNPs of about the same length.
    out : path, optional
        Prefix of the file, ``<out>.part-3-of-22.npz``; by default that of the factors.
    n_threads, memory, progress, overwrite, resume
        As in `run`.

    Returns
    -------
    Path
        The file, for `combine_parts`.

    Raises
    ------
    LfmmError
        InconsistentInputError if inputs have changed since the factors were estimated, or if the program or the
        instructions of the processor, on which last digits depend, are others; else as in `run`.
    """
    arguments = {
        "out": out, "n_threads": n_threads, "memory": memory, "progress": progress, "overwrite": overwrite,
        "resume": resume,
    }  # fmt: skip
    with prepare_part(factors, part, arguments, "lfmm2.test_part") as prepared:
        return execute_part(prepared)


# pytest collects functions by the prefix test_, but this one is no test.
test_part.__test__ = False  # type: ignore[attr-defined]


def combine_parts(
    parts: Sequence[AnyPath],
    *,
    out: AnyPath,
    factors: AnyPath | None = None,
    n_threads: int | None = None,
    memory: int | str | None = None,
    progress: bool | Progress = False,
    overwrite: bool = False,
    resume: bool = False,
) -> AssociationResult:
    """Calibrate the tests of all parts together, and write the result files of `run`, byte for byte.

    Parameters
    ----------
    parts : sequence of path
        The files of `test_part`, all of them, in any order.
    out : path
        Prefix of the result files.
    factors : path, optional
        The file of `estimate_for_parts`; by default where it was when the parts were tested.
    n_threads, memory, progress, overwrite, resume
        As in `run`.

    Returns
    -------
    AssociationResult

    Raises
    ------
    LfmmError
        InconsistentInputError if parts are of several runs, lack SNPs or have some twice; else as in `run`.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> data = lfmm2.simulate(folder / "plants", n_samples=100, n_snps=5000, seed=1)
    >>> factors = lfmm2.estimate_for_parts(None, data.bed, data.env, K=3, out=folder / "job")
    >>> parts = [lfmm2.test_part(factors, f"{i}/2") for i in (1, 2)]
    >>> lfmm2.combine_parts(parts, out=folder / "genome").t.shape
    (5000, 2)
    """
    arguments = {
        "out": out, "n_threads": n_threads, "memory": memory, "progress": progress, "overwrite": overwrite,
        "resume": resume,
    }  # fmt: skip
    prepared, gathered = prepare_combination(parts, factors, arguments, "lfmm2.combine_parts")
    with prepared:
        return execute_run(prepared, gathered)
