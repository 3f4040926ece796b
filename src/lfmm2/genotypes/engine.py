"""The one streaming loop: block plan, read-ahead, progress, a record of every pass.

A *tile* is the SNPs that one thread decodes at a time. A *group* is a run of tiles whose sum is kept apart, so that the
sums of groups can be added in order. A *block* is the groups that are read together. Tiles and groups depend on the
number of samples and of columns alone; the memory budget decides how many groups a block holds. That is why neither
threads nor memory can change a result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from lfmm2._typing import Packed
from lfmm2.errors import InsufficientMemoryError
from lfmm2.genotypes.footprint import NOTHING_HELD, Footprint
from lfmm2.process import Progress

# Most doubles in a decoded tile. 512 KiB are half of the L2 cache of current server cores; the columns that
# the tile is multiplied with need the other half, so larger tiles would be read again from slower memory.
TILE_DOUBLES = 65_536
# Largest number of multiplications in the product of a tile. OpenBLAS's AVX-512 kernels take their path for small
# matrices up to 10⁶, which is 1.4 times as fast at 32 columns (bench/README.md); the rest is room for rounding up to
# whole cache lines.
TILE_PRODUCT = 950_000
# Fewest and most SNPs of a tile; with few samples a tile takes more SNPs. Both divide `GROUP_SNPS`.
TILE_SNPS, MOST_TILE_SNPS = 64, 256
# Samples for which a tile of `TILE_SNPS` always has room, also with so many columns that `TILE_PRODUCT` allows fewer:
# smaller tiles spend their time on calls of BLAS.
FEWEST_CHUNK_SAMPLES = 128
# Samples of a tile of `MOST_TILE_SNPS` where threads share out the samples: few, so that all threads have some, but no
# fewer than the columns, for which the tile is decoded. With more, the tile and its columns leave the L2 cache.
TALL_CHUNK_SAMPLES = 112
# SNPs of a group. Another number changes the order of additions, and so the last digits of results.
GROUP_SNPS = 512
# Bytes of a block of genotypes and of all that is computed from it. All threads wait for each other after a block, so
# smaller blocks are slower; larger ones do not fit in the cache from which the next stage reads them.
BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Tiling:
    """SNPs and samples of a tile and tiles of a group, which follow from the numbers of samples and columns alone."""

    tile_snps: int
    chunk_samples: int
    group_tiles: int

    @property
    def group_snps(self) -> int:
        return self.tile_snps * self.group_tiles


def plan_tiling(n_samples: int, n_columns: int) -> Tiling:
    """Choose tiles within `TILE_DOUBLES` and `TILE_PRODUCT`, with samples cut into chunks of about equal length."""
    most = max(min(TILE_DOUBLES, TILE_PRODUCT // max(n_columns, 1)), TILE_SNPS * FEWEST_CHUNK_SAMPLES)
    tile_snps = TILE_SNPS
    while tile_snps < MOST_TILE_SNPS and 2 * tile_snps * n_samples <= most:
        tile_snps *= 2
    n_chunks = -(-n_samples * tile_snps // most)
    # A multiple of 8 samples is whole bytes of the .bed and whole cache lines of the tile.
    chunk_samples = 8 * -(-n_samples // (8 * n_chunks))
    return Tiling(tile_snps, chunk_samples, GROUP_SNPS // tile_snps)


def plan_tall_tiling(n_columns: int) -> Tiling:
    """Choose tiles for sums of samples that threads share out: many SNPs and few samples, within `TILE_PRODUCT`."""
    most = TILE_PRODUCT // (MOST_TILE_SNPS * max(n_columns, 1))
    chunk_samples = max(min(TALL_CHUNK_SAMPLES, most // 8 * 8), 32)
    return Tiling(MOST_TILE_SNPS, chunk_samples, GROUP_SNPS // MOST_TILE_SNPS)


def plan_block(own: Footprint, beside: Footprint, n_threads: int, memory: int) -> int:
    """Return the SNPs of a block: 8 MiB or two groups per thread, fewer where memory is short, at least one group.

    Passes that hold nothing for each SNP have blocks of one group.

    Parameters
    ----------
    own, beside : Footprint
        Memory of the pass, and memory that the run holds beside it.
    n_threads : int
    memory : int
        Bytes that both may take together.
    """
    group = own.group_snps
    if not own.per_snp:
        return group  # The pass has blocks of one size, which its held bytes count.
    both = own + beside
    wanted = max(2 * n_threads, BLOCK_BYTES // max(group * own.per_snp, 1), 1)
    affordable = (memory - both.held) // max(group * both.per_snp, 1)
    return group * max(min(wanted, affordable), 1)


@dataclass(frozen=True)
class PassRecord:
    """SNPs, bytes read and seconds of one pass over genotypes."""

    label: str
    n_snps: int
    n_bytes: int
    seconds: float

    def to_json(self) -> str:
        """Return the record as text for the state of a run."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Engine:
    """Threads, memory and progress of a run, and the record of its passes.

    Attributes
    ----------
    n_threads : int
        OpenMP threads of the kernels.
    memory : int
        Bytes that the run may take above what the interpreter and its libraries hold.
    progress : Progress
    passes : list of PassRecord
    beside : Footprint
        Memory that the run holds beside the passes.
    """

    n_threads: int
    memory: int
    progress: Progress = field(default_factory=Progress)
    passes: list[PassRecord] = field(default_factory=list)
    beside: Footprint = NOTHING_HELD

    def with_beside(self, beside: Footprint) -> Engine:
        """Return an engine for passes beside which this memory is held; the list of passes is shared."""
        return replace(self, beside=beside)

    @property
    def budget(self) -> int:
        """Return the bytes that a pass may take."""
        return max(self.memory - self.beside.held, 0)

    def block_snps(self, footprint: Footprint) -> int:
        """Return the number of SNPs in a block of a pass with this footprint.

        Raises
        ------
        InsufficientMemoryError
            If the smallest block takes more than the budget.
        """
        least = (footprint + self.beside).least
        if least > self.memory:
            raise InsufficientMemoryError(
                f"memory budget of {self.memory / 2**20:.0f} MiB: a pass over the genotypes needs at least "
                f"{least / 2**20:.1f} MiB; raise --memory or lower the number of threads"
            )
        return plan_block(footprint, self.beside, self.n_threads, self.memory)

    def blocks(
        self,
        label: str,
        read: Callable[[int, Packed], None],
        snps: range,
        bytes_per_snp: int,
        block_snps: int,
        snp_bytes_read: int | None = None,
    ) -> Iterator[tuple[int, Packed]]:
        """Yield ``(first_snp, packed)`` for every block in order, reading one block ahead.

        The array is valid until the next block is asked for.

        Parameters
        ----------
        label : str
            Purpose of the pass, as the progress display shows it.
        read : callable
            ``read(first_snp, packed_out)`` fills an array of shape (n_snps_block, bytes_per_snp). It is called in
            another thread, never twice at the same time.
        snps : range
            SNPs to read.
        bytes_per_snp, block_snps : int
        snp_bytes_read : int, optional
            Bytes read from storage per SNP, where that is not `bytes_per_snp`.
        """
        snp_bytes_read = bytes_per_snp if snp_bytes_read is None else snp_bytes_read
        buffers = [np.empty((min(block_snps, len(snps)), bytes_per_snp), np.uint8) for _ in range(2)]

        def fill(first: int, buffer: Packed) -> Packed:
            packed = buffer[: min(block_snps, snps.stop - first)]
            read(first, packed)
            return packed

        with (
            self.recorded(label, len(snps), snp_bytes_read) as advance,
            ThreadPoolExecutor(1, thread_name_prefix="lfmm2-read") as reader,
        ):
            pending = reader.submit(fill, snps.start, buffers[0])
            for index, first in enumerate(snps[::block_snps]):
                packed = pending.result()
                if first + block_snps < snps.stop:
                    pending = reader.submit(fill, first + block_snps, buffers[(index + 1) % 2])
                yield first, packed
                advance(len(packed))

    @contextmanager
    def recorded(self, label: str, n_snps: int, snp_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show a pass in the progress display while it runs, and record it when it is complete.

        Yields a function that the pass calls with the number of SNPs done since the last call.
        """
        started = time.perf_counter()
        self.progress.start(label, n_snps, n_snps * snp_bytes)
        try:
            yield lambda n_done: self.progress.advance(n_done, n_done * snp_bytes)
        finally:
            self.progress.finish()
        self.passes.append(PassRecord(label, n_snps, n_snps * snp_bytes, time.perf_counter() - started))
