"""Tables that read back what was written."""

from __future__ import annotations

import gc
import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lfmm2.errors import MalformedInputError, ReadError, UsageError, WriteError
from lfmm2.files.output_sets import OutputSet
from lfmm2.files.table_files import GROUP_ROWS, USUAL_COLUMNS, open_table, read_columns, writing_bytes
from lfmm2.model.columns import COLUMNS
from lfmm2.results.tables import table_schema

RESULT_SCHEMA = table_schema(COLUMNS, joint=False)
TYPES = dict(zip(RESULT_SCHEMA.names, RESULT_SCHEMA.types, strict=True))
NUMBERS = [field.name for field in RESULT_SCHEMA if field.type == pa.float64() and field.name != "A1_FREQ"]
FORMATS = ("parquet", "tsv", "tsv.gz", "tsv.zst")

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def result_rows(n: int, seed: int = 0, missing: bool = True) -> pa.Table:
    """A result table with every kind of number, and NaN in a tenth of the rows."""
    rng = np.random.default_rng(seed)
    shape = (n, len(NUMBERS))
    numbers = rng.standard_normal(shape) * 10.0 ** rng.integers(-300, 300, shape)
    if missing:
        numbers[rng.random(n) < 0.1] = np.nan
    columns = {
        "CHROM": np.sort(rng.choice(["1", "2", "X"], n)),
        "POS": rng.integers(1, 2**40, n),
        "ID": [f"rs{i}" for i in range(n)],
        "A1": rng.choice(list("ACGT"), n),
        "OMITTED": rng.choice(list("ACGT"), n),
        "A1_FREQ": rng.integers(0, 2001, n) / 2000,
        "OBS_CT": rng.integers(0, 1000, n),
        "STATUS": rng.choice(["OK", "MONOMORPHIC"], n),
    }
    columns |= dict(zip(NUMBERS, numbers.T, strict=True))
    return pa.table(columns).select(RESULT_SCHEMA.names).cast(RESULT_SCHEMA)


def with_nulls(table: pa.Table) -> pa.Table:
    """What a table reads back as: NaN is null."""
    arrays = [
        pa.array(column.to_numpy(), from_pandas=True) if column.type == pa.float64() else column
        for column in table.columns
    ]
    return pa.table(arrays, schema=table.schema)


def table_bytes(blocks: list[pa.Table], format: str, group_rows: int = 1000) -> bytes:
    file = io.BytesIO()
    with open_table(file, blocks[0].schema, format, group_rows) as writer:
        for block in blocks:
            writer.write(block)
    return file.getvalue()


def cut(table: pa.Table, sizes: Iterator[int]) -> list[pa.Table]:
    blocks, start = [], 0
    while start < table.num_rows:
        size = next(sizes)
        blocks.append(table.slice(start, size))
        start += size
    return blocks


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# tables


@pytest.mark.parametrize("format", FORMATS)
def test_table_reads_back_the_same_bits(tmp_path: Path, format: str) -> None:
    table = result_rows(3000)
    (tmp_path / "a").write_bytes(table_bytes([table], format))
    assert read_columns(tmp_path / "a", types=TYPES).equals(with_nulls(table))


@pytest.mark.parametrize("format", FORMATS)
def test_table_without_rows_reads_back(tmp_path: Path, format: str) -> None:
    (tmp_path / "a").write_bytes(table_bytes([result_rows(0)], format))
    assert read_columns(tmp_path / "a", types=TYPES).schema.equals(RESULT_SCHEMA)


@pytest.mark.parametrize("format", FORMATS)
def test_table_bytes_do_not_depend_on_the_cut_into_blocks(format: str) -> None:
    table = result_rows(4321)
    rng = np.random.default_rng(1)
    whole = table_bytes([table], format)
    ones_and_big = table_bytes(cut(table, iter([1, 1, 2500, 0, 4000])), format)
    random = table_bytes(cut(table, iter(rng.integers(0, 400, 1000).tolist())), format)
    assert whole == ones_and_big == random


def test_parquet_bytes_do_not_depend_on_the_cut_where_groups_have_several_pages() -> None:
    n = 40_000
    table = pa.table({"ID": [f"rs{i}" + "x" * (i % 97) for i in range(n)]})
    whole = table_bytes([table], "parquet", n)
    assert pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(0).total_uncompressed_size > 2 << 20
    assert table_bytes(cut(table, iter([1777] * n)), "parquet", n) == whole


@pytest.mark.parametrize("format", FORMATS)
def test_table_keeps_quotes_and_spaces_in_ids(tmp_path: Path, format: str) -> None:
    quoted = '"a"b c,' + "'"
    table = result_rows(50).set_column(2, "ID", pa.array([f"{quoted}{i}" for i in range(50)]))
    (tmp_path / "a").write_bytes(table_bytes([table], format))
    assert read_columns(tmp_path / "a", types=TYPES).equals(with_nulls(table))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("column", ["CHROM", "ID", "A1", "OMITTED"])
def test_table_keeps_names_that_look_missing(tmp_path: Path, format: str, column: str) -> None:
    table = result_rows(50)
    at = table.column_names.index(column)
    table = table.set_column(at, column, pa.array(["NA", "", "nan", "null", "."] * 10))
    (tmp_path / "a").write_bytes(table_bytes([table], format))
    assert read_columns(tmp_path / "a", types=TYPES).equals(with_nulls(table))


def on_full_disk(file: BinaryIO) -> BinaryIO:
    """Let an open file write to a device that is always full."""
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), file.fileno())
    return file


@needs_dev_full
@pytest.mark.parametrize("format", FORMATS)
def test_table_on_a_full_disk_leaves_nothing(tmp_path: Path, format: str) -> None:
    table = pa.concat_tables([result_rows(10_000)] * 2)
    with (
        pytest.raises(WriteError, match="No space left"),
        OutputSet() as outputs,
        open_table(on_full_disk(outputs.open(tmp_path / "a")), RESULT_SCHEMA, format, 1000) as writer,
    ):
        writer.write(table)
    gc.collect()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_table_given_up_writes_nothing_more(format: str) -> None:
    file = io.BytesIO()
    writer = open_table(file, RESULT_SCHEMA, format, 100)
    writer.write(result_rows(150))
    n_bytes = len(file.getvalue())
    writer.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    del writer
    gc.collect()
    assert len(file.getvalue()) == n_bytes


@pytest.mark.parametrize("format", FORMATS)
def test_table_dropped_after_its_file_was_closed_is_silent(tmp_path: Path, format: str) -> None:
    outputs = OutputSet()
    writer = open_table(outputs.open(tmp_path / "a"), RESULT_SCHEMA, format, 100)
    writer.write(result_rows(150))
    outputs.abort()
    del writer
    gc.collect()
    assert names_in(tmp_path) == []


def test_table_takes_dictionaries_and_other_orders_of_columns(tmp_path: Path) -> None:
    table = result_rows(100)
    chrom = table["CHROM"].combine_chunks().dictionary_encode()
    shuffled = table.set_column(0, "CHROM", chrom).select(table.column_names[::-1])
    file = io.BytesIO()
    with open_table(file, RESULT_SCHEMA, "parquet") as writer:
        writer.write(shuffled)
    assert file.getvalue() == table_bytes([table], "parquet", 131_072)


def test_parquet_has_groups_of_the_size_asked_for() -> None:
    metadata = pq.read_metadata(io.BytesIO(table_bytes([result_rows(2500)], "parquet", 1000)))
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1000, 1000, 500]


def test_parquet_keeps_the_metadata_of_the_schema() -> None:
    schema = RESULT_SCHEMA.with_metadata({"variable": "bio1"})
    file = io.BytesIO()
    with open_table(file, schema, "parquet") as writer:
        writer.write(result_rows(3))
    assert pq.read_schema(io.BytesIO(file.getvalue())).metadata == {b"variable": b"bio1"}


def test_parquet_has_null_for_nan() -> None:
    table = result_rows(500)
    n_missing = int(np.isnan(table["BETA"].to_numpy()).sum())
    stored = pq.read_table(io.BytesIO(table_bytes([table], "parquet")))
    assert n_missing > 0
    assert stored["BETA"].null_count == n_missing


def test_tsv_text_is_what_plink_readers_expect() -> None:
    row = {"CHROM": "1", "POS": 7, "ID": "rs1", "A1": "C", "OMITTED": "T", "A1_FREQ": 0.25, "OBS_CT": 10}
    numbers = [1.0, 1e-7, float("nan"), None, float("inf"), -0.1, 1 / 3, 5e-324, 1e22, 0.0, 12.0, -2.5]
    row |= dict(zip(NUMBERS, numbers, strict=True)) | {"STATUS": None}
    table = pa.Table.from_pylist([row], schema=RESULT_SCHEMA)
    header, line, end = table_bytes([table], "tsv").decode().split("\n")
    assert header == "#" + "\t".join(RESULT_SCHEMA.names)
    expected = "1 7 rs1 C T 0.25 10 1 1e-7 NA NA inf -0.1 0.3333333333333333 5e-324 1e+22 0 12 -2.5 NA"
    assert line == expected.replace(" ", "\t")
    assert end == ""


def test_tsv_gz_holds_no_time_and_no_name() -> None:
    data = table_bytes([result_rows(10)], "tsv.gz")
    assert data[3] == 0
    assert data[4:8] == bytes(4)


def test_tsv_gz_is_the_compressed_tsv() -> None:
    table = result_rows(1500)
    assert gzip.decompress(table_bytes([table], "tsv.gz")) == table_bytes([table], "tsv")


def test_tsv_zst_is_one_frame() -> None:
    # Readers that stop after a frame would silently lose the rest.
    data = table_bytes([result_rows(3500)], "tsv.zst")
    assert data.count(b"\x28\xb5\x2f\xfd") == 1


def test_open_table_refuses_an_unknown_format() -> None:
    with pytest.raises(UsageError, match=r"format is 'csv'; it is one of parquet, tsv, tsv\.gz, tsv\.zst"):
        open_table(io.BytesIO(), RESULT_SCHEMA, "csv")


@pytest.mark.parametrize("format", FORMATS)
def test_read_columns_gives_them_in_the_order_asked(tmp_path: Path, format: str) -> None:
    table = result_rows(100)
    (tmp_path / "a").write_bytes(table_bytes([table], format))
    wanted = ["P", "CHROM", "POS"]
    assert read_columns(tmp_path / "a", wanted, TYPES).equals(with_nulls(table).select(wanted))


@pytest.mark.parametrize("format", FORMATS)
def test_read_columns_reads_columns_of_other_tables(tmp_path: Path, format: str) -> None:
    schema = pa.schema([("CHROM", pa.string()), ("V1", pa.float64())])
    table = pa.table({"CHROM": ["1", "2"], "V1": [None, 0.5]}, schema=schema)
    (tmp_path / "a").write_bytes(table_bytes([table], format))
    assert read_columns(tmp_path / "a", types=TYPES).equals(table)


@pytest.mark.parametrize("format", FORMATS)
def test_read_columns_names_a_missing_column(tmp_path: Path, format: str) -> None:
    (tmp_path / "a").write_bytes(table_bytes([result_rows(5)], format))
    with pytest.raises(MalformedInputError, match="BETA_2"):
        read_columns(tmp_path / "a", ["BETA_2"])


def test_read_columns_refuses_a_parquet_file_cut_short(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(table_bytes([result_rows(500)], "parquet")[:-100])
    with pytest.raises(MalformedInputError, match="damaged"):
        read_columns(tmp_path / "a")


def test_read_columns_names_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be read, No such file"):
        read_columns(tmp_path / "a")


class Watched(io.BytesIO):
    """Drops what is written, and notes the most that Arrow holds at any write."""

    most = 0

    def write(self, data: object) -> int:
        self.most = max(self.most, pa.total_allocated_bytes())
        return memoryview(data).nbytes


def test_plan_counts_the_memory_that_writing_a_group_takes() -> None:
    rows = result_rows(GROUP_ROWS // 4)
    while rows.num_columns < USUAL_COLUMNS + 5:
        rows = rows.append_column(f"MORE_{rows.num_columns}", rows["T_STAT"])
    before = pa.total_allocated_bytes()
    file = Watched()
    with open_table(file, rows.schema, "parquet") as writer:
        for _ in range(4):
            writer.write(rows)
    taken = file.most - before
    assert 8 * USUAL_COLUMNS * GROUP_ROWS < taken < writing_bytes(GROUP_ROWS, USUAL_COLUMNS, 0)
