"""The memory of a pass over genotypes, told before it runs and allocated from the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Footprint:
    """Bytes that a piece of work holds at its peak; footprints of work that is done at the same time are added.

    Attributes
    ----------
    held : int
        Whatever the size of a block.
    per_snp : int
        For each SNP of a block.
    group_snps : int
        SNPs by which a block grows.
    """

    held: int = 0
    per_snp: int = 0
    group_snps: int = 1

    def __add__(self, other: Footprint) -> Footprint:
        """Return the footprint of both."""
        return Footprint(self.held + other.held, self.per_snp + other.per_snp, max(self.group_snps, other.group_snps))

    def of_block(self, n_snps: int) -> int:
        """Return the bytes with blocks of so many SNPs."""
        return self.held + n_snps * self.per_snp

    @property
    def least(self) -> int:
        """Bytes with the smallest block."""
        return self.of_block(self.group_snps)


NOTHING_HELD = Footprint()


def doubles(*shapes: tuple[int, ...]) -> int:
    """Return the bytes of arrays of float64 with these shapes."""
    return 8 * sum(prod(shape) for shape in shapes)
