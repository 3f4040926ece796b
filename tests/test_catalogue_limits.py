"""The catalogue of bad input: wrong files in place of tables and lists, and tables and lists that are too large."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from catalogue import check_refused
from input_cases import GENOTYPES, IIDS, NUMBERS, Edit, X, apply, raw, text

import lfmm2
from lfmm2.errors import InputWarning, InsufficientMemoryError, MalformedInputError, UsageError
from lfmm2.files import input_memory, samples, table_text


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", data)
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("env.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def parquet(data: bytes) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"IID": IIDS, "x": NUMBERS}), sink)
    return sink.getvalue().to_pybytes()


VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"
# what lies in the place of a text, and what is said of it
WRONG_FILES: dict[str, tuple[Edit, str]] = {
    "VCF": (text(VCF), "is a VCF; convert it with plink2"),
    "bed": (raw(b"\x6c\x1b\x01" + bytes(100)), r"is a \.bed; give a text file"),
    "pgen": (raw(b"\x6c\x1b\x10" + bytes(100)), r"is a \.pgen; convert it with plink2"),
    "gzip twice": (lambda b: gzip.compress(gzip.compress(b)), "is compressed with gzip; decompress it first"),
    "gzip cut off": (
        lambda b: gzip.compress(b)[:-9],
        r"is compressed with gzip, and damaged or cut off \(.*\); copy it again",
    ),
    "gzip damaged": (
        lambda b: gzip.compress(b)[:-8] + bytes(8),
        r"is compressed with gzip, and damaged or cut off \(.*\); copy it",
    ),
    "bzip2 cut off": (lambda b: bz2.compress(b)[:-9], "is compressed with bzip2, and damaged or cut off"),
    "zstd cut off": (lambda b: zstd(b)[:-9], "is compressed with zstd, and damaged or cut off"),
    "bomb of gzip": (
        lambda b: gzip.compress(b + b"IID,x\n" * (3 << 20), 6),
        "unpacks to over 17 MiB, more than 250 times its size, as a decompression bomb does; check where it comes from",
    ),
    "bomb of zstd": (lambda b: zstd(b + b"IID,x\n" * (3 << 20)), "unpacks to over 17 MiB, more than 250 times its"),
    "tar.gz": (tarred, "is a tar archive; unpack it"),
    "xz": (lambda b: __import__("lzma").compress(b), "is compressed with xz; decompress it, or compress it with gzip"),
    "Excel": (zipped, "is an Excel workbook or a zip file; save the table as CSV"),
    "old Excel": (raw(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)), "is an Excel workbook; save the table as CSV"),
    "HDF5": (raw(b"\x89HDF\r\n\x1a\n" + bytes(500)), "is an HDF5 or netCDF file; save the values"),
    "netCDF": (raw(b"CDF\x02" + bytes(500)), "is a netCDF file; save the values of the samples as CSV"),
    "GeoTIFF": (raw(b"II*\0" + bytes(500)), "is a TIFF image; take the values at the samples"),
    "PDF": (raw(b"%PDF-1.7\n%\xe2\xe3\n"), "is a PDF; save the table as CSV"),
    "web page": (text("<!DOCTYPE html>\n<html><body>404</body></html>\n"), "is a web page; download the table itself"),
    "NumPy": (raw(b"\x93NUMPY\x01\0" + bytes(100)), "is a NumPy array; load it in Python"),
    "GeoPackage": (raw(b"SQLite format 3\0" + bytes(100)), "is a database; save the table as CSV"),
    "other binary": (raw(b"IID,x\n\0\1\2\3"), "line 2: a NUL byte: UTF-16, binary or damaged; save it as UTF-8"),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("edit", "match"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_a_wrong_file_in_place_of_the_table_is_named(folder, capsys, way, edit, match):
    apply({"env.csv": edit})
    check_refused(folder, capsys, way, MalformedInputError, f"^env.csv.* {match}")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", ["VCF", "gzip twice", "gzip cut off", "bomb of zstd", "Excel", "web page", "bed"])
@pytest.mark.parametrize("option", ["--keep", "--remove", "--extract", "--exclude", "--covar"])
def test_a_wrong_file_in_place_of_a_list_is_named(folder, capsys, option, kind):
    edit, match = WRONG_FILES[kind]
    Path("list").write_bytes(edit(Path("env.csv").read_bytes()))
    check_refused(folder, capsys, "command", MalformedInputError, f"^list: {match}", options=[option, "list"])


@pytest.mark.parametrize("option", ["--keep", "--extract"])
def test_a_list_in_parquet_is_refused(folder, capsys, option):
    Path("list").write_bytes(parquet(b""))
    match = "^list: is a Parquet file, and only tables of variables may be one; save it as text"
    check_refused(folder, capsys, "command", MalformedInputError, match, options=[option, "list"])


@pytest.mark.parametrize("way", ["command", "function"])
def test_a_table_larger_than_the_budget_is_refused_with_what_it_needs(folder, monkeypatch, capsys, way):
    monkeypatch.setattr(table_text, "CHUNK", 1 << 10)
    monkeypatch.setattr(input_memory, "_SMALL_INPUT", 1 << 20)
    apply({"env.csv": lambda b: b + b"".join(b"other%06d,1.5\n" % i for i in range(10_000))})
    message = check_refused(
        folder, capsys, way, InsufficientMemoryError,
        r"^env.csv: a run that reads it takes about \d\d MiB, but the memory budget is 1 MiB; "
        "raise --memory, or name the columns in use with --variables, and leave out rows of other samples",
        options=["--memory", "1MiB"], memory="1MiB",
    )  # fmt: skip
    # 400 bytes and a number for each of 10 038 rows, beside their text
    assert re.search("3[67] MiB, but", message)


# inputs of unusual size, and the MiB of the least budget that they add at least
LARGE: dict[str, tuple[dict[str, Edit], int]] = {
    "rows of others": ({"env.csv": lambda b: b + b"".join(b"other%06d,1.5\n" % i for i in range(60_000))}, 15),
    "a long ID": (dict.fromkeys(["d.fam", "env.csv"], lambda b: b.replace(b"i07", b"i07" + b"x" * 200_000)), 50),
    "long alleles": ({"d.bim": lambda b: b.replace(b"\tA\t", b"\t" + b"ACGT" * 10_000 + b"\t")}, 25),
}


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("edits", "more"), LARGE.values(), ids=LARGE.keys())
def test_inputs_of_unusual_size_are_part_of_the_plan(folder, capsys, way, edits, more):
    def least() -> int:
        message = check_refused(
            folder, capsys, way, InsufficientMemoryError, "memory budget of 1 MiB, but 38 samples .* at least",
            options=["--memory", "1MiB"], memory="1MiB",
        )  # fmt: skip
        return int(message.partition("at least ")[2].split(" MiB")[0])

    before = least()
    apply(edits)
    assert least() >= before + more


FEW_THREADS = 3


@pytest.mark.parametrize("way", ["command", "function"])
def test_threads_that_cannot_start_are_told_before_the_work(folder, monkeypatch, capsys, way):
    import threading

    start, begun = threading.Thread.start, []

    def few(thread: threading.Thread) -> None:
        if thread.name == "lfmm2-probe":
            begun.append(thread)
            if len(begun) > FEW_THREADS + 4:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    options = {"options": ["--threads", "16"], "n_threads": 16}
    check_refused(
        folder, capsys, way, UsageError, "16 threads starts 20 in all, .* only 7 more .* --threads 3", **options
    )


# sound neighbours: the same tables and lists with other sizes, in pieces, with other samples and columns
def table(make: Callable[[int, list[str]], list[str]]) -> Edit:
    """Change the cells of each row, given its number, which is 0 for the header."""
    return lambda data: "".join(
        ",".join(make(k, row.split(","))) + "\n" for k, row in enumerate(data.decode().splitlines())
    ).encode()


def around(data: bytes) -> bytes:
    header, _, rows = data.partition(b"\n")
    others = [b"".join(b"%b%d,0.5\n" % (place, i) for i in range(300)) for place in (b"before", b"after")]
    return header + b"\n" + others[0] + rows + others[1]


WIDE = [f"bio{j}" for j in range(300)]
SOUND: dict[str, Edit] = {
    "nothing": lambda b: b,
    "rows of others around": around,
    "many columns": table(lambda k, row: row + [f"{k}.25{j}" if k else name for j, name in enumerate(WIDE)]),
    "many columns before": table(lambda k, row: [row[0], *(f"0.{k}" if k else name for name in WIDE), row[1]]),
    "blank lines at the end": lambda b: b + b"\n" * 3000,
    "blank lines with blanks": lambda b: b + b" \n\t\n" * 1000,
    "Windows": lambda b: b.replace(b"\n", b"\r\n"),
    "blanks between columns": lambda b: b.replace(b",", b"  "),
    "quotes": table(lambda _, row: [f'"{cell}"' for cell in row]),
}


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("chunk", [1, 100, 1 << 22])
@pytest.mark.parametrize("edit", SOUND.values(), ids=SOUND.keys())
def test_tables_read_in_pieces_give_the_right_values(monkeypatch, edit, chunk):
    monkeypatch.setattr(table_text, "CHUNK", chunk)
    apply({"env.csv": edit})
    found = lfmm2.run(None, "d", "env.csv", 3, variables="x")
    expected = lfmm2.run(None, GENOTYPES.T, X, 3)
    np.testing.assert_allclose(found.t, expected.t, rtol=1e-7, atol=1e-9)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("add", "match"),
    [
        (b"i00\n", r"line 40: 1 cell\(s\), but the header has 2"),
        (b"other,1,2\n", r"line 40: 3 cell\(s\), but the header has 2; in R use write.csv"),
        (b"\n\nother,1\n", r"line 40: 0 cell\(s\)"),
        (b"other,\xff\n", "line 40: is not UTF-8"),
        (b'"other,1\n', "line 40: a quote is opened and not closed"),
        (b"ot\0her,1\n", "line 40: a NUL byte"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 50, 1 << 22])
def test_faults_are_found_at_the_same_line_whatever_the_pieces(folder, capsys, monkeypatch, add, match, chunk):
    monkeypatch.setattr(table_text, "CHUNK", chunk)
    apply({"env.csv": lambda b: b + add})
    check_refused(folder, capsys, "function", MalformedInputError, match)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
def test_long_lists_are_searched_in_pieces(monkeypatch):
    monkeypatch.setattr(samples, "LIST_CHUNK", 100)
    monkeypatch.setattr(samples, "_MOST_UNKNOWN", 40)
    monkeypatch.setattr("lfmm2.pipeline.snps.MOST_TOGETHER", 7)
    monkeypatch.setattr("lfmm2.pipeline.snps.FEWEST_TOGETHER", 7)
    snps = [f"snp{j}" for j in range(0, 300, 2)]
    Path("snps").write_text("\n".join([*[f"rs{j}" for j in range(500)], *snps, snps[0]]) + "\n")
    Path("keep").write_text("\n".join(["#IID", *[f"n{j}" for j in range(300)], *IIDS[:30]]) + "\n")
    with pytest.warns(InputWarning) as told:
        found = lfmm2.run(None, "d", "env.csv", 3, keep="keep", extract="snps")
    assert found.t.shape == (150, 1)
    assert len(found.sample_ids) == 30
    said = [str(warning.message) for warning in told if issubclass(warning.category, InputWarning)]
    assert said[0].startswith("--keep keep: 300 lines are of no sample in the .fam (n0, n1")
    assert "500 IDs are not in d.bim" in said[1]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("content", [b"x" * 300, b"IID,x\n" + b"\n" * 300 + b"i00,1"])
def test_a_text_without_rows_does_not_fill_the_memory(folder, capsys, monkeypatch, content):
    monkeypatch.setattr(table_text, "CHUNK", 50)
    monkeypatch.setattr(table_text, "LONGEST_LINE", 100)
    apply({"env.csv": raw(content)})
    check_refused(folder, capsys, "function", MalformedInputError, "after line [12]: over 16 MB without a row; give a")
