"""The command `convert`."""

from __future__ import annotations

from typing import Any

import click

from lfmm2.cli.option_command import Example, OptionCommand, adapt_option
from lfmm2.cli.result_commands import NAME
from lfmm2.cli.terminal import say
from lfmm2.pipeline.options import NUMBER, PATH, Option

_CONVERT = (
    adapt_option("out", kind=PATH, help="Prefix of the fileset: <out>.bed, .bim and .fam."),
    Option("samples", "--samples", PATH,
           help="List of sample IDs in the order of the genotypes, for .lfmm, .geno and .npy."),
    Option("missing_genotype", "--missing-genotype", NUMBER,
           help="A number of a .npy that means missing, such as 9; other formats have a code of their own."),
    adapt_option("vcf_dosage", help="Dosages of a VCF in place of hard calls: DS, or those that GP gives."),
    adapt_option("overwrite", help="Replace files that lfmm2 wrote before."),
)  # fmt: skip


_EXAMPLES = (
    Example("lfmm2 convert plants.vcf.gz --out plants", "The hard calls of a VCF"),
    Example("lfmm2 convert plants.vcf.gz --vcf-dosage DS --out plants", "The dosages of an imputed VCF"),
    Example("lfmm2 convert plants.geno --samples ids.txt --out plants", "A file of LEA, with the IDs of its samples"),
)  # fmt: skip


@click.command(cls=OptionCommand, options=_CONVERT, examples=_EXAMPLES)
@click.argument("file", metavar="FILE", type=NAME)
def convert(file: str, **arguments: Any) -> None:
    """Convert genotypes to a PLINK fileset.

    FILE is a VCF, BCF or VCF Zarr, .lfmm, .geno, .012, .raw, .traw, .ped or .npy; its format is recognised by its
    content. VCF gives the hard calls of its biallelic SNPs; what is left out is counted. With --vcf-dosage the fileset
    has a .dosages in place of the .bed, which --bed takes too.
    """
    from lfmm2._words import aligned
    from lfmm2.formats import convert as convert_file

    made = convert_file(file, **arguments, progress=True)
    say(aligned(made.summary() | {f"{path.suffix[1:]} file": str(path) for path in (made.bed, made.bim, made.fam)}))
