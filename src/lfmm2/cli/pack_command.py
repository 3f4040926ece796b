"""The command `pack`."""

from __future__ import annotations

from typing import Any

import click

from lfmm2.cli.option_command import Example, OptionCommand, adapt_option
from lfmm2.cli.result_commands import NAME
from lfmm2.cli.terminal import say
from lfmm2.pipeline.options import PATH, WHOLE, Option, Range

_PACK = (
    Option("out", "--out", PATH,
           help="Name that ends in .bed.zst, or the prefix before it; beside the .bed by default."),
    Option("level", "--level", WHOLE, default=3, range=Range(1, 19),
           help="Level of compression of zstd; a higher one takes longer and gains little."),
    adapt_option("n_threads", help="Threads that compress; all processors that the process may use by default."),
    adapt_option("overwrite", help="Replace files that lfmm2 wrote before."),
)  # fmt: skip


_PACK_EXAMPLES = (
    Example("lfmm2 pack plants --out archive/plants", "A copy that takes less room"),
    Example("lfmm2 pack plants.bed --level 9 --threads 8", "Beside the .bed, a little smaller"),
)


@click.command(cls=OptionCommand, options=_PACK, examples=_PACK_EXAMPLES)
@click.argument("file", metavar="FILE", type=NAME)
def pack(file: str, **arguments: Any) -> None:
    """Compress the .bed of a fileset with zstd.

    FILE is the .bed or the prefix of the fileset. The .bed.zst is taken wherever a .bed is, and gives the same results;
    it pays where the disk or network is slower than unpacking. zstd -d gives back the .bed.
    """
    from lfmm2._words import aligned
    from lfmm2.genotypes import pack as pack_file

    say(aligned(pack_file(file, **arguments, progress=True).summary()))
