"""Missing calls of each sample, counted while all SNPs are tested, and the samples that have too few calls."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import numpy as np

from lfmm2._typing import Floats, Ints
from lfmm2._words import counted, shortened, some_of, with_spaces
from lfmm2.genotypes import (
    ALL_SNPS,
    RESTART_SNPS,
    CrossProducts,
    FactorFill,
    GenotypeMatrix,
    SnpRange,
)
from lfmm2.results import MissingCallFacts

# Share of missing calls above which a sample is named in a warning: most of its genotypes are then means of SNPs. With
# a smaller number, data of low coverage that are sound would be warned of.
MOST_MISSING = 0.5
# Samples that a warning names; the others are counted.
_MOST_NAMED = 5
# Size of the factors of a sample, relative to the root mean square of all, up to which it is 0 but for rounding: the
# sample is at the mean of every SNP. A sample with calls lies far above.
_NO_FACTORS = 1e-10
# Bytes for each sample: the counts, those at the last SNP where a pass can begin again, and both as text.
TALLY_BYTES = 64


class MissingTally:
    """Missing calls of each sample over the SNPs of a pass that have been seen so far.

    Parameters
    ----------
    n_samples : int

    Attributes
    ----------
    counts : ndarray of shape (n_samples,), int64, or None
        None if the genotypes do not count missing calls by sample.
    n_snps : int
        SNPs seen.
    """

    def __init__(self, n_samples: int) -> None:
        self.counts: Ints | None = np.zeros(n_samples, np.int64)
        self.n_snps = 0
        # Number of SNPs seen, and counts, where a resumed pass can begin.
        self._restart = 0, np.zeros(n_samples, np.int64)

    def add(self, block: CrossProducts) -> None:
        """Add the next block of SNPs."""
        b = len(block.n_called)
        first, self.n_snps = self.n_snps, self.n_snps + b
        if self.counts is None or block.count_missing is None:
            self.counts = None
            return
        cut = self.n_snps // RESTART_SNPS * RESTART_SNPS - first
        if cut >= 0:
            self.counts += block.count_missing(slice(0, cut))
            self._restart = first + cut, self.counts.copy()
        self.counts += block.count_missing(slice(max(cut, 0), b))

    def take(self, counts: Ints | None, n_snps: int) -> None:
        """Add the counts over the next SNPs, at whose end a pass can begin again; None if they are not known."""
        self.n_snps += n_snps
        self.counts = None if self.counts is None or counts is None else self.counts + counts
        if self.counts is not None:
            self._restart = self.n_snps, self.counts.copy()

    def write(self, n_snps: int) -> str | None:
        """Return the counts over the first SNPs as text for a note; None if they are not known for so many SNPs."""
        if self.counts is None or n_snps not in (self.n_snps, self._restart[0]):
            return None
        counts = self.counts if n_snps == self.n_snps else self._restart[1]
        return base64.b64encode(counts.astype("<i8").tobytes()).decode()

    def restore(self, text: str | None, n_snps: int) -> None:
        """Take over the counts over the first SNPs that `write` has written; None stands for counts not known."""
        stored = base64.b64decode(text or "")
        counts = np.frombuffer(stored[: len(stored) // 8 * 8], "<i8").astype(np.int64)
        self.n_snps = n_snps
        self.counts = counts if self.counts is not None and len(counts) == len(self.counts) else None
        self._restart = n_snps, counts.copy()


class CountedMatrix:
    """A matrix whose blocks of cross-products are added to a tally on their way; all else is that of `matrix`."""

    def __init__(self, matrix: GenotypeMatrix, tally: MissingTally) -> None:
        self._matrix, self._tally = matrix, tally
        self.n_samples, self.n_snps = matrix.n_samples, matrix.n_snps
        self.footprint_of_gram_product = matrix.footprint_of_gram_product
        self.footprint_of_gram = matrix.footprint_of_gram
        self.footprint_of_cross_products = matrix.footprint_of_cross_products
        self.gram_product = matrix.gram_product
        self.gram = matrix.gram

    def cross_products(
        self, W: Floats, label: str = "tests", snps: SnpRange = ALL_SNPS, fill: FactorFill | None = None
    ) -> Iterator[CrossProducts]:
        """Yield the blocks of the matrix, each after its missing calls were counted."""
        for block in self._matrix.cross_products(W, label, snps, fill):
            self._tally.add(block)
            yield block


def describe_missing_calls(tally: MissingTally, iids: Sequence[str]) -> MissingCallFacts | None:
    """Return the missing rates of the samples in short; None if they are not known."""
    if tally.counts is None or tally.n_snps == 0:
        return None
    rates = tally.counts / tally.n_snps
    highest = int(np.argmax(rates))
    few = np.flatnonzero(rates > MOST_MISSING)
    few = few[np.argsort(-rates[few], kind="stable")]
    return MissingCallFacts(
        tally.n_snps, float(np.median(rates)), float(rates[highest]), iids[highest],
        [iids[row] for row in few.tolist()], rates[few].tolist(),
    )  # fmt: skip


def empty_samples_note(U: Floats, iids: Sequence[str], noun: str = "SNP") -> str:
    """Return a warning of samples whose factors are all 0, because they have no call in the SNPs of the factors.

    Û is Y times a matrix, and the row of Y of such a sample is 0. The text is empty if there is no such sample.

    Parameters
    ----------
    U : ndarray of shape (n_samples, K), float64
    iids : sequence of str
    noun : str
        What a column of the genotypes is called.
    """
    empty = np.flatnonzero(np.abs(U).max(axis=1) <= _NO_FACTORS * np.sqrt(np.mean(U**2))).tolist()
    if not empty:
        return ""
    verb = "has" if len(empty) == 1 else "have"
    return (
        f"{with_spaces(len(empty))} of {counted(len(U), 'sample')} {verb} no call in the {noun}s of the factors "
        f"({some_of([iids[row] for row in empty])}), so that all of their factors are 0; leave them out with --mind or "
        "--remove"
    )


def missing_calls_note(facts: MissingCallFacts | None, n_samples: int, noun: str = "SNP") -> str:
    """Return a warning of samples without calls, or with most calls missing; empty if there are none."""
    if facts is None or not facts.samples:
        return ""
    named = [
        f"{shortened(iid)} ({'no call at all' if rate == 1 else f'{rate:.0%} missing'})"
        for iid, rate in zip(facts.samples[:_MOST_NAMED], facts.rates[:_MOST_NAMED], strict=True)
    ]
    more = ", …" if len(facts.samples) > len(named) else ""
    verb = "lacks" if len(facts.samples) == 1 else "lack"
    remedy = f"leave out such samples with --mind {MOST_MISSING}, as in PLINK"
    if facts.median > MOST_MISSING:
        # With low coverage this is so in most samples, and --mind would leave few.
        remedy = f"drop {noun}s with few calls first, with --geno, then such samples, with --mind"
    return (
        f"{with_spaces(len(facts.samples))} of {counted(n_samples, 'sample')} {verb} more than half of the calls: "
        f"{', '.join(named)}{more}; missing calls are set to the mean of the {noun} and tell nothing, but the sample "
        f"counts as others do; {remedy}"
    )
