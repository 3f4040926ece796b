"""The numbers of factors over which the genomic inflation factor (GIF) of a variable is flat."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Range of the GIF within a flat stretch, as a share of its lowest value, where its standard error is not known. The
# standard error is 2 to 10 % with usual numbers of independent SNPs, but values of neighbouring K share most of it.
# A smaller share breaks a stretch at chance, a larger one takes a slow fall for flat.
FLAT_SHARE = 0.05
# Fewest numbers of factors of a stretch, and the part of all compared ones that it must hold: two or three values in a
# row may agree by chance.
LEAST_NUMBERS = 3
LEAST_PART = 0.25


@dataclass(frozen=True)
class FlatStretch:
    """Numbers of factors, from the first to the last, over which the GIF of a variable is flat, and its range there."""

    first: int
    last: int
    lowest: float
    highest: float


def find_flat_stretch(gif_by_k: dict[int, float], standard_error: float | None = None) -> FlatStretch | None:
    """Find the longest stretch of compared numbers of factors over which the GIF stays within its error.

    Parameters
    ----------
    gif_by_k : dict of int to float
        GIF with each number of factors; NaN where there is none.
    standard_error : float, optional
        Standard error of the GIF: within a stretch it varies by two of them at most, without it by 5 % at most.

    Returns
    -------
    FlatStretch or None
        The first of the longest ones; None if none holds three numbers and a quarter of all.
    """
    ks = sorted(gif_by_k)
    best: FlatStretch | None = None
    longest = max(LEAST_NUMBERS, math.ceil(LEAST_PART * len(ks))) - 1
    for start in range(len(ks)):
        low = high = gif_by_k[ks[start]]
        for stop in range(start, len(ks)):
            low, high = min(low, gif_by_k[ks[stop]]), max(high, gif_by_k[ks[stop]])
            width = FLAT_SHARE * low if standard_error is None else 2 * standard_error
            if not (math.isfinite(gif_by_k[ks[stop]]) and high - low <= width):
                break
            if stop - start + 1 > longest:
                longest = stop - start + 1
                best = FlatStretch(ks[start], ks[stop], low, high)
    return best
