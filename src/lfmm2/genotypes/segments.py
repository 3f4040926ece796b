"""Sums over SNPs that have the same bits however the work is cut into ranges.

A *segment* is `SEGMENT_SNPS` consecutive SNPs of a matrix, counted from its first SNP; the last may be shorter. Each
segment is summed from zero, in the fixed order of the pass. Sums of segments are added in a binary tree whose shape
depends on their number alone: node (level, index) is the sum over the segments from index · 2^level to before
(index + 1) · 2^level, and is the sum of its two halves. A half without segments is left out.

A pass over a range of whole segments returns the largest nodes that lie in the range, at most two of a level. Nodes of
several ranges can be merged in any order, because a node is always the sum of the same two halves. A pass from the
first SNP on holds at most one node of a level, like the digits of a binary counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lfmm2._typing import Arrays, Floats
from lfmm2.errors import UsageError

# SNPs of a segment. Each segment costs one addition of n_samples × n_columns numbers, so shorter ones are slower; with
# longer ones fewer machines can share the work. Another number changes the last digits of all factors estimated from
# more SNPs than this.
SEGMENT_SNPS = 1 << 16


@dataclass(frozen=True)
class SnpRange:
    """SNPs of a matrix from `first` to before `end`, counted from 0; to the last SNP if `end` is None."""

    first: int = 0
    end: int | None = None

    def within(self, n_snps: int, unit: int) -> range:
        """Return the SNPs as a `range`.

        Raises
        ------
        UsageError
            If the range is not within n_snps SNPs, or an end is neither a multiple of `unit` nor the end of the matrix.
        """
        end = n_snps if self.end is None else self.end
        if not 0 <= self.first <= end <= n_snps or any(at % unit and at != n_snps for at in (self.first, end)):
            raise UsageError(
                f"SNPs {self.first} to {end} of {n_snps} are no range of whole units; begin and end at multiples of "
                f"{unit}, or at the end of the matrix"
            )
        return range(self.first, end)


ALL_SNPS = SnpRange()


def segment_snps() -> int:
    """Return the SNPs of a segment."""
    return SEGMENT_SNPS


def n_segments(n_snps: int) -> int:
    """Return the number of segments of a matrix, at least one."""
    return max(-(-n_snps // SEGMENT_SNPS), 1)


def n_held_sums(snps: range, n_snps: int) -> int:
    """Return the largest number of sums that a pass over whole segments holds, with that of the unfinished segment."""
    n = n_segments(len(snps))
    levels = (n - 1).bit_length() if snps.start == 0 else 2 * n.bit_length()
    # Two halves and their sum exist at the same time.
    return 1 + levels + (n_segments(n_snps) > 1)


class SegmentSums:
    """Sums over some segments of a matrix, as nodes of the tree.

    Parameters
    ----------
    n_segments : int
        Number of segments of the whole matrix.
    """

    def __init__(self, n_segments: int) -> None:
        self.n_segments = n_segments
        self._nodes: dict[tuple[int, int], Floats] = {}

    def add(self, segment: int, total: Floats) -> None:
        """Add the sum over one segment; the array must not be changed afterwards."""
        self._join(0, segment, total)

    def merge(self, other: SegmentSums) -> None:
        """Add the sums over the segments of another range; `other` is not changed."""
        for level, index, total in other.nodes():
            self._join(level, index, total)

    def nodes(self) -> list[tuple[int, int, Floats]]:
        """Return level, index and sum of each node, in this order."""
        return [(level, index, total) for (level, index), total in sorted(self._nodes.items())]

    def total(self) -> Floats:
        """Return the sum over the whole matrix; raise ValueError if segments are absent."""
        if len(self._nodes) != 1 or next(iter(self._nodes)) != ((self.n_segments - 1).bit_length(), 0):
            raise ValueError(f"{len(self._nodes)} sums do not cover all {self.n_segments} segments once")
        return next(iter(self._nodes.values()))

    def arrays(self) -> Arrays:
        """Return the sums under the names "sum-<level>-<index>"."""
        return {f"sum-{level}-{index}": total for level, index, total in self.nodes()}

    @classmethod
    def from_arrays(cls, n_segments: int, arrays: Arrays) -> SegmentSums:
        """Return the sums of which `arrays` has returned this dict; other names in it are ignored."""
        sums = cls(n_segments)
        for name, total in arrays.items():
            if name.startswith("sum-"):
                level, index = map(int, name.split("-")[1:])
                sums._join(level, index, total)
        return sums

    def _join(self, level: int, index: int, total: Floats) -> None:
        """Add a node, and join it with its other half, level by level, while that half is known or has no segments."""
        while (1 << level) < self.n_segments:
            other = self._nodes.pop((level, index ^ 1), None)
            if other is not None:
                total = other + total
            elif (index ^ 1) << level < self.n_segments:
                break
            level, index = level + 1, index // 2
        self._nodes[level, index] = total


def names_of_sums(snps: range, n_snps: int) -> set[str]:
    """Return the names of the arrays that a pass over whole segments offers to its keeper when it has added `snps`.

    The pass is one over a matrix of `n_snps` SNPs, and began at the first of `snps`.
    """
    sums = SegmentSums(n_segments(n_snps))
    is_whole = snps.stop == n_snps or snps.stop % SEGMENT_SNPS == 0
    end = n_segments(n_snps) if snps.stop == n_snps else snps.stop // SEGMENT_SNPS
    for segment in range(snps.start // SEGMENT_SNPS, end):
        sums.add(segment, np.empty(0))
    return {*sums.arrays(), *([] if is_whole else ["segment"])}


class PassKeeper:
    """Store of the sums of an unfinished pass, with which an interrupted pass can go on; this one keeps nothing."""

    def begin(self) -> tuple[int, Arrays] | None:
        """Return the next SNP and the sums of an interrupted pass, which the caller may change; None without one."""
        return None

    def offer(self, next_snp: int, arrays: Arrays) -> None:
        """Keep the sums over the SNPs before `next_snp` if it is time to; the arrays change with the next block."""


NO_KEEPER = PassKeeper()


class SegmentedPass:
    """Sums of one pass over a range of whole segments, added block by block.

    Parameters
    ----------
    snps : SnpRange
    n_snps : int
        SNPs of the whole matrix.
    make_zeros : callable
        Returns the array, filled with 0, to which a segment is added.
    n_columns : int
        Columns of this array that are wanted; the others are padding.
    keeper : PassKeeper

    Attributes
    ----------
    sums : SegmentSums
        Sums over the segments that are complete.
    snps : range
        SNPs that are still to be added when the pass begins.
    """

    def __init__(
        self, snps: SnpRange, n_snps: int, make_zeros: Callable[[], Floats], n_columns: int, keeper: PassKeeper
    ) -> None:
        self.sums = SegmentSums(n_segments(n_snps))
        self.snps = snps.within(n_snps, SEGMENT_SNPS)
        self._make_zeros = make_zeros
        self._n_columns = n_columns
        self._keeper = keeper
        # The sum over the unfinished segment; None between two segments.
        self._segment: Floats | None = None
        kept = keeper.begin()
        if kept is not None:
            next_snp, arrays = kept
            self.snps = range(next_snp, self.snps.stop)
            self._segment = arrays.pop("segment", None)
            self.sums = SegmentSums.from_arrays(self.sums.n_segments, arrays)
        elif n_snps == 0:
            self._finish(0, make_zeros())

    def parts(self, first_snp: int, n_snps: int) -> Iterator[tuple[slice, Floats]]:
        """Cut a block at the ends of segments; yield rows of the block, and the array to which they must be added."""
        snp, end = first_snp, first_snp + n_snps
        while snp < end:
            segment = snp // SEGMENT_SNPS
            segment_end = min((segment + 1) * SEGMENT_SNPS, self.snps.stop)
            stop = min(end, segment_end)
            if self._segment is None:
                self._segment = self._make_zeros()
            yield slice(snp - first_snp, stop - first_snp), self._segment
            if stop == segment_end:
                self._finish(segment, self._segment)
            snp = stop
        begun = {} if self._segment is None else {"segment": self._segment}
        self._keeper.offer(end, begun | self.sums.arrays())

    def _finish(self, segment: int, total: Floats) -> None:
        """Add the sum over a complete segment to the others."""
        self._segment = None
        self.sums.add(segment, total[:, : self._n_columns])


def begin_gram(
    snps: range, before: Floats | None, make_zeros: Callable[[], Floats], keeper: PassKeeper
) -> tuple[range, Floats]:
    """Return the SNPs that a pass for a Gram matrix still has to add, and the matrix to which it adds them.

    The matrix of n_samples² numbers is held only once, so there are no nodes: all blocks are added to it in order.
    """
    kept = keeper.begin()
    if kept is None:
        return snps, make_zeros() if before is None else before
    next_snp, arrays = kept
    return range(next_snp, snps.stop), arrays["sum"]
