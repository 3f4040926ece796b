"""Genotypes of --vcf and --zarr: converted once to a fileset beside the results, until the run is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lfmm2.errors import MalformedInputError, UsageError
from lfmm2.formats import Conversion, convert, find_conversion, is_store, remove_conversion
from lfmm2.pipeline.run_options import RunOptions
from lfmm2.process import Progress

# What follows the prefix of the results in the names of the fileset.
_ENDING = ".genotypes"


@dataclass(frozen=True)
class ConvertedGenotypes:
    """A fileset that was made for a run.

    Attributes
    ----------
    conversion : Conversion
    prefix : str
        Prefix of its files.
    to_keep : bool
        False if the fileset is removed when the results are complete.
    is_found : bool
        True if it is that of an earlier run.
    dosage : {None, "DS", "GP"}
        Field of the dosages that were converted; None for hard calls.
    option : str
        Option that names the source.
    """

    conversion: Conversion
    prefix: str
    to_keep: bool
    is_found: bool
    dosage: str | None = None
    option: str = "--vcf"

    def summary(self) -> dict[str, str]:
        """Return names and values of the lines that the command prints."""
        how = "found, as an earlier run has converted it" if self.is_found else "converted"
        stays = "kept" if self.to_keep else "removed when the results are complete; --keep-bed keeps it"
        return self.conversion.summary() | {"converted fileset": f"{self.conversion.bed}, {how}, {stays}"}

    def finish(self) -> None:
        """Remove the fileset, unless it is to be kept."""
        if not self.to_keep:
            remove_conversion(self.prefix, self.dosage)


def convert_genotypes(options: RunOptions, progress: Progress) -> ConvertedGenotypes:
    """Convert the file of --vcf or --zarr, or find the fileset that an earlier run has made of the same file.

    The fileset has the time of change of its source, so that an interrupted run is resumed although the fileset had to
    be made again.

    Raises
    ------
    UsageError
        If results stay in memory, so that there is no place for the fileset.
    LfmmError
        Another of its children, as `lfmm2.convert` raises them.
    """
    snps, out = options.snps, options.output.prefix
    source = snps.vcf if snps.zarr is None else snps.zarr
    if source is None or out is None:
        raise UsageError(
            "vcf and zarr are converted to files beside those of out; give out, or convert it with lfmm2.convert"
        )
    prefix = out + _ENDING
    if snps.zarr is not None and not is_store(Path(source)):
        fact = f"{source}: is no VCF Zarr, which is a folder with .zgroup or zarr.json, a .zip of one, or a URL"
        raise MalformedInputError(f"{fact}; give another file with --vcf, a .bed with --bed")
    found = find_conversion(source, prefix, snps.vcf_dosage)
    overwrite = options.output.overwrite
    made = found or convert(source, prefix, vcf_dosage=snps.vcf_dosage, overwrite=overwrite, progress=progress)
    if Path(source).exists():  # A store behind a URL has no time.
        time = Path(source).stat().st_mtime_ns
        for path in (made.bed, made.bim, made.fam):
            if path.stat().st_mtime_ns != time:
                os.utime(path, ns=(time, time))
    return ConvertedGenotypes(
        made, prefix, snps.keep_bed, found is not None, snps.vcf_dosage, "--vcf" if snps.zarr is None else "--zarr"
    )


@contextlib.contextmanager
def told_on_error(converted: ConvertedGenotypes | None) -> Iterator[None]:
    """Add to an error of the block that the fileset stays, if there is one."""
    try:
        yield
    except BaseException as error:
        if converted is not None:
            error.add_note(f"{converted.conversion.bed}: stays for the next run with this --out and {converted.option}")
        raise
