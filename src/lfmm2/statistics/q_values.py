"""q-values of as many tests as there are SNPs: Benjamini-Hochberg, in memory and streamed to the same bits."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.errors import ReadError, UsageError, WriteError
from lfmm2.statistics.order_statistics import CHANGED, MagnitudeHistogram, magnitudes_of

_Tail = Callable[[Floats], Floats]

# Most buckets: their numbers fit in a byte, and their buffers in 6 MB.
_MAX_BUCKETS = 200
# A bucket is sorted in one part in so many of the memory budget, and holds no more values than are worth the memory.
_BUDGET_SHARE = 8
_MOST_SORTED = 4_000_000
# Bytes for each value of a bucket at the peak of sorting it. With less the memory plan would promise too little.
_VALUE_BYTES = 48
# Values of a bucket that are written at once, on average, and that are read ahead: 16 KiB, or 3 MB for 200 buckets.
# With fewer, more time goes into calls of the system.
_BUFFER = 2048


def benjamini_hochberg(p: ArrayLike, n_tests: int | None = None) -> Floats:
    """Return Benjamini–Hochberg q-values (adjusted p-values).

        q_i = min(1, min over p_j ≥ p_i of p_j · m / rank_j),   rank_j = number of p ≤ p_j

    Parameters
    ----------
    p : array_like, float64
        P-values, any shape. NaN stays NaN and does not count in m.
    n_tests : int, optional
        m, if there are tests beside those of `p`, none of which is a discovery; by default the number of `p`.

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
    values[descending] = _step_up(values[descending], values.size, n_tests or values.size, 1.0)
    q[tested] = values
    return q


def sorted_together(budget: int) -> int:
    """Return how many values to sort together with a memory budget of `budget` bytes."""
    return max(1, min(_MOST_SORTED, budget // (_BUDGET_SHARE * _VALUE_BYTES)))


def _bucket_size(n: int, max_in_memory: int) -> int:
    """Return the number of values in a bucket, so that there are at most 200 buckets."""
    return max(max_in_memory, -(-n // _MAX_BUCKETS))


def q_value_bytes(n: int, max_in_memory: int) -> int:
    """Return the bytes that `StreamedQValues` of n values takes at its peak."""
    return _VALUE_BYTES * min(_bucket_size(n, max_in_memory), n)


class StreamedQValues:
    """Benjamini–Hochberg q-values in genome order, from |t|, without an array of all SNPs.

    |t| stands for any score of at least 0 whose p falls as it grows, such as sqrt(F) or `Calibration.scores`. The range
    of |t| is cut into buckets of about `max_in_memory` values. `add` sends each value to its bucket, `finish` turns
    bucket after bucket into q, `take` deals the q out again in the order of `add`.

    The q are the bits of ``benjamini_hochberg(p_of(t))`` wherever p as computed falls with |t|. Ranks follow
    |t|, not p; so where two |t| are so near that rounding reverses their p, q still never rises with |t|.

    Parameters
    ----------
    histogram : MagnitudeHistogram
        Counts of all the |t| to come.
    p_of : callable, ndarray of float64 → ndarray of float64
        P-values of |t|, elementwise, not increasing.
    folder : path
        Folder for one temporary file of 8 bytes per value, without a name; unused if one bucket holds all values.
    max_in_memory : int
        Values of a bucket; `finish` needs 48 bytes for each. Raised where more than 200 buckets would
        result, and exceeded where one bin of the histogram (ties, say) holds more.

    Raises
    ------
    UsageError
        If `max_in_memory` is below 1.
    ReadError, WriteError
        From `add`, `finish` or `take`: the values are not those counted, or the temporary file fails.

    Examples
    --------
    >>> from lfmm2.statistics.distributions import chi2_1_p
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
        size = _bucket_size(self._m, max_in_memory)
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
        """Take the next statistics of pass 1, in genome order; signs are dropped and NaN is ignored."""
        self._waiting.append(magnitudes_of(t))
        if sum(part.size for part in self._waiting) >= _BUFFER * self.n_buckets:
            self._distribute()

    def finish(self) -> None:
        """Replace, between the passes, the values of each bucket by their q, from the largest p down."""
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

    def take(self, t: ArrayLike) -> Floats:
        """Return the q of the next statistics of pass 2, in the shape of `t`; blocks may have any size."""
        q = np.array(t, dtype=np.float64)
        values = magnitudes_of(q)
        for bucket, places in self._by_bucket(values):
            values[places] = self._file.next_of(bucket, places.size)
        q[~np.isnan(q)] = values
        return q

    def _distribute(self) -> None:
        """Append the values that wait to their buckets."""
        magnitudes = np.concatenate(self._waiting)
        self._waiting = [np.empty(0)]
        for bucket, places in self._by_bucket(magnitudes):
            self._file.append(bucket, magnitudes[places])

    def _by_bucket(self, magnitudes: Floats) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Yield the buckets met in a block, each with the places of its values in their order."""
        buckets = self._bucket_of_bin[self._histogram.bin_of(magnitudes)]
        places = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=self.n_buckets))
        for bucket in np.unique(buckets).tolist():
            yield bucket, places[ends[bucket - 1] if bucket else 0 : ends[bucket]]


class _BucketFile:
    """The values of all buckets, appended, replaced, then read in order.

    Buckets are regions of one nameless temporary file, because 200 files might exceed limits, or regions of memory.
    """

    def __init__(self, lengths: Ints, folder: Path | None) -> None:
        self._lengths = lengths
        self._starts = np.cumsum(lengths) - lengths
        self._passed = np.zeros_like(lengths)
        self._ahead = [np.empty(0)] * lengths.size
        self._folder = folder
        self._file: IO[bytes] | None = io.BytesIO() if folder is None else None

    def append(self, bucket: int, values: Floats) -> None:
        """Add values to a bucket."""
        self._transfer(self._advance(bucket, values.size), values)

    def rewind(self) -> None:
        """Go from writing to reading, once all buckets are full; ReadError if they are not."""
        if np.any(self._passed != self._lengths):
            raise ReadError(CHANGED)
        self._passed[:] = 0

    def values_of(self, bucket: int) -> Floats:
        """Return all values of a bucket."""
        return self._transfer(self._starts[bucket], int(self._lengths[bucket]))

    def replace(self, bucket: int, values: Floats) -> None:
        """Overwrite all values of a bucket."""
        self._transfer(self._starts[bucket], values)

    def next_of(self, bucket: int, count: int) -> Floats:
        """Return the next `count` values of a bucket, reading ahead."""
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
            with contextlib.suppress(OSError):  # a full disk fails here again, and the WriteError is to be seen
                self._file.close()

    def _advance(self, bucket: int, count: int) -> int:
        """Return the place of the next `count` values of a bucket, and move on behind them."""
        place = self._starts[bucket] + self._passed[bucket]
        self._passed[bucket] += count
        if self._passed[bucket] > self._lengths[bucket]:
            raise ReadError(CHANGED)
        return int(place)

    def _transfer(self, place: int, values: Floats | int) -> Floats:
        """Write `values` from a place on, or read that many values if it is a number."""
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


def _step_up(p_descending: Floats, top_rank: int, m: int, smallest: float) -> Floats:
    """Return the q of descending p whose ranks fall from `top_rank`; `smallest` is the least q of all larger p."""
    ranks = np.arange(top_rank, top_rank - p_descending.size, -1, dtype=np.float64)
    # m / rank is computed first, so that the largest p keeps its bits, and no q is below its p.
    q = p_descending * (m / ranks)
    q[:1] = np.minimum(q[:1], smallest)
    return np.minimum.accumulate(q)
