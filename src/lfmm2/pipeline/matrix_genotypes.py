"""The numbers of --matrix as genotypes of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfmm2._words import some_of
from lfmm2.errors import InputWarning, UsageError
from lfmm2.files import as_tables
from lfmm2.formats import MatrixFile, MatrixOptions, open_matrix
from lfmm2.pipeline.run_options import RunOptions, SnpOptions
from lfmm2.process import Progress

# Options that say how to read a matrix, by the names of their attributes.
_OF_MATRIX = {
    "samples_are": "--samples-are", "features": "--features", "sample_ids": "--samples", "layer": "--layer",
}  # fmt: skip


def check_matrix_options(options: SnpOptions) -> None:
    """Raise UsageError if options tell how to read a matrix, but there is none."""
    given = [flag for name, flag in _OF_MATRIX.items() if getattr(options, name) is not None]
    if given and options.matrix is None:
        raise UsageError(f"{' and '.join(given)} tell how to read --matrix, and none is given; leave out")


def read_matrix(X: Any, covar: Any, options: RunOptions, progress: Progress) -> MatrixFile:
    """Read the file of --matrix; the side of its samples is recognised by the tables of the variables.

    Raises
    ------
    UsageError
        If results stay in memory, so that there is no folder for the temporary file.
    LfmmError
        Another of its children, as `open_matrix` raises them.
    """
    snps, out = options.snps, options.output.prefix
    if snps.matrix is None or out is None:
        raise UsageError("matrix is read into a temporary file beside those of out; give out, or the array itself")
    # With --env-by the rows of X are populations, so that only nuisance variables have rows of samples.
    tables = [] if options.samples.env_by is not None else as_tables(X)
    tables += [] if covar is None else as_tables(covar)
    how = MatrixOptions(
        snps.samples_are, snps.features, snps.sample_ids, snps.layer, snps.ploidy, snps.missing_genotype,
        options.samples.decimal,
    )  # fmt: skip
    path = Path(snps.matrix)
    progress.start(f"read {path.name}", 0, 0)
    try:
        return open_matrix(path, Path(out).parent, tables, how)
    finally:
        progress.finish()


def warn_of_variables(matrix: MatrixFile, names: Sequence[str]) -> None:
    """Warn if the matrix has features that are called as variables: it is probably a table with both in it."""
    source = matrix.source
    if source.refusal("extract"):
        return
    found = {str(name) for table in source.iter_variants() for name in table["ID"].to_pylist()}.intersection(names)
    if found:
        fact = f"{source.name}: has features that are called as variables ({some_of(sorted(found))})"
        warnings.warn(f"{fact}; leave them out with --exclude if they are the variables", InputWarning, stacklevel=3)
