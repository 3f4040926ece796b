"""The ways to name the genotypes to test: --bed, the options that take its place, and Y. One of them is given."""

from __future__ import annotations

import os
from pathlib import Path

from lfmm2._typing import AnyPath
from lfmm2.errors import UsageError
from lfmm2.genotypes import GenotypesLike, ending_of, read_fileset_list
from lfmm2.pipeline.matrix_genotypes import check_matrix_options
from lfmm2.pipeline.run_options import SnpOptions

# Options whose file is converted before it is read.
_CONVERTED = {"--vcf", "--zarr"}


def ways_given(full_bed: GenotypesLike | None, options: SnpOptions) -> list[str]:
    """Return the options that name genotypes to test, of those that are given."""
    ways = {
        "--bed": full_bed, "--bed-list": options.bed_list, "--pfile": options.pfile, "--bgen": options.bgen,
        "--vcf": options.vcf, "--zarr": options.zarr, "--matrix": options.matrix,
    }  # fmt: skip
    return [flag for flag, value in ways.items() if value is not None]


def genotypes_of_two_names(genotypes: GenotypesLike | None, Y: GenotypesLike | None, name: str) -> GenotypesLike:
    """Return the genotypes that a function got as its parameter `name` or as `Y`; one of them must be given.

    Raises
    ------
    UsageError
        If both are given, or neither.
    """
    if genotypes is not None and Y is not None:
        raise UsageError(f"{name} and Y are two names of the genotypes to test, and both are given; give one of them")
    given = genotypes if Y is None else Y
    if given is None:
        raise UsageError("the genotypes to test are not given; give Y=, a path, an array or a frame")
    return given


def choose_sources(
    est_bed: GenotypesLike | None, full_bed: GenotypesLike | None, options: SnpOptions, tables: list[Path]
) -> tuple[GenotypesLike | None, GenotypesLike | None]:
    """Return the genotypes of the factors and those to test; the latter are None if they are converted, or a matrix.

    Lists of filesets that are read are added to `tables`.

    Raises
    ------
    UsageError
        If genotypes are given in two ways, or with an option of another way.
    LfmmError
        If a list cannot be read.
    """
    named = ways_given(full_bed, options)
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} both give the genotypes to test; give one of them")
    if est_bed is not None and options.est_bed_list is not None:
        raise UsageError("--est-bed and --est-bed-list both give genotypes of the factors; give one of them")
    check_matrix_options(options)
    is_converted = bool(_CONVERTED & set(named))
    if options.keep_bed and not is_converted:
        raise UsageError("--keep-bed keeps the fileset that --vcf is converted to; leave it out, or give --vcf FILE")
    if options.vcf_dosage is not None and not is_converted:
        raise UsageError("--vcf-dosage names a field of --vcf or --zarr; leave it out, or give --vcf FILE")
    if options.bgen is not None and ending_of(options.bgen) != ".bgen":
        raise UsageError(f"--bgen is {options.bgen}, whose name does not end in .bgen; check it, or rename the file")
    if options.est_bed_list is not None:
        est_bed = _read_list(options.est_bed_list, tables)
    if options.bed_list is not None:
        return est_bed, _read_list(options.bed_list, tables)
    if options.pfile is not None:
        return est_bed, f"{os.fspath(options.pfile).removesuffix('.pgen')}.pgen"
    return est_bed, full_bed if options.bgen is None else options.bgen


def _read_list(path: AnyPath, tables: list[Path]) -> GenotypesLike:
    """Read a list of filesets, and add it to the files that were read."""
    filesets: GenotypesLike = read_fileset_list(path)
    tables.append(Path(path))
    return filesets
