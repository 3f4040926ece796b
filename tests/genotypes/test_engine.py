"""The streaming loop: shape of the work, memory budget, read-ahead, progress and record."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pytest

from lfmm2.errors import InsufficientMemoryError
from lfmm2.genotypes.engine import BLOCK_BYTES, GROUP_SNPS, TILE_DOUBLES, Engine, Packed, plan_tall_tiling, plan_tiling
from lfmm2.genotypes.footprint import Footprint
from lfmm2.process.progress import Progress

SAMPLES = (1, 4, 5, 63, 100, 127, 128, 129, 255, 256, 257, 512, 1000, 1023, 1025, 10_000, 65_537, 500_000)
COLUMNS = (1, 2, 15, 16, 17, 30, 60, 200)
MIB = 1 << 20


# --- plan_tiling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_columns", COLUMNS)
@pytest.mark.parametrize("n_samples", SAMPLES)
def test_plan_tiling_makes_groups_of_one_size(n_samples: int, n_columns: int) -> None:
    # blocks are whole groups, so every kernel must agree where they begin
    tiling = plan_tiling(n_samples, n_columns)
    assert tiling.group_snps == tiling.tile_snps * tiling.group_tiles == GROUP_SNPS


@pytest.mark.parametrize("n_columns", COLUMNS)
@pytest.mark.parametrize("n_samples", SAMPLES)
def test_plan_tiling_cuts_samples_at_whole_bytes(n_samples: int, n_columns: int) -> None:
    chunk = plan_tiling(n_samples, n_columns).chunk_samples
    assert chunk >= 4
    assert chunk % 4 == 0


@pytest.mark.parametrize("n_columns", COLUMNS)
@pytest.mark.parametrize("n_samples", SAMPLES)
def test_plan_tiling_keeps_a_tile_in_cache(n_samples: int, n_columns: int) -> None:
    # rounding a chunk up to whole bytes adds at most three samples to each row
    tiling = plan_tiling(n_samples, n_columns)
    assert tiling.tile_snps * (tiling.chunk_samples - 7) <= TILE_DOUBLES


@pytest.mark.parametrize("n_columns", COLUMNS)
def test_plan_tall_tiling_cuts_samples_at_whole_bytes_and_keeps_a_tile_in_cache(n_columns: int) -> None:
    tiling = plan_tall_tiling(n_columns)
    assert tiling.group_snps == tiling.tile_snps * tiling.group_tiles == GROUP_SNPS
    assert tiling.chunk_samples >= 32
    assert tiling.chunk_samples % 8 == 0
    assert tiling.tile_snps * tiling.chunk_samples <= TILE_DOUBLES


@pytest.mark.parametrize("n_samples", [n for n in SAMPLES if n >= 1000])
def test_plan_tiling_does_not_decode_a_short_last_chunk(n_samples: int) -> None:
    # chunks of about equal length: the last is shorter by the rounding to whole cache lines of all others
    tiling = plan_tiling(n_samples, 12)
    n_chunks = -(-n_samples // tiling.chunk_samples)
    assert n_chunks * tiling.chunk_samples - n_samples < 8 * n_chunks


# --- Engine.block_snps ----------------------------------------------------------------------------------------


def test_block_groups_fill_a_block_of_the_usual_size() -> None:
    assert Engine(2, 1 << 34).block_snps(Footprint(0, BLOCK_BYTES // 10)) == 10


def test_block_groups_are_two_per_thread_where_groups_are_large() -> None:
    assert Engine(3, 1 << 40).block_snps(Footprint(0, BLOCK_BYTES // 512, 512)) == 6 * 512


@pytest.mark.parametrize("fixed_bytes", [0, 1, MIB])
@pytest.mark.parametrize("group_bytes", [1000, MIB, 3 * MIB])
@pytest.mark.parametrize("memory", [4 * MIB, 5 * MIB + 1, 64 * MIB])
def test_block_groups_stay_within_the_budget(memory: int, group_bytes: int, fixed_bytes: int) -> None:
    n_groups = Engine(2, memory).block_snps(Footprint(fixed_bytes, group_bytes))
    assert n_groups >= 1
    assert n_groups * group_bytes + fixed_bytes <= memory


def test_block_groups_take_a_budget_that_is_exactly_enough() -> None:
    assert Engine(8, 3 * MIB).block_snps(Footprint(MIB, MIB, 2)) == 2


def test_block_groups_refuse_a_budget_one_byte_short_and_name_the_need() -> None:
    with pytest.raises(InsufficientMemoryError, match=r"budget of 3 MiB: .* needs at least 3\.0 MiB; raise --memory"):
        Engine(8, 3 * MIB - 1).block_snps(Footprint(MIB, 2 * MIB))


@pytest.mark.parametrize("memory", [9 * MIB, 20 * MIB, 33 * MIB])
def test_blocks_leave_room_for_what_is_held_beside_them(memory: int) -> None:
    own, beside = Footprint(MIB, 1000, 512), Footprint(3 * MIB, 7000)
    engine = Engine(2, memory).with_beside(beside)
    assert engine.budget == memory - 3 * MIB
    n_snps = engine.block_snps(own)
    assert n_snps % 512 == 0
    assert own.of_block(n_snps) + beside.of_block(n_snps) <= memory
    with pytest.raises(InsufficientMemoryError, match=r"needs at least 7\.9 MiB"):
        replace(engine, memory=(own + beside).least - 1).block_snps(own)


# --- Engine.blocks --------------------------------------------------------------------------------------------


@dataclass
class Recorder(Progress):
    """Everything that the progress was told."""

    started: list[tuple[str, int, int]] = field(default_factory=list)
    advanced: list[tuple[int, int]] = field(default_factory=list)
    finished: int = 0

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.started.append((label, n_snps, n_bytes))

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.advanced.append((n_snps, n_bytes))

    def finish(self) -> None:
        self.finished += 1


def numbered(first: int, packed: Packed) -> None:
    """A source whose SNP s consists of bytes s."""
    packed[:] = np.arange(first, first + len(packed), dtype=np.uint8)[:, None]


@pytest.mark.parametrize("block_snps", [1, 3, 10, 23, 100])
@pytest.mark.parametrize("n_snps", [1, 2, 10, 23])
def test_blocks_give_every_snp_once_and_in_order(n_snps: int, block_snps: int) -> None:
    firsts, seen = [], []
    for first, packed in Engine(1, MIB).blocks("x", numbered, range(n_snps), 2, block_snps):
        firsts.append(first)
        seen.append(packed.copy())
    np.testing.assert_array_equal(firsts, np.arange(0, n_snps, block_snps))
    np.testing.assert_array_equal(np.vstack(seen), np.repeat(np.arange(n_snps), 2).reshape(-1, 2))


def test_blocks_of_no_snps_are_none() -> None:
    engine = Engine(1, MIB)
    assert list(engine.blocks("x", numbered, range(0), 2, 10)) == []
    assert [record.n_snps for record in engine.passes] == [0]


def test_blocks_read_one_block_ahead_and_no_more() -> None:
    read = []
    ahead = threading.Event()

    def source(first: int, packed: Packed) -> None:
        read.append(first)
        if first == 10:
            ahead.set()

    blocks = Engine(1, MIB).blocks("x", source, range(50), 2, 10)
    next(blocks)
    assert ahead.wait(10)
    blocks.close()
    assert read == [0, 10]


def test_blocks_leave_the_array_alone_while_reading_ahead() -> None:
    n_read = threading.Semaphore(0)

    def source(first: int, packed: Packed) -> None:
        numbered(first, packed)
        n_read.release()

    for first, packed in Engine(1, MIB).blocks("x", source, range(40), 2, 10):
        if first < 30:
            # the first block is read before it is asked for, all others while the one before is in use
            assert all(n_read.acquire(timeout=10) for _ in range(2 if first == 0 else 1))
        np.testing.assert_array_equal(packed[:, 0], np.arange(first, first + 10))


def test_blocks_read_in_one_other_thread() -> None:
    threads = set()
    for _ in Engine(4, MIB).blocks(
        "x", lambda first, packed: threads.add(threading.current_thread()), range(50), 2, 10
    ):
        pass
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_blocks_tell_the_progress() -> None:
    progress = Recorder()
    engine = Engine(1, MIB, progress)
    for n_blocks, _ in enumerate(engine.blocks("name", numbered, range(23), 2, 10, snp_bytes_read=5)):
        # a block counts when the work on it is done
        assert len(progress.advanced) == n_blocks
    assert progress.started == [("name", 23, 115)]
    assert progress.advanced == [(10, 50), (10, 50), (3, 15)]
    assert progress.finished == 1


def test_blocks_record_a_pass() -> None:
    engine = Engine(1, MIB)
    for label, bytes_read in (("one", None), ("two", 7)):
        for _ in engine.blocks(label, numbered, range(23), 2, 10, bytes_read):
            pass
    assert [(record.label, record.n_snps, record.n_bytes) for record in engine.passes] == [
        ("one", 23, 46),
        ("two", 23, 161),
    ]
    assert all(record.seconds > 0 for record in engine.passes)


@pytest.mark.parametrize("broken_block", [0, 20])
def test_blocks_raise_what_the_reader_raised(broken_block: int) -> None:
    def source(first: int, packed: Packed) -> None:
        if first == broken_block:
            raise OSError("the disk is gone")

    progress = Recorder()
    engine = Engine(1, MIB, progress)
    blocks = engine.blocks("x", source, range(50), 2, 10)
    assert [first for first, _ in islice(blocks, broken_block // 10)] == list(range(0, broken_block, 10))
    with pytest.raises(OSError, match="the disk is gone"):
        next(blocks)
    assert progress.finished == 1
    assert engine.passes == []


def test_blocks_finish_the_progress_when_the_work_on_a_block_fails() -> None:
    progress = Recorder()
    engine = Engine(1, MIB, progress)
    blocks = engine.blocks("x", numbered, range(50), 2, 10)
    next(blocks)
    with pytest.raises(KeyboardInterrupt):
        blocks.throw(KeyboardInterrupt)
    assert progress.finished == 1
    assert engine.passes == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lfmm2-read")]


def test_progress_is_silent_by_default() -> None:
    progress = Engine(1, MIB).progress
    progress.start("x", 1, 1)
    progress.advance(1, 1)
    progress.finish()
