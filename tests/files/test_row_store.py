"""Rows kept in memory or in a temporary file: order, removal, and disks that fail."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfmm2.errors import ReadError, WriteError
from lfmm2.files import row_store
from lfmm2.files.row_store import RowStore, checksum

ROWS = np.random.default_rng(0).standard_normal((23, 4))
ROWS[5, 1] = np.nan
ROWS[6] = [np.inf, -np.inf, -0.0, 5e-324]

Make = Callable[[int, int], RowStore]


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """A store of either kind, closed in the end."""
    path = tmp_path / "rows" if request.param == "file" else None
    with ExitStack() as stack:
        yield lambda n_rows, n_columns: stack.enter_context(closing(RowStore(n_rows, n_columns, path)))


@pytest.mark.parametrize("block_rows", [1, 4, 22, 23, 100])
@pytest.mark.parametrize("cuts", [[23], [1, 22], [5, 5, 13], [1] * 23])
def test_row_store_gives_back_what_was_appended(make: Make, cuts: list[int], block_rows: int) -> None:
    store = make(23, 4)
    first = 0
    for n in cuts:
        store.append(ROWS[first : first + n])
        first += n
    blocks = [block.copy() for block in store.blocks(block_rows)]
    assert [len(block) for block in blocks[:-1]] == [block_rows] * (len(blocks) - 1)
    # to the bit, NaN and the sign of zero included
    np.testing.assert_array_equal(np.vstack(blocks).view(np.int64), ROWS.view(np.int64))


def test_row_store_can_be_read_again(make: Make) -> None:
    store = make(23, 4)
    store.append(ROWS)
    for _ in range(2):
        np.testing.assert_array_equal(np.vstack([block.copy() for block in store.blocks(7)]), ROWS)


def test_row_store_takes_rows_of_any_layout(make: Make) -> None:
    store = make(23, 4)
    store.append(np.asfortranarray(ROWS[:10]))
    store.append(np.repeat(ROWS[10:], 2, axis=1)[:, ::2])
    np.testing.assert_array_equal(np.vstack([block.copy() for block in store.blocks(100)]), ROWS)


def test_row_store_without_rows_has_no_blocks(make: Make) -> None:
    store = make(0, 4)
    assert list(store.blocks(5)) == []


def test_row_store_refuses_more_rows_than_announced(make: Make) -> None:
    store = make(23, 4)
    store.append(ROWS[:20])
    with pytest.raises(ValueError, match=r"20 \+ 4 rows do not fit a store of 23"):
        store.append(ROWS[:4])


def test_row_store_is_not_read_before_it_is_full(make: Make) -> None:
    store = make(23, 4)
    store.append(ROWS[:20])
    with pytest.raises(ValueError, match="the store holds 20 of 23 rows"):
        next(store.blocks(5))


@pytest.mark.parametrize("n_columns", [1, 3, 5])
def test_row_store_refuses_rows_of_another_width(make: Make, n_columns: int) -> None:
    with pytest.raises(ValueError, match="do not fit a store of 4 columns"):
        make(23, 4).append(np.ones((2, n_columns)))


def test_row_store_takes_a_block_without_rows(make: Make) -> None:
    store = make(23, 4)
    store.append(ROWS[:0])
    store.append(ROWS)
    np.testing.assert_array_equal(np.vstack([block.copy() for block in store.blocks(100)]), ROWS)


def test_row_store_without_columns_keeps_count(make: Make) -> None:
    store = make(23, 0)
    store.append(ROWS[:, :0])
    assert [block.shape for block in store.blocks(20)] == [(20, 0), (3, 0)]


def test_row_store_in_memory_is_an_array() -> None:
    store = RowStore(23, 4)
    store.append(ROWS)
    np.testing.assert_array_equal(store.array, ROWS)


def test_row_store_in_a_file_is_no_array(tmp_path: Path) -> None:
    store = RowStore(23, 4, tmp_path / "rows")
    with pytest.raises(ValueError, match="this store is a file; read it by blocks"):
        _ = store.array
    store.close()


@pytest.mark.parametrize("n_kept", [1, 10, 23])
def test_row_store_goes_on_from_rows_that_were_kept(tmp_path: Path, n_kept: int) -> None:
    store = RowStore(23, 4, tmp_path / "rows")
    store.append(ROWS)
    store.close()
    assert (tmp_path / "rows").stat().st_size == ROWS.nbytes
    with closing(RowStore(23, 4, tmp_path / "rows", n_kept)) as again:
        again.append(2 * ROWS[n_kept:])
        rows = np.vstack([block.copy() for block in again.blocks(5)])
    np.testing.assert_array_equal(rows, np.vstack([ROWS[:n_kept], 2 * ROWS[n_kept:]]))


def test_row_store_without_kept_rows_is_empty(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(ROWS.tobytes())
    with closing(RowStore(23, 4, tmp_path / "rows")):
        assert (tmp_path / "rows").stat().st_size == 0


@pytest.mark.parametrize("cut", [1, 7, 22])
def test_checksum_does_not_depend_on_how_rows_are_cut(cut: int) -> None:
    assert checksum(ROWS[cut:], checksum(ROWS[:cut])) == checksum(ROWS)
    assert checksum(ROWS[:, ::2]) == checksum(ROWS[:, ::2].copy())
    assert checksum(ROWS[:0], 5) == 5


def test_row_store_closes_twice(make: Make) -> None:
    store = make(23, 4)
    store.append(ROWS)
    store.close()
    store.close()


def test_row_store_closes_although_its_file_is_gone(tmp_path: Path) -> None:
    store = RowStore(23, 4, tmp_path / "rows")
    (tmp_path / "rows").unlink()
    store.close()


def test_row_store_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"none/rows: No such file or directory; choose an output folder"):
        RowStore(23, 4, tmp_path / "none" / "rows")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_row_store_says_that_the_disk_is_full(tmp_path: Path) -> None:
    store = RowStore(23, 4, tmp_path / "rows")
    assert store.file is not None
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), store.file.fileno())
    with pytest.raises(WriteError, match=r"rows: No space left on device after 0 of 23 SNPs; free some space"):
        store.append(ROWS)
    store.close()


class Sparing(FileIO):
    """A file that takes 100 bytes at most of a write, as systems may."""

    def write(self, data: Any) -> int:
        return super().write(data[:100])


def test_row_store_goes_on_after_a_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store.io, "FileIO", Sparing)
    with closing(RowStore(23, 4, tmp_path / "rows")) as store:
        store.append(ROWS)
        np.testing.assert_array_equal(next(store.blocks(100)), ROWS)


def test_row_store_goes_on_after_a_short_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: whole(file, [buffers[0][:100]], offset))
    with closing(RowStore(23, 4, tmp_path / "rows")) as store:
        store.append(ROWS)
        np.testing.assert_array_equal(next(store.blocks(100)), ROWS)


@pytest.mark.parametrize("length", [0, 100, 23 * 4 * 8 - 1])
def test_row_store_notices_a_file_that_was_cut(tmp_path: Path, length: int) -> None:
    store = RowStore(23, 4, tmp_path / "rows")
    store.append(ROWS)
    os.truncate(tmp_path / "rows", length)
    with pytest.raises(ReadError, match=f"rows: ends at byte {length}, it was cut by another process"):
        list(store.blocks(100))
    store.close()


@pytest.mark.parametrize("n_first", [0, 1, 5, 22, 23])
def test_checksums_of_two_parts_are_joined(n_first: int) -> None:
    first, second = ROWS[:n_first], ROWS[n_first:]
    joined = row_store.join_checksums(checksum(first), checksum(second), second.nbytes)
    assert joined == checksum(ROWS) == zlib.crc32(ROWS.tobytes())


def test_rows_that_others_write_are_those_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with closing(RowStore(23, 4, path)) as store:
        for first, end in ((9, 23), (0, 9), (0, 9)):  # in any order, and twice
            with closing(row_store.RowWriter(str(path))) as writer:
                for row in range(first, end, 5):
                    writer.write(row, ROWS[row : min(row + 5, end)])
                writer.finish()
                assert writer.checksum == checksum(ROWS[first:end])
        store.take(9)
        np.testing.assert_array_equal(next(store.part(0, 9, 100)), ROWS[:9])
        with pytest.raises(ValueError, match="rows up to 8 do not follow 9 of 23"):
            store.take(8)
        with pytest.raises(ValueError, match="rows up to 24 do not follow"):
            store.take(24)
        store.take(23)
        store.reopen()
        np.testing.assert_array_equal(next(store.blocks(100)), ROWS)


def test_store_without_columns_has_nothing_to_write(tmp_path: Path) -> None:
    with closing(row_store.RowWriter(None)) as writer:
        writer.write(0, np.empty((5, 0)))
        writer.finish()
        assert writer.checksum == 0


def test_file_that_a_worker_does_not_see_is_told(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"rows: No such file or directory; choose an output folder that can"):
        row_store.RowWriter(str(tmp_path / "rows"))
