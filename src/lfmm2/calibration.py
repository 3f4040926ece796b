"""Genomic inflation factor and Benjamini–Hochberg q-values, in memory and streamed.

Both need order statistics of all p tests of a variable, and p may be 10⁹. The streamed versions take them in
blocks, hold one histogram (half a megabyte) and the values of one narrow range of |t| at a time, and return
the bits of the in-memory versions. NaN, a SNP without a test, is counted nowhere and stays NaN.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfmm2.errors import ReadError, UsageError, WriteError

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]
_Tail = Callable[[Float64Array], Float64Array]

#: Median of χ² with one degree of freedom, 2·erfinv(½)²; the rounded 0.456 in use elsewhere is 0.23 % off.
CHI2_1_MEDIAN = 0.454936423119572752
# standard error of a GIF of m independent tests, times √m
_GIF_ERROR = 2.33

# Histogram bins: the exponent and the leading 10 mantissa bits of a double, for magnitudes from 2⁻³² to 2³².
_MANTISSA_BITS = 10
_SHIFT = 52 - _MANTISSA_BITS
_FIRST_KEY = (1023 - 32) << _MANTISSA_BITS
_LAST_KEY = (1023 + 32) << _MANTISSA_BITS
_N_BINS = _LAST_KEY - _FIRST_KEY + 2

_CHANGED = (
    "a pass over the test statistics met others than the pass before: another process has changed their file; "
    "go on with --resume, or run again"
)

_MAX_BUCKETS = 200
# Values per bucket (16 KiB) in one write, on average, and read ahead: 200 buckets hold 3 MB of each.
_BUFFER = 2048


class MagnitudeHistogram:
    """Counts of |value| in bins so narrow that exact order statistics need the values of one bin only.

    A bin is the exponent and the leading ten mantissa bits of the double: relative width below 10⁻³, and
    ascending bins hold ascending magnitudes. All below 2⁻³² share the first bin and all from 2³² on the last:
    65 538 int64 counts. Sums of integers, they are the same for any cut into blocks. ``a + b`` merges two.
    """

    def __init__(self) -> None:
        self.counts: Int64Array = np.zeros(_N_BINS, dtype=np.int64)

    @property
    def n(self) -> int:
        """Number of values counted, NaN excluded."""
        return int(self.counts.sum())

    def add(self, values: ArrayLike) -> None:
        """Count the magnitudes of `values`, an array of any shape; NaN is ignored."""
        self.counts += np.bincount(self.bin_of(_magnitudes(values)), minlength=_N_BINS)

    def __add__(self, other: MagnitudeHistogram) -> MagnitudeHistogram:
        total = MagnitudeHistogram()
        total.counts = self.counts + other.counts
        return total

    def bin_of(self, values: ArrayLike) -> Int64Array:
        """Bin of each |value|; `values` must not hold NaN."""
        magnitudes = np.abs(np.asarray(values, dtype=np.float64))
        # The bit pattern of a non-negative double, read as an integer, ascends with the double.
        keys = magnitudes.view(np.int64) >> _SHIFT
        return np.asarray(np.clip(keys - (_FIRST_KEY - 1), 0, _N_BINS - 1), dtype=np.int64)

    def bin_holding(self, rank: int) -> int:
        """Bin of the value with 0-based `rank` in ascending magnitude; UsageError if there is none."""
        if not 0 <= rank < self.n:
            raise UsageError(f"rank {rank} asked of {self.n} values; ranks run from 0 to {self.n - 1}")
        return int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))

    def counts_above(self) -> Int64Array:
        """Per bin, the number of values in higher bins: shape (n_bins,), int64."""
        return np.asarray(self.n - np.cumsum(self.counts), dtype=np.int64)


def streamed_median(histogram: MagnitudeHistogram, blocks: Iterable[ArrayLike]) -> float:
    """Exact median of |value|, holding the values of the middle bin only: 3·10⁻⁴ of all for a normal.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Of all the values in `blocks`.
    blocks : iterable of array_like, float64
        The same values again, in any order and cut, read once; others raise InconsistentInputError.

    Returns
    -------
    float
        ``np.nanmedian(np.abs(values))`` to the last bit (the mean of two for even n); NaN without values.
    """
    low, high = _middle_pair(histogram, blocks)
    return (low + high) / 2.0


def genomic_inflation(t: ArrayLike) -> float:
    """Genomic inflation factor, median(t²) / median(χ²₁).

    Parameters
    ----------
    t : array_like, float64
        Test statistics, any shape; NaN is ignored.

    Returns
    -------
    float
        Raw: below 1 it stays below 1. NaN if there is no statistic.

    References
    ----------
    Devlin and Roeder 1999 (Biometrics 55:997).

    Examples
    --------
    >>> round(genomic_inflation([-0.5, 0.7, 3.0]), 4)
    1.0771
    """
    histogram = MagnitudeHistogram()
    histogram.add(t)
    return genomic_inflation_streamed(histogram, [t])


def genomic_inflation_streamed(histogram: MagnitudeHistogram, blocks: Iterable[ArrayLike]) -> float:
    """`genomic_inflation` over blocks, to the same bits; arguments and errors as in `streamed_median`."""
    low, high = _middle_pair(histogram, blocks)
    # The mean of the squares, as R's median(t^2) has it, and not the square of the mean.
    return (low * low + high * high) / 2.0 / CHI2_1_MEDIAN


def calibration_warning(gif: float, name: str, n_tests: int) -> str | None:
    """What a genomic inflation factor clearly below 1, or above 2, usually means; None in between.

    A calibrated run lands below 1 half of the time. The standard error of the median of m independent χ²₁, over its
    expectation, is 1 / (2 f(x̃) x̃ √m) = 2.33 / √m with density f at the median x̃; below 1 by three of them is odd.
    """
    fact = f"{name}: genomic inflation factor {gif:.3f} is"
    if gif < 1.0 - 3 * _GIF_ERROR / max(n_tests, 1) ** 0.5:
        return (
            f"{fact} below 1, so calibration makes p-values smaller; usually K is too large for the number "
            "of samples, or the factors absorb the variable: compare with a smaller K"
        )
    if gif > 2.0:
        return (
            f"{fact} above 2; usually K is too small, or the variable is confounded with population "
            "structure: compare with a larger K, and look at the histogram of p-values"
        )
    return None


def benjamini_hochberg(p: ArrayLike) -> Float64Array:
    """Benjamini–Hochberg q-values (adjusted p-values).

        q_i = min(1, min over p_j ≥ p_i of p_j · m / rank_j),   rank_j = number of p ≤ p_j

    Parameters
    ----------
    p : array_like, float64
        P-values, any shape. NaN stays NaN and does not count in m.

    Returns
    -------
    ndarray of the shape of `p`, float64
        Equal p have equal q, and q never falls as p rises.

    References
    ----------
    Benjamini and Hochberg 1995 (J. R. Stat. Soc. B 57:289); R's ``p.adjust(p, "BH")`` gives the same numbers.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, float("nan")]).round(6).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    q = np.array(p, dtype=np.float64)
    tested = ~np.isnan(q)
    values = q[tested]
    descending = np.argsort(values)[::-1]
    values[descending] = _step_up(values[descending], values.size, values.size, 1.0)
    q[tested] = values
    return q


class StreamedQValues:
    """Benjamini–Hochberg q-values in genome order, from |t|, without an array of all SNPs.

    The range of |t| is cut into buckets of about `max_in_memory` values. `add` sends each value to its
    bucket, `finish` turns bucket after bucket into q, `take` deals the q out again in the order of `add`.

    The q are the bits of ``benjamini_hochberg(p_of(t))`` wherever p as computed falls with |t|. Ranks follow
    |t|, not p; so where two |t| are so near that rounding reverses their p, q still never rises with |t|.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Of all the |t| to come.
    p_of : callable, ndarray of float64 → ndarray of float64
        P-values of |t|, elementwise, not increasing.
    folder : path
        For one temporary file of 8 bytes per value, without a name; unused if one bucket holds all values.
    max_in_memory : int
        Values of a bucket; `finish` needs some 40 bytes for each. Raised where more than 200 buckets would
        result, and exceeded where one bin of the histogram (ties, say) holds more.

    Raises
    ------
    InconsistentInputError, WriteError, ReadError
        From `add`, `finish` or `take`: the values are not those counted, or the temporary file fails.

    Examples
    --------
    >>> from lfmm2.distributions import chi2_1_p
    >>> histogram = MagnitudeHistogram()
    >>> histogram.add([0.1, -3.0, 2.5])
    >>> with StreamedQValues(histogram, chi2_1_p, ".") as q_values:
    ...     q_values.add([0.1, -3.0, 2.5])
    ...     q_values.finish()
    ...     q_values.take([0.1, -3.0, 2.5]).round(4).tolist()
    [0.9203, 0.0081, 0.0186]
    """

    def __init__(
        self, histogram: MagnitudeHistogram, p_of: _Tail, folder: str | Path, max_in_memory: int = 4_000_000
    ) -> None:
        if max_in_memory < 1:
            raise UsageError(f"max_in_memory = {max_in_memory}; it must be at least 1 value")
        self._histogram, self._p_of, self._m = histogram, p_of, histogram.n
        size = max(max_in_memory, -(-self._m // _MAX_BUCKETS))
        self.n_buckets = max(1, -(-self._m // size))
        below = self._m - histogram.counts_above() - histogram.counts
        self._bucket_of_bin = (below // size).astype(np.uint8)
        lengths = np.bincount(below // size, weights=histogram.counts, minlength=self.n_buckets)
        self._file = _BucketFile(lengths.astype(np.int64), None if self.n_buckets == 1 else Path(folder))
        self._waiting = [np.empty(0)]

    def __enter__(self) -> StreamedQValues:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the temporary file or the memory; harmless when repeated."""
        self._file.close()

    def add(self, t: ArrayLike) -> None:
        """Pass 1: the next statistics in genome order; any shape, signs are dropped and NaN is ignored."""
        self._waiting.append(_magnitudes(t))
        if sum(part.size for part in self._waiting) >= _BUFFER * self.n_buckets:
            self._distribute()

    def finish(self) -> None:
        """Between the passes: replace the values of each bucket by their q, from the largest p down."""
        self._distribute()
        self._file.rewind()
        rank = self._m
        smallest = 1.0
        for bucket in range(self.n_buckets):
            values = self._file.values_of(bucket)
            # Not a stable sort: which of several equal |t| comes first does not change their q.
            ascending = np.argsort(values)
            q = _step_up(self._p_of(values[ascending]), rank, self._m, smallest)
            values[ascending] = q
            self._file.replace(bucket, values)
            rank -= values.size
            smallest = float(q[-1]) if q.size else smallest

    def take(self, t: ArrayLike) -> Float64Array:
        """Pass 2: q, in the shape of `t`, of the statistics given again in order, in blocks of any size."""
        q = np.array(t, dtype=np.float64)
        values = _magnitudes(q)
        for bucket, places in self._by_bucket(values):
            values[places] = self._file.next_of(bucket, places.size)
        q[~np.isnan(q)] = values
        return q

    def _distribute(self) -> None:
        magnitudes = np.concatenate(self._waiting)
        self._waiting = [np.empty(0)]
        for bucket, places in self._by_bucket(magnitudes):
            self._file.append(bucket, magnitudes[places])

    def _by_bucket(self, magnitudes: Float64Array) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Buckets met in a block, each with the places of its values in their order."""
        buckets = self._bucket_of_bin[self._histogram.bin_of(magnitudes)]
        places = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=self.n_buckets))
        for bucket in np.unique(buckets).tolist():
            yield bucket, places[ends[bucket - 1] if bucket else 0 : ends[bucket]]


class _BucketFile:
    """Values per bucket, appended, replaced, then read in order.

    Buckets are regions of one nameless temporary file (200 files would exceed limits), or of memory.
    """

    def __init__(self, lengths: Int64Array, folder: Path | None) -> None:
        self._lengths = lengths
        self._starts = np.cumsum(lengths) - lengths
        self._passed = np.zeros_like(lengths)
        self._ahead = [np.empty(0)] * lengths.size
        self._folder = folder
        self._file: IO[bytes] | None = io.BytesIO() if folder is None else None

    def append(self, bucket: int, values: Float64Array) -> None:
        self._transfer(self._advance(bucket, values.size), values)

    def rewind(self) -> None:
        """Turn from `append` to `next_of`; all buckets must be full."""
        if np.any(self._passed != self._lengths):
            raise ReadError(_CHANGED)
        self._passed[:] = 0

    def values_of(self, bucket: int) -> Float64Array:
        return self._transfer(self._starts[bucket], int(self._lengths[bucket]))

    def replace(self, bucket: int, values: Float64Array) -> None:
        self._transfer(self._starts[bucket], values)

    def next_of(self, bucket: int, count: int) -> Float64Array:
        ahead = self._ahead[bucket]
        missing = count - ahead.size
        if missing > 0:
            left = int(self._lengths[bucket] - self._passed[bucket])
            n_read = max(missing, min(_BUFFER, left))
            ahead = np.append(ahead, self._transfer(self._advance(bucket, n_read), n_read))
        self._ahead[bucket] = ahead[count:]
        return ahead[:count]

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk fails again here: keep the WriteError
                self._file.close()

    def _advance(self, bucket: int, count: int) -> int:
        """Place of the next `count` values of a bucket, which are then passed."""
        place = self._starts[bucket] + self._passed[bucket]
        self._passed[bucket] += count
        if self._passed[bucket] > self._lengths[bucket]:
            raise ReadError(_CHANGED)
        return int(place)

    def _transfer(self, place: int, values: Float64Array | int) -> Float64Array:
        """Write `values` from a place on, or read so many from there."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, prefix="lfmm2-q-")  # noqa: SIM115
            self._file.seek(8 * place)
            if isinstance(values, int):
                return np.frombuffer(self._file.read(8 * values), dtype=np.float64).copy()
            self._file.write(values.tobytes())
            # A full disk must show here, and not as a failure of a later read.
            self._file.flush()
            return values
        except OSError as error:
            kind = ReadError if isinstance(values, int) else WriteError
            raise kind(
                f"temporary file of q-values in {self._folder}: {error.strerror} at byte {8 * place}; "
                "free space there or choose another folder"
            ) from error


def _step_up(p_descending: Float64Array, top_rank: int, m: int, smallest: float) -> Float64Array:
    """q of descending p whose ranks fall from `top_rank`; `smallest` is the least q of all larger p."""
    ranks = np.arange(top_rank, top_rank - p_descending.size, -1, dtype=np.float64)
    # m / rank first: the largest p then keeps its bits, and no q is below its p.
    q = p_descending * (m / ranks)
    q[:1] = np.minimum(q[:1], smallest)
    return np.minimum.accumulate(q)


def _middle_pair(histogram: MagnitudeHistogram, blocks: Iterable[ArrayLike]) -> tuple[float, float]:
    """The two middle order statistics of the magnitudes in `blocks`; twice the same when n is odd."""
    n = histogram.n
    if n == 0:
        return math.nan, math.nan
    lower, upper = (n - 1) // 2, n // 2
    first, last = histogram.bin_holding(lower), histogram.bin_holding(upper)
    held = [np.empty(0)]
    for block in blocks:
        magnitudes = _magnitudes(block)
        bins = histogram.bin_of(magnitudes)
        held.append(magnitudes[(bins >= first) & (bins <= last)])
    values = np.sort(np.concatenate(held))
    if values.size != histogram.counts[first : last + 1].sum():
        raise ReadError(_CHANGED)
    below = n - int(histogram.counts_above()[first] + histogram.counts[first])
    return float(values[lower - below]), float(values[upper - below])


def _magnitudes(values: ArrayLike) -> Float64Array:
    """|value| without NaN, as a flat array."""
    magnitudes = np.abs(np.asarray(values, dtype=np.float64).ravel())
    return np.asarray(magnitudes[~np.isnan(magnitudes)], dtype=np.float64)
