"""SNPs in approximate linkage equilibrium, for the factors: greedy thinning in file order, in one pass.

Every SNP that varies is compared with the kept SNPs of the window before it, beginning with the first. If two SNPs have
r² above the threshold, the one with the rarer minor allele is dropped, or the later one if their frequencies are equal.
r² is the squared correlation of dosages over the samples called in both. A window is a number of SNPs in a row, kept or
not, or the SNPs at most a number of kilobases apart; it ends with the chromosome. These are the rules of plink2
--indep-pairwise with step 1, except that plink2 takes the first window of a chromosome as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, InsufficientMemoryError, UsageError
from lfmm2.files import recut
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.source import GenotypeSource, PackedMatrix, packed_matrix, variant_tables
from lfmm2.kernels import _ld

# Label of the pass in progress and record, by the option that asks for it.
LABELS = {"est_thin": "LD thinning", "k_thin": "LD thinning for K"}
EXAMPLE = "r2=0.2,window=200"
# SNPs that one call of the kernel thins; they divide a block. The window needs room for all SNPs of a call, so a larger
# number takes more memory; a smaller one costs more calls.
CALL_SNPS = 256
#: Factor by which r², a frequency or a missing rate may exceed its threshold. A threshold such as 0.2 is rounded in
#: binary, so a value that equals it in decimals may lie beyond it. The factor is plink2's; a larger one would keep SNPs
#: that plink2 drops.
THRESHOLD_MARGIN = 1 + 2.0**-44
# The kept SNPs of the window may take the memory budget divided by this number.
KEPT_SHARE = 2
# Bytes for each SNP of a block: its number, its position, the beginning of its window, and temporary arrays of these.
WORK_BYTES = 64
# Longest window, in SNPs or kb. A longer one could make positions in bases exceed 64 bits.
LONGEST_WINDOW = 10**15
# 64-bit words of a cache line. Rows of the window begin at a cache line, as the kernel loads them into its registers.
CACHE_LINE_WORDS = 8


@dataclass(frozen=True)
class ThinOptions:
    """Threshold and window of thinning.

    Attributes
    ----------
    r2 : float
        Largest r² of two SNPs of a window that are kept, from 0 to below 1.
    window : int
        SNPs in a row that are compared with each other, at least 2; or their largest distance in kb, at least 1.
    unit : {"SNPs", "kb"}
        Unit of the window. SNPs are counted among those chosen, kept or not.
    option : {"est_thin", "k_thin"}
        The option that asks for thinning; messages name it.

    Raises
    ------
    UsageError
        If a value is of another type or out of range.
    """

    r2: float
    window: int
    unit: str = "SNPs"
    option: str = "est_thin"

    def __post_init__(self) -> None:
        if isinstance(self.r2, bool) or not isinstance(self.r2, int | float) or not 0 <= self.r2 < 1:
            raise UsageError(f"r2 is {self.r2!r}; the largest r² of two kept SNPs is a number from 0 to below 1")
        if self.unit not in ("SNPs", "kb"):
            raise UsageError(f"unit of the window is {self.unit!r}; it is 'SNPs' or 'kb'")
        least = 2 if self.unit == "SNPs" else 1
        whole = isinstance(self.window, int) and not isinstance(self.window, bool)
        if not whole or not least <= self.window <= LONGEST_WINDOW:
            raise UsageError(f"window is {self.window!r} {self.unit}; give a whole number from {least} to 10¹⁵")

    @property
    def window_text(self) -> str:
        """Return the window as `parse_thinning` reads it."""
        return f"{self.window}kb" if self.unit == "kb" else str(self.window)

    @property
    def text(self) -> str:
        """Return threshold and window as `parse_thinning` reads them."""
        return f"r2={self.r2!r},window={self.window_text}"

    @property
    def flag(self) -> str:
        """Return the option as the command line has it."""
        return f"--{self.option.replace('_', '-')}"


def parse_thinning(text: str, option: str = "est_thin") -> ThinOptions:
    """Read options from text such as ``r2=0.2,window=200`` or ``window=500kb,r2=0.1``, the value of `option`.

    Raises
    ------
    UsageError
        If a part is unknown, given twice, absent, no number or out of range.
    """
    if not isinstance(text, str):
        raise UsageError(f"{option} is {text!r}; write it as {EXAMPLE}")
    flag = f"--{option.replace('_', '-')}"
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in ("r2", "window") or not equals:
            raise UsageError(f"{flag} {text!r}: {part!r} is neither r2= nor window=; write it as {EXAMPLE}")
        if name in values:
            raise UsageError(f"{flag} {text!r}: {name} is given twice; write it as {EXAMPLE}")
        values[name] = value
    for name in ("r2", "window"):
        if name not in values:
            raise UsageError(f"{flag} {text!r}: {name} is absent; write it as {EXAMPLE}")
    try:
        r2 = float(values["r2"])
    except ValueError:
        raise UsageError(f"{flag} {text!r}: r2 is {values['r2']!r}, no number; write it as {EXAMPLE}") from None
    window = values["window"].removesuffix("kb").rstrip()
    if not (window.isascii() and window.isdigit()):
        raise UsageError(
            f"{flag} {text!r}: window is {values['window']!r}; give a whole number of SNPs as 200, or of "
            "kilobases as 500kb"
        )
    try:
        return ThinOptions(r2, int(window[:20]), "kb" if values["window"].endswith("kb") else "SNPs", option)
    except UsageError as error:
        raise UsageError(f"{flag} {text!r}: {error}") from None


def kept_row_bytes(n_samples: int) -> int:
    """Return the bytes of one kept SNP: three bits per sample in whole registers, its sums, number and marks."""
    return 8 * (int(_ld.plane_words(n_samples)) + 3 + 1) + int(_ld.hit_words(64)) // 8


def thinning_bytes(n_samples: int, n_snps: int, options: ThinOptions, memory: int) -> int:
    """Return the most bytes that kept SNPs in the window take: those of all its SNPs, within a share of `memory`."""
    n_rows = CALL_SNPS + (min(options.window, n_snps) if options.unit == "SNPs" else n_snps)
    return min(n_rows * kept_row_bytes(n_samples), max(memory, 0) // KEPT_SHARE)


def thinning_footprint(matrix: PackedMatrix, options: ThinOptions, memory: int) -> Footprint:
    """Return the memory of `thin_snps` with a budget of `memory` bytes."""
    kept = thinning_bytes(matrix.n_samples, matrix.n_snps, options, memory)
    return matrix.footprint_of_packed_blocks() + Footprint(kept, WORK_BYTES)


def thin_snps(source: GenotypeSource, engine: Engine, samples: Ints, chosen: Ints | None, options: ThinOptions) -> Ints:
    """Thin SNPs in one pass, and return the sorted positions of those that are kept.

    Parameters
    ----------
    source : GenotypeSource
    engine : Engine
    samples : ndarray of int64
        Rows of the source, among which r² is computed.
    chosen : ndarray of int64 or None
        Sorted positions of the SNPs to thin, None for all.
    options : ThinOptions

    Raises
    ------
    UsageError
        If `source` has no hard calls.
    InconsistentInputError
        If no SNP varies, or if positions fall within a chromosome and the window is in kb.
    InsufficientMemoryError
        If kept SNPs of a window need more than half of the memory of `engine`.

    Notes
    -----
    Memory: `thinning_footprint`, and the positions that are kept. A comparison reads three bits per sample and SNP if
    calls are missing, else two.
    """
    matrix = packed_matrix(source, engine, samples, chosen, "est_thin")
    allowance = thinning_bytes(matrix.n_samples, matrix.n_snps, options, engine.memory)
    window = _KeptSnps(matrix.n_samples, options, allowance, engine.n_threads)
    starts = window_starts(source, chosen, options)
    kept = []
    for first, packed in matrix.packed_blocks(LABELS[options.option], Footprint(allowance, WORK_BYTES)):
        for row in range(0, len(packed), CALL_SNPS):
            kept.append(window.thin(packed[row : row + CALL_SNPS], first + row, next(starts)))
    numbers = np.concatenate([*kept, window.rest()])
    if len(numbers) == 0:
        raise InconsistentInputError(
            f"{options.flag}: none of {with_spaces(matrix.n_snps)} SNPs varies among {with_spaces(matrix.n_samples)} "
            "samples; check the samples and SNPs chosen"
        )
    return numbers if chosen is None else chosen[numbers]


class _KeptSnps:
    """The kept SNPs of the window, in rows of arrays that move to the front when the window moves on.

    Parameters
    ----------
    n_samples : int
    options : ThinOptions
    allowance : int
        Bytes for the rows, which take memory only once they are used.
    n_threads : int
    """

    def __init__(self, n_samples: int, options: ThinOptions, allowance: int, n_threads: int) -> None:
        self._n_samples = n_samples
        self._options = options
        self._allowance = allowance
        self._n_threads = n_threads
        n_rows, n_words = allowance // kept_row_bytes(n_samples), int(_ld.plane_words(n_samples))
        words = np.empty(n_rows * n_words + CACHE_LINE_WORDS, np.uint64)
        aligned = -words.ctypes.data % (8 * CACHE_LINE_WORDS) // 8
        self._planes: NDArray[np.uint64] = words[aligned : aligned + n_rows * n_words].reshape(n_rows, n_words)
        self._sums = np.empty((n_rows, 3), np.int64)
        self._kept = np.empty(n_rows, np.int64)
        self._hits = np.empty(_ld.hit_words(n_rows), np.uint64)
        self._stop = 0

    def _check_room(self, n_live: int, n_new: int) -> None:
        """Raise InsufficientMemoryError if the kept SNPs of the window and the new ones do not fit together."""
        if n_live + n_new > len(self._kept):
            needed = (n_live + n_new) * kept_row_bytes(self._n_samples)
            raise InsufficientMemoryError(
                f"{self._options.flag}: a window holds {with_spaces(n_live)} kept SNPs and needs "
                f"{needed / 2**20:.1f} MiB of the {self._allowance / 2**20:.1f} MiB that it may take; raise --memory, "
                "or lower window or r2"
            )

    def thin(self, packed: NDArray[np.uint8], first_snp: int, window_start: Ints) -> Ints:
        """Thin the SNPs of one call, and return the numbers of the kept SNPs that the window has passed."""
        first = int(np.searchsorted(self._kept[: self._stop], window_start[0]))
        left = self._kept[:first].copy()
        self._check_room(self._stop - first, len(packed))
        threshold = self._options.r2 * THRESHOLD_MARGIN
        self._stop = _ld.thin_block(
            packed, self._n_samples, threshold, first_snp, window_start, self._planes, self._sums, self._kept,
            self._hits, first, self._stop, self._n_threads,
        )  # fmt: skip
        return left

    def rest(self) -> Ints:
        """Return the numbers of the kept SNPs in the last window."""
        return self._kept[: self._stop]


def window_starts(source: GenotypeSource, chosen: Ints | None, options: ThinOptions) -> Iterator[Ints]:
    """Yield the number of the first SNP in the window of every SNP, `CALL_SNPS` at a time, from streamed variants.

    SNPs are numbered among the chosen ones. A chromosome ends where the next SNP has another name of chromosome.
    """
    tables = (table.select(["CHROM", "POS"]) for table in variant_tables(source, chosen))
    last_name: str | None = None
    # Number of the first SNP of the chromosome, and positions of its SNPs from number `held_from` on. This is the first
    # SNP in the window of the last one, because no later window begins before it.
    first_of_chromosome, held_from, held = 0, 0, np.empty(0, np.int64)
    first = 0
    for table in recut(tables, CALL_SNPS):
        names = table["CHROM"].combine_chunks()
        changes = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
        cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(names)]
        starts = np.empty(len(names), np.int64)
        for low, high in pairwise(cuts):
            name = names[low].as_py()
            if name != last_name:
                last_name = name
                first_of_chromosome = held_from = first + low
                held = held[:0]
            if options.unit == "SNPs":
                numbers = np.arange(first + low, first + high)
                starts[low:high] = np.maximum(numbers + 1 - options.window, first_of_chromosome)
                continue
            positions = table["POS"].to_numpy()[low:high]
            _check_sorted(source, options.flag, name, np.concatenate([held[-1:], positions]))
            held = np.concatenate([held, positions])
            starts[low:high] = held_from + np.searchsorted(held, positions - 1000 * options.window)
            held = held[starts[high - 1] - held_from :]
            held_from = int(starts[high - 1])
        yield starts
        first += len(names)


def _check_sorted(source: GenotypeSource, flag: str, chromosome: str, positions: Ints) -> None:
    """Raise InconsistentInputError if positions fall within a chromosome."""
    falls = np.diff(positions) < 0
    if falls.any():
        row = int(np.argmax(falls))
        raise InconsistentInputError(
            f"{source.name}: position {positions[row + 1]} after {positions[row]} on chromosome {chromosome}, but "
            f"{flag} with a window in kb needs them sorted; sort the fileset, or give the window as a number of SNPs"
        )


def has_positions(source: GenotypeSource) -> bool:
    """Return True if any SNP has a position: without one, SNPs that follow each other need not be near each other."""
    return any(pc.any(pc.greater(table["POS"], 0)).as_py() for table in source.iter_variants())


def kept_ids(source: GenotypeSource, kept: Ints) -> Iterator[pa.Array]:
    """Yield the IDs of the kept SNPs, in order and by chunks, for the list that --est-extract reads."""
    for table in variant_tables(source, kept):
        yield table["ID"].combine_chunks()
