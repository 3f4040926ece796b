"""The memory of a pass over genotypes: the numbers by which it is planned and by which it is allocated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Footprint:
    """Bytes that a piece of work holds at its peak; footprints of work that is done at the same time are added.

    Attributes
    ----------
    held : int
        Bytes that do not depend on the size of a block.
    per_snp : int
        Bytes for each SNP of a block.
    group_snps : int
        SNPs of a group: a block is a whole number of groups.
    """

    held: int = 0
    per_snp: int = 0
    group_snps: int = 1

    def __add__(self, other: Footprint) -> Footprint:
        """Return the footprint of both pieces of work at the same time."""
        return Footprint(self.held + other.held, self.per_snp + other.per_snp, max(self.group_snps, other.group_snps))

    def of_block(self, n_snps: int) -> int:
        """Return the bytes that are held with blocks of n_snps SNPs."""
        return self.held + n_snps * self.per_snp

    @property
    def least(self) -> int:
        """Return the bytes that are held with the smallest block, one group."""
        return self.of_block(self.group_snps)


def largest(footprints: Iterable[Footprint]) -> Footprint:
    """Return a footprint that is as large as any of some, for work of which only one is done."""
    several = list(footprints)
    return Footprint(*(max(getattr(f, name) for f in several) for name in ("held", "per_snp", "group_snps")))


NOTHING_HELD = Footprint()


def doubles(*shapes: tuple[int, ...]) -> int:
    """Return the bytes of float64 arrays of these shapes."""
    return 8 * sum(prod(shape) for shape in shapes)
